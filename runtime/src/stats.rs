//! The statistics of one run, serialized once, to `--stats-json`.
//!
//! The row equation, rows read = bad + filtered + late + delivered, is checked per source. Fields
//! marked `skip` are for the report on standard error only.

use crate::latency::{Clocks, Summary};
use crate::ledger::Books;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;

/// The `format` of what this version writes.
pub const FORMAT: u32 = 1;

/// Everything a run says about itself.
#[derive(Clone, Debug, Default, Serialize)]
#[allow(missing_docs, reason = "the field names are the format")]
pub struct Stats {
    pub format: u32,
    pub version: &'static str,
    pub sql: String,
    pub executor: String,
    pub cores: Vec<u32>,
    pub machine: Machine,
    pub seconds: f64,
    pub sources: Vec<Source>,
    pub jobs: Vec<Job>,
    pub operators: Vec<Operator>,
    pub shards: Vec<Shard>,
    pub totals: Totals,
    pub costs: Costs,
    pub latency: Latency,
    pub voluntary_switches: u64,
    pub involuntary_switches: u64,
    pub steal_seconds: f64,
    pub max_rss_bytes: u64,
    #[serde(skip)]
    pub rate: Option<f64>,
}

/// What it ran on.
#[derive(Clone, Debug, Default, Serialize)]
#[allow(missing_docs, reason = "the field names are the format")]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub kernel: String,
}

impl Machine {
    /// This machine; what it does not tell is `unknown`.
    pub fn this() -> Machine {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Machine {
            cpu: model(&read("/proc/cpuinfo")),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            kernel: known(read("/proc/sys/kernel/osrelease").trim()),
        }
    }
}

fn model(cpuinfo: &str) -> String {
    let field = |line: &str| line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim().to_owned());
    known(&cpuinfo.lines().find_map(field).unwrap_or_default())
}

fn known(text: &str) -> String {
    if text.is_empty() { "unknown".into() } else { text.into() }
}

/// One query of the script and where its rows went.
#[derive(Clone, Debug, Default, Serialize)]
#[allow(missing_docs, reason = "the field names are the format")]
pub struct Job {
    pub name: String,
    pub output: String,
    pub rows_out: u64,
    pub bytes_out: u64,
}

/// Sums over the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the field names are the format")]
pub struct Totals {
    pub rows_in: u64,
    pub bytes_in: u64,
    pub rows_out: u64,
    pub bad: u64,
    pub late: u64,
    pub filtered: u64,
    pub rows_per_second: f64,
    pub bytes_per_second: f64,
}

impl Totals {
    /// The sums over `shards`, which took `seconds`.
    pub fn of(shards: &[Shard], seconds: f64) -> Totals {
        let sum = |pick: fn(&Shard) -> u64| shards.iter().map(pick).sum::<u64>();
        let per_second = |amount: u64| if seconds > 0.0 { amount as f64 / seconds } else { 0.0 };
        let (rows_in, bytes_in) = (sum(|shard| shard.rows_in), sum(|shard| shard.bytes_in));
        Totals {
            rows_in,
            bytes_in,
            rows_out: sum(|shard| shard.rows_out),
            bad: sum(|shard| shard.bad),
            late: sum(|shard| shard.late),
            filtered: sum(|shard| shard.filtered),
            rows_per_second: per_second(rows_in - sum(|shard| shard.before.0)),
            bytes_per_second: per_second(bytes_in - sum(|shard| shard.before.1)),
        }
    }
}

/// What a row cost beside its time. Shares are of the shards' wall time. Locks are missing: a data path without
/// any is shown by a script that counts system calls.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the field names are the format")]
pub struct Costs {
    pub switches_per_1000_rows: f64,
    /// By cause: `read` (from the page cache), `carry` (an unfinished row to the next block), `exchange`,
    /// `keys` (of new groups), `held` (rows that wait), `format` (values to text), `merge` (text of several
    /// shards), `write`.
    pub copied_bytes_per_row: BTreeMap<&'static str, f64>,
    pub ring_messages_per_1000_rows: f64,
    pub ring_operations_per_1000_rows: f64,
    pub ring_bytes_per_row: f64,
    pub reader_share: f64,
    pub writer_share: f64,
    /// Of the thread that merges, where there is one.
    pub writer_cpu_seconds: f64,
    pub control_share: f64,
    pub unexplained_share: f64,
    /// What the ledger itself takes: its marks, and what one costs on this machine.
    pub ledger_marks: u64,
    pub ledger_mark_ns: f64,
    pub ledger_share: f64,
}

/// One source's rows.
#[derive(Clone, Debug, Default, Serialize)]
#[allow(missing_docs, reason = "the field names are the format")]
pub struct Source {
    pub name: String,
    pub files: u64,
    pub splits: u64,
    pub rows: u64,
    pub bytes: u64,
    pub bad: u64,
    pub filtered: u64,
    pub late: u64,
    pub delivered: u64,
    /// Rows more than an hour ahead of the others, whose time was not followed.
    pub leaps: u64,
    /// Of the bad rows, those in `--reject`.
    pub rejected: u64,
    /// Of the late rows, those in `--late-file`.
    pub late_kept: u64,
    #[serde(skip)]
    pub reject_file: Option<String>,
    #[serde(skip)]
    pub late_file: Option<String>,
    /// Milliseconds since the epoch.
    pub watermark: Option<i64>,
    pub held_by: Option<HeldBy>,
    #[serde(skip)]
    pub first_late: Option<String>,
    #[serde(skip)]
    pub first_bad: Vec<String>,
}

/// The split that keeps windows open when a run ends before its input; times in milliseconds.
#[derive(Clone, Debug, Default, Serialize)]
#[allow(missing_docs, reason = "the field names are the format")]
pub struct HeldBy {
    pub split: String,
    pub watermark: i64,
    pub window_end: i64,
}

impl Source {
    /// What is wrong with the row equation, if anything.
    pub fn mismatch(&self) -> Option<String> {
        let Source { name, rows, bad, filtered, late, delivered, .. } = self;
        (*rows != bad + filtered + late + delivered).then(|| {
            format!(
                "ROWS DO NOT ADD UP in `{name}`: read {rows}, bad {bad} + filtered {filtered} + late {late} + delivered {delivered}"
            )
        })
    }
}

/// A node of the plan, over all shards.
#[derive(Clone, Debug, Default, Serialize)]
#[allow(missing_docs, reason = "the field names are the format")]
pub struct Operator {
    pub node: usize,
    pub name: String,
    /// Rows given to the nodes behind it; of a sink, rows taken.
    pub rows_out: u64,
}

/// One shard's work.
#[derive(Clone, Debug, Default, Serialize)]
#[allow(missing_docs, reason = "the field names are the format")]
pub struct Shard {
    pub cpu: Option<u32>,
    pub rows_in: u64,
    pub bytes_in: u64,
    pub rows_out: u64,
    pub bad: u64,
    pub late: u64,
    pub filtered: u64,
    pub ledger: BTreeMap<&'static str, i64>,
    pub ring: Ring,
    pub memory: BTreeMap<String, u64>,
    /// Rows and bytes in that an earlier run has read, and this one goes on behind.
    #[serde(skip)]
    pub before: (u64, u64),
    #[serde(skip)]
    pub books: Books,
}

/// What one shard sent to others.
#[derive(Clone, Debug, Default, Serialize)]
#[allow(missing_docs, reason = "the field names are the format")]
pub struct Ring {
    pub messages: u64,
    pub rows: u64,
    pub bytes: u64,
}

/// The ledger of one shard as JSON has it, in whole nanoseconds.
pub fn ledger(books: &Books) -> BTreeMap<&'static str, i64> {
    books.entries().map(|(name, ns)| (name, ns.round() as i64)).collect()
}

/// The merged clocks.
#[derive(Clone, Debug, Default, Serialize)]
#[allow(missing_docs, reason = "the field names are the format")]
pub struct Latency {
    pub engine: Summary,
    pub window_close: Summary,
    pub scheduled: Summary,
    #[serde(skip)]
    pub uncorrected: Summary,
}

impl From<&Clocks> for Latency {
    fn from(clocks: &Clocks) -> Self {
        Latency {
            engine: clocks.engine.summary(),
            window_close: clocks.window_close.summary(),
            scheduled: clocks.scheduled.summary(),
            uncorrected: clocks.uncorrected.summary(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_rows_are_noticed() {
        let mut source = Source { rows: 10, bad: 1, filtered: 2, late: 3, delivered: 4, ..Source::default() };
        assert_eq!(source.mismatch(), None);
        source.delivered = 3;
        assert!(source.mismatch().unwrap().contains("read 10"));
    }

    fn keys(value: &serde_json::Value) -> Vec<&str> {
        value.as_object().unwrap().keys().map(String::as_str).collect()
    }

    #[test]
    fn the_shape_is_format_1() {
        let shard = Shard { rows_in: 4, bytes_in: 80, bad: 1, ..Shard::default() };
        let totals = Totals::of(&[shard.clone(), shard.clone()], 2.0);
        assert_eq!((totals.rows_in, totals.bad, totals.rows_per_second, totals.bytes_per_second), (8, 2, 4.0, 80.0));
        let source = Source { first_late: Some("x".into()), ..Source::default() };
        let operators = vec![Operator::default()];
        let stats =
            Stats { format: FORMAT, operators, shards: vec![shard], sources: vec![source], totals, ..Stats::default() };
        let json = serde_json::to_value(&stats).unwrap();
        assert_eq!(
            keys(&json).join(" "),
            "cores costs executor format involuntary_switches jobs latency machine max_rss_bytes operators seconds shards sources sql steal_seconds totals version voluntary_switches"
        );
        let shape = [
            ("/shards/0", "bad bytes_in cpu filtered late ledger memory ring rows_in rows_out"),
            ("/shards/0/ring", "bytes messages rows"),
            ("/operators/0", "name node rows_out"),
            (
                "/sources/0",
                "bad bytes delivered files filtered held_by late late_kept leaps name rejected rows splits watermark",
            ),
            ("/latency", "engine scheduled window_close"),
            ("/latency/engine", "count max mean min p50 p90 p99 p99_9 p99_99"),
            ("/machine", "cores cpu kernel"),
            (
                "/costs",
                "control_share copied_bytes_per_row ledger_mark_ns ledger_marks ledger_share reader_share ring_bytes_per_row \
                 ring_messages_per_1000_rows ring_operations_per_1000_rows switches_per_1000_rows unexplained_share \
                 writer_cpu_seconds writer_share",
            ),
        ];
        for (place, names) in shape {
            assert_eq!(keys(json.pointer(place).unwrap()).join(" "), names, "{place}");
        }
        assert_eq!(json["format"], 1);
    }

    #[test]
    fn the_model_of_the_processor_is_found() {
        assert_eq!(model("processor\t: 0\nmodel name\t: A B 9\nmodel name\t: C\n"), "A B 9");
        assert_eq!(model(""), "unknown");
    }
}
