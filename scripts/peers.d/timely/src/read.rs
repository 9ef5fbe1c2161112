//! Rows from a file in blocks: numbers digit by digit, names sixteen bytes at a time.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Bytes read at a time.
const BLOCK_BYTES: usize = 1 << 20;
/// Bytes behind the last row that may be looked at.
const SLACK_BYTES: usize = 64;

/// A text of at most 15 bytes, its length in the last.
pub type Name = u128;

/// One row.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Trade {
    pub trader: Name,
    pub symbol: Name,
    pub time_ms: u64,
    pub price_cents: i32,
    pub quantity: i32,
}

/// One file, past its header.
pub struct Reader {
    file: File,
    bytes: Vec<u8>,
    /// What is not taken yet, and where whole lines end.
    at: usize,
    lines_end: usize,
    filled: usize,
}

impl Reader {
    pub fn open(path: &Path) -> io::Result<Reader> {
        let file = File::open(path)?;
        let mut reader = Reader { file, bytes: vec![0; BLOCK_BYTES + SLACK_BYTES], at: 0, lines_end: 0, filled: 0 };
        if reader.more()? {
            let header = reader.bytes[..reader.lines_end].iter().position(|&byte| byte == b'\n');
            reader.at = header.map_or(reader.lines_end, |end| end + 1);
        }
        Ok(reader)
    }

    /// Takes up to `rows` rows into `batch`; whether there was one.
    pub fn fill(&mut self, batch: &mut Vec<Trade>, rows: usize) -> bool {
        if self.at == self.lines_end && !self.more().expect("the file can be read") {
            return false;
        }
        while batch.len() < rows && self.at < self.lines_end {
            let (trade, next) = trade(&self.bytes, self.at);
            batch.push(trade);
            self.at = next;
        }
        true
    }

    /// The next block, what was left of the last line before it.
    fn more(&mut self) -> io::Result<bool> {
        self.bytes.copy_within(self.lines_end..self.filled, 0);
        self.filled -= self.lines_end;
        self.at = 0;
        self.lines_end = 0;
        while self.lines_end == 0 {
            let read = self.file.read(&mut self.bytes[self.filled..BLOCK_BYTES])?;
            if read == 0 {
                if self.filled > 0 {
                    self.bytes[self.filled] = b'\n'; // The last line had none.
                    self.filled += 1;
                    self.lines_end = self.filled;
                }
                break;
            }
            self.filled += read;
            let last = self.bytes[..self.filled].iter().rposition(|&byte| byte == b'\n');
            self.lines_end = last.map_or(0, |end| end + 1);
        }
        Ok(self.lines_end > 0)
    }
}

/// The row at `at`, and where the next one begins.
#[inline(always)]
fn trade(bytes: &[u8], at: usize) -> (Trade, usize) {
    let (time_ms, at) = number(bytes, at);
    let (trader, at) = name(bytes, at + 1);
    let (symbol, at) = name(bytes, at + 1);
    let (price_cents, at) = cents(bytes, at + 1);
    let (quantity, at) = number(bytes, at + 1);
    (Trade { trader, symbol, time_ms, price_cents, quantity: quantity as i32 }, at + 1)
}

#[inline(always)]
fn number(bytes: &[u8], mut at: usize) -> (u64, usize) {
    let mut value = 0;
    loop {
        let digit = bytes[at].wrapping_sub(b'0');
        if digit > 9 {
            return (value, at);
        }
        value = value * 10 + u64::from(digit);
        at += 1;
    }
}

#[inline(always)]
fn cents(bytes: &[u8], at: usize) -> (i32, usize) {
    let (whole, at) = number(bytes, at);
    let (cents, end) = if bytes[at] == b'.' { number(bytes, at + 1) } else { (0, at) };
    assert!(end == at || end == at + 3, "prices have two decimals");
    ((whole * 100 + cents) as i32, end)
}

/// The bytes up to the comma.
#[inline(always)]
fn name(bytes: &[u8], at: usize) -> (Name, usize) {
    const ONES: u128 = u128::from_ne_bytes([1; 16]);
    const COMMAS: u128 = u128::from_ne_bytes([b','; 16]);
    let text = u128::from_le_bytes(bytes[at..at + 16].try_into().expect("sixteen bytes"));
    let differs = text ^ COMMAS;
    let commas = differs.wrapping_sub(ONES) & !differs & (ONES << 7);
    assert!(commas != 0, "names have at most 15 bytes");
    let length = commas.trailing_zeros() / 8;
    let kept = text & ((1 << (8 * length)) - 1);
    (kept | u128::from(length) << 120, at + length as usize)
}
