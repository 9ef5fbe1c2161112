//! Joins: rows of two inputs put together where keys are equal, times are near and a condition holds.
//!
//! One operator for all kinds. Left rows wait in order of (time, position) until every right row that
//! could go with them has come: until the watermark of both inputs has passed the bound in time, or,
//! without one, until the right input has ended (and the left one, unless its rows come in order
//! anyway). Then they are looked up among the right rows chunk by chunk. So what leaves depends on the
//! rows alone and not on when they came, and comes in order of (time, position of the left row, position
//! of the right row). Right rows are forgotten when no later left row can be near them in time.
//!
//! | file | what it does |
//! |---|---|
//! | `stored` | the columns that are held of a side, keys, what orders its rows |
//! | `right`, `index` | the right rows by number, and by hash |
//! | `pairs` | left rows looked up: pairs compared as columns, rows without a partner |
//!
//! NULL keys equal nothing, so such rows are in no chain and are looked up in none. Input columns of
//! both sides leave as the plan lists them. Lateness is judged at the scan ([`crate::plan::Late::Row`]).

mod index;
mod pairs;
mod right;
mod stored;
#[cfg(test)]
mod tests;

use crate::batch::Chunk;
use crate::error::{Code, Error, Result};
use crate::operator::{Context, Next, Operator, TIME_MIN, Time, Turns};
use crate::over::reorder::Reorder;
use crate::pipeline::Place;
use crate::plan;
use crate::stage::Stage;
use crate::state::{Moved, Reader, Saved, State, damaged};
use crate::types::Physical;
pub(crate) use index::{Index, NONE};
use pairs::{Pairs, Probe};
use right::Right;
use stored::Takes;
pub(crate) use stored::{Order, Stored, contents, equal};

/// The shapes of the two inputs, and what orders their rows.
pub(crate) struct Inputs {
    pub(crate) layouts: [Vec<Physical>; 2],
    pub(crate) orders: [Order; 2],
    /// Left rows come in order of position: one shard's own.
    pub(crate) left_in_order: bool,
}

/// The operator.
pub(crate) struct Join {
    join: plan::Join,
    place: Place,
    left: Stored,
    left_in_order: bool,
    waiting: Reorder,
    probe: Probe,
    pairs: Pairs,
    right: Right,
    /// Of each input.
    watermarks: [Time; 2],
    finished: [bool; 2],
    /// Left rows up to this time were let out.
    released: Time,
    /// What is passed on when all that was let out has left.
    passing: Option<Time>,
    passed: Time,
    turns: Turns,
    turning: bool,
    finishing: bool,
}

impl Join {
    pub(crate) fn new(join: &plan::Join, inputs: Inputs, place: Place) -> Self {
        let Inputs { layouts: [left, right], orders, left_in_order } = inputs;
        let within = join.within.as_ref();
        let left = Stored::new(left, join.keys.iter().map(|key| &key.0), within.map(|within| &within.left), orders[0]);
        let mut right =
            Stored::new(right, join.keys.iter().map(|key| &key.1), within.map(|within| &within.right), orders[1]);
        let pick = join.pick.as_ref().map(|pick| (right.column(&pick.value), pick.greatest));
        let lower = within.map_or(0, |within| within.lower);
        Join {
            place,
            left_in_order,
            waiting: Reorder::new(left.layout.clone()),
            probe: Probe::new(&left.layout, left.width, left.time),
            pairs: Pairs::new(pick),
            right: Right::new(right, place.hash_seed, lower, join.kind.keeps_right()),
            left,
            join: join.clone(),
            watermarks: [TIME_MIN; 2],
            finished: [false; 2],
            released: TIME_MIN,
            passing: None,
            passed: TIME_MIN,
            turns: Turns::new(2),
            turning: false,
            finishing: false,
        }
    }

    /// Up to which time left rows may be looked up.
    fn may_leave(&self) -> Time {
        match &self.join.within {
            _ if self.finished == [true; 2] => Time::MAX,
            Some(within) => {
                let least = self.watermarks[0].min(self.watermarks[1]);
                if least == TIME_MIN { TIME_MIN } else { least.saturating_sub(within.wait()) }
            }
            // In order they may go as soon as the other side is known.
            None if self.finished[1] && self.left_in_order => Time::MAX,
            None => TIME_MIN,
        }
    }

    /// Lets out what may leave.
    fn release(&mut self, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        let time = self.may_leave();
        if time > TIME_MIN {
            self.waiting.release(time);
        }
        if time > self.released {
            self.released = time;
            // Without a bound in time right rows leave at the end.
            if self.join.within.is_some() || self.finished == [true; 2] {
                self.right.release(time);
            }
        }
        if self.finished == [true; 2] {
            self.right.release(Time::MAX);
            self.finishing = true;
        } else if self.join.within.is_some() && time > self.passed {
            self.passing = Some(time);
        }
        self.pass(context, next)
    }

    /// Right rows that can only match left rows up to this time have left.
    fn released_right(&self) -> Time {
        // Without a bound in time they leave at the end only.
        if self.join.within.is_some() { self.released } else { TIME_MIN }
    }

    fn has_rows(&self) -> bool {
        !self.probe.is_done() || self.waiting.has_ready() || self.right.has_leaving()
    }

    /// Passes on what was held back behind rows.
    fn pass(&mut self, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        if self.has_rows() {
            return Ok(());
        }
        if let Some(time) = self.passing.take() {
            self.right.expire(time);
            self.passed = time;
            next.watermark(time, context)?;
        }
        if std::mem::take(&mut self.turning) {
            next.turn(context)?;
        }
        if std::mem::take(&mut self.finishing) {
            self.right.clear();
            self.waiting = Reorder::new(self.left.layout.clone());
            next.finish(context)?;
        }
        Ok(())
    }

    /// Pairs for at most a chunk of rows.
    fn collect(&mut self, context: &Context<'_>) -> Result<()> {
        let pairs_alone = matches!(self.join.kind, plan::JoinKind::Inner | plan::JoinKind::Right);
        let marks = !pairs_alone || self.join.pick.is_some();
        self.pairs.clear();
        if self.probe.is_done() && self.waiting.has_ready() {
            let rows = self.waiting.take(context.scratch);
            let hashes = self.left.hashes(&rows, self.place.hash_seed, context.scratch);
            let nulls = self.left.null_keys(&rows, context.scratch);
            self.probe.load(&rows, hashes, nulls, &self.right, context.scratch);
        }
        self.probe.fill(&mut self.right, marks, &mut self.pairs);
        if self.probe.is_done() && !self.waiting.has_ready() {
            self.pairs.mark_right(&mut self.right, None);
        }
        Ok(())
    }
}

impl Operator for Join {
    fn push(&mut self, input: usize, chunk: &Chunk<'_>, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        let caller = context.ledger.enter(Stage::Join);
        if input == 0 {
            let held = self.left.rows(chunk, context)?;
            let ties = self.left.ties(&held, context.scratch);
            self.waiting.push(&held, self.left.times(&held), ties);
        } else {
            self.right.push(chunk, context)?;
        }
        context.ledger.enter(caller);
        if input == 0 && self.join.within.is_none() { self.release(context, next) } else { Ok(()) }
    }

    fn watermark(&mut self, input: usize, watermark: Time, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        self.watermarks[input] = watermark;
        self.release(context, next)
    }

    fn turn(&mut self, input: usize, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        self.turning |= self.turns.end(input);
        self.pass(context, next)
    }

    fn finish(&mut self, input: usize, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        self.watermarks[input] = Time::MAX;
        self.finished[input] = true;
        self.turning |= self.turns.finish(input);
        self.release(context, next)
    }

    fn drain(&mut self, context: &Context<'_>, next: &mut Next<'_>) -> Result<bool> {
        if !self.has_rows() {
            return Ok(false);
        }
        let caller = context.ledger.enter(Stage::Join);
        self.collect(context)?;
        if !self.pairs.is_empty() {
            self.pairs.decide(&self.join, &self.left.keys, &mut self.probe, &mut self.right, context)?;
            let rows = self.pairs.rows(&self.join, &self.probe, &self.right, context.scratch);
            context.ledger.enter(caller);
            next.push(&rows, context)?;
        } else {
            context.ledger.enter(caller);
        }
        self.pass(context, next)?;
        Ok(self.due())
    }

    fn due(&self) -> bool {
        self.has_rows()
    }

    fn state_bytes(&self) -> usize {
        self.waiting.memory() + self.right.memory()
    }

    fn save(&self, state: &mut State) -> Result<()> {
        let to = state.whole();
        self.watermarks.iter().for_each(|&watermark| to.word(watermark as u64));
        self.finished.iter().for_each(|&finished| to.flag(finished));
        to.word(self.released as u64);
        to.word(self.passed as u64);
        self.waiting.save(to);
        self.right.save(to);
        Ok(())
    }

    fn restore(&mut self, saved: &Saved<'_>) -> Result<()> {
        let mut from = saved.whole();
        let stand = Stand::read(&mut from)?;
        (self.watermarks, self.finished) = (stand.watermarks, stand.finished);
        (self.released, self.passed) = (stand.released, stand.passed);
        let left = &self.left;
        self.waiting.load(left.time, |rows, scratch| left.ties(rows, scratch), |chunk, _| Ok(chunk), &mut from)?;
        self.right.load(None, &mut from)?;
        self.right.have_left(self.released_right());
        from.end()
    }

    fn adopt(&mut self, moved: &Moved<'_>) -> Result<()> {
        if self.join.broadcast && !moved.is_empty() {
            // Each shard has gone on by itself, and what one of them lacks others may have let go.
            let message =
                "--resume: a join of all rows with all stands elsewhere on every shard, and cannot be dealt anew";
            return Err(Error::new(Code::Unsupported, message).help("take as many --shards as before"));
        }
        let stands: Result<Vec<Stand>> = moved.all().map(|saved| Stand::read(&mut saved.whole())).collect();
        let stands = stands?;
        let Some(last) = stands.iter().min_by_key(|stand| stand.released) else { return Ok(()) };
        if !self.join.broadcast && stands.iter().any(|stand| stand.released != last.released) {
            return Err(damaged("the shards' joins do not stand at one time"));
        }
        self.finished = [0, 1].map(|side| stands.iter().all(|stand| stand.finished[side]));
        // An input that goes on tells its time again.
        self.watermarks = self.finished.map(|finished| if finished { Time::MAX } else { TIME_MIN });
        (self.released, self.passed) = (last.released, last.passed);
        // Without a key to go by, left rows go anywhere, and each shard has all right rows that the one furthest
        // behind still needs.
        let (place, behind) = (self.place, stands.iter().position(|stand| stand == last));
        for (number, saved) in moved.all().enumerate() {
            let mut from = saved.whole();
            Stand::read(&mut from)?;
            let [takes_left, takes_right] = match moved.is_local() {
                true => [number % place.shards == place.shard, behind == Some(number)].map(Takes::all_or_none),
                false => [Takes::Owned, Takes::Owned],
            };
            let left = &self.left;
            self.waiting.load(
                left.time,
                |rows, scratch| left.ties(rows, scratch),
                |chunk, scratch| {
                    Ok(left.ordered(chunk.gather(left.taken(&chunk, takes_left, place, scratch), scratch), scratch))
                },
                &mut from,
            )?;
            self.right.load(Some((takes_right, place)), &mut from)?;
            from.end()?;
        }
        self.right.have_left(self.released_right());
        Ok(())
    }
}

/// How far a join has come.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stand {
    watermarks: [Time; 2],
    finished: [bool; 2],
    released: Time,
    passed: Time,
}

impl Stand {
    fn read(from: &mut Reader<'_>) -> Result<Stand> {
        Ok(Stand {
            watermarks: [from.word()? as Time, from.word()? as Time],
            finished: [from.flag()?, from.flag()?],
            released: from.word()? as Time,
            passed: from.word()? as Time,
        })
    }
}
