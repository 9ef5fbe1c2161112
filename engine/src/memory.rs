//! Memory of group tables: elements in whole cache lines, on huge pages once there are many; and
//! prefetching.
//!
//! Random access into hundreds of megabytes of 4 KiB pages misses the TLB each time, and the page
//! tables that are walked then miss the cache as well; filling that memory takes a fault per page.
//! Where the kernel gives huge pages to those who ask (`madvise` in
//! `/sys/kernel/mm/transparent_hugepage/enabled`), asking makes both cheap. It is advice: where it is
//! not taken, nothing else changes.

#![allow(unsafe_code, reason = "prefetching")]

mod lines;
mod region;

pub(crate) use lines::Lines;

/// Bytes of a huge page.
const HUGE_PAGE: usize = 2 << 20;

/// Bytes of a cache line.
const LINE_BYTES: usize = 64;

/// Words of a cache line.
pub(crate) const LINE_WORDS: usize = LINE_BYTES / size_of::<u64>();

/// Asks the core to have `count` of the words, from `at` on, in its nearest cache soon; the first of `words`
/// is taken to begin a line, as in [`Lines`]. Unlike reading them, it does not wait, nor does what comes
/// behind. Words that are not there are no fault.
#[inline]
pub(crate) fn prefetch(words: &[u64], at: usize, count: usize) {
    #[cfg(target_arch = "x86_64")]
    if at < words.len() {
        for line in at / LINE_WORDS..(at + count).div_ceil(LINE_WORDS) {
            // SAFETY: a prefetch reads nothing that the program sees, and faults nowhere.
            unsafe {
                use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
                _mm_prefetch::<_MM_HINT_T0>(words.as_ptr().wrapping_add(line * LINE_WORDS).cast());
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (words, at, count);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefetching_changes_nothing_wherever_it_points() {
        let words = vec![7; 100];
        for (at, count) in [(0, 17), (99, 1), (99, 40), (100, 8), (usize::MAX, 3), (5, 0)] {
            prefetch(&words, at, count);
        }
        assert!(words.iter().all(|&word| word == 7));
    }
}
