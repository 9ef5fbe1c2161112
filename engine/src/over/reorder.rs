//! Rows held until the watermark has passed them, given out in order of (time, position).
//!
//! Rows are copied into batches as they come; what is sorted is small: time, position, and where the
//! row lies (see [`super::runs`]). A batch goes back to the spare ones when its last row has left.

use std::collections::VecDeque;
use std::ops::Range;

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;

use super::runs::{Held, Runs};
use crate::batch::{BATCH_ROWS, Batch, Chunk, Data, Vector};
use crate::error::Result;
use crate::operator::Time;
use crate::state::{Reader, Writer, columns};
use crate::types::Physical;

/// With fewer rows than this to a stretch, rows are copied one by one: a call costs more than a few values.
const STRETCH_ROWS: usize = 4;

/// What rows are put in order by; where it is NULL they come last.
pub(crate) fn times<'a>(column: &Vector<'a>, scratch: &'a Bump) -> &'a [i64] {
    match column.nulls {
        None => column.i64s(),
        Some(_) => {
            let known = column.i64s().iter().enumerate();
            scratch.alloc_slice_fill_iter(known.map(|(row, &time)| if column.is_null(row) { i64::MAX } else { time }))
        }
    }
}

/// Rows that are to leave, in order, and where they lie in the batches.
struct Places<'p> {
    part: &'p [Held],
    /// Number of the first batch.
    first: u64,
    /// Rows that follow each other in the order of output as they do in their batch; none where there are too
    /// many of these.
    stretches: BumpVec<'p, (usize, Range<usize>)>,
}

impl<'p> Places<'p> {
    fn new(part: &'p [Held], first: u64, scratch: &'p Bump) -> Self {
        let breaks = part.windows(2).filter(|pair| !pair[1].follows(&pair[0])).count();
        let mut stretches = BumpVec::new_in(scratch);
        if (breaks + 1) * STRETCH_ROWS <= part.len() {
            for stretch in part.chunk_by(|before, held| held.follows(before)) {
                let (batch, row) = ((stretch[0].batch() - first) as usize, stretch[0].row());
                stretches.push((batch, row..row + stretch.len()));
            }
        }
        Places { part, first, stretches }
    }

    /// Batch, counted from the first, and row.
    fn rows(&self) -> impl ExactSizeIterator<Item = (usize, usize)> {
        self.part.iter().map(|held| ((held.batch() - self.first) as usize, held.row()))
    }

    /// The values at these places of a column, which every batch has a part of.
    fn pick<'a, T: Copy>(&self, parts: &[&[T]], scratch: &'a Bump) -> &'a [T] {
        if self.stretches.is_empty() {
            return scratch.alloc_slice_fill_iter(self.rows().map(|(batch, row)| parts[batch][row]));
        }
        let mut values = BumpVec::with_capacity_in(self.part.len(), scratch);
        for (batch, rows) in &self.stretches {
            values.extend_from_slice_copy(&parts[*batch][rows.clone()]);
        }
        values.into_bump_slice()
    }
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
    /// Room for rows of a chunk on their way to the runs.
    arriving: Vec<Held>,
    arrived: u64,
}

impl Reorder {
    pub(crate) fn new(layout: Vec<Physical>) -> Self {
        Reorder {
            layout,
            first: 0,
            batches: VecDeque::new(),
            spare: Vec::new(),
            runs: Runs::default(),
            arriving: Vec::new(),
            arrived: 0,
        }
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
            self.arriving.clear();
            self.arriving.extend((start..).zip(first..first + count).map(|(to, row)| {
                let time = times.map_or(0, |times| times[row]);
                let position = chunk.positions.map_or(self.arrived + row as u64, |positions| positions[row]);
                Held::new(time, position, ties.map_or(0, |ties| ties[row]), number, to as u16)
            }));
            self.runs.wait(&self.arriving);
            first += count;
        }
        self.arrived += chunk.rows as u64;
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
        let part = &ready[..ready.len().min(BATCH_ROWS)];
        let chunk = self.gather_rows(part, scratch);
        for held in part {
            self.batches[(held.batch() - self.first) as usize].1 -= 1;
        }
        self.runs.give(chunk.rows);
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

    /// These rows.
    fn gather_rows<'a>(&self, part: &[Held], scratch: &'a Bump) -> Chunk<'a> {
        let places = Places::new(part, self.first, scratch);
        let mut columns = BumpVec::with_capacity_in(self.layout.len(), scratch);
        for column in 0..self.layout.len() {
            columns.push(self.gather(column, &places, scratch));
        }
        let side = |pick: fn(&Batch) -> Option<&[u64]>| {
            self.batches.front().is_some_and(|(batch, _)| pick(batch).is_some()).then(|| {
                let sides = self.batches.iter().map(|(batch, _)| pick(batch).unwrap_or_default());
                let sides = BumpVec::from_iter_in(sides, scratch);
                if self.batches.iter().all(|(batch, _)| pick(batch).is_some()) {
                    return places.pick(&sides, scratch);
                }
                // Rows of several inputs, not all of which have it.
                let some = places.rows().map(|(batch, row)| sides[batch].get(row).copied().unwrap_or(0));
                &*scratch.alloc_slice_fill_iter(some)
            })
        };
        let (positions, ordinals) = (side(Batch::positions), side(Batch::ordinals));
        let stamp = self.batches.iter().map(|(batch, _)| batch.stamp).max().unwrap_or(0);
        Chunk { rows: part.len(), columns: columns.into_bump_slice(), positions, ordinals, floors: None, stamp }
    }

    /// Writes the rows held, in order. Only while none may leave.
    pub(crate) fn save(&self, to: &mut Writer) {
        let held = self.runs.waiting();
        to.word(self.arrived);
        to.count(held.len().div_ceil(BATCH_ROWS));
        let mut scratch = Bump::new();
        for part in held.chunks(BATCH_ROWS) {
            scratch.reset();
            columns::write_chunk(&self.gather_rows(part, &scratch), to);
        }
    }

    /// Reads the rows held; their times stand in column `time`, and `ties` orders those of one position.
    /// Of each chunk what `kept` makes of it stays.
    pub(crate) fn load(
        &mut self,
        time: Option<usize>,
        ties: impl for<'s> Fn(&Chunk<'s>, &'s Bump) -> Option<&'s [u64]>,
        kept: impl for<'s> Fn(Chunk<'s>, &'s Bump) -> Result<Chunk<'s>>,
        from: &mut Reader<'_>,
    ) -> Result<()> {
        let arrived = from.word()?;
        let mut scratch = Bump::new();
        for _ in 0..from.count(1)? {
            scratch.reset();
            let chunk = kept(columns::read_chunk(from, &self.layout, &scratch)?, &scratch)?;
            self.push(&chunk, time.map(|time| times(&chunk.columns[time], &scratch)), ties(&chunk, &scratch));
        }
        self.arrived = self.arrived.max(arrived);
        Ok(())
    }

    fn gather<'a>(&self, column: usize, places: &Places<'_>, scratch: &'a Bump) -> Vector<'a> {
        let vectors = BumpVec::from_iter_in(self.batches.iter().map(|(batch, _)| batch.vector(column)), scratch);
        macro_rules! pick {
            ($kind:ident, $of:ident) => {{
                let all = BumpVec::from_iter_in(vectors.iter().map(|vector| vector.$of()), scratch);
                Data::$kind(places.pick(&all, scratch))
            }};
        }
        let data = match self.layout[column] {
            Physical::I64 => pick!(I64, i64s),
            Physical::I128 => pick!(I128, i128s),
            Physical::F64 => pick!(F64, f64s),
            Physical::Text => {
                let all = BumpVec::from_iter_in(vectors.iter().map(|vector| vector.texts()), scratch);
                // The batch may be used again before the chunk is read.
                let copies = places.rows().map(|(batch, row)| all[batch][row].copy_to(scratch));
                Data::Text(scratch.alloc_slice_fill_iter(copies))
            }
        };
        let nulls = vectors.iter().any(|vector| vector.nulls.is_some()).then(|| {
            let words = scratch.alloc_slice_fill_copy(places.part.len().div_ceil(64).max(1), 0u64);
            for (to, (batch, row)) in places.rows().enumerate() {
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
