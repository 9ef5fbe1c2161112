//! A query as a job, the way `corelane -o DIR/` runs it: an executor, a pinned shard per core, and
//! exchanges where the plan needs them.

use std::path::Path;
use std::time::Duration;

use corelane::cores::CpuSet;
use corelane::options::Options;
use corelane::{cli, job};
use corelane_engine::{Code, Error, Result};
use corelane_io::fs::RealDisk;

use crate::case::Case;

/// What one run has taken.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// Rows read.
    pub rows_in: u64,
    /// Rows written.
    pub rows_out: u64,
    /// From the start of the shards to the end of the last.
    pub wall: Duration,
    /// On a CPU, all shards together.
    pub cpu: Duration,
    /// Without the CPU though there was work, all shards together.
    pub descheduled: Duration,
    /// Times a shard's CPU was taken.
    pub involuntary_switches: u64,
    /// Times a shard gave its CPU up.
    pub voluntary_switches: u64,
    /// Share of the shards' wall time that no stage of the ledger accounts for.
    pub unexplained: f64,
}

/// The options of a job over `inputs`, each `NAME=PATTERN`: what `corelane` makes of the same words.
pub fn options(inputs: &[String], cpus: &[usize], output: &Path, force_exchange: bool) -> Result<Options> {
    let cores = cpus.iter().copied().collect::<CpuSet>().to_string();
    let output = format!("{}/", output.display());
    let words = ["corelane", "--file", "-", "--cores", &cores, "--format", "csv", "-o", &output];
    let inputs = inputs.iter().flat_map(|input| ["--input", input]);
    let words = words.into_iter().chain(inputs).chain(force_exchange.then_some("--force-exchange"));
    cli::parse_run(words.map(str::to_owned)).map_err(|cause| Error::new(Code::BadOption, cause.to_string()))
}

/// Runs the job of `case` to its end.
pub fn run(case: &Case, options: &Options) -> Result<Outcome> {
    let program = job::compile(case.sql, &RealDisk::default(), options)?;
    let finished = job::prepare(program, &RealDisk::default(), options)?.run(|_, _| {})?;
    if let Some(error) = finished.error {
        return Err(error);
    }
    let mut outcome = Outcome { wall: finished.elapsed, ..Outcome::default() };
    let (mut wall_ns, mut unexplained_ns) = (0.0, 0.0);
    for shard in &finished.shards {
        outcome.rows_in += shard.sources.iter().map(|source| source.counts.read).sum::<u64>();
        outcome.rows_out += shard.sinks.iter().map(|sink| sink.0).sum::<u64>();
        outcome.cpu += Duration::from_nanos(shard.times.cpu_ns);
        outcome.descheduled += Duration::from_nanos(shard.books.descheduled as u64);
        outcome.involuntary_switches += shard.times.involuntary_switches;
        outcome.voluntary_switches += shard.times.voluntary_switches;
        wall_ns += shard.books.wall;
        // Time booked twice is as unexplained as time not booked: the two may not cancel out.
        unexplained_ns += shard.books.unexplained.abs();
    }
    outcome.unexplained = unexplained_ns / f64::max(wall_ns, 1.0);
    Ok(outcome)
}
