//! Cores, executors, rings, exchange, shard loop, ledger, latency, jobs, command line.

#[cfg(not(loom))]
pub mod cli;
pub mod cores;
pub mod doorbell;
#[cfg(not(loom))]
pub mod executor;
pub mod idle;
#[cfg(not(loom))]
pub mod job;
#[cfg(not(loom))]
pub mod lane;
#[cfg(not(loom))]
pub mod latency;
#[cfg(not(loom))]
pub mod ledger;
#[cfg(not(loom))]
pub mod options;
#[cfg(not(loom))]
pub mod pace;
#[cfg(not(loom))]
pub mod preflight;
#[cfg(not(loom))]
pub mod progress;
#[cfg(not(loom))]
pub mod report;
pub mod ring;
#[cfg(not(loom))]
pub mod shard;
#[cfg(not(loom))]
pub mod simulate;
#[cfg(not(loom))]
pub mod sink;
#[cfg(not(loom))]
pub mod source;
#[cfg(not(loom))]
pub mod stats;
pub mod sync;
pub mod sys;
#[cfg(not(loom))]
pub mod writer;
