//! OVER: a node for all calls that share their window.

use super::{Natural, Planner, Relation};
use crate::error::{Result, Span};
use crate::expr::Expr;
use crate::plan::{Late, Operator, Over};
use crate::sql::over::OverItem;
use crate::sql::unsupported;
use crate::types::Field;

impl Planner<'_> {
    /// OVER nodes, one per window; the columns of the calls.
    pub(super) fn over(&mut self, relation: &mut Relation<'_>, items: Vec<OverItem>, span: Span) -> Result<Vec<Expr>> {
        let mut placed: Vec<Option<Expr>> = vec![None; items.len()];
        self.put_in_order(relation);
        for first in 0..items.len() {
            if placed[first].is_some() {
                continue;
            }
            let lead = &items[first];
            let ranked = self.is_ranked(relation, lead);
            let shares = |(number, item): &(usize, &OverItem)| {
                placed[*number].is_none() && item.shares_node(lead) && self.is_ranked(relation, item) == ranked
            };
            let together: Vec<(usize, &OverItem)> = items.iter().enumerate().filter(shares).collect();
            if ranked {
                for (number, column) in self.rank(relation, &together, span)? {
                    placed[number] = Some(column);
                }
                continue;
            }
            let time = match lead.order.first() {
                None if lead.is_whole() => {
                    refuse_endless(relation, lead.call.span)?;
                    if !matches!(relation.natural, Natural::Position) {
                        relation.natural = Natural::Unordered { time: None };
                    }
                    None
                }
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
                Some((order, _)) => {
                    let scope = std::mem::take(&mut relation.scope);
                    let by_clock = self.follow_clock(relation, &scope, order);
                    relation.scope = scope;
                    if !by_clock? {
                        self.check_time(relation, &relation.scope, order, "OVER orders")?;
                    }
                    if !order.data_type.is_timestamp() && !order.data_type.is_integer() {
                        let error = unsupported(format!("OVER orders by time, not by {}", order.data_type), order.span);
                        return Err(error.help("order by a TIMESTAMP column"));
                    }
                    let column = self.column_of(relation, order, "time");
                    self.judge(relation, Late::Row);
                    Some(column)
                }
            };
            let mut fields = self.fields(relation.node);
            let mut calls = Vec::new();
            for (number, item) in together {
                placed[number] = Some(Expr::column(fields.len(), item.call.data_type));
                fields.push(Field { name: item.name.clone(), data_type: item.call.data_type });
                calls.push(item.call.clone());
            }
            let over = Over { partition: lead.partition.clone(), time, calls, buffer_rows: lead.buffer };
            relation.node = self.add(Operator::Over(over), relation.node, fields, span);
            if let (Natural::Position, Some(time)) = (&relation.natural, time) {
                relation.natural = Natural::Time(time);
            }
        }
        Ok(placed.into_iter().flatten().collect())
    }
}

/// What a whole partition holds is known at its end.
fn refuse_endless(relation: &Relation<'_>, span: Span) -> Result<()> {
    if relation.bounded {
        return Ok(());
    }
    Err(unsupported("OVER a whole partition of endless input is not supported", span)
        .help("add ORDER BY with the watermark column, or aggregate in windows: GROUP BY window_start, ..")
        .note("the last row of the partition never comes"))
}
