//! Regular expressions: linear time (the `regex` crate), compiled once per pattern and thread.

use super::math::function;
use super::text::{at, compose, tt_to_b};
use super::typing::Fit;
use super::{Call, Function};
use crate::batch::{Data, Vector};
use crate::error::{Code, Error, Result};
use crate::expr::kernels::{each_row, each_row_or_null, text};
use crate::types::{DataType, Value};
use regex::{Regex, RegexBuilder};
use std::cell::RefCell;

pub(super) const FUNCTIONS: &[Function] = &[
    function!("regexp_like", ["regexp"], "text and a pattern", "Whether the pattern occurs.", tt_to_b, |call| like(call), "regexp_like('banana', 'n.n')" => "TRUE"),
    function!("regexp_extract", [], "text, a pattern, and which group", "What the pattern (or its group) matched first; NULL if it does not occur.", extract_typing, |call| extract(call), "regexp_extract('id=42;', 'id=([0-9]+)', 1)" => "42"),
    function!("regexp_replace", [], "text, a pattern, and by what", "With every match replaced; $1 stands for a group.", replace_typing, |call| replace(call), "regexp_replace('a1b22', '[0-9]+', '#')" => "a#b#"),
];

fn extract_typing(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    match *types {
        [DataType::Text, DataType::Text] => Some((types.to_vec(), DataType::Text)),
        [DataType::Text, DataType::Text, group] if group.is_integer() => {
            Some((vec![DataType::Text, DataType::Text, DataType::BigInt], DataType::Text))
        }
        _ => None,
    }
}

fn replace_typing(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    (types == [DataType::Text; 3]).then(|| (types.to_vec(), DataType::Text))
}

/// Bytes a compiled pattern may take.
const SIZE_MAX: usize = 1 << 20;
/// Patterns kept; a query has few, and a column of patterns must not fill the memory.
const KEPT: usize = 32;

thread_local! {
    // One shard is one thread, so nothing is shared; newest last.
    static COMPILED: RefCell<Vec<(String, Regex)>> = const { RefCell::new(Vec::new()) };
}

/// Runs `work` with the compiled `pattern`.
fn with<T>(pattern: &str, work: impl FnOnce(&Regex) -> T) -> Result<T> {
    COMPILED.with_borrow_mut(|kept| {
        let at = match kept.iter().position(|(known, _)| known == pattern) {
            Some(at) => at,
            None => {
                let regex = RegexBuilder::new(pattern).size_limit(SIZE_MAX).build();
                let regex = regex.map_err(|error| {
                    let reason = error.to_string();
                    let reason = reason.lines().last().unwrap_or("").trim_start_matches("error: ");
                    Error::new(Code::Type, format!("'{pattern}' is no pattern: {reason}"))
                })?;
                if kept.len() == KEPT {
                    kept.remove(0);
                }
                kept.push((pattern.to_owned(), regex));
                kept.len() - 1
            }
        };
        Ok(work(&kept[at].1))
    })
}

fn like<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    let values = each_row(call.rows, call.nulls, call.scratch, |row| {
        with(&at(call, 1, row), |regex| i64::from(regex.is_match(&at(call, 0, row))))
    })?;
    Ok(Vector { data: Data::I64(values), nulls: call.nulls })
}

fn extract<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    let groups = call.arguments.get(2).map(Vector::i64s);
    let (values, nulls) = each_row_or_null(call.rows, call.nulls, call.scratch, |row| {
        let group = groups.map_or(0, |groups| usize::try_from(groups[row]).unwrap_or(usize::MAX));
        with(&at(call, 1, row), |regex| {
            let s = at(call, 0, row);
            let captures = regex.captures(&s)?;
            captures.get(group).map(|found| text(found.as_str().as_bytes(), call.scratch))
        })
    })?;
    Ok(Vector { data: Data::Text(values), nulls })
}

fn replace<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    compose(call, |out, row| {
        let (s, by) = (at(call, 0, row), at(call, 2, row));
        with(&at(call, 1, row), |regex| out.push_str(&regex.replace_all(&s, &*by)))
    })
}
