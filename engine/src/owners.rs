//! Which shard owns which key groups.
//!
//! Contiguous ranges of key groups belong to the shards: even ones, unless rows seen beforehand say that a
//! few keys bring most rows. Ten keys seldom fall into two halves of five; the bound between two shards may
//! then move, by a quarter of a shard's share at most, to where the rows are halved. What was seen may be
//! untypical of what comes, and then no shard is left with more than one and a half of its share of the keys.

use std::ops::Range;
use std::sync::Arc;

use crate::hash::{KEY_GROUPS, key_group};

/// Rows seen, by key group.
pub type RowsByGroup = [u32; KEY_GROUPS];

/// How much of a group's weight is its rows'; the rest is even, for the rows not seen.
const WEIGHT_SEEN: f64 = 0.75;
/// By how many standard deviations of a sample the rows of a shard must exceed its share before bounds move.
const DEVIATIONS: f64 = 3.0;

/// The owners of all key groups; even ranges by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owners {
    /// The first key group of every shard, then their number; none where ranges are even.
    bounds: Option<Arc<[usize]>>,
}

impl Owners {
    /// Ranges for `shards` shards that share out `rows` as evenly as bounds that may move a little can: a
    /// function of these rows alone.
    pub fn balanced(rows: &RowsByGroup, shards: usize) -> Owners {
        let total: f64 = rows.iter().map(|&rows| f64::from(rows)).sum();
        let most = |owners: &Owners| {
            let of = |shard| rows[owners.groups(shard, shards)].iter().map(|&rows| f64::from(rows)).sum::<f64>();
            (0..shards).map(of).fold(0.0, f64::max)
        };
        let (even, share) = (Owners::default(), total / shards as f64);
        if total == 0.0 || most(&even) <= share + DEVIATIONS * share.sqrt() {
            return even;
        }
        let mut before = vec![0.0; KEY_GROUPS + 1];
        for (group, &rows) in rows.iter().enumerate() {
            let weight = WEIGHT_SEEN * f64::from(rows) / total + (1.0 - WEIGHT_SEEN) / KEY_GROUPS as f64;
            before[group + 1] = before[group] + weight;
        }
        let leeway = KEY_GROUPS / (4 * shards);
        let bound = |shard: usize| {
            let middle = even.groups(shard, shards).start;
            let off = |&group: &usize| (before[group] - shard as f64 / shards as f64).abs();
            let nearer = |one: &usize, other: &usize| off(one).total_cmp(&off(other));
            (middle - leeway..=middle + leeway).min_by(nearer).expect("the range is not empty")
        };
        let inner = (1..shards).map(bound);
        let bounds = std::iter::once(0).chain(inner).chain(std::iter::once(KEY_GROUPS)).collect();
        let moved = Owners { bounds: Some(bounds) };
        if most(&moved) < most(&even) { moved } else { even }
    }

    /// The key groups that `shard` of `shards` owns.
    pub fn groups(&self, shard: usize, shards: usize) -> Range<usize> {
        match &self.bounds {
            Some(bounds) => {
                assert_eq!(bounds.len(), shards + 1, "bounds are made for a number of shards");
                bounds[shard]..bounds[shard + 1]
            }
            None => (shard * KEY_GROUPS).div_ceil(shards)..((shard + 1) * KEY_GROUPS).div_ceil(shards),
        }
    }

    /// The owner of a hash among `shards`.
    pub fn owner(&self, hash: u64, shards: usize) -> usize {
        match &self.bounds {
            Some(bounds) => bounds[1..shards].partition_point(|&bound| bound <= key_group(hash)),
            None => (key_group(hash) * shards) >> KEY_GROUPS.ilog2(),
        }
    }

    /// A hash that `shard` of `shards` owns.
    pub fn hash_of(&self, shard: usize, shards: usize) -> u64 {
        (self.groups(shard, shards).start as u64) << (u64::BITS - KEY_GROUPS.ilog2())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cover(owners: &Owners, shards: usize) {
        let mut next = 0;
        for shard in 0..shards {
            let groups = owners.groups(shard, shards);
            assert_eq!(groups.start, next);
            next = groups.end;
            for group in [groups.start, groups.end - 1] {
                assert_eq!(owners.owner((group as u64) << 52 | 7, shards), shard);
            }
            assert_eq!(owners.owner(owners.hash_of(shard, shards), shards), shard);
        }
        assert_eq!(next, KEY_GROUPS);
    }

    fn seen(groups: &[usize], rows: u32) -> Box<RowsByGroup> {
        let mut all = Box::new([0; KEY_GROUPS]);
        groups.iter().for_each(|&group| all[group] += rows);
        all
    }

    #[test]
    fn owners_are_contiguous_and_cover_all_groups() {
        for shards in [1, 2, 3, 7, 64, 256] {
            cover(&Owners::default(), shards);
            cover(&Owners::balanced(&seen(&[5, 9, 4000], 1000), shards), shards);
        }
    }

    #[test]
    fn ten_keys_are_halved() {
        let rows = seen(&[903, 1170, 1227, 1371, 2218, 2592, 2741, 3133, 3303, 3762], 100);
        let owners = Owners::balanced(&rows, 2);
        let first = owners.groups(0, 2);
        assert_eq!(rows[first].iter().sum::<u32>(), 500);
        cover(&owners, 2);
    }

    #[test]
    fn bounds_stay_where_rows_are_even_but_for_chance() {
        let mut rows = seen(&[], 0);
        (0..KEY_GROUPS).for_each(|group| rows[group] = (group * 7 % 3) as u32);
        assert_eq!(Owners::balanced(&rows, 8), Owners::default());
        assert_eq!(Owners::balanced(&seen(&[], 0), 2), Owners::default());
    }

    #[test]
    fn untypical_rows_leave_every_shard_a_fair_share() {
        for shards in [2, 4, 64] {
            let owners = Owners::balanced(&seen(&[0], 10_000), shards);
            for shard in 0..shards {
                let groups = owners.groups(shard, shards).len();
                let share = KEY_GROUPS / shards;
                assert!((share / 2..=share * 3 / 2).contains(&groups), "{groups} groups of {shards} shards");
            }
        }
    }
}
