//! The sending end of an exchange: hashes each row's key and hands the rows to the outlets.
//!
//! The receiving end is no operator: the pipeline enters behind the exchange's node.

use super::project::evaluate_all;
use super::{Context, Next, Operator, Time};
use crate::batch::Chunk;
use crate::error::Result;
use crate::hash;
use crate::owners::Owners;
use crate::pipeline::Place;
use crate::plan::{Exchange, ExchangeKind};
use crate::stage::Stage;

/// The operator; holds nothing.
pub(crate) struct ExchangeOut {
    exchange: Exchange,
    place: Place,
    /// For copies: a hash that each shard owns.
    hashes: Vec<u64>,
}

impl ExchangeOut {
    pub(crate) fn new(exchange: Exchange, place: Place, owners: &Owners) -> Self {
        let hashes = (0..place.shards).map(|shard| owners.hash_of(shard, place.shards)).collect();
        ExchangeOut { exchange, place, hashes }
    }

    /// Every row to every shard.
    fn copies(&self, chunk: &Chunk<'_>, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        let hashes = context.scratch.alloc_slice_fill_copy(chunk.rows, 0);
        for &hash in &self.hashes {
            hashes.fill(hash);
            next.outlets.exchange(self.exchange.number, chunk, hashes, context)?;
        }
        Ok(())
    }
}

impl Operator for ExchangeOut {
    fn push(&mut self, _: usize, chunk: &Chunk<'_>, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        let caller = context.ledger.enter(Stage::ExchangeOut);
        if self.exchange.kind == ExchangeKind::Copies {
            let sent = self.copies(chunk, context, next);
            context.ledger.enter(caller);
            return sent;
        }
        let keys = evaluate_all(&self.exchange.keys, chunk, context)?;
        let hashes = context.scratch.alloc_slice_fill_copy(chunk.rows, 0);
        hash::hash_rows(keys, self.place.hash_seed, hashes);
        let sent = next.outlets.exchange(self.exchange.number, chunk, hashes, context);
        context.ledger.enter(caller);
        sent
    }

    fn watermark(&mut self, _: usize, watermark: Time, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        next.outlets.exchange_watermark(self.exchange.number, watermark, context)
    }

    fn turn(&mut self, _: usize, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        next.outlets.exchange_turn(self.exchange.number, context)
    }

    fn finish(&mut self, _: usize, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        next.outlets.exchange_finish(self.exchange.number, context)
    }
}
