//! How errors look on their stream: colour or not, text or JSON.

use crate::options::{ErrorFormat, When};
use corelane_engine::{Error, sql};
use std::env;

/// Whether a stream gets colour. `--color` wins; then `NO_COLOR`, `CLICOLOR_FORCE`, `TERM=dumb`,
/// and last whether this very stream is a terminal.
pub fn colored(when: When, terminal: bool) -> bool {
    decide(when, terminal, |name| env::var(name).ok())
}

fn decide(when: When, terminal: bool, variable: impl Fn(&str) -> Option<String>) -> bool {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    match when {
        When::Always => true,
        When::Never => false,
        When::Auto if set("NO_COLOR").is_some() => false,
        When::Auto if set("CLICOLOR_FORCE").is_some_and(|value| value != "0") => true,
        When::Auto => terminal && set("TERM").as_deref() != Some("dumb"),
    }
}

/// `error` as it is printed, with its line break. `file` names the script.
pub fn render(error: &Error, script: &str, file: &str, format: ErrorFormat, color: bool) -> String {
    match format {
        ErrorFormat::Text => sql::render(error, script, file, color),
        ErrorFormat::Json => sql::render_json(error, script, file) + "\n",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_decides_in_order() {
        let with = |pairs: &[(&str, &str)], when, terminal| {
            let find = |name: &str| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.to_owned());
            decide(when, terminal, find)
        };
        let auto = When::Auto;
        assert!(with(&[], auto, true) && !with(&[], auto, false));
        assert!(!with(&[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")], auto, true));
        assert!(
            with(&[("NO_COLOR", "1")], When::Always, false) && !with(&[("CLICOLOR_FORCE", "1")], When::Never, true)
        );
        assert!(with(&[("CLICOLOR_FORCE", "1"), ("TERM", "dumb")], auto, false));
        assert!(!with(&[("TERM", "dumb")], auto, true) && with(&[("NO_COLOR", "")], auto, true));
    }
}
