//! Names of types, and the type that two types meet in.

mod nested;

use crate::types::{DECIMAL_DIGITS_MAX, DataType};
use crate::zone::Zone;

/// The types there are, for errors.
pub(super) const NAMES: &str = "types: BOOLEAN, INT, BIGINT, DOUBLE, DECIMAL(p, s), STRING, TIMESTAMP(p), \
                                TIMESTAMP_LTZ(p), DATE, ARRAY<T>, MAP<K, V>, ROW<name T, ..>, JSON";

/// The type written as `text`: `DECIMAL(10, 2)`, `TIMESTAMP(3)`, `varchar`, `ARRAY<INT>`, .. Instants are in UTC.
pub fn parse_type(text: &str) -> Option<DataType> {
    nested::parse(text, 0)
}

/// A type that is not made of others.
fn parse_plain(text: &str) -> Option<DataType> {
    let upper = text.trim().to_ascii_uppercase();
    let (name, arguments, behind) = match upper.split_once('(') {
        Some((name, rest)) => {
            let (arguments, behind) = rest.split_once(')')?;
            let arguments: Option<Vec<u8>> = arguments.split(',').map(|number| number.trim().parse().ok()).collect();
            (name.trim(), arguments, behind.trim())
        }
        None => (upper.as_str(), Some(Vec::new()), ""),
    };
    let words: Vec<&str> = name.split_whitespace().chain(behind.split_whitespace()).collect();
    let name = words.join(" ");
    if matches!(name.as_str(), "VARCHAR" | "CHAR" | "CHARACTER VARYING" | "CHARACTER" | "NVARCHAR") {
        return Some(DataType::Text);
    }
    let arguments = arguments?;
    let plain = |data_type| arguments.is_empty().then_some(data_type);
    let timestamp = |zone| match arguments[..] {
        [] => Some(DataType::Timestamp { precision: 3, zone }),
        [precision @ 0..=6] => Some(DataType::Timestamp { precision, zone }),
        // Nanoseconds are declared at times; microseconds are what is kept.
        [7..=9] => Some(DataType::Timestamp { precision: 6, zone }),
        _ => None,
    };
    match name.as_str() {
        "BOOLEAN" | "BOOL" => plain(DataType::Boolean),
        "TINYINT" | "SMALLINT" | "INT" | "INTEGER" | "INT2" | "INT4" => plain(DataType::Int),
        "BIGINT" | "INT8" | "LONG" => plain(DataType::BigInt),
        "DOUBLE" | "DOUBLE PRECISION" | "FLOAT" | "REAL" | "FLOAT8" | "FLOAT4" => plain(DataType::Double),
        "DECIMAL" | "DEC" | "NUMERIC" => match arguments[..] {
            [] => Some(DataType::Decimal { precision: 10, scale: 0 }),
            [precision @ 1..=DECIMAL_DIGITS_MAX] => Some(DataType::Decimal { precision, scale: 0 }),
            [precision @ 1..=DECIMAL_DIGITS_MAX, scale] if scale <= precision => {
                Some(DataType::Decimal { precision, scale })
            }
            _ => None,
        },
        "STRING" | "TEXT" => plain(DataType::Text),
        "TIMESTAMP" | "DATETIME" | "TIMESTAMP WITHOUT TIME ZONE" | "TIMESTAMP_NTZ" => timestamp(None),
        "TIMESTAMP_LTZ" | "TIMESTAMPTZ" | "TIMESTAMP WITH TIME ZONE" | "TIMESTAMP WITH LOCAL TIME ZONE" => {
            timestamp(Some(Zone::UTC))
        }
        "DATE" => plain(DataType::Date),
        "INTERVAL" => plain(DataType::Interval),
        "JSON" | "JSONB" | "VARIANT" => plain(DataType::Json),
        _ => None,
    }
}

/// Whole and fixed-point types as (digits before the point, digits behind it).
fn digits(data_type: DataType) -> Option<(u8, u8)> {
    match data_type {
        DataType::Int => Some((10, 0)),
        DataType::BigInt => Some((19, 0)),
        DataType::Decimal { precision, scale } => Some((precision - scale, scale)),
        _ => None,
    }
}

/// The type in which values of both can be compared or mixed without loss; DOUBLE wins over all
/// numbers. `None` where there is none.
pub(super) fn common(left: DataType, right: DataType) -> Option<DataType> {
    use DataType::{Date, Decimal, Double, Null, Timestamp};
    match (left, right) {
        _ if left == right => Some(left),
        (Null, other) | (other, Null) => Some(other),
        (Double, other) | (other, Double) if other.is_numeric() => Some(Double),
        _ if left.is_integer() && right.is_integer() => Some(DataType::BigInt),
        (Timestamp { precision: p, zone: z }, Timestamp { precision: q, zone: y }) => {
            Some(Timestamp { precision: p.max(q), zone: z.or(y) })
        }
        (Date, timestamp @ Timestamp { .. }) | (timestamp @ Timestamp { .. }, Date) => Some(timestamp),
        _ if left.is_nested() || right.is_nested() => nested::common(left, right),
        _ => {
            let ((whole, scale), (other_whole, other_scale)) = (digits(left)?, digits(right)?);
            let scale = scale.max(other_scale);
            let precision = (whole.max(other_whole) + scale).min(DECIMAL_DIGITS_MAX);
            Some(Decimal { precision, scale })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_types() {
        for (text, data_type) in [
            ("int", Some(DataType::Int)),
            ("Decimal(10,2)", Some(DataType::Decimal { precision: 10, scale: 2 })),
            ("NUMERIC(38)", Some(DataType::Decimal { precision: 38, scale: 0 })),
            ("DECIMAL(2,3)", None),
            ("DECIMAL(39)", None),
            ("varchar(20)", Some(DataType::Text)),
            ("VARCHAR(MAX)", Some(DataType::Text)),
            ("TIMESTAMP(3) WITH LOCAL TIME ZONE", Some(DataType::Timestamp { precision: 3, zone: Some(Zone::UTC) })),
            ("TIMESTAMP_LTZ(6)", Some(DataType::Timestamp { precision: 6, zone: Some(Zone::UTC) })),
            ("timestamp", Some(DataType::Timestamp { precision: 3, zone: None })),
            ("DOUBLE PRECISION", Some(DataType::Double)),
            ("MAP<INT, INT>", Some(DataType::map(DataType::Int, DataType::Int))),
            ("jsonb", Some(DataType::Json)),
        ] {
            assert_eq!(parse_type(text), data_type, "{text}");
        }
    }

    #[test]
    fn every_type_is_read_back_as_it_is_printed() {
        for data_type in [
            DataType::Boolean,
            DataType::Int,
            DataType::BigInt,
            DataType::Double,
            DataType::Decimal { precision: 38, scale: 6 },
            DataType::Text,
            DataType::Timestamp { precision: 0, zone: Some(Zone::UTC) },
            DataType::Timestamp { precision: 6, zone: None },
            DataType::Date,
            DataType::Interval,
        ] {
            assert_eq!(parse_type(&data_type.to_string()), Some(data_type));
        }
    }

    #[test]
    fn common_types_lose_nothing() {
        let decimal = |precision, scale| DataType::Decimal { precision, scale };
        assert_eq!(common(DataType::Int, DataType::BigInt), Some(DataType::BigInt));
        assert_eq!(common(DataType::Int, decimal(10, 2)), Some(decimal(12, 2)));
        assert_eq!(common(DataType::BigInt, decimal(38, 30)), Some(decimal(38, 30)));
        assert_eq!(common(decimal(5, 1), DataType::Double), Some(DataType::Double));
        assert_eq!(common(DataType::Text, DataType::Int), None);
        assert_eq!(common(DataType::Null, DataType::Text), Some(DataType::Text));
    }
}
