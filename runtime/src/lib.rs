//! Cores, executors, rings, exchange, shard loop, ledger, latency, jobs, command line.

pub mod cores;
pub mod doorbell;
#[cfg(not(loom))]
pub mod executor;
pub mod idle;
#[cfg(not(loom))]
pub mod preflight;
pub mod ring;
pub mod sync;
pub mod sys;
