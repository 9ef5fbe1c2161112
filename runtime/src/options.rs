//! What one run was asked to do, as plain typed fields, and the parsers of the quantities in it.
//!
//! The command line, the environment and the configuration file all end here; nothing below this
//! type knows where a setting came from.

use std::path::PathBuf;
use std::time::Duration;

use corelane_engine::sql::Dialect;
use corelane_engine::zone::{Zone, named};

use crate::checkpoint::Every;
use crate::clock;

/// Which executor drives the shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Executor {
    /// The best one this machine allows.
    #[default]
    Auto,
    /// io_uring through glommio.
    Glommio,
    /// Plain threads with blocking reads.
    Threads,
}

/// What a bad row does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum OnError {
    /// Ends the run.
    #[default]
    Fail,
    /// Is counted and left out.
    Skip,
    /// Is counted, left out, and written to `--reject`.
    Reject,
}

/// What a late row does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Late {
    /// Is counted and left out.
    #[default]
    Drop,
    /// Is counted, left out, and written to `--late-file`.
    Side,
    /// Corrects the result of its window.
    #[value(hide = true)]
    Update,
}

/// When something that depends on a terminal is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum When {
    /// On a terminal.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How errors are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ErrorFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// How many bad rows are borne.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MaxErrors {
    /// This many.
    Rows(u64),
    /// This share of the rows read, 0 to 100.
    Percent(f64),
}

impl MaxErrors {
    /// Whether `bad` of `read` rows are more than allowed.
    pub fn exceeded(self, bad: u64, read: u64) -> bool {
        match self {
            MaxErrors::Rows(limit) => bad > limit,
            MaxErrors::Percent(limit) => bad as f64 * 100.0 > limit * read as f64,
        }
    }
}

/// The files of one table: `NAME=GLOB[,GLOB]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// The table.
    pub name: String,
    /// Its files, as patterns.
    pub globs: Vec<String>,
}

/// Where the script comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Script {
    /// Given on the command line.
    Text(String),
    /// A file.
    File(PathBuf),
    /// Standard input.
    Stdin,
}

/// Everything one run was asked to do.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each field is the flag of its name, described by --help")]
pub struct Options {
    pub script: Script,
    pub cores: Option<String>,
    pub shards: Option<usize>,
    pub executor: Executor,
    pub busy_poll: bool,
    pub inputs: Vec<Input>,
    pub output: Option<PathBuf>,
    pub format: Option<String>,
    pub rate: Option<f64>,
    pub max_batch_delay: Option<Duration>,
    pub ordered: bool,
    pub merge_buffer: Option<u64>,
    pub max_skew: Option<Duration>,
    pub on_error: OnError,
    pub reject: Option<PathBuf>,
    pub max_errors: Option<MaxErrors>,
    pub late: Late,
    pub late_file: Option<PathBuf>,
    pub stats_json: Option<PathBuf>,
    pub ledger: bool,
    pub latency_hlog: Option<PathBuf>,
    pub latency_hgrm: Option<PathBuf>,
    pub latency_json: Option<PathBuf>,
    pub progress: When,
    pub quiet: bool,
    pub memory: Option<u64>,
    pub dialect: Dialect,
    pub time_zone: Zone,
    pub clock: clock::Choice,
    pub line_limit: Option<u64>,
    pub column_limit: Option<u64>,
    pub hash_seed: Option<u64>,
    pub force_exchange: bool,
    pub error_format: ErrorFormat,
    pub color: When,
    pub checkpoint: Option<PathBuf>,
    pub checkpoint_every: Option<Every>,
    pub resume: Option<PathBuf>,
    pub from_scratch: bool,
    /// The run goes on with what several shards have begun: its plan is one for several.
    pub is_spread: bool,
}

impl Options {
    /// Whether the run writes checkpoints.
    pub fn is_checkpointed(&self) -> bool {
        self.checkpoint.is_some() || self.resume.is_some()
    }
}

fn split_unit(text: &str) -> Result<(f64, &str), String> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number = text[..end].parse::<f64>().map_err(|_| format!("`{text}` does not begin with a number"))?;
    Ok((number, text[end..].trim()))
}

/// Bytes: `4096`, `64MiB`, `1GB`, `4g`; a bare letter means the binary unit.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let (number, unit) = split_unit(text)?;
    let scale: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        _ => return Err(format!("unknown unit `{unit}` of a size; try 64MiB or 1GB")),
    };
    let bytes = number * scale as f64;
    if bytes >= u64::MAX as f64 {
        return Err(format!("`{text}` is more than 64 bits of bytes"));
    }
    Ok(bytes as u64)
}

/// Time: `250us`, `5ms`, `10s`, `2min`, `1h`; a unit is required.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split_unit(text)?;
    let seconds = match unit {
        "ns" => 1e-9,
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "min" | "m" => 60.0,
        "h" => 3600.0,
        "" if number == 0.0 => 0.0,
        _ => return Err(format!("unknown unit `{unit}` of a time; try 5ms or 10s")),
    };
    Duration::try_from_secs_f64(number * seconds).map_err(|_| format!("`{text}` is too long a time"))
}

/// Rows a second: `1000/s`, `1M/s`, `100k/s`; the `/s` may be left out.
pub fn parse_rate(text: &str) -> Result<f64, String> {
    let (number, unit) = split_unit(text.trim().strip_suffix("/s").unwrap_or(text))?;
    let scale = match unit {
        "" => 1.0,
        "k" | "K" => 1e3,
        "m" | "M" => 1e6,
        "g" | "G" => 1e9,
        _ => return Err(format!("unknown unit `{unit}` of a rate; try 100k/s or 1M/s")),
    };
    if number == 0.0 {
        return Err("a rate must be more than zero".into());
    }
    Ok(number * scale)
}

/// `100` or `0.5%`.
pub fn parse_max_errors(text: &str) -> Result<MaxErrors, String> {
    match text.strip_suffix('%') {
        Some(share) => match share.parse::<f64>() {
            Ok(share) if (0.0..=100.0).contains(&share) => Ok(MaxErrors::Percent(share)),
            _ => Err(format!("`{text}` is not a percentage from 0% to 100%")),
        },
        None => text.parse().map(MaxErrors::Rows).map_err(|_| format!("`{text}` is neither a count nor a percentage")),
    }
}

/// The name of a dialect.
pub fn parse_dialect(text: &str) -> Result<Dialect, String> {
    let known = || Dialect::ALL.map(|(name, _)| name).join(", ");
    Dialect::parse(text).ok_or_else(|| format!("`{text}` is not a dialect; known are {}", known()))
}

/// The name of a time zone, or an offset.
pub fn parse_time_zone(text: &str) -> Result<Zone, String> {
    named(text).map_err(|error| {
        let report = error.report();
        let help = report.help.as_deref().unwrap_or_default();
        format!("{}; {help}", report.message)
    })
}

/// `NAME=GLOB[,GLOB]`.
pub fn parse_input(text: &str) -> Result<Input, String> {
    let parts =
        text.split_once('=').filter(|(name, globs)| !name.is_empty() && globs.split(',').all(|g| !g.is_empty()));
    let (name, globs) = parts.ok_or_else(|| format!("`{text}` is not NAME=GLOB[,GLOB]"))?;
    Ok(Input { name: name.into(), globs: globs.split(',').map(String::from).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_durations_and_rates() {
        for (text, bytes) in [("0", 0), ("4096", 4096), ("64MiB", 64 << 20), ("1GB", 1_000_000_000), ("1.5k", 1536)] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for (text, nanos) in [("0", 0), ("250us", 250_000), ("1.5s", 1_500_000_000), ("2min", 120_000_000_000)] {
            assert_eq!(parse_duration(text).unwrap().as_nanos(), nanos, "{text}");
        }
        for (text, rate) in [("1000/s", 1e3), ("1M/s", 1e6), ("100k", 1e5)] {
            assert_eq!(parse_rate(text), Ok(rate), "{text}");
        }
        for text in ["", "x", "5", "5parsecs", "-1s", "99999999999999999999h"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        assert!(parse_size("20000000TiB").is_err() && parse_size("1.2.3k").is_err() && parse_rate("0").is_err());
    }

    #[test]
    fn bad_rows_at_the_limit_are_borne() {
        assert!(!parse_max_errors("2").unwrap().exceeded(2, 2) && parse_max_errors("2").unwrap().exceeded(3, 9));
        let half = parse_max_errors("50%").unwrap();
        assert!(!half.exceeded(5, 10) && half.exceeded(6, 10) && !half.exceeded(0, 0));
        assert!(parse_max_errors("101%").is_err() && parse_max_errors("-1").is_err());
    }

    #[test]
    fn inputs_name_a_table_and_files() {
        assert_eq!(parse_input("bid=a*.csv,b.csv").unwrap().globs, ["a*.csv", "b.csv"]);
        assert!(["bid", "=a", "bid=", "bid=a,,b"].iter().all(|text| parse_input(text).is_err()));
    }
}
