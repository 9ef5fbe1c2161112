//! What leaves at a sink: the changes of a turn, without those that cancel each other out, in the form
//! that was asked for.
//!
//! Rows of one key leave in the order in which they hold: what goes before what comes. Where the key is
//! known a row that goes and one that comes are an update, and leave one after the other in one chunk.

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;

use super::cancel::Signed;
use super::{DELETE, INSERT, NAMES, UPDATE_AFTER, UPDATE_BEFORE, goes, split};
use crate::batch::{BATCH_ROWS, Chunk, Data, Text, Vector};
use crate::error::Result;
use crate::hash;
use crate::operator::{Column, Context, Next, Operator, Owed, Time};
use crate::plan::changes::{Changelog, Net as Plan};
use crate::stage::{Copied, Stage};
use crate::state::{Saved, State};
use crate::types::Physical;

/// Seed of the hashes by which rows of one key are found; they are seen by nobody.
const KEY_SEED: u64 = 0x6E65_7473;

/// The operator.
pub(crate) struct Net {
    net: Plan,
    /// Rows carry operations.
    has_operations: bool,
    layout: Vec<Physical>,
    turn: Signed,
    /// What leaves, in order: row of the turn, operation.
    leaving: Vec<(u32, i64)>,
    given: usize,
    owed: Owed,
}

impl Net {
    /// `layout`: the shapes of the input's columns, without its operations.
    pub(crate) fn new(net: Plan, has_operations: bool, layout: Vec<Physical>) -> Self {
        Net {
            net,
            has_operations,
            layout,
            turn: Signed::default(),
            leaving: Vec::new(),
            given: 0,
            owed: Owed::default(),
        }
    }

    /// Works out what leaves of the turn.
    fn end_turn(&mut self) {
        let left = self.turn.left(&self.layout);
        let hashes = self.key_hashes();
        let mut changes: Vec<(u64, u32)> = match &hashes {
            Some(hashes) => left.iter().map(|&row| (hashes[row as usize], row)).collect(),
            // Each row by itself.
            None => left.iter().map(|&row| (u64::from(row), row)).collect(),
        };
        // Keys in the order of their first row.
        if hashes.is_some() {
            changes.sort_unstable();
            let mut runs: Vec<&[(u64, u32)]> = changes.chunk_by(|a, b| a.0 == b.0).collect();
            runs.sort_unstable_by_key(|run| run[0].1);
            self.leaving.clear();
            for run in runs {
                pair(run, &self.turn, &mut self.leaving);
            }
        } else {
            let (going, coming): (Vec<u32>, Vec<u32>) = left.iter().partition(|&&row| self.turn.goes(row));
            self.leaving.clear();
            self.leaving.extend(going.into_iter().map(|row| (row, DELETE)));
            self.leaving.extend(coming.into_iter().map(|row| (row, INSERT)));
        }
        match self.net.form {
            Changelog::Values => self.leaving.retain(|&(_, operation)| !goes(operation)),
            Changelog::Upsert => {
                self.leaving.retain(|&(_, operation)| operation != UPDATE_BEFORE);
                for (_, operation) in self.leaving.iter_mut().filter(|(_, operation)| *operation == INSERT) {
                    *operation = UPDATE_AFTER;
                }
            }
            Changelog::Operations | Changelog::Debezium => {}
        }
        self.given = 0;
    }

    /// Hashes of the keys of all rows, where rows have a key.
    fn key_hashes(&self) -> Option<Vec<u64>> {
        let key = self.net.key.as_ref()?;
        let mut hashes = Vec::with_capacity(self.turn.len());
        for batch in self.turn.rows().batches() {
            let columns: Vec<Vector<'_>> = key.iter().map(|&column| batch.vector(column)).collect();
            let from = hashes.len();
            hashes.resize(from + batch.rows(), 0);
            hash::hash_rows(&columns, KEY_SEED, &mut hashes[from..]);
        }
        Some(hashes)
    }

    /// How many rows from `given` on fit in a chunk without parting what belongs together.
    fn next_part(&self) -> std::ops::Range<usize> {
        let mut end = (self.given + BATCH_ROWS).min(self.leaving.len());
        if end < self.leaving.len() && self.leaving[end - 1].1 == UPDATE_BEFORE {
            end -= 1;
        }
        self.given..end
    }

    /// The rows of `part` in the form asked for.
    fn write<'a>(&'a self, part: &[(u32, i64)], scratch: &'a Bump) -> Chunk<'a> {
        let rows: Vec<_> = part.iter().map(|&(row, _)| Signed::at(row)).collect();
        let held = self.turn.rows().chunk(&rows, &self.layout, &[], scratch);
        let mut columns = BumpVec::with_capacity_in(self.layout.len() + 1, scratch);
        if self.net.form != Changelog::Values {
            let names = part.iter().map(|&(_, operation)| Text::new(NAMES[operation as usize].as_bytes()));
            columns.push(Vector::new(Data::Text(scratch.alloc_slice_fill_iter(names))));
        }
        let key = self.net.key.as_deref().unwrap_or_default();
        let is_gone = |to: usize| part[to].1 == DELETE;
        let forgets = self.net.form == Changelog::Upsert && (0..part.len()).any(is_gone);
        for (number, column) in held.columns.iter().enumerate() {
            if !forgets || key.contains(&number) {
                columns.push(*column);
                continue;
            }
            // Of a row that is gone only the key is said.
            let mut known = Column::new(column.physical(), scratch);
            for to in 0..part.len() {
                if is_gone(to) {
                    known.set_null(to);
                } else {
                    known.copy(to, column, to);
                }
            }
            columns.push(known.finish(part.len()));
        }
        Chunk { columns: columns.into_bump_slice(), positions: None, ordinals: None, ..held }
    }

    fn pass(&mut self, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        if self.due() {
            return Ok(());
        }
        self.owed.pass(context, next)
    }
}

/// What the rows of one key, in order, are: what goes for good, updates, and what is new.
fn pair(run: &[(u64, u32)], turn: &Signed, to: &mut Vec<(u32, i64)>) {
    let going = || run.iter().map(|&(_, row)| row).filter(|&row| turn.goes(row));
    let coming = || run.iter().map(|&(_, row)| row).filter(|&row| !turn.goes(row));
    let count = going().count();
    let pairs = count.min(run.len() - count);
    to.extend(going().skip(pairs).map(|row| (row, DELETE)));
    for (before, after) in going().zip(coming()) {
        to.extend([(before, UPDATE_BEFORE), (after, UPDATE_AFTER)]);
    }
    to.extend(coming().skip(pairs).map(|row| (row, INSERT)));
}

impl Operator for Net {
    fn push(&mut self, _: usize, chunk: &Chunk<'_>, context: &Context<'_>, _: &mut Next<'_>) -> Result<()> {
        let caller = context.ledger.enter(Stage::Changes);
        let (rows, operations) = split(chunk, self.has_operations);
        // Where they stood in the input is of no use any more.
        let rows = Chunk { positions: None, ordinals: None, floors: None, ..rows };
        let goes = |row: usize| operations.is_some_and(|operations| goes(operations[row]));
        context.ledger.copied(Copied::Held, self.turn.push(&rows, goes, &self.layout, context.scratch));
        context.ledger.enter(caller);
        Ok(())
    }

    fn watermark(&mut self, _: usize, _: Time, _: &Context<'_>, _: &mut Next<'_>) -> Result<()> {
        Ok(())
    }

    fn turn(&mut self, _: usize, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        let caller = context.ledger.enter(Stage::Changes);
        self.end_turn();
        self.owed.turn = true;
        if self.leaving.is_empty() {
            self.turn.clear();
        }
        context.ledger.enter(caller);
        self.pass(context, next)
    }

    fn finish(&mut self, input: usize, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        self.owed.finish = true;
        self.turn(input, context, next)
    }

    fn drain(&mut self, context: &Context<'_>, next: &mut Next<'_>) -> Result<bool> {
        if !self.due() {
            return Ok(false);
        }
        let caller = context.ledger.enter(Stage::Changes);
        let part = self.next_part();
        let chunk = self.write(&self.leaving[part.clone()], context.scratch);
        context.ledger.enter(caller);
        next.push(&chunk, context)?;
        self.given = part.end;
        if self.given == self.leaving.len() {
            self.leaving.clear();
            self.given = 0;
            self.turn.clear();
        }
        self.pass(context, next)?;
        Ok(self.due())
    }

    fn due(&self) -> bool {
        self.given < self.leaving.len()
    }

    fn state_bytes(&self) -> usize {
        self.turn.memory()
    }

    fn save(&self, state: &mut State) -> Result<()> {
        if !self.turn.is_empty() {
            self.turn.save(state.whole());
        }
        Ok(())
    }

    fn restore(&mut self, saved: &Saved<'_>) -> Result<()> {
        if saved.is_empty() {
            return Ok(());
        }
        let mut from = saved.whole();
        self.turn = Signed::load(&mut from, &self.layout)?;
        from.end()
    }
}
