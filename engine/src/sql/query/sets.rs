//! UNION, INTERSECT and EXCEPT.
//!
//! All inputs are projected to the same columns: names of the first, types that hold the values of all.
//! UNION ALL is a node of its own; UNION groups its rows by all columns. INTERSECT and EXCEPT group the
//! rows of both sides together, count how many are of each side, and give every group as often as that
//! says. NULLs are equal here, as in GROUP BY.

use std::collections::HashMap;

use sqlparser::ast::{self, SetOperator, SetQuantifier, Spanned};

use super::group::Grouping;
use super::order::{bare_position, sort_key};
use super::{Closed, Natural, Planner, Relation};
use crate::error::{Code, Error, Result, Span};
use crate::expr::{Comparison, Expr};
use crate::plan::{AggregateCall, AggregateFunction, Emit, NodeId, Operator, SortKey, Union, Window};
use crate::sql::expression::{Binder, at, call, case, coerce, compare};
use crate::sql::scope::{Scope, ScopeColumn, same};
use crate::sql::token::place;
use crate::sql::{types, unsupported, window};
use crate::types::{DataType, Field, Schema, Value};

/// Most tables under one UNION ALL; their turns are counted in a byte.
const MAX_TURNS: usize = 256;

/// UNION BY NAME: gives all of `relations` the columns of all, in the order they are met; where one has none
/// of a name it is NULL.
fn put_by_name<'r, 'a: 'r>(relations: impl Iterator<Item = &'r mut Relation<'a>>, span: Span) -> Result<()> {
    let relations: Vec<&mut Relation<'a>> = relations.collect();
    let mut names: Vec<String> = Vec::new();
    for relation in &relations {
        let own = &relation.scope.columns;
        for (number, column) in own.iter().enumerate() {
            let is_same = |name: &String| name.eq_ignore_ascii_case(&column.name);
            if own[..number].iter().any(|before| is_same(&before.name)) {
                let message = format!("UNION BY NAME of two columns called `{}`", column.name);
                return Err(Error::new(Code::AmbiguousColumn, message).at(span).help("give one of them another name"));
            }
            if !names.iter().any(is_same) {
                names.push(column.name.clone());
            }
        }
    }
    for relation in relations {
        let own = std::mem::take(&mut relation.scope.columns);
        relation.scope.columns = names
            .iter()
            .map(|name| {
                let expression = own
                    .iter()
                    .find(|column| column.name.eq_ignore_ascii_case(name))
                    .map_or_else(|| Expr::literal(Value::Null, DataType::Null), |column| column.expression.clone());
                ScopeColumn { relation: String::new(), name: name.clone(), expression, merged: false }
            })
            .collect();
    }
    Ok(())
}

impl Planner<'_> {
    /// A tree of set operations.
    fn set_operations<'a>(
        &mut self,
        tree: &'a ast::SetExpr,
        ctes: &HashMap<String, &'a ast::Cte>,
    ) -> Result<Relation<'a>> {
        // Chains are deep to the left.
        let (mut first, mut steps) = (tree, Vec::new());
        while let ast::SetExpr::SetOperation { left, op, set_quantifier, right } = first {
            steps.push((*op, *set_quantifier, &**right));
            first = left;
        }
        let mut all = vec![self.member(first, ctes)?];
        for (op, quantifier, right) in steps.into_iter().rev() {
            let span = place(right.span());
            let keeps_all = match quantifier {
                SetQuantifier::All | SetQuantifier::AllByName => true,
                SetQuantifier::None
                | SetQuantifier::Distinct
                | SetQuantifier::ByName
                | SetQuantifier::DistinctByName => false,
            };
            let by_name =
                matches!(quantifier, SetQuantifier::AllByName | SetQuantifier::ByName | SetQuantifier::DistinctByName);
            let mut member = self.member(right, ctes)?;
            if by_name && op == SetOperator::Union {
                put_by_name(all.iter_mut().chain([&mut member]), span)?;
            } else if by_name {
                let error = unsupported(format!("{op} .. BY NAME is not supported"), span);
                return Err(error.help("order the columns"));
            }
            match op {
                SetOperator::Union if keeps_all => all.push(member),
                SetOperator::Union => {
                    all.push(member);
                    let mut united = self.unite(std::mem::take(&mut all), false, "UNION")?;
                    self.distinct(&mut united, &mut [], span)?;
                    all.push(united);
                }
                op => {
                    let left = self.unite(std::mem::take(&mut all), false, "UNION")?;
                    all.push(self.counted([left, member], op, keeps_all, span)?);
                }
            }
        }
        self.unite(all, false, "UNION")
    }

    /// A query without its ORDER BY and LIMIT.
    pub(super) fn set_tree<'a>(
        &mut self,
        tree: &'a ast::SetExpr,
        ctes: &HashMap<String, &'a ast::Cte>,
    ) -> Result<Relation<'a>> {
        let span = place(tree.span());
        match tree {
            ast::SetExpr::Select(select) => self.body(select, &[], None, ctes),
            ast::SetExpr::Query(query) => self.query(query, ctes),
            ast::SetExpr::SetOperation { .. } => self.set_operations(tree, ctes),
            ast::SetExpr::Values(values) => self.values(values, span),
            _ => Err(unsupported("this query is not supported yet", span)),
        }
    }

    /// What stands on one side of a set operation.
    fn member<'a>(&mut self, tree: &'a ast::SetExpr, ctes: &HashMap<String, &'a ast::Cte>) -> Result<Relation<'a>> {
        let relation = self.set_tree(tree, ctes)?;
        if let Some((Emit::Changes | Emit::Periodic(_), said)) = relation.emit {
            return Err(unsupported("EMIT CHANGES below a UNION is not supported yet", said).help("use EMIT FINAL"));
        }
        Ok(relation)
    }

    /// Whether rows of `node` come at the end of the input only.
    pub(super) fn waits_for_the_end(&self, node: NodeId) -> bool {
        let this = &self.plan.nodes[node];
        match &this.operator {
            Operator::Aggregate(aggregate) => aggregate.window.is_none(),
            Operator::Scan(_) | Operator::Join(_) => false,
            _ => this.inputs.iter().any(|&input| self.waits_for_the_end(input)),
        }
    }

    /// UNION ALL of `all`; with `sides` the number of its input stands behind each row's columns.
    pub(super) fn unite<'a>(&mut self, mut all: Vec<Relation<'a>>, sides: bool, what: &str) -> Result<Relation<'a>> {
        if all.len() == 1
            && let Some(only) = all.pop()
        {
            return Ok(only);
        }
        let columns = common_columns(&all, what)?;
        let mut fields = columns.clone();
        if sides {
            fields.push(Field { name: "side".to_owned(), data_type: DataType::BigInt });
        }
        let in_turn = !sides && all.iter().all(|relation| self.is_plain(relation));
        let (mut inputs, mut times, mut bounds) = (Vec::new(), Vec::new(), Vec::new());
        let mut clocks = vec![true; columns.len()];
        for (side, relation) in all.iter().enumerate() {
            let given = relation.scope.columns.iter().map(|column| &column.expression);
            let mut list: Vec<Expr> =
                given.clone().zip(&columns).map(|(given, field)| coerce(given.clone(), field.data_type)).collect();
            if sides {
                list.push(Expr::literal(Value::I64(side as i64), DataType::BigInt));
            }
            // Which columns follow the watermark, and which are the bounds of windows.
            let is = |wanted: &Expr| given.clone().map(|given| same(given, wanted)).collect::<Vec<bool>>();
            times
                .push((0..columns.len()).map(|n| relation.times.iter().any(|time| is(time)[n])).collect::<Vec<bool>>());
            for (n, all) in clocks.iter_mut().enumerate() {
                *all &= relation.scope.clock.as_ref().is_some_and(|clock| is(clock)[n]);
            }
            bounds.push(relation.closed.as_ref().map(|closed| Bounds {
                window: closed.window,
                start: is(&closed.start),
                end: is(&closed.end),
            }));
            let span = self.plan.nodes[relation.node].span;
            inputs.push(self.plan.add(
                Operator::Project(list),
                vec![relation.node],
                Schema { fields: fields.clone() },
                span,
            ));
        }
        let follows = |column: &usize| columns[*column].data_type.is_timestamp() && times.iter().all(|of| of[*column]);
        let times: Vec<usize> = (0..columns.len()).filter(follows).collect();
        let column = |n: usize| Expr::column(n, columns[n].data_type);
        let closed = shared_bounds(&bounds).map(|(window, start, end)| Closed {
            window,
            start: column(start),
            end: column(end),
        });
        let bounded = all.iter().all(|relation| relation.bounded);
        let span = inputs.iter().fold(Span::NONE, |span, &input| span.to(self.plan.nodes[input].span));
        let in_turn = in_turn && bounded;
        let union = Union { in_turn, time: None };
        let node = self.plan.add(Operator::Union(union), inputs, Schema { fields: fields.clone() }, span);
        self.number_turns(node, span)?;
        let natural = match in_turn {
            true => Natural::Position,
            false => Natural::Unordered { time: times.first().copied() },
        };
        let mut follows: Vec<Expr> = times.into_iter().map(column).collect();
        if let Some(closed) = &closed {
            follows.push(window::time_of(closed.end.clone())?);
        }
        let clock = clocks.into_iter().position(|clock| clock).map(column);
        let scope = fields.iter().enumerate().map(|(n, field)| ScopeColumn {
            relation: String::new(),
            name: field.name.clone(),
            expression: Expr::column(n, field.data_type),
            merged: false,
        });
        Ok(Relation {
            node,
            scope: Scope { columns: scope.collect(), clock },
            times: follows,
            natural,
            closed,
            window: None,
            bounded,
            emit: None,
        })
    }

    /// Whether rows come straight from files, in order of position.
    fn is_plain(&self, relation: &Relation<'_>) -> bool {
        fn leads_to_scans(planner: &Planner<'_>, node: NodeId) -> bool {
            let this = &planner.plan.nodes[node];
            match &this.operator {
                Operator::Scan(_) => true,
                Operator::Filter(_) | Operator::Project(_) => leads_to_scans(planner, this.inputs[0]),
                Operator::Union(union) => union.in_turn,
                _ => false,
            }
        }
        matches!(relation.natural, Natural::Position) && leads_to_scans(self, relation.node)
    }

    /// Gives the scans whose rows reach a union their turns.
    fn number_turns(&mut self, union: NodeId, span: Span) -> Result<()> {
        let scans = self.scans_under(union);
        if scans.len() > MAX_TURNS {
            let error = Error::new(Code::Limit, "this many tables in one UNION are more than Corelane reads").at(span);
            return Err(error.note(format!("limit: {MAX_TURNS}")));
        }
        for (turn, scan) in scans.into_iter().enumerate() {
            if let Operator::Scan(scan) = &mut self.plan.nodes[scan].operator {
                scan.turn = turn as u8;
            }
        }
        Ok(())
    }

    /// INTERSECT and EXCEPT.
    fn counted<'a>(
        &mut self,
        sides: [Relation<'a>; 2],
        op: SetOperator,
        keeps_all: bool,
        span: Span,
    ) -> Result<Relation<'a>> {
        let mut relation = self.unite(sides.into(), true, &op.to_string())?;
        let side = relation.scope.columns.pop().expect("the side is the last column").expression;
        let keys: Vec<Expr> = relation.scope.columns.iter().map(|column| column.expression.clone()).collect();
        self.check_groups(&relation, &keys, &op.to_string(), span)?;
        let number = |n| at(Expr::literal(Value::I64(n), DataType::BigInt), span);
        let count = |n| -> Result<AggregateCall> {
            Ok(AggregateCall {
                function: AggregateFunction::Count,
                arguments: Vec::new(),
                distinct: false,
                filter: Some(compare(Comparison::Equal, side.clone(), number(n), span)?),
                data_type: DataType::BigInt,
                span,
            })
        };
        let names = vec!["left".to_owned(), "right".to_owned()];
        let grouping = Grouping::of(keys, vec![count(0)?, count(1)?], names);
        let columns = self.aggregate(&mut relation, grouping, span)?;
        for column in &mut relation.scope.columns {
            columns.place(&mut column.expression)?;
        }
        let [left, right] = [0, 1].map(|n| at(columns.call(n, DataType::BigInt), span));
        let less = |one: &Expr, other: &Expr| compare(Comparison::Less, one.clone(), other.clone(), span);
        let zero = number(0);
        let times = match (op, keeps_all) {
            (SetOperator::Intersect, true) => case(vec![(less(&left, &right)?, left)], Some(right), span)?,
            (SetOperator::Intersect, false) => {
                let both = super::select::conjunction(less(&zero, &left)?, less(&zero, &right)?);
                case(vec![(both, number(1))], Some(zero), span)?
            }
            (_, true) => call("-", vec![left, right], span)?,
            (_, false) => {
                let only = super::select::conjunction(less(&zero, &left)?, less(&right, &number(1))?);
                case(vec![(only, number(1))], Some(zero), span)?
            }
        };
        let times = self.column_of(&mut relation, &coerce(times, DataType::BigInt), "copies");
        let fields = self.fields(relation.node);
        relation.node = self.add(Operator::Repeat { times }, relation.node, fields, span);
        Ok(relation)
    }

    /// Rows in order of their time, whichever input is read first. Rows straight from a table have no
    /// watermark here, since none of them is late, so that takes until its end.
    pub(super) fn put_in_order(&mut self, relation: &mut Relation<'_>) -> bool {
        let Natural::Unordered { time: Some(time) } = relation.natural else { return false };
        let mut node = relation.node;
        loop {
            match &self.plan.nodes[node].operator {
                Operator::Union(_) => break,
                // Projections put in on the way only add columns.
                Operator::Filter(_) | Operator::Project(_) | Operator::Limit { .. } => {
                    node = self.plan.nodes[node].inputs[0];
                }
                _ => return false,
            }
        }
        if !relation.bounded && !self.scans_under(node).is_empty() {
            return false;
        }
        if let Operator::Union(union) = &mut self.plan.nodes[node].operator {
            union.time = Some(time);
        }
        let key = SortKey { column: time, descending: false, nulls_first: false };
        relation.natural = Natural::Keys { keys: vec![key], time_first: true };
        true
    }

    /// ORDER BY of a set operation: its columns by name or number, and what is computed of them.
    pub(super) fn order_of_set(
        &mut self,
        relation: &mut Relation<'_>,
        order: &[ast::OrderByExpr],
        wanted: Option<u64>,
        span: Span,
    ) -> Result<()> {
        let mut sort = Vec::new();
        for item in order {
            let key = sort_key(item)?;
            let bound = match bare_position(&item.expr, relation.scope.columns.len())? {
                Some(column) => relation.scope.columns[column].expression.clone(),
                None => Binder::new(&relation.scope, self.options.clock, "ORDER BY").bind(&item.expr)?,
            };
            sort.push((bound, key));
        }
        if !sort.is_empty() {
            self.sort(relation, sort, wanted, span)?;
        }
        Ok(())
    }
}

/// Which columns of an input are the bounds of its windows.
struct Bounds {
    window: Window,
    start: Vec<bool>,
    end: Vec<bool>,
}

/// The windows that all inputs have in common, with the columns that are their start and end.
fn shared_bounds(all: &[Option<Bounds>]) -> Option<(Window, usize, usize)> {
    let all: Vec<&Bounds> = all.iter().map(Option::as_ref).collect::<Option<_>>()?;
    let window = all[0].window;
    let shared = |pick: fn(&Bounds) -> &[bool]| {
        (0..pick(all[0]).len()).find(|&column| all.iter().all(|bounds| pick(bounds)[column]))
    };
    let (start, end) = (shared(|bounds| &bounds.start)?, shared(|bounds| &bounds.end)?);
    all.iter().all(|bounds| bounds.window == window).then_some((window, start, end))
}

/// The columns that hold the values of all inputs.
fn common_columns(all: &[Relation<'_>], what: &str) -> Result<Vec<Field>> {
    let first = &all[0].scope.columns;
    let mut columns: Vec<Field> = first
        .iter()
        .map(|column| Field { name: column.name.clone(), data_type: column.expression.data_type })
        .collect();
    for relation in &all[1..] {
        let given = &relation.scope.columns;
        if given.len() != columns.len() {
            let span = given.iter().fold(Span::NONE, |span, column| span.to(column.expression.span));
            let message = format!("the sides of {what} have {} and {} columns", columns.len(), given.len());
            return Err(Error::new(Code::Type, message).at(span).help("select as many on every side"));
        }
        for (number, (column, given)) in columns.iter_mut().zip(given).enumerate() {
            let (has, other) = (column.data_type, given.expression.data_type);
            column.data_type = types::common(has, other).ok_or_else(|| {
                let message = format!("column {} of {what} is {has} on one side and {other} on another", number + 1);
                Error::new(Code::Type, message).at(given.expression.span).help("CAST one to the other's type")
            })?;
        }
    }
    // A column of NULLs alone has to be of some type.
    for column in columns.iter_mut().filter(|column| column.data_type == DataType::Null) {
        column.data_type = DataType::BigInt;
    }
    Ok(columns)
}
