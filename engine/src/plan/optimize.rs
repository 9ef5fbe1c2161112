//! Passes that make a bound plan a good one; none of them changes a result.
//!
//! 1. [`fold_projections`]: projections are written into their users, and event time that no
//!    operator judges by becomes an ordinary expression.
//! 2. [`share`]: what is said twice with the same words (a WITH query used twice, a table read by two
//!    statements) is done once.
//! 3. [`prune`]: only columns that are used are read; those the filter and the event time need come
//!    first in a scan, so that the rest is converted for the rows that are kept.
//! 4. [`set_needs`]: positions and ordinals are carried only where something reads them.

use super::{Change, Emit, Join, Late, Needs, Node, NodeId, Operator, Plan, ReadOrder, Scan, SinkOrder};
use crate::error::Span;
use crate::expr::{Expr, ExprKind};
use crate::types::{Field, Schema};

/// All passes, in order. `ordinals`: rows carry the number of their arrival.
pub fn run(plan: Plan, ordinals: bool) -> Plan {
    let mut plan = prune(&share(&fold_projections(&plan)));
    set_needs(&mut plan, ordinals);
    plan
}

/// What an old node's columns are, over a new node's columns.
#[derive(Clone)]
struct Place {
    node: NodeId,
    columns: Vec<Expr>,
}

impl Place {
    fn identity(plan: &Plan, node: NodeId) -> Place {
        let fields = plan.nodes[node].schema.fields.iter().enumerate();
        Place { node, columns: fields.map(|(index, field)| Expr::column(index, field.data_type)).collect() }
    }

    fn is_identity(&self, plan: &Plan) -> bool {
        let same = |(index, column): (usize, &Expr)| column.kind == ExprKind::Column(index);
        self.columns.len() == plan.nodes[self.node].schema.fields.len() && self.columns.iter().enumerate().all(same)
    }

    fn rewrite(&self, expression: &mut Expr) {
        if let ExprKind::Column(column) = expression.kind {
            let span = expression.span;
            *expression = self.columns[column].clone();
            if span != Span::NONE {
                expression.span = span;
            }
            return;
        }
        expression.children_mut().into_iter().for_each(|child| self.rewrite(child));
    }

    fn column(&self, column: usize) -> Option<usize> {
        match self.columns[column].kind {
            ExprKind::Column(index) => Some(index),
            _ => None,
        }
    }

    /// Makes the columns real by a Project node.
    fn materialize(&mut self, plan: &mut Plan, fields: &[Field], span: Span) {
        if self.is_identity(plan) {
            return;
        }
        let columns = std::mem::take(&mut self.columns);
        let schema = Schema { fields: fields.to_vec() };
        let node = plan.add(Operator::Project(columns), vec![self.node], schema, span);
        *self = Place::identity(plan, node);
    }
}

/// Every expression of an operator, over its input's columns.
fn expressions(operator: &mut Operator) -> Vec<&mut Expr> {
    match operator {
        Operator::Filter(condition) => vec![condition],
        Operator::Project(columns) => columns.iter_mut().collect(),
        Operator::Aggregate(aggregate) => {
            let calls = aggregate.calls.iter_mut().flat_map(|call| call.arguments.iter_mut().chain(&mut call.filter));
            aggregate.keys.iter_mut().chain(calls).collect()
        }
        Operator::Over(over) => {
            let calls = over.calls.iter_mut().flat_map(|call| call.arguments.iter_mut());
            over.partition.iter_mut().chain(calls).collect()
        }
        Operator::Exchange(exchange) => exchange.keys.iter_mut().collect(),
        Operator::Unnest(unnest) => unnest.arrays.iter_mut().collect(),
        Operator::Join(_) => unreachable!("a join has two inputs"),
        Operator::Changes(_) => unreachable!("plans are tidied before they answer in changes"),
        Operator::Scan(_)
        | Operator::Rank(_)
        | Operator::Union(_)
        | Operator::Repeat { .. }
        | Operator::Limit { .. }
        | Operator::Sort { .. }
        | Operator::Sink(_) => Vec::new(),
    }
}

/// How many columns an operator adds behind those of its input, which pass through.
fn columns_added(operator: &Operator) -> Option<usize> {
    match operator {
        Operator::Over(over) => Some(over.calls.len()),
        Operator::Rank(rank) => Some(rank.functions.len()),
        Operator::Unnest(unnest) => Some(unnest.added().len()),
        _ => None,
    }
}

/// Columns an operator reads by number, not by expression.
fn numbered(operator: &mut Operator) -> Vec<&mut usize> {
    match operator {
        Operator::Aggregate(aggregate) => aggregate.window.iter_mut().map(|(_, column)| column).collect(),
        Operator::Over(over) => over.time.iter_mut().collect(),
        Operator::Rank(rank) => {
            let keys = rank.keys.iter_mut().map(|key| &mut key.column);
            rank.partition.iter_mut().chain(&mut rank.time).chain(keys).collect()
        }
        Operator::Sort { keys, .. } => keys.iter_mut().map(|key| &mut key.column).collect(),
        Operator::Union(union) => union.time.iter_mut().collect(),
        Operator::Repeat { times } => vec![times],
        _ => Vec::new(),
    }
}

fn fold_projections(old: &Plan) -> Plan {
    let mut plan = Plan::default();
    let mut places: Vec<Place> = Vec::with_capacity(old.nodes.len());
    for node in &old.nodes {
        let place = fold_node(&mut plan, &places, old, node);
        places.push(place);
    }
    plan
}

fn fold_node(plan: &mut Plan, places: &[Place], old: &Plan, node: &Node) -> Place {
    let mut operator = node.operator.clone();
    if let Operator::Scan(scan) = &mut operator {
        let mut schema = node.schema.clone();
        let idle = if scan.late.is_none() { scan.event_time.take() } else { None };
        scan.clock.take_if(|clock| clock.waits.is_none());
        if idle.is_some() {
            schema.fields.pop();
        }
        let id = plan.add(operator, Vec::new(), schema, node.span);
        let mut place = Place::identity(plan, id);
        place.columns.extend(idle.map(|time| time.expression));
        return place;
    }
    if let Operator::Join(join) = operator {
        return fold_join(plan, places, old, node, join);
    }
    if let Operator::Union(_) = operator {
        let inputs = node.inputs.iter().map(|&input| {
            let mut side = places[input].clone();
            side.materialize(plan, &old.nodes[input].schema.fields, node.span);
            side.node
        });
        let inputs = inputs.collect();
        let id = plan.add(operator, inputs, node.schema.clone(), node.span);
        return Place::identity(plan, id);
    }
    let mut input = places[node.inputs[0]].clone();
    if let Operator::Project(columns) = &mut operator {
        columns.iter_mut().for_each(|column| input.rewrite(column));
        return Place { node: input.node, columns: std::mem::take(columns) };
    }
    let fields = &old.nodes[node.inputs[0]].schema.fields;
    let by_number = numbered(&mut operator).iter().all(|column| input.column(**column).is_some());
    if !by_number || matches!(operator, Operator::Sink(_)) {
        input.materialize(plan, fields, node.span);
    }
    expressions(&mut operator).into_iter().for_each(|expression| input.rewrite(expression));
    for column in numbered(&mut operator) {
        *column = input.column(*column).expect("made a column above");
    }
    let below = plan.nodes[input.node].schema.fields.clone();
    match &operator {
        Operator::Aggregate(_) | Operator::Sink(_) => {
            let id = plan.add(operator, vec![input.node], node.schema.clone(), node.span);
            Place::identity(plan, id)
        }
        Operator::Over(_) | Operator::Rank(_) | Operator::Unnest(_) => {
            let width = below.len();
            let added = columns_added(&operator).unwrap_or(0);
            let added = &node.schema.fields[node.schema.fields.len() - added..];
            let fields = below.into_iter().chain(added.iter().cloned()).collect();
            let calls = added.iter().enumerate().map(|(n, call)| Expr::column(width + n, call.data_type));
            let columns = input.columns.iter().cloned().chain(calls).collect();
            let id = plan.add(operator, vec![input.node], Schema { fields }, node.span);
            Place { node: id, columns }
        }
        _ => {
            let id = plan.add(operator, vec![input.node], Schema { fields: below }, node.span);
            Place { node: id, columns: input.columns }
        }
    }
}

/// A join's expressions over its new inputs. Where a side's rows may be missing, its columns are made
/// real: what is computed from a missing row is NULL, whatever the expression.
fn fold_join(plan: &mut Plan, places: &[Place], old: &Plan, node: &Node, mut join: Join) -> Place {
    let mut sides = [0, 1].map(|side| places[node.inputs[side]].clone());
    let missing = [join.kind.keeps_right(), join.kind.keeps_left()];
    for (side, missing) in sides.iter_mut().zip(missing).enumerate().map(|(n, (side, missing))| ((n, side), missing)) {
        let (number, side) = side;
        if missing && (0..side.columns.len()).any(|column| side.column(column).is_none()) {
            let fields = &old.nodes[node.inputs[number]].schema.fields;
            side.materialize(plan, fields, node.span);
        }
    }
    let widths = sides.each_ref().map(|side| plan.nodes[side.node].schema.fields.len());
    for (left, right) in &mut join.keys {
        sides[0].rewrite(left);
        sides[1].rewrite(right);
    }
    if let Some(within) = &mut join.within {
        sides[0].rewrite(&mut within.left);
        sides[1].rewrite(&mut within.right);
    }
    join.pick.iter_mut().for_each(|pick| sides[1].rewrite(&mut pick.value));
    for (side, keep) in sides.iter().zip(&mut join.keep) {
        keep.iter_mut().for_each(|keep| side.rewrite(&mut keep.time));
    }
    let mut both = sides[0].clone();
    both.columns.extend(sides[1].columns.iter().cloned().map(|mut column| {
        column.map_columns(&|index| widths[0] + index);
        column
    }));
    join.condition.iter_mut().for_each(|condition| both.rewrite(condition));
    // The columns that leave become those of the new inputs; what was asked for is said over them.
    let asked = std::mem::take(&mut join.columns);
    let wide = if join.kind.is_left_only() { widths[0] } else { widths[0] + widths[1] };
    join.columns = (0..wide).collect();
    let inputs = [sides[0].node, sides[1].node];
    let mut fields: Vec<Field> =
        inputs.iter().flat_map(|&input| plan.nodes[input].schema.fields.iter().cloned()).take(wide).collect();
    let mut columns: Vec<Expr> = asked.into_iter().map(|column| both.columns[column].clone()).collect();
    if join.adds_time() {
        let time = node.schema.fields.last().expect("the time is a column").clone();
        columns.push(Expr::column(wide, time.data_type));
        fields.push(time);
    }
    let id = plan.add(Operator::Join(join), inputs.to_vec(), Schema { fields }, node.span);
    Place { node: id, columns }
}

/// Equal nodes over equal inputs become one.
fn share(old: &Plan) -> Plan {
    let mut plan = Plan::default();
    let mut places: Vec<NodeId> = Vec::with_capacity(old.nodes.len());
    for node in &old.nodes {
        let inputs: Vec<NodeId> = node.inputs.iter().map(|&input| places[input]).collect();
        let same = |known: &Node| known.operator == node.operator && known.inputs == inputs;
        let known = match node.operator {
            Operator::Sink(_) | Operator::Limit { .. } => None,
            _ => plan.nodes.iter().position(same),
        };
        places.push(match known {
            Some(known) => known,
            None => plan.add(node.operator.clone(), inputs, node.schema.clone(), node.span),
        });
    }
    plan
}

/// Which columns of each node anybody reads.
fn required(plan: &Plan) -> Vec<Vec<bool>> {
    let mut required: Vec<Vec<bool>> = plan.nodes.iter().map(|node| vec![false; node.schema.fields.len()]).collect();
    for id in (0..plan.nodes.len()).rev() {
        let node = &plan.nodes[id];
        let Some(&input) = node.inputs.first() else { continue };
        let own = required[id].clone();
        if let Operator::Join(join) = &node.operator {
            for (side, wants) in required_of_join(join, &own, required[input].len()).into_iter().enumerate() {
                wants.into_iter().for_each(|column| required[node.inputs[side]][column] = true);
            }
            continue;
        }
        let mut wants: Vec<usize> = Vec::new();
        let mut operator = node.operator.clone();
        match &mut operator {
            Operator::Project(columns) => {
                // A projection that nobody reads in part is read in full only where it is wanted.
                let wanted = columns.iter().zip(&own).filter(|(_, own)| **own);
                wanted.for_each(|(column, _)| column.visit_columns(&mut |index| wants.push(index)));
            }
            Operator::Sink(_) => wants.extend(0..own.len()),
            Operator::Over(_) | Operator::Rank(_) | Operator::Unnest(_) => {
                let width = required[input].len();
                wants.extend((0..width).filter(|&column| own[column]));
            }
            Operator::Filter(_)
            | Operator::Union(_)
            | Operator::Repeat { .. }
            | Operator::Limit { .. }
            | Operator::Sort { .. }
            | Operator::Exchange(_) => {
                wants.extend((0..own.len()).filter(|&column| own[column]));
            }
            Operator::Aggregate(_) | Operator::Scan(_) | Operator::Join(_) | Operator::Changes(_) => {}
        }
        if !matches!(operator, Operator::Project(_)) {
            for expression in expressions(&mut operator) {
                expression.visit_columns(&mut |index| wants.push(index));
            }
        }
        wants.extend(numbered(&mut operator).into_iter().map(|column| *column));
        for &input in &node.inputs {
            wants.iter().for_each(|&column| required[input][column] = true);
        }
        // Its own as well: all inputs of a union keep the same columns.
        if let Operator::Union(_) = operator {
            wants.into_iter().for_each(|column| required[id][column] = true);
        }
    }
    required
}

/// What a join reads of both inputs, of which the left one has `left` columns.
fn required_of_join(join: &Join, own: &[bool], left: usize) -> [Vec<usize>; 2] {
    let mut wants = [Vec::new(), Vec::new()];
    for (number, &column) in join.columns.iter().enumerate() {
        if own[number] {
            wants[usize::from(column >= left)].push(if column >= left { column - left } else { column });
        }
    }
    let within = join.within.as_ref().map(|within| (&within.left, &within.right));
    for (of_left, of_right) in join.keys.iter().map(|(left, right)| (left, right)).chain(within) {
        of_left.visit_columns(&mut |column| wants[0].push(column));
        of_right.visit_columns(&mut |column| wants[1].push(column));
    }
    for (wants, keep) in wants.iter_mut().zip(&join.keep) {
        keep.iter().for_each(|keep| keep.time.visit_columns(&mut |column| wants.push(column)));
    }
    if let Some(pick) = &join.pick {
        pick.value.visit_columns(&mut |column| wants[1].push(column));
    }
    if let Some(condition) = &join.condition {
        condition.visit_columns(&mut |column| {
            wants[usize::from(column >= left)].push(if column >= left { column - left } else { column });
        });
    }
    wants
}

fn prune(old: &Plan) -> Plan {
    let required = required(old);
    let mut plan = Plan::default();
    // Per old node: the new node, and where each old column went.
    let mut places: Vec<(NodeId, Vec<Option<usize>>)> = Vec::with_capacity(old.nodes.len());
    for (id, node) in old.nodes.iter().enumerate() {
        let place = prune_node(&mut plan, &places, node, &required[id]);
        places.push(place);
    }
    plan
}

fn prune_node(
    plan: &mut Plan,
    places: &[(NodeId, Vec<Option<usize>>)],
    node: &Node,
    required: &[bool],
) -> (NodeId, Vec<Option<usize>>) {
    let mut operator = node.operator.clone();
    if let Operator::Scan(scan) = &mut operator {
        let (fields, place) = prune_scan(scan, &node.schema.fields, required);
        return (plan.add(operator, Vec::new(), Schema { fields }, node.span), place);
    }
    if let Operator::Join(join) = operator {
        return prune_join(plan, places, node, join, required);
    }
    if let Operator::Union(union) = &mut operator {
        let kept: Vec<usize> = (0..required.len()).filter(|&column| required[column]).collect();
        let fields: Vec<Field> = kept.iter().map(|&column| node.schema.fields[column].clone()).collect();
        let inputs = node.inputs.iter().map(|&input| {
            let (input, columns) = &places[input];
            let moved = kept.iter().map(|&column| columns[column].expect("a column that is read is kept"));
            let moved: Vec<usize> = moved.collect();
            if moved.iter().copied().eq(0..plan.nodes[*input].schema.fields.len()) {
                return *input;
            }
            let list =
                moved.iter().zip(&fields).map(|(&column, field)| Expr::column(column, field.data_type)).collect();
            plan.add(Operator::Project(list), vec![*input], Schema { fields: fields.clone() }, node.span)
        });
        let inputs = inputs.collect();
        let place: Vec<Option<usize>> =
            (0..required.len()).map(|column| kept.iter().position(|&kept| kept == column)).collect();
        union.time = union.time.and_then(|time| place[time]);
        return (plan.add(operator, inputs, Schema { fields }, node.span), place);
    }
    let (input, columns) = &places[node.inputs[0]];
    let mut input = *input;
    let moved = |column: usize| columns[column].expect("a column that is read is kept");
    if let Operator::Project(list) = &mut operator {
        let mut keep = required.iter();
        list.retain(|_| *keep.next().expect("one per column"));
    }
    expressions(&mut operator).into_iter().for_each(|expression| expression.map_columns(&moved));
    numbered(&mut operator).into_iter().for_each(|column| *column = moved(*column));
    let below = plan.nodes[input].schema.fields.clone();
    let identity = |count: usize| (0..count).map(Some).collect::<Vec<_>>();
    match &operator {
        Operator::Project(list) => {
            let mut next = 0;
            let place: Vec<Option<usize>> = required
                .iter()
                .map(|&kept| {
                    next += usize::from(kept);
                    kept.then(|| next - 1)
                })
                .collect();
            let same = |(index, column): (usize, &Expr)| column.kind == ExprKind::Column(index);
            if list.len() == below.len() && list.iter().enumerate().all(same) {
                return (input, place);
            }
            let kept = node.schema.fields.iter().zip(required).filter(|(_, kept)| **kept);
            let fields = kept.map(|(field, _)| field.clone()).collect();
            (plan.add(operator, vec![input], Schema { fields }, node.span), place)
        }
        Operator::Sink(_) => {
            let straight =
                columns.len() == below.len() && columns.iter().enumerate().all(|(n, column)| *column == Some(n));
            if !straight {
                let fields = &node.schema.fields;
                let list =
                    fields.iter().enumerate().map(|(n, field)| Expr::column(moved(n), field.data_type)).collect();
                input = plan.add(Operator::Project(list), vec![input], node.schema.clone(), node.span);
            }
            (plan.add(operator, vec![input], node.schema.clone(), node.span), identity(node.schema.fields.len()))
        }
        Operator::Aggregate(_) => {
            (plan.add(operator, vec![input], node.schema.clone(), node.span), identity(node.schema.fields.len()))
        }
        Operator::Over(_) | Operator::Rank(_) | Operator::Unnest(_) => {
            let width = below.len();
            let added = columns_added(&operator).unwrap_or(0);
            let place = columns.iter().copied().chain((0..added).map(|n| Some(width + n))).collect();
            let added = &node.schema.fields[node.schema.fields.len() - added..];
            let fields = below.into_iter().chain(added.iter().cloned()).collect();
            (plan.add(operator, vec![input], Schema { fields }, node.span), place)
        }
        _ => {
            let columns = columns.clone();
            (plan.add(operator, vec![input], Schema { fields: below }, node.span), columns)
        }
    }
}

/// Only what is read leaves a join.
fn prune_join(
    plan: &mut Plan,
    places: &[(NodeId, Vec<Option<usize>>)],
    node: &Node,
    mut join: Join,
    required: &[bool],
) -> (NodeId, Vec<Option<usize>>) {
    let [left, right] = [0, 1].map(|side| &places[node.inputs[side]]);
    let width = plan.nodes[left.0].schema.fields.len();
    let kept = "a column that is read is kept";
    let of_left = |column: usize| left.1[column].expect(kept);
    let of_right = |column: usize| right.1[column].expect(kept);
    let of_both = |column: usize| match column.checked_sub(left.1.len()) {
        None => of_left(column),
        Some(column) => width + of_right(column),
    };
    for (left, right) in &mut join.keys {
        left.map_columns(&of_left);
        right.map_columns(&of_right);
    }
    if let Some(within) = &mut join.within {
        within.left.map_columns(&of_left);
        within.right.map_columns(&of_right);
    }
    join.pick.iter_mut().for_each(|pick| pick.value.map_columns(&of_right));
    join.keep[0].iter_mut().for_each(|keep| keep.time.map_columns(&of_left));
    join.keep[1].iter_mut().for_each(|keep| keep.time.map_columns(&of_right));
    join.condition.iter_mut().for_each(|condition| condition.map_columns(&of_both));
    let (mut columns, mut fields, mut place) = (Vec::new(), Vec::new(), vec![None; required.len()]);
    for (number, &column) in join.columns.iter().enumerate().filter(|(number, _)| required[*number]) {
        place[number] = Some(columns.len());
        columns.push(of_both(column));
        fields.push(node.schema.fields[number].clone());
    }
    if join.adds_time() {
        place[join.columns.len()] = Some(columns.len());
        fields.push(node.schema.fields[join.columns.len()].clone());
    }
    join.columns = columns;
    (plan.add(Operator::Join(join), vec![left.0, right.0], Schema { fields }, node.span), place)
}

/// Eager columns first, then the others that are read; the event time stays last.
fn prune_scan(scan: &mut Scan, fields: &[Field], required: &[bool]) -> (Vec<Field>, Vec<Option<usize>>) {
    let mut eager = vec![false; scan.columns.len()];
    let decides = scan.filter.iter().chain(scan.event_time.as_ref().map(|time| &time.expression));
    decides.for_each(|expression| expression.visit_columns(&mut |column| eager[column] = true));
    // Rows are stamped before it is known which of them are kept.
    let stamped = (0..scan.columns.len()).filter(|&column| scan.columns[column].is_clock() && required[column]);
    stamped.for_each(|column| eager[column] = true);
    let first = (0..scan.columns.len()).filter(|&column| eager[column]);
    let rest = (0..scan.columns.len()).filter(|&column| !eager[column] && required[column]);
    let kept: Vec<usize> = first.chain(rest).collect();
    let mut place = vec![None; fields.len()];
    for (new, &old) in kept.iter().enumerate() {
        place[old] = Some(new);
    }
    let mut new_fields: Vec<Field> = kept.iter().map(|&column| fields[column].clone()).collect();
    if scan.event_time.is_some() {
        place[scan.columns.len()] = Some(kept.len());
        new_fields.push(fields[scan.columns.len()].clone());
    }
    let moved = |column: usize| place[column].expect("eager columns are kept");
    scan.filter.iter_mut().for_each(|filter| filter.map_columns(&moved));
    scan.event_time.iter_mut().for_each(|time| time.expression.map_columns(&moved));
    scan.eager = eager.iter().filter(|eager| **eager).count();
    scan.columns = kept.iter().map(|&column| scan.columns[column].clone()).collect();
    (new_fields, place)
}

/// Sets, per scan, the order of reading and what rows carry.
pub(super) fn set_needs(plan: &mut Plan, ordinals: bool) {
    for id in 0..plan.nodes.len() {
        let positions = reads_positions(plan, id);
        if let Operator::Scan(scan) = &mut plan.nodes[id].operator {
            scan.read_order = if scan.event_time.is_some() { ReadOrder::EventTime } else { ReadOrder::Position };
            let judge = scan.late.or(scan.clock.and_then(|clock| clock.waits));
            scan.needs.positions = positions || matches!(judge, Some(Late::Row));
            scan.needs.ordinals = ordinals;
        }
    }
}

/// Whether something behind `node` looks at where rows stood in the input.
pub(super) fn reads_positions(plan: &Plan, node: NodeId) -> bool {
    let reads = |user: &NodeId| match &plan.nodes[*user].operator {
        Operator::Aggregate(aggregate) => {
            // Sessions take rows in order, in which ties break by position.
            aggregate.window.is_some_and(|(window, _)| window.is_session())
                || aggregate.calls.iter().any(|call| call.function.is_by_position())
        }
        Operator::Changes(changes) => match &changes.change {
            Change::Aggregate(aggregate) => aggregate.calls.iter().any(|call| call.function.is_by_position()),
            Change::Again(_) => !changes.takes[0],
            Change::Join(_) | Change::Unite | Change::Net(_) => false,
        },
        // Ties break by position.
        Operator::Over(_) | Operator::Rank(_) | Operator::Sort { .. } | Operator::Join(_) => true,
        Operator::Union(union) => union.time.is_some() || reads_positions(plan, *user),
        Operator::Sink(sink) => {
            matches!(sink.order, SinkOrder::Position | SinkOrder::Columns { then_position: true, .. })
        }
        _ => reads_positions(plan, *user),
    };
    plan.users(node).iter().any(reads)
}

/// Whether rows of `node` carry where they stood in the input: not at all, or each its own place
/// (`Some(true)`), or perhaps several the same.
pub(crate) fn carries_positions(plan: &Plan, node: NodeId) -> Option<bool> {
    let this = &plan.nodes[node];
    match &this.operator {
        Operator::Scan(scan) => scan.needs.positions.then_some(true),
        Operator::Exchange(exchange) if !exchange.needs.positions => None,
        Operator::Aggregate(_) | Operator::Changes(_) => None,
        Operator::Join(_) => Some(false),
        Operator::Unnest(_) => carries_positions(plan, this.inputs[0]).map(|_| false),
        Operator::Union(_) => {
            // The same row may have come by two ways, and then stands there twice.
            let mut scans = Vec::new();
            super::turns::scans_under(plan, node, &mut scans);
            let turns: Vec<u8> = scans.iter().filter_map(|&scan| turn(plan, scan)).collect();
            let apart = turns.iter().enumerate().all(|(n, turn)| !turns[..n].contains(turn));
            let mut all = this.inputs.iter().map(|&input| carries_positions(plan, input));
            all.try_fold(apart, |all, one| Some(all && one?))
        }
        _ => carries_positions(plan, this.inputs[0]),
    }
}

fn turn(plan: &Plan, scan: NodeId) -> Option<u8> {
    match &plan.nodes[scan].operator {
        Operator::Scan(scan) => Some(scan.turn),
        _ => None,
    }
}

/// What the rows of `node` carry besides their columns: what the scan gives, until an aggregate makes new
/// rows.
pub(crate) fn carried(plan: &Plan, mut node: NodeId) -> Needs {
    loop {
        match &plan.nodes[node].operator {
            Operator::Scan(scan) => return scan.needs,
            Operator::Exchange(exchange) => return exchange.needs,
            Operator::Aggregate(aggregate) if aggregate.emit == Emit::Final => return Needs::default(),
            Operator::Join(_) => return Needs { positions: true, ordinals: false },
            Operator::Changes(_) => return Needs::default(),
            Operator::Union(_) => {
                let all = plan.nodes[node].inputs.iter().map(|&input| carried(plan, input));
                let every = Needs { positions: true, ordinals: true };
                return all.fold(every, |all, one| Needs {
                    positions: all.positions && one.positions,
                    ordinals: all.ordinals && one.ordinals,
                });
            }
            _ => node = plan.nodes[node].inputs[0],
        }
    }
}

/// Whether rows of `node` may come in another order each time: those of a union that nothing orders.
pub(crate) fn is_mixed(plan: &Plan, node: NodeId) -> bool {
    let this = &plan.nodes[node];
    match &this.operator {
        Operator::Union(union) => union.time.is_none() && !union.in_turn,
        Operator::Filter(_)
        | Operator::Project(_)
        | Operator::Repeat { .. }
        | Operator::Unnest(_)
        | Operator::Limit { .. } => is_mixed(plan, this.inputs[0]),
        _ => false,
    }
}

/// Whether rows of `node` come in order of their positions.
pub(crate) fn is_in_order(plan: &Plan, node: NodeId) -> bool {
    let this = &plan.nodes[node];
    match &this.operator {
        Operator::Scan(scan) => scan.read_order == ReadOrder::Position,
        Operator::Filter(_) | Operator::Project(_) => is_in_order(plan, this.inputs[0]),
        Operator::Union(union) => union.in_turn && this.inputs.iter().all(|&input| is_in_order(plan, input)),
        _ => false,
    }
}
