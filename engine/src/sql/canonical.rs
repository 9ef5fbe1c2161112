//! EXPLAIN (CANONICAL): a query in the one form that all accepted spellings mean.
//!
//! The core is `FROM TUMBLE(t, ts, INTERVAL '10' SECOND) .. GROUP BY window_start, window_end`. Windows that
//! are said in GROUP BY or by a WINDOW clause move into FROM, bounds get their names, and what the pre-pass
//! has put into the tree of joins and of OVER is written as the clauses it stands for. The text is read by
//! the same rules as any other, and plans the same.
//!
//! What is rewritten is made of text, put into the tree as a name that is printed as it is.

use sqlparser::ast::{self, Ident};

use super::Clock;
use super::prepass::join::{AS_OF_TERM, ASOF_TERM, WITHIN_TERM};
use super::prepass::{BUFFER_ITEM, WINDOW_ITEM};
use super::statement::Said;
use super::window::{self, WindowSpec};
use crate::error::Result;
use crate::plan::{Emit, Window, WindowKind};

/// Stands where ASOF belongs before LEFT, until the text is whole.
const ASOF_MARK: &str = "\u{1}ASOF ";

/// The canonical text of a query.
pub(super) fn text(query: &ast::Query, emit: Said, clock: Clock) -> Result<String> {
    let mut query = query.clone();
    let rewriter = Rewriter { clock };
    rewriter.query(&mut query)?;
    let mut text = query.to_string();
    for operator in ["LEFT JOIN ", "LEFT OUTER JOIN ", "INNER JOIN ", "JOIN "] {
        let (found, to) = (format!("{operator}{ASOF_MARK}"), format!("ASOF {operator}").replace("OUTER ", ""));
        text = text.replace(&found, &to);
    }
    match emit {
        Some((Emit::Changes, _)) => text.push_str(" EMIT CHANGES"),
        Some((Emit::Changelog, _)) => text.push_str(" EMIT CHANGELOG"),
        Some((Emit::Final, _)) => text.push_str(" EMIT FINAL"),
        Some((Emit::Delayed(micros), _)) => {
            text.push_str(&format!(" EMIT AFTER WINDOW CLOSE WITH DELAY INTERVAL '{micros}' MICROSECOND"));
        }
        Some((Emit::Periodic(micros), _)) => {
            text.push_str(&format!(" EMIT PERIODIC INTERVAL '{micros}' MICROSECOND"));
        }
        None => {}
    }
    Ok(text)
}

struct Rewriter {
    clock: Clock,
}

impl Rewriter {
    fn query(&self, query: &mut ast::Query) -> Result<()> {
        if let Some(with) = &mut query.with {
            with.cte_tables.iter_mut().try_for_each(|cte| self.query(&mut cte.query))?;
        }
        self.body(&mut query.body)?;
        if let Some(ast::OrderBy { kind: ast::OrderByKind::Expressions(items), .. }) = &mut query.order_by {
            for item in items {
                if let Some(text) = named_bounds(&item.expr.to_string()) {
                    item.expr = raw(text);
                }
            }
        }
        Ok(())
    }

    fn body(&self, body: &mut ast::SetExpr) -> Result<()> {
        // Chains of UNION are deep to the left.
        let mut body = body;
        loop {
            match body {
                ast::SetExpr::SetOperation { left, right, .. } => {
                    self.body(right)?;
                    body = left;
                }
                ast::SetExpr::Select(select) => return self.select(select),
                ast::SetExpr::Query(query) => return self.query(query),
                _ => return Ok(()),
            }
        }
    }

    fn select(&self, select: &mut ast::Select) -> Result<()> {
        for from in &mut select.from {
            self.factor(&mut from.relation)?;
            from.joins.iter_mut().try_for_each(|join| self.join(join))?;
        }
        self.window_of_group(select)?;
        for item in &mut select.projection {
            let name = match item {
                ast::SelectItem::UnnamedExpr(ast::Expr::Identifier(name)) => Some(name.value.clone()),
                ast::SelectItem::UnnamedExpr(tree) => Some(super::query::shown(tree)),
                _ => None,
            };
            let (ast::SelectItem::UnnamedExpr(tree) | ast::SelectItem::ExprWithAlias { expr: tree, .. }) = item else {
                continue;
            };
            let Some(text) = named_bounds(&tree.to_string()).or_else(|| buffers(&tree.to_string())) else { continue };
            match name {
                Some(name) if name != text => {
                    *item = ast::SelectItem::ExprWithAlias { expr: raw(text), alias: Ident::with_quote('"', name) };
                }
                _ => *tree = raw(text),
            }
        }
        for condition in [&mut select.having, &mut select.qualify].into_iter().flatten() {
            let text = condition.to_string();
            if let Some(text) = named_bounds(&text).or_else(|| buffers(&text)) {
                *condition = raw(text);
            }
        }
        Ok(())
    }

    /// A window among the items of GROUP BY goes into FROM, where one table or subquery stands there.
    fn window_of_group(&self, select: &mut ast::Select) -> Result<()> {
        let projection = select.projection.clone();
        let ast::GroupByExpr::Expressions(items, _) = &mut select.group_by else { return Ok(()) };
        let meant =
            |item: &ast::Expr| item_meant(item, &projection).filter(window::is_function).unwrap_or(item.clone());
        let is_window = |item: &ast::Expr| {
            let item = meant(item);
            window::is_function(&item) || matches!(&item, ast::Expr::Function(f) if f.name.to_string() == WINDOW_ITEM)
        };
        let Some(at) = items.iter().position(is_window) else { return Ok(()) };
        let tree = meant(&items[at]);
        let Some(spec) = window::of_group_by(&tree, self.clock)? else { return Ok(()) };
        let [ast::TableWithJoins { relation, joins }] = &mut select.from[..] else { return Ok(()) };
        if !joins.is_empty() || spec.grace > 0 {
            return Ok(());
        }
        let Some((mut source, alias)) = source_of(relation) else { return Ok(()) };
        if spec.window.is_session()
            && let Some(condition) = select.selection.take()
        {
            let alias = alias.as_ref().map_or(String::new(), |alias| format!(" {alias}"));
            source = format!("(SELECT * FROM {source}{alias} WHERE {condition})");
        }
        *relation = raw_table(call(&spec, &source)?, alias);
        // Places in the SELECT list move, where the window itself stands in it.
        for item in items.iter_mut() {
            if let Some(meant) = item_at(item, &projection) {
                *item = meant;
            }
        }
        items.remove(at);
        items.splice(0..0, bounds());
        let is_the_window = |tree: &ast::Expr| window::is_function(tree);
        let spelt = |item: &ast::SelectItem| match item {
            ast::SelectItem::UnnamedExpr(tree) | ast::SelectItem::ExprWithAlias { expr: tree, .. } => {
                is_the_window(tree)
            }
            _ => false,
        };
        if let Some(at) = select.projection.iter().position(spelt) {
            select.projection.splice(at..=at, bounds().map(ast::SelectItem::UnnamedExpr));
        }
        Ok(())
    }

    fn factor(&self, factor: &mut ast::TableFactor) -> Result<()> {
        let (name, arguments, alias) = match factor {
            ast::TableFactor::Derived { subquery, .. } => return self.query(subquery),
            ast::TableFactor::NestedJoin { table_with_joins, .. } => {
                self.factor(&mut table_with_joins.relation)?;
                return table_with_joins.joins.iter_mut().try_for_each(|join| self.join(join));
            }
            ast::TableFactor::Table { name, args: Some(arguments), alias, .. } => {
                (name.to_string(), arguments.args.clone(), alias.clone())
            }
            ast::TableFactor::Function { name, args, alias, .. } => (name.to_string(), args.clone(), alias.clone()),
            ast::TableFactor::TableFunction { expr: ast::Expr::Function(function), alias } => match &function.args {
                ast::FunctionArguments::List(list) => (function.name.to_string(), list.args.clone(), alias.clone()),
                _ => return Ok(()),
            },
            _ => return Ok(()),
        };
        let table = window::of_table(&name, &arguments, self.clock, crate::error::Span::NONE)?;
        let source = match table.source {
            ast::Expr::Subquery(query) => {
                let mut query = query.clone();
                self.query(&mut query)?;
                format!("({query})")
            }
            source => source.to_string(),
        };
        *factor = raw_table(call(&table.spec, &source)?, alias);
        Ok(())
    }

    /// WITHIN, ASOF and FOR SYSTEM_TIME AS OF.
    fn join(&self, join: &mut ast::Join) -> Result<()> {
        use ast::JoinOperator as Op;
        self.factor(&mut join.relation)?;
        let (Op::Join(constraint) | Op::Inner(constraint) | Op::Left(constraint) | Op::LeftOuter(constraint)) =
            &mut join.join_operator
        else {
            return Ok(());
        };
        let ast::JoinConstraint::On(on) = constraint else { return Ok(()) };
        let (mut plain, mut tail, mut asof, mut as_of) = (Vec::new(), String::new(), false, None);
        for term in terms(on) {
            let ast::Expr::Function(function) = term else {
                plain.push(match term {
                    ast::Expr::Nested(inner) => inner.to_string(),
                    term => term.to_string(),
                });
                continue;
            };
            let arguments = super::expression::plain_arguments(function, crate::error::Span::NONE).unwrap_or_default();
            let micros = |n: usize| arguments.get(n).and_then(|tree| tree.to_string().parse::<i64>().ok()).unwrap_or(0);
            match function.name.to_string().as_str() {
                WITHIN_TERM => {
                    tail = format!(" WITHIN ({}, {})", interval(micros(0)), interval(micros(1)));
                    if micros(2) > 0 {
                        tail.push_str(&format!(" GRACE PERIOD {}", interval(micros(2))));
                    }
                }
                ASOF_TERM => asof = true,
                AS_OF_TERM => as_of = arguments.first().map(ToString::to_string),
                _ => plain.push(term.to_string()),
            }
        }
        if !asof && as_of.is_none() && tail.is_empty() {
            return Ok(());
        }
        let multiple = plain.len() > 1;
        let plain: Vec<String> =
            plain.into_iter().map(|term| if multiple { format!("({term})") } else { term }).collect();
        let on = plain.join(" AND ");
        *constraint = match on.is_empty() {
            true => ast::JoinConstraint::None,
            false => ast::JoinConstraint::On(raw(format!("{on}{tail}"))),
        };
        let before = if on.is_empty() { tail } else { String::new() };
        let mut name = join.relation.to_string();
        if let Some(time) = as_of {
            let Some((source, alias)) = source_of(&join.relation) else { return Ok(()) };
            let alias = alias.as_ref().map_or(String::new(), |alias| format!(" {alias}"));
            name = format!("{source} FOR SYSTEM_TIME AS OF {time}{alias}");
        }
        let mark = if asof { ASOF_MARK } else { "" };
        join.relation = raw_table(format!("{mark}{name}{before}"), None);
        Ok(())
    }
}

/// The terms of a condition that all must hold.
fn terms(condition: &ast::Expr) -> Vec<&ast::Expr> {
    match condition {
        ast::Expr::BinaryOp { left, op: ast::BinaryOperator::And, right } => {
            let mut all = terms(left);
            all.extend(terms(right));
            all
        }
        term => vec![term],
    }
}

/// What an item of GROUP BY stands for: an alias or a place in the SELECT list.
fn item_meant(item: &ast::Expr, projection: &[ast::SelectItem]) -> Option<ast::Expr> {
    let ast::Expr::Identifier(name) = item else { return item_at(item, projection) };
    projection.iter().find_map(|item| match item {
        ast::SelectItem::ExprWithAlias { expr, alias } if alias.value.eq_ignore_ascii_case(&name.value) => {
            Some(expr.clone())
        }
        _ => None,
    })
}

/// The item of the SELECT list that a number means.
fn item_at(item: &ast::Expr, projection: &[ast::SelectItem]) -> Option<ast::Expr> {
    let ast::Expr::Value(number) = item else { return None };
    let place: usize = number.to_string().parse().ok()?;
    match projection.get(place.checked_sub(1)?)? {
        ast::SelectItem::UnnamedExpr(tree) | ast::SelectItem::ExprWithAlias { expr: tree, .. } => Some(tree.clone()),
        _ => None,
    }
}

fn bounds() -> [ast::Expr; 2] {
    ["window_start", "window_end"].map(|name| raw(name.to_owned()))
}

/// A table or subquery without its alias, and the alias.
fn source_of(factor: &ast::TableFactor) -> Option<(String, Option<ast::TableAlias>)> {
    let mut bare = factor.clone();
    let alias = match &mut bare {
        ast::TableFactor::Table { alias, args: None, .. } => alias.take(),
        ast::TableFactor::Derived { alias, lateral: false, .. } => alias.take(),
        _ => return None,
    };
    Some((bare.to_string(), alias))
}

/// `TUMBLE(t, ts, INTERVAL '10' SECOND)`.
fn call(spec: &WindowSpec<'_>, source: &str) -> Result<String> {
    let Window { kind, size, slide, offset, .. } = spec.window;
    let column = match spec.column {
        Some(tree) => format!(", {}", window::descriptor(tree)?),
        None => String::new(),
    };
    let offset = if offset == 0 { String::new() } else { format!(", {}", interval(offset)) };
    let (size, slide) = (interval(size), interval(slide));
    Ok(match kind {
        WindowKind::Session => {
            let keys: Vec<String> = spec.partition.iter().map(ToString::to_string).collect();
            let of = match &keys[..] {
                [] => String::new(),
                [key] => format!(" PARTITION BY {key}"),
                keys => format!(" PARTITION BY ({})", keys.join(", ")),
            };
            format!("SESSION({source}{of}{column}, {size})")
        }
        WindowKind::Cumulate => format!("CUMULATE({source}{column}, {slide}, {size}{offset})"),
        WindowKind::Hop if spec.window.is_tumbling() => format!("TUMBLE({source}{column}, {size}{offset})"),
        WindowKind::Hop => format!("HOP({source}{column}, {slide}, {size}{offset})"),
    })
}

/// `INTERVAL '10' SECOND`, in the largest unit that is exact.
fn interval(micros: i64) -> String {
    let units = [
        (86_400_000_000, "DAY"),
        (3_600_000_000, "HOUR"),
        (60_000_000, "MINUTE"),
        (1_000_000, "SECOND"),
        (1_000, "MILLISECOND"),
    ];
    let unit = units.iter().find(|(unit, _)| micros != 0 && micros % unit == 0);
    let (unit, name) = unit.copied().unwrap_or((1, "MICROSECOND"));
    format!("INTERVAL '{}' {name}", micros / unit)
}

/// `text` with `TUMBLE_START(..)`, `_window_start` and their like by their canonical names; none if there
/// is nothing of the kind.
fn named_bounds(text: &str) -> Option<String> {
    const BEHIND: [(&str, &str); 3] = [("_START", "window_start"), ("_END", "window_end"), ("_ROWTIME", "window_time")];
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut changed = false;
    while let Some(first) = rest.chars().next() {
        if first == '\'' || first == '"' {
            // A quote inside is written twice, which reads as two texts side by side.
            let end = rest[1..].find(first).map_or(rest.len(), |end| end + 2);
            out.push_str(&rest[..end]);
            rest = &rest[end..];
            continue;
        }
        let length = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        if length == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let (word, behind) = rest.split_at(length);
        rest = behind;
        let upper = word.to_ascii_uppercase();
        let kind = ["TUMBLE", "HOP", "CUMULATE", "SESSION"].iter().find_map(|kind| upper.strip_prefix(kind));
        let bound =
            kind.and_then(|suffix| BEHIND.iter().find(|known| known.0 == suffix)).filter(|_| behind.starts_with('('));
        match (bound, upper.as_str()) {
            (Some((_, name)), _) => {
                out.push_str(name);
                rest = &behind[closing(behind)..];
                changed = true;
            }
            (None, "_WINDOW_START" | "_WINDOW_END") => {
                out.push_str(&word[1..].to_ascii_lowercase());
                changed = true;
            }
            _ => out.push_str(word),
        }
    }
    changed.then_some(out)
}

/// Where the parenthesis that `text` begins with is closed again.
fn closing(text: &str) -> usize {
    let (mut depth, mut quoted) = (0usize, false);
    for (at, c) in text.char_indices() {
        match c {
            '\'' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    text.len()
}

/// `text` with `ROWS WINDOW BUFFER n ROWS` as it is written; none if there is none.
fn buffers(text: &str) -> Option<String> {
    let begin = format!("PARTITION BY {BUFFER_ITEM}(");
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(&begin) {
        let behind = &rest[at + begin.len()..];
        let end = behind.find(')')?;
        out.push_str(&format!("{}ROWS WINDOW BUFFER {} ROWS", &rest[..at], &behind[..end]));
        rest = &behind[end + 1..];
        if let Some(more) = rest.strip_prefix(", ") {
            out.push_str(" PARTITION BY ");
            rest = more;
        }
    }
    if out.is_empty() {
        return None;
    }
    out.push_str(rest);
    Some(out)
}

/// Text where an expression belongs.
fn raw(text: String) -> ast::Expr {
    ast::Expr::Identifier(Ident::new(text))
}

/// Text where a table belongs.
fn raw_table(text: String, alias: Option<ast::TableAlias>) -> ast::TableFactor {
    ast::TableFactor::Table {
        name: ast::ObjectName::from(vec![Ident::new(text)]),
        alias,
        args: None,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_directives: Vec::new(),
        inheritance: None,
    }
}
