//! Latencies: one set of histograms per shard, merged after the shards have ended.
//!
//! A histogram belongs to one shard and is never shared, so recording takes no lock. Values are
//! nanoseconds; those above an hour are recorded as an hour and counted as clipped.

mod read;
mod write;

pub use read::read_hlog;
pub use write::{human, write_hgrm, write_hlog, write_json};

use hdrhistogram::Histogram;
use std::time::Duration;

/// The longest latency recorded, an hour.
pub const LIMIT_NS: u64 = 3_600_000_000_000;

/// One clock of one shard.
#[derive(Clone, Debug)]
pub struct Clock {
    histogram: Histogram<u64>,
    clipped: u64,
}

impl Default for Clock {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, LIMIT_NS, 2).expect("the bounds are constant and sound");
        Clock { histogram, clipped: 0 }
    }
}

impl Clock {
    /// Records that `rows` rows took `ns` each.
    #[inline]
    pub fn record(&mut self, ns: u64, rows: u64) {
        if ns > LIMIT_NS {
            self.clipped += rows;
        }
        self.histogram.saturating_record_n(ns.min(LIMIT_NS), rows);
    }

    /// Adds what another shard recorded.
    pub fn merge(&mut self, other: &Clock) {
        self.histogram.add(&other.histogram).expect("every clock has the same bounds");
        self.clipped += other.clipped;
    }

    /// The histogram itself.
    pub fn histogram(&self) -> &Histogram<u64> {
        &self.histogram
    }

    /// Rows whose latency was above [`LIMIT_NS`].
    pub fn clipped(&self) -> u64 {
        self.clipped
    }

    /// The figures of `--stats-json`, in nanoseconds.
    pub fn summary(&self) -> Summary {
        Summary::of(&self.histogram, self.clipped)
    }
}

/// The clocks of one shard.
#[derive(Clone, Debug, Default)]
pub struct Clocks {
    /// From a chunk read to its rows done.
    pub engine: Clock,
    /// From the watermark passing a window's end to its rows in the sink.
    pub window_close: Clock,
    /// From when a row should have been read, under `--rate`.
    pub scheduled: Clock,
    /// From when it was read instead, to show beside `scheduled`.
    pub uncorrected: Clock,
}

impl Clocks {
    /// Every clock and its name.
    pub fn named(&self) -> [(&'static str, &Clock); 4] {
        [
            ("engine", &self.engine),
            ("window_close", &self.window_close),
            ("scheduled", &self.scheduled),
            ("uncorrected", &self.uncorrected),
        ]
    }

    /// Adds what another shard recorded.
    pub fn merge(&mut self, other: &Clocks) {
        self.engine.merge(&other.engine);
        self.window_close.merge(&other.window_close);
        self.scheduled.merge(&other.scheduled);
        self.uncorrected.merge(&other.uncorrected);
    }
}

/// Figures of one clock, in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
#[allow(missing_docs, reason = "the usual names of percentiles")]
pub struct Summary {
    pub count: u64,
    pub min: u64,
    pub mean: f64,
    #[serde(skip)]
    pub stdev: f64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p99_9: u64,
    pub p99_99: u64,
    pub max: u64,
    #[serde(skip)]
    pub clipped: u64,
}

impl Summary {
    /// The figures of `histogram`, of whose rows `clipped` were above [`LIMIT_NS`].
    pub fn of(histogram: &Histogram<u64>, clipped: u64) -> Summary {
        Summary {
            count: histogram.len(),
            min: histogram.min(),
            mean: histogram.mean(),
            stdev: histogram.stdev(),
            p50: histogram.value_at_quantile(0.5),
            p90: histogram.value_at_quantile(0.9),
            p99: histogram.value_at_quantile(0.99),
            p99_9: histogram.value_at_quantile(0.999),
            p99_99: histogram.value_at_quantile(0.9999),
            max: histogram.max(),
            clipped,
        }
    }

    /// One line for people; `title` says which clock.
    pub fn line(&self, title: &str) -> String {
        if self.count == 0 {
            return format!("latency  {title}  nothing recorded");
        }
        let [p50, p90, p99, p99_9, p99_99, max] =
            [self.p50, self.p90, self.p99, self.p99_9, self.p99_99, self.max].map(|ns| human(ns as f64));
        let (mean, deviation) = (human(self.mean), human(self.stdev));
        let clipped = match self.clipped {
            0 => String::new(),
            rows => format!("  ({rows} above an hour)"),
        };
        format!(
            "latency  {title}  p50 {p50}  p90 {p90}  p99 {p99}  p99.9 {p99_9}  p99.99 {p99_99}  max {max}  mean {mean} ± {deviation}{clipped}"
        )
    }
}

/// One finished interval of one clock, as an `.hlog` line has it.
#[derive(Clone, Debug)]
pub struct Interval {
    /// The clock and shard, like `engine-shard0`.
    pub tag: String,
    /// Since the run began.
    pub start: Duration,
    /// How long it was.
    pub length: Duration,
    /// What was recorded in it.
    pub histogram: Histogram<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_clocks_count_every_row_once() {
        let (mut a, mut b) = (Clock::default(), Clock::default());
        a.record(100, 99);
        b.record(LIMIT_NS + 1, 1);
        a.merge(&b);
        let summary = a.summary();
        assert_eq!((summary.count, summary.clipped, summary.p50, summary.p99), (100, 1, 100, 100));
        assert!(summary.max >= LIMIT_NS);
    }
}
