//! EMIT CHANGES for the calls that most queries make, a column at a time.
//!
//! For whatever a call may be, a row of state is noted for every row of the chunk, and results are read
//! from those ([`super::update`]). COUNT, SUM, AVG, MIN and MAX of numbers, without FILTER, DISTINCT and
//! NULLs in the chunk, ask for less: one accumulator's pass over the rows leaves a column of what it held
//! after each, and that column *is* the result, or half of a mean. Keys are the rows' own columns. So a
//! row's new values cost little more than adding it.

use bumpalo::Bump;

use super::answer::DECIMAL_END;
use super::key::{from_order_bits, get_i128, order_bits, put_i128};
use super::mean::decimal_means;
use super::nulls::Nulls;
use super::shape::{Accumulator, Answer, Kind, Shape};
use super::update::{Rows, Values};
use crate::batch::{Data, Vector};
use crate::error::Result;
use crate::hash::canonical_bits;
use crate::plan::AggregateFunction;
use crate::types::{DataType, Physical};

/// What an accumulator held after each row.
#[derive(Clone, Copy)]
enum Noted<'a> {
    /// Nothing is asked of it.
    Nothing,
    /// Rows, or an extreme of whole numbers.
    Whole(&'a [i64]),
    /// An exact sum.
    Exact(&'a [i128]),
    /// A sum or an extreme of doubles.
    Double(&'a [f64]),
}

/// Whether the calls of `shape` can be answered here, as long as no argument is NULL.
pub(super) fn are_plain(shape: &Shape) -> bool {
    use AggregateFunction as F;
    let is_number = |physical| matches!(physical, Physical::I64 | Physical::F64);
    shape.sources == 1
        && shape.lanes.iter().all(|lane| lane.filter.is_none() && lane.distinct.is_none())
        && shape.accumulators.iter().all(|accumulator| match accumulator.kind {
            Kind::Rows | Kind::Nulls | Kind::Sum | Kind::FloatSum => true,
            Kind::Min(physical) | Kind::Max(physical) => is_number(physical),
            _ => false,
        })
        && shape.answers.iter().all(|answer| {
            matches!(answer.function, F::Count | F::Sum | F::Avg | F::Min | F::Max | F::BoolAnd | F::BoolOr)
        })
}

/// Whether an argument of the rows is NULL somewhere.
pub(super) fn have_nulls(rows: &Rows<'_>) -> bool {
    rows.arguments.iter().any(Values::has_nulls)
}

/// Adds rows, whose groups stand at `bases`, and writes the results of all calls after each row.
/// `nulls` are those that groups have seen before.
pub(super) fn run<'a>(
    shape: &Shape,
    rows: &Rows<'a>,
    bases: &[u32],
    state: &mut [u64],
    nulls: Nulls<'_>,
    scratch: &'a Bump,
) -> Result<bumpalo::collections::Vec<'a, Vector<'a>>> {
    let mut noted = bumpalo::collections::Vec::with_capacity_in(shape.accumulators.len(), scratch);
    for accumulator in &shape.accumulators {
        let values = accumulator.argument.map(|argument| rows.arguments[argument]);
        noted.push(note(accumulator, values, bases, state, scratch));
    }
    let mut results = bumpalo::collections::Vec::with_capacity_in(shape.answers.len(), scratch);
    for answer in &shape.answers {
        let mut counts = noted[answer.rows].whole();
        if let (false, Some(counter)) = (nulls.is_empty(), answer.nulls) {
            let counter = shape.accumulators[counter].offset;
            let some = counts.iter().zip(bases).map(|(count, &base)| count - nulls.get(base, counter) as i64);
            counts = scratch.alloc_slice_fill_iter(some);
        }
        let value = answer.value.map_or(Noted::Nothing, |value| noted[value]);
        results.push(Vector::new(answer.of_columns(counts, value, scratch)?));
    }
    Ok(results)
}

/// Key columns as a group shows them.
pub(super) fn keys<'a>(columns: &'a [Vector<'a>], scratch: &'a Bump) -> impl Iterator<Item = Vector<'a>> {
    columns.iter().map(|column| match column.data {
        // Of doubles that are equal a group shows one.
        Data::F64(values) => {
            let same = values.iter().map(|&value| f64::from_bits(canonical_bits(value)));
            Vector { data: Data::F64(scratch.alloc_slice_fill_iter(same)), nulls: column.nulls }
        }
        _ => *column,
    })
}

/// Adds the rows to one accumulator.
fn note<'a>(
    accumulator: &Accumulator,
    values: Option<Values<'_>>,
    bases: &[u32],
    state: &mut [u64],
    scratch: &'a Bump,
) -> Noted<'a> {
    let at = accumulator.offset;
    let kind = accumulator.kind;
    if kind == Kind::Nulls {
        return Noted::Nothing;
    }
    let Some(values) = values else {
        return Noted::Whole(each(bases, state, at, scratch, |_, [rows]: &mut [u64; 1]| {
            *rows += 1;
            *rows as i64
        }));
    };
    let column = match values {
        Values::Product(left, right) => {
            let (left, right) = (&left.i64s()[..bases.len()], &right.i64s()[..bases.len()]);
            return sums(bases, state, at, scratch, |row| i128::from(left[row]) * i128::from(right[row]));
        }
        Values::Plain(column) => column.data,
        Values::Pair(..) => unreachable!("no plain call takes pairs"),
    };
    let least = matches!(kind, Kind::Min(_));
    match (kind, column) {
        (Kind::Sum, Data::I64(values)) => sums(bases, state, at, scratch, |row| i128::from(values[row])),
        (Kind::Sum, Data::I128(values)) => sums(bases, state, at, scratch, |row| values[row]),
        (Kind::FloatSum, Data::F64(values)) => {
            Noted::Double(each(bases, state, at, scratch, |row, [word]: &mut [u64; 1]| {
                let sum = f64::from_bits(*word) + values[row];
                *word = sum.to_bits();
                sum
            }))
        }
        (Kind::Min(_) | Kind::Max(_), Data::I64(values)) => {
            Noted::Whole(each(bases, state, at, scratch, |row, words| extreme(words, values[row], least)))
        }
        (Kind::Min(_) | Kind::Max(_), Data::F64(values)) => {
            Noted::Double(each(bases, state, at, scratch, |row, words| {
                from_order_bits(extreme(words, order_bits(values[row]), least))
            }))
        }
        _ => unreachable!("plain calls have no such accumulator"),
    }
}

/// What `add` says of each row, given the `W` words at `at` of its group's row.
fn each<'a, const W: usize, T>(
    bases: &[u32],
    state: &mut [u64],
    at: usize,
    scratch: &'a Bump,
    mut add: impl FnMut(usize, &mut [u64; W]) -> T,
) -> &'a [T] {
    scratch.alloc_slice_fill_with(bases.len(), |row| {
        let first = bases[row] as usize + at;
        add(row, (&mut state[first..first + W]).try_into().expect("the slice has W words"))
    })
}

fn sums<'a>(
    bases: &[u32],
    state: &mut [u64],
    at: usize,
    scratch: &'a Bump,
    value: impl Fn(usize) -> i128,
) -> Noted<'a> {
    Noted::Exact(each(bases, state, at, scratch, |row, words: &mut [u64; 2]| {
        let sum = get_i128(words, 0).wrapping_add(value(row));
        put_i128(words, 0, sum);
        sum
    }))
}

#[inline]
fn extreme([word]: &mut [u64; 1], value: i64, least: bool) -> i64 {
    let held = *word as i64;
    let held = if least { held.min(value) } else { held.max(value) };
    *word = held as u64;
    held
}

impl<'a> Noted<'a> {
    fn whole(self) -> &'a [i64] {
        match self {
            Noted::Whole(values) => values,
            _ => unreachable!("rows are whole numbers"),
        }
    }
}

impl Answer {
    /// This call's results, of columns of what its accumulators held. Every count is at least 1.
    fn of_columns<'a>(&self, counts: &'a [i64], value: Noted<'a>, scratch: &'a Bump) -> Result<Data<'a>> {
        use AggregateFunction as F;
        Ok(match (self.function, value) {
            (F::Count, _) => Data::I64(counts),
            (F::Avg, Noted::Double(sums)) => {
                let means = sums.iter().zip(counts).map(|(sum, &count)| sum / count as f64);
                Data::F64(scratch.alloc_slice_fill_iter(means))
            }
            (F::Avg, Noted::Exact(sums)) => self.means(sums, counts, scratch)?,
            (F::Sum, Noted::Exact(sums)) => self.totals(sums, scratch)?,
            (_, Noted::Whole(values)) => Data::I64(values),
            (_, Noted::Double(values)) => Data::F64(values),
            (_, Noted::Nothing | Noted::Exact(_)) => unreachable!("the shape gives it no such accumulator"),
        })
    }

    fn totals<'a>(&self, sums: &'a [i128], scratch: &'a Bump) -> Result<Data<'a>> {
        // Most often all are small, which shows in their upper halves.
        let is_small = sums.iter().fold(0, |bits, &sum| bits | ((sum >> 64) as i64 ^ (sum as i64 >> 63))) == 0;
        if !is_small && sums.iter().any(|sum| sum.unsigned_abs() >= DECIMAL_END.unsigned_abs()) {
            return Err(self.overflow());
        }
        Ok(match self.data_type.physical() {
            Physical::I128 => Data::I128(sums),
            Physical::I64 if is_small => Data::I64(scratch.alloc_slice_fill_iter(sums.iter().map(|&sum| sum as i64))),
            Physical::I64 => return Err(self.overflow()),
            Physical::F64 => Data::F64(scratch.alloc_slice_fill_iter(sums.iter().map(|&sum| sum as f64))),
            Physical::Text => unreachable!("a sum is a number"),
        })
    }

    fn means<'a>(&self, sums: &[i128], counts: &[i64], scratch: &'a Bump) -> Result<Data<'a>> {
        let DataType::Decimal { scale, .. } = self.data_type else {
            let unit = 10f64.powi(i32::from(self.argument_type.scale()));
            let means = sums.iter().zip(counts).map(|(&sum, &count)| sum as f64 / unit / count as f64);
            return Ok(Data::F64(scratch.alloc_slice_fill_iter(means)));
        };
        let more = scale - self.argument_type.scale();
        if self.data_type.physical() == Physical::I64 {
            let out = scratch.alloc_slice_fill_copy(sums.len(), 0i64);
            decimal_means(sums, counts, more, out, |mean| i64::try_from(mean).ok(), |mean| mean)
                .ok_or_else(|| self.overflow())?;
            return Ok(Data::I64(out));
        }
        let out = scratch.alloc_slice_fill_copy(sums.len(), 0i128);
        let fit = |mean: i128| (mean.unsigned_abs() < DECIMAL_END.unsigned_abs()).then_some(mean);
        decimal_means(sums, counts, more, out, fit, i128::from).ok_or_else(|| self.overflow())?;
        Ok(Data::I128(out))
    }
}
