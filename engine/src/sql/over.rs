//! OVER: the call, its frame, and the named window it may use.

use sqlparser::ast::{self, Spanned, WindowFrameBound, WindowFrameUnits, WindowType};

use super::expression::{Binder, at, coerce, plain_arguments};
use super::prepass::BUFFER_ITEM;
use super::query::sort_key;
use super::scope::{OVER_MARK, same};
use super::token::place;
use super::{aggregate, literal, unsupported};
use crate::error::{Code, Error, Result, Span};
use crate::expr::functions::Description;
use crate::expr::{Expr, ExprKind};
use crate::over::range;
use crate::plan::{AggregateFunction, OverCall, OverFunction, RankFunction, SortKey};
use crate::types::{DataType, Value};

const fn row(name: &'static str, signature: &'static str, doc: &'static str) -> Description {
    Description { name, aliases: &[], signature, doc, example: None }
}

/// Functions that only stand before OVER, for documentation.
pub(super) const TABLE: [Description; 9] = [
    row("nth_value", "a value and a number", "The value of that row of the frame, from 1; NULL while there is none."),
    row("row_number", "nothing", "1, 2, 3, .. within the partition."),
    row("rank", "nothing", "The number of the first of the rows that are equal by ORDER BY."),
    row("dense_rank", "nothing", "As rank, without the gaps behind equal rows."),
    row("ntile", "a number of parts", "In which of so many parts of equal size the row is; needs the whole partition."),
    row(
        "percent_rank",
        "nothing",
        "The share of other rows that come before it, from 0 to 1; needs the whole partition.",
    ),
    row("cume_dist", "nothing", "The share of rows that do not come behind it; needs the whole partition."),
    row("lag", "a value, how many rows, and what else", "The value so many rows before, 1 if not said."),
    row("lead", "a value, how many rows, and what else", "The value so many rows after, 1 if not said."),
];

/// One call with its window; a node is made of all that share partition, order and buffer.
#[derive(Clone, Debug)]
pub(super) struct OverItem {
    pub call: OverCall,
    pub name: String,
    pub partition: Vec<Expr>,
    pub order: Vec<(Expr, SortKey)>,
    /// Whether it is ranked by an order: ROW_NUMBER, RANK, DENSE_RANK.
    pub ranks: Option<RankFunction>,
    pub buffer: Option<u64>,
}

impl OverItem {
    /// Whether its frame is the whole partition.
    pub fn is_whole(&self) -> bool {
        self.order.is_empty() && self.call.range.is_some()
    }

    /// Whether both can be computed by one node.
    pub fn shares_node(&self, other: &OverItem) -> bool {
        let equal = |((left, down), (right, other)): (&(Expr, SortKey), &(Expr, SortKey))| {
            same(left, right) && (down.descending, down.nulls_first) == (other.descending, other.nulls_first)
        };
        self.order.len() == other.order.len()
            && self.order.iter().zip(&other.order).all(equal)
            && self.buffer == other.buffer
            && self.is_whole() == other.is_whole()
            && self.partition.len() == other.partition.len()
            && self.partition.iter().zip(&other.partition).all(|(left, right)| same(left, right))
    }
}

/// Functions that only stand before OVER.
pub(super) fn refuse(name: &str, span: Span) -> Result<()> {
    if TABLE.iter().any(|known| known.name == name) {
        let error = Error::new(Code::Misplaced, format!("`{name}` needs OVER")).at(span);
        return Err(error.help("write OVER (PARTITION BY k ORDER BY ts)"));
    }
    Ok(())
}

/// Binds `f(..) OVER ..`; the result is the call's mark.
pub(super) fn call<'a>(binder: &mut Binder<'a>, function: &'a ast::Function, name: &str, span: Span) -> Result<Expr> {
    let name_span = place(function.name.span());
    if !binder.overs {
        let error = Error::new(Code::Misplaced, format!("OVER may not stand in {}", binder.clause)).at(span);
        return Err(error.help("compute it in a subquery in FROM"));
    }
    let spec = spec(binder, function, span)?;
    let clause = std::mem::replace(&mut binder.clause, "another OVER");
    let overs = std::mem::take(&mut binder.overs);
    let item = item(binder, function, name, &spec, span.to(name_span));
    (binder.clause, binder.overs) = (clause, overs);
    let item = item?;
    let data_type = item.call.data_type;
    let equal = |known: &OverItem| {
        known.shares_node(&item)
            && known.call.function == item.call.function
            && known.ranks == item.ranks
            && known.call.preceding == item.call.preceding
            && known.call.following == item.call.following
            && known.call.range == item.call.range
            && known.call.arguments.len() == item.call.arguments.len()
            && known.call.arguments.iter().zip(&item.call.arguments).all(|(left, right)| same(left, right))
    };
    let index = binder.over_items.iter().position(equal).unwrap_or_else(|| {
        binder.over_items.push(item.clone());
        binder.over_items.len() - 1
    });
    Ok(at(Expr::column(OVER_MARK + index, data_type), span.to(name_span)))
}

/// The window said, with a named one's parts filled in.
fn spec(binder: &Binder<'_>, function: &ast::Function, span: Span) -> Result<ast::WindowSpec> {
    match &function.over {
        Some(WindowType::NamedWindow(name)) => named(binder, name, 0),
        Some(WindowType::WindowSpec(spec)) => complete(binder, spec, 0),
        None => Err(Error::new(Code::Internal, "OVER without a window").at(span)),
    }
}

fn named(binder: &Binder<'_>, name: &ast::Ident, depth: usize) -> Result<ast::WindowSpec> {
    let found = binder.windows.iter().find(|window| window.0.value.eq_ignore_ascii_case(&name.value));
    match found.map(|window| &window.1) {
        Some(ast::NamedWindowExpr::WindowSpec(spec)) if depth < 16 => complete(binder, spec, depth + 1),
        Some(ast::NamedWindowExpr::NamedWindow(other)) if depth < 16 => named(binder, other, depth + 1),
        Some(_) => Err(Error::new(Code::Syntax, "windows name each other in a circle").at(place(name.span))),
        None => {
            let error = Error::new(Code::UnknownColumn, format!("window `{}` not found", name.value));
            Err(error.at(place(name.span)).help("declare it behind HAVING: WINDOW w AS (PARTITION BY ..)"))
        }
    }
}

fn complete(binder: &Binder<'_>, spec: &ast::WindowSpec, depth: usize) -> Result<ast::WindowSpec> {
    let mut spec = spec.clone();
    if let Some(name) = spec.window_name.take() {
        let base = named(binder, &name, depth)?;
        if spec.partition_by.is_empty() {
            spec.partition_by = base.partition_by;
        }
        if spec.order_by.is_empty() {
            spec.order_by = base.order_by;
        }
        spec.window_frame = spec.window_frame.or(base.window_frame);
    }
    Ok(spec)
}

fn item<'a>(
    binder: &mut Binder<'a>,
    function: &'a ast::Function,
    name: &str,
    spec: &ast::WindowSpec,
    span: Span,
) -> Result<OverItem> {
    let mut buffer = None;
    let mut partition = Vec::new();
    for tree in &spec.partition_by {
        match tree {
            ast::Expr::Function(item) if item.name.to_string() == BUFFER_ITEM => {
                buffer = plain_arguments(item, span)?.first().and_then(|rows| rows.to_string().parse().ok());
            }
            // The tree of a named window is a copy, so it is bound by a binder of its own.
            tree => partition.push(part(binder, tree)?),
        }
    }
    let ranks = match name {
        "row_number" => Some(RankFunction::RowNumber),
        "rank" => Some(RankFunction::Rank),
        "dense_rank" => Some(RankFunction::DenseRank),
        "percent_rank" => Some(RankFunction::PercentRank),
        "cume_dist" => Some(RankFunction::CumeDist),
        "ntile" => Some(RankFunction::Ntile(parts(binder, function, span)?)),
        _ => None,
    };
    let mut order = Vec::new();
    for (number, item) in spec.order_by.iter().enumerate() {
        let key = sort_key(item)?;
        if key.descending && ranks.is_none() {
            return Err(unsupported("OVER ordered downwards is not supported", place(item.span()))
                .help("order by the watermark column, upwards"));
        }
        if key.nulls_first && ranks.is_none() {
            return Err(unsupported("NULLS FIRST before OVER is not supported", place(item.span()))
                .help("rows without a time come last"));
        }
        if number > 0 && ranks.is_none() {
            return Err(unsupported("OVER orders by the watermark column only", place(item.span()))
                .help("ties break by the order of the input"));
        }
        order.push((part(binder, &item.expr)?, key));
    }
    let needs_order = ranks.is_some_and(|ranks| !matches!(ranks, RankFunction::RowNumber | RankFunction::Ntile(_)));
    if order.is_empty() && needs_order {
        let error = Error::new(Code::Misplaced, format!("`{name}` needs ORDER BY in its OVER")).at(span);
        return Err(error.help("write OVER (PARTITION BY k ORDER BY x DESC)"));
    }
    let frame = if spec.window_frame.as_ref().is_some_and(is_whole) && ranks.is_none() {
        // What is before and behind a row is the same for all rows, whatever their order.
        order.clear();
        Frame::WHOLE
    } else {
        frame(binder, spec, !order.is_empty(), span)?
    };
    let call = over_call(binder, function, name, frame, span)?;
    Ok(OverItem { call, name: function.to_string(), partition, order, ranks, buffer })
}

/// Of how many parts NTILE is.
fn parts(binder: &mut Binder<'_>, function: &ast::Function, span: Span) -> Result<i64> {
    let &[parts] = &plain_arguments(function, span)?[..] else {
        return Err(Error::new(Code::Type, "`ntile` takes a number of parts").at(span));
    };
    match part(binder, parts)?.kind {
        ExprKind::Literal(Value::I64(count)) if count > 0 => Ok(count),
        _ => Err(Error::new(Code::Type, "`ntile` takes a constant number of parts, from 1").at(place(parts.span()))),
    }
}

fn part(binder: &mut Binder<'_>, tree: &ast::Expr) -> Result<Expr> {
    let mut inner = Binder::new(binder.scope, binder.clock, "OVER");
    inner.window = binder.window;
    inner.aggregates = binder.aggregates;
    inner.calls = std::mem::take(&mut binder.calls);
    inner.call_names = std::mem::take(&mut binder.call_names);
    inner.groupings = std::mem::take(&mut binder.groupings);
    let bound = inner.bind(tree);
    (binder.calls, binder.call_names, binder.groupings) = (inner.calls, inner.call_names, inner.groupings);
    bound
}

/// The rows that a call sees.
#[derive(Clone, Copy)]
struct Frame {
    /// How many rows before the last one; `None` for all.
    preceding: Option<u64>,
    /// How many rows behind the current one the last one is.
    following: u64,
    /// Of a RANGE frame, how much time before.
    range: Option<i64>,
    /// Whether the query says it.
    said: bool,
}

impl Frame {
    /// All rows of the partition: without an order all of them are peers.
    const WHOLE: Frame = Frame { preceding: None, following: 0, range: Some(i64::MAX), said: false };

    fn rows(preceding: Option<u64>) -> Self {
        Frame { preceding, following: 0, range: None, said: true }
    }

    fn range(time: i64) -> Self {
        Frame { preceding: None, following: 0, range: Some(time), said: true }
    }
}

/// BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING.
fn is_whole(frame: &ast::WindowFrame) -> bool {
    matches!(frame.start_bound, WindowFrameBound::Preceding(None))
        && matches!(frame.end_bound, Some(WindowFrameBound::Following(None)))
}

/// The frame said, or the one that the standard gives: up to the current row and its peers.
fn frame(binder: &mut Binder<'_>, spec: &ast::WindowSpec, is_ordered: bool, span: Span) -> Result<Frame> {
    let Some(frame) = &spec.window_frame else {
        return Ok(Frame::WHOLE);
    };
    let help = "write ROWS BETWEEN 99 PRECEDING AND CURRENT ROW";
    if frame.units == WindowFrameUnits::Groups {
        return Err(unsupported(format!("{} frames are not supported yet", frame.units), span).help(help));
    }
    let is_range = frame.units == WindowFrameUnits::Range;
    if !matches!(frame.end_bound, None | Some(WindowFrameBound::CurrentRow)) {
        return if is_range {
            Err(unsupported("RANGE frames that end elsewhere than at CURRENT ROW are not supported yet", span)
                .help("write RANGE BETWEEN .. PRECEDING AND CURRENT ROW, or ROWS"))
        } else {
            rows_frame(frame, span)
        };
    }
    if is_range && !is_ordered {
        let error = Error::new(Code::Misplaced, "a RANGE frame needs an order").at(span);
        return Err(error.help("write OVER (PARTITION BY k ORDER BY ts RANGE ..)"));
    }
    match &frame.start_bound {
        WindowFrameBound::CurrentRow => Ok(if is_range { Frame::range(0) } else { Frame::rows(Some(0)) }),
        WindowFrameBound::Preceding(None) => Ok(if is_range { Frame::range(i64::MAX) } else { Frame::rows(None) }),
        WindowFrameBound::Preceding(Some(before)) if is_range => match part(binder, before)? {
            Expr { kind: ExprKind::Literal(Value::I64(micros)), data_type: DataType::Interval, .. } if micros >= 0 => {
                Ok(Frame::range(micros))
            }
            other => Err(Error::new(Code::Type, "a RANGE frame takes a constant interval")
                .at(other.span)
                .help("write RANGE BETWEEN INTERVAL '10' SECOND PRECEDING AND CURRENT ROW")),
        },
        WindowFrameBound::Preceding(Some(rows)) => match rows.to_string().parse() {
            Ok(rows) => Ok(Frame::rows(Some(rows))),
            Err(_) => Err(Error::new(Code::Type, "a frame takes a number of rows").at(place(rows.span())).help(help)),
        },
        WindowFrameBound::Following(_) => {
            Err(Error::new(Code::Syntax, "the frame ends before it begins").at(span).help(help))
        }
    }
}

/// A ROWS frame whose last row is not the current one.
fn rows_frame(frame: &ast::WindowFrame, span: Span) -> Result<Frame> {
    let wrong = |tree: &ast::Expr| Error::new(Code::Type, "a frame takes a number of rows").at(place(tree.span()));
    // Rows behind the current one; `None` without bound.
    let place_of = |bound: &WindowFrameBound| match bound {
        WindowFrameBound::CurrentRow => Ok(Some(0)),
        WindowFrameBound::Preceding(None) | WindowFrameBound::Following(None) => Ok(None),
        WindowFrameBound::Preceding(Some(rows)) => {
            rows.to_string().parse::<i64>().map(|rows| Some(-rows)).map_err(|_| wrong(rows))
        }
        WindowFrameBound::Following(Some(rows)) => rows.to_string().parse().map(Some).map_err(|_| wrong(rows)),
    };
    let end_bound = frame.end_bound.as_ref().unwrap_or(&WindowFrameBound::CurrentRow);
    let (first, last) = (place_of(&frame.start_bound)?, place_of(end_bound)?);
    let Some(last) = last.filter(|last| (0..=FOLLOWING_MAX).contains(last)) else {
        let error = unsupported("a frame that ends there is not supported", span);
        return Err(match last {
            Some(0..) => error.note(format!("limit: {FOLLOWING_MAX} rows behind the current one")),
            Some(_) => error.help("take LAG in a subquery, and the frame up to CURRENT ROW over it"),
            None => {
                error.help("subtract what is before from the whole: SUM(x) OVER (PARTITION BY k) - SUM(x) OVER (..)")
            }
        });
    };
    let preceding = match first {
        None if matches!(frame.start_bound, WindowFrameBound::Following(_)) => {
            return Err(Error::new(Code::Syntax, "a frame cannot begin UNBOUNDED FOLLOWING").at(span));
        }
        None => None,
        Some(first) if first > last => {
            return Err(Error::new(Code::Syntax, "the frame ends before it begins").at(span));
        }
        Some(first) => Some((last - first).unsigned_abs()),
    };
    Ok(Frame { preceding, following: last.unsigned_abs(), range: None, said: true })
}

/// Most rows behind the current one that a frame may end.
const FOLLOWING_MAX: i64 = 100_000;

fn over_call<'a>(
    binder: &mut Binder<'a>,
    function: &'a ast::Function,
    name: &str,
    frame: Frame,
    span: Span,
) -> Result<OverCall> {
    let ranks = match name {
        "row_number" => Some(OverFunction::RowNumber),
        "rank" => Some(OverFunction::Rank),
        "dense_rank" => Some(OverFunction::DenseRank),
        // These are ranked whatever their order; see `OverItem::ranks`.
        "ntile" | "percent_rank" | "cume_dist" => Some(OverFunction::Rank),
        _ => None,
    };
    if let Some(ranks) = ranks {
        if name != "ntile" && !plain_arguments(function, span)?.is_empty() {
            return Err(Error::new(Code::Type, format!("`{name}` takes no arguments")).at(span));
        }
        let is_share = name == "percent_rank" || name == "cume_dist";
        let data_type = if is_share { DataType::Double } else { DataType::BigInt };
        return Ok(OverCall {
            function: ranks,
            arguments: Vec::new(),
            preceding: None,
            following: 0,
            range: None,
            data_type,
            span,
        });
    }
    if name == "lag" || name == "lead" {
        return shifted(binder, function, name, span);
    }
    let known = crate::agg::functions::find(name);
    // The first row of a partition is the first of the rows up to any row and its peers, too.
    let is_first = known == Some(AggregateFunction::First) && frame.range == Some(i64::MAX);
    let Frame { preceding, following, range, .. } = if is_first { Frame::rows(None) } else { frame };
    if range.is_some() && (known.is_some() || name == "nth_value") && !known.is_some_and(range::takes_range) {
        let what = if frame.said { "over a RANGE frame" } else { "without a ROWS frame" };
        let error = unsupported(format!("`{name}` {what} is not supported yet"), span);
        let help = "add ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW";
        return Err(error.help(help).note("count, sum, avg, min, max, bool_and and bool_or take other frames"));
    }
    if name == "nth_value" {
        return nth_value(binder, function, (preceding, following), span);
    }
    if following > 0 && known == Some(AggregateFunction::Last) {
        return Err(unsupported("`last_value` of a frame that ends behind the current row is not supported", span)
            .help(format!("write LEAD(x, {following})")));
    }
    let Some(kind) = known else {
        refuse(name, span)?;
        aggregate::refuse(name, span)?;
        let error = Error::new(Code::UnknownFunction, format!("`{name}` may not stand before OVER")).at(span);
        return Err(error
            .note("before OVER: avg, min, max, sum, count, lag, lead, row_number, rank, first_value, last_value, .."));
    };
    let aggregate::Arguments { value: tree, second, distinct, downwards: _, order: _ } =
        aggregate::arguments(function, kind, span)?;
    if kind.keeps_values() || kind.is_of_pairs() || second.is_some() {
        let error = unsupported(format!("`{}` before OVER is not supported yet", function.name), span);
        return Err(error.help("avg, min, max, sum and count are; this one is with GROUP BY"));
    }
    if distinct {
        return Err(unsupported("DISTINCT before OVER is not supported yet", span));
    }
    let bound = tree.map(|tree| binder.bind(tree)).transpose()?;
    let filter = function.filter.as_ref().map(|tree| binder.condition(tree)).transpose()?;
    let bound = match (bound, filter) {
        (_, Some(_)) if matches!(kind, AggregateFunction::First | AggregateFunction::Last) => {
            return Err(unsupported(format!("FILTER behind `{}` before OVER is not supported", function.name), span));
        }
        // What FILTER leaves out is NULL, which aggregates leave out.
        (bound, Some(filter)) => {
            let bound = bound.unwrap_or_else(|| Expr::literal(Value::I64(1), DataType::BigInt));
            Some(super::expression::case(vec![(filter, bound)], None, span)?)
        }
        (bound, None) => bound,
    };
    let (arguments, data_type) = match bound {
        // What is behind the last row counts for nothing, as NULL does.
        None if following > 0 => (vec![Expr::literal(Value::I64(1), DataType::BigInt)], DataType::BigInt),
        None => (Vec::new(), DataType::BigInt),
        Some(bound) => {
            let (bound, data_type) = aggregate::typed(&function.name, kind, bound)?;
            (vec![bound], data_type)
        }
    };
    let function = match kind {
        AggregateFunction::First => OverFunction::FirstValue,
        AggregateFunction::Last => OverFunction::LastValue,
        kind => OverFunction::Aggregate(kind),
    };
    Ok(OverCall { function, arguments, preceding, following, range, data_type, span })
}

/// Most rows from a frame's start that NTH_VALUE looks at.
const NTH_MAX: i64 = 10_000;

/// NTH_VALUE: value, and which row of the frame.
fn nth_value<'a>(
    binder: &mut Binder<'a>,
    function: &'a ast::Function,
    (preceding, following): (Option<u64>, u64),
    span: Span,
) -> Result<OverCall> {
    let &[value, number] = &plain_arguments(function, span)?[..] else {
        return Err(Error::new(Code::Type, "`nth_value` takes a value and a number").at(span));
    };
    let value = binder.bind(value)?;
    let number = match binder.bind(number)?.kind {
        ExprKind::Literal(Value::I64(number)) if (1..=NTH_MAX).contains(&number) => number.unsigned_abs(),
        _ => {
            let error = Error::new(Code::Type, "`nth_value` takes a constant number of a row");
            return Err(error.at(place(number.span())).help(format!("from 1 to {NTH_MAX}")));
        }
    };
    let value = if value.data_type == DataType::Null { coerce(value, DataType::BigInt) } else { value };
    let data_type = value.data_type;
    Ok(OverCall {
        function: OverFunction::NthValue(number),
        arguments: vec![value],
        preceding,
        following,
        range: None,
        data_type,
        span,
    })
}

/// LAG and LEAD: value, how many rows, what else.
fn shifted<'a>(binder: &mut Binder<'a>, function: &'a ast::Function, name: &str, span: Span) -> Result<OverCall> {
    let trees = plain_arguments(function, span)?;
    if trees.is_empty() || trees.len() > 3 {
        return Err(Error::new(Code::Type, format!("`{name}` takes one to three arguments")).at(span));
    }
    let value = binder.bind(trees[0])?;
    let offset = match trees.get(1) {
        None => 1,
        Some(tree) => match binder.bind(tree)?.kind {
            ExprKind::Literal(Value::I64(rows)) if rows >= 0 => rows.unsigned_abs(),
            _ => {
                let error = Error::new(Code::Type, format!("`{name}` takes a constant number of rows"));
                return Err(error.at(place(tree.span())));
            }
        },
    };
    let value = if value.data_type == DataType::Null { coerce(value, DataType::BigInt) } else { value };
    let default = match trees.get(2) {
        None => None,
        Some(tree) => {
            let bound = binder.bind(tree)?;
            let constant = match &bound.kind {
                ExprKind::Literal(constant) => literal::convert(constant, bound.data_type, value.data_type),
                _ => None,
            };
            Some(constant.ok_or_else(|| {
                let message = format!("the default of `{name}` must be a constant of type {}", value.data_type);
                Error::new(Code::Type, message).at(bound.span)
            })?)
        }
    };
    let data_type = value.data_type;
    let function =
        if name == "lag" { OverFunction::Lag { offset, default } } else { OverFunction::Lead { offset, default } };
    Ok(OverCall { function, arguments: vec![value], preceding: None, following: 0, range: None, data_type, span })
}
