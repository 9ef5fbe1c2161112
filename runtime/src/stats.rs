//! The statistics of one run, serialized once, to `--stats-json`.
//!
//! The row equation, rows read = bad + filtered + late + delivered, is checked per source.

use crate::latency::{Clocks, Summary};
use crate::ledger::Books;
use serde::Serialize;
use std::collections::BTreeMap;

/// Everything a run says about itself.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names are the format")]
pub struct Stats {
    pub format: u32,
    pub version: &'static str,
    pub sql: String,
    pub executor: String,
    pub cores: Vec<u32>,
    pub seconds: f64,
    pub sources: Vec<Source>,
    pub shards: Vec<Shard>,
    pub latency: Latency,
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
    pub watermark: Option<i64>,
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
}

/// The ledger of one shard as JSON has it, in whole nanoseconds.
pub fn ledger(books: &Books) -> BTreeMap<&'static str, i64> {
    books.entries().map(|(name, ns)| (name, ns.round() as i64)).collect()
}

/// The merged clocks.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names are the format")]
pub struct Latency {
    pub engine: Summary,
    pub window_close: Summary,
    pub scheduled: Summary,
}

impl From<&Clocks> for Latency {
    fn from(clocks: &Clocks) -> Self {
        Latency {
            engine: clocks.engine.summary(),
            window_close: clocks.window_close.summary(),
            scheduled: clocks.scheduled.summary(),
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
}
