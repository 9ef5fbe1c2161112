//! The index of a group table: from a hash to the groups that have it.
//!
//! hashbrown's table of (base, hash): the hash is held too, so that growing does not visit the groups.
//! From [`PARTS_FROM`] groups on there are [`PARTS`] tables, by bits of the hash, each of which grows
//! on its own: no row waits for a large table to be built anew.

use hashbrown::HashTable;

/// Tables of a large index.
const PARTS: usize = 256;
/// Groups from which an index is large.
const PARTS_FROM: usize = if cfg!(test) { 1 << 10 } else { 1 << 16 };

#[derive(Clone, Copy)]
struct Entry {
    base: u32,
    hash: u32,
}

impl Entry {
    /// hashbrown takes seven bits from the top and the place from the bottom; the bits that choose the
    /// part are in neither.
    #[inline]
    fn place(hash: u32) -> u64 {
        u64::from(hash & 0x00FF_FFFF) | u64::from(hash >> 17 & 0x7F) << 57
    }
}

/// Groups by hash.
pub(crate) struct Index {
    /// One, or [`PARTS`].
    parts: Vec<HashTable<Entry>>,
    groups: usize,
}

impl Index {
    pub(crate) fn new() -> Self {
        Index { parts: vec![HashTable::new()], groups: 0 }
    }

    #[inline]
    fn part(&self, hash: u32) -> usize {
        // All bits of the uppermost eight, or none.
        (hash >> 24) as usize & (self.parts.len() - 1)
    }

    /// The base of the group that has this hash and is the one looked for.
    #[inline]
    pub(crate) fn find(&self, hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let found =
            self.parts[self.part(hash)].find(Entry::place(hash), |entry| entry.hash == hash && is_it(entry.base));
        found.map(|entry| entry.base)
    }

    /// Adds a group that is not in it.
    pub(crate) fn insert(&mut self, hash: u32, base: u32) {
        if self.groups == PARTS_FROM && self.parts.len() == 1 {
            self.split();
        }
        let part = self.part(hash);
        self.parts[part].insert_unique(Entry::place(hash), Entry { base, hash }, |entry| Entry::place(entry.hash));
        self.groups += 1;
    }

    /// Reads what looking for these hashes will read, without waiting for one before the next.
    pub(crate) fn warm(&self, hashes: impl Iterator<Item = u32>) {
        let found = hashes.filter(|&hash| self.find(hash, |_| false).is_some()).count();
        std::hint::black_box(found);
    }

    /// Whether it is so large that looking up is mostly waiting for memory.
    pub(crate) fn is_large(&self) -> bool {
        self.parts.len() > 1
    }

    fn split(&mut self) {
        let each = self.groups / PARTS * 2;
        let one = std::mem::replace(&mut self.parts, (0..PARTS).map(|_| HashTable::with_capacity(each)).collect());
        for entry in one[0].iter() {
            let part = self.part(entry.hash);
            self.parts[part].insert_unique(Entry::place(entry.hash), *entry, |entry| Entry::place(entry.hash));
        }
    }

    pub(crate) fn memory(&self) -> usize {
        self.parts.iter().map(HashTable::allocation_size).sum()
    }

    /// Empties it, keeping memory for `wanted` groups.
    pub(crate) fn clear(&mut self, wanted: usize) {
        if self.is_large() && wanted < PARTS_FROM {
            *self = Index::new();
        }
        let each = wanted / self.parts.len();
        for part in &mut self.parts {
            part.clear();
            part.shrink_to(each, |_| 0);
        }
        self.groups = 0;
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
    fn groups_are_found_before_and_after_the_split() {
        let mut index = Index::new();
        for round in 0..2 {
            for group in 0..3 * PARTS_FROM as u32 {
                assert_eq!(index.find(hash(group), |base| base == group), None);
                index.insert(hash(group), group);
                assert_eq!(index.is_large(), round == 1 || group >= PARTS_FROM as u32);
            }
            index.warm((0..9).map(hash));
            for group in 0..3 * PARTS_FROM as u32 {
                assert_eq!(index.find(hash(group), |base| base == group), Some(group));
            }
            index.clear(2 * PARTS_FROM);
            assert_eq!(index.find(hash(1), |_| true), None);
        }
        index.clear(0);
        assert!(!index.is_large() && index.memory() == 0);
    }
}
