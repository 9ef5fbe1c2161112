//! Runs with checkpoints under the simulator: power cuts at any operation of the disk, and the same
//! bytes in the end.

mod common;

use std::sync::Arc;

use common::*;
use corelane::checkpoint::recovery::Opened;
use corelane::job::{self, Grain};
use corelane::options::Options;
use corelane::simulate::{self, Course, Random};
use corelane_io::durable::{Durable, SimulatedDisk};
use corelane_io::fs::MemoryDisk;

const PIECES: Grain = Grain { piece: 3000, block: 512, turn_rows: 20 };
const OUT: &str = "out.csv";

/// Queries whose output has one order, over all kinds of state and of sinks.
const NAMES: &[&str] = &[
    "stateless",
    "S2",
    "S3a",
    "hopping",
    "S1",
    "S3b ordered",
    "top",
    "distinct",
    "hot items",
    "windows again",
    "stateless ordered",
];

fn query(wanted: &str) -> (String, Options) {
    let (_, script, flags) = QUERIES.iter().find(|(name, ..)| *name == wanted).expect("a known query");
    let flags = [&["-o", OUT][..], flags].concat();
    (format!("{}{script}", table("t*.csv")), options(&flags))
}

struct Inputs(Vec<(String, String)>);

impl Inputs {
    fn new() -> Self {
        Inputs(files().into_iter().map(|(name, trades)| (name, csv(&trades))).collect())
    }

    fn list(&self) -> Vec<(&str, &[u8])> {
        self.0.iter().map(|(name, text)| (name.as_str(), text.as_bytes())).collect()
    }
}

fn undisturbed(inputs: &Inputs, script: &str, options: &Options, shards: usize) -> Vec<u8> {
    let outcome = simulate::run(script, &inputs.list(), options, PIECES, shards, 3).expect("the query is good");
    assert!(outcome.error.is_none(), "{:?}", outcome.error);
    outcome.outputs[0].1.clone()
}

fn course(shards: usize, seed: u64) -> Course {
    Course { shards, seed, last_at: None }
}

fn every(options: Options, rows: u64) -> Options {
    Options { checkpoint_every: Some(corelane::checkpoint::Every::Rows(rows)), ..options }
}

#[test]
fn checkpoints_change_no_byte() {
    let inputs = Inputs::new();
    for name in NAMES {
        let (script, options) = query(name);
        for shards in [1, 2, 3] {
            let expected = undisturbed(&inputs, &script, &options, shards);
            for seed in 0..5 {
                let disk = SimulatedDisk::new();
                let options = every(options.clone(), 40);
                let run = || simulate::run_kept(&script, &inputs.list(), &options, PIECES, course(shards, seed), &disk);
                let outcome = run().expect("the query is good").expect("it has just begun");
                let context = format!("{name}, {shards} shards, seed {seed}");
                assert!(outcome.error.is_none(), "{context}: {:?}", outcome.error);
                let kept = outcome.kept.expect("it came to its end");
                assert!(kept.is_finished && kept.epochs > 1, "{context}: {kept:?}");
                assert!(disk.read(OUT).unwrap() == expected, "{context}");
                assert_eq!(disk.read("out.csv.committed").unwrap(), format!("{}\n", expected.len()).as_bytes());
                assert!(run().expect("it can be looked at").is_none(), "{context}: nothing is left to do");
            }
        }
    }
}

/// Power is cut again and again, and each time another run goes on; returns how often.
fn cut_until_done(inputs: &Inputs, name: &str, shards: usize, seed: u64, expected: &[u8]) -> u64 {
    let (script, options) = query(name);
    let options = every(options, 40);
    let disk = SimulatedDisk::new();
    let mut random = Random::new(seed);
    for cuts in 0.. {
        assert!(cuts < 200, "{name}, {shards} shards, seed {seed}: it gets nowhere");
        disk.die_at(disk.operations() + 1 + random.below(if cuts < 6 { 120 } else { 5000 }));
        let schedule = course(shards, seed + cuts);
        let ended = simulate::run_kept(&script, &inputs.list(), &options, PIECES, schedule, &disk);
        let is_done = match &ended {
            Ok(None) => true,
            Ok(Some(outcome)) => outcome.kept.is_some_and(|kept| kept.is_finished),
            Err(_) => false,
        };
        disk.power_cut(random.bits());
        if let Ok(committed) = disk.read("out.csv.committed") {
            let committed: usize = String::from_utf8(committed).unwrap().trim().parse().unwrap();
            let there = disk.read(OUT).expect("what is committed is there");
            assert!(
                there.len() >= committed && there[..committed] == expected[..committed],
                "{name}, {shards} shards, seed {seed}, cut {cuts}: {committed} bytes are said to be committed"
            );
        }
        if is_done {
            assert!(disk.read(OUT).unwrap() == expected, "{name}, {shards} shards, seed {seed}, after {cuts} cuts");
            return cuts;
        }
    }
    unreachable!("the loop has no end of its own")
}

macro_rules! power_cuts {
    ($($test:ident: $name:literal,)*) => {$(
        #[test]
        fn $test() {
            let inputs = Inputs::new();
            let mut cuts = 0;
            for shards in [1, 2, 3] {
                let (script, options) = query($name);
                let expected = undisturbed(&inputs, &script, &options, shards);
                cuts += (0..8 * trials()).map(|seed| cut_until_done(&inputs, $name, shards, seed * 1000, &expected)).sum::<u64>();
            }
            assert!(cuts >= 24, "only {cuts} cuts");
        }
    )*};
}

power_cuts! {
    power_cuts_stateless: "stateless",
    power_cuts_group_by: "S2",
    power_cuts_tumbling: "S3a",
    power_cuts_hopping: "hopping",
    power_cuts_over_rows: "S1",
    power_cuts_changes_in_order: "S3b ordered",
    power_cuts_hot_items: "hot items",
    power_cuts_stateless_in_order: "stateless ordered",
}

#[test]
fn a_disk_that_fails_once_ends_the_run_and_loses_nothing() {
    let inputs = Inputs::new();
    let (script, options) = query("S3a");
    let expected = undisturbed(&inputs, &script, &options, 2);
    let options = every(options, 40);
    let run = |disk: &SimulatedDisk, seed| {
        simulate::run_kept(&script, &inputs.list(), &options, PIECES, course(2, seed), disk)
    };
    let disk = SimulatedDisk::new();
    run(&disk, 0).unwrap();
    // Every operation where more trials are asked for.
    for operation in (1..disk.operations()).step_by(if trials() > 1 { 1 } else { 7 }) {
        let disk = SimulatedDisk::new();
        disk.fail_at(operation);
        let failed = match run(&disk, 0) {
            Err(_) => true,
            Ok(outcome) => outcome.expect("it begins").error.is_some(),
        };
        assert!(failed || operation <= 3, "nobody minds that operation {operation} fails");
        disk.fail_at(0);
        disk.power_cut(operation);
        if let Err(error) = run(&disk, 1) {
            panic!("operation {operation}: {error}");
        }
        assert!(disk.read(OUT).unwrap() == expected, "operation {operation}");
    }
}

#[test]
fn another_query_and_changed_inputs_are_refused_with_the_difference() {
    let inputs = Inputs::new();
    let (script, options) = query("S3a");
    let options = every(options, 40);
    let disk = SimulatedDisk::new();
    let go = |inputs: &Inputs, script: &str, shards| {
        simulate::run_kept(script, &inputs.list(), &options, PIECES, course(shards, 0), &disk)
    };
    disk.die_at(80);
    let _ = go(&inputs, &script, 2);
    disk.power_cut(1);
    let refused = |inputs: &Inputs, script: &str, shards, note: &str| {
        let error = go(inputs, script, shards).expect_err("it is refused");
        let notes = error.report().notes.join("\n");
        assert!(notes.contains(note), "{note} in {error}\n{notes}");
    };
    refused(&inputs, &script.replace("AVG(price)", "MIN(price)"), 2, "MIN(price)");
    refused(&inputs, &script.replace("'2' SECOND", "'3' SECOND"), 2, "then: plan");
    let mut longer = Inputs::new();
    longer.0[1].1.push_str("2026-01-01 02:00:00.000,A,1,1.0,1\n");
    refused(&longer, &script, 2, "t2.csv");
    let mut other = Inputs::new();
    other.0[0].1 = other.0[0].1.replacen(",A,", ",B,", 1);
    refused(&other, &script, 2, "t1.csv");
    assert!(go(&inputs, &format!("-- A remark.\n{}", script.replace("SELECT", " SELECT")), 2).is_ok());
}

#[test]
fn outputs_that_were_touched_are_refused() {
    let inputs = Inputs::new();
    let (script, options) = query("stateless");
    let options = every(options, 40);
    let run = |disk: &SimulatedDisk| simulate::run_kept(&script, &inputs.list(), &options, PIECES, course(2, 5), disk);
    let expected = undisturbed(&inputs, &script, &options, 2);
    for (change, said) in [
        ((|bytes: &mut Vec<u8>| bytes.truncate(10)) as fn(&mut Vec<u8>), "has 10 bytes"),
        (|bytes| bytes[7] ^= 1, "was changed"),
        (|bytes| bytes.extend_from_slice(b"more"), ""),
    ] {
        let disk = SimulatedDisk::new();
        disk.die_at(100);
        let _ = run(&disk);
        disk.power_cut(1);
        disk.damage(OUT, change).unwrap();
        match (run(&disk), said) {
            (Ok(_), "") => assert!(disk.read(OUT).unwrap() == expected),
            (Err(error), said) => assert!(error.report().message.contains(said) && !said.is_empty(), "{error}"),
            (Ok(_), said) => panic!("{said}: it went on"),
        }
    }
    let disk = SimulatedDisk::new();
    disk.write(OUT, b"somebody's").unwrap();
    assert!(run(&disk).unwrap_err().report().message.contains("not made by this job"));
    assert_eq!(disk.read(OUT).unwrap(), b"somebody's");
    assert!(!disk.exists(simulate::CHECKPOINTS));
}

/// On real threads: whoever panics is named, and nobody waits for one who is gone.
#[test]
fn a_panic_is_told_as_that_of_its_thread() {
    let inputs = Inputs::new();
    let (script, options) = query("S3a");
    let words = Options { shards: Some(2), executor: corelane::options::Executor::Threads, ..every(options, 40) };
    let files = inputs.list().iter().fold(MemoryDisk::new(), |disk, (name, bytes)| disk.with(*name, *bytes));
    let run = |disk: &SimulatedDisk| {
        let program = job::compile_at(&script, &files, &words, 0).expect("the query is good");
        let mut prepared = job::prepare_with(program, &files, &words, PIECES).expect("the files are there");
        prepared.begin(Arc::new(disk.clone()), simulate::CHECKPOINTS, &words, 0).expect("nothing is there yet");
        let began = disk.operations();
        (prepared.run(|_, _| {}), began)
    };
    let disk = SimulatedDisk::new();
    let (finished, began) = run(&disk);
    assert!(finished.expect("it runs").error.is_none());
    let mut told = std::collections::BTreeSet::new();
    // Which operation is whose differs from run to run, so all are tried again until both have panicked.
    for operation in (0..20).flat_map(|_| began + 5..disk.operations()) {
        if told.len() == 2 {
            break;
        }
        let disk = SimulatedDisk::new();
        disk.panic_at(operation);
        let Ok(finished) = run(&disk).0 else { continue };
        // A run in which the keeper was slower comes to fewer operations.
        let Some(error) = finished.error else { continue };
        let text = error.to_string();
        for (who, thread) in [("the keeper of checkpoints panicked", "checkpoint"), ("the writer panicked", "writer")] {
            assert_eq!(text.contains(who), text.contains(&format!("on thread {thread}")), "{text}");
            if text.contains(who) {
                told.insert(who);
            }
        }
    }
    assert_eq!(told.len(), 2, "{told:?}");
}

/// Asked to end again and again, each time at another step, and gone on with.
#[test]
fn a_run_that_is_stopped_and_gone_on_with_writes_the_same_bytes() {
    let inputs = Inputs::new();
    for name in NAMES {
        let (script, options) = query(name);
        for shards in [1, 2, 3] {
            let expected = undisturbed(&inputs, &script, &options, shards);
            for seed in 0..6u64 {
                let disk = SimulatedDisk::new();
                // Only the stops make checkpoints.
                let options = every(options.clone(), 1 << 40);
                let context = format!("{name}, {shards} shards, seed {seed}");
                let mut stops = 0;
                for step in 0.. {
                    assert!(step < 60, "{context}: it gets nowhere");
                    let last_at = Some(if step < 50 { 20 + 60 * (seed + step) } else { u64::MAX });
                    let course = Course { shards, seed: seed + step, last_at };
                    let outcome = simulate::run_kept(&script, &inputs.list(), &options, PIECES, course, &disk);
                    let outcome = outcome.expect("it goes on").expect("it is not done");
                    assert!(outcome.error.is_none(), "{context}: {:?}", outcome.error);
                    if outcome.kept.expect("it came to its end").is_finished {
                        break;
                    }
                    stops += 1;
                }
                assert!(disk.read(OUT).unwrap() == expected, "{context}, after {stops} stops");
                assert!(stops > 0, "{context}: it was never stopped");
            }
        }
    }
}

/// Queries that hold what the usual ones do not.
const MOVED: &[(&str, &str)] = &[
    (
        "moments",
        "SELECT symbol, ROUND(STDDEV(quantity), 3), ROUND(CORR(price, quantity), 6), SUM(price), COUNT(DISTINCT trader), MEDIAN(quantity), \
         ARG_MAX(ts, quantity), FIRST_VALUE(price), MAX(symbol) FROM trades GROUP BY symbol",
    ),
    (
        "of the sources",
        "SELECT symbol, ROUND(VAR_POP(quantity), 3), ROUND(CORR(price, quantity), 6), SUM(price), AVG(price) FROM trades GROUP BY symbol",
    ),
    (
        "lead",
        "SELECT ts, symbol, LEAD(price, 2) OVER w, LAG(quantity) OVER w, SUM(quantity) OVER w FROM trades \
         WINDOW w AS (PARTITION BY symbol ORDER BY ts ROWS BETWEEN 3 PRECEDING AND CURRENT ROW)",
    ),
    (
        "range",
        "SELECT ts, trader, COUNT(*) OVER w, SUM(quantity) OVER w, MAX(price) OVER w, LEAD(symbol) OVER \
         (PARTITION BY trader ORDER BY ts) FROM trades WINDOW w AS \
         (PARTITION BY trader ORDER BY ts RANGE BETWEEN INTERVAL '20' SECOND PRECEDING AND CURRENT ROW)",
    ),
    (
        "session",
        "SELECT window_start, window_end, symbol, trader, COUNT(*), SUM(quantity), LAST_VALUE(price) FROM \
         SESSION(trades, ts, INTERVAL '3' SECOND) \
         GROUP BY window_start, window_end, symbol, trader",
    ),
    (
        "cumulate",
        "SELECT window_start, window_end, symbol, COUNT(*), MIN(price) FROM \
         CUMULATE(trades, ts, INTERVAL '5' SECOND, INTERVAL '30' SECOND) GROUP BY window_start, window_end, symbol",
    ),
    (
        "small side",
        "SELECT a.ts, a.symbol, b.symbol, b.n FROM trades a CROSS JOIN \
         (SELECT symbol, COUNT(*) AS n FROM trades WHERE trader = 2 GROUP BY symbol) b WHERE a.quantity > 950",
    ),
];

/// Rows of a file in any order.
fn sorted(text: &[u8]) -> Vec<&[u8]> {
    let mut rows: Vec<&[u8]> = text.split(|&byte| byte == b'\n').collect();
    rows.sort_unstable();
    rows
}

/// Stopped again and again, and gone on with on another number of shards each time; nothing where that is refused.
fn move_until_done(
    inputs: &Inputs,
    script: &str,
    options: &Options,
    counts: &[usize],
    seed: u64,
) -> Option<(Vec<u8>, u64)> {
    let disk = SimulatedDisk::new();
    let options = every(options.clone(), 1 << 40);
    let mut moves = 0;
    for step in 0.. {
        assert!(step < 80, "{counts:?}, seed {seed}: it gets nowhere: {script}");
        let last_at = Some(if step < 12 { 40 + 50 * (seed + step) } else { u64::MAX });
        let course = Course { shards: counts[step as usize % counts.len()], seed: seed + step, last_at };
        let outcome = match simulate::run_kept(script, &inputs.list(), &options, PIECES, course, &disk) {
            Ok(outcome) => outcome,
            Err(error) if error.to_string().contains("a join of all rows with all") => return None,
            Err(error) => panic!("{counts:?}, seed {seed}, step {step}: {error}: {script}"),
        };
        let outcome = outcome.expect("it is not done");
        assert!(outcome.error.is_none(), "{counts:?}, seed {seed}, step {step}: {:?}: {script}", outcome.error);
        if outcome.kept.expect("it came to its end").is_finished {
            break;
        }
        moves += 1;
    }
    Some((disk.read(OUT).unwrap(), moves))
}

#[test]
fn a_run_goes_on_on_another_number_of_shards_with_the_same_rows() {
    let inputs = Inputs::new();
    // What EMIT CHANGES says between the rows follows from their order, which is another one.
    let has_own_rows = |name: &str, flags: &[&str]| !flags.contains(&"--ordered") && name != "S3b";
    let usual = QUERIES.iter().filter(|(name, _, flags)| has_own_rows(name, flags));
    let usual = usual.map(|(name, ..)| (*name, query(name)));
    let moved = MOVED.iter().map(|&(name, sql)| (name, (format!("{}{sql}", table("t*.csv")), options(&["-o", OUT]))));
    for (name, (script, options)) in usual.chain(moved) {
        let expected = undisturbed(&inputs, &script, &options, 2);
        for counts in [&[2, 4][..], &[1, 3], &[3, 2], &[1, 2, 1, 4], &[5, 1]] {
            let (mut moves, mut refused) = (0, 0);
            for seed in 0..3 * trials() {
                let Some((found, moved)) = move_until_done(&inputs, &script, &options, counts, seed) else {
                    refused += 1;
                    continue;
                };
                assert!(
                    sorted(&found) == sorted(&expected),
                    "{name}, {counts:?}, seed {seed}: {} and {} bytes",
                    found.len(),
                    expected.len()
                );
                moves += moved;
            }
            let is_of_all = script.contains("CROSS JOIN") || script.contains("(SELECT");
            assert!(moves > 3 || refused > 0 && is_of_all, "{name}, {counts:?}: only {moves} moves");
        }
    }
}

#[test]
fn an_order_of_shards_refuses_another_number_of_them() {
    let inputs = Inputs::new();
    let (script, options) = query("S3b ordered");
    let disk = SimulatedDisk::new();
    let go = |shards, last_at| {
        let course = Course { shards, seed: 1, last_at };
        simulate::run_kept(&script, &inputs.list(), &options, PIECES, course, &disk)
    };
    go(2, Some(300)).unwrap();
    assert!(go(3, None).unwrap_err().to_string().contains("--ordered"));
    assert!(go(2, None).unwrap().expect("it goes on").kept.unwrap().is_finished);
}

#[test]
fn several_outputs_are_cut_at_one_point() {
    let inputs = Inputs::new();
    let script = format!(
        "{}CREATE TABLE a (w TIMESTAMP(3), n BIGINT) WITH ('path' = 'a.csv', 'format' = 'csv');\n\
         CREATE TABLE b (ts TIMESTAMP(3), symbol STRING) WITH ('path' = 'b.json', 'format' = 'json');\n\
         INSERT INTO a SELECT window_start, COUNT(*) FROM TUMBLE(trades, ts, INTERVAL '10' SECOND) \
         GROUP BY window_start, window_end;\n\
         INSERT INTO b SELECT ts, symbol FROM trades WHERE trader > 1;",
        table("t*.csv")
    );
    let options = every(options(&[]), 40);
    for shards in [1, 3] {
        let plain = simulate::run(&script, &inputs.list(), &options, PIECES, shards, 1).expect("the script is good");
        for seed in 0..10 * trials() {
            let (disk, mut random) = (SimulatedDisk::new(), Random::new(seed));
            for cuts in 0.. {
                assert!(cuts < 200, "{shards} shards, seed {seed}: it gets nowhere");
                disk.die_at(disk.operations() + 1 + random.below(if cuts < 6 { 150 } else { 5000 }));
                let course = course(shards, seed + cuts);
                let ended = simulate::run_kept(&script, &inputs.list(), &options, PIECES, course, &disk);
                disk.power_cut(random.bits());
                let is_done = match ended {
                    Ok(outcome) => outcome.is_none_or(|outcome| outcome.kept.is_some_and(|kept| kept.is_finished)),
                    Err(_) => false,
                };
                if is_done {
                    break;
                }
            }
            assert_eq!(plain.outputs.len(), 2);
            for (name, expected) in &plain.outputs {
                assert!(disk.read(name).unwrap() == *expected, "{name}, {shards} shards, seed {seed}");
            }
        }
    }
}

/// More keys than a source shard holds back: it has partial states to give out all the time.
#[test]
fn checkpoints_come_while_partial_states_never_fit() {
    let text: String =
        "k,v\n".to_owned() + &(0..60_000).map(|row| format!("{},{row}\n", row * 7919 % 59_999)).collect::<String>();
    let files: [(&str, &[u8]); 2] = [("k1.csv", text.as_bytes()), ("k2.csv", text.as_bytes())];
    let script = "CREATE TABLE r (k BIGINT, v BIGINT) WITH ('path' = 'k*.csv', 'format' = 'csv'); \
                  SELECT k, COUNT(*), SUM(v) FROM r GROUP BY k";
    let options = every(options(&["-o", OUT]), 10_000);
    let grain = Grain { piece: 1 << 30, block: 64 << 10, turn_rows: 4096 };
    let expected =
        simulate::run(script, &files, &options, grain, 2, 1).expect("the query is good").outputs[0].1.clone();
    for seed in 0..4 {
        let disk = SimulatedDisk::new();
        let outcome = simulate::run_kept(script, &files, &options, grain, course(2, seed), &disk);
        let kept = outcome.expect("the query is good").expect("it begins").kept.expect("it came to its end");
        // Some seeds let the keeper take few steps.
        assert!(kept.epochs > if seed < 2 { 5 } else { 1 }, "seed {seed}: {kept:?}");
        assert!(disk.read(OUT).unwrap() == expected, "seed {seed}");
    }
}

/// A run that power has cut behind several checkpoints; the same each time.
fn cut_behind_checkpoints(inputs: &Inputs, script: &str, options: &Options) -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    disk.die_at(260);
    let _ = simulate::run_kept(script, &inputs.list(), options, PIECES, course(2, 3), &disk);
    disk.power_cut(1);
    disk
}

/// The epochs that are kept.
fn epochs(disk: &SimulatedDisk) -> Vec<u64> {
    let mut epochs: Vec<u64> =
        disk.list(simulate::CHECKPOINTS).unwrap().iter().filter_map(|name| name.parse().ok()).collect();
    epochs.sort_unstable();
    epochs
}

fn files_of(disk: &SimulatedDisk, epoch: u64) -> Vec<String> {
    let folder = format!("{}/{epoch}", simulate::CHECKPOINTS);
    let names = disk.list(&folder).unwrap();
    names.iter().filter(|name| *name != "COMMITTED").map(|name| format!("{folder}/{name}")).collect()
}

/// Does something to a file.
type Damage<'a> = &'a dyn Fn(&SimulatedDisk, &str);

#[test]
fn a_damaged_epoch_is_never_believed_and_an_older_one_takes_its_place() {
    let inputs = Inputs::new();
    let (script, options) = query("S3a");
    let expected = undisturbed(&inputs, &script, &options, 2);
    let options = every(options, 40);
    let disk = cut_behind_checkpoints(&inputs, &script, &options);
    let newest = *epochs(&disk).last().expect("some epochs are kept");
    assert!(epochs(&disk).len() > 1);
    let durable: Arc<dyn Durable> = Arc::new(disk.clone());
    let is_found = || {
        let opened = Opened::open(&durable, simulate::CHECKPOINTS).expect("an older epoch is whole");
        opened.damage().is_some_and(|damage| damage.to_string().contains("is damaged"))
    };
    assert!(!is_found());
    for name in files_of(&disk, newest) {
        for at in 0..disk.read(&name).unwrap().len() {
            disk.damage(&name, |bytes| bytes[at] ^= 1 << (at % 8)).unwrap();
            assert!(is_found(), "{name}, byte {at}");
            disk.damage(&name, |bytes| bytes[at] ^= 1 << (at % 8)).unwrap();
        }
    }
    assert!(!is_found());
    let damages: [(&str, Damage<'_>); 6] = [
        ("flipped", &|disk, name| disk.damage(name, |bytes| bytes[50] ^= 1).unwrap()),
        ("cut", &|disk, name| disk.damage(name, |bytes| bytes.truncate(bytes.len() - 512)).unwrap()),
        ("empty", &|disk, name| disk.damage(name, Vec::clear).unwrap()),
        ("missing", &|disk, name| disk.remove(name).unwrap()),
        ("of an older epoch", &|disk, name| {
            let older = name.replace(&format!("/{newest}/"), &format!("/{}/", newest - 1));
            let older = disk.read(&older).unwrap();
            disk.damage(name, |bytes| *bytes = older).unwrap();
        }),
        ("of another shard", &|disk, name| {
            let other = name.replace("shard-0", "shard-x").replace("shard-1", "shard-0").replace("shard-x", "shard-1");
            let other = disk.read(&other).unwrap();
            disk.damage(name, |bytes| *bytes = other).unwrap();
        }),
    ];
    for name in files_of(&disk, newest) {
        for (what, damage) in &damages {
            if *what == "of another shard" && name.ends_with("MANIFEST") {
                continue;
            }
            let disk = cut_behind_checkpoints(&inputs, &script, &options);
            let told = disk.read("out.csv.committed").unwrap();
            damage(&disk, &name);
            // Died once more on the way, so that what was committed is there all the time.
            disk.die_at(disk.operations() + 60);
            let _ = simulate::run_kept(&script, &inputs.list(), &options, PIECES, course(2, 4), &disk);
            disk.power_cut(2);
            let told: usize = String::from_utf8(told).unwrap().trim().parse().unwrap();
            assert!(disk.read(OUT).unwrap()[..told] == expected[..told], "{name} {what}");
            let ended = simulate::run_kept(&script, &inputs.list(), &options, PIECES, course(2, 5), &disk);
            let ended = ended.unwrap_or_else(|error| panic!("{name} {what}: {error}"));
            assert!(ended.is_none_or(|ended| ended.error.is_none()), "{name} {what}");
            assert!(disk.read(OUT).unwrap() == expected, "{name} {what}");
        }
    }
}

#[test]
fn damage_is_refused_where_no_older_epoch_can_take_its_place() {
    let inputs = Inputs::new();
    let refused = |script: &str, options: &Options, shards, damage: &dyn Fn(&SimulatedDisk), said: &str| {
        let disk = cut_behind_checkpoints(&inputs, script, options);
        damage(&disk);
        let before = disk.read(OUT).unwrap();
        let ended = simulate::run_kept(script, &inputs.list(), options, PIECES, course(shards, 4), &disk);
        let error = ended.expect_err("it is refused");
        assert!(error.to_string().contains(said), "{error}");
        assert!(disk.read(OUT).unwrap() == before, "nothing is touched");
    };
    let spoil = |disk: &SimulatedDisk, epoch: u64| {
        files_of(disk, epoch).iter().for_each(|name| disk.damage(name, |bytes| bytes[60] ^= 1).unwrap());
    };
    let newest = |disk: &SimulatedDisk| spoil(disk, *epochs(disk).last().unwrap());
    let all = |disk: &SimulatedDisk| epochs(disk).into_iter().for_each(|epoch| spoil(disk, epoch));
    let gone = |disk: &SimulatedDisk| {
        for epoch in epochs(disk) {
            let folder = format!("{}/{epoch}", simulate::CHECKPOINTS);
            disk.list(&folder).unwrap().iter().for_each(|name| disk.remove(&format!("{folder}/{name}")).unwrap());
            disk.remove_folder(&folder).unwrap();
        }
    };
    let (script, options) = query("S3a");
    let options = every(options, 40);
    refused(&script, &options, 2, &all, "is damaged");
    refused(&script, &options, 3, &newest, "is damaged");
    refused(&script, &options, 2, &gone, "no checkpoint knows of them");
    let (script, options) = query("S3b");
    refused(&script, &every(options, 40), 2, &newest, "is damaged");
}
