//! A bounded ring from one shard to another: one sender, one receiver, no locks, no allocation
//! after it is made.
//!
//! Invariants: `head <= tail <= head + capacity` (positions count up for ever and wrap by the
//! mask); only the sender writes `tail`, only the receiver writes `head`; a slot holds a value
//! exactly when its position lies in `head..tail`. Each end keeps the other's position as it last
//! saw it, so that a push or a pop touches the other's cache line only when the ring looks full
//! or empty. Neither end can be cloned, and `push` never blocks.

#![allow(unsafe_code, reason = "slots are shared by two threads")]

use crate::sync::{Arc, AtomicBool, AtomicUsize, Ordering, Padded, UnsafeCell};
use std::mem::MaybeUninit;

struct Shared<T> {
    head: Padded<AtomicUsize>,
    tail: Padded<AtomicUsize>,
    sender_gone: AtomicBool,
    receiver_gone: AtomicBool,
    mask: usize,
    slots: Box<[UnsafeCell<MaybeUninit<T>>]>,
}

// SAFETY: a slot is written by the one sender before it publishes `tail` with Release, and read by
// the one receiver after it has seen that `tail` with Acquire; the same holds the other way round
// for `head`. Values move between threads, so T must be Send.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above; the two ends never touch the same slot at the same time.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        let mut head = self.head.0.load(Ordering::Relaxed);
        let tail = self.tail.0.load(Ordering::Relaxed);
        while head != tail {
            // SAFETY: both ends are gone, and the positions in head..tail hold values.
            self.slots[head & self.mask].with_mut(|slot| unsafe { (*slot).assume_init_drop() });
            head = head.wrapping_add(1);
        }
    }
}

/// The end that pushes.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
    tail: usize,
    head_seen: usize,
}

/// The end that pops.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    head: usize,
    tail_seen: usize,
}

/// A ring with room for `capacity` values, rounded up to a power of two.
pub fn ring<T: Send>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let capacity = capacity.max(1).next_power_of_two();
    let shared = Arc::new(Shared {
        head: Padded(AtomicUsize::new(0)),
        tail: Padded(AtomicUsize::new(0)),
        sender_gone: AtomicBool::new(false),
        receiver_gone: AtomicBool::new(false),
        mask: capacity - 1,
        slots: (0..capacity).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect(),
    });
    (Sender { shared: shared.clone(), tail: 0, head_seen: 0 }, Receiver { shared, head: 0, tail_seen: 0 })
}

impl<T: Send> Sender<T> {
    /// Values the ring holds at most.
    pub fn capacity(&self) -> usize {
        self.shared.mask + 1
    }

    /// Room for at least this many pushes; looks at the receiver's position only when the ring
    /// seemed full.
    #[inline]
    pub fn room(&mut self) -> usize {
        if self.tail.wrapping_sub(self.head_seen) > self.shared.mask {
            self.head_seen = self.shared.head.0.load(Ordering::Acquire);
        }
        self.capacity() - self.tail.wrapping_sub(self.head_seen)
    }

    /// Whether there is room for `count` pushes, looked up unless it is known.
    pub fn has_room(&mut self, count: usize) -> bool {
        if self.room() < count {
            self.head_seen = self.shared.head.0.load(Ordering::Acquire);
        }
        self.room() >= count
    }

    /// Appends `value`, or gives it back when the ring is full.
    #[inline]
    pub fn push(&mut self, value: T) -> Result<(), T> {
        if self.room() == 0 {
            return Err(value);
        }
        // SAFETY: there is room, so the receiver has left this slot (seen with Acquire), and no
        // one but this sender writes slots.
        self.shared.slots[self.tail & self.shared.mask].with_mut(|slot| unsafe {
            (*slot).write(value);
        });
        self.tail = self.tail.wrapping_add(1);
        self.shared.tail.0.store(self.tail, Ordering::Release);
        Ok(())
    }

    /// The receiver is gone: what is pushed will not be read.
    pub fn is_closed(&self) -> bool {
        self.shared.receiver_gone.load(Ordering::Acquire)
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.sender_gone.store(true, Ordering::Release);
    }
}

impl<T: Send> Receiver<T> {
    /// Values that can be popped at least; looks at the sender's position only when the ring
    /// seemed empty.
    #[inline]
    pub fn ready(&mut self) -> usize {
        if self.head == self.tail_seen {
            self.tail_seen = self.shared.tail.0.load(Ordering::Acquire);
        }
        self.tail_seen.wrapping_sub(self.head)
    }

    /// Takes the oldest value.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        if self.ready() == 0 {
            return None;
        }
        // SAFETY: the position lies below `tail`, seen with Acquire, so the slot holds a value;
        // moving `head` past it below makes sure that it is read once.
        let value =
            self.shared.slots[self.head & self.shared.mask].with_mut(|slot| unsafe { (*slot).assume_init_read() });
        self.head = self.head.wrapping_add(1);
        self.shared.head.0.store(self.head, Ordering::Release);
        Some(value)
    }

    /// The sender is gone and everything it pushed has been popped.
    pub fn is_closed(&mut self) -> bool {
        // The order matters: the sender's last push comes before its flag.
        self.shared.sender_gone.load(Ordering::Acquire) && self.ready() == 0
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.receiver_gone.store(true, Ordering::Release);
    }
}

impl<T> std::fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender").field("tail", &self.tail).finish_non_exhaustive()
    }
}

impl<T> std::fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiver").field("head", &self.head).finish_non_exhaustive()
    }
}

/// Sends `items` numbers through a ring between two threads and checks their order and their sum.
#[cfg(not(loom))]
pub fn stress(items: u64) -> Result<(), String> {
    let (mut sender, mut receiver) = ring::<u64>(1024);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for item in 0..items {
                let mut item = item;
                while let Err(full) = sender.push(item) {
                    if sender.is_closed() {
                        return;
                    }
                    item = full;
                    std::thread::yield_now();
                }
            }
        });
        let (mut next, mut sum) = (0u64, 0u64);
        loop {
            match receiver.pop() {
                Some(item) if item != next => return Err(format!("item {item} came where {next} was due")),
                Some(item) => (next, sum) = (next + 1, sum.wrapping_add(item)),
                None if receiver.is_closed() => break,
                None => std::thread::yield_now(),
            }
        }
        let due = (u128::from(items) * u128::from(items.saturating_sub(1)) / 2) as u64;
        if next != items || sum != due {
            return Err(format!("{next} of {items} items came, with sum {sum} instead of {due}"));
        }
        Ok(())
    })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn behaves_like_a_bounded_queue() {
        for capacity in [1usize, 2, 3, 8] {
            let (mut sender, mut receiver) = ring::<u32>(capacity);
            let mut model = std::collections::VecDeque::new();
            let mut random = 0x9e37_79b9_u32;
            for item in 0..20_000u32 {
                random ^= random << 13;
                random ^= random >> 17;
                random ^= random << 5;
                if random & 1 == 0 {
                    let fits = model.len() < capacity.next_power_of_two();
                    assert_eq!(sender.push(item), if fits { Ok(()) } else { Err(item) });
                    if fits {
                        model.push_back(item);
                    }
                } else {
                    assert_eq!(receiver.pop(), model.pop_front());
                }
            }
        }
    }

    #[test]
    fn what_was_not_popped_is_dropped_once() {
        let item = Arc::new(());
        let (mut sender, mut receiver) = ring(4);
        for _ in 0..4 {
            sender.push(item.clone()).unwrap();
        }
        drop(receiver.pop());
        sender.push(item.clone()).unwrap();
        drop(sender);
        assert!(!receiver.is_closed());
        drop(receiver);
        assert_eq!(Arc::strong_count(&item), 1);
    }

    #[test]
    fn an_end_sees_that_the_other_is_gone() {
        let (mut sender, mut receiver) = ring(2);
        sender.push(7).unwrap();
        drop(sender);
        assert!(!receiver.is_closed());
        assert_eq!(receiver.pop(), Some(7));
        assert!(receiver.is_closed());
        let (sender, receiver) = ring::<u8>(2);
        assert!(!sender.is_closed());
        drop(receiver);
        assert!(sender.is_closed());
    }

    #[test]
    fn keeps_order_between_threads() {
        stress(1_000_000).unwrap();
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::thread;

    #[test]
    fn wraps_and_fills_in_order() {
        loom::model(|| {
            let (mut sender, mut receiver) = ring::<Box<u32>>(2);
            let sending = thread::spawn(move || {
                for item in 0..3 {
                    let mut item = Box::new(item);
                    while let Err(full) = sender.push(item) {
                        item = full;
                        thread::yield_now();
                    }
                }
            });
            let mut due = 0;
            while due < 3 {
                match receiver.pop() {
                    Some(item) => {
                        assert_eq!(*item, due);
                        due += 1;
                    }
                    None => thread::yield_now(),
                }
            }
            sending.join().unwrap();
            assert!(receiver.is_closed());
        });
    }

    #[test]
    fn a_lent_batch_comes_home() {
        loom::model(|| {
            let (mut out, mut inbox) = ring::<Vec<u32>>(1);
            let (mut back, mut home) = ring::<Vec<u32>>(1);
            let peer = thread::spawn(move || {
                loop {
                    if let Some(mut batch) = inbox.pop() {
                        batch.clear();
                        assert!(back.push(batch).is_ok());
                        return;
                    }
                    thread::yield_now();
                }
            });
            out.push(vec![1]).unwrap();
            loop {
                if let Some(batch) = home.pop() {
                    assert!(batch.is_empty());
                    break;
                }
                thread::yield_now();
            }
            peer.join().unwrap();
        });
    }

    #[test]
    fn finishes_with_a_full_ring() {
        loom::model(|| {
            let (mut sender, mut receiver) = ring::<Box<u32>>(2);
            let sending = thread::spawn(move || {
                sender.push(Box::new(0)).unwrap();
                sender.push(Box::new(1)).unwrap();
            });
            let mut due = 0;
            while !receiver.is_closed() {
                match receiver.pop() {
                    Some(item) => {
                        assert_eq!(*item, due);
                        due += 1;
                    }
                    None => thread::yield_now(),
                }
            }
            assert_eq!(due, 2);
            sending.join().unwrap();
        });
    }
}
