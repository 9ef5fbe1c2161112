//! Queries to plan nodes: FROM, WHERE, GROUP BY, OVER, HAVING, ORDER BY, LIMIT, and the sink.
//!
//! A [`Relation`] is a node and what names mean over its columns. Projections (subqueries, views,
//! computed columns) make no node: they are written into their users, so that a WHERE over a view
//! ends up in the scan.
//!
//! | module | what it plans |
//! |---|---|
//! | `from` | FROM: tables, files, views, subqueries, windows over them |
//! | `values` | VALUES, and SELECT without FROM |
//! | `unnest` | UNNEST in FROM and in SELECT |
//! | `join`, `within` | FROM with several tables; how far apart in time their rows may be |
//! | `semi`, `scalar` | IN and EXISTS with a subquery; subqueries that give one value |
//! | `select` | one SELECT, clause by clause |
//! | `sets` | UNION, INTERSECT, EXCEPT |
//! | `bounds` | windows in FROM without GROUP BY |
//! | `clauses`, `star` | what parses and is refused; `*` and what is said behind it |
//! | `group`, `order` | the nodes of GROUP BY and DISTINCT, of ORDER BY and LIMIT |
//! | `grouping` | GROUPING SETS, ROLLUP and CUBE |
//! | `over`, `rank` | the nodes of OVER: over frames, and ranks by any order |
//! | `time`, `state` | which columns follow the watermark; for how long rows are kept |
//! | `sink` | where a query ends |

mod bounds;
mod clauses;
mod from;
mod group;
mod grouping;
mod join;
mod order;
mod over;
mod rank;
mod scalar;
mod select;
mod semi;
mod sets;
mod sink;
mod star;
mod state;
mod time;
mod unnest;
mod values;
mod within;

use std::collections::HashMap;

pub(super) use clauses::of_call;
pub(super) use order::sort_key;
pub(crate) use select::conjunction;
pub(super) use select::shown;

use sqlparser::ast::{self, Spanned};

use super::expression::coerce;
use super::function::Functions;
use super::hint::Hint;
use super::scope::{Scope, ScopeColumn};
use super::statement::Said;
use super::suggest::did_you_mean;
use super::token::place;
use super::window::WindowSpec;
use super::{Catalog, Clock, Dialect, Explain, Options, Program, Table, unsupported};
use crate::error::{Code, Error, Result, Span};
use crate::expr::Expr;
use crate::plan::{Emit, NodeId, Operator, Plan, SortKey, Window, changes, optimize};
use crate::types::{DataType, Field, Schema, Value};
use crate::zone::Zone;

/// Most views and subqueries in each other.
const MAX_VIEWS: usize = 32;

/// What a query has built so far.
pub(super) struct Relation<'a> {
    node: NodeId,
    scope: Scope,
    /// Expressions over the node that follow the watermark.
    times: Vec<Expr>,
    natural: Natural,
    /// The windows that the rows are results of, or lie in.
    closed: Option<Closed>,
    window: Option<WindowSpec<'a>>,
    bounded: bool,
    /// What EMIT said in the view that this is.
    emit: Said,
}

/// Windows that the rows are results of, or lie in: what they are, and their bounds over the node.
#[derive(Clone, Debug)]
struct Closed {
    window: Window,
    start: Expr,
    end: Expr,
}

/// The order rows come in within a shard, by columns of the node.
#[derive(Clone, Debug)]
enum Natural {
    Position,
    Time(usize),
    /// None; of several inputs, all with this time if there is one.
    Unordered {
        time: Option<usize>,
    },
    Keys {
        keys: Vec<SortKey>,
        time_first: bool,
    },
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
    /// Functions that the script has declared.
    pub functions: Functions,
    used: Vec<Table>,
    emits: Vec<Option<Emit>>,
    depth: usize,
    pub explain: Option<Explain>,
    shown: Option<String>,
    hints: Vec<Hint>,
    warnings: Vec<String>,
}

impl<'c> Planner<'c> {
    pub fn new(catalog: &'c mut dyn Catalog, options: Options, hints: Vec<Hint>) -> Self {
        Planner {
            catalog,
            options,
            plan: Plan::default(),
            declared: HashMap::new(),
            views: HashMap::new(),
            functions: Functions::new(),
            used: Vec::new(),
            emits: Vec::new(),
            depth: 0,
            explain: None,
            shown: None,
            hints,
            warnings: Vec::new(),
        }
    }

    /// Tells the user, who may not expect it.
    pub fn warn(&mut self, what: String) {
        self.warnings.push(what);
    }

    pub fn clock(&self) -> Clock {
        self.options.clock
    }

    /// Reads instants off the clocks of `zone` from here on.
    pub fn move_to(&mut self, zone: Zone) {
        self.options.clock.zone = zone;
    }

    pub fn finish(self) -> Result<Program> {
        let ordinals = self.options.ordinals || self.options.ordered;
        let plan = changes::run(optimize::run(self.plan, ordinals), ordinals)?;
        if let Some(hint) = self.hints.iter().find(|hint| !hint.used) {
            let what = format!("STATE_TTL names `{}`, which no join of this statement has as a side", hint.table);
            let error = Error::new(Code::UnknownTable, what).at(hint.span);
            return Err(error.help("name a table or a subquery that is joined, by what it is called there"));
        }
        let mut warnings = self.warnings;
        warnings.extend(state::warnings(&plan, &self.used));
        let (tables, explain) = (self.used, self.explain);
        Ok(Program {
            plan,
            tables,
            explain,
            emits: self.emits,
            warnings,
            now_us: self.options.clock.now_us,
            shown: self.shown,
        })
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

    /// Does something for its errors alone: nothing of it stays.
    pub fn try_out(&mut self, what: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let kept = (self.plan.clone(), self.used.clone(), self.emits.clone(), self.depth);
        let done = what(self);
        (self.plan, self.used, self.emits, self.depth) = kept;
        done
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
        let mut relation = self.query(&query, &HashMap::new())?;
        if !columns.is_empty() {
            spread(&mut relation.scope, &table, columns, name_span)?;
        }
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
                clauses::of_cte(cte)?;
                ctes.insert(cte.alias.name.value.to_lowercase(), cte);
            }
        }
        let span = place(query.span());
        clauses::of_query(query)?;
        let order: &[ast::OrderByExpr] = match query.order_by.as_ref().map(|order| &order.kind) {
            None => &[],
            Some(ast::OrderByKind::Expressions(items)) => items,
            Some(ast::OrderByKind::All(_)) => return Err(unsupported("ORDER BY ALL is not supported yet", span)),
        };
        let (limit, offset) = order::limits(query, span)?;
        let mut relation = match &*query.body {
            ast::SetExpr::Select(select) => {
                self.body(select, order, limit.map(|limit| limit.saturating_add(offset)), &ctes)?
            }
            body => {
                let mut relation = self.set_tree(body, &ctes)?;
                self.order_of_set(&mut relation, order, limit.map(|limit| limit.saturating_add(offset)), span)?;
                relation
            }
        };
        if limit.is_some() || offset > 0 {
            let fields = self.fields(relation.node);
            relation.node = self.add(Operator::Limit { limit, offset }, relation.node, fields, span);
        }
        self.depth -= 1;
        Ok(relation)
    }
}

/// The columns of an INSERT that lists `columns`, in the order of `table`'s: NULL where none is listed.
fn spread(scope: &mut Scope, table: &Table, columns: &[(String, Span)], span: Span) -> Result<()> {
    let (wants, has) = (columns.len(), scope.columns.len());
    if wants != has {
        return Err(Error::new(Code::Type, format!("{wants} columns are listed, the SELECT gives {has}")).at(span));
    }
    for (number, (name, place)) in columns.iter().enumerate() {
        let is_known = table.columns.iter().any(|column| column.name.eq_ignore_ascii_case(name));
        if !is_known && !table.columns.is_empty() {
            let error = Error::new(Code::UnknownColumn, format!("table `{}` has no column `{name}`", table.name));
            let names = table.columns.iter().map(|column| column.name.as_str());
            return Err(match did_you_mean(name, names) {
                Some(help) => error.at(*place).help(help),
                None => error.at(*place),
            });
        }
        if columns[..number].iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
            return Err(Error::new(Code::AmbiguousColumn, format!("`{name}` is listed twice")).at(*place));
        }
    }
    let given = columns.iter().zip(std::mem::take(&mut scope.columns));
    let mut given: Vec<ScopeColumn> =
        given.map(|((name, _), column)| ScopeColumn { name: name.clone(), ..column }).collect();
    if !table.columns.is_empty() {
        let ordered = table.columns.iter().map(|target| {
            let at = given.iter().position(|column| column.name.eq_ignore_ascii_case(&target.name));
            at.map(|at| given[at].clone()).unwrap_or_else(|| ScopeColumn {
                relation: String::new(),
                name: target.name.clone(),
                expression: Expr::literal(Value::Null, target.data_type),
                merged: false,
            })
        });
        given = ordered.collect();
    }
    scope.columns = given;
    Ok(())
}
