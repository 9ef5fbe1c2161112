//! UNION ALL of rows that come and go: those of one turn of all inputs leave together.

use std::collections::VecDeque;

use super::cancel::Signed;
use super::{DELETE, INSERT, goes, split};
use crate::batch::{Chunk, Data, Vector};
use crate::error::Result;
use crate::operator::{Context, Next, Operator, TIME_MIN, Time};
use crate::stage::{Copied, Stage};
use crate::state::{Saved, State, damaged};
use crate::types::Physical;

/// The operator.
pub(crate) struct Unite {
    layout: Vec<Physical>,
    inputs: Vec<Input>,
    gives_operations: bool,
    /// Rows of a turn that every input has ended, and how many batches of the first have left.
    leaving: VecDeque<Signed>,
    given: usize,
    turning: bool,
    finished: bool,
    passed: Time,
}

struct Input {
    has_operations: bool,
    open: Signed,
    turns: VecDeque<Signed>,
    finished: bool,
    watermark: Time,
}

impl Unite {
    /// `takes`: per input, whether its rows carry operations; `layout`: the shapes of their columns without.
    pub(crate) fn new(takes: &[bool], gives_operations: bool, layout: Vec<Physical>) -> Self {
        let input = |&has_operations: &bool| Input {
            has_operations,
            open: Signed::default(),
            turns: VecDeque::new(),
            finished: false,
            watermark: TIME_MIN,
        };
        Unite {
            layout,
            inputs: takes.iter().map(input).collect(),
            gives_operations,
            leaving: VecDeque::new(),
            given: 0,
            turning: false,
            finished: false,
            passed: TIME_MIN,
        }
    }

    /// Lets out the next turn that all inputs have ended, or passes the end on.
    fn go_on(&mut self, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        loop {
            if self.due() {
                return Ok(());
            }
            if std::mem::take(&mut self.turning) {
                next.turn(context)?;
            }
            let has_come = self.inputs.iter().all(|input| !input.turns.is_empty() || input.finished);
            let is_there = self.inputs.iter().any(|input| !input.turns.is_empty());
            if !has_come || !is_there {
                break;
            }
            let turns = self.inputs.iter_mut().filter_map(|input| input.turns.pop_front());
            self.leaving.extend(turns.filter(|turn| !turn.is_empty()));
            self.given = 0;
            self.turning = true;
        }
        let is_over = self.inputs.iter().all(|input| input.finished && input.turns.is_empty());
        if is_over && !std::mem::replace(&mut self.finished, is_over) {
            next.finish(context)?;
        }
        Ok(())
    }
}

impl Operator for Unite {
    fn push(&mut self, input: usize, chunk: &Chunk<'_>, context: &Context<'_>, _: &mut Next<'_>) -> Result<()> {
        let caller = context.ledger.enter(Stage::Changes);
        let input = &mut self.inputs[input];
        let (rows, operations) = split(chunk, input.has_operations);
        let rows = Chunk { positions: None, ordinals: None, floors: None, ..rows };
        let goes = |row: usize| operations.is_some_and(|operations| goes(operations[row]));
        context.ledger.copied(Copied::Held, input.open.push(&rows, goes, &self.layout, context.scratch));
        context.ledger.enter(caller);
        Ok(())
    }

    fn watermark(&mut self, input: usize, watermark: Time, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        self.inputs[input].watermark = watermark;
        let least = self.inputs.iter().map(|input| input.watermark).min().unwrap_or(TIME_MIN);
        if least > self.passed && least < Time::MAX {
            self.passed = least;
            next.watermark(least, context)?;
        }
        Ok(())
    }

    fn turn(&mut self, input: usize, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        let input = &mut self.inputs[input];
        input.turns.push_back(std::mem::take(&mut input.open));
        self.go_on(context, next)
    }

    fn finish(&mut self, input: usize, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        let input = &mut self.inputs[input];
        input.finished = true;
        input.watermark = Time::MAX;
        if !input.open.is_empty() {
            input.turns.push_back(std::mem::take(&mut input.open));
        }
        self.go_on(context, next)
    }

    fn drain(&mut self, context: &Context<'_>, next: &mut Next<'_>) -> Result<bool> {
        if let Some(turn) = self.leaving.front() {
            let first = self.given * crate::batch::BATCH_ROWS;
            let batch = &turn.rows().batches()[self.given];
            let mut columns: Vec<Vector<'_>> = (0..self.layout.len()).map(|column| batch.vector(column)).collect();
            if self.gives_operations {
                let rows = first as u32..(first + batch.rows()) as u32;
                let operations = rows.map(|row| if turn.goes(row) { DELETE } else { INSERT });
                columns.push(Vector::new(Data::I64(context.scratch.alloc_slice_fill_iter(operations))));
            }
            let (rows, stamp) = (batch.rows(), batch.stamp);
            let chunk = Chunk { rows, columns: &columns, positions: None, ordinals: None, floors: None, stamp };
            next.push(&chunk, context)?;
            self.given += 1;
            if self.given == turn.rows().batches().len() {
                self.leaving.pop_front();
                self.given = 0;
            }
        }
        self.go_on(context, next)?;
        Ok(self.due())
    }

    fn due(&self) -> bool {
        !self.leaving.is_empty()
    }

    fn state_bytes(&self) -> usize {
        let held = |input: &Input| input.open.memory() + input.turns.iter().map(Signed::memory).sum::<usize>();
        self.inputs.iter().map(held).sum::<usize>() + self.leaving.iter().map(Signed::memory).sum::<usize>()
    }

    fn save(&self, state: &mut State) -> Result<()> {
        let to = state.whole();
        to.count(self.inputs.len());
        to.flag(self.finished);
        to.word(self.passed as u64);
        for input in &self.inputs {
            to.flag(input.finished);
            to.word(input.watermark as u64);
            input.open.save(to);
            to.count(input.turns.len());
            input.turns.iter().for_each(|turn| turn.save(to));
        }
        Ok(())
    }

    fn restore(&mut self, saved: &Saved<'_>) -> Result<()> {
        let mut from = saved.whole();
        if from.count(10)? != self.inputs.len() {
            return Err(damaged("a union has another number of inputs"));
        }
        self.finished = from.flag()?;
        self.passed = from.word()? as Time;
        for input in &mut self.inputs {
            input.finished = from.flag()?;
            input.watermark = from.word()? as Time;
            input.open = Signed::load(&mut from, &self.layout)?;
            for _ in 0..from.count(1)? {
                input.turns.push_back(Signed::load(&mut from, &self.layout)?);
            }
        }
        from.end()
    }
}
