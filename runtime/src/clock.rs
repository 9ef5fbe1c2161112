//! Processing time: what PROCTIME() says of a row, and what windows over it close by.
//!
//! Every source has a clock of its own. It never goes back, and it shows whole milliseconds, as
//! `TIMESTAMP_LTZ(3)` does. What was shown before a row was read is less than the row's own time, so
//! the clock is a watermark behind which nothing comes. There are two of them:
//!
//! - the **wall's**: what the host's clock showed when the process began, carried on by the monotonic
//!   clock, so that nobody who sets the host's clock can stop or hurry a window. In simulations it is
//!   the virtual clock that is carried on;
//! - the **scheduled** one (`--clock START[,STEP]`), which begins at START and moves on by STEP with
//!   each row that a shard reads of a table, and at no other time. What it says is a function of the
//!   input, so results can be tested.

use std::sync::OnceLock;
use std::time::Instant;

use corelane_engine::operator::{TIME_MIN, Time};
use corelane_engine::plan::{ClockTime, Late};
use corelane_io::reader::Stamps;

/// Microseconds of what a clock shows.
const GRAIN_US: i64 = 1000;
/// While single rows wait for the clock (sessions, OVER) nobody knows when one is due: it is looked at
/// so often, in microseconds.
const LOOK_US: i64 = 10_000;

/// Which clock the rows of a run are stamped by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The wall's.
    #[default]
    Wall,
    /// One that moves with the rows.
    Scheduled {
        /// What it shows at the first row, in microseconds since the epoch.
        start_us: Time,
        /// By how much each row moves it on, in microseconds.
        step_us: i64,
    },
}

/// One source's clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    kind: Kind,
    /// No row is stamped with less, in microseconds since the epoch.
    reached: Time,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Running { now_us: fn() -> Time, ahead: Time },
    Scheduled { step_us: i64 },
}

/// The wall's clock, in microseconds since the epoch: read once, and carried on by the monotonic clock.
pub fn wall_us() -> Time {
    static BEGAN: OnceLock<(Instant, Time)> = OnceLock::new();
    let (began, at) = BEGAN.get_or_init(|| (Instant::now(), crate::job::now_us()));
    at.saturating_add(i64::try_from(began.elapsed().as_micros()).unwrap_or(i64::MAX))
}

impl Clock {
    /// The clock that was chosen; the wall's shows `ahead` microseconds more than `now_us` gives.
    pub fn new(choice: Choice, now_us: fn() -> Time, ahead: Time) -> Self {
        match choice {
            Choice::Wall => Clock { kind: Kind::Running { now_us, ahead }, reached: TIME_MIN },
            Choice::Scheduled { start_us, step_us } => Clock { kind: Kind::Scheduled { step_us }, reached: start_us },
        }
    }

    /// What it shows.
    pub fn shown(&self) -> Time {
        let now = match self.kind {
            Kind::Running { now_us, ahead } => self.reached.max(now_us().saturating_add(ahead)),
            Kind::Scheduled { .. } => self.reached,
        };
        now.div_euclid(GRAIN_US) * GRAIN_US
    }

    /// The same; from here on it shows nothing less.
    pub fn read(&mut self) -> Time {
        if let Kind::Running { now_us, ahead } = self.kind {
            self.reached = self.reached.max(now_us().saturating_add(ahead));
        }
        self.reached.div_euclid(GRAIN_US) * GRAIN_US
    }

    /// How rows that are read now are stamped.
    pub fn stamps(&mut self) -> Stamps {
        self.read();
        let step_us = match self.kind {
            Kind::Running { .. } => 0,
            Kind::Scheduled { step_us } => step_us,
        };
        Stamps { first_us: self.reached, step_us, grain_us: GRAIN_US }
    }

    /// So many rows were stamped.
    pub fn pass(&mut self, rows: usize) {
        if let Kind::Scheduled { step_us } = self.kind {
            self.reached = self.reached.saturating_add(step_us.saturating_mul(rows as i64));
        }
    }

    /// Every later row has a greater time.
    pub fn watermark(&mut self, of: ClockTime) -> Time {
        (self.read() - 1).saturating_sub(of.delay_us)
    }

    /// Whether a watermark says more than `told` to those who wait.
    pub fn is_news(watermark: Time, told: Time, of: ClockTime) -> bool {
        match of.waits {
            _ if told == TIME_MIN => true,
            // Only the end of a window matters.
            Some(Late::Window(window)) => window.first_mark(watermark) > window.first_mark(told),
            _ => watermark > told,
        }
    }

    /// In how many microseconds somebody waits for it to be looked at, when `told` was told; `None` if it
    /// moves by rows alone.
    pub fn due_us(&mut self, told: Time, of: ClockTime) -> Option<u64> {
        let Kind::Running { .. } = self.kind else { return None };
        let now = self.read();
        let due = match of.waits {
            Some(Late::Window(window)) if told != TIME_MIN => {
                let end = window.first_mark(told).saturating_add(window.size);
                // It shows whole grains, and the watermark is just before what it shows.
                end.saturating_add(of.delay_us).saturating_add(GRAIN_US)
            }
            _ => now.saturating_add(LOOK_US),
        };
        Some(due.saturating_sub(now).max(GRAIN_US) as u64)
    }

    /// How many of the rows that are read now come before it shows `time`; at least one.
    pub fn rows_before(&self, time: Time) -> u64 {
        match self.kind {
            Kind::Scheduled { step_us: 1.. } if time <= self.reached => 1,
            Kind::Scheduled { step_us: step @ 1.. } => ((time - self.reached + step - 1) / step) as u64,
            _ => u64::MAX,
        }
    }

    /// In how many microseconds it shows `time`; `None` if it moves by rows alone.
    pub fn until_us(&mut self, time: Time) -> Option<u64> {
        let Kind::Running { .. } = self.kind else { return None };
        Some(time.saturating_sub(self.read()).max(GRAIN_US) as u64)
    }

    /// How far it has come, for another run to go on from.
    pub fn reached(&self) -> Time {
        self.reached
    }

    /// Goes on from where that of an earlier run had come to. The wall's may have been set back since:
    /// then it is carried on from there.
    pub fn carry_on(&mut self, reached: Time) {
        if let Kind::Running { now_us, ahead } = &mut self.kind {
            let behind = reached.saturating_sub(now_us().saturating_add(*ahead));
            if reached != TIME_MIN && behind > 0 {
                *ahead = ahead.saturating_add(behind);
            }
        }
        self.reached = self.reached.max(reached);
    }
}

/// The moments at which results leave by the clock: multiples of a length of time.
#[derive(Clone, Copy, Debug)]
pub struct Ticks {
    every_us: i64,
    /// The one that has not passed.
    pub next: Time,
}

impl Ticks {
    /// Those behind what `clock` has come to.
    pub fn behind(clock: &Clock, every_us: i64) -> Self {
        let from = if clock.reached == TIME_MIN { 0 } else { clock.reached };
        Ticks { every_us, next: from.div_euclid(every_us).saturating_add(1).saturating_mul(every_us) }
    }

    /// The same, behind what `clock` has come to.
    pub fn from(self, clock: &Clock) -> Self {
        Ticks::behind(clock, self.every_us)
    }

    /// The next one has passed.
    pub fn pass(&mut self) {
        self.next = self.next.saturating_add(self.every_us);
    }
}

/// `wall`, `START` or `START,STEP`: `2026-01-01 00:00:00,10ms`. Without a step the clock stands still.
pub fn parse(text: &str) -> Result<Choice, String> {
    if text.trim().eq_ignore_ascii_case("wall") {
        return Ok(Choice::Wall);
    }
    let (start, step) = match text.split_once(',') {
        Some((start, step)) => (start.trim(), Some(step)),
        None => (text.trim(), None),
    };
    let moment = start.strip_suffix('Z').unwrap_or(start);
    let start_us = format!("{moment}Z").parse::<jiff::Timestamp>().map_err(|_| {
        format!("`{start}` is not a time; try 'wall', '2026-01-01 12:00:00' or '2026-01-01 12:00:00,10ms'")
    })?;
    let step = step.map(crate::options::parse_duration).transpose()?.unwrap_or_default();
    let step_us = i64::try_from(step.as_micros()).map_err(|_| "the step is too long".to_owned())?;
    if step_us == 0 && !step.is_zero() {
        return Err("a step is at least 1us".to_owned());
    }
    Ok(Choice::Scheduled { start_us: start_us.as_microsecond(), step_us })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use corelane_engine::plan::Window;

    use super::*;

    thread_local! {
        static NOW: Cell<Time> = const { Cell::new(0) };
    }

    fn clock() -> Clock {
        NOW.set(0);
        Clock::new(Choice::Wall, || NOW.get(), 5_000_000)
    }

    #[test]
    fn a_clock_that_is_set_back_stands_until_it_is_caught_up() {
        let mut clock = clock();
        assert_eq!(clock.read(), 5_000_000);
        NOW.set(3_600_999_999);
        assert_eq!(clock.read(), 3_605_999_000, "whole milliseconds");
        NOW.set(1);
        assert_eq!(clock.read(), 3_605_999_000);
        let reached = clock.reached();
        let mut resumed = Clock::new(Choice::Wall, || NOW.get(), 5_000_000);
        resumed.carry_on(reached);
        NOW.set(1_000_001);
        assert_eq!(resumed.read(), 3_606_999_000, "it goes on at once");
    }

    #[test]
    fn the_watermark_is_before_what_is_stamped_and_wakes_at_the_end_of_a_window() {
        let of = ClockTime { waits: Some(Late::Window(Window::hop(10_000_000, 10_000_000, 0))), delay_us: 0 };
        let mut clock = clock();
        let told = clock.watermark(of);
        assert!(told < clock.stamps().first_us);
        assert_eq!(clock.due_us(told, of), Some(5_001_000));
        NOW.set(4_999_999);
        assert!(!Clock::is_news(clock.watermark(of), told, of), "no window has ended");
        NOW.set(5_001_000);
        let watermark = clock.watermark(of);
        assert!(Clock::is_news(watermark, told, of) && watermark >= 10_000_000);
    }

    #[test]
    fn a_scheduled_clock_moves_with_rows_alone() {
        let Ok(choice @ Choice::Scheduled { start_us, step_us }) = parse("2026-01-01 00:00:00, 250us") else {
            panic!("it is one");
        };
        assert_eq!((start_us, step_us), (1_767_225_600_000_000, 250));
        let mut clock = Clock::new(choice, || panic!("nobody looks at the wall"), 0);
        clock.pass(6);
        assert_eq!((clock.read(), clock.reached()), (start_us + 1000, start_us + 1500));
        assert_eq!(clock.due_us(start_us, ClockTime::default()), None);
        for text in ["", "soon", "2026-01-01", "2026-01-01 00:00:00,10", "2026-01-01 00:00:00,10ns"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(parse("Wall"), Ok(Choice::Wall));
    }
}
