//! How many NULLs of each argument each group has seen.
//!
//! Most columns have none. So these counters stand apart from the groups' rows, which are shorter
//! for it and lie in fewer cache lines, and nothing is kept before the first NULL comes.

use std::ops::Range;

use crate::memory::Lines;

/// The counters of a table's groups: those of one group side by side, in order of the groups.
pub(crate) struct NullCounts {
    /// None behind the last group that has seen a NULL.
    counts: Lines,
    layout: Layout,
}

/// Which counters belong to a row of state.
#[derive(Clone, Copy)]
struct Layout {
    /// Counters of a group.
    width: usize,
    /// Words from one row of state to the next.
    stride: usize,
}

impl Layout {
    #[inline]
    fn place(self, base: u32, counter: usize) -> usize {
        base as usize / self.stride * self.width + counter
    }
}

/// Counters to be read.
#[derive(Clone, Copy)]
pub(crate) struct Nulls<'n> {
    counts: &'n [u64],
    layout: Layout,
}

impl Nulls<'_> {
    /// Counter `counter` of the group at `base`.
    #[inline]
    pub(crate) fn get(&self, base: u32, counter: usize) -> u64 {
        self.counts.get(self.layout.place(base, counter)).copied().unwrap_or(0)
    }

    /// Nobody has seen one.
    pub(crate) fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }
}

impl NullCounts {
    /// `width` counters for each row of state, of which one stands every `stride` words.
    pub(crate) fn new(width: usize, stride: usize) -> Self {
        NullCounts { counts: Lines::default(), layout: Layout { width, stride: stride.max(1) } }
    }

    /// The counters, to be read.
    pub(crate) fn read(&self) -> Nulls<'_> {
        Nulls { counts: &self.counts, layout: self.layout }
    }

    /// Adds `more` NULLs to counter `counter` of the group at `base`.
    pub(crate) fn add(&mut self, base: u32, counter: usize, more: u64) {
        if more == 0 {
            return;
        }
        let place = self.layout.place(base, counter);
        if place >= self.counts.len() {
            self.counts.extend_zeros(place + 1 - self.counts.len());
        }
        self.counts[place] += more;
    }

    /// Takes one NULL out of a counter.
    pub(crate) fn take(&mut self, base: u32, counter: usize) {
        self.set(base, counter, self.read().get(base, counter).wrapping_sub(1));
    }

    /// All counters of a group.
    pub(crate) fn counters(&self) -> Range<usize> {
        0..self.layout.width
    }

    /// Notes some counters of the group at `base` for row `row` of `noted`.
    pub(crate) fn note(&self, base: u32, counters: Range<usize>, noted: &mut NullCounts, row: usize) {
        if self.counts.is_empty() {
            return;
        }
        for counter in counters {
            noted.set((row * noted.layout.stride) as u32, counter, self.read().get(base, counter));
        }
    }

    /// Sets counter `counter` of the group at `base`.
    pub(crate) fn set(&mut self, base: u32, counter: usize, count: u64) {
        let held = self.read().get(base, counter);
        if held > count {
            let place = self.layout.place(base, counter);
            self.counts[place] = count;
        } else {
            self.add(base, counter, count - held);
        }
    }

    /// Forgets all, and keeps memory for `groups` groups at most.
    pub(crate) fn clear(&mut self, groups: usize) {
        self.counts.clear(groups * self.layout.width);
    }

    /// Bytes held.
    pub(crate) fn memory(&self) -> usize {
        self.counts.memory()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_has_its_own_counters() {
        let mut nulls = NullCounts::new(3, 16);
        assert!(nulls.read().is_empty() && nulls.memory() == 0);
        nulls.add(32, 1, 0);
        assert!(nulls.read().is_empty());
        for (base, counter, more) in [(1600, 2, 5), (16, 0, 1), (1600, 2, 1), (16, 2, 7)] {
            nulls.add(base, counter, more);
        }
        let read = nulls.read();
        let seen = |base| [0, 1, 2].map(|counter| read.get(base, counter));
        assert_eq!([seen(16), seen(32), seen(1600), seen(1616)], [[1, 0, 7], [0; 3], [0, 0, 6], [0; 3]]);
        let mut noted = NullCounts::new(3, 10);
        nulls.note(1600, nulls.counters(), &mut noted, 2);
        nulls.note(16, nulls.counters(), &mut noted, 2);
        nulls.note(1600, 1..3, &mut noted, 0);
        assert_eq!([0, 10, 20].map(|base| noted.read().get(base, 2)), [6, 0, 7]);
        nulls.clear(1);
        assert!(nulls.read().is_empty());
        nulls.add(1600, 1, 2);
        assert_eq!((nulls.read().get(1600, 1), nulls.read().get(1600, 2)), (2, 0));
    }
}
