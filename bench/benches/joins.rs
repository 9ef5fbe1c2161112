//! Joins of rows that are already in memory, in one thread: rows of both sides a second.

use bumpalo::Bump;
use corelane_bench::count::Count;
use corelane_engine::batch::{BATCH_ROWS, Batch};
use corelane_engine::operator::{Context, Time};
use corelane_engine::pipeline::Pipeline;
use corelane_engine::plan::{NodeId, Operator};
use corelane_engine::sql::{self, Catalog, Table, TableReference, Watermark};
use corelane_engine::stage::Ledger;
use corelane_engine::types::DataType;
use corelane_engine::{Result, hash};
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};

/// `a` and `b`, each (ts, k, v): a number that rises, a key, a value.
struct Tables;

impl Catalog for Tables {
    fn table(&mut self, reference: &TableReference<'_>) -> Result<Table> {
        let time = DataType::Timestamp { precision: 6, zone: None };
        let columns = [("ts", time), ("k", DataType::BigInt), ("v", DataType::BigInt)];
        let mut table = Table::of(reference.name(), columns.map(|(name, data_type)| (name.to_owned(), data_type)));
        let span = corelane_engine::Span::NONE;
        table.watermark = Some(Watermark { column: "ts".to_owned(), delay_us: 0, span });
        Ok(table)
    }
}

/// A side of a join: how many rows, and of how many keys.
#[derive(Clone, Copy)]
struct Side {
    rows: u64,
    keys: u64,
}

/// Rows for the columns of `scan`, in order of time.
fn batches(plan: &sql::Program, scan: NodeId, side: Side) -> Vec<Batch> {
    let node = &plan.plan.nodes[scan];
    let mut all = Vec::new();
    for start in (0..side.rows).step_by(BATCH_ROWS) {
        let rows = (side.rows - start).min(BATCH_ROWS as u64);
        let mut batch = Batch::new(&node.layout());
        for (column, field) in node.schema.fields.iter().enumerate() {
            for (row, value) in batch.i64s_mut(column).iter_mut().take(rows as usize).enumerate() {
                let number = start + row as u64;
                *value = match field.name.as_str() {
                    "ts" => number as i64 * 10,
                    "k" => (hash::end(number) % side.keys) as i64,
                    _ => number as i64,
                };
            }
        }
        let positions = batch.positions_mut();
        (0..rows as usize).for_each(|row| positions[row] = start + row as u64);
        batch.set_rows(rows as usize);
        all.push(batch);
    }
    all
}

/// Runs the join over both sides' batches, taken in turns. Returns the rows out.
fn run(program: &sql::Program, sides: &[(NodeId, Vec<Batch>); 2]) -> Result<u64> {
    let mut pipeline = Pipeline::new(&program.plan, 0, 1, hash::DEFAULT_SEED)?;
    let (ledger, mut out, mut scratch) = (Ledger::idle(), Count::default(), Bump::new());
    let drain = |pipeline: &mut Pipeline, entry: NodeId, out: &mut Count, scratch: &mut Bump| -> Result<()> {
        while pipeline.pending(entry) {
            scratch.reset();
            pipeline.drain(entry, &Context { scratch, ledger: &ledger }, out)?;
        }
        scratch.reset();
        Ok(())
    };
    for turn in 0..sides.iter().map(|side| side.1.len()).max().unwrap_or(0) {
        for (entry, batches) in sides {
            let Some(batch) = batches.get(turn) else { continue };
            pipeline.push(*entry, &batch.chunk(&scratch), &Context { scratch: &scratch, ledger: &ledger }, &mut out)?;
            drain(&mut pipeline, *entry, &mut out, &mut scratch)?;
            let time: Time = (turn * BATCH_ROWS + batch.rows() - 1) as i64 * 10;
            pipeline.watermark(*entry, time, &Context { scratch: &scratch, ledger: &ledger }, &mut out)?;
            drain(&mut pipeline, *entry, &mut out, &mut scratch)?;
        }
    }
    for (entry, _) in sides {
        pipeline.finish(*entry, &Context { scratch: &scratch, ledger: &ledger }, &mut out)?;
        drain(&mut pipeline, *entry, &mut out, &mut scratch)?;
    }
    Ok(out.0)
}

fn join(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, query: &str, sides: [Side; 2]) {
    let program = sql::compile(query, &mut Tables, &sql::Options::default()).expect("the query is good");
    let scans: Vec<NodeId> = (0..program.plan.nodes.len())
        .filter(|&node| matches!(program.plan.nodes[node].operator, Operator::Scan(_)))
        .collect();
    let given = [0, 1].map(|side| (scans[side], batches(&program, scans[side], sides[side])));
    group.throughput(Throughput::Elements(sides.iter().map(|side| side.rows).sum()));
    group.bench_function(name, |bencher| bencher.iter(|| run(&program, &given).expect("no row is bad")));
}

fn joins(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("join");
    group.sample_size(10);
    let inner = "SELECT a.v, b.v FROM a JOIN b ON a.k = b.k";
    let (million, some) = (1_000_000, 100_000);
    let of = |rows, keys| Side { rows, keys };
    join(&mut group, "1 M rows, 100 K keys", inner, [of(million, some), of(some, some)]);
    join(&mut group, "1 M rows, 1 K keys", inner, [of(million, 1000), of(1000, 1000)]);
    let near = "SELECT a.v, b.v FROM a JOIN b ON a.k = b.k AND b.ts BETWEEN a.ts - INTERVAL '100' MILLISECOND AND a.ts";
    join(&mut group, "two streams of 1 M rows, near in time", near, [of(million, 10_000), of(million, 10_000)]);
    group.finish();
}

criterion_group!(benches, joins);
criterion_main!(benches);
