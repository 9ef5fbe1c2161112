//! Which shard is to own which keys, from the first rows of the input.
//!
//! Where rows themselves cross, a key's rows are all worked on by its owner, and a few keys seldom fall into
//! even halves. So rows from the heads of some splits go through the operators up to the first exchanges
//! before anything runs, and [`Owners::balanced`] is told where they would go. It is a function of the files,
//! the query and the number of shards: the same run has the same owners, also when it goes on from a
//! checkpoint. What goes wrong here goes wrong again, and is told, when the rows are read in earnest.

use std::sync::Arc;

use corelane_engine::batch::Chunk;
use corelane_engine::hash::{KEY_GROUPS, key_group};
use corelane_engine::operator::{Context, Outlets, Time};
use corelane_engine::owners::{Owners, RowsByGroup};
use corelane_engine::pipeline::Pipeline;
use corelane_engine::plan::{ExchangeKind, NodeId, Operator, Plan};
use corelane_engine::scan::Scanner;
use corelane_engine::{Error, Result};
use corelane_io::source::Source as Input;

/// Splits of a table whose heads are looked at, at most.
const SPLITS_MAX: usize = 8;

/// The owners for `shards` shards that run `plan` over `inputs`.
pub fn choose(plan: &Plan, inputs: &[(NodeId, Arc<Input>)], shards: usize, hash_seed: u64) -> Owners {
    let crosses = plan.nodes.iter().any(|node| {
        let is_keyed = |kind, keys: &[_]| kind == ExchangeKind::Rows && !keys.is_empty();
        matches!(&node.operator, Operator::Exchange(exchange) if is_keyed(exchange.kind, &exchange.keys))
    });
    if shards < 2 || !crosses {
        return Owners::default();
    }
    let mut seen = Seen { rows: Box::new([0; KEY_GROUPS]) };
    for (node, input) in inputs {
        // Half a sample is none: what the other half holds is not known.
        if see(plan, *node, input, shards, hash_seed, &mut seen).is_err() {
            return Owners::default();
        }
    }
    Owners::balanced(&seen.rows, shards)
}

fn see(plan: &Plan, node: NodeId, input: &Input, shards: usize, hash_seed: u64, seen: &mut Seen) -> Result<()> {
    let Operator::Scan(scan) = &plan.nodes[node].operator else { return Ok(()) };
    let scanner = Scanner::new(scan.clone());
    let mut pipeline = Pipeline::new(plan, 0, shards, hash_seed)?;
    let files = |split: &usize| input.files[input.splits[*split].file].file.len().is_some();
    let splits: Vec<usize> = (0..input.splits.len()).filter(files).collect();
    let step = splits.len().div_ceil(SPLITS_MAX).max(1);
    for &split in splits.iter().step_by(step) {
        input.sample(split, &scanner, |chunk, context| {
            if !pipeline.pending(node) {
                pipeline.push(node, chunk, context, seen)?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Counts the rows that would cross, by key group.
struct Seen {
    rows: Box<RowsByGroup>,
}

impl Outlets for Seen {
    fn exchange(&mut self, _: usize, _: &Chunk<'_>, hashes: &[u64], _: &Context<'_>) -> Result<(), Error> {
        hashes.iter().for_each(|&hash| self.rows[key_group(hash)] += 1);
        Ok(())
    }

    fn exchange_watermark(&mut self, _: usize, _: Time, _: &Context<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn exchange_finish(&mut self, _: usize, _: &Context<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn sink(&mut self, _: usize, _: &Chunk<'_>, _: &Context<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn sink_watermark(&mut self, _: usize, _: Time, _: &Context<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn sink_finish(&mut self, _: usize, _: &Context<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn satisfied(&mut self, _: usize) {}
}
