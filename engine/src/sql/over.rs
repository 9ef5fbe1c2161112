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
use crate::plan::{AggregateFunction, OverCall, OverFunction, RankFunction, SortKey};
use crate::types::{DataType, Value};

const fn row(name: &'static str, signature: &'static str, doc: &'static str) -> Description {
    Description { name, aliases: &[], signature, doc, example: None }
}

/// Functions that only stand before OVER, for documentation.
pub(super) const TABLE: [Description; 5] = [
    row("row_number", "nothing", "1, 2, 3, .. within the partition."),
    row("rank", "nothing", "The number of the first of the rows that are equal by ORDER BY."),
    row("dense_rank", "nothing", "As rank, without the gaps behind equal rows."),
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
    /// Whether both can be computed by one node.
    pub fn shares_node(&self, other: &OverItem) -> bool {
        let equal = |((left, down), (right, other)): (&(Expr, SortKey), &(Expr, SortKey))| {
            same(left, right) && (down.descending, down.nulls_first) == (other.descending, other.nulls_first)
        };
        self.order.len() == other.order.len()
            && self.order.iter().zip(&other.order).all(equal)
            && self.buffer == other.buffer
            && self.partition.len() == other.partition.len()
            && self.partition.iter().zip(&other.partition).all(|(left, right)| same(left, right))
    }
}

/// Functions that only stand before OVER.
pub(super) fn refuse(name: &str, span: Span) -> Result<()> {
    if ["row_number", "rank", "dense_rank", "lag", "lead"].contains(&name) {
        let error = Error::new(Code::Misplaced, format!("`{name}` needs OVER")).at(span);
        return Err(error.help("write OVER (PARTITION BY k ORDER BY ts)"));
    }
    if ["percent_rank", "cume_dist", "ntile", "nth_value"].contains(&name) {
        return Err(unsupported(format!("`{name}` is not supported yet"), span).note(
            "before OVER: avg, min, max, sum, count, lag, lead, row_number, rank, dense_rank, first_value, last_value",
        ));
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
    if function.filter.is_some() {
        return Err(unsupported("FILTER before OVER is not supported yet", span).help("use CASE in the argument"));
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
        _ => None,
    };
    let mut order = Vec::new();
    for (number, item) in spec.order_by.iter().enumerate() {
        let key = sort_key(item)?;
        if key.descending && ranks.is_none() {
            return Err(unsupported("OVER ordered downwards is not supported", place(item.span()))
                .help("order by the watermark column, upwards"));
        }
        if number > 0 && ranks.is_none() {
            return Err(unsupported("OVER orders by the watermark column only", place(item.span()))
                .help("ties break by the order of the input"));
        }
        order.push((part(binder, &item.expr)?, key));
    }
    if order.is_empty() && matches!(ranks, Some(RankFunction::Rank | RankFunction::DenseRank)) {
        let error = Error::new(Code::Misplaced, format!("`{name}` needs ORDER BY in its OVER")).at(span);
        return Err(error.help("write OVER (PARTITION BY k ORDER BY x DESC)"));
    }
    let frame = frame(spec, span)?;
    let call = over_call(binder, function, name, frame, spec.window_frame.is_some(), span)?;
    Ok(OverItem { call, name: function.to_string(), partition, order, ranks, buffer })
}

fn part(binder: &mut Binder<'_>, tree: &ast::Expr) -> Result<Expr> {
    let mut inner = Binder::new(binder.scope, binder.now_us, "OVER");
    inner.window = binder.window;
    inner.aggregates = binder.aggregates;
    inner.calls = std::mem::take(&mut binder.calls);
    inner.call_names = std::mem::take(&mut binder.call_names);
    let bound = inner.bind(tree);
    (binder.calls, binder.call_names) = (inner.calls, inner.call_names);
    bound
}

/// How many rows before the current one; `None` for all.
fn frame(spec: &ast::WindowSpec, span: Span) -> Result<Option<u64>> {
    let Some(frame) = &spec.window_frame else { return Ok(None) };
    let help = "write ROWS BETWEEN 99 PRECEDING AND CURRENT ROW";
    if frame.units != WindowFrameUnits::Rows {
        return Err(unsupported(format!("{} frames are not supported yet", frame.units), span).help(help));
    }
    if !matches!(frame.end_bound, None | Some(WindowFrameBound::CurrentRow)) {
        return Err(unsupported("frames that end elsewhere than at CURRENT ROW are not supported yet", span).help(help));
    }
    match &frame.start_bound {
        WindowFrameBound::CurrentRow => Ok(Some(0)),
        WindowFrameBound::Preceding(None) => Ok(None),
        WindowFrameBound::Preceding(Some(rows)) => match rows.to_string().parse() {
            Ok(rows) => Ok(Some(rows)),
            Err(_) => Err(Error::new(Code::Type, "a frame takes a number of rows").at(place(rows.span())).help(help)),
        },
        WindowFrameBound::Following(_) => {
            Err(unsupported("frames that begin behind the current row are not supported yet", span).help(help))
        }
    }
}

fn over_call<'a>(
    binder: &mut Binder<'a>,
    function: &'a ast::Function,
    name: &str,
    preceding: Option<u64>,
    has_frame: bool,
    span: Span,
) -> Result<OverCall> {
    let say_frame = || {
        let error = unsupported("without a frame, rows of one time would count together: say which is meant", span);
        error.help("add ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW")
    };
    if ["row_number", "rank", "dense_rank"].contains(&name) {
        if !plain_arguments(function, span)?.is_empty() {
            return Err(Error::new(Code::Type, format!("`{name}` takes no arguments")).at(span));
        }
        let data_type = DataType::BigInt;
        return Ok(OverCall {
            function: OverFunction::RowNumber,
            arguments: Vec::new(),
            preceding: None,
            data_type,
            span,
        });
    }
    if name == "lag" || name == "lead" {
        return shifted(binder, function, name, span);
    }
    let Some(kind) = crate::agg::functions::find(name) else {
        refuse(name, span)?;
        aggregate::refuse(name, span)?;
        let error = Error::new(Code::UnknownFunction, format!("`{name}` may not stand before OVER")).at(span);
        return Err(error.note(
            "before OVER: avg, min, max, sum, count, lag, lead, row_number, rank, dense_rank, first_value, last_value",
        ));
    };
    let aggregate::Arguments { value: tree, second, distinct } = aggregate::arguments(function, kind, span)?;
    if kind.keeps_values() || kind.is_of_pairs() || second.is_some() {
        let error = unsupported(format!("`{}` before OVER is not supported yet", function.name), span);
        return Err(error.help("avg, min, max, sum and count are; this one is with GROUP BY"));
    }
    if distinct {
        return Err(unsupported("DISTINCT before OVER is not supported yet", span));
    }
    let bound = tree.map(|tree| binder.bind(tree)).transpose()?;
    let (arguments, data_type) = match bound {
        None => (Vec::new(), DataType::BigInt),
        Some(bound) => {
            let (bound, data_type) = aggregate::typed(&function.name, kind, bound)?;
            (vec![bound], data_type)
        }
    };
    if !has_frame && kind != AggregateFunction::First {
        return Err(say_frame());
    }
    let function = match kind {
        AggregateFunction::First => OverFunction::FirstValue,
        AggregateFunction::Last => OverFunction::LastValue,
        kind => OverFunction::Aggregate(kind),
    };
    Ok(OverCall { function, arguments, preceding, data_type, span })
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
    Ok(OverCall { function, arguments: vec![value], preceding: None, data_type, span })
}
