//! Casts to and from ARRAY, MAP, ROW and JSON.
//!
//! As text a nested value is JSON, both ways. One nested type becomes another part by part: all parts of a
//! column are put one behind the other, cast as a column, and put together again.

use std::fmt::Write;

use bumpalo::Bump;
use bumpalo::collections::Vec as Parts;

use super::{misfit, show_at, write_value};
use crate::batch::{BATCH_ROWS, Data, Text, Vector};
use crate::error::Result;
use crate::expr::kernels::{each_row_or_null, text};
use crate::nested::{self, Leaf, List, Place, Sink, Writer, column, entry_type, width};
use crate::types::{DataType, Member, Value};

/// JSON into a text.
struct Out<'o>(&'o mut String);

impl Sink for Out<'_> {
    fn raw(&mut self, bytes: &[u8]) {
        self.0.push_str(&String::from_utf8_lossy(bytes));
    }

    fn string(&mut self, text: &[u8]) {
        self.0.push('"');
        for character in String::from_utf8_lossy(text).chars() {
            match character {
                '"' => self.0.push_str("\\\""),
                '\\' => self.0.push_str("\\\\"),
                '\n' => self.0.push_str("\\n"),
                '\r' => self.0.push_str("\\r"),
                '\t' => self.0.push_str("\\t"),
                control if u32::from(control) < 0x20 => {
                    write!(self.0, "\\u{:04x}", u32::from(control)).expect("writing to a string cannot fail");
                }
                other => self.0.push(other),
            }
        }
        self.0.push('"');
    }

    fn plain(&mut self, leaf: Leaf, data_type: DataType) {
        let value = match leaf {
            Leaf::I64(truth) if data_type == DataType::Boolean => {
                return self.0.push_str(if truth == 0 { "false" } else { "true" });
            }
            Leaf::I64(value) => Value::I64(value),
            Leaf::I128(value) => Value::I128(value),
            Leaf::F64(value) => Value::F64(value),
        };
        write_value(self.0, &value, data_type);
    }
}

/// Appends a nested value as JSON.
pub(super) fn write(out: &mut String, value: &[u8], data_type: DataType) {
    nested::to_json(value, data_type, &mut Out(out), &Bump::new());
}

/// Appends a text as a JSON string.
pub(crate) fn write_json_text(out: &mut String, text: &[u8]) {
    Out(out).string(text);
}

/// Appends a part's payload as text: a text as itself, what is nested as JSON.
pub(crate) fn show_part(out: &mut String, payload: &[u8], data_type: DataType, scratch: &Bump) {
    match data_type {
        DataType::Text | DataType::Json => {
            out.push_str(&String::from_utf8_lossy(nested::text_of(payload, scratch)));
        }
        of if of.is_nested() => nested::to_json(payload, of, &mut Out(out), scratch),
        of => {
            let value = match nested::leaf(payload, of) {
                Leaf::I64(value) => Value::I64(value),
                Leaf::I128(value) => Value::I128(value),
                Leaf::F64(value) => Value::F64(value),
            };
            write_value(out, &value, of);
        }
    }
}

/// `vector` of type `from` as type `to`, one of which is nested or JSON.
pub(super) fn cast<'a>(
    vector: &Vector<'a>,
    from: DataType,
    to: DataType,
    safe: bool,
    scratch: &'a Bump,
) -> Result<Vector<'a>> {
    use DataType::{Array, Json, Map, Row};
    match (from, to) {
        (Array(&from), Array(&to)) => array(vector, (from, to), safe, scratch),
        (Row(from), Row(to)) => row(vector, (from, to), safe, scratch),
        (Map(from), Map(to)) => map(vector, (from, to), safe, scratch),
        (DataType::Text, Json) => each(vector, (from, to), safe, scratch, |value, out| {
            std::str::from_utf8(value).is_ok_and(|value| nested::check_json(value, out)).then_some(true)
        }),
        (_, DataType::Text | Json) if from.is_nested() => each(vector, (from, to), safe, scratch, |value, out| {
            nested::to_json(value, from, &mut Out(out), scratch);
            Some(true)
        }),
        (_, Json) => Ok(of_plain(vector, from, scratch)),
        (_, to) if to.is_nested() => read(vector, (from, to), safe, scratch),
        _ => unquoted(vector, to, safe, scratch),
    }
}

/// Text from the bytes of each row: `None` does not fit, `Some(false)` is NULL.
fn each<'a>(
    vector: &Vector<'a>,
    (from, to): (DataType, DataType),
    safe: bool,
    scratch: &'a Bump,
    mut make: impl FnMut(&'a [u8], &mut String) -> Option<bool>,
) -> Result<Vector<'a>> {
    let (values, mut out) = (vector.texts(), String::new());
    let (texts, nulls) = each_row_or_null(vector.len(), vector.nulls, scratch, |row| {
        out.clear();
        match make(values[row].as_bytes(), &mut out) {
            Some(is_value) => Ok(is_value.then(|| text(out.as_bytes(), scratch))),
            None if safe => Ok(None),
            None => Err(misfit(&show_at(vector, row, from), from, to)),
        }
    })?;
    Ok(Vector { data: Data::Text(texts), nulls })
}

/// A number, truth or time as JSON.
fn of_plain<'a>(vector: &Vector<'a>, from: DataType, scratch: &'a Bump) -> Vector<'a> {
    let texts = scratch.alloc_slice_fill_copy(vector.len(), Text::EMPTY);
    let (mut writer, mut out) = (Writer::default(), String::new());
    let list = DataType::array(from);
    for (row, to) in texts.iter_mut().enumerate().filter(|(row, _)| !vector.is_null(*row)) {
        // As the one element of an array, which has all there is to know of quotes.
        writer.clear();
        out.clear();
        let open = writer.open();
        writer.row_of(vector, row, from);
        writer.end_part(open, width(from));
        writer.close_list(open, width(from));
        nested::to_json(writer.bytes(), list, &mut Out(&mut out), scratch);
        *to = text(&out.as_bytes()[1..out.len() - 1], scratch);
    }
    Vector { data: Data::Text(texts), nulls: vector.nulls }
}

/// JSON read as a nested type.
fn read<'a>(
    vector: &Vector<'a>,
    (from, to): (DataType, DataType),
    safe: bool,
    scratch: &'a Bump,
) -> Result<Vector<'a>> {
    let values = vector.texts();
    let (mut writer, parts) = (Writer::default(), &mut Bump::new());
    let (texts, nulls) = each_row_or_null(vector.len(), vector.nulls, scratch, |row| {
        writer.clear();
        parts.reset();
        let value = std::str::from_utf8(values[row].as_bytes()).ok();
        match value.and_then(|value| nested::parse(value, to, &mut writer, parts)) {
            Some(true) => writer.value(scratch).map(Some),
            Some(false) => Ok(None),
            None if safe => Ok(None),
            None => Err(misfit(&show_at(vector, row, from), from, to)),
        }
    })?;
    Ok(Vector { data: Data::Text(texts), nulls })
}

/// JSON as a number, truth or time, which may stand in quotes; a JSON null is NULL.
fn unquoted<'a>(vector: &Vector<'a>, to: DataType, safe: bool, scratch: &'a Bump) -> Result<Vector<'a>> {
    let inside = each(vector, (DataType::Json, to), safe, scratch, |value, out| {
        let value = std::str::from_utf8(value).ok()?;
        if value == "null" {
            return Some(false);
        }
        out.push_str(value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value));
        Some(true)
    })?;
    super::cast(&inside, DataType::Text, to, safe, scratch)
}

/// Parts of type `from` as columns of type `to`, a batch of them each.
fn columns<'a>(
    parts: &[Option<&'a [u8]>],
    (from, to): (DataType, DataType),
    safe: bool,
    scratch: &'a Bump,
) -> Result<Parts<'a, Vector<'a>>> {
    let mut columns = Parts::new_in(scratch);
    for parts in parts.chunks(BATCH_ROWS) {
        let before = column(from, parts.len(), scratch, |at| parts[at]);
        columns.push(super::cast(&before, from, to, safe, scratch)?);
    }
    Ok(columns)
}

/// A part of [`columns`].
fn put(writer: &mut Writer, columns: &[Vector<'_>], at: usize, data_type: DataType) {
    writer.row_of(&columns[at / BATCH_ROWS], at % BATCH_ROWS, data_type);
}

fn array<'a>(
    vector: &Vector<'a>,
    (from, to): (DataType, DataType),
    safe: bool,
    scratch: &'a Bump,
) -> Result<Vector<'a>> {
    let values = vector.texts();
    let list = |row: usize| List::new(values[row].as_bytes(), width(from));
    let mut parts = Parts::new_in(scratch);
    for row in (0..vector.len()).filter(|&row| !vector.is_null(row)) {
        parts.extend(list(row).iter().map(Some));
    }
    let columns = columns(&parts, (from, to), safe, scratch)?;
    let (mut writer, mut at, width) = (Writer::default(), 0, width(to));
    let (texts, nulls) = each_row_or_null(vector.len(), vector.nulls, scratch, |row| {
        writer.clear();
        let open = writer.open();
        for _ in 0..list(row).len() {
            put(&mut writer, &columns, at, to);
            writer.end_part(open, width);
            at += 1;
        }
        writer.close_list(open, width);
        writer.value(scratch).map(Some)
    })?;
    Ok(Vector { data: Data::Text(texts), nulls })
}

fn row<'a>(
    vector: &Vector<'a>,
    (from, to): (&'static [Member], &'static [Member]),
    safe: bool,
    scratch: &'a Bump,
) -> Result<Vector<'a>> {
    if from.iter().zip(to).all(|(from, to)| from.data_type == to.data_type) {
        // Only names differ, which are not in the bytes.
        return Ok(*vector);
    }
    let values = vector.texts();
    let mut members = Parts::new_in(scratch);
    for (number, (from_part, to_part)) in from.iter().zip(to).enumerate() {
        let place = Place::new(from, number);
        let part = |row: usize| (!vector.is_null(row)).then(|| place.of(values[row].as_bytes()));
        let before = column(from_part.data_type, vector.len(), scratch, part);
        members.push(super::cast(&before, from_part.data_type, to_part.data_type, safe, scratch)?);
    }
    let mut writer = Writer::default();
    let (texts, nulls) = each_row_or_null(vector.len(), vector.nulls, scratch, |row| {
        writer.clear();
        let open = writer.open();
        for (member, part) in members.iter().zip(to) {
            writer.row_of(member, row, part.data_type);
            writer.end_part(open, width(part.data_type));
        }
        writer.close_row(open);
        writer.value(scratch).map(Some)
    })?;
    Ok(Vector { data: Data::Text(texts), nulls })
}

fn map<'a>(
    vector: &Vector<'a>,
    (from, to): (&'static [Member], &'static [Member]),
    safe: bool,
    scratch: &'a Bump,
) -> Result<Vector<'a>> {
    // Entries are rows; but their order follows from the keys, which may be others now.
    let entries = (entry_type(from), entry_type(to));
    let arrays = array(vector, entries, safe, scratch)?;
    let values = arrays.texts();
    let (place, width) = (Place::new(to, 0), width(entries.1));
    let mut writer = Writer::default();
    let (texts, nulls) = each_row_or_null(vector.len(), arrays.nulls, scratch, |row| {
        let mut parts = Parts::from_iter_in(List::new(values[row].as_bytes(), width).iter(), scratch);
        writer.clear();
        writer.map(&mut parts, place, width)?;
        writer.value(scratch).map(Some)
    })?;
    Ok(Vector { data: Data::Text(texts), nulls })
}
