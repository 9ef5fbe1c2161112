//! Typed expressions put together from typed parts: coercions, comparisons, literals.

use sqlparser::ast::{self, BinaryOperator};

use super::MAX_NODES;
use super::zoned::over_readings;
use crate::error::{Code, Error, Result, Span};
use crate::expr::{Comparison, Expr, ExprKind, functions};
use crate::sql::functions::nearest_function;
use crate::sql::scope::WINDOW_MARK;
use crate::sql::{literal, types, unsupported};
use crate::types::{DataType, Value};

/// The expression at a place, unless it has one.
pub(in crate::sql) fn at(mut bound: Expr, span: Span) -> Expr {
    bound.span = span;
    bound
}

pub(in crate::sql) fn boolean(kind: ExprKind, span: Span) -> Expr {
    Expr { kind, data_type: DataType::Boolean, span }
}

pub(in crate::sql) fn text(value: String, span: Span) -> Expr {
    at(Expr::literal(Value::Text(value), DataType::Text), span)
}

pub(in crate::sql) fn is_null(input: Expr) -> Expr {
    let span = input.span;
    boolean(ExprKind::IsNull(Box::new(input)), span)
}

pub(in crate::sql) fn not(input: Expr) -> Expr {
    let span = input.span;
    match input.kind {
        ExprKind::Not(inner) => *inner,
        _ => boolean(ExprKind::Not(Box::new(input)), span),
    }
}

pub(in crate::sql) fn negate_if(negated: bool, input: Expr) -> Expr {
    if negated { not(input) } else { input }
}

/// A literal of the script.
pub(in crate::sql) fn constant(value: &ast::Value, span: Span) -> Result<Expr> {
    let (value, data_type) = match value {
        ast::Value::Number(digits, _) => literal::number(digits).ok_or_else(|| {
            Error::new(Code::Limit, "a number of more digits than Corelane holds")
                .at(span)
                .note("limit: 38 digits; write 1e40 for a DOUBLE")
        })?,
        ast::Value::Boolean(truth) => (Value::I64(i64::from(*truth)), DataType::Boolean),
        ast::Value::Null => (Value::Null, DataType::Null),
        ast::Value::SingleQuotedString(text)
        | ast::Value::EscapedStringLiteral(text)
        | ast::Value::UnicodeStringLiteral(text)
        | ast::Value::NationalStringLiteral(text) => (Value::Text(text.clone()), DataType::Text),
        ast::Value::DollarQuotedString(quoted) => (Value::Text(quoted.value.clone()), DataType::Text),
        ast::Value::Placeholder(name) => {
            return Err(unsupported(format!("the parameter `{name}` is not supported"), span).help("write the value"));
        }
        other => return Err(unsupported(format!("the literal {other} is not supported"), span)),
    };
    Ok(at(Expr::literal(value, data_type), span))
}

/// A type written in an expression.
pub(in crate::sql) fn data_type(tree: &ast::DataType, span: Span) -> Result<DataType> {
    crate::sql::parse_type(&tree.to_string())
        .ok_or_else(|| unsupported(format!("the type {tree} is not supported"), span).note(types::NAMES))
}

/// A scalar function or operator with arguments cast to what it takes.
pub(crate) fn call(name: &str, arguments: Vec<Expr>, span: Span) -> Result<Expr> {
    let given: Vec<DataType> = arguments.iter().map(|argument| argument.data_type).collect();
    let literals: Vec<Option<&Value>> = arguments.iter().map(|argument| literal(argument)).collect();
    let resolved = functions::resolve(name, &given, &literals).map_err(|error| {
        let is_unknown = error.code() == Code::UnknownFunction;
        let error = error.at(span);
        match nearest_function(name).filter(|_| is_unknown) {
            Some(known) => error.help(format!("did you mean `{known}`?")),
            None => error,
        }
    })?;
    let whole = arguments.iter().fold(span, |span, argument| span.to(argument.span));
    let arguments = arguments.into_iter().zip(resolved.arguments).map(|(argument, to)| coerce(argument, to)).collect();
    let kind = ExprKind::Call { function: resolved.function, arguments };
    let bound = Expr { kind, data_type: resolved.returns, span: whole };
    check_size(&bound)?;
    over_readings(bound)
}

/// The value of a constant argument, which some functions' types depend on.
pub(in crate::sql) fn literal(argument: &Expr) -> Option<&Value> {
    match &argument.kind {
        ExprKind::Literal(value) => Some(value),
        _ => None,
    }
}

/// Views and aliases are written into their users: without a limit `x + x` over itself explodes.
pub(in crate::sql) fn check_size(bound: &Expr) -> Result<()> {
    fn count(bound: &Expr, budget: &mut usize) -> bool {
        *budget = budget.saturating_sub(1);
        *budget > 0 && bound.children().into_iter().all(|child| count(child, budget))
    }
    if count(bound, &mut MAX_NODES.clone()) {
        return Ok(());
    }
    let error = Error::new(Code::Limit, "the expression is larger than Corelane plans").at(bound.span);
    Err(error.note(format!("limit: {MAX_NODES} operators and operands, with views written in")))
}

pub(in crate::sql) fn binary(op: &BinaryOperator, left: Expr, right: Expr) -> Result<Expr> {
    let span = left.span.to(right.span);
    let comparison = match op {
        BinaryOperator::Eq => Comparison::Equal,
        BinaryOperator::NotEq => Comparison::NotEqual,
        BinaryOperator::Lt => Comparison::Less,
        BinaryOperator::LtEq => Comparison::LessOrEqual,
        BinaryOperator::Gt => Comparison::Greater,
        BinaryOperator::GtEq => Comparison::GreaterOrEqual,
        BinaryOperator::Spaceship => Comparison::NotDistinct,
        BinaryOperator::PGRegexMatch => return matched(left, right, false, false, span),
        BinaryOperator::PGRegexIMatch => return matched(left, right, true, false, span),
        BinaryOperator::PGRegexNotMatch => return matched(left, right, false, true, span),
        BinaryOperator::PGRegexNotIMatch => return matched(left, right, true, true, span),
        BinaryOperator::Plus => return call("+", vec![left, right], span),
        BinaryOperator::Minus => return call("-", vec![left, right], span),
        BinaryOperator::Multiply => return call("*", vec![left, right], span),
        BinaryOperator::Divide => return call("/", vec![left, right], span),
        BinaryOperator::Modulo => return call("%", vec![left, right], span),
        BinaryOperator::Arrow => return call("->", vec![left, right], span),
        BinaryOperator::LongArrow => return call("->>", vec![left, right], span),
        BinaryOperator::BitwiseAnd => return call("&", vec![left, right], span),
        BinaryOperator::BitwiseOr => return call("|", vec![left, right], span),
        BinaryOperator::PGBitwiseShiftLeft => return call("<<", vec![left, right], span),
        BinaryOperator::PGBitwiseShiftRight => return call(">>", vec![left, right], span),
        BinaryOperator::StringConcat => return call("||", vec![left, right], span),
        other => return Err(unsupported(format!("the operator `{other}` is not supported yet"), span)),
    };
    compare(comparison, left, right, span)
}

/// `text ~ pattern` and its kin.
fn matched(subject: Expr, pattern: Expr, ignore_case: bool, negated: bool, span: Span) -> Result<Expr> {
    let pattern = match pattern.kind {
        ExprKind::Literal(Value::Text(pattern)) if ignore_case => text(format!("(?i){pattern}"), span),
        _ if ignore_case => call("||", vec![text("(?i)".to_owned(), span), pattern], span)?,
        _ => pattern,
    };
    Ok(negate_if(negated, call("regexp_like", vec![subject, pattern], span)?))
}

/// A literal as another type, or an error at it.
pub(in crate::sql) fn literal_as(bound: &Expr, to: DataType) -> Result<Expr> {
    let ExprKind::Literal(value) = &bound.kind else { return Ok(coerce(bound.clone(), to)) };
    match literal::convert(value, bound.data_type, to) {
        Some(value) => Ok(at(Expr::literal(value, to), bound.span)),
        None => {
            let shown = match value {
                Value::Text(text) => format!("'{text}'"),
                _ => "this".to_owned(),
            };
            let error = Error::new(Code::Type, format!("{shown} is not a {to}")).at(bound.span);
            Err(match to {
                DataType::Timestamp { .. } => error.help("write it as '2026-01-02 03:04:05.678'"),
                DataType::Date => error.help("write it as '2026-01-02'"),
                DataType::Interval => error.help("write it as INTERVAL '10' SECOND"),
                _ => error,
            })
        }
    }
}

/// `bound` as type `to`: literals are converted now where nothing is lost, all else gets a cast.
pub(in crate::sql) fn coerce(bound: Expr, to: DataType) -> Expr {
    cast(bound, to, false)
}

pub(in crate::sql) fn cast(bound: Expr, to: DataType, safe: bool) -> Expr {
    if bound.data_type == to {
        return bound;
    }
    if let ExprKind::Literal(value) = &bound.kind
        && let Some(value) = literal::convert(value, bound.data_type, to)
    {
        return at(Expr::literal(value, to), bound.span);
    }
    let span = bound.span;
    Expr { kind: ExprKind::Cast { input: Box::new(bound), safe }, data_type: to, span }
}

pub(in crate::sql) fn is_literal(bound: &Expr) -> bool {
    matches!(bound.kind, ExprKind::Literal(_))
}

/// Both sides in one type: a literal takes the other side's where it can.
pub(in crate::sql) fn together(left: Expr, right: Expr) -> Result<(Expr, Expr)> {
    if left.data_type == right.data_type {
        return Ok((left, right));
    }
    if is_literal(&right) && !is_literal(&left) {
        return adopt(left, right);
    }
    if is_literal(&left) && !is_literal(&right) {
        return adopt(right, left).map(|(right, left)| (left, right));
    }
    if is_literal(&left) && left.data_type == DataType::Text {
        return Ok((literal_as(&left, right.data_type)?, right));
    }
    if is_literal(&right) && right.data_type == DataType::Text {
        let right = literal_as(&right, left.data_type)?;
        return Ok((left, right));
    }
    let Some(meet) = types::common(left.data_type, right.data_type) else {
        let message = format!("{} and {} cannot be compared", left.data_type, right.data_type);
        let error = Error::new(Code::Type, message).at(left.span.to(right.span));
        return Err(error.help("CAST one side to the other's type"));
    };
    Ok((coerce(left, meet), coerce(right, meet)))
}

/// `other` beside a literal: the literal in the other's type, if that is exact.
pub(in crate::sql) fn adopt(other: Expr, literal: Expr) -> Result<(Expr, Expr)> {
    let ExprKind::Literal(value) = &literal.kind else { return together(other, literal) };
    if literal.data_type == DataType::Text && other.data_type != DataType::Null {
        let literal = literal_as(&literal, other.data_type)?;
        return Ok((other, literal));
    }
    if let Some(value) = literal::convert(value, literal.data_type, other.data_type) {
        let literal = at(Expr::literal(value, other.data_type), literal.span);
        return Ok((other, literal));
    }
    let Some(meet) = types::common(other.data_type, literal.data_type) else {
        let message = format!("{} and {} cannot be compared", other.data_type, literal.data_type);
        let error = Error::new(Code::Type, message).at(other.span.to(literal.span));
        return Err(error.help("CAST one side to the other's type"));
    };
    Ok((coerce(other, meet), coerce(literal, meet)))
}

pub(crate) fn compare(comparison: Comparison, left: Expr, right: Expr, span: Span) -> Result<Expr> {
    let (left, right) = together(left, right)?;
    // A bare NULL on both sides still needs a type to be compared in.
    let meet = if left.data_type == DataType::Null { DataType::Boolean } else { left.data_type };
    let (left, right) = (Box::new(coerce(left, meet)), Box::new(coerce(right, meet)));
    Ok(boolean(ExprKind::Compare { comparison, left, right }, span))
}

pub(in crate::sql) fn in_list(input: Expr, items: Vec<Expr>, span: Span) -> Result<Expr> {
    let mut list = Vec::with_capacity(items.len());
    let mut list_has_null = false;
    for item in &items {
        match &item.kind {
            ExprKind::Literal(Value::Null) => list_has_null = true,
            ExprKind::Literal(_) => match adopt(input.clone(), item.clone())? {
                (same, Expr { kind: ExprKind::Literal(value), .. }) if same == input => list.push(value),
                _ => list.clear(),
            },
            _ => {}
        }
    }
    let constants = items.iter().filter(|item| !matches!(item.kind, ExprKind::Literal(Value::Null))).count();
    if list.len() == constants && constants > 0 && !is_literal(&input) {
        return Ok(boolean(ExprKind::InList { input: Box::new(input), list, list_has_null }, span));
    }
    let equal = |item: Expr| {
        let null = |of: DataType| at(Expr::literal(Value::Null, of), item.span);
        match (&input.kind, &item.kind) {
            (_, ExprKind::Literal(Value::Null)) => {
                compare(Comparison::Equal, input.clone(), null(input.data_type), span)
            }
            (ExprKind::Literal(Value::Null), _) => compare(Comparison::Equal, null(item.data_type), item, span),
            _ => compare(Comparison::Equal, input.clone(), item, span),
        }
    };
    let mut terms = items.into_iter().map(equal).collect::<Result<Vec<_>>>()?;
    Ok(if terms.len() == 1 { terms.remove(0) } else { boolean(ExprKind::Or(terms), span) })
}

/// CASE, with all results in one type.
pub(in crate::sql) fn case(branches: Vec<(Expr, Expr)>, otherwise: Option<Expr>, span: Span) -> Result<Expr> {
    let results = branches.iter().map(|(_, result)| result).chain(&otherwise);
    let mut meet = DataType::Null;
    for result in results {
        meet = types::common(meet, result.data_type).ok_or_else(|| {
            let message = format!("the results are {meet} and {}", result.data_type);
            Error::new(Code::Type, message).at(result.span).help("CAST one to the other's type")
        })?;
    }
    if branches.is_empty() {
        return Ok(otherwise.map_or_else(|| at(Expr::literal(Value::Null, meet), span), |only| coerce(only, meet)));
    }
    let branches = branches.into_iter().map(|(condition, result)| (condition, coerce(result, meet))).collect();
    let otherwise = otherwise.map(|result| Box::new(coerce(result, meet)));
    Ok(Expr { kind: ExprKind::Case { branches, otherwise }, data_type: meet, span })
}

/// The mark of the window's start (0) or end (1).
pub(in crate::sql) fn window_mark(which: usize, data_type: DataType, span: Span) -> Expr {
    at(Expr::column(WINDOW_MARK + which, data_type), span)
}
