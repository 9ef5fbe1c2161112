//! ARRAY_AGG, MAP_AGG, TOPK, and STRING_AGG with an order: what they keep of a row is made an item first.

use sqlparser::ast::{self, Spanned};

use super::{Arguments, kept};
use crate::error::{Code, Error, Result, Span};
use crate::expr::{Expr, ExprKind};
use crate::plan::{AggregateCall, AggregateFunction as F};
use crate::sql::expression::{self, Binder, at, case, coerce, is_null, not, text};
use crate::sql::query::sort_key;
use crate::sql::token::place;
use crate::types::{DataType, Value};

/// Collects the call; the result is its mark, or for STRING_AGG the text made of it.
pub(super) fn call<'a>(
    binder: &mut Binder<'a>,
    function: &'a ast::Function,
    kind: F,
    arguments: Arguments<'a>,
    span: Span,
) -> Result<Expr> {
    // Inside an aggregate stand plain columns.
    let clause = std::mem::replace(&mut binder.clause, "another aggregate");
    let (aggregates, overs) = (std::mem::take(&mut binder.aggregates), std::mem::take(&mut binder.overs));
    let bound = bind(binder, function, &arguments);
    (binder.clause, binder.aggregates, binder.overs) = (clause, aggregates, overs);
    let Bound { value, second, order, filter } = bound?;
    let distinct = arguments.distinct;
    let of = value.data_type;
    let keep = |function, item: Expr, rest: Vec<Expr>, data_type| -> Result<AggregateCall> {
        // What FILTER leaves out is not evaluated, so it cannot fail.
        let item = match &filter {
            Some(filter) => case(vec![(filter.clone(), item)], None, span)?,
            None => item,
        };
        let arguments = std::iter::once(item).chain(rest).collect();
        Ok(AggregateCall { function, arguments, distinct: false, filter: filter.clone(), data_type, span })
    };
    let array = if distinct { F::ArrayAggDistinct } else { F::ArrayAgg };
    let call = match (kind, second) {
        (F::MapAgg, Some(second)) => {
            let is_key = !of.is_nested() && of != DataType::Json;
            if !is_key {
                let error = Error::new(Code::Type, format!("{of} cannot be the key of a map")).at(value.span);
                return Err(error.help("CAST it to STRING"));
            }
            let data_type = DataType::map(of, second.data_type);
            let names = ["key", "value"].map(|name| text(name.to_owned(), span));
            let [key_name, value_name] = names;
            let entry = vec![key_name, value.clone(), value_name, second];
            let entry = item(expression::call("named_struct", entry, span)?, order, span)?;
            keep(kind, unless_null(value, entry, span)?, Vec::new(), data_type)?
        }
        (F::TopK, Some(second)) => {
            let ExprKind::Literal(Value::I64(1..)) = second.kind else {
                let error = Error::new(Code::Type, "how many must be a constant above 0").at(second.span);
                return Err(error.help("for example TOPK(price, 3)"));
            };
            let order = vec![value.clone(), text("desc last".to_owned(), span)];
            let first = item(value.clone(), order, span)?;
            let most = coerce(second, DataType::BigInt);
            keep(kind, unless_null(value, first, span)?, vec![most], DataType::array(of))?
        }
        (F::StringAgg, second) => {
            let separator = second.unwrap_or_else(|| text(",".to_owned(), span));
            let first = item(value.clone(), order, span)?;
            let call = keep(array, unless_null(value, first, span)?, Vec::new(), DataType::array(DataType::Text))?;
            let texts = kept(binder, function, call);
            return Ok(at(expression::call("array_join", vec![texts, separator], span)?, span));
        }
        _ => keep(array, item(value, order, span)?, Vec::new(), DataType::array(of))?,
    };
    Ok(kept(binder, function, call))
}

/// What a call is over, in columns of the input.
struct Bound {
    value: Expr,
    second: Option<Expr>,
    /// Keys, each with its way.
    order: Vec<Expr>,
    filter: Option<Expr>,
}

fn bind<'a>(binder: &mut Binder<'a>, function: &'a ast::Function, arguments: &Arguments<'a>) -> Result<Bound> {
    let typed = |bound: Expr| match bound.data_type {
        DataType::Null => coerce(bound, DataType::BigInt),
        _ => bound,
    };
    let Some(tree) = arguments.value else {
        return Err(Error::new(Code::Internal, "what is collected is nothing"));
    };
    let mut value = typed(binder.bind(tree)?);
    let is_text = crate::agg::functions::find(&function.name.to_string().to_ascii_lowercase()) == Some(F::StringAgg);
    if is_text {
        value = coerce(value, DataType::Text);
    }
    let second = arguments.second.map(|tree| binder.bind(tree)).transpose()?.map(typed);
    let mut order = Vec::new();
    for item in &arguments.order {
        let key = sort_key(item)?;
        let direction = if key.descending { "desc" } else { "asc" };
        let nulls = if key.nulls_first { "first" } else { "last" };
        order.push(typed(binder.bind(&item.expr)?));
        order.push(text(format!("{direction} {nulls}"), place(item.span())));
    }
    let filter = function.filter.as_ref().map(|tree| binder.condition(tree)).transpose()?;
    Ok(Bound { value, second, order, filter })
}

fn item(value: Expr, order: Vec<Expr>, span: Span) -> Result<Expr> {
    let arguments = std::iter::once(value).chain(order).collect();
    Ok(at(expression::call("array_item", arguments, span)?, span))
}

/// NULL where `value` is, which the aggregate leaves out.
fn unless_null(value: Expr, item: Expr, span: Span) -> Result<Expr> {
    case(vec![(not(is_null(value)), item)], None, span)
}
