//! For how long joins keep their rows, and what is said where that is for ever.

use super::{Planner, Relation};
use crate::error::{Code, Error, Result, Span};
use crate::plan::changes::Keep;
use crate::plan::{Change, Late, NodeId, Operator, Plan};
use crate::sql::Table;

impl Planner<'_> {
    /// What STATE_TTL says of a side of the join at `span`.
    pub(super) fn keep(&mut self, side: &Relation<'_>, span: Span) -> Result<Option<Box<Keep>>> {
        let Some(name) = side.scope.columns.first().map(|column| column.relation.clone()) else { return Ok(None) };
        let is_whole = side.scope.columns.iter().all(|column| column.relation == name);
        let is_meant = |hint: &&mut crate::sql::hint::Hint| {
            is_whole && hint.covers(span) && hint.table.eq_ignore_ascii_case(&name)
        };
        let Some(hint) = self.hints.iter_mut().find(is_meant) else { return Ok(None) };
        hint.used = true;
        let (micros, at) = (hint.micros, hint.span);
        let Some(time) = side.times.first().cloned() else {
            let error = Error::new(Code::Type, format!("STATE_TTL of `{name}` needs its event time")).at(at);
            return Err(error.help("declare WATERMARK FOR ts AS ts - INTERVAL '2' SECOND, or bound the other side"));
        };
        self.judge(side, Late::Row);
        Ok(Some(Box::new(Keep { time, micros })))
    }
}

/// Where rows of endless input are held for ever.
pub(super) fn warnings(plan: &Plan, tables: &[Table]) -> Vec<String> {
    let mut warnings = Vec::new();
    for node in &plan.nodes {
        let Operator::Changes(changes) = &node.operator else { continue };
        let Change::Join(join) = &changes.change else { continue };
        for (side, _) in join.keep.iter().enumerate().filter(|(_, keep)| keep.is_none()) {
            let mut endless = endless(plan, node.inputs[side], tables);
            endless.sort();
            endless.dedup();
            if let Some(table) = endless.first() {
                warnings.push(format!(
                    "a join holds all rows of `{table}` for ever: bound how far apart in time rows may be, or write \
                     SELECT /*+ STATE_TTL('{table}' = '1h') */"
                ));
            }
        }
    }
    warnings.dedup();
    warnings
}

/// Tables below `node` that do not end.
fn endless(plan: &Plan, node: NodeId, tables: &[Table]) -> Vec<String> {
    match &plan.nodes[node].operator {
        Operator::Scan(scan) => {
            let table = tables.iter().find(|table| table.name.eq_ignore_ascii_case(&scan.table));
            table.filter(|table| !table.bounded).map(|table| table.name.clone()).into_iter().collect()
        }
        _ => plan.nodes[node].inputs.iter().flat_map(|&input| endless(plan, input, tables)).collect(),
    }
}
