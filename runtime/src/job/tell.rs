//! What is known at the end of a job, as statistics.

use std::collections::BTreeMap;

use corelane_engine::plan;

use super::cost::costs;
use super::task::ShardOutcome;
use super::{Finished, Prepared};
use crate::executor::Kind;
use crate::source::Holder;
use crate::stats::{self, HeldBy, Job, Latency, Machine, Operator, Ring, Shard, Source, Stats, Totals};
use crate::sys;

/// The statistics of a finished job. `prepared` is what was run, `sql` its script.
pub fn stats(prepared: &Described, finished: &Finished, sql: &str) -> Stats {
    let seconds = finished.elapsed.as_secs_f64();
    let shards: Vec<Shard> =
        finished.shards.iter().zip(&prepared.cpus).map(|(outcome, cpu)| shard(prepared, outcome, *cpu)).collect();
    let jobs = prepared.jobs(finished);
    Stats {
        format: stats::FORMAT,
        version: env!("CARGO_PKG_VERSION"),
        sql: sql.to_owned(),
        executor: prepared.executor.to_owned(),
        cores: prepared.cpus.iter().flatten().map(|&cpu| cpu as u32).collect(),
        machine: Machine::this(),
        seconds,
        sources: prepared.sources.iter().map(|source| self::source(source, prepared, finished)).collect(),
        costs: costs(finished, &jobs),
        jobs,
        operators: prepared.operators(finished),
        totals: Totals::of(&shards, seconds),
        voluntary_switches: finished.shards.iter().map(|shard| shard.times.voluntary_switches).sum(),
        involuntary_switches: finished.shards.iter().map(|shard| shard.times.involuntary_switches).sum(),
        shards,
        latency: Latency::from(&finished.clocks),
        steal_seconds: finished.steal_seconds,
        max_rss_bytes: sys::peak_rss_bytes(),
        rate: prepared.rate,
    }
}

/// What of a prepared job is told about after it has run.
pub struct Described {
    cpus: Vec<Option<usize>>,
    executor: &'static str,
    rate: Option<f64>,
    /// Name, files and splits.
    sources: Vec<(String, u64, u64)>,
    /// Where bad and late rows are kept.
    rejects: (Option<String>, Option<String>),
    /// Name and output of every sink, by number.
    sinks: Vec<(String, String)>,
    /// Name of each node's operator, and the node whose rows are its: a sink's are those it takes.
    operators: Vec<(&'static str, usize)>,
}

impl Described {
    /// What `prepared` is.
    pub fn new(prepared: &Prepared) -> Self {
        let operators = prepared.plan().nodes.iter().enumerate().map(|(number, node)| {
            let from = node.inputs.first().copied().filter(|_| matches!(node.operator, plan::Operator::Sink(_)));
            (node.operator.name(), from.unwrap_or(number))
        });
        let sources = prepared
            .inputs()
            .map(|(name, input)| (name.to_owned(), input.files.len() as u64, input.splits.len() as u64));
        Described {
            cpus: prepared.cpus.clone(),
            executor: match prepared.kind {
                Kind::Glommio => "glommio",
                Kind::Threads => "threads",
            },
            rate: prepared.rate,
            sources: sources.collect(),
            rejects: prepared.rejects().names(),
            sinks: prepared.outputs.names(prepared.plan()),
            operators: operators.collect(),
        }
    }

    fn operators(&self, finished: &Finished) -> Vec<Operator> {
        let given = |node: usize| finished.shards.iter().filter_map(|shard| shard.given.get(node)).sum();
        let operators = self.operators.iter().enumerate();
        operators.map(|(node, &(name, from))| Operator { node, name: name.to_owned(), rows_out: given(from) }).collect()
    }

    fn jobs(&self, finished: &Finished) -> Vec<Job> {
        let sums = |number: usize, pick: fn(&(u64, u64)) -> u64| {
            finished.shards.iter().filter_map(|shard| shard.sinks.get(number)).map(pick).sum()
        };
        let jobs = self.sinks.iter().enumerate().map(|(number, (name, output))| Job {
            name: name.clone(),
            output: output.clone(),
            rows_out: sums(number, |sink| sink.0),
            bytes_out: sums(number, |sink| sink.1),
        });
        jobs.collect()
    }
}

fn source((name, files, splits): &(String, u64, u64), described: &Described, finished: &Finished) -> Source {
    let parts = || finished.shards.iter().flat_map(|shard| &shard.sources).filter(|part| part.table == *name);
    let sum = |pick: fn(&super::task::SourceOutcome) -> u64| parts().map(pick).sum();
    Source {
        name: name.clone(),
        files: *files,
        splits: *splits,
        rows: sum(|part| part.counts.read),
        bytes: sum(|part| part.bytes),
        bad: sum(|part| part.counts.bad),
        filtered: sum(|part| part.counts.filtered),
        late: sum(|part| part.counts.late),
        delivered: sum(|part| part.counts.delivered),
        leaps: sum(|part| part.leaps),
        rejected: sum(|part| part.aside.0),
        late_kept: sum(|part| part.aside.1),
        reject_file: described.rejects.0.clone(),
        late_file: described.rejects.1.clone(),
        watermark: parts().filter_map(|part| part.watermark).max().map(|micros| micros.div_euclid(1000)),
        held_by: held_by(parts().filter_map(|part| part.holder.as_ref())),
        first_late: parts().find_map(|part| part.first_late.clone()),
        first_bad: parts().flat_map(|part| &part.first_bad).map(|error| error.report().message.clone()).collect(),
    }
}

fn held_by<'h>(holders: impl Iterator<Item = &'h Holder>) -> Option<HeldBy> {
    let millis = |micros: i64| micros.div_euclid(1000);
    let furthest = holders.min_by_key(|holder| holder.watermark)?;
    Some(HeldBy {
        split: furthest.split.clone(),
        watermark: millis(furthest.watermark),
        window_end: millis(furthest.window_end),
    })
}

fn shard(described: &Described, outcome: &ShardOutcome, cpu: Option<usize>) -> Shard {
    let sum = |pick: fn(&super::task::SourceOutcome) -> u64| outcome.sources.iter().map(pick).sum();
    let mut memory = BTreeMap::new();
    for (node, bytes) in outcome.state.iter().filter(|(_, bytes)| *bytes > 0) {
        memory.insert(format!("{} {node}", described.operators[*node].0), *bytes as u64);
    }
    memory.insert("batches".to_owned(), outcome.batches as u64);
    memory.insert("input blocks".to_owned(), outcome.blocks as u64);
    Shard {
        cpu: cpu.map(|cpu| cpu as u32),
        rows_in: sum(|part| part.counts.read),
        bytes_in: sum(|part| part.bytes),
        rows_out: outcome.sinks.iter().map(|sink| sink.0).sum(),
        bad: sum(|part| part.counts.bad),
        late: sum(|part| part.counts.late),
        filtered: sum(|part| part.counts.filtered),
        ledger: stats::ledger(&outcome.books),
        ring: Ring { messages: outcome.traffic.messages, rows: outcome.traffic.rows, bytes: outcome.traffic.bytes },
        memory,
        before: (sum(|part| part.before.0), sum(|part| part.before.1)),
        books: outcome.books.clone(),
    }
}
