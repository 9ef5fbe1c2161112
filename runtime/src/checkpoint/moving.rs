//! What a run on one number of shards has left to a run on another.
//!
//! Splits are dealt anew, and each goes on where it stood. What operators hold goes to the shards that own
//! its keys now ([`corelane_engine::state`]). Nothing is on its way at a barrier, so lanes begin empty and
//! tell their times again; what has ended everywhere stays so. Rows that the writer held back for their order
//! are merged with those to come. A shard's own file is written on by the shard of its number if there is one;
//! other files of before are closed and stay as they are, and new shards make new ones.
//!
//! One shard alone has a plan without exchanges. Its state is taken over by the operators that stand in for
//! its own in a plan for several; a run that was on several shards keeps that plan also on one.
//!
//! Under `--ordered` the order of rows follows from how many shards there are, so that cannot change.

use corelane_engine::plan::{NodeId, Operator, Plan};
use corelane_engine::state::{Reader, Section};
use corelane_engine::{Code, Error, Result};

use super::record::Standing;
use super::{damaged, record};

/// What all shards of a run have left.
pub struct Moving {
    /// What the operators of each shard held, by node of the new plan.
    pub sections: Vec<Vec<Section>>,
    /// Where each shard stood.
    pub standings: Vec<Standing>,
    /// By node of the new plan, whether its rows have ended on all shards.
    pub has_ended: Vec<bool>,
}

impl Moving {
    /// What `states` of all shards are for shards that run `plan`; `places` says for each node of the plan of
    /// before which one of `plan` stands in for it, where that is not the same.
    pub fn new(states: &[Vec<Section>], plan: &Plan, places: Option<&[NodeId]>) -> Result<Moving> {
        let (mut all, mut standings) = (Vec::new(), Vec::new());
        for sections in states {
            let (standing, from) = Standing::of(sections)?;
            holds_no_rows(from)?;
            standings.push(standing);
            let mut moved = Vec::with_capacity(sections.len());
            for section in sections.iter().filter(|section| section.node != record::OWN) {
                let node = places.map_or(Some(section.node), |places| places.get(section.node).copied());
                let node = node.ok_or_else(|| damaged("it belongs to an operator that the query does not have"))?;
                moved.push(Section { node, ..section.clone() });
            }
            all.push(moved);
        }
        let mut moving = Moving { sections: all, standings, has_ended: Vec::with_capacity(plan.nodes.len()) };
        let (mut scans, mut sinks) = (0, 0);
        for node in &plan.nodes {
            let has_ended = match &node.operator {
                Operator::Scan(_) => {
                    scans += 1;
                    moving.has_source_ended(scans - 1)
                }
                _ => node.inputs.iter().all(|&input| moving.has_ended[input]),
            };
            sinks += usize::from(matches!(node.operator, Operator::Sink(_)));
            moving.has_ended.push(has_ended);
        }
        let fits = |old: &Standing| old.sources.len() == scans && old.sinks.len() == sinks;
        if moving.standings.iter().all(fits) { Ok(moving) } else { Err(damaged("it belongs to another query")) }
    }

    /// Whether the rows of the `number`-th source have ended on all shards.
    pub fn has_source_ended(&self, number: usize) -> bool {
        self.standings.iter().all(|old| old.sources.get(number).is_some_and(|source| source.1))
    }
}

/// Refuses rows that an inbox holds back for their order.
fn holds_no_rows(mut from: Reader<'_>) -> Result<()> {
    for _ in 0..from.count(1)? {
        let _ended = (from.flag()?, from.word()?, from.flag()?);
        for _ in 0..from.count(25)? {
            let _sender = (from.word()?, from.word()?, from.flag()?);
            if from.count(0)? > 0 {
                return Err(refused());
            }
        }
    }
    from.end()
}

/// The error for a run whose order follows from its number of shards.
pub fn refused() -> Error {
    let message = "--resume: under --ordered the order of rows follows from the number of shards, which cannot change";
    Error::new(Code::Unsupported, message).help("take as many --shards as before, or begin again with --from-scratch")
}
