//! Event time as a query sees it: which columns follow the watermark, and what that asks of the scan.

use super::{Planner, Relation};
use crate::error::{Code, Error, Result};
use crate::expr::{Expr, ExprKind};
use crate::plan::{Late, NodeId, Operator, Scan};
use crate::sql::expression::Binder;
use crate::sql::scope::{Scope, same};
use crate::sql::unsupported;
use crate::sql::window::{self, WindowSpec};
use crate::types::{DataType, Field};

impl Planner<'_> {
    /// The event time a window is over.
    pub(super) fn time_of(
        &mut self,
        relation: &mut Relation<'_>,
        scope: &Scope,
        spec: &WindowSpec<'_>,
    ) -> Result<Expr> {
        let time = match spec.column {
            Some(tree) => Binder::new(scope, self.options.clock, "a window").bind(window::descriptor(tree)?)?,
            None => relation.times.first().cloned().ok_or_else(|| {
                let error =
                    Error::new(Code::Type, "the table has no WATERMARK, so the window has no time").at(spec.span);
                error.help(
                    "declare WATERMARK FOR ts AS ts - INTERVAL '2' SECOND, or name PROCTIME() as the window's time",
                )
            })?,
        };
        if !self.follow_clock(relation, scope, &time)? {
            self.check_time(relation, scope, &time, "windows are")?;
        }
        if !time.data_type.is_timestamp() {
            let error = Error::new(Code::Type, format!("the window's time is {}, not TIMESTAMP", time.data_type));
            return Err(error.at(time.span).help("compute one: ts AS TO_TIMESTAMP_LTZ(epoch_ms, 3)"));
        }
        Ok(time)
    }

    /// The type of PROCTIME().
    pub(super) fn clock_type(&self) -> DataType {
        DataType::Timestamp { precision: 3, zone: Some(self.options.clock.zone) }
    }

    /// Has the clock be the watermark of `relation` if `time` is when its rows were read; false if it is not.
    pub(super) fn follow_clock(&mut self, relation: &mut Relation<'_>, scope: &Scope, time: &Expr) -> Result<bool> {
        if !scope.clock.as_ref().is_some_and(|clock| same(clock, time)) {
            return Ok(false);
        }
        let scans = self.scans_under(relation.node);
        let mut is_free = !scans.is_empty();
        for scan in scans {
            if let Operator::Scan(scan) = &mut self.plan.nodes[scan].operator {
                is_free &= scan.late.is_none();
                scan.clock.get_or_insert_default();
            }
        }
        if !is_free {
            let error = unsupported("PROCTIME() needs rows straight from a table to go by here", time.span);
            return Err(error.help("use it below joins, aggregates and OVER, or go by event time"));
        }
        relation.times = vec![time.clone()];
        Ok(true)
    }

    pub(super) fn check_time(&self, relation: &Relation<'_>, scope: &Scope, time: &Expr, what: &str) -> Result<()> {
        if relation.times.iter().any(|known| same(known, time)) {
            return Ok(());
        }
        let name =
            |time: &Expr| scope.columns.iter().find(|column| same(&column.expression, time)).map(|c| c.name.clone());
        if let Some(known) = relation.times.first() {
            let error = unsupported(format!("{what} over the watermark column only"), time.span);
            return Err(match name(known) {
                Some(name) => error.help(format!("use `{name}`")),
                None => error,
            });
        }
        if !relation.bounded {
            let error = Error::new(Code::Type, "an endless table without WATERMARK has no event time").at(time.span);
            return Err(error.help("declare WATERMARK FOR ts AS ts - INTERVAL '2' SECOND"));
        }
        Ok(())
    }

    pub(super) fn add_grace(&mut self, node: NodeId, grace: i64) {
        for scan in self.scans_under(node) {
            match &mut self.plan.nodes[scan].operator {
                Operator::Scan(Scan { clock: Some(clock), .. }) => {
                    clock.delay_us = clock.delay_us.saturating_add(grace);
                }
                Operator::Scan(Scan { event_time: Some(event_time), .. }) => {
                    event_time.delay_us = event_time.delay_us.saturating_add(grace);
                }
                _ => {}
            }
        }
    }

    /// The scans whose rows reach `node` one by one.
    pub(super) fn scans_under(&self, node: NodeId) -> Vec<NodeId> {
        let mut scans = Vec::new();
        crate::plan::scans_under(&self.plan, node, &mut scans);
        scans
    }

    /// Rows of `relation` are late when `late` says so, where they have a time in common.
    pub(super) fn judge(&mut self, relation: &Relation<'_>, late: Late) {
        if relation.times.is_empty() {
            return;
        }
        for scan in self.scans_under(relation.node) {
            match &mut self.plan.nodes[scan].operator {
                Operator::Scan(Scan { clock: Some(clock), .. }) => {
                    clock.waits.get_or_insert(late);
                }
                Operator::Scan(Scan { event_time: Some(event_time), late: own, .. }) => {
                    // A row at the watermark is late, so without a delay the first row of all would be, and any that
                    // shares its time with the one before.
                    if late == Late::Row && event_time.delay_us == 0 {
                        event_time.delay_us = 1;
                    }
                    own.get_or_insert(late);
                }
                _ => {}
            }
        }
    }

    /// `expression` as a column of the relation's node; a projection is put in where it is none.
    pub(super) fn column_of(&mut self, relation: &mut Relation<'_>, expression: &Expr, name: &str) -> usize {
        if let ExprKind::Column(column) = expression.kind {
            return column;
        }
        let mut fields = self.fields(relation.node);
        let mut columns: Vec<Expr> =
            fields.iter().enumerate().map(|(n, field)| Expr::column(n, field.data_type)).collect();
        columns.push(expression.clone());
        fields.push(Field { name: name.to_owned(), data_type: expression.data_type });
        relation.node = self.add(Operator::Project(columns), relation.node, fields, expression.span);
        self.plan.nodes[relation.node].schema.fields.len() - 1
    }
}
