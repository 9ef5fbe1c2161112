//! The one door from operators to expressions.

use bumpalo::collections::Vec as BumpVec;

use super::Context;
use crate::batch::{Chunk, Vector};
use crate::error::Result;
use crate::expr::Expr;

pub(crate) use crate::expr::{evaluate, evaluate_predicate};

/// All of `expressions` over a chunk, a column each.
pub(crate) fn evaluate_all<'a>(
    expressions: &[Expr],
    chunk: &Chunk<'a>,
    context: &Context<'a>,
) -> Result<&'a [Vector<'a>]> {
    let mut columns = BumpVec::with_capacity_in(expressions.len(), context.scratch);
    for expression in expressions {
        columns.push(evaluate(expression, chunk, context)?);
    }
    Ok(columns.into_bump_slice())
}
