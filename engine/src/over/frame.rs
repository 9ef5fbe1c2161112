//! The last rows of one partition: moving sums, extremes and ends.
//!
//! A frame of `width` rows lies in two blocks: the current one, whose extremes so far are kept, and
//! the end of the one before, whose *suffix* extremes were worked out when it was full. So MIN and
//! MAX cost a few comparisons a row whatever the data (two stacks; Tangwongsan et al., VLDB 2015,
//! and van Herk 1992). The slot that a row overwrites is the row that leaves, so exact sums are kept
//! by adding and subtracting; sums of doubles come from the two blocks, like extremes, and never drift.

use std::cmp::{max, min};
use std::sync::Arc;

use crate::agg::{from_order_bits, merge_moments, order_bits};
use crate::error::{Code, Error, Result};
use crate::state::{Reader, Writer, columns, damaged};

/// A value in a frame.
pub(crate) trait Item: Clone + Ord + Send {
    /// Above all values.
    fn most() -> Self;
    /// Below all values.
    fn least() -> Self;
    /// The value as a summand, for whole numbers and decimals.
    fn exact(&self) -> i128 {
        0
    }
    /// The value as a summand, for doubles.
    fn double(&self) -> f64 {
        0.0
    }
    /// Writes the value.
    fn save(&self, to: &mut Writer);
    /// Reads a value.
    fn load(from: &mut Reader<'_>) -> Result<Self>;
}

/// How many values, their mean, and the sum of squared distances from it.
type Moments = [f64; 3];

impl Item for i64 {
    fn most() -> Self {
        i64::MAX
    }
    fn least() -> Self {
        i64::MIN
    }
    fn exact(&self) -> i128 {
        i128::from(*self)
    }
    fn save(&self, to: &mut Writer) {
        to.word(*self as u64);
    }
    fn load(from: &mut Reader<'_>) -> Result<Self> {
        Ok(from.word()? as i64)
    }
}

impl Item for i128 {
    fn most() -> Self {
        i128::MAX
    }
    fn least() -> Self {
        i128::MIN
    }
    fn exact(&self) -> i128 {
        *self
    }
    fn save(&self, to: &mut Writer) {
        to.long(*self);
    }
    fn load(from: &mut Reader<'_>) -> Result<Self> {
        from.long()
    }
}

/// A double in order-preserving form.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Double(i64);

impl Double {
    pub(crate) fn new(value: f64) -> Self {
        Double(order_bits(value))
    }

    pub(crate) fn get(self) -> f64 {
        from_order_bits(self.0)
    }
}

impl Item for Double {
    fn most() -> Self {
        Double(i64::MAX)
    }
    fn least() -> Self {
        Double(i64::MIN)
    }
    fn double(&self) -> f64 {
        self.get()
    }
    fn save(&self, to: &mut Writer) {
        to.word(self.0 as u64);
    }
    fn load(from: &mut Reader<'_>) -> Result<Self> {
        Ok(Double(from.word()? as i64))
    }
}

/// A text, or a bound of all texts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Bytes {
    Least,
    Text(Arc<[u8]>),
    Most,
}

impl Item for Bytes {
    fn most() -> Self {
        Bytes::Most
    }
    fn least() -> Self {
        Bytes::Least
    }
    fn save(&self, to: &mut Writer) {
        match self {
            Bytes::Least => to.byte(0),
            Bytes::Text(text) => {
                to.byte(1);
                to.text(text);
            }
            Bytes::Most => to.byte(2),
        }
    }
    fn load(from: &mut Reader<'_>) -> Result<Self> {
        match from.byte()? {
            0 => Ok(Bytes::Least),
            1 => Ok(Bytes::Text(Arc::from(columns::text(from)?.as_bytes()))),
            2 => Ok(Bytes::Most),
            _ => Err(damaged("a text cannot be meant")),
        }
    }
}

/// What is asked of a frame, so that nothing else is kept.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wants {
    pub(crate) sum: bool,
    pub(crate) double_sum: bool,
    pub(crate) extremes: bool,
    /// Of doubles.
    pub(crate) moments: bool,
    /// How many of the first rows' values, of unbounded frames.
    pub(crate) heads: usize,
}

impl Wants {
    /// What either wants.
    pub(crate) fn or(self, other: Wants) -> Wants {
        Wants {
            sum: self.sum || other.sum,
            double_sum: self.double_sum || other.double_sum,
            extremes: self.extremes || other.extremes,
            moments: self.moments || other.moments,
            heads: self.heads.max(other.heads),
        }
    }
}

/// The frame of one partition.
pub(crate) struct Frame<T> {
    /// The last `width` values; `at` is written next. Empty when the frame is unbounded.
    values: Vec<T>,
    nulls: Vec<bool>,
    at: usize,
    /// Rows of the partition so far.
    pub(crate) seen: u64,
    /// Values in the frame that are not NULL.
    pub(crate) count: u64,
    /// Their exact sum.
    pub(crate) sum: i128,
    /// The first rows' values, for unbounded frames.
    heads: Vec<(T, bool)>,
    block: Extremes<T>,
    block_sum: f64,
    block_moments: Moments,
    /// Extremes, sums and moments from each slot of the previous block to its end.
    suffixes: Vec<Extremes<T>>,
    suffix_sums: Vec<f64>,
    suffix_moments: Vec<Moments>,
}

#[derive(Clone)]
struct Extremes<T> {
    least: T,
    greatest: T,
}

impl<T: Item> Extremes<T> {
    fn none() -> Self {
        Extremes { least: T::most(), greatest: T::least() }
    }

    fn with(&self, value: &T) -> Self {
        Extremes { least: min(&self.least, value).clone(), greatest: max(&self.greatest, value).clone() }
    }
}

impl<T: Item> Extremes<T> {
    fn save(&self, to: &mut Writer) {
        self.least.save(to);
        self.greatest.save(to);
    }

    fn load(from: &mut Reader<'_>) -> Result<Self> {
        Ok(Extremes { least: T::load(from)?, greatest: T::load(from)? })
    }
}

impl<T: Item> Frame<T> {
    pub(crate) fn new() -> Self {
        Frame {
            values: Vec::new(),
            nulls: Vec::new(),
            at: 0,
            seen: 0,
            count: 0,
            sum: 0,
            heads: Vec::new(),
            block: Extremes::none(),
            block_sum: 0.0,
            block_moments: [0.0; 3],
            suffixes: Vec::new(),
            suffix_sums: Vec::new(),
            suffix_moments: Vec::new(),
        }
    }

    /// Takes the next row of the partition into a frame of `width` rows (`None`: of all).
    #[inline]
    pub(crate) fn push(&mut self, value: T, null: bool, width: Option<usize>, wants: Wants) -> Result<()> {
        self.seen += 1;
        let Some(width) = width else { return self.push_unbounded(value, null, wants) };
        if self.at == width {
            self.turn(wants);
        }
        let at = self.at;
        self.at += 1;
        if !null {
            if wants.extremes {
                self.block = self.block.with(&value);
            }
            self.block_sum += value.double();
            if wants.moments {
                self.block_moments = merge_moments(self.block_moments, [1.0, value.double(), 0.0]);
            }
        }
        let mut sum = Some(self.sum);
        if at < self.values.len() {
            if !self.nulls[at] {
                self.count -= 1;
                sum = sum.and_then(|sum| sum.checked_sub(self.values[at].exact()));
            }
            if !null {
                self.count += 1;
                sum = sum.and_then(|sum| sum.checked_add(value.exact()));
            }
            self.values[at] = value;
            self.nulls[at] = null;
        } else {
            if !null {
                self.count += 1;
                sum = sum.and_then(|sum| sum.checked_add(value.exact()));
            }
            self.values.push(value);
            self.nulls.push(null);
        }
        if wants.sum {
            self.sum = sum.ok_or_else(overflow)?;
        }
        Ok(())
    }

    fn push_unbounded(&mut self, value: T, null: bool, wants: Wants) -> Result<()> {
        if !null {
            self.count += 1;
            self.block = if wants.extremes { self.block.with(&value) } else { Extremes::none() };
            self.block_sum += value.double();
            if wants.moments {
                self.block_moments = merge_moments(self.block_moments, [1.0, value.double(), 0.0]);
            }
            if wants.sum {
                self.sum = self.sum.checked_add(value.exact()).ok_or_else(overflow)?;
            }
        }
        if self.heads.len() < wants.heads {
            self.heads.push((value, null));
        }
        Ok(())
    }

    /// The current block is full: it becomes the previous one.
    fn turn(&mut self, wants: Wants) {
        self.at = 0;
        if wants.extremes {
            self.suffixes.resize(self.values.len(), Extremes::none());
            let mut tail = Extremes::none();
            for ((value, null), suffix) in self.values.iter().zip(&self.nulls).zip(&mut self.suffixes).rev() {
                if !null {
                    tail = tail.with(value);
                }
                suffix.clone_from(&tail);
            }
        }
        if wants.double_sum {
            self.suffix_sums.resize(self.values.len(), 0.0);
            let mut tail = 0.0;
            for ((value, null), suffix) in self.values.iter().zip(&self.nulls).zip(&mut self.suffix_sums).rev() {
                if !null {
                    tail += value.double();
                }
                *suffix = tail;
            }
        }
        if wants.moments {
            self.suffix_moments.resize(self.values.len(), [0.0; 3]);
            let mut tail = [0.0; 3];
            for ((value, null), suffix) in self.values.iter().zip(&self.nulls).zip(&mut self.suffix_moments).rev() {
                if !null {
                    tail = merge_moments([1.0, value.double(), 0.0], tail);
                }
                *suffix = tail;
            }
        }
        self.block = Extremes::none();
        self.block_sum = 0.0;
        self.block_moments = [0.0; 3];
    }

    /// The least value of the frame; meaningless when `count` is 0.
    #[inline]
    pub(crate) fn least(&self) -> &T {
        self.suffixes.get(self.at).map_or(&self.block.least, |suffix| min(&self.block.least, &suffix.least))
    }

    /// The greatest value of the frame; meaningless when `count` is 0.
    #[inline]
    pub(crate) fn greatest(&self) -> &T {
        self.suffixes.get(self.at).map_or(&self.block.greatest, |suffix| max(&self.block.greatest, &suffix.greatest))
    }

    /// Sum of the frame's doubles.
    #[inline]
    pub(crate) fn double_sum(&self) -> f64 {
        self.suffix_sums.get(self.at).map_or(self.block_sum, |suffix| suffix + self.block_sum)
    }

    /// Moments of the frame's doubles.
    pub(crate) fn moments(&self) -> Moments {
        let before = self.suffix_moments.get(self.at).copied().unwrap_or_default();
        merge_moments(before, self.block_moments)
    }

    /// The value of the frame's row `number`, from 0; `None` for NULL and where there is no such row.
    pub(crate) fn nth(&self, number: usize, width: Option<usize>) -> Option<&T> {
        let Some(width) = width else {
            return self.heads.get(number).and_then(|(value, null)| (!null).then_some(value));
        };
        if number >= self.values.len() {
            return None;
        }
        let full = self.values.len() == width;
        let oldest = if full && self.at < width { self.at } else { 0 };
        let slot = (oldest + number) % self.values.len();
        (!self.nulls[slot]).then(|| &self.values[slot])
    }

    /// The value `width` rows before the next one to be pushed: `None` when there is no such row,
    /// `Some(None)` for NULL.
    pub(crate) fn leaving(&self, width: usize) -> Option<Option<&T>> {
        let at = if self.at == width { 0 } else { self.at };
        (self.values.len() == width).then(|| (!self.nulls[at]).then(|| &self.values[at]))
    }

    /// Writes the frame.
    pub(crate) fn save(&self, to: &mut Writer) {
        to.word(self.seen);
        to.word(self.count);
        to.long(self.sum);
        to.count(self.values.len());
        for (value, &null) in self.values.iter().zip(&self.nulls) {
            to.flag(null);
            value.save(to);
        }
        to.count(self.at);
        to.count(self.heads.len());
        for (value, null) in &self.heads {
            to.flag(*null);
            value.save(to);
        }
        self.block.save(to);
        to.word(self.block_sum.to_bits());
        self.block_moments.iter().for_each(|part| to.word(part.to_bits()));
        to.count(self.suffixes.len());
        self.suffixes.iter().for_each(|suffix| suffix.save(to));
        to.count(self.suffix_sums.len());
        self.suffix_sums.iter().for_each(|sum| to.word(sum.to_bits()));
        to.count(self.suffix_moments.len());
        self.suffix_moments.iter().flatten().for_each(|part| to.word(part.to_bits()));
    }

    /// Reads a frame of `width` rows, of which `wants` was kept.
    pub(crate) fn load(width: Option<usize>, wants: Wants, from: &mut Reader<'_>) -> Result<Self> {
        let moments = |from: &mut Reader<'_>| -> Result<Moments> {
            Ok([f64::from_bits(from.word()?), f64::from_bits(from.word()?), f64::from_bits(from.word()?)])
        };
        let mut frame = Frame::new();
        (frame.seen, frame.count, frame.sum) = (from.word()?, from.word()?, from.long()?);
        for _ in 0..from.count(2)? {
            frame.nulls.push(from.flag()?);
            frame.values.push(T::load(from)?);
        }
        frame.at = usize::try_from(from.word()?).unwrap_or(usize::MAX);
        for _ in 0..from.count(2)? {
            let null = from.flag()?;
            frame.heads.push((T::load(from)?, null));
        }
        frame.block = Extremes::load(from)?;
        frame.block_sum = f64::from_bits(from.word()?);
        frame.block_moments = moments(from)?;
        for _ in 0..from.count(2)? {
            frame.suffixes.push(Extremes::load(from)?);
        }
        for _ in 0..from.count(8)? {
            frame.suffix_sums.push(f64::from_bits(from.word()?));
        }
        for _ in 0..from.count(24)? {
            frame.suffix_moments.push(moments(from)?);
        }
        let rows = frame.values.len();
        let some = frame.nulls.iter().filter(|null| !**null).count() as u64;
        let is_meant = match width {
            None => rows == 0 && frame.at == 0 && frame.heads.len() as u64 == frame.seen.min(wants.heads as u64),
            Some(width) => {
                let at = if rows < width { frame.at == rows } else { frame.at <= rows };
                rows <= width && at && some == frame.count && (rows > 0 || frame.seen == 0)
            }
        };
        if is_meant { Ok(frame) } else { Err(damaged("a frame cannot be meant")) }
    }

    /// Bytes held.
    pub(crate) fn memory(&self) -> usize {
        size_of::<Self>()
            + self.values.capacity() * size_of::<T>()
            + self.nulls.capacity()
            + self.suffixes.capacity() * size_of::<Extremes<T>>()
            + self.suffix_sums.capacity() * 8
            + self.suffix_moments.capacity() * size_of::<Moments>()
            + self.heads.capacity() * size_of::<(T, bool)>()
    }
}

impl Frame<i64> {
    /// Takes a value into a frame of `width` rows, of which the sum, the extremes or both are wanted. A
    /// sum of so many `i64` stays within `i128`.
    #[inline]
    pub(crate) fn push_whole<const SUM: bool, const EXTREMES: bool>(&mut self, value: i64, width: usize) {
        if self.at == width {
            self.turn(Wants { sum: SUM, extremes: EXTREMES, ..Wants::default() });
        }
        let at = self.at;
        self.at += 1;
        self.seen += 1;
        if EXTREMES {
            self.block.least = self.block.least.min(value);
            self.block.greatest = self.block.greatest.max(value);
        }
        let mut leaves = 0;
        if let (Some(held), Some(null)) = (self.values.get_mut(at), self.nulls.get_mut(at)) {
            leaves = if *null { 0 } else { *held };
            self.count += u64::from(*null);
            (*held, *null) = (value, false);
        } else {
            self.count += 1;
            self.values.push(value);
            self.nulls.push(false);
        }
        if SUM {
            self.sum += i128::from(value) - i128::from(leaves);
        }
    }

    /// The least and the greatest value.
    #[inline]
    pub(crate) fn extremes(&self) -> (i64, i64) {
        let Extremes { least, greatest } = self.block;
        match self.suffixes.get(self.at) {
            Some(suffix) => (least.min(suffix.least), greatest.max(suffix.greatest)),
            None => (least, greatest),
        }
    }
}

fn overflow() -> Error {
    Error::new(Code::Overflow, "SUM OVER leaves the range of DECIMAL").help("cast the argument to DOUBLE")
}
