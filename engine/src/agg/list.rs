//! Values that are kept one by one until the answer: of PERCENTILE_CONT, PERCENTILE_DISC, MEDIAN and
//! STRING_AGG.
//!
//! An accumulator holds `first block, last block, words used of it, values`; all blocks of all groups
//! stand in one vector of words, each as `next block, capacity, values..`, and grow with the list, so
//! that nothing is allocated for a single row. Block 0 is nobody's.

use super::answer::Source;
use super::key::{from_order_bits, get_i128, order_bits};
use super::shape::Accumulator;
use super::update::{Picked, Target};
use crate::batch::{Data, Text, Vector};
use crate::error::Result;
use crate::operator::Column;
use crate::state::{Reader, Writer};
use crate::types::{Physical, Value};

/// Words of an accumulator.
pub(crate) const LIST_WORDS: usize = 4;
/// Most values of a block.
const BLOCK_VALUES_MAX: u64 = 1024;
/// Words before a block's values.
const HEAD: usize = 2;

/// All lists of some groups.
#[derive(Default)]
pub(crate) struct Lists {
    words: Vec<u64>,
    bytes: Vec<u8>,
}

/// Words of a value; text comes with its row's position, by which it is put in order.
fn width(physical: Physical) -> usize {
    match physical {
        Physical::I64 | Physical::F64 => 1,
        Physical::I128 => 2,
        Physical::Text => 3,
    }
}

impl Lists {
    pub(crate) fn clear(&mut self) {
        self.words.clear();
        self.bytes.clear();
    }

    /// Bytes held.
    pub(crate) fn memory(&self) -> usize {
        self.words.capacity() * 8 + self.bytes.capacity()
    }

    /// Appends the first `width` words of `value` to the list.
    fn append(&mut self, list: &mut [u64; LIST_WORDS], value: [u64; 3], width: usize) {
        let [first, last, used, count] = list;
        if self.words.is_empty() {
            self.words.resize(HEAD, 0);
        }
        let capacity = self.words[*last as usize + 1];
        if *last == 0 || *used == capacity {
            let block = self.words.len() as u64;
            let capacity = (*count).clamp(4, BLOCK_VALUES_MAX) * width as u64;
            self.words.extend_from_slice(&[0, capacity]);
            self.words.resize(self.words.len() + capacity as usize, 0);
            match *last {
                0 => *first = block,
                last => self.words[last as usize] = block,
            }
            (*last, *used) = (block, 0);
        }
        let at = *last as usize + HEAD + *used as usize;
        self.words[at..at + width].copy_from_slice(&value[..width]);
        *used += width as u64;
        *count += 1;
    }

    /// Adds rows.
    pub(crate) fn add(
        &mut self,
        accumulator: &Accumulator,
        values: &Vector<'_>,
        picked: &Picked<'_>,
        target: &mut Target<'_>,
    ) {
        let at = accumulator.offset;
        match values.data {
            Data::I64(values) => target.each(at, picked, |row, list| self.append(list, [values[row] as u64, 0, 0], 1)),
            Data::F64(values) => {
                target.each(at, picked, |row, list| self.append(list, [order_bits(values[row]) as u64, 0, 0], 1));
            }
            Data::I128(values) => target.each(at, picked, |row, list| {
                self.append(list, [values[row] as u64, (values[row] >> 64) as u64, 0], 2);
            }),
            Data::Text(values) => target.each(at, picked, |row, list| {
                let (text, start) = (values[row].as_bytes(), self.bytes.len() as u64);
                self.bytes.extend_from_slice(text);
                let position = picked.positions.map_or(list[3], |positions| positions[row]);
                self.append(list, [position, start, text.len() as u64], 3);
            }),
        }
    }

    /// Writes a list: how many values, and each as words, text as its position and itself.
    pub(crate) fn save(&self, list: &[u64], physical: Physical, to: &mut Writer) {
        to.word(list[3]);
        for value in self.values(list, width(physical)) {
            if physical == Physical::Text {
                let [start, length] = [value[1], value[2]].map(|word| word as usize);
                to.word(value[0]);
                to.text(&self.bytes[start..start + length]);
            } else {
                value.iter().for_each(|&word| to.word(word));
            }
        }
    }

    /// Reads a list into an accumulator.
    pub(crate) fn load(&mut self, list: &mut [u64], physical: Physical, from: &mut Reader<'_>) -> Result<()> {
        let mut words = [0; LIST_WORDS];
        let width = width(physical);
        for _ in 0..from.count(8)? {
            let mut value = [0; 3];
            if physical == Physical::Text {
                value[0] = from.word()?;
                let text = from.text()?;
                value[1..].copy_from_slice(&[self.bytes.len() as u64, text.len() as u64]);
                self.bytes.extend_from_slice(text);
            } else {
                for word in &mut value[..width] {
                    *word = from.word()?;
                }
            }
            self.append(&mut words, value, width);
        }
        list.copy_from_slice(&words);
        Ok(())
    }

    /// The values of a list, `width` words each.
    fn values(&self, list: &[u64], width: usize) -> impl Iterator<Item = &[u64]> {
        let (first, last, used) = (list[0], list[1], list[2] as usize);
        let next = move |block: &u64| (*block != last).then(|| self.words[*block as usize]);
        let blocks = std::iter::successors((first != 0).then_some(first), next);
        blocks.flat_map(move |block| {
            let start = block as usize + HEAD;
            let length = if block == last { used } else { self.words[block as usize + 1] as usize };
            self.words[start..start + length].chunks_exact(width)
        })
    }
}

/// A share such as 0.95, exactly: `part` of `whole`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Share {
    part: i64,
    whole: i64,
}

impl Share {
    /// The share a literal with so many digits behind the point says, if it is one.
    pub(crate) fn of(value: &Value, scale: u8) -> Option<Share> {
        let whole = 10i64.checked_pow(u32::from(scale))?;
        match *value {
            Value::I64(part) if (0..=whole).contains(&part) => Some(Share { part, whole }),
            _ => None,
        }
    }

    /// The number, from 0, of the first of `count` values in order that this share of them does not pass.
    fn discrete(self, count: usize) -> usize {
        let passed = (count as u128 * self.part as u128).div_ceil(self.whole as u128);
        (passed as usize).max(1) - 1
    }

    /// Between which two of `count` values in order, and how far from the first.
    fn continuous(self, count: usize) -> (usize, usize, f64) {
        let at = (count - 1) as i128 * i128::from(self.part);
        let (whole, rest) = (at / i128::from(self.whole), at % i128::from(self.whole));
        let low = whole as usize;
        (low, low + usize::from(rest != 0), rest as f64 / self.whole as f64)
    }
}

/// The two values around a share of those in order.
fn around<T: Ord + Copy>(mut values: Vec<T>, (low, high): (usize, usize)) -> (T, T) {
    let (_, &mut first, behind) = values.select_nth_unstable(low);
    let second = if high == low { first } else { behind.iter().copied().min().unwrap_or(first) };
    (first, second)
}

/// PERCENTILE_DISC: writes the value at the share.
pub(crate) fn put_discrete(
    physical: Physical,
    share: Share,
    list: &[u64],
    source: &Source<'_>,
    out: &mut Column<'_>,
    row: usize,
) {
    let at = share.discrete(list[3] as usize);
    let values = source.texts.lists.values(list, width(physical));
    match physical {
        Physical::I128 => out.i128s()[row] = around(values.map(|words| get_i128(words, 0)).collect(), (at, at)).0,
        Physical::F64 => {
            out.f64s()[row] = from_order_bits(around(values.map(|words| words[0] as i64).collect(), (at, at)).0);
        }
        _ => out.i64s()[row] = around(values.map(|words| words[0] as i64).collect(), (at, at)).0,
    }
}

/// PERCENTILE_CONT of doubles: the value at the share, between two of them if need be.
pub(crate) fn continuous(share: Share, list: &[u64], source: &Source<'_>) -> f64 {
    let (low, high, part) = share.continuous(list[3] as usize);
    let values = source.texts.lists.values(list, 1).map(|words| words[0] as i64).collect();
    let (first, second) = around(values, (low, high));
    let (first, second) = (from_order_bits(first), from_order_bits(second));
    if part == 0.0 { first } else { first + (second - first) * part }
}

impl Lists {
    /// Where the texts of a list stand in the bytes of all, as (position, start, length).
    pub(crate) fn texts(&self, list: &[u64]) -> Vec<[u64; 3]> {
        self.values(list, 3).map(|words| [words[0], words[1], words[2]]).collect()
    }

    /// A text of [`Lists::texts`].
    pub(crate) fn bytes(&self, [_, start, length]: [u64; 3]) -> &[u8] {
        &self.bytes[start as usize..(start + length) as usize]
    }
}

/// STRING_AGG: writes the texts in order of the input, with the separator between.
pub(crate) fn put_joined(separator: &str, list: &[u64], source: &Source<'_>, out: &mut Column<'_>, row: usize) {
    let lists = &source.texts.lists;
    let mut parts = lists.texts(list);
    parts.sort_unstable();
    let mut joined = Vec::new();
    for (number, &part) in parts.iter().enumerate() {
        joined.extend_from_slice(if number > 0 { separator.as_bytes() } else { b"" });
        joined.extend_from_slice(lists.bytes(part));
    }
    out.set_text(row, Text::new(&joined));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_grow_side_by_side() {
        let (mut lists, mut held) = (Lists::default(), [[0; LIST_WORDS]; 3]);
        for value in 0..5000 {
            lists.append(&mut held[value as usize % 3], [value, !value, 0], 2);
        }
        for (number, list) in held.iter().enumerate() {
            let wanted: Vec<u64> = (0..5000).filter(|value| *value as usize % 3 == number).collect();
            let kept: Vec<u64> = lists.values(list, 2).map(|words| words[0]).collect();
            assert_eq!((&kept, list[3] as usize), (&wanted, wanted.len()));
            assert!(lists.values(list, 2).all(|words| words[1] == !words[0]));
        }
        assert_eq!(lists.values(&[0; LIST_WORDS], 1).count(), 0);
    }

    #[test]
    fn shares_are_exact() {
        let share = |part, scale| Share::of(&Value::I64(part), scale).unwrap();
        assert_eq!([0, 55, 56, 100].map(|part| share(part, 2).discrete(20)), [0, 10, 11, 19]);
        assert_eq!(share(5, 1).continuous(4), (1, 2, 0.5));
        assert_eq!(share(1, 0).continuous(4), (3, 3, 0.0));
        assert_eq!(Share::of(&Value::I64(11), 1), None);
        assert_eq!(around(vec![5, 1, 9, 7], (1, 2)), (5, 7));
    }
}
