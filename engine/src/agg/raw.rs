//! Rows that cross as they are: what a partial aggregation sends where collecting rows in groups does not pay.
//!
//! A state of one row says no more than the row: it has a count of one, and every sum in 16 bytes. So rows
//! go to the owner of their key with the columns that the arguments are made of, which come behind those of
//! the states, and the owner adds them as if it had read them itself. In a chunk either the ones or the others
//! are absent (see [`crate::batch`]).
//!
//! Not so where a row must say where it came from (doubles are summed apart per source, FIRST goes by position), or
//! where the columns are wider than the state; then rows become states of their own (see [`super::single`]).

use bumpalo::collections::Vec as BumpVec;

use super::shape::{Kind, Shape};
use super::update::Rows;
use crate::batch::{Chunk, Vector};
use crate::error::Result;
use crate::expr::ExprKind;
use crate::operator::Context;
use crate::plan::Aggregate;
use crate::types::{Field, Physical, Schema};

/// The columns that rows cross with.
#[derive(Clone, Debug)]
pub(crate) struct Raw {
    /// Behind the states: positions of columns of the input.
    columns: Vec<usize>,
    /// Every column of the input that an argument or a filter reads: its position, and where it is of what crosses.
    places: Vec<(usize, usize)>,
    /// Columns of the input, up to the last that is read.
    width: usize,
    /// Columns of the window, and of the keys.
    head: [usize; 2],
    /// The columns of the states, behind those.
    states: Vec<Physical>,
}

impl Raw {
    /// The columns of `aggregate`'s rows; `None` where rows cannot cross as they are.
    pub(crate) fn of(aggregate: &Aggregate, shape: &Shape) -> Option<Raw> {
        let is_local = |kind: Kind| {
            use Kind::{Max, Min, Nulls, Rows, Sum, WideSquares, WideSum};
            matches!(kind, Rows | Nulls | Sum | WideSum | WideSquares | Min(_) | Max(_))
        };
        let has_one_window = aggregate.window.is_none_or(|(window, _)| window.is_tumbling());
        let is_meant = has_one_window
            && !aggregate.keys.is_empty()
            && !shape.accumulators.is_empty()
            && shape.accumulators.iter().all(|accumulator| is_local(accumulator.kind));
        if !is_meant {
            return None;
        }
        let states: Vec<Physical> =
            shape.partial_fields().into_iter().map(|field| field.data_type.physical()).collect();
        let head = [usize::from(aggregate.window.is_some()), aggregate.keys.len()];
        let mut raw = Raw { columns: Vec::new(), places: Vec::new(), width: 0, head, states };
        let mut read = |column: usize| raw.read(aggregate, column);
        for call in &aggregate.calls {
            call.arguments.iter().chain(&call.filter).for_each(|expression| expression.visit_columns(&mut read));
        }
        Some(raw)
    }

    /// Whether less crosses than with a state for each row, of an input with these columns.
    pub(crate) fn pays(&self, input: &[Physical]) -> bool {
        let columns = self.columns.iter().map(|&column| input[column].bytes());
        columns.sum::<usize>() < self.states.iter().copied().map(Physical::bytes).sum()
    }

    fn read(&mut self, aggregate: &Aggregate, column: usize) {
        if self.places.iter().any(|place| place.0 == column) {
            return;
        }
        let [window, keys] = self.head;
        let key = aggregate.keys.iter().position(|key| matches!(key.kind, ExprKind::Column(of) if of == column));
        let place = key.map_or(window + keys + self.states.len() + self.columns.len(), |key| window + key);
        self.columns.extend(key.is_none().then_some(column));
        self.places.push((column, place));
        self.width = self.width.max(column + 1);
    }

    /// The columns behind the states, of the input's `schema`.
    pub(crate) fn fields(&self, schema: &Schema) -> impl Iterator<Item = Field> {
        self.columns.iter().map(|&column| schema.fields[column].clone())
    }

    /// The same of an input with these columns.
    pub(crate) fn layout(&self, input: &[Physical]) -> impl Iterator<Item = Physical> {
        self.columns.iter().map(|&column| input[column])
    }

    /// What the rows of `chunk` cross as: `starts` are those of their windows.
    pub(crate) fn send<'a>(
        &self,
        chunk: &Chunk<'a>,
        starts: Option<&'a [i64]>,
        keys: &[Vector<'a>],
        context: &Context<'a>,
    ) -> Chunk<'a> {
        let mut columns = BumpVec::with_capacity_in(
            self.head.iter().sum::<usize>() + self.states.len() + self.columns.len(),
            context.scratch,
        );
        columns.extend(starts.map(|starts| Vector::new(crate::batch::Data::I64(starts))));
        columns.extend_from_slice(keys);
        columns.extend(self.states.iter().copied().map(Vector::absent));
        columns.extend(self.columns.iter().map(|&column| chunk.columns[column]));
        let columns = columns.into_bump_slice();
        Chunk { rows: chunk.rows, columns, positions: None, ordinals: None, floors: None, stamp: chunk.stamp }
    }

    /// Whether `chunk` is of rows, not of states.
    pub(crate) fn is_sent(&self, chunk: &Chunk<'_>) -> bool {
        let [window, keys] = self.head;
        chunk.columns[window + keys].is_absent(chunk.rows)
    }

    /// The rows that [`Raw::send`] sent, as their owner adds them.
    pub(crate) fn rows<'a>(&self, shape: &Shape, chunk: &Chunk<'a>, context: &Context<'a>) -> Result<Rows<'a>> {
        let [window, keys] = self.head;
        let columns = context.scratch.alloc_slice_fill_copy(self.width, Vector::absent(Physical::I64));
        for &(column, place) in &self.places {
            columns[column] = chunk.columns[place];
        }
        let input = Chunk { columns, ..*chunk };
        Rows::of(shape, &chunk.columns[window..window + keys], &input, context)
    }
}
