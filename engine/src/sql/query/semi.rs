//! Subqueries in WHERE: IN, EXISTS, ANY and ALL, with or without NOT, as joins that only ask for a partner.
//!
//! A subquery may name columns of the query it stands in. Its conditions are told apart by that: those
//! that the subquery's own tables answer stay inside, the others become what the join is on.
//!
//! `x NOT IN (..)` holds only if the subquery gives no row, or `x` is not NULL, none of its rows is, and
//! none is `x`. So behind the join that finds no partner there is one with a single row that counts them.

use std::collections::HashMap;

use sqlparser::ast::{self, Spanned};

use super::group::Grouping;
use super::join::{Parts, conjuncts};
use super::scalar::Scalar;
use super::{Planner, Relation};
use crate::error::{Code, Error, Result, Span};
use crate::expr::{Comparison, Expr, ExprKind};
use crate::plan::{AggregateCall, AggregateFunction, JoinKind};
use crate::sql::expression::{Binder, at, compare, is_null};
use crate::sql::scope::{Scope, ScopeColumn};
use crate::sql::token::place;
use crate::sql::unsupported;
use crate::types::{DataType, Value};

/// A term of WHERE that holds a subquery.
pub(super) enum Subquery<'a> {
    In { input: &'a ast::Expr, query: &'a ast::Query, negated: bool, span: Span },
    Exists { query: &'a ast::Query, negated: bool, span: Span },
    Quantified { compared: Compared<'a>, query: &'a ast::Query, not: bool, span: Span },
}

/// A value that is compared with those of a subquery, and what makes one of these a partner.
#[derive(Clone, Copy)]
pub(super) struct Compared<'a> {
    input: &'a ast::Expr,
    comparison: Comparison,
    partner: Partner,
}

/// What a comparison must be for its row to be a partner.
#[derive(Clone, Copy)]
enum Partner {
    True,
    False,
    NotTrue,
    NotFalse,
}

impl Partner {
    fn condition(self, compared: Expr) -> Result<Expr> {
        let span = compared.span;
        let (how, truth) = match self {
            Partner::True => return Ok(compared),
            Partner::False => (Comparison::NotDistinct, 0),
            Partner::NotTrue => (Comparison::Distinct, 1),
            Partner::NotFalse => (Comparison::Distinct, 0),
        };
        compare(how, compared, at(Expr::literal(Value::I64(truth), DataType::Boolean), span), span)
    }
}

/// `input op ANY (query)` and `input op ALL (query)`, as a term that must be TRUE: then one of the rows is as it is
/// said, or none is not.
fn quantified<'a>(
    input: &'a ast::Expr,
    op: &ast::BinaryOperator,
    query: &'a ast::Query,
    all: bool,
    negated: bool,
    span: Span,
) -> Option<Subquery<'a>> {
    use ast::BinaryOperator as Op;
    let comparison = match op {
        Op::Eq => Comparison::Equal,
        Op::NotEq => Comparison::NotEqual,
        Op::Lt => Comparison::Less,
        Op::LtEq => Comparison::LessOrEqual,
        Op::Gt => Comparison::Greater,
        Op::GtEq => Comparison::GreaterOrEqual,
        _ => return None,
    };
    let (partner, not) = match (all, negated) {
        (false, false) => (Partner::True, false),
        (false, true) => (Partner::NotFalse, true),
        (true, false) => (Partner::NotTrue, true),
        (true, true) => (Partner::False, false),
    };
    Some(match (comparison, all) {
        (Comparison::Equal, false) => Subquery::In { input, query, negated, span },
        (Comparison::NotEqual, true) => Subquery::In { input, query, negated: !negated, span },
        _ if matches!(input, ast::Expr::Tuple(_)) => return None,
        _ => Subquery::Quantified { compared: Compared { input, comparison, partner }, query, not, span },
    })
}

/// The terms of WHERE that all must hold, those with a subquery apart.
pub(super) fn terms<'a>(tree: &'a ast::Expr, plain: &mut Vec<&'a ast::Expr>, subqueries: &mut Vec<Subquery<'a>>) {
    // A chain of ANDs is deep to the left.
    let mut rest = Some(tree);
    let mut found = Vec::new();
    while let Some(tree) = rest.take() {
        match tree {
            ast::Expr::BinaryOp { left, op: ast::BinaryOperator::And, right } => {
                found.push(&**right);
                rest = Some(left);
            }
            tree => found.push(tree),
        }
    }
    for tree in found.into_iter().rev() {
        match (subquery(tree, false), tree) {
            (Some(subquery), _) => subqueries.push(subquery),
            (None, ast::Expr::Nested(inner))
                if matches!(&**inner, ast::Expr::BinaryOp { op: ast::BinaryOperator::And, .. }) =>
            {
                terms(inner, plain, subqueries);
            }
            (None, tree) => plain.push(tree),
        }
    }
}

fn subquery(tree: &ast::Expr, not: bool) -> Option<Subquery<'_>> {
    let span = place(tree.span());
    match tree {
        ast::Expr::Nested(inner) => subquery(inner, not),
        ast::Expr::UnaryOp { op: ast::UnaryOperator::Not, expr } => subquery(expr, !not),
        ast::Expr::In { expr, target: ast::InTarget::Subquery(query), negated, .. } => {
            Some(Subquery::In { input: expr, query, negated: *negated != not, span })
        }
        ast::Expr::AnyOp { left, compare_op, right, .. } => match &**right {
            ast::Expr::Subquery(query) => quantified(left, compare_op, query, false, not, span),
            _ => None,
        },
        ast::Expr::AllOp { left, compare_op, right } => match &**right {
            ast::Expr::Subquery(query) => quantified(left, compare_op, query, true, not, span),
            _ => None,
        },
        ast::Expr::Exists { subquery, negated } => {
            Some(Subquery::Exists { query: subquery, negated: *negated != not, span })
        }
        _ => None,
    }
}

impl Planner<'_> {
    /// FROM and WHERE.
    pub(super) fn source<'a>(
        &mut self,
        select: &'a ast::Select,
        plain: &[&'a ast::Expr],
        subqueries: &[Subquery<'a>],
        ctes: &HashMap<String, &'a ast::Cte>,
    ) -> Result<Relation<'a>> {
        let span = place(select.span());
        // A value that a subquery gives is a column of the tables joined, so its terms come later.
        let holds_query = |tree: &&ast::Expr| tree.to_string().contains("SELECT");
        let (valued, plain): (Vec<&ast::Expr>, Vec<&ast::Expr>) = plain.iter().copied().partition(holds_query);
        let plain = &plain[..];
        let mut relation = match &select.from[..] {
            [first, rest @ ..] if !rest.is_empty() || !first.joins.is_empty() => {
                self.joined(&select.from, plain, ctes)?
            }
            list => {
                let mut relation = self.from(list, ctes, span)?;
                for tree in plain {
                    let condition = Binder::new(&relation.scope, self.options.clock, "WHERE").condition(tree)?;
                    self.filter(&mut relation, condition)?;
                }
                relation
            }
        };
        let mut scalars = Vec::new();
        relation = self.scalars(relation, &valued, None, &mut scalars, ctes)?;
        for tree in valued {
            let mut binder = Binder::new(&relation.scope, self.options.clock, "WHERE");
            binder.scalars = scalars.iter().map(|scalar: &Scalar| (scalar.at, scalar.value.clone())).collect();
            let condition = binder.condition(tree)?;
            self.filter(&mut relation, condition)?;
        }
        for subquery in subqueries {
            relation = match subquery {
                Subquery::In { input, query, negated: false, span } => {
                    let compared = Compared { input, comparison: Comparison::Equal, partner: Partner::True };
                    self.exists(relation, query, Some(compared), false, *span, ctes)?
                }
                Subquery::In { input, query, negated: true, span } => {
                    self.not_in(relation, query, input, *span, ctes)?
                }
                Subquery::Quantified { compared, query, not, span } => {
                    self.exists(relation, query, Some(*compared), *not, *span, ctes)?
                }
                Subquery::Exists { query, negated, span } => {
                    self.exists(relation, query, None, *negated, *span, ctes)?
                }
            };
        }
        Ok(relation)
    }

    /// Rows of `left` that have a partner in the subquery (`not`: that have none); with a value to compare, one whose
    /// value compares so.
    fn exists<'a>(
        &mut self,
        left: Relation<'a>,
        query: &'a ast::Query,
        compared: Option<Compared<'a>>,
        not: bool,
        span: Span,
        ctes: &HashMap<String, &'a ast::Cte>,
    ) -> Result<Relation<'a>> {
        let kind = if not { JoinKind::Anti } else { JoinKind::Semi };
        let scope = left.scope.clone();
        let width = self.plan.nodes[left.node].schema.fields.len();
        let (right, mut conditions) = match self.related(query, &scope, width, ctes)? {
            Some(related) => related,
            None => (self.query(query, ctes)?, Vec::new()),
        };
        if let Some(Compared { input, comparison, partner }) = compared {
            let inputs = match input {
                ast::Expr::Tuple(inputs) if inputs.len() == right.scope.columns.len() => &inputs[..],
                input => std::slice::from_ref(input),
            };
            if inputs.len() == 1 {
                one_column(&right, span)?;
            }
            for (input, column) in inputs.iter().zip(&right.scope.columns) {
                let input = Binder::new(&scope, self.options.clock, "WHERE").bind(input)?;
                let value = shifted(column.expression.clone(), width);
                conditions.extend(conjuncts(partner.condition(compare(comparison, input, value, span)?)?));
            }
        }
        self.partner(left, right, kind, conditions, span)
    }

    fn partner<'a>(
        &mut self,
        left: Relation<'a>,
        right: Relation<'a>,
        kind: JoinKind,
        conditions: Vec<Expr>,
        span: Span,
    ) -> Result<Relation<'a>> {
        let scope = left.scope.clone();
        let width = self.plan.nodes[left.node].schema.fields.len();
        let mut parts = Parts::default();
        conditions.into_iter().for_each(|condition| parts.take(condition, width));
        let mut joined = self.join(left, right, kind, parts, span)?;
        joined.scope = scope;
        Ok(joined)
    }

    fn not_in<'a>(
        &mut self,
        left: Relation<'a>,
        query: &'a ast::Query,
        input: &'a ast::Expr,
        span: Span,
        ctes: &HashMap<String, &'a ast::Cte>,
    ) -> Result<Relation<'a>> {
        let scope = left.scope.clone();
        let width = self.plan.nodes[left.node].schema.fields.len();
        let (plan, used) = (self.plan.clone(), self.used.clone());
        let related = self.related(query, &scope, width, ctes)?;
        (self.plan, self.used) = (plan, used);
        if related.is_some_and(|(_, conditions)| !conditions.is_empty()) {
            let error =
                unsupported("NOT IN with a subquery that names columns from outside is not supported yet", span);
            return Err(error.help("write NOT EXISTS (SELECT .. WHERE .. AND a = b)"));
        }
        let mut input = Binder::new(&scope, self.options.clock, "WHERE").bind(input)?;
        let values = self.query(query, ctes)?;
        let value = one_column(&values, span)?;
        let equal = compare(Comparison::Equal, input.clone(), shifted(value, width), span)?;
        let left = self.partner(left, values, JoinKind::Anti, vec![equal], span)?;
        // All rows of the subquery, and those that are not NULL, in one row.
        let mut counted = self.query(query, ctes)?;
        let value = one_column(&counted, span)?;
        let count = |arguments| AggregateCall {
            function: AggregateFunction::Count,
            arguments,
            distinct: false,
            filter: None,
            data_type: DataType::BigInt,
            span,
        };
        let calls = vec![count(Vec::new()), count(vec![value])];
        let names = vec!["rows".to_owned(), "values".to_owned()];
        self.aggregate(&mut counted, Grouping::of(Vec::new(), calls, names), span)?;
        counted.scope = Scope::default();
        let width = self.plan.nodes[left.node].schema.fields.len();
        let column = |number: usize| at(Expr::column(width + number, DataType::BigInt), span);
        let zero = at(Expr::literal(Value::I64(0), DataType::BigInt), span);
        input.span = span;
        let some = compare(Comparison::Greater, column(0), zero, span)?;
        let nulls = compare(Comparison::Greater, column(0), column(1), span)?;
        let boolean = |kind| Expr { kind, data_type: DataType::Boolean, span };
        let unknown = boolean(ExprKind::Or(vec![boolean(ExprKind::And(vec![is_null(input), some])), nulls]));
        self.partner(left, counted, JoinKind::Anti, vec![unknown], span)
    }

    /// A plain subquery and which of its conditions name columns of `outer`: those are over its `width`
    /// columns followed by the subquery's. `None` for one that is more than FROM and WHERE.
    fn related<'a>(
        &mut self,
        query: &'a ast::Query,
        outer: &Scope,
        width: usize,
        ctes: &HashMap<String, &'a ast::Cte>,
    ) -> Result<Option<(Relation<'a>, Vec<Expr>)>> {
        let ast::SetExpr::Select(select) = &*query.body else { return Ok(None) };
        let plain_query = query.with.is_none() && query.limit_clause.is_none() && query.fetch.is_none();
        let ungrouped = matches!(&select.group_by, ast::GroupByExpr::Expressions(trees, _) if trees.is_empty());
        if !plain_query || !ungrouped || select.having.is_some() || select.qualify.is_some() {
            return Ok(None);
        }
        let (plan, used) = (self.plan.clone(), self.used.clone());
        let (mut relation, conditions) = self.separated(select, outer, width, ctes)?;
        let now = self.options.clock;
        // What the subquery selects: a value for IN. Aggregates make it another kind of query.
        let inner = relation.scope.clone();
        let mut binder = Binder::new(&inner, now, "the subquery");
        binder.aggregates = true;
        let items = self.items(select, &mut binder);
        if !binder.calls.is_empty() {
            if conditions.is_empty() {
                (self.plan, self.used) = (plan, used);
                return Ok(None);
            }
            let error = unsupported(
                "an aggregate in a subquery that names columns from outside is not supported yet",
                place(query.span()),
            );
            return Err(error.help("join with a subquery that groups by those columns"));
        }
        let items = items?;
        relation.scope = Scope {
            clock: None,
            columns: items
                .into_iter()
                .map(|(name, expression)| ScopeColumn { relation: String::new(), name, expression, merged: false })
                .collect(),
        };
        Ok(Some((relation, conditions)))
    }

    /// FROM and WHERE of a subquery: its rows by the conditions that its own tables answer, and the others
    /// over the `width` columns of `outer` followed by its own.
    pub(super) fn separated<'a>(
        &mut self,
        select: &'a ast::Select,
        outer: &Scope,
        width: usize,
        ctes: &HashMap<String, &'a ast::Cte>,
    ) -> Result<(Relation<'a>, Vec<Expr>)> {
        let (mut trees, mut subqueries) = (Vec::new(), Vec::new());
        if let Some(tree) = &select.selection {
            terms(tree, &mut trees, &mut subqueries);
        }
        // The tables' own names first: what they do not know is from outside.
        let (plan, used) = (self.plan.clone(), self.used.clone());
        let own = self.source(select, &[], &[], ctes)?;
        (self.plan, self.used) = (plan.clone(), used.clone());
        let now = self.options.clock;
        let (mut inside, mut outside) = (Vec::new(), Vec::new());
        for tree in trees {
            match Binder::new(&own.scope, now, "WHERE").condition(tree) {
                Err(error) if matches!(error.code(), Code::UnknownColumn | Code::UnknownTable) => outside.push(tree),
                _ => inside.push(tree),
            }
        }
        let relation = self.source(select, &inside, &subqueries, ctes)?;
        let mut both = Scope::default();
        for column in &outer.columns {
            let shadowed = |name: &str| relation.scope.columns.iter().any(|own| own.name.eq_ignore_ascii_case(name));
            let hidden = relation
                .scope
                .columns
                .iter()
                .any(|own| !own.relation.is_empty() && own.relation.eq_ignore_ascii_case(&column.relation));
            if !hidden {
                both.columns.push(ScopeColumn { merged: column.merged || shadowed(&column.name), ..column.clone() });
            }
        }
        for column in &relation.scope.columns {
            both.columns.push(ScopeColumn { expression: shifted(column.expression.clone(), width), ..column.clone() });
        }
        let mut conditions = Vec::new();
        for tree in outside {
            conditions.extend(conjuncts(Binder::new(&both, now, "WHERE").condition(tree)?));
        }
        Ok((relation, conditions))
    }
}

pub(super) fn shifted(mut expression: Expr, by: usize) -> Expr {
    expression.map_columns(&|column| column + by);
    expression
}

/// The only column that a subquery gives.
fn one_column(relation: &Relation<'_>, span: Span) -> Result<Expr> {
    match &relation.scope.columns[..] {
        [column] => Ok(column.expression.clone()),
        columns => {
            let error =
                Error::new(Code::Type, format!("the subquery behind IN gives {} columns, not one", columns.len()));
            Err(error.at(span).help("select the column that is compared"))
        }
    }
}
