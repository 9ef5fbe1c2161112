//! Which rows of a chunk go to which owner.

use std::ops::Range;

use corelane_engine::batch::BATCH_ROWS;
use corelane_engine::hash::{self, KEY_GROUPS};
use corelane_engine::owners::Owners;

/// Up to so many owners the rows are looked through once for each of them: a count that stays in a register
/// beats one in memory, which the next row of the same owner waits for.
const PASSES_MAX: usize = 4;

/// The rows of one chunk after another, by owner.
pub(super) struct Deal {
    /// Key groups by owner.
    groups: Box<[Range<usize>]>,
    /// Owner by key group.
    owner: Box<[u8; KEY_GROUPS]>,
    rows: Box<[[u16; BATCH_ROWS]]>,
    counts: Box<[usize]>,
}

impl Deal {
    /// A deal among `shards` owners, 256 at most.
    pub(super) fn new(owners: &Owners, shards: usize) -> Self {
        let groups: Box<[_]> = (0..shards).map(|shard| owners.groups(shard, shards)).collect();
        let mut owner = Box::new([0; KEY_GROUPS]);
        for (shard, groups) in groups.iter().enumerate() {
            owner[groups.clone()].fill(u8::try_from(shard).expect("256 shards at most"));
        }
        // One owner has all rows of every chunk.
        let rows = vec![std::array::from_fn(|row| row as u16); shards].into();
        Deal { groups, owner, rows, counts: vec![0; shards].into() }
    }

    /// Deals rows with these hashes, [`BATCH_ROWS`] at most.
    pub(super) fn deal(&mut self, hashes: &[u64]) {
        assert!(hashes.len() <= BATCH_ROWS);
        match self.groups.len() {
            1 => self.counts[0] = hashes.len(),
            2..=PASSES_MAX => {
                for ((groups, rows), count) in self.groups.iter().zip(&mut self.rows).zip(&mut self.counts) {
                    *count = pick(hashes, groups, rows);
                }
            }
            _ => {
                self.counts.fill(0);
                for (row, &hash) in hashes.iter().enumerate() {
                    let owner = usize::from(self.owner[hash::key_group(hash)]);
                    self.rows[owner][self.counts[owner]] = row as u16;
                    self.counts[owner] += 1;
                }
            }
        }
    }

    /// The rows dealt to `owner`, in order.
    pub(super) fn rows(&self, owner: usize) -> &[u16] {
        &self.rows[owner][..self.counts[owner]]
    }
}

/// Puts the rows whose key groups are in `groups` to the front of `rows`, without a branch; returns how many.
fn pick(hashes: &[u64], groups: &Range<usize>, rows: &mut [u16; BATCH_ROWS]) -> usize {
    let (first, length) = (groups.start, groups.len());
    let mut count = 0;
    for (row, &hash) in hashes.iter().enumerate() {
        rows[count % BATCH_ROWS] = row as u16;
        count += usize::from(hash::key_group(hash).wrapping_sub(first) < length);
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_goes_to_the_owner_of_its_hash() {
        let hashes: Vec<u64> = (0..BATCH_ROWS as u64).map(|row| row.wrapping_mul(0x9E37_79B9_7F4A_7C15)).collect();
        for shards in [1, 2, 3, 4, 5, 7, 64, 256] {
            let mut deal = Deal::new(&Owners::default(), shards);
            for hashes in [&hashes[..], &hashes[..100], &[]] {
                deal.deal(hashes);
                for owner in 0..shards {
                    let owned = |&row: &u16| Owners::default().owner(hashes[usize::from(row)], shards) == owner;
                    let expected: Vec<u16> = (0..hashes.len() as u16).filter(owned).collect();
                    assert_eq!(deal.rows(owner), expected, "{shards} shards");
                }
            }
        }
    }
}
