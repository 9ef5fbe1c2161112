//! Groups as they were at one moment, taken in parts while rows go on being added.
//!
//! When saving begins every group that is there is *owed*. From then on groups are taken one of two ways:
//! in order of insertion, a run of rows at a time, whenever there is time for a part ([`Saver::next`]); and
//! one by one just before rows change them ([`Groups::keep`]), when their lines are in the core's caches
//! anyway. A bit per group says who was taken out of order. Either way a group's row of words is copied once,
//! as it was, and made into bytes by another thread ([`Taken::save`]). Groups are added behind those that are
//! owed and are not looked at; long key texts and the pairs of DISTINCT only ever come to those that are there,
//! so for them the number at the start is enough. What hangs on a row elsewhere (texts of MIN, lists of
//! MEDIAN) is written down when the row is taken.
//!
//! Windows begin to be taken when they are first touched, by rows or by a part: that saving began is a number
//! that they are compared with, whatever their number. Small ones are taken whole then. A window that is closed
//! before it was taken is kept until it is.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bumpalo::Bump;

use super::key::{KeyLayout, Keys, make_tags};
use super::nulls::Nulls;
use super::saved::is_apart;
use super::shape::{Kind, Shape};
use super::table::Table;
use super::texts::Texts;
use super::update::{Groups, distinct_layout};
use crate::batch::{BATCH_ROWS, Data, INLINE_MAX, Vector, gather};
use crate::error::Result;
use crate::hash;
use crate::operator::Column;
use crate::pipeline::Place;
use crate::state::{Reader, Writer, columns, damaged};
use crate::types::Physical;

/// Windows are taken whole whose groups and pairs are so many at most, for so many bytes of a part.
const BYTES_PER_WHOLE: usize = 256;
/// Bytes of a run at least.
pub(crate) const RUN_BYTES: usize = 24;
/// Groups that one word of bits tells about.
const WORD_GROUPS: usize = 64;

/// How rows of groups are copied.
pub(crate) struct Form {
    shape: Shape,
    /// Where key texts stand in a row.
    texts: Vec<usize>,
    /// Accumulators, by number, of which something stands elsewhere.
    apart: Vec<usize>,
    /// Some lane is DISTINCT, and pairs name groups.
    has_pairs: bool,
}

/// Copies of groups, or of pairs of a DISTINCT.
#[derive(Default)]
pub(crate) struct Copies {
    runs: Vec<Run>,
    /// Rows of words.
    words: Vec<u64>,
    /// Long texts in them.
    bytes: Vec<u8>,
    /// Counters of NULLs.
    nulls: Vec<u64>,
    /// Which groups they are, where pairs are to name them.
    numbers: Vec<u32>,
    /// What stands elsewhere of accumulators, as bytes.
    apart: Writer,
}

/// Rows of one kind, a chunk of them at most.
struct Run {
    start: i64,
    of: Of,
    rows: usize,
    /// The first of its words.
    words: usize,
    /// The first of its counters, if any group had seen a NULL.
    nulls: Option<usize>,
    /// The first of its numbers.
    numbers: usize,
    /// The first of its bytes apart.
    apart: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Groups,
    /// Pairs of this lane.
    Pairs(usize),
}

/// A part that is on its way to whoever makes bytes of it.
pub struct Taken {
    form: Arc<Form>,
    copies: Copies,
}

/// What of one set of groups is taken.
pub(crate) struct Saving {
    form: Arc<Form>,
    part_bytes: usize,
    start: i64,
    /// Groups that there were.
    groups: usize,
    /// Pairs that there were, per lane.
    pairs: Vec<usize>,
    /// Groups before it are taken.
    next: usize,
    /// Pairs before it are taken, in this lane.
    next_pair: (usize, usize),
    /// A bit per group that was taken out of order.
    taken: Vec<u64>,
    /// Copies of those.
    aside: Copies,
    full: VecDeque<Copies>,
}

/// Where groups are copied from.
#[derive(Clone, Copy)]
struct From<'g> {
    table: &'g Table,
    nulls: Nulls<'g>,
    texts: &'g Texts,
}

impl Form {
    pub(crate) fn new(shape: &Shape) -> Arc<Form> {
        let texts = shape.key.columns().iter().filter(|column| column.0 == Physical::Text).map(|column| column.1);
        let apart = shape.accumulators.iter().enumerate().filter(|(_, accumulator)| is_apart(accumulator.kind));
        Arc::new(Form {
            texts: texts.collect(),
            apart: apart.map(|(number, _)| number).collect(),
            has_pairs: shape.lanes.iter().any(|lane| lane.distinct.is_some()),
            shape: shape.clone(),
        })
    }

    /// Shape of the values of a lane's DISTINCT.
    fn values(&self, lane: usize) -> Option<Physical> {
        let argument = self.shape.lanes.get(lane)?.distinct?;
        Some(self.shape.arguments[argument].expression.data_type.physical())
    }
}

impl Copies {
    /// None, and room for a part of `bytes` bytes.
    fn with_room(bytes: usize) -> Copies {
        Copies { words: Vec::with_capacity(bytes / 8 + BATCH_ROWS), ..Copies::default() }
    }

    fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Whether they are a part of `bytes` bytes; a little more may stand in one.
    fn is_full(&self, bytes: usize) -> bool {
        8 * (self.words.len() + self.nulls.len()) + self.bytes.len() + self.apart.len() >= bytes
    }

    fn memory(&self) -> usize {
        8 * (self.words.len() + self.nulls.len()) + 4 * self.numbers.len() + self.bytes.len() + self.apart.len()
    }

    /// The run to which rows are added.
    fn run(&mut self, start: i64, of: Of, has_nulls: bool) -> &mut Run {
        let goes_on =
            |run: &Run| (run.start, run.of, run.nulls.is_some()) == (start, of, has_nulls) && run.rows < BATCH_ROWS;
        if !self.runs.last().is_some_and(goes_on) {
            self.runs.push(Run {
                start,
                of,
                rows: 0,
                words: self.words.len(),
                nulls: has_nulls.then_some(self.nulls.len()),
                numbers: self.numbers.len(),
                apart: self.apart.len(),
            });
        }
        self.runs.last_mut().expect("it was just pushed")
    }

    /// Copies `count` groups from the one of number `first` on.
    fn groups(&mut self, form: &Form, start: i64, from: From<'_>, mut first: usize, mut count: usize) {
        let stride = from.table.stride();
        while count > 0 {
            let run = self.run(start, Of::Groups, !from.nulls.is_empty());
            let rows = count.min(BATCH_ROWS - run.rows);
            run.rows += rows;
            let at = self.words.len();
            let bases = || (first..first + rows).map(|number| (number + 1) * stride);
            self.words.extend_from_slice(&from.table.state[(first + 1) * stride..][..rows * stride]);
            self.own_texts(at, stride, &form.texts, &from.table.bytes);
            if !from.nulls.is_empty() {
                for base in bases() {
                    let counters = 0..form.shape.null_counters;
                    self.nulls.extend(counters.map(|counter| from.nulls.get(base as u32, counter)));
                }
            }
            if form.has_pairs {
                self.numbers.extend((first..first + rows).map(|number| number as u32));
            }
            if !form.apart.is_empty() {
                for base in bases() {
                    for &accumulator in &form.apart {
                        form.shape.save_accumulator(
                            accumulator,
                            &from.table.state[base..],
                            from.texts,
                            &mut self.apart,
                        );
                    }
                }
            }
            (first, count) = (first + rows, count - rows);
        }
    }

    /// Copies pairs of a lane's DISTINCT from the one of number `first` on, a chunk at most.
    fn pairs(
        &mut self,
        lane: usize,
        physical: Physical,
        start: i64,
        table: &Table,
        first: usize,
        most: usize,
    ) -> usize {
        let run = self.run(start, Of::Pairs(lane), false);
        let rows = most.min(BATCH_ROWS - run.rows);
        run.rows += rows;
        let (at, stride) = (self.words.len(), table.stride());
        self.words.extend_from_slice(&table.state[(first + 1) * stride..][..rows * stride]);
        let layout = distinct_layout(physical);
        if let &[_, (Physical::Text, offset)] = layout.columns() {
            self.own_texts(at, stride, &[offset], &table.bytes);
        }
        rows
    }

    /// Copies the long texts of the rows from word `from` on.
    fn own_texts(&mut self, from: usize, stride: usize, texts: &[usize], bytes: &[u8]) {
        for &offset in texts {
            for row in self.words[from..].chunks_exact_mut(stride) {
                let length = row[offset] as u32 as usize;
                if length > INLINE_MAX {
                    let at = row[offset + 1] as usize;
                    row[offset + 1] = self.bytes.len() as u64;
                    self.bytes.extend_from_slice(&bytes[at..at + length]);
                }
            }
        }
    }
}

impl Saving {
    fn from<'g>(table: &'g Table, nulls: Nulls<'g>, texts: &'g Texts) -> From<'g> {
        From { table, nulls, texts }
    }

    fn memory(&self) -> usize {
        let full: usize = self.full.iter().map(Copies::memory).sum();
        self.aside.memory() + full + 8 * self.taken.capacity()
    }

    /// Takes the groups at `bases`, if they are owed.
    fn keep(&mut self, bases: &[u32], from: From<'_>) {
        let part = 1.0 / from.table.stride() as f64;
        for &base in bases {
            // As in `Table::number_all`.
            let number = (f64::from(base) * part + 0.5) as usize - 1;
            if number.wrapping_sub(self.next) >= self.groups - self.next {
                continue;
            }
            let (word, bit) = (&mut self.taken[number / WORD_GROUPS], 1 << (number % WORD_GROUPS));
            if *word & bit != 0 {
                continue;
            }
            *word |= bit;
            if self.aside.is_full(self.part_bytes) {
                self.full.push_back(std::mem::take(&mut self.aside));
            }
            if self.aside.is_empty() {
                self.aside = Copies::with_room(self.part_bytes);
            }
            self.aside.groups(&self.form, self.start, from, number, 1);
        }
    }

    /// Takes groups in order until `into` is full; returns whether all are taken.
    fn take_groups(&mut self, from: From<'_>, into: &mut Copies) -> bool {
        while self.next < self.groups {
            if into.is_full(self.part_bytes) {
                return false;
            }
            let count = WORD_GROUPS.min(self.groups - self.next);
            let taken = self.taken[self.next / WORD_GROUPS];
            let mut at = 0;
            while at < count {
                let rest = taken >> at;
                let owed = (rest.trailing_zeros() as usize).min(count - at);
                if owed > 0 {
                    into.groups(&self.form, self.start, from, self.next + at, owed);
                }
                at += owed;
                if at < count {
                    at += ((taken >> at).trailing_ones() as usize).min(count - at);
                }
            }
            self.next += count;
        }
        true
    }

    /// Takes pairs in order until `into` is full; returns whether all are taken.
    fn take_pairs(&mut self, distinct: &[Option<Table>], into: &mut Copies) -> bool {
        while let Some(&count) = self.pairs.get(self.next_pair.0) {
            let (lane, next) = self.next_pair;
            if next >= count {
                self.next_pair = (lane + 1, 0);
                continue;
            }
            if into.is_full(self.part_bytes) {
                return false;
            }
            let (Some(table), Some(physical)) = (&distinct[lane], self.form.values(lane)) else {
                unreachable!("a lane without DISTINCT has no pairs")
            };
            self.next_pair.1 += into.pairs(lane, physical, self.start, table, next, count - next);
        }
        true
    }
}

impl Groups {
    /// Says that rows are about to change the groups at `bases`, which saving may still owe.
    #[inline]
    pub(crate) fn keep(&mut self, bases: &[u32]) {
        if let Some(saving) = &mut self.saving {
            saving.keep(bases, Saving::from(&self.table, self.nulls.read(), &self.texts));
        }
    }

    /// Bytes held for saving.
    pub(crate) fn saving_memory(&self) -> usize {
        self.saving.as_deref().map_or(0, Saving::memory)
    }

    /// Begins to be taken.
    fn begin(&mut self, form: &Arc<Form>, part_bytes: usize, start: i64) {
        let groups = self.table.groups();
        self.saving = Some(Box::new(Saving {
            form: Arc::clone(form),
            part_bytes,
            start,
            groups,
            pairs: self.distinct.iter().map(|table| table.as_ref().map_or(0, Table::groups)).collect(),
            next: 0,
            next_pair: (0, 0),
            taken: vec![0; groups.div_ceil(WORD_GROUPS)],
            aside: Copies::default(),
            full: VecDeque::new(),
        }));
    }
}

/// Takes the sets of groups of one operator.
pub(crate) struct Saver {
    form: Arc<Form>,
    part_bytes: usize,
    /// How often saving began. Groups that know a smaller number are owed.
    epoch: u64,
    is_saving: bool,
    /// No set of a mark before it is owed, of those that are open.
    next: i64,
    current: Copies,
    ready: VecDeque<Copies>,
    /// Sets that nobody needs any more but are owed.
    kept: VecDeque<(i64, Groups)>,
}

impl Saver {
    pub(crate) fn new(shape: &Shape) -> Saver {
        Saver {
            form: Form::new(shape),
            part_bytes: 0,
            epoch: 0,
            is_saving: false,
            next: i64::MIN,
            current: Copies::default(),
            ready: VecDeque::new(),
            kept: VecDeque::new(),
        }
    }

    /// All sets that are open are owed, in parts of `part_bytes` bytes.
    pub(crate) fn begin(&mut self, part_bytes: usize) {
        debug_assert!(!self.is_saving, "saving begins when all is taken");
        self.part_bytes = part_bytes;
        (self.epoch, self.is_saving, self.next) = (self.epoch + 1, true, i64::MIN);
    }

    /// A set of groups that is opened now owes nothing.
    pub(crate) fn opened(&self, mut groups: Groups) -> Groups {
        groups.epoch = self.epoch;
        groups
    }

    /// Rows come to this set of groups.
    #[inline]
    pub(crate) fn touch(&mut self, start: i64, groups: &mut Groups) {
        if groups.epoch != self.epoch {
            self.touch_first(start, groups);
        }
    }

    #[cold]
    fn touch_first(&mut self, start: i64, groups: &mut Groups) {
        groups.epoch = self.epoch;
        let pairs: usize = groups.distinct.iter().flatten().map(Table::groups).sum();
        groups.begin(&self.form, self.part_bytes, start);
        if groups.table.groups() + pairs <= self.part_bytes / BYTES_PER_WHOLE {
            while !self.take(groups) {}
        }
    }

    /// Whether something of the set is still to be taken.
    fn owes(&self, groups: &Groups) -> bool {
        self.is_saving && (groups.epoch != self.epoch || groups.saving.is_some())
    }

    /// Keeps a set of groups that nobody needs any more, if it is owed; else gives it back.
    pub(crate) fn release(&mut self, start: i64, groups: Groups) -> Option<Groups> {
        if self.owes(&groups) {
            self.kept.push_back((start, groups));
            return None;
        }
        Some(groups)
    }

    /// Takes some of a set's groups into the part at hand, and what rows have taken of it; returns whether all
    /// of it is taken. Pairs stand behind all groups that they name.
    fn take(&mut self, groups: &mut Groups) -> bool {
        let Some(saving) = &mut groups.saving else { return true };
        self.ready.append(&mut saving.full);
        let from = Saving::from(&groups.table, groups.nulls.read(), &groups.texts);
        let has_groups = saving.take_groups(from, &mut self.current);
        if has_groups && !saving.aside.is_empty() {
            self.ready.push_back(std::mem::take(&mut saving.aside));
        }
        if has_groups && saving.take_pairs(&groups.distinct, &mut self.current) {
            groups.saving = None;
        }
        if self.current.is_full(self.part_bytes) {
            self.ready.push_back(std::mem::replace(&mut self.current, Copies::with_room(self.part_bytes)));
        }
        groups.saving.is_none()
    }

    /// The next part of an operator that has one set of groups.
    pub(crate) fn next_of(&mut self, groups: &mut Groups) -> Option<Taken> {
        self.next(std::iter::once((0, groups)), &mut VecDeque::new(), |_| {})
    }

    /// The next part; `None` when all is taken. `due` are sets that leave, `open` those that are open.
    pub(crate) fn next<'g>(
        &mut self,
        due: impl Iterator<Item = (i64, &'g mut Groups)>,
        open: &mut VecDeque<(i64, Groups)>,
        mut unneeded: impl FnMut(Groups),
    ) -> Option<Taken> {
        if !self.is_saving {
            return None;
        }
        let epoch = self.epoch;
        let mut due = due.filter(|(_, groups)| groups.epoch != epoch || groups.saving.is_some()).peekable();
        while self.ready.is_empty() {
            if let Some((start, mut groups)) = self.kept.pop_front() {
                self.touch(start, &mut groups);
                if self.take(&mut groups) {
                    unneeded(groups)
                } else {
                    self.kept.push_front((start, groups))
                }
                continue;
            }
            if let Some((start, groups)) = due.peek_mut() {
                self.touch(*start, groups);
                if self.take(groups) {
                    due.next();
                }
                continue;
            }
            let at = open.partition_point(|(start, _)| *start < self.next);
            let Some((start, groups)) = open.get_mut(at) else {
                self.is_saving = false;
                let last = std::mem::take(&mut self.current);
                return (!last.is_empty()).then(|| self.taken(last));
            };
            self.touch(*start, groups);
            if self.take(groups) {
                self.next = start.saturating_add(1);
            }
        }
        let copies = self.ready.pop_front().expect("the loop ends when there is one");
        Some(self.taken(copies))
    }
}

impl Saver {
    fn taken(&self, copies: Copies) -> Taken {
        Taken { form: Arc::clone(&self.form), copies }
    }

    /// Bytes held.
    pub(crate) fn memory(&self) -> usize {
        let kept: usize = self.kept.iter().map(|kept| kept.1.memory()).sum();
        self.current.memory() + self.ready.iter().map(Copies::memory).sum::<usize>() + kept
    }
}

impl Taken {
    /// Bytes held.
    pub(crate) fn memory(&self) -> usize {
        self.copies.memory()
    }

    /// Makes bytes of it: how many runs, and each: the mark of its set, 0 or the lane of its pairs and one more, its rows
    /// column by column.
    pub(crate) fn save(&self, to: &mut Writer) {
        let Taken { form, copies } = self;
        let mut scratch = Bump::new();
        to.count(copies.runs.len());
        for (number, run) in copies.runs.iter().enumerate() {
            scratch.reset();
            let next = copies.runs.get(number + 1);
            let words = &copies.words[run.words..next.map_or(copies.words.len(), |next| next.words)];
            let stride = words.len() / run.rows;
            let bases: &[u32] = scratch.alloc_slice_fill_iter((0..run.rows).map(|row| (row * stride) as u32));
            to.word(run.start as u64);
            match run.of {
                Of::Groups => {
                    to.word(0);
                    to.count(run.rows);
                    let apart = run.apart..next.map_or(copies.apart.len(), |next| next.apart);
                    self.save_groups(run, words, bases, apart, to, &scratch);
                }
                Of::Pairs(lane) => {
                    to.count(lane + 1);
                    to.count(run.rows);
                    let groups_stride = Table::stride_of(form.shape.stride) as u64;
                    to.words(bases.iter().map(|&base| words[base as usize + 1] / groups_stride - 1));
                    let layout = distinct_layout(form.values(lane).expect("a lane with pairs is one of DISTINCT"));
                    save_keys(1, &layout, words, bases, &copies.bytes, to, &scratch);
                }
            }
        }
    }

    fn save_groups(
        &self,
        run: &Run,
        words: &[u64],
        bases: &[u32],
        apart: std::ops::Range<usize>,
        to: &mut Writer,
        scratch: &Bump,
    ) {
        let Taken { form, copies } = self;
        let shape = &form.shape;
        if form.has_pairs {
            to.words(copies.numbers[run.numbers..][..run.rows].iter().map(|&number| u64::from(number)));
        }
        save_keys(0, &shape.key, words, bases, &copies.bytes, to, scratch);
        for accumulator in shape.accumulators.iter().filter(|accumulator| !is_apart(accumulator.kind)) {
            if accumulator.kind == Kind::Nulls {
                let counter = |row: usize| {
                    run.nulls.map_or(0, |at| copies.nulls[at + row * shape.null_counters + accumulator.offset])
                };
                to.words((0..run.rows).map(counter));
                continue;
            }
            let width = accumulator.kind.words(shape.sources);
            for &base in bases {
                to.words(words[base as usize + accumulator.offset..][..width].iter().copied());
            }
        }
        to.bytes(&copies.apart.as_bytes()[apart]);
    }
}

/// Writes the key columns from column `first` on.
fn save_keys(
    first: usize,
    layout: &KeyLayout,
    words: &[u64],
    bases: &[u32],
    bytes: &[u8],
    to: &mut Writer,
    scratch: &Bump,
) {
    for (number, &(physical, _)) in layout.columns().iter().enumerate().skip(first) {
        let mut column = Column::new(physical, scratch);
        layout.read(number, words, bases, bytes, &mut column, 0);
        columns::write(&column.finish(bases.len()), bases.len(), to);
    }
}

/// Reads the parts that one operator has saved, in their order.
pub(crate) struct Loader<'p> {
    form: &'p Form,
    /// Only groups that this shard owns, if that is asked.
    owner: Option<&'p Place>,
    seed: u64,
    /// Doubles are those of so many source shards.
    sources: usize,
    /// Bases of the groups by mark and number, where pairs name them; 0 is somebody else's.
    bases: HashMap<(i64, u64), u32>,
}

impl<'p> Loader<'p> {
    pub(crate) fn new(saver: &'p Saver, owner: Option<&'p Place>, seed: u64, sources: usize) -> Loader<'p> {
        Loader { form: &saver.form, owner, seed, sources, bases: HashMap::new() }
    }

    /// Reads one run of the set of groups of mark `start`, into `groups`; returns the bases of those in it.
    pub(crate) fn load(&mut self, start: i64, groups: &mut Groups, from: &mut Reader<'_>) -> Result<Vec<u32>> {
        let scratch = Bump::new();
        let lane = from.word()?;
        let rows = columns::rows(from)?;
        match usize::try_from(lane).unwrap_or(usize::MAX).checked_sub(1) {
            None => self.load_groups(start, rows, groups, from, &scratch),
            Some(lane) => self.load_pairs(start, rows, lane, groups, from, &scratch).map(|()| Vec::new()),
        }
    }

    fn load_groups(
        &mut self,
        start: i64,
        rows: usize,
        groups: &mut Groups,
        from: &mut Reader<'_>,
        scratch: &Bump,
    ) -> Result<Vec<u32>> {
        let (form, shape) = (self.form, &self.form.shape);
        let numbers: Result<Vec<u64>> = (0..if form.has_pairs { rows } else { 0 }).map(|_| from.word()).collect();
        let mut keys = Vec::with_capacity(shape.key.width());
        for &(physical, _) in shape.key.columns() {
            keys.push(columns::read(from, physical, rows, scratch)?);
        }
        let bases = self.locate(&keys, rows, groups, scratch)?;
        for (row, number) in numbers?.into_iter().enumerate() {
            if self.bases.insert((start, number), bases[row]).is_some() {
                return Err(damaged("a number of a group stands there twice"));
            }
        }
        let mut others = Vec::new();
        for accumulator in shape.accumulators.iter().filter(|accumulator| !is_apart(accumulator.kind)) {
            for &base in bases {
                if accumulator.kind == Kind::Nulls {
                    let count = from.word()?;
                    if base != 0 {
                        groups.nulls.set(base, accumulator.offset, count);
                    }
                    continue;
                }
                groups.load_accumulator(shape, accumulator, base, self.sources, &mut others, from)?;
            }
        }
        for &base in bases {
            for &accumulator in &form.apart {
                let accumulator = &shape.accumulators[accumulator];
                groups.load_accumulator(shape, accumulator, base, self.sources, &mut others, from)?;
            }
        }
        Ok(bases.iter().copied().filter(|&base| base != 0).collect())
    }

    /// Adds groups with these keys; returns the base of each, 0 for those of somebody else.
    fn locate<'s>(
        &self,
        keys: &[Vector<'s>],
        rows: usize,
        groups: &mut Groups,
        scratch: &'s Bump,
    ) -> Result<&'s [u32]> {
        let shape = &self.form.shape;
        let owned: Option<&[u16]> = self.owner.map(|place| place.owned_rows(keys, rows, scratch));
        let bases = scratch.alloc_slice_fill_copy(rows, 0u32);
        let count = owned.map_or(rows, <[u16]>::len);
        if count == 0 {
            return Ok(bases);
        }
        let columns: &[Vector<'s>] = match owned {
            None => scratch.alloc_slice_copy(keys),
            Some(rows) => scratch.alloc_slice_fill_iter(keys.iter().map(|column| gather(column, rows, scratch))),
        };
        let tags = scratch.alloc_slice_fill_copy(count, 0);
        hash::hash_rows(columns, self.seed, tags);
        make_tags(columns, tags);
        let found = scratch.alloc_slice_fill_copy(count, 0u32);
        let before = groups.table.groups();
        groups.table.locate(&shape.key, &Keys { columns, tags }, &shape.initial, found, scratch)?;
        if groups.table.groups() != before + count {
            return Err(damaged("a key stands there twice"));
        }
        match owned {
            None => bases.copy_from_slice(found),
            Some(rows) => rows.iter().zip(&*found).for_each(|(&row, &base)| bases[usize::from(row)] = base),
        }
        Ok(bases)
    }

    fn load_pairs(
        &mut self,
        start: i64,
        rows: usize,
        lane: usize,
        groups: &mut Groups,
        from: &mut Reader<'_>,
        scratch: &Bump,
    ) -> Result<()> {
        let physical = self.form.values(lane).ok_or_else(|| damaged("pairs are of no DISTINCT"))?;
        let bases = scratch.alloc_slice_fill_copy(rows, 0i64);
        for base in bases.iter_mut() {
            let known = self.bases.get(&(start, from.word()?));
            *base = i64::from(*known.ok_or_else(|| damaged("a value of DISTINCT is of no group"))?);
        }
        let values = columns::read(from, physical, rows, scratch)?;
        let owned = (0..rows as u16).filter(|&row| bases[usize::from(row)] != 0);
        let owned = bumpalo::collections::Vec::from_iter_in(owned, scratch).into_bump_slice();
        if owned.is_empty() {
            return Ok(());
        }
        let columns = [Vector::new(Data::I64(bases)), values].map(|column| gather(&column, owned, scratch));
        let tags = scratch.alloc_slice_fill_copy(owned.len(), 0);
        hash::hash_rows(&columns, hash::DEFAULT_SEED, tags);
        make_tags(&columns, tags);
        let pairs = scratch.alloc_slice_fill_copy(owned.len(), 0u32);
        let Some(table) = &mut groups.distinct[lane] else { unreachable!("the lane is one of DISTINCT") };
        let before = table.groups();
        table.locate(&distinct_layout(physical), &Keys { columns: &columns, tags }, &[], pairs, scratch)?;
        if table.groups() != before + owned.len() {
            return Err(damaged("a value of DISTINCT stands there twice"));
        }
        Ok(())
    }
}
