//! How long a group table keeps its shard waiting while it grows to millions of groups.
//!
//! Every row is a new group, which is the fastest a table can grow. What counts is the longest that one
//! batch takes: nothing else happens on its shard meanwhile.

use std::time::{Duration, Instant};

use bumpalo::Bump;
use corelane::{cli, job, sys};
use corelane_engine::batch::{BATCH_ROWS, Batch};
use corelane_engine::operator::Context;
use corelane_engine::pipeline::Pipeline;
use corelane_engine::stage::Ledger;
use corelane_engine::{Code, Error, Result, hash};
use corelane_io::fs::MemoryDisk;

use crate::count::Count;
use crate::direct::Direct;

/// A group's row of state is one cache line.
const SQL: &str = "CREATE TABLE t (k BIGINT, v BIGINT);
    SELECT k, COUNT(*) AS n, SUM(v) AS total, MIN(v) AS least, MAX(v) AS greatest FROM t GROUP BY k;";

/// Odd, so that its multiples are all different.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// What one batch has taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pause {
    /// On the CPU, page faults included.
    pub cpu: Duration,
    /// By the clock, with what the machine gave to others.
    pub wall: Duration,
    /// How many groups there were before.
    pub groups: u64,
}

/// What growing has taken.
#[derive(Clone, Debug)]
pub struct Growth {
    /// All batches, the longest last.
    pub pauses: Vec<Pause>,
    /// Bytes that the operators hold at the end.
    pub bytes: usize,
}

/// Grows a table to `groups` groups.
pub fn grow(groups: u64) -> Result<Growth> {
    let words = ["corelane", "--file", "-", "--cores", "0", "--input", "t=t.csv", "--format", "csv", "-o", "unused/"];
    let options =
        cli::parse_run(words.map(str::to_owned)).map_err(|cause| Error::new(Code::BadOption, cause.to_string()))?;
    let disk = MemoryDisk::new().with("t.csv", b"k,v\n1,1\n");
    let direct = Direct::new(&job::compile(SQL, &disk, &options)?, &disk, &options)?;
    let mut pipeline = Pipeline::new(direct.plan(), 0, 1, hash::DEFAULT_SEED)?;
    let (entry, ledger, mut out) = (direct.scan(), Ledger::idle(), Count::default());
    let mut batch = Batch::new(&direct.plan().nodes[entry].layout());
    let mut scratch = Bump::new();
    let mut pauses = Vec::with_capacity(groups.div_ceil(BATCH_ROWS as u64) as usize);
    for first in (0..groups).step_by(BATCH_ROWS) {
        let rows = groups.min(first + BATCH_ROWS as u64) - first;
        for (key, group) in batch.i64s_mut(0).iter_mut().zip(first..first + rows) {
            *key = group.wrapping_mul(STEP) as i64;
        }
        batch.set_rows(rows as usize);
        scratch.reset();
        let (began, cpu_ns) = (Instant::now(), sys::thread_cpu_ns());
        pipeline.push(entry, &batch.chunk(&scratch), &Context { scratch: &scratch, ledger: &ledger }, &mut out)?;
        let cpu = Duration::from_nanos(sys::thread_cpu_ns() - cpu_ns);
        pauses.push(Pause { cpu, wall: began.elapsed(), groups: first });
    }
    pauses.sort_unstable();
    let bytes = pipeline.state_bytes().map(|(_, bytes)| bytes).sum();
    Ok(Growth { pauses, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_batch_is_timed_and_every_group_kept() {
        let growth = grow(100_000).unwrap();
        assert_eq!(growth.pauses.len(), 100_000_usize.div_ceil(BATCH_ROWS));
        assert!(growth.bytes > 100_000 * 64);
    }
}
