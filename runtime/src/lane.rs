//! Lanes: what crosses from shard to shard, and the batches it crosses in.
//!
//! Every exchange has a lane from each shard to each shard (to itself as well): a ring for
//! [`Message`]s and a reverse ring on which the emptied batches come home. A shard's [`Outbox`]
//! deals rows to batches by owner and sends full ones; its [`Inbox`] takes what others sent.
//!
//! Invariants. Messages of a lane arrive in order, and a partial batch is sent before any watermark
//! or end that follows its rows. Sending never blocks: what does not fit in a ring waits in the
//! outbox, and [`Outbox::ready`] says when the operator that feeds it should stop. A batch is reset
//! only by the shard that made it. The reverse ring has room for every batch its home may lend, so
//! giving back cannot fail. No lane is shared by two exchanges.

mod saved;

use std::collections::VecDeque;
use std::sync::Arc;

use bumpalo::Bump;
use corelane_engine::batch::{BATCH_ROWS, Batch, Chunk};
use corelane_engine::hash;
use corelane_engine::operator::{TIME_MIN, Time};
use corelane_engine::types::Physical;

use crate::checkpoint::Call;
use crate::doorbell::Doorbell;
use crate::ring::{Receiver, Sender, ring};

/// What a lane carries, in order.
pub enum Message {
    /// Rows.
    Batch(Box<Batch>),
    /// Every later row of this sender has a greater event time.
    Watermark(Time),
    /// No later row of this sender has a lesser ordinal (`--ordered`).
    Progress(u64),
    /// What came before belongs to this epoch, what follows does not.
    Barrier(Call),
    /// This sender has no more rows.
    Finished,
}

/// Messages that fit in a lane's ring.
const RING_MESSAGES: usize = 64;
/// Batches one outbox lends per destination before it says that it has no credit: one that is being
/// filled and two on their way.
const BATCHES_PER_DESTINATION: usize = 3;
/// Bytes of rows in all the batches of an outbox: no more than stay in a core's own cache, next to
/// what else it needs. With more destinations each gets smaller batches.
const POOL_BYTES: usize = 512 << 10;
/// Rows that a batch takes at least before it leaves: below, messages cost more than memory.
const FULL_ROWS_MIN: usize = 128;

/// Rows a receiver takes from one sender that is ahead, where they would be held.
const AHEAD_ROWS: usize = 16 * BATCH_ROWS;

/// How far ahead of the last sender, in event time, a receiver takes rows of another. A sender that
/// is further ahead finds its ring full and waits; the last one is always heard, so it never does.
#[derive(Clone, Copy, Debug, Default)]
pub struct Skew {
    /// What is behind holds rows until every sender has passed them.
    pub held: bool,
    /// The most event time (`--max-skew`).
    pub most: Option<Time>,
}

/// What an outbox has sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Messages pushed into rings.
    pub messages: u64,
    /// Those that were batches, which come home through another ring.
    pub batches: u64,
    /// Rows in them.
    pub rows: u64,
    /// Bytes of their columns.
    pub bytes: u64,
}

/// Rows of this layout with which a batch leaves.
fn full_rows(layout: &[Physical], shards: usize) -> usize {
    let bytes = |physical: &Physical| match physical {
        Physical::I64 | Physical::F64 => 8,
        Physical::I128 | Physical::Text => 16,
    };
    let row_bytes: usize = layout.iter().map(bytes).sum();
    let rows = POOL_BYTES / (row_bytes.max(1) * BATCHES_PER_DESTINATION * shards);
    rows.next_multiple_of(64).clamp(FULL_ROWS_MIN, BATCH_ROWS)
}

/// The lanes of one exchange on one shard.
pub struct Lanes {
    /// Towards every shard.
    pub outbox: Outbox,
    /// From every shard.
    pub inbox: Inbox,
}

/// Lays the lanes of one exchange between all shards; element `s` is for shard `s`.
pub fn lay(layout: &[Physical], bells: &Arc<[Doorbell]>, ordered: bool, skew: Skew) -> Vec<Lanes> {
    let shards = bells.len();
    let full = full_rows(layout, shards);
    let credit = BATCHES_PER_DESTINATION * shards + BATCH_ROWS.div_ceil(full);
    let lent = credit + 2 * shards + RING_MESSAGES;
    let mut ways_out: Vec<Vec<WayOut>> = (0..shards).map(|_| Vec::with_capacity(shards)).collect();
    let mut ways_in: Vec<Vec<WayIn>> = (0..shards).map(|_| Vec::with_capacity(shards)).collect();
    for out in &mut ways_out {
        for into in &mut ways_in {
            let (sender, receiver) = ring(RING_MESSAGES);
            let (give_back, home) = ring(lent);
            out.push(WayOut {
                ring: sender,
                home,
                partial: None,
                waiting: VecDeque::new(),
                told: TIME_MIN,
                closed: false,
            });
            into.push(WayIn {
                ring: receiver,
                give_back,
                watermark: TIME_MIN,
                progress: 0,
                finished: false,
                ahead: 0,
                head: None,
                held: VecDeque::new(),
                barrier: None,
            });
        }
    }
    let boxes = ways_out.into_iter().zip(ways_in);
    let lanes = boxes.map(|(ways_out, ways_in)| Lanes {
        outbox: Outbox {
            ways: ways_out,
            bells: Arc::clone(bells),
            layout: layout.into(),
            free: Vec::new(),
            made: 0,
            batch_bytes: 0,
            full,
            credit,
            watermark: TIME_MIN,
            ordered,
            progress: 0,
            told_progress: 0,
            selections: vec![[0; BATCH_ROWS]; shards],
            traffic: Traffic::default(),
        },
        inbox: Inbox {
            merged: ordered.then(|| Box::new(Batch::new(layout))),
            layout: layout.into(),
            ways: ways_in,
            skew,
            next: 0,
            told: TIME_MIN,
            ended: false,
            bells: Arc::clone(bells),
        },
    });
    lanes.collect()
}

/// One shard's side of an exchange towards all owners.
pub struct Outbox {
    ways: Vec<WayOut>,
    bells: Arc<[Doorbell]>,
    layout: Box<[Physical]>,
    #[allow(clippy::vec_box, reason = "batches cross rings as boxes and are never moved out of them")]
    free: Vec<Box<Batch>>,
    made: usize,
    /// Bytes of one of them, without the long text it may hold.
    batch_bytes: usize,
    /// Rows with which a batch leaves.
    full: usize,
    /// Batches lent at most before there is no credit.
    credit: usize,
    watermark: Time,
    ordered: bool,
    progress: u64,
    told_progress: u64,
    selections: Vec<[u16; BATCH_ROWS]>,
    /// What was sent so far.
    pub traffic: Traffic,
}

struct WayOut {
    ring: Sender<Message>,
    home: Receiver<Box<Batch>>,
    partial: Option<Box<Batch>>,
    waiting: VecDeque<Message>,
    told: Time,
    closed: bool,
}

impl Outbox {
    /// Deals the rows of `chunk` to their owners' batches; full batches are sent.
    pub fn scatter(&mut self, chunk: &Chunk<'_>, hashes: &[u64]) {
        let shards = self.ways.len();
        let mut counts = [0usize; MAX_SHARDS];
        for (row, &hash) in hashes.iter().enumerate() {
            let owner = hash::owner(hash, shards);
            self.selections[owner][counts[owner]] = row as u16;
            counts[owner] += 1;
        }
        for (owner, &count) in counts[..shards].iter().enumerate() {
            let mut taken = 0;
            while taken < count {
                let mut batch = self.ways[owner].partial.take().unwrap_or_else(|| self.take());
                taken += batch.append(chunk, &self.selections[owner][taken..count]);
                if batch.rows() == self.full {
                    self.send(owner, batch);
                } else {
                    self.ways[owner].partial = Some(batch);
                }
            }
        }
    }

    /// Notes that later rows have a greater event time; sent with the next batch or flush.
    pub fn watermark(&mut self, watermark: Time) {
        self.watermark = self.watermark.max(watermark);
    }

    /// Notes that no later row has an ordinal less than `progress`.
    pub fn progress(&mut self, progress: u64) {
        if self.ordered {
            self.progress = self.progress.max(progress);
        }
    }

    /// Sends what is partial, then the watermark.
    pub fn flush(&mut self) {
        for owner in 0..self.ways.len() {
            if let Some(batch) = self.ways[owner].partial.take() {
                self.send(owner, batch);
            }
            self.tell_watermark(owner);
            if self.progress > self.told_progress {
                self.post(owner, Message::Progress(self.progress));
            }
        }
        self.told_progress = self.progress;
    }

    /// Sends everything and says that this was all.
    pub fn finish(&mut self) {
        self.flush();
        for owner in 0..self.ways.len() {
            self.post(owner, Message::Finished);
            self.ways[owner].closed = true;
        }
    }

    /// Whether something has not reached a ring yet.
    pub fn has_waiting(&self) -> bool {
        self.ways.iter().any(|way| !way.waiting.is_empty())
    }

    /// Whether rows lie in partial batches, or a watermark has not been told.
    pub fn has_partial(&self) -> bool {
        self.ways.iter().any(|way| way.partial.is_some() || (way.told < self.watermark && !way.closed))
            || self.progress > self.told_progress
    }

    /// Whether there is credit for one more chunk.
    pub fn ready(&mut self) -> bool {
        if self.has_waiting() {
            self.push_waiting();
        }
        self.collect();
        // A chunk may fill as many batches as its rows do, and begin one more for every destination.
        let needed = self.ways.len() + BATCH_ROWS.div_ceil(self.full);
        !self.has_waiting() && self.free.len() + self.credit.saturating_sub(self.made) >= needed
    }

    /// Moves what waits into the rings, as far as it fits; returns whether anything moved.
    pub fn push_waiting(&mut self) -> bool {
        let mut moved = false;
        for (owner, way) in self.ways.iter_mut().enumerate() {
            let before = way.waiting.len();
            while let Some(message) = way.waiting.pop_front() {
                if let Err(message) = way.ring.push(message) {
                    way.waiting.push_front(message);
                    break;
                }
            }
            if way.waiting.len() < before {
                moved = true;
                self.bells[owner].ring();
            }
        }
        moved
    }

    /// Bytes of all batches this outbox owns.
    pub fn bytes(&self) -> usize {
        self.made * self.batch_bytes
    }

    fn collect(&mut self) {
        for way in &mut self.ways {
            while let Some(mut batch) = way.home.pop() {
                batch.reset();
                self.free.push(batch);
            }
        }
    }

    fn take(&mut self) -> Box<Batch> {
        if self.free.is_empty() {
            self.collect();
        }
        self.free.pop().unwrap_or_else(|| {
            self.made += 1;
            let batch = Batch::with_room(&self.layout, self.full);
            self.batch_bytes = batch.bytes();
            Box::new(batch)
        })
    }

    fn send(&mut self, owner: usize, batch: Box<Batch>) {
        self.traffic.batches += 1;
        self.traffic.rows += batch.rows() as u64;
        self.traffic.bytes += batch.column_bytes() as u64;
        self.post(owner, Message::Batch(batch));
        self.tell_watermark(owner);
    }

    fn tell_watermark(&mut self, owner: usize) {
        let way = &mut self.ways[owner];
        // Rows still in a partial batch may be older than the watermark noted since.
        if way.told < self.watermark && way.partial.is_none() && !way.closed {
            way.told = self.watermark;
            self.post(owner, Message::Watermark(self.watermark));
        }
    }

    fn post(&mut self, owner: usize, message: Message) {
        self.traffic.messages += 1;
        let way = &mut self.ways[owner];
        if way.waiting.is_empty() {
            match way.ring.push(message) {
                Ok(()) => self.bells[owner].ring(),
                Err(message) => way.waiting.push_back(message),
            }
        } else {
            way.waiting.push_back(message);
        }
    }
}

/// The most shards of one process.
pub const MAX_SHARDS: usize = 256;

/// One shard's side of an exchange from all senders.
pub struct Inbox {
    ways: Vec<WayIn>,
    skew: Skew,
    next: usize,
    told: Time,
    ended: bool,
    /// Under `--ordered`: where rows of all senders are merged by ordinal.
    merged: Option<Box<Batch>>,
    layout: Box<[Physical]>,
    /// Of all shards: a sender that waits for room or credit is woken.
    bells: Arc<[Doorbell]>,
}

struct WayIn {
    ring: Receiver<Message>,
    give_back: Sender<Box<Batch>>,
    watermark: Time,
    progress: u64,
    finished: bool,
    /// Rows taken since this sender was last the last.
    ahead: usize,
    /// Under `--ordered`: the batch being merged.
    head: Option<Head>,
    /// Under `--ordered`: rows that had to be taken out of the ring to come to a barrier.
    held: VecDeque<Head>,
    /// The barrier behind which nothing is taken until every sender's has come.
    barrier: Option<Call>,
}

/// A batch that is merged by ordinal, row by row.
struct Head {
    batch: Box<Batch>,
    /// Its next row.
    row: usize,
    /// It is the sender's, and goes home when it is used up.
    lent: bool,
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
    /// Everything that belongs to this epoch has been taken; what comes next does not.
    Barrier(Call),
    /// No sender has rows any more.
    Finished,
}

impl Inbox {
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

    /// No row to come has an ordinal less than this (`--ordered`).
    pub fn progress(&self) -> u64 {
        let least = |way: &WayIn| match &way.head {
            Some(Head { batch, row, .. }) => batch.ordinals().map_or(0, |ordinals| ordinals[*row]),
            None if way.finished => u64::MAX,
            None => way.progress,
        };
        self.ways.iter().map(least).min().unwrap_or(u64::MAX)
    }

    /// Sends an empty batch home.
    pub fn give_back(&mut self, from: usize, batch: Box<Batch>) {
        let given = self.ways[from].give_back.push(batch);
        assert!(given.is_ok(), "the way home has room for every batch that was lent");
        self.bells[from].ring();
    }

    /// The rows merged by the last [`Arrival::Merged`].
    pub fn merged_chunk<'a>(&'a self, scratch: &'a Bump) -> Chunk<'a> {
        self.merged.as_ref().expect("an ordered inbox").chunk(scratch)
    }

    fn pop_any(&mut self) -> Option<Arrival> {
        let count = self.ways.len();
        for step in 0..count {
            let from = (self.next + step) % count;
            if self.ways[from].barrier.is_some() || self.is_ahead(from) {
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
        self.all_at_barrier()
    }

    /// Whether a sender is so far ahead of the last one that its rows wait where they are.
    fn is_ahead(&mut self, from: usize) -> bool {
        if !self.skew.held && self.skew.most.is_none() {
            return false;
        }
        // The last sender may stand behind its barrier, and this one's must come first.
        if self.is_aligning() {
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
    fn time_passed(&mut self) -> Option<Arrival> {
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

    fn pop_merged(&mut self) -> Option<Arrival> {
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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use corelane_engine::batch::{Data, Vector};

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
                Arrival::Merged | Arrival::Barrier(_) | Arrival::Finished => panic!("nothing is merged or finished"),
            }
        }
        (rows, times)
    }

    fn two_shards(skew: Skew) -> (Outbox, Outbox, Inbox) {
        let bells: Arc<[Doorbell]> = (0..2).map(|_| Doorbell::new().expect("an eventfd")).collect();
        let mut lanes = lay(&[Physical::I64], &bells, false, skew).into_iter();
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
    fn batches_are_the_smaller_the_more_destinations_there_are() {
        let layout = [Physical::I64, Physical::Text, Physical::I128];
        let full: Vec<usize> = [1, 2, 4, 8, 16, 64].map(|shards| full_rows(&layout, shards)).to_vec();
        assert_eq!(full, [1024, 1024, 1024, 576, 320, 128]);
        assert_eq!(full_rows(&[], 1), BATCH_ROWS);
    }

    #[test]
    fn credit_is_always_enough_for_one_more_chunk_once_all_is_home() {
        for shards in [1, 3, 8, 40] {
            let bells: Arc<[Doorbell]> = (0..shards).map(|_| Doorbell::new().expect("an eventfd")).collect();
            let mut lanes = lay(&[Physical::Text; 4], &bells, false, Skew::default());
            let times = [corelane_engine::batch::Text::EMPTY; BATCH_ROWS];
            let columns = [Vector { data: Data::Text(&times), nulls: None }; 4];
            let chunk =
                Chunk { rows: BATCH_ROWS, columns: &columns, positions: None, ordinals: None, floors: None, stamp: 0 };
            let hashes: Vec<u64> = (0..BATCH_ROWS as u64).map(|row| row << 54).collect();
            for _ in 0..20 {
                assert!(lanes[0].outbox.ready(), "{shards} shards");
                while lanes[0].outbox.ready() {
                    lanes[0].outbox.scatter(&chunk, &hashes);
                }
                for lanes in &mut lanes {
                    while let Some(Arrival::Batch { from, batch }) = lanes.inbox.pop() {
                        lanes.inbox.give_back(from, batch);
                    }
                }
            }
        }
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
