//! The digits of a column of numbers, and the bytes of a column of texts, looked at in all lanes of a
//! vector at once.
//!
//! The loops are plain Rust over arrays, compiled once for the least machine and again with AVX2 and
//! AVX-512, and chosen as the reader's kernels are. Eight digits are spelled by three multiplications
//! in one word: halves, quarters and single digits are split off in all its parts at once.

#![allow(unsafe_code, reason = "the same loops compiled for wider vectors")]

#[cfg(target_arch = "x86_64")]
use crate::csv::Choice;
use crate::csv::Kernel;

/// Numbers or texts looked at in one call.
pub(super) const LANES: usize = 64;

/// `00000000`.
pub(super) const ZEROS: u64 = 0x3030_3030_3030_3030;

/// Declares a function that runs `$plain` compiled for the kernel.
macro_rules! for_kernels {
    ($(#[$doc:meta])* $name:ident, $plain:ident, ($($argument:ident: $type:ty),*)) => {
        $(#[$doc])*
        pub(super) fn $name(kernel: Kernel, $($argument: $type),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
                fn avx2($($argument: $type),*) {
                    $plain($($argument),*);
                }
                #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,bmi1,bmi2,lzcnt,popcnt")]
                fn avx512($($argument: $type),*) {
                    $plain($($argument),*);
                }
                match kernel.choice() {
                    // SAFETY: `Kernel::supported` made it, having asked the CPU.
                    Choice::Avx512 => return unsafe { avx512($($argument),*) },
                    // SAFETY: as above.
                    Choice::Avx2 => return unsafe { avx2($($argument),*) },
                    Choice::Scalar => {}
                }
            }
            let _ = kernel;
            $plain($($argument),*);
        }
    };
}

for_kernels! {
    /// Spells `numbers`, each below 10^8, without leading zeros (but for `0`): text, first digit in the
    /// lowest byte, and its length.
    significant, significant_plain, (numbers: &[u32; LANES], text: &mut [u64; LANES], len: &mut [u8; LANES])
}

for_kernels! {
    /// Spells the eight digits of `numbers`, each below 10^8.
    eight, eight_plain, (numbers: &[u32; LANES], text: &mut [u64; LANES])
}

for_kernels! {
    /// The greatest of `numbers`.
    greatest, greatest_plain, (numbers: &[u64; LANES], most: &mut u64)
}

/// Declares [`short`] for one number of digits behind the point.
macro_rules! short_of_scale {
    ($($name:ident $plain:ident $scale:literal),*) => {
        $(
            for_kernels! {
                /// [`short`] of this scale.
                $name, $plain, (numbers: &[u64; LANES], separator: u8, short: &mut Short)
            }

            #[inline(always)]
            fn $plain(numbers: &[u64; LANES], separator: u8, short: &mut Short) {
                short_plain::<$scale>(numbers, separator, short);
            }
        )*

        /// Spells `numbers / 10^scale`, each below 2^32 and of at most eight digits before the point.
        /// Returns `false` where there is no such loop.
        pub(super) fn short(kernel: Kernel, numbers: &[u64; LANES], scale: u8, separator: u8, to: &mut Short) -> bool {
            match scale {
                $($scale => $name(kernel, numbers, separator, to),)*
                _ => return false,
            }
            true
        }
    };
}

short_of_scale!(short0 short0_plain 0, short1 short1_plain 1, short2 short2_plain 2, short3 short3_plain 3,
    short4 short4_plain 4, short5 short5_plain 5, short6 short6_plain 6);

/// Numbers spelled in two words each.
#[derive(Debug)]
pub(super) struct Short {
    /// What stands before the point, the first digit in the lowest byte.
    pub heads: [u64; LANES],
    /// Point, digits and separator.
    pub tails: [u64; LANES],
    /// Bytes of the head.
    pub len: [u8; LANES],
}

impl Default for Short {
    fn default() -> Self {
        Short { heads: [0; LANES], tails: [0; LANES], len: [0; LANES] }
    }
}

for_kernels! {
    /// Marks the texts, given as views, that cannot be written as they are: empty, longer than a view
    /// holds, or with a byte that needs quotes.
    special, special_plain, (views: &[[u64; 2]; LANES], delimiter: u8, marks: &mut [bool; LANES])
}

#[inline(always)]
fn significant_plain(numbers: &[u32; LANES], text: &mut [u64; LANES], len: &mut [u8; LANES]) {
    for ((&number, text), len) in numbers.iter().zip(text).zip(len) {
        let digits = 1
            + u32::from(number >= 10)
            + u32::from(number >= 100)
            + u32::from(number >= 1_000)
            + u32::from(number >= 10_000)
            + u32::from(number >= 100_000)
            + u32::from(number >= 1_000_000)
            + u32::from(number >= 10_000_000);
        *text = (digits8(number) | ZEROS) >> (64 - 8 * digits);
        *len = digits as u8;
    }
}

#[inline(always)]
fn greatest_plain(numbers: &[u64; LANES], most: &mut u64) {
    *most = numbers.iter().fold(0, |most, &number| most.max(number));
}

#[inline(always)]
fn short_plain<const SCALE: u32>(numbers: &[u64; LANES], separator: u8, short: &mut Short) {
    let (unit, up) = (10u32.pow(SCALE), 10u32.pow(8 - SCALE));
    let (mut wholes, mut parts) = ([0u32; LANES], [0u32; LANES]);
    for ((&number, whole), part) in numbers.iter().zip(&mut wholes).zip(&mut parts) {
        let number = number as u32;
        *whole = number / unit;
        *part = (number - *whole * unit) * up;
    }
    significant_plain(&wholes, &mut short.heads, &mut short.len);
    let end = u64::from(separator) << (8 * (SCALE + 1) % 64);
    for (&part, tail) in parts.iter().zip(&mut short.tails) {
        *tail = match SCALE {
            0 => u64::from(separator),
            _ => u64::from(b'.') | ((digits8(part) | ZEROS) & (u64::MAX >> (64 - 8 * SCALE))) << 8 | end,
        };
    }
}

#[inline(always)]
fn eight_plain(numbers: &[u32; LANES], text: &mut [u64; LANES]) {
    for (&number, text) in numbers.iter().zip(text) {
        *text = digits8(number) | ZEROS;
    }
}

#[inline(always)]
fn special_plain(views: &[[u64; 2]; LANES], delimiter: u8, marks: &mut [bool; LANES]) {
    for (&[low, high], mark) in views.iter().zip(marks) {
        let len = low as u32;
        // The length is no text: blank it out with a letter that is never special.
        let low = (low & 0xFFFF_FFFF_0000_0000) | 0x6161_6161;
        let found =
            |word| has_byte(word, delimiter) | has_byte(word, b'"') | has_byte(word, b'\r') | has_byte(word, b'\n');
        *mark = (len.wrapping_sub(1) >= 12) | ((found(low) | found(high)) != 0);
    }
}

/// The eight decimal digits of a number below 10^8, one a byte, the first lowest.
#[inline(always)]
pub(super) fn digits8(number: u32) -> u64 {
    let high = number / 10_000;
    let halves = u64::from(high) | u64::from(number - high * 10_000) << 32;
    let hundreds = ((halves * 10_486) >> 20) & 0x7F_0000_007F;
    let pairs = hundreds | (halves - 100 * hundreds) << 16;
    let tens = ((pairs * 103) >> 10) & 0x000F_000F_000F_000F;
    tens | (pairs - 10 * tens) << 8
}

/// Not 0 if one of the word's bytes is `byte` (Mycroft's test for a zero byte).
#[inline(always)]
fn has_byte(word: u64, byte: u8) -> u64 {
    let difference = word ^ (u64::from(byte) * 0x0101_0101_0101_0101);
    difference.wrapping_sub(0x0101_0101_0101_0101) & !difference & 0x8080_8080_8080_8080
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_spells_every_number() {
        let numbers = (0..100_000_000u32).step_by(997).chain([99_999_999, 1, 9, 10, 99, 100, 9999, 10_000]);
        let numbers: Vec<u32> = numbers.collect();
        for kernel in Kernel::supported() {
            for part in numbers.chunks(LANES) {
                let mut lanes = [0; LANES];
                lanes[..part.len()].copy_from_slice(part);
                let (mut text, mut whole, mut len) = ([0; LANES], [0; LANES], [0; LANES]);
                significant(kernel, &lanes, &mut text, &mut len);
                eight(kernel, &lanes, &mut whole);
                for (lane, number) in part.iter().enumerate() {
                    let digits = usize::from(len[lane]);
                    assert_eq!(&text[lane].to_le_bytes()[..digits], number.to_string().as_bytes());
                    assert_eq!(whole[lane].to_le_bytes(), format!("{number:08}").as_bytes());
                }
            }
        }
    }

    #[test]
    fn every_kernel_finds_what_needs_quotes() {
        let plain: &[&[u8]] = &[b"a", b"twelve bytes", b"\xe2\x82\xac", b"{}~ '\x0b\x0c\x0e"];
        let marked: &[&[u8]] =
            &[b"", b"thirteen byte", b"a;b", b"\"", b"line\n", b"elevenbytes\r", b";", b"12345678901;"];
        for kernel in Kernel::supported() {
            for (texts, expected) in [(plain, false), (marked, true)] {
                let (mut views, mut marks) = ([[1, 0]; LANES], [false; LANES]);
                for (view, text) in views.iter_mut().zip(texts) {
                    *view = corelane_engine::batch::Text::new(text).words();
                }
                special(kernel, &views, b';', &mut marks);
                assert!(marks[..texts.len()].iter().all(|&mark| mark == expected), "{texts:?} {marks:?}");
            }
        }
    }
}
