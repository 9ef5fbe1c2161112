//! The operator of GROUP BY, in all phases.
//!
//! There is one set of groups per open window, or a single one without windows. A set that is due
//! (its window has closed, the input has ended, or a partial aggregation has grown to its bound) is
//! given out by `drain`, as many rows at a time as fit in a chunk, small windows together. The
//! watermark that closed windows follows behind their rows.

use std::collections::VecDeque;

use bumpalo::Bump;

use super::answer::Source;
use super::changes;
use super::nulls::NullCounts;
use super::parts::{Loader, RUN_BYTES, Saver, Taken};
use super::raw::Raw;
use super::shape::Shape;
use super::single::{self, Pay};
use super::update::{Groups, Rows, Snapshot};
use super::windows::{self, Share};
use crate::batch::{BATCH_ROWS, Chunk, Data, Vector};
use crate::error::{Code, Error, Result};
use crate::operator::evaluate as expr;
use crate::operator::{Column, Context, Next, Operator, Owed, TIME_MIN, Time};
use crate::pipeline::Place;
use crate::plan::{Aggregate, Emit, Phase, Window};
use crate::stage::{Copied, Stage};
use crate::state::{Moved, Saved, State, damaged};
use crate::types::Physical;

/// Groups that are written at a time: they, and the next, fit in half of the nearest cache.
const WRITE_ROWS: usize = 64;
/// Empty sets of groups kept for windows to come.
const SPARE_MAX: usize = 64;

/// The operator.
pub(crate) struct Aggregation {
    shape: Shape,
    window: Option<(Window, usize)>,
    emit: Emit,
    phase: Phase,
    place: Place,
    layout: Vec<Physical>,
    /// Mark and groups of each open window, in order.
    open: VecDeque<(i64, Groups)>,
    spare: Vec<Groups>,
    due: VecDeque<Due>,
    saver: Saver,
    /// Of a partial aggregation: whether collecting rows in groups pays.
    pay: Pay,
    /// Of partial states, and of their owner: rows may cross as they are.
    raw: Option<Raw>,
    /// Columns of theirs, which states do not have.
    absent: Vec<Physical>,
    /// Waits for what is due.
    owed: Owed,
    stamp: u64,
    /// EMIT CHANGES of calls that [`changes`] answers.
    is_plain: bool,
    /// Bytes of keys copied into tables in this push.
    copied: usize,
}

/// Groups on their way out.
struct Due {
    start: i64,
    groups: Groups,
    /// In order of output, once it has begun.
    bases: Option<Vec<u32>>,
    given: usize,
}

/// Output rows being put together.
struct Page<'a> {
    columns: Vec<Column<'a>>,
    rows: usize,
}

impl Aggregation {
    pub(crate) fn new(aggregate: &Aggregate, shape: Shape, input: &[Physical], place: Place) -> Result<Self> {
        if aggregate.emit == Emit::Changes && aggregate.phase != Phase::Single {
            return Err(Error::new(Code::Internal, "EMIT CHANGES was planned over partial states"));
        }
        if aggregate.phase != Phase::Single
            && !super::can_be_partial(&Aggregate { emit: Emit::Final, ..aggregate.clone() })
        {
            return Err(Error::new(Code::Internal, "a call that needs its rows was planned over partial states"));
        }
        let mut layout = Vec::new();
        let partial = aggregate.phase == Phase::Partial;
        if aggregate.window.is_some() {
            layout.extend_from_slice(if partial { &[Physical::I64] } else { &[Physical::I64, Physical::I64] });
        }
        layout.extend(aggregate.keys.iter().map(|key| key.data_type.physical()));
        if partial {
            layout.extend(shape.partial_fields().iter().map(|field| field.data_type.physical()));
        } else {
            layout.extend(aggregate.calls.iter().map(|call| call.data_type.physical()));
        }
        let has_one_window = aggregate.window.is_none_or(|(window, _)| window.is_tumbling());
        let is_plain = aggregate.emit == Emit::Changes && has_one_window && changes::are_plain(&shape);
        let may_be_single = partial && has_one_window && shape.key.width() > 0;
        let raw = match aggregate.phase {
            Phase::Single => None,
            Phase::Partial => Raw::of(aggregate, &shape).filter(|raw| raw.pays(input)),
            Phase::Merge => Raw::of(aggregate, &shape),
        };
        let absent = raw.iter().filter(|_| partial).flat_map(|raw| raw.layout(input)).collect();
        Ok(Aggregation {
            saver: Saver::new(&shape),
            shape,
            window: aggregate.window,
            emit: aggregate.emit,
            phase: aggregate.phase,
            place,
            layout,
            open: VecDeque::new(),
            spare: Vec::new(),
            due: VecDeque::new(),
            pay: Pay::new(may_be_single),
            raw,
            absent,
            owed: Owed::default(),
            stamp: 0,
            is_plain,
            copied: 0,
        })
    }

    fn stage(&self) -> Stage {
        if self.phase == Phase::Partial { Stage::Partial } else { Stage::Aggregate }
    }

    /// Evaluates keys, arguments and filters of a chunk.
    fn rows<'a>(&self, chunk: &Chunk<'a>, context: &Context<'a>) -> Result<Rows<'a>> {
        let columns = expr::evaluate_all(&self.shape.keys, chunk, context)?;
        Rows::of(&self.shape, columns, chunk, context)
    }

    fn times<'a>(&self, chunk: &Chunk<'a>) -> Option<(Window, &'a [i64])> {
        self.window.map(|(window, column)| (window, chunk.columns[column].i64s()))
    }

    /// Where in `open` the window with mark `start` is, to which rows come; opens it if need be.
    fn window_at(&mut self, start: i64) -> usize {
        let at = self.open.binary_search_by_key(&start, |open| open.0).unwrap_or_else(|at| {
            let groups = self.spare.pop().unwrap_or_else(|| Groups::new(&self.shape));
            self.open.insert(at, (start, self.saver.opened(groups)));
            at
        });
        self.saver.touch(start, &mut self.open[at].1);
        at
    }

    fn add<'a>(&mut self, chunk: &Chunk<'a>, context: &Context<'a>) -> Result<()> {
        let rows = self.rows(chunk, context)?;
        let shares = match self.times(chunk) {
            None => &[(0, None)],
            Some((window, times)) => windows::deal(times, chunk.floors, &window, context.scratch),
        };
        self.add_shares(&rows, shares, context.scratch)?;
        if self.phase == Phase::Partial {
            let groups: usize = self.open.iter().map(|open| open.1.table.groups()).sum();
            if self.pay.is_enough(chunk.rows, groups) {
                self.close(i64::MAX);
            }
        }
        Ok(())
    }

    /// Adds the rows to the windows that have a share in them.
    fn add_shares<'a>(&mut self, rows: &Rows<'a>, shares: &[Share<'a>], scratch: &'a Bump) -> Result<()> {
        let seed = self.place.hash_seed;
        for &(start, share) in shares {
            let at = self.window_at(start);
            let groups = &mut self.open[at].1;
            match share {
                None => groups.update(&self.shape, rows, None, seed, scratch)?,
                Some(share) => groups.update(&self.shape, &rows.gather(share, scratch), None, seed, scratch)?,
            }
            groups.texts.end_chunk();
            self.copied += groups.table.take_copied();
        }
        Ok(())
    }

    /// Passes rows on as they are, or as partial states of their own.
    fn pass_single(&self, chunk: &Chunk<'_>, context: &Context<'_>, caller: Stage, next: &mut Next<'_>) -> Result<()> {
        let scratch = context.scratch;
        let starts = self.times(chunk).map(|(window, times)| windows::starts(times, &window, scratch));
        let sent = if let Some(raw) = &self.raw {
            let keys = expr::evaluate_all(&self.shape.keys, chunk, context)?;
            raw.send(chunk, starts, keys, context)
        } else {
            let rows = self.rows(chunk, context)?;
            single::states(&self.shape, &rows, chunk, starts, self.place.shard, scratch)
        };
        context.ledger.enter(caller);
        next.push(&sent, context)
    }

    /// Adds rows that have crossed as they are.
    fn add_sent<'a>(&mut self, rows: &Rows<'a>, chunk: &Chunk<'a>, context: &Context<'a>) -> Result<()> {
        let shares = match self.window {
            None => &[(0, None)],
            // A tumbling window holds its own start.
            Some((window, _)) => windows::deal(chunk.columns[0].i64s(), None, &window, context.scratch),
        };
        self.add_shares(rows, shares, context.scratch)
    }

    fn merge<'a>(&mut self, chunk: &Chunk<'a>, context: &Context<'a>) -> Result<()> {
        let scratch = context.scratch;
        if let Some(raw) = self.raw.as_ref().filter(|raw| raw.is_sent(chunk)) {
            let rows = raw.rows(&self.shape, chunk, context)?;
            return self.add_sent(&rows, chunk, context);
        }
        if self.window.is_none() {
            let at = self.window_at(0);
            self.open[at].1.merge(&self.shape, chunk, 0, self.place.hash_seed, scratch)?;
            self.copied += self.open[at].1.table.take_copied();
            return Ok(());
        }
        let chunk = windows::by_window(chunk, chunk.columns[0].i64s(), scratch);
        let mut from = 0;
        for window in chunk.columns[0].i64s().chunk_by(|left, right| left == right) {
            let at = self.window_at(window[0]);
            let rows = chunk.slice(from..from + window.len(), scratch);
            self.open[at].1.merge(&self.shape, &rows, 1, self.place.hash_seed, scratch)?;
            self.copied += self.open[at].1.table.take_copied();
            from += window.len();
        }
        Ok(())
    }

    /// EMIT CHANGES: for each row its group's new values.
    fn change(&mut self, chunk: &Chunk<'_>, context: &Context<'_>, caller: Stage, next: &mut Next<'_>) -> Result<()> {
        let rows = self.rows(chunk, context)?;
        if self.is_plain && chunk.floors.is_none() && !changes::have_nulls(&rows) {
            return self.change_plainly(chunk, &rows, context, caller, next);
        }
        let scratch = context.scratch;
        let (window, runs) = match self.times(chunk) {
            None => (None, &[(0, 0, chunk.rows)][..]),
            Some((window, times)) => (Some((window, times)), windows::runs(times, &window, scratch)),
        };
        let mut page = self.page(scratch);
        let mut origins = bumpalo::collections::Vec::with_capacity_in(BATCH_ROWS, scratch);
        for &(last, from, count) in runs {
            let run: &[u16] = scratch.alloc_slice_fill_iter(from as u16..(from + count) as u16);
            let mut start = match window {
                Some((window, times)) => {
                    let least = times[from..from + count].iter().copied().min().unwrap_or(last);
                    window.first_mark(least).min(last)
                }
                None => last,
            };
            while start <= last {
                let share: &[u16] = match window {
                    Some((window, times)) if !window.is_tumbling() => {
                        let ends = start.saturating_add(window.size);
                        let floor = |row: usize| chunk.floors.map_or(TIME_MIN, |floors| floors[row]);
                        let is_held = |row: usize| times[row] < ends && floor(row) < ends;
                        let held = run.iter().copied().filter(|&row| is_held(usize::from(row)));
                        bumpalo::collections::Vec::from_iter_in(held, scratch).into_bump_slice()
                    }
                    _ => run,
                };
                // Lists are not noted row by row, so each row's result is taken before the next row.
                let step = if self.shape.has_lists() { 1 } else { share.len().max(1) };
                for share in share.chunks(step) {
                    if page.rows + share.len() > BATCH_ROWS {
                        self.hand_on(&mut page, chunk, &mut origins, context, caller, next)?;
                    }
                    self.change_window(start, &rows, share, &mut page, scratch)?;
                    origins.extend_from_slice(share);
                }
                start += window.map_or(1, |(window, _)| window.slide);
            }
        }
        self.hand_on(&mut page, chunk, &mut origins, context, caller, next)
    }

    /// The same for calls that [`changes`] answers: every row has one window and gives one row.
    fn change_plainly<'a>(
        &mut self,
        chunk: &Chunk<'a>,
        rows: &Rows<'a>,
        context: &Context<'a>,
        caller: Stage,
        next: &mut Next<'_>,
    ) -> Result<()> {
        let scratch = context.scratch;
        let shares = match self.times(chunk) {
            None => &[(0, None)],
            Some((window, times)) => windows::deal(times, None, &window, scratch),
        };
        let mut columns = bumpalo::collections::Vec::with_capacity_in(self.layout.len(), scratch);
        if let (Some((window, times)), Some((start, _))) = (self.times(chunk), shares.first()) {
            let starts: &[i64] = match shares {
                [_] => scratch.alloc_slice_fill_copy(chunk.rows, *start),
                _ => scratch.alloc_slice_fill_iter(times.iter().map(|&time| window.last_mark(time))),
            };
            columns.push(Vector::new(Data::I64(starts)));
            let ends = scratch.alloc_slice_fill_iter(starts.iter().map(|start| start + window.size));
            columns.push(Vector::new(Data::I64(ends)));
        }
        columns.extend(changes::keys(rows.keys, scratch));
        if let &[(start, None)] = shares {
            columns.extend(self.run_plainly(start, rows, scratch)?);
        } else {
            let first = columns.len();
            let mut results: Vec<Column<'a>> =
                self.layout[first..].iter().map(|&physical| Column::new(physical, scratch)).collect();
            for &(start, share) in shares {
                let share = share.expect("only one window can have all rows");
                let part = self.run_plainly(start, &rows.gather(share, scratch), scratch)?;
                for (result, part) in results.iter_mut().zip(&part) {
                    share.iter().enumerate().for_each(|(from, &row)| result.copy(usize::from(row), part, from));
                }
            }
            columns.extend(results.into_iter().map(|column| column.finish(chunk.rows)));
        }
        let (positions, ordinals, stamp) = (chunk.positions, chunk.ordinals, chunk.stamp);
        let columns = columns.into_bump_slice();
        context.ledger.enter(caller);
        next.push(&Chunk { rows: chunk.rows, columns, positions, ordinals, floors: None, stamp }, context)
    }

    fn run_plainly<'a>(
        &mut self,
        start: i64,
        rows: &Rows<'a>,
        scratch: &'a Bump,
    ) -> Result<bumpalo::collections::Vec<'a, Vector<'a>>> {
        let at = self.window_at(start);
        let groups = &mut self.open[at].1;
        let bases = scratch.alloc_slice_fill_copy(rows.count, 0u32);
        groups.find(&self.shape, rows.keys, bases, self.place.hash_seed, scratch)?;
        groups.keep(bases);
        let nulls = groups.nulls.read();
        changes::run(&self.shape, rows, bases, &mut groups.table.state, nulls, scratch)
    }

    fn change_window<'a>(
        &mut self,
        start: i64,
        rows: &Rows<'a>,
        share: &[u16],
        page: &mut Page<'a>,
        scratch: &'a Bump,
    ) -> Result<()> {
        if share.is_empty() {
            return Ok(());
        }
        let at = self.window_at(start);
        let gathered = if share.len() == rows.count { *rows } else { rows.gather(share, scratch) };
        let state = scratch.alloc_slice_fill_copy(share.len() * self.shape.stride, 0u64);
        let mut nulls = NullCounts::new(self.shape.null_counters, self.shape.stride);
        let snapshot = Snapshot { state, nulls: &mut nulls };
        let groups = &mut self.open[at].1;
        groups.update(&self.shape, &gathered, Some(snapshot), self.place.hash_seed, scratch)?;
        let bases = scratch.alloc_slice_fill_iter((0..share.len()).map(|row| (row * self.shape.stride) as u32));
        let source = Source { state, bases, nulls: nulls.read(), texts: &groups.texts, start: page.rows };
        write(
            &self.shape,
            self.window.map(|window| window.0),
            self.phase,
            self.place,
            start,
            &source,
            &groups.table.bytes,
            page,
        )?;
        self.open[at].1.texts.end_chunk();
        self.copied += self.open[at].1.table.take_copied();
        Ok(())
    }

    /// Hands on the page of changes and begins the next.
    fn hand_on<'a>(
        &self,
        page: &mut Page<'a>,
        chunk: &Chunk<'a>,
        origins: &mut bumpalo::collections::Vec<'a, u16>,
        context: &Context<'a>,
        caller: Stage,
        next: &mut Next<'_>,
    ) -> Result<()> {
        let full = std::mem::replace(page, self.page(context.scratch));
        let side = |side: Option<&'a [u64]>| {
            side.map(|side| &*context.scratch.alloc_slice_fill_iter(origins.iter().map(|&row| side[usize::from(row)])))
        };
        let (positions, ordinals) = (side(chunk.positions), side(chunk.ordinals));
        origins.clear();
        let chunk = Chunk { positions, ordinals, ..full.finish(&self.absent, chunk.stamp, context.scratch) };
        context.ledger.enter(caller);
        let pushed = next.push(&chunk, context);
        context.ledger.enter(self.stage());
        pushed
    }

    fn page<'a>(&self, scratch: &'a Bump) -> Page<'a> {
        Page { columns: self.layout.iter().map(|&physical| Column::new(physical, scratch)).collect(), rows: 0 }
    }

    /// Makes due what ends at or before `watermark`.
    fn close(&mut self, watermark: Time) {
        let size = self.window.map_or(0, |(window, _)| window.size);
        while let Some((start, _)) = self.open.front() {
            if watermark != i64::MAX && (self.window.is_none() || start.saturating_add(size) > watermark) {
                break;
            }
            let (start, groups) = self.open.pop_front().expect("seen above");
            self.pay.shipped(groups.table.groups());
            self.due.push_back(Due { start, groups, bases: None, given: 0 });
        }
    }

    /// Fills one page from what is due.
    fn fill<'a>(&mut self, scratch: &'a Bump) -> Result<Page<'a>> {
        let mut page = self.page(scratch);
        while let Some(due) = self.due.front_mut() {
            let Due { start, groups, bases, given } = due;
            let bases = bases.get_or_insert_with(|| {
                let mut bases = groups.table.bases();
                if self.phase != Phase::Partial {
                    self.shape.key.sort(&groups.table.state, &groups.table.bytes, &mut bases);
                }
                bases
            });
            let count = (bases.len() - *given).min(BATCH_ROWS - page.rows);
            let part = &bases[*given..*given + count];
            let source = Source { start: page.rows, ..groups.source(part) };
            let window = self.window.map(|window| window.0);
            write(&self.shape, window, self.phase, self.place, *start, &source, &groups.table.bytes, &mut page)?;
            *given += count;
            if *given < bases.len() {
                break;
            }
            let due = self.due.pop_front().expect("seen above");
            let unneeded = self.saver.release(due.start, due.groups);
            self.spare(unneeded);
        }
        Ok(page)
    }

    /// Keeps a set of groups for a window to come.
    fn spare(&mut self, groups: Option<Groups>) {
        let has_room = self.spare.len() < SPARE_MAX && self.window.is_some();
        if let Some(mut groups) = groups.filter(|_| has_room) {
            groups.clear();
            self.spare.push(groups);
        }
    }

    fn pass(&mut self, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        self.owed.pass(context, next)
    }

    /// Without keys and windows there is always one result, given by the shard that owns it.
    fn ensure_only_group(&mut self) -> Result<()> {
        let only = self.shape.key.width() == 0 && self.window.is_none();
        if !only || self.phase == Phase::Partial || self.emit == Emit::Changes {
            return Ok(());
        }
        if let Some(hash) = self.place.only_key() {
            let initial = self.shape.initial.clone();
            let at = self.window_at(0);
            self.open[at].1.table.only_group(super::key::tag(hash), &initial)?;
        }
        Ok(())
    }
}

impl<'a> Page<'a> {
    fn finish(self, absent: &[Physical], stamp: u64, scratch: &'a Bump) -> Chunk<'a> {
        let rows = self.rows;
        let mut columns = bumpalo::collections::Vec::with_capacity_in(self.columns.len() + absent.len(), scratch);
        columns.extend(self.columns.into_iter().map(|column| column.finish(rows)));
        columns.extend(absent.iter().copied().map(Vector::absent));
        let columns: &[Vector<'a>] = columns.into_bump_slice();
        Chunk { rows, columns, positions: None, ordinals: None, floors: None, stamp }
    }
}

/// Appends the groups of `source` to `page`, a piece at a time; while one is written the rows of the
/// next are on their way from memory.
#[expect(clippy::too_many_arguments, reason = "parts of the operator, of which another part is borrowed")]
fn write(
    shape: &Shape,
    window: Option<Window>,
    phase: Phase,
    place: Place,
    start: i64,
    source: &Source<'_>,
    bytes: &[u8],
    page: &mut Page<'_>,
) -> Result<()> {
    let pieces = source.bases.chunks(WRITE_ROWS).map(|bases| Source { bases, ..*source });
    let mut next = pieces.clone();
    next.by_ref().take(1).for_each(|piece| piece.prefetch(shape.stride));
    for piece in pieces {
        if let Some(next) = next.next() {
            next.prefetch(shape.stride);
        }
        write_piece(shape, window, phase, place, start, &Source { start: page.rows, ..piece }, bytes, page)?;
    }
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "as of `write`")]
fn write_piece(
    shape: &Shape,
    window: Option<Window>,
    phase: Phase,
    place: Place,
    start: i64,
    source: &Source<'_>,
    bytes: &[u8],
    page: &mut Page<'_>,
) -> Result<()> {
    let rows = page.rows..page.rows + source.bases.len();
    let mut first = 0;
    if let Some(window) = window {
        let bound = if phase == Phase::Partial { start } else { window.start(start) };
        page.columns[0].i64s()[rows.clone()].fill(bound);
        first = 1;
        if phase != Phase::Partial {
            page.columns[1].i64s()[rows.clone()].fill(start + window.size);
            first = 2;
        }
    }
    let (keys, results) = page.columns[first..].split_at_mut(shape.key.width());
    for (number, key) in keys.iter_mut().enumerate() {
        shape.key.read(number, source.state, source.bases, bytes, key, page.rows);
    }
    if phase == Phase::Partial {
        shape.write_partial(source, place.shard, results);
    } else {
        for (answer, result) in shape.answers.iter().zip(results) {
            answer.write(shape, source, result)?;
        }
    }
    page.rows = rows.end;
    Ok(())
}

impl Operator for Aggregation {
    fn push(&mut self, _: usize, chunk: &Chunk<'_>, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        let caller = context.ledger.enter(self.stage());
        self.stamp = self.stamp.max(chunk.stamp);
        let done = match (self.phase, self.emit) {
            (Phase::Merge, _) => self.merge(chunk, context),
            (_, Emit::Final) if self.phase == Phase::Partial && self.pay.is_single(chunk.rows) => {
                self.pass_single(chunk, context, caller, next)
            }
            (_, Emit::Final | Emit::Delayed(_)) => self.add(chunk, context),
            (_, Emit::Changes | Emit::Changelog | Emit::Periodic(_)) => self.change(chunk, context, caller, next),
        };
        context.ledger.copied(Copied::Keys, std::mem::take(&mut self.copied));
        context.ledger.enter(caller);
        done
    }

    fn watermark(&mut self, _: usize, watermark: Time, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        if self.window.is_some() {
            self.close(watermark);
        }
        self.owed.watermark = Some(watermark);
        self.settle(context, next)
    }

    fn finish(&mut self, _: usize, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        self.ensure_only_group()?;
        self.close(i64::MAX);
        self.owed.finish = true;
        self.settle(context, next)
    }

    fn drain(&mut self, context: &Context<'_>, next: &mut Next<'_>) -> Result<bool> {
        let stage = if self.phase == Phase::Partial { Stage::Partial } else { Stage::WindowClose };
        let caller = context.ledger.enter(stage);
        let page = self.fill(context.scratch)?;
        context.ledger.enter(caller);
        next.push(&page.finish(&self.absent, self.stamp, context.scratch), context)?;
        if self.due.is_empty() {
            self.pass(context, next)?;
        }
        Ok(!self.due.is_empty())
    }

    fn due(&self) -> bool {
        !self.due.is_empty()
    }

    fn state_bytes(&self) -> usize {
        let open =
            self.open.iter().map(|open| &open.1).chain(&self.spare).chain(self.due.iter().map(|due| &due.groups));
        open.map(Groups::memory).sum::<usize>() + self.saver.memory()
    }

    fn begin_save(&mut self, state: &mut State, part_bytes: usize) -> Result<()> {
        self.pay.save(state.whole());
        self.saver.begin(part_bytes);
        Ok(())
    }

    fn save_part(&mut self) -> Option<Taken> {
        let mut unneeded = Vec::new();
        let due = self.due.iter_mut().map(|due| (due.start, &mut due.groups));
        let taken = self.saver.next(due, &mut self.open, |groups| unneeded.push(groups));
        unneeded.into_iter().for_each(|groups| self.spare(Some(groups)));
        taken
    }

    fn restore(&mut self, saved: &Saved<'_>) -> Result<()> {
        let mut from = saved.whole();
        self.pay.load(&mut from)?;
        from.end()?;
        self.load(saved, false, self.shape.sources)
    }

    fn adopt(&mut self, moved: &Moved<'_>) -> Result<()> {
        if self.phase != Phase::Partial {
            let sources = if self.phase == Phase::Merge { moved.shards() } else { 1 };
            return moved.all().try_for_each(|saved| self.load(saved, true, sources));
        }
        // Partial states of several shards may be of one key: they are shipped apart.
        let pay = self.pay;
        for saved in moved.local() {
            self.load(saved, false, 1)?;
            self.close(i64::MAX);
        }
        self.pay = pay;
        Ok(())
    }
}

impl Aggregation {
    /// Reads what one such operator has saved, only groups that this shard owns if `moved`; doubles are those
    /// of `sources` source shards.
    fn load(&mut self, saved: &Saved<'_>, moved: bool, sources: usize) -> Result<()> {
        let Aggregation { saver, open, shape, window, place, .. } = self;
        let mut loader = Loader::new(saver, moved.then_some(&*place), place.hash_seed, sources);
        for mut from in saved.parts() {
            for _ in 0..from.count(RUN_BYTES)? {
                let start = from.word()? as i64;
                let is_meant = window.map_or(start == 0, |(window, _)| start.checked_add(window.size).is_some());
                if !is_meant {
                    return Err(damaged("a window cannot be meant"));
                }
                let at = open.binary_search_by_key(&start, |open| open.0).unwrap_or_else(|at| {
                    open.insert(at, (start, saver.opened(Groups::new(shape))));
                    at
                });
                let groups = &mut open[at].1;
                let bases = loader.load(start, groups, &mut from)?;
                groups.check_counts(shape, &bases)?;
            }
            from.end()?;
        }
        open.retain(|(_, groups)| groups.table.groups() > 0);
        Ok(())
    }
}

impl Aggregation {
    /// With EMIT CHANGES nothing is left to say about a closed window; else what is due goes first.
    fn settle(&mut self, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        if self.emit == Emit::Changes {
            for due in std::mem::take(&mut self.due) {
                let unneeded = self.saver.release(due.start, due.groups);
                self.spare(unneeded);
            }
        }
        if self.due.is_empty() { self.pass(context, next) } else { Ok(()) }
    }
}
