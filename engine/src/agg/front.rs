//! In front of a group table: the groups of keys seen before, while there are few of them.
//!
//! Looking up a key in the table means to hash it as specified, column by column, and to compare it where
//! the group stands, column by column. Most queries have a few hundred groups and keys of one or two
//! columns; for those a row's group is found here in one pass: the key is turned into words, the words are
//! hashed by a multiplication or two, and compared with those of the one key that may be meant. No step
//! depends on the row before, so rows overlap. Rows whose key is not here are left to the table, and their
//! keys are remembered.
//!
//! The words of a text of up to 20 bytes settle it; of a longer one they leave the middle *open*. Such keys
//! are noted with a first word that no row has, so the pass never finds them; behind it their rows are
//! compared with the group itself. What is here is never asked for anything but speed: it is neither saved
//! nor sent, and another hash would give the same groups.

use bumpalo::Bump;

use super::key::KeyLayout;
use super::table::Table;
use crate::batch::{Data, Text, Vector};
use crate::types::Physical;

/// Groups of a table that is asked about here, at most.
const GROUPS_MAX: usize = if cfg!(test) { 100 } else { ENTRIES - 1 };
/// Rows of a table before its keys are worth remembering.
const ROWS_MIN: usize = if cfg!(test) { 1 } else { 4096 };
/// Entries; the number of one takes the low bits of a half bucket, and bits of its hash the others.
const ENTRIES: usize = 1 << NUMBER_BITS;
const NUMBER_BITS: u32 = 10;
const NUMBER_MASK: u16 = ENTRIES as u16 - 1;
/// Buckets of two entries. With four for each key hardly any is asked to hold a third.
const BUCKETS: usize = 4 * ENTRIES;
/// Words of a key at most.
const WORDS_MAX: usize = 6;
/// The first word of a key that is open: a text of one byte, behind which there is no other than zero.
const OPEN: u64 = 1 | 0xFFFF_FFFF << 32;

/// Odd numbers without a pattern (fractional digits of the square roots of 2, 3, 5 and 7).
const MULTIPLIERS: [u64; 4] =
    [0x6A09_E667_F3BC_C909, 0xBB67_AE85_84CA_A73B, 0x3C6E_F372_FE94_F82B, 0xA54F_F53A_5F1D_36F1];

/// Keys and the bases of their groups.
pub(crate) struct Front {
    /// The upper bits of a hash choose one. Two half buckets each, the first in the low half; 0 is none.
    buckets: Vec<u32>,
    /// The words of a key and its group's base, in rooms of `room` words. Entry 0 is nobody's: its base is 0.
    entries: Vec<u64>,
    /// Entries taken, nobody's left out.
    taken: usize,
    /// Words of a key; none for keys that are not looked up here.
    words: Option<usize>,
    /// Rows that came before there was room for keys.
    rows: usize,
}

/// The words of one key.
struct Key<const N: usize> {
    words: [u64; N],
    hash: u64,
}

/// Words of an entry: the key's and the base, rounded up to a power of two.
const fn room(words: usize) -> usize {
    (words + 1).next_power_of_two()
}

/// A text's part in a hash. No bit of the last bytes meets the same bit of the first ones.
#[inline(always)]
fn mix_text([first, middle, last]: [u64; 3], multipliers: [u64; 2]) -> u64 {
    let outer = (first ^ last.rotate_left(29)).wrapping_mul(multipliers[0]);
    outer.wrapping_add(middle.wrapping_mul(multipliers[1]))
}

#[inline(always)]
fn text(text: &Text<'_>) -> Key<3> {
    let words = text.pieces();
    Key { words, hash: mix_text(words, [MULTIPLIERS[0], MULTIPLIERS[1]]) }
}

#[inline(always)]
fn number(number: i64) -> Key<1> {
    Key { words: [number as u64], hash: (number as u64).wrapping_mul(MULTIPLIERS[0]) }
}

#[inline(always)]
fn two_texts(first: &Text<'_>, second: &Text<'_>) -> Key<6> {
    let (Key { words: [a, b, c], hash }, [d, e, f]) = (text(first), second.pieces());
    let hash = hash.wrapping_add(mix_text([d, e, f], [MULTIPLIERS[2], MULTIPLIERS[3]]));
    Key { words: [a, b, c, d, e, f], hash }
}

#[inline(always)]
fn two_numbers(first: i64, second: i64) -> Key<2> {
    let Key { words: [a], hash } = number(first);
    Key { words: [a, second as u64], hash: hash.wrapping_add((second as u64).wrapping_mul(MULTIPLIERS[2])) }
}

#[inline(always)]
fn text_and_number(first: &Text<'_>, second: i64) -> Key<4> {
    let Key { words: [a, b, c], hash } = text(first);
    Key { words: [a, b, c, second as u64], hash: hash.wrapping_add((second as u64).wrapping_mul(MULTIPLIERS[2])) }
}

/// The shapes of keys that are looked up here, each with the words of an entry and how a row becomes a key.
macro_rules! with_key {
    ($columns:expr, |$room:ident, $key:ident| $then:expr, $else:expr) => {
        match *$columns {
            [Vector { data: Data::Text(a), .. }] => with_key!(4, $room, $key, |row: usize| text(&a[row]), $then),
            [Vector { data: Data::I64(a), .. }] => with_key!(2, $room, $key, |row: usize| number(a[row]), $then),
            [Vector { data: Data::Text(a), .. }, Vector { data: Data::Text(b), .. }] => {
                with_key!(8, $room, $key, |row: usize| two_texts(&a[row], &b[row]), $then)
            }
            [Vector { data: Data::I64(a), .. }, Vector { data: Data::I64(b), .. }] => {
                with_key!(4, $room, $key, |row: usize| two_numbers(a[row], b[row]), $then)
            }
            [Vector { data: Data::Text(a), .. }, Vector { data: Data::I64(b), .. }] => {
                with_key!(8, $room, $key, |row: usize| text_and_number(&a[row], b[row]), $then)
            }
            [Vector { data: Data::I64(a), .. }, Vector { data: Data::Text(b), .. }] => {
                with_key!(8, $room, $key, |row: usize| text_and_number(&b[row], a[row]), $then)
            }
            _ => $else,
        }
    };
    ($words:literal, $room:ident, $key:ident, $make:expr, $then:expr) => {{
        const $room: usize = $words;
        let $key = $make;
        $then
    }};
}

/// The bits of a hash that a half bucket notes above an entry's number: none that choose the bucket.
#[inline(always)]
fn note(hash: u64) -> u16 {
    (hash >> 36) as u16 & !NUMBER_MASK
}

#[inline(always)]
fn place(hash: u64) -> usize {
    const { assert!(BUCKETS == 1 << 12) };
    (hash >> 52) as usize
}

fn halves(bucket: u32) -> [u16; 2] {
    [bucket as u16, (bucket >> 16) as u16]
}

/// The entry of a bucket that may be the one of this hash.
#[inline(always)]
fn chosen(bucket: u32, hash: u64) -> usize {
    let [first, second] = halves(bucket);
    let is_first = (first ^ note(hash)) & !NUMBER_MASK == 0;
    usize::from(std::hint::select_unpredictable(is_first, first, second) & NUMBER_MASK)
}

impl Front {
    /// An empty front of a table whose keys are laid out by `layout`.
    pub(crate) fn new(layout: &KeyLayout) -> Self {
        let words = |physical: Physical| match physical {
            Physical::I64 => Some(1),
            Physical::Text => Some(3),
            Physical::I128 | Physical::F64 => None,
        };
        let words: Option<usize> = match layout.columns() {
            columns @ ([_] | [_, _]) => columns.iter().map(|&(physical, _)| words(physical)).sum(),
            _ => None,
        };
        Front { buckets: Vec::new(), entries: Vec::new(), taken: 0, words, rows: 0 }
    }

    /// Bytes held.
    pub(crate) fn memory(&self) -> usize {
        4 * self.buckets.capacity() + 8 * self.entries.capacity()
    }

    /// Forgets all keys.
    pub(crate) fn clear(&mut self) {
        if self.taken > 0 {
            self.taken = 0;
            self.buckets.fill(0);
        }
    }

    /// Keys of this table, as few as it has, may be known here.
    pub(crate) fn is_for(&self, table: &Table) -> bool {
        self.words.is_some() && table.groups() <= GROUPS_MAX
    }

    /// Sets `bases` to the groups of the rows whose keys are known here, and returns the other rows, in
    /// order; `None` when these keys, or so many, are not looked up here.
    pub(crate) fn find<'a>(
        &mut self,
        layout: &KeyLayout,
        columns: &[Vector<'_>],
        table: &Table,
        bases: &mut [u32],
        scratch: &'a Bump,
    ) -> Option<&'a [u16]> {
        let words = self.words?;
        if !self.is_for(table) || columns.iter().any(|column| column.nulls.is_some()) {
            return None;
        }
        if self.buckets.is_empty() {
            self.rows += bases.len();
            if self.rows < ROWS_MIN {
                return None;
            }
            self.buckets.resize(BUCKETS, 0);
            self.entries.resize(ENTRIES * room(words), 0);
        }
        with_key!(columns, |ROOM, key| self.look::<_, ROOM>(key, bases), return None);
        let missed = scratch.alloc_slice_fill_copy(bases.len(), 0u16);
        let mut count = 0;
        for (number, some) in bases.chunks(CHUNK).enumerate() {
            if some.iter().fold(false, |is_any, &base| is_any | (base == 0)) {
                for row in (number * CHUNK..).zip(some).filter(|(_, base)| **base == 0).map(|(row, _)| row) {
                    missed[count] = row as u16;
                    count += 1;
                }
            }
        }
        let is_open = |row: usize| columns.iter().any(|column| is_open(column, row));
        let mut left = 0;
        for at in 0..count {
            let row = usize::from(missed[at]);
            if is_open(row)
                && let Some(base) = self.look_again(layout, columns, row, table)
            {
                bases[row] = base;
            } else {
                missed[left] = missed[at];
                left += 1;
            }
        }
        Some(&missed[..left])
    }

    /// Sets the base of every row, 0 where the key is not known by its words.
    #[inline(always)]
    fn look<const N: usize, const ROOM: usize>(&self, key: impl Fn(usize) -> Key<N>, bases: &mut [u32]) {
        const { assert!(ROOM == room(N) && N <= WORDS_MAX) };
        let entries: &[[u64; ROOM]; ENTRIES] = self.entries.as_chunks().0.try_into().expect("room for all entries");
        let buckets: &[u32; BUCKETS] = self.buckets.as_slice().try_into().expect("all buckets are there");
        for (row, base) in bases.iter_mut().enumerate() {
            let Key { words, hash } = key(row);
            let known = &entries[chosen(buckets[place(hash)], hash)];
            let is_same = words.iter().zip(known).all(|(one, other)| one == other);
            *base = if is_same { known[N] as u32 } else { 0 };
        }
    }

    /// The base of a row whose key is open, if it is known.
    fn look_again(&self, layout: &KeyLayout, columns: &[Vector<'_>], row: usize, table: &Table) -> Option<u32> {
        let (words, hash) = with_key!(columns, |ROOM, key| marked::<_, ROOM>(&key(row), columns, row), return None);
        let entry = chosen(self.buckets[place(hash)], hash);
        let (known, base) = self.entry(entry);
        let is_same = known == &words[..known.len()]
            && base != 0
            && layout.holds(columns, row, &table.state, base as usize, &table.bytes);
        is_same.then_some(base)
    }

    /// Remembers the groups at `bases`, of rows that were not found here.
    pub(crate) fn learn(&mut self, columns: &[Vector<'_>], bases: &[u32]) {
        for (row, &base) in bases.iter().enumerate() {
            let (words, hash) = with_key!(columns, |ROOM, key| marked::<_, ROOM>(&key(row), columns, row), return);
            self.remember(&words, hash, base);
        }
    }

    fn remember(&mut self, words: &[u64; WORDS_MAX], hash: u64, base: u32) {
        let [first, second] = halves(self.buckets[place(hash)]);
        let entry = self.taken + 1;
        let half = entry as u16 | note(hash);
        // A second entry with the note of the first would never be chosen.
        let is_full = second != 0 || (first != 0 && (first ^ half) & !NUMBER_MASK == 0);
        if is_full || entry == ENTRIES || self.is_known(first, words) {
            return;
        }
        self.buckets[place(hash)] |= u32::from(half) << if first == 0 { 0 } else { 16 };
        let count = self.words.unwrap_or(0);
        let start = entry * room(count);
        self.entries[start..start + count].copy_from_slice(&words[..count]);
        self.entries[start + count] = u64::from(base);
        self.taken = entry;
    }

    fn is_known(&self, half: u16, words: &[u64; WORDS_MAX]) -> bool {
        let (known, _) = self.entry(usize::from(half & NUMBER_MASK));
        half != 0 && known == &words[..known.len()]
    }

    /// The words of an entry's key, and its group's base.
    fn entry(&self, entry: usize) -> (&[u64], u32) {
        let count = self.words.unwrap_or(0);
        let start = entry * room(count);
        (&self.entries[start..start + count], self.entries[start + count] as u32)
    }
}

/// Rows looked through at a time for those that were not found.
const CHUNK: usize = 16;

fn is_open(column: &Vector<'_>, row: usize) -> bool {
    match column.data {
        Data::Text(texts) => texts[row].len() > Text::PIECES_MAX,
        _ => false,
    }
}

/// A key's words with the mark of those that are open, and its hash.
fn marked<const N: usize, const ROOM: usize>(
    key: &Key<N>,
    columns: &[Vector<'_>],
    row: usize,
) -> ([u64; WORDS_MAX], u64) {
    const { assert!(ROOM == room(N)) };
    let mut words = [0; WORDS_MAX];
    words[..N].copy_from_slice(&key.words);
    if columns.iter().any(|column| is_open(column, row)) {
        words[0] = OPEN;
    }
    (words, key.hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agg::Keys;
    use crate::agg::tests::Random;
    use crate::batch::BATCH_ROWS;
    use crate::hash;

    /// Texts of `len` bytes that differ in their first, middle or last bytes.
    fn texts(random: &mut Random, kinds: u64) -> Vec<Vec<u8>> {
        let text = |random: &mut Random| {
            let len = [0, 1, 4, 8, 12, 13, 16, 20, 21, 24, 40][random.below(11) as usize];
            let mut text = vec![b'x'; len];
            if len > 0 {
                let at = [0, len / 2, len - 1][random.below(3) as usize];
                text[at] = b'a' + random.below(kinds) as u8;
            }
            text
        };
        (0..BATCH_ROWS).map(|_| text(random)).collect()
    }

    /// Every chunk's groups are those that the table alone gives.
    fn agrees(physicals: &[Physical], kinds: u64) {
        let layout = KeyLayout::new(physicals);
        let mut front = Front::new(&layout);
        let (mut with, mut alone) = (Table::new(layout.words()), Table::new(layout.words()));
        let mut random = Random(kinds);
        let mut hits = 0;
        for _ in 0..40 {
            let scratch = Bump::new();
            let bytes: Vec<Vec<Vec<u8>>> = physicals.iter().map(|_| texts(&mut random, kinds)).collect();
            let columns: Vec<Vector<'_>> = (physicals.iter().zip(&bytes))
                .map(|(physical, bytes)| match physical {
                    Physical::Text => {
                        Vector::new(Data::Text(scratch.alloc_slice_fill_iter(bytes.iter().map(|text| Text::new(text)))))
                    }
                    _ => Vector::new(Data::I64(
                        scratch.alloc_slice_fill_iter(bytes.iter().map(|_| random.below(kinds) as i64 - 1)),
                    )),
                })
                .collect();
            let locate = |table: &mut Table, columns: &[Vector<'_>], bases: &mut [u32]| {
                let mut tags = vec![0; bases.len()];
                hash::hash_rows(columns, 0, &mut tags);
                crate::agg::make_tags(columns, &mut tags);
                table.locate(&layout, &Keys { columns, tags: &tags }, &[], bases, &scratch).unwrap();
            };
            let (mut bases, mut expected) = (vec![0; BATCH_ROWS], vec![0; BATCH_ROWS]);
            locate(&mut alone, &columns, &mut expected);
            match front.find(&layout, &columns, &with, &mut bases, &scratch) {
                None => locate(&mut with, &columns, &mut bases),
                Some(missed) => {
                    hits += BATCH_ROWS - missed.len();
                    assert!(missed.is_sorted());
                    let columns: Vec<_> =
                        columns.iter().map(|column| crate::batch::gather(column, missed, &scratch)).collect();
                    let mut found = vec![0; missed.len()];
                    locate(&mut with, &columns, &mut found);
                    front.learn(&columns, &found);
                    missed.iter().zip(found).for_each(|(&row, base)| bases[usize::from(row)] = base);
                }
            }
            assert_eq!(bases, expected);
        }
        assert_eq!(hits > 30 * BATCH_ROWS, alone.groups() <= GROUPS_MAX, "{hits} hits, {} groups", alone.groups());
    }

    #[test]
    fn groups_are_those_of_the_table() {
        use Physical::{I64, Text};
        for physicals in [&[Text][..], &[I64], &[I64, I64], &[Text, I64], &[I64, Text], &[Text, Text]] {
            agrees(physicals, 1);
            agrees(physicals, 26);
        }
        agrees(&[I64], GROUPS_MAX as u64);
        agrees(&[I64], GROUPS_MAX as u64 + 1);
    }

    #[test]
    fn keys_of_other_shapes_and_nulls_are_left_to_the_table() {
        let scratch = Bump::new();
        let ask = |physical: Physical, column: Vector<'_>| {
            let layout = KeyLayout::new(&[physical]);
            let table = Table::new(layout.words());
            Front::new(&layout).find(&layout, &[column], &table, &mut [0], &scratch).map(<[u16]>::len)
        };
        assert_eq!(ask(Physical::F64, Vector::new(Data::F64(&[1.0]))), None);
        assert_eq!(ask(Physical::I64, Vector { data: Data::I64(&[0]), nulls: Some(&[1]) }), None);
        assert_eq!(ask(Physical::I64, Vector::new(Data::I64(&[0]))), Some(1));
    }

    #[test]
    fn no_text_has_the_word_of_an_open_key() {
        for bytes in [&[1][..], &[255], &[255; 4], &[255; 12], &[255; 40]] {
            assert_ne!(Text::new(bytes).pieces()[0], OPEN);
        }
    }

    #[test]
    fn nothing_is_known_after_it_is_cleared() {
        let scratch = Bump::new();
        let layout = KeyLayout::new(&[Physical::I64]);
        let (mut front, table) = (Front::new(&layout), Table::new(layout.words()));
        let columns = [Vector::new(Data::I64(&[0, 5]))];
        for _ in 0..2 {
            let mut bases = [0; 2];
            assert_eq!(front.find(&layout, &columns, &table, &mut bases, &scratch).unwrap(), [0, 1]);
            front.learn(&columns, &[7, 9]);
            assert!(front.find(&layout, &columns, &table, &mut bases, &scratch).unwrap().is_empty());
            assert_eq!(bases, [7, 9]);
            front.clear();
        }
    }
}
