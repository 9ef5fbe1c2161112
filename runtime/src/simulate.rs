//! A whole job on one thread, under a seed: the shards and the writer take their steps in an order
//! that the seed picks, files lie in memory, reads complete late and out of order, and time is a
//! counter.
//!
//! It drives the very code that the executors drive, parking included: a shard that was idle twice
//! sleeps until its doorbell is raised, a read completes or its deadline passes, and the writer until
//! its bell is raised. When all sleep and nothing is under way, somebody was not woken or everybody
//! waits for each other: the simulation panics and names the seed, and the seed repeats the run. So it
//! does when the keeper of checkpoints goes to sleep on something that it was told.

use std::cell::Cell;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use corelane_engine::operator::Time;
use corelane_engine::sql::Program;
use corelane_engine::{Error, Result};
use corelane_io::durable::{Durable, SimulatedDisk};
use corelane_io::fs::{self, MemoryDisk};
use corelane_io::reader::Counts;

use crate::checkpoint::recovery::Opened;
use crate::checkpoint::{Keeper, Kept, keeper};
use crate::clock::Choice;
use crate::doorbell::Doorbell;
use crate::executor::{Completion, Io, Progress, ReadRequest};
use crate::job::{self, Grain};
use crate::options::Options;
use crate::shard::{Shard, Stop};
use crate::sys;
use crate::writer::{Target, Turn, Writers};

/// Steps after which a run that still makes progress is taken for one that never ends.
const STEPS_MOST: u64 = 20_000_000;

thread_local! {
    static CLOCK: Cell<u64> = const { Cell::new(0) };
}

fn now() -> u64 {
    CLOCK.get()
}

/// A virtual run begins at the epoch unless its clock says otherwise.
fn begins_at(options: &Options) -> Time {
    match options.clock {
        Choice::Wall => 0,
        Choice::Scheduled { start_us, .. } => start_us,
    }
}

/// Virtual microseconds of the run.
fn now_us() -> Time {
    (sys::ticks_to_ns(now()) / 1000) as Time
}

const TIMEPIECE: job::Timepiece = job::Timepiece { ticks: now, now_us, is_virtual: true };

/// What is known of a simulated run.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Text by sink, with the name of its file (`-` for standard output).
    pub outputs: Vec<(String, Vec<u8>)>,
    /// What became of the rows, by source, over all shards.
    pub counts: Vec<(String, Counts)>,
    /// Rows out, all sinks.
    pub rows_out: u64,
    /// The first late row by source, where one shard saw one.
    pub late: Vec<String>,
    /// Why the run failed, if it did.
    pub error: Option<Error>,
    /// What was kept, if the run came to its end.
    pub kept: Option<Kept>,
    /// Who did what in which order, as a hash: the same for the same seed.
    pub trace_hash: u64,
}

/// Runs `script` over `files` on `shards` shards, scheduled by `seed`.
///
/// # Panics
/// When nobody can go on, naming the seed.
pub fn run(
    script: &str,
    files: &[(&str, &[u8])],
    options: &Options,
    grain: Grain,
    shards: usize,
    seed: u64,
) -> Result<Outcome> {
    let disk = files.iter().fold(MemoryDisk::new(), |disk, (name, bytes)| disk.with(*name, *bytes));
    let program = job::compile_at(script, &disk, options, begins_at(options))?;
    run_program(program, &disk, options, grain, shards, seed)
}

/// The same for a program that is compiled already, over the files on `disk`.
///
/// # Panics
/// When nobody can go on, naming the seed.
pub fn run_program(
    program: Program,
    disk: &dyn fs::Disk,
    options: &Options,
    grain: Grain,
    shards: usize,
    seed: u64,
) -> Result<Outcome> {
    let options = Options { shards: Some(shards), executor: crate::options::Executor::Threads, ..options.clone() };
    let prepared = job::prepare_with(program, disk, &options, grain)?;
    simulate(prepared, shards, seed, None)
}

fn simulate(mut prepared: job::Prepared, shards: usize, seed: u64, last_at: Option<u64>) -> Result<Outcome> {
    CLOCK.set(0);
    let mut job = Simulation::new(&mut prepared, shards, seed)?;
    job.run(last_at);
    let mut outcome = job.outcome();
    if outcome.kept.is_some_and(|kept| kept.is_finished)
        && let Err(error) = prepared.settle()
    {
        outcome.error.get_or_insert(error);
    }
    Ok(outcome)
}

/// Where a simulated run with checkpoints keeps them.
pub const CHECKPOINTS: &str = "ck";

/// How a simulated run with checkpoints goes.
#[derive(Clone, Copy, Debug)]
pub struct Course {
    /// Shards.
    pub shards: usize,
    /// Schedules it.
    pub seed: u64,
    /// At this step it is asked to end, as by a signal.
    pub last_at: Option<u64>,
}

/// The same with checkpoints and outputs on `kept`: begins there, or goes on with what is there. `None`
/// when there is nothing left to do.
pub fn run_kept(
    script: &str,
    files: &[(&str, &[u8])],
    options: &Options,
    grain: Grain,
    Course { shards, seed, last_at }: Course,
    kept: &SimulatedDisk,
) -> Result<Option<Outcome>> {
    let disk = files.iter().fold(MemoryDisk::new(), |disk, (name, bytes)| disk.with(*name, *bytes));
    let options = Options {
        shards: Some(shards),
        executor: crate::options::Executor::Threads,
        checkpoint: Some(CHECKPOINTS.into()),
        ..options.clone()
    };
    let durable: Arc<dyn Durable> = Arc::new(kept.clone());
    let opened = match kept.exists(&format!("{CHECKPOINTS}/JOB")) {
        true => Some(Opened::open(&durable, CHECKPOINTS)?),
        false => None,
    };
    let is_spread = opened.as_ref().is_some_and(Opened::is_spread);
    let options = Options { is_spread, ..options };
    let now_us = opened.as_ref().map_or_else(|| begins_at(&options), |opened| opened.job.now_us);
    let program = job::compile_at(script, &disk, &options, now_us)?;
    let mut prepared = job::prepare_with(program, &disk, &options, grain)?;
    match opened {
        None => prepared.begin(durable, CHECKPOINTS, &options, now_us)?,
        Some(opened) => {
            if prepared.go_on(durable, opened, &options)?.is_finished() {
                return Ok(None);
            }
        }
    }
    simulate(prepared, shards, seed, last_at).map(Some)
}

/// A small seeded generator (splitmix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The generator of `seed`.
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.bits() % bound.max(1)
    }
}

/// Who takes the next step.
#[derive(Clone, Debug)]
enum Schedule {
    /// Anyone.
    Uniform,
    /// Everyone in turn.
    RoundRobin,
    /// One of them only now and then.
    Starve(usize),
    /// The same for a while, then another.
    Bursts { who: usize, left: u64 },
}

impl Schedule {
    fn of(seed: u64, participants: usize, random: &mut Random) -> Schedule {
        match seed % 5 {
            0 => Schedule::Uniform,
            1 => Schedule::RoundRobin,
            2 => Schedule::Starve(random.below(participants as u64) as usize),
            3 => Schedule::Starve(participants - 1),
            _ => Schedule::Bursts { who: 0, left: 0 },
        }
    }

    fn next(&mut self, step: u64, participants: usize, random: &mut Random) -> usize {
        let count = participants as u64;
        match self {
            Schedule::Uniform => random.below(count) as usize,
            Schedule::RoundRobin => (step % count) as usize,
            Schedule::Starve(victim) => {
                let picked = random.below(count) as usize;
                if picked == *victim && random.below(100) > 0 { (picked + 1) % participants } else { picked }
            }
            Schedule::Bursts { who, left } => {
                if *left == 0 {
                    (*who, *left) = (random.below(count) as usize, random.below(200) + 1);
                }
                *left -= 1;
                *who
            }
        }
    }
}

/// Reads that complete when the clock says so.
struct SlowReads {
    random: Random,
    /// One read in this many has to be waited for; 0 is none.
    slow_one_in: u64,
    under_way: Vec<(u64, Completion)>,
}

impl SlowReads {
    fn has_due(&self) -> bool {
        self.under_way.iter().any(|(due, _)| *due <= now())
    }
}

impl Io for SlowReads {
    fn submit(&mut self, read: ReadRequest) {
        let mut bytes = vec![0; read.len];
        let result = std::os::unix::fs::FileExt::read_at(&*read.file, &mut bytes, read.offset).map(|count| {
            bytes.truncate(count);
            bytes
        });
        let due = now() + self.random.below(50_000);
        self.under_way.push((due, Completion { token: read.token, result }));
    }

    fn read_now(&mut self, file: &dyn fs::File, into: &mut [u8], offset: u64) -> io::Result<usize> {
        if self.slow_one_in > 0 && self.random.below(self.slow_one_in) == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // The page cache may hold a part of what is asked for.
        let most =
            if self.random.below(3) == 0 { 1 + self.random.below(into.len() as u64) as usize } else { into.len() };
        let most = most.min(into.len());
        file.read_at(&mut into[..most], offset)
    }

    fn begin(&mut self, token: u64, file: &dyn fs::File, offset: u64, len: usize) -> io::Result<()> {
        let mut bytes = vec![0; len];
        let count = fs::read_full(file, &mut bytes, offset).map_err(|cause| io::Error::other(cause.to_string()))?;
        bytes.truncate(count);
        let due = now() + self.random.below(50_000);
        self.under_way.push((due, Completion { token, result: Ok(bytes) }));
        Ok(())
    }

    fn poll(&mut self, completions: &mut Vec<Completion>) {
        completions.extend(self.under_way.extract_if(.., |(due, _)| *due <= now()).map(|(_, completion)| completion));
    }

    fn in_flight(&self) -> usize {
        self.under_way.len()
    }

    fn stopping(&self) -> bool {
        false
    }
}

/// A shard as its executor would have it.
struct Seat {
    shard: Shard,
    io: SlowReads,
    armed: bool,
    /// Asleep, until this time at the latest.
    parked: Option<Option<u64>>,
    done: bool,
}

struct Simulation {
    seats: Vec<Seat>,
    writers: Writers,
    writer_parked: bool,
    writer_done: bool,
    keeper: Option<Keeper>,
    /// Asleep, until this time at the latest.
    keeper_parked: Option<Option<u64>>,
    keeper_bell: Arc<[Doorbell]>,
    bells: Arc<[Doorbell]>,
    writer_bell: Arc<[Doorbell]>,
    stop: Arc<Stop>,
    memories: Vec<(String, Arc<Mutex<Vec<u8>>>)>,
    random: Random,
    schedule: Schedule,
    seed: u64,
    trace: u64,
    error: Option<Error>,
    kept: Option<Kept>,
}

impl Simulation {
    fn new(prepared: &mut job::Prepared, shards: usize, seed: u64) -> Result<Self> {
        let all_bells = job::Bells::new(shards)?;
        let stop = Arc::new(Stop::default());
        let job::Assembled { parts, mut merged, reporter, keeper } = prepared.assemble(&all_bells, &stop, TIMEPIECE)?;
        let job::Bells { shards: bells, writer: writer_bell, keeper: keeper_bell } = all_bells;
        let writer_done = merged.is_empty();
        let mut memories = Vec::new();
        for output in merged.iter_mut().filter(|output| !matches!(output.target, Target::Kept(_))) {
            let name = match &output.target {
                Target::File(path) => path.display().to_string(),
                _ => "-".to_owned(),
            };
            let memory: Arc<Mutex<Vec<u8>>> = Arc::default();
            output.target = Target::Memory(Arc::clone(&memory));
            memories.push((name, memory));
        }
        let mut random = Random::new(seed);
        let slow_one_in = [0, 2, 5, 1][random.below(4) as usize];
        let seats = parts.into_iter().enumerate().map(|(number, parts)| Seat {
            shard: Shard::new(parts()),
            io: SlowReads { random: Random::new(seed ^ (number as u64) << 40), slow_one_in, under_way: Vec::new() },
            armed: false,
            parked: None,
            done: false,
        });
        Ok(Simulation {
            seats: seats.collect(),
            writers: job::Assembled::writers(merged, prepared.merge_buffer(), reporter)?,
            writer_parked: false,
            writer_done,
            keeper_parked: None,
            keeper_bell,
            bells,
            writer_bell,
            stop,
            memories,
            schedule: Schedule::of(seed, shards + 1 + usize::from(keeper.is_some()), &mut random),
            keeper,
            random,
            seed,
            trace: 0xCBF2_9CE4_8422_2325,
            error: None,
            kept: None,
        })
    }

    /// The shards, the writer and, with checkpoints, the keeper.
    fn participants(&self) -> usize {
        self.seats.len() + 1 + usize::from(self.keeper.is_some())
    }

    /// Whether nothing more comes to the keeper.
    fn is_over(&self) -> bool {
        self.writer_done && self.seats.iter().all(|seat| seat.done)
    }

    fn run(&mut self, last_at: Option<u64>) {
        let participants = self.participants();
        let mut quiet = 0;
        for step in 0.. {
            if self.is_over() && self.keeper.is_none() {
                return;
            }
            assert!(step < STEPS_MOST, "seed {}: the run does not end: {}", self.seed, self.describe());
            if let (true, Some(keeper)) = (last_at == Some(step), &self.keeper) {
                keeper.last_asked().store(true, Ordering::Relaxed);
                self.keeper_bell[0].ring();
            }
            CLOCK.set(now() + self.random.below(1000));
            let who = self.schedule.next(step, participants, &mut self.random);
            quiet = if self.step(who) { 0 } else { quiet + 1 };
            if quiet > 64 * participants {
                self.wait();
                quiet = 0;
            }
        }
    }

    /// Everybody seems to wait: lets time pass to the next thing that it brings.
    fn wait(&mut self) {
        // Each looks twice before it sleeps, so four rounds show who has something to do.
        let mut found = false;
        let participants = self.participants();
        for who in (0..participants).cycle().take(4 * participants) {
            found |= self.step(who);
        }
        if found {
            return;
        }
        let next = self.seats.iter().filter(|seat| !seat.done).flat_map(|seat| {
            let reads = seat.io.under_way.iter().map(|(due, _)| *due);
            reads.chain(seat.parked.flatten())
        });
        let next = next.chain(self.keeper_parked.flatten()).min();
        match next {
            Some(due) => CLOCK.set(now().max(due)),
            None => panic!("seed {}: nobody can go on: {}", self.seed, self.describe()),
        }
    }

    fn describe(&self) -> String {
        let seats = self.seats.iter().enumerate().map(|(number, seat)| {
            let state = if seat.done {
                "done"
            } else if seat.parked.is_some() {
                "asleep"
            } else {
                "awake"
            };
            format!("shard {number} {state} ({} reads under way)", seat.io.in_flight())
        });
        let writer = if self.writer_done {
            "done"
        } else if self.writer_parked {
            "asleep"
        } else {
            "awake"
        };
        let keeper = match (&self.keeper, self.keeper_parked) {
            (None, _) => "",
            (_, Some(_)) => ", keeper asleep",
            (_, None) => ", keeper awake",
        };
        format!("{}, writer {writer}{keeper}", seats.collect::<Vec<_>>().join(", "))
    }

    /// One step of a shard or, behind the last, the writer; returns whether anything was done.
    fn step(&mut self, who: usize) -> bool {
        let progress = match who.cmp(&self.seats.len()) {
            std::cmp::Ordering::Less => self.step_shard(who),
            std::cmp::Ordering::Equal => self.step_writer(),
            std::cmp::Ordering::Greater => self.step_keeper(),
        };
        if self.is_over() {
            self.keeper_bell[0].ring();
        }
        let event = (who as u64) << 1 | u64::from(progress);
        self.trace = (self.trace ^ event ^ now() << 16).wrapping_mul(0x0100_0000_01B3);
        progress
    }

    fn step_shard(&mut self, number: usize) -> bool {
        let seat = &mut self.seats[number];
        if seat.done {
            return false;
        }
        let bell = &self.bells[number];
        if let Some(deadline) = seat.parked {
            let due = deadline.is_some_and(|deadline| deadline <= now()) || seat.io.has_due();
            if !rung(bell) && !due {
                return false;
            }
            bell.disarm();
            (seat.parked, seat.armed) = (None, false);
        }
        match seat.shard.step(&mut seat.io) {
            Ok(Progress::Busy) => {
                if std::mem::take(&mut seat.armed) {
                    bell.disarm();
                }
                true
            }
            Ok(Progress::Idle(wait)) => {
                if seat.armed {
                    let ticks = |wait: Duration| (wait.as_nanos() as f64 / sys::ns_per_tick()) as u64 + 1;
                    seat.parked = Some(wait.map(|wait| now() + ticks(wait)));
                } else {
                    bell.arm();
                    seat.armed = true;
                }
                false
            }
            Ok(Progress::Done) => {
                seat.done = true;
                self.writer_bell[0].ring();
                true
            }
            Err(error) => {
                self.fail(error);
                let seat = &mut self.seats[number];
                seat.done = true;
                self.writer_bell[0].ring();
                true
            }
        }
    }

    fn step_writer(&mut self) -> bool {
        let bell = &self.writer_bell[0];
        if self.writer_done || (self.writer_parked && !rung(bell)) {
            return false;
        }
        if std::mem::take(&mut self.writer_parked) {
            bell.disarm();
        }
        let all_done = self.seats.iter().all(|seat| seat.done);
        match self.writers.step(bell, &self.stop, &|| all_done) {
            Ok(Turn::Busy) => true,
            Ok(Turn::Wait) => {
                self.writer_parked = true;
                false
            }
            Ok(Turn::Done) => {
                self.writer_done = true;
                true
            }
            Err(error) => {
                self.fail(error);
                self.writer_done = true;
                true
            }
        }
    }

    fn step_keeper(&mut self) -> bool {
        let is_over = self.is_over();
        let Some(keeper) = &mut self.keeper else { return false };
        let bell = &self.keeper_bell[0];
        if let Some(deadline) = self.keeper_parked {
            if !rung(bell) && deadline.is_none_or(|deadline| deadline > now()) {
                return false;
            }
            bell.disarm();
            self.keeper_parked = None;
        }
        match keeper.step(bell, &|| is_over) {
            Ok(keeper::Turn::Busy) => true,
            Ok(keeper::Turn::Quiet) => false,
            Ok(keeper::Turn::Wait(wait)) => {
                // It would wake up now and then, so that nothing but time would be lost: nobody would mind.
                assert!(!keeper.is_told(), "seed {}: the keeper sleeps on what it was told", self.seed);
                let ticks = |wait: Duration| (wait.as_nanos() as f64 / sys::ns_per_tick()) as u64 + 1;
                self.keeper_parked = Some(wait.map(|wait| now() + ticks(wait)));
                false
            }
            Ok(keeper::Turn::Done) => {
                self.kept = Some(keeper.kept);
                self.keeper = None;
                true
            }
            Err(error) => {
                self.fail(error);
                self.keeper = None;
                true
            }
        }
    }

    fn fail(&mut self, error: Error) {
        self.error.get_or_insert(error);
        self.stop.now.store(true, Ordering::Relaxed);
        self.bells.iter().for_each(Doorbell::ring);
    }

    fn outcome(mut self) -> Outcome {
        let mut outcome =
            Outcome { trace_hash: self.trace, error: self.error.take(), kept: self.kept, ..Outcome::default() };
        for seat in &mut self.seats {
            if let Err(error) = seat.shard.flush_aside() {
                outcome.error.get_or_insert(error);
            }
            for (number, source) in seat.shard.sources().enumerate() {
                if outcome.counts.len() == number {
                    outcome.counts.push((source.table.clone(), Counts::default()));
                }
                outcome.counts[number].1 += source.counts;
                outcome.late.extend(source.first_late.clone());
            }
            outcome.rows_out += seat.shard.sinks_mut().iter().map(|sink| sink.totals().0).sum::<u64>();
        }
        outcome.outputs = self
            .memories
            .into_iter()
            .map(|(name, memory)| (name, std::mem::take(&mut *memory.lock().unwrap_or_else(PoisonError::into_inner))))
            .collect();
        outcome
    }
}

/// Whether a bell was raised since it was armed.
fn rung(bell: &Doorbell) -> bool {
    bell.signal().wait(Some(Duration::ZERO)).unwrap_or(true)
}
