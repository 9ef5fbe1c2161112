//! Hints: `/*+ STATE_TTL('a' = '1h', 'b' = '1 day') */`, for how long the rows of a join's side are kept.
//!
//! A hint is about the statement in which it stands, and names tables by what they are called there.

use sqlparser::dialect::GenericDialect;
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, Whitespace};

use super::literal;
use super::statement::whole;
use crate::error::{Code, Error, Result, Span};

/// The rows of one table are kept for so long.
#[derive(Debug)]
pub(super) struct Hint {
    /// What the table is called.
    pub table: String,
    /// Microseconds.
    pub micros: i64,
    /// Where it stands, and in which statement.
    pub span: Span,
    statement: Span,
    /// A join has taken it up.
    pub used: bool,
}

impl Hint {
    /// Whether it is about what stands at `span`.
    pub(super) fn covers(&self, span: Span) -> bool {
        self.statement.start <= span.start && span.end <= self.statement.end
    }
}

/// The hints of a script whose statements these are.
pub(super) fn all(script: &str, statements: &[Vec<TokenWithSpan>]) -> Result<Vec<Hint>> {
    let mut hints = Vec::new();
    if !script.contains("/*+") {
        return Ok(hints);
    }
    for (text, span) in super::token::hints(script)? {
        // The one that has begun before it.
        let begun = statements.iter().map(|tokens| whole(tokens)).take_while(|whole| whole.start <= span.start);
        let statement = begun.last().ok_or_else(|| {
            Error::new(Code::Misplaced, "a hint stands inside a statement").at(span).help("write it behind SELECT")
        })?;
        read(&text, span, statement, &mut hints)?;
    }
    Ok(hints)
}

fn read(text: &str, span: Span, statement: Span, hints: &mut Vec<Hint>) -> Result<()> {
    let wrong = || {
        let error = Error::new(Code::Syntax, "this hint is not understood").at(span);
        error.help("write /*+ STATE_TTL('a' = '1h') */")
    };
    let tokens = Tokenizer::new(&GenericDialect, text).tokenize().map_err(|_| wrong())?;
    let mut tokens = tokens
        .into_iter()
        .filter(|token| !matches!(token, Token::Whitespace(Whitespace::Space | Whitespace::Newline | Whitespace::Tab)))
        .peekable();
    while let Some(token) = tokens.next() {
        let Token::Word(name) = token else { return Err(wrong()) };
        if !name.value.eq_ignore_ascii_case("STATE_TTL") {
            let error = Error::new(Code::UnknownOption, format!("there is no hint `{}`", name.value)).at(span);
            return Err(
                error.help("hints: STATE_TTL('table' = '1h'); options of a table stand in CREATE TABLE .. WITH (..)")
            );
        }
        if tokens.next() != Some(Token::LParen) {
            return Err(wrong());
        }
        loop {
            let table = match tokens.next() {
                Some(Token::SingleQuotedString(table)) => table,
                Some(Token::Word(table)) => table.value,
                _ => return Err(wrong()),
            };
            let (Some(Token::Eq), Some(Token::SingleQuotedString(time))) = (tokens.next(), tokens.next()) else {
                return Err(wrong());
            };
            let micros = literal::duration(&time).filter(|&micros| micros > 0).ok_or_else(|| {
                let error = Error::new(Code::BadOption, format!("`{time}` is not a time to live")).at(span);
                error.help("write it as '1h', '30 minutes', '2 days'")
            })?;
            hints.push(Hint { table, micros, span, statement, used: false });
            match tokens.next() {
                Some(Token::Comma) => {}
                Some(Token::RParen) => break,
                _ => return Err(wrong()),
            }
        }
        tokens.next_if_eq(&Token::Comma);
    }
    Ok(())
}
