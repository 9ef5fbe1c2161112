//! The one door from operators to expressions: columns and literals, for as long as nothing else can
//! be evaluated.

use super::Context;
use crate::batch::{Chunk, Data, Text, Vector};
use crate::error::{Code, Error, Result};
use crate::expr::{Expr, ExprKind};
use crate::types::{Physical, Value};

pub(crate) fn evaluate<'a>(expression: &Expr, chunk: &Chunk<'a>, context: &Context<'a>) -> Result<Vector<'a>> {
    let (rows, scratch) = (chunk.rows, context.scratch);
    Ok(match &expression.kind {
        ExprKind::Column(column) => chunk.columns[*column],
        ExprKind::Literal(value) => match value {
            Value::I64(value) => Vector::new(Data::I64(scratch.alloc_slice_fill_copy(rows, *value))),
            Value::I128(value) => Vector::new(Data::I128(scratch.alloc_slice_fill_copy(rows, *value))),
            Value::F64(value) => Vector::new(Data::F64(scratch.alloc_slice_fill_copy(rows, *value))),
            Value::Text(value) => {
                let text = Text::new(scratch.alloc_slice_copy(value.as_bytes()));
                Vector::new(Data::Text(scratch.alloc_slice_fill_copy(rows, text)))
            }
            Value::Null => {
                let data = match expression.data_type.physical() {
                    Physical::I64 => Data::I64(scratch.alloc_slice_fill_copy(rows, 0)),
                    Physical::I128 => Data::I128(scratch.alloc_slice_fill_copy(rows, 0)),
                    Physical::F64 => Data::F64(scratch.alloc_slice_fill_copy(rows, 0.0)),
                    Physical::Text => Data::Text(scratch.alloc_slice_fill_copy(rows, Text::EMPTY)),
                };
                Vector { data, nulls: Some(scratch.alloc_slice_fill_copy(rows.div_ceil(64), u64::MAX)) }
            }
        },
        _ => return Err(Error::new(Code::Unsupported, "only columns and literals are supported").at(expression.span)),
    })
}

pub(crate) fn evaluate_predicate<'a>(
    expression: &Expr,
    chunk: &Chunk<'a>,
    context: &Context<'a>,
) -> Result<Option<&'a [u16]>> {
    let truth = evaluate(expression, chunk, context)?;
    let rows =
        (0..chunk.rows as u16).filter(|&row| !truth.is_null(usize::from(row)) && truth.i64s()[usize::from(row)] != 0);
    Ok(Some(bumpalo::collections::Vec::from_iter_in(rows, context.scratch).into_bump_slice()))
}
