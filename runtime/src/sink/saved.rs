//! What a sink has done up to a barrier, written and taken up again.

use corelane_engine::Result;
use corelane_engine::state::{Reader, Writer};
use corelane_io::append::OpenCut;

use super::{Destination, Parcel, ShardSink};
use crate::checkpoint::Call;

impl ShardSink {
    /// Everything so far belongs to the epoch of `call`: it is written or on its way, and the writer is
    /// told.
    pub fn barrier(&mut self, call: Call) -> Result<()> {
        self.flush()?;
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

    /// Writes what is to be known besides. Only behind [`ShardSink::barrier`].
    pub fn save(&self, to: &mut Writer) {
        to.flag(self.finished);
        to.flag(self.satisfied);
        to.flag(self.header_due);
        to.flag(self.formatter.is_begun());
        to.word(self.rows);
        to.word(self.bytes);
    }

    /// Takes over what the same sink of another run wrote. Only on a new one.
    pub fn restore(&mut self, from: &mut Reader<'_>) -> Result<()> {
        (self.finished, self.satisfied, self.header_due) = (from.flag()?, from.flag()?, from.flag()?);
        self.formatter.go_on(from.flag()?);
        (self.rows, self.bytes) = (from.word()?, from.word()?);
        Ok(())
    }
}
