//! The writer: one thread off the shards that puts their text in order and writes it out.
//!
//! It serves standard output and merged files. Shards format; what comes here is text with keys. It
//! takes from a shard only while it holds less than its part of the merge buffer for it, unless the
//! others wait for just that shard; so a slow reader or disk fills the shards' few blocks, and then
//! the shards stop reading: nothing grows.

mod aligned;

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use corelane_engine::{Code, Error, Result};
use corelane_io::append::Appended;
use corelane_io::format::{Assembler, Buffer};
use corelane_io::merge::Merger;

use crate::checkpoint::Reporter;
use crate::doorbell::Doorbell;
use crate::latency::Clocks;
use crate::pace::Pace;
use crate::ring::{Receiver, Sender};
use crate::shard::Stop;
use crate::sink::{Parcel, TextBlock};

/// Text is written in pieces of at least this many bytes while more is coming.
const WRITE_BYTES: usize = 256 << 10;

/// One merged output.
pub struct Merged {
    /// Where it goes.
    pub target: Target,
    /// Header, footer and what stands between rows.
    pub assembler: Assembler,
    /// From every shard.
    pub lanes: Vec<TextLane>,
    /// Of all shards: one that waits for an empty block is woken.
    pub bells: Arc<[Doorbell]>,
    /// Rows go out as they come.
    pub arrival: bool,
    /// The schedule, under `--rate`.
    pub pace: Option<Pace>,
}

/// The way of text from one shard, and of empty blocks back.
pub struct TextLane {
    /// Text.
    pub parcels: Receiver<Parcel>,
    /// Empty blocks.
    pub home: Sender<Box<TextBlock>>,
}

/// Where merged text goes.
pub enum Target {
    /// Standard output.
    Stdout,
    /// A file, replaced when the first row (or the end) is there.
    File(PathBuf),
    /// A file that is committed with the checkpoints.
    Kept(Appended),
    /// Memory, for simulations.
    Memory(Arc<Mutex<Vec<u8>>>),
}

/// What the writer has done.
#[derive(Default)]
pub struct Written {
    /// How long the rows of each shard took; shards without rows may be missing at the end.
    pub clocks: Vec<Clocks>,
    /// Bytes written.
    pub bytes: u64,
    /// Nanoseconds on a CPU.
    pub cpu_ns: u64,
    /// The reader of standard output went away.
    pub reader_gone: bool,
}

/// Writes every output to its end. `bell[0]` is rung when there is something to do.
pub fn run(mut writers: Writers, bell: &[Doorbell], stop: &Stop, shards_done: &dyn Fn() -> bool) -> Result<Written> {
    loop {
        match writers.step(&bell[0], stop, shards_done)? {
            Turn::Busy => {}
            Turn::Wait => {
                let _ = bell[0].signal().wait(Some(std::time::Duration::from_millis(100)));
                bell[0].disarm();
            }
            Turn::Done => {
                writers.written.cpu_ns = crate::sys::thread_cpu_ns();
                return Ok(writers.written);
            }
        }
    }
}

/// All outputs of a job, moved on by one synchronous step.
pub struct Writers {
    writers: Vec<Writer>,
    /// To whom cuts are told, with checkpoints.
    reporter: Option<Reporter>,
    /// What was done so far.
    pub written: Written,
}

/// What a step of [`Writers`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Something was done.
    Busy,
    /// Nothing to do until the bell rings, which is armed.
    Wait,
    /// Everything is written.
    Done,
}

impl Writers {
    /// Writers of `outputs` that hold back `merge_buffer` bytes of each.
    pub fn new(outputs: Vec<Merged>, merge_buffer: usize) -> Self {
        let writers = outputs.into_iter().map(|output| Writer::new(output, merge_buffer)).collect();
        Writers { writers, reporter: None, written: Written::default() }
    }

    /// Does what can be done now.
    pub fn step(&mut self, bell: &Doorbell, stop: &Stop, shards_done: &dyn Fn() -> bool) -> Result<Turn> {
        // Looked at before the rings are: what a shard sent before it was done is seen.
        let last = shards_done();
        if self.round(stop)? || self.report() {
            return Ok(Turn::Busy);
        }
        if self.writers.iter().all(|writer| writer.ended) {
            return Ok(Turn::Done);
        }
        if last && self.reporter.is_some() {
            // What is in order and not cut is written again by the run that goes on.
            return Ok(Turn::Done);
        }
        if last {
            // Shards stopped without finishing: what is in order is out, the rest is dropped.
            for writer in self.writers.iter_mut().filter(|writer| !writer.ended) {
                if writer.output.assembler.is_begun() {
                    writer.output.assembler.footer(&mut writer.text);
                }
                writer.flush(&mut self.written, stop)?;
            }
            return Ok(Turn::Done);
        }
        bell.arm();
        if self.round(stop)? || shards_done() {
            bell.disarm();
            return Ok(Turn::Busy);
        }
        Ok(Turn::Wait)
    }

    fn round(&mut self, stop: &Stop) -> Result<bool> {
        let mut busy = false;
        for writer in &mut self.writers {
            busy |= writer.round(&mut self.written, stop)?;
        }
        Ok(busy)
    }
}

struct Writer {
    output: Merged,
    merger: Merger<Box<TextBlock>>,
    out: Option<Box<dyn Write + Send>>,
    text: Buffer,
    done: Vec<(usize, Box<TextBlock>)>,
    hold: usize,
    alignment: aligned::Alignment,
    ended: bool,
}

impl Writer {
    fn new(output: Merged, merge_buffer: usize) -> Self {
        let shards = output.lanes.len();
        Writer {
            merger: Merger::new(shards, output.arrival),
            hold: merge_buffer / shards.max(1),
            output,
            out: None,
            text: Buffer::default(),
            done: Vec::new(),
            alignment: aligned::Alignment::new(shards),
            ended: false,
        }
    }

    /// Takes what has come, and writes what may go; returns whether anything was done.
    fn round(&mut self, written: &mut Written, stop: &Stop) -> Result<bool> {
        if self.ended {
            return Ok(false);
        }
        let mut busy = false;
        for shard in 0..self.output.lanes.len() {
            while self.takes_from(shard) {
                let Some(parcel) = self.output.lanes[shard].parcels.pop() else { break };
                busy = true;
                self.output.bells[shard].ring();
                match parcel {
                    Parcel::Rows(block) => {
                        self.merger.push(shard, block);
                        if self.alignment.call.is_some() {
                            self.lend(shard);
                        }
                    }
                    Parcel::Frontier(key) => self.merger.frontier(shard, key),
                    Parcel::Barrier(call) => self.barrier(shard, call),
                    Parcel::Finished => {
                        self.alignment.finished[shard] = true;
                        self.merger.finish(shard);
                    }
                }
            }
        }
        let Writer { merger, output, text, done, .. } = self;
        let assembler = &mut output.assembler;
        merger.drain(
            |rows| {
                assembler.rows(rows, text);
                Ok::<_, Error>(())
            },
            |shard, block| {
                done.push((shard, block));
                Ok(())
            },
        )?;
        if self.alignment.is_complete() {
            self.flush(written, stop)?;
            self.cut();
            return Ok(true);
        }
        if self.merger.is_done() {
            self.output.assembler.footer(&mut self.text);
            self.flush(written, stop)?;
            self.ended = true;
            return Ok(true);
        }
        if !busy || self.text.len() >= WRITE_BYTES || !self.done.is_empty() {
            self.flush(written, stop)?;
        }
        Ok(busy)
    }

    /// Writes what is assembled, then sends the blocks it came from home.
    fn flush(&mut self, written: &mut Written, stop: &Stop) -> Result<()> {
        if !self.text.is_empty() && !written.reader_gone {
            let result = match &mut self.output.target {
                Target::Kept(file) => file.append(self.text.bytes()),
                target => open(&mut self.out, target)
                    .and_then(|out| out.write_all(self.text.bytes()).and_then(|()| out.flush())),
            };
            match result {
                Ok(()) => written.bytes += self.text.len() as u64,
                Err(cause) if cause.kind() == ErrorKind::BrokenPipe && matches!(self.output.target, Target::Stdout) => {
                    written.reader_gone = true;
                    stop.now.store(true, Ordering::Relaxed);
                }
                Err(cause) => {
                    stop.now.store(true, Ordering::Relaxed);
                    let name = match &self.output.target {
                        Target::Stdout => "standard output".to_owned(),
                        Target::File(path) => format!("`{}`", path.display()),
                        Target::Kept(file) => format!("`{}`", file.name()),
                        Target::Memory(_) => "memory".to_owned(),
                    };
                    return Err(Error::new(Code::Io, format!("cannot write {name}: {cause}")));
                }
            }
        }
        self.text.clear();
        for (shard, block) in self.done.drain(..) {
            if written.clocks.len() <= shard {
                written.clocks.resize_with(shard + 1, Clocks::default);
            }
            block.record(&mut written.clocks[shard], self.output.pace);
            if shard >= self.output.lanes.len() || self.alignment.is_owed(shard) {
                continue;
            }
            // A shard that has ended no longer takes its blocks back.
            let _ = self.output.lanes[shard].home.push(block);
            self.output.bells[shard].ring();
        }
        Ok(())
    }
}

/// The output, opened when it is first needed.
fn open<'o>(out: &'o mut Option<Box<dyn Write + Send>>, target: &Target) -> io::Result<&'o mut Box<dyn Write + Send>> {
    if out.is_none() {
        *out = Some(match target {
            Target::Stdout => Box::new(io::stdout()),
            Target::File(path) => Box::new(File::create(path)?),
            Target::Memory(bytes) => Box::new(Memory(Arc::clone(bytes))),
            Target::Kept(_) => return Err(io::Error::other("a file to be committed is open already")),
        });
    }
    Ok(out.as_mut().expect("it was just opened"))
}

struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
