//! Operators over partitions, done again where something has changed.
//!
//! Ranks, OVER, and aggregates from which rows cannot be taken out exactly say something new about many rows
//! when one comes or goes. So the rows of every partition are held; at the end of a turn the operator
//! runs over those of the partitions that were touched, as they were and as they are, and what differs
//! leaves. Where only the first rows of each partition are wanted and rows only come, no others are held:
//! they can be among the first no more.

use bumpalo::Bump;

use super::cancel::Signed;
use super::store::Store;
use super::{DELETE, INSERT, goes, split};
use crate::batch::{BATCH_ROWS, Chunk, Data, Vector};
use crate::error::Result;
use crate::expr::Expr;
use crate::hash;
use crate::operator::evaluate::evaluate_all;
use crate::operator::{Context, Next, Operator, Outlets, Owed};
use crate::pipeline::{Pipeline, Place};
use crate::plan::changes::Again as Plan;
use crate::plan::{self, NodeId};
use crate::stage::{Copied, Ledger, Stage};
use crate::state::{Saved, State, damaged};
use crate::types::{DataType, Field, Physical, Schema};

/// Seed of the hashes by which the rows of a partition are found; they are seen by nobody.
const PARTITION_SEED: u64 = 0x6167_6169;

/// The operator.
pub(crate) struct Again {
    partition: Vec<Expr>,
    /// Rows of one partition need not be all of those it was given.
    keeps_first: bool,
    /// A scan, the operator, a sink. Behind the input's columns the scan gives each row's number, where the
    /// operator passes columns on.
    inner: plan::Plan,
    /// Where the number of the row stands in what the operator gives.
    number: Option<usize>,
    place: Place,
    /// Of the input; of the output.
    layout: Vec<Physical>,
    given_layout: Vec<Physical>,
    has_operations: bool,
    rows: Store,
    /// Rows of this turn.
    turn: Signed,
    leaving: Signed,
    left: Vec<u32>,
    given: usize,
    /// Without partitions an aggregate has a result without rows; it was given.
    is_shown: bool,
    owed: Owed,
}

impl Again {
    /// `input`, `output`: the columns of both without operations.
    pub(crate) fn new(
        again: &Plan,
        has_operations: bool,
        (input, output): (Schema, Schema),
        place: Place,
    ) -> Result<Self> {
        let layout = input.layout();
        let passes_on = matches!(*again.operator, plan::Operator::Over(_) | plan::Operator::Rank(_));
        let number = passes_on.then_some(layout.len());
        let mut inner_input = input;
        let mut inner_output = output.clone();
        if let Some(number) = number {
            let field = Field { name: "row".to_owned(), data_type: DataType::BigInt };
            inner_input.fields.push(field.clone());
            inner_output.fields.insert(number, field);
        }
        Ok(Again {
            partition: again.partition.clone(),
            keeps_first: again.keeps_first,
            inner: inner(&again.operator, inner_input, inner_output),
            number,
            place,
            rows: Store::new(layout.clone()),
            layout,
            given_layout: output.layout(),
            has_operations,
            turn: Signed::default(),
            leaving: Signed::default(),
            left: Vec::new(),
            given: 0,
            is_shown: false,
            owed: Owed::default(),
        })
    }

    /// A hash per row that rows of one partition share.
    fn hashes<'a>(&self, chunk: &Chunk<'a>, context: &Context<'a>) -> Result<Vec<u64>> {
        let keys = evaluate_all(&self.partition, chunk, context)?;
        let mut hashes = vec![0; chunk.rows];
        hash::hash_rows(keys, PARTITION_SEED, &mut hashes);
        Ok(hashes)
    }

    /// Does the partitions that the turn has touched again, and notes what differs.
    fn end_turn(&mut self, ledger: &Ledger) -> Result<()> {
        let mut touched = Vec::new();
        let mut hashes = Vec::with_capacity(self.turn.len());
        let mut scratch = Bump::new();
        for batch in self.turn.rows().batches() {
            scratch.reset();
            let context = Context { scratch: &scratch, ledger };
            hashes.extend(self.hashes(&batch.chunk(&scratch), &context)?);
        }
        touched.extend_from_slice(&hashes);
        // In the order of their first row, so that what leaves does not depend on a hash.
        let mut seen = std::collections::HashSet::new();
        touched.retain(|&hash| seen.insert(hash));
        let has_result = |again: &Self| !again.is_without_rows() || again.is_shown;
        if has_result(self) {
            self.run(&touched, true, ledger)?;
        }
        self.apply(&hashes)?;
        self.is_shown = true;
        let kept = self.run(&touched, false, ledger)?;
        if self.keeps_first {
            self.keep_only(&touched, &kept);
        }
        self.rows.tidy()?;
        self.turn.clear();
        self.left = self.leaving.left(&self.given_layout);
        self.given = 0;
        if self.left.is_empty() {
            self.leaving.clear();
        }
        Ok(())
    }

    /// Whether the operator gives a row where it was given none.
    fn is_without_rows(&self) -> bool {
        let operator = &self.inner.nodes[1].operator;
        self.partition.is_empty()
            && matches!(operator, plan::Operator::Aggregate(aggregate) if aggregate.keys.is_empty())
    }

    /// Takes the turn's rows in and out.
    fn apply(&mut self, hashes: &[u64]) -> Result<()> {
        let mut scratch = Bump::new();
        let (mut found, mut rows) = (Vec::new(), Vec::new());
        for (number, batch) in self.turn.rows().batches().iter().enumerate() {
            scratch.reset();
            let first = number * BATCH_ROWS;
            let chunk = batch.chunk(&scratch);
            let hashes = &hashes[first..first + batch.rows()];
            let mut from = 0;
            // What comes may go in the same turn, so in order.
            while from < batch.rows() {
                let row_goes = |row: usize| self.turn.goes((first + row) as u32);
                let run = (from..batch.rows()).take_while(|&row| row_goes(row) == row_goes(from)).count();
                rows.clear();
                rows.extend(from as u16..(from + run) as u16);
                if row_goes(from) {
                    for &row in &rows {
                        let row = usize::from(row);
                        if let Some(number) = self.rows.find(chunk.columns, row, hashes[row], &mut found) {
                            self.rows.remove(number);
                        }
                    }
                } else {
                    self.rows.insert(&chunk, &rows, hashes, &scratch)?;
                }
                from += run;
            }
        }
        Ok(())
    }

    /// Runs the operator over the rows of the partitions `touched`; what it gives goes (or comes). The numbers
    /// of the rows that it has passed on, in order.
    fn run(&mut self, touched: &[u64], goes: bool, ledger: &Ledger) -> Result<Vec<u32>> {
        let mut numbers = Vec::new();
        touched.iter().for_each(|&hash| self.rows.of_hash(hash, &mut numbers));
        let mut pipeline = Pipeline::new(&self.inner, 0, 1, self.place.hash_seed)?;
        let mut scratch = Bump::new();
        let mut taken = Taken {
            goes,
            number: self.number,
            layout: &self.given_layout,
            rows: &mut self.leaving,
            numbers: Vec::new(),
        };
        const ENTRY: NodeId = 0;
        for numbers in numbers.chunks(BATCH_ROWS) {
            scratch.reset();
            let context = Context { scratch: &scratch, ledger };
            let mut chunk = self.rows.chunk(numbers, &scratch);
            if self.number.is_some() {
                let numbers = scratch.alloc_slice_fill_iter(numbers.iter().map(|&number| i64::from(number)));
                let columns = chunk.columns.iter().copied().chain([Vector::new(Data::I64(numbers))]);
                chunk.columns = scratch.alloc_slice_fill_iter(columns.collect::<Vec<_>>());
            }
            pipeline.push(ENTRY, &chunk, &context, &mut taken)?;
            drain(&mut pipeline, ledger, &mut taken)?;
        }
        scratch.reset();
        pipeline.finish(ENTRY, &Context { scratch: &scratch, ledger }, &mut taken)?;
        drain(&mut pipeline, ledger, &mut taken)?;
        let mut numbers = taken.numbers;
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Lets go of the rows of the partitions `touched` that are not among `kept`.
    fn keep_only(&mut self, touched: &[u64], kept: &[u32]) {
        let mut numbers = Vec::new();
        touched.iter().for_each(|&hash| self.rows.of_hash(hash, &mut numbers));
        for number in numbers {
            if kept.binary_search(&number).is_err() {
                self.rows.remove(number);
            }
        }
    }

    fn pass(&mut self, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        if self.due() {
            return Ok(());
        }
        self.owed.pass(context, next)
    }
}

/// A plan of a scan of `input`, `operator`, which gives `output`, and a sink.
fn inner(operator: &plan::Operator, input: Schema, output: Schema) -> plan::Plan {
    let mut inner = plan::Plan::default();
    let scan = plan::Scan {
        table: String::new(),
        columns: Vec::new(),
        eager: 0,
        event_time: None,
        late: None,
        clock: None,
        filter: None,
        read_order: plan::ReadOrder::Position,
        turn: 0,
        needs: plan::Needs { positions: true, ordinals: false },
    };
    let span = crate::error::Span::NONE;
    let scan = inner.add(plan::Operator::Scan(scan), Vec::new(), input, span);
    let node = inner.add(operator.clone(), vec![scan], output.clone(), span);
    let sink = plan::Sink {
        number: 0,
        table: None,
        visible: output.fields.len(),
        order: plan::SinkOrder::Arrival,
        partitioned_by: Vec::new(),
        changelog: None,
    };
    inner.add(plan::Operator::Sink(sink), vec![node], output, span);
    inner
}

fn drain(pipeline: &mut Pipeline, ledger: &Ledger, taken: &mut Taken<'_>) -> Result<()> {
    let mut scratch = Bump::new();
    while pipeline.pending(0) {
        scratch.reset();
        pipeline.drain(0, &Context { scratch: &scratch, ledger }, taken)?;
    }
    Ok(())
}

/// Takes what the inner operator gives.
struct Taken<'t> {
    goes: bool,
    number: Option<usize>,
    layout: &'t [Physical],
    rows: &'t mut Signed,
    numbers: Vec<u32>,
}

impl Outlets for Taken<'_> {
    fn sink(&mut self, _: usize, chunk: &Chunk<'_>, context: &Context<'_>) -> Result<()> {
        let mut columns: Vec<Vector<'_>> = chunk.columns.to_vec();
        if let Some(number) = self.number {
            self.numbers.extend(columns.remove(number).i64s().iter().map(|&number| number as u32));
        }
        let chunk = Chunk { columns: &columns, positions: None, ordinals: None, floors: None, ..*chunk };
        self.rows.push(&chunk, |_| self.goes, self.layout, context.scratch);
        Ok(())
    }
}

impl Operator for Again {
    fn push(&mut self, _: usize, chunk: &Chunk<'_>, context: &Context<'_>, _: &mut Next<'_>) -> Result<()> {
        let caller = context.ledger.enter(Stage::Changes);
        let (rows, operations) = split(chunk, self.has_operations);
        let rows = Chunk { ordinals: None, floors: None, ..rows };
        let goes = |row: usize| operations.is_some_and(|operations| goes(operations[row]));
        context.ledger.copied(Copied::Held, self.turn.push(&rows, goes, &self.layout, context.scratch));
        context.ledger.enter(caller);
        Ok(())
    }

    fn turn(&mut self, _: usize, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        if !self.turn.is_empty() {
            let caller = context.ledger.enter(Stage::Changes);
            let ended = self.end_turn(context.ledger);
            context.ledger.enter(caller);
            ended?;
        }
        self.owed.turn = true;
        self.pass(context, next)
    }

    fn finish(&mut self, input: usize, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        self.owed.finish = true;
        if self.is_without_rows() && self.place.only_key().is_some() && !self.is_shown && self.turn.is_empty() {
            self.end_turn(context.ledger)?;
        }
        self.turn(input, context, next)
    }

    fn drain(&mut self, context: &Context<'_>, next: &mut Next<'_>) -> Result<bool> {
        if !self.due() {
            return Ok(false);
        }
        let caller = context.ledger.enter(Stage::Changes);
        let part = self.given..(self.given + BATCH_ROWS).min(self.left.len());
        let rows: Vec<_> = self.left[part.clone()].iter().map(|&row| Signed::at(row)).collect();
        let operations = self.left[part.clone()].iter().map(|&row| match self.leaving.goes(row) {
            true => DELETE,
            false => INSERT,
        });
        let operations = Vector::new(Data::I64(context.scratch.alloc_slice_fill_iter(operations)));
        let chunk = self.leaving.rows().chunk(&rows, &self.given_layout, &[operations], context.scratch);
        context.ledger.enter(caller);
        next.push(&chunk, context)?;
        self.given = part.end;
        if self.given == self.left.len() {
            self.left.clear();
            self.given = 0;
            self.leaving.clear();
        }
        self.pass(context, next)?;
        Ok(self.due())
    }

    fn due(&self) -> bool {
        self.given < self.left.len()
    }

    fn state_bytes(&self) -> usize {
        self.rows.memory() + self.turn.memory() + self.leaving.memory()
    }

    fn save(&self, state: &mut State) -> Result<()> {
        let to = state.whole();
        to.flag(self.is_shown);
        self.rows.save(to);
        self.turn.save(to);
        Ok(())
    }

    fn restore(&mut self, saved: &Saved<'_>) -> Result<()> {
        let mut from = saved.whole();
        self.is_shown = from.flag()?;
        let partition = self.partition.clone();
        let ledger = Ledger::idle();
        let mut rows = Store::new(self.layout.clone());
        rows.load(&mut from, |chunk, scratch| {
            let mut hashes = vec![0; chunk.rows];
            let keys = evaluate_all(&partition, chunk, &Context { scratch, ledger: &ledger });
            let keys = keys.map_err(|_| damaged("a row has no partition"))?;
            hash::hash_rows(keys, PARTITION_SEED, &mut hashes);
            Ok(hashes)
        })?;
        self.rows = rows;
        self.turn = Signed::load(&mut from, &self.layout)?;
        from.end()
    }
}
