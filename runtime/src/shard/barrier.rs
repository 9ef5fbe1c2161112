//! Barriers on one shard: from its sources through its stages to what it writes down.

use corelane_engine::Result;
use corelane_engine::operator::TIME_MIN;
use corelane_engine::plan::Operator;
use corelane_engine::stage::Stage;
use corelane_engine::state::{Scope, Section, Writer};
use corelane_io::fault;

use super::{Feed, Parts, Receiver, Shard};
use crate::checkpoint::moving::Moving;
use crate::checkpoint::record::Standing;
use crate::checkpoint::{Call, State, damaged, record};
use crate::executor::Progress;
use crate::source::Stand;

/// Parts of the state that are taken before rows get their turn again: about a megabyte, copied in a fraction of a
/// millisecond.
const PARTS_PER_STEP: usize = 4;

impl Shard {
    /// Hears what the keeper has called, and ends behind the last epoch.
    pub(super) fn hear_calls(&mut self) -> Result<Option<Progress>> {
        let Some(member) = &mut self.member else { return Ok(None) };
        if member.ending {
            let moved = self.save_parts() | self.outs.push_waiting()?;
            self.ended = !self.outs.has_waiting() && !self.pipeline.is_saving();
            return Ok(Some(match (self.ended, moved) {
                (true, _) => Progress::Done,
                (false, true) => Progress::Busy,
                (false, false) => Progress::Idle(None),
            }));
        }
        member.listen();
        let sums = self.sources.iter().map(|feed| (feed.source.counts.read, feed.source.bytes));
        let (rows, bytes) = sums.fold((0, 0), |sum, (rows, bytes)| (sum.0 + rows, sum.1 + bytes));
        member.has_read(rows, bytes);
        Ok(None)
    }

    /// Moves the epoch on its way as far as it can go; returns whether it moved.
    pub(super) fn pass_barrier(&mut self) -> Result<bool> {
        let Some(call) = self.member.as_ref().and_then(|member| member.current) else { return Ok(false) };
        self.stopped.get_or_insert_with(|| self.ledger.now());
        // What is read belongs to a turn that ends before the barrier.
        if self.by_turns && self.turn_open && self.sources.iter().any(|feed| !feed.finished) {
            return self.end_turn_now(&mut Stage::WaitPeer);
        }
        let mut moved = false;
        for Feed { entry, at_barrier, .. } in self.sources.iter_mut().filter(|feed| !feed.at_barrier) {
            *at_barrier = !self.pipeline.pending(*entry);
            moved |= *at_barrier;
        }
        if moved {
            fault!("barrier.at-source");
        }
        for number in 0..self.outs.outboxes.len() {
            if !self.barred[number] && self.is_fed_up_to_barrier(number) {
                self.barred[number] = true;
                self.outs.outboxes[number].barrier(call);
                moved = true;
                fault!("barrier.at-exchange");
            }
        }
        let is_there = |there: bool, entry| there && !self.pipeline.pending(entry);
        let is_reached = self.sources.iter().all(|feed| is_there(feed.at_barrier, feed.entry))
            && self.receivers.iter().all(|from| is_there(from.at_barrier || from.finished, from.entry));
        if is_reached {
            self.save(call)?;
        }
        Ok(moved || is_reached)
    }

    /// Whether nothing that belongs before the barrier can come to an exchange any more.
    fn is_fed_up_to_barrier(&self, exchange: usize) -> bool {
        let feeds = self.sources.iter().map(|Feed { feeds, at_barrier, entry, .. }| (feeds, *at_barrier, *entry));
        let receivers = self.receivers.iter().map(|from| {
            let Receiver { feeds, at_barrier, finished, entry, .. } = from;
            (feeds, *at_barrier || *finished, *entry)
        });
        let mut feeders = feeds.chain(receivers).filter(|(feeds, ..)| feeds.exchanges.contains(&exchange));
        feeders.all(|(_, there, entry)| there && !self.pipeline.pending(entry))
    }

    /// Takes some parts of the state of the last barrier, as long as the keeper has room for them; returns
    /// whether it did.
    pub(super) fn save_parts(&mut self) -> bool {
        if !self.pipeline.is_saving() {
            return false;
        }
        let Some(member) = &mut self.member else { return false };
        let mut moved = false;
        let before = self.ledger.enter(Stage::Checkpoint);
        let began = self.ledger.now();
        for _ in 0..PARTS_PER_STEP {
            if !member.has_room() {
                break;
            }
            moved = true;
            match self.pipeline.save_part() {
                Some(part) => member.part(part),
                None => {
                    member.taken(self.parts_pause);
                    break;
                }
            }
        }
        self.parts_pause = self.parts_pause.max(self.ledger.now().saturating_sub(began));
        self.ledger.enter(before);
        moved
    }

    /// Writes down what belongs to the epoch, and goes on.
    fn save(&mut self, call: Call) -> Result<()> {
        fault!("state.before-save");
        let before = self.ledger.enter(Stage::Checkpoint);
        let began = self.ledger.now();
        for sink in &mut self.outs.sinks {
            sink.barrier(call)?;
        }
        self.flush_aside()?;
        let sections = self.pipeline.begin_save()?;
        let mut state = self.state(sections)?;
        state.has_parts = true;
        state.pause_ticks = self.ledger.now().saturating_sub(self.stopped.take().unwrap_or(began));
        self.parts_pause = 0;
        if let Some(member) = &mut self.member {
            member.saved(call, state);
        }
        self.sources.iter_mut().for_each(|feed| feed.at_barrier = false);
        self.receivers.iter_mut().for_each(|receiver| receiver.at_barrier = false);
        self.barred.fill(false);
        self.ledger.enter(before);
        fault!("state.after-save");
        Ok(())
    }

    /// Tells what is known at the end.
    pub(super) fn tell_end(&mut self) -> Result<()> {
        if self.member.is_none() {
            return Ok(());
        }
        self.flush_aside()?;
        let sections = self.pipeline.save()?;
        let state = self.state(sections)?;
        if let Some(member) = &mut self.member {
            member.ended(state);
        }
        Ok(())
    }

    /// What is known, besides `held` of the operators' state.
    fn state(&mut self, held: Vec<Section>) -> Result<State> {
        let mut bytes = Writer::default();
        bytes.count(self.sources.len());
        for feed in &self.sources {
            bytes.word(feed.told as u64);
            bytes.flag(feed.finished);
            feed.source.save(&mut bytes)?;
        }
        bytes.count(self.outs.outboxes.len());
        self.outs.outboxes.iter().for_each(|outbox| bytes.flag(outbox.is_closed()));
        bytes.count(self.outs.sinks.len());
        self.outs.sinks.iter().for_each(|sink| sink.standing().save(&mut bytes));
        bytes.count(self.receivers.len());
        for receiver in &self.receivers {
            bytes.flag(receiver.finished);
            receiver.inbox.save(&mut bytes);
        }
        let mut sections = vec![Section { node: record::OWN, scope: Scope::Whole, bytes: bytes.into_bytes() }];
        sections.extend(held);
        let sinks = self.outs.sinks.iter().filter_map(|sink| sink.cut());
        let cuts = sinks.chain(self.sources.iter().flat_map(|feed| feed.source.aside.cuts())).collect();
        let parts = self.outs.sinks.iter().flat_map(|sink| sink.part_cuts()).collect();
        let whole = self.outs.sinks.iter_mut().flat_map(|sink| sink.take_whole()).collect();
        Ok(State { sections, cuts, parts, whole, has_parts: false, pause_ticks: 0 })
    }
}

fn is(found: usize, expected: usize, what: &str) -> Result<()> {
    if found == expected { Ok(()) } else { Err(damaged(&format!("it has another number of {what}"))) }
}

impl Parts {
    /// Takes over what the same shard of another run wrote. Only on new parts.
    pub fn restore(&mut self, sections: &[Section]) -> Result<()> {
        let (standing, mut from) = Standing::of(sections)?;
        self.pipeline.restore(&sections[1..])?;
        is(standing.sources.len(), self.sources.len(), "sources")?;
        for ((_, source), (told, finished, stand)) in self.sources.iter_mut().zip(&standing.sources) {
            self.before.sources.push((*told, *finished));
            source.restore(stand)?;
        }
        is(standing.closed.len(), self.outboxes.len(), "exchanges")?;
        let outboxes = self.outboxes.iter_mut().zip(&standing.closed);
        outboxes.filter(|(_, closed)| **closed).for_each(|(outbox, _)| outbox.reclose());
        is(standing.sinks.len(), self.sinks.len(), "sinks")?;
        self.sinks.iter_mut().zip(&standing.sinks).for_each(|(sink, stood)| sink.restore(stood));
        is(from.count(1)?, self.inboxes.len(), "exchanges")?;
        for inbox in &mut self.inboxes {
            self.before.receivers.push(from.flag()?);
            inbox.restore(&mut from)?;
        }
        self.count_on();
        from.end()
    }

    /// Takes over the part of shard `shard` of `shards` in what another number of shards wrote. Only on new
    /// parts, of a pipeline for several shards.
    pub fn adopt(&mut self, moving: &Moving, shard: usize, shards: usize) -> Result<()> {
        self.pipeline.adopt(&self.plan, &moving.sections)?;
        let counted = || moving.standings.iter().enumerate().filter(|(old, _)| old % shards == shard);
        for (number, (_, source)) in self.sources.iter_mut().enumerate() {
            let stands: Vec<Stand> = moving.standings.iter().map(|old| old.sources[number].2.clone()).collect();
            let counted: Vec<Stand> = counted().map(|(_, old)| old.sources[number].2.clone()).collect();
            source.adopt(&stands, &counted)?;
            // What time it is will be told again.
            self.before.sources.push((TIME_MIN, moving.has_source_ended(number)));
        }
        for (node, this) in self.plan.nodes.iter().enumerate() {
            match &this.operator {
                Operator::Exchange(exchange) => {
                    let has_ended = moving.has_ended[node];
                    if has_ended {
                        self.outboxes[exchange.number].reclose();
                        self.inboxes[exchange.number].reclose();
                    }
                    self.before.receivers.resize(self.inboxes.len(), false);
                    self.before.receivers[exchange.number] = has_ended;
                }
                Operator::Sink(sink) => {
                    let (number, sink) = (sink.number, &mut self.sinks[sink.number]);
                    let own = sink.standing().file;
                    for (_, old) in counted() {
                        sink.count_on(&old.sinks[number]);
                    }
                    let written = moving.standings.iter().map(|old| &old.sinks[number]);
                    if moving.has_ended[node] {
                        sink.has_finished();
                    } else if let Some(stood) = written.into_iter().find(|stood| !own.is_empty() && stood.file == own) {
                        // The same file goes on.
                        sink.write_on(stood);
                    }
                }
                _ => {}
            }
        }
        self.count_on();
        Ok(())
    }

    /// Has what was read before count for the next epoch of an earlier run, not of this one.
    fn count_on(&mut self) {
        if let Some(member) = &mut self.member {
            let sources = || self.sources.iter().map(|(_, source)| source);
            member.has_read_before(
                sources().map(|source| source.counts.read).sum(),
                sources().map(|source| source.bytes).sum(),
            );
        }
    }
}
