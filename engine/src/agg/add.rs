//! What a value, or another accumulator of its kind, does to an accumulator's words.

use super::key::order_bits;
use super::pair;
use super::shape::{Accumulator, Kind};
use super::texts::Texts;
use super::update::{Picked, Target, Values};
use crate::batch::{Data, Text, Vector};

/// Adds to an `i128` of two words.
#[inline]
pub(crate) fn add_i128(words: &mut [u64; 2], value: i128) {
    let sum = (u128::from(words[0]) | u128::from(words[1]) << 64).wrapping_add(value as u128);
    *words = [sum as u64, (sum >> 64) as u64];
}

/// Adds a value of 192 bits, given as its low 128 bits and its high 64.
#[inline]
pub(crate) fn add_i192(words: &mut [u64; 3], low: u128, high: u64) {
    let (sum, carry) = (u128::from(words[0]) | u128::from(words[1]) << 64).overflowing_add(low);
    *words = [sum as u64, (sum >> 64) as u64, words[2].wrapping_add(high).wrapping_add(u64::from(carry))];
}

/// Adds an `i128` to a value of 192 bits.
#[inline]
pub(crate) fn add_wide(words: &mut [u64; 3], value: i128) {
    add_i192(words, value as u128, (value >> 127) as u64);
}

/// Adds the values of `picked` to an accumulator.
pub(super) fn add(accumulator: &Accumulator, picked: &Picked<'_>, target: &mut Target<'_>, texts: &mut Texts) {
    let at = accumulator.offset;
    let Some(values) = picked.values else {
        return target.each(at, picked, |_, words: &mut [u64; 1]| words[0] += 1);
    };
    let values = match values {
        Values::Plain(values) => values,
        Values::Pair(left, right) => {
            return match accumulator.kind {
                Kind::Beside(beside) => beside.add(accumulator, [&left, &right], None, picked, target, texts),
                _ => pair::add_moments(at, left.f64s(), right.f64s(), picked, target),
            };
        }
        Values::Product(left, right) => {
            let (a, b) = (left.i64s(), right.i64s());
            let product = |row: usize| i128::from(a[row]) * i128::from(b[row]);
            return match accumulator.kind {
                Kind::Sum => target.each(at, picked, |row, words| add_i128(words, product(row))),
                Kind::WideSum => target.each(at, picked, |row, words| add_wide(words, product(row))),
                kind => add_i128s(kind, at, picked, target, product),
            };
        }
    };
    if accumulator.kind == Kind::List {
        return texts.lists.add(accumulator, &values, picked, target);
    }
    match values.data {
        Data::I64(values) => add_i64s(accumulator.kind, at, picked, target, |row| values[row]),
        Data::F64(values) => add_f64s(accumulator.kind, at, picked, target, |row| values[row]),
        Data::I128(values) => add_i128s(accumulator.kind, at, picked, target, |row| values[row]),
        Data::Text(values) => add_texts(accumulator.kind, at, picked, target, texts, |row| values[row]),
    }
}

fn add_i64s(kind: Kind, at: usize, picked: &Picked<'_>, target: &mut Target<'_>, value: impl Fn(usize) -> i64) {
    match kind {
        Kind::Sum => target.each(at, picked, |row, words| add_i128(words, i128::from(value(row)))),
        Kind::WideSquares => {
            let square = |row| i128::from(value(row)) * i128::from(value(row));
            target.each(at, picked, |row, words| add_wide(words, square(row)));
        }
        Kind::Min(_) => {
            target.each(at, picked, |row, [word]: &mut [u64; 1]| *word = (*word as i64).min(value(row)) as u64)
        }
        Kind::Max(_) => {
            target.each(at, picked, |row, [word]: &mut [u64; 1]| *word = (*word as i64).max(value(row)) as u64)
        }
        Kind::First(_) | Kind::Last(_) => {
            add_ends::<2>(kind, at, picked, target, |row, words| words[1] = value(row) as u64);
        }
        _ => unreachable!("the shape gives no such accumulator to this argument"),
    }
}

fn add_f64s(kind: Kind, at: usize, picked: &Picked<'_>, target: &mut Target<'_>, value: impl Fn(usize) -> f64) {
    match kind {
        Kind::FloatSum => target.each(at, picked, |row, [word]: &mut [u64; 1]| {
            *word = (f64::from_bits(*word) + value(row)).to_bits();
        }),
        Kind::Moments => target.each(at, picked, |row, words| add_moment(words, value(row))),
        Kind::First(_) | Kind::Last(_) => {
            add_ends::<2>(kind, at, picked, target, |row, words| words[1] = value(row).to_bits());
        }
        _ => add_i64s(kind, at, picked, target, |row| order_bits(value(row))),
    }
}

fn add_i128s(kind: Kind, at: usize, picked: &Picked<'_>, target: &mut Target<'_>, value: impl Fn(usize) -> i128) {
    let get = |words: &[u64; 2]| (u128::from(words[0]) | u128::from(words[1]) << 64) as i128;
    let put = |words: &mut [u64; 2], value: i128| *words = [value as u64, (value >> 64) as u64];
    match kind {
        Kind::Sum => target.each(at, picked, |row, words| add_i128(words, value(row))),
        Kind::WideSum => target.each(at, picked, |row, words| add_wide(words, value(row))),
        Kind::Moments => target.each(at, picked, |row, words| add_moment(words, value(row) as f64)),
        Kind::Min(_) => target.each(at, picked, |row, words| put(words, get(words).min(value(row)))),
        Kind::Max(_) => target.each(at, picked, |row, words| put(words, get(words).max(value(row)))),
        Kind::First(_) | Kind::Last(_) => add_ends::<3>(kind, at, picked, target, |row, words| {
            (words[1], words[2]) = (value(row) as u64, (value(row) >> 64) as u64);
        }),
        _ => unreachable!("the shape gives no such accumulator to this argument"),
    }
}

fn add_texts<'a>(
    kind: Kind,
    at: usize,
    picked: &Picked<'_>,
    target: &mut Target<'_>,
    texts: &mut Texts,
    value: impl Fn(usize) -> Text<'a>,
) {
    match kind {
        Kind::Min(_) => target.each(at, picked, |row, words| {
            if texts.get(*words).is_none_or(|least| value(row) < least) {
                texts.set(words, value(row));
            }
        }),
        Kind::Max(_) => target.each(at, picked, |row, words| {
            if texts.get(*words).is_none_or(|greatest| value(row) > greatest) {
                texts.set(words, value(row));
            }
        }),
        Kind::First(_) | Kind::Last(_) => add_ends::<3>(kind, at, picked, target, |row, words| {
            let mut view = [words[1], words[2]];
            texts.set(&mut view, value(row));
            (words[1], words[2]) = (view[0], view[1]);
        }),
        _ => unreachable!("the shape gives no such accumulator to this argument"),
    }
}

/// FIRST_VALUE and LAST_VALUE: `take` stores the row's value when its position beats the one held.
/// Without positions rows come in the order of the input.
fn add_ends<const W: usize>(
    kind: Kind,
    at: usize,
    picked: &Picked<'_>,
    target: &mut Target<'_>,
    mut take: impl FnMut(usize, &mut [u64; W]),
) {
    let position = |row: usize| picked.positions.map_or(0, |positions| positions[row]);
    let first = matches!(kind, Kind::First(_));
    target.each(at, picked, |row, words: &mut [u64; W]| {
        let mark = if first { position(row) } else { position(row) + 1 };
        if if first { mark < words[0] } else { mark >= words[0] } {
            words[0] = mark;
            take(row, words);
        }
    });
}

/// One more value, by Welford's method (Technometrics 4, 1962).
#[inline]
fn add_moment(words: &mut [u64; 3], value: f64) {
    let [count, mean, distance] = words.map(f64::from_bits);
    let count = count + 1.0;
    let delta = value - mean;
    let mean = mean + delta / count;
    *words = [count, mean, distance + delta * (value - mean)].map(f64::to_bits);
}

/// Puts two sets of values together, by Chan, Golub and LeVeque (1979).
pub(crate) fn merge_moments(left: [f64; 3], right: [f64; 3]) -> [f64; 3] {
    if right[0] == 0.0 {
        return left;
    }
    if left[0] == 0.0 {
        return right;
    }
    let count = left[0] + right[0];
    let delta = right[1] - left[1];
    let mean = left[1] + delta * right[0] / count;
    [count, mean, left[2] + right[2] + delta * delta * left[0] * right[0] / count]
}

/// Merges MIN or MAX of partial states. Numbers without a value yet carry the one that beats none;
/// texts carry NULL.
pub(crate) fn merge_extreme(
    accumulator: &Accumulator,
    column: &Vector<'_>,
    picked: &Picked<'_>,
    target: &mut Target<'_>,
    texts: &mut Texts,
) {
    let (kind, at) = (accumulator.kind, accumulator.offset);
    match column.data {
        // Doubles come in order-preserving form, which is an i64 as well.
        Data::I64(values) => add_i64s(kind, at, picked, target, |row| values[row]),
        Data::I128(values) => add_i128s(kind, at, picked, target, |row| values[row]),
        Data::F64(_) => unreachable!("doubles travel in order-preserving form"),
        Data::Text(values) => {
            let least = matches!(kind, Kind::Min(_));
            target.each(at, picked, |row, words| {
                let better = |held: Text<'_>| if least { values[row] < held } else { values[row] > held };
                if !column.is_null(row) && texts.get(*words).is_none_or(better) {
                    texts.set(words, values[row]);
                }
            });
        }
    }
}

/// Merges FIRST_VALUE or LAST_VALUE of partial states; `marks` are their first words.
pub(crate) fn merge_end(
    accumulator: &Accumulator,
    marks: &[i64],
    column: &Vector<'_>,
    picked: &Picked<'_>,
    target: &mut Target<'_>,
    texts: &mut Texts,
) {
    let at = accumulator.offset;
    let first = matches!(accumulator.kind, Kind::First(_));
    let beats = |row: usize, held: u64| {
        let mark = marks[row] as u64;
        if first { mark < held } else { mark > held }
    };
    macro_rules! take {
        ($width:literal, |$row:ident, $words:ident| $take:expr) => {
            target.each(at, picked, |$row, $words: &mut [u64; $width]| {
                if beats($row, $words[0]) {
                    $words[0] = marks[$row] as u64;
                    $take;
                }
            })
        };
    }
    match column.data {
        Data::I64(values) => take!(2, |row, words| words[1] = values[row] as u64),
        Data::F64(values) => take!(2, |row, words| words[1] = values[row].to_bits()),
        Data::I128(values) => {
            take!(3, |row, words| (words[1], words[2]) = (values[row] as u64, (values[row] >> 64) as u64))
        }
        Data::Text(values) => take!(3, |row, words| {
            let mut view = [words[1], words[2]];
            texts.set(&mut view, values[row]);
            (words[1], words[2]) = (view[0], view[1]);
        }),
    }
}
