//! Means of decimals, a column at a time.
//!
//! A 64-bit division costs ten cycles and more, a division of doubles a fraction of that, since several
//! are done at once. Of whole numbers `a < 2^52` and `b` the double nearest to `a / b` lies in the same
//! whole step as `a / b` itself: the next whole number above is at least `1 / b` away, which is more
//! than the rounding moves. So the quotient is exact as long as the numbers are small, and that is seen
//! from the bits of the whole column at once.

use super::answer::decimal_mean;

/// 2^52: a double of that size has no bits behind the point.
const POINT: f64 = (1u64 << 52) as f64;
/// The bits of 2^52, in the lower ones of which a smaller whole number stands as it is.
const POINT_BITS: u64 = 0x4330_0000_0000_0000;
const LOWER_BITS: u64 = (1 << 52) - 1;

/// Writes `sums[row] / counts[row]`, rounded half up, with `more` digits behind the point than the sums
/// have. Every count is at least 1. `None` where a mean does not fit.
pub(crate) fn decimal_means<T: Copy>(
    sums: &[i128],
    counts: &[i64],
    more: u8,
    out: &mut [T],
    fit: impl Fn(i128) -> Option<T>,
    short: impl Fn(i64) -> T,
) -> Option<()> {
    let power = 10u64.checked_pow(u32::from(more))?;
    // The bits of all magnitudes, each at most doubled less one; a sum that is not an i64 sets the upper ones.
    let magnitudes = sums.iter().fold(0u64, |bits, &sum| {
        let low = sum as i64;
        let wide = (sum >> 64) as i64 ^ (low >> 63);
        bits | (low ^ (low >> 63)) as u64 | wide as u64
    });
    let greatest = counts.iter().fold(0u64, |bits, &count| bits | count as u64);
    let bits = |number: u64| 64 - number.leading_zeros();
    // 2 * |sum| * power + count and 2 * count, with room for the sum of -2^n that counts as 2^n - 1.
    let is_small = bits(magnitudes) + 1 + bits(2 * power) < 52 && bits(greatest) + 1 < 51;
    if !is_small {
        for ((out, &sum), &count) in out.iter_mut().zip(sums).zip(counts) {
            *out = fit(decimal_mean(sum, count as u64, more)?)?;
        }
        return Some(());
    }
    let factor = (2 * power) as f64;
    for ((out, &sum), &count) in out.iter_mut().zip(sums).zip(counts) {
        let sum = sum as i64;
        let sign = sum >> 63;
        let whole = |number: u64| f64::from_bits(number | POINT_BITS) - POINT;
        let (magnitude, count) = (whole(((sum ^ sign) - sign) as u64), whole(count as u64));
        let quotient = (magnitude * factor + count) / (count + count);
        // To the nearest whole number, and one back where that lies above.
        let nearest = quotient + POINT;
        let above = nearest - POINT > quotient;
        let mean = (nearest.to_bits() & LOWER_BITS) as i64 - i64::from(above);
        *out = short((mean ^ sign) - sign);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn agrees(sums: &[i128], counts: &[i64], more: u8) {
        let expected: Option<Vec<i128>> =
            sums.iter().zip(counts).map(|(&sum, &count)| decimal_mean(sum, count as u64, more)).collect();
        let mut out = vec![0i128; sums.len()];
        let done = decimal_means(sums, counts, more, &mut out, Some, i128::from);
        assert_eq!(done.map(|()| out), expected, "{sums:?} {counts:?} {more}");
    }

    #[test]
    fn halves_go_away_from_zero() {
        agrees(&[1, -1, 3, -3, 5, 7, 0, 99, -99], &[2, 2, 2, 2, 10, 2, 5, 100, 100], 0);
        agrees(&[15, -15, 25], &[1000, 1000, 1000], 1);
    }

    proptest! {
        #[test]
        fn columns_agree_with_single_means(
            rows in prop::collection::vec((any::<i64>(), 0u32..100, 1i64..1000), 1..40),
            shift in 0u32..64,
            more in 0u8..10,
        ) {
            let sums: Vec<i128> = rows.iter().map(|row| i128::from(row.0 >> shift.max(row.1.min(63)))).collect();
            let counts: Vec<i64> = rows.iter().map(|row| row.2).collect();
            agrees(&sums, &counts, more);
        }

        /// Numbers around the bound up to which doubles are used.
        #[test]
        fn large_small_numbers_agree(
            rows in prop::collection::vec((-(1i64 << 36)..1 << 36, 1i64..1 << 40), 1..20),
            more in 3u8..6,
        ) {
            let sums: Vec<i128> = rows.iter().map(|row| i128::from(row.0)).collect();
            agrees(&sums, &rows.iter().map(|row| row.1).collect::<Vec<_>>(), more);
        }
    }
}
