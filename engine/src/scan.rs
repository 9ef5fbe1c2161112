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

/// How far ahead of its split's time a row may be and still move it by itself, in microseconds.
pub const LEAD_MOST: Time = 3_600_000_000;

/// Time in one split: the highest event time seen and what follows from it.
///
/// One row that is far in the future must not make all others late. A row that leads by more than
/// [`LEAD_MOST`] therefore moves time only when another one is that far ahead as well, and then to the
/// nearer of the two. After a gap in the data that is the next row; a single wrong clock is never
/// followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SplitTime {
    /// Highest event time of any good row so far that is believed; [`TIME_MIN`] before the first.
    pub highest: Time,
    /// A time too far ahead, of one row alone; of no meaning unless it leads by more than [`LEAD_MOST`].
    pub ahead: Time,
    /// Rows that were too far ahead and that no other has followed.
    pub leaps: u64,
}

impl Default for SplitTime {
    fn default() -> Self {
        SplitTime { highest: TIME_MIN, ahead: TIME_MIN, leaps: 0 }
    }
}

impl SplitTime {
    /// Whether a row at `time` moves the split's time by itself.
    #[inline]
    pub(crate) fn follows(&self, time: Time) -> bool {
        time <= self.highest.saturating_add(LEAD_MOST) && self.highest != TIME_MIN
    }

    /// A good row at `time` has been read.
    #[inline]
    pub(crate) fn pass(&mut self, time: Time) {
        if self.follows(time) || self.highest == TIME_MIN {
            self.highest = self.highest.max(time);
        } else {
            self.leap(time);
        }
    }

    #[cold]
    fn leap(&mut self, time: Time) {
        if self.follows(self.ahead) {
            self.ahead = time;
            self.leaps += 1;
            return;
        }
        let (near, far) = (self.ahead.min(time), self.ahead.max(time));
        self.highest = near;
        if self.follows(far) {
            self.highest = far;
            self.leaps -= 1;
        }
        self.ahead = far;
    }

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
