//! The parts of a query apart from each other: finding rows and fields (`scan`), making values of them
//! (`convert`), hashing keys, operators on rows that are already there, grouping by few and by many keys,
//! formatting, the ring. All from memory; rates are rows a second, and of the ring numbers a second.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bumpalo::Bump;
use corelane::ring::{Receiver, Sender, ring};
use corelane::{cli, job};
use corelane_bench::case::{self, Case};
use corelane_bench::{coordinated, count::Count, direct::Direct};
use corelane_engine::batch::{BATCH_ROWS, Batch, Chunk, Data, Text, Vector};
use corelane_engine::operator::{Context, Time};
use corelane_engine::pipeline::Pipeline;
use corelane_engine::plan::Operator;
use corelane_engine::scan::SplitTime;
use corelane_engine::stage::Ledger;
use corelane_engine::types::{DataType, Field, Physical, Schema};
use corelane_engine::zone::Zone;
use corelane_engine::{Result, hash};
use corelane_io::format::{Buffer, Format, Formatter};
use corelane_io::fs::MemoryDisk;
use corelane_io::generate::{Share, lines};
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};

const ROWS: u64 = 200_000;

/// A case over a file in memory.
fn direct(case: &Case) -> Direct {
    let share = Share { generator: case.generator, table: 0, seed: 1, rows: ROWS, shard: 0, shards: 1 };
    let mut text = Buffer::default();
    lines(&share, 0, ROWS, &mut text);
    let disk = MemoryDisk::new().with("rows.csv", text.bytes());
    let options =
        coordinated::options(&[format!("{}=rows.csv", case.tables[0])], &[0], "unused".as_ref(), false).unwrap();
    // Without a first line, columns go by their place.
    let has_options = case.sql.contains("WITH (");
    let sql =
        if has_options { case.sql.to_owned() } else { case.sql.replacen(");", ") WITH ('header' = 'false');", 1) };
    let program = job::compile(&sql, &disk, &options).unwrap();
    Direct::new(&program, &disk, &options).unwrap()
}

fn named(name: &str) -> &'static Case {
    case::select(&[name.to_owned()]).unwrap()[0]
}

/// The rows that the scan lets through, and the watermark behind each batch.
fn rows(direct: &Direct) -> Vec<(Batch, Time)> {
    let layout = direct.plan().nodes[direct.scan()].layout();
    let every: Vec<u16> = (0..BATCH_ROWS as u16).collect();
    let (mut time, mut rows) = (SplitTime::default(), Vec::new());
    let delay_us = direct.scanner().scan().event_time.as_ref().map_or(0, |event_time| event_time.delay_us);
    let (ledger, mut scratch) = (Ledger::idle(), Bump::new());
    let mut reader = direct.input().reader(0, direct.scanner().scan()).unwrap();
    loop {
        scratch.reset();
        let context = Context { scratch: &scratch, ledger: &ledger };
        reader.fill(&ledger).unwrap();
        match reader.next(direct.scanner(), &mut time, &context).unwrap() {
            corelane_io::reader::Step::Rows(scanned) => {
                let mut batch = Batch::new(&layout);
                assert_eq!(batch.append(&scanned.chunk, &every[..scanned.chunk.rows]), scanned.chunk.rows);
                rows.push((batch, scanned.first_time.map_or(Time::MIN, |first| first - delay_us)));
            }
            corelane_io::reader::Step::NeedBytes => {}
            corelane_io::reader::Step::End => return rows,
        }
    }
}

/// Everything behind the scan, over rows that were read before. Returns the rows out.
fn operators(direct: &Direct, rows: &[(Batch, Time)]) -> Result<u64> {
    let mut pipeline = Pipeline::new(direct.plan(), 0, 1, hash::DEFAULT_SEED)?;
    let (entry, ledger, mut out) = (direct.scan(), Ledger::idle(), Count::default());
    let mut scratch = Bump::new();
    let drain = |pipeline: &mut Pipeline, out: &mut Count, scratch: &mut Bump| -> Result<()> {
        while pipeline.pending(entry) {
            scratch.reset();
            pipeline.drain(entry, &Context { scratch, ledger: &ledger }, out)?;
        }
        scratch.reset();
        Ok(())
    };
    let mut told = Time::MIN;
    for (batch, watermark) in rows {
        let context = Context { scratch: &scratch, ledger: &ledger };
        pipeline.push(entry, &batch.chunk(&scratch), &context, &mut out)?;
        drain(&mut pipeline, &mut out, &mut scratch)?;
        if *watermark > told {
            told = *watermark;
            pipeline.watermark(entry, told, &Context { scratch: &scratch, ledger: &ledger }, &mut out)?;
            drain(&mut pipeline, &mut out, &mut scratch)?;
        }
    }
    pipeline.finish(entry, &Context { scratch: &scratch, ledger: &ledger }, &mut out)?;
    drain(&mut pipeline, &mut out, &mut scratch)?;
    Ok(out.0)
}

/// The table of `case` with no column asked for: rows and fields are found, nothing is converted.
fn without_columns(case: &Case) -> Direct {
    let table = case.sql.find(";\nSELECT").expect("a table, then a query") + 1;
    let sql = format!("{} SELECT COUNT(*) AS trades FROM {};", &case.sql[..table], case.tables[0]);
    direct(&Case { sql: sql.leak(), ..*case })
}

/// Reading the rows that `direct` reads, and converting the columns that it needs.
fn scan(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, direct: &Direct) {
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            let mut rows = 0;
            let take = |scanned: &corelane_io::reader::Scanned<'_>, _: &Context<'_>| {
                rows += black_box(&scanned.chunk).rows;
                Ok(())
            };
            let (mut time, ledger) = (SplitTime::default(), Ledger::idle());
            direct.input().read_all(0, direct.scanner(), &mut time, &ledger, take).unwrap();
            rows
        });
    });
}

/// The hashes of the text columns that `case` reads, as an exchange needs them.
fn hashes(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, case: &str) {
    let batches = rows(&direct(named(case)));
    let mut hashes = [0; BATCH_ROWS];
    group.bench_function(name, |bencher| {
        let mut scratch = Bump::new();
        bencher.iter(|| {
            for (batch, _) in &batches {
                scratch.reset();
                let chunk = batch.chunk(&scratch);
                let texts = chunk.columns.iter().filter(|column| column.physical() == Physical::Text);
                let keys: Vec<_> = texts.copied().collect();
                hash::hash_rows(&keys, hash::DEFAULT_SEED, &mut hashes[..chunk.rows]);
                black_box(&hashes);
            }
        });
    });
}

/// The operators of `case`.
fn pipeline(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, case: &str) {
    let direct = direct(named(case));
    let rows = rows(&direct);
    group.bench_function(name, |bencher| bencher.iter(|| operators(&direct, &rows).unwrap()));
}

/// The rows that `case` reads, as CSV.
fn format(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, case: &str) {
    let direct = direct(named(case));
    let schema = &direct.plan().nodes[direct.scan()].schema;
    assert!(matches!(direct.plan().nodes[direct.scan()].operator, Operator::Scan(_)));
    let mut formatter = Formatter::new(Format::Csv, schema, schema.fields.len());
    let (batches, mut scratch, mut text) = (rows(&direct), Bump::new(), Buffer::default());
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            for (batch, _) in &batches {
                scratch.reset();
                text.clear();
                formatter.rows(&batch.chunk(&scratch), &mut text, None);
                black_box(text.bytes());
            }
        });
    });
}

/// Rows of a chunk that is formatted over and over.
const FORM_ROWS: usize = 1000;

/// One chunk of `columns` as CSV, as often as makes [`ROWS`] rows.
fn form(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, columns: &[(DataType, Data<'_>)]) {
    let field = |&(data_type, _): &(DataType, Data<'_>)| Field { name: "field".to_owned(), data_type };
    let schema = Schema { fields: columns.iter().map(field).collect() };
    let vectors: Vec<Vector<'_>> = columns.iter().map(|&(_, data)| Vector::new(data)).collect();
    let chunk = Chunk { rows: FORM_ROWS, columns: &vectors, positions: None, ordinals: None, floors: None, stamp: 0 };
    let (mut formatter, mut text) = (Formatter::new(Format::Csv, &schema, columns.len()), Buffer::default());
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            for _ in 0..ROWS as usize / FORM_ROWS {
                text.clear();
                formatter.rows(black_box(&chunk), &mut text, None);
                black_box(text.bytes());
            }
        });
    });
}

/// Every form of value by itself, and together as a row of six fields.
fn forms(group: &mut BenchmarkGroup<'_, WallTime>) {
    let numbers = |from: i64, step: i64, below: i64| -> Vec<i64> {
        (0..FORM_ROWS as i64).map(|row| from + row * step % below).collect()
    };
    let names: Vec<String> = (0..FORM_ROWS).map(|row| format!("TRADER{}", row * 7 % 100)).collect();
    let names: Vec<Text<'_>> = names.iter().map(|name| Text::new(name.as_bytes())).collect();
    let decimal = |precision, scale| DataType::Decimal { precision, scale };
    let timestamp = DataType::Timestamp { precision: 3, zone: Some(Zone::UTC) };
    let whole = numbers(100, 7919, 1000);
    let millis = numbers(1_767_225_600_000, 1, i64::MAX);
    let prices = numbers(10_000, 7919, 6000);
    let means: Vec<i128> = numbers(100_000_000, 7_919_777, 60_000_000).into_iter().map(i128::from).collect();
    let times = numbers(1_767_225_600_000_000, 1000, i64::MAX);
    let integers = (DataType::BigInt, Data::I64(&whole));
    let long = (DataType::BigInt, Data::I64(&millis));
    let decimals = (decimal(10, 2), Data::I64(&prices));
    let wide = (decimal(38, 6), Data::I128(&means));
    let stamps = (timestamp, Data::I64(&times));
    let texts = (DataType::Text, Data::Text(&names));
    form(group, "format integers", &[integers]);
    form(group, "format integers of 13 digits", &[long]);
    form(group, "format decimals", &[decimals]);
    form(group, "format decimals of 128 bits", &[wide]);
    form(group, "format timestamps", &[stamps]);
    form(group, "format text", &[texts]);
    form(group, "format six-field row", &[texts, long, decimals, wide, decimals, integers]);
}

fn kernels(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("rows");
    group.throughput(Throughput::Elements(ROWS)).sample_size(20);
    scan(&mut group, "scan, trades", &without_columns(named("S2 seed")));
    scan(&mut group, "convert, trades", &direct(named("S2 seed")));
    scan(&mut group, "convert, orders", &direct(named("S0a")));
    scan(&mut group, "convert, stations", &direct(named("1BRC")));
    hashes(&mut group, "hash, two short texts", "S2 seed");
    pipeline(&mut group, "group, 200 groups", "S2 seed");
    pipeline(&mut group, "group, 413 groups", "1BRC");
    pipeline(&mut group, "group, 100,000 groups", "S2 mid");
    pipeline(&mut group, "window over columns in memory", "S3a seed");
    pipeline(&mut group, "window with a row out per row", "S3b");
    pipeline(&mut group, "rows window", "S1");
    format(&mut group, "format orders", "S0a");
    forms(&mut group);
    group.finish();
}

/// GROUP BY alone, by so many keys.
fn groups(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("group");
    for (name, keys, rows) in [("200", 200, 1_000_000), ("100 K", 100_000, 1_000_000), ("5 M", 5_000_000, 5_000_000)] {
        let sql = "CREATE TABLE t (k BIGINT, v BIGINT); SELECT k, COUNT(*) AS n, SUM(v) AS total FROM t GROUP BY k;";
        let words =
            ["corelane", "--file", "-", "--cores", "0", "--input", "t=t.csv", "--format", "csv", "-o", "unused/"];
        let options = cli::parse_run(words.map(str::to_owned)).unwrap();
        let disk = MemoryDisk::new().with("t.csv", b"k,v\n1,1\n");
        let direct = Direct::new(&job::compile(sql, &disk, &options).unwrap(), &disk, &options).unwrap();
        group.throughput(Throughput::Elements(rows)).sample_size(10);
        group.bench_function(name, |bencher| bencher.iter(|| assert_eq!(grouped(&direct, keys, rows).unwrap(), keys)));
    }
    group.finish();
}

/// Pushes `rows` rows whose keys come in no order, each as often as any other, through the operators of
/// `direct`; returns the rows out.
fn grouped(direct: &Direct, keys: u64, rows: u64) -> Result<u64> {
    let mut pipeline = Pipeline::new(direct.plan(), 0, 1, hash::DEFAULT_SEED)?;
    let (entry, ledger, mut out) = (direct.scan(), Ledger::idle(), Count::default());
    let mut batch = Batch::new(&direct.plan().nodes[entry].layout());
    let mut scratch = Bump::new();
    for start in (0..rows).step_by(BATCH_ROWS) {
        let end = rows.min(start + BATCH_ROWS as u64);
        for (key, row) in batch.i64s_mut(0).iter_mut().zip(start..end) {
            // A prime that divides no number of keys, so that all of them come before one comes again.
            *key = (row * 2_654_435_761 % keys) as i64;
        }
        batch.set_rows((end - start) as usize);
        pipeline.push(entry, &batch.chunk(&scratch), &Context { scratch: &scratch, ledger: &ledger }, &mut out)?;
        scratch.reset();
    }
    pipeline.finish(entry, &Context { scratch: &scratch, ledger: &ledger }, &mut out)?;
    while pipeline.pending(entry) {
        scratch.reset();
        pipeline.drain(entry, &Context { scratch: &scratch, ledger: &ledger }, &mut out)?;
    }
    Ok(out.0)
}

/// How long a number takes from thread to thread, and how many pass in a second.
fn rings(criterion: &mut Criterion) {
    criterion.bench_function("ring hop", |bencher| bencher.iter_custom(hops));
    let mut group = criterion.benchmark_group("ring throughput");
    group.throughput(Throughput::Elements(ROWS)).sample_size(20);
    group.bench_function("numbers", |bencher| bencher.iter(|| corelane::ring::stress(ROWS).unwrap()));
    group.finish();
}

/// Sends a number there and back, `count` times; returns half of the time.
fn hops(count: u64) -> Duration {
    let ((mut there, mut arrived), (mut back, mut returned)) = (ring(64), ring(64));
    let began = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(move || (0..count).for_each(|number| pass(&mut arrived, &mut back, number)));
        for number in 0..count {
            there.push(number).expect("the ring is empty");
            assert_eq!(wait(&mut returned), number);
        }
    });
    began.elapsed() / 2
}

fn pass(from: &mut Receiver<u64>, to: &mut Sender<u64>, number: u64) {
    assert_eq!(wait(from), number);
    to.push(number).expect("the ring is empty");
}

/// Looks until something is there; now and then lets another thread look, for there may be one CPU.
fn wait(ring: &mut Receiver<u64>) -> u64 {
    loop {
        for _ in 0..10_000 {
            if let Some(number) = ring.pop() {
                return number;
            }
            std::hint::spin_loop();
        }
        std::thread::yield_now();
    }
}

criterion_group!(benches, kernels, groups, rings);
criterion_main!(benches);
