//! Which scans of a union are read before which.

use super::{NodeId, Operator, Plan, ReadOrder};

/// Per scan of a [`super::Union`] that is read in turn: the scans whose rows come before its own, all of
/// which end before it is read. So rows leave a shard in the order of their positions, and nothing is held.
pub fn turns(plan: &Plan) -> Vec<(NodeId, Vec<NodeId>)> {
    let mut turns = Vec::new();
    for (node, this) in plan.nodes.iter().enumerate() {
        if !matches!(this.operator, Operator::Union(union) if union.in_turn) {
            continue;
        }
        let mut scans = Vec::new();
        scans_under(plan, node, &mut scans);
        let by_position = |&scan: &NodeId| match &plan.nodes[scan].operator {
            Operator::Scan(scan) => scan.read_order == ReadOrder::Position,
            _ => false,
        };
        if scans.iter().all(by_position) {
            turns.extend((1..scans.len()).map(|number| (scans[number], scans[..number].to_vec())));
        }
    }
    turns
}

/// The scans whose rows reach `node` one by one, in order of its inputs.
pub(crate) fn scans_under(plan: &Plan, node: NodeId, scans: &mut Vec<NodeId>) {
    let this = &plan.nodes[node];
    match &this.operator {
        Operator::Scan(_) => scans.push(node),
        Operator::Filter(_) | Operator::Project(_) | Operator::Unnest(_) | Operator::Union(_) => {
            this.inputs.iter().for_each(|&input| scans_under(plan, input, scans));
        }
        _ => {}
    }
}
