//! Cores, executors, rings, exchange, shard loop, ledger, latency, jobs, command line.

pub mod cli;
pub mod latency;
pub mod ledger;
pub mod options;
pub mod stats;
