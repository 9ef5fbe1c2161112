//! Folders named by rows under checkpoints: each file appears once, whole, with its name, and never changes.

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::*;
use corelane::checkpoint::Every;
use corelane::job::Grain;
use corelane::options::Options;
use corelane::simulate::{self, Course, Random};
use corelane_io::durable::{Durable, SimulatedDisk};

const PIECES: Grain = Grain { piece: 3000, block: 512, turn_rows: 20 };
const ROOT: &str = "out";

/// Files by path below the root.
type Files = BTreeMap<String, Vec<u8>>;

/// Name, format, what the table says besides, partition columns, query.
const CASES: &[(&str, &str, &str, &str, &str)] = &[
    ("rows", "csv", ", 'roll.rows' = '7'", "symbol", "SELECT ts, symbol, quantity FROM trades WHERE trader > 1"),
    ("bytes", "ndjson", ", 'roll.bytes' = '200'", "symbol, trader", "SELECT ts, symbol, trader FROM trades"),
    ("few open", "csv", ", 'open.files' = '2'", "trader", "SELECT trader, price, symbol FROM trades"),
    (
        "windows",
        "json",
        ", 'roll.rows' = '3'",
        "window_start",
        "SELECT window_start, trader, symbol, COUNT(*) AS n, SUM(quantity) AS q FROM TUMBLE(trades, ts, INTERVAL '1' MINUTE) \
         GROUP BY window_start, window_end, trader, symbol",
    ),
    (
        "groups",
        "csv",
        "",
        "trader",
        "SELECT trader, symbol, COUNT(*) AS n, MIN(price) AS low FROM trades GROUP BY trader, symbol",
    ),
];

fn name_of(case: usize) -> &'static str {
    CASES[case].0
}

fn columns(query: &str) -> &'static str {
    match query {
        query if query.contains("TUMBLE") => {
            "window_start TIMESTAMP(3), trader BIGINT, symbol STRING, n BIGINT, q BIGINT"
        }
        query if query.contains("MIN(price)") => "trader BIGINT, symbol STRING, n BIGINT, low DOUBLE",
        query if query.contains("price, symbol") => "trader BIGINT, price DOUBLE, symbol STRING",
        query if query.contains("quantity") => "ts TIMESTAMP(3), symbol STRING, quantity BIGINT",
        _ => "ts TIMESTAMP(3), symbol STRING, trader BIGINT",
    }
}

fn script(case: usize, root: &str) -> String {
    let (_, format, more, by, query) = CASES[case];
    format!(
        "{}CREATE TABLE o ({}) PARTITIONED BY ({by}) WITH ('path' = '{root}/', 'format' = '{format}'{more});\n\
         INSERT INTO o {query};",
        table("t*.csv"),
        columns(query)
    )
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

fn every(rows: u64) -> Options {
    Options { checkpoint_every: Some(Every::Rows(rows)), ..options(&[]) }
}

/// What the same run writes without checkpoints, to a real folder.
fn undisturbed(inputs: &Inputs, case: usize, shards: usize) -> Files {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let script = script(case, folder.path().to_str().expect("it is UTF-8"));
    let outcome = simulate::run(&script, &inputs.list(), &options(&[]), PIECES, shards, 3).expect("the query is good");
    assert!(outcome.error.is_none(), "{:?}", outcome.error);
    let mut files = Files::new();
    fn look(root: &Path, folder: &Path, files: &mut Files) {
        for entry in std::fs::read_dir(folder).expect("it is there").map(|entry| entry.expect("it is there").path()) {
            if entry.is_dir() {
                look(root, &entry, files);
            } else {
                let name = entry.strip_prefix(root).expect("it is below").to_str().expect("it is UTF-8").to_owned();
                files.insert(name, std::fs::read(&entry).expect("it can be read"));
            }
        }
    }
    look(folder.path(), folder.path(), &mut files);
    assert!(files.len() > 4, "{}", name_of(case));
    files
}

/// All files below the root, temporary ones too.
fn all(disk: &SimulatedDisk) -> Files {
    let mut files = Files::new();
    let mut folders = vec![ROOT.to_owned()];
    while let Some(folder) = folders.pop() {
        for name in disk.list(&folder).unwrap_or_default() {
            let path = format!("{folder}/{name}");
            match disk.read(&path) {
                Ok(bytes) => {
                    files.insert(path[ROOT.len() + 1..].to_owned(), bytes);
                }
                Err(_) => folders.push(path),
            }
        }
    }
    files
}

/// The files that readers see.
fn visible(disk: &SimulatedDisk) -> Files {
    all(disk)
        .into_iter()
        .filter(|(name, _)| !name.rsplit('/').next().is_some_and(|name| name.starts_with('.')))
        .collect()
}

/// What there is must be what there will be, and nothing that was there may be gone.
fn check(context: &str, before: &Files, now: &Files, expected: &Files) {
    for (name, bytes) in now {
        assert!(expected.get(name) == Some(bytes), "{context}: `{name}` is not as it will be");
    }
    assert!(before.keys().all(|name| now.contains_key(name)), "{context}: a file is gone");
}

fn run(inputs: &Inputs, case: usize, rows: u64, course: Course, disk: &SimulatedDisk) -> corelane_engine::Result<bool> {
    let ended = simulate::run_kept(&script(case, ROOT), &inputs.list(), &every(rows), PIECES, course, disk)?;
    let Some(outcome) = ended else { return Ok(true) };
    match outcome.error {
        Some(error) => Err(error),
        None => Ok(outcome.kept.is_some_and(|kept| kept.is_finished)),
    }
}

fn course(shards: usize, seed: u64) -> Course {
    Course { shards, seed, last_at: None }
}

#[test]
fn checkpoints_change_no_file() {
    let inputs = Inputs::new();
    for case in 0..CASES.len() {
        for shards in [1, 2, 3] {
            let expected = undisturbed(&inputs, case, shards);
            for seed in 0..5 {
                let context = format!("{}, {shards} shards, seed {seed}", name_of(case));
                let disk = SimulatedDisk::new();
                assert!(run(&inputs, case, 40, course(shards, seed), &disk).expect("it runs"), "{context}");
                assert!(all(&disk) == expected, "{context}");
                disk.power_cut(seed);
                assert!(all(&disk) == expected, "{context}: what is committed outlives a power cut");
                assert!(run(&inputs, case, 40, course(shards, seed), &disk).expect("it is done"), "{context}");
            }
        }
    }
}

/// Power is cut again and again, and each time another run goes on; returns how often.
fn cut_until_done(inputs: &Inputs, case: usize, shards: usize, seed: u64, expected: &Files, first: Option<u64>) -> u64 {
    let disk = SimulatedDisk::new();
    let mut random = Random::new(seed);
    let mut seen = Files::new();
    for cuts in 0.. {
        let context = format!("{}, {shards} shards, seed {seed}, first {first:?}, cut {cuts}", name_of(case));
        assert!(cuts < 200, "{context}: it gets nowhere");
        match first {
            Some(first) if cuts == 0 => disk.die_at(first),
            Some(_) => {}
            None => disk.die_at(disk.operations() + 1 + random.below(if cuts < 6 { 200 } else { 8000 })),
        }
        let is_done = run(inputs, case, 40, course(shards, seed + cuts), &disk);
        disk.power_cut(random.bits());
        let now = visible(&disk);
        check(&context, &seen, &now, expected);
        seen = now;
        match is_done {
            Ok(true) => {
                assert!(all(&disk) == *expected, "{context}: {:?}", all(&disk).keys());
                return cuts;
            }
            Err(error) if first.is_some() && cuts > 0 => panic!("{context}: {error}"),
            _ => {}
        }
    }
    unreachable!("the loop has no end of its own")
}

macro_rules! power_cuts {
    ($($test:ident: $case:literal,)*) => {$(
        #[test]
        fn $test() {
            let inputs = Inputs::new();
            let mut cuts = 0;
            for shards in [1, 2, 3] {
                let expected = undisturbed(&inputs, $case, shards);
                let seeds = (0..6 * trials()).map(|seed| seed * 1000);
                cuts += seeds.map(|seed| cut_until_done(&inputs, $case, shards, seed, &expected, None)).sum::<u64>();
            }
            assert!(cuts >= 18, "only {cuts} cuts");
        }
    )*};
}

power_cuts! {
    power_cuts_rolling_by_rows: 0,
    power_cuts_rolling_by_bytes: 1,
    power_cuts_few_files_open: 2,
    power_cuts_windows: 3,
    power_cuts_groups: 4,
}

#[test]
fn power_is_cut_at_every_operation() {
    let inputs = Inputs::new();
    for (case, shards) in [(0, 2), (3, 1)] {
        let expected = undisturbed(&inputs, case, shards);
        let disk = SimulatedDisk::new();
        run(&inputs, case, 40, course(shards, 0), &disk).expect("it runs");
        let last = disk.operations();
        assert!(last > 500, "{last}");
        for operation in (1..=last).step_by(if trials() > 1 { 1 } else { 3 }) {
            cut_until_done(&inputs, case, shards, 0, &expected, Some(operation));
        }
    }
}

#[test]
fn a_disk_that_fails_once_ends_the_run_and_loses_nothing() {
    let inputs = Inputs::new();
    let expected = undisturbed(&inputs, 0, 2);
    let disk = SimulatedDisk::new();
    run(&inputs, 0, 40, course(2, 0), &disk).unwrap();
    for operation in (4..disk.operations()).step_by(if trials() > 1 { 1 } else { 7 }) {
        let disk = SimulatedDisk::new();
        disk.fail_at(operation);
        assert!(run(&inputs, 0, 40, course(2, 0), &disk).is_err(), "nobody minds that operation {operation} fails");
        disk.fail_at(0);
        disk.power_cut(operation);
        check(&format!("operation {operation}"), &Files::new(), &visible(&disk), &expected);
        let done = run(&inputs, 0, 40, course(2, 1), &disk);
        assert!(done.unwrap_or_else(|error| panic!("operation {operation}: {error}")));
        assert!(all(&disk) == expected, "operation {operation}");
    }
}

/// Asked to end as by a signal: what is not whole stays under temporary names, and is gone on with.
#[test]
fn a_run_that_is_stopped_and_gone_on_with_writes_the_same_files() {
    let inputs = Inputs::new();
    for case in 0..CASES.len() {
        for shards in [1, 2, 3] {
            let expected = undisturbed(&inputs, case, shards);
            for seed in 0..4u64 {
                let disk = SimulatedDisk::new();
                let context = format!("{}, {shards} shards, seed {seed}", name_of(case));
                let (mut stops, mut hidden) = (0, 0);
                for step in 0.. {
                    assert!(step < 60, "{context}: it gets nowhere");
                    let last_at = Some(if step < 50 { 20 + 60 * (seed + step) } else { u64::MAX });
                    let course = Course { shards, seed: seed + step, last_at };
                    let is_done = run(&inputs, case, 1 << 40, course, &disk).expect("it goes on");
                    check(&context, &Files::new(), &visible(&disk), &expected);
                    if is_done {
                        break;
                    }
                    hidden += all(&disk).len() - visible(&disk).len();
                    stops += 1;
                }
                assert!(all(&disk) == expected, "{context}, after {stops} stops");
                assert!(stops > 0 && (hidden > 0 || case > 2), "{context}: {stops} stops, {hidden} files hidden");
            }
        }
    }
}

/// Rows of all files, with their folders.
fn rows(files: &Files) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    for (name, bytes) in files {
        let (folder, _) = name.rsplit_once('/').expect("it is in a folder");
        let text = String::from_utf8(bytes.clone()).expect("it is UTF-8");
        let lines = text.lines().skip(usize::from(name.ends_with("csv")));
        rows.extend(lines.map(|line| (folder.to_owned(), line.trim_matches([',', '[', ']']).to_owned())));
    }
    rows.retain(|(_, line)| !line.trim().is_empty());
    rows.iter_mut().for_each(|(_, line)| *line = line.trim().to_owned());
    rows.sort();
    rows
}

#[test]
fn a_run_goes_on_on_another_number_of_shards_with_the_same_rows() {
    let inputs = Inputs::new();
    for case in 0..CASES.len() {
        let expected = rows(&undisturbed(&inputs, case, 2));
        for counts in [&[2, 4][..], &[1, 3], &[3, 1], &[4, 2, 4]] {
            for seed in 0..3 {
                let disk = SimulatedDisk::new();
                let context = format!("{}, {counts:?}, seed {seed}", name_of(case));
                let mut seen = Files::new();
                for step in 0.. {
                    assert!(step < 60, "{context}: it gets nowhere");
                    let last_at = Some(if step < 9 { 40 + 50 * (seed + step) } else { u64::MAX });
                    let course = Course { shards: counts[step as usize % counts.len()], seed: seed + step, last_at };
                    let is_done = run(&inputs, case, 1 << 40, course, &disk).expect("it goes on");
                    let now = visible(&disk);
                    assert!(seen.iter().all(|(name, bytes)| now.get(name) == Some(bytes)), "{context}: a file changed");
                    seen = now;
                    if is_done {
                        break;
                    }
                }
                assert!(rows(&all(&disk)) == expected, "{context}");
            }
        }
    }
}

#[test]
fn what_others_have_put_there_stays() {
    let inputs = Inputs::new();
    let expected = undisturbed(&inputs, 0, 2);
    let disk = SimulatedDisk::new();
    disk.make_folder(ROOT).unwrap();
    disk.write("out/theirs", b"x").unwrap();
    let error = run(&inputs, 0, 40, course(2, 0), &disk).unwrap_err();
    assert!(error.to_string().contains("is not empty"), "{error}");
    disk.remove("out/theirs").unwrap();

    disk.die_at(disk.operations() + 300);
    run(&inputs, 0, 40, course(2, 0), &disk).unwrap_err();
    disk.die_at(u64::MAX);
    let temporary = all(&disk).into_keys().find(|name| name.ends_with(".tmp")).expect("a file is being written");
    let job = temporary.rsplit('.').nth(1).unwrap().to_owned();
    let folder = temporary.rsplit_once('/').unwrap().0;
    let orphan = format!("out/{folder}/.part-s9-9.csv.{job}.tmp");
    let other = format!("out/{folder}/.part-s9-9.csv.0123456789abcdef.tmp");
    disk.write(&orphan, b"x").unwrap();
    disk.write(&other, b"x").unwrap();
    disk.write("out/theirs", b"x").unwrap();
    assert!(run(&inputs, 0, 40, course(2, 1), &disk).unwrap());
    assert!(!disk.exists(&orphan) && disk.exists(&other) && disk.exists("out/theirs"));
    disk.remove(&other).unwrap();
    disk.remove("out/theirs").unwrap();
    assert!(all(&disk) == expected);
}

/// A run that died behind several checkpoints, the same each time.
fn cut_behind_checkpoints(inputs: &Inputs) -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    disk.die_at(900);
    run(inputs, 0, 40, course(2, 3), &disk).unwrap_err();
    disk.power_cut(1);
    disk
}

#[test]
fn a_file_that_is_committed_and_gone_or_changed_is_an_error() {
    let inputs = Inputs::new();
    let hidden = |disk: &SimulatedDisk| {
        let files = all(disk).into_iter().filter(|(name, bytes)| name.ends_with(".tmp") && bytes.len() > 40);
        files.map(|(name, _)| format!("out/{name}")).collect::<Vec<_>>()
    };
    let mut said = [0, 0];
    for name in hidden(&cut_behind_checkpoints(&inputs)) {
        for (number, damage) in [
            (|disk: &SimulatedDisk, name: &str| disk.remove(name).unwrap()) as fn(&SimulatedDisk, &str),
            |disk, name| {
                disk.damage(name, |bytes| bytes[30] ^= 1).unwrap();
            },
        ]
        .into_iter()
        .enumerate()
        {
            let disk = cut_behind_checkpoints(&inputs);
            let before = visible(&disk);
            damage(&disk, &name);
            // A file of which nothing is committed is an orphan, and made again.
            if let Err(error) = run(&inputs, 0, 40, course(2, 4), &disk) {
                assert!(error.to_string().contains("committed"), "{error}");
                assert!(before.iter().all(|(name, bytes)| visible(&disk).get(name) == Some(bytes)));
                said[number] += 1;
            }
        }
    }
    assert!(said.iter().all(|&count| count > 1), "{said:?}");
}

#[test]
fn an_older_epoch_comes_to_the_same_files() {
    let inputs = Inputs::new();
    let expected = undisturbed(&inputs, 0, 2);
    let disk = cut_behind_checkpoints(&inputs);
    let newest = disk.list(simulate::CHECKPOINTS).unwrap().iter().filter_map(|name| name.parse().ok()).max();
    let newest: u64 = newest.expect("some epochs are kept");
    let state = format!("{}/{newest}/shard-1.ck", simulate::CHECKPOINTS);
    disk.damage(&state, |bytes| bytes[50] ^= 1).unwrap();
    let before = visible(&disk);
    assert!(run(&inputs, 0, 40, course(2, 4), &disk).expect("it goes on"));
    check("at the end", &before, &visible(&disk), &expected);
    assert!(all(&disk) == expected);
}
