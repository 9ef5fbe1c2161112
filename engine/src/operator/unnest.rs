//! Rows once per element of their arrays.

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;

use super::evaluate::evaluate_all;
use super::{Context, Next, Operator, Owed, Time};
use crate::batch::{BATCH_ROWS, Batch, Chunk, Data, Nulls, Vector};
use crate::error::{Code, Error, Result};
use crate::nested::{List, Place, column, entry_type, payload, width};
use crate::plan::Unnest as Plan;
use crate::stage::Stage;
use crate::state::State;
use crate::types::{DataType, Physical};

/// The operator. A chunk that becomes more than one is held, with its arrays, until its rows have left.
pub(crate) struct Unnest {
    plan: Plan,
    /// Shapes of the columns that come, and of the arrays behind them.
    layout: Vec<Physical>,
    held: Option<Batch>,
    /// The first row and element that has not left.
    at: (usize, usize),
    owed: Owed,
}

/// How many rows each row of a chunk becomes.
struct Counts<'a> {
    arrays: &'a [Vector<'a>],
    widths: BumpVec<'a, Option<usize>>,
    is_outer: bool,
}

impl<'a> Counts<'a> {
    fn new(plan: &Plan, arrays: &'a [Vector<'a>], scratch: &'a Bump) -> Self {
        let widths = plan.arrays.iter().map(|array| width(element(array.data_type)));
        Counts { arrays, widths: BumpVec::from_iter_in(widths, scratch), is_outer: plan.is_outer }
    }

    /// The array of row `row` in column `number`; a NULL has no elements.
    fn list(&self, number: usize, row: usize) -> Option<List<'a>> {
        let array = &self.arrays[number];
        (!array.is_null(row)).then(|| List::new(array.texts()[row].as_bytes(), self.widths[number]))
    }

    fn of(&self, row: usize) -> usize {
        let lengths = (0..self.arrays.len()).map(|number| self.list(number, row).map_or(0, |list| list.len()));
        lengths.max().unwrap_or(0).max(usize::from(self.is_outer))
    }
}

/// What is made of one array or map: elements, or entries.
fn element(of: DataType) -> DataType {
    match of {
        DataType::Array(element) => *element,
        DataType::Map(entry) => entry_type(entry),
        _ => DataType::Null,
    }
}

impl Unnest {
    /// `input` are the shapes of the columns that come.
    pub(crate) fn new(plan: Plan, input: Vec<Physical>) -> Self {
        let mut layout = input;
        layout.extend(plan.arrays.iter().map(|_| Physical::Text));
        Unnest { plan, layout, held: None, at: (0, 0), owed: Owed::default() }
    }

    /// Rows of `chunk`, behind whose own columns stand its arrays, from `at` on: as many as fit, and where the
    /// next ones begin.
    fn part<'a>(plan: &Plan, chunk: &Chunk<'a>, at: (usize, usize), scratch: &'a Bump) -> (Chunk<'a>, (usize, usize)) {
        let own = chunk.columns.len() - plan.arrays.len();
        let counts = Counts::new(plan, &chunk.columns[own..], scratch);
        let mut rows = BumpVec::with_capacity_in(BATCH_ROWS, scratch);
        let mut elements: BumpVec<'_, u32> = BumpVec::with_capacity_in(BATCH_ROWS, scratch);
        let (mut row, mut first) = at;
        while row < chunk.rows && rows.len() < BATCH_ROWS {
            let count = counts.of(row);
            let last = count.min(first + BATCH_ROWS - rows.len());
            rows.extend(std::iter::repeat_n(row as u16, last - first));
            elements.extend(first as u32..last as u32);
            (row, first) = if last == count { (row + 1, 0) } else { (row, last) };
        }
        let passing = Chunk { columns: &chunk.columns[..own], ..*chunk }.gather(&rows, scratch);
        let kept = own - plan.behind;
        let mut columns = BumpVec::from_iter_in(passing.columns[..kept].iter().copied(), scratch);
        for (number, array) in plan.arrays.iter().enumerate() {
            let part = |at: usize| {
                let list = counts.list(number, usize::from(rows[at]))?;
                let element = elements[at] as usize;
                (element < list.len()).then(|| list.get(element))
            };
            match array.data_type {
                DataType::Map(entry) => {
                    for (which, member) in entry.iter().enumerate() {
                        let place = Place::new(entry, which);
                        let of_entry = |at: usize| part(at).map(|part| place.of(payload(part)));
                        columns.push(column(member.data_type, rows.len(), scratch, of_entry));
                    }
                }
                of => columns.push(column(element(of), rows.len(), scratch, part)),
            }
        }
        if plan.has_ordinality {
            columns.push(numbers(&counts, &rows, &elements, scratch));
        }
        columns.extend_from_slice(&passing.columns[kept..]);
        (Chunk { columns: columns.into_bump_slice(), ..passing }, (row, first))
    }

    fn pass(&mut self, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        if self.due() { Ok(()) } else { self.owed.pass(context, next) }
    }
}

/// Which element each row has, from 1; NULL where an outer row has none.
fn numbers<'a>(counts: &Counts<'_>, rows: &[u16], elements: &[u32], scratch: &'a Bump) -> Vector<'a> {
    let values = scratch.alloc_slice_fill_iter(elements.iter().map(|&element| i64::from(element) + 1));
    let mut nulls: Nulls<'a> = None;
    if counts.is_outer {
        let words = scratch.alloc_slice_fill_copy(rows.len().div_ceil(64).max(1), 0u64);
        for (at, &row) in rows.iter().enumerate() {
            let is_made_up = (0..counts.arrays.len())
                .all(|number| counts.list(number, usize::from(row)).is_none_or(|list| list.is_empty()));
            words[at / 64] |= u64::from(is_made_up) << (at % 64);
        }
        nulls = Some(words);
    }
    Vector { data: Data::I64(values), nulls }
}

impl Operator for Unnest {
    fn push(&mut self, _: usize, chunk: &Chunk<'_>, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        let caller = context.ledger.enter(Stage::Expression);
        let scratch = context.scratch;
        let arrays = evaluate_all(&self.plan.arrays, chunk, context)?;
        let mut columns = BumpVec::from_iter_in(chunk.columns.iter().copied(), scratch);
        columns.extend_from_slice(arrays);
        let whole = Chunk { columns: columns.into_bump_slice(), ..*chunk };
        let (part, at) = Unnest::part(&self.plan, &whole, (0, 0), scratch);
        if at.0 < chunk.rows {
            let mut batch = Batch::new(&self.layout);
            batch.append_from(&whole, at.0);
            self.held = Some(batch);
            self.at = (0, at.1);
        }
        context.ledger.enter(caller);
        if part.rows > 0 { next.push(&part, context) } else { Ok(()) }
    }

    fn watermark(&mut self, _: usize, watermark: Time, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        self.owed.watermark = Some(watermark);
        self.pass(context, next)
    }

    fn turn(&mut self, _: usize, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        self.owed.turn = true;
        self.pass(context, next)
    }

    fn finish(&mut self, _: usize, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        self.owed.finish = true;
        self.pass(context, next)
    }

    fn drain(&mut self, context: &Context<'_>, next: &mut Next<'_>) -> Result<bool> {
        let Some(batch) = self.held.take() else { return Ok(false) };
        let caller = context.ledger.enter(Stage::Expression);
        let whole = batch.chunk(context.scratch);
        let (part, at) = Unnest::part(&self.plan, &whole, self.at, context.scratch);
        self.at = at;
        let is_done = at.0 == whole.rows;
        context.ledger.enter(caller);
        if part.rows > 0 {
            next.push(&part, context)?;
        }
        if !is_done {
            self.held = Some(batch);
        }
        self.pass(context, next)?;
        Ok(self.due())
    }

    fn due(&self) -> bool {
        self.held.is_some()
    }

    fn state_bytes(&self) -> usize {
        self.held.as_ref().map_or(0, Batch::bytes)
    }

    fn save(&self, _: &mut State) -> Result<()> {
        // What is held leaves before state is taken.
        match self.due() {
            false => Ok(()),
            true => Err(Error::new(Code::Internal, "state was to be saved while rows were on their way")),
        }
    }
}
