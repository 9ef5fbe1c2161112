//! Rows that do not go on are kept whole: `--on-error reject` and `--late side`.

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::options;
use corelane::job::Grain;
use corelane::simulate::{self, Course};
use corelane_io::durable::{Durable, SimulatedDisk};
use corelane_io::reject;

const TABLE: &str = "CREATE TABLE t (a BIGINT, b STRING, ts AS TO_TIMESTAMP_LTZ(a, 3), \
    WATERMARK FOR ts AS ts - INTERVAL '1' SECOND) WITH ('path' = 't*.csv', 'header' = 'true'); ";
const QUERY: &str = "SELECT window_start, COUNT(*) AS n, MAX(b) AS m FROM TUMBLE(t, ts, INTERVAL '1' SECOND) GROUP BY window_start, window_end";

/// A file, with its bad rows (line, reason, raw) and its late ones (line, time, watermark, raw), the
/// latter by the rule: late when the row's second has ended by the highest time so far less a second.
struct Made {
    bytes: Vec<u8>,
    bad: Vec<(u64, &'static str, Vec<u8>)>,
    late: Vec<(u64, i64, i64, Vec<u8>)>,
}

fn make(seed: u64) -> Made {
    let mut random = simulate::Random::new(seed);
    let mut made = Made { bytes: b"a,b\n".to_vec(), bad: Vec::new(), late: Vec::new() };
    let (mut line, mut highest, mut now) = (2, None::<i64>, 1000 * random.below(5) as i64);
    for _ in 0..400 {
        now += random.below(400) as i64;
        let time = if random.below(6) == 0 { (now - random.below(9000) as i64).max(0) } else { now };
        let (row, reason): (Vec<u8>, _) = match random.below(12) {
            0 => (b"x,text".to_vec(), Some("is not a whole number")),
            1 => (format!("{time},a,b").into_bytes(), Some("the row has 3 fields instead of 2")),
            2 => ([format!("{time},").as_bytes(), b"\xff\x00\xfe"].concat(), Some("is not UTF-8")),
            3 => (b"99999999999999999999,y".to_vec(), Some("is out of range of BIGINT")),
            4 => (format!("{time},\"two\nlines, \"\"quoted\"\"\"").into_bytes(), None),
            _ => (format!("{time},plain").into_bytes(), None),
        };
        // The text is looked at only when the row goes on: until then its time counts.
        let has_time = reason.is_none_or(|reason| reason == "is not UTF-8");
        let watermark = highest.filter(|_| has_time).map(|highest: i64| highest - 1000);
        let late = watermark.filter(|&watermark| time.div_euclid(1000) * 1000 + 1000 <= watermark);
        match (late, reason) {
            (Some(watermark), _) => made.late.push((line, time, watermark, row.clone())),
            (None, Some(reason)) => made.bad.push((line, reason, row.clone())),
            (None, None) => {}
        }
        if has_time {
            highest = Some(highest.map_or(time, |highest| highest.max(time)));
        }
        line += row.iter().filter(|&&byte| byte == b'\n').count() as u64 + 1;
        made.bytes.extend(row);
        made.bytes.extend(if random.below(9) == 0 { &b"\r\n"[..] } else { b"\n" });
    }
    made
}

/// The bytes of the row that a line of the file holds.
fn raw(object: &serde_json::Value) -> Vec<u8> {
    use base64::Engine;
    match object["raw"].as_str() {
        Some(text) => text.as_bytes().to_vec(),
        None => base64::engine::general_purpose::STANDARD.decode(object["raw_base64"].as_str().unwrap()).unwrap(),
    }
}

fn lines(path: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Milliseconds since the epoch of a time as the file has it.
fn millis(text: &serde_json::Value) -> i64 {
    let text = format!("{}Z", text.as_str().unwrap().replace(' ', "T"));
    text.parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

#[test]
fn bad_and_late_rows_are_kept_with_their_place_whoever_reads_them() {
    let made: Vec<Made> = (1..=3).map(make).collect();
    let names = ["t1.csv", "t2.csv", "t3.csv"];
    let files: Vec<(&str, &[u8])> = names.iter().zip(&made).map(|(name, made)| (*name, &made.bytes[..])).collect();
    let folder = tempfile::tempdir().unwrap();
    let (bad, late) = (folder.path().join("bad.ndjson"), folder.path().join("late.ndjson"));
    let flags = [
        "--on-error",
        "reject",
        "--reject",
        bad.to_str().unwrap(),
        "--late",
        "side",
        "--late-file",
        late.to_str().unwrap(),
    ];
    // A file is one split here, so that its own rows alone decide what is late.
    let grain = |block| Grain { piece: 1 << 30, block, turn_rows: 16 };
    let mut bytes: BTreeMap<usize, (Vec<u8>, Vec<u8>)> = BTreeMap::new();
    for (shards, seed, block) in [(1, 0, 64 << 10), (1, 3, 7), (2, 1, 100), (2, 2, 5000), (3, 4, 64), (5, 5, 1)] {
        let script = format!("{TABLE}{QUERY}");
        let outcome = simulate::run(&script, &files, &options(&flags), grain(block), shards, seed).unwrap();
        assert!(outcome.error.is_none(), "{:?}", outcome.error);
        for target in [&bad, &late] {
            reject::merge(target, 1, shards).unwrap();
        }
        let counts = outcome.counts[0].1;
        let (bad_rows, late_rows) = (lines(&bad), lines(&late));
        assert_eq!((counts.bad, counts.late), (bad_rows.len() as u64, late_rows.len() as u64));
        for (name, made) in names.iter().zip(&made) {
            let of_file = |rows: &[serde_json::Value]| {
                let mut rows: Vec<_> = rows.iter().filter(|row| row["file"] == *name).cloned().collect();
                rows.sort_by_key(|row| row["offset"].as_u64());
                rows
            };
            let found = of_file(&bad_rows);
            let found =
                found.iter().map(|row| (row["line"].as_u64().unwrap(), row["reason"].as_str().unwrap(), raw(row)));
            assert!(found.eq(made.bad.iter().cloned()), "bad rows of {name}, {shards} shards");
            let found = of_file(&late_rows);
            let found = found
                .iter()
                .map(|row| (row["line"].as_u64().unwrap(), millis(&row["time"]), millis(&row["watermark"]), raw(row)));
            assert!(found.eq(made.late.iter().cloned()), "late rows of {name}, {shards} shards");
            for row in bad_rows.iter().chain(&late_rows).filter(|row| row["file"] == *name) {
                let (offset, raw) = (row["offset"].as_u64().unwrap() as usize, raw(row));
                assert_eq!(made.bytes[offset..offset + raw.len()], raw);
            }
        }
        let both = (std::fs::read(&bad).unwrap(), std::fs::read(&late).unwrap());
        assert_eq!(bytes.entry(shards).or_insert_with(|| both.clone()), &both, "{shards} shards, seed {seed}");
    }
    assert!(made.iter().all(|made| made.bad.len() > 50 && made.late.len() > 10), "the data has what is tested");
}

/// With checkpoints: power is cut again and again, and in the end every row is kept once.
#[test]
fn rows_kept_apart_are_committed_with_the_checkpoints() {
    let made: Vec<Made> = (1..=3).map(make).collect();
    let names = ["t1.csv", "t2.csv", "t3.csv"];
    let files: Vec<(&str, &[u8])> = names.iter().zip(&made).map(|(name, made)| (*name, &made.bytes[..])).collect();
    let flags = ["--on-error", "reject", "--reject", "bad.ndjson", "--late", "side", "--late-file", "late.ndjson"];
    let options = options(&[&["-o", "out.csv", "--checkpoint-every", "60rows"][..], &flags].concat());
    let grain = Grain { piece: 1 << 30, block: 200, turn_rows: 16 };
    let script = format!("{TABLE}{QUERY}");
    let run = |disk: &SimulatedDisk, shards, seed| {
        simulate::run_kept(&script, &files, &options, grain, Course { shards, seed, last_at: None }, disk)
    };
    let kept = |disk: &SimulatedDisk| ["bad.ndjson", "late.ndjson", "out.csv"].map(|name| disk.read(name).unwrap());
    let sorted = |texts: [Vec<u8>; 3]| {
        texts.map(|text| {
            let mut lines: Vec<Vec<u8>> = text.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
            lines.sort();
            lines
        })
    };
    let whole = SimulatedDisk::new();
    let outcome = run(&whole, 2, 1).unwrap().expect("it begins");
    assert!(outcome.error.is_none(), "{:?}", outcome.error);
    let rows = |of: fn(&Made) -> usize| made.iter().map(of).sum::<usize>();
    let [bad, late, _] = kept(&whole).map(|text| text.split(|&byte| byte == b'\n').count() - 1);
    assert_eq!((bad, late), (rows(|made| made.bad.len()), rows(|made| made.late.len())));
    assert!(whole.list(".").unwrap().iter().all(|name| !name.contains(".part-")), "no part is left");

    for counts in [&[2][..], &[1, 3], &[2, 4]] {
        let mut cuts = 0;
        for seed in 0..6u64 {
            let (disk, mut random) = (SimulatedDisk::new(), simulate::Random::new(seed));
            for start in 0u64.. {
                assert!(start < 200, "{counts:?}, seed {seed}: it gets nowhere");
                disk.die_at(disk.operations() + 1 + random.below(if start < 6 { 150 } else { 5000 }));
                let ended = run(&disk, counts[start as usize % counts.len()], seed + start);
                disk.power_cut(random.bits());
                // Also what follows the last commit may be cut off.
                if let Ok(None) = ended {
                    break;
                }
                cuts += 1;
            }
            if counts == [2] {
                assert!(kept(&disk) == kept(&whole), "seed {seed}");
            } else {
                assert!(sorted(kept(&disk)) == sorted(kept(&whole)), "{counts:?}, seed {seed}");
            }
            assert!(
                disk.list(".").unwrap().iter().all(|name| !name.contains(".part-")),
                "seed {seed}: no part is left"
            );
        }
        assert!(cuts > 20, "{counts:?}: only {cuts} cuts");
    }
    let disk = SimulatedDisk::new();
    disk.write("bad.ndjson", b"theirs").unwrap();
    assert!(run(&disk, 2, 1).unwrap_err().to_string().contains("was not made by this job"));
    assert_eq!(disk.read("bad.ndjson").unwrap(), b"theirs");
}

#[test]
fn lines_are_numbered_over_pieces_of_a_file() {
    let mut text = String::from("a,b\n");
    let mut expected = Vec::new();
    for row in 0..3000u64 {
        if row % 97 == 5 {
            expected.push(row + 2);
            text.push_str("x,y\n");
        } else {
            text.push_str(&format!("{row},{}\n", "z".repeat((row % 40) as usize)));
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let bad = folder.path().join("bad.ndjson");
    let flags = ["--on-error", "reject", "--reject", bad.to_str().unwrap()];
    let script = "CREATE TABLE t (a BIGINT, b STRING) WITH ('path' = 't.csv', 'header' = 'true'); SELECT SUM(a) FROM t";
    for (shards, piece) in [(1, 1000), (3, 1000), (2, 7777)] {
        let grain = Grain { piece, block: 300, turn_rows: 16 };
        simulate::run(script, &[("t.csv", text.as_bytes())], &options(&flags), grain, shards, 7).unwrap();
        reject::merge(&bad, 1, shards).unwrap();
        let mut found: Vec<u64> = lines(&bad).iter().map(|row| row["line"].as_u64().unwrap()).collect();
        found.sort_unstable();
        assert_eq!(found, expected, "{shards} shards, pieces of {piece} bytes");
    }
}

#[test]
fn what_is_kept_needs_a_place_and_a_place_needs_what_is_kept() {
    let table = |option: &str| format!("CREATE TABLE t (a INT) WITH ('path' = 't.csv'{option}); SELECT a FROM t");
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (bad, late) = (path("bad"), path("late"));
    for (flags, option, message) in [
        (&["--on-error", "reject"][..], "", "bad rows are to be kept, but not where"),
        (&[], ", 'on-error' = 'reject'", "bad rows are to be kept, but not where"),
        (&["--reject", &bad], "", "no bad row goes there"),
        (&["--reject", &bad, "--on-error", "reject"], ", 'on-error' = 'skip'", "no bad row goes there"),
        (&["--late", "side"], "", "late rows are to be kept, but not where"),
        (&["--late-file", &late], "", "no late row goes there"),
        (&["--late", "update"], "", "late rows cannot correct windows that have closed"),
        (&["--on-error", "reject", "--reject", &bad, "--late", "side", "--late-file", &bad], "", "name the same file"),
        (&["--on-error", "reject", "--reject", folder.path().to_str().unwrap()], "", "is a directory"),
    ] {
        let files: &[(&str, &[u8])] = &[("t.csv", b"a\n1\n")];
        let error = simulate::run(&table(option), files, &options(flags), Grain::default(), 1, 0).unwrap_err();
        assert!(error.to_string().contains(message), "{flags:?}: {error}");
    }
}
