//! Types made of types, and `MAP[k, v]`: no parser reads all their spellings.
//!
//! A type is read here and put back as one name in quotes, `"ROW<a INT>"`, which every parser takes for the
//! name of a type, or of the function that makes such a row.

use sqlparser::tokenizer::Token;

use super::Pass;
use crate::sql::token::{is_word, place, token, word_of};

/// Behind these a `(` opens a call, not the parts of a type.
const BEFORE_CALLS: [&str; 22] = [
    "SELECT", "DISTINCT", "ALL", "BY", "AND", "OR", "NOT", "WHERE", "WHEN", "THEN", "ELSE", "ON", "HAVING", "BETWEEN",
    "IN", "LIKE", "CASE", "IS", "RETURN", "FROM", "JOIN", "VALUES",
];

impl Pass<'_> {
    /// `ARRAY<T>`, `MAP<K, V>`, `ROW(a T)`, ..: false where something else stands.
    pub(super) fn nested_type(&mut self) -> bool {
        let is_one = ["ARRAY", "MAP", "ROW", "STRUCT"].iter().any(|word| self.is(0, word));
        let before = self.out.last();
        if !is_one || matches!(before.map(|before| &before.token), Some(Token::Period)) {
            return false;
        }
        match self.peek(1).map(|next| &next.token) {
            Some(Token::Lt) => {}
            // Without `<` only where a name, AS or `::` stands before.
            Some(Token::LParen) => {
                let is_call = BEFORE_CALLS.iter().any(|word| is_word(before, word));
                let follows = matches!(before.map(|before| &before.token), Some(Token::Word(_) | Token::DoubleColon));
                if is_call || !follows {
                    return false;
                }
            }
            _ => return false,
        }
        let (mut depth, mut text) = (0i32, String::new());
        for (ahead, next) in self.tokens[self.at..].iter().enumerate() {
            depth += match next.token {
                Token::Lt | Token::LParen => 1,
                Token::Gt | Token::RParen => -1,
                Token::ShiftRight => -2,
                _ => 0,
            };
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(&next.token.to_string());
            if ahead > 0 && depth <= 0 {
                let Some(data_type) = crate::sql::parse_type(&text).filter(|_| depth == 0) else { return false };
                let span = self.here().to(place(next.span));
                self.out.push(token(Token::make_word(&data_type.to_string(), Some('"')), span));
                self.at += ahead + 1;
                return true;
            }
        }
        false
    }

    /// `MAP[k, v]` becomes `MAP(k, v)`: the beginning of it.
    pub(super) fn map_literal(&mut self) -> bool {
        let is_bracket = matches!(self.peek(1).map(|next| &next.token), Some(Token::LBracket));
        let is_field = matches!(self.out.last().map(|before| &before.token), Some(Token::Period));
        if !self.is(0, "MAP") || !is_bracket || is_field {
            return false;
        }
        let mut depth = 0;
        let mut is_pairs = false;
        for (at, next) in self.tokens.iter().enumerate().skip(self.at + 1) {
            match next.token {
                Token::LBracket | Token::LParen | Token::LBrace => depth += 1,
                Token::RBracket | Token::RParen | Token::RBrace => depth -= 1,
                Token::Comma if depth == 1 => is_pairs = true,
                _ => {}
            }
            if depth == 0 {
                // `map[1]` is an element of a column called so; an empty one is a map.
                if !is_pairs && at > self.at + 2 {
                    return false;
                }
                let span = place(self.tokens[self.at + 1].span);
                self.keep();
                debug_assert!(self.out.last().and_then(word_of).is_some());
                self.out.push(token(Token::LParen, span));
                self.at += 1;
                self.map_ends.push(at);
                self.frames.push(super::Frame { start: self.out.len(), ..super::Frame::default() });
                return true;
            }
        }
        false
    }
}
