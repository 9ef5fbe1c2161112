//! The schedule of an open-loop run: when each row was meant to arrive.
//!
//! Under `--rate` every shard gets its part of the rate, and row `n` of a shard is due at
//! `start + n * interval`, whatever became of the rows before it (the first row that this run reads, if
//! an earlier one has read others, is due at `start`). Latency is measured from then, so
//! a stall is charged to every row that it delayed (Gil Tene's wrk2).

/// One shard's schedule, in ticks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// When row `first` is due.
    pub start: u64,
    /// The first row of this run: 0 unless an earlier one has read some.
    pub first: u64,
    /// Ticks between rows.
    pub interval: f64,
}

impl Pace {
    /// When row `ordinal` is due.
    #[inline]
    pub fn due(&self, ordinal: u64) -> u64 {
        self.start + (ordinal.saturating_sub(self.first) as f64 * self.interval) as u64
    }

    /// How many rows are due by `now`.
    pub fn allowed(&self, now: u64) -> u64 {
        if now < self.start {
            return 0;
        }
        self.first + ((now - self.start) as f64 / self.interval) as u64 + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_allowed_once_it_is_due() {
        let pace = Pace { start: 1000, first: 0, interval: 2.5 };
        assert_eq!(pace.allowed(999), 0);
        assert_eq!(pace.allowed(1000), 1);
        for ordinal in 0..1000 {
            assert!(pace.allowed(pace.due(ordinal) + 1) > ordinal, "row {ordinal}");
            assert!(pace.allowed(pace.due(ordinal).saturating_sub(1)) <= ordinal + 1, "row {ordinal}");
        }
        let resumed = Pace { first: 500, ..pace };
        assert_eq!((resumed.allowed(1000), resumed.due(500), resumed.due(502)), (501, 1000, 1005));
    }
}
