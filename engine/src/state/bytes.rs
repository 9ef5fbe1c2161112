//! Numbers and texts as bytes: little endian, of fixed width, lengths in front.

use super::damaged;
use crate::error::Result;

/// Bytes being written.
#[derive(Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// One byte.
    pub fn byte(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// Yes or no.
    pub fn flag(&mut self, value: bool) {
        self.byte(u8::from(value));
    }

    /// Eight bytes.
    pub fn word(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A number of things.
    pub fn count(&mut self, count: usize) {
        self.word(count as u64);
    }

    /// Sixteen bytes.
    pub fn long(&mut self, value: i128) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A length and so many bytes.
    pub fn text(&mut self, text: &[u8]) {
        self.count(text.len());
        self.bytes.extend_from_slice(text);
    }

    /// Words one behind the other.
    pub fn words(&mut self, words: impl ExactSizeIterator<Item = u64>) {
        self.bytes.reserve(8 * words.len());
        words.for_each(|word| self.word(word));
    }

    /// Bytes that another writer has written.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Nothing was written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes written.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes that were written.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Bytes being read. Every method fails where the bytes end too early or cannot be meant.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from the start.
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (first, rest) = self.rest.split_first_chunk().ok_or_else(|| damaged("it ends too early"))?;
        self.rest = rest;
        Ok(*first)
    }

    /// One byte.
    pub fn byte(&mut self) -> Result<u8> {
        self.take().map(u8::from_le_bytes)
    }

    /// Yes or no.
    pub fn flag(&mut self) -> Result<bool> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(damaged("neither yes nor no")),
        }
    }

    /// Eight bytes.
    pub fn word(&mut self) -> Result<u64> {
        self.take().map(u64::from_le_bytes)
    }

    /// Sixteen bytes.
    pub fn long(&mut self) -> Result<i128> {
        self.take().map(i128::from_le_bytes)
    }

    /// A number of things that take at least `each` bytes each (and one at least).
    pub fn count(&mut self, each: usize) -> Result<usize> {
        let count = usize::try_from(self.word()?).unwrap_or(usize::MAX);
        if count > self.rest.len() / each.max(1) {
            return Err(damaged("a length goes beyond its end"));
        }
        Ok(count)
    }

    /// A length and so many bytes.
    pub fn text(&mut self) -> Result<&'a [u8]> {
        let count = self.count(1)?;
        let (text, rest) = self.rest.split_at(count);
        self.rest = rest;
        Ok(text)
    }

    /// Nothing is left.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Nothing may be left.
    pub fn end(&self) -> Result<()> {
        if self.is_empty() { Ok(()) } else { Err(damaged("something stands behind its end")) }
    }
}
