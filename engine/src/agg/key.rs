//! Keys as fixed words.
//!
//! Every group's row of words begins with a *tag*: the low 48 bits of the key's hash, and above them
//! one bit per key column that is NULL. Then come the key columns: one word for the `i64` shape and
//! for DOUBLE (its canonical bits), two for `i128`, and two for text: its view, with an offset into
//! the table's own bytes in place of the pointer when the text is long. A NULL's words are zero. Two
//! keys are equal exactly when tag and words are, long text aside.

use std::cmp::Ordering;

use crate::batch::{BATCH_ROWS, Data, INLINE_MAX, Nulls, Text, Vector, is_null};
use crate::hash::canonical_bits;
use crate::memory::Lines;
use crate::operator::Column;
use crate::types::Physical;

/// Bits of the hash in a tag.
const HASH_BITS: u32 = 48;
const HASH_MASK: u64 = (1 << HASH_BITS) - 1;
/// Key columns at most. One less than the bits there are: no tag is all ones.
pub(crate) const KEY_COLUMNS_MAX: usize = 15;

/// Where each key column stands in a group's words.
#[derive(Clone, Debug)]
pub(crate) struct KeyLayout {
    columns: Vec<(Physical, usize)>,
    words: usize,
}

/// The key columns of some rows, with the tag of each row.
#[derive(Clone, Copy)]
pub(crate) struct Keys<'a> {
    pub(crate) columns: &'a [Vector<'a>],
    pub(crate) tags: &'a [u64],
}

/// The tag of a row without NULLs.
#[inline]
pub(crate) fn tag(hash: u64) -> u64 {
    hash & HASH_MASK
}

/// The bit that marks key column `column` as NULL.
#[inline]
pub(crate) fn null_bit(column: usize) -> u64 {
    1 << (HASH_BITS + column as u32)
}

/// Turns hashes into tags, in place.
pub(crate) fn make_tags(columns: &[Vector<'_>], hashes: &mut [u64]) {
    for hash in hashes.iter_mut() {
        *hash &= HASH_MASK;
    }
    for (number, column) in columns.iter().enumerate() {
        if column.nulls.is_some() {
            for (row, tag) in hashes.iter_mut().enumerate() {
                *tag |= u64::from(column.is_null(row)) << (HASH_BITS + number as u32);
            }
        }
    }
}

/// A double's bits in an order-preserving form: as `i64` they compare as SQL compares doubles
/// (-0.0 equals 0.0, NaN above infinity).
#[inline]
pub(crate) fn order_bits(value: f64) -> i64 {
    let bits = canonical_bits(value) as i64;
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

/// The double of [`order_bits`].
#[inline]
pub(crate) fn from_order_bits(bits: i64) -> f64 {
    f64::from_bits((bits ^ (((bits >> 63) as u64) >> 1) as i64) as u64)
}

impl KeyLayout {
    pub(crate) fn new(physicals: &[Physical]) -> Self {
        let mut words = 1;
        let columns = physicals.iter().map(|&physical| {
            let offset = words;
            words += width(physical);
            (physical, offset)
        });
        KeyLayout { columns: columns.collect(), words }
    }

    /// Words of the tag and all key columns.
    pub(crate) fn words(&self) -> usize {
        self.words
    }

    /// Number of key columns.
    pub(crate) fn width(&self) -> usize {
        self.columns.len()
    }

    /// Sets `differ` of each row to zero when the group at the row's base has the row's key.
    pub(crate) fn compare_rows(&self, keys: &Keys<'_>, state: &[u64], bases: &[u32], bytes: &[u8], differ: &mut [u64]) {
        for ((differ, &base), tag) in differ.iter_mut().zip(bases).zip(keys.tags) {
            *differ = state[base as usize] ^ tag;
        }
        for (column, &(_, offset)) in keys.columns.iter().zip(&self.columns) {
            let rows = differ.iter_mut().zip(bases.iter().map(|&base| base as usize + offset));
            match column.data {
                Data::I64(values) => compare(rows, values, column.nulls, |_, value, at| *value as u64 ^ state[at]),
                Data::F64(values) => {
                    compare(rows, values, column.nulls, |_, value, at| canonical_bits(*value) ^ state[at])
                }
                Data::I128(values) => compare(rows, values, column.nulls, |_, value, at| {
                    (*value as u64 ^ state[at]) | ((*value >> 64) as u64 ^ state[at + 1])
                }),
                Data::Text(values) => {
                    // Which texts are long cannot be foreseen, so they are looked at apart.
                    let mut long = [0u16; BATCH_ROWS];
                    let mut count = 0;
                    compare(rows, values, column.nulls, |row, value, at| {
                        let [first, second] = value.words();
                        let differ = first ^ state[at];
                        long[count] = row as u16;
                        count += usize::from(!value.is_inline() && differ == 0);
                        differ | if value.is_inline() { second ^ state[at + 1] } else { 0 }
                    });
                    for row in long[..count].iter().map(|&row| usize::from(row)) {
                        let at = bases[row] as usize + offset;
                        differ[row] |= u64::from(!same_long(values[row].as_bytes(), long_bytes(state, at, bytes)));
                    }
                }
            }
        }
    }

    /// Whether the group at `base` has the key of `row`.
    pub(crate) fn equals(&self, keys: &Keys<'_>, row: usize, state: &[u64], base: usize, bytes: &[u8]) -> bool {
        state[base] == keys.tags[row] && self.holds(keys.columns, row, state, base, bytes)
    }

    /// The same for a row that is NULL where the group's key is.
    pub(crate) fn holds(&self, columns: &[Vector<'_>], row: usize, state: &[u64], base: usize, bytes: &[u8]) -> bool {
        columns.iter().zip(&self.columns).all(|(column, &(_, offset))| {
            let at = base + offset;
            column.is_null(row)
                || match column.data {
                    Data::I64(values) => values[row] as u64 == state[at],
                    Data::F64(values) => canonical_bits(values[row]) == state[at],
                    Data::I128(values) => values[row] == get_i128(state, at),
                    Data::Text(values) => values[row] == read_text(state, at, bytes),
                }
        })
    }

    /// Writes the key of `row` to the group at `base`, keeping long text in `bytes`.
    pub(crate) fn write(&self, keys: &Keys<'_>, row: usize, state: &mut [u64], base: usize, bytes: &mut Lines<u8>) {
        state[base] = keys.tags[row];
        for (column, &(_, offset)) in keys.columns.iter().zip(&self.columns) {
            let at = base + offset;
            if column.is_null(row) {
                continue;
            }
            match column.data {
                Data::I64(values) => state[at] = values[row] as u64,
                Data::F64(values) => state[at] = canonical_bits(values[row]),
                Data::I128(values) => put_i128(state, at, values[row]),
                Data::Text(values) => {
                    let [first, second] = values[row].words();
                    state[at] = first;
                    state[at + 1] = second;
                    if !values[row].is_inline() {
                        state[at + 1] = bytes.len() as u64;
                        bytes.extend(values[row].as_bytes());
                    }
                }
            }
        }
    }

    /// Writes key column `column` of the groups at `bases` to `out` from row `start` on.
    pub(crate) fn read(
        &self,
        column: usize,
        state: &[u64],
        bases: &[u32],
        bytes: &[u8],
        out: &mut Column<'_>,
        start: usize,
    ) {
        let (physical, offset) = self.columns[column];
        let tags = bases.iter().fold(0, |tags, &base| tags | state[base as usize]);
        if tags & null_bit(column) != 0 {
            let is_null = |base: u32| state[base as usize] & null_bit(column) != 0;
            (start..).zip(bases).filter(|(_, base)| is_null(**base)).for_each(|(row, _)| out.set_null(row));
        }
        // The words of a NULL are zero, of any shape.
        let places = bases.iter().map(|&base| base as usize + offset);
        match physical {
            Physical::I64 => out.i64s()[start..].iter_mut().zip(places).for_each(|(out, at)| *out = state[at] as i64),
            Physical::F64 => {
                out.f64s()[start..].iter_mut().zip(places).for_each(|(out, at)| *out = f64::from_bits(state[at]));
            }
            Physical::I128 => {
                out.i128s()[start..].iter_mut().zip(places).for_each(|(out, at)| *out = get_i128(state, at));
            }
            Physical::Text => out.set_texts(start, places.map(|at| read_text(state, at, bytes))),
        }
    }

    /// Shape and offset of each key column.
    pub(crate) fn columns(&self) -> &[(Physical, usize)] {
        &self.columns
    }

    /// Orders the groups at two bases by key.
    pub(crate) fn compare_groups(&self, state: &[u64], left: usize, right: usize, bytes: &[u8]) -> Ordering {
        for (number, &(physical, offset)) in self.columns.iter().enumerate() {
            let null = null_bit(number);
            let (a, b) = (left + offset, right + offset);
            let ordering = match (state[left] & null != 0, state[right] & null != 0) {
                (false, false) => match physical {
                    Physical::I64 => (state[a] as i64).cmp(&(state[b] as i64)),
                    Physical::F64 => order_bits(f64::from_bits(state[a])).cmp(&order_bits(f64::from_bits(state[b]))),
                    Physical::I128 => get_i128(state, a).cmp(&get_i128(state, b)),
                    Physical::Text => read_text(state, a, bytes).cmp(&read_text(state, b, bytes)),
                },
                (left, right) => left.cmp(&right),
            };
            if ordering != Ordering::Equal {
                return ordering;
            }
        }
        Ordering::Equal
    }
}

fn compare<'s, T>(
    rows: impl Iterator<Item = (&'s mut u64, usize)>,
    values: &[T],
    nulls: Nulls<'_>,
    mut differs: impl FnMut(usize, &T, usize) -> u64,
) {
    if nulls.is_none() {
        for (row, ((differ, at), value)) in rows.zip(values).enumerate() {
            *differ |= differs(row, value, at);
        }
    } else {
        for (row, ((differ, at), value)) in rows.zip(values).enumerate() {
            // The tags have told whether both are NULL.
            if !is_null(nulls, row) {
                *differ |= differs(row, value, at);
            }
        }
    }
}

/// Whether two texts of more than eight bytes and the same length are the same.
#[inline]
fn same_long(left: &[u8], right: &[u8]) -> bool {
    let pairs = left.as_chunks::<8>().0.iter().zip(right.as_chunks::<8>().0);
    let differ =
        pairs.fold(0, |differ, (left, right)| differ | (u64::from_le_bytes(*left) ^ u64::from_le_bytes(*right)));
    differ == 0 && left.last_chunk::<8>() == right.last_chunk::<8>()
}

/// Words of a value of this shape.
pub(crate) fn width(physical: Physical) -> usize {
    match physical {
        Physical::I64 | Physical::F64 => 1,
        Physical::I128 | Physical::Text => 2,
    }
}

/// The `i128` in two words, low half first.
#[inline]
pub(crate) fn get_i128(state: &[u64], at: usize) -> i128 {
    (u128::from(state[at]) | u128::from(state[at + 1]) << 64) as i128
}

/// Writes an `i128` as two words.
#[inline]
pub(crate) fn put_i128(state: &mut [u64], at: usize, value: i128) {
    state[at] = value as u64;
    state[at + 1] = (value >> 64) as u64;
}

#[inline]
fn long_bytes<'b>(state: &[u64], at: usize, bytes: &'b [u8]) -> &'b [u8] {
    let start = state[at + 1] as usize;
    &bytes[start..start + state[at] as u32 as usize]
}

/// The text whose view stands in two words, long text being kept in `bytes`.
#[inline]
pub(crate) fn read_text<'b>(state: &[u64], at: usize, bytes: &'b [u8]) -> Text<'b> {
    let words = [state[at], state[at + 1]];
    if words[0] as u32 as usize > INLINE_MAX { Text::new(long_bytes(state, at, bytes)) } else { Text::of_short(words) }
}
