//! One statement: which kind it is, and who reads it.

use sqlparser::ast;
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::query::Planner;
use super::suggest::{did_you_mean, nearest};
use super::token::{check_limits, is_word, place, tidy, word_of};
use super::{Dialect, Explain, ddl, function, prepass, show, unsupported};
use crate::error::{Code, Error, Result, Span};
use crate::zone::named;

/// The parser's own count of levels; a level of ours takes at most two of its.
const PARSER_RECURSION: usize = 2 * super::MAX_NESTING;

/// Runs one statement: declares what it declares, plans what it asks for.
pub(super) fn run(planner: &mut Planner<'_>, tokens: &[TokenWithSpan], last: bool) -> Result<()> {
    let expanded;
    let tokens = if planner.functions.is_empty() {
        tokens
    } else {
        expanded = function::expand(&planner.functions, tokens)?;
        check_limits(&expanded)?;
        &expanded[..]
    };
    let span = whole(tokens);
    let is = |at: usize, text: &str| is_word(tokens.get(at), text);
    if is(0, "EXPLAIN") {
        let in_parentheses = |at: usize, token: &Token| tokens.get(at).is_some_and(|found| found.token == *token);
        if is(1, "CANONICAL") {
            return canonical(planner, &tokens[2..], span);
        }
        if is(2, "CANONICAL") && in_parentheses(1, &Token::LParen) && in_parentheses(3, &Token::RParen) {
            return canonical(planner, &tokens[4..], span);
        }
        let analyze = is(1, "ANALYZE");
        let skip = if is(1, "PLAN") && is(2, "FOR") { 3 } else { 1 + usize::from(analyze) };
        if matches!(tokens.get(1).map(|t| &t.token), Some(Token::LParen)) {
            return Err(unsupported("this form of EXPLAIN is not supported yet", span)
                .help("write EXPLAIN SELECT .., EXPLAIN ANALYZE SELECT .. or EXPLAIN (CANONICAL) SELECT .."));
        }
        if analyze && is(2, "INSERT") {
            return Err(unsupported("EXPLAIN ANALYZE of an INSERT is not supported", span)
                .help("take its SELECT alone: the rows of EXPLAIN ANALYZE go nowhere"));
        }
        planner.explain = Some(if analyze { Explain::Analyze } else { Explain::Plan });
        return run(planner, &tokens[skip.min(tokens.len())..], last);
    }
    if is(0, "SELECT")
        || is(0, "WITH")
        || is(0, "FROM")
        || is(0, "VALUES")
        || matches!(tokens.first().map(|t| &t.token), Some(Token::LParen))
    {
        if !last {
            return Err(unsupported("only the last statement may be a SELECT", place(tokens[0].span))
                .help("write INSERT INTO .. SELECT for the others"));
        }
        let (query, emit) = query(tokens)?;
        return planner.select(query, emit, span);
    }
    if is(0, "INSERT") && is(1, "INTO") {
        return insert(planner, tokens);
    }
    if is(0, "CREATE") && function::is_function(tokens) {
        return function::create(planner, tokens);
    }
    if is(0, "CREATE") {
        return ddl::create(planner, tokens);
    }
    if is(0, "SHOW") || is(0, "LIST") {
        return show::show(planner, tokens);
    }
    if is(0, "DESCRIBE") || is(0, "DESC") {
        return show::describe(planner, tokens);
    }
    if is(0, "SET") {
        return set(planner, &tokens[1..], span);
    }
    if is(0, "DROP") {
        return drop(planner, tokens);
    }
    // A statement set is what a script is anyway: all its INSERTs run together.
    for opening in [&["EXECUTE", "STATEMENT", "SET", "BEGIN"][..], &["BEGIN", "STATEMENT", "SET"]] {
        if opening.iter().enumerate().all(|(at, word)| is(at, word)) {
            let rest = &tokens[opening.len()..];
            return if rest.is_empty() { Ok(()) } else { run(planner, rest, last) };
        }
    }
    if is(0, "END") && tokens.len() == 1 {
        return Ok(());
    }
    let Some(first) = tokens.first() else {
        return Err(Error::new(Code::Syntax, "expected a statement").at(span));
    };
    let word = word_of(first).unwrap_or_default().to_ascii_uppercase();
    let known = ["SELECT", "INSERT", "CREATE", "EXPLAIN", "WITH", "DESCRIBE", "SHOW", "SET", "DROP"];
    let statements =
        "statements: CREATE TABLE, CREATE VIEW, INSERT INTO .. SELECT, SELECT, EXPLAIN, DESCRIBE, SHOW, SET, DROP";
    if ["UPDATE", "DELETE", "MERGE", "TRUNCATE", "ALTER", "GRANT", "REVOKE", "USE"].contains(&word.as_str()) {
        let why = "Corelane reads files and writes new ones; it keeps no tables to change";
        return Err(unsupported(format!("{word} is not supported"), place(first.span)).note(why).note(statements));
    }
    if word == "ASSERT" {
        return Err(unsupported("ASSERT belongs to tests", place(first.span)).help("run the file with `corelane test`"));
    }
    let later = ["RESET", "EXECUTE", "STATEMENT", "BEGIN", "TABLE", "UNSET", "TERMINATE", "ADD"];
    if later.contains(&word.as_str()) {
        return Err(unsupported(format!("{word} is not supported"), place(first.span)).note(statements));
    }
    let error =
        Error::new(Code::Syntax, format!("expected a statement, found `{}`", first.token)).at(place(first.span));
    Err(match did_you_mean(&word, known) {
        Some(help) => error.help(help),
        None => error.help("begin with SELECT, INSERT INTO, CREATE TABLE, CREATE VIEW or EXPLAIN"),
    })
}

/// EXPLAIN (CANONICAL): shows a query as it is understood. What it is written into stays as it is.
fn canonical(planner: &mut Planner<'_>, tokens: &[TokenWithSpan], span: Span) -> Result<()> {
    let is = |at: usize, text: &str| is_word(tokens.get(at), text);
    let begins = |at: &usize| {
        let at = at + usize::from(matches!(tokens[*at].token, Token::LParen));
        is(at, "SELECT") || is(at, "WITH") || is(at, "VALUES") || is(at, "FROM")
    };
    let first = match () {
        () if is(0, "INSERT") => (2..tokens.len()).find(begins),
        () => (0..tokens.len().min(1)).find(begins),
    };
    let Some(first) = first else {
        let error = unsupported("EXPLAIN (CANONICAL) is of a SELECT or an INSERT INTO", span);
        return Err(error.help("write EXPLAIN (CANONICAL) SELECT .."));
    };
    planner.try_out(|planner| run(planner, tokens, true))?;
    let (query, emit) = query(&tokens[first..])?;
    let into: Vec<String> = tokens[..first].iter().map(|token| token.token.to_string()).collect();
    let into = if into.is_empty() { String::new() } else { format!("{} ", into.join(" ")) };
    let text = super::canonical::text(&query, emit, planner.clock())?;
    planner.show(&format!("{into}{text}\n"));
    Ok(())
}

/// The place of a statement.
pub(super) fn whole(tokens: &[TokenWithSpan]) -> Span {
    tokens.iter().fold(Span::NONE, |span, token| span.to(place(token.span)))
}

/// What EMIT said, and where.
pub(super) type Said = Option<(crate::plan::Emit, Span)>;

/// Tokens of a query to its tree, with what EMIT said.
pub(super) fn query(tokens: &[TokenWithSpan]) -> Result<(Box<ast::Query>, Said)> {
    let lifted = prepass::lift(tokens)?;
    let dialect = GenericDialect;
    let mut parser = parser(&dialect, lifted.tokens.clone());
    let query = parser.parse_query().map_err(|error| refusal(error, &lifted.tokens))?;
    expect_end(&parser, &lifted.tokens)?;
    Ok((query, lifted.emit))
}

/// A parser over tokens with byte places.
pub(super) fn parser(dialect: &GenericDialect, tokens: Vec<TokenWithSpan>) -> Parser<'_> {
    Parser::new(dialect).with_recursion_limit(PARSER_RECURSION).with_tokens_with_locations(tokens)
}

/// Nothing may follow.
pub(super) fn expect_end(parser: &Parser<'_>, tokens: &[TokenWithSpan]) -> Result<()> {
    let next = parser.peek_token();
    if next.token == Token::EOF {
        return Ok(());
    }
    let error = Error::new(Code::Syntax, format!("expected the end of the statement, found `{}`", next.token));
    Err(misspelt(error.at(place(next.span)), tokens))
}

/// The parser's error in our own words, at the token it means.
pub(super) fn refusal(error: ParserError, tokens: &[TokenWithSpan]) -> Error {
    let message = match error {
        ParserError::RecursionLimitExceeded => {
            return Error::new(Code::Limit, "nesting this deep is more than Corelane reads")
                .at(whole(tokens))
                .note(format!("limit: {}", super::MAX_NESTING));
        }
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
    };
    let column = message.rsplit_once("Column: ").and_then(|(_, column)| column.trim().parse::<u32>().ok());
    let start = column.map(|column| column.saturating_sub(1));
    let end = whole(tokens).end;
    let found = start.and_then(|start| tokens.iter().find(|token| place(token.span).start == start));
    let span = found.map_or(Span { start: end, end }, |token| place(token.span));
    misspelt(Error::new(Code::Syntax, tidy(&message)).at(span), tokens)
}

/// `SELECT a FORM t` fails at `t`, one token late: the word before may be the culprit.
fn misspelt(error: Error, tokens: &[TokenWithSpan]) -> Error {
    let keywords =
        ["FROM", "WHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "SELECT", "BETWEEN", "PARTITION", "WATERMARK"];
    let span = error.report().span;
    let here = tokens.iter().position(|token| place(token.span) == span).unwrap_or(tokens.len());
    for token in [here.checked_sub(1), Some(here)].into_iter().flatten().filter_map(|at| tokens.get(at)) {
        let Some(word) = word_of(token) else { continue };
        let exact = keywords.iter().any(|keyword| keyword.eq_ignore_ascii_case(word));
        if let Some(keyword) = nearest(word, keywords).filter(|_| !exact && word.len() > 3) {
            return Error::new(Code::Syntax, format!("expected `{keyword}`, found `{word}`"))
                .at(place(token.span))
                .help(format!("did you mean `{keyword}`?"));
        }
    }
    error
}

/// `INSERT INTO t [(columns)] SELECT ..`
fn insert(planner: &mut Planner<'_>, tokens: &[TokenWithSpan]) -> Result<()> {
    let mut at = 2 + usize::from(is_word(tokens.get(2), "TABLE"));
    let Some(name) = tokens.get(at).and_then(name_of) else {
        return Err(Error::new(Code::Syntax, "expected the name of a table behind INSERT INTO").at(whole(tokens)));
    };
    let name_span = place(tokens[at].span);
    at += 1;
    let mut columns = Vec::new();
    let listed = matches!(tokens.get(at).map(|t| &t.token), Some(Token::LParen))
        && !["SELECT", "WITH"].iter().any(|word| is_word(tokens.get(at + 1), word));
    if listed {
        at += 1;
        while let Some(token) = tokens.get(at) {
            at += 1;
            match &token.token {
                Token::RParen => break,
                Token::Comma => {}
                _ => columns.push((name_of(token).unwrap_or_default(), place(token.span))),
            }
        }
    }
    let rest = &tokens[at.min(tokens.len())..];
    let (query, emit) = query(rest)?;
    planner.insert(&name, name_span, &columns, query, emit, whole(tokens))
}

/// Settings of other engines that stand in many scripts and say what is so anyhow, or nothing about results; and their
/// values, where others would be wrong.
const WITHOUT_EFFECT: [(&str, &[&str]); 7] = [
    ("auto.offset.reset", &["earliest"]),
    ("execution.runtime-mode", &["streaming", "batch"]),
    ("sql-client.execution.result-mode", &[]),
    ("parallelism.default", &[]),
    ("pipeline.name", &[]),
    ("streaming_parallelism", &[]),
    ("rw_streaming_enable_delta_join", &[]),
];

/// `SET dialect = 'flink'`, `SET time_zone = 'Europe/Berlin'`
fn set(planner: &mut Planner<'_>, tokens: &[TokenWithSpan], span: Span) -> Result<()> {
    let Some(key) = tokens.first().and_then(name_of) else {
        return Err(Error::new(Code::Syntax, "expected a setting behind SET").at(span).help("SET dialect = 'flink'"));
    };
    let is_equals = matches!(tokens.get(1).map(|token| &token.token), Some(Token::Eq)) || is_word(tokens.get(1), "TO");
    let value = tokens.get(2).filter(|_| is_equals && tokens.len() == 3).and_then(name_of);
    if ["time_zone", "timezone", "table.local-time-zone"].iter().any(|known| key.eq_ignore_ascii_case(known)) {
        let Some(name) = value else {
            let error = Error::new(Code::BadOption, "expected the name of a time zone").at(span);
            return Err(error.help("SET time_zone = 'Europe/Berlin'"));
        };
        planner.move_to(named(&name).map_err(|error| error.at(span))?);
        return Ok(());
    }
    if let Some((_, values)) = WITHOUT_EFFECT.iter().find(|(known, _)| key.eq_ignore_ascii_case(known))
        && let Some(value) = &value
    {
        if !values.is_empty() && values.iter().all(|known| !value.eq_ignore_ascii_case(known)) {
            let error = unsupported(format!("`{key}` = `{value}` is not supported"), span);
            return Err(error.help(format!("it is always {}", values.join(" or "))));
        }
        planner.warn(format!("SET '{key}' changes nothing here"));
        return Ok(());
    }
    if !key.eq_ignore_ascii_case("dialect") {
        let error = Error::new(Code::UnknownOption, format!("there is no setting `{key}`")).at(span);
        return Err(error.help("settings: dialect, time_zone; everything else is a flag of `corelane run`"));
    }
    let known = Dialect::ALL.map(|(name, _)| name);
    let Some(dialect) = value.as_deref().and_then(Dialect::parse) else {
        let error = Error::new(Code::BadOption, "expected the name of a dialect").at(span);
        return Err(error.help(format!("SET dialect = '..', one of {}", known.join(", "))));
    };
    planner.follow(dialect);
    Ok(())
}

/// `DROP TABLE|VIEW|STREAM|.. [IF EXISTS] name`: takes a declaration back.
fn drop(planner: &mut Planner<'_>, tokens: &[TokenWithSpan]) -> Result<()> {
    let mut at = 1;
    while ["TEMPORARY", "TEMP", "MATERIALIZED"].iter().any(|word| is_word(tokens.get(at), word)) {
        at += 1;
    }
    let kinds = ["TABLE", "VIEW", "STREAM", "SOURCE", "SINK", "FUNCTION", "MACRO"];
    if !kinds.iter().any(|kind| is_word(tokens.get(at), kind)) {
        return Err(unsupported("this DROP is not supported", whole(tokens)).help("write DROP TABLE IF EXISTS name"));
    }
    at += 1;
    let if_exists = is_word(tokens.get(at), "IF") && is_word(tokens.get(at + 1), "EXISTS");
    at += 2 * usize::from(if_exists);
    let Some(name) = tokens.get(at).and_then(name_of) else {
        return Err(Error::new(Code::Syntax, "expected a name behind DROP").at(whole(tokens)));
    };
    let span = place(tokens[at].span);
    let is_function = planner.functions.remove(&name.to_lowercase()).is_some();
    if !is_function && !planner.forget(&name, span)? && !if_exists {
        let error = Error::new(Code::UnknownTable, format!("`{name}` is not declared in this script")).at(span);
        return Err(error.help("leave it out, or write IF EXISTS: nothing outlives a script"));
    }
    let rest = tokens.get(at + 1).filter(|token| !is_word(Some(token), "CASCADE") && !is_word(Some(token), "RESTRICT"));
    match rest {
        Some(more) => Err(Error::new(Code::Syntax, "expected the end of the statement").at(place(more.span))),
        None => Ok(()),
    }
}

/// The name a token is, quoted or not.
pub(super) fn name_of(token: &TokenWithSpan) -> Option<String> {
    match &token.token {
        Token::Word(word) => Some(word.value.clone()),
        Token::SingleQuotedString(text) => Some(text.clone()),
        _ => None,
    }
}
