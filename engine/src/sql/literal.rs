//! Constants: numbers, durations, dates and times, and one type's constant as another's.

use crate::expr::calendar;
use crate::nested;
use crate::types::{DECIMAL_DIGITS_I64, DECIMAL_DIGITS_MAX, DataType, MICROS_PER_DAY, MICROS_PER_SECOND, Value};

/// A numeric literal: INT, BIGINT or DECIMAL by its digits, DOUBLE with an exponent.
pub(super) fn number(text: &str) -> Option<(Value, DataType)> {
    let text = text.replace('_', "");
    if text.contains(['e', 'E']) {
        let value: f64 = text.parse().ok()?;
        return value.is_finite().then_some((Value::F64(value), DataType::Double));
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    if !text.contains('.')
        && let Ok(value) = whole.parse::<i64>()
    {
        let data_type = if i32::try_from(value).is_ok() { DataType::Int } else { DataType::BigInt };
        return Some((Value::I64(value), data_type));
    }
    let whole = whole.trim_start_matches('0');
    let scale = u8::try_from(fraction.len()).ok()?;
    let precision = u8::try_from(whole.len() + fraction.len()).ok()?.max(1);
    if precision > DECIMAL_DIGITS_MAX {
        return None;
    }
    let digits = format!("0{whole}{fraction}").parse::<i128>().ok()?;
    Some(decimal(digits, DataType::Decimal { precision, scale }))
}

/// `-value`.
pub(super) fn negated(value: &Value, data_type: DataType) -> Option<(Value, DataType)> {
    match value {
        Value::I64(value) => Some((Value::I64(value.checked_neg()?), data_type)),
        // The one BIGINT whose digits without the sign do not fit.
        Value::I128(value) if *value == -i128::from(i64::MIN) && data_type.scale() == 0 => {
            Some((Value::I64(i64::MIN), DataType::BigInt))
        }
        Value::I128(value) => Some((Value::I128(-value), data_type)),
        Value::F64(value) => Some((Value::F64(-value), data_type)),
        Value::Null => Some((Value::Null, data_type)),
        Value::Text(_) | Value::Nested(_) => None,
    }
}

fn decimal(digits: i128, data_type: DataType) -> (Value, DataType) {
    let DataType::Decimal { precision, .. } = data_type else { unreachable!("only decimals are asked for") };
    match i64::try_from(digits) {
        Ok(digits) if precision <= DECIMAL_DIGITS_I64 => (Value::I64(digits), data_type),
        _ => (Value::I128(digits), data_type),
    }
}

/// A constant of type `from` as one of type `to`, where that loses nothing; `None` otherwise.
pub(super) fn convert(value: &Value, from: DataType, to: DataType) -> Option<Value> {
    if from == to {
        return Some(value.clone());
    }
    match (value, to) {
        (Value::Null, _) => Some(Value::Null),
        // JSON is read as what it holds, not as a text is.
        (Value::Text(_), _) if from == DataType::Json => None,
        (Value::Text(text), _) => parse(text, to),
        (Value::I64(time), DataType::Timestamp { .. }) if from.is_timestamp() => {
            Some(Value::I64(moved(*time, from, to)))
        }
        (Value::I64(days), DataType::Timestamp { .. }) if from == DataType::Date => {
            let midnight = days.checked_mul(MICROS_PER_DAY)?;
            Some(Value::I64(to.zone().map_or(midnight, |zone| zone.instant(midnight))))
        }
        (Value::I64(_) | Value::I128(_), _) if from.is_numeric() && to.is_numeric() => exact(value, from, to),
        _ => None,
    }
}

/// A moment as another type of timestamp has it.
fn moved(time: i64, from: DataType, to: DataType) -> i64 {
    if from.counts_as(to) {
        return time;
    }
    let reading = from.zone().map_or(time, |zone| zone.reading(time));
    to.zone().map_or(reading, |zone| zone.instant(reading))
}

fn exact(value: &Value, from: DataType, to: DataType) -> Option<Value> {
    let digits = match value {
        Value::I64(value) => i128::from(*value),
        Value::I128(value) => *value,
        _ => return None,
    };
    let rescaled = |scale: u8| match scale.checked_sub(from.scale()) {
        Some(up) => digits.checked_mul(10i128.checked_pow(u32::from(up))?),
        None => {
            let unit = 10i128.checked_pow(u32::from(from.scale() - scale))?;
            (digits % unit == 0).then_some(digits / unit)
        }
    };
    match to {
        DataType::Int => Some(Value::I64(i64::from(i32::try_from(rescaled(0)?).ok()?))),
        DataType::BigInt => Some(Value::I64(i64::try_from(rescaled(0)?).ok()?)),
        DataType::Decimal { precision, scale } => {
            let digits = rescaled(scale)?;
            let fits = digits.unsigned_abs() < 10u128.checked_pow(u32::from(precision))?;
            fits.then(|| decimal(digits, to).0)
        }
        // The nearest double, correctly rounded because it is parsed from decimal digits.
        DataType::Double => format!("{digits}e-{}", from.scale()).parse().ok().map(Value::F64),
        _ => None,
    }
}

/// A text constant as a value of another type.
fn parse(text: &str, to: DataType) -> Option<Value> {
    let trimmed = text.trim();
    match to {
        DataType::Text => Some(Value::Text(text.to_owned())),
        DataType::Timestamp { zone, .. } => calendar::parse_timestamp(trimmed.as_bytes(), zone).map(Value::I64),
        DataType::Date => calendar::parse_date(trimmed.as_bytes()).map(Value::I64),
        DataType::Interval => duration(trimmed).map(Value::I64),
        DataType::Boolean => match trimmed.to_ascii_lowercase().as_str() {
            "true" => Some(Value::I64(1)),
            "false" => Some(Value::I64(0)),
            _ => None,
        },
        DataType::Double => trimmed.parse().ok().map(Value::F64),
        DataType::Int | DataType::BigInt | DataType::Decimal { .. } => {
            let (negative, digits) = match trimmed.strip_prefix('-') {
                Some(digits) => (true, digits),
                None => (false, trimmed),
            };
            let shape = |character: char| character.is_ascii_digit() || character == '.';
            if !digits.contains(|c: char| c.is_ascii_digit()) || !digits.chars().all(shape) {
                return None;
            }
            let (value, from) = number(digits)?;
            let (value, from) = if negative { negated(&value, from)? } else { (value, from) };
            convert(&value, from, to)
        }
        DataType::Json => {
            let mut json = String::new();
            nested::check_json(text, &mut json).then_some(Value::Text(json))
        }
        DataType::Array(_) | DataType::Map(_) | DataType::Row(_) => {
            let mut writer = nested::Writer::default();
            let is_value = nested::parse(text, to, &mut writer, &bumpalo::Bump::new())?;
            Some(if is_value { Value::Nested(writer.bytes().to_vec()) } else { Value::Null })
        }
        DataType::Null => None,
    }
}

/// Microseconds in one `unit`; MONTH and YEAR have no fixed length.
pub(super) fn unit(unit: &str) -> Option<i64> {
    let lower = unit.to_ascii_lowercase();
    Some(match lower.as_str() {
        "us" | "microsecond" | "microseconds" => 1,
        "ms" | "millisecond" | "milliseconds" => 1_000,
        "s" | "sec" | "secs" | "second" | "seconds" => MICROS_PER_SECOND,
        "m" | "min" | "mins" | "minute" | "minutes" => 60 * MICROS_PER_SECOND,
        "h" | "hour" | "hours" => 3_600 * MICROS_PER_SECOND,
        "d" | "day" | "days" => MICROS_PER_DAY,
        "w" | "week" | "weeks" => 7 * MICROS_PER_DAY,
        _ => return None,
    })
}

/// `amount` (`10`, `1.5`, `-2`) of units of `micros` microseconds.
pub(super) fn scaled(amount: &str, micros: i64) -> Option<i64> {
    let (negative, amount) = match amount.trim().strip_prefix('-') {
        Some(amount) => (true, amount.trim()),
        None => (false, amount.trim()),
    };
    let (value, data_type) = amount.starts_with(|first: char| first.is_ascii_digit()).then(|| number(amount))??;
    let Value::I64(digits) = value else { return None };
    let micros = i128::from(digits) * i128::from(micros) / 10i128.checked_pow(u32::from(data_type.scale()))?;
    i64::try_from(if negative { -micros } else { micros }).ok()
}

/// Microseconds of `10 seconds`, `1m`, `1 hour 30 minutes`, `01:30:00`.
pub(super) fn duration(text: &str) -> Option<i64> {
    let text = text.trim();
    if text.contains(':') {
        let mut parts = text.split(':');
        let hours = scaled(parts.next()?, 3_600 * MICROS_PER_SECOND)?;
        let minutes = scaled(parts.next()?, 60 * MICROS_PER_SECOND)?;
        let seconds = parts.next().map_or(Some(0), |seconds| scaled(seconds, MICROS_PER_SECOND))?;
        return if parts.next().is_some() { None } else { hours.checked_add(minutes)?.checked_add(seconds) };
    }
    let mut rest = text;
    let mut total = 0i64;
    while !rest.is_empty() {
        let amount = rest.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-'))).unwrap_or(rest.len());
        let (amount, behind) = rest.split_at(amount);
        let behind = behind.trim_start();
        let end = behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len());
        let (name, behind) = behind.split_at(end);
        total = total.checked_add(scaled(amount, unit(name)?)?)?;
        rest = behind.trim_start();
    }
    (!text.is_empty()).then_some(total)
}

/// How many digits of a second are written.
pub(super) fn second_digits(time: &str) -> u8 {
    let fraction = time.split_once('.').map_or("", |(_, fraction)| fraction);
    fraction.bytes().take_while(u8::is_ascii_digit).count().min(9) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_take_the_smallest_exact_type() {
        let decimal = |precision, scale| DataType::Decimal { precision, scale };
        for (text, value, data_type) in [
            ("0", Value::I64(0), DataType::Int),
            ("2147483648", Value::I64(1 << 31), DataType::BigInt),
            ("0.908", Value::I64(908), decimal(3, 3)),
            ("100.50", Value::I64(10_050), decimal(5, 2)),
            ("1.", Value::I64(1), decimal(1, 0)),
            ("1e3", Value::F64(1000.0), DataType::Double),
            ("9223372036854775808", Value::I128(1 << 63), decimal(19, 0)),
        ] {
            assert_eq!(number(text), Some((value, data_type)), "{text}");
        }
        assert_eq!(number(&"9".repeat(39)), None);
        let (value, data_type) = number("9223372036854775808").unwrap();
        assert_eq!(negated(&value, data_type), Some((Value::I64(i64::MIN), DataType::BigInt)));
    }

    #[test]
    fn conversion_is_exact_or_refused() {
        let cents = DataType::Decimal { precision: 10, scale: 2 };
        assert_eq!(convert(&Value::I64(396), DataType::Int, cents), Some(Value::I64(39_600)));
        let thousandths = DataType::Decimal { precision: 6, scale: 3 };
        assert_eq!(convert(&Value::I64(1_230), thousandths, cents), Some(Value::I64(123)));
        assert_eq!(convert(&Value::I64(1_234), thousandths, cents), None);
        assert_eq!(convert(&Value::I64(1 << 40), DataType::BigInt, DataType::Int), None);
        assert_eq!(convert(&Value::Text("-1.5".into()), DataType::Text, cents), Some(Value::I64(-150)));
        assert_eq!(convert(&Value::Text("abc".into()), DataType::Text, DataType::Int), None);
        assert_eq!(convert(&Value::I64(1), DataType::Int, DataType::Double), Some(Value::F64(1.0)));
    }

    #[test]
    fn times_and_durations() {
        assert_eq!(calendar::parse_timestamp(b"1970-01-01 00:00:01.5", None), Some(1_500_000));
        assert_eq!(calendar::parse_timestamp(b"1970-01-02", None), Some(MICROS_PER_DAY));
        assert_eq!(calendar::parse_timestamp(b"1970-01-01T01:00:00+01:00", None), Some(0));
        assert_eq!(calendar::parse_timestamp(b"soon", None), None);
        for (text, micros) in
            [("10 seconds", 10_000_000), ("1m", 60_000_000), ("1 hour 30 minutes", 5_400_000_000), ("1.5s", 1_500_000)]
        {
            assert_eq!(duration(text), Some(micros), "{text}");
        }
        assert_eq!(duration("01:30:00"), Some(5_400_000_000));
        assert_eq!((duration("1 month"), duration(""), duration("ten seconds")), (None, None, None));
    }
}
