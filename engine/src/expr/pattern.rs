//! IN over constants, and LIKE.
//!
//! LIKE is linear: a pattern is cut at its `%`s, and each piece is looked for once, from where the
//! last one ended; taking the leftmost place for every piece never loses a match.

use super::kernels::each_row;
use crate::batch::{Data, Text, Vector};
use crate::error::{Code, Error, Result};
use crate::types::Value;
use bumpalo::Bump;
use hashbrown::HashSet;
use std::hash::BuildHasherDefault;

type Hasher = BuildHasherDefault<std::hash::DefaultHasher>;

/// `vector IN (list)`.
pub(crate) fn in_list<'a>(vector: &Vector<'a>, list: &[Value], list_has_null: bool, scratch: &'a Bump) -> Vector<'a> {
    fn look<T: std::hash::Hash + Eq>(
        rows: usize,
        set: impl Iterator<Item = T>,
        row: impl Fn(usize) -> T,
        scratch: &Bump,
    ) -> &[i64] {
        let list: Vec<T> = set.collect();
        if list.len() <= 8 {
            return scratch.alloc_slice_fill_with(rows, |index| i64::from(list.contains(&row(index))));
        }
        let set: HashSet<T, Hasher> = list.into_iter().collect();
        scratch.alloc_slice_fill_with(rows, |index| i64::from(set.contains(&row(index))))
    }
    let rows = vector.len();
    let whole = list.iter().filter_map(|value| match value {
        Value::I64(value) => Some(i128::from(*value)),
        Value::I128(value) => Some(*value),
        _ => None,
    });
    let found = match vector.data {
        Data::I64(values) => look(rows, whole, |row| i128::from(values[row]), scratch),
        Data::I128(values) => look(rows, whole, |row| values[row], scratch),
        Data::F64(values) => {
            let list = list.iter().filter_map(|value| match value {
                Value::F64(value) => Some(super::compare::order_of(*value)),
                _ => None,
            });
            look(rows, list, |row| super::compare::order_of(values[row]), scratch)
        }
        Data::Text(values) => {
            let list = list.iter().filter_map(|value| match value {
                Value::Text(value) => Some(Text::new(value.as_bytes())),
                Value::Nested(value) => Some(Text::new(value)),
                _ => None,
            });
            look(rows, list, |row| values[row], scratch)
        }
    };
    let nulls = if list_has_null {
        let words = scratch.alloc_slice_fill_copy(rows.div_ceil(64).max(1), 0u64);
        for (row, &found) in found.iter().enumerate() {
            words[row / 64] |= u64::from(found == 0 || vector.is_null(row)) << (row % 64);
        }
        Some(&*words)
    } else {
        vector.nulls
    };
    Vector { data: Data::I64(found), nulls }
}

/// A pattern between two `%`s; `None` is `_`.
type Piece = Vec<Option<char>>;

/// A LIKE pattern, cut at its `%`s.
pub(crate) struct Like {
    pieces: Vec<Piece>,
    ignore_case: bool,
}

fn lower(c: char) -> char {
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

impl Like {
    pub(crate) fn new(pattern: &str, escape: Option<char>, ignore_case: bool) -> Result<Self> {
        let mut pieces = vec![Piece::new()];
        let mut chars = pattern.chars();
        while let Some(c) = chars.next() {
            let last = pieces.last_mut().expect("there is always a piece");
            match c {
                c if Some(c) == escape => {
                    let error = || Error::new(Code::Type, format!("pattern '{pattern}' ends in its escape character"));
                    last.push(Some(chars.next().ok_or_else(error)?));
                }
                '%' => pieces.push(Piece::new()),
                '_' => last.push(None),
                c => last.push(Some(c)),
            }
        }
        if ignore_case {
            pieces.iter_mut().flatten().flatten().for_each(|c| *c = lower(*c));
        }
        Ok(Like { pieces, ignore_case })
    }

    /// What follows `piece` at the front of `text`.
    fn strip<'t>(&self, piece: &Piece, text: &'t str) -> Option<&'t str> {
        let mut chars = text.chars();
        for wanted in piece {
            let c = chars.next()?;
            let c = if self.ignore_case { lower(c) } else { c };
            if wanted.is_some_and(|wanted| wanted != c) {
                return None;
            }
        }
        Some(chars.as_str())
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        let (first, rest) = self.pieces.split_first().expect("there is always a piece");
        let Some(mut text) = self.strip(first, text) else { return false };
        let Some((last, middle)) = rest.split_last() else { return text.is_empty() };
        for piece in middle {
            let starts = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            let mut found = starts.filter_map(|at| self.strip(piece, &text[at..]));
            match found.next() {
                Some(after) => text = after,
                None => return false,
            }
        }
        // The last piece must stand at the end.
        let skip = text.chars().count().checked_sub(last.len());
        let tail = skip.map(|skip| text.char_indices().nth(skip).map_or("", |(at, _)| &text[at..]));
        tail.and_then(|tail| self.strip(last, tail)).is_some_and(str::is_empty)
    }
}

/// `vector LIKE pattern`.
pub(crate) fn like<'a>(
    vector: &Vector<'a>,
    pattern: &str,
    escape: Option<char>,
    ignore_case: bool,
    scratch: &'a Bump,
) -> Result<Vector<'a>> {
    let like = Like::new(pattern, escape, ignore_case)?;
    let texts = vector.texts();
    let values =
        each_row(texts.len(), vector.nulls, scratch, |row| Ok(i64::from(like.matches(&texts[row].to_str_lossy()))))?;
    Ok(Vector { data: Data::I64(values), nulls: vector.nulls })
}
