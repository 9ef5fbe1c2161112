//! Queries to plan nodes: FROM, WHERE, GROUP BY, OVER, HAVING, ORDER BY, LIMIT, and the sink.
//!
//! A [`Relation`] is a node and what names mean over its columns. Projections (subqueries, views,
//! computed columns) make no node: they are written into their users, so that a WHERE over a view
//! ends up in the scan.

use std::collections::HashMap;

use sqlparser::ast::{self, Spanned};

use super::expression::{Binder, at, coerce};
use super::scope::{AGGREGATE_MARK, OVER_MARK, Scope, ScopeColumn, WINDOW_MARK, same, substitute};
use super::statement::Said;
use super::suggest::did_you_mean;
use super::token::place;
use super::window::{self, WindowSpec};
use super::{Catalog, Dialect, MAX_COLUMNS, Options, Program, Table, TableReference, unsupported};
use crate::error::{Code, Error, Result, Span};
use crate::expr::{Expr, ExprKind};
use crate::plan::{
    Aggregate, Emit, EventTime, Late, NodeId, Operator, Over, Phase, Plan, ReadOrder, Scan, ScanColumn, Sink,
    SinkOrder, SortKey, Window, optimize,
};
use crate::types::{DataType, Field, Schema};

/// Most views and subqueries in each other.
const MAX_VIEWS: usize = 32;

/// What a query has built so far.
pub(super) struct Relation<'a> {
    node: NodeId,
    scope: Scope,
    /// Expressions over the node that follow the watermark.
    times: Vec<Expr>,
    natural: Natural,
    window: Option<WindowSpec<'a>>,
    bounded: bool,
    /// What EMIT said in the view that this is.
    emit: Said,
}

/// The order rows come in within a shard, by columns of the node.
#[derive(Clone, Debug)]
enum Natural {
    Position,
    Time(usize),
    Keys { keys: Vec<SortKey>, time_first: bool },
}

struct View {
    query: ast::Query,
    columns: Vec<String>,
    emit: Said,
}

/// Plans a script, statement by statement.
pub(super) struct Planner<'c> {
    catalog: &'c mut dyn Catalog,
    options: Options,
    plan: Plan,
    declared: HashMap<String, Table>,
    views: HashMap<String, View>,
    used: Vec<Table>,
    emits: Vec<Option<Emit>>,
    depth: usize,
    pub explain: bool,
    shown: Option<String>,
}

impl<'c> Planner<'c> {
    pub fn new(catalog: &'c mut dyn Catalog, options: Options) -> Self {
        Planner {
            catalog,
            options,
            plan: Plan::default(),
            declared: HashMap::new(),
            views: HashMap::new(),
            used: Vec::new(),
            emits: Vec::new(),
            depth: 0,
            explain: false,
            shown: None,
        }
    }

    pub fn now_us(&self) -> i64 {
        self.options.now_us
    }

    pub fn finish(self) -> Result<Program> {
        let plan = optimize::run(self.plan, self.options.ordinals || self.options.ordered);
        Ok(Program { plan, tables: self.used, explain: self.explain, emits: self.emits, shown: self.shown })
    }

    pub fn declare(&mut self, mut table: Table) -> Result<()> {
        self.free_name(&table.name, table.span)?;
        table.bounded = self.catalog.is_bounded(&table);
        self.declared.insert(table.name.to_lowercase(), table);
        Ok(())
    }

    pub fn declare_view(
        &mut self,
        name: String,
        span: Span,
        columns: Vec<String>,
        (query, emit): (Box<ast::Query>, Said),
    ) -> Result<()> {
        self.free_name(&name, span)?;
        self.views.insert(name.to_lowercase(), View { query: *query, columns, emit });
        Ok(())
    }

    /// Statements to come read what `query` gives, not the file that it is being written to.
    pub fn read_as_view(&mut self, name: String, (query, emit): (Box<ast::Query>, Said)) {
        self.views.insert(name.to_lowercase(), View { query: *query, columns: Vec::new(), emit });
    }

    /// Forgets a table or view; false if there is none. One that is read or written already stays.
    pub fn forget(&mut self, name: &str, span: Span) -> Result<bool> {
        if self.used.iter().any(|used| used.name.eq_ignore_ascii_case(name)) {
            let error = unsupported(format!("`{name}` is in use by a statement above"), span);
            return Err(error.help("give the second table another name"));
        }
        let name = name.to_lowercase();
        let view = self.views.remove(&name).is_some();
        Ok(self.declared.remove(&name).is_some() || view)
    }

    /// Follows another engine's habits from here on.
    pub fn follow(&mut self, dialect: Dialect) {
        self.options.dialect = dialect;
    }

    /// Adds to what the script prints before it runs.
    pub fn show(&mut self, text: &str) {
        self.shown.get_or_insert_default().push_str(text);
    }

    /// Names of what is declared: tables, and views.
    pub fn names(&self) -> (Vec<String>, Vec<String>) {
        let declared = self.declared.values().map(|table| table.name.clone());
        let mut tables: Vec<String> = declared.chain(self.catalog.names()).collect();
        let mut views: Vec<String> = self.views.keys().cloned().collect();
        tables.retain(|name| !views.contains(&name.to_lowercase()));
        tables.sort();
        tables.dedup();
        views.sort();
        (tables, views)
    }

    /// Names and types of the columns of `SELECT *`.
    pub fn columns_of(&mut self, query: &ast::Query) -> Result<Vec<(String, DataType)>> {
        let (plan, used) = (self.plan.clone(), self.used.clone());
        let relation = self.query(query, &HashMap::new());
        (self.plan, self.used) = (plan, used);
        Ok(relation?.scope.columns.into_iter().map(|column| (column.name, column.expression.data_type)).collect())
    }

    fn free_name(&self, name: &str, span: Span) -> Result<()> {
        let lower = name.to_lowercase();
        if self.declared.contains_key(&lower) || self.views.contains_key(&lower) {
            return Err(Error::new(Code::AmbiguousColumn, format!("`{name}` is declared twice")).at(span));
        }
        Ok(())
    }

    /// The SELECT whose result is printed.
    pub fn select(&mut self, query: Box<ast::Query>, emit: Option<(Emit, Span)>, span: Span) -> Result<()> {
        let relation = self.query(&query, &HashMap::new())?;
        self.sink(relation, None, emit, span)
    }

    /// INSERT INTO a declared table.
    pub fn insert(
        &mut self,
        name: &str,
        name_span: Span,
        columns: &[(String, Span)],
        query: Box<ast::Query>,
        emit: Option<(Emit, Span)>,
        span: Span,
    ) -> Result<()> {
        let Some(table) = self.declared.get(&name.to_lowercase()).cloned() else {
            let error = Error::new(Code::UnknownTable, format!("table `{name}` is not declared")).at(name_span);
            let names = self.declared.values().map(|table| table.name.as_str());
            return Err(match did_you_mean(name, names) {
                Some(help) => error.help(help),
                None => error.help("declare it: CREATE TABLE .. WITH ('path' = 'out.csv')"),
            });
        };
        if !columns.is_empty() {
            return Err(unsupported("a list of columns in INSERT is not supported yet", columns[0].1)
                .help("select the columns in the table's order"));
        }
        let mut relation = self.query(&query, &HashMap::new())?;
        if !table.columns.is_empty() {
            let (wants, has) = (table.columns.len(), relation.scope.columns.len());
            if wants != has {
                let error =
                    Error::new(Code::Type, format!("table `{name}` has {wants} columns, the SELECT gives {has}"));
                return Err(error.at(name_span));
            }
            for (column, target) in relation.scope.columns.iter_mut().zip(&table.columns) {
                column.name.clone_from(&target.name);
                column.expression = coerce(column.expression.clone(), target.data_type);
            }
        }
        self.use_table(&table);
        self.sink(relation, Some(table.name.clone()), emit, span)
    }

    fn use_table(&mut self, table: &Table) {
        if !self.used.iter().any(|used| used.name.eq_ignore_ascii_case(&table.name)) {
            self.used.push(table.clone());
        }
    }

    fn add(&mut self, operator: Operator, input: NodeId, fields: Vec<Field>, span: Span) -> NodeId {
        self.plan.add(operator, vec![input], Schema { fields }, span)
    }

    fn fields(&self, node: NodeId) -> Vec<Field> {
        self.plan.nodes[node].schema.fields.clone()
    }

    /// A query with ORDER BY and LIMIT. `ctes` are the names WITH has given outside.
    fn query<'a>(&mut self, query: &'a ast::Query, ctes: &HashMap<String, &'a ast::Cte>) -> Result<Relation<'a>> {
        self.depth += 1;
        if self.depth > MAX_VIEWS {
            let error = Error::new(Code::Limit, "views and subqueries this deep are more than Corelane plans");
            return Err(error.at(place(query.span())).note(format!("limit: {MAX_VIEWS}")));
        }
        let mut ctes = ctes.clone();
        if let Some(with) = &query.with {
            if with.recursive {
                return Err(unsupported("WITH RECURSIVE is not supported", place(with.with_token.0.span)));
            }
            for cte in &with.cte_tables {
                ctes.insert(cte.alias.name.value.to_lowercase(), cte);
            }
        }
        let span = place(query.span());
        if query.fetch.is_some() || !query.locks.is_empty() || query.for_clause.is_some() {
            return Err(unsupported("FETCH and FOR are not supported yet", span).help("use LIMIT"));
        }
        if query.settings.is_some() || query.format_clause.is_some() || !query.pipe_operators.is_empty() {
            return Err(unsupported("SETTINGS, FORMAT and pipes are not supported", span));
        }
        let order: &[ast::OrderByExpr] = match query.order_by.as_ref().map(|order| &order.kind) {
            None => &[],
            Some(ast::OrderByKind::Expressions(items)) => items,
            Some(ast::OrderByKind::All(_)) => return Err(unsupported("ORDER BY ALL is not supported yet", span)),
        };
        let (limit, offset) = limits(query.limit_clause.as_ref(), span)?;
        let mut relation = match &*query.body {
            ast::SetExpr::Select(select) => {
                self.body(select, order, limit.map(|limit| limit.saturating_add(offset)), &ctes)?
            }
            ast::SetExpr::Query(inner) if order.is_empty() => self.query(inner, &ctes)?,
            ast::SetExpr::SetOperation { op, .. } => {
                return Err(
                    unsupported(format!("{op} is not supported yet"), span).help("write one INSERT INTO per SELECT")
                );
            }
            ast::SetExpr::Values(_) => return Err(unsupported("VALUES is not supported yet", span)),
            _ => return Err(unsupported("this query is not supported yet", span)),
        };
        if limit.is_some() || offset > 0 {
            let fields = self.fields(relation.node);
            relation.node = self.add(Operator::Limit { limit, offset }, relation.node, fields, span);
        }
        self.depth -= 1;
        Ok(relation)
    }

    /// One SELECT.
    fn body<'a>(
        &mut self,
        select: &'a ast::Select,
        order: &'a [ast::OrderByExpr],
        wanted: Option<u64>,
        ctes: &HashMap<String, &'a ast::Cte>,
    ) -> Result<Relation<'a>> {
        refuse_clauses(select)?;
        let span = place(select.span());
        let mut relation = self.from(select, ctes, span)?;
        if let Some(tree) = &select.selection {
            let condition = Binder::new(&relation.scope, self.options.now_us, "WHERE").condition(tree)?;
            self.filter(&mut relation, condition)?;
        }
        let (group_trees, mut window) = self.group_by(select, relation.window.take())?;
        if let Some(spec) = &mut window
            && spec.grace > 0
        {
            self.add_grace(relation.node, spec.grace);
        }
        let scope = std::mem::take(&mut relation.scope);
        let time = match &window {
            Some(spec) => Some(self.time_of(&relation, &scope, spec)?),
            None => None,
        };
        let mut binder = Binder::new(&scope, self.options.now_us, "SELECT");
        binder.windows = &select.named_window;
        binder.window = time.as_ref().map(|time| time.data_type);

        // Aliases serve GROUP BY, HAVING and ORDER BY, not SELECT itself.
        let aliases = aliases(select);
        binder.clause = "GROUP BY";
        binder.aliases.clone_from(&aliases);
        let mut keys: Vec<Expr> = Vec::new();
        let mut names_window = false;
        // Keys that follow from the window, which is a key already.
        let mut of_window: Vec<Expr> = Vec::new();
        for tree in &group_trees {
            let tree = position(tree, select)?.unwrap_or(tree);
            let key = binder.bind(tree)?;
            if matches!(key.kind, ExprKind::Column(WINDOW_MARK..)) {
                names_window = true;
            } else if mentions_window(&key) {
                of_window.push(key);
            } else if !keys.iter().any(|known| same(known, &key)) {
                keys.push(key);
            }
        }
        if let Some(key) = of_window.iter().find(|key| !names_window || mentions_column(key)) {
            return Err(unsupported("this key of a window's bounds is not supported", key.span)
                .help("GROUP BY window_start, window_end, and compute it in the SELECT list"));
        }
        binder.aliases.clear();
        (binder.aggregates, binder.overs, binder.clause) = (true, true, "SELECT");
        let mut items = self.items(select, &mut binder)?;
        binder.aliases.clone_from(&aliases);
        (binder.overs, binder.clause) = (false, "HAVING");
        let having = select.having.as_ref().map(|tree| binder.condition(tree)).transpose()?;
        (binder.overs, binder.clause) = (true, "ORDER BY");
        let mut sort = Vec::new();
        for item in order {
            sort.push((order_item(item, select, &items, &mut binder)?, sort_key(item)?));
        }
        let Binder { calls, call_names, over_items, .. } = binder;
        let inside = calls.iter().flat_map(|call| call.arguments.iter().chain(&call.filter));
        if let Some(bound) = inside.into_iter().find(|argument| mentions_window(argument)) {
            return Err(unsupported("a window's bound inside an aggregate is not supported", bound.span)
                .help("it is the same for the whole group: use it outside, or aggregate over a subquery"));
        }
        let mut overs = over_items;

        let aggregated = !group_trees.is_empty() || !calls.is_empty() || having.is_some() || window.is_some();
        relation.scope = scope;
        if aggregated {
            let implied = window.as_ref().is_some_and(|spec| names_window || !from_has_window(select, spec));
            if let Some(spec) = window.as_ref().filter(|_| !implied) {
                return Err(unsupported("a window in FROM without its bounds in GROUP BY is not supported", spec.span)
                    .help("add GROUP BY window_start, window_end"));
            }
            let aggregate =
                Grouping { keys, window: window.map(|spec| spec.window).zip(time), calls, names: call_names };
            let columns = self.aggregate(&mut relation, aggregate, span)?;
            let expressions = items.iter_mut().map(|(_, item)| item).chain(sort.iter_mut().map(|(item, _)| item));
            for expression in expressions {
                columns.place(expression)?;
            }
            for over in &mut overs {
                over.partition
                    .iter_mut()
                    .chain(&mut over.order)
                    .chain(&mut over.call.arguments)
                    .try_for_each(|e| columns.place(e))?;
            }
            if let Some(mut condition) = having {
                columns.place(&mut condition)?;
                self.filter(&mut relation, condition)?;
            }
        }
        if !overs.is_empty() {
            let placed = self.over(&mut relation, overs, span)?;
            let meaning =
                |column: usize| (OVER_MARK..WINDOW_MARK).contains(&column).then(|| placed[column - OVER_MARK].clone());
            let expressions = items.iter_mut().map(|(_, item)| item).chain(sort.iter_mut().map(|(item, _)| item));
            expressions.for_each(|expression| substitute(expression, &meaning));
        }
        relation.scope = Scope {
            columns: items
                .into_iter()
                .map(|(name, expression)| ScopeColumn { relation: String::new(), name, expression })
                .collect(),
        };
        match &select.distinct {
            None | Some(ast::Distinct::All) => {}
            Some(ast::Distinct::Distinct) => self.distinct(&mut relation, &mut sort, span)?,
            Some(ast::Distinct::On(_)) => return Err(unsupported("DISTINCT ON is not supported yet", span)),
        }
        if !sort.is_empty() {
            self.sort(&mut relation, sort, wanted, span)?;
        }
        Ok(relation)
    }

    /// The items of SELECT, `*` written out: name and expression.
    fn items<'a>(&self, select: &'a ast::Select, binder: &mut Binder<'a>) -> Result<Vec<(String, Expr)>> {
        let mut items = Vec::new();
        for item in &select.projection {
            match item {
                ast::SelectItem::UnnamedExpr(tree) | ast::SelectItem::ExprWithAlias { expr: tree, .. }
                    if window::is_function(tree) =>
                {
                    // A window is no value here: its bounds are what there is to see of it.
                    let span = place(tree.span());
                    for name in ["window_start", "window_end"] {
                        let bound = binder.window.map(|time| window::pseudo_column(name, time, span)).transpose()?;
                        let bound = bound.flatten().ok_or_else(|| {
                            let error = Error::new(Code::Misplaced, "a window in SELECT is not in GROUP BY").at(span);
                            error.help("add it to GROUP BY, and write window_start, window_end in SELECT")
                        })?;
                        items.push((name.to_owned(), bound));
                    }
                }
                ast::SelectItem::UnnamedExpr(tree) => {
                    let name = match tree {
                        ast::Expr::Identifier(name) => name.value.clone(),
                        ast::Expr::CompoundIdentifier(parts) => {
                            parts.last().map_or_else(String::new, |n| n.value.clone())
                        }
                        tree => shown(tree),
                    };
                    items.push((name, binder.bind(tree)?));
                }
                ast::SelectItem::ExprWithAlias { expr, alias } => {
                    lint_alias(alias)?;
                    items.push((alias.value.clone(), binder.bind(expr)?));
                }
                ast::SelectItem::Wildcard(_) => {
                    let columns = binder.scope.columns.iter();
                    items.extend(columns.map(|column| (column.name.clone(), column.expression.clone())));
                }
                ast::SelectItem::QualifiedWildcard(kind, _) => {
                    let relation = match kind {
                        ast::SelectItemQualifiedWildcardKind::ObjectName(name) => name.to_string(),
                        ast::SelectItemQualifiedWildcardKind::Expr(tree) => tree.to_string(),
                    };
                    let before = items.len();
                    let columns = binder.scope.columns.iter().filter(|c| c.relation.eq_ignore_ascii_case(&relation));
                    items.extend(columns.map(|column| (column.name.clone(), column.expression.clone())));
                    if items.len() == before {
                        let error = Error::new(Code::UnknownTable, format!("table `{relation}` is not in FROM"));
                        return Err(error.at(place(item.span())));
                    }
                }
                other => return Err(unsupported(format!("`{other}` is not supported yet"), place(other.span()))),
            }
            if items.len() > MAX_COLUMNS {
                let error = Error::new(Code::Limit, "the SELECT has too many columns").at(place(item.span()));
                return Err(error.note(format!("limit: {MAX_COLUMNS} columns")));
            }
        }
        if items.is_empty() {
            return Err(Error::new(Code::Syntax, "SELECT names no columns").at(place(select.select_token.0.span)));
        }
        Ok(items)
    }

    fn from<'a>(
        &mut self,
        select: &'a ast::Select,
        ctes: &HashMap<String, &'a ast::Cte>,
        span: Span,
    ) -> Result<Relation<'a>> {
        let [from] = &select.from[..] else {
            let error = match select.from.get(1) {
                None => unsupported("a SELECT without FROM is not supported yet", span)
                    .help("read a table: FROM 'file.csv'"),
                Some(second) => {
                    unsupported("joins are not supported yet", place(second.span())).help("read one table per SELECT")
                }
            };
            return Err(error);
        };
        if let Some(join) = from.joins.first() {
            return Err(unsupported("joins are not supported yet", place(join.relation.span()))
                .help("read one table per SELECT"));
        }
        self.factor(&from.relation, ctes)
    }

    fn factor<'a>(
        &mut self,
        factor: &'a ast::TableFactor,
        ctes: &HashMap<String, &'a ast::Cte>,
    ) -> Result<Relation<'a>> {
        let span = place(factor.span());
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
            ast::TableFactor::NestedJoin { .. } => return Err(unsupported("joins are not supported yet", span)),
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
        let table = window::of_table(name, arguments, self.options.now_us, span)?;
        let source_span = place(table.source.span());
        let mut relation = match table.source {
            ast::Expr::Identifier(name) => self.named(&ast::ObjectName::from(vec![name.clone()]), ctes, source_span)?,
            ast::Expr::CompoundIdentifier(parts) => {
                self.named(&ast::ObjectName::from(parts.clone()), ctes, source_span)?
            }
            ast::Expr::Value(value) => match &value.value {
                ast::Value::SingleQuotedString(path) => self.path(path, source_span)?,
                _ => return Err(Error::new(Code::Type, "expected a table").at(source_span)),
            },
            ast::Expr::Subquery(query) => self.query(query, ctes)?,
            _ => return Err(Error::new(Code::Type, "expected a table").at(source_span)),
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
            None => self.catalog.table(&TableReference::Path(path)).map_err(|error| error.at(span))?,
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
            rename(&mut relation.scope, &ident.value, columns.iter().map(String::as_str))
                .map_err(|error| error.at(span))?;
            return Ok(Relation {
                node: relation.node,
                scope: relation.scope,
                times: relation.times,
                natural: relation.natural,
                window: None,
                bounded: relation.bounded,
                emit: emit.or(relation.emit),
            });
        }
        let table = self.table(&ident.value, ident.quote_style.is_some(), span)?;
        self.scan(&table, span)
    }

    fn table(&mut self, name: &str, quoted: bool, span: Span) -> Result<Table> {
        if let Some(declared) = self.declared.get(&name.to_lowercase()).cloned() {
            if !declared.columns.is_empty() {
                return Ok(declared);
            }
            let reference = TableReference::Declared { name: &declared.name, options: &declared.options };
            let inferred = self.catalog.table(&reference).map_err(|error| error.at(declared.span))?;
            let shift = inferred.columns.len();
            let mut computed = declared.computed;
            computed.iter_mut().for_each(|column| column.ordinal += shift);
            return Ok(Table {
                columns: inferred.columns,
                computed,
                bounded: inferred.bounded,
                ..Table { computed: Vec::new(), ..self.declared[&name.to_lowercase()].clone() }
            });
        }
        if let Some(used) = self.used.iter().find(|used| used.name.eq_ignore_ascii_case(name)) {
            return Ok(used.clone());
        }
        let looks_like_path = name.contains(['/', '*']) || (quoted && name.contains('.'));
        let reference = if looks_like_path { TableReference::Path(name) } else { TableReference::Name(name) };
        self.catalog.table(&reference).map_err(|error| {
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
    fn scan<'a>(&mut self, table: &Table, span: Span) -> Result<Relation<'a>> {
        self.use_table(table);
        let mut fields: Vec<Field> = table
            .columns
            .iter()
            .map(|column| Field { name: column.name.clone(), data_type: column.data_type })
            .collect();
        let mut scope = Scope::default();
        let mut ordinals = Vec::new();
        for (index, column) in table.columns.iter().enumerate() {
            ordinals.push(column.ordinal);
            let expression = Expr::column(index, column.data_type);
            scope.columns.push(ScopeColumn { relation: table.name.clone(), name: column.name.clone(), expression });
        }
        for column in &table.computed {
            let mut expression =
                Binder::new(&scope, self.options.now_us, "a computed column").bind(&column.expression)?;
            if let Some(data_type) = column.data_type {
                expression = coerce(expression, data_type);
            }
            ordinals.push(column.ordinal);
            scope.columns.push(ScopeColumn { relation: table.name.clone(), name: column.name.clone(), expression });
        }
        let mut event_time = None;
        let mut times = Vec::new();
        if let Some(watermark) = &table.watermark {
            let found = scope.columns.iter_mut().find(|column| column.name.eq_ignore_ascii_case(&watermark.column));
            let column = found.ok_or_else(|| {
                Error::new(Code::UnknownColumn, format!("column `{}` not found", watermark.column)).at(watermark.span)
            })?;
            let data_type = column.expression.data_type;
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
        let columns = table.columns.iter().enumerate();
        let columns =
            columns.map(|(index, column)| ScanColumn { name: column.name.clone(), index, data_type: column.data_type });
        let scan = Scan {
            table: table.name.clone(),
            columns: columns.collect(),
            eager: 0,
            event_time,
            late: None,
            filter: None,
            read_order: ReadOrder::Position,
            needs: crate::plan::Needs { positions: false, ordinals: false },
        };
        let node = self.plan.add(Operator::Scan(scan), Vec::new(), Schema { fields }, span);
        Ok(Relation {
            node,
            scope,
            times,
            natural: Natural::Position,
            window: None,
            bounded: table.bounded,
            emit: None,
        })
    }

    /// WHERE and HAVING: into the scan where that is the input, else a node.
    fn filter(&mut self, relation: &mut Relation<'_>, mut condition: Expr) -> Result<()> {
        let span = condition.span;
        if let Operator::Scan(scan) = &mut self.plan.nodes[relation.node].operator {
            let time = scan.columns.len();
            if let Some(event_time) = &scan.event_time {
                substitute(&mut condition, &|column| (column == time).then(|| event_time.expression.clone()));
            }
            scan.filter = Some(match scan.filter.take() {
                None => condition,
                Some(first) => conjunction(first, condition),
            });
            return Ok(());
        }
        let fields = self.fields(relation.node);
        relation.node = self.add(Operator::Filter(condition), relation.node, fields, span);
        Ok(())
    }

    /// GROUP BY's trees, and the window: FROM's or the one among them.
    fn group_by<'a>(
        &self,
        select: &'a ast::Select,
        window: Option<WindowSpec<'a>>,
    ) -> Result<(Vec<&'a ast::Expr>, Option<WindowSpec<'a>>)> {
        let ast::GroupByExpr::Expressions(trees, modifiers) = &select.group_by else {
            return Err(unsupported("GROUP BY ALL is not supported yet", place(select.span())).help("name the columns"));
        };
        if !modifiers.is_empty() {
            return Err(unsupported("ROLLUP, CUBE and TOTALS are not supported yet", place(select.span())));
        }
        let (mut keys, mut window) = (Vec::new(), window);
        for tree in trees {
            // Arroyo groups by the alias or the place of a window in the SELECT list.
            let meant = match tree {
                ast::Expr::Identifier(name) => aliases(select)
                    .into_iter()
                    .find(|(alias, _)| alias.eq_ignore_ascii_case(&name.value))
                    .map(|(_, tree)| tree),
                tree => position(tree, select)?,
            };
            let tree = meant.filter(|tree| window::is_function(tree)).unwrap_or(tree);
            match window::of_group_by(tree, self.options.now_us)? {
                None => keys.push(tree),
                Some(spec) if window.is_none() => window = Some(spec),
                Some(spec) => return Err(Error::new(Code::Syntax, "a second window for one SELECT").at(spec.span)),
            }
        }
        Ok((keys, window))
    }

    /// The event time a window is over.
    fn time_of(&mut self, relation: &Relation<'_>, scope: &Scope, spec: &WindowSpec<'_>) -> Result<Expr> {
        let time = match spec.column {
            Some(tree) => Binder::new(scope, self.options.now_us, "a window").bind(window::descriptor(tree)?)?,
            None => relation.times.first().cloned().ok_or_else(|| {
                let error =
                    Error::new(Code::Type, "the table has no WATERMARK, so the window has no time").at(spec.span);
                error.help("declare WATERMARK FOR ts AS ts - INTERVAL '2' SECOND")
            })?,
        };
        self.check_time(relation, scope, &time, "windows are")?;
        if !time.data_type.is_timestamp() {
            let error = Error::new(Code::Type, format!("the window's time is {}, not TIMESTAMP", time.data_type));
            return Err(error.at(time.span).help("compute one: ts AS TO_TIMESTAMP_LTZ(epoch_ms, 3)"));
        }
        Ok(time)
    }

    fn check_time(&self, relation: &Relation<'_>, scope: &Scope, time: &Expr, what: &str) -> Result<()> {
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

    fn add_grace(&mut self, node: NodeId, grace: i64) {
        if let Some(scan) = self.scan_under(node)
            && let Some(event_time) = &mut scan.event_time
        {
            event_time.delay_us = event_time.delay_us.saturating_add(grace);
        }
    }

    /// The scan whose rows reach `node` one by one.
    fn scan_under(&mut self, mut node: NodeId) -> Option<&mut Scan> {
        loop {
            match &self.plan.nodes[node].operator {
                Operator::Scan(_) => break,
                Operator::Filter(_) | Operator::Project(_) => node = self.plan.nodes[node].inputs[0],
                _ => return None,
            }
        }
        match &mut self.plan.nodes[node].operator {
            Operator::Scan(scan) => Some(scan),
            _ => None,
        }
    }

    fn judge(&mut self, node: NodeId, late: Late) {
        if let Some(scan) = self.scan_under(node)
            && scan.event_time.is_some()
        {
            scan.late.get_or_insert(late);
        }
    }

    /// `expression` as a column of the relation's node; a projection is put in where it is none.
    fn column_of(&mut self, relation: &mut Relation<'_>, expression: &Expr, name: &str) -> usize {
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

    fn aggregate(&mut self, relation: &mut Relation<'_>, grouping: Grouping, span: Span) -> Result<Columns> {
        let Grouping { keys, window, calls, names } = grouping;
        relation.emit = None;
        let mut fields = Vec::new();
        let mut aggregate_window = None;
        if let Some((window, time)) = &window {
            let column = self.column_of(relation, time, "time");
            self.judge(relation.node, Late::Window(*window));
            aggregate_window = Some((*window, column));
            fields.extend(
                ["window_start", "window_end"].map(|name| Field { name: name.to_owned(), data_type: time.data_type }),
            );
        }
        let first_key = fields.len();
        for (number, key) in keys.iter().enumerate() {
            let name =
                relation.scope.columns.iter().find(|column| same(&column.expression, key)).map(|c| c.name.clone());
            fields.push(Field { name: name.unwrap_or_else(|| format!("key{number}")), data_type: key.data_type });
        }
        let first_call = fields.len();
        for (call, name) in calls.iter().zip(names) {
            fields.push(Field { name, data_type: call.data_type });
        }
        let columns = Columns {
            keys: keys.iter().cloned().enumerate().map(|(n, key)| (key, first_key + n)).collect(),
            windowed: window.is_some(),
            first_call,
        };
        let windowed = window.is_some();
        let operator = Aggregate { keys, window: aggregate_window, calls, emit: Emit::Final, phase: Phase::Single };
        relation.node = self.add(Operator::Aggregate(operator), relation.node, fields.clone(), span);
        relation.times.clear();
        let mut order: Vec<usize> = (first_key..first_call).collect();
        if windowed {
            let end = Expr::column(1, fields[1].data_type);
            relation.times = vec![end.clone(), window::time_of(end)?];
            order.insert(0, 1);
        }
        let ascending = |column| SortKey { column, descending: false, nulls_first: false };
        relation.natural = Natural::Keys { keys: order.into_iter().map(ascending).collect(), time_first: windowed };
        Ok(columns)
    }

    /// OVER nodes, one per window; the columns of the calls.
    fn over(
        &mut self,
        relation: &mut Relation<'_>,
        items: Vec<super::over::OverItem>,
        span: Span,
    ) -> Result<Vec<Expr>> {
        let mut placed: Vec<Option<Expr>> = vec![None; items.len()];
        for first in 0..items.len() {
            if placed[first].is_some() {
                continue;
            }
            let lead = &items[first];
            let time = match &lead.order {
                None => {
                    if !matches!(relation.natural, Natural::Position) {
                        return Err(unsupported(
                            "OVER without ORDER BY needs rows straight from a table",
                            lead.call.span,
                        )
                        .help("order by the watermark column, or window_end"));
                    }
                    None
                }
                Some(order) => {
                    self.check_time(relation, &relation.scope, order, "OVER orders")?;
                    if !order.data_type.is_timestamp() && !order.data_type.is_integer() {
                        let error = unsupported(format!("OVER orders by time, not by {}", order.data_type), order.span);
                        return Err(error.help("order by a TIMESTAMP column"));
                    }
                    let column = self.column_of(relation, order, "time");
                    self.judge(relation.node, Late::Row);
                    Some(column)
                }
            };
            let mut fields = self.fields(relation.node);
            let mut calls = Vec::new();
            for (number, item) in items.iter().enumerate().skip(first) {
                if item.shares_node(lead) {
                    placed[number] = Some(Expr::column(fields.len(), item.call.data_type));
                    fields.push(Field { name: item.name.clone(), data_type: item.call.data_type });
                    calls.push(item.call.clone());
                }
            }
            let over = Over { partition: lead.partition.clone(), time, calls, buffer_rows: lead.buffer };
            relation.node = self.add(Operator::Over(over), relation.node, fields, span);
            if let (Natural::Position, Some(time)) = (&relation.natural, time) {
                relation.natural = Natural::Time(time);
            }
        }
        Ok(placed.into_iter().flatten().collect())
    }

    /// DISTINCT: a group per row, without aggregates.
    fn distinct(&mut self, relation: &mut Relation<'_>, sort: &mut [(Expr, SortKey)], span: Span) -> Result<()> {
        if !relation.bounded {
            return Err(
                unsupported("DISTINCT over endless input is not supported yet", span).help("use a window and GROUP BY")
            );
        }
        let keys: Vec<Expr> = relation.scope.columns.iter().map(|column| column.expression.clone()).collect();
        for (item, _) in sort.iter_mut() {
            let position = keys.iter().position(|key| same(key, item)).ok_or_else(|| {
                Error::new(Code::Misplaced, "with DISTINCT, ORDER BY may only name selected columns").at(item.span)
            })?;
            *item = Expr::column(position, item.data_type);
        }
        let names: Vec<String> = relation.scope.columns.iter().map(|column| column.name.clone()).collect();
        let grouping = Grouping { keys, window: None, calls: Vec::new(), names: Vec::new() };
        let columns = self.aggregate(relation, grouping, span)?;
        for (column, name) in relation.scope.columns.iter_mut().zip(names) {
            columns.place(&mut column.expression)?;
            column.name = name;
        }
        Ok(())
    }

    fn sort(
        &mut self,
        relation: &mut Relation<'_>,
        sort: Vec<(Expr, SortKey)>,
        wanted: Option<u64>,
        span: Span,
    ) -> Result<()> {
        // What comes in this order anyway is not sorted again; LIMIT needs it on one shard.
        let natural: Vec<SortKey> = match &relation.natural {
            Natural::Position => Vec::new(),
            Natural::Time(column) => vec![SortKey { column: *column, descending: false, nulls_first: false }],
            Natural::Keys { keys, .. } => keys.clone(),
        };
        let is_natural = sort.len() <= natural.len()
            && sort.iter().zip(&natural).all(|((item, key), natural)| {
                matches!(item.kind, ExprKind::Column(column) if column == natural.column)
                    && !key.descending
                    && !key.nulls_first
            });
        if is_natural && wanted.is_none() {
            return Ok(());
        }
        if !relation.bounded {
            return Err(unsupported("ORDER BY over endless input is not supported but for the window's end", span)
                .help("ORDER BY window_end, or none"));
        }
        let mut fields = Vec::new();
        let mut columns = Vec::new();
        for column in &mut relation.scope.columns {
            fields.push(Field { name: column.name.clone(), data_type: column.expression.data_type });
            let place =
                Expr { span: column.expression.span, ..Expr::column(columns.len(), column.expression.data_type) };
            columns.push(std::mem::replace(&mut column.expression, place));
        }
        let mut keys = Vec::new();
        for (item, key) in sort {
            let column = columns.iter().position(|known| same(known, &item)).unwrap_or_else(|| {
                fields.push(Field { name: format!("sort{}", keys.len()), data_type: item.data_type });
                columns.push(item.clone());
                columns.len() - 1
            });
            keys.push(SortKey { column, ..key });
        }
        let project = self.add(Operator::Project(columns), relation.node, fields.clone(), span);
        relation.node = self.add(Operator::Sort { keys: keys.clone(), limit: wanted }, project, fields, span);
        relation.times.clear();
        relation.natural = Natural::Keys { keys, time_first: false };
        Ok(())
    }

    /// The end of a query: output columns first, then those that only order.
    fn sink(
        &mut self,
        relation: Relation<'_>,
        table: Option<String>,
        emit: Option<(Emit, Span)>,
        span: Span,
    ) -> Result<()> {
        let chosen = self.choose_emit(&relation, emit.or(relation.emit))?;
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
        let sink = Sink { number: self.emits.len(), table, visible, order };
        self.add(Operator::Sink(sink), input, fields, span);
        self.emits.push(chosen);
        Ok(())
    }

    /// Sets the emit mode of the last aggregation; `None` where there is none.
    fn choose_emit(&mut self, relation: &Relation<'_>, emit: Option<(Emit, Span)>) -> Result<Option<Emit>> {
        let mut node = relation.node;
        let mut through = Vec::new();
        let windowed = loop {
            match &self.plan.nodes[node].operator {
                Operator::Aggregate(aggregate) => break Some(aggregate.window.is_some()),
                Operator::Scan(_) => break None,
                operator => {
                    through.push(match operator {
                        Operator::Over(_) => "OVER",
                        Operator::Sort { .. } => "ORDER BY",
                        _ => "",
                    });
                    node = self.plan.nodes[node].inputs[0];
                }
            }
        };
        let Some(windowed) = windowed else { return Ok(None) };
        let updates = matches!(self.options.dialect, Dialect::RisingWave | Dialect::Ksql);
        let usual = if updates || !(relation.bounded || windowed) { Emit::Changes } else { Emit::Final };
        let blocked = through.iter().find(|through| !through.is_empty());
        let said = emit.map(|(emit, _)| emit);
        let chosen = match (said.or(self.options.emit).unwrap_or(usual), blocked) {
            (Emit::Changes, Some(what)) if said.is_some() => {
                let span = emit.map_or(Span::NONE, |(_, span)| span);
                return Err(
                    unsupported(format!("EMIT CHANGES below {what} is not supported yet"), span).help("use EMIT FINAL")
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
        if let Operator::Aggregate(aggregate) = &mut self.plan.nodes[node].operator {
            if chosen == Emit::Changes && aggregate.calls.is_empty() {
                return Err(unsupported("EMIT CHANGES with DISTINCT is not supported yet", self.plan.nodes[node].span));
            }
            aggregate.emit = chosen;
        }
        Ok(Some(chosen))
    }
}

fn is_window_mark(column: usize) -> bool {
    column >= WINDOW_MARK
}

fn mentions_window(expression: &Expr) -> bool {
    let mut found = false;
    expression.visit_columns(&mut |column| found |= is_window_mark(column));
    found
}

fn mentions_column(expression: &Expr) -> bool {
    let mut found = false;
    expression.visit_columns(&mut |column| found |= !is_window_mark(column));
    found
}

/// What GROUP BY says, bound.
struct Grouping {
    keys: Vec<Expr>,
    window: Option<(Window, Expr)>,
    calls: Vec<crate::plan::AggregateCall>,
    names: Vec<String>,
}

/// Where keys, calls and bounds stand in an aggregate's output.
struct Columns {
    keys: Vec<(Expr, usize)>,
    windowed: bool,
    first_call: usize,
}

impl Columns {
    /// Turns an expression over the input, with marks, into one over the aggregate's output.
    fn place(&self, expression: &mut Expr) -> Result<()> {
        if let Some((_, column)) = self.keys.iter().find(|(key, _)| same(key, expression)) {
            expression.kind = ExprKind::Column(*column);
            return Ok(());
        }
        if let ExprKind::Column(column) = &mut expression.kind {
            match *column {
                OVER_MARK..WINDOW_MARK => {}
                AGGREGATE_MARK..OVER_MARK => *column = self.first_call + (*column - AGGREGATE_MARK),
                WINDOW_MARK.. if self.windowed => *column -= WINDOW_MARK,
                _ => {
                    return Err(Error::new(Code::Misplaced, "this column is neither in GROUP BY nor in an aggregate")
                        .at(expression.span)
                        .help("add it to GROUP BY, or use MIN, MAX or LAST_VALUE"));
                }
            }
            return Ok(());
        }
        expression.children_mut().into_iter().try_for_each(|child| self.place(child))
    }
}

fn conjunction(first: Expr, second: Expr) -> Expr {
    let span = first.span.to(second.span);
    let mut terms = Vec::new();
    for side in [first, second] {
        match side.kind {
            ExprKind::And(inner) => terms.extend(inner),
            _ => terms.push(side),
        }
    }
    at(Expr { kind: ExprKind::And(terms), data_type: DataType::Boolean, span }, span)
}

/// Whether the window comes from FROM and not from GROUP BY or a WINDOW clause.
fn from_has_window(select: &ast::Select, spec: &WindowSpec<'_>) -> bool {
    let ast::GroupByExpr::Expressions(trees, _) = &select.group_by else { return true };
    let items = select.projection.iter().filter_map(|item| match item {
        ast::SelectItem::UnnamedExpr(tree) | ast::SelectItem::ExprWithAlias { expr: tree, .. } => Some(tree),
        _ => None,
    });
    !trees.iter().chain(items).any(|tree| place(tree.span()) == spec.span)
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

/// The name of an unnamed column: its text, without what the pre-pass has put in.
fn shown(tree: &ast::Expr) -> String {
    let text = tree.to_string();
    let made_up = text.contains(super::prepass::BUFFER_ITEM);
    if made_up { text.split(" OVER ").next().unwrap_or_default().to_owned() } else { text }
}

/// A clause's first word taken for a name: `FROM t EMIT`.
fn lint_alias(alias: &ast::Ident) -> Result<()> {
    let soft =
        ["EMIT", "WITHIN", "TUMBLING", "HOPPING", "SLIDING", "WATERMARK", "FORM", "CHANGES", "FINAL", "WHER", "WEHRE"];
    if alias.quote_style.is_none() && soft.iter().any(|word| word.eq_ignore_ascii_case(&alias.value)) {
        let error = Error::new(Code::Syntax, format!("`{}` begins a clause that is not complete", alias.value));
        return Err(error.at(place(alias.span)).help("as a name, write it in double quotes"));
    }
    Ok(())
}

fn aliases(select: &ast::Select) -> Vec<(String, &ast::Expr)> {
    fn aliased(item: &ast::SelectItem) -> Option<(String, &ast::Expr)> {
        match item {
            ast::SelectItem::ExprWithAlias { expr, alias } => Some((alias.value.clone(), expr)),
            _ => None,
        }
    }
    select.projection.iter().filter_map(aliased).collect()
}

/// The SELECT item that `2` in GROUP BY or ORDER BY means.
fn position<'a>(tree: &ast::Expr, select: &'a ast::Select) -> Result<Option<&'a ast::Expr>> {
    let ast::Expr::Value(value) = tree else { return Ok(None) };
    let ast::Value::Number(number, _) = &value.value else { return Ok(None) };
    let wrong = || {
        let message = format!("position {number} is not in the SELECT list of {}", select.projection.len());
        Error::new(Code::UnknownColumn, message).at(place(value.span))
    };
    let index: usize = number.parse().map_err(|_| wrong())?;
    match index.checked_sub(1).and_then(|index| select.projection.get(index)) {
        Some(ast::SelectItem::UnnamedExpr(expr) | ast::SelectItem::ExprWithAlias { expr, .. }) => Ok(Some(expr)),
        _ => Err(wrong()),
    }
}

fn order_item<'a>(
    item: &'a ast::OrderByExpr,
    select: &'a ast::Select,
    items: &[(String, Expr)],
    binder: &mut Binder<'a>,
) -> Result<Expr> {
    if let ast::Expr::Identifier(name) = &item.expr
        && let Some((_, bound)) = items.iter().find(|(known, _)| known.eq_ignore_ascii_case(&name.value))
    {
        return Ok(at(bound.clone(), place(name.span)));
    }
    let tree = position(&item.expr, select)?.unwrap_or(&item.expr);
    binder.bind(tree)
}

fn sort_key(item: &ast::OrderByExpr) -> Result<SortKey> {
    let descending = match &item.options.sort {
        None | Some(ast::OrderBySort::Asc) => false,
        Some(ast::OrderBySort::Desc) => true,
        Some(ast::OrderBySort::Using(_)) => {
            return Err(unsupported("ORDER BY .. USING is not supported", place(item.span())));
        }
    };
    Ok(SortKey { column: 0, descending, nulls_first: item.options.nulls_first.unwrap_or(false) })
}

fn row_count(tree: &ast::Expr) -> Result<Option<u64>> {
    let number = match tree {
        ast::Expr::Value(value) if value.value == ast::Value::Null => return Ok(None),
        ast::Expr::Value(value) => value.to_string().parse::<u64>().ok(),
        _ => None,
    };
    let wrong = || Error::new(Code::Type, "LIMIT and OFFSET take a number of rows").at(place(tree.span()));
    number.map(Some).ok_or_else(wrong)
}

fn limits(clause: Option<&ast::LimitClause>, span: Span) -> Result<(Option<u64>, u64)> {
    match clause {
        None => Ok((None, 0)),
        Some(ast::LimitClause::LimitOffset { limit, offset, limit_by }) => {
            if !limit_by.is_empty() {
                return Err(unsupported("LIMIT .. BY is not supported yet", span));
            }
            let limit = limit.as_ref().map(row_count).transpose()?.flatten();
            let offset = offset.as_ref().map(|offset| row_count(&offset.value)).transpose()?.flatten();
            Ok((limit, offset.unwrap_or(0)))
        }
        Some(ast::LimitClause::OffsetCommaLimit { offset, limit }) => {
            Ok((row_count(limit)?, row_count(offset)?.unwrap_or(0)))
        }
    }
}

fn refuse_clauses(select: &ast::Select) -> Result<()> {
    let span = place(select.span());
    let refused = [
        (select.top.is_some(), "TOP", "use LIMIT"),
        (select.into.is_some(), "SELECT .. INTO", "use INSERT INTO"),
        (select.qualify.is_some(), "QUALIFY", "filter in an outer SELECT"),
        (!select.lateral_views.is_empty(), "LATERAL VIEW", "read a plain table"),
        (select.prewhere.is_some(), "PREWHERE", "use WHERE"),
        (!select.connect_by.is_empty(), "CONNECT BY", "leave it out"),
        (!select.cluster_by.is_empty() || !select.distribute_by.is_empty(), "CLUSTER BY", "leave it out"),
        (!select.sort_by.is_empty(), "SORT BY", "use ORDER BY"),
        (select.exclude.is_some(), "EXCLUDE", "name the columns"),
        (select.value_table_mode.is_some(), "SELECT AS", "name the columns"),
    ];
    match refused.into_iter().find(|(present, ..)| *present) {
        Some((_, what, help)) => Err(unsupported(format!("{what} is not supported yet"), span).help(help)),
        None => Ok(()),
    }
}
