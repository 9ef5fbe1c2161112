//! Checkpoints: everything a run knows at one point of its input, on the disk, and runs that go on.
//!
//! An *epoch* is one such point. The [`keeper`], a thread off the shards, calls it when it is due. Every
//! source stops between two chunks and lets a barrier follow the rows that it has read; the barrier goes
//! through every lane in order, and whoever is fed by several senders takes nothing from one whose barrier
//! has come until all have ([`crate::lane`], [`crate::shard`], [`crate::writer`]). What has ended counts
//! as standing behind every barrier. When a shard is reached from all sides it writes down where its
//! sources stand and how long its outputs are, *begins* to save what its operators hold, hands that to the
//! keeper and goes on at once. Between chunks of rows it then takes the state of that moment in parts
//! ([`corelane_engine::state`]), a few at a time and only while the keeper has room for them, so no pause grows
//! with the state; operators that cannot give theirs in parts write it down at the barrier. The keeper makes
//! bytes of the parts and writes them as they come; when it has the last of all it syncs the outputs
//! and the state, and then writes the manifest
//! ([`corelane_io::checkpoint`]): only that makes the epoch valid, and with it the outputs up to their cuts.
//! Files that have become whole take their names then ([`corelane_io::whole`]).
//! No epoch is called before the one in front of it is committed, so parts are always those of one; a shard
//! whose input ends takes its last parts before it tells its end.
//!
//! A run that goes on ([`recovery`]) takes the newest epoch, holds query, inputs and outputs against what
//! was recorded ([`job`]), cuts off what the outputs have behind their cuts, and begins there. Since the
//! order in which a shard reads is a function of the input, and nothing but the input decides what is
//! written, the outputs come to the same bytes as if nothing had happened.
//!
//! | module | what lives there |
//! |---|---|
//! | [`every`] | when an epoch is due |
//! | [`job`] | what a run was asked to do, as lines that can be compared |
//! | [`recovery`] | beginning, refusing, going on |
//! | [`moving`] | what goes where when there are more or fewer shards than before |
//! | [`record`] | what a shard knows besides its operators' state, as bytes; what a manifest says |
//! | [`report`] | what shards and the writer tell the keeper |
//! | [`keeper`] | calling and committing epochs |

pub mod every;
pub mod job;
pub mod keeper;
pub mod moving;
pub mod record;
pub mod recovery;
pub mod report;

use corelane_engine::state::Section;
use corelane_engine::{Code, Error};
use corelane_io::append::OpenCut;
use corelane_io::whole::OpenWhole;

pub use every::Every;
pub use keeper::{Keeper, Kept};
pub use recovery::Recovery;
pub use report::{Member, Reporter};

/// An epoch that is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its number; each is one more than the last.
    pub epoch: u64,
    /// The run ends at it.
    pub last: bool,
}

/// What a shard, or the writer, knows at a barrier or at its end.
#[derive(Debug, Default)]
pub struct State {
    /// What it holds.
    pub sections: Vec<Section>,
    /// Its outputs.
    pub cuts: Vec<OpenCut>,
    /// Its files that take their names when they are whole, as far as they are written.
    pub parts: Vec<OpenWhole>,
    /// Those that have become whole since the state before.
    pub whole: Vec<OpenWhole>,
    /// More follows in parts.
    pub has_parts: bool,
    /// How long it took no rows to write that down, in ticks.
    pub pause_ticks: u64,
}

impl State {
    /// Bytes of what it holds.
    pub fn bytes(&self) -> u64 {
        self.sections.iter().map(|section| section.bytes.len() as u64).sum()
    }
}

/// The error for bytes that are not what was written.
pub fn damaged(what: &str) -> Error {
    Error::new(Code::Io, format!("the checkpoint cannot be read: {what}"))
}
