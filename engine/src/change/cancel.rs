//! Rows that came and went in one turn cancel each other out.

use super::same_row;
use crate::batch::{BATCH_ROWS, Chunk, Vector};
use crate::error::Result;
use crate::join::contents;
use crate::operator::held::{At, Held};
use crate::state::{Reader, Writer};
use crate::types::Physical;
use bumpalo::Bump;

/// Rows of a turn, each of which comes or goes.
#[derive(Default)]
pub(crate) struct Signed {
    rows: Held,
    goes: Vec<bool>,
    any_goes: bool,
}

impl Signed {
    /// Rows held.
    pub(crate) fn len(&self) -> usize {
        self.goes.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.goes.is_empty()
    }

    /// Bytes held.
    pub(crate) fn memory(&self) -> usize {
        self.rows.memory() + self.goes.capacity()
    }

    /// The rows.
    pub(crate) fn rows(&self) -> &Held {
        &self.rows
    }

    /// Whether row `row` goes.
    pub(crate) fn goes(&self, row: u32) -> bool {
        self.goes[row as usize]
    }

    /// Where row `row` is held.
    pub(crate) fn at(row: u32) -> At {
        (row / BATCH_ROWS as u32, (row % BATCH_ROWS as u32) as u16)
    }

    /// Takes rows with columns of the shapes `layout`, of which `goes` says which go.
    pub(crate) fn push(
        &mut self,
        chunk: &Chunk<'_>,
        goes: impl Fn(usize) -> bool,
        layout: &[Physical],
        scratch: &Bump,
    ) -> usize {
        let all: &[u16] = scratch.alloc_slice_fill_iter(0..chunk.rows as u16);
        self.goes.extend((0..chunk.rows).map(goes));
        self.any_goes |= self.goes[self.goes.len() - chunk.rows..].contains(&true);
        self.rows.push(chunk, all, layout)
    }

    /// Forgets all rows.
    pub(crate) fn clear(&mut self) {
        *self = Signed::default();
    }

    /// The rows that are left when equal ones that come and go are taken out in pairs, in the order in which
    /// they came.
    pub(crate) fn left(&self, layout: &[Physical]) -> Vec<u32> {
        let mut rows: Vec<u32> = (0..self.len() as u32).collect();
        if !self.any_goes {
            return rows;
        }
        // Numbers that rows of other content do not share (but by chance).
        let mut numbers = Vec::with_capacity(rows.len());
        let mut scratch = Bump::new();
        for batch in self.rows.batches() {
            scratch.reset();
            numbers.extend_from_slice(contents(batch.chunk(&scratch).columns, batch.rows(), &scratch));
        }
        rows.sort_unstable_by_key(|&row| (numbers[row as usize], row));
        let columns: Vec<Vec<Vector<'_>>> = self.rows.vectors(layout.len());
        let same = |a: u32, b: u32| {
            let ((first, i), (second, j)) = (Signed::at(a), Signed::at(b));
            same_row(&columns[first as usize], usize::from(i), &columns[second as usize], usize::from(j))
        };
        let mut left = Vec::new();
        for run in rows.chunk_by(|&a, &b| numbers[a as usize] == numbers[b as usize]) {
            if let &[row] = run {
                left.push(row);
                continue;
            }
            let mut run = run.to_vec();
            while let Some(&first) = run.first() {
                // Other rows of one number are there by chance only.
                let (equal, others): (Vec<u32>, Vec<u32>) = run.iter().partition(|&&row| same(first, row));
                let (going, coming): (Vec<u32>, Vec<u32>) = equal.iter().partition(|&&row| self.goes(row));
                let pairs = going.len().min(coming.len());
                left.extend(&going[..going.len() - pairs]);
                left.extend(&coming[pairs..]);
                run = others;
            }
        }
        left.sort_unstable();
        left
    }

    /// Writes the rows.
    pub(crate) fn save(&self, to: &mut Writer) {
        self.rows.save(to);
        self.goes.iter().for_each(|&goes| to.flag(goes));
    }

    /// Reads rows whose columns have the shapes `layout`.
    pub(crate) fn load(from: &mut Reader<'_>, layout: &[Physical]) -> Result<Signed> {
        let held = Held::load(from, layout)?;
        let mut signed = Signed::default();
        let mut scratch = Bump::new();
        for batch in held.batches() {
            let goes = (0..batch.rows()).map(|_| from.flag()).collect::<Result<Vec<bool>>>()?;
            signed.push(&batch.chunk(&scratch), |row| goes[row], layout, &scratch);
            scratch.reset();
        }
        Ok(signed)
    }
}
