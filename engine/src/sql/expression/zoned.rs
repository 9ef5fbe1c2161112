//! Instants read off the clocks of their zone: what calls and `AT TIME ZONE` become.
//!
//! The kernels know readings of one clock only. In UTC an instant is its own reading, and nothing here
//! happens; in another zone the parts of an instant (hours, days, months, names) are those of its reading,
//! and what is made of whole days, weeks and months becomes an instant again. What has a fixed length below
//! a day is measured as it passes: `date_trunc('hour', ..)` keeps the offset of its instant.

use super::typed::{at, call, cast, literal, text};
use crate::error::{Code, Error, Result, Span};
use crate::expr::functions;
use crate::expr::{Expr, ExprKind};
use crate::sql::unsupported;
use crate::types::{DataType, MICROS_PER_DAY, Value};
use crate::zone::{Zone, named};

/// The zone of an instant that is not its own reading.
fn zone_of(expression: &Expr) -> Option<Zone> {
    expression.data_type.zone().filter(|zone| !zone.is_utc())
}

/// What clocks show at an instant; all else as it is.
fn reading(expression: Expr) -> Expr {
    match expression.data_type {
        DataType::Timestamp { precision, zone: Some(zone) } if !zone.is_utc() => {
            cast(expression, DataType::Timestamp { precision, zone: None }, false)
        }
        _ => expression,
    }
}

/// The unit a call names first, if it is one that passes at the same pace everywhere.
fn is_below_a_day(arguments: &[Expr]) -> bool {
    matches!(arguments.first().and_then(literal), Some(Value::Text(unit)) if functions::unit_micros(unit).is_some_and(|micros| micros < MICROS_PER_DAY))
}

/// A call whose arguments have the types it takes, over readings where its instants are not in UTC.
pub(super) fn over_readings(bound: Expr) -> Result<Expr> {
    let ExprKind::Call { function, arguments } = &bound.kind else { return Ok(bound) };
    if arguments.iter().all(|argument| zone_of(argument).is_none()) {
        return Ok(bound);
    }
    let (name, span, returns) = (functions::name(*function), bound.span, bound.data_type);
    let arguments = arguments.clone();
    let of_readings = |arguments: Vec<Expr>| call(name, arguments.into_iter().map(reading).collect(), span);
    match name {
        "-" | "datediff" | "timestampdiff" if is_mixed(&arguments) => of_instants(name, arguments, span),
        "timestampdiff" | "datediff" if is_below_a_day(&arguments) => Ok(bound),
        "date_part" if is_epoch(&arguments) => Ok(bound),
        "date_trunc" if is_below_a_day(&arguments) => {
            let time = arguments[1].clone();
            let start = of_readings(arguments)?;
            let since = call("-", vec![reading(time.clone()), start], span)?;
            call("-", vec![time, since], span)
        }
        "timestampadd" if is_below_a_day(&arguments) || is_days(&arguments) => Ok(bound),
        "date_trunc" | "timestampadd" => Ok(cast(of_readings(arguments)?, returns, false)),
        "date_part" | "year" | "quarter" | "month" | "week" | "day" | "dayofyear" | "hour" | "minute" | "second"
        | "date_format" | "last_day" | "datediff" | "timestampdiff" => of_readings(arguments),
        _ => Ok(bound),
    }
}

/// Readings beside instants.
fn is_mixed(arguments: &[Expr]) -> bool {
    arguments.iter().any(|argument| matches!(argument.data_type, DataType::Timestamp { zone: None, .. }))
}

/// Readings become instants of the zone that the others are in.
fn of_instants(name: &str, arguments: Vec<Expr>, span: Span) -> Result<Expr> {
    let zone = arguments.iter().find_map(zone_of);
    let instant = |argument: Expr| match argument.data_type {
        DataType::Timestamp { precision, zone: None } => cast(argument, DataType::Timestamp { precision, zone }, false),
        _ => argument,
    };
    call(name, arguments.into_iter().map(instant).collect(), span)
}

fn is_epoch(arguments: &[Expr]) -> bool {
    matches!(arguments.first().and_then(literal), Some(Value::Text(unit)) if unit.to_ascii_lowercase().starts_with("epoch"))
}

/// Days and weeks that are added pass at the same pace everywhere, as intervals do.
fn is_days(arguments: &[Expr]) -> bool {
    matches!(arguments.first().and_then(literal), Some(Value::Text(unit)) if functions::unit_micros(unit).is_some())
}

/// `time AT TIME ZONE 'name'`: the instant when clocks there show a reading, and what they show at an instant.
pub(super) fn at_time_zone(time: Expr, name: Expr, session: Zone, span: Span) -> Result<Expr> {
    let Some(Value::Text(name_text)) = literal(&name) else {
        return Err(unsupported("AT TIME ZONE takes a constant", name.span)
            .help("CONVERT_TZ(text, from, to) takes zones from columns"));
    };
    let zone = named(name_text).map_err(|error| error.at(name.span))?;
    match time.data_type {
        DataType::Timestamp { precision, zone: None } => {
            let there = at(cast(time, DataType::Timestamp { precision, zone: Some(zone) }, false), span);
            Ok(at(cast(there, DataType::Timestamp { precision, zone: Some(session) }, false), span))
        }
        DataType::Timestamp { precision, zone: Some(_) } => {
            let there = at(cast(time, DataType::Timestamp { precision, zone: Some(zone) }, false), span);
            Ok(at(cast(there, DataType::Timestamp { precision, zone: None }, false), span))
        }
        DataType::Date => {
            let midnight = cast(time, DataType::Timestamp { precision: 3, zone: None }, false);
            at_time_zone(midnight, name, session, span)
        }
        other => Err(Error::new(Code::Type, format!("AT TIME ZONE takes a TIMESTAMP or TIMESTAMP_LTZ, found {other}"))
            .at(time.span)
            .help("write TIMESTAMP '2026-01-02 03:04:05', or CAST(.. AS TIMESTAMP)")),
    }
}

/// Calls that read the session's clocks, whatever their arguments: Flink's UNIX_TIMESTAMP and FROM_UNIXTIME.
pub(super) fn of_session(
    name: &str,
    mut arguments: Vec<Expr>,
    session: Zone,
    span: Span,
) -> Result<(String, Vec<Expr>)> {
    let whole = |precision, zone| DataType::Timestamp { precision, zone };
    match (name, &arguments[..]) {
        _ if session.is_utc() => {}
        ("unix_timestamp", [time])
            if matches!(time.data_type, DataType::Timestamp { zone: None, .. } | DataType::Date) =>
        {
            let precision = if let DataType::Timestamp { precision, .. } = time.data_type { precision } else { 0 };
            let instant = cast(arguments.remove(0), whole(precision, Some(session)), false);
            return Ok((name.to_owned(), vec![instant]));
        }
        ("from_unixtime", [seconds, rest @ ..]) if seconds.data_type.is_integer() && rest.len() < 2 => {
            let pattern = rest.first().cloned().unwrap_or_else(|| text("yyyy-MM-dd HH:mm:ss".to_owned(), span));
            let zero = at(Expr::literal(Value::I64(0), DataType::Int), span);
            let mut instant = call("to_timestamp_ltz", vec![seconds.clone(), zero], span)?;
            instant.data_type = whole(0, Some(session));
            return Ok(("date_format".to_owned(), vec![instant, pattern]));
        }
        _ => {}
    }
    Ok((name.to_owned(), arguments))
}
