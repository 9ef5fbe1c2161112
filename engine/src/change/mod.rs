//! Changes: rows that come and go, and operators that answer in them.
//!
//! A *change stream* is rows of which each says whether it comes or goes: its last column is an
//! operation, [`INSERT`] or [`DELETE`] (an update is both). Where rows only ever come, a stream has no
//! such column. Which streams have one is decided by the planner ([`crate::plan::changes`]).
//!
//! Operators of changes answer by *turns*: between two ends of a turn ([`crate::operator::Operator::turn`])
//! they take rows, at its end they give out what the whole turn has changed, net. A turn's end comes
//! behind the rows of one piece of the input on all ways through the plan, and operators with several
//! inputs wait for it on all of them. So every answer is the answer for some piece of the input from its
//! start, whole: sums over a join of two views of one table always add up.
//!
//! | module | what it does |
//! |---|---|
//! | `fold` | GROUP BY, by adding rows to accumulators and taking them out |
//! | `again` | any operator over partitions: touched ones are done again, and compared |
//! | `join` | joins without a bound in time |
//! | `unite` | UNION ALL |
//! | `net` | what leaves at a sink: the changes of a turn, in the form asked for |
//! | `store`, `cancel` | rows that can be taken out again; rows that came and went |

mod again;
mod cancel;
mod fold;
mod join;
mod net;
mod store;
#[cfg(test)]
mod tests;
mod unite;

pub(crate) use again::Again;
pub(crate) use fold::{Fold, can_take_out};
pub(crate) use join::{Join, Side};
pub(crate) use net::Net;
pub(crate) use unite::Unite;

use crate::batch::{Chunk, Vector};
use crate::join::equal;

/// A row comes.
pub const INSERT: i64 = 0;
/// A row goes; another of its key follows.
pub const UPDATE_BEFORE: i64 = 1;
/// A row comes in place of the one before.
pub const UPDATE_AFTER: i64 = 2;
/// A row goes.
pub const DELETE: i64 = 3;

/// Name of the column that says which.
pub const OP_COLUMN: &str = "op";

/// Operations as they are written.
pub const NAMES: [&str; 4] = ["+I", "-U", "+U", "-D"];

/// Whether a row goes.
#[inline]
pub(crate) fn goes(operation: i64) -> bool {
    operation & 1 == 1
}

/// The columns of `chunk` without its operations, and those; without positions where rows may go.
pub(crate) fn split<'a>(chunk: &Chunk<'a>, has_operations: bool) -> (Chunk<'a>, Option<&'a [i64]>) {
    match chunk.columns.split_last() {
        Some((operations, columns)) if has_operations => {
            (Chunk { columns, positions: None, ..*chunk }, Some(operations.i64s()))
        }
        _ => (*chunk, None),
    }
}

/// Whether two rows have equal columns; NULL equals NULL here.
pub(crate) fn same_row(left: &[Vector<'_>], i: usize, right: &[Vector<'_>], j: usize) -> bool {
    left.iter().zip(right).all(|(left, right)| match (left.is_null(i), right.is_null(j)) {
        (false, false) => equal(left, i, right, j),
        (left, right) => left && right,
    })
}
