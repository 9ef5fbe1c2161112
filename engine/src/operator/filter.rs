//! WHERE and HAVING: lets through the rows for which a condition is TRUE.

use super::{Context, Next, Operator};
use crate::batch::Chunk;
use crate::error::Result;
use crate::expr::Expr;
use crate::operator::evaluate as expr;
use crate::stage::Stage;

/// The operator; holds nothing.
pub(crate) struct Filter {
    condition: Expr,
}

impl Filter {
    pub(crate) fn new(condition: Expr) -> Self {
        Filter { condition }
    }
}

impl Operator for Filter {
    fn push(&mut self, _: usize, chunk: &Chunk<'_>, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        let caller = context.ledger.enter(Stage::Filter);
        let kept = match expr::evaluate_predicate(&self.condition, chunk, context)? {
            None => *chunk,
            Some(rows) => chunk.gather(rows, context.scratch),
        };
        context.ledger.enter(caller);
        next.push(&kept, context)
    }
}
