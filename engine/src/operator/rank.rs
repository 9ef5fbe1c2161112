//! ROW_NUMBER, RANK and their like by any order, and the first rows per partition.
//!
//! Rows are held per closing time until the watermark has passed it, or all until the end where there
//! is none, and leave in order of (time, partition, order). Ties of that order break by position in the
//! input where rows carry one, else by all their columns, so that equal rows alone are
//! interchangeable. With a limit only rows that can still be among the first are kept: whenever a good
//! deal more are held, the rest is dropped; a row's rank counts only rows before it, so nobody's changes.
//! Where all rows that close together are one partition, a row that is behind the last one kept is not
//! even held from then on.

use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};

use super::held::{At, Held, order};
use super::sort::all_rows;
use super::{Column, Context, Next, Operator, Owed, Time};
use crate::batch::{BATCH_ROWS, Chunk};
use crate::error::Result;
use crate::pipeline::Place;
use crate::plan::{self, RankFunction, SortKey};
use crate::stage::{Copied, Stage};
use crate::state::{Moved, Reader, Saved, State};
use crate::types::Physical;

/// Rows held at least before any are dropped for a limit.
const KEEP_MIN: usize = 8 * BATCH_ROWS;

/// The operator.
pub(crate) struct Rank {
    rank: plan::Rank,
    layout: Vec<Physical>,
    place: Place,
    /// Partition, order, then what breaks ties.
    keys: Vec<SortKey>,
    /// How many of `keys` are the partition; and with the order.
    partition: usize,
    ordered: usize,
    /// By the time at which they close.
    open: BTreeMap<Time, Set>,
    due: VecDeque<Set>,
    /// Of the first set due: its rows in order, and what each function says of them.
    leaving: Option<(Vec<At>, Vec<Vec<i64>>)>,
    given: usize,
    owed: Owed,
}

/// Rows that close together.
#[derive(Default)]
struct Set {
    held: Held,
    /// Rows that were left after some were dropped.
    kept: usize,
    /// What the first key of the order was in the last of them; rows behind it are none of the first.
    last: Option<i64>,
}

impl Rank {
    /// Reads the sets that were held, by the time at which they close.
    fn read(&self, from: &mut Reader<'_>) -> Result<Vec<(Time, Set)>> {
        let mut sets = Vec::new();
        for _ in 0..from.count(24)? {
            let (time, kept) = (from.word()? as Time, from.word()?);
            // Held to what twice of it can be counted, also where it is damaged.
            let kept = usize::try_from(kept).unwrap_or(usize::MAX).min(usize::MAX / 2);
            sets.push((time, Set { held: Held::load(from, &self.layout)?, kept, last: None }));
        }
        from.end()?;
        Ok(sets)
    }

    pub(crate) fn new(rank: plan::Rank, layout: Vec<Physical>, place: Place) -> Self {
        let ascending = |column: usize| SortKey { column, descending: false, nulls_first: false };
        let mut keys: Vec<SortKey> = rank.partition.iter().map(|&column| ascending(column)).collect();
        let partition = keys.len();
        keys.extend(rank.keys.iter().cloned());
        let ordered = keys.len();
        keys.extend((0..layout.len()).map(ascending));
        Rank {
            rank,
            layout,
            place,
            keys,
            partition,
            ordered,
            open: BTreeMap::new(),
            due: VecDeque::new(),
            leaving: None,
            given: 0,
            owed: Owed::default(),
        }
    }

    /// The rows of a set in order, those beyond the limit left out, and each function's values.
    fn ranked(&self, held: &Held) -> (Vec<At>, Vec<Vec<i64>>) {
        let (first, rest) = self.keys.split_at(self.ordered);
        let columns = held.columns(first);
        let ties = held.columns(rest);
        let mut rows = held.all();
        rows.sort_unstable_by(|&left, &right| {
            order(first, &columns, left, right).then_with(|| match held.position(left) {
                Some(position) => Some(position).cmp(&held.position(right)),
                None => order(rest, &ties, left, right),
            })
        });
        let equal = |keys: usize, left: At, right: At| order(&first[..keys], &columns, left, right) == Ordering::Equal;
        let mut values: Vec<Vec<i64>> = vec![Vec::new(); self.rank.functions.len()];
        let mut kept = Vec::new();
        let (mut number, mut rank, mut dense) = (0, 0, 0);
        for (index, &row) in rows.iter().enumerate() {
            let before = index.checked_sub(1).map(|before| rows[before]);
            if before.is_none_or(|before| !equal(self.partition, before, row)) {
                (number, rank, dense) = (1, 1, 1);
            } else {
                number += 1;
                if before.is_none_or(|before| !equal(self.ordered, before, row)) {
                    (rank, dense) = (number, dense + 1);
                }
            }
            let value = |function: RankFunction| match function {
                RankFunction::RowNumber => number,
                RankFunction::DenseRank => dense,
                RankFunction::Rank => rank,
                // Said when the size of the partition is known, from the place and the rank.
                RankFunction::Ntile(_) | RankFunction::PercentRank | RankFunction::CumeDist => rank,
            };
            if self.rank.limit.is_some_and(|(function, most)| value(self.rank.functions[function]) > most) {
                continue;
            }
            kept.push(row);
            values.iter_mut().zip(&self.rank.functions).for_each(|(values, &function)| values.push(value(function)));
        }
        if self.rank.functions.iter().any(|function| function.is_of_partition()) {
            let mut from = 0;
            for partition in kept.chunk_by(|&left, &right| equal(self.partition, left, right)) {
                let rows = from..from + partition.len();
                for (values, &function) in values.iter_mut().zip(&self.rank.functions) {
                    of_partition(function, &mut values[rows.clone()]);
                }
                from = rows.end;
            }
        }
        (kept, values)
    }

    /// The key that alone says of a row that it is behind others, if there is one.
    fn leading(&self) -> Option<&SortKey> {
        let one_partition = self.partition == usize::from(self.rank.time.is_some());
        let key = self.rank.keys.first().filter(|_| one_partition && self.rank.limit.is_some())?;
        (self.layout[key.column] == Physical::I64).then_some(key)
    }

    fn hold(&mut self, chunk: &Chunk<'_>, rows: &[u16], closes: Time, context: &Context<'_>) {
        let leading = self.leading().cloned();
        let set = self.open.entry(closes).or_default();
        let mut rows = rows;
        if let (Some(key), Some(last)) = (&leading, set.last) {
            rows = ahead(chunk, rows, key, last, context);
            if rows.is_empty() {
                return;
            }
        }
        context.ledger.copied(Copied::Held, set.held.push(chunk, rows, &self.layout));
        if self.rank.limit.is_none() || set.held.room() <= (2 * set.kept).max(KEEP_MIN) {
            return;
        }
        let mut set = self.open.remove(&closes).expect("entered above");
        let (kept, _) = self.ranked(&set.held);
        if let (Some(key), Some(&last)) = (&leading, kept.last())
            && kept.len() < set.held.rows()
        {
            set.last = set.held.i64(last, key.column);
        }
        set.kept = kept.len();
        set.held.retain(&kept, &self.layout);
        self.open.insert(closes, set);
    }

    fn pass(&mut self, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        if self.due() {
            return Ok(());
        }
        self.owed.pass(context, next)
    }
}

/// What `function` says of a whole partition, in place of the rows' ranks; shares as their bits.
fn of_partition(function: RankFunction, ranks: &mut [i64]) {
    let count = ranks.len() as i64;
    match function {
        RankFunction::RowNumber | RankFunction::Rank | RankFunction::DenseRank => {}
        RankFunction::Ntile(parts) => {
            let (each, larger) = (count / parts, count % parts);
            for (place, rank) in (0..).zip(ranks) {
                *rank = match larger * (each + 1) {
                    first if place < first => place / (each + 1) + 1,
                    first => larger + (place - first) / each + 1,
                };
            }
        }
        RankFunction::PercentRank => {
            let others = (count - 1).max(1) as f64;
            ranks.iter_mut().for_each(|rank| *rank = ((*rank - 1) as f64 / others).to_bits() as i64);
        }
        RankFunction::CumeDist => {
            // Equal rows share the place of their last one, from which the next rank begins.
            let mut end = count;
            for place in (0..ranks.len()).rev() {
                let (rank, is_first) = (ranks[place], place as i64 + 1 == ranks[place]);
                ranks[place] = (end as f64 / count as f64).to_bits() as i64;
                if is_first {
                    end = rank - 1;
                }
            }
        }
    }
}

/// Those of `rows` that are not behind a row whose `key` is `last`.
fn ahead<'a>(chunk: &Chunk<'_>, rows: &[u16], key: &SortKey, last: i64, context: &Context<'a>) -> &'a [u16] {
    let column = &chunk.columns[key.column];
    let values = column.i64s();
    let mut kept = bumpalo::collections::Vec::with_capacity_in(rows.len(), context.scratch);
    for &row in rows {
        let value = values[usize::from(row)];
        let behind = if key.descending { value < last } else { value > last };
        if !behind || column.is_null(usize::from(row)) {
            kept.push(row);
        }
    }
    kept.into_bump_slice()
}

impl Operator for Rank {
    fn push(&mut self, _: usize, chunk: &Chunk<'_>, context: &Context<'_>, _: &mut Next<'_>) -> Result<()> {
        let caller = context.ledger.enter(Stage::Over);
        match self.rank.time {
            None => {
                let rows = context.scratch.alloc_slice_fill_iter(0..chunk.rows as u16);
                self.hold(chunk, rows, Time::MAX, context);
            }
            Some(time) => {
                // Rows of one window come together.
                let times = chunk.columns[time].i64s();
                let mut from = 0;
                for run in times.chunk_by(|left, right| left == right) {
                    let rows = from as u16..(from + run.len()) as u16;
                    self.hold(chunk, context.scratch.alloc_slice_fill_iter(rows), run[0], context);
                    from += run.len();
                }
            }
        }
        context.ledger.enter(caller);
        Ok(())
    }

    fn watermark(&mut self, _: usize, watermark: Time, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        if self.rank.time.is_none() {
            // Nothing has left yet, so nothing can be promised about what will.
            return Ok(());
        }
        while let Some(first) = self.open.first_entry().filter(|first| *first.key() <= watermark) {
            self.due.push_back(first.remove());
        }
        self.owed.watermark = Some(watermark);
        self.pass(context, next)
    }

    fn finish(&mut self, _: usize, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        self.due.extend(std::mem::take(&mut self.open).into_values());
        self.owed.finish = true;
        self.pass(context, next)
    }

    fn drain(&mut self, context: &Context<'_>, next: &mut Next<'_>) -> Result<bool> {
        if self.due.is_empty() {
            return Ok(false);
        }
        let caller = context.ledger.enter(Stage::Over);
        let leaving = self.leaving.take();
        let held = &self.due[0].held;
        let (rows, values) = leaving.unwrap_or_else(|| self.ranked(held));
        let part = self.given..(self.given + BATCH_ROWS).min(rows.len());
        let mut added = bumpalo::collections::Vec::with_capacity_in(values.len(), context.scratch);
        for (values, function) in values.iter().zip(&self.rank.functions) {
            let physical = function.data_type().physical();
            let mut column = Column::new(physical, context.scratch);
            let values = &values[part.clone()];
            match physical {
                Physical::F64 => {
                    let shares = column.f64s().iter_mut().zip(values);
                    shares.for_each(|(to, bits)| *to = f64::from_bits(*bits as u64));
                }
                _ => column.i64s()[..part.len()].copy_from_slice(values),
            }
            added.push(column.finish(part.len()));
        }
        let chunk = held.chunk(&rows[part.clone()], &self.layout, &added, context.scratch);
        self.given = part.end;
        if self.given < rows.len() {
            self.leaving = Some((rows, values));
        } else {
            self.due.pop_front();
            self.given = 0;
        }
        context.ledger.enter(caller);
        next.push(&chunk, context)?;
        self.pass(context, next)?;
        Ok(self.due())
    }

    fn due(&self) -> bool {
        !self.due.is_empty()
    }

    fn state_bytes(&self) -> usize {
        self.open.values().chain(&self.due).map(|set| set.held.memory()).sum()
    }

    fn save(&self, state: &mut State) -> Result<()> {
        let to = state.whole();
        to.count(self.open.len());
        for (time, set) in &self.open {
            to.word(*time as u64);
            to.count(set.kept);
            set.held.save(to);
        }
        Ok(())
    }

    fn restore(&mut self, saved: &Saved<'_>) -> Result<()> {
        for (time, set) in self.read(&mut saved.whole())? {
            self.open.insert(time, set);
        }
        Ok(())
    }

    fn adopt(&mut self, moved: &Moved<'_>) -> Result<()> {
        let from: Vec<&Saved<'_>> = if moved.is_local() { moved.local().collect() } else { moved.all().collect() };
        for saved in from {
            for (time, set) in self.read(&mut saved.whole())? {
                let Rank { open, rank, layout, place, .. } = self;
                open.entry(time).or_default().held.take_over(&set.held, layout, |chunk, scratch| {
                    if moved.is_local() {
                        return all_rows(chunk, scratch);
                    }
                    let keys = scratch.alloc_slice_fill_iter(rank.partition.iter().map(|&key| chunk.columns[key]));
                    place.owned_rows(keys, chunk.rows, scratch)
                });
            }
        }
        self.open.retain(|_, set| set.held.rows() > 0);
        Ok(())
    }
}
