//! Rows as partial states of their own, where collecting them in groups does not pay.
//!
//! A partial aggregation that finds hardly a few rows of a group before it ships them looks every row
//! up, builds a group of it and takes the group apart again, for nothing. Then it is cheaper to make
//! a state of each row, or to send it as it is ([`super::raw`]), and let the owner do the looking up. Whether it pays is decided from numbers
//! of rows alone, never from time, so that a run repeats itself exactly.

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;

use super::answer::Source;
use super::nulls::NullCounts;
use super::shape::{Kind, Shape};
use super::texts::Texts;
use super::update::{Rows, Target, Values, accumulate};
use crate::batch::{Chunk, Data, Vector};
use crate::error::Result;
use crate::operator::Column;
use crate::state::{Reader, Writer, damaged};
use crate::types::Physical;

/// Tests come to every bound with few rows.
const SCALE: usize = if cfg!(test) { 1 } else { 256 };
/// Groups a partial aggregation holds at first before it is asked whether they pay.
const GROUPS_FIRST: usize = 64 * SCALE;
/// Groups it holds at most before it ships them.
const GROUPS_MAX: usize = 1024 * SCALE;
/// Rows from which closed windows say whether groups pay.
const PROBE_ROWS: u64 = 64 * SCALE as u64;
/// Rows that go on as they are before groups are tried again.
const SINGLE_ROWS: u64 = 4096 * SCALE as u64;

/// More than can have been counted.
const COUNT_MOST: u64 = 1 << 60;

/// With less rows of a group, one by one is cheaper: to find a row's group, and then to build a state
/// of it, send it and find its group again, costs about as much as three rows sent.
const ROWS_PER_GROUP: i64 = 3;

/// Whether rows are collected in groups, and how many, or go on one by one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pay {
    /// Rows collected since the last decision.
    rows: u64,
    /// Groups shipped since, less those that were open then.
    groups: i64,
    /// Groups held before the next decision.
    bound: usize,
    /// Rows that may still go on one by one.
    single: u64,
    /// Rows may go on one by one at all.
    may_be_single: bool,
}

impl Pay {
    pub(crate) fn new(may_be_single: bool) -> Self {
        Pay { rows: 0, groups: 0, bound: GROUPS_FIRST, single: 0, may_be_single }
    }

    /// Whether `rows` rows go on one by one; counts them if so.
    pub(crate) fn is_single(&mut self, rows: usize) -> bool {
        let is_single = self.single > 0;
        self.single = self.single.saturating_sub(rows as u64);
        is_single
    }

    /// Writes what has been counted.
    pub(crate) fn save(&self, to: &mut Writer) {
        to.word(self.rows);
        to.word(self.groups as u64);
        to.count(self.bound);
        to.word(self.single);
    }

    /// Reads what had been counted.
    pub(crate) fn load(&mut self, from: &mut Reader<'_>) -> Result<()> {
        self.rows = from.word()?;
        self.groups = from.word()? as i64;
        self.bound = usize::try_from(from.word()?).unwrap_or(usize::MAX);
        self.single = from.word()?;
        let is_counted = self.rows <= COUNT_MOST && self.groups.unsigned_abs() <= COUNT_MOST;
        let is_meant = (GROUPS_FIRST..=GROUPS_MAX).contains(&self.bound) && self.single <= SINGLE_ROWS && is_counted;
        if is_meant { Ok(()) } else { Err(damaged("a bound cannot be meant")) }
    }

    /// Notes groups that are shipped.
    pub(crate) fn shipped(&mut self, groups: usize) {
        self.groups += groups as i64;
    }

    /// Notes rows collected in groups, `open` of which are held now. True if all are to be shipped:
    /// because there were less than [`ROWS_PER_GROUP`], so that rows go on one by one from now on,
    /// or because there are too many.
    pub(crate) fn is_enough(&mut self, rows: usize, open: usize) -> bool {
        self.rows += rows as u64;
        let is_probed = self.groups > 0 && self.rows >= PROBE_ROWS;
        if open < self.bound && !is_probed {
            return false;
        }
        let is_single = self.may_be_single && (self.groups + open as i64) * ROWS_PER_GROUP > self.rows as i64;
        let is_full = open >= GROUPS_MAX;
        if open >= self.bound {
            self.bound = (self.bound * 2).min(GROUPS_MAX);
        }
        self.rows = 0;
        self.groups = -(open as i64);
        self.single = if is_single { SINGLE_ROWS } else { 0 };
        is_single || is_full
    }
}

/// A partial state of every row of `chunk`, whose columns are evaluated in `rows`; `starts` are those of their windows.
pub(crate) fn states<'a>(
    shape: &Shape,
    rows: &Rows<'a>,
    chunk: &Chunk<'a>,
    starts: Option<&'a [i64]>,
    shard: usize,
    scratch: &'a Bump,
) -> Chunk<'a> {
    let mut all: BumpVec<'a, Vector<'a>> = BumpVec::new_in(scratch);
    all.extend(starts.map(|starts| Vector::new(Data::I64(starts))));
    all.extend_from_slice(rows.keys);
    if !plain_columns(shape, rows, shard, &mut all, scratch) {
        all.extend(columns(shape, rows, shard, scratch));
    }
    let columns = all.into_bump_slice();
    Chunk { rows: rows.count, columns, positions: None, ordinals: None, floors: None, stamp: chunk.stamp }
}

/// Appends the accumulators' columns where each is made of an argument's column alone, which no row is
/// NULL in or left out of; else appends nothing and returns false.
fn plain_columns<'a>(
    shape: &Shape,
    rows: &Rows<'a>,
    shard: usize,
    out: &mut BumpVec<'a, Vector<'a>>,
    scratch: &'a Bump,
) -> bool {
    let before = out.len();
    for accumulator in &shape.accumulators {
        let values = accumulator.argument.map(|argument| rows.arguments[argument]);
        let data = match (accumulator.kind, values) {
            _ if rows.passed[accumulator.lane].is_some() => None,
            (_, Some(values)) if values.has_nulls() => None,
            (Kind::Rows, _) => Some(Data::I64(scratch.alloc_slice_fill_copy(rows.count, 1))),
            (Kind::Nulls, _) => Some(Data::I64(scratch.alloc_slice_fill_copy(rows.count, 0))),
            (Kind::Sum, Some(Values::Product(left, right))) => {
                let pairs = left.i64s().iter().zip(right.i64s());
                let products = pairs.map(|(&left, &right)| i128::from(left) * i128::from(right));
                Some(Data::I128(scratch.alloc_slice_fill_iter(products)))
            }
            (Kind::Sum, Some(Values::Plain(values))) => match values.data {
                Data::I64(values) => {
                    Some(Data::I128(scratch.alloc_slice_fill_iter(values.iter().copied().map(i128::from))))
                }
                data => Some(data),
            },
            // As bits, doubles travel in another form.
            (Kind::Min(physical) | Kind::Max(physical), Some(Values::Plain(values))) if physical != Physical::F64 => {
                Some(values.data)
            }
            _ => None,
        };
        let Some(data) = data else {
            out.truncate(before);
            return false;
        };
        out.push(Vector::new(data));
    }
    if shape.has_source() {
        out.push(Vector::new(Data::I64(scratch.alloc_slice_fill_copy(rows.count, shard as i64))));
    }
    true
}

/// The accumulators' columns of any rows, by way of a state for each.
fn columns<'a>(shape: &Shape, rows: &Rows<'a>, shard: usize, scratch: &'a Bump) -> impl Iterator<Item = Vector<'a>> {
    // Keys are passed on as they are, so there are no words for them, but offsets count them.
    let (key, width) = (shape.key.words(), shape.stride - shape.key.words());
    let state = scratch.alloc_slice_fill_copy(key + rows.count * width, 0u64);
    for words in state[key..].chunks_exact_mut(width.max(1)) {
        words.copy_from_slice(&shape.initial);
    }
    let bases: &[u32] = scratch.alloc_slice_fill_iter((0..rows.count).map(|row| (row * width) as u32));
    let (mut texts, mut nulls) = (Texts::default(), NullCounts::new(shape.null_counters, width));
    let mut target = Target { stride: width, state, nulls: &mut nulls, snapshot: None };
    accumulate(shape, rows, bases, rows.passed, &mut target, &mut texts, scratch);

    let physicals = shape.partial_fields().into_iter().map(|field| field.data_type.physical());
    let mut columns: Vec<Column<'a>> = physicals.map(|physical| Column::new(physical, scratch)).collect();
    let source = Source { state, bases, nulls: nulls.read(), texts: &texts, start: 0 };
    shape.write_partial(&source, shard, &mut columns);
    let count = rows.count;
    columns.into_iter().map(move |column| column.finish(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds chunks of 16 rows of which `new` make a group, all of them held; true if it was enough.
    fn feed(pay: &mut Pay, chunks: usize, new: usize, open: &mut usize) -> bool {
        (0..chunks).any(|_| {
            *open += new;
            let enough = pay.is_enough(16, *open);
            if enough {
                pay.shipped(std::mem::take(open));
            }
            enough
        })
    }

    #[test]
    fn rows_go_one_by_one_while_groups_do_not_pay() {
        let (mut pay, mut open) = (Pay::new(true), 0);
        assert!(feed(&mut pay, 64, 9, &mut open) && open == 0);
        assert!((0..SINGLE_ROWS / 64).all(|_| pay.is_single(64)));
        assert!(!pay.is_single(64), "groups are tried again");
    }

    #[test]
    fn groups_that_pay_are_held_up_to_the_bound() {
        let (mut pay, mut open, mut chunks) = (Pay::new(true), 0, 0);
        while !feed(&mut pay, 1, 4, &mut open) {
            chunks += 1;
        }
        assert_eq!((chunks + 1) * 4, GROUPS_MAX);
        assert!(!pay.is_single(16));
    }

    #[test]
    fn rows_that_cannot_go_one_by_one_are_shipped_in_groups() {
        let (mut pay, mut open) = (Pay::new(false), 0);
        assert!(feed(&mut pay, GROUPS_MAX / 16, 16, &mut open) && !pay.is_single(16));
    }
}
