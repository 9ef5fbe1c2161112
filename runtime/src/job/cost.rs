//! What rows have cost beside their time: switches, copies, rings, readers and writers, the ledger.

use std::collections::BTreeMap;

use corelane_engine::stage::{Copied, Ledger, Stage};

use super::Finished;
use super::task::ShardOutcome;
use crate::stats::{Costs, Job};
use crate::sys;

/// Marks that are timed to know what one takes.
const MARKS_TIMED: u32 = 20_000;

/// The costs of a finished job whose results are `jobs`.
pub fn costs(finished: &Finished, jobs: &[Job]) -> Costs {
    let shards = &finished.shards;
    let sum = |pick: fn(&ShardOutcome) -> u64| shards.iter().map(pick).sum::<u64>();
    let reads = || shards.iter().flat_map(|shard| &shard.sources);
    let rows = reads().map(|source| source.counts.read).sum::<u64>().max(1) as f64;
    let written = |kept: &dyn Fn(&&Job) -> bool| jobs.iter().filter(kept).map(|job| job.bytes_out).sum::<u64>();
    let own = |cause: Copied| shards.iter().map(|shard| shard.copied[cause as usize]).sum::<u64>();
    let copied = [
        ("read", reads().map(|source| source.bytes).sum()),
        ("carry", own(Copied::Carry)),
        ("exchange", sum(|shard| shard.traffic.bytes)),
        ("keys", own(Copied::Keys)),
        ("held", own(Copied::Held)),
        ("format", written(&|_| true)),
        ("merge", finished.written),
        ("write", written(&|job| job.output != "/dev/null")),
    ];
    let copied: BTreeMap<_, _> = copied.into_iter().map(|(cause, bytes)| (cause, bytes as f64 / rows)).collect();
    let wall = shards.iter().map(|shard| shard.books.wall).sum::<f64>().max(1.0);
    let share = |stages: &[Stage]| {
        let of = |shard: &ShardOutcome| stages.iter().map(|&stage| shard.books.stages[stage as usize]).sum::<f64>();
        shards.iter().map(of).sum::<f64>() / wall
    };
    let marks = sum(|shard| shard.marks);
    let mark_ns = mark_ns();
    let messages = sum(|shard| shard.traffic.messages);
    Costs {
        switches_per_1000_rows: sum(|shard| shard.times.voluntary_switches + shard.times.involuntary_switches) as f64
            / rows
            * 1e3,
        copied_bytes_per_row: copied,
        ring_messages_per_1000_rows: messages as f64 / rows * 1e3,
        // Each message is pushed and popped, and a batch that was read goes home the same way.
        ring_operations_per_1000_rows: 2.0 * (messages + sum(|shard| shard.traffic.batches)) as f64 / rows * 1e3,
        ring_bytes_per_row: sum(|shard| shard.traffic.bytes) as f64 / rows,
        reader_share: share(&[Stage::Read, Stage::Index, Stage::Convert]),
        writer_share: share(&[Stage::Format, Stage::Write]),
        writer_cpu_seconds: finished.writer_cpu_ns as f64 / 1e9,
        control_share: share(&[Stage::Control]),
        unexplained_share: shards.iter().map(|shard| shard.books.unexplained).sum::<f64>() / wall,
        ledger_marks: marks,
        ledger_mark_ns: mark_ns,
        ledger_share: marks as f64 * mark_ns / wall,
    }
}

/// What one mark of a ledger takes, in nanoseconds.
fn mark_ns() -> f64 {
    let ledger = Ledger::new(sys::ticks);
    let began = sys::ticks();
    for _ in 0..MARKS_TIMED {
        std::hint::black_box(&ledger).enter(Stage::Control);
    }
    (sys::ticks() - began) as f64 * sys::ns_per_tick() / f64::from(MARKS_TIMED)
}
