//! Processing time: what is stamped and when windows close, by the virtual clock and by one that moves
//! with the rows.

mod common;

use std::collections::BTreeMap;

use common::*;
use corelane::job::Grain;
use corelane::options::Options;
use corelane::simulate::{self, Course, Outcome, Random};
use corelane_io::durable::SimulatedDisk;

const GRAIN: Grain = Grain { piece: 1 << 30, block: 20, turn_rows: 20 };
const OUT: &str = "out.csv";

fn script(query: &str) -> String {
    format!("CREATE TABLE t (k INT, v INT, p AS PROCTIME()) WITH ('path' = 't*.csv'); {query}")
}

const TUMBLE: &str = "SELECT window_start, window_end, k, COUNT(*) AS n, SUM(v) AS s \
    FROM TUMBLE(TABLE t, DESCRIPTOR(p), INTERVAL '1' SECOND) GROUP BY window_start, window_end, k";

/// `files` files of `rows` rows: a key and a value.
fn inputs(files: usize, rows: usize) -> Vec<(String, String)> {
    let mut random = Random::new(7);
    let text = |_| (0..rows).map(|row| format!("{},{row}\n", random.below(5))).collect::<String>();
    let texts: Vec<String> = (0..files).map(text).collect();
    texts.into_iter().enumerate().map(|(number, text)| (format!("t{number}.csv"), format!("k,v\n{text}"))).collect()
}

fn run(files: &[(String, String)], script: &str, options: &Options, shards: usize, seed: u64) -> Outcome {
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, text)| (name.as_str(), text.as_bytes())).collect();
    let outcome = simulate::run(script, &files, options, GRAIN, shards, seed).unwrap();
    assert!(outcome.error.is_none(), "{:?}", outcome.error);
    assert!(outcome.late.is_empty(), "nothing is late by the clock");
    outcome
}

fn lines(outcome: &Outcome) -> Vec<String> {
    let text = std::str::from_utf8(&outcome.outputs[0].1).unwrap();
    text.lines().skip(1).map(str::to_owned).collect()
}

/// Sums of the last two columns by key, whatever the window.
fn by_key(rows: &[String]) -> BTreeMap<String, (i64, i64)> {
    let mut sums = BTreeMap::new();
    for row in rows {
        let fields: Vec<&str> = row.split(',').collect();
        let entry: &mut (i64, i64) = sums.entry(fields[2].to_owned()).or_default();
        entry.0 += fields[3].parse::<i64>().unwrap();
        entry.1 += fields[4].parse::<i64>().unwrap();
    }
    sums
}

fn expected(files: &[(String, String)]) -> BTreeMap<String, (i64, i64)> {
    let mut sums = BTreeMap::new();
    for line in files.iter().flat_map(|(_, text)| text.lines().skip(1)) {
        let (key, value) = line.split_once(',').unwrap();
        let entry: &mut (i64, i64) = sums.entry(key.to_owned()).or_default();
        entry.0 += 1;
        entry.1 += value.parse::<i64>().unwrap();
    }
    sums
}

#[test]
fn every_row_is_in_one_window_whatever_the_schedule() {
    let files = inputs(5, 150);
    // The simulation's clock moves some hundred nanoseconds a step, and some more while blocks are read.
    let script = script(&TUMBLE.replace("'1' SECOND", "'0.001' SECOND"));
    let mut windows = 0;
    for shards in [1, 2, 3, 7] {
        for seed in 0..25 * trials() {
            let found = lines(&run(&files, &script, &options(&[]), shards, seed));
            assert_eq!(by_key(&found), expected(&files), "{shards} shards, seed {seed}");
            let again = lines(&run(&files, &script, &options(&[]), shards, seed));
            assert_eq!(found, again, "{shards} shards, seed {seed}: a seed repeats its run");
            let mut ends: Vec<&str> = found.iter().map(|row| row.split(',').nth(1).unwrap()).collect();
            assert!(ends.is_sorted(), "{shards} shards, seed {seed}: windows leave in order");
            ends.dedup();
            windows = windows.max(ends.len());
        }
    }
    assert!(windows > 1, "the clock never passed the end of a window");
}

#[test]
fn a_clock_that_moves_with_the_rows_says_the_same_on_any_number_of_shards() {
    let files = inputs(1, 500);
    let options = options(&["--clock", "2026-01-01 00:00:00,10ms"]);
    let mut model = BTreeMap::new();
    for (row, line) in files[0].1.lines().skip(1).enumerate() {
        let (key, value) = line.split_once(',').unwrap();
        let entry: &mut (i64, i64) = model.entry((row / 100, key.to_owned())).or_default();
        entry.0 += 1;
        entry.1 += value.parse::<i64>().unwrap();
    }
    let model = model.iter().map(|((window, key), (count, sum))| {
        format!("2026-01-01 00:00:0{window}.000Z,2026-01-01 00:00:0{}.000Z,{key},{count},{sum}", window + 1)
    });
    let model: Vec<String> = model.collect();
    for shards in [1, 2, 3, 7] {
        for seed in 0..25 * trials() {
            let found = lines(&run(&files, &script(TUMBLE), &options, shards, seed));
            assert_eq!(found, model, "{shards} shards, seed {seed}");
        }
    }
}

#[test]
fn sessions_and_frames_go_by_the_clock() {
    let files = inputs(1, 60);
    let options = options(&["--clock", "2026-01-01 00:00:00,1s"]);
    let sessions =
        "SELECT window_start, window_end, k, COUNT(*), SUM(v) FROM t GROUP BY SESSION(p, INTERVAL '3' SECOND), k";
    let mut open: BTreeMap<String, (i64, i64, i64, i64)> = BTreeMap::new();
    let mut model = Vec::new();
    for (row, line) in files[0].1.lines().skip(1).enumerate() {
        let ((key, value), at) = (line.split_once(',').unwrap(), row as i64);
        let value: i64 = value.parse().unwrap();
        match open.get_mut(key) {
            Some(session) if at - session.1 < 3 => *session = (session.0, at, session.2 + 1, session.3 + value),
            _ => {
                let begun = open.insert(key.to_owned(), (at, at, 1, value));
                model.extend(begun.map(|session| (key.to_owned(), session)));
            }
        }
    }
    model.extend(open);
    let model = model.into_iter().map(|(key, (first, last, count, sum))| {
        let last = last + 3;
        format!(
            "2026-01-01 00:{:02}:{:02}.000Z,2026-01-01 00:{:02}:{:02}.000Z,{key},{count},{sum}",
            first / 60,
            first % 60,
            last / 60,
            last % 60
        )
    });
    let mut model: Vec<String> = model.collect();
    model.sort();
    let frames = "SELECT k, v, SUM(v) OVER (PARTITION BY k ORDER BY p RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW), ROW_NUMBER() OVER (PARTITION BY k ORDER BY p) FROM t";
    for shards in [1, 2, 3] {
        for seed in 0..10 * trials() {
            let mut found = lines(&run(&files, &script(sessions), &options, shards, seed));
            found.sort();
            assert_eq!(found, model, "sessions, {shards} shards, seed {seed}");
            let mut sums: BTreeMap<String, (i64, i64)> = BTreeMap::new();
            let mut found = lines(&run(&files, &script(frames), &options, shards, seed));
            found.sort_by_key(|row| row.split(',').nth(1).unwrap().parse::<i64>().unwrap());
            for row in found {
                let fields: Vec<&str> = row.split(',').collect();
                let sum = sums.entry(fields[0].to_owned()).or_default();
                sum.0 += fields[1].parse::<i64>().unwrap();
                sum.1 += 1;
                assert_eq!(
                    row,
                    format!("{},{},{},{}", fields[0], fields[1], sum.0, sum.1),
                    "{shards} shards, seed {seed}"
                );
            }
        }
    }
}

/// Runs that are cut short by a power cut, until one comes to its end: its output.
fn cut_until_done(files: &[(String, String)], script: &str, options: &Options, shards: usize, seed: u64) -> Vec<u8> {
    let list: Vec<(&str, &[u8])> = files.iter().map(|(name, text)| (name.as_str(), text.as_bytes())).collect();
    let disk = SimulatedDisk::new();
    let mut random = Random::new(seed);
    for cuts in 0..200 {
        use corelane_io::durable::Durable;
        disk.die_at(disk.operations() + 1 + random.below(if cuts < 4 { 120 } else { 5000 }));
        let course = Course { shards, seed: seed + cuts, last_at: None };
        let ended = simulate::run_kept(script, &list, options, GRAIN, course, &disk);
        let is_done = match &ended {
            Ok(None) => true,
            Ok(Some(outcome)) => outcome.kept.is_some_and(|kept| kept.is_finished),
            Err(_) => false,
        };
        disk.power_cut(random.bits());
        if is_done {
            return disk.read(OUT).unwrap();
        }
    }
    panic!("{shards} shards, seed {seed}: it gets nowhere")
}

fn kept(words: &[&str]) -> Options {
    let every = Some(corelane::checkpoint::Every::Rows(40));
    Options { checkpoint_every: every, ..options(&[&["-o", OUT][..], words].concat()) }
}

#[test]
fn power_cuts_keep_every_row_in_one_window_and_the_clock_goes_on() {
    let files = inputs(3, 120);
    let script = script(&TUMBLE.replace("'1' SECOND", "'0.001' SECOND"));
    for shards in [1, 2, 3] {
        for seed in 0..6 * trials() {
            let text = cut_until_done(&files, &script, &kept(&[]), shards, seed * 1000);
            let found: Vec<String> = String::from_utf8(text).unwrap().lines().skip(1).map(str::to_owned).collect();
            assert_eq!(by_key(&found), expected(&files), "{shards} shards, seed {seed}");
            let ends: Vec<&str> = found.iter().map(|row| row.split(',').nth(1).unwrap()).collect();
            assert!(ends.is_sorted(), "{shards} shards, seed {seed}: the clock went back: {found:?}");
        }
    }
}

#[test]
fn power_cuts_change_no_byte_where_the_clock_moves_with_the_rows() {
    let files = inputs(3, 200);
    let options = kept(&["--clock", "2026-01-01 00:00:00,10ms"]);
    for shards in [1, 2, 3] {
        let expected = run(&files, &script(TUMBLE), &options, shards, 1).outputs[0].1.clone();
        for seed in 0..6 * trials() {
            let found = cut_until_done(&files, &script(TUMBLE), &options, shards, seed * 1000);
            assert!(found == expected, "{shards} shards, seed {seed}");
        }
    }
}
