//! What no standard parser reads of joins, as terms of ON:
//!
//! | written | becomes |
//! |---|---|
//! | `a JOIN b WITHIN 1 HOUR [GRACE PERIOD d] ON c`, `WITHIN (before, after)`, `a JOIN b ON c WITHIN d` | `ON (c) AND __within(before, after, grace)`, in microseconds |
//! | `a ASOF [LEFT] JOIN b MATCH_CONDITION (m) ON c`, `a [LEFT] ASOF JOIN b ON c AND m` | `ON (c) AND __asof() AND (m)` |
//! | `a JOIN b FOR SYSTEM_TIME AS OF a.ts ON c` | `ON (c) AND __as_of(a.ts)` |

use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::Pass;
use crate::error::{Code, Error, Result, Span};
use crate::sql::token::{token, word};

/// How far apart in time rows may be: `(before, after, grace)`.
pub(in crate::sql) const WITHIN_TERM: &str = "__within";
/// Only the nearest right row.
pub(in crate::sql) const ASOF_TERM: &str = "__asof";
/// The right table as it was at a time.
pub(in crate::sql) const AS_OF_TERM: &str = "__as_of";

/// What is known of the join that is being read.
#[derive(Default)]
pub(super) struct Clause {
    /// In the output: right behind ON.
    on: Option<usize>,
    using: Option<Span>,
    /// Terms to be put behind ON.
    terms: Vec<Vec<TokenWithSpan>>,
}

impl Pass<'_> {
    /// Reads what stands here if it is about joins; false if it is not.
    pub(super) fn join_word(&mut self) -> Result<bool> {
        if self.ends_join() {
            self.close_join()?;
        }
        let here = self.here();
        if self.is(0, "ON") {
            self.keep();
            let at = self.out.len();
            self.frame().join.on.get_or_insert(at);
            return Ok(true);
        }
        if self.is(0, "USING") {
            self.frame().join.using = Some(here);
            return Ok(false);
        }
        if self.is(0, "WITHIN") && !self.is(1, "GROUP") && self.after_name() {
            self.within()?;
            return Ok(true);
        }
        if self.is(0, "ASOF") && ["JOIN", "LEFT", "INNER"].iter().any(|next| self.is(1, next)) {
            self.at += 1;
            self.frame().join.terms.push(vec![
                word(ASOF_TERM, here),
                token(Token::LParen, here),
                token(Token::RParen, here),
            ]);
            return Ok(true);
        }
        if self.is(0, "MATCH_CONDITION") && matches!(self.peek(1).map(|token| &token.token), Some(Token::LParen)) {
            self.at += 1;
            let condition = self.parenthesized();
            self.frame().join.terms.push(condition);
            return Ok(true);
        }
        let as_of = ["FOR", "SYSTEM_TIME", "AS", "OF"];
        if as_of.iter().enumerate().all(|(at, word)| self.is(at, word)) {
            self.at += as_of.len();
            self.as_of(here);
            return Ok(true);
        }
        Ok(false)
    }

    /// Whether the ON before has ended here.
    fn ends_join(&self) -> bool {
        let join = &self.frames.last().expect("one per open parenthesis, and the statement's own").join;
        if join.terms.is_empty() && join.on.is_none() && join.using.is_none() {
            return false;
        }
        let calls = matches!(self.peek(1).map(|token| &token.token), Some(Token::LParen));
        let opens = ["JOIN", "INNER", "LEFT", "RIGHT", "FULL", "CROSS", "NATURAL", "ASOF"];
        let ends = [
            "WHERE",
            "GROUP",
            "HAVING",
            "ORDER",
            "LIMIT",
            "OFFSET",
            "FETCH",
            "QUALIFY",
            "WINDOW",
            "EMIT",
            "UNION",
            "EXCEPT",
            "INTERSECT",
        ];
        // `ASOF LEFT JOIN` and `LEFT ASOF JOIN` begin once.
        let begun = join.on.is_none() && join.using.is_none();
        let next = !begun && !calls && opens.iter().any(|word| self.is(0, word));
        next || ends.iter().any(|word| self.is(0, word))
    }

    /// The end of a join: its terms go behind ON.
    pub(super) fn close_join(&mut self) -> Result<()> {
        let clause = std::mem::take(&mut self.frame().join);
        let Some(first) = clause.terms.first() else { return Ok(()) };
        let span = super::place(first[0].span);
        if let Some(using) = clause.using {
            let error = Error::new(Code::Unsupported, "USING in this kind of join is not supported yet").at(using);
            return Err(error.help("write ON a.k = b.k"));
        }
        match clause.on {
            Some(on) => {
                self.out.insert(on, token(Token::LParen, span));
                self.out.push(token(Token::RParen, span));
                self.out.push(word("AND", span));
            }
            None => self.out.push(word("ON", span)),
        }
        for (number, term) in clause.terms.into_iter().enumerate() {
            if number > 0 {
                self.out.push(word("AND", span));
            }
            self.out.extend(term);
        }
        Ok(())
    }

    /// `WITHIN 1 HOUR`, `WITHIN (1 HOUR, 2 HOURS)`, each with `GRACE PERIOD 5 MINUTES`.
    fn within(&mut self) -> Result<()> {
        let start = self.here();
        self.at += 1;
        let (before, after) = if matches!(self.peek(0).map(|token| &token.token), Some(Token::LParen)) {
            self.at += 1;
            let before = self.duration()?;
            self.comma()?;
            let after = self.duration()?;
            if !matches!(self.peek(0).map(|token| &token.token), Some(Token::RParen)) {
                return Err(Error::new(Code::Syntax, "expected `)` behind WITHIN (before, after").at(self.here()));
            }
            self.at += 1;
            (before, after)
        } else {
            let both = self.duration()?;
            (both, both)
        };
        let mut grace = 0;
        if self.is(0, "GRACE") && self.is(1, "PERIOD") {
            self.at += 2;
            grace = self.duration()?;
        }
        let span = start.to(super::place(self.tokens[self.at - 1].span));
        let mut term = vec![word(WITHIN_TERM, span), token(Token::LParen, span)];
        for (number, micros) in [before, after, grace].into_iter().enumerate() {
            if number > 0 {
                term.push(token(Token::Comma, span));
            }
            term.push(token(Token::Number(micros.to_string(), false), span));
        }
        term.push(token(Token::RParen, span));
        self.frame().join.terms.push(term);
        Ok(())
    }

    /// The time behind AS OF: a column, or a call such as `PROCTIME()`.
    fn as_of(&mut self, span: Span) {
        let mut term = vec![word(AS_OF_TERM, span), token(Token::LParen, span)];
        let mut expects = true;
        while let Some(next) = self.peek(0) {
            match &next.token {
                Token::Word(_) if expects => expects = false,
                Token::Period if !expects => expects = true,
                Token::LParen if !expects => {
                    term.extend(self.parenthesized());
                    break;
                }
                _ => break,
            }
            term.push(self.tokens[self.at].clone());
            self.at += 1;
        }
        term.push(token(Token::RParen, span));
        self.frame().join.terms.push(term);
    }

    /// The tokens from a parenthesis to the one that closes it.
    fn parenthesized(&mut self) -> Vec<TokenWithSpan> {
        let (mut taken, mut depth) = (Vec::new(), 0usize);
        while let Some(next) = self.peek(0).cloned() {
            match next.token {
                Token::LParen => depth += 1,
                Token::RParen => depth -= 1,
                _ => {}
            }
            taken.push(next);
            self.at += 1;
            if depth == 0 {
                break;
            }
        }
        taken
    }
}
