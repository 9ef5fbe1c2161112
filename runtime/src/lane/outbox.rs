//! The sending side of an exchange on one shard: rows are dealt to their owners' batches, full ones leave.
//!
//! Sending never blocks: what does not fit in a ring waits here, and [`Outbox::ready`] says when the
//! operator that feeds it should stop.

use std::collections::VecDeque;
use std::sync::Arc;

use corelane_engine::batch::{BATCH_ROWS, Batch, Chunk};
use corelane_engine::operator::{TIME_MIN, Time};
use corelane_engine::types::Physical;

use super::deal::Deal;
use super::{Message, Traffic};
use crate::doorbell::Doorbell;
use crate::ring::{Receiver, Sender};

/// Fewer rows than this for another shard are stored as if for the own one: a store past the caches takes
/// whole lines, and a line for which only a part has come is written more than once.
const AWAY_ROWS_MIN: usize = 128;

/// One shard's side of an exchange towards all owners.
pub struct Outbox {
    /// Whose it is.
    shard: usize,
    pub(super) ways: Vec<WayOut>,
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
    deal: Deal,
    /// What was sent so far.
    pub traffic: Traffic,
}

/// The way to one owner.
pub(super) struct WayOut {
    ring: Sender<Message>,
    home: Receiver<Box<Batch>>,
    partial: Option<Box<Batch>>,
    waiting: VecDeque<Message>,
    told: Time,
    pub(super) closed: bool,
}

impl WayOut {
    /// A way by `ring`, whose batches come back by `home`.
    pub(super) fn new(ring: Sender<Message>, home: Receiver<Box<Batch>>) -> Self {
        WayOut { ring, home, partial: None, waiting: VecDeque::new(), told: TIME_MIN, closed: false }
    }
}

/// How many batches an outbox has, and of how many rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    /// Rows with which a batch leaves.
    pub(super) full: usize,
    /// Batches lent at most before there is no credit.
    pub(super) credit: usize,
}

impl Outbox {
    /// The outbox of `shard` for rows of `layout` to all `ways`, as `deal` deals them; `bells` are those of all shards.
    pub(super) fn new(
        shard: usize,
        ways: Vec<WayOut>,
        deal: Deal,
        bells: &Arc<[Doorbell]>,
        layout: &[Physical],
        Size { full, credit }: Size,
        ordered: bool,
    ) -> Self {
        Outbox {
            shard,
            ways,
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
            deal,
            traffic: Traffic::default(),
        }
    }

    /// Deals the rows of `chunk` to their owners' batches; full batches are sent.
    pub fn scatter(&mut self, chunk: &Chunk<'_>, hashes: &[u64]) {
        self.deal.deal(hashes);
        for owner in 0..self.ways.len() {
            let (mut taken, count) = (0, self.deal.rows(owner).len());
            while taken < count {
                let mut batch = self.ways[owner].partial.take().unwrap_or_else(|| self.take());
                if !batch.takes(chunk) {
                    // Rows of another form, which come by turns of many thousand.
                    let other = std::mem::replace(&mut batch, self.take());
                    self.send(owner, other);
                }
                let rows = &self.deal.rows(owner)[taken..];
                let is_away = owner != self.shard && rows.len() >= AWAY_ROWS_MIN;
                taken += if is_away { batch.append_away(chunk, rows) } else { batch.append(chunk, rows) };
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

    /// Sends what is partial, then the end of a turn.
    pub fn turn(&mut self) {
        self.flush();
        for owner in 0..self.ways.len() {
            if !self.ways[owner].closed {
                self.post(owner, Message::Turn);
            }
        }
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

    pub(super) fn post(&mut self, owner: usize, message: Message) {
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
