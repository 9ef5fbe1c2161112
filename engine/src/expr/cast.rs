//! Conversion between types, and values as text.
//!
//! Decimals are rescaled half away from zero. What cannot be converted is an error that shows the
//! value, or NULL where the cast is safe; rows that are NULL already are never looked at.

mod nested;

pub(crate) use nested::{show_part, write_json_text};

use super::calendar::{parse_date, parse_timestamp, write_clock, write_date, write_timestamp};
use super::functions::typing::digits;
use super::kernels::{each_row_or_null, text, value_at, wide};
use crate::batch::{Data, Vector};
use crate::error::{Code, Error, Result};
use crate::nested::Leaf;
use crate::types::{DataType, MICROS_PER_DAY, MICROS_PER_SECOND, Physical, Value};
use crate::zone::Zone;
use bumpalo::Bump;
use std::fmt::Write;

/// `value` of scale `from` at scale `to`, half away from zero; `None` beyond 128 bits.
pub(crate) fn rescale(value: i128, from: u8, to: u8) -> Option<i128> {
    if to >= from {
        return value.checked_mul(10i128.checked_pow(u32::from(to - from))?);
    }
    let Some(unit) = 10i128.checked_pow(u32::from(from - to)) else { return Some(0) };
    let (whole, rest) = (value / unit, value % unit);
    Some(if rest.unsigned_abs() >= unit.unsigned_abs() / 2 { whole + rest.signum() } else { whole })
}

/// Whether the binder may convert `from` to `to` at all.
pub fn castable(from: DataType, to: DataType) -> bool {
    use DataType::{Array, BigInt, Boolean, Date, Double, Int, Interval, Json, Map, Null, Row, Text, Timestamp};
    match (from, to) {
        _ if from == to || from == Null => true,
        (_, Null) => false,
        (Text | Json, _) | (_, Text | Json) => true,
        (Array(from), Array(to)) => castable(*from, *to),
        (Map(from), Map(to)) | (Row(from), Row(to)) => {
            let parts = || from.iter().zip(to.iter());
            from.len() == to.len() && parts().all(|(from, to)| castable(from.data_type, to.data_type))
        }
        (Array(_) | Map(_) | Row(_), _) | (_, Array(_) | Map(_) | Row(_)) => false,
        (Timestamp { .. } | Date, Timestamp { .. } | Date) => true,
        (Boolean, Int | BigInt | Double) | (Int | BigInt, Boolean) => true,
        (Interval, _) | (_, Interval) => false,
        _ => from.is_numeric() && to.is_numeric(),
    }
}

/// `vector` of type `from` as type `to`.
pub(crate) fn cast<'a>(
    vector: &Vector<'a>,
    from: DataType,
    to: DataType,
    safe: bool,
    scratch: &'a Bump,
) -> Result<Vector<'a>> {
    if from == to {
        return Ok(*vector);
    }
    if from == DataType::Null {
        return Ok(super::kernels::constant(&Value::Null, to, vector.len(), scratch));
    }
    if !castable(from, to) {
        return Err(Error::new(Code::Type, format!("{from} cannot be converted to {to}"))
            .help("a cast to STRING and from there works for every type"));
    }
    if let Some(vector) = free(vector, from, to, scratch) {
        return Ok(vector);
    }
    if [from, to].into_iter().any(|of| of.is_nested() || of == DataType::Json) {
        return nested::cast(vector, from, to, safe, scratch);
    }
    let rows = vector.len();
    let fail =
        |row: usize| -> Result<()> { if safe { Ok(()) } else { Err(misfit(&show_at(vector, row, from), from, to)) } };
    macro_rules! convert {
        ($variant:ident, $convert:expr) => {{
            let (values, nulls) = each_row_or_null(rows, vector.nulls, scratch, |row| {
                let value = $convert(row);
                if value.is_none() {
                    fail(row)?;
                }
                Ok(value)
            })?;
            Vector { data: Data::$variant(values), nulls }
        }};
    }
    let mut buffer = String::new();
    Ok(match to.physical() {
        Physical::Text => convert!(Text, |row| {
            buffer.clear();
            write_value(&mut buffer, &value_at(vector, row, from), from);
            Some(text(buffer.as_bytes(), scratch))
        }),
        Physical::F64 => convert!(F64, |row| to_double(vector, row, from)),
        Physical::I128 => convert!(I128, |row| to_whole(vector, row, from, to)),
        Physical::I64 => {
            convert!(I64, |row| to_whole(vector, row, from, to).and_then(|value| i64::try_from(value).ok()))
        }
    })
}

/// Casts that cannot fail, over whole columns.
fn free<'a>(vector: &Vector<'a>, from: DataType, to: DataType, scratch: &'a Bump) -> Option<Vector<'a>> {
    let map = |factor: i64| scratch.alloc_slice_fill_iter(vector.i64s().iter().map(|value| value.wrapping_mul(factor)));
    let data = match (from, to) {
        (DataType::Json, DataType::Text) => vector.data,
        (DataType::Int | DataType::Boolean, DataType::BigInt) | (DataType::Boolean, DataType::Int) => vector.data,
        (DataType::Timestamp { precision: p, .. }, DataType::Timestamp { precision: q, .. }) if p <= q => {
            match from.counts_as(to) {
                true => vector.data,
                false => Data::I64(moved(vector.i64s(), from, to, scratch)),
            }
        }
        (DataType::Int | DataType::BigInt, DataType::Boolean) => {
            Data::I64(scratch.alloc_slice_fill_iter(vector.i64s().iter().map(|&value| i64::from(value != 0))))
        }
        (DataType::Int | DataType::BigInt | DataType::Boolean, DataType::Double) => {
            Data::F64(scratch.alloc_slice_fill_iter(vector.i64s().iter().map(|&value| value as f64)))
        }
        (_, DataType::Decimal { precision: q, scale: t }) => {
            let (p, s) = digits(from)?;
            if t < s || q - t < p - s {
                return None;
            }
            match (vector.data, to.physical()) {
                (Data::I64(_), Physical::I64) => Data::I64(map(10i64.pow(u32::from(t - s)))),
                _ => {
                    let factor = 10i128.pow(u32::from(t - s));
                    let values = wide(vector, scratch).iter().map(|value| value.wrapping_mul(factor));
                    Data::I128(scratch.alloc_slice_fill_iter(values))
                }
            }
        }
        _ => return None,
    };
    Some(Vector { data, nulls: vector.nulls })
}

/// What clocks show at instants, or the instants when they show it: readings have no zone.
fn moved<'a>(times: &[i64], from: DataType, to: DataType, scratch: &'a Bump) -> &'a [i64] {
    let mut by_instant = from.zone().unwrap_or_default().by_instant();
    let mut by_reading = to.zone().unwrap_or_default().by_reading();
    scratch.alloc_slice_fill_iter(times.iter().map(|&time| {
        let reading = time.saturating_add(by_instant.at(time));
        reading.saturating_sub(by_reading.at(reading))
    }))
}

fn misfit(shown: &str, from: DataType, to: DataType) -> Error {
    let (code, why) = match (from, to) {
        (DataType::Text, _) => (Code::Cast, format!("'{shown}' cannot be read as {to}")),
        _ => (Code::Overflow, format!("{shown} is out of the range of {to}")),
    };
    Error::new(code, why).help("TRY_CAST makes it NULL instead")
}

/// A row as a double; it is not NULL.
fn to_double(vector: &Vector<'_>, row: usize, from: DataType) -> Option<f64> {
    match vector.data {
        Data::Text(values) => std::str::from_utf8(values[row].as_bytes()).ok()?.trim().parse().ok(),
        Data::F64(values) => Some(values[row]),
        // Through text: the one way to the nearest double for any scale.
        _ if from.scale() > 0 => show_at(vector, row, from).parse().ok(),
        Data::I64(values) => Some(values[row] as f64),
        Data::I128(values) => Some(values[row] as f64),
    }
}

/// Whether a whole number can stand for a value of type `to`.
fn in_range(value: i128, to: DataType) -> bool {
    match to {
        DataType::Int => i32::try_from(value).is_ok(),
        DataType::Decimal { precision, .. } => value.unsigned_abs() < 10u128.pow(u32::from(precision)),
        _ => i64::try_from(value).is_ok(),
    }
}

/// Reads text as a value of a type that is no text and not nested.
pub(crate) fn read_leaf(text: &[u8], to: DataType) -> Option<Leaf> {
    if to == DataType::Double {
        return std::str::from_utf8(text).ok()?.trim().parse().ok().map(Leaf::F64);
    }
    let value = parse(text, to).filter(|&value| in_range(value, to))?;
    match to.physical() {
        Physical::I128 => Some(Leaf::I128(value)),
        _ => i64::try_from(value).ok().map(Leaf::I64),
    }
}

/// A row as the whole number that stands for it in type `to`; it is not NULL.
fn to_whole(vector: &Vector<'_>, row: usize, from: DataType, to: DataType) -> Option<i128> {
    let fits = |value: &i128| in_range(*value, to);
    let value = match vector.data {
        Data::Text(values) => return parse(values[row].as_bytes(), to).filter(fits),
        Data::F64(values) => {
            let scaled = values[row] * 10f64.powi(i32::from(to.scale()));
            let rounded = if to.is_integer() { scaled.trunc() } else { scaled.round() };
            return (rounded.abs() < 1e38).then_some(rounded as i128).filter(fits);
        }
        Data::I64(values) => i128::from(values[row]),
        Data::I128(values) => values[row],
    };
    let zone = |of: DataType| if from.counts_as(to) { Zone::UTC } else { of.zone().unwrap_or_default() };
    let reading = |time: i128| i64::try_from(time).ok().map(|time| zone(from).reading(time));
    let instant = |reading: i128| i64::try_from(reading).ok().map(|reading| zone(to).instant(reading));
    let converted = match (from, to) {
        (DataType::Timestamp { .. }, DataType::Date) => i128::from(reading(value)?.div_euclid(MICROS_PER_DAY)),
        (DataType::Date, DataType::Timestamp { .. }) => i128::from(instant(value * i128::from(MICROS_PER_DAY))?),
        (_, DataType::Timestamp { precision, .. }) => {
            let unit = 10i64.pow(6 - u32::from(precision.min(6)));
            i128::from(instant(i128::from(reading(value)?.div_euclid(unit) * unit))?)
        }
        // To an integer a decimal is cut off, as everywhere in SQL; to a decimal it is rounded.
        (DataType::Decimal { scale, .. }, to) if to.is_integer() => value / 10i128.pow(u32::from(scale)),
        _ => rescale(value, from.scale(), to.scale())?,
    };
    Some(converted).filter(fits)
}

/// Reads text as the whole number that stands for it in type `to`.
fn parse(bytes: &[u8], to: DataType) -> Option<i128> {
    let trimmed = bytes.trim_ascii();
    match to {
        DataType::Boolean => match trimmed.to_ascii_lowercase().as_slice() {
            b"true" | b"t" | b"1" | b"yes" => Some(1),
            b"false" | b"f" | b"0" | b"no" => Some(0),
            _ => None,
        },
        DataType::Date => parse_date(trimmed).map(i128::from).or_else(|| {
            let micros = parse_timestamp(trimmed, None)?;
            Some(i128::from(micros.div_euclid(MICROS_PER_DAY)))
        }),
        DataType::Timestamp { precision, zone } => {
            let unit = 10i64.pow(6 - u32::from(precision.min(6)));
            parse_timestamp(trimmed, zone).map(|micros| i128::from(micros.div_euclid(unit) * unit))
        }
        DataType::Interval => parse_interval(std::str::from_utf8(trimmed).ok()?).map(i128::from),
        _ => parse_decimal(trimmed, to.scale()),
    }
}

/// `[+-]digits[.digits][e[+-]digits]` at `scale`, half away from zero.
fn parse_decimal(bytes: &[u8], scale: u8) -> Option<i128> {
    let (mantissa, exponent) = match bytes.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => (&bytes[..at], std::str::from_utf8(&bytes[at + 1..]).ok()?.parse::<i32>().ok()?),
        None => (bytes, 0),
    };
    let (negative, digits) = match mantissa {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    let point = digits.iter().position(|&byte| byte == b'.').unwrap_or(digits.len());
    let count = digits.len() - usize::from(point < digits.len());
    // How many of the digits stand in front of the point once it is moved to the scale.
    let keep = i64::try_from(point).ok()? + i64::from(exponent) + i64::from(scale);
    let mut value = 0i128;
    let mut round_up = false;
    for (index, &byte) in digits.iter().filter(|&&byte| byte != b'.').enumerate() {
        if !byte.is_ascii_digit() {
            return None;
        }
        match (index as i64).cmp(&keep) {
            std::cmp::Ordering::Less => value = value.checked_mul(10)?.checked_add(i128::from(byte - b'0'))?,
            std::cmp::Ordering::Equal => round_up = byte >= b'5',
            std::cmp::Ordering::Greater => {}
        }
    }
    if count == 0 || digits.iter().filter(|&&byte| byte == b'.').count() > 1 {
        return None;
    }
    for _ in count as i64..if value == 0 { 0 } else { keep } {
        value = value.checked_mul(10)?;
    }
    value += i128::from(round_up);
    Some(if negative { -value } else { value })
}

/// `3 04:05:06.7`, `04:05:06` or `90 minutes`.
fn parse_interval(text: &str) -> Option<i64> {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
    let clock = |text: &str| {
        let mut parts = text.split(':');
        let hours: i64 = parts.next()?.parse().ok()?;
        let minutes: i64 = parts.next()?.parse().ok()?;
        let seconds = parse_decimal(parts.next().unwrap_or("0").as_bytes(), 6)?;
        let fits = parts.next().is_none() && hours >= 0 && (0..60).contains(&minutes) && seconds >= 0;
        let whole = hours.checked_mul(60)?.checked_add(minutes)?.checked_mul(60 * MICROS_PER_SECOND)?;
        fits.then_some(whole.checked_add(i64::try_from(seconds).ok()?)?)
    };
    let micros = match text.split_once(' ') {
        None => clock(text)?,
        Some((count, rest)) if rest.contains(':') => {
            count.parse::<i64>().ok()?.checked_mul(MICROS_PER_DAY)?.checked_add(clock(rest)?)?
        }
        Some((count, unit)) => {
            let unit = super::functions::unit_micros(unit.trim())?;
            i64::try_from(parse_decimal(count.as_bytes(), 6)?.checked_mul(i128::from(unit))? / 1_000_000).ok()?
        }
    };
    Some(if negative { -micros } else { micros })
}

/// Appends `value` of a type as text; NULL as `NULL`.
pub fn write_value(out: &mut String, value: &Value, data_type: DataType) {
    let done = match (value, data_type) {
        (Value::Null, _) => out.write_str("NULL"),
        (Value::Text(text), _) => out.write_str(text),
        (Value::Nested(value), _) => {
            nested::write(out, value, data_type);
            Ok(())
        }
        (Value::F64(value), _) => write!(out, "{value}"),
        (Value::I64(value), DataType::Boolean) => out.write_str(if *value == 0 { "FALSE" } else { "TRUE" }),
        (Value::I64(value), DataType::Date) => {
            write_date(out, *value);
            Ok(())
        }
        (Value::I64(value), DataType::Timestamp { precision, zone }) => {
            write_timestamp(out, *value, precision, zone);
            Ok(())
        }
        (Value::I64(value), DataType::Interval) => {
            out.push_str(if *value < 0 { "-" } else { "" });
            let magnitude = value.saturating_abs();
            if magnitude >= MICROS_PER_DAY {
                write!(out, "{} ", magnitude / MICROS_PER_DAY).expect("writing to a string cannot fail");
            }
            write_clock(out, magnitude % MICROS_PER_DAY, if magnitude % MICROS_PER_SECOND == 0 { 0 } else { 6 });
            Ok(())
        }
        (Value::I64(value), data_type) => write_decimal(out, i128::from(*value), data_type.scale()),
        (Value::I128(value), data_type) => write_decimal(out, *value, data_type.scale()),
    };
    done.expect("writing to a string cannot fail");
}

fn write_decimal(out: &mut String, value: i128, scale: u8) -> std::fmt::Result {
    if scale == 0 {
        return write!(out, "{value}");
    }
    let unit = 10u128.pow(u32::from(scale));
    let (sign, magnitude) = (if value < 0 { "-" } else { "" }, value.unsigned_abs());
    write!(out, "{sign}{}.{:0width$}", magnitude / unit, magnitude % unit, width = usize::from(scale))
}

/// The value at `row` as text.
pub(crate) fn show_at(vector: &Vector<'_>, row: usize, data_type: DataType) -> String {
    let mut out = String::new();
    write_value(&mut out, &value_at(vector, row, data_type), data_type);
    out
}
