//! Results in changes: whatever the number of shards and the order in which they run, the changes add up to
//! the final result, and what leaves for one turn holds for all shards; a cut of power loses none.

mod common;

use std::collections::BTreeMap;

use common::*;
use corelane::job::Grain;
use corelane::options::Options;
use corelane::simulate::{self, Course, Random};
use corelane_io::durable::{Durable, SimulatedDisk};

const SHARDS: [usize; 4] = [1, 2, 3, 7];
const PIECES: Grain = Grain { piece: 3000, block: 512, turn_rows: 20 };
const WHOLE: Grain = Grain { piece: 1 << 30, block: 4096, turn_rows: 100 };

/// Queries whose results change, besides those that all tests share.
const CHANGING: &[(&str, &str)] = &[
    (
        "groups of groups",
        "SELECT n, COUNT(*), SUM(q), MAX(m) FROM (SELECT trader, symbol, COUNT(*) AS n, SUM(quantity) AS q, \
      MAX(price) AS m FROM trades GROUP BY trader, symbol) GROUP BY n",
    ),
    (
        "over the first",
        "SELECT trader, quantity, SUM(quantity) OVER (PARTITION BY trader ORDER BY ts ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) \
      FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY trader, symbol ORDER BY quantity DESC, price DESC, ts) AS n FROM trades) WHERE n = 1",
    ),
    (
        "windows and groups",
        "SELECT n, COUNT(*) FROM (SELECT symbol, window_start, COUNT(*) AS n FROM TUMBLE(trades, ts, INTERVAL '10' SECOND) \
      GROUP BY symbol, window_start, window_end) GROUP BY n",
    ),
];

const SHARED: &[&str] = &[
    "S2",
    "one group",
    "no rows",
    "nothing",
    "distinct",
    "top of each",
    "last of each",
    "join",
    "outer join",
    "three tables",
    "partners",
    "one value",
    "all with all",
];

fn queries() -> Vec<(&'static str, &'static str)> {
    let shared = QUERIES.iter().filter(|(name, ..)| SHARED.contains(name)).map(|(name, script, _)| (*name, *script));
    let queries: Vec<_> = shared.chain(CHANGING.iter().copied()).collect();
    assert_eq!(queries.len(), SHARED.len() + CHANGING.len());
    queries
}

fn texts() -> Vec<(String, String)> {
    files().into_iter().map(|(name, trades)| (name, csv(&trades))).collect()
}

fn list(files: &[(String, String)]) -> Vec<(&str, &[u8])> {
    files.iter().map(|(name, text)| (name.as_str(), text.as_bytes())).collect()
}

fn run(files: &[(String, String)], script: &str, grain: Grain, shards: usize, seed: u64) -> String {
    let outcome = simulate::run(script, &list(files), &options(&[]), grain, shards, seed);
    let outcome = outcome.unwrap_or_else(|error| panic!("{script}: {error}"));
    assert!(outcome.error.is_none(), "{script}: {:?}", outcome.error);
    String::from_utf8(outcome.outputs[0].1.clone()).expect("csv is text")
}

/// Rows of CSV and how often each is there.
fn counted(text: &str) -> BTreeMap<&str, i64> {
    let mut counts = BTreeMap::new();
    text.lines().skip(1).for_each(|row| *counts.entry(row).or_insert(0) += 1);
    counts
}

/// The same of what changes, each behind its operation, add up to.
fn folded(text: &str) -> BTreeMap<&str, i64> {
    let mut counts = BTreeMap::new();
    for line in text.lines().skip(1) {
        let (operation, row) = line.split_once(',').expect("an operation and a row");
        *counts.entry(row).or_insert(0) += if operation.starts_with('+') { 1 } else { -1 };
    }
    counts.retain(|_, count| *count != 0);
    counts
}

#[test]
fn changes_add_up_to_the_final_result() {
    let files = texts();
    for (name, query) in queries() {
        let script = format!("{}{query}", table("t*.csv"));
        let last = run(&files, &script, WHOLE, 1, 0);
        let expected = counted(&last);
        for (grain, shards) in [WHOLE, PIECES].into_iter().flat_map(|grain| SHARDS.map(|shards| (grain, shards))) {
            let mut first: Option<String> = None;
            for seed in 0..6 {
                let said = run(&files, &format!("{script} EMIT CHANGELOG"), grain, shards, seed);
                assert_eq!(folded(&said), expected, "{name}, {shards} shards, seed {seed}");
                // What leaves in a turn follows from the files and the number of shards.
                let first = first.get_or_insert_with(|| said.clone());
                assert_eq!(counted(&said), counted(first), "{name}, {shards} shards, seed {seed}");
            }
        }
    }
}

/// 10 accounts that pay each other 1: the sum of all balances is 0 in every row that leaves.
#[test]
fn balances_add_up_to_nothing_in_every_row() {
    let mut random = Random::new(1);
    let mut file = |rows: usize| {
        let mut text = "payer,payee\n".to_owned();
        for row in 0..rows as u64 {
            // Every account is there from the first turn on.
            let (payer, payee) = if row < 10 { (row, 9 - row) } else { (random.below(10), random.below(10)) };
            text += &format!("{payer},{payee}\n");
        }
        text
    };
    let files: Vec<(String, String)> =
        (0..8).map(|number| (format!("p{number}.csv"), file(300 + 50 * number))).collect();
    let script = "CREATE TABLE payments (payer INT, payee INT) WITH ('path' = 'p*.csv', 'format' = 'csv', 'header' = 'true');\n\
        CREATE VIEW credits AS SELECT payee AS account, COUNT(*) AS n FROM payments GROUP BY payee;\n\
        CREATE VIEW debits AS SELECT payer AS account, COUNT(*) AS n FROM payments GROUP BY payer;\n\
        CREATE VIEW balances AS SELECT c.account, c.n - d.n AS balance FROM credits c JOIN debits d ON c.account = d.account;\n\
        SELECT SUM(balance) AS total, SUM(balance * balance) >= 0 AS there, SUM(CASE WHEN balance > 0 THEN balance END) AS owned \
        FROM balances EMIT CHANGES";
    let united = script.replace(
        "SELECT c.account, c.n - d.n AS balance FROM credits c JOIN debits d ON c.account = d.account",
        "SELECT account, SUM(n) AS balance FROM (SELECT account, n FROM credits UNION ALL SELECT account, -n FROM debits) GROUP BY account",
    );
    assert_ne!(united, script);
    for (script, shards) in [script, &united].into_iter().flat_map(|script| [1, 2, 4, 8].map(|shards| (script, shards)))
    {
        for seed in 0..10 {
            let said = run(&files, script, PIECES, shards, seed);
            let rows: Vec<&str> = said.lines().skip(1).collect();
            // What is owned changes, so there are many.
            assert!(rows.len() > 10, "{shards} shards, seed {seed}: {} rows", rows.len());
            let wrong = rows.iter().find(|row| !row.starts_with("0,true,"));
            assert_eq!(wrong, None, "{shards} shards, seed {seed}");
        }
    }
}

fn every(rows: u64) -> Options {
    Options { checkpoint_every: Some(corelane::checkpoint::Every::Rows(rows)), ..options(&["-o", "out.csv"]) }
}

#[test]
fn a_cut_of_power_loses_no_change() {
    let files = texts();
    let mut all = 0;
    for (name, query) in queries() {
        let script = format!("{}{query}", table("t*.csv"));
        let last = run(&files, &script, WHOLE, 1, 0);
        let expected = counted(&last);
        for shards in [1, 3] {
            let script = format!("{script} EMIT CHANGELOG");
            let disk = SimulatedDisk::new();
            let mut random = Random::new(shards as u64);
            let mut cuts = 0;
            loop {
                assert!(cuts < 200, "{name}, {shards} shards: it gets nowhere");
                disk.die_at(disk.operations() + 1 + random.below(if cuts < 5 { 120 } else { 5000 }));
                let course = Course { shards, seed: cuts, last_at: None };
                let ended = simulate::run_kept(&script, &list(&files), &every(40), PIECES, course, &disk);
                let is_done = match &ended {
                    Ok(None) => true,
                    Ok(Some(outcome)) => outcome.kept.as_ref().is_some_and(|kept| kept.is_finished),
                    Err(_) => false,
                };
                disk.power_cut(random.bits());
                if is_done {
                    break;
                }
                cuts += 1;
            }
            all += cuts;
            let said = String::from_utf8(disk.read("out.csv").expect("it was written")).expect("csv is text");
            assert_eq!(folded(&said), expected, "{name}, {shards} shards, after {cuts} cuts");
        }
    }
    assert!(all > 50, "only {all} cuts");
}
