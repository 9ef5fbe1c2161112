//! Every query on 1, 2, 3 and 7 simulated shards under many seeds: the same rows whatever the number
//! of shards, the same bytes for the same number, and what a model of a few loops says.

mod common;

use std::collections::BTreeMap;

use common::*;
use corelane::job::Grain;
use corelane::options::Options;
use corelane::simulate::{self, Outcome};

const SHARDS: [usize; 4] = [1, 2, 3, 7];
const SEEDS: u64 = 25;
const PIECES: Grain = Grain { piece: 3000, block: 512, turn_rows: 20 };
const WHOLE: Grain = Grain { piece: 1 << 30, block: 4096, turn_rows: 100 };

fn run_over(
    files: &[(String, String)],
    script: &str,
    options: &Options,
    grain: Grain,
    shards: usize,
    seed: u64,
) -> Outcome {
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, text)| (name.as_str(), text.as_bytes())).collect();
    let script = format!("{}{script}", table("t*.csv"));
    let outcome = simulate::run(&script, &files, options, grain, shards, seed);
    let outcome = outcome.unwrap_or_else(|error| panic!("{script}: {error}"));
    for (table, counts) in &outcome.counts {
        let left = counts.bad + counts.filtered + counts.late + counts.delivered;
        assert_eq!(counts.read, left, "row equation of {table}, seed {seed}, {shards} shards");
    }
    outcome
}

fn texts() -> Vec<(String, String)> {
    files().into_iter().map(|(name, trades)| (name, csv(&trades))).collect()
}

fn text(outcome: &Outcome) -> &str {
    assert!(outcome.error.is_none(), "{:?}", outcome.error);
    std::str::from_utf8(&outcome.outputs[0].1).unwrap()
}

fn rows(text: &str) -> Vec<&str> {
    let mut rows: Vec<&str> = text.lines().skip(1).collect();
    rows.sort_unstable();
    rows
}

/// Panics at the first row in which `said` and `expected` differ.
#[track_caller]
fn same<T: PartialEq<U> + std::fmt::Debug, U: std::fmt::Debug>(
    said: impl IntoIterator<Item = T>,
    expected: impl IntoIterator<Item = U>,
    context: std::fmt::Arguments<'_>,
) {
    let (mut said, mut expected) = (said.into_iter(), expected.into_iter());
    for row in 0.. {
        match (said.next(), expected.next()) {
            (None, None) => return,
            (Some(said), Some(expected)) if said == expected => {}
            (said, expected) => panic!("{context}: row {row} is {said:?} instead of {expected:?}"),
        }
    }
}

/// Holds one query against itself over shards and seeds; returns what one shard says.
fn agree(name: &str, script: &str, options: &Options, grain: Grain) -> String {
    let files = texts();
    let single = run_over(&files, script, options, grain, 1, 0);
    let expected = text(&single).to_owned();
    for shards in SHARDS {
        let mut first: Option<Outcome> = None;
        for seed in 0..SEEDS * trials() {
            let outcome = run_over(&files, script, options, grain, shards, seed);
            same(rows(text(&outcome)), rows(&expected), format_args!("{name}, {shards} shards, seed {seed}"));
            let first = first.get_or_insert_with(|| outcome.clone());
            assert_eq!(outcome.counts, first.counts, "{name}, {shards} shards, seed {seed}");
            same(text(&outcome).lines(), text(first).lines(), format_args!("{name}, {shards} shards, seed {seed}"));
        }
    }
    expected
}

fn query(wanted: &str) -> (&'static str, Options) {
    let (_, script, flags) = QUERIES.iter().find(|(name, ..)| *name == wanted).expect("a known query");
    (script, options(flags))
}

macro_rules! queries_agree {
    ($($test:ident: $name:literal,)*) => {$(
        #[test]
        fn $test() {
            let (script, options) = query($name);
            for grain in [WHOLE, PIECES] {
                agree($name, script, &options, grain);
            }
        }
    )*};
}

queries_agree! {
    stateless: "stateless",
    projection: "projection",
    group_by: "S2",
    one_group: "one group",
    no_rows: "no rows",
    nothing: "nothing",
    tumbling: "S3a",
    hopping: "hopping",
    over_rows: "S1",
    top: "top",
    sort: "sort",
    distinct: "distinct",
    top_of_each: "top of each",
    last_of_each: "last of each",
    hot_items: "hot items",
    windows_again: "windows again",
    join: "join",
    outer_join: "outer join",
    three_tables: "three tables",
    near_in_time: "near in time",
    windows_joined: "windows joined",
    nearest: "nearest",
    partners: "partners",
    over_a_join: "over a join",
    one_value: "one value",
    all_with_all: "all with all",
    ordered_stateless: "stateless ordered",
}

#[test]
fn a_seed_repeats_its_run() {
    let files = texts();
    let hash = |seed| run_over(&files, S3A, &options(&[]), PIECES, 3, seed).trace_hash;
    for seed in 0..20 * trials() {
        assert_eq!(hash(seed), hash(seed), "seed {seed}");
    }
    assert_ne!(hash(1), hash(2));
}

/// Fields before the last `values` ones.
fn key(row: &str, values: usize) -> &str {
    row.rmatch_indices(',').nth(values - 1).map_or(row, |(at, _)| &row[..at])
}

/// One row out per row in; a group's counts go up one by one; its last row is its final result.
#[test]
fn changes_end_in_the_final_result() {
    let files = texts();
    let finals = run_over(&files, S3A, &options(&[]), PIECES, 1, 0);
    for (flags, ordered) in [(&[][..], false), (&["--ordered"], true)] {
        for shards in SHARDS {
            let mut first: Option<String> = None;
            for seed in 0..SEEDS * trials() {
                let outcome = run_over(&files, S3B, &options(flags), PIECES, shards, seed);
                let said = text(&outcome);
                assert_eq!(outcome.rows_out, outcome.counts[0].1.delivered, "{shards} shards, seed {seed}");
                let mut last: BTreeMap<&str, &str> = BTreeMap::new();
                for row in said.lines().skip(1) {
                    let count = |row: &str| row.rsplit(',').nth(2).unwrap().parse::<u64>().unwrap();
                    let before = last.insert(key(row, 3), row).map_or(0, count);
                    assert_eq!(count(row), before + 1, "{row}, {shards} shards, seed {seed}");
                }
                let mut last: Vec<&str> = last.into_values().collect();
                last.sort_unstable();
                same(last, rows(text(&finals)), format_args!("{shards} shards, seed {seed}"));
                let first = first.get_or_insert_with(|| said.to_owned());
                if ordered || shards == 1 {
                    same(said.lines(), first.lines(), format_args!("{shards} shards, seed {seed}"));
                }
            }
        }
    }
}

/// Sum, rows with a value, least and most of some quarters; or of whole numbers.
#[derive(Clone, Debug, Default)]
struct Totals {
    rows: i64,
    prices: Vec<i64>,
    quantities: Vec<i64>,
}

impl Totals {
    fn add(&mut self, trade: &Trade) {
        self.rows += 1;
        self.prices.extend(trade.quarters);
        self.quantities.extend(trade.quantity);
    }

    fn mean(&self) -> String {
        let mean = || self.prices.iter().sum::<i64>() as f64 / 4.0 / self.prices.len() as f64;
        if self.prices.is_empty() { String::new() } else { double(mean()) }
    }

    fn quantity(&self) -> String {
        if self.quantities.is_empty() { String::new() } else { self.quantities.iter().sum::<i64>().to_string() }
    }

    fn bounds(&self) -> String {
        let show = |quarters: Option<&i64>| quarters.map_or(String::new(), |&quarters| double(quarters as f64 / 4.0));
        format!("{},{}", show(self.prices.iter().min()), show(self.prices.iter().max()))
    }
}

fn double(value: f64) -> String {
    format!("{value:?}")
}

/// The rows of each file that are in time by `late(time, watermark)`, and how many are not.
fn in_time(late: impl Fn(i64, i64) -> bool) -> (Vec<(usize, Trade)>, u64) {
    let (mut kept, mut dropped) = (Vec::new(), 0);
    for (file, (_, trades)) in files().into_iter().enumerate() {
        let mut highest = trades.first().map_or(i64::MIN, |trade| trade.ms);
        for trade in trades {
            let is_late = late(trade.ms, highest - 2000);
            highest = highest.max(trade.ms);
            if is_late { dropped += 1 } else { kept.push((file, trade)) }
        }
    }
    (kept, dropped)
}

fn expect(script: &str, mut expected: Vec<String>, late: u64) {
    expected.sort_unstable();
    for shards in SHARDS {
        for seed in 0..5 * trials() {
            let outcome = run_over(&texts(), script, &options(&[]), WHOLE, shards, seed);
            same(
                rows(text(&outcome)),
                expected.iter().map(String::as_str),
                format_args!("{script}, {shards} shards, seed {seed}"),
            );
            assert_eq!(outcome.counts[0].1.late, late, "{script}, {shards} shards, seed {seed}");
        }
    }
}

#[test]
fn group_by_is_what_a_loop_says() {
    let mut groups: BTreeMap<(i64, Option<String>), Totals> = BTreeMap::new();
    for trade in files().into_iter().flat_map(|(_, trades)| trades) {
        groups.entry((trade.trader, trade.symbol.clone())).or_default().add(&trade);
    }
    let row = |((trader, symbol), totals): (&(i64, Option<String>), &Totals)| {
        let (rows, mean, quantity, bounds) = (totals.rows, totals.mean(), totals.quantity(), totals.bounds());
        format!("{trader},{},{rows},{mean},{quantity},{bounds}", field(symbol.as_deref()))
    };
    expect(S2, groups.iter().map(row).collect(), 0);
}

#[test]
fn tumbling_windows_are_what_a_loop_says() {
    let (kept, late) = in_time(|ms, watermark| (ms.div_euclid(10_000) + 1) * 10_000 <= watermark);
    assert!(late > 0 && !kept.is_empty());
    let mut groups: BTreeMap<(i64, i64, Option<String>), Totals> = BTreeMap::new();
    for (_, trade) in &kept {
        let window = trade.ms.div_euclid(10_000) * 10_000;
        groups.entry((window, trade.trader, trade.symbol.clone())).or_default().add(trade);
    }
    let row = |((window, trader, symbol), totals): (&(i64, i64, Option<String>), &Totals)| {
        let (rows, mean, quantity) = (totals.rows, totals.mean(), totals.quantity());
        format!("{},{trader},{},{rows},{quantity},{mean}", timestamp(*window), field(symbol.as_deref()))
    };
    expect(S3A, groups.iter().map(row).collect(), late);
}

/// A row that is late for some of its windows counts in the others.
#[test]
fn hopping_windows_are_what_a_loop_says() {
    let (size, slide) = (10_000, 2_000);
    let mut groups: BTreeMap<(i64, Option<String>), Totals> = BTreeMap::new();
    let (mut late, mut partly_late) = (0, 0);
    for (_, trades) in files() {
        let mut highest = trades.first().map_or(i64::MIN, |trade| trade.ms);
        for trade in trades {
            let watermark = highest - 2000;
            highest = highest.max(trade.ms);
            let last = trade.ms.div_euclid(slide) * slide;
            let open: Vec<i64> = (0..size / slide).map(|back| last - back * slide).collect();
            let open: Vec<i64> = open.into_iter().filter(|start| start + size > watermark).collect();
            late += u64::from(open.is_empty());
            partly_late += u64::from(!open.is_empty() && open.len() < 5);
            for start in open {
                groups.entry((start, trade.symbol.clone())).or_default().add(&trade);
            }
        }
    }
    assert!(late > 0 && partly_late > 0);
    let row = |((start, symbol), totals): (&(i64, Option<String>), &Totals)| {
        let most = totals.bounds().split_once(',').map(|(_, most)| most.to_owned()).unwrap_or_default();
        format!("{},{},{},{most}", timestamp(*start), field(symbol.as_deref()), totals.rows)
    };
    let (script, _) = query("hopping");
    expect(script, groups.iter().map(row).collect(), late);
    let changes = format!("{script} EMIT CHANGES");
    for shards in SHARDS {
        let outcome = run_over(&texts(), &changes, &options(&[]), WHOLE, shards, 1);
        let total: i64 = groups.values().map(|totals| totals.rows).sum();
        assert_eq!(outcome.rows_out as i64, total, "a row out for every row and window, {shards} shards");
    }
}

#[test]
fn over_rows_is_what_a_loop_says() {
    let (mut kept, late) = in_time(|ms, watermark| ms <= watermark);
    assert!(late > 0 && !kept.is_empty());
    // Stable: ties stay in order of file and row.
    kept.sort_by_key(|(_, trade)| trade.ms);
    let mut frames: BTreeMap<Option<String>, Vec<Trade>> = BTreeMap::new();
    let mut expected = Vec::new();
    for (_, trade) in &kept {
        let frame = frames.entry(trade.symbol.clone()).or_default();
        frame.push(trade.clone());
        let mut totals = Totals::default();
        frame.iter().rev().take(10).for_each(|trade| totals.add(trade));
        let price = trade.quarters.map_or(String::new(), |quarters| double(quarters as f64 / 4.0));
        let symbol = field(trade.symbol.as_deref());
        expected.push(format!("{symbol},{},{price},{},{}", timestamp(trade.ms), totals.mean(), totals.bounds()));
    }
    // The engine gives the rows out by time, so they are compared in order as well.
    let single = run_over(&texts(), S1, &options(&[]), WHOLE, 1, 0);
    let times = |rows: &mut dyn Iterator<Item = &str>| -> Vec<String> {
        rows.map(|row| row[row.find("2026-").unwrap()..][..23].to_owned()).collect()
    };
    let said = times(&mut text(&single).lines().skip(1));
    same(said, times(&mut expected.iter().map(String::as_str)), format_args!("times of S1"));
    expect(S1, expected, late);
}

/// Batch delays, merge buffers and the skew allowed change when something is sent, never what.
#[test]
fn delays_small_buffers_and_skew_change_nothing() {
    let files = texts();
    for (name, script, flags) in QUERIES {
        for shards in [2, 3, 7] {
            let usual = run_over(&files, script, &options(flags), PIECES, shards, 0);
            for more in [
                &["--merge-buffer", "1KiB"][..],
                &["--merge-buffer", "0"],
                &["--max-skew", "0s"],
                &["--max-skew", "5s"],
                &["--max-batch-delay", "0ns"],
                &["--max-batch-delay", "1h", "--merge-buffer", "100"],
            ] {
                let words: Vec<&str> = flags.iter().chain(more).copied().collect();
                for seed in 0..10 * trials() {
                    let outcome = run_over(&files, script, &options(&words), PIECES, shards, seed);
                    if *name == "S3b" {
                        assert_eq!(outcome.rows_out, usual.rows_out, "{name} {words:?}, {shards} shards, seed {seed}");
                    } else {
                        same(
                            text(&outcome).lines(),
                            text(&usual).lines(),
                            format_args!("{name} {words:?}, {shards} shards, seed {seed}"),
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn an_exchange_on_one_shard_changes_no_byte() {
    let files = texts();
    for (name, script, flags) in QUERIES {
        let plain = run_over(&files, script, &options(flags), PIECES, 1, 0);
        let words: Vec<&str> = flags.iter().chain(&["--force-exchange"]).copied().collect();
        for seed in 0..10 * trials() {
            let forced = run_over(&files, script, &options(&words), PIECES, 1, seed);
            same(text(&forced).lines(), text(&plain).lines(), format_args!("{name}, seed {seed}"));
        }
    }
}
