//! Aggregate calls: which there are, what they take and give.

use sqlparser::ast::{self, Spanned};

use super::expression::{Binder, at, coerce, expression_of};
use super::scope::{AGGREGATE_MARK, same};
use super::token::place;
use super::unsupported;
use crate::error::{Code, Error, Result, Span};
use crate::expr::{Expr, ExprKind};
use crate::plan::{AggregateCall, AggregateFunction};
use crate::types::{DECIMAL_DIGITS_MAX, DataType, Value};

/// The aggregates other engines have and this one does not yet.
pub(super) fn refuse(name: &str, span: Span) -> Result<()> {
    let later = [
        "approx_count_distinct",
        "arg_min",
        "arg_max",
        "string_agg",
        "listagg",
        "array_agg",
        "collect_list",
        "median",
        "percentile_cont",
        "percentile_disc",
        "approx_percentile",
        "corr",
        "covar_pop",
        "covar_samp",
        "topk",
        "uniq",
        "group_array",
        "regr_slope",
        "regr_intercept",
        "regr_r2",
    ];
    if later.contains(&name) {
        let error = unsupported(format!("the aggregate `{name}` is not supported yet"), span);
        let names: Vec<_> = crate::agg::functions::describe().map(|known| known.name).collect();
        return Err(error.note(format!("aggregates: {}", names.join(", "))));
    }
    Ok(())
}

/// What `function` takes for an argument of type `given`, and gives.
pub(super) fn types(function: AggregateFunction, given: DataType) -> Option<(DataType, DataType)> {
    let decimal = |scale| DataType::Decimal { precision: DECIMAL_DIGITS_MAX, scale };
    Some(match (function, given) {
        (AggregateFunction::Count, _) => (given, DataType::BigInt),
        (AggregateFunction::Min | AggregateFunction::Max | AggregateFunction::First | AggregateFunction::Last, _) => {
            (given, given)
        }
        (AggregateFunction::BoolAnd | AggregateFunction::BoolOr, DataType::Boolean | DataType::Null) => {
            (DataType::Boolean, DataType::Boolean)
        }
        (AggregateFunction::BoolAnd | AggregateFunction::BoolOr, _) => return None,
        (_, DataType::Null) => return types(function, DataType::BigInt),
        (AggregateFunction::Sum, given) if given.is_integer() => (given, decimal(0)),
        (AggregateFunction::Sum, DataType::Decimal { scale, .. }) => (given, decimal(scale)),
        (AggregateFunction::Avg, DataType::Decimal { scale, .. }) => (given, decimal(scale.max(6))),
        (AggregateFunction::Sum | AggregateFunction::Avg, given) if given.is_numeric() => (given, DataType::Double),
        (AggregateFunction::Sum | AggregateFunction::Avg, _) => return None,
        (_, given) if given.is_numeric() => (DataType::Double, DataType::Double),
        _ => return None,
    })
}

/// Argument and result type of `function` over `argument`, or an error at it.
pub(super) fn typed(
    name: &dyn std::fmt::Display,
    function: AggregateFunction,
    argument: Expr,
) -> Result<(Expr, DataType)> {
    let (takes, gives) = types(function, argument.data_type).ok_or_else(|| {
        let error = Error::new(Code::Type, format!("`{name}` does not take {}", argument.data_type));
        error.at(argument.span).help("CAST it to a number")
    })?;
    Ok((coerce(argument, takes), gives))
}

/// The only argument of an aggregate; `None` for `*` and constants in COUNT.
pub(super) fn argument(
    function: &ast::Function,
    kind: AggregateFunction,
    span: Span,
) -> Result<(Option<&ast::Expr>, bool)> {
    let ast::FunctionArguments::List(list) = &function.args else {
        return Err(Error::new(Code::Type, format!("`{}` takes one argument", function.name)).at(span));
    };
    if let Some(clause) = list.clauses.first() {
        return Err(unsupported(format!("`{clause}` inside an aggregate is not supported yet"), span));
    }
    if function.null_treatment.is_some() {
        return Err(unsupported("IGNORE NULLS and RESPECT NULLS are not supported yet", span));
    }
    if !function.within_group.is_empty() {
        return Err(unsupported("WITHIN GROUP is not supported yet", span));
    }
    let distinct = matches!(list.duplicate_treatment, Some(ast::DuplicateTreatment::Distinct));
    match &list.args[..] {
        [ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Wildcard)]
            if kind == AggregateFunction::Count && !distinct =>
        {
            Ok((None, false))
        }
        [] if kind == AggregateFunction::Count => Ok((None, false)),
        [one] => match expression_of(one) {
            Some(tree) => Ok((Some(tree), distinct)),
            None => Err(Error::new(Code::Type, format!("`{}` does not take this argument", function.name)).at(span)),
        },
        _ => Err(Error::new(Code::Type, format!("`{}` takes one argument", function.name)).at(span)),
    }
}

/// Collects the call; the result is its mark.
pub(super) fn call<'a>(
    binder: &mut Binder<'a>,
    function: &'a ast::Function,
    kind: AggregateFunction,
    span: Span,
) -> Result<Expr> {
    if !binder.aggregates {
        let error = Error::new(
            Code::Misplaced,
            format!("the aggregate `{}` may not stand in {}", function.name, binder.clause),
        );
        let error = error.at(span);
        return Err(if binder.clause == "WHERE" { error.help("use HAVING") } else { error });
    }
    let (tree, distinct) = argument(function, kind, span)?;
    // Inside an aggregate stand plain columns.
    let clause = std::mem::replace(&mut binder.clause, "another aggregate");
    let (aggregates, overs) = (std::mem::take(&mut binder.aggregates), std::mem::take(&mut binder.overs));
    let bound = tree.map(|tree| binder.bind(tree)).transpose();
    let filter = function.filter.as_ref().map(|tree| binder.condition(tree)).transpose();
    (binder.clause, binder.aggregates, binder.overs) = (clause, aggregates, overs);
    let (bound, filter) = (bound?, filter?);

    let extreme = matches!(kind, AggregateFunction::Min | AggregateFunction::Max);
    let (arguments, data_type) = match bound {
        None => (Vec::new(), DataType::BigInt),
        Some(Expr { kind: ExprKind::Literal(value), .. })
            if kind == AggregateFunction::Count && value != Value::Null && !distinct =>
        {
            (Vec::new(), DataType::BigInt)
        }
        Some(bound) => {
            let (bound, data_type) = typed(&function.name, kind, bound)?;
            let is_plain = matches!(bound.kind, ExprKind::Column(_) | ExprKind::Literal(_));
            let bound = match &filter {
                // What FILTER leaves out is not evaluated, so it cannot fail.
                Some(filter) if !is_plain => {
                    let span = bound.span;
                    super::expression::case(vec![(filter.clone(), bound)], None, span)?
                }
                _ => bound,
            };
            (vec![bound], data_type)
        }
    };
    let distinct = distinct && !extreme;
    let call = AggregateCall { function: kind, arguments, distinct, filter, data_type, span };
    let equal = |known: &AggregateCall| {
        let filters = match (&known.filter, &call.filter) {
            (None, None) => true,
            (Some(left), Some(right)) => same(left, right),
            _ => false,
        };
        known.function == call.function
            && known.distinct == call.distinct
            && filters
            && known.arguments.len() == call.arguments.len()
            && known.arguments.iter().zip(&call.arguments).all(|(left, right)| same(left, right))
    };
    let index = binder.calls.iter().position(equal).unwrap_or_else(|| {
        binder.calls.push(call.clone());
        binder.call_names.push(function.to_string());
        binder.calls.len() - 1
    });
    Ok(at(Expr::column(AGGREGATE_MARK + index, data_type), span.to(place(function.span()))))
}
