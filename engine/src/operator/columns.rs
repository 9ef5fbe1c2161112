//! Columns that are written value by value into scratch memory: how operators with state answer.

use bumpalo::Bump;

use crate::batch::{BATCH_ROWS, BITMAP_WORDS, Data, Text, Vector};
use crate::types::Physical;

/// A column of up to [`BATCH_ROWS`] values being written.
pub(crate) struct Column<'a> {
    pub(crate) values: Values<'a>,
    nulls: Option<&'a mut [u64]>,
    scratch: &'a Bump,
}

/// Its values.
pub(crate) enum Values<'a> {
    I64(&'a mut [i64]),
    I128(&'a mut [i128]),
    F64(&'a mut [f64]),
    Text(&'a mut [Text<'a>]),
}

impl<'a> Column<'a> {
    /// A column of default values with no NULL.
    pub(crate) fn new(physical: Physical, scratch: &'a Bump) -> Self {
        let values = match physical {
            Physical::I64 => Values::I64(scratch.alloc_slice_fill_copy(BATCH_ROWS, 0)),
            Physical::I128 => Values::I128(scratch.alloc_slice_fill_copy(BATCH_ROWS, 0)),
            Physical::F64 => Values::F64(scratch.alloc_slice_fill_copy(BATCH_ROWS, 0.0)),
            Physical::Text => Values::Text(scratch.alloc_slice_fill_copy(BATCH_ROWS, Text::EMPTY)),
        };
        Column { values, nulls: None, scratch }
    }

    /// Makes `row` NULL.
    pub(crate) fn set_null(&mut self, row: usize) {
        let nulls = self.nulls.get_or_insert_with(|| self.scratch.alloc_slice_fill_copy(BITMAP_WORDS, 0));
        nulls[row / 64] |= 1 << (row % 64);
    }

    /// Puts a text at `row`; long text is copied into the scratch.
    pub(crate) fn set_text(&mut self, row: usize, text: Text<'_>) {
        self.texts()[row] = text.copy_to(self.scratch);
    }

    /// Puts texts at `start` and behind, as [`Column::set_text`] does.
    pub(crate) fn set_texts<'t>(&mut self, start: usize, texts: impl Iterator<Item = Text<'t>>) {
        let scratch = self.scratch;
        self.texts()[start..].iter_mut().zip(texts).for_each(|(out, text)| *out = text.copy_to(scratch));
    }

    /// Copies row `from` of `source` to row `to`.
    pub(crate) fn copy(&mut self, to: usize, source: &Vector<'_>, from: usize) {
        if source.is_null(from) {
            return self.set_null(to);
        }
        match source.data {
            Data::I64(values) => self.i64s()[to] = values[from],
            Data::I128(values) => self.i128s()[to] = values[from],
            Data::F64(values) => self.f64s()[to] = values[from],
            Data::Text(values) => self.set_text(to, values[from]),
        }
    }

    /// The values, which must be of this shape: the plan decides shapes.
    pub(crate) fn i64s(&mut self) -> &mut [i64] {
        match &mut self.values {
            Values::I64(values) => values,
            _ => panic!("the plan promised an i64 column"),
        }
    }

    /// As [`Column::i64s`].
    pub(crate) fn i128s(&mut self) -> &mut [i128] {
        match &mut self.values {
            Values::I128(values) => values,
            _ => panic!("the plan promised an i128 column"),
        }
    }

    /// As [`Column::i64s`].
    pub(crate) fn f64s(&mut self) -> &mut [f64] {
        match &mut self.values {
            Values::F64(values) => values,
            _ => panic!("the plan promised an f64 column"),
        }
    }

    fn texts(&mut self) -> &mut [Text<'a>] {
        match &mut self.values {
            Values::Text(values) => values,
            _ => panic!("the plan promised a text column"),
        }
    }

    /// The first `rows` rows, written.
    pub(crate) fn finish(self, rows: usize) -> Vector<'a> {
        let data = match self.values {
            Values::I64(values) => Data::I64(&values[..rows]),
            Values::I128(values) => Data::I128(&values[..rows]),
            Values::F64(values) => Data::F64(&values[..rows]),
            Values::Text(values) => Data::Text(&values[..rows]),
        };
        Vector { data, nulls: self.nulls.map(|nulls| &*nulls) }
    }
}
