//! The subcommands, parsed; `run` may be left out.

use super::RunFlags;
use super::functions::FunctionFlags;
use super::schema::SchemaFlags;
use super::test::TestFlags;
use crate::options::{ErrorFormat, Options};
use clap::{CommandFactory, Parser};
use corelane_engine::{Code, Error};
use std::ffi::OsString;
use std::path::PathBuf;

/// What was asked for.
#[derive(Debug)]
pub enum Command {
    /// Run a script.
    Run(Box<Options>),
    /// Show the plan of a script.
    Explain(Box<Options>),
    /// Check a script without running it.
    Check(Box<Options>),
    /// Write a data set.
    Gen(GenFlags),
    /// Print a CREATE TABLE for files.
    Schema(SchemaFlags),
    /// Print the functions, or all about one.
    Functions(FunctionFlags),
    /// Run tests of queries.
    Test(TestFlags),
    /// Show the cores and their allotment.
    Cores,
    /// Print the percentiles of a file.
    Latency(LatencyFlags),
    /// Print a completion script.
    Completions(CompletionFlags),
}

/// The arguments of `gen`.
#[derive(Debug, Parser)]
#[command(name = "corelane gen", bin_name = "corelane gen", about = "Write a data set")]
#[allow(missing_docs, reason = "a doc comment becomes the help text; the names say the rest")]
pub struct GenFlags {
    /// The data set, NAME or NAME:FLAVOUR
    pub name: String,
    /// Rows in all, or events
    #[arg(long, default_value_t = 1_000_000)]
    pub rows: u64,
    /// Files, of each table where there are several
    #[arg(long, default_value = "1", value_parser = super::parse_shards)]
    pub shards: usize,
    /// Seed; the same seed writes the same bytes
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// The flavour, if not said in NAME
    #[arg(long)]
    pub flavour: Option<String>,
    /// The directory to write to
    #[arg(short, long)]
    pub output: PathBuf,
}

/// The arguments of `latency`.
#[derive(Debug, Parser)]
#[command(name = "corelane latency", bin_name = "corelane latency", about = "Print the percentiles of an .hlog file")]
pub struct LatencyFlags {
    /// The file
    pub file: PathBuf,
}

/// The arguments of `completions`.
#[derive(Debug, Parser)]
#[command(name = "corelane completions", bin_name = "corelane completions", about = "Print a completion script")]
pub struct CompletionFlags {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// The completion script of `run`.
pub fn completions(flags: &CompletionFlags) -> Vec<u8> {
    let mut text = Vec::new();
    clap_complete::generate(flags.shell, &mut RunFlags::command(), "corelane", &mut text);
    text
}

/// Each clock of an `.hlog`, one line each, shards merged by tag.
pub fn latency(text: &str) -> Result<String, String> {
    let intervals = crate::latency::read_hlog(text)?;
    let mut clocks = std::collections::BTreeMap::new();
    for interval in intervals {
        let tag = if interval.tag.is_empty() { "(no tag)".to_owned() } else { interval.tag };
        match clocks.entry(tag) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(interval.histogram);
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => {
                entry.get_mut().add(&interval.histogram).map_err(|_| "the histograms of a tag differ in range")?;
            }
        }
    }
    let lines = clocks.iter().map(|(tag, histogram)| crate::latency::Summary::of(histogram, 0).line(tag) + "\n");
    Ok(lines.collect())
}

/// Parses the arguments of the process, the program's name first. The error is one line for
/// standard error and status 2, or help and status 0.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, (String, u8)> {
    parse_with(arguments, super::config::of_user)
}

/// The same with arguments that `extend` adds to a run's.
fn parse_with(
    arguments: impl IntoIterator<Item = OsString>,
    extend: impl FnOnce(Vec<String>) -> Result<Vec<String>, String>,
) -> Result<Command, (String, u8)> {
    let mut words = Vec::new();
    for argument in arguments {
        words.push(argument.into_string().map_err(|word| {
            (format!("error: argument `{}` is not UTF-8; rename the file or use -f -\n", word.to_string_lossy()), 2)
        })?);
    }
    let name = words.get(1).cloned().unwrap_or_default();
    let reads_config = !["gen", "test", "schema", "latency", "completions", "cores", "functions"].contains(&&*name);
    if reads_config {
        words = extend(words).map_err(|what| (format!("error: {what}\n"), 2))?;
    }
    let as_json = wants_json(&words);
    let rest = || words.iter().enumerate().filter(|&(at, _)| at != 1).map(|(_, word)| word.clone());
    match name.as_str() {
        "explain" => RunFlags::try_parse_from(rest()).map(|flags| Command::Explain(Box::new(flags.into_options()))),
        "check" => RunFlags::try_parse_from(rest()).map(|flags| Command::Check(Box::new(flags.into_options()))),
        "gen" => GenFlags::try_parse_from(rest()).map(Command::Gen),
        "schema" => SchemaFlags::try_parse_from(rest()).map(Command::Schema),
        "functions" => FunctionFlags::try_parse_from(rest()).map(Command::Functions),
        "test" => TestFlags::try_parse_from(rest()).map(Command::Test),
        "latency" => LatencyFlags::try_parse_from(rest()).map(Command::Latency),
        "completions" => CompletionFlags::try_parse_from(rest()).map(Command::Completions),
        "cores" if words.len() == 2 => Ok(Command::Cores),
        _ => run(words),
    }
    .map_err(|error| shown(error, as_json))
}

/// Whether `--error-format json` is asked for, by words that could not be parsed.
fn wants_json(words: &[String]) -> bool {
    let flag = "--error-format";
    let pairs = words.windows(2).any(|pair| pair[0] == flag && pair[1] == "json");
    let variable = || std::env::var("CORELANE_ERROR_FORMAT").is_ok_and(|value| value == "json");
    pairs || words.iter().any(|word| word.strip_prefix(flag) == Some("=json")) || variable()
}

fn run(words: Vec<String>) -> Result<Command, clap::Error> {
    super::parse_run(words).map(|options| Command::Run(Box::new(options)))
}

fn shown(error: clap::Error, as_json: bool) -> (String, u8) {
    if !error.use_stderr() {
        return (error.render().to_string(), 0);
    }
    let text = error.render().to_string();
    let first: Vec<&str> = text.split("\n\n").next().unwrap_or_default().split_whitespace().collect();
    let line = first.join(" ");
    if as_json {
        let message = line.strip_prefix("error: ").unwrap_or(&line);
        let error = Error::new(Code::BadOption, message);
        return (super::errors::render(&error, "", "", ErrorFormat::Json, false), 2);
    }
    (line + "\n", 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    fn words(words: &[&str]) -> Result<Command, (String, u8)> {
        parse_with(std::iter::once("corelane").chain(words.iter().copied()).map(OsString::from), Ok)
    }

    #[test]
    fn subcommands_are_told_from_sql() {
        assert!(matches!(words(&["SELECT 1"]), Ok(Command::Run(_))));
        assert!(matches!(words(&["explain", "SELECT 1"]), Ok(Command::Explain(_))));
        assert!(matches!(words(&["cores"]), Ok(Command::Cores)));
        assert!(matches!(words(&["gen", "nexmark:plain", "-o", "d"]), Ok(Command::Gen(flags)) if flags.shards == 1));
    }

    #[test]
    fn errors_are_one_line_and_status_2() {
        for bad in [&["schema"][..], &["--nonsense"], &["q", "--rate", "x"], &["gen", "a"]] {
            let (text, status) = words(bad).unwrap_err();
            assert_eq!((text.lines().count(), status), (1, 2), "{text}");
        }
        assert_eq!(words(&["--help"]).unwrap_err().1, 0);
        for json in [&["--error-format", "json", "--nonsense"][..], &["--nonsense", "--error-format=json"]] {
            let (text, _) = words(json).unwrap_err();
            assert!(text.starts_with(r#"{"code":"E0207","message":"unexpected argument"#), "{text}");
        }
        let (text, _) = parse_with([OsString::from("corelane"), OsString::from_vec(vec![0xff])], Ok).unwrap_err();
        assert!(text.contains("not UTF-8"));
    }

    #[test]
    fn a_log_is_printed_by_tag() {
        let text = latency(include_str!("../latency/testdata/other.hlog")).unwrap();
        assert!(text.contains("engine-shard0  p50 501 ns") && text.lines().count() == 2, "{text}");
    }
}
