//! LIMIT and OFFSET: the first rows in the order they come, which is the deterministic order of the
//! plan below. Once they are out the sink is told that the query needs no more input.

use super::{Context, Next, Operator};
use crate::batch::Chunk;
use crate::error::Result;
use crate::state::{Moved, Saved, State};

/// The operator; holds two counters.
pub(crate) struct Limit {
    skip: u64,
    left: u64,
    /// Sinks below, told when `left` reaches 0.
    sinks: Vec<usize>,
}

impl Limit {
    pub(crate) fn new(limit: Option<u64>, offset: u64, sinks: Vec<usize>) -> Self {
        Limit { skip: offset, left: limit.unwrap_or(u64::MAX), sinks }
    }
}

impl Operator for Limit {
    fn push(&mut self, _: usize, chunk: &Chunk<'_>, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        let rows = chunk.rows as u64;
        let first = self.skip.min(rows);
        let count = (rows - first).min(self.left);
        self.skip -= first;
        if count == rows {
            next.push(chunk, context)?;
        } else if count > 0 {
            let kept = context.scratch.alloc_slice_fill_iter((first as u16)..(first + count) as u16);
            next.push(&chunk.gather(kept, context.scratch), context)?;
        }
        if self.left != u64::MAX {
            self.left -= count;
        }
        if self.left == 0 {
            for &sink in &self.sinks {
                next.outlets.satisfied(sink);
            }
        }
        Ok(())
    }

    fn save(&self, state: &mut State) -> Result<()> {
        state.whole().word(self.skip);
        state.whole().word(self.left);
        Ok(())
    }

    fn restore(&mut self, saved: &Saved<'_>) -> Result<()> {
        let mut from = saved.whole();
        (self.skip, self.left) = (from.word()?, from.word()?);
        from.end()
    }

    fn adopt(&mut self, moved: &Moved<'_>) -> Result<()> {
        // Those before the last only keep it from getting more than it can take: they begin again.
        for saved in moved.gathered().filter(|_| !moved.is_local()) {
            let mut from = saved.whole();
            (self.skip, self.left) = (self.skip.min(from.word()?), self.left.min(from.word()?));
            from.end()?;
        }
        Ok(())
    }
}
