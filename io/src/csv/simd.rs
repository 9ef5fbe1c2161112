//! The choice of a kernel, and the kernels for x86-64.

#![allow(unsafe_code, reason = "vector kernels")]

use corelane_engine::{Code, Error, Result};

use super::swar::Group;
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

    /// Whether [`Kernel::numbers`] may be called.
    #[inline]
    pub(super) fn has_vector_numbers(self) -> bool {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Choice::Avx512 => true,
            _ => false,
        }
    }

    /// Spells the numbers of `group` into `values`, as [`super::swar`] does; the rows whose bits are
    /// set in the answer are left to it.
    #[inline]
    pub(super) fn numbers(self, group: &Group, scale: u32, limit: u64, values: &mut [i64]) -> u64 {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `Kernel::supported` made it, having asked the CPU.
            Choice::Avx512 => unsafe { x86::numbers(group, scale, limit, values) },
            _ => {
                let _ = (group, scale, limit);
                u64::MAX.checked_shr(64 - values.len() as u32).unwrap_or(0)
            }
        }
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
    use crate::csv::swar::{GROUP, Group};

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
                let entries = index.entries.as_mut_ptr();
                while index.at < to && index.count < most {
                    // SAFETY: `at < to`, and 64 bytes behind `to` are within `bytes`.
                    let mut masks = unsafe { $masks(bytes.as_ptr().add(index.at), delimiters, newlines, quotes, escapes) };
                    masks.quote &= quoting;
                    let ends = settle(index, bytes, to, masks, dialect);
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

    /// Eight numbers at a time: up to 8 bytes with a point in its place, or up to 16 without one.
    /// The answer has a bit for every row that is anything else.
    ///
    /// # Safety
    /// The CPU has the features.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,avx512dq,avx2,bmi1,bmi2,lzcnt,popcnt")]
    pub(crate) unsafe fn numbers(group: &Group, scale: u32, limit: u64, values: &mut [i64]) -> u64 {
        assert!(values.len() <= GROUP);
        let lanes = if values.len() == GROUP { !0 } else { (1u64 << values.len()) - 1 };
        if scale > 6 {
            return lanes;
        }
        let wide = scale == 0 && group.len[0] > 8;
        let mut spelled = [0i64; GROUP];
        let mut left = 0u64;
        for eight in 0..values.len().div_ceil(8) {
            // SAFETY: each array has 64 elements, of which these are eight.
            let (low, high, len) = unsafe {
                (
                    _mm512_loadu_si512(group.low.as_ptr().add(8 * eight).cast()),
                    _mm512_loadu_si512(group.high.as_ptr().add(8 * eight).cast()),
                    _mm512_loadu_si512(group.len.as_ptr().add(8 * eight).cast()),
                )
            };
            let (value, bad) = if wide { spell_wide(low, high, len) } else { spell_short(high, len, scale) };
            let magnitude = _mm512_abs_epi64(value);
            let bad = bad | _mm512_cmpge_epu64_mask(magnitude, _mm512_set1_epi64(limit as i64));
            // SAFETY: as above.
            unsafe { _mm512_storeu_si512(spelled.as_mut_ptr().add(8 * eight).cast(), value) };
            left |= u64::from(bad) << (8 * eight);
        }
        values.copy_from_slice(&spelled[..values.len()]);
        left & lanes
    }

    /// Fields of 1 to 8 bytes: see `swar::short`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,avx512dq,avx2,bmi1,bmi2,lzcnt,popcnt")]
    fn spell_short(word: __m512i, len: __m512i, scale: u32) -> (__m512i, __mmask8) {
        let all = |value: i64| _mm512_set1_epi64(value);
        // Bits before the field.
        let before = _mm512_sub_epi64(all(64), _mm512_slli_epi64::<3>(len));
        let bad_len = _mm512_cmpgt_epu64_mask(_mm512_sub_epi64(len, all(1)), all(7));
        let first = _mm512_and_si512(_mm512_srlv_epi64(word, before), all(0xff));
        let negative = _mm512_cmpeq_epi64_mask(first, all(i64::from(b'-')));
        let mut before = _mm512_mask_add_epi64(before, negative, before, all(8));
        let mut bad = bad_len;
        let mut digits = word;
        if scale > 0 {
            let point = _mm512_srlv_epi64(word, all(i64::from(56 - 8 * scale)));
            bad |= _mm512_cmpneq_epi64_mask(_mm512_and_si512(point, all(0xff)), all(i64::from(b'.')));
            let fraction = all((!0u64 << (64 - 8 * scale)) as i64);
            let whole = _mm512_andnot_si512(fraction, _mm512_slli_epi64::<8>(word));
            digits = _mm512_or_si512(_mm512_and_si512(word, fraction), whole);
            before = _mm512_add_epi64(before, all(8));
        }
        // At least one digit, and the point.
        bad |= _mm512_cmpgt_epi64_mask(before, all(64 - 8 * i64::from(scale.max(1))));
        let digits = _mm512_xor_si512(digits, all(0x3030_3030_3030_3030));
        let digits = _mm512_and_si512(digits, _mm512_sllv_epi64(all(-1), before));
        bad |= not_digits(digits);
        (signed(spell(digits), negative), bad)
    }

    /// Fields of 9 to 16 bytes without a point: see `swar::long`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,avx512dq,avx2,bmi1,bmi2,lzcnt,popcnt")]
    fn spell_wide(low: __m512i, high: __m512i, len: __m512i) -> (__m512i, __mmask8) {
        let all = |value: i64| _mm512_set1_epi64(value);
        let before = _mm512_sub_epi64(all(128), _mm512_slli_epi64::<3>(len));
        let mut bad = _mm512_cmpgt_epu64_mask(_mm512_sub_epi64(len, all(9)), all(7));
        let first = _mm512_and_si512(_mm512_srlv_epi64(low, before), all(0xff));
        let negative = _mm512_cmpeq_epi64_mask(first, all(i64::from(b'-')));
        let before = _mm512_mask_add_epi64(before, negative, before, all(8));
        let zeros = all(0x3030_3030_3030_3030);
        // A shift by 64 leaves nothing, as it should.
        let low = _mm512_and_si512(_mm512_xor_si512(low, zeros), _mm512_sllv_epi64(all(-1), before));
        let high = _mm512_xor_si512(high, zeros);
        bad |= not_digits(low) | not_digits(high);
        let value = _mm512_add_epi64(_mm512_mullo_epi64(spell(low), all(100_000_000)), spell(high));
        (signed(value, negative), bad)
    }

    /// Lanes with a byte above nine.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,avx512dq,avx2,bmi1,bmi2,lzcnt,popcnt")]
    fn not_digits(digits: __m512i) -> __mmask8 {
        let above = _mm512_or_si512(digits, _mm512_add_epi8(digits, _mm512_set1_epi8(0x76)));
        _mm512_test_epi64_mask(above, _mm512_set1_epi8(-128))
    }

    /// The number that the eight bytes of each lane spell, the lowest one first.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,avx512dq,avx2,bmi1,bmi2,lzcnt,popcnt")]
    fn spell(digits: __m512i) -> __m512i {
        let pairs = _mm512_maddubs_epi16(digits, _mm512_set1_epi16(0x010a));
        let fours = _mm512_madd_epi16(pairs, _mm512_set1_epi32(0x0001_0064));
        let high = _mm512_mul_epu32(fours, _mm512_set1_epi64(10_000));
        _mm512_add_epi64(high, _mm512_srli_epi64::<32>(fours))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,avx512dq,avx2,bmi1,bmi2,lzcnt,popcnt")]
    fn signed(value: __m512i, negative: __mmask8) -> __m512i {
        _mm512_mask_sub_epi64(value, negative, _mm512_setzero_si512(), value)
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

    #[test]
    fn kernels_go_by_name() {
        assert_eq!(Kernel::named("scalar").unwrap().name(), "scalar");
        let error = Kernel::named("sse").unwrap_err().to_string();
        assert!(error.starts_with("CORELANE_SIMD=sse: there is no such kernel (this machine can do scalar"), "{error}");
    }

    proptest! {
        #[test]
        fn kernels_agree(
            text in prop::collection::vec(prop::sample::select(b",,,\n\n\"\"\\abc\r\xc3".to_vec()), 0..700),
            cut in 0usize..700,
            most in 1usize..100,
            quote in any::<bool>(),
            escape in any::<bool>(),
        ) {
            let dialect = Dialect { delimiter: b',', quote: quote.then_some(b'"'), escape: escape.then_some(b'\\') };
            // Behind the end stand bytes that must not be taken for fields.
            let mut bytes = vec![b','; PADDING];
            bytes.extend_from_slice(&text);
            bytes.extend_from_slice(&[b'\n'; PADDING]);
            let end = PADDING + text.len();
            let mut results = Vec::new();
            for kernel in Kernel::supported() {
                let mut index = Index::default();
                index.restart(PADDING);
                let mut all = Vec::new();
                for to in [PADDING + cut.min(text.len()), end] {
                    while index.at < to {
                        index.extend(kernel, &bytes, to, index.count + most, &dialect);
                    }
                }
                all.extend_from_slice(&index.entries[..=index.count]);
                results.push((kernel.name(), all, index.newlines, index.quotes, index.quoted, index.high));
            }
            for other in &results[1..] {
                prop_assert_eq!(&other.1, &results[0].1, "{}", other.0);
                prop_assert_eq!((other.2, other.3, other.4, other.5), (results[0].2, results[0].3, results[0].4, results[0].5));
            }
        }
    }
}
