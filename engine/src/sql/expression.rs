//! Scalar expressions: the parser's tree to typed [`Expr`]s.
//!
//! Special forms (CASE, BETWEEN, COALESCE, EXTRACT, ..) become the few forms that are evaluated;
//! every coercion becomes a cast; a constant takes the type of what it is compared with, so that
//! `total_amount > 396` compares two integers.

mod calendar;
mod nested;
mod similar;
mod typed;
mod zoned;

use sqlparser::ast::{self, BinaryOperator, CastKind, CeilFloorKind, InTarget, Spanned, UnaryOperator};

pub(super) use typed::{at, case, coerce, is_null, not, text, window_mark};
use typed::{binary, boolean, cast, constant, data_type, in_list, literal_as, negate_if};
pub(crate) use typed::{call, compare};

use super::aggregate;
use super::over::OverItem;
use super::query::of_call;
use super::scope::{GROUPING_MARK, Scope};
use super::token::{MAX_NESTING, place};
use super::{Clock, literal, unsupported};
use crate::agg::functions as aggregates;
use crate::error::{Code, Error, Result, Span};
use crate::expr::{Comparison, Expr, ExprKind};
use crate::plan::AggregateCall;
use crate::types::{DataType, MICROS_PER_DAY, Value};

/// Most operators of one kind of precedence in a row; the tree is this deep to the left.
const MAX_SPINE: usize = 256;
/// Most nodes of one expression, after views and aliases are written into it.
const MAX_NODES: usize = 100_000;

/// Binds the expressions of one SELECT. Aggregates and OVER calls met on the way are collected, and
/// stand in the results as marks (see [`super::scope`]).
pub(super) struct Binder<'a> {
    pub scope: &'a Scope,
    /// SELECT's aliases, tried where no column has the name.
    pub aliases: Vec<(String, &'a ast::Expr)>,
    /// Named windows.
    pub windows: &'a [ast::NamedWindowDefinition],
    /// Type of the window's bounds, where the SELECT has a window.
    pub window: Option<DataType>,
    /// Aggregates may stand here.
    pub aggregates: bool,
    /// OVER may stand here.
    pub overs: bool,
    /// The clause, for errors.
    pub clause: &'static str,
    pub clock: Clock,
    /// Subqueries that give one value, by where their trees lie, and where the value stands.
    pub scalars: Vec<(usize, Expr)>,
    /// UNNEST as an item of SELECT, by where its tree lies, and the column of its elements.
    pub unnested: Vec<(usize, Expr)>,
    /// A subquery met that is not among them.
    pub missing: Option<(usize, Box<ast::Query>)>,
    pub calls: Vec<AggregateCall>,
    pub call_names: Vec<String>,
    pub over_items: Vec<OverItem>,
    /// The arguments of every GROUPING.
    pub groupings: Vec<Vec<Expr>>,
    depth: usize,
}

impl<'a> Binder<'a> {
    pub fn new(scope: &'a Scope, clock: Clock, clause: &'static str) -> Self {
        Binder {
            scope,
            aliases: Vec::new(),
            windows: &[],
            window: None,
            aggregates: false,
            overs: false,
            clause,
            clock,
            scalars: Vec::new(),
            unnested: Vec::new(),
            missing: None,
            calls: Vec::new(),
            call_names: Vec::new(),
            over_items: Vec::new(),
            groupings: Vec::new(),
            depth: 0,
        }
    }

    /// A condition: BOOLEAN, or NULL.
    pub fn condition(&mut self, tree: &'a ast::Expr) -> Result<Expr> {
        let bound = self.bind(tree)?;
        match bound.data_type {
            DataType::Boolean => Ok(bound),
            DataType::Null => Ok(bound.cast(DataType::Boolean)),
            other => {
                let error = Error::new(Code::Type, format!("expected a condition, found {other}")).at(bound.span);
                Err(error.help("compare it with something"))
            }
        }
    }

    /// Any expression.
    pub fn bind(&mut self, tree: &'a ast::Expr) -> Result<Expr> {
        if self.depth > MAX_NESTING {
            let error = Error::new(Code::Limit, "nesting this deep is more than Corelane reads");
            return Err(error.at(place(tree.span())).note(format!("limit: {MAX_NESTING}")));
        }
        self.depth += 1;
        let bound = self.bind_tree(tree);
        self.depth -= 1;
        let mut bound = bound?;
        if bound.span == Span::NONE {
            bound.span = place(tree.span());
        }
        Ok(bound)
    }

    fn bind_tree(&mut self, tree: &'a ast::Expr) -> Result<Expr> {
        use ast::Expr as Tree;
        let span = place(tree.span());
        match tree {
            Tree::Identifier(name) => self.name(std::slice::from_ref(name)),
            Tree::CompoundIdentifier(parts) => self.name(parts),
            Tree::Nested(inner) => self.bind(inner),
            Tree::Value(value) => constant(&value.value, span),
            Tree::TypedString(typed) => {
                let text = typed.value.value.clone().into_string().unwrap_or_default();
                let data_type = match data_type(&typed.data_type, span)?.in_zone(self.clock.zone) {
                    // A literal without a precision has as many digits as are written.
                    DataType::Timestamp { precision, zone } if !typed.data_type.to_string().contains('(') => {
                        let precision = literal::second_digits(&text).clamp(precision, 6);
                        DataType::Timestamp { precision, zone }
                    }
                    other => other,
                };
                let bound = at(Expr::literal(Value::Text(text), DataType::Text), span);
                literal_as(&bound, data_type)
            }
            Tree::Interval(interval) => self.interval(tree, interval, span),
            Tree::BinaryOp { op: op @ (BinaryOperator::And | BinaryOperator::Or), .. } => self.junction(tree, op),
            Tree::BinaryOp { left, op, right } if is_row(left) || is_row(right) => self.rows(left, op, right, span),
            Tree::BinaryOp { .. } => self.spine(tree),
            Tree::UnaryOp { op, expr } => self.unary(*op, expr, span),
            Tree::IsNull(inner) => Ok(is_null(self.bind(inner)?)),
            Tree::IsNotNull(inner) => Ok(not(is_null(self.bind(inner)?))),
            Tree::IsTrue(inner) => self.is_truth(inner, true, false),
            Tree::IsNotTrue(inner) => self.is_truth(inner, true, true),
            Tree::IsFalse(inner) => self.is_truth(inner, false, false),
            Tree::IsNotFalse(inner) => self.is_truth(inner, false, true),
            Tree::IsUnknown(inner) => Ok(is_null(self.condition(inner)?)),
            Tree::IsNotUnknown(inner) => Ok(not(is_null(self.condition(inner)?))),
            Tree::IsDistinctFrom(left, right) => self.compared(Comparison::Distinct, left, right, span),
            Tree::IsNotDistinctFrom(left, right) => self.compared(Comparison::NotDistinct, left, right, span),
            Tree::Between { expr, negated, low, high } => {
                let (value, low, high) = (self.bind(expr)?, self.bind(low)?, self.bind(high)?);
                let from = compare(Comparison::GreaterOrEqual, value.clone(), low, span)?;
                let to = compare(Comparison::LessOrEqual, value, high, span)?;
                Ok(negate_if(*negated, boolean(ExprKind::And(vec![from, to]), span)))
            }
            Tree::In { expr, target: InTarget::List(list), negated, global: false } if is_row(expr) => {
                let equal = |item| self.rows(expr, &BinaryOperator::Eq, item, span);
                let any = list.iter().map(equal).collect::<Result<Vec<_>>>()?;
                Ok(negate_if(*negated, boolean(ExprKind::Or(any), span)))
            }
            Tree::In { expr, target: InTarget::List(list), negated, global: false } => {
                let input = self.bind(expr)?;
                let items = list.iter().map(|item| self.bind(item)).collect::<Result<Vec<_>>>()?;
                Ok(negate_if(*negated, in_list(input, items, span)?))
            }
            Tree::Like { negated, any: false, expr, pattern, escape_char } => {
                self.like(expr, pattern, escape_char.as_deref(), false, *negated, span)
            }
            Tree::ILike { negated, any: false, expr, pattern, escape_char } => {
                self.like(expr, pattern, escape_char.as_deref(), true, *negated, span)
            }
            Tree::SimilarTo { negated, expr, pattern, escape_char } => {
                let input = self.bind(expr)?;
                let pattern = self.bind(pattern)?;
                let escape = escape_char.as_ref().map(|tree| self.escape(tree)).transpose()?;
                similar::to(input, pattern, escape, *negated, span)
            }
            Tree::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                let trees = [expr, overlay_what, overlay_from].into_iter().chain(overlay_for);
                let arguments = trees.map(|tree| self.bind(tree)).collect::<Result<Vec<_>>>()?;
                call("overlay", arguments, span)
            }
            Tree::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref(), span)
            }
            Tree::Cast { kind, expr, data_type: target, format: None } => {
                let target = data_type(target, span)?.in_zone(self.clock.zone);
                let safe = matches!(kind, CastKind::TryCast | CastKind::SafeCast);
                let input = self.bind(expr)?;
                Ok(cast(input, target, safe))
            }
            Tree::Extract { field, expr, .. } => {
                let field = text(field.to_string().to_ascii_lowercase(), span);
                let time = self.bind(expr)?;
                call("date_part", vec![field, time], span)
            }
            Tree::AtTimeZone { timestamp, time_zone } => {
                let (time, name) = (self.bind(timestamp)?, self.bind(time_zone)?);
                zoned::at_time_zone(time, name, self.clock.zone, span)
            }
            Tree::Ceil { expr, field } => self.rounded("ceil", expr, field, span),
            Tree::Floor { expr, field } => self.rounded("floor", expr, field, span),
            Tree::Position { expr, r#in } => {
                let arguments = vec![self.bind(expr)?, self.bind(r#in)?];
                call("position", arguments, span)
            }
            Tree::Substring { expr, substring_from, substring_for, .. } => {
                let mut arguments = vec![self.bind(expr)?];
                match substring_from {
                    Some(from) => arguments.push(self.bind(from)?),
                    None => arguments.push(at(Expr::literal(Value::I64(1), DataType::Int), span)),
                }
                if let Some(length) = substring_for {
                    arguments.push(self.bind(length)?);
                }
                call("substring", arguments, span)
            }
            Tree::Trim { trim_where, trim_what, expr, trim_characters } => {
                let name = match trim_where {
                    Some(ast::TrimWhereField::Leading) => "ltrim",
                    Some(ast::TrimWhereField::Trailing) => "rtrim",
                    Some(ast::TrimWhereField::Both) | None => "trim",
                };
                let mut arguments = vec![self.bind(expr)?];
                if let Some(what) = trim_what {
                    arguments.push(self.bind(what)?);
                }
                for characters in trim_characters.iter().flatten() {
                    arguments.push(self.bind(characters)?);
                }
                call(name, arguments, span)
            }
            Tree::Function(function) => self.function(function, span),
            Tree::Subquery(query) => match self.scalars.iter().find(|(known, _)| *known == address(query)) {
                Some((_, value)) => Ok(at(value.clone(), span)),
                None => {
                    self.missing = Some((address(query), query.clone()));
                    Err(unsupported(format!("a subquery in {} is not supported yet", self.clause), span)
                        .help("a subquery that gives one value may stand in SELECT, WHERE and HAVING"))
                }
            },
            Tree::Array(array) => self.array(array, span),
            Tree::Map(map) => self.map(map, span),
            Tree::Dictionary(fields) => self.dictionary(fields, span),
            Tree::Struct { values, fields } if fields.is_empty() => self.structure(values, span),
            Tree::CompoundFieldAccess { root, access_chain } => self.access(root, access_chain, span),
            Tree::AnyOp { left, compare_op, right, .. } if !holds_query(right) => {
                self.any(left, compare_op, right, false, span)
            }
            Tree::AllOp { left, compare_op, right } if !holds_query(right) => {
                self.any(left, compare_op, right, true, span)
            }
            Tree::In { expr, target: InTarget::Unnest(array), negated, .. } => {
                Ok(negate_if(*negated, self.any(expr, &BinaryOperator::Eq, array, false, span)?))
            }
            Tree::Exists { .. } | Tree::In { .. } | Tree::AnyOp { .. } | Tree::AllOp { .. } => {
                Err(unsupported("a subquery in an expression is not supported yet", span)
                    .help("a subquery may stand in FROM, and behind IN and EXISTS among the terms of WHERE"))
            }
            Tree::Rollup(_) | Tree::Cube(_) | Tree::GroupingSets(_) => {
                Err(unsupported("ROLLUP, CUBE and GROUPING SETS stand in GROUP BY only, side by side", span)
                    .help("write all sets out: GROUPING SETS ((a, b), (a), ())"))
            }
            other => Err(unsupported(format!("`{other}` is not supported yet"), span)),
        }
    }

    fn name(&mut self, parts: &'a [ast::Ident]) -> Result<Expr> {
        let span = parts.iter().fold(Span::NONE, |span, part| span.to(place(part.span)));
        if let Some(column) = self.scope.find(parts)? {
            return Ok(at(column.expression.clone(), span));
        }
        if parts.len() > 1
            && let Some(field) = self.fields(parts)?
        {
            return Ok(at(field, span));
        }
        let last = parts.last().map_or("", |name| name.value.as_str());
        if let [name] = parts {
            let alias = self.aliases.iter().position(|(alias, _)| alias.eq_ignore_ascii_case(&name.value));
            if let Some(alias) = alias {
                // An alias does not see aliases: `SELECT a + 1 AS a` is not a circle.
                let aliases = std::mem::take(&mut self.aliases);
                let bound = self.bind(aliases[alias].1);
                self.aliases = aliases;
                return bound;
            }
        }
        if let Some(data_type) = self.window
            && let Some(bound) = super::window::pseudo_column(last, data_type, span)?
        {
            return Ok(bound);
        }
        if super::window::is_pseudo_column(last) {
            let error = self.scope.unknown(parts);
            return Err(error.help("read FROM TUMBLE(t, ts, INTERVAL '1' MINUTE) to have windows"));
        }
        // Without parentheses these are words of the grammar, not columns.
        if let [name] = parts
            && let Some(bound) = self.time_of(&name.value.to_ascii_lowercase(), span)
        {
            return Ok(bound);
        }
        Err(self.scope.unknown(parts))
    }

    /// PROCTIME(): when the row was read.
    fn clock_of_row(&self, span: Span) -> Result<Expr> {
        match &self.scope.clock {
            Some(clock) => Ok(at(clock.clone(), span)),
            // Without a table there is but one moment.
            None if self.scope.columns.is_empty() => Ok(self.time_of("now", span).expect("it is a word for now")),
            None => {
                Err(unsupported("PROCTIME() is when a row of a table is read, and these rows are made of others", span)
                    .help("take it where the table is read: FROM (SELECT *, PROCTIME() AS p FROM t)"))
            }
        }
    }

    fn time_of(&self, name: &str, span: Span) -> Option<Expr> {
        let Clock { now_us, zone } = self.clock;
        let timestamp = |zone| DataType::Timestamp { precision: 3, zone };
        let (micros, data_type) = match name {
            "current_timestamp" | "now" => (now_us, timestamp(Some(zone))),
            "localtimestamp" => (zone.reading(now_us), timestamp(None)),
            "current_date" => (zone.reading(now_us).div_euclid(MICROS_PER_DAY), DataType::Date),
            _ => return None,
        };
        Some(at(Expr::literal(Value::I64(micros), data_type), span))
    }

    /// AND and OR: a chain becomes one node.
    fn junction(&mut self, tree: &'a ast::Expr, op: &BinaryOperator) -> Result<Expr> {
        let mut trees = Vec::new();
        let mut rest = tree;
        while let ast::Expr::BinaryOp { left, op: found, right } = rest {
            if found != op {
                break;
            }
            trees.push(&**right);
            rest = left;
        }
        trees.push(rest);
        let terms = trees.into_iter().rev().map(|tree| self.condition(tree)).collect::<Result<Vec<_>>>()?;
        let span = terms.iter().fold(Span::NONE, |span, term| span.to(term.span));
        let kind = if *op == BinaryOperator::And { ExprKind::And(terms) } else { ExprKind::Or(terms) };
        Ok(boolean(kind, span))
    }

    /// Other operators; their trees are deep to the left, so the left is walked in a loop.
    fn spine(&mut self, tree: &'a ast::Expr) -> Result<Expr> {
        let mut steps = Vec::new();
        let mut rest = tree;
        while let ast::Expr::BinaryOp { left, op, right } = rest {
            if matches!(op, BinaryOperator::And | BinaryOperator::Or) {
                break;
            }
            steps.push((op, &**right));
            rest = left;
        }
        if steps.len() > MAX_SPINE {
            let error = Error::new(Code::Limit, "an expression of this many operators is more than Corelane reads");
            return Err(error.at(place(rest.span())).note(format!("limit: {MAX_SPINE} without parentheses")));
        }
        let mut bound = match (calendar::months(rest), steps.last().copied()) {
            (Some(months), Some((BinaryOperator::Plus, time))) => {
                steps.pop();
                calendar::later(self.bind(time)?, months, place(rest.span()))?
            }
            _ => self.bind(rest)?,
        };
        for (op, right) in steps.into_iter().rev() {
            let span = place(right.span());
            bound = match (op, calendar::months(right)) {
                (BinaryOperator::Plus, Some(months)) => calendar::later(bound, months, span)?,
                (BinaryOperator::Minus, Some(months)) => calendar::later(bound, months.saturating_neg(), span)?,
                _ => binary(op, bound, self.bind(right)?)?,
            };
        }
        Ok(bound)
    }

    /// `(a, b) = (c, d)`, and its opposite.
    fn rows(&mut self, left: &'a ast::Expr, op: &BinaryOperator, right: &'a ast::Expr, span: Span) -> Result<Expr> {
        let (ast::Expr::Tuple(left), ast::Expr::Tuple(right)) = (left, right) else {
            return Err(Error::new(Code::Type, "a row (a, b) is compared with another row").at(span));
        };
        if left.len() != right.len() {
            let message = format!("a row of {} values is compared with one of {}", left.len(), right.len());
            return Err(Error::new(Code::Type, message).at(span));
        }
        let negated = match op {
            BinaryOperator::Eq => false,
            BinaryOperator::NotEq => true,
            _ => return Err(unsupported(format!("`{op}` of rows is not supported"), span).help("`=`, `<>` and IN are")),
        };
        let pairs = left.iter().zip(right);
        let equal = pairs.map(|(left, right)| self.compared(Comparison::Equal, left, right, span));
        let equal = equal.collect::<Result<Vec<_>>>()?;
        Ok(negate_if(negated, boolean(ExprKind::And(equal), span)))
    }

    fn unary(&mut self, op: UnaryOperator, inner: &'a ast::Expr, span: Span) -> Result<Expr> {
        match op {
            UnaryOperator::Not => Ok(not(self.condition(inner)?)),
            UnaryOperator::Plus => self.bind(inner),
            UnaryOperator::Minus => {
                let bound = self.bind(inner)?;
                // The sign stands before what the parser gives a place to.
                let span = Span { start: bound.span.start.saturating_sub(1), end: bound.span.end };
                if let ExprKind::Literal(value) = &bound.kind
                    && let Some((value, data_type)) = literal::negated(value, bound.data_type)
                {
                    return Ok(at(Expr::literal(value, data_type), span));
                }
                call("negate", vec![bound], span)
            }
            other => Err(unsupported(format!("the operator `{other}` is not supported yet"), span)),
        }
    }

    fn is_truth(&mut self, inner: &'a ast::Expr, truth: bool, negated: bool) -> Result<Expr> {
        let condition = self.condition(inner)?;
        let span = condition.span;
        let truth = at(Expr::literal(Value::I64(i64::from(truth)), DataType::Boolean), span);
        let comparison = if negated { Comparison::Distinct } else { Comparison::NotDistinct };
        compare(comparison, condition, truth, span)
    }

    fn compared(&mut self, how: Comparison, left: &'a ast::Expr, right: &'a ast::Expr, span: Span) -> Result<Expr> {
        let (left, right) = (self.bind(left)?, self.bind(right)?);
        compare(how, left, right, span)
    }

    fn interval(&mut self, tree: &'a ast::Expr, interval: &'a ast::Interval, span: Span) -> Result<Expr> {
        let amount = match &*interval.value {
            ast::Expr::Value(value) => match &value.value {
                ast::Value::Number(amount, _) => Some(amount.clone()),
                value => value.clone().into_string(),
            },
            _ => None,
        };
        let unit = interval.leading_field.as_ref().map(|unit| unit.to_string());
        let micros = match (&amount, &unit, &interval.last_field) {
            (Some(amount), Some(unit), None) => literal::unit(unit).and_then(|unit| literal::scaled(amount, unit)),
            (Some(amount), None, None) => literal::duration(amount),
            _ => None,
        };
        match micros {
            Some(micros) => Ok(at(Expr::literal(Value::I64(micros), DataType::Interval), span)),
            None if calendar::months(tree).is_some() => {
                Err(unsupported("an interval of months or years can only be added to a time, or taken off one", span)
                    .help("for a fixed length use days: INTERVAL '30' DAY"))
            }
            None => Err(Error::new(Code::Syntax, "not an interval")
                .at(span)
                .help("for example INTERVAL '10' SECOND; units go from MICROSECOND to WEEK")),
        }
    }

    fn like(
        &mut self,
        input: &'a ast::Expr,
        pattern: &'a ast::Expr,
        escape: Option<&'a ast::Expr>,
        ignore_case: bool,
        negated: bool,
        span: Span,
    ) -> Result<Expr> {
        let input = self.bind(input)?;
        let pattern = self.bind(pattern)?;
        if !matches!(input.data_type, DataType::Text | DataType::Null) {
            let error = Error::new(Code::Type, format!("LIKE takes a STRING, found {}", input.data_type));
            return Err(error.at(input.span).help("write CAST(.. AS STRING)"));
        }
        let pattern = match pattern.kind {
            ExprKind::Literal(Value::Text(pattern)) => pattern,
            _ if escape.is_some() => {
                let error = unsupported("ESCAPE with a pattern that is not a constant is not supported", pattern.span);
                return Err(error.help("leave ESCAPE out, or write the pattern"));
            }
            _ => {
                let name = if ignore_case { "ilike" } else { "like" };
                return Ok(negate_if(negated, call(name, vec![input, pattern], span)?));
            }
        };
        let escape = match escape {
            None => None,
            Some(tree) => Some(self.escape(tree)?),
        };
        let input = Box::new(coerce(input, DataType::Text));
        Ok(negate_if(negated, boolean(ExprKind::Like { input, pattern, escape, ignore_case }, span)))
    }

    /// The character behind ESCAPE.
    fn escape(&mut self, tree: &'a ast::Expr) -> Result<char> {
        let one = match self.bind(tree)?.kind {
            ExprKind::Literal(Value::Text(text)) if text.chars().count() == 1 => text.chars().next(),
            _ => None,
        };
        one.ok_or_else(|| Error::new(Code::Syntax, "ESCAPE takes one character").at(place(tree.span())))
    }

    fn case(
        &mut self,
        operand: Option<&'a ast::Expr>,
        conditions: &'a [ast::CaseWhen],
        otherwise: Option<&'a ast::Expr>,
        span: Span,
    ) -> Result<Expr> {
        let operand = operand.map(|tree| self.bind(tree)).transpose()?;
        let mut branches = Vec::with_capacity(conditions.len());
        for when in conditions {
            let condition = match &operand {
                Some(operand) => {
                    let value = self.bind(&when.condition)?;
                    let span = value.span;
                    compare(Comparison::Equal, operand.clone(), value, span)?
                }
                None => self.condition(&when.condition)?,
            };
            branches.push((condition, self.bind(&when.result)?));
        }
        let otherwise = otherwise.map(|tree| self.bind(tree)).transpose()?;
        case(branches, otherwise, span)
    }

    fn rounded(&mut self, name: &str, inner: &'a ast::Expr, field: &CeilFloorKind, span: Span) -> Result<Expr> {
        let inner = self.bind(inner)?;
        match field {
            CeilFloorKind::DateTimeField(ast::DateTimeField::NoDateTime) => call(name, vec![inner], span),
            CeilFloorKind::DateTimeField(unit) if name == "floor" => {
                call("date_trunc", vec![text(unit.to_string().to_ascii_lowercase(), span), inner], span)
            }
            CeilFloorKind::DateTimeField(_) => {
                Err(unsupported("CEIL(.. TO ..) is not supported yet", span).help("use FLOOR(.. TO ..)"))
            }
            CeilFloorKind::Scale(scale) => {
                let scale = constant(&scale.value, place(scale.span))?;
                call(name, vec![inner, scale], span)
            }
        }
    }

    /// GROUPING(a, b): bits that say which of them the row's set does not group by.
    fn grouping(&mut self, function: &'a ast::Function, span: Span) -> Result<Expr> {
        if !self.aggregates {
            return Err(Error::new(Code::Misplaced, format!("GROUPING may not stand in {}", self.clause)).at(span));
        }
        let aggregates = std::mem::take(&mut self.aggregates);
        let of =
            plain_arguments(function, span).and_then(|trees| trees.into_iter().map(|tree| self.bind(tree)).collect());
        self.aggregates = aggregates;
        let of: Vec<Expr> = of?;
        if of.is_empty() || of.len() > 62 {
            return Err(Error::new(Code::Type, "GROUPING takes the keys it is about, up to 62").at(span));
        }
        let number = self.groupings.len();
        self.groupings.push(of);
        Ok(at(Expr::column(GROUPING_MARK + number, DataType::BigInt), span))
    }

    fn function(&mut self, function: &'a ast::Function, span: Span) -> Result<Expr> {
        let name = function.name.to_string();
        let lower = name.to_ascii_lowercase();
        let name_span = place(function.name.span());
        of_call(function)?;
        if matches!(lower.as_str(), "unnest" | "explode") {
            let known = self.unnested.iter().find(|(known, _)| *known == std::ptr::from_ref(function).addr());
            return known.map(|(_, column)| at(column.clone(), span)).ok_or_else(|| {
                unsupported(format!("`{name}` may not stand here"), name_span)
                    .help("it is a whole item of SELECT, or stands in FROM: FROM t, UNNEST(t.a) AS u(x)")
            });
        }
        if function.over.is_some() {
            return super::over::call(self, function, &lower, span);
        }
        if let Some(bound) = super::window::helper(self, &lower, name_span)? {
            return Ok(bound);
        }
        if let Some(kind) = aggregates::find(&lower) {
            return aggregate::call(self, function, kind, span.to(name_span));
        }
        if lower == "grouping" || lower == "grouping_id" {
            return self.grouping(function, name_span);
        }
        aggregate::refuse(&lower, name_span)?;
        super::over::refuse(&lower, name_span)?;
        let trees = plain_arguments(function, name_span)?;
        if name.starts_with('"')
            && let Some(row @ DataType::Row(_)) = super::parse_type(&name)
        {
            return self.typed_row(row.in_zone(self.clock.zone), &trees, span);
        }
        if trees.is_empty() {
            if let Some(bound) = self.time_of(&lower, name_span) {
                return Ok(bound);
            }
            if lower == "proctime" || lower == "now64" {
                return self.clock_of_row(name_span);
            }
        }
        let takes_unit = matches!(lower.as_str(), "timestampdiff" | "timestampadd" | "date_part" | "date_trunc")
            || trees.len() == 3 && matches!(lower.as_str(), "datediff" | "date_diff");
        let argument = |(place, tree): (usize, &&'a ast::Expr)| match tree {
            // `SECOND` is a unit here, not a column.
            ast::Expr::Identifier(word) if place == 0 && takes_unit && word.quote_style.is_none() => {
                let unit = Value::Text(word.value.to_ascii_lowercase());
                Ok(at(Expr::literal(unit, DataType::Text), span))
            }
            tree => self.bind(tree),
        };
        let mut arguments = trees.iter().enumerate().map(argument).collect::<Result<Vec<_>>>()?;
        let count = |least: usize, most: usize| {
            let fits = (least..=most).contains(&trees.len());
            let error = || Error::new(Code::Type, format!("`{name}` does not take {} arguments", trees.len()));
            if fits { Ok(()) } else { Err(error().at(name_span)) }
        };
        match lower.as_str() {
            "coalesce" | "ifnull" | "nvl" => {
                count(1, if lower == "coalesce" { usize::MAX } else { 2 })?;
                let last = arguments.pop();
                let branches = arguments.into_iter().map(|value| (not(is_null(value.clone())), value)).collect();
                case(branches, last, span)
            }
            "nanvl" => {
                count(2, 2)?;
                let mut numbers = arguments.into_iter().map(|number| coerce(number, DataType::Double));
                let (Some(number), Some(otherwise)) = (numbers.next(), numbers.next()) else { unreachable!("two") };
                let is_nan = call("isnan", vec![number.clone()], span)?;
                case(vec![(is_nan, otherwise)], Some(number), span)
            }
            "nvl2" => {
                count(3, 3)?;
                let (otherwise, result, value) = (arguments.remove(2), arguments.remove(1), arguments.remove(0));
                case(vec![(not(is_null(value)), result)], Some(otherwise), span)
            }
            "nullif" => {
                count(2, 2)?;
                let (right, left) = (arguments.remove(1), arguments.remove(0));
                let condition = compare(Comparison::Equal, left.clone(), right, span)?;
                let null = at(Expr::literal(Value::Null, left.data_type), span);
                case(vec![(condition, null)], Some(left), span)
            }
            "if" | "iif" => {
                count(2, 3)?;
                self.condition(trees[0])?;
                let otherwise = (arguments.len() == 3).then(|| arguments.remove(2));
                let (result, condition) = (arguments.remove(1), arguments.remove(0));
                case(vec![(condition, result)], otherwise, span)
            }
            _ => {
                let (meant, arguments) = zoned::of_session(&lower, arguments, self.clock.zone, name_span)?;
                // Errors say the name as it was written.
                let meant = if meant == lower { &name } else { &meant };
                let bound = call(meant, arguments, name_span)?;
                let data_type = bound.data_type.in_zone(self.clock.zone);
                Ok(Expr { span: span.to(name_span), data_type, ..bound })
            }
        }
    }
}

fn holds_query(tree: &ast::Expr) -> bool {
    match tree {
        ast::Expr::Nested(inner) => holds_query(inner),
        tree => matches!(tree, ast::Expr::Subquery(_)),
    }
}

fn is_row(tree: &ast::Expr) -> bool {
    matches!(tree, ast::Expr::Tuple(_))
}

/// Tells one tree from others.
fn address(query: &ast::Query) -> usize {
    std::ptr::from_ref(query).addr()
}

/// The arguments of a function that is called plainly: no DISTINCT, names, `*` or clauses.
pub(super) fn plain_arguments(function: &ast::Function, span: Span) -> Result<Vec<&ast::Expr>> {
    let odd = |what: &str| Err(unsupported(format!("{what} in a call of `{}` is not supported", function.name), span));
    let treats_nulls = matches!(function.null_treatment, Some(ast::NullTreatment::IgnoreNulls));
    if function.filter.is_some() || !function.within_group.is_empty() || treats_nulls {
        return Err(Error::new(Code::Misplaced, format!("`{}` is not an aggregate", function.name)).at(span));
    }
    let list = match &function.args {
        ast::FunctionArguments::None => return Ok(Vec::new()),
        ast::FunctionArguments::Subquery(_) => return odd("a subquery"),
        ast::FunctionArguments::List(list) => list,
    };
    if list.duplicate_treatment.is_some() {
        return odd("DISTINCT");
    }
    if !list.clauses.is_empty() {
        return odd("a clause");
    }
    list.args.iter().map(expression_of).collect::<Option<Vec<_>>>().map_or_else(|| odd("`*` or a named argument"), Ok)
}

/// The expression of an unnamed argument.
pub(super) fn expression_of(argument: &ast::FunctionArg) -> Option<&ast::Expr> {
    match argument {
        ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(tree)) => Some(tree),
        _ => None,
    }
}
