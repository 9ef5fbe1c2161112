//! LEAD, RANGE and frames that end behind the row: finished rows wait for a value that comes later.
//!
//! Rows wait in batches, in order. Each LEAD keeps, per partition, the rows that still lack their
//! value; the row `offset` later gives it. A batch leaves when all of its cells are filled, so rows
//! leave in order; at the end the default fills what is left.

pub(super) mod moved;

use std::collections::VecDeque;

use bumpalo::Bump;

use super::range::Range;
use crate::batch::{Batch, Chunk, Data, Vector};
use crate::error::Result;
use crate::operator::Time;
use crate::state::{Reader, Writer, columns, damaged};
use crate::types::{Physical, Value};

/// All LEADs of an OVER.
pub(crate) struct Leads {
    layout: Vec<Physical>,
    calls: Vec<Lead>,
    /// Column of the result in the output, and frames.
    ranges: Vec<(usize, Range)>,
    /// The time of the last rows, the rows of it, each with its partition, and what they wait for.
    time: Time,
    peers: Vec<(usize, u64, u16)>,
    waiting: VecDeque<Waiting>,
    /// Number of `waiting[0]`.
    first: u64,
    spare: Vec<Batch>,
    /// The batch given out last; it may be used again now.
    given: Option<Batch>,
}

struct Lead {
    /// Column of the result in the output.
    column: usize,
    from: From,
    offset: usize,
    default: Option<Value>,
    /// Per partition: (batch, row) of the rows that lack their value.
    open: Vec<VecDeque<(u64, u16)>>,
}

/// Where the value comes from that a row waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum From {
    /// The argument of this number.
    Argument(usize),
    /// The answer to the call of this number.
    Answer(usize),
}

struct Waiting {
    batch: Batch,
    /// Cells without their value.
    open: usize,
    /// Time of its first row.
    time: Option<Time>,
}

impl Leads {
    pub(crate) fn new(layout: Vec<Physical>) -> Self {
        Leads {
            layout,
            calls: Vec::new(),
            ranges: Vec::new(),
            time: Time::MIN,
            peers: Vec::new(),
            waiting: VecDeque::new(),
            first: 0,
            spare: Vec::new(),
            given: None,
        }
    }

    pub(crate) fn add(&mut self, column: usize, from: From, offset: u64, default: Option<Value>) {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        self.calls.push(Lead { column, from, offset, default, open: Vec::new() });
    }

    /// Columns of the output.
    pub(crate) fn columns(&self) -> usize {
        self.layout.len()
    }

    /// The call whose results are in `column`.
    fn call(&mut self, column: usize) -> &mut Lead {
        self.calls.iter_mut().find(|call| call.column == column).expect("it was added")
    }

    /// How many rows of `partition` lack their value in `column`.
    pub(crate) fn lacking(&mut self, column: usize, partition: usize) -> usize {
        self.call(column).open.get(partition).map_or(0, VecDeque::len)
    }

    /// Fills `column` of the first rows of `partition` that lack it with the rows `from` on of `values`.
    pub(crate) fn fill(&mut self, column: usize, partition: usize, values: &Vector<'_>, from: usize) {
        for row in from..values.len() {
            let Some((number, to)) = self.call(column).open[partition].pop_front() else { return };
            let waiting = &mut self.waiting[(number - self.first) as usize];
            waiting.open -= 1;
            set(&mut waiting.batch, column, usize::from(to), values, row);
        }
    }

    pub(crate) fn add_range(&mut self, column: usize, range: Range) {
        self.ranges.push((column, range));
    }

    /// There is neither LEAD nor a RANGE frame.
    pub(crate) fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.ranges.is_empty()
    }

    /// Takes finished rows (but for LEAD's columns).
    pub(crate) fn push(
        &mut self,
        chunk: &Chunk<'_>,
        times: &[i64],
        partitions: usize,
        partition: &[u32],
        (arguments, answers): (&[Vector<'_>], &[Vector<'_>]),
        scratch: &Bump,
    ) -> Result<()> {
        let mut batch = self.spare.pop().unwrap_or_else(|| Batch::new(&self.layout));
        let all: &[u16] = scratch.alloc_slice_fill_iter(0..chunk.rows as u16);
        batch.append(chunk, all);
        let number = self.first + self.waiting.len() as u64;
        let time = times.first().copied();
        self.waiting.push_back(Waiting { batch, open: (self.calls.len() + self.ranges.len()) * chunk.rows, time });
        for call in &mut self.calls {
            call.open.resize_with(partitions, VecDeque::new);
            let values = match call.from {
                From::Argument(number) => &arguments[number],
                From::Answer(number) => &answers[number],
            };
            for (row, &partition) in (0u16..).zip(partition) {
                let open = &mut call.open[partition as usize];
                open.push_back((number, row));
                if open.len() > call.offset {
                    let (number, to) = open.pop_front().expect("just pushed");
                    let waiting = &mut self.waiting[(number - self.first) as usize];
                    waiting.open -= 1;
                    set(&mut waiting.batch, call.column, usize::from(to), values, usize::from(row));
                }
            }
        }
        if self.ranges.is_empty() {
            return Ok(());
        }
        for (row, (&partition, &time)) in partition.iter().zip(times).enumerate() {
            if time != self.time {
                self.end_time()?;
                self.time = time;
            }
            for (_, range) in &mut self.ranges {
                range.push(partitions, partition as usize, time, arguments, row);
            }
            self.peers.push((partition as usize, number, row as u16));
        }
        Ok(())
    }

    /// No more rows come of the last time: RANGE frames that end there have their results.
    pub(crate) fn end_time(&mut self) -> Result<()> {
        let Leads { ranges, peers, waiting, first, .. } = self;
        // Rows of one partition stand together, in order.
        peers.sort_unstable();
        for peers in peers.chunk_by(|left, right| left.0 == right.0) {
            for (column, range) in &mut *ranges {
                let value = range.answer(peers[0].0, self.time)?;
                for &(_, number, row) in peers {
                    let waiting = &mut waiting[(number - *first) as usize];
                    waiting.open -= 1;
                    set_value(&mut waiting.batch, *column, usize::from(row), Some(&value));
                }
            }
        }
        peers.clear();
        Ok(())
    }

    /// No more rows come: defaults fill what is open.
    pub(crate) fn finish(&mut self) {
        for call in &mut self.calls {
            for (number, row) in call.open.iter_mut().flat_map(|open| open.drain(..)) {
                let waiting = &mut self.waiting[(number - self.first) as usize];
                waiting.open -= 1;
                set_value(&mut waiting.batch, call.column, usize::from(row), call.default.as_ref());
            }
        }
    }

    /// Whether the first batch is complete.
    pub(crate) fn has_ready(&self) -> bool {
        self.waiting.front().is_some_and(|waiting| waiting.open == 0)
    }

    /// Time of the first row that waits.
    pub(crate) fn oldest(&self) -> Option<Time> {
        self.waiting.front().and_then(|waiting| waiting.time)
    }

    /// The first batch, which is complete.
    pub(crate) fn take<'a>(&'a mut self, scratch: &'a Bump) -> Chunk<'a> {
        if let Some(mut batch) = self.given.take() {
            batch.reset();
            self.spare.push(batch);
        }
        let waiting = self.waiting.pop_front().expect("asked only when there is one");
        self.first += 1;
        self.given.insert(waiting.batch).chunk(scratch)
    }

    /// Writes the rows that wait.
    pub(crate) fn save(&self, to: &mut Writer) {
        let mut scratch = Bump::new();
        to.word(self.time as u64);
        to.count(self.waiting.len());
        for waiting in &self.waiting {
            scratch.reset();
            to.flag(waiting.time.is_some());
            to.word(waiting.time.unwrap_or(0) as u64);
            columns::write_chunk(&waiting.batch.chunk(&scratch), to);
        }
    }

    /// Writes which rows of a partition lack their value.
    pub(crate) fn save_open(&self, partition: usize, to: &mut Writer) {
        for call in &self.calls {
            let open = &call.open[partition];
            to.count(open.len());
            for &(number, row) in open {
                to.word(number - self.first);
                to.word(u64::from(row));
            }
        }
        if !self.ranges.is_empty() {
            self.ranges.iter().for_each(|(_, range)| range.save(partition, to));
            let peers = || self.peers.iter().filter(|peer| peer.0 == partition);
            to.count(peers().count());
            for &(_, number, row) in peers() {
                to.word(number - self.first);
                to.word(u64::from(row));
            }
        }
    }

    /// Reads the rows that wait.
    pub(crate) fn load(&mut self, from: &mut Reader<'_>) -> Result<()> {
        self.time = from.word()? as Time;
        for _ in 0..from.count(1)? {
            let (has_time, time) = (from.flag()?, from.word()? as Time);
            let batch = columns::read_batch(from, &self.layout)?;
            self.waiting.push_back(Waiting { batch, open: 0, time: has_time.then_some(time) });
        }
        Ok(())
    }

    /// Reads which rows of `partition`, the next one, lack their value. `place` says where a row, as it was
    /// written, stands now.
    pub(crate) fn load_open(
        &mut self,
        partition: usize,
        place: impl Fn((u64, u64)) -> Option<(u64, u64)>,
        from: &mut Reader<'_>,
    ) -> Result<()> {
        let Leads { calls, ranges, peers, waiting, .. } = self;
        let mut read = |from: &mut Reader<'_>, cells: usize| -> Result<(u64, u16)> {
            let missing = || damaged("a row that waits for its value is missing");
            let (number, row) = place((from.word()?, from.word()?)).ok_or_else(missing)?;
            let waiting = usize::try_from(number).ok().and_then(|number| waiting.get_mut(number));
            let waiting = waiting.filter(|waiting| row < waiting.batch.rows() as u64);
            waiting.ok_or_else(missing)?.open += cells;
            Ok((number, row as u16))
        };
        for call in calls {
            let mut open = VecDeque::new();
            for _ in 0..from.count(16)? {
                open.push_back(read(from, 1)?);
            }
            if open.len() > call.offset {
                return Err(damaged("too many rows wait for LEAD"));
            }
            call.open.push(open);
        }
        if !ranges.is_empty() {
            ranges.iter_mut().try_for_each(|(_, range)| range.load(from))?;
            for _ in 0..from.count(16)? {
                let (number, row) = read(from, ranges.len())?;
                peers.push((partition, number, row));
            }
        }
        Ok(())
    }

    /// Bytes held.
    pub(crate) fn memory(&self) -> usize {
        self.waiting.iter().map(|waiting| &waiting.batch).chain(&self.spare).map(Batch::bytes).sum::<usize>()
            + self.ranges.iter().map(|(_, range)| range.memory()).sum::<usize>()
    }
}

fn set(batch: &mut Batch, column: usize, row: usize, source: &Vector<'_>, from: usize) {
    if source.is_null(from) {
        return batch.set_null(column, row);
    }
    match source.data {
        Data::I64(values) => batch.i64s_mut(column)[row] = values[from],
        Data::I128(values) => batch.i128s_mut(column)[row] = values[from],
        Data::F64(values) => batch.f64s_mut(column)[row] = values[from],
        Data::Text(values) => batch.texts_mut(column).set_view(row, values[from]),
    }
}

fn set_value(batch: &mut Batch, column: usize, row: usize, value: Option<&Value>) {
    match value {
        None | Some(Value::Null) => batch.set_null(column, row),
        Some(Value::I64(value)) => batch.i64s_mut(column)[row] = *value,
        Some(Value::I128(value)) => batch.i128s_mut(column)[row] = *value,
        Some(Value::F64(value)) => batch.f64s_mut(column)[row] = *value,
        Some(Value::Text(value)) => batch.texts_mut(column).set(row, value.as_bytes()),
        Some(Value::Nested(value)) => batch.texts_mut(column).set(row, value),
    }
}
