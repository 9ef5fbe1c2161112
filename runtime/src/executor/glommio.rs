//! One glommio executor per shard, with one long-lived task that turns the rounds.
//!
//! glommio 0.9.0 can park for ever with a runnable task when its preempt timer fires before the
//! first queue runs: hence a timer of an hour, no `yield_if_needed`, and a backstop that brings the
//! reactor round every 10 ms while the shard sleeps. None of its wakers or channels leaves the
//! shard's thread; peers reach it by the eventfd of its doorbell alone, whose one read stays
//! unfinished across time-outs and whose file is closed at the end.

use super::{Completion, Io, Next, ReadRequest, RunError, Seat, Shard, Start, Stop, Task};
use crate::{idle::IdlePolicy, sys};
use glommio::{LocalExecutorBuilder, Placement};
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

/// Bytes of registered memory for each shard; glommio's default of 10 MiB costs 4..40 ms.
pub const IO_MEMORY: usize = 256 << 10;
/// Submission entries of each of a shard's rings.
pub const RING_DEPTH: usize = 64;

/// What wakes a parked shard on its own thread.
#[derive(Default)]
struct Local {
    woken: Cell<bool>,
    ending: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    done: RefCell<Vec<Completion>>,
}

impl Local {
    fn wake(&self) {
        self.woken.set(true);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Waits until it is woken, or for so long. The timer is no task of its own, of which glommio 0.9.0
    /// was seen to leave 1 KB behind each time.
    async fn woken(&self, within: Option<Duration>) {
        // A sleep of nothing would not give way to the rings.
        let mut timer = within.map(|within| glommio::timer::Timer::new(within.max(SLEEP_LEAST)));
        poll_fn(|context| {
            if self.woken.replace(false) {
                return Poll::Ready(());
            }
            if timer.as_mut().is_some_and(|timer| Pin::new(timer).poll(context).is_ready()) {
                return Poll::Ready(());
            }
            self.waker.replace(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

struct RingIo {
    local: Rc<Local>,
    in_flight: usize,
    stop: Stop,
}

impl Io for RingIo {
    fn submit(&mut self, read: ReadRequest) {
        self.in_flight += 1;
        let local = self.local.clone();
        glommio::spawn_local(async move {
            let token = read.token;
            let result = read_fully(read).await;
            local.done.borrow_mut().push(Completion { token, result });
            local.wake();
        })
        .detach();
    }

    fn poll(&mut self, completions: &mut Vec<Completion>) {
        let mut done = self.local.done.borrow_mut();
        self.in_flight -= done.len();
        completions.append(&mut done);
    }

    fn in_flight(&self) -> usize {
        self.in_flight
    }

    fn stopping(&self) -> bool {
        self.stop.is_asked()
    }
}

async fn read_fully(read: ReadRequest) -> std::io::Result<Vec<u8>> {
    let file = sys::buffered_file(read.file.try_clone()?);
    let mut bytes = Vec::with_capacity(read.len);
    let result = loop {
        match file.read_at(read.offset + bytes.len() as u64, read.len - bytes.len()).await {
            Ok(part) if part.is_empty() => break Ok(bytes),
            Ok(part) => bytes.extend_from_slice(&part),
            Err(error) => break Err(error.into()),
        }
        if bytes.len() >= read.len {
            break Ok(bytes);
        }
    };
    file.close().await.map_err(std::io::Error::from)?;
    result
}

pub(super) fn run<T: Task + 'static>(
    policy: IdlePolicy,
    seated: Vec<(Seat, Start<T>)>,
) -> Vec<Result<T::Outcome, RunError>> {
    let start = |(seat, start): (Seat, Start<T>)| {
        let (number, stop) = (seat.shard, seat.stop.clone());
        let spawned = LocalExecutorBuilder::new(seat.cpu.map_or(Placement::Unbound, Placement::Fixed))
            .name(&format!("shard-{number}"))
            .io_memory(IO_MEMORY)
            .ring_depth(RING_DEPTH)
            .preempt_timer(Duration::from_secs(3600))
            .spawn(move || shard_task(seat, policy, start));
        if spawned.is_err() {
            stop.ask();
        }
        (number, stop, spawned)
    };
    // All are started before the first is joined.
    let spawned: Vec<_> = seated.into_iter().map(start).collect();
    let mut results = Vec::with_capacity(spawned.len());
    for (shard, stop, spawned) in spawned {
        let joined = spawned.and_then(|thread| thread.join());
        results.push(joined.unwrap_or_else(|error| {
            stop.ask();
            Err(RunError::Start { shard, reason: error.to_string() })
        }));
    }
    results
}

/// The shortest sleep. glommio needs some 20 us to set it up, and shorter ones would never sleep: rows
/// due meanwhile are taken together.
const SLEEP_LEAST: Duration = Duration::from_micros(100);

async fn shard_task<T: Task + 'static>(
    seat: Seat,
    policy: IdlePolicy,
    start: Start<T>,
) -> Result<T::Outcome, RunError> {
    let local = Rc::new(Local::default());
    let fail = |seat: &Seat, error: std::io::Error| {
        seat.stop.ask();
        RunError::Start { shard: seat.shard, reason: format!("its doorbell: {error}") }
    };
    let (number, bells) = (seat.shard, seat.bells.clone());
    let bell = seat.bells[number].signal().try_clone_file().map_err(|error| fail(&seat, error))?;
    let listening = glommio::spawn_local(listen(sys::buffered_file(bell), local.clone()));
    let result = turn(seat, policy, start, &local).await;
    // Ends the unfinished read, so that the file can be closed.
    local.ending.set(true);
    bells[number].signal().raise();
    listening.await;
    result
}

/// Passes the doorbell's rings on until the shard ends, then closes the file.
async fn listen(bell: glommio::io::BufferedFile, local: Rc<Local>) {
    while bell.read_at(0, 8).await.is_ok() && !local.ending.get() {
        local.wake();
    }
    local.wake();
    let _ = bell.close().await;
}

async fn turn<T: Task + 'static>(
    seat: Seat,
    policy: IdlePolicy,
    start: Start<T>,
    local: &Rc<Local>,
) -> Result<T::Outcome, RunError> {
    let mut io = RingIo { local: local.clone(), in_flight: 0, stop: seat.stop.clone() };
    let mut shard = Shard::start(seat, policy, start)?;
    let mut backstop = None;
    let result = loop {
        match shard.round(&mut io) {
            Ok(Next::Round) => glommio::executor().yield_task_queue_now().await,
            Ok(Next::Park(deadline)) => {
                backstop.get_or_insert_with(|| {
                    glommio::spawn_local(async {
                        loop {
                            glommio::timer::sleep(Duration::from_millis(10)).await;
                        }
                    })
                });
                local.woken(deadline).await;
                shard.awake();
            }
            Ok(Next::End) => break shard.end(),
            Err(error) => break Err(error),
        }
    };
    drop(backstop);
    // Reads that no one waits for any more end before their files do.
    while io.in_flight > local.done.borrow().len() {
        local.woken(None).await;
    }
    result
}
