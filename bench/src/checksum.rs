//! Whether two runs have given the same rows: how many, and a sum of their hashes, which the order
//! of the rows cannot change.
//!
//! Taken from the files a run has written, so what is compared went all the way through formatting
//! and writing.

use std::collections::HashMap;
use std::fs;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use corelane_engine::hash;

use crate::case::Answer;

/// The rows of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checksum {
    /// How many.
    pub rows: u64,
    /// Sum of their hashes.
    pub sum: u64,
}

impl std::fmt::Display for Checksum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} rows with checksum {:016x}", self.rows, self.sum)
    }
}

/// The rows in all CSV files of `directory`, each of which begins with a header.
pub fn of_directory(directory: &Path, answer: Answer) -> Result<Checksum> {
    let failed = || format!("cannot read `{}`", directory.display());
    let paths = fs::read_dir(directory).with_context(failed)?.map(|entry| entry.map(|entry| entry.path()));
    let paths = paths.collect::<io::Result<Vec<PathBuf>>>().with_context(failed)?;
    let mut rows = Rows::new(answer);
    for path in paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "csv")) {
        let text = fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
        // The cases write no line ends within fields.
        text.split_inclusive(|&byte| byte == b'\n').skip(1).for_each(|row| rows.add(row));
    }
    Ok(rows.checksum())
}

/// Rows as they are added up.
struct Rows {
    answer: Answer,
    found: Checksum,
    /// Running totals: by hash of the group's name, its highest count and the hash of that row.
    last: HashMap<u64, (u64, u64), BuildAsIs>,
}

impl Rows {
    fn new(answer: Answer) -> Rows {
        Rows { answer, found: Checksum::default(), last: HashMap::default() }
    }

    fn add(&mut self, row: &[u8]) {
        self.found.rows += 1;
        let Answer::Running { keys } = self.answer else {
            self.found.sum = self.found.sum.wrapping_add(of_bytes(row));
            return;
        };
        let mut commas = row.iter().enumerate().filter(|(_, byte)| **byte == b',').map(|(place, _)| place);
        let key = commas.nth(keys - 1).unwrap_or(row.len());
        let count = commas.next().unwrap_or(row.len());
        self.found.sum = self.found.sum.wrapping_add(of_bytes(&row[..count]));
        let digits = row.get(key + 1..count).unwrap_or_default();
        let count = digits.iter().fold(0u64, |sum, digit| sum * 10 + u64::from(digit.wrapping_sub(b'0')));
        let last = self.last.entry(of_bytes(&row[..key])).or_default();
        if count > last.0 {
            *last = (count, of_bytes(row));
        }
    }

    fn checksum(self) -> Checksum {
        let last = self.last.values().fold(0u64, |sum, (_, row)| sum.wrapping_add(*row));
        Checksum { rows: self.found.rows, sum: self.found.sum.wrapping_add(last) }
    }
}

/// A hash of bytes that is the same on every machine and in every run.
fn of_bytes(bytes: &[u8]) -> u64 {
    let mut hash = bytes.len() as u64 ^ 0x9e37_79b9_7f4a_7c15;
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        hash = mix(hash ^ u64::from_le_bytes(word.try_into().expect("a word has 8 bytes")));
    }
    let mut rest = [0; 8];
    rest[..words.remainder().len()].copy_from_slice(words.remainder());
    hash::end(mix(hash ^ u64::from_le_bytes(rest)))
}

/// Both halves of a product with an odd constant, folded.
fn mix(word: u64) -> u64 {
    let product = u128::from(word) * 0xe703_7ed1_a0b4_28db;
    (product >> 64) as u64 ^ product as u64
}

/// Takes hashes for what they are.
#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[derive(Clone, Default)]
struct BuildAsIs;

impl BuildHasher for BuildAsIs {
    type Hasher = AsIs;

    fn build_hasher(&self) -> AsIs {
        AsIs::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(rows: &[&str], answer: Answer) -> Checksum {
        let mut sum = Rows::new(answer);
        rows.iter().for_each(|row| sum.add(row.as_bytes()));
        sum.checksum()
    }

    #[test]
    fn order_does_not_matter_and_everything_else_does() {
        let rows = ["a,1\n", "b,2\n", "b,2\n", "longer than one word,3\n"];
        let all = sum(&rows, Answer::Rows);
        assert_eq!(all, sum(&[rows[3], rows[1], rows[0], rows[2]], Answer::Rows));
        let others: [&[&str]; 4] =
            [&rows[..3], &["a,1\n", "a,1\n", "b,2\n", rows[3]], &["a,2\n", rows[1], rows[2], rows[3]], &[]];
        for other in others {
            assert_ne!(all, sum(other, Answer::Rows), "{other:?}");
        }
    }

    #[test]
    fn running_totals_are_held_to_their_counts_and_last_states() {
        let running = Answer::Running { keys: 1 };
        let all = sum(&["a,1,5\n", "a,2,8\n", "b,1,1\n"], running);
        // The other order of a's rows: only its first state differs.
        assert_eq!(all, sum(&["b,1,1\n", "a,1,3\n", "a,2,8\n"], running));
        for wrong in
            [["a,1,5\n", "a,2,9\n", "b,1,1\n"], ["a,1,5\n", "a,1,8\n", "b,1,1\n"], ["a,1,5\n", "b,2,8\n", "b,1,1\n"]]
        {
            assert_ne!(all, sum(&wrong, running), "{wrong:?}");
        }
    }

    #[test]
    fn headers_do_not_count() {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in
            [("part-0.csv", "k\n1\n2\n"), ("part-1.csv", "k\n3\n"), ("part-2.csv", "k\n"), ("notes", "4\n")]
        {
            fs::write(directory.path().join(name), text).unwrap();
        }
        let found = of_directory(directory.path(), Answer::Rows).unwrap();
        assert_eq!(found, sum(&["3\n", "2\n", "1\n"], Answer::Rows));
    }
}
