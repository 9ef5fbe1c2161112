//! Maps. No key is NULL and none stands twice; entries are in order of the keys.

use super::array::{build, element_of};
use super::math::function;
use super::typing::{Fit, common};
use super::{Call, Function};
use crate::batch::{Data, Vector};
use crate::error::{Code, Error, Result};
use crate::expr::kernels::each_row;
use crate::nested::{List, Place, Writer, entry_type, payload, width};
use crate::types::{DataType, Member, Value};
use DataType::{Array, Boolean, Map, Row};
use bumpalo::collections::Vec as Parts;

pub(super) const FUNCTIONS: &[Function] = &[
    function!("map", [], "keys and values in turn, or an array of keys and one of values", "The map of these entries.", of_pairs, make, "map('a', 1, 'b', 2)" => r#"{"a":1,"b":2}"#),
    function!("map_from_arrays", [], "an array of keys and one of values", "The map of these entries.", of_arrays, from_arrays, "map_from_arrays(['a', 'b'], [1, 2])" => r#"{"a":1,"b":2}"#),
    function!("map_from_entries", [], "an array of rows of a key and a value", "The map of these entries.", of_entries, from_entries, "map_from_entries(map_entries(MAP {'a': 1}))" => r#"{"a":1}"#),
    function!("map_keys", [], "a map", "Its keys, in order.", keys_typing, |call| parts(call, 0), "map_keys(MAP {'a': 1})" => r#"["a"]"#),
    function!("map_values", [], "a map", "Its values, in order of the keys.", values_typing, |call| parts(call, 1), "map_values(MAP {'a': 1})" => "[1]"),
    function!("map_entries", [], "a map", "Its entries as rows of a key and a value.", entries_typing, |call| Ok(call.arguments[0]), "map_entries(MAP {'a': 1})" => r#"[{"key":"a","value":1}]"#),
    function!("map_contains", ["map_contains_key"], "a map and a key", "Whether the key is there.", contains_typing, contains, "map_contains(MAP {'a': 1}, 'b')" => "FALSE"),
];

fn is_key(key: DataType) -> bool {
    !key.is_nested() && key != DataType::Json
}

fn of_pairs(types: &[DataType], literals: &[Option<&Value>]) -> Fit {
    if let [Array(_), Array(_)] = types {
        return of_arrays(types, literals);
    }
    let (mut key, mut value) = (DataType::Null, DataType::Null);
    for pair in types.chunks(2) {
        let &[next_key, next_value] = pair else { return None };
        (key, value) = (common(key, next_key)?, common(value, next_value)?);
    }
    let arguments = types.iter().enumerate().map(|(place, _)| if place % 2 == 0 { key } else { value });
    is_key(key).then(|| (arguments.collect(), DataType::map(key, value)))
}

fn of_arrays(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    match *types {
        [Array(key), Array(value)] if is_key(*key) => Some((types.to_vec(), DataType::map(*key, *value))),
        _ => None,
    }
}

fn of_entries(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    match *types {
        [Array(Row([key, value]))] if is_key(key.data_type) => {
            Some((types.to_vec(), DataType::map(key.data_type, value.data_type)))
        }
        _ => None,
    }
}

fn members(types: &[DataType]) -> Option<&'static [Member]> {
    match *types {
        [Map(members)] => Some(members),
        _ => None,
    }
}

fn keys_typing(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    members(types).map(|members| (types.to_vec(), DataType::array(members[0].data_type)))
}

fn values_typing(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    members(types).map(|members| (types.to_vec(), DataType::array(members[1].data_type)))
}

fn entries_typing(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    members(types).map(|members| (types.to_vec(), DataType::array(entry_type(members))))
}

fn contains_typing(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    match *types {
        [Map(members), key] => {
            let of = members[0].data_type;
            common(of, key).map(|_| (vec![types[0], of], Boolean))
        }
        _ => None,
    }
}

/// The entry of a key, which is a part.
pub(super) fn entry<'a>(entries: List<'a>, place: Place, key: &[u8]) -> Option<&'a [u8]> {
    let (mut low, mut high) = (0, entries.len());
    while low < high {
        let middle = low + (high - low) / 2;
        let found = entries.get(middle);
        match place.of(payload(found)).cmp(key) {
            std::cmp::Ordering::Equal => return Some(found),
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
        }
    }
    None
}

fn map_of(call: &Call<'_, '_>) -> &'static [Member] {
    match call.returns {
        Map(members) => members,
        _ => &[],
    }
}

/// Maps of entries that `write` puts one behind the other; it says where each ends.
fn of_rows<'a>(
    call: &Call<'_, 'a>,
    with_nulls: bool,
    mut write: impl FnMut(&mut Writer, usize, &mut Vec<usize>) -> Result<()>,
) -> Result<Vector<'a>> {
    let members = map_of(call);
    let (place, width) = (Place::new(members, 0), width(entry_type(members)));
    let (mut rows, mut ends) = (Writer::default(), Vec::new());
    build(call, if with_nulls { None } else { call.nulls }, |writer, row| {
        rows.clear();
        ends.clear();
        write(&mut rows, row, &mut ends)?;
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let entries = starts.zip(&ends).map(|(start, &end)| &rows.bytes()[start..end]);
        writer.map(&mut Parts::from_iter_in(entries, call.scratch), place, width)?;
        Ok(true)
    })
}

fn make<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    if matches!(call.expressions, [keys, _] if matches!(keys.data_type, Array(_))) {
        return from_arrays(call);
    }
    let members = map_of(call);
    let widths = [0, 1].map(|number| width(members[number].data_type));
    of_rows(call, true, |rows, row, ends| {
        for pair in call.arguments.chunks_exact(2) {
            rows.begin_value();
            let open = rows.open();
            for (number, value) in pair.iter().enumerate() {
                rows.row_of(value, row, members[number].data_type);
                rows.end_part(open, widths[number]);
            }
            rows.close_row(open);
            ends.push(rows.bytes().len());
        }
        Ok(())
    })
}

fn from_arrays<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    let members = map_of(call);
    let widths = [0, 1].map(|number| width(members[number].data_type));
    let list = |number: usize, row: usize| List::new(call.arguments[number].texts()[row].as_bytes(), widths[number]);
    of_rows(call, false, |rows, row, ends| {
        let (keys, values) = (list(0, row), list(1, row));
        if keys.len() != values.len() {
            let message = format!("a map of {} keys has {} values", keys.len(), values.len());
            return Err(Error::new(Code::Cast, message));
        }
        for (key, value) in keys.iter().zip(values.iter()) {
            rows.begin_value();
            let open = rows.open();
            rows.part(key);
            rows.end_part(open, widths[0]);
            rows.part(value);
            rows.end_part(open, widths[1]);
            rows.close_row(open);
            ends.push(rows.bytes().len());
        }
        Ok(())
    })
}

fn from_entries<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    let width = width(element_of(call.data_type(0)));
    of_rows(call, false, |rows, row, ends| {
        for entry in List::new(call.arguments[0].texts()[row].as_bytes(), width).iter() {
            if crate::nested::is_null(entry) {
                return Err(Error::new(Code::Cast, "an entry of a map is NULL"));
            }
            rows.part(entry);
            ends.push(rows.bytes().len());
        }
        Ok(())
    })
}

/// The keys or the values.
fn parts<'a>(call: &Call<'_, 'a>, which: usize) -> Result<Vector<'a>> {
    let Map(members) = call.data_type(0) else { return Ok(call.arguments[0]) };
    let (place, entry, part) =
        (Place::new(members, which), width(entry_type(members)), width(members[which].data_type));
    build(call, call.nulls, |writer, row| {
        let open = writer.open();
        for entry in List::new(call.arguments[0].texts()[row].as_bytes(), entry).iter() {
            writer.part(place.of(payload(entry)));
            writer.end_part(open, part);
        }
        writer.close_list(open, part);
        Ok(true)
    })
}

fn contains<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    let Map(members) = call.data_type(0) else { return Ok(call.arguments[0]) };
    let (place, width) = (Place::new(members, 0), width(entry_type(members)));
    let mut key = Writer::default();
    let truth = each_row(call.rows, call.nulls, call.scratch, |row| {
        key.clear();
        key.row_of(&call.arguments[1], row, members[0].data_type);
        let entries = List::new(call.arguments[0].texts()[row].as_bytes(), width);
        Ok(i64::from(entry(entries, place, key.bytes()).is_some()))
    })?;
    Ok(Vector { data: Data::I64(truth), nulls: call.nulls })
}
