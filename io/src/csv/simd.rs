//! The choice of a kernel, and the kernels for x86-64.

#![allow(unsafe_code, reason = "vector kernels")]

use corelane_engine::{Code, Error, Result};

use super::{Kernel, SIMD_VARIABLE};

impl Kernel {
    /// The best kernel of this machine, or the one that `CORELANE_SIMD` names.
    pub fn detect() -> Result<Kernel> {
        match std::env::var(SIMD_VARIABLE) {
            Ok(name) => Kernel::named(&name),
            Err(_) => Ok(*Kernel::supported().last().expect("the scalar kernel is always there")),
        }
    }

    /// The kernel called `avx512`, `avx2` or `scalar`.
    pub fn named(name: &str) -> Result<Kernel> {
        let supported = Kernel::supported();
        if let Some(kernel) = supported.iter().find(|kernel| kernel.name() == name) {
            return Ok(*kernel);
        }
        let names: Vec<_> = supported.iter().map(|kernel| kernel.name()).collect();
        let message = if matches!(name, "avx2" | "avx512") {
            format!("{SIMD_VARIABLE}={name}: this machine does not have it")
        } else {
            format!("{SIMD_VARIABLE}={name}: there is no such kernel")
        };
        Err(Error::new(Code::BadOption, message).help(format!("this machine can do {}", names.join(", "))))
    }

    /// The kernels that this machine can run, slowest first.
    pub fn supported() -> Vec<Kernel> {
        #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut, reason = "there is one kernel"))]
        let mut supported = vec![Kernel(Choice::Scalar)];
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            if has!("avx2") && has!("bmi1") && has!("bmi2") && has!("lzcnt") && has!("popcnt") {
                supported.push(Kernel(Choice::Avx2));
                if has!("avx512f") && has!("avx512bw") && has!("avx512vl") && has!("avx512vbmi2") && has!("avx512dq") {
                    supported.push(Kernel(Choice::Avx512));
                }
            }
        }
        supported
    }

    /// Whether `bytes` are UTF-8.
    pub(crate) fn is_utf8(self, bytes: &[u8]) -> bool {
        let is_surely = match self.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `Kernel::supported` made it, having asked the CPU.
            Choice::Avx512 => unsafe { x86::is_surely_utf8(bytes) },
            _ => false,
        };
        is_surely || simdutf8::basic::from_utf8(bytes).is_ok()
    }

    /// Which it is.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    pub(crate) fn choice(self) -> Choice {
        self.0
    }

    /// Its name in `CORELANE_SIMD`.
    pub fn name(self) -> &'static str {
        match self.0 {
            Choice::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Choice::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Choice::Avx512 => "avx512",
        }
    }
}

/// Which kernel; kept inside [`Kernel`], so that only [`Kernel::supported`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{avx2, avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use crate::csv::Dialect;
    use crate::csv::index::{Index, Masks, settle};

    /// The 64-byte loop around one way to make masks and one to write positions down.
    macro_rules! kernel {
        ($(#[$doc:meta])* $name:ident, $features:literal, $masks:ident, $write:ident, $splat:ident) => {
            $(#[$doc])*
            ///
            /// # Safety
            /// The CPU has the features, and 64 bytes behind `to` are readable.
            #[target_feature(enable = $features)]
            pub(crate) unsafe fn $name(index: &mut Index, bytes: &[u8], to: usize, most: usize, dialect: &Dialect) {
                assert!(to + 64 <= bytes.len() && index.at <= to);
                assert!(index.entries.len() >= most + 1 + 64 + 16);
                let quote = dialect.quote.unwrap_or(b'\n');
                let delimiters = $splat(dialect.delimiter as i8);
                let newlines = $splat(b'\n' as i8);
                let quotes = $splat(quote as i8);
                let escapes = $splat(dialect.escape.unwrap_or(quote) as i8);
                let quoting = if dialect.quote.is_some() { !0 } else { 0 };
                let pattern = index.pattern();
                let entries = index.entries.as_mut_ptr();
                while index.at < to && index.count < most {
                    // SAFETY: `at < to`, and 64 bytes behind `to` are within `bytes`.
                    let mut masks = unsafe { $masks(bytes.as_ptr().add(index.at), delimiters, newlines, quotes, escapes) };
                    masks.quote &= quoting;
                    let (ends, newline) = settle(index, bytes, to, masks, dialect);
                    index.end_fields(ends.count_ones(), _pext_u64(newline, ends), pattern);
                    // SAFETY: `count < most`, and there is room for 64 entries and the slack of a
                    // vector behind `most`. `settle` does not move the entries.
                    unsafe { $write(entries.add(index.count + 1), ends, index.at as u32) };
                    index.count += ends.count_ones() as usize;
                    index.at += 64;
                }
                index.at = index.at.min(to);
            }
        };
    }

    kernel!(
        /// 32 bytes at a time; positions one by one.
        avx2, "avx2,bmi1,bmi2,lzcnt,popcnt", masks_avx2, write_each, _mm256_set1_epi8
    );
    kernel!(
        /// 64 bytes at a time; positions by compressing the numbers of the set bits.
        avx512,
        "avx512f,avx512bw,avx512vl,avx512vbmi2,avx512dq,avx2,bmi1,bmi2,lzcnt,popcnt",
        masks_avx512,
        write_compressed,
        _mm512_set1_epi8
    );

    /// # Safety
    /// 64 bytes at `from` are readable.
    #[inline]
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    unsafe fn masks_avx2(
        from: *const u8,
        delimiter: __m256i,
        newline: __m256i,
        quote: __m256i,
        escape: __m256i,
    ) -> Masks {
        // SAFETY: the caller's promise.
        let (low, high) = unsafe { (_mm256_loadu_si256(from.cast()), _mm256_loadu_si256(from.add(32).cast())) };
        let join = |low: __m256i, high: __m256i| {
            u64::from(_mm256_movemask_epi8(low) as u32) | u64::from(_mm256_movemask_epi8(high) as u32) << 32
        };
        let equal = |to: __m256i| join(_mm256_cmpeq_epi8(low, to), _mm256_cmpeq_epi8(high, to));
        Masks {
            delimiter: equal(delimiter),
            newline: equal(newline),
            quote: equal(quote) | equal(escape),
            high: join(low, high),
        }
    }

    /// # Safety
    /// There is room for 64 entries at `to`.
    #[inline]
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    unsafe fn write_each(mut to: *mut u32, mut bits: u64, base: u32) {
        let count = bits.count_ones();
        // In fours, so that the loop's end is seldom guessed wrong; what is too much is overwritten.
        for _ in 0..count.div_ceil(4) {
            for slot in 0..4 {
                // SAFETY: at most `count` rounded up to four, which is within 64.
                unsafe { *to.add(slot) = base.wrapping_add(bits.trailing_zeros()) };
                bits &= bits.wrapping_sub(1);
            }
            // SAFETY: as above.
            to = unsafe { to.add(4) };
        }
    }

    /// # Safety
    /// 64 bytes at `from` are readable.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,avx512dq,avx2,bmi1,bmi2,lzcnt,popcnt")]
    unsafe fn masks_avx512(
        from: *const u8,
        delimiter: __m512i,
        newline: __m512i,
        quote: __m512i,
        escape: __m512i,
    ) -> Masks {
        // SAFETY: the caller's promise.
        let word = unsafe { _mm512_loadu_si512(from.cast()) };
        Masks {
            delimiter: _mm512_cmpeq_epi8_mask(word, delimiter),
            newline: _mm512_cmpeq_epi8_mask(word, newline),
            quote: _mm512_cmpeq_epi8_mask(word, quote) | _mm512_cmpeq_epi8_mask(word, escape),
            high: _mm512_movepi8_mask(word),
        }
    }

    /// Whether `bytes` are UTF-8 of the plain kind: characters of up to three bytes, of which none begins
    /// like one that might be too long, too large or half of a pair. Such bytes, and whatever is not UTF-8,
    /// give false. Other than a search for the first fault it has no branch, so text that is now
    /// and then not ASCII costs no more than any other.
    ///
    /// # Safety
    /// The CPU has the features.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,avx512dq,avx2,bmi1,bmi2,lzcnt,popcnt")]
    pub(crate) unsafe fn is_surely_utf8(bytes: &[u8]) -> bool {
        let all = |byte: u8| _mm512_set1_epi8(byte as i8);
        // Bytes that must continue a character begun in the word before; bytes that are not as they should be.
        let (mut carry, mut wrong) = (0u64, 0u64);
        let mut look = |word: __m512i| {
            let continues = _mm512_cmplt_epi8_mask(word, all(0xc0));
            let begins = _mm512_movepi8_mask(word) & !continues;
            let begins_three = _mm512_cmpge_epu8_mask(word, all(0xe0));
            let two_halves = _mm512_cmpeq_epi8_mask(_mm512_and_si512(word, all(0xfe)), all(0xc0));
            let special = _mm512_cmpge_epu8_mask(word, all(0xf0))
                | _mm512_cmpeq_epi8_mask(word, all(0xe0))
                | _mm512_cmpeq_epi8_mask(word, all(0xed));
            wrong |= two_halves | special | (continues ^ (begins << 1 | begins_three << 2 | carry));
            carry = begins >> 63 | begins_three >> 62;
        };
        let (words, rest) = bytes.as_chunks::<64>();
        for word in words {
            // SAFETY: 64 bytes.
            look(unsafe { _mm512_loadu_si512(word.as_ptr().cast()) });
        }
        let left = (1u64 << rest.len()) - 1;
        // SAFETY: only bytes of `rest` are read.
        look(unsafe { _mm512_maskz_loadu_epi8(left, rest.as_ptr().cast()) });
        wrong == 0 && carry == 0
    }

    const NUMBERS: [u8; 64] = {
        let mut numbers = [0; 64];
        let mut at = 0;
        while at < 64 {
            numbers[at] = at as u8;
            at += 1;
        }
        numbers
    };

    /// # Safety
    /// There is room for 64 entries at `to`, or as many as bits are set, rounded up to sixteen.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,avx512dq,avx2,bmi1,bmi2,lzcnt,popcnt")]
    unsafe fn write_compressed(to: *mut u32, bits: u64, base: u32) {
        // SAFETY: 64 bytes of a constant.
        let numbers = unsafe { _mm512_loadu_si512(NUMBERS.as_ptr().cast()) };
        let chosen = _mm512_maskz_compress_epi8(bits, numbers);
        let base = _mm512_set1_epi32(base as i32);
        let place = |quarter: __m128i| _mm512_add_epi32(_mm512_cvtepu8_epi32(quarter), base);
        let count = bits.count_ones();
        // SAFETY: every store is within the count rounded up to sixteen.
        unsafe {
            _mm512_storeu_si512(to.cast(), place(_mm512_castsi512_si128(chosen)));
            if count > 16 {
                _mm512_storeu_si512(to.add(16).cast(), place(_mm512_extracti32x4_epi32::<1>(chosen)));
                if count > 32 {
                    _mm512_storeu_si512(to.add(32).cast(), place(_mm512_extracti32x4_epi32::<2>(chosen)));
                    _mm512_storeu_si512(to.add(48).cast(), place(_mm512_extracti32x4_epi32::<3>(chosen)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::csv::Dialect;
    use crate::csv::index::{Index, PADDING};
    use proptest::prelude::*;

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn common_text_is_surely_utf8() {
        let text = "Zürich, Łódź, 東京, Αθήνα, plain; ".repeat(20);
        let is_fast = |text: &[u8]| {
            Kernel::supported().iter().filter(|kernel| kernel.0 == Choice::Avx512).all(|_| {
                // SAFETY: the machine has the kernel.
                unsafe { x86::is_surely_utf8(text) }
            })
        };
        assert!((0..text.len()).filter(|&end| text.is_char_boundary(end)).all(|end| is_fast(&text.as_bytes()[..end])));
    }

    /// Every first byte with every second one, as two, three and four bytes, across the end of a word.
    #[test]
    fn utf8_of_all_beginnings() {
        for (first, second) in (0u8..=255).flat_map(|first| (0u8..=255).map(move |second| (first, second))) {
            for tail in [&b""[..], b"\x80", b"\x80\xbf"] {
                let bytes = [&[b'x'; 62][..], &[first, second], tail, b"y"].concat();
                let expected = std::str::from_utf8(&bytes).is_ok();
                assert!(Kernel::supported().iter().all(|kernel| kernel.is_utf8(&bytes) == expected), "{bytes:x?}");
            }
        }
    }

    #[test]
    fn kernels_go_by_name() {
        assert_eq!(Kernel::named("scalar").unwrap().name(), "scalar");
        let error = Kernel::named("sse").unwrap_err().to_string();
        assert!(error.starts_with("CORELANE_SIMD=sse: there is no such kernel (this machine can do scalar"), "{error}");
    }

    proptest! {
        #[test]
        fn utf8_is_what_the_library_says(
            before in 0usize..130,
            text in "[a-zé€😀\u{800}\u{d7ff}]{0,200}",
            break_at in 0usize..400,
            broken in prop::option::of(any::<u8>()),
            end in 0usize..3,
        ) {
            let mut bytes = vec![b'x'; before];
            bytes.extend_from_slice(text.as_bytes());
            if let (Some(broken), Some(byte)) = (broken, bytes.get_mut(break_at)) {
                *byte = broken;
            }
            bytes.truncate(bytes.len() - end.min(bytes.len()));
            for kernel in Kernel::supported() {
                prop_assert_eq!(kernel.is_utf8(&bytes), std::str::from_utf8(&bytes).is_ok(), "{}", kernel.name());
            }
        }

        #[test]
        fn kernels_agree(
            text in prop::collection::vec(prop::sample::select(b",,,\n\n\"\"\\abc\r\xc3".to_vec()), 0..700),
            cut in 0usize..700,
            most in 1usize..100,
            quote in any::<bool>(),
            escape in any::<bool>(),
            fields in 0usize..5,
        ) {
            let dialect = Dialect { delimiter: b',', quote: quote.then_some(b'"'), escape: escape.then_some(b'\\') };
            // Behind the end stand bytes that must not be taken for fields.
            let mut bytes = vec![b','; PADDING];
            bytes.extend_from_slice(&text);
            bytes.extend_from_slice(&[b'\n'; PADDING]);
            let end = PADDING + text.len();
            let mut results = Vec::new();
            for kernel in Kernel::supported() {
                let mut index = Index { fields, ..Index::default() };
                index.restart(PADDING);
                let mut all = Vec::new();
                for to in [PADDING + cut.min(text.len()), end] {
                    while index.at < to {
                        index.extend(kernel, &bytes, to, index.count + most, &dialect);
                    }
                }
                all.extend_from_slice(&index.entries[..=index.count]);
                let lines = all[1..].split_inclusive(|&entry| bytes[entry as usize] == b'\n');
                let is_regular = |line: &[u32]| {
                    let is_whole = bytes[line[line.len() - 1] as usize] == b'\n';
                    if is_whole { line.len() == fields } else { line.len() < fields }
                };
                prop_assert_eq!(fields > 0 && index.irregular, fields > 0 && !lines.clone().all(is_regular));
                results.push((kernel.name(), all, index.newlines, index.quotes, index.quoted, index.high));
            }
            for other in &results[1..] {
                prop_assert_eq!(&other.1, &results[0].1, "{}", other.0);
                prop_assert_eq!((other.2, other.3, other.4, other.5), (results[0].2, results[0].3, results[0].4, results[0].5));
            }
        }
    }
}
