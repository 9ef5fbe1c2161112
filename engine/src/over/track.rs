//! A track: one frame over one argument, for all partitions and all calls that share it.

use std::sync::Arc;

use bumpalo::Bump;

use super::frame::{Bytes, Double, Frame, Item, Wants};
use super::whole;
use crate::agg::decimal_mean;
use crate::batch::{Data, Text, Vector};
use crate::error::{Code, Error, Result};
use crate::operator::{Column, Values};
use crate::plan::{AggregateFunction, OverCall, OverFunction};
use crate::state::{Reader, Writer};
use crate::types::{DataType, Physical, Value};

/// Frames of one shape, one per partition.
enum Frames {
    /// No argument: only rows are counted.
    Rows(Vec<u64>),
    I64(Vec<Frame<i64>>),
    I128(Vec<Frame<i128>>),
    F64(Vec<Frame<Double>>),
    Text(Vec<Frame<Bytes>>),
    /// RANK and DENSE_RANK.
    Ranks(Vec<Rank>),
}

/// Where a partition stands in order of time.
#[derive(Clone, Copy, Default)]
struct Rank {
    rows: u64,
    /// Of the last row.
    time: i64,
    rank: u64,
    dense: u64,
}

impl Rank {
    /// The next row, which is of the last one's time or later.
    fn take(&mut self, time: i64) {
        self.rows += 1;
        if self.rows == 1 || time != self.time {
            (self.time, self.rank, self.dense) = (time, self.rows, self.dense + 1);
        }
    }
}

/// What a call reads from its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    RowNumber,
    Count,
    Sum,
    Avg,
    Min,
    Max,
    Nth(usize),
    Last,
    Lag,
    Deviation,
    Rank,
    DenseRank,
}

/// One frame over one argument.
pub(crate) struct Track {
    argument: Option<usize>,
    /// Rows in the frame; `None` is all.
    width: Option<usize>,
    /// The frame ends before the current row (LAG).
    lag: bool,
    /// How many rows behind the current one the frame ends: what is answered for a row is the answer of
    /// the row so many before it.
    following: u64,
    wants: Wants,
    frames: Frames,
    /// (number of the call, what it asks).
    asks: Vec<(usize, Ask)>,
}

impl Track {
    /// A track for `call` alone, whose argument has this number and shape.
    pub(crate) fn of(call: &OverCall, argument: Option<(usize, Physical)>, buffer: Option<u64>) -> Result<Track> {
        use AggregateFunction as F;
        let physical = argument.map(|argument| argument.1);
        let ask = match &call.function {
            OverFunction::RowNumber => Ask::RowNumber,
            OverFunction::Lag { .. } => Ask::Lag,
            OverFunction::FirstValue | OverFunction::Aggregate(F::First) => Ask::Nth(0),
            OverFunction::LastValue | OverFunction::Aggregate(F::Last) => Ask::Last,
            OverFunction::Aggregate(F::Count) => Ask::Count,
            OverFunction::Aggregate(F::Min | F::BoolAnd) => Ask::Min,
            OverFunction::Aggregate(F::Max | F::BoolOr) => Ask::Max,
            OverFunction::Aggregate(F::Sum | F::Avg) if physical == Some(Physical::Text) => {
                return Err(Error::new(Code::Type, "this aggregate does not take a STRING")
                    .help("convert it with CAST(.. AS DOUBLE)"));
            }
            OverFunction::Aggregate(F::Sum) => Ask::Sum,
            OverFunction::Aggregate(F::Avg) => Ask::Avg,
            OverFunction::Aggregate(F::VarPop | F::VarSamp | F::StddevPop | F::StddevSamp) => Ask::Deviation,
            OverFunction::NthValue(number) => Ask::Nth(usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX)),
            OverFunction::Rank => Ask::Rank,
            OverFunction::DenseRank => Ask::DenseRank,
            OverFunction::Aggregate(function) if function.keeps_values() || function.is_of_pairs() => {
                return Err(Error::new(Code::Unsupported, "this aggregate OVER is not supported"));
            }
            OverFunction::Lead { .. } | OverFunction::Aggregate(_) => {
                unreachable!("LEAD has no track, and every aggregate is named above")
            }
        };
        let cap = |rows: u64| usize::try_from(rows.min(buffer.unwrap_or(u64::MAX)).max(1)).unwrap_or(usize::MAX);
        let width = match &call.function {
            OverFunction::Lag { offset, .. } => Some(usize::try_from(*offset).unwrap_or(usize::MAX)),
            OverFunction::RowNumber | OverFunction::Rank | OverFunction::DenseRank => None,
            _ => call.preceding.map(|rows| cap(rows.saturating_add(1))),
        };
        let frames = match physical {
            None if matches!(ask, Ask::Rank | Ask::DenseRank) => Frames::Ranks(Vec::new()),
            None => Frames::Rows(Vec::new()),
            Some(Physical::I64) => Frames::I64(Vec::new()),
            Some(Physical::I128) => Frames::I128(Vec::new()),
            Some(Physical::F64) => Frames::F64(Vec::new()),
            Some(Physical::Text) => Frames::Text(Vec::new()),
        };
        if physical.is_none() && !matches!(ask, Ask::RowNumber | Ask::Count | Ask::Rank | Ask::DenseRank) {
            return Err(Error::new(Code::Internal, "a window function has no argument"));
        }
        let sums = matches!(ask, Ask::Sum | Ask::Avg);
        let double = physical == Some(Physical::F64);
        let wants = Wants {
            sum: sums && !double,
            double_sum: sums && double,
            extremes: matches!(ask, Ask::Min | Ask::Max),
            moments: ask == Ask::Deviation,
            heads: if let Ask::Nth(number) = ask { number.saturating_add(1) } else { 0 },
        };
        let argument = argument.map(|argument| argument.0);
        let (lag, following) = (ask == Ask::Lag, call.following);
        Ok(Track { argument, width, lag, following, wants, frames, asks: vec![(0, ask)] })
    }

    /// Whether the two can be one.
    pub(crate) fn shares(&self, other: &Track) -> bool {
        let ranks = |track: &Track| matches!(track.frames, Frames::Ranks(_));
        let key = |track: &Track| (track.argument, track.width, track.lag, track.following, ranks(track));
        key(self) == key(other)
    }

    /// This track for call `number`.
    pub(crate) fn begin(mut self, number: usize) -> Track {
        self.asks[0].0 = number;
        self
    }

    /// Adds call `number`, whose own track would be `other`.
    pub(crate) fn join(&mut self, number: usize, other: Track) {
        self.wants = self.wants.or(other.wants);
        self.asks.push((number, other.asks[0].1));
    }

    /// Takes rows in order, given the number of partitions and each row's; writes the results of its calls.
    pub(crate) fn run(
        &mut self,
        (partitions, partition): (usize, &[u32]),
        arguments: &[Vector<'_>],
        times: Option<&[i64]>,
        calls: &[OverCall],
        out: &mut [Column<'_>],
        scratch: &Bump,
    ) -> Result<()> {
        let Track { argument, width, lag, wants, frames, asks, .. } = self;
        let job = Job { partition, width: *width, lag: *lag, wants: *wants, asks, calls };
        if let Frames::Ranks(ranks) = frames {
            ranks.resize(partitions, Rank::default());
            for (row, &partition) in partition.iter().enumerate() {
                let rank = &mut ranks[partition as usize];
                rank.take(times.map_or(0, |times| times[row]));
                for &(call, ask) in asks.iter() {
                    out[call].i64s()[row] = if ask == Ask::Rank { rank.rank } else { rank.dense } as i64;
                }
            }
            return Ok(());
        }
        let Some(argument) = argument else {
            let Frames::Rows(rows) = frames else { unreachable!("a track without argument counts rows") };
            rows.resize(partitions, 0);
            for (row, &partition) in partition.iter().enumerate() {
                let seen = &mut rows[partition as usize];
                *seen += 1;
                for &(call, ask) in asks.iter() {
                    let frame =
                        if ask == Ask::RowNumber { u64::MAX } else { width.map_or(u64::MAX, |width| width as u64) };
                    out[call].i64s()[row] = (*seen).min(frame) as i64;
                }
            }
            return Ok(());
        };
        let argument = &arguments[*argument];
        let at_once = width.filter(|_| !*lag && argument.nulls.is_none() && whole::answers(asks));
        if let (Frames::I64(frames), Data::I64(values), Some(width)) = (&mut *frames, argument.data, at_once) {
            frames.resize_with(partitions, Frame::new);
            return whole::run(frames, partition, values, (width, *wants), (asks, calls), out, scratch);
        }
        match (frames, argument.data) {
            (Frames::I64(frames), Data::I64(values)) => job.run(
                frames,
                partitions,
                argument,
                out,
                |row| values[row],
                |out, row, value| out.i64s()[row] = *value,
            ),
            (Frames::I128(frames), Data::I128(values)) => job.run(
                frames,
                partitions,
                argument,
                out,
                |row| values[row],
                |out, row, value| out.i128s()[row] = *value,
            ),
            (Frames::F64(frames), Data::F64(values)) => job.run(
                frames,
                partitions,
                argument,
                out,
                |row| Double::new(values[row]),
                |out, row, value| out.f64s()[row] = value.get(),
            ),
            (Frames::Text(frames), Data::Text(values)) => job.run(
                frames,
                partitions,
                argument,
                out,
                |row| Bytes::Text(Arc::from(values[row].as_bytes())),
                |out, row, value| {
                    if let Bytes::Text(bytes) = value {
                        out.set_text(row, Text::new(bytes));
                    }
                },
            ),
            _ => panic!("one argument has one shape"),
        }
    }

    /// Rows behind the current one that the frame ends.
    pub(crate) fn following(&self) -> u64 {
        self.following
    }

    /// Takes `rows` rows without a value into the frame of `partition`, and writes what its calls answer.
    pub(crate) fn pad(
        &mut self,
        (partition, partitions): (usize, usize),
        rows: usize,
        calls: &[OverCall],
        out: &mut [Column<'_>],
        scratch: &Bump,
    ) -> Result<()> {
        let data = match &self.frames {
            Frames::I64(_) => Data::I64(scratch.alloc_slice_fill_copy(rows, 0)),
            Frames::I128(_) => Data::I128(scratch.alloc_slice_fill_copy(rows, 0)),
            Frames::F64(_) => Data::F64(scratch.alloc_slice_fill_copy(rows, 0.0)),
            Frames::Text(_) => Data::Text(scratch.alloc_slice_fill_copy(rows, Text::EMPTY)),
            Frames::Rows(_) | Frames::Ranks(_) => panic!("a frame that ends behind the current row has an argument"),
        };
        let nulls = scratch.alloc_slice_fill_copy(rows.div_ceil(64).max(1), u64::MAX);
        let nothing = Vector { data, nulls: Some(nulls) };
        let places = scratch.alloc_slice_fill_copy(rows, partition as u32);
        let argument = self.argument.replace(0);
        let done = self.run((partitions, places), &[nothing], None, calls, out, scratch);
        self.argument = argument;
        done
    }

    /// The calls it answers.
    pub(crate) fn calls(&self) -> impl Iterator<Item = usize> {
        self.asks.iter().map(|ask| ask.0)
    }

    /// Writes the frame of a partition.
    pub(crate) fn save(&self, partition: usize, to: &mut Writer) {
        match &self.frames {
            Frames::Rows(rows) => to.word(rows[partition]),
            Frames::I64(frames) => frames[partition].save(to),
            Frames::I128(frames) => frames[partition].save(to),
            Frames::F64(frames) => frames[partition].save(to),
            Frames::Text(frames) => frames[partition].save(to),
            Frames::Ranks(ranks) => {
                let Rank { rows, time, rank, dense } = ranks[partition];
                [rows, time as u64, rank, dense].into_iter().for_each(|word| to.word(word));
            }
        }
    }

    /// Reads the frame of the next partition.
    pub(crate) fn load(&mut self, from: &mut Reader<'_>) -> Result<()> {
        match &mut self.frames {
            Frames::Rows(rows) => rows.push(from.word()?),
            Frames::I64(frames) => frames.push(Frame::load(self.width, self.wants, from)?),
            Frames::I128(frames) => frames.push(Frame::load(self.width, self.wants, from)?),
            Frames::F64(frames) => frames.push(Frame::load(self.width, self.wants, from)?),
            Frames::Text(frames) => frames.push(Frame::load(self.width, self.wants, from)?),
            Frames::Ranks(ranks) => {
                let (rows, time) = (from.word()?, from.word()? as i64);
                ranks.push(Rank { rows, time, rank: from.word()?, dense: from.word()? });
            }
        }
        Ok(())
    }

    /// Bytes held.
    pub(crate) fn memory(&self) -> usize {
        match &self.frames {
            Frames::Rows(rows) => rows.capacity() * 8,
            Frames::I64(frames) => frames.iter().map(Frame::memory).sum(),
            Frames::I128(frames) => frames.iter().map(Frame::memory).sum(),
            Frames::F64(frames) => frames.iter().map(Frame::memory).sum(),
            Frames::Text(frames) => frames.iter().map(Frame::memory).sum(),
            Frames::Ranks(ranks) => ranks.capacity() * size_of::<Rank>(),
        }
    }
}

/// One chunk's work for a track.
struct Job<'j> {
    partition: &'j [u32],
    width: Option<usize>,
    lag: bool,
    wants: Wants,
    asks: &'j [(usize, Ask)],
    calls: &'j [OverCall],
}

impl Job<'_> {
    fn run<T: Item>(
        &self,
        frames: &mut Vec<Frame<T>>,
        partitions: usize,
        argument: &Vector<'_>,
        out: &mut [Column<'_>],
        value: impl Fn(usize) -> T,
        put: impl Fn(&mut Column<'_>, usize, &T),
    ) -> Result<()> {
        frames.resize_with(partitions, Frame::new);
        for (row, &partition) in self.partition.iter().enumerate() {
            let frame = &mut frames[partition as usize];
            let null = argument.is_null(row);
            if self.lag {
                self.lag(frame, row, value(row), null, out, &put)?;
                continue;
            }
            frame.push(value(row), null, self.width, self.wants).map_err(|error| self.place(error))?;
            for &(call, ask) in self.asks {
                let out = &mut out[call];
                match ask {
                    Ask::Count => out.i64s()[row] = frame.count as i64,
                    Ask::Nth(number) => match frame.nth(number, self.width) {
                        Some(value) => put(out, row, value),
                        None => out.set_null(row),
                    },
                    Ask::Last if null => out.set_null(row),
                    Ask::Last => put(out, row, &value(row)),
                    _ if frame.count == 0 => out.set_null(row),
                    Ask::Min => put(out, row, frame.least()),
                    Ask::Max => put(out, row, frame.greatest()),
                    Ask::Sum | Ask::Avg => self.sum(frame, ask, &self.calls[call], row, out)?,
                    Ask::Deviation => match deviation(&self.calls[call].function, frame.moments()) {
                        Some(deviation) => out.f64s()[row] = deviation,
                        None => out.set_null(row),
                    },
                    Ask::RowNumber | Ask::Lag | Ask::Rank | Ask::DenseRank => {
                        unreachable!("these have tracks of their own")
                    }
                }
            }
        }
        Ok(())
    }

    fn lag<T: Item>(
        &self,
        frame: &mut Frame<T>,
        row: usize,
        value: T,
        null: bool,
        out: &mut [Column<'_>],
        put: &impl Fn(&mut Column<'_>, usize, &T),
    ) -> Result<()> {
        let width = self.width.expect("LAG has an offset");
        for &(call, _) in self.asks {
            let OverFunction::Lag { default, .. } = &self.calls[call].function else { continue };
            let out = &mut out[call];
            let before = if width == 0 { Some((!null).then_some(&value)) } else { frame.leaving(width) };
            match before {
                Some(Some(value)) => put(out, row, value),
                Some(None) => out.set_null(row),
                None => put_default(out, row, default.as_ref()),
            }
        }
        if width > 0 { frame.push(value, null, Some(width), Wants::default()) } else { Ok(()) }
    }

    fn sum<T: Item>(
        &self,
        frame: &Frame<T>,
        ask: Ask,
        call: &OverCall,
        row: usize,
        out: &mut Column<'_>,
    ) -> Result<()> {
        let from = call.arguments[0].data_type;
        let count = frame.count;
        if self.wants.double_sum {
            let sum = frame.double_sum();
            out.f64s()[row] = if ask == Ask::Sum { sum } else { sum / count as f64 };
            return Ok(());
        }
        let overflow = || exact_overflow(ask, call);
        let exact = match (ask, call.data_type) {
            (Ask::Avg, DataType::Decimal { scale, .. }) => {
                decimal_mean(frame.sum, count, scale - from.scale()).ok_or_else(overflow)?
            }
            (Ask::Avg, _) => {
                out.f64s()[row] = frame.sum as f64 / 10f64.powi(i32::from(from.scale())) / count as f64;
                return Ok(());
            }
            _ => frame.sum,
        };
        put_exact(out, row, exact).ok_or_else(overflow)
    }

    fn place(&self, error: Error) -> Error {
        let sums = self.asks.iter().find(|(_, ask)| matches!(ask, Ask::Sum | Ask::Avg));
        sums.map_or(error.clone(), |&(call, _)| error.at(self.calls[call].span))
    }
}

/// Writes a sum or mean, if it fits.
pub(super) fn put_exact(out: &mut Column<'_>, row: usize, exact: i128) -> Option<()> {
    if exact.unsigned_abs() >= 10u128.pow(38) {
        return None;
    }
    match &mut out.values {
        Values::I128(values) => values[row] = exact,
        Values::I64(values) => values[row] = i64::try_from(exact).ok()?,
        Values::F64(values) => values[row] = exact as f64,
        Values::Text(_) => panic!("the plan promised a number"),
    }
    Some(())
}

/// The error of a sum or mean that does not fit.
pub(super) fn exact_overflow(ask: Ask, call: &OverCall) -> Error {
    let name = if ask == Ask::Sum { "SUM" } else { "AVG" };
    Error::new(Code::Overflow, format!("{name} leaves the range of {}", call.data_type))
        .at(call.span)
        .help("cast the argument to DOUBLE")
}

/// Variance or deviation of a frame with values; `None` where a sample is too small.
fn deviation(function: &OverFunction, [count, _, distance]: [f64; 3]) -> Option<f64> {
    use AggregateFunction as F;
    let OverFunction::Aggregate(function) = function else { return None };
    let divisor = if matches!(function, F::VarSamp | F::StddevSamp) { count - 1.0 } else { count };
    let variance = (divisor > 0.0).then(|| distance / divisor)?;
    Some(if matches!(function, F::StddevPop | F::StddevSamp) { variance.sqrt() } else { variance })
}

fn put_default(out: &mut Column<'_>, row: usize, default: Option<&Value>) {
    match default {
        None | Some(Value::Null) => out.set_null(row),
        Some(Value::I64(value)) => out.i64s()[row] = *value,
        Some(Value::I128(value)) => out.i128s()[row] = *value,
        Some(Value::F64(value)) => out.f64s()[row] = *value,
        Some(Value::Text(value)) => out.set_text(row, Text::new(value.as_bytes())),
        Some(Value::Nested(value)) => out.set_text(row, Text::new(value)),
    }
}
