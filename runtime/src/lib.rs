//! Cores, executors, rings, exchange, shard loop, ledger, latency, jobs, command line.
//!
//! A query on its way, from bytes to rows:
//!
//! 1. [`cli`] turns arguments into [`options::Options`]; [`cli::execute`] carries out the command.
//! 2. [`job::compile`] makes a plan of the script, [`job::prepare`] puts exchanges into it, opens and
//!    checks every file, and asks [`preflight`] which executor can run here.
//! 3. [`job::Prepared::run`] starts one pinned thread per shard on an [`executor`] (glommio or plain
//!    threads) and the one [`writer`]. Each turns [`shard::Shard::step`] until it is done.
//! 4. A [`source`] reads a block, and gives chunks of typed rows (`corelane_io`), paced by [`pace`].
//! 5. The shard's pipeline (`corelane_engine`) takes them up to an exchange or a sink.
//! 6. At an exchange, a [`lane`] deals rows to batches by the owner of their key; full ones cross a
//!    [`ring`], are read on the other shard, and come home empty. A [`doorbell`] wakes who sleeps.
//! 7. Watermarks and the end follow in the same rings, in order; windows close on their owner.
//! 8. A [`sink`] turns result rows into text, into a file of its own or for the writer, which merges.
//! 9. On the way the [`ledger`] books every tick, and [`latency`] clocks every row.
//! 10. [`job::Finished`] becomes [`stats`], and those the [`report`] and the files asked for.
//!
//! | module | what lives there |
//! |---|---|
//! | [`cores`], [`preflight`], [`sys`] | CPUs; what this machine allows; every system call |
//! | [`executor`], [`idle`], [`doorbell`] | threads, completions, when to spin and how to sleep |
//! | [`clock`] | processing time: the wall's, or one that moves with the rows |
//! | [`ring`], [`sync`], [`lane`] | what crosses cores |
//! | [`shard`], [`source`], [`sink`], [`partitions`], [`writer`], [`pace`] | the loop and its two ends |
//! | [`budget`] | the memory a run may hold |
//! | [`job`], [`simulate`] | a whole run: on this machine, or on one thread under a seed |
//! | [`checkpoint`] | what a run knows at one point, on the disk, and runs that go on |
//! | [`ledger`], [`latency`], [`stats`], [`report`], [`progress`] | what a run tells |
//! | [`testing`] | tests of queries: rows in, rows asserted |
//! | [`options`], [`cli`] | what a run is asked |
//!
//! Invariants: nothing blocks in a shard's step. No lock, shared map or shared counter is on the way
//! of the data; what two shards share is a ring, each end owned by one. A full ring stops only what
//! feeds it, so the plan, being a DAG, always drains. Same files and same number of shards, same bytes.

#[cfg(not(loom))]
pub mod budget;
#[cfg(not(loom))]
pub mod checkpoint;
#[cfg(not(loom))]
pub mod cli;
#[cfg(not(loom))]
pub mod clock;
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
pub mod partitions;
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
pub mod testing;
#[cfg(not(loom))]
pub mod writer;
