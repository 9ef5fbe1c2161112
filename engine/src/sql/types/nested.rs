//! Names of types made of types, in every spelling: `ARRAY<T>`, `T[]`, `T ARRAY`, `MAP<K, V>`, `MAP(K, V)`,
//! `ROW<a T, b: U>`, `ROW(a T)`, `STRUCT<..>`, `STRUCT(..)`.

use super::parse_plain;
use crate::nested::{self, DEPTH_MAX};
use crate::types::DataType;

/// The two types' parts meet one by one.
pub(super) fn common(left: DataType, right: DataType) -> Option<DataType> {
    nested::common(left, right, &super::common)
}

/// The type written as `text`, which stands in `depth` others.
pub(super) fn parse(text: &str, depth: usize) -> Option<DataType> {
    let text = text.trim();
    if depth > DEPTH_MAX {
        return None;
    }
    // A type that the pre-pass has put in quotes.
    if let Some(inside) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        return parse(inside, depth + 1);
    }
    if let Some(element) = without_array(text) {
        return Some(DataType::array(parse(element, depth + 1)?));
    }
    let open = text.find(['<', '(']);
    let name = text[..open.unwrap_or(text.len())].trim().to_ascii_uppercase();
    if !matches!(name.as_str(), "ARRAY" | "MAP" | "ROW" | "STRUCT") {
        return parse_plain(text);
    }
    let open = open?;
    let close = if text.as_bytes()[open] == b'<' { '>' } else { ')' };
    let inside = text[open + 1..].strip_suffix(close)?;
    let parts = split(inside)?;
    match (name.as_str(), &parts[..]) {
        ("ARRAY", [element]) => Some(DataType::array(parse(not_null(element), depth + 1)?)),
        ("MAP", [key, value]) => {
            let key = parse(not_null(key), depth + 1)?;
            let is_key = !key.is_nested() && key != DataType::Json;
            is_key.then_some(DataType::map(key, parse(not_null(value), depth + 1)?))
        }
        ("ROW" | "STRUCT", parts) => {
            let members = parts.iter().map(|part| member(part, depth + 1)).collect::<Option<Vec<_>>>()?;
            let taken = |at: usize| members[..at].iter().any(|other| other.0.eq_ignore_ascii_case(&members[at].0));
            let is_row = !members.is_empty() && !(0..members.len()).any(taken);
            is_row.then(|| DataType::row(members.iter().map(|(name, data_type)| (name.as_str(), *data_type))))
        }
        _ => None,
    }
}

/// `T` of `T[]`, `T[3]`, `T ARRAY`.
fn without_array(text: &str) -> Option<&str> {
    if let Some(rest) = text.strip_suffix(']') {
        let (element, size) = rest.rsplit_once('[')?;
        return size.trim().chars().all(|digit| digit.is_ascii_digit()).then_some(element);
    }
    let at = text.len().checked_sub("ARRAY".len())?;
    let is_array = text.is_char_boundary(at) && text[at..].eq_ignore_ascii_case("ARRAY");
    (is_array && text[..at].ends_with(char::is_whitespace))
        .then(|| text[..at].trim_end())
        .filter(|text| !text.is_empty())
}

fn not_null(text: &str) -> &str {
    let text = text.trim();
    let at = text.len().saturating_sub(" NOT NULL".len());
    let is_so = text.is_char_boundary(at) && text[at..].eq_ignore_ascii_case(" NOT NULL");
    if is_so { text[..at].trim_end() } else { text }
}

/// Pieces between commas that stand in no brackets or quotes.
fn split(text: &str) -> Option<Vec<&str>> {
    let (mut parts, mut depth, mut start, mut quote) = (Vec::new(), 0i32, 0, None);
    for (at, character) in text.char_indices() {
        match (quote, character) {
            (Some(open), character) if open == character => quote = None,
            (Some(_), _) => {}
            (None, '`' | '"' | '\'') => quote = Some(character),
            (None, '<' | '(' | '[') => depth += 1,
            (None, '>' | ')' | ']') => depth -= 1,
            (None, ',') if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        if depth < 0 {
            return None;
        }
    }
    parts.push(&text[start..]);
    (depth == 0 && quote.is_none()).then_some(parts)
}

/// `name T`, `name: T`, either with NOT NULL and a comment.
fn member(text: &str, depth: usize) -> Option<(String, DataType)> {
    let text = text.trim();
    let quote = text.chars().next().filter(|first| matches!(first, '`' | '"'));
    let (name, rest) = match quote {
        Some(quote) => text[1..].split_once(quote)?,
        None => {
            let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'))?;
            text.split_at(end)
        }
    };
    let rest = rest.trim_start();
    let rest = rest.strip_prefix(':').unwrap_or(rest);
    let rest = match rest.rfind(" COMMENT ").or_else(|| rest.rfind(" comment ")) {
        Some(at) if rest.trim_end().ends_with('\'') => &rest[..at],
        _ => rest,
    };
    (!name.is_empty()).then_some((name.to_owned(), parse(not_null(rest), depth)?))
}

#[cfg(test)]
mod tests {
    use super::super::parse_type;
    use super::*;

    #[test]
    fn every_spelling_is_read() {
        let int = DataType::Int;
        let decimal = DataType::Decimal { precision: 10, scale: 2 };
        let row = DataType::row([("a", int), ("b", DataType::array(DataType::Text))]);
        for (text, data_type) in [
            ("ARRAY<INT>", DataType::array(int)),
            ("array ( int )", DataType::array(int)),
            ("INT[]", DataType::array(int)),
            ("INT[3]", DataType::array(int)),
            ("int array", DataType::array(int)),
            ("DECIMAL(10, 2)[][]", DataType::array(DataType::array(decimal))),
            ("ARRAY<ARRAY<DECIMAL(10, 2)>>", DataType::array(DataType::array(decimal))),
            ("MAP<STRING, INT NOT NULL>", DataType::map(DataType::Text, int)),
            ("MAP(VARCHAR, INT)", DataType::map(DataType::Text, int)),
            ("ROW<a INT, b ARRAY<STRING>>", row),
            ("ROW(a INT NOT NULL, b STRING[])", row),
            ("STRUCT<a: INT, b: ARRAY<STRING>>", row),
            ("STRUCT(`a` INT COMMENT 'x, y', \"b\" VARCHAR[])", row),
            ("\"ROW<a INT, b ARRAY<STRING>>\"[]", DataType::array(row)),
        ] {
            assert_eq!(parse_type(text), Some(data_type), "{text}");
            assert_eq!(parse_type(&data_type.to_string()), Some(data_type), "{data_type}");
        }
        let odd = DataType::row([("odd name", DataType::Json)]);
        assert_eq!(parse_type(&odd.to_string()), Some(odd));
        let deep = format!("{}INT{}", "ARRAY<".repeat(200), ">".repeat(200));
        for text in [
            "ARRAY<>",
            "ARRAY<INT",
            "MAP<INT>",
            "MAP<ARRAY<INT>, INT>",
            "ROW<a>",
            "ROW<>",
            "ROW<a INT, A INT>",
            "ARRAY",
            "[]",
            &deep,
        ] {
            assert_eq!(parse_type(text), None, "{text}");
        }
    }

    #[test]
    fn parts_meet_one_by_one() {
        let common = |left: &str, right: &str| super::super::common(parse_type(left)?, parse_type(right)?);
        assert_eq!(common("ARRAY<INT>", "ARRAY<BIGINT>"), parse_type("ARRAY<BIGINT>"));
        assert_eq!(common("ROW<a INT, b STRING>", "ROW<x DOUBLE, y STRING>"), parse_type("ROW<a DOUBLE, b STRING>"));
        assert_eq!(common("MAP<STRING, INT>", "MAP<STRING, STRING>"), None);
        assert_eq!(common("ARRAY<INT>", "INT"), None);
    }
}
