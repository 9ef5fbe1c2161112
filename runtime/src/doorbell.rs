//! One doorbell per shard: whoever has put something into one of the shard's rings rings it, and
//! only a shard that is about to sleep pays for that.
//!
//! Invariant: the shard arms, looks into its rings once more, and only then sleeps; a peer pushes
//! and then rings. Both sides touch `armed` by read-modify-write, so of an arm and a ring one
//! comes first: if the ring does, arming acquires the push and the second look finds it; if the
//! arm does, the ring sees it and wakes. No wake-up is lost (the loom model proves it), and a
//! signal too many is only an extra round.

use crate::sync::{AtomicBool, Ordering, Padded};
#[cfg(not(loom))]
use crate::sys::EventFd as Signal;
use std::io;

/// A shard's doorbell.
#[derive(Debug)]
pub struct Doorbell {
    armed: Padded<AtomicBool>,
    signal: Signal,
}

impl Doorbell {
    /// A doorbell that is not armed.
    pub fn new() -> io::Result<Self> {
        Ok(Doorbell { armed: Padded(AtomicBool::new(false)), signal: Signal::new()? })
    }

    /// Wakes the shard if it sleeps or is about to. Call it after the push.
    #[inline]
    pub fn ring(&self) {
        if self.armed.0.swap(false, Ordering::AcqRel) {
            self.signal.raise();
        }
    }

    /// Says that the shard is about to sleep. Look into the rings once more before doing so.
    pub fn arm(&self) {
        self.armed.0.swap(true, Ordering::AcqRel);
    }

    /// Says that the shard is awake.
    pub fn disarm(&self) {
        self.armed.0.swap(false, Ordering::AcqRel);
    }

    /// What a sleeper sleeps on.
    pub fn signal(&self) -> &Signal {
        &self.signal
    }
}

#[cfg(loom)]
mod model_signal {
    use loom::sync::{Condvar, Mutex};

    /// The twin of an eventfd for models.
    #[derive(Debug)]
    pub struct Signal {
        raised: Mutex<bool>,
        changed: Condvar,
    }

    impl Signal {
        /// A signal that is not raised.
        pub fn new() -> std::io::Result<Self> {
            Ok(Signal { raised: Mutex::new(false), changed: Condvar::new() })
        }

        /// Raises it.
        pub fn raise(&self) {
            *self.raised.lock().unwrap() = true;
            self.changed.notify_one();
        }

        /// Sleeps until it is raised, and lowers it.
        pub fn wait(&self) {
            let mut raised = self.raised.lock().unwrap();
            while !*raised {
                raised = self.changed.wait(raised).unwrap();
            }
            *raised = false;
        }
    }
}
#[cfg(loom)]
pub use model_signal::Signal;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn only_an_armed_bell_signals_and_only_once() {
        let bell = Doorbell::new().unwrap();
        let now = Some(Duration::ZERO);
        bell.ring();
        assert!(!bell.signal().wait(now).unwrap());
        bell.arm();
        bell.ring();
        bell.ring();
        assert!(bell.signal().wait(now).unwrap());
        assert!(!bell.signal().wait(now).unwrap());
        bell.arm();
        bell.disarm();
        bell.ring();
        assert!(!bell.signal().wait(now).unwrap());
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use crate::{ring::ring, sync::Arc};

    #[test]
    fn no_wake_up_is_lost() {
        loom::model(|| {
            let bell = Arc::new(Doorbell::new().unwrap());
            let (mut sender, mut receiver) = ring::<u32>(2);
            let peer = {
                let bell = bell.clone();
                loom::thread::spawn(move || {
                    for item in 0..2 {
                        sender.push(item).unwrap();
                        bell.ring();
                    }
                })
            };
            let mut due = 0;
            while due < 2 {
                if let Some(item) = receiver.pop() {
                    assert_eq!(item, due);
                    due += 1;
                    continue;
                }
                bell.arm();
                if receiver.ready() == 0 {
                    bell.signal().wait();
                }
                bell.disarm();
            }
            peer.join().unwrap();
        });
    }
}
