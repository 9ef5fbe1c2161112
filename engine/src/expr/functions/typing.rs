//! How result types follow from argument types.

use crate::types::{DECIMAL_DIGITS_MAX, DataType, Value};
use DataType::{BigInt, Date, Decimal, Double, Int, Interval, Timestamp};

/// TIMESTAMP(3), what a date becomes in arithmetic.
pub(crate) const TIMESTAMP: DataType = Timestamp { precision: 3, zone: None };

/// A typing's answer.
pub(crate) type Fit = Option<(Vec<DataType>, DataType)>;

/// Digits in all and behind the point of an exact number.
pub(crate) fn digits(data_type: DataType) -> Option<(u8, u8)> {
    match data_type {
        Int => Some((10, 0)),
        BigInt => Some((19, 0)),
        Decimal { precision, scale } => Some((precision, scale)),
        _ => None,
    }
}

fn decimal(precision: u8, scale: u8) -> Option<DataType> {
    let precision = precision.min(DECIMAL_DIGITS_MAX).max(scale).max(1);
    (scale <= DECIMAL_DIGITS_MAX).then_some(Decimal { precision, scale })
}

/// The type that holds both, `extra` digits wider in front.
fn wider(left: DataType, right: DataType, extra: u8) -> Option<DataType> {
    let ((p, s), (q, t)) = digits(left).zip(digits(right))?;
    let scale = s.max(t);
    decimal((p - s).max(q - t) + scale + extra, scale)
}

/// The type two values are compared or merged in.
pub(crate) fn common(left: DataType, right: DataType) -> Option<DataType> {
    match (left, right) {
        _ if left == right => Some(left),
        (DataType::Null, other) | (other, DataType::Null) => Some(other),
        (Double, other) | (other, Double) if other.is_numeric() => Some(Double),
        _ if left.is_integer() && right.is_integer() => Some(BigInt),
        (Timestamp { precision: p, zone: a }, Timestamp { precision: q, zone: b }) => {
            Some(Timestamp { precision: p.max(q), zone: a.and(b) })
        }
        (Date, time @ Timestamp { .. }) | (time @ Timestamp { .. }, Date) => Some(time),
        _ if left.is_nested() || right.is_nested() => crate::nested::common(left, right, &common),
        _ => wider(left, right, 0),
    }
}

fn sum(types: &[DataType]) -> Fit {
    let &[left, right] = types else { return None };
    if left == Double || right == Double {
        return (left.is_numeric() && right.is_numeric()).then(|| (vec![Double; 2], Double));
    }
    if left.is_integer() && right.is_integer() {
        return Some((vec![BigInt; 2], BigInt));
    }
    wider(left, right, 1).map(|wide| (vec![wide; 2], wide))
}

/// A value of any type, and a count.
pub(crate) fn of_rows(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    match types {
        &[value, rows] if rows.is_integer() => Some((vec![value, BigInt], value)),
        _ => None,
    }
}

pub(crate) fn plus(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    match *types {
        [time @ (Timestamp { .. } | Interval), Interval] => Some((vec![time, Interval], time)),
        [Interval, time @ Timestamp { .. }] => Some((vec![Interval, time], time)),
        [Date, Interval] => Some((vec![TIMESTAMP, Interval], TIMESTAMP)),
        [Interval, Date] => Some((vec![Interval, TIMESTAMP], TIMESTAMP)),
        _ => sum(types),
    }
}

pub(crate) fn minus(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    match *types {
        [time @ (Timestamp { .. } | Interval), Interval] => Some((vec![time, Interval], time)),
        [Date, Interval] => Some((vec![TIMESTAMP, Interval], TIMESTAMP)),
        [Timestamp { .. }, Timestamp { .. }] => Some((types.to_vec(), Interval)),
        [Date, Date] => Some((types.to_vec(), BigInt)),
        [Timestamp { .. }, Date] => Some((vec![types[0], TIMESTAMP], Interval)),
        [Date, Timestamp { .. }] => Some((vec![TIMESTAMP, types[1]], Interval)),
        _ => sum(types),
    }
}

pub(crate) fn times(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    let &[left, right] = types else { return None };
    match (left, right) {
        (Interval, n) if n.is_integer() => Some((vec![Interval, BigInt], Interval)),
        (n, Interval) if n.is_integer() => Some((vec![BigInt, Interval], Interval)),
        (Decimal { .. }, _) | (_, Decimal { .. }) if left != Double && right != Double => {
            let ((p, s), (q, t)) = digits(left).zip(digits(right))?;
            Some((types.to_vec(), decimal(p + q + 1, s + t)?))
        }
        _ => sum(types),
    }
}

pub(crate) fn divide(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    let &[left, right] = types else { return None };
    match (left, right) {
        (Interval, n) if n.is_integer() => Some((vec![Interval, BigInt], Interval)),
        (Decimal { .. }, _) | (_, Decimal { .. }) if left != Double && right != Double => {
            let ((p, s), (_, t)) = digits(left).zip(digits(right))?;
            let scale = s.max(6);
            Some((types.to_vec(), decimal(p - s + t + scale, scale)?))
        }
        _ => sum(types),
    }
}

pub(crate) fn remainder(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    let (arguments, returns) = sum(types)?;
    match returns {
        Decimal { .. } => wider(types[0], types[1], 0).map(|wide| (vec![wide; 2], wide)),
        _ => Some((arguments, returns)),
    }
}

/// One number, or a span of time; the type stays, but INT becomes BIGINT.
pub(crate) fn signed(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    match *types {
        [Int | BigInt] => Some((vec![BigInt], BigInt)),
        [number @ (Double | Decimal { .. } | Interval)] => Some((vec![number], number)),
        _ => None,
    }
}

pub(crate) fn sign(types: &[DataType], literals: &[Option<&Value>]) -> Fit {
    signed(types, literals).map(|(arguments, _)| (arguments, BigInt))
}

/// CEIL and FLOOR: a decimal loses its digits behind the point.
pub(crate) fn whole(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    match *types {
        [Int | BigInt] => Some((vec![BigInt], BigInt)),
        [Double] => Some((vec![Double], Double)),
        [number @ Decimal { precision, scale }] => Some((vec![number], decimal(precision - scale + 1, 0)?)),
        _ => None,
    }
}

/// ROUND and TRUNC: to `n` digits, known as a literal or else in the type of the number.
pub(crate) fn rounded(types: &[DataType], literals: &[Option<&Value>]) -> Fit {
    let number = match *types {
        [_] => return whole(types, literals),
        [number, n] if n.is_integer() => number,
        _ => return None,
    };
    let number = if number == Int { BigInt } else { number };
    let returns = match (number, literals[1]) {
        (Decimal { precision, scale }, Some(&Value::I64(n))) => {
            let kept = n.clamp(0, i64::from(scale)) as u8;
            decimal(precision - scale + kept + 1, kept)?
        }
        _ if number.is_numeric() => number,
        _ => return None,
    };
    Some((vec![number, BigInt], returns))
}

pub(crate) fn double_1(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    (types.len() == 1 && types[0].is_numeric()).then(|| (vec![Double], Double))
}

pub(crate) fn double_2(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    (types.len() == 2 && types.iter().all(|t| t.is_numeric())).then(|| (vec![Double; 2], Double))
}

pub(crate) fn double_1_or_2(types: &[DataType], literals: &[Option<&Value>]) -> Fit {
    double_1(types, literals).or_else(|| double_2(types, literals))
}

/// All arguments in one type, which is also the result's.
pub(crate) fn same(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    let (&first, rest) = types.split_first()?;
    let one = rest.iter().try_fold(first, |one, &next| common(one, next))?;
    Some((vec![one; types.len()], one))
}
