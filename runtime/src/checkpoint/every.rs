//! When a checkpoint is due.

use std::fmt;
use std::time::Duration;

use crate::options::{parse_duration, parse_size};

/// `--checkpoint-every`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Every {
    /// So long after the one before.
    Time(Duration),
    /// When so many bytes have been read, over all shards.
    Bytes(u64),
    /// When so many rows have been read, over all shards.
    Rows(u64),
}

impl Default for Every {
    fn default() -> Self {
        Every::Time(Duration::from_secs(10))
    }
}

impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Every::Time(time) => write!(f, "{}ns", time.as_nanos()),
            Every::Bytes(bytes) => write!(f, "{bytes}B"),
            Every::Rows(rows) => write!(f, "{rows}rows"),
        }
    }
}

/// `10s`, `1GB`, `200000rows`.
pub fn parse_every(text: &str) -> Result<Every, String> {
    let zero = || format!("`{text}` is nothing: a checkpoint needs some way to the next");
    if let Some(rows) = text.strip_suffix("rows") {
        return match rows.trim().parse() {
            Ok(0) => Err(zero()),
            Ok(rows) => Ok(Every::Rows(rows)),
            Err(_) => Err(format!("`{text}` is not a number of rows, like 200000rows")),
        };
    }
    if text.trim().bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Err(format!("`{text}` has no unit; try 10s, 1GB or 200000rows"));
    }
    match (parse_duration(text), parse_size(text)) {
        (Ok(Duration::ZERO), _) | (_, Ok(0)) => Err(zero()),
        (Ok(time), _) => Ok(Every::Time(time)),
        (_, Ok(bytes)) => Ok(Every::Bytes(bytes)),
        _ => Err(format!("`{text}` is neither a time, a size nor a number of rows; try 10s, 1GB or 200000rows")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_sizes_and_rows_are_told_apart_and_read_back() {
        for (text, every) in [
            ("10s", Every::Time(Duration::from_secs(10))),
            ("250ms", Every::Time(Duration::from_millis(250))),
            ("1GB", Every::Bytes(1_000_000_000)),
            ("64MiB", Every::Bytes(64 << 20)),
            ("200000rows", Every::Rows(200_000)),
        ] {
            assert_eq!(parse_every(text), Ok(every), "{text}");
            assert_eq!(parse_every(&every.to_string()), Ok(every), "{every}");
        }
        for text in ["", "5", "rows", "0rows", "0s", "0MB", "5parsecs", "-1s", "1.5rows"] {
            assert!(parse_every(text).is_err(), "{text}");
        }
    }
}
