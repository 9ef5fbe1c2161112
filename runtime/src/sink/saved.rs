//! What a sink has done up to a barrier, written and taken up again.

use corelane_engine::Result;
use corelane_io::append::OpenCut;
use corelane_io::whole::OpenWhole;

use super::{Destination, Parcel, ShardSink};
use crate::checkpoint::Call;
use crate::checkpoint::record::SinkStanding;
use crate::partitions::Stood;

impl ShardSink {
    /// Everything so far belongs to the epoch of `call`: it is written or on its way, and the writer is
    /// told.
    pub fn barrier(&mut self, call: Call) -> Result<()> {
        self.flush()?;
        if let Destination::Partitions(partitions) = &mut self.to {
            partitions.flush()?;
        }
        if matches!(self.to, Destination::Writer { .. }) && !self.finished {
            self.waiting.push_back(Parcel::Barrier(call));
            self.push_waiting()?;
        }
        Ok(())
    }

    /// What of the shard's own file belongs to the epoch. Only behind [`ShardSink::barrier`].
    pub fn cut(&self) -> Option<OpenCut> {
        if let Destination::Kept(file) = &self.to { Some(file.cut()) } else { None }
    }

    /// What of its files in folders belongs to the epoch. Only behind [`ShardSink::barrier`].
    pub fn part_cuts(&self) -> impl Iterator<Item = OpenWhole> + '_ {
        let partitions = if let Destination::Partitions(partitions) = &self.to { Some(partitions) } else { None };
        partitions.into_iter().flat_map(|partitions| partitions.cuts())
    }

    /// Hands over the files in folders that have become whole.
    pub fn take_whole(&mut self) -> Vec<OpenWhole> {
        if let Destination::Partitions(partitions) = &mut self.to { partitions.take_whole() } else { Vec::new() }
    }

    /// What is to be known besides. Only behind [`ShardSink::barrier`].
    pub fn standing(&self) -> SinkStanding {
        let file = if let Destination::Kept(file) = &self.to { file.name().to_owned() } else { String::new() };
        let parts = match &self.to {
            Destination::Partitions(partitions) => partitions.stood(),
            _ => Stood::default(),
        };
        SinkStanding {
            finished: self.finished,
            satisfied: self.satisfied,
            header_due: self.header_due,
            is_begun: self.formatter.is_begun(),
            rows: self.rows,
            bytes: self.bytes,
            earlier: self.earlier,
            file,
            parts,
        }
    }

    /// Goes on where the same sink of another run has stood. Only on a new one.
    pub fn restore(&mut self, stood: &SinkStanding) {
        (self.finished, self.satisfied, self.header_due) = (stood.finished, stood.satisfied, stood.header_due);
        self.formatter.go_on(stood.is_begun);
        (self.rows, self.bytes, self.earlier) = (stood.rows, stood.bytes, stood.earlier);
    }

    /// Goes on with the file of a sink of another number of shards, on which this one counts on already.
    pub fn write_on(&mut self, stood: &SinkStanding) {
        self.header_due = stood.header_due;
        self.formatter.go_on(stood.is_begun);
        // Of an array it must be known that it has rows.
        self.rows = stood.rows;
        self.earlier.0 -= stood.rows;
    }

    /// What it has written counts, but not to this one's file.
    pub fn count_on(&mut self, stood: &SinkStanding) {
        self.earlier.0 += stood.rows + stood.earlier.0;
        self.earlier.1 += stood.bytes + stood.earlier.1;
    }

    /// An earlier run has come to the end of this sink's rows on all shards.
    pub fn has_finished(&mut self) {
        (self.finished, self.header_due) = (true, false);
    }
}
