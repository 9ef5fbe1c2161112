//! The selection itself.
//!
//! Row `i` is judged against the highest time among the good rows before it in its split, in this
//! batch or an earlier one. Every good row counts, late ones and filtered ones too (a late row
//! cannot raise the highest), so where the batches are cut makes no difference.

use super::{Selected, SplitTime, is_late, is_partly_late};
use crate::batch::{Chunk, Data, Vector, is_null};
use crate::error::Result;
use crate::expr::{self, Expr};
use crate::operator::{Context, TIME_MIN, Time};
use crate::plan::{Late, Scan};
use bumpalo::collections::Vec as Rows;

pub(super) fn select<'a>(
    scan: &Scan,
    eager: &Chunk<'a>,
    split: &mut SplitTime,
    context: &Context<'a>,
) -> Result<Selected<'a>> {
    let scratch = context.scratch;
    let mut selected =
        Selected { rows: None, times: None, late: &[], late_watermarks: &[], filtered: 0, timeless: &[], floors: None };
    if let Some(event_time) = &scan.event_time {
        let times = match expr::evaluate(&event_time.expression, eager, context) {
            Ok(times) => times,
            Err(_) => one_by_one(&event_time.expression, eager, context),
        };
        selected.times = Some(times);
        if times.nulls.is_some() {
            let rows = (0..eager.rows as u16).filter(|&row| times.is_null(usize::from(row)));
            selected.timeless = Rows::from_iter_in(rows, scratch).into_bump_slice();
        }
        let judged = judge(scan.late, event_time.delay_us, &times, split, context);
        (selected.late, selected.late_watermarks, selected.floors) = (judged.late, judged.watermarks, judged.floors);
    }
    let dropped = selected.late.len() + selected.timeless.len();
    let good = match dropped {
        0 => None,
        _ => Some(without(eager.rows, selected.late, selected.timeless, context)),
    };
    selected.rows = match (&scan.filter, good) {
        (None, good) => good,
        (Some(filter), None) => expr::evaluate_predicate(filter, eager, context)?,
        (Some(filter), Some(good)) if good.is_empty() => {
            let _ = filter;
            Some(good)
        }
        // The filter never sees a row that is dropped anyway, so it cannot fail on one.
        (Some(filter), Some(good)) => {
            let kept = expr::evaluate_predicate(filter, &eager.gather(good, scratch), context)?;
            Some(match kept {
                None => good,
                Some(kept) => scratch.alloc_slice_fill_iter(kept.iter().map(|&row| good[usize::from(row)])),
            })
        }
    };
    let passed = selected.rows.map_or(eager.rows, <[u16]>::len);
    selected.filtered = eager.rows - dropped - passed;
    Ok(selected)
}

/// Event times where some row's cannot be computed: it has none, like one that is NULL.
fn one_by_one<'a>(expression: &Expr, eager: &Chunk<'a>, context: &Context<'a>) -> Vector<'a> {
    let scratch = context.scratch;
    let times = scratch.alloc_slice_fill_copy(eager.rows, 0i64);
    let nulls = scratch.alloc_slice_fill_copy(eager.rows.div_ceil(64), 0u64);
    for (row, to) in times.iter_mut().enumerate() {
        match expr::evaluate(expression, &eager.gather(&[row as u16], scratch), context) {
            Ok(time) if !time.is_null(0) => *to = time.i64s()[0],
            _ => nulls[row / 64] |= 1 << (row % 64),
        }
    }
    Vector { data: Data::I64(times), nulls: Some(nulls) }
}

/// Which rows of a batch are late.
#[derive(Default)]
struct Judged<'a> {
    late: &'a [u16],
    /// Where the watermark stood at each of them.
    watermarks: &'a [Time],
    /// For all rows, if some other one is late for a part of its windows.
    floors: Option<&'a [Time]>,
}

/// Finds the late rows, and moves the split's time past all rows.
fn judge<'a>(
    late: Option<Late>,
    delay_us: i64,
    times: &Vector<'a>,
    split: &mut SplitTime,
    context: &Context<'a>,
) -> Judged<'a> {
    let values = times.i64s();
    let (lowest, highest) = bounds(times);
    let is_led = highest != TIME_MIN && !split.follows(highest);
    let after = split.highest.max(highest);
    let late = match late {
        Some(late) => late,
        None if is_led => {
            let good = values.iter().enumerate().filter(|(row, _)| !times.is_null(*row));
            good.for_each(|(_, &time)| split.pass(time));
            return Judged::default();
        }
        None => {
            split.highest = after;
            return Judged::default();
        }
    };
    // Lateness only falls with the time and rises with the watermark: when not even the earliest
    // row has lost a window at the batch's last watermark, none has.
    let last = SplitTime { highest: after, ..*split }.watermark(delay_us);
    let may_be_late = highest != TIME_MIN && last != TIME_MIN && is_partly_late(late, lowest, last);
    if !may_be_late && !is_led {
        split.highest = after;
        return Judged::default();
    }
    let mut rows = Rows::new_in(context.scratch);
    let mut floors = Rows::with_capacity_in(values.len(), context.scratch);
    let mut is_any_partial = false;
    for (row, &time) in values.iter().enumerate() {
        let watermark = split.watermark(delay_us);
        floors.push(watermark);
        if is_null(times.nulls, row) {
            continue;
        }
        if watermark != TIME_MIN && is_late(late, time, watermark) {
            rows.push(row as u16);
        } else {
            is_any_partial |= is_partly_late(late, time, watermark);
        }
        split.pass(time);
    }
    let (late, floors): (&[u16], &[Time]) = (rows.into_bump_slice(), floors.into_bump_slice());
    let watermarks = context.scratch.alloc_slice_fill_iter(late.iter().map(|&row| floors[usize::from(row)]));
    Judged { late, watermarks, floors: is_any_partial.then_some(floors) }
}

/// Lowest and highest time that is not NULL; `(MAX, MIN)` when all are.
fn bounds(times: &Vector<'_>) -> (Time, Time) {
    let widen = |(low, high): (Time, Time), time: Time| (low.min(time), high.max(time));
    let none = (Time::MAX, TIME_MIN);
    match times.nulls {
        None => times.i64s().iter().fold(none, |bounds, &time| widen(bounds, time)),
        nulls => {
            let good = times.i64s().iter().enumerate().filter(|(row, _)| !is_null(nulls, *row));
            good.fold(none, |bounds, (_, &time)| widen(bounds, time))
        }
    }
}

/// All rows but those in two ascending lists.
fn without<'a>(rows: usize, late: &[u16], timeless: &[u16], context: &Context<'a>) -> &'a [u16] {
    let (mut late, mut timeless) = (late.iter().peekable(), timeless.iter().peekable());
    let good = (0..rows as u16).filter(|row| {
        let is_late = late.next_if(|next| *next == row).is_some();
        let is_timeless = timeless.next_if(|next| *next == row).is_some();
        !is_late && !is_timeless
    });
    Rows::from_iter_in(good, context.scratch).into_bump_slice()
}

#[cfg(test)]
mod tests;
