//! Digits, eight at a time in a word (Lemire, "Quickly parsing eight digits", 2018).
//!
//! Words are loaded so that they *end* with the field: its last byte is the highest one, what stands
//! before the field is masked to zeros, and the decimal point is closed up by shifting what is
//! before it. Everything else than sign, digits and a point in its place gives `None`.

const ZEROS: u64 = 0x3030_3030_3030_3030;

/// The highest `count` bytes, 1 to 8.
#[inline(always)]
fn highest(count: usize) -> u64 {
    !0 << ((64 - 8 * count as u32) & 63)
}

/// Whether all eight bytes are below ten.
#[inline(always)]
fn are_digits(digits: u64) -> bool {
    (digits | digits.wrapping_add(0x7676_7676_7676_7676)) & 0x8080_8080_8080_8080 == 0
}

/// The number that eight bytes below ten spell, the lowest one first.
#[inline(always)]
fn spell(digits: u64) -> u64 {
    let pairs = (digits.wrapping_mul(2561) >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(6_553_601) >> 16) & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(42_949_672_960_001) >> 32
}

/// A field of `len <= 8` bytes that `word` ends with; `scale` digits stand behind its point, or none
/// and no point.
#[inline(always)]
pub(super) fn short(word: u64, len: usize, scale: usize) -> Option<i64> {
    if len.wrapping_sub(1) >= 8 || scale > 6 {
        return None;
    }
    let negative = (word >> (64 - 8 * len as u32)) & 0xff == u64::from(b'-');
    let len = len - usize::from(negative);
    // At least one digit, and the point if there is one.
    if len < scale + 1 {
        return None;
    }
    let digits = if scale == 0 {
        (word ^ ZEROS) & highest(len)
    } else {
        if (word >> (56 - 8 * scale as u32)) & 0xff != u64::from(b'.') {
            return None;
        }
        let fraction = highest(scale);
        let digits = (word & fraction) | ((word << 8) & !fraction);
        (digits ^ ZEROS) & highest(len - 1)
    };
    if !are_digits(digits) {
        return None;
    }
    let value = spell(digits) as i64;
    Some(if negative { -value } else { value })
}

/// The same with up to `scale` digits behind the point, wherever it stands, or no point.
#[inline]
pub(super) fn short_any(word: u64, len: usize, scale: usize) -> Option<i64> {
    if len.wrapping_sub(1) >= 8 {
        return None;
    }
    // The lowest byte that is a point (Mycroft's test; what it may find above that is no matter).
    let points = word ^ 0x2e2e_2e2e_2e2e_2e2e;
    let points = points.wrapping_sub(0x0101_0101_0101_0101) & !points & 0x8080_8080_8080_8080 & highest(len);
    let behind = if points == 0 { 0 } else { 7 - points.trailing_zeros() as usize / 8 };
    if behind > scale || (points != 0 && behind == 0) {
        return None;
    }
    let missing = u32::try_from(scale - behind).ok()?;
    short(word, len, behind)?.checked_mul(10i64.checked_pow(missing)?)
}

/// The same for up to 16 bytes, which `low` and `high` end with.
#[inline]
pub(super) fn long(low: u64, high: u64, len: usize, scale: usize) -> Option<i64> {
    if len.wrapping_sub(1) >= 16 || scale > 14 {
        return None;
    }
    let word = u128::from(low) | u128::from(high) << 64;
    let highest = |count: usize| u128::MAX << ((128 - 8 * count as u32) & 127);
    let negative = (word >> (128 - 8 * len as u32)) & 0xff == u128::from(b'-');
    let len = len - usize::from(negative);
    if len < scale + 1 {
        return None;
    }
    let zeros = u128::from(ZEROS) | u128::from(ZEROS) << 64;
    let digits = if scale == 0 {
        (word ^ zeros) & highest(len)
    } else {
        if (word >> (120 - 8 * scale as u32)) & 0xff != u128::from(b'.') {
            return None;
        }
        let fraction = highest(scale);
        let digits = (word & fraction) | ((word << 8) & !fraction);
        (digits ^ zeros) & highest(len - 1)
    };
    let (low, high) = (digits as u64, (digits >> 64) as u64);
    if !are_digits(low) || !are_digits(high) {
        return None;
    }
    let value = (spell(low) * 100_000_000 + spell(high)) as i64;
    Some(if negative { -value } else { value })
}

/// Rows whose numbers are spelled together.
pub(super) const GROUP: usize = 64;

/// The last 16 bytes of one field of each of [`GROUP`] rows, and how long the field is.
pub(super) struct Group {
    pub low: [u64; GROUP],
    pub high: [u64; GROUP],
    pub len: [u64; GROUP],
}

impl Default for Group {
    fn default() -> Self {
        Group { low: [0; GROUP], high: [0; GROUP], len: [0; GROUP] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "x86_64")]
    use crate::csv::numbers::Width;
    use crate::csv::value;
    use proptest::prelude::*;

    fn both(text: &str, scale: usize) -> (Option<i64>, Option<i64>) {
        let padded = [b"87.654-21,.123456789", text.as_bytes()].concat();
        let load = |back: usize| u64::from_le_bytes(padded[padded.len() - back..][..8].try_into().unwrap());
        (short(load(8), text.len(), scale), long(load(16), load(8), text.len(), scale))
    }

    proptest! {
        #[test]
        fn words_spell_what_the_careful_way_reads(text in "-?[0-9]{0,9}[.]?[0-9]{0,6}|[-0-9.,+ e/:]{0,17}", scale in 0usize..8) {
            let careful = value::decimal(text.as_bytes(), 18, scale as u8);
            let (short, long) = both(&text, scale);
            let padded = [b"87.654-2", text.as_bytes()].concat();
            let word = u64::from_le_bytes(padded[padded.len() - 8..].try_into().unwrap());
            let any = short_any(word, text.len(), scale);
            prop_assert!(any.is_some() || short.is_none());
            for fast in [short, long, any].into_iter().flatten() {
                prop_assert_eq!(careful, Ok(i128::from(fast)), "{}", text);
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    proptest! {
        #[test]
        fn vectors_spell_what_words_do(
            texts in prop::collection::vec("-?[0-9]{1,7}[.][0-9]{2}|-?[0-9]{0,17}|[-0-9.,+ e/:]{0,17}|\\PC{0,3}", 1..=GROUP),
            scale in 0usize..8,
            precision in 1u32..=18,
        ) {
            let limit = 10i64.pow(precision);
            let mut group = Group::default();
            let mut expected = Vec::new();
            for (lane, text) in texts.iter().enumerate() {
                let padded = [b"87.654-21,.123456789", text.as_bytes()].concat();
                let load = |back: usize| u64::from_le_bytes(padded[padded.len() - back..][..8].try_into().unwrap());
                (group.low[lane], group.high[lane], group.len[lane]) = (load(16), load(8), text.len() as u64);
                let (short, long) = both(text, scale);
                expected.push(short.or(long).filter(|value| value.abs() < limit));
            }
            let kernels = crate::csv::Kernel::supported().into_iter().filter(|kernel| kernel.has_vector_numbers());
            let widths = [Width::Short, Width::Wide];
            for (kernel, width) in kernels.flat_map(|kernel| widths.map(|width| (kernel, width))) {
                let mut values = vec![0; texts.len()];
                let left = kernel.numbers(&group, width, scale as u32, limit as u64, &mut values);
                let is_meant = |text: &str| match width {
                    Width::Short => scale <= 6 && text.len() <= 8,
                    Width::Wide => scale == 0 && (9..=16).contains(&text.len()),
                };
                for (lane, text) in texts.iter().enumerate() {
                    // A vector may leave to words what it could have done, never the other way round.
                    if left >> lane & 1 == 0 {
                        prop_assert_eq!(Some(values[lane]), expected[lane], "{} {}", text, kernel.name());
                    } else if is_meant(text) {
                        prop_assert_eq!(expected[lane], None, "{} {}", text, kernel.name());
                    }
                }
            }
        }
    }

    #[test]
    fn common_numbers_are_not_left_to_the_careful_way() {
        assert_eq!(both("123.45", 2), (Some(12_345), Some(12_345)));
        assert_eq!(both("-1.2", 1), (Some(-12), Some(-12)));
        assert_eq!(both("0", 0), (Some(0), Some(0)));
        assert_eq!(both("12345678", 0), (Some(12_345_678), Some(12_345_678)));
        assert_eq!(both("1700000000000", 0), (None, Some(1_700_000_000_000)));
        assert_eq!(both("-99999999999999.9", 1).1, None);
        assert_eq!(both("-9999999999999.9", 1).1, Some(-99_999_999_999_999));
        let word = |text: &[u8; 8]| u64::from_le_bytes(*text);
        assert_eq!(short_any(word(b"_____1.5"), 3, 2), Some(150));
        assert_eq!(short_any(word(b"_____-12"), 3, 2), Some(-1200));
        assert_eq!(short_any(word(b"___-.125"), 5, 4), Some(-1250));
        assert_eq!(short_any(word(b"___1.125"), 5, 2), None);
        for wrong in ["", "-", ".", "-.", "1.", "1:2"] {
            assert_eq!(both(wrong, 0), (None, None), "{wrong}");
        }
    }
}
