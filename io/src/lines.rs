//! Which line of its file a row begins in.
//!
//! Nobody counts line ends until somebody asks. The first question in a split counts from its start
//! (and once each piece of the file before it); from then on the count moves along with the blocks,
//! so that many bad rows cost one look at each byte, not one at all bytes before them.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::csv::convert::MARGIN;
use crate::fs::{File, read_some};

/// Bytes read at a time to count lines.
const STEP: usize = 256 << 10;
/// A piece whose lines nobody has counted.
const UNKNOWN: u64 = u64::MAX;

/// Line ends in `bytes`.
pub(crate) fn count_lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

/// The pieces of one file and how many lines each has, as far as somebody has counted. Two shards
/// that count the same piece at the same time find the same.
#[derive(Debug)]
pub(crate) struct PieceLines {
    /// Offset of each piece's first row; the first one's is 0: the header belongs to it.
    starts: Vec<u64>,
    counts: Vec<AtomicU64>,
}

impl PieceLines {
    /// The pieces that begin at `starts`, in order.
    pub(crate) fn new(starts: impl IntoIterator<Item = u64>) -> Self {
        let mut starts: Vec<u64> = starts.into_iter().collect();
        if let Some(first) = starts.first_mut() {
            *first = 0;
        }
        PieceLines { counts: starts.iter().map(|_| AtomicU64::new(UNKNOWN)).collect(), starts }
    }

    /// The piece that `offset` lies in: its start, and the lines of the file before it.
    fn before(&self, file: &dyn File, offset: u64) -> Option<(u64, u64)> {
        let piece = self.starts.partition_point(|&start| start <= offset).checked_sub(1)?;
        let mut lines = 0;
        for earlier in 0..piece {
            let known = self.counts[earlier].load(Ordering::Relaxed);
            lines += if known == UNKNOWN {
                let counted = read_lines(file, self.starts[earlier], self.starts[earlier + 1])?;
                self.counts[earlier].store(counted, Ordering::Relaxed);
                counted
            } else {
                known
            };
        }
        Some((self.starts[piece], lines))
    }
}

/// Line ends of `file` in a range of offsets; `None` if it cannot be read.
fn read_lines(file: &dyn File, from: u64, to: u64) -> Option<u64> {
    let mut bytes = vec![0; STEP.min((to - from) as usize)];
    let (mut at, mut lines) = (from, 0);
    while at < to {
        let most = (to - at).min(bytes.len() as u64) as usize;
        let count = read_some(file, &mut bytes[..most], at).ok().filter(|&count| count > 0)?;
        lines += count_lines(&bytes[..count]);
        at += count as u64;
    }
    Some(lines)
}

/// Bytes of the file that are at hand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AtHand<'b> {
    /// Offset in the file of the first of `bytes` (wrapping: margins count).
    pub base: u64,
    /// A block with its margins.
    pub bytes: &'b [u8],
}

impl AtHand<'_> {
    /// Line ends in a range of offsets, if the block holds all of it.
    fn lines(&self, from: u64, to: u64) -> Option<u64> {
        let place = |offset: u64| usize::try_from(offset.wrapping_sub(self.base)).ok();
        let (from, to) = (place(from)?, place(to)?);
        (from >= MARGIN && from <= to && to <= self.bytes.len()).then(|| count_lines(&self.bytes[from..to]))
    }
}

/// Lines counted along one split.
#[derive(Debug)]
pub(crate) struct LineCount {
    /// The file's pieces; `None` for a stream, which cannot be read again and so is counted from the start.
    pieces: Option<std::sync::Arc<PieceLines>>,
    /// An offset, and the line ends of the file before it.
    counted: Cell<Option<(u64, u64)>>,
}

impl LineCount {
    /// Of a split of a file.
    pub(crate) fn of_file(pieces: std::sync::Arc<PieceLines>) -> Self {
        LineCount { pieces: Some(pieces), counted: Cell::new(None) }
    }

    /// Of a stream whose rows begin at `start`, with `lines` line ends before.
    pub(crate) fn of_stream(start: u64, lines: u64) -> Self {
        LineCount { pieces: None, counted: Cell::new(Some((start, lines))) }
    }

    /// Number, from 1, of the line that begins at `offset`.
    pub(crate) fn line(&self, file: &dyn File, at_hand: AtHand<'_>, offset: u64) -> Option<u64> {
        let (from, lines) = match (self.counted.get(), &self.pieces) {
            (Some(counted), _) => counted,
            (None, Some(pieces)) => pieces.before(file, offset)?,
            (None, None) => return None,
        };
        let between = |from, to| at_hand.lines(from, to).or_else(|| read_lines(file, from, to));
        if offset < from {
            // Bad and late rows of a batch come one list after the other.
            return Some(lines.checked_sub(between(offset, from)?)? + 1);
        }
        let lines = lines + between(from, offset)?;
        self.counted.set(Some((offset, lines)));
        Some(lines + 1)
    }

    /// The block goes, up to `offset`: what is counted moves on while its bytes are still at hand.
    pub(crate) fn leave(&self, at_hand: AtHand<'_>, offset: u64) {
        let Some((from, lines)) = self.counted.get() else { return };
        let passed = if from <= offset { at_hand.lines(from, offset) } else { None };
        if let Some(passed) = passed {
            self.counted.set(Some((offset, lines + passed)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::{Disk, MemoryDisk};

    #[test]
    fn lines_are_found_forwards_backwards_and_over_pieces() {
        let text: String = (0..200).map(|number| format!("{}\n", "x".repeat(number % 7))).collect();
        let starts: Vec<u64> = text.match_indices('\n').map(|(at, _)| at as u64 + 1).collect();
        let disk = MemoryDisk::new().with("t", text.as_str());
        let file = disk.open("t").unwrap();
        let pieces = std::sync::Arc::new(PieceLines::new([0, starts[59], starts[119]]));
        let nothing = AtHand { base: 0, bytes: &[] };
        for order in [vec![0, 5, 3, 150, 149, 130, 198], vec![198], vec![130, 131], vec![61, 20, 70]] {
            let count = LineCount::of_file(std::sync::Arc::clone(&pieces));
            for row in order {
                assert_eq!(count.line(&*file, nothing, starts[row]), Some(row as u64 + 2), "row {row}");
            }
        }
    }
}
