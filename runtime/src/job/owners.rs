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

    fn exchange_turn(&mut self, _: usize, _: &Context<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn exchange_finish(&mut self, _: usize, _: &Context<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn sink(&mut self, _: usize, _: &Chunk<'_>, _: &Context<'_>) -> Result<(), Error> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use corelane_io::fs::RealDisk;

    use super::*;
    use crate::{cli, job};

    const OVER: &str = "SELECT symbol, SUM(v) OVER (PARTITION BY symbol ORDER BY ts ROWS BETWEEN 9 PRECEDING AND \
                        CURRENT ROW) FROM t";
    const GROUPS: &str = "SELECT symbol, SUM(v) FROM t GROUP BY symbol";

    /// The owners that a run of `query` on two shards has, over rows whose symbols are `symbols` in turn.
    fn chosen(query: &str, symbols: &[u32]) -> Owners {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for file in 0..2 {
            let mut text = String::from("at,symbol,v\n");
            for row in 0..1000 {
                writeln!(text, "{},SYM{},1", row * 2 + file, symbols[row % symbols.len()]).expect("it is a string");
            }
            std::fs::write(folder.path().join(format!("{file}.csv")), text).expect("the file can be written");
        }
        let table = "CREATE TABLE t (at BIGINT, symbol STRING, v BIGINT, ts AS TO_TIMESTAMP_LTZ(at, 3), \
                     WATERMARK FOR ts AS ts - INTERVAL '2' SECOND);";
        let input = format!("t={}/*.csv", folder.path().display());
        let words = ["corelane", "--file", "-", "--shards", "2", "--executor", "threads", "--input", &input];
        let options = cli::parse_run(words.map(str::to_owned)).expect("the flags are right");
        let disk = RealDisk::default();
        let program = job::compile(&format!("{table} {query};"), &disk, &options).expect("the query compiles");
        job::prepare(program, &disk, &options).expect("the files are there").plan.owners.clone()
    }

    #[test]
    fn ten_keys_whose_rows_cross_are_halved() {
        let ten: Vec<u32> = (0..10).collect();
        let owners = chosen(OVER, &ten);
        assert_ne!(owners, Owners::default());
        // Four of the ten have their key groups in the lower half.
        let groups = [903, 1170, 1227, 1371, 2218, 2592, 2741, 3133, 3303, 3762];
        assert_eq!(groups.iter().filter(|group| owners.groups(0, 2).contains(group)).count(), 5);
        assert_eq!(owners, chosen(OVER, &ten), "the same files have the same owners");
    }

    #[test]
    fn ranges_are_even_where_keys_are_many_or_rows_do_not_cross() {
        let many: Vec<u32> = (0..500).collect();
        assert_eq!(chosen(OVER, &many), Owners::default());
        assert_eq!(chosen(GROUPS, &[1, 2, 3]), Owners::default());
    }
}
