//! Rows held in batches, to be given out in another order.

use std::cmp::Ordering;

use bumpalo::Bump;

use super::Column;
use super::sort::compare;
use crate::batch::{BATCH_ROWS, Batch, Chunk, Vector};
use crate::error::Result;
use crate::plan::SortKey;
use crate::state::{Reader, Writer, columns};
use crate::types::Physical;

/// A held row: its batch, and the row there.
pub(crate) type At = (u32, u16);

/// The rows.
#[derive(Default)]
pub(crate) struct Held {
    batches: Vec<Batch>,
}

impl Held {
    /// Copies `rows` of `chunk`, whose columns have the shapes `layout`; returns how many bytes that were.
    pub(crate) fn push(&mut self, chunk: &Chunk<'_>, rows: &[u16], layout: &[Physical]) -> usize {
        let (mut rest, mut bytes) = (rows, 0);
        while !rest.is_empty() {
            if self.batches.last().is_none_or(|batch| batch.rows() == BATCH_ROWS) {
                self.batches.push(Batch::new(layout));
            }
            let batch = self.batches.last_mut().expect("pushed above");
            let before = batch.column_bytes();
            rest = &rest[batch.append(chunk, rest)..];
            bytes += batch.column_bytes() - before;
        }
        bytes
    }

    /// Rows that the batches held have room for.
    pub(crate) fn room(&self) -> usize {
        self.batches.len() * BATCH_ROWS
    }

    /// Rows held.
    pub(crate) fn rows(&self) -> usize {
        self.batches.iter().map(Batch::rows).sum()
    }

    /// A row's value in a column of whole numbers; none where it is NULL.
    pub(crate) fn i64(&self, at: At, column: usize) -> Option<i64> {
        let (values, row) = (self.batches[at.0 as usize].vector(column), usize::from(at.1));
        (!values.is_null(row)).then(|| values.i64s()[row])
    }

    /// Bytes held.
    pub(crate) fn memory(&self) -> usize {
        self.batches.iter().map(Batch::bytes).sum()
    }

    /// Writes the rows.
    pub(crate) fn save(&self, to: &mut Writer) {
        let mut scratch = Bump::new();
        to.count(self.batches.len());
        for batch in &self.batches {
            scratch.reset();
            columns::write_chunk(&batch.chunk(&scratch), to);
        }
    }

    /// Reads rows whose columns have the shapes `layout`.
    pub(crate) fn load(from: &mut Reader<'_>, layout: &[Physical]) -> Result<Self> {
        let mut batches = Vec::new();
        for _ in 0..from.count(1)? {
            batches.push(columns::read_batch(from, layout)?);
        }
        Ok(Held { batches })
    }

    /// Adds those rows of `other` that `kept` picks of each chunk.
    pub(crate) fn take_over(
        &mut self,
        other: &Held,
        layout: &[Physical],
        mut kept: impl for<'s> FnMut(&Chunk<'s>, &'s Bump) -> &'s [u16],
    ) {
        let mut scratch = Bump::new();
        for batch in &other.batches {
            scratch.reset();
            let chunk = batch.chunk(&scratch);
            let rows = kept(&chunk, &scratch);
            self.push(&chunk, rows, layout);
        }
    }

    /// All rows, as they came.
    pub(crate) fn all(&self) -> Vec<At> {
        let rows = |(number, batch): (usize, &Batch)| (0..batch.rows() as u16).map(move |row| (number as u32, row));
        self.batches.iter().enumerate().flat_map(rows).collect()
    }

    /// The columns that `keys` name, batch by batch, for [`order`].
    pub(crate) fn columns(&self, keys: &[SortKey]) -> Vec<Vec<Vector<'_>>> {
        self.batches.iter().map(|batch| keys.iter().map(|key| batch.vector(key.column)).collect()).collect()
    }

    /// The batches that hold the rows, all but the last of them full.
    pub(crate) fn batches(&self) -> &[Batch] {
        &self.batches
    }

    /// The first `width` columns, batch by batch.
    pub(crate) fn vectors(&self, width: usize) -> Vec<Vec<Vector<'_>>> {
        self.batches.iter().map(|batch| (0..width).map(|column| batch.vector(column)).collect()).collect()
    }

    /// The position of a row in the input, where rows carry one.
    pub(crate) fn position(&self, at: At) -> Option<u64> {
        self.batches[at.0 as usize].positions().map(|all| all[usize::from(at.1)])
    }

    /// Only the rows `kept`, in that order.
    pub(crate) fn retain(&mut self, kept: &[At], layout: &[Physical]) {
        let scratch = Bump::new();
        let before = std::mem::take(self);
        for piece in kept.chunk_by(|left, right| left.0 == right.0) {
            let chunk = before.batches[piece[0].0 as usize].chunk(&scratch);
            let rows: Vec<u16> = piece.iter().map(|at| at.1).collect();
            self.push(&chunk, &rows, layout);
        }
    }

    /// `part`, at most a chunk, with `added` columns behind those held.
    pub(crate) fn chunk<'a>(
        &self,
        part: &[At],
        layout: &[Physical],
        added: &[Vector<'a>],
        scratch: &'a Bump,
    ) -> Chunk<'a> {
        let mut columns = bumpalo::collections::Vec::with_capacity_in(layout.len() + added.len(), scratch);
        for (index, &physical) in layout.iter().enumerate() {
            let mut column = Column::new(physical, scratch);
            for (to, &(batch, row)) in part.iter().enumerate() {
                column.copy(to, &self.batches[batch as usize].vector(index), usize::from(row));
            }
            columns.push(column.finish(part.len()));
        }
        columns.extend_from_slice(added);
        let side = |pick: fn(&Batch) -> Option<&[u64]>| {
            pick(&self.batches[0]).is_some().then(|| {
                let one =
                    |&(batch, row): &At| pick(&self.batches[batch as usize]).map_or(0, |all| all[usize::from(row)]);
                &*scratch.alloc_slice_fill_iter(part.iter().map(one))
            })
        };
        let stamp = part.iter().map(|at| self.batches[at.0 as usize].stamp).max().unwrap_or(0);
        let (positions, ordinals) = (side(Batch::positions), side(Batch::ordinals));
        Chunk { rows: part.len(), columns: columns.into_bump_slice(), positions, ordinals, floors: None, stamp }
    }
}

/// How two rows stand to each other by `keys`, over what [`Held::columns`] gave for them.
pub(crate) fn order(keys: &[SortKey], columns: &[Vec<Vector<'_>>], left: At, right: At) -> Ordering {
    let pairs = columns[left.0 as usize].iter().zip(&columns[right.0 as usize]);
    let orders =
        keys.iter().zip(pairs).map(|(key, (a, b))| compare(key, (a, usize::from(left.1)), (b, usize::from(right.1))));
    orders.into_iter().find(|&ordering| ordering != Ordering::Equal).unwrap_or(Ordering::Equal)
}
