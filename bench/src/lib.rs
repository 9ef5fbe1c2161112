//! Corelane measured: what the engine does alone in one thread, and what of that is left when
//! shards, rings, doorbells and an executor stand around it.
//!
//! | module | what lives there |
//! |---|---|
//! | [`case`] | the queries, and the data each of them reads |
//! | [`dataset`] | that data on disk and in the page cache |
//! | [`direct`] | the reference: reader, operators and format in one plain thread |
//! | [`coordinated`] | the same query as a job |
//! | [`count`] | rows that leave operators without a job |
//! | [`checksum`] | whether two runs have given the same rows |
//! | [`overhead`] | pairs of both, alternating, and what they say |
//! | [`report`] | the figures of a case: a JSON object, and a line of a table |
//! | [`growth`] | what one batch takes at most while a group table grows |
//! | [`ring`], [`parks`] | hops between threads, polled and slept through |
//!
//! Invariants: a rate is told only of runs whose rows were counted and compared; both sides of a
//! ratio read the same files with the same reader in the same process; nothing is concluded from
//! one run alone.

pub mod case;
pub mod checksum;
pub mod coordinated;
pub mod count;
pub mod dataset;
pub mod direct;
pub mod growth;
pub mod overhead;
pub mod parks;
pub mod report;
pub mod ring;
