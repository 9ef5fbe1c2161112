//! RANGE frames: the rows of a partition whose times lie in a span that ends at a row's own time.
//!
//! All rows of one time have one result, so a result is known when a later time comes, or the
//! watermark, or the end. The rows of a frame stand in a queue whose front part carries what its
//! tails add up to (two stacks; Tangwongsan et al., VLDB 2015), so that a row costs a few operations
//! whatever the data, and sums of doubles do not drift.

use std::collections::VecDeque;
use std::sync::Arc;

use super::frame::{Bytes, Double, Item};
use crate::agg::decimal_mean;
use crate::batch::{Data, Vector};
use crate::error::{Code, Error, Result};
use crate::operator::Time;
use crate::plan::{AggregateFunction, OverCall, OverFunction};
use crate::state::{Reader, Writer, damaged};
use crate::types::{DataType, Physical, Value};

/// One call with a RANGE frame, over all partitions.
pub(crate) struct Range {
    pub(crate) call: OverCall,
    pub(crate) argument: Option<usize>,
    frames: Frames,
}

/// Frames of one shape, one per partition.
enum Frames {
    I64(Vec<Frame<i64>>),
    I128(Vec<Frame<i128>>),
    F64(Vec<Frame<Double>>),
    Text(Vec<Frame<Bytes>>),
}

/// What some rows add up to.
#[derive(Clone)]
struct Part<T> {
    count: u64,
    /// `None` when it has left the range.
    sum: Option<i128>,
    double: f64,
    least: T,
    greatest: T,
}

impl<T: Item> Part<T> {
    fn none() -> Self {
        Part { count: 0, sum: Some(0), double: 0.0, least: T::most(), greatest: T::least() }
    }

    fn of(value: &T, null: bool) -> Self {
        match null {
            true => Part::none(),
            false => Part {
                count: 1,
                sum: Some(value.exact()),
                double: value.double(),
                least: value.clone(),
                greatest: value.clone(),
            },
        }
    }

    fn save(&self, to: &mut Writer) {
        to.word(self.count);
        to.flag(self.sum.is_some());
        to.long(self.sum.unwrap_or(0));
        to.word(self.double.to_bits());
        self.least.save(to);
        self.greatest.save(to);
    }

    fn load(from: &mut Reader<'_>) -> Result<Self> {
        let (count, has_sum, sum) = (from.word()?, from.flag()?, from.long()?);
        let double = f64::from_bits(from.word()?);
        Ok(Part { count, sum: has_sum.then_some(sum), double, least: T::load(from)?, greatest: T::load(from)? })
    }

    fn with(&self, other: &Self) -> Self {
        Part {
            count: self.count + other.count,
            sum: self.sum.zip(other.sum).and_then(|(left, right)| left.checked_add(right)),
            double: self.double + other.double,
            least: (&self.least).min(&other.least).clone(),
            greatest: (&self.greatest).max(&other.greatest).clone(),
        }
    }
}

struct Frame<T> {
    /// Time and part of each row; of the first `front` rows the part is that of all up to there.
    rows: VecDeque<(Time, Part<T>)>,
    front: usize,
    /// What the other rows add up to; of an unbounded frame all.
    back: Part<T>,
}

impl<T: Item> Frame<T> {
    fn new() -> Self {
        Frame { rows: VecDeque::new(), front: 0, back: Part::none() }
    }

    fn push(&mut self, time: Time, value: &T, null: bool, bounded: bool) {
        let part = Part::of(value, null);
        self.back = self.back.with(&part);
        if bounded {
            self.rows.push_back((time, part));
        }
    }

    /// Drops the rows before `first`.
    fn evict(&mut self, first: Time) {
        while self.rows.front().is_some_and(|row| row.0 < first) {
            if self.front == 0 {
                let mut tail = Part::none();
                for (_, part) in self.rows.iter_mut().rev() {
                    tail = part.with(&tail);
                    part.clone_from(&tail);
                }
                self.front = self.rows.len();
                self.back = Part::none();
            }
            self.rows.pop_front();
            self.front -= 1;
        }
    }

    fn part(&self) -> Part<T> {
        match self.rows.front() {
            Some((_, front)) if self.front > 0 => front.with(&self.back),
            _ => self.back.clone(),
        }
    }

    fn save(&self, to: &mut Writer) {
        to.count(self.rows.len());
        for (time, part) in &self.rows {
            to.word(*time as u64);
            part.save(to);
        }
        to.count(self.front);
        self.back.save(to);
    }

    fn load(from: &mut Reader<'_>) -> Result<Self> {
        let mut frame = Frame::new();
        for _ in 0..from.count(9)? {
            let time = from.word()? as Time;
            frame.rows.push_back((time, Part::load(from)?));
        }
        frame.front = usize::try_from(from.word()?).unwrap_or(usize::MAX);
        frame.back = Part::load(from)?;
        let is_meant = frame.front <= frame.rows.len() && frame.rows.iter().is_sorted_by_key(|row| row.0);
        if is_meant { Ok(frame) } else { Err(damaged("a RANGE frame cannot be meant")) }
    }

    fn memory(&self) -> usize {
        size_of::<Self>() + self.rows.capacity() * size_of::<(Time, Part<T>)>()
    }
}

impl Range {
    /// For `call`, whose argument has this number and shape.
    pub(crate) fn new(call: &OverCall, argument: Option<(usize, Physical)>) -> Result<Range> {
        let frames = match argument.map_or(Physical::I64, |argument| argument.1) {
            Physical::I64 => Frames::I64(Vec::new()),
            Physical::I128 => Frames::I128(Vec::new()),
            Physical::F64 => Frames::F64(Vec::new()),
            Physical::Text => Frames::Text(Vec::new()),
        };
        Ok(Range { call: call.clone(), argument: argument.map(|argument| argument.0), frames })
    }

    /// Takes row `row` of its chunk, which is of partition `partition`.
    pub(crate) fn push(
        &mut self,
        partitions: usize,
        partition: usize,
        time: Time,
        arguments: &[Vector<'_>],
        row: usize,
    ) {
        fn push<T: Item>(
            frames: &mut Vec<Frame<T>>,
            partitions: usize,
            at: usize,
            row: (Time, T, bool),
            bounded: bool,
        ) {
            frames.resize_with(partitions, Frame::new);
            frames[at].push(row.0, &row.1, row.2, bounded);
        }
        let bounded = self.call.range != Some(i64::MAX);
        let argument = self.argument.map(|argument| &arguments[argument]);
        let null = argument.is_some_and(|argument| argument.is_null(row));
        match (&mut self.frames, argument.map(|argument| argument.data)) {
            (Frames::I64(frames), None) => push(frames, partitions, partition, (time, 0, false), bounded),
            (Frames::I64(frames), Some(Data::I64(values))) => {
                push(frames, partitions, partition, (time, values[row], null), bounded);
            }
            (Frames::I128(frames), Some(Data::I128(values))) => {
                push(frames, partitions, partition, (time, values[row], null), bounded);
            }
            (Frames::F64(frames), Some(Data::F64(values))) => {
                push(frames, partitions, partition, (time, Double::new(values[row]), null), bounded);
            }
            (Frames::Text(frames), Some(Data::Text(values))) => {
                let text = Bytes::Text(Arc::from(values[row].as_bytes()));
                push(frames, partitions, partition, (time, text, null), bounded);
            }
            _ => panic!("one argument has one shape"),
        }
    }

    /// The result of the rows of `partition` at `time`, all of which have been taken.
    pub(crate) fn answer(&mut self, partition: usize, time: Time) -> Result<Value> {
        let first = time.saturating_sub(self.call.range.unwrap_or(i64::MAX));
        let call = &self.call;
        fn part<T: Item>(frame: &mut Frame<T>, first: Time) -> Part<T> {
            frame.evict(first);
            frame.part()
        }
        match &mut self.frames {
            Frames::I64(frames) => answer(call, part(&mut frames[partition], first), Value::I64),
            Frames::I128(frames) => answer(call, part(&mut frames[partition], first), Value::I128),
            Frames::F64(frames) => answer(call, part(&mut frames[partition], first), |value| Value::F64(value.get())),
            Frames::Text(frames) => answer(call, part(&mut frames[partition], first), |value| match value {
                Bytes::Text(bytes) if call.data_type.is_nested() => Value::Nested(bytes.to_vec()),
                Bytes::Text(bytes) => Value::Text(String::from_utf8_lossy(&bytes).into_owned()),
                Bytes::Least | Bytes::Most => Value::Null,
            }),
        }
    }

    /// Writes the frame of a partition.
    pub(crate) fn save(&self, partition: usize, to: &mut Writer) {
        fn save<T: Item>(frames: &[Frame<T>], partition: usize, to: &mut Writer) {
            // Of a partition without rows since the frame was made there is none yet.
            frames.get(partition).unwrap_or(&Frame::new()).save(to);
        }
        match &self.frames {
            Frames::I64(frames) => save(frames, partition, to),
            Frames::I128(frames) => save(frames, partition, to),
            Frames::F64(frames) => save(frames, partition, to),
            Frames::Text(frames) => save(frames, partition, to),
        }
    }

    /// Reads the frame of the next partition.
    pub(crate) fn load(&mut self, from: &mut Reader<'_>) -> Result<()> {
        match &mut self.frames {
            Frames::I64(frames) => frames.push(Frame::load(from)?),
            Frames::I128(frames) => frames.push(Frame::load(from)?),
            Frames::F64(frames) => frames.push(Frame::load(from)?),
            Frames::Text(frames) => frames.push(Frame::load(from)?),
        }
        Ok(())
    }

    /// Bytes held.
    pub(crate) fn memory(&self) -> usize {
        match &self.frames {
            Frames::I64(frames) => frames.iter().map(Frame::memory).sum(),
            Frames::I128(frames) => frames.iter().map(Frame::memory).sum(),
            Frames::F64(frames) => frames.iter().map(Frame::memory).sum(),
            Frames::Text(frames) => frames.iter().map(Frame::memory).sum(),
        }
    }
}

fn answer<T: Item>(call: &OverCall, part: Part<T>, value: impl Fn(T) -> Value) -> Result<Value> {
    use AggregateFunction as F;
    let OverFunction::Aggregate(function) = call.function else {
        return Err(Error::new(Code::Internal, "a RANGE frame was planned for no aggregate").at(call.span));
    };
    if function == F::Count {
        return Ok(Value::I64(part.count as i64));
    }
    if part.count == 0 {
        return Ok(Value::Null);
    }
    let from = call.arguments.first().map_or(DataType::BigInt, |argument| argument.data_type);
    let overflow = || {
        let name = if function == F::Avg { "AVG" } else { "SUM" };
        Error::new(Code::Overflow, format!("{name} leaves the range of {}", call.data_type))
            .at(call.span)
            .help("cast the argument to DOUBLE")
    };
    let exact = || part.sum.ok_or_else(overflow);
    let whole = match (function, from) {
        (F::Min | F::BoolAnd, _) => return Ok(value(part.least)),
        (F::Max | F::BoolOr, _) => return Ok(value(part.greatest)),
        (F::Sum, DataType::Double) => return Ok(Value::F64(part.double)),
        (F::Avg, DataType::Double) => return Ok(Value::F64(part.double / part.count as f64)),
        (F::Avg, from) => match call.data_type {
            DataType::Decimal { scale, .. } => {
                decimal_mean(exact()?, part.count, scale - from.scale()).ok_or_else(overflow)?
            }
            _ => {
                return Ok(Value::F64(exact()? as f64 / 10f64.powi(i32::from(from.scale())) / part.count as f64));
            }
        },
        _ => exact()?,
    };
    if whole.unsigned_abs() >= 10u128.pow(38) {
        return Err(overflow());
    }
    match call.data_type.physical() {
        Physical::I128 => Ok(Value::I128(whole)),
        _ => i64::try_from(whole).map(Value::I64).map_err(|_| overflow()),
    }
}

/// Whether `function` can have a RANGE frame.
pub(crate) fn takes_range(function: AggregateFunction) -> bool {
    use AggregateFunction as F;
    matches!(function, F::Count | F::Sum | F::Avg | F::Min | F::Max | F::BoolAnd | F::BoolOr)
}
