//! Time zones: by how much clocks are ahead of UTC, where and when.
//!
//! The rules are those of the IANA database that jiff carries within the binary, so that every machine
//! gives the same answers. Of each zone that is used, a table of its changes is made once and kept; the
//! kernels look times up in it and, as neighbours mostly share an offset, keep the last answer at hand.
//!
//! When clocks are put forward, readings are left out: such a reading means the instant that it would
//! mean had they not been put forward (02:30 is 03:30). When they are put back, readings come twice:
//! they mean the first of the two instants. Both as `compatible` in RFC 5545.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use jiff::tz::{self, TimeZone};

use crate::error::{Code, Error, Result};
use crate::types::{MICROS_PER_DAY, MICROS_PER_SECOND};

/// The Gregorian calendar, its weekdays and with them all rules for years to come, come again after this.
const CYCLE_US: i64 = 146_097 * MICROS_PER_DAY;
/// Times from here on (2500-01-01) are looked up some cycles earlier.
const HORIZON_US: i64 = 193_579 * MICROS_PER_DAY;
/// Tables go a little further, so that times before the horizon find what comes next.
const TABLE_END_US: i64 = HORIZON_US + 800 * MICROS_PER_DAY;
/// Hours that a fixed offset may be from UTC.
const OFFSET_HOURS_MAX: i64 = 18;

/// A time zone. Copies are cheap, and equal zones are one: UTC, or the rules of a name.
#[derive(Clone, Copy, Default)]
pub struct Zone(Option<&'static Rules>);

/// What is known of a zone: lists of equal length, in order of time.
struct Rules {
    name: String,
    /// Instants from which on an offset holds, in microseconds since the epoch; the first is the least there is.
    instants: Vec<i64>,
    /// The same moments as the readings from which on the offset is the one to take off.
    readings: Vec<i64>,
    /// Microseconds ahead of UTC.
    offsets: Vec<i64>,
}

/// Every zone that was asked for. A name is looked up when a query is planned, or once a batch.
static KNOWN: Mutex<Vec<&'static Rules>> = Mutex::new(Vec::new());

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Zone = Zone(None);

    /// The zone called `name`: `Europe/Berlin` (in any case), `UTC`, `+02:00`, `GMT-8`.
    pub fn parse(name: &str) -> Option<Zone> {
        let name = name.trim();
        if ["", "UTC", "Z", "GMT"].iter().any(|utc| utc.eq_ignore_ascii_case(name)) {
            return (!name.is_empty()).then_some(Zone::UTC);
        }
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.iter().find(|rules| rules.name.eq_ignore_ascii_case(name)) {
            return Some(Zone(Some(found)));
        }
        let rules = match fixed(name) {
            Some(offset) => Rules::fixed(offset),
            None => Rules::of(&TimeZone::get(name).ok()?, name),
        };
        if rules.offsets == [0] {
            return Some(Zone::UTC);
        }
        let found = known.iter().find(|other| other.name == rules.name).copied();
        Some(Zone(Some(found.unwrap_or_else(|| {
            // Kept for good: there are as many as names of zones, at most.
            let kept: &'static Rules = Box::leak(Box::new(rules));
            known.push(kept);
            kept
        }))))
    }

    /// Names of the zones there are, for suggestions.
    pub fn names() -> Vec<String> {
        tz::db().available().map(|name| name.as_str().to_owned()).collect()
    }

    /// Its name: `UTC`, `Europe/Berlin`, `+02:00`.
    pub fn name(self) -> &'static str {
        self.0.map_or("UTC", |rules| &rules.name)
    }

    /// Whether instants and readings are the same.
    pub const fn is_utc(self) -> bool {
        self.0.is_none()
    }

    /// Looks up offsets by instants.
    pub fn by_instant(self) -> Offsets {
        let table = self.0.map(|rules| (&rules.instants[..], &rules.offsets[..]));
        Offsets::new(table)
    }

    /// Looks up offsets by what clocks show.
    pub fn by_reading(self) -> Offsets {
        let table = self.0.map(|rules| (&rules.readings[..], &rules.offsets[..]));
        Offsets::new(table)
    }

    /// What clocks show at `instant`, in microseconds since 1970-01-01 00:00:00 on them.
    pub fn reading(self, instant: i64) -> i64 {
        instant.saturating_add(self.by_instant().at(instant))
    }

    /// The instant when clocks show `reading`.
    pub fn instant(self, reading: i64) -> i64 {
        reading.saturating_sub(self.by_reading().at(reading))
    }
}

/// The zone called `name`, or an error that names one like it.
pub fn named(name: &str) -> Result<Zone> {
    Zone::parse(name).ok_or_else(|| {
        let error = Error::new(Code::BadOption, format!("there is no time zone `{name}`"));
        let known = Zone::names();
        let near = crate::sql::nearest(name, known.iter().map(String::as_str));
        error.help(match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => "write a name like Europe/Berlin, or an offset like +02:00".to_owned(),
        })
    })
}

/// Offsets of one zone, by instants or by readings; remembers the last one's time.
#[derive(Clone, Copy, Debug)]
pub struct Offsets {
    times: &'static [i64],
    offsets: &'static [i64],
    /// The offset that holds from a time until another.
    last: (i64, i64, i64),
}

impl Offsets {
    fn new(table: Option<(&'static [i64], &'static [i64])>) -> Self {
        match table {
            Some((times, offsets)) => Offsets { times, offsets, last: (0, 0, 0) },
            None => Offsets { times: &[], offsets: &[], last: (i64::MIN, i64::MAX, 0) },
        }
    }

    /// Microseconds ahead of UTC at `time`.
    #[inline]
    pub fn at(&mut self, time: i64) -> i64 {
        let (from, until, offset) = self.last;
        if (from..until).contains(&time) { offset } else { self.look_up(time) }
    }

    fn look_up(&mut self, time: i64) -> i64 {
        let beyond = time >= HORIZON_US;
        let looked = if beyond { HORIZON_US - CYCLE_US + (time - HORIZON_US) % CYCLE_US } else { time };
        let behind = self.times.partition_point(|&from| from <= looked);
        let Some(at) = behind.checked_sub(1) else { return 0 };
        let offset = self.offsets[at];
        if !beyond {
            let until = self.times.get(behind).copied().unwrap_or(HORIZON_US).min(HORIZON_US);
            self.last = (self.times[at], until, offset);
        }
        offset
    }
}

impl Rules {
    fn of(zone: &TimeZone, name: &str) -> Rules {
        let micros = |offset: tz::Offset| i64::from(offset.seconds()) * MICROS_PER_SECOND;
        let mut rules = Rules {
            name: zone.iana_name().unwrap_or(name).to_owned(),
            instants: vec![i64::MIN],
            readings: vec![i64::MIN],
            offsets: vec![micros(zone.to_offset(Timestamp::MIN))],
        };
        for change in zone.following(Timestamp::MIN) {
            let (instant, after) = (change.timestamp().as_microsecond(), micros(change.offset()));
            if instant > TABLE_END_US {
                break;
            }
            let before = rules.offsets[rules.offsets.len() - 1];
            // Names and the like change as well.
            if before != after {
                rules.instants.push(instant);
                // Readings left out and readings that come twice: the offset before holds for both.
                rules.readings.push(instant + before.max(after));
                rules.offsets.push(after);
            }
        }
        rules
    }

    fn fixed(offset: i64) -> Rules {
        let mut name = String::new();
        write_offset(&mut name, offset);
        Rules { name, instants: vec![i64::MIN], readings: vec![i64::MIN], offsets: vec![offset] }
    }
}

/// Microseconds of `+02:00`, `-0530`, `+2`, also behind `UTC` or `GMT`.
fn fixed(name: &str) -> Option<i64> {
    let front = name.get(..3).filter(|front| ["UTC", "GMT"].iter().any(|utc| utc.eq_ignore_ascii_case(front)));
    let text = &name[front.map_or(0, str::len)..];
    let (sign, text) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let (hours, minutes) = match text.split_once(':') {
        Some((hours, minutes)) if minutes.len() == 2 => (hours, minutes),
        Some(_) => return None,
        None if text.len() == 4 && text.is_ascii() => text.split_at(2),
        None => (text, "0"),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<i64>().ok())?;
    let hours = digits(hours).filter(|value| *value <= OFFSET_HOURS_MAX && hours.len() <= 2)?;
    let minutes = digits(minutes).filter(|value| *value < 60)?;
    Some(sign * (hours * 60 + minutes) * 60 * MICROS_PER_SECOND)
}

/// Appends an offset as `+02:00`, with seconds where it has some, as had clocks set by the sun.
pub fn write_offset(out: &mut String, micros: i64) {
    use fmt::Write;
    let seconds = micros.abs() / MICROS_PER_SECOND;
    let sign = if micros < 0 { '-' } else { '+' };
    let done = write!(out, "{sign}{:02}:{:02}", seconds / 3600, seconds / 60 % 60);
    let done = done.and_then(|()| match seconds % 60 {
        0 => Ok(()),
        rest => write!(out, ":{rest:02}"),
    });
    done.expect("writing to a string cannot fail");
}

impl PartialEq for Zone {
    fn eq(&self, other: &Zone) -> bool {
        match (self.0, other.0) {
            (None, None) => true,
            (Some(left), Some(right)) => std::ptr::eq(left, right),
            _ => false,
        }
    }
}

impl Eq for Zone {}

impl Hash for Zone {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_jiff(zone: &TimeZone, instant: i64) -> i64 {
        let timestamp = Timestamp::from_microsecond(instant).unwrap();
        i64::from(zone.to_offset(timestamp).seconds()) * MICROS_PER_SECOND
    }

    #[test]
    fn every_zone_agrees_with_jiff_over_all_its_years() {
        let mut state = 1u64;
        let mut random = |from: i64, to: i64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            from + ((state >> 16) as i64).rem_euclid(to - from)
        };
        let (least, most) = (Timestamp::MIN.as_microsecond() / 2, Timestamp::MAX.as_microsecond() - CYCLE_US);
        for name in Zone::names() {
            let (zone, theirs) = (Zone::parse(&name).unwrap(), TimeZone::get(&name).unwrap());
            let changes: Vec<i64> =
                theirs.following(Timestamp::MIN).map(|change| change.timestamp().as_microsecond()).take(400).collect();
            let (mut by_instant, mut by_reading) = (zone.by_instant(), zone.by_reading());
            for round in 0..60 {
                let instant = match changes.get(random(0, changes.len().max(1) as i64) as usize) {
                    Some(change) if round % 3 > 0 => change + random(-2 * 3600, 2 * 3600) * MICROS_PER_SECOND,
                    _ => random(least, most),
                };
                assert_eq!(by_instant.at(instant), of_jiff(&theirs, instant), "{name} at {instant}");
                let civil = tz::Offset::UTC.to_datetime(Timestamp::from_microsecond(instant).unwrap());
                let meant = theirs.to_ambiguous_timestamp(civil).compatible().unwrap().as_microsecond();
                assert_eq!(instant - by_reading.at(instant), meant, "{name} showing {civil}");
            }
        }
    }

    #[test]
    fn names_and_offsets() {
        for (text, name) in [
            ("europe/berlin", Some("Europe/Berlin")),
            ("utc", Some("UTC")),
            ("Etc/UTC", Some("UTC")),
            ("+00:00", Some("UTC")),
            ("+02:00", Some("+02:00")),
            ("GMT-8", Some("-08:00")),
            ("-0530", Some("-05:30")),
            ("+19", None),
            ("+2:0", None),
            ("Mars/Olympus", None),
            ("", None),
        ] {
            assert_eq!(Zone::parse(text).map(Zone::name), name, "{text}");
        }
        assert_eq!(Zone::parse("+2"), Zone::parse("UTC+02:00"));
        assert_ne!(Zone::parse("+2"), Zone::parse("-2"));
    }
}
