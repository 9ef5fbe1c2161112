//! Under `--ordered`: rows of all senders, merged by ordinal.

use bumpalo::Bump;
use corelane_engine::batch::{BATCH_ROWS, Chunk};

use super::inbox::{Head, WayIn};
use super::{Arrival, Inbox, Message};

impl Inbox {
    /// No row to come has an ordinal less than this (`--ordered`).
    pub fn progress(&self) -> u64 {
        let least = |way: &WayIn| match &way.head {
            Some(Head { batch, row, .. }) => batch.ordinals().map_or(0, |ordinals| ordinals[*row]),
            None if way.finished => u64::MAX,
            None => way.progress,
        };
        self.ways.iter().map(least).min().unwrap_or(u64::MAX)
    }

    /// The rows merged by the last [`Arrival::Merged`].
    pub fn merged_chunk<'a>(&'a self, scratch: &'a Bump) -> Chunk<'a> {
        self.merged.as_ref().expect("an ordered inbox").chunk(scratch)
    }

    pub(super) fn pop_merged(&mut self) -> Option<Arrival> {
        for from in 0..self.ways.len() {
            self.fill_head(from);
        }
        if self.merge_heads() > 0 {
            return Some(Arrival::Merged);
        }
        if self.is_aligning() {
            self.take_up_to_barriers();
            if let Some(arrival) = self.all_at_barrier() {
                return Some(arrival);
            }
        }
        // Times are told only when nothing older is held back in a head.
        if self.ways.iter().all(|way| way.head.is_none()) { self.time_passed() } else { None }
    }

    /// Takes messages of one sender until a batch heads its queue or nothing is left.
    fn fill_head(&mut self, from: usize) {
        let way = &mut self.ways[from];
        if way.head.is_none() {
            way.head = way.held.pop_front();
        }
        while way.head.is_none() && way.barrier.is_none() {
            let message = way.ring.pop();
            if message.is_some() {
                self.bells[from].ring();
            }
            match message {
                Some(Message::Batch(batch)) => way.head = Some(Head { batch, row: 0, lent: true }),
                Some(Message::Watermark(watermark)) => way.watermark = watermark,
                Some(Message::Progress(progress)) => way.progress = progress,
                // Plans whose operators answer by turns have no merged exchange.
                Some(Message::Turn) => {}
                Some(Message::Barrier(call)) => way.barrier = Some(call),
                Some(Message::Finished) => way.finished = true,
                None => break,
            }
        }
    }

    /// Moves rows that no sender can precede any more into the merged batch; returns how many.
    fn merge_heads(&mut self) -> usize {
        let mut merged = self.merged.take().expect("an ordered inbox");
        merged.reset();
        let mut scratch = Bump::new();
        while merged.rows() < BATCH_ROWS {
            let Some((from, bound)) = self.least_head() else { break };
            let Head { batch, row, lent } = self.ways[from].head.take().expect("it has a head");
            let ordinals = batch.ordinals().expect("ordered rows carry ordinals");
            let run = ordinals[row..].iter().take_while(|&&ordinal| ordinal < bound).count();
            let selection: Vec<u16> = (row..row + run).map(|row| row as u16).collect();
            let row = row + merged.append(&batch.chunk(&scratch), &selection);
            scratch.reset();
            if row < batch.rows() {
                self.ways[from].head = Some(Head { batch, row, lent });
            } else {
                if lent {
                    self.give_back(from, batch);
                }
                self.fill_head(from);
            }
        }
        let rows = merged.rows();
        self.merged = Some(merged);
        rows
    }

    /// The sender whose head row is least, if no other can still send a lesser one, and the ordinal
    /// up to which (exclusively) its rows may go.
    fn least_head(&self) -> Option<(usize, u64)> {
        let mut least: Option<(u64, usize)> = None;
        let mut bound = u64::MAX;
        for (from, way) in self.ways.iter().enumerate() {
            let next = match &way.head {
                Some(Head { batch, row, .. }) => batch.ordinals().expect("ordered rows carry ordinals")[*row],
                None if way.finished => continue,
                None => {
                    bound = bound.min(way.progress);
                    continue;
                }
            };
            match least {
                Some((lowest, _)) if lowest <= next => bound = bound.min(next),
                Some((lowest, _)) => {
                    bound = bound.min(lowest);
                    least = Some((next, from));
                }
                None => least = Some((next, from)),
            }
        }
        least.filter(|&(lowest, _)| lowest < bound).map(|(_, from)| (from, bound))
    }
}
