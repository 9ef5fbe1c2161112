//! Groups as bytes: keys as columns, accumulators as words and texts, lists and DISTINCT as values.
//!
//! Groups of sessions and partitions of OVER are written key group by key group (those of GROUP BY in
//! [`super::parts`]). Reading looks keys up like those of rows, so tags, the
//! index and the places of groups are made anew, and a key that comes twice is found.

use bumpalo::Bump;

use super::add::merge_moments;
use super::key::{KeyLayout, Keys, make_tags};
use super::pair::{CoMoments, MOMENT_WORDS};
use super::shape::{Accumulator, Kind, Shape};
use super::table::Table;
use super::texts::{Texts, UNSET};
use super::update::{Groups, distinct_layout};
use crate::batch::{BATCH_ROWS, Data, Vector};
use crate::error::Result;
use crate::hash;
use crate::operator::Column;
use crate::state::{Reader, Writer, columns, damaged};
use crate::types::Physical;

/// More rows than a group can have had.
const ROWS_MOST: u64 = 1 << 62;

/// The keys of groups, and to which key groups they belong.
pub(crate) struct SavedKeys<'a> {
    /// The key columns.
    pub(crate) columns: &'a [Vector<'a>],
    /// Their hashes.
    pub(crate) hashes: &'a mut [u64],
}

impl<'a> SavedKeys<'a> {
    /// The keys of the groups of `table` at `bases`, a chunk of them at most.
    fn of(layout: &KeyLayout, table: &Table, bases: &[u32], seed: u64, scratch: &'a Bump) -> Self {
        let columns = table.keys(layout, bases, scratch);
        let hashes = scratch.alloc_slice_fill_copy(bases.len(), 0);
        hash::hash_rows(columns, seed, hashes);
        SavedKeys { columns, hashes }
    }

    /// Writes the keys of the groups at `bases`.
    pub(crate) fn write(layout: &KeyLayout, table: &Table, bases: &[u32], to: &mut Writer) {
        let scratch = Bump::new();
        to.count(bases.len());
        for column in SavedKeys::of(layout, table, bases, 0, &scratch).columns {
            columns::write(column, bases.len(), to);
        }
    }

    /// Reads keys of key group `group` and adds them to `table`, each once; returns their bases.
    pub(crate) fn read(
        layout: &KeyLayout,
        table: &mut Table,
        initial: &[u64],
        (group, seed): (u16, u64),
        from: &mut Reader<'_>,
    ) -> Result<Vec<u32>> {
        let scratch = Bump::new();
        let rows = columns::rows(from)?;
        let mut all = Vec::with_capacity(layout.width());
        for &(physical, _) in layout.columns() {
            all.push(columns::read(from, physical, rows, &scratch)?);
        }
        let tags = scratch.alloc_slice_fill_copy(rows, 0);
        hash::hash_rows(&all, seed, tags);
        if tags.iter().any(|&hash| hash::key_group(hash) != usize::from(group)) {
            return Err(damaged("a key is not of its key group"));
        }
        make_tags(&all, tags);
        let mut bases = vec![0; rows];
        let before = table.groups();
        table.locate(layout, &Keys { columns: &all, tags }, initial, &mut bases, &scratch)?;
        if table.groups() != before + rows {
            return Err(damaged("a key stands there twice"));
        }
        Ok(bases)
    }
}

/// All groups of a table in order of key groups, in pieces of one key group and one chunk at most.
pub(crate) fn by_key_group(layout: &KeyLayout, table: &Table, seed: u64, mut visit: impl FnMut(u16, &[u32])) {
    let mut scratch = Bump::new();
    let mut order: Vec<(u16, u32)> = Vec::with_capacity(table.groups());
    for bases in table.bases().chunks(BATCH_ROWS) {
        scratch.reset();
        let keys = SavedKeys::of(layout, table, bases, seed, &scratch);
        order.extend(keys.hashes.iter().map(|&hash| hash::key_group(hash) as u16).zip(bases.iter().copied()));
    }
    order.sort_unstable();
    for group in order.chunk_by(|left, right| left.0 == right.0) {
        for piece in group.chunks(BATCH_ROWS) {
            let bases: Vec<u32> = piece.iter().map(|entry| entry.1).collect();
            visit(piece[0].0, &bases);
        }
    }
}

/// Where views of text stand among an accumulator's words.
fn text_places(kind: Kind) -> [Option<usize>; 2] {
    let text = |physical: Physical, at: usize| (physical == Physical::Text).then_some(at);
    match kind {
        Kind::Min(physical) | Kind::Max(physical) => [text(physical, 0), None],
        Kind::First(physical) | Kind::Last(physical) => [text(physical, 1), None],
        Kind::Beside(beside) => [text(beside.by, 1), text(beside.value, beside.value_at())],
        _ => [None, None],
    }
}

/// Whether something of an accumulator stands elsewhere than in its group's row.
pub(super) fn is_apart(kind: Kind) -> bool {
    kind == Kind::List || text_places(kind) != [None, None]
}

impl Shape {
    /// Writes accumulator `number` of the group whose row `row` begins with.
    pub(super) fn save_accumulator(&self, number: usize, row: &[u64], texts: &Texts, to: &mut Writer) {
        let accumulator = &self.accumulators[number];
        let words = &row[accumulator.offset..][..accumulator.kind.words(self.sources)];
        self.save_words(accumulator, words, texts, to);
    }

    /// Shape of an accumulator's argument.
    fn argument_physical(&self, accumulator: &Accumulator) -> Physical {
        accumulator.argument.map_or(Physical::I64, |at| self.arguments[at].expression.data_type.physical())
    }

    fn save_words(&self, accumulator: &Accumulator, words: &[u64], texts: &Texts, to: &mut Writer) {
        if accumulator.kind == Kind::List {
            return texts.lists.save(words, self.argument_physical(accumulator), to);
        }
        let places = text_places(accumulator.kind);
        for (at, &word) in words.iter().enumerate() {
            let is_view = places.iter().flatten().any(|&place| at == place || at == place + 1);
            if !is_view {
                to.word(word);
            }
        }
        for at in places.into_iter().flatten() {
            let text = texts.get([words[at], words[at + 1]]);
            to.flag(text.is_some());
            if let Some(text) = text {
                to.text(text.as_bytes());
            }
        }
    }

    fn load_words(
        &self,
        accumulator: &Accumulator,
        words: &mut [u64],
        texts: &mut Texts,
        sources: usize,
        from: &mut Reader<'_>,
    ) -> Result<()> {
        if accumulator.kind == Kind::List {
            return texts.lists.load(words, self.argument_physical(accumulator), from);
        }
        if accumulator.kind.by_source() && sources != self.sources {
            return load_sources(accumulator.kind, words, sources, from);
        }
        let places = text_places(accumulator.kind);
        for (at, word) in words.iter_mut().enumerate() {
            if !places.iter().flatten().any(|&place| at == place || at == place + 1) {
                *word = from.word()?;
            }
        }
        for at in places.into_iter().flatten() {
            let mut view = [UNSET, 0];
            if from.flag()? {
                texts.set(&mut view, columns::text(from)?);
            }
            words[at..at + 2].copy_from_slice(&view);
        }
        Ok(())
    }
}

/// Reads the doubles of `sources` source shards for another number of them: those beyond it are added to
/// the first ones, in order.
fn load_sources(kind: Kind, words: &mut [u64], sources: usize, from: &mut Reader<'_>) -> Result<()> {
    let width = kind.words(1);
    let places = words.len() / width;
    let mut read = [0; MOMENT_WORDS];
    for source in 0..sources {
        let read = &mut read[..width];
        for word in read.iter_mut() {
            *word = from.word()?;
        }
        let into = &mut words[source % places * width..][..width];
        match (&mut *into, &*read) {
            _ if source < places => into.copy_from_slice(read),
            ([sum], [more]) => *sum = (f64::from_bits(*sum) + f64::from_bits(*more)).to_bits(),
            ([a, b, c], &[d, e, f]) => {
                let merged = merge_moments([*a, *b, *c].map(f64::from_bits), [d, e, f].map(f64::from_bits));
                [*a, *b, *c] = merged.map(f64::to_bits);
            }
            _ => into.copy_from_slice(&CoMoments::from_words(into).merge(CoMoments::from_words(read)).words()),
        }
    }
    Ok(())
}

impl Groups {
    /// Writes the accumulators of the groups at `bases`, without their keys.
    pub(crate) fn save_accumulators(&self, shape: &Shape, bases: &[u32], to: &mut Writer) {
        self.save_words_of(shape, bases, &self.pairs(), to);
    }

    /// Per lane with DISTINCT: which group each of its pairs belongs to.
    fn pairs(&self) -> Vec<Option<Vec<(u32, u32)>>> {
        self.distinct.iter().map(|table| table.as_ref().map(pairs_by_group)).collect()
    }

    fn save_words_of(&self, shape: &Shape, bases: &[u32], pairs: &[Option<Vec<(u32, u32)>>], to: &mut Writer) {
        for accumulator in &shape.accumulators {
            for &base in bases {
                if accumulator.kind == Kind::Nulls {
                    to.word(self.nulls.read().get(base, accumulator.offset));
                    continue;
                }
                let at = base as usize + accumulator.offset;
                let words = &self.table.state[at..at + accumulator.kind.words(shape.sources)];
                shape.save_words(accumulator, words, &self.texts, to);
            }
        }
        for ((lane, table), pairs) in shape.lanes.iter().zip(&self.distinct).zip(pairs) {
            let (Some(argument), Some(table), Some(pairs)) = (lane.distinct, table, pairs) else { continue };
            let layout = distinct_layout(shape.arguments[argument].expression.data_type.physical());
            for &base in bases {
                let first = pairs.partition_point(|pair| pair.0 < base);
                let last = pairs.partition_point(|pair| pair.0 <= base);
                save_distinct(&layout, table, &pairs[first..last], to);
            }
        }
    }

    /// Reads what [`Groups::save_accumulators`] wrote into the groups at `bases`.
    pub(crate) fn load_accumulators(
        &mut self,
        shape: &Shape,
        bases: &[u32],
        sources: usize,
        from: &mut Reader<'_>,
    ) -> Result<()> {
        for accumulator in &shape.accumulators {
            for &base in bases {
                if accumulator.kind == Kind::Nulls {
                    self.nulls.set(base, accumulator.offset, from.word()?);
                    continue;
                }
                let at = base as usize + accumulator.offset;
                let words = &mut self.table.state[at..at + accumulator.kind.words(shape.sources)];
                shape.load_words(accumulator, words, &mut self.texts, sources, from)?;
            }
        }
        for (lane, table) in shape.lanes.iter().zip(&mut self.distinct) {
            let (Some(argument), Some(table)) = (lane.distinct, table) else { continue };
            let physical = shape.arguments[argument].expression.data_type.physical();
            for &base in bases {
                load_distinct(physical, table, base, from)?;
            }
        }
        Ok(())
    }

    /// Reads an accumulator of the group at `base`, or into `others` where that is 0 and so somebody else's.
    pub(super) fn load_accumulator(
        &mut self,
        shape: &Shape,
        accumulator: &Accumulator,
        base: u32,
        sources: usize,
        others: &mut Vec<u64>,
        from: &mut Reader<'_>,
    ) -> Result<()> {
        let width = accumulator.kind.words(shape.sources);
        if base == 0 {
            others.clear();
            others.resize(width, 0);
            return shape.load_words(accumulator, others, &mut Texts::default(), sources, from);
        }
        let at = base as usize + accumulator.offset;
        shape.load_words(accumulator, &mut self.table.state[at..at + width], &mut self.texts, sources, from)
    }

    /// Refuses counts that no rows can have given: of NULLs there are no more than rows.
    pub(crate) fn check_counts(&self, shape: &Shape, bases: &[u32]) -> Result<()> {
        let at = |number: usize| shape.accumulators[number].offset;
        for answer in &shape.answers {
            let (rows, nulls) = (at(answer.rows), answer.nulls.map(at));
            for &base in bases {
                let rows = self.table.state[base as usize + rows];
                let nulls = nulls.map_or(0, |counter| self.nulls.read().get(base, counter));
                if rows > ROWS_MOST || nulls > rows {
                    return Err(damaged("a group has more NULLs than rows"));
                }
            }
        }
        Ok(())
    }
}

/// (group, place of the pair) of the pairs of a DISTINCT, in order.
fn pairs_by_group(table: &Table) -> Vec<(u32, u32)> {
    // The group is the first key column, which stands behind the tag.
    let mut pairs: Vec<(u32, u32)> =
        table.bases().into_iter().map(|pair| (table.state[pair as usize + 1] as u32, pair)).collect();
    pairs.sort_unstable();
    pairs
}

fn save_distinct(layout: &KeyLayout, table: &Table, pairs: &[(u32, u32)], to: &mut Writer) {
    let mut scratch = Bump::new();
    to.count(pairs.len());
    for piece in pairs.chunks(BATCH_ROWS) {
        scratch.reset();
        let bases: Vec<u32> = piece.iter().map(|pair| pair.1).collect();
        let mut column = Column::new(layout.columns()[1].0, &scratch);
        layout.read(1, &table.state, &bases, &table.bytes, &mut column, 0);
        columns::write(&column.finish(piece.len()), piece.len(), to);
    }
}

fn load_distinct(physical: Physical, table: &mut Table, group: u32, from: &mut Reader<'_>) -> Result<()> {
    let mut scratch = Bump::new();
    let mut left = from.count(1)?;
    while left > 0 {
        scratch.reset();
        let rows = left.min(BATCH_ROWS);
        let values = columns::read(from, physical, rows, &scratch)?;
        let groups = vec![i64::from(group); rows];
        let columns = [Vector::new(Data::I64(&groups)), values];
        let mut tags = vec![0; rows];
        hash::hash_rows(&columns, hash::DEFAULT_SEED, &mut tags);
        make_tags(&columns, &mut tags);
        let before = table.groups();
        let mut pairs = vec![0; rows];
        let keys = Keys { columns: &columns, tags: &tags };
        table.locate(&distinct_layout(physical), &keys, &[], &mut pairs, &scratch)?;
        if table.groups() != before + rows {
            return Err(damaged("a value of DISTINCT stands there twice"));
        }
        left -= rows;
    }
    Ok(())
}
