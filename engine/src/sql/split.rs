//! A script cut into statements, as far as the runner of tests has to know them.

use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::statement::{name_of, whole};
use super::token::{is_word, place, statements};
use super::unsupported;
use crate::error::{Code, Error, Result, Span};

/// One statement of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Where it stands in the script.
    pub span: Span,
    /// What it is.
    pub kind: StatementKind,
}

/// What a statement is to a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatementKind {
    /// `INSERT INTO name [(columns)] VALUES ..`
    Values(Rows),
    /// `INSERT INTO name [(columns)] SELECT ..`: the name, and where the query begins.
    Query(String, u32),
    /// `ASSERT VALUES name [(columns)] VALUES ..`
    AssertValues(Rows),
    /// `ASSERT FILE name 'path'`
    AssertFile(String, String),
    /// Any other.
    Other,
}

/// Rows that stand in the script, and what they are of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// The table, view or stream.
    pub name: String,
    /// The columns named; none for all of them.
    pub columns: Vec<String>,
    /// Values in the first row.
    pub width: usize,
    /// Where `VALUES` begins.
    pub values: u32,
}

/// The statements of `script`, in order.
pub fn split(script: &str) -> Result<Vec<Statement>> {
    let one = |tokens: &Vec<TokenWithSpan>| Ok(Statement { span: whole(tokens), kind: kind(tokens)? });
    statements(script)?.iter().map(one).collect()
}

fn kind(tokens: &[TokenWithSpan]) -> Result<StatementKind> {
    let is = |at: usize, text: &str| is_word(tokens.get(at), text);
    if is(0, "INSERT") && is(1, "INTO") {
        let at = 2 + usize::from(is(2, "TABLE"));
        let (name, columns, at) = target(tokens, at, "INSERT INTO name (columns) VALUES ..")?;
        return Ok(match is(at, "VALUES") {
            true => StatementKind::Values(rows(tokens, name, columns, at)),
            false => StatementKind::Query(name, tokens.get(at).map_or(0, |token| place(token.span).start)),
        });
    }
    if !is(0, "ASSERT") {
        return Ok(StatementKind::Other);
    }
    let usage = "ASSERT VALUES name (columns) VALUES (..), (..)";
    if is(1, "FILE") {
        let (name, path) = (tokens.get(2).and_then(name_of), tokens.get(3).map(|token| &token.token));
        return match (name, path) {
            (Some(name), Some(Token::SingleQuotedString(path))) if tokens.len() == 4 => {
                Ok(StatementKind::AssertFile(name, path.clone()))
            }
            _ => Err(Error::new(Code::Syntax, "expected ASSERT FILE name 'path'").at(whole(tokens))),
        };
    }
    if !is(1, "VALUES") {
        return Err(unsupported("this ASSERT is not supported", whole(tokens))
            .help(usage)
            .note("or ASSERT FILE name 'expected.csv'"));
    }
    let (name, columns, at) = target(tokens, 2, usage)?;
    if !is(at, "VALUES") {
        return Err(Error::new(Code::Syntax, "expected VALUES behind what is asserted").at(whole(tokens)).help(usage));
    }
    Ok(StatementKind::AssertValues(rows(tokens, name, columns, at)))
}

/// A name and its list of columns from `at` on, and where what follows begins.
fn target(tokens: &[TokenWithSpan], at: usize, usage: &str) -> Result<(String, Vec<String>, usize)> {
    let Some(name) = tokens.get(at).and_then(name_of) else {
        return Err(Error::new(Code::Syntax, "expected the name of a table").at(whole(tokens)).help(usage));
    };
    let mut at = at + 1;
    let mut columns = Vec::new();
    let opens = matches!(tokens.get(at).map(|token| &token.token), Some(Token::LParen));
    if opens && !["SELECT", "WITH", "VALUES"].iter().any(|word| is_word(tokens.get(at + 1), word)) {
        at += 1;
        while let Some(token) = tokens.get(at) {
            at += 1;
            match &token.token {
                Token::RParen => break,
                Token::Comma => {}
                _ => columns.push(name_of(token).unwrap_or_default()),
            }
        }
    }
    Ok((name, columns, at))
}

fn rows(tokens: &[TokenWithSpan], name: String, columns: Vec<String>, at: usize) -> Rows {
    let (mut depth, mut width) = (0, 1);
    for token in &tokens[at + 1..] {
        match token.token {
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket => depth -= 1,
            Token::Comma if depth == 1 => width += 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    Rows { name, columns, width, values: place(tokens[at].span).start }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_told_apart() {
        let script = "CREATE STREAM s (a INT); -- note\nINSERT INTO s (a, \"b c\") VALUES (1, f(2, 3)), (4, 5);\n\
            INSERT INTO t SELECT * FROM s; ASSERT VALUES v VALUES (1); ASSERT FILE v 'x.csv';";
        let found = split(script).unwrap();
        let at = |text: &str| script.find(text).unwrap() as u32;
        let kinds: Vec<StatementKind> = found.into_iter().map(|statement| statement.kind).collect();
        let rows = |name: &str, columns: &[&str], width, values| Rows {
            name: name.to_owned(),
            columns: columns.iter().map(|&c| c.to_owned()).collect(),
            width,
            values,
        };
        assert_eq!(
            kinds,
            [
                StatementKind::Other,
                StatementKind::Values(rows("s", &["a", "b c"], 2, at("VALUES (1, f"))),
                StatementKind::Query("t".to_owned(), at("SELECT * FROM s")),
                StatementKind::AssertValues(rows("v", &[], 1, at("VALUES (1);"))),
                StatementKind::AssertFile("v".to_owned(), "x.csv".to_owned()),
            ]
        );
        for wrong in ["ASSERT v", "ASSERT NULL VALUES v (a) KEY (1)", "ASSERT FILE v", "INSERT INTO 5"] {
            assert!(split(wrong).is_err(), "{wrong}");
        }
    }
}
