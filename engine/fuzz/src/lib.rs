//! What the fuzzer feeds: each function takes any bytes and panics only on a bug.
//!
//! Run one with `cargo +nightly fuzz run sql_parse` in this folder. The same functions run over the
//! kept corpus and seeded changes of it in `engine/tests/fuzz.rs`, with any compiler.

use bumpalo::Bump;
use corelane_engine::batch::Chunk;
use corelane_engine::error::{Code, Error, Result, Span};
use corelane_engine::operator::{Context, Outlets, Time};
use corelane_engine::pipeline::Pipeline;
use corelane_engine::pipeline::local::batches;
use corelane_engine::plan::{Distribution, Operator, Plan, distribute, explain};
use corelane_engine::sql::{Catalog, Options, Program, Table, TableReference, Watermark, compile, parse_type, render};
use corelane_engine::stage::Ledger;
use corelane_engine::state::{Scope, Section};
use corelane_engine::types::Value;

/// Tables that queries may read: `t` of every type, with event time, and `u` without.
struct Tables;

const COLUMNS: [(&str, &str); 10] = [
    ("i", "INT"),
    ("l", "BIGINT"),
    ("d", "DECIMAL(10,2)"),
    ("w", "DECIMAL(30,4)"),
    ("f", "DOUBLE"),
    ("s", "STRING"),
    ("b", "BOOLEAN"),
    ("day", "DATE"),
    ("ts", "TIMESTAMP(3)"),
    ("tz", "TIMESTAMP_LTZ(3)"),
];

impl Catalog for Tables {
    fn table(&mut self, reference: &TableReference<'_>) -> Result<Table> {
        let name = reference.name();
        if !["t", "u"].contains(&name) {
            return Err(Error::new(Code::UnknownTable, format!("table `{name}` not found")));
        }
        let column = |(name, data_type): (&str, &str)| (name.to_owned(), parse_type(data_type).expect("a type"));
        let mut table = Table::of(name, COLUMNS.map(column));
        if name == "t" {
            table.watermark = Some(Watermark { column: "ts".to_owned(), delay_us: 1_000_000, span: Span::NONE });
        }
        Ok(table)
    }
}

/// Compiles any text: a plan, or an error that is the script's, with a place inside it.
pub fn sql_parse(bytes: &[u8]) {
    let script = String::from_utf8_lossy(bytes);
    if let Some(program) = compiled(&script) {
        explain(&program.plan);
    }
}

/// Builds queries that are nearly right, plans them, and makes their operators.
pub fn sql_plan(bytes: &[u8]) {
    let script = Choices(bytes).query();
    let Some(program) = compiled(&script) else { return };
    for shards in [1, 3] {
        let distribution = Distribution { shards, force_exchange: shards == 1, ordered: false };
        match distribute(program.plan.clone(), &distribution) {
            Ok(plan) => {
                explain(&plan);
                for shard in 0..shards {
                    hold(Pipeline::new(&plan, shard, shards, 0).map(drop), &script);
                }
            }
            Err(error) => hold(Err(error), &script),
        }
    }
}

/// An error must be the script's own fault.
fn hold(result: Result<()>, script: &str) {
    if let Err(error) = result {
        assert!(error.code() != Code::Internal, "{script}\n{error}");
        let span = error.report().span;
        assert!(span.start <= span.end && span.end as usize <= script.len() + 1, "{script}\n{error}: {span:?}");
        render(&error, script, "script.sql", false);
    }
}

fn compiled(script: &str) -> Option<Program> {
    match compile(script, &mut Tables, &Options::default()) {
        Ok(program) => Some(program),
        Err(error) => {
            hold(Err(error), script);
            None
        }
    }
}

/// Decisions, a byte each; when the bytes are used up the first choice is taken.
struct Choices<'b>(&'b [u8]);

impl Choices<'_> {
    fn below(&mut self, count: usize) -> usize {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(*first) % count
    }

    fn pick(&mut self, from: &[&str]) -> String {
        from[self.below(from.len())].to_owned()
    }

    fn column(&mut self) -> String {
        COLUMNS[self.below(COLUMNS.len())].0.to_owned()
    }

    fn expression(&mut self, depth: usize) -> String {
        let kinds = if depth == 0 { 2 } else { 12 };
        let more = depth.saturating_sub(1);
        match self.below(kinds) {
            0 => self.column(),
            1 => self.pick(&[
                "1",
                "NULL",
                "'x'",
                "2.50",
                "1e3",
                "TRUE",
                "DATE '2026-01-01'",
                "INTERVAL '1' DAY",
                "9223372036854775807",
                "-1",
            ]),
            2..=4 => {
                let operator = self.pick(&[
                    "+",
                    "-",
                    "*",
                    "/",
                    "%",
                    "||",
                    "=",
                    "<>",
                    "<",
                    ">=",
                    "AND",
                    "OR",
                    "LIKE",
                    "IS DISTINCT FROM",
                ]);
                format!("({} {operator} {})", self.expression(more), self.expression(more))
            }
            5 => format!("(NOT {})", self.expression(more)),
            6 => format!("({} IS {}NULL)", self.expression(more), self.pick(&["", "NOT "])),
            7 => {
                let (when, then, other) = (self.expression(more), self.expression(more), self.expression(more));
                format!("CASE WHEN {when} THEN {then} ELSE {other} END")
            }
            8 => {
                let types = [
                    "INT",
                    "BIGINT",
                    "DECIMAL(5,1)",
                    "DECIMAL(38,10)",
                    "DOUBLE",
                    "STRING",
                    "BOOLEAN",
                    "DATE",
                    "TIMESTAMP(3)",
                ];
                format!("{}({} AS {})", self.pick(&["CAST", "TRY_CAST"]), self.expression(more), self.pick(&types))
            }
            9 => format!("({} IN ({}, {}))", self.expression(more), self.expression(0), self.expression(0)),
            10 => format!("({} BETWEEN {} AND {})", self.expression(more), self.expression(0), self.expression(more)),
            _ => {
                let scalars = &corelane_engine::sql::families()[0].1;
                let name = scalars[self.below(scalars.len())].name;
                let count = self.below(4);
                let arguments: Vec<String> = (0..count).map(|_| self.expression(more)).collect();
                format!("{name}({})", arguments.join(", "))
            }
        }
    }

    fn aggregate(&mut self) -> String {
        let aggregates = &corelane_engine::sql::families()[1].1;
        let name = aggregates[self.below(aggregates.len())].name;
        let distinct = self.pick(&["", "", "DISTINCT "]);
        let arguments = match self.below(4) {
            0 => "*".to_owned(),
            1 => format!("{distinct}{}", self.column()),
            2 => format!("{distinct}{}", self.expression(1)),
            _ => format!("{}, {}", self.expression(1), self.expression(0)),
        };
        let filter = if self.below(4) == 3 { format!(" FILTER (WHERE {})", self.expression(1)) } else { String::new() };
        format!("{name}({arguments}){filter}")
    }

    fn query(&mut self) -> String {
        let (window, group) = match self.below(6) {
            0 => ("t", ""),
            1 => ("u", ""),
            2 => ("TUMBLE(t, ts, INTERVAL '1' MINUTE)", "window_start, window_end"),
            3 => ("HOP(t, ts, INTERVAL '10' SECOND, INTERVAL '1' MINUTE)", "window_start, window_end"),
            4 => ("TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' HOUR))", "window_end, window_start"),
            _ => ("(SELECT i, l, d, w, f, s, b, day, ts, tz FROM t WHERE i > 3)", ""),
        };
        let mut items: Vec<String> = Vec::new();
        let mut keys: Vec<String> = if group.is_empty() { Vec::new() } else { vec![group.to_owned()] };
        let kind = self.below(4);
        for _ in 0..1 + self.below(3) {
            items.push(match kind {
                0 => self.expression(3),
                1 => {
                    let key = self.column();
                    keys.push(key.clone());
                    format!("{key}, {}", self.aggregate())
                }
                2 => self.aggregate(),
                _ => {
                    let call = self.pick(&[
                        "SUM(l)",
                        "COUNT(*)",
                        "MIN(s)",
                        "LAG(i, 2)",
                        "LEAD(s)",
                        "ROW_NUMBER()",
                        "RANK()",
                        "FIRST_VALUE(d)",
                    ]);
                    let frame = self.pick(&[
                        "",
                        " ROWS BETWEEN 3 PRECEDING AND CURRENT ROW",
                        " RANGE BETWEEN INTERVAL '5' SECOND PRECEDING AND CURRENT ROW",
                        " ROWS BETWEEN UNBOUNDED PRECEDING AND 1 FOLLOWING",
                    ]);
                    format!(
                        "{call} OVER (PARTITION BY {} ORDER BY {}{frame})",
                        self.column(),
                        self.pick(&["ts", "i", "f DESC"])
                    )
                }
            });
        }
        let mut query = format!("SELECT {} FROM {window}", items.join(", "));
        if self.below(2) == 1 {
            query += &format!(" WHERE {}", self.expression(2));
        }
        if !keys.is_empty() && kind != 0 && kind != 3 {
            query += &format!(" GROUP BY {}", keys.join(", "));
            if self.below(3) == 2 {
                query += &format!(" HAVING {} > 1", self.aggregate());
            }
        }
        match self.below(6) {
            1 => query += " EMIT CHANGES",
            2 => query += " ORDER BY 1 LIMIT 10",
            3 => query += " LIMIT 0",
            4 => query = format!("WITH c AS ({query}) SELECT * FROM c"),
            _ => {}
        }
        query
    }
}

/// Queries whose operators hold state.
const HOLDING: [&str; 6] = [
    "SELECT s, COUNT(*), COUNT(DISTINCT i), SUM(d), AVG(f), MIN(s), MAX(w), MEDIAN(f), STRING_AGG(s, ','), ARG_MAX(s, f) FROM u GROUP BY s",
    "SELECT s, window_start, SUM(l), MAX(s) FROM HOP(t, ts, INTERVAL '1' MINUTE, INTERVAL '3' MINUTE) GROUP BY s, window_start, window_end",
    "SELECT s, SUM(f) OVER w, MIN(s) OVER w, LAG(s) OVER w, LEAD(s) OVER w FROM t WINDOW w AS (PARTITION BY s ORDER BY ts ROWS BETWEEN 5 PRECEDING AND CURRENT ROW)",
    "SELECT s, COUNT(*) OVER w, MAX(s) OVER w FROM t WINDOW w AS (PARTITION BY s ORDER BY ts RANGE BETWEEN INTERVAL '20' SECOND PRECEDING AND CURRENT ROW)",
    "SELECT s, f FROM (SELECT s, f, ROW_NUMBER() OVER (PARTITION BY s ORDER BY f DESC) AS n FROM u) WHERE n <= 3",
    "SELECT s, f FROM u ORDER BY f DESC, s LIMIT 50",
];

struct Nowhere;

impl Outlets for Nowhere {
    fn sink(&mut self, _: usize, _: &Chunk<'_>, _: &Context<'_>) -> Result<()> {
        Ok(())
    }
}

/// State that is damaged, or that nobody ever wrote, is refused or taken over; whatever was taken over
/// can be saved again.
///
/// The first byte picks a query, the second where the state comes from: its own, with changes, or the
/// bytes alone.
pub fn state_restore(bytes: &[u8]) {
    let [query, from, rest @ ..] = bytes else { return };
    let program = compiled(HOLDING[usize::from(*query) % HOLDING.len()]).expect("the query is right");
    let distribution = Distribution { shards: 1, force_exchange: false, ordered: false };
    let plan = distribute(program.plan, &distribution).expect("the plan is right");
    let mut sections = saved(&plan);
    if from % 4 == 3 {
        sections = vec![
            Section { node: usize::from(from >> 4), scope: Scope::Whole, bytes: rest.to_vec() },
            Section {
                node: usize::from(from >> 4),
                scope: Scope::KeyGroup(u16::from(*from) * 16),
                bytes: rest.to_vec(),
            },
            Section { node: usize::from(from >> 4), scope: Scope::Part(0), bytes: rest.to_vec() },
        ];
    } else {
        for change in rest.chunks_exact(4) {
            let count = sections.len().max(1);
            let Some(section) = sections.get_mut(usize::from(change[0]) % count) else { break };
            let at = usize::from(u16::from_le_bytes([change[1], change[2]]));
            let length = section.bytes.len().max(1);
            match (change[3], section.bytes.get_mut(at % length)) {
                (0, _) => section.bytes.truncate(at % length),
                (1, _) => section.bytes.extend([0xff; 9]),
                (2, _) => section.node = at % 9,
                (3, _) => {
                    section.scope = [Scope::Whole, Scope::KeyGroup(at as u16), Scope::Part(at as u32)][at % 3];
                }
                (with, Some(byte)) => *byte ^= with,
                _ => {}
            }
        }
    }
    let mut pipeline = Pipeline::new(&plan, 0, 1, 0).expect("it was made before");
    if pipeline.restore(&sections).is_ok() {
        let _ = pipeline.save();
    }
}

/// What the operators of `plan` hold after some rows.
fn saved(plan: &Plan) -> Vec<Section> {
    let mut pipeline = Pipeline::new(plan, 0, 1, 0).expect("the plan is right");
    run(&mut pipeline, plan).expect("the rows are right");
    pipeline.save().expect("every operator can be saved")
}

/// Some rows through a pipeline.
fn run(pipeline: &mut Pipeline, plan: &Plan) -> Result<()> {
    let is_scan = |node: &usize| matches!(plan.nodes[*node].operator, Operator::Scan(_));
    let scan = (0..plan.nodes.len()).find(is_scan).expect("there is a scan");
    let value = |row: i64, name: &str| match name {
        "s" if row % 5 == 0 => Value::Null,
        "s" => Value::Text(format!("text {}", "x".repeat(row as usize % 20))),
        "f" => Value::F64(row as f64 / 3.0),
        "w" => Value::I128(i128::from(row)),
        _ => Value::I64(row * 1_000_000),
    };
    let fields = &plan.nodes[scan].schema.fields;
    let rows: Vec<Vec<Value>> =
        (0..40).map(|row| fields.iter().map(|field| value(row, &field.name)).collect()).collect();
    let positions: Vec<u64> = (0..40).collect();
    let (ledger, mut scratch) = (Ledger::idle(), Bump::new());
    for (number, batch) in batches(&plan.nodes[scan].layout(), &rows, Some(&positions), 7).into_iter().enumerate() {
        scratch.reset();
        let context = Context { scratch: &scratch, ledger: &ledger };
        pipeline.push(scan, &batch.chunk(&scratch), &context, &mut Nowhere)?;
        drain(pipeline, scan)?;
        let context = Context { scratch: &scratch, ledger: &ledger };
        pipeline.watermark(scan, number as Time * 5_000_000, &context, &mut Nowhere)?;
        drain(pipeline, scan)?;
    }
    Ok(())
}

fn drain(pipeline: &mut Pipeline, scan: usize) -> Result<()> {
    let (ledger, mut scratch) = (Ledger::idle(), Bump::new());
    while pipeline.pending(scan) {
        scratch.reset();
        pipeline.drain(scan, &Context { scratch: &scratch, ledger: &ledger }, &mut Nowhere)?;
    }
    Ok(())
}
