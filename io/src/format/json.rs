//! NDJSON and JSON. Decimals are numbers with all their digits; times, NaN and infinities are text. Arrays are
//! arrays, rows and maps objects, and JSON stands as it is.

use corelane_engine::batch::{Chunk, Data, Vector};
use corelane_engine::types::{DataType, Field};

use super::buffer::Buffer;
use super::value::Dates;

#[derive(Debug)]
pub(super) struct Json {
    /// `{"name":` and `,"name":` of every column.
    keys: Vec<Vec<u8>>,
    lines: bool,
    dates: Dates,
}

impl Json {
    pub(super) fn new(fields: &[Field], lines: bool) -> Self {
        let keys = fields.iter().enumerate().map(|(place, field)| {
            let mut key = Buffer::default();
            key.push(if place == 0 { b'{' } else { b',' });
            string(field.name.as_bytes(), &mut key);
            key.push(b':');
            key.bytes().to_vec()
        });
        Json { keys: keys.collect(), lines, dates: Dates::default() }
    }

    pub(super) fn is_array(&self) -> bool {
        !self.lines
    }

    pub(super) fn header(&self, out: &mut Buffer) {
        if !self.lines {
            out.extend(b"[");
        }
    }

    pub(super) fn footer(&self, rows: u64, out: &mut Buffer) {
        if !self.lines {
            out.extend(if rows == 0 { b"]\n" } else { b"\n]\n" });
        }
    }

    /// Rows of an array end with nothing and begin with the line end, so that whoever puts several
    /// shards' rows together can write the comma: see [`super::super::merge`].
    pub(super) fn rows(
        &mut self,
        types: &[DataType],
        chunk: &Chunk<'_>,
        out: &mut Buffer,
        mut ends: Option<&mut Vec<u32>>,
    ) {
        for row in 0..chunk.rows {
            if !self.lines {
                out.extend(b",\n");
            }
            self.object(types, chunk.columns, row, out);
            if self.lines {
                out.push(b'\n');
            }
            if let Some(ends) = &mut ends {
                ends.push(out.len() as u32);
            }
        }
    }
}

impl Json {
    /// One row as an object.
    pub(super) fn object(&mut self, types: &[DataType], columns: &[Vector<'_>], row: usize, out: &mut Buffer) {
        for ((column, data_type), key) in columns.iter().zip(types).zip(&self.keys) {
            out.extend(key);
            if column.is_null(row) {
                out.extend(b"null");
                continue;
            }
            match &column.data {
                Data::Text(values) if data_type.is_nested() || *data_type == DataType::Json => {
                    super::nested::write(&mut self.dates, *data_type, values[row].as_bytes(), out);
                }
                Data::Text(values) => string(values[row].as_bytes(), out),
                Data::F64(values) if !values[row].is_finite() => {
                    out.push(b'"');
                    super::value::double(out, values[row]);
                    out.push(b'"');
                }
                other => {
                    let quoted = data_type.is_timestamp() || matches!(data_type, DataType::Date | DataType::Interval);
                    if quoted {
                        out.push(b'"');
                    }
                    super::plain(&mut self.dates, *data_type, other, row, out);
                    if quoted {
                        out.push(b'"');
                    }
                }
            }
        }
        out.push(b'}');
    }
}

/// Writes a JSON string; bytes that are not UTF-8 become U+FFFD.
pub(crate) fn string(bytes: &[u8], out: &mut Buffer) {
    out.push(b'"');
    let plain = |byte: &u8| byte.is_ascii() && *byte >= b' ' && !matches!(byte, b'"' | b'\\');
    if bytes.iter().all(plain) {
        out.extend(bytes);
    } else {
        for character in String::from_utf8_lossy(bytes).chars() {
            match character {
                '"' => out.extend(b"\\\""),
                '\\' => out.extend(b"\\\\"),
                '\n' => out.extend(b"\\n"),
                '\r' => out.extend(b"\\r"),
                '\t' => out.extend(b"\\t"),
                control if u32::from(control) < 0x20 => {
                    out.extend(format!("\\u{:04x}", u32::from(control)).as_bytes());
                }
                other => out.extend(other.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
    }
    out.push(b'"');
}
