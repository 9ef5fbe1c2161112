//! ORDER BY on bounded input: holds all rows, sorts them at the end.
//!
//! Ties break by position in the input where rows carry one, else by arrival. With a limit only the
//! best rows are kept: whenever a good deal more than needed are held, the rest is dropped.

use std::cmp::Ordering;

use super::{Column, Context, Next, Operator};
use crate::batch::{BATCH_ROWS, Batch, Chunk, Data, Vector};
use crate::error::Result;
use crate::plan::SortKey;
use crate::state::{Saved, State, columns};
use crate::types::Physical;

/// Rows held at least before any are dropped for a limit.
const KEEP_MIN: usize = 64 * BATCH_ROWS;

/// The operator.
pub(crate) struct Sort {
    keys: Vec<SortKey>,
    limit: Option<u64>,
    layout: Vec<Physical>,
    batches: Vec<Batch>,
    /// (batch, row) in order, once the input has ended.
    order: Vec<(u32, u16)>,
    given: usize,
    finishing: bool,
}

impl Sort {
    pub(crate) fn new(keys: Vec<SortKey>, limit: Option<u64>, layout: Vec<Physical>) -> Self {
        Sort { keys, limit, layout, batches: Vec::new(), order: Vec::new(), given: 0, finishing: false }
    }

    fn hold(&mut self, chunk: &Chunk<'_>, rows: &[u16]) {
        let mut rest = rows;
        while !rest.is_empty() {
            if self.batches.last().is_none_or(|batch| batch.rows() == BATCH_ROWS) {
                self.batches.push(Batch::new(&self.layout));
            }
            let batch = self.batches.last_mut().expect("pushed above");
            rest = &rest[batch.append(chunk, rest)..];
        }
    }

    fn sorted(&self) -> Vec<(u32, u16)> {
        let rows = |(number, batch): (usize, &Batch)| (0..batch.rows() as u16).map(move |row| (number as u32, row));
        let mut order: Vec<(u32, u16)> = self.batches.iter().enumerate().flat_map(rows).collect();
        let columns: Vec<Vec<Vector<'_>>> =
            self.batches.iter().map(|batch| self.keys.iter().map(|key| batch.vector(key.column)).collect()).collect();
        let position = |at: (u32, u16)| self.batches[at.0 as usize].positions().map(|all| all[usize::from(at.1)]);
        order.sort_unstable_by(|&left, &right| {
            let pairs = columns[left.0 as usize].iter().zip(&columns[right.0 as usize]);
            let unequal = self
                .keys
                .iter()
                .zip(pairs)
                .map(|(key, (a, b))| compare(key, (a, usize::from(left.1)), (b, usize::from(right.1))));
            let first = unequal.into_iter().find(|&ordering| ordering != Ordering::Equal);
            first.unwrap_or_else(|| (position(left), left).cmp(&(position(right), right)))
        });
        if let Some(limit) = self.limit {
            order.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        }
        order
    }

    /// Drops the rows that a limit has made hopeless.
    fn prune(&mut self) {
        let scratch = bumpalo::Bump::new();
        let order = self.sorted();
        let held = std::mem::take(&mut self.batches);
        for piece in order.chunk_by(|left, right| left.0 == right.0) {
            let chunk = held[piece[0].0 as usize].chunk(&scratch);
            let rows: Vec<u16> = piece.iter().map(|at| at.1).collect();
            self.hold(&chunk, &rows);
        }
    }
}

/// Orders two values of one column by `key`.
pub(crate) fn compare(key: &SortKey, left: (&Vector<'_>, usize), right: (&Vector<'_>, usize)) -> Ordering {
    let ((a, i), (b, j)) = (left, right);
    match (a.is_null(i), b.is_null(j)) {
        (true, true) => return Ordering::Equal,
        (true, false) => return if key.nulls_first { Ordering::Less } else { Ordering::Greater },
        (false, true) => return if key.nulls_first { Ordering::Greater } else { Ordering::Less },
        (false, false) => {}
    }
    let ordering = match (a.data, b.data) {
        (Data::I64(a), Data::I64(b)) => a[i].cmp(&b[j]),
        (Data::I128(a), Data::I128(b)) => a[i].cmp(&b[j]),
        (Data::F64(a), Data::F64(b)) => crate::agg::order_bits(a[i]).cmp(&crate::agg::order_bits(b[j])),
        (Data::Text(a), Data::Text(b)) => a[i].cmp(&b[j]),
        _ => panic!("one column has one shape"),
    };
    if key.descending { ordering.reverse() } else { ordering }
}

impl Operator for Sort {
    fn push(&mut self, _: usize, chunk: &Chunk<'_>, context: &Context<'_>, _: &mut Next<'_>) -> Result<()> {
        let rows = context.scratch.alloc_slice_fill_iter(0..chunk.rows as u16);
        self.hold(chunk, rows);
        if let Some(limit) = self.limit {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            if self.batches.len() * BATCH_ROWS > limit.saturating_mul(2).max(KEEP_MIN) {
                self.prune();
            }
        }
        Ok(())
    }

    fn watermark(&mut self, _: usize, _: super::Time, _: &Context<'_>, _: &mut Next<'_>) -> Result<()> {
        // Nothing has left yet, so nothing can be promised about what will.
        Ok(())
    }

    fn finish(&mut self, _: usize, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        self.order = self.sorted();
        self.finishing = true;
        if self.order.is_empty() {
            self.drain(context, next)?;
        }
        Ok(())
    }

    fn drain(&mut self, context: &Context<'_>, next: &mut Next<'_>) -> Result<bool> {
        if !self.finishing {
            return Ok(false);
        }
        let part = &self.order[self.given..(self.given + BATCH_ROWS).min(self.order.len())];
        if !part.is_empty() {
            let scratch = context.scratch;
            let columns = scratch.alloc_slice_fill_iter(self.layout.iter().enumerate().map(|(index, &physical)| {
                let mut column = Column::new(physical, scratch);
                for (to, &(batch, row)) in part.iter().enumerate() {
                    column.copy(to, &self.batches[batch as usize].vector(index), usize::from(row));
                }
                column.finish(part.len())
            }));
            let side = |pick: fn(&Batch) -> Option<&[u64]>| {
                pick(&self.batches[0]).is_some().then(|| {
                    let one = |&(batch, row): &(u32, u16)| {
                        pick(&self.batches[batch as usize]).map_or(0, |all| all[usize::from(row)])
                    };
                    &*scratch.alloc_slice_fill_iter(part.iter().map(one))
                })
            };
            let stamp = part.iter().map(|at| self.batches[at.0 as usize].stamp).max().unwrap_or(0);
            let (positions, ordinals) = (side(Batch::positions), side(Batch::ordinals));
            next.push(&Chunk { rows: part.len(), columns, positions, ordinals, floors: None, stamp }, context)?;
            self.given += part.len();
        }
        if self.given < self.order.len() {
            return Ok(true);
        }
        self.finishing = false;
        self.batches = Vec::new();
        next.finish(context)?;
        Ok(false)
    }

    fn due(&self) -> bool {
        self.finishing
    }

    fn state_bytes(&self) -> usize {
        self.batches.iter().map(Batch::bytes).sum()
    }

    fn save(&self, state: &mut State) -> Result<()> {
        let mut scratch = bumpalo::Bump::new();
        for batch in &self.batches {
            scratch.reset();
            columns::write_chunk(&batch.chunk(&scratch), state.whole());
        }
        Ok(())
    }

    fn restore(&mut self, saved: &Saved<'_>) -> Result<()> {
        let mut from = saved.whole();
        while !from.is_empty() {
            self.batches.push(columns::read_batch(&mut from, &self.layout)?);
        }
        Ok(())
    }
}
