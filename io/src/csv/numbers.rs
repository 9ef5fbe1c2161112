//! Numbers several at a time, for x86-64; the scalar twin is [`super::swar`].
//!
//! A *group* is one field of up to 64 rows: the last bytes of each, and how long it is. The lanes of a
//! vector do what `swar` does with a word: zeros before the field, the point closed up, digits spelled by
//! three multiplications. What they do not take is left to it.

#![allow(unsafe_code, reason = "vector kernels")]

use super::Kernel;
use super::simd::Choice;
use super::swar::Group;

/// How long the fields of a group may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    /// Up to 8 bytes, with a point in its place.
    Short,
    /// 9 to 16 bytes, without a point.
    Wide,
}

impl Kernel {
    /// Whether [`Kernel::numbers`] may be called.
    #[inline]
    pub(super) fn has_vector_numbers(self) -> bool {
        self.0 != Choice::Scalar
    }

    /// Spells the numbers of `group` into `values`, as [`super::swar`] does; the rows whose bits are
    /// set in the answer are left to it, and their values are anything.
    #[inline]
    pub(super) fn numbers(self, group: &Group, width: Width, scale: u32, limit: u64, values: &mut [i64]) -> u64 {
        let all = u64::MAX.checked_shr(64 - values.len() as u32).unwrap_or(0);
        if scale > 6 || (width == Width::Wide && scale > 0) {
            return all;
        }
        let left = match self.0 {
            Choice::Scalar => all,
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `Kernel::supported` made it, having asked the CPU.
            Choice::Avx512 => unsafe { x86::numbers_avx512(group, width, scale, limit, values) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Choice::Avx2 => unsafe { x86::numbers_avx2(group, width, scale, limit, values) },
        };
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (group, limit);
        left & all
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::Width;
    use crate::csv::swar::{GROUP, Group};

    /// Eight numbers at a time.
    ///
    /// # Safety
    /// The CPU has the features.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,avx512dq,avx2,bmi1,bmi2,lzcnt,popcnt")]
    pub(super) unsafe fn numbers_avx512(
        group: &Group,
        width: Width,
        scale: u32,
        limit: u64,
        values: &mut [i64],
    ) -> u64 {
        assert!(values.len() <= GROUP);
        let mut left = 0u64;
        for (eight, values) in values.chunks_mut(8).enumerate() {
            // SAFETY: each array has 64 elements, of which these are eight.
            let (low, high, len) = unsafe {
                (
                    _mm512_loadu_si512(group.low.as_ptr().add(8 * eight).cast()),
                    _mm512_loadu_si512(group.high.as_ptr().add(8 * eight).cast()),
                    _mm512_loadu_si512(group.len.as_ptr().add(8 * eight).cast()),
                )
            };
            let (value, bad) = match width {
                Width::Short => spell_short(high, len, scale),
                Width::Wide => spell_wide(low, high, len),
            };
            let bad = bad | _mm512_cmpge_epu64_mask(_mm512_abs_epi64(value), _mm512_set1_epi64(limit as i64));
            let lanes = if values.len() == 8 { 0xff } else { (1u8 << values.len()) - 1 };
            // SAFETY: as many elements as there are lanes.
            unsafe { _mm512_mask_storeu_epi64(values.as_mut_ptr(), lanes, value) };
            left |= u64::from(bad) << (8 * eight);
        }
        left
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
        // Eight digits are less than 32 bits.
        let value = _mm512_add_epi64(_mm512_mul_epu32(spell(low), all(100_000_000)), spell(high));
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

    /// Four numbers at a time.
    ///
    /// # Safety
    /// The CPU has the features.
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    pub(super) unsafe fn numbers_avx2(group: &Group, width: Width, scale: u32, limit: u64, values: &mut [i64]) -> u64 {
        assert!(values.len() <= GROUP);
        let mut left = 0u64;
        for (four, values) in values.chunks_mut(4).enumerate() {
            // SAFETY: each array has 64 elements, of which these are four.
            let (low, high, len) = unsafe {
                (
                    _mm256_loadu_si256(group.low.as_ptr().add(4 * four).cast()),
                    _mm256_loadu_si256(group.high.as_ptr().add(4 * four).cast()),
                    _mm256_loadu_si256(group.len.as_ptr().add(4 * four).cast()),
                )
            };
            let (value, negative, bad) = match width {
                Width::Short => spell_short_avx2(high, len, scale),
                Width::Wide => spell_wide_avx2(low, high, len),
            };
            let within = _mm256_cmpgt_epi64(_mm256_set1_epi64x(limit as i64), value);
            let bad = _mm256_or_si256(bad, _mm256_xor_si256(within, _mm256_set1_epi64x(-1)));
            let value = _mm256_sub_epi64(_mm256_xor_si256(value, negative), negative);
            let mut four_values = [0i64; 4];
            // SAFETY: four elements.
            unsafe { _mm256_storeu_si256(four_values.as_mut_ptr().cast(), value) };
            values.copy_from_slice(&four_values[..values.len()]);
            left |= u64::from(_mm256_movemask_pd(_mm256_castsi256_pd(bad)) as u32) << (4 * four);
        }
        left
    }

    /// As [`spell_short`]: the digits' number, and all bits of a lane where it is to be negated and where it
    /// is not to be used.
    #[inline]
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    fn spell_short_avx2(word: __m256i, len: __m256i, scale: u32) -> (__m256i, __m256i, __m256i) {
        let all = |value: i64| _mm256_set1_epi64x(value);
        let before = _mm256_sub_epi64(all(64), _mm256_slli_epi64::<3>(len));
        let mut bad = _mm256_cmpgt_epi64(len, all(8));
        let first = _mm256_and_si256(_mm256_srlv_epi64(word, before), all(0xff));
        let negative = _mm256_cmpeq_epi64(first, all(i64::from(b'-')));
        let mut before = _mm256_add_epi64(before, _mm256_and_si256(negative, all(8)));
        let mut digits = word;
        if scale > 0 {
            let point = _mm256_and_si256(_mm256_srlv_epi64(word, all(i64::from(56 - 8 * scale))), all(0xff));
            bad = _mm256_or_si256(bad, _mm256_xor_si256(_mm256_cmpeq_epi64(point, all(i64::from(b'.'))), all(-1)));
            let fraction = all((!0u64 << (64 - 8 * scale)) as i64);
            let whole = _mm256_andnot_si256(fraction, _mm256_slli_epi64::<8>(word));
            digits = _mm256_or_si256(_mm256_and_si256(word, fraction), whole);
            before = _mm256_add_epi64(before, all(8));
        }
        // At least one digit, and the point: an empty field is one without.
        bad = _mm256_or_si256(bad, _mm256_cmpgt_epi64(before, all(64 - 8 * i64::from(scale.max(1)))));
        let digits = _mm256_xor_si256(digits, all(0x3030_3030_3030_3030));
        let digits = _mm256_and_si256(digits, _mm256_sllv_epi64(all(-1), before));
        bad = _mm256_or_si256(bad, not_digits_avx2(digits));
        (spell_avx2(digits), negative, bad)
    }

    /// As [`spell_wide`], with the answer of [`spell_short_avx2`].
    #[inline]
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    fn spell_wide_avx2(low: __m256i, high: __m256i, len: __m256i) -> (__m256i, __m256i, __m256i) {
        let all = |value: i64| _mm256_set1_epi64x(value);
        let before = _mm256_sub_epi64(all(128), _mm256_slli_epi64::<3>(len));
        let mut bad = _mm256_or_si256(_mm256_cmpgt_epi64(len, all(16)), _mm256_cmpgt_epi64(all(9), len));
        let first = _mm256_and_si256(_mm256_srlv_epi64(low, before), all(0xff));
        let negative = _mm256_cmpeq_epi64(first, all(i64::from(b'-')));
        let before = _mm256_add_epi64(before, _mm256_and_si256(negative, all(8)));
        let zeros = all(0x3030_3030_3030_3030);
        let low = _mm256_and_si256(_mm256_xor_si256(low, zeros), _mm256_sllv_epi64(all(-1), before));
        let high = _mm256_xor_si256(high, zeros);
        bad = _mm256_or_si256(bad, _mm256_or_si256(not_digits_avx2(low), not_digits_avx2(high)));
        let value = _mm256_add_epi64(_mm256_mul_epu32(spell_avx2(low), all(100_000_000)), spell_avx2(high));
        (value, negative, bad)
    }

    /// All bits of lanes with a byte above nine.
    #[inline]
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    fn not_digits_avx2(digits: __m256i) -> __m256i {
        let above = _mm256_or_si256(digits, _mm256_add_epi8(digits, _mm256_set1_epi8(0x76)));
        let tops = _mm256_and_si256(above, _mm256_set1_epi8(-128));
        _mm256_xor_si256(_mm256_cmpeq_epi64(tops, _mm256_setzero_si256()), _mm256_set1_epi64x(-1))
    }

    /// As [`spell`].
    #[inline]
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    fn spell_avx2(digits: __m256i) -> __m256i {
        let pairs = _mm256_maddubs_epi16(digits, _mm256_set1_epi16(0x010a));
        let fours = _mm256_madd_epi16(pairs, _mm256_set1_epi32(0x0001_0064));
        let high = _mm256_mul_epu32(fours, _mm256_set1_epi64x(10_000));
        _mm256_add_epi64(high, _mm256_srli_epi64::<32>(fours))
    }
}
