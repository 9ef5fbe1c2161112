//! Lines of CSV into a file.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use crate::WINDOW_MS;
use crate::read::Name;
use crate::totals::Totals;

/// Bytes gathered before they are written.
const BLOCK_BYTES: usize = 1 << 18;
/// An average has six decimals, sums of cents two: this times the cents.
const MICROS_PER_CENT: i64 = 10_000;

pub struct Writer {
    file: File,
    line: Vec<u8>,
    digits: itoa::Buffer,
    /// The minute whose start and end are in `window`, as text with a comma behind it.
    minute: u64,
    window: Vec<u8>,
}

impl Writer {
    pub fn create(to: &Path, header: &str) -> Writer {
        let file = File::create(to).expect("the output folder is there");
        let mut line = Vec::with_capacity(2 * BLOCK_BYTES);
        line.extend_from_slice(header.as_bytes());
        line.push(b'\n');
        Writer { file, line, digits: itoa::Buffer::new(), minute: u64::MAX, window: Vec::new() }
    }

    fn name(&mut self, name: Name) {
        let bytes = name.to_le_bytes();
        self.line.extend_from_slice(&bytes[..usize::from(bytes[15])]);
        self.line.push(b',');
    }

    pub fn names(&mut self, trader: Name, symbol: Name) {
        self.name(trader);
        self.name(symbol);
    }

    pub fn window(&mut self, minute: u64) {
        if minute != self.minute {
            self.minute = minute;
            self.window = format!("{},{},", stamp(minute), stamp(minute + 1)).into_bytes();
        }
        self.line.extend_from_slice(&self.window);
    }

    fn integer(&mut self, value: i64) {
        self.line.extend_from_slice(self.digits.format(value).as_bytes());
        self.line.push(b',');
    }

    fn decimal(&mut self, value: i64, unit: i64) {
        if value < 0 {
            self.line.push(b'-');
        }
        let value = value.unsigned_abs();
        let unit = unit as u64;
        self.line.extend_from_slice(self.digits.format(value / unit).as_bytes());
        self.line.push(b'.');
        let places = self.digits.format(unit + value % unit).as_bytes();
        self.line.extend_from_slice(&places[1..]);
        self.line.push(b',');
    }

    pub fn totals(&mut self, totals: &Totals) {
        let twice = 2 * totals.trades;
        let average = (2 * totals.price_cents * MICROS_PER_CENT + totals.trades).div_euclid(twice);
        self.integer(totals.trades);
        self.decimal(average, 1_000_000);
        self.integer(totals.volume);
        self.decimal(totals.turnover_cents, 100);
    }

    pub fn range(&mut self, totals: &Totals) {
        self.decimal(totals.least_cents.into(), 100);
        self.decimal(totals.greatest_cents.into(), 100);
    }

    /// Ends the line in place of its last comma.
    pub fn end(&mut self) {
        *self.line.last_mut().expect("a line has fields") = b'\n';
        if self.line.len() >= BLOCK_BYTES {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.file.write_all(&self.line).expect("the output can be written");
        self.line.clear();
    }

    pub fn finish(mut self) {
        self.flush();
    }
}

/// The start of a minute since 1970: year, month and day by counting days from the first of March.
fn stamp(minute: u64) -> String {
    const DAYS_TO_1970: u64 = 719_468; // From the first of March of the year 0.
    let of_day = minute % 1440;
    let days = minute * WINDOW_MS / 86_400_000 + DAYS_TO_1970;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let months = (5 * of_year + 2) / 153;
    let day = of_year - (153 * months + 2) / 5 + 1;
    let month = if months < 10 { months + 3 } else { months - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:00.000Z", of_day / 60, of_day % 60)
}
