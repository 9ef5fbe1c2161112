//! Where held rows lie, in order of (time, position), without the rows themselves.
//!
//! A row joins the first *run* whose tail does not come after it, and begins one if there is none, so
//! that every run is sorted and the tails fall from run to run (patience sorting: Aldous and Diaconis,
//! Bull. AMS 36 (1999)). Rows in order make one run; senders ahead of each other make one run each. A
//! watermark merges the fronts of the runs, so each row is sorted once, as it leaves, and costs little
//! while it waits: rows that come in order join their run together.

use std::cmp::Ordering;
use std::collections::VecDeque;

use crate::operator::Time;

/// Makes times compare as whole numbers without sign.
const SIGN: u64 = 1 << 63;

/// One held row, by where it stands in the order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    /// Time and position: one number, so that rows are compared without a branch.
    key: u128,
    /// Orders rows of one position, where there can be several.
    tie: u64,
    /// Number of its batch, counted from the first ever, and the row there.
    place: u64,
}

impl Held {
    #[inline]
    pub(crate) fn new(time: Time, position: u64, tie: u64, batch: u64, row: u16) -> Self {
        let key = u128::from(time as u64 ^ SIGN) << 64 | u128::from(position);
        Held { key, tie, place: batch << 16 | u64::from(row) }
    }

    #[inline]
    pub(crate) fn time(&self) -> Time {
        ((self.key >> 64) as u64 ^ SIGN) as Time
    }

    #[inline]
    pub(crate) fn batch(&self) -> u64 {
        self.place >> 16
    }

    #[inline]
    pub(crate) fn row(&self) -> usize {
        usize::from(self.place as u16)
    }

    /// Whether this row stands right behind `before` in its batch.
    #[inline]
    pub(crate) fn follows(&self, before: &Held) -> bool {
        self.place == before.place + 1
    }
}

impl Ord for Held {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key).then_with(|| (self.tie, self.place).cmp(&(other.tie, other.place)))
    }
}

impl PartialOrd for Held {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }

    #[inline]
    fn lt(&self, other: &Self) -> bool {
        if self.key != other.key { self.key < other.key } else { self.cmp(other) == Ordering::Less }
    }

    #[inline]
    fn le(&self, other: &Self) -> bool {
        if self.key != other.key { self.key < other.key } else { self.cmp(other) != Ordering::Greater }
    }
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
    /// Puts rows into their runs, as if one by one.
    pub(crate) fn wait(&mut self, rows: &[Held]) {
        let mut rest = rows;
        while let Some(first) = rest.first() {
            let at = match self.tails.first() {
                Some(tail) if tail <= first => 0,
                _ => self.tails.partition_point(|tail| tail > first),
            };
            if at == self.runs.len() {
                self.runs.push(self.idle_runs.pop().unwrap_or_default());
                self.tails.push(*first);
            }
            let mut count = 1 + rest.windows(2).take_while(|pair| pair[0] <= pair[1]).count();
            if let Some(tail) = at.checked_sub(1).map(|before| self.tails[before]) {
                // What does not come before that tail is for the run before.
                count = rest[..count].partition_point(|held| *held < tail);
            }
            let (joining, later) = rest.split_at(count);
            self.runs[at].extend(joining);
            self.tails[at] = joining[count - 1];
            rest = later;
        }
    }

    /// Lets rows at or before `watermark` leave.
    pub(crate) fn release(&mut self, watermark: Time) {
        self.ready.drain(..self.given);
        self.given = 0;
        let from = self.ready.len();
        let mut fronts = 0;
        for run in &mut self.runs {
            let leaving = run.partition_point(|held| held.time() <= watermark);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash;

    /// Rows from senders that are ahead of each other, some of them late, in pieces.
    fn arriving(seed: u64) -> Vec<Vec<Held>> {
        let mut draw = (0u64..).map(|number| hash::end(seed << 32 | number));
        let mut times = [-50i64, 0, 300];
        let mut place = 0;
        let piece = |length: u64, sender: usize, draw: &mut dyn Iterator<Item = u64>| {
            let row = |_| {
                let drawn = draw.next().expect("there is always another");
                times[sender] += (drawn % 3) as i64;
                let late = if drawn.is_multiple_of(37) { (drawn >> 8) as i64 % 40 } else { 0 };
                place += 1;
                Held::new(times[sender] - late, drawn >> 60, drawn >> 62, place >> 10, (place & 1023) as u16)
            };
            (0..length).map(row).collect()
        };
        let mut piece = piece;
        let sizes: Vec<(u64, usize)> = draw.by_ref().take(40).map(|drawn| (drawn % 90, drawn as usize % 3)).collect();
        sizes.into_iter().map(|(length, sender)| piece(length, sender, &mut draw)).collect()
    }

    #[test]
    fn rows_leave_in_order_however_they_come() {
        for seed in 0..20 {
            let (mut together, mut alone, mut held) = (Runs::default(), Runs::default(), Vec::new());
            for (number, rows) in arriving(seed).into_iter().enumerate() {
                together.wait(&rows);
                rows.iter().for_each(|row| alone.wait(std::slice::from_ref(row)));
                held.extend(rows);
                let runs = |runs: &Runs| runs.runs.iter().map(VecDeque::len).collect::<Vec<_>>();
                assert_eq!(runs(&together), runs(&alone));
                let watermark = number as i64 * 25 - 100;
                let (mut leaving, staying): (Vec<Held>, Vec<Held>) =
                    held.into_iter().partition(|held| held.time() <= watermark);
                held = staying;
                leaving.sort_by_key(|held| (held.time(), held.key as u64, held.tie, held.place));
                for runs in [&mut together, &mut alone] {
                    runs.release(watermark);
                    assert!(runs.ready() == leaving, "seed {seed}");
                    runs.give(leaving.len());
                }
            }
        }
    }
}
