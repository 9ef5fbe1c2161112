//! CREATE: read by hand, on the parser's primitives, because no parser knows WATERMARK FOR and computed
//! columns without a type.
//!
//! Every spelling ends as one of three things: a table (columns, options), a view (a query with a
//! name), or, where both a query and a place to write to are said, a table that the query is inserted
//! into. TABLE, SOURCE, SINK and STREAM are one word here; so are VIEW and MATERIALIZED VIEW, since
//! nothing of a run outlives it.

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
use super::{
    Clock, ComputedColumn, MAX_COLUMNS, MetadataColumn, Table, TableColumn, TableOption, Watermark, unsupported,
};
use crate::error::{Code, Error, Result, Span};
use crate::expr::ExprKind;
use crate::plan::Metadata;
use crate::types::{DataType, Value};

/// Declares a table or a view, and plans the query of one that is filled.
pub(super) fn create(planner: &mut Planner<'_>, tokens: &[TokenWithSpan]) -> Result<()> {
    let mut at = 1;
    if is_word(tokens.get(at), "OR") && is_word(tokens.get(at + 1), "REPLACE") {
        at += 2;
    }
    while ["TEMPORARY", "TEMP", "EXTERNAL", "MATERIALIZED"].iter().any(|word| is_word(tokens.get(at), word)) {
        at += 1;
    }
    let kind = tokens.get(at).and_then(word_of).unwrap_or_default().to_ascii_uppercase();
    let kind_span = tokens.get(at).map_or(whole(tokens), |token| place(token.span));
    at += 1;
    if is_word(tokens.get(at), "IF") && is_word(tokens.get(at + 1), "NOT") && is_word(tokens.get(at + 2), "EXISTS") {
        at += 3;
    }
    if !["TABLE", "SOURCE", "SINK", "STREAM", "VIEW"].contains(&kind.as_str()) {
        return Err(unsupported(format!("CREATE {kind} is not supported"), kind_span)
            .help("use CREATE TABLE .. WITH (..) or CREATE VIEW .. AS SELECT"));
    }
    let Some(name) = tokens.get(at).and_then(name_of) else {
        return Err(Error::new(Code::Syntax, format!("expected a name behind CREATE {kind}")).at(kind_span));
    };
    let name_span = place(tokens[at].span);
    let Parts { declaration, filled } = parts(&tokens[at + 1..]);
    let filled = filled.map(|tokens| query(&tokens)).transpose()?;
    if kind == "VIEW" {
        let Some(filled) = filled else {
            return Err(Error::new(Code::Syntax, "expected AS behind the view's name").at(name_span));
        };
        let columns = declaration.iter().filter_map(name_of).collect();
        return planner.declare_view(name, name_span, columns, filled);
    }
    let lifted = super::prepass::lift(&declaration)?;
    let table = table(name.clone(), name_span, lifted.tokens, planner.clock())?;
    let Some((query, emit)) = filled else { return planner.declare(table) };
    if table.option("path").is_none() && kind != "SINK" {
        if let Some(option) = table.options.first() {
            let error = Error::new(Code::BadOption, format!("`{name}` has options but no 'path' to write to"));
            return Err(error.at(option.span).help("add 'path' = 'out.csv', or leave WITH out: then it is a view"));
        }
        return planner.declare_view(name, name_span, Vec::new(), (query, emit));
    }
    planner.declare(table)?;
    planner.insert(&name, name_span, &[], query.clone(), emit, whole(tokens))?;
    planner.read_as_view(name, (query, emit));
    Ok(())
}

/// A declaration, and the query that fills it.
struct Parts {
    declaration: Vec<TokenWithSpan>,
    filled: Option<Vec<TokenWithSpan>>,
}

/// `[(columns)] [WITH (..)] AS query [WITH (..)]`, `FROM name [WITH (..)]`: what belongs to the query
/// apart from what belongs to the table.
fn parts(tokens: &[TokenWithSpan]) -> Parts {
    let mut depth = 0;
    let mut top = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ if depth == 0 => top.push(at),
            _ => {}
        }
    }
    let is_paren = |at: usize| matches!(tokens.get(at).map(|token| &token.token), Some(Token::LParen));
    let begins = |at: usize| {
        is_paren(at) || ["SELECT", "WITH", "FROM", "VALUES"].iter().any(|word| is_word(tokens.get(at), word))
    };
    let start = top
        .iter()
        .copied()
        .find(|&at| is_word(tokens.get(at), "FROM") || (is_word(tokens.get(at), "AS") && begins(at + 1)));
    let Some(start) = start else { return Parts { declaration: tokens.to_vec(), filled: None } };
    // A WITH that opens a parenthesis holds options; before a name it begins a query.
    let options = |at: usize| is_word(tokens.get(at), "WITH") && is_paren(at + 1);
    let end = top.iter().copied().find(|&at| at > start && options(at)).unwrap_or(tokens.len());
    let filled = if is_word(tokens.get(start), "FROM") {
        let span = place(tokens[start].span);
        let select = [super::token::word("SELECT", span), super::token::token(Token::Mul, span)];
        select.into_iter().chain(tokens[start..end].iter().cloned()).collect()
    } else {
        tokens[start + 1..end].to_vec()
    };
    Parts { declaration: [&tokens[..start], &tokens[end..]].concat(), filled: Some(filled) }
}

fn table(name: String, span: Span, tokens: Vec<TokenWithSpan>, clock: Clock) -> Result<Table> {
    let dialect = GenericDialect;
    let mut reader = Reader {
        parser: parser(&dialect, tokens.clone()),
        tokens: &tokens,
        table: Table { span, ..Table::of(name, []) },
        clock,
    };
    if reader.parser.consume_token(&Token::LParen) {
        reader.columns()?;
    }
    while reader.clause()? {}
    expect_end(&reader.parser, &tokens)?;
    let mut table = reader.table;
    super::event_time::declare(&mut table, clock)?;
    if let Some(watermark) = &table.watermark
        && !table.columns.is_empty()
        && !table.names().any(|name| name.eq_ignore_ascii_case(&watermark.column))
    {
        let error = Error::new(Code::UnknownColumn, format!("column `{}` not found", watermark.column));
        let error = error.at(watermark.span);
        return Err(match did_you_mean(&watermark.column, table.names().map(String::as_str)) {
            Some(help) => error.help(help),
            None => error,
        });
    }
    Ok(table)
}

struct Reader<'t, 'd> {
    parser: Parser<'d>,
    tokens: &'t [TokenWithSpan],
    table: Table,
    clock: Clock,
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

    /// One clause behind the columns; false when there is none.
    fn clause(&mut self) -> Result<bool> {
        let span = place(self.parser.peek_token().span);
        if self.word("WITH") {
            // DataFusion's older `WITH HEADER ROW`.
            if self.word("HEADER") {
                self.word("ROW");
                self.option("header", "true", span);
            } else {
                self.options()?;
            }
        } else if self.word("OPTIONS") {
            self.options()?;
        } else if self.word("COMMENT") {
            self.text("the comment in quotes")?;
        } else if self.word("STORED") {
            if !self.word("AS") {
                return self.expected("AS");
            }
            let (format, span) = self.name("a format")?;
            self.option("format", &format.to_lowercase(), span);
        } else if self.word("LOCATION") {
            let (path, span) = self.text("a path in quotes")?;
            self.option("path", &path, span);
        } else if self.word("FORMAT") {
            self.format(span)?;
        } else if self.word("PARTITIONED") {
            self.partitioned_by()?;
        } else if self.word("DISTRIBUTED") {
            return Err(unsupported("DISTRIBUTED BY is not supported", span)
                .help("leave it out: rows are dealt to shards by their key where a query needs it"));
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// `PARTITIONED BY (dt, hm)`
    fn partitioned_by(&mut self) -> Result<()> {
        if !self.word("BY") {
            return self.expected("BY");
        }
        if !self.parser.consume_token(&Token::LParen) {
            return self.expected("`(` and the columns that name folders");
        }
        loop {
            let (name, span) = self.name("a column")?;
            if self.table.partitioned_by.iter().any(|(known, _)| known.eq_ignore_ascii_case(&name)) {
                return Err(Error::new(Code::AmbiguousColumn, format!("column `{name}` stands twice")).at(span));
            }
            self.table.partitioned_by.push((name, span));
            if self.parser.consume_token(&Token::RParen) {
                return Ok(());
            }
            if !self.parser.consume_token(&Token::Comma) {
                return self.expected("`,` or `)`");
            }
        }
    }

    /// `FORMAT PLAIN ENCODE CSV [(options)]`
    fn format(&mut self, span: Span) -> Result<()> {
        let (layout, layout_span) = self.name("PLAIN")?;
        if !layout.eq_ignore_ascii_case("PLAIN") {
            return Err(unsupported(format!("FORMAT {} is not supported", layout.to_uppercase()), layout_span)
                .help("write FORMAT PLAIN ENCODE CSV"));
        }
        if self.word("ENCODE") {
            let (format, end) = self.name("a format")?;
            self.option("format", &format.to_lowercase(), span.to(end));
            if matches!(self.parser.peek_token().token, Token::LParen) {
                self.options()?;
            }
            // RisingWave says whether the header is not there.
            for option in &mut self.table.options {
                if option.key.eq_ignore_ascii_case("without_header") {
                    option.key = "header".to_owned();
                    option.value = (!option.value.eq_ignore_ascii_case("true")).to_string();
                }
            }
        }
        Ok(())
    }

    fn option(&mut self, key: &str, value: &str, span: Span) {
        self.table.options.push(TableOption { key: key.to_owned(), value: value.to_owned(), span });
    }

    fn text(&mut self, what: &str) -> Result<(String, Span)> {
        match &self.parser.peek_token().token {
            Token::SingleQuotedString(text) => {
                let text = text.clone();
                Ok((text, place(self.parser.next_token().span)))
            }
            _ => self.expected(what),
        }
    }

    fn columns(&mut self) -> Result<()> {
        let mut ordinal = 0;
        loop {
            // A column may be called watermark; a watermark may have a name.
            let is_for = |at: usize| is_word(Some(&self.parser.peek_nth_token(at)), "FOR");
            if is_word(Some(&self.parser.peek_token()), "WATERMARK") && (is_for(1) || is_for(2)) {
                self.watermark()?;
            } else if is_word(Some(&self.parser.peek_token()), "PRIMARY")
                && is_word(Some(&self.parser.peek_nth_token(1)), "KEY")
            {
                self.primary_key(None)?;
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
        let is_taken = |taken: &String| taken.eq_ignore_ascii_case(&name);
        if self.table.names().any(is_taken) || self.table.metadata.iter().any(|column| is_taken(&column.name)) {
            return Err(Error::new(Code::AmbiguousColumn, format!("column `{name}` is declared twice")).at(span));
        }
        if self.word("AS") {
            let expression = self.expression()?;
            self.table.computed.push(ComputedColumn { name, expression, data_type: None, ordinal, span });
            return Ok(());
        }
        let type_span = place(self.parser.peek_token().span);
        let first = word_of(&self.parser.peek_token()).unwrap_or_default().to_ascii_uppercase();
        let types = super::types::NAMES;
        if ["ARRAY", "MAP", "ROW", "STRUCT"].contains(&first.as_str()) {
            let error = unsupported(format!("this {first} cannot be read as a type"), type_span).note(types);
            return Err(error.help(
                "write ARRAY<INT>, MAP<STRING, INT> or ROW<a INT, b STRING>; keys are no ARRAY, MAP, ROW or JSON",
            ));
        }
        if ["MULTISET", "RAW"].contains(&first.as_str()) {
            return Err(unsupported(format!("the type {first} is not supported yet"), type_span).note(types));
        }
        let written = self.parser.parse_data_type().map_err(|error| refusal(error, self.tokens))?;
        let data_type = super::parse_type(&written.to_string())
            .ok_or_else(|| unsupported(format!("the type {written} is not supported"), type_span).note(types))?
            .in_zone(self.clock.zone);
        let generated = self.word("GENERATED");
        if generated {
            self.word("ALWAYS");
        }
        if self.word("AS") {
            let expression = self.expression()?;
            // Whether it would be kept or computed again is all one to a query.
            let _ = self.word("STORED") || self.word("VIRTUAL") || self.word("PERSISTED");
            self.table.computed.push(ComputedColumn { name, expression, data_type: Some(data_type), ordinal, span });
            return Ok(());
        }
        if generated {
            return self.expected("AS");
        }
        if is_word(Some(&self.parser.peek_token()), "METADATA") {
            return self.metadata(name, data_type, ordinal);
        }
        self.table.columns.push(TableColumn { name: name.clone(), data_type, ordinal });
        while self.constraint(&name, span)? {}
        Ok(())
    }

    /// `METADATA [FROM 'file'] [VIRTUAL]`; without FROM the column's name says which.
    fn metadata(&mut self, name: String, data_type: DataType, ordinal: usize) -> Result<()> {
        let mut span = place(self.parser.next_token().span);
        let mut key = name.clone();
        if self.word("FROM") {
            (key, span) = self.text("which, in quotes")?;
        }
        self.word("VIRTUAL");
        let Some((_, kind, wanted)) = Metadata::ALL.into_iter().find(|(known, ..)| key.eq_ignore_ascii_case(known))
        else {
            let error = unsupported(format!("there is no METADATA '{key}'"), span);
            return Err(match &*key.to_ascii_lowercase() {
                "shard" => {
                    error.help("results would depend on the number of shards; there are 'file', 'line' and 'offset'")
                }
                _ => error.help("there are 'file' (STRING), 'line' and 'offset' (BIGINT)"),
            });
        };
        if data_type != wanted {
            let error = Error::new(Code::Type, format!("METADATA '{key}' is {wanted}, not {data_type}")).at(span);
            return Err(error.help(format!("write `{name} {wanted} METADATA FROM '{key}'`")));
        }
        self.table.metadata.push(MetadataColumn { name, kind, data_type, ordinal });
        Ok(())
    }

    /// What may stand behind a column's type; false when nothing does.
    fn constraint(&mut self, column: &str, span: Span) -> Result<bool> {
        if self.word("NOT") {
            if !self.word("NULL") {
                return self.expected("NULL");
            }
        } else if is_word(Some(&self.parser.peek_token()), "PRIMARY") {
            self.primary_key(Some((column, span)))?;
        } else if self.word("COMMENT") {
            self.text("the comment in quotes")?;
        } else if self.word("LATENESS") {
            // Feldera's: the watermark of this column.
            let tree = self.expression()?;
            let delay_us = interval(&tree, self.clock).ok_or_else(|| {
                unsupported("this LATENESS is not supported", place(ast::Spanned::span(&tree)))
                    .help("write LATENESS INTERVAL '2' SECOND")
            })?;
            self.set_watermark(column.to_owned(), delay_us, span)?;
        } else if self.word("DEFAULT") {
            return Err(unsupported("DEFAULT is not supported", span).help("use COALESCE in the query"));
        } else {
            // ksqlDB's KEY says how a topic is keyed; files have no keys.
            return Ok(self.word("NULL") || self.word("KEY"));
        }
        Ok(true)
    }

    /// Nothing is enforced, as it says; changes are told apart by it. `column`: the one it stands behind.
    fn primary_key(&mut self, column: Option<(&str, Span)>) -> Result<()> {
        let span = place(self.parser.peek_token().span);
        self.parser.next_token();
        self.parser.next_token();
        if self.parser.consume_token(&Token::LParen) {
            loop {
                let name = self.name("the name of a column")?;
                self.table.primary_key.push(name);
                if self.parser.consume_token(&Token::RParen) {
                    break;
                }
                if !self.parser.consume_token(&Token::Comma) {
                    return self.expected("`,` or `)`");
                }
            }
        } else if let Some((column, span)) = column {
            self.table.primary_key.push((column.to_owned(), span));
        }
        if self.word("NOT") && self.word("ENFORCED") {
            return Ok(());
        }
        Err(unsupported("keys are not enforced", span).help("write PRIMARY KEY (..) NOT ENFORCED"))
    }

    /// `WATERMARK [name] FOR c [AS c [- INTERVAL ..]] [WITH TTL]`
    fn watermark(&mut self) -> Result<()> {
        self.parser.next_token();
        if !self.word("FOR") {
            self.parser.next_token();
            self.word("FOR");
        }
        let (column, span) = self.name("the time column")?;
        let delay_us = if self.word("AS") {
            let tree = self.expression()?;
            let tree_span = place(ast::Spanned::span(&tree));
            delay(&tree, &column, self.clock).ok_or_else(|| {
                unsupported("this watermark is not supported", tree_span)
                    .help(format!("write WATERMARK FOR {column} AS {column} - INTERVAL '2' SECOND"))
            })?
        } else {
            0
        };
        // State goes as the watermark passes, said or not.
        if self.word("WITH") && !self.word("TTL") {
            return self.expected("TTL");
        }
        self.set_watermark(column, delay_us, span)
    }

    fn set_watermark(&mut self, column: String, delay_us: i64, span: Span) -> Result<()> {
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
pub(super) fn delay(tree: &ast::Expr, column: &str, clock: Clock) -> Option<i64> {
    let names =
        |tree: &ast::Expr| matches!(tree, ast::Expr::Identifier(name) if name.value.eq_ignore_ascii_case(column));
    match tree {
        tree if names(tree) => Some(0),
        ast::Expr::Nested(inner) => delay(inner, column, clock),
        ast::Expr::BinaryOp { left, op: BinaryOperator::Minus, right } if names(left) => interval(right, clock),
        _ => None,
    }
}

/// A length of time, in microseconds.
fn interval(tree: &ast::Expr, clock: Clock) -> Option<i64> {
    let scope = Scope::default();
    let bound = Binder::new(&scope, clock, "WATERMARK").bind(tree).ok()?;
    match (bound.kind, bound.data_type) {
        (ExprKind::Literal(Value::I64(micros)), DataType::Interval) if micros >= 0 => Some(micros),
        _ => None,
    }
}
