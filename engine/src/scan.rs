//! The scan's decisions, made before rows are built: event time, lateness, WHERE.
//!
//! The reader (in `corelane-io`) converts the eager columns of up to a batch of rows and asks
//! [`Scanner::select`] which rows go on; only for those it converts the rest. Lateness is judged
//! here, row by row against the row's own split, so the answer is a function of the input alone:
//! neither the number of shards nor the size of a batch can change it.

use crate::batch::{Chunk, Vector};
use crate::error::Result;
use crate::operator::{Context, TIME_MIN, Time};
use crate::plan::{Late, Scan};

/// Time in one split: the highest event time seen and what follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SplitTime {
    /// Highest event time of any good row so far; [`TIME_MIN`] before the first.
    pub highest: Time,
}

impl Default for SplitTime {
    fn default() -> Self {
        SplitTime { highest: TIME_MIN }
    }
}

impl SplitTime {
    /// The split's watermark under a delay in microseconds: all rows at or before it have been
    /// seen, but for late ones.
    pub fn watermark(&self, delay_us: i64) -> Time {
        if self.highest == TIME_MIN { TIME_MIN } else { self.highest.saturating_sub(delay_us) }
    }
}

/// What became of the rows of one batch.
#[derive(Clone, Copy, Debug)]
pub struct Selected<'a> {
    /// The rows that go on, in order; `None` when all do.
    pub rows: Option<&'a [u16]>,
    /// Event times of *all* rows (not only the selected), where the table has a watermark.
    pub times: Option<Vector<'a>>,
    /// For all rows their split's watermark, if one of them is late for a part of its windows (see
    /// [`Chunk::floors`]).
    pub floors: Option<&'a [Time]>,
    /// Rows that came too late, in order.
    pub late: &'a [u16],
    /// Where the split's watermark stood at each of them.
    pub late_watermarks: &'a [Time],
    /// Rows that WHERE dropped.
    pub filtered: usize,
    /// Rows without an event time, which is NULL or cannot be computed: bad rows.
    pub timeless: &'a [u16],
}

/// One scan at work on one shard.
#[derive(Clone, Debug)]
pub struct Scanner {
    scan: Scan,
}

impl Scanner {
    /// A scanner of `scan`.
    pub fn new(scan: Scan) -> Self {
        Scanner { scan }
    }

    /// The scan it was made of.
    pub fn scan(&self) -> &Scan {
        &self.scan
    }

    /// Decides which rows of `eager` (the scan's eager columns) go on, and moves the split's time.
    /// A row counts once: timeless before late before filtered; filtered rows move time as well.
    pub fn select<'a>(&self, eager: &Chunk<'a>, split: &mut SplitTime, context: &Context<'a>) -> Result<Selected<'a>> {
        select::select(&self.scan, eager, split, context)
    }
}

/// Whether a row at `time` has lost a window already when its split's watermark stands at `watermark`.
#[inline]
pub(crate) fn is_partly_late(late: Late, time: Time, watermark: Time) -> bool {
    match late {
        Late::Row => is_late(late, time, watermark),
        Late::Window(window) => window.first_mark(time).saturating_add(window.size) <= watermark,
    }
}

/// Whether a row at `time` is late when its split's watermark stands at `watermark`.
#[inline]
pub fn is_late(late: Late, time: Time, watermark: Time) -> bool {
    match late {
        Late::Row => time <= watermark,
        Late::Window(window) => window.last_mark(time).saturating_add(window.size) <= watermark,
    }
}

mod select;
