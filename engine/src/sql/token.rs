//! Script to tokens whose places are bytes, and the limits that protect everything behind.
//!
//! The SQL parser counts places in lines and characters, and only in part of its tree. Every token
//! is therefore given the location (line 1, column = byte + 1) before it is parsed: whatever the
//! parser reports, in its tree or in an error's text, *is* a byte offset into the script, and a
//! token that the pre-pass made up keeps the place of the clause it stands for.

use sqlparser::dialect::GenericDialect;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Location, Span as TokenSpan, Token, TokenWithSpan, Tokenizer, Whitespace, Word};

use crate::error::{Code, Error, Result, Span};

/// Most bytes in a script.
pub const MAX_SCRIPT_BYTES: usize = 1 << 20;
/// Most parentheses, CASEs or subqueries in each other.
pub const MAX_NESTING: usize = 128;
/// Most UNIONs, INTERSECTs and EXCEPTs in one statement.
const MAX_SETS: usize = 256;
/// Most operators in a row without a comma or parenthesis between them.
const MAX_CHAIN: usize = 1_024;

/// The place of a token or a piece of the parser's tree.
pub(super) fn place(span: TokenSpan) -> Span {
    if span.start.line == 0 {
        return Span::NONE;
    }
    let byte = |location: Location| u32::try_from(location.column.saturating_sub(1)).unwrap_or(u32::MAX);
    Span { start: byte(span.start), end: byte(span.end) }
}

/// The opposite of [`place`].
pub(super) fn token_span(span: Span) -> TokenSpan {
    let location = |byte: u32| Location { line: 1, column: u64::from(byte) + 1 };
    TokenSpan { start: location(span.start), end: location(span.end) }
}

/// A token made up at the place of another.
pub(super) fn token(token: Token, span: Span) -> TokenWithSpan {
    TokenWithSpan { token, span: token_span(span) }
}

/// A keyword or name made up at the place of another token.
pub(super) fn word(text: &str, span: Span) -> TokenWithSpan {
    token(Token::make_word(text, None), span)
}

/// Whether `token` is the unquoted word `text`, without regard to case.
pub(super) fn is_word(token: Option<&TokenWithSpan>, text: &str) -> bool {
    token.and_then(word_of).is_some_and(|word| word.eq_ignore_ascii_case(text))
}

/// The text of an unquoted word.
pub(super) fn word_of(token: &TokenWithSpan) -> Option<&str> {
    match &token.token {
        Token::Word(Word { value, quote_style: None, .. }) => Some(value),
        _ => None,
    }
}

/// All tokens of `script` with byte places, split into statements; white space is gone.
pub(super) fn statements(script: &str) -> Result<Vec<Vec<TokenWithSpan>>> {
    if script.len() > MAX_SCRIPT_BYTES {
        let error = Error::new(Code::Limit, format!("the script has {} bytes", script.len()));
        return Err(error.note(format!("limit: {MAX_SCRIPT_BYTES} bytes of SQL")));
    }
    let mut places = Places::new(script);
    let tokens = Tokenizer::new(&GenericDialect, script).tokenize_with_location().map_err(|error| {
        let start = Places::new(script).byte(error.location);
        Error::new(Code::Syntax, tidy(&error.message)).at(Span { start, end: start + 1 })
    })?;
    let mut all = Vec::new();
    let mut statement = Vec::new();
    for TokenWithSpan { token: found, span } in tokens {
        let start = places.byte(span.start);
        let span = Span { start, end: places.byte(span.end) };
        match found {
            Token::Whitespace(_) | Token::EOF => {}
            Token::SemiColon => all.push(std::mem::take(&mut statement)),
            found => statement.push(token(found, span)),
        }
    }
    all.push(statement);
    all.retain(|statement: &Vec<TokenWithSpan>| !statement.is_empty());
    all.iter().try_for_each(|statement| check_limits(statement))?;
    Ok(all)
}

/// The tokens of a text inside a token, all at its place.
pub(super) fn tokens_of(text: &str, span: Span) -> Result<Vec<TokenWithSpan>> {
    let tokens = Tokenizer::new(&GenericDialect, text).tokenize();
    let tokens = tokens.map_err(|error| Error::new(Code::Syntax, tidy(&error.message)).at(span))?;
    let tokens = tokens.into_iter().filter(|token| !matches!(token, Token::Whitespace(_) | Token::EOF));
    let tokens: Vec<TokenWithSpan> = tokens.map(|found| token(found, span)).collect();
    check_limits(&tokens)?;
    Ok(tokens)
}

/// The texts of all hints `/*+ .. */`, with their places.
pub(super) fn hints(script: &str) -> Result<Vec<(String, Span)>> {
    let mut places = Places::new(script);
    let tokens = Tokenizer::new(&GenericDialect, script).tokenize_with_location().map_err(|error| {
        let start = Places::new(script).byte(error.location);
        Error::new(Code::Syntax, tidy(&error.message)).at(Span { start, end: start + 1 })
    })?;
    let mut hints = Vec::new();
    for TokenWithSpan { token, span } in tokens {
        let start = places.byte(span.start);
        let span = Span { start, end: places.byte(span.end) };
        if let Token::Whitespace(Whitespace::MultiLineComment(text)) = token
            && let Some(text) = text.strip_prefix('+')
        {
            hints.push((text.to_owned(), span));
        }
    }
    Ok(hints)
}

/// A message of the parser in our own words: one line, names in backticks.
pub(super) fn tidy(message: &str) -> String {
    let message = message.split(" at Line: ").next().unwrap_or(message).trim();
    let message = message.strip_prefix("sql parser error: ").unwrap_or(message);
    let Some((expected, found)) = message.split_once(", found: ") else { return message.replace('\n', " ") };
    let expected = expected.strip_prefix("Expected: ").map_or(expected.to_owned(), |what| format!("expected {what}"));
    match found {
        "EOF" => format!("{expected}, found the end of the statement"),
        found => format!("{expected}, found `{found}`"),
    }
}

/// Keeps the recursive parser, and whatever walks its tree, from running out of stack.
pub(super) fn check_limits(tokens: &[TokenWithSpan]) -> Result<()> {
    let mut chains = vec![0usize];
    let mut cases = 0usize;
    let mut sets = 0usize;
    for token in tokens {
        let limit = |what: &str, most: usize| {
            Err(Error::new(Code::Limit, format!("{what} is more than Corelane reads"))
                .at(place(token.span))
                .note(format!("limit: {most}")))
        };
        if is_word(Some(token), "CASE") {
            cases += 1;
            if cases > MAX_NESTING {
                return limit("nesting this deep", MAX_NESTING);
            }
        } else if is_word(Some(token), "END") {
            cases = cases.saturating_sub(1);
        }
        if ["UNION", "INTERSECT", "EXCEPT", "MINUS"].iter().any(|set| is_word(Some(token), set)) {
            sets += 1;
            if sets > MAX_SETS {
                return limit("this many UNIONs in one statement", MAX_SETS);
            }
        }
        let chain = chains.last_mut().expect("one per open parenthesis, and the statement's own");
        match &token.token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                if chains.len() > MAX_NESTING {
                    return limit("nesting this deep", MAX_NESTING);
                }
                chains.push(0);
            }
            Token::RParen | Token::RBracket | Token::RBrace => {
                if chains.len() > 1 {
                    chains.pop();
                }
            }
            Token::Comma => *chain = 0,
            Token::Word(Word { keyword, quote_style: None, .. }) => match keyword {
                Keyword::WHEN | Keyword::THEN | Keyword::SELECT | Keyword::FROM | Keyword::WHERE => *chain = 0,
                Keyword::AND
                | Keyword::OR
                | Keyword::NOT
                | Keyword::IS
                | Keyword::IN
                | Keyword::LIKE
                | Keyword::ILIKE
                | Keyword::BETWEEN
                | Keyword::UNION
                | Keyword::CASE
                | Keyword::EXCEPT
                | Keyword::INTERSECT
                | Keyword::COLLATE
                | Keyword::AT => *chain += 1,
                _ => {}
            },
            Token::Number(..) | Token::SingleQuotedString(_) | Token::Word(_) | Token::Period => {}
            _ => *chain += 1,
        }
        if chains.last().is_some_and(|&chain| chain > MAX_CHAIN) {
            return limit("an expression of this many operators", MAX_CHAIN);
        }
    }
    Ok(())
}

/// Turns lines and characters into bytes; asked in rising order it reads the script once.
struct Places<'a> {
    script: &'a str,
    line: u64,
    column: u64,
    byte: usize,
}

impl<'a> Places<'a> {
    fn new(script: &'a str) -> Self {
        Places { script, line: 1, column: 1, byte: 0 }
    }

    fn byte(&mut self, location: Location) -> u32 {
        for character in self.script[self.byte..].chars() {
            if (self.line, self.column) >= (location.line, location.column) {
                break;
            }
            self.byte += character.len_utf8();
            if character == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
        u32::try_from(self.byte).expect("a script is at most 1 MiB")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bytes_even_behind_wide_characters() {
        let script = "-- gr\u{fc}n\nSELECT '\u{20ac}' x;\n\tSELECT 2";
        let statements = statements(script).unwrap();
        let text = |token: &TokenWithSpan| {
            let Span { start, end } = place(token.span);
            script[start as usize..end as usize].to_owned()
        };
        let texts: Vec<Vec<String>> = statements.iter().map(|tokens| tokens.iter().map(text).collect()).collect();
        assert_eq!(texts, [vec!["SELECT", "'\u{20ac}'", "x"], vec!["SELECT", "2"]]);
    }

    #[test]
    fn hostile_scripts_end_in_a_limit() {
        let deep = format!("SELECT {}1", "(".repeat(1_000_000));
        let long = format!("SELECT 1{}", "+1".repeat(400_000));
        let large = " ".repeat(MAX_SCRIPT_BYTES + 1);
        let cases = format!("SELECT {}1{}", "CASE WHEN a THEN ".repeat(20_000), " END".repeat(20_000));
        for script in [deep, long, large, cases] {
            assert_eq!(statements(&script).unwrap_err().code(), Code::Limit);
        }
    }
}
