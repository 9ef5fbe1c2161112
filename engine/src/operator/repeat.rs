//! Rows as many times as they say themselves: what INTERSECT and EXCEPT leave of equal rows.

use super::held::{At, Held};
use super::{Context, Next, Operator, Owed, Time};
use crate::batch::{BATCH_ROWS, Chunk};
use crate::error::{Code, Error, Result};
use crate::state::State;
use crate::types::Physical;

/// The operator; holds the last chunk until its rows have left.
pub(crate) struct Repeat {
    times: usize,
    layout: Vec<Physical>,
    held: Held,
    /// Rows held and how often each is still to leave, the last one first.
    left: Vec<(At, i64)>,
    owed: Owed,
}

impl Repeat {
    pub(crate) fn new(times: usize, layout: Vec<Physical>) -> Self {
        Repeat { times, layout, held: Held::default(), left: Vec::new(), owed: Owed::default() }
    }

    fn pass(&mut self, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        if self.due() {
            return Ok(());
        }
        self.owed.pass(context, next)
    }
}

impl Operator for Repeat {
    fn push(&mut self, _: usize, chunk: &Chunk<'_>, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        let times = &chunk.columns[self.times];
        let (values, most) = (times.i64s(), values_most(times.i64s()));
        // Few rows are there more than once, so what leaves is mostly what came.
        if most <= 1 {
            let kept = (0..chunk.rows as u16).filter(|&row| values[usize::from(row)] > 0);
            let mut rows = bumpalo::collections::Vec::with_capacity_in(chunk.rows, context.scratch);
            rows.extend(kept);
            let kept = if rows.len() == chunk.rows { *chunk } else { chunk.gather(&rows, context.scratch) };
            return next.push(&kept, context);
        }
        let rows = context.scratch.alloc_slice_fill_iter(0..chunk.rows as u16);
        self.held.push(chunk, rows, &self.layout);
        let all = self.held.all();
        let counts = all.iter().zip(values).filter(|(_, times)| **times > 0);
        self.left.extend(counts.map(|(&at, &times)| (at, times)));
        self.left.reverse();
        Ok(())
    }

    fn watermark(&mut self, _: usize, watermark: Time, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        self.owed.watermark = Some(watermark);
        self.pass(context, next)
    }

    fn finish(&mut self, _: usize, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        self.owed.finish = true;
        self.pass(context, next)
    }

    fn drain(&mut self, context: &Context<'_>, next: &mut Next<'_>) -> Result<bool> {
        if !self.due() {
            return Ok(false);
        }
        let mut part = bumpalo::collections::Vec::with_capacity_in(BATCH_ROWS, context.scratch);
        while let Some((at, times)) = self.left.last_mut().filter(|_| part.len() < BATCH_ROWS) {
            let some = usize::try_from(*times).unwrap_or(usize::MAX).min(BATCH_ROWS - part.len());
            part.extend(std::iter::repeat_n(*at, some));
            *times -= some as i64;
            if *times == 0 {
                self.left.pop();
            }
        }
        let chunk = self.held.chunk(&part, &self.layout, &[], context.scratch);
        if self.left.is_empty() {
            self.held = Held::default();
        }
        next.push(&chunk, context)?;
        self.pass(context, next)?;
        Ok(self.due())
    }

    fn due(&self) -> bool {
        !self.left.is_empty()
    }

    fn state_bytes(&self) -> usize {
        self.held.memory()
    }

    fn save(&self, _: &mut State) -> Result<()> {
        // What is held leaves before state is taken.
        match self.due() {
            false => Ok(()),
            true => Err(Error::new(Code::Internal, "state was to be saved while rows were on their way")),
        }
    }
}

/// The greatest of `values`, 0 for none.
fn values_most(values: &[i64]) -> i64 {
    values.iter().copied().fold(0, i64::max)
}
