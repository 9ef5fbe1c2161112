//! Where the time goes: named stages, and the ledger that every one of them is booked in.
//!
//! The engine has no clock. Whoever runs it gives the ledger a tick (the time-stamp counter, or a
//! constant in tests), and each operator says at batch boundaries which stage has begun; what has
//! passed since then belongs to the stage before. So the books balance by construction, and what
//! the runtime's own wall clock shows beyond them is "unexplained".
//!
//! Beside time, the ledger counts what was [`Copied`], once a batch, and its own marks, so that it can
//! say what it costs itself.

use std::cell::Cell;

/// What a shard can be busy with or waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Stage {
    /// Bytes from a file into a block.
    Read,
    /// Positions of separators and line ends.
    Index,
    /// Bytes to typed columns.
    Convert,
    /// WHERE and HAVING, lateness included.
    Filter,
    /// Computed columns and projections.
    Expression,
    /// Aggregation before an exchange.
    Partial,
    /// Rows or partial states into batches for other shards.
    ExchangeOut,
    /// Batches from other shards.
    ExchangeIn,
    /// Group tables.
    Aggregate,
    /// Results of closed windows.
    WindowClose,
    /// OVER, ranks and ORDER BY.
    Over,
    /// Joins.
    Join,
    /// What a turn has changed.
    Changes,
    /// Rows to text.
    Format,
    /// Text to its file or to the writer.
    Write,
    /// Snapshots.
    Checkpoint,
    /// The shard loop itself.
    Control,
    /// Waiting for a read to complete.
    WaitInput,
    /// Waiting for a batch to come home.
    WaitCredit,
    /// Waiting for rows of another shard.
    WaitPeer,
    /// Waiting for the writer or the disk under it.
    WaitDisk,
    /// Asleep until the doorbell rings.
    Parked,
}

impl Stage {
    /// Every stage, in the order shown.
    pub const ALL: [Stage; 22] = [
        Stage::Read,
        Stage::Index,
        Stage::Convert,
        Stage::Filter,
        Stage::Expression,
        Stage::Partial,
        Stage::ExchangeOut,
        Stage::ExchangeIn,
        Stage::Aggregate,
        Stage::WindowClose,
        Stage::Over,
        Stage::Join,
        Stage::Changes,
        Stage::Format,
        Stage::Write,
        Stage::Checkpoint,
        Stage::Control,
        Stage::WaitInput,
        Stage::WaitCredit,
        Stage::WaitPeer,
        Stage::WaitDisk,
        Stage::Parked,
    ];

    /// The name shown to users, in tables and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Read => "read",
            Stage::Index => "index",
            Stage::Convert => "convert",
            Stage::Filter => "filter",
            Stage::Expression => "expression",
            Stage::Partial => "partial",
            Stage::ExchangeOut => "exchange_out",
            Stage::ExchangeIn => "exchange_in",
            Stage::Aggregate => "aggregate",
            Stage::WindowClose => "window_close",
            Stage::Over => "over",
            Stage::Join => "join",
            Stage::Changes => "changes",
            Stage::Format => "format",
            Stage::Write => "write",
            Stage::Checkpoint => "checkpoint",
            Stage::Control => "control",
            Stage::WaitInput => "wait_input",
            Stage::WaitCredit => "wait_credit",
            Stage::WaitPeer => "wait_peer",
            Stage::WaitDisk => "wait_disk",
            Stage::Parked => "parked",
        }
    }

    /// A wait rather than work.
    pub const fn is_wait(self) -> bool {
        matches!(self, Stage::WaitInput | Stage::WaitCredit | Stage::WaitPeer | Stage::WaitDisk | Stage::Parked)
    }
}

/// Why bytes of rows are copied on their way through the engine. What is read, formatted, written or sent to
/// other shards is counted where that is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Copied {
    /// The last, unfinished row of a block, to the front of the next.
    Carry,
    /// The key of a new group, into its table.
    Keys,
    /// Rows that wait for others: OVER, ranks, sorting.
    Held,
}

impl Copied {
    /// Every cause, in the order shown.
    pub const ALL: [Copied; 3] = [Copied::Carry, Copied::Keys, Copied::Held];
}

/// One shard's books: ticks spent in each [`Stage`].
#[derive(Debug)]
pub struct Ledger {
    tick: fn() -> u64,
    current: Cell<Stage>,
    since: Cell<u64>,
    spent: [Cell<u64>; Stage::ALL.len()],
    copied: [Cell<u64>; Copied::ALL.len()],
    marks: Cell<u64>,
}

impl Ledger {
    /// Books that read the time through `tick`, opened in [`Stage::Control`].
    pub fn new(tick: fn() -> u64) -> Self {
        let spent = [const { Cell::new(0) }; Stage::ALL.len()];
        let copied = [const { Cell::new(0) }; Copied::ALL.len()];
        Ledger {
            tick,
            current: Cell::new(Stage::Control),
            since: Cell::new(tick()),
            spent,
            copied,
            marks: Cell::new(0),
        }
    }

    /// Books that measure nothing, for tests and simulations.
    pub fn idle() -> Self {
        Ledger::new(|| 0)
    }

    /// Ends the current stage and begins `stage`; returns the stage that ended, so that a callee
    /// can give the time back to its caller.
    #[inline]
    pub fn enter(&self, stage: Stage) -> Stage {
        let now = (self.tick)();
        let before = self.current.replace(stage);
        let spent = &self.spent[before as usize];
        spent.set(spent.get() + now.saturating_sub(self.since.replace(now)));
        self.marks.set(self.marks.get() + 1);
        before
    }

    /// Counts `bytes` that were copied for a batch.
    #[inline]
    pub fn copied(&self, cause: Copied, bytes: usize) {
        let sum = &self.copied[cause as usize];
        sum.set(sum.get() + bytes as u64);
    }

    /// Bytes copied so far.
    pub fn bytes_copied(&self, cause: Copied) -> u64 {
        self.copied[cause as usize].get()
    }

    /// Times a stage was entered.
    pub fn marks(&self) -> u64 {
        self.marks.get()
    }

    /// The current time in ticks.
    #[inline]
    pub fn now(&self) -> u64 {
        (self.tick)()
    }

    /// Ticks booked on `stage` so far; enter any stage first to include what is under way.
    pub fn spent(&self, stage: Stage) -> u64 {
        self.spent[stage as usize].get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn every_tick_is_booked_once() {
        static CLOCK: AtomicU64 = AtomicU64::new(100);
        let ledger = Ledger::new(|| CLOCK.load(Ordering::Relaxed));
        for (passed, next) in [(3, Stage::Read), (5, Stage::Index), (7, Stage::Read), (11, Stage::Control)] {
            CLOCK.fetch_add(passed, Ordering::Relaxed);
            ledger.enter(next);
        }
        assert_eq!(ledger.spent(Stage::Control), 3);
        assert_eq!(ledger.spent(Stage::Read), 5 + 11);
        assert_eq!(ledger.spent(Stage::Index), 7);
        assert_eq!(Stage::ALL.iter().map(|&stage| ledger.spent(stage)).sum::<u64>(), 26);
        assert_eq!(ledger.marks(), 4);
    }

    #[test]
    fn what_is_copied_is_counted_by_cause() {
        let ledger = Ledger::idle();
        for (bytes, cause) in [(3, Copied::Keys), (5, Copied::Carry), (7, Copied::Keys)] {
            ledger.copied(cause, bytes);
        }
        assert_eq!(Copied::ALL.map(|cause| ledger.bytes_copied(cause)), [5, 10, 0]);
    }

    #[test]
    fn all_lists_every_stage_at_its_own_number() {
        for (number, stage) in Stage::ALL.iter().enumerate() {
            assert_eq!(*stage as usize, number);
        }
    }
}
