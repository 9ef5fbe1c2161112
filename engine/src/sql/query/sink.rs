//! The end of a query: the sink, the order of its rows, and when they leave.

use super::{Natural, Planner, Relation};
use crate::error::{Code, Error, Result, Span};
use crate::expr::{Expr, ExprKind};
use crate::plan::changes::{self, Changelog, Net};
use crate::plan::{Emit, Node, NodeId, Operator, Plan, Sink, SinkOrder, SortKey};
use crate::sql::statement::Said;
use crate::sql::{Dialect, Table, unsupported};
use crate::types::Field;

/// A form of changes and where it was asked for; columns that tell rows apart.
type Asked = (Option<(Changelog, Span)>, Option<Vec<usize>>);

impl Planner<'_> {
    /// The end of a query: output columns first, then those that only order.
    pub(super) fn sink(
        &mut self,
        mut relation: Relation<'_>,
        table: Option<String>,
        emit: Option<(Emit, Span)>,
        span: Span,
    ) -> Result<()> {
        let (asked, key) = self.asked_changes(table.as_deref(), &relation)?;
        let emit = emit.or(relation.emit);
        let (chosen, form) = self.choose_emit(&relation, emit, asked)?;
        let every_us = match emit {
            Some((Emit::Periodic(micros), _)) => Some(micros),
            _ => None,
        };
        if let Some((Emit::Delayed(micros), span)) = emit {
            self.delay(relation.node, micros, span)?;
        }
        let changelog = form.map(|form| Net { key, form, spread: false, every_us });
        self.check_rhythm(changelog.as_ref(), emit.map_or(span, |(_, span)| span))?;
        if form.is_none() && chosen != Some(Emit::Changes) {
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
        let sink = Sink { number: self.emits.len(), table, visible, order, partitioned_by, changelog };
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

    /// The form of changes that the table written to says, and where its key stands in the result.
    fn asked_changes(&self, table: Option<&str>, relation: &Relation<'_>) -> Result<Asked> {
        let table = table.and_then(|name| self.used.iter().find(|table| table.name.eq_ignore_ascii_case(name)));
        let Some(table) = table else { return Ok((None, None)) };
        // Flink's name for the format says the form as well.
        let debezium = table.option("format").filter(|format| format.value.eq_ignore_ascii_case("debezium-json"));
        if let (None, Some(format)) = (table.option("changelog"), debezium) {
            return Ok((Some((Changelog::Debezium, format.span)), self.key_of(table, relation)?));
        }
        let form = table.option("changelog").map(|option| {
            let form = Changelog::parse(&option.value).ok_or_else(|| {
                let known = Changelog::ALL.map(|(name, _)| name).join(", ");
                let error = Error::new(Code::BadOption, format!("there is no changelog `{}`", option.value));
                error.at(option.span).help(format!("one of: {known}"))
            });
            form.map(|form| (form, option.span))
        });
        Ok((form.transpose()?, self.key_of(table, relation)?))
    }

    /// Where the columns of a table's PRIMARY KEY stand in the result.
    fn key_of(&self, table: &Table, relation: &Relation<'_>) -> Result<Option<Vec<usize>>> {
        let column = |(name, span): &(String, Span)| {
            let found = relation.scope.columns.iter().position(|column| column.name.eq_ignore_ascii_case(name));
            found.ok_or_else(|| Error::new(Code::UnknownColumn, format!("column `{name}` not found")).at(*span))
        };
        let key = table.primary_key.iter().map(column).collect::<Result<Vec<usize>>>()?;
        Ok((!key.is_empty()).then_some(key))
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
        for (&column, (name, span)) in columns.iter().zip(by) {
            let data_type = fields[column].data_type;
            if data_type.is_nested() {
                let error = Error::new(Code::Type, format!("`{name}` is {data_type}, which names no folder"));
                return Err(error.at(*span).help("partition by a field or an element of it"));
            }
        }
        match by.first() {
            Some((_, span)) if columns.len() == fields.len() => {
                let error = Error::new(Code::Misplaced, "PARTITIONED BY leaves no column to write").at(*span);
                Err(error.help("its columns name folders and are not in the files; keep at least one out of it"))
            }
            _ => Ok(columns),
        }
    }

    /// When results leave, and in what form changes do; `None` where rows only come anyway.
    fn choose_emit(
        &mut self,
        relation: &Relation<'_>,
        emit: Said,
        asked: Option<(Changelog, Span)>,
    ) -> Result<(Option<Emit>, Option<Changelog>)> {
        let said = emit.map(|(emit, _)| emit);
        let span = emit.map(|(_, span)| span);
        let form = match said {
            Some(Emit::Changelog) => Some(Changelog::Operations),
            Some(Emit::Periodic(_)) => Some(Changelog::Values),
            _ => None,
        };
        let asked = asked.or(form.zip(span));
        let is_settled = changes::is_settled(&self.plan, relation.node);
        let answer = self.answer(relation.node);
        let windowed = answer.aggregate.is_some_and(|node| self.is_windowed(node));
        let updates = matches!(self.options.dialect, Dialect::RisingWave | Dialect::Ksql);
        let usual = if updates || !(relation.bounded || is_settled) { Emit::Changes } else { Emit::Final };
        let form = asked.map(|(form, _)| form);
        let chosen = match said.or(form.map(|_| Emit::Changes)).or(self.options.emit).unwrap_or(usual) {
            Emit::Changelog | Emit::Periodic(_) => Emit::Changes,
            Emit::Delayed(_) => Emit::Final,
            chosen => chosen,
        };
        if is_settled && (form.is_some() || answer.aggregate.is_none()) {
            // Rows only come, whatever is asked for; but a window that is open has no result yet.
            if let (Some(Emit::Changes | Emit::Changelog | Emit::Periodic(_)), true, Some(_), Some(span)) =
                (said, windowed, form, span)
            {
                let error = unsupported("changes of open windows have the form of new rows only", span);
                return Err(error.help("leave EMIT CHANGES out: then closed windows leave, once"));
            }
            return Ok((answer.aggregate.map(|_| Emit::Final), form));
        }
        if let (Some((_, span)), Emit::Final) = (asked, chosen) {
            let error = Error::new(Code::Misplaced, "EMIT FINAL gives no changes, so they have no form").at(span);
            return Err(error.help("use EMIT CHANGES, or leave the form out"));
        }
        match chosen {
            Emit::Final if !is_settled && !relation.bounded => {
                let span = span.unwrap_or(self.plan.nodes[relation.node].span);
                let error = unsupported("FINAL without a window over endless input would never give a row", span);
                Err(error.help("use EMIT CHANGES or a window"))
            }
            Emit::Final => {
                if let Some(span) = self.kept_for_a_time(relation.node) {
                    let error = unsupported("STATE_TTL is for results in changes: at the end all rows count", span);
                    return Err(error.help("add EMIT CHANGES, or leave the hint out"));
                }
                Ok((answer.aggregate.map(|_| Emit::Final), None))
            }
            // An aggregate over rows that only come, right under the output: a row out per row in.
            _ if answer.is_plain(&self.plan) && form.is_none() => {
                let node = answer.aggregate.expect("it is an aggregate");
                if self.options.ordered && self.scans_under(self.plan.nodes[node].inputs[0]).len() > 1 {
                    let error =
                        unsupported("EMIT CHANGES of a UNION has no order of arrival", self.plan.nodes[node].span);
                    return Err(error.help("leave --ordered out"));
                }
                self.emit_by_row(node);
                Ok((Some(Emit::Changes), None))
            }
            _ if is_settled => {
                let blocked = answer.through.first().copied().unwrap_or("SESSION windows");
                match span {
                    Some(span) => {
                        let what = format!("EMIT CHANGES with {blocked} is not supported yet");
                        Err(unsupported(what, span).help("use EMIT FINAL"))
                    }
                    None => Ok((answer.aggregate.map(|_| Emit::Final), None)),
                }
            }
            _ if self.options.ordered => {
                let span = span.unwrap_or(self.plan.nodes[relation.node].span);
                let error = unsupported("--ordered is for results of a row out per row in", span);
                Err(error.help("leave it out: the changes of a turn leave together"))
            }
            _ => Ok((Some(Emit::Changes), Some(form.unwrap_or(Changelog::Values)))),
        }
    }

    /// Has the watermark of all that `node` is made of stay behind by `micros` more.
    pub(super) fn delay(&mut self, node: NodeId, micros: i64, span: Span) -> Result<()> {
        let (mut nodes, mut seen, mut any) = (vec![node], vec![false; self.plan.nodes.len()], false);
        while let Some(node) = nodes.pop() {
            if std::mem::replace(&mut seen[node], true) {
                continue;
            }
            nodes.extend(&self.plan.nodes[node].inputs);
            if let Operator::Scan(scan) = &self.plan.nodes[node].operator {
                any |= scan.late.is_some() || scan.clock.is_some();
                self.add_grace(node, micros);
            }
        }
        if any {
            return Ok(());
        }
        let error = Error::new(Code::Misplaced, "a DELAY is for results that wait for a watermark").at(span);
        Err(error.help("use a window over event time or PROCTIME(), or leave the delay out"))
    }

    /// All sinks of changes answer together.
    fn check_rhythm(&self, changelog: Option<&Net>, span: Span) -> Result<()> {
        let Some(own) = changelog else { return Ok(()) };
        let differs = |node: &Node| {
            let Operator::Sink(Sink { changelog: Some(other), .. }) = &node.operator else { return false };
            other.every_us != own.every_us
        };
        if self.plan.nodes.iter().any(differs) {
            let error = unsupported("results of one script that leave at different times are not supported", span);
            return Err(error.help("say the same EMIT PERIODIC in all statements, or run them apart"));
        }
        Ok(())
    }

    /// Where a join under `node` stands that keeps rows for a time only.
    fn kept_for_a_time(&self, node: NodeId) -> Option<Span> {
        let this = &self.plan.nodes[node];
        match &this.operator {
            Operator::Join(join) if join.keep.iter().any(Option::is_some) => Some(this.span),
            _ => this.inputs.iter().find_map(|&input| self.kept_for_a_time(input)),
        }
    }

    fn is_windowed(&self, node: NodeId) -> bool {
        matches!(&self.plan.nodes[node].operator, Operator::Aggregate(aggregate) if aggregate.window.is_some())
    }

    /// Has an aggregate give a row out for every row in.
    fn emit_by_row(&mut self, node: NodeId) {
        if let Operator::Aggregate(aggregate) = &mut self.plan.nodes[node].operator {
            aggregate.emit = Emit::Changes;
        }
    }

    /// What stands between a query's end and its last aggregate.
    fn answer(&self, mut node: NodeId) -> Answer {
        let mut through = Vec::new();
        loop {
            match &self.plan.nodes[node].operator {
                Operator::Aggregate(_) => return Answer { aggregate: Some(node), through },
                Operator::Filter(_) | Operator::Project(_) | Operator::Limit { .. } => {}
                Operator::Over(_) => through.push("OVER"),
                Operator::Rank(_) => through.push("a rank"),
                Operator::Sort { .. } => through.push("ORDER BY"),
                Operator::Unnest(_) => through.push("UNNEST"),
                Operator::Repeat { .. } => through.push("INTERSECT or EXCEPT"),
                _ => return Answer { aggregate: None, through },
            }
            node = self.plan.nodes[node].inputs[0];
        }
    }
}

/// What a query ends in.
struct Answer {
    /// The last aggregate, where one alone decides.
    aggregate: Option<NodeId>,
    /// What stands above it and needs all of its results.
    through: Vec<&'static str>,
}

impl Answer {
    /// Whether it is an aggregate of settled rows, with calls, right under the output.
    fn is_plain(&self, plan: &Plan) -> bool {
        let Some(node) = self.aggregate.filter(|_| self.through.is_empty()) else { return false };
        let Operator::Aggregate(aggregate) = &plan.nodes[node].operator else { return false };
        let is_session = aggregate.window.is_some_and(|(window, _)| window.is_session());
        !is_session && !aggregate.calls.is_empty() && changes::is_settled(plan, plan.nodes[node].inputs[0])
    }
}
