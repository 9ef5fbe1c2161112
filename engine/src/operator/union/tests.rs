//! What a union promises: every row once, whatever comes first; in order where it is asked for; and that
//! it goes on from its saved state.

use crate::agg::tests::{Random, input, scan, sink};
use crate::error::Span;
use crate::pipeline::local::{Local, Message, OutputRow, batches};
use crate::plan::{NodeId, Operator, Plan, Union};
use crate::types::{Physical, Value};

const TIME: usize = 2;

fn plan(time: Option<usize>) -> (Plan, [NodeId; 3]) {
    let mut plan = Plan::default();
    let scans = [0, 1, 2].map(|turn| {
        let node = scan(&mut plan);
        if let Operator::Scan(scan) = &mut plan.nodes[node].operator {
            scan.turn = turn;
        }
        node
    });
    let union = plan.add(Operator::Union(Union { in_turn: false, time }), scans.to_vec(), input(), Span::NONE);
    sink(&mut plan, union);
    (plan, scans)
}

/// Rows of one input in order of time, numbered in their second column.
fn rows(random: &mut Random, table: i64, count: i64) -> Vec<Vec<Value>> {
    let mut time = 0;
    (0..count)
        .map(|number| {
            time += random.below(4) as i64;
            let mut row: Vec<Value> = input()
                .layout()
                .iter()
                .map(|physical| match physical {
                    Physical::I64 => Value::I64(0),
                    Physical::I128 => Value::I128(0),
                    Physical::F64 => Value::F64(0.0),
                    Physical::Text => Value::Text(String::new()),
                })
                .collect();
            row[1] = Value::I64(table * 10_000 + number);
            row[TIME] = Value::I64(time);
            row
        })
        .collect()
}

fn shown(rows: &[OutputRow]) -> Vec<(i64, i64)> {
    let number = |value: &Value| match value {
        Value::I64(number) => *number,
        other => panic!("{other:?} is no whole number"),
    };
    rows.iter().map(|row| (number(&row.values[TIME]), number(&row.values[1]))).collect()
}

/// Feeds three inputs, each with a watermark behind every batch.
fn feed(local: &mut Local, scans: [NodeId; 3], tables: &[Vec<Vec<Value>>]) {
    for (turn, (scan, table)) in scans.into_iter().zip(tables).enumerate() {
        let positions: Vec<u64> = (0..table.len() as u64).map(|row| ((turn as u64) << 56) + row).collect();
        let mut last = 0;
        for batch in batches(&input().layout(), table, Some(&positions), 7) {
            last += batch.rows();
            let Value::I64(time) = table[last - 1][TIME] else { panic!("times are whole numbers") };
            local.feed(0, scan, Message::Batch(batch));
            // Rows of the same time may follow.
            local.feed(0, scan, Message::Watermark(time - 1));
        }
        local.feed(0, scan, Message::Finish);
    }
}

#[test]
fn rows_leave_in_order_of_time_and_turn_whichever_input_is_first() {
    let (plan, scans) = plan(Some(TIME));
    for seed in 0..200 {
        let mut random = Random(seed);
        let tables: Vec<_> = (0..3).map(|input| rows(&mut random, input, [0, 1, 40, 90][seed as usize % 4])).collect();
        let mut expected: Vec<(i64, i64)> = tables
            .iter()
            .flatten()
            .map(|row| match (&row[TIME], &row[1]) {
                (Value::I64(time), Value::I64(number)) => (*time, *number),
                _ => panic!("both are whole numbers"),
            })
            .collect();
        expected.sort_unstable();
        for restarts in [false, true] {
            let mut local = Local::new(&plan, 1, seed).expect("the plan is good");
            if restarts {
                local = local.restarting(3);
            }
            feed(&mut local, scans, &tables);
            let got = local.run(0).expect("no row is bad").swap_remove(0);
            assert_eq!(shown(&got), expected, "seed {seed}, restarts {restarts}");
        }
    }
}

#[test]
fn without_an_order_every_row_leaves_once() {
    let (plan, scans) = plan(None);
    for seed in 0..50 {
        let mut random = Random(seed);
        let tables: Vec<_> = (0..3).map(|input| rows(&mut random, input, 50)).collect();
        let mut local = Local::new(&plan, 1, seed).expect("the plan is good").restarting(4);
        feed(&mut local, scans, &tables);
        let mut got = shown(&local.run(0).expect("no row is bad").swap_remove(0));
        got.sort_by_key(|row| row.1);
        let numbers: Vec<i64> = got.iter().map(|row| row.1).collect();
        let expected: Vec<i64> = (0..3).flat_map(|input| (0..50).map(move |row| input * 10_000 + row)).collect();
        assert_eq!(numbers, expected, "seed {seed}");
    }
}
