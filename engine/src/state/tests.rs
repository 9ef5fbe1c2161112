//! State is given back whole at every point of every query, and damage to it is never believed or
//! fatal. (The models of aggregates and OVER restart shards as well.)

use bumpalo::Bump;

use super::Section;
use crate::agg::tests::Random;
use crate::batch::Batch;
use crate::error::{Code, Error, Result};
use crate::hash::DEFAULT_SEED;
use crate::operator::{Context, Outlets, Time};
use crate::pipeline::Pipeline;
use crate::pipeline::local::{Local, Message, OutputRow, batches, value};
use crate::plan::{Distribution, NodeId, Operator, Plan, distribute};
use crate::sql::{Catalog, Options, Table, TableReference, compile};
use crate::stage::Ledger;
use crate::types::{Physical, Value};

const CASES: [&str; 8] = [
    include_str!("../../../bench/cases/1BRC.sql"),
    include_str!("../../../bench/cases/S0a.sql"),
    include_str!("../../../bench/cases/S0n.sql"),
    include_str!("../../../bench/cases/S0w.sql"),
    include_str!("../../../bench/cases/S1.sql"),
    include_str!("../../../bench/cases/S2.sql"),
    include_str!("../../../bench/cases/S3a.sql"),
    include_str!("../../../bench/cases/S3b.sql"),
];

/// Queries whose operators hold every kind of state.
pub(super) const HOLDING: [&str; 15] = [
    "SELECT k, COUNT(*) AS n, COUNT(DISTINCT t) AS d, SUM(x) AS s, AVG(x) AS a, MIN(t) AS mn, MAX(t) AS mx, \
     FIRST_VALUE(t) AS f, LAST_VALUE(t) AS l, MEDIAN(x) AS md, STRING_AGG(t, ',') AS j, ARG_MAX(t, x) AS am, \
     STDDEV(x) AS dev FROM r GROUP BY k",
    "SELECT k, window_start, COUNT(*) AS n, SUM(x) AS s, MAX(t) AS mx \
     FROM HOP(r, ts, INTERVAL '1' MINUTE, INTERVAL '3' MINUTE) GROUP BY k, window_start, window_end",
    "SELECT k, t, x, SUM(x) OVER w AS s, MIN(t) OVER w AS mn, LAG(t) OVER w AS g, LEAD(t) OVER w AS d, \
     ROW_NUMBER() OVER w AS n \
     FROM r WINDOW w AS (PARTITION BY k ORDER BY ts ROWS BETWEEN 5 PRECEDING AND CURRENT ROW)",
    "SELECT k, t, RANK() OVER w AS r, DENSE_RANK() OVER w AS d, \
     NTH_VALUE(t, 2) OVER (PARTITION BY k ORDER BY ts ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS n, \
     STDDEV(x) OVER (PARTITION BY k ORDER BY ts ROWS BETWEEN 4 PRECEDING AND CURRENT ROW) AS v, \
     NTH_VALUE(x, 3) OVER (PARTITION BY k ORDER BY ts ROWS BETWEEN 4 PRECEDING AND CURRENT ROW) AS m \
     FROM r WINDOW w AS (PARTITION BY k ORDER BY ts)",
    "SELECT k, t, SUM(x) OVER (PARTITION BY k ORDER BY ts ROWS BETWEEN 1 PRECEDING AND 2 FOLLOWING) AS s, \
     COUNT(*) OVER (PARTITION BY k ORDER BY ts ROWS BETWEEN CURRENT ROW AND 3 FOLLOWING) AS n \
     FROM r",
    "SELECT k, t, SUM(x) OVER (PARTITION BY k) AS s, COUNT(*) OVER () AS n FROM r",
    "SELECT k, t, COUNT(*) OVER w AS n, SUM(x) OVER w AS s, MAX(t) OVER w AS m, \
     MIN(t) OVER (PARTITION BY k ORDER BY ts RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS u, \
     LEAD(t) OVER (PARTITION BY k ORDER BY ts) AS l \
     FROM r WINDOW w AS (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL '20' SECOND PRECEDING AND CURRENT ROW)",
    "SELECT k, t, x FROM (SELECT k, t, x, ROW_NUMBER() OVER (PARTITION BY k ORDER BY x DESC) AS n FROM r) WHERE n <= 3",
    "SELECT k, window_start, RANK() OVER (PARTITION BY window_start ORDER BY n DESC) AS p FROM (SELECT k, window_start, \
     COUNT(*) AS n FROM TUMBLE(r, ts, INTERVAL '1' MINUTE) GROUP BY k, window_start, window_end)",
    "SELECT k, t, x, window_end FROM TUMBLE(r, ts, INTERVAL '1' MINUTE) \
     QUALIFY ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY x DESC, t) <= 5",
    "SELECT t, x FROM r ORDER BY x DESC, t LIMIT 50 OFFSET 3",
    "SELECT n, COUNT(*) AS c, SUM(n) AS s, MAX(m) AS m FROM (SELECT k, COUNT(*) AS n, MAX(t) AS m FROM r GROUP BY k) \
     GROUP BY n EMIT CHANGELOG",
    "SELECT k, t, x, n FROM (SELECT k, t, x, ROW_NUMBER() OVER (PARTITION BY k ORDER BY x DESC, t) AS n FROM r) WHERE n <= 3 \
     EMIT CHANGELOG",
    "SELECT k, SUM(n) AS n FROM (SELECT k, COUNT(*) AS n FROM r GROUP BY k UNION ALL SELECT t AS k, COUNT(*) AS n FROM r GROUP BY t) \
     GROUP BY k EMIT CHANGELOG",
    "SELECT a.t, b.n FROM r AS a LEFT JOIN (SELECT k, COUNT(*) AS n FROM r GROUP BY k) AS b ON a.k = b.k EMIT CHANGELOG",
];

pub(super) const TABLE: &str = "CREATE TABLE r (ms BIGINT, k STRING, t STRING, x DOUBLE, ts AS TO_TIMESTAMP_LTZ(ms, 3), \
     WATERMARK FOR ts AS ts - INTERVAL '2' SECOND);\n";

/// Of the little state of a test there are several parts all the same.
const PART_BYTES: usize = 1 << 10;

struct Nothing;

impl Catalog for Nothing {
    fn table(&mut self, reference: &TableReference<'_>) -> Result<Table> {
        Err(Error::new(Code::UnknownTable, format!("table `{}` not found", reference.name())))
    }
}

pub(super) fn plan(script: &str, shards: usize) -> Plan {
    let program = compile(script, &mut Nothing, &Options::default()).expect("the script is good");
    distribute(program.plan, &Distribution { shards, force_exchange: false, ordered: false }).expect("it can be spread")
}

pub(super) fn scan(plan: &Plan) -> NodeId {
    let is_scan = |node: &crate::plan::Node| matches!(node.operator, Operator::Scan(_));
    plan.nodes.iter().position(is_scan).expect("the plan has a scan")
}

/// Rows for the scan of `plan` as batches, each with the watermark behind it.
pub(super) fn rows(plan: &Plan, count: u64, chunk: usize) -> Vec<(Batch, Time)> {
    let layout = plan.nodes[scan(plan)].layout();
    let Operator::Scan(of) = &plan.nodes[scan(plan)].operator else { unreachable!("found above") };
    let mut random = Random(count << 32);
    let mut table = Vec::new();
    for number in 0..count {
        let row = layout.iter().enumerate().map(|(column, physical)| {
            if of.event_time.is_some() && column + 1 == layout.len() {
                return Value::I64((number * 3_000_000 + random.below(2_000_000)) as i64);
            }
            let value = random.below(7);
            match physical {
                _ if value == 6 => Value::Null,
                Physical::I64 => Value::I64(value as i64 * 100),
                Physical::I128 => Value::I128(i128::from(value) << 70),
                Physical::F64 => Value::F64(value as f64 / 4.0),
                Physical::Text if value.is_multiple_of(2) => Value::Text(format!("k{value}")),
                Physical::Text => Value::Text(format!("a key of many letters {value}")),
            }
        });
        table.push(row.collect());
    }
    let positions: Vec<u64> = (0..count).collect();
    let ends = (1..).map(|part| (part * chunk as i64) * 3_000_000 - 4_000_000);
    batches(&layout, &table, Some(&positions), chunk).into_iter().zip(ends).collect()
}

fn run(plan: &Plan, shards: usize, restarts: Option<usize>) -> Vec<Vec<OutputRow>> {
    let mut local = Local::new(plan, shards, 5).expect("the plan is good");
    if let Some(steps) = restarts {
        local = local.restarting(steps);
    }
    for (number, (batch, watermark)) in rows(plan, 400, 17).into_iter().enumerate() {
        local.feed(number % shards, scan(plan), Message::Batch(batch));
        (0..shards).for_each(|shard| local.feed(shard, scan(plan), Message::Watermark(watermark)));
    }
    (0..shards).for_each(|shard| local.feed(shard, scan(plan), Message::Finish));
    local.run(0).expect("no row is bad")
}

fn scripts() -> impl Iterator<Item = String> {
    let cases = CASES.iter().map(|case| (*case).to_owned());
    cases.chain(HOLDING.iter().map(|query| format!("{TABLE}{query}")))
}

#[test]
fn a_query_stopped_at_every_step_gives_the_same_rows() {
    for script in scripts() {
        for shards in [1, 3] {
            let plan = plan(&script, shards);
            let expected = run(&plan, shards, None);
            assert!(expected.iter().flatten().count() > 0, "{script}");
            for steps in [1, 3] {
                assert_eq!(run(&plan, shards, Some(steps)), expected, "{shards} shards, {steps}: {script}");
            }
        }
    }
}

/// Keeps the rows of all sinks.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Recorded(Vec<Vec<Value>>);

impl Recorded {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The rows behind the first `rows`.
    pub(super) fn from(&self, rows: usize) -> Recorded {
        Recorded(self.0[rows..].to_vec())
    }
}

impl Outlets for Recorded {
    fn sink(&mut self, _: usize, chunk: &crate::batch::Chunk<'_>, _: &Context<'_>) -> Result<()> {
        self.0.extend((0..chunk.rows).map(|row| chunk.columns.iter().map(|column| value(column, row)).collect()));
        Ok(())
    }
}

/// Takes everything, keeps nothing.
struct Void;

impl Outlets for Void {
    fn sink(&mut self, _: usize, _: &crate::batch::Chunk<'_>, _: &Context<'_>) -> Result<()> {
        Ok(())
    }
}

pub(super) fn pipeline(plan: &Plan) -> Pipeline {
    let mut pipeline = Pipeline::new(plan, 0, 1, DEFAULT_SEED).expect("the plan is good");
    pipeline.save_in_parts_of(PART_BYTES);
    pipeline
}

/// What is held in the middle of a query.
fn held(plan: &Plan) -> Vec<Section> {
    let (mut pipeline, ledger) = (pipeline(plan), Ledger::idle());
    let entry = scan(plan);
    for (batch, watermark) in rows(plan, 60, 20) {
        let scratch = Bump::new();
        let context = Context { scratch: &scratch, ledger: &ledger };
        pipeline.push(entry, &batch.chunk(&scratch), &context, &mut Void).expect("no row is bad");
        while pipeline.drain(entry, &context, &mut Void).expect("no row is bad") {}
        pipeline.watermark(entry, watermark, &context, &mut Void).expect("no row is bad");
        while pipeline.drain(entry, &context, &mut Void).expect("no row is bad") {}
    }
    pipeline.save().expect("nothing is due")
}

fn restored(plan: &Plan, sections: &[Section]) -> Result<Vec<Section>> {
    let mut pipeline = pipeline(plan);
    pipeline.restore(sections)?;
    pipeline.save()
}

#[test]
fn state_is_the_same_after_it_was_read() {
    for script in scripts() {
        let plan = plan(&script, 1);
        let sections = held(&plan);
        assert_eq!(restored(&plan, &sections).expect("the state is good"), sections, "{script}");
    }
}

#[test]
fn damage_ends_in_an_error_or_in_what_stands_there() {
    for query in HOLDING {
        let plan = plan(&format!("{TABLE}{query}"), 1);
        let sections = held(&plan);
        assert!(!sections.is_empty(), "{query}");
        for number in 0..sections.len() {
            let damage = |change: &dyn Fn(&mut Vec<u8>)| {
                let mut sections = sections.clone();
                change(&mut sections[number].bytes);
                let result = restored(&plan, &sections);
                sections.retain(|section| !section.bytes.is_empty());
                (result, sections)
            };
            for length in 0..sections[number].bytes.len() {
                let (result, cut) = damage(&|bytes| bytes.truncate(length));
                if let Ok(result) = result {
                    assert!(result == cut, "section {number} cut to {length}: {query}");
                }
                for mask in [0x01, 0xFF] {
                    if let Err(error) = damage(&|bytes| bytes[length] ^= mask).0 {
                        assert_eq!(error.code(), Code::Io, "{error}");
                    }
                }
            }
            let (result, _) = damage(&|bytes| bytes.push(0));
            assert!(result.is_err(), "a byte behind section {number}: {query}");
        }
        let doubled: Vec<Section> = sections.iter().chain(&sections[..1]).cloned().collect();
        assert!(restored(&plan, &doubled).is_err(), "a doubled section: {query}");
        let mut strange = sections.clone();
        strange[0].node = 99;
        assert!(restored(&plan, &strange).is_err(), "a strange operator: {query}");
    }
}

/// Rows, time and the end for a pipeline whose state may be anybody's.
fn run_on(pipeline: &mut Pipeline, plan: &Plan, rows: &[(Batch, Time)]) -> Result<()> {
    let (ledger, entry, scratch) = (Ledger::idle(), scan(plan), Bump::new());
    let context = Context { scratch: &scratch, ledger: &ledger };
    for (batch, watermark) in rows {
        pipeline.push(entry, &batch.chunk(&scratch), &context, &mut Void)?;
        while pipeline.drain(entry, &context, &mut Void)? {}
        pipeline.watermark(entry, *watermark, &context, &mut Void)?;
        while pipeline.drain(entry, &context, &mut Void)? {}
    }
    pipeline.finish(entry, &context, &mut Void)?;
    while pipeline.drain(entry, &context, &mut Void)? {}
    Ok(())
}

/// Counters of a group, and those that say whether groups pay, may be anything in a forged checkpoint.
#[test]
fn forged_counters_are_refused_or_do_no_harm() {
    for query in [
        "SELECT k, COUNT(*) AS n, COUNT(x) AS c, AVG(x) AS a, SUM(x) AS s, MIN(x) AS m FROM r GROUP BY k",
        "SELECT k, window_start, COUNT(x) AS c, MAX(x) AS m FROM TUMBLE(r, ts, INTERVAL '1' MINUTE) \
         GROUP BY k, window_start, window_end",
    ] {
        let plan = plan(&format!("{TABLE}{query}"), 1);
        let sections = held(&plan);
        let more = rows(&plan, 24, 8);
        let (mut taken, mut refused) = (0, 0);
        for number in 0..sections.len() {
            for at in 0..sections[number].bytes.len().saturating_sub(7) {
                for word in [u64::MAX, i64::MAX as u64, 1 << 63, 1 << 61, 0] {
                    let mut sections = sections.clone();
                    sections[number].bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
                    let mut pipeline = pipeline(&plan);
                    if pipeline.restore(&sections).is_ok() {
                        taken += 1;
                        let _ = run_on(&mut pipeline, &plan, &more);
                    } else {
                        refused += 1;
                    }
                }
            }
        }
        assert!(taken > 0 && refused > 0, "{query}: {taken}, {refused}");
    }
}
