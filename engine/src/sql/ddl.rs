//! CREATE TABLE and CREATE VIEW: read by hand, on the parser's primitives, because no parser knows
//! WATERMARK FOR and computed columns without a type.

use sqlparser::ast::{self, BinaryOperator};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::expression::Binder;
use super::query::Planner;
use super::scope::Scope;
use super::statement::{expect_end, name_of, parser, query, refusal, whole};
use super::suggest::did_you_mean;
use super::token::{is_word, place, word_of};
use super::{ComputedColumn, MAX_COLUMNS, Table, TableColumn, TableOption, Watermark, unsupported};
use crate::error::{Code, Error, Result, Span};
use crate::expr::ExprKind;
use crate::types::{DataType, Value};

/// Declares a table or a view.
pub(super) fn create(planner: &mut Planner<'_>, tokens: &[TokenWithSpan]) -> Result<()> {
    let mut at = 1;
    if is_word(tokens.get(at), "OR") && is_word(tokens.get(at + 1), "REPLACE") {
        at += 2;
    }
    if is_word(tokens.get(at), "TEMPORARY") || is_word(tokens.get(at), "EXTERNAL") {
        at += 1;
    }
    let kind = tokens.get(at).and_then(word_of).unwrap_or_default().to_ascii_uppercase();
    let kind_span = tokens.get(at).map_or(whole(tokens), |token| place(token.span));
    at += 1;
    if is_word(tokens.get(at), "IF") && is_word(tokens.get(at + 1), "NOT") && is_word(tokens.get(at + 2), "EXISTS") {
        at += 3;
    }
    let Some(name) = tokens.get(at).and_then(name_of) else {
        return Err(Error::new(Code::Syntax, "expected a name behind CREATE").at(kind_span));
    };
    let name_span = place(tokens[at].span);
    let rest = &tokens[at + 1..];
    match kind.as_str() {
        "TABLE" | "SOURCE" | "SINK" | "STREAM" => {
            let lifted = super::prepass::lift(rest)?;
            let table = table(name, name_span, lifted.tokens, planner.now_us())?;
            planner.declare(table)
        }
        "VIEW" => {
            let as_at = rest.iter().position(|token| is_word(Some(token), "AS"));
            let Some(as_at) = as_at else {
                return Err(Error::new(Code::Syntax, "expected AS behind the view's name").at(name_span));
            };
            let columns = rest[..as_at].iter().filter_map(name_of).collect();
            let (query, emit) = query(&rest[as_at + 1..])?;
            if let Some((_, span)) = emit {
                return Err(
                    unsupported("EMIT in a view is not supported", span).help("put it in the SELECT that reads it")
                );
            }
            planner.declare_view(name, name_span, columns, query)
        }
        _ => Err(unsupported(format!("CREATE {kind} is not supported yet"), kind_span)
            .help("use CREATE TABLE .. WITH (..) or CREATE VIEW .. AS SELECT")),
    }
}

fn table(name: String, span: Span, tokens: Vec<TokenWithSpan>, now_us: i64) -> Result<Table> {
    let dialect = GenericDialect;
    let mut reader = Reader {
        parser: parser(&dialect, tokens.clone()),
        tokens: &tokens,
        table: Table { span, ..Table::of(name, []) },
        now_us,
    };
    if reader.parser.consume_token(&Token::LParen) {
        reader.columns()?;
    }
    if reader.word("WITH") {
        reader.options()?;
    }
    if reader.word("AS") {
        return Err(unsupported("CREATE TABLE .. AS SELECT is not supported yet", span)
            .help("CREATE TABLE t WITH (..); INSERT INTO t SELECT .."));
    }
    expect_end(&reader.parser, &tokens)?;
    let table = reader.table;
    if let Some(watermark) = &table.watermark {
        let names = || table.columns.iter().map(|column| &column.name).chain(table.computed.iter().map(|c| &c.name));
        if !table.columns.is_empty() && !names().any(|name| name.eq_ignore_ascii_case(&watermark.column)) {
            let error = Error::new(Code::UnknownColumn, format!("column `{}` not found", watermark.column));
            let error = error.at(watermark.span);
            return Err(match did_you_mean(&watermark.column, names().map(String::as_str)) {
                Some(help) => error.help(help),
                None => error,
            });
        }
    }
    Ok(table)
}

struct Reader<'t, 'd> {
    parser: Parser<'d>,
    tokens: &'t [TokenWithSpan],
    table: Table,
    now_us: i64,
}

impl Reader<'_, '_> {
    /// Takes the word if it is next.
    fn word(&mut self, text: &str) -> bool {
        let found = is_word(Some(&self.parser.peek_token()), text);
        if found {
            self.parser.next_token();
        }
        found
    }

    fn expected<T>(&self, what: &str) -> Result<T> {
        let next = self.parser.peek_token();
        let end = whole(self.tokens).end;
        let (found, span) = match next.token {
            Token::EOF => ("the end of the statement".to_owned(), Span { start: end, end }),
            _ => (format!("`{}`", next.token), place(next.span)),
        };
        Err(Error::new(Code::Syntax, format!("expected {what}, found {found}")).at(span))
    }

    fn name(&mut self, what: &str) -> Result<(String, Span)> {
        match &self.parser.peek_token().token {
            Token::Word(word) => {
                let word = word.value.clone();
                Ok((word, place(self.parser.next_token().span)))
            }
            _ => self.expected(what),
        }
    }

    fn expression(&mut self) -> Result<ast::Expr> {
        self.parser.parse_expr().map_err(|error| refusal(error, self.tokens))
    }

    fn columns(&mut self) -> Result<()> {
        let mut ordinal = 0;
        loop {
            let watermark = is_word(Some(&self.parser.peek_token()), "WATERMARK");
            if watermark && is_word(Some(&self.parser.peek_nth_token(1)), "FOR") {
                self.watermark()?;
            } else if is_word(Some(&self.parser.peek_token()), "PRIMARY")
                && is_word(Some(&self.parser.peek_nth_token(1)), "KEY")
            {
                self.primary_key()?;
            } else {
                self.column(ordinal)?;
                ordinal += 1;
            }
            if ordinal > MAX_COLUMNS {
                let error = Error::new(Code::Limit, format!("table `{}` has too many columns", self.table.name));
                return Err(error.at(self.table.span).note(format!("limit: {MAX_COLUMNS} columns")));
            }
            if self.parser.consume_token(&Token::RParen) {
                return Ok(());
            }
            if !self.parser.consume_token(&Token::Comma) {
                return self.expected("`,` or `)`");
            }
        }
    }

    /// `name type [NOT NULL]`, `name AS expr`, `name type AS (expr)`, `.. GENERATED ALWAYS AS (expr)`.
    fn column(&mut self, ordinal: usize) -> Result<()> {
        let (name, span) = self.name("a column")?;
        let taken =
            self.table.columns.iter().map(|column| &column.name).chain(self.table.computed.iter().map(|c| &c.name));
        if taken.into_iter().any(|taken| taken.eq_ignore_ascii_case(&name)) {
            return Err(Error::new(Code::AmbiguousColumn, format!("column `{name}` is declared twice")).at(span));
        }
        if self.word("AS") {
            let expression = self.expression()?;
            self.table.computed.push(ComputedColumn { name, expression, data_type: None, ordinal, span });
            return Ok(());
        }
        let type_span = place(self.parser.peek_token().span);
        let written = self.parser.parse_data_type().map_err(|error| refusal(error, self.tokens))?;
        let data_type = super::parse_type(&written.to_string()).ok_or_else(|| {
            let error = unsupported(format!("the type {written} is not supported"), type_span);
            error.note(
                "types: BOOLEAN, INT, BIGINT, DOUBLE, DECIMAL(p, s), STRING, TIMESTAMP(p), TIMESTAMP_LTZ(p), DATE",
            )
        })?;
        let generated = self.word("GENERATED");
        if generated {
            self.word("ALWAYS");
        }
        if self.word("AS") {
            let expression = self.expression()?;
            self.table.computed.push(ComputedColumn { name, expression, data_type: Some(data_type), ordinal, span });
            return Ok(());
        }
        if generated {
            return self.expected("AS");
        }
        if self.word("NOT") && !self.word("NULL") {
            return self.expected("NULL");
        }
        self.word("NULL");
        if self.word("METADATA") {
            return Err(unsupported("METADATA columns are not supported yet", span));
        }
        if is_word(Some(&self.parser.peek_token()), "PRIMARY") {
            self.primary_key()?;
        }
        self.table.columns.push(TableColumn { name, data_type, ordinal });
        Ok(())
    }

    /// Accepted for the sake of pasted scripts: nothing is enforced, as it says.
    fn primary_key(&mut self) -> Result<()> {
        let span = place(self.parser.peek_token().span);
        self.parser.next_token();
        self.parser.next_token();
        if self.parser.consume_token(&Token::LParen) {
            while !self.parser.consume_token(&Token::RParen) {
                if self.parser.next_token().token == Token::EOF {
                    return self.expected("`)`");
                }
            }
        }
        if self.word("NOT") && self.word("ENFORCED") {
            return Ok(());
        }
        Err(unsupported("keys are not enforced", span).help("write PRIMARY KEY (..) NOT ENFORCED"))
    }

    /// `WATERMARK FOR c [AS c [- INTERVAL ..]]`
    fn watermark(&mut self) -> Result<()> {
        self.parser.next_token();
        self.parser.next_token();
        let (column, span) = self.name("the time column")?;
        let delay_us = if self.word("AS") {
            let tree = self.expression()?;
            let tree_span = place(ast::Spanned::span(&tree));
            delay(&tree, &column, self.now_us).ok_or_else(|| {
                unsupported("this watermark is not supported", tree_span)
                    .help(format!("write WATERMARK FOR {column} AS {column} - INTERVAL '2' SECOND"))
            })?
        } else {
            0
        };
        if self.table.watermark.is_some() {
            return Err(Error::new(Code::Syntax, "a second WATERMARK").at(span));
        }
        self.table.watermark = Some(Watermark { column, delay_us, span });
        Ok(())
    }

    fn options(&mut self) -> Result<()> {
        if !self.parser.consume_token(&Token::LParen) {
            return self.expected("`(` behind WITH");
        }
        while !self.parser.consume_token(&Token::RParen) {
            let first = self.parser.next_token();
            let Some(mut key) = name_of(&first) else {
                self.parser.prev_token();
                return self.expected("an option, 'key' = 'value'");
            };
            while self.parser.consume_token(&Token::Period) {
                key = format!("{key}.{}", self.name("the rest of the option's name")?.0);
            }
            if !self.parser.consume_token(&Token::Eq) {
                return self.expected("`=`");
            }
            let value = self.parser.next_token();
            let text = match &value.token {
                Token::SingleQuotedString(text) | Token::DoubleQuotedString(text) | Token::Number(text, _) => {
                    text.clone()
                }
                Token::Word(word) => word.value.clone(),
                _ => {
                    self.parser.prev_token();
                    return self.expected("the option's value");
                }
            };
            let span = place(first.span).to(place(value.span));
            self.table.options.push(TableOption { key, value: text, span });
            if !self.parser.consume_token(&Token::Comma) && self.parser.peek_token().token != Token::RParen {
                return self.expected("`,` or `)`");
            }
        }
        Ok(())
    }
}

/// `c` or `c - INTERVAL ..`: how far the watermark stays behind.
fn delay(tree: &ast::Expr, column: &str, now_us: i64) -> Option<i64> {
    let names =
        |tree: &ast::Expr| matches!(tree, ast::Expr::Identifier(name) if name.value.eq_ignore_ascii_case(column));
    match tree {
        tree if names(tree) => Some(0),
        ast::Expr::Nested(inner) => delay(inner, column, now_us),
        ast::Expr::BinaryOp { left, op: BinaryOperator::Minus, right } if names(left) => {
            let scope = Scope::default();
            let bound = Binder::new(&scope, now_us, "WATERMARK").bind(right).ok()?;
            match (bound.kind, bound.data_type) {
                (ExprKind::Literal(Value::I64(micros)), DataType::Interval) if micros >= 0 => Some(micros),
                _ => None,
            }
        }
        _ => None,
    }
}
