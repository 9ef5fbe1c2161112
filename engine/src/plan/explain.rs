//! A plan as text: what will run, what crosses between shards, what is kept, what is late.

use std::fmt::Write;

use super::changes::{Again, Changelog, Join as ChangingJoin, Net};
use super::{
    AggregateCall, AggregateFunction, Change, Changes, Emit, ExchangeKind, Join, JoinKind, Late, NodeId, Operator,
    OverCall, OverFunction, Phase, Plan, RankFunction, ReadOrder, Scan, SinkOrder, SortKey, Window, WindowKind,
};
use crate::expr::{Comparison, Expr, ExprKind, functions, zone_between};
use crate::types::{DataType, MICROS_PER_SECOND, Schema, Value};
use crate::zone::Zone;

/// The plan as a tree per sink, inputs below their users.
pub fn explain(plan: &Plan) -> String {
    written(plan, &|_| None)
}

/// The same after a run, with the rows that each node has given (a sink: taken) behind its headline.
pub fn analyzed(plan: &Plan, rows: &[u64]) -> String {
    written(plan, &|node| rows.get(node).copied())
}

fn written(plan: &Plan, rows: &dyn Fn(NodeId) -> Option<u64>) -> String {
    let mut out = String::new();
    for (id, node) in plan.nodes.iter().enumerate() {
        if matches!(node.operator, Operator::Sink(_)) {
            write_node(plan, id, 0, rows, &mut out);
        }
    }
    out
}

fn write_node(plan: &Plan, id: NodeId, depth: usize, rows: &dyn Fn(NodeId) -> Option<u64>, out: &mut String) {
    let node = &plan.nodes[id];
    let input = node.inputs.first().map(|&input| &plan.nodes[input].schema);
    let empty = Schema::default();
    let lines = match &node.operator {
        Operator::Changes(Changes { change: Change::Join(join), takes, gives }) => {
            let schema = |side: usize| &plan.nodes[node.inputs[side]].schema;
            describe_changing_join(join, takes, *gives, [schema(0), schema(1)], &node.schema)
        }
        Operator::Join(join) => {
            describe_join(join, [0, 1].map(|side| &plan.nodes[node.inputs[side]].schema), &node.schema)
        }
        operator => describe(operator, input.unwrap_or(&empty), &node.schema),
    };
    let mut lines = lines.into_iter();
    let indent = "  ".repeat(depth);
    let counted = rows(id).map_or_else(String::new, |rows| format!("  [{rows} rows]"));
    let _ = writeln!(out, "{indent}{}{counted}", lines.next().unwrap_or_default());
    for line in lines {
        let _ = writeln!(out, "{indent}    {line}");
    }
    for &input in &node.inputs {
        write_node(plan, input, depth + 1, rows, out);
    }
}

/// A headline and what stands under it.
fn describe(operator: &Operator, input: &Schema, output: &Schema) -> Vec<String> {
    let list = |expressions: &[Expr]| expressions.iter().map(|e| sql(e, input)).collect::<Vec<_>>().join(", ");
    match operator {
        Operator::Scan(scan) => describe_scan(scan, output),
        Operator::Filter(condition) => vec![format!("Filter {}", sql(condition, input))],
        Operator::Project(columns) => vec![format!("Project {}", list(columns))],
        Operator::Aggregate(aggregate) => {
            let phase = match aggregate.phase {
                Phase::Single => "Aggregate",
                Phase::Partial => "Aggregate (partial)",
                Phase::Merge => "Aggregate (merge)",
            };
            // A merge reads states, but its expressions are those of the rows.
            let keys: Vec<String> = match aggregate.phase {
                Phase::Merge => {
                    let skipped = if aggregate.window.is_some() { 2 } else { 0 };
                    output.fields[skipped..skipped + aggregate.keys.len()].iter().map(|f| f.name.clone()).collect()
                }
                _ => aggregate.keys.iter().map(|key| sql(key, input)).collect(),
            };
            let by = if keys.is_empty() { String::new() } else { format!(" by {}", keys.join(", ")) };
            let calls: Vec<String> = match aggregate.phase {
                Phase::Merge => output.fields[output.fields.len() - aggregate.calls.len()..]
                    .iter()
                    .map(|f| f.name.clone())
                    .collect(),
                _ => aggregate.calls.iter().map(|call| call_sql(call, input)).collect(),
            };
            let mut lines = vec![format!("{phase}{by}")];
            if !calls.is_empty() {
                lines.push(format!("computes: {}", calls.join(", ")));
            }
            if let Some((window, _)) = &aggregate.window {
                lines.push(format!("window: {}", window_text(window)));
            }
            if aggregate.phase != Phase::Partial {
                lines.push(format!("emit: {}", emit_text(aggregate.emit, aggregate.window.is_some())));
            }
            let group =
                if keys.is_empty() { "in all".to_owned() } else { format!("per group of ({})", keys.join(", ")) };
            let open = if aggregate.window.is_some() { " per open window" } else { "" };
            let held = match &aggregate.window {
                Some((window, _)) if window.is_session() => ", and rows until the watermark has passed them",
                _ => "",
            };
            lines.push(format!("state: one row {group}{open}{held}"));
            lines
        }
        Operator::Over(over) => {
            let calls: Vec<String> = over.calls.iter().map(|call| over_sql(call, over.time.is_some(), input)).collect();
            let order = over.time.map_or("position".to_owned(), |time| input.fields[time].name.clone());
            let partition = if over.partition.is_empty() {
                String::new()
            } else {
                format!(" partition by {}", list(&over.partition))
            };
            let mut lines =
                vec![format!("Over{partition} order by {order}"), format!("computes: {}", calls.join(", "))];
            lines.push(format!("state: {}", over_state(over, &list(&over.partition))));
            lines
        }
        Operator::Rank(rank) => {
            let columns: Vec<&str> = rank.partition.iter().map(|&column| input.fields[column].name.as_str()).collect();
            let columns = columns.join(", ");
            let by = if columns.is_empty() { String::new() } else { format!(" partition by {columns}") };
            let per = if columns.is_empty() { String::new() } else { format!(" per {columns}") };
            let names: Vec<String> = rank.functions.iter().map(|function| rank_name(*function)).collect();
            let kept = match rank.limit {
                Some((function, most)) => format!("rows of {} up to {most}{per}", names[function]),
                None => "all rows".to_owned(),
            };
            let until = match rank.time {
                Some(time) => format!("until the watermark passes {}", input.fields[time].name),
                None => "until the end of the input".to_owned(),
            };
            vec![
                format!("Rank{by} order by {}", keys_text(&rank.keys, input)),
                format!("computes: {}", names.join(", ")),
                format!("state: {kept}, {until}"),
            ]
        }
        Operator::Join(_) => unreachable!("a join has two inputs"),
        Operator::Union(union) => {
            let mut lines = vec![format!("Union of {}", names_of(output))];
            if union.in_turn {
                lines.push("read order: one input after another, unless by event time".to_owned());
            }
            if let Some(time) = union.time {
                let time = &output.fields[time].name;
                lines.push(format!("order: {time}"));
                lines.push(format!("state: rows until the watermark of all inputs has passed {time}"));
            }
            lines
        }
        Operator::Repeat { times } => vec![format!("Repeat each row as often as {}", input.fields[*times].name)],
        Operator::Unnest(unnest) => {
            let added = unnest.added().len();
            let end = output.fields.len() - unnest.behind;
            let fields = output.fields[end - added..end].iter();
            let fields: Vec<String> = fields.map(|field| format!("{} {}", field.name, field.data_type)).collect();
            let outer = if unnest.is_outer { ", rows without elements stay" } else { "" };
            vec![format!("Unnest {}{outer}", list(&unnest.arrays)), format!("adds: {}", fields.join(", "))]
        }
        Operator::Changes(changes) => describe_changes(changes, input, output),
        Operator::Exchange(exchange) => {
            let kind = match exchange.kind {
                ExchangeKind::PartialStates => "partial states",
                ExchangeKind::Rows => "rows",
                ExchangeKind::Copies => "copies of all rows",
            };
            let to = if exchange.kind == ExchangeKind::Copies {
                " to every shard".to_owned()
            } else if exchange.keys.is_empty() {
                " to shard 0".to_owned()
            } else {
                format!(" by {}", list(&exchange.keys))
            };
            let ordered = if exchange.ordered { ", merged by arrival" } else { "" };
            vec![format!("Exchange {} of {kind}{to}{ordered}", exchange.number)]
        }
        Operator::Limit { limit, offset } => {
            let limit = limit.map_or("all".to_owned(), |limit| limit.to_string());
            let offset = if *offset > 0 { format!(" offset {offset}") } else { String::new() };
            vec![format!("Limit {limit}{offset}")]
        }
        Operator::Sort { keys, limit } => {
            let state = limit.map_or("all rows".to_owned(), |limit| format!("the first {limit} rows"));
            vec![format!("Sort by {}", keys_text(keys, input)), format!("state: {state}")]
        }
        Operator::Sink(sink) => {
            let to = sink.table.as_ref().map_or("the result".to_owned(), |table| format!("`{table}`"));
            let names: Vec<&str> = output.fields[..sink.visible].iter().map(|field| field.name.as_str()).collect();
            let order = match &sink.order {
                SinkOrder::Arrival => "as it comes".to_owned(),
                SinkOrder::Position => "of the input".to_owned(),
                SinkOrder::Ordinal => "of arrival".to_owned(),
                SinkOrder::Columns { keys, then_position, .. } => {
                    let ties = if *then_position { ", then position" } else { "" };
                    if keys.is_empty() { "one row".to_owned() } else { format!("{}{ties}", keys_text(keys, output)) }
                }
            };
            let by: Vec<&str> = sink.partitioned_by.iter().map(|&column| names[column]).collect();
            let folders = (!by.is_empty()).then(|| format!("folders by {}", by.join(", ")));
            let lines = [format!("Sink {to}: {}", names.join(", ")), format!("order: {order}")];
            lines.into_iter().chain(folders).collect()
        }
    }
}

fn names_of(schema: &Schema) -> String {
    let names: Vec<&str> = schema.fields.iter().map(|field| field.name.as_str()).collect();
    if names.is_empty() { "no columns".to_owned() } else { names.join(", ") }
}

/// A bound in time that bounds nothing.
const FOREVER: i64 = i64::MAX / 2;

fn describe_join(join: &Join, [left, right]: [&Schema; 2], output: &Schema) -> Vec<String> {
    let kind = match join.kind {
        JoinKind::Inner => "Join",
        JoinKind::Left => "Left join",
        JoinKind::Right => "Right join",
        JoinKind::Full => "Full join",
        JoinKind::Semi => "Semi join",
        JoinKind::Anti => "Anti join",
    };
    let key = |(of_left, of_right): &(Expr, Expr)| format!("{} = {}", operand(of_left, left), operand(of_right, right));
    let keys: Vec<String> = join.keys.iter().map(key).collect();
    let on = if keys.is_empty() { " of all rows with all".to_owned() } else { format!(" on {}", keys.join(", ")) };
    let mut lines = vec![format!("{kind}{on}")];
    if let Some(condition) = &join.condition {
        let both = Schema { fields: left.fields.iter().chain(&right.fields).cloned().collect() };
        lines.push(format!("where: {}", sql(condition, &both)));
    }
    if let Some(pick) = &join.pick {
        let which = if pick.greatest { "greatest" } else { "least" };
        lines.push(format!("nearest: of the right rows the one with the {which} {}", sql(&pick.value, right)));
    }
    lines.push(format!("gives: {}", names_of(output)));
    match &join.within {
        Some(within) => {
            let (of_left, of_right) = (sql(&within.left, left), sql(&within.right, right));
            let waits = duration(within.wait());
            if join.pick.is_some() && within.lower < -FOREVER / 2 {
                lines.push(format!(
                    "within: the right {of_right} less the left {of_left} is {} at most",
                    duration(within.upper)
                ));
                lines.push(format!("state: left rows until the watermark is {waits} past them, all right rows"));
            } else {
                let bounds = format!("{} to {}", duration(within.lower), duration(within.upper));
                lines.push(format!("within: the right {of_right} less the left {of_left} is {bounds}"));
                let kept = duration(within.wait().saturating_sub(within.lower));
                lines.push(format!(
                    "state: left rows until the watermark is {waits} past them, right rows until it is {kept} past them"
                ));
            }
        }
        None => lines.push("state: all rows of both sides, until the input ends".to_owned()),
    }
    lines
}

/// An operator of changes of one input.
fn describe_changes(changes: &Changes, input: &Schema, output: &Schema) -> Vec<String> {
    let list = |expressions: &[Expr]| expressions.iter().map(|e| sql(e, input)).collect::<Vec<_>>().join(", ");
    let takes = if changes.takes[0] { "rows that come and go" } else { "rows that come" };
    let gives = if changes.gives { "rows that come and go" } else { "rows that come" };
    match &changes.change {
        Change::Aggregate(aggregate) => {
            let keys = list(&aggregate.keys);
            let by = if keys.is_empty() { String::new() } else { format!(" by {keys}") };
            let calls: Vec<String> = aggregate.calls.iter().map(|call| call_sql(call, input)).collect();
            let mut lines = vec![format!("Aggregate (changes){by}")];
            if !calls.is_empty() {
                lines.push(format!("computes: {}", calls.join(", ")));
            }
            lines.push(format!("takes: {takes}; gives, at the end of a turn: {gives}"));
            let group = if keys.is_empty() { "in all".to_owned() } else { format!("per group of ({keys})") };
            lines.push(format!("state: one row {group}, for ever"));
            lines
        }
        Change::Again(Again { operator, partition, keeps_first }) => {
            let mut lines = describe(operator, input, output);
            lines.pop();
            lines[0].push_str(" (changes)");
            lines.push(format!("takes: {takes}; gives, at the end of a turn: {gives}"));
            let per =
                if partition.is_empty() { "in all".to_owned() } else { format!("of every ({})", list(partition)) };
            let kept = if *keeps_first { "the first rows" } else { "all rows" };
            lines.push(format!("state: {kept} {per}, for ever; those of what a turn touched are gone through again"));
            lines
        }
        Change::Join(_) => unreachable!("a join has two inputs"),
        Change::Unite => {
            vec![format!("Union of {} (changes)", names_of(output)), format!("gives, at the end of a turn: {gives}")]
        }
        Change::Net(Net { key, form, every_us, .. }) => {
            let named = |column: &usize| input.fields.get(*column).map_or("?", |field| &field.name);
            let by = match key.as_deref() {
                None => ", without a key".to_owned(),
                Some([]) => ", of one row".to_owned(),
                Some(key) => format!(" by {}", key.iter().map(named).collect::<Vec<_>>().join(", ")),
            };
            let form = match form {
                Changelog::Values => "new rows",
                Changelog::Operations => "+I, -U, +U, -D",
                Changelog::Upsert => "+U with the row, -D with the key",
                Changelog::Debezium => "before, after",
            };
            let when = every_us.map_or(String::new(), |micros| format!(", every {} of the clock", duration(micros)));
            vec![format!("Net changes of a turn{by}"), format!("gives: {form}{when}")]
        }
    }
}

fn describe_changing_join(
    join: &ChangingJoin,
    takes: &[bool],
    gives: bool,
    sides: [&Schema; 2],
    output: &Schema,
) -> Vec<String> {
    let mut number = 0;
    // The operations of a side are none of its columns.
    let inputs = sides.map(|schema| {
        let fields = schema.fields[..schema.fields.len() - usize::from(takes[number])].to_vec();
        number += 1;
        Schema { fields }
    });
    let mut lines = describe_join(&join.join, [&inputs[0], &inputs[1]], output);
    lines.pop();
    lines[0].push_str(" (changes)");
    lines.push(format!("gives, at the end of a turn: rows that come{}", if gives { " and go" } else { "" }));
    let kept = |side: usize| match &join.keep[side] {
        Some(keep) => format!("until the watermark is {} past them", duration(keep.micros)),
        None => "for ever".to_owned(),
    };
    lines.push(format!("state: left rows {}, right rows {}", kept(0), kept(1)));
    lines
}

fn describe_scan(scan: &Scan, output: &Schema) -> Vec<String> {
    let names = |columns: &[super::ScanColumn]| columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", ");
    let mut lines = vec![format!("Scan `{}`", scan.table)];
    let (eager, lazy) = scan.columns.split_at(scan.eager);
    lines.push(match (eager, lazy) {
        ([], []) => "columns: none".to_owned(),
        ([], lazy) => format!("columns: {}", names(lazy)),
        (eager, []) => format!("columns: {}", names(eager)),
        (eager, lazy) => format!("columns: {}; for rows that are kept: {}", names(eager), names(lazy)),
    });
    if let Some(filter) = &scan.filter {
        lines.push(format!("where: {}", sql(filter, output)));
    }
    match (&scan.event_time, &scan.late) {
        (None, _) if scan.clock.is_some() => {
            let delay = scan.clock.map_or(0, |clock| clock.delay_us);
            let less = if delay > 0 { format!(" less {}", duration(delay)) } else { String::new() };
            lines.push(format!("watermark: the clock{less}, also while no rows come"));
            lines.push("late: nothing".to_owned());
        }
        (Some(time), late) => {
            lines.push(format!("watermark: {} less {}", sql(&time.expression, output), duration(time.delay_us)));
            lines.push(match late {
                Some(Late::Window(_)) => "late: when the row's last window has ended".to_owned(),
                Some(Late::Row) => "late: at or before the watermark".to_owned(),
                None => "late: nothing".to_owned(),
            });
        }
        (None, _) => {
            lines.push("no WATERMARK in use: nothing is late, windows close at the end of the input".to_owned())
        }
    }
    let order = match scan.read_order {
        ReadOrder::Position => "piece and file name",
        ReadOrder::EventTime => "event time, the split furthest behind first",
    };
    lines.push(format!("read order: {order}"));
    lines
}

fn over_state(over: &super::Over, partition: &str) -> String {
    let per = if partition.is_empty() { String::new() } else { format!(" per {partition}") };
    let rows = |call: &OverCall| match &call.function {
        OverFunction::RowNumber | OverFunction::Rank | OverFunction::DenseRank => Some(1),
        OverFunction::NthValue(number) => Some(call.preceding.map_or(*number, |preceding| preceding + 1)),
        OverFunction::Lag { offset, .. } | OverFunction::Lead { offset, .. } => Some(offset + 1),
        OverFunction::FirstValue | OverFunction::LastValue | OverFunction::Aggregate(_) => match call.preceding {
            Some(preceding) => Some(preceding.max(call.following) + 1),
            None if call.following > 0 => Some(call.following + 1),
            // A running aggregate is one accumulator.
            None => Some(1),
        },
    };
    let most = over.calls.iter().filter_map(rows).max().unwrap_or(0);
    let span = over.calls.iter().filter_map(|call| call.range.filter(|&range| range != i64::MAX)).max();
    let span = span.map_or(String::new(), |span| format!(" and the rows of the last {}", duration(span)));
    let whole = over.time.is_none() && over.calls.iter().any(|call| call.range.is_some());
    let waits = match over.time {
        Some(_) => ", and rows until the watermark passes them",
        None if whole => ", and all rows until the input ends",
        None => "",
    };
    let cap = over.buffer_rows.map_or(String::new(), |rows| format!(", at most {rows}"));
    if most == 1 {
        format!("one row{span}{per}{cap}{waits}")
    } else {
        format!("last {most} rows{span}{per}{cap}{waits}")
    }
}

fn keys_text(keys: &[SortKey], schema: &Schema) -> String {
    let key = |key: &SortKey| {
        let down = if key.descending { " desc" } else { "" };
        let nulls = if key.nulls_first { " nulls first" } else { "" };
        format!("{}{down}{nulls}", schema.fields.get(key.column).map_or("?", |field| &field.name))
    };
    keys.iter().map(key).collect::<Vec<_>>().join(", ")
}

fn emit_text(emit: Emit, windowed: bool) -> &'static str {
    match (emit, windowed) {
        (Emit::Changes | Emit::Changelog | Emit::Periodic(_), _) => "changes, a row out per row in",
        (Emit::Final | Emit::Delayed(_), true) => "final, when the window closes",
        (Emit::Final | Emit::Delayed(_), false) => "final, at the end of the input",
    }
}

fn window_text(window: &Window) -> String {
    let offset = if window.offset == 0 { String::new() } else { format!(", offset {}", duration(window.offset)) };
    match window.kind {
        WindowKind::Session => format!("session, ends after {} without a row", duration(window.size)),
        WindowKind::Cumulate => {
            format!("cumulating up to {} every {}{offset}", duration(window.size), duration(window.slide))
        }
        WindowKind::Hop if window.is_tumbling() => format!("tumbling {}{offset}", duration(window.size)),
        WindowKind::Hop => format!("hopping {} every {}{offset}", duration(window.size), duration(window.slide)),
    }
}

/// `1 m 30 s`.
fn duration(micros: i64) -> String {
    let units = [
        (86_400 * MICROS_PER_SECOND, "d"),
        (3_600 * MICROS_PER_SECOND, "h"),
        (60 * MICROS_PER_SECOND, "m"),
        (MICROS_PER_SECOND, "s"),
        (1_000, "ms"),
        (1, "us"),
    ];
    let mut rest = micros.unsigned_abs();
    let mut parts = Vec::new();
    for (unit, name) in units {
        let unit = unit.unsigned_abs();
        if rest >= unit {
            parts.push(format!("{} {name}", rest / unit));
            rest %= unit;
        }
    }
    let text = if parts.is_empty() { "0 s".to_owned() } else { parts.join(" ") };
    if micros < 0 { format!("-{text}") } else { text }
}

fn function_name(function: AggregateFunction) -> &'static str {
    match function {
        AggregateFunction::Count => "COUNT",
        AggregateFunction::Sum => "SUM",
        AggregateFunction::Avg => "AVG",
        AggregateFunction::Min => "MIN",
        AggregateFunction::Max => "MAX",
        AggregateFunction::First => "FIRST_VALUE",
        AggregateFunction::Last => "LAST_VALUE",
        AggregateFunction::VarPop => "VAR_POP",
        AggregateFunction::VarSamp => "VAR_SAMP",
        AggregateFunction::StddevPop => "STDDEV_POP",
        AggregateFunction::StddevSamp => "STDDEV_SAMP",
        AggregateFunction::BoolAnd => "BOOL_AND",
        AggregateFunction::BoolOr => "BOOL_OR",
        AggregateFunction::Corr => "CORR",
        AggregateFunction::CovarPop => "COVAR_POP",
        AggregateFunction::CovarSamp => "COVAR_SAMP",
        AggregateFunction::RegrSlope => "REGR_SLOPE",
        AggregateFunction::RegrIntercept => "REGR_INTERCEPT",
        AggregateFunction::RegrR2 => "REGR_R2",
        AggregateFunction::ArgMin => "ARG_MIN",
        AggregateFunction::ArgMax => "ARG_MAX",
        AggregateFunction::PercentileCont => "PERCENTILE_CONT",
        AggregateFunction::PercentileDisc => "PERCENTILE_DISC",
        AggregateFunction::StringAgg => "STRING_AGG",
        AggregateFunction::ArrayAgg => "ARRAY_AGG",
        AggregateFunction::ArrayAggDistinct => "ARRAY_AGG_DISTINCT",
        AggregateFunction::MapAgg => "MAP_AGG",
        AggregateFunction::TopK => "TOPK",
    }
}

fn call_sql(call: &AggregateCall, schema: &Schema) -> String {
    let arguments: Vec<_> = call.arguments.iter().map(|argument| sql(argument, schema)).collect();
    let argument = if arguments.is_empty() { "*".to_owned() } else { arguments.join(", ") };
    let distinct = if call.distinct { "DISTINCT " } else { "" };
    let filter = call.filter.as_ref().map_or(String::new(), |f| format!(" FILTER (WHERE {})", sql(f, schema)));
    format!("{}({distinct}{argument}){filter}", function_name(call.function))
}

/// A rank as it is written.
pub(super) fn rank_name(function: RankFunction) -> String {
    match function {
        RankFunction::RowNumber => "ROW_NUMBER()".to_owned(),
        RankFunction::Rank => "RANK()".to_owned(),
        RankFunction::DenseRank => "DENSE_RANK()".to_owned(),
        RankFunction::Ntile(parts) => format!("NTILE({parts})"),
        RankFunction::PercentRank => "PERCENT_RANK()".to_owned(),
        RankFunction::CumeDist => "CUME_DIST()".to_owned(),
    }
}

fn over_sql(call: &OverCall, timed: bool, schema: &Schema) -> String {
    let (name, extra) = match &call.function {
        OverFunction::Aggregate(function) => (function_name(*function), String::new()),
        OverFunction::RowNumber => return "ROW_NUMBER()".to_owned(),
        OverFunction::Lag { offset, .. } => ("LAG", format!(", {offset}")),
        OverFunction::Lead { offset, .. } => ("LEAD", format!(", {offset}")),
        OverFunction::FirstValue => ("FIRST_VALUE", String::new()),
        OverFunction::LastValue => ("LAST_VALUE", String::new()),
        OverFunction::NthValue(number) => ("NTH_VALUE", format!(", {number}")),
        OverFunction::Rank => return "RANK()".to_owned(),
        OverFunction::DenseRank => return "DENSE_RANK()".to_owned(),
    };
    let argument = call.arguments.first().map_or("*".to_owned(), |argument| sql(argument, schema));
    let rows = match (&call.function, call.preceding) {
        _ if call.range.is_some() && !timed => " over the whole partition".to_owned(),
        _ if call.range == Some(i64::MAX) => " over all times up to the row's".to_owned(),
        _ if call.range.is_some() => format!(" over {}", duration(call.range.unwrap_or_default())),
        (OverFunction::Lag { .. } | OverFunction::Lead { .. }, _) => String::new(),
        (_, None) if call.following == 0 => " over all rows before".to_owned(),
        (_, None) => format!(" over all rows up to {} behind", call.following),
        (_, Some(preceding)) if call.following == 0 => format!(" over {} rows", preceding + 1),
        (_, Some(preceding)) => format!(" over {} rows up to {} behind", preceding + 1, call.following),
    };
    format!("{name}({argument}{extra}){rows}")
}

/// An expression over columns of `schema`, as SQL.
pub fn sql(expression: &Expr, schema: &Schema) -> String {
    let list = |expressions: &[Expr]| expressions.iter().map(|e| sql(e, schema)).collect::<Vec<_>>().join(", ");
    let joined = |expressions: &[Expr], with: &str| {
        expressions.iter().map(|e| operand(e, schema)).collect::<Vec<_>>().join(with)
    };
    match &expression.kind {
        ExprKind::Column(index) => {
            schema.fields.get(*index).map_or_else(|| format!("#{index}"), |field| field.name.clone())
        }
        ExprKind::Literal(value) => literal(value, expression.data_type),
        ExprKind::Call { function, arguments } => match (functions::name(*function), &arguments[..]) {
            ("negate", [input]) => format!("-{}", operand(input, schema)),
            (name @ ("+" | "-" | "*" | "/" | "%" | "||"), [left, right]) => {
                format!("{} {name} {}", operand(left, schema), operand(right, schema))
            }
            (name, arguments) => format!("{}({})", name.to_ascii_uppercase(), list(arguments)),
        },
        ExprKind::Cast { input, .. } if zone_between(input.data_type, expression.data_type).is_some() => {
            let zone = zone_between(input.data_type, expression.data_type).map_or("", Zone::name);
            format!("{} AT TIME ZONE '{zone}'", operand(input, schema))
        }
        ExprKind::Cast { input, safe } => {
            format!("{}({} AS {})", if *safe { "TRY_CAST" } else { "CAST" }, sql(input, schema), expression.data_type)
        }
        ExprKind::Compare { comparison, left, right } => {
            let sign = match comparison {
                Comparison::Equal => "=",
                Comparison::NotEqual => "<>",
                Comparison::Less => "<",
                Comparison::LessOrEqual => "<=",
                Comparison::Greater => ">",
                Comparison::GreaterOrEqual => ">=",
                Comparison::NotDistinct => "IS NOT DISTINCT FROM",
                Comparison::Distinct => "IS DISTINCT FROM",
            };
            format!("{} {sign} {}", operand(left, schema), operand(right, schema))
        }
        ExprKind::And(terms) => joined(terms, " AND "),
        ExprKind::Or(terms) => joined(terms, " OR "),
        ExprKind::Not(input) => match &input.kind {
            ExprKind::IsNull(input) => format!("{} IS NOT NULL", operand(input, schema)),
            _ => format!("NOT {}", operand(input, schema)),
        },
        ExprKind::IsNull(input) => format!("{} IS NULL", operand(input, schema)),
        ExprKind::Case { branches, otherwise } => {
            let mut out = "CASE".to_owned();
            for (condition, result) in branches {
                let _ = write!(out, " WHEN {} THEN {}", sql(condition, schema), sql(result, schema));
            }
            if let Some(otherwise) = otherwise {
                let _ = write!(out, " ELSE {}", sql(otherwise, schema));
            }
            out + " END"
        }
        ExprKind::InList { input, list, list_has_null } => {
            let mut items: Vec<String> = list.iter().map(|value| literal(value, input.data_type)).collect();
            if *list_has_null {
                items.push("NULL".to_owned());
            }
            format!("{} IN ({})", operand(input, schema), items.join(", "))
        }
        ExprKind::Like { input, pattern, escape, ignore_case } => {
            let like = if *ignore_case { "ILIKE" } else { "LIKE" };
            let escape = escape.map_or(String::new(), |escape| format!(" ESCAPE '{escape}'"));
            format!("{} {like} {}{escape}", operand(input, schema), quoted(pattern))
        }
    }
}

/// The same in parentheses where it needs them inside another operator.
fn operand(expression: &Expr, schema: &Schema) -> String {
    let text = sql(expression, schema);
    let closed = match &expression.kind {
        ExprKind::Cast { input, .. } => zone_between(input.data_type, expression.data_type).is_none(),
        ExprKind::Column(_) | ExprKind::Literal(_) | ExprKind::Case { .. } => true,
        ExprKind::Call { function, .. } => functions::name(*function).starts_with(|c: char| c.is_ascii_alphabetic()),
        _ => false,
    };
    if closed { text } else { format!("({text})") }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn literal(value: &Value, data_type: DataType) -> String {
    let scaled = |digits: i128, scale: u8| {
        if scale == 0 {
            return digits.to_string();
        }
        let unit = 10u128.pow(u32::from(scale));
        let sign = if digits < 0 { "-" } else { "" };
        let digits = digits.unsigned_abs();
        format!("{sign}{}.{:0width$}", digits / unit, digits % unit, width = usize::from(scale))
    };
    match (value, data_type) {
        (Value::Null, _) => "NULL".to_owned(),
        (Value::Text(text), _) => quoted(text),
        (Value::Nested(_), _) => {
            let mut json = String::new();
            crate::expr::write_value(&mut json, value, data_type);
            quoted(&json)
        }
        (Value::F64(value), _) => format!("{value:e}"),
        (Value::I128(digits), _) => scaled(*digits, data_type.scale()),
        (Value::I64(truth), DataType::Boolean) => if *truth == 1 { "TRUE" } else { "FALSE" }.to_owned(),
        (Value::I64(micros), DataType::Interval) => format!("INTERVAL '{}'", duration(*micros)),
        (Value::I64(micros), DataType::Timestamp { .. }) => match jiff::Timestamp::from_microsecond(*micros) {
            Ok(instant) => format!("TIMESTAMP '{instant}'"),
            Err(_) => micros.to_string(),
        },
        (Value::I64(days), DataType::Date) => {
            let date = i32::try_from(*days).ok().and_then(|days| {
                jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().try_days(days).ok()?).ok()
            });
            date.map_or_else(|| days.to_string(), |date| format!("DATE '{date}'"))
        }
        (Value::I64(digits), _) => scaled(i128::from(*digits), data_type.scale()),
    }
}
