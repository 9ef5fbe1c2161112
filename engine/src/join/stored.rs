//! How rows of one side are held: the input's columns, and behind them the keys and the time where
//! those are not columns of the input.

use bumpalo::Bump;

use crate::batch::{Chunk, Data, Vector};
use crate::error::Result;
use crate::expr::{Expr, ExprKind, evaluate};
use crate::hash;
use crate::operator::Context;
use crate::pipeline::Place;
use crate::types::Physical;

/// What orders the rows of a side, besides their time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// The order in which they come: one shard's own, which is the same in every run.
    Arrival,
    /// Where they stood in the input; no two rows share a place.
    Position,
    /// The same, but the row of one place may have become several: those are ordered by content.
    PositionThenContent,
    /// What is in them. Rows that are equal are interchangeable.
    Content,
}

/// What a shard takes of the rows that another number of shards has held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// All of them.
    All,
    /// None.
    None,
    /// Those whose keys it owns.
    Owned,
}

impl Takes {
    pub(crate) fn all_or_none(all: bool) -> Takes {
        if all { Takes::All } else { Takes::None }
    }
}

/// The columns held of one side.
pub(crate) struct Stored {
    /// Their shapes.
    pub(crate) layout: Vec<Physical>,
    /// What stands behind the input's columns.
    computed: Vec<Expr>,
    /// Which of them are the keys.
    pub(crate) keys: Vec<usize>,
    /// Which of them is the time.
    pub(crate) time: Option<usize>,
    order: Order,
    /// How many are the input's.
    pub(crate) width: usize,
}

impl Stored {
    pub(crate) fn new<'e>(
        input: Vec<Physical>,
        keys: impl Iterator<Item = &'e Expr>,
        time: Option<&Expr>,
        order: Order,
    ) -> Self {
        let width = input.len();
        let mut stored = Stored { layout: input, computed: Vec::new(), keys: Vec::new(), time: None, order, width };
        stored.keys = keys.map(|key| stored.column(key)).collect();
        stored.time = time.map(|time| stored.column(time));
        stored
    }

    /// Where the values of an expression are held.
    pub(crate) fn column(&mut self, expression: &Expr) -> usize {
        if let ExprKind::Column(column) = expression.kind {
            return column;
        }
        if let Some(known) = self.computed.iter().position(|known| known == expression) {
            return self.width + known;
        }
        self.computed.push(expression.clone());
        self.layout.push(expression.data_type.physical());
        self.layout.len() - 1
    }

    /// Rows of the input as they are held. Positions are what orders them, where anything but arrival
    /// does.
    pub(crate) fn rows<'a>(&self, chunk: &Chunk<'a>, context: &Context<'a>) -> Result<Chunk<'a>> {
        let mut held = *chunk;
        held.floors = None;
        if !self.computed.is_empty() {
            let mut columns = bumpalo::collections::Vec::with_capacity_in(self.layout.len(), context.scratch);
            columns.extend_from_slice(chunk.columns);
            for expression in &self.computed {
                columns.push(evaluate(expression, chunk, context)?);
            }
            held.columns = columns.into_bump_slice();
        }
        Ok(self.ordered(held, context.scratch))
    }

    /// Rows as they are held, with what orders them.
    pub(crate) fn ordered<'s>(&self, held: Chunk<'s>, scratch: &'s Bump) -> Chunk<'s> {
        match self.order {
            Order::Content => {
                let positions = Some(contents(&held.columns[..self.width], held.rows, scratch));
                Chunk { positions, ..held }
            }
            Order::Arrival | Order::Position | Order::PositionThenContent => held,
        }
    }

    /// Which rows, as another number of shards has held them, the shard at `place` takes.
    pub(crate) fn taken<'s>(&self, held: &Chunk<'_>, takes: Takes, place: Place, scratch: &'s Bump) -> &'s [u16] {
        match takes {
            Takes::All => scratch.alloc_slice_fill_iter(0..held.rows as u16),
            Takes::None => &[],
            Takes::Owned => {
                let keys: Vec<Vector<'_>> = self.keys.iter().map(|&key| held.columns[key]).collect();
                place.owned_rows(&keys, held.rows, scratch)
            }
        }
    }

    /// What orders rows of one position.
    pub(crate) fn ties<'s>(&self, held: &Chunk<'s>, scratch: &'s Bump) -> Option<&'s [u64]> {
        (self.order == Order::PositionThenContent).then(|| contents(&held.columns[..self.width], held.rows, scratch))
    }

    /// Hashes of the keys of rows as they are held.
    pub(crate) fn hashes<'s>(&self, held: &Chunk<'s>, seed: u64, scratch: &'s Bump) -> &'s mut [u64] {
        let keys = scratch.alloc_slice_fill_iter(self.keys.iter().map(|&key| held.columns[key]));
        let hashes = scratch.alloc_slice_fill_copy(held.rows, 0);
        hash::hash_rows(keys, seed, hashes);
        hashes
    }

    /// Which rows as they are held have a NULL among their keys, as a bitmap; `None` for none.
    pub(crate) fn null_keys<'s>(&self, held: &Chunk<'s>, scratch: &'s Bump) -> Option<&'s [u64]> {
        let nulls = |key: &usize| held.columns[*key].nulls;
        self.keys.iter().any(|key| nulls(key).is_some()).then(|| {
            let words = scratch.alloc_slice_fill_copy(held.rows.div_ceil(64).max(1), 0u64);
            for nulls in self.keys.iter().filter_map(nulls) {
                words.iter_mut().zip(nulls).for_each(|(word, nulls)| *word |= nulls);
            }
            &*words
        })
    }

    /// Times of rows as they are held.
    pub(crate) fn times<'s>(&self, held: &Chunk<'s>) -> Option<&'s [i64]> {
        self.time.map(|time| held.columns[time].i64s())
    }
}

/// A number per row that rows of other content do not share.
pub(crate) fn contents<'s>(columns: &[Vector<'_>], rows: usize, scratch: &'s Bump) -> &'s [u64] {
    let hashes = scratch.alloc_slice_fill_copy(rows, 0);
    hash::hash_rows(columns, CONTENT_SEED, hashes);
    // The uppermost bit says that a row has no left side.
    hashes.iter_mut().for_each(|hash| *hash >>= 1);
    hashes
}

/// Whatever keys are hashed with, the order by content is the same.
const CONTENT_SEED: u64 = 0x6A6F_696E;

/// Whether two columns of one shape have equal values, none of them NULL, at `(left, right)`.
#[inline]
pub(crate) fn equal(left: &Vector<'_>, i: usize, right: &Vector<'_>, j: usize) -> bool {
    match (left.data, right.data) {
        (Data::I64(left), Data::I64(right)) => left[i] == right[j],
        (Data::I128(left), Data::I128(right)) => left[i] == right[j],
        (Data::F64(left), Data::F64(right)) => hash::canonical_bits(left[i]) == hash::canonical_bits(right[j]),
        (Data::Text(left), Data::Text(right)) => left[i] == right[j],
        _ => panic!("keys of both sides have one shape"),
    }
}
