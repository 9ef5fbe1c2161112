//! Plans that answer in changes.
//!
//! A query is planned as if all its input were there (EMIT FINAL). Where its sink asks for changes
//! ([`super::Sink::changelog`]), [`run`] plans it anew from that: it decides for every node whether its rows
//! only come, or may go as well, and puts operators of changes ([`Changes`]) in the place of those that
//! answer at the end of the input.
//!
//! - *Settled* nodes stay as they are: scans, and what follows their time (closed windows, joins near in
//!   time, OVER by the watermark column). Their rows only come.
//! - GROUP BY gives changes; from exact sums and counts rows are taken out, all other aggregates over
//!   rows that may go are done again for the groups touched, and so are ranks and OVER.
//! - Joins without a bound in time: INNER and SEMI of rows that only come give such rows; all others
//!   give changes.
//! - In front of the sink stands [`Net`].
//!
//! Rows that may go carry what they do in one more column, the last one, of type BIGINT, named
//! [`OP_COLUMN`]: see [`crate::change`].

use super::{
    Aggregate, Join as FullJoin, JoinKind, Node, NodeId, Operator, Plan, Sink, SinkOrder, Unnest, Within, optimize,
};
use crate::change::{OP_COLUMN, can_take_out};
use crate::error::{Code, Error, Result, Span};
use crate::expr::{Comparison, Expr, ExprKind};
use crate::sql;
use crate::types::{DataType, Field, Schema, Value};

/// An operator that answers by turns.
#[derive(Clone, Debug, PartialEq)]
pub struct Changes {
    /// What it does.
    pub change: Change,
    /// Per input: its rows carry operations.
    pub takes: Vec<bool>,
    /// Its own rows do.
    pub gives: bool,
}

/// What an operator of changes does.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// GROUP BY without a window; output as of [`Aggregate`].
    Aggregate(Aggregate),
    /// An operator over partitions, done again for those that were touched.
    Again(Again),
    /// A join without a bound in time.
    Join(Box<Join>),
    /// UNION ALL.
    Unite,
    /// What a turn has changed, as it leaves.
    Net(Net),
}

/// An operator of one input whose partitions have nothing to do with each other; output as of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Again {
    /// An aggregate, OVER, or a rank.
    pub operator: Box<Operator>,
    /// What a partition is, over the input's columns.
    pub partition: Vec<Expr>,
    /// Rows only come, and only the first of each partition are wanted.
    pub keeps_first: bool,
}

/// A join that holds all rows of both sides, but for those kept for a time only.
#[derive(Clone, Debug, PartialEq)]
pub struct Join {
    /// Without a bound in time and a pick.
    pub join: FullJoin,
    /// Per side: how long its rows are kept.
    pub keep: [Option<Keep>; 2],
}

/// How long rows of a side are kept (`STATE_TTL`).
#[derive(Clone, Debug, PartialEq)]
pub struct Keep {
    /// Their time, over the side's columns; follows its watermark.
    pub time: Expr,
    /// Until the watermark is this many microseconds behind it.
    pub micros: i64,
}

/// What leaves at a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Net {
    /// The columns of the result that tell its rows apart, where they are known.
    pub key: Option<Vec<usize>>,
    /// The form in which changes leave.
    pub form: Changelog,
    /// Changes of one key come from several shards.
    pub spread: bool,
    /// A turn ends where the clock passes a multiple of so many microseconds, and nowhere else; the same
    /// for all sinks of a plan.
    pub every_us: Option<i64>,
}

/// How changes leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changelog {
    /// The new rows alone.
    Values,
    /// All rows, behind a column `op` that is `+I`, `-U`, `+U` or `-D`.
    Operations,
    /// By key: `+U` and the new row, or `-D` and the key.
    Upsert,
    /// As objects with `before`, `after` and `op`, as Debezium writes them.
    Debezium,
}

impl Changelog {
    /// Every form and its name.
    pub const ALL: [(&'static str, Changelog); 4] = [
        ("values", Changelog::Values),
        ("op", Changelog::Operations),
        ("upsert", Changelog::Upsert),
        ("debezium", Changelog::Debezium),
    ];

    /// The form called `name`.
    pub fn parse(name: &str) -> Option<Changelog> {
        Self::ALL.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, form)| form)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, form)| *form == self).map_or("", |(name, _)| name)
    }
}

/// `plan` with operators of changes where a sink asks for them.
pub fn run(plan: Plan, ordinals: bool) -> Result<Plan> {
    let asks = |node: &Node| matches!(&node.operator, Operator::Sink(sink) if sink.changelog.is_some());
    if !plan.nodes.iter().any(asks) {
        return Ok(plan);
    }
    let count = plan.nodes.len();
    let mut pass = Pass { old: &plan, new: Plan::default(), kept: vec![None; count], changing: vec![None; count] };
    for (id, node) in plan.nodes.iter().enumerate() {
        match &node.operator {
            Operator::Sink(sink) if sink.changelog.is_some() => pass.sink(node, sink)?,
            Operator::Sink(_) => {
                pass.keep(id);
            }
            _ => {}
        }
    }
    let mut new = pass.new;
    optimize::set_needs(&mut new, ordinals);
    Ok(new)
}

/// Whether a node answers without operators of changes, its rows only come, and none waits for the end of an
/// endless input.
pub(crate) fn is_settled(plan: &Plan, id: NodeId) -> bool {
    let node = &plan.nodes[id];
    let inputs = || node.inputs.iter().all(|&input| is_settled(plan, input));
    match &node.operator {
        Operator::Scan(_) => true,
        Operator::Filter(_)
        | Operator::Project(_)
        | Operator::Limit { .. }
        | Operator::Repeat { .. }
        | Operator::Unnest(_) => inputs(),
        Operator::Union(_) => inputs(),
        Operator::Aggregate(aggregate) => aggregate.window.is_some() && inputs(),
        // Without a time a RANGE is the whole partition, which is known at the end only.
        Operator::Over(over) => {
            let by_position = over.time.is_none() && over.calls.iter().all(|call| call.range.is_none());
            (by_position || (over.time.is_some() && follows_time(plan, node.inputs[0]))) && inputs()
        }
        Operator::Rank(rank) => rank.time.is_some() && inputs(),
        Operator::Join(join) => (join.within.is_some() || join.broadcast || join.pick.is_some()) && inputs(),
        Operator::Exchange(_) | Operator::Sort { .. } | Operator::Sink(_) | Operator::Changes(_) => false,
    }
}

/// Whether a watermark comes with the rows of a settled node.
fn follows_time(plan: &Plan, id: NodeId) -> bool {
    let node = &plan.nodes[id];
    match &node.operator {
        Operator::Scan(scan) => scan.event_time.is_some() || scan.clock.is_some(),
        Operator::Join(join) => join.within.is_some(),
        Operator::Aggregate(_) | Operator::Rank(_) => true,
        _ => node.inputs.first().is_some_and(|&input| follows_time(plan, input)),
    }
}

struct Pass<'p> {
    old: &'p Plan,
    new: Plan,
    /// By old node: the same in the new plan.
    kept: Vec<Option<NodeId>>,
    /// By old node: what gives its rows in changes, and whether they carry operations.
    changing: Vec<Option<(NodeId, bool)>>,
}

impl Pass<'_> {
    /// The node as it is.
    fn keep(&mut self, id: NodeId) -> NodeId {
        if let Some(kept) = self.kept[id] {
            return kept;
        }
        let node = &self.old.nodes[id];
        let inputs = node.inputs.iter().map(|&input| self.keep(input)).collect();
        let kept = self.new.add(node.operator.clone(), inputs, node.schema.clone(), node.span);
        self.kept[id] = Some(kept);
        kept
    }

    /// The node's rows as they come and go.
    fn change(&mut self, id: NodeId) -> Result<(NodeId, bool)> {
        if let Some(known) = self.changing[id] {
            return Ok(known);
        }
        let made = if is_settled(self.old, id) { (self.keep(id), false) } else { self.make(id)? };
        self.changing[id] = Some(made);
        Ok(made)
    }

    fn make(&mut self, id: NodeId) -> Result<(NodeId, bool)> {
        let node = &self.old.nodes[id];
        let mut inputs = Vec::new();
        let mut takes = Vec::new();
        for &input in &node.inputs {
            let (input, operations) = self.change(input)?;
            inputs.push(input);
            takes.push(operations);
        }
        let any = takes.contains(&true);
        match &node.operator {
            Operator::Filter(_) | Operator::Repeat { .. } => {
                Ok((self.add(node, node.operator.clone(), inputs, any), any))
            }
            Operator::Unnest(unnest) => {
                let unnest = Unnest { behind: usize::from(any), ..unnest.clone() };
                Ok((self.add(node, Operator::Unnest(unnest), inputs, any), any))
            }
            Operator::Project(list) => {
                let mut list = list.clone();
                if any {
                    let last = self.new.nodes[inputs[0]].schema.fields.len() - 1;
                    list.push(Expr::column(last, DataType::BigInt));
                }
                Ok((self.add(node, Operator::Project(list), inputs, any), any))
            }
            Operator::Limit { .. } if !any => Ok((self.add(node, node.operator.clone(), inputs, false), false)),
            Operator::Aggregate(aggregate) => self.aggregate(node, aggregate, inputs, takes),
            Operator::Over(over) => {
                let again = Again {
                    operator: Box::new(node.operator.clone()),
                    partition: over.partition.clone(),
                    keeps_first: false,
                };
                Ok((self.changes(node, Change::Again(again), inputs, takes, true), true))
            }
            Operator::Rank(rank) if rank.time.is_none() => {
                let fields = &self.old.nodes[node.inputs[0]].schema.fields;
                let partition = rank.partition.iter().map(|&column| Expr::column(column, fields[column].data_type));
                let again = Again {
                    operator: Box::new(node.operator.clone()),
                    partition: partition.collect(),
                    keeps_first: rank.limit.is_some() && !any,
                };
                Ok((self.changes(node, Change::Again(again), inputs, takes, true), true))
            }
            Operator::Union(_) => Ok((self.changes(node, Change::Unite, inputs, takes, any), any)),
            Operator::Join(join) => self.join(node, join, inputs, takes),
            Operator::Limit { .. } | Operator::Sort { .. } => {
                let error = Error::new(Code::Unsupported, "EMIT CHANGES with ORDER BY or LIMIT over rows that change");
                Err(error.at(node.span).help("number the rows with ROW_NUMBER() and keep the first, or use EMIT FINAL"))
            }
            _ => {
                let error = Error::new(Code::Unsupported, "a window over rows that change is not supported");
                Err(error.at(node.span).help("put the window where rows only come, or use EMIT FINAL"))
            }
        }
    }

    /// Adds a node with the columns of `node`, and operations behind them.
    fn add(&mut self, node: &Node, operator: Operator, inputs: Vec<NodeId>, operations: bool) -> NodeId {
        let mut schema = node.schema.clone();
        if operations {
            schema.fields.push(Field { name: OP_COLUMN.to_owned(), data_type: DataType::BigInt });
        }
        self.new.add(operator, inputs, schema, node.span)
    }

    fn changes(&mut self, node: &Node, change: Change, inputs: Vec<NodeId>, takes: Vec<bool>, gives: bool) -> NodeId {
        self.add(node, Operator::Changes(Changes { change, takes, gives }), inputs, gives)
    }

    fn aggregate(
        &mut self,
        node: &Node,
        aggregate: &Aggregate,
        inputs: Vec<NodeId>,
        takes: Vec<bool>,
    ) -> Result<(NodeId, bool)> {
        if aggregate.window.is_some() {
            let error = Error::new(Code::Unsupported, "a window over rows that change is not supported").at(node.span);
            return Err(error.help("put the window where rows only come, or use EMIT FINAL"));
        }
        let placed = !takes[0] && optimize::carries_positions(&self.new, inputs[0]).is_some();
        if let Some(call) = aggregate.calls.iter().find(|call| call.function.is_by_position() && !placed) {
            let what = "this aggregate depends on the order of its rows, and over rows that change there is none";
            return Err(Error::new(Code::Unsupported, what).at(call.span).help("use MIN, MAX or COUNT, or EMIT FINAL"));
        }
        let gives = takes[0] || !aggregate.calls.is_empty();
        let change = if takes[0] && !can_take_out(aggregate)? {
            let operator = Box::new(node.operator.clone());
            Change::Again(Again { operator, partition: aggregate.keys.clone(), keeps_first: false })
        } else {
            Change::Aggregate(aggregate.clone())
        };
        Ok((self.changes(node, change, inputs, takes, gives), gives))
    }

    fn join(&mut self, node: &Node, join: &FullJoin, inputs: Vec<NodeId>, takes: Vec<bool>) -> Result<(NodeId, bool)> {
        let refused = match join {
            FullJoin { pick: Some(_), .. } => Some("an ASOF join over rows that change is not supported"),
            join if join.adds_time() => {
                Some("RIGHT and FULL JOIN with a bound in time over rows that change are not supported")
            }
            _ => None,
        };
        if let Some(what) = refused {
            return Err(Error::new(Code::Unsupported, what).at(node.span).help("use EMIT FINAL"));
        }
        let mut join = join.clone();
        join.broadcast = false;
        if let Some(within) = join.within.take() {
            let left = self.old.nodes[node.inputs[0]].schema.fields.len();
            let bounds = bounds(&within, left, node.span)?;
            join.condition = join.condition.into_iter().chain(bounds).reduce(sql::conjunction);
        }
        let gives = takes.contains(&true) || !matches!(join.kind, JoinKind::Inner | JoinKind::Semi);
        let keep = std::mem::take(&mut join.keep).map(|keep| keep.map(|keep| *keep));
        Ok((self.changes(node, Change::Join(Box::new(Join { join, keep })), inputs, takes, gives), gives))
    }

    fn sink(&mut self, node: &Node, sink: &Sink) -> Result<()> {
        let asked = sink.changelog.clone().expect("the sink asks for changes");
        let settled = is_settled(self.old, node.inputs[0]);
        let (input, operations) = self.change(node.inputs[0])?;
        let mut sink = sink.clone();
        if !operations && asked.form == Changelog::Values {
            if !settled {
                sink.order = SinkOrder::Arrival;
            }
            self.new.add(Operator::Sink(sink), vec![input], node.schema.clone(), node.span);
            return Ok(());
        }
        sink.order = SinkOrder::Arrival;
        // What only orders rows is of no use; what they do stays.
        let visible = sink.visible;
        let mut fields: Vec<Field> = node.schema.fields[..visible].to_vec();
        let mut list: Vec<Expr> =
            fields.iter().enumerate().map(|(column, field)| Expr::column(column, field.data_type)).collect();
        let known = key_of(&self.new, input).filter(|(key, _)| key.iter().all(|&column| column < visible));
        let width = self.new.nodes[input].schema.fields.len();
        if operations {
            list.push(Expr::column(width - 1, DataType::BigInt));
        }
        let mut schema = Schema { fields: fields.clone() };
        if operations {
            schema.fields.push(Field { name: OP_COLUMN.to_owned(), data_type: DataType::BigInt });
        }
        let input = if list.len() == width {
            input
        } else {
            self.new.add(Operator::Project(list), vec![input], schema, node.span)
        };
        let mut sorted = asked.key.clone();
        sorted.iter_mut().for_each(|key| key.sort_unstable());
        let (key, spread) = match (asked.key, known) {
            (Some(key), Some((known, spread))) if sorted.as_ref() == Some(&known) => (Some(key), spread),
            (Some(key), _) => (Some(key), true),
            (None, Some((known, spread))) => (Some(known), spread),
            (None, None) => (None, false),
        };
        if asked.form == Changelog::Upsert && key.is_none() {
            let what = "'changelog' = 'upsert' needs a key, and the columns of this result have none";
            let error = Error::new(Code::Unsupported, what).at(node.span);
            return Err(error.help("declare it in the table: PRIMARY KEY (..) NOT ENFORCED, or use 'op'"));
        }
        if asked.form != Changelog::Values {
            if !sink.partitioned_by.is_empty() {
                let what = "folders by value of changes are not supported: a row that goes may lie in another one";
                let error = Error::new(Code::Unsupported, what).at(node.span);
                return Err(error.help("leave PARTITIONED BY out, or use 'changelog' = 'values'"));
            }
            fields.insert(0, Field { name: OP_COLUMN.to_owned(), data_type: DataType::Text });
            sink.visible += 1;
        }
        let net = Net { key, form: asked.form, spread, every_us: asked.every_us };
        sink.changelog = Some(net.clone());
        let changes = Changes { change: Change::Net(net), takes: vec![operations], gives: false };
        let schema = Schema { fields };
        let input = self.new.add(Operator::Changes(changes), vec![input], schema.clone(), node.span);
        self.new.add(Operator::Sink(sink), vec![input], schema, node.span);
        Ok(())
    }
}

/// What `within` says, as conditions over the left input's `left` columns followed by the right one's.
fn bounds(within: &Within, left: usize, span: Span) -> Result<Vec<Expr>> {
    let mut right = within.right.clone();
    right.map_columns(&|column| left + column);
    let mut conditions = Vec::new();
    let ends = [(within.lower, Comparison::GreaterOrEqual), (within.upper, Comparison::LessOrEqual)];
    for (micros, comparison) in ends.into_iter().filter(|(micros, _)| micros.unsigned_abs() < (i64::MAX / 4) as u64) {
        let apart = Expr { span, ..Expr::literal(Value::I64(micros), DataType::Interval) };
        let end = sql::call("+", vec![within.left.clone(), apart], span)?;
        conditions.push(sql::compare(comparison, right.clone(), end, span)?);
    }
    Ok(conditions)
}

/// Columns that tell the rows of a node apart, in order, and whether those of one key may be on several
/// shards.
fn key_of(plan: &Plan, id: NodeId) -> Option<(Vec<usize>, bool)> {
    let node = &plan.nodes[id];
    let of_input = || key_of(plan, node.inputs[0]);
    match &node.operator {
        Operator::Filter(_) | Operator::Limit { .. } => of_input(),
        Operator::Project(list) => {
            let (key, spread) = of_input()?;
            let place = |column: &usize| list.iter().position(|item| item.kind == ExprKind::Column(*column));
            let mut key = key.iter().map(place).collect::<Option<Vec<usize>>>()?;
            key.sort_unstable();
            Some((key, spread))
        }
        Operator::Aggregate(aggregate) => {
            let windows = if aggregate.window.is_some() { 2 } else { 0 };
            Some(((0..windows + aggregate.keys.len()).collect(), false))
        }
        Operator::Changes(Changes { change: Change::Aggregate(aggregate), .. }) => {
            Some(((0..aggregate.keys.len()).collect(), false))
        }
        Operator::Changes(Changes { change: Change::Again(again), .. }) => key_of_again(again, plan, node),
        Operator::Changes(Changes { change: Change::Join(changing), takes, .. }) => {
            let join = &changing.join;
            let left_width = plan.nodes[node.inputs[0]].schema.fields.len() - usize::from(takes[0]);
            let (left, _) = of_input()?;
            let right = if join.kind.is_left_only() { Vec::new() } else { key_of(plan, node.inputs[1])?.0 };
            let wanted = left.into_iter().chain(right.into_iter().map(|column| left_width + column));
            let place = |column: usize| join.columns.iter().position(|&known| known == column);
            let mut key = wanted.map(place).collect::<Option<Vec<usize>>>()?;
            key.sort_unstable();
            Some((key, true))
        }
        _ => None,
    }
}

fn key_of_again(again: &Again, plan: &Plan, node: &Node) -> Option<(Vec<usize>, bool)> {
    match &*again.operator {
        Operator::Aggregate(aggregate) => Some(((0..aggregate.keys.len()).collect(), false)),
        Operator::Rank(rank) => {
            let number = rank.functions.iter().position(|function| *function == super::RankFunction::RowNumber)?;
            let mut key = rank.partition.clone();
            if rank.limit != Some((number, 1)) {
                let Operator::Changes(Changes { takes, .. }) = &node.operator else { return None };
                let width = plan.nodes[node.inputs[0]].schema.fields.len() - usize::from(takes[0]);
                key.push(width + number);
            }
            key.sort_unstable();
            Some((key, false))
        }
        _ => None,
    }
}
