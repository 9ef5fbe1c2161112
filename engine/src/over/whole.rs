//! COUNT, SUM, AVG, MIN and MAX of whole numbers over the last rows, a chunk at a time.
//!
//! The rows of a chunk go through their partitions' frames first, which leaves columns of what each
//! frame held; results are made of those columns, so that nothing is asked for every row anew, and means
//! are taken of all rows at once. Only chunks without NULL come here; a frame may hold some of before.

use bumpalo::Bump;

use super::frame::{Frame, Wants};
use super::track::Ask;
use crate::agg::decimal_means;
use crate::error::Result;
use crate::operator::{Column, Values};
use crate::plan::OverCall;
use crate::types::DataType;

use super::track::{exact_overflow, put_exact};

/// What the frames held after each row, as far as it is asked for.
struct Noted<'a> {
    counts: &'a mut [i64],
    sums: &'a mut [i128],
    least: &'a mut [i64],
    greatest: &'a mut [i64],
}

/// Whether all that is asked can be answered here.
pub(super) fn answers(asks: &[(usize, Ask)]) -> bool {
    asks.iter().all(|(_, ask)| matches!(ask, Ask::Count | Ask::Sum | Ask::Avg | Ask::Min | Ask::Max))
}

/// Takes `values`, row by row into the frame of the row's partition, and writes the results.
pub(super) fn run(
    frames: &mut [Frame<i64>],
    partition: &[u32],
    values: &[i64],
    (width, wants): (usize, Wants),
    (asks, calls): (&[(usize, Ask)], &[OverCall]),
    out: &mut [Column<'_>],
    scratch: &Bump,
) -> Result<()> {
    let rows = partition.len();
    let noted = &mut Noted {
        counts: scratch.alloc_slice_fill_copy(rows, 0),
        sums: scratch.alloc_slice_fill_copy(if wants.sum { rows } else { 0 }, 0),
        least: scratch.alloc_slice_fill_copy(if wants.extremes { rows } else { 0 }, 0),
        greatest: scratch.alloc_slice_fill_copy(if wants.extremes { rows } else { 0 }, 0),
    };
    match (wants.sum, wants.extremes) {
        (false, false) => push::<false, false>(frames, partition, values, width, noted),
        (false, true) => push::<false, true>(frames, partition, values, width, noted),
        (true, false) => push::<true, false>(frames, partition, values, width, noted),
        (true, true) => push::<true, true>(frames, partition, values, width, noted),
    }
    for &(call, ask) in asks {
        let column = &mut out[call];
        match ask {
            Ask::Count => column.i64s()[..rows].copy_from_slice(noted.counts),
            Ask::Min => column.i64s()[..rows].copy_from_slice(noted.least),
            Ask::Max => column.i64s()[..rows].copy_from_slice(noted.greatest),
            Ask::Sum => {
                let call = &calls[call];
                for (row, &sum) in noted.sums.iter().enumerate() {
                    put_exact(column, row, sum).ok_or_else(|| exact_overflow(ask, call))?;
                }
            }
            _ => means(noted, &calls[call], column)?,
        }
    }
    Ok(())
}

fn push<const SUM: bool, const EXTREMES: bool>(
    frames: &mut [Frame<i64>],
    partition: &[u32],
    values: &[i64],
    width: usize,
    noted: &mut Noted<'_>,
) {
    for (row, (&partition, &value)) in partition.iter().zip(values).enumerate() {
        let frame = &mut frames[partition as usize];
        frame.push_whole::<SUM, EXTREMES>(value, width);
        noted.counts[row] = frame.count as i64;
        if SUM {
            noted.sums[row] = frame.sum;
        }
        if EXTREMES {
            (noted.least[row], noted.greatest[row]) = frame.extremes();
        }
    }
}

fn means(noted: &Noted<'_>, call: &OverCall, out: &mut Column<'_>) -> Result<()> {
    let (sums, counts) = (&*noted.sums, &*noted.counts);
    let scale_in = call.arguments[0].data_type.scale();
    let DataType::Decimal { scale, .. } = call.data_type else {
        let unit = 10f64.powi(i32::from(scale_in));
        for ((out, &sum), &count) in out.f64s().iter_mut().zip(sums).zip(counts) {
            *out = sum as f64 / unit / count as f64;
        }
        return Ok(());
    };
    let more = scale - scale_in;
    match &mut out.values {
        Values::I64(out) => decimal_means(sums, counts, more, out, |mean| i64::try_from(mean).ok(), |mean| mean),
        Values::I128(out) => {
            let fit = |mean: i128| (mean.unsigned_abs() < 10u128.pow(38)).then_some(mean);
            decimal_means(sums, counts, more, out, fit, i128::from)
        }
        _ => panic!("the plan promised a decimal"),
    }
    .ok_or_else(|| exact_overflow(Ask::Avg, call))
}
