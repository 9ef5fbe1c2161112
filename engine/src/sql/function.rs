//! CREATE FUNCTION and CREATE MACRO: names for expressions.
//!
//! A call is written out before anything else reads the statement: the body's tokens stand where the call
//! stood, the arguments' tokens where their names stood, all with casts to the types that were said. So a
//! function costs what its body costs, works wherever an expression may stand, and what is wrong inside is
//! told at the call. A body may call functions declared before it, never itself.

use std::collections::HashMap;

use sqlparser::dialect::GenericDialect;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::expression::Binder;
use super::query::Planner;
use super::scope::{Scope, ScopeColumn};
use super::statement::{expect_end, name_of, parser, refusal, whole};
use super::token::{is_word, place, token, tokens_of, word, word_of};
use super::{Clock, unsupported};
use crate::error::{Code, Error, Result, Span};
use crate::expr::Expr;

/// Most tokens of a statement after its calls are written out.
const MAX_TOKENS: usize = 100_000;

/// A declared function.
#[derive(Clone, Debug)]
pub(super) struct Function {
    name: String,
    parameters: Vec<Parameter>,
    returns: Option<Vec<TokenWithSpan>>,
    body: Vec<TokenWithSpan>,
}

#[derive(Clone, Debug)]
struct Parameter {
    name: String,
    data_type: Option<Vec<TokenWithSpan>>,
}

/// The functions of a script, by lower-case name.
pub(super) type Functions = HashMap<String, Function>;

/// Whether `CREATE ..` is about a function.
pub(super) fn is_function(tokens: &[TokenWithSpan]) -> bool {
    let at = head(tokens);
    is_word(tokens.get(at), "FUNCTION") || is_word(tokens.get(at), "MACRO")
}

/// Where the word behind CREATE OR REPLACE TEMPORARY stands.
fn head(tokens: &[TokenWithSpan]) -> usize {
    let mut at = 1;
    while ["OR", "REPLACE", "TEMPORARY", "TEMP"].iter().any(|word| is_word(tokens.get(at), word)) {
        at += 1;
    }
    at
}

/// `CREATE FUNCTION f(a INT, b STRING) RETURNS INT [LANGUAGE SQL] RETURN ..`, or `AS '..'`, `AS $$..$$`;
/// `CREATE MACRO f(a, b) AS ..`.
pub(super) fn create(planner: &mut Planner<'_>, tokens: &[TokenWithSpan]) -> Result<()> {
    let mut at = head(tokens);
    let is_macro = is_word(tokens.get(at), "MACRO");
    at += 1;
    if is_word(tokens.get(at), "IF") && is_word(tokens.get(at + 2), "EXISTS") {
        at += 3;
    }
    let usage = "CREATE FUNCTION f(x BIGINT) RETURNS BIGINT RETURN x * 2";
    let wrong = |what: &str, at: usize| {
        let span = tokens.get(at).map_or(whole(tokens), |token| place(token.span));
        Error::new(Code::Syntax, format!("expected {what}")).at(span).help(usage)
    };
    let Some(name) = tokens.get(at).and_then(name_of) else { return Err(wrong("the function's name", at)) };
    let name_span = place(tokens[at].span);
    let Some((parameters, end)) = list(tokens, at + 1) else { return Err(wrong("parameters in parentheses", at + 1)) };
    let parameters = parameters.into_iter().map(|tokens| parameter(tokens, is_macro)).collect::<Result<Vec<_>>>()?;
    for (number, parameter) in parameters.iter().enumerate() {
        if parameters[..number].iter().any(|other| other.name.eq_ignore_ascii_case(&parameter.name)) {
            let message = format!("the parameter `{}` is declared twice", parameter.name);
            return Err(Error::new(Code::AmbiguousColumn, message).at(name_span));
        }
    }
    let mut rest = &tokens[end..];
    let mut returns = None;
    let mut body = None;
    while let Some(first) = rest.first() {
        let span = place(first.span);
        let next = |word: &str| rest.iter().position(|token| is_word(Some(token), word));
        if is_word(Some(first), "RETURNS") {
            let stops = ["RETURN", "AS", "LANGUAGE", "IMMUTABLE", "STABLE", "VOLATILE", "DETERMINISTIC", "NOT"];
            let end = stops.iter().filter_map(|word| next(word)).min().unwrap_or(rest.len());
            if is_word(rest.get(1), "TABLE") {
                return Err(unsupported("functions that return a table are not supported", span)
                    .help("CREATE VIEW gives a query a name"));
            }
            returns = Some(rest[1..end].to_vec());
            rest = &rest[end..];
        } else if is_word(Some(first), "LANGUAGE") {
            if !is_word(rest.get(1), "SQL") {
                let language = rest.get(1).and_then(name_of).unwrap_or_default();
                return Err(unsupported(format!("functions in {language} are not supported"), span)
                    .help("write the function in SQL")
                    .note(format!("for example {usage}")));
            }
            rest = &rest[2..];
        } else if ["IMMUTABLE", "STABLE", "DETERMINISTIC"].iter().any(|word| is_word(Some(first), word)) {
            rest = &rest[1..];
        } else if is_word(Some(first), "RETURN") || is_word(Some(first), "AS") {
            let skip = if is_word(rest.get(1), "RETURN") { 2 } else { 1 };
            body = Some(quoted(&rest[skip..])?.unwrap_or_else(|| rest[skip..].to_vec()));
            break;
        } else {
            return Err(wrong("RETURNS, LANGUAGE SQL, RETURN or AS", tokens.len() - rest.len()));
        }
    }
    let Some(body) = body.filter(|body| !body.is_empty()) else { return Err(wrong("RETURN and an expression", end)) };
    let body = expand(&planner.functions, &body)?;
    let function = Function { name: name.clone(), parameters, returns, body };
    function.check(planner.clock(), name_span)?;
    planner.functions.insert(name.to_lowercase(), function);
    Ok(())
}

/// The tokens of a body in quotes: of what stands behind `SELECT` or `RETURN` in it.
fn quoted(tokens: &[TokenWithSpan]) -> Result<Option<Vec<TokenWithSpan>>> {
    let [only] = tokens else { return Ok(None) };
    let text = match &only.token {
        Token::SingleQuotedString(text) => text,
        Token::DollarQuotedString(text) => &text.value,
        _ => return Ok(None),
    };
    let mut tokens = tokens_of(text, place(only.span))?;
    tokens.retain(|token| token.token != Token::SemiColon);
    if ["SELECT", "RETURN"].iter().any(|word| is_word(tokens.first(), word)) {
        tokens.remove(0);
    }
    Ok(Some(tokens))
}

fn parameter(tokens: Vec<TokenWithSpan>, is_macro: bool) -> Result<Parameter> {
    let span = whole(&tokens);
    let Some(name) = tokens.first().and_then(name_of) else {
        return Err(Error::new(Code::Syntax, "expected a parameter's name").at(span));
    };
    let data_type = (tokens.len() > 1).then(|| tokens[1..].to_vec());
    if data_type.is_none() && !is_macro {
        let error = Error::new(Code::Syntax, format!("the parameter `{name}` has no type")).at(span);
        return Err(error.help(format!("write {name} BIGINT, or CREATE MACRO, which takes any type")));
    }
    Ok(Parameter { name, data_type })
}

/// What stands between the parenthesis at `open` and its match, at commas; and what follows it.
fn list(tokens: &[TokenWithSpan], open: usize) -> Option<(Vec<Vec<TokenWithSpan>>, usize)> {
    if tokens.get(open)?.token != Token::LParen {
        return None;
    }
    let (mut depth, mut items, mut item) = (0, Vec::new(), Vec::new());
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.token {
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            if !(item.is_empty() && items.is_empty()) {
                items.push(item);
            }
            return Some((items, at + 1));
        }
        match token.token {
            Token::Comma if depth == 1 => items.push(std::mem::take(&mut item)),
            _ if at == open => {}
            _ => item.push(token.clone()),
        }
    }
    None
}

impl Function {
    /// Binds the body over its parameters, so that a mistake is told where it is made.
    fn check(&self, clock: Clock, span: Span) -> Result<()> {
        let dialect = GenericDialect;
        let tree = |tokens: &[TokenWithSpan]| {
            let mut parser = parser(&dialect, tokens.to_vec());
            let tree = parser.parse_expr().map_err(|error| refusal(error, tokens))?;
            expect_end(&parser, tokens)?;
            Ok::<_, Error>(tree)
        };
        let body = tree(&self.body)?;
        let mut scope = Scope::default();
        for (number, parameter) in self.parameters.iter().enumerate() {
            let Some(data_type) = &parameter.data_type else { return Ok(()) };
            let cast = cast(&[word("NULL", span)], data_type, span);
            let cast = tree(&cast)?;
            let nothing = Scope::default();
            let bound = Binder::new(&nothing, clock, "a parameter").bind(&cast)?;
            scope.columns.push(ScopeColumn {
                relation: self.name.clone(),
                name: parameter.name.clone(),
                expression: Expr::column(number, bound.data_type),
                merged: false,
            });
        }
        let mut binder = Binder::new(&scope, clock, "a function");
        binder.aggregates = true;
        binder.bind(&body)?;
        if let Some(returns) = &self.returns {
            let cast = tree(&cast(&[word("NULL", span)], returns, span))?;
            Binder::new(&Scope::default(), clock, "RETURNS").bind(&cast)?;
        }
        Ok(())
    }

    /// The body with `arguments` in it.
    fn call(&self, arguments: &[Vec<TokenWithSpan>], span: Span) -> Result<Vec<TokenWithSpan>> {
        if arguments.len() != self.parameters.len() {
            let (takes, given) = (self.parameters.len(), arguments.len());
            let error = Error::new(Code::Type, format!("`{}` takes {takes} arguments, not {given}", self.name));
            return Err(error.at(span));
        }
        let mut body = Vec::with_capacity(self.body.len());
        for (at, token) in self.body.iter().enumerate() {
            let is_part = at > 0 && self.body[at - 1].token == Token::Period;
            let is_call = self.body.get(at + 1).is_some_and(|next| next.token == Token::LParen);
            let named = word_of(token).filter(|_| !is_part && !is_call);
            let number = named.and_then(|name| self.parameters.iter().position(|p| p.name.eq_ignore_ascii_case(name)));
            match number {
                None => body.push(super::token::token(token.token.clone(), span)),
                Some(number) => match &self.parameters[number].data_type {
                    Some(data_type) => body.extend(cast(&arguments[number], data_type, span)),
                    None => body.extend(parentheses(&arguments[number], span)),
                },
            }
        }
        Ok(match &self.returns {
            Some(data_type) => cast(&body, data_type, span),
            None => parentheses(&body, span),
        })
    }
}

fn parentheses(inner: &[TokenWithSpan], span: Span) -> Vec<TokenWithSpan> {
    let mut tokens = vec![token(Token::LParen, span)];
    tokens.extend_from_slice(inner);
    tokens.push(token(Token::RParen, span));
    tokens
}

fn cast(inner: &[TokenWithSpan], data_type: &[TokenWithSpan], span: Span) -> Vec<TokenWithSpan> {
    let mut tokens = parentheses(inner, span);
    tokens.push(word("AS", span));
    tokens.extend(data_type.iter().map(|part| token(part.token.clone(), span)));
    let mut whole = vec![word("CAST", span)];
    whole.extend(parentheses(&tokens, span));
    whole
}

/// `tokens` with the calls of declared functions written out.
pub(super) fn expand(functions: &Functions, tokens: &[TokenWithSpan]) -> Result<Vec<TokenWithSpan>> {
    let mut expanded = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let is_part = at > 0 && tokens[at - 1].token == Token::Period;
        let function = word_of(token).filter(|_| !is_part).and_then(|name| functions.get(&name.to_lowercase()));
        match function.and_then(|function| Some((function, list(tokens, at + 1)?))) {
            Some((function, (arguments, end))) => {
                let arguments = arguments.iter().map(|a| expand(functions, a)).collect::<Result<Vec<_>>>()?;
                expanded.extend(function.call(&arguments, place(token.span))?);
                at = end;
            }
            None => {
                expanded.push(token.clone());
                at += 1;
            }
        }
        if expanded.len() > MAX_TOKENS {
            let error = Error::new(Code::Limit, "the functions called here are too long when written out");
            return Err(error.at(place(token.span)).note(format!("limit: {MAX_TOKENS} words")));
        }
    }
    Ok(expanded)
}
