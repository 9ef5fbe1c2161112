//! Nested values read: parts, and columns made of them. Bytes that are no value of the type, which only
//! damaged state can bring, read as NULL or as nothing.

use bumpalo::Bump;

use super::{NULL, TEXT_END, TEXT_ZERO, VALUE, width};
use crate::batch::{BITMAP_WORDS, Data, Text, Vector};
use crate::types::{DataType, Member, Physical};

const NO_PART: &[u8] = &[NULL];

/// Whether a part is NULL.
#[inline]
pub fn is_null(part: &[u8]) -> bool {
    part.first() != Some(&VALUE)
}

/// What stands behind a part's first byte.
#[inline]
pub fn payload(part: &[u8]) -> &[u8] {
    part.get(1..).unwrap_or_default()
}

fn word(bytes: &[u8], at: usize) -> usize {
    bytes.get(at..at + 4).map_or(0, |word| u32::from_le_bytes(word.try_into().expect("four bytes")) as usize)
}

/// The elements of an array, or the entries of a map.
#[derive(Clone, Copy, Debug)]
pub struct List<'a> {
    bytes: &'a [u8],
    /// Bytes of each part, if all have as many.
    stride: Option<usize>,
    len: usize,
}

impl<'a> List<'a> {
    /// The elements of the array whose bytes these are; `width` is that of its element type.
    #[inline]
    pub fn new(bytes: &'a [u8], width: Option<usize>) -> Self {
        let stride = width.map(|width| 1 + width);
        let len = match stride {
            Some(stride) => bytes.len().saturating_sub(1) / stride,
            None => {
                let len = word(bytes, bytes.len().saturating_sub(4));
                if len.saturating_mul(4) + 5 <= bytes.len() { len } else { 0 }
            }
        };
        List { bytes, stride, len }
    }

    /// How many.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// None.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The part at `at`, from 0; it must be there.
    #[inline]
    pub fn get(&self, at: usize) -> &'a [u8] {
        let range = match self.stride {
            Some(stride) => at * stride..(at + 1) * stride,
            None => {
                let ends = self.bytes.len() - 4 * (self.len + 1);
                let start = if at == 0 { 0 } else { word(self.bytes, ends + 4 * (at - 1)) };
                start..word(self.bytes, ends + 4 * at)
            }
        };
        self.bytes.get(range).unwrap_or(NO_PART)
    }

    /// All parts, in order.
    pub fn iter(self) -> impl ExactSizeIterator<Item = &'a [u8]> {
        (0..self.len).map(move |at| self.get(at))
    }
}

/// The type of a map's entries.
pub fn entry_type(members: &'static [Member]) -> DataType {
    DataType::Row(members)
}

/// Where a member's part stands in a row.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Number of the member without one width that stands last before it.
    before: Option<usize>,
    /// Bytes from there to the part.
    skip: usize,
    /// Bytes of the part; `None`: it ends where the next end says.
    stride: Option<usize>,
    /// Ends at the end of the row.
    ends: usize,
}

impl Place {
    /// The place of member `index`.
    pub fn new(members: &[Member], index: usize) -> Self {
        let widths = || members.iter().map(|member| width(member.data_type));
        let mut place = Place {
            before: None,
            skip: 0,
            stride: widths().nth(index).flatten().map(|width| 1 + width),
            ends: widths().filter(Option::is_none).count(),
        };
        for width in widths().take(index) {
            match width {
                Some(width) => place.skip += 1 + width,
                None => (place.before, place.skip) = (Some(place.before.map_or(0, |number| number + 1)), 0),
            }
        }
        place
    }

    /// The member's part of a row.
    #[inline]
    pub fn of<'a>(&self, row: &'a [u8]) -> &'a [u8] {
        let ends = row.len().saturating_sub(4 * self.ends);
        let start = self.before.map_or(0, |number| word(row, ends + 4 * number)) + self.skip;
        let end = match self.stride {
            Some(stride) => start + stride,
            None => word(row, ends + 4 * self.before.map_or(0, |number| number + 1)),
        };
        row.get(start..end).filter(|part| !part.is_empty()).unwrap_or(NO_PART)
    }
}

/// A part that is no text and not nested.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Leaf {
    /// A value of shape [`Physical::I64`].
    I64(i64),
    /// A value of shape [`Physical::I128`].
    I128(i128),
    /// A DOUBLE.
    F64(f64),
}

#[inline]
fn i64_of(payload: &[u8]) -> i64 {
    let bytes: [u8; 8] = payload.get(..8).and_then(|bytes| bytes.try_into().ok()).unwrap_or_default();
    (u64::from_be_bytes(bytes) ^ 1 << 63) as i64
}

fn i128_of(payload: &[u8]) -> i128 {
    let bytes: [u8; 16] = payload.get(..16).and_then(|bytes| bytes.try_into().ok()).unwrap_or_default();
    (u128::from_be_bytes(bytes) ^ 1 << 127) as i128
}

#[inline]
fn f64_of(payload: &[u8]) -> f64 {
    let order = i64_of(payload);
    f64::from_bits((order ^ (((order >> 63) as u64) >> 1) as i64) as u64)
}

/// The value of a payload of a type that is no text and not nested.
pub(crate) fn leaf(payload: &[u8], data_type: DataType) -> Leaf {
    match data_type.physical() {
        Physical::I128 => Leaf::I128(i128_of(payload)),
        Physical::F64 => Leaf::F64(f64_of(payload)),
        _ => Leaf::I64(i64_of(payload)),
    }
}

/// The text of a payload; one with a 0 in it is put together in `scratch`.
#[inline]
pub(crate) fn text_of<'a>(payload: &'a [u8], scratch: &'a Bump) -> &'a [u8] {
    let text = payload.strip_suffix(&TEXT_END).unwrap_or(payload);
    match memchr::memchr(0, text) {
        None => text,
        Some(_) => {
            let mut whole = bumpalo::collections::Vec::with_capacity_in(text.len(), scratch);
            let mut rest = text;
            while let Some(at) = memchr::memchr(0, rest) {
                whole.extend_from_slice(&rest[..=at]);
                rest = rest.get(at + TEXT_ZERO.len()..).unwrap_or_default();
            }
            whole.extend_from_slice(rest);
            whole.into_bump_slice()
        }
    }
}

/// A column of `rows` values of `data_type` from their parts; `None` makes a NULL as well.
pub fn column<'a>(
    data_type: DataType,
    rows: usize,
    scratch: &'a Bump,
    mut part: impl FnMut(usize) -> Option<&'a [u8]>,
) -> Vector<'a> {
    let mut nulls: Option<&'a mut [u64]> = None;
    macro_rules! each {
        ($default:expr, $read:expr) => {{
            let values = scratch.alloc_slice_fill_copy(rows, $default);
            for (row, value) in values.iter_mut().enumerate() {
                match part(row).filter(|part| !is_null(part)) {
                    Some(part) => *value = $read(payload(part)),
                    None => {
                        let words = (rows.div_ceil(64)).max(BITMAP_WORDS);
                        let nulls = nulls.get_or_insert_with(|| scratch.alloc_slice_fill_copy(words, 0));
                        nulls[row / 64] |= 1 << (row % 64);
                    }
                }
            }
            &*values
        }};
    }
    let data = match data_type {
        DataType::Text | DataType::Json => {
            Data::Text(each!(Text::EMPTY, |payload| Text::new(text_of(payload, scratch))))
        }
        nested if nested.is_nested() => Data::Text(each!(Text::EMPTY, Text::new)),
        plain => match plain.physical() {
            Physical::I128 => Data::I128(each!(0, i128_of)),
            Physical::F64 => Data::F64(each!(0.0, f64_of)),
            _ => Data::I64(each!(0, i64_of)),
        },
    };
    Vector { data, nulls: nulls.map(|nulls| &*nulls) }
}
