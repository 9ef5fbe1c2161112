//! A plan run by the caller's own thread: one shard, or several that take turns.
//!
//! This is the engine without any runtime: what tests, the simulator and the direct measurements
//! use. [`Local`] keeps, for each pair of shards and each exchange, an ordered queue of batches;
//! which queue moves next is drawn from a seed, so that every order of delivery can be tried.

use std::collections::VecDeque;

use bumpalo::Bump;

use super::Pipeline;
use crate::batch::{BATCH_ROWS, Batch, Chunk, Data, Vector};
use crate::error::Result;
use crate::hash;
use crate::operator::{Context, Outlets, TIME_MIN, Time};
use crate::owners::Owners;
use crate::plan::{NodeId, Operator, Plan};
use crate::stage::Ledger;
use crate::types::{Physical, Value};

/// One row that left through a sink.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputRow {
    /// Its columns.
    pub values: Vec<Value>,
    /// Where it came from, where the plan tells.
    pub position: Option<u64>,
}

/// What crosses an exchange, or enters a scan.
pub enum Message {
    /// Rows.
    Batch(Batch),
    /// No later row has a time at or before this.
    Watermark(Time),
    /// A turn of the sender's rows has ended.
    Turn,
    /// Nothing more comes.
    Finish,
}

/// Every shard of a plan, in one thread.
pub struct Local {
    plan: Plan,
    shards: Vec<Shard>,
    seed: u64,
    /// Shards are replaced by others with their state, once in so many steps, as drawn from a seed.
    restarts: Option<(usize, u64)>,
}

struct Shard {
    pipeline: Pipeline,
    /// Per entry: queues of messages, one per sender (for a scan: one).
    inputs: Vec<Input>,
    outlets: LocalOutlets,
}

struct Input {
    entry: NodeId,
    queues: Vec<VecDeque<Message>>,
    watermarks: Vec<Time>,
    finished: Vec<bool>,
    /// Which senders have ended a turn that others have not.
    turned: Vec<bool>,
    watermark: Time,
    done: bool,
}

struct LocalOutlets {
    shards: usize,
    owners: Owners,
    /// Layout by exchange.
    layouts: Vec<Vec<Physical>>,
    /// Per exchange, per receiver.
    outboxes: Vec<Vec<Vec<Message>>>,
    /// Per sink.
    rows: Vec<Vec<OutputRow>>,
    satisfied: bool,
}

impl Outlets for LocalOutlets {
    fn exchange(&mut self, exchange: usize, chunk: &Chunk<'_>, hashes: &[u64], _: &Context<'_>) -> Result<()> {
        for receiver in 0..self.shards {
            let owned = (0..chunk.rows as u16)
                .filter(|&row| self.owners.owner(hashes[usize::from(row)], self.shards) == receiver);
            let owned: Vec<u16> = owned.collect();
            let mut rest = &owned[..];
            while !rest.is_empty() {
                let mut batch = Batch::new(&self.layouts[exchange]);
                rest = &rest[batch.append(chunk, rest)..];
                self.outboxes[exchange][receiver].push(Message::Batch(batch));
            }
        }
        Ok(())
    }

    fn exchange_watermark(&mut self, exchange: usize, watermark: Time, _: &Context<'_>) -> Result<()> {
        self.outboxes[exchange].iter_mut().for_each(|outbox| outbox.push(Message::Watermark(watermark)));
        Ok(())
    }

    fn exchange_turn(&mut self, exchange: usize, _: &Context<'_>) -> Result<()> {
        self.outboxes[exchange].iter_mut().for_each(|outbox| outbox.push(Message::Turn));
        Ok(())
    }

    fn exchange_finish(&mut self, exchange: usize, _: &Context<'_>) -> Result<()> {
        self.outboxes[exchange].iter_mut().for_each(|outbox| outbox.push(Message::Finish));
        Ok(())
    }

    fn sink(&mut self, sink: usize, chunk: &Chunk<'_>, _: &Context<'_>) -> Result<()> {
        for row in 0..chunk.rows {
            let values = chunk.columns.iter().map(|column| value(column, row)).collect();
            self.rows[sink].push(OutputRow { values, position: chunk.positions.map(|positions| positions[row]) });
        }
        Ok(())
    }

    fn satisfied(&mut self, _: usize) {
        self.satisfied = true;
    }
}

/// One value of a column.
pub fn value(column: &Vector<'_>, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    match column.data {
        Data::I64(values) => Value::I64(values[row]),
        Data::I128(values) => Value::I128(values[row]),
        Data::F64(values) => Value::F64(values[row]),
        Data::Text(values) => Value::Text(values[row].to_str_lossy().into_owned()),
    }
}

/// Rows as batches of at most `rows` rows each; `positions` gives each row's position.
pub fn batches(layout: &[Physical], table: &[Vec<Value>], positions: Option<&[u64]>, rows: usize) -> Vec<Batch> {
    let rows = rows.clamp(1, BATCH_ROWS);
    let fill = |(number, part): (usize, &[Vec<Value>])| {
        let mut batch = Batch::new(layout);
        for (row, values) in part.iter().enumerate() {
            for (column, value) in values.iter().enumerate() {
                match value {
                    Value::Null => batch.set_null(column, row),
                    Value::I64(value) => batch.i64s_mut(column)[row] = *value,
                    Value::I128(value) => batch.i128s_mut(column)[row] = *value,
                    Value::F64(value) => batch.f64s_mut(column)[row] = *value,
                    Value::Nested(value) => batch.texts_mut(column).set(row, value),
                    Value::Text(value) => batch.texts_mut(column).set(row, value.as_bytes()),
                }
            }
            if let Some(positions) = positions {
                batch.positions_mut()[row] = positions[number * rows + row];
            }
        }
        batch.set_rows(part.len());
        batch
    };
    table.chunks(rows).enumerate().map(fill).collect()
}

impl Local {
    /// `shards` shards of `plan`, whose turns are drawn from `seed`.
    pub fn new(plan: &Plan, shards: usize, seed: u64) -> Result<Local> {
        let exchanges: Vec<(NodeId, usize)> = plan
            .nodes
            .iter()
            .enumerate()
            .filter_map(|(node, this)| match &this.operator {
                Operator::Exchange(exchange) => Some((node, exchange.number)),
                _ => None,
            })
            .collect();
        let exchange_count = exchanges.iter().map(|exchange| exchange.1 + 1).max().unwrap_or(0);
        let mut layouts = vec![Vec::new(); exchange_count];
        exchanges.iter().for_each(|&(node, number)| layouts[number] = plan.nodes[node].layout());
        let sinks = plan.nodes.iter().filter_map(|node| match &node.operator {
            Operator::Sink(sink) => Some(sink.number + 1),
            _ => None,
        });
        let sinks = sinks.max().unwrap_or(0);
        let mut all = Vec::new();
        for shard in 0..shards {
            let pipeline = Pipeline::new(plan, shard, shards, hash::DEFAULT_SEED)?;
            let inputs = pipeline.entries().map(|entry| {
                let senders = if exchanges.iter().any(|exchange| exchange.0 == entry) { shards } else { 1 };
                Input {
                    entry,
                    queues: (0..senders).map(|_| VecDeque::new()).collect(),
                    watermarks: vec![TIME_MIN; senders],
                    finished: vec![false; senders],
                    turned: vec![false; senders],
                    watermark: TIME_MIN,
                    done: false,
                }
            });
            let outboxes = (0..exchange_count).map(|_| (0..shards).map(|_| Vec::new()).collect()).collect();
            let outlets = LocalOutlets {
                shards,
                owners: plan.owners.clone(),
                layouts: layouts.clone(),
                outboxes,
                rows: vec![Vec::new(); sinks],
                satisfied: false,
            };
            all.push(Shard { inputs: inputs.collect(), pipeline, outlets });
        }
        Ok(Local { plan: plan.clone(), shards: all, seed, restarts: None })
    }

    /// Has every shard end and another go on from its saved state, once in `steps` steps at times
    /// that are drawn as well.
    pub fn restarting(mut self, steps: usize) -> Local {
        self.restarts = Some((steps, self.seed));
        self
    }

    /// Replaces the pipeline of a shard by a new one with its state.
    fn restart(&mut self, shard: usize) -> Result<()> {
        let mut pipeline = Pipeline::new(&self.plan, shard, self.shards.len(), hash::DEFAULT_SEED)?;
        pipeline.restore(&self.shards[shard].pipeline.save()?)?;
        self.shards[shard].pipeline = pipeline;
        Ok(())
    }

    /// Queues a message for the scan at node `scan` of shard `shard`.
    pub fn feed(&mut self, shard: usize, scan: NodeId, message: Message) {
        let input = self.shards[shard].inputs.iter_mut().find(|input| input.entry == scan);
        input.expect("the node is a scan").queues[0].push_back(message);
    }

    /// Runs until every queue is empty. Returns the rows of sink `sink`, per shard in order.
    pub fn run(mut self, sink: usize) -> Result<Vec<Vec<OutputRow>>> {
        let ledger = Ledger::idle();
        let mut scratch = Bump::new();
        loop {
            let ready: Vec<(usize, usize, usize)> = self.ready();
            if ready.is_empty() {
                break;
            }
            let (shard, input, queue) = ready[draw(&mut self.seed, ready.len())];
            self.step(shard, input, queue, &ledger, &mut scratch)?;
            if let Some((steps, seed)) = &mut self.restarts
                && draw(seed, *steps) == 0
            {
                self.restart(shard)?;
            }
        }
        Ok(self.shards.into_iter().map(|mut shard| std::mem::take(&mut shard.outlets.rows[sink])).collect())
    }

    fn ready(&self) -> Vec<(usize, usize, usize)> {
        let mut ready = Vec::new();
        for (shard, this) in self.shards.iter().enumerate() {
            for (input, this) in this.inputs.iter().enumerate() {
                let queues = this.queues.iter().enumerate();
                let queues = queues.filter(|(number, queue)| !queue.is_empty() && !this.turned[*number]);
                ready.extend(queues.map(|(queue, _)| (shard, input, queue)));
            }
        }
        ready
    }

    fn step(&mut self, shard: usize, input: usize, queue: usize, ledger: &Ledger, scratch: &mut Bump) -> Result<()> {
        let Shard { pipeline, inputs, outlets } = &mut self.shards[shard];
        let input = &mut inputs[input];
        let entry = input.entry;
        let message = input.queues[queue].pop_front().expect("a ready queue has a message");
        scratch.reset();
        let context = Context { scratch, ledger };
        match message {
            Message::Batch(batch) => {
                let chunk = batch.chunk(context.scratch);
                pipeline.push(entry, &chunk, &context, outlets)?;
            }
            Message::Watermark(watermark) => input.watermarks[queue] = watermark,
            Message::Turn => input.turned[queue] = true,
            Message::Finish => {
                input.watermarks[queue] = Time::MAX;
                input.finished[queue] = true;
            }
        }
        drain(pipeline, entry, ledger, outlets)?;
        let least = input.watermarks.iter().copied().min().unwrap_or(TIME_MIN);
        let context = Context { scratch, ledger };
        if least > input.watermark && least < Time::MAX {
            input.watermark = least;
            pipeline.watermark(entry, least, &context, outlets)?;
            drain(pipeline, entry, ledger, outlets)?;
        }
        let mut senders = input.turned.iter().zip(&input.finished);
        if input.turned.contains(&true) && senders.all(|(turned, finished)| *turned || *finished) {
            input.turned.fill(false);
            pipeline.turn(entry, &context, outlets)?;
            drain(pipeline, entry, ledger, outlets)?;
        }
        if !input.done && input.finished.iter().all(|&finished| finished) {
            input.done = true;
            pipeline.finish(entry, &context, outlets)?;
            drain(pipeline, entry, ledger, outlets)?;
        }
        self.deliver(shard);
        Ok(())
    }

    fn deliver(&mut self, from: usize) {
        for (node, this) in self.plan.nodes.iter().enumerate() {
            let Operator::Exchange(exchange) = &this.operator else { continue };
            for receiver in 0..self.shards.len() {
                let messages = std::mem::take(&mut self.shards[from].outlets.outboxes[exchange.number][receiver]);
                let inputs = &mut self.shards[receiver].inputs;
                let input = inputs.iter_mut().find(|input| input.entry == node).expect("an exchange is an entry");
                input.queues[from].extend(messages);
            }
        }
    }
}

/// A number below `below`; good enough to shuffle turns.
fn draw(seed: &mut u64, below: usize) -> usize {
    *seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    (hash::end(*seed) % below as u64) as usize
}

fn drain(pipeline: &mut Pipeline, entry: NodeId, ledger: &Ledger, outlets: &mut LocalOutlets) -> Result<()> {
    let mut scratch = Bump::new();
    while pipeline.pending(entry) {
        scratch.reset();
        pipeline.drain(entry, &Context { scratch: &scratch, ledger }, outlets)?;
    }
    Ok(())
}

/// Runs a plan with one scan on one shard; watermarks follow the batch they are paired with.
pub fn run(plan: &Plan, input: Vec<(Batch, Option<Time>)>) -> Result<Vec<OutputRow>> {
    let mut local = Local::new(plan, 1, 0)?;
    let scan =
        plan.nodes.iter().position(|node| matches!(node.operator, Operator::Scan(_))).expect("the plan has a scan");
    for (batch, watermark) in input {
        local.feed(0, scan, Message::Batch(batch));
        if let Some(watermark) = watermark {
            local.feed(0, scan, Message::Watermark(watermark));
        }
    }
    local.feed(0, scan, Message::Finish);
    Ok(local.run(0)?.swap_remove(0))
}
