//! The binary `corelane-bench`.

fn main() {}
