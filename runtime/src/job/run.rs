//! A prepared job at work: threads started, watched and joined, and what is known when all have ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use corelane_engine::{Code, Error, Result};

use super::task::{Gauge, ShardOutcome, ShardTask, Shared};
use super::{Assembled, Bells, Prepared, Timepiece};
use crate::checkpoint::{Keeper, Kept, keeper};
use crate::doorbell::Doorbell;
use crate::executor::{self, Seat, Start};
use crate::latency::Clocks;
use crate::options::MaxErrors;
use crate::shard::{Shard, Stop};
use crate::sys;
use crate::writer::{self, Written};

/// What is known when a job has ended.
pub struct Finished {
    /// By shard.
    pub shards: Vec<ShardOutcome>,
    /// Latencies of all shards together.
    pub clocks: Clocks,
    /// Bytes the writer wrote.
    pub written: u64,
    /// Nanoseconds that the writer was on a CPU.
    pub writer_cpu_ns: u64,
    /// From start to end.
    pub elapsed: Duration,
    /// Time stolen by the hypervisor meanwhile, in seconds.
    pub steal_seconds: f64,
    /// The reader of standard output went away.
    pub reader_gone: bool,
    /// The signal that stopped the run, if one did.
    pub signal: Option<i32>,
    /// Why it failed, if it did.
    pub error: Option<Error>,
    /// More bad rows than allowed.
    pub too_many_bad: bool,
    /// What was kept for a run to go on with, where that was asked for.
    pub kept: Option<Kept>,
}

/// Sums over the shards while they run.
pub struct Gauges(Vec<Arc<Gauge>>);

impl Gauges {
    /// Rows and bytes read so far.
    pub fn read(&self) -> (u64, u64) {
        let sum = |pick: fn(&Gauge) -> &AtomicU64| self.0.iter().map(|gauge| pick(gauge).load(Ordering::Relaxed)).sum();
        (sum(|gauge| &gauge.rows), sum(|gauge| &gauge.bytes))
    }
}

impl Prepared {
    /// Runs the job to its end. `watch` is called now and then with what was read so far.
    pub fn run(mut self, mut watch: impl FnMut(&Gauges, Duration)) -> Result<Finished> {
        let began = Instant::now();
        let steal_before = sys::steal_ticks();
        let shards = self.cpus.len();
        let all_bells = Bells::new(shards)?;
        let stop = Arc::new(Stop::default());
        let ended = Arc::new(AtomicU64::new(0));
        let gauges = Gauges((0..shards).map(|_| Arc::default()).collect());
        let Bells { shards: bells, writer: writer_bell, keeper: keeper_bell } = &all_bells;
        let shared = Shared {
            stop: Arc::clone(&stop),
            bells: Arc::clone(bells),
            writer: Arc::clone(writer_bell),
            ended: Arc::clone(&ended),
        };

        if self.rate.is_some() && self.recovery.is_none() {
            // No row waits for that once the schedule has begun.
            self.outputs.clear()?;
        }
        self.rejects.begin()?;
        let Assembled { parts, merged, reporter, mut keeper } = self.assemble(&all_bells, &stop, Timepiece::WALL)?;
        let writers =
            (!merged.is_empty()).then(|| Assembled::writers(merged, self.merge_buffer, reporter)).transpose()?;
        let mut starts: Vec<Start<ShardTask>> = Vec::with_capacity(shards);
        for (shard, parts) in parts.into_iter().enumerate() {
            let (gauge, shared) = (Arc::clone(&gauges.0[shard]), shared.clone());
            starts.push(Box::new(move |_: &Seat| ShardTask::new(Shard::new(parts()), gauge, shared)));
        }

        let (done, finished) = mpsc::channel();
        let (kind, policy, cpus) = (self.kind, self.policy, self.cpus.clone());
        let seats = Arc::clone(bells);
        let is_over = AtomicBool::new(false);
        let last_asked = keeper.as_ref().map(Keeper::last_asked);
        let (outcomes, written, kept) = std::thread::scope(|scope| {
            let all = shards as u64;
            let named = |name: &str| std::thread::Builder::new().name(name.to_owned());
            let writing = match writers {
                None => None,
                Some(writers) => {
                    let (stop, bell, ended) = (&*stop, &**writer_bell, &*ended);
                    let write = move || {
                        let _watch = Watch { stop, bells };
                        writer::run(writers, bell, stop, &|| ended.load(Ordering::Acquire) == all)
                    };
                    Some(named("writer").spawn_scoped(scope, write).map_err(no_thread)?)
                }
            };
            let keeping = match &mut keeper {
                None => None,
                Some(keeper) => {
                    let (stop, is_over) = (&*stop, &is_over);
                    let keep = move || {
                        let _watch = Watch { stop, bells };
                        let done = keeper::run(keeper, keeper_bell, &|| is_over.load(Ordering::Acquire));
                        if done.is_err() {
                            stop.now.store(true, Ordering::Relaxed);
                            bells.iter().for_each(Doorbell::ring);
                        }
                        done.map(|()| keeper.kept)
                    };
                    Some(named("checkpoint").spawn_scoped(scope, keep).map_err(|cause| {
                        ended.store(all, Ordering::Release);
                        writer_bell[0].ring();
                        no_thread(cause)
                    })?)
                }
            };
            let run = move || {
                let outcomes = executor::run(kind, &cpus, policy, seats, starts);
                let _ = done.send(());
                outcomes
            };
            let runner = named("executor").spawn_scoped(scope, run).map_err(|cause| {
                ended.store(all, Ordering::Release);
                is_over.store(true, Ordering::Release);
                writer_bell[0].ring();
                keeper_bell[0].ring();
                no_thread(cause)
            })?;
            while finished.recv_timeout(Duration::from_millis(50)) == Err(mpsc::RecvTimeoutError::Timeout) {
                if let (Some(last), true, false) = (&last_asked, sys::stop_asked(), stop.now.load(Ordering::Relaxed)) {
                    // The shards end by themselves behind one more epoch.
                    last.store(true, Ordering::Relaxed);
                    keeper_bell[0].ring();
                } else if sys::stop_asked() || stop.now.load(Ordering::Relaxed) {
                    stop.now.store(true, Ordering::Relaxed);
                    bells.iter().for_each(Doorbell::ring);
                }
                watch(&gauges, began.elapsed());
            }
            // A shard that could not start is not counted: the writer must not wait for it.
            ended.store(all, Ordering::Release);
            writer_bell[0].ring();
            let written = writing.map_or_else(|| Ok(Written::default()), |writing| join("the writer", writing.join()));
            is_over.store(true, Ordering::Release);
            keeper_bell[0].ring();
            let kept = keeping.map(|keeping| join("the keeper of checkpoints", keeping.join())).transpose();
            Ok((join_plain(runner.join()), written, kept))
        })?;
        let elapsed = began.elapsed();
        let steal = sys::steal_ticks().saturating_sub(steal_before);
        let outcomes = outcomes?.map_err(|error| Error::new(Code::Internal, error.to_string()))?;
        self.conclude(outcomes, written, kept, elapsed, steal)
    }

    fn conclude(
        &self,
        mut shards: Vec<ShardOutcome>,
        written: Result<Written>,
        kept: Result<Option<Kept>>,
        elapsed: Duration,
        steal: u64,
    ) -> Result<Finished> {
        let mut error = None;
        for shard in &mut shards {
            error = error.or(shard.error.take());
        }
        if let Err(cause) = self.rejects.finish(self.inputs.len(), shards.len()) {
            error.get_or_insert(cause);
        }
        let written = written.unwrap_or_else(|cause| {
            error.get_or_insert(cause);
            Written::default()
        });
        let kept = kept.unwrap_or_else(|cause| {
            error.get_or_insert(cause);
            None
        });
        if kept.is_some_and(|kept| kept.is_finished)
            && let Err(cause) = self.settle()
        {
            error.get_or_insert(cause);
        }
        for (shard, merged) in shards.iter_mut().zip(&written.clocks) {
            shard.clocks.merge(merged);
        }
        let mut clocks = Clocks::default();
        shards.iter().for_each(|shard| clocks.merge(&shard.clocks));
        let counts = || shards.iter().flat_map(|shard| &shard.sources).map(|source| source.counts);
        let bad: u64 = counts().map(|counts| counts.bad).sum();
        let read: u64 = counts().map(|counts| counts.read).sum();
        let over = self.max_errors.filter(|most| most.exceeded(bad, read));
        let too_many_bad = self.bad_limit.as_ref().is_some_and(|limit| limit.is_exceeded()) || over.is_some();
        if let (Some(MaxErrors::Percent(most)), None) = (over, &error) {
            // A share is known at the end only, when all results are written.
            let message = format!("bad rows: {bad} of {read}, more than --max-errors {most}%; the output is whole");
            error = Some(Error::new(Code::Limit, message).help("allow more, or mend the rows that are shown"));
        }
        Ok(Finished {
            shards,
            clocks,
            written: written.bytes,
            writer_cpu_ns: written.cpu_ns,
            elapsed,
            steal_seconds: steal as f64 / 100.0,
            reader_gone: written.reader_gone,
            signal: sys::stop_signal(),
            error,
            too_many_bad,
            kept,
        })
    }
}

/// Stops the shards if its thread panics: nobody would take what they tell.
struct Watch<'a> {
    stop: &'a Stop,
    bells: &'a [Doorbell],
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.stop.now.store(true, Ordering::Relaxed);
            self.bells.iter().for_each(Doorbell::ring);
        }
    }
}

fn no_thread(cause: std::io::Error) -> Error {
    let error = Error::new(Code::Io, format!("cannot start a thread: {cause}"));
    error.help("allow more processes (ulimit -u) or memory (ulimit -v), or take fewer --shards")
}

/// What a thread has come to; a panic is told as its own, with what it said.
fn join<T>(who: &str, result: std::thread::Result<Result<T>>) -> Result<T> {
    result.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word");
        Err(Error::new(Code::Internal, format!("{who} panicked: {text}")))
    })
}

fn join_plain<T>(result: std::thread::Result<T>) -> Result<T> {
    result.map_err(|_| Error::new(Code::Internal, "the executor panicked"))
}
