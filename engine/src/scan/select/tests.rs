//! The selection against a row-by-row model, for any way of cutting the batches.

use crate::batch::{Chunk, Data, Vector};
use crate::expr::{Comparison, Expr, ExprKind};
use crate::operator::Context;
use crate::plan::{EventTime, Late, Needs, ReadOrder, Scan, Window};
use crate::scan::{Scanner, SplitTime, is_late};
use crate::stage::Ledger;
use crate::types::{DataType, Value};
use bumpalo::Bump;
use proptest::prelude::*;

const TIME: DataType = DataType::Timestamp { precision: 3, zone: None };

fn scan(late: Option<Late>) -> Scan {
    let limit = Expr::literal(Value::I64(50), DataType::BigInt);
    let column = Expr::column(1, DataType::BigInt);
    let kind = ExprKind::Compare { comparison: Comparison::Less, left: Box::new(column), right: Box::new(limit) };
    let filter = Some(Expr { kind, ..Expr::literal(Value::Null, DataType::Boolean) });
    Scan {
        table: "t".to_owned(),
        columns: Vec::new(),
        eager: 2,
        event_time: Some(EventTime { expression: Expr::column(0, TIME), delay_us: 5 }),
        late,
        clock: None,
        filter,
        read_order: ReadOrder::Position,
        turn: 0,
        needs: Needs::default(),
    }
}

/// Kept, late and timeless rows by their number, how many were filtered, and the highest time.
type Outcome = (Vec<usize>, Vec<usize>, Vec<usize>, usize, i64);

fn in_batches(scanner: &Scanner, rows: &[(Option<i64>, i64)], size: usize) -> Outcome {
    let mut split = SplitTime::default();
    let mut all: Outcome = Default::default();
    for (batch, rows) in rows.chunks(size).enumerate() {
        let (scratch, ledger) = (Bump::new(), Ledger::idle());
        let times: Vec<i64> = rows.iter().map(|row| row.0.unwrap_or(i64::MAX)).collect();
        let values: Vec<i64> = rows.iter().map(|row| row.1).collect();
        let mut nulls = vec![0u64; 16];
        for (row, _) in rows.iter().enumerate().filter(|(_, row)| row.0.is_none()) {
            nulls[row / 64] |= 1 << (row % 64);
        }
        let columns = [Vector { data: Data::I64(&times), nulls: Some(&nulls) }, Vector::new(Data::I64(&values))];
        let chunk =
            Chunk { rows: rows.len(), columns: &columns, positions: None, ordinals: None, floors: None, stamp: 0 };
        let context = Context { scratch: &scratch, ledger: &ledger };
        let selected = scanner.select(&chunk, &mut split, &context).unwrap();
        let number = |row: u16| batch * size + usize::from(row);
        match selected.rows {
            Some(kept) => all.0.extend(kept.iter().map(|&row| number(row))),
            None => all.0.extend((0..rows.len() as u16).map(number)),
        }
        all.1.extend(selected.late.iter().map(|&row| number(row)));
        all.2.extend(selected.timeless.iter().map(|&row| number(row)));
        all.3 += selected.filtered;
    }
    all.4 = split.highest;
    all
}

fn model(late: Option<Late>, rows: &[(Option<i64>, i64)]) -> Outcome {
    let mut all: Outcome = (Vec::new(), Vec::new(), Vec::new(), 0, i64::MIN);
    for (number, &(time, value)) in rows.iter().enumerate() {
        let Some(time) = time else {
            all.2.push(number);
            continue;
        };
        let begun = all.4 != i64::MIN;
        if begun && late.is_some_and(|late| is_late(late, time, all.4 - 5)) {
            all.1.push(number);
        } else if value < 50 {
            all.0.push(number);
        } else {
            all.3 += 1;
        }
        all.4 = all.4.max(time);
    }
    all
}

proptest! {
    #[test]
    fn the_cut_of_the_batches_changes_nothing(
        steps in prop::collection::vec((prop::option::weighted(0.9, -20i64..25), 0i64..100), 1..1500),
    ) {
        let mut now = 0;
        let rows: Vec<_> = steps.into_iter().map(|(step, value)| (step.map(|step| { now += step; now }), value)).collect();
        let window = Window::hop(10, 10, 0);
        for late in [None, Some(Late::Row), Some(Late::Window(window))] {
            let wanted = model(late, &rows);
            let scanner = Scanner::new(scan(late));
            for size in [1, 7, 1024] {
                prop_assert_eq!(in_batches(&scanner, &rows, size), wanted.clone(), "{:?} {}", late, size);
            }
        }
    }
}
