//! How values are put into a column: near, in the core's own cache, or past it.
//!
//! A batch goes round between two cores, so its lines lie where it was last read. An ordinary store takes each
//! line from there before it writes to it: 24 ns a line more, measured on two virtual Zen 4 cores that did
//! nothing else, whatever was prefetched and however many batches there were. A store past the caches
//! (`movnti`) takes nothing, and the reader fetches the lines in order as fast as before.

#![allow(unsafe_code, reason = "stores past the caches")]

/// Where values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Store {
    /// To the cache, for who reads them on this core.
    Near,
    /// Past the caches, for another core.
    Away,
}

impl Store {
    /// Writes `values` to the front of `to`, as far as they go. [`Store::end`] must follow before another core
    /// is told.
    #[inline]
    pub(super) fn fill<T: Copy>(self, values: impl Iterator<Item = T>, to: &mut [T]) {
        match self {
            Store::Near => to.iter_mut().zip(values).for_each(|(to, value)| *to = value),
            Store::Away => to.iter_mut().zip(values).for_each(|(to, value)| put_away(to, value)),
        }
    }

    /// Writes `values` to `to`, which is as long. As [`Store::fill`].
    #[inline]
    pub(super) fn copy<T: Copy>(self, values: &[T], to: &mut [T]) {
        match self {
            Store::Near => to.copy_from_slice(values),
            Store::Away => self.fill(values.iter().copied(), to),
        }
    }

    /// Has all that was written come before what is written from now on, the news for another core included:
    /// stores past the caches are in no order by themselves.
    #[inline]
    pub(super) fn end(self) {
        #[cfg(target_arch = "x86_64")]
        if self == Store::Away {
            // SAFETY: a fence only orders.
            unsafe { std::arch::x86_64::_mm_sfence() };
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn put_away<T: Copy>(to: &mut T, value: T) {
    use std::arch::x86_64::_mm_stream_si64;
    const { assert!(size_of::<T>() == 8 || size_of::<T>() == 16) };
    const { assert!(align_of::<T>() >= 8) };
    let (from, to) = ((&raw const value).cast::<i64>(), (&raw mut *to).cast::<i64>());
    for word in 0..size_of::<T>() / 8 {
        // SAFETY: both are of `T`, which is as many words long and aligned as words are; every value that
        // batches hold is whole words without padding.
        unsafe { _mm_stream_si64(to.add(word), *from.add(word)) };
    }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn put_away<T: Copy>(to: &mut T, value: T) {
    *to = value;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Text;

    fn both<T: Copy + PartialEq + std::fmt::Debug>(values: &[T], empty: T) {
        for length in [0, 1, 7, values.len()] {
            let (mut near, mut away) = (vec![empty; values.len()], vec![empty; values.len()]);
            Store::Near.copy(&values[..length], &mut near[..length]);
            Store::Away.copy(&values[..length], &mut away[..length]);
            Store::Away.end();
            assert_eq!(near, away);
            Store::Away.fill(values.iter().copied().rev().take(length), &mut away);
            Store::Near.fill(values.iter().copied().rev().take(length), &mut near);
            Store::Away.end();
            assert_eq!(near, away);
        }
    }

    #[test]
    fn what_is_written_past_the_caches_is_what_is_read() {
        both(&(0..1000).map(|value| value * -7).collect::<Vec<i64>>(), 0);
        both(&(0..1000).map(|value| value << 70 | 5).collect::<Vec<i128>>(), -1);
        both(&(0..1000).map(f64::from).collect::<Vec<f64>>(), 0.5);
        let bytes = b"123456789012";
        both(&(0..500).map(|len| Text::new(&bytes[..len % 13])).collect::<Vec<_>>(), Text::EMPTY);
    }

    #[test]
    fn another_thread_sees_what_was_written_before_it_was_told() {
        use std::sync::atomic::{AtomicBool, Ordering};
        for round in 0..200u64 {
            let (told, mut column) = (AtomicBool::new(false), vec![0u64; 512]);
            let place = column.as_mut_ptr() as usize;
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !told.load(Ordering::Acquire) {
                        std::thread::yield_now();
                    }
                    // SAFETY: the writer has told that it is done, and the column outlives the scope.
                    let seen = unsafe { std::slice::from_raw_parts(place as *const u64, 512) };
                    assert!(seen.iter().all(|&word| word == round + 1));
                });
                // SAFETY: nobody reads before being told.
                let column = unsafe { std::slice::from_raw_parts_mut(place as *mut u64, 512) };
                Store::Away.copy(&[round + 1; 512], column);
                Store::Away.end();
                told.store(true, Ordering::Release);
            });
        }
    }
}
