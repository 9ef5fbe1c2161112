//! A plan at work on one shard.
//!
//! Chunks enter at *entries*: scans, and exchanges (an exchange's node ends the part above it, which
//! sends, and is the entry of the part below it, which receives). What lies behind an entry up to the
//! next exchanges and sinks is its *stage*. Everything runs by plain calls from a node to later
//! nodes, so when a call returns, the shard has either given its rows out or an operator holds them;
//! what such an operator has to give is fetched chunk by chunk with [`Pipeline::drain`].

pub mod local;
#[cfg(test)]
mod tests;

use crate::agg;
use crate::batch::Chunk;
use crate::change;
use crate::error::{Code, Error, Result};
use crate::hash;
use crate::join::{self, Join};
use crate::operator::{self, Context, Next, Outlets, Slot, Time};
use crate::over::Over;
use crate::plan::{self, Change, NodeId, Plan};
use crate::state::{self, Moved, Part, Saved, Section, State, damaged};
use crate::types::Schema;

/// Which shard of how many this is, and with which seed keys are hashed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) shard: usize,
    pub(crate) shards: usize,
    pub(crate) hash_seed: u64,
    /// The first of the key groups that are this shard's, and the first behind them.
    groups: (u16, u16),
    /// There are, or were before the run went on, several shards: rows come in no order of their own.
    pub(crate) is_spread: bool,
}

impl Place {
    fn of(plan: &Plan, shard: usize, shards: usize, hash_seed: u64, is_spread: bool) -> Place {
        let groups = plan.owners.groups(shard, shards);
        Place { shard, shards, hash_seed, groups: (groups.start as u16, groups.end as u16), is_spread }
    }

    /// Whether this shard owns keys of this hash.
    pub(crate) fn owns(&self, hash: u64) -> bool {
        self.owns_group(hash::key_group(hash) as u16)
    }

    /// The hash of the key without columns, if it is this shard's.
    pub(crate) fn only_key(&self) -> Option<u64> {
        let hash = hash::end(hash::start(self.hash_seed));
        self.owns(hash).then_some(hash)
    }

    /// Whether this shard owns the keys of a key group.
    pub(crate) fn owns_group(&self, key_group: u16) -> bool {
        (self.groups.0..self.groups.1).contains(&key_group)
    }
}

/// The operators of all nodes of a plan, on one shard.
pub struct Pipeline {
    slots: Vec<Slot>,
    /// Per node: the operators of its stage if it is an entry, in the plan's order.
    stages: Vec<Option<Vec<NodeId>>>,
    takes_turns: bool,
    place: Place,
    part_bytes: usize,
    /// While state is saved in parts: whose turn it is, and how many of its parts are taken.
    saving: Option<(NodeId, u32)>,
}

/// A scan and an exchange are entered behind their own node, so a scan's slot is never called.
struct Entry;

impl operator::Operator for Entry {
    fn push(&mut self, _: usize, chunk: &Chunk<'_>, context: &Context<'_>, next: &mut Next<'_>) -> Result<()> {
        next.push(chunk, context)
    }
}

impl Pipeline {
    /// The operators of `plan` for shard `shard` of `shards`.
    pub fn new(plan: &Plan, shard: usize, shards: usize, hash_seed: u64) -> Result<Pipeline> {
        Pipeline::at(plan, Place::of(plan, shard, shards, hash_seed, shards > 1))
    }

    /// The same of a plan for several shards, however many there are now.
    pub fn spread(plan: &Plan, shard: usize, shards: usize, hash_seed: u64) -> Result<Pipeline> {
        Pipeline::at(plan, Place::of(plan, shard, shards, hash_seed, true))
    }

    fn at(plan: &Plan, place: Place) -> Result<Pipeline> {
        let mut slots = Vec::with_capacity(plan.nodes.len());
        for node in 0..plan.nodes.len() {
            let users = plan.users(node).into_iter().flat_map(|user| {
                let inputs = plan.nodes[user].inputs.iter().enumerate();
                inputs.filter(move |(_, input)| **input == node).map(move |(number, _)| (user, number))
            });
            slots.push(Slot { users: users.collect(), operator: build(plan, node, place)?, given: 0 });
        }
        let stages = (0..plan.nodes.len()).map(|node| is_entry(plan, node).then(|| stage(plan, node))).collect();
        let takes_turns = plan.nodes.iter().any(|node| matches!(node.operator, plan::Operator::Changes(_)));
        Ok(Pipeline { slots, stages, takes_turns, place, part_bytes: state::PART_BYTES, saving: None })
    }

    /// The nodes at which chunks enter, in the plan's order.
    pub fn entries(&self) -> impl Iterator<Item = NodeId> + '_ {
        (0..self.stages.len()).filter(|&node| self.stages[node].is_some())
    }

    /// Rows of `entry`'s output. Only while nothing is [`Pipeline::pending`] behind it.
    pub fn push(
        &mut self,
        entry: NodeId,
        chunk: &Chunk<'_>,
        context: &Context<'_>,
        outlets: &mut dyn Outlets,
    ) -> Result<()> {
        debug_assert!(!self.pending(entry), "a stage with output due is fed nothing");
        behind(&mut self.slots, entry, outlets, |next| next.push(chunk, context))
    }

    /// Every later row of `entry` has a greater event time.
    pub fn watermark(
        &mut self,
        entry: NodeId,
        watermark: Time,
        context: &Context<'_>,
        outlets: &mut dyn Outlets,
    ) -> Result<()> {
        debug_assert!(!self.pending(entry), "a stage with output due is fed nothing");
        behind(&mut self.slots, entry, outlets, |next| next.watermark(watermark, context))
    }

    /// A turn of `entry`'s rows has ended; see [`operator::Operator::turn`].
    pub fn turn(&mut self, entry: NodeId, context: &Context<'_>, outlets: &mut dyn Outlets) -> Result<()> {
        debug_assert!(!self.pending(entry), "a stage with output due is fed nothing");
        behind(&mut self.slots, entry, outlets, |next| next.turn(context))
    }

    /// Whether some operator answers by turns.
    pub fn takes_turns(&self) -> bool {
        self.takes_turns
    }

    /// `entry` has no more rows.
    pub fn finish(&mut self, entry: NodeId, context: &Context<'_>, outlets: &mut dyn Outlets) -> Result<()> {
        debug_assert!(!self.pending(entry), "a stage with output due is fed nothing");
        behind(&mut self.slots, entry, outlets, |next| next.finish(context))
    }

    /// Gives out at most one chunk of what is due in the stage behind `entry`, from its last
    /// operator that has any; `true` while there is more. A watermark or an end that waits behind
    /// output is passed on here as well.
    pub fn drain(&mut self, entry: NodeId, context: &Context<'_>, outlets: &mut dyn Outlets) -> Result<bool> {
        let stage = self.stages[entry].as_deref().unwrap_or_default();
        if let Some(&node) = stage.iter().rev().find(|&&node| self.slots[node].operator.due()) {
            let (slot, later) = self.slots[node..].split_first_mut().expect("the node is in the plan");
            let Slot { operator, users, given } = slot;
            let mut next = Next { later, base: node + 1, users, given, outlets };
            operator.drain(context, &mut next)?;
        }
        Ok(self.pending(entry))
    }

    /// Whether an operator of the stage behind `entry` has output due.
    pub fn pending(&self, entry: NodeId) -> bool {
        let stage = self.stages[entry].as_deref().unwrap_or_default();
        stage.iter().any(|&node| self.slots[node].operator.due())
    }

    /// Has state saved in parts of about so many bytes.
    pub fn save_in_parts_of(&mut self, bytes: usize) {
        self.part_bytes = bytes;
    }

    /// What the operators hold, all of it at once. As [`Pipeline::begin_save`].
    pub fn save(&mut self) -> Result<Vec<Section>> {
        let mut sections = self.begin_save()?;
        while let Some(part) = self.save_part() {
            sections.push(part.section());
        }
        Ok(sections)
    }

    /// Begins to save what the operators hold now: gives what is known at once, and leaves the rest to
    /// [`Pipeline::save_part`]. Only while nothing is pending in any stage, and when all that was begun
    /// before is taken.
    pub fn begin_save(&mut self) -> Result<Vec<Section>> {
        if self.saving.is_some() || self.slots.iter().any(|slot| slot.operator.due()) {
            return Err(Error::new(Code::Internal, "state was to be saved while rows were on their way"));
        }
        let mut sections = Vec::new();
        for (node, slot) in self.slots.iter_mut().enumerate() {
            let mut state = State::default();
            slot.operator.begin_save(&mut state, self.part_bytes)?;
            sections.extend(state.sections(node));
        }
        self.saving = Some((0, 0));
        Ok(sections)
    }

    /// The next part of the state of when saving began; `None` when all is taken. At any time.
    pub fn save_part(&mut self) -> Option<Part> {
        let (node, number) = self.saving.as_mut()?;
        while let Some(slot) = self.slots.get_mut(*node) {
            if let Some(body) = slot.operator.save_part() {
                *number += 1;
                return Some(Part { node: *node, number: *number - 1, body });
            }
            (*node, *number) = (*node + 1, 0);
        }
        self.saving = None;
        None
    }

    /// Whether parts of what was begun to be saved may be left.
    pub fn is_saving(&self) -> bool {
        self.saving.is_some()
    }

    /// Takes over what the same shard of a pipeline of the same plan, number of shards and hash seed
    /// has saved. Only on a new pipeline, which after an error is of no use.
    pub fn restore(&mut self, sections: &[Section]) -> Result<()> {
        if sections.iter().any(|section| section.node >= self.slots.len()) {
            return Err(damaged("it belongs to an operator that the query does not have"));
        }
        for (node, slot) in self.slots.iter_mut().enumerate() {
            slot.operator.restore(&Saved::of(node, sections)?)?;
        }
        if self.slots.iter().any(|slot| slot.operator.due()) {
            return Err(damaged("rows in it should have left"));
        }
        Ok(())
    }

    /// Takes over this shard's part of what all shards of a pipeline of the same `plan` and hash seed, but of
    /// another number of shards, have saved: `sections` of each. Only on a new pipeline that was made by
    /// [`Pipeline::spread`], which after an error is of no use. Something may be pending then.
    pub fn adopt(&mut self, plan: &Plan, sections: &[Vec<Section>]) -> Result<()> {
        if sections.iter().flatten().any(|section| section.node >= self.slots.len()) {
            return Err(damaged("it belongs to an operator that the query does not have"));
        }
        for (node, slot) in self.slots.iter_mut().enumerate() {
            let saved: Result<Vec<Saved<'_>>> = sections.iter().map(|sections| Saved::of(node, sections)).collect();
            slot.operator.adopt(&Moved::new(self.place, saved?, is_local(plan, node)))?;
        }
        Ok(())
    }

    /// Rows that each node has given to those behind it.
    pub fn given(&self) -> impl Iterator<Item = u64> + '_ {
        self.slots.iter().map(|slot| slot.given)
    }

    /// Bytes of state held by each node's operator.
    pub fn state_bytes(&self) -> impl Iterator<Item = (NodeId, usize)> + '_ {
        self.slots.iter().enumerate().map(|(node, slot)| (node, slot.operator.state_bytes()))
    }
}

fn behind<R>(slots: &mut [Slot], entry: NodeId, outlets: &mut dyn Outlets, act: impl FnOnce(&mut Next<'_>) -> R) -> R {
    let (slot, later) = slots[entry..].split_first_mut().expect("the entry is in the plan");
    act(&mut Next { later, base: entry + 1, users: &slot.users, given: &mut slot.given, outlets })
}

fn is_entry(plan: &Plan, node: NodeId) -> bool {
    matches!(plan.nodes[node].operator, plan::Operator::Scan(_) | plan::Operator::Exchange(_))
}

/// Whether a node stands where rows are read or made, its rows being of no key: before an exchange that
/// brings them to where they belong.
fn is_local(plan: &Plan, node: NodeId) -> bool {
    let this = &plan.nodes[node];
    let comes_by_exchange = |&input: &NodeId| matches!(plan.nodes[input].operator, plan::Operator::Exchange(_));
    match &this.operator {
        plan::Operator::Sort { .. } | plan::Operator::Limit { .. } | plan::Operator::Union(_) => {
            !this.inputs.iter().all(|&input| plan::distribute::is_gathered(plan, input))
        }
        plan::Operator::Join(join) => join.broadcast,
        _ => !this.inputs.iter().any(comes_by_exchange),
    }
}

/// The nodes behind `entry`, up to and with the next exchanges and sinks.
fn stage(plan: &Plan, entry: NodeId) -> Vec<NodeId> {
    let mut inside = vec![false; plan.nodes.len()];
    inside[entry] = true;
    for node in entry + 1..plan.nodes.len() {
        let from = |input: &NodeId| inside[*input] && (*input == entry || !is_entry(plan, *input));
        inside[node] = plan.nodes[node].inputs.iter().any(from);
    }
    (entry + 1..plan.nodes.len()).filter(|&node| inside[node]).collect()
}

fn build(plan: &Plan, node: NodeId, place: Place) -> Result<Box<dyn operator::Operator>> {
    let this = &plan.nodes[node];
    let layout = || plan.nodes[this.inputs[0]].layout();
    let span = this.span;
    Ok(match &this.operator {
        plan::Operator::Scan(_) => Box::new(Entry),
        plan::Operator::Filter(condition) => Box::new(operator::Filter::new(condition.clone())),
        plan::Operator::Project(expressions) => Box::new(operator::Project::new(expressions.clone())),
        plan::Operator::Aggregate(aggregate) => {
            agg::build(aggregate, layout(), place).map_err(|error| error.at(span))?
        }
        plan::Operator::Over(over) => {
            let ties = place.is_spread && plan::optimize::carries_positions(plan, this.inputs[0]) == Some(false);
            Box::new(Over::new(over, layout(), place).map_err(|error| error.at(span))?.with_ties(ties))
        }
        plan::Operator::Rank(rank) => Box::new(operator::Rank::new(rank.clone(), layout(), place)),
        plan::Operator::Join(join) => Box::new(Join::new(join, join_inputs(plan, node, place), place)),
        plan::Operator::Union(union) => {
            let order = union_order(plan, node);
            Box::new(operator::Union::new(*union, this.inputs.len(), &this.layout(), order))
        }
        plan::Operator::Unnest(unnest) => Box::new(operator::Unnest::new(unnest.clone(), layout())),
        plan::Operator::Repeat { times } => Box::new(operator::Repeat::new(*times, layout())),
        plan::Operator::Changes(changes) => {
            build_changes(plan, node, changes, place).map_err(|error| error.at(span))?
        }
        plan::Operator::Exchange(exchange) => {
            Box::new(operator::ExchangeOut::new(exchange.clone(), place, &plan.owners))
        }
        plan::Operator::Limit { limit, offset } => Box::new(operator::Limit::new(*limit, *offset, sinks(plan, node))),
        plan::Operator::Sort { keys, limit } => Box::new(operator::Sort::new(keys.clone(), *limit, layout())),
        plan::Operator::Sink(sink) => Box::new(operator::Sink::new(sink.number)),
    })
}

fn build_changes(
    plan: &Plan,
    node: NodeId,
    changes: &plan::Changes,
    place: Place,
) -> Result<Box<dyn operator::Operator>> {
    let this = &plan.nodes[node];
    let without = |mut schema: Schema, operations: bool| {
        schema.fields.truncate(schema.fields.len() - usize::from(operations));
        schema
    };
    let input = |number: usize| without(plan.nodes[this.inputs[number]].schema.clone(), changes.takes[number]);
    let (takes, gives) = (changes.takes[0], changes.gives);
    Ok(match &changes.change {
        Change::Aggregate(aggregate) => Box::new(change::Fold::new(aggregate, (takes, gives), place)?),
        Change::Again(again) => {
            let output = without(this.schema.clone(), gives);
            Box::new(change::Again::new(again, takes, (input(0), output), place)?)
        }
        Change::Join(join) => {
            let sides = [0, 1]
                .map(|number| change::Side { layout: input(number).layout(), has_operations: changes.takes[number] });
            Box::new(change::Join::new((**join).clone(), sides, gives, place.hash_seed))
        }
        Change::Unite => {
            Box::new(change::Unite::new(&changes.takes, gives, without(this.schema.clone(), gives).layout()))
        }
        Change::Net(net) => Box::new(change::Net::new(net.clone(), takes, input(0).layout())),
    })
}

/// What the join at `node` is told of its inputs.
fn join_inputs(plan: &Plan, node: NodeId, place: Place) -> join::Inputs {
    let inputs = &plan.nodes[node].inputs;
    let order = |side: usize| match (plan::optimize::carries_positions(plan, inputs[side]), place.is_spread) {
        (None, false) if !plan::optimize::is_mixed(plan, inputs[side]) => join::Order::Arrival,
        (None, _) => join::Order::Content,
        (Some(true), _) => join::Order::Position,
        // A row may have become several, all of its position.
        (Some(false), _) if side == 0 => join::Order::PositionThenContent,
        (Some(false), _) => join::Order::Content,
    };
    join::Inputs {
        layouts: [0, 1].map(|side| plan.nodes[inputs[side]].layout()),
        orders: [0, 1].map(order),
        left_in_order: plan::optimize::is_in_order(plan, inputs[0]),
    }
}

/// What orders rows of one time in the union at `node`, and what its rows carry.
fn union_order(plan: &Plan, node: NodeId) -> (operator::UnionOrder, plan::Needs) {
    let order = match plan::optimize::carries_positions(plan, node) {
        Some(true) => operator::UnionOrder::Position,
        Some(false) => operator::UnionOrder::PositionThenContent,
        None => operator::UnionOrder::Content,
    };
    (order, plan::optimize::carried(plan, node))
}

/// Numbers of the sinks that get rows through `node` only: beside it a join or a union has other inputs, of
/// which the sink may need more.
fn sinks(plan: &Plan, node: NodeId) -> Vec<usize> {
    let mut below = vec![false; plan.nodes.len()];
    below[node] = true;
    let mut sinks = Vec::new();
    for user in node + 1..plan.nodes.len() {
        let inputs = &plan.nodes[user].inputs;
        below[user] = !inputs.is_empty() && inputs.iter().all(|&input| below[input]);
        if let (true, plan::Operator::Sink(sink)) = (below[user], &plan.nodes[user].operator) {
            sinks.push(sink.number);
        }
    }
    sinks
}
