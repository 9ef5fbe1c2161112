//! CSV and TSV (RFC 4180): NULL is empty, the empty string is `""`, quotes only where needed; arrays, maps
//! and rows are JSON.

use corelane_engine::batch::{Chunk, Data, Text, Vector};
use corelane_engine::types::DataType;

use crate::csv::Kernel;

use super::buffer::Buffer;
use super::cells::{self, Cells};
use super::value::Dates;

#[derive(Debug)]
pub(super) struct Separated {
    delimiter: u8,
    kernel: Kernel,
    /// Of the columns written.
    types: Vec<DataType>,
    /// By column.
    cells: Vec<Cells>,
}

impl Separated {
    pub(super) fn new(delimiter: u8, types: Vec<DataType>) -> Self {
        // What `CORELANE_SIMD` says was checked when the input was opened.
        let kernel = Kernel::detect().unwrap_or_else(|_| Kernel::supported()[0]);
        Separated { delimiter, kernel, types, cells: Vec::new() }
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

    pub(super) fn rows(&mut self, chunk: &Chunk<'_>, out: &mut Buffer, mut ends: Option<&mut Vec<u32>>) {
        let width = self.types.len();
        let columns = &chunk.columns[..width];
        self.cells.resize_with(width, || Cells::new(self.kernel, self.delimiter));
        for first in (0..chunk.rows).step_by(cells::ROWS) {
            let count = (chunk.rows - first).min(cells::ROWS);
            for (number, column) in columns.iter().enumerate() {
                let separator = if number + 1 == width { b'\n' } else { self.delimiter };
                self.cells[number].fill(column, self.types[number], first, count, separator);
            }
            if width > 0 && self.cells.iter().all(|cells| cells.longest != cells::LONG) {
                self.short_rows(count, out, ends.as_deref_mut());
                continue;
            }
            for row in 0..count {
                if width == 0 {
                    out.push(b'\n');
                }
                self.row(columns, first, row, out);
                if let Some(ends) = &mut ends {
                    ends.push(out.len() as u32);
                }
            }
        }
    }

    /// Puts `count` rows together whose cells all have their text.
    fn short_rows(&self, count: usize, out: &mut Buffer, mut ends: Option<&mut Vec<u32>>) {
        let start = out.len();
        let room = out.room(count * self.cells.len() * cells::WIDTH);
        let mut at = 0;
        for row in 0..count {
            for cells in &self.cells {
                // Most texts are short: half the bytes to move.
                if cells.longest <= 16 {
                    room[at..at + 16].copy_from_slice(&cells.text[row][..16]);
                } else {
                    room[at..at + cells::WIDTH].copy_from_slice(&cells.text[row]);
                }
                at += usize::from(cells.len[row]);
            }
            if let Some(ends) = &mut ends {
                ends.push((start + at) as u32);
            }
        }
        out.advance(at);
    }

    /// Puts one row together from its cells.
    #[inline]
    fn row(&self, columns: &[Vector<'_>], first: usize, row: usize, out: &mut Buffer) {
        let room = out.room((self.cells.len() + 1) * cells::WIDTH);
        let mut at = 0;
        for (number, cells) in self.cells.iter().enumerate() {
            let len = cells.len[row];
            if len == cells::LONG {
                out.advance(at);
                return self.long_row(columns, first, row, number, out);
            }
            room[at..at + cells::WIDTH].copy_from_slice(&cells.text[row]);
            at += usize::from(len);
        }
        out.advance(at);
    }

    /// The rest of a row from column `from` on, field by field.
    #[cold]
    fn long_row(&self, columns: &[Vector<'_>], first: usize, row: usize, from: usize, out: &mut Buffer) {
        for (number, cells) in self.cells.iter().enumerate().skip(from) {
            match (cells.len[row], &columns[number].data) {
                (cells::LONG, Data::Text(values)) => {
                    self.text_of(values[first + row].as_bytes(), number, out);
                    out.push(if number + 1 == columns.len() { b'\n' } else { self.delimiter });
                }
                (cells::LONG, _) => {
                    self.wide(&columns[number], number, first + row, out);
                    out.push(if number + 1 == columns.len() { b'\n' } else { self.delimiter });
                }
                (len, _) => out.extend(&cells.text[row][..usize::from(len)]),
            }
        }
    }

    /// A text, or a nested value as JSON.
    fn text_of(&self, value: &[u8], number: usize, out: &mut Buffer) {
        if !self.types[number].is_nested() {
            return self.text(&Text::new(value), out);
        }
        let mut json = Buffer::default();
        super::nested::write(&mut Dates::default(), self.types[number], value, &mut json);
        self.text(&Text::new(json.bytes()), out);
    }

    /// A value too long for a cell.
    fn wide(&self, column: &Vector<'_>, number: usize, row: usize, out: &mut Buffer) {
        super::plain(&mut Dates::default(), self.types[number], &column.data, row, out);
    }

    #[inline]
    fn text(&self, text: &Text<'_>, out: &mut Buffer) {
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
}
