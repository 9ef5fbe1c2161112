//! The pre-pass: streaming clauses out of the tokens, before the SQL parser sees them.
//!
//! What no standard parser reads is rewritten to what it does, on tokens, with their places kept:
//!
//! | written | becomes |
//! |---|---|
//! | `EMIT CHANGES`, `EMIT CHANGELOG`, `EMIT FINAL`, `EMIT ON WINDOW CLOSE`, `EMIT PERIODIC 5s`, .. | nothing; [`Lifted::emit`] |
//! | `WINDOW TUMBLING (..)`, `HOPPING (..)`, `SLIDING (..)`, wherever it stands | the GROUP BY item `__window(size, slide, grace[, column])`, in microseconds |
//! | `TUMBLE(TABLE t, DESCRIPTOR(ts), ..)` | the same without `TABLE` |
//! | `WINDOW SESSION (gap)`, `SESSION (ts, gap, key)` | the same, with 0 for the slide, the keys last |
//! | `SESSION(TABLE t PARTITION BY k, ..)` | `SESSION(t, __partition => k, ..)` |
//! | `ROWS WINDOW BUFFER n ROWS` inside OVER | `PARTITION BY __buffer(n), ..`, and the frame where none is said |
//! | `window.start`, `window.end` | `window_start`, `window_end` |
//! | `10s`, `5m` | `INTERVAL '10' s` as `INTERVAL '10 s'` |
//! | `ROW<a INT>`, `MAP<K, V>`, `STRUCT(a INT)`, .. | the type in quotes, see `nested` |
//! | `MAP[k, v]` | `MAP(k, v)` |
//! | `WITHIN`, `ASOF`, `FOR SYSTEM_TIME AS OF` of joins | see `join` |

pub(super) mod join;
mod nested;

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use super::literal;
use super::token::{is_word, place, token, word, word_of};
use crate::error::{Code, Error, Result, Span};
use crate::plan::Emit;

/// The GROUP BY item that stands for a lifted WINDOW clause.
pub(super) const WINDOW_ITEM: &str = "__window";
/// The argument that stands for PARTITION BY inside SESSION.
pub(super) const PARTITION: &str = "__partition";
/// The PARTITION BY item that stands for `ROWS WINDOW BUFFER n ROWS`.
pub(super) const BUFFER_ITEM: &str = "__buffer";

/// A statement the parser can read, and what was taken out of it.
#[derive(Debug)]
pub(super) struct Lifted {
    pub tokens: Vec<TokenWithSpan>,
    pub emit: Option<(Emit, Span)>,
}

/// Takes the streaming clauses out of one statement.
pub(super) fn lift(tokens: &[TokenWithSpan]) -> Result<Lifted> {
    let mut pass = Pass {
        tokens,
        at: 0,
        out: Vec::with_capacity(tokens.len()),
        frames: vec![Frame::default()],
        emit: None,
        map_ends: Vec::new(),
    };
    while pass.at < tokens.len() {
        pass.step()?;
    }
    while !pass.frames.is_empty() {
        pass.close_join()?;
        pass.close_frame();
    }
    Ok(Lifted { tokens: pass.out, emit: pass.emit })
}

/// What is known of one level of parentheses.
#[derive(Default)]
struct Frame {
    /// The word before the parenthesis: TUMBLE, OVER, ..
    opener: String,
    /// The lifted WINDOW clause.
    window: Option<Vec<TokenWithSpan>>,
    /// In the output: right behind GROUP BY.
    group_by: Option<usize>,
    /// In the output: the first clause behind GROUP BY.
    tail: Option<usize>,
    /// In the output: right behind the parenthesis.
    start: usize,
    /// In the output: right behind PARTITION BY.
    partition_by: Option<usize>,
    /// `ROWS WINDOW BUFFER n ROWS`: n.
    buffer: Option<(u64, Span)>,
    /// A frame (`ROWS BETWEEN ..`) is said.
    has_frame: bool,
    /// The join being read.
    join: join::Clause,
}

struct Pass<'t> {
    tokens: &'t [TokenWithSpan],
    at: usize,
    out: Vec<TokenWithSpan>,
    frames: Vec<Frame>,
    emit: Option<(Emit, Span)>,
    /// Where `]` ends a `MAP[k, v]`.
    map_ends: Vec<usize>,
}

/// Words that begin clauses which no standard parser knows, and keywords as they are misspelt.
const SOFT_WORDS: [&str; 11] =
    ["EMIT", "WITHIN", "TUMBLING", "HOPPING", "SLIDING", "WATERMARK", "FORM", "CHANGES", "FINAL", "WHER", "WEHRE"];

/// Whether a name is more likely a clause that is not complete.
pub(super) fn is_soft(name: &str) -> bool {
    SOFT_WORDS.iter().any(|word| word.eq_ignore_ascii_case(name))
}

const WINDOW_FUNCTIONS: [&str; 5] = ["TUMBLE", "HOP", "SLIDE", "CUMULATE", "SESSION"];

impl Pass<'_> {
    fn peek(&self, ahead: usize) -> Option<&TokenWithSpan> {
        self.tokens.get(self.at + ahead)
    }

    fn is(&self, ahead: usize, text: &str) -> bool {
        is_word(self.peek(ahead), text)
    }

    fn here(&self) -> Span {
        match self.peek(0) {
            Some(token) => place(token.span),
            None => {
                let end = self.tokens.last().map_or(0, |last| place(last.span).end);
                Span { start: end, end }
            }
        }
    }

    fn frame(&mut self) -> &mut Frame {
        self.frames.last_mut().expect("one per open parenthesis, and the statement's own")
    }

    fn keep(&mut self) {
        self.out.push(self.tokens[self.at].clone());
        self.at += 1;
    }

    fn step(&mut self) -> Result<()> {
        match &self.tokens[self.at].token {
            Token::LBracket | Token::LBrace => {
                self.keep();
                self.frames.push(Frame { start: self.out.len(), ..Frame::default() });
            }
            Token::RBracket if self.map_ends.contains(&self.at) => {
                self.close_inner()?;
                self.out.push(token(Token::RParen, self.here()));
                self.at += 1;
            }
            Token::RBracket | Token::RBrace => {
                self.close_inner()?;
                self.keep();
            }
            Token::LParen => {
                let opener = self.out.last().and_then(word_of).unwrap_or_default().to_ascii_uppercase();
                self.keep();
                self.frames.push(Frame { opener, start: self.out.len(), ..Frame::default() });
            }
            Token::RParen => {
                self.close_inner()?;
                self.keep();
            }
            Token::Comma => {
                self.close_join()?;
                self.keep();
            }
            Token::Number(amount, _) => self.number(&amount.clone()),
            Token::Word(Word { quote_style: None, keyword, .. }) => self.word(*keyword)?,
            _ => self.keep(),
        }
        Ok(())
    }

    fn close_inner(&mut self) -> Result<()> {
        if self.frames.len() > 1 {
            self.close_join()?;
            self.close_frame();
        }
        Ok(())
    }

    /// `10s`: fused only where the two tokens touch.
    fn number(&mut self, amount: &str) {
        let number = place(self.tokens[self.at].span);
        let unit = self.peek(1).filter(|next| place(next.span).start == number.end).and_then(|next| {
            let unit = word_of(next)?;
            literal::unit(unit).map(|_| (unit.to_owned(), place(next.span)))
        });
        match unit {
            Some((unit, end)) if !is_word(self.out.last(), "INTERVAL") => {
                let span = number.to(end);
                self.out.push(word("INTERVAL", span));
                self.out.push(token(Token::SingleQuotedString(format!("{amount} {unit}")), span));
                self.at += 2;
            }
            _ => self.keep(),
        }
    }

    fn word(&mut self, keyword: Keyword) -> Result<()> {
        if self.join_word()? || self.nested_type() || self.map_literal() {
            return Ok(());
        }
        // Behind AS a clause's first word is a name.
        if self.is(0, "AS")
            && let Some(name) = self.peek(1).and_then(word_of).filter(|name| is_soft(name))
        {
            let name = Token::make_word(name, Some('"'));
            let span = place(self.tokens[self.at + 1].span);
            self.keep();
            self.out.push(token(name, span));
            self.at += 1;
            return Ok(());
        }
        if self.is(0, "EMIT") && self.is_emit() {
            return self.emit();
        }
        if self.is(0, "WINDOW") && matches!(self.peek(1).map(|t| &t.token), Some(Token::Period)) {
            for (part, bound) in [("START", "window_start"), ("END", "window_end")] {
                if self.is(2, part) {
                    let span = self.here().to(place(self.tokens[self.at + 2].span));
                    self.out.push(word(bound, span));
                    self.at += 3;
                    return Ok(());
                }
            }
        }
        if self.is(0, "WINDOW") && self.opens_window() {
            return self.window();
        }
        if self.is(0, "ROWS") && self.is(1, "WINDOW") && self.is(2, "BUFFER") {
            return self.buffer();
        }
        let opener = self.frames.last().map_or("", |frame| &frame.opener);
        let in_window_function = WINDOW_FUNCTIONS.contains(&opener);
        if in_window_function
            && self.is(0, "TABLE")
            && matches!(self.peek(1).map(|t| &t.token), Some(Token::Word(_) | Token::SingleQuotedString(_)))
        {
            self.at += 1;
            return Ok(());
        }
        if in_window_function && self.is(0, "PARTITION") && self.is(1, "BY") {
            if opener != "SESSION" {
                let error = Error::new(Code::Unsupported, "PARTITION BY is for SESSION windows").at(self.here());
                return Err(error.help("name the key in GROUP BY"));
            }
            let span = self.here().to(place(self.tokens[self.at + 1].span));
            self.out.extend([token(Token::Comma, span), word(PARTITION, span), token(Token::RArrow, span)]);
            self.at += 2;
            return Ok(());
        }
        match keyword {
            Keyword::GROUP if self.is(1, "BY") => {
                self.keep();
                self.keep();
                let at = self.out.len();
                self.frame().group_by = Some(at);
            }
            Keyword::PARTITION if self.is(1, "BY") => {
                self.keep();
                self.keep();
                let at = self.out.len();
                self.frame().partition_by = Some(at);
            }
            Keyword::HAVING
            | Keyword::ORDER
            | Keyword::LIMIT
            | Keyword::OFFSET
            | Keyword::FETCH
            | Keyword::QUALIFY
            | Keyword::WINDOW => {
                let at = self.out.len();
                self.frame().tail.get_or_insert(at);
                self.keep();
            }
            Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT => {
                let opener = self.frame().opener.clone();
                self.close_frame();
                self.keep();
                self.frames.push(Frame { opener, start: self.out.len(), ..Frame::default() });
            }
            Keyword::ROWS | Keyword::RANGE | Keyword::GROUPS if opener == "OVER" => {
                self.frame().has_frame = true;
                self.keep();
            }
            _ => self.keep(),
        }
        Ok(())
    }

    /// Whether the token before could end a table or expression, so that a clause may follow.
    fn after_name(&self) -> bool {
        let before = self.out.last();
        let name =
            matches!(before.map(|t| &t.token), Some(Token::Word(_) | Token::RParen | Token::SingleQuotedString(_)));
        name && !["SELECT", "BY", "AS", "AND", "OR", "NOT", "FROM"].iter().any(|word| is_word(before, word))
    }

    fn is_emit(&self) -> bool {
        let modes = ["CHANGES", "FINAL", "ON", "AFTER", "PERIODIC", "CHANGELOG", "WITHOUT"];
        let mode = modes.iter().any(|mode| self.is(1, mode));
        let before = self.out.last();
        mode && !is_word(before, "SELECT") && !matches!(before.map(|t| &t.token), Some(Token::Comma | Token::Period))
    }

    fn emit(&mut self) -> Result<()> {
        let start = self.here();
        self.at += 1;
        let words = |pass: &Self, words: &[&str]| words.iter().enumerate().all(|(n, word)| pass.is(n, word));
        let (emit, length) = if words(self, &["CHANGELOG"]) {
            (Emit::Changelog, 1)
        } else if words(self, &["CHANGES"]) {
            (Emit::Changes, 1)
        } else if words(self, &["FINAL"]) {
            (Emit::Final, 1)
        } else if words(self, &["ON", "WINDOW", "CLOSE"]) || words(self, &["AFTER", "WINDOW", "CLOSE"]) {
            (Emit::Final, 3)
        } else if words(self, &["AFTER", "WATERMARK"]) {
            (Emit::Final, 2)
        } else if words(self, &["ON", "UPDATE"]) {
            (Emit::Changes, 2)
        } else if words(self, &["PERIODIC"]) {
            (Emit::Periodic(0), 1)
        } else {
            let error =
                Error::new(Code::Unsupported, "this form of EMIT is not supported yet").at(start.to(self.here()));
            return Err(error.help("use EMIT CHANGES or EMIT FINAL"));
        };
        self.at += length;
        let emit = self.rhythm(emit, start)?;
        let span = start.to(place(self.tokens[self.at - 1].span));
        let frame = self.frames.last().expect("one per open parenthesis, and the statement's own");
        if self.frames.len() > 1 {
            // Inside OVER every row is given out anyway.
            if frame.opener == "OVER" && emit == Emit::Changes {
                return Ok(());
            }
            return Err(Error::new(Code::Unsupported, "EMIT inside a subquery or OVER is not supported")
                .at(span)
                .help("put it at the end of the statement"));
        }
        if self.emit.is_some() {
            return Err(Error::new(Code::Syntax, "EMIT is said twice").at(span));
        }
        self.emit = Some((emit, span));
        Ok(())
    }

    /// How long is waited: `PERIODIC i`, `ON UPDATE WITH BATCH i`, `AFTER WINDOW CLOSE WITH DELAY i`.
    fn rhythm(&mut self, emit: Emit, start: Span) -> Result<Emit> {
        let joined = self.is(0, "WITH") || self.is(0, "AND");
        let waits = match emit {
            Emit::Periodic(_) => true,
            Emit::Changes if joined && self.is(1, "BATCH") => {
                self.at += 2;
                true
            }
            Emit::Final if joined && self.is(1, "DELAY") => {
                self.at += 2;
                false
            }
            _ if joined => {
                let error = Error::new(Code::Unsupported, "this form of EMIT is not supported");
                let help = "use EMIT AFTER WINDOW CLOSE WITH DELAY 5s, or EMIT ON UPDATE WITH BATCH 5s";
                return Err(error.at(start.to(self.here())).help(help));
            }
            _ => return Ok(emit),
        };
        let from = self.here();
        let micros = self.duration()?;
        if waits && micros < 1000 {
            let error = Error::new(Code::BadOption, "results leave at most every millisecond");
            return Err(error.at(from).help("for example EMIT PERIODIC 5s"));
        }
        let refused = [
            ("REPEAT", "REPEAT, which tells again what has not changed, is not supported yet", "leave it out"),
            (
                "AND",
                "a second length behind EMIT is not supported",
                "leave it out: the watermark says when a window closes",
            ),
        ];
        if let Some((_, message, help)) = refused.iter().find(|(word, ..)| self.is(0, word)) {
            return Err(Error::new(Code::Unsupported, *message).at(start.to(self.here())).help(*help));
        }
        Ok(if waits { Emit::Periodic(micros) } else { Emit::Delayed(micros) })
    }

    fn opens_window(&self) -> bool {
        let kinds = ["TUMBLING", "HOPPING", "SLIDING", "SESSION", "TUMBLE", "HOP"];
        kinds.iter().any(|kind| self.is(1, kind)) && matches!(self.peek(2).map(|t| &t.token), Some(Token::LParen))
    }

    /// `WINDOW TUMBLING (SIZE 1 MINUTE, GRACE PERIOD 5 SECONDS)`, `WINDOW SLIDING (ts, 1m, 10s)`, ..
    fn window(&mut self) -> Result<()> {
        let start = self.here();
        let kind = word_of(&self.tokens[self.at + 1]).unwrap_or_default().to_ascii_uppercase();
        self.at += 3;
        let mut column = Vec::new();
        if !["SIZE", "INTERVAL", "ADVANCE", "GRACE", "RETENTION"].iter().any(|word| self.is(0, word)) {
            column = self.name();
        }
        if !column.is_empty() {
            self.comma()?;
        }
        let (mut size, mut slide, mut grace) = (None, None, 0);
        loop {
            if self.is(0, "SIZE") {
                self.at += 1;
                size = Some(self.duration()?);
            } else if self.is(0, "ADVANCE") && self.is(1, "BY") {
                self.at += 2;
                slide = Some(self.duration()?);
            } else if self.is(0, "GRACE") && self.is(1, "PERIOD") {
                self.at += 2;
                grace = self.duration()?;
            } else if self.is(0, "RETENTION") {
                // For how long ksqlDB answers questions about a window, at least. Here a window goes when it closes, and
                // none is asked about later.
                self.at += 1;
                self.duration()?;
            } else if kind == "SESSION" && size.is_some() && !column.is_empty() {
                column.push(token(Token::Comma, self.here()));
                column.extend(self.name());
            } else if size.is_none() {
                size = Some(self.duration()?);
            } else {
                slide = Some(self.duration()?);
            }
            if matches!(self.peek(0).map(|t| &t.token), Some(Token::RParen)) {
                break;
            }
            self.comma()?;
        }
        let span = start.to(self.here());
        self.at += 1;
        let tumbles = kind.starts_with("TUMBL");
        let is_one = tumbles || kind == "SESSION";
        if kind == "SESSION" {
            slide = Some(0);
        }
        let size = size.filter(|_| slide.is_some() != tumbles).ok_or_else(|| {
            let form = if kind == "SESSION" {
                "WINDOW SESSION (30 SECONDS)"
            } else if tumbles {
                "WINDOW TUMBLING (SIZE 1 MINUTE)"
            } else {
                "WINDOW HOPPING (SIZE 1 MINUTE, ADVANCE BY 10 SECONDS)"
            };
            Error::new(
                Code::Syntax,
                format!("WINDOW {kind} takes {}", if is_one { "one length" } else { "a length and an advance" }),
            )
            .at(span)
            .help(format!("write {form}"))
        })?;
        let mut item = vec![word(WINDOW_ITEM, span), token(Token::LParen, span)];
        for (n, number) in [size, slide.unwrap_or(size), grace].into_iter().enumerate() {
            if n > 0 {
                item.push(token(Token::Comma, span));
            }
            item.push(token(Token::Number(number.to_string(), false), span));
        }
        if !column.is_empty() {
            item.push(token(Token::Comma, span));
            item.append(&mut column);
        }
        item.push(token(Token::RParen, span));
        if self.frame().window.replace(item).is_some() {
            return Err(Error::new(Code::Syntax, "a second window for one SELECT").at(span));
        }
        Ok(())
    }

    /// The words of a name, `t.c`; none where something else stands.
    fn name(&mut self) -> Vec<TokenWithSpan> {
        let start = self.at;
        while matches!(self.peek(0).map(|t| &t.token), Some(Token::Word(_) | Token::Period)) {
            self.at += 1;
        }
        self.tokens[start..self.at].to_vec()
    }

    fn comma(&mut self) -> Result<()> {
        if matches!(self.peek(0).map(|t| &t.token), Some(Token::Comma)) {
            self.at += 1;
            return Ok(());
        }
        Err(Error::new(Code::Syntax, "expected `,` or `)` in the window").at(self.here()))
    }

    /// A length of time: `1 MINUTE`, `1m`, `INTERVAL '1' MINUTE`, `'1 minute'`.
    fn duration(&mut self) -> Result<i64> {
        let start = self.here();
        if self.is(0, "INTERVAL") {
            self.at += 1;
        }
        let amount = match self.peek(0).map(|token| &token.token) {
            Some(Token::Number(text, _) | Token::SingleQuotedString(text)) => text.clone(),
            _ => {
                let error = Error::new(Code::Syntax, "expected a length of time").at(self.here());
                return Err(error.help("for example INTERVAL '10' SECOND, or 10s"));
            }
        };
        let end = self.here();
        self.at += 1;
        let micros = match self.peek(0).and_then(word_of).and_then(literal::unit) {
            Some(unit) => {
                self.at += 1;
                literal::scaled(&amount, unit)
            }
            None => literal::duration(&amount),
        };
        micros.filter(|&micros| micros >= 0).ok_or_else(|| {
            let error = Error::new(Code::Syntax, "not a length of time").at(start.to(end));
            error.help("for example INTERVAL '10' SECOND; units go from MICROSECOND to WEEK")
        })
    }

    fn buffer(&mut self) -> Result<()> {
        let start = self.here();
        let rows = match self.peek(3).map(|token| &token.token) {
            Some(Token::Number(text, _)) => text.parse::<u64>().ok().filter(|&rows| rows > 0),
            _ => None,
        };
        let Some(rows) = rows.filter(|_| self.is(4, "ROWS")) else {
            let error = Error::new(Code::Syntax, "a row buffer needs a number of rows, at least 1").at(start);
            return Err(error.help("write ROWS WINDOW BUFFER 100 ROWS"));
        };
        let span = start.to(place(self.tokens[self.at + 4].span));
        self.at += 5;
        self.frame().buffer = Some((rows, span));
        Ok(())
    }

    /// The end of a parenthesis or of the statement: puts the lifted clauses back as items.
    fn close_frame(&mut self) {
        let Some(frame) = self.frames.pop() else { return };
        if let Some((rows, span)) = frame.buffer {
            self.put_buffer(&frame, rows, span);
        }
        let Some(mut item) = frame.window else { return };
        let span = place(item[0].span);
        let at = match frame.group_by {
            Some(at) => {
                item.push(token(Token::Comma, span));
                at
            }
            None => {
                item.splice(0..0, [word("GROUP", span), word("BY", span)]);
                frame.tail.unwrap_or(self.out.len())
            }
        };
        self.out.splice(at..at, item);
    }

    fn put_buffer(&mut self, frame: &Frame, rows: u64, span: Span) {
        let number = |rows: u64| token(Token::Number(rows.to_string(), false), span);
        if !frame.has_frame {
            self.out.extend([word("ROWS", span), word("BETWEEN", span), number(rows - 1), word("PRECEDING", span)]);
            self.out.extend([word("AND", span), word("CURRENT", span), word("ROW", span)]);
        }
        let mut item =
            vec![word(BUFFER_ITEM, span), token(Token::LParen, span), number(rows), token(Token::RParen, span)];
        let at = match frame.partition_by {
            Some(at) => {
                item.push(token(Token::Comma, span));
                at
            }
            None => {
                item.splice(0..0, [word("PARTITION", span), word("BY", span)]);
                frame.start
            }
        };
        self.out.splice(at..at, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::token::statements;

    fn lifted(script: &str) -> (String, Option<Emit>) {
        let lifted = lift(&statements(script).unwrap()[0]).unwrap();
        let texts: Vec<String> = lifted.tokens.iter().map(|token| token.token.to_string()).collect();
        (texts.join(" "), lifted.emit.map(|(emit, _)| emit))
    }

    #[test]
    fn streaming_clauses_become_plain_sql() {
        for (script, plain, emit) in [
            ("SELECT a FROM t EMIT CHANGES LIMIT 3", "SELECT a FROM t LIMIT 3", Some(Emit::Changes)),
            ("SELECT emit FROM t WHERE emit = final", "SELECT emit FROM t WHERE emit = final", None),
            (
                "SELECT k FROM t WINDOW TUMBLING (SIZE 1 MINUTE) WHERE a GROUP BY k EMIT FINAL",
                "SELECT k FROM t WHERE a GROUP BY __window ( 60000000 , 60000000 , 0 ) , k",
                Some(Emit::Final),
            ),
            (
                "SELECT k FROM t GROUP BY k HAVING x WINDOW SLIDING(ts, 1m, INTERVAL '10' SECOND)",
                "SELECT k FROM t GROUP BY __window ( 60000000 , 10000000 , 0 , ts ) , k HAVING x",
                None,
            ),
            (
                "SELECT 1 FROM t WINDOW HOPPING (SIZE 1 HOUR, ADVANCE BY 5s, GRACE PERIOD 2s) LIMIT 1",
                "SELECT 1 FROM t GROUP BY __window ( 3600000000 , 5000000 , 2000000 ) LIMIT 1",
                None,
            ),
            (
                "SELECT * FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), 10s))",
                "SELECT * FROM TABLE ( TUMBLE ( t , DESCRIPTOR ( ts ) , INTERVAL '10 s' ) )",
                None,
            ),
            (
                "SELECT AVG(p) OVER (ROWS WINDOW BUFFER 5 ROWS PARTITION BY s ORDER BY t) FROM x",
                "SELECT AVG ( p ) OVER ( PARTITION BY __buffer ( 5 ) , s ORDER BY t ROWS BETWEEN 4 PRECEDING AND CURRENT ROW ) FROM x",
                None,
            ),
            (
                "SELECT n FROM (SELECT COUNT(*) n FROM t WINDOW TUMBLING(1m)) WHERE n > 1",
                "SELECT n FROM ( SELECT COUNT ( * ) n FROM t GROUP BY __window ( 60000000 , 60000000 , 0 ) ) WHERE n > 1",
                None,
            ),
            (
                "SELECT 1 FROM a JOIN b WITHIN 1 HOUR GRACE PERIOD 5s ON a.k = b.k OR x JOIN c WITHIN (1s, 2s) ON y WHERE z",
                "SELECT 1 FROM a JOIN b ON ( a . k = b . k OR x ) AND __within ( 3600000000 , 3600000000 , 5000000 ) \
                 JOIN c ON ( y ) AND __within ( 1000000 , 2000000 , 0 ) WHERE z",
                None,
            ),
            (
                "SELECT 1 FROM (SELECT 1 FROM a JOIN b ON LEFT(x, 1) = y WITHIN INTERVAL '5' MINUTES)",
                "SELECT 1 FROM ( SELECT 1 FROM a JOIN b ON ( LEFT ( x , 1 ) = y ) AND __within ( 300000000 , 300000000 , 0 ) )",
                None,
            ),
            (
                "SELECT 1 FROM a ASOF LEFT JOIN b MATCH_CONDITION (a.t >= b.t) ON a.k = b.k LEFT ASOF JOIN c ON a.k = c.k AND a.t < c.t",
                "SELECT 1 FROM a LEFT JOIN b ON ( a . k = b . k ) AND __asof ( ) AND ( a . t >= b . t ) \
                 LEFT JOIN c ON ( a . k = c . k AND a . t < c . t ) AND __asof ( )",
                None,
            ),
            (
                "SELECT 1 FROM a JOIN b FOR SYSTEM_TIME AS OF a.ts AS x ON a.k = x.k, d LIMIT 1",
                "SELECT 1 FROM a JOIN b AS x ON ( a . k = x . k ) AND __as_of ( a . ts ) , d LIMIT 1",
                None,
            ),
        ] {
            assert_eq!(lifted(script), (plain.to_owned(), emit), "{script}");
        }
    }
}
