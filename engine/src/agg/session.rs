//! GROUP BY over session windows: rows of a key with less than the gap between them belong together.
//!
//! Rows are held until the watermark has passed them and taken in order of (time, position), as OVER
//! does. So a key has at most one open session, rows only ever extend it, and no two sessions are
//! merged: every aggregate works as it does in other windows. A row at or before the watermark is
//! late. A session is a group whose key has one more column, the session's start.
//!
//! Closed sessions leave in order of (end, key). Their groups stay in the tables until these hold
//! mostly such; then the open ones are written down and read back into empty tables.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use bumpalo::Bump;

use super::answer::Source;
use super::key::{KeyLayout, Keys, make_tags};
use super::saved::{SavedKeys, by_key_group};
use super::shape::Shape;
use super::table::Table;
use super::update::{Groups, Rows};
use crate::batch::{BATCH_ROWS, Chunk, Data, Vector};
use crate::error::{Code, Error, Result};
use crate::expr::Expr;
use crate::hash;
use crate::operator::evaluate::evaluate_all;
use crate::operator::{Column, Context, Next, Operator, Owed, Time};
use crate::over::Reorder;
use crate::pipeline::Place;
use crate::plan::{Aggregate, Emit, Phase};
use crate::stage::{Copied, Stage};
use crate::state::{Moved, Reader, Saved, State, damaged};
use crate::types::{DataType, Physical};

/// Words behind a key: start and last time of its open session.
const SESSION_WORDS: usize = 2;
/// Last time of a key without an open session.
const CLOSED: Time = Time::MIN;
/// Groups from which tables may be cleaned of closed sessions.
const CLEAN_FROM: usize = if cfg!(test) { 64 } else { 1 << 12 };

/// The operator.
pub(crate) struct Sessions {
    keys: Vec<Expr>,
    layout: KeyLayout,
    /// Its key is `keys` and the start.
    shape: Shape,
    gap: i64,
    time: usize,
    place: Place,
    output: Vec<Physical>,
    reorder: Reorder,
    /// Per key: start and last time of its open session.
    open: Table,
    open_count: usize,
    groups: Groups,
    /// When sessions end, as far as was known when this was noted: (end, key, start).
    ends: BinaryHeap<Reverse<(Time, u32, Time)>>,
    due: Vec<Closed>,
    given: usize,
    /// The watermark that due rows and sessions wait for, until they have left.
    owed: Owed,
    stamp: u64,
}

/// A session on its way out.
#[derive(Clone, Copy)]
struct Closed {
    end: Time,
    /// Base of its key.
    key: u32,
    start: Time,
}

impl Sessions {
    /// The operator of `aggregate`, whose input columns have the shapes `input`.
    pub(crate) fn new(aggregate: &Aggregate, input: Vec<Physical>, place: Place) -> Result<Self> {
        let Some((window, time)) = aggregate.window.filter(|(window, _)| window.is_session()) else {
            return Err(Error::new(Code::Internal, "sessions were planned without a gap"));
        };
        if aggregate.phase != Phase::Single || aggregate.emit != Emit::Final {
            return Err(Error::new(Code::Internal, "sessions were planned in parts or with EMIT CHANGES"));
        }
        let mut with_start = aggregate.clone();
        with_start.keys.push(Expr::column(time, DataType::BigInt));
        let physicals: Vec<Physical> = aggregate.keys.iter().map(|key| key.data_type.physical()).collect();
        let layout = KeyLayout::new(&physicals);
        let mut output = vec![Physical::I64; 2];
        output.extend(physicals);
        output.extend(aggregate.calls.iter().map(|call| call.data_type.physical()));
        let shape = Shape::new(&with_start, 1)?;
        Ok(Sessions {
            keys: aggregate.keys.clone(),
            gap: window.size,
            time,
            place,
            output,
            reorder: Reorder::new(input),
            open: Table::new(layout.words() + SESSION_WORDS),
            open_count: 0,
            groups: Groups::new(&shape),
            layout,
            shape,
            ends: BinaryHeap::new(),
            due: Vec::new(),
            given: 0,
            owed: Owed::default(),
            stamp: 0,
        })
    }

    /// Start and last time of the open session of the key at `base`.
    fn session(&mut self, base: u32) -> &mut [u64; SESSION_WORDS] {
        let at = base as usize + self.layout.words();
        (&mut self.open.state[at..at + SESSION_WORDS]).try_into().expect("the slice is as long")
    }

    /// Takes rows in order of time.
    fn absorb<'a>(&mut self, chunk: &Chunk<'a>, context: &Context<'a>) -> Result<()> {
        let scratch = context.scratch;
        let keys = evaluate_all(&self.keys, chunk, context)?;
        let bases = self.locate_keys(keys, chunk.rows, scratch)?;
        let starts = scratch.alloc_slice_fill_copy(chunk.rows, 0);
        let times = chunk.columns[self.time].i64s();
        for ((to, &time), &key) in starts.iter_mut().zip(times).zip(bases) {
            let gap = self.gap;
            let [start, last] = self.session(key).map(|word| word as i64);
            let start = if last != CLOSED && time < last.saturating_add(gap) {
                start
            } else {
                if last == CLOSED {
                    self.open_count += 1;
                } else {
                    self.due.push(Closed { end: last.saturating_add(gap), key, start });
                }
                self.ends.push(Reverse((time.saturating_add(gap), key, time)));
                time
            };
            *self.session(key) = [start as u64, time as u64];
            *to = start;
        }
        let columns = with_start(keys, starts, scratch);
        let rows = Rows::of(&self.shape, columns, chunk, context)?;
        self.groups.update(&self.shape, &rows, None, self.place.hash_seed, scratch)?;
        self.groups.texts.end_chunk();
        Ok(())
    }

    fn locate_keys<'a>(&mut self, keys: &'a [Vector<'a>], rows: usize, scratch: &'a Bump) -> Result<&'a [u32]> {
        let keys = self.tagged(keys, rows, scratch);
        let bases = scratch.alloc_slice_fill_copy(rows, 0);
        self.open.locate(&self.layout, &keys, &[0, CLOSED as u64], bases, scratch)?;
        Ok(bases)
    }

    fn tagged<'a>(&self, columns: &'a [Vector<'a>], rows: usize, scratch: &'a Bump) -> Keys<'a> {
        let tags = scratch.alloc_slice_fill_copy(rows, 0);
        hash::hash_rows(columns, self.place.hash_seed, tags);
        make_tags(columns, tags);
        Keys { columns, tags }
    }

    /// Groups of the sessions that began at `starts`, of the keys at `keys`; up to a chunk of them.
    fn groups_of<'a>(&self, keys: &[u32], starts: &'a [i64], scratch: &'a Bump) -> Result<Vec<u32>> {
        let columns = with_start(self.open.keys(&self.layout, keys, scratch), starts, scratch);
        let tagged = self.tagged(columns, keys.len(), scratch);
        let find = |row| self.groups.table.find(&self.shape.key, &tagged, row);
        (0..keys.len())
            .map(find)
            .collect::<Option<_>>()
            .ok_or_else(|| Error::new(Code::Internal, "a session has no group"))
    }

    /// Makes due what ends at or before `watermark`, and puts all that is due in order.
    fn close(&mut self, watermark: Time) {
        while let Some(&Reverse((end, key, start))) = self.ends.peek() {
            if end > watermark {
                break;
            }
            self.ends.pop();
            let [current, last] = self.session(key).map(|word| word as i64);
            if last == CLOSED || current != start {
                continue;
            }
            let now = last.saturating_add(self.gap);
            if now > watermark {
                self.ends.push(Reverse((now, key, start)));
                continue;
            }
            self.due.push(Closed { end: now, key, start });
            *self.session(key) = [0, CLOSED as u64];
            self.open_count -= 1;
        }
        let (layout, open) = (&self.layout, &self.open);
        self.due.sort_unstable_by(|left, right| {
            let keys = || layout.compare_groups(&open.state, left.key as usize, right.key as usize, &open.bytes);
            left.end.cmp(&right.end).then_with(keys)
        });
    }

    /// The next sessions that are due.
    fn page<'a>(&mut self, scratch: &'a Bump) -> Result<Chunk<'a>> {
        let part = &self.due[self.given..self.due.len().min(self.given + BATCH_ROWS)];
        let rows = part.len();
        let mut columns: Vec<Column<'a>> = self.output.iter().map(|&one| Column::new(one, scratch)).collect();
        for (row, closed) in part.iter().enumerate() {
            columns[0].i64s()[row] = closed.start;
            columns[1].i64s()[row] = closed.end;
        }
        let keys: Vec<u32> = part.iter().map(|closed| closed.key).collect();
        let starts = scratch.alloc_slice_fill_iter(part.iter().map(|closed| closed.start));
        let bases = self.groups_of(&keys, starts, scratch)?;
        let (out_keys, results) = columns[2..].split_at_mut(self.keys.len());
        for (number, out) in out_keys.iter_mut().enumerate() {
            self.layout.read(number, &self.open.state, &keys, &self.open.bytes, out, 0);
        }
        let source = Source { start: 0, ..self.groups.source(&bases) };
        for (answer, out) in self.shape.answers.iter().zip(results) {
            answer.write(&self.shape, &source, out)?;
        }
        self.given += rows;
        if self.given == self.due.len() {
            self.due.clear();
            self.given = 0;
        }
        let columns = columns.into_iter().map(|column| column.finish(rows));
        let columns = bumpalo::collections::Vec::from_iter_in(columns, scratch).into_bump_slice();
        Ok(Chunk { rows, columns, positions: None, ordinals: None, floors: None, stamp: self.stamp })
    }

    /// Once all rows up to the watermark are in: closes sessions, or passes on what waited for them.
    fn settle(&mut self, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        if self.reorder.has_ready() || !self.due.is_empty() {
            return Ok(());
        }
        let caller = context.ledger.enter(Stage::Aggregate);
        let cleaned = self.clean();
        context.ledger.enter(caller);
        cleaned?;
        self.owed.pass(context, next)
    }

    fn until(&self) -> Time {
        if self.owed.finish { Time::MAX } else { self.owed.watermark.unwrap_or(Time::MIN) }
    }

    /// Takes closed sessions and keys without one out of the tables, when most are such.
    fn clean(&mut self) -> Result<()> {
        let held = self.groups.table.groups();
        if held < CLEAN_FROM || held / 4 < self.open_count {
            return Ok(());
        }
        let mut state = State::default();
        self.save_open(&mut state)?;
        self.open.clear();
        self.groups.clear();
        self.ends.clear();
        self.open_count = 0;
        let sections: Vec<_> = state.sections(0).collect();
        for (group, mut from) in Saved::of(0, &sections)?.groups() {
            self.load_open(group, &mut from)?;
        }
        Ok(())
    }

    fn save_open(&self, state: &mut State) -> Result<()> {
        let mut scratch = Bump::new();
        let mut failed = Ok(());
        by_key_group(&self.layout, &self.open, self.place.hash_seed, |group, keys| {
            scratch.reset();
            let words = |key: u32, at: usize| self.open.state[key as usize + self.layout.words() + at] as i64;
            let keys: Vec<u32> = keys.iter().copied().filter(|&key| words(key, 1) != CLOSED).collect();
            if keys.is_empty() {
                return;
            }
            let starts = scratch.alloc_slice_fill_iter(keys.iter().map(|&key| words(key, 0)));
            match self.groups_of(&keys, starts, &scratch) {
                Ok(bases) => {
                    let to = state.group(group);
                    SavedKeys::write(&self.layout, &self.open, &keys, to);
                    for &key in &keys {
                        to.word(words(key, 0) as u64);
                        to.word(words(key, 1) as u64);
                    }
                    self.groups.save_accumulators(&self.shape, &bases, to);
                }
                Err(error) => failed = Err(error),
            }
        });
        failed
    }

    fn load_open(&mut self, group: u16, from: &mut Reader<'_>) -> Result<()> {
        let mut scratch = Bump::new();
        while !from.is_empty() {
            scratch.reset();
            let initial = [0, CLOSED as u64];
            let place = (group, self.place.hash_seed);
            let keys = SavedKeys::read(&self.layout, &mut self.open, &initial, place, from)?;
            let starts = scratch.alloc_slice_fill_copy(keys.len(), 0);
            for (to, &key) in starts.iter_mut().zip(&keys) {
                let (start, last) = (from.word()? as i64, from.word()? as i64);
                if last == CLOSED || start > last {
                    return Err(damaged("a session ends before it begins"));
                }
                *self.session(key) = [start as u64, last as u64];
                self.ends.push(Reverse((last.saturating_add(self.gap), key, start)));
                *to = start;
            }
            self.open_count += keys.len();
            let columns = with_start(self.open.keys(&self.layout, &keys, &scratch), starts, &scratch);
            let tagged = self.tagged(columns, keys.len(), &scratch);
            let bases = scratch.alloc_slice_fill_copy(keys.len(), 0);
            self.groups.table.locate(&self.shape.key, &tagged, &self.shape.initial, bases, &scratch)?;
            self.groups.load_accumulators(&self.shape, bases, 1, from)?;
            self.groups.check_counts(&self.shape, bases)?;
        }
        Ok(())
    }
}

/// Key columns with the sessions' starts behind them.
fn with_start<'a>(keys: &[Vector<'a>], starts: &'a [i64], scratch: &'a Bump) -> &'a [Vector<'a>] {
    let start = Vector::new(Data::I64(starts));
    let columns = keys.iter().copied().chain(std::iter::once(start));
    bumpalo::collections::Vec::from_iter_in(columns, scratch).into_bump_slice()
}

impl Operator for Sessions {
    fn push(&mut self, _: usize, chunk: &Chunk<'_>, context: &Context<'_>, _: &mut Next<'_>) -> Result<()> {
        let caller = context.ledger.enter(Stage::Aggregate);
        self.stamp = self.stamp.max(chunk.stamp);
        let held = self.reorder.push(chunk, Some(chunk.columns[self.time].i64s()), None);
        context.ledger.copied(Copied::Held, held);
        context.ledger.enter(caller);
        Ok(())
    }

    fn watermark(&mut self, _: usize, watermark: Time, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        let caller = context.ledger.enter(Stage::Aggregate);
        self.reorder.release(watermark);
        self.owed.watermark = Some(watermark);
        if !self.reorder.has_ready() {
            self.close(watermark);
        }
        context.ledger.enter(caller);
        self.settle(context, next)
    }

    fn finish(&mut self, _: usize, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        let caller = context.ledger.enter(Stage::Aggregate);
        self.reorder.release(Time::MAX);
        self.owed.finish = true;
        if !self.reorder.has_ready() {
            self.close(Time::MAX);
        }
        context.ledger.enter(caller);
        self.settle(context, next)
    }

    fn drain(&mut self, context: &Context<'_>, next: &mut Next<'_>) -> Result<bool> {
        if self.reorder.has_ready() {
            let caller = context.ledger.enter(Stage::Aggregate);
            let chunk = self.reorder.take(context.scratch);
            self.absorb(&chunk, context)?;
            if !self.reorder.has_ready() {
                self.close(self.until());
            }
            context.ledger.enter(caller);
        } else if !self.due.is_empty() {
            let caller = context.ledger.enter(Stage::WindowClose);
            let page = self.page(context.scratch)?;
            context.ledger.enter(caller);
            next.push(&page, context)?;
        }
        self.settle(context, next)?;
        Ok(self.due())
    }

    fn due(&self) -> bool {
        self.reorder.has_ready() || !self.due.is_empty()
    }

    fn state_bytes(&self) -> usize {
        let ends = self.ends.capacity() * size_of::<(Time, u32, Time)>();
        self.reorder.memory() + self.open.memory() + self.groups.memory() + ends
    }

    fn save(&self, state: &mut State) -> Result<()> {
        self.reorder.save(state.whole());
        self.save_open(state)
    }

    fn restore(&mut self, saved: &Saved<'_>) -> Result<()> {
        let mut from = saved.whole();
        self.reorder.load(Some(self.time), |_, _| None, |chunk, _| Ok(chunk), &mut from)?;
        from.end()?;
        for (group, mut from) in saved.groups() {
            self.load_open(group, &mut from)?;
        }
        Ok(())
    }

    fn adopt(&mut self, moved: &Moved<'_>) -> Result<()> {
        for saved in moved.all() {
            let mut from = saved.whole();
            let Sessions { reorder, keys, place, time, .. } = self;
            reorder.load(
                Some(*time),
                |_, _| None,
                |chunk, scratch| Ok(chunk.gather(place.owned_by_keys(keys, &chunk, scratch)?, scratch)),
                &mut from,
            )?;
            from.end()?;
        }
        moved.owned_groups().try_for_each(|(group, mut from)| self.load_open(group, &mut from))
    }
}

#[cfg(test)]
mod tests;
