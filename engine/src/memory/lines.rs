//! A vector of plain elements whose first lies at the start of a cache line.

#![allow(unsafe_code, reason = "aligned memory")]

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use super::region::Region;
use super::{HUGE_PAGE, LINE_BYTES};

/// From this many bytes on elements stand in a [`Region`].
const REGION_FROM: usize = if cfg!(test) { 64 << 10 } else { 2 * HUGE_PAGE };

/// Elements that any bytes are.
pub(crate) trait Plain: Copy + Default + Send + Sync + 'static {}
impl Plain for u8 {}
impl Plain for u32 {}
impl Plain for u64 {}

/// Elements side by side, the first at the start of a cache line. Few of them move to twice as much
/// memory when they are more; many stay where they are.
pub(crate) struct Lines<T: Plain = u64> {
    start: NonNull<T>,
    len: usize,
    /// Elements that there are addresses for.
    room: usize,
    /// Elements up to the last that ever was there.
    touched: usize,
    /// Else on the heap, if there is room at all.
    region: Option<Region>,
}

// SAFETY: elements are owned, and plain.
unsafe impl<T: Plain> Send for Lines<T> {}
// SAFETY: shared lines give nothing but shared slices.
unsafe impl<T: Plain> Sync for Lines<T> {}

impl<T: Plain> Default for Lines<T> {
    fn default() -> Self {
        Lines { start: NonNull::dangling(), len: 0, room: 0, touched: 0, region: None }
    }
}

impl<T: Plain> Lines<T> {
    /// So many zeros, which take memory when they are first touched if they are many.
    pub(crate) fn zeros(count: usize) -> Self {
        let mut lines = Lines::make(count, true);
        (lines.len, lines.touched) = (count, count);
        lines
    }

    /// Room for `room` elements and none of them there; with `zeros` what is not in a region is zeroed.
    fn make(room: usize, zeros: bool) -> Self {
        if room == 0 {
            return Lines::default();
        }
        if room * size_of::<T>() >= REGION_FROM
            && let Some(region) = Region::new(room * size_of::<T>())
        {
            let room = region.bytes() / size_of::<T>();
            return Lines { start: region.start().cast(), len: 0, room, touched: 0, region: Some(region) };
        }
        let layout = Lines::<T>::layout(room);
        // SAFETY: the layout has a size, for elements do and there is room for one.
        let start = unsafe { if zeros { alloc_zeroed(layout) } else { alloc(layout) } };
        let Some(start) = NonNull::new(start.cast()) else { handle_alloc_error(layout) };
        Lines { start, len: 0, room, touched: 0, region: None }
    }

    fn layout(room: usize) -> Layout {
        let bytes = room * size_of::<T>();
        Layout::from_size_align(bytes, LINE_BYTES).expect("fewer bytes than there are addresses")
    }

    /// Appends `elements`.
    #[inline]
    pub(crate) fn extend(&mut self, elements: &[T]) {
        if self.room - self.len < elements.len() {
            self.grow(elements.len());
        }
        // SAFETY: there is room behind the elements that are there, and none of it is `elements`.
        unsafe { self.start.add(self.len).copy_from_nonoverlapping(NonNull::from(elements).cast(), elements.len()) };
        self.len += elements.len();
        self.touched = self.touched.max(self.len);
    }

    /// Appends `count` zeros.
    pub(crate) fn extend_zeros(&mut self, count: usize) {
        if self.room - self.len < count {
            self.grow(count);
        }
        // What of a region was never touched is zero.
        let dirty = if self.region.is_some() { self.touched.saturating_sub(self.len).min(count) } else { count };
        // SAFETY: there is room behind the elements that are there; zeros are elements.
        unsafe { self.start.add(self.len).write_bytes(0, dirty) };
        self.len += count;
        self.touched = self.touched.max(self.len);
    }

    /// Takes all elements out; keeps memory for not much more than `wanted` of them.
    pub(crate) fn clear(&mut self, wanted: usize) {
        self.len = 0;
        match &mut self.region {
            Some(region) if wanted * size_of::<T>() >= REGION_FROM => {
                region.give_back(wanted * size_of::<T>(), self.touched * size_of::<T>());
                self.touched = self.touched.min((wanted * size_of::<T>()).next_multiple_of(HUGE_PAGE) / size_of::<T>());
            }
            Some(_) => *self = Lines::default(),
            None if self.room > 2 * wanted => *self = Lines::make(wanted, false),
            None => {}
        }
    }

    /// Bytes held.
    pub(crate) fn memory(&self) -> usize {
        match self.region {
            Some(_) => (self.touched * size_of::<T>()).next_multiple_of(HUGE_PAGE),
            None => self.room * size_of::<T>(),
        }
    }

    #[cold]
    fn grow(&mut self, more: usize) {
        let room = (self.len + more).max(2 * self.len).next_multiple_of(LINE_BYTES);
        let mut larger = Lines::make(room, false);
        larger.extend(self);
        *self = larger;
    }
}

impl<T: Plain> Drop for Lines<T> {
    fn drop(&mut self) {
        if self.region.is_none() && self.room > 0 {
            // SAFETY: the heap gave this memory for this layout.
            unsafe { dealloc(self.start.as_ptr().cast(), Lines::<T>::layout(self.room)) };
        }
    }
}

impl<T: Plain> Deref for Lines<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: so many elements have been written, or are zeros that were asked for.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T: Plain> DerefMut for Lines<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as for `deref`, and the elements are borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_those_of_a_vector_and_begin_with_a_line() {
        let mut lines: Lines = Lines::default();
        for round in 0..3 {
            let mut expected = Vec::new();
            for word in 0..40_000 {
                lines.extend(&[word, round]);
                expected.extend([word, round]);
                assert_eq!(lines.as_ptr().addr() % LINE_BYTES, 0);
            }
            assert_eq!(lines[..], expected[..]);
            assert!(lines.memory() >= expected.len() * 8 && lines.memory() <= 2 * expected.len() * 8 + HUGE_PAGE);
            let wanted = 100 << (4 * round);
            lines.clear(wanted);
            assert!(lines.is_empty());
            let most = if lines.region.is_some() { HUGE_PAGE } else { 2 * wanted * 8 };
            assert!(lines.memory() <= most, "{round}");
        }
    }

    #[test]
    fn zeros_are_zero_whatever_was_there_before() {
        for count in [0, 1, 1000, REGION_FROM / 4, REGION_FROM] {
            for _ in 0..3 {
                let mut lines = Lines::<u32>::zeros(count);
                assert_eq!(lines.len(), count);
                assert!(lines.iter().all(|&element| element == 0));
                lines.fill(7);
                lines.extend(&[8]);
                assert!(lines[..count].iter().all(|&element| element == 7) && lines[count..] == [8]);
            }
        }
    }

    #[test]
    fn zeros_are_zero_behind_what_was_cleared() {
        let mut lines: Lines<u64> = Lines::default();
        for wanted in [10, REGION_FROM / 8, REGION_FROM] {
            for _ in 0..4 {
                lines.extend(&[7; 100]);
                lines.extend_zeros(REGION_FROM);
                assert!(lines[..100] == [7; 100] && lines[100..].iter().all(|&element| element == 0));
                lines.fill(9);
                lines.clear(wanted);
            }
        }
    }

    #[test]
    fn many_elements_never_move() {
        let mut lines: Lines<u8> = Lines::zeros(REGION_FROM);
        let start = lines.as_ptr();
        for round in 0..100 {
            lines.extend(&[round; REGION_FROM]);
        }
        // Where the system gives no addresses they stand on the heap, as any vector does.
        assert!(lines.region.is_none() || lines.as_ptr() == start);
        assert!((0..100).all(|round| lines[(usize::from(round) + 1) * REGION_FROM] == round));
        lines.clear(REGION_FROM);
        lines.extend(&[1, 2, 3]);
        assert_eq!(lines[..], [1, 2, 3]);
    }
}
