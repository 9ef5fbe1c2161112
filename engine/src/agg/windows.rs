//! Which rows of a chunk belong to which windows.

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;

use crate::batch::Chunk;
use crate::operator::{TIME_MIN, Time};
use crate::plan::{Window, WindowKind};

/// Windows up to this many are filled by a pass over the chunk each; more by sorting its rows.
const PASSES_MAX: i64 = 4;

/// A window's mark, and its rows of the chunk; `None` when all are.
pub(crate) type Share<'a> = (i64, Option<&'a [u16]>);

/// Deals the rows to their windows, those that end after the row's floor (see [`crate::batch::Chunk`]),
/// in order of window; within a window rows keep their order.
pub(crate) fn deal<'a>(times: &[i64], floors: Option<&[Time]>, window: &Window, scratch: &'a Bump) -> &'a [Share<'a>] {
    let (least, greatest) = extremes(times);
    let first = window.first_mark(least);
    let last = window.last_mark(greatest);
    let count = last.saturating_sub(first) / window.slide + 1;
    if count > PASSES_MAX || floors.is_some() {
        let mut pairs = BumpVec::new_in(scratch);
        for (row, &time) in (0u16..).zip(times) {
            let floor = floors.map_or(TIME_MIN, |floors| floors[usize::from(row)]);
            let mut start = window.last_mark(time);
            while window.holds(start, time) && start.saturating_add(window.size) > floor {
                pairs.push((start, row));
                start -= window.slide;
            }
        }
        return by_start(pairs, scratch);
    }
    let mut shares = BumpVec::new_in(scratch);
    for start in (0..count).map(|number| first + number * window.slide) {
        if window.holds(start, least) && window.holds(start, greatest) {
            shares.push((start, None));
            continue;
        }
        let rows = (0u16..).zip(times).filter(|&(_, &time)| window.holds(start, time)).map(|(row, _)| row);
        let rows = BumpVec::from_iter_in(rows, scratch).into_bump_slice();
        if !rows.is_empty() {
            shares.push((start, Some(rows)));
        }
    }
    shares.into_bump_slice()
}

/// The start of each row's window, of tumbling ones: a row has one.
pub(crate) fn starts<'a>(times: &[i64], window: &Window, scratch: &'a Bump) -> &'a [i64] {
    // Neighbours are mostly of one window.
    let mut start = 0;
    let mut ends = i64::MIN;
    scratch.alloc_slice_fill_iter(times.iter().map(|&time| {
        if time >= ends || time < start {
            start = window.last_mark(time);
            ends = start.saturating_add(window.size);
        }
        start
    }))
}

/// The rows of a chunk in order of their windows' `starts`; within a window they keep their order.
pub(crate) fn by_window<'a>(chunk: &Chunk<'a>, starts: &[i64], scratch: &'a Bump) -> Chunk<'a> {
    if starts.is_sorted() {
        return *chunk;
    }
    let mut order = BumpVec::from_iter_in(starts.iter().copied().zip(0u16..), scratch);
    order.sort_unstable();
    let order = scratch.alloc_slice_fill_iter(order.iter().map(|&(_, row)| row));
    chunk.gather(order, scratch)
}

/// Runs of rows that share their last window, in order of the rows: (its mark, first row, number of rows).
pub(crate) fn runs<'a>(times: &[i64], window: &Window, scratch: &'a Bump) -> &'a [(i64, usize, usize)] {
    let length = if window.kind == WindowKind::Cumulate { window.size } else { window.slide };
    let mut runs: BumpVec<'_, (i64, usize, usize)> = BumpVec::new_in(scratch);
    for (row, &time) in times.iter().enumerate() {
        match runs.last_mut() {
            Some((last, _, count)) if *last <= time && time - *last < length => *count += 1,
            _ => runs.push((window.last_mark(time), row, 1)),
        }
    }
    runs.into_bump_slice()
}

fn extremes(times: &[i64]) -> (i64, i64) {
    times.iter().fold((i64::MAX, i64::MIN), |(least, greatest), &time| (least.min(time), greatest.max(time)))
}

fn by_start<'a>(mut pairs: BumpVec<'a, (i64, u16)>, scratch: &'a Bump) -> &'a [Share<'a>] {
    pairs.sort_unstable();
    let rows = scratch.alloc_slice_fill_iter(pairs.iter().map(|pair| pair.1));
    let mut shares = BumpVec::new_in(scratch);
    let mut at = 0;
    for share in pairs.chunk_by(|left, right| left.0 == right.0) {
        shares.push((share[0].0, Some(&rows[at..at + share.len()])));
        at += share.len();
    }
    shares.into_bump_slice()
}
