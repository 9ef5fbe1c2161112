//! Bytes in and out: files, splits, formats, generators, sinks.
//!
//! Knows the engine's schema and batch, nothing of threads, rings or command lines.
