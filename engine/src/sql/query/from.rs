//! FROM: tables, files, views, subqueries and windows over them, to a node and the names it brings.

use std::collections::HashMap;

use sqlparser::ast::{self, Spanned};

use super::{Natural, Planner, Relation, clauses, unnest};
use crate::error::{Code, Error, Result, Span};
use crate::expr::Expr;
use crate::plan::{Emit, EventTime, Metadata, Operator, ReadOrder, Scan, ScanColumn};
use crate::sql::expression::{Binder, coerce};
use crate::sql::prepass::is_soft;
use crate::sql::scope::{CLOCK_NAME, Scope, ScopeColumn, same};
use crate::sql::suggest::did_you_mean;
use crate::sql::token::place;
use crate::sql::{Table, TableReference, unsupported, window};
use crate::types::{Field, Schema};

impl Planner<'_> {
    pub(super) fn from<'a>(
        &mut self,
        list: &'a [ast::TableWithJoins],
        ctes: &HashMap<String, &'a ast::Cte>,
        span: Span,
    ) -> Result<Relation<'a>> {
        match list {
            [] => self.nothing(span),
            [from, ..] => self.factor(&from.relation, ctes),
        }
    }

    pub(super) fn factor<'a>(
        &mut self,
        factor: &'a ast::TableFactor,
        ctes: &HashMap<String, &'a ast::Cte>,
    ) -> Result<Relation<'a>> {
        let span = place(factor.span());
        if let Some(lateral) = unnest::of(factor)? {
            return self.unnest_alone(&lateral, span);
        }
        clauses::of_table(factor)?;
        let (mut relation, alias) = match factor {
            ast::TableFactor::Table { name, alias, args: None, .. } => (self.named(name, ctes, span)?, alias),
            ast::TableFactor::Table { name, alias, args: Some(arguments), .. } => {
                (self.windowed(&name.to_string(), &arguments.args, ctes, place(name.span()))?, alias)
            }
            ast::TableFactor::Function { name, args, alias, .. } => {
                (self.windowed(&name.to_string(), args, ctes, place(name.span()))?, alias)
            }
            ast::TableFactor::TableFunction { expr: ast::Expr::Function(function), alias } => {
                let ast::FunctionArguments::List(list) = &function.args else {
                    return Err(unsupported("this table function is not supported yet", span));
                };
                (self.windowed(&function.name.to_string(), &list.args, ctes, place(function.name.span()))?, alias)
            }
            ast::TableFactor::Derived { subquery, alias, lateral: false, .. } => (self.query(subquery, ctes)?, alias),
            ast::TableFactor::NestedJoin { table_with_joins, alias } if table_with_joins.joins.is_empty() => {
                (self.factor(&table_with_joins.relation, ctes)?, alias)
            }
            ast::TableFactor::NestedJoin { table_with_joins, alias } => {
                (self.joined(std::slice::from_ref(table_with_joins), &[], ctes)?, alias)
            }
            _ => {
                return Err(unsupported("this form of FROM is not supported yet", span)
                    .help("read a table, a file or a subquery"));
            }
        };
        if let Some(alias) = alias {
            if !alias.explicit {
                lint_alias(&alias.name)?;
            }
            rename(
                &mut relation.scope,
                &alias.name.value,
                alias.columns.iter().map(|column| column.name.value.as_str()),
            )
            .map_err(|error| error.at(place(alias.name.span)))?;
        }
        Ok(relation)
    }

    /// TUMBLE(..) and HOP(..).
    fn windowed<'a>(
        &mut self,
        name: &str,
        arguments: &'a [ast::FunctionArg],
        ctes: &HashMap<String, &'a ast::Cte>,
        span: Span,
    ) -> Result<Relation<'a>> {
        let table = window::of_table(name, arguments, self.options.clock, span)?;
        let source_span = place(table.source.span());
        let mut relation = match table.source {
            ast::Expr::Identifier(name) => self.named(&ast::ObjectName::from(vec![name.clone()]), ctes, source_span)?,
            ast::Expr::CompoundIdentifier(parts) => {
                self.named(&ast::ObjectName::from(parts.clone()), ctes, source_span)?
            }
            ast::Expr::Value(value) => match &value.value {
                ast::Value::SingleQuotedString(path) => self.path(path, source_span)?,
                _ => return Err(not_a_table(source_span)),
            },
            ast::Expr::Subquery(query) => self.query(query, ctes)?,
            _ => return Err(not_a_table(source_span)),
        };
        if relation.window.is_some() {
            return Err(unsupported("a window over a window is not supported", source_span));
        }
        relation.window = Some(table.spec);
        Ok(relation)
    }

    fn path<'a>(&mut self, path: &str, span: Span) -> Result<Relation<'a>> {
        let known = self.used.iter().find(|used| used.name == path).cloned();
        let table = match known {
            Some(table) => table,
            None => self.found(&TableReference::Path(path)).map_err(|error| error.at(span))?,
        };
        self.scan(&table, span)
    }

    /// A table, view or WITH query by name.
    fn named<'a>(
        &mut self,
        name: &ast::ObjectName,
        ctes: &HashMap<String, &'a ast::Cte>,
        span: Span,
    ) -> Result<Relation<'a>> {
        let ident = match &name.0[..] {
            [ast::ObjectNamePart::Identifier(ident)] => ident,
            _ => {
                return Err(unsupported("names with a catalog or schema are not supported", span)
                    .help("use the table's own name"));
            }
        };
        if ident.quote_style == Some('\'') {
            return self.path(&ident.value, span);
        }
        let lower = ident.value.to_lowercase();
        if let Some(cte) = ctes.get(&lower) {
            // A WITH query sees those before it, not itself.
            let mut outer = ctes.clone();
            outer.remove(&lower);
            let mut relation = self.query(&cte.query, &outer)?;
            let columns = cte.alias.columns.iter().map(|column| column.name.value.as_str());
            rename(&mut relation.scope, &ident.value, columns).map_err(|error| error.at(span))?;
            return Ok(relation);
        }
        if let Some(view) = self.views.get(&lower) {
            let (query, columns, emit) = (view.query.clone(), view.columns.clone(), view.emit);
            let relation = self.query(&query, &HashMap::new())?;
            let mut relation = Relation { window: None, ..relation };
            // What the view's windows wait for holds wherever it is read.
            let emit = match emit {
                Some((Emit::Delayed(micros), span)) => {
                    self.delay(relation.node, micros, span)?;
                    Some((Emit::Final, span))
                }
                emit => emit,
            };
            rename(&mut relation.scope, &ident.value, columns.iter().map(String::as_str))
                .map_err(|error| error.at(span))?;
            return Ok(Relation {
                node: relation.node,
                scope: relation.scope,
                times: relation.times,
                natural: relation.natural,
                closed: relation.closed,
                window: None,
                bounded: relation.bounded,
                emit: emit.or(relation.emit),
            });
        }
        let table = self.table(&ident.value, ident.quote_style.is_some(), span)?;
        self.scan(&table, span)
    }

    /// A table of the catalog; its instants are read and written in the session's zone.
    fn found(&mut self, reference: &TableReference<'_>) -> Result<Table> {
        let mut table = self.catalog.table(reference)?;
        let zone = self.options.clock.zone;
        table.columns.iter_mut().for_each(|column| column.data_type = column.data_type.in_zone(zone));
        Ok(table)
    }

    fn table(&mut self, name: &str, quoted: bool, span: Span) -> Result<Table> {
        if let Some(declared) = self.declared.get(&name.to_lowercase()).cloned() {
            if !declared.columns.is_empty() {
                return Ok(declared);
            }
            let reference = TableReference::Declared { name: &declared.name, options: &declared.options };
            let inferred = self.found(&reference).map_err(|error| error.at(declared.span))?;
            let shift = inferred.columns.len();
            let mut computed = declared.computed;
            computed.iter_mut().for_each(|column| column.ordinal += shift);
            let mut metadata = declared.metadata;
            metadata.iter_mut().for_each(|column| column.ordinal += shift);
            return Ok(Table {
                columns: inferred.columns,
                metadata,
                computed,
                bounded: inferred.bounded,
                ..self.declared[&name.to_lowercase()].clone()
            });
        }
        if let Some(used) = self.used.iter().find(|used| used.name.eq_ignore_ascii_case(name)) {
            return Ok(used.clone());
        }
        let looks_like_path = name.contains(['/', '*']) || (quoted && name.contains('.'));
        let reference = if looks_like_path { TableReference::Path(name) } else { TableReference::Name(name) };
        self.found(&reference).map_err(|error| {
            if error.code() != Code::UnknownTable || error.report().help.is_some() {
                return error.at(span);
            }
            let known: Vec<String> = self.catalog.names();
            let declared = self.declared.values().map(|table| table.name.as_str());
            let names = known.iter().map(String::as_str).chain(declared).chain(self.views.keys().map(String::as_str));
            match did_you_mean(name, names) {
                Some(help) => error.at(span).help(help),
                None => {
                    error.at(span).help(format!("give it files with --input {name}=GLOB, or CREATE TABLE {name} (..)"))
                }
            }
        })
    }

    /// The scan of a table: all columns for now, see [`optimize`].
    pub(super) fn scan<'a>(&mut self, table: &Table, span: Span) -> Result<Relation<'a>> {
        if let Some((_, span)) = table.partitioned_by.first() {
            let what =
                format!("`{}` is partitioned, and reading partitioned directories is not supported yet", table.name);
            return Err(unsupported(what, *span)
                .help("leave PARTITIONED BY out and read the files: 'path' = 'DIR/*/*.csv'; values of folder names are not read"));
        }
        self.use_table(table);
        let in_rows = table.columns.iter().map(|column| (&column.name, column.data_type, column.ordinal, None));
        let metadata =
            table.metadata.iter().map(|column| (&column.name, column.data_type, column.ordinal, Some(column.kind)));
        let (mut fields, mut columns): (Vec<Field>, Vec<ScanColumn>) = Default::default();
        let mut scope = Scope::default();
        let mut ordinals = Vec::new();
        for (index, (name, data_type, ordinal, metadata)) in in_rows.chain(metadata).enumerate() {
            fields.push(Field { name: name.clone(), data_type });
            columns.push(ScanColumn { name: name.clone(), index, data_type, metadata });
            ordinals.push(ordinal);
            let expression = Expr::column(index, data_type);
            let relation = table.name.clone();
            scope.columns.push(ScopeColumn { relation, name: name.clone(), expression, merged: false });
        }
        // When each row is read, for whoever asks.
        let (name, data_type, index) = (CLOCK_NAME.to_owned(), self.clock_type(), fields.len());
        fields.push(Field { name: name.clone(), data_type });
        columns.push(ScanColumn { name, index, data_type, metadata: Some(Metadata::Clock) });
        scope.clock = Some(Expr::column(index, data_type));
        for column in &table.computed {
            let mut expression =
                Binder::new(&scope, self.options.clock, "a computed column").bind(&column.expression)?;
            if let Some(data_type) = column.data_type {
                expression = coerce(expression, data_type);
            }
            ordinals.push(column.ordinal);
            scope.columns.push(ScopeColumn {
                relation: table.name.clone(),
                name: column.name.clone(),
                expression,
                merged: false,
            });
        }
        let clock = scope.clock.clone();
        let is_clock = |column: &ScopeColumn| clock.as_ref().is_some_and(|clock| same(&column.expression, clock));
        let mut event_time = None;
        let mut times = Vec::new();
        if let Some(watermark) = &table.watermark {
            let by_clock = scope
                .columns
                .iter()
                .any(|column| column.name.eq_ignore_ascii_case(&watermark.column) && is_clock(column));
            let found = scope.columns.iter_mut().find(|column| column.name.eq_ignore_ascii_case(&watermark.column));
            let column = found.ok_or_else(|| {
                Error::new(Code::UnknownColumn, format!("column `{}` not found", watermark.column)).at(watermark.span)
            })?;
            let data_type = column.expression.data_type;
            if by_clock {
                let error = unsupported("a watermark of PROCTIME() is the clock itself", watermark.span);
                return Err(error.help("leave WATERMARK out: windows over this column follow the clock"));
            }
            if !data_type.is_timestamp() {
                let name = &column.name;
                let error =
                    Error::new(Code::Type, format!("the watermark column `{name}` is {data_type}, not TIMESTAMP"));
                return Err(error.at(watermark.span).help(format!("compute one: ts AS TO_TIMESTAMP_LTZ({name}, 3)")));
            }
            let time = Expr::column(fields.len(), data_type);
            fields.push(Field { name: column.name.clone(), data_type });
            let expression = std::mem::replace(&mut column.expression, time.clone());
            event_time = Some(EventTime { expression, delay_us: watermark.delay_us });
            times.push(time);
        }
        let mut order: Vec<(usize, ScopeColumn)> = ordinals.into_iter().zip(scope.columns).collect();
        order.sort_by_key(|(ordinal, _)| *ordinal);
        scope.columns = order.into_iter().map(|(_, column)| column).collect();
        let scan = Scan {
            table: table.name.clone(),
            columns,
            eager: 0,
            event_time,
            late: None,
            clock: None,
            filter: None,
            read_order: ReadOrder::Position,
            turn: 0,
            needs: crate::plan::Needs { positions: false, ordinals: false },
        };
        let node = self.plan.add(Operator::Scan(scan), Vec::new(), Schema { fields }, span);
        Ok(Relation {
            node,
            scope,
            times,
            natural: Natural::Position,
            closed: None,
            window: None,
            bounded: table.bounded,
            emit: None,
        })
    }
}

fn rename<'n>(scope: &mut Scope, relation: &str, columns: impl ExactSizeIterator<Item = &'n str>) -> Result<()> {
    if columns.len() > scope.columns.len() {
        return Err(Error::new(Code::Type, format!("`{relation}` has {} columns", scope.columns.len())));
    }
    for column in &mut scope.columns {
        relation.clone_into(&mut column.relation);
    }
    for (column, name) in scope.columns.iter_mut().zip(columns) {
        name.clone_into(&mut column.name);
    }
    Ok(())
}

/// A clause's first word taken for a name: `FROM t EMIT`.
pub(super) fn lint_alias(alias: &ast::Ident) -> Result<()> {
    if alias.quote_style.is_none() && is_soft(&alias.value) {
        let error = Error::new(Code::Syntax, format!("`{}` begins a clause that is not complete", alias.value));
        return Err(error.at(place(alias.span)).help("as a name, write it in double quotes"));
    }
    Ok(())
}

fn not_a_table(span: Span) -> Error {
    Error::new(Code::Type, "expected a table")
        .at(span)
        .help("name a table or a view, or give a path in quotes or a (SELECT ..)")
}
