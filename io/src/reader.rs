//! Rows of one split: a machine that is fed bytes and gives typed chunks.
//!
//! It does no I/O, so whoever runs it may fill its block by any kind of read: [`SplitReader::want`]
//! says which bytes go where, [`SplitReader::filled`] that they are there, [`SplitReader::next`]
//! gives the rows of the block, up to 1,024 at a time, until it needs bytes again. Short text and
//! numbers stand in the chunk; long text points into the block, so a chunk borrows its reader.
//!
//! A block has margins of readable bytes on both sides; the row that is cut off at its end moves to
//! the front before the next bytes are read behind it. The first thing after a read that fails the
//! declared shape is a bad row: it is left out, counted and handed to the caller with its raw bytes
//! and reason. Whether that ends the run is the caller's choice.

use std::sync::Arc;

use bumpalo::Bump;
use corelane_engine::batch::{BATCH_ROWS, Chunk};
use corelane_engine::operator::{Context, Time};
use corelane_engine::plan::{Scan, ScanColumn};
use corelane_engine::scan::{Scanner, Selected, SplitTime};
use corelane_engine::stage::{Copied, Stage};
use corelane_engine::{Code, Error, Result};

use crate::bad::{BadRow, LateRow, Origin};
use crate::csv::convert::{Every, Fault, Listed, MARGIN};
use crate::csv::index::Index;
use crate::csv::{Dialect, Kernel, Reason};
use crate::fs::{File, read_failed, read_full};
use crate::lines::{AtHand, LineCount, PieceLines, count_lines};
use crate::options::OnError;
use crate::pass::{self, Decide, Pass};
use crate::split::Split;

/// Bytes read at a time unless said otherwise.
pub const BLOCK_BYTES: usize = 256 << 10;
/// Room for the row that was cut off at the end of the last block.
const CARRY_BYTES: usize = 16 << 10;
/// Entries of the index at work on one batch, at most, so that wide rows stay within the cache.
const ENTRIES_MOST: usize = 32 << 10;

/// What a reader needs to know of its split.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub file: Arc<dyn File>,
    pub split: Split,
    /// The pieces of the file, to count its lines by.
    pub pieces: Arc<PieceLines>,
    pub dialect: Dialect,
    pub kernel: Kernel,
    /// Fields of every row.
    pub fields: usize,
    /// What stands for NULL.
    pub null: Vec<u8>,
    /// The scan's columns.
    pub columns: Vec<ScanColumn>,
    /// Where each of them stands in the file; `None` where it is missing and NULL.
    pub bound: Vec<Option<usize>>,
    pub line_limit: usize,
    pub block: usize,
}

/// Reads the rows of one split.
#[derive(Debug)]
pub struct SplitReader {
    layout: Layout,
    buffer: Vec<u8>,
    index: Index,
    /// One past the last byte in the buffer.
    end: usize,
    /// Offset in the file of the next byte to read.
    offset: u64,
    /// No bytes will come any more.
    ended: bool,
    hungry: bool,
    lines: LineCount,
    stamp: u64,
    /// Bytes moved to the front of a block since the last rows were given out.
    carried: usize,
    batch_rows: usize,
    /// Rows of an irregular stretch, as entries of the index.
    rows: Vec<u32>,
    faults: Vec<Fault>,
    stamps: Stamps,
}

/// Bytes that a reader waits for.
#[derive(Debug)]
pub struct Want<'r> {
    /// Where in the file they begin.
    pub offset: u64,
    /// Where they go. Stays where it is in memory until [`SplitReader::filled`] is called.
    pub into: &'r mut [u8],
}

/// What came of one call to [`SplitReader::next`].
#[derive(Debug)]
pub enum Step<'a> {
    /// Rows, possibly all of them filtered, late or bad.
    Rows(Scanned<'a>),
    /// The block is used up: ask [`SplitReader::want`].
    NeedBytes,
    /// The split has ended.
    End,
}

/// Up to 1,024 rows of a split, and what became of them.
#[derive(Debug)]
pub struct Scanned<'a> {
    /// The rows that go on: the scan's columns, then the event time where the table has one. Where
    /// the scan needs ordinals, these count from 0 among the well-formed rows of this step.
    pub chunk: Chunk<'a>,
    /// How many rows were read, and how many did not go on.
    pub counts: Counts,
    /// The rows that came too late, in order.
    pub late: &'a [LateRow<'a>],
    /// The rows that are not as declared, in order.
    pub bad: &'a [BadRow<'a>],
    /// Event time of the first good row, late and filtered ones included.
    pub first_time: Option<Time>,
    /// How many rows were stamped: all but those whose eager columns could not be converted.
    pub stamped: usize,
}

/// How rows are stamped that are read now: the first of them with `first_us`, each later one with
/// `step_us` more, all in whole grains. Microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Stamps {
    /// Of the first row, before it is cut to a grain.
    pub first_us: Time,
    /// From row to row.
    pub step_us: i64,
    /// What a stamp is a multiple of.
    pub grain_us: i64,
}

impl Stamps {
    /// Those of the next `rows` rows.
    pub(crate) fn column<'a>(&self, rows: usize, scratch: &'a Bump) -> &'a [Time] {
        let Stamps { first_us, step_us, grain_us } = *self;
        let stamp = |row: usize| {
            let time = first_us.saturating_add(step_us.saturating_mul(row as i64));
            time.div_euclid(grain_us).saturating_mul(grain_us)
        };
        match step_us {
            0 => scratch.alloc_slice_fill_copy(rows, stamp(0)),
            _ => scratch.alloc_slice_fill_with(rows, stamp),
        }
    }
}

impl Default for Stamps {
    fn default() -> Self {
        Stamps { first_us: 0, step_us: 0, grain_us: 1 }
    }
}

/// Rows of a scan, and what became of them: `read = bad + filtered + late + delivered`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All of them.
    pub read: u64,
    /// Not as declared.
    pub bad: u64,
    /// Dropped by WHERE.
    pub filtered: u64,
    /// Too late.
    pub late: u64,
    /// Gone on.
    pub delivered: u64,
}

impl Scanned<'_> {
    /// The error of the first bad row, where bad rows are errors.
    pub fn check(&self, on_error: OnError) -> Result<()> {
        match (on_error, self.bad.first()) {
            (OnError::Fail, Some(bad)) => Err(bad.to_error()),
            _ => Ok(()),
        }
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.read += other.read;
        self.bad += other.bad;
        self.filtered += other.filtered;
        self.late += other.late;
        self.delivered += other.delivered;
    }
}

/// The rows found at the front of the index.
pub(crate) struct Found {
    /// Rows that are as long as they should be.
    pub rows: usize,
    /// They are all there is, so that row `r` begins at entry `r * fields`.
    regular: bool,
    /// Rows seen, blank lines left out.
    read: usize,
    pub consumed: usize,
    newlines: usize,
}

impl SplitReader {
    pub(crate) fn new(layout: Layout) -> Result<Self> {
        let empty = layout.split.end == Some(layout.split.start);
        let buffer = vec![0; MARGIN + CARRY_BYTES + layout.block + 1 + MARGIN];
        let mut index = Index { fields: layout.fields, ..Index::default() };
        index.restart(MARGIN);
        let lines = if layout.file.len().is_none() {
            // The header, which stands in the part of the stream that can be read again.
            let mut header = vec![0; layout.split.start as usize];
            read_full(&*layout.file, &mut header, 0)?;
            LineCount::of_stream(layout.split.start, count_lines(&header))
        } else {
            LineCount::of_file(Arc::clone(&layout.pieces))
        };
        Ok(SplitReader {
            buffer,
            index,
            end: MARGIN,
            offset: layout.split.start,
            ended: empty,
            hungry: !empty,
            lines,
            stamp: 0,
            carried: 0,
            batch_rows: (ENTRIES_MOST / layout.fields.max(1)).clamp(1, BATCH_ROWS),
            rows: Vec::new(),
            faults: Vec::new(),
            stamps: Stamps::default(),
            layout,
        })
    }

    /// Begins at `offset` in the file, where a row of the split begins or its end is. Only on a new
    /// reader of a file that can be read by offset.
    pub fn begin_at(&mut self, offset: u64) -> Result<()> {
        let Split { start, end, .. } = self.layout.split;
        // Behind the end by one is where a last row without a line end leaves a reader.
        let last = end.filter(|&end| (start..=end + 1).contains(&offset) && self.layout.file.len().is_some());
        let Some(end) = last else {
            let message = format!("`{}` has no row at byte {offset} in its split", self.layout.file.name());
            return Err(Error::new(Code::Io, message));
        };
        self.offset = offset.min(end);
        self.ended = self.offset == end;
        self.hungry = !self.ended;
        Ok(())
    }

    /// Has the next rows be stamped so, where the scan wants to know when they were read.
    pub fn stamp_rows(&mut self, stamps: Stamps) {
        self.stamps = stamps;
    }

    /// Lets the next steps read no more than `rows` rows each, at least one.
    pub fn limit_rows(&mut self, rows: usize) {
        self.batch_rows = (ENTRIES_MOST / self.layout.fields.max(1)).min(BATCH_ROWS).min(rows).max(1);
    }

    /// The split it reads.
    pub fn split(&self) -> &Split {
        &self.layout.split
    }

    /// The file it reads.
    pub fn file(&self) -> &Arc<dyn File> {
        &self.layout.file
    }

    /// Offset in the file of the first row that has not been given out.
    pub fn position(&self) -> u64 {
        self.offset - (self.end - self.index.first.min(self.end)) as u64
    }

    /// Bytes of memory held.
    pub fn bytes(&self) -> usize {
        self.buffer.capacity() + 4 * (self.index.entries.capacity() + self.rows.capacity())
    }

    /// The bytes to read next; `None` while there are rows to take or after the end. Fewer may be
    /// given, but none only at the end of the file.
    pub fn want(&mut self) -> Result<Option<Want<'_>>> {
        if !self.hungry {
            return Ok(None);
        }
        self.compact()?;
        let left = self.layout.split.end.map_or(u64::MAX, |end| end - self.offset);
        let rest = self.end - MARGIN;
        let count = left.min(self.layout.block.max(rest) as u64) as usize;
        let into = &mut self.buffer[self.end..self.end + count];
        Ok(Some(Want { offset: self.offset, into }))
    }

    /// Says that `count` bytes have been read into what [`SplitReader::want`] gave, at the time
    /// `stamp` of the time-stamp counter (0 if not measured).
    pub fn filled(&mut self, count: usize, stamp: u64) -> Result<()> {
        self.end += count;
        self.offset += count as u64;
        self.stamp = stamp;
        self.hungry = false;
        match self.layout.split.end {
            Some(end) if count == 0 => {
                let name = self.layout.file.name();
                let message = format!("`{name}` became shorter while it was read: {} bytes, were {end}", self.offset);
                return Err(Error::new(Code::Io, message));
            }
            Some(end) => self.ended = self.offset == end,
            None => self.ended = count == 0,
        }
        let cut_off = self.end > self.index.first && self.buffer[self.end - 1] != b'\n';
        if self.ended && cut_off {
            // The last row may lack its line end; behind it nothing is ever read. Its bytes do not
            // count as the file's, but the reader's position only matters up to here.
            self.buffer[self.end] = b'\n';
            self.end += 1;
            self.offset += 1;
        }
        Ok(())
    }

    /// Reads what is wanted from the split's own file, waiting for it.
    pub fn fill(&mut self, ledger: &corelane_engine::stage::Ledger) -> Result<()> {
        let before = ledger.enter(Stage::Read);
        let file = self.layout.file.clone();
        if let Some(want) = self.want()? {
            let offset = want.offset;
            let count = loop {
                match file.read_at(want.into, offset) {
                    Ok(count) => break count,
                    Err(cause) if cause.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(cause) => return Err(read_failed(file.name(), offset, &cause)),
                }
            };
            self.filled(count, ledger.now())?;
        }
        ledger.enter(before);
        Ok(())
    }

    /// Moves the unfinished row to the front, and makes room behind it.
    fn compact(&mut self) -> Result<()> {
        let first = self.index.first;
        let at_hand = AtHand { base: self.offset.wrapping_sub(self.end as u64), bytes: &self.buffer };
        self.lines.leave(at_hand, at_hand.base.wrapping_add(first as u64));
        let rest = self.end - first;
        if rest > self.layout.line_limit {
            let at = self.offset - rest as u64;
            let message = format!(
                "{}: the row at byte {at} is longer than {} bytes",
                self.layout.file.name(),
                self.layout.line_limit
            );
            let error = Error::new(Code::Limit, message)
                .help("raise the limit with --line-limit, or with 'line.limit' for one table");
            return Err(error.note(
                "a quote that is never closed makes all that follows one row; 'quote' = 'none' takes quotes as text",
            ));
        }
        self.buffer.copy_within(first..self.end, MARGIN);
        self.carried += rest;
        self.end = MARGIN + rest;
        // Doubling keeps the copying of a long row linear in its length.
        let needed = self.end + self.layout.block.max(rest) + 1 + MARGIN;
        if self.buffer.len() < needed {
            self.buffer.resize(needed, 0);
        }
        self.index.restart(MARGIN);
        Ok(())
    }

    /// The next rows: those that `scanner` lets go on, converted, and what became of the others.
    /// Moves `time`, the split's own.
    pub fn next<'a>(&'a mut self, scanner: &Scanner, time: &mut SplitTime, context: &Context<'a>) -> Result<Step<'a>> {
        let decide = |eager: &Chunk<'a>| scanner.select(eager, time, context);
        self.next_decided(scanner.scan(), context, decide)
    }

    /// The same with any way to decide which rows go on.
    pub(crate) fn next_decided<'a>(
        &'a mut self,
        scan: &Scan,
        context: &Context<'a>,
        mut decide: impl FnMut(&Chunk<'a>) -> Result<Selected<'a>>,
    ) -> Result<Step<'a>> {
        let before = context.ledger.enter(Stage::Index);
        let Some(found) = self.find_rows()? else {
            context.ledger.enter(before);
            if self.ended {
                return Ok(Step::End);
            }
            self.hungry = true;
            return Ok(Step::NeedBytes);
        };
        context.ledger.enter(Stage::Convert);
        context.ledger.copied(Copied::Carry, std::mem::take(&mut self.carried));
        let scanned = self.convert(found, scan, context, &mut decide)?;
        context.ledger.enter(before);
        Ok(Step::Rows(scanned))
    }

    /// Indexes the next stretch; `None` when the block holds no whole row any more.
    fn find_rows(&mut self) -> Result<Option<Found>> {
        let fields = self.layout.fields;
        let mut most = fields * self.batch_rows;
        loop {
            self.index.extend(self.layout.kernel, &self.buffer, self.end, most, &self.layout.dialect);
            if self.index.newlines > 0 {
                break;
            }
            if self.index.at < self.end {
                most += self.index.count.max(most);
                continue;
            }
            if self.ended && self.index.first < self.end {
                return Err(self.unterminated());
            }
            return Ok(None);
        }
        let rows = (self.index.count / fields).min(self.batch_rows).min(self.index.newlines);
        if !self.index.irregular {
            // Every row has its fields, so there are as many line ends as rows.
            return Ok(Some(Found { rows, regular: true, read: rows, consumed: rows * fields, newlines: rows }));
        }
        Ok(Some(self.find_irregular()))
    }

    /// Rows one by one, where some are shorter or longer than they should be.
    fn find_irregular(&mut self) -> Found {
        let fields = self.layout.fields;
        let Self { index, buffer, rows, faults, .. } = self;
        let mut found = Found { rows: 0, regular: false, read: 0, consumed: 0, newlines: 0 };
        rows.clear();
        faults.clear();
        for entry in 1..=index.count {
            if buffer[index.entries[entry] as usize] != b'\n' {
                continue;
            }
            let begin = found.consumed;
            let count = entry - begin;
            found.consumed = entry;
            found.newlines += 1;
            let (start, end) = (index.entries[begin] as usize + 1, index.entries[entry] as usize);
            let blank = count == 1 && matches!(&buffer[start..end], b"" | b"\r");
            if count == fields {
                rows.push(begin as u32);
            } else if !blank {
                let reason = Reason::Fields { found: count as u32, expected: fields as u32 };
                faults.push(Fault { row: begin, column: None, reason });
            }
            found.read += usize::from(count == fields || !blank);
            if found.newlines == self.batch_rows {
                break;
            }
        }
        found.rows = rows.len();
        found
    }

    fn unterminated(&self) -> Error {
        let Layout { file, split, .. } = &self.layout;
        let at = self.position();
        let error =
            Error::new(Code::Input, format!("{}: the row at byte {at} has a quote that is not closed", file.name()));
        if file.len().is_some_and(|len| split.end != Some(len)) {
            let note = "the file was cut into pieces at a line end that stands in quotes; 'split' = 'file' reads it in one piece";
            return error.note(note);
        }
        error.help("'quote' = 'none' takes quotes as text")
    }

    /// Converts the rows found, asks which go on, and steps over them.
    fn convert<'a>(
        &'a mut self,
        found: Found,
        scan: &Scan,
        context: &Context<'a>,
        decide: &mut Decide<'_, 'a>,
    ) -> Result<Scanned<'a>> {
        let Self { layout, buffer, index, rows, faults, offset, end, lines, stamp, stamps, .. } = self;
        let (layout, buffer): (&'a Layout, &'a [u8]) = (layout, buffer);
        let scratch: &'a Bump = context.scratch;
        if found.regular {
            faults.clear();
        }
        let origin = Origin {
            file: &*layout.file,
            block: AtHand { base: offset.wrapping_sub(*end as u64), bytes: buffer },
            lines,
        };
        let pass = Pass {
            layout,
            stretch: pass::stretch(layout, buffer, index, &found),
            entries: &index.entries,
            origin,
            scan,
            context,
            stamp: *stamp,
            stamps: *stamps,
        };
        let mut bad = Vec::new();
        for fault in faults.drain(..) {
            bad.push(pass.bad_row(fault.row, &fault));
        }
        let every = Every { rows: found.rows, fields: layout.fields };
        let scanned = if found.regular {
            pass.run(every, rows, faults, &mut bad, decide)
        } else {
            let listed = std::mem::take(rows);
            let result = pass.run(Listed(&listed), rows, faults, &mut bad, decide);
            *rows = listed;
            result
        };
        let mut scanned = scanned?;
        bad.sort_by_key(|bad| bad.offset);
        scanned.counts.read = found.read as u64;
        scanned.counts.bad = bad.len() as u64;
        scanned.counts.delivered = scanned.chunk.rows as u64;
        scanned.bad = scratch.alloc_slice_fill_iter(bad);
        index.consume(buffer, found.consumed, found.newlines, &layout.dialect);
        Ok(scanned)
    }
}
