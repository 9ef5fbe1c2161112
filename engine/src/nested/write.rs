//! Nested values being written.

use bumpalo::Bump;

use super::{END, Leaf, NULL, Place, TEXT_END, TEXT_ZERO, VALUE, is_null, payload, width};
use crate::batch::{Data, Text, Vector};
use crate::error::{Code, Error, Result};
use crate::expr::order_of;
use crate::types::DataType;

/// Bytes of one nested value, at most.
pub const BYTES_MAX: usize = 1 << 28;

/// Writes one value after the other into memory that it keeps. Parts of an array or a row are written
/// between opening and closing it, each with [`Writer::end_part`] behind it.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
    /// Ends of the parts of whatever is open.
    ends: Vec<u32>,
}

/// An array or row that is being written.
#[derive(Clone, Copy, Debug)]
pub struct Open {
    start: usize,
    ends: usize,
}

impl Writer {
    /// Forgets what was written.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// What was written.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What was written, as a value in `scratch`.
    pub fn value<'a>(&self, scratch: &'a Bump) -> Result<Text<'a>> {
        if self.bytes.len() > BYTES_MAX {
            let error = Error::new(Code::Limit, format!("a nested value of {} bytes is too large", self.bytes.len()));
            return Err(error.note(format!("limit: {BYTES_MAX} bytes")));
        }
        Ok(Text::new(&self.bytes).copy_to(scratch))
    }

    /// Takes back what was written behind the first `length` bytes, in which nothing was opened.
    pub(super) fn cut(&mut self, length: usize) {
        self.bytes.truncate(length);
    }

    /// An array or row begins.
    pub fn open(&self) -> Open {
        Open { start: self.bytes.len(), ends: self.ends.len() }
    }

    /// A part of `open` has been written; `width` is that of its type.
    #[inline]
    pub fn end_part(&mut self, open: Open, width: Option<usize>) {
        if width.is_none() {
            self.ends.push(u32::try_from(self.bytes.len() - open.start).unwrap_or(u32::MAX));
        }
    }

    fn put_ends(&mut self, open: Open) {
        for end in self.ends.drain(open.ends..) {
            self.bytes.extend_from_slice(&end.to_le_bytes());
        }
    }

    /// The array has all its elements, of a type of this width.
    pub fn close_list(&mut self, open: Open, width: Option<usize>) {
        self.bytes.push(END);
        if width.is_none() {
            let count = (self.ends.len() - open.ends) as u32;
            self.put_ends(open);
            self.bytes.extend_from_slice(&count.to_le_bytes());
        }
    }

    /// The row has all its members.
    pub fn close_row(&mut self, open: Open) {
        self.put_ends(open);
    }

    /// A whole map of `entries`, parts that are rows of a key at `place` and a value; `width` is that of their type.
    pub fn map(&mut self, entries: &mut [&[u8]], place: Place, width: Option<usize>) -> Result<()> {
        entries.sort_by(|left, right| place.of(payload(left)).cmp(place.of(payload(right))));
        let same = |pair: &[&[u8]]| place.of(payload(pair[0])) == place.of(payload(pair[1]));
        if entries.windows(2).any(same) {
            let error = Error::new(Code::Cast, "a map has a key twice");
            return Err(error.help("each key may stand there once"));
        }
        if entries.iter().any(|entry| is_null(place.of(payload(entry)))) {
            return Err(Error::new(Code::Cast, "a key of a map is NULL"));
        }
        let open = self.open();
        for entry in entries {
            self.part(entry);
            self.end_part(open, width);
        }
        self.close_list(open, width);
        Ok(())
    }

    /// A part as it stands in another value.
    #[inline]
    pub fn part(&mut self, part: &[u8]) {
        self.bytes.extend_from_slice(part);
    }

    /// A part that is NULL, of a type of this width.
    pub fn null(&mut self, width: Option<usize>) {
        self.bytes.push(NULL);
        self.bytes.resize(self.bytes.len() + width.unwrap_or(0), 0);
    }

    /// A part that is a value begins: an array or row follows, or what one is made of.
    pub fn begin_value(&mut self) {
        self.bytes.push(VALUE);
    }

    /// A part that is a whole number, a truth or a time.
    #[inline]
    pub fn i64(&mut self, value: i64) {
        let mut part = [VALUE; 9];
        part[1..].copy_from_slice(&(value as u64 ^ 1 << 63).to_be_bytes());
        self.bytes.extend_from_slice(&part);
    }

    /// A part that is a decimal of 19 digits or more.
    pub fn i128(&mut self, value: i128) {
        self.bytes.push(VALUE);
        self.bytes.extend_from_slice(&(value as u128 ^ 1 << 127).to_be_bytes());
    }

    /// A part that is a DOUBLE.
    pub fn f64(&mut self, value: f64) {
        self.i64(order_of(value));
    }

    /// A part of a type that is no text and not nested.
    pub fn leaf(&mut self, leaf: Leaf) {
        match leaf {
            Leaf::I64(value) => self.i64(value),
            Leaf::I128(value) => self.i128(value),
            Leaf::F64(value) => self.f64(value),
        }
    }

    /// A part that is text.
    pub fn text(&mut self, text: &[u8]) {
        self.bytes.push(VALUE);
        let mut rest = text;
        while let Some(at) = memchr::memchr(0, rest) {
            self.bytes.extend_from_slice(&rest[..at]);
            self.bytes.extend_from_slice(&TEXT_ZERO);
            rest = &rest[at + 1..];
        }
        self.bytes.extend_from_slice(rest);
        self.bytes.extend_from_slice(&TEXT_END);
    }

    /// A part that is an array, map or row.
    pub fn nested(&mut self, value: &[u8]) {
        self.bytes.push(VALUE);
        self.bytes.extend_from_slice(value);
    }

    /// A part that is row `row` of a column of `data_type`.
    #[inline]
    pub fn row_of(&mut self, column: &Vector<'_>, row: usize, data_type: DataType) {
        if column.is_null(row) {
            return self.null(width(data_type));
        }
        match column.data {
            Data::I64(values) => self.i64(values[row]),
            Data::I128(values) => self.i128(values[row]),
            Data::F64(values) => self.f64(values[row]),
            Data::Text(values) if data_type.is_nested() => self.nested(values[row].as_bytes()),
            Data::Text(values) => self.text(values[row].as_bytes()),
        }
    }
}
