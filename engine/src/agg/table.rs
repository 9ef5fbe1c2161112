//! The group table: from keys to rows of state.
//!
//! All of a group stands in one row of words: tag and key (see [`super::key`]), then accumulators.
//! Rows lie one after the other; a group is named by its *base*, the index of its first word. Row 0
//! is nobody's: its tag is one that no key has, so an empty slot (base 0) simply compares unequal.
//!
//! Finding the groups of a chunk takes three passes, each without dependence between rows, so that
//! the core overlaps their cache misses without being told to: read every row's slot; compare every
//! row's key, column by column; walk on for the few rows that had no hit. Slots are at most a quarter
//! full, which makes the first slot right nearly always.

use super::key::{KeyLayout, Keys};
use crate::error::{Code, Error, Result};
use bumpalo::Bump;

/// Slots of an empty table.
const SLOTS_MIN: usize = 2048;
/// One slot in this many is used, at most.
const SLOTS_PER_GROUP: usize = 4;

/// Groups with their keys and accumulators.
pub(crate) struct Table {
    /// Base of a group, by the low bits of the hash and then linearly on; 0 is empty.
    slots: Vec<u32>,
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
        let mut table = Table { slots: vec![0; SLOTS_MIN], state: Vec::new(), bytes: Vec::new(), stride, groups: 0 };
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
        self.slots.capacity() * 4 + self.state.capacity() * 8 + self.bytes.capacity()
    }

    /// Empties the table for its next use, giving back memory that its last use did not need.
    pub(crate) fn clear(&mut self) {
        let wanted = (self.groups * SLOTS_PER_GROUP * 2).next_power_of_two().max(SLOTS_MIN);
        if self.slots.len() > wanted {
            self.slots = vec![0; wanted];
            self.state.shrink_to(wanted / SLOTS_PER_GROUP * self.stride);
            self.bytes.shrink_to(self.bytes.len() * 2);
        } else {
            self.slots.fill(0);
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
        let mask = self.slots.len() - 1;
        for (base, &tag) in bases.iter_mut().zip(keys.tags) {
            *base = self.slots[tag as usize & mask];
        }
        let differ = scratch.alloc_slice_fill_copy(bases.len(), 0u64);
        layout.compare_rows(keys, &self.state, bases, &self.bytes, differ);
        let missed = scratch.alloc_slice_fill_copy(bases.len(), 0u16);
        let mut count = 0;
        for (row, differ) in differ.iter().enumerate() {
            missed[count] = row as u16;
            count += usize::from(*differ != 0);
        }
        for &row in &missed[..count] {
            bases[usize::from(row)] = self.find_or_add(layout, keys, usize::from(row), initial)?;
        }
        Ok(())
    }

    /// The one group of a table without key columns.
    pub(crate) fn only_group(&mut self, tag: u64, initial: &[u64]) -> Result<u32> {
        if self.groups == 0 { self.add_row(tag, initial) } else { Ok(self.stride as u32) }
    }

    fn find_or_add(&mut self, layout: &KeyLayout, keys: &Keys<'_>, row: usize, initial: &[u64]) -> Result<u32> {
        let tag = keys.tags[row];
        let mask = self.slots.len() - 1;
        let mut slot = tag as usize & mask;
        loop {
            let base = self.slots[slot];
            if base == 0 {
                break;
            }
            if layout.equals(keys, row, &self.state, base as usize, &self.bytes) {
                return Ok(base);
            }
            slot = (slot + 1) & mask;
        }
        let base = self.add_row(tag, initial)?;
        layout.write(keys, row, &mut self.state, base as usize, &mut self.bytes);
        self.slots[slot] = base;
        if self.groups * SLOTS_PER_GROUP > self.slots.len() {
            self.grow();
        }
        Ok(base)
    }

    fn add_row(&mut self, tag: u64, initial: &[u64]) -> Result<u32> {
        let base = u32::try_from(self.state.len() + self.stride).map_err(|_| {
            let groups = self.groups;
            Error::new(Code::Limit, format!("one group table cannot hold more than {groups} groups of this size"))
                .help("spread the keys over more shards with --shards")
        })? - self.stride as u32;
        let words = self.stride - initial.len();
        self.state.resize(self.state.len() + words, 0);
        self.state.extend_from_slice(initial);
        self.state[base as usize] = tag;
        self.groups += 1;
        Ok(base)
    }

    fn grow(&mut self) {
        let mut slots = vec![0u32; self.slots.len() * 2];
        let mask = slots.len() - 1;
        for group in 1..=self.groups {
            let base = group * self.stride;
            let mut slot = self.state[base] as usize & mask;
            while slots[slot] != 0 {
                slot = (slot + 1) & mask;
            }
            slots[slot] = base as u32;
        }
        self.slots = slots;
    }

    fn nobody(&mut self) {
        self.state.resize(self.stride, 0);
        self.state[0] = u64::MAX;
    }
}
