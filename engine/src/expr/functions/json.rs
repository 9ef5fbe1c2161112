//! JSON in text: one value picked out by a path.
//!
//! A document is walked once and nothing is built of it: what is not on the way is skipped (and
//! still checked), and what is found is a stretch of the document itself. Text that is no JSON has
//! nothing in it: NULL, and FALSE from JSON_EXISTS. Of two members of one name the first counts.

use super::math::function;
use super::text::at;
use super::typing::Fit;
use super::{Call, Function};
use crate::batch::{Data, Vector};
use crate::error::{Code, Error, Result};
use crate::expr::kernels::{each_row, each_row_or_null, text};
use crate::types::{DataType, Value};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

pub(super) const FUNCTIONS: &[Function] = &[
    function!("json_value", [], "JSON, or text that holds it, and a path like $.a[0]", "The text, number or truth there, as text; NULL if there is none.", tt, |call| by_path(call, scalar), r#"json_value('{"a": [1, "x"]}', '$.a[1]')"# => "x"),
    function!("json_query", [], "JSON, or text that holds it, and a path like $.a[0]", "The object or array there, as JSON; NULL if there is none.", query_typing, |call| by_path(call, compound), r#"json_query('{"a": [1, "x"]}', '$.a')"# => r#"[1, "x"]"#),
    function!("json_exists", [], "JSON, or text that holds it, and a path like $.a[0]", "Whether anything is there.", to_b, |call| exists(call), r#"json_exists('{"a": null}', '$.a')"# => "TRUE"),
    function!("->", [], "JSON, or text that holds it, and a member's name or an element's number from 0", "The member or element, as JSON.", whole_typing, |call| by_step(call, whole), r#"'{"a": [1, "x"]}' -> 'a'"# => r#"[1, "x"]"#),
    function!("->>", [], "JSON, or text that holds it, and a member's name or an element's number from 0", "The member or element, as text.", step_typing, |call| by_step(call, plain), r#"'[1, "x"]' ->> 1"# => "x"),
];

fn tt(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    matches!(types, [DataType::Text | DataType::Json, DataType::Text]).then(|| (types.to_vec(), DataType::Text))
}

fn to_b(types: &[DataType], literals: &[Option<&Value>]) -> Fit {
    tt(types, literals).map(|(arguments, _)| (arguments, DataType::Boolean))
}

/// A part as JSON of the kind that the document is.
fn whole_typing(types: &[DataType], literals: &[Option<&Value>]) -> Fit {
    let (arguments, _) = step_typing(types, literals)?;
    let returns = arguments[0];
    Some((arguments, returns))
}

fn query_typing(types: &[DataType], literals: &[Option<&Value>]) -> Fit {
    tt(types, literals).map(|(arguments, _)| {
        let returns = arguments[0];
        (arguments, returns)
    })
}

fn step_typing(types: &[DataType], literals: &[Option<&Value>]) -> Fit {
    match *types {
        [document @ (DataType::Text | DataType::Json), number] if number.is_integer() => {
            Some((vec![document, DataType::BigInt], DataType::Text))
        }
        _ => tt(types, literals),
    }
}

/// One step into a document.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    Member(String),
    Element(usize),
}

/// Takes `$.name."odd name"['name'][0]` apart. `lax` and `strict` in front are read and mean the
/// same: what is not there gives NULL.
fn steps(path: &str) -> Result<Vec<Step>> {
    let refuse = |rest: &str| {
        let error = Error::new(Code::Unsupported, format!("`{rest}` of the path '{path}' is not supported"));
        error.help("write $.name, $.\"any name\" and [0] from the start")
    };
    let start = ["lax ", "strict "].iter().find_map(|mode| path.strip_prefix(mode)).unwrap_or(path).trim();
    let mut rest = start.strip_prefix('$').ok_or_else(|| refuse(start))?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let quoted = |open: &str, close: &str| {
            let (name, after) = rest.strip_prefix(open)?.split_once(close)?;
            Some((Step::Member(name.to_owned()), after))
        };
        let found = quoted(".\"", "\"").or_else(|| quoted("['", "']")).or_else(|| quoted("[\"", "\"]")).or_else(|| {
            let (number, after) = rest.strip_prefix('[')?.split_once(']')?;
            Some((Step::Element(number.trim().parse().ok()?), after))
        });
        let found = found.or_else(|| {
            let name = rest.strip_prefix('.')?;
            let end = name.find(['.', '[', ' ', '*', '?', '(']).unwrap_or(name.len());
            let (name, after) = name.split_at(end);
            (!name.is_empty()).then(|| (Step::Member(name.to_owned()), after))
        });
        let (step, after) = found.ok_or_else(|| refuse(rest))?;
        steps.push(step);
        rest = after;
    }
    Ok(steps)
}

/// What stands at `steps` in `document`, as it is written there.
fn seek<'d>(document: &'d str, steps: &[Step]) -> Option<&'d str> {
    let mut reader = serde_json::Deserializer::from_str(document);
    let found = Seek(steps).deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    found
}

struct Seek<'s>(&'s [Step]);

impl<'d> DeserializeSeed<'d> for Seek<'_> {
    type Value = Option<&'d str>;

    fn deserialize<D: Deserializer<'d>>(self, reader: D) -> Result<Self::Value, D::Error> {
        match self.0 {
            [] => <&RawValue>::deserialize(reader).map(|found| Some(found.get())),
            _ => reader.deserialize_any(self),
        }
    }
}

impl<'d> Visitor<'d> for Seek<'_> {
    type Value = Option<&'d str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'d>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let (step, rest) = self.0.split_first().expect("the last step takes what is there");
        let mut found = None;
        while let Some(is_meant) = members.next_key_seed(Named(step))? {
            if is_meant && found.is_none() {
                found = Some(members.next_value_seed(Seek(rest))?);
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found.flatten())
    }

    fn visit_seq<A: SeqAccess<'d>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let (step, rest) = self.0.split_first().expect("the last step takes what is there");
        let mut found = None;
        if let Step::Element(number) = step {
            for _ in 0..*number {
                if elements.next_element::<IgnoredAny>()?.is_none() {
                    return Ok(None);
                }
            }
            found = elements.next_element_seed(Seek(rest))?;
        }
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(found.flatten())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// Whether a member has the name of the step.
struct Named<'s>(&'s Step);

impl<'d> DeserializeSeed<'d> for Named<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'d>>(self, reader: D) -> Result<bool, D::Error> {
        reader.deserialize_str(self)
    }
}

impl Visitor<'_> for Named<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(matches!(self.0, Step::Member(wanted) if wanted == name))
    }
}

/// Writes what was found; false makes it NULL.
type Show = fn(&str, &mut String) -> bool;

fn whole(found: &str, out: &mut String) -> bool {
    out.push_str(found);
    true
}

fn is_compound(found: &str) -> bool {
    found.starts_with(['{', '['])
}

fn compound(found: &str, out: &mut String) -> bool {
    is_compound(found) && whole(found, out)
}

/// Text without its quotes, all else as it is written; a JSON null is NULL.
fn plain(found: &str, out: &mut String) -> bool {
    let inside = found.strip_prefix('"').and_then(|found| found.strip_suffix('"'));
    match inside {
        Some(inside) if !inside.contains('\\') => whole(inside, out),
        Some(_) => serde_json::from_str::<String>(found).is_ok_and(|text| whole(&text, out)),
        None => found != "null" && whole(found, out),
    }
}

fn scalar(found: &str, out: &mut String) -> bool {
    !is_compound(found) && plain(found, out)
}

/// The steps of the last path that was seen; mostly there is only one.
#[derive(Default)]
struct Path {
    text: Option<String>,
    steps: Vec<Step>,
}

impl Path {
    fn of(&mut self, path: &str) -> Result<&[Step]> {
        if self.text.as_deref() != Some(path) {
            self.steps = steps(path)?;
            self.text = Some(path.to_owned());
        }
        Ok(&self.steps)
    }
}

fn by_path<'a>(call: &Call<'_, 'a>, show: Show) -> Result<Vector<'a>> {
    let (mut path, mut out) = (Path::default(), String::new());
    let (values, nulls) = each_row_or_null(call.rows, call.nulls, call.scratch, |row| {
        let document = at(call, 0, row);
        out.clear();
        let found = seek(&document, path.of(&at(call, 1, row))?);
        Ok(found.filter(|found| show(found, &mut out)).map(|_| text(out.as_bytes(), call.scratch)))
    })?;
    Ok(Vector { data: Data::Text(values), nulls })
}

fn exists<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    let mut path = Path::default();
    let values = each_row(call.rows, call.nulls, call.scratch, |row| {
        Ok(i64::from(seek(&at(call, 0, row), path.of(&at(call, 1, row))?).is_some()))
    })?;
    Ok(Vector { data: Data::I64(values), nulls: call.nulls })
}

fn by_step<'a>(call: &Call<'_, 'a>, show: Show) -> Result<Vector<'a>> {
    let (mut step, mut out) = ([Step::Element(0)], String::new());
    let (values, nulls) = each_row_or_null(call.rows, call.nulls, call.scratch, |row| {
        match (call.arguments[1].data, &mut step[0]) {
            (Data::I64(numbers), step) => {
                *step = Step::Element(usize::try_from(numbers[row]).map_err(|_| {
                    Error::new(Code::Unsupported, format!("element {} of a JSON array is not supported", numbers[row]))
                        .help("elements count from 0")
                })?);
            }
            (_, Step::Member(name)) => {
                name.clear();
                name.push_str(&at(call, 1, row));
            }
            (_, step) => *step = Step::Member(at(call, 1, row).into_owned()),
        }
        let document = at(call, 0, row);
        out.clear();
        let found = seek(&document, &step);
        Ok(found.filter(|found| show(found, &mut out)).map(|_| text(out.as_bytes(), call.scratch)))
    })?;
    Ok(Vector { data: Data::Text(values), nulls })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_as_they_are_written() {
        let document = r#" {"a": {"b c": [10, {"d": 1.50}]}, "a": 2, "n": null, "t": "\u00fc\"", "big": 1e999} "#;
        for (path, found) in [
            ("$.a.\"b c\"[0]", Some("10")),
            ("$.a['b c'][1].d", Some("1.50")),
            ("lax $.a[\"b c\"][1]", Some("{\"d\": 1.50}")),
            ("$.n", Some("null")),
            ("$.t", Some(r#""\u00fc\"""#)),
            ("$.big", Some("1e999")),
            ("$.a.b", None),
            ("$.a[0]", None),
            ("$.n.x", None),
            ("$", Some(document.trim())),
        ] {
            assert_eq!(seek(document, &steps(path).unwrap()), found, "{path}");
        }
        for broken in ["", "{", "[1,]", "{\"a\": 1} 2", "nul", "{\"a\": 1, b}"] {
            assert_eq!(seek(broken, &steps("$.a").unwrap()), None, "{broken}");
        }
        let mut text = String::new();
        assert!(plain(r#""\u00fc\"""#, &mut text) && text == "ü\"");
    }

    #[test]
    fn paths_that_are_not_followed_are_refused() {
        for path in ["", "a", "$.", "$[*]", "$[-1]", "$..a", "$.a ? (@ > 1)", "$.a.*", "$.size()"] {
            assert_eq!(steps(path).unwrap_err().code(), Code::Unsupported, "{path}");
        }
    }
}
