//! One SELECT: its clauses bound in the order in which they mean something, and put together as nodes.

use std::collections::HashMap;

use sqlparser::ast::{self, Spanned};

use super::from::lint_alias;
use super::group::{Grouping, from_has_window, mentions_column, mentions_window};
use super::grouping::{Sets, grouping_keys, key_sets};
use super::order::{order_item, sort_key};
use super::rank::narrow;
use super::scalar::{has_constant, of_groups};
use super::semi::terms;
use super::{Planner, Relation, clauses, star, unnest};
use crate::error::{Code, Error, Result};
use crate::expr::{Expr, ExprKind};
use crate::plan::Operator;
use crate::sql::expression::{Binder, at};
use crate::sql::scope::{OVER_MARK, Scope, ScopeColumn, WINDOW_MARK, same, substitute};
use crate::sql::token::place;
use crate::sql::window::WindowSpec;
use crate::sql::{MAX_COLUMNS, unsupported, window};
use crate::types::DataType;

impl Planner<'_> {
    /// One SELECT.
    pub(super) fn body<'a>(
        &mut self,
        select: &'a ast::Select,
        order: &'a [ast::OrderByExpr],
        wanted: Option<u64>,
        ctes: &HashMap<String, &'a ast::Cte>,
    ) -> Result<Relation<'a>> {
        clauses::of_select(select)?;
        let span = place(select.span());
        let (mut conditions, mut subqueries) = (Vec::new(), Vec::new());
        if let Some(tree) = &select.selection {
            terms(tree, &mut conditions, &mut subqueries);
        }
        let mut relation = self.source(select, &conditions, &subqueries, ctes)?;
        if let Some(tree) = &select.selection
            && relation.window.as_ref().is_some_and(|spec| spec.window.is_session())
        {
            return Err(unsupported("WHERE behind a SESSION in FROM is not supported yet", place(tree.span())).help(
                "filter first: FROM SESSION((SELECT * FROM t WHERE ..), ts, gap), or GROUP BY SESSION(ts, gap)",
            ));
        }
        let window = relation.window.take();
        let (Sets { trees: group_trees, sets }, mut window) = self.group_by(select, &relation.scope, window)?;
        // Rows of a window, each by itself.
        let alone = |spec: &mut WindowSpec<'_>| {
            group_trees.is_empty() && spec.window.is_tumbling() && from_has_window(select, spec)
        };
        let of_rows = window.take_if(alone);
        if let Some(spec) = &of_rows {
            self.add_bounds(&mut relation, spec)?;
        }
        let mut scalars = Vec::new();
        if window.is_none() {
            let items = select.projection.iter().filter_map(|item| match item {
                ast::SelectItem::UnnamedExpr(tree) | ast::SelectItem::ExprWithAlias { expr: tree, .. } => Some(tree),
                _ => None,
            });
            let trees: Vec<&ast::Expr> = items.chain(&select.having).collect();
            relation = self.scalars(relation, &trees, None, &mut scalars, ctes)?;
        }
        let unnested = self.unnest_items(&mut relation, select, group_trees.is_empty() && window.is_none())?;
        let scope = std::mem::take(&mut relation.scope);
        let time = match &window {
            Some(spec) => Some(self.time_of(&mut relation, &scope, spec)?),
            None => None,
        };
        if let Some(spec) = window.as_ref().filter(|spec| spec.grace > 0) {
            self.add_grace(relation.node, spec.grace);
        }
        let mut binder = Binder::new(&scope, self.options.clock, "SELECT");
        binder.windows = &select.named_window;
        binder.scalars = scalars.iter().map(|scalar| (scalar.at, scalar.value.clone())).collect();
        binder.unnested.clone_from(&unnested);
        binder.window = time.as_ref().map(|time| time.data_type);

        // Aliases serve GROUP BY, HAVING and ORDER BY, not SELECT itself.
        let aliases = aliases(select);
        binder.clause = "GROUP BY";
        binder.aliases.clone_from(&aliases);
        let mut keys: Vec<Expr> = Vec::new();
        let mut names_window = false;
        // Keys that follow from the window, which is a key already.
        let mut of_window: Vec<Expr> = Vec::new();
        // Per tree, which key it is, if it is not of the window.
        let mut key_of: Vec<Option<usize>> = Vec::new();
        for (number, tree) in group_trees.iter().enumerate() {
            let tree = position(tree, select)?.unwrap_or(tree);
            let key = binder.bind(tree)?;
            let bound = matches!(key.kind, ExprKind::Column(WINDOW_MARK..));
            if (bound || mentions_window(&key)) && sets.iter().any(|set| !set.contains(&number)) {
                return Err(unsupported("a grouping set without the window's bounds is not supported", key.span)
                    .help("GROUP BY window_start, window_end, GROUPING SETS (..)"));
            }
            if bound {
                names_window = true;
                key_of.push(None);
            } else if mentions_window(&key) {
                of_window.push(key);
                key_of.push(None);
            } else {
                let known = keys.iter().position(|known| same(known, &key));
                key_of.push(Some(known.unwrap_or(keys.len())));
                if known.is_none() {
                    keys.push(key);
                }
            }
        }
        if let Some(key) = of_window.iter().find(|key| !names_window || mentions_column(key)) {
            return Err(unsupported("this key of a window's bounds is not supported", key.span)
                .help("GROUP BY window_start, window_end, and compute it in the SELECT list"));
        }
        if let Some(spec) = &window {
            check_partition(spec, &keys, &mut binder)?;
        }
        binder.aliases.clear();
        (binder.aggregates, binder.overs, binder.clause) = (true, true, "SELECT");
        let mut items = self.items(select, &mut binder)?;
        binder.aliases.clone_from(&aliases);
        (binder.overs, binder.clause) = (false, "HAVING");
        let having = select.having.as_ref().map(|tree| binder.condition(tree)).transpose()?;
        (binder.overs, binder.clause) = (true, "QUALIFY");
        let mut qualify = select.qualify.as_ref().map(|tree| binder.condition(tree)).transpose()?;
        if let Some(condition) = qualify.as_ref().filter(|_| binder.over_items.is_empty()) {
            return Err(Error::new(Code::Misplaced, "QUALIFY is about a function with OVER, and there is none")
                .at(condition.span)
                .help("use WHERE, or HAVING for aggregates"));
        }
        binder.clause = "ORDER BY";
        let mut sort = Vec::new();
        for item in order {
            sort.push((order_item(item, select, &items, &mut binder)?, sort_key(item)?));
        }
        let mut on: Vec<Expr> = match &select.distinct {
            Some(ast::Distinct::On(trees)) => {
                binder.clause = "DISTINCT ON";
                trees.iter().map(|tree| self.distinct_key(tree, select, &items, &mut binder)).collect::<Result<_>>()?
            }
            _ => Vec::new(),
        };
        let Binder { calls, call_names, over_items, groupings, .. } = binder;
        let inside = calls.iter().flat_map(|call| call.arguments.iter().chain(&call.filter));
        if let Some(bound) = inside.into_iter().find(|argument| mentions_window(argument)) {
            return Err(unsupported("a window's bound inside an aggregate is not supported", bound.span)
                .help("it is the same for the whole group: use it outside, or aggregate over a subquery"));
        }
        let mut overs = over_items;
        let grouped = !group_trees.is_empty() || !calls.is_empty() || having.is_some();
        if grouped && !scalars.is_empty() {
            if keys.is_empty() && has_constant(&scalars) {
                let error = unsupported("a subquery beside aggregates needs GROUP BY", span);
                return Err(error.help("compute the aggregates in a subquery in FROM"));
            }
            // It is the same for all rows of a group, so groups do not change.
            keys.extend(of_groups(&scalars, &keys));
        }
        let sets = key_sets(&sets, &key_of, keys.len());
        let groupings = groupings.iter().map(|of| grouping_keys(of, &keys)).collect::<Result<Vec<_>>>()?;

        let aggregated = !group_trees.is_empty()
            || sets.len() > 1
            || !groupings.is_empty()
            || !calls.is_empty()
            || having.is_some()
            || window.is_some();
        relation.scope = scope;
        if let (true, Some((_, element))) = (aggregated, unnested.first()) {
            return Err(unnest::beside_groups(element.span));
        }
        if aggregated {
            let implied = window.as_ref().is_some_and(|spec| names_window || !from_has_window(select, spec));
            if let Some(spec) = window.as_ref().or(of_rows.as_ref()).filter(|_| !implied) {
                return Err(unsupported("a window in FROM without its bounds in GROUP BY is not supported", spec.span)
                    .help("add GROUP BY window_start, window_end"));
            }
            let window = window.map(|spec| spec.window).zip(time);
            let aggregate = Grouping { keys, window, calls, names: call_names, sets, groupings };
            let columns = self.aggregate(&mut relation, aggregate, span)?;
            let expressions = items.iter_mut().map(|(_, item)| item).chain(sort.iter_mut().map(|(item, _)| item));
            for expression in expressions.chain(&mut qualify).chain(&mut on) {
                columns.place(expression)?;
            }
            for over in &mut overs {
                over.partition
                    .iter_mut()
                    .chain(over.order.iter_mut().map(|(order, _)| order))
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
            expressions.chain(&mut qualify).chain(&mut on).for_each(|expression| substitute(expression, &meaning));
        }
        if let Some(condition) = qualify {
            self.filter(&mut relation, condition)?;
        }
        let clock = relation.scope.clock.take().filter(|_| !aggregated);
        relation.scope = Scope {
            clock: clock.filter(|_| matches!(&select.distinct, None | Some(ast::Distinct::All))),
            columns: items
                .into_iter()
                .map(|(name, expression)| ScopeColumn { relation: String::new(), name, expression, merged: false })
                .collect(),
        };
        match &select.distinct {
            None | Some(ast::Distinct::All) => {}
            Some(ast::Distinct::Distinct) => self.distinct(&mut relation, &mut sort, span)?,
            Some(ast::Distinct::On(_)) => self.distinct_on(&mut relation, on, &sort, span)?,
        }
        if !sort.is_empty() {
            self.sort(&mut relation, sort, wanted, span)?;
        }
        Ok(relation)
    }

    /// The items of SELECT, `*` written out: name and expression.
    pub(super) fn items<'a>(&self, select: &'a ast::Select, binder: &mut Binder<'a>) -> Result<Vec<(String, Expr)>> {
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
                        ast::Expr::CompoundFieldAccess { access_chain, .. } => match access_chain.last() {
                            Some(ast::AccessExpr::Dot(ast::Expr::Identifier(name))) => name.value.clone(),
                            _ => shown(tree),
                        },
                        tree => shown(tree),
                    };
                    items.push((name, binder.bind(tree)?));
                }
                ast::SelectItem::ExprWithAlias { expr, alias } => {
                    lint_alias(alias)?;
                    items.push((alias.value.clone(), binder.bind(expr)?));
                }
                ast::SelectItem::Wildcard(options) => {
                    let columns = binder.scope.columns.iter().filter(|column| !column.merged);
                    items.extend(star::columns(columns, options, binder)?);
                }
                ast::SelectItem::QualifiedWildcard(kind, options) => {
                    let relation = match kind {
                        ast::SelectItemQualifiedWildcardKind::ObjectName(name) => name.to_string(),
                        ast::SelectItemQualifiedWildcardKind::Expr(tree) => tree.to_string(),
                    };
                    let columns = &binder.scope.columns;
                    let mut columns = columns.iter().filter(|c| c.relation.eq_ignore_ascii_case(&relation)).peekable();
                    if columns.peek().is_none()
                        && let Some(fields) = unnest::fields_of(binder.scope, kind)?
                    {
                        items.extend(star::columns(fields.iter(), options, binder)?);
                        continue;
                    }
                    if columns.peek().is_none() {
                        let error = Error::new(Code::UnknownTable, format!("table `{relation}` is not in FROM"));
                        return Err(error.at(place(item.span())));
                    }
                    items.extend(star::columns(columns, options, binder)?);
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

    /// WHERE and HAVING: into the scan where that is the input, else a node.
    pub(super) fn filter(&mut self, relation: &mut Relation<'_>, mut condition: Expr) -> Result<()> {
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
        if let Operator::Rank(rank) = &mut self.plan.nodes[relation.node].operator {
            narrow(rank, fields.len(), &condition);
        }
        relation.node = self.add(Operator::Filter(condition), relation.node, fields, span);
        Ok(())
    }
}

/// What a session is said to be of must be what the rows are grouped by.
fn check_partition<'a>(spec: &WindowSpec<'a>, keys: &[Expr], binder: &mut Binder<'a>) -> Result<()> {
    if spec.partition.is_empty() {
        return Ok(());
    }
    let mut of = Vec::new();
    for tree in &spec.partition {
        let key = binder.bind(tree)?;
        if !keys.iter().any(|known| same(known, &key)) {
            return Err(unsupported("a session of a key that is not in GROUP BY is not supported", key.span)
                .help("add the key to GROUP BY"));
        }
        of.push(key);
    }
    match keys.iter().find(|key| !of.iter().any(|known| same(known, key))) {
        Some(key) => Err(unsupported("a key in GROUP BY that the session is not of is not supported", key.span)
            .help("name it in the session's PARTITION BY, or leave it out")),
        None => Ok(()),
    }
}

pub(crate) fn conjunction(first: Expr, second: Expr) -> Expr {
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

/// The name of an unnamed column: its text, without what the pre-pass has put in.
pub(in crate::sql) fn shown(tree: &ast::Expr) -> String {
    let text = tree.to_string();
    let made_up = text.contains(crate::sql::prepass::BUFFER_ITEM);
    if made_up { text.split(" OVER ").next().unwrap_or_default().to_owned() } else { text }
}

pub(super) fn aliases(select: &ast::Select) -> Vec<(String, &ast::Expr)> {
    fn aliased(item: &ast::SelectItem) -> Option<(String, &ast::Expr)> {
        match item {
            ast::SelectItem::ExprWithAlias { expr, alias } => Some((alias.value.clone(), expr)),
            _ => None,
        }
    }
    select.projection.iter().filter_map(aliased).collect()
}

/// The SELECT item that `2` in GROUP BY or ORDER BY means.
pub(super) fn position<'a>(tree: &ast::Expr, select: &'a ast::Select) -> Result<Option<&'a ast::Expr>> {
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
