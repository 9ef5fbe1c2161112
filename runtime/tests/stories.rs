//! Ways in which streaming engines have failed their users, each as a test that this one does not.

mod common;

use std::collections::BTreeSet;

use common::{options, timestamp};
use corelane::job::Grain;
use corelane::simulate::{self, Course, Outcome};
use corelane_engine::Code;
use corelane_io::durable::{Durable, SimulatedDisk};
use corelane_io::split::{self, Split};

const TABLE: &str = "CREATE TABLE t (ts TIMESTAMP(3), k STRING, n BIGINT, WATERMARK FOR ts AS ts - INTERVAL '1' SECOND) \
    WITH ('path' = 't*.csv', 'header' = 'true'); ";
const WINDOWS: &str = "SELECT window_start, k, COUNT(*) AS c, SUM(n) AS s FROM TUMBLE(t, ts, INTERVAL '10' SECOND) GROUP BY window_start, window_end, k";

/// A file of rows (milliseconds, key, number).
fn file(rows: impl IntoIterator<Item = (i64, &'static str, i64)>) -> Vec<u8> {
    let rows = rows.into_iter().map(|(ms, key, number)| format!("{},{key},{number}\n", timestamp(ms)));
    format!("ts,k,n\n{}", rows.collect::<String>()).into_bytes()
}

fn run(query: &str, files: &[Vec<u8>], shards: usize, seed: u64) -> Outcome {
    let names: Vec<String> = (0..files.len()).map(|number| format!("t{number}.csv")).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(String::as_str).zip(files.iter().map(Vec::as_slice)).collect();
    let grain = Grain { piece: 1 << 30, block: 200, turn_rows: 4 };
    simulate::run(&format!("{TABLE}{query}"), &files, &options(&[]), grain, shards, seed).unwrap()
}

/// The output's rows, sorted; the run must not have failed.
fn rows(outcome: &Outcome) -> Vec<String> {
    assert!(outcome.error.is_none(), "{:?}", outcome.error);
    let text = String::from_utf8(outcome.outputs[0].1.clone()).unwrap();
    let mut rows: Vec<String> = text.lines().skip(1).map(str::to_owned).collect();
    rows.sort();
    rows
}

/// What `query` gives, which must be the same on any number of shards and in any order of steps.
fn everywhere(query: &str, files: &[Vec<u8>]) -> (Vec<String>, u64) {
    let first = run(query, files, 1, 0);
    let (expected, late) = (rows(&first), first.counts[0].1.late);
    for (shards, seed) in [(1, 1), (2, 2), (2, 3), (3, 4), (5, 7)] {
        let outcome = run(query, files, shards, seed);
        assert_eq!(rows(&outcome), expected, "{shards} shards, seed {seed}");
        assert_eq!(outcome.counts[0].1.late, late, "{shards} shards, seed {seed}");
    }
    (expected, late)
}

/// Every window's count and sum, from rows that are all on time.
fn windows(rows: &[(i64, &'static str, i64)]) -> Vec<String> {
    let mut sums = std::collections::BTreeMap::new();
    for &(ms, key, number) in rows {
        let sum = sums.entry((ms.div_euclid(10_000), key)).or_insert((0, 0));
        *sum = (sum.0 + 1, sum.1 + number);
    }
    let row = |((window, key), (count, sum)): (&(i64, &str), &(i64, i64))| {
        format!("{},{key},{count},{sum}", timestamp(window * 10_000))
    };
    let mut rows: Vec<String> = sums.iter().map(row).collect();
    rows.sort();
    rows
}

/// Three files become whole at once, and the process dies when the first has its name.
#[test]
fn story_01_a_file_that_is_committed_already_hides_no_other() {
    let rows: Vec<(i64, &str, i64)> = (0..60).map(|row| (row * 100, ["a", "b", "c"][row as usize % 3], row)).collect();
    let input = file(rows);
    let script = format!(
        "{TABLE}CREATE TABLE o (k STRING, n BIGINT) PARTITIONED BY (k) WITH ('path' = 'out/', 'format' = 'csv'); \
         INSERT INTO o SELECT k, n FROM t"
    );
    let options = options(&["--checkpoint-every", "1000000rows"]);
    let go_on = |disk: &SimulatedDisk| {
        let grain = Grain { piece: 1 << 30, block: 200, turn_rows: 4 };
        let course = Course { shards: 1, seed: 0, last_at: None };
        simulate::run_kept(&script, &[("t0.csv", &input)], &options, grain, course, disk)
    };
    let files = ["a", "b", "c"].map(|key| format!("out/k={key}/part-s0-{}.csv", key.as_bytes()[0] - b'a'));
    let texts = |disk: &SimulatedDisk| files.iter().filter_map(|file| disk.read(file).ok()).collect::<Vec<_>>();
    let whole = SimulatedDisk::new();
    go_on(&whole).unwrap();
    let expected = texts(&whole);
    assert!(expected.len() == 3 && expected.iter().all(|text| text.split(|&byte| byte == b'\n').count() == 22));
    for cut in [false, true] {
        let mut some = [0; 3];
        for operation in 1..whole.operations() {
            let disk = SimulatedDisk::new();
            disk.die_at(operation);
            let _ = go_on(&disk);
            if cut {
                disk.power_cut(operation);
            }
            disk.die_at(u64::MAX);
            let named = texts(&disk).len();
            if (1..3).contains(&named) {
                some[named] += 1;
            }
            go_on(&disk).unwrap_or_else(|error| panic!("operation {operation}: {error}"));
            assert_eq!(texts(&disk), expected, "operation {operation}, {named} files had their names");
        }
        assert!(some[1] > 0 && some[2] > 0, "{some:?}: it never died between the first and the last name");
    }
}

/// Windows and rows into two files, one of them in order of shards, with a checkpoint every 40 rows.
fn kept(disk: &SimulatedDisk, shards: usize, seed: u64) -> corelane_engine::Result<Option<Outcome>> {
    let rows = |part: i64| (0..150).map(move |row| (row * 400 + part * 130, ["a", "b", "c"][row as usize % 3], row));
    let files = [0, 1].map(|part| file(rows(part)));
    let files = [("t0.csv", &*files[0]), ("t1.csv", &*files[1])];
    let script = format!(
        "{TABLE}CREATE TABLE w (at TIMESTAMP(3), k STRING, c BIGINT, s BIGINT) WITH ('path' = 'w.csv', 'format' = 'csv'); \
         CREATE TABLE r (k STRING, n BIGINT) WITH ('path' = 'r.csv', 'format' = 'csv'); \
         INSERT INTO w {WINDOWS}; INSERT INTO r SELECT k, n FROM t WHERE n > 3"
    );
    let grain = Grain { piece: 1 << 30, block: 200, turn_rows: 4 };
    let course = Course { shards, seed, last_at: None };
    simulate::run_kept(&script, &files, &options(&["--checkpoint-every", "40rows"]), grain, course, disk)
}

fn outputs(disk: &SimulatedDisk) -> [Vec<u8>; 2] {
    ["w.csv", "r.csv"].map(|name| disk.read(name).unwrap_or_default())
}

/// The epochs that have a folder, and whether each is committed.
fn epochs(disk: &SimulatedDisk) -> Vec<(u64, bool)> {
    let names = disk.list(simulate::CHECKPOINTS).unwrap_or_default();
    let mut epochs: Vec<u64> = names.iter().filter_map(|name| name.parse().ok()).collect();
    epochs.sort_unstable();
    epochs.into_iter().map(|epoch| (epoch, disk.exists(&format!("ck/{epoch}/MANIFEST")))).collect()
}

#[test]
fn story_02_a_file_shorter_than_its_checkpoint_is_refused() {
    let whole = SimulatedDisk::new();
    kept(&whole, 2, 0).unwrap();
    let mut refused = 0;
    // The last operations are those behind the end, of which nothing is left to do.
    for operation in (100..whole.operations() - 40).step_by(10) {
        let disk = SimulatedDisk::new();
        disk.die_at(operation);
        let _ = kept(&disk, 2, 0);
        disk.power_cut(operation);
        let committed = disk.read("w.csv.committed").ok().and_then(|text| String::from_utf8(text).ok());
        let committed: usize = committed.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        assert!(disk.read("w.csv").map_or(0, |bytes| bytes.len()) >= committed, "what is committed was synced");
        if committed == 0 {
            continue;
        }
        disk.damage("w.csv", |bytes| bytes.truncate(committed - 1)).unwrap();
        let before = outputs(&disk);
        let error = kept(&disk, 2, 1).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("w.csv") && error.contains("were committed"), "{error}");
        assert_eq!(outputs(&disk), before);
        refused += 1;
    }
    assert!(refused > 3, "{refused}");
}

#[test]
fn story_03_an_aborted_epoch_and_an_older_one_double_nothing() {
    for shards in [1, 3] {
        let whole = SimulatedDisk::new();
        kept(&whole, shards, 0).unwrap();
        let (expected, mut aborted, mut older) = (outputs(&whole), 0, 0);
        for operation in (40..whole.operations()).step_by(3) {
            let disk = SimulatedDisk::new();
            disk.die_at(operation);
            let _ = kept(&disk, shards, 0);
            disk.power_cut(operation);
            let found = epochs(&disk);
            aborted += usize::from(found.len() > 1 && found.last().is_some_and(|(_, is_committed)| !is_committed));
            let newest = found.iter().rev().find(|(_, is_committed)| *is_committed);
            if let Some((newest, _)) = newest.filter(|_| operation % 2 == 0 && found.len() > 2) {
                disk.damage(&format!("ck/{newest}/shard-0.ck"), |bytes| bytes[60] ^= 1).unwrap();
                older += 1;
            }
            let ended = kept(&disk, shards, operation).unwrap_or_else(|error| panic!("operation {operation}: {error}"));
            assert!(ended.is_none_or(|ended| ended.error.is_none()), "operation {operation}");
            assert!(outputs(&disk) == expected, "{shards} shards, operation {operation}");
        }
        assert!(aborted > 3 && older > 3, "{shards} shards: {aborted} aborted, {older} older");
    }
}

#[test]
fn story_04_a_checkpoint_that_is_missing_or_empty_stops_the_run() {
    let died = || {
        let disk = SimulatedDisk::new();
        disk.die_at(250);
        let _ = kept(&disk, 2, 1);
        disk.power_cut(7);
        assert!(epochs(&disk).iter().filter(|(_, is_committed)| *is_committed).count() > 1);
        disk
    };
    let each = |disk: &SimulatedDisk, act: &dyn Fn(&str)| {
        for (epoch, _) in epochs(disk) {
            let names = disk.list(&format!("ck/{epoch}")).unwrap();
            names.iter().for_each(|name| act(&format!("ck/{epoch}/{name}")));
        }
    };
    type Loss<'a> = &'a dyn Fn(&SimulatedDisk);
    let losses: [(&str, Loss<'_>); 4] = [
        ("manifests are empty", &|disk| {
            each(disk, &|name| {
                if name.ends_with("MANIFEST") {
                    disk.damage(name, Vec::clear).unwrap()
                }
            });
        }),
        ("states are missing", &|disk| {
            each(disk, &|name| {
                if name.ends_with(".ck") {
                    disk.remove(name).unwrap()
                }
            });
        }),
        ("all epochs are missing", &|disk| {
            each(disk, &|name| disk.remove(name).unwrap());
            epochs(disk).iter().for_each(|(epoch, _)| disk.remove_folder(&format!("ck/{epoch}")).unwrap());
        }),
        ("the job is empty", &|disk| disk.damage("ck/JOB", Vec::clear).unwrap()),
    ];
    for (what, lose) in losses {
        let disk = died();
        let before = outputs(&disk);
        lose(&disk);
        let error = kept(&disk, 2, 1).map(|_| ()).expect_err(what);
        assert_eq!(outputs(&disk), before, "{what}: {error}");
    }
    // Without its job there is no checkpoint at all, and an output that nobody knows is not replaced.
    let disk = died();
    let before = outputs(&disk);
    disk.remove("ck/JOB").unwrap();
    let error = kept(&disk, 2, 1).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("was not made by this job"), "{error}");
    assert_eq!(outputs(&disk), before);
}

#[test]
fn story_05_no_split_is_handed_out_twice() {
    let split = |id: u32| Split { id, file: id as usize % 3, piece: id / 3, start: 0, end: Some(1) };
    let splits: Vec<Split> = (0..20).map(split).collect();
    for shards in 1..=24 {
        let dealt = split::deal(&splits, 3, shards);
        let all: Vec<usize> = dealt.iter().flatten().copied().collect();
        assert_eq!(all.len(), splits.len());
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), splits.len());
    }
}

#[test]
fn story_06_one_future_row_makes_nobody_late() {
    let honest: Vec<(i64, &str, i64)> = (0..300).map(|row| (row * 250, ["a", "b"][row as usize % 2], row)).collect();
    let two_hours = 2 * 3600 * 1000;
    for place in [1, 2, 150, 299, 300] {
        let mut rows = honest.clone();
        rows.insert(place, (two_hours, "z", 7));
        let other: Vec<(i64, &str, i64)> = (0..10).map(|row| (row * 3000, "a", 0)).collect();
        let mut both = [honest.clone(), vec![(two_hours, "z", 7)], other.clone()].concat();
        both.sort_by_key(|row| row.0);
        assert_eq!(everywhere(WINDOWS, &[file(rows), file(other)]), (windows(&both), 0), "row {place}");
    }
    // Two of them are a gap in the data, and what is far behind them is late: counted, not hidden.
    let mut rows = honest.clone();
    rows.splice(100..100, [(two_hours, "z", 7), (two_hours + 1, "z", 7)]);
    assert_eq!(everywhere(WINDOWS, &[file(rows)]).1, 200);
}

#[test]
fn story_07_a_slow_reader_of_results_makes_no_row_late() {
    let rows: Vec<(i64, &str, i64)> = (0..2000).map(|row| (row * 40, "a", row)).collect();
    let expected = (0..2000).map(|row| format!("{},a,{row}", timestamp(row * 40))).collect::<BTreeSet<String>>();
    let files: Vec<Vec<u8>> = (0..3).map(|part| file(rows.iter().copied().skip(part).step_by(3))).collect();
    let query =
        "SELECT ts, k, SUM(n) OVER (PARTITION BY n ORDER BY ts ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS s FROM t";
    // Under these seeds the writer gets a step only now and then.
    for seed in [3, 8, 13] {
        let outcome = run(query, &files, 3, seed);
        assert_eq!(outcome.counts[0].1.late, 0);
        assert_eq!(rows_of(&outcome), expected);
    }
}

fn rows_of(outcome: &Outcome) -> BTreeSet<String> {
    rows(outcome).into_iter().collect()
}

/// Results that are held back for their order, or until a window closes, come before the watermark that lets the
/// next windows close: none is missing there, whoever takes its step when.
#[test]
fn story_08_no_watermark_overtakes_rows_that_are_held_back() {
    let rows: Vec<(i64, &str, i64)> = (0..600).map(|row| (row * 70, ["a", "b", "c"][row as usize % 3], row)).collect();
    let files: Vec<Vec<u8>> = (0..3).map(|part| file(rows.iter().copied().skip(part).step_by(3))).collect();
    let outer = "SELECT window_start, k, SUM(c) AS c, SUM(s) AS s FROM TUMBLE(x, at, INTERVAL '10' SECOND) GROUP BY window_start, window_end, k";
    for inner in [
        "SELECT k, window_time AS at, COUNT(*) AS c, SUM(n) AS s FROM TUMBLE(t, ts, INTERVAL '1' SECOND) \
         GROUP BY k, window_start, window_end, window_time",
        "SELECT k, ts AS at, COUNT(*) OVER (PARTITION BY n ORDER BY ts ROWS BETWEEN 5 PRECEDING AND CURRENT ROW) AS c, n AS s FROM t",
        "SELECT a.k, a.ts AS at, 1 AS c, b.n AS s FROM t a JOIN t b ON a.n = b.n AND b.ts BETWEEN a.ts - INTERVAL '1' SECOND AND a.ts",
        "SELECT k, ts AS at, 1 AS c, n AS s FROM t WHERE n % 2 = 0 UNION ALL SELECT k, ts AS at, 1 AS c, n AS s FROM t WHERE n % 2 = 1",
    ] {
        let query = format!("WITH x AS ({inner}) {outer}");
        assert_eq!(everywhere(&query, &files), (windows(&rows), 0), "{inner}");
    }
}

#[test]
fn story_09_late_rows_open_no_closed_window_and_a_finished_file_holds_nobody() {
    // The first file ends at once; the second goes on, with rows that are late.
    let short = vec![(0, "a", 1), (500, "a", 1)];
    let on_time: Vec<(i64, &str, i64)> = (0..100).map(|row| (row * 1000, "b", row)).collect();
    let mut long = on_time.clone();
    for place in [40, 60, 99] {
        long.insert(place, (place as i64 * 100, "b", 1_000_000));
    }
    let (found, late) = everywhere(WINDOWS, &[file(short.clone()), file(long)]);
    let mut all = [short, on_time].concat();
    all.sort_by_key(|row| row.0);
    assert_eq!((found, late), (windows(&all), 3));
}

#[test]
fn story_10_an_end_gives_the_open_windows_and_a_failure_does_not() {
    let good: Vec<(i64, &str, i64)> = (0..50).map(|row| (row * 1000, "a", row)).collect();
    assert_eq!(everywhere(WINDOWS, &[file(good.clone())]).0, windows(&good));
    let mut bytes = file(good);
    bytes.extend(b"not a time,a,1\n");
    let failed = run(WINDOWS, &[bytes], 1, 0);
    assert_eq!(failed.error.as_ref().map(|error| error.code()), Some(Code::Input));
    let text = String::from_utf8(failed.outputs[0].1.clone()).unwrap();
    assert!(!text.contains(&timestamp(40_000)), "the last window was not complete: {text}");
}

#[test]
fn story_11_a_gap_gives_no_rows_of_its_own_and_order_of_files_loses_none() {
    // A gap of most of a day, and the last window is only closed by the end.
    let day = 20 * 3_600_000;
    let gap = [(0, "a", 1), (1000, "b", 2), (day, "a", 3), (day + 1000, "a", 4), (day + 86_000, "b", 5)];
    assert_eq!(everywhere(WINDOWS, &[file(gap)]), (windows(&gap), 0));
    // Each file is one key, and covers the same hour from its start to its end.
    let keys = ["a", "b", "c", "d", "e"];
    let of_key = |key: &'static str| (0..90).map(move |row: i64| (row * 40_000, key, row));
    let files: Vec<Vec<u8>> = keys.iter().map(|key| file(of_key(key))).collect();
    let mut all: Vec<(i64, &str, i64)> = keys.iter().flat_map(|key| of_key(key)).collect();
    all.sort_by_key(|row| row.0);
    assert_eq!(everywhere(WINDOWS, &files), (windows(&all), 0));
}

#[test]
fn story_12_division_by_zero_and_overflow_are_errors_with_a_place() {
    let rows = [(0, "a", 1), (1000, "a", i64::MAX), (2000, "b", 0)];
    for (query, code, part) in [
        ("SELECT 10 / n FROM t", Code::DivisionByZero, "n"),
        ("SELECT n + 1 FROM t", Code::Overflow, "n + 1"),
        ("SELECT k FROM t WHERE 10 % n = 1", Code::DivisionByZero, "n"),
    ] {
        for shards in [1, 3] {
            let error = run(query, &[file(rows)], shards, 5).error.expect("it cannot be computed");
            let report = error.report();
            let script = format!("{TABLE}{query}");
            assert_eq!(report.code, code, "{query}");
            let place = &script[report.span.start as usize..report.span.end as usize];
            assert!(place.contains(part) && query.contains(place), "{query}: {place:?}");
        }
    }
}
