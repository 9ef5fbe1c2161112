//! What an operator was told and has not passed on: it waits for rows of its own that come before it.

use super::{Context, Next, Time};
use crate::error::Result;

/// A watermark, the end of a turn, the end of the input; in this order.
#[derive(Debug, Default)]
pub(crate) struct Owed {
    pub(crate) watermark: Option<Time>,
    pub(crate) turn: bool,
    pub(crate) finish: bool,
}

impl Owed {
    /// Passes on what is owed. Only where no row is due before it.
    pub(crate) fn pass(&mut self, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        if let Some(watermark) = self.watermark.take() {
            next.watermark(watermark, context)?;
        }
        if std::mem::take(&mut self.turn) {
            next.turn(context)?;
        }
        if std::mem::take(&mut self.finish) {
            next.finish(context)?;
        }
        Ok(())
    }
}
