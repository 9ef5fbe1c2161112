//! What stands in a checkpoint besides the operators' state.
//!
//! A shard's file holds its operators' sections, and behind them one of its own ([`OWN`]): where its
//! sources stand, what its inboxes know and hold, which of its outboxes are closed, what its sinks have
//! done. The file behind the last shard's is the writer's, where there is one: a section per merged output
//! with the rows that wait for their turn. The manifest says where each output is cut ([`Committed`]).

use corelane_engine::Result;
use corelane_engine::state::{Reader, Writer};
use corelane_io::append::Cut;

/// The node of a shard's own section.
pub const OWN: usize = u32::MAX as usize;

/// What a manifest says of its epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// The run has come to the end of its input: there is nothing to go on with.
    pub is_finished: bool,
    /// The outputs.
    pub cuts: Vec<Cut>,
}

impl Committed {
    /// As bytes.
    pub fn save(&self) -> Vec<u8> {
        let mut to = Writer::default();
        to.flag(self.is_finished);
        to.count(self.cuts.len());
        self.cuts.iter().for_each(|cut| cut.save(&mut to));
        to.into_bytes()
    }

    /// From bytes.
    pub fn load(bytes: &[u8]) -> Result<Committed> {
        let mut from = Reader::new(bytes);
        let is_finished = from.flag()?;
        let mut cuts = Vec::new();
        for _ in 0..from.count(32)? {
            cuts.push(Cut::load(&mut from)?);
        }
        from.end()?;
        Ok(Committed { is_finished, cuts })
    }
}
