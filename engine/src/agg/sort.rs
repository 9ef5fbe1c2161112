//! Groups in order of their key.
//!
//! Keys of one table are alike: most of their bits are the same in all groups ("TRADER", the upper
//! bits of small numbers). So each key is written as a row of words that compare like the key, the
//! bits in which any two groups differ are found, and only these are put together: nearly always
//! all of them fit in one `u64`, and sorting groups is sorting numbers. Where they do not, ties are
//! settled by comparing the keys themselves. Many groups are dealt into parts by their uppermost bits,
//! and large parts again by the next ones, until each is small enough to be sorted in the nearest cache.

use super::key::{KeyLayout, get_i128, null_bit, order_bits, read_text};
use crate::batch::INLINE_MAX;
use crate::memory::{Lines, prefetch};
use crate::types::Physical;

const SIGN: u64 = 1 << 63;
/// Groups whose words are written at a time: they stay in the nearest cache.
const BLOCK: usize = 128;
/// Bits by which groups are dealt into parts at a time, at most.
const PART_BITS: u32 = 11;
/// So many groups at most are sorted by comparing.
const FEW: usize = if cfg!(test) { 64 } else { 1 << 11 };

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
        let mut numbers = Lines::<u64>::zeros(bases.len());
        let (runs, all) = loop {
            let (runs, all) = runs(&differ);
            let guessed = differ.clone();
            let mut following = bases.chunks(BLOCK).skip(1);
            for (block, numbers) in bases.chunks(BLOCK).zip(numbers.chunks_mut(BLOCK)) {
                let next = following.next().unwrap_or_default();
                next.iter().for_each(|&base| prefetch(state, base as usize, self.words()));
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
        let compare = |left: &u32, right: &u32| self.compare_groups(state, *left as usize, *right as usize, bytes);
        let settle = |ties: &mut [u32]| ties.sort_unstable_by(compare);
        let settle: Settle<'_> = if is_decided { None } else { Some(&settle) };
        sort_by_numbers(&mut numbers, bits, bases, settle);
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

/// Groups with their numbers.
struct Part<'p> {
    numbers: &'p mut [u64],
    bases: &'p mut [u32],
}

impl<'p> Part<'p> {
    /// Its first `count` groups, and the others.
    fn split(self, count: usize) -> (Part<'p>, Part<'p>) {
        let (numbers, other_numbers) = self.numbers.split_at_mut(count);
        let (bases, other_bases) = self.bases.split_at_mut(count);
        (Part { numbers, bases }, Part { numbers: other_numbers, bases: other_bases })
    }

    fn again(&mut self) -> Part<'_> {
        Part { numbers: self.numbers, bases: self.bases }
    }
}

/// Puts groups of equal numbers in order, where there can be such.
type Settle<'s> = Option<&'s dyn Fn(&mut [u32])>;

/// Sorts `bases` by their `numbers`, of which the lowest `bits` are used.
fn sort_by_numbers(numbers: &mut [u64], bits: u32, bases: &mut [u32], settle: Settle<'_>) {
    let (mut spare_numbers, mut spare_bases) = (Lines::zeros(bases.len()), Lines::zeros(bases.len()));
    let spare = Part { numbers: &mut spare_numbers, bases: &mut spare_bases };
    sort_part(Part { numbers, bases }, spare, bits, settle);
}

/// Sorts a part whose numbers differ in their lowest `bits` at most, by means of a spare one.
fn sort_part(mut part: Part<'_>, mut spare: Part<'_>, bits: u32, settle: Settle<'_>) {
    let count = part.bases.len();
    let place_bits = usize::BITS - count.leading_zeros();
    if (count <= FEW || bits == 0) && bits + place_bits <= u64::BITS {
        return sort_few(part, spare, place_bits, settle);
    }
    let part_bits = bits.min(PART_BITS).min(place_bits);
    let shift = bits - part_bits;
    let of = |number: u64| (number >> shift) as usize & ((1 << part_bits) - 1);
    let mut places = [0u32; 1 << PART_BITS];
    part.numbers.iter().for_each(|&number| places[of(number)] += 1);
    let mut sum = 0;
    for place in &mut places[..1 << part_bits] {
        sum += std::mem::replace(place, sum);
    }
    for (&number, &base) in part.numbers.iter().zip(&*part.bases) {
        let place = &mut places[of(number)];
        spare.numbers[*place as usize] = number;
        spare.bases[*place as usize] = base;
        *place += 1;
    }
    let (mut left, mut spare_left, mut start) = (part.again(), spare.again(), 0);
    for &end in &places[..1 << part_bits] {
        let (some, others) = left.split((end - start) as usize);
        let (mut spare_some, spare_others) = spare_left.split((end - start) as usize);
        if end > start {
            sort_part(spare_some.again(), Part { numbers: some.numbers, bases: some.bases }, shift, settle);
            some.bases.copy_from_slice(spare_some.bases);
        }
        (left, spare_left, start) = (others, spare_others, end);
    }
}

/// Sorts a part by words that are made of the number and, in the lowest `place_bits`, the place.
fn sort_few(part: Part<'_>, spare: Part<'_>, place_bits: u32, settle: Settle<'_>) {
    // Bits that are shifted out are the same in all of a part.
    for (word, (place, number)) in spare.numbers.iter_mut().zip((0..).zip(&*part.numbers)) {
        *word = number.unbounded_shl(place_bits) | place;
    }
    spare.numbers.sort_unstable();
    let place = |word: u64| (word & (u64::MAX >> (u64::BITS - place_bits))) as usize;
    for (base, &word) in spare.bases.iter_mut().zip(&*spare.numbers) {
        *base = part.bases[place(word)];
    }
    if let Some(settle) = settle {
        let mut start = 0;
        for ties in spare.numbers.chunk_by(|left, right| left >> place_bits == right >> place_bits) {
            if ties.len() > 1 {
                settle(&mut spare.bases[start..start + ties.len()]);
            }
            start += ties.len();
        }
    }
    part.bases.copy_from_slice(spare.bases);
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
        for (bits, count) in [(5, 10), (9, 300), (40, 1000), (56, 200), (62, 40), (62, 5000), (64, 5000), (64, 3)] {
            let number = |place: u32| u64::from(place + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - bits);
            let numbers: Vec<u64> = (0..count).map(number).collect();
            let mut expected: Vec<u32> = (0..count).collect();
            expected.sort_by_key(|&base| (numbers[base as usize], base));
            let mut bases: Vec<u32> = (0..count).collect();
            // Equal numbers come in any order, until they are put in one.
            sort_by_numbers(&mut numbers.clone(), bits, &mut bases, Some(&|ties: &mut [u32]| ties.sort_unstable()));
            assert_eq!(bases, expected, "{bits} bits");
            bases = (0..count).collect();
            sort_by_numbers(&mut numbers.clone(), bits, &mut bases, None);
            assert!(bases.is_sorted_by_key(|&base| numbers[base as usize]), "{bits} bits");
        }
    }

    #[test]
    fn parts_that_are_all_alike_are_settled() {
        for bits in [0, 1, 20, 64] {
            let (mut numbers, mut bases) = (vec![0; 5 * FEW], (0..5 * FEW as u32).rev().collect::<Vec<_>>());
            sort_by_numbers(&mut numbers, bits, &mut bases, Some(&|ties: &mut [u32]| ties.sort_unstable()));
            assert!(bases.is_sorted());
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
