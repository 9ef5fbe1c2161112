//! The shard: one core's sources, operators, lanes and sinks, moved on by one synchronous step.
//!
//! [`Shard::step`] never blocks and never waits. It works from the end of the plan to its start
//! (sinks, then the last exchange's receivers, then earlier ones, then sources), and each stage runs
//! only while everything it feeds has room. So a full ring stops just the stage that fills it, and
//! since the plan is a DAG, whatever is downstream can always drain.
//!
//! An executor calls `step` in a loop; a simulator steps many shards on one thread. Neither the
//! clock nor a file is touched here except through [`Io`] and the ledger's tick.

mod barrier;
mod turns;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bumpalo::Bump;
use corelane_engine::batch::Chunk;
use corelane_engine::operator::{Context, Outlets, TIME_MIN, Time};
use corelane_engine::pipeline::Pipeline;
use corelane_engine::plan::{NodeId, Operator, Plan, turns};
use corelane_engine::stage::{Ledger, Stage};
use corelane_engine::{Error, Result};

use crate::budget::Account;
use crate::checkpoint::Member;
use crate::executor::{Completion, Io, Progress};
use crate::lane::{Arrival, Inbox, Outbox};
use crate::sink::{ShardSink, Since};
use crate::source::{Pulled, Source};
use crate::sys;

/// Chunks one stage handles in a step before the others get their turn.
const CHUNKS_PER_STEP: usize = 16;

/// One shard of a running job.
pub struct Shard {
    pipeline: Pipeline,
    sources: Vec<Feed>,
    receivers: Vec<Receiver>,
    outs: Outs,
    scratch: Bump,
    completions: Vec<Completion>,
    /// Where this shard's time goes.
    pub ledger: Ledger,
    /// Longest time, in ticks, that rows stay in a partial batch or block.
    delay: u64,
    oldest_partial: Option<u64>,
    stop: Arc<Stop>,
    /// Its part in checkpoints.
    member: Option<Member>,
    /// Which outboxes have sent the barrier of the epoch that is on its way.
    barred: Vec<bool>,
    /// Since when nothing is read for it, and the longest that parts of it have taken since then, in ticks.
    stopped: Option<u64>,
    parts_pause: u64,
    /// Whether operators answer by turns, and whether rows have come since the last one.
    by_turns: bool,
    turn_open: bool,
    plan: Arc<Plan>,
    account: Account,
    ended: bool,
}

/// A flag that all shards of a job read once a step.
#[derive(Debug, Default)]
pub struct Stop {
    /// A signal or another shard's failure: stop without emitting what is open.
    pub now: AtomicBool,
}

/// A source and where its rows enter the pipeline.
struct Feed {
    source: Source,
    entry: NodeId,
    feeds: Feeds,
    /// Sources, by number, that are read to their end before this one: see [`turns`].
    after: Vec<usize>,
    told: Time,
    finished: bool,
    /// It has come to the barrier of the epoch that is on its way, and waits for the others.
    at_barrier: bool,
}

/// The receiving side of an exchange and where its rows enter the pipeline.
struct Receiver {
    inbox: Inbox,
    entry: NodeId,
    feeds: Feeds,
    finished: bool,
    /// As of [`Feed`].
    at_barrier: bool,
}

/// Numbers of the exchanges and sinks that a stage feeds.
#[derive(Clone, Debug, Default)]
struct Feeds {
    exchanges: Vec<usize>,
    sinks: Vec<usize>,
    /// Those of the sinks that get rows in the order in which they come in, not from a join.
    placed: Vec<usize>,
}

/// Everything a shard is made of.
pub struct Parts {
    /// The plan all shards run.
    pub plan: Arc<Plan>,
    /// Its operators on this shard.
    pub pipeline: Pipeline,
    /// One source per scan, with the scan's node.
    pub sources: Vec<(NodeId, Source)>,
    /// Per exchange, by number.
    pub outboxes: Vec<Outbox>,
    /// Per exchange, by number.
    pub inboxes: Vec<Inbox>,
    /// Per sink, by number.
    pub sinks: Vec<ShardSink>,
    /// The books.
    pub ledger: Ledger,
    /// Longest time, in ticks, that rows stay in a partial batch or block.
    pub delay: u64,
    /// Shared by all shards.
    pub stop: Arc<Stop>,
    /// What this shard may hold.
    pub account: Account,
    /// Its part in checkpoints.
    pub member: Option<Member>,
    /// What an earlier run has told and finished.
    pub before: Before,
}

/// How far an earlier run had come; nothing at all for a run from the start.
#[derive(Debug, Default)]
pub struct Before {
    /// Per source, the watermark that was told, and whether its end was.
    pub sources: Vec<(Time, bool)>,
    /// Per exchange, whether the end of its rows was told.
    pub receivers: Vec<bool>,
}

impl Shard {
    /// Puts a shard together.
    pub fn new(parts: Parts) -> Self {
        let plan = &parts.plan;
        let entry_of = |number: usize| {
            let is_it =
                |node: &NodeId| matches!(&plan.nodes[*node].operator, Operator::Exchange(e) if e.number == number);
            (0..plan.nodes.len()).find(is_it).expect("every exchange is a node of the plan")
        };
        let before = parts.before;
        let barred = vec![false; parts.outboxes.len()];
        let turns = turns(plan);
        let entries: Vec<NodeId> = parts.sources.iter().map(|(entry, _)| *entry).collect();
        let by_turns = parts.pipeline.takes_turns();
        let sources = parts.sources.into_iter().enumerate().map(|(number, (entry, mut source))| {
            if by_turns {
                source.read_by_turns();
            }
            let (told, finished) = before.sources.get(number).copied().unwrap_or((TIME_MIN, false));
            let earlier = turns.iter().filter(|(scan, _)| *scan == entry).flat_map(|(_, earlier)| earlier);
            let after = earlier.filter_map(|scan| entries.iter().position(|entry| entry == scan)).collect();
            Feed { source, entry, feeds: Feeds::behind(plan, entry), after, told, finished, at_barrier: false }
        });
        let receivers = parts.inboxes.into_iter().enumerate().map(|(number, inbox)| {
            let entry = entry_of(number);
            let finished = before.receivers.get(number).copied().unwrap_or(false);
            Receiver { inbox, entry, feeds: Feeds::behind(plan, entry), finished, at_barrier: false }
        });
        Shard {
            sources: sources.collect(),
            receivers: receivers.collect(),
            pipeline: parts.pipeline,
            outs: Outs { outboxes: parts.outboxes, sinks: parts.sinks },
            scratch: Bump::new(),
            completions: Vec::new(),
            ledger: parts.ledger,
            delay: parts.delay,
            oldest_partial: None,
            stop: parts.stop,
            member: parts.member,
            barred,
            stopped: None,
            parts_pause: 0,
            by_turns,
            turn_open: false,
            account: parts.account,
            plan: parts.plan,
            ended: false,
        }
    }

    /// Does what can be done now.
    pub fn step(&mut self, io: &mut dyn Io) -> Result<Progress> {
        if self.ended {
            return Ok(Progress::Done);
        }
        if io.stopping() || self.stop.now.load(Ordering::Relaxed) {
            return self.abandon();
        }
        self.ledger.enter(Stage::Control);
        if let Some(progress) = self.hear_calls()? {
            return Ok(progress);
        }
        let mut busy = self.take_completions(io)?;
        busy |= self.save_parts();
        busy |= self.outs.push_waiting()?;
        let mut wait = Stage::WaitPeer;
        for receiver in (0..self.receivers.len()).rev() {
            busy |= self.receive(receiver, &mut wait)?;
        }
        for source in 0..self.sources.len() {
            busy |= self.feed(source, io, &mut wait)?;
        }
        busy |= self.end_turn(&mut wait)?;
        busy |= self.pass_barrier()?;
        let now = self.ledger.now();
        if self.account.is_due(now) {
            let held = self.memory();
            self.account.settle(&held, now, self.ledger.now())?;
        }
        let due = self.oldest_partial.is_some_and(|since| now.saturating_sub(since) >= self.delay);
        if !busy || due {
            busy |= self.end_live_turn(&mut wait)?;
            self.tell_progress()?;
        }
        if !busy || due {
            busy |= self.outs.flush(&self.ledger)?;
            self.oldest_partial = None;
        } else if self.oldest_partial.is_none() && self.outs.has_partial() {
            self.oldest_partial = Some(now);
        }
        if busy {
            return Ok(Progress::Busy);
        }
        if self.is_finished() {
            self.outs.close()?;
            self.tell_end()?;
            self.ended = true;
            return Ok(Progress::Done);
        }
        self.ledger.enter(if self.pipeline.is_saving() { Stage::WaitDisk } else { wait });
        Ok(Progress::Idle(self.due(now)))
    }

    /// How long until something is to be done though nothing has come: a row is due, or the end of a window
    /// that goes by the clock.
    fn due(&mut self, now: u64) -> Option<Duration> {
        let rows = self.sources.iter().filter_map(|feed| feed.source.due()).min();
        let rows = rows.map(|due| Duration::from_nanos(sys::ticks_to_ns(due.saturating_sub(now))));
        let open = self.sources.iter_mut().filter(|feed| !feed.finished);
        let clock = open.filter_map(|feed| feed.source.clock_due_us(feed.told)).min();
        rows.into_iter().chain(clock.map(Duration::from_micros)).min()
    }

    /// Hands the reads that are done to the sources that began them.
    fn take_completions(&mut self, io: &mut dyn Io) -> Result<bool> {
        if io.in_flight() == 0 {
            return Ok(false);
        }
        io.poll(&mut self.completions);
        let any = !self.completions.is_empty();
        for completion in self.completions.drain(..) {
            let feed = &mut self.sources[Source::number_of(completion.token)];
            feed.source.complete(completion, self.ledger.now())?;
        }
        Ok(any)
    }

    /// Tells what is downstream how far this shard has come, so that nobody waits for rows that
    /// will not come.
    fn tell_progress(&mut self) -> Result<()> {
        let open = |feed: &&Feed| !feed.finished;
        for exchange in 0..self.outs.outboxes.len() {
            let feeds = self.sources.iter().filter(open).filter(|feed| feed.feeds.exchanges.contains(&exchange));
            if let Some(progress) = feeds.map(|feed| feed.source.progress()).min() {
                self.outs.outboxes[exchange].progress(progress);
            }
        }
        for sink in 0..self.outs.sinks.len() {
            let feeds = self.sources.iter().filter(open).filter(|feed| feed.feeds.placed.contains(&sink));
            if let Some(place) = feeds.map(|feed| feed.source.place()).min() {
                self.outs.sinks[sink].place(place)?;
            }
        }
        for receiver in self.receivers.iter().filter(|receiver| receiver.inbox.is_ordered() && !receiver.finished) {
            for &sink in &receiver.feeds.placed {
                self.outs.sinks[sink].place(receiver.inbox.progress())?;
            }
        }
        Ok(())
    }

    /// The sources, for the statistics.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter().map(|feed| &feed.source)
    }

    /// Writes what sources have set aside.
    pub fn flush_aside(&mut self) -> Result<()> {
        self.sources.iter_mut().try_for_each(|feed| feed.source.aside.flush())
    }

    /// The sinks, for the statistics.
    pub fn sinks_mut(&mut self) -> &mut [ShardSink] {
        &mut self.outs.sinks
    }

    /// The outboxes, for the statistics.
    pub fn outboxes(&self) -> &[Outbox] {
        &self.outs.outboxes
    }

    /// Bytes held, by holder: operators by name and node, batches, input and output.
    pub fn memory(&self) -> Vec<(String, u64)> {
        let operators = self.state_bytes().filter(|(_, bytes)| *bytes > 0);
        let operators = operators.map(|(node, bytes)| {
            let name = self.plan.nodes[node].operator.name();
            (format!("{name} {node}"), bytes as u64)
        });
        let sum = |bytes: &mut dyn Iterator<Item = usize>| bytes.sum::<usize>() as u64;
        let others = [
            ("batches".to_owned(), sum(&mut self.outs.outboxes.iter().map(Outbox::bytes))),
            ("input blocks".to_owned(), sum(&mut self.sources().map(Source::memory))),
            ("output blocks".to_owned(), sum(&mut self.outs.sinks.iter().map(ShardSink::memory))),
        ];
        operators.chain(others).collect()
    }

    /// Rows that each node of the plan has given to those behind it.
    pub fn given(&self) -> impl Iterator<Item = u64> + '_ {
        self.pipeline.given()
    }

    /// Bytes of state by node of the plan.
    pub fn state_bytes(&self) -> impl Iterator<Item = (NodeId, usize)> + '_ {
        self.pipeline.state_bytes()
    }

    fn is_finished(&self) -> bool {
        let done = |finished: bool, entry: NodeId| finished && !self.pipeline.pending(entry);
        self.sources.iter().all(|feed| done(feed.finished, feed.entry))
            && self.receivers.iter().all(|receiver| done(receiver.finished, receiver.entry))
            && !self.outs.has_waiting()
            && !self.pipeline.is_saving()
    }

    /// A stop that emits nothing more: what was formatted is written, the rest is left.
    fn abandon(&mut self) -> Result<Progress> {
        self.outs.close()?;
        self.ended = true;
        Ok(Progress::Done)
    }

    /// Takes rows from an exchange; returns whether anything was done.
    fn receive(&mut self, receiver: usize, wait: &mut Stage) -> Result<bool> {
        let Receiver { inbox, entry, feeds, finished, at_barrier } = &mut self.receivers[receiver];
        let mut busy = false;
        for _ in 0..CHUNKS_PER_STEP {
            if (*finished || *at_barrier) && !self.pipeline.pending(*entry) {
                break;
            }
            if !self.outs.ready(feeds, wait) {
                break;
            }
            self.scratch.reset();
            let context = Context { scratch: &self.scratch, ledger: &self.ledger };
            if self.pipeline.pending(*entry) {
                self.pipeline.drain(*entry, &context, &mut self.outs)?;
                busy = true;
                continue;
            }
            let before = self.ledger.enter(Stage::ExchangeIn);
            let arrival = inbox.pop();
            self.ledger.enter(before);
            match arrival {
                None => break,
                Some(Arrival::Batch { from, batch }) => {
                    self.outs.since(Since::Read);
                    let pushed = self.pipeline.push(*entry, &batch.chunk(&self.scratch), &context, &mut self.outs);
                    inbox.give_back(from, batch);
                    pushed?;
                }
                Some(Arrival::Merged) => {
                    self.outs.since(Since::Read);
                    let chunk = inbox.merged_chunk(&self.scratch);
                    self.pipeline.push(*entry, &chunk, &context, &mut self.outs)?;
                }
                Some(Arrival::Watermark(time)) => {
                    self.outs.since(Since::Due(self.ledger.now()));
                    self.pipeline.watermark(*entry, time, &context, &mut self.outs)?;
                }
                Some(Arrival::Turn) => self.pipeline.turn(*entry, &context, &mut self.outs)?,
                Some(Arrival::Barrier(call)) => {
                    *at_barrier = true;
                    self.member.as_mut().expect("barriers come only with checkpoints").begin(call);
                }
                Some(Arrival::Finished) => {
                    *finished = true;
                    self.outs.since(Since::Due(self.ledger.now()));
                    self.pipeline.finish(*entry, &context, &mut self.outs)?;
                }
            }
            busy = true;
        }
        Ok(busy)
    }

    /// Reads rows; returns whether anything was done.
    fn feed(&mut self, feed: usize, io: &mut dyn Io, wait: &mut Stage) -> Result<bool> {
        // With an epoch on its way nothing more is read: a stage that always has something to give out
        // would never let it pass.
        let stops = self.member.as_ref().is_some_and(|member| member.current.is_some());
        let stops = stops || self.sources[feed].after.iter().any(|&earlier| !self.sources[earlier].finished);
        let Feed { source, entry, feeds, told, finished, .. } = &mut self.sources[feed];
        let mut busy = false;
        for _ in 0..CHUNKS_PER_STEP {
            if (*finished || stops) && !self.pipeline.pending(*entry) {
                break;
            }
            if !self.outs.ready(feeds, wait) {
                break;
            }
            self.scratch.reset();
            let context = Context { scratch: &self.scratch, ledger: &self.ledger };
            if self.pipeline.pending(*entry) {
                self.pipeline.drain(*entry, &context, &mut self.outs)?;
                busy = true;
                continue;
            }
            let watermark = source.watermark(*told);
            if watermark > *told && !source.is_finished() {
                *told = watermark;
                self.outs.since(Since::Due(self.ledger.now()));
                self.pipeline.watermark(*entry, watermark, &context, &mut self.outs)?;
                busy = true;
                continue;
            }
            if source.is_finished() || self.outs.satisfied() {
                *finished = true;
                self.outs.since(Since::Due(self.ledger.now()));
                self.pipeline.finish(*entry, &context, &mut self.outs)?;
                busy = true;
                continue;
            }
            if source.has_ended_turn() {
                break;
            }
            match source.pull(io, &context)? {
                Pulled::Rows(chunk) => {
                    self.turn_open = true;
                    self.outs.since(Since::Read);
                    self.pipeline.push(*entry, &chunk, &context, &mut self.outs)?;
                }
                Pulled::Nothing => {}
                Pulled::Waiting => {
                    *wait = Stage::WaitInput;
                    break;
                }
            }
            busy = true;
        }
        Ok(busy)
    }
}

impl Feeds {
    /// The exchanges and sinks that rows from `entry` can reach without crossing an exchange.
    fn behind(plan: &Plan, entry: NodeId) -> Feeds {
        let mut feeds = Feeds::default();
        let mut inside = vec![false; plan.nodes.len()];
        let mut joined = vec![false; plan.nodes.len()];
        inside[entry] = true;
        for node in entry + 1..plan.nodes.len() {
            let open = |input: &NodeId| {
                inside[*input] && (*input == entry || !matches!(plan.nodes[*input].operator, Operator::Exchange(_)))
            };
            inside[node] = plan.nodes[node].inputs.iter().any(open);
            let below = plan.nodes[node].inputs.iter().any(|&input| joined[input]);
            joined[node] = below || matches!(plan.nodes[node].operator, Operator::Join(_));
            match &plan.nodes[node].operator {
                Operator::Exchange(exchange) if inside[node] => feeds.exchanges.push(exchange.number),
                Operator::Sink(sink) if inside[node] => {
                    feeds.sinks.push(sink.number);
                    if !joined[node] {
                        feeds.placed.push(sink.number);
                    }
                }
                _ => {}
            }
        }
        feeds
    }
}

/// What leaves the pipeline on this shard.
struct Outs {
    outboxes: Vec<Outbox>,
    sinks: Vec<ShardSink>,
}

impl Outs {
    /// Whether no sink wants more rows from this shard: its LIMIT is reached.
    fn satisfied(&self) -> bool {
        self.sinks.iter().all(|sink| sink.satisfied)
    }

    /// Whether everything a stage feeds has room for a chunk; else says what it waits for.
    fn ready(&mut self, feeds: &Feeds, wait: &mut Stage) -> bool {
        for &sink in &feeds.sinks {
            if !self.sinks[sink].ready() {
                *wait = Stage::WaitDisk;
                return false;
            }
        }
        for &exchange in &feeds.exchanges {
            if !self.outboxes[exchange].ready() {
                *wait = Stage::WaitCredit;
                return false;
            }
        }
        true
    }

    /// From when the latency of the rows that now come counts.
    fn since(&mut self, since: Since) {
        self.sinks.iter_mut().for_each(|sink| sink.since = since);
    }

    fn push_waiting(&mut self) -> Result<bool> {
        let mut moved = false;
        for sink in &mut self.sinks {
            moved |= sink.push_waiting()?;
        }
        for outbox in &mut self.outboxes {
            moved |= outbox.has_waiting() && outbox.push_waiting();
        }
        Ok(moved)
    }

    fn has_waiting(&self) -> bool {
        self.sinks.iter().any(ShardSink::has_waiting) || self.outboxes.iter().any(Outbox::has_waiting)
    }

    fn has_partial(&self) -> bool {
        self.sinks.iter().any(ShardSink::has_partial) || self.outboxes.iter().any(Outbox::has_partial)
    }

    fn flush(&mut self, ledger: &Ledger) -> Result<bool> {
        let mut flushed = false;
        let before = ledger.enter(Stage::ExchangeOut);
        for outbox in self.outboxes.iter_mut().filter(|outbox| outbox.has_partial()) {
            outbox.flush();
            flushed = true;
        }
        ledger.enter(Stage::Write);
        for sink in self.sinks.iter_mut().filter(|sink| sink.has_partial()) {
            sink.flush()?;
            flushed = true;
        }
        ledger.enter(before);
        Ok(flushed)
    }

    fn close(&mut self) -> Result<()> {
        self.sinks.iter_mut().try_for_each(ShardSink::close)
    }
}

impl Outlets for Outs {
    fn exchange(&mut self, exchange: usize, chunk: &Chunk<'_>, hashes: &[u64], _: &Context<'_>) -> Result<(), Error> {
        self.outboxes[exchange].scatter(chunk, hashes);
        Ok(())
    }

    fn exchange_watermark(&mut self, exchange: usize, watermark: Time, _: &Context<'_>) -> Result<(), Error> {
        self.outboxes[exchange].watermark(watermark);
        Ok(())
    }

    fn exchange_turn(&mut self, exchange: usize, _: &Context<'_>) -> Result<(), Error> {
        self.outboxes[exchange].turn();
        Ok(())
    }

    fn exchange_finish(&mut self, exchange: usize, _: &Context<'_>) -> Result<(), Error> {
        self.outboxes[exchange].finish();
        Ok(())
    }

    fn sink(&mut self, sink: usize, chunk: &Chunk<'_>, context: &Context<'_>) -> Result<(), Error> {
        self.sinks[sink].rows(chunk, context)
    }

    fn sink_watermark(&mut self, sink: usize, watermark: Time, _: &Context<'_>) -> Result<(), Error> {
        self.sinks[sink].watermark(watermark)
    }

    fn sink_finish(&mut self, sink: usize, _: &Context<'_>) -> Result<(), Error> {
        self.sinks[sink].finish()
    }

    fn satisfied(&mut self, sink: usize) {
        self.sinks[sink].satisfied = true;
    }
}
