//! One value from its text, carefully: what the fast columns fall back to, and what says why a
//! value cannot be read.

use corelane_engine::types::{DataType, MICROS_PER_DAY, MICROS_PER_SECOND};
use corelane_engine::zone::Zone;

/// Why a row cannot be read as declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Not a whole number.
    #[error("is not a whole number")]
    Integer,
    /// A whole number that the type cannot hold.
    #[error("is out of range of {0}")]
    Range(DataType),
    /// Not a decimal number.
    #[error("is not a decimal number")]
    Decimal,
    /// Digits that the scale has no room for.
    #[error("has more than {0} digits behind the point; declare a greater scale")]
    Scale(u8),
    /// Digits that the precision has no room for.
    #[error("does not fit {0}; declare a greater precision")]
    Precision(DataType),
    /// Not a floating-point number.
    #[error("is not a number")]
    Double,
    /// Not TRUE or FALSE.
    #[error("is not TRUE or FALSE")]
    Boolean,
    /// Not a date.
    #[error("is not a date like 2026-01-31")]
    Date,
    /// Not a timestamp.
    #[error("is not a timestamp like 2026-01-31 23:59:59.999")]
    Timestamp,
    /// A number where a timestamp should be.
    #[error("is a number, not a timestamp; declare the column BIGINT and use TO_TIMESTAMP_LTZ(column, 3)")]
    Epoch,
    /// An offset where the type has none.
    #[error("has an offset from UTC; declare the column TIMESTAMP_LTZ")]
    Offset,
    /// Not JSON of the type.
    #[error("is not JSON of the type {0}")]
    Json(DataType),
    /// Not UTF-8.
    #[error("is not UTF-8")]
    Utf8,
    /// Text behind a closing quote.
    #[error("has text behind its closing quote")]
    Quote,
    /// Too few or too many fields.
    #[error("the row has {found} fields instead of {expected}")]
    Fields {
        /// Fields in the row.
        found: u32,
        /// Fields in the header or the first row.
        expected: u32,
    },
    /// The event time is NULL, or its expression fails.
    #[error("the row has no event time: it is NULL or out of range")]
    Timeless,
}

/// `text` without spaces around it.
fn trim(text: &[u8]) -> &[u8] {
    text.trim_ascii()
}

/// A sign taken off: whether it is negative, and the rest.
fn signed(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    }
}

/// A whole number within the range of `data_type` (INT or BIGINT).
pub(crate) fn integer(text: &[u8], data_type: DataType) -> Result<i64, Reason> {
    let (negative, digits) = signed(trim(text));
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Reason::Integer);
    }
    let out_of_range = Reason::Range(data_type);
    let mut value = 0i64;
    for digit in digits {
        let digit = i64::from(digit - b'0');
        // Downwards, as the negative side has one more value.
        value = value.checked_mul(10).and_then(|value| value.checked_sub(digit)).ok_or(out_of_range)?;
    }
    let value = if negative { value } else { value.checked_neg().ok_or(out_of_range)? };
    if data_type == DataType::Int && i32::try_from(value).is_err() {
        return Err(out_of_range);
    }
    Ok(value)
}

/// A decimal number times `10^scale`.
pub(crate) fn decimal(text: &[u8], precision: u8, scale: u8) -> Result<i128, Reason> {
    let (negative, text) = signed(trim(text));
    let point = text.iter().position(|&byte| byte == b'.').unwrap_or(text.len());
    let (whole, fraction) = (&text[..point], text.get(point + 1..).unwrap_or(&[]));
    let digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    if whole.len() + fraction.len() == 0 || !digits(whole) || !digits(fraction) {
        return Err(Reason::Decimal);
    }
    let (kept, dropped) = fraction.split_at(fraction.len().min(usize::from(scale)));
    if dropped.iter().any(|&digit| digit != b'0') {
        return Err(Reason::Scale(scale));
    }
    let too_long = Reason::Precision(DataType::Decimal { precision, scale });
    let padding = std::iter::repeat_n(&b'0', usize::from(scale) - kept.len());
    let mut value = 0i128;
    for digit in whole.iter().chain(kept).chain(padding) {
        value = value.checked_mul(10).and_then(|value| value.checked_add(i128::from(digit - b'0'))).ok_or(too_long)?;
    }
    if value >= 10i128.pow(u32::from(precision)) {
        return Err(too_long);
    }
    Ok(if negative { -value } else { value })
}

/// A floating-point number; `inf` and `nan` are two.
pub(crate) fn double(text: &[u8]) -> Result<f64, Reason> {
    let text = std::str::from_utf8(trim(text)).map_err(|_| Reason::Double)?;
    text.parse().map_err(|_| Reason::Double)
}

/// TRUE, T, 1, FALSE, F or 0, without regard to case.
pub(crate) fn boolean(text: &[u8]) -> Result<i64, Reason> {
    let text = trim(text);
    let is = |name: &[u8]| text.eq_ignore_ascii_case(name);
    match text {
        b"1" => Ok(1),
        b"0" => Ok(0),
        _ if is(b"true") || is(b"t") => Ok(1),
        _ if is(b"false") || is(b"f") => Ok(0),
        _ => Err(Reason::Boolean),
    }
}

/// Days since 1970-01-01 of `2026-01-31`.
pub(crate) fn date(text: &[u8]) -> Result<i64, Reason> {
    let (days, rest) = date_prefix(trim(text)).ok_or(Reason::Date)?;
    if rest.is_empty() { Ok(days) } else { Err(Reason::Date) }
}

/// `YYYY-MM-DD` at the start of `text`, and what follows.
fn date_prefix(text: &[u8]) -> Option<(i64, &[u8])> {
    let (date, rest) = text.split_at_checked(10)?;
    if date[4] != b'-' || date[7] != b'-' {
        return None;
    }
    let (year, month, day) = (number(&date[..4])?, number(&date[5..7])?, number(&date[8..])?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=last).contains(&day) {
        return None;
    }
    Some((days_from_civil(year, month, day), rest))
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar (Hinnant, "chrono-compatible
/// low-level date algorithms"), for years from 0.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn number(digits: &[u8]) -> Option<i64> {
    let digit = |value: i64, &byte: &u8| byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0'));
    digits.iter().try_fold(0, digit)
}

/// Microseconds since 1970-01-01 00:00:00 of a date, or of a date and time separated by a space or
/// `T`, with up to nine digits of a second, of which those behind `precision` are cut off, and with
/// `Z` or (only for an instant) an offset like `+01:00`; without one, an instant is when clocks of its zone
/// show this.
pub(crate) fn timestamp(text: &[u8], precision: u8, zone: Option<Zone>) -> Result<i64, Reason> {
    let text = trim(text);
    match date_prefix(text) {
        Some((days, rest)) => behind_date(days, rest, precision, zone),
        None if integer(text, DataType::BigInt).is_ok() => Err(Reason::Epoch),
        None => Err(Reason::Timestamp),
    }
}

/// The last date seen and its days: timestamps that stand together mostly share it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LastDate {
    text: [u8; 10],
    days: i64,
}

impl Default for LastDate {
    fn default() -> Self {
        LastDate { text: *b"1970-01-01", days: 0 }
    }
}

impl LastDate {
    /// As [`timestamp`].
    #[inline]
    pub(crate) fn timestamp(&mut self, text: &[u8], precision: u8, zone: Option<Zone>) -> Result<i64, Reason> {
        if let Some((date, rest)) = text.split_first_chunk::<10>() {
            if *date != self.text
                && let Some((days, _)) = date_prefix(date)
            {
                *self = LastDate { text: *date, days };
            }
            if *date == self.text
                && let Ok(time) = behind_date(self.days, rest, precision, zone)
            {
                return Ok(time);
            }
        }
        timestamp(text, precision, zone)
    }
}

/// A timestamp on a day, of what follows the date.
fn behind_date(days: i64, rest: &[u8], precision: u8, zone: Option<Zone>) -> Result<i64, Reason> {
    let (time, rest) = match rest {
        [] => (0, rest),
        [b' ' | b'T' | b't', rest @ ..] => time_of_day(rest, precision).ok_or(Reason::Timestamp)?,
        _ => return Err(Reason::Timestamp),
    };
    let reading = days * MICROS_PER_DAY + time;
    let offset = match rest {
        [] => match zone {
            Some(zone) if !zone.is_utc() => return Ok(zone.instant(reading)),
            _ => 0,
        },
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), hours1, hours2, minutes @ ..] => {
            let minutes = minutes.strip_prefix(b":").unwrap_or(minutes);
            let hours = number(&[*hours1, *hours2]).filter(|hours| *hours < 24).ok_or(Reason::Timestamp)?;
            let part = |text: &[u8]| number(text).filter(|part| *part < 60).ok_or(Reason::Timestamp);
            let (minutes, seconds) = match minutes {
                [] => (0, 0),
                [_, _] => (part(minutes)?, 0),
                // As clocks were set by the sun.
                [_, _, b':', _, _] => (part(&minutes[..2])?, part(&minutes[3..])?),
                _ => return Err(Reason::Timestamp),
            };
            if zone.is_none() {
                return Err(Reason::Offset);
            }
            ((hours * 60 + minutes) * 60 + seconds) * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return Err(Reason::Timestamp),
    };
    Ok(reading - offset * MICROS_PER_SECOND)
}

/// `HH:MM[:SS[.f]]` in microseconds, and what follows.
fn time_of_day(text: &[u8], precision: u8) -> Option<(i64, &[u8])> {
    let two = |text: &[u8], most: i64| number(text.get(..2)?).filter(|value| *value <= most);
    let hours = two(text, 23)?;
    let rest = text[2..].strip_prefix(b":")?;
    let minutes = two(rest, 59)?;
    let minute = (hours * 60 + minutes) * 60 * MICROS_PER_SECOND;
    let Some(rest) = rest[2..].strip_prefix(b":") else { return Some((minute, &rest[2..])) };
    let seconds = two(rest, 59)?;
    let second = minute + seconds * MICROS_PER_SECOND;
    let Some(rest) = rest[2..].strip_prefix(b".") else { return Some((second, &rest[2..])) };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=9).contains(&digits) {
        return None;
    }
    let kept = digits.min(usize::from(precision.min(6)));
    let micros = number(&rest[..kept])? * 10i64.pow(6 - kept as u32);
    Some((second + micros, &rest[digits..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_keep_to_their_range() {
        assert_eq!(integer(b"-9223372036854775808", DataType::BigInt), Ok(i64::MIN));
        assert_eq!(integer(b"9223372036854775807", DataType::BigInt), Ok(i64::MAX));
        assert_eq!(integer(b"9223372036854775808", DataType::BigInt), Err(Reason::Range(DataType::BigInt)));
        assert_eq!(integer(b"2147483648", DataType::Int), Err(Reason::Range(DataType::Int)));
        assert_eq!(integer(b" +007 ", DataType::Int), Ok(7));
        for wrong in ["-", "+", "1x", "1.0", "--1", "0x1", "1 2"] {
            assert_eq!(integer(wrong.as_bytes(), DataType::BigInt), Err(Reason::Integer), "{wrong}");
        }
    }

    #[test]
    fn decimals_keep_every_digit_or_say_so() {
        let cases: [(&str, Result<i128, Reason>); 12] = [
            ("123.45", Ok(12_345)),
            ("-0.5", Ok(-50)),
            (".5", Ok(50)),
            ("5.", Ok(500)),
            ("7", Ok(700)),
            ("1.2300", Ok(123)),
            ("1.234", Err(Reason::Scale(2))),
            ("999.99", Ok(99_999)),
            ("1000", Err(Reason::Precision(DataType::Decimal { precision: 5, scale: 2 }))),
            (".", Err(Reason::Decimal)),
            ("1e3", Err(Reason::Decimal)),
            ("1.2.3", Err(Reason::Decimal)),
        ];
        for (text, expected) in cases {
            assert_eq!(decimal(text.as_bytes(), 5, 2), expected, "{text}");
        }
        let nines = "9".repeat(38);
        assert_eq!(decimal(nines.as_bytes(), 38, 0), Ok(10i128.pow(38) - 1));
        assert!(decimal(format!("{nines}99").as_bytes(), 38, 0).is_err());
    }

    #[test]
    fn dates_agree_with_a_calendar() {
        let epoch = jiff::civil::date(1970, 1, 1);
        let mut day = jiff::civil::date(1, 1, 1);
        while day < jiff::civil::date(9999, 1, 1) {
            let days = i64::from(epoch.until(day).unwrap().get_days());
            assert_eq!(date(day.to_string().as_bytes()), Ok(days), "{day}");
            day = day.checked_add(jiff::Span::new().days(97)).unwrap();
        }
        for wrong in ["2026-02-29", "2026-13-01", "2026-00-01", "2026-1-1", "2026-01-32", "2026-04-31", "x"] {
            assert_eq!(date(wrong.as_bytes()), Err(Reason::Date), "{wrong}");
        }
        assert!(date(b"2024-02-29").is_ok() && date(b"2000-02-29").is_ok() && date(b"1900-02-29").is_err());
    }

    #[test]
    fn timestamps_of_every_form() {
        // As `date -u -d '2026-01-02 03:04:05' +%s` prints it.
        let base = 1_767_323_045 * MICROS_PER_SECOND;
        let cases: [(&str, bool, Result<i64, Reason>); 14] = [
            ("2026-01-02 03:04:05.678", false, Ok(base + 678_000)),
            ("2026-01-02T03:04:05.678901", false, Ok(base + 678_901)),
            ("2026-01-02T03:04:05.678901234", false, Ok(base + 678_901)),
            ("2026-01-02 03:04:05", false, Ok(base)),
            ("2026-01-02 03:04", false, Ok(base - 5_000_000)),
            ("2026-01-02", false, Ok(base - 11_045_000_000)),
            ("2026-01-02 03:04:05Z", false, Ok(base)),
            ("2026-01-02 03:04:05+01:00", true, Ok(base - 3_600_000_000)),
            ("2026-01-02 03:04:05-0130", true, Ok(base + 5_400_000_000)),
            ("2026-01-02 03:04:05+01", false, Err(Reason::Offset)),
            ("1767323045", false, Err(Reason::Epoch)),
            ("2026-01-02 24:00:00", false, Err(Reason::Timestamp)),
            ("2026-01-02 03:04:05.", false, Err(Reason::Timestamp)),
            ("2026-01-02x", false, Err(Reason::Timestamp)),
        ];
        let mut last = LastDate::default();
        assert_eq!(last.timestamp(b"\0\0\0\0\0\0\0\0\0\0", 6, None), Err(Reason::Timestamp));
        for (text, zoned, expected) in cases {
            let zone = zoned.then_some(Zone::UTC);
            assert_eq!(timestamp(text.as_bytes(), 6, zone), expected, "{text}");
            assert_eq!(last.timestamp(text.as_bytes(), 6, zone), expected, "{text}");
        }
        assert_eq!(timestamp(b"2026-01-02 03:04:05.6789", 3, None), Ok(base + 678_000));
        let berlin = Zone::parse("Europe/Berlin");
        for (text, hours) in
            [("2026-01-02 03:04:05", 1), ("2026-01-02 03:04:05Z", 0), ("2026-01-02 03:04:05-02:00", -2)]
        {
            assert_eq!(timestamp(text.as_bytes(), 6, berlin), Ok(base - hours * 3600 * MICROS_PER_SECOND), "{text}");
        }
        assert_eq!(timestamp(b"1890-01-01 00:53:28+00:53:28", 6, berlin), Ok(-2_524_521_600 * MICROS_PER_SECOND));
    }
}
