//! Runs with checkpoints under the simulator: power cuts at any operation of the disk, and the same
//! bytes in the end.

mod common;

use common::*;
use corelane::job::Grain;
use corelane::options::Options;
use corelane::simulate::{self, Random};
use corelane_io::durable::{Durable, SimulatedDisk};

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
                let run = || simulate::run_kept(&script, &inputs.list(), &options, PIECES, (shards, seed), &disk);
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
        let schedule = (shards, seed + cuts);
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
                cuts += (0..8).map(|seed| cut_until_done(&inputs, $name, shards, seed * 1000, &expected)).sum::<u64>();
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
    let run =
        |disk: &SimulatedDisk, seed| simulate::run_kept(&script, &inputs.list(), &options, PIECES, (2, seed), disk);
    let disk = SimulatedDisk::new();
    run(&disk, 0).unwrap();
    for operation in (1..disk.operations()).step_by(7) {
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
        simulate::run_kept(script, &inputs.list(), &options, PIECES, (shards, 0), &disk)
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
    refused(&inputs, &script, 3, "then: shards 2");
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
    let run = |disk: &SimulatedDisk| simulate::run_kept(&script, &inputs.list(), &options, PIECES, (2, 5), disk);
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
