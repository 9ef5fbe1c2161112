//! Rows, which are structs by another name; and JSON made of any value.

use super::array::build;
use super::math::function;
use super::typing::Fit;
use super::{Call, Function};
use crate::batch::{Data, Vector, is_null};
use crate::error::Result;
use crate::expr::cast;
use crate::expr::kernels::each_row;
use crate::expr::kernels::text;
use crate::nested::{Place, column, width};
use crate::types::{DataType, Member, Value};
use DataType::{BigInt, Json, Row, Text};

pub(super) const FUNCTIONS: &[Function] = &[
    function!("row", [], "values", "The row of these values, called f1, f2, and so on.", of_values, make, "row(1, 'a')" => r#"{"f1":1,"f2":"a"}"#),
    function!("named_struct", [], "names, which are constants, and values in turn", "The row of these values.", of_named, make_named, "named_struct('a', 1)" => r#"{"a":1}"#),
    function!("field", ["struct_extract", "get_field"], "a row, and the name or number (from 1) of a field, which is a constant", "The field.", field_typing, field, "field({'a': 1}, 'a')" => "1"),
    function!("to_json", [], "any value", "The value as JSON.", to_json_typing, to_json, "to_json('a')" => "\"a\""),
    function!("parse_json", [], "text", "The JSON in it; text that is no JSON is an error.", parse_typing, |call| parse(call, false), "parse_json('[1, 2]')" => "[1,2]"),
    function!("try_parse_json", [], "text", "The JSON in it; NULL of text that is no JSON.", parse_typing, |call| parse(call, true), "try_parse_json('[1, 2')" => "NULL"),
];

fn of_values(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    let names: Vec<String> = (1..=types.len()).map(|number| format!("f{number}")).collect();
    let row = DataType::row(names.iter().map(String::as_str).zip(types.iter().copied()));
    (!types.is_empty()).then(|| (types.to_vec(), row))
}

fn of_named(types: &[DataType], literals: &[Option<&Value>]) -> Fit {
    let mut members: Vec<(&str, DataType)> = Vec::new();
    for (pair, name) in types.chunks(2).zip(literals.iter().step_by(2)) {
        let (&[Text, data_type], Some(Value::Text(name))) = (pair, name) else { return None };
        if members.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
            return None;
        }
        members.push((name, data_type));
    }
    (!members.is_empty()).then(|| (types.to_vec(), DataType::row(members)))
}

/// Which member a constant names.
fn position(members: &[Member], which: Option<&Value>) -> Option<usize> {
    match which? {
        Value::Text(name) => {
            let exact = members.iter().position(|member| member.name == name);
            exact.or_else(|| members.iter().position(|member| member.name.eq_ignore_ascii_case(name)))
        }
        &Value::I64(number) => usize::try_from(number).ok()?.checked_sub(1).filter(|&number| number < members.len()),
        _ => None,
    }
}

pub(super) fn field_typing(types: &[DataType], literals: &[Option<&Value>]) -> Fit {
    match *types {
        [Row(members), which] => {
            let at = position(members, literals[1])?;
            let which = if which == Text { Text } else { BigInt };
            Some((vec![types[0], which], members[at].data_type))
        }
        _ => None,
    }
}

fn to_json_typing(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    (types.len() == 1).then(|| (types.to_vec(), Json))
}

fn parse_typing(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    (types == [Text]).then(|| (types.to_vec(), Json))
}

fn make<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    of_columns(call, call.arguments.iter())
}

fn make_named<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    of_columns(call, call.arguments.iter().skip(1).step_by(2))
}

fn of_columns<'c, 'a: 'c>(
    call: &Call<'_, 'a>,
    columns: impl Iterator<Item = &'c Vector<'a>> + Clone,
) -> Result<Vector<'a>> {
    let Row(members) = call.returns else { return Ok(call.arguments[0]) };
    build(call, None, |writer, row| {
        let open = writer.open();
        for (value, member) in columns.clone().zip(members) {
            writer.row_of(value, row, member.data_type);
            writer.end_part(open, width(member.data_type));
        }
        writer.close_row(open);
        Ok(true)
    })
}

pub(super) fn field<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    let Row(members) = call.data_type(0) else { return Ok(call.arguments[0]) };
    let which = match &call.expressions[1].kind {
        crate::expr::ExprKind::Literal(value) => Some(value),
        _ => None,
    };
    let place = Place::new(members, position(members, which).unwrap_or(0));
    let rows = call.arguments[0];
    let part = |row: usize| (!is_null(rows.nulls, row)).then(|| place.of(rows.texts()[row].as_bytes()));
    Ok(column(call.returns, call.rows, call.scratch, part))
}

fn to_json<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    let value = &call.arguments[0];
    if call.data_type(0) != Text {
        return cast::cast(value, call.data_type(0), Json, false, call.scratch);
    }
    let mut out = String::new();
    let texts = each_row(call.rows, call.nulls, call.scratch, |row| {
        out.clear();
        cast::write_json_text(&mut out, value.texts()[row].as_bytes());
        Ok(text(out.as_bytes(), call.scratch))
    })?;
    Ok(Vector { data: Data::Text(texts), nulls: call.nulls })
}

fn parse<'a>(call: &Call<'_, 'a>, safe: bool) -> Result<Vector<'a>> {
    cast::cast(&call.arguments[0], Text, Json, safe, call.scratch)
}
