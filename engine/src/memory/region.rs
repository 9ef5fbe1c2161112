//! Address space of one's own, of which a page becomes memory when it is first touched.
//!
//! What may grow to gigabytes asks for the addresses of all of them at once: they cost nothing, and what
//! stands there never moves. Moving is what makes a growing vector stall, and what breaks its huge pages
//! into small ones: the kernel moves those between addresses that are alike only.

#![allow(unsafe_code, reason = "address space from the kernel")]

use std::ptr::NonNull;

use super::HUGE_PAGE;

/// Bytes that a region has addresses for, unless more are asked for: all that a group table can hold.
#[cfg(target_pointer_width = "64")]
const REGION_BYTES: usize = 32 << 30;
#[cfg(not(target_pointer_width = "64"))]
const REGION_BYTES: usize = 64 << 20;

/// Addresses, the first of which begins a huge page; given back when dropped. Bytes that were not
/// written since [`Region::new`] or [`Region::give_back`] are zero.
pub(super) struct Region {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: a region owns its addresses as a box owns its memory.
unsafe impl Send for Region {}
// SAFETY: as above; shared, it only tells where it is.
unsafe impl Sync for Region {}

impl Region {
    /// Addresses for `bytes` bytes at least, `None` where the system does not give them.
    #[cfg(target_os = "linux")]
    pub(super) fn new(bytes: usize) -> Option<Region> {
        let bytes = bytes.max(REGION_BYTES).checked_next_multiple_of(HUGE_PAGE)?;
        let all = bytes.checked_add(HUGE_PAGE)?;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // Without NORESERVE the kernel would want memory for all of it now.
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping at addresses that nobody has.
        let map = unsafe { libc::mmap(std::ptr::null_mut(), all, access, kind, -1, 0) };
        if map == libc::MAP_FAILED {
            return None;
        }
        let map: *mut u8 = map.cast();
        let before = map.addr().wrapping_neg() % HUGE_PAGE;
        let start = map.wrapping_add(before);
        // SAFETY: the ends of the mapping above, which nobody uses; pages are parts of huge pages. The
        // advice changes how pages are backed, not what they hold.
        unsafe {
            if before > 0 {
                libc::munmap(map.cast(), before);
            }
            libc::munmap(start.wrapping_add(bytes).cast(), HUGE_PAGE - before);
            libc::madvise(start.cast(), bytes, libc::MADV_HUGEPAGE);
        }
        Some(Region { start: NonNull::new(start)?, bytes })
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn new(_: usize) -> Option<Region> {
        None
    }

    pub(super) fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// How many addresses there are.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives the memory behind the first `kept` bytes back, up to the end of the first `used`; what was
    /// there is lost.
    pub(super) fn give_back(&mut self, kept: usize, used: usize) {
        let from = kept.next_multiple_of(HUGE_PAGE);
        let to = used.next_multiple_of(HUGE_PAGE).min(self.bytes);
        #[cfg(target_os = "linux")]
        if from < to {
            // SAFETY: pages of this region, of which nobody has a reference while it is borrowed.
            unsafe { libc::madvise(self.start.as_ptr().wrapping_add(from).cast(), to - from, libc::MADV_DONTNEED) };
        }
        #[cfg(not(target_os = "linux"))]
        let _ = (from, to);
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        #[cfg(target_os = "linux")]
        // SAFETY: the mapping is this region's alone.
        unsafe {
            libc::munmap(self.start.as_ptr().cast(), self.bytes);
        }
    }
}
