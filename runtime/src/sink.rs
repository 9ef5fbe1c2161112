//! One sink on one shard: rows become text here, and leave for a file of the shard's own or for the
//! writer.
//!
//! Text gathers in a block until it is large enough or has waited long enough. The blocks are a
//! fixed number that go round between shard and writer; when all are out, the sink is not ready, the
//! stage that feeds it stops, and so in turn do the sources.

mod saved;

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use corelane_engine::batch::Chunk;
use corelane_engine::operator::{Context, Time};
use corelane_engine::stage::Stage;
use corelane_engine::{Code, Error, Result};
use corelane_io::append::Appended;
use corelane_io::format::Formatter;
use corelane_io::merge::Block;
use corelane_io::order::OrderKeys;

use crate::checkpoint::Call;
use crate::doorbell::Doorbell;
use crate::latency::Clocks;
use crate::pace::Pace;
use crate::partitions::Partitions;
use crate::ring::{Receiver, Sender};
use crate::sys;

/// A block is sent when it holds this many bytes. A file of the shard's own is written up to multiples of
/// it: a write that begins or ends within a page of the page cache costs a quarter more.
const BLOCK_BYTES: usize = 128 << 10;
/// Blocks that one sink of one shard may have under way to the writer.
pub const BLOCKS_OUT: usize = 8;

/// What goes from a shard's sink to the writer, in order.
pub enum Parcel {
    /// Rows.
    Rows(Box<TextBlock>),
    /// No later row of this shard has a lesser key.
    Frontier(Vec<u8>),
    /// What came before belongs to this epoch, what follows does not.
    Barrier(Call),
    /// This shard has no more rows.
    Finished,
}

/// Rows as text, and what is needed to say how long they took.
#[derive(Debug, Default)]
pub struct TextBlock {
    /// The text and its order.
    pub block: Block,
    /// Rows in it.
    pub rows: u64,
    marks: Vec<Mark>,
    ordinals: Vec<u64>,
}

impl AsRef<Block> for Box<TextBlock> {
    fn as_ref(&self) -> &Block {
        &self.block
    }
}

/// From when the latency of some rows counts.
#[derive(Clone, Copy, Debug)]
struct Mark {
    since: u64,
    rows: u64,
    from: Since,
}

/// What begins the latency of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// Its bytes were read.
    Read,
    /// The watermark (or the end of the input) allowed it out, at this tick.
    Due(u64),
}

impl TextBlock {
    /// Rows that an earlier run has formatted, of whose way nothing is known.
    pub fn of(block: Block) -> TextBlock {
        TextBlock { block, ..TextBlock::default() }
    }

    fn clear(&mut self) {
        self.block.clear();
        self.rows = 0;
        self.marks.clear();
        self.ordinals.clear();
    }

    /// Records and forgets the first `count` bytes, which are written. Rows of a chunk that is not written
    /// to its end are yet to be recorded.
    fn record_written(&mut self, count: usize, clocks: &mut Clocks, pace: Option<Pace>) {
        let last = if count < self.block.bytes.len() { self.marks.pop() } else { None };
        let rows = last.map_or(0, |mark| mark.rows as usize).min(self.ordinals.len());
        let ordinals = self.ordinals.split_off(self.ordinals.len() - rows);
        self.record(clocks, pace);
        self.block.bytes.drop_front(count);
        self.rows = last.map_or(0, |mark| mark.rows);
        self.marks.clear();
        self.marks.extend(last);
        self.ordinals = ordinals;
        self.block.forget_order();
    }

    /// Bytes of memory held.
    fn memory(&self) -> usize {
        let Block { bytes, ends, keys, key_ends } = &self.block;
        let marks = self.marks.capacity() * size_of::<Mark>() + self.ordinals.capacity() * 8;
        bytes.capacity() + keys.capacity() + 4 * (ends.capacity() + key_ends.capacity()) + marks
    }

    /// Records, now that the rows are written, how long they took.
    pub fn record(&self, clocks: &mut Clocks, pace: Option<Pace>) {
        let now = sys::ticks();
        let passed = |since: u64| sys::ticks_to_ns(now.saturating_sub(since));
        for mark in &self.marks {
            match mark.from {
                Since::Read => clocks.engine.record(passed(mark.since), mark.rows),
                Since::Due(_) => clocks.window_close.record(passed(mark.since), mark.rows),
            }
            if pace.is_some() && mark.from == Since::Read {
                clocks.uncorrected.record(passed(mark.since), mark.rows);
            }
        }
        if let Some(pace) = pace {
            for &ordinal in &self.ordinals {
                clocks.scheduled.record(passed(pace.due(ordinal >> 12)), 1);
            }
        }
    }
}

/// Where a sink's text goes.
pub enum Destination {
    /// A file of this shard's own; made when there is something to write.
    File {
        /// Its path.
        path: std::path::PathBuf,
        /// The open file.
        file: Option<File>,
    },
    /// A file of this shard's own that is committed with the checkpoints.
    Kept(Appended),
    /// The writer, who puts all shards' text together.
    Writer {
        /// Towards it.
        parcels: Sender<Parcel>,
        /// Emptied blocks, back from it.
        home: Receiver<Box<TextBlock>>,
        /// Wakes it.
        bell: Arc<[Doorbell]>,
    },
    /// Folders named by the rows' values.
    Partitions(Box<Partitions>),
    /// Nowhere: rows are formatted and counted (`-o /dev/null`).
    Nowhere,
}

/// One sink on one shard.
pub struct ShardSink {
    formatter: Formatter,
    keys: Option<OrderKeys>,
    block: Box<TextBlock>,
    #[allow(clippy::vec_box, reason = "blocks cross rings as boxes and are never moved out of them")]
    free: Vec<Box<TextBlock>>,
    waiting: VecDeque<Parcel>,
    to: Destination,
    pace: Option<Pace>,
    /// From when the latency of the rows now coming counts.
    pub since: Since,
    /// This sink wants no more rows.
    pub satisfied: bool,
    /// How long rows took, where this shard writes them itself.
    pub clocks: Clocks,
    /// Rows so far.
    rows: u64,
    /// Bytes of text so far.
    bytes: u64,
    /// Rows and bytes besides, that earlier runs have written elsewhere.
    earlier: (u64, u64),
    header_due: bool,
    finished: bool,
    told: Vec<u8>,
}

impl ShardSink {
    /// A sink that writes as `formatter` does; `keys` make the merge order, where there is one.
    pub fn new(formatter: Formatter, keys: Option<OrderKeys>, to: Destination, pace: Option<Pace>) -> Self {
        let spare = if matches!(to, Destination::Writer { .. }) { BLOCKS_OUT } else { 0 };
        ShardSink {
            header_due: to.is_own(),
            formatter,
            keys,
            block: Box::default(),
            free: (0..spare).map(|_| Box::default()).collect(),
            waiting: VecDeque::new(),
            to,
            pace,
            since: Since::Read,
            satisfied: false,
            clocks: Clocks::default(),
            rows: 0,
            bytes: 0,
            earlier: (0, 0),
            finished: false,
            told: Vec::new(),
        }
    }

    /// Rows and bytes of text so far.
    pub fn totals(&self) -> (u64, u64) {
        (self.rows + self.earlier.0, self.bytes + self.earlier.1)
    }

    /// Takes rows.
    pub fn rows(&mut self, chunk: &Chunk<'_>, context: &Context<'_>) -> Result<()> {
        let before = context.ledger.enter(Stage::Format);
        if std::mem::take(&mut self.header_due) {
            self.formatter.header(&mut self.block.block.bytes);
        }
        let Block { bytes, ends, keys, key_ends } = &mut self.block.block;
        match (&mut self.to, &mut self.keys) {
            (Destination::Partitions(partitions), _) => self.bytes += partitions.rows(chunk, context)?,
            (_, None) => self.formatter.rows(chunk, bytes, None),
            (_, Some(order)) => {
                self.formatter.rows(chunk, bytes, Some(ends));
                order.encode(chunk, keys, key_ends);
            }
        }
        let since = match self.since {
            Since::Read => chunk.stamp,
            Since::Due(tick) => tick,
        };
        let rows = chunk.rows as u64;
        self.block.marks.push(Mark { since, rows, from: self.since });
        if let (Some(_), Some(ordinals)) = (self.pace, chunk.ordinals) {
            self.block.ordinals.extend_from_slice(ordinals);
        }
        self.block.rows += rows;
        self.rows += rows;
        let held = self.block.block.bytes.len();
        let until = match self.to {
            Destination::File { .. } => (self.bytes as usize + held) / BLOCK_BYTES * BLOCK_BYTES,
            _ if held >= BLOCK_BYTES => self.bytes as usize + held,
            _ => 0,
        };
        if until > self.bytes as usize {
            context.ledger.enter(Stage::Write);
            self.send(until - self.bytes as usize)?;
        }
        context.ledger.enter(before);
        Ok(())
    }

    /// Whether there is room for one more chunk.
    pub fn ready(&mut self) -> bool {
        if let Destination::Writer { home, .. } = &mut self.to {
            while let Some(mut block) = home.pop() {
                block.clear();
                self.free.push(block);
            }
            return self.waiting.is_empty() && !self.free.is_empty();
        }
        true
    }

    /// Bytes of memory held here; blocks on their way are the writer's.
    pub fn memory(&self) -> usize {
        let blocks = self.free.iter().chain([&self.block]).map(|block| block.memory()).sum::<usize>();
        match &self.to {
            Destination::Partitions(partitions) => blocks + partitions.memory(),
            _ => blocks,
        }
    }

    /// Whether text waits in an unsent block.
    pub fn has_partial(&self) -> bool {
        match &self.to {
            Destination::Partitions(_) => self.block.rows > 0,
            _ => !self.block.block.bytes.is_empty(),
        }
    }

    /// Whether something for the writer found no room in the ring yet.
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Sends what waits, as far as it fits; returns whether anything moved.
    pub fn push_waiting(&mut self) -> Result<bool> {
        let Destination::Writer { parcels, bell, .. } = &mut self.to else { return Ok(false) };
        let mut moved = false;
        while let Some(parcel) = self.waiting.pop_front() {
            if let Err(parcel) = parcels.push(parcel) {
                self.waiting.push_front(parcel);
                break;
            }
            moved = true;
        }
        if moved {
            bell[0].ring();
        }
        Ok(moved)
    }

    /// Sends or writes the unfinished block.
    pub fn flush(&mut self) -> Result<()> {
        if self.has_partial() { self.send(self.block.block.bytes.len()) } else { Ok(()) }
    }

    /// Sends the block, or writes its first `count` bytes: all of it, or all but a part of the last chunk's.
    fn send(&mut self, count: usize) -> Result<()> {
        self.bytes += count as u64;
        match &mut self.to {
            Destination::Writer { .. } => {
                let fresh = self.free.pop().unwrap_or_default();
                let full = std::mem::replace(&mut self.block, fresh);
                self.waiting.push_back(Parcel::Rows(full));
                self.push_waiting()?;
            }
            Destination::File { path, file } => {
                write_own(path, file, &self.block.block.bytes.bytes()[..count])?;
                self.block.record_written(count, &mut self.clocks, self.pace);
            }
            Destination::Kept(file) => {
                let text = self.block.block.bytes.bytes();
                file.append(text).map_err(|cause| cannot_write(file.name(), &cause))?;
                self.block.record(&mut self.clocks, self.pace);
                self.block.clear();
            }
            Destination::Partitions(partitions) => {
                partitions.flush()?;
                self.block.record(&mut self.clocks, self.pace);
                self.block.clear();
            }
            Destination::Nowhere => {
                self.block.record(&mut self.clocks, self.pace);
                self.block.clear();
            }
        }
        Ok(())
    }

    /// No later row has a time at or before `watermark`.
    pub fn watermark(&mut self, watermark: Time) -> Result<()> {
        match self.keys.as_ref().and_then(|keys| keys.frontier(watermark)) {
            Some(frontier) => self.frontier(frontier),
            None => Ok(()),
        }
    }

    /// No later row has a position (or, under `--ordered`, an ordinal) less than `place`.
    pub fn place(&mut self, place: u64) -> Result<()> {
        match self.keys.as_ref().and_then(|keys| keys.frontier_of_place(place)) {
            Some(frontier) => self.frontier(frontier),
            None => Ok(()),
        }
    }

    fn frontier(&mut self, frontier: Vec<u8>) -> Result<()> {
        if !matches!(self.to, Destination::Writer { .. }) || frontier <= self.told {
            return Ok(());
        }
        self.told.clone_from(&frontier);
        self.flush()?;
        self.waiting.push_back(Parcel::Frontier(frontier));
        self.push_waiting().map(drop)
    }

    /// This shard has no more rows for this sink.
    pub fn finish(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.finished, true) {
            return Ok(());
        }
        if std::mem::take(&mut self.header_due) {
            self.formatter.header(&mut self.block.block.bytes);
        }
        if self.to.is_own() {
            self.formatter.footer(self.rows, &mut self.block.block.bytes);
        }
        self.flush()?;
        match &mut self.to {
            Destination::Writer { .. } => {
                self.waiting.push_back(Parcel::Finished);
                self.push_waiting().map(drop)
            }
            Destination::Partitions(partitions) => partitions.finish(),
            _ => Ok(()),
        }
    }

    /// The shard ends, whether or not its rows are complete: what is formatted is handed over.
    pub fn close(&mut self) -> Result<()> {
        if self.finished {
            return Ok(());
        }
        self.flush()?;
        match &mut self.to {
            Destination::Partitions(partitions) => partitions.stop(),
            _ => Ok(()),
        }
    }
}

impl Destination {
    /// Whether it is a file of the shard's own, with header and footer.
    fn is_own(&self) -> bool {
        matches!(self, Destination::File { .. } | Destination::Kept(_))
    }
}

/// The error for a file that cannot be written.
pub fn cannot_write(name: &str, cause: &std::io::Error) -> Error {
    Error::new(Code::Io, format!("cannot write `{name}`: {cause}"))
}

fn write_own(path: &std::path::Path, file: &mut Option<File>, text: &[u8]) -> Result<()> {
    let failed = |cause: std::io::Error| cannot_write(&path.to_string_lossy(), &cause);
    let open = match file {
        Some(open) => open,
        none => none.insert(File::create(path).map_err(failed)?),
    };
    open.write_all(text).map_err(failed)
}
