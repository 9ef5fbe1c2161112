//! Several accumulators in one pass over the rows.
//!
//! COUNT, SUM, MIN and MAX of a column of `i64` shape without NULLs, of all rows: their words stand side by
//! side, so one pass touches each group's row once for all of them. Other accumulators, other shapes and
//! rows of which some are not seen go one accumulator at a time, in [`super::update`]; the results are the
//! same.

use super::add::add_i128;
use super::shape::{Accumulator, Kind};
use super::update::{Picked, Target, Values};
use crate::batch::{Data, Vector};

/// What has been left to a pass to come.
#[derive(Default)]
pub(super) struct Fused {
    /// Where rows are to be counted, if they have not been yet.
    rows: Option<usize>,
}

/// Which words a pass touches, and where they begin.
#[derive(Clone, Copy)]
struct Run {
    /// The counter of rows.
    rows: Option<usize>,
    /// The words of one argument: sum, least, greatest, those that are there.
    at: usize,
    has_sum: bool,
    has_min: bool,
    has_max: bool,
}

impl Run {
    /// The words of `accumulators`, which are of one argument, if they are all of these kinds. Counters
    /// of NULLs have nothing to count.
    fn of(accumulators: &[Accumulator]) -> Option<Run> {
        let mut run = Run { rows: None, at: usize::MAX, has_sum: false, has_min: false, has_max: false };
        for accumulator in accumulators.iter().filter(|accumulator| accumulator.kind != Kind::Nulls) {
            run.at = run.at.min(accumulator.offset);
            match accumulator.kind {
                Kind::Sum => run.has_sum = true,
                Kind::Min(_) => run.has_min = true,
                Kind::Max(_) => run.has_max = true,
                _ => return None,
            }
        }
        (run.at < usize::MAX).then_some(run)
    }
}

impl Fused {
    /// Takes the accumulators of `run` in, if it can: at once, or in the next pass or at the end.
    pub(super) fn take(&mut self, run: &[Accumulator], picked: &Picked<'_>, target: &mut Target<'_>) -> bool {
        if picked.seen.is_some() || target.snapshot.is_some() {
            return false;
        }
        match (run, picked.values) {
            ([Accumulator { kind: Kind::Rows, offset, .. }], None) if self.rows.is_none() => {
                self.rows = Some(*offset);
                true
            }
            (_, Some(Values::Plain(Vector { data: Data::I64(values), nulls: None }))) => {
                let Some(run) = Run::of(run) else { return false };
                add(Run { rows: self.rows.take(), ..run }, target.state, picked.bases, values);
                true
            }
            _ => false,
        }
    }

    /// Counts the rows that no pass has counted.
    pub(super) fn end(self, bases: &[u32], target: &mut Target<'_>) {
        let Some(rows) = self.rows else { return };
        for &base in bases {
            target.state[base as usize + rows] += 1;
        }
    }
}

/// Chooses the pass.
fn add(run: Run, state: &mut [u64], bases: &[u32], values: &[i64]) {
    macro_rules! pass {
        ($rows:literal: $($sum:literal $min:literal $max:literal $words:literal),*) => {
            match (run.has_sum, run.has_min, run.has_max) {
                $(($sum, $min, $max) => pass::<$rows, $sum, $min, $max, $words>(run, state, bases, values),)*
            }
        };
    }
    macro_rules! passes {
        ($($rows:literal)*) => {
            match run.rows.is_some() {
                $($rows => pass!($rows: false false false 0, false false true 1, false true false 1, false true true 2,
                    true false false 2, true false true 3, true true false 3, true true true 4),)*
            }
        };
    }
    passes!(false true);
}

fn pass<const ROWS: bool, const SUM: bool, const MIN: bool, const MAX: bool, const WORDS: usize>(
    run: Run,
    state: &mut [u64],
    bases: &[u32],
    values: &[i64],
) {
    let rows = run.rows.unwrap_or(0);
    for (&base, &value) in bases.iter().zip(values) {
        let base = base as usize;
        if ROWS {
            state[base + rows] += 1;
        }
        let words: &mut [u64] = &mut state[base + run.at..base + run.at + WORDS];
        if SUM && let Some(sum) = words.first_chunk_mut::<2>() {
            add_i128(sum, i128::from(value));
        }
        if MIN && let Some(least) = words.get_mut(if SUM { 2 } else { 0 }) {
            *least = (*least as i64).min(value) as u64;
        }
        if MAX && let Some(greatest) = words.last_mut() {
            *greatest = (*greatest as i64).max(value) as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agg::tests::Random;

    /// Every set of accumulators, held against a plain loop over one group's rows.
    #[test]
    fn every_pass_gives_what_its_parts_do() {
        const STRIDE: usize = 7;
        const GROUPS: usize = 5;
        let mut random = Random(3);
        let values: Vec<i64> = (0..500)
            .map(|_| match random.below(4) {
                0 => i64::MIN,
                1 => i64::MAX,
                _ => random.below(100) as i64 - 50,
            })
            .collect();
        let bases: Vec<u32> = values.iter().map(|_| (random.below(GROUPS as u64) as usize * STRIDE) as u32).collect();
        for set in 0..16 {
            let has = |part: u32| set >> part & 1 == 1;
            let sum = 2;
            let min = if has(1) { sum + 2 } else { sum };
            let max = if has(2) { min + 1 } else { min };
            let mut state = vec![0u64; GROUPS * STRIDE];
            for row in state.chunks_exact_mut(STRIDE) {
                if has(3) {
                    row[max] = i64::MIN as u64;
                }
                if has(2) {
                    row[min] = i64::MAX as u64;
                }
            }
            let run = Run { rows: has(0).then_some(1), at: sum, has_sum: has(1), has_min: has(2), has_max: has(3) };
            add(run, &mut state, &bases, &values);
            for (group, row) in state.chunks_exact(STRIDE).enumerate() {
                let of_group = || bases.iter().zip(&values).filter(|(base, _)| **base as usize == group * STRIDE);
                let of_group = || of_group().map(|(_, value)| *value);
                assert!(of_group().count() > 50 && row[0] == 0);
                assert_eq!(row[1], if has(0) { of_group().count() as u64 } else { 0 });
                if has(1) {
                    let total: i128 = of_group().map(i128::from).sum();
                    assert_eq!([row[sum], row[sum + 1]], [total as u64, (total >> 64) as u64]);
                }
                if has(2) {
                    assert_eq!(Some(row[min] as i64), of_group().min());
                }
                if has(3) {
                    assert_eq!(Some(row[max] as i64), of_group().max());
                }
            }
        }
    }
}
