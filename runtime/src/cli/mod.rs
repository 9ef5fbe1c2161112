//! The command line: flags and their environment variables, into [`Options`].
//!
//! A flag wins over its variable `CORELANE_...`, that over [`config`], and that over the default.

pub mod command;
pub mod config;
pub mod errors;
pub mod execute;
pub mod exit;
pub mod functions;
pub mod recovery;
pub mod schema;
pub mod test;

use crate::checkpoint::Every;
use crate::checkpoint::every::parse_every;
use crate::clock;
use crate::options::*;
use clap::Parser;
use corelane_engine::sql::Dialect;
use corelane_engine::zone::Zone;
use std::path::PathBuf;
use std::time::Duration;

/// The flags of `run`.
#[derive(Debug, Parser)]
#[command(
    name = "corelane",
    version,
    about = "Streaming SQL, thread per core and shared nothing",
    after_help = "\
Other commands, each with --help:
  explain      the plan of a script, with its exchanges, state and emit mode
  check        whether a script is right; reads no rows
  test         the tests of queries in files: rows in, rows asserted
  schema       the CREATE TABLE of files, to copy
  gen          files of orders, market_data, measurements or nexmark
  functions    what can be called in a script, or all about one NAME
  cores        the CPUs, which are allowed, siblings and NUMA nodes
  latency      the percentiles in an .hlog
  completions  a completion script for a shell"
)]
#[allow(missing_docs, reason = "a doc comment becomes the help text; the names say the rest")]
pub struct RunFlags {
    /// The script; `-` is standard input
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    pub sql: Option<String>,
    /// Read the script from a file; `-` is standard input
    #[arg(short, long)]
    pub file: Option<PathBuf>,
    /// Cores, as a mask 0x3 or a list 0-1,4
    #[arg(long, env = "CORELANE_CORES")]
    pub cores: Option<String>,
    /// Shards, one thread each
    #[arg(long, env = "CORELANE_SHARDS", value_parser = parse_shards)]
    pub shards: Option<usize>,
    /// What drives the shards
    #[arg(long, env = "CORELANE_EXECUTOR", value_enum, default_value_t)]
    pub executor: Executor,
    /// Never sleep
    #[arg(long, env = "CORELANE_BUSY_POLL", value_parser = clap::builder::BoolishValueParser::new())]
    pub busy_poll: bool,
    #[arg(long = "input", help = "Files of a table, NAME=GLOB[,GLOB]; repeatable", env = "CORELANE_INPUT", value_parser = parse_input)]
    pub inputs: Vec<Input>,
    /// A file, or a directory ending in `/` for one file per shard
    #[arg(short, long, env = "CORELANE_OUTPUT")]
    pub output: Option<PathBuf>,
    /// Format of the results
    #[arg(long, env = "CORELANE_FORMAT")]
    pub format: Option<String>,
    /// Rows a second, like 100k/s
    #[arg(long, env = "CORELANE_RATE", value_parser = parse_rate)]
    pub rate: Option<f64>,
    /// Longest a row waits for its batch to fill
    #[arg(long, env = "CORELANE_MAX_BATCH_DELAY", value_parser = parse_duration)]
    pub max_batch_delay: Option<Duration>,
    /// Results in order
    #[arg(long, env = "CORELANE_ORDERED", value_parser = clap::builder::BoolishValueParser::new())]
    pub ordered: bool,
    /// Memory for putting results in order
    #[arg(long, env = "CORELANE_MERGE_BUFFER", value_parser = parse_size)]
    pub merge_buffer: Option<u64>,
    /// Event time by which one shard may be ahead of the last, like 10min
    #[arg(long, env = "CORELANE_MAX_SKEW", value_parser = parse_duration)]
    pub max_skew: Option<Duration>,
    /// What a bad row does
    #[arg(long, env = "CORELANE_ON_ERROR", value_enum, default_value_t)]
    pub on_error: OnError,
    /// Where bad rows go under --on-error reject, a JSON object a line
    #[arg(long, env = "CORELANE_REJECT")]
    pub reject: Option<PathBuf>,
    /// Bad rows borne, a count or a percentage
    #[arg(long, env = "CORELANE_MAX_ERRORS", value_parser = parse_max_errors)]
    pub max_errors: Option<MaxErrors>,
    /// What a late row does
    #[arg(long, env = "CORELANE_LATE", value_enum, default_value_t)]
    pub late: Late,
    /// Where late rows go under --late side, a JSON object a line
    #[arg(long, env = "CORELANE_LATE_FILE")]
    pub late_file: Option<PathBuf>,
    /// Keep checkpoints in this directory, to go on after a stop
    #[arg(long, env = "CORELANE_CHECKPOINT", conflicts_with = "resume")]
    pub checkpoint: Option<PathBuf>,
    /// When the next one is due: 10s, 1GB or 200000rows [default: 10s]
    #[arg(long, env = "CORELANE_CHECKPOINT_EVERY", value_parser = parse_every)]
    pub checkpoint_every: Option<Every>,
    /// Go on with the checkpoints in this directory
    #[arg(long, env = "CORELANE_RESUME")]
    pub resume: Option<PathBuf>,
    /// Remove the checkpoints and what was written with them, and begin again
    #[arg(long, env = "CORELANE_FROM_SCRATCH", value_parser = clap::builder::BoolishValueParser::new())]
    pub from_scratch: bool,
    /// Write the statistics here
    #[arg(long, env = "CORELANE_STATS_JSON")]
    pub stats_json: Option<PathBuf>,
    /// Show where the time went, in full
    #[arg(long, env = "CORELANE_LEDGER", value_parser = clap::builder::BoolishValueParser::new())]
    pub ledger: bool,
    /// Write latencies as an HdrHistogram log
    #[arg(long, env = "CORELANE_LATENCY_HLOG")]
    pub latency_hlog: Option<PathBuf>,
    /// Write latencies as a percentile spectrum
    #[arg(long, env = "CORELANE_LATENCY_HGRM")]
    pub latency_hgrm: Option<PathBuf>,
    /// Write latencies as JSON with every bin
    #[arg(long, env = "CORELANE_LATENCY_JSON")]
    pub latency_json: Option<PathBuf>,
    /// The progress line
    #[arg(long, env = "CORELANE_PROGRESS", value_enum, default_value_t)]
    pub progress: When,
    /// Say nothing but errors
    #[arg(long, env = "CORELANE_QUIET", value_parser = clap::builder::BoolishValueParser::new())]
    pub quiet: bool,
    /// Memory the run may hold, like 4g; three quarters of the cgroup's or the host's, less 24 MiB, unless said
    #[arg(long, env = "CORELANE_MEMORY", value_parser = parse_size)]
    pub memory: Option<u64>,
    /// Whose habits decide where engines differ: corelane, flink, arroyo, risingwave, ksql, velostream or proton
    #[arg(long, env = "CORELANE_DIALECT", default_value = "corelane", value_parser = parse_dialect)]
    pub dialect: Dialect,
    /// Zone of instants (TIMESTAMP_LTZ) where they are read and written: Europe/Berlin, +02:00
    #[arg(long, env = "CORELANE_TIME_ZONE", default_value = "UTC", value_parser = parse_time_zone, allow_hyphen_values = true)]
    pub time_zone: Zone,
    /// What PROCTIME() is read from: wall, or START,STEP, which moves by STEP with each row: '2026-01-01 00:00:00,10ms'
    #[arg(long, env = "CORELANE_CLOCK", default_value = "wall", value_parser = clock::parse)]
    pub clock: clock::Choice,
    /// Longest row of an input file; 16MiB unless said, here or by 'line.limit' of a table
    #[arg(long, env = "CORELANE_LINE_LIMIT", value_parser = parse_line_limit)]
    pub line_limit: Option<u64>,
    /// Most columns of an input file; 16384 unless said
    #[arg(long, env = "CORELANE_COLUMN_LIMIT", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub column_limit: Option<u64>,
    /// Seed of the hash that deals rows to shards, a number or `random`
    #[arg(long, env = "CORELANE_HASH_SEED", value_parser = parse_hash_seed)]
    pub hash_seed: Option<u64>,
    /// Exchange rows even where it is not needed
    #[arg(long, env = "CORELANE_FORCE_EXCHANGE", value_parser = clap::builder::BoolishValueParser::new())]
    pub force_exchange: bool,
    /// How errors are printed
    #[arg(long, env = "CORELANE_ERROR_FORMAT", value_enum, default_value_t)]
    pub error_format: ErrorFormat,
    /// Colours
    #[arg(long, env = "CORELANE_COLOR", value_enum, default_value_t)]
    pub color: When,
}

fn parse_shards(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&n| n > 0).ok_or_else(|| format!("`{text}` is not a count of shards from 1"))
}

fn parse_hash_seed(text: &str) -> Result<u64, String> {
    use std::hash::{BuildHasher, RandomState};
    match text {
        "random" => Ok(RandomState::new().hash_one(0)),
        _ => text.parse().map_err(|_| format!("`{text}` is neither a number nor random")),
    }
}

fn parse_line_limit(text: &str) -> Result<u64, String> {
    let limit = parse_size(text)?;
    let most = 1 << 30;
    if (1..=most).contains(&limit) { Ok(limit) } else { Err(format!("`{text}` is not from 1 byte to {most}")) }
}

impl RunFlags {
    /// The same, with nothing left of where it came from.
    pub fn into_options(self) -> Options {
        let script = match (self.file, self.sql) {
            (Some(file), _) if file.as_os_str() == "-" => Script::Stdin,
            (Some(file), _) => Script::File(file),
            (None, Some(sql)) if sql == "-" => Script::Stdin,
            (None, sql) => Script::Text(sql.unwrap_or_default()),
        };
        Options {
            script,
            cores: self.cores,
            shards: self.shards,
            executor: self.executor,
            busy_poll: self.busy_poll,
            inputs: self.inputs,
            output: self.output,
            format: self.format,
            rate: self.rate,
            max_batch_delay: self.max_batch_delay,
            ordered: self.ordered,
            merge_buffer: self.merge_buffer,
            max_skew: self.max_skew,
            on_error: self.on_error,
            reject: self.reject,
            max_errors: self.max_errors,
            late: self.late,
            late_file: self.late_file,
            stats_json: self.stats_json,
            ledger: self.ledger,
            latency_hlog: self.latency_hlog,
            latency_hgrm: self.latency_hgrm,
            latency_json: self.latency_json,
            progress: self.progress,
            quiet: self.quiet,
            memory: self.memory,
            dialect: self.dialect,
            time_zone: self.time_zone,
            clock: self.clock,
            line_limit: self.line_limit,
            column_limit: self.column_limit,
            hash_seed: self.hash_seed,
            force_exchange: self.force_exchange,
            is_spread: false,
            error_format: self.error_format,
            color: self.color,
            checkpoint: self.checkpoint,
            checkpoint_every: self.checkpoint_every,
            resume: self.resume,
            from_scratch: self.from_scratch,
        }
    }
}

/// Parses the arguments of `run`, `corelane` or `corelane run` first.
pub fn parse_run<I: IntoIterator<Item = String>>(arguments: I) -> Result<Options, clap::Error> {
    let mut arguments: Vec<String> = arguments.into_iter().collect();
    if arguments.get(1).is_some_and(|word| word == "run") {
        arguments.remove(1);
    }
    Ok(RunFlags::try_parse_from(arguments)?.into_options())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Options, clap::Error> {
        parse_run(std::iter::once("corelane").chain(words.iter().copied()).map(String::from))
    }

    #[test]
    fn run_may_be_left_out() {
        assert_eq!(parse(&["SELECT 1"]).unwrap(), parse(&["run", "SELECT 1"]).unwrap());
        assert_eq!(parse(&["-f", "-"]).unwrap().script, Script::Stdin);
        let options = parse(&["q", "--rate", "100k/s", "--input", "a=x", "--input", "b=y,z"]).unwrap();
        assert_eq!((options.rate, options.inputs.len()), (Some(1e5), 2));
        assert_eq!(parse(&["q"]).unwrap().dialect, Dialect::Corelane);
        assert_eq!(parse(&["q"]).unwrap().time_zone, Zone::UTC);
        assert_eq!(parse(&["q", "--time-zone", "-03:00"]).unwrap().time_zone.name(), "-03:00");
        assert_eq!(parse(&["q", "--dialect", "RisingWave"]).unwrap().dialect, Dialect::RisingWave);
    }

    #[test]
    fn what_is_not_built_is_refused() {
        for words in [
            &["q", "--late", "sideways"][..],
            &["q", "--checkpoint", "d", "--resume", "d"],
            &["q", "-f", "x"],
            &["q", "--dialect", "oracle"],
            &["q", "--time-zone", "Europe/Brelin"],
            &["q", "--shards", "0"],
            &[],
        ] {
            assert_eq!(parse(words).unwrap_err().exit_code(), 2, "{words:?}");
        }
    }
}
