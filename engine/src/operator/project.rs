//! SELECT's list: one expression per output column. A bare column costs nothing: it stays borrowed.

use super::{Context, Next, Operator};
use crate::batch::{Chunk, Data, Vector};
use crate::error::Result;
use crate::expr::Expr;
use crate::operator::evaluate as expr;
use crate::stage::Stage;

/// The operator; holds nothing.
pub(crate) struct Project {
    expressions: Vec<Expr>,
}

impl Project {
    pub(crate) fn new(expressions: Vec<Expr>) -> Self {
        Project { expressions }
    }
}

impl Operator for Project {
    fn push(&mut self, _: usize, chunk: &Chunk<'_>, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        let caller = context.ledger.enter(Stage::Expression);
        let columns = evaluate_all(&self.expressions, chunk, context)?;
        context.ledger.enter(caller);
        next.push(&Chunk { columns, ..*chunk }, context)
    }
}

/// Every expression over `chunk`, in order.
pub(crate) fn evaluate_all<'a>(
    expressions: &[Expr],
    chunk: &Chunk<'a>,
    context: &Context<'a>,
) -> Result<&'a [Vector<'a>]> {
    let columns = context.scratch.alloc_slice_fill_copy(expressions.len(), Vector::new(Data::I64(&[])));
    for (column, expression) in columns.iter_mut().zip(expressions) {
        *column = expr::evaluate(expression, chunk, context)?;
    }
    Ok(columns)
}
