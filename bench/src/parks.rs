//! Hops between two shards that sleep whenever they wait: arm, park, ring, wake, through the real
//! executor.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use corelane::executor::{self, Io, Kind, Progress, Seat, Start, Task, ThreadTimes};
use corelane::idle::IdlePolicy;
use corelane::ring::{Receiver, Sender, ring};

/// What some round trips have taken.
#[derive(Clone, Copy, Debug)]
pub struct Parks {
    /// From start to end.
    pub elapsed: Duration,
    /// Times one of the two shards slept.
    pub parks: u64,
}

/// One of two shards that pass a number to and fro, counting it up to `last`.
struct Player {
    seat: Seat,
    to: Sender<u64>,
    from: Receiver<u64>,
    last: u64,
    serve: bool,
}

impl Player {
    fn send(&mut self, number: u64) {
        self.to.push(number).expect("at most one number is under way");
        self.seat.bells[1 - self.seat.shard].ring();
    }
}

impl Task for Player {
    type Outcome = u64;

    fn step(&mut self, _: &mut dyn Io) -> Progress {
        if std::mem::take(&mut self.serve) {
            self.send(1);
            return Progress::Busy;
        }
        match self.from.pop() {
            None if self.from.is_closed() => Progress::Done,
            None => Progress::Idle(None),
            Some(number) if number >= self.last => {
                // The other player ends on the number behind the last.
                if number == self.last {
                    self.send(number + 1);
                }
                Progress::Done
            }
            Some(number) => {
                self.send(number + 1);
                Progress::Busy
            }
        }
    }

    fn end(self, times: ThreadTimes) -> u64 {
        times.parks
    }
}

/// Lets two shards without a spin pass a number `hops` times.
pub fn hops(kind: Kind, hops: u64) -> Result<Parks> {
    let bells = executor::doorbells(2)?;
    let ((to_second, from_first), (to_first, from_second)) = (ring(2), ring(2));
    let start = |to, from, serve| -> Start<Player> {
        Box::new(move |seat: &Seat| Player { seat: seat.clone(), to, from, last: hops, serve })
    };
    let starts = vec![start(to_second, from_second, true), start(to_first, from_first, false)];
    let policy = IdlePolicy { spin_rounds: 0, busy_poll: false };
    let cpus: Vec<usize> = corelane::cores::CpuSet::allowed().iter().take(2).collect();
    let seats = if cpus.len() == 2 { cpus.into_iter().map(Some).collect() } else { vec![None; 2] };
    let began = Instant::now();
    let parks = executor::run(kind, &seats, policy, bells, starts).map_err(|error| anyhow!("{error}"))?;
    let elapsed = began.elapsed();
    ensure!(parks.len() == 2, "{} of 2 shards have ended", parks.len());
    Ok(Parks { elapsed, parks: parks.iter().sum() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_game_ends() {
        for count in [1, 2, 3, 1000] {
            hops(Kind::Threads, count).unwrap();
        }
    }
}
