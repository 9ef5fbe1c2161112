//! Rows by the hash of their key: heads of chains by bits of the hash, and per row the hash and the
//! next row of its chain. Rows are numbered as they come, so a chain goes from new rows to old ones,
//! and where the numbers fall below the first row still held, it ends.

/// No row.
pub(crate) const NONE: u32 = u32::MAX;
/// Heads of the smallest index.
const HEADS_MIN: usize = 1 << 10;

#[derive(Clone, Copy)]
struct Link {
    hash: u32,
    next: u32,
}

/// The chains.
pub(crate) struct Index {
    heads: Vec<u32>,
    links: Vec<Link>,
}

/// The bits of a key's hash that an index uses: not the uppermost ones, which the keys of a shard share.
#[inline]
pub(crate) fn bits(hash: u64) -> u32 {
    (hash >> 16) as u32
}

impl Index {
    pub(crate) fn new() -> Self {
        Index { heads: vec![NONE; HEADS_MIN], links: Vec::new() }
    }

    /// Rows ever put in since the last [`Index::forget`], those not found by any hash included.
    pub(crate) fn rows(&self) -> usize {
        self.links.len()
    }

    /// Adds rows behind those there are; a row that `hidden` marks has a number, but is found by no hash.
    pub(crate) fn insert(&mut self, hashes: &[u64], hidden: Option<&[u64]>) {
        if self.links.len() + hashes.len() > self.heads.len() {
            self.grow(self.links.len() + hashes.len());
        }
        let mask = self.heads.len() - 1;
        for (row, &hash) in hashes.iter().enumerate() {
            let number = self.links.len() as u32;
            let hash = bits(hash);
            if hidden.is_some_and(|hidden| hidden[row / 64] >> (row % 64) & 1 == 1) {
                self.links.push(Link { hash, next: HIDDEN });
                continue;
            }
            let head = &mut self.heads[hash as usize & mask];
            self.links.push(Link { hash, next: std::mem::replace(head, number) });
        }
    }

    fn grow(&mut self, rows: usize) {
        self.heads = vec![NONE; rows.next_power_of_two().max(2 * self.heads.len())];
        self.chain();
    }

    /// Makes the chains anew.
    fn chain(&mut self) {
        let mask = self.heads.len() - 1;
        for (number, link) in self.links.iter_mut().enumerate().filter(|(_, link)| link.next != HIDDEN) {
            let head = &mut self.heads[link.hash as usize & mask];
            link.next = std::mem::replace(head, number as u32);
        }
    }

    /// Forgets the first `count` rows; those behind them get lower numbers.
    pub(crate) fn forget(&mut self, count: usize) {
        self.links.drain(..count);
        let heads = self.links.len().next_power_of_two().max(HEADS_MIN);
        self.heads.clear();
        self.heads.resize(heads, NONE);
        self.chain();
    }

    /// Reads what looking for these hashes will read, without waiting for one before the next; returns
    /// the first row of each chain.
    pub(crate) fn heads(&self, hashes: &[u64], heads: &mut Vec<u32>) {
        let mask = self.heads.len() - 1;
        heads.clear();
        heads.extend(hashes.iter().map(|&hash| self.heads[bits(hash) as usize & mask]));
        let links = heads.iter().filter_map(|&head| self.links.get(head as usize));
        std::hint::black_box(links.fold(0, |all, link| all ^ link.next));
    }

    /// The first row of the chain of `hash`.
    pub(crate) fn head(&self, hash: u64) -> u32 {
        self.heads[bits(hash) as usize & (self.heads.len() - 1)]
    }

    /// Appends the rows of the chain from `head` on that have this hash, the newest first, down to row
    /// `first`.
    #[inline]
    pub(crate) fn find(&self, head: u32, hash: u64, first: u32, found: &mut Vec<u32>) {
        let hash = bits(hash);
        let mut row = head;
        while row != NONE && row >= first {
            let link = self.links[row as usize];
            if link.hash == hash {
                found.push(row);
            }
            row = link.next;
        }
    }

    pub(crate) fn memory(&self) -> usize {
        self.heads.capacity() * size_of::<u32>() + self.links.capacity() * size_of::<Link>()
    }
}

/// In place of the next row: this one is in no chain.
const HIDDEN: u32 = u32::MAX - 1;

#[cfg(test)]
mod tests {
    use super::*;

    /// Few hashes, so that chains are long; every eighth row is hidden.
    #[test]
    fn chains_hold_what_a_scan_finds_through_growth_and_forgetting() {
        let hash_of = |number: u64| (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % 37) << 16;
        let mut index = Index::new();
        let (mut first, mut next) = (0u64, 0u64);
        for round in 0..50u64 {
            let hashes: Vec<u64> = (next..next + 100).map(hash_of).collect();
            let hidden = [0x0101_0101_0101_0101u64; 2];
            index.insert(&hashes, Some(&hidden));
            next += 100;
            if round % 7 == 6 {
                index.forget(300);
                first += 300;
            }
            let skipped = 150.min(next - first);
            for wanted in (0..37u64).map(|hash| hash << 16) {
                let (mut heads, mut found) = (Vec::new(), Vec::new());
                index.heads(&[wanted], &mut heads);
                index.find(heads[0], wanted, skipped as u32, &mut found);
                let is_wanted = |number: &u64| hash_of(*number) == wanted && !(number % 100).is_multiple_of(8);
                let expected: Vec<u32> =
                    (first + skipped..next).filter(is_wanted).map(|number| (number - first) as u32).rev().collect();
                assert_eq!(found, expected, "round {round}");
            }
        }
    }
}
