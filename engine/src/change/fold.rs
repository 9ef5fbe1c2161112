//! GROUP BY that answers by turns: rows that come are added to accumulators, rows that go are taken out.
//!
//! Before a group is touched for the first time in a turn its results are noted; at the end of the turn
//! they are compared with what they are then. So a group gives at most one row that goes and one that comes,
//! and nothing where its results are the same as before. A group is there while it has rows; the one group of
//! a GROUP BY without keys stays once it was there.

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;

use super::{DELETE, INSERT, goes, same_row, split};
use crate::agg::{
    Groups, Keys, Kind, Loader, RUN_BYTES, Rows, Saver, Shape, Taken, Values, add_i128, add_wide, make_tags, tag,
};
use crate::batch::{BATCH_ROWS, Chunk, Data, Vector};
use crate::error::Result;
use crate::hash;
use crate::operator::evaluate::evaluate_all;
use crate::operator::held::Held;
use crate::operator::{Column, Context, Next, Operator, Owed};
use crate::pipeline::Place;
use crate::plan::{Aggregate, AggregateCall, AggregateFunction};
use crate::stage::Stage;
use crate::state::{Saved, State, damaged};
use crate::types::{DataType, Physical};

/// Groups compared at a time: each may give two rows, and what they were lies in one batch.
const PIECE: usize = BATCH_ROWS / 2;

/// The operator.
pub(crate) struct Fold {
    /// Of the calls, and of the rows of a group behind them.
    shape: Shape,
    place: Place,
    groups: Groups,
    saver: Saver,
    /// Keys, then results.
    layout: Vec<Physical>,
    has_operations: bool,
    gives_operations: bool,
    turn: Touched,
    /// The group of a GROUP BY without keys has left.
    is_shown: bool,
    given: usize,
    stamp: u64,
    owed: Owed,
}

/// Groups touched in a turn.
#[derive(Default)]
struct Touched {
    /// By number of the group.
    marks: Vec<bool>,
    /// In the order in which they were touched.
    bases: Vec<u32>,
    /// What each was before; and whether it was.
    before: Held,
    was: Vec<bool>,
}

/// Whether rows can be taken out of the accumulators of `aggregate` exactly.
pub(crate) fn can_take_out(aggregate: &Aggregate) -> Result<bool> {
    let shape = Shape::new(aggregate, 1)?;
    let is_exact = |kind| matches!(kind, Kind::Rows | Kind::Nulls | Kind::Sum | Kind::WideSum);
    Ok(shape.lanes.iter().all(|lane| lane.distinct.is_none())
        && shape.accumulators.iter().all(|accumulator| is_exact(accumulator.kind)))
}

impl Fold {
    pub(crate) fn new(
        aggregate: &Aggregate,
        (has_operations, gives_operations): (bool, bool),
        place: Place,
    ) -> Result<Self> {
        let mut counted = aggregate.clone();
        counted.calls.push(AggregateCall {
            function: AggregateFunction::Count,
            arguments: Vec::new(),
            distinct: false,
            filter: None,
            data_type: DataType::BigInt,
            span: crate::error::Span::NONE,
        });
        let shape = Shape::new(&counted, 1)?;
        let mut layout: Vec<Physical> = aggregate.keys.iter().map(|key| key.data_type.physical()).collect();
        layout.extend(aggregate.calls.iter().map(|call| call.data_type.physical()));
        Ok(Fold {
            groups: Groups::new(&shape),
            saver: Saver::new(&shape),
            shape,
            place,
            layout,
            has_operations,
            gives_operations,
            turn: Touched::default(),
            is_shown: false,
            given: 0,
            stamp: 0,
            owed: Owed::default(),
        })
    }

    fn has_keys(&self) -> bool {
        self.shape.key.width() > 0
    }

    /// Rows that the group at `base` has.
    fn rows_of(&self, base: u32) -> i64 {
        let rows = self.shape.answers.last().expect("the rows are counted").rows;
        self.groups.table.state[base as usize + self.shape.accumulators[rows].offset] as i64
    }

    fn is_there(&self, base: u32) -> bool {
        if self.has_keys() { self.rows_of(base) > 0 } else { self.is_shown }
    }

    /// Keys and results of the groups at `bases`.
    fn results<'a>(&self, bases: &[u32], scratch: &'a Bump) -> Result<&'a [Vector<'a>]> {
        let table = &self.groups.table;
        let mut columns = BumpVec::with_capacity_in(self.layout.len(), scratch);
        columns.extend_from_slice(table.keys(&self.shape.key, bases, scratch));
        let source = self.groups.source(bases);
        let calls = &self.shape.answers[..self.shape.answers.len() - 1];
        for (answer, &physical) in calls.iter().zip(&self.layout[columns.len()..]) {
            let mut column = Column::new(physical, scratch);
            answer.write(&self.shape, &source, &mut column)?;
            columns.push(column.finish(bases.len()));
        }
        Ok(columns.into_bump_slice())
    }

    /// Notes what the groups at `bases` are, those that were not touched in this turn yet.
    fn touch(&mut self, bases: &[u32], scratch: &Bump) -> Result<()> {
        self.turn.marks.resize(self.groups.table.groups(), false);
        let mut fresh = BumpVec::with_capacity_in(bases.len(), scratch);
        for &base in bases {
            let mark = &mut self.turn.marks[self.groups.table.number(base)];
            if !std::mem::replace(mark, true) {
                fresh.push(base);
            }
        }
        if fresh.is_empty() {
            return Ok(());
        }
        let columns = self.results(&fresh, scratch)?;
        let rows = fresh.len();
        let chunk = Chunk { rows, columns, positions: None, ordinals: None, floors: None, stamp: 0 };
        let all: &[u16] = scratch.alloc_slice_fill_iter(0..rows as u16);
        self.turn.before.push(&chunk, all, &self.layout);
        let was = fresh.iter().map(|&base| self.is_there(base));
        let was: Vec<bool> = was.collect();
        self.turn.was.extend(was);
        self.turn.bases.extend_from_slice(&fresh);
        Ok(())
    }

    fn add<'a>(&mut self, chunk: &Chunk<'a>, operations: Option<&[i64]>, context: &Context<'a>) -> Result<()> {
        let scratch = context.scratch;
        let keys = evaluate_all(&self.shape.keys, chunk, context)?;
        let rows = Rows::of(&self.shape, keys, chunk, context)?;
        let bases = scratch.alloc_slice_fill_copy(rows.count, 0u32);
        self.saver.touch(0, &mut self.groups);
        self.groups.find(&self.shape, keys, bases, self.place.hash_seed, scratch)?;
        self.touch(bases, scratch)?;
        let bases = &*bases;
        let going = |row: &u16| operations.is_some_and(|operations| goes(operations[usize::from(*row)]));
        let all = || 0..rows.count as u16;
        if all().any(|row| going(&row)) {
            let out: &[u16] = BumpVec::from_iter_in(all().filter(going), scratch).into_bump_slice();
            let coming = BumpVec::from_iter_in(all().filter(|row| !going(row)), scratch).into_bump_slice();
            let pick = |rows: &[u16]| &*scratch.alloc_slice_fill_iter(rows.iter().map(|&row| bases[usize::from(row)]));
            // What comes first: what goes may be of it, and counts do not go below nothing.
            if !coming.is_empty() {
                self.groups.update_at(&self.shape, &rows.gather(coming, scratch), pick(coming), None, scratch)?;
            }
            take_out(&self.shape, &rows.gather(out, scratch), pick(out), &mut self.groups);
        } else {
            self.groups.update_at(&self.shape, &rows, bases, None, scratch)?;
        }
        self.groups.texts.end_chunk();
        Ok(())
    }

    /// What has changed in the next groups touched.
    fn changed<'a>(&mut self, scratch: &'a Bump) -> Result<Chunk<'a>> {
        let part = self.given..(self.given + PIECE).min(self.turn.bases.len());
        let bases = &self.turn.bases[part.clone()];
        let after = self.results(bases, scratch)?;
        let batch = &self.turn.before.batches()[part.start / BATCH_ROWS];
        let before: Vec<Vector<'_>> = (0..self.layout.len()).map(|column| batch.vector(column)).collect();
        let mut columns: Vec<Column<'a>> = self.layout.iter().map(|&physical| Column::new(physical, scratch)).collect();
        let mut operations = BumpVec::with_capacity_in(2 * bases.len(), scratch);
        for (row, &base) in bases.iter().enumerate() {
            let number = part.start + row;
            let (was, is) = (self.turn.was[number], !self.has_keys() || self.rows_of(base) > 0);
            if was && is && same_row(&before, number % BATCH_ROWS, after, row) {
                continue;
            }
            for (there, operation, from, at) in
                [(was, DELETE, &before[..], number % BATCH_ROWS), (is, INSERT, after, row)]
            {
                if there {
                    let to = operations.len();
                    columns.iter_mut().zip(from).for_each(|(column, from)| column.copy(to, from, at));
                    operations.push(operation);
                }
            }
        }
        let rows = operations.len();
        let mut out = BumpVec::with_capacity_in(columns.len() + 1, scratch);
        out.extend(columns.into_iter().map(|column| column.finish(rows)));
        if self.gives_operations {
            out.push(Vector::new(Data::I64(operations.into_bump_slice())));
        }
        self.given = part.end;
        let columns = out.into_bump_slice();
        Ok(Chunk { rows, columns, positions: None, ordinals: None, floors: None, stamp: self.stamp })
    }

    fn end_turn(&mut self) {
        let Touched { marks, bases, before, was } = &mut self.turn;
        bases.iter().for_each(|&base| marks[self.groups.table.number(base)] = false);
        bases.clear();
        was.clear();
        *before = Held::default();
        self.given = 0;
        self.is_shown |= !self.has_keys() && self.groups.table.groups() > 0;
    }

    /// Without keys there is always a result in the end, given by the shard that owns it.
    fn ensure_only_group(&mut self) -> Result<()> {
        if !self.has_keys()
            && self.groups.table.groups() == 0
            && let Some(hash) = self.place.only_key()
        {
            self.saver.touch(0, &mut self.groups);
            let base = self.groups.table.only_group(tag(hash), &self.shape.initial)?;
            self.touch(&[base], &Bump::new())?;
        }
        Ok(())
    }

    fn pass(&mut self, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        if self.due() {
            return Ok(());
        }
        self.owed.pass(context, next)
    }
}

/// Takes rows out of the groups at `bases`: see [`can_take_out`].
fn take_out(shape: &Shape, rows: &Rows<'_>, bases: &[u32], groups: &mut Groups) {
    groups.keep(bases);
    let state = &mut *groups.table.state;
    for accumulator in &shape.accumulators {
        let seen = rows.passed[accumulator.lane];
        let values = accumulator.argument.map(|argument| rows.arguments[argument]);
        for (row, &base) in bases.iter().enumerate().filter(|(row, _)| seen.is_none_or(|seen| seen[*row])) {
            let at = base as usize + accumulator.offset;
            let is_null = values.is_some_and(|values| values.is_null(row));
            match accumulator.kind {
                Kind::Rows => state[at] = state[at].wrapping_sub(1),
                Kind::Nulls if is_null => groups.nulls.take(base, accumulator.offset),
                Kind::Nulls => {}
                _ if is_null => {}
                Kind::Sum | Kind::WideSum => {
                    let value = values.map_or(0, |values| exact(&values, row)).wrapping_neg();
                    match accumulator.kind {
                        Kind::Sum => add_i128((&mut state[at..at + 2]).try_into().expect("two words"), value),
                        _ => add_wide((&mut state[at..at + 3]).try_into().expect("three words"), value),
                    }
                }
                _ => unreachable!("nothing is taken out of it"),
            }
        }
    }
}

fn exact(values: &Values<'_>, row: usize) -> i128 {
    match values {
        Values::Product(left, right) => i128::from(left.i64s()[row]) * i128::from(right.i64s()[row]),
        Values::Plain(Vector { data: Data::I64(values), .. }) => i128::from(values[row]),
        Values::Plain(Vector { data: Data::I128(values), .. }) => values[row],
        _ => unreachable!("sums are of whole numbers"),
    }
}

impl Operator for Fold {
    fn push(&mut self, _: usize, chunk: &Chunk<'_>, context: &Context<'_>, _: &mut Next<'_>) -> Result<()> {
        let caller = context.ledger.enter(Stage::Changes);
        self.stamp = self.stamp.max(chunk.stamp);
        let (rows, operations) = split(chunk, self.has_operations);
        let added = self.add(&rows, operations, context);
        context.ledger.enter(caller);
        added
    }

    fn turn(&mut self, _: usize, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        self.owed.turn = true;
        self.pass(context, next)
    }

    fn finish(&mut self, input: usize, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        self.ensure_only_group()?;
        self.owed.finish = true;
        self.turn(input, context, next)
    }

    fn drain(&mut self, context: &Context<'_>, next: &mut Next<'_>) -> Result<bool> {
        if !self.due() {
            return Ok(false);
        }
        let caller = context.ledger.enter(Stage::Changes);
        let changed = self.changed(context.scratch)?;
        if self.given == self.turn.bases.len() {
            self.end_turn();
        }
        context.ledger.enter(caller);
        next.push(&changed, context)?;
        self.pass(context, next)?;
        Ok(self.due())
    }

    fn due(&self) -> bool {
        self.owed.turn && !self.turn.bases.is_empty()
    }

    fn state_bytes(&self) -> usize {
        self.groups.memory() + self.saver.memory() + self.turn.before.memory()
    }

    fn begin_save(&mut self, state: &mut State, part_bytes: usize) -> Result<()> {
        self.saver.begin(part_bytes);
        let to = state.whole();
        to.flag(self.is_shown);
        self.turn.before.save(to);
        self.turn.was.iter().for_each(|&was| to.flag(was));
        Ok(())
    }

    fn save_part(&mut self) -> Option<Taken> {
        self.saver.next_of(&mut self.groups)
    }

    fn restore(&mut self, saved: &Saved<'_>) -> Result<()> {
        let mut loader = Loader::new(&self.saver, None, self.place.hash_seed, self.shape.sources);
        for mut from in saved.parts() {
            for _ in 0..from.count(RUN_BYTES)? {
                if from.word()? != 0 {
                    return Err(damaged("a window cannot be meant"));
                }
                loader.load(0, &mut self.groups, &mut from)?;
            }
            from.end()?;
        }
        let mut from = saved.whole();
        self.is_shown = from.flag()?;
        let before = Held::load(&mut from, &self.layout)?;
        let width = self.shape.key.width();
        let mut scratch = Bump::new();
        self.turn.marks.resize(self.groups.table.groups(), false);
        for batch in before.batches() {
            scratch.reset();
            let columns: Vec<Vector<'_>> = (0..width).map(|column| batch.vector(column)).collect();
            let mut tags = vec![0; batch.rows()];
            hash::hash_rows(&columns, self.place.hash_seed, &mut tags);
            make_tags(&columns, &mut tags);
            let mut bases = vec![0; batch.rows()];
            let groups = self.groups.table.groups();
            let keys = Keys { columns: &columns, tags: &tags };
            self.groups.table.locate(&self.shape.key, &keys, &self.shape.initial, &mut bases, &scratch)?;
            if self.groups.table.groups() != groups {
                return Err(damaged("a group was touched that is not there"));
            }
            for &base in &bases {
                if std::mem::replace(&mut self.turn.marks[self.groups.table.number(base)], true) {
                    return Err(damaged("a group was touched twice"));
                }
            }
            self.turn.bases.extend_from_slice(&bases);
            let all: Vec<u16> = (0..batch.rows() as u16).collect();
            self.turn.before.push(&batch.chunk(&scratch), &all, &self.layout);
        }
        for _ in 0..self.turn.bases.len() {
            self.turn.was.push(from.flag()?);
        }
        from.end()
    }
}
