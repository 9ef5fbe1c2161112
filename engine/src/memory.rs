//! Large allocations on huge pages, words that lie in whole cache lines, and prefetching.
//!
//! Random access into hundreds of megabytes of 4 KiB pages misses the TLB each time, and the page
//! tables that are walked then miss the cache as well; filling that memory takes a fault per page.
//! Where the kernel gives huge pages to those who ask (`madvise` in
//! `/sys/kernel/mm/transparent_hugepage/enabled`), asking makes both cheap. It is advice: where it is
//! not taken, nothing else changes.

#![allow(unsafe_code, reason = "advice about memory, and prefetching")]

/// From this many bytes on; below, a huge page would be mostly empty.
const HUGE_BYTES: usize = 4 << 20;

/// Words of a cache line.
pub(crate) const LINE_WORDS: usize = 8;

/// Words, the first of which lies at the start of a cache line.
#[derive(Default)]
pub(crate) struct Lines {
    held: Vec<u64>,
    /// Words in front of the first.
    skip: usize,
}

impl Lines {
    /// Appends `words`.
    #[inline]
    pub(crate) fn extend(&mut self, words: &[u64]) {
        if self.held.capacity() - self.held.len() < words.len() {
            self.grow(words.len());
        }
        self.held.extend_from_slice(words);
    }

    /// Takes all words out; keeps memory for `wanted` of them at most.
    pub(crate) fn clear(&mut self, wanted: usize) {
        if self.held.capacity() == 0 {
            return;
        }
        self.held.clear();
        self.held.shrink_to(wanted + LINE_WORDS);
        self.align(0);
    }

    /// Bytes held.
    pub(crate) fn memory(&self) -> usize {
        self.held.capacity() * size_of::<u64>()
    }

    #[cold]
    fn grow(&mut self, more: usize) {
        let words = self.len();
        self.held.reserve(words.max(more) + LINE_WORDS);
        prefer_huge_pages(&mut self.held);
        self.align(words);
    }

    /// Moves the first `words` words to the start of a line. The kernel's mappings all begin at the
    /// same place of a line, so that large ones stay as they are.
    fn align(&mut self, words: usize) {
        let skip = (self.held.as_ptr().addr() / size_of::<u64>()).wrapping_neg() % LINE_WORDS;
        self.held.resize(skip.max(self.skip) + words, 0);
        if skip != self.skip {
            self.held.copy_within(self.skip..self.skip + words, skip);
            self.skip = skip;
        }
        self.held.truncate(skip + words);
    }
}

impl std::ops::Deref for Lines {
    type Target = [u64];

    #[inline]
    fn deref(&self) -> &[u64] {
        &self.held[self.skip..]
    }
}

impl std::ops::DerefMut for Lines {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u64] {
        &mut self.held[self.skip..]
    }
}

/// Asks the core to have `count` of the words, from `at` on, in its nearest cache soon. Unlike
/// reading them, it does not wait, nor does what comes behind. Words that are not there are no fault.
#[inline]
pub(crate) fn prefetch(words: &[u64], at: usize, count: usize) {
    #[cfg(target_arch = "x86_64")]
    if at < words.len() {
        for word in (0..count).step_by(LINE_WORDS).chain(count.checked_sub(1)) {
            // SAFETY: a prefetch reads nothing that the program sees, and faults nowhere.
            unsafe {
                use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
                _mm_prefetch::<_MM_HINT_T0>(words.as_ptr().wrapping_add(at + word).cast());
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (words, at, count);
}

/// Asks for huge pages under all of `memory`'s capacity, if it is large.
pub(crate) fn prefer_huge_pages<T>(memory: &mut Vec<T>) {
    let bytes = memory.capacity() * size_of::<T>();
    if bytes >= HUGE_BYTES {
        advise(memory.as_mut_ptr().cast(), bytes);
    }
}

/// An allocation of this size is a mapping of its own. The advice goes to whole pages, outwards, so
/// that it is the same for the whole mapping, which could not grow in place else.
#[cfg(target_os = "linux")]
fn advise(start: *mut u8, bytes: usize) {
    // SAFETY: sysconf reads a number.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    let Some(page) = usize::try_from(page).ok().filter(|page| page.is_power_of_two()) else { return };
    let before = start.addr() & (page - 1);
    let bytes = (before + bytes).next_multiple_of(page);
    // SAFETY: MADV_HUGEPAGE changes how pages are backed, not what they hold, also under neighbours.
    unsafe { libc::madvise(start.wrapping_sub(before).cast(), bytes, libc::MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn advise(_: *mut u8, _: usize) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_words_and_begin_with_a_line() {
        let mut lines = Lines::default();
        for round in 0..3 {
            for word in 0..40_000 {
                lines.extend(&[word, round]);
                assert_eq!(lines.as_ptr().addr() % 64, 0);
            }
            assert!(lines.chunks(2).zip(0..).all(|(pair, word)| pair == [word, round]));
            lines.clear(100 << (4 * round));
            assert!(lines.is_empty() && lines.memory() <= (100 << (4 * round)) * 8 + 128);
        }
    }

    #[test]
    fn prefetching_changes_nothing_wherever_it_points() {
        let words = vec![7; 100];
        for (at, count) in [(0, 17), (99, 1), (99, 40), (100, 8), (usize::MAX, 3), (5, 0)] {
            prefetch(&words, at, count);
        }
        assert!(words.iter().all(|&word| word == 7));
    }

    #[test]
    fn advice_changes_nothing_that_is_held() {
        let mut memory: Vec<u64> = Vec::new();
        for round in 0..22 {
            memory.resize(1 << round, round as u64);
            prefer_huge_pages(&mut memory);
        }
        assert_eq!(memory.len(), 1 << 21);
        assert!((1..22).all(|round| memory[(1 << round) - 1] == round as u64));
    }
}
