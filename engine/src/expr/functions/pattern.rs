//! Regular expressions: linear time (the `regex` crate), compiled once per pattern and thread.

use super::math::function;
use super::text::{at, compose, tt_to_b, tt_to_n};
use super::typing::Fit;
use super::{Call, Function};
use crate::batch::{Data, Vector};
use crate::error::{Code, Error, Result};
use crate::expr::kernels::{each_row, each_row_or_null, text};
use crate::expr::pattern::Like;
use crate::types::{DataType, Value};
use regex::{Regex, RegexBuilder};
use std::borrow::Cow;
use std::cell::RefCell;

pub(super) const FUNCTIONS: &[Function] = &[
    function!("regexp_like", ["regexp"], "text and a pattern", "Whether the pattern occurs.", tt_to_b, |call| like(call), "regexp_like('banana', 'n.n')" => "TRUE"),
    function!("regexp_extract", [], "text, a pattern, and which group", "What the pattern (or its group) matched first; NULL if it does not occur.", extract_typing, |call| extract(call), "regexp_extract('id=42;', 'id=([0-9]+)', 1)" => "42"),
    function!("regexp_replace", [], "text, a pattern, by what, and flags", "With every match replaced; $1 or \\1 stands for a group. Of flags, i ignores case, s lets . be a new line, m lets ^ and $ stand at every line; where some are said the first match alone is replaced unless g is among them.", replace_typing, |call| replace(call), "regexp_replace('a1b22', '[0-9]+', '#')" => "a#b#"),
    function!("regexp_count", [], "text, a pattern, and from where", "How often the pattern occurs.", count_typing, |call| count_matches(call), "regexp_count('banana', 'an')" => "2"),
    function!("regexp_instr", [], "text and a pattern", "Where the pattern first occurs, 0 if nowhere.", tt_to_n, |call| place_of_match(call), "regexp_instr('banana', 'n.n')" => "3"),
    function!("like", [], "text and a pattern", "Whether the text is as the pattern says; % is any text, _ one character.", tt_to_b, |call| like_each(call, false), "like('banana', 'b%a')" => "TRUE"),
    function!("ilike", [], "text and a pattern", "As like, without regard to case.", tt_to_b, |call| like_each(call, true), "ilike('banana', 'B%')" => "TRUE"),
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
    let fits = types == [DataType::Text; 3] || types == [DataType::Text; 4];
    fits.then(|| (types.to_vec(), DataType::Text))
}

fn count_typing(types: &[DataType], _: &[Option<&Value>]) -> Fit {
    match *types {
        [DataType::Text, DataType::Text] => Some((types.to_vec(), DataType::BigInt)),
        [DataType::Text, DataType::Text, start] if start.is_integer() => {
            Some((vec![DataType::Text, DataType::Text, DataType::BigInt], DataType::BigInt))
        }
        _ => None,
    }
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
    let flagged = call.arguments.len() > 3;
    compose(call, |out, row| {
        let (s, pattern, by) = (at(call, 0, row), at(call, 1, row), at(call, 2, row));
        let by = groups_named(&by);
        if !flagged {
            return with(&pattern, |regex| out.push_str(&regex.replace_all(&s, &*by)));
        }
        let (mut all, mut kept) = (false, String::new());
        for flag in at(call, 3, row).chars() {
            match flag {
                'g' => all = true,
                'i' | 's' | 'm' | 'x' => kept.push(flag),
                other => {
                    let error = Error::new(Code::Type, format!("flag `{other}` of a regular expression is not known"));
                    return Err(error.help("flags: g, i, m, s, x"));
                }
            }
        }
        let pattern = if kept.is_empty() { pattern } else { format!("(?{kept}){pattern}").into() };
        with(&pattern, |regex| out.push_str(&regex.replacen(&s, usize::from(!all), &*by)))
    })
}

/// What replaces a match, with groups written `\\1` as `${1}`.
fn groups_named(by: &str) -> Cow<'_, str> {
    if !by.contains('\\') {
        return by.into();
    }
    let mut out = String::with_capacity(by.len() + 4);
    let mut chars = by.chars();
    while let Some(c) = chars.next() {
        match (c, chars.clone().next()) {
            ('\\', Some(digit @ '0'..='9')) => {
                chars.next();
                out.extend(['$', '{', digit, '}']);
            }
            ('\\', Some('\\')) => {
                chars.next();
                out.push('\\');
            }
            (c, _) => out.push(c),
        }
    }
    out.into()
}

fn count_matches<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    let starts = call.arguments.get(2).map(Vector::i64s);
    let values = each_row(call.rows, call.nulls, call.scratch, |row| {
        let (s, start) = (at(call, 0, row), starts.map_or(1, |starts| starts[row]));
        let Some(skip) = usize::try_from(start).ok().and_then(|start| start.checked_sub(1)) else {
            return Err(Error::new(Code::Cast, format!("the place {start} in a text is below 1")));
        };
        let mut places = s.char_indices().map(|(at, _)| at).chain([s.len()]);
        let Some(first) = places.nth(skip) else { return Ok(0) };
        with(&at(call, 1, row), |regex| regex.find_iter(&s[first..]).count() as i64)
    })?;
    Ok(Vector { data: Data::I64(values), nulls: call.nulls })
}

fn place_of_match<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    let values = each_row(call.rows, call.nulls, call.scratch, |row| {
        let s = at(call, 0, row);
        with(&at(call, 1, row), |regex| regex.find(&s).map_or(0, |found| s[..found.start()].chars().count() as i64 + 1))
    })?;
    Ok(Vector { data: Data::I64(values), nulls: call.nulls })
}

/// LIKE by a column of patterns.
fn like_each<'a>(call: &Call<'_, 'a>, ignore_case: bool) -> Result<Vector<'a>> {
    let mut last: Option<(String, Like)> = None;
    let values = each_row(call.rows, call.nulls, call.scratch, |row| {
        let pattern = at(call, 1, row);
        if last.as_ref().is_none_or(|(known, _)| *known != pattern) {
            last = Some((pattern.to_string(), Like::new(&pattern, None, ignore_case)?));
        }
        Ok(last.as_ref().map_or(0, |(_, like)| i64::from(like.matches(&at(call, 0, row)))))
    })?;
    Ok(Vector { data: Data::I64(values), nulls: call.nulls })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_may_be_written_with_a_backslash() {
        for (by, wanted) in [("x", "x"), ("\\1-\\2", "${1}-${2}"), ("\\\\1", "\\1"), ("\\n", "\\n"), ("\\12", "${1}2")]
        {
            assert_eq!(groups_named(by), wanted);
        }
    }
}
