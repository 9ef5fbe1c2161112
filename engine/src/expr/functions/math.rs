//! Arithmetic and numbers.

use super::typing::{self, digits};
use super::{Call, Function};
use crate::batch::{Data, Vector, is_null};
use crate::error::{Code, Error, Result};
use crate::expr::cast::{rescale, show_at};
use crate::expr::kernels::{each_row, wide};
use crate::types::{DataType, Physical, Value};
use std::cmp::Ordering;

macro_rules! function {
    ($name:literal, $aliases:expr, $signature:literal, $doc:literal, $typing:path, $kernel:expr, $example:literal => $result:literal) => {
        Function {
            name: $name,
            aliases: &$aliases,
            signature: $signature,
            doc: $doc,
            typing: $typing,
            kernel: $kernel,
            example: ($example, $result),
        }
    };
}
pub(super) use function;

pub(super) const FUNCTIONS: &[Function] = &[
    function!("+", [], "two numbers, or a time and an interval", "Sum.", typing::plus, add, "2 + 3" => "5"),
    function!("-", [], "two numbers, two times, or a time and an interval", "Difference.", typing::minus, subtract, "2.5 - 3" => "-0.5"),
    function!("*", [], "two numbers, or an interval and an integer", "Product; exact for decimals.", typing::times, multiply, "1.25 * 0.5" => "0.625"),
    function!("/", [], "two numbers, or an interval and an integer", "Quotient; of integers, cut off at the point.", typing::divide, divide, "1.0 / 3" => "0.333333"),
    function!("%", ["mod"], "two numbers", "Remainder, with the sign of the dividend.", typing::remainder, remainder, "mod(-7, 3)" => "-1"),
    function!("negate", [], "a number or an interval", "The number with its sign turned.", typing::signed, negate, "negate(2.5)" => "-2.5"),
    function!("abs", [], "a number or an interval", "The number without its sign.", typing::signed, abs, "abs(-2.5)" => "2.5"),
    function!("sign", [], "a number or an interval", "-1, 0 or 1.", typing::sign, sign, "sign(-2.5)" => "-1"),
    function!("ceil", ["ceiling"], "a number", "The next whole number upwards.", typing::whole, |call| round_to(call, Mode::Up), "ceil(-2.5)" => "-2"),
    function!("floor", [], "a number", "The next whole number downwards.", typing::whole, |call| round_to(call, Mode::Down), "floor(-2.5)" => "-3"),
    function!("round", [], "a number, and how many digits to keep", "Rounded half away from zero.", typing::rounded, |call| round_to(call, Mode::Half), "round(2.345, 2)" => "2.35"),
    function!("trunc", ["truncate"], "a number, and how many digits to keep", "Cut off behind the digit.", typing::rounded, |call| round_to(call, Mode::Cut), "trunc(-2.345, 2)" => "-2.34"),
    function!("least", [], "values of one type", "The smallest; NULL if any is NULL.", typing::same, |call| pick(call, Ordering::Less), "least(3, 1, 2)" => "1"),
    function!("greatest", [], "values of one type", "The greatest; NULL if any is NULL.", typing::same, |call| pick(call, Ordering::Greater), "greatest('a', 'c', 'b')" => "c"),
    function!("sqrt", [], "a number", "Square root.", typing::double_1, |call| real(call, "square root", |x, _| x.sqrt()), "sqrt(9)" => "3"),
    function!("power", ["pow"], "two numbers", "The first to the power of the second.", typing::double_2, |call| real(call, "power", f64::powf), "power(2, 10)" => "1024"),
    function!("exp", [], "a number", "e to that power.", typing::double_1, |call| real(call, "exponential", |x, _| x.exp()), "exp(0)" => "1"),
    function!("ln", [], "a number above zero", "Natural logarithm.", typing::double_1, |call| real(call, "logarithm", |x, _| x.ln()), "ln(1)" => "0"),
    function!("log10", [], "a number above zero", "Logarithm to base 10.", typing::double_1, |call| real(call, "logarithm", |x, _| x.log10()), "log10(1000)" => "3"),
    function!("log2", [], "a number above zero", "Logarithm to base 2.", typing::double_1, |call| real(call, "logarithm", |x, _| x.log2()), "log2(8)" => "3"),
    function!("cbrt", [], "a number", "Cube root.", typing::double_1, |call| real(call, "cube root", |x, _| x.cbrt()), "cbrt(27)" => "3"),
    function!("isnan", ["is_nan"], "a number", "Whether it is NaN.", of_double, is_nan, "isnan(1)" => "FALSE"),
    function!("only_value", [], "a value and how many rows it is of", "The value; an error where it is of several rows, as of a subquery that gives one value.", typing::of_rows, only_value, "only_value(7, 1)" => "7"),
    function!("log", [], "a number, or a base and a number", "Natural logarithm, or to a base.", typing::double_1_or_2, log, "log(2, 8)" => "3"),
];

fn of_double(types: &[DataType], literals: &[Option<&Value>]) -> typing::Fit {
    typing::double_1(types, literals).map(|(arguments, _)| (arguments, DataType::Boolean))
}

fn is_nan<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    let values = call.arguments[0].f64s().iter().map(|value| i64::from(value.is_nan()));
    Ok(Vector { data: Data::I64(call.scratch.alloc_slice_fill_iter(values)), nulls: call.nulls })
}

fn only_value<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    let rows = &call.arguments[1];
    let counts = rows.i64s().iter().enumerate();
    match counts.filter(|(row, _)| !is_null(call.nulls, *row)).map(|(_, count)| *count).find(|&count| count > 1) {
        None => Ok(call.arguments[0]),
        Some(count) => Err(Error::new(Code::Type, format!("a subquery that is used as a value gives {count} rows"))
            .help("take an aggregate of them: (SELECT MAX(x) FROM ..)")),
    }
}

fn out_of_range(call: &Call<'_, '_>, symbol: &str, row: usize) -> Error {
    let show = |index: usize| show_at(&call.arguments[index], row, call.data_type(index));
    let shown = match call.arguments.len() {
        1 => format!("{symbol} of {}", show(0)),
        _ => format!("{} {symbol} {}", show(0), show(1)),
    };
    Error::new(Code::Overflow, format!("{shown} is out of the range of {}", call.returns))
}

fn by_zero(call: &Call<'_, '_>, row: usize) -> Error {
    let value = show_at(&call.arguments[0], row, call.data_type(0));
    Error::new(Code::DivisionByZero, format!("{value} is divided by zero"))
        .help("NULLIF(divisor, 0) makes the result NULL instead")
}

/// Two `i64` columns through `op`, which says whether it left the range: one sticky flag for all
/// rows, and only if it is set a second look for the row.
#[inline(always)]
fn whole_i64<'a>(call: &Call<'_, 'a>, symbol: &str, op: impl Fn(i64, i64) -> (i64, bool)) -> Result<Vector<'a>> {
    let (left, right) = (call.arguments[0].i64s(), call.arguments[1].i64s());
    let out = call.scratch.alloc_slice_fill_copy(call.rows, 0i64);
    let mut sticky = false;
    for ((out, &left), &right) in out.iter_mut().zip(left).zip(right) {
        let (value, left_range) = op(left, right);
        *out = value;
        sticky |= left_range;
    }
    if sticky {
        let bad = (0..call.rows).find(|&row| !is_null(call.nulls, row) && op(left[row], right[row]).1);
        if let Some(row) = bad {
            return Err(out_of_range(call, symbol, row));
        }
    }
    Ok(Vector { data: Data::I64(out), nulls: call.nulls })
}

/// As [`whole_i64`] for wide decimals: the result must also have no more than 38 digits.
#[inline(always)]
fn whole_i128<'a>(call: &Call<'_, 'a>, symbol: &str, op: impl Fn(i128, i128) -> Option<i128>) -> Result<Vector<'a>> {
    let (left, right) = (wide(&call.arguments[0], call.scratch), wide(&call.arguments[1], call.scratch));
    let limit = limit(call.returns);
    let values = each_row(call.rows, call.nulls, call.scratch, |row| {
        let value = op(left[row], right[row]).filter(|value| value.unsigned_abs() < limit);
        value.ok_or_else(|| out_of_range(call, symbol, row))
    })?;
    Ok(Vector { data: Data::I128(values), nulls: call.nulls })
}

/// The first magnitude a type cannot hold.
fn limit(data_type: DataType) -> u128 {
    match data_type {
        DataType::Decimal { precision, .. } => 10u128.pow(u32::from(precision)),
        _ => 1 << 63,
    }
}

fn real_2<'a>(call: &Call<'_, 'a>, op: impl Fn(f64, f64) -> f64) -> Result<Vector<'a>> {
    let (left, right) = (call.arguments[0].f64s(), call.arguments[1].f64s());
    let values = left.iter().zip(right).map(|(&left, &right)| op(left, right));
    Ok(Vector { data: Data::F64(call.scratch.alloc_slice_fill_iter(values)), nulls: call.nulls })
}

fn add<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    match call.returns.physical() {
        Physical::F64 => real_2(call, |a, b| a + b),
        Physical::I128 => whole_i128(call, "+", i128::checked_add),
        _ => whole_i64(call, "+", i64::overflowing_add),
    }
}

fn subtract<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    match call.returns.physical() {
        Physical::F64 => real_2(call, |a, b| a - b),
        Physical::I128 => whole_i128(call, "-", i128::checked_sub),
        _ => whole_i64(call, "-", i64::overflowing_sub),
    }
}

fn multiply<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    match (call.returns.physical(), call.arguments[0].data, call.arguments[1].data) {
        (Physical::F64, ..) => real_2(call, |a, b| a * b),
        // Two i64 columns cannot leave the type their product has: nothing to look for.
        (Physical::I128, Data::I64(left), Data::I64(right)) => {
            let values = left.iter().zip(right).map(|(&left, &right)| i128::from(left) * i128::from(right));
            Ok(Vector { data: Data::I128(call.scratch.alloc_slice_fill_iter(values)), nulls: call.nulls })
        }
        (Physical::I128, ..) => whole_i128(call, "*", i128::checked_mul),
        _ => whole_i64(call, "*", i64::overflowing_mul),
    }
}

/// The first row that divides by zero.
fn zero_row(call: &Call<'_, '_>) -> Option<usize> {
    let live = |row: &usize| !is_null(call.nulls, *row);
    match call.arguments[1].data {
        Data::I64(values) if values.contains(&0) => (0..call.rows).filter(live).find(|&row| values[row] == 0),
        Data::I128(values) => (0..call.rows).filter(live).find(|&row| values[row] == 0),
        Data::F64(values) => (0..call.rows).filter(live).find(|&row| values[row] == 0.0),
        _ => None,
    }
}

fn divide<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    if let Some(row) = zero_row(call) {
        return Err(by_zero(call, row));
    }
    match call.returns {
        DataType::Double => real_2(call, |a, b| a / b),
        DataType::Decimal { scale, .. } => decimal_quotient(call, scale),
        // Rows under a NULL may still hold a zero.
        _ => whole_i64(call, "/", |a, b| if b == 0 { (0, false) } else { a.overflowing_div(b) }),
    }
}

fn decimal_quotient<'a>(call: &Call<'_, 'a>, scale: u8) -> Result<Vector<'a>> {
    let (left, right) = (wide(&call.arguments[0], call.scratch), wide(&call.arguments[1], call.scratch));
    let scales = [0, 1].map(|index| digits(call.data_type(index)).map_or(0, |(_, scale)| scale));
    let factor = 10i128.checked_pow(u32::from(scale + scales[1] - scales[0]));
    let limit = limit(call.returns);
    let quotient = |row: usize| {
        let (dividend, divisor) = (factor?.checked_mul(left[row])?, right[row]);
        let (whole, rest) = (dividend / divisor, dividend % divisor);
        let away = if (dividend < 0) == (divisor < 0) { 1 } else { -1 };
        let up = rest.unsigned_abs() >= divisor.unsigned_abs() - rest.unsigned_abs();
        Some(if up && rest != 0 { whole + away } else { whole }).filter(|value| value.unsigned_abs() < limit)
    };
    let make = |row| quotient(row).ok_or_else(|| out_of_range(call, "/", row));
    let data = match call.returns.physical() {
        Physical::I64 => {
            Data::I64(each_row(call.rows, call.nulls, call.scratch, |row| make(row).map(|value| value as i64))?)
        }
        _ => Data::I128(each_row(call.rows, call.nulls, call.scratch, make)?),
    };
    Ok(Vector { data, nulls: call.nulls })
}

fn remainder<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    if let Some(row) = zero_row(call) {
        return Err(by_zero(call, row));
    }
    match call.returns.physical() {
        Physical::F64 => real_2(call, |a, b| a % b),
        Physical::I128 => whole_i128(call, "%", i128::checked_rem),
        _ => whole_i64(call, "%", |a, b| if b == 0 { (0, false) } else { (a.wrapping_rem(b), false) }),
    }
}

/// One number column through the function for its shape.
fn one<'a>(
    call: &Call<'_, 'a>,
    symbol: &str,
    whole: impl Fn(i64) -> Option<i64>,
    large: impl Fn(i128) -> i128,
    real: impl Fn(f64) -> f64,
) -> Result<Vector<'a>> {
    let data = match call.arguments[0].data {
        Data::I64(values) => Data::I64(each_row(call.rows, call.nulls, call.scratch, |row| {
            whole(values[row]).ok_or_else(|| out_of_range(call, symbol, row))
        })?),
        Data::I128(values) => Data::I128(call.scratch.alloc_slice_fill_iter(values.iter().map(|&value| large(value)))),
        _ => {
            let values = call.arguments[0].f64s().iter().map(|&value| real(value));
            Data::F64(call.scratch.alloc_slice_fill_iter(values))
        }
    };
    Ok(Vector { data, nulls: call.nulls })
}

fn negate<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    one(call, "negation", i64::checked_neg, i128::wrapping_neg, |value| -value)
}

fn abs<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    one(call, "absolute value", i64::checked_abs, i128::wrapping_abs, f64::abs)
}

fn sign<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    let sign = |ordering: Option<Ordering>| ordering.map_or(0, |ordering| ordering as i64);
    let argument = &call.arguments[0];
    let values = (0..call.rows).map(|row| match argument.data {
        Data::I64(values) => values[row].signum(),
        Data::I128(values) => values[row].signum() as i64,
        _ => sign(argument.f64s()[row].partial_cmp(&0.0)),
    });
    Ok(Vector { data: Data::I64(call.scratch.alloc_slice_fill_iter(values)), nulls: call.nulls })
}

#[derive(Clone, Copy)]
enum Mode {
    Up,
    Down,
    Half,
    Cut,
}

/// `value` without its last `digits` digits.
fn cut_digits(value: i128, digits: u32, mode: Mode) -> i128 {
    let Some(unit) = 10i128.checked_pow(digits) else { return 0 };
    match mode {
        Mode::Cut => value / unit,
        Mode::Down => value.div_euclid(unit),
        Mode::Up => value.div_euclid(unit) + i128::from(value.rem_euclid(unit) != 0),
        Mode::Half => rescale(value, digits as u8, 0).unwrap_or(0),
    }
}

fn round_to<'a>(call: &Call<'_, 'a>, mode: Mode) -> Result<Vector<'a>> {
    let places = call.arguments.get(1).map(Vector::i64s);
    let places = |row: usize| places.map_or(0, |places| places[row].clamp(-400, 400));
    if let Data::F64(values) = call.arguments[0].data {
        let values = each_row(call.rows, call.nulls, call.scratch, |row| {
            let unit = 10f64.powi(places(row) as i32);
            let scaled = values[row] * unit;
            let kept = match mode {
                Mode::Up => scaled.ceil(),
                Mode::Down => scaled.floor(),
                Mode::Half => scaled.round(),
                Mode::Cut => scaled.trunc(),
            };
            Ok(if scaled.is_finite() && unit > 0.0 { kept / unit } else { values[row] })
        })?;
        return Ok(Vector { data: Data::F64(values), nulls: call.nulls });
    }
    let (from, to) = (i64::from(call.data_type(0).scale()), i64::from(call.returns.scale()));
    let (values, limit) = (wide(&call.arguments[0], call.scratch), limit(call.returns));
    let rounded = |row: usize| {
        let cut = (from - places(row)).clamp(0, 400);
        let kept = cut_digits(values[row], cut as u32, mode);
        let grow = cut - (from - to);
        let value = match grow {
            0.. if kept == 0 => Some(0),
            0.. => 10i128.checked_pow(grow as u32).and_then(|unit| kept.checked_mul(unit)),
            _ => Some(cut_digits(kept, -grow as u32, mode)),
        };
        let value = value.filter(|value| value.unsigned_abs() < limit);
        value.ok_or_else(|| out_of_range(call, "rounding", row))
    };
    let data = match call.returns.physical() {
        Physical::I64 => {
            Data::I64(each_row(call.rows, call.nulls, call.scratch, |row| rounded(row).map(|value| value as i64))?)
        }
        _ => Data::I128(each_row(call.rows, call.nulls, call.scratch, rounded)?),
    };
    Ok(Vector { data, nulls: call.nulls })
}

/// The first argument that no other one beats.
fn pick<'a>(call: &Call<'_, 'a>, wanted: Ordering) -> Result<Vector<'a>> {
    fn best<'a, T: Copy>(
        call: &Call<'_, 'a>,
        column: impl Fn(&Vector<'a>) -> &'a [T],
        beats: impl Fn(&T, &T) -> bool,
    ) -> &'a [T] {
        let best = call.scratch.alloc_slice_copy(column(&call.arguments[0]));
        for argument in &call.arguments[1..] {
            for (best, value) in best.iter_mut().zip(column(argument)) {
                *best = if beats(value, best) { *value } else { *best };
            }
        }
        best
    }
    let data = match call.returns.physical() {
        Physical::I64 => Data::I64(best(call, Vector::i64s, |a, b| a.cmp(b) == wanted)),
        Physical::I128 => Data::I128(best(call, Vector::i128s, |a, b| a.cmp(b) == wanted)),
        Physical::F64 => Data::F64(best(call, Vector::f64s, |a, b| a.total_cmp(b) == wanted)),
        Physical::Text => Data::Text(best(call, Vector::texts, |a, b| a.cmp(b) == wanted)),
    };
    Ok(Vector { data, nulls: call.nulls })
}

/// A real function; where it has no value, an error rather than NaN.
pub(super) fn real<'a>(call: &Call<'_, 'a>, what: &str, op: impl Fn(f64, f64) -> f64) -> Result<Vector<'a>> {
    let x = call.arguments[0].f64s();
    let y = call.arguments.get(1).map_or(x, Vector::f64s);
    let values = each_row(call.rows, call.nulls, call.scratch, |row| {
        let value = op(x[row], y[row]);
        let lost = !value.is_finite() && x[row].is_finite() && y[row].is_finite();
        if lost { Err(out_of_range(call, what, row)) } else { Ok(value) }
    })?;
    Ok(Vector { data: Data::F64(values), nulls: call.nulls })
}

fn log<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    match call.arguments.len() {
        1 => real(call, "logarithm", |x, _| x.ln()),
        _ => real(call, "logarithm", |base, x| x.log2() / base.log2()),
    }
}
