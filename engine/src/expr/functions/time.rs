//! Time: parts, truncation, formats, and the ways from numbers and text.

use super::math::function;
use super::typing::{Fit, TIMESTAMP};
use super::{Call, Function, format};
use crate::batch::{Data, Text, Vector};
use crate::error::{Code, Error, Result};
use crate::expr::calendar::{civil, days, month_days};
use crate::expr::cast;
use crate::expr::kernels::each_row;
use crate::types::{DataType, MICROS_PER_DAY, MICROS_PER_SECOND, Value};
use crate::zone::Zone;
use DataType::{BigInt, Date, Interval, Timestamp};

const LTZ_3: DataType = Timestamp { precision: 3, zone: Some(Zone::UTC) };
const UNITS: &str = "year, quarter, month, week, day, hour, minute, second, millisecond, microsecond";

pub(super) const FUNCTIONS: &[Function] = &[
    function!("date_part", [], "a unit and a time", "One part of a time: year, month, .., epoch, epoch_ms.", part_typing, |call| part_named(call), "date_part('hour', TIMESTAMP '2026-01-02 03:04:05.678')" => "3"),
    function!("year", [], "a time", "Its year.", of_time, |call| part(call, 0, Part::Year), "year(TIMESTAMP '2026-01-02 03:04:05.678')" => "2026"),
    function!("month", [], "a time", "Its month, 1 to 12.", of_time, |call| part(call, 0, Part::Month), "month(TIMESTAMP '2026-01-02 03:04:05.678')" => "1"),
    function!("day", ["dayofmonth"], "a time", "Its day of the month.", of_time, |call| part(call, 0, Part::Day), "day(TIMESTAMP '2026-01-02 03:04:05.678')" => "2"),
    function!("hour", [], "a time", "Its hour.", of_time, |call| part(call, 0, Part::Hour), "hour(TIMESTAMP '2026-01-02 03:04:05.678')" => "3"),
    function!("minute", [], "a time", "Its minute.", of_time, |call| part(call, 0, Part::Minute), "minute(TIMESTAMP '2026-01-02 03:04:05.678')" => "4"),
    function!("second", [], "a time", "Its second, whole.", of_time, |call| part(call, 0, Part::Second), "second(TIMESTAMP '2026-01-02 03:04:05.678')" => "5"),
    function!("date_trunc", [], "a unit and a time", "The start of the unit the time lies in.", trunc_typing, |call| truncate(call), "date_trunc('hour', TIMESTAMP '2026-01-02 03:04:05.678')" => "2026-01-02 03:00:00.000"),
    function!("date_bin", [], "an interval, a time, and where bins start", "The start of the bin the time lies in.", bin_typing, |call| bin(call), "date_bin(INTERVAL '00:15:00', TIMESTAMP '2026-01-02 03:44:05')" => "2026-01-02 03:30:00.000"),
    function!("to_timestamp_ltz", [], "a whole number, and 0 for seconds or 3 for milliseconds", "The instant so long after 1970.", ltz_typing, |call| from_number(call), "to_timestamp_ltz(1767323045678, 3)" => "2026-01-02 03:04:05.678Z"),
    function!("to_timestamp", [], "text, and its pattern as of date_format", "A timestamp read from text.", from_text, |call| timestamp_of_text(call), "to_timestamp('2026-01-02 03:04:05')" => "2026-01-02 03:04:05.000"),
    function!("from_unixtime", [], "seconds, and a pattern as of date_format", "The time so long after 1970, as text.", unixtime_typing, |call| from_unixtime(call), "from_unixtime(1767323045)" => "2026-01-02 03:04:05"),
    function!("unix_timestamp", ["to_unixtime"], "a time", "Seconds since 1970.", of_time, |call| part(call, 0, Part::Epoch), "unix_timestamp(TIMESTAMP '2026-01-02 03:04:05.678')" => "1767323045"),
    function!("date_format", ["to_char"], "a time and a pattern of yyyy MM dd HH mm ss SSS or of YYYY MM DD HH24 MI SS MS", "The time as text.", format_typing, |call| format::write(call), "date_format(TIMESTAMP '2026-01-02 03:04:05.678', 'yyyyMMdd HH:mm')" => "20260102 03:04"),
    function!("convert_tz", [], "a timestamp or text, the zone it is read in, and the zone it is wanted in", "The time at which clocks there show it, as clocks here do.", convert_tz_typing, |call| convert_tz(call), "convert_tz('2026-07-01 12:00:00', 'Europe/Berlin', 'Asia/Tokyo')" => "2026-07-01 19:00:00"),
    function!("to_date", [], "text, and its pattern as of date_format", "A date read from text.", to_date_typing, |call| date_of_text(call), "to_date('02.01.2026', 'dd.MM.yyyy')" => "2026-01-02"),
    function!("quarter", [], "a time", "Its quarter, 1 to 4.", of_time, |call| part(call, 0, Part::Quarter), "quarter(TIMESTAMP '2026-05-02 03:04:05')" => "2"),
    function!("week", ["weekofyear"], "a time", "Its ISO week, 1 to 53.", of_time, |call| part(call, 0, Part::Week), "week(TIMESTAMP '2026-01-02 03:04:05')" => "1"),
    function!("dayofyear", [], "a time", "Its day of the year, from 1.", of_time, |call| part(call, 0, Part::DayOfYear), "dayofyear(TIMESTAMP '2026-02-01 00:00:00')" => "32"),
    function!("last_day", [], "a time", "The last day of its month.", last_day_typing, |call| last_day(call), "last_day(TIMESTAMP '2024-02-03 00:00:00')" => "2024-02-29"),
    function!("timestampadd", [], "a unit, a whole number, and a time", "The time so many units later; a day that the month lacks becomes its last.", add_typing, |call| timestampadd(call), "timestampadd('month', 1, TIMESTAMP '2026-01-31 03:04:05')" => "2026-02-28 03:04:05.000"),
    function!("datediff", ["date_diff"], "two times, or a unit and two times", "Days from the second to the first; with a unit, how often one begins between the first and the second.", two_times, |call| datediff(call), "datediff(TIMESTAMP '2026-01-03 00:00:00', TIMESTAMP '2026-01-01 23:00:00')" => "2"),
    function!("timestampdiff", [], "a unit and two times", "Whole units from the first time to the second.", diff_typing, |call| timestampdiff(call), "timestampdiff('minute', TIMESTAMP '2026-01-02 03:04:05', TIMESTAMP '2026-01-02 04:03:05')" => "59"),
];

fn is_time(data_type: DataType) -> bool {
    data_type.is_timestamp() || data_type == Date
}

/// A date counts as its midnight.
fn as_timestamp(data_type: DataType) -> Option<DataType> {
    is_time(data_type).then_some(if data_type == Date { TIMESTAMP } else { data_type })
}

fn of_time(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    let &[time] = types else { return None };
    Some((vec![as_timestamp(time)?], BigInt))
}

fn part_typing(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    match *types {
        [DataType::Text, Interval] => Some((types.to_vec(), BigInt)),
        [DataType::Text, time] => Some((vec![DataType::Text, as_timestamp(time)?], BigInt)),
        _ => None,
    }
}

fn trunc_typing(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    let &[DataType::Text, time] = types else { return None };
    let time = as_timestamp(time)?;
    Some((vec![DataType::Text, time], time))
}

fn bin_typing(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    match *types {
        [Interval, time] => Some((vec![Interval, as_timestamp(time)?], as_timestamp(time)?)),
        [Interval, time, origin] => {
            let (time, origin) = (as_timestamp(time)?, as_timestamp(origin)?);
            Some((vec![Interval, time, origin], time))
        }
        _ => None,
    }
}

fn ltz_typing(types: &[DataType], literals: &[Option<&Value>]) -> Fit {
    match (types, literals) {
        ([number], _) if number.is_integer() => Some((vec![BigInt], LTZ_3)),
        ([number, digits], [_, Some(Value::I64(precision))]) if number.is_integer() && digits.is_integer() => {
            let precision = u8::try_from(*precision).ok().filter(|precision| matches!(precision, 0 | 3 | 6))?;
            Some((vec![BigInt; 2], Timestamp { precision, zone: Some(Zone::UTC) }))
        }
        // Without the literal at hand the precision is not known here; the widest loses nothing.
        ([number, digits], [_, None]) if number.is_integer() && digits.is_integer() => Some((vec![BigInt; 2], LTZ_3)),
        ([DataType::Text], _) => Some((vec![DataType::Text], LTZ_3)),
        _ => None,
    }
}

/// Text, and maybe a pattern.
fn one_or_two_texts(types: &[DataType], returns: DataType) -> Fit {
    let is_text = types.iter().all(|given| *given == DataType::Text);
    (is_text && matches!(types.len(), 1 | 2)).then(|| (types.to_vec(), returns))
}

fn from_text(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    one_or_two_texts(types, TIMESTAMP)
}

fn to_date_typing(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    one_or_two_texts(types, Date)
}

fn last_day_typing(types: &[DataType], literals: &[Option<&Value>]) -> Fit {
    of_time(types, literals).map(|(arguments, _)| (arguments, Date))
}

fn add_typing(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    let &[DataType::Text, count, time] = types else { return None };
    let time = as_timestamp(time)?;
    count.is_integer().then(|| (vec![DataType::Text, BigInt, time], time))
}

fn unixtime_typing(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    match *types {
        [number] if number.is_integer() => Some((vec![BigInt], DataType::Text)),
        [number, DataType::Text] if number.is_integer() => Some((vec![BigInt, DataType::Text], DataType::Text)),
        _ => None,
    }
}

fn format_typing(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    let &[time, DataType::Text] = types else { return None };
    Some((vec![as_timestamp(time)?, DataType::Text], DataType::Text))
}

fn convert_tz_typing(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    let &[time, DataType::Text, DataType::Text] = types else { return None };
    let time = match time {
        DataType::Text => time,
        Timestamp { precision, .. } => Timestamp { precision, zone: None },
        _ => return None,
    };
    Some((vec![time, DataType::Text, DataType::Text], time))
}

fn two_times(types: &[DataType], literals: &[Option<&Value>]) -> Fit {
    match *types {
        [left, right] => Some((vec![as_timestamp(left)?, as_timestamp(right)?], BigInt)),
        _ => diff_typing(types, literals),
    }
}

fn diff_typing(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    let &[DataType::Text, left, right] = types else { return None };
    Some((vec![DataType::Text, as_timestamp(left)?, as_timestamp(right)?], BigInt))
}

#[derive(Clone, Copy, PartialEq)]
enum Part {
    Year,
    Quarter,
    Month,
    Week,
    Day,
    DayOfWeek,
    IsoDayOfWeek,
    DayOfYear,
    Hour,
    Minute,
    Second,
    Millisecond,
    Microsecond,
    Epoch,
    EpochMillis,
    EpochMicros,
}

impl Part {
    fn of_name(name: &str) -> Option<Part> {
        let lower = name.to_ascii_lowercase();
        Some(
            match lower.strip_suffix('s').filter(|_| !lower.ends_with("ms") && !lower.ends_with("us")).unwrap_or(&lower)
            {
                "year" => Part::Year,
                "quarter" => Part::Quarter,
                "month" => Part::Month,
                "week" => Part::Week,
                "day" | "dayofmonth" => Part::Day,
                "dow" | "dayofweek" | "day_of_week" => Part::DayOfWeek,
                "isodow" => Part::IsoDayOfWeek,
                "doy" | "dayofyear" => Part::DayOfYear,
                "hour" => Part::Hour,
                "minute" => Part::Minute,
                "second" => Part::Second,
                "millisecond" | "ms" => Part::Millisecond,
                "microsecond" | "us" => Part::Microsecond,
                "epoch" => Part::Epoch,
                "epoch_ms" => Part::EpochMillis,
                "epoch_us" => Part::EpochMicros,
                _ => return None,
            },
        )
    }
}

fn unknown_unit(name: &str) -> Error {
    Error::new(Code::Type, format!("unit `{name}` is not known")).help(format!("known are {UNITS}"))
}

/// Microseconds of a unit of fixed length; its plural will do.
pub(crate) fn unit_micros(name: &str) -> Option<i64> {
    Some(match Part::of_name(name)? {
        Part::Week => 7 * MICROS_PER_DAY,
        Part::Day => MICROS_PER_DAY,
        Part::Hour => 3600 * MICROS_PER_SECOND,
        Part::Minute => 60 * MICROS_PER_SECOND,
        Part::Second => MICROS_PER_SECOND,
        Part::Millisecond => 1000,
        Part::Microsecond => 1,
        _ => return None,
    })
}

/// The unit in argument 0: a literal, or the same for all rows.
fn unit<'c>(call: &'c Call<'_, '_>) -> Result<&'c str> {
    let name = call.text_literal(0);
    name.ok_or_else(|| {
        Error::new(Code::Unsupported, "the unit must be a literal").help(format!("write one of {UNITS}"))
    })
}

fn part_named<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    let name = unit(call)?;
    part(call, 1, Part::of_name(name).ok_or_else(|| unknown_unit(name))?)
}

fn part<'a>(call: &Call<'_, 'a>, argument: usize, part: Part) -> Result<Vector<'a>> {
    let times = call.arguments[argument].i64s();
    let clock = |unit: i64, count: i64| map(call, times, move |time| time.div_euclid(unit).rem_euclid(count));
    Ok(match part {
        Part::Hour => clock(3600 * MICROS_PER_SECOND, 24),
        Part::Minute => clock(60 * MICROS_PER_SECOND, 60),
        Part::Second => clock(MICROS_PER_SECOND, 60),
        Part::Millisecond => clock(1000, 60_000),
        Part::Microsecond => clock(1, 60 * MICROS_PER_SECOND),
        Part::Epoch => map(call, times, |time| time.div_euclid(MICROS_PER_SECOND)),
        Part::EpochMillis => map(call, times, |time| time.div_euclid(1000)),
        Part::EpochMicros => map(call, times, |time| time),
        _ if call.data_type(argument) == Interval && part == Part::Day => {
            map(call, times, |time| time / MICROS_PER_DAY)
        }
        _ => per_day(call, times, |day| day_part(day, part)),
    })
}

fn day_part(day: i64, part: Part) -> i64 {
    let (year, month, of_month) = civil(day);
    let iso = (day + 3).rem_euclid(7) + 1;
    match part {
        Part::Year => year,
        Part::Quarter => (month + 2) / 3,
        Part::Month => month,
        Part::DayOfWeek => iso % 7,
        Part::IsoDayOfWeek => iso,
        Part::DayOfYear => day - days(year, 1, 1) + 1,
        // The week belongs to the year its Thursday lies in.
        Part::Week => {
            let thursday = day + 4 - iso;
            (thursday - days(civil(thursday).0, 1, 1)) / 7 + 1
        }
        _ => of_month,
    }
}

fn map<'a>(call: &Call<'_, 'a>, times: &[i64], op: impl Fn(i64) -> i64) -> Vector<'a> {
    let values = call.scratch.alloc_slice_fill_iter(times.iter().map(|&time| op(time)));
    Vector { data: Data::I64(values), nulls: call.nulls }
}

/// `op` of each row's day; neighbours mostly share it, so the last answer is kept.
fn per_day<'a>(call: &Call<'_, 'a>, times: &[i64], op: impl Fn(i64) -> i64) -> Vector<'a> {
    let (mut last, mut answer) = (0, op(0));
    let values = call.scratch.alloc_slice_fill_iter(times.iter().map(|&time| {
        let day = time.div_euclid(MICROS_PER_DAY);
        if day != last {
            (last, answer) = (day, op(day));
        }
        answer
    }));
    Vector { data: Data::I64(values), nulls: call.nulls }
}

fn truncate<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    let (name, times) = (unit(call)?, call.arguments[1].i64s());
    let start = |day: i64| day.saturating_mul(MICROS_PER_DAY);
    Ok(match Part::of_name(name) {
        Some(Part::Year) => per_day(call, times, |day| start(days(civil(day).0, 1, 1))),
        Some(Part::Quarter) => per_day(call, times, |day| {
            let (year, month, _) = civil(day);
            start(days(year, (month - 1) / 3 * 3 + 1, 1))
        }),
        Some(Part::Month) => per_day(call, times, |day| start(day - civil(day).2 + 1)),
        Some(Part::Week) => per_day(call, times, |day| start(day - (day + 3).rem_euclid(7))),
        _ => {
            let unit = unit_micros(name).ok_or_else(|| unknown_unit(name))?;
            map(call, times, |time| time.saturating_sub(time.rem_euclid(unit)))
        }
    })
}

fn bin<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    let (strides, times) = (call.arguments[0].i64s(), call.arguments[1].i64s());
    let origins = call.arguments.get(2).map(Vector::i64s);
    let values = each_row(call.rows, call.nulls, call.scratch, |row| {
        if strides[row] <= 0 {
            return Err(Error::new(Code::Overflow, "the interval of a bin must be above zero"));
        }
        let origin = origins.map_or(0, |origins| origins[row]);
        Ok(times[row].saturating_sub(times[row].saturating_sub(origin).rem_euclid(strides[row])))
    })?;
    Ok(Vector { data: Data::I64(values), nulls: call.nulls })
}

fn from_number<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    if call.data_type(0) == DataType::Text {
        return timestamp_of_text(call);
    }
    let numbers = call.arguments[0].i64s();
    let digits = call.arguments.get(1).map(Vector::i64s);
    let precision = digits.map_or(3, |digits| digits.first().copied().unwrap_or(3));
    let Some(unit) = u32::try_from(precision).ok().filter(|digits| *digits <= 6).map(|digits| 10i64.pow(6 - digits))
    else {
        return Err(Error::new(Code::Type, format!("precision {precision} is not known")).help("use 0, 3 or 6"));
    };
    let mut sticky = false;
    let values = call.scratch.alloc_slice_fill_iter(numbers.iter().map(|&number| {
        let (micros, beyond) = number.overflowing_mul(unit);
        sticky |= beyond;
        micros
    }));
    if sticky {
        let live = |row: &usize| !crate::batch::is_null(call.nulls, *row);
        if let Some(row) = (0..call.rows).filter(live).find(|&row| numbers[row].checked_mul(unit).is_none()) {
            return Err(Error::new(
                Code::Overflow,
                format!("{} is out of the range of {}", numbers[row], call.returns),
            ));
        }
    }
    Ok(Vector { data: Data::I64(values), nulls: call.nulls })
}

fn timestamp_of_text<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    if call.arguments.len() == 2 {
        return format::read(call);
    }
    cast::cast(&call.arguments[0], DataType::Text, call.returns, false, call.scratch)
}

fn from_unixtime<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    let seconds = call.arguments[0].i64s();
    if call.arguments.len() == 2 {
        return format::write_by(call, |row| seconds[row].saturating_mul(MICROS_PER_SECOND));
    }
    write_rows(call, |row, out| {
        let micros = seconds[row].saturating_mul(MICROS_PER_SECOND);
        crate::expr::calendar::write_timestamp(out, micros, 0, None);
    })
}

/// CONVERT_TZ: a zone is looked up where its name is another than in the row before.
fn convert_tz<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    let (mut from, mut to) = (LastZone::default(), LastZone::default());
    let (froms, tos) = (call.arguments[1].texts(), call.arguments[2].texts());
    let mut converted = |row: usize, reading: i64| {
        let instant = from.called(froms[row])?.instant(reading);
        Ok(to.called(tos[row])?.reading(instant))
    };
    if let Data::I64(times) = call.arguments[0].data {
        let values = each_row(call.rows, call.nulls, call.scratch, |row| converted(row, times[row]))?;
        return Ok(Vector { data: Data::I64(values), nulls: call.nulls });
    }
    let readings = Timestamp { precision: 6, zone: None };
    let times = cast::cast(&call.arguments[0], DataType::Text, readings, false, call.scratch)?;
    let mut out = String::new();
    let values: &[Text<'a>] = each_row(call.rows, call.nulls, call.scratch, |row| {
        out.clear();
        crate::expr::calendar::write_timestamp(&mut out, converted(row, times.i64s()[row])?, 0, None);
        Ok(crate::expr::kernels::text(out.as_bytes(), call.scratch))
    })?;
    Ok(Vector { data: Data::Text(values), nulls: call.nulls })
}

/// The zone last asked for.
#[derive(Default)]
struct LastZone<'a> {
    name: Text<'a>,
    zone: Option<Zone>,
}

impl<'a> LastZone<'a> {
    fn called(&mut self, name: Text<'a>) -> Result<Zone> {
        if let Some(zone) = self.zone.filter(|_| self.name.as_bytes() == name.as_bytes()) {
            return Ok(zone);
        }
        let zone = crate::zone::named(&name.to_str_lossy())?;
        (self.name, self.zone) = (name, Some(zone));
        Ok(zone)
    }
}

/// A text column written row by row.
pub(super) fn write_rows<'a>(call: &Call<'_, 'a>, mut write: impl FnMut(usize, &mut String)) -> Result<Vector<'a>> {
    let mut out = String::new();
    let values: &[Text<'a>] = each_row(call.rows, call.nulls, call.scratch, |row| {
        out.clear();
        write(row, &mut out);
        Ok(crate::expr::kernels::text(out.as_bytes(), call.scratch))
    })?;
    Ok(Vector { data: Data::Text(values), nulls: call.nulls })
}

fn date_of_text<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    match call.arguments.len() {
        2 => format::read(call),
        _ => cast::cast(&call.arguments[0], DataType::Text, Date, false, call.scratch),
    }
}

/// The first microsecond of a day.
pub(super) fn midnight_of(day: i64) -> i64 {
    day.saturating_mul(MICROS_PER_DAY)
}

fn last_day<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    Ok(per_day(call, call.arguments[0].i64s(), |day| {
        let (year, month, of_month) = civil(day);
        day - of_month + month_days(year, month)
    }))
}

/// Months in a unit that has no fixed length.
fn unit_months(name: &str) -> Option<i64> {
    match Part::of_name(name)? {
        Part::Year => Some(12),
        Part::Quarter => Some(3),
        Part::Month => Some(1),
        _ => None,
    }
}

fn timestampadd<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    let name = unit(call)?;
    let months = unit_months(name);
    let unit = unit_micros(name).or(months).ok_or_else(|| unknown_unit(name))?;
    let (counts, times) = (call.arguments[1].i64s(), call.arguments[2].i64s());
    let later = |row: usize| {
        let count = counts[row].checked_mul(unit)?;
        if months.is_none() {
            return times[row].checked_add(count);
        }
        let (year, month, day) = civil(times[row].div_euclid(MICROS_PER_DAY));
        let month = (year * 12 + month - 1).checked_add(count).filter(|month| month.abs() < 12 * 300_000)?;
        let (year, month) = (month.div_euclid(12), month.rem_euclid(12) + 1);
        let day = days(year, month, day.min(month_days(year, month)));
        day.checked_mul(MICROS_PER_DAY)?.checked_add(times[row].rem_euclid(MICROS_PER_DAY))
    };
    let values = each_row(call.rows, call.nulls, call.scratch, |row| {
        later(row).ok_or_else(|| {
            let message = format!("a time {} {name} later is out of the range of {}", counts[row], call.returns);
            Error::new(Code::Overflow, message)
        })
    })?;
    Ok(Vector { data: Data::I64(values), nulls: call.nulls })
}

fn datediff<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    let day = |time: i64| time.div_euclid(MICROS_PER_DAY);
    if call.arguments.len() == 2 {
        let pairs = call.arguments[0].i64s().iter().zip(call.arguments[1].i64s());
        let values = pairs.map(|(left, right)| day(*left) - day(*right));
        return Ok(Vector { data: Data::I64(call.scratch.alloc_slice_fill_iter(values)), nulls: call.nulls });
    }
    let name = unit(call)?;
    let months = unit_months(name);
    let unit = unit_micros(name).or(months).ok_or_else(|| unknown_unit(name))?;
    // Weeks begin on Mondays, and 1970 began on a Thursday.
    let shift = if unit == 7 * MICROS_PER_DAY { 3 * MICROS_PER_DAY } else { 0 };
    let number = |time: i64| match months {
        Some(months) => {
            let (year, month, _) = civil(day(time));
            (year * 12 + month - 1).div_euclid(months)
        }
        None => time.saturating_add(shift).div_euclid(unit),
    };
    let pairs = call.arguments[1].i64s().iter().zip(call.arguments[2].i64s());
    let values = pairs.map(|(&from, &to)| number(to).saturating_sub(number(from)));
    Ok(Vector { data: Data::I64(call.scratch.alloc_slice_fill_iter(values)), nulls: call.nulls })
}

/// Whole months from `from` to `to`: a month counts when the day and clock are reached again.
fn months_between(from: i64, to: i64) -> i64 {
    let place = |time: i64| {
        let (year, month, day) = civil(time.div_euclid(MICROS_PER_DAY));
        (year * 12 + month, (day, time.rem_euclid(MICROS_PER_DAY)))
    };
    let ((from_month, from_rest), (to_month, to_rest)) = (place(from), place(to));
    let months = to_month - from_month;
    if to >= from { months - i64::from(to_rest < from_rest) } else { months + i64::from(to_rest > from_rest) }
}

fn timestampdiff<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    let name = unit(call)?;
    let months = unit_months(name);
    let unit = unit_micros(name).or(months).ok_or_else(|| unknown_unit(name))?;
    let pairs = call.arguments[1].i64s().iter().zip(call.arguments[2].i64s());
    let values = pairs.map(|(&from, &to)| match months {
        Some(months) => months_between(from, to) / months,
        None => to.saturating_sub(from) / unit,
    });
    Ok(Vector { data: Data::I64(call.scratch.alloc_slice_fill_iter(values)), nulls: call.nulls })
}
