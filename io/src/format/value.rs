//! Single values as text: numbers, decimals, times. Shared by all formats.

use corelane_engine::types::{DataType, MICROS_PER_DAY, MICROS_PER_SECOND};
use corelane_engine::zone::{Offsets, Zone, write_offset};

use super::buffer::Buffer;

const PAIRS: &[u8; 200] = b"0001020304050607080910111213141516171819\
2021222324252627282930313233343536373839\
4041424344454647484950515253545556575859\
6061626364656667686970717273747576777879\
8081828384858687888990919293949596979899";

/// Most bytes of an `i64` with sign and point.
const I64_BYTES: usize = 24;

/// Writes a whole number.
#[inline]
pub fn integer(out: &mut Buffer, value: i64) {
    decimal(out, value, 0);
}

/// Writes `value / 10^scale` with exactly `scale` digits behind the point.
#[inline]
pub fn decimal(out: &mut Buffer, value: i64, scale: u8) {
    let scale = usize::from(scale);
    let mut text = [0u8; I64_BYTES];
    let mut at = I64_BYTES;
    let mut rest = value.unsigned_abs();
    if scale == 2 {
        // The commonest scale, money, has its own way: the point stands before the last pair.
        let pair = (rest % 100) as usize * 2;
        rest /= 100;
        text[at - 2..at].copy_from_slice(&PAIRS[pair..pair + 2]);
        text[at - 3] = b'.';
        at = digits(&mut text, at - 3, rest);
    } else if scale == 0 {
        at = digits(&mut text, at, rest);
    } else {
        let mut left = scale;
        while left > 0 {
            at -= 1;
            text[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            left -= 1;
        }
        at -= 1;
        text[at] = b'.';
        at = digits(&mut text, at, rest);
    }
    if value < 0 {
        at -= 1;
        text[at] = b'-';
    }
    let len = I64_BYTES - at;
    let room = out.room(I64_BYTES);
    room[..len].copy_from_slice(&text[at..]);
    out.advance(len);
}

/// Writes the digits of `rest` so that they end before `at`, at least one; returns where they begin.
#[inline]
fn digits<const N: usize>(text: &mut [u8; N], mut at: usize, mut rest: u64) -> usize {
    while rest >= 100 {
        let pair = (rest % 100) as usize * 2;
        rest /= 100;
        at -= 2;
        text[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    }
    if rest >= 10 {
        let pair = rest as usize * 2;
        at -= 2;
        text[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    } else {
        at -= 1;
        text[at] = b'0' + rest as u8;
    }
    at
}

/// Writes `value / 10^scale`; values that fit take the short way.
#[inline]
pub fn wide_decimal(out: &mut Buffer, value: i128, scale: u8) {
    if let (Ok(short), true) = (i64::try_from(value), scale <= 18) {
        return decimal(out, short, scale);
    }
    let mut text = itoa::Buffer::new();
    let digits = text.format(value.unsigned_abs()).as_bytes();
    let scale = usize::from(scale);
    if value < 0 {
        out.push(b'-');
    }
    let whole = digits.len().saturating_sub(scale);
    out.extend(if whole == 0 { b"0" } else { &digits[..whole] });
    if scale > 0 {
        out.push(b'.');
        for _ in digits.len()..scale {
            out.push(b'0');
        }
        out.extend(&digits[whole..]);
    }
}

/// Writes a double as the shortest text that reads back as the same: `5.0`, `1e300`, `NaN`, `inf`.
pub fn double(out: &mut Buffer, value: f64) {
    if value.is_nan() {
        out.extend(b"NaN");
    } else if value.is_infinite() {
        out.extend(if value > 0.0 { b"inf" } else { b"-inf" });
    } else {
        out.extend(zmij::Buffer::new().format_finite(value).as_bytes());
    }
}

/// Writes dates and times; remembers the last day's date, since times mostly share their day.
#[derive(Clone, Debug)]
pub struct Dates {
    day: i64,
    text: [u8; 16],
    len: usize,
    /// Of the last instant that was not in UTC.
    zoned: Zoned,
}

/// An offset, and its text.
#[derive(Clone, Debug)]
struct Zoned {
    zone: Zone,
    offsets: Offsets,
    offset: i64,
    text: [u8; 9],
    len: usize,
}

impl Default for Dates {
    fn default() -> Self {
        let offsets = Zone::UTC.by_instant();
        let zoned = Zoned { zone: Zone::UTC, offsets, offset: 0, text: *b"+00:00   ", len: 6 };
        Dates { day: i64::MIN, text: [0; 16], len: 0, zoned }
    }
}

impl Zoned {
    /// Microseconds that clocks of `zone` are ahead of UTC; their text is kept.
    fn offset(&mut self, micros: i64, zone: Zone) -> i64 {
        if self.zone != zone {
            (self.zone, self.offsets) = (zone, zone.by_instant());
        }
        let offset = self.offsets.at(micros);
        if offset != self.offset {
            let mut text = String::new();
            write_offset(&mut text, offset);
            self.offset = offset;
            self.len = text.len().min(self.text.len());
            self.text[..self.len].copy_from_slice(&text.as_bytes()[..self.len]);
        }
        offset
    }
}

impl Dates {
    /// Writes the date `day` days after 1970-01-01 as `2026-01-02`.
    #[inline]
    pub fn date(&mut self, out: &mut Buffer, day: i64) {
        if self.day != day {
            self.look_up(day);
        }
        out.extend_short(self.text, self.len);
    }

    #[cold]
    fn look_up(&mut self, day: i64) {
        let epoch = jiff::civil::date(1970, 1, 1);
        let date =
            i32::try_from(day).ok().and_then(|day| epoch.checked_add(jiff::Span::new().try_days(day).ok()?).ok());
        // Years beyond the calendar's are shown as days, so that nothing is hidden.
        let text = date.map_or_else(|| format!("day {day}"), |date| date.to_string());
        self.text = [0; 16];
        self.len = text.len().min(16);
        self.text[..self.len].copy_from_slice(&text.as_bytes()[..self.len]);
        self.day = day;
    }

    /// Writes microseconds since the epoch as `2026-01-02 03:04:05.678`, with `precision` digits of
    /// a second; an instant as clocks of its zone show it, with `Z` in UTC, else with the offset.
    #[inline]
    pub fn timestamp(&mut self, out: &mut Buffer, micros: i64, precision: u8, zone: Option<Zone>) {
        let (text, len) = self.padded_timestamp(micros, precision, zone);
        out.room(len).copy_from_slice(&text[..len]);
        out.advance(len);
    }

    /// The same text with bytes of no meaning behind it, and its length.
    #[inline]
    pub(super) fn padded_timestamp(&mut self, micros: i64, precision: u8, zone: Option<Zone>) -> ([u8; 48], usize) {
        let offset = match zone {
            Some(zone) if !zone.is_utc() => self.zoned.offset(micros, zone),
            _ => 0,
        };
        let micros = micros.saturating_add(offset);
        let day = micros.div_euclid(MICROS_PER_DAY);
        if self.day != day {
            self.look_up(day);
        }
        let within = micros.rem_euclid(MICROS_PER_DAY) as u64;
        let (seconds, fraction) =
            ((within / MICROS_PER_SECOND as u64) as u32, (within % MICROS_PER_SECOND as u64) as u32);
        let mut time = *b" 00:00:00.000000";
        for (place, part) in [(1, seconds / 3600), (4, seconds / 60 % 60), (7, seconds % 60)] {
            time[place..place + 2].copy_from_slice(&PAIRS[part as usize * 2..part as usize * 2 + 2]);
        }
        for (place, part) in [(10, fraction / 10_000), (12, fraction / 100 % 100), (14, fraction % 100)] {
            time[place..place + 2].copy_from_slice(&PAIRS[part as usize * 2..part as usize * 2 + 2]);
        }
        let mut text = [0; 48];
        text[..16].copy_from_slice(&self.text);
        text[self.len..self.len + 16].copy_from_slice(&time);
        let mut len = self.len + if precision == 0 { 9 } else { 10 + usize::from(precision.min(6)) };
        match zone {
            Some(zone) if zone.is_utc() => {
                text[len] = b'Z';
                len += 1;
            }
            Some(_) => {
                text[len..len + 9].copy_from_slice(&self.zoned.text);
                len += self.zoned.len;
            }
            None => {}
        }
        (text, len)
    }

    /// Writes a value of an `i64` shape.
    #[inline]
    pub fn i64(&mut self, out: &mut Buffer, data_type: DataType, value: i64) {
        match data_type {
            DataType::Boolean => out.extend(if value != 0 { b"true" } else { b"false" }),
            DataType::Decimal { scale, .. } => decimal(out, value, scale),
            DataType::Timestamp { precision, zone } => self.timestamp(out, value, precision, zone),
            DataType::Date => self.date(out, value),
            DataType::Interval => interval(out, value),
            _ => integer(out, value),
        }
    }
}

/// Writes a span of microseconds as `[-]3 days 04:05:06.789000`, leaving out what is zero in front
/// and behind.
pub fn interval(out: &mut Buffer, micros: i64) {
    if micros < 0 {
        out.push(b'-');
    }
    let total = micros.unsigned_abs();
    let (days, within) = (total / MICROS_PER_DAY as u64, total % MICROS_PER_DAY as u64);
    if days > 0 {
        integer(out, days as i64);
        out.extend(if days == 1 { b" day " } else { b" days " });
    }
    let (seconds, fraction) = (within / 1_000_000, within % 1_000_000);
    let text = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    out.extend(text.as_bytes());
    if fraction > 0 {
        out.extend(format!(".{fraction:06}").trim_end_matches('0').as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Buffer)) -> String {
        let mut out = Buffer::default();
        write(&mut out);
        String::from_utf8(out.bytes().to_vec()).unwrap()
    }

    #[test]
    fn decimals_have_exactly_their_digits() {
        for (value, scale, expected) in [
            (0, 0, "0"),
            (0, 2, "0.00"),
            (-5, 2, "-0.05"),
            (12345, 2, "123.45"),
            (12345, 6, "0.012345"),
            (i64::MIN, 0, "-9223372036854775808"),
            (i64::MIN, 2, "-92233720368547758.08"),
            (i64::MAX, 18, "9.223372036854775807"),
        ] {
            assert_eq!(text(|out| decimal(out, value, scale)), expected);
            assert_eq!(text(|out| wide_decimal(out, i128::from(value), scale)), expected);
        }
        assert_eq!(text(|out| wide_decimal(out, i128::MIN, 38)), "-1.70141183460469231731687303715884105728");
        assert_eq!(text(|out| wide_decimal(out, 10i128.pow(20), 0)), "100000000000000000000");
        assert_eq!(text(|out| wide_decimal(out, 10i128.pow(20), 30)), "0.000000000100000000000000000000");
    }

    #[test]
    fn times_show_their_precision() {
        let stamp = |micros, precision, zone| text(|out| Dates::default().timestamp(out, micros, precision, zone));
        assert_eq!(stamp(0, 0, None), "1970-01-01 00:00:00");
        assert_eq!(stamp(1_767_323_045_678_901, 3, Some(Zone::UTC)), "2026-01-02 03:04:05.678Z");
        let (berlin, offset) = (Zone::parse("Europe/Berlin"), Zone::parse("-03:30"));
        assert_eq!(stamp(1_767_323_045_678_901, 3, berlin), "2026-01-02 04:04:05.678+01:00");
        assert_eq!(stamp(1_767_323_045_678_901, 6, offset), "2026-01-01 23:34:05.678901-03:30");
        assert_eq!(stamp(-2_524_521_600_000_000, 6, berlin), "1890-01-01 00:53:28.000000+00:53:28");
        assert_eq!(stamp(1_767_323_045_678_901, 6, None), "2026-01-02 03:04:05.678901");
        assert_eq!(stamp(-1, 6, None), "1969-12-31 23:59:59.999999");
        assert_eq!(text(|out| interval(out, -90_061_500_000)), "-1 day 01:01:01.5");
        assert_eq!(text(|out| double(out, 5.0)), "5.0");
        assert_eq!(text(|out| double(out, f64::NAN)), "NaN");
    }
}
