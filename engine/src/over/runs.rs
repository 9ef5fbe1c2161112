//! Where held rows lie, in order of (time, position), without the rows themselves.
//!
//! A row joins the first *run* whose tail does not come after it, and begins one if there is none, so
//! that every run is sorted and the tails fall from run to run (patience sorting: Aldous and Diaconis,
//! Bull. AMS 36 (1999)). Rows in order make one run; senders ahead of each other make one run each. A
//! watermark merges the fronts of the runs, so each row is sorted once, as it leaves, and costs nothing
//! while it waits.

use std::collections::VecDeque;

use crate::operator::Time;

/// One held row.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Held {
    pub(crate) time: Time,
    pub(crate) position: u64,
    /// Orders rows of one position, where there can be several.
    pub(crate) tie: u64,
    /// Number of its batch, counted from the first ever.
    pub(crate) batch: u64,
    pub(crate) row: u16,
}

/// The rows that wait, and those that may leave.
#[derive(Default)]
pub(crate) struct Runs {
    /// Sorted runs with falling tails.
    runs: Vec<VecDeque<Held>>,
    /// The last row ever of each run.
    tails: Vec<Held>,
    idle_runs: Vec<VecDeque<Held>>,
    /// Rows that may leave, in order.
    ready: Vec<Held>,
    /// How many of those have left.
    given: usize,
}

impl Runs {
    /// Puts a row into its run.
    pub(crate) fn wait(&mut self, held: Held) {
        let at = match self.tails.first() {
            Some(tail) if *tail <= held => 0,
            _ => self.tails.partition_point(|tail| *tail > held),
        };
        if at == self.runs.len() {
            self.runs.push(self.idle_runs.pop().unwrap_or_default());
            self.tails.push(held);
        }
        self.runs[at].push_back(held);
        self.tails[at] = held;
    }

    /// Lets rows at or before `watermark` leave.
    pub(crate) fn release(&mut self, watermark: Time) {
        self.ready.drain(..self.given);
        self.given = 0;
        let from = self.ready.len();
        let mut fronts = 0;
        for run in &mut self.runs {
            let leaving = run.partition_point(|held| held.time <= watermark);
            fronts += usize::from(leaving > 0);
            let (front, back) = run.as_slices();
            let (front, back) = (&front[..leaving.min(front.len())], &back[..leaving.saturating_sub(front.len())]);
            self.ready.extend_from_slice(front);
            self.ready.extend_from_slice(back);
            run.drain(..leaving);
        }
        // What was ready before came under an earlier watermark, hence before all of this.
        if fronts > 1 {
            self.ready[from..].sort();
        }
        // Tails fall, so the runs that are empty now are the last ones.
        while let Some(run) = self.runs.pop_if(|run| run.is_empty()) {
            self.idle_runs.push(run);
            self.tails.pop();
        }
    }

    /// Rows that may leave and have not, in order.
    pub(crate) fn ready(&self) -> &[Held] {
        &self.ready[self.given..]
    }

    /// The first `count` of those have left.
    pub(crate) fn give(&mut self, count: usize) {
        self.given += count;
    }

    /// Rows that wait, in order.
    pub(crate) fn waiting(&self) -> Vec<Held> {
        let mut held: Vec<Held> = self.runs.iter().flatten().copied().collect();
        held.sort_unstable();
        held
    }

    /// Bytes held.
    pub(crate) fn memory(&self) -> usize {
        let runs = self.runs.iter().chain(&self.idle_runs).map(VecDeque::capacity).sum::<usize>();
        (runs + self.ready.capacity()) * size_of::<Held>()
    }
}
