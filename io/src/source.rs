//! A table's files: what their heads say, how they are cut into splits, how their columns bind.

use std::sync::Arc;

use bumpalo::Bump;
use corelane_engine::batch::Chunk;
use corelane_engine::operator::Context;
use corelane_engine::plan::Scan;
use corelane_engine::scan::{Scanner, SplitTime};
use corelane_engine::stage::Ledger;
use corelane_engine::types::DataType;
use corelane_engine::{Code, Error, Result};

use crate::csv::convert::{Fields, MARGIN};
use crate::csv::{Dialect, Kernel};
use crate::fs::{Disk, File, read_some};
use crate::infer::is_value;
use crate::lines::PieceLines;
use crate::options::{Missing, ReadOptions, SplitBy};
use crate::reader::{BLOCK_BYTES, Layout, Scanned, SplitReader, Step};
use crate::split::{self, PIECE_BYTES, Split};

/// Bytes at the start of a file that its delimiter, header and schema are found out from.
pub const HEAD_BYTES: usize = 256 << 10;
/// Bytes read at a time for the first row of a split.
const PEEK_BYTES: usize = 16 << 10;
/// Bytes read of a split to see what its rows are like.
const SAMPLE_BYTES: usize = 64 << 10;
/// Rows of a head, at most.
pub const HEAD_ROWS: usize = 1000;

/// The files of one table.
#[derive(Clone, Debug)]
pub struct Source {
    /// In order of name.
    pub files: Vec<SourceFile>,
    /// In order of (piece, file).
    pub splits: Vec<Split>,
    /// By file.
    pieces: Vec<Arc<PieceLines>>,
    options: ReadOptions,
    kernel: Kernel,
    block: usize,
}

/// One file and what its head says.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// The file itself.
    pub file: Arc<dyn File>,
    /// What separates and quotes its fields.
    pub dialect: Dialect,
    /// Names in its header, if it has one.
    pub header: Option<Vec<String>>,
    /// Fields of every row; 0 for an empty file.
    pub fields: usize,
    /// Offset of the first row behind the header.
    pub body: u64,
    /// There are quotes in its head.
    pub quoted: bool,
}

impl Source {
    /// Opens the files called `names` (see [`crate::fs::expand`]) of a table that declares the
    /// columns `declared` (none if its schema is inferred).
    pub fn open(disk: &dyn Disk, names: &[String], options: &ReadOptions, declared: &[&str]) -> Result<Source> {
        Source::open_with(disk, names, options, declared, PIECE_BYTES, Kernel::detect()?)
    }

    /// The same with pieces of `piece` bytes and a chosen kernel.
    pub fn open_with(
        disk: &dyn Disk,
        names: &[String],
        options: &ReadOptions,
        declared: &[&str],
        piece: u64,
        kernel: Kernel,
    ) -> Result<Source> {
        let mut files = Vec::with_capacity(names.len());
        let mut pieces = Vec::with_capacity(names.len());
        for name in names {
            let file = SourceFile::look(disk.open(name)?, options, declared, kernel)?;
            pieces.push(match file.file.len() {
                Some(len) if options.split == SplitBy::Piece && len > piece => {
                    let quotes = file.quoted.then_some((file.dialect, kernel));
                    split::cut(&*file.file, len, file.body, piece, quotes)?
                }
                len => vec![(0, file.body, len)],
            });
            files.push(file);
        }
        let splits = split::number(&pieces);
        let starts = |pieces: &Vec<(u32, u64, Option<u64>)>| PieceLines::new(pieces.iter().map(|piece| piece.1));
        let pieces = pieces.iter().map(|pieces| Arc::new(starts(pieces))).collect();
        Ok(Source { files, splits, pieces, options: options.clone(), kernel, block: BLOCK_BYTES })
    }

    /// The same source read in blocks of `bytes`.
    pub fn with_block(mut self, bytes: usize) -> Source {
        assert!(bytes > 0);
        self.block = bytes;
        self
    }

    /// The options it was opened with.
    pub fn options(&self) -> &ReadOptions {
        &self.options
    }

    /// Which splits each of `shards` reads, as positions in [`Source::splits`].
    pub fn deal(&self, shards: usize) -> Vec<Vec<usize>> {
        split::deal(&self.splits, self.files.len(), shards)
    }

    /// A reader of one split for `scan`.
    pub fn reader(&self, split: usize, scan: &Scan) -> Result<SplitReader> {
        self.reader_in_blocks(split, scan, self.block)
    }

    fn reader_in_blocks(&self, split: usize, scan: &Scan, block: usize) -> Result<SplitReader> {
        let mut split = self.splits[split];
        split.id = split::id_in_turn(split.id, scan.turn);
        let file = &self.files[split.file];
        SplitReader::new(Layout {
            file: file.file.clone(),
            split,
            pieces: Arc::clone(&self.pieces[split.file]),
            dialect: file.dialect,
            kernel: self.kernel,
            fields: file.fields.max(1),
            null: self.options.null.as_bytes().to_vec(),
            columns: scan.columns.clone(),
            bound: self.bind(file, scan)?,
            line_limit: self.options.line_limit,
            block,
        })
    }

    /// Where each column of `scan` stands in `file`.
    fn bind(&self, file: &SourceFile, scan: &Scan) -> Result<Vec<Option<usize>>> {
        let bind = |column: &corelane_engine::plan::ScanColumn| {
            if column.metadata.is_some() {
                return Ok(None);
            }
            if matches!(column.data_type, DataType::Interval) {
                let error = Error::new(
                    Code::Unsupported,
                    format!("column `{}`: INTERVAL cannot be read from csv", column.name),
                );
                return Err(error.help("declare it STRING or BIGINT and convert it in the query"));
            }
            let found = match &file.header {
                Some(names) => position(names, &column.name),
                None => (column.index < file.fields).then_some(column.index),
            };
            if found.is_some() || self.options.missing == Missing::Null || file.fields == 0 {
                return Ok(found);
            }
            let error = Error::new(Code::Input, format!("{}: there is no column `{}`", file.file.name(), column.name));
            let error = match &file.header {
                Some(names) => error
                    .note(format!("its header has: {}", names.join(", ")))
                    .note("if the first row is not a header, say 'header' = 'false'"),
                None => error.note(format!("its rows have {} fields and no header", file.fields)),
            };
            Err(error.help("'missing' = 'null' makes it NULL"))
        };
        scan.columns.iter().map(bind).collect()
    }

    /// Where time stands at the first good row of a split, to begin its watermark with. Reads the
    /// head of the split; of a stream, no more than can be read again.
    pub fn peek(&self, split: usize, scanner: &Scanner) -> Result<SplitTime> {
        let mut time = SplitTime::default();
        if scanner.scan().event_time.is_none() {
            return Ok(time);
        }
        let mut reader = self.reader_in_blocks(split, scanner.scan(), self.block.min(PEEK_BYTES))?;
        let ledger = Ledger::idle();
        let mut scratch = Bump::new();
        loop {
            scratch.reset();
            let context = Context { scratch: &scratch, ledger: &ledger };
            match reader.next(scanner, &mut SplitTime::default(), &context)? {
                Step::Rows(scanned) => {
                    if let Some(first) = scanned.first_time {
                        time.highest = first;
                        return Ok(time);
                    }
                }
                Step::NeedBytes => reader.fill(&ledger)?,
                Step::End => return Ok(time),
            }
        }
    }

    /// Hands the good rows at the head of a split, a block of it, to `take`; of a split that is a whole
    /// stream, what is read here is lost.
    pub fn sample(
        &self,
        split: usize,
        scanner: &Scanner,
        mut take: impl FnMut(&Chunk<'_>, &Context<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut reader = self.reader_in_blocks(split, scanner.scan(), self.block.min(SAMPLE_BYTES))?;
        let (ledger, mut time, mut scratch) = (Ledger::idle(), SplitTime::default(), Bump::new());
        reader.fill(&ledger)?;
        loop {
            scratch.reset();
            let context = Context { scratch: &scratch, ledger: &ledger };
            match reader.next(scanner, &mut time, &context)? {
                Step::Rows(scanned) => take(&scanned.chunk, &context)?,
                Step::NeedBytes | Step::End => return Ok(()),
            }
        }
    }

    /// Reads one split from end to end in this thread, handing every chunk and what became of its
    /// rows to `take`.
    pub fn read_all(
        &self,
        split: usize,
        scanner: &Scanner,
        time: &mut SplitTime,
        ledger: &Ledger,
        mut take: impl FnMut(&Scanned<'_>, &Context<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut reader = self.reader(split, scanner.scan())?;
        let mut scratch = Bump::new();
        loop {
            scratch.reset();
            let context = Context { scratch: &scratch, ledger };
            match reader.next(scanner, time, &context)? {
                Step::Rows(scanned) => take(&scanned, &context)?,
                Step::NeedBytes => reader.fill(ledger)?,
                Step::End => return Ok(()),
            }
        }
    }
}

/// Position of `name`, exactly or else without regard to case.
fn position(names: &[String], name: &str) -> Option<usize> {
    let exact = names.iter().position(|other| other == name);
    exact.or_else(|| names.iter().position(|other| other.eq_ignore_ascii_case(name)))
}

impl SourceFile {
    /// Opens a file's head and finds out what is not said.
    fn look(file: Arc<dyn File>, options: &ReadOptions, declared: &[&str], kernel: Kernel) -> Result<SourceFile> {
        let head = Head::read(&*file, options, kernel, !declared.is_empty())?;
        let header = match (options.header, head.rows.first()) {
            (_, None) | (Some(false), _) => None,
            (Some(true), Some(row)) => Some(row),
            (None, Some(row)) => looks_like_header(row, declared).then_some(row),
        };
        let body = if header.is_some() { head.ends[0] } else { head.begin };
        let header: Option<Vec<String>> =
            header.map(|row| row.iter().map(|field| field.text.trim().to_owned()).collect());
        let fields = head.rows.first().map_or(0, Vec::len);
        if fields > options.column_limit {
            let message = format!("{}: {fields} columns; the most is {}", file.name(), options.column_limit);
            return Err(Error::new(Code::Limit, message)
                .help("is the delimiter right? 'delimiter' sets it; --column-limit allows more columns"));
        }
        Ok(SourceFile { dialect: head.dialect, header, fields, body, quoted: head.quoted, file })
    }
}

/// The first rows of a file as text.
pub(crate) struct Head {
    pub dialect: Dialect,
    /// Offset of the first row: behind a byte-order mark.
    pub begin: u64,
    pub rows: Vec<Vec<HeadField>>,
    /// Offset behind each row.
    pub ends: Vec<u64>,
    pub quoted: bool,
}

/// A field of a head.
pub(crate) struct HeadField {
    pub text: String,
    pub quoted: bool,
}

impl Head {
    /// Reads the head of `file`, with the delimiter found out if `options` do not say it. Of a stream
    /// no more than the first row if `is_one_row_enough`.
    pub(crate) fn read(
        file: &dyn File,
        options: &ReadOptions,
        kernel: Kernel,
        is_one_row_enough: bool,
    ) -> Result<Head> {
        let mut bytes = vec![0; MARGIN + HEAD_BYTES + 1 + MARGIN];
        let mut room = HEAD_BYTES;
        let mut count = 0;
        loop {
            let mut is_whole = false;
            while count < room {
                let more = read_some(file, &mut bytes[MARGIN + count..MARGIN + room], count as u64)?;
                count += more;
                is_whole = more == 0;
                // A stream may be slow: where one row says enough, no more is waited for.
                let has_row = || memchr::memchr(b'\n', &bytes[MARGIN..MARGIN + count]).is_some();
                if is_whole || (is_one_row_enough && file.len().is_none() && has_row()) {
                    break;
                }
            }
            refuse_other_formats(file.name(), &bytes[MARGIN..MARGIN + count])?;
            if options.delimiter.is_none() {
                refuse_json(file.name(), &bytes[MARGIN..MARGIN + count])?;
            }
            let text = &bytes[MARGIN..MARGIN + count];
            if memchr::memchr(b'\n', text).is_none() && memchr::memchr_iter(b'\r', text).nth(1).is_some() {
                let error = Error::new(Code::Input, format!("{}: its lines end with CR alone", file.name()));
                return Err(error.help("lines end with LF or CRLF; tr '\\r' '\\n' converts them"));
            }
            let head = Head::of(&mut bytes, count, is_whole, options, kernel);
            if !head.rows.is_empty() || is_whole {
                return Ok(head);
            }
            if count < room {
                continue;
            }
            // Not even one row fits.
            if room >= options.line_limit.max(HEAD_BYTES) || file.len().is_none() {
                let message = format!("{}: the first row is longer than {room} bytes", file.name());
                return Err(Error::new(Code::Limit, message)
                    .help("raise the limit with --line-limit, or with 'line.limit' for one table"));
            }
            room = (room * 4).min(options.line_limit.max(HEAD_BYTES));
            bytes.resize(MARGIN + room + 1 + MARGIN, 0);
        }
    }

    fn of(bytes: &mut [u8], count: usize, whole: bool, options: &ReadOptions, kernel: Kernel) -> Head {
        let mut end = MARGIN + count;
        let mark = bytes[MARGIN..end].starts_with(b"\xef\xbb\xbf");
        let first = MARGIN + if mark { 3 } else { 0 };
        if whole && end > first && bytes[end - 1] != b'\n' {
            bytes[end] = b'\n';
            end += 1;
        }
        let candidates = match &options.delimiter {
            Some(delimiter) => std::slice::from_ref(delimiter),
            None => &[b',', b';', b'\t', b'|'][..],
        };
        let dialects = candidates.iter().filter(|&&byte| Some(byte) != options.quote);
        let dialects = dialects.map(|&delimiter| Dialect { delimiter, quote: options.quote, escape: options.escape });
        let heads = dialects.map(|dialect| Head::split(&bytes[..], first, end, dialect, kernel));
        // The first of the best: the comma unless another does better.
        let best = heads.reduce(|best, head| if head.evenness() > best.evenness() { head } else { best });
        let mut head = best.expect("there is a candidate");
        let file_len = (MARGIN + count) as u64;
        for end in &mut head.ends {
            *end = (*end).min(file_len) - MARGIN as u64;
        }
        head.begin -= MARGIN as u64;
        head
    }

    /// How well the delimiter fits: rows with as many fields as the first, when that is more than
    /// one; then the number of fields.
    fn evenness(&self) -> (bool, usize, usize) {
        let fields = self.rows.first().map_or(0, Vec::len);
        let even = self.rows.iter().filter(|row| row.len() == fields).count();
        if fields > 1 { (even == self.rows.len(), even, fields) } else { (false, 0, 0) }
    }

    /// The rows between two places in `bytes`, as `dialect` has them. Offsets are still in `bytes`.
    fn split(bytes: &[u8], first: usize, end: usize, dialect: Dialect, kernel: Kernel) -> Head {
        let fields = Fields::of(bytes, first, end, dialect, kernel, HEAD_ROWS);
        let quoted = dialect.quote.is_some_and(|quote| memchr::memchr(quote, &bytes[first..end]).is_some());
        let ends = fields.ends.iter().map(|&end| end as u64).collect();
        let field =
            |(text, quoted): (Vec<u8>, bool)| HeadField { text: String::from_utf8_lossy(&text).into_owned(), quoted };
        let rows = fields.rows.into_iter().map(|row| row.into_iter().map(field).collect()).collect();
        Head { dialect, begin: first as u64, rows, ends, quoted }
    }
}

/// JSON, which would pass for CSV with odd names, unless a delimiter says that it is meant as text.
fn refuse_json(name: &str, head: &[u8]) -> Result<()> {
    let text = head.trim_ascii_start();
    let text = text.strip_prefix(b"[").unwrap_or(text).trim_ascii_start();
    let is_object = text.strip_prefix(b"{").is_some_and(|rest| rest.trim_ascii_start().starts_with(b"\""));
    if !is_object {
        return Ok(());
    }
    let error = Error::new(Code::Unsupported, format!("`{name}` is JSON, which is not supported as input yet"));
    Err(error
        .help("read each line as one column: CREATE TABLE t (doc STRING) WITH ('path' = '..', 'delimiter' = '\\t', 'quote' = 'none', 'header' = 'false')")
        .note("then take it apart: SELECT JSON_VALUE(doc, '$.price') FROM t"))
}

/// Files that are no text at all, told by how they begin.
fn refuse_other_formats(name: &str, head: &[u8]) -> Result<()> {
    const FORMATS: [(&[u8], &str, &str); 6] = [
        (
            b"\x1f\x8b",
            "compressed with gzip",
            "unpack it, or pipe it in: zcat FILE | corelane ... with `-` as the file",
        ),
        (
            b"\x28\xb5\x2f\xfd",
            "compressed with zstd",
            "unpack it, or pipe it in: zstdcat FILE | corelane ... with `-` as the file",
        ),
        (b"BZh", "compressed with bzip2", "unpack it, or pipe it in: bzcat FILE | corelane ... with `-` as the file"),
        (b"PAR1", "a Parquet file", "write it as csv"),
        (b"\xff\xfe", "UTF-16 text", "convert it: iconv -f UTF-16 -t UTF-8"),
        (b"\xfe\xff", "UTF-16 text", "convert it: iconv -f UTF-16 -t UTF-8"),
    ];
    // `BZh` and `PAR1` may also begin a text; the bytes behind them do not.
    let is_binary = |head: &[u8]| head.iter().take(16).any(|byte| !(b'\t'..0x80).contains(byte));
    match FORMATS.iter().find(|(magic, ..)| head.starts_with(magic)) {
        Some((_, what, help)) if is_binary(head) => {
            Err(Error::new(Code::Unsupported, format!("`{name}` is {what}, which is not supported as csv")).help(*help))
        }
        _ => Ok(()),
    }
}

/// Whether a first row holds names: it names a declared column, or none of its fields is empty or
/// looks like a number, a truth value or a time, and no two are alike.
pub(crate) fn looks_like_header(row: &[HeadField], declared: &[&str]) -> bool {
    let names: Vec<&str> = row.iter().map(|field| field.text.trim()).collect();
    if names.iter().any(|name| declared.iter().any(|declared| declared.eq_ignore_ascii_case(name))) {
        return true;
    }
    let unlike = names.iter().enumerate().all(|(at, name)| !names[..at].contains(name));
    unlike && names.iter().all(|name| !name.is_empty() && !is_value(name))
}
