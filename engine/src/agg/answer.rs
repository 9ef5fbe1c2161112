//! Accumulators to results, a column at a time.

use super::add::merge_moments;
use super::key::{from_order_bits, get_i128};
use super::list::{LIST_WORDS, continuous, put_discrete, put_joined};
use super::nulls::Nulls;
use super::pair::{CoMoments, MOMENT_WORDS};
use super::shape::{Accumulator, Answer, Kind, Shape};
use super::texts::Texts;
use crate::error::{Code, Error, Result};
use crate::memory::prefetch;
use crate::operator::{Column, Values};
use crate::plan::AggregateFunction;
use crate::types::{DataType, Physical};

/// 10^38: one more than any decimal can be.
pub(super) const DECIMAL_END: i128 = 10i128.pow(38);

/// State beyond this many words does not stay in a core's nearest cache.
const NEAR_WORDS: usize = 1 << 12;

/// Rows of state to be read: those at `bases`, written to output rows from `start` on.
#[derive(Clone, Copy)]
pub(crate) struct Source<'s> {
    pub(crate) state: &'s [u64],
    pub(crate) bases: &'s [u32],
    pub(crate) nulls: Nulls<'s>,
    pub(crate) texts: &'s Texts,
    pub(crate) start: usize,
}

impl Source<'_> {
    /// Asks for the rows, of `words` words each, if they lie scattered over much memory.
    pub(crate) fn prefetch(&self, words: usize) {
        if self.state.len() > NEAR_WORDS {
            self.bases.iter().for_each(|&base| prefetch(self.state, base as usize, words));
        }
    }

    fn rows(&self) -> impl Iterator<Item = (usize, usize)> {
        (self.start..).zip(self.bases.iter().map(|&base| base as usize))
    }
}

impl Answer {
    /// Writes this call's results.
    pub(crate) fn write(&self, shape: &Shape, source: &Source<'_>, out: &mut Column<'_>) -> Result<()> {
        use AggregateFunction as F;
        let at = |number: usize| shape.accumulators[number].offset;
        let (rows, nulls) = (at(self.rows), self.nulls.filter(|_| !source.nulls.is_empty()).map(at));
        let count = |base: usize| {
            let null = nulls.map_or(0, |counter| source.nulls.get(base as u32, counter));
            source.state[base + rows].saturating_sub(null)
        };
        if self.function == F::Count {
            for (row, base) in source.rows() {
                out.i64s()[row] = count(base) as i64;
            }
            return Ok(());
        }
        let value = &shape.accumulators[self.value.expect("every call but COUNT has a value")];
        let is_sum = matches!(self.function, F::Sum | F::Avg) && value.kind == Kind::Sum;
        if is_sum && matches!(out.values, Values::I64(_) | Values::I128(_)) {
            return self.write_sums(source, count, value.offset, out);
        }
        if matches!(value.kind, Kind::Min(Physical::I64) | Kind::Max(Physical::I64)) {
            for (row, _) in source.rows().filter(|&(_, base)| count(base) == 0) {
                out.set_null(row);
            }
            let values = out.i64s()[source.start..].iter_mut().zip(source.bases);
            values.for_each(|(out, &base)| *out = source.state[base as usize + value.offset] as i64);
            return Ok(());
        }
        for (row, base) in source.rows() {
            let count = count(base);
            if count == 0 {
                out.set_null(row);
                continue;
            }
            match self.function {
                F::Sum => match value.kind {
                    Kind::FloatSum => out.f64s()[row] = float_sum(shape, value, source, base),
                    _ => self.put_exact(out, row, exact_sum(value, source, base))?,
                },
                F::Avg => match value.kind {
                    Kind::FloatSum => out.f64s()[row] = float_sum(shape, value, source, base) / count as f64,
                    _ => self.average(out, row, exact_sum(value, source, base), count)?,
                },
                F::VarPop | F::VarSamp | F::StddevPop | F::StddevSamp => {
                    match self.deviation(shape, value, source, base, count) {
                        Some(deviation) => out.f64s()[row] = deviation,
                        None => out.set_null(row),
                    }
                }
                F::Corr | F::CovarPop | F::CovarSamp | F::RegrSlope | F::RegrIntercept | F::RegrR2 => {
                    let at = base + value.offset;
                    let sources = source.state[at..at + MOMENT_WORDS * shape.sources].chunks_exact(MOMENT_WORDS);
                    let moments = sources.map(CoMoments::from_words).reduce(CoMoments::merge);
                    match moments.and_then(|moments| moments.answer(self.function)) {
                        Some(answer) => out.f64s()[row] = answer,
                        None => out.set_null(row),
                    }
                }
                F::ArgMin | F::ArgMax => {
                    let Kind::Beside(beside) = value.kind else { unreachable!("the shape gives it no other kind") };
                    put_value(beside.value, source, base + value.offset + beside.value_at(), out, row);
                }
                F::PercentileCont
                | F::PercentileDisc
                | F::StringAgg
                | F::ArrayAgg
                | F::ArrayAggDistinct
                | F::MapAgg
                | F::TopK => {
                    let at = base + value.offset;
                    self.keep(shape.physical(value), &source.state[at..at + LIST_WORDS], source, out, row)?;
                }
                F::First | F::Last => put_value(shape.physical(value), source, base + value.offset + 1, out, row),
                F::Min | F::Max | F::BoolAnd | F::BoolOr => {
                    let word = base + value.offset;
                    match shape.physical(value) {
                        Physical::F64 => out.f64s()[row] = from_order_bits(source.state[word] as i64),
                        physical => put_value(physical, source, word, out, row),
                    }
                }
                F::Count => unreachable!("COUNT is answered above"),
            }
        }
        Ok(())
    }

    /// Sums and means that are exact and cannot leave `i128`, in loops of their own: most queries have
    /// no others.
    fn write_sums(
        &self,
        source: &Source<'_>,
        count: impl Fn(usize) -> u64,
        at: usize,
        out: &mut Column<'_>,
    ) -> Result<()> {
        let mut has_null = false;
        for (row, base) in source.rows() {
            if count(base) == 0 {
                out.set_null(row);
                has_null = true;
            }
        }
        let sum = |base: u32| get_i128(source.state, base as usize + at);
        let overflow = || self.overflow();
        if self.function == AggregateFunction::Sum {
            return write_exact(out, source, |base| Some(sum(base)), overflow);
        }
        let scale = self.data_type.scale();
        let more = scale - self.argument_type.scale();
        let power = 10i64.pow(u32::from(more));
        let mean = |base: u32| {
            // The sum of no values is zero, which may be divided by anything.
            let count = if has_null { count(base as usize).max(1) } else { count(base as usize) };
            small_mean(sum(base), count, power).or_else(|| decimal_mean(sum(base), count, more))
        };
        write_exact(out, source, mean, overflow)
    }

    /// Answers from a list of values.
    fn keep(
        &self,
        physical: Physical,
        list: &[u64],
        source: &Source<'_>,
        out: &mut Column<'_>,
        row: usize,
    ) -> Result<()> {
        if self.function == AggregateFunction::StringAgg {
            put_joined(&self.separator, list, source, out, row);
            return Ok(());
        }
        if self.function.is_collection() {
            return self.collect(list, source, out, row).map_err(|error| error.at(self.span));
        }
        let share = self.share.ok_or_else(|| Error::new(Code::Internal, "a percentile has no share"))?;
        match self.function {
            AggregateFunction::PercentileCont => out.f64s()[row] = continuous(share, list, source),
            _ => put_discrete(physical, share, list, source, out, row),
        }
        Ok(())
    }

    fn put_exact(&self, out: &mut Column<'_>, row: usize, value: Option<i128>) -> Result<()> {
        let value =
            value.filter(|value| value.unsigned_abs() < DECIMAL_END.unsigned_abs()).ok_or_else(|| self.overflow())?;
        match &mut out.values {
            Values::I128(values) => values[row] = value,
            Values::I64(values) => values[row] = i64::try_from(value).map_err(|_| self.overflow())?,
            Values::F64(values) => values[row] = value as f64,
            Values::Text(_) => panic!("the plan promised a number"),
        }
        Ok(())
    }

    pub(super) fn overflow(&self) -> Error {
        let name = if self.function == AggregateFunction::Avg { "AVG" } else { "SUM" };
        Error::new(Code::Overflow, format!("{name} leaves the range of {}", self.data_type))
            .at(self.span)
            .help("cast the argument to DOUBLE")
    }

    /// Mean of whole numbers as DOUBLE, of decimals rounded half up to the result's scale.
    fn average(&self, out: &mut Column<'_>, row: usize, sum: Option<i128>, count: u64) -> Result<()> {
        let sum = sum.ok_or_else(|| self.overflow())?;
        let DataType::Decimal { scale, .. } = self.data_type else {
            out.f64s()[row] = sum as f64 / 10f64.powi(i32::from(self.argument_type.scale())) / count as f64;
            return Ok(());
        };
        self.put_exact(out, row, decimal_mean(sum, count, scale - self.argument_type.scale()))
    }

    fn deviation(
        &self,
        shape: &Shape,
        value: &Accumulator,
        source: &Source<'_>,
        base: usize,
        count: u64,
    ) -> Option<f64> {
        use AggregateFunction as F;
        let sample = matches!(self.function, F::VarSamp | F::StddevSamp);
        let divisor = count - u64::from(sample);
        if divisor == 0 {
            return None;
        }
        let distance = match self.squares {
            Some(squares) => {
                let squares = base + shape.accumulators[squares].offset;
                let squares = [source.state[squares], source.state[squares + 1], source.state[squares + 2]];
                let scale = 10f64.powi(2 * i32::from(self.argument_type.scale()));
                square_distance(count, get_i128(source.state, base + value.offset), squares) / scale
            }
            None => {
                let at = base + value.offset;
                let moments = source.state[at..at + 3 * shape.sources].chunks_exact(3);
                let moments = moments.map(|words| [words[0], words[1], words[2]].map(f64::from_bits));
                let scale = match self.argument_type {
                    DataType::Decimal { scale, .. } => 10f64.powi(2 * i32::from(scale)),
                    _ => 1.0,
                };
                moments.reduce(merge_moments)?[2] / scale
            }
        };
        let variance = distance / divisor as f64;
        let root = matches!(self.function, F::StddevPop | F::StddevSamp);
        Some(if root { variance.sqrt() } else { variance })
    }
}

/// Writes an exact number of each group; one that does not fit is an overflow.
#[inline]
fn write_exact(
    out: &mut Column<'_>,
    source: &Source<'_>,
    value: impl Fn(u32) -> Option<i128>,
    overflow: impl Fn() -> Error,
) -> Result<()> {
    match &mut out.values {
        Values::I64(values) => {
            for (out, &base) in values[source.start..].iter_mut().zip(source.bases) {
                *out = value(base).and_then(|value| i64::try_from(value).ok()).ok_or_else(&overflow)?;
            }
        }
        Values::I128(values) => {
            let fits = |value: &i128| value.unsigned_abs() < DECIMAL_END.unsigned_abs();
            for (out, &base) in values[source.start..].iter_mut().zip(source.bases) {
                *out = value(base).filter(fits).ok_or_else(&overflow)?;
            }
        }
        Values::F64(_) | Values::Text(_) => panic!("the plan promised an exact number"),
    }
    Ok(())
}

/// The sum of an integer accumulator, unless it has left `i128`.
fn exact_sum(value: &Accumulator, source: &Source<'_>, base: usize) -> Option<i128> {
    let at = base + value.offset;
    let low = get_i128(source.state, at);
    let fits = value.kind == Kind::Sum || source.state[at + 2] == (low >> 127) as u64;
    fits.then_some(low)
}

/// The sources' sums, added in order of shard.
fn float_sum(shape: &Shape, value: &Accumulator, source: &Source<'_>, base: usize) -> f64 {
    let at = base + value.offset;
    let sums = source.state[at..at + shape.sources].iter();
    sums.map(|&word| f64::from_bits(word)).fold(0.0, |sum, part| sum + part)
}

/// Writes the value whose words stand at `at`.
pub(crate) fn put_value(physical: Physical, source: &Source<'_>, at: usize, out: &mut Column<'_>, row: usize) {
    match physical {
        Physical::I64 => out.i64s()[row] = source.state[at] as i64,
        Physical::F64 => out.f64s()[row] = f64::from_bits(source.state[at]),
        Physical::I128 => out.i128s()[row] = get_i128(source.state, at),
        Physical::Text => match source.texts.get([source.state[at], source.state[at + 1]]) {
            Some(text) => out.set_text(row, text),
            None => out.set_null(row),
        },
    }
}

/// Sum of the squared distances from the mean, `(n * sum of squares - sum^2) / n`, of which the
/// difference is taken in 256 bits, so that nothing cancels.
fn square_distance(count: u64, sum: i128, squares: [u64; 3]) -> f64 {
    let sum = sum.unsigned_abs();
    let sum = [sum as u64, (sum >> 64) as u64];
    let mut left = [0u64; 4];
    multiply_add(&mut left, &squares, count, 0);
    let mut right = [0u64; 4];
    multiply_add(&mut right, &sum, sum[0], 0);
    multiply_add(&mut right, &sum, sum[1], 1);
    let mut borrow = false;
    let mut value = 0.0;
    for (word, (left, right)) in left.into_iter().zip(right).enumerate() {
        let (part, under) = left.overflowing_sub(right);
        let (part, again) = part.overflowing_sub(u64::from(borrow));
        borrow = under || again;
        value += part as f64 * 2f64.powi(64 * word as i32);
    }
    value / count as f64
}

/// Adds `words * factor`, shifted up by `shift` words, to `total`.
fn multiply_add(total: &mut [u64; 4], words: &[u64], factor: u64, shift: usize) {
    let mut carry = 0u128;
    for (index, total) in total.iter_mut().enumerate().skip(shift) {
        let word = words.get(index - shift).copied().unwrap_or(0);
        carry += u128::from(word) * u128::from(factor) + u128::from(*total);
        *total = carry as u64;
        carry >>= 64;
    }
}

/// `sum * power / count`, half up, where the product is an `i64`: nearly all are, and then one division
/// is enough, many times as fast as of `i128`.
#[inline]
fn small_mean(sum: i128, count: u64, power: i64) -> Option<i128> {
    let scaled = i64::try_from(sum).ok()?.checked_mul(power)?;
    let (magnitude, half) = (scaled.unsigned_abs(), count.div_ceil(2));
    // Numbers of 32 bits are divided faster still.
    let (quotient, rest) = match (u32::try_from(magnitude), u32::try_from(count)) {
        (Ok(magnitude), Ok(count)) => (u64::from(magnitude / count), u64::from(magnitude % count)),
        _ => (magnitude / count, magnitude % count),
    };
    let mean = (quotient + u64::from(rest >= half)) as i64;
    Some(i128::from(if scaled < 0 { -mean } else { mean }))
}

/// `sum / count`, half up, with `more` digits behind the point than `sum` has.
pub(crate) fn decimal_mean(sum: i128, count: u64, more: u8) -> Option<i128> {
    let power = 10i64.pow(u32::from(more));
    if let Some(mean) = small_mean(sum, count, power) {
        return Some(mean);
    }
    let (count, power) = (i128::from(count), i128::from(power));
    let rest = sum % count * power;
    let up = i128::from((rest % count).unsigned_abs() >= count.unsigned_abs().div_ceil(2));
    (sum / count).checked_mul(power).map(|whole| whole + rest / count + up * sum.signum())
}
