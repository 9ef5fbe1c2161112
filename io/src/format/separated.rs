//! CSV and TSV (RFC 4180): NULL is empty, the empty string is `""`, quotes only where needed.

use corelane_engine::batch::{Chunk, Data, Text};
use corelane_engine::types::DataType;

use super::buffer::Buffer;
use super::value::Dates;

#[derive(Debug)]
pub(super) struct Separated {
    delimiter: u8,
    dates: Dates,
}

impl Separated {
    pub(super) fn new(delimiter: u8) -> Self {
        Separated { delimiter, dates: Dates::default() }
    }

    pub(super) fn header(&self, names: &[String], out: &mut Buffer) {
        for (place, name) in names.iter().enumerate() {
            if place > 0 {
                out.push(self.delimiter);
            }
            self.text(&Text::new(name.as_bytes()), out);
        }
        out.push(b'\n');
    }

    pub(super) fn rows(
        &mut self,
        types: &[DataType],
        chunk: &Chunk<'_>,
        out: &mut Buffer,
        mut ends: Option<&mut Vec<u32>>,
    ) {
        let columns = &chunk.columns[..types.len()];
        for row in 0..chunk.rows {
            for (column, data_type) in columns.iter().zip(types) {
                if !column.is_null(row) {
                    match &column.data {
                        Data::Text(values) => self.text(&values[row], out),
                        other => super::plain(&mut self.dates, *data_type, other, row, out),
                    }
                }
                out.push(self.delimiter);
            }
            // The last delimiter becomes the line end.
            if types.is_empty() {
                out.push(b'\n');
            } else {
                out.replace_last(b'\n');
            }
            if let Some(ends) = &mut ends {
                ends.push(out.len() as u32);
            }
        }
    }

    #[inline]
    fn text(&self, text: &Text<'_>, out: &mut Buffer) {
        if text.is_inline() && !text.is_empty() && !self.needs_quotes_short(text) {
            let [low, high] = text.words();
            let bits = u128::from(low >> 32) | u128::from(high) << 32;
            return out.extend_short(bits.to_le_bytes(), text.len());
        }
        let bytes = text.as_bytes();
        if !bytes.is_empty() && !bytes.iter().any(|byte| self.is_special(*byte)) {
            return out.extend(bytes);
        }
        out.push(b'"');
        for piece in bytes.split_inclusive(|&byte| byte == b'"') {
            out.extend(piece);
            if piece.ends_with(b"\"") {
                out.push(b'"');
            }
        }
        out.push(b'"');
    }

    fn is_special(&self, byte: u8) -> bool {
        byte == self.delimiter || matches!(byte, b'"' | b'\r' | b'\n')
    }

    /// Whether one of the up to 12 bytes is special, all looked at in one word at a time.
    #[inline]
    fn needs_quotes_short(&self, text: &Text<'_>) -> bool {
        let [low, high] = text.words();
        // The length is no text: blank it out with a letter that is never special.
        let low = (low & 0xFFFF_FFFF_0000_0000) | 0x6161_6161;
        [low, high].into_iter().any(|word| {
            has_byte(word, self.delimiter) || has_byte(word, b'"') || has_byte(word, b'\r') || has_byte(word, b'\n')
        })
    }
}

/// Whether one of the word's bytes is `byte` (Mycroft's test for a zero byte).
#[inline]
fn has_byte(word: u64, byte: u8) -> bool {
    let difference = word ^ (u64::from(byte) * 0x0101_0101_0101_0101);
    difference.wrapping_sub(0x0101_0101_0101_0101) & !difference & 0x8080_8080_8080_8080 != 0
}
