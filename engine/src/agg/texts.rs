//! Long text held by MIN, MAX, FIRST_VALUE and LAST_VALUE.
//!
//! An accumulator's view of a long text names a cell here. A new value takes a fresh cell, so that
//! results of earlier rows of a chunk can still be read; the cells it has replaced are used again
//! once the chunk is done with.

use super::list::Lists;
use crate::batch::{INLINE_MAX, Text};

/// First word of an accumulator without a text yet: a length no text has.
pub(crate) const UNSET: u64 = u64::MAX;

/// Cells of long text.
#[derive(Default)]
pub(crate) struct Texts {
    cells: Vec<Vec<u8>>,
    free: Vec<u32>,
    replaced: Vec<u32>,
    /// What else does not fit in a group's row.
    pub(crate) lists: Lists,
}

impl Texts {
    /// The text of a view, unless it is unset.
    pub(crate) fn get(&self, words: [u64; 2]) -> Option<Text<'_>> {
        if words[0] == UNSET {
            None
        } else if words[0] as u32 as usize > INLINE_MAX {
            Some(Text::new(&self.cells[words[1] as usize]))
        } else {
            Some(Text::of_short(words))
        }
    }

    /// Replaces the text of a view.
    pub(crate) fn set(&mut self, words: &mut [u64; 2], text: Text<'_>) {
        if words[0] != UNSET && words[0] as u32 as usize > INLINE_MAX {
            self.replaced.push(words[1] as u32);
        }
        *words = text.words();
        if !text.is_inline() {
            let cell = self.free.pop().unwrap_or_else(|| {
                self.cells.push(Vec::new());
                self.cells.len() as u32 - 1
            });
            self.cells[cell as usize].clear();
            self.cells[cell as usize].extend_from_slice(text.as_bytes());
            words[1] = u64::from(cell);
        }
    }

    /// No result of the chunk is read any more: replaced cells may be used again.
    pub(crate) fn end_chunk(&mut self) {
        self.free.append(&mut self.replaced);
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.cells.clear();
        self.free.clear();
        self.replaced.clear();
        self.lists.clear();
    }

    /// Bytes held.
    pub(crate) fn memory(&self) -> usize {
        self.cells.iter().map(|cell| cell.capacity() + size_of::<Vec<u8>>()).sum::<usize>() + self.lists.memory()
    }
}
