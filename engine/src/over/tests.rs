//! OVER against a model that looks at all rows anew for every row.

use std::collections::BTreeMap;

use crate::agg::tests::{MEAN, Random, SUM, WIDE, column, exchange, input, run, scan, sink, sort_key};
use crate::error::Span;
use crate::expr::ExprKind;
use crate::pipeline::local::OutputRow;
use crate::plan::*;
use crate::types::{DataType, Field, Value};

fn call(function: OverFunction, argument: Option<usize>, preceding: Option<u64>, data_type: DataType) -> OverCall {
    let arguments = argument.map(column).into_iter().collect();
    OverCall { function, arguments, preceding, following: 0, range: None, data_type, span: Span::NONE }
}

fn calls(preceding: Option<u64>) -> Vec<OverCall> {
    use AggregateFunction as F;
    let aggregate =
        |function, argument, data_type| call(OverFunction::Aggregate(function), argument, preceding, data_type);
    let big = DataType::BigInt;
    vec![
        aggregate(F::Avg, Some(3), DataType::Double),
        aggregate(F::Min, Some(3), big),
        aggregate(F::Max, Some(3), big),
        aggregate(F::Sum, Some(3), SUM),
        aggregate(F::Count, Some(3), big),
        aggregate(F::Count, None, big),
        aggregate(F::Sum, Some(4), WIDE),
        aggregate(F::Avg, Some(4), MEAN),
        aggregate(F::Min, Some(4), WIDE),
        aggregate(F::Sum, Some(5), DataType::Double),
        aggregate(F::Max, Some(5), DataType::Double),
        aggregate(F::Min, Some(6), DataType::Text),
        aggregate(F::Max, Some(6), DataType::Text),
        call(OverFunction::FirstValue, Some(6), preceding, DataType::Text),
        call(OverFunction::LastValue, Some(3), preceding, big),
        call(OverFunction::NthValue(1), Some(5), preceding, DataType::Double),
        call(OverFunction::NthValue(3), Some(6), preceding, DataType::Text),
        call(OverFunction::RowNumber, None, None, big),
        call(OverFunction::Lag { offset: 1, default: None }, Some(6), None, DataType::Text),
        call(OverFunction::Lag { offset: 3, default: Some(Value::I64(-7)) }, Some(3), None, big),
    ]
}

fn lead(offset: u64, default: Option<Value>) -> OverCall {
    call(OverFunction::Lead { offset, default }, Some(6), None, DataType::Text)
}

/// What `call` gives for row `at` of a partition's rows.
fn expected(call: &OverCall, rows: &[&Vec<Value>], at: usize) -> Value {
    use AggregateFunction as F;
    let column = call.arguments.first().map(|argument| match argument.kind {
        ExprKind::Column(column) => column,
        _ => unreachable!("arguments are columns"),
    });
    let time = |row: usize| match rows[row][2] {
        Value::I64(time) => time,
        _ => unreachable!("the time is never NULL"),
    };
    let end = at + call.following as usize;
    let (first, last) = match call.range {
        None => (call.preceding.map_or(0, |preceding| end.saturating_sub(preceding as usize)), end),
        Some(range) => {
            let before = (0..at).filter(|&row| time(row) < time(at).saturating_sub(range)).count();
            (before, (at..rows.len()).take_while(|&row| time(row) == time(at)).last().unwrap_or(at))
        }
    };
    let there = rows.len();
    let frame: Vec<Value> = rows[first.min(there)..(last + 1).min(there)]
        .iter()
        .map(|row| column.map_or(Value::I64(0), |c| row[c].clone()))
        .collect();
    let shifted = |row: Option<usize>, default: &Option<Value>| {
        let row = row.and_then(|row| rows.get(row));
        row.map_or(default.clone().unwrap_or(Value::Null), |row| row[column.expect("an argument")].clone())
    };
    let function = match &call.function {
        OverFunction::RowNumber => return Value::I64(at as i64 + 1),
        OverFunction::Lag { offset, default } => return shifted(at.checked_sub(*offset as usize), default),
        OverFunction::Lead { offset, default } => return shifted(Some(at + *offset as usize), default),
        OverFunction::FirstValue => return frame.first().cloned().unwrap_or(Value::Null),
        OverFunction::LastValue => return frame[frame.len() - 1].clone(),
        OverFunction::NthValue(number) => return frame.get(*number as usize - 1).cloned().unwrap_or(Value::Null),
        OverFunction::Rank | OverFunction::DenseRank => {
            // Of time, by which rows are in order here.
            let before = rows[..at].iter().filter(|row| row[2] != rows[at][2]);
            let times: std::collections::HashSet<_> = before.clone().map(|row| format!("{:?}", row[2])).collect();
            let is_dense = call.function == OverFunction::DenseRank;
            return Value::I64(1 + if is_dense { times.len() } else { before.count() } as i64);
        }
        OverFunction::Aggregate(function) => *function,
    };
    let some: Vec<Value> = frame.into_iter().filter(|value| *value != Value::Null).collect();
    let count = some.len() as i128;
    if function == F::Count {
        return Value::I64(count as i64);
    }
    if count == 0 {
        return Value::Null;
    }
    let exact: i128 = some
        .iter()
        .map(|value| match value {
            Value::I64(value) => i128::from(*value),
            Value::I128(value) => *value,
            _ => 0,
        })
        .sum();
    let double: f64 = some.iter().map(|value| if let Value::F64(value) = value { *value } else { 0.0 }).sum();
    let by = |a: &Value, b: &Value| a.compare(b);
    match function {
        F::Sum if column == Some(5) => Value::F64(double),
        F::Sum => Value::I128(exact),
        F::Avg if column == Some(3) => Value::F64(exact as f64 / count as f64),
        F::Avg => Value::I128((2 * (exact * 10_000).abs() + count) / (2 * count) * exact.signum()),
        F::Min => some.into_iter().min_by(by).expect("not empty"),
        _ => some.into_iter().max_by(by).expect("not empty"),
    }
}

trait Compare {
    fn compare(&self, other: &Self) -> std::cmp::Ordering;
}

impl Compare for Value {
    fn compare(&self, other: &Self) -> std::cmp::Ordering {
        match (self, other) {
            (Value::I64(a), Value::I64(b)) => a.cmp(b),
            (Value::I128(a), Value::I128(b)) => a.cmp(b),
            (Value::F64(a), Value::F64(b)) => a.total_cmp(b),
            (Value::Text(a), Value::Text(b)) => a.cmp(b),
            _ => unreachable!("one column has one shape"),
        }
    }
}

/// All rows in order of (time, position), with their results and positions.
fn reference(rows: &[Vec<Value>], calls: &[OverCall], by_time: bool, partition: &[usize]) -> Vec<OutputRow> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    if by_time {
        order.sort_by_key(|&row| match rows[row][2] {
            Value::I64(time) => (time, row),
            _ => unreachable!("the time is never NULL"),
        });
    }
    let key = |row: usize| sort_key(&partition.iter().map(|&column| rows[row][column].clone()).collect::<Vec<_>>());
    let mut partitions: BTreeMap<_, Vec<&Vec<Value>>> = BTreeMap::new();
    order.iter().for_each(|&row| partitions.entry(key(row)).or_default().push(&rows[row]));
    let mut at: BTreeMap<_, usize> = BTreeMap::new();
    let result = |row: &usize| {
        let next = at.entry(key(*row)).or_default();
        let mut values = rows[*row].clone();
        values.extend(calls.iter().map(|call| expected(call, &partitions[&key(*row)], *next)));
        *next += 1;
        OutputRow { values, position: Some(*row as u64) }
    };
    order.iter().map(result).collect()
}

fn plan(over: &Over, crossing: bool) -> Plan {
    let mut plan = Plan::default();
    let mut node = scan(&mut plan);
    if crossing {
        node = exchange(&mut plan, node, over.partition.clone(), ExchangeKind::Rows);
    }
    let mut schema = input();
    schema.fields.extend(over.calls.iter().map(|call| Field { name: String::new(), data_type: call.data_type }));
    node = plan.add(Operator::Over(over.clone()), vec![node], schema, Span::NONE);
    sink(&mut plan, node);
    plan
}

#[test]
fn results_equal_the_model_on_any_number_of_shards() {
    for seed in 0..24 {
        let mut random = Random(seed << 32);
        let count = [1, 300, 2500][random.below(3) as usize];
        let nulls = random.below(3) > 0;
        let rows: Vec<Vec<Value>> = (0..count).map(|number| random.row(number, nulls)).collect();
        let preceding = [None, Some(0), Some(1), Some(9), Some(99)][random.below(5) as usize];
        let partition: &[usize] = [&[0][..], &[], &[0, 1], &[0, 1, 6]][random.below(4) as usize];
        let chunk = [1, 63, 1000, 1024][random.below(4) as usize];
        let mut calls = calls(preceding);
        if random.below(2) > 0 {
            calls.insert(3, lead(2, Some(Value::Text("none".to_owned()))));
            calls.push(lead(0, None));
            calls.push(lead(1, None));
        }
        let time = (random.below(4) > 0).then_some(2);
        let keys = partition.iter().map(|&key| column(key)).collect();
        let over = Over { partition: keys, time, calls, buffer_rows: None };
        let expected = reference(&rows, &over.calls, time.is_some(), partition);
        let order = |row: &OutputRow| match (time, &row.values[2]) {
            (Some(_), Value::I64(time)) => (*time, row.position),
            _ => (0, row.position),
        };
        for (shards, crossing) in [(1, false), (1, true), (2, true), (7, true)] {
            let got = run(&plan(&over, crossing), &rows, shards, chunk, seed);
            assert!(got.iter().all(|rows| rows.is_sorted_by_key(order)), "seed {seed}, {shards} shards");
            let mut got: Vec<OutputRow> = got.into_iter().flatten().collect();
            got.sort_by_key(order);
            assert_eq!(got, expected, "seed {seed}, {shards} shards");
        }
    }
}

#[test]
fn without_a_time_all_rows_of_a_partition_count_together() {
    use AggregateFunction as F;
    for seed in 0..8 {
        let mut random = Random(seed << 32);
        let same_time = |number| {
            let mut row = random.row(number, true);
            row[2] = Value::I64(0);
            row
        };
        let rows: Vec<Vec<Value>> = (0..[1, 300, 2500][seed as usize % 3]).map(same_time).collect();
        let of = |function, argument, data_type| OverCall {
            range: Some(i64::MAX),
            ..call(OverFunction::Aggregate(function), argument, None, data_type)
        };
        let calls = vec![
            of(F::Count, None, DataType::BigInt),
            of(F::Sum, Some(3), SUM),
            of(F::Max, Some(6), DataType::Text),
            lead(1, None),
        ];
        let partition: &[usize] = [&[0][..], &[]][seed as usize % 2];
        let keys = partition.iter().map(|&key| column(key)).collect();
        let over = Over { partition: keys, time: None, calls, buffer_rows: None };
        let expected = reference(&rows, &over.calls, false, partition);
        for (shards, crossing) in [(1, false), (1, true), (3, true)] {
            let got = run(&plan(&over, crossing), &rows, shards, 100, seed);
            let mut got: Vec<OutputRow> = got.into_iter().flatten().collect();
            got.sort_by_key(|row| row.position);
            assert_eq!(got, expected, "seed {seed}, {shards} shards");
        }
    }
}

#[test]
fn frames_that_end_behind_the_row_equal_the_model() {
    for seed in 0..24 {
        let mut random = Random(seed << 32);
        let count = [1, 300, 2500][random.below(3) as usize];
        let nulls = random.below(3) > 0;
        let rows: Vec<Vec<Value>> = (0..count).map(|number| random.row(number, nulls)).collect();
        let following = [1, 2, 9, 1500][random.below(4) as usize];
        let preceding = [None, Some(0), Some(1), Some(following), Some(following + 5)][random.below(5) as usize];
        let ends_behind = |call: &OverCall| match call.function {
            OverFunction::LastValue | OverFunction::RowNumber | OverFunction::Lag { .. } => false,
            // Planned with an argument.
            _ => !call.arguments.is_empty(),
        };
        let behind = |call: OverCall| OverCall { following: if ends_behind(&call) { following } else { 0 }, ..call };
        let mut calls: Vec<OverCall> = calls(preceding).into_iter().map(behind).collect();
        calls.extend([
            lead(1, None),
            call(OverFunction::Aggregate(AggregateFunction::Min), Some(3), Some(2), DataType::BigInt),
        ]);
        let partition: &[usize] = [&[0][..], &[], &[0, 1, 6]][random.below(3) as usize];
        let keys = partition.iter().map(|&key| column(key)).collect();
        let time = (random.below(4) > 0).then_some(2);
        let over = Over { partition: keys, time, calls, buffer_rows: None };
        let expected = reference(&rows, &over.calls, time.is_some(), partition);
        let order = |row: &OutputRow| match (time, &row.values[2]) {
            (Some(_), Value::I64(time)) => (*time, row.position),
            _ => (0, row.position),
        };
        let chunk = [1, 63, 1024][random.below(3) as usize];
        for (shards, crossing) in [(1, false), (3, true)] {
            let mut got: Vec<OutputRow> =
                run(&plan(&over, crossing), &rows, shards, chunk, seed).into_iter().flatten().collect();
            got.sort_by_key(order);
            assert_eq!(got, expected, "seed {seed}, {shards} shards");
        }
    }
}

#[test]
fn frames_of_whole_numbers_equal_the_model() {
    use AggregateFunction as F;
    for seed in 0..20 {
        let mut random = Random(seed << 32);
        let nulls = random.below(2) > 0;
        let rows: Vec<Vec<Value>> = (0..1500).map(|number| random.row(number, nulls)).collect();
        let preceding = Some([0, 1, 9, 99][random.below(4) as usize]);
        let of = |function, data_type| call(OverFunction::Aggregate(function), Some(3), preceding, data_type);
        let big = DataType::BigInt;
        let mut calls = vec![of(F::Count, big), of(F::Sum, SUM), of(F::Avg, DataType::Double)];
        match random.below(3) {
            0 => {
                calls.extend([of(F::Min, big), of(F::Max, big)]);
                let mean = DataType::Decimal { precision: 38, scale: 4 };
                calls.push(call(OverFunction::Aggregate(F::Avg), Some(1), preceding, mean));
            }
            1 => calls = vec![of(F::Max, big)],
            _ => {}
        }
        let over = Over { partition: vec![column(0)], time: Some(2), calls, buffer_rows: None };
        // With chunks of one row, rows with and without NULL take turns.
        let chunk = [1, 100, 1024][random.below(3) as usize];
        let got = run(&plan(&over, false), &rows, 1, chunk, seed).swap_remove(0);
        assert_eq!(got, reference(&rows, &over.calls, true, &[0]), "seed {seed}");
    }
}

#[test]
fn sums_of_doubles_do_not_drift() {
    let mut rows: Vec<Vec<Value>> = (0..3000).map(|number| Random(number << 8).row(number * 10, false)).collect();
    rows[3][5] = Value::F64(1e300);
    let sum = call(OverFunction::Aggregate(AggregateFunction::Sum), Some(5), Some(9), DataType::Double);
    let over = Over { partition: Vec::new(), time: Some(2), calls: vec![sum], buffer_rows: None };
    let got = run(&plan(&over, false), &rows, 1, 100, 0).swap_remove(0);
    // Long after the huge value has left the frame, the sums are exact again.
    assert_eq!(got[20..], reference(&rows, &over.calls, true, &[])[20..]);
}

#[test]
fn rows_of_one_time_have_one_rank() {
    let rows: Vec<Vec<Value>> = (0..900)
        .map(|number| {
            let mut row = Random(number << 8).row(number, true);
            row[2] = Value::I64(number as i64 / 5 * 1000);
            row
        })
        .collect();
    let big = DataType::BigInt;
    let calls = vec![
        call(OverFunction::Rank, None, None, big),
        call(OverFunction::RowNumber, None, None, big),
        call(OverFunction::DenseRank, None, None, big),
    ];
    for (partition, shards, chunk) in [(&[][..], 1, 7), (&[1], 3, 64), (&[1], 7, 1024)] {
        let keys = partition.iter().map(|&key| column(key)).collect();
        let over = Over { partition: keys, time: Some(2), calls: calls.clone(), buffer_rows: None };
        let mut got: Vec<_> = run(&plan(&over, true), &rows, shards, chunk, 1).into_iter().flatten().collect();
        got.sort_by_key(|row| row.position);
        assert_eq!(got, reference(&rows, &over.calls, true, partition), "{shards} shards");
    }
}

#[test]
fn deviations_of_moving_frames_are_those_of_their_values() {
    let mut rows: Vec<Vec<Value>> = (0..2000).map(|number| Random(number << 8).row(number * 10, true)).collect();
    rows[3][5] = Value::F64(1e300);
    for preceding in [Some(0), Some(1), Some(6), None] {
        let function = OverFunction::Aggregate(AggregateFunction::VarSamp);
        let over = Over {
            partition: Vec::new(),
            time: None,
            calls: vec![call(function, Some(5), preceding, DataType::Double)],
            buffer_rows: None,
        };
        let rows = if preceding.is_some() { &rows[..] } else { &rows[4..] };
        let got = run(&plan(&over, false), rows, 1, 100, 0).swap_remove(0);
        for at in 20..rows.len() {
            let frame = &rows[preceding.map_or(0, |preceding| at - preceding as usize)..=at];
            let values: Vec<f64> = frame
                .iter()
                .filter_map(|row| if let Value::F64(value) = row[5] { Some(value) } else { None })
                .collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let wanted = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (values.len() as f64 - 1.0);
            match got[at].values.last() {
                Some(Value::F64(value)) => assert!((value - wanted).abs() <= 1e-9 * wanted, "row {at}: {value}"),
                other => assert!(values.len() < 2 && other == Some(&Value::Null), "row {at}: {other:?}"),
            }
        }
    }
}

#[test]
fn range_frames_hold_all_rows_of_their_times() {
    use AggregateFunction as F;
    // Some times have more rows than a chunk, so their rows wait for each other over several.
    let rows: Vec<Vec<Value>> = (0..6000)
        .map(|number: u64| {
            let mut row = Random(number << 8).row(number, true);
            let time = if number < 3000 { number / 4 } else { 750 + number / 1500 };
            row[2] = Value::I64(time as i64 * 1000);
            row
        })
        .collect();
    let aggregate = |function, argument, data_type| call(OverFunction::Aggregate(function), argument, None, data_type);
    for (range, partition, shards) in [(0, &[1][..], 1), (7000, &[1], 3), (30_000, &[], 1), (i64::MAX, &[0], 7)] {
        let calls = [
            aggregate(F::Count, None, DataType::BigInt),
            aggregate(F::Sum, Some(3), SUM),
            aggregate(F::Avg, Some(4), MEAN),
            aggregate(F::Sum, Some(5), DataType::Double),
            aggregate(F::Min, Some(6), DataType::Text),
            aggregate(F::Max, Some(4), WIDE),
        ];
        let mut calls: Vec<OverCall> = calls.map(|call| OverCall { range: Some(range), ..call }).into();
        calls.push(call(OverFunction::RowNumber, None, None, DataType::BigInt));
        calls.push(lead(1, None));
        let keys = partition.iter().map(|&key| column(key)).collect();
        let over = Over { partition: keys, time: Some(2), calls, buffer_rows: None };
        let few = if range == 7000 || range == 0 { &rows[..] } else { &rows[..2400] };
        let mut got: Vec<_> = run(&plan(&over, true), few, shards, 500, 1).into_iter().flatten().collect();
        got.sort_by_key(|row| row.position);
        assert_eq!(got, reference(few, &over.calls, true, partition), "range {range}, {shards} shards");
    }
}
