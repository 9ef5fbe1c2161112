//! Rows into accumulators: one accumulator at a time down the whole chunk.
//!
//! The rows an accumulator does not see (NULL, not of its lane) are taken out before, so that the
//! loops have no branch. For EMIT CHANGES the same loops go over all rows, and after every row note
//! the accumulator's words in a *snapshot* that has a row of state for each row of the chunk. What
//! most queries ask for of a whole column without NULLs goes in fewer passes: see [`super::fused`].

use std::ops::Range;

use bumpalo::Bump;

use super::add::add;
use super::answer::Source;
use super::front::Front;
use super::fused::Fused;
use super::key::{KeyLayout, Keys, make_tags};
use super::nulls::NullCounts;
use super::parts::Saving;
use super::shape::{Kind, Shape};
use super::table::Table;
use super::texts::Texts;
use crate::batch::{Data, Vector, is_null};
use crate::error::Result;
use crate::hash;
use crate::types::Physical;

/// Rows that are put into a large table at a time: what they need of it stays in the nearest cache from
/// the first pass over them to the last.
pub(super) const PIECE_ROWS: usize = 128;

/// Groups, and what of theirs does not fit in their rows.
pub(crate) struct Groups {
    pub(crate) table: Table,
    pub(crate) texts: Texts,
    pub(crate) nulls: NullCounts,
    front: Front,
    /// Per lane with DISTINCT: its (group, value) pairs.
    pub(super) distinct: Vec<Option<Table>>,
    /// How often saving had begun when this was last looked at for it, and what is still to be taken.
    pub(super) epoch: u64,
    pub(super) saving: Option<Box<Saving>>,
}

/// What some rows of a chunk bring to the groups.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) count: usize,
    /// The key columns.
    pub(crate) keys: &'a [Vector<'a>],
    pub(crate) arguments: &'a [Values<'a>],
    /// Per lane: which rows its FILTER lets through, if it has one.
    pub(crate) passed: &'a [Option<&'a [bool]>],
    pub(crate) positions: Option<&'a [u64]>,
}

/// An argument's values.
#[derive(Clone, Copy)]
pub(crate) enum Values<'a> {
    Plain(Vector<'a>),
    /// The products of two columns, NULL where either is.
    Product(Vector<'a>, Vector<'a>),
    /// Two columns, NULL where either is.
    Pair(Vector<'a>, Vector<'a>),
}

impl Values<'_> {
    pub(super) fn has_nulls(&self) -> bool {
        match self {
            Values::Plain(vector) => vector.nulls.is_some(),
            Values::Product(left, right) | Values::Pair(left, right) => left.nulls.is_some() || right.nulls.is_some(),
        }
    }

    pub(crate) fn is_null(&self, row: usize) -> bool {
        match self {
            Values::Plain(vector) => is_null(vector.nulls, row),
            Values::Product(left, right) | Values::Pair(left, right) => {
                is_null(left.nulls, row) || is_null(right.nulls, row)
            }
        }
    }
}

impl<'a> Values<'a> {
    fn slice(&self, range: Range<usize>, scratch: &'a Bump) -> Values<'a> {
        let cut = |vector| crate::batch::slice(vector, range.clone(), scratch);
        match self {
            Values::Plain(vector) => Values::Plain(cut(vector)),
            Values::Product(left, right) => Values::Product(cut(left), cut(right)),
            Values::Pair(left, right) => Values::Pair(cut(left), cut(right)),
        }
    }

    pub(crate) fn gather(&self, rows: &[u16], scratch: &'a Bump) -> Values<'a> {
        let pick = |vector| crate::batch::gather(vector, rows, scratch);
        match self {
            Values::Plain(vector) => Values::Plain(pick(vector)),
            Values::Product(left, right) => Values::Product(pick(left), pick(right)),
            Values::Pair(left, right) => Values::Pair(pick(left), pick(right)),
        }
    }
}

impl<'a> Rows<'a> {
    /// The rows of `range`.
    fn slice(&self, range: Range<usize>, scratch: &'a Bump) -> Rows<'a> {
        let cut = |column: &Vector<'a>| crate::batch::slice(column, range.clone(), scratch);
        let keys = scratch.alloc_slice_fill_iter(self.keys.iter().map(cut));
        let arguments = self.arguments.iter().map(|argument| argument.slice(range.clone(), scratch));
        let passed = self.passed.iter().map(|passed| passed.map(|passed| &passed[range.clone()]));
        Rows {
            count: range.len(),
            keys,
            arguments: scratch.alloc_slice_fill_iter(arguments),
            passed: scratch.alloc_slice_fill_iter(passed),
            positions: self.positions.map(|positions| &positions[range.clone()]),
        }
    }

    /// The rows named by `rows`.
    pub(crate) fn gather(&self, rows: &[u16], scratch: &'a Bump) -> Rows<'a> {
        fn pick<'a, T: Copy>(from: &[T], rows: &[u16], scratch: &'a Bump) -> &'a [T] {
            scratch.alloc_slice_fill_iter(rows.iter().map(|&row| from[usize::from(row)]))
        }
        let keys = self.keys.iter().map(|column| crate::batch::gather(column, rows, scratch));
        let arguments = self.arguments.iter().map(|argument| argument.gather(rows, scratch));
        let passed = self.passed.iter().map(|passed| passed.map(|passed| pick(passed, rows, scratch)));
        Rows {
            count: rows.len(),
            keys: scratch.alloc_slice_fill_iter(keys),
            arguments: scratch.alloc_slice_fill_iter(arguments),
            passed: scratch.alloc_slice_fill_iter(passed),
            positions: self.positions.map(|positions| pick(positions, rows, scratch)),
        }
    }
}

impl Groups {
    pub(crate) fn new(shape: &Shape) -> Self {
        let distinct = shape.lanes.iter().map(|lane| {
            let argument = &shape.arguments[lane.distinct?];
            Some(Table::new(distinct_layout(argument.expression.data_type.physical()).words()))
        });
        let table = Table::in_lines(shape.stride);
        Groups {
            nulls: NullCounts::new(shape.null_counters, table.stride()),
            table,
            texts: Texts::default(),
            front: Front::new(&shape.key),
            distinct: distinct.collect(),
            epoch: 0,
            saving: None,
        }
    }

    pub(crate) fn clear(&mut self) {
        self.nulls.clear(self.table.groups() * 2);
        self.table.clear();
        self.front.clear();
        self.texts.clear();
        self.distinct.iter_mut().flatten().for_each(Table::clear);
    }

    pub(crate) fn memory(&self) -> usize {
        let distinct: usize = self.distinct.iter().flatten().map(Table::memory).sum();
        self.table.memory()
            + self.nulls.memory()
            + self.front.memory()
            + self.texts.memory()
            + distinct
            + self.saving_memory()
    }

    /// The groups at `bases`, to be written to output rows from the first on.
    pub(crate) fn source<'s>(&'s self, bases: &'s [u32]) -> Source<'s> {
        Source { state: &self.table.state, bases, nulls: self.nulls.read(), texts: &self.texts, start: 0 }
    }

    /// Adds rows; with `snapshot` notes each group's state after each row.
    pub(crate) fn update<'a>(
        &mut self,
        shape: &Shape,
        rows: &Rows<'a>,
        snapshot: Option<Snapshot<'_>>,
        hash_seed: u64,
        scratch: &'a Bump,
    ) -> Result<()> {
        let bases = scratch.alloc_slice_fill_copy(rows.count, 0u32);
        if snapshot.is_some() || !self.table.is_large() || self.front.is_for(&self.table) {
            self.find(shape, rows.keys, bases, hash_seed, scratch)?;
            return self.update_at(shape, rows, bases, snapshot, scratch);
        }
        let tags = tags(rows.keys, rows.count, hash_seed, scratch);
        let mut ahead = Ahead::new(&self.table, tags, bases);
        while let Some((piece, bases)) = ahead.next(&self.table) {
            let rows = rows.slice(piece.clone(), scratch);
            let keys = Keys { columns: rows.keys, tags: &tags[piece] };
            self.table.settle(&shape.key, &keys, &shape.initial, bases, scratch)?;
            self.update_at(shape, &rows, bases, None, scratch)?;
        }
        Ok(())
    }

    /// Adds rows to the groups at `bases`.
    pub(crate) fn update_at<'a>(
        &mut self,
        shape: &Shape,
        rows: &Rows<'a>,
        bases: &'a [u32],
        snapshot: Option<Snapshot<'_>>,
        scratch: &'a Bump,
    ) -> Result<()> {
        self.keep(bases);
        let seen = scratch.alloc_slice_fill_copy(shape.lanes.len(), None);
        for (number, lane) in shape.lanes.iter().enumerate() {
            seen[number] = rows.passed[number];
            if let (Some(argument), Some(table)) = (lane.distinct, &mut self.distinct[number]) {
                seen[number] = Some(first_of_each(table, &rows.arguments[argument], bases, seen[number], scratch)?);
            }
        }
        let nulls = &mut self.nulls;
        let mut target = Target { stride: shape.stride, state: &mut self.table.state, nulls, snapshot };
        target.begin(bases);
        accumulate(shape, rows, bases, seen, &mut target, &mut self.texts, scratch);
        Ok(())
    }
}

impl Groups {
    /// Sets `bases` to the groups of all rows, adding groups. Only rows that the front does not know are
    /// hashed and looked up in the table.
    pub(crate) fn find<'a>(
        &mut self,
        shape: &Shape,
        columns: &[Vector<'a>],
        bases: &mut [u32],
        hash_seed: u64,
        scratch: &'a Bump,
    ) -> Result<()> {
        let locate = |table: &mut Table, columns: &[Vector<'_>], bases: &mut [u32]| {
            let tags = tags(columns, bases.len(), hash_seed, scratch);
            table.locate(&shape.key, &Keys { columns, tags }, &shape.initial, bases, scratch)
        };
        let Some(missed) = self.front.find(&shape.key, columns, &self.table, bases, scratch) else {
            return locate(&mut self.table, columns, bases);
        };
        if missed.is_empty() {
            return Ok(());
        }
        let missed_columns = columns.iter().map(|column| crate::batch::gather(column, missed, scratch));
        let missed_columns = scratch.alloc_slice_fill_iter(missed_columns);
        let found = scratch.alloc_slice_fill_copy(missed.len(), 0u32);
        locate(&mut self.table, missed_columns, found)?;
        for (&row, &base) in missed.iter().zip(&*found) {
            bases[usize::from(row)] = base;
        }
        self.front.learn(missed_columns, found);
        Ok(())
    }
}

/// The tags of `count` rows with these key columns.
pub(super) fn tags<'a>(columns: &[Vector<'_>], count: usize, hash_seed: u64, scratch: &'a Bump) -> &'a [u64] {
    let tags = scratch.alloc_slice_fill_copy(count, 0);
    hash::hash_rows(columns, hash_seed, tags);
    make_tags(columns, tags);
    tags
}

/// The pieces in which rows are put into a large table. While one is put there, the index tells about
/// the rows of the next, and the memory for that of the one behind it is on its way.
pub(super) struct Ahead<'a> {
    tags: &'a [u64],
    /// Of the piece that was guessed, and of all behind it.
    bases: &'a mut [u32],
    /// Rows in front of those.
    from: usize,
}

impl<'a> Ahead<'a> {
    /// Rows with these tags, whose groups are going to be told in `bases`.
    pub(super) fn new(table: &Table, tags: &'a [u64], bases: &'a mut [u32]) -> Self {
        table.expect(&tags[..tags.len().min(2 * PIECE_ROWS)]);
        let first = tags.len().min(PIECE_ROWS);
        table.guess(&tags[..first], &mut bases[..first]);
        Ahead { tags, bases, from: 0 }
    }

    /// The next piece: which rows, and where their groups probably are.
    pub(super) fn next(&mut self, table: &Table) -> Option<(Range<usize>, &'a mut [u32])> {
        let count = self.bases.len().min(PIECE_ROWS);
        if count == 0 {
            return None;
        }
        let (piece, others) = std::mem::take(&mut self.bases).split_at_mut(count);
        let rows = self.from..self.from + count;
        let until = |rows: usize| self.tags.len().min(rows);
        let (next, behind) = (until(rows.end + PIECE_ROWS), until(rows.end + 2 * PIECE_ROWS));
        table.expect(&self.tags[next..behind]);
        table.guess(&self.tags[rows.end..next], &mut others[..next - rows.end]);
        (self.bases, self.from) = (others, rows.end);
        Some((rows, piece))
    }
}

/// Adds rows to the accumulators at `bases`; `seen` says per lane which rows it sees.
pub(crate) fn accumulate<'a>(
    shape: &Shape,
    rows: &Rows<'a>,
    bases: &'a [u32],
    seen: &[Option<&'a [bool]>],
    target: &mut Target<'_>,
    texts: &mut Texts,
    scratch: &'a Bump,
) {
    let mut fused = Fused::default();
    for run in shape.accumulators.chunk_by(|a, b| (a.lane, a.argument) == (b.lane, b.argument)) {
        let values = run[0].argument.map(|argument| rows.arguments[argument]);
        let mut picked = Picked { bases, values, positions: rows.positions, seen: seen[run[0].lane] };
        if fused.take(run, &picked, target) {
            continue;
        }
        if let Some(values) = values.filter(Values::has_nulls) {
            let live = |row: usize| picked.seen.is_none_or(|seen| seen[row]);
            let nulls = scratch.alloc_slice_fill_with(rows.count, |row| live(row) && values.is_null(row));
            let others = scratch.alloc_slice_fill_with(rows.count, |row| live(row) && !values.is_null(row));
            let counted = Picked { values: None, seen: Some(nulls), ..picked }.pack(target, scratch);
            for accumulator in run.iter().filter(|accumulator| accumulator.kind == Kind::Nulls) {
                target.count_nulls(accumulator.offset, &counted);
            }
            picked.seen = Some(others);
        }
        let picked = picked.pack(target, scratch);
        for accumulator in run.iter().filter(|accumulator| accumulator.kind != Kind::Nulls) {
            add(accumulator, &picked, target, texts);
        }
    }
    fused.end(bases, target);
}

/// How the (group, value) pairs of a DISTINCT lie in their table.
pub(super) fn distinct_layout(physical: Physical) -> KeyLayout {
    KeyLayout::new(&[Physical::I64, physical])
}

/// Which rows are the first of their group with their value; the others' values are known.
fn first_of_each<'a>(
    table: &mut Table,
    values: &Values<'a>,
    bases: &[u32],
    seen: Option<&[bool]>,
    scratch: &'a Bump,
) -> Result<&'a [bool]> {
    let first = scratch.alloc_slice_fill_copy(bases.len(), false);
    let live = (0..bases.len() as u16).filter(|&row| seen.is_none_or(|seen| seen[usize::from(row)]));
    let live: &[u16] = bumpalo::collections::Vec::from_iter_in(live, scratch).into_bump_slice();
    if live.is_empty() {
        return Ok(first);
    }
    let values = match values.gather(live, scratch) {
        Values::Plain(vector) => vector,
        Values::Product(left, right) => product(&left, &right, scratch),
        Values::Pair(..) => unreachable!("DISTINCT takes one argument"),
    };
    let groups = scratch.alloc_slice_fill_iter(live.iter().map(|&row| i64::from(bases[usize::from(row)])));
    let columns = scratch.alloc_slice_copy(&[Vector::new(Data::I64(groups)), values]);
    let tags = scratch.alloc_slice_fill_copy(live.len(), 0);
    hash::hash_rows(columns, hash::DEFAULT_SEED, tags);
    make_tags(columns, tags);
    let pairs = scratch.alloc_slice_fill_copy(live.len(), 0u32);
    let layout = distinct_layout(values.physical());
    let mut last = table.last();
    table.locate(&layout, &Keys { columns, tags }, &[], pairs, scratch)?;
    for (&row, &pair) in live.iter().zip(&*pairs) {
        // Bases grow in order of insertion, so a new pair stands behind all known ones.
        first[usize::from(row)] = pair > last;
        last = last.max(pair);
    }
    Ok(first)
}

fn product<'a>(left: &Vector<'a>, right: &Vector<'a>, scratch: &'a Bump) -> Vector<'a> {
    let pairs = left.i64s().iter().zip(right.i64s());
    let values = scratch.alloc_slice_fill_iter(pairs.map(|(&a, &b)| i128::from(a) * i128::from(b)));
    let both = Values::Product(*left, *right);
    let nulls = both.has_nulls().then(|| {
        let words = scratch.alloc_slice_fill_copy(values.len().div_ceil(64), 0u64);
        (0..values.len()).filter(|&row| both.is_null(row)).for_each(|row| words[row / 64] |= 1 << (row % 64));
        &*words
    });
    Vector { data: Data::I128(values), nulls }
}

/// Rows on their way into accumulators.
#[derive(Clone, Copy)]
pub(crate) struct Picked<'a> {
    pub(crate) bases: &'a [u32],
    pub(crate) values: Option<Values<'a>>,
    pub(crate) positions: Option<&'a [u64]>,
    /// Only these rows.
    pub(crate) seen: Option<&'a [bool]>,
}

impl<'a> Picked<'a> {
    /// Takes out the rows that are not seen, unless every row must be noted.
    fn pack(self, target: &Target<'_>, scratch: &'a Bump) -> Picked<'a> {
        let (Some(seen), None) = (self.seen, &target.snapshot) else { return self };
        let rows = (0..seen.len() as u16).filter(|&row| seen[usize::from(row)]);
        let rows: &[u16] = bumpalo::collections::Vec::from_iter_in(rows, scratch).into_bump_slice();
        let positions = self
            .positions
            .map(|positions| &*scratch.alloc_slice_fill_iter(rows.iter().map(|&row| positions[usize::from(row)])));
        Picked {
            bases: scratch.alloc_slice_fill_iter(rows.iter().map(|&row| self.bases[usize::from(row)])),
            values: self.values.map(|values| values.gather(rows, scratch)),
            positions,
            seen: None,
        }
    }
}

/// Where accumulators stand.
pub(crate) struct Target<'t> {
    pub(crate) stride: usize,
    pub(crate) state: &'t mut [u64],
    pub(crate) nulls: &'t mut NullCounts,
    pub(crate) snapshot: Option<Snapshot<'t>>,
}

/// A row of state per row of the chunk.
pub(crate) struct Snapshot<'t> {
    pub(crate) state: &'t mut [u64],
    pub(crate) nulls: &'t mut NullCounts,
}

impl Target<'_> {
    fn begin(&mut self, bases: &[u32]) {
        if let Some(snapshot) = &mut self.snapshot {
            for (row, &base) in snapshot.state.chunks_exact_mut(self.stride).zip(bases) {
                row.copy_from_slice(&self.state[base as usize..base as usize + self.stride]);
            }
            let counters = self.nulls.counters();
            bases
                .iter()
                .enumerate()
                .for_each(|(row, &base)| self.nulls.note(base, counters.clone(), snapshot.nulls, row));
        }
    }

    /// Counts a NULL for each row that is picked.
    fn count_nulls(&mut self, counter: usize, picked: &Picked<'_>) {
        for (row, &base) in picked.bases.iter().enumerate() {
            if picked.seen.is_none_or(|seen| seen[row]) {
                self.nulls.add(base, counter, 1);
            }
            if let Some(snapshot) = &mut self.snapshot {
                self.nulls.note(base, counter..counter + 1, snapshot.nulls, row);
            }
        }
    }

    /// Calls `add` with each row and the `W` words of its accumulator.
    #[inline]
    pub(crate) fn each<const W: usize>(
        &mut self,
        offset: usize,
        picked: &Picked<'_>,
        mut add: impl FnMut(usize, &mut [u64; W]),
    ) {
        match &mut self.snapshot {
            None => {
                for (row, &base) in picked.bases.iter().enumerate() {
                    add(row, accumulator(self.state, base as usize + offset));
                }
            }
            Some(snapshot) => {
                let noted = snapshot.state.chunks_exact_mut(self.stride);
                for (row, (noted, &base)) in noted.zip(picked.bases).enumerate() {
                    let words = accumulator::<W>(self.state, base as usize + offset);
                    if picked.seen.is_none_or(|seen| seen[row]) {
                        add(row, words);
                    }
                    noted[offset..offset + W].copy_from_slice(words);
                }
            }
        }
    }
}

#[inline]
fn accumulator<const W: usize>(state: &mut [u64], at: usize) -> &mut [u64; W] {
    (&mut state[at..at + W]).try_into().expect("the slice has W words")
}
