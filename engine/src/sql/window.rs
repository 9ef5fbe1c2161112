//! Time windows: TUMBLE, HOP, CUMULATE and SESSION in FROM or GROUP BY, and the columns they bring.

use sqlparser::ast::{self, FunctionArg, FunctionArgExpr};

use super::expression::{Binder, call, plain_arguments, text, window_mark};
use super::prepass::{PARTITION, WINDOW_ITEM};
use super::{Clock, unsupported};
use crate::error::{Code, Error, Result, Span};
use crate::expr::{Expr, ExprKind};
use crate::plan::{Window, WindowKind};
use crate::types::{DataType, Value};

/// A window as written; its column still a tree.
#[derive(Clone, Debug)]
pub(super) struct WindowSpec<'a> {
    pub window: Window,
    pub grace: i64,
    pub column: Option<&'a ast::Expr>,
    /// What a session is of, where it says so.
    pub partition: Vec<&'a ast::Expr>,
    pub span: Span,
}

/// The functions, and their arguments behind table and column.
const FUNCTIONS: [(&str, &[&str], &str); 4] = [
    ("tumble", &["size", "offset"], "TUMBLE(t, ts, size [, offset])"),
    ("hop", &["slide", "size", "offset"], "HOP(t, ts, slide, size [, offset])"),
    ("cumulate", &["step", "size", "offset"], "CUMULATE(t, ts, step, size [, offset])"),
    ("session", &["gap"], "SESSION(t, ts, gap)"),
];

fn function(name: &str) -> Option<&'static (&'static str, &'static [&'static str], &'static str)> {
    FUNCTIONS.iter().find(|known| known.0.eq_ignore_ascii_case(name))
}

const BOUNDS: [&str; 9] = [
    "window_start",
    "window_end",
    "window_time",
    "windowstart",
    "windowend",
    "_window_start",
    "_window_end",
    "tumble_start",
    "tumble_end",
];

/// Whether `name` can only mean a bound of a window.
pub(super) fn is_pseudo_column(name: &str) -> bool {
    BOUNDS.iter().any(|bound| bound.eq_ignore_ascii_case(name))
}

/// `window_start` and its like.
pub(super) fn pseudo_column(name: &str, data_type: DataType, span: Span) -> Result<Option<Expr>> {
    let (start, end) = (window_mark(0, data_type, span), window_mark(1, data_type, span));
    Ok(Some(match name.to_ascii_lowercase().as_str() {
        "window_start" | "_window_start" => start,
        "window_end" | "_window_end" => end,
        "window_time" => time_of(end)?,
        // ksqlDB's are milliseconds since the epoch.
        "windowstart" => milliseconds(start, span)?,
        "windowend" => milliseconds(end, span)?,
        _ => return Ok(None),
    }))
}

/// The last instant of a window: its end less one unit of its type.
pub(super) fn time_of(end: Expr) -> Result<Expr> {
    let DataType::Timestamp { precision, .. } = end.data_type else { return Ok(end) };
    let span = end.span;
    let unit = 10i64.pow(u32::from(6 - precision.min(6)));
    let unit = Expr { span, ..Expr::literal(Value::I64(unit), DataType::Interval) };
    call("-", vec![end, unit], span)
}

/// `time` less so many microseconds.
pub(super) fn before(time: Expr, micros: i64) -> Result<Expr> {
    let span = time.span;
    let length = Expr { span, ..Expr::literal(Value::I64(micros), DataType::Interval) };
    call("-", vec![time, length], span)
}

/// Start of the cumulating window that ends at `end`.
pub(super) fn start_before(end: Expr, window: &Window) -> Result<Expr> {
    let (span, time) = (end.span, end.data_type);
    let length = Expr { span, ..Expr::literal(Value::I64(window.size), DataType::Interval) };
    let origin = Expr { span, ..Expr::literal(Value::I64(window.offset), time) };
    call("date_bin", vec![length, before(end, 1)?, origin], span)
}

fn milliseconds(bound: Expr, span: Span) -> Result<Expr> {
    call("date_part", vec![text("epoch_ms".to_owned(), span), bound], span)
}

/// `TUMBLE_START(ts, i)`, `HOP_END(..)`, `TUMBLE_ROWTIME(..)`: the window that GROUP BY names.
pub(super) fn helper(binder: &Binder<'_>, name: &str, span: Span) -> Result<Option<Expr>> {
    let Some((kind, bound)) = name.split_once('_') else { return Ok(None) };
    if function(kind).is_none() {
        return Ok(None);
    }
    let column = match bound {
        "start" => "window_start",
        "end" => "window_end",
        "rowtime" => "window_time",
        _ => return Ok(None),
    };
    match binder.window {
        Some(data_type) => pseudo_column(column, data_type, span),
        None => Err(Error::new(Code::Misplaced, format!("`{}` needs a window", name.to_ascii_uppercase()))
            .at(span)
            .help("add GROUP BY TUMBLE(ts, INTERVAL '1' MINUTE)")),
    }
}

/// Whether `tree` is a window written as a function.
pub(super) fn is_function(tree: &ast::Expr) -> bool {
    let ast::Expr::Function(function) = tree else { return false };
    let name = function.name.to_string();
    self::function(&name).is_some()
}

/// The window that a GROUP BY item is: the pre-pass's, or `TUMBLE(ts, i)`, `HOP(ts, slide, size)`.
pub(super) fn of_group_by<'a>(tree: &'a ast::Expr, clock: Clock) -> Result<Option<WindowSpec<'a>>> {
    let ast::Expr::Function(function) = tree else { return Ok(None) };
    let span = super::token::place(ast::Spanned::span(tree));
    let name = function.name.to_string().to_ascii_lowercase();
    let trees = plain_arguments(function, span)?;
    if name == WINDOW_ITEM {
        let number = |index: usize| match trees.get(index) {
            Some(ast::Expr::Value(value)) => value.to_string().parse().unwrap_or(0),
            _ => 0i64,
        };
        let window = match number(1) {
            0 => session(number(0), span)?,
            slide => checked(number(0), slide, 0, span)?,
        };
        let column = trees.get(3).copied();
        let partition = trees.iter().skip(4).copied().collect();
        return Ok(Some(WindowSpec { window, grace: number(2), column, partition, span }));
    }
    let Some((_, lengths, _)) = self::function(&name) else { return Ok(None) };
    let durations = lengths.iter().filter(|length| **length != "offset").count();
    let with_column = trees.len() > durations;
    let (column, rest) = if with_column { (Some(trees[0]), &trees[1..]) } else { (None, &trees[..]) };
    let window = of_durations(&name, rest, clock, span)?;
    Ok(Some(WindowSpec { window, grace: 0, column, partition: Vec::new(), span }))
}

fn of_durations(name: &str, trees: &[&ast::Expr], clock: Clock, span: Span) -> Result<Window> {
    let durations = trees.iter().map(|tree| duration(tree, clock)).collect::<Result<Vec<i64>>>()?;
    match (name, &durations[..]) {
        ("tumble", &[size]) => checked(size, size, 0, span),
        ("tumble", &[size, offset]) => checked(size, size, offset, span),
        ("hop", &[slide, size]) => checked(size, slide, 0, span),
        ("hop", &[slide, size, offset]) => checked(size, slide, offset, span),
        ("cumulate", &[step, size]) => cumulating(size, step, 0, span),
        ("cumulate", &[step, size, offset]) => cumulating(size, step, offset, span),
        ("session", &[gap]) => session(gap, span),
        _ => {
            let form = function(name).map_or("", |known| known.2);
            Err(Error::new(Code::Type, format!("`{}` has the wrong number of arguments", name.to_ascii_uppercase()))
                .at(span)
                .help(format!("write {form}")))
        }
    }
}

fn session(gap: i64, span: Span) -> Result<Window> {
    Ok(Window { kind: WindowKind::Session, ..checked(gap, gap, 0, span)? })
}

fn cumulating(size: i64, step: i64, offset: i64, span: Span) -> Result<Window> {
    let window = Window { kind: WindowKind::Cumulate, ..checked(size, step, offset, span)? };
    if size % step != 0 {
        return Err(Error::new(Code::BadOption, "the longest window is not a multiple of the step")
            .at(span)
            .help("the order is CUMULATE(t, ts, step, size)"));
    }
    Ok(window)
}

/// Windows that one row may be in: a day by the second.
const WINDOWS_PER_ROW_MAX: i64 = 86_400;

fn checked(size: i64, slide: i64, offset: i64, span: Span) -> Result<Window> {
    let error = |message: &str| Err(Error::new(Code::BadOption, message).at(span));
    if size <= 0 || slide <= 0 {
        return error("a window's length must be above zero");
    }
    if slide > size {
        return Err(Error::new(Code::BadOption, "the slide is longer than the window, rows between would be lost")
            .at(span)
            .help("the order is HOP(t, ts, slide, size)"));
    }
    if size / slide > WINDOWS_PER_ROW_MAX {
        let message = format!("every row would be in {} windows; the most is {WINDOWS_PER_ROW_MAX}", size / slide);
        return Err(Error::new(Code::Limit, message).at(span).help("take a longer slide or a shorter window"));
    }
    Ok(Window::hop(size, slide, offset))
}

fn duration(tree: &ast::Expr, clock: Clock) -> Result<i64> {
    let scope = super::scope::Scope::default();
    let bound = Binder::new(&scope, clock, "a window").bind(tree)?;
    match (&bound.kind, bound.data_type) {
        (ExprKind::Literal(Value::I64(micros)), DataType::Interval) => Ok(*micros),
        (ExprKind::Literal(Value::Text(text)), _) if super::literal::duration(text).is_some() => {
            Ok(super::literal::duration(text).unwrap_or_default())
        }
        _ => Err(Error::new(Code::Type, "expected a length of time")
            .at(bound.span)
            .help("for example INTERVAL '10' SECOND, or 10s")),
    }
}

/// What a window function in FROM reads, and its window.
pub(super) struct TableWindow<'a> {
    pub source: &'a ast::Expr,
    pub spec: WindowSpec<'a>,
}

/// `TUMBLE(t, DESCRIPTOR(ts), size)`, with or without names (`DATA => t`).
pub(super) fn of_table<'a>(
    name: &str,
    arguments: &'a [FunctionArg],
    clock: Clock,
    span: Span,
) -> Result<TableWindow<'a>> {
    let name = name.to_ascii_lowercase();
    let Some((_, lengths, _)) = function(&name) else {
        let upper = name.to_ascii_uppercase();
        let forms: Vec<&str> = FUNCTIONS.iter().map(|known| known.2).collect();
        return Err(unsupported(format!("the table function {upper} is not supported yet"), span)
            .help(format!("table functions: {}", forms.join(", "))));
    };
    let order: Vec<&str> = ["data", "timecol"].iter().chain(*lengths).copied().collect();
    let mut values: Vec<Option<&ast::Expr>> = vec![None; order.len()];
    let mut partition = Vec::new();
    let arguments: Vec<&FunctionArg> = arguments
        .iter()
        .filter(|argument| match argument {
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } if name.value == PARTITION => {
                match value {
                    ast::Expr::Tuple(keys) => partition.extend(keys),
                    ast::Expr::Nested(key) => partition.push(&**key),
                    key => partition.push(key),
                }
                false
            }
            _ => true,
        })
        .collect();
    let needed = 2 + lengths.iter().filter(|length| **length != "offset").count();
    let two = arguments.len() + 1 == needed;
    for (position, argument) in arguments.iter().enumerate() {
        let (slot, value) = match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => {
                // Without a column, the durations follow the table at once.
                let slot = if two && position > 0 && arguments.iter().all(|argument| is_unnamed(argument)) {
                    position + 1
                } else {
                    position
                };
                (Some(slot), value)
            }
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => (slot_of(&order, &name.value), value),
            FunctionArg::ExprNamed { name, arg: FunctionArgExpr::Expr(value), .. } => {
                (slot_of(&order, &name.to_string()), value)
            }
            other => return Err(unsupported(format!("the argument `{other}` is not supported"), span)),
        };
        match slot.and_then(|slot| values.get_mut(slot)) {
            Some(place @ None) => *place = Some(value),
            _ => {
                let names = order.join(", ").to_ascii_uppercase();
                let error =
                    Error::new(Code::Type, format!("`{}` does not take this argument", name.to_ascii_uppercase()));
                return Err(error
                    .at(super::token::place(ast::Spanned::span(value)))
                    .note(format!("arguments: {names}")));
            }
        }
    }
    let Some(source) = values[0] else { return Err(Error::new(Code::Type, "the window reads no table").at(span)) };
    let durations: Vec<&ast::Expr> = values[2..].iter().copied().flatten().collect();
    let window = of_durations(&name, &durations, clock, span)?;
    Ok(TableWindow { source, spec: WindowSpec { window, grace: 0, column: values[1], partition, span } })
}

fn is_unnamed(argument: &FunctionArg) -> bool {
    matches!(argument, FunctionArg::Unnamed(_))
}

fn slot_of(order: &[&str], name: &str) -> Option<usize> {
    let same = |slot: &&str| slot.eq_ignore_ascii_case(name) || (*slot == "slide" && name.eq_ignore_ascii_case("step"));
    order.iter().position(same)
}

/// `DESCRIPTOR(ts)` or `ts`: the column.
pub(super) fn descriptor(tree: &ast::Expr) -> Result<&ast::Expr> {
    match tree {
        ast::Expr::Function(function) if function.name.to_string().eq_ignore_ascii_case("descriptor") => {
            let span = super::token::place(ast::Spanned::span(tree));
            match plain_arguments(function, span)?[..] {
                [column] => Ok(column),
                _ => Err(Error::new(Code::Type, "DESCRIPTOR takes one column").at(span)),
            }
        }
        other => Ok(other),
    }
}
