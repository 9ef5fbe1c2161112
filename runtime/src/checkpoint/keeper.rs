//! The keeper: one thread off the shards that calls epochs and commits them.
//!
//! It calls an epoch when one is due and the one before is committed, takes what every shard and the
//! writer tell of it, and does everything that waits for the disk: it writes the state as it comes, part by part,
//! syncs the outputs and the state, and then writes the manifest. Who has ended is asked for nothing more: what it knew at its end stands
//! in every later epoch. When all have ended, or the last epoch was asked for, it commits once more and is
//! done. An error here stops the run; what was committed before stays right.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use corelane_engine::state::Section;
use corelane_engine::{Code, Error, Result};
use corelane_io::checkpoint::{ShardFile, Store};
use corelane_io::durable::Durable;
use corelane_io::fault;
use corelane_io::whole::{Names, Whole};

use super::record::Committed;
use super::report::{Note, Notes};
use super::{Call, Every, State};
use crate::doorbell::Doorbell;
use crate::ring::Sender;
use crate::sys;

/// Calls and commits epochs.
pub struct Keeper {
    store: Store,
    disk: Arc<dyn Durable>,
    every: Every,
    shards: Vec<Sender<Call>>,
    bells: Arc<[Doorbell]>,
    /// The shards, then the writer where there is one.
    known: Vec<Known>,
    clock: fn() -> u64,
    /// The newest committed epoch.
    epoch: u64,
    /// What every manifest of this run says.
    committed: Committed,
    /// Trees of files that take their names when they are whole, by root.
    trees: BTreeMap<String, Names>,
    /// Files that another number of shards had begun, for the first manifest.
    ended: Vec<Whole>,
    called: Option<Call>,
    /// When the newest epoch was called, and what was read since.
    since: u64,
    rows: u64,
    bytes: u64,
    last_asked: Arc<AtomicBool>,
    /// The step before has found nothing.
    quiet: bool,
    /// What was done.
    pub kept: Kept,
}

/// What is known of a shard or the writer.
struct Known {
    notes: Notes,
    saved: Option<Box<State>>,
    ended: Option<Box<State>>,
    /// The file of what is saved, and the bytes of state in it.
    file: Option<ShardFile>,
    bytes: u64,
    /// Parts are still to come.
    is_open: bool,
}

impl Known {
    /// Whether all is told of the epoch that was called.
    fn has_all(&self) -> bool {
        if self.saved.is_some() { !self.is_open } else { self.ended.is_some() }
    }
}

/// What a keeper has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Epochs committed.
    pub epochs: u64,
    /// The newest of all.
    pub newest: u64,
    /// Bytes of state in the largest.
    pub bytes_max: u64,
    /// The longest that a shard took no rows for one, in nanoseconds: from when it stopped to read until it went
    /// on, or while it took parts.
    pub pause_ns_max: u64,
    /// The longest from the call to the commit, in nanoseconds.
    pub commit_ns_max: u64,
    /// The run's end is committed.
    pub is_finished: bool,
}

/// What a step found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Something was done.
    Busy,
    /// Nothing was found. The next step looks again behind the armed bell, and then may wait: whoever tells
    /// something between the two is heard.
    Quiet,
    /// Nothing to do until the bell rings, which is armed, or this much time has passed.
    Wait(Option<Duration>),
    /// Nothing more will be committed.
    Done,
}

/// What a keeper is made of.
pub struct Parts {
    /// Where epochs are kept.
    pub store: Store,
    /// Where outputs are.
    pub disk: Arc<dyn Durable>,
    /// When one is due.
    pub every: Every,
    /// The newest committed epoch; 0 is none.
    pub epoch: u64,
    /// What every manifest of this run says.
    pub committed: Committed,
    /// Trees of files that take their names when they are whole, by root.
    pub trees: BTreeMap<String, Names>,
    /// Files that have become whole before the first epoch.
    pub ended: Vec<Whole>,
    /// Calls to each shard.
    pub shards: Vec<Sender<Call>>,
    /// Wakes them.
    pub bells: Arc<[Doorbell]>,
    /// From the shards, then from the writer where there is one.
    pub notes: Vec<Notes>,
    /// Time, in ticks.
    pub clock: fn() -> u64,
    /// Set when the run is to end with one more epoch.
    pub last_asked: Arc<AtomicBool>,
}

impl Keeper {
    /// A keeper of a run that begins now.
    pub fn new(parts: Parts) -> Keeper {
        let known = parts.notes.into_iter().map(|notes| Known {
            notes,
            saved: None,
            ended: None,
            file: None,
            bytes: 0,
            is_open: false,
        });
        Keeper {
            store: parts.store,
            disk: parts.disk,
            every: parts.every,
            shards: parts.shards,
            bells: parts.bells,
            known: known.collect(),
            clock: parts.clock,
            epoch: parts.epoch,
            committed: parts.committed,
            trees: parts.trees,
            ended: parts.ended,
            called: None,
            since: (parts.clock)(),
            rows: 0,
            bytes: 0,
            last_asked: parts.last_asked,
            quiet: false,
            kept: Kept { newest: parts.epoch, ..Kept::default() },
        }
    }

    /// Asks for one more epoch, at which the run ends. The keeper's bell is the caller's to ring.
    pub fn last_asked(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.last_asked)
    }

    /// Whether something was told that was not heard yet: not one who sleeps may be in that state.
    pub fn is_told(&mut self) -> bool {
        self.known.iter_mut().any(|known| known.notes.ready() > 0)
    }

    /// Does what can be done now. `is_over` says that nobody will tell anything any more.
    pub fn step(&mut self, bell: &Doorbell, is_over: &dyn Fn() -> bool) -> Result<Turn> {
        if !std::mem::take(&mut self.quiet) {
            // Looked at before the rings are: what was told before the end is heard.
            let over = is_over();
            return Ok(match self.round()? {
                Some(turn) => turn,
                None if over => Turn::Done,
                None => {
                    self.quiet = true;
                    Turn::Quiet
                }
            });
        }
        bell.arm();
        match self.round()? {
            None if !is_over() => Ok(Turn::Wait(self.wait())),
            turn => {
                bell.disarm();
                Ok(turn.unwrap_or(Turn::Busy))
            }
        }
    }

    fn round(&mut self) -> Result<Option<Turn>> {
        let mut busy = self.hear()?;
        if let Some(call) = self.called
            && self.known.iter().all(Known::has_all)
        {
            let is_end = self.known.iter().all(|known| known.saved.is_none());
            self.commit(call.epoch, is_end)?;
            self.called = None;
            if is_end || call.last {
                return Ok(Some(Turn::Done));
            }
            busy = true;
        }
        if self.called.is_none() && self.known.iter().all(|known| known.ended.is_some()) {
            fault!("end.before-commit");
            self.commit(self.epoch + 1, true)?;
            fault!("end.after-commit");
            return Ok(Some(Turn::Done));
        }
        let last = self.last_asked.load(Ordering::Relaxed);
        if self.called.is_none() && (last || self.is_due()) {
            self.call(last);
            busy = true;
        }
        Ok(busy.then_some(Turn::Busy))
    }

    /// Takes what was told, and writes down what of it is state; returns whether anything was.
    fn hear(&mut self) -> Result<bool> {
        let mut heard = false;
        for number in 0..self.known.len() {
            while let Some(note) = self.known[number].notes.pop() {
                heard = true;
                match note {
                    Note::Read { rows, bytes } => (self.rows, self.bytes) = (self.rows + rows, self.bytes + bytes),
                    Note::Saved(state) => self.begin_file(number, state)?,
                    Note::Part(part) => self.put(number, &part.section())?,
                    Note::Taken(pause_ticks) => {
                        self.known[number].is_open = false;
                        self.kept.pause_ns_max = self.kept.pause_ns_max.max(sys::ticks_to_ns(pause_ticks));
                    }
                    Note::Ended(state) => self.known[number].ended = Some(state),
                }
                // A shard may wait for room for the next part.
                if let Some(bell) = self.bells.get(number).filter(|_| self.known[number].is_open) {
                    bell.ring();
                }
            }
        }
        Ok(heard)
    }

    /// Begins the file of what a shard or the writer has saved.
    fn begin_file(&mut self, number: usize, mut state: Box<State>) -> Result<()> {
        let epoch = self.called.map_or(self.epoch + 1, |call| call.epoch);
        let known = &mut self.known[number];
        (known.file, known.bytes) = (Some(self.store.begin(epoch, number as u32)?), 0);
        known.is_open = state.has_parts;
        let sections = std::mem::take(&mut state.sections);
        known.saved = Some(state);
        sections.iter().try_for_each(|section| self.put(number, section))
    }

    fn put(&mut self, number: usize, section: &Section) -> Result<()> {
        let known = &mut self.known[number];
        known.bytes += section.bytes.len() as u64;
        match &mut known.file {
            Some(file) => self.store.add(file, section),
            None => Err(Error::new(Code::Internal, "a part of a state was told before its beginning")),
        }
    }

    fn is_due(&self) -> bool {
        match self.every {
            Every::Time(_) => self.wait() == Some(Duration::ZERO),
            Every::Bytes(every) => self.bytes >= every,
            Every::Rows(every) => self.rows >= every,
        }
    }

    /// Time until the next epoch is due, where time decides.
    fn wait(&self) -> Option<Duration> {
        let Every::Time(every) = self.every else { return None };
        if self.called.is_some() {
            return None;
        }
        let passed = sys::ticks_to_ns((self.clock)().saturating_sub(self.since));
        Some(every.saturating_sub(Duration::from_nanos(passed)))
    }

    fn call(&mut self, last: bool) {
        fault!("epoch.before-call");
        let call = Call { epoch: self.epoch + 1, last };
        self.called = Some(call);
        (self.since, self.rows, self.bytes) = ((self.clock)(), 0, 0);
        for (shard, bell) in self.shards.iter_mut().zip(&*self.bells) {
            // A shard that has ended hears nothing; an epoch at a time always fits.
            let _ = shard.push(call);
            bell.ring();
        }
        fault!("epoch.after-call");
    }

    /// Makes `epoch` of what was told.
    fn commit(&mut self, epoch: u64, is_finished: bool) -> Result<()> {
        fault!("epoch.before-commit");
        let saved: Vec<Option<Box<State>>> = self.known.iter_mut().map(|known| known.saved.take()).collect();
        let mut bytes: u64 = self.known.iter_mut().map(|known| std::mem::take(&mut known.bytes)).sum();
        let files: Vec<Option<ShardFile>> = self.known.iter_mut().map(|known| known.file.take()).collect();
        let states =
            || saved.iter().zip(&self.known).filter_map(|(saved, known)| saved.as_ref().or(known.ended.as_ref()));
        let cuts = || states().flat_map(|state| &state.cuts);
        cuts().try_for_each(|cut| if is_finished { cut.end() } else { Ok(()) })?;
        cuts().try_for_each(|cut| cut.sync())?;
        let (open, whole) = (states().flat_map(|state| &state.parts), states().flat_map(|state| &state.whole));
        open.clone().chain(whole.clone()).try_for_each(|part| part.sync())?;
        let whole: Vec<Whole> = self.ended.iter().cloned().chain(whole.map(|part| part.whole.clone())).collect();
        let named: Vec<&Whole> = open.map(|part| &part.whole).chain(&whole).collect();
        for (root, names) in &mut self.trees {
            names.keep(&below(&named, root))?;
        }
        let mut written = Vec::with_capacity(files.len());
        for ((number, state), file) in (0..).zip(states()).zip(files) {
            written.push(match file {
                Some(file) => self.store.end(file)?,
                None => self.store.write(epoch, number, &state.sections)?,
            });
            bytes += state.bytes();
        }
        let cuts = cuts().map(|cut| cut.cut.clone()).collect();
        let committed = Committed { is_finished, cuts, whole, ..self.committed.clone() };
        self.store.commit(epoch, &written, &committed.save())?;
        committed.files().try_for_each(|cut| cut.tell(&*self.disk))?;
        let whole: Vec<&Whole> = committed.whole.iter().collect();
        for (root, names) in &mut self.trees {
            names.settle(&below(&whole, root), true)?;
        }
        self.store.settle(epoch)?;

        let pause = states().map(|state| state.pause_ticks).max().unwrap_or(0);
        let took = (self.clock)().saturating_sub(self.since);
        let kept = &mut self.kept;
        kept.bytes_max = kept.bytes_max.max(bytes);
        kept.pause_ns_max = kept.pause_ns_max.max(sys::ticks_to_ns(pause));
        if self.called.is_some() {
            kept.commit_ns_max = kept.commit_ns_max.max(sys::ticks_to_ns(took));
        }
        (kept.epochs, kept.newest, kept.is_finished) = (kept.epochs + 1, epoch, is_finished);
        self.epoch = epoch;
        self.ended.clear();
        // They have their names now, and stand in no later manifest.
        for (known, saved) in self.known.iter_mut().zip(&saved) {
            if let (Some(ended), None) = (&mut known.ended, saved) {
                ended.whole.clear();
            }
        }
        Ok(())
    }
}

/// Those of `files` that are in the tree at `root`.
fn below<'w>(files: &[&'w Whole], root: &str) -> Vec<&'w Whole> {
    files.iter().filter(|file| file.root == root).copied().collect()
}

/// Turns a keeper's rounds until it is done. `bell[0]` is rung when there is something to do. An error
/// is for the caller to stop the run.
pub fn run(keeper: &mut Keeper, bell: &[Doorbell], is_over: &dyn Fn() -> bool) -> Result<()> {
    loop {
        match keeper.step(&bell[0], is_over)? {
            Turn::Busy | Turn::Quiet => {}
            Turn::Wait(most) => {
                let _ = bell[0].signal().wait(Some(most.unwrap_or(LOOK).min(LOOK)));
                bell[0].disarm();
            }
            Turn::Done => return Ok(()),
        }
    }
}

/// The longest that a keeper sleeps.
const LOOK: Duration = Duration::from_millis(100);
