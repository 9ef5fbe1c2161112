//! Splits: what one shard reads in one go, defined by the input alone.
//!
//! A large file is always cut into pieces of a fixed size, however many shards there are, because
//! time, and so lateness, belongs to the split. A piece holds the rows that *begin* in it: it
//! starts at the first of them and ends where the next piece starts. Both ends are settled before
//! anything is read. A line end may stand in quotes; where the head of a file has quotes, row ends
//! are found by reading the whole file once, else by looking at the bytes at the cut alone, and then
//! the reader of the piece before it finds an open quote at its end if that was wrong.

use corelane_engine::Result;

use crate::csv::index::{Index, PADDING};
use crate::csv::{Dialect, Kernel};
use crate::fs::{File, read_full};

/// Bytes of a piece: larger files are cut.
pub const PIECE_BYTES: u64 = 64 << 20;

/// Identifiers a split of unknown length takes, so that positions in it stay apart from others.
const STREAM_IDS: u32 = 1 << 12;
/// Bytes looked at in one go.
const STEP: usize = 256 << 10;

/// A piece of a file, or all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// Rises in order of (piece, file). A row's position is `id << 32` plus its offset in the
    /// split; splits of 4 GiB and more take several identifiers.
    pub id: u32,
    /// Which of the source's files.
    pub file: usize,
    /// Which piece of it.
    pub piece: u32,
    /// Offset in the file of the first row.
    pub start: u64,
    /// Offset in the file behind the last row; `None` until the end of a stream.
    pub end: Option<u64>,
}

/// Bits of an identifier that tell the splits of one table apart: 16 million pieces, a pebibyte.
const ID_BITS: u32 = 24;

/// The identifier of a split in a scan of this turn (see [`corelane_engine::plan::Scan::turn`]).
pub fn id_in_turn(id: u32, turn: u8) -> u32 {
    id.saturating_add(u32::from(turn) << ID_BITS)
}

/// Which splits each shard reads, as positions in `splits`, in order. With at least as many files as
/// shards a file stays on one shard; else pieces go round.
pub fn deal(splits: &[Split], files: usize, shards: usize) -> Vec<Vec<usize>> {
    assert!(shards > 0);
    let mut dealt = vec![Vec::new(); shards];
    for (number, split) in splits.iter().enumerate() {
        let shard = if files >= shards { split.file % shards } else { number % shards };
        dealt[shard].push(number);
    }
    dealt
}

/// Puts pieces in order and gives them their identifiers. `pieces[file]` are (piece, start, end).
pub(crate) fn number(pieces: &[Vec<(u32, u64, Option<u64>)>]) -> Vec<Split> {
    let mut splits = Vec::new();
    for (file, pieces) in pieces.iter().enumerate() {
        splits.extend(pieces.iter().map(|&(piece, start, end)| Split { id: 0, file, piece, start, end }));
    }
    splits.sort_by_key(|split| (split.piece, split.file));
    let mut id = 0;
    for split in &mut splits {
        split.id = id;
        id += split.end.map_or(STREAM_IDS, |end| ((end - split.start) >> 32) as u32 + 1);
    }
    splits
}

/// Cuts the rows of `file`, which begin at `body`, into pieces of `piece` bytes: (piece, start, end).
pub(crate) fn cut(
    file: &dyn File,
    len: u64,
    body: u64,
    piece: u64,
    quotes: Option<(Dialect, Kernel)>,
) -> Result<Vec<(u32, u64, Option<u64>)>> {
    let nominal: Vec<u64> = (1..len.div_ceil(piece)).map(|number| number * piece).collect();
    let starts = match quotes {
        None => nominal.iter().map(|&from| next_row(file, from.max(body), body)).collect::<Result<Vec<_>>>()?,
        Some((dialect, kernel)) => row_starts(file, len, body, &nominal, dialect, kernel)?,
    };
    let ends = starts.iter().copied().chain([len]);
    let pieces = (0u32..).zip([body].into_iter().chain(starts.iter().copied()).zip(ends));
    let pieces = pieces.map(|(number, (start, end))| (number, start.min(len), Some(end.min(len))));
    // A row longer than a piece leaves pieces without a row of their own.
    Ok(pieces.filter(|(number, start, end)| *number == 0 || Some(*start) < *end).collect())
}

/// Where the first row at or after `from` begins, taking every line end for the end of a row.
fn next_row(file: &dyn File, from: u64, body: u64) -> Result<u64> {
    if from <= body {
        return Ok(body);
    }
    let mut bytes = vec![0; 4 << 10];
    let mut at = from - 1;
    loop {
        let count = read_full(file, &mut bytes, at)?;
        if let Some(found) = memchr::memchr(b'\n', &bytes[..count]) {
            return Ok(at + found as u64 + 1);
        }
        if count < bytes.len() {
            return Ok(at + count as u64);
        }
        at += count as u64;
        bytes.resize(STEP, 0);
    }
}

/// The same for every offset in `wanted`, heeding quotes: reads the file from the start.
fn row_starts(
    file: &dyn File,
    len: u64,
    body: u64,
    wanted: &[u64],
    dialect: Dialect,
    kernel: Kernel,
) -> Result<Vec<u64>> {
    let mut starts = Vec::with_capacity(wanted.len());
    let mut bytes = vec![0; PADDING + STEP + PADDING];
    let mut index = Index::default();
    index.restart(PADDING);
    let mut at = body;
    while starts.len() < wanted.len() {
        let count = read_full(file, &mut bytes[PADDING..PADDING + STEP], at)?;
        let end = PADDING + count;
        while index.at < end {
            index.count = 0;
            index.extend(kernel, &bytes, end, 16 << 10, &dialect);
            for &entry in &index.entries[1..=index.count] {
                if bytes[entry as usize] != b'\n' {
                    continue;
                }
                let row = at + u64::from(entry) - PADDING as u64 + 1;
                while wanted.get(starts.len()).is_some_and(|&wanted| wanted <= row) {
                    starts.push(row);
                }
            }
        }
        at += count as u64;
        if count < STEP {
            starts.resize(wanted.len(), len);
        }
        bytes[PADDING - 1] = bytes[end - 1];
        index.carry(count, PADDING);
    }
    Ok(starts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::{Disk, MemoryDisk};

    fn scalar() -> Kernel {
        Kernel::named("scalar").unwrap()
    }

    fn pieces(text: &str, body: u64, piece: u64, quotes: bool) -> Vec<String> {
        let file = MemoryDisk::new().with("f", text).open("f").unwrap();
        let quotes = quotes.then_some((Dialect::default(), scalar()));
        let cut = cut(&*file, text.len() as u64, body, piece, quotes).unwrap();
        cut.iter().map(|&(_, start, end)| text[start as usize..end.unwrap() as usize].to_owned()).collect()
    }

    #[test]
    fn pieces_hold_the_rows_that_begin_in_them() {
        let text = "h\n1,a\n22,b\n333,c\n4\n5\n";
        for quotes in [false, true] {
            assert_eq!(pieces(text, 2, 6, quotes), ["1,a\n", "22,b\n333,c\n", "4\n", "5\n"], "{quotes}");
            assert_eq!(pieces("h\naaaaaaaaaaaaaaa\nb", 2, 4, quotes), ["aaaaaaaaaaaaaaa\n", "b"]);
            assert_eq!(pieces("", 0, 4, quotes), [""]);
            for piece in 1..=text.len() as u64 {
                let pieces = pieces(text, 2, piece, quotes);
                assert_eq!(pieces.concat(), text[2..]);
                assert!(pieces.iter().all(|piece| piece.is_empty() || piece.ends_with('\n')));
            }
        }
    }

    #[test]
    fn quoted_line_ends_do_not_end_a_piece() {
        let text = "1,\"a\nb\"\"\n\",x\n2,\"\n\n\n\"\n3,c\n";
        let rows = ["1,\"a\nb\"\"\n\",x\n", "2,\"\n\n\n\"\n", "3,c\n"];
        for piece in 1..=text.len() as u64 {
            for piece in pieces(text, 0, piece, true) {
                let mut rest = piece.as_str();
                while !rest.is_empty() {
                    let row = rows.iter().find(|row| rest.starts_with(**row)).expect("whole rows");
                    rest = &rest[row.len()..];
                }
            }
        }
    }

    #[test]
    fn splits_are_numbered_by_piece_then_file_and_dealt_without_loss() {
        let gib = 1u64 << 30;
        let files = [vec![(0, 0, Some(5)), (1, 5, Some(9))], vec![(0, 0, Some(9 * gib))], vec![(0, 0, None)]];
        let splits = number(&files);
        let order: Vec<_> = splits.iter().map(|split| (split.piece, split.file, split.id)).collect();
        assert_eq!(order, [(0, 0, 0), (0, 1, 1), (0, 2, 4), (1, 0, 4 + STREAM_IDS)]);
        assert_eq!(deal(&splits, 3, 2), [vec![0, 2, 3], vec![1]]);
        assert_eq!(deal(&splits, 3, 4), [vec![0], vec![1], vec![2], vec![3]]);
    }
}
