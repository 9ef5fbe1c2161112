//! `config.toml`: long flags by their names, for every run of this user.
//!
//! `$XDG_CONFIG_HOME/corelane/config.toml`, else `~/.config/corelane/config.toml`:
//!
//! ```toml
//! cores = "0-3"
//! merge-buffer = "64MiB"
//! quiet = true
//! ```
//!
//! A key becomes the flag of its name unless the command line has that flag or the environment its
//! variable, so that the order is flag, environment, file, default.

use super::RunFlags;
use clap::CommandFactory;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Where the file is looked for; `variable` reads the environment.
pub fn path(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")))?;
    Some(base.join("corelane/config.toml"))
}

/// `words`, the arguments of a run, with those that the file's `text` adds behind them.
pub fn extend(
    mut words: Vec<String>,
    file: &Path,
    text: &str,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Vec<String>, String> {
    let wrong = |what: String| format!("{}: {what}", file.display());
    let table: toml::Table =
        text.parse().map_err(|error: toml::de::Error| wrong(error.to_string().trim().replace('\n', "\n  ")))?;
    let command = RunFlags::command();
    let known = |key: &str| command.get_arguments().find(|argument| argument.get_long() == Some(key));
    let given: Vec<String> = words.clone();
    for (key, value) in &table {
        let Some(argument) = known(key).filter(|argument| argument.get_env().is_some()) else {
            return Err(wrong(format!("there is no flag `--{key}` to set; `corelane --help` lists them")));
        };
        let flag = format!("--{key}");
        let short = argument.get_short().map(|short| format!("-{short}"));
        let is_given = |word: &String| {
            *word == flag
                || word.strip_prefix(&flag).is_some_and(|rest| rest.starts_with('='))
                || short.as_ref().is_some_and(|short| word.starts_with(short) && !word.starts_with("--"))
        };
        if given.iter().any(is_given)
            || argument.get_env().is_some_and(|name| variable(&name.to_string_lossy()).is_some())
        {
            continue;
        }
        let values = match value {
            toml::Value::Array(values) => &values[..],
            one => std::slice::from_ref(one),
        };
        for value in values {
            match value {
                toml::Value::Boolean(false) => {}
                toml::Value::Boolean(true) => words.push(flag.clone()),
                toml::Value::String(text) => words.push(format!("{flag}={text}")),
                toml::Value::Integer(number) => words.push(format!("{flag}={number}")),
                other => return Err(wrong(format!("`{key}` is {}; write a string", other.type_str()))),
            }
        }
    }
    Ok(words)
}

/// The arguments of a run with those of this user's file.
pub fn of_user(words: Vec<String>) -> Result<Vec<String>, String> {
    let variable = |name: &str| std::env::var_os(name);
    let Some(file) = path(variable) else { return Ok(words) };
    match std::fs::read_to_string(&file) {
        Ok(text) => extend(words, &file, &text, variable),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(words),
        Err(cause) => Err(format!("cannot read {}: {cause}", file.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extended(words: &[&str], text: &str) -> Result<String, String> {
        let variable = |name: &str| (name == "CORELANE_FORMAT").then(|| OsString::from("csv"));
        let words = words.iter().map(|&word| word.to_owned()).collect();
        extend(words, Path::new("config.toml"), text, variable).map(|words| words.join(" "))
    }

    #[test]
    fn flags_and_variables_win() {
        let text =
            "cores = \"0-1\"\nshards = 3\nquiet = true\nledger = false\nformat = \"tsv\"\ninput = [\"a=x\", \"b=y\"]\n";
        let rest = "--cores=0-1 --input=a=x --input=b=y --quiet --shards=3";
        assert_eq!(extended(&["corelane"], text).unwrap(), format!("corelane {rest}"));
        assert_eq!(
            extended(&["corelane", "--shards=2", "--cores", "1"], "shards = 3\ncores = \"0\"").unwrap(),
            "corelane --shards=2 --cores 1"
        );
        assert_eq!(extended(&["corelane", "-ox"], "output = \"y\"").unwrap(), "corelane -ox");
    }

    #[test]
    fn mistakes_name_the_file() {
        for (text, part) in
            [("shard = 1", "no flag `--shard`"), ("cores = ", "config.toml: "), ("shards = 1.5", "`shards` is float")]
        {
            let error = extended(&[], text).unwrap_err();
            assert!(error.contains(part) && error.starts_with("config.toml"), "{error}");
        }
    }

    #[test]
    fn the_file_is_where_the_desktop_says() {
        let variable = |home: &'static str, config: &'static str| {
            path(move |name| match name {
                "HOME" => Some(home.into()),
                "XDG_CONFIG_HOME" => Some(config.into()),
                _ => None,
            })
        };
        assert_eq!(variable("/h", "/c").unwrap(), Path::new("/c/corelane/config.toml"));
        assert_eq!(variable("/h", "").unwrap(), Path::new("/h/.config/corelane/config.toml"));
        assert_eq!(variable("", ""), None);
    }
}
