//! Barriers in lanes, and what an inbox holds when all of them have come.

use bumpalo::Bump;
use corelane_engine::Result;
use corelane_engine::batch::Batch;
use corelane_engine::state::{Reader, Writer, read_batch, write_chunk};

use super::inbox::Head;
use super::{Arrival, Inbox, Message, Outbox};
use crate::checkpoint::Call;

impl Outbox {
    /// Sends what is partial, then a barrier. The end of a way counts as every later barrier.
    pub fn barrier(&mut self, call: Call) {
        self.flush();
        for owner in 0..self.ways.len() {
            if !self.ways[owner].closed {
                self.post(owner, Message::Barrier(call));
            }
        }
    }

    /// Whether this was all.
    pub fn is_closed(&self) -> bool {
        self.ways.iter().all(|way| way.closed)
    }

    /// Goes on behind the end that an earlier run has sent.
    pub fn reclose(&mut self) {
        self.ways.iter_mut().for_each(|way| way.closed = true);
    }
}

impl Inbox {
    /// Whether the barrier of a sender has come that others still owe.
    pub(super) fn is_aligning(&self) -> bool {
        self.ways.iter().any(|way| way.barrier.is_some())
    }

    /// The barrier, if every sender's has come.
    pub(super) fn all_at_barrier(&mut self) -> Option<Arrival> {
        let call = self.ways.iter().find_map(|way| way.barrier)?;
        if !self.ways.iter().all(|way| way.barrier.is_some() || way.finished) {
            return None;
        }
        self.ways.iter_mut().for_each(|way| way.barrier = None);
        Some(Arrival::Barrier(call))
    }

    /// Under `--ordered`: takes everything before the barriers. Rows that cannot be merged yet are
    /// copied, so that a sender never waits for a batch on its way to its barrier.
    pub(super) fn take_up_to_barriers(&mut self) {
        for from in 0..self.ways.len() {
            while self.ways[from].barrier.is_none() {
                let Some(message) = self.ways[from].ring.pop() else { break };
                self.bells[from].ring();
                let way = &mut self.ways[from];
                match message {
                    Message::Watermark(watermark) => way.watermark = watermark,
                    Message::Progress(progress) => way.progress = progress,
                    Message::Turn => {}
                    Message::Barrier(call) => way.barrier = Some(call),
                    Message::Finished => way.finished = true,
                    Message::Batch(batch) => {
                        let scratch = Bump::new();
                        let all: Vec<u16> = (0..batch.rows() as u16).collect();
                        let mut copy = Box::new(Batch::new(&self.layout));
                        copy.append(&batch.chunk(&scratch), &all);
                        way.held.push_back(Head { batch: copy, row: 0, lent: false });
                        self.give_back(from, batch);
                    }
                }
            }
        }
    }

    /// Stands behind the end of all senders' rows, which was told in an earlier run.
    pub fn reclose(&mut self) {
        self.ended = true;
        self.ways.iter_mut().for_each(|way| way.finished = true);
    }

    /// Writes what is known of the senders, and the rows that are held. Only behind
    /// [`Arrival::Barrier`] or the end.
    pub fn save(&self, to: &mut Writer) {
        to.word(self.told as u64);
        to.flag(self.ended);
        to.count(self.ways.len());
        let mut scratch = Bump::new();
        for way in &self.ways {
            to.word(way.watermark as u64);
            to.word(way.progress);
            to.flag(way.finished);
            let held = || way.head.iter().chain(&way.held);
            to.count(held().count());
            for Head { batch, row, .. } in held() {
                scratch.reset();
                let rest: Vec<u16> = (*row as u16..batch.rows() as u16).collect();
                write_chunk(&batch.chunk(&scratch).gather(&rest, &scratch), to);
            }
        }
    }

    /// Takes over what the same inbox of another run wrote. Only on a new one.
    pub fn restore(&mut self, from: &mut Reader<'_>) -> Result<()> {
        self.told = from.word()? as i64;
        self.ended = from.flag()?;
        if from.count(18)? != self.ways.len() {
            return Err(crate::checkpoint::damaged("it has another number of senders"));
        }
        for way in &mut self.ways {
            way.watermark = from.word()? as i64;
            way.progress = from.word()?;
            way.finished = from.flag()?;
            for _ in 0..from.count(1)? {
                let mut batch = Box::new(read_batch(from, &self.layout)?);
                // Their latency counts from now: the time between the runs is nobody's.
                batch.stamp = crate::sys::ticks();
                if self.merged.is_none() || batch.ordinals().is_none() {
                    return Err(crate::checkpoint::damaged("rows are held that are not in order"));
                }
                way.held.push_back(Head { batch, row: 0, lent: false });
            }
        }
        Ok(())
    }
}
