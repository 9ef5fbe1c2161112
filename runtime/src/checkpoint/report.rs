//! What shards and the writer tell the keeper, each over a ring of its own.

use std::sync::Arc;

use corelane_engine::state::Part;

use super::{Call, Every, State};
use crate::doorbell::Doorbell;
use crate::ring::{Receiver, Sender, ring};

/// Notes that fit in a ring. Of a state, the end of its parts and the end one each is on its way at most; parts
/// and what is read are told only while there is room besides.
const RING_NOTES: usize = 16;
/// Notes for which room is left.
const ROOM_LEFT: usize = 4;
/// Parts of the way to the next epoch, after each of which what was read is told.
const PARTS: u64 = 16;

/// Something to tell.
#[derive(Debug)]
pub enum Note {
    /// So much was read since the last such note.
    Read {
        /// Rows.
        rows: u64,
        /// Bytes.
        bytes: u64,
    },
    /// What is known at the barrier of the epoch that was called.
    Saved(Box<State>),
    /// More of it.
    Part(Box<Part>),
    /// There are no more parts. For so many ticks at most the shard did nothing but take some.
    Taken(u64),
    /// What is known at the end; it is so at every later barrier.
    Ended(Box<State>),
}

/// The keeper's end of a ring.
pub type Notes = Receiver<Note>;

/// Tells the keeper of states.
pub struct Reporter {
    notes: Sender<Note>,
    bell: Arc<[Doorbell]>,
    ended: bool,
}

impl Reporter {
    /// A reporter that wakes the keeper by `bell`, and the end at which it is heard.
    pub fn new(bell: &Arc<[Doorbell]>) -> (Reporter, Notes) {
        let (notes, heard) = ring(RING_NOTES);
        (Reporter { notes, bell: Arc::clone(bell), ended: false }, heard)
    }

    /// Whether the end was told.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Tells of a barrier or, if it `is_end`, of the end.
    pub fn report(&mut self, state: State, is_end: bool) {
        self.ended |= is_end;
        let state = Box::new(state);
        let told = self.notes.push(if is_end { Note::Ended(state) } else { Note::Saved(state) });
        assert!(told.is_ok(), "room is left for one state and one end");
        self.bell[0].ring();
    }

    /// Whether there is room for a part.
    fn has_room(&mut self) -> bool {
        self.notes.has_room(ROOM_LEFT + 1)
    }

    fn part(&mut self, part: Part) {
        let told = self.notes.push(Note::Part(Box::new(part)));
        assert!(told.is_ok(), "a part is told when there is room");
        self.bell[0].ring();
    }

    fn taken(&mut self, pause_ticks: u64) {
        let told = self.notes.push(Note::Taken(pause_ticks));
        assert!(told.is_ok(), "room is left for the end of one state");
        self.bell[0].ring();
    }

    /// Tells what was read; returns whether there was room for it.
    fn read(&mut self, rows: u64, bytes: u64) -> bool {
        if !self.has_room() {
            return false;
        }
        let told = self.notes.push(Note::Read { rows, bytes }).is_ok();
        self.bell[0].ring();
        told
    }
}

/// A shard's part in checkpoints.
pub struct Member {
    calls: Receiver<Call>,
    reporter: Reporter,
    every: Every,
    shards: u64,
    /// The epoch on its way through this shard.
    pub current: Option<Call>,
    /// The newest epoch that this shard has written down.
    done: u64,
    told: (u64, u64),
    /// The last epoch is done: nothing more is read.
    pub ending: bool,
}

impl Member {
    /// The part of one of `shards` shards behind epoch `done`; how it is called, and how it is heard.
    pub fn new(every: Every, shards: usize, done: u64, bell: &Arc<[Doorbell]>) -> (Member, Sender<Call>, Notes) {
        let (call, calls) = ring(4);
        let (reporter, notes) = Reporter::new(bell);
        let shards = shards as u64;
        let member = Member { calls, reporter, every, shards, current: None, done, told: (0, 0), ending: false };
        (member, call, notes)
    }

    /// Hears what the keeper calls.
    pub fn listen(&mut self) {
        while let Some(call) = self.calls.pop() {
            self.begin(call);
        }
    }

    /// An epoch was called, or a barrier of it has come.
    pub fn begin(&mut self, call: Call) {
        if call.epoch > self.done && self.current.is_none() {
            self.current = Some(call);
        }
    }

    /// Tells what all sources together have read, now and then.
    pub fn has_read(&mut self, rows: u64, bytes: u64) {
        let (rows_told, bytes_told) = self.told;
        let (more, step) = match self.every {
            Every::Time(_) => return,
            Every::Bytes(every) => (bytes - bytes_told, every),
            Every::Rows(every) => (rows - rows_told, every),
        };
        if more >= (step / (PARTS * self.shards)).max(1) && self.reporter.read(rows - rows_told, bytes - bytes_told) {
            self.told = (rows, bytes);
        }
    }

    /// Begins to count where an earlier run has stopped.
    pub fn has_read_before(&mut self, rows: u64, bytes: u64) {
        self.told = (rows, bytes);
    }

    /// Tells of the barrier of `call`.
    pub fn saved(&mut self, call: Call, state: State) {
        self.reporter.report(state, false);
        (self.done, self.current, self.ending) = (call.epoch, None, call.last);
    }

    /// Whether the keeper has room for a part of the state.
    pub fn has_room(&mut self) -> bool {
        self.reporter.has_room()
    }

    /// Tells a part of the state, for which there is room.
    pub fn part(&mut self, part: Part) {
        self.reporter.part(part);
    }

    /// Tells that there are no more parts, and for how many ticks at most the shard did nothing but take some.
    pub fn taken(&mut self, pause_ticks: u64) {
        self.reporter.taken(pause_ticks);
    }

    /// Tells of the end.
    pub fn ended(&mut self, state: State) {
        self.reporter.report(state, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_told_again_once_the_keeper_has_heard() {
        let bell: Arc<[Doorbell]> = std::iter::once(Doorbell::new().expect("an eventfd")).collect();
        let (mut reporter, mut heard) = Reporter::new(&bell);
        for round in 0..3 {
            let told = (0..10 * RING_NOTES).take_while(|_| reporter.read(1, 1)).count();
            assert_eq!(told, RING_NOTES - ROOM_LEFT, "round {round}");
            assert_eq!(std::iter::from_fn(|| heard.pop()).count(), told);
        }
        reporter.report(State::default(), false);
        reporter.report(State::default(), true);
        assert!(reporter.has_ended() && heard.pop().is_some() && heard.pop().is_some());
    }
}
