//! Plain threads: pinned where asked, reads done by two threads of the pool, parked by poll(2).

use super::{Completion, Io, Next, ReadRequest, RunError, Seat, Shard, Start, Stop, Task};
use crate::{doorbell::Doorbell, idle::IdlePolicy};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

const READERS: usize = 2;

/// A read on its way through the pool.
struct Errand {
    read: ReadRequest,
    reply: mpsc::Sender<Completion>,
    bells: Arc<[Doorbell]>,
    shard: usize,
}

struct PoolIo {
    errands: mpsc::Sender<Errand>,
    reply: mpsc::Sender<Completion>,
    done: mpsc::Receiver<Completion>,
    in_flight: usize,
    shard: usize,
    bells: Arc<[Doorbell]>,
    stop: Stop,
}

impl Io for PoolIo {
    fn submit(&mut self, read: ReadRequest) {
        self.in_flight += 1;
        let errand = Errand { read, reply: self.reply.clone(), bells: self.bells.clone(), shard: self.shard };
        if let Err(mpsc::SendError(errand)) = self.errands.send(errand) {
            serve(errand);
        }
    }

    fn poll(&mut self, completions: &mut Vec<Completion>) {
        let before = completions.len();
        completions.extend(self.done.try_iter());
        self.in_flight -= completions.len() - before;
    }

    fn in_flight(&self) -> usize {
        self.in_flight
    }

    fn stopping(&self) -> bool {
        self.stop.is_asked()
    }
}

fn serve(errand: Errand) {
    let Errand { read, reply, bells, shard } = errand;
    // The shard may have ended without waiting for its reads; then no one wants the bytes.
    let _ = reply.send(Completion { token: read.token, result: read_fully(&read) });
    bells[shard].ring();
}

fn read_fully(read: &ReadRequest) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; read.len];
    let mut have = 0;
    while have < read.len {
        match read.file.read_at(&mut bytes[have..], read.offset + have as u64) {
            Ok(0) => break,
            Ok(more) => have += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(have);
    Ok(bytes)
}

pub(super) fn run<T: Task + 'static>(
    policy: IdlePolicy,
    seated: Vec<(Seat, Start<T>)>,
) -> Vec<Result<T::Outcome, RunError>> {
    let (errands, queue) = mpsc::channel::<Errand>();
    let queue = Arc::new(Mutex::new(queue));
    thread::scope(|scope| {
        for number in 0..READERS {
            let queue = queue.clone();
            let reader = thread::Builder::new().name(format!("read-{number}"));
            // Without a reader the queue closes and the shards read for themselves.
            let _ = reader.spawn_scoped(scope, move || {
                loop {
                    let errand = queue.lock().map(|queue| queue.recv());
                    let Ok(Ok(errand)) = errand else { return };
                    serve(errand);
                }
            });
        }
        drop(queue);
        let shards: Vec<_> = seated
            .into_iter()
            .map(|(seat, start)| {
                let (shard, stop) = (seat.shard, seat.stop.clone());
                let errands = errands.clone();
                let thread = thread::Builder::new().name(format!("shard-{shard}"));
                let spawned = thread.spawn_scoped(scope, move || shard_thread(seat, policy, start, errands));
                if spawned.is_err() {
                    stop.ask();
                }
                (shard, spawned)
            })
            .collect();
        drop(errands);
        let join = |(shard, spawned): (usize, io::Result<thread::ScopedJoinHandle<'_, _>>)| match spawned {
            Err(error) => Err(RunError::Start { shard, reason: error.to_string() }),
            Ok(thread) => thread.join().unwrap_or_else(|cause| {
                Err(RunError::Panic { shard, place: "its executor".into(), message: super::message(&*cause) })
            }),
        };
        shards.into_iter().map(join).collect()
    })
}

fn shard_thread<T: Task>(
    seat: Seat,
    policy: IdlePolicy,
    start: Start<T>,
    errands: mpsc::Sender<Errand>,
) -> Result<T::Outcome, RunError> {
    if let Some(cpu) = seat.cpu
        && !core_affinity::set_for_current(core_affinity::CoreId { id: cpu })
    {
        seat.stop.ask();
        return Err(RunError::Start { shard: seat.shard, reason: format!("CPU {cpu} cannot be used") });
    }
    let (reply, done) = mpsc::channel();
    let (number, bells, stop) = (seat.shard, seat.bells.clone(), seat.stop.clone());
    let mut io = PoolIo { errands, reply, done, in_flight: 0, shard: number, bells, stop };
    let mut shard = Shard::start(seat, policy, start)?;
    loop {
        match shard.round(&mut io)? {
            Next::Round => {}
            Next::Park(deadline) => {
                let waited = shard.bell().signal().wait(deadline);
                shard.awake();
                if let Err(error) = waited {
                    shard.seat.stop.ask();
                    return Err(RunError::Start { shard: number, reason: format!("cannot sleep: {error}") });
                }
            }
            Next::End => return shard.end(),
        }
    }
}
