//! Arrays. Elements count from 1. Elements are compared, sorted and copied as the bytes they are, whatever
//! their type; see [`crate::nested`].

use super::math::function;
use super::text::at;
use super::typing::{Fit, common};
use super::{Call, Function};
use crate::batch::{Data, Nulls, Vector};
use crate::error::{Code, Error, Result};
use crate::expr::cast::show_part;
use crate::expr::kernels::{each_row, each_row_or_null, text};
use crate::nested::{self, BYTES_MAX, Leaf, List, Place, Writer, column, is_null, leaf, payload, width};
use crate::types::{DECIMAL_DIGITS_MAX, DataType, Value};
use DataType::{Array, BigInt, Boolean, Decimal, Double, Map, Row, Text};
use bumpalo::collections::Vec as Parts;
use std::cmp::Ordering;

pub(super) const FUNCTIONS: &[Function] = &[
    function!("array", ["list_value"], "values of one type", "The array of these values.", of_values, make, "array(1, 2)" => "[1,2]"),
    function!("element_at", ["list_element", "map_extract_value"], "an array and which element from 1, or a map and a key", "The element, or the key's value; NULL if there is none.", element_typing, element_at, "element_at([5, 6], 2)" => "6"),
    function!("cardinality", ["array_length", "array_size", "list_size", "map_size"], "an array or a map", "How many elements or entries.", count_typing, count, "cardinality([5, 6])" => "2"),
    function!("array_contains", ["list_contains", "array_has", "list_has"], "an array and a value", "Whether an element equals the value.", with_value_to_b, |call| find(call, Find::Contains), "array_contains([5, 6], 6)" => "TRUE"),
    function!("any_equal", [], "an array and a value", "`value = ANY(array)`: as array_contains, but NULL where no element equals it and one is NULL.", with_value_to_b, |call| find(call, Find::Any), "any_equal([5, null], 6)" => "NULL"),
    function!("array_position", ["list_position", "list_indexof"], "an array and a value", "Which element is the first that equals the value; NULL if none does.", with_value_to_n, |call| find(call, Find::Position), "array_position([5, 6], 6)" => "2"),
    function!("array_concat", ["array_cat", "list_concat"], "arrays", "Their elements, one after the other.", arrays, concat, "array_concat([1], [2, 3])" => "[1,2,3]"),
    function!("array_append", ["list_append", "array_push_back"], "an array and a value", "With the value behind.", with_value, |call| append(call, false), "array_append([1], 2)" => "[1,2]"),
    function!("array_prepend", ["list_prepend", "array_push_front"], "a value and an array, in either order", "With the value in front.", value_and_array, prepend, "array_prepend(1, [2])" => "[1,2]"),
    function!("array_remove", [], "an array and a value", "Without the elements that equal the value.", with_value, remove, "array_remove([1, 2, 1], 1)" => "[2]"),
    function!("array_distinct", ["list_distinct"], "an array", "Each different element once, in order of the first.", array, distinct, "array_distinct([2, 1, 2])" => "[2,1]"),
    function!("array_sort", ["list_sort"], "an array, and 'ASC' or 'DESC'", "In order, NULLs last.", sort_typing, sort, "array_sort([2, 3, 1], 'DESC')" => "[3,2,1]"),
    function!("array_reverse", ["list_reverse"], "an array", "Backwards.", array, reverse, "array_reverse([1, 2])" => "[2,1]"),
    function!("array_slice", ["list_slice"], "an array, from which element, and to which", "A part of the array, both ends included.", slice_typing, slice, "array_slice([1, 2, 3], 2, 3)" => "[2,3]"),
    function!("array_union", [], "two arrays", "Each different element of both once.", two_arrays, |call| sets(call, Sets::Union), "array_union([1, 2], [2, 3])" => "[1,2,3]"),
    function!("array_intersect", ["list_intersect"], "two arrays", "Each different element that both have once.", two_arrays, |call| sets(call, Sets::Intersect), "array_intersect([1, 2], [2, 3])" => "[2]"),
    function!("array_except", [], "two arrays", "Each different element that only the first has once.", two_arrays, |call| sets(call, Sets::Except), "array_except([1, 2], [2, 3])" => "[1]"),
    function!("array_has_any", ["list_has_any", "arrays_overlap"], "two arrays", "Whether they share an element that is not NULL.", two_arrays_to_b, |call| has(call, false), "array_has_any([1, 2], [2, 3])" => "TRUE"),
    function!("array_has_all", ["list_has_all"], "two arrays", "Whether the first has every element of the second that is not NULL.", two_arrays_to_b, |call| has(call, true), "array_has_all([1, 2], [2, 3])" => "FALSE"),
    function!("array_min", ["list_min"], "an array", "The least element.", array_to_element, |call| extreme(call, Ordering::Less), "array_min([2, 1])" => "1"),
    function!("array_max", ["list_max"], "an array", "The greatest element.", array_to_element, |call| extreme(call, Ordering::Greater), "array_max([2, 1])" => "2"),
    function!("array_sum", ["list_sum"], "an array of numbers", "Sum of the elements; exact for integers and decimals.", sum_typing, sum, "array_sum([2, 1])" => "3"),
    function!("array_join", ["array_to_string", "list_to_string"], "an array, what to put between, and what stands for NULL", "The elements as one text; NULLs are left out if nothing stands for them.", join_typing, join, "array_join([1, 2], '-')" => "1-2"),
    function!("flatten", [], "an array of arrays", "The elements of all of them, one after the other.", flatten_typing, flatten, "flatten([[1], [2, 3]])" => "[1,2,3]"),
    function!("array_item", [], "a value, and keys each with 'asc' or 'desc', 'first' or 'last'", "What ARRAY_AGG keeps of a row: its sort key, if it has one, and the value.", item_typing, item, "array_item(5)" => r#"{"value":5}"#),
    function!("split", ["string_split", "str_split"], "text and a separator", "The fields between separators; the characters, if the separator is empty.", split_typing, |call| split(call, false), "split('a,b', ',')" => r#"["a","b"]"#),
    function!("string_to_array", [], "text, a separator, and which field is NULL", "The fields between separators; none of an empty text.", split_null_typing, |call| split(call, true), "string_to_array('a,-', ',', '-')" => r#"["a",null]"#),
    function!("generate_series", ["sequence"], "a first number, a last one, and a step", "The numbers from the first to the last.", series_typing, series, "generate_series(1, 5, 2)" => "[1,3,5]"),
];

/// Most numbers of a series.
const SERIES_MAX: i128 = 1 << 20;

fn of_values(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    let one = types.iter().try_fold(DataType::Null, |one, &next| common(one, next))?;
    Some((vec![one; types.len()], DataType::array(one)))
}

/// The type of a whole argument list's elements: arrays and single values in the places of `single`.
fn elements(types: &[DataType], is_single: impl Fn(usize) -> bool) -> Option<(Vec<DataType>, DataType)> {
    let mut one = DataType::Null;
    for (place, &of) in types.iter().enumerate() {
        let element = match of {
            of if is_single(place) => of,
            Array(element) => *element,
            _ => return None,
        };
        one = common(one, element)?;
    }
    let arguments = (0..types.len()).map(|place| if is_single(place) { one } else { DataType::array(one) });
    Some((arguments.collect(), one))
}

fn element_typing(types: &[DataType], literals: &[Option<&Value>]) -> Fit {
    match *types {
        [Array(element), number] if number.is_integer() => Some((vec![types[0], BigInt], *element)),
        [Map(entry), key] => {
            let fits = common(entry[0].data_type, key).is_some();
            fits.then(|| (vec![types[0], entry[0].data_type], entry[1].data_type))
        }
        [Row(_), _] => super::row::field_typing(types, literals),
        _ => None,
    }
}

fn count_typing(types: &[DataType], literals: &[Option<&Value>]) -> Fit {
    match *types {
        [Array(_) | Map(_)] => Some((types.to_vec(), BigInt)),
        // Of an array in PostgreSQL's words: along its first dimension.
        [Array(_), number] if number.is_integer() && literals[1] == Some(&Value::I64(1)) => {
            Some((vec![types[0], BigInt], BigInt))
        }
        _ => None,
    }
}

fn with_value(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    let [_, _] = types else { return None };
    elements(types, |place| place == 1).map(|(arguments, one)| (arguments, DataType::array(one)))
}

fn with_value_to_b(types: &[DataType], literals: &[Option<&Value>]) -> Fit {
    with_value(types, literals).map(|(arguments, _)| (arguments, Boolean))
}

fn with_value_to_n(types: &[DataType], literals: &[Option<&Value>]) -> Fit {
    with_value(types, literals).map(|(arguments, _)| (arguments, BigInt))
}

fn value_and_array(types: &[DataType], literals: &[Option<&Value>]) -> Fit {
    let [_, _] = types else { return None };
    let in_front = elements(types, |place| place == 0).map(|(arguments, one)| (arguments, DataType::array(one)));
    in_front.or_else(|| with_value(types, literals))
}

pub(super) fn arrays(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    let (arguments, one) = elements(types, |_| false).filter(|_| !types.is_empty())?;
    Some((arguments, DataType::array(one)))
}

/// `||`: arrays, or one value beside an array.
pub(super) fn concat_typing(types: &[DataType], literals: &[Option<&Value>]) -> Fit {
    let any_array = types.iter().any(|of| matches!(of, Array(_)));
    if !any_array {
        return None;
    }
    arrays(types, literals).or_else(|| with_value(types, literals)).or_else(|| value_and_array(types, literals))
}

fn two_arrays(types: &[DataType], literals: &[Option<&Value>]) -> Fit {
    arrays(types, literals).filter(|_| types.len() == 2)
}

fn two_arrays_to_b(types: &[DataType], literals: &[Option<&Value>]) -> Fit {
    two_arrays(types, literals).map(|(arguments, _)| (arguments, Boolean))
}

fn array(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    matches!(types, [Array(_)]).then(|| (types.to_vec(), types[0]))
}

fn array_to_element(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    match *types {
        [Array(element)] => Some((types.to_vec(), *element)),
        _ => None,
    }
}

fn sort_typing(types: &[DataType], literals: &[Option<&Value>]) -> Fit {
    match *types {
        [Array(_), Text] => {
            let known = |value: &Value| matches!(value, Value::Text(way) if ["asc", "desc"].contains(&way.to_ascii_lowercase().as_str()));
            literals[1].is_some_and(known).then(|| (types.to_vec(), types[0]))
        }
        _ => array(types, literals),
    }
}

fn slice_typing(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    match *types {
        [Array(_), from, to] if from.is_integer() && to.is_integer() => {
            Some((vec![types[0], BigInt, BigInt], types[0]))
        }
        _ => None,
    }
}

fn sum_typing(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    let &[Array(element)] = types else { return None };
    let returns = match *element {
        DataType::Null => Decimal { precision: DECIMAL_DIGITS_MAX, scale: 0 },
        of if of.is_integer() => Decimal { precision: DECIMAL_DIGITS_MAX, scale: 0 },
        Decimal { scale, .. } => Decimal { precision: DECIMAL_DIGITS_MAX, scale },
        Double => Double,
        _ => return None,
    };
    Some((types.to_vec(), returns))
}

fn join_typing(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    match *types {
        [Array(_), Text] | [Array(_), Text, Text] => Some((types.to_vec(), Text)),
        _ => None,
    }
}

fn flatten_typing(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    match *types {
        [Array(inner @ Array(_))] => Some((types.to_vec(), *inner)),
        _ => None,
    }
}

fn split_typing(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    (types == [Text; 2]).then(|| (types.to_vec(), DataType::array(Text)))
}

fn split_null_typing(types: &[DataType], literals: &[Option<&Value>]) -> Fit {
    split_typing(types, literals).or_else(|| (types == [Text; 3]).then(|| (types.to_vec(), DataType::array(Text))))
}

fn series_typing(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    let fits = matches!(types.len(), 2 | 3) && types.iter().all(|of| of.is_integer());
    fits.then(|| (vec![BigInt; types.len()], DataType::array(BigInt)))
}

fn item_typing(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    let (&value, keys) = types.split_first()?;
    let are_keys = keys.len() % 2 == 0 && keys.iter().skip(1).step_by(2).all(|way| *way == Text);
    let row = match keys {
        [] => DataType::row([("value", value)]),
        _ => DataType::row([("sort", Text), ("value", value)]),
    };
    are_keys.then(|| (types.to_vec(), row))
}

/// The element type of an array.
pub(super) fn element_of(of: DataType) -> DataType {
    match of {
        Array(element) => *element,
        Map(entry) => nested::entry_type(entry),
        _ => DataType::Null,
    }
}

/// Argument `index`, an array or map, by row.
struct Lists<'c, 'a> {
    column: &'c Vector<'a>,
    width: Option<usize>,
}

impl<'a> Lists<'_, 'a> {
    fn at(&self, row: usize) -> List<'a> {
        List::new(self.column.texts()[row].as_bytes(), self.width)
    }
}

fn lists<'c, 'a>(call: &Call<'c, 'a>, index: usize) -> Lists<'c, 'a> {
    Lists { column: &call.arguments[index], width: width(element_of(call.data_type(index))) }
}

/// A nested column written row by row; `false` makes a NULL.
pub(super) fn build<'a>(
    call: &Call<'_, 'a>,
    nulls: Nulls<'a>,
    mut write: impl FnMut(&mut Writer, usize) -> Result<bool>,
) -> Result<Vector<'a>> {
    let mut writer = Writer::default();
    let (values, nulls) = each_row_or_null(call.rows, nulls, call.scratch, |row| {
        writer.clear();
        if write(&mut writer, row)? { writer.value(call.scratch).map(Some) } else { Ok(None) }
    })?;
    Ok(Vector { data: Data::Text(values), nulls })
}

/// An array of parts that stand elsewhere, row by row.
fn of_parts<'a>(
    call: &Call<'_, 'a>,
    mut parts: impl FnMut(usize, &mut Parts<'a, &'a [u8]>) -> Result<()>,
) -> Result<Vector<'a>> {
    let width = width(element_of(call.returns));
    let mut found = Parts::new_in(call.scratch);
    build(call, call.nulls, |writer, row| {
        found.clear();
        parts(row, &mut found)?;
        let open = writer.open();
        for part in &found {
            writer.part(part);
            writer.end_part(open, width);
        }
        writer.close_list(open, width);
        Ok(true)
    })
}

fn make<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    let element = element_of(call.returns);
    let width = width(element);
    build(call, None, |writer, row| {
        let open = writer.open();
        for value in call.arguments {
            writer.row_of(value, row, element);
            writer.end_part(open, width);
        }
        writer.close_list(open, width);
        Ok(true)
    })
}

fn element_at<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    match call.data_type(0) {
        Map(entry) => {
            let (lists, places) = (lists(call, 0), [0, 1].map(|number| Place::new(entry, number)));
            let mut key = Writer::default();
            Ok(column(call.returns, call.rows, call.scratch, |row| {
                if crate::batch::is_null(call.nulls, row) {
                    return None;
                }
                key.clear();
                key.row_of(&call.arguments[1], row, entry[0].data_type);
                super::map::entry(lists.at(row), places[0], key.bytes()).map(|entry| places[1].of(payload(entry)))
            }))
        }
        Row(_) => super::row::field(call),
        _ => {
            let (lists, numbers) = (lists(call, 0), call.arguments[1].i64s());
            Ok(column(call.returns, call.rows, call.scratch, |row| {
                if crate::batch::is_null(call.nulls, row) {
                    return None;
                }
                let list = lists.at(row);
                let at = usize::try_from(numbers[row]).ok()?.checked_sub(1)?;
                (at < list.len()).then(|| list.get(at))
            }))
        }
    }
}

pub(super) fn count<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    let lists = lists(call, 0);
    let counts = each_row(call.rows, call.nulls, call.scratch, |row| Ok(lists.at(row).len() as i64))?;
    Ok(Vector { data: Data::I64(counts), nulls: call.nulls })
}

#[derive(Clone, Copy, PartialEq)]
enum Find {
    Contains,
    Any,
    Position,
}

fn find<'a>(call: &Call<'_, 'a>, how: Find) -> Result<Vector<'a>> {
    let (lists, value) = (lists(call, 0), call.data_type(1));
    let mut wanted = Writer::default();
    let (values, nulls) = each_row_or_null(call.rows, call.nulls, call.scratch, |row| {
        wanted.clear();
        wanted.row_of(&call.arguments[1], row, value);
        let mut parts = lists.at(row).iter();
        let found = parts.position(|part| part == wanted.bytes());
        Ok(match (how, found) {
            (Find::Position, found) => found.map(|at| at as i64 + 1),
            (_, Some(_)) => Some(1),
            (Find::Any, None) if lists.at(row).iter().any(is_null) => None,
            _ => Some(0),
        })
    })?;
    Ok(Vector { data: Data::I64(values), nulls })
}

/// Arrays and, beside them, single values: one after the other.
pub(super) fn concat<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    let element = element_of(call.returns);
    let single = call.expressions.iter().position(|argument| argument.data_type == element);
    match single {
        Some(0) => prepend(call),
        Some(_) => append(call, false),
        None => of_parts(call, |row, parts| {
            for index in 0..call.arguments.len() {
                parts.extend(lists(call, index).at(row).iter());
            }
            Ok(())
        }),
    }
}

/// An array and one value, which may be NULL.
fn append<'a>(call: &Call<'_, 'a>, is_in_front: bool) -> Result<Vector<'a>> {
    let array = usize::from(is_in_front && call.data_type(1) == call.returns);
    let (lists, value) = (lists(call, array), &call.arguments[1 - array]);
    let element = element_of(call.returns);
    let width = width(element);
    build(call, call.arguments[array].nulls, |writer, row| {
        let open = writer.open();
        if is_in_front {
            writer.row_of(value, row, element);
            writer.end_part(open, width);
        }
        for part in lists.at(row).iter() {
            writer.part(part);
            writer.end_part(open, width);
        }
        if !is_in_front {
            writer.row_of(value, row, element);
            writer.end_part(open, width);
        }
        writer.close_list(open, width);
        Ok(true)
    })
}

fn prepend<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    append(call, true)
}

fn remove<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    let (lists, value) = (lists(call, 0), call.data_type(1));
    let mut gone = Writer::default();
    let call = &Call { nulls: call.arguments[0].nulls, ..*call };
    of_parts(call, |row, parts| {
        gone.clear();
        gone.row_of(&call.arguments[1], row, value);
        parts.extend(lists.at(row).iter().filter(|part| *part != gone.bytes()));
        Ok(())
    })
}

/// Leaves the first of equal parts, in their order.
fn without_repeats<'a>(parts: &mut Parts<'a, &'a [u8]>) {
    let mut kept = 0;
    if parts.len() <= 16 {
        for at in 0..parts.len() {
            if !parts[..kept].contains(&parts[at]) {
                parts[kept] = parts[at];
                kept += 1;
            }
        }
        return parts.truncate(kept);
    }
    let mut order = Parts::from_iter_in(0..parts.len() as u32, parts.bump());
    order.sort_unstable_by(|&left, &right| (parts[left as usize], left).cmp(&(parts[right as usize], right)));
    order.dedup_by(|next, first| parts[*next as usize] == parts[*first as usize]);
    order.sort_unstable();
    for at in order {
        parts[kept] = parts[at as usize];
        kept += 1;
    }
    parts.truncate(kept);
}

fn distinct<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    let lists = lists(call, 0);
    of_parts(call, |row, parts| {
        parts.extend(lists.at(row).iter());
        without_repeats(parts);
        Ok(())
    })
}

fn sort<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    let lists = lists(call, 0);
    let is_downwards = call.text_literal(1).is_some_and(|way| way.eq_ignore_ascii_case("desc"));
    of_parts(call, |row, parts| {
        parts.extend(lists.at(row).iter());
        if is_downwards {
            parts.sort_by(|left, right| is_null(left).cmp(&is_null(right)).then_with(|| right.cmp(left)));
        } else {
            parts.sort();
        }
        Ok(())
    })
}

fn reverse<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    let lists = lists(call, 0);
    of_parts(call, |row, parts| {
        let list = lists.at(row);
        parts.extend((0..list.len()).rev().map(|at| list.get(at)));
        Ok(())
    })
}

fn slice<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    let (lists, from, to) = (lists(call, 0), call.arguments[1].i64s(), call.arguments[2].i64s());
    of_parts(call, |row, parts| {
        let list = lists.at(row);
        let first = usize::try_from(from[row]).unwrap_or(0).max(1) - 1;
        let end = usize::try_from(to[row]).unwrap_or(0).min(list.len());
        parts.extend((first..end).map(|at| list.get(at)));
        Ok(())
    })
}

#[derive(Clone, Copy)]
enum Sets {
    Union,
    Intersect,
    Except,
}

fn sets<'a>(call: &Call<'_, 'a>, how: Sets) -> Result<Vector<'a>> {
    let (left, right) = (lists(call, 0), lists(call, 1));
    let mut others = Parts::new_in(call.scratch);
    of_parts(call, |row, parts| {
        parts.extend(left.at(row).iter());
        if matches!(how, Sets::Union) {
            parts.extend(right.at(row).iter());
        } else {
            others.clear();
            others.extend(right.at(row).iter());
            others.sort_unstable();
            let is_intersection = matches!(how, Sets::Intersect);
            parts.retain(|part| others.binary_search(part).is_ok() == is_intersection);
        }
        without_repeats(parts);
        Ok(())
    })
}

fn has<'a>(call: &Call<'_, 'a>, all: bool) -> Result<Vector<'a>> {
    let (left, right) = (lists(call, 0), lists(call, 1));
    let mut known = Parts::new_in(call.scratch);
    let truth = each_row(call.rows, call.nulls, call.scratch, |row| {
        known.clear();
        known.extend(left.at(row).iter());
        known.sort_unstable();
        let mut wanted = right.at(row).iter().filter(|part| !is_null(part));
        let is_there = |part: &[u8]| known.binary_search(&part).is_ok();
        Ok(i64::from(if all { wanted.all(is_there) } else { wanted.any(is_there) }))
    })?;
    Ok(Vector { data: Data::I64(truth), nulls: call.nulls })
}

fn extreme<'a>(call: &Call<'_, 'a>, wanted: Ordering) -> Result<Vector<'a>> {
    let lists = lists(call, 0);
    Ok(column(call.returns, call.rows, call.scratch, |row| {
        if crate::batch::is_null(call.nulls, row) {
            return None;
        }
        let parts = lists.at(row).iter().filter(|part| !is_null(part));
        parts.reduce(|best, next| if next.cmp(best) == wanted { next } else { best })
    }))
}

fn sum<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    let (lists, element) = (lists(call, 0), element_of(call.data_type(0)));
    let parts =
        |row: usize| lists.at(row).iter().filter(|part| !is_null(part)).map(|part| leaf(payload(part), element));
    if call.returns == Double {
        let (sums, nulls) = each_row_or_null(call.rows, call.nulls, call.scratch, |row| {
            Ok(parts(row)
                .map(|part| if let Leaf::F64(value) = part { value } else { 0.0 })
                .reduce(|sum, next| sum + next))
        })?;
        return Ok(Vector { data: Data::F64(sums), nulls });
    }
    let (sums, nulls) = each_row_or_null(call.rows, call.nulls, call.scratch, |row| {
        let mut sum = None;
        for part in parts(row) {
            let next = match part {
                Leaf::I64(value) => i128::from(value),
                Leaf::I128(value) => value,
                Leaf::F64(_) => 0,
            };
            let total = sum.unwrap_or(0i128).checked_add(next);
            let total = total.filter(|total| total.unsigned_abs() < 10u128.pow(u32::from(DECIMAL_DIGITS_MAX)));
            sum = Some(total.ok_or_else(|| {
                Error::new(Code::Overflow, format!("the sum is out of the range of {}", call.returns))
            })?);
        }
        Ok(sum)
    })?;
    Ok(Vector { data: Data::I128(sums), nulls })
}

fn join<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    let (lists, element) = (lists(call, 0), element_of(call.data_type(0)));
    let mut out = String::new();
    let texts = each_row(call.rows, call.nulls, call.scratch, |row| {
        out.clear();
        let (separator, mut is_first) = (at(call, 1, row), true);
        for part in lists.at(row).iter() {
            if is_null(part) && call.arguments.len() < 3 {
                continue;
            }
            out.push_str(if is_first { "" } else { &separator });
            is_first = false;
            if is_null(part) {
                out.push_str(&at(call, 2, row));
            } else {
                show_part(&mut out, payload(part), element, call.scratch);
            }
        }
        Ok(text(out.as_bytes(), call.scratch))
    })?;
    Ok(Vector { data: Data::Text(texts), nulls: call.nulls })
}

fn flatten<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    let (outer, inner) = (lists(call, 0), width(element_of(call.returns)));
    of_parts(call, |row, parts| {
        for part in outer.at(row).iter().filter(|part| !is_null(part)) {
            parts.extend(List::new(payload(part), inner).iter());
        }
        Ok(())
    })
}

fn split<'a>(call: &Call<'_, 'a>, is_none_of_empty: bool) -> Result<Vector<'a>> {
    build(call, call.nulls, |writer, row| {
        let (text, separator) = (at(call, 0, row), at(call, 1, row));
        let null = (call.arguments.len() > 2).then(|| at(call, 2, row));
        let open = writer.open();
        let mut put = |field: &str| {
            if null.as_deref() == Some(field) {
                writer.null(None);
            } else {
                writer.text(field.as_bytes());
            }
            writer.end_part(open, None);
        };
        match (text.is_empty(), separator.is_empty()) {
            (true, _) if is_none_of_empty => {}
            (false, true) if is_none_of_empty => put(&text),
            (false, true) => text.char_indices().for_each(|(at, c)| put(&text[at..at + c.len_utf8()])),
            (true, true) => put(""),
            _ => text.split(&*separator).for_each(put),
        }
        writer.close_list(open, None);
        Ok(true)
    })
}

fn series<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    let [first, last] = [0, 1].map(|index| call.arguments[index].i64s());
    build(call, call.nulls, |writer, row| {
        let step = call.arguments.get(2).map_or(1, |steps| steps.i64s()[row]);
        if step == 0 {
            return Err(Error::new(Code::Cast, "the step of a series is 0"));
        }
        let (first, last, step) = (i128::from(first[row]), i128::from(last[row]), i128::from(step));
        let count = ((last - first) / step + 1).max(0);
        let count = if (last - first).signum() * step.signum() < 0 { 0 } else { count };
        if count > SERIES_MAX {
            let error = Error::new(Code::Limit, format!("a series of {count} numbers is too long"));
            return Err(error.note(format!("limit: {SERIES_MAX}")));
        }
        let open = writer.open();
        for number in 0..count {
            writer.i64((first + number * step) as i64);
        }
        writer.close_list(open, Some(8));
        Ok(writer.bytes().len() <= BYTES_MAX)
    })
}

/// An item's key is its keys as parts, which are in order; those that go down have their payload's bits turned.
fn item<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    let (mut key, mut sort) = (Writer::default(), Vec::new());
    let value = call.data_type(0);
    let ways: Vec<(bool, bool)> = (1..call.arguments.len())
        .step_by(2)
        .map(|index| {
            let way = call.text_literal(index + 1).unwrap_or_default();
            (way.starts_with("desc"), way.ends_with("first"))
        })
        .collect();
    build(call, None, |writer, row| {
        let open = writer.open();
        if !ways.is_empty() {
            sort.clear();
            for (number, &(is_downwards, nulls_first)) in ways.iter().enumerate() {
                key.clear();
                key.row_of(&call.arguments[2 * number + 1], row, call.data_type(2 * number + 1));
                let part = key.bytes();
                sort.push(if is_null(part) && nulls_first { 0 } else { part[0] });
                sort.extend(payload(part).iter().map(|byte| if is_downwards { !byte } else { *byte }));
            }
            writer.text(&sort);
            writer.end_part(open, None);
        }
        writer.row_of(&call.arguments[0], row, value);
        writer.end_part(open, width(value));
        writer.close_row(open);
        Ok(true)
    })
}
