//! Constant folding: what holds no column is computed once, before the query runs.

use super::{Expr, ExprKind, evaluate, kernels::value_at};
use crate::batch::Chunk;
use crate::error::Result;
use crate::types::Value;
use bumpalo::Bump;

/// `expr` with every part that holds no column replaced by its value. A part that fails is an
/// error with its place, except under CASE, AND and OR (whose parts may never be reached) and
/// TRY_CAST (which makes it NULL): there it stays as it is, to fail only if a row gets to it.
pub fn fold(expr: Expr) -> Result<Expr> {
    folded(expr, false)
}

fn folded(mut expr: Expr, guarded: bool) -> Result<Expr> {
    let guards = matches!(
        expr.kind,
        ExprKind::Case { .. } | ExprKind::And(_) | ExprKind::Or(_) | ExprKind::Cast { safe: true, .. }
    );
    for child in expr.children_mut() {
        let taken = std::mem::replace(child, Expr::literal(Value::Null, child.data_type));
        *child = folded(taken, guarded || guards)?;
    }
    let literal = |child: &&Expr| matches!(child.kind, ExprKind::Literal(_));
    let leaf = matches!(expr.kind, ExprKind::Column(_) | ExprKind::Literal(_));
    if leaf || !expr.children().iter().all(literal) {
        return Ok(expr);
    }
    let scratch = Bump::new();
    let row = Chunk { rows: 1, columns: &[], positions: None, ordinals: None, floors: None, stamp: 0 };
    match evaluate::walk(&expr, &row, &scratch) {
        Ok(vector) => {
            let kind = ExprKind::Literal(value_at(&vector, 0, expr.data_type));
            Ok(Expr { kind, data_type: expr.data_type, span: expr.span })
        }
        Err(_) if guarded => Ok(expr),
        Err(error) => Err(error),
    }
}
