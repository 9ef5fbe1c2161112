//! Rows that do not go on: bad ones with their reason, late ones with their time.
//!
//! Both borrow the block they stand in, so that their raw bytes can be written out; line numbers
//! are counted only when somebody asks.

use corelane_engine::operator::Time;
use corelane_engine::plan::ScanColumn;
use corelane_engine::{Code, Error};

use crate::csv::Reason;
use crate::fs::File;
use crate::lines::{AtHand, LineCount};

/// Bytes of a value shown in an error.
const SHOWN_BYTES: usize = 60;

/// Where a block comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin<'a> {
    pub file: &'a dyn File,
    /// The block they stand in.
    pub block: AtHand<'a>,
    pub lines: &'a LineCount,
}

impl Origin<'_> {
    /// Number of the line, from 1, that begins at `offset`.
    pub(crate) fn line(&self, offset: u64) -> Option<u64> {
        self.lines.line(self.file, self.block, offset)
    }
}

/// A row that is not as declared.
#[derive(Clone, Copy, Debug)]
pub struct BadRow<'a> {
    pub(crate) origin: Origin<'a>,
    /// Offset of its first byte in the file.
    pub offset: u64,
    /// Its bytes, without the line end.
    pub raw: &'a [u8],
    /// The column that cannot be read; `None` when it is the row itself.
    pub column: Option<&'a ScanColumn>,
    /// What stands there.
    pub value: Option<&'a [u8]>,
    /// Why.
    pub reason: Reason,
}

impl BadRow<'_> {
    /// Name of the file.
    pub fn file(&self) -> &str {
        self.origin.file.name()
    }

    /// Number of the line it begins in, from 1. Reads the file up to it, unless an earlier row's has
    /// been asked for.
    pub fn line(&self) -> Option<u64> {
        self.origin.line(self.offset)
    }

    /// The error that says all this.
    pub fn to_error(&self) -> Error {
        let line = self.line().map_or_else(String::new, |line| format!(":{line}"));
        let place = format!("{}{line}", self.file());
        let what = match (self.column, self.value) {
            (Some(column), Some(value)) => {
                format!("column `{}` ({}): '{}' {}", column.name, column.data_type, shown(value), self.reason)
            }
            _ => self.reason.to_string(),
        };
        let error = Error::new(Code::Input, format!("{place}: {what}"));
        let error = error.note(format!("the row at byte {}: {}", self.offset, shown(self.raw)));
        error
            .help("`--on-error skip` leaves bad rows out and counts them; `--on-error reject --reject FILE` keeps them")
    }
}

/// A row that came behind its split's watermark.
#[derive(Clone, Copy, Debug)]
pub struct LateRow<'a> {
    pub(crate) origin: Origin<'a>,
    /// Offset of its first byte in the file.
    pub offset: u64,
    /// Its bytes, without the line end.
    pub raw: &'a [u8],
    /// Its event time, in microseconds.
    pub time: Time,
    /// Where its split's watermark stood.
    pub watermark: Time,
}

impl LateRow<'_> {
    /// Name of the file.
    pub fn file(&self) -> &str {
        self.origin.file.name()
    }

    /// Number of the line it begins in, from 1. Reads the file up to it, unless an earlier row's has
    /// been asked for.
    pub fn line(&self) -> Option<u64> {
        self.origin.line(self.offset)
    }
}

/// `bytes` as text that can be printed, cut where it is long.
fn shown(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(SHOWN_BYTES)];
    let mut text = String::from_utf8_lossy(cut).escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'");
    if cut.len() < bytes.len() {
        text.push_str("...");
    }
    text
}
