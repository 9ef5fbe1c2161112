//! CSV in two stages: an index of where fields end, made by SIMD kernels, then
//! conversion of the projected columns, column by column.
//!
//! Invariants: all kernels give the same index; a value is converted the same on the fast and on
//! the careful way, or the fast way passes it on; no byte outside the block is looked at but for
//! the padding on its both sides.

pub(crate) mod convert;
pub(crate) mod index;
mod numbers;
mod simd;
mod swar;
pub(crate) mod value;

pub use index::Kernel;
#[cfg(target_arch = "x86_64")]
pub(crate) use simd::Choice;
pub use value::Reason;

/// Environment variable that chooses the kernel.
pub const SIMD_VARIABLE: &str = "CORELANE_SIMD";

/// What separates and quotes fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// Between fields.
    pub delimiter: u8,
    /// Around fields that hold delimiters, quotes or line ends; doubled inside.
    pub quote: Option<u8>,
    /// Takes the meaning from the next byte of a quoted field, besides doubling.
    pub escape: Option<u8>,
}

impl Dialect {
    /// RFC 4180 with another delimiter.
    pub const fn with_delimiter(delimiter: u8) -> Self {
        Dialect { delimiter, quote: Some(b'"'), escape: None }
    }
}

impl Default for Dialect {
    /// RFC 4180.
    fn default() -> Self {
        Dialect::with_delimiter(b',')
    }
}
