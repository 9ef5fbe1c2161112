//! SIMILAR TO: the standard's patterns, as regular expressions.
//!
//! `%` and `_` are those of LIKE; `|`, `*`, `+`, `?`, `{m,n}`, groups and classes are as in regular
//! expressions; all other characters mean themselves. The pattern is of the whole text.

use super::typed::{call, negate_if, text};
use crate::error::{Result, Span};
use crate::expr::{Expr, ExprKind};
use crate::sql::unsupported;
use crate::types::Value;

/// `input SIMILAR TO pattern`.
pub(super) fn to(input: Expr, pattern: Expr, escape: Option<char>, negated: bool, span: Span) -> Result<Expr> {
    let ExprKind::Literal(Value::Text(wanted)) = &pattern.kind else {
        let error = unsupported("SIMILAR TO with a pattern that is not a constant is not supported", pattern.span);
        return Err(error.help("write REGEXP_LIKE(x, pattern)"));
    };
    let regex = text(regex(wanted, escape.unwrap_or('\\')), pattern.span);
    Ok(negate_if(negated, call("regexp_like", vec![input, regex], span)?))
}

fn regex(pattern: &str, escape: char) -> String {
    let mut out = "^(?s:".to_owned();
    let mut chars = pattern.chars();
    let mut in_class = false;
    while let Some(c) = chars.next() {
        match c {
            c if c == escape => out.extend(chars.next().map(|c| regex::escape(&c.to_string()))),
            '[' | ']' => {
                in_class = c == '[';
                out.push(c);
            }
            c if in_class => out.push(c),
            '%' => out.push_str(".*"),
            '_' => out.push('.'),
            '|' | '*' | '+' | '?' | '{' | '}' | '(' | ')' => out.push(c),
            c => out.push_str(&regex::escape(&c.to_string())),
        }
    }
    out.push_str(")$");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_of_the_whole_text() {
        for (pattern, text, found) in [
            ("abc", "abc", true),
            ("a", "abc", false),
            ("%(b|d)%", "abc", true),
            ("(b|c)%", "abc", false),
            ("a.c", "abc", false),
            ("a_c", "abc", true),
            ("[a-c]{3}", "abc", true),
            ("a\\%", "a%", true),
            ("a\\%", "ab", false),
            ("x|y", "y", true),
            ("a%c", "a\nc", true),
        ] {
            let compiled = ::regex::Regex::new(&regex(pattern, '\\')).expect("a pattern");
            assert_eq!(compiled.is_match(text), found, "{text} SIMILAR TO {pattern}");
        }
    }
}
