//! Whole numbers: their bits and their divisors.

use super::math::function;
use super::typing::Fit;
use super::{Call, Function};
use crate::batch::{Data, Vector};
use crate::error::{Code, Error, Result};
use crate::expr::kernels::each_row;
use crate::types::{DataType, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    function!("&", [], "two integers", "The bits that both have.", two, |call| each(call, |a, b| Some(a & b)), "12 & 10" => "8"),
    function!("|", [], "two integers", "The bits that either has.", two, |call| each(call, |a, b| Some(a | b)), "12 | 10" => "14"),
    function!("<<", [], "an integer, and how many bits", "The bits moved upwards.", two, |call| each(call, |a, n| shift(a, n, i64::wrapping_shl)), "1 << 4" => "16"),
    function!(">>", [], "an integer, and how many bits", "The bits moved downwards; the sign stays.", two, |call| each(call, |a, n| shift(a, n, i64::wrapping_shr)), "-16 >> 2" => "-4"),
    function!("gcd", [], "two integers", "Their greatest common divisor.", two, |call| each(call, |a, b| i64::try_from(divisor(a, b)).ok()), "gcd(12, 18)" => "6"),
    function!("lcm", [], "two integers", "Their least common multiple.", two, |call| each(call, multiple), "lcm(4, 6)" => "12"),
    function!("factorial", [], "an integer", "The product of all numbers up to it.", one, |call| each(call, |n, _| factorial(n)), "factorial(5)" => "120"),
];

fn two(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    let fits = types.len() == 2 && types.iter().all(|given| given.is_integer());
    fits.then(|| (vec![DataType::BigInt; 2], DataType::BigInt))
}

fn one(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    let fits = types.len() == 1 && types[0].is_integer();
    fits.then(|| (vec![DataType::BigInt], DataType::BigInt))
}

fn each<'a>(call: &Call<'_, 'a>, op: impl Fn(i64, i64) -> Option<i64>) -> Result<Vector<'a>> {
    let first = call.arguments[0].i64s();
    let second = call.arguments.get(1).map_or(first, Vector::i64s);
    let values = each_row(call.rows, call.nulls, call.scratch, |row| {
        op(first[row], second[row]).ok_or_else(|| {
            let given = if call.arguments.len() == 1 {
                format!("{}", first[row])
            } else {
                format!("{} and {}", first[row], second[row])
            };
            Error::new(Code::Overflow, format!("the result for {given} is out of the range of BIGINT"))
        })
    })?;
    Ok(Vector { data: Data::I64(values), nulls: call.nulls })
}

/// By 0 to 63 bits; by others there is no result.
fn shift(number: i64, bits: i64, op: fn(i64, u32) -> i64) -> Option<i64> {
    (0..64).contains(&bits).then(|| op(number, bits as u32))
}

fn divisor(a: i64, b: i64) -> u64 {
    let (mut a, mut b) = (a.unsigned_abs(), b.unsigned_abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

fn multiple(a: i64, b: i64) -> Option<i64> {
    if a == 0 || b == 0 {
        return Some(0);
    }
    i64::try_from((a.unsigned_abs() / divisor(a, b)).checked_mul(b.unsigned_abs())?).ok()
}

fn factorial(n: i64) -> Option<i64> {
    (0..=20).contains(&n).then(|| (1..=n).product())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_have_a_result_or_none() {
        assert_eq!(i64::try_from(divisor(i64::MIN, i64::MIN)).ok(), None);
        assert_eq!(divisor(0, 0), 0);
        assert_eq!(divisor(i64::MIN, 6), 2);
        assert_eq!(multiple(i64::MAX, 2), None);
        assert_eq!(multiple(-4, 6), Some(12));
        assert_eq!(factorial(21), None);
        assert_eq!(factorial(-1), None);
        assert_eq!(factorial(0), Some(1));
        assert_eq!(shift(1, 64, i64::wrapping_shl), None);
        assert_eq!(shift(-1, 63, i64::wrapping_shr), Some(-1));
    }
}
