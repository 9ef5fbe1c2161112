//! What a pipeline promises its caller: the order of rows, watermarks and the end; and the simple
//! operators.

use bumpalo::Bump;

use super::Pipeline;
use super::local::{batches, value};
use crate::agg::tests::{Random, column, input, scan, sink};
use crate::batch::{BATCH_ROWS, Chunk};
use crate::error::{Result, Span};
use crate::operator::{Context, Outlets, Time};
use crate::plan::*;
use crate::stage::Ledger;
use crate::types::{DataType, Schema, Value};

#[derive(Debug, PartialEq)]
enum Event {
    Rows(Vec<Vec<Value>>),
    Watermark(Time),
    Finish,
    Satisfied,
}

#[derive(Default)]
struct Recorder(Vec<Event>);

impl Outlets for Recorder {
    fn sink(&mut self, _: usize, chunk: &Chunk<'_>, _: &Context<'_>) -> Result<()> {
        let row = |row| chunk.columns.iter().map(|column| value(column, row)).collect();
        self.0.push(Event::Rows((0..chunk.rows).map(row).collect()));
        Ok(())
    }
    fn sink_watermark(&mut self, _: usize, watermark: Time, _: &Context<'_>) -> Result<()> {
        self.0.push(Event::Watermark(watermark));
        Ok(())
    }
    fn sink_finish(&mut self, _: usize, _: &Context<'_>) -> Result<()> {
        self.0.push(Event::Finish);
        Ok(())
    }
    fn satisfied(&mut self, _: usize) {
        self.0.push(Event::Satisfied);
    }
}

/// Runs `operator` between a scan and a sink; after each chunk comes the watermark told for it.
fn run(
    operator: Operator,
    schema: Schema,
    rows: &[Vec<Value>],
    chunk: usize,
    watermarks: &[Option<Time>],
) -> Vec<Event> {
    let mut plan = Plan::default();
    let first = scan(&mut plan);
    let node = plan.add(operator, vec![first], schema, Span::NONE);
    sink(&mut plan, node);
    let mut pipeline = Pipeline::new(&plan, 0, 1, 0).expect("the plan is good");
    let ledger = Ledger::idle();
    let mut out = Recorder::default();
    let drain = |pipeline: &mut Pipeline, out: &mut Recorder| {
        let mut more = pipeline.pending(first);
        while more {
            let scratch = Bump::new();
            let before = out.0.len();
            more = pipeline.drain(first, &Context { scratch: &scratch, ledger: &ledger }, out).expect("no row is bad");
            let chunks = out.0[before..].iter().filter(|event| matches!(event, Event::Rows(_))).count();
            assert!(chunks <= 1, "a drain gives one chunk at most");
        }
    };
    let mut watermarks = watermarks.iter();
    for batch in batches(&input().layout(), rows, None, chunk) {
        let scratch = Bump::new();
        let context = Context { scratch: &scratch, ledger: &ledger };
        pipeline.push(first, &batch.chunk(&scratch), &context, &mut out).expect("no row is bad");
        drain(&mut pipeline, &mut out);
        if let Some(Some(watermark)) = watermarks.next() {
            pipeline.watermark(first, *watermark, &context, &mut out).expect("no row is bad");
            drain(&mut pipeline, &mut out);
        }
        // Another pipeline goes on with the state of this one.
        let saved = pipeline.save().expect("nothing is due");
        pipeline = Pipeline::new(&plan, 0, 1, 0).expect("the plan is good");
        pipeline.restore(&saved).expect("the state is good");
    }
    let scratch = Bump::new();
    pipeline.finish(first, &Context { scratch: &scratch, ledger: &ledger }, &mut out).expect("no row is bad");
    drain(&mut pipeline, &mut out);
    assert_eq!(out.0.iter().filter(|event| **event == Event::Finish).count(), 1);
    assert_eq!(out.0.last(), Some(&Event::Finish));
    out.0
}

fn rows_of(events: Vec<Event>) -> Vec<Vec<Value>> {
    let rows = events.into_iter().filter_map(|event| if let Event::Rows(rows) = event { Some(rows) } else { None });
    rows.flatten().collect()
}

fn some_rows(count: u64) -> Vec<Vec<Value>> {
    (0..count).map(|number| Random(number << 8).row(number, true)).collect()
}

#[test]
fn a_watermark_follows_the_windows_it_closes() {
    let rows: Vec<Vec<Value>> = (0..4000u64)
        .map(|number| {
            let mut row = Random(number << 8).row(number, false);
            row[2] = Value::I64(number as i64);
            // So many groups that a window takes several chunks.
            row[3] = Value::I64(number as i64 * 7 % 3001);
            row
        })
        .collect();
    let window = Window::hop(2000, 2000, 0);
    let call = AggregateCall {
        function: AggregateFunction::Count,
        arguments: Vec::new(),
        distinct: false,
        filter: None,
        data_type: DataType::BigInt,
        span: Span::NONE,
    };
    let aggregate = Aggregate {
        keys: vec![column(3)],
        window: Some((window, 2)),
        calls: vec![call],
        emit: Emit::Final,
        phase: Phase::Single,
    };
    let time = DataType::Timestamp { precision: 3, zone: None };
    let schema = Schema::of([("s", time), ("e", time), ("k", DataType::BigInt), ("n", DataType::BigInt)]);
    let events = run(Operator::Aggregate(aggregate), schema, &rows, 1000, &[Some(999), Some(1999), Some(2500), None]);
    let ends: Vec<String> = events
        .iter()
        .map(|event| match event {
            Event::Rows(rows) => format!("{} to {:?}", rows.len(), rows[0][1]),
            Event::Watermark(watermark) => format!("watermark {watermark}"),
            other => format!("{other:?}"),
        })
        .collect();
    let expected = [
        "watermark 999",
        "watermark 1999",
        "1024 to I64(2000)",
        "976 to I64(2000)",
        "watermark 2500",
        "1024 to I64(4000)",
        "976 to I64(4000)",
        "Finish",
    ];
    assert_eq!(ends, expected);
}

#[test]
fn limit_cuts_across_chunks_and_says_when_it_is_reached() {
    let rows = some_rows(100);
    for (limit, offset) in [(Some(10), 0), (Some(25), 13), (Some(0), 5), (None, 95), (Some(1000), 99), (Some(3), 200)] {
        let events = run(Operator::Limit { limit, offset }, input(), &rows, 7, &[]);
        let satisfied = events.contains(&Event::Satisfied);
        let first = (offset as usize).min(rows.len());
        let last = limit.map_or(rows.len(), |limit| (first + limit as usize).min(rows.len()));
        assert_eq!(rows_of(events), rows[first..last], "{limit:?} after {offset}");
        assert_eq!(satisfied, limit.is_some_and(|limit| first + limit as usize == last), "{limit:?} after {offset}");
    }
}

#[test]
fn filter_keeps_what_is_true_and_project_reorders() {
    let rows = some_rows(1500);
    let kept = rows_of(run(Operator::Filter(column(7)), input(), &rows, 1024, &[]));
    let expected: Vec<Vec<Value>> = rows.iter().filter(|row| row[7] == Value::I64(1)).cloned().collect();
    assert_eq!(kept, expected);
    let schema = Schema { fields: [6, 0, 6].map(|at| input().fields[at].clone()).to_vec() };
    let picked = rows_of(run(Operator::Project(vec![column(6), column(0), column(6)]), schema, &rows, 100, &[]));
    let expected: Vec<Vec<Value>> =
        rows.iter().map(|row| [6, 0, 6].map(|at: usize| row[at].clone()).to_vec()).collect();
    assert_eq!(picked, expected);
}

#[test]
fn sort_orders_all_rows_with_ties_by_arrival() {
    let rows = some_rows(3000);
    let key = |column, descending, nulls_first| SortKey { column, descending, nulls_first };
    let rank = |value: &Value, key: &SortKey| match value {
        Value::Null => (if key.nulls_first { -1 } else { 1 }, 0, String::new()),
        Value::I64(value) => (0, i128::from(*value), String::new()),
        Value::Text(value) => (0, 0, value.clone()),
        _ => unreachable!("not sorted by in this test"),
    };
    for keys in [vec![key(1, false, false)], vec![key(0, true, false), key(1, false, true)], vec![key(6, true, true)]] {
        let mut expected = rows.clone();
        expected.sort_by(|a, b| {
            let unequal = keys.iter().map(|key| {
                let (a, b) = (rank(&a[key.column], key), rank(&b[key.column], key));
                let by_value = if key.descending { (b.1, b.2).cmp(&(a.1, a.2)) } else { (a.1, a.2).cmp(&(b.1, b.2)) };
                a.0.cmp(&b.0).then(by_value)
            });
            unequal.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
        });
        for limit in [None, Some(10)] {
            let events = run(Operator::Sort { keys: keys.clone(), limit }, input(), &rows, 500, &[Some(1)]);
            let wanted = limit.map_or(rows.len(), |limit| limit as usize);
            assert_eq!(rows_of(events), expected[..wanted], "{keys:?}");
        }
    }
}

#[test]
fn sort_with_a_limit_holds_few_rows_and_forgets_none_it_needs() {
    let rows: Vec<Vec<Value>> = (0..200 * BATCH_ROWS as i64)
        .map(|number| {
            let mut row = some_rows(1).swap_remove(0);
            row[3] = Value::I64(number * 7919 % 200_003);
            row
        })
        .collect();
    let keys = vec![SortKey { column: 3, descending: true, nulls_first: false }];
    let got = rows_of(run(Operator::Sort { keys, limit: Some(1500) }, input(), &rows, BATCH_ROWS, &[]));
    let mut expected: Vec<i64> = (0..200 * BATCH_ROWS as i64).map(|number| number * 7919 % 200_003).collect();
    expected.sort_unstable_by(|a, b| b.cmp(a));
    let got: Vec<Value> = got.into_iter().map(|row| row[3].clone()).collect();
    assert_eq!(got, expected[..1500].iter().map(|&value| Value::I64(value)).collect::<Vec<_>>());
}

fn ranked_schema(functions: usize) -> Schema {
    let mut schema = input();
    let ranks = (0..functions).map(|number| (format!("rank{number}"), DataType::BigInt));
    schema.fields.extend(ranks.map(|(name, data_type)| crate::types::Field { name, data_type }));
    schema
}

#[test]
fn ranks_with_a_limit_hold_few_rows_and_forget_none_they_need() {
    let count = 40 * BATCH_ROWS as i64;
    let rows: Vec<Vec<Value>> = (0..count)
        .map(|number| {
            let mut row = some_rows(1).swap_remove(0);
            row[1] = Value::I64(number % 3);
            // Every value twice in each partition.
            row[3] = Value::I64(number / 6 * 7919 % 20_011);
            row
        })
        .collect();
    let functions = vec![RankFunction::RowNumber, RankFunction::Rank, RankFunction::DenseRank];
    let keys = vec![SortKey { column: 3, descending: true, nulls_first: false }];
    for (function, most) in [(0, 5), (1, 5), (2, 5), (0, 0)] {
        let limit = Some((function, most));
        let rank = Rank { partition: vec![1], keys: keys.clone(), functions: functions.clone(), time: None, limit };
        let got = rows_of(run(Operator::Rank(rank), ranked_schema(3), &rows, BATCH_ROWS, &[Some(5)]));
        let got: Vec<Vec<Value>> =
            got.into_iter().map(|row| [1, 3, 8, 9, 10].map(|column| row[column].clone()).to_vec()).collect();
        let mut expected = Vec::new();
        for partition in 0..3 {
            let mut values: Vec<i64> =
                (0..count).filter(|number| number % 3 == partition).map(|n| n / 6 * 7919 % 20_011).collect();
            values.sort_unstable_by(|a, b| b.cmp(a));
            for (index, &value) in values.iter().enumerate() {
                let better = values[..index].iter().take_while(|&&other| other > value).count();
                let mut distinct = values[..better].to_vec();
                distinct.dedup();
                let ranks = [index as i64 + 1, better as i64 + 1, distinct.len() as i64 + 1];
                if ranks[function] > most {
                    break;
                }
                expected.push([partition, value, ranks[0], ranks[1], ranks[2]].map(Value::I64).to_vec());
            }
        }
        assert_eq!(got, expected, "{limit:?}");
    }
}

#[test]
fn ranks_within_windows_leave_before_the_watermark_that_closes_them() {
    let rows: Vec<Vec<Value>> = [(20, 5), (10, 7), (10, 9), (30, 1), (20, 8), (30, 2)]
        .iter()
        .map(|&(time, value)| {
            let mut row = some_rows(1).swap_remove(0);
            (row[2], row[3]) = (Value::I64(time), Value::I64(value));
            row
        })
        .collect();
    let keys = vec![SortKey { column: 3, descending: true, nulls_first: false }];
    let functions = vec![RankFunction::RowNumber];
    let rank = Rank { partition: vec![2], keys, functions, time: Some(2), limit: None };
    let events = run(Operator::Rank(rank), ranked_schema(1), &rows, 3, &[Some(10), Some(25)]);
    let shown: Vec<String> = events
        .into_iter()
        .map(|event| match event {
            Event::Rows(rows) => {
                let rows: Vec<String> =
                    rows.iter().map(|row| format!("{:?} {:?} {:?}", row[2], row[3], row[8])).collect();
                rows.join(", ").replace("I64", "")
            }
            Event::Watermark(time) => format!("watermark {time}"),
            Event::Finish => "end".to_owned(),
            Event::Satisfied => "satisfied".to_owned(),
        })
        .collect();
    let expected = [
        "(10) (9) (1), (10) (7) (2)",
        "watermark 10",
        "(20) (8) (1), (20) (5) (2)",
        "watermark 25",
        "(30) (2) (1), (30) (1) (2)",
        "end",
    ];
    assert_eq!(shown, expected);
}

#[test]
fn repeat_gives_each_row_as_often_as_it_says() {
    let counts = [0, 1, 3, -2, 2_500, 1];
    let rows: Vec<Vec<Value>> = counts
        .iter()
        .map(|&count| {
            let mut row = some_rows(1).swap_remove(0);
            row[3] = Value::I64(count);
            row
        })
        .collect();
    for chunk in [1, 2, 6] {
        let events = run(Operator::Repeat { times: 3 }, input(), &rows, chunk, &[Some(5)]);
        assert_eq!(events.last(), Some(&Event::Finish));
        let got: Vec<Value> = rows_of(events).into_iter().map(|row| row[3].clone()).collect();
        let expected = counts.iter().flat_map(|&count| vec![Value::I64(count); usize::try_from(count).unwrap_or(0)]);
        assert_eq!(got, expected.collect::<Vec<_>>());
    }
}
