//! The end of a query: the sink, the order of its rows, and when they leave.

use super::{Natural, Planner, Relation};
use crate::error::{Code, Error, Result, Span};
use crate::expr::{Expr, ExprKind};
use crate::plan::{Emit, JoinKind, Operator, Sink, SinkOrder, SortKey};
use crate::sql::{Dialect, unsupported};
use crate::types::Field;

impl Planner<'_> {
    /// The end of a query: output columns first, then those that only order.
    pub(super) fn sink(
        &mut self,
        mut relation: Relation<'_>,
        table: Option<String>,
        emit: Option<(Emit, Span)>,
        span: Span,
    ) -> Result<()> {
        let chosen = self.choose_emit(&relation, emit.or(relation.emit))?;
        if chosen != Some(Emit::Changes) {
            self.settle(&mut relation, span)?;
        }
        let visible = relation.scope.columns.len();
        let mut fields = Vec::with_capacity(visible);
        let mut columns = Vec::with_capacity(visible);
        for column in relation.scope.columns {
            fields.push(Field { name: column.name, data_type: column.expression.data_type });
            columns.push(column.expression);
        }
        let types = self.fields(relation.node);
        let mut hidden = |column: usize| {
            let found = columns.iter().position(|known| known.kind == ExprKind::Column(column));
            found.unwrap_or_else(|| {
                fields.push(types[column].clone());
                columns.push(Expr::column(column, types[column].data_type));
                columns.len() - 1
            })
        };
        let order = match (&relation.natural, chosen) {
            (_, Some(Emit::Changes)) if self.options.ordered => SinkOrder::Ordinal,
            (_, Some(Emit::Changes)) => SinkOrder::Arrival,
            (Natural::Position, _) => SinkOrder::Position,
            (Natural::Unordered { .. }, _) => SinkOrder::Arrival,
            (Natural::Time(column), _) => {
                let key = SortKey { column: hidden(*column), descending: false, nulls_first: false };
                SinkOrder::Columns { keys: vec![key], time_first: true, then_position: true }
            }
            (Natural::Keys { keys, time_first }, _) => {
                let keys = keys.iter().map(|key| SortKey { column: hidden(key.column), ..key.clone() }).collect();
                SinkOrder::Columns { keys, time_first: *time_first, then_position: false }
            }
        };
        let input = self.add(Operator::Project(columns), relation.node, fields.clone(), span);
        let partitioned_by = self.partition_columns(table.as_deref(), &fields[..visible])?;
        let sink = Sink { number: self.emits.len(), table, visible, order, partitioned_by };
        self.add(Operator::Sink(sink), input, fields, span);
        self.emits.push(chosen);
        Ok(())
    }

    /// An order for rows that come from several inputs: that of their time, else, at the end, of all
    /// their columns.
    fn settle(&mut self, relation: &mut Relation<'_>, span: Span) -> Result<()> {
        let unordered = matches!(relation.natural, Natural::Unordered { .. });
        if !unordered || self.put_in_order(relation) || !relation.bounded {
            return Ok(());
        }
        let ascending = SortKey { column: 0, descending: false, nulls_first: false };
        let columns = relation.scope.columns.iter();
        let keys = columns.map(|column| (column.expression.clone(), ascending.clone())).collect();
        self.sort(relation, keys, None, span)
    }

    /// Where the columns of PARTITIONED BY stand in the result.
    fn partition_columns(&self, table: Option<&str>, fields: &[Field]) -> Result<Vec<usize>> {
        let table = table.and_then(|name| self.used.iter().find(|table| table.name.eq_ignore_ascii_case(name)));
        let by = table.map_or(&[][..], |table| &table.partitioned_by);
        let position = |(name, span): &(String, Span)| {
            fields.iter().position(|field| field.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
                let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
                let error = Error::new(Code::UnknownColumn, format!("column `{name}` not found")).at(*span);
                error.note(format!("columns: {}", names.join(", ")))
            })
        };
        let columns: Vec<usize> = by.iter().map(position).collect::<Result<_>>()?;
        match by.first() {
            Some((_, span)) if columns.len() == fields.len() => {
                let error = Error::new(Code::Misplaced, "PARTITIONED BY leaves no column to write").at(*span);
                Err(error.help("its columns name folders and are not in the files; keep at least one out of it"))
            }
            _ => Ok(columns),
        }
    }

    /// Sets the emit mode of the last aggregation; `None` where there is none.
    fn choose_emit(&mut self, relation: &Relation<'_>, emit: Option<(Emit, Span)>) -> Result<Option<Emit>> {
        let mut node = relation.node;
        let mut through = Vec::new();
        let windowed = loop {
            match &self.plan.nodes[node].operator {
                Operator::Aggregate(aggregate) => {
                    if aggregate.window.is_some_and(|(window, _)| window.is_session()) {
                        through.push("SESSION windows");
                    }
                    break Some(aggregate.window.is_some());
                }
                Operator::Scan(_) | Operator::Join(_) | Operator::Union(_) => break None,
                operator => {
                    through.push(match operator {
                        Operator::Over(_) => "OVER",
                        Operator::Rank(_) => "a rank",
                        Operator::Sort { .. } => "ORDER BY",
                        Operator::Repeat { .. } => "INTERSECT or EXCEPT",
                        _ => "",
                    });
                    node = self.plan.nodes[node].inputs[0];
                }
            }
        };
        let said = emit.map(|(emit, _)| emit);
        let ranked = through.contains(&"a rank");
        if windowed.is_none() && ranked && said == Some(Emit::Changes) {
            let span = emit.map_or(Span::NONE, |(_, span)| span);
            return Err(unsupported("EMIT CHANGES with a rank is not supported yet", span).help("use EMIT FINAL"));
        }
        if let (None, Operator::Join(join), Some((Emit::Changes, span))) =
            (windowed, &self.plan.nodes[node].operator, emit)
            && !matches!(join.kind, JoinKind::Inner | JoinKind::Semi)
            && join.within.is_none()
        {
            // A pair is a pair for ever; a row without a partner may get one until the end.
            let error = unsupported("EMIT CHANGES of an outer join without a bound in time is not supported yet", span);
            return Err(error.help("use EMIT FINAL, or bound how far apart in time rows may be"));
        }
        if let (None, Operator::Union(_), Some((Emit::Changes, span))) =
            (windowed, &self.plan.nodes[node].operator, emit)
            && self.has_groups(node)
        {
            let error = unsupported("EMIT CHANGES of a UNION of groups is not supported yet", span);
            return Err(error.help("use EMIT FINAL, or group the UNION itself"));
        }
        let Some(windowed) = windowed else { return Ok(None) };
        let updates = matches!(self.options.dialect, Dialect::RisingWave | Dialect::Ksql);
        let usual = if updates || !(relation.bounded || windowed) { Emit::Changes } else { Emit::Final };
        let blocked = through.iter().find(|through| !through.is_empty());
        let chosen = match (said.or(self.options.emit).unwrap_or(usual), blocked) {
            (Emit::Changes, Some(what)) if said.is_some() => {
                let span = emit.map_or(Span::NONE, |(_, span)| span);
                return Err(
                    unsupported(format!("EMIT CHANGES with {what} is not supported yet"), span).help("use EMIT FINAL")
                );
            }
            (Emit::Changes, Some(_)) => Emit::Final,
            (chosen, _) => chosen,
        };
        if chosen == Emit::Final && !windowed && !relation.bounded {
            let span = emit.map_or(self.plan.nodes[node].span, |(_, span)| span);
            let error = unsupported("FINAL without a window over endless input would never give a row", span);
            return Err(error.help("use EMIT CHANGES or a window"));
        }
        if let (Emit::Changes, true) = (chosen, self.options.ordered)
            && self.scans_under(self.plan.nodes[node].inputs[0]).len() > 1
        {
            let error = unsupported("EMIT CHANGES of a UNION has no order of arrival", self.plan.nodes[node].span);
            return Err(error.help("leave --ordered out"));
        }
        if let Operator::Aggregate(aggregate) = &mut self.plan.nodes[node].operator {
            if chosen == Emit::Changes && aggregate.calls.is_empty() {
                return Err(unsupported("EMIT CHANGES with DISTINCT is not supported yet", self.plan.nodes[node].span));
            }
            aggregate.emit = chosen;
        }
        Ok(Some(chosen))
    }
}
