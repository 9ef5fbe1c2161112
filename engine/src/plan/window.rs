//! Windows in event time: which of them hold a moment, and when they end.

/// A window in event time, `[start, end)`. Microseconds.
///
/// Windows of one kind are told apart by their *mark*, which orders them by their end: the end is
/// `mark + size`. Of tumbling and hopping windows the mark is the start itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Length; of a session the gap that ends it.
    pub size: i64,
    /// Distance between ends; equal to `size` for a tumbling window, and for sessions.
    pub slide: i64,
    /// Shift of the starts from the epoch.
    pub offset: i64,
    /// Where a window begins that ends at a given moment.
    pub kind: WindowKind,
}

/// What kind a window is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowKind {
    /// Begins `size` before its end: tumbling and hopping windows.
    Hop,
    /// Begins at the last multiple of `size` before its end: windows that grow by `slide` from there.
    Cumulate,
    /// Holds the rows of a key between which there are less than `size`; it ends that much after the last.
    Session,
}

impl Window {
    /// `[offset + n * slide, offset + n * slide + size)` for every whole n.
    pub const fn hop(size: i64, slide: i64, offset: i64) -> Self {
        Window { size, slide, offset, kind: WindowKind::Hop }
    }

    /// Whether windows do not overlap.
    pub const fn is_tumbling(&self) -> bool {
        matches!(self.kind, WindowKind::Hop) && self.size == self.slide
    }

    /// Whether it is the rows of a key that say where a window begins and ends.
    pub const fn is_session(&self) -> bool {
        matches!(self.kind, WindowKind::Session)
    }

    /// Mark of the first window that holds `time`, or that ends after it.
    pub fn first_mark(&self, time: i64) -> i64 {
        if self.is_session() {
            return time;
        }
        let Some(before) = time.checked_sub(self.size).filter(|&before| before > i64::MIN / 2) else {
            return i64::MIN;
        };
        self.multiple(before, self.slide) + self.slide
    }

    /// Mark of the last window that holds `time`, which is also the one that ends last.
    #[inline]
    pub fn last_mark(&self, time: i64) -> i64 {
        match self.kind {
            WindowKind::Hop => self.multiple(time, self.slide),
            WindowKind::Cumulate => self.multiple(time, self.size),
            WindowKind::Session => time,
        }
    }

    /// Whether the window with this mark holds `time`.
    #[inline]
    pub fn holds(&self, mark: i64, time: i64) -> bool {
        match self.kind {
            WindowKind::Hop => mark <= time && time < mark.saturating_add(self.size),
            _ => mark <= self.last_mark(time) && time < mark.saturating_add(self.size),
        }
    }

    /// Start of the window with this mark.
    #[inline]
    pub fn start(&self, mark: i64) -> i64 {
        match self.kind {
            WindowKind::Cumulate => self.multiple(mark + self.size - 1, self.size),
            _ => mark,
        }
    }

    /// The last `offset + n * of` at or before `time`.
    #[inline]
    fn multiple(&self, time: i64, of: i64) -> i64 {
        (time - self.offset).div_euclid(of) * of + self.offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bounds of the windows that hold `time`, found by trying all.
    fn windows(window: &Window, time: i64) -> Vec<(i64, i64)> {
        let mut found = Vec::new();
        for end in time - 50..time + 50 {
            let regular = (end - window.offset).rem_euclid(window.slide) == (window.size % window.slide);
            let start = match window.kind {
                WindowKind::Cumulate => (end - 1 - window.offset).div_euclid(window.size) * window.size + window.offset,
                _ => end - window.size,
            };
            if regular && start <= time && time < end {
                found.push((start, end));
            }
        }
        found
    }

    #[test]
    fn marks_name_the_windows_that_hold_a_time() {
        for kind in [WindowKind::Hop, WindowKind::Cumulate] {
            for (size, slide, offset) in [(10, 10, 0), (10, 5, 0), (12, 4, 3), (20, 2, 1)] {
                let window = Window { size, slide, offset, kind };
                for time in -40..40 {
                    let (first, last) = (window.first_mark(time), window.last_mark(time));
                    let marks: Vec<i64> = (first..=last).step_by(slide as usize).collect();
                    assert!(marks.iter().all(|&mark| window.holds(mark, time)), "{window:?} {time}");
                    assert!(!window.holds(first - slide, time) && !window.holds(last + slide, time));
                    let bounds: Vec<_> = marks.iter().map(|&mark| (window.start(mark), mark + size)).collect();
                    assert_eq!(bounds, windows(&window, time), "{window:?} {time}");
                }
            }
        }
    }
}
