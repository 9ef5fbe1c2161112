//! Columns and chunks as bytes.

use bumpalo::Bump;

use super::{Reader, Writer, damaged};
use crate::batch::{BATCH_ROWS, Batch, Chunk, Data, Text, Vector};
use crate::error::Result;
use crate::operator::Column;
use crate::types::Physical;

/// Text in a batch is shorter.
const TEXT_MAX: usize = u32::MAX as usize;

/// Writes a column of `rows` rows.
pub(crate) fn write(vector: &Vector<'_>, rows: usize, to: &mut Writer) {
    for row in 0..rows {
        let null = vector.is_null(row);
        to.flag(null);
        match vector.data {
            _ if null => {}
            Data::I64(values) => to.word(values[row] as u64),
            Data::I128(values) => to.long(values[row]),
            Data::F64(values) => to.word(values[row].to_bits()),
            Data::Text(values) => to.text(values[row].as_bytes()),
        }
    }
}

/// Reads a column of at most [`BATCH_ROWS`] rows.
pub(crate) fn read<'s>(
    from: &mut Reader<'_>,
    physical: Physical,
    rows: usize,
    scratch: &'s Bump,
) -> Result<Vector<'s>> {
    let mut column = Column::new(physical, scratch);
    for row in 0..rows {
        if from.flag()? {
            column.set_null(row);
            continue;
        }
        match physical {
            Physical::I64 => column.i64s()[row] = from.word()? as i64,
            Physical::I128 => column.i128s()[row] = from.long()?,
            Physical::F64 => column.f64s()[row] = f64::from_bits(from.word()?),
            Physical::Text => column.set_text(row, text(from)?),
        }
    }
    Ok(column.finish(rows))
}

/// Reads one text.
pub(crate) fn text<'a>(from: &mut Reader<'a>) -> Result<Text<'a>> {
    let bytes = from.text()?;
    if bytes.len() > TEXT_MAX {
        return Err(damaged("a text is too long"));
    }
    Ok(Text::new(bytes))
}

/// Reads a number of rows of one chunk, at least one.
pub(crate) fn rows(from: &mut Reader<'_>) -> Result<usize> {
    let rows = usize::try_from(from.word()?).unwrap_or(usize::MAX);
    if (1..=BATCH_ROWS).contains(&rows) { Ok(rows) } else { Err(damaged("a chunk has too many rows or none")) }
}

/// Writes a chunk with its side columns.
pub fn write_chunk(chunk: &Chunk<'_>, to: &mut Writer) {
    to.count(chunk.rows);
    let floors = chunk.floors.map(|floors| floors.iter().map(|&floor| floor as u64));
    write_side(chunk.positions.map(|side| side.iter().copied()), to);
    write_side(chunk.ordinals.map(|side| side.iter().copied()), to);
    write_side(floors, to);
    chunk.columns.iter().for_each(|column| write(column, chunk.rows, to));
}

fn write_side(side: Option<impl Iterator<Item = u64>>, to: &mut Writer) {
    to.flag(side.is_some());
    side.into_iter().flatten().for_each(|value| to.word(value));
}

/// Reads a chunk whose columns have the shapes `layout`.
pub(crate) fn read_chunk<'s>(from: &mut Reader<'_>, layout: &[Physical], scratch: &'s Bump) -> Result<Chunk<'s>> {
    let rows = rows(from)?;
    let positions = read_side(from, rows, scratch)?;
    let ordinals = read_side(from, rows, scratch)?;
    let floors = read_side(from, rows, scratch)?;
    let floors = floors.map(|floors| &*scratch.alloc_slice_fill_iter(floors.iter().map(|&floor| floor as i64)));
    let mut columns = bumpalo::collections::Vec::with_capacity_in(layout.len(), scratch);
    for &physical in layout {
        columns.push(read(from, physical, rows, scratch)?);
    }
    Ok(Chunk { rows, columns: columns.into_bump_slice(), positions, ordinals, floors, stamp: 0 })
}

fn read_side<'s>(from: &mut Reader<'_>, rows: usize, scratch: &'s Bump) -> Result<Option<&'s [u64]>> {
    if !from.flag()? {
        return Ok(None);
    }
    let side = scratch.alloc_slice_fill_copy(rows, 0);
    for value in side.iter_mut() {
        *value = from.word()?;
    }
    Ok(Some(side))
}

/// Reads a chunk into a batch of its own.
pub fn read_batch(from: &mut Reader<'_>, layout: &[Physical]) -> Result<Batch> {
    let scratch = Bump::new();
    let chunk = read_chunk(from, layout, &scratch)?;
    let all: &[u16] = scratch.alloc_slice_fill_iter(0..chunk.rows as u16);
    let mut batch = Batch::new(layout);
    batch.append(&chunk, all);
    Ok(batch)
}
