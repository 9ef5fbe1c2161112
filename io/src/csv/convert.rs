//! The second stage: one column of up to 1,024 rows from text to values.
//!
//! A column's loop tries the common form of its type on words loaded around the field and hands
//! anything else to the careful functions of [`super::value`]; only those can fail, and they say
//! why. Stretches with quotes, or with text that is not UTF-8, go the careful way altogether.

#![allow(unsafe_code, reason = "fields are read within margins that the reader keeps")]

use bumpalo::Bump;
use corelane_engine::batch::{Data, Text, Vector};
use corelane_engine::nested::{self, Writer};
use corelane_engine::types::{DataType, Physical};

use super::index::Index;
use super::numbers::Width;
use super::swar::{self, GROUP, Group};
use super::value::{self, LastDate, Reason};
use super::{Dialect, Kernel};

/// Bytes that must be readable on both sides of every field.
pub(crate) const MARGIN: usize = 64;

/// A row that cannot be converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Its place among the rows given.
    pub row: usize,
    /// Which column of the scan; `None` when it is the row itself.
    pub column: Option<usize>,
    /// Why.
    pub reason: Reason,
}

/// The rows of a stretch: where each begins in the index.
pub(crate) trait Rows {
    /// How many.
    fn len(&self) -> usize;
    /// The entry before the row's first field.
    fn entry(&self, row: usize) -> usize;
}

/// All rows, of `fields` fields each.
#[derive(Clone, Copy)]
pub(crate) struct Every {
    pub rows: usize,
    pub fields: usize,
}

impl Rows for Every {
    fn len(&self) -> usize {
        self.rows
    }

    #[inline(always)]
    fn entry(&self, row: usize) -> usize {
        row * self.fields
    }
}

/// Some rows.
#[derive(Clone, Copy)]
pub(crate) struct Listed<'r>(pub &'r [u32]);

impl Rows for Listed<'_> {
    fn len(&self) -> usize {
        self.0.len()
    }

    #[inline(always)]
    fn entry(&self, row: usize) -> usize {
        self.0[row] as usize
    }
}

/// The text that is converted.
#[derive(Clone, Copy)]
pub(crate) struct Stretch<'a, 'i> {
    /// The block, with its margins.
    pub bytes: &'a [u8],
    /// The index of the rows.
    pub entries: &'i [u32],
    /// Quotes and NULL.
    pub dialect: Dialect,
    /// What stands for NULL.
    pub null: &'i [u8],
    /// Field by field: there are quotes, or NULL is not the empty field.
    pub careful: bool,
    /// There may be text that is not UTF-8.
    pub check_utf8: bool,
    /// Fields of a row; the last one may end in a carriage return.
    pub fields: usize,
    /// What the machine can do.
    pub kernel: Kernel,
}

/// One field of a careful stretch.
struct Field<'a> {
    bytes: &'a [u8],
    quoted: bool,
}

impl<'a> Stretch<'a, '_> {
    /// Where `field` of the row at `entry` begins and ends.
    #[inline(always)]
    pub fn span(&self, entry: usize, field: usize) -> (usize, usize) {
        let start = self.entries[entry + field] as usize + 1;
        let end = self.entries[entry + field + 1] as usize;
        if field + 1 == self.fields && end > start && self.bytes[end - 1] == b'\r' {
            return (start, end - 1);
        }
        (start, end)
    }

    /// The same for rows of a whole index.
    #[inline(always)]
    fn span_fast(&self, entry: usize, field: usize) -> (usize, usize) {
        let (start, end) = self.span_untrimmed(entry, field);
        // SAFETY: an entry is a place in `bytes`, with `MARGIN` bytes on its both sides.
        let carriage = field + 1 == self.fields && unsafe { *self.bytes.get_unchecked(end - 1) } == b'\r';
        if carriage && end > start { (start, end - 1) } else { (start, end) }
    }

    /// The same with the carriage return that may stand at the end of a row.
    #[inline(always)]
    fn span_untrimmed(&self, entry: usize, field: usize) -> (usize, usize) {
        debug_assert!(field < self.fields && entry + self.fields < self.entries.len());
        // SAFETY: rows name entries of the index that have a row's `fields` entries behind them, as
        // `column` has asserted, and `field` is one of these.
        let (before, end) = unsafe {
            (
                *self.entries.get_unchecked(entry + field) as usize,
                *self.entries.get_unchecked(entry + field + 1) as usize,
            )
        };
        (before + 1, end)
    }

    /// The bytes of a span.
    #[inline(always)]
    fn slice(&self, start: usize, end: usize) -> &'a [u8] {
        debug_assert!(start <= end && end <= self.bytes.len());
        // SAFETY: entries rise, and are places in `bytes`.
        unsafe { self.bytes.get_unchecked(start..end) }
    }

    /// The eight bytes from `at`, which is within a field or up to 16 bytes before it.
    #[inline(always)]
    fn load(&self, at: usize) -> u64 {
        debug_assert!(at + 8 <= self.bytes.len());
        // SAFETY: `MARGIN` bytes on both sides of every field are within `bytes`.
        let bytes = unsafe { self.bytes.as_ptr().add(at).cast::<[u8; 8]>().read_unaligned() };
        u64::from_le_bytes(bytes)
    }

    /// The field's text, without its quotes.
    fn field(&self, entry: usize, field: usize, scratch: &'a Bump) -> Result<Field<'a>, Reason> {
        let (start, end) = self.span(entry, field);
        let bytes = &self.bytes[start..end];
        let Some(quote) = self.dialect.quote.filter(|&quote| bytes.first() == Some(&quote)) else {
            return Ok(Field { bytes, quoted: false });
        };
        let inner = &bytes[1..];
        let special = |&byte: &u8| byte == quote || Some(byte) == self.dialect.escape;
        match inner.iter().position(special) {
            Some(first) if first + 1 == inner.len() && inner[first] == quote => {
                Ok(Field { bytes: &inner[..first], quoted: true })
            }
            _ => self.unescape(inner, quote, scratch).map(|bytes| Field { bytes, quoted: true }),
        }
    }

    /// `inner` is what follows the opening quote.
    fn unescape(&self, inner: &[u8], quote: u8, scratch: &'a Bump) -> Result<&'a [u8], Reason> {
        let mut text = bumpalo::collections::Vec::with_capacity_in(inner.len(), scratch);
        let mut at = 0;
        while let Some(&byte) = inner.get(at) {
            let next = inner.get(at + 1);
            if Some(byte) == self.dialect.escape && next.is_some() {
                text.extend(next);
                at += 2;
            } else if byte != quote {
                text.push(byte);
                at += 1;
            } else if next == Some(&quote) {
                text.push(quote);
                at += 2;
            } else if next.is_none() {
                return Ok(text.into_bump_slice());
            } else {
                return Err(Reason::Quote);
            }
        }
        Err(Reason::Quote)
    }
}

/// Converts `field` of `rows` to a column; faults are appended for `column` of the scan.
pub(crate) fn column<'a>(
    stretch: &Stretch<'a, '_>,
    rows: &impl Rows,
    field: Option<usize>,
    (column, data_type): (usize, DataType),
    scratch: &'a Bump,
    faults: &mut Vec<Fault>,
) -> Vector<'a> {
    let Some(field) = field else { return all_null(rows.len(), data_type, scratch) };
    // What the unchecked loads below rely on: entries rise, so the last row speaks for all.
    if let Some(last) = rows.len().checked_sub(1) {
        let end = stretch.entries[rows.entry(last) + stretch.fields] as usize;
        let first = stretch.entries[rows.entry(0)] as usize + 1;
        assert!(field < stretch.fields && first >= MARGIN && end + MARGIN <= stretch.bytes.len());
    }
    let mut out = Out { column, nulls: None, rows: rows.len(), scratch, faults };
    let data = match data_type {
        DataType::Text if stretch.careful || stretch.check_utf8 => {
            let text = |text: &'a [u8]| {
                let is_text = !stretch.check_utf8 || std::str::from_utf8(text).is_ok();
                if is_text { Ok(Text::new(text)) } else { Err(Reason::Utf8) }
            };
            Data::Text(careful(stretch, rows, field, true, &mut out, text))
        }
        DataType::Text => Data::Text(texts(stretch, rows, field, &mut out)),
        DataType::Int | DataType::BigInt => {
            let integer = |text: &[u8]| value::integer(text, data_type);
            let limit = if data_type == DataType::Int { 1 << 31 } else { i64::MAX };
            if stretch.careful {
                Data::I64(careful(stretch, rows, field, false, &mut out, word_first(0, limit, integer)))
            } else {
                Data::I64(fixed(stretch, rows, field, 0, limit, &mut out, integer))
            }
        }
        DataType::Decimal { precision, scale } if data_type.physical() == Physical::I64 => {
            let decimal = |text: &[u8]| value::decimal(text, precision, scale).map(|value| value as i64);
            let limit = 10i64.pow(u32::from(precision));
            if stretch.careful {
                Data::I64(careful(
                    stretch,
                    rows,
                    field,
                    false,
                    &mut out,
                    word_first(usize::from(scale), limit, decimal),
                ))
            } else {
                Data::I64(fixed(stretch, rows, field, usize::from(scale), limit, &mut out, decimal))
            }
        }
        DataType::Decimal { precision, scale } => {
            let decimal = |text: &[u8]| value::decimal(text, precision, scale);
            Data::I128(plain(stretch, rows, field, &mut out, decimal))
        }
        DataType::Double => Data::F64(plain(stretch, rows, field, &mut out, value::double)),
        DataType::Boolean => Data::I64(plain(stretch, rows, field, &mut out, value::boolean)),
        DataType::Date => Data::I64(plain(stretch, rows, field, &mut out, value::date)),
        DataType::Timestamp { precision, zone } => {
            let mut last = LastDate::default();
            let timestamp = |text: &[u8]| last.timestamp(text, precision, zone);
            Data::I64(plain(stretch, rows, field, &mut out, timestamp))
        }
        DataType::Json | DataType::Array(_) | DataType::Map(_) | DataType::Row(_) => {
            Data::Text(nested(stretch, rows, field, data_type, &mut out))
        }
        // Binding refuses intervals, and a NULL-typed column has only NULLs.
        DataType::Null | DataType::Interval => return all_null(rows.len(), data_type, scratch),
    };
    Vector { data, nulls: out.nulls.map(|nulls| &*nulls) }
}

/// Numbers of up to 8 bytes by a word made for each, others by `convert`: for fields that may not
/// stand in the block, as they had quotes.
fn word_first(
    scale: usize,
    limit: i64,
    convert: impl Fn(&[u8]) -> Result<i64, Reason>,
) -> impl Fn(&[u8]) -> Result<i64, Reason> {
    move |text| {
        if text.len() <= 8 {
            let mut word = [0; 8];
            word[8 - text.len()..].copy_from_slice(text);
            let word = u64::from_le_bytes(word);
            if let Some(value) = swar::short_any(word, text.len(), scale)
                && value.abs() < limit
            {
                return Ok(value);
            }
        }
        convert(text)
    }
}

/// What a column's loop writes besides its values.
struct Out<'a, 'f> {
    column: usize,
    nulls: Option<&'a mut [u64]>,
    rows: usize,
    scratch: &'a Bump,
    faults: &'f mut Vec<Fault>,
}

impl Out<'_, '_> {
    #[cold]
    #[inline(never)]
    fn null(&mut self, row: usize) {
        let words = self.rows.div_ceil(64);
        let nulls = self.nulls.get_or_insert_with(|| self.scratch.alloc_slice_fill_copy(words, 0));
        nulls[row / 64] |= 1 << (row % 64);
    }

    #[cold]
    #[inline(never)]
    fn fault(&mut self, row: usize, reason: Reason) {
        self.faults.push(Fault { row, column: Some(self.column), reason });
    }
}

fn all_null<'a>(rows: usize, data_type: DataType, scratch: &'a Bump) -> Vector<'a> {
    let data = match data_type.physical() {
        Physical::I64 => Data::I64(scratch.alloc_slice_fill_copy(rows, 0)),
        Physical::I128 => Data::I128(scratch.alloc_slice_fill_copy(rows, 0)),
        Physical::F64 => Data::F64(scratch.alloc_slice_fill_copy(rows, 0.0)),
        Physical::Text => Data::Text(scratch.alloc_slice_fill_copy(rows, Text::EMPTY)),
    };
    Vector { data, nulls: Some(scratch.alloc_slice_fill_copy(rows.div_ceil(64), !0)) }
}

/// Any type but text, value by value.
fn plain<'a, T: Copy + Default>(
    stretch: &Stretch<'a, '_>,
    rows: &impl Rows,
    field: usize,
    out: &mut Out<'a, '_>,
    mut convert: impl FnMut(&[u8]) -> Result<T, Reason>,
) -> &'a [T] {
    if stretch.careful {
        return careful(stretch, rows, field, false, out, convert);
    }
    let values = out.scratch.alloc_slice_fill_copy(rows.len(), T::default());
    for (row, value) in values.iter_mut().enumerate() {
        let (start, end) = stretch.span_fast(rows.entry(row), field);
        match convert(&stretch.bytes[start..end]) {
            _ if start == end => out.null(row),
            Ok(converted) => *value = converted,
            Err(reason) => out.fault(row, reason),
        }
    }
    values
}

/// Any type, value by value, quotes and the NULL literal heeded. A quoted field is never NULL for
/// text; for other types an empty one is.
fn careful<'a, T: Copy + Default>(
    stretch: &Stretch<'a, '_>,
    rows: &impl Rows,
    field: usize,
    is_text: bool,
    out: &mut Out<'a, '_>,
    mut convert: impl FnMut(&'a [u8]) -> Result<T, Reason>,
) -> &'a [T] {
    let values = out.scratch.alloc_slice_fill_copy(rows.len(), T::default());
    for (row, value) in values.iter_mut().enumerate() {
        let found = stretch.field(rows.entry(row), field, out.scratch).and_then(|found| {
            let is_null = if found.quoted { found.bytes.is_empty() && !is_text } else { found.bytes == stretch.null };
            if is_null { Ok(None) } else { convert(found.bytes).map(Some) }
        });
        match found {
            Ok(Some(converted)) => *value = converted,
            Ok(None) => out.null(row),
            Err(reason) => out.fault(row, reason),
        }
    }
    values
}

/// JSON, as itself or as the nested type that it says the value of.
fn nested<'a>(
    stretch: &Stretch<'a, '_>,
    rows: &impl Rows,
    field: usize,
    data_type: DataType,
    out: &mut Out<'a, '_>,
) -> &'a [Text<'a>] {
    let scratch = out.scratch;
    let values = scratch.alloc_slice_fill_copy(rows.len(), Text::EMPTY);
    let (mut writer, mut json, mut parts) = (Writer::default(), String::new(), Bump::new());
    for (row, value) in values.iter_mut().enumerate() {
        let found = stretch.field(rows.entry(row), field, scratch).and_then(|found| {
            let is_null = if found.quoted { found.bytes.is_empty() } else { found.bytes == stretch.null };
            if is_null {
                return Ok(None);
            }
            let text = std::str::from_utf8(found.bytes).map_err(|_| Reason::Utf8)?;
            let wrong = Reason::Json(data_type);
            if data_type == DataType::Json {
                json.clear();
                return match nested::check_json(text, &mut json) {
                    true => Ok(Some(Text::new(json.as_bytes()).copy_to(scratch))),
                    false => Err(wrong),
                };
            }
            writer.clear();
            parts.reset();
            match nested::parse(text, data_type, &mut writer, &parts) {
                Some(true) => writer.value(scratch).map(Some).map_err(|_| wrong),
                Some(false) => Ok(None),
                None => Err(wrong),
            }
        });
        match found {
            Ok(Some(found)) => *value = found,
            Ok(None) => out.null(row),
            Err(reason) => out.fault(row, reason),
        }
    }
    values
}

/// Text without quotes.
fn texts<'a>(stretch: &Stretch<'a, '_>, rows: &impl Rows, field: usize, out: &mut Out<'a, '_>) -> &'a [Text<'a>] {
    let scratch = out.scratch;
    scratch.alloc_slice_fill_with(rows.len(), |row| {
        let (start, end) = stretch.span_fast(rows.entry(row), field);
        if start == end {
            out.null(row);
        }
        Text::with_around([stretch.load(start - 4), stretch.load(start + 4)], stretch.slice(start, end))
    })
}

/// Whole numbers and decimals of up to 16 digits whose point stands exactly `scale` digits from the
/// end; others the careful way. Values must be below `limit` on both sides of zero.
fn fixed<'a>(
    stretch: &Stretch<'a, '_>,
    rows: &impl Rows,
    field: usize,
    scale: usize,
    limit: i64,
    out: &mut Out<'a, '_>,
    convert: impl Fn(&[u8]) -> Result<i64, Reason>,
) -> &'a [i64] {
    let values = out.scratch.alloc_slice_fill_copy(rows.len(), 0i64);
    if !stretch.kernel.has_vector_numbers() {
        for (row, value) in values.iter_mut().enumerate() {
            *value = number(stretch, rows.entry(row), field, scale, limit, row, out, &convert);
        }
        return values;
    }
    let mut group = Group::default();
    for (number_of, values) in values.chunks_mut(GROUP).enumerate() {
        let base = number_of * GROUP;
        let entry = |lane: usize| rows.entry(base + lane);
        // How long fields are, and whether lines end in a carriage return, is mostly as in the first row.
        // Where it is not, the row is no number for the vectors.
        let (start, end) = stretch.span_fast(entry(0), field);
        let width = if scale == 0 && end - start > 8 { Width::Wide } else { Width::Short };
        if (start, end) == stretch.span_untrimmed(entry(0), field) {
            stage(stretch, &mut group, values.len(), width, |lane| stretch.span_untrimmed(entry(lane), field));
        } else {
            stage(stretch, &mut group, values.len(), width, |lane| stretch.span_fast(entry(lane), field));
        }
        let mut left = stretch.kernel.numbers(&group, width, scale as u32, limit as u64, values);
        while left != 0 {
            let lane = left.trailing_zeros() as usize;
            left &= left - 1;
            values[lane] = number(stretch, entry(lane), field, scale, limit, base + lane, out, &convert);
        }
    }
    values
}

/// Loads a group's fields, which stand at the spans of its rows.
#[inline(always)]
fn stage(
    stretch: &Stretch<'_, '_>,
    group: &mut Group,
    rows: usize,
    width: Width,
    span: impl Fn(usize) -> (usize, usize),
) {
    let Group { low, high, len } = group;
    for (lane, (high, len)) in high[..rows].iter_mut().zip(&mut len[..rows]).enumerate() {
        let (start, end) = span(lane);
        (*high, *len) = (stretch.load(end - 8), (end - start) as u64);
    }
    if width == Width::Wide {
        for (lane, low) in low[..rows].iter_mut().enumerate() {
            *low = stretch.load(span(lane).1 - 16);
        }
    }
}

/// One number by words, else the careful way.
#[expect(clippy::too_many_arguments, reason = "the state of a column's loop")]
#[inline]
fn number<'a>(
    stretch: &Stretch<'a, '_>,
    entry: usize,
    field: usize,
    scale: usize,
    limit: i64,
    row: usize,
    out: &mut Out<'a, '_>,
    convert: &impl Fn(&[u8]) -> Result<i64, Reason>,
) -> i64 {
    let (start, end) = stretch.span_fast(entry, field);
    let len = end - start;
    let high = stretch.load(end - 8);
    if let Some(short) = swar::short(high, len, scale).or_else(|| swar::short_any(high, len, scale))
        && short.abs() < limit
    {
        return short;
    }
    if let Some(long) = swar::long(stretch.load(end - 16), high, len, scale)
        && long.abs() < limit
    {
        return long;
    }
    match convert(&stretch.bytes[start..end]) {
        _ if len == 0 => out.null(row),
        Ok(converted) => return converted,
        Err(reason) => out.fault(row, reason),
    }
    0
}

/// Rows field by field, for heads of files.
#[derive(Default)]
pub(crate) struct Fields {
    /// Text without quotes, and whether there were any.
    pub rows: Vec<Vec<(Vec<u8>, bool)>>,
    /// Behind each row.
    pub ends: Vec<usize>,
}

impl Fields {
    /// Up to `most` whole rows of `bytes[first..end]`; blank lines are left out.
    pub fn of(bytes: &[u8], first: usize, end: usize, dialect: Dialect, kernel: Kernel, most: usize) -> Fields {
        let mut index = Index::default();
        index.restart(first);
        index.extend(kernel, bytes, end, end - first, &dialect);
        let scratch = Bump::new();
        let mut found = Fields::default();
        let mut begin = 0;
        for entry in 1..=index.count {
            if found.rows.len() == most || bytes[index.entries[entry] as usize] != b'\n' {
                continue;
            }
            let fields = entry - begin;
            let entries = &index.entries;
            let stretch =
                Stretch { bytes, entries, dialect, null: b"", careful: true, check_utf8: true, fields, kernel };
            let field = |field| match stretch.field(begin, field, &scratch) {
                Ok(found) => (found.bytes.to_vec(), found.quoted),
                Err(_) => {
                    let (start, end) = stretch.span(begin, field);
                    (bytes[start..end].to_vec(), true)
                }
            };
            let row: Vec<_> = (0..fields).map(field).collect();
            if fields > 1 || !row[0].0.is_empty() || row[0].1 {
                found.rows.push(row);
                found.ends.push(entries[entry] as usize + 1);
            }
            begin = entry;
        }
        found
    }
}
