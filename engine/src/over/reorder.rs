//! Rows held until the watermark has passed them, given out in order of (time, position).
//!
//! Rows are copied into batches as they come; what is sorted is small: time, position, and where the
//! row lies (see [`super::runs`]). A batch goes back to the spare ones when its last row has left.

use std::collections::VecDeque;
use std::ops::Range;

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;

use super::runs::{Held, Runs};
use crate::batch::{BATCH_ROWS, Batch, Chunk, Data, Text, Vector};
use crate::error::Result;
use crate::operator::Time;
use crate::state::{Reader, Writer, columns};
use crate::types::Physical;

/// Rows of one batch that follow each other in the order of output as they do in the batch. Rows that came
/// in order make long ones, which are copied as a whole.
struct Stretch {
    /// Index in [`Reorder::batches`].
    batch: usize,
    rows: Range<usize>,
}

/// Appends `from`, for which there is room.
#[inline]
fn copy<T: Copy>(to: &mut BumpVec<'_, T>, from: &[T]) {
    // A call costs more than a few values.
    if from.len() < 8 { to.extend(from.iter().copied()) } else { to.extend_from_slice_copy(from) }
}

/// The rows held.
pub(crate) struct Reorder {
    layout: Vec<Physical>,
    /// Number of `batches[0]`.
    first: u64,
    /// Batches with the number of their rows that are still held.
    batches: VecDeque<(Batch, usize)>,
    spare: Vec<Batch>,
    runs: Runs,
    arrived: u64,
}

impl Reorder {
    pub(crate) fn new(layout: Vec<Physical>) -> Self {
        Reorder { layout, first: 0, batches: VecDeque::new(), spare: Vec::new(), runs: Runs::default(), arrived: 0 }
    }

    /// Takes rows; without `times` they are ordered by position alone, without positions by arrival.
    /// Where several may have one position, `ties` orders those. Returns how
    /// many bytes were copied.
    pub(crate) fn push(&mut self, chunk: &Chunk<'_>, times: Option<&[i64]>, ties: Option<&[u64]>) -> usize {
        let (mut first, mut bytes) = (0, 0);
        while first < chunk.rows {
            if self.batches.back().is_none_or(|(batch, _)| batch.rows() == BATCH_ROWS) {
                let batch = self.spare.pop().unwrap_or_else(|| Batch::new(&self.layout));
                self.batches.push_back((batch, 0));
            }
            let number = self.first + self.batches.len() as u64 - 1;
            let (batch, live) = self.batches.back_mut().expect("pushed above");
            let (start, before) = (batch.rows(), batch.column_bytes());
            let count = batch.append_from(chunk, first);
            bytes += batch.column_bytes() - before;
            *live += count;
            for (to, row) in (start..).zip(first..first + count) {
                let time = times.map_or(0, |times| times[row]);
                let position = chunk.positions.map_or(self.arrived, |positions| positions[row]);
                self.arrived += 1;
                let tie = ties.map_or(0, |ties| ties[row]);
                self.runs.wait(Held { time, position, tie, batch: number, row: to as u16 });
            }
            first += count;
        }
        bytes
    }

    /// Lets rows at or before `watermark` leave.
    pub(crate) fn release(&mut self, watermark: Time) {
        self.runs.release(watermark);
    }

    /// Whether rows may leave.
    pub(crate) fn has_ready(&self) -> bool {
        !self.runs.ready().is_empty()
    }

    /// The next rows that may leave, up to a chunk of them.
    pub(crate) fn take<'a>(&mut self, scratch: &'a Bump) -> Chunk<'a> {
        let ready = self.runs.ready();
        let (chunk, stretches) = self.gather_rows(&ready[..ready.len().min(BATCH_ROWS)], scratch);
        self.runs.give(chunk.rows);
        for stretch in &stretches {
            self.batches[stretch.batch].1 -= stretch.rows.len();
        }
        while let Some((batch, 0)) = self.batches.front() {
            if self.batches.len() == 1 && batch.rows() < BATCH_ROWS {
                break;
            }
            let (mut batch, _) = self.batches.pop_front().expect("seen above");
            batch.reset();
            self.spare.push(batch);
            self.first += 1;
        }
        chunk
    }

    /// These rows, and where they lie.
    fn gather_rows<'a>(&self, part: &[Held], scratch: &'a Bump) -> (Chunk<'a>, BumpVec<'a, Stretch>) {
        let mut stretches: BumpVec<'_, Stretch> = BumpVec::new_in(scratch);
        for held in part {
            let (batch, row) = ((held.batch - self.first) as usize, usize::from(held.row));
            match stretches.last_mut() {
                Some(last) if last.batch == batch && last.rows.end == row => last.rows.end += 1,
                _ => stretches.push(Stretch { batch, rows: row..row + 1 }),
            }
        }
        let mut columns = BumpVec::with_capacity_in(self.layout.len(), scratch);
        for column in 0..self.layout.len() {
            columns.push(self.gather(column, part.len(), &stretches, scratch));
        }
        let side = |pick: fn(&Batch) -> Option<&[u64]>| {
            self.batches.front().is_some_and(|(batch, _)| pick(batch).is_some()).then(|| {
                let mut all = BumpVec::with_capacity_in(part.len(), scratch);
                for Stretch { batch, rows } in &stretches {
                    match pick(&self.batches[*batch].0) {
                        Some(side) => copy(&mut all, &side[rows.clone()]),
                        None => all.resize(all.len() + rows.len(), 0),
                    }
                }
                all.into_bump_slice()
            })
        };
        let (positions, ordinals) = (side(Batch::positions), side(Batch::ordinals));
        let stamp = self.batches.iter().map(|(batch, _)| batch.stamp).max().unwrap_or(0);
        let chunk =
            Chunk { rows: part.len(), columns: columns.into_bump_slice(), positions, ordinals, floors: None, stamp };
        (chunk, stretches)
    }

    /// Writes the rows held, in order. Only while none may leave.
    pub(crate) fn save(&self, to: &mut Writer) {
        let held = self.runs.waiting();
        to.word(self.arrived);
        to.count(held.len().div_ceil(BATCH_ROWS));
        let mut scratch = Bump::new();
        for part in held.chunks(BATCH_ROWS) {
            scratch.reset();
            columns::write_chunk(&self.gather_rows(part, &scratch).0, to);
        }
    }

    /// Reads the rows held; their times stand in column `time`, and `ties` orders those of one position.
    pub(crate) fn load(
        &mut self,
        time: Option<usize>,
        ties: impl for<'s> Fn(&Chunk<'s>, &'s Bump) -> Option<&'s [u64]>,
        from: &mut Reader<'_>,
    ) -> Result<()> {
        let arrived = from.word()?;
        let mut scratch = Bump::new();
        for _ in 0..from.count(1)? {
            scratch.reset();
            let chunk = columns::read_chunk(from, &self.layout, &scratch)?;
            self.push(&chunk, time.map(|time| chunk.columns[time].i64s()), ties(&chunk, &scratch));
        }
        self.arrived = self.arrived.max(arrived);
        Ok(())
    }

    fn gather<'a>(&self, column: usize, count: usize, stretches: &[Stretch], scratch: &'a Bump) -> Vector<'a> {
        let vectors = BumpVec::from_iter_in(self.batches.iter().map(|(batch, _)| batch.vector(column)), scratch);
        macro_rules! pick {
            ($kind:ident, $of:ident, $copy:expr) => {{
                let mut values = BumpVec::with_capacity_in(count, scratch);
                for Stretch { batch, rows } in stretches {
                    $copy(&mut values, &vectors[*batch].$of()[rows.clone()]);
                }
                Data::$kind(values.into_bump_slice())
            }};
        }
        let data = match self.layout[column] {
            Physical::I64 => pick!(I64, i64s, copy),
            Physical::I128 => pick!(I128, i128s, copy),
            Physical::F64 => pick!(F64, f64s, copy),
            // The batch may be used again before the chunk is read.
            Physical::Text => pick!(Text, texts, |values: &mut BumpVec<'a, Text<'a>>, texts: &[Text<'_>]| {
                values.extend(texts.iter().map(|text| text.copy_to(scratch)));
            }),
        };
        let nulls = vectors.iter().any(|vector| vector.nulls.is_some()).then(|| {
            let words = scratch.alloc_slice_fill_copy(count.div_ceil(64).max(1), 0u64);
            let places = stretches.iter().flat_map(|stretch| stretch.rows.clone().map(|row| (stretch.batch, row)));
            for (to, (batch, row)) in places.enumerate() {
                words[to / 64] |= u64::from(vectors[batch].is_null(row)) << (to % 64);
            }
            &*words
        });
        Vector { data, nulls }
    }

    /// Bytes held.
    pub(crate) fn memory(&self) -> usize {
        let batches = self.batches.iter().map(|(batch, _)| batch).chain(&self.spare);
        batches.map(Batch::bytes).sum::<usize>() + self.runs.memory()
    }
}
