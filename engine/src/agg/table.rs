//! The group table: from keys to rows of state.
//!
//! All of a group stands in one row of words: tag and key (see [`super::key`]), then accumulators.
//! Rows lie one after the other; a group is named by its *base*, the index of its first word. Row 0
//! is nobody's: its tag is one that no key has, so an empty slot (base 0) simply compares unequal.
//!
//! In front of the [`super::index`] stand *guesses*: one base per slot of a plain array, by the low bits
//! of the hash, the first group to come keeping the slot. Finding the groups of a chunk takes three
//! passes, each without dependence between rows, so that the core overlaps their cache misses without
//! being told to: read every row's guess; compare every row's key, column by column; ask the index for
//! the few rows whose guess was wrong. There are four slots for a group, so a guess is right nearly
//! always; of a large table, whose slots are not in the cache, one or two.

use super::index::Index;
use super::key::{KeyLayout, Keys};
use crate::error::{Code, Error, Result};
use crate::memory::prefer_huge_pages;
use bumpalo::Bump;

/// Guesses of an empty table.
const GUESSES_MIN: usize = 2048;
/// There are at least as many guesses for a group.
const GUESSES_PER_GROUP: usize = 4;

/// 32 bits that all bits of a tag have a part in.
#[inline]
fn short(tag: u64) -> u32 {
    (tag.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u32
}

/// Groups with their keys and accumulators.
pub(crate) struct Table {
    /// All groups, by tag.
    index: Index,
    /// Base of a group whose tag has these low bits; 0 is none.
    guesses: Vec<u32>,
    /// The rows; `stride` words each.
    pub(crate) state: Vec<u64>,
    /// Long key text.
    pub(crate) bytes: Vec<u8>,
    stride: usize,
    groups: usize,
}

impl Table {
    /// An empty table whose rows have `stride` words.
    pub(crate) fn new(stride: usize) -> Self {
        let mut table = Table {
            index: Index::new(),
            guesses: vec![0; GUESSES_MIN],
            state: Vec::new(),
            bytes: Vec::new(),
            stride,
            groups: 0,
        };
        table.nobody();
        table
    }

    /// Number of groups.
    pub(crate) fn groups(&self) -> usize {
        self.groups
    }

    /// Bases of all groups, in order of insertion.
    pub(crate) fn bases(&self) -> Vec<u32> {
        (1..=self.groups).map(|group| (group * self.stride) as u32).collect()
    }

    /// Bytes held.
    pub(crate) fn memory(&self) -> usize {
        self.index.memory() + self.guesses.capacity() * 4 + self.state.capacity() * 8 + self.bytes.capacity()
    }

    /// Empties the table for its next use, giving back memory that its last use did not need.
    pub(crate) fn clear(&mut self) {
        let wanted = (self.groups * GUESSES_PER_GROUP * 2).next_power_of_two().max(GUESSES_MIN);
        self.index.clear(wanted / GUESSES_PER_GROUP);
        if self.guesses.len() > wanted {
            self.guesses = vec![0; wanted];
            self.state.shrink_to(wanted / GUESSES_PER_GROUP * self.stride);
            self.bytes.shrink_to(self.bytes.len() * 2);
        } else {
            self.guesses.fill(0);
        }
        self.state.clear();
        self.bytes.clear();
        self.groups = 0;
        self.nobody();
    }

    /// Sets `bases` to the group of each row, adding groups (with accumulators as in `initial`).
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
        let mask = self.guesses.len() - 1;
        for (base, &tag) in bases.iter_mut().zip(keys.tags) {
            *base = self.guesses[tag as usize & mask];
        }
        let differ = scratch.alloc_slice_fill_copy(bases.len(), 0u64);
        layout.compare_rows(keys, &self.state, bases, &self.bytes, differ);
        let missed = scratch.alloc_slice_fill_copy(bases.len(), 0u16);
        let mut count = 0;
        for (row, differ) in differ.iter().enumerate() {
            missed[count] = row as u16;
            count += usize::from(*differ != 0);
        }
        let missed = &missed[..count];
        if self.index.is_large() {
            self.index.warm(missed.iter().map(|&row| short(keys.tags[usize::from(row)])));
        }
        for &row in missed {
            bases[usize::from(row)] = self.find_or_add(layout, keys, usize::from(row), initial)?;
        }
        Ok(())
    }

    /// The one group of a table without key columns.
    pub(crate) fn only_group(&mut self, tag: u64, initial: &[u64]) -> Result<u32> {
        if self.groups == 0 { self.add_row(tag, initial) } else { Ok(self.stride as u32) }
    }

    /// The group that has the key of `row`, if there is one.
    pub(crate) fn find(&self, layout: &KeyLayout, keys: &Keys<'_>, row: usize) -> Option<u32> {
        let is_it = |base: u32| layout.equals(keys, row, &self.state, base as usize, &self.bytes);
        self.index.find(short(keys.tags[row]), is_it)
    }

    fn find_or_add(&mut self, layout: &KeyLayout, keys: &Keys<'_>, row: usize, initial: &[u64]) -> Result<u32> {
        let tag = keys.tags[row];
        let (state, bytes) = (&self.state, &self.bytes);
        let hash = short(tag);
        let found = self.index.find(hash, |base| layout.equals(keys, row, state, base as usize, bytes));
        if let Some(base) = found {
            self.guess(base);
            return Ok(base);
        }
        let base = self.add_row(tag, initial)?;
        layout.write(keys, row, &mut self.state, base as usize, &mut self.bytes);
        self.index.insert(hash, base);
        let slots = if self.index.is_large() { 1 } else { GUESSES_PER_GROUP };
        if self.groups * slots > self.guesses.len() {
            self.guess_again();
        }
        self.guess(base);
        Ok(base)
    }

    /// Takes the slot of a group's guess, if it is free.
    #[inline]
    fn guess(&mut self, base: u32) {
        let slot = self.state[base as usize] as usize & (self.guesses.len() - 1);
        if self.guesses[slot] == 0 {
            self.guesses[slot] = base;
        }
    }

    /// Twice as many slots. They fill as groups are looked for: no row waits for all of them.
    fn guess_again(&mut self) {
        self.guesses = vec![0; self.guesses.len() * 2];
        prefer_huge_pages(&mut self.guesses);
    }

    fn add_row(&mut self, tag: u64, initial: &[u64]) -> Result<u32> {
        let base = u32::try_from(self.state.len() + self.stride).map_err(|_| {
            let groups = self.groups;
            Error::new(Code::Limit, format!("one group table cannot hold more than {groups} groups of this size"))
                .help("spread the keys over more shards with --shards")
        })? - self.stride as u32;
        if self.state.capacity() - self.state.len() < self.stride {
            self.state.reserve(self.state.len().max(self.stride));
            prefer_huge_pages(&mut self.state);
        }
        let words = self.stride - initial.len();
        self.state.resize(self.state.len() + words, 0);
        self.state.extend_from_slice(initial);
        self.state[base as usize] = tag;
        self.groups += 1;
        Ok(base)
    }

    fn nobody(&mut self) {
        self.state.resize(self.stride, 0);
        self.state[0] = u64::MAX;
    }
}
