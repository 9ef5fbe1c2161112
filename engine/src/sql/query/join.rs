//! FROM with several tables: what joins them, in which order, and where each condition holds.
//!
//! All tables of a FROM are planned first, and the columns of their nodes put side by side in one
//! imaginary row, which WHERE and ON are bound over. Each condition is then used where it does most: in
//! a table's own scan if it is about one table and that table's rows are never made up; as a pair of
//! keys, a bound in time or a condition of the first join that has all its tables; else as a filter.
//! Tables that are joined by nothing else come later than those that are.

use std::collections::{HashMap, VecDeque};

use sqlparser::ast::{self, Spanned};

use super::within::within;
use super::{Closed, Natural, Planner, Relation, clauses, unnest};
use crate::error::{Code, Error, Result, Span};
use crate::expr::{Comparison, Expr, ExprKind};
use crate::plan::{Emit, Join, JoinKind, Late, NodeId, Operator, Pick, Unnest};
use crate::sql::expression::{Binder, call, case, compare, is_null, not, plain_arguments};
use crate::sql::prepass::join as prepass;
use crate::sql::scope::{Scope, ScopeColumn, same};
use crate::sql::token::place;
use crate::sql::unsupported;
use crate::sql::window;
use crate::types::{DataType, Field, Schema, Value};

/// Most tables of one FROM.
const MAX_TABLES: usize = 64;

/// A table of FROM, and how it joins those before it.
struct Table<'a> {
    relation: Relation<'a>,
    /// Where its columns begin in the imaginary row.
    offset: usize,
    kind: JoinKind,
    /// Terms of ON and USING, over the imaginary row.
    on: Vec<Expr>,
    /// Only the nearest of its rows.
    nearest: bool,
    /// It is read as it was at another table's time.
    lookup: bool,
    /// It is the elements of arrays of those before it; then it has no node of its own.
    unnest: Option<Unnest>,
    span: Span,
}

impl Table<'_> {
    /// When its rows are read, over the imaginary row.
    fn clock(&self) -> Option<Expr> {
        let mut clock = self.relation.scope.clock.clone()?;
        clock.map_columns(&|column| self.offset + column);
        Some(clock)
    }
}

/// What ON says besides conditions.
#[derive(Default)]
struct On {
    terms: Vec<Expr>,
    nearest: bool,
    lookup: bool,
    /// How much longer late rows are waited for.
    grace: i64,
}

/// A condition that holds for rows that leave, and may be used from a join on.
struct Term {
    condition: Expr,
    /// Number of the last table that may make up rows which it has to see.
    after: usize,
}

/// Tables joined so far.
struct Joined<'a> {
    relation: Relation<'a>,
    /// By column of the imaginary row: where it stands in the node's.
    columns: Vec<Option<usize>>,
}

impl<'a> Joined<'a> {
    fn knows(&self, condition: &Expr) -> bool {
        let mut known = true;
        condition.visit_columns(&mut |column| known &= self.columns[column].is_some());
        known
    }

    /// An expression over the imaginary row as one over the node.
    fn place(&self, mut expression: Expr) -> Expr {
        expression.map_columns(&|column| self.columns[column].expect("its tables are joined"));
        expression
    }
}

impl Planner<'_> {
    /// Several tables, with what WHERE says of them.
    pub(super) fn joined<'a>(
        &mut self,
        list: &'a [ast::TableWithJoins],
        selection: &[&'a ast::Expr],
        ctes: &HashMap<String, &'a ast::Cte>,
    ) -> Result<Relation<'a>> {
        let (mut tables, scope) = self.tables(list, ctes)?;
        let makes_up = |table: &Table<'_>| table.kind.keeps_right();
        let last = tables.iter().rposition(makes_up).unwrap_or(0);
        let mut terms: VecDeque<Term> = VecDeque::new();
        for tree in selection {
            let condition = Binder::new(&scope, self.options.clock, "WHERE").condition(tree)?;
            terms.extend(conjuncts(condition).into_iter().map(|condition| Term { condition, after: last }));
        }
        for number in 1..tables.len() {
            if tables[number].kind == JoinKind::Inner && !tables[number].nearest {
                let after = tables[..number].iter().rposition(makes_up).unwrap_or(0);
                let on = std::mem::take(&mut tables[number].on);
                terms.extend(on.into_iter().map(|condition| Term { condition, after }));
            }
        }
        for number in 0..tables.len() {
            self.narrow_table(number, &mut tables, &mut terms)?;
        }
        let mut rest: VecDeque<(usize, Table<'a>)> = tables.into_iter().enumerate().collect();
        let (_, first) = rest.pop_front().expect("FROM has tables");
        let width = rest.iter().map(|(_, table)| self.width_of(table)).sum::<usize>();
        let own = self.width(first.relation.node);
        let mut columns: Vec<Option<usize>> = (0..own).map(Some).collect();
        columns.resize(own + width, None);
        let mut joined = Joined { relation: first.relation, columns };
        let free = rest.iter().all(|(_, table)| table.kind == JoinKind::Inner && !table.nearest);
        while !rest.is_empty() {
            let next = if free { self.connected(&joined, &rest, &terms) } else { 0 };
            let (number, table) = rest.remove(next).expect("it is among the rest");
            joined = self.join_table(joined, number, table, &mut terms)?;
        }
        let mut relation = joined.relation;
        let columns = joined.columns;
        let at = |column: usize| columns[column].expect("all tables are joined");
        relation.scope = scope;
        relation.scope.columns.iter_mut().for_each(|column| column.expression.map_columns(&at));
        Ok(relation)
    }

    fn width(&self, node: NodeId) -> usize {
        self.plan.nodes[node].schema.fields.len()
    }

    /// The tables in the order of FROM, and the names they bring, over the imaginary row.
    fn width_of(&self, table: &Table<'_>) -> usize {
        match &table.unnest {
            Some(unnest) => unnest.added().len(),
            None => self.width(table.relation.node),
        }
    }

    fn tables<'a>(
        &mut self,
        list: &'a [ast::TableWithJoins],
        ctes: &HashMap<String, &'a ast::Cte>,
    ) -> Result<(Vec<Table<'a>>, Scope)> {
        let mut tables: Vec<Table<'a>> = Vec::new();
        let mut scope = Scope::default();
        let outer = list.iter().flat_map(|item| &item.joins).any(|join| is_outer(&join.join_operator));
        let is_alone = unnest::are_all_but_first(list)?;
        for (item, from) in list.iter().enumerate() {
            let span = place(from.relation.span());
            match unnest::of(&from.relation)? {
                Some(lateral) if !tables.is_empty() => {
                    self.add_unnest(&mut tables, &mut scope, &lateral, JoinKind::Inner, span)?;
                }
                _ => {
                    let relation = self.factor(&from.relation, ctes)?;
                    self.add_table(&mut tables, &mut scope, relation, JoinKind::Inner, (outer, is_alone), span)?;
                }
            }
            for join in &from.joins {
                let span = place(join.relation.span());
                clauses::of_join(join)?;
                let (kind, constraint) = kind_of(&join.join_operator, span)?;
                if item > 0 && kind.keeps_right() {
                    let error = unsupported("RIGHT and FULL JOIN behind a comma are not supported", span);
                    return Err(error.help("write CROSS JOIN for the comma, or put the join in a subquery"));
                }
                match unnest::of(&join.relation)? {
                    Some(lateral) => self.add_unnest(&mut tables, &mut scope, &lateral, kind, span)?,
                    None => {
                        let relation = self.factor(&join.relation, ctes)?;
                        self.add_table(&mut tables, &mut scope, relation, kind, (outer, false), span)?;
                    }
                }
                let on = self.constraint(constraint, &tables, &mut scope, span)?;
                if tables.last().is_some_and(|table| table.unnest.is_some()) && kind == JoinKind::Left {
                    unnest::check_on(&on.terms)?;
                    continue;
                }
                if on.grace > 0 {
                    tables.iter().for_each(|table| self.add_grace(table.relation.node, on.grace));
                }
                let table = tables.last_mut().expect("added above");
                (table.on, table.nearest, table.lookup) = (on.terms, on.nearest, on.lookup);
            }
        }
        Ok((tables, scope))
    }

    fn add_table<'a>(
        &mut self,
        tables: &mut Vec<Table<'a>>,
        scope: &mut Scope,
        mut relation: Relation<'a>,
        kind: JoinKind,
        (outer, is_alone): (bool, bool),
        span: Span,
    ) -> Result<()> {
        if tables.len() == MAX_TABLES {
            let error = Error::new(Code::Limit, "this many tables in one FROM are more than Corelane joins").at(span);
            return Err(error.note(format!("limit: {MAX_TABLES}")));
        }
        if let Some(window) = relation.window.as_ref().filter(|_| !is_alone) {
            return Err(unsupported("a window over one table of a join is not supported", window.span)
                .help("group it by window_start, window_end in a subquery"));
        }
        if let Some((Emit::Changes | Emit::Periodic(_), said)) = relation.emit {
            return Err(unsupported("EMIT CHANGES below a join is not supported yet", said).help("use EMIT FINAL"));
        }
        if outer {
            self.make_columns(&mut relation);
        }
        let offset = tables.last().map_or(0, |last| last.offset + self.width_of(last));
        for column in &relation.scope.columns {
            let mut column = column.clone();
            column.expression.map_columns(&|column| offset + column);
            scope.columns.push(column);
        }
        tables.push(Table {
            relation,
            offset,
            kind,
            on: Vec::new(),
            nearest: false,
            lookup: false,
            unnest: None,
            span,
        });
        Ok(())
    }

    /// The elements of arrays of the tables before.
    fn add_unnest<'a>(
        &mut self,
        tables: &mut Vec<Table<'a>>,
        scope: &mut Scope,
        lateral: &unnest::Lateral<'a>,
        kind: JoinKind,
        span: Span,
    ) -> Result<()> {
        if !matches!(kind, JoinKind::Inner | JoinKind::Left) {
            return Err(unsupported("RIGHT and FULL JOIN of an UNNEST are not supported", span)
                .help("write CROSS JOIN, or LEFT JOIN UNNEST(..) ON TRUE"));
        }
        let offset = tables.last().map_or(0, |last| last.offset + self.width_of(last));
        let bound = self.bind_unnest(lateral, scope, kind == JoinKind::Left, span)?;
        let mut columns = bound.columns.clone();
        for column in &mut columns {
            column.expression.map_columns(&|column| offset + column);
        }
        scope.columns.append(&mut columns);
        let first = &tables.first().expect("it is not the first").relation;
        let relation = Relation {
            node: first.node,
            scope: Scope { columns: bound.columns, clock: None },
            times: Vec::new(),
            natural: Natural::Position,
            closed: None,
            window: None,
            bounded: true,
            emit: None,
        };
        let unnest = Some(bound.unnest);
        tables.push(Table { relation, offset, kind, on: Vec::new(), nearest: false, lookup: false, unnest, span });
        Ok(())
    }

    /// Makes everything that has a name a column: a row that is made up has NULL for all of them.
    pub(super) fn make_columns(&mut self, relation: &mut Relation<'_>) {
        for number in 0..relation.scope.columns.len() {
            let ScopeColumn { name, expression, .. } = relation.scope.columns[number].clone();
            let column = self.column_of(relation, &expression, &name);
            let place = Expr { span: expression.span, ..Expr::column(column, expression.data_type) };
            for time in relation.times.iter_mut().filter(|time| same(time, &expression)) {
                *time = place.clone();
            }
            if let Some(closed) = &mut relation.closed {
                for bound in [&mut closed.start, &mut closed.end].into_iter().filter(|bound| same(bound, &expression)) {
                    *bound = place.clone();
                }
            }
            relation.scope.columns[number].expression = place;
        }
    }

    /// ON, USING or NATURAL of the last table, over the imaginary row.
    fn constraint(
        &self,
        constraint: &ast::JoinConstraint,
        tables: &[Table<'_>],
        scope: &mut Scope,
        span: Span,
    ) -> Result<On> {
        let table = tables.last().expect("there are two at least");
        let behind = table.relation.scope.columns.len();
        match constraint {
            ast::JoinConstraint::None => Ok(On::default()),
            ast::JoinConstraint::On(tree) => self.on(tree, tables, scope),
            ast::JoinConstraint::Using(names) => {
                let names = names.iter().map(|name| match &name.0[..] {
                    [ast::ObjectNamePart::Identifier(name)] => Ok((name.value.clone(), place(name.span))),
                    _ => Err(Error::new(Code::Syntax, "USING takes names of columns").at(span)),
                });
                let names = names.collect::<Result<Vec<_>>>()?;
                let mut equal = |(name, span): (String, Span)| self.using(scope, behind, table.kind, &name, span);
                let terms = names.into_iter().map(&mut equal).collect::<Result<Vec<_>>>()?;
                Ok(On { terms, ..On::default() })
            }
            ast::JoinConstraint::UsingAlias(..) => Err(unsupported("USING .. AS is not supported", span)),
            ast::JoinConstraint::Natural => {
                let (left, right) = scope.columns.split_at(scope.columns.len() - behind);
                let has = |columns: &[ScopeColumn], name: &str| {
                    columns.iter().any(|column| !column.merged && column.name.eq_ignore_ascii_case(name))
                };
                let shared: Vec<String> =
                    right.iter().map(|column| column.name.clone()).filter(|name| has(left, name)).collect();
                if shared.is_empty() {
                    let error =
                        Error::new(Code::UnknownColumn, "the tables of a NATURAL JOIN share no column").at(span);
                    return Err(error.help("write JOIN .. ON, or CROSS JOIN if that is meant"));
                }
                let mut equal = |name: String| self.using(scope, behind, table.kind, &name, span);
                let terms = shared.into_iter().map(&mut equal).collect::<Result<Vec<_>>>()?;
                Ok(On { terms, ..On::default() })
            }
        }
    }

    /// ON: conditions, and what the pre-pass has put among them.
    fn on(&self, tree: &ast::Expr, tables: &[Table<'_>], scope: &Scope) -> Result<On> {
        let (table, before) = tables.split_last().expect("there are two at least");
        let now = self.options.clock;
        let time_of = |table: &Table<'_>| {
            let mut time = table.relation.times.first().cloned()?;
            time.map_columns(&|column| table.offset + column);
            Some(time)
        };
        let no_time = |span: Span| {
            let error = Error::new(Code::Type, "both sides of this join need a WATERMARK").at(span);
            error.help("declare WATERMARK FOR ts AS ts - INTERVAL '2' SECOND")
        };
        let (mut plain, mut subqueries) = (Vec::new(), Vec::new());
        super::semi::terms(tree, &mut plain, &mut subqueries);
        if !subqueries.is_empty() {
            return Err(
                unsupported("a subquery in ON is not supported yet", place(tree.span())).help("move it to WHERE")
            );
        }
        let mut on = On::default();
        for tree in plain {
            let span = place(tree.span());
            let function = match tree {
                ast::Expr::Function(function) => Some((function.name.to_string(), plain_arguments(function, span)?)),
                _ => None,
            };
            match function.as_ref().map(|(name, arguments)| (name.as_str(), &arguments[..])) {
                Some((prepass::WITHIN_TERM, arguments)) => {
                    let micros = |at: usize| match arguments.get(at) {
                        Some(ast::Expr::Value(value)) => value.to_string().parse().unwrap_or(0),
                        _ => 0i64,
                    };
                    let (left, right) =
                        before.iter().find_map(time_of).zip(time_of(table)).ok_or_else(|| no_time(span))?;
                    let interval = |micros| Expr { span, ..Expr::literal(Value::I64(micros), DataType::Interval) };
                    let from = call("-", vec![left.clone(), interval(micros(0))], span)?;
                    let to = call("+", vec![left, interval(micros(1))], span)?;
                    on.terms.push(compare(Comparison::GreaterOrEqual, right.clone(), from, span)?);
                    on.terms.push(compare(Comparison::LessOrEqual, right, to, span)?);
                    on.grace = on.grace.max(micros(2));
                }
                Some((prepass::ASOF_TERM, _)) => on.nearest = true,
                Some((prepass::AS_OF_TERM, arguments)) => {
                    let is_now = |tree: &ast::Expr| matches!(tree, ast::Expr::Function(call) if call.name.to_string().eq_ignore_ascii_case("proctime"));
                    let time = match arguments.first() {
                        Some(tree) if !is_now(tree) => Some(Binder::new(scope, now, "AS OF").bind(tree)?),
                        _ => None,
                    };
                    // A column that is PROCTIME() says so as well.
                    let reads =
                        |time: &Expr| before.iter().any(|table| table.clock().is_some_and(|clock| same(&clock, time)));
                    match (time_of(table), time.filter(|time| !reads(time))) {
                        // A table that has versions: the one that held at that time.
                        (Some(right), Some(time)) => {
                            on.terms.push(compare(Comparison::LessOrEqual, right, time, span)?);
                            on.nearest = true;
                        }
                        _ => on.lookup = true,
                    }
                }
                _ => on.terms.extend(conjuncts(Binder::new(scope, now, "ON").condition(tree)?)),
            }
        }
        Ok(on)
    }

    /// `left.name = right.name`, the right one among the last `behind` columns; from here on `name` is
    /// one column.
    fn using(&self, scope: &mut Scope, behind: usize, kind: JoinKind, name: &str, span: Span) -> Result<Expr> {
        let find = |range: std::ops::Range<usize>| {
            let fits = |&at: &usize| !scope.columns[at].merged && scope.columns[at].name.eq_ignore_ascii_case(name);
            let found: Vec<usize> = range.filter(fits).collect();
            match found[..] {
                [one] => Ok(one),
                [] => Err(Error::new(Code::UnknownColumn, format!("column `{name}` is not on both sides")).at(span)),
                _ => Err(Error::new(Code::AmbiguousColumn, format!("column `{name}` is ambiguous")).at(span)),
            }
        };
        let end = scope.columns.len();
        let own = end - behind;
        let (left, right) = (find(0..own)?, find(own..end)?);
        let [of_left, of_right] = [left, right].map(|at| scope.columns[at].expression.clone());
        let equal = compare(Comparison::Equal, of_left.clone(), of_right.clone(), span)?;
        let ExprKind::Compare { left: cast_left, right: cast_right, .. } = &equal.kind else { return Ok(equal) };
        scope.columns[right].merged = true;
        if kind.keeps_right() {
            let value = match kind {
                JoinKind::Right => (**cast_right).clone(),
                _ => {
                    let known = not(is_null((**cast_left).clone()));
                    case(vec![(known, (**cast_left).clone())], Some((**cast_right).clone()), span)?
                }
            };
            let name = scope.columns[left].name.clone();
            scope.columns[left].merged = true;
            let whole = ScopeColumn { relation: String::new(), name, expression: value, merged: false };
            scope.columns.insert(left, whole);
        }
        Ok(equal)
    }

    /// Uses what is said about one table alone where it is read, if none of its rows are made up.
    fn narrow_table(&mut self, number: usize, tables: &mut [Table<'_>], terms: &mut VecDeque<Term>) -> Result<()> {
        if tables[number].unnest.is_some() {
            return Ok(());
        }
        let width = self.width(tables[number].relation.node);
        let table = &mut tables[number];
        let (offset, kind) = (table.offset, table.kind);
        let alone = |condition: &Expr| {
            let (mut alone, mut any) = (true, false);
            condition.visit_columns(&mut |column| {
                any = true;
                alone &= (offset..offset + width).contains(&column);
            });
            any && alone
        };
        let mut own = Vec::new();
        if matches!(kind, JoinKind::Inner | JoinKind::Right) && !table.nearest {
            for term in std::mem::take(terms) {
                if term.after <= number && alone(&term.condition) {
                    own.push(term.condition);
                } else {
                    terms.push_back(term);
                }
            }
        }
        if kind == JoinKind::Left {
            let (alone, rest): (Vec<Expr>, Vec<Expr>) = std::mem::take(&mut table.on).into_iter().partition(alone);
            own.extend(alone);
            table.on = rest;
        }
        for mut condition in own {
            condition.map_columns(&|column| column - offset);
            self.filter(&mut table.relation, condition)?;
        }
        Ok(())
    }

    /// The next table that a condition with `=` connects to those joined; else the next one.
    fn connected(&self, joined: &Joined<'_>, rest: &VecDeque<(usize, Table<'_>)>, terms: &VecDeque<Term>) -> usize {
        let connects = |table: &Table<'_>| {
            if let Some(unnest) = &table.unnest {
                return unnest.arrays.iter().all(|array| joined.knows(array));
            }
            let range = table.offset..table.offset + self.width(table.relation.node);
            terms
                .iter()
                .any(|term| sides(&term.condition, &|column| joined.columns[column].is_some(), &range).is_some())
        };
        rest.iter().position(|(_, table)| connects(table)).unwrap_or(0)
    }

    /// Joins one more table.
    fn join_table<'a>(
        &mut self,
        mut joined: Joined<'a>,
        number: usize,
        table: Table<'a>,
        terms: &mut VecDeque<Term>,
    ) -> Result<Joined<'a>> {
        if table.unnest.is_some() {
            return self.unnest_table(joined, number, table, terms);
        }
        let Table { relation: right, offset, kind, on, nearest, lookup, unnest: _, span } = table;
        let range = offset..offset + self.width(right.node);
        let known = |joined: &Joined<'_>, condition: &Expr| {
            let mut known = true;
            condition.visit_columns(&mut |column| known &= joined.columns[column].is_some() || range.contains(&column));
            known
        };
        let mut conditions = on;
        // Of the nearest rows alone what is said of all holds behind the join.
        if kind == JoinKind::Inner && !nearest {
            for term in std::mem::take(terms) {
                if term.after <= number && known(&joined, &term.condition) {
                    conditions.push(term.condition);
                } else {
                    terms.push_back(term);
                }
            }
        }
        let left_width = self.width(joined.relation.node);
        let map = |column: usize| match joined.columns[column] {
            Some(column) => column,
            None => left_width + (column - offset),
        };
        let mut parts = Parts::default();
        for mut condition in conditions {
            condition.map_columns(&map);
            parts.take(condition, left_width);
        }
        parts.lookup = lookup;
        if nearest {
            parts.pick_nearest(left_width, span)?;
        }
        joined.relation = self.join(joined.relation, right, kind, parts, span)?;
        for column in range {
            joined.columns[column] = Some(left_width + (column - offset));
        }
        // What could not be part of the join holds behind it.
        self.filter_by(&mut joined, number, terms)?;
        Ok(joined)
    }

    /// Applies the terms that hold once table `number` is joined.
    fn filter_by(&mut self, joined: &mut Joined<'_>, number: usize, terms: &mut VecDeque<Term>) -> Result<()> {
        for term in std::mem::take(terms) {
            if term.after <= number && joined.knows(&term.condition) {
                let condition = joined.place(term.condition);
                self.filter(&mut joined.relation, condition)?;
            } else {
                terms.push_back(term);
            }
        }
        Ok(())
    }

    /// Puts the elements of arrays beside the rows joined so far.
    fn unnest_table<'a>(
        &mut self,
        mut joined: Joined<'a>,
        number: usize,
        table: Table<'a>,
        terms: &mut VecDeque<Term>,
    ) -> Result<Joined<'a>> {
        let Table { relation: _, offset, on, unnest: Some(mut unnest), span, .. } = table else { return Ok(joined) };
        for array in &mut unnest.arrays {
            *array = joined.place(array.clone());
        }
        terms.extend(on.into_iter().map(|condition| Term { condition, after: number }));
        let first = self.width(joined.relation.node);
        let added = unnest.added().len();
        self.unnest(&mut joined.relation, unnest, span);
        for column in 0..added {
            joined.columns[offset + column] = Some(first + column);
        }
        self.filter_by(&mut joined, number, terms)?;
        Ok(joined)
    }

    /// The node of one join.
    pub(super) fn join<'a>(
        &mut self,
        mut left: Relation<'a>,
        right: Relation<'a>,
        kind: JoinKind,
        parts: Parts,
        span: Span,
    ) -> Result<Relation<'a>> {
        let left_width = self.width(left.node);
        let Parts { keys, mut rest, pick, lookup } = parts;
        if pick.is_some() && kind.keeps_right() {
            return Err(unsupported("RIGHT and FULL ASOF JOIN are not supported", span).help("turn the sides round"));
        }
        let within = within(&keys, &mut rest, &left, &right, left_width, pick.as_ref());
        // Without a bound in time a join can answer in changes; the nearest row is not known before the end.
        let ends = left.bounded && right.bounded;
        if within.is_none() && !ends && (pick.is_some() || (lookup && !right.bounded)) {
            let error = unsupported("this join of endless input needs a bound in time", span);
            return Err(
                error.help("add ON .. AND a.ts BETWEEN b.ts - INTERVAL '1' HOUR AND b.ts, over watermark columns")
            );
        }
        if within.is_some() {
            self.judge(&left, Late::Row);
            self.judge(&right, Late::Row);
        }
        let keys = keys.into_iter().map(|(of_left, mut of_right)| {
            of_right.map_columns(&|column| column - left_width);
            (of_left, of_right)
        });
        let condition = rest.into_iter().reduce(super::select::conjunction);
        let mut fields = self.fields(left.node);
        if !kind.is_left_only() {
            fields.extend(self.fields(right.node));
        }
        let columns = (0..fields.len()).collect();
        let pick = pick.map(|mut pick| {
            pick.value.map_columns(&|column| column - left_width);
            pick
        });
        let broadcast = lookup && !kind.keeps_right();
        let keep = [self.keep(&left, span)?, self.keep(&right, span)?];
        if within.is_some() && keep.iter().any(Option::is_some) {
            let error = unsupported("STATE_TTL of a join with a bound in time is not supported", span);
            return Err(error.help("leave the hint out: its rows go as the watermark passes them"));
        }
        let keys = keys.collect();
        let join = Join { kind, keys, within: within.clone(), condition, pick, columns, broadcast, keep };
        let adds_time = join.adds_time();
        if adds_time {
            let data_type = DataType::Timestamp { precision: 6, zone: None };
            fields.push(Field { name: "time".to_owned(), data_type });
        }
        let time = fields.last().map(|field| Expr::column(fields.len() - 1, field.data_type));
        left.node = self.plan.add(Operator::Join(join), vec![left.node, right.node], Schema { fields }, span);
        left.scope = Scope::default();
        left.bounded &= right.bounded;
        left.emit = None;
        let Some(within) = within else {
            left.natural = Natural::Position;
            left.times.clear();
            left.closed = None;
            return Ok(left);
        };
        let closes = |closed: &Closed| same(&closed.end, &within.left) && !kind.keeps_right();
        left.closed = left.closed.filter(closes);
        let time = match time {
            Some(time) if adds_time => time,
            _ => within.left.clone(),
        };
        left.times = vec![time.clone()];
        if left.closed.is_some() {
            left.times.push(window::time_of(time.clone())?);
        }
        let column = self.column_of(&mut left, &time, "time");
        left.natural = Natural::Time(column);
        Ok(left)
    }
}

/// What a join is on: pairs of keys (the right one still behind the left input's columns), and the rest.
#[derive(Default)]
pub(super) struct Parts {
    keys: Vec<(Expr, Expr)>,
    rest: Vec<Expr>,
    /// Only the nearest right row, by a value that is still behind the left input's columns.
    pick: Option<Pick>,
    /// The right side is small.
    lookup: bool,
}

impl Parts {
    /// Sorts in a condition over the left input's `left_width` columns followed by the right one's.
    pub(super) fn take(&mut self, condition: Expr, left_width: usize) {
        match sides(&condition, &|column| column < left_width, &(left_width..usize::MAX)) {
            Some(pair) => self.keys.push(pair),
            None => self.rest.push(condition),
        }
    }

    /// The one comparison between the sides says which right row is the nearest.
    fn pick_nearest(&mut self, left_width: usize, span: Span) -> Result<()> {
        let is_left = |column: usize| column < left_width;
        let right = left_width..usize::MAX;
        let picks = self.rest.iter().filter_map(|condition| {
            let ExprKind::Compare { comparison, left, right: other } = &condition.kind else { return None };
            let (value, upwards) = match (side(left, &is_left, &right), side(other, &is_left, &right)) {
                ((true, false), (false, true)) => (&**other, false),
                ((false, true), (true, false)) => (&**left, true),
                _ => return None,
            };
            let greatest = match comparison {
                Comparison::Less | Comparison::LessOrEqual => upwards,
                Comparison::Greater | Comparison::GreaterOrEqual => !upwards,
                _ => return None,
            };
            Some(Pick { value: value.clone(), greatest })
        });
        match &picks.collect::<Vec<_>>()[..] {
            [pick] => {
                self.pick = Some(pick.clone());
                Ok(())
            }
            picks => {
                let error = Error::new(
                    Code::Type,
                    format!("ASOF needs one comparison of the two sides, found {}", picks.len()),
                );
                Err(error.at(span).help("for example ON a.k = b.k AND a.ts >= b.ts"))
            }
        }
    }
}

/// Whether an expression names columns of the left input, and of the right one.
fn side(expression: &Expr, is_left: &impl Fn(usize) -> bool, right: &std::ops::Range<usize>) -> (bool, bool) {
    let (mut of_left, mut of_right) = (false, false);
    expression.visit_columns(&mut |column| {
        of_left |= is_left(column);
        of_right |= right.contains(&column) && !is_left(column);
    });
    (of_left, of_right)
}

/// The two sides of `=` between a column of the left and one of the right, in that order.
pub(super) fn sides(
    condition: &Expr,
    is_left: &impl Fn(usize) -> bool,
    right: &std::ops::Range<usize>,
) -> Option<(Expr, Expr)> {
    let ExprKind::Compare { comparison: Comparison::Equal, left, right: other } = &condition.kind else { return None };
    match (side(left, is_left, right), side(other, is_left, right)) {
        ((true, false), (false, true)) => Some(((**left).clone(), (**other).clone())),
        ((false, true), (true, false)) => Some(((**other).clone(), (**left).clone())),
        _ => None,
    }
}

/// The terms of a condition that all must be TRUE.
pub(super) fn conjuncts(condition: Expr) -> Vec<Expr> {
    match condition.kind {
        ExprKind::And(terms) => terms.into_iter().flat_map(conjuncts).collect(),
        _ => vec![condition],
    }
}

fn is_outer(operator: &ast::JoinOperator) -> bool {
    use ast::JoinOperator as Op;
    matches!(operator, Op::Left(_) | Op::LeftOuter(_) | Op::Right(_) | Op::RightOuter(_) | Op::FullOuter(_))
}

fn kind_of(operator: &ast::JoinOperator, span: Span) -> Result<(JoinKind, &ast::JoinConstraint)> {
    use ast::JoinOperator as Op;
    let (kind, constraint) = match operator {
        Op::Join(constraint) | Op::Inner(constraint) => (JoinKind::Inner, constraint),
        Op::CrossJoin(constraint) => return Ok((JoinKind::Inner, constraint)),
        Op::Left(constraint) | Op::LeftOuter(constraint) => (JoinKind::Left, constraint),
        Op::Right(constraint) | Op::RightOuter(constraint) => (JoinKind::Right, constraint),
        Op::FullOuter(constraint) => (JoinKind::Full, constraint),
        _ => {
            return Err(
                unsupported("this kind of join is not supported", span).help("kinds: INNER, LEFT, RIGHT, FULL, CROSS")
            );
        }
    };
    if matches!(constraint, ast::JoinConstraint::None) {
        let error = Error::new(Code::Syntax, "a join needs ON or USING").at(span);
        return Err(error.help("write JOIN .. ON a.k = b.k, or CROSS JOIN"));
    }
    Ok((kind, constraint))
}
