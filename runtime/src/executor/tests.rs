//! The promises of an executor, held against both.

use super::*;
use crate::ring::{Receiver, Sender, ring};
use std::io::Write;

fn each_executor(check: impl Fn(Kind)) {
    check(Kind::Threads);
    match sys::probe_io_uring() {
        Ok(()) => check(Kind::Glommio),
        Err(error) => eprintln!("glommio skipped: io_uring is not available ({error})"),
    }
}

struct Closure<F>(F);

impl<F: FnMut(&mut dyn Io) -> Progress> Task for Closure<F> {
    type Outcome = ThreadTimes;
    fn step(&mut self, io: &mut dyn Io) -> Progress {
        (self.0)(io)
    }
    fn end(self, times: ThreadTimes) -> ThreadTimes {
        times
    }
}

type Step = Box<dyn FnMut(&mut dyn Io) -> Progress>;
type StartStep = Box<dyn FnOnce(&Seat) -> Step + Send>;

fn run_steps(kind: Kind, policy: IdlePolicy, steps: Vec<StartStep>) -> Result<Vec<ThreadTimes>, RunError> {
    let bells = doorbells(steps.len()).unwrap();
    let cpus = vec![None; steps.len()];
    let starts = steps.into_iter().map(|step| -> Start<Closure<Step>> { Box::new(|seat| Closure(step(seat))) });
    run(kind, &cpus, policy, bells, starts.collect())
}

const PARK_AT_ONCE: IdlePolicy = IdlePolicy { spin_rounds: 0, busy_poll: false };

fn echo(mut inbox: Receiver<u32>, mut out: Sender<u32>, hops: u32, first: bool) -> StartStep {
    Box::new(move |seat| {
        let (bells, peer) = (seat.bells.clone(), 1 - seat.shard);
        let mut starting = first;
        Box::new(move |_| {
            let hop = if std::mem::take(&mut starting) { Some(0) } else { inbox.pop() };
            let Some(hop) = hop else { return Progress::Idle(None) };
            if hop <= hops {
                out.push(hop + 1).unwrap();
                bells[peer].ring();
            }
            if hop >= hops { Progress::Done } else { Progress::Busy }
        })
    })
}

fn ping_pong(kind: Kind, hops: u32) {
    let ((there, there_in), (back, back_in)) = (ring(2), ring(2));
    let steps = vec![echo(back_in, there, hops, true), echo(there_in, back, hops, false)];
    let times = run_steps(kind, PARK_AT_ONCE, steps).unwrap();
    assert!(times.iter().map(|times| times.parks).sum::<u64>() > 0);
}

#[test]
fn a_hundred_thousand_parks_do_not_hang() {
    each_executor(|kind| ping_pong(kind, 100_000));
}

#[test]
fn reads_complete_with_their_bytes_or_their_error() {
    each_executor(|kind| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let bytes: Vec<u8> = (0..200_000u32).map(|n| (n % 251) as u8).collect();
        file.write_all(&bytes).unwrap();
        let readable = Arc::new(file.reopen().unwrap());
        let unreadable = Arc::new(std::fs::OpenOptions::new().write(true).open(file.path()).unwrap());
        let step: StartStep = Box::new(move |_| {
            let (mut submitted, mut left) = (false, 12);
            Box::new(move |io| {
                if !std::mem::replace(&mut submitted, true) {
                    for token in 0..11 {
                        io.submit(ReadRequest { token, file: readable.clone(), offset: token * 20_000, len: 20_000 });
                    }
                    io.submit(ReadRequest { token: 99, file: unreadable.clone(), offset: 0, len: 10 });
                }
                let mut completions = vec![];
                io.poll(&mut completions);
                for Completion { token, result } in &completions {
                    match (token, result) {
                        (99, result) => assert!(result.is_err()),
                        (10, result) => assert!(result.as_ref().unwrap().is_empty()),
                        (n, result) => {
                            let from = *n as usize * 20_000;
                            assert!(result.as_ref().unwrap() == &bytes[from..from + 20_000]);
                        }
                    }
                }
                left -= completions.len();
                assert_eq!(io.in_flight(), left);
                match (left, completions.len()) {
                    (0, _) => Progress::Done,
                    (_, 0) => Progress::Idle(None),
                    _ => Progress::Busy,
                }
            })
        });
        run_steps(kind, PARK_AT_ONCE, vec![step]).unwrap();
    });
}

#[test]
fn reads_complete_for_one_that_is_always_due() {
    each_executor(|kind| {
        for policy in [
            PARK_AT_ONCE,
            IdlePolicy { spin_rounds: 100, busy_poll: false },
            IdlePolicy { spin_rounds: 100, busy_poll: true },
        ] {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(&[7; 5000]).unwrap();
            let file = Arc::new(file.reopen().unwrap());
            let step: StartStep = Box::new(move |_| {
                let mut rounds = 0;
                Box::new(move |io| {
                    if rounds == 0 {
                        io.submit(ReadRequest { token: 0, file: file.clone(), offset: 0, len: 5000 });
                    }
                    rounds += 1;
                    assert!(rounds < 1_000_000, "the read never completes");
                    let mut completions = vec![];
                    io.poll(&mut completions);
                    if completions.is_empty() { Progress::Idle(Some(Duration::ZERO)) } else { Progress::Done }
                })
            });
            run_steps(kind, policy, vec![step]).unwrap();
        }
    });
}

#[test]
fn a_deadline_ends_a_park() {
    each_executor(|kind| {
        let step: StartStep = Box::new(|_| {
            let mut rounds = 0;
            Box::new(move |_| {
                rounds += 1;
                if rounds > 20 { Progress::Done } else { Progress::Idle(Some(Duration::from_micros(50))) }
            })
        });
        assert!(run_steps(kind, PARK_AT_ONCE, vec![step]).unwrap()[0].parks >= 5);
    });
}

#[test]
fn a_panic_stops_all_shards_and_names_shard_and_place() {
    each_executor(|kind| {
        let wait = || -> StartStep {
            Box::new(|_| Box::new(|io| if io.stopping() { Progress::Done } else { Progress::Idle(None) }))
        };
        let fail: StartStep = Box::new(|_| Box::new(|_| panic!("broken on purpose")));
        let error = run_steps(kind, PARK_AT_ONCE, vec![wait(), fail, wait()]).unwrap_err().to_string();
        assert!(error.starts_with("internal error in shard 1 at runtime/src/executor/tests.rs:"), "{error}");
        assert!(error.contains("broken on purpose"), "{error}");
    });
}

#[test]
fn more_shards_than_cpus_end() {
    each_executor(|kind| {
        let done = || -> StartStep { Box::new(|_| Box::new(|_| Progress::Done)) };
        assert_eq!(run_steps(kind, PARK_AT_ONCE, (0..9).map(|_| done()).collect()).unwrap().len(), 9);
    });
}
