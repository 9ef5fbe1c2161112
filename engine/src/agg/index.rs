//! The index of a group table: from a hash to the groups that have it.
//!
//! Open addressing: a slot holds a group's hash and base, and a group stands at the place of its hash
//! or at the next free slot behind it. The place is made of the hash's *uppermost* bits, so that groups
//! stand nearly in order of hash, and in twice as many slots stand in the same order. So growing walks
//! from left to right through the old slots and the new, and a large index grows a few slots with
//! every group that is added: what lies left of [`Index::moved`] has moved. No row waits for all.

use crate::memory::{Lines, prefetch};

/// Slots of an empty index.
const SLOTS_MIN: usize = 256;
/// From this many slots on an index is large: it is not in a core's own caches, where more slots
/// for a group cost more than they save, and it grows by and by.
const SLOTS_LARGE: usize = if cfg!(test) { 1 << 10 } else { 1 << 15 };
/// There are at least as many slots for a group, while the index is small and when it is large.
const SLOTS_PER_GROUP: [usize; 2] = [4, 2];
/// Old slots that move at least when a group is added. Two would do: then all have moved when the
/// new ones are full.
const STEP: usize = 8;

/// Slots whose number is a power of two, and some more behind them for groups whose place is near
/// the end.
#[derive(Default)]
struct Slots {
    /// Hash (upper half) and base of a group; 0 is nobody.
    slots: Lines,
    /// How far a hash is shifted to make its place.
    shift: u32,
}

impl Slots {
    fn new(count: usize) -> Self {
        // One more is always there: places are looked at in pairs.
        Slots { slots: Lines::zeros(count + 1), shift: 32 - count.trailing_zeros() }
    }

    /// Places that hashes can have.
    fn count(&self) -> usize {
        1 << (32 - self.shift)
    }

    #[inline]
    fn place(&self, hash: u32) -> usize {
        (u64::from(hash) >> self.shift) as usize
    }

    fn put(&mut self, mut at: usize, hash: u32, base: u32) {
        while self.slots.get(at).is_some_and(|&slot| slot != 0) {
            at += 1;
        }
        if at == self.slots.len() {
            self.slots.extend(&[0]);
        }
        self.slots[at] = u64::from(hash) << 32 | u64::from(base);
    }
}

/// Groups by hash.
pub(crate) struct Index {
    slots: Slots,
    /// While it grows: the slots of before.
    old: Slots,
    /// Groups whose place among the old slots is less stand among the new ones.
    moved: usize,
    groups: usize,
}

impl Index {
    pub(crate) fn new() -> Self {
        Index { slots: Slots::new(SLOTS_MIN), old: Slots::default(), moved: 0, groups: 0 }
    }

    /// The slots in which groups of this hash are.
    #[inline]
    fn slots_of(&self, hash: u32) -> &Slots {
        // Nothing is old most of the time: then `moved` is 0 and the old places are as well.
        if self.old.slots.is_empty() || self.old.place(hash) < self.moved { &self.slots } else { &self.old }
    }

    /// Asks for the slots in which groups of these hashes are.
    pub(crate) fn expect(&self, hashes: impl Iterator<Item = u32>) {
        for hash in hashes {
            let slots = self.slots_of(hash);
            prefetch(&slots.slots, slots.place(hash), 1);
        }
    }

    /// Sets `bases` to a group that has each hash, if it stands in one of the first two slots; else to
    /// 0. Nothing depends on another row, so that the cache misses overlap.
    pub(crate) fn guess(&self, hashes: impl Iterator<Item = u32>, bases: &mut [u32]) {
        if self.old.slots.is_empty() {
            guess(hashes, bases, |_| &self.slots);
        } else {
            guess(hashes, bases, |hash| self.slots_of(hash));
        }
    }

    /// The base of the group that has this hash and is the one looked for.
    #[inline]
    pub(crate) fn find(&self, hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let slots = self.slots_of(hash);
        for &slot in &slots.slots[slots.place(hash)..] {
            if slot == 0 {
                return None;
            }
            if (slot >> 32) as u32 == hash && is_it(slot as u32) {
                return Some(slot as u32);
            }
        }
        None
    }

    /// Adds a group that is not in it.
    pub(crate) fn insert(&mut self, hash: u32, base: u32) {
        let is_old = !self.old.slots.is_empty() && self.old.place(hash) >= self.moved;
        let slots = if is_old { &mut self.old } else { &mut self.slots };
        slots.put(slots.place(hash), hash, base);
        self.groups += 1;
        if !self.old.slots.is_empty() {
            self.step(STEP);
        }
        if self.groups * SLOTS_PER_GROUP[usize::from(self.is_large())] > self.slots.count() && self.slots.shift > 0 {
            self.grow();
        }
    }

    /// Whether it is so large that looking up is mostly waiting for memory.
    pub(crate) fn is_large(&self) -> bool {
        self.slots.count() >= SLOTS_LARGE
    }

    fn grow(&mut self) {
        while !self.old.slots.is_empty() {
            self.step(self.old.slots.len());
        }
        let is_large = self.is_large();
        let twice = Slots::new(self.slots.count() * 2);
        self.old = std::mem::replace(&mut self.slots, twice);
        if !is_large {
            self.step(self.old.slots.len());
        }
    }

    /// Moves the groups of some old slots, up to an empty one: no group behind it has its place before.
    fn step(&mut self, slots: usize) {
        let end = self.moved + slots;
        while let Some(&slot) = self.old.slots.get(self.moved) {
            self.moved += 1;
            if slot == 0 {
                if self.moved >= end {
                    break;
                }
                continue;
            }
            let hash = (slot >> 32) as u32;
            self.slots.put(self.slots.place(hash), hash, slot as u32);
        }
        if self.moved >= self.old.slots.len() {
            self.old = Slots::default();
            self.moved = 0;
        }
    }

    pub(crate) fn memory(&self) -> usize {
        self.slots.slots.memory() + self.old.slots.memory()
    }

    /// Empties it, keeping memory for `wanted` groups.
    pub(crate) fn clear(&mut self, wanted: usize) {
        let slots = (wanted * SLOTS_PER_GROUP[0]).next_power_of_two().max(SLOTS_MIN);
        if self.slots.count() > slots {
            self.slots = Slots::new(slots);
        } else {
            self.slots.slots.fill(0);
        }
        self.old = Slots::default();
        self.moved = 0;
        self.groups = 0;
    }
}

#[inline]
fn guess<'i>(hashes: impl Iterator<Item = u32>, bases: &mut [u32], slots_of: impl Fn(u32) -> &'i Slots) {
    for (base, hash) in bases.iter_mut().zip(hashes) {
        let slots = slots_of(hash);
        let at = slots.place(hash);
        let [first, second] = [slots.slots[at], slots.slots[at + 1]];
        let is = |slot: u64| (slot >> 32) as u32 == hash;
        let second = if is(second) { second as u32 } else { 0 };
        *base = if is(first) { first as u32 } else { second };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hash of some group; a quarter of them have the hash of another.
    fn hash(group: u32) -> u32 {
        (group / 4 * 3).wrapping_mul(0x9E37_79B9)
    }

    #[test]
    fn groups_are_found_however_far_it_has_grown() {
        let mut index = Index::new();
        for wanted in [0, 9 * SLOTS_LARGE] {
            index.clear(wanted);
            for group in 1..3 * SLOTS_LARGE as u32 {
                assert_eq!(index.find(hash(group), |base| base == group), None);
                index.insert(hash(group), group);
                let known = group.wrapping_mul(7919) % group + 1;
                assert_eq!(index.find(hash(known), |base| base == known), Some(known));
            }
            assert!(index.is_large());
            for group in 1..3 * SLOTS_LARGE as u32 {
                assert_eq!(index.find(hash(group), |base| base == group), Some(group));
            }
        }
        index.clear(0);
        assert_eq!(index.find(hash(1), |_| true), None);
        assert!(!index.is_large() && index.memory() <= 16 * SLOTS_MIN);
    }

    #[test]
    fn guesses_are_groups_of_that_hash_or_nobody() {
        let mut index = Index::new();
        let mut right = 0;
        for group in 1..4000 {
            index.insert(hash(group), group);
            let mut bases = [9, 9];
            index.guess([hash(group), hash(group) ^ 1].into_iter(), &mut bases);
            assert!(bases[0] == 0 || hash(bases[0]) == hash(group));
            right += usize::from(bases[0] != 0);
            assert_eq!(bases[1], 0);
        }
        assert!(right > 3000, "{right}");
    }

    #[test]
    fn groups_whose_place_is_the_last_stand_behind_it() {
        let mut index = Index::new();
        for group in 1..3000 {
            index.insert(u32::MAX - group % 3, group);
        }
        for group in 1..3000 {
            assert_eq!(index.find(u32::MAX - group % 3, |base| base == group), Some(group));
        }
        assert_eq!(index.find(0, |_| true), None);
    }
}
