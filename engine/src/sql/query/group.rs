//! GROUP BY and DISTINCT: the aggregate node, and where keys, calls and bounds stand behind it.

use sqlparser::ast::{self, Spanned};

use super::grouping::Sets;
use super::select::{aliases, position};
use super::{Closed, Natural, Planner, Relation};
use crate::error::{Code, Error, Result, Span};
use crate::expr::{Expr, ExprKind};
use crate::plan::{Aggregate, Emit, Late, Operator, Phase, SortKey, Window, WindowKind};
use crate::sql::expression::Binder;
use crate::sql::scope::{AGGREGATE_MARK, GROUPING_MARK, OVER_MARK, Scope, WINDOW_MARK, same};
use crate::sql::token::place;
use crate::sql::unsupported;
use crate::sql::window::{self, WindowSpec};
use crate::types::{DataType, Field, Value};

impl Planner<'_> {
    /// GROUP BY's trees, and the window: FROM's or the one among them.
    pub(super) fn group_by<'a>(
        &self,
        select: &'a ast::Select,
        scope: &Scope,
        window: Option<WindowSpec<'a>>,
    ) -> Result<(Sets<'a>, Option<WindowSpec<'a>>)> {
        let (trees, modifiers): (Vec<&ast::Expr>, _) = match &select.group_by {
            ast::GroupByExpr::Expressions(trees, modifiers) => (trees.iter().collect(), modifiers),
            ast::GroupByExpr::All(modifiers) => (self.plain_items(select, scope)?, modifiers),
        };
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
            match window::of_group_by(tree, self.options.clock)? {
                None => keys.push(tree),
                Some(spec) if window.is_none() => window = Some(spec),
                Some(spec) => return Err(Error::new(Code::Syntax, "a second window for one SELECT").at(spec.span)),
            }
        }
        Ok((Sets::of(&keys, modifiers, place(select.span()))?, window))
    }

    /// GROUP BY ALL: the items of SELECT that hold no aggregate.
    fn plain_items<'a>(&self, select: &'a ast::Select, scope: &Scope) -> Result<Vec<&'a ast::Expr>> {
        let mut trees = Vec::new();
        for item in &select.projection {
            let (ast::SelectItem::UnnamedExpr(tree) | ast::SelectItem::ExprWithAlias { expr: tree, .. }) = item else {
                return Err(
                    unsupported("GROUP BY ALL with `*` is not supported", place(item.span())).help("name the columns")
                );
            };
            let mut binder = Binder::new(scope, self.options.clock, "SELECT");
            (binder.aggregates, binder.overs, binder.windows) = (true, true, &select.named_window);
            binder.window = Some(DataType::Timestamp { precision: 3, zone: None });
            // What can't be bound is told of where SELECT is.
            let bound = binder.bind(tree);
            if bound.is_err() || binder.calls.is_empty() && binder.over_items.is_empty() {
                trees.push(tree);
            }
        }
        Ok(trees)
    }

    pub(super) fn aggregate(&mut self, relation: &mut Relation<'_>, grouping: Grouping, span: Span) -> Result<Columns> {
        let all: Vec<usize> = (0..grouping.keys.len()).collect();
        if grouping.sets.len() > 1 || grouping.sets.iter().any(|set| *set != all) {
            return self.grouping_sets(relation, grouping, span);
        }
        let Grouping { mut keys, window, calls, names, .. } = grouping;
        relation.emit = None;
        let by_position = calls.iter().find(|call| call.function.is_by_position());
        if let (Some(call), Natural::Unordered { .. }) = (by_position, &relation.natural)
            && !self.put_in_order(relation)
        {
            let error = unsupported("the rows of this UNION have no order that this aggregate could follow", call.span);
            return Err(error.help("take MIN or MAX, or give all sides a WATERMARK column in the same place"));
        }
        let mut fields = Vec::new();
        let mut aggregate_window = None;
        if let Some((window, time)) = &window {
            let column = self.column_of(relation, time, "time");
            self.judge(relation, if window.is_session() { Late::Row } else { Late::Window(*window) });
            aggregate_window = Some((*window, column));
            fields.extend(
                ["window_start", "window_end"].map(|name| Field { name: name.to_owned(), data_type: time.data_type }),
            );
        }
        // Results of windows grouped by their bounds again: these follow from the window's columns.
        let again = if window.is_none() { regrouped(relation, &mut keys)? } else { None };
        if let Some((closed, window, time)) = &again {
            self.judge(relation, Late::Window(closed.window));
            let column = self.column_of(relation, time, "time");
            aggregate_window = Some((*window, column));
            let field = |name: &str| Field { name: name.to_owned(), data_type: closed.end.data_type };
            fields.extend([field("window_start"), field("window_end")]);
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
        let place = |(n, key): (usize, &Expr)| (key.clone(), Expr::column(first_key + n, key.data_type));
        let mut columns = Columns {
            keys: keys.iter().enumerate().map(place).collect(),
            windowed: window.is_some(),
            first_call,
            calls: calls.len(),
            in_sets: false,
        };
        let windowed = aggregate_window.is_some();
        let made = match (&window, again) {
            // Sessions end at any time, so none of them share an end that closes a window over them.
            (Some((window, _)), _) if window.is_session() => None,
            (Some((window, time)), _) => {
                let bound = |column| Expr::column(column, time.data_type);
                Some(Closed { window: *window, start: bound(0), end: bound(1) })
            }
            (None, Some((closed, ..))) => {
                let end = Expr::column(1, closed.end.data_type);
                let start = match closed.window.kind {
                    WindowKind::Hop if closed.window.is_tumbling() => Expr::column(0, closed.end.data_type),
                    WindowKind::Hop => window::before(end.clone(), closed.window.size)?,
                    _ => window::start_before(end.clone(), &closed.window)?,
                };
                columns.keys.push((closed.start, start.clone()));
                columns.keys.push((closed.end, end.clone()));
                Some(Closed { window: closed.window, start, end })
            }
            (None, None) => None,
        };
        let operator = Aggregate { keys, window: aggregate_window, calls, emit: Emit::Final, phase: Phase::Single };
        relation.node = self.add(Operator::Aggregate(operator), relation.node, fields.clone(), span);
        relation.times.clear();
        relation.closed = made;
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

    /// DISTINCT: a group per row, without aggregates.
    pub(super) fn distinct(
        &mut self,
        relation: &mut Relation<'_>,
        sort: &mut [(Expr, SortKey)],
        span: Span,
    ) -> Result<()> {
        let keys: Vec<Expr> = relation.scope.columns.iter().map(|column| column.expression.clone()).collect();
        self.check_groups(relation, &keys, "DISTINCT", span)?;
        for (item, _) in sort.iter_mut() {
            let position = keys.iter().position(|key| same(key, item)).ok_or_else(|| {
                Error::new(Code::Misplaced, "with DISTINCT, ORDER BY may only name selected columns").at(item.span)
            })?;
            *item = Expr::column(position, item.data_type);
        }
        let names: Vec<String> = relation.scope.columns.iter().map(|column| column.name.clone()).collect();
        let grouping = Grouping::of(keys, Vec::new(), Vec::new());
        let columns = self.aggregate(relation, grouping, span)?;
        for (column, name) in relation.scope.columns.iter_mut().zip(names) {
            columns.place(&mut column.expression)?;
            column.name = name;
        }
        Ok(())
    }
}

impl Planner<'_> {
    /// Groups by all columns must close: when the input ends, or with the windows that the rows are of.
    pub(super) fn check_groups(&self, relation: &Relation<'_>, keys: &[Expr], what: &str, span: Span) -> Result<()> {
        let closes = |closed: &Closed| keys.iter().any(|key| same(key, &closed.end) || same(key, &closed.start));
        if relation.bounded || relation.closed.as_ref().is_some_and(closes) {
            return Ok(());
        }
        let error = unsupported(format!("{what} over endless input is not supported yet"), span);
        Err(error.help("use a window and GROUP BY"))
    }
}

fn is_window_mark(column: usize) -> bool {
    column >= WINDOW_MARK
}

pub(super) fn mentions_window(expression: &Expr) -> bool {
    let mut found = false;
    expression.visit_columns(&mut |column| found |= is_window_mark(column));
    found
}

pub(super) fn mentions_column(expression: &Expr) -> bool {
    let mut found = false;
    expression.visit_columns(&mut |column| found |= !is_window_mark(column));
    found
}

/// What GROUP BY says, bound.
pub(super) struct Grouping {
    pub(super) keys: Vec<Expr>,
    pub(super) window: Option<(Window, Expr)>,
    pub(super) calls: Vec<crate::plan::AggregateCall>,
    pub(super) names: Vec<String>,
    /// Which keys each set is of; none for all of them.
    pub(super) sets: Vec<Vec<usize>>,
    /// Of which keys each GROUPING is.
    pub(super) groupings: Vec<Vec<usize>>,
}

impl Grouping {
    /// By all of `keys`, without a window.
    pub(super) fn of(keys: Vec<Expr>, calls: Vec<crate::plan::AggregateCall>, names: Vec<String>) -> Grouping {
        Grouping { keys, window: None, calls, names, sets: Vec::new(), groupings: Vec::new() }
    }
}

/// If `keys` name the windows whose results the rows are: those windows, a window and a time that
/// tell them apart and close when they do. Keys that follow from the bounds are taken out.
fn regrouped(relation: &Relation<'_>, keys: &mut Vec<Expr>) -> Result<Option<(Closed, Window, Expr)>> {
    let Some(closed) = &relation.closed else { return Ok(None) };
    let last = window::time_of(closed.end.clone())?;
    let is_bound = |key: &Expr| [&closed.start, &closed.end, &last].iter().any(|bound| same(bound, key));
    if !keys.iter().any(is_bound) {
        return Ok(None);
    }
    keys.retain(|key| !is_bound(key));
    // One piece of `slide` before each end; ends stand as far apart, so a piece belongs to one of them.
    let Window { size, slide, offset, .. } = closed.window;
    let piece = Window::hop(slide, slide, (offset + size).rem_euclid(slide));
    Ok(Some((closed.clone(), piece, window::before(closed.end.clone(), 1)?)))
}

/// Where keys, calls and bounds stand in an aggregate's output.
pub(super) struct Columns {
    keys: Vec<(Expr, Expr)>,
    windowed: bool,
    first_call: usize,
    /// How many calls there are; what GROUPING says of sets stands behind them.
    calls: usize,
    /// Whether there are grouping sets; else every row is grouped by all keys, of which GROUPING says 0.
    in_sets: bool,
}

impl Columns {
    /// The columns of grouping sets.
    pub(super) fn of_sets(keys: &[Expr], first_key: usize, calls: usize) -> Columns {
        let place = |(n, key): (usize, &Expr)| (key.clone(), Expr::column(first_key + n, key.data_type));
        let first_call = first_key + keys.len();
        let keys = keys.iter().enumerate().map(place).collect();
        Columns { keys, windowed: first_key > 0, first_call, calls, in_sets: true }
    }

    /// The result of aggregate number `n`.
    pub(super) fn call(&self, n: usize, data_type: DataType) -> Expr {
        Expr::column(self.first_call + n, data_type)
    }

    /// Turns an expression over the input, with marks, into one over the aggregate's output.
    pub(super) fn place(&self, expression: &mut Expr) -> Result<()> {
        if let Some((_, placed)) = self.keys.iter().find(|(key, _)| same(key, expression)) {
            expression.kind = placed.kind.clone();
            return Ok(());
        }
        if let ExprKind::Column(column) = &mut expression.kind {
            match *column {
                OVER_MARK..WINDOW_MARK => {}
                AGGREGATE_MARK..GROUPING_MARK => *column = self.first_call + (*column - AGGREGATE_MARK),
                GROUPING_MARK..OVER_MARK if !self.in_sets => {
                    expression.kind = ExprKind::Literal(Value::I64(0));
                }
                GROUPING_MARK..OVER_MARK => *column = self.first_call + self.calls + (*column - GROUPING_MARK),
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

/// Whether the window comes from FROM and not from GROUP BY or a WINDOW clause.
pub(super) fn from_has_window(select: &ast::Select, spec: &WindowSpec<'_>) -> bool {
    let ast::GroupByExpr::Expressions(trees, _) = &select.group_by else { return true };
    let items = select.projection.iter().filter_map(|item| match item {
        ast::SelectItem::UnnamedExpr(tree) | ast::SelectItem::ExprWithAlias { expr: tree, .. } => Some(tree),
        _ => None,
    });
    !trees.iter().chain(items).any(|tree| place(tree.span()) == spec.span)
}
