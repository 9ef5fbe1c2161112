//! The operator against a plain map, over many seeds: NULLs, limits of `i64`, long text, rows out of
//! order, chunks of any size, one shard and several.

use std::collections::BTreeMap;

use crate::error::Span;
use crate::expr::Expr;
use crate::hash;
use crate::operator::Time;
use crate::pipeline::local::{Local, Message, OutputRow, batches};
use crate::plan::*;
use crate::types::{DataType, Physical, Schema, Value};

const TIME: DataType = DataType::Timestamp { precision: 3, zone: None };
pub(crate) const SUM: DataType = DataType::Decimal { precision: 38, scale: 0 };
pub(crate) const WIDE: DataType = DataType::Decimal { precision: 38, scale: 2 };
pub(crate) const MEAN: DataType = DataType::Decimal { precision: 38, scale: 6 };

pub(crate) fn input() -> Schema {
    Schema::of([
        ("name", DataType::Text),
        ("number", DataType::BigInt),
        ("time", TIME),
        ("whole", DataType::BigInt),
        ("wide", WIDE),
        ("double", DataType::Double),
        ("text", DataType::Text),
        ("truth", DataType::Boolean),
    ])
}

pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(1);
        hash::end(hash::end(self.0)) % below
    }

    fn text(&mut self, kinds: u64) -> Value {
        let number = self.below(kinds);
        Value::Text(if number.is_multiple_of(2) {
            format!("k{number}")
        } else {
            format!("a key of many letters {number}")
        })
    }

    fn maybe(&mut self, value: Value) -> Value {
        if self.below(8) == 0 { Value::Null } else { value }
    }

    pub(crate) fn row(&mut self, number: u64, nulls: bool) -> Vec<Value> {
        let whole = match self.below(16) {
            0 => i64::MAX,
            1 => i64::MIN,
            _ => self.below(2000) as i64 - 1000,
        };
        let wide = (self.below(1 << 40) as i128 - (1 << 39)) << self.below(60);
        let time = (number * 1000) as i64 - self.below(5000) as i64;
        let double = self.below(4096) as f64 / 4.0 - 512.0;
        let mut row = vec![
            self.text(9),
            Value::I64(self.below(3) as i64 - 1),
            Value::I64(time),
            Value::I64(whole),
            Value::I128(wide),
            Value::F64(double),
            self.text(30),
            Value::I64(self.below(2) as i64),
        ];
        if nulls {
            for (column, value) in row.iter_mut().enumerate() {
                if column != 2 {
                    *value = self.maybe(value.clone());
                }
            }
        }
        row
    }
}

pub(crate) fn column(index: usize) -> Expr {
    Expr::column(index, input().fields[index].data_type)
}

fn call(function: AggregateFunction, argument: Option<usize>, data_type: DataType) -> AggregateCall {
    let arguments = argument.map(column).into_iter().collect();
    AggregateCall { function, arguments, distinct: false, filter: None, data_type, span: Span::NONE }
}

pub(super) fn calls() -> Vec<AggregateCall> {
    use AggregateFunction as F;
    let truth = Some(column(7));
    vec![
        call(F::Count, None, DataType::BigInt),
        call(F::Count, Some(3), DataType::BigInt),
        call(F::Sum, Some(3), SUM),
        call(F::Avg, Some(3), DataType::Double),
        call(F::Min, Some(3), DataType::BigInt),
        call(F::Max, Some(3), DataType::BigInt),
        call(F::Sum, Some(4), WIDE),
        call(F::Avg, Some(4), MEAN),
        call(F::Min, Some(4), WIDE),
        call(F::Max, Some(4), WIDE),
        call(F::Sum, Some(5), DataType::Double),
        call(F::Min, Some(5), DataType::Double),
        call(F::Max, Some(5), DataType::Double),
        call(F::Min, Some(6), DataType::Text),
        call(F::Max, Some(6), DataType::Text),
        call(F::First, Some(6), DataType::Text),
        call(F::Last, Some(3), DataType::BigInt),
        call(F::BoolAnd, Some(7), DataType::Boolean),
        call(F::BoolOr, Some(7), DataType::Boolean),
        AggregateCall { filter: truth, ..call(F::Sum, Some(3), SUM) },
        with(call(F::ArgMin, Some(6), DataType::Text), column(3)),
        with(call(F::ArgMax, Some(4), WIDE), column(5)),
        with(call(F::ArgMax, Some(5), DataType::Double), column(6)),
        with(call(F::ArgMin, Some(7), DataType::Boolean), column(4)),
    ]
}

fn with(mut call: AggregateCall, second: Expr) -> AggregateCall {
    call.arguments.push(second);
    call
}

/// Calls whose changes are worked out a column at a time.
fn plain() -> Vec<AggregateCall> {
    use AggregateFunction as F;
    vec![
        call(F::Count, None, DataType::BigInt),
        call(F::Count, Some(6), DataType::BigInt),
        call(F::Count, Some(3), DataType::BigInt),
        call(F::Sum, Some(3), SUM),
        call(F::Avg, Some(3), DataType::Double),
        call(F::Min, Some(3), DataType::BigInt),
        call(F::Max, Some(3), DataType::BigInt),
        call(F::Avg, Some(1), DataType::Decimal { precision: 38, scale: 4 }),
        call(F::Avg, Some(2), DataType::Decimal { precision: 18, scale: 4 }),
        call(F::Sum, Some(5), DataType::Double),
        call(F::Avg, Some(5), DataType::Double),
        call(F::Min, Some(5), DataType::Double),
        call(F::Max, Some(5), DataType::Double),
        call(F::BoolAnd, Some(7), DataType::Boolean),
        call(F::BoolOr, Some(7), DataType::Boolean),
    ]
}

/// Calls that keep every value.
fn keeping() -> Vec<AggregateCall> {
    use AggregateFunction as F;
    let share = |part| Expr::literal(Value::I64(part), DataType::Decimal { precision: 2, scale: 2 });
    let between = Expr::literal(Value::Text(" and ".to_owned()), DataType::Text);
    vec![
        call(F::Count, None, DataType::BigInt),
        with(call(F::PercentileDisc, Some(3), DataType::BigInt), share(25)),
        with(call(F::PercentileDisc, Some(4), WIDE), share(95)),
        AggregateCall {
            filter: Some(column(7)),
            ..with(call(F::PercentileDisc, Some(5), DataType::Double), share(50))
        },
        with(call(F::PercentileCont, Some(5), DataType::Double), share(50)),
        with(call(F::StringAgg, Some(6), DataType::Text), between),
    ]
}

/// What a call gives for rows in the order of the input.
fn expected(call: &AggregateCall, rows: &[&Vec<Value>]) -> Value {
    use AggregateFunction as F;
    let passes = |row: &&&Vec<Value>| call.filter.is_none() || row[7] == Value::I64(1);
    let rows: Vec<&&Vec<Value>> = rows.iter().filter(passes).collect();
    let Some(argument) = call.arguments.first() else { return Value::I64(rows.len() as i64) };
    let crate::expr::ExprKind::Column(column) = argument.kind else { unreachable!("arguments are columns") };
    let second = call.arguments.get(1).map(|second| &second.kind);
    let rows: Vec<_> = match second {
        Some(&crate::expr::ExprKind::Column(second)) => {
            let order = |row: &&&&Vec<Value>| match &row[second] {
                Value::I64(value) => (i128::from(*value), String::new()),
                Value::I128(value) => (*value, String::new()),
                Value::F64(value) => ((*value * 4.0) as i128, String::new()),
                Value::Text(value) => (0, value.clone()),
                Value::Null | Value::Nested(_) => unreachable!("left out, or not made"),
            };
            let live: Vec<_> =
                rows.iter().filter(|row| row[column] != Value::Null && row[second] != Value::Null).collect();
            let first = match call.function {
                F::ArgMin => live.iter().min_by_key(|row| order(row)),
                _ => live.iter().rev().max_by_key(|row| order(row)),
            };
            return first.map_or(Value::Null, |row| row[column].clone());
        }
        _ => rows,
    };
    let mut values: Vec<Value> = rows.iter().map(|row| row[column].clone()).filter(|v| *v != Value::Null).collect();
    if call.distinct {
        let mut kept: Vec<Value> = Vec::new();
        for value in values {
            if !kept.contains(&value) {
                kept.push(value);
            }
        }
        values = kept;
    }
    if call.function == F::Count {
        return Value::I64(values.len() as i64);
    }
    if values.is_empty() {
        return Value::Null;
    }
    let count = values.len() as i128;
    let order = |a: &Value, b: &Value| match (a, b) {
        (Value::I64(a), Value::I64(b)) => a.cmp(b),
        (Value::I128(a), Value::I128(b)) => a.cmp(b),
        (Value::F64(a), Value::F64(b)) => a.total_cmp(b),
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        _ => unreachable!("one column has one shape"),
    };
    let sum: i128 = values
        .iter()
        .map(|v| match v {
            Value::I64(v) => i128::from(*v),
            Value::I128(v) => *v,
            _ => 0,
        })
        .sum();
    let doubles: f64 = values.iter().map(|v| if let Value::F64(v) = v { *v } else { 0.0 }).sum();
    match call.function {
        F::Sum if column == 5 => Value::F64(doubles),
        F::Sum => Value::I128(sum),
        F::Avg if column == 3 => Value::F64(sum as f64 / count as f64),
        F::Avg if column == 5 => Value::F64(doubles / count as f64),
        F::Avg => {
            let scaled = sum * 10_000;
            let mean = (2 * scaled.abs() + count) / (2 * count) * scaled.signum();
            if call.data_type.physical() == Physical::I64 { Value::I64(mean as i64) } else { Value::I128(mean) }
        }
        F::Min | F::BoolAnd => values.into_iter().min_by(order).expect("not empty"),
        F::Max | F::BoolOr => values.into_iter().max_by(order).expect("not empty"),
        F::First => values.swap_remove(0),
        F::PercentileDisc => {
            values.sort_by(order);
            let share = [25, 95, 50][column - 3];
            values.swap_remove((values.len() * share).div_ceil(100) - 1)
        }
        F::PercentileCont => {
            values.sort_by(order);
            match (&values[(values.len() - 1) / 2], &values[values.len() / 2]) {
                (Value::F64(low), Value::F64(high)) => Value::F64(low + (high - low) / 2.0),
                _ => unreachable!("only doubles"),
            }
        }
        F::StringAgg => {
            let texts = values.iter().map(|value| match value {
                Value::Text(text) => text.as_str(),
                _ => unreachable!("only texts"),
            });
            Value::Text(texts.collect::<Vec<_>>().join(" and "))
        }
        F::Last => values.pop().expect("not empty"),
        _ => unreachable!("not among the calls"),
    }
}

/// A key that sorts as groups do: NULLs last.
pub(crate) fn sort_key(values: &[Value]) -> Vec<(u8, i128, String)> {
    let key = |value: &Value| match value {
        Value::Null => (1, 0, String::new()),
        Value::I64(value) => (0, i128::from(*value), String::new()),
        Value::Text(value) => (0, 0, value.clone()),
        _ => unreachable!("not a key of these tests"),
    };
    values.iter().map(key).collect()
}

pub(super) fn reference(
    rows: &[Vec<Value>],
    window: Option<Window>,
    keys: &[usize],
    calls: &[AggregateCall],
) -> Vec<Vec<Value>> {
    let mut groups: BTreeMap<_, (Vec<Value>, Vec<&Vec<Value>>)> = BTreeMap::new();
    for row in rows {
        let Value::I64(time) = row[2] else { unreachable!("the time is never NULL") };
        let starts: Vec<i64> = match window {
            None => vec![0],
            Some(window) => {
                let last = window.last_mark(time);
                (0..).map(|n| last - n * window.slide).take_while(|mark| time < mark + window.size).collect()
            }
        };
        for start in starts {
            let mut head = Vec::new();
            if let Some(window) = window {
                head.extend([Value::I64(window.start(start)), Value::I64(start + window.size)]);
            }
            head.extend(keys.iter().map(|&key| row[key].clone()));
            groups.entry(sort_key(&head)).or_insert_with(|| (head, Vec::new())).1.push(row);
        }
    }
    if groups.is_empty() && window.is_none() && keys.is_empty() {
        groups.insert(Vec::new(), (Vec::new(), Vec::new()));
    }
    let finish = |(mut head, rows): (Vec<Value>, Vec<&Vec<Value>>)| {
        head.extend(calls.iter().map(|call| expected(call, &rows)));
        head
    };
    groups.into_values().map(finish).collect()
}

pub(crate) fn scan(plan: &mut Plan) -> NodeId {
    let scan = Scan {
        table: "t".to_owned(),
        columns: Vec::new(),
        eager: 0,
        event_time: None,
        late: None,
        clock: None,
        filter: None,
        read_order: ReadOrder::Position,
        turn: 0,
        needs: Needs { positions: true, ordinals: false },
    };
    plan.add(Operator::Scan(scan), Vec::new(), input(), Span::NONE)
}

pub(crate) fn exchange(plan: &mut Plan, input: NodeId, keys: Vec<Expr>, kind: ExchangeKind) -> NodeId {
    let schema = plan.nodes[input].schema.clone();
    let exchange = Exchange { number: 0, keys, kind, ordered: false, held_within: None, needs: Needs::default() };
    plan.add(Operator::Exchange(exchange), vec![input], schema, Span::NONE)
}

pub(crate) fn sink(plan: &mut Plan, input: NodeId) {
    let schema = plan.nodes[input].schema.clone();
    let visible = schema.fields.len();
    let sink = Sink {
        number: 0,
        table: None,
        visible,
        order: SinkOrder::Arrival,
        partitioned_by: Vec::new(),
        changelog: None,
    };
    plan.add(Operator::Sink(sink), vec![input], schema, Span::NONE);
}

fn output(aggregate: &Aggregate) -> Schema {
    let mut schema = Schema::default();
    let mut field = |data_type| schema.fields.push(crate::types::Field { name: String::new(), data_type });
    if aggregate.window.is_some() {
        field(TIME);
        field(TIME);
    }
    aggregate.keys.iter().for_each(|key| field(key.data_type));
    aggregate.calls.iter().for_each(|call| field(call.data_type));
    schema
}

/// Scan, aggregation (with the exchange as told), sink.
pub(super) fn plan(aggregate: &Aggregate, kind: Option<ExchangeKind>) -> Plan {
    let mut plan = Plan::default();
    let mut node = scan(&mut plan);
    let mut last = aggregate.clone();
    match kind {
        None => {}
        Some(ExchangeKind::Copies) => unreachable!("states are not copied"),
        Some(ExchangeKind::Rows) => node = exchange(&mut plan, node, aggregate.keys.clone(), ExchangeKind::Rows),
        Some(ExchangeKind::PartialStates) => {
            let partial = Aggregate { phase: Phase::Partial, ..aggregate.clone() };
            let schema = super::partial_schema(&partial, &input()).expect("the aggregate is good");
            let first = usize::from(partial.window.is_some());
            let keys = aggregate.keys.iter().enumerate();
            let keys = keys.map(|(number, key)| Expr::column(first + number, key.data_type)).collect();
            node = plan.add(Operator::Aggregate(partial), vec![node], schema, Span::NONE);
            node = exchange(&mut plan, node, keys, ExchangeKind::PartialStates);
            last.phase = Phase::Merge;
        }
    }
    let schema = output(aggregate);
    node = plan.add(Operator::Aggregate(last), vec![node], schema, Span::NONE);
    sink(&mut plan, node);
    plan
}

/// Deals rows (with their watermark after each batch) to shards, row `n` to shard `n % shards`. Shards
/// that end and go on from their saved state must give the same.
pub(crate) fn run(plan: &Plan, rows: &[Vec<Value>], shards: usize, chunk: usize, seed: u64) -> Vec<Vec<OutputRow>> {
    let local = || Local::new(plan, shards, seed).expect("the plan is good");
    let given = run_local(local(), rows, shards, chunk);
    // Some ten times, however many steps there are.
    let steps = rows.len() / chunk.max(1) / 5 + 2;
    let restarted = run_local(local().restarting(steps), rows, shards, chunk);
    assert_eq!(restarted, given, "a restart once in {steps} steps");
    given
}

fn run_local(mut local: Local, rows: &[Vec<Value>], shards: usize, chunk: usize) -> Vec<Vec<OutputRow>> {
    let layout: Vec<Physical> = input().layout();
    for shard in 0..shards {
        let mine: Vec<usize> = (0..rows.len()).filter(|row| row % shards == shard).collect();
        let mut highest = Time::MIN;
        let values: Vec<Vec<Value>> = mine.iter().map(|&row| rows[row].clone()).collect();
        let positions: Vec<u64> = mine.iter().map(|&row| row as u64).collect();
        let parts = values.chunks(chunk.max(1));
        for (batch, part) in batches(&layout, &values, Some(&positions), chunk).into_iter().zip(parts) {
            for row in part {
                let Value::I64(time) = row[2] else { unreachable!("the time is never NULL") };
                highest = highest.max(time);
            }
            local.feed(shard, 0, Message::Batch(batch));
            local.feed(shard, 0, Message::Watermark(highest - 5000));
        }
        local.feed(shard, 0, Message::Finish);
    }
    local.run(0).expect("no row is bad")
}

pub(crate) fn values(rows: Vec<OutputRow>) -> Vec<Vec<Value>> {
    rows.into_iter().map(|row| row.values).collect()
}

fn windows() -> [Option<Window>; 6] {
    let hop = |size, slide, offset| Some(Window::hop(size, slide, offset));
    let cumulate = Window { kind: WindowKind::Cumulate, ..Window::hop(30_000, 10_000, 7) };
    [
        None,
        hop(20_000, 20_000, 0),
        hop(1_000, 1_000, 300),
        hop(30_000, 10_000, 0),
        hop(25_000, 10_000, 7),
        Some(cumulate),
    ]
}

pub(super) fn aggregate(keys: &[usize], window: Option<Window>, calls: Vec<AggregateCall>) -> Aggregate {
    let keys = keys.iter().map(|&key| column(key)).collect();
    let window = window.map(|window| (window, 2));
    Aggregate { keys, window, calls, emit: Emit::Final, phase: Phase::Single }
}

#[test]
fn results_equal_the_model_on_any_number_of_shards() {
    for seed in 0..30 {
        let mut random = Random(seed << 32);
        let count = [0, 1, 700, 3000][random.below(4) as usize];
        let nulls = random.below(3) > 0;
        let rows: Vec<Vec<Value>> = (0..count).map(|number| random.row(number, nulls)).collect();
        let window = windows()[random.below(6) as usize];
        let keys: &[usize] = [&[0, 1][..], &[], &[6], &[1], &[0, 1, 7]][random.below(5) as usize];
        let chunk = [1, 63, 64, 1000, 1024][random.below(5) as usize];
        let aggregate = aggregate(keys, window, calls());
        let expected = reference(&rows, window, keys, &aggregate.calls);
        assert_eq!(values(run(&plan(&aggregate, None), &rows, 1, chunk, seed).swap_remove(0)), expected, "seed {seed}");
        for shards in [1, 2, 7] {
            for kind in [ExchangeKind::Rows, ExchangeKind::PartialStates] {
                let mut got: Vec<Vec<Value>> = Vec::new();
                for rows in run(&plan(&aggregate, Some(kind)), &rows, shards, chunk, seed) {
                    let rows = values(rows);
                    let head = keys.len() + 2 * usize::from(window.is_some());
                    assert!(rows.is_sorted_by_key(|row| sort_key(&row[..head])), "seed {seed}, {shards} shards");
                    got.extend(rows);
                }
                let head = keys.len() + 2 * usize::from(window.is_some());
                got.sort_by_key(|row| sort_key(&row[..head]));
                assert_eq!(got, expected, "seed {seed}, {shards} shards, {kind:?}");
            }
        }
    }
}

#[test]
fn values_that_are_kept_give_their_answers_on_any_number_of_shards() {
    for seed in 0..12 {
        let mut random = Random(seed << 32);
        let rows: Vec<Vec<Value>> = (0..1200).map(|number| random.row(number, seed % 3 > 0)).collect();
        let window = windows()[random.below(6) as usize];
        let keys: &[usize] = [&[0, 1][..], &[], &[1]][random.below(3) as usize];
        let chunk = [1, 63, 1024][random.below(3) as usize];
        let aggregate = aggregate(keys, window, keeping());
        assert!(!super::can_be_partial(&aggregate));
        let expected = reference(&rows, window, keys, &aggregate.calls);
        for shards in [1, 2, 7] {
            let plan = plan(&aggregate, Some(ExchangeKind::Rows));
            let mut got: Vec<_> = run(&plan, &rows, shards, chunk, seed).into_iter().flat_map(values).collect();
            let head = keys.len() + 2 * usize::from(window.is_some());
            got.sort_by_key(|row| sort_key(&row[..head]));
            assert_eq!(got, expected, "seed {seed}, {shards} shards");
        }
    }
}

#[test]
fn distinct_values_count_once() {
    use AggregateFunction as F;
    let distinct = |call: AggregateCall| AggregateCall { distinct: true, ..call };
    for seed in 0..8 {
        let mut random = Random(seed << 32);
        let rows: Vec<Vec<Value>> = (0..1500).map(|number| random.row(number, true)).collect();
        let calls = vec![
            distinct(call(F::Count, Some(6), DataType::BigInt)),
            distinct(call(F::Sum, Some(3), SUM)),
            AggregateCall { filter: Some(column(7)), ..distinct(call(F::Count, Some(3), DataType::BigInt)) },
            call(F::Count, Some(6), DataType::BigInt),
        ];
        let window = windows()[random.below(6) as usize];
        let aggregate = aggregate(&[0], window, calls);
        let expected = reference(&rows, window, &[0], &aggregate.calls);
        assert_eq!(values(run(&plan(&aggregate, None), &rows, 1, 200, seed).swap_remove(0)), expected, "seed {seed}");
    }
}

#[test]
fn changes_give_each_row_its_groups_new_values() {
    for seed in 0..30 {
        let calls = [calls, keeping, plain, plain][(seed % 4) as usize];
        let mut random = Random(seed << 32);
        let nulls = random.below(2) > 0;
        let rows: Vec<Vec<Value>> = (0..150).map(|number| random.row(number, nulls)).collect();
        let window = windows()[random.below(6) as usize];
        let chunk = [1, 63, 150][random.below(3) as usize];
        let aggregate = Aggregate { emit: Emit::Changes, ..aggregate(&[0, 1], window, calls()) };
        let got = run(&plan(&aggregate, None), &rows, 1, chunk, seed).swap_remove(0);
        let mut at = 0;
        for number in 0..rows.len() {
            let before = reference(&rows[..number], window, &[0, 1], &aggregate.calls);
            let after = reference(&rows[..=number], window, &[0, 1], &aggregate.calls);
            let changed: Vec<Vec<Value>> = after.into_iter().filter(|row| !before.contains(row)).collect();
            if window.is_some_and(|window| !window.is_tumbling()) {
                // Rows of one chunk are grouped by window: only the number is told here.
                at += changed.len();
                continue;
            }
            assert_eq!(changed.len(), 1, "COUNT(*) alone changes one row");
            assert_eq!(got[at].values, changed[0], "seed {seed}, row {number}");
            assert_eq!(got[at].position, Some(number as u64));
            at += 1;
        }
        assert_eq!(got.len(), at, "seed {seed}");
        let latest: BTreeMap<_, _> = got
            .into_iter()
            .map(|row| {
                let head = 2 + 2 * usize::from(window.is_some());
                (sort_key(&row.values[..head]), row.values)
            })
            .collect();
        let latest: Vec<Vec<Value>> = latest.into_values().collect();
        assert_eq!(latest, reference(&rows, window, &[0, 1], &aggregate.calls), "seed {seed}");
    }
}

#[test]
fn more_groups_than_a_partial_holds_are_shipped_and_merged() {
    use AggregateFunction as F;
    let rows: Vec<Vec<Value>> = (0..60_000u64)
        .map(|number| {
            let mut row = Random(number << 8).row(number, false);
            row[1] = Value::I64((number * 7 % 20_011) as i64);
            row
        })
        .collect();
    let calls = vec![call(F::Count, None, DataType::BigInt), call(F::Sum, Some(3), SUM)];
    let aggregate = aggregate(&[1], None, calls);
    let expected = reference(&rows, None, &[1], &aggregate.calls);
    let plan = plan(&aggregate, Some(ExchangeKind::PartialStates));
    let mut got: Vec<_> = run(&plan, &rows, 2, 1024, 3).into_iter().flat_map(values).collect();
    got.sort_by_key(|row| sort_key(&row[..1]));
    assert_eq!(got, expected);
}

/// Calls of all kinds whose rows may cross as they are, over keys that hardly come twice.
#[test]
fn rows_cross_as_they_are_where_groups_do_not_pay() {
    let crosses = |call: &AggregateCall| {
        let of_doubles = call.arguments.iter().any(|argument| argument.data_type == DataType::Double);
        let by_place = matches!(call.function, AggregateFunction::First | AggregateFunction::Last);
        !of_doubles && !by_place && !call.function.is_of_pairs()
    };
    let calls: Vec<AggregateCall> = calls().into_iter().filter(crosses).collect();
    for seed in 0..30 {
        let window = [None, Some(Window::hop(7000, 7000, 3))][seed as usize % 2];
        let aggregate = aggregate(&[0, 1], window, calls.clone());
        let shape = super::Shape::new(&aggregate, 1).expect("the calls are good");
        let raw = super::raw::Raw::of(&aggregate, &shape).expect("all rows can cross");
        assert!(raw.pays(&input().layout()));
        let mut random = Random(seed << 32);
        let rows: Vec<Vec<Value>> = (0..2000)
            .map(|number| {
                let mut row = random.row(number / 50, seed % 3 > 0);
                row[1] = Value::I64(random.below(700) as i64);
                row
            })
            .collect();
        let plan = plan(&aggregate, Some(ExchangeKind::PartialStates));
        let (shards, chunk) = ([1, 2, 5][seed as usize % 3], [1024, 64, 7][seed as usize / 3 % 3]);
        let mut got: Vec<_> = run(&plan, &rows, shards, chunk, seed).into_iter().flat_map(values).collect();
        let head = 2 + 2 * usize::from(window.is_some());
        got.sort_by_key(|row| sort_key(&row[..head]));
        assert_eq!(got, reference(&rows, window, &[0, 1], &aggregate.calls), "seed {seed}");
    }
}

#[test]
fn a_sum_that_leaves_its_type_is_an_error() {
    let most = 10i128.pow(38) - 1;
    let mut row = Random(1).row(0, false);
    row[4] = Value::I128(most);
    let mut less = row.clone();
    less[4] = Value::I128(-most);
    let aggregate = aggregate(&[], None, vec![call(AggregateFunction::Sum, Some(4), WIDE)]);
    let plan = plan(&aggregate, None);
    // On the way the sum leaves even i128, but the result fits.
    let fits = [row.clone(), row.clone(), less.clone(), row.clone(), less.clone(), less];
    assert_eq!(values(run(&plan, &fits, 1, 2, 0).swap_remove(0)), [[Value::I128(0)]]);
    let mut local = Local::new(&plan, 1, 0).expect("the plan is good");
    for batch in batches(&input().layout(), &[row.clone(), row], None, 1024) {
        local.feed(0, 0, Message::Batch(batch));
    }
    local.feed(0, 0, Message::Finish);
    assert_eq!(local.run(0).expect_err("the sum has 39 digits").code(), crate::Code::Overflow);
}

#[test]
fn variances_do_not_cancel_and_merge() {
    use AggregateFunction as F;
    // Far from zero the spread is a few parts in 10^15: naive sums of squares would lose it all.
    let rows: Vec<Vec<Value>> = (0..1000i64)
        .map(|number| {
            let mut row = Random(9).row(0, false);
            let spread = number % 10;
            (row[1], row[3]) = (Value::I64(number % 2), Value::I64(i64::MAX - spread));
            (row[4], row[5]) = (Value::I128(5_000_000_000 + i128::from(spread)), Value::F64(1e9 + spread as f64));
            if number % 50 == 0 {
                (row[3], row[4], row[5]) = (Value::Null, Value::Null, Value::Null);
            }
            row
        })
        .collect();
    let functions = [F::VarPop, F::VarSamp, F::StddevPop, F::StddevSamp];
    let calls =
        [3, 4, 5].into_iter().flat_map(|at| functions.map(|function| call(function, Some(at), DataType::Double)));
    let aggregate = aggregate(&[1], None, calls.collect());
    let runs = [(None, 1), (Some(ExchangeKind::PartialStates), 3), (Some(ExchangeKind::Rows), 2)];
    for (kind, shards) in runs {
        let got: Vec<Vec<Value>> =
            run(&plan(&aggregate, kind), &rows, shards, 37, 5).into_iter().flat_map(values).collect();
        assert_eq!(got.len(), 2);
        for group in got {
            let spreads: Vec<f64> = (0..1000i64)
                .filter(|number| Value::I64(number % 2) == group[0] && number % 50 != 0)
                .map(|number| (number % 10) as f64)
                .collect();
            let count = spreads.len() as f64;
            let mean = spreads.iter().sum::<f64>() / count;
            let distance: f64 = spreads.iter().map(|spread| (spread - mean).powi(2)).sum();
            let [population, sample] = [distance / count, distance / (count - 1.0)];
            let expected = [population, sample, population.sqrt(), sample.sqrt()];
            for (at, (value, expected)) in group[1..].iter().zip(expected.iter().cycle()).enumerate() {
                let Value::F64(value) = value else { panic!("no variance: {group:?}") };
                // The decimal's scale is 2: a spread of 1 is a hundredth.
                let scale = if (4..8).contains(&at) { if at % 4 < 2 { 1e-4 } else { 1e-2 } } else { 1.0 };
                assert!((value - expected * scale).abs() <= 1e-6 * expected * scale, "{at}: {value}, not {expected}");
            }
        }
    }
}

#[test]
fn a_product_of_two_columns_is_summed_without_being_made() {
    let product = Expr::column(4, WIDE);
    let mut sum = call(AggregateFunction::Sum, None, WIDE);
    sum.arguments = vec![product];
    let aggregate = aggregate(&[1], None, vec![sum, call(AggregateFunction::Count, None, DataType::BigInt)]);
    let mut shape = super::shape::Shape::new(&aggregate, 1).expect("the aggregate is good");
    shape.arguments[0].factors = Some((column(3), column(3)));
    let rows: Vec<Vec<Value>> = (0..500u64).map(|number| Random(number << 8).row(number, true)).collect();
    let mut groups = super::update::Groups::new(&shape);
    let mut expected: BTreeMap<String, i128> = BTreeMap::new();
    for batch in batches(&input().layout(), &rows, None, 100) {
        let scratch = bumpalo::Bump::new();
        let chunk = batch.chunk(&scratch);
        let keys = &chunk.columns[1..2];
        let arguments = [super::update::Values::Product(chunk.columns[3], chunk.columns[3])];
        let rows = super::update::Rows {
            count: chunk.rows,
            keys,
            arguments: scratch.alloc_slice_copy(&arguments),
            passed: &[None],
            positions: None,
        };
        groups.update(&shape, &rows, None, 0, &scratch).expect("the table has room");
    }
    for row in &rows {
        let sum = expected.entry(format!("{:?}", row[1])).or_default();
        if let Value::I64(value) = row[3] {
            *sum = sum.wrapping_add(i128::from(value) * i128::from(value));
        }
    }
    let at = shape.accumulators.iter().find(|known| known.kind == super::shape::Kind::WideSum).expect("one sum").offset;
    let mut got: Vec<i128> = groups
        .table
        .bases()
        .into_iter()
        .map(|base| super::key::get_i128(&groups.table.state, base as usize + at))
        .collect();
    let mut expected: Vec<i128> = expected.into_values().collect();
    got.sort_unstable();
    expected.sort_unstable();
    assert_eq!(got, expected);
}
