//! SQL types, and the four physical shapes that carry them.
//!
//! Everything whole or fixed-point is an `i64` column; only decimals of more than 18 digits need
//! `i128`, only DOUBLE is binary floating point. A decimal's scale stands in its type, never in a value.

mod nested;

use std::fmt;

use crate::zone::Zone;

pub use nested::Member;

/// The most digits a decimal in an `i64` column can have.
pub const DECIMAL_DIGITS_I64: u8 = 18;
/// The most digits a decimal can have at all.
pub const DECIMAL_DIGITS_MAX: u8 = 38;
/// Microseconds in a second: the unit of TIMESTAMP and INTERVAL.
pub const MICROS_PER_SECOND: i64 = 1_000_000;
/// Microseconds in a day.
pub const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// A SQL type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DataType {
    /// The type of a bare NULL; coerces to anything.
    Null,
    /// TRUE or FALSE, held as 1 or 0.
    Boolean,
    /// 32-bit whole number; arithmetic on it gives [`DataType::BigInt`].
    Int,
    /// 64-bit whole number.
    BigInt,
    /// IEEE 754 binary64.
    Double,
    /// Exact fixed point: the value times `10^scale`.
    Decimal {
        /// Digits in all, 1 to 38; up to 18 are held as `i64`, more as `i128`.
        precision: u8,
        /// Digits behind the point.
        scale: u8,
    },
    /// UTF-8 text.
    Text,
    /// Microseconds since 1970-01-01 00:00:00, printed with `precision` digits of a second.
    Timestamp {
        /// Digits of a second shown, 0 to 6.
        precision: u8,
        /// An instant (TIMESTAMP_LTZ), read and printed as clocks of this zone show it (with `Z` in UTC, else
        /// with the offset); `None` for what a clock on some wall shows.
        zone: Option<Zone>,
    },
    /// Days since 1970-01-01.
    Date,
    /// A span of microseconds.
    Interval,
    /// JSON: text that has been checked, without spaces between its parts.
    Json,
    /// Any number of values of one type, in order; see [`crate::nested`].
    Array(&'static DataType),
    /// Values by key: the members `key` and `value` of its entries, in order of the keys.
    Map(&'static [Member]),
    /// Named parts of any types: ROW, STRUCT.
    Row(&'static [Member]),
}

/// How a column of a type is held in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Physical {
    /// `i64`.
    I64,
    /// `i128`.
    I128,
    /// `f64`.
    F64,
    /// [`crate::batch::Text`].
    Text,
}

impl Physical {
    /// Bytes of a value in a column, without the text that a long one points to.
    pub const fn bytes(self) -> usize {
        match self {
            Physical::I64 | Physical::F64 => 8,
            Physical::I128 | Physical::Text => 16,
        }
    }
}

impl DataType {
    /// The shape in memory of a column of this type.
    pub const fn physical(self) -> Physical {
        match self {
            DataType::Double => Physical::F64,
            DataType::Text | DataType::Json => Physical::Text,
            DataType::Array(_) | DataType::Map(_) | DataType::Row(_) => Physical::Text,
            DataType::Decimal { precision, .. } if precision > DECIMAL_DIGITS_I64 => Physical::I128,
            _ => Physical::I64,
        }
    }

    /// INT, BIGINT, DECIMAL or DOUBLE.
    pub const fn is_numeric(self) -> bool {
        matches!(self, DataType::Int | DataType::BigInt | DataType::Double | DataType::Decimal { .. })
    }

    /// INT or BIGINT.
    pub const fn is_integer(self) -> bool {
        matches!(self, DataType::Int | DataType::BigInt)
    }

    /// TIMESTAMP or TIMESTAMP_LTZ of any precision.
    pub const fn is_timestamp(self) -> bool {
        matches!(self, DataType::Timestamp { .. })
    }

    /// An instant's zone.
    pub const fn zone(self) -> Option<Zone> {
        match self {
            DataType::Timestamp { zone, .. } => zone,
            _ => None,
        }
    }

    /// The same type, with instants in it as clocks of `zone` show them.
    pub fn in_zone(self, zone: Zone) -> Self {
        self.rebuilt(&|part| match part {
            DataType::Timestamp { precision, zone: Some(_) } => DataType::Timestamp { precision, zone: Some(zone) },
            other => other,
        })
    }

    /// Whether a timestamp of the other type at the same moment is the same number of microseconds.
    pub fn counts_as(self, other: DataType) -> bool {
        let is_utc = |zone: Option<Zone>| zone.is_none_or(Zone::is_utc);
        match (self.zone(), other.zone()) {
            (Some(_), Some(_)) => true,
            (left, right) => is_utc(left) && is_utc(right),
        }
    }

    /// Digits behind the point: a decimal's scale, 0 for all else.
    pub const fn scale(self) -> u8 {
        match self {
            DataType::Decimal { scale, .. } => scale,
            _ => 0,
        }
    }
}

impl fmt::Display for DataType {
    /// The type as it is written in SQL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DataType::Null => f.write_str("NULL"),
            DataType::Boolean => f.write_str("BOOLEAN"),
            DataType::Int => f.write_str("INT"),
            DataType::BigInt => f.write_str("BIGINT"),
            DataType::Double => f.write_str("DOUBLE"),
            DataType::Decimal { precision, scale } => write!(f, "DECIMAL({precision}, {scale})"),
            DataType::Text => f.write_str("STRING"),
            DataType::Timestamp { precision, zone: None } => write!(f, "TIMESTAMP({precision})"),
            DataType::Timestamp { precision, zone: Some(_) } => write!(f, "TIMESTAMP_LTZ({precision})"),
            DataType::Date => f.write_str("DATE"),
            DataType::Interval => f.write_str("INTERVAL"),
            DataType::Json => f.write_str("JSON"),
            DataType::Array(_) | DataType::Map(_) | DataType::Row(_) => nested::show(*self, f),
        }
    }
}

/// One value of a query: a literal, or a constant folded from literals.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// Any type of shape [`Physical::I64`].
    I64(i64),
    /// Any type of shape [`Physical::I128`].
    I128(i128),
    /// DOUBLE.
    F64(f64),
    /// STRING and JSON.
    Text(String),
    /// ARRAY, MAP and ROW, as [`crate::nested`] says.
    Nested(Vec<u8>),
}

/// A named, typed column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Name as the user wrote it; looked up without regard to case.
    pub name: String,
    /// Its type.
    pub data_type: DataType,
}

/// The columns of a table, a plan node or a result, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    /// The columns.
    pub fields: Vec<Field>,
}

impl Schema {
    /// A schema of `(name, type)` pairs.
    pub fn of<const N: usize>(fields: [(&str, DataType); N]) -> Self {
        let fields = fields.into_iter().map(|(name, data_type)| Field { name: name.to_owned(), data_type });
        Schema { fields: fields.collect() }
    }

    /// Position of the column called `name`, without regard to case; an exact match wins.
    pub fn position(&self, name: &str) -> Option<usize> {
        let exact = self.fields.iter().position(|field| field.name == name);
        exact.or_else(|| self.fields.iter().position(|field| field.name.eq_ignore_ascii_case(name)))
    }

    /// Physical shapes of the columns, in order.
    pub fn layout(&self) -> Vec<Physical> {
        self.fields.iter().map(|field| field.data_type.physical()).collect()
    }
}
