//! One scan on one shard: the splits dealt to it, which of them is read next, and how.
//!
//! Blocks come from the page cache by a read that never blocks; one that would have to wait for the
//! disk is handed to the executor. The order in which rows are read is a function of the input alone:
//! by position, or always on from the split whose watermark is furthest behind, in *turns* of a fixed
//! number of rows. A turn is counted in rows since blocks end where the page cache happened to.

mod saved;

pub use saved::Stand;

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use corelane_engine::batch::Chunk;
use corelane_engine::operator::{Context, TIME_MIN, Time};
use corelane_engine::plan::{Late, ReadOrder, ScanColumn};
use corelane_engine::scan::{Scanner, SplitTime};
use corelane_engine::stage::Stage;
use corelane_engine::{Code, Error, Result};
use corelane_io::append::OpenCut;
use corelane_io::bad::BadRow;
use corelane_io::fs::read_failed;
use corelane_io::options::OnError;
use corelane_io::reader::{Counts, Scanned, SplitReader, Step};
use corelane_io::reject::RejectPart;
use corelane_io::split::{Split, id_in_turn};

use crate::clock::{Clock, Ticks};
use crate::executor::{Completion, Io};
use crate::pace::Pace;
use crate::sys;

/// Rows of one split that are read before another can have its turn, unless said otherwise.
pub const TURN_ROWS: u64 = 4096;

/// Time after which a stream that had nothing is looked at again.
const RETRY_NS: f64 = 1e6;

/// Bad rows of a source that are kept with their reasons; the others are only counted.
const BAD_ROWS_KEPT: usize = 5;

/// The splits of one scan on one shard.
pub struct Source {
    /// Name of the table.
    pub table: String,
    scanner: Scanner,
    input: Arc<corelane_io::source::Source>,
    splits: Vec<OpenSplit>,
    on_error: OnError,
    bad_limit: Option<Arc<BadLimit>>,
    pace: Option<Pace>,
    clock: Clock,
    /// The scan wants to know when its rows are read.
    is_stamped: bool,
    highest: Time,
    /// When to look again at a stream that had nothing, in ticks.
    retry_at: Option<u64>,
    /// The split being read, and how many rows are left of its turn.
    turn: Option<(usize, u64)>,
    turn_rows: u64,
    /// Every turn is ended by [`Source::begin_turn`], that of an only split as well.
    by_turns: bool,
    /// Turns end when the clock passes these, not with so many rows.
    ticks: Option<Ticks>,
    next_ordinal: u64,
    shard: usize,
    /// The tokens of its reads begin with its number.
    tokens: u64,
    /// What became of the rows.
    pub counts: Counts,
    /// Bytes read.
    pub bytes: u64,
    /// Rows and bytes of these that an earlier run has read.
    pub before: (u64, u64),
    /// The first bad rows, as errors with their place.
    pub first_bad: Vec<Error>,
    /// The first late row: where it stood, and what was late about it.
    pub first_late: Option<String>,
    /// Rows that do not go on and are kept.
    pub aside: Aside,
}

/// Where a source writes rows that do not go on.
#[derive(Debug, Default)]
pub struct Aside {
    /// Bad ones.
    pub bad: Option<RejectPart>,
    /// Late ones.
    pub late: Option<RejectPart>,
}

impl Aside {
    fn take(&mut self, table: &str, scanned: &Scanned<'_>) -> Result<()> {
        if let Some(part) = &mut self.bad {
            scanned.bad.iter().try_for_each(|row| part.bad(table, row))?;
        }
        if let Some(part) = &mut self.late {
            scanned.late.iter().try_for_each(|row| part.late(table, row))?;
        }
        Ok(())
    }

    /// Writes what is not written yet.
    pub fn flush(&mut self) -> Result<()> {
        [&mut self.bad, &mut self.late].into_iter().flatten().try_for_each(RejectPart::flush)
    }

    /// What of its files belongs to an epoch. Only behind [`Aside::flush`].
    pub fn cuts(&self) -> impl Iterator<Item = OpenCut> {
        [&self.bad, &self.late].into_iter().flatten().filter_map(RejectPart::cut)
    }

    /// Counts rows that an earlier run has kept.
    pub fn count_on(&mut self, rows: (u64, u64)) {
        for (part, rows) in [(&mut self.bad, rows.0), (&mut self.late, rows.1)] {
            if let Some(part) = part {
                part.rows += rows;
            }
        }
    }

    /// Rows kept: bad ones, late ones.
    pub fn rows(&self) -> (u64, u64) {
        let rows = |part: &Option<RejectPart>| part.as_ref().map_or(0, |part| part.rows);
        (rows(&self.bad), rows(&self.late))
    }
}

struct OpenSplit {
    /// Position in the input's list of splits.
    number: usize,
    time: SplitTime,
    /// Where to begin, if not at its first row: an earlier run has read what is before.
    begin: Option<u64>,
    reader: Option<SplitReader>,
    /// A read the executor has not completed.
    reading: bool,
    ended: bool,
}

/// The split whose watermark is the source's.
#[derive(Clone, Debug)]
pub struct Holder {
    /// Its file, and where in it it begins.
    pub split: String,
    /// Its watermark.
    pub watermark: Time,
    /// The end of the first window that this watermark leaves open.
    pub window_end: Time,
}

/// What one pull has brought.
pub enum Pulled<'a> {
    /// Rows that go on.
    Rows(Chunk<'a>),
    /// Work was done, but no row came of it.
    Nothing,
    /// Nothing can be read now.
    Waiting,
}

/// How a source is set up.
pub struct SourceOptions {
    /// What a bad row does.
    pub on_error: OnError,
    /// More bad rows than this stop the run.
    pub bad_limit: Option<Arc<BadLimit>>,
    /// The schedule, under `--rate`.
    pub pace: Option<Pace>,
    /// Stamps its rows, where the scan wants that.
    pub clock: Clock,
    /// Turns end whenever the clock passes a multiple of so many microseconds.
    pub every_us: Option<i64>,
    /// Rows of one split that are read before another can have its turn.
    pub turn_rows: u64,
    /// Which shard this is.
    pub shard: usize,
    /// Which of the shard's sources this is.
    pub number: usize,
    /// Where rows go that do not go on.
    pub aside: Aside,
}

impl Source {
    /// A source that reads the splits `mine` of `input` for `scanner`'s scan. `times` are the times
    /// at the first row of every split of the input.
    pub fn new(
        input: Arc<corelane_io::source::Source>,
        mine: &[usize],
        times: &[SplitTime],
        scanner: Scanner,
        options: SourceOptions,
    ) -> Self {
        let split = |&number: &usize| OpenSplit {
            number,
            time: times[number],
            begin: None,
            reader: None,
            reading: false,
            ended: false,
        };
        Source {
            table: scanner.scan().table.clone(),
            splits: mine.iter().map(split).collect(),
            input,
            on_error: options.on_error,
            bad_limit: options.bad_limit,
            highest: TIME_MIN,
            pace: options.pace,
            clock: options.clock,
            is_stamped: scanner.scan().columns.iter().any(ScanColumn::is_clock),
            scanner,
            retry_at: None,
            turn: None,
            turn_rows: options.turn_rows,
            by_turns: false,
            ticks: options.every_us.map(|every| Ticks::behind(&options.clock, every)),
            next_ordinal: 0,
            shard: options.shard,
            tokens: (options.number as u64) << 32,
            counts: Counts::default(),
            bytes: 0,
            before: (0, 0),
            first_bad: Vec::new(),
            first_late: None,
            aside: options.aside,
        }
    }

    /// Every later row has a greater time: the least watermark of the unfinished splits, unstarted ones
    /// included, or what the clock shows, if that says more to those who wait than `told`.
    pub fn watermark(&mut self, told: Time) -> Time {
        if let Some(of) = self.scanner.scan().clock {
            let watermark = self.clock.watermark(of);
            if !Clock::is_news(watermark, told, of) {
                return told;
            }
            self.highest = self.highest.max(watermark);
            return watermark;
        }
        self.watermark_of_rows()
    }

    /// Whether `told` says what the rows that were read say.
    pub fn is_told(&self, told: Time) -> bool {
        self.scanner.scan().clock.is_some() || told >= self.watermark_of_rows()
    }

    fn watermark_of_rows(&self) -> Time {
        let Some(event_time) = &self.scanner.scan().event_time else { return TIME_MIN };
        let unfinished = self.splits.iter().filter(|split| !split.ended);
        unfinished.map(|split| split.time.watermark(event_time.delay_us)).min().unwrap_or(TIME_MIN)
    }

    /// Reads so that turns can be told apart.
    pub fn read_by_turns(&mut self) {
        self.by_turns = true;
    }

    /// Whether the rows of a turn have been read: so many of one split, or all that were left of it. They
    /// are the same in every run.
    pub fn has_ended_turn(&self) -> bool {
        if let Some(ticks) = self.ticks {
            return self.by_turns && self.clock.shown() >= ticks.next;
        }
        self.by_turns && self.turn.is_some_and(|(split, left)| left == 0 || self.splits[split].ended)
    }

    /// Goes on behind a turn that was told.
    pub fn begin_turn(&mut self) {
        if self.has_ended_turn() {
            match &mut self.ticks {
                Some(ticks) => ticks.pass(),
                None => self.turn = None,
            }
        }
    }

    /// Whether rows come when they come, and not as fast as they are read.
    pub fn is_live(&self) -> bool {
        self.ticks.is_none() && (self.pace.is_some() || self.retry_at.is_some())
    }

    /// Whether every split has ended.
    pub fn is_finished(&self) -> bool {
        self.splits.iter().all(|split| split.ended)
    }

    /// When the next row is due, in ticks, if the source waits for its schedule (and not for a read).
    pub fn due(&self) -> Option<u64> {
        if self.is_finished() || self.splits.iter().any(|split| split.reading) {
            return None;
        }
        // What is due later than the stream is looked at again waits for it anyway.
        self.retry_at.or(self.pace.map(|pace| pace.due(self.next_ordinal)))
    }

    /// In how many microseconds the clock has something to say to those who wait, when `told` was told, or a
    /// turn ends by it.
    pub fn clock_due_us(&mut self, told: Time) -> Option<u64> {
        if self.is_finished() {
            return None;
        }
        let windows = self.scanner.scan().clock.and_then(|of| self.clock.due_us(told, of));
        let tick = self.ticks.and_then(|ticks| self.clock.until_us(ticks.next));
        windows.into_iter().chain(tick).min()
    }

    /// The schedule, under `--rate`.
    pub fn pace(&self) -> Option<Pace> {
        self.pace
    }

    /// What keeps windows open: of the splits that have not ended, the one furthest behind.
    pub fn holder(&self) -> Option<Holder> {
        let scan = self.scanner.scan();
        let (event_time, Some(Late::Window(window))) = (scan.event_time.as_ref()?, scan.late) else { return None };
        let watermark = |split: &&OpenSplit| split.time.watermark(event_time.delay_us);
        let split = self.splits.iter().filter(|split| !split.ended).min_by_key(watermark)?;
        let Split { file, piece, start, .. } = self.input.splits[split.number];
        let file = self.input.files[file].file.name();
        let split_name = if piece == 0 { file.to_owned() } else { format!("{file} from byte {start}") };
        let watermark = watermark(&split);
        Some(Holder {
            split: split_name,
            watermark,
            window_end: window.first_mark(watermark).saturating_add(window.size),
        })
    }

    /// Rows too far ahead of their split for time to follow them.
    pub fn leaps(&self) -> u64 {
        self.splits.iter().map(|split| split.time.leaps).sum()
    }

    /// The highest watermark any split has reached.
    pub fn highest_watermark(&self) -> Option<Time> {
        (self.highest != TIME_MIN).then_some(self.highest)
    }

    /// No later row has a position less than this.
    pub fn place(&self) -> u64 {
        let open = self.splits.iter().filter(|split| !split.ended);
        let place = |split: &OpenSplit| {
            let id = id_in_turn(self.input.splits[split.number].id, self.scanner.scan().turn);
            let start = self.input.splits[split.number].start;
            let at = split.reader.as_ref().map(SplitReader::position).or(split.begin);
            let within = at.map_or(0, |at| at.saturating_sub(start));
            (u64::from(id) << 32) + within
        };
        open.map(place).min().unwrap_or(u64::MAX)
    }

    /// No later row has a lesser ordinal.
    pub fn progress(&self) -> u64 {
        self.next_ordinal << 12 | self.shard as u64
    }

    /// Bytes of memory held by readers.
    pub fn memory(&self) -> usize {
        self.splits.iter().filter_map(|split| Some(split.reader.as_ref()?.bytes())).sum()
    }

    /// Which of the shard's sources began the read with `token`.
    pub fn number_of(token: u64) -> usize {
        (token >> 32) as usize
    }

    /// Takes the next rows.
    pub fn pull<'a>(&'a mut self, io: &mut dyn Io, context: &Context<'a>) -> Result<Pulled<'a>> {
        let (most, taken_at) = match self.pace {
            None => (u64::MAX, None),
            Some(pace) => {
                let now = context.ledger.now();
                match pace.allowed(now).saturating_sub(self.next_ordinal) {
                    0 => return Ok(Pulled::Waiting),
                    most => (most, Some(now)),
                }
            }
        };
        for split in self.splits.iter_mut().filter(|split| split.ended) {
            split.reader = None;
        }
        let (chosen, turn) = match self.turn {
            Some((chosen, left)) if left > 0 && !self.splits[chosen].ended => (chosen, left),
            _ => match self.choose() {
                Some(chosen) => (chosen, self.turn_rows),
                None => return Ok(Pulled::Waiting),
            },
        };
        self.turn = Some((chosen, turn));
        let most = if self.splits.len() == 1 && !self.by_turns { most } else { most.min(turn) };
        let most = self.ticks.map_or(most, |ticks| most.min(self.clock.rows_before(ticks.next)));
        let split = &mut self.splits[chosen];
        if split.reading {
            return Ok(Pulled::Waiting);
        }
        let reader = match &mut split.reader {
            Some(reader) => reader,
            empty => {
                let mut reader = self.input.reader(split.number, self.scanner.scan())?;
                if let Some(begin) = split.begin {
                    reader.begin_at(begin)?;
                }
                empty.insert(reader)
            }
        };
        reader.limit_rows(usize::try_from(most).unwrap_or(usize::MAX));
        if self.is_stamped {
            reader.stamp_rows(self.clock.stamps());
        }
        let before = context.ledger.enter(Stage::Read);
        let read = read_block(reader, self.tokens | chosen as u64, io, context.ledger.now());
        context.ledger.enter(before);
        self.retry_at = None;
        match read? {
            Read::Later => {
                self.retry_at = Some(context.ledger.now() + (RETRY_NS / sys::ns_per_tick()) as u64);
                return Ok(Pulled::Waiting);
            }
            Read::NotWanted => {}
            Read::Done(count) => self.bytes += count as u64,
            Read::Submitted => {
                split.reading = true;
                return Ok(Pulled::Waiting);
            }
        }
        match reader.next(&self.scanner, &mut split.time, context)? {
            Step::End => {
                split.ended = true;
                Ok(Pulled::Nothing)
            }
            // The next pull reads the block.
            Step::NeedBytes => Ok(Pulled::Nothing),
            Step::Rows(scanned) => {
                self.counts += scanned.counts;
                self.clock.pass(scanned.stamped);
                scanned.check(self.on_error)?;
                keep_first(&mut self.first_bad, scanned.bad);
                self.aside.take(&self.table, &scanned)?;
                if let (None, Some(late)) = (&self.first_late, scanned.late.first()) {
                    let line = late.line().map_or_else(String::new, |line| format!(":{line}"));
                    self.first_late = Some(format!("{}{line}", late.file()));
                }
                if let (Some(limit), 1..) = (&self.bad_limit, scanned.counts.bad) {
                    limit.count(scanned.counts.bad, self.first_bad.first())?;
                }
                if let Some(event_time) = &self.scanner.scan().event_time {
                    self.highest = self.highest.max(split.time.watermark(event_time.delay_us));
                }
                let mut chunk = scanned.chunk;
                // Rows that lay in a block until they were due have not been on their way.
                chunk.stamp = taken_at.unwrap_or(chunk.stamp);
                self.turn = Some((chosen, turn.saturating_sub(scanned.counts.read)));
                let first = self.next_ordinal;
                self.next_ordinal += scanned.counts.read;
                if let Some(within) = chunk.ordinals {
                    let shard = self.shard as u64;
                    let ordinals = within.iter().map(|&row| (first + row) << 12 | shard);
                    chunk.ordinals = Some(context.scratch.alloc_slice_fill_iter(ordinals));
                }
                Ok(if chunk.rows == 0 { Pulled::Nothing } else { Pulled::Rows(chunk) })
            }
        }
    }

    /// The split to read on from.
    fn choose(&mut self) -> Option<usize> {
        match self.scanner.scan().read_order {
            // Splits were dealt in order of position.
            ReadOrder::Position => self.splits.iter().position(|split| !split.ended),
            ReadOrder::EventTime => {
                let open = self.splits.iter().enumerate().filter(|(_, split)| !split.ended);
                open.min_by_key(|(place, split)| (split.time.highest, *place)).map(|(place, _)| place)
            }
        }
    }

    /// Takes a read that this source began, at the tick `now`.
    pub fn complete(&mut self, completion: Completion, now: u64) -> Result<()> {
        let split = &mut self.splits[completion.token as u32 as usize];
        split.reading = false;
        let Some(reader) = &mut split.reader else { return Ok(()) };
        let file = Arc::clone(reader.file());
        let Some(want) = reader.want()? else { return Ok(()) };
        let bytes = completion.result.map_err(|cause| read_failed(file.name(), want.offset, &cause))?;
        let count = bytes.len().min(want.into.len());
        want.into[..count].copy_from_slice(&bytes[..count]);
        reader.filled(count, now)?;
        self.bytes += count as u64;
        Ok(())
    }
}

/// What became of the block a reader may want.
enum Read {
    NotWanted,
    Done(usize),
    Submitted,
    /// A stream has nothing yet.
    Later,
}

/// Reads the next block of a split if it wants one: now, if the page cache has it, else by the
/// executor.
fn read_block(reader: &mut SplitReader, token: u64, io: &mut dyn Io, now: u64) -> Result<Read> {
    let file = Arc::clone(reader.file());
    let Some(want) = reader.want()? else { return Ok(Read::NotWanted) };
    let (offset, len) = (want.offset, want.into.len());
    let failed = |cause| read_failed(file.name(), offset, &cause);
    match io.read_now(&*file, want.into, offset) {
        Ok(count) => {
            reader.filled(count, now)?;
            Ok(Read::Done(count))
        }
        Err(cause) if cause.kind() == ErrorKind::WouldBlock && file.waits_on(offset).is_some() => Ok(Read::Later),
        Err(cause) if cause.kind() == ErrorKind::WouldBlock => {
            io.begin(token, &*file, offset, len).map_err(failed)?;
            Ok(Read::Submitted)
        }
        Err(cause) => Err(failed(cause)),
    }
}

fn keep_first(kept: &mut Vec<Error>, bad: &[BadRow<'_>]) {
    let room = BAD_ROWS_KEPT.saturating_sub(kept.len());
    kept.extend(bad.iter().take(room).map(BadRow::to_error));
}

/// How many bad rows a run may have, counted over all shards.
#[derive(Debug)]
pub struct BadLimit {
    most: u64,
    seen: AtomicU64,
}

impl BadLimit {
    /// At most `most` bad rows.
    pub fn new(most: u64) -> Self {
        BadLimit { most, seen: AtomicU64::new(0) }
    }

    /// Whether there were too many.
    pub fn is_exceeded(&self) -> bool {
        self.seen.load(Ordering::Relaxed) > self.most
    }

    /// Counts `more` bad rows; an error if they are too many now.
    fn count(&self, more: u64, first: Option<&Error>) -> Result<()> {
        let seen = self.seen.fetch_add(more, Ordering::Relaxed) + more;
        if seen <= self.most {
            return Ok(());
        }
        let error = Error::new(Code::Limit, format!("bad rows: {seen}, more than --max-errors {}", self.most));
        Err(match first {
            Some(first) => error.note(format!("the first: {}", first.report().message)),
            None => error,
        })
    }
}
