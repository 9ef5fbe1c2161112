//! The state of operators as bytes: written at one point of the input, read back by another process.
//!
//! What a pipeline holds is a list of [`Section`]s. State that belongs to keys stands in one section
//! per operator and key group, so that key groups can be dealt anew, or in parts; the rest of an operator's
//! state stands in one section of its own. Inside a section stand rows of a table or of a buffer, column by
//! column, in the form that [`bytes`] and `columns` give them: no memory layout is written, so no
//! bytes can do harm when they are read. Hashes, indices and places are worked out again. A pipeline on
//! another number of shards takes its part of what all shards have saved (`moved`).
//!
//! # Parts
//!
//! State may be gigabytes, and nobody may wait until all of it is bytes. So saving *begins* at a point of
//! the input ([`crate::pipeline::Pipeline::begin_save`]), and then rows go on coming while the state of that
//! point is taken in [`Part`]s of a bounded size ([`crate::pipeline::Pipeline::save_part`]). A part is a copy of
//! words, which costs what copying memory costs; another thread makes bytes of it ([`Part::section`]).
//!
//! | state | how it is saved |
//! |---|---|
//! | GROUP BY and windows (TUMBLE, HOP, CUMULATE), in all phases; GROUP BY that takes rows out again | in parts: a group that a row is about to change is copied first, if no part has it yet (`agg::parts`) |
//! | sessions, OVER, joins, ranks, sorts, rows held for changes | whole, when saving begins |
//!
//! A group is copied once whoever comes first, the parts or a row: saving costs one copy of the state, on
//! whichever side. Nothing of it is looked at while no saving is under way but one pointer per window and
//! chunk of rows.
//!
//! Invariants: state is taken and given back only while nothing is due, so output on its way never
//! belongs to it. All parts together are the state of the point where saving began, whatever came since.
//! Whatever the bytes are, reading them ends in state or in an error; a length is held
//! against the bytes that are left before anything is allocated for it.

pub mod bytes;
pub(crate) mod columns;
mod moved;
#[cfg(test)]
mod taken;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use bytes::{Reader, Writer};
pub use columns::{read_batch, write_chunk};
pub use moved::Moved;

use crate::agg;
use crate::error::{Code, Error, Result};
use crate::hash::KEY_GROUPS;
use crate::plan::NodeId;

/// Bytes of a part, unless something else is said: some tens of microseconds to copy.
pub const PART_BYTES: usize = 256 << 10;

/// A piece of the state of one operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// The operator.
    pub node: NodeId,
    /// What of the operator it is about.
    pub scope: Scope,
    /// What is known.
    pub bytes: Vec<u8>,
}

/// What of an operator a section is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// What has no key.
    Whole,
    /// The keys of a key group, below [`KEY_GROUPS`].
    KeyGroup(u16),
    /// Some of its keys, of whatever key groups; parts are counted from 0.
    Part(u32),
}

/// Some of an operator's state at the point where saving began, not yet bytes.
pub struct Part {
    pub(crate) node: NodeId,
    pub(crate) number: u32,
    pub(crate) body: agg::Taken,
}

impl Part {
    /// Bytes held.
    pub fn memory(&self) -> usize {
        self.body.memory()
    }

    /// Makes bytes of it.
    pub fn section(&self) -> Section {
        let mut to = Writer::default();
        self.body.save(&mut to);
        Section { node: self.node, scope: Scope::Part(self.number), bytes: to.into_bytes() }
    }
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "part {} of node {}, {} bytes", self.number, self.node, self.memory())
    }
}

/// The state of one operator being written.
#[derive(Default)]
pub struct State {
    whole: Writer,
    groups: BTreeMap<u16, Writer>,
}

impl State {
    /// For what belongs to no key.
    pub fn whole(&mut self) -> &mut Writer {
        &mut self.whole
    }

    /// For what belongs to the keys of a key group.
    pub fn group(&mut self, key_group: u16) -> &mut Writer {
        self.groups.entry(key_group).or_default()
    }

    /// The sections of operator `node`; none for what was not written.
    pub(crate) fn sections(self, node: NodeId) -> impl Iterator<Item = Section> {
        let groups = self.groups.into_iter().map(|(group, writer)| (Scope::KeyGroup(group), writer));
        let all = std::iter::once((Scope::Whole, self.whole)).chain(groups);
        all.filter(|(_, writer)| !writer.is_empty()).map(move |(scope, writer)| Section {
            node,
            scope,
            bytes: writer.into_bytes(),
        })
    }
}

/// The state of one operator being read.
#[derive(Default)]
pub struct Saved<'a> {
    whole: &'a [u8],
    groups: BTreeMap<u16, &'a [u8]>,
    parts: BTreeMap<u32, &'a [u8]>,
}

impl<'a> Saved<'a> {
    /// The sections of operator `node` among all.
    pub(crate) fn of(node: NodeId, sections: &'a [Section]) -> Result<Saved<'a>> {
        let mut saved = Saved::default();
        for section in sections.iter().filter(|section| section.node == node) {
            let known = match section.scope {
                Scope::Whole => !std::mem::replace(&mut saved.whole, &section.bytes).is_empty(),
                Scope::KeyGroup(group) if usize::from(group) >= KEY_GROUPS => {
                    return Err(damaged("a key group does not exist"));
                }
                Scope::KeyGroup(group) => saved.groups.insert(group, &section.bytes).is_some(),
                Scope::Part(part) => saved.parts.insert(part, &section.bytes).is_some(),
            };
            if known {
                return Err(damaged("a section stands there twice"));
            }
        }
        if saved.parts.iter().zip(0..).any(|((&part, bytes), number)| part != number || bytes.is_empty()) {
            return Err(damaged("a part is missing"));
        }
        Ok(saved)
    }

    /// What belongs to no key.
    pub fn whole(&self) -> Reader<'a> {
        Reader::new(self.whole)
    }

    /// What belongs to keys, in order of key groups.
    pub fn groups(&self) -> impl Iterator<Item = (u16, Reader<'a>)> {
        self.groups.iter().map(|(&group, bytes)| (group, Reader::new(bytes)))
    }

    /// What was taken in parts, in their order.
    pub fn parts(&self) -> impl Iterator<Item = Reader<'a>> {
        self.parts.values().map(|bytes| Reader::new(bytes))
    }

    /// Nothing was held.
    pub fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.groups.is_empty() && self.parts.is_empty()
    }
}

/// The error for bytes that are not what was written.
pub(crate) fn damaged(what: &str) -> Error {
    Error::new(Code::Io, format!("the saved state cannot be read: {what}"))
}
