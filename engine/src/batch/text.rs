//! A 16-byte view of a piece of text: short text stands in the view, long text is pointed at.

#![allow(unsafe_code, reason = "16-byte views, inline or by pointer")]

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

/// Text up to this many bytes stands in the view itself.
pub const INLINE_MAX: usize = 12;

/// A view of text: 4 bytes of length, then either the text itself (up to 12 bytes, padded with
/// zeros) or its first 4 bytes and a pointer. Equal short texts are equal as two words, and most
/// comparisons of long ones end at the length and prefix. Known as the "German string" of Umbra
/// (Neumann and Freitag, CIDR 2020).
///
/// The bytes are UTF-8 wherever SQL made them; bytes from a file are checked by the reader.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub struct Text<'a> {
    len: u32,
    head: [u8; 4],
    tail: Tail,
    borrow: PhantomData<&'a [u8]>,
}

/// What is kept of the eight bytes from four bytes before a text on, and of the eight behind them, for a
/// text of so many bytes. A table beats shifting by a variable count.
const KEEP: [[u64; 2]; INLINE_MAX + 1] = {
    let mut keep = [[0; 2]; INLINE_MAX + 1];
    let mut len = 0;
    while len <= INLINE_MAX {
        let bits: u128 = (1 << (8 * len)) - 1;
        keep[len] = [(bits as u64) << 32, (bits >> 32) as u64];
        len += 1;
    }
    keep
};

#[derive(Clone, Copy)]
union Tail {
    inline: u64,
    // Valid for `len` bytes for `'a` when `len > INLINE_MAX`.
    pointer: *const u8,
}

// SAFETY: a `Text` is a shared borrow of bytes (or a copy of them), like `&'a [u8]`, which is Send.
unsafe impl Send for Text<'_> {}
// SAFETY: as above; there is no interior mutability.
unsafe impl Sync for Text<'_> {}

impl<'a> Text<'a> {
    /// The empty text.
    pub const EMPTY: Text<'static> = Text { len: 0, head: [0; 4], tail: Tail { inline: 0 }, borrow: PhantomData };

    /// A view of `bytes`, which must be shorter than 4 GiB.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        if bytes.len() <= INLINE_MAX {
            let mut padded = [0u8; 16];
            padded[..bytes.len()].copy_from_slice(bytes);
            return Text::from_padded(padded, bytes.len());
        }
        let len = u32::try_from(bytes.len()).expect("text is shorter than 4 GiB");
        let head = [bytes[0], bytes[1], bytes[2], bytes[3]];
        Text { len, head, tail: Tail { pointer: bytes.as_ptr() }, borrow: PhantomData }
    }

    /// The first `len <= 12` bytes of `padded`; what stands behind them is masked off.
    #[inline]
    pub fn from_padded(padded: [u8; 16], len: usize) -> Self {
        assert!(len <= INLINE_MAX);
        let bits = u128::from_le_bytes(padded);
        let [first, second] = KEEP[len];
        let inline = (bits >> 32) as u64 & second;
        Text::of_words((bits as u64) << 32 & first | len as u64, Tail { inline })
    }

    /// A view of `bytes`, from four bytes before which on 16 bytes, whatever they are, are `around`. Whether it
    /// is short makes no branch, since a column of both kinds cannot be foreseen.
    #[inline]
    pub fn with_around(around: [u64; 2], bytes: &'a [u8]) -> Self {
        assert!(u32::try_from(bytes.len()).is_ok(), "text is shorter than 4 GiB");
        let [first, second] = KEEP[bytes.len().min(INLINE_MAX)];
        let short = std::ptr::without_provenance((around[1] & second) as usize);
        let pointer = std::hint::select_unpredictable(bytes.len() <= INLINE_MAX, short, bytes.as_ptr());
        Text::of_words(around[0] & first | bytes.len() as u64, Tail { pointer })
    }

    /// The view whose first word, as [`Text::words`] gives it, is `low`.
    #[inline]
    fn of_words(low: u64, tail: Tail) -> Self {
        // Both halves of one word, so that they are written at once.
        Text { len: low as u32, head: ((low >> 32) as u32).to_le_bytes(), tail, borrow: PhantomData }
    }

    /// The short text whose [`Text::words`] these are.
    #[inline]
    pub fn of_short(words: [u64; 2]) -> Text<'static> {
        assert!(words[0] as u32 as usize <= INLINE_MAX);
        Text::of_words(words[0], Tail { inline: words[1] })
    }

    /// Length in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// No bytes at all.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The text stands in the view itself.
    #[inline]
    pub fn is_inline(&self) -> bool {
        self.len() <= INLINE_MAX
    }

    /// The bytes.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        let start = if self.is_inline() {
            // SAFETY: `head` and `tail` are adjacent (repr(C), no padding between), 12 bytes in all.
            unsafe { (self as *const Self).cast::<u8>().add(4) }
        } else {
            // SAFETY: a text longer than `INLINE_MAX` holds a pointer.
            unsafe { self.tail.pointer }
        };
        // SAFETY: inline: 12 bytes of `self`; else: the pointer is valid for `len` bytes for `'a`.
        unsafe { std::slice::from_raw_parts(start, self.len()) }
    }

    /// The text as `str`, with bytes that are not UTF-8 replaced.
    pub fn to_str_lossy(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(self.as_bytes())
    }

    /// The view as two words: length and first four bytes, then the rest or the pointer. Two
    /// inline texts are equal exactly when their words are.
    #[inline]
    pub fn words(&self) -> [u64; 2] {
        let low = if cfg!(target_endian = "little") {
            // SAFETY: `len` and `head` are the first eight bytes (repr(C)), aligned for a word.
            unsafe { (self as *const Self).cast::<u64>().read() }
        } else {
            u64::from(self.len) | (u64::from(u32::from_le_bytes(self.head)) << 32)
        };
        // SAFETY: both fields of the union are 8 bytes and any bits are a valid `u64`; the
        // pointer's provenance is not used through this word.
        [low, unsafe { self.tail.inline }]
    }

    /// Texts of up to this many bytes are equal exactly when their [`Text::pieces`] are.
    pub const PIECES_MAX: usize = 20;

    /// Three words of any text, made without a branch: length and first four bytes, the eight bytes behind
    /// them, and the last eight bytes. Zeros stand for what a short text does not have.
    #[inline]
    pub fn pieces(&self) -> [u64; 3] {
        // SAFETY: `head` and `tail` are adjacent (repr(C), no padding between), 12 bytes in all.
        let inline = unsafe { (self as *const Self).cast::<u8>().add(4) };
        // SAFETY: any bits are a valid pointer; it is only followed when the text is long.
        let pointer = unsafe { self.tail.pointer };
        let start = std::hint::select_unpredictable(self.is_inline(), inline, pointer);
        let load = |at: usize| {
            // SAFETY: both places below are within the 12 bytes of the view, or the more than 12 bytes
            // that a long text points at.
            u64::from_le_bytes(unsafe { start.add(at).cast::<[u8; 8]>().read_unaligned() })
        };
        [self.words()[0], load(4), load(self.len().saturating_sub(8))]
    }

    /// The same bytes, kept in `arena` when they do not fit in the view.
    #[inline]
    pub fn copy_to<'b>(&self, arena: &'b bumpalo::Bump) -> Text<'b> {
        if self.is_inline() {
            return Text { len: self.len, head: self.head, tail: self.tail, borrow: PhantomData };
        }
        Text::new(arena.alloc_slice_copy(self.as_bytes()))
    }
}

impl PartialEq for Text<'_> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        let (left, right) = (self.words(), other.words());
        if left[0] != right[0] {
            return false;
        }
        if self.is_inline() { left[1] == right[1] } else { self.as_bytes() == other.as_bytes() }
    }
}

impl Eq for Text<'_> {}

impl PartialOrd for Text<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text<'_> {
    /// Byte order, which for UTF-8 is the order of code points.
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        match u32::from_be_bytes(self.head).cmp(&u32::from_be_bytes(other.head)) {
            Ordering::Equal => self.as_bytes().cmp(other.as_bytes()),
            unequal => unequal,
        }
    }
}

impl Hash for Text<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_str_lossy(), f)
    }
}

impl Default for Text<'_> {
    fn default() -> Self {
        Text::EMPTY
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_view_reads_and_compares_as_its_bytes(a in prop::collection::vec(0u8..4, 0..20), b in prop::collection::vec(0u8..4, 0..20)) {
            let (left, right) = (Text::new(&a), Text::new(&b));
            prop_assert_eq!(left.as_bytes(), &a[..]);
            prop_assert_eq!(left == right, a == b);
            prop_assert_eq!(left.cmp(&right), a.cmp(&b));
            prop_assert_eq!(left.pieces() == right.pieces(), a == b);
            let arena = bumpalo::Bump::new();
            let copy = left.copy_to(&arena);
            prop_assert_eq!(copy.as_bytes(), &a[..]);
        }
    }

    #[test]
    fn pieces_of_every_length() {
        let bytes: Vec<u8> = (1..=60).collect();
        let word = |bytes: &[u8]| u64::from_le_bytes(std::array::from_fn(|at| bytes.get(at).copied().unwrap_or(0)));
        for len in 0..=60 {
            let text = &bytes[..len];
            let [first, second, third] = Text::new(text).pieces();
            assert_eq!(first, len as u64 | word(&text[..len.min(4)]) << 32);
            assert_eq!(second, word(&text[len.min(4)..len.min(12)]));
            assert_eq!(third, word(&text[len.saturating_sub(8)..]));
        }
    }

    #[test]
    fn bytes_behind_the_length_do_not_count() {
        let padded = *b"SYM7,12345678901";
        assert_eq!(Text::from_padded(padded, 4), Text::new(b"SYM7"));
        assert_eq!(Text::from_padded(padded, 0), Text::EMPTY);
        let text = *b"....SYM7,1234567890123456789";
        let around = [0, 8].map(|at| u64::from_le_bytes(text[at..at + 8].try_into().unwrap()));
        for len in 0..=24 {
            let view = Text::with_around(around, &text[4..4 + len]);
            assert_eq!(
                (view, view.words()[0]),
                (Text::new(&text[4..4 + len]), Text::new(&text[4..4 + len]).words()[0])
            );
        }
    }
}
