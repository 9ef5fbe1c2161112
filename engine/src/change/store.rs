//! Rows held by the hash of a key until they are taken out again.
//!
//! Rows are numbered as they come and lie in batches; an index has chains of them by hash. A row that goes
//! is only marked; when more than half of them are, the others move together.

use bumpalo::Bump;

use super::same_row;
use crate::batch::{BATCH_ROWS, Batch, Chunk, Data, Vector};
use crate::error::{Code, Error, Result};
use crate::join::{Index, NONE};
use crate::operator::Column;
use crate::state::{Reader, Writer, columns};
use crate::types::Physical;

/// Rows marked at least before the others are moved together.
const GONE_MIN: usize = 4 * BATCH_ROWS;
/// Rows an index can number.
const ROWS_MAX: usize = u32::MAX as usize - 2 * BATCH_ROWS;

/// The rows.
pub(crate) struct Store {
    layout: Vec<Physical>,
    batches: Vec<Batch>,
    /// By number: the hash of its key, and whether the row is gone.
    hashes: Vec<u64>,
    gone: Vec<bool>,
    gone_count: usize,
    index: Index,
    /// Which columns have a NULL somewhere.
    nulls: Vec<bool>,
    has_positions: bool,
}

impl Store {
    /// For rows whose columns have the shapes `layout`.
    pub(crate) fn new(layout: Vec<Physical>) -> Self {
        Store {
            nulls: vec![false; layout.len()],
            layout,
            batches: Vec::new(),
            hashes: Vec::new(),
            gone: Vec::new(),
            gone_count: 0,
            index: Index::new(),
            has_positions: false,
        }
    }

    /// Rows ever numbered.
    pub(crate) fn numbered(&self) -> usize {
        self.gone.len()
    }

    /// Bytes held.
    pub(crate) fn memory(&self) -> usize {
        let batches: usize = self.batches.iter().map(Batch::bytes).sum();
        batches + self.index.memory() + self.hashes.capacity() * 8 + self.gone.capacity()
    }

    /// Takes the rows of `chunk` named by `rows`, found by their `hashes` (by row of the chunk) from then on.
    pub(crate) fn insert(&mut self, chunk: &Chunk<'_>, rows: &[u16], hashes: &[u64], scratch: &Bump) -> Result<()> {
        let first = self.numbered();
        if first + rows.len() > ROWS_MAX {
            let error = Error::new(Code::Limit, "one shard cannot hold more rows than this of a stream that changes");
            return Err(error.note(format!("limit: {ROWS_MAX} rows")).help("spread the keys over more shards"));
        }
        let taken = scratch.alloc_slice_fill_iter(rows.iter().map(|&row| hashes[usize::from(row)]));
        self.index.insert(taken, None);
        self.hashes.extend_from_slice(taken);
        self.gone.resize(first + rows.len(), false);
        self.has_positions |= chunk.positions.is_some();
        for (known, column) in self.nulls.iter_mut().zip(chunk.columns) {
            *known |= column.nulls.is_some();
        }
        let mut rest = rows;
        while !rest.is_empty() {
            if self.batches.last().is_none_or(|batch| batch.rows() == BATCH_ROWS) {
                self.batches.push(Batch::new(&self.layout));
            }
            let batch = self.batches.last_mut().expect("pushed above");
            rest = &rest[batch.append(chunk, rest)..];
        }
        Ok(())
    }

    /// Reads what looking for these hashes will read; the first row of each chain.
    pub(crate) fn heads(&self, hashes: &[u64], heads: &mut Vec<u32>) {
        self.index.heads(hashes, heads);
    }

    /// Appends the rows whose key may be the one of `hash`, the newest first; `head` is the first of its chain.
    #[inline]
    pub(crate) fn candidates(&self, head: u32, hash: u64, found: &mut Vec<u32>) {
        let from = found.len();
        self.index.find(head, hash, 0, found);
        let mut kept = from;
        for at in from..found.len() {
            let row = found[at];
            found[kept] = row;
            kept += usize::from(!self.gone[row as usize] && self.hashes[row as usize] == hash);
        }
        found.truncate(kept);
    }

    /// Appends the rows with a key of exactly this hash, in the order in which they came.
    pub(crate) fn of_hash(&self, hash: u64, found: &mut Vec<u32>) {
        let from = found.len();
        self.candidates(self.index.head(hash), hash, found);
        found[from..].reverse();
    }

    /// The newest row with the columns that row `row` of `columns` has; `hash` is its key's, `found` is for its
    /// use.
    pub(crate) fn find(&self, columns: &[Vector<'_>], row: usize, hash: u64, found: &mut Vec<u32>) -> Option<u32> {
        found.clear();
        self.candidates(self.index.head(hash), hash, found);
        let is_it = |&number: &u32| {
            let (batch, at) = (&self.batches[number as usize / BATCH_ROWS], number as usize % BATCH_ROWS);
            let one = |(column, wanted): (usize, &Vector<'_>)| {
                let held = batch.vector(column);
                same_row(std::slice::from_ref(wanted), row, std::slice::from_ref(&held), at)
            };
            columns.iter().enumerate().all(one)
        };
        found.iter().copied().find(is_it)
    }

    /// Marks a row as gone.
    pub(crate) fn remove(&mut self, number: u32) {
        let gone = &mut self.gone[number as usize];
        self.gone_count += usize::from(!*gone);
        *gone = true;
    }

    /// Marks the rows as gone whose time, column `time`, is at or before `until`.
    pub(crate) fn remove_until(&mut self, time: usize, until: i64) {
        for (number, batch) in self.batches.iter().enumerate() {
            let times = batch.vector(time);
            let gone = &mut self.gone[number * BATCH_ROWS..][..batch.rows()];
            for (row, gone) in gone.iter_mut().enumerate() {
                if !*gone && !times.is_null(row) && times.i64s()[row] <= until {
                    *gone = true;
                    self.gone_count += 1;
                }
            }
        }
    }

    /// Moves the rows that are left together, if it is time for that; the former numbers of the rows by their
    /// new ones.
    pub(crate) fn tidy(&mut self) -> Result<Option<Vec<u32>>> {
        if self.gone_count < GONE_MIN || self.gone_count * 2 < self.numbered() {
            return Ok(None);
        }
        let mut fresh = Store::new(std::mem::take(&mut self.layout));
        let mut kept = Vec::new();
        let mut scratch = Bump::new();
        for (number, batch) in std::mem::take(&mut self.batches).into_iter().enumerate() {
            scratch.reset();
            let first = number * BATCH_ROWS;
            let rows: Vec<u16> = (0..batch.rows() as u16).filter(|&row| !self.gone[first + usize::from(row)]).collect();
            if rows.is_empty() {
                continue;
            }
            kept.extend(rows.iter().map(|&row| (first + usize::from(row)) as u32));
            fresh.insert(&batch.chunk(&scratch), &rows, &self.hashes[first..first + batch.rows()], &scratch)?;
        }
        *self = fresh;
        Ok(Some(kept))
    }

    /// Column `column` of the rows `numbers`; NULL for [`NONE`].
    pub(crate) fn gather<'a>(&'a self, column: usize, numbers: &[u32], scratch: &'a Bump) -> Vector<'a> {
        let physical = self.layout[column];
        let place = |number: u32| (number as usize / BATCH_ROWS, number as usize % BATCH_ROWS);
        if physical == Physical::I64 && !self.nulls[column] && !numbers.contains(&NONE) {
            let one = |&number: &u32| {
                let (batch, row) = place(number);
                self.batches[batch].vector(column).i64s()[row]
            };
            return Vector::new(Data::I64(scratch.alloc_slice_fill_iter(numbers.iter().map(one))));
        }
        let mut gathered = Column::new(physical, scratch);
        for (to, &number) in numbers.iter().enumerate() {
            if number == NONE {
                gathered.set_null(to);
                continue;
            }
            let (batch, row) = place(number);
            gathered.copy(to, &self.batches[batch].vector(column), row);
        }
        gathered.finish(numbers.len())
    }

    /// At most a chunk of rows, with their positions where they have them.
    pub(crate) fn chunk<'a>(&'a self, numbers: &[u32], scratch: &'a Bump) -> Chunk<'a> {
        let columns = (0..self.layout.len()).map(|column| self.gather(column, numbers, scratch));
        let columns = scratch.alloc_slice_fill_iter(columns.collect::<Vec<_>>());
        let position = |&number: &u32| {
            let batch = &self.batches[number as usize / BATCH_ROWS];
            batch.positions().map_or(0, |positions| positions[number as usize % BATCH_ROWS])
        };
        let positions = self.has_positions.then(|| &*scratch.alloc_slice_fill_iter(numbers.iter().map(position)));
        let stamp = numbers.iter().map(|&number| self.batches[number as usize / BATCH_ROWS].stamp).max().unwrap_or(0);
        Chunk { rows: numbers.len(), columns, positions, ordinals: None, floors: None, stamp }
    }

    /// Numbers of the rows that are there.
    pub(crate) fn live(&self) -> Vec<u32> {
        (0..self.numbered() as u32).filter(|&number| !self.gone[number as usize]).collect()
    }

    /// Writes the rows that are there, in order.
    pub(crate) fn save(&self, to: &mut Writer) {
        let live = self.live();
        to.count(live.len().div_ceil(BATCH_ROWS));
        let mut scratch = Bump::new();
        for numbers in live.chunks(BATCH_ROWS) {
            scratch.reset();
            columns::write_chunk(&self.chunk(numbers, &scratch), to);
        }
    }

    /// Reads rows into an empty store; `keyed` gives the hashes of their keys.
    pub(crate) fn load(
        &mut self,
        from: &mut Reader<'_>,
        keyed: impl for<'c> Fn(&Chunk<'c>, &'c Bump) -> Result<Vec<u64>>,
    ) -> Result<()> {
        for _ in 0..from.count(1)? {
            let batch = columns::read_batch(from, &self.layout)?;
            let scratch = Bump::new();
            let chunk = batch.chunk(&scratch);
            let all: Vec<u16> = (0..batch.rows() as u16).collect();
            self.insert(&chunk, &all, &keyed(&chunk, &scratch)?, &scratch)?;
        }
        Ok(())
    }
}
