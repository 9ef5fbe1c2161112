//! Turns of one shard: the pieces of the input on which operators of changes answer.
//!
//! A turn is the rows that every unfinished source of the shard reads in one of its own turns, so it is a
//! function of the input. Its end goes through the plan behind its rows, and from shard to shard: a
//! receiver takes nothing of the next turn before every sender has ended this one. So what is answered
//! at its end holds for the first so many turns of all shards, whatever way rows went. Where rows come
//! when they come, and where a barrier passes, a turn ends early.

use corelane_engine::Result;
use corelane_engine::operator::Context;
use corelane_engine::stage::Stage;

use super::{Feed, Shard};
use crate::sink::Since;

impl Shard {
    /// Ends the turn, if every source has read its part of it.
    pub(super) fn end_turn(&mut self, wait: &mut Stage) -> Result<bool> {
        // What is read behind other sources has no part in it yet.
        let is_open = |feed: &&Feed| !feed.finished && feed.after.iter().all(|&earlier| self.sources[earlier].finished);
        let mut open = self.sources.iter().filter(is_open).peekable();
        // Windows that the turn's rows have closed belong to it; so do those that the end of a source closes.
        let has_ended = |feed: &Feed| {
            let source = &feed.source;
            source.has_ended_turn() && !source.is_finished() && source.is_told(feed.told)
        };
        let is_read = open.peek().is_some() && open.all(has_ended);
        if self.by_turns && is_read { self.end_turn_now(wait) } else { Ok(false) }
    }

    /// Ends a turn of rows that come when they come, once they have waited long enough, or another shard
    /// waits for it.
    pub(super) fn end_live_turn(&mut self, wait: &mut Stage) -> Result<bool> {
        let is_live = || self.sources.iter().any(|feed| !feed.finished && feed.source.is_live());
        let is_awaited = || self.receivers.iter().any(|receiver| receiver.inbox.is_turning());
        let ends = self.by_turns && is_live() && (self.turn_open || is_awaited());
        if ends { self.end_turn_now(wait) } else { Ok(false) }
    }

    /// Ends the turn behind the rows that were read; false while what they have made is still on its way.
    pub(super) fn end_turn_now(&mut self, wait: &mut Stage) -> Result<bool> {
        for feed in self.sources.iter().filter(|feed| !feed.finished) {
            if self.pipeline.pending(feed.entry) || !self.outs.ready(&feed.feeds, wait) {
                return Ok(false);
            }
        }
        self.outs.since(Since::Read);
        for feed in self.sources.iter_mut().filter(|feed| !feed.finished) {
            self.scratch.reset();
            let context = Context { scratch: &self.scratch, ledger: &self.ledger };
            self.pipeline.turn(feed.entry, &context, &mut self.outs)?;
            feed.source.begin_turn();
        }
        self.turn_open = false;
        Ok(true)
    }
}
