//! Aligned columns for people.

use corelane_engine::batch::{Chunk, Data};
use corelane_engine::types::{DataType, Field};

use super::buffer::Buffer;
use super::value::Dates;

#[derive(Debug)]
pub(super) struct Table {
    dates: Dates,
}

impl Table {
    pub(super) fn new(_fields: &[Field]) -> Self {
        Table { dates: Dates::default() }
    }

    pub(super) fn rows(
        &mut self,
        types: &[DataType],
        chunk: &Chunk<'_>,
        out: &mut Buffer,
        mut ends: Option<&mut Vec<u32>>,
    ) {
        for row in 0..chunk.rows {
            for (column, data_type) in chunk.columns.iter().zip(types) {
                if !column.is_null(row) {
                    match &column.data {
                        Data::Text(values) => out.extend(values[row].as_bytes()),
                        other => super::plain(&mut self.dates, *data_type, other, row, out),
                    }
                }
                out.push(b'\t');
            }
            out.push(b'\n');
            if let Some(ends) = &mut ends {
                ends.push(out.len() as u32);
            }
        }
    }
}
