//! Large allocations on huge pages.
//!
//! Random access into hundreds of megabytes of 4 KiB pages misses the TLB each time, and the page
//! tables that are walked then miss the cache as well; filling that memory takes a fault per page.
//! Where the kernel gives huge pages to those who ask (`madvise` in
//! `/sys/kernel/mm/transparent_hugepage/enabled`), asking makes both cheap. It is advice: where it is
//! not taken, nothing else changes.

#![allow(unsafe_code, reason = "advice about memory")]

/// From this many bytes on; below, a huge page would be mostly empty.
const HUGE_BYTES: usize = 4 << 20;

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
