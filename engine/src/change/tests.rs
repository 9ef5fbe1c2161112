//! What changes add up to is what the same query says at the end, however the input is cut, whoever reads it,
//! and wherever a shard is stopped.

use std::collections::BTreeMap;

use crate::agg::tests::Random;
use crate::error::{Code, Error, Result};
use crate::pipeline::local::{Local, Message, OutputRow, batches};
use crate::plan::{Distribution, NodeId, Operator, Plan, distribute};
use crate::sql::{Catalog, Options, Table, TableReference, compile};
use crate::types::{Physical, Value};

const TABLES: &str = "CREATE TABLE r (k INT, t STRING, x BIGINT, d DOUBLE);\n\
     CREATE TABLE s (k INT, u STRING, y BIGINT);\n";

/// Queries whose result is the same whatever the order of the rows.
const QUERIES: &[&str] = &[
    "SELECT k, COUNT(*) AS n, SUM(x) AS s, AVG(x) AS a, MIN(t) AS mn, MAX(d) AS mx FROM r GROUP BY k",
    "SELECT COUNT(*) AS n, SUM(x) AS s, MAX(x) AS m FROM r",
    "SELECT COUNT(*) AS n, SUM(x) AS s FROM r WHERE x > 1000000",
    "SELECT DISTINCT t, k FROM r",
    "SELECT k, COUNT(*) AS n FROM r GROUP BY k HAVING COUNT(*) > 20",
    "SELECT n, COUNT(*) AS c, SUM(s) AS s FROM (SELECT k, COUNT(*) AS n, SUM(x) AS s FROM r GROUP BY k) GROUP BY n",
    "SELECT MAX(n) AS m, MIN(s) AS l, COUNT(DISTINCT n) AS d FROM (SELECT k, COUNT(*) AS n, SUM(x) AS s FROM r GROUP BY k)",
    "SELECT SUM(n) AS s FROM (SELECT k, t, COUNT(*) AS n FROM r GROUP BY k, t) WHERE k < 3",
    "SELECT k, t, x FROM (SELECT k, t, x, ROW_NUMBER() OVER (PARTITION BY k ORDER BY x DESC, t, d) AS n FROM r) WHERE n <= 3",
    "SELECT k, t, x, n FROM (SELECT k, t, x, ROW_NUMBER() OVER (PARTITION BY k ORDER BY x, t, d) AS n FROM r) WHERE n <= 2",
    "SELECT k, n, RANK() OVER (ORDER BY n DESC) AS p FROM (SELECT k, COUNT(*) AS n FROM r GROUP BY k)",
    "SELECT k, n FROM (SELECT k, n, ROW_NUMBER() OVER (ORDER BY n DESC, k) AS p FROM \
     (SELECT k, COUNT(*) AS n FROM r GROUP BY k)) WHERE p <= 2",
    "SELECT r.k, t, u, x + y AS z FROM r JOIN s ON r.k = s.k",
    "SELECT r.k, t, u FROM r JOIN s ON r.k = s.k AND x < y",
    "SELECT r.k, t, u, y FROM r LEFT JOIN s ON r.k = s.k AND x < y",
    "SELECT r.k, s.k AS l, t, u, y FROM r RIGHT JOIN s ON r.k = s.k AND r.t = s.u",
    "SELECT r.k, s.k AS l, t, u, y FROM r FULL JOIN s ON r.k = s.k AND r.t = s.u",
    "SELECT t, u FROM r JOIN s ON x < y WHERE x > 60 AND y < 80",
    "SELECT k, t FROM r WHERE k IN (SELECT k FROM s WHERE y > 50)",
    "SELECT k, t FROM r WHERE NOT EXISTS (SELECT * FROM s WHERE s.k = r.k AND s.u = r.t)",
    "SELECT a.k, n, m FROM (SELECT k, COUNT(*) AS n FROM r GROUP BY k) AS a \
     FULL JOIN (SELECT k, MAX(y) AS m FROM s GROUP BY k) AS b ON a.k = b.k",
    "SELECT a.n, COUNT(*) AS c, SUM(m) AS m FROM (SELECT k, COUNT(*) AS n FROM r GROUP BY k) AS a \
     LEFT JOIN (SELECT k, MAX(y) AS m FROM s GROUP BY k) AS b ON a.k = b.k GROUP BY a.n",
    "SELECT k, t, n FROM r JOIN (SELECT COUNT(*) AS n FROM s) AS c ON r.x < c.n",
    "SELECT k, x FROM r WHERE x > (SELECT AVG(y) FROM s)",
    "SELECT k, SUM(n) AS n FROM (SELECT k, COUNT(*) AS n FROM r GROUP BY k UNION ALL SELECT k, y AS n FROM s) GROUP BY k",
    "SELECT k, n FROM (SELECT k, COUNT(*) AS n FROM r GROUP BY k) UNION SELECT k, COUNT(*) AS n FROM s GROUP BY k",
    "SELECT k, t FROM r EXCEPT ALL SELECT k, u FROM s",
    "SELECT k, t FROM r INTERSECT SELECT k, u FROM s",
];

struct Nothing;

impl Catalog for Nothing {
    fn table(&mut self, reference: &TableReference<'_>) -> Result<Table> {
        Err(Error::new(Code::UnknownTable, format!("table `{}` not found", reference.name())))
    }
}

fn plan(query: &str, shards: usize) -> Result<Plan> {
    let program = compile(&format!("{TABLES}{query}"), &mut Nothing, &Options::default())?;
    distribute(program.plan, &Distribution { shards, force_exchange: false, ordered: false })
}

/// Random rows of few values for a scan; columns that are not read are not made.
fn table(plan: &Plan, scan: NodeId, rows: usize, seed: u64) -> Vec<Vec<Value>> {
    let Operator::Scan(of) = &plan.nodes[scan].operator else { unreachable!("the node is a scan") };
    let mut random = Random(seed ^ if of.table == "r" { 0x72 } else { 0x73 });
    let mut table = Vec::new();
    for _ in 0..rows {
        // All columns are drawn, so that plans that read others see the same rows.
        let (k, t, x, d) = (random.below(9), random.below(6), random.below(100), random.below(50));
        let value = |column: &str| match column {
            "k" if k == 8 => Value::Null,
            "k" => Value::I64(k as i64),
            "t" | "u" if t == 0 => Value::Null,
            "t" | "u" => Value::Text(format!("a text of many letters {t}")),
            "d" => Value::F64(d as f64 / 4.0),
            _ => Value::I64(x as i64),
        };
        table.push(of.columns.iter().map(|column| value(&column.name)).collect());
    }
    table
}

/// The rows of every scan, dealt to shards in batches of `cut` rows, a turn behind each.
fn run(query: &str, shards: usize, seed: u64, cut: usize, restarts: Option<usize>) -> Vec<OutputRow> {
    let plan = plan(query, shards).unwrap_or_else(|error| panic!("{query}: {error}"));
    let mut local = Local::new(&plan, shards, seed).expect("the plan is good");
    if let Some(steps) = restarts {
        local = local.restarting(steps);
    }
    for scan in (0..plan.nodes.len()).filter(|&node| matches!(plan.nodes[node].operator, Operator::Scan(_))) {
        let layout: Vec<Physical> = plan.nodes[scan].layout();
        let table = table(&plan, scan, 300, seed);
        let positions: Vec<u64> = (0..table.len() as u64).collect();
        for (number, batch) in batches(&layout, &table, Some(&positions), cut).into_iter().enumerate() {
            local.feed(number % shards, scan, Message::Batch(batch));
            local.feed(number % shards, scan, Message::Turn);
        }
        (0..shards).for_each(|shard| local.feed(shard, scan, Message::Finish));
    }
    let visible = plan.nodes.iter().find_map(|node| match &node.operator {
        Operator::Sink(sink) => Some(sink.visible),
        _ => None,
    });
    let rows = local.run(0).unwrap_or_else(|error| panic!("{query}: {error}"));
    let mut rows: Vec<OutputRow> = rows.into_iter().flatten().collect();
    rows.iter_mut().for_each(|row| row.values.truncate(visible.expect("the plan has a sink")));
    rows
}

fn counted(rows: impl Iterator<Item = (Vec<Value>, i64)>) -> BTreeMap<String, i64> {
    let mut counts = BTreeMap::new();
    for (row, sign) in rows {
        *counts.entry(format!("{row:?}")).or_insert(0) += sign;
    }
    counts.retain(|_, count| *count != 0);
    counts
}

/// What the changes with operations add up to; none goes that was not there.
fn folded(query: &str, rows: Vec<OutputRow>, shards: usize) -> BTreeMap<String, i64> {
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    let signed = rows.into_iter().map(|mut row| {
        let Value::Text(operation) = row.values.remove(0) else { panic!("an operation is a text") };
        (row.values, if operation == "+I" || operation == "+U" { 1 } else { -1 })
    });
    let signed: Vec<_> = signed.collect();
    if shards == 1 {
        for (row, sign) in &signed {
            let count = counts.entry(format!("{row:?}")).or_insert(0);
            *count += sign;
            assert!(*count >= 0, "a row goes that was not there: {row:?} of {query}");
        }
    }
    counted(signed.into_iter())
}

#[test]
fn changes_add_up_to_the_result() {
    for query in QUERIES {
        for seed in 0..3 {
            let last = run(query, 1, seed, 1000, None);
            let expected = counted(last.into_iter().map(|row| (row.values, 1)));
            for shards in [1, 3] {
                for (cut, restarts) in [(7, None), (50, Some(2)), (300, None)] {
                    let changes = run(&format!("{query} EMIT CHANGELOG"), shards, seed, cut, restarts);
                    assert_eq!(folded(query, changes, shards), expected, "{shards} shards, {cut} rows a turn: {query}");
                }
            }
        }
    }
}

/// Transfers of 1 between accounts: whatever way its two sides go, the balances always add up to nothing, in
/// every row that leaves.
#[test]
fn balances_add_up_to_nothing_in_every_row() {
    let queries = [
        "SELECT SUM(b) AS total FROM (SELECT COALESCE(c.n, 0) - COALESCE(d.n, 0) AS b \
         FROM (SELECT k AS a, COUNT(*) AS n FROM p GROUP BY k) AS c \
         FULL JOIN (SELECT l AS a, COUNT(*) AS n FROM p GROUP BY l) AS d ON c.a = d.a) EMIT CHANGES",
        "SELECT SUM(c.n - d.n) AS total FROM (SELECT k AS a, COUNT(*) AS n FROM p GROUP BY k) AS c \
         JOIN (SELECT l AS a, COUNT(*) AS n FROM p GROUP BY l) AS d ON c.a = d.a EMIT CHANGES",
        "SELECT SUM(n) AS total FROM (SELECT k AS a, COUNT(*) AS n FROM p GROUP BY k \
         UNION ALL SELECT l AS a, -COUNT(*) AS n FROM p GROUP BY l) EMIT CHANGES",
        "SELECT c.n - d.n AS total FROM (SELECT SUM(n) AS n FROM (SELECT k, COUNT(*) AS n FROM p GROUP BY k)) AS c, \
         (SELECT COUNT(*) AS n FROM p) AS d EMIT CHANGES",
    ];
    for (number, query) in queries.iter().enumerate() {
        for shards in [1, 2, 4, 8] {
            for seed in 0..4 {
                let script = format!("CREATE TABLE p (k INT, l INT);\n{query}");
                let program = compile(&script, &mut Nothing, &Options::default()).expect("the script is good");
                let distribution = Distribution { shards, force_exchange: false, ordered: false };
                let plan = distribute(program.plan, &distribution).expect("it can be spread");
                let mut local = Local::new(&plan, shards, seed).expect("the plan is good");
                let is_scan = |node: &NodeId| matches!(plan.nodes[*node].operator, Operator::Scan(_));
                let scan = (0..plan.nodes.len()).find(is_scan).expect("the plan has a scan");
                let mut random = Random(seed);
                for turn in 0..400 {
                    // Every account is there from the first turn of every shard on.
                    let account = |number: u64| Value::I64(number as i64);
                    let transfer = |number: u64| match turn {
                        0..8 => vec![account(number % 10), account((number + 1) % 10)],
                        _ => vec![account(random.below(10)), account(random.below(10))],
                    };
                    let rows: Vec<Vec<Value>> = (0..10).map(transfer).collect();
                    let rows = rows.into_iter().map(|row| {
                        let Operator::Scan(of) = &plan.nodes[scan].operator else { unreachable!("found above") };
                        of.columns.iter().map(|column| row[usize::from(column.name == "l")].clone()).collect()
                    });
                    let rows: Vec<Vec<Value>> = rows.collect();
                    for batch in batches(&plan.nodes[scan].layout(), &rows, None, 4) {
                        local.feed(turn % shards, scan, Message::Batch(batch));
                    }
                    local.feed(turn % shards, scan, Message::Turn);
                }
                (0..shards).for_each(|shard| local.feed(shard, scan, Message::Finish));
                let rows: Vec<OutputRow> = local.run(0).expect("no row is bad").into_iter().flatten().collect();
                // Once: nothing ever changes.
                assert_eq!(rows.len(), 1, "query {number}, {shards} shards, seed {seed}: {rows:?}");
                let is_nothing = |value: &Value| matches!(value, Value::I64(0) | Value::I128(0));
                assert!(is_nothing(&rows[0].values[0]), "query {number}, {shards} shards, seed {seed}: {rows:?}");
            }
        }
    }
}

/// Rows of `a` that the watermark has passed by ten seconds meet no more rows of `b`; pairs that are there stay.
#[test]
fn rows_are_kept_for_their_time_to_live() {
    let table = |name: &str| {
        format!("CREATE TABLE {name} (k INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '0' SECOND);\n")
    };
    let query = "SELECT /*+ STATE_TTL('a' = '10 seconds') */ a.k, b.ts FROM a JOIN b ON a.k = b.k EMIT CHANGES";
    let script = format!("{}{}{query}", table("a"), table("b"));
    let program = compile(&script, &mut Nothing, &Options::default()).expect("the script is good");
    let distribution = Distribution { shards: 1, force_exchange: false, ordered: false };
    let plan = distribute(program.plan, &distribution).expect("it can be spread");
    let scan = |name: &str| {
        let is_it = |node: &NodeId| matches!(&plan.nodes[*node].operator, Operator::Scan(of) if of.table == name);
        (0..plan.nodes.len()).find(is_it).expect("the plan has a scan")
    };
    let mut local = Local::new(&plan, 1, 1).expect("the plan is good");
    let second = 1_000_000;
    let mut feed = |name: &str, time: i64| {
        let Operator::Scan(of) = &plan.nodes[scan(name)].operator else { unreachable!("found above") };
        let mut row: Vec<Value> =
            of.columns.iter().map(|column| Value::I64(if column.name == "k" { 1 } else { time * second })).collect();
        row.extend(of.event_time.iter().map(|_| Value::I64(time * second)));
        let layout = plan.nodes[scan(name)].layout();
        for batch in batches(&layout, &[row], Some(&[time as u64]), 1) {
            local.feed(0, scan(name), Message::Batch(batch));
        }
        local.feed(0, scan(name), Message::Watermark(time * second));
        local.feed(0, scan(name), Message::Turn);
    };
    for (a, b) in [(1, 2), (100, 9), (101, 12), (102, 105), (103, 107)] {
        feed("a", a);
        feed("b", b);
    }
    let rows = local.run(0).expect("no row is bad").remove(0);
    let met = |time: i64| rows.iter().filter(|row| row.values[1] == Value::I64(time * second)).count();
    // Five rows of `a` in all; that of 1 is kept while the least watermark is below 11.
    assert_eq!([2, 9, 12, 105, 107].map(met), [5, 5, 4, 4, 4]);
}
