//! Where rows change shards: exchanges put into a plan.
//!
//! The rule. With one shard there is none (unless it is asked for, to be measured). With several:
//!
//! - GROUP BY with EMIT FINAL is done in two: [`Phase::Partial`] on the shard that reads, its
//!   states to the owner of the key ([`ExchangeKind::PartialStates`]), [`Phase::Merge`] there. A
//!   row of states is `[window_start,] keys.., accumulators..`; the keys decide the owner.
//! - GROUP BY with EMIT CHANGES (a row out per row in), with DISTINCT aggregates, over sessions, and OVER need the
//!   rows themselves: [`ExchangeKind::Rows`] by the keys, in front of them.
//! - Ranks (ROW_NUMBER, RANK, DENSE_RANK by any order) need all rows of a partition together:
//!   [`ExchangeKind::Rows`] by the partition, to shard 0 without one. Where a partition is all rows, or all
//!   of a window, and only its first are wanted, each shard finds its own first.
//! - Joins need rows of both sides with equal keys together: [`ExchangeKind::Rows`] by the keys in front
//!   of each input. Without keys, and where the query says that a side is small, that side goes to every
//!   shard ([`ExchangeKind::Copies`]).
//! - ORDER BY and LIMIT come together on one shard: an exchange without keys sends everything to
//!   shard 0, behind a first Limit or Sort on each shard that keeps what crosses small.
//!
//! Below an exchange nothing is repeated: what is grouped by the same keys again crosses again.

use super::changes::Net;
use super::explain::rank_name;
use super::{
    Aggregate, Change, Changes, Exchange, ExchangeKind, Join, NodeId, Operator, Phase, Plan, Rank, SinkOrder, Window,
    optimize,
};
use crate::agg;
use crate::error::{Result, Span};
use crate::expr::Expr;
use crate::operator::Time;
use crate::types::{Field, Schema};

/// Over what a plan is spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Distribution {
    /// How many shards.
    pub shards: usize,
    /// Exchanges even with one shard.
    pub force_exchange: bool,
    /// Receivers merge by ordinal.
    pub ordered: bool,
}

/// `plan` with the exchanges it needs; a plan that has some already is for nobody.
pub fn distribute(plan: Plan, distribution: &Distribution) -> Result<Plan> {
    let single = distribution.shards <= 1 && !distribution.force_exchange;
    let mut spread = if single { plan } else { Spread::of(&plan, distribution)?.0 };
    if distribution.shards <= 1 {
        drop_positions(&mut spread);
    }
    Ok(spread)
}

fn unites(plan: &Plan, node: NodeId) -> bool {
    let this = &plan.nodes[node];
    matches!(this.operator, Operator::Union(_)) || this.inputs.iter().any(|&input| unites(plan, input))
}

/// One shard's rows come in order by themselves: only operators need positions, sinks do not.
fn drop_positions(plan: &mut Plan) {
    let mut quiet = plan.clone();
    for node in &mut quiet.nodes {
        if let Operator::Sink(sink) = &mut node.operator {
            sink.order = SinkOrder::Arrival;
        }
    }
    for id in 0..plan.nodes.len() {
        let needed = optimize::reads_positions(&quiet, id);
        match &mut plan.nodes[id].operator {
            Operator::Scan(scan) => scan.needs.positions &= needed,
            Operator::Exchange(exchange) => exchange.needs.positions &= needed,
            _ => {}
        }
    }
}

/// For each node of `plan` the one that answers for it in `distribute(plan, distribution)`.
pub fn places(plan: &Plan, distribution: &Distribution) -> Result<Vec<NodeId>> {
    Ok(Spread::of(plan, distribution)?.1)
}

/// Whether all rows of `node` come together on one shard.
pub(crate) fn is_gathered(plan: &Plan, mut node: NodeId) -> bool {
    loop {
        match &plan.nodes[node].operator {
            Operator::Exchange(exchange) => return exchange.keys.is_empty() && exchange.kind == ExchangeKind::Rows,
            Operator::Scan(_) => return false,
            Operator::Union(_) => return plan.nodes[node].inputs.iter().all(|&input| is_gathered(plan, input)),
            _ => node = plan.nodes[node].inputs[0],
        }
    }
}

struct Spread<'d> {
    plan: Plan,
    distribution: &'d Distribution,
    exchanges: usize,
}

impl Spread<'_> {
    fn of(old: &Plan, distribution: &Distribution) -> Result<(Plan, Vec<NodeId>)> {
        let mut spread = Spread { plan: Plan::default(), distribution, exchanges: 0 };
        let mut places: Vec<NodeId> = Vec::with_capacity(old.nodes.len());
        for node in &old.nodes {
            if let Operator::Join(join) = &node.operator {
                let inputs = [0, 1].map(|side| places[node.inputs[side]]);
                places.push(spread.join(inputs, join, &node.schema, node.span));
                continue;
            }
            if let Operator::Changes(Changes { change: Change::Join(join), .. }) = &node.operator {
                let (of_left, of_right): (Vec<Expr>, Vec<Expr>) = join.join.keys.iter().cloned().unzip();
                let left = spread.rows(places[node.inputs[0]], of_left, node.span);
                let right = spread.rows(places[node.inputs[1]], of_right, node.span);
                let inputs = vec![left, right];
                places.push(spread.plan.add(node.operator.clone(), inputs, node.schema.clone(), node.span));
                continue;
            }
            let input = node.inputs.first().map(|&input| places[input]);
            let place = match (input, &node.operator) {
                (Some(input), Operator::Aggregate(aggregate)) => {
                    spread.aggregate(input, aggregate, &node.schema, node.span)?
                }
                (Some(input), Operator::Over(over)) => {
                    let input = spread.exchange(input, over.partition.clone(), ExchangeKind::Rows, node.span);
                    spread.hold(input, over.time.map(|_| Time::MAX));
                    spread.plan.add(node.operator.clone(), vec![input], node.schema.clone(), node.span)
                }
                (Some(input), Operator::Rank(rank)) => {
                    let fields = &spread.plan.nodes[input].schema.fields;
                    let keys = rank.partition.iter().map(|&column| Expr::column(column, fields[column].data_type));
                    let keys = keys.collect();
                    let input = spread.first_ranks(input, rank, node.span);
                    let input = spread.exchange(input, keys, ExchangeKind::Rows, node.span);
                    spread.plan.add(node.operator.clone(), vec![input], node.schema.clone(), node.span)
                }
                (Some(input), Operator::Limit { limit, offset }) => {
                    let first = limit.map(|limit| limit.saturating_add(*offset));
                    let input = spread.gathered(
                        input,
                        first.map(|limit| Operator::Limit { limit: Some(limit), offset: 0 }),
                        node.span,
                    );
                    spread.plan.add(node.operator.clone(), vec![input], node.schema.clone(), node.span)
                }
                (Some(input), Operator::Sort { keys, limit }) => {
                    let first = limit.map(|limit| Operator::Sort { keys: keys.clone(), limit: Some(limit) });
                    let input = spread.gathered(input, first, node.span);
                    spread.plan.add(node.operator.clone(), vec![input], node.schema.clone(), node.span)
                }
                (Some(input), Operator::Changes(changes)) => {
                    let keys = match &changes.change {
                        Change::Aggregate(aggregate) => Some(aggregate.keys.clone()),
                        Change::Again(again) => Some(again.partition.clone()),
                        Change::Net(Net { key: Some(key), spread: true, .. }) => {
                            let fields = &spread.plan.nodes[input].schema.fields;
                            Some(key.iter().map(|&column| Expr::column(column, fields[column].data_type)).collect())
                        }
                        Change::Net(_) | Change::Join(_) | Change::Unite => None,
                    };
                    let inputs = match keys {
                        Some(keys) => vec![spread.rows(input, keys, node.span)],
                        None => node.inputs.iter().map(|&input| places[input]).collect(),
                    };
                    spread.plan.add(node.operator.clone(), inputs, node.schema.clone(), node.span)
                }
                (_, operator) => {
                    let inputs = node.inputs.iter().map(|&input| places[input]).collect();
                    spread.plan.add(operator.clone(), inputs, node.schema.clone(), node.span)
                }
            };
            places.push(place);
        }
        let needs: Vec<bool> =
            (0..spread.plan.nodes.len()).map(|id| optimize::reads_positions(&spread.plan, id)).collect();
        for (node, needed) in spread.plan.nodes.iter_mut().zip(needs) {
            if let Operator::Exchange(exchange) = &mut node.operator {
                exchange.needs.positions &= needed && exchange.kind != ExchangeKind::PartialStates;
            }
        }
        Ok((spread.plan, places))
    }

    fn exchange(&mut self, input: NodeId, keys: Vec<Expr>, kind: ExchangeKind, span: Span) -> NodeId {
        let number = self.exchanges;
        self.exchanges += 1;
        let schema = self.plan.nodes[input].schema.clone();
        let needs = match kind {
            ExchangeKind::PartialStates => super::Needs { positions: false, ordinals: false },
            ExchangeKind::Rows | ExchangeKind::Copies => optimize::carried(&self.plan, input),
        };
        // Each input of a union counts its own rows.
        let ordered = self.distribution.ordered && kind == ExchangeKind::Rows && !unites(&self.plan, input);
        let exchange = Exchange { number, keys, kind, ordered, held_within: None, needs };
        self.plan.add(Operator::Exchange(exchange), vec![input], schema, span)
    }

    /// Rows to the owners of `keys`, for operators that answer by turns: in no order.
    fn rows(&mut self, input: NodeId, keys: Vec<Expr>, span: Span) -> NodeId {
        let exchange = self.exchange(input, keys, ExchangeKind::Rows, span);
        self.unordered(exchange);
        exchange
    }

    fn hold(&mut self, exchange: NodeId, within: Option<Time>) {
        if let Operator::Exchange(exchange) = &mut self.plan.nodes[exchange].operator {
            exchange.held_within = within;
        }
    }

    /// Rows as they come, with their positions.
    fn unordered(&mut self, exchange: NodeId) {
        if let Operator::Exchange(exchange) = &mut self.plan.nodes[exchange].operator {
            exchange.ordered = false;
        }
    }

    /// Everything on shard 0, `first` having been done on each shard.
    fn gathered(&mut self, input: NodeId, first: Option<Operator>, span: Span) -> NodeId {
        // What is on shard 0 already stays there.
        if is_gathered(&self.plan, input) {
            return input;
        }
        let schema = self.plan.nodes[input].schema.clone();
        let input = match first {
            Some(first) => self.plan.add(first, vec![input], schema, span),
            None => input,
        };
        self.exchange(input, Vec::new(), ExchangeKind::Rows, span)
    }

    /// The rows of `input` that may be among the first of all shards, for they are among its own. A rank
    /// counts the rows before one, so those of fewer rows are no higher.
    fn first_ranks(&mut self, input: NodeId, rank: &Rank, span: Span) -> NodeId {
        let few = rank.partition.len() == usize::from(rank.time.is_some());
        if rank.limit.is_none() || !few {
            return input;
        }
        let schema = self.plan.nodes[input].schema.clone();
        let columns = schema.fields.iter().enumerate().map(|(n, field)| Expr::column(n, field.data_type));
        let columns: Vec<Expr> = columns.collect();
        let mut ranked = schema.clone();
        ranked.fields.extend(
            rank.functions.iter().map(|&function| Field { name: rank_name(function), data_type: function.data_type() }),
        );
        let ranked = self.plan.add(Operator::Rank(rank.clone()), vec![input], ranked, span);
        self.plan.add(Operator::Project(columns), vec![ranked], schema, span)
    }

    /// Both sides to the owners of their keys. Without keys the right one is copied to all shards, or
    /// both go to shard 0, where rows of the right side can leave without a match.
    fn join(&mut self, inputs: [NodeId; 2], join: &Join, schema: &Schema, span: Span) -> NodeId {
        let mut join = join.clone();
        join.broadcast |= join.keys.is_empty() && !join.kind.keeps_right();
        let [left, right] = inputs;
        let held = join.within.as_ref().map(|_| Time::MAX);
        let exchanges = if join.broadcast {
            vec![self.exchange(right, Vec::new(), ExchangeKind::Copies, span)]
        } else {
            let (of_left, of_right): (Vec<Expr>, Vec<Expr>) = join.keys.iter().cloned().unzip();
            let left = self.exchange(left, of_left, ExchangeKind::Rows, span);
            vec![left, self.exchange(right, of_right, ExchangeKind::Rows, span)]
        };
        for &exchange in &exchanges {
            self.hold(exchange, held);
            // A join puts its rows in order itself.
            self.unordered(exchange);
        }
        let inputs = match exchanges[..] {
            [right] => vec![left, right],
            _ => exchanges,
        };
        self.plan.add(Operator::Join(join), inputs, schema.clone(), span)
    }

    fn aggregate(&mut self, input: NodeId, aggregate: &Aggregate, schema: &Schema, span: Span) -> Result<NodeId> {
        let rows = !agg::can_be_partial(aggregate);
        if rows {
            let input = self.exchange(input, aggregate.keys.clone(), ExchangeKind::Rows, span);
            let held = |window: &Window| if window.is_session() { Time::MAX } else { window.size };
            self.hold(input, aggregate.window.map(|(window, _)| held(&window)));
            return Ok(self.plan.add(Operator::Aggregate(aggregate.clone()), vec![input], schema.clone(), span));
        }
        let Schema { fields } = agg::partial_schema(aggregate, &self.plan.nodes[input].schema)?;
        let windows = usize::from(aggregate.window.is_some());
        // The key alone decides the owner, so that all windows of a key live on one shard.
        let keys = (windows..windows + aggregate.keys.len()).map(|index| Expr::column(index, fields[index].data_type));
        let keys: Vec<Expr> = keys.collect();
        let partial = Aggregate { phase: Phase::Partial, ..aggregate.clone() };
        let partial = self.plan.add(Operator::Aggregate(partial), vec![input], Schema { fields }, span);
        let exchange = self.exchange(partial, keys, ExchangeKind::PartialStates, span);
        self.hold(exchange, aggregate.window.map(|(window, _)| window.size));
        let merge = Aggregate { phase: Phase::Merge, ..aggregate.clone() };
        Ok(self.plan.add(Operator::Aggregate(merge), vec![exchange], schema.clone(), span))
    }
}
