//! Where a source stands, written and taken up again.
//!
//! A split that has been begun is known by the offset of the next row and by its time. What is before
//! that offset must be the same when another run goes on: the bytes just before it are summed up.

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

impl Source {
    /// Writes where it stands. Between two pulls.
    pub fn save(&self, to: &mut Writer) -> Result<()> {
        to.word(self.next_ordinal);
        to.word(self.highest as u64);
        to.word(self.bytes);
        for count in [self.counts.read, self.counts.bad, self.counts.filtered, self.counts.late, self.counts.delivered]
        {
            to.word(count);
        }
        to.flag(self.turn.is_some());
        let (chosen, left) = self.turn.unwrap_or_default();
        to.count(chosen);
        to.word(left);
        to.count(self.splits.len());
        for split in &self.splits {
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

    /// Takes over what the same source of another run wrote. Only on a new one.
    pub fn restore(&mut self, from: &mut Reader<'_>) -> Result<()> {
        self.next_ordinal = from.word()?;
        self.highest = from.word()? as i64;
        self.bytes = from.word()?;
        let [read, bad, filtered, late, delivered] =
            [from.word()?, from.word()?, from.word()?, from.word()?, from.word()?];
        self.counts = Counts { read, bad, filtered, late, delivered };
        self.before = (read, self.bytes);
        if let Some(limit) = &self.bad_limit {
            limit.count(bad, None)?;
        }
        let (has_turn, chosen, left) = (from.flag()?, from.word()? as usize, from.word()?);
        self.turn = has_turn.then_some((chosen, left));
        if from.count(26)? != self.splits.len() || (has_turn && chosen >= self.splits.len()) {
            return Err(damaged("it has another number of splits"));
        }
        for number in 0..self.splits.len() {
            let time = SplitTime { highest: from.word()? as i64, ahead: from.word()? as i64, leaps: from.word()? };
            let (ended, has_begun) = (from.flag()?, from.flag()?);
            let mut begin = None;
            if has_begun {
                let (at, sum) = (from.word()?, from.word()?);
                if u64::from(self.before(&self.splits[number], at)?) != sum {
                    return Err(self.changed(number, at));
                }
                begin = Some(at);
            }
            let split = &mut self.splits[number];
            (split.time, split.ended, split.begin) = (time, ended, begin);
        }
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
