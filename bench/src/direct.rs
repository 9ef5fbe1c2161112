//! The reference that coordination is measured against: a query in one plain thread.
//!
//! It is what one would write who had the engine but no runtime: a loop that asks the reader for
//! rows, pushes them through the operators and writes the formatted result to one file. The reader
//! ([`SplitReader`]), the operators ([`Pipeline`]) and the format ([`Formatter`]) are the very ones
//! of a job, and so is the order in which splits are read, since lateness and running totals depend
//! on it. What is missing is what a ratio of the two is to show the price of:
//!
//! | a job has | here |
//! |---|---|
//! | an executor, steps, turns between stages | a loop |
//! | exchanges: hashes, batches, rings, credit | calls; the plan has no exchange |
//! | doorbells, parking | nothing to wait for |
//! | reads that may not block | plain reads, of files in the page cache |
//! | a ledger that reads the clock | one whose clock stands still |
//! | latency of rows, progress, limits, signals | nothing |
//!
//! Several *copies* may run at the same time, each on its own core over its own shard's files and
//! with no knowledge of the others: what the cores could do at best, for the number of shards that
//! a job is given. A copy groups only its own rows, so for more than one the sum of their results is
//! not the answer; that comes from a run over everything ([`Direct::all`]).

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use bumpalo::Bump;
use corelane::job::catalog::Inputs;
use corelane::options::Options;
use corelane::sys;
use corelane_engine::batch::Chunk;
use corelane_engine::operator::{Context, Outlets, TIME_MIN, Time};
use corelane_engine::pipeline::Pipeline;
use corelane_engine::plan::{self, NodeId, Operator, Plan, ReadOrder};
use corelane_engine::scan::{Scanner, SplitTime};
use corelane_engine::sql::Program;
use corelane_engine::stage::Ledger;
use corelane_engine::{Code, Error, Result, hash};
use corelane_io::format::{Buffer, Format, Formatter};
use corelane_io::fs::Disk;
use corelane_io::options::OnError;
use corelane_io::reader::{SplitReader, Step};
use corelane_io::source::Source;

/// Text is written when there is this much of it, whole blocks at a time, as in a job.
const BLOCK_BYTES: usize = 128 << 10;

/// A query over the files of its one table.
pub struct Direct {
    plan: Plan,
    scan: NodeId,
    scanner: Scanner,
    input: Source,
}

/// What one run has taken.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// Rows read.
    pub rows_in: u64,
    /// Rows written.
    pub rows_out: u64,
    /// From the start of all copies to the end of this one.
    pub wall: Duration,
    /// On a CPU.
    pub cpu: Duration,
    /// Times its CPU was taken.
    pub involuntary_switches: u64,
}

impl Direct {
    /// The query of `program`, as `options` would have it run on one shard.
    pub fn new(program: &Program, disk: &dyn Disk, options: &Options) -> Result<Direct> {
        let alone = plan::Distribution { shards: 1, force_exchange: false, ordered: false };
        let plan = plan::distribute(program.plan.clone(), &alone)?;
        let mut scans = plan.nodes.iter().enumerate().filter_map(|(node, this)| match &this.operator {
            Operator::Scan(scan) => Some((node, scan)),
            _ => None,
        });
        let (Some((node, scan)), None) = (scans.next(), scans.next()) else {
            return Err(Error::new(Code::Unsupported, "a query that does not read exactly one table"));
        };
        let table = program.table(&scan.table).ok_or_else(|| Error::new(Code::UnknownTable, scan.table.clone()))?;
        let input = Inputs::new(disk, options).open(table, corelane_io::split::PIECE_BYTES)?;
        let scanner = Scanner::new(scan.clone());
        Ok(Direct { plan, scan: node, scanner, input })
    }

    /// The plan, which has no exchange.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The node at which rows enter the plan.
    pub fn scan(&self) -> NodeId {
        self.scan
    }

    /// What decides which rows enter it.
    pub fn scanner(&self) -> &Scanner {
        &self.scanner
    }

    /// The files.
    pub fn input(&self) -> &Source {
        &self.input
    }

    /// All files in this thread. Returns the rows read and written.
    pub fn all(&self, out: &mut dyn Write) -> Result<(u64, u64)> {
        self.run(&(0..self.input.splits.len()).collect::<Vec<_>>(), out)
    }

    /// One copy per CPU of `cpus`, at the same time, each pinned to it and over the splits of its
    /// own shard. The results are `part-0.csv`, ... in `directory`.
    pub fn copies(&self, cpus: &[usize], directory: &Path) -> Result<Vec<Outcome>> {
        let deal = self.input.deal(cpus.len());
        let began = Instant::now();
        std::thread::scope(|scope| {
            let copy = |(number, &cpu): (usize, &usize)| {
                let (path, mine) = (directory.join(format!("part-{number}.csv")), &deal[number]);
                scope.spawn(move || self.copy(cpu, mine, &path, began))
            };
            let copies: Vec<_> = cpus.iter().enumerate().map(copy).collect();
            let panicked = |_| Err(Error::new(Code::Internal, "a direct run panicked"));
            copies.into_iter().map(|copy| copy.join().unwrap_or_else(panicked)).collect()
        })
    }

    fn copy(&self, cpu: usize, splits: &[usize], path: &Path, began: Instant) -> Result<Outcome> {
        if !core_affinity::set_for_current(core_affinity::CoreId { id: cpu }) {
            return Err(Error::new(Code::BadOption, format!("cannot pin a thread to CPU {cpu}")));
        }
        let mut file = File::create(path)
            .map_err(|cause| Error::new(Code::Io, format!("cannot write `{}`: {cause}", path.display())))?;
        let (rows_in, rows_out) = self.run(splits, &mut file)?;
        let (_, involuntary_switches) = sys::thread_switches();
        let cpu = Duration::from_nanos(sys::thread_cpu_ns());
        Ok(Outcome { rows_in, rows_out, wall: began.elapsed(), cpu, involuntary_switches })
    }

    /// The loop: `splits` of the input through the pipeline, to `out`.
    fn run(&self, splits: &[usize], out: &mut dyn Write) -> Result<(u64, u64)> {
        let mut pipeline = Pipeline::new(&self.plan, 0, 1, hash::DEFAULT_SEED)?;
        let mut splits = Splits::open(self, splits)?;
        let mut sink = Sink::new(&self.plan, out)?;
        let ledger = Ledger::idle();
        let mut scratch = Bump::new();
        let (mut told, mut rows_in) = (TIME_MIN, 0);
        loop {
            scratch.reset();
            let context = Context { scratch: &scratch, ledger: &ledger };
            if pipeline.pending(self.scan) {
                pipeline.drain(self.scan, &context, &mut sink)?;
                continue;
            }
            let Some(split) = splits.next() else { break };
            let watermark = splits.watermark();
            if watermark > told {
                told = watermark;
                pipeline.watermark(self.scan, watermark, &context, &mut sink)?;
                continue;
            }
            let OpenSplit { reader, time, ended } = &mut splits.list[split];
            reader.fill(&ledger)?;
            match reader.next(&self.scanner, time, &context)? {
                Step::End => *ended = true,
                Step::NeedBytes => {}
                Step::Rows(scanned) => {
                    scanned.check(OnError::Fail)?;
                    rows_in += scanned.counts.read;
                    if scanned.chunk.rows > 0 {
                        pipeline.push(self.scan, &scanned.chunk, &context, &mut sink)?;
                    }
                }
            }
        }
        pipeline.finish(self.scan, &Context { scratch: &scratch, ledger: &ledger }, &mut sink)?;
        while pipeline.pending(self.scan) {
            scratch.reset();
            pipeline.drain(self.scan, &Context { scratch: &scratch, ledger: &ledger }, &mut sink)?;
        }
        sink.write(sink.text.len())?;
        Ok((rows_in, sink.rows))
    }
}

/// The splits of one run, in the order in which a job's shard would have read them.
struct Splits {
    list: Vec<OpenSplit>,
    order: ReadOrder,
    delay_us: Option<i64>,
}

struct OpenSplit {
    reader: SplitReader,
    time: SplitTime,
    ended: bool,
}

impl Splits {
    fn open(direct: &Direct, splits: &[usize]) -> Result<Splits> {
        let scan = direct.scanner.scan();
        let open = |&split: &usize| {
            let time = direct.input.peek(split, &direct.scanner)?;
            Ok(OpenSplit { reader: direct.input.reader(split, scan)?, time, ended: false })
        };
        let delay_us = scan.event_time.as_ref().map(|event_time| event_time.delay_us);
        Ok(Splits { list: splits.iter().map(open).collect::<Result<_>>()?, order: scan.read_order, delay_us })
    }

    /// The split to read on from; none when all have ended.
    fn next(&self) -> Option<usize> {
        let mut open = self.list.iter().enumerate().filter(|(_, split)| !split.ended);
        let chosen = match self.order {
            ReadOrder::Position => open.next(),
            ReadOrder::EventTime => open.min_by_key(|(_, split)| split.time.highest),
        };
        chosen.map(|(place, _)| place)
    }

    /// Every later row has a greater event time.
    fn watermark(&self) -> Time {
        let Some(delay_us) = self.delay_us else { return TIME_MIN };
        let open = self.list.iter().filter(|split| !split.ended);
        open.map(|split| split.time.watermark(delay_us)).min().unwrap_or(TIME_MIN)
    }
}

/// Where the rows of the plan's one sink become text, and the text is written.
struct Sink<'o> {
    formatter: Formatter,
    text: Buffer,
    rows: u64,
    out: &'o mut dyn Write,
}

impl<'o> Sink<'o> {
    fn new(plan: &Plan, out: &'o mut dyn Write) -> Result<Sink<'o>> {
        let mut sinks = plan.nodes.iter().filter_map(|node| match &node.operator {
            Operator::Sink(sink) => Some((node, sink)),
            _ => None,
        });
        let (Some((node, sink)), None) = (sinks.next(), sinks.next()) else {
            return Err(Error::new(Code::Unsupported, "a script with more than one result"));
        };
        let mut formatter = Formatter::new(Format::Csv, &node.schema, sink.visible);
        let mut text = Buffer::default();
        formatter.header(&mut text);
        Ok(Sink { formatter, text, rows: 0, out })
    }

    /// Writes the first `count` bytes of the text.
    fn write(&mut self, count: usize) -> Result<()> {
        let written = self.out.write_all(&self.text.bytes()[..count]);
        self.text.drop_front(count);
        written.map_err(|cause| Error::new(Code::Io, format!("cannot write the result: {cause}")))
    }
}

/// There is no exchange to reach, and nobody to tell the time.
impl Outlets for Sink<'_> {
    fn sink(&mut self, _: usize, chunk: &Chunk<'_>, _: &Context<'_>) -> Result<()> {
        self.formatter.rows(chunk, &mut self.text, None);
        self.rows += chunk.rows as u64;
        let whole = self.text.len() / BLOCK_BYTES * BLOCK_BYTES;
        if whole > 0 { self.write(whole) } else { Ok(()) }
    }
}
