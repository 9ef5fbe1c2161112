//! Borrowed columns: what operators and kernels read.

use std::ops::Range;

use super::Text;
use crate::types::Physical;

/// Rows in a batch, at most; also the most rows of a chunk.
pub const BATCH_ROWS: usize = 1024;
/// Words of a bitmap that covers a full batch.
pub const BITMAP_WORDS: usize = BATCH_ROWS / 64;

/// Which rows are NULL: bit `row % 64` of word `row / 64` is set for a NULL. Absent when there are
/// none; words cover at least the rows of the vector. The value under a NULL is any valid value.
pub type Nulls<'a> = Option<&'a [u64]>;

/// Whether `row` is NULL.
#[inline]
pub fn is_null(nulls: Nulls<'_>, row: usize) -> bool {
    nulls.is_some_and(|words| words[row / 64] >> (row % 64) & 1 == 1)
}

/// How many of the first `rows` rows are NULL.
#[inline]
pub fn count_nulls(nulls: Nulls<'_>, rows: usize) -> usize {
    let Some(words) = nulls else { return 0 };
    let full: u32 = words[..rows / 64].iter().map(|word| word.count_ones()).sum();
    let rest = if rows.is_multiple_of(64) { 0 } else { (words[rows / 64] & !(u64::MAX << (rows % 64))).count_ones() };
    (full + rest) as usize
}

/// The values of a column.
#[derive(Clone, Copy, Debug)]
pub enum Data<'a> {
    /// BOOLEAN, INT, BIGINT, TIMESTAMP, DATE, INTERVAL, DECIMAL up to 18 digits.
    I64(&'a [i64]),
    /// DECIMAL of 19 to 38 digits.
    I128(&'a [i128]),
    /// DOUBLE.
    F64(&'a [f64]),
    /// STRING.
    Text(&'a [Text<'a>]),
}

/// A column: values and which of them are NULL.
#[derive(Clone, Copy, Debug)]
pub struct Vector<'a> {
    /// One value a row.
    pub data: Data<'a>,
    /// Which rows are NULL.
    pub nulls: Nulls<'a>,
}

impl<'a> Vector<'a> {
    /// A column without NULLs.
    #[inline]
    pub fn new(data: Data<'a>) -> Self {
        Vector { data, nulls: None }
    }

    /// Number of rows.
    #[inline]
    pub fn len(&self) -> usize {
        match self.data {
            Data::I64(values) => values.len(),
            Data::I128(values) => values.len(),
            Data::F64(values) => values.len(),
            Data::Text(values) => values.len(),
        }
    }

    /// No rows.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Of a chunk of `rows` rows: it has no values for them (see [`super`]).
    #[inline]
    pub fn is_absent(&self, rows: usize) -> bool {
        rows > 0 && self.is_empty()
    }

    /// A column of this shape that is absent.
    pub fn absent(physical: Physical) -> Self {
        Vector::new(match physical {
            Physical::I64 => Data::I64(&[]),
            Physical::I128 => Data::I128(&[]),
            Physical::F64 => Data::F64(&[]),
            Physical::Text => Data::Text(&[]),
        })
    }

    /// Its shape.
    pub fn physical(&self) -> Physical {
        match self.data {
            Data::I64(_) => Physical::I64,
            Data::I128(_) => Physical::I128,
            Data::F64(_) => Physical::F64,
            Data::Text(_) => Physical::Text,
        }
    }

    /// The `i64` values. Panics on another shape: the planner decides shapes, so that is a bug.
    #[inline]
    pub fn i64s(&self) -> &'a [i64] {
        match self.data {
            Data::I64(values) => values,
            _ => panic!("the plan promised an i64 column"),
        }
    }

    /// The `i128` values; panics as [`Vector::i64s`].
    #[inline]
    pub fn i128s(&self) -> &'a [i128] {
        match self.data {
            Data::I128(values) => values,
            _ => panic!("the plan promised an i128 column"),
        }
    }

    /// The `f64` values; panics as [`Vector::i64s`].
    #[inline]
    pub fn f64s(&self) -> &'a [f64] {
        match self.data {
            Data::F64(values) => values,
            _ => panic!("the plan promised an f64 column"),
        }
    }

    /// The texts; panics as [`Vector::i64s`].
    #[inline]
    pub fn texts(&self) -> &'a [Text<'a>] {
        match self.data {
            Data::Text(values) => values,
            _ => panic!("the plan promised a text column"),
        }
    }

    /// Whether `row` is NULL.
    #[inline]
    pub fn is_null(&self, row: usize) -> bool {
        is_null(self.nulls, row)
    }
}

/// Up to [`BATCH_ROWS`] rows on their way through the operators: borrowed columns of equal length.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    /// Number of rows; every column that is not absent has as many.
    pub rows: usize,
    /// The columns, in the order of the producing node's schema.
    pub columns: &'a [Vector<'a>],
    /// Where each row came from, `split << 32 | byte offset in the split`: the total order of the
    /// input. Present where the plan needs it (see `plan::Needs`).
    pub positions: Option<&'a [u64]>,
    /// Which row of its shard's reading order each row is, `ordinal << 12 | source shard`.
    /// Present under `--rate` and `--ordered`.
    pub ordinals: Option<&'a [u64]>,
    /// For rows that are late for a part of their windows: a window that has ended by then is not
    /// theirs any more. Absent where every row has all its windows.
    pub floors: Option<&'a [i64]>,
    /// Time-stamp counter when the newest row's bytes had been read; 0 if not measured.
    pub stamp: u64,
}

impl<'a> Chunk<'a> {
    /// The rows named by `selection`, in that order, gathered into `scratch`.
    pub fn gather(&self, selection: &[u16], scratch: &'a bumpalo::Bump) -> Chunk<'a> {
        let columns =
            scratch.alloc_slice_fill_iter(self.columns.iter().map(|column| gather(column, selection, scratch)));
        let pick = |side: Option<&'a [u64]>| {
            side.map(|side| &*scratch.alloc_slice_fill_iter(selection.iter().map(|&row| side[usize::from(row)])))
        };
        Chunk {
            rows: selection.len(),
            columns,
            positions: pick(self.positions),
            ordinals: pick(self.ordinals),
            floors: self
                .floors
                .map(|floors| &*scratch.alloc_slice_fill_iter(selection.iter().map(|&row| floors[usize::from(row)]))),
            stamp: self.stamp,
        }
    }
}

impl<'a> Chunk<'a> {
    /// The rows of `range`; nothing is copied but NULLs.
    pub fn slice(&self, range: Range<usize>, scratch: &'a bumpalo::Bump) -> Chunk<'a> {
        let side = |side: Option<&'a [u64]>| side.map(|side| &side[range.clone()]);
        Chunk {
            rows: range.len(),
            columns: scratch
                .alloc_slice_fill_iter(self.columns.iter().map(|column| slice(column, range.clone(), scratch))),
            positions: side(self.positions),
            ordinals: side(self.ordinals),
            floors: self.floors.map(|floors| &floors[range.clone()]),
            stamp: self.stamp,
        }
    }
}

/// The rows of `column` in `range`; nothing is copied but NULLs.
pub fn slice<'a>(column: &Vector<'a>, range: Range<usize>, scratch: &'a bumpalo::Bump) -> Vector<'a> {
    if column.is_absent(range.end) {
        return *column;
    }
    let data = match column.data {
        Data::I64(values) => Data::I64(&values[range.clone()]),
        Data::I128(values) => Data::I128(&values[range.clone()]),
        Data::F64(values) => Data::F64(&values[range.clone()]),
        Data::Text(values) => Data::Text(&values[range.clone()]),
    };
    let nulls = column.nulls.map(|_| pick_nulls(column, range.map(|row| row as u16), scratch));
    Vector { data, nulls }
}

fn pick_nulls<'a>(
    column: &Vector<'_>,
    rows: impl ExactSizeIterator<Item = u16>,
    scratch: &'a bumpalo::Bump,
) -> &'a [u64] {
    let words = scratch.alloc_slice_fill_copy(rows.len().div_ceil(64).max(1), 0u64);
    for (to, row) in rows.enumerate() {
        words[to / 64] |= u64::from(column.is_null(usize::from(row))) << (to % 64);
    }
    words
}

/// The rows of `column` named by `selection`, in that order.
pub fn gather<'a>(column: &Vector<'a>, selection: &[u16], scratch: &'a bumpalo::Bump) -> Vector<'a> {
    fn pick<'a, T: Copy>(values: &[T], selection: &[u16], scratch: &'a bumpalo::Bump) -> &'a [T] {
        scratch.alloc_slice_fill_iter(selection.iter().map(|&row| values[usize::from(row)]))
    }
    if column.is_absent(selection.len()) {
        return *column;
    }
    let data = match column.data {
        Data::I64(values) => Data::I64(pick(values, selection, scratch)),
        Data::I128(values) => Data::I128(pick(values, selection, scratch)),
        Data::F64(values) => Data::F64(pick(values, selection, scratch)),
        Data::Text(values) => Data::Text(pick(values, selection, scratch)),
    };
    let nulls = column.nulls.map(|_| pick_nulls(column, selection.iter().copied(), scratch));
    Vector { data, nulls }
}
