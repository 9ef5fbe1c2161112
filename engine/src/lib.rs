//! What a query means: SQL to plan to operators.
//!
//! Synchronous, one thread, no files, no clock, no async. As a library in one thread it *is* the
//! direct engine that the coordinated one is measured against.
//!
//! The way of a query: [`sql::compile`] turns text into a [`plan::Plan`]; [`plan::distribute()`] puts
//! exchanges into it; every shard makes a [`pipeline::Pipeline`] of it and pushes chunks in.
//!
//! | module | what lives there |
//! |---|---|
//! | [`types`], [`zone`], [`error`] | SQL types and schemas; time zones; errors with their place |
//! | [`batch`] | arena batches, text views, borrowed columns |
//! | [`nested`] | arrays, maps and rows as bytes |
//! | [`hash`], [`owners`] | the specified hash, key groups; which shard owns which |
//! | [`memory`] | huge pages for large tables |
//! | [`expr`] | expressions, their kernels, the table of functions |
//! | [`scan`] | event time, lateness and WHERE, decided before rows are built |
//! | [`operator`], [`pipeline`] | what an operator is; a plan at work on one shard |
//! | [`agg`], [`over`], [`join`] | group tables, aggregates, windows; OVER; joins |
//! | [`change`] | rows that come and go, and operators that answer in changes |
//! | [`state`] | what operators hold, as bytes that another process reads |
//! | [`plan`], [`sql`] | the plan; the dialect, binder, EXPLAIN |
//! | [`stage`] | stage names and the ledger |
//!
//! Invariants: this crate knows nobody (no runtime, no io). Rows flow one way, from a node to later
//! nodes. Nothing here asks for the time: watermarks come from data, ticks from the caller. Sums of
//! integers and decimals are exact, so no result depends on the order in which partial states meet.

pub mod agg;
pub mod batch;
pub mod change;
pub mod error;
pub mod expr;
pub mod hash;
pub mod join;
mod memory;
pub mod nested;
pub mod operator;
pub mod over;
pub mod owners;
pub mod pipeline;
pub mod plan;
pub mod scan;
pub mod sql;
pub mod stage;
pub mod state;
pub mod types;
pub mod zone;

pub use error::{Code, Error, Result, Span};
