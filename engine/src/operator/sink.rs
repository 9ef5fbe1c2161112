//! The last node: rows leave the engine through the outlets.

use super::{Context, Next, Operator, Time};
use crate::batch::Chunk;
use crate::error::Result;

/// The operator; holds nothing.
pub(crate) struct Sink {
    number: usize,
}

impl Sink {
    pub(crate) fn new(number: usize) -> Self {
        Sink { number }
    }
}

impl Operator for Sink {
    fn push(&mut self, _: usize, chunk: &Chunk<'_>, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        next.outlets.sink(self.number, chunk, context)
    }

    fn watermark(&mut self, _: usize, watermark: Time, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        next.outlets.sink_watermark(self.number, watermark, context)
    }

    fn finish(&mut self, _: usize, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        next.outlets.sink_finish(self.number, context)
    }
}
