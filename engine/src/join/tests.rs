//! Joins of every kind against two loops, on several shards, restarted from their saved state.

use crate::agg::tests::{Random, column, input, scan, sink};
use crate::batch::BATCH_ROWS;
use crate::error::Span;
use crate::expr::{Comparison, Expr, ExprKind};
use crate::operator::Time;
use crate::pipeline::local::{Local, Message, OutputRow, batches};
use crate::plan::*;
use crate::types::{DataType, Schema, Value};

const KINDS: [JoinKind; 6] =
    [JoinKind::Inner, JoinKind::Left, JoinKind::Right, JoinKind::Full, JoinKind::Semi, JoinKind::Anti];
/// How far rows may be out of order in time, and how far the watermark stays behind.
const DISORDER: u64 = 5000;

type Row = Vec<Value>;

fn plan(join: &Join, shards: usize) -> (Plan, [NodeId; 2]) {
    let mut plan = Plan::default();
    let sides = [scan(&mut plan), scan(&mut plan)];
    let both: Vec<_> = input().fields.into_iter().chain(input().fields).collect();
    let mut fields: Vec<_> = join.columns.iter().map(|&column| both[column].clone()).collect();
    if join.adds_time() {
        fields.push(both[2].clone());
    }
    let node = plan.add(Operator::Join(join.clone()), sides.to_vec(), Schema { fields }, Span::NONE);
    sink(&mut plan, node);
    let distribution = Distribution { shards, force_exchange: false, ordered: false };
    let plan = distribute(plan, &distribution).expect("the plan is good");
    let scans: Vec<NodeId> =
        (0..plan.nodes.len()).filter(|&node| matches!(plan.nodes[node].operator, Operator::Scan(_))).collect();
    (plan, [scans[0], scans[1]])
}

fn run(
    join: &Join,
    sides: &[Vec<Row>; 2],
    shards: usize,
    chunk: usize,
    seed: u64,
    restart: bool,
) -> Vec<Vec<OutputRow>> {
    let (plan, scans) = plan(join, shards);
    let mut local = Local::new(&plan, shards, seed).expect("the plan is good");
    if restart {
        local = local.restarting(3);
    }
    for (side, rows) in sides.iter().enumerate() {
        for shard in 0..shards {
            let mine: Vec<usize> = (0..rows.len()).filter(|row| row % shards == shard).collect();
            let values: Vec<Row> = mine.iter().map(|&row| rows[row].clone()).collect();
            let positions: Vec<u64> = mine.iter().map(|&row| row as u64).collect();
            let layout = input().layout();
            let mut highest = Time::MIN;
            for (number, batch) in batches(&layout, &values, Some(&positions), chunk).into_iter().enumerate() {
                local.feed(shard, scans[side], Message::Batch(batch));
                let part = &values[number * chunk..values.len().min((number + 1) * chunk)];
                highest = part.iter().map(time_of).fold(highest, Time::max);
                local.feed(shard, scans[side], Message::Watermark(highest - DISORDER as Time));
            }
            local.feed(shard, scans[side], Message::Finish);
        }
    }
    local.run(0).expect("no row is bad")
}

fn time_of(row: &Row) -> Time {
    let Value::I64(time) = row[2] else { unreachable!("the time is never NULL") };
    time
}

fn less(left: &Value, right: &Value) -> bool {
    matches!((left, right), (Value::I64(left), Value::I64(right)) if left < right)
}

/// What two loops say.
fn reference(join: &Join, sides: &[Vec<Row>; 2]) -> Vec<Row> {
    let key = |expression: &Expr| match expression.kind {
        ExprKind::Column(column) => column,
        _ => unreachable!("keys of these tests are columns"),
    };
    let goes = |left: &Row, right: &Row| {
        let equal = |(of_left, of_right): &(Expr, Expr)| {
            let (left, right) = (&left[key(of_left)], &right[key(of_right)]);
            *left != Value::Null && left == right
        };
        let apart = time_of(right) - time_of(left);
        join.keys.iter().all(equal)
            && join.within.as_ref().is_none_or(|within| (within.lower..=within.upper).contains(&apart))
            && (join.condition.is_none() || less(&left[3], &right[3]))
    };
    let nulls = vec![Value::Null; input().fields.len()];
    let mut out = Vec::new();
    let mut row = |left: &Row, right: &Row, time: Time| {
        let both: Vec<&Value> = left.iter().chain(right).collect();
        let mut row: Row = join.columns.iter().map(|&column| both[column].clone()).collect();
        row.extend(join.adds_time().then_some(Value::I64(time)));
        out.push(row);
    };
    let mut matched = vec![false; sides[1].len()];
    for left in &sides[0] {
        let partners: Vec<usize> = (0..sides[1].len()).filter(|&right| goes(left, &sides[1][right])).collect();
        partners.iter().for_each(|&right| matched[right] = true);
        match join.kind {
            JoinKind::Semi if !partners.is_empty() => row(left, &nulls, 0),
            JoinKind::Anti if partners.is_empty() => row(left, &nulls, 0),
            JoinKind::Semi | JoinKind::Anti => {}
            kind => {
                partners.iter().for_each(|&right| row(left, &sides[1][right], time_of(left)));
                if partners.is_empty() && kind.keeps_left() {
                    row(left, &nulls, time_of(left));
                }
            }
        }
    }
    if join.kind.keeps_right() {
        let lower = join.within.as_ref().map_or(0, |within| within.lower);
        for (right, _) in sides[1].iter().zip(&matched).filter(|(_, matched)| !**matched) {
            row(&nulls, right, time_of(right) - lower);
        }
    }
    out
}

fn sorted(rows: impl IntoIterator<Item = Row>) -> Vec<String> {
    let mut rows: Vec<String> = rows.into_iter().map(|row| format!("{row:?}")).collect();
    rows.sort_unstable();
    rows
}

fn some_rows(seed: u64, count: u64) -> Vec<Row> {
    (0..count).map(|number| Random(seed << 32 | number << 8).row(number, true)).collect()
}

fn a_join(kind: JoinKind, keys: &[usize], within: Option<(i64, i64)>, condition: bool) -> Join {
    let width = input().fields.len();
    let time = column(2);
    let less = ExprKind::Compare {
        comparison: Comparison::Less,
        left: Box::new(column(3)),
        right: Box::new(Expr::column(width + 3, DataType::BigInt)),
    };
    Join {
        kind,
        keys: keys.iter().map(|&key| (column(key), column(key))).collect(),
        within: within.map(|(lower, upper)| Within { left: time.clone(), right: time, lower, upper }),
        condition: condition.then_some(Expr { kind: less, data_type: DataType::Boolean, span: Span::NONE }),
        // Out of order, and some of them left out.
        columns: if kind.is_left_only() {
            vec![1, 6, 2]
        } else {
            vec![1, width + 6, 2, width + 2, 4, width, width + 5]
        },
        pick: None,
        broadcast: false,
        keep: [None, None],
    }
}

/// Every kind with these keys, bound and condition, against two loops; the same rows in the same order
/// from every shard whatever came first, and whether or not shards were replaced on the way.
fn holds(keys: &[usize], within: Option<(i64, i64)>, condition: bool, sizes: [u64; 2], chunk: usize) {
    let sides = [some_rows(1, sizes[0]), some_rows(2, sizes[1])];
    for kind in KINDS {
        let join = a_join(kind, keys, within, condition);
        let expected = sorted(reference(&join, &sides));
        for shards in [1, 2, 7] {
            let first = run(&join, &sides, shards, chunk, 0, false);
            let rows = first.iter().flatten().map(|row| row.values.clone());
            assert!(sorted(rows) == expected, "{kind:?} on {keys:?}, {shards} shards: {} rows", expected.len());
            for shard in &first {
                let place = |row: &OutputRow| {
                    let time = join.within.as_ref().map(|_| match (kind.is_left_only(), row.values.last()) {
                        (false, Some(Value::I64(time))) if join.adds_time() => *time,
                        _ => match row.values[2] {
                            Value::I64(time) => time,
                            _ => unreachable!("the left time is the third column"),
                        },
                    });
                    (time, row.position)
                };
                assert!(shard.is_sorted_by_key(place), "{kind:?} on {keys:?}, {shards} shards: out of order");
            }
            for (seed, restart) in [(1, false), (2, true)] {
                assert!(run(&join, &sides, shards, chunk, seed, restart) == first, "{kind:?} {shards} {restart}");
            }
        }
    }
}

#[test]
fn keys_of_every_shape() {
    for keys in [&[0][..], &[1, 6], &[4], &[5, 7], &[0, 1, 6]] {
        holds(keys, None, false, [300, 200], 64);
    }
}

#[test]
fn more_pairs_than_a_chunk_holds() {
    holds(&[1], None, false, [50, 2 * BATCH_ROWS as u64], BATCH_ROWS);
    holds(&[], None, true, [40, 1500], 100);
}

#[test]
fn conditions_decide_who_has_a_partner() {
    holds(&[1], None, true, [200, 200], 50);
    holds(&[0, 7], None, true, [300, 300], 50);
}

#[test]
fn nearness_in_time() {
    for (bound, condition) in
        [((0, 0), false), ((-3000, 2000), true), ((1500, 9000), false), ((-20_000, -4000), false), ((5, 1), false)]
    {
        holds(&[1], Some(bound), condition, [400, 500], 40);
    }
    holds(&[], Some((-1500, 1500)), false, [300, 300], 40);
}

/// Right rows that are long gone make room, and what is left is found by new numbers.
#[test]
fn far_right_rows_are_forgotten() {
    holds(&[1], Some((-10_000, 10_000)), false, [500, 5 * BATCH_ROWS as u64], 500);
}

#[test]
fn empty_sides() {
    for sizes in [[0, 0], [0, 30], [30, 0]] {
        holds(&[1], None, false, sizes, 10);
        holds(&[1], Some((-1000, 0)), false, sizes, 10);
    }
}
