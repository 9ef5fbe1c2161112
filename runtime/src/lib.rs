//! Cores, executors, rings, exchange, shard loop, ledger, latency, jobs, command line.
