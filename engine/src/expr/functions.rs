//! The table of scalar functions.
//!
//! A small stand-in with the agreed face (`resolve`, `name`, `names`), replaced by the full table.

use crate::error::{Code, Error, Result};
use crate::types::DataType;

/// Which function of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FunctionId(pub u16);

/// A function picked for its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Which.
    pub function: FunctionId,
    /// Types the arguments are cast to.
    pub arguments: Vec<DataType>,
    /// Type of the result.
    pub returns: DataType,
}

const NAMES: [&str; 25] = [
    "+",
    "-",
    "*",
    "/",
    "%",
    "||",
    "negate",
    "abs",
    "upper",
    "lower",
    "length",
    "substring",
    "position",
    "trim",
    "ltrim",
    "rtrim",
    "date_part",
    "date_trunc",
    "ceil",
    "floor",
    "round",
    "unix_timestamp",
    "to_timestamp_ltz",
    "mod",
    "concat",
];

/// Every name, for suggestions.
pub fn names() -> impl Iterator<Item = &'static str> {
    NAMES.into_iter()
}

/// Name of a function.
pub fn name(function: FunctionId) -> &'static str {
    NAMES[usize::from(function.0)]
}

/// Picks the function called `name` for arguments of these types.
pub fn resolve(name: &str, arguments: &[DataType]) -> Result<Resolved> {
    use DataType::{BigInt, Date, Decimal, Double, Int, Interval, Null, Text, Timestamp};
    let lower = name.to_ascii_lowercase();
    let position = NAMES.iter().position(|&known| known == lower);
    let Some(position) = position else {
        return Err(Error::new(Code::UnknownFunction, format!("function `{name}` not found")));
    };
    let function = FunctionId(position as u16);
    let types: Vec<String> = arguments.iter().map(DataType::to_string).collect();
    let misfit = || Error::new(Code::Type, format!("`{lower}` does not take ({})", types.join(", ")));
    let digits = |data_type| match data_type {
        Int => Some((10, 0)),
        BigInt => Some((19, 0)),
        Decimal { precision, scale } => Some((precision, scale)),
        _ => None,
    };
    let (arguments, returns) = match (lower.as_str(), arguments) {
        ("+" | "-", &[time @ Timestamp { .. }, Interval]) => (vec![time, Interval], time),
        ("-", &[Timestamp { .. }, Timestamp { .. }]) => (arguments.to_vec(), Interval),
        ("+" | "-" | "*" | "/" | "%", &[Double, other] | &[other, Double]) if other.is_numeric() => {
            (vec![Double, Double], Double)
        }
        ("+" | "-" | "*" | "/" | "%" | "mod", &[left, right]) if left.is_integer() && right.is_integer() => {
            (vec![BigInt, BigInt], BigInt)
        }
        ("*", &[left, right]) => {
            let ((p, s), (q, t)) = digits(left).zip(digits(right)).ok_or_else(misfit)?;
            (vec![left, right], Decimal { precision: (p + q + 1).min(38), scale: s + t })
        }
        ("+" | "-" | "/" | "%" | "mod", &[left, right]) => {
            let ((p, s), (q, t)) = digits(left).zip(digits(right)).ok_or_else(misfit)?;
            let scale = s.max(t);
            let wide = Decimal { precision: ((p - s).max(q - t) + scale + 1).min(38), scale };
            (vec![wide, wide], wide)
        }
        ("negate" | "abs" | "ceil" | "floor" | "round", &[number]) if number.is_numeric() => (vec![number], number),
        ("upper" | "lower" | "trim" | "ltrim" | "rtrim", &[Text | Null]) => (vec![Text], Text),
        ("length", &[Text]) => (vec![Text], BigInt),
        ("substring", &[Text, from]) if from.is_integer() => (vec![Text, BigInt], Text),
        ("substring", &[Text, from, to]) if from.is_integer() && to.is_integer() => (vec![Text, BigInt, BigInt], Text),
        ("||", &[Text, Text]) => (vec![Text, Text], Text),
        ("position", &[Text, Text]) => (vec![Text, Text], BigInt),
        ("date_part", &[Text, time]) if time.is_timestamp() || time == Date => (vec![Text, time], BigInt),
        ("date_trunc", &[Text, time]) if time.is_timestamp() => (vec![Text, time], time),
        ("unix_timestamp", &[time]) if time.is_timestamp() => (vec![time], BigInt),
        ("to_timestamp_ltz", &[number]) if number.is_integer() => {
            (vec![BigInt], Timestamp { precision: 3, zoned: true })
        }
        ("to_timestamp_ltz", &[number, Int]) if number.is_integer() => {
            (vec![BigInt, Int], Timestamp { precision: 3, zoned: true })
        }
        _ => return Err(misfit()),
    };
    Ok(Resolved { function, arguments, returns })
}
