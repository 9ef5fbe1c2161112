//! Days and civil dates, in UTC and the proleptic Gregorian calendar.
//!
//! The two conversions are Howard Hinnant's `days_from_civil` and `civil_from_days`: no table, no
//! loop, a few multiplications. Tests hold them against jiff.

use crate::types::{MICROS_PER_DAY, MICROS_PER_SECOND};
use crate::zone::{Zone, write_offset};

/// Days from 1970-01-01 to the given date, which must exist.
pub(crate) fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year, month and day of a day counted from 1970-01-01.
pub(crate) fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days.saturating_add(719_468);
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// Days of a month.
pub(crate) fn month_days(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Reads `digits` (1 to `most` of them) from the front; what follows them comes back too.
fn number(bytes: &[u8], most: usize) -> Option<(i64, &[u8])> {
    let count = bytes.iter().take(most).take_while(|byte| byte.is_ascii_digit()).count();
    let value = bytes[..count].iter().fold(0, |value, byte| value * 10 + i64::from(byte - b'0'));
    (count > 0).then_some((value, &bytes[count..]))
}

fn skip(bytes: &[u8], byte: u8) -> Option<&[u8]> {
    bytes.split_first().filter(|(first, _)| **first == byte).map(|(_, rest)| rest)
}

/// `YYYY-MM-DD` from the front, as days, and what follows.
fn date_prefix(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (year, rest) = number(bytes, 4)?;
    let (month, rest) = number(skip(rest, b'-')?, 2)?;
    let (day, rest) = number(skip(rest, b'-')?, 2)?;
    let exists = (1..=12).contains(&month) && day >= 1 && day <= month_days(year, month);
    exists.then(|| (days(year, month, day), rest))
}

/// `HH:MM[:SS[.ffffff]]` from the front, as microseconds, and what follows. Digits behind the
/// sixth are dropped.
fn clock_prefix(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (hour, rest) = number(bytes, 2)?;
    let (minute, mut rest) = number(skip(rest, b':')?, 2)?;
    let (mut second, mut micros) = (0, 0);
    if let Some(after) = skip(rest, b':') {
        (second, rest) = number(after, 2)?;
        if let Some(after) = skip(rest, b'.') {
            let count = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let kept = count.min(6);
            let (fraction, _) = number(after, kept)?;
            micros = fraction * 10i64.pow(6 - kept as u32);
            rest = &after[count..];
        }
    }
    let fits = hour < 24 && minute < 60 && second < 60;
    fits.then_some((((hour * 60 + minute) * 60 + second) * MICROS_PER_SECOND + micros, rest))
}

/// Days of a date written as `2026-01-02`.
pub(crate) fn parse_date(text: &[u8]) -> Option<i64> {
    date_prefix(text.trim_ascii()).filter(|(_, rest)| rest.is_empty()).map(|(days, _)| days)
}

/// Microseconds of `2026-01-02[ 03:04[:05.678]][Z|+01:00]`; `T` may stand for the space. For an instant,
/// text without an offset is what clocks of `zone` show.
pub(crate) fn parse_timestamp(text: &[u8], zone: Option<Zone>) -> Option<i64> {
    let (days, rest) = date_prefix(text.trim_ascii())?;
    let midnight = days * MICROS_PER_DAY;
    let (reading, offset) = match skip(rest, b' ').or_else(|| skip(rest, b'T')) {
        None => rest.is_empty().then_some((midnight, None))?,
        Some(rest) => {
            let (clock, rest) = clock_prefix(rest)?;
            (midnight + clock, parse_offset(rest.trim_ascii_start())?)
        }
    };
    Some(match offset {
        Some(offset) => reading - offset,
        None => zone.map_or(reading, |zone| zone.instant(reading)),
    })
}

/// Microseconds ahead of UTC of `Z` or `+01:00`, if the text is not empty.
fn parse_offset(text: &[u8]) -> Option<Option<i64>> {
    let (sign, rest) = match text {
        b"" => return Some(None),
        b"Z" | b"z" => return Some(Some(0)),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    fn part(rest: &[u8]) -> Option<(i64, &[u8])> {
        if rest.is_empty() { Some((0, rest)) } else { number(skip(rest, b':').unwrap_or(rest), 2) }
    }
    let (hours, rest) = number(rest, 2)?;
    let (minutes, rest) = part(rest)?;
    let (seconds, rest) = part(rest)?;
    let fits = rest.is_empty() && hours <= 18 && minutes < 60 && seconds < 60;
    fits.then_some(Some(((hours * 60 + minutes) * 60 + seconds) * MICROS_PER_SECOND * sign))
}

/// Writes a day as `2026-01-02`.
pub(crate) fn write_date(out: &mut String, day: i64) {
    use std::fmt::Write;
    let (year, month, day) = civil(day);
    write!(out, "{year:04}-{month:02}-{day:02}").expect("writing to a string cannot fail");
}

/// Writes `2026-01-02 03:04:05.678` with `precision` digits of a second; an instant as clocks of its zone
/// show it, with `Z` in UTC, else with the offset.
pub(crate) fn write_timestamp(out: &mut String, micros: i64, precision: u8, zone: Option<Zone>) {
    let offset = zone.map_or(0, |zone| zone.by_instant().at(micros));
    let reading = micros.saturating_add(offset);
    write_date(out, reading.div_euclid(MICROS_PER_DAY));
    out.push(' ');
    write_clock(out, reading.rem_euclid(MICROS_PER_DAY), precision);
    match zone {
        Some(zone) if zone.is_utc() => out.push('Z'),
        Some(_) => write_offset(out, offset),
        None => {}
    }
}

/// Writes `03:04:05.678`; hours may pass 23.
pub(crate) fn write_clock(out: &mut String, micros: i64, precision: u8) {
    use std::fmt::Write;
    let (seconds, micros) = (micros / MICROS_PER_SECOND, micros % MICROS_PER_SECOND);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = micros / 10i64.pow(6 - u32::from(precision.min(6)));
    let done = write!(out, "{hours:02}:{minutes:02}:{seconds:02}");
    let done = done.and_then(|()| match precision {
        0 => Ok(()),
        _ => write!(out, ".{fraction:0width$}", width = usize::from(precision.min(6))),
    });
    done.expect("writing to a string cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_eight_centuries_agrees_with_jiff() {
        let mut date = jiff::civil::date(1600, 1, 1);
        let mut day = days(1600, 1, 1);
        while date.year() < 2401 {
            let (year, month, of_month) = (i64::from(date.year()), i64::from(date.month()), i64::from(date.day()));
            assert_eq!((days(year, month, of_month), civil(day)), (day, (year, month, of_month)));
            date = date.tomorrow().unwrap();
            day += 1;
        }
        assert_eq!(days(1970, 1, 1), 0);
    }

    #[test]
    fn timestamps_read_and_print() {
        for (text, shown) in [
            ("2026-01-02 03:04:05.678", Some("2026-01-02 03:04:05.678Z")),
            ("2026-01-02T03:04:05Z", Some("2026-01-02 03:04:05.000Z")),
            ("2026-01-02 03:04:05+02:00", Some("2026-01-02 01:04:05.000Z")),
            ("1969-12-31 23:59:59.999", Some("1969-12-31 23:59:59.999Z")),
            ("2026-02-28", Some("2026-02-28 00:00:00.000Z")),
            ("2026-02-29", None),
            ("2026-01-02 24:00:00", None),
            ("2026-01-02 ", Some("2026-01-02 00:00:00.000Z")),
            ("2026-01-02x", None),
            ("", None),
        ] {
            let read = parse_timestamp(text.as_bytes(), None).map(|micros| {
                let mut out = String::new();
                write_timestamp(&mut out, micros, 3, Some(Zone::UTC));
                out
            });
            assert_eq!(read.as_deref(), shown, "{text}");
        }
    }

    #[test]
    fn instants_are_read_and_printed_as_clocks_of_a_zone_show_them() {
        let berlin = Zone::parse("Europe/Berlin");
        for (text, shown) in [
            ("2026-01-02 03:04:05", "2026-01-02 03:04:05+01:00"),
            ("2026-07-02 03:04:05", "2026-07-02 03:04:05+02:00"),
            ("2026-07-02 03:04:05Z", "2026-07-02 05:04:05+02:00"),
            // Left out when clocks go forward, and twice there when they go back.
            ("2026-03-29 02:30:00", "2026-03-29 03:30:00+02:00"),
            ("2026-10-25 02:30:00", "2026-10-25 02:30:00+02:00"),
            ("2026-10-25 02:30:00+01:00", "2026-10-25 02:30:00+01:00"),
            ("1890-01-01", "1890-01-01 00:00:00+00:53:28"),
            ("1890-01-01 00:00:00+00:53:28", "1890-01-01 00:00:00+00:53:28"),
            ("2900-07-01", "2900-07-01 00:00:00+02:00"),
        ] {
            let mut out = String::new();
            write_timestamp(&mut out, parse_timestamp(text.as_bytes(), berlin).unwrap(), 0, berlin);
            assert_eq!(out, shown, "{text}");
        }
    }
}
