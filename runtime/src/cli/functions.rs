//! `corelane functions [NAME]`: what can be called in a script.

use clap::Parser;
use corelane_engine::expr::functions::Description;
use corelane_engine::sql::{families, nearest_function};
use corelane_engine::{Code, Error, Result};
use std::fmt::Write;

/// The arguments of `functions`.
#[derive(Debug, Parser)]
#[command(
    name = "corelane functions",
    bin_name = "corelane functions",
    about = "Print the functions, or all about one"
)]
pub struct FunctionFlags {
    /// One of them, or a symbol like ||
    #[arg(allow_hyphen_values = true)]
    pub name: Option<String>,
}

/// The listing, one line for each function; or all about one.
pub fn functions(name: Option<&str>) -> Result<String> {
    let mut text = String::new();
    let Some(name) = name else {
        for (kind, known) in families() {
            writeln!(text, "{kind}:").expect("writing to a string cannot fail");
            for function in known {
                writeln!(text, "  {:<18} {}", function.name, function.doc).expect("writing to a string cannot fail");
            }
        }
        return Ok(text);
    };
    let called = |function: &Description| {
        function.name.eq_ignore_ascii_case(name)
            || function.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(name))
    };
    for (kind, known) in families() {
        for function in known.iter().filter(|function| called(function)) {
            about(&mut text, kind, function);
        }
    }
    if !text.is_empty() {
        return Ok(text);
    }
    let error = Error::new(Code::UnknownFunction, format!("function `{name}` not found"));
    Err(match nearest_function(name) {
        Some(known) => error.help(format!("did you mean `{known}`?")),
        None => error.help("`corelane functions` prints all"),
    })
}

fn about(text: &mut String, kind: &str, function: &Description) {
    let mut line = |label: &str, what: &str| {
        writeln!(text, "{label:<9} {what}").expect("writing to a string cannot fail");
    };
    line(function.name, function.doc);
    line("  takes", function.signature);
    line("  kind", kind);
    if !function.aliases.is_empty() {
        line("  also", &function.aliases.join(", "));
    }
    if let Some((call, result)) = function.example {
        line("  example", &format!("{call} = {result}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_told_in_full_and_all_in_a_line_each() {
        let all = functions(None).unwrap();
        assert!(
            all.lines().any(|line| line.starts_with("  regexp_replace ")) && all.contains("\naggregate:\n"),
            "{all}"
        );
        let one = functions(Some("UCASE")).unwrap();
        assert!(one.starts_with("upper ") && one.contains("upper('straße') = STRASSE"), "{one}");
        let error = functions(Some("uper")).unwrap_err();
        assert_eq!(error.to_string(), "function `uper` not found (did you mean `upper`?)");
    }
}
