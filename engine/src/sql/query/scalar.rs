//! Subqueries that give one value, as a column that every row gets.
//!
//! The subquery is planned as a table of one row, which is joined to every row. What it is used in is
//! bound once more when its column is there.
//!
//! One that names columns from outside, as `WHERE u.k = t.k`, is grouped by its own side of every such
//! equality and joined on them. A row without a group gets what the aggregates say of no rows. Where the
//! subquery is no aggregate its rows are counted, and more than one are an error when the value is needed.

use std::collections::HashMap;

use sqlparser::ast::{self, Spanned};

use super::group::Grouping;
use super::join::{Parts, sides};
use super::semi::shifted;
use super::{Planner, Relation};
use crate::error::{Code, Error, Result, Span};
use crate::expr::{Comparison, Expr};
use crate::plan::{AggregateCall, AggregateFunction, JoinKind, NodeId, Operator};
use crate::sql::expression::{Binder, at, call, case, coerce, compare, is_null, not};
use crate::sql::scope::{AGGREGATE_MARK, Scope, ScopeColumn, same, substitute};
use crate::sql::token::place;
use crate::sql::unsupported;
use crate::types::{DataType, Value};

/// A subquery that gives one value.
pub(super) struct Scalar {
    /// Where its tree lies.
    pub(super) at: usize,
    /// Its value, over the node it was joined to.
    pub(super) value: Expr,
    /// What it depends on, if it names columns from outside.
    outer: Option<Vec<Expr>>,
}

/// The values that are the same for all rows of a group by `keys`.
pub(super) fn of_groups(scalars: &[Scalar], keys: &[Expr]) -> Vec<Expr> {
    let known = |outer: &Vec<Expr>| outer.iter().all(|of| keys.iter().any(|key| same(key, of)));
    let same_for_all = |scalar: &&Scalar| scalar.outer.as_ref().is_none_or(known);
    scalars.iter().filter(same_for_all).map(|scalar| scalar.value.clone()).collect()
}

/// Whether some are the same for all rows there are.
pub(super) fn has_constant(scalars: &[Scalar]) -> bool {
    scalars.iter().any(|scalar| scalar.outer.is_none())
}

/// Most of them in one SELECT.
const MAX_SCALARS: usize = 32;

impl Planner<'_> {
    /// Plans the subqueries in `trees`, joins their values to the rows of `relation`, and says where each
    /// stands. `window` is the type of the window's bounds, where there is one.
    pub(super) fn scalars<'a>(
        &mut self,
        mut relation: Relation<'a>,
        trees: &[&'a ast::Expr],
        window: Option<DataType>,
        known: &mut Vec<Scalar>,
        ctes: &HashMap<String, &'a ast::Cte>,
    ) -> Result<Relation<'a>> {
        for tree in trees.iter().filter(|tree| tree.to_string().contains("SELECT")) {
            loop {
                let mut binder = Binder::new(&relation.scope, self.options.clock, "SELECT");
                (binder.aggregates, binder.overs, binder.window) = (true, true, window);
                binder.scalars = known.iter().map(|scalar| (scalar.at, scalar.value.clone())).collect();
                // Any other error comes again where the tree is bound for good.
                let _ = binder.bind(tree);
                let Some((at, query)) = binder.missing.take() else { break };
                if known.len() == MAX_SCALARS {
                    let error =
                        Error::new(Code::Limit, "this many subqueries in one SELECT are more than Corelane plans");
                    return Err(error.at(place(query.span())).note(format!("limit: {MAX_SCALARS}")));
                }
                let (value, outer);
                (relation, value, outer) = self.scalar(relation, &query, ctes)?;
                known.push(Scalar { at, value, outer });
            }
        }
        Ok(relation)
    }

    fn scalar<'a>(
        &mut self,
        left: Relation<'a>,
        query: &ast::Query,
        ctes: &HashMap<String, &'a ast::Cte>,
    ) -> Result<(Relation<'a>, Expr, Option<Vec<Expr>>)> {
        let span = place(query.span());
        let before = (self.plan.clone(), self.used.clone(), self.depth);
        let planned = self.query(query, ctes);
        if let Err(error) = &planned
            && matches!(error.code(), Code::UnknownColumn | Code::UnknownTable)
        {
            let error = error.clone();
            (self.plan, self.used, self.depth) = before;
            return self.correlated(left, query, error, ctes);
        }
        let Relation { node, scope, times, natural, closed, bounded, emit, .. } = planned?;
        let mut right = Relation { node, scope, times, natural, closed, window: None, bounded, emit };
        let columns = right.scope.columns.len();
        if columns != 1 {
            let error = Error::new(Code::Type, format!("the subquery gives {columns} columns, not one value"));
            return Err(error.at(span));
        }
        if !self.is_one_row(right.node) {
            return self.only_value(left, right, span);
        }
        // Without a row the value is NULL.
        self.make_columns(&mut right);
        let mut value = right.scope.columns[0].expression.clone();
        let width = self.plan.nodes[left.node].schema.fields.len();
        value.map_columns(&|column| width + column);
        let scope = left.scope.clone();
        let mut joined = self.join(left, right, JoinKind::Left, Parts::default(), span)?;
        joined.scope = scope;
        Ok((joined, value, None))
    }

    /// The value of a subquery that may give several rows: an error where there are, if it is needed.
    fn only_value<'a>(
        &mut self,
        left: Relation<'a>,
        mut right: Relation<'a>,
        span: Span,
    ) -> Result<(Relation<'a>, Expr, Option<Vec<Expr>>)> {
        let (calls, names, mut value) = only_row(right.scope.columns[0].expression.clone(), span)?;
        let types: Vec<DataType> = calls.iter().map(|call| call.data_type).collect();
        let columns = self.aggregate(&mut right, Grouping::of(Vec::new(), calls, names), span)?;
        let width = self.plan.nodes[left.node].schema.fields.len();
        let placed: Vec<Expr> = (0..types.len()).map(|n| shifted(columns.call(n, types[n]), width)).collect();
        right.scope = Scope::default();
        let scope = left.scope.clone();
        let mut joined = self.join(left, right, JoinKind::Left, Parts::default(), span)?;
        joined.scope = scope;
        substitute(&mut value, &|column| placed.get(column.checked_sub(AGGREGATE_MARK)?).cloned());
        Ok((joined, value, None))
    }

    /// A subquery that names columns from outside, or else `unknown`.
    fn correlated<'a>(
        &mut self,
        left: Relation<'a>,
        query: &ast::Query,
        unknown: Error,
        ctes: &HashMap<String, &'a ast::Cte>,
    ) -> Result<(Relation<'a>, Expr, Option<Vec<Expr>>)> {
        let span = place(query.span());
        let ast::SetExpr::Select(select) = &*query.body else { return Err(unknown) };
        let scope = left.scope.clone();
        let width = self.plan.nodes[left.node].schema.fields.len();
        let (relation, conditions) = self.separated(select, &scope, width, ctes)?;
        if conditions.is_empty() {
            return Err(unknown);
        }
        let plain_query = query.with.is_none() && query.limit_clause.is_none() && query.fetch.is_none();
        let ungrouped = matches!(&select.group_by, ast::GroupByExpr::Expressions(trees, _) if trees.is_empty());
        let plain = plain_query && ungrouped && select.having.is_none() && select.qualify.is_none();
        if !plain || select.distinct.is_some() {
            let error = unsupported("this subquery that names columns from outside is not supported", span);
            return Err(
                error.help("it may be an aggregate over FROM and WHERE: (SELECT MAX(x) FROM u WHERE u.k = t.k)")
            );
        }
        let (mut outer, mut keys) = (Vec::new(), Vec::new());
        for condition in conditions {
            let Some((of_outer, mut key)) = sides(&condition, &|column| column < width, &(width..usize::MAX)) else {
                let error =
                    unsupported("a value of rows by another comparison with outside is not supported", condition.span);
                return Err(error.help("compare with `=`, or join and group by a key of the outer row"));
            };
            key.map_columns(&|column| column - width);
            outer.push(of_outer);
            keys.push(key);
        }
        let own = relation.scope.clone();
        let mut binder = Binder::new(&own, self.options.clock, "the subquery");
        binder.aggregates = true;
        let items = self.items(select, &mut binder)?;
        let [(_, item)] = &items[..] else {
            let error = Error::new(Code::Type, format!("the subquery gives {} columns, not one value", items.len()));
            return Err(error.at(span));
        };
        let mut item = item.clone();
        let (mut calls, mut names) = (binder.calls, binder.call_names);
        if calls.is_empty() {
            (calls, names, item) = only_row(item, span)?;
        }
        let Relation { node, scope: _, times, natural, closed, bounded, emit, .. } = relation;
        let mut right = Relation { node, scope: own.clone(), times, natural, closed, window: None, bounded, emit };
        // What is said of no rows.
        let mut empty = item.clone();
        let of_calls: Vec<(AggregateFunction, DataType)> =
            calls.iter().map(|call| (call.function, call.data_type)).collect();
        substitute(&mut empty, &|column| {
            let (function, data_type) = *of_calls.get(column.checked_sub(AGGREGATE_MARK)?)?;
            let value = if function == AggregateFunction::Count { Value::I64(0) } else { Value::Null };
            Some(Expr::literal(value, data_type))
        });
        let columns = self.aggregate(&mut right, Grouping::of(keys.clone(), calls, names), span)?;
        columns.place(&mut item.clone())?;
        let give = |mut expression: Expr| -> Result<ScopeColumn> {
            columns.place(&mut expression)?;
            Ok(ScopeColumn { relation: String::new(), name: "value".to_owned(), expression, merged: false })
        };
        let mut given = Vec::new();
        for (number, (_, data_type)) in of_calls.iter().enumerate() {
            given.push(give(at(Expr::column(AGGREGATE_MARK + number, *data_type), span))?);
        }
        for key in keys {
            given.push(give(key)?);
        }
        given.push(give(at(Expr::literal(Value::I64(1), DataType::BigInt), span))?);
        right.scope = Scope { columns: given, clock: None };
        self.make_columns(&mut right);
        let mut given: Vec<Expr> =
            right.scope.columns.iter().map(|column| shifted(column.expression.clone(), width)).collect();
        let there = given.pop().expect("the mark is the last column");
        let keys = given.split_off(of_calls.len());
        let mut value = item;
        // Groups that go with no row are not looked at.
        substitute(&mut value, &|column| given.get(column.checked_sub(AGGREGATE_MARK)?).cloned());
        let mut parts = Parts::default();
        for (of_outer, key) in outer.iter().zip(keys) {
            parts.take(compare(Comparison::Equal, of_outer.clone(), key, span)?, width);
        }
        let mut joined = self.join(left, right, JoinKind::Left, parts, span)?;
        joined.scope = scope;
        let value = case(vec![(not(is_null(there)), value)], Some(empty), span)?;
        Ok((joined, value, Some(outer)))
    }

    fn is_one_row(&self, node: NodeId) -> bool {
        let this = &self.plan.nodes[node];
        match &this.operator {
            Operator::Aggregate(aggregate) => aggregate.keys.is_empty() && aggregate.window.is_none(),
            Operator::Limit { limit: Some(0 | 1), .. } => true,
            Operator::Filter(_) | Operator::Project(_) | Operator::Sort { .. } | Operator::Limit { .. } => {
                self.is_one_row(this.inputs[0])
            }
            _ => false,
        }
    }
}

/// The value of a row that must be the only one: what to compute of all rows, and the value of that, which
/// is an error where there are several.
fn only_row(value: Expr, span: Span) -> Result<(Vec<AggregateCall>, Vec<String>, Expr)> {
    let value = if value.data_type == DataType::Null { coerce(value, DataType::BigInt) } else { value };
    let call_of = |function, arguments: Vec<Expr>, data_type| AggregateCall {
        function,
        arguments,
        distinct: false,
        filter: None,
        data_type,
        span,
    };
    let data_type = value.data_type;
    let calls = vec![
        call_of(AggregateFunction::Max, vec![value], data_type),
        call_of(AggregateFunction::Count, Vec::new(), DataType::BigInt),
    ];
    let mark = |n: usize, data_type| at(Expr::column(AGGREGATE_MARK + n, data_type), span);
    let only = call("only_value", vec![mark(0, data_type), mark(1, DataType::BigInt)], span)?;
    Ok((calls, vec!["value".to_owned(), "rows".to_owned()], only))
}
