//! SHOW, LIST and DESCRIBE: what a script has declared, as text.

use sqlparser::tokenizer::TokenWithSpan;

use super::query::Planner;
use super::statement::{name_of, query, whole};
use super::suggest::did_you_mean;
use super::token::{is_word, place, word_of};
use super::unsupported;
use crate::error::{Code, Error, Result};

/// `SHOW TABLES`, `LIST STREAMS`, ..: a name per line.
pub(super) fn show(planner: &mut Planner<'_>, tokens: &[TokenWithSpan]) -> Result<()> {
    let what = tokens.get(1).and_then(word_of).unwrap_or_default().to_ascii_uppercase();
    let (tables, views) = planner.names();
    let names = match what.as_str() {
        "TABLES" | "STREAMS" | "SOURCES" | "SINKS" => tables,
        "VIEWS" => views,
        "MATERIALIZED" if is_word(tokens.get(2), "VIEWS") => views,
        _ => {
            let span = tokens.get(1).map_or(whole(tokens), |token| place(token.span));
            return Err(unsupported(format!("SHOW {what} is not supported"), span)
                .help("write SHOW TABLES, SHOW VIEWS or DESCRIBE name; `corelane functions` lists functions"));
        }
    };
    planner.show(&names.iter().map(|name| format!("{name}\n")).collect::<String>());
    Ok(())
}

/// `DESCRIBE [EXTENDED] name`: a column per line, with its type.
pub(super) fn describe(planner: &mut Planner<'_>, tokens: &[TokenWithSpan]) -> Result<()> {
    let at = 1 + usize::from(is_word(tokens.get(1), "EXTENDED"));
    let Some(name) = tokens.get(at).and_then(name_of) else {
        return Err(Error::new(Code::Syntax, "expected the name of a table behind DESCRIBE").at(whole(tokens)));
    };
    let span = place(tokens[at].span);
    if let Some(more) = tokens.get(at + 1) {
        return Err(Error::new(Code::Syntax, "expected the end of the statement").at(place(more.span)));
    }
    let (tables, views) = planner.names();
    // A file needs no declaration; the query below looks for it.
    let is_file = name.contains(['/', '.', '*']);
    if !is_file && !tables.iter().chain(&views).any(|known| known.eq_ignore_ascii_case(&name)) {
        let error = Error::new(Code::UnknownTable, format!("table `{name}` not found")).at(span);
        return Err(match did_you_mean(&name, tables.iter().chain(&views).map(String::as_str)) {
            Some(help) => error.help(help),
            None => error,
        });
    }
    let select = ["SELECT", "*", "FROM"].map(|text| match text {
        "*" => super::token::token(sqlparser::tokenizer::Token::Mul, span),
        text => super::token::word(text, span),
    });
    let (tree, _) = query(&select.into_iter().chain([tokens[at].clone()]).collect::<Vec<_>>())?;
    let columns = planner.columns_of(&tree)?;
    let width = columns.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, data_type) in columns {
        planner.show(&format!("{name:width$}  {data_type}\n"));
    }
    Ok(())
}
