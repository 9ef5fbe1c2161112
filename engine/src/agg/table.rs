//! The group table: from keys to rows of state.
//!
//! All of a group stands in one row of words: tag and key (see [`super::key`]), then accumulators.
//! Rows lie one after the other, in few cache lines each; a group is named by its *base*, the index of
//! its first word. Row 0 is nobody's: its tag is one that no key has, so base 0 simply compares unequal.
//!
//! Finding the groups of a chunk takes three passes, of which the first two are without dependence
//! between rows, so that the core overlaps their cache misses: take every row's guess from the
//! [`super::index`], and ask for all of its group's row, which the accumulators are about to need;
//! compare every row's key, column by column; look properly for the few rows whose guess was wrong.
//! A large table is asked piece by piece, and memory is asked ahead for the pieces to come: see
//! [`Table::expect`], [`Table::guess`] and [`Table::settle`], which [`Table::locate`] is made of.

use super::index::Index;
use super::key::{KeyLayout, Keys};
use crate::batch::Vector;
use crate::error::{Code, Error, Result};
use crate::memory::{LINE_WORDS, Lines, prefetch};
use crate::operator::Column;
use bumpalo::Bump;

/// 32 bits that all bits of a tag have a part in.
#[inline]
fn short(tag: u64) -> u32 {
    (tag.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u32
}

/// Words from one row to the next, for rows of `words` words: whole lines where little is left of
/// the last, else rows would lie across more lines than they need.
fn stride(words: usize) -> usize {
    if words % LINE_WORDS > LINE_WORDS / 2 { words.next_multiple_of(LINE_WORDS) } else { words }
}

/// Groups with their keys and accumulators.
pub(crate) struct Table {
    /// All groups, by tag.
    index: Index,
    /// The rows; `stride` words each.
    pub(crate) state: Lines,
    /// Long key text.
    pub(crate) bytes: Lines<u8>,
    /// Words of a row that are used.
    words: usize,
    stride: usize,
    groups: usize,
    /// The row of a new group.
    blank: Vec<u64>,
    /// Bytes of keys written since this was last asked.
    copied: usize,
}

impl Table {
    /// An empty table whose rows have `words` words and lie side by side.
    pub(crate) fn new(words: usize) -> Self {
        Table::with_stride(words, words)
    }

    /// An empty table whose rows have `words` words, in few cache lines each.
    pub(crate) fn in_lines(words: usize) -> Self {
        Table::with_stride(words, stride(words))
    }

    fn with_stride(words: usize, stride: usize) -> Self {
        let mut table = Table {
            index: Index::new(),
            state: Lines::default(),
            bytes: Lines::default(),
            words,
            stride,
            groups: 0,
            blank: Vec::new(),
            copied: 0,
        };
        table.nobody();
        table
    }

    /// Words from one row to the next in a table of [`Table::in_lines`].
    pub(crate) fn stride_of(words: usize) -> usize {
        stride(words)
    }

    /// Words from one row to the next.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// Number of groups.
    pub(crate) fn groups(&self) -> usize {
        self.groups
    }

    /// Which group this is, from 0 in order of insertion.
    #[inline]
    pub(crate) fn number(&self, base: u32) -> usize {
        base as usize / self.stride - 1
    }

    /// Turns bases into [`Table::number`]s. A base is a multiple of the stride, so that the product with
    /// its reciprocal, which is far less than a half wrong, says which without a division.
    pub(crate) fn number_all(&self, bases: &mut [u32]) {
        let part = 1.0 / self.stride as f64;
        bases.iter_mut().for_each(|base| *base = (f64::from(*base) * part + 0.5) as u32 - 1);
    }

    /// Bases of all groups, in order of insertion.
    pub(crate) fn bases(&self) -> Vec<u32> {
        (1..=self.groups).map(|group| (group * self.stride) as u32).collect()
    }

    /// The base of the group added last, or 0.
    pub(crate) fn last(&self) -> u32 {
        (self.groups * self.stride) as u32
    }

    /// Bytes held.
    pub(crate) fn memory(&self) -> usize {
        self.index.memory() + self.state.memory() + self.bytes.memory()
    }

    /// Whether the groups do not stay in a core's own caches.
    pub(crate) fn is_large(&self) -> bool {
        self.index.is_large()
    }

    /// Empties the table for its next use, giving back memory that its last use did not need.
    pub(crate) fn clear(&mut self) {
        let wanted = self.groups * 2;
        self.index.clear(wanted);
        self.state.clear((wanted + 1) * self.stride);
        self.bytes.clear(self.bytes.len() * 2);
        self.groups = 0;
        self.nobody();
    }

    /// Sets `bases` to the group of each row, adding groups (with accumulators as in `initial`, which
    /// is the same in every call).
    pub(crate) fn locate(
        &mut self,
        layout: &KeyLayout,
        keys: &Keys<'_>,
        initial: &[u64],
        bases: &mut [u32],
        scratch: &Bump,
    ) -> Result<()> {
        if layout.width() == 0 {
            bases.fill(self.only_group(keys.tags[0], initial)?);
            return Ok(());
        }
        self.guess(keys.tags, bases);
        self.settle(layout, keys, initial, bases, scratch)
    }

    /// Asks for the memory that [`Table::guess`] is going to need.
    pub(crate) fn expect(&self, tags: &[u64]) {
        self.index.expect(tags.iter().map(|&tag| short(tag)));
    }

    /// Sets `bases` to the groups that rows with these tags probably have, and asks for their memory.
    pub(crate) fn guess(&self, tags: &[u64], bases: &mut [u32]) {
        self.index.guess(tags.iter().map(|&tag| short(tag)), bases);
        if self.is_large() {
            bases.iter().for_each(|&base| prefetch(&self.state, base as usize, self.words));
        }
    }

    /// Sets `bases` to the group of each row, of keys with columns, from what [`Table::guess`] has said
    /// some time before.
    pub(crate) fn settle(
        &mut self,
        layout: &KeyLayout,
        keys: &Keys<'_>,
        initial: &[u64],
        bases: &mut [u32],
        scratch: &Bump,
    ) -> Result<()> {
        let differ = scratch.alloc_slice_fill_copy(bases.len(), 0u64);
        layout.compare_rows(keys, &self.state, bases, &self.bytes, differ);
        let missed = scratch.alloc_slice_fill_copy(bases.len(), 0u16);
        let mut count = 0;
        for (row, differ) in differ.iter().enumerate() {
            missed[count] = row as u16;
            count += usize::from(*differ != 0);
        }
        let (groups, bytes) = (self.groups, self.bytes.len());
        for &row in &missed[..count] {
            bases[usize::from(row)] = self.find_or_add(layout, keys, usize::from(row), initial)?;
        }
        self.copied += (self.groups - groups) * (self.words - initial.len()) * 8 + self.bytes.len() - bytes;
        Ok(())
    }

    /// Bytes of keys written since this was last asked.
    pub(crate) fn take_copied(&mut self) -> usize {
        std::mem::take(&mut self.copied)
    }

    /// The one group of a table without key columns.
    pub(crate) fn only_group(&mut self, tag: u64, initial: &[u64]) -> Result<u32> {
        if self.groups == 0 { self.add_row(tag, initial) } else { Ok(self.stride as u32) }
    }

    /// The key columns of the groups at `bases`, a chunk of them at most.
    pub(crate) fn keys<'a>(&self, layout: &KeyLayout, bases: &[u32], scratch: &'a Bump) -> &'a [Vector<'a>] {
        let mut columns = bumpalo::collections::Vec::with_capacity_in(layout.width(), scratch);
        for (number, &(physical, _)) in layout.columns().iter().enumerate() {
            let mut column = Column::new(physical, scratch);
            layout.read(number, &self.state, bases, &self.bytes, &mut column, 0);
            columns.push(column.finish(bases.len()));
        }
        columns.into_bump_slice()
    }

    /// The group that has the key of `row`, if there is one.
    pub(crate) fn find(&self, layout: &KeyLayout, keys: &Keys<'_>, row: usize) -> Option<u32> {
        let is_it = |base: u32| layout.equals(keys, row, &self.state, base as usize, &self.bytes);
        self.index.find(short(keys.tags[row]), is_it)
    }

    fn find_or_add(&mut self, layout: &KeyLayout, keys: &Keys<'_>, row: usize, initial: &[u64]) -> Result<u32> {
        let tag = keys.tags[row];
        let (state, bytes) = (&*self.state, &self.bytes);
        let hash = short(tag);
        let found = self.index.find(hash, |base| layout.equals(keys, row, state, base as usize, bytes));
        if let Some(base) = found {
            return Ok(base);
        }
        let base = self.add_row(tag, initial)?;
        layout.write(keys, row, &mut self.state, base as usize, &mut self.bytes);
        self.index.insert(hash, base);
        Ok(base)
    }

    fn add_row(&mut self, tag: u64, initial: &[u64]) -> Result<u32> {
        let base = u32::try_from(self.state.len() + self.stride).map_err(|_| {
            let groups = self.groups;
            Error::new(Code::Limit, format!("one group table cannot hold more than {groups} groups of this size"))
                .help("spread the keys over more shards with --shards")
        })? - self.stride as u32;
        if self.blank.is_empty() {
            self.blank.resize(self.words - initial.len(), 0);
            self.blank.extend_from_slice(initial);
            self.blank.resize(self.stride, 0);
        }
        self.state.extend(&self.blank);
        self.state[base as usize] = tag;
        self.groups += 1;
        Ok(base)
    }

    fn nobody(&mut self) {
        let nobody = vec![0; self.stride];
        self.state.extend(&nobody);
        self.state[0] = u64::MAX;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_without_division_are_those_of_division() {
        for words in 1..40 {
            let table = Table::new(words);
            let most = u32::MAX / table.stride as u32;
            let groups = (1..most).step_by(most as usize / 1000).chain([1, 2, 3, most - 1, most]);
            let mut bases: Vec<u32> = groups.map(|group| group * table.stride as u32).collect();
            let expected: Vec<u32> = bases.iter().map(|&base| table.number(base) as u32).collect();
            table.number_all(&mut bases);
            assert_eq!(bases, expected, "{words} words");
        }
    }
}
