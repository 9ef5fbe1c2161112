//! The state of operators as bytes: written at one point of the input, read back by another process.
//!
//! What a pipeline holds is a list of [`Section`]s. State that belongs to keys stands in one section
//! per operator and key group, so that key groups can be dealt anew; the rest of an operator's state
//! stands in one section of its own. Inside a section stand rows of a table or of a buffer, column by
//! column, in the form that [`bytes`] and `columns` give them: no memory layout is written, so no
//! bytes can do harm when they are read. Hashes, indices and places are worked out again. A pipeline on
//! another number of shards takes its part of what all shards have saved (`moved`).
//!
//! Invariants: state is taken and given back only while nothing is due, so output on its way never
//! belongs to it. Whatever the bytes are, reading them ends in state or in an error; a length is held
//! against the bytes that are left before anything is allocated for it.

pub mod bytes;
pub(crate) mod columns;
mod moved;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use bytes::{Reader, Writer};
pub use columns::{read_batch, write_chunk};
pub use moved::Moved;

use crate::error::{Code, Error, Result};
use crate::hash::KEY_GROUPS;
use crate::plan::NodeId;

/// A piece of the state of one operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// The operator.
    pub node: NodeId,
    /// The key group whose keys it is about, below [`KEY_GROUPS`]; `None` for what has no key.
    pub key_group: Option<u16>,
    /// What is known.
    pub bytes: Vec<u8>,
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
        let groups = self.groups.into_iter().map(|(group, writer)| (Some(group), writer));
        let all = std::iter::once((None, self.whole)).chain(groups);
        all.filter(|(_, writer)| !writer.is_empty()).map(move |(key_group, writer)| Section {
            node,
            key_group,
            bytes: writer.into_bytes(),
        })
    }
}

/// The state of one operator being read.
#[derive(Default)]
pub struct Saved<'a> {
    whole: &'a [u8],
    groups: BTreeMap<u16, &'a [u8]>,
}

impl<'a> Saved<'a> {
    /// The sections of operator `node` among all.
    pub(crate) fn of(node: NodeId, sections: &'a [Section]) -> Result<Saved<'a>> {
        let mut saved = Saved::default();
        for section in sections.iter().filter(|section| section.node == node) {
            let known = match section.key_group {
                None => !std::mem::replace(&mut saved.whole, &section.bytes).is_empty(),
                Some(group) if usize::from(group) >= KEY_GROUPS => return Err(damaged("a key group does not exist")),
                Some(group) => saved.groups.insert(group, &section.bytes).is_some(),
            };
            if known {
                return Err(damaged("a section stands there twice"));
            }
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

    /// Nothing was held.
    pub fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.groups.is_empty()
    }
}

/// The error for bytes that are not what was written.
pub(crate) fn damaged(what: &str) -> Error {
    Error::new(Code::Io, format!("the saved state cannot be read: {what}"))
}
