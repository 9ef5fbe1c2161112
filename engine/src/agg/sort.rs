//! Groups in order of their key.
//!
//! Keys of one table are alike: most of their bits are the same in all groups ("TRADER", the upper
//! bits of small numbers). So each key is written as a row of words that compare like the key, the
//! bits in which any two groups differ are found, and only these are put together: nearly always
//! all of them fit in one `u64`, and sorting groups is sorting numbers. Where they do not, ties are
//! settled by comparing the keys themselves. Many groups are first dealt into parts by their uppermost
//! bits, so that each part is sorted within the cache.

use super::key::{KeyLayout, get_i128, null_bit, order_bits, read_text};
use crate::batch::INLINE_MAX;
use crate::types::Physical;

const SIGN: u64 = 1 << 63;
/// Bits by which groups are dealt into parts.
const PART_BITS: u32 = 11;
/// From this many groups on they are.
const PARTS_FROM: usize = if cfg!(test) { 64 } else { 1 << 15 };

/// A run of bits to be taken from a word of the key.
struct Run {
    word: usize,
    shift: u32,
    bits: u32,
}

impl KeyLayout {
    /// Sorts groups by key: whole numbers by value, text by bytes, NULLs last.
    pub(crate) fn sort(&self, state: &[u64], bytes: &[u8], bases: &mut [u32]) {
        if self.width() == 0 || bases.len() < 2 {
            return;
        }
        let width: usize = self.columns().iter().map(|column| 1 + super::key::width(column.0)).sum();
        let mut first = vec![0; width];
        let mut words = vec![0; width];
        let mut differ = vec![0; width];
        self.ordered_words(state, bases[0] as usize, bytes, &mut first);
        for &base in &*bases {
            self.ordered_words(state, base as usize, bytes, &mut words);
            differ.iter_mut().zip(words.iter().zip(&first)).for_each(|(differ, (word, first))| *differ |= word ^ first);
        }
        if !bytes.is_empty() {
            // Equal prefixes say nothing about long texts, so no later column may decide.
            let mut end = 0;
            for &(physical, _) in self.columns() {
                end += 1 + super::key::width(physical);
                if physical == Physical::Text {
                    break;
                }
            }
            differ[end..].fill(0);
        }
        let (runs, all) = runs(&differ);
        let number = |base: u32, words: &mut [u64]| {
            self.ordered_words(state, base as usize, bytes, words);
            runs.iter().fold(0u64, |number, run| {
                number.checked_shl(run.bits).unwrap_or(0) | words[run.word] >> run.shift & (u64::MAX >> (64 - run.bits))
            })
        };
        let bits: u32 = runs.iter().map(|run| run.bits).sum();
        let place_bits = usize::BITS - bases.len().leading_zeros();
        if all && bytes.is_empty() && bits + place_bits <= 64 {
            // Number and place in one word, half the memory of a pair.
            let place = |word: u64| (word & ((1 << place_bits) - 1)) as usize;
            let words = (0..).zip(&*bases).map(|(place, &base)| number(base, &mut words) << place_bits | place);
            let sorted = sort_words(words.collect(), bits + place_bits);
            let given = bases.to_vec();
            bases.iter_mut().zip(sorted).for_each(|(base, word)| *base = given[place(word)]);
            return;
        }
        let mut order: Vec<(u64, u32)> = bases.iter().map(|&base| (number(base, &mut words), base)).collect();
        order.sort_unstable_by(|left, right| {
            left.0.cmp(&right.0).then_with(|| self.compare_groups(state, left.1 as usize, right.1 as usize, bytes))
        });
        bases.iter_mut().zip(order).for_each(|(base, group)| *base = group.1);
    }

    /// Writes words that compare as the keys do, but for long text, of which they hold a prefix.
    fn ordered_words(&self, state: &[u64], base: usize, bytes: &[u8], out: &mut [u64]) {
        let mut next = 0;
        for (number, &(physical, offset)) in self.columns().iter().enumerate() {
            let at = base + offset;
            out[next] = u64::from(state[base] & null_bit(number) != 0);
            match physical {
                Physical::I64 => out[next + 1] = state[at] ^ SIGN,
                Physical::F64 => out[next + 1] = order_bits(f64::from_bits(state[at])) as u64 ^ SIGN,
                Physical::I128 => {
                    let value = get_i128(state, at);
                    out[next + 1] = (value >> 64) as u64 ^ SIGN;
                    out[next + 2] = value as u64;
                }
                Physical::Text => {
                    let len = state[at] as u32 as usize;
                    let tail = if len > INLINE_MAX {
                        let text = read_text(state, at, bytes);
                        let mut tail = [0; 8];
                        tail.copy_from_slice(&text.as_bytes()[4..12]);
                        u64::from_le_bytes(tail)
                    } else {
                        state[at + 1]
                    };
                    let (head, tail) = ((state[at] >> 32) as u32, tail.swap_bytes());
                    out[next + 1] = u64::from(head.swap_bytes()) << 32 | tail >> 32;
                    out[next + 2] = tail << 32 | len.min(INLINE_MAX + 1) as u64;
                }
            }
            next += 1 + super::key::width(physical);
        }
    }
}

/// Sorts words of which the lowest `bits` are used.
fn sort_words(mut words: Vec<u64>, bits: u32) -> Vec<u64> {
    if words.len() < PARTS_FROM {
        words.sort_unstable();
        return words;
    }
    let shift = bits.saturating_sub(PART_BITS);
    let part = |word: u64| (word >> shift) as usize;
    let mut places = vec![0; 1 << PART_BITS];
    words.iter().for_each(|&word| places[part(word)] += 1);
    let mut sum = 0;
    for place in &mut places {
        sum += std::mem::replace(place, sum);
    }
    let mut dealt = vec![0; words.len()];
    for word in words {
        let place = &mut places[part(word)];
        dealt[*place] = word;
        *place += 1;
    }
    let mut start = 0;
    for end in places {
        dealt[start..end].sort_unstable();
        start = end;
    }
    dealt
}

/// The bits that differ, from the most significant on, up to 64 of them; and whether these are all.
fn runs(differ: &[u64]) -> (Vec<Run>, bool) {
    let mut runs = Vec::new();
    let mut room = 64;
    for (word, &differ) in differ.iter().enumerate() {
        let mut rest = differ;
        while rest != 0 {
            let top = 64 - rest.leading_zeros();
            // Single bits between two that differ are taken along.
            let mut low = top;
            while low > 0 && rest << (64 - low) >> 62 != 0 {
                low -= 1;
            }
            let bits = top - low;
            if bits > room {
                return (cut(runs, word, top, room), false);
            }
            room -= bits;
            runs.push(Run { word, shift: low, bits });
            rest &= if low == 0 { 0 } else { u64::MAX >> (64 - low) };
        }
    }
    (runs, true)
}

/// The runs, and of one more its first `room` bits.
fn cut(mut runs: Vec<Run>, word: usize, top: u32, room: u32) -> Vec<Run> {
    if room > 0 {
        runs.push(Run { word, shift: top - room, bits: room });
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_sorted_part_by_part() {
        for (bits, count) in [(5, 10), (5, 500), (40, 1000), (64, 5000)] {
            let words: Vec<u64> =
                (0..count as u64).map(|word| word.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - bits)).collect();
            let mut sorted = words.clone();
            sorted.sort();
            assert_eq!(sort_words(words, bits), sorted, "{bits} bits");
        }
    }

    #[test]
    fn runs_cover_all_bits_that_differ_and_keep_their_order() {
        for differ in [[0u64, 0], [1, SIGN], [0b1011_0001, 3], [u64::MAX, 0], [u64::MAX, 1], [0x3F3F_0000_0000_0F00, 7]]
        {
            let (runs, all) = runs(&differ);
            let mut covered = [0u64; 2];
            for run in &runs {
                covered[run.word] |= (u64::MAX >> (64 - run.bits)) << run.shift;
            }
            let missing = (0..2).any(|word| differ[word] & !covered[word] != 0);
            assert_eq!(missing, !all, "{differ:x?}");
            assert!(runs.iter().map(|run| run.bits).sum::<u32>() <= 64);
            assert!(runs.is_sorted_by(|a, b| (a.word, b.shift) < (b.word, a.shift) || a.word < b.word));
        }
    }
}
