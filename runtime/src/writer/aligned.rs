//! Barriers at the writer: what of its outputs belongs to an epoch.
//!
//! A shard behind its barrier is not listened to until the barriers of all have come. Meanwhile the
//! others may have to bring more than they have blocks for, since what they bring may have to wait for
//! just that shard's rows: so they are lent empty ones, and as many come to no home later.

use corelane_engine::Result;
use corelane_engine::state::{Reader, Scope, Section, Writer as Bytes};
use corelane_io::append::OpenCut;
use corelane_io::fault;

use super::{Target, Writer, Writers};
use crate::checkpoint::{Call, Reporter, State, damaged};
use crate::sink::TextBlock;

/// How far the shards have come to a barrier.
pub(super) struct Alignment {
    /// The barrier that some have come to.
    pub(super) call: Option<Call>,
    /// The shards behind it.
    behind: Vec<bool>,
    /// The shards that bring nothing more.
    pub(super) finished: Vec<bool>,
    /// Blocks that were lent to each shard and take the place of others.
    owed: Vec<usize>,
    /// What was found at the last barrier, until it is reported.
    found: Option<Found>,
}

/// An output at a barrier.
struct Found {
    bytes: Vec<u8>,
    cut: Option<OpenCut>,
}

impl Alignment {
    pub(super) fn new(shards: usize) -> Self {
        Alignment {
            call: None,
            behind: vec![false; shards],
            finished: vec![false; shards],
            owed: vec![0; shards],
            found: None,
        }
    }

    /// Whether the barriers of all shards have come, and one at least.
    pub(super) fn is_complete(&self) -> bool {
        self.call.is_some() && self.behind.iter().zip(&self.finished).all(|(&behind, &finished)| behind || finished)
    }

    /// Whether a block of `shard` that is used up was replaced before.
    pub(super) fn is_owed(&mut self, shard: usize) -> bool {
        let owed = self.owed[shard] > 0;
        self.owed[shard] -= usize::from(owed);
        owed
    }
}

impl Writer {
    /// Whether the next parcel of `shard` is to be taken.
    pub(super) fn takes_from(&self, shard: usize) -> bool {
        match self.alignment.call {
            Some(_) => !self.alignment.behind[shard],
            None => self.merger.held(shard) <= self.hold,
        }
    }

    /// Gives `shard` an empty block in place of one that is held.
    pub(super) fn lend(&mut self, shard: usize) {
        if self.output.lanes[shard].home.push(Box::default()).is_ok() {
            self.alignment.owed[shard] += 1;
            self.output.bells[shard].ring();
        }
    }

    /// `shard` has come to its barrier.
    pub(super) fn barrier(&mut self, shard: usize, call: Call) {
        self.alignment.behind[shard] = true;
        if self.alignment.call.replace(call).is_none() {
            for shard in 0..self.output.lanes.len() {
                let replaced = self.alignment.owed[shard];
                (replaced..self.merger.blocks(shard)).for_each(|_| self.lend(shard));
            }
        }
    }

    /// Notes what belongs to the epoch. Only when the alignment is complete and all that may go has been
    /// written.
    pub(super) fn cut(&mut self) {
        fault!("writer.before-cut");
        self.alignment.found = Some(self.found());
        self.alignment.behind.fill(false);
        self.alignment.call = None;
        fault!("writer.after-cut");
    }

    fn found(&self) -> Found {
        let mut bytes = Bytes::default();
        bytes.flag(self.ended);
        bytes.flag(self.output.assembler.is_begun());
        self.merger.save(&mut bytes);
        let cut = if let Target::Kept(file) = &self.output.target { Some(file.cut()) } else { None };
        Found { bytes: bytes.into_bytes(), cut }
    }

    fn restore(&mut self, section: &Section, is_moved: bool) -> Result<()> {
        let mut from = Reader::new(&section.bytes);
        self.ended = from.flag()?;
        self.output.assembler.go_on(from.flag()?);
        let own = |block| Box::new(TextBlock::of(block));
        if is_moved {
            self.merger.adopt(&mut from, own)?;
            if self.ended {
                (0..self.output.lanes.len()).for_each(|shard| self.merger.finish(shard));
            }
        } else {
            self.merger.restore(&mut from, own)?;
        }
        from.end()?;
        for shard in 0..self.output.lanes.len() {
            self.alignment.finished[shard] = self.merger.is_finished(shard);
            // These blocks are no shard's.
            self.alignment.owed[shard] = self.merger.blocks(shard);
        }
        Ok(())
    }
}

impl Writers {
    /// Has cuts told to `reporter`, and goes on where an earlier run has told `sections` of, if it `is_moved`
    /// one on another number of shards.
    pub fn reporting(mut self, reporter: Reporter, sections: Option<&[Section]>, is_moved: bool) -> Result<Writers> {
        self.reporter = Some(reporter);
        let Some(sections) = sections else { return Ok(self) };
        if sections.len() != self.writers.len() {
            return Err(damaged("it has another number of outputs"));
        }
        self.writers.iter_mut().zip(sections).try_for_each(|(writer, section)| writer.restore(section, is_moved))?;
        Ok(self)
    }

    /// Tells of an epoch when every output has come to it, and then of the end; returns whether it did.
    pub(super) fn report(&mut self) -> bool {
        let Some(reporter) = &mut self.reporter else { return false };
        if reporter.has_ended() || !self.writers.iter().all(|writer| writer.ended || writer.alignment.found.is_some()) {
            return false;
        }
        // An output that came to a barrier and then to its end is told of twice.
        let is_end = self.writers.iter().all(|writer| writer.alignment.found.is_none());
        let mut state = State::default();
        for (node, writer) in self.writers.iter_mut().enumerate() {
            let found = writer.alignment.found.take().unwrap_or_else(|| writer.found());
            state.sections.push(Section { node, scope: Scope::Whole, bytes: found.bytes });
            state.cuts.extend(found.cut);
        }
        reporter.report(state, is_end);
        true
    }
}
