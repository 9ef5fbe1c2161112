//! Where a source stands, written and taken up again.
//!
//! A split that has been begun is known by the offset of the next row and by its time. What is before
//! that offset must be the same when another run goes on: the bytes just before it are summed up.

use std::collections::HashMap;

use corelane_engine::operator::Time;
use corelane_engine::scan::SplitTime;
use corelane_engine::state::{Reader, Writer};
use corelane_engine::{Code, Error, Result};
use corelane_io::fs::read_full;
use corelane_io::reader::Counts;

use super::{OpenSplit, Source};
use crate::checkpoint::damaged;
use crate::pace::Pace;

/// Bytes before an offset that must be the same.
const BEFORE_BYTES: u64 = 4096;

/// Where a source stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stand {
    next_ordinal: u64,
    highest: Time,
    /// How far its clock had come.
    reached: Time,
    bytes: u64,
    counts: Counts,
    /// Rows kept apart: bad ones, late ones.
    aside: (u64, u64),
    /// Which of the shard's splits had its turn, and how many rows were left of it.
    turn: Option<(usize, u64)>,
    splits: Vec<SplitStand>,
}

/// How far a split was read.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SplitStand {
    /// Position in the input's list of splits.
    number: usize,
    time: SplitTime,
    ended: bool,
    /// If it was begun and has not ended: the offset of the next row, and the sum of the bytes before.
    begin: Option<(u64, u32)>,
}

impl Stand {
    /// Reads one.
    pub fn read(from: &mut Reader<'_>) -> Result<Stand> {
        let (next_ordinal, highest) = (from.word()?, from.word()? as i64);
        let (reached, bytes) = (from.word()? as i64, from.word()?);
        let [read, bad, filtered, late, delivered] =
            [from.word()?, from.word()?, from.word()?, from.word()?, from.word()?];
        let counts = Counts { read, bad, filtered, late, delivered };
        let aside = (from.word()?, from.word()?);
        let (has_turn, chosen, left) = (from.flag()?, from.word()?, from.word()?);
        let mut splits = Vec::new();
        for _ in 0..from.count(34)? {
            let number = usize::try_from(from.word()?).unwrap_or(usize::MAX);
            let time = SplitTime { highest: from.word()? as i64, ahead: from.word()? as i64, leaps: from.word()? };
            let (ended, has_begun) = (from.flag()?, from.flag()?);
            let begin = if has_begun { Some((from.word()?, from.word()? as u32)) } else { None };
            splits.push(SplitStand { number, time, ended, begin });
        }
        let turn = has_turn.then(|| (usize::try_from(chosen).unwrap_or(usize::MAX), left));
        if turn.is_some_and(|(chosen, _)| chosen >= splits.len()) {
            return Err(damaged("it has another number of splits"));
        }
        Ok(Stand { next_ordinal, highest, reached, bytes, counts, aside, turn, splits })
    }
}

impl Source {
    /// Writes where it stands. Between two pulls.
    pub fn save(&self, to: &mut Writer) -> Result<()> {
        to.word(self.next_ordinal);
        to.word(self.highest as u64);
        to.word(self.clock.reached() as u64);
        to.word(self.bytes);
        for count in [self.counts.read, self.counts.bad, self.counts.filtered, self.counts.late, self.counts.delivered]
        {
            to.word(count);
        }
        let (bad, late) = self.aside.rows();
        to.word(bad);
        to.word(late);
        to.flag(self.turn.is_some());
        let (chosen, left) = self.turn.unwrap_or_default();
        to.count(chosen);
        to.word(left);
        to.count(self.splits.len());
        for split in &self.splits {
            to.count(split.number);
            to.word(split.time.highest as u64);
            to.word(split.time.ahead as u64);
            to.word(split.time.leaps);
            to.flag(split.ended);
            let at = split.reader.as_ref().map(|reader| reader.position()).or(split.begin).filter(|_| !split.ended);
            to.flag(at.is_some());
            if let Some(at) = at {
                to.word(at);
                to.word(u64::from(self.before(split, at)?));
            }
        }
        Ok(())
    }

    /// Goes on where the same source of another run has stood. Only on a new one.
    pub fn restore(&mut self, stand: &Stand) -> Result<()> {
        let numbers = || self.splits.iter().map(|split| split.number);
        if !numbers().eq(stand.splits.iter().map(|split| split.number)) {
            return Err(damaged("it has other splits"));
        }
        self.turn = stand.turn;
        self.count_on(std::slice::from_ref(stand))?;
        self.begin_at(std::slice::from_ref(stand))
    }

    /// Goes on where the sources of the same table on another number of shards have stood, `stands`, with the
    /// splits that are dealt to this one now. What `counted` of them have counted, this one counts on.
    pub fn adopt(&mut self, stands: &[Stand], counted: &[Stand]) -> Result<()> {
        self.count_on(counted)?;
        for stand in stands {
            self.next_ordinal = self.next_ordinal.max(stand.next_ordinal);
            self.highest = self.highest.max(stand.highest);
            self.clock.carry_on(stand.reached);
        }
        self.begin_at(stands)
    }

    fn count_on(&mut self, stands: &[Stand]) -> Result<()> {
        for stand in stands {
            self.next_ordinal = self.next_ordinal.max(stand.next_ordinal);
            self.highest = self.highest.max(stand.highest);
            self.clock.carry_on(stand.reached);
            self.bytes += stand.bytes;
            self.counts += stand.counts;
            self.aside.count_on(stand.aside);
        }
        self.before = (self.counts.read, self.bytes);
        match &self.bad_limit {
            Some(limit) => limit.count(self.counts.bad, None),
            None => Ok(()),
        }
    }

    fn begin_at(&mut self, stands: &[Stand]) -> Result<()> {
        let known: HashMap<usize, &SplitStand> =
            stands.iter().flat_map(|stand| &stand.splits).map(|split| (split.number, split)).collect();
        for number in 0..self.splits.len() {
            let stand = known.get(&self.splits[number].number);
            let stand = stand.ok_or_else(|| damaged("a split is missing"))?;
            if let Some((at, sum)) = stand.begin
                && self.before(&self.splits[number], at)? != sum
            {
                return Err(self.changed(number, at));
            }
            let split = &mut self.splits[number];
            (split.time, split.ended, split.begin) = (stand.time, stand.ended, stand.begin.map(|(at, _)| at));
        }
        self.ticks = self.ticks.map(|ticks| ticks.from(&self.clock));
        // The rows that were read before are not due again.
        self.pace = self.pace.map(|pace| Pace { first: self.next_ordinal, ..pace });
        Ok(())
    }

    /// Sums up the bytes before `at`.
    fn before(&self, split: &OpenSplit, at: u64) -> Result<u32> {
        let file = &self.input.files[self.input.splits[split.number].file].file;
        let start = at.saturating_sub(BEFORE_BYTES);
        let mut bytes = vec![0; (at - start) as usize];
        let count = read_full(&**file, &mut bytes, start)?;
        Ok(crc32c::crc32c(&bytes[..count]))
    }

    fn changed(&self, split: usize, at: u64) -> Error {
        let file = &self.input.files[self.input.splits[self.splits[split].number].file].file;
        let message = format!("`{}` was changed before byte {at}, up to which it has been read", file.name());
        Error::new(Code::Input, message).help("bring the file back, or begin again with --from-scratch")
    }
}
