//! A shard as its executor sees it, and what remains of it at the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use corelane_engine::Error;
use corelane_engine::plan::NodeId;
use corelane_engine::stage::{Copied, Stage};
use corelane_io::reader::Counts;

use crate::doorbell::Doorbell;
use crate::executor::{Io, Progress, Task, ThreadTimes};
use crate::lane::Traffic;
use crate::latency::Clocks;
use crate::ledger::Books;
use crate::shard::{Shard, Stop};
use crate::source::Holder;
use crate::sys;

/// What a shard shows while it runs.
#[derive(Debug, Default)]
pub struct Gauge {
    /// Rows read.
    pub rows: AtomicU64,
    /// Bytes read.
    pub bytes: AtomicU64,
}

/// A shard and what connects it to its job.
pub struct ShardTask {
    shard: Shard,
    gauge: Arc<Gauge>,
    stop: Arc<Stop>,
    bells: Arc<[Doorbell]>,
    writer: Arc<[Doorbell]>,
    ended: Arc<AtomicU64>,
    error: Option<Error>,
}

/// What is known of a shard when it has ended.
pub struct ShardOutcome {
    /// Why it failed, if it did.
    pub error: Option<Error>,
    /// Where its time went.
    pub books: Books,
    /// What its thread cost.
    pub times: ThreadTimes,
    /// Per source: table, what became of the rows, bytes, first bad rows, first late row.
    pub sources: Vec<SourceOutcome>,
    /// Rows and bytes out, by number of sink.
    pub sinks: Vec<(u64, u64)>,
    /// Latencies of what it wrote itself.
    pub clocks: Clocks,
    /// What it sent to other shards (and itself).
    pub traffic: Traffic,
    /// Bytes copied within it, by cause.
    pub copied: [u64; Copied::ALL.len()],
    /// Times its ledger was marked.
    pub marks: u64,
    /// Rows that each node has given to those behind it.
    pub given: Vec<u64>,
    /// Bytes of state by node.
    pub state: Vec<(NodeId, usize)>,
    /// Bytes of batches lent to others.
    pub batches: usize,
    /// Bytes of input blocks.
    pub blocks: usize,
}

/// One source of a shard at its end.
pub struct SourceOutcome {
    /// Name of the table.
    pub table: String,
    /// What became of the rows.
    pub counts: Counts,
    /// Bytes read.
    pub bytes: u64,
    /// Rows and bytes of these that an earlier run has read.
    pub before: (u64, u64),
    /// The first bad rows.
    pub first_bad: Vec<Error>,
    /// Where the first late row stood.
    pub first_late: Option<String>,
    /// Rows set aside: bad ones, late ones.
    pub aside: (u64, u64),
    /// Rows too far ahead for time to follow them.
    pub leaps: u64,
    /// The highest watermark reached.
    pub watermark: Option<i64>,
    /// What keeps windows open, if the input has not ended.
    pub holder: Option<Holder>,
}

/// What a task shares with its job.
#[derive(Clone)]
pub struct Shared {
    /// Stops all shards.
    pub stop: Arc<Stop>,
    /// Of all shards.
    pub bells: Arc<[Doorbell]>,
    /// Of the writer.
    pub writer: Arc<[Doorbell]>,
    /// How many shards have ended.
    pub ended: Arc<AtomicU64>,
}

impl ShardTask {
    /// The task of `shard`.
    pub fn new(shard: Shard, gauge: Arc<Gauge>, shared: Shared) -> Self {
        let Shared { stop, bells, writer, ended } = shared;
        ShardTask { shard, gauge, stop, bells, writer, ended, error: None }
    }

    fn show(&self) {
        let (mut rows, mut bytes) = (0, 0);
        for source in self.shard.sources() {
            rows += source.counts.read - source.before.0;
            bytes += source.bytes - source.before.1;
        }
        self.gauge.rows.store(rows, Ordering::Relaxed);
        self.gauge.bytes.store(bytes, Ordering::Relaxed);
    }
}

impl Task for ShardTask {
    type Outcome = ShardOutcome;

    fn step(&mut self, io: &mut dyn Io) -> Progress {
        let progress = self.shard.step(io).unwrap_or_else(|error| {
            self.error = Some(error);
            self.stop.now.store(true, Ordering::Relaxed);
            self.bells.iter().for_each(Doorbell::ring);
            Progress::Done
        });
        self.show();
        progress
    }

    fn parking(&mut self) {
        self.shard.ledger.enter(Stage::Parked);
    }

    fn awake(&mut self) {
        self.shard.ledger.enter(Stage::Control);
    }

    fn end(mut self, times: ThreadTimes) -> ShardOutcome {
        self.shard.ledger.enter(Stage::Control);
        if let Err(error) = self.shard.flush_aside() {
            self.error.get_or_insert(error);
        }
        let wall_ns = sys::ticks_to_ns(times.wall_ticks);
        let books = Books::close(&self.shard.ledger, sys::ns_per_tick(), wall_ns, times.cpu_ns);
        let sources = self.shard.sources().map(|source| SourceOutcome {
            table: source.table.clone(),
            counts: source.counts,
            bytes: source.bytes,
            before: source.before,
            first_bad: source.first_bad.clone(),
            first_late: source.first_late.clone(),
            aside: source.aside.rows(),
            leaps: source.leaps(),
            watermark: source.highest_watermark(),
            holder: source.holder(),
        });
        let mut outcome = ShardOutcome {
            error: self.error.take(),
            books,
            times,
            sources: sources.collect(),
            sinks: Vec::new(),
            clocks: Clocks::default(),
            traffic: Traffic::default(),
            copied: Copied::ALL.map(|cause| self.shard.ledger.bytes_copied(cause)),
            marks: self.shard.ledger.marks(),
            given: self.shard.given().collect(),
            state: self.shard.state_bytes().collect(),
            batches: self.shard.outboxes().iter().map(|outbox| outbox.bytes()).sum(),
            blocks: self.shard.sources().map(|source| source.memory()).sum(),
        };
        for outbox in self.shard.outboxes() {
            outcome.traffic.messages += outbox.traffic.messages;
            outcome.traffic.batches += outbox.traffic.batches;
            outcome.traffic.rows += outbox.traffic.rows;
            outcome.traffic.bytes += outbox.traffic.bytes;
        }
        for sink in self.shard.sinks_mut() {
            outcome.sinks.push(sink.totals());
            outcome.clocks.merge(&sink.clocks);
        }
        // The rings' ends go before the writer is told, so that it sees everything sent.
        self.ended.fetch_add(1, Ordering::AcqRel);
        self.writer[0].ring();
        outcome
    }
}
