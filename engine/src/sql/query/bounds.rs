//! A window in FROM without GROUP BY: every row with the bounds of the window it is in.

use super::{Closed, Planner, Relation};
use crate::error::Result;
use crate::expr::{Expr, ExprKind};
use crate::plan::Operator;
use crate::sql::expression::call;
use crate::sql::scope::ScopeColumn;
use crate::sql::window::{self, WindowSpec};
use crate::types::{DataType, Field, Value};

impl Planner<'_> {
    /// Adds `window_start`, `window_end` and `window_time` to the rows of tumbling windows. What ranks or
    /// groups rows by these bounds does so when their window closes.
    pub(super) fn add_bounds(&mut self, relation: &mut Relation<'_>, spec: &WindowSpec<'_>) -> Result<()> {
        let scope = std::mem::take(&mut relation.scope);
        let time = self.time_of(relation, &scope, spec);
        relation.scope = scope;
        let time = time?;
        let (span, data_type) = (spec.span, time.data_type);
        let literal = |micros, data_type| Expr { span, ..Expr::literal(Value::I64(micros), data_type) };
        let size = || literal(spec.window.size, DataType::Interval);
        let start = call("date_bin", vec![size(), time, literal(spec.window.offset, data_type)], span)?;
        let mut fields = self.fields(relation.node);
        let (first, columns) = (fields.len(), fields.iter().enumerate());
        let mut columns: Vec<Expr> = columns.map(|(n, field)| Expr::column(n, field.data_type)).collect();
        columns.extend([start.clone(), call("+", vec![start, size()], span)?]);
        fields.extend(["window_start", "window_end"].map(|name| Field { name: name.to_owned(), data_type }));
        relation.node = self.add(Operator::Project(columns), relation.node, fields, span);
        let bound = |n| Expr { span, data_type, kind: ExprKind::Column(first + n) };
        let (start, end) = (bound(0), bound(1));
        let of = relation.scope.columns.first().map(|column| column.relation.clone()).unwrap_or_default();
        let added = [
            ("window_start", start.clone()),
            ("window_end", end.clone()),
            ("window_time", window::time_of(end.clone())?),
        ];
        relation.scope.columns.extend(added.map(|(name, expression)| ScopeColumn {
            relation: of.clone(),
            name: name.to_owned(),
            expression,
            merged: false,
        }));
        relation.closed = Some(Closed { window: spec.window, start, end });
        Ok(())
    }
}
