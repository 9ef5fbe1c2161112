//! The hash that is sent and stored, specified byte for byte.
//!
//! A key is hashed column by column into one `u64` that decides its key group, and with it its
//! shard; checkpoints record it. It must therefore never change. Every column gives words:
//!
//! | column | words |
//! |---|---|
//! | NULL of any type | `0x9E37_79B9_7F4A_7C15` |
//! | `i64` shape | the value |
//! | `i128` shape | low half, high half |
//! | DOUBLE | the bits, after -0.0 became 0.0 and every NaN `0x7FF8_0000_0000_0000` |
//! | STRING | length `+` first 4 bytes `<< 32`, then each further 8 bytes, little endian, zero padded; at least two words |
//!
//! From `h = seed ^ 0x2D35_8DCC_AA6C_78A5`, each word `w` makes `h = fold(h ^ w)`, where `fold(x)`
//! is the exclusive or of the two halves of the 128-bit product `x * 0x9E37_79B9_7F4A_7C15`; a last
//! `h = fold(h ^ 0x8BB8_4B93_962E_ACC9)` ends it. (The folded multiplication is wyhash's and foldhash's.)

use crate::batch::{Data, INLINE_MAX, Text, Vector};

/// The seed unless `--hash-seed` says otherwise.
pub const DEFAULT_SEED: u64 = 0;
/// Key groups: the unit in which state is dealt to shards and stored.
pub const KEY_GROUPS: usize = 4096;

const START: u64 = 0x2D35_8DCC_AA6C_78A5;
const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;
const END: u64 = 0x8BB8_4B93_962E_ACC9;
const NULL_WORD: u64 = 0x9E37_79B9_7F4A_7C15;

/// Texts hashed at a time: a few rows that are hashed apart shall not pay for room for a whole batch.
const TEXTS: usize = 64;

#[inline]
fn fold(x: u64) -> u64 {
    let product = u128::from(x) * u128::from(MULTIPLIER);
    product as u64 ^ (product >> 64) as u64
}

/// The state before the first column.
#[inline]
pub fn start(seed: u64) -> u64 {
    seed ^ START
}

/// Takes one word.
#[inline]
pub fn word(state: u64, word: u64) -> u64 {
    fold(state ^ word)
}

/// Takes one text.
#[inline]
pub fn text(state: u64, text: &Text<'_>) -> u64 {
    let [first, second] = text.words();
    if text.is_inline() {
        return word(word(state, first), second);
    }
    long_text(word(state, first), text.as_bytes())
}

/// Takes what stands behind the first four bytes of a text that is not inline.
#[inline]
fn long_text(mut state: u64, bytes: &[u8]) -> u64 {
    let (pieces, rest) = bytes[4..].as_chunks::<8>();
    for piece in pieces {
        state = word(state, u64::from_le_bytes(*piece));
    }
    match (rest.len(), bytes.last_chunk::<8>()) {
        (1.., Some(last)) => word(state, u64::from_le_bytes(*last) >> (64 - 8 * rest.len())),
        _ => state,
    }
}

/// Takes the texts of a column, a stretch at a time: short ones have no branch and nothing to remember.
fn texts(values: &[Text<'_>], hashes: &mut [u64]) {
    for (values, hashes) in values.chunks(TEXTS).zip(hashes.chunks_mut(TEXTS)) {
        if values.iter().fold(true, |all, value| all & value.is_inline()) {
            for (state, value) in hashes.iter_mut().zip(values) {
                let [first, second] = value.words();
                *state = word(word(*state, first), second);
            }
        } else {
            mixed_texts(values, hashes);
        }
    }
}

/// Takes up to [`TEXTS`] texts. Which are long cannot be foreseen, so all are taken as short ones first,
/// without a branch, and the long ones once more.
fn mixed_texts(values: &[Text<'_>], hashes: &mut [u64]) {
    let mut long = [(0u16, 0u64); TEXTS];
    let mut count = 0;
    for (row, (state, value)) in hashes.iter_mut().zip(values).enumerate() {
        let [first, second] = value.words();
        let after = word(*state, first);
        long[count] = (row as u16, after);
        count += usize::from(!value.is_inline());
        *state = word(after, second);
    }
    for &(row, state) in &long[..count] {
        hashes[usize::from(row)] = long_text(state, values[usize::from(row)].as_bytes());
    }
}

/// The bits of a double that all doubles equal to it in SQL share.
#[inline]
pub fn canonical_bits(value: f64) -> u64 {
    if value.is_nan() {
        0x7FF8_0000_0000_0000
    } else if value == 0.0 {
        0
    } else {
        value.to_bits()
    }
}

/// Ends the hash.
#[inline]
pub fn end(state: u64) -> u64 {
    word(state, END)
}

/// The key group of a hash.
#[inline]
pub fn key_group(hash: u64) -> usize {
    (hash >> 52) as usize
}

/// Hashes the rows of key columns into `hashes` (one per row; its length is the number of rows).
pub fn hash_rows(columns: &[Vector<'_>], seed: u64, hashes: &mut [u64]) {
    match *columns {
        [Vector { data: Data::Text(a), nulls: None }] => return hash_texts([a], seed, hashes),
        [Vector { data: Data::Text(a), nulls: None }, Vector { data: Data::Text(b), nulls: None }] => {
            return hash_texts([a, b], seed, hashes);
        }
        _ => {}
    }
    hashes.fill(start(seed));
    for column in columns {
        hash_column(column, hashes);
    }
    for hash in hashes {
        *hash = end(*hash);
    }
}

/// The same for one or two columns of texts, the most frequent keys: rows of short ones are hashed in one pass,
/// in registers.
fn hash_texts<const N: usize>(columns: [&[Text<'_>]; N], seed: u64, hashes: &mut [u64]) {
    let start = start(seed);
    for (number, hashes) in hashes.chunks_mut(TEXTS).enumerate() {
        let rows = number * TEXTS..number * TEXTS + hashes.len();
        let columns = columns.map(|values| &values[rows.clone()]);
        let are_short = |values: &[Text<'_>]| values.iter().fold(true, |all, value| all & value.is_inline());
        if columns.iter().all(|values| are_short(values)) {
            for (row, hash) in hashes.iter_mut().enumerate() {
                *hash = end(columns.iter().fold(start, |state, values| {
                    let [first, second] = values[row].words();
                    word(word(state, first), second)
                }));
            }
            continue;
        }
        hashes.fill(start);
        columns.iter().for_each(|values| texts(values, hashes));
        hashes.iter_mut().for_each(|hash| *hash = end(*hash));
    }
}

fn hash_column(column: &Vector<'_>, hashes: &mut [u64]) {
    let nulls = column.nulls;
    macro_rules! each {
        ($values:expr, |$state:ident, $value:ident| $next:expr) => {
            if nulls.is_none() {
                for ($state, $value) in hashes.iter_mut().zip($values) {
                    *$state = $next;
                }
            } else {
                for (row, ($state, $value)) in hashes.iter_mut().zip($values).enumerate() {
                    *$state = if column.is_null(row) { word(*$state, NULL_WORD) } else { $next };
                }
            }
        };
    }
    match column.data {
        Data::I64(values) => each!(values, |state, value| word(*state, *value as u64)),
        Data::I128(values) => {
            each!(values, |state, value| word(word(*state, *value as u64), (*value >> 64) as u64))
        }
        Data::F64(values) => each!(values, |state, value| word(*state, canonical_bits(*value))),
        Data::Text(values) => {
            const { assert!(INLINE_MAX == 12) };
            if nulls.is_none() { texts(values, hashes) } else { each!(values, |state, value| text(*state, value)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_never_changes() {
        let texts = [Text::new(b"TRADER7"), Text::new(b"a text of more than twelve bytes")];
        let columns = [Vector::new(Data::Text(&texts)), Vector::new(Data::I64(&[42, -1]))];
        let mut hashes = [0; 2];
        hash_rows(&columns, DEFAULT_SEED, &mut hashes);
        assert_eq!(hashes, EXPECTED, "state and rings of other versions use this hash: {hashes:#018x?}");
    }

    /// Every length, alone and among others, gives the words that the table above says.
    #[test]
    fn texts_of_every_length_are_hashed_as_specified() {
        let bytes: Vec<u8> = (1..=60).collect();
        let lengths = || (0..TEXTS).map(|number| number % 13).chain(0..=60);
        let all: Vec<Text<'_>> = lengths().map(|len| Text::new(&bytes[..len])).collect();
        let mut hashes = vec![0; all.len()];
        let column = Vector::new(Data::Text(&all));
        hash_rows(&[column], 7, &mut hashes);
        let mut pairs = vec![0; all.len()];
        hash_rows(&[column, column], 7, &mut pairs);
        for ((len, hash), pair) in lengths().zip(hashes).zip(pairs) {
            let mut padded = bytes[..len].to_vec();
            padded.resize(12.max(4 + (len.saturating_sub(4)).next_multiple_of(8)), 0);
            let head = u64::from(u32::from_le_bytes(padded[..4].try_into().unwrap()));
            let take = |state: u64| {
                let pieces = padded[4..].chunks(8).map(|piece| u64::from_le_bytes(piece.try_into().unwrap()));
                pieces.fold(word(state, len as u64 | head << 32), word)
            };
            assert_eq!(hash, end(take(start(7))), "{len} bytes");
            assert_eq!(pair, end(take(take(start(7)))), "{len} bytes twice");
        }
    }

    const EXPECTED: [u64; 2] = [0xbfdc_4c5f_a86d_2a0a, 0xcaf4_cbac_ea32_b928];
}
