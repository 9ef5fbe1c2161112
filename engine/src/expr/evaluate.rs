//! The walk over the tree, once per chunk.
//!
//! Every node turns into one column in the scratch arena. A part that can fail is evaluated only
//! for the rows that reach it: those rows are gathered, evaluated, and scattered back.

use super::compare::{compare, narrow_compare};
use super::functions::{self, Call};
use super::kernels::{Builder, constant, union};
use super::{Expr, ExprKind, cast, pattern};
use crate::batch::{BATCH_ROWS, Chunk, Data, Vector};
use crate::error::Result;
use crate::operator::Context;
use crate::types::{Physical, Value};
use bumpalo::Bump;

/// `expr` for every row of `input`, as a column in the context's scratch arena.
pub fn evaluate<'a>(expr: &Expr, input: &Chunk<'a>, context: &Context<'a>) -> Result<Vector<'a>> {
    walk(expr, input, context.scratch)
}

/// The rows of `input` for which `expr` is TRUE, in order; `None` when it is for all.
pub fn evaluate_predicate<'a>(expr: &Expr, input: &Chunk<'a>, context: &Context<'a>) -> Result<Option<&'a [u16]>> {
    let mut mask = [1u8; BATCH_ROWS];
    let mask = &mut mask[..input.rows];
    narrow(expr, input, context.scratch, mask)?;
    let kept: usize = mask.iter().map(|&keep| usize::from(keep)).sum();
    Ok(if kept == input.rows { None } else { Some(selection(mask, context.scratch)) })
}

/// Positions of the ones in `mask`, without a branch per row.
fn selection<'a>(mask: &[u8], scratch: &'a Bump) -> &'a [u16] {
    let rows = scratch.alloc_slice_fill_copy(mask.len() + 1, 0u16);
    let mut count = 0;
    for (row, &keep) in mask.iter().enumerate() {
        rows[count] = row as u16;
        count += usize::from(keep);
    }
    &rows[..count]
}

pub(crate) fn walk<'a>(expr: &Expr, input: &Chunk<'a>, scratch: &'a Bump) -> Result<Vector<'a>> {
    let rows = input.rows;
    let value = match &expr.kind {
        ExprKind::Column(column) => Ok(input.columns[*column]),
        ExprKind::Literal(value) => Ok(constant(value, expr.data_type, rows, scratch)),
        ExprKind::Call { function, arguments } => {
            let mut columns = bumpalo::collections::Vec::with_capacity_in(arguments.len(), scratch);
            for argument in arguments {
                columns.push(walk(argument, input, scratch)?);
            }
            let nulls = columns.iter().fold(None, |nulls, column| union(nulls, column.nulls, rows, scratch));
            let returns = expr.data_type;
            let call = Call { expressions: arguments, arguments: &columns, returns, rows, nulls, scratch };
            functions::get(*function).run(&call)
        }
        ExprKind::Cast { input: inner, safe } => {
            let vector = match walk(inner, input, scratch) {
                // TRY_CAST covers what it casts as well: TRY_CAST(a / b AS INT) has no error.
                Err(error) if *safe && rows == 1 => {
                    let _ = error;
                    return Ok(constant(&Value::Null, expr.data_type, rows, scratch));
                }
                Err(_) if *safe => return row_by_row(expr, input, scratch),
                other => other?,
            };
            cast::cast(&vector, inner.data_type, expr.data_type, *safe, scratch)
        }
        ExprKind::Compare { comparison, left, right } => compare(*comparison, left, right, input, scratch),
        ExprKind::And(terms) => connect(terms, false, input, scratch),
        ExprKind::Or(terms) => connect(terms, true, input, scratch),
        ExprKind::Not(inner) => {
            let vector = walk(inner, input, scratch)?;
            let values = scratch.alloc_slice_fill_iter(vector.i64s().iter().map(|value| value ^ 1));
            Ok(Vector { data: Data::I64(values), nulls: vector.nulls })
        }
        ExprKind::IsNull(inner) => {
            let vector = walk(inner, input, scratch)?;
            let values = scratch.alloc_slice_fill_with(rows, |row| i64::from(vector.is_null(row)));
            Ok(Vector::new(Data::I64(values)))
        }
        ExprKind::Case { branches, otherwise } => case(expr, branches, otherwise.as_deref(), input, scratch),
        ExprKind::InList { input: inner, list, list_has_null } => {
            let vector = walk(inner, input, scratch)?;
            Ok(pattern::in_list(&vector, list, *list_has_null, scratch))
        }
        ExprKind::Like { input: inner, pattern, escape, ignore_case } => {
            let vector = walk(inner, input, scratch)?;
            pattern::like(&vector, pattern, *escape, *ignore_case, scratch)
        }
    };
    value.map_err(|error| error.at(expr.span))
}

/// Every row on its own, for a TRY_CAST over an input that fails somewhere.
fn row_by_row<'a>(expr: &Expr, input: &Chunk<'a>, scratch: &'a Bump) -> Result<Vector<'a>> {
    let mut column = Builder::new(expr.data_type.physical(), input.rows, scratch);
    for row in 0..input.rows as u16 {
        let one = input.gather(&[row], scratch);
        column.scatter(&walk(expr, &one, scratch)?, &[row]);
    }
    Ok(column.finish())
}

/// Whether evaluating it may fail for some row.
fn can_fail(expr: &Expr) -> bool {
    match expr.kind {
        ExprKind::Call { .. } | ExprKind::Cast { safe: false, .. } => true,
        _ => expr.children().into_iter().any(can_fail),
    }
}

/// AND (`decisive` FALSE) and OR (`decisive` TRUE): the decisive value wins over NULL, which wins
/// over the other. Terms that can fail see only the rows that are not decided yet.
fn connect<'a>(terms: &[Expr], decisive: bool, input: &Chunk<'a>, scratch: &'a Bump) -> Result<Vector<'a>> {
    let decisive = i64::from(decisive);
    let rows = input.rows;
    let values = scratch.alloc_slice_fill_copy(rows, 1 - decisive);
    let unknown = scratch.alloc_slice_fill_copy(rows, 0u8);
    let mut any_null = false;
    for (index, term) in terms.iter().enumerate() {
        if index > 0 && can_fail(term) {
            let mut open = [0u8; BATCH_ROWS];
            for (open, &value) in open.iter_mut().zip(values.iter()) {
                *open = u8::from(value != decisive);
            }
            let reach = selection(&open[..rows], scratch);
            if reach.len() < rows {
                if !reach.is_empty() {
                    let vector = walk(term, &input.gather(reach, scratch), scratch)?;
                    any_null |= vector.nulls.is_some();
                    for (from, &row) in reach.iter().enumerate() {
                        let row = usize::from(row);
                        let (value, null) = (vector.i64s()[from], vector.is_null(from));
                        if !null && value == decisive {
                            values[row] = decisive;
                        }
                        unknown[row] |= u8::from(null);
                    }
                }
                continue;
            }
        }
        let vector = walk(term, input, scratch)?;
        if vector.nulls.is_none() {
            for (value, &term) in values.iter_mut().zip(vector.i64s()) {
                *value = if decisive == 1 { *value | term } else { *value & term };
            }
        } else {
            any_null = true;
            for (row, &value) in vector.i64s().iter().enumerate() {
                let null = vector.is_null(row);
                values[row] = if !null && value == decisive { decisive } else { values[row] };
                unknown[row] |= u8::from(null);
            }
        }
    }
    let nulls = any_null.then(|| {
        let words = scratch.alloc_slice_fill_copy(rows.div_ceil(64).max(1), 0u64);
        for (row, (&unknown, &value)) in unknown.iter().zip(values.iter()).enumerate() {
            words[row / 64] |= u64::from(unknown == 1 && value != decisive) << (row % 64);
        }
        &*words
    });
    Ok(Vector { data: Data::I64(values), nulls })
}

fn case<'a>(
    expr: &Expr,
    branches: &[(Expr, Expr)],
    otherwise: Option<&Expr>,
    input: &Chunk<'a>,
    scratch: &'a Bump,
) -> Result<Vector<'a>> {
    let mut column = Builder::new(expr.data_type.physical(), input.rows, scratch);
    let mut left: &[u16] = scratch.alloc_slice_fill_iter(0..input.rows as u16);
    let part = |rows: &[u16]| if rows.len() == input.rows { *input } else { input.gather(rows, scratch) };
    for (condition, result) in branches {
        if left.is_empty() {
            break;
        }
        let mut mask = [1u8; BATCH_ROWS];
        let mask = &mut mask[..left.len()];
        narrow(condition, &part(left), scratch, mask)?;
        let pick = |mask: &[u8]| {
            let picked = selection(mask, scratch).iter().map(|&index| left[usize::from(index)]);
            bumpalo::collections::Vec::from_iter_in(picked, scratch).into_bump_slice()
        };
        let taken = pick(mask);
        mask.iter_mut().for_each(|keep| *keep ^= 1);
        left = pick(mask);
        put(&mut column, result, &part(taken), taken, scratch)?;
    }
    match otherwise {
        Some(result) => put(&mut column, result, &part(left), left, scratch)?,
        None => left.iter().for_each(|&row| column.set_null(usize::from(row))),
    }
    Ok(column.finish())
}

fn put<'a>(column: &mut Builder<'a>, result: &Expr, chunk: &Chunk<'a>, rows: &[u16], scratch: &'a Bump) -> Result<()> {
    if !rows.is_empty() {
        let vector = walk(result, chunk, scratch)?;
        column.scatter(&vector, rows);
    }
    Ok(())
}

/// Clears the entries of `mask` whose row is not TRUE.
fn narrow<'a>(expr: &Expr, input: &Chunk<'a>, scratch: &'a Bump, mask: &mut [u8]) -> Result<()> {
    match &expr.kind {
        ExprKind::And(terms) => {
            for term in terms {
                if can_fail(term) && mask.contains(&0) {
                    let reach = selection(mask, scratch);
                    let mut inner = [1u8; BATCH_ROWS];
                    let inner = &mut inner[..reach.len()];
                    if !reach.is_empty() {
                        narrow(term, &input.gather(reach, scratch), scratch, inner)?;
                    }
                    for (&row, &keep) in reach.iter().zip(inner.iter()) {
                        mask[usize::from(row)] = keep;
                    }
                } else {
                    narrow(term, input, scratch, mask)?;
                }
            }
            return Ok(());
        }
        ExprKind::Compare { comparison, left, right } => {
            if let (ExprKind::Column(column), ExprKind::Literal(value)) = (&left.kind, &right.kind)
                && narrow_compare(*comparison, &input.columns[*column], value, mask)
            {
                return Ok(());
            }
        }
        _ => {}
    }
    let truth = walk(expr, input, scratch)?;
    debug_assert_eq!(truth.physical(), Physical::I64);
    for (row, (keep, &value)) in mask.iter_mut().zip(truth.i64s()).enumerate() {
        *keep &= u8::from(value != 0 && !truth.is_null(row));
    }
    Ok(())
}
