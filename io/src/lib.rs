//! Bytes in and out: files, splits, formats, generators, sinks.
//!
//! Knows the engine's schema and batch, nothing of threads, rings or command lines.
//!
//! The way in: [`fs::expand`] names the files of a table, [`infer::infer`] finds out their schema if
//! none is declared, [`source::Source::open`] looks at their heads and cuts them into
//! [splits](split::Split); a [`reader::SplitReader`] is fed the bytes of one split and gives chunks
//! of typed rows, with [bad and late ones](bad) beside them.
//!
//! | module | what lives there |
//! |---|---|
//! | [`fs`] | files, real or in memory; patterns of names |
//! | [`options`] | what `WITH (...)` says about reading |
//! | [`split`] | cutting files into pieces, dealing them to shards |
//! | [`source`] | a table's files: delimiter, header, columns, splits |
//! | [`reader`], [`bad`] | rows of one split, fed with bytes; rows that do not go on |
//! | [`csv`] | the index of fields and its kernels; text to columns |
//! | [`reject`] | bad and late rows to a file |
//! | [`infer`] | schemas from the first rows |
//! | [`mod@format`] | rows to text |
//! | [`partition`] | names of partition folders |
//! | [`merge`], [`order`] | text of several shards into one order |
//! | [`durable`], [`append`], [`whole`] | files that survive a power cut, real or simulated; output at their end, or under a name when it is whole |
//! | [`checkpoint`] | state on the disk: blocks, manifests, epochs |
//! | [`mod@fault`] | places at which a test makes the process die |
//! | [`generate`] | data to measure and test with |
//!
//! Invariants: splits, and so lateness, depend on the input alone, never on the number of shards or
//! the size of a block. A reader does no I/O of its own accord. Every row read is delivered, late,
//! filtered or bad, and counted as exactly one of these.

pub mod append;
pub mod bad;
pub mod checkpoint;
pub mod csv;
pub mod durable;
pub mod fault;
pub mod format;
pub mod fs;
pub mod generate;
pub mod infer;
mod lines;
pub mod merge;
pub mod options;
pub mod order;
pub mod partition;
mod pass;
pub mod reader;
pub mod reject;
pub mod source;
pub mod split;
pub mod whole;
