//! UNION ALL: rows of several inputs as one. Time has passed when it has for every input, and the end has
//! come when all have ended.
//!
//! Rows leave as they come, uncopied, unless what follows needs them in an order: then they are held
//! until the watermark of all inputs has passed them, and leave in order of (time, position, content).
//! Content stands for the position where not all rows carry one, so what leaves never depends on which
//! input was read first.

#[cfg(test)]
mod tests;

use super::{Context, Next, Operator, Owed, TIME_MIN, Time, Turns};
use crate::batch::Chunk;
use crate::error::Result;
use crate::join::contents;
use crate::over::reorder::Reorder;
use crate::plan::{self, Needs};
use crate::stage::{Copied, Stage};
use crate::state::{Moved, Reader, Saved, State, damaged};
use crate::types::Physical;

/// What tells the rows of one time apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Each row carries a position of its own.
    Position,
    /// Several may carry the same.
    PositionThenContent,
    /// Not all rows carry one.
    Content,
}

/// The operator.
pub(crate) struct Union {
    /// Rows held, by this column.
    held: Option<(usize, Reorder)>,
    order: Order,
    /// What all rows carry, and so may go on.
    carried: Needs,
    /// Of each input.
    watermarks: Vec<Time>,
    finished: Vec<bool>,
    passed: Time,
    /// What is passed on when all that may leave has left.
    owed: Owed,
    turns: Turns,
}

impl Union {
    pub(crate) fn new(
        union: plan::Union,
        inputs: usize,
        layout: &[Physical],
        (order, carried): (Order, Needs),
    ) -> Self {
        Union {
            carried,
            held: union.time.map(|time| (time, Reorder::new(layout.to_vec()))),
            order,
            watermarks: vec![TIME_MIN; inputs],
            finished: vec![false; inputs],
            passed: TIME_MIN,
            owed: Owed::default(),
            turns: Turns::new(inputs),
        }
    }

    /// Lets out and passes on what the inputs allow.
    fn advance(&mut self, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        let least = self.watermarks.iter().copied().min().unwrap_or(TIME_MIN);
        if least > self.passed {
            self.passed = least;
            if let Some((_, held)) = &mut self.held {
                held.release(least);
            }
            // The greatest time there is comes with the end, which says more.
            self.owed.watermark = (least < Time::MAX).then_some(least);
        }
        self.owed.finish = self.finished.iter().all(|&finished| finished);
        self.pass(context, next)
    }

    fn pass(&mut self, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        if self.due() {
            return Ok(());
        }
        self.owed.pass(context, next)
    }
}

/// A chunk as it is held: its positions are what orders rows of one time.
fn ordered<'a>(chunk: &Chunk<'a>, order: Order, context: &Context<'a>) -> (Chunk<'a>, Option<&'a [u64]>) {
    let content = || contents(chunk.columns, chunk.rows, context.scratch);
    match order {
        Order::Position => (*chunk, None),
        Order::PositionThenContent => (*chunk, Some(content())),
        Order::Content => (Chunk { positions: Some(content()), ..*chunk }, None),
    }
}

/// A chunk with what rows of all inputs carry.
fn carrying<'a>(chunk: &Chunk<'a>, carried: Needs) -> Chunk<'a> {
    Chunk {
        positions: chunk.positions.filter(|_| carried.positions),
        ordinals: chunk.ordinals.filter(|_| carried.ordinals),
        ..*chunk
    }
}

impl Operator for Union {
    fn push(&mut self, _: usize, chunk: &Chunk<'_>, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        let Some((time, held)) = &mut self.held else {
            return next.push(&carrying(chunk, self.carried), context);
        };
        let caller = context.ledger.enter(Stage::Over);
        let (rows, ties) = ordered(chunk, self.order, context);
        let rows = Chunk { floors: None, ..rows };
        context.ledger.copied(Copied::Held, held.push(&rows, Some(chunk.columns[*time].i64s()), ties));
        context.ledger.enter(caller);
        Ok(())
    }

    fn watermark(&mut self, input: usize, watermark: Time, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        self.watermarks[input] = watermark;
        self.advance(context, next)
    }

    fn turn(&mut self, input: usize, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        self.owed.turn |= self.turns.end(input);
        self.pass(context, next)
    }

    fn finish(&mut self, input: usize, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        self.owed.turn |= self.turns.finish(input);
        self.watermarks[input] = Time::MAX;
        self.finished[input] = true;
        self.advance(context, next)
    }

    fn drain(&mut self, context: &Context<'_>, next: &mut Next<'_>) -> Result<bool> {
        if let Some((_, held)) = self.held.as_mut().filter(|(_, held)| held.has_ready()) {
            let caller = context.ledger.enter(Stage::Over);
            let chunk = held.take(context.scratch);
            context.ledger.enter(caller);
            next.push(&carrying(&chunk, self.carried), context)?;
            self.pass(context, next)?;
        }
        Ok(self.due())
    }

    fn due(&self) -> bool {
        self.held.as_ref().is_some_and(|(_, held)| held.has_ready())
    }

    fn state_bytes(&self) -> usize {
        self.held.as_ref().map_or(0, |(_, held)| held.memory())
    }

    fn save(&self, state: &mut State) -> Result<()> {
        let to = state.whole();
        to.count(self.watermarks.len());
        self.watermarks.iter().for_each(|&watermark| to.word(watermark as u64));
        self.finished.iter().for_each(|&finished| to.flag(finished));
        to.word(self.passed as u64);
        if let Some((_, held)) = &self.held {
            held.save(to);
        }
        Ok(())
    }

    fn restore(&mut self, saved: &Saved<'_>) -> Result<()> {
        let mut from = saved.whole();
        let stand = self.stand(&mut from)?;
        (self.watermarks, self.finished, self.passed) = (stand.watermarks, stand.finished, stand.passed);
        self.load(&mut from)
    }

    fn adopt(&mut self, moved: &Moved<'_>) -> Result<()> {
        let stands = moved.all().map(|saved| self.stand(&mut saved.whole())).collect::<Result<Vec<Stand>>>()?;
        for (input, finished) in self.finished.iter_mut().enumerate() {
            *finished = stands.iter().all(|stand| stand.finished[input]);
            // An input that goes on tells its time again.
            self.watermarks[input] = if *finished { Time::MAX } else { TIME_MIN };
        }
        self.passed = stands.iter().map(|stand| stand.passed).min().unwrap_or(TIME_MIN);
        let from: Vec<&Saved<'_>> = if moved.is_local() { moved.local().collect() } else { moved.gathered().collect() };
        for saved in from {
            let mut from = saved.whole();
            self.stand(&mut from)?;
            self.load(&mut from)?;
        }
        Ok(())
    }
}

/// How far a union has come.
struct Stand {
    watermarks: Vec<Time>,
    finished: Vec<bool>,
    passed: Time,
}

impl Union {
    fn stand(&self, from: &mut Reader<'_>) -> Result<Stand> {
        let inputs = self.watermarks.len();
        if from.count(8)? != inputs {
            return Err(damaged("a union has another number of inputs"));
        }
        let watermarks = (0..inputs).map(|_| Ok(from.word()? as Time)).collect::<Result<_>>()?;
        let finished = (0..inputs).map(|_| from.flag()).collect::<Result<_>>()?;
        Ok(Stand { watermarks, finished, passed: from.word()? as Time })
    }

    /// Reads the rows held.
    fn load(&mut self, from: &mut Reader<'_>) -> Result<()> {
        if let Some((time, held)) = &mut self.held {
            let ties = self.order == Order::PositionThenContent;
            held.load(
                Some(*time),
                |rows, scratch| ties.then(|| contents(rows.columns, rows.rows, scratch)),
                |chunk, _| Ok(chunk),
                from,
            )?;
        }
        from.end()
    }
}
