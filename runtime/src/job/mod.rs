//! A job: a script, made into shards, run to its end, and told about.
//!
//! [`prepare`] does everything that can go wrong before a row is read (SQL, files, cores, outputs);
//! [`Prepared::run`] starts the shards and the writer, watches for signals, and collects what is
//! known at the end.

pub mod catalog;
mod cost;
pub mod outputs;
mod owners;
pub mod rejects;
mod run;
pub mod task;
pub mod tell;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use corelane_engine::operator::{TIME_MIN, Time};
use corelane_engine::pipeline::Pipeline;
use corelane_engine::plan::{self, NodeId, Operator, Plan};
use corelane_engine::scan::{Scanner, SplitTime};
use corelane_engine::sql::{self, Program};
use corelane_engine::stage::Ledger;
use corelane_engine::state::Section;
use corelane_engine::{Code, Error, Result};
use corelane_io::durable::Durable;
use corelane_io::fs::Disk;
use corelane_io::options::OnError;
use corelane_io::source::Source as Input;

use crate::budget::{Account, Budget};
use crate::checkpoint::job::{Asked, Job, Places};
use crate::checkpoint::moving::{self, Moving};
use crate::checkpoint::recovery::{Here, Opened};
use crate::checkpoint::{Keeper, Member, Recovery, Reporter};
use crate::clock::{self, Clock};
use crate::cores::{self, CpuSet};
use crate::doorbell::Doorbell;
use crate::executor::{self, Kind};
use crate::idle::IdlePolicy;
use crate::lane::{self, Lanes, Skew};
use crate::options::{Executor, MaxErrors, OnError as OnErrorFlag, Options};
use crate::pace::Pace;
use crate::preflight;
use crate::shard::{Before, Parts, Stop};
use crate::source::{Aside, BadLimit, Source, SourceOptions};
use crate::sys;
use crate::writer::{Merged, Writers};
use catalog::Inputs;
use outputs::{Output, Outputs};
use rejects::Rejects;

pub use run::{Finished, Gauges};

/// Bytes of merged output held for its order unless `--merge-buffer` says otherwise.
const MERGE_BUFFER_BYTES: usize = 256 << 20;
/// Longest that rows stay in a partial batch: paced, and as fast as possible.
const DELAY_PACED: Duration = Duration::from_micros(100);
const DELAY_FAST: Duration = Duration::from_millis(1);

/// Now, in microseconds since the epoch.
pub fn now_us() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    now.as_micros() as i64
}

/// The time at which a run with `options` begins, in microseconds since the epoch: what NOW() says.
pub fn begins_at(options: &Options) -> i64 {
    match options.clock {
        clock::Choice::Wall => now_us(),
        clock::Choice::Scheduled { start_us, .. } => start_us,
    }
}

/// Compiles `script` against the inputs of `options`, without exchanges.
pub fn compile(script: &str, disk: &dyn Disk, options: &Options) -> Result<Program> {
    compile_at(script, disk, options, begins_at(options))
}

/// The same at the time `now_us`, in microseconds since the epoch.
pub fn compile_at(script: &str, disk: &dyn Disk, options: &Options, now_us: i64) -> Result<Program> {
    let sql_options = sql::Options {
        dialect: options.dialect,
        ordinals: options.rate.is_some(),
        ordered: options.ordered,
        clock: sql::Clock { now_us, zone: options.time_zone },
        ..sql::Options::default()
    };
    sql::compile(script, &mut Inputs::new(disk, options), &sql_options)
}

/// Everything a run needs, opened and checked.
pub struct Prepared {
    plan: Arc<Plan>,
    distribution: plan::Distribution,
    /// The plan is one for several shards.
    is_spread: bool,
    /// The script's program, before it was distributed.
    pub program: Program,
    /// CPU of each shard, where pinned.
    pub cpus: Vec<Option<usize>>,
    /// What drives the shards.
    pub kind: Kind,
    /// What the user should know before the run, a line each.
    pub notes: Vec<String>,
    inputs: Vec<(NodeId, Arc<Input>)>,
    outputs: Outputs,
    policy: IdlePolicy,
    turn_rows: u64,
    /// Bytes of a part of the state.
    part_bytes: usize,
    hash_seed: u64,
    rate: Option<f64>,
    delay: Duration,
    merge_buffer: usize,
    max_skew: Option<Time>,
    on_error: OnError,
    bad_limit: Option<Arc<BadLimit>>,
    max_errors: Option<MaxErrors>,
    rejects: Rejects,
    recovery: Option<Recovery>,
    /// Where outputs are committed, with checkpoints.
    disk: Option<Arc<dyn Durable>>,
    memory: u64,
    clock: clock::Choice,
}

/// Where a job's time is read.
#[derive(Clone, Copy)]
pub struct Timepiece {
    /// Ticks, for durations and deadlines.
    pub ticks: fn() -> u64,
    /// Microseconds since the epoch, for PROCTIME().
    pub now_us: fn() -> Time,
    /// `now_us` counts from the beginning of the run, which is the time that the script was compiled at.
    pub is_virtual: bool,
}

impl Timepiece {
    /// The host's.
    pub const WALL: Timepiece = Timepiece { ticks: sys::ticks, now_us: clock::wall_us, is_virtual: false };
}

/// Makes the parts of one shard, on the thread that will run it.
pub type MakeParts = Box<dyn FnOnce() -> Parts + Send>;

/// A job taken apart into what runs on each shard, and what the writer merges.
pub struct Assembled {
    /// By shard.
    pub parts: Vec<MakeParts>,
    /// The outputs that all shards share.
    pub merged: Vec<Merged>,
    /// With checkpoints, the writer's part in them.
    pub reporter: Option<Reporting>,
    /// With checkpoints, who calls and commits them.
    pub keeper: Option<Keeper>,
}

/// The shards' parts in checkpoints.
struct Membership {
    /// Each with what the same shard of an earlier run has held.
    members: Vec<(Member, Option<Vec<Section>>)>,
    /// What all shards of an earlier run have held, if they were more or fewer.
    moving: Option<Arc<Moving>>,
    /// Where rows go that do not go on, by shard and source.
    asides: Vec<Vec<Aside>>,
}

/// The writer's part in checkpoints.
pub struct Reporting {
    /// How it is heard.
    reporter: Reporter,
    /// What it held.
    held: Option<Vec<Section>>,
    /// There were more or fewer shards then.
    is_moved: bool,
}

impl Assembled {
    /// The writers of outputs that hold back `merge_buffer` bytes of each.
    pub fn writers(merged: Vec<Merged>, merge_buffer: usize, reporting: Option<Reporting>) -> Result<Writers> {
        let writers = Writers::new(merged, merge_buffer);
        match reporting {
            Some(Reporting { reporter, held, is_moved }) => writers.reporting(reporter, held.as_deref(), is_moved),
            None => Ok(writers),
        }
    }
}

/// The bells of a job.
pub struct Bells {
    /// Of each shard.
    pub shards: Arc<[Doorbell]>,
    /// Of the writer.
    pub writer: Arc<[Doorbell]>,
    /// Of the keeper of checkpoints.
    pub keeper: Arc<[Doorbell]>,
}

impl Bells {
    /// Bells for `shards` shards.
    pub fn new(shards: usize) -> Result<Bells> {
        let failed = |cause: std::io::Error| Error::new(Code::Io, format!("cannot make an eventfd: {cause}"));
        let bells = |count| executor::doorbells(count).map_err(failed);
        Ok(Bells { shards: bells(shards)?, writer: bells(1)?, keeper: bells(1)? })
    }
}

/// How inputs are read. Block sizes change nothing; pieces decide what is late, turns the order of
/// rows where several splits of a shard have the same time.
#[derive(Clone, Copy, Debug)]
pub struct Grain {
    /// Files larger than this many bytes are cut into splits; lateness belongs to the split.
    pub piece: u64,
    /// Bytes read at a time.
    pub block: usize,
    /// Rows of one split that are read before another can have its turn.
    pub turn_rows: u64,
}

impl Default for Grain {
    fn default() -> Self {
        Grain {
            piece: corelane_io::split::PIECE_BYTES,
            block: corelane_io::reader::BLOCK_BYTES,
            turn_rows: crate::source::TURN_ROWS,
        }
    }
}

fn refused(message: String) -> Error {
    Error::new(Code::BadOption, message)
}

/// How many shards `options` ask for, and the CPUs they may use.
pub fn shards(options: &Options) -> Result<(usize, CpuSet)> {
    let cpus = cores::select(options.cores.as_deref(), &CpuSet::allowed()).map_err(refused)?;
    let shards = options.shards.unwrap_or(cpus.len());
    if shards > lane::MAX_SHARDS {
        return Err(refused(format!("{shards} shards; the most is {}", lane::MAX_SHARDS)));
    }
    Ok((shards, cpus))
}

/// Opens and checks everything that `program` needs under `options`.
pub fn prepare(program: Program, disk: &dyn Disk, options: &Options) -> Result<Prepared> {
    prepare_with(program, disk, options, Grain::default())
}

/// The same with inputs read in pieces and blocks of the given size.
pub fn prepare_with(program: Program, disk: &dyn Disk, options: &Options, grain: Grain) -> Result<Prepared> {
    let (shards, cpus) = shards(options)?;
    let choice = match options.executor {
        Executor::Auto => preflight::Choice::Auto,
        Executor::Glommio => preflight::Choice::Glommio,
        Executor::Threads => preflight::Choice::Threads,
    };
    let (kind, note) = preflight::choose(choice, shards).map_err(refused)?;
    let quota = preflight::cpu_quota();
    let mut notes: Vec<String> = note.into_iter().chain(preflight::quota_note(shards, quota)).collect();
    let runnable = quota.unwrap_or(f64::INFINITY).min(cpus.len() as f64);

    let is_spread = shards > 1 || options.is_spread;
    let distribution = plan::Distribution {
        shards: if is_spread { shards.max(2) } else { shards },
        force_exchange: options.force_exchange,
        ordered: options.ordered,
    };
    let mut plan = plan::distribute::distribute(program.plan.clone(), &distribution)?;
    let catalog = Inputs::new(disk, options);
    let mut inputs = Vec::new();
    for (node, scan) in scans(&plan) {
        let table = program.table(&scan.table).ok_or_else(|| {
            Error::new(Code::Internal, format!("the plan scans `{}`, which nobody declared", scan.table))
        })?;
        let input = Arc::new(catalog.open(table, grain.piece)?.with_block(grain.block));
        // Binds the columns of every file now, so that what is missing is said before rows are read.
        for split in 0..input.splits.len() {
            input.reader(split, scan)?;
        }
        inputs.push((node, input));
    }
    let hash_seed = options.hash_seed.unwrap_or(corelane_engine::hash::DEFAULT_SEED);
    plan.owners = owners::choose(&plan, &inputs, shards, hash_seed);
    notes.extend(catalog.notes(&program));
    let outputs = Outputs::new(&plan, &program, options, shards, &inputs)?;
    let limit = match options.max_errors {
        Some(MaxErrors::Rows(most)) => Some(Arc::new(BadLimit::new(most))),
        _ => None,
    };
    let on_error = match (options.on_error, options.max_errors) {
        (OnErrorFlag::Reject, _) => OnError::Reject,
        (OnErrorFlag::Skip, _) | (_, Some(_)) => OnError::Skip,
        (OnErrorFlag::Fail, None) => OnError::Fail,
    };
    let of_table = |(_, input): &(NodeId, Arc<Input>)| input.options().on_error.unwrap_or(on_error);
    let files = inputs.iter().flat_map(|(_, input)| &input.files).map(|file| Path::new(file.file.name()));
    let files: Vec<&Path> = files.collect();
    let rejects = Rejects::new(options, inputs.iter().map(of_table), &files, outputs.list())?;
    let memory = options.memory.unwrap_or_else(|| preflight::memory_budget(preflight::memory_limit()));
    let fast = if options.rate.is_some() { DELAY_PACED } else { DELAY_FAST };
    Ok(Prepared {
        plan: Arc::new(plan),
        distribution,
        is_spread,
        program,
        cpus: cores::seats(&cpus, shards),
        kind,
        notes,
        inputs,
        outputs,
        policy: IdlePolicy::new(shards, runnable, options.rate.is_some(), options.busy_poll),
        turn_rows: grain.turn_rows,
        part_bytes: grain.block.min(corelane_engine::state::PART_BYTES),
        hash_seed,
        rate: options.rate,
        delay: options.max_batch_delay.unwrap_or(fast),
        // What is held for the output's order is no shard's: it stays a small part of the budget.
        merge_buffer: options.merge_buffer.map_or(MERGE_BUFFER_BYTES.min(memory as usize / 8), |bytes| bytes as usize),
        max_skew: options.max_skew.map(|skew| skew.as_micros().try_into().unwrap_or(Time::MAX)),
        on_error,
        bad_limit: limit,
        max_errors: options.max_errors,
        rejects,
        recovery: None,
        disk: None,
        memory,
        clock: options.clock,
    })
}

/// A scan with all that its sources are made of.
struct Reading<'p> {
    node: NodeId,
    input: &'p Arc<Input>,
    scanner: Scanner,
    /// At the first row of every split.
    times: Vec<SplitTime>,
    /// Splits by shard.
    deal: Vec<Vec<usize>>,
}

impl Reading<'_> {
    /// The event time at which `shard` begins to read.
    fn begins(&self, shard: usize) -> Option<Time> {
        let times = self.deal[shard].iter().map(|&split| self.times[split].highest);
        times.filter(|&time| time != TIME_MIN).min()
    }
}

/// The scans of a plan with their nodes.
fn scans(plan: &Plan) -> impl Iterator<Item = (NodeId, &plan::Scan)> {
    plan.nodes.iter().enumerate().filter_map(|(node, this)| match &this.operator {
        Operator::Scan(scan) => Some((node, scan)),
        _ => None,
    })
}

impl Prepared {
    /// The plan as it runs.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Names, files and splits of the inputs.
    pub fn inputs(&self) -> impl Iterator<Item = (&str, &Input)> {
        self.inputs.iter().map(|(node, input)| match &self.plan.nodes[*node].operator {
            Operator::Scan(scan) => (scan.table.as_str(), &**input),
            _ => ("", &**input),
        })
    }

    /// What the run was asked to do, as checkpoints record it, and what is committed with them.
    pub fn asked(&self, options: &Options, now_us: i64) -> Result<(Job, Places)> {
        let places = Places { asides: self.rejects.committed()?, ..self.outputs.committed()? };
        let outputs = self.outputs.names(&self.plan).into_iter().zip(self.outputs.list());
        let asked = Asked {
            plan: &self.program.plan,
            inputs: self.inputs().collect(),
            outputs: outputs.map(|((name, place), (_, format))| format!("{name} {place} {format:?}")).collect(),
            places: places.clone(),
            hash_seed: self.hash_seed,
            options: vec![
                format!("dialect {:?}", options.dialect),
                format!("time zone {}", options.time_zone),
                format!("bad rows {:?}", self.on_error),
                format!("bad rows at most {:?}", self.max_errors),
                format!("rows of a turn {}", self.turn_rows),
                // These change the plan as well, which would not say why.
                format!("--clock {:?}", options.clock),
                format!("--rate {}", if self.rate.is_some() { "given" } else { "not given" }),
                format!("--ordered {}", self.distribution.ordered),
                format!("--force-exchange {}", self.distribution.force_exchange),
            ],
        };
        let every = options.checkpoint_every.unwrap_or_default();
        let job = Job { every, shards: self.cpus.len(), now_us, lines: asked.lines()? };
        Ok((job, places))
    }

    /// Has the run write checkpoints to `path`, where nothing may be kept yet.
    pub fn begin(&mut self, disk: Arc<dyn Durable>, path: &str, options: &Options, now_us: i64) -> Result<()> {
        let (job, outputs) = self.asked(options, now_us)?;
        let here = Here { job: &job, plan: &self.plan, is_spread: self.is_spread, places: None, outputs: &outputs };
        self.recovery = Some(Recovery::begin(Arc::clone(&disk), path, &here)?);
        self.disk = Some(disk);
        Ok(())
    }

    /// Has the run go on with the checkpoints that were `opened`.
    pub fn go_on(&mut self, disk: Arc<dyn Durable>, opened: Opened, options: &Options) -> Result<&Recovery> {
        let (job, outputs) = self.asked(options, opened.job.now_us)?;
        if self.distribution.ordered && opened.shards() != self.cpus.len() {
            return Err(moving::refused());
        }
        let is_alike = opened.is_spread() || self.distribution.force_exchange || !self.is_spread;
        let places = match is_alike {
            true => None,
            false => Some(plan::distribute::places(&self.program.plan, &self.distribution)?),
        };
        let here = Here { job: &job, plan: &self.plan, is_spread: self.is_spread, places, outputs: &outputs };
        let recovery = Recovery::go_on(opened, Arc::clone(&disk), &here)?;
        self.disk = Some(disk);
        if recovery.is_finished() {
            // The run before may have died just behind its end.
            self.settle()?;
        }
        Ok(self.recovery.insert(recovery))
    }

    /// Puts committed rows that were kept apart together, once the end is committed.
    pub fn settle(&self) -> Result<()> {
        self.disk.as_ref().map_or(Ok(()), |disk| self.rejects.settle(&**disk))
    }

    /// Makes everything the shards and the writer run, for whoever drives them.
    pub fn assemble(&mut self, bells: &Bells, stop: &Arc<Stop>, time: Timepiece) -> Result<Assembled> {
        let clock = time.ticks;
        let shards = self.cpus.len();
        let pace = self.rate.map(|rate| {
            // Only shards that have something to read take part in the schedule.
            let reads = |shard: &usize| self.inputs.iter().any(|(_, input)| !input.deal(shards)[*shard].is_empty());
            let readers = (0..shards).filter(reads).count().max(1);
            let interval = readers as f64 / rate * 1e9 / sys::ns_per_tick();
            // Time for all shards to start before the first row is due.
            Pace { start: clock() + (2_000_000.0 / sys::ns_per_tick()) as u64, first: 0, interval }
        });
        let mut recovery = self.recovery.take();
        let (sinks, merged) = self.outputs.connect(&self.plan, shards, bells, pace, recovery.as_mut())?;
        let mut members = Vec::new();
        if let Some(recovery) = &mut recovery {
            for _ in 0..shards {
                members.push(recovery.member(&bells.keeper)?);
            }
        }
        let has_writer = !merged.is_empty();
        let reporter = recovery.as_mut().filter(|_| has_writer).map(|recovery| recovery.writer(&bells.keeper));
        let reporter = reporter.transpose()?;
        let moving = recovery.as_ref().and_then(Recovery::moving);
        let reporter = reporter.map(|(reporter, held)| Reporting { reporter, held, is_moved: moving.is_some() });
        // What a table says of its own rows comes before what the run says of all.
        let on_errors = self.inputs.iter().map(|(_, input)| input.options().on_error.unwrap_or(self.on_error));
        let asides = self.rejects.asides(&on_errors.collect::<Vec<_>>(), shards, recovery.as_mut())?;
        let parts = self.parts(&bells.shards, stop, sinks, Membership { members, moving, asides }, pace, time)?;
        let keeper = recovery.map(|recovery| recovery.keeper(&bells.shards, clock));
        Ok(Assembled { parts, merged, reporter, keeper })
    }

    /// Where rows go that do not go on.
    pub fn rejects(&self) -> &Rejects {
        &self.rejects
    }

    /// Bytes of merged output held for its order.
    pub fn merge_buffer(&self) -> usize {
        self.merge_buffer
    }

    /// One closure per shard that makes its parts on its own thread.
    fn parts(
        &self,
        bells: &Arc<[Doorbell]>,
        stop: &Arc<Stop>,
        sinks: Vec<Vec<crate::sink::ShardSink>>,
        Membership { members, moving, asides }: Membership,
        pace: Option<Pace>,
        time: Timepiece,
    ) -> Result<Vec<MakeParts>> {
        let shards = self.cpus.len();
        let ahead = if time.is_virtual { self.program.now_us } else { 0 };
        // All shards count ticks from the same moment.
        let mut clock = Clock::new(self.clock, time.now_us, ahead);
        clock.read();
        let mut scans = Vec::new();
        for (node, input) in &self.inputs {
            let Operator::Scan(scan) = &self.plan.nodes[*node].operator else { continue };
            let scanner = Scanner::new(scan.clone());
            let times: Result<Vec<SplitTime>> =
                (0..input.splits.len()).map(|split| input.peek(split, &scanner)).collect();
            scans.push(Reading { node: *node, input, scanner, times: times?, deal: input.deal(shards) });
        }
        let begins = (0..shards).filter_map(|shard| scans.iter().filter_map(|scan| scan.begins(shard)).min());
        let by_clock = scans.iter().any(|scan| scan.scanner.scan().clock.is_some());
        let spread = begins.clone().max().unwrap_or(0).saturating_sub(begins.min().unwrap_or(0));
        let mut lanes: Vec<Vec<Lanes>> = (0..shards).map(|_| Vec::new()).collect();
        for node in &self.plan.nodes {
            if let Operator::Exchange(exchange) = &node.operator {
                let held = exchange.held_within.is_some_and(|within| spread <= within);
                // A shard without rows may tell the time late; nobody waits for that.
                let skew = match by_clock {
                    true => Skew { held: false, most: None },
                    false => Skew { held, most: self.max_skew },
                };
                let laid = lane::lay(&node.layout(), &self.plan.owners, bells, exchange.ordered, skew);
                for (shard, laid) in lanes.iter_mut().zip(laid) {
                    shard.push(laid);
                }
            }
        }
        let budget = Budget::new(self.memory, shards);
        let delay = (self.delay.as_nanos() as f64 / sys::ns_per_tick()) as u64;
        let mut all: Vec<MakeParts> = Vec::with_capacity(shards);
        let mut members = members.into_iter();
        for (shard, ((lanes, sinks), aside)) in lanes.into_iter().zip(sinks).zip(asides).enumerate() {
            let make = if self.is_spread { Pipeline::spread } else { Pipeline::new };
            let mut pipeline = make(&self.plan, shard, shards, self.hash_seed)?;
            pipeline.save_in_parts_of(self.part_bytes);
            let (plan, stop) = (Arc::clone(&self.plan), Arc::clone(stop));
            let account = Account::new(Arc::clone(&budget), shard);
            let sources: Vec<(NodeId, Source)> = scans
                .iter()
                .enumerate()
                .zip(aside)
                .map(|((number, scan), aside)| {
                    let on_error = scan.input.options().on_error.unwrap_or(self.on_error);
                    let options = SourceOptions {
                        on_error,
                        aside,
                        bad_limit: self.bad_limit.clone(),
                        pace,
                        clock,
                        every_us: self.plan.every_us(),
                        turn_rows: self.turn_rows,
                        shard,
                        number,
                    };
                    let input = Arc::clone(scan.input);
                    let source = Source::new(input, &scan.deal[shard], &scan.times, scan.scanner.clone(), options);
                    (scan.node, source)
                })
                .collect();
            let (outboxes, inboxes) = lanes.into_iter().map(|lanes| (lanes.outbox, lanes.inbox)).unzip();
            let (member, held) = members.next().unzip();
            let ledger = Ledger::idle();
            let before = Before::default();
            let mut parts = Parts {
                plan,
                pipeline,
                sources,
                outboxes,
                inboxes,
                sinks,
                ledger,
                delay,
                stop,
                account,
                member,
                before,
            };
            if let Some(held) = held.flatten() {
                parts.restore(&held)?;
            }
            if let Some(moving) = &moving {
                parts.adopt(moving, shard, shards)?;
            }
            // The books begin on the shard's own thread.
            all.push(Box::new(move || Parts { ledger: Ledger::new(time.ticks), ..parts }));
        }
        Ok(all)
    }
}

/// Where a plan's results go when nothing else is said.
pub use outputs::default_format;

impl Output {
    /// Whether rows of all shards go to one place.
    pub fn is_merged(&self) -> bool {
        matches!(self, Output::Stdout | Output::File(_))
    }
}
