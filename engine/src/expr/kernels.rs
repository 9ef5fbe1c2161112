//! What kernels are built from: columns in the scratch arena, row loops that skip NULLs.
//!
//! A kernel computes every row, the rows under a NULL too, where it cannot fail; one that can fail
//! looks for the failing row only after a sticky flag said there is one, or visits rows one by one
//! and leaves out those under a NULL.

use crate::batch::{BITMAP_WORDS, Data, Nulls, Text, Vector};
use crate::error::Result;
use crate::types::{DataType, Physical, Value};
use bumpalo::Bump;

/// A row is NULL where either side is.
pub(crate) fn union<'a>(left: Nulls<'a>, right: Nulls<'a>, rows: usize, scratch: &'a Bump) -> Nulls<'a> {
    match (left, right) {
        (Some(left), Some(right)) => {
            let words = rows.div_ceil(64).max(1);
            Some(scratch.alloc_slice_fill_with(words, |word| {
                left.get(word).copied().unwrap_or(0) | right.get(word).copied().unwrap_or(0)
            }))
        }
        (one, None) | (None, one) => one,
    }
}

/// Text that lives in the arena.
#[inline]
pub(crate) fn text<'a>(bytes: &[u8], scratch: &'a Bump) -> Text<'a> {
    Text::new(bytes).copy_to(scratch)
}

/// `rows` times `value` of a type.
pub(crate) fn constant<'a>(value: &Value, data_type: DataType, rows: usize, scratch: &'a Bump) -> Vector<'a> {
    let data = match value {
        Value::I64(value) => Data::I64(scratch.alloc_slice_fill_copy(rows, *value)),
        Value::I128(value) => Data::I128(scratch.alloc_slice_fill_copy(rows, *value)),
        Value::F64(value) => Data::F64(scratch.alloc_slice_fill_copy(rows, *value)),
        Value::Text(value) => Data::Text(scratch.alloc_slice_fill_copy(rows, text(value.as_bytes(), scratch))),
        Value::Nested(value) => Data::Text(scratch.alloc_slice_fill_copy(rows, text(value, scratch))),
        Value::Null => {
            let mut column = Builder::new(data_type.physical(), rows, scratch);
            column.nulls.fill(u64::MAX);
            column.any_null = true;
            return column.finish();
        }
    };
    // The binder may leave a narrow literal under a wide decimal's type.
    match (value, data_type.physical()) {
        (Value::I64(value), Physical::I128) => {
            Vector::new(Data::I128(scratch.alloc_slice_fill_copy(rows, i128::from(*value))))
        }
        _ => Vector::new(data),
    }
}

/// The value at `row` of a column of `data_type`, as an owned constant.
pub(crate) fn value_at(vector: &Vector<'_>, row: usize, data_type: DataType) -> Value {
    if vector.is_null(row) {
        return Value::Null;
    }
    match vector.data {
        Data::I64(values) => Value::I64(values[row]),
        Data::I128(values) => Value::I128(values[row]),
        Data::F64(values) => Value::F64(values[row]),
        Data::Text(values) if data_type.is_nested() => Value::Nested(values[row].as_bytes().to_vec()),
        Data::Text(values) => Value::Text(values[row].to_str_lossy().into_owned()),
    }
}

/// A column being made.
pub(crate) struct Builder<'a> {
    values: Values<'a>,
    nulls: &'a mut [u64],
    any_null: bool,
}

enum Values<'a> {
    I64(&'a mut [i64]),
    I128(&'a mut [i128]),
    F64(&'a mut [f64]),
    Text(&'a mut [Text<'a>]),
}

impl<'a> Builder<'a> {
    pub(crate) fn new(physical: Physical, rows: usize, scratch: &'a Bump) -> Self {
        let values = match physical {
            Physical::I64 => Values::I64(scratch.alloc_slice_fill_copy(rows, 0)),
            Physical::I128 => Values::I128(scratch.alloc_slice_fill_copy(rows, 0)),
            Physical::F64 => Values::F64(scratch.alloc_slice_fill_copy(rows, 0.0)),
            Physical::Text => Values::Text(scratch.alloc_slice_fill_copy(rows, Text::EMPTY)),
        };
        Builder { values, nulls: scratch.alloc_slice_fill_copy(BITMAP_WORDS, 0), any_null: false }
    }

    pub(crate) fn set_null(&mut self, row: usize) {
        self.any_null = true;
        self.nulls[row / 64] |= 1 << (row % 64);
    }

    /// Puts row `n` of `from` at `rows[n]`.
    pub(crate) fn scatter(&mut self, from: &Vector<'a>, rows: &[u16]) {
        fn put<T: Copy>(to: &mut [T], from: &[T], rows: &[u16]) {
            for (&row, &value) in rows.iter().zip(from) {
                to[usize::from(row)] = value;
            }
        }
        match (&mut self.values, from.data) {
            (Values::I64(to), Data::I64(from)) => put(to, from, rows),
            (Values::I128(to), Data::I128(from)) => put(to, from, rows),
            (Values::F64(to), Data::F64(from)) => put(to, from, rows),
            (Values::Text(to), Data::Text(from)) => put(to, from, rows),
            _ => panic!("the plan promised branches of one shape"),
        }
        if from.nulls.is_some() {
            for (index, &row) in rows.iter().enumerate().filter(|&(index, _)| from.is_null(index)) {
                let _ = index;
                self.set_null(usize::from(row));
            }
        }
    }

    pub(crate) fn finish(self) -> Vector<'a> {
        let data = match self.values {
            Values::I64(values) => Data::I64(values),
            Values::I128(values) => Data::I128(values),
            Values::F64(values) => Data::F64(values),
            Values::Text(values) => Data::Text(values),
        };
        Vector { data, nulls: if self.any_null { Some(self.nulls) } else { None } }
    }
}

/// The value of `make` for every row without NULL; `T::default()` for the others.
#[inline]
pub(crate) fn each_row<'a, T: Copy + Default>(
    rows: usize,
    nulls: Nulls<'_>,
    scratch: &'a Bump,
    mut make: impl FnMut(usize) -> Result<T>,
) -> Result<&'a [T]> {
    let out = scratch.alloc_slice_fill_copy(rows, T::default());
    for (row, slot) in out.iter_mut().enumerate() {
        if !crate::batch::is_null(nulls, row) {
            *slot = make(row)?;
        }
    }
    Ok(out)
}

/// As [`each_row`], where `None` makes a NULL.
pub(crate) fn each_row_or_null<'a, T: Copy + Default>(
    rows: usize,
    nulls: Nulls<'a>,
    scratch: &'a Bump,
    mut make: impl FnMut(usize) -> Result<Option<T>>,
) -> Result<(&'a [T], Nulls<'a>)> {
    let words = scratch.alloc_slice_fill_copy(BITMAP_WORDS, 0u64);
    let mut any = false;
    let values = each_row(rows, nulls, scratch, |row| {
        Ok(make(row)?.unwrap_or_else(|| {
            any = true;
            words[row / 64] |= 1 << (row % 64);
            T::default()
        }))
    })?;
    let nulls = if any { union(nulls, Some(words), rows, scratch) } else { nulls };
    Ok((values, nulls))
}

/// Column `vector` as `i128`, whatever whole shape it has.
pub(crate) fn wide<'a>(vector: &Vector<'a>, scratch: &'a Bump) -> &'a [i128] {
    match vector.data {
        Data::I128(values) => values,
        _ => scratch.alloc_slice_fill_iter(vector.i64s().iter().map(|&value| i128::from(value))),
    }
}
