//! ORDER BY and LIMIT.

use sqlparser::ast::{self, Spanned};

use super::select::position;
use super::{Natural, Planner, Relation, clauses};
use crate::error::{Code, Error, Result, Span};
use crate::expr::{Expr, ExprKind};
use crate::plan::{Operator, SortKey};
use crate::sql::expression::{Binder, at};
use crate::sql::scope::same;
use crate::sql::token::place;
use crate::sql::unsupported;
use crate::types::Field;

impl Planner<'_> {
    pub(super) fn sort(
        &mut self,
        relation: &mut Relation<'_>,
        sort: Vec<(Expr, SortKey)>,
        wanted: Option<u64>,
        span: Span,
    ) -> Result<()> {
        // By the time that all inputs of a union have in common it needs no more than to wait for them.
        if let ([(item, key)], Natural::Unordered { time: Some(time) }, None) = (&sort[..], &relation.natural, wanted)
            && item.kind == ExprKind::Column(*time)
            && !key.descending
            && self.put_in_order(relation)
        {
            return Ok(());
        }
        // What comes in this order anyway is not sorted again; LIMIT needs it on one shard.
        let natural: Vec<SortKey> = match &relation.natural {
            Natural::Position | Natural::Unordered { .. } => Vec::new(),
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
        relation.closed = None;
        relation.natural = Natural::Keys { keys, time_first: false };
        Ok(())
    }
}

pub(super) fn order_item<'a>(
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

pub(in crate::sql) fn sort_key(item: &ast::OrderByExpr) -> Result<SortKey> {
    clauses::of_order(item)?;
    let descending = match &item.options.sort {
        None | Some(ast::OrderBySort::Asc) => false,
        Some(ast::OrderBySort::Desc) => true,
        Some(ast::OrderBySort::Using(_)) => {
            return Err(unsupported("ORDER BY .. USING is not supported", place(item.span())));
        }
    };
    Ok(SortKey { column: 0, descending, nulls_first: item.options.nulls_first.unwrap_or(false) })
}

/// The column of a result that `2` means, from 0.
pub(super) fn bare_position(tree: &ast::Expr, columns: usize) -> Result<Option<usize>> {
    let ast::Expr::Value(value) = tree else { return Ok(None) };
    let ast::Value::Number(number, _) = &value.value else { return Ok(None) };
    let column = number.parse::<usize>().ok().and_then(|number| number.checked_sub(1)).filter(|&n| n < columns);
    let wrong = || {
        let message = format!("position {number} is not among the {columns} columns");
        Error::new(Code::UnknownColumn, message).at(place(value.span))
    };
    column.map(Some).ok_or_else(wrong)
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

/// How many rows at most, and how many to leave out before them: LIMIT, OFFSET and FETCH.
pub(super) fn limits(query: &ast::Query, span: Span) -> Result<(Option<u64>, u64)> {
    let (limit, offset) = limit_clause(query.limit_clause.as_ref(), span)?;
    let Some(ast::Fetch { with_ties, percent, quantity }) = &query.fetch else { return Ok((limit, offset)) };
    if *with_ties || *percent {
        return Err(unsupported("FETCH .. PERCENT and WITH TIES are not supported", span)
            .help("write FETCH FIRST 10 ROWS ONLY, or RANK() OVER (..) <= 10 in QUALIFY"));
    }
    if limit.is_some() {
        return Err(Error::new(Code::Syntax, "LIMIT and FETCH say the same").at(span).help("leave one of them out"));
    }
    let rows = quantity.as_ref().map_or(Ok(Some(1)), row_count)?;
    Ok((rows, offset))
}

fn limit_clause(clause: Option<&ast::LimitClause>, span: Span) -> Result<(Option<u64>, u64)> {
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
