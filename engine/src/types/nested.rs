//! Types made of types: arrays, maps, rows.
//!
//! A [`DataType`] is copied everywhere, so the parts of one are interned: each different list of parts is
//! kept once, for as long as the process lives. Types come from scripts and schemas, never from rows.

use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;
use std::sync::{LazyLock, Mutex, PoisonError};

use super::DataType;

/// One named part of a ROW; of a MAP's entries `key` and `value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Member {
    /// Its name; looked up without regard to case.
    pub name: &'static str,
    /// Its type.
    pub data_type: DataType,
}

static TYPES: LazyLock<Mutex<HashSet<&'static DataType>>> = LazyLock::new(Mutex::default);
static MEMBERS: LazyLock<Mutex<HashSet<&'static [Member]>>> = LazyLock::new(Mutex::default);
static NAMES: LazyLock<Mutex<HashSet<&'static str>>> = LazyLock::new(Mutex::default);

fn interned<T: ?Sized + Eq + Hash>(
    known: &Mutex<HashSet<&'static T>>,
    value: &T,
    keep: impl FnOnce(&T) -> &'static T,
) -> &'static T {
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = known.get(value) {
        return found;
    }
    let kept = keep(value);
    known.insert(kept);
    kept
}

fn members(members: &[Member]) -> &'static [Member] {
    interned(&MEMBERS, members, |members| Box::leak(members.to_vec().into_boxed_slice()))
}

impl Member {
    fn of(name: &str, data_type: DataType) -> Member {
        Member { name: interned(&NAMES, name, |name| Box::leak(name.to_owned().into_boxed_str())), data_type }
    }
}

impl DataType {
    /// ARRAY of `element`.
    pub fn array(element: DataType) -> DataType {
        DataType::Array(interned(&TYPES, &element, |element| Box::leak(Box::new(*element))))
    }

    /// MAP from `key` to `value`.
    pub fn map(key: DataType, value: DataType) -> DataType {
        DataType::Map(members(&[Member::of("key", key), Member::of("value", value)]))
    }

    /// ROW of named parts.
    pub fn row<'n>(parts: impl IntoIterator<Item = (&'n str, DataType)>) -> DataType {
        let parts: Vec<Member> = parts.into_iter().map(|(name, data_type)| Member::of(name, data_type)).collect();
        DataType::Row(members(&parts))
    }

    /// ARRAY, MAP or ROW: a value of it is held as [`crate::nested`] says.
    pub const fn is_nested(self) -> bool {
        matches!(self, DataType::Array(_) | DataType::Map(_) | DataType::Row(_))
    }

    /// The same type with every part, itself included, as `change` makes it from the inside out.
    pub(super) fn rebuilt(self, change: &impl Fn(DataType) -> DataType) -> DataType {
        let parts = |parts: &[Member]| {
            let parts = parts.iter().map(|part| Member { data_type: part.data_type.rebuilt(change), ..*part });
            members(&parts.collect::<Vec<_>>())
        };
        match self {
            DataType::Array(element) => DataType::array(element.rebuilt(change)),
            DataType::Map(entry) => DataType::Map(parts(entry)),
            DataType::Row(row) => DataType::Row(parts(row)),
            plain => change(plain),
        }
    }
}

/// Whether a name stands for itself in SQL, without quotes.
fn is_plain(name: &str) -> bool {
    let mut characters = name.chars();
    characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && characters.all(|next| next.is_ascii_alphanumeric() || next == '_')
}

/// The type as it is written in SQL.
pub(super) fn show(data_type: DataType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match data_type {
        DataType::Array(element) => write!(f, "ARRAY<{element}>"),
        DataType::Map(entry) => write!(f, "MAP<{}, {}>", entry[0].data_type, entry[1].data_type),
        DataType::Row(parts) => {
            f.write_str("ROW<")?;
            for (number, Member { name, data_type }) in parts.iter().enumerate() {
                let comma = if number > 0 { ", " } else { "" };
                let quote = if is_plain(name) { "" } else { "`" };
                write!(f, "{comma}{quote}{name}{quote} {data_type}")?;
            }
            f.write_str(">")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zone::Zone;

    #[test]
    fn equal_types_are_one() {
        let row = || DataType::row([("a", DataType::array(DataType::Int)), ("b c", DataType::Text)]);
        assert_eq!(row(), row());
        let (DataType::Row(left), DataType::Row(right)) = (row(), row()) else { panic!("made as rows") };
        assert!(std::ptr::eq(left, right));
        assert_eq!(row().to_string(), "ROW<a ARRAY<INT>, `b c` STRING>");
        assert_ne!(DataType::map(DataType::Int, DataType::Text), DataType::map(DataType::Text, DataType::Int));
    }

    #[test]
    fn zones_reach_every_part() {
        let of = |zone| DataType::map(DataType::Text, DataType::array(DataType::Timestamp { precision: 3, zone }));
        let berlin = crate::zone::named("Europe/Berlin").unwrap();
        assert_eq!(of(Some(Zone::UTC)).in_zone(berlin), of(Some(berlin)));
        assert_eq!(of(None).in_zone(berlin), of(None));
    }
}
