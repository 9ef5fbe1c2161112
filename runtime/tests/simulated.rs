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
const PIECES: Grain = Grain { piece: 3000, block: 512 };
const WHOLE: Grain = Grain { piece: 1 << 30, block: 4096 };

fn run_over(files: &[(String, String)], script: &str, options: &Options, grain: Grain, shards: usize, seed: u64) -> Outcome {
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

/// Holds one query against itself over shards and seeds; `bytes`: whether the same number of shards
/// promises the same bytes.
fn agree(name: &str, script: &str, options: &Options, grain: Grain, bytes: bool) -> String {
    let files = texts();
    let single = run_over(&files, script, options, grain, 1, 0);
    let expected = text(&single).to_owned();
    for shards in SHARDS {
        let mut first: Option<Outcome> = None;
        for seed in 0..SEEDS {
            let outcome = run_over(&files, script, options, grain, shards, seed);
            assert_eq!(rows(text(&outcome)), rows(&expected), "{name}, {shards} shards, seed {seed}");
            let first = first.get_or_insert_with(|| outcome.clone());
            assert_eq!(outcome.counts, first.counts, "{name}, {shards} shards, seed {seed}");
            if bytes || shards == 1 {
                assert_eq!(text(&outcome), text(first), "{name}, {shards} shards, seed {seed}");
            }
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
                agree($name, script, &options, grain, $name != "S3b");
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
    changes: "S3b",
    ordered_changes: "S3b ordered",
    over_rows: "S1",
    top: "top",
    sort: "sort",
    distinct: "distinct",
    ordered_stateless: "stateless ordered",
}

#[test]
fn a_seed_repeats_its_run() {
    let files = texts();
    let hash = |seed| run_over(&files, S3A, &options(&[]), PIECES, 3, seed).trace_hash;
    for seed in 0..20 {
        assert_eq!(hash(seed), hash(seed), "seed {seed}");
    }
    assert_ne!(hash(1), hash(2));
}
