//! The first stage: where fields and rows end.
//!
//! Bytes are looked at 64 at a time as bitmasks of delimiters, line ends and quotes; the positions
//! of the set bits that stand outside quotes are appended to a list of `u32`. Entry `0` is the byte
//! before the first field, so the field that ends at entry `e + 1` begins behind entry `e`, and a
//! row of `n` fields spans `n` entries, the last of which is a line end.
//!
//! A quote opens only at the start of a field, as RFC 4180 has it: `5" disk` is text. Words with a
//! quote in them are settled quote by quote in [`Quotes::inside`], the same for every kernel.

#![allow(unsafe_code, reason = "vector kernels")]

use super::Dialect;
use super::simd::Choice;

/// Bytes that must be readable behind the end of what is indexed.
pub(crate) const PADDING: usize = 64;

/// Bits of 64 bytes: which of them are what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Masks {
    pub delimiter: u64,
    pub newline: u64,
    /// Quotes and escapes.
    pub quote: u64,
    /// Bytes above 127.
    pub high: u64,
}

/// Whether the next byte stands in quotes, and what led there. Positions are in the buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Quotes {
    /// In a quoted field.
    pub open: bool,
    /// Where the last quoted field closed; a quote right behind it opens it again (`""`).
    closed: usize,
    /// Bytes before this one are taken literally.
    literal: usize,
}

impl Quotes {
    /// Which of the 64 bytes from `at` stand in quotes, given the quotes and escapes in `bits`.
    pub(crate) fn inside(&mut self, bytes: &[u8], at: usize, mut bits: u64, first: usize, dialect: &Dialect) -> u64 {
        let mut inside = 0;
        let mut from = 0;
        while bits != 0 {
            let bit = bits.trailing_zeros();
            bits &= bits - 1;
            let position = at + bit as usize;
            if self.open {
                if position < self.literal {
                    continue;
                }
                if dialect.escape == Some(bytes[position]) {
                    self.literal = position + 2;
                    continue;
                }
                self.open = false;
                self.closed = position;
                inside |= below(bit) & !below(from);
            } else if dialect.quote == Some(bytes[position]) && self.opens(bytes, position, first, dialect) {
                self.open = true;
                from = bit;
            }
        }
        if self.open {
            inside |= !below(from);
        }
        inside
    }

    /// Whether a quote at `position`, outside quotes, opens a quoted field.
    fn opens(&self, bytes: &[u8], position: usize, first: usize, dialect: &Dialect) -> bool {
        if position == first || self.closed + 1 == position {
            return true;
        }
        let before = bytes[position - 1];
        before == dialect.delimiter || before == b'\n'
    }
}

/// The bits under `bit`.
fn below(bit: u32) -> u64 {
    (1 << bit) - 1
}

/// The list of entries and how far it goes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    /// `entries[0]` is the byte before the first row; then one per field end, `count` of them.
    pub entries: Vec<u32>,
    /// Entries behind the first.
    pub count: usize,
    /// Line ends among them.
    pub newlines: usize,
    /// The first byte not looked at yet.
    pub at: usize,
    /// The first byte of the first row.
    pub first: usize,
    /// State at `at`.
    pub quotes: Quotes,
    /// A quote was seen among the bytes indexed.
    pub quoted: bool,
    /// A byte above 127 was seen among them.
    pub high: bool,
    /// Fields that every row should have; 0 when nobody asks.
    pub fields: usize,
    /// Entries behind the last line end, as far as indexed.
    pub behind: usize,
    /// Some row among the entries has more or fewer fields than it should.
    pub irregular: bool,
}

impl Index {
    /// Begins anew at `first`, the start of a row.
    pub(crate) fn restart(&mut self, first: usize) {
        self.entries.resize(self.entries.len().max(1), 0);
        self.entries[0] = (first - 1) as u32;
        (self.count, self.newlines, self.at, self.first) = (0, 0, first, first);
        (self.quotes, self.quoted, self.high) = (Quotes::default(), false, false);
        (self.behind, self.irregular) = (0, false);
    }

    /// Goes on in the next `count` bytes, of which the first is at `first` again; the byte before
    /// must still be there. Drops all entries.
    pub(crate) fn carry(&mut self, count: usize, first: usize) {
        let quotes = Quotes {
            open: self.quotes.open,
            closed: self.quotes.closed.saturating_sub(count),
            literal: self.quotes.literal.saturating_sub(count),
        };
        let had_bytes = self.first == 0 || count > 0;
        self.restart(first);
        self.quotes = quotes;
        if had_bytes {
            // Nothing begins here but what the byte before says.
            self.first = 0;
        }
    }

    /// Looks on until `to`, or until there are `most` entries or a few more.
    pub(crate) fn extend(&mut self, kernel: Kernel, bytes: &[u8], to: usize, most: usize, dialect: &Dialect) {
        assert!(to + PADDING <= bytes.len() && self.at <= to);
        // `most` counts from entry 1; a kernel may write one word's entries and a vector's slack beyond the limit.
        let room = most + 1 + 64 + 16;
        if self.entries.len() < room {
            self.entries.resize(room, 0);
        }
        kernel.run(self, bytes, to, most, dialect);
    }

    /// Drops the first `consumed` entries, which end a row.
    pub(crate) fn consume(&mut self, bytes: &[u8], consumed: usize, newlines: usize, dialect: &Dialect) {
        self.entries.copy_within(consumed..=self.count, 0);
        self.count -= consumed;
        self.newlines -= newlines;
        self.first = self.entries[0] as usize + 1;
        let rest = &bytes[self.first.min(self.at)..self.at];
        self.quoted &= dialect.quote.is_some_and(|quote| memchr::memchr(quote, rest).is_some());
        self.high &= !rest.is_ascii();
        if self.irregular {
            (self.behind, self.irregular) = (0, false);
            for entry in 1..=self.count {
                self.end_field(bytes[self.entries[entry] as usize] == b'\n');
            }
        }
    }

    /// Notes one more entry, which is a line end or not.
    #[inline(always)]
    fn end_field(&mut self, is_line_end: bool) {
        self.behind += 1;
        self.irregular |= is_line_end != (self.behind == self.fields);
        self.behind = if is_line_end { 0 } else { self.behind };
    }

    /// The same for `count` entries, of which those whose bits are set in `line_ends` are line ends.
    #[inline(always)]
    pub(crate) fn end_fields(&mut self, count: u32, line_ends: u64, pattern: u64) {
        let next = self.fields.saturating_sub(self.behind + 1) as u32;
        let all = u64::MAX.checked_shr(64 - count).unwrap_or(0);
        let expected = pattern.checked_shl(next).unwrap_or(0) & all;
        self.irregular |= line_ends != expected;
        let last = u64::BITS - line_ends.leading_zeros();
        self.behind = if line_ends == 0 { self.behind + count as usize } else { (count - last) as usize };
    }

    /// A bit for each of 64 entries that follow a line end, of which every row's last is set, shifted so that
    /// the first is.
    pub(crate) fn pattern(&self) -> u64 {
        (0..64).step_by(self.fields.max(1)).fold(0, |pattern, bit| pattern | 1 << bit)
    }
}

/// One way to find positions; all give the same ones. Made by [`Kernel::detect`] and its like, so
/// the machine can run it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel(pub(super) Choice);

impl Kernel {
    fn run(self, index: &mut Index, bytes: &[u8], to: usize, most: usize, dialect: &Dialect) {
        match self.0 {
            Choice::Scalar => scalar(index, bytes, to, most, dialect),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `Kernel::supported` made it, having asked the CPU; `extend` has checked the padding.
            Choice::Avx2 => unsafe { super::simd::avx2(index, bytes, to, most, dialect) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Choice::Avx512 => unsafe { super::simd::avx512(index, bytes, to, most, dialect) },
        }
    }
}

/// Which of eight bytes equal `byte`, as eight bits.
#[inline(always)]
fn equal(eight: u64, byte: u8) -> u64 {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let unlike = eight ^ (u64::from(byte) * 0x0101_0101_0101_0101);
    // A byte's top bit is set in the sum, or was before, unless the byte is zero; nothing carries.
    top_bits(!(((unlike & LOW) + LOW) | unlike))
}

/// The top bits of eight bytes.
#[inline(always)]
fn top_bits(eight: u64) -> u64 {
    (eight & 0x8080_8080_8080_8080).wrapping_mul(0x0002_0408_1020_4081) >> 56
}

fn scalar(index: &mut Index, bytes: &[u8], to: usize, most: usize, dialect: &Dialect) {
    let quote = dialect.quote.unwrap_or(b'\n');
    let escape = dialect.escape.unwrap_or(quote);
    while index.at < to && index.count < most {
        let word: &[u8; 64] = bytes[index.at..index.at + 64].try_into().expect("64 bytes");
        let mut masks = Masks { delimiter: 0, newline: 0, quote: 0, high: 0 };
        for (number, eight) in word.chunks_exact(8).enumerate() {
            let eight = u64::from_le_bytes(eight.try_into().expect("8 bytes"));
            let shift = 8 * number;
            masks.delimiter |= equal(eight, dialect.delimiter) << shift;
            masks.newline |= equal(eight, b'\n') << shift;
            masks.quote |= (equal(eight, quote) | equal(eight, escape)) << shift;
            masks.high |= top_bits(eight) << shift;
        }
        if dialect.quote.is_none() {
            masks.quote = 0;
        }
        let (mut ends, newline) = settle(index, bytes, to, masks, dialect);
        let mut count = index.count;
        while ends != 0 {
            count += 1;
            let bit = ends.trailing_zeros();
            index.entries[count] = index.at as u32 + bit;
            index.end_field(newline >> bit & 1 == 1);
            ends &= ends - 1;
        }
        index.count = count;
        index.at += 64;
    }
    index.at = index.at.min(to);
}

/// The field ends of one word, and the line ends among them: what is behind `to` or in quotes taken off.
/// Counts line ends, and notes quotes and high bytes.
#[inline(always)]
pub(crate) fn settle(index: &mut Index, bytes: &[u8], to: usize, masks: Masks, dialect: &Dialect) -> (u64, u64) {
    let left = to - index.at;
    let valid = if left >= 64 { !0 } else { (1 << left) - 1 };
    let mut newline = masks.newline & valid;
    let mut ends = (masks.delimiter & valid) | newline;
    let quotes = masks.quote & valid;
    if quotes != 0 || index.quotes.open {
        index.quoted = true;
        let inside = index.quotes.inside(bytes, index.at, quotes, index.first, dialect);
        ends &= !inside;
        newline &= !inside;
    }
    index.high |= masks.high & valid != 0;
    index.newlines += newline.count_ones() as usize;
    (ends, newline)
}
