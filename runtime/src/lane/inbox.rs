//! The receiving side of an exchange on one shard: what all senders have sent, in turns, and how far they are.

use std::collections::VecDeque;
use std::sync::Arc;

use corelane_engine::batch::{BATCH_ROWS, Batch};
use corelane_engine::operator::{TIME_MIN, Time};
use corelane_engine::types::Physical;

use super::{Message, Skew};
use crate::checkpoint::Call;
use crate::doorbell::Doorbell;
use crate::ring::{Receiver, Sender};

/// Rows a receiver takes from one sender that is ahead, where they would be held.
const AHEAD_ROWS: usize = 16 * BATCH_ROWS;

/// One shard's side of an exchange from all senders.
pub struct Inbox {
    pub(super) ways: Vec<WayIn>,
    skew: Skew,
    next: usize,
    pub(super) told: Time,
    pub(super) ended: bool,
    /// Under `--ordered`: where rows of all senders are merged by ordinal.
    pub(super) merged: Option<Box<Batch>>,
    pub(super) layout: Box<[Physical]>,
    /// Of all shards: a sender that waits for room or credit is woken.
    pub(super) bells: Arc<[Doorbell]>,
}

/// The way from one sender.
pub(super) struct WayIn {
    pub(super) ring: Receiver<Message>,
    give_back: Sender<Box<Batch>>,
    pub(super) watermark: Time,
    pub(super) progress: u64,
    pub(super) finished: bool,
    /// Rows taken since this sender was last the last.
    ahead: usize,
    /// Under `--ordered`: the batch being merged.
    pub(super) head: Option<Head>,
    /// Under `--ordered`: rows that had to be taken out of the ring to come to a barrier.
    pub(super) held: VecDeque<Head>,
    /// The barrier behind which nothing is taken until every sender's has come.
    pub(super) barrier: Option<Call>,
    /// The sender has ended a turn behind which nothing is taken until every sender has.
    turned: bool,
}

impl WayIn {
    /// A way by `ring`, whose batches go back by `give_back`.
    pub(super) fn new(ring: Receiver<Message>, give_back: Sender<Box<Batch>>) -> Self {
        WayIn {
            ring,
            give_back,
            watermark: TIME_MIN,
            progress: 0,
            finished: false,
            ahead: 0,
            head: None,
            held: VecDeque::new(),
            barrier: None,
            turned: false,
        }
    }
}

/// A batch that is merged by ordinal, row by row.
pub(super) struct Head {
    pub(super) batch: Box<Batch>,
    /// Its next row.
    pub(super) row: usize,
    /// It is the sender's, and goes home when it is used up.
    pub(super) lent: bool,
}

/// What an [`Inbox`] has for the operators behind it.
pub enum Arrival {
    /// Rows of one sender; give the batch back with [`Inbox::give_back`].
    Batch {
        /// Which shard sent it.
        from: usize,
        /// The rows.
        batch: Box<Batch>,
    },
    /// Rows of all senders, merged by ordinal: in [`Inbox::merged_chunk`].
    Merged,
    /// No sender has a row at or before this time any more.
    Watermark(Time),
    /// A turn of all senders has ended.
    Turn,
    /// Everything that belongs to this epoch has been taken; what comes next does not.
    Barrier(Call),
    /// No sender has rows any more.
    Finished,
}

impl Inbox {
    /// An inbox for rows of `layout` from all `ways`; `bells` are those of all shards.
    pub(super) fn new(
        ways: Vec<WayIn>,
        bells: &Arc<[Doorbell]>,
        layout: &[Physical],
        skew: Skew,
        ordered: bool,
    ) -> Self {
        Inbox {
            merged: ordered.then(|| Box::new(Batch::new(layout))),
            layout: layout.into(),
            ways,
            skew,
            next: 0,
            told: TIME_MIN,
            ended: false,
            bells: Arc::clone(bells),
        }
    }

    /// The next thing to do, senders in turn; `None` when nothing has come.
    pub fn pop(&mut self) -> Option<Arrival> {
        if self.merged.is_some() { self.pop_merged() } else { self.pop_any() }
    }

    /// Whether rows of all senders are merged by ordinal.
    pub fn is_ordered(&self) -> bool {
        self.merged.is_some()
    }

    /// Whether every sender has finished and that was reported.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Sends an empty batch home.
    pub fn give_back(&mut self, from: usize, batch: Box<Batch>) {
        let given = self.ways[from].give_back.push(batch);
        assert!(given.is_ok(), "the way home has room for every batch that was lent");
        self.bells[from].ring();
    }

    fn pop_any(&mut self) -> Option<Arrival> {
        let count = self.ways.len();
        for step in 0..count {
            let from = (self.next + step) % count;
            if self.ways[from].barrier.is_some() || self.ways[from].turned || self.is_ahead(from) {
                continue;
            }
            while let Some(message) = self.ways[from].ring.pop() {
                // There is room in the ring again.
                self.bells[from].ring();
                match message {
                    Message::Batch(batch) => {
                        self.next = (from + 1) % count;
                        self.ways[from].ahead += batch.rows();
                        return Some(Arrival::Batch { from, batch });
                    }
                    Message::Watermark(watermark) => self.ways[from].watermark = watermark,
                    Message::Progress(_) => {}
                    Message::Turn => {
                        self.ways[from].turned = true;
                        break;
                    }
                    Message::Barrier(call) => {
                        self.ways[from].barrier = Some(call);
                        break;
                    }
                    Message::Finished => self.ways[from].finished = true,
                }
                if let Some(arrival) = self.time_passed() {
                    return Some(arrival);
                }
            }
        }
        self.turn_ended().or_else(|| self.all_at_barrier())
    }

    /// The end of a turn, if every sender has ended it. A sender at its barrier has no rows in it; neither
    /// has one that has finished.
    fn turn_ended(&mut self) -> Option<Arrival> {
        let is_there = |way: &WayIn| way.turned || way.finished || way.barrier.is_some();
        if !self.is_turning() || !self.ways.iter().all(is_there) {
            return None;
        }
        self.ways.iter_mut().for_each(|way| way.turned = false);
        Some(Arrival::Turn)
    }

    /// Whether some senders have ended a turn that others have not.
    pub fn is_turning(&self) -> bool {
        self.ways.iter().any(|way| way.turned)
    }

    /// Whether a sender is so far ahead of the last one that its rows wait where they are.
    fn is_ahead(&mut self, from: usize) -> bool {
        if !self.skew.held && self.skew.most.is_none() {
            return false;
        }
        // The last sender may stand behind its barrier, and this one's must come first.
        if self.is_aligning() || self.is_turning() {
            return false;
        }
        let way = &mut self.ways[from];
        // What was told last is the least watermark of all.
        if way.watermark <= self.told {
            way.ahead = 0;
            return false;
        }
        let far = self.skew.most.is_some_and(|most| way.watermark.saturating_sub(self.told) > most);
        far || (self.skew.held && way.ahead >= AHEAD_ROWS)
    }

    /// A watermark or the end, if what was received has moved the minimum over the senders.
    pub(super) fn time_passed(&mut self) -> Option<Arrival> {
        let unfinished = self.ways.iter().filter(|way| !way.finished);
        match unfinished.map(|way| way.watermark).min() {
            None if !self.ended => {
                self.ended = true;
                Some(Arrival::Finished)
            }
            Some(lowest) if lowest > self.told => {
                self.told = lowest;
                Some(Arrival::Watermark(lowest))
            }
            _ => None,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use corelane_engine::batch::{Chunk, Data, Vector};
    use corelane_engine::owners::Owners;

    use super::*;
    use crate::lane::{Outbox, lay};

    /// Sends `rows` rows of time `time` from `outbox`, then the watermark `time`.
    fn send(outbox: &mut Outbox, rows: usize, time: Time) {
        let times = vec![time; rows];
        let columns = [Vector { data: Data::I64(&times), nulls: None }];
        let chunk = Chunk { rows, columns: &columns, positions: None, ordinals: None, floors: None, stamp: 0 };
        outbox.scatter(&chunk, &vec![0; rows]);
        outbox.watermark(time);
        outbox.flush();
    }

    /// Takes all that comes; returns rows from each sender and the watermarks told.
    fn take(inbox: &mut Inbox) -> ([usize; 2], Vec<Time>) {
        let (mut rows, mut times) = ([0; 2], Vec::new());
        while let Some(arrival) = inbox.pop() {
            match arrival {
                Arrival::Batch { from, batch } => {
                    rows[from] += batch.rows();
                    inbox.give_back(from, batch);
                }
                Arrival::Watermark(time) => times.push(time),
                Arrival::Merged | Arrival::Turn | Arrival::Barrier(_) | Arrival::Finished => {
                    panic!("nothing is merged or finished")
                }
            }
        }
        (rows, times)
    }

    fn two_shards(skew: Skew) -> (Outbox, Outbox, Inbox) {
        let bells: Arc<[Doorbell]> = (0..2).map(|_| Doorbell::new().expect("an eventfd")).collect();
        let mut lanes = lay(&[Physical::I64], &Owners::default(), &bells, false, skew).into_iter();
        let (first, second) = (lanes.next().expect("two"), lanes.next().expect("two"));
        (first.outbox, second.outbox, first.inbox)
    }

    #[test]
    fn rows_of_a_sender_far_ahead_wait_in_its_lane() {
        let (mut ahead, mut last, mut inbox) = two_shards(Skew { held: true, most: None });
        send(&mut last, 1, 5);
        let mut taken = 0;
        for time in 10..40 {
            send(&mut ahead, BATCH_ROWS, time);
            taken += take(&mut inbox).0[0];
        }
        // The first batch came when its sender was not known to be ahead.
        assert_eq!(taken, BATCH_ROWS + AHEAD_ROWS);
        // The last sender passes it, and is never held back itself.
        send(&mut last, 1, 100);
        let (rows, times) = take(&mut inbox);
        assert_eq!(rows, [29 * BATCH_ROWS - AHEAD_ROWS, 1]);
        assert_eq!(times.last(), Some(&39));
    }

    #[test]
    fn a_turn_ends_with_that_of_the_last_sender() {
        let (mut first, mut second, mut inbox) = two_shards(Skew::default());
        let batch = |inbox: &mut Inbox| match inbox.pop() {
            Some(Arrival::Batch { from, batch }) => {
                inbox.give_back(from, batch);
                Some(from)
            }
            Some(Arrival::Turn) => None,
            _ => panic!("a batch or a turn comes"),
        };
        send(&mut first, 1, TIME_MIN);
        first.turn();
        // Of the next turn, so it waits.
        send(&mut first, 1, TIME_MIN);
        assert_eq!(batch(&mut inbox), Some(0));
        assert!(inbox.pop().is_none() && inbox.is_turning());
        send(&mut second, 1, TIME_MIN);
        second.turn();
        assert_eq!(batch(&mut inbox), Some(1));
        assert_eq!(batch(&mut inbox), None, "both have ended it");
        assert_eq!(batch(&mut inbox), Some(0));
        first.turn();
        second.finish();
        assert_eq!(batch(&mut inbox), None, "the end counts as every later turn");
    }

    #[test]
    fn max_skew_bounds_event_time() {
        let (mut ahead, mut last, mut inbox) = two_shards(Skew { held: false, most: Some(10) });
        send(&mut last, 1, 5);
        send(&mut ahead, 1, 15);
        send(&mut ahead, 2, 16);
        assert_eq!(take(&mut inbox).0, [3, 1]);
        send(&mut ahead, 4, 17);
        assert_eq!(take(&mut inbox).0, [0, 0]);
        send(&mut last, 1, 6);
        let (rows, times) = take(&mut inbox);
        assert_eq!((rows, times), ([4, 1], vec![6]));
    }

    #[test]
    fn without_a_bound_everything_is_taken() {
        let (mut ahead, _last, mut inbox) = two_shards(Skew::default());
        for time in 1000..1030 {
            send(&mut ahead, BATCH_ROWS, time);
        }
        assert_eq!(take(&mut inbox).0, [30 * BATCH_ROWS, 0]);
    }
}
