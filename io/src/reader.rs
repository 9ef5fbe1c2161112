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
use corelane_engine::batch::{BATCH_ROWS, Chunk, Vector, gather};
use corelane_engine::operator::{Context, Time};
use corelane_engine::plan::ScanColumn;
use corelane_engine::scan::{Scanner, SplitTime};
use corelane_engine::stage::Stage;
use corelane_engine::types::DataType;
use corelane_engine::{Code, Error, Result};

use crate::bad::{BadRow, LateRow, Origin};
use crate::csv::convert::{self, Every, Fault, Listed, MARGIN, Rows, Stretch};
use crate::csv::index::Index;
use crate::csv::{Dialect, Kernel, Reason};
use crate::fs::{File, read_failed, read_full};
use crate::options::OnError;
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
    /// Line ends of blocks gone by; counted for streams only, whose bytes cannot be read again.
    lines_gone: u64,
    stamp: u64,
    batch_rows: usize,
    /// Rows of an irregular stretch, as entries of the index.
    rows: Vec<u32>,
    faults: Vec<Fault>,
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
struct Found {
    /// Rows that are as long as they should be.
    rows: usize,
    /// They are all there is, so that row `r` begins at entry `r * fields`.
    regular: bool,
    /// Rows seen, blank lines left out.
    read: usize,
    consumed: usize,
    newlines: usize,
}

impl SplitReader {
    pub(crate) fn new(layout: Layout) -> Result<Self> {
        let empty = layout.split.end == Some(layout.split.start);
        let buffer = vec![0; MARGIN + CARRY_BYTES + layout.block + 1 + MARGIN];
        let mut index = Index::default();
        index.restart(MARGIN);
        let mut lines_gone = 0;
        if layout.file.len().is_none() {
            // The header, which stands in the part of the stream that can be read again.
            let mut header = vec![0; layout.split.start as usize];
            read_full(&*layout.file, &mut header, 0)?;
            lines_gone = count_lines(&header);
        }
        Ok(SplitReader {
            buffer,
            index,
            end: MARGIN,
            offset: layout.split.start,
            ended: empty,
            hungry: !empty,
            lines_gone,
            stamp: 0,
            batch_rows: (ENTRIES_MOST / layout.fields.max(1)).clamp(1, BATCH_ROWS),
            rows: Vec::new(),
            faults: Vec::new(),
            layout,
        })
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
        if self.layout.file.len().is_none() {
            self.lines_gone += count_lines(&self.buffer[MARGIN..first]);
        }
        let rest = self.end - first;
        if rest > self.layout.line_limit {
            let at = self.offset - rest as u64;
            let message = format!(
                "{}: the row at byte {at} is longer than {} bytes",
                self.layout.file.name(),
                self.layout.line_limit
            );
            let error = Error::new(Code::Limit, message).help("raise the limit with the option 'line.limit' = bytes");
            return Err(error.note(
                "a quote that is never closed makes all that follows one row; 'quote' = 'none' takes quotes as text",
            ));
        }
        self.buffer.copy_within(first..self.end, MARGIN);
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
        let scanned = self.convert(found, scanner, time, context)?;
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
        let entries = &self.index.entries;
        let newlines = self.index.newlines - self.index.newlines_from(&self.buffer, rows * fields);
        let regular = newlines == rows
            && rows > 0
            && entries[..=rows * fields].chunks_exact(fields).skip(1).all(|row| self.buffer[row[0] as usize] == b'\n')
            && self.buffer[entries[rows * fields] as usize] == b'\n';
        if regular {
            return Ok(Some(Found { rows, regular, read: rows, consumed: rows * fields, newlines }));
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
        scanner: &Scanner,
        time: &mut SplitTime,
        context: &Context<'a>,
    ) -> Result<Scanned<'a>> {
        let Self { layout, buffer, index, rows, faults, offset, end, lines_gone, stamp, .. } = self;
        let (layout, buffer): (&'a Layout, &'a [u8]) = (layout, buffer);
        let scratch: &'a Bump = context.scratch;
        if found.regular {
            faults.clear();
        }
        let origin = Origin {
            file: &*layout.file,
            base: offset.wrapping_sub(*end as u64),
            block: buffer,
            lines_gone: *lines_gone,
        };
        let pass = Pass {
            layout,
            stretch: stretch(layout, buffer, index, &found),
            entries: &index.entries,
            origin,
            scratch,
            stamp: *stamp,
        };
        let mut bad = Vec::new();
        for fault in faults.drain(..) {
            bad.push(pass.bad_row(fault.row, &fault));
        }
        let every = Every { rows: found.rows, fields: layout.fields };
        let scanned = if found.regular {
            pass.run(every, rows, faults, &mut bad, scanner, time, context)
        } else {
            let listed = std::mem::take(rows);
            let result = pass.run(Listed(&listed), rows, faults, &mut bad, scanner, time, context);
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

/// How the stretch of the rows found is to be converted.
fn stretch<'a, 'i>(layout: &'i Layout, bytes: &'a [u8], index: &'i Index, found: &Found) -> Stretch<'a, 'i> {
    let mut check_utf8 = false;
    if index.high && layout.columns.iter().any(|column| column.data_type == DataType::Text) {
        let last = index.entries[found.consumed] as usize;
        check_utf8 = std::str::from_utf8(&bytes[index.first..last]).is_err();
    }
    Stretch {
        bytes,
        entries: &index.entries,
        dialect: layout.dialect,
        null: &layout.null,
        careful: index.quoted || !layout.null.is_empty(),
        check_utf8,
        fields: layout.fields,
        kernel: layout.kernel,
    }
}

/// One batch on its way from entries to a chunk.
struct Pass<'a, 'i> {
    layout: &'a Layout,
    stretch: Stretch<'a, 'i>,
    entries: &'i [u32],
    origin: Origin<'a>,
    scratch: &'a Bump,
    stamp: u64,
}

impl<'a> Pass<'a, '_> {
    #[expect(clippy::too_many_arguments, reason = "the fields of one reader, borrowed apart")]
    fn run(
        &self,
        rows: impl Rows,
        kept: &mut Vec<u32>,
        faults: &mut Vec<Fault>,
        bad: &mut Vec<BadRow<'a>>,
        scanner: &Scanner,
        time: &mut SplitTime,
        context: &Context<'a>,
    ) -> Result<Scanned<'a>> {
        let eager = scanner.scan().eager;
        let columns = self.columns(&rows, 0..eager, faults);
        if faults.is_empty() {
            return self.select(rows, columns, faults, bad, scanner, time, context);
        }
        self.leave_out(&rows, kept, faults, bad);
        let good = Listed(kept);
        let columns = self.columns(&good, 0..eager, faults);
        self.select(good, columns, faults, bad, scanner, time, context)
    }

    /// Moves the rows with faults to `bad`, the first fault of each, and keeps the others.
    fn leave_out(&self, rows: &impl Rows, kept: &mut Vec<u32>, faults: &mut Vec<Fault>, bad: &mut Vec<BadRow<'a>>) {
        faults.sort_by_key(|fault| (fault.row, fault.column));
        faults.dedup_by_key(|fault| fault.row);
        kept.clear();
        let mut next = 0;
        for row in 0..rows.len() {
            let entry = rows.entry(row);
            match faults.get(next) {
                Some(fault) if fault.row == row => {
                    bad.push(self.bad_row(entry, fault));
                    next += 1;
                }
                _ => kept.push(entry as u32),
            }
        }
        faults.clear();
    }

    fn columns(&self, rows: &impl Rows, range: std::ops::Range<usize>, faults: &mut Vec<Fault>) -> &'a [Vector<'a>] {
        let vectors = range.map(|column| {
            let (field, data_type) = (self.layout.bound[column], self.layout.columns[column].data_type);
            convert::column(&self.stretch, rows, field, (column, data_type), self.scratch, faults)
        });
        let vectors: bumpalo::collections::Vec<'a, _> =
            bumpalo::collections::CollectIn::collect_in(vectors, self.scratch);
        vectors.into_bump_slice()
    }

    /// Asks which rows go on, and converts the rest of their columns.
    #[expect(clippy::too_many_arguments, reason = "the fields of one reader, borrowed apart")]
    fn select(
        &self,
        rows: impl Rows,
        eager: &'a [Vector<'a>],
        faults: &mut Vec<Fault>,
        bad: &mut Vec<BadRow<'a>>,
        scanner: &Scanner,
        time: &mut SplitTime,
        context: &Context<'a>,
    ) -> Result<Scanned<'a>> {
        let scan = scanner.scan();
        let chunk = Chunk { rows: rows.len(), columns: eager, positions: None, ordinals: None, stamp: self.stamp };
        context.ledger.enter(Stage::Filter);
        let selected = scanner.select(&chunk, time, context)?;
        context.ledger.enter(Stage::Convert);
        let times = match (selected.times, &scan.event_time) {
            (None, Some(_)) => return Err(Error::new(Code::Internal, "the scan's selection gave no event times")),
            (times, _) => times,
        };
        for &row in selected.timeless {
            let fault = Fault { row: usize::from(row), column: None, reason: Reason::Timeless };
            bad.push(self.bad_row(rows.entry(fault.row), &fault));
        }
        let late = selected.late.iter().map(|&row| self.late_row(rows.entry(usize::from(row)), times, row));
        let late = self.scratch.alloc_slice_fill_iter(late);
        let first_time = times.and_then(|times| {
            let first = (0..times.len()).find(|&row| !times.is_null(row))?;
            Some(times.i64s()[first])
        });
        let lazy = eager.len()..self.layout.columns.len();
        let (vectors, positions) = match selected.rows {
            None => {
                (self.assemble(eager, times, None, &rows, lazy, faults), self.positions(&rows, scan.needs.positions))
            }
            Some(chosen) => {
                let entries = chosen.iter().map(|&row| rows.entry(usize::from(row)) as u32);
                let entries = Listed(self.scratch.alloc_slice_fill_iter(entries));
                let vectors = self.assemble(eager, times, Some(chosen), &entries, lazy, faults);
                (vectors, self.positions(&entries, scan.needs.positions))
            }
        };
        let count = selected.rows.map_or(rows.len(), <[u16]>::len);
        let ordinals = scan.needs.ordinals.then(|| match selected.rows {
            None => &*self.scratch.alloc_slice_fill_iter((0..count as u16).map(u64::from)),
            Some(chosen) => self.scratch.alloc_slice_fill_iter(chosen.iter().map(|&row| u64::from(row))),
        });
        let mut chunk = Chunk { rows: count, columns: vectors, positions, ordinals, stamp: self.stamp };
        if !faults.is_empty() {
            chunk = self.without_faults(&chunk, &rows, selected.rows, faults, bad);
        }
        let counts = Counts { filtered: selected.filtered as u64, late: late.len() as u64, ..Counts::default() };
        Ok(Scanned { chunk, counts, late, bad: &[], first_time })
    }

    /// The chunk's columns: eager ones and time narrowed to `chosen`, lazy ones converted for `rows`.
    fn assemble(
        &self,
        eager: &'a [Vector<'a>],
        times: Option<Vector<'a>>,
        chosen: Option<&[u16]>,
        rows: &impl Rows,
        lazy: std::ops::Range<usize>,
        faults: &mut Vec<Fault>,
    ) -> &'a [Vector<'a>] {
        let lazy = self.columns(rows, lazy, faults);
        let narrow = |vector: &Vector<'a>| match chosen {
            None => *vector,
            Some(chosen) => gather(vector, chosen, self.scratch),
        };
        let mut all = bumpalo::collections::Vec::with_capacity_in(eager.len() + lazy.len() + 1, self.scratch);
        all.extend(eager.iter().map(narrow));
        all.extend_from_slice(lazy);
        all.extend(times.as_ref().map(narrow));
        all.into_bump_slice()
    }

    /// Takes the rows out whose lazy columns could not be converted.
    fn without_faults(
        &self,
        chunk: &Chunk<'a>,
        rows: &impl Rows,
        chosen: Option<&[u16]>,
        faults: &mut Vec<Fault>,
        bad: &mut Vec<BadRow<'a>>,
    ) -> Chunk<'a> {
        faults.sort_by_key(|fault| (fault.row, fault.column));
        faults.dedup_by_key(|fault| fault.row);
        for fault in faults.iter() {
            let row = chosen.map_or(fault.row, |chosen| usize::from(chosen[fault.row]));
            bad.push(self.bad_row(rows.entry(row), fault));
        }
        let is_good = |row: &u16| faults.binary_search_by_key(&usize::from(*row), |fault| fault.row).is_err();
        let good: Vec<u16> = (0..chunk.rows as u16).filter(is_good).collect();
        faults.clear();
        chunk.gather(&good, self.scratch)
    }

    fn positions(&self, rows: &impl Rows, needed: bool) -> Option<&'a [u64]> {
        let base = self.origin.base.wrapping_sub(self.layout.split.start);
        let base = base.wrapping_add(u64::from(self.layout.split.id) << 32);
        let position = |row| base.wrapping_add(u64::from(self.entries[rows.entry(row)]) + 1);
        needed.then(|| &*self.scratch.alloc_slice_fill_iter((0..rows.len()).map(position)))
    }

    /// The bytes of the row at `entry` without its line end, and its place in the block.
    fn raw(&self, entry: usize) -> (usize, &'a [u8]) {
        let start = self.entries[entry] as usize + 1;
        let ends = self.entries[entry + 1..].iter().map(|&end| end as usize);
        let bytes = self.stretch.bytes;
        let end = ends.into_iter().find(|&end| bytes[end] == b'\n').expect("a row has a line end");
        let line = &bytes[start..end];
        (start, line.strip_suffix(b"\r").unwrap_or(line))
    }

    fn bad_row(&self, entry: usize, fault: &Fault) -> BadRow<'a> {
        let (start, raw) = self.raw(entry);
        let field = fault.column.and_then(|column| self.layout.bound[column]);
        let value = field.map(|field| {
            let (start, end) = self.stretch.span(entry, field);
            &self.stretch.bytes[start..end]
        });
        let column = fault.column.map(|column| &self.layout.columns[column]);
        BadRow {
            origin: self.origin,
            offset: self.origin.base.wrapping_add(start as u64),
            start,
            raw,
            column,
            value,
            reason: fault.reason,
        }
    }

    fn late_row(&self, entry: usize, times: Option<Vector<'a>>, row: u16) -> LateRow<'a> {
        let (start, raw) = self.raw(entry);
        let time = times.map_or(0, |times| times.i64s()[usize::from(row)]);
        LateRow { origin: self.origin, offset: self.origin.base.wrapping_add(start as u64), start, raw, time }
    }
}

/// Line ends in `bytes`.
pub(crate) fn count_lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}
