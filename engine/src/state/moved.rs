//! State that another number of shards has saved.
//!
//! What belongs to keys goes to whoever owns the key's group now: sections by their group, held rows by the
//! hash of the keys that brought them to their operator. What belongs to no key, since it was collected
//! where rows were read, may go anywhere: the state of old shard `i` goes to shard `i` modulo the new number.

use bumpalo::Bump;

use super::{Reader, Saved};
use crate::batch::{Chunk, Vector};
use crate::error::Result;
use crate::expr::Expr;
use crate::hash;
use crate::operator::Context;
use crate::operator::evaluate::evaluate_all;
use crate::pipeline::Place;
use crate::stage::Ledger;

/// What the operators of one node held on all shards of the run before.
pub struct Moved<'a> {
    place: Place,
    saved: Vec<Saved<'a>>,
    is_local: bool,
}

impl<'a> Moved<'a> {
    /// For the shard at `place`. `is_local`: the node stands before an exchange, where rows are read.
    pub(crate) fn new(place: Place, saved: Vec<Saved<'a>>, is_local: bool) -> Self {
        Moved { place, saved, is_local }
    }

    /// Whether the node stands where rows are read, so that its state is of no key.
    pub(crate) fn is_local(&self) -> bool {
        self.is_local
    }

    /// How many shards there were.
    pub(crate) fn shards(&self) -> usize {
        self.saved.len()
    }

    /// Nobody held anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.saved.iter().all(Saved::is_empty)
    }

    /// What each shard held.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Saved<'a>> {
        self.saved.iter()
    }

    /// What the shards held whose local state comes here.
    pub(crate) fn local(&self) -> impl Iterator<Item = &Saved<'a>> {
        let Place { shard, shards, .. } = self.place;
        let here = self.saved.iter().enumerate().filter(move |(old, _)| old % shards == shard);
        // One shard alone had no such node.
        here.map(|(_, saved)| saved).filter(|saved| !saved.is_empty())
    }

    /// The sections of key groups that this shard owns.
    pub(crate) fn owned_groups(&self) -> impl Iterator<Item = (u16, Reader<'a>)> {
        self.saved.iter().flat_map(Saved::groups).filter(|&(group, _)| self.place.owns_group(group))
    }

    /// What the shards held of what all goes to one shard, if that is this one now. Only one of them has seen
    /// rows.
    pub(crate) fn gathered(&self) -> impl Iterator<Item = &Saved<'a>> {
        let is_here = self.place.only_key().is_some();
        self.saved.iter().filter(move |saved| is_here && !saved.is_empty())
    }
}

impl Place {
    /// Rows whose key columns this shard owns.
    pub(crate) fn owned_rows<'s>(&self, keys: &[Vector<'_>], rows: usize, scratch: &'s Bump) -> &'s [u16] {
        let hashes = scratch.alloc_slice_fill_copy(rows, 0);
        hash::hash_rows(keys, self.hash_seed, hashes);
        let owned = (0u16..).zip(&*hashes).filter(|&(_, &hash)| self.owns(hash)).map(|(row, _)| row);
        bumpalo::collections::Vec::from_iter_in(owned, scratch).into_bump_slice()
    }

    /// Rows whose `keys` this shard owns.
    pub(crate) fn owned_by_keys<'s>(&self, keys: &[Expr], chunk: &Chunk<'s>, scratch: &'s Bump) -> Result<&'s [u16]> {
        let context = Context { scratch, ledger: &Ledger::idle() };
        let keys = evaluate_all(keys, chunk, &context)?;
        Ok(self.owned_rows(keys, chunk.rows, scratch))
    }
}
