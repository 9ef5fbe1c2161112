//! Patterns of times, written and read: Java's letters and PostgreSQL's.

use super::Call;
use super::time::{midnight_of, write_rows};
use crate::batch::{Data, Vector};
use crate::error::{Code, Error, Result};
use crate::expr::calendar::{civil, days, month_days};
use crate::expr::kernels::each_row;
use crate::types::{DataType, MICROS_PER_DAY, MICROS_PER_SECOND};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// A piece of a time's pattern: runs of one letter stand for a part, everything else (and what is in
/// quotes) for itself.
#[derive(Clone, Copy)]
enum Piece<'p> {
    Text(&'p str),
    Year(usize),
    Month(usize),
    Day(usize),
    Hour(usize),
    HalfDayHour(usize),
    Minute(usize),
    Second(usize),
    Fraction(usize),
    DayOfYear(usize),
    /// In short or in full.
    MonthName(bool),
    WeekdayName(bool),
    HalfDay,
}

/// Letters as Java has them (`yyyy-MM-dd HH:mm:ss.SSS`), or, where `HH24` or `MI` stands in it, as
/// PostgreSQL does (`YYYY-MM-DD HH24:MI:SS.MS`).
fn pieces(pattern: &str) -> Result<Vec<Piece<'_>>> {
    let upper = pattern.to_ascii_uppercase();
    let is_postgres = upper.contains("HH24") || upper.contains("MI");
    let mut pieces = Vec::new();
    let mut rest = pattern;
    while let Some(letter) = rest.chars().next() {
        if let (Some(quote @ ('\'' | '"')), true) = (Some(letter), letter == '\'' || is_postgres) {
            let quoted = rest[1..].split(quote).next().unwrap_or("");
            pieces.push(Piece::Text(if quoted.is_empty() { &rest[..1] } else { quoted }));
            rest = rest.get(quoted.len() + 2..).unwrap_or("");
            continue;
        }
        if letter == '%' || letter.is_ascii_alphabetic() {
            let run = rest.chars().take_while(|&next| next == letter).count();
            let word = upper[upper.len() - rest.len()..].chars().take(4).collect::<String>();
            let (piece, len) = match letter {
                _ if is_postgres && word == "HH24" => (Piece::Hour(2), 4),
                _ if is_postgres && word == "HH12" => (Piece::HalfDayHour(2), 4),
                _ if is_postgres && word.starts_with("MON") => (Piece::MonthName(false), 3),
                _ if is_postgres && word.starts_with("DDD") => (Piece::DayOfYear(3), 3),
                _ if is_postgres && word.starts_with("DY") => (Piece::WeekdayName(false), 2),
                _ if is_postgres && (word.starts_with("AM") || word.starts_with("PM")) => (Piece::HalfDay, 2),
                _ if is_postgres && word.starts_with("MI") => (Piece::Minute(2), 2),
                _ if is_postgres && word.starts_with("MS") => (Piece::Fraction(3), 2),
                _ if is_postgres && word.starts_with("US") => (Piece::Fraction(6), 2),
                _ if is_postgres && word.starts_with("MM") => (Piece::Month(2), 2),
                _ if is_postgres && word.starts_with("SS") => (Piece::Second(2), 2),
                'y' | 'Y' => (Piece::Year(run), run),
                'd' | 'D' if run <= 2 => (Piece::Day(run), run),
                'D' if run == 3 => (Piece::DayOfYear(run), run),
                'M' if run == 3 || run == 4 => (Piece::MonthName(run == 4), run),
                'E' if run <= 4 => (Piece::WeekdayName(run == 4), run),
                'a' if run == 1 => (Piece::HalfDay, run),
                'M' if run <= 2 => (Piece::Month(run), run),
                'H' if run <= 2 => (Piece::Hour(run), run),
                'h' if run <= 2 => (Piece::HalfDayHour(run), run),
                'm' if run <= 2 => (Piece::Minute(run), run),
                's' if run <= 2 => (Piece::Second(run), run),
                'S' if run <= 6 => (Piece::Fraction(run), run),
                _ => {
                    let error = Error::new(
                        Code::Unsupported,
                        format!("`{}` of the pattern '{pattern}' is not known", &rest[..run]),
                    );
                    return Err(error.help(
                        "write yyyy MM MMM dd EEE HH hh mm ss SSS a, or YYYY MM DD HH24 MI SS MS; text goes in quotes",
                    ));
                }
            };
            pieces.push(piece);
            rest = &rest[len..];
            continue;
        }
        let text = rest.find(|c: char| c == '%' || c == '\'' || c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let text = text.max(letter.len_utf8());
        pieces.push(Piece::Text(&rest[..text]));
        rest = &rest[text..];
    }
    Ok(pieces)
}

/// Patterns taken apart, each once: mostly there is one for all rows.
struct Patterns<'p> {
    known: Vec<(&'p str, Vec<Piece<'p>>)>,
    /// Which of them each row has.
    which: Vec<usize>,
}

impl<'p> Patterns<'p> {
    fn new(call: &Call<'_, '_>, texts: &'p [std::borrow::Cow<'_, str>]) -> Result<Self> {
        let mut patterns = Patterns { known: Vec::new(), which: Vec::with_capacity(texts.len()) };
        for (row, text) in texts.iter().enumerate() {
            let found = patterns.known.iter().rposition(|(known, _)| **known == **text);
            let is_null = crate::batch::is_null(call.nulls, row);
            patterns.which.push(match found {
                Some(found) => found,
                None if is_null => 0,
                None => {
                    patterns.known.push((text, pieces(text)?));
                    patterns.known.len() - 1
                }
            });
        }
        Ok(patterns)
    }

    fn of(&self, row: usize) -> &[Piece<'p>] {
        self.known.get(self.which[row]).map_or(&[][..], |(_, pieces)| pieces)
    }
}

/// DATE_FORMAT: the time in argument 0 by the pattern in argument 1.
pub(super) fn write<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    let times = call.arguments[0].i64s();
    write_by(call, |row| times[row])
}

/// The times that `time` gives, by the pattern in argument 1.
pub(super) fn write_by<'a>(call: &Call<'_, 'a>, time: impl Fn(usize) -> i64) -> Result<Vector<'a>> {
    let texts: Vec<_> = call.arguments[1].texts().iter().map(|format| format.to_str_lossy()).collect();
    let patterns = Patterns::new(call, &texts)?;
    write_rows(call, |row, out| patterns.of(row).iter().for_each(|piece| write_piece(*piece, time(row), out)))
}

fn write_piece(piece: Piece<'_>, time: i64, out: &mut String) {
    use std::fmt::Write;
    let (day, clock) = (time.div_euclid(MICROS_PER_DAY), time.rem_euclid(MICROS_PER_DAY));
    let (year, month, of_month) = civil(day);
    let second = clock / MICROS_PER_SECOND;
    let hour = second / 3600;
    let name = |name: &'static str, full: bool| if full { name } else { &name[..3] };
    let (number, width) = match piece {
        Piece::Text(text) => return out.push_str(text),
        Piece::MonthName(full) => return out.push_str(name(MONTHS[month as usize - 1], full)),
        Piece::WeekdayName(full) => return out.push_str(name(WEEKDAYS[(day + 3).rem_euclid(7) as usize], full)),
        Piece::HalfDay => return out.push_str(if hour < 12 { "AM" } else { "PM" }),
        Piece::Year(2) => (year.rem_euclid(100), 2),
        Piece::Year(width) => (year, width),
        Piece::Month(width) => (month, width),
        Piece::Day(width) => (of_month, width),
        Piece::DayOfYear(width) => (day - days(year, 1, 1) + 1, width),
        Piece::Hour(width) => (hour, width),
        Piece::HalfDayHour(width) => ((hour + 11) % 12 + 1, width),
        Piece::Minute(width) => (second / 60 % 60, width),
        Piece::Second(width) => (second % 60, width),
        Piece::Fraction(width) => (clock % MICROS_PER_SECOND / 10i64.pow(6 - width as u32), width),
    };
    write!(out, "{number:0width$}").expect("writing to a string cannot fail");
}

/// TO_TIMESTAMP: the text in argument 0 read by the pattern in argument 1.
pub(super) fn read<'a>(call: &Call<'_, 'a>) -> Result<Vector<'a>> {
    let texts: Vec<_> = call.arguments[1].texts().iter().map(|format| format.to_str_lossy()).collect();
    let patterns = Patterns::new(call, &texts)?;
    let inputs = call.arguments[0].texts();
    let unit = if call.returns == DataType::Date { MICROS_PER_DAY } else { 1 };
    let values = each_row(call.rows, call.nulls, call.scratch, |row| {
        let input = inputs[row].to_str_lossy();
        let read = read_pieces(patterns.of(row), &input).ok_or_else(|| {
            let error = Error::new(Code::Cast, format!("'{input}' does not fit the pattern '{}'", texts[row]));
            error.help("TRY_CAST(.. AS TIMESTAMP) makes what it cannot read NULL")
        })?;
        Ok(read.div_euclid(unit))
    })?;
    Ok(Vector { data: Data::I64(values), nulls: call.nulls })
}

/// Microseconds since 1970 of `text`; what a pattern does not name is the least it can be.
fn read_pieces(pieces: &[Piece<'_>], text: &str) -> Option<i64> {
    let (mut year, mut month, mut day) = (1970, 1, 1);
    let (mut hour, mut minute, mut second, mut micros) = (0, 0, 0, 0);
    let (mut of_year, mut half) = (None, None);
    let mut rest = text;
    for piece in pieces {
        let mut number = |width: usize, most: usize| {
            let count = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
            let (digits, after) = rest.split_at(count);
            rest = after;
            if count < width { None } else { digits.parse::<i64>().ok() }
        };
        match *piece {
            Piece::Text(text) => rest = rest.strip_prefix(text)?,
            Piece::Year(2) => year = 2000 + number(2, 2)?,
            Piece::Year(width) => year = number(width.min(4), 4)?,
            Piece::Month(width) => month = number(width, 2)?,
            Piece::Day(width) => day = number(width, 2)?,
            Piece::DayOfYear(width) => of_year = Some(number(width, 3)?),
            Piece::Hour(width) => hour = number(width, 2)?,
            Piece::HalfDayHour(width) => {
                hour = number(width, 2).filter(|hour| (1..=12).contains(hour))? % 12;
                half = half.or(Some(0));
            }
            Piece::Minute(width) => minute = number(width, 2)?,
            Piece::Second(width) => second = number(width, 2)?,
            Piece::Fraction(width) => micros = number(width, width)? * 10i64.pow(6 - width as u32),
            Piece::HalfDay => {
                let is_late = rest.get(..2)?.eq_ignore_ascii_case("pm");
                if !is_late && !rest[..2].eq_ignore_ascii_case("am") {
                    return None;
                }
                half = Some(if is_late { 12 } else { 0 });
                rest = &rest[2..];
            }
            Piece::MonthName(full) => month = 1 + take_name(&mut rest, &MONTHS, full)?,
            Piece::WeekdayName(full) => _ = take_name(&mut rest, &WEEKDAYS, full)?,
        }
    }
    hour += half.filter(|_| hour < 12).unwrap_or(0);
    let exists = (1..=12).contains(&month) && day >= 1 && day <= month_days(year, month);
    let first = days(year, 1, 1);
    let date = match of_year {
        Some(of_year) => (1..=days(year + 1, 1, 1) - first).contains(&of_year).then(|| first + of_year - 1)?,
        None => exists.then(|| days(year, month, day))?,
    };
    let is_clock = hour < 24 && minute < 60 && second < 60;
    let clock = ((hour * 60 + minute) * 60 + second) * MICROS_PER_SECOND + micros;
    (rest.is_empty() && is_clock).then(|| midnight_of(date) + clock)
}

/// Which of `names` stands in front of `rest`, which loses it.
fn take_name(rest: &mut &str, names: &[&str], full: bool) -> Option<i64> {
    let fits = |name: &&str| {
        let name = if full { name } else { &name[..3] };
        rest.get(..name.len()).filter(|front| front.eq_ignore_ascii_case(name)).map(str::len)
    };
    let (which, length) = names.iter().enumerate().find_map(|(which, name)| Some((which, fits(name)?)))?;
    *rest = &rest[length..];
    Some(which as i64)
}
