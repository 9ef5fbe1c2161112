//! Times that are made of numbers.

use super::math::function;
use super::typing::Fit;
use super::{Call, Function};
use crate::batch::{Data, Vector};
use crate::error::{Code, Error, Result};
use crate::expr::calendar::{days, month_days};
use crate::expr::kernels::each_row;
use crate::types::{DataType, Value};
use DataType::{BigInt, Date, Timestamp};

pub(super) const FUNCTIONS: &[Function] = &[
    function!("make_date", [], "a year, a month, and a day of the month", "The date.", date_typing, make_date, "make_date(2024, 2, 29)" => "2024-02-29"),
    function!("to_timestamp_seconds", [], "a whole number", "The time so many seconds after 1970.", seconds, |call| after_1970(call, 1_000_000), "to_timestamp_seconds(1767323045)" => "2026-01-02 03:04:05"),
    function!("to_timestamp_millis", [], "a whole number", "The time so many milliseconds after 1970.", millis, |call| after_1970(call, 1_000), "to_timestamp_millis(1767323045678)" => "2026-01-02 03:04:05.678"),
    function!("to_timestamp_micros", [], "a whole number", "The time so many microseconds after 1970.", micros, |call| after_1970(call, 1), "to_timestamp_micros(1767323045678901)" => "2026-01-02 03:04:05.678901"),
];

fn integers(types: &[DataType], count: usize, returns: DataType) -> Fit {
    let fits = types.len() == count && types.iter().all(|given| given.is_integer());
    fits.then(|| (vec![BigInt; count], returns))
}

fn date_typing(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    integers(types, 3, Date)
}

fn seconds(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    integers(types, 1, Timestamp { precision: 0, zone: None })
}

fn millis(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    integers(types, 1, Timestamp { precision: 3, zone: None })
}

fn micros(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    integers(types, 1, Timestamp { precision: 6, zone: None })
}

fn make_date<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    let [years, months, of_month] = [0, 1, 2].map(|index| call.arguments[index].i64s());
    let values = each_row(call.rows, call.nulls, call.scratch, |row| {
        let (year, month, day) = (years[row], months[row], of_month[row]);
        let exists =
            (1..=9999).contains(&year) && (1..=12).contains(&month) && day >= 1 && day <= month_days(year, month);
        match exists {
            true => Ok(days(year, month, day)),
            false => Err(Error::new(Code::Cast, format!("there is no day {year}-{month}-{day}"))),
        }
    })?;
    Ok(Vector { data: Data::I64(values), nulls: call.nulls })
}

fn after_1970<'a>(call: &Call<'_, 'a>, unit: i64) -> Result<Vector<'a>> {
    let counts = call.arguments[0].i64s();
    let values = each_row(call.rows, call.nulls, call.scratch, |row| {
        counts[row].checked_mul(unit).ok_or_else(|| {
            Error::new(
                Code::Overflow,
                format!("the time {} after 1970 is out of the range of {}", counts[row], call.returns),
            )
        })
    })?;
    Ok(Vector { data: Data::I64(values), nulls: call.nulls })
}
