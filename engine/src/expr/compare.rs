//! Comparisons. NaN equals NaN and stands above infinity; -0.0 equals 0.0.

use super::evaluate::walk;
use super::kernels::union;
use super::{Comparison, Expr, ExprKind};
use crate::batch::{Chunk, Data, Text, Vector, is_null};
use crate::error::Result;
use crate::types::Value;
use bumpalo::Bump;
use std::cmp::Ordering;

/// Doubles in SQL's order, as an order of integers.
#[inline]
pub(crate) fn order_of(value: f64) -> i64 {
    let value = if value.is_nan() { f64::NAN } else { value + 0.0 };
    let bits = value.to_bits() as i64;
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

/// Runs `$body` with `$holds` as the comparison's test over two values, one copy per comparison.
macro_rules! by_comparison {
    ($comparison:expr, $holds:ident => $body:expr) => {
        match $comparison {
            Comparison::Equal | Comparison::NotDistinct => {
                let $holds = |a, b| a == b;
                $body
            }
            Comparison::NotEqual | Comparison::Distinct => {
                let $holds = |a, b| a != b;
                $body
            }
            Comparison::Less => {
                let $holds = |a, b| a < b;
                $body
            }
            Comparison::LessOrEqual => {
                let $holds = |a, b| a <= b;
                $body
            }
            Comparison::Greater => {
                let $holds = |a, b| a > b;
                $body
            }
            Comparison::GreaterOrEqual => {
                let $holds = |a, b| a >= b;
                $body
            }
        }
    };
}

fn turned(comparison: Comparison) -> Comparison {
    match comparison {
        Comparison::Less => Comparison::Greater,
        Comparison::LessOrEqual => Comparison::GreaterOrEqual,
        Comparison::Greater => Comparison::Less,
        Comparison::GreaterOrEqual => Comparison::LessOrEqual,
        other => other,
    }
}

/// Compares two expressions of one type; a literal is not made a column of.
pub(crate) fn compare<'a>(
    comparison: Comparison,
    left: &Expr,
    right: &Expr,
    input: &Chunk<'a>,
    scratch: &'a Bump,
) -> Result<Vector<'a>> {
    let null_safe = matches!(comparison, Comparison::Distinct | Comparison::NotDistinct);
    match (&left.kind, &right.kind) {
        (_, ExprKind::Literal(value)) if !null_safe && *value != Value::Null => {
            let vector = walk(left, input, scratch)?;
            if let Some(truth) = with_literal(comparison, &vector, value, scratch) {
                return Ok(truth);
            }
        }
        (ExprKind::Literal(value), _) if !null_safe && *value != Value::Null => {
            let vector = walk(right, input, scratch)?;
            if let Some(truth) = with_literal(turned(comparison), &vector, value, scratch) {
                return Ok(truth);
            }
        }
        _ => {}
    }
    let (left, right) = (walk(left, input, scratch)?, walk(right, input, scratch)?);
    let truth = columns(comparison, &left, &right, scratch);
    if !null_safe {
        let nulls = union(left.nulls, right.nulls, input.rows, scratch);
        return Ok(Vector { data: Data::I64(truth), nulls });
    }
    let distinct = comparison == Comparison::Distinct;
    if left.nulls.is_some() || right.nulls.is_some() {
        for (row, truth) in truth.iter_mut().enumerate() {
            match (is_null(left.nulls, row), is_null(right.nulls, row)) {
                (false, false) => {}
                (a, b) => *truth = i64::from((a != b) == distinct),
            }
        }
    }
    Ok(Vector::new(Data::I64(truth)))
}

fn columns<'a>(comparison: Comparison, left: &Vector<'a>, right: &Vector<'a>, scratch: &'a Bump) -> &'a mut [i64] {
    macro_rules! zip {
        ($left:expr, $right:expr, $key:expr) => {
            by_comparison!(comparison, holds => scratch.alloc_slice_fill_iter(
                $left.iter().zip($right).map(|(a, b)| i64::from(holds($key(a), $key(b))))
            ))
        };
    }
    match (left.data, right.data) {
        (Data::I64(a), Data::I64(b)) => zip!(a, b, |value: &i64| *value),
        (Data::I128(a), Data::I128(b)) => zip!(a, b, |value: &i128| *value),
        (Data::F64(a), Data::F64(b)) => zip!(a, b, |value: &f64| order_of(*value)),
        (Data::Text(a), Data::Text(b)) => match comparison {
            // Equality of views needs no order.
            Comparison::Equal | Comparison::NotDistinct => {
                scratch.alloc_slice_fill_iter(a.iter().zip(b).map(|(a, b)| i64::from(a == b)))
            }
            Comparison::NotEqual | Comparison::Distinct => {
                scratch.alloc_slice_fill_iter(a.iter().zip(b).map(|(a, b)| i64::from(a != b)))
            }
            _ => by_comparison!(comparison, holds => scratch.alloc_slice_fill_iter(
                a.iter().zip(b).map(|(a, b)| i64::from(holds(a.cmp(b), Ordering::Equal)))
            )),
        },
        _ => panic!("the plan promised two columns of one shape"),
    }
}

/// A column against a constant; `None` for shapes that only [`columns`] has.
fn with_literal<'a>(
    comparison: Comparison,
    vector: &Vector<'a>,
    value: &Value,
    scratch: &'a Bump,
) -> Option<Vector<'a>> {
    let truth: &[i64] = match (vector.data, value) {
        (Data::I64(values), &Value::I64(value)) => {
            by_comparison!(comparison, holds => scratch.alloc_slice_fill_iter(
                values.iter().map(|&row: &i64| i64::from(holds(row, value)))
            ))
        }
        (Data::F64(values), &Value::F64(value)) => {
            let value = order_of(value);
            by_comparison!(comparison, holds => scratch.alloc_slice_fill_iter(
                values.iter().map(|&row| i64::from(holds(order_of(row), value)))
            ))
        }
        (Data::Text(values), Value::Text(value)) => {
            let value = Text::new(value.as_bytes());
            match comparison {
                Comparison::Equal => scratch.alloc_slice_fill_iter(values.iter().map(|row| i64::from(*row == value))),
                _ => by_comparison!(comparison, holds => scratch.alloc_slice_fill_iter(
                    values.iter().map(|row| i64::from(holds(row.cmp(&value), Ordering::Equal)))
                )),
            }
        }
        _ => return None,
    };
    Some(Vector { data: Data::I64(truth), nulls: vector.nulls })
}

/// Clears in `mask` the rows for which `column <comparison> literal` is not TRUE; `false` if this
/// pair has no such shortcut.
pub(crate) fn narrow_compare(comparison: Comparison, column: &Vector<'_>, value: &Value, mask: &mut [u8]) -> bool {
    if matches!(comparison, Comparison::Distinct | Comparison::NotDistinct) {
        return false;
    }
    match (column.data, value) {
        (Data::I64(values), &Value::I64(value)) => by_comparison!(comparison, holds => {
            for (keep, &row) in mask.iter_mut().zip(values) {
                *keep &= u8::from(holds(row, value));
            }
        }),
        (Data::F64(values), &Value::F64(value)) => {
            let value = order_of(value);
            by_comparison!(comparison, holds => {
                for (keep, &row) in mask.iter_mut().zip(values) {
                    *keep &= u8::from(holds(order_of(row), value));
                }
            })
        }
        (Data::Text(values), Value::Text(value)) if comparison == Comparison::Equal => {
            let value = Text::new(value.as_bytes());
            for (keep, row) in mask.iter_mut().zip(values) {
                *keep &= u8::from(*row == value);
            }
        }
        _ => return false,
    }
    if column.nulls.is_some() {
        for (row, keep) in mask.iter_mut().enumerate() {
            *keep &= u8::from(!column.is_null(row));
        }
    }
    true
}
