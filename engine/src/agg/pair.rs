//! Accumulators of two arguments: moments of pairs of doubles, and the value beside an extreme.
//!
//! Both see the rows in which neither argument is NULL.

use super::key::{get_i128, order_bits, width};
use super::shape::Accumulator;
use super::texts::{Texts, UNSET};
use super::update::{Picked, Target};
use crate::batch::{Data, Vector};
use crate::plan::AggregateFunction;
use crate::types::Physical;

/// Words of [`CoMoments`].
pub(crate) const MOMENT_WORDS: usize = 6;

/// What is known of some pairs (y, x).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct CoMoments {
    count: f64,
    mean_y: f64,
    mean_x: f64,
    /// Sums of squared distances from the means, and of their products.
    square_y: f64,
    square_x: f64,
    product: f64,
}

impl CoMoments {
    pub(crate) fn from_words(words: &[u64]) -> Self {
        let [count, mean_y, mean_x, square_y, square_x, product] =
            [0, 1, 2, 3, 4, 5].map(|word| f64::from_bits(words[word]));
        CoMoments { count, mean_y, mean_x, square_y, square_x, product }
    }

    pub(crate) fn words(self) -> [u64; MOMENT_WORDS] {
        [self.count, self.mean_y, self.mean_x, self.square_y, self.square_x, self.product].map(f64::to_bits)
    }

    /// One more pair, by Welford's method for two variables.
    fn add(self, y: f64, x: f64) -> Self {
        self.merge(CoMoments { count: 1.0, mean_y: y, mean_x: x, ..CoMoments::default() })
    }

    /// Two sets of pairs as one, by Chan, Golub and LeVeque (1979).
    pub(crate) fn merge(self, other: Self) -> Self {
        if other.count == 0.0 {
            return self;
        }
        if self.count == 0.0 {
            return other;
        }
        let count = self.count + other.count;
        let (delta_y, delta_x) = (other.mean_y - self.mean_y, other.mean_x - self.mean_x);
        let weight = self.count * other.count / count;
        CoMoments {
            count,
            mean_y: self.mean_y + delta_y * other.count / count,
            mean_x: self.mean_x + delta_x * other.count / count,
            square_y: self.square_y + other.square_y + delta_y * delta_y * weight,
            square_x: self.square_x + other.square_x + delta_x * delta_x * weight,
            product: self.product + other.product + delta_y * delta_x * weight,
        }
    }

    /// The result of `function`; `None` where it has none.
    pub(crate) fn answer(self, function: AggregateFunction) -> Option<f64> {
        use AggregateFunction as F;
        let slope = || (self.square_x != 0.0).then(|| self.product / self.square_x);
        match function {
            F::CovarPop => Some(self.product / self.count),
            F::CovarSamp => (self.count > 1.0).then(|| self.product / (self.count - 1.0)),
            F::Corr => {
                let both = (self.square_y * self.square_x).sqrt();
                (both != 0.0).then(|| (self.product / both).clamp(-1.0, 1.0))
            }
            F::RegrSlope => slope(),
            F::RegrIntercept => slope().map(|slope| self.mean_y - slope * self.mean_x),
            F::RegrR2 if self.square_y == 0.0 => slope().map(|_| 1.0),
            F::RegrR2 => slope().map(|slope| slope * self.product / self.square_y),
            _ => None,
        }
    }
}

/// Adds rows to moments.
pub(crate) fn add_moments(at: usize, y: &[f64], x: &[f64], picked: &Picked<'_>, target: &mut Target<'_>) {
    target.each(at, picked, |row, words: &mut [u64; MOMENT_WORDS]| {
        *words = CoMoments::from_words(words).add(y[row], x[row]).words();
    });
}

/// Adds the moments of a partial state.
pub(crate) fn merge_moments(words: &mut [u64; MOMENT_WORDS], parts: [f64; MOMENT_WORDS]) {
    let other = CoMoments::from_words(&parts.map(f64::to_bits));
    *words = CoMoments::from_words(words).merge(other).words();
}

/// ARG_MIN or ARG_MAX: words `mark, by.., value..`. The mark is the row's position + 1, or 0 while
/// there is no row; of equal extremes the first in the input counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Beside {
    pub(crate) least: bool,
    pub(crate) by: Physical,
    pub(crate) value: Physical,
}

impl Beside {
    pub(crate) fn words(self) -> usize {
        1 + width(self.by) + width(self.value)
    }

    /// First word of the value.
    pub(crate) fn value_at(self) -> usize {
        1 + width(self.by)
    }

    pub(crate) fn initial(self, words: &mut [u64]) {
        for (physical, at) in [(self.by, 1), (self.value, self.value_at())] {
            if physical == Physical::Text {
                words[at] = UNSET;
            }
        }
    }

    /// How `row` of `by` compares with what is held, from the row's side.
    fn compare(by: &Vector<'_>, row: usize, words: &[u64], texts: &Texts) -> std::cmp::Ordering {
        match by.data {
            Data::I64(values) => values[row].cmp(&(words[1] as i64)),
            Data::F64(values) => order_bits(values[row]).cmp(&(words[1] as i64)),
            Data::I128(values) => values[row].cmp(&get_i128(words, 1)),
            Data::Text(values) => match texts.get([words[1], words[2]]) {
                Some(held) => values[row].cmp(&held),
                None => std::cmp::Ordering::Less,
            },
        }
    }

    fn put(vector: &Vector<'_>, row: usize, ordered: bool, words: &mut [u64], texts: &mut Texts) {
        match vector.data {
            Data::I64(values) => words[0] = values[row] as u64,
            Data::F64(values) if ordered => words[0] = order_bits(values[row]) as u64,
            Data::F64(values) => words[0] = values[row].to_bits(),
            Data::I128(values) => (words[0], words[1]) = (values[row] as u64, (values[row] >> 64) as u64),
            Data::Text(values) => {
                let mut view = [words[0], words[1]];
                texts.set(&mut view, values[row]);
                (words[0], words[1]) = (view[0], view[1]);
            }
        }
    }

    fn take(self, mark: u64, value: &Vector<'_>, by: &Vector<'_>, row: usize, words: &mut [u64], texts: &mut Texts) {
        let order = match words[0] {
            0 => std::cmp::Ordering::Less,
            held => {
                let order = Self::compare(by, row, words, texts);
                let order = if self.least { order } else { order.reverse() };
                order.then(mark.cmp(&held))
            }
        };
        if mark > 0 && order.is_lt() {
            words[0] = mark;
            Self::put(by, row, true, &mut words[1..], texts);
            Self::put(value, row, false, &mut words[self.value_at()..], texts);
        }
    }

    /// Takes rows in, or with `marks` partial states. In a state without a row the mark is 0.
    pub(crate) fn add(
        self,
        accumulator: &Accumulator,
        [value, by]: [&Vector<'_>; 2],
        marks: Option<&[i64]>,
        picked: &Picked<'_>,
        target: &mut Target<'_>,
        texts: &mut Texts,
    ) {
        let at = accumulator.offset;
        let mark = |row: usize| match (marks, picked.positions) {
            (Some(marks), _) => marks[row] as u64,
            (None, Some(positions)) => positions[row] + 1,
            // Without positions rows come in the order of the input.
            (None, None) => 1,
        };
        match self.words() {
            3 => target.each::<3>(at, picked, |row, words| self.take(mark(row), value, by, row, words, texts)),
            4 => target.each::<4>(at, picked, |row, words| self.take(mark(row), value, by, row, words, texts)),
            _ => target.each::<5>(at, picked, |row, words| self.take(mark(row), value, by, row, words, texts)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_do_not_depend_on_how_pairs_are_put_together() {
        let pairs: Vec<(f64, f64)> = (0..50).map(|n| (f64::from(n * n % 17), f64::from(n % 7) - 3.0)).collect();
        let of = |pairs: &[(f64, f64)]| pairs.iter().fold(CoMoments::default(), |all, &(y, x)| all.add(y, x));
        let (whole, parts) = (of(&pairs), of(&pairs[..13]).merge(of(&pairs[13..])));
        let count = pairs.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>() / count;
        let (y, x) = (mean(|pair| pair.0), mean(|pair| pair.1));
        let covariance = pairs.iter().map(|pair| (pair.0 - y) * (pair.1 - x)).sum::<f64>() / count;
        for moments in [whole, parts] {
            let close = |function, wanted: f64| {
                let answer = moments.answer(function).unwrap();
                assert!((answer - wanted).abs() < 1e-12, "{function:?}: {answer} and {wanted}");
            };
            close(AggregateFunction::CovarPop, covariance);
            close(AggregateFunction::CovarSamp, covariance * count / (count - 1.0));
        }
        let line = of(&[(1.0, 0.0), (3.0, 1.0), (5.0, 2.0)]);
        let answers = [AggregateFunction::RegrSlope, AggregateFunction::RegrIntercept, AggregateFunction::RegrR2];
        assert_eq!(answers.map(|function| line.answer(function)), [Some(2.0), Some(1.0), Some(1.0)]);
        assert_eq!(of(&[(1.0, 2.0)]).answer(AggregateFunction::Corr), None);
    }
}
