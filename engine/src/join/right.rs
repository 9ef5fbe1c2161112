//! The rows of the right side: in batches by number, found by the hash of their key, forgotten when no
//! left row to come can be near them in time.

use std::cmp::Ordering;
use std::collections::VecDeque;

use bumpalo::Bump;

use super::index::{Index, NONE};
use super::stored::{Stored, Takes};
use crate::batch::{BATCH_ROWS, Batch, Chunk, Data, Text, Vector};
use crate::error::{Code, Error, Result};
use crate::operator::{Context, Time, compare};
use crate::over::runs::{Held, Runs};
use crate::pipeline::Place;
use crate::plan::SortKey;
use crate::state::{Reader, Writer, columns, damaged};
use crate::types::Physical;

/// Rows an index can number.
const ROWS_MAX: usize = u32::MAX as usize - BATCH_ROWS;

/// The rows.
pub(crate) struct Right {
    pub(crate) stored: Stored,
    seed: u64,
    /// Each with the greatest time in it.
    batches: VecDeque<(Batch, Time)>,
    /// How many batches came before `batches[0]`.
    first: u64,
    /// How many of the index's numbers are of rows that are gone; whole batches of them.
    gone: usize,
    index: Index,
    spare: Vec<Batch>,
    /// Which columns have a NULL somewhere.
    nulls: Vec<bool>,
    /// Where rows without a match leave: by number, whether a row had one.
    matched: Vec<bool>,
    /// Where rows without a match leave: all rows, by the time from which no left row can match.
    leaving: Option<Runs>,
    /// The least that a right row's time may be behind a left row's (see [`crate::plan::Within`]).
    lower: i64,
}

impl Right {
    /// `keeps`: rows without a match leave.
    pub(crate) fn new(stored: Stored, seed: u64, lower: i64, keeps: bool) -> Self {
        Right {
            nulls: vec![false; stored.layout.len()],
            stored,
            seed,
            batches: VecDeque::new(),
            first: 0,
            gone: 0,
            index: Index::new(),
            spare: Vec::new(),
            matched: Vec::new(),
            leaving: keeps.then(Runs::default),
            lower,
        }
    }

    /// The time from which no later left row can match a right row of this time.
    fn until(&self, time: Time) -> Time {
        time.saturating_sub(self.lower)
    }

    /// Takes rows of the input.
    pub(crate) fn push(&mut self, chunk: &Chunk<'_>, context: &Context<'_>) -> Result<()> {
        let held = self.stored.rows(chunk, context)?;
        self.add(&held, context.scratch)
    }

    fn add(&mut self, held: &Chunk<'_>, scratch: &Bump) -> Result<()> {
        if self.index.rows() + held.rows > ROWS_MAX {
            let error = Error::new(Code::Limit, "the right side of a join has too many rows for one shard");
            return Err(error.help("take more shards, or a bound in time"));
        }
        let hashes = self.stored.hashes(held, self.seed, scratch);
        self.index.insert(hashes, self.stored.null_keys(held, scratch));
        for (known, column) in self.nulls.iter_mut().zip(held.columns) {
            *known |= column.nulls.is_some();
        }
        let times = self.stored.times(held);
        let all: &[u16] = scratch.alloc_slice_fill_iter(0..held.rows as u16);
        let mut rest = all;
        while !rest.is_empty() {
            if self.batches.back().is_none_or(|(batch, _)| batch.rows() == BATCH_ROWS) {
                let batch = self.spare.pop().unwrap_or_else(|| Batch::new(&self.stored.layout));
                self.batches.push_back((batch, Time::MIN));
            }
            let number = self.first + self.batches.len() as u64 - 1;
            let (batch, latest) = self.batches.back_mut().expect("pushed above");
            let start = batch.rows();
            let count = batch.append(held, rest);
            let taken = &rest[..count];
            *latest = match times {
                Some(times) => taken.iter().map(|&row| times[usize::from(row)]).fold(*latest, Time::max),
                None => Time::MAX,
            };
            if let Some(leaving) = &mut self.leaving {
                let held = (start..).zip(taken).map(|(to, &row)| {
                    let time = times.map_or(Time::MAX, |times| times[usize::from(row)].saturating_sub(self.lower));
                    let position = held.positions.map_or(0, |positions| positions[usize::from(row)]);
                    Held::new(time, position, 0, number, to as u16)
                });
                leaving.wait(bumpalo::collections::Vec::from_iter_in(held, scratch).as_slice());
                self.matched.resize(self.matched.len() + count, false);
            }
            rest = &rest[count..];
        }
        Ok(())
    }

    /// Reads what looking for these hashes will read; returns the first row of each chain.
    pub(crate) fn heads(&self, hashes: &[u64], heads: &mut Vec<u32>) {
        self.index.heads(hashes, heads);
    }

    /// Rows whose key may be the one of `hash`, in order; `head` is the first of its chain.
    pub(crate) fn candidates(&self, head: u32, hash: u64, found: &mut Vec<u32>) {
        found.clear();
        self.index.find(head, hash, self.gone as u32, found);
        if found.len() < 2 {
            return;
        }
        found.reverse();
        let place = |&row: &u32| (self.position(row), row);
        if !found.is_sorted_by_key(place) {
            found.sort_by_cached_key(place);
        }
    }

    #[inline]
    fn place(&self, row: u32) -> (&Batch, usize) {
        let row = row as usize - self.gone;
        (&self.batches[row / BATCH_ROWS].0, row % BATCH_ROWS)
    }

    /// What orders a row among others; 0 where that is its number.
    pub(crate) fn position(&self, row: u32) -> u64 {
        let (batch, at) = self.place(row);
        batch.positions().map_or(0, |positions| positions[at])
    }

    /// Column `column` of these rows, NULL for [`NONE`].
    pub(crate) fn gather<'a>(&'a self, column: usize, rows: &[u32], scratch: &'a Bump) -> Vector<'a> {
        // Batches that most likely are read several times are looked up once.
        let few = self.batches.len() <= rows.len() / 4;
        macro_rules! pick {
            ($kind:ident, $of:ident, $default:expr) => {{
                let mut values = bumpalo::collections::Vec::with_capacity_in(rows.len(), scratch);
                if few {
                    let all = self.batches.iter().map(|(batch, _)| batch.vector(column).$of());
                    let all = bumpalo::collections::Vec::from_iter_in(all, scratch);
                    values.extend(rows.iter().map(|&row| match row {
                        NONE => $default,
                        row => {
                            let row = row as usize - self.gone;
                            all[row / BATCH_ROWS][row % BATCH_ROWS]
                        }
                    }));
                } else {
                    values.extend(rows.iter().map(|&row| match row {
                        NONE => $default,
                        row => {
                            let (batch, at) = self.place(row);
                            batch.vector(column).$of()[at]
                        }
                    }));
                }
                Data::$kind(values.into_bump_slice())
            }};
        }
        let data = match self.stored.layout[column] {
            Physical::I64 => pick!(I64, i64s, 0),
            Physical::I128 => pick!(I128, i128s, 0),
            Physical::F64 => pick!(F64, f64s, 0.0),
            Physical::Text => pick!(Text, texts, Text::EMPTY),
        };
        let nulls = (self.nulls[column] || rows.contains(&NONE)).then(|| {
            let words = scratch.alloc_slice_fill_copy(rows.len().div_ceil(64).max(1), 0u64);
            for (to, &row) in rows.iter().enumerate() {
                let null = row == NONE || {
                    let (batch, at) = self.place(row);
                    batch.vector(column).is_null(at)
                };
                words[to / 64] |= u64::from(null) << (to % 64);
            }
            &*words
        });
        Vector { data, nulls }
    }

    /// Whether the value of `column` in row `one` is less than in `other` (`greatest`), or greater; NULL
    /// is behind all.
    pub(crate) fn is_behind(&self, column: usize, one: u32, other: u32, greatest: bool) -> bool {
        let ((first, i), (second, j)) = (self.place(one), self.place(other));
        let key = SortKey { column, descending: greatest, nulls_first: false };
        let order = compare(&key, (&first.vector(column), i), (&second.vector(column), j));
        order == Ordering::Greater
    }

    /// A row has a match.
    pub(crate) fn match_row(&mut self, row: u32) {
        self.matched[row as usize] = true;
    }

    /// Whether a row has had a match so far.
    pub(crate) fn is_matched(&self, row: u32) -> bool {
        self.matched[row as usize]
    }

    /// The next row that leaves if it has had no match, and the time from which it may; only those
    /// before `time`, or all that were released.
    pub(crate) fn next_leaving(&mut self, time: Option<Time>) -> Option<u32> {
        let first = self.first;
        let runs = self.leaving.as_mut()?;
        let held = *runs.ready().first().filter(|held| time.is_none_or(|time| held.time() < time))?;
        runs.give(1);
        let row = (held.batch() - first) as usize * BATCH_ROWS + held.row();
        Some((self.gone + row) as u32)
    }

    /// Whether rows may leave.
    pub(crate) fn has_leaving(&self) -> bool {
        self.leaving.as_ref().is_some_and(|runs| !runs.ready().is_empty())
    }

    /// The time from which no left row can match `row`.
    pub(crate) fn leaves_at(&self, row: u32) -> Time {
        let (batch, at) = self.place(row);
        self.stored.time.map_or(Time::MAX, |time| self.until(batch.vector(time).i64s()[at]))
    }

    /// Left rows to come are later than `time`.
    pub(crate) fn release(&mut self, time: Time) {
        if let Some(runs) = &mut self.leaving {
            runs.release(time);
        }
    }

    /// Forgets rows that no left row later than `time` can match. Only when none may leave.
    pub(crate) fn expire(&mut self, time: Time) {
        let lower = self.lower;
        let done = |batch: &Batch, latest: Time| {
            batch.rows() == BATCH_ROWS && latest != Time::MAX && latest.saturating_sub(lower) <= time
        };
        while self.batches.front().is_some_and(|(batch, latest)| done(batch, *latest)) {
            let (mut batch, _) = self.batches.pop_front().expect("seen above");
            self.gone += batch.rows();
            self.first += 1;
            if self.spare.len() < SPARE_MAX {
                batch.reset();
                self.spare.push(batch);
            }
        }
        if self.gone >= GONE_MAX && self.gone >= self.index.rows() / 2 {
            self.index.forget(self.gone);
            if self.leaving.is_some() {
                self.matched.drain(..self.gone);
            }
            self.gone = 0;
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.batches.clear();
        self.spare.clear();
        self.index = Index::new();
        self.matched = Vec::new();
        (self.first, self.gone) = (0, 0);
        self.leaving = self.leaving.as_ref().map(|_| Runs::default());
    }

    pub(crate) fn memory(&self) -> usize {
        let batches = self.batches.iter().map(|(batch, _)| batch).chain(&self.spare);
        batches.map(Batch::bytes).sum::<usize>()
            + self.index.memory()
            + self.matched.capacity()
            + self.leaving.as_ref().map_or(0, Runs::memory)
    }

    /// Writes the rows held. Only when none may leave.
    pub(crate) fn save(&self, to: &mut Writer) {
        let mut scratch = Bump::new();
        to.count(self.batches.len());
        for (number, (batch, _)) in self.batches.iter().enumerate() {
            scratch.reset();
            columns::write_chunk(&batch.chunk(&scratch), to);
            if self.leaving.is_some() {
                let from = self.gone + number * BATCH_ROWS;
                self.matched[from..from + batch.rows()].iter().for_each(|&matched| to.flag(matched));
            }
        }
    }

    /// Reads the rows held, or what the shard at a place takes of them.
    pub(crate) fn load(&mut self, taken: Option<(Takes, Place)>, from: &mut Reader<'_>) -> Result<()> {
        let mut scratch = Bump::new();
        for _ in 0..from.count(1)? {
            scratch.reset();
            let chunk = columns::read_chunk(from, &self.stored.layout, &scratch)?;
            let mut matched = Vec::new();
            if self.leaving.is_some() {
                matched = (0..chunk.rows).map(|_| from.flag()).collect::<Result<Vec<bool>>>()?;
            }
            let start = self.matched.len();
            match taken {
                None if !self.index.rows().is_multiple_of(BATCH_ROWS) => {
                    return Err(damaged("a batch that is not full stands before another"));
                }
                None => self.add(&chunk, &scratch)?,
                Some((takes, place)) => {
                    let rows = self.stored.taken(&chunk, takes, place, &scratch);
                    let held = self.stored.ordered(chunk.gather(rows, &scratch), &scratch);
                    self.add(&held, &scratch)?;
                    if self.leaving.is_some() {
                        matched = rows.iter().map(|&row| matched[usize::from(row)]).collect();
                    }
                }
            }
            if self.leaving.is_some() {
                self.matched[start..].copy_from_slice(&matched);
            }
        }
        Ok(())
    }

    /// Rows that no left row later than `released` can match have left; they are only kept until they are
    /// forgotten. Behind [`Right::load`].
    pub(crate) fn have_left(&mut self, released: Time) {
        if let Some(runs) = &mut self.leaving {
            runs.release(released);
            runs.give(runs.ready().len());
        }
    }
}

/// Batches kept for rows to come.
const SPARE_MAX: usize = 16;
/// Rows that are gone before their numbers are used again.
const GONE_MAX: usize = if cfg!(test) { 2 * BATCH_ROWS } else { 64 * BATCH_ROWS };
