//! Aggregate calls: which there are, what they take and give.

mod collect;

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
    if ["collect_set", "collect", "groupuniqarray"].contains(&name) {
        return Err(
            unsupported(format!("the aggregate `{name}` is not supported"), span).help("write ARRAY_AGG(DISTINCT x)")
        );
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
        (AggregateFunction::ArgMin | AggregateFunction::ArgMax, _) => (given, given),
        (AggregateFunction::StringAgg, _) => (DataType::Text, DataType::Text),
        (AggregateFunction::PercentileDisc, DataType::Text | DataType::Null) => return None,
        (AggregateFunction::PercentileDisc, _) => (given, given),
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

/// What an aggregate is called with.
pub(super) struct Arguments<'a> {
    /// The value; `None` for `*`.
    pub value: Option<&'a ast::Expr>,
    /// The second argument, of a call that has one.
    pub second: Option<&'a ast::Expr>,
    pub distinct: bool,
    /// A share counts from the greatest value.
    pub downwards: bool,
    /// ORDER BY inside the call, or in WITHIN GROUP.
    pub order: Vec<&'a ast::OrderByExpr>,
}

/// The arguments of a call of `kind`.
pub(super) fn arguments(function: &ast::Function, kind: AggregateFunction, span: Span) -> Result<Arguments<'_>> {
    let wrong = |takes: &str| Err(Error::new(Code::Type, format!("`{}` takes {takes}", function.name)).at(span));
    let ast::FunctionArguments::List(list) = &function.args else { return wrong("arguments in parentheses") };
    let ignores = |said: &ast::NullTreatment| matches!(said, ast::NullTreatment::IgnoreNulls);
    let inside = list
        .clauses
        .iter()
        .any(|clause| matches!(clause, ast::FunctionArgumentClause::IgnoreOrRespectNulls(said) if ignores(said)));
    // All others leave NULLs out anyway.
    if kind == AggregateFunction::ArrayAgg && (inside || function.null_treatment.as_ref().is_some_and(ignores)) {
        return Err(unsupported(format!("IGNORE NULLS of `{}` is not supported", function.name), span)
            .help("write FILTER (WHERE x IS NOT NULL) behind it"));
    }
    let takes_order = matches!(kind, AggregateFunction::ArrayAgg | AggregateFunction::StringAgg);
    let mut order: Vec<&ast::OrderByExpr> = Vec::new();
    for clause in &list.clauses {
        match clause {
            ast::FunctionArgumentClause::OrderBy(items) if takes_order => order.extend(items),
            ast::FunctionArgumentClause::IgnoreOrRespectNulls(ast::NullTreatment::IgnoreNulls) => {}
            clause => return Err(unsupported(format!("`{clause}` inside an aggregate is not supported yet"), span)),
        }
    }
    let name = function.name.to_string().to_ascii_lowercase();
    let is_median = matches!(name.as_str(), "median" | "approx_median");
    let is_approximate = crate::agg::functions::is_of_different_values(&name);
    let distinct = matches!(list.duplicate_treatment, Some(ast::DuplicateTreatment::Distinct)) || is_approximate;
    let mut trees = Vec::with_capacity(list.args.len());
    for argument in &list.args {
        match (argument, expression_of(argument)) {
            (_, Some(tree)) => trees.push(tree),
            (ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Wildcard), _)
                if kind == AggregateFunction::Count && !distinct && list.args.len() == 1 =>
            {
                return Ok(Arguments { value: None, second: None, distinct, downwards: false, order });
            }
            _ => return wrong("no argument of this form"),
        }
    }
    if kind == AggregateFunction::StringAgg && order.is_empty() {
        order.extend(&function.within_group);
    } else if !function.within_group.is_empty() {
        let is_percentile = matches!(kind, AggregateFunction::PercentileCont | AggregateFunction::PercentileDisc);
        return match (&trees[..], &function.within_group[..]) {
            (&[share], [order]) if is_percentile => match order.options.sort {
                Some(ast::OrderBySort::Desc) if kind == AggregateFunction::PercentileCont => Ok(Arguments {
                    value: Some(&order.expr),
                    second: Some(share),
                    distinct,
                    downwards: true,
                    order: Vec::new(),
                }),
                Some(ast::OrderBySort::Desc) => {
                    Err(unsupported("WITHIN GROUP (ORDER BY .. DESC) is not supported yet", span)
                        .help("order upwards, and write 1 less the share"))
                }
                _ => Ok(Arguments {
                    value: Some(&order.expr),
                    second: Some(share),
                    distinct,
                    downwards: false,
                    order: Vec::new(),
                }),
            },
            _ => Err(unsupported("WITHIN GROUP is not supported here", span).help("percentiles take it")),
        };
    }
    let (value, second) = match (kind, &trees[..]) {
        (AggregateFunction::Count, []) if !distinct => (None, None),
        (AggregateFunction::StringAgg, &[value]) => (Some(value), None),
        (AggregateFunction::StringAgg, &[value, separator]) => (Some(value), Some(separator)),
        (AggregateFunction::StringAgg, _) => return wrong("text, and what to put between"),
        (AggregateFunction::PercentileCont, &[value]) if is_median => (Some(value), None),
        (AggregateFunction::PercentileCont | AggregateFunction::PercentileDisc, &[value, share]) if !is_median => {
            (Some(value), Some(share))
        }
        (AggregateFunction::MapAgg | AggregateFunction::TopK, &[value, second]) => (Some(value), Some(second)),
        (AggregateFunction::MapAgg, _) => return wrong("a key and a value"),
        (AggregateFunction::TopK, _) => return wrong("a value, and how many"),
        (kind, &[value, second]) if kind.is_of_pairs() => (Some(value), Some(second)),
        (kind, _) if kind.is_of_pairs() => return wrong("two arguments"),
        (AggregateFunction::PercentileDisc, _) => return wrong("values, and a share like 0.95"),
        (AggregateFunction::PercentileCont, _) if !is_median => return wrong("numbers, and a share like 0.95"),
        (_, &[value]) => (Some(value), None),
        _ => return wrong("one argument"),
    };
    let is_once = matches!(kind, AggregateFunction::MapAgg | AggregateFunction::TopK);
    if distinct && (kind.is_of_pairs() || is_once) {
        return Err(unsupported(format!("DISTINCT in `{}` is not supported yet", function.name), span));
    }
    Ok(Arguments { value, second, distinct, downwards: false, order })
}

/// The second argument, bound: as the first is for pairs, a literal for the others.
fn second(kind: AggregateFunction, bound: Option<Expr>, span: Span) -> Result<Option<Expr>> {
    use AggregateFunction as F;
    let literal = |value, data_type| Expr::literal(value, data_type);
    match (kind, bound) {
        (F::ArgMin | F::ArgMax, Some(bound)) if bound.data_type == DataType::Null => {
            Ok(Some(coerce(bound, DataType::BigInt)))
        }
        (F::ArgMin | F::ArgMax, bound) => Ok(bound),
        (kind, Some(bound)) if kind.is_of_pairs() => match types(kind, bound.data_type) {
            Some((takes, _)) => Ok(Some(coerce(bound, takes))),
            None => Err(Error::new(Code::Type, format!("expected a number, found {}", bound.data_type)).at(bound.span)),
        },
        (F::PercentileCont, None) => Ok(Some(literal(Value::I64(5), DataType::Decimal { precision: 1, scale: 1 }))),
        (F::StringAgg, None) => Ok(Some(literal(Value::Text(",".to_owned()), DataType::Text))),
        (F::StringAgg, Some(bound)) => match &bound.kind {
            ExprKind::Literal(Value::Text(_)) => Ok(Some(bound)),
            _ => Err(Error::new(Code::Type, "what is put between must be a constant text").at(bound.span)),
        },
        (F::PercentileCont | F::PercentileDisc, Some(bound)) => match &bound.kind {
            ExprKind::Literal(value) if crate::agg::is_share(value, bound.data_type) => Ok(Some(bound)),
            _ => {
                let error = Error::new(Code::Type, "the share must be a constant from 0 to 1").at(bound.span);
                Err(error.help("for example 0.95"))
            }
        },
        (_, None) => Ok(None),
        (_, Some(_)) => Err(Error::new(Code::Internal, "an aggregate has a second argument").at(span)),
    }
}

/// 1 less a share.
fn rest_of_share(mut share: Expr) -> Expr {
    if let ExprKind::Literal(value) = &mut share.kind {
        match value {
            Value::I64(digits) => *digits = 10i64.pow(u32::from(share.data_type.scale())) - *digits,
            Value::I128(digits) => *digits = 10i128.pow(u32::from(share.data_type.scale())) - *digits,
            Value::F64(share) => *share = 1.0 - *share,
            Value::Null | Value::Text(_) | Value::Nested(_) => {}
        }
    }
    share
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
    let Arguments { value: tree, second: second_tree, distinct, downwards, order } = arguments(function, kind, span)?;
    if kind.is_collection() || kind == AggregateFunction::StringAgg && (distinct || !order.is_empty()) {
        return collect::call(
            binder,
            function,
            kind,
            Arguments { value: tree, second: second_tree, distinct, downwards, order },
            span,
        );
    }
    // Inside an aggregate stand plain columns.
    let clause = std::mem::replace(&mut binder.clause, "another aggregate");
    let (aggregates, overs) = (std::mem::take(&mut binder.aggregates), std::mem::take(&mut binder.overs));
    let bound = tree.map(|tree| binder.bind(tree)).transpose();
    let bound_second = second_tree.map(|tree| binder.bind(tree)).transpose();
    let filter = function.filter.as_ref().map(|tree| binder.condition(tree)).transpose();
    (binder.clause, binder.aggregates, binder.overs) = (clause, aggregates, overs);
    let (bound, mut bound_second, filter) = (bound?, second(kind, bound_second?, span)?, filter?);
    if downwards {
        bound_second = bound_second.map(rest_of_share);
    }

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
            // What FILTER leaves out is not evaluated, so it cannot fail.
            let guarded = |bound: Expr| {
                let is_plain = matches!(bound.kind, ExprKind::Column(_) | ExprKind::Literal(_));
                match &filter {
                    Some(filter) if !is_plain => {
                        let span = bound.span;
                        super::expression::case(vec![(filter.clone(), bound)], None, span)
                    }
                    _ => Ok(bound),
                }
            };
            let mut bound = vec![guarded(bound)?];
            bound.extend(bound_second.map(guarded).transpose()?);
            (bound, data_type)
        }
    };
    let distinct = distinct && !extreme;
    Ok(kept(binder, function, AggregateCall { function: kind, arguments, distinct, filter, data_type, span }))
}

/// Keeps a call, equal ones once; the result is its mark.
fn kept(binder: &mut Binder<'_>, function: &ast::Function, call: AggregateCall) -> Expr {
    let (data_type, span) = (call.data_type, call.span);
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
    at(Expr::column(AGGREGATE_MARK + index, data_type), span.to(place(function.span())))
}
