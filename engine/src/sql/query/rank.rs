//! ROW_NUMBER, RANK and DENSE_RANK by any order, and the conditions that bound them.

use sqlparser::ast;

use super::select::position;
use super::{Natural, Planner, Relation};
use crate::error::{Code, Error, Result, Span};
use crate::expr::{Comparison, Expr, ExprKind};
use crate::plan::{Late, Operator, OverCall, OverFunction, Rank, RankFunction, SortKey};
use crate::sql::expression::{Binder, at, compare};
use crate::sql::over::OverItem;
use crate::sql::scope::same;
use crate::sql::token::place;
use crate::sql::{unsupported, window};
use crate::types::{DataType, Field, Value};

impl Planner<'_> {
    /// Whether a call needs all rows of its partition before it says anything. Upwards by the time that
    /// rows come in, ranks count as they come.
    pub(super) fn is_ranked(&self, relation: &Relation<'_>, item: &OverItem) -> bool {
        match (item.ranks, &item.order[..]) {
            (Some(function), _) if function.is_of_partition() => true,
            (None, _) | (Some(_), []) => false,
            (Some(_), [(order, key)]) if !key.descending && !key.nulls_first => {
                let kind = order.data_type;
                let counts = matches!(relation.natural, Natural::Position | Natural::Time(_))
                    && (kind.is_timestamp() || kind.is_integer())
                    && self.check_time(relation, &relation.scope, order, "OVER orders").is_ok();
                let clock = &relation.scope.clock;
                !(counts || relation.times.iter().chain(clock).any(|time| same(time, order)))
            }
            _ => true,
        }
    }

    /// One node for `items`, which share their window; their numbers and columns.
    pub(super) fn rank(
        &mut self,
        relation: &mut Relation<'_>,
        items: &[(usize, &OverItem)],
        span: Span,
    ) -> Result<Vec<(usize, Expr)>> {
        let lead = items[0].1;
        let call = lead.call.span;
        if lead.buffer.is_some() {
            return Err(unsupported("ROWS WINDOW BUFFER of a rank is not supported", call).help("leave it out"));
        }
        // Rows of one window are ranked when it closes, all others at the end of the input.
        let end = relation.closed.as_ref().and_then(|closed| {
            let names = |key: &Expr| {
                let bounds = [&closed.start, &closed.end];
                bounds.iter().any(|bound| same(bound, key)) || relation.times.iter().any(|time| same(time, key))
            };
            lead.partition.iter().any(names).then(|| closed.end.clone())
        });
        let time = end.as_ref().map(|end| self.column_of(relation, end, "window_end"));
        let mut partition = Vec::from_iter(time);
        for key in &lead.partition {
            // One bound of a window follows from the other.
            let closed = relation.closed.as_ref().filter(|_| time.is_some());
            if closed.is_some_and(|closed| same(&closed.start, key) || same(&closed.end, key)) {
                continue;
            }
            let column = self.column_of(relation, key, "partition");
            if !partition.contains(&column) {
                partition.push(column);
            }
        }
        let mut keys = Vec::new();
        for (order, key) in &lead.order {
            keys.push(SortKey { column: self.column_of(relation, order, "order"), ..key.clone() });
        }
        let mut fields = self.fields(relation.node);
        let mut functions = Vec::new();
        let mut placed = Vec::new();
        for (number, item) in items {
            placed.push((*number, Expr::column(fields.len(), item.call.data_type)));
            fields.push(Field { name: item.name.clone(), data_type: item.call.data_type });
            functions.extend(item.ranks);
        }
        let ascending = |&column: &usize| SortKey { column, descending: false, nulls_first: false };
        let order = partition.iter().map(ascending).chain(keys.iter().cloned()).collect();
        relation.natural = Natural::Keys { keys: order, time_first: time.is_some() };
        match end {
            Some(end) => {
                if let Some(closed) = &relation.closed {
                    self.judge(relation, Late::Window(closed.window));
                }
                relation.times = vec![end.clone(), window::time_of(end)?];
            }
            None => {
                relation.times.clear();
                relation.closed = None;
            }
        }
        let rank = Rank { partition, keys, functions, time, limit: None };
        relation.node = self.add(Operator::Rank(rank), relation.node, fields, span);
        Ok(placed)
    }
}

impl Planner<'_> {
    /// What DISTINCT ON names: a column of the result by name or number, or an expression.
    pub(super) fn distinct_key<'a>(
        &self,
        tree: &'a ast::Expr,
        select: &'a ast::Select,
        items: &[(String, Expr)],
        binder: &mut Binder<'a>,
    ) -> Result<Expr> {
        if let ast::Expr::Identifier(name) = tree
            && let Some((_, bound)) = items.iter().find(|(known, _)| known.eq_ignore_ascii_case(&name.value))
        {
            return Ok(at(bound.clone(), place(name.span)));
        }
        binder.bind(position(tree, select)?.unwrap_or(tree))
    }

    /// DISTINCT ON: of the rows with equal `keys` the first by `sort`, which begins with them.
    pub(super) fn distinct_on(
        &mut self,
        relation: &mut Relation<'_>,
        keys: Vec<Expr>,
        sort: &[(Expr, SortKey)],
        span: Span,
    ) -> Result<()> {
        let is_key = |item: &Expr| keys.iter().any(|key| same(key, item));
        let behind = sort.iter().position(|(item, _)| !is_key(item)).unwrap_or(sort.len());
        let missing = keys.iter().find(|key| !sort[..behind].iter().any(|(item, _)| same(item, key)));
        if let Some(key) = missing.filter(|_| behind < sort.len()) {
            let error = Error::new(Code::Misplaced, "ORDER BY must begin with what DISTINCT ON names").at(key.span);
            return Err(error.help("write DISTINCT ON (k) .. ORDER BY k, ts DESC"));
        }
        let call = OverCall {
            function: OverFunction::RowNumber,
            arguments: Vec::new(),
            preceding: None,
            following: 0,
            range: None,
            data_type: DataType::BigInt,
            span: keys.iter().fold(Span::NONE, |span, key| span.to(key.span)),
        };
        let item = OverItem {
            call,
            name: "row_number".to_owned(),
            partition: keys,
            order: sort[behind..].to_vec(),
            ranks: Some(RankFunction::RowNumber),
            buffer: None,
        };
        let number = self.over(relation, vec![item], span)?.swap_remove(0);
        let one = at(Expr::literal(Value::I64(1), DataType::BigInt), span);
        let first = compare(Comparison::Equal, number, one, span)?;
        self.filter(relation, first)
    }
}

/// Bounds what a rank node of `width` columns keeps, where `condition` lets the first rows through only.
pub(super) fn narrow(rank: &mut Rank, width: usize, condition: &Expr) {
    if rank.functions.iter().any(|function| function.is_of_partition()) {
        return;
    }
    let terms = match &condition.kind {
        ExprKind::And(terms) => &terms[..],
        _ => std::slice::from_ref(condition),
    };
    let first = width - rank.functions.len();
    for term in terms {
        let ExprKind::Compare { comparison, left, right } = &term.kind else { continue };
        let (comparison, column, bound) = match (&left.kind, &right.kind) {
            (ExprKind::Column(column), ExprKind::Literal(Value::I64(bound))) => (*comparison, *column, *bound),
            (ExprKind::Literal(Value::I64(bound)), ExprKind::Column(column)) => {
                let turned = match comparison {
                    Comparison::Greater => Comparison::Less,
                    Comparison::GreaterOrEqual => Comparison::LessOrEqual,
                    Comparison::Equal => Comparison::Equal,
                    _ => continue,
                };
                (turned, *column, *bound)
            }
            _ => continue,
        };
        let most = match comparison {
            Comparison::Less => bound.saturating_sub(1),
            Comparison::LessOrEqual | Comparison::Equal => bound,
            _ => continue,
        };
        if column >= first && column < width && rank.limit.is_none_or(|(_, known)| most < known) {
            rank.limit = Some((column - first, most));
        }
    }
}
