//! Arrays, maps and rows as values: each is one stretch of bytes, held as text is.
//!
//! Batches, exchange, hashing, groups, joins, stores and saved state therefore carry nested values as they
//! carry text. The type is not in the bytes; whoever reads them knows it. The form is canonical, so that
//! two values are equal exactly when their bytes are, and it is in order, so that comparing bytes compares
//! values: arrays by their first different element, a NULL behind all others, then the shorter first.
//!
//! ```text
//! part     1, payload                      a value
//!          2, zeros of a fixed payload     NULL
//! array    part.., 0                       elements of one width
//!          part.., 0, ends.., count        elements of any length
//! map      as an array of rows (key, value), in order of the keys, none twice
//! row      part.., ends..                  one per member; ends of those members that have no one width
//! payload  BOOLEAN to BIGINT, times        8 bytes, highest first, the sign turned
//!          DECIMAL of 19 to 38 digits      16 bytes, the same
//!          DOUBLE                          8 bytes of its order; -0.0 is 0.0, NaNs are one, above infinity
//!          STRING, JSON                    bytes, a 0 as 0 255; then 0 1
//!          ARRAY, MAP, ROW                 as above
//! ```
//!
//! Ends and counts are 32 bits, lowest first; an end is where a part ends, from the start of its array or
//! row. So an element or a member is found without reading those before it.
//!
//! | module | what it does |
//! |---|---|
//! | `read` | elements, members, and columns of them |
//! | `write` | values being written |
//! | `json` | from and to JSON |

mod json;
mod read;
mod write;

pub use json::{Sink, check_json, parse, to_json};
pub use read::{Leaf, List, Place, column, entry_type, is_null, payload};
pub(crate) use read::{leaf, text_of};
pub use write::{BYTES_MAX, Open, Writer};

use crate::types::{DataType, Member, Physical};

/// The first byte of a part that is a value.
pub(crate) const VALUE: u8 = 1;
/// The first byte of a part that is NULL.
pub(crate) const NULL: u8 = 2;
/// Ends the elements of an array.
const END: u8 = 0;
/// Ends a text.
const TEXT_END: [u8; 2] = [0, 1];
/// Stands for a 0 within a text.
const TEXT_ZERO: [u8; 2] = [0, 255];

/// Types in types, at most.
pub const DEPTH_MAX: usize = 16;

/// Bytes of a part's payload, where all values of the type have as many.
pub fn width(data_type: DataType) -> Option<usize> {
    match data_type {
        DataType::Row(members) => members.iter().map(|member| Some(1 + width(member.data_type)?)).sum(),
        plain => match plain.physical() {
            Physical::I64 | Physical::F64 => Some(8),
            Physical::I128 => Some(16),
            Physical::Text => None,
        },
    }
}

/// How many types stand in each other.
pub fn depth(data_type: DataType) -> usize {
    let deepest = |members: &[Member]| members.iter().map(|member| depth(member.data_type)).max().unwrap_or(0);
    match data_type {
        DataType::Array(element) => 1 + depth(*element),
        DataType::Map(members) | DataType::Row(members) => 1 + deepest(members),
        _ => 0,
    }
}

/// The type in which two nested values can be compared or mixed: that in which their parts, each with the
/// one in its place, can. Names are the left one's.
pub(crate) fn common(
    left: DataType,
    right: DataType,
    of_parts: &impl Fn(DataType, DataType) -> Option<DataType>,
) -> Option<DataType> {
    let members = |left: &[Member], right: &[Member]| {
        let parts = left.iter().zip(right);
        let parts = parts.map(|(left, right)| Some((left.name, of_parts(left.data_type, right.data_type)?)));
        (left.len() == right.len()).then(|| parts.collect::<Option<Vec<_>>>()).flatten()
    };
    match (left, right) {
        (DataType::Array(left), DataType::Array(right)) => Some(DataType::array(of_parts(*left, *right)?)),
        (DataType::Map(left), DataType::Map(right)) => {
            let parts = members(left, right)?;
            Some(DataType::map(parts[0].1, parts[1].1))
        }
        (DataType::Row(left), DataType::Row(right)) => Some(DataType::row(members(left, right)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
