//! Subqueries that give one value, as a column that every row gets.
//!
//! The subquery is planned as a table of one row, which is joined to every row. What it is used in is
//! bound once more when its column is there.

use std::collections::HashMap;

use sqlparser::ast::{self, Spanned};

use super::join::Parts;
use super::{Planner, Relation};
use crate::error::{Code, Error, Result};
use crate::expr::Expr;
use crate::plan::{JoinKind, NodeId, Operator};
use crate::sql::expression::Binder;
use crate::sql::token::place;
use crate::sql::unsupported;
use crate::types::DataType;

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
        known: &mut Vec<(usize, Expr)>,
        ctes: &HashMap<String, &'a ast::Cte>,
    ) -> Result<Relation<'a>> {
        for tree in trees.iter().filter(|tree| tree.to_string().contains("SELECT")) {
            loop {
                let mut binder = Binder::new(&relation.scope, self.options.clock, "SELECT");
                (binder.aggregates, binder.overs, binder.window) = (true, true, window);
                binder.scalars.clone_from(known);
                // Any other error comes again where the tree is bound for good.
                let _ = binder.bind(tree);
                let Some((at, query)) = binder.missing.take() else { break };
                if known.len() == MAX_SCALARS {
                    let error =
                        Error::new(Code::Limit, "this many subqueries in one SELECT are more than Corelane plans");
                    return Err(error.at(place(query.span())).note(format!("limit: {MAX_SCALARS}")));
                }
                let value;
                (relation, value) = self.scalar(relation, &query, ctes)?;
                known.push((at, value));
            }
        }
        Ok(relation)
    }

    fn scalar<'a>(
        &mut self,
        left: Relation<'a>,
        query: &ast::Query,
        ctes: &HashMap<String, &'a ast::Cte>,
    ) -> Result<(Relation<'a>, Expr)> {
        let span = place(query.span());
        let Relation { node, scope, times, natural, closed, bounded, emit, .. } = self.query(query, ctes)?;
        let mut right = Relation { node, scope, times, natural, closed, window: None, bounded, emit };
        let columns = right.scope.columns.len();
        if columns != 1 {
            let error = Error::new(Code::Type, format!("the subquery gives {columns} columns, not one value"));
            return Err(error.at(span));
        }
        if !self.is_one_row(right.node) {
            let error = unsupported("a subquery that may give several rows is not supported as a value", span);
            return Err(error.help("take an aggregate without GROUP BY: (SELECT MAX(x) FROM t)"));
        }
        // Without a row the value is NULL.
        self.make_columns(&mut right);
        let mut value = right.scope.columns[0].expression.clone();
        let width = self.plan.nodes[left.node].schema.fields.len();
        value.map_columns(&|column| width + column);
        let scope = left.scope.clone();
        let mut joined = self.join(left, right, JoinKind::Left, Parts::default(), span)?;
        joined.scope = scope;
        Ok((joined, value))
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
