//! What a chunk brings to its groups: keys, arguments, and the rows that filters pass.

use bumpalo::collections::Vec as BumpVec;

use super::shape::Shape;
use super::update::{Rows, Values};
use crate::batch::{Chunk, Vector};
use crate::error::Result;
use crate::operator::Context;
use crate::operator::evaluate::{evaluate, evaluate_predicate};

impl<'a> Rows<'a> {
    /// The rows of `chunk`, whose key columns are `keys`.
    pub(crate) fn of(
        shape: &Shape,
        keys: &'a [Vector<'a>],
        chunk: &Chunk<'a>,
        context: &Context<'a>,
    ) -> Result<Rows<'a>> {
        let scratch = context.scratch;
        let mut arguments = BumpVec::with_capacity_in(shape.arguments.len(), scratch);
        for argument in &shape.arguments {
            arguments.push(match (&argument.factors, &argument.second) {
                (None, None) => Values::Plain(evaluate(&argument.expression, chunk, context)?),
                (_, Some(second)) => {
                    let first = evaluate(&argument.expression, chunk, context)?;
                    Values::Pair(first, evaluate(second, chunk, context)?)
                }
                (Some((left, right)), None) => {
                    Values::Product(evaluate(left, chunk, context)?, evaluate(right, chunk, context)?)
                }
            });
        }
        let mut passed = BumpVec::with_capacity_in(shape.lanes.len(), scratch);
        for lane in &shape.lanes {
            let Some(filter) = &lane.filter else {
                passed.push(None);
                continue;
            };
            passed.push(evaluate_predicate(filter, chunk, context)?.map(|rows| {
                let flags = scratch.alloc_slice_fill_copy(chunk.rows, false);
                rows.iter().for_each(|&row| flags[usize::from(row)] = true);
                &*flags
            }));
        }
        Ok(Rows {
            count: chunk.rows,
            keys,
            arguments: arguments.into_bump_slice(),
            passed: passed.into_bump_slice(),
            positions: chunk.positions,
        })
    }
}
