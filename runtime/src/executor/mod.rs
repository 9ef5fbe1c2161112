//! Runs one synchronous task per shard, each on a thread of its own, on one of two executors.
//!
//! The contract is completions, not async: a task's `step` submits reads, takes completions and
//! says whether it was busy; the executor turns rounds, spins, parks on the shard's doorbell and
//! ends. So the same loop runs on glommio, on plain threads and under a simulator. Invariants: a
//! shard parks only on its armed bell after one more empty round; a stop rings every bell; a panic
//! in one shard stops all, and the job fails with one line that names the shard and the place.

mod glommio;
mod threads;

pub use glommio::{IO_MEMORY, RING_DEPTH};

use crate::{doorbell::Doorbell, idle::IdlePolicy, sys};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};
use std::time::Duration;

/// Which executor runs the shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One glommio executor (io_uring) per shard.
    Glommio,
    /// Plain threads.
    Threads,
}

/// A read to be done while the shard goes on.
#[derive(Clone, Debug)]
pub struct ReadRequest {
    /// Comes back with the completion.
    pub token: u64,
    /// The file.
    pub file: Arc<File>,
    /// First byte.
    pub offset: u64,
    /// Bytes wanted; fewer come at the end of the file.
    pub len: usize,
}

/// A read that is done.
#[derive(Debug)]
pub struct Completion {
    /// The request's token.
    pub token: u64,
    /// The bytes, fewer than asked for only at the end of the file.
    pub result: io::Result<Vec<u8>>,
}

/// What a step sees of its executor.
pub trait Io {
    /// Begins a read. It never blocks and never fails: errors are completions.
    fn submit(&mut self, read: ReadRequest);
    /// Reads what can be had without waiting; `WouldBlock` if it has to be waited for.
    fn read_now(&mut self, file: &dyn corelane_io::fs::File, into: &mut [u8], offset: u64) -> io::Result<usize> {
        match file.open_file() {
            Some(open) => match sys::read_cached(open, into, offset) {
                // A file system that knows no such reads (tmpfs) waits for nothing, or is waited for.
                Err(cause) if cause.raw_os_error() == Some(libc::EOPNOTSUPP) => file.read_at(into, offset),
                done => done,
            },
            None => match file.waits_on(offset) {
                Some(stream) if !sys::is_readable(stream) => Err(io::ErrorKind::WouldBlock.into()),
                _ => file.read_at(into, offset),
            },
        }
    }
    /// Begins the read that [`Io::read_now`] could not do at once.
    fn begin(&mut self, token: u64, file: &dyn corelane_io::fs::File, offset: u64, len: usize) -> io::Result<()> {
        let Some(open) = file.open_file() else { return Err(io::ErrorKind::WouldBlock.into()) };
        self.submit(ReadRequest { token, file: Arc::clone(open), offset, len });
        Ok(())
    }
    /// Appends the reads done since the last call, in any order.
    fn poll(&mut self, completions: &mut Vec<Completion>);
    /// Reads submitted and not yet taken by `poll`.
    fn in_flight(&self) -> usize;
    /// The job is to stop: end soon, the result does not count.
    fn stopping(&self) -> bool;
}

/// What a step found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Something was done.
    Busy,
    /// Nothing to do until the bell rings, a read completes, or this much time has passed.
    Idle(Option<Duration>),
    /// The shard has finished.
    Done,
}

/// What a thread cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThreadTimes {
    /// Ticks from the start of the thread until it is ready to be joined.
    pub wall_ticks: u64,
    /// Nanoseconds on a CPU.
    pub cpu_ns: u64,
    /// Times it gave up its CPU.
    pub voluntary_switches: u64,
    /// Times its CPU was taken.
    pub involuntary_switches: u64,
    /// Times it parked.
    pub parks: u64,
}

/// One shard's work.
pub trait Task {
    /// What remains of the shard.
    type Outcome: Send + 'static;
    /// One round; never blocks.
    fn step(&mut self, io: &mut dyn Io) -> Progress;
    /// The shard is about to sleep (book it).
    fn parking(&mut self) {}
    /// The shard is awake again.
    fn awake(&mut self) {}
    /// The shard has ended.
    fn end(self, times: ThreadTimes) -> Self::Outcome;
}

/// Tells every shard of a job to end.
#[derive(Clone, Debug)]
pub struct Stop {
    asked: Arc<AtomicBool>,
    bells: Arc<[Doorbell]>,
}

impl Stop {
    fn new(bells: Arc<[Doorbell]>) -> Self {
        Stop { asked: Arc::new(AtomicBool::new(false)), bells }
    }

    /// Asks all shards to end and wakes them.
    pub fn ask(&self) {
        self.asked.store(true, Ordering::Release);
        self.bells.iter().for_each(Doorbell::ring);
    }

    /// A stop has been asked for.
    #[inline]
    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }
}

/// Where a shard runs and how it is reached.
#[derive(Clone, Debug)]
pub struct Seat {
    /// The shard's number.
    pub shard: usize,
    /// The CPU it is pinned to.
    pub cpu: Option<usize>,
    /// The bells of all shards.
    pub bells: Arc<[Doorbell]>,
    /// Ends the job.
    pub stop: Stop,
}

/// Makes a shard's task on the shard's own thread.
pub type Start<T> = Box<dyn FnOnce(&Seat) -> T + Send>;

/// Why a run failed.
#[derive(Debug)]
pub enum RunError {
    /// A shard could not be started.
    Start {
        /// The shard.
        shard: usize,
        /// What failed.
        reason: String,
    },
    /// A shard panicked; all were stopped.
    Panic {
        /// The shard.
        shard: usize,
        /// Source file and line.
        place: String,
        /// What it said.
        message: String,
    },
}

impl std::fmt::Display for RunError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RunError::Start { shard, reason } => write!(f, "shard {shard} could not start: {reason}"),
            RunError::Panic { shard, place, message } => {
                write!(f, "internal error in shard {shard} at {place}: {message}; all shards were stopped")
            }
        }
    }
}

impl std::error::Error for RunError {}

/// Bells for `shards` shards.
pub fn doorbells(shards: usize) -> io::Result<Arc<[Doorbell]>> {
    (0..shards).map(|_| Doorbell::new()).collect()
}

/// Starts one thread per task (pinned where `cpus` says so), runs all to their end and returns the
/// outcomes by shard. The calling thread's own pinning is left alone.
pub fn run<T: Task + 'static>(
    kind: Kind,
    cpus: &[Option<usize>],
    policy: IdlePolicy,
    bells: Arc<[Doorbell]>,
    starts: Vec<Start<T>>,
) -> Result<Vec<T::Outcome>, RunError> {
    assert!(cpus.len() == starts.len() && bells.len() == starts.len(), "one CPU, bell and task for each shard");
    watch_panics();
    let stop = Stop::new(bells.clone());
    let seat = |shard| Seat { shard, cpu: cpus[shard], bells: bells.clone(), stop: stop.clone() };
    let seated = starts.into_iter().enumerate().map(|(shard, start)| (seat(shard), start));
    let results = match kind {
        Kind::Threads => threads::run(policy, seated.collect()),
        Kind::Glommio => glommio::run(policy, seated.collect()),
    };
    results.into_iter().collect()
}

/// A shard's thread from its first to its last instruction, shared by the executors.
struct Shard<T> {
    seat: Seat,
    task: T,
    began: u64,
    parks: u64,
    empty_rounds: u32,
    policy: IdlePolicy,
    armed: bool,
}

/// What the executor does after a round.
enum Next {
    Round,
    Park(Option<Duration>),
    End,
}

impl<T: Task> Shard<T> {
    fn start(seat: Seat, policy: IdlePolicy, start: Start<T>) -> Result<Self, RunError> {
        let began = sys::ticks();
        let task = guard(&seat, || start(&seat))?;
        Ok(Shard { seat, task, began, parks: 0, empty_rounds: 0, policy, armed: false })
    }

    fn bell(&self) -> &Doorbell {
        &self.seat.bells[self.seat.shard]
    }

    /// One step, and what follows from it. The round before a park runs with the bell armed.
    fn round(&mut self, io: &mut dyn Io) -> Result<Next, RunError> {
        let Shard { seat, task, .. } = self;
        let progress = guard(seat, || task.step(io))?;
        if let Progress::Idle(deadline) = progress {
            if self.armed {
                self.parks += 1;
                self.task.parking();
                return Ok(Next::Park(deadline));
            }
            self.empty_rounds = self.empty_rounds.saturating_add(1);
            // Who waits for a read sleeps at once, even one that never sleeps otherwise: glommio looks at
            // its rings only when no task can run.
            if self.policy.sleeps_after(self.empty_rounds, deadline.is_none()) || io.in_flight() > 0 {
                self.bell().arm();
                self.armed = true;
            } else {
                std::hint::spin_loop();
            }
            return Ok(Next::Round);
        }
        self.wake();
        Ok(if progress == Progress::Done { Next::End } else { Next::Round })
    }

    fn wake(&mut self) {
        if self.armed {
            self.bell().disarm();
            self.armed = false;
        }
        self.empty_rounds = 0;
    }

    fn awake(&mut self) {
        self.wake();
        self.task.awake();
    }

    fn end(self) -> Result<T::Outcome, RunError> {
        let Shard { seat, task, began, parks, .. } = self;
        let (voluntary_switches, involuntary_switches) = sys::thread_switches();
        let cpu_ns = sys::thread_cpu_ns();
        let wall_ticks = sys::ticks().saturating_sub(began);
        let times = ThreadTimes { wall_ticks, cpu_ns, voluntary_switches, involuntary_switches, parks };
        guard(&seat, || task.end(times))
    }
}

thread_local! {
    static IN_SHARD: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Keeps the panic of a shard quiet and notes its place; other threads' panics go on as before.
fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if IN_SHARD.get() {
                PLACE.set(
                    panic.location().map_or("an unknown place".into(), |at| format!("{}:{}", at.file(), at.line())),
                );
            } else {
                before(panic);
            }
        }));
    });
}

/// Runs a task's code; a panic in it stops all shards.
fn guard<R>(seat: &Seat, code: impl FnOnce() -> R) -> Result<R, RunError> {
    IN_SHARD.set(true);
    let result = panic::catch_unwind(AssertUnwindSafe(code));
    IN_SHARD.set(false);
    result.map_err(|cause| {
        seat.stop.ask();
        RunError::Panic { shard: seat.shard, place: PLACE.take(), message: message(&*cause) }
    })
}

fn message(cause: &(dyn Any + Send)) -> String {
    let text = cause.downcast_ref::<&str>().copied().or(cause.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").into()
}

#[cfg(test)]
mod tests;
