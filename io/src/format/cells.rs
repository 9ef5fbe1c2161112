//! Values to text a column at a time, as cells of fixed width that rows are then put together from.
//!
//! Formatting a row field by field asks for every field what it is, and every number how long it is.
//! A column answers the first question once; the second is answered without a branch: eight digits
//! are spelled by three multiplications in one word, and the leading zeros shifted out of it. A cell
//! holds the text and the separator behind it, so a row is one copy of 32 bytes per field.

use corelane_engine::batch::{Data, Text, Vector};
use corelane_engine::types::DataType;
use corelane_engine::zone::Zone;

use crate::csv::Kernel;

use super::buffer::Buffer;
use super::digits::{self, ZEROS, digits8};
use super::value::{self, Dates};

/// Rows whose cells are made at a time: those of ten columns stay within the first-level cache.
pub(super) const ROWS: usize = digits::LANES;
/// Bytes of a cell.
pub(super) const WIDTH: usize = 32;
/// The length of a cell whose text does not fit, or is not made here.
pub(super) const LONG: u8 = u8::MAX;
/// Numbers below it have eight digits at most.
const EIGHT: u64 = 100_000_000;

/// The cells of one column for up to [`ROWS`] rows.
#[derive(Debug)]
pub(super) struct Cells {
    pub text: [[u8; WIDTH]; ROWS],
    /// Bytes of each, separator included; or [`LONG`].
    pub len: [u8; ROWS],
    /// The greatest of those lengths.
    pub longest: u8,
    kernel: Kernel,
    delimiter: u8,
    spelled: digits::Short,
    slow: Buffer,
    dates: Dates,
    /// The last time written, its cell and how long that is: windows repeat theirs row after row.
    last: (i64, [u8; WIDTH], u8),
}

impl Cells {
    /// Empty cells that `kernel` fills, of rows whose fields `delimiter` separates.
    pub fn new(kernel: Kernel, delimiter: u8) -> Self {
        Cells {
            kernel,
            delimiter,
            text: [[0; WIDTH]; ROWS],
            len: [0; ROWS],
            longest: 0,
            spelled: digits::Short::default(),
            slow: Buffer::default(),
            dates: Dates::default(),
            last: (0, [0; WIDTH], 0),
        }
    }

    /// Fills the cells with `count` rows of `column` from row `first` on, each ended by `separator`.
    pub fn fill(&mut self, column: &Vector<'_>, data_type: DataType, first: usize, count: usize, separator: u8) {
        let rows = first..first + count;
        match (&column.data, data_type) {
            (Data::I64(values), DataType::Timestamp { precision, zone }) => {
                self.timestamps(&values[rows.clone()], precision, zone, separator);
            }
            (Data::I64(values), DataType::Int | DataType::BigInt | DataType::Decimal { .. }) => {
                let values = &values[rows.clone()];
                let mut numbers = [0; ROWS];
                numbers.iter_mut().zip(values).for_each(|(number, &value)| *number = value as u64);
                if !self.decimals(&numbers, data_type.scale(), separator) {
                    self.mixed(values.iter().map(|&value| Some(value)), data_type.scale(), separator);
                }
            }
            (Data::I128(values), _) => self.wide(&values[rows.clone()], data_type.scale(), separator),
            (Data::Text(_), data_type) if data_type.is_nested() => self.len[..count].fill(LONG),
            (Data::Text(values), _) => self.texts(&values[rows.clone()], separator),
            (other, _) => {
                for (cell, row) in rows.clone().enumerate() {
                    self.slow.clear();
                    super::plain(&mut self.dates, data_type, other, row, &mut self.slow);
                    self.keep(cell, separator);
                }
            }
        }
        if column.nulls.is_some() {
            for (cell, row) in rows.enumerate() {
                if column.is_null(row) {
                    self.text[cell][0] = separator;
                    self.len[cell] = 1;
                }
            }
        }
        self.longest = self.len[..count].iter().fold(0, |most, &len| most.max(len));
    }

    /// Decimals of 128 bits, of which nearly all would fit in 64.
    fn wide(&mut self, values: &[i128], scale: u8, separator: u8) {
        let (mut numbers, mut upper) = ([0; ROWS], 0);
        for (number, &value) in numbers.iter_mut().zip(values) {
            *number = value as u64;
            upper |= (value >> 64) as i64 ^ (value as i64 >> 63);
        }
        if upper == 0 && self.decimals(&numbers, scale, separator) {
            return;
        }
        self.mixed(values.iter().map(|&value| i64::try_from(value).ok()), scale, separator);
        for (cell, &value) in values.iter().enumerate() {
            if self.len[cell] == LONG {
                self.slow.clear();
                value::wide_decimal(&mut self.slow, value, scale);
                self.keep(cell, separator);
            }
        }
    }

    /// Texts that need no quotes and fit; the others are left [`LONG`].
    fn texts(&mut self, values: &[Text<'_>], separator: u8) {
        let (mut views, mut marks) = ([[0; 2]; ROWS], [false; ROWS]);
        views.iter_mut().zip(values).for_each(|(view, text)| *view = text.words());
        digits::special(self.kernel, &views, self.delimiter, &mut marks);
        for (cell, [low, high]) in views[..values.len()].iter().enumerate() {
            let text = &mut self.text[cell];
            text[..8].copy_from_slice(&(low >> 32 | high << 32).to_le_bytes());
            text[8..16].copy_from_slice(&(high >> 32).to_le_bytes());
            let len = (*low as u32 & 15) as usize;
            text[len] = separator;
            self.len[cell] = if marks[cell] { LONG } else { len as u8 + 1 };
        }
    }

    /// Makes a cell of what was written apart, if it fits.
    fn keep(&mut self, cell: usize, separator: u8) {
        let len = self.slow.len();
        self.len[cell] = LONG;
        if len < WIDTH {
            self.text[cell][..len].copy_from_slice(self.slow.bytes());
            self.text[cell][len] = separator;
            self.len[cell] = len as u8 + 1;
        }
    }

    /// `number / 10^scale`. Most numbers of a column are not negative and have few digits: those are
    /// spelled together. Returns `false` if these are others.
    fn decimals(&mut self, numbers: &[u64; ROWS], scale: u8, separator: u8) -> bool {
        // A negative number is as good as a huge one.
        let mut greatest = 0;
        digits::greatest(self.kernel, numbers, &mut greatest);
        let Some(unit) = 10u64.checked_pow(u32::from(scale)) else { return false };
        if greatest <= u64::from(u32::MAX) && greatest / EIGHT < unit {
            return self.short(numbers, scale, separator);
        }
        if greatest > i64::MAX as u64 || greatest / unit >= EIGHT * EIGHT {
            return false;
        }
        match scale {
            0 => self.long::<0>(numbers, separator),
            1 => self.long::<1>(numbers, separator),
            2 => self.long::<2>(numbers, separator),
            3 => self.long::<3>(numbers, separator),
            4 => self.long::<4>(numbers, separator),
            6 => self.long::<6>(numbers, separator),
            _ => return false,
        }
        true
    }

    /// Numbers of one word before the point, and one behind it.
    fn short(&mut self, numbers: &[u64; ROWS], scale: u8, separator: u8) -> bool {
        if !digits::short(self.kernel, numbers, scale, separator, &mut self.spelled) {
            return false;
        }
        let digits::Short { heads, tails, len } = &self.spelled;
        let behind = if scale > 0 { scale + 2 } else { 1 };
        let words = heads.iter().zip(tails).zip(len);
        for ((text, to), ((head, tail), &len)) in self.text.iter_mut().zip(&mut self.len).zip(words) {
            text[..8].copy_from_slice(&head.to_le_bytes());
            let at = usize::from(len & 15);
            text[at..at + 8].copy_from_slice(&tail.to_le_bytes());
            *to = len + behind;
        }
        true
    }

    /// Numbers of up to sixteen digits before the point.
    fn long<const SCALE: u32>(&mut self, numbers: &[u64; ROWS], separator: u8) {
        let unit = 10u64.pow(SCALE);
        let (mut high, mut low, mut part) = ([0u32; ROWS], [0u32; ROWS], [0u32; ROWS]);
        for (row, &number) in numbers.iter().enumerate() {
            let whole = number / unit;
            part[row] = (number % unit) as u32;
            (high[row], low[row]) = ((whole / EIGHT) as u32, (whole % EIGHT) as u32);
        }
        let (mut first, mut second) = ([0u64; ROWS], [0u64; ROWS]);
        digits::significant(self.kernel, &high, &mut first, &mut self.len);
        digits::eight(self.kernel, &low, &mut second);
        for row in 0..ROWS {
            let text = &mut self.text[row];
            text[..8].copy_from_slice(&first[row].to_le_bytes());
            let at = usize::from(self.len[row] & 15);
            text[at..at + 8].copy_from_slice(&second[row].to_le_bytes());
            self.len[row] += 8;
        }
        if high.contains(&0) {
            let (mut short, mut short_len) = ([0u64; ROWS], [0u8; ROWS]);
            digits::significant(self.kernel, &low, &mut short, &mut short_len);
            for row in (0..ROWS).filter(|&row| high[row] == 0) {
                self.text[row][..8].copy_from_slice(&short[row].to_le_bytes());
                self.len[row] = short_len[row];
            }
        }
        self.tails::<SCALE>(&part, separator);
    }

    /// Puts point, digits and separator behind what is spelled.
    fn tails<const SCALE: u32>(&mut self, part: &[u32; ROWS], separator: u8) {
        let mut tails = [u64::from(separator); ROWS];
        if SCALE > 0 {
            digits::eight(self.kernel, &part.map(|part| part * 10u32.pow(8 - SCALE)), &mut tails);
            let mask = u64::MAX >> (64 - 8 * SCALE);
            for tail in &mut tails {
                *tail = u64::from(b'.') | (*tail & mask) << 8 | u64::from(separator) << (8 * (SCALE + 1));
            }
        }
        for ((text, len), tail) in self.text.iter_mut().zip(&mut self.len).zip(&tails) {
            let at = usize::from(*len & 31).min(WIDTH - 8);
            text[at..at + 8].copy_from_slice(&tail.to_le_bytes());
            *len += if SCALE > 0 { SCALE as u8 + 2 } else { 1 };
        }
    }

    /// Numbers of any sign and length, one by one; `None` is left [`LONG`].
    fn mixed(&mut self, values: impl Iterator<Item = Option<i64>>, scale: u8, separator: u8) {
        match scale {
            0 => self.each::<0>(values, separator),
            1 => self.each::<1>(values, separator),
            2 => self.each::<2>(values, separator),
            3 => self.each::<3>(values, separator),
            4 => self.each::<4>(values, separator),
            6 => self.each::<6>(values, separator),
            _ => {
                for (cell, value) in values.enumerate() {
                    self.len[cell] = LONG;
                    if let (Some(value), 0..=18) = (value, scale) {
                        self.slow.clear();
                        value::decimal(&mut self.slow, value, scale);
                        self.keep(cell, separator);
                    }
                }
            }
        }
    }

    fn each<const SCALE: u32>(&mut self, values: impl Iterator<Item = Option<i64>>, separator: u8) {
        for (cell, value) in values.enumerate().take(ROWS) {
            let Some(value) = value else {
                self.len[cell] = LONG;
                continue;
            };
            let all = value.unsigned_abs();
            let (whole, part) = (all / 10u64.pow(SCALE), all % 10u64.pow(SCALE));
            if whole >= EIGHT * EIGHT || (value < 0 && whole >= EIGHT) {
                self.slow.clear();
                value::decimal(&mut self.slow, value, SCALE as u8);
                self.keep(cell, separator);
                continue;
            }
            // What stands before the point, as text in one word or two.
            let (mut text, mut len) = if whole < EIGHT {
                let (digits, len) = significant(whole);
                (u128::from(digits), len)
            } else {
                let (digits, len) = significant(whole / EIGHT);
                let rest = u128::from(digits8((whole % EIGHT) as u32) | ZEROS);
                (u128::from(digits) | rest << (8 * len), len + 8)
            };
            if value < 0 {
                text = text << 8 | u128::from(b'-');
                len += 1;
            }
            let cell_text = &mut self.text[cell];
            cell_text[..16].copy_from_slice(&text.to_le_bytes());
            // And behind it: point, digits, separator.
            let mut tail = u64::from(separator);
            if SCALE > 0 {
                let digits = digits8(part as u32 * 10u32.pow(8 - SCALE)) | ZEROS;
                let digits = digits & (u64::MAX >> (64 - 8 * SCALE));
                tail = u64::from(b'.') | digits << 8 | tail << (8 * (SCALE + 1));
            }
            cell_text[len as usize..len as usize + 8].copy_from_slice(&tail.to_le_bytes());
            self.len[cell] = (len + if SCALE > 0 { SCALE + 2 } else { 1 }) as u8;
        }
    }

    fn timestamps(&mut self, values: &[i64], precision: u8, zone: Option<Zone>, separator: u8) {
        for (cell, &value) in values.iter().enumerate() {
            if self.last.0 == value && self.last.2 > 0 {
                (self.text[cell], self.len[cell]) = (self.last.1, self.last.2);
                continue;
            }
            let (text, len) = self.dates.padded_timestamp(value, precision, zone);
            if len < WIDTH {
                self.text[cell].copy_from_slice(&text[..WIDTH]);
                self.text[cell][len] = separator;
                self.len[cell] = len as u8 + 1;
                self.last = (value, self.text[cell], self.len[cell]);
            } else {
                self.len[cell] = LONG;
            }
        }
    }
}

/// The text of a number below 10^8 without leading zeros, and its length, at least 1.
#[inline]
fn significant(number: u64) -> (u64, u32) {
    let digits = digits8(number as u32);
    let zeros = (digits.trailing_zeros() / 8).min(7);
    ((digits | ZEROS) >> (8 * zeros), 8 - zeros)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agrees(values: &[i64], scale: u8) {
        for (kernel, values) in
            Kernel::supported().into_iter().flat_map(|kernel| values.chunks(ROWS).map(move |part| (kernel, part)))
        {
            let mut cells = Cells::new(kernel, b';');
            let column = Vector { data: Data::I64(values), nulls: None };
            cells.fill(&column, DataType::Decimal { precision: 18, scale }, 0, values.len(), b';');
            for (cell, &value) in values.iter().enumerate() {
                let mut plain = Buffer::default();
                value::decimal(&mut plain, value, scale);
                plain.push(b';');
                let len = usize::from(cells.len[cell]);
                assert_eq!(&cells.text[cell][..len], plain.bytes(), "{value} of scale {scale}");
            }
        }
    }

    #[test]
    fn cells_spell_what_single_values_do() {
        let mut values = vec![0, 1, -1, i64::MIN, i64::MAX];
        for power in 0..19 {
            let ten = 10i64.pow(power);
            values.extend([ten - 1, ten, ten + 1, -ten, 1 - ten, ten / 2 * 3]);
        }
        let mut random = 1u64;
        for _ in 0..2000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            values.push(random as i64 >> (random >> 58));
        }
        for scale in 0..=18 {
            agrees(&values, scale);
        }
    }
}
