//! The atomics that the ring and the doorbell are made of: the standard ones, or loom's twins
//! under `--cfg loom`, so that the code a model checks is the code that ships.

#[cfg(loom)]
pub use loom::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};
#[cfg(not(loom))]
pub use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

#[cfg(loom)]
pub use loom::cell::UnsafeCell;

/// The standard cell with the interface of loom's: access goes through a closure, so that a model
/// sees where it begins and ends.
#[cfg(not(loom))]
#[derive(Debug)]
pub struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    /// A cell that holds `value`.
    pub fn new(value: T) -> Self {
        UnsafeCell(std::cell::UnsafeCell::new(value))
    }

    /// Lends the content's address for writing.
    #[inline(always)]
    pub fn with_mut<R>(&self, access: impl FnOnce(*mut T) -> R) -> R {
        access(self.0.get())
    }
}

/// A value alone on its pair of cache lines (the adjacent-line prefetcher fetches two).
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Padded<T>(pub T);
