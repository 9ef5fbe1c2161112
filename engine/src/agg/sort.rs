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
/// Groups whose words are written at a time: they stay in the nearest cache.
const BLOCK: usize = 128;
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
        let mut words = vec![[0; BLOCK]; width];
        let deciding = self.deciding_words(bytes);
        // Which bits differ is guessed from a few groups, so that all have to be read only once.
        let sample: Vec<u32> = bases.iter().copied().step_by(bases.len().div_ceil(BLOCK)).collect();
        self.ordered_words(state, &sample, bytes, &mut words);
        let first: Vec<u64> = words.iter().map(|words| words[0]).collect();
        let note = |differ: &mut [u64], words: &[[u64; BLOCK]], count: usize| {
            for ((differ, words), first) in differ[..deciding].iter_mut().zip(words).zip(&first) {
                *differ = words[..count].iter().fold(*differ, |differ, word| differ | (word ^ first));
            }
        };
        let mut differ = vec![0; width];
        note(&mut differ, &words, sample.len());
        let mut numbers = vec![0u64; bases.len()];
        let (runs, all) = loop {
            let (runs, all) = runs(&differ);
            let guessed = differ.clone();
            for (block, numbers) in bases.chunks(BLOCK).zip(numbers.chunks_mut(BLOCK)) {
                self.ordered_words(state, block, bytes, &mut words);
                note(&mut differ, &words, block.len());
                numbers.fill(0);
                for run in &runs {
                    let mask = u64::MAX >> (64 - run.bits);
                    for (number, word) in numbers.iter_mut().zip(&words[run.word]) {
                        *number = number.unbounded_shl(run.bits) | word >> run.shift & mask;
                    }
                }
            }
            if differ == guessed {
                break (runs, all);
            }
        };
        let bits: u32 = runs.iter().map(|run| run.bits).sum();
        let is_decided = all && bytes.is_empty();
        if is_decided && sort_numbers(&numbers, bits, bases) {
            return;
        }
        let mut order: Vec<(u64, u32)> = numbers.into_iter().zip(bases.iter().copied()).collect();
        order.sort_unstable_by(|left, right| {
            left.0.cmp(&right.0).then_with(|| self.compare_groups(state, left.1 as usize, right.1 as usize, bytes))
        });
        bases.iter_mut().zip(order).for_each(|(base, group)| *base = group.1);
    }

    /// Of how many words the order may be made up: equal prefixes say nothing about long texts, so with
    /// such texts no column behind the first text may decide.
    fn deciding_words(&self, bytes: &[u8]) -> usize {
        let mut words = 0;
        for &(physical, _) in self.columns() {
            words += 1 + super::key::width(physical);
            if physical == Physical::Text && !bytes.is_empty() {
                break;
            }
        }
        words
    }

    /// Writes words that compare as the keys do, but for long text, of which they hold a prefix: word by
    /// word of the key, those of all groups of a block.
    fn ordered_words(&self, state: &[u64], bases: &[u32], bytes: &[u8], out: &mut [[u64; BLOCK]]) {
        let nulls = bases.iter().fold(0, |nulls, &base| nulls | state[base as usize]);
        let mut next = 0;
        for (number, &(physical, offset)) in self.columns().iter().enumerate() {
            let (is_null, values) = out[next..].split_first_mut().expect("a word for NULL");
            if nulls & null_bit(number) == 0 {
                is_null.fill(0);
            } else {
                for (out, &base) in is_null.iter_mut().zip(bases) {
                    *out = u64::from(state[base as usize] & null_bit(number) != 0);
                }
            }
            let [high, rest @ ..] = values else { unreachable!("a value has a word") };
            let places = bases.iter().map(|&base| base as usize + offset);
            match physical {
                Physical::I64 => high.iter_mut().zip(places).for_each(|(out, at)| *out = state[at] ^ SIGN),
                Physical::F64 => high.iter_mut().zip(places).for_each(|(out, at)| {
                    *out = order_bits(f64::from_bits(state[at])) as u64 ^ SIGN;
                }),
                Physical::I128 => {
                    for ((high, low), at) in high.iter_mut().zip(&mut rest[0]).zip(places) {
                        let value = get_i128(state, at);
                        (*high, *low) = ((value >> 64) as u64 ^ SIGN, value as u64);
                    }
                }
                Physical::Text => {
                    for ((high, low), at) in high.iter_mut().zip(&mut rest[0]).zip(places) {
                        (*high, *low) = text_words(state, at, bytes);
                    }
                }
            }
            next += 1 + super::key::width(physical);
        }
    }
}

/// The first twelve bytes of a text and its length, in words that compare as short texts do.
#[inline]
fn text_words(state: &[u64], at: usize, bytes: &[u8]) -> (u64, u64) {
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
    (u64::from(head.swap_bytes()) << 32 | tail >> 32, tail << 32 | len.min(INLINE_MAX + 1) as u64)
}

/// Sorts `bases` by their `numbers`, of which the lowest `bits` are used and no two are equal; or leaves
/// it, because number and place do not fit in a word.
fn sort_numbers(numbers: &[u64], bits: u32, bases: &mut [u32]) -> bool {
    let place_bits = usize::BITS - bases.len().leading_zeros();
    let shift = if numbers.len() < PARTS_FROM { bits } else { bits.saturating_sub(PART_BITS) };
    if shift + place_bits > 64 {
        return false;
    }
    // Within a part the bits that are shifted out are the same.
    let with_place = |(place, &number): (u64, &u64)| number.unbounded_shl(place_bits) | place;
    let mut words: Vec<u64>;
    if numbers.len() < PARTS_FROM {
        words = (0..).zip(numbers).map(with_place).collect();
        words.sort_unstable();
    } else {
        let part = |number: u64| (number >> shift) as usize;
        let mut places = vec![0; 1 << PART_BITS];
        numbers.iter().for_each(|&number| places[part(number)] += 1);
        let mut sum = 0;
        for place in &mut places {
            sum += std::mem::replace(place, sum);
        }
        words = vec![0; numbers.len()];
        for number in (0..).zip(numbers) {
            let place = &mut places[part(*number.1)];
            words[*place] = with_place(number);
            *place += 1;
        }
        let mut start = 0;
        for end in places {
            words[start..end].sort_unstable();
            start = end;
        }
    }
    let given = bases.to_vec();
    let place = |word: u64| (word & ((1 << place_bits) - 1)) as usize;
    bases.iter_mut().zip(words).for_each(|(base, word)| *base = given[place(word)]);
    true
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
    fn numbers_are_sorted_part_by_part() {
        for (bits, count) in [(5, 10), (9, 300), (40, 1000), (56, 200), (62, 40), (62, 5000), (64, 5000)] {
            let number = |place: u32| u64::from(place + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - bits);
            let mut numbers: Vec<u64> = (0..count).map(number).collect();
            numbers.sort_unstable();
            numbers.dedup();
            // Any order but that of the numbers.
            numbers.sort_unstable_by_key(|number| number.wrapping_mul(0xD6E8_FEB8_6659_FD93));
            let mut bases: Vec<u32> = (0..numbers.len() as u32).collect();
            let fits = sort_numbers(&numbers, bits, &mut bases);
            assert_eq!(fits, (bits, count) != (62, 40) && bits < 64, "{bits} bits, {count}");
            assert!(!fits || bases.is_sorted_by_key(|&base| numbers[base as usize]), "{bits} bits");
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
