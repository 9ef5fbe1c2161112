//! How far apart in time the rows of a join may be, as its conditions say.

use super::Relation;
use crate::expr::{Comparison, Expr, ExprKind, functions};
use crate::plan::{Pick, Within};
use crate::sql::scope::same;
use crate::types::{DataType, Value};

/// The bound in time that keys and conditions make, if they make one on both ends; what it says is taken
/// out of the conditions.
pub(super) fn within(
    keys: &[(Expr, Expr)],
    rest: &mut Vec<Expr>,
    left: &Relation<'_>,
    right: &Relation<'_>,
    left_width: usize,
    pick: Option<&Pick>,
) -> Option<Within> {
    let of_right: Vec<Expr> = right
        .times
        .iter()
        .cloned()
        .map(|mut time| {
            time.map_columns(&|column| left_width + column);
            time
        })
        .collect();
    for left_time in &left.times {
        for right_time in &of_right {
            let (mut lower, mut upper) = (None::<i64>, None::<i64>);
            let mut narrow = |(comparison, apart): (Comparison, i64)| {
                use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual};
                let least = match comparison {
                    Equal | GreaterOrEqual => Some(apart),
                    Greater => Some(apart.saturating_add(1)),
                    _ => None,
                };
                let most = match comparison {
                    Equal | LessOrEqual => Some(apart),
                    Less => Some(apart.saturating_sub(1)),
                    _ => None,
                };
                lower = lower.into_iter().chain(least).max();
                upper = upper.into_iter().chain(most).min();
            };
            for (of_left, of_right) in keys {
                difference(Comparison::Equal, of_left, of_right, left_time, right_time)
                    .into_iter()
                    .for_each(&mut narrow);
            }
            let found = |condition: &Expr| match &condition.kind {
                ExprKind::Compare { comparison, left, right } => {
                    difference(*comparison, left, right, left_time, right_time)
                }
                _ => None,
            };
            rest.iter().filter_map(found).for_each(&mut narrow);
            // The nearest row before may be any time ago.
            let by_time =
                |pick: &Pick| pick.greatest && shifted(&pick.value).is_some_and(|(value, _)| same(value, right_time));
            if pick.is_some_and(by_time) {
                lower = lower.or(Some(-FOREVER));
            }
            if let (Some(lower), Some(upper)) = (lower, upper) {
                rest.retain(|condition| found(condition).is_none());
                let mut right = right_time.clone();
                right.map_columns(&|column| column - left_width);
                return Some(Within { left: left_time.clone(), right, lower, upper });
            }
        }
    }
    None
}

/// Longer than all of event time.
const FOREVER: i64 = i64::MAX / 2;

/// What a comparison says of `right_time - left_time`: how it compares with so many microseconds.
fn difference(
    comparison: Comparison,
    left: &Expr,
    right: &Expr,
    left_time: &Expr,
    right_time: &Expr,
) -> Option<(Comparison, i64)> {
    let ((first, before), (second, behind)) = (shifted(left)?, shifted(right)?);
    if !matches!(
        comparison,
        Comparison::Equal
            | Comparison::Less
            | Comparison::LessOrEqual
            | Comparison::Greater
            | Comparison::GreaterOrEqual
    ) {
        return None;
    }
    if same(first, right_time) && same(second, left_time) {
        return Some((comparison, behind.checked_sub(before)?));
    }
    if same(first, left_time) && same(second, right_time) {
        // left + before ? right + behind: the difference is compared the other way round.
        let turned = match comparison {
            Comparison::Less => Comparison::Greater,
            Comparison::LessOrEqual => Comparison::GreaterOrEqual,
            Comparison::Greater => Comparison::Less,
            Comparison::GreaterOrEqual => Comparison::LessOrEqual,
            other => other,
        };
        return Some((turned, before.checked_sub(behind)?));
    }
    None
}

/// A time, and the interval that is added to it.
fn shifted(expression: &Expr) -> Option<(&Expr, i64)> {
    match &expression.kind {
        // More digits of a second change nothing.
        ExprKind::Cast { input, .. } => match (input.data_type, expression.data_type) {
            (DataType::Timestamp { precision: from, .. }, DataType::Timestamp { precision: to, .. })
                if from <= to && input.data_type.counts_as(expression.data_type) =>
            {
                shifted(input)
            }
            _ => None,
        },
        ExprKind::Call { function, arguments } => {
            let [first, second] = &arguments[..] else { return None };
            let interval = |expression: &Expr| match (&expression.kind, expression.data_type) {
                (ExprKind::Literal(Value::I64(micros)), DataType::Interval) => Some(*micros),
                _ => None,
            };
            match (functions::name(*function), interval(first), interval(second)) {
                ("+", None, Some(micros)) => {
                    shifted(first).and_then(|(time, by)| Some((time, by.checked_add(micros)?)))
                }
                ("+", Some(micros), None) => {
                    shifted(second).and_then(|(time, by)| Some((time, by.checked_add(micros)?)))
                }
                ("-", None, Some(micros)) => {
                    shifted(first).and_then(|(time, by)| Some((time, by.checked_sub(micros)?)))
                }
                _ => expression.data_type.is_timestamp().then_some((expression, 0)),
            }
        }
        _ => expression.data_type.is_timestamp().then_some((expression, 0)),
    }
}
