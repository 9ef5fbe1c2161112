//! Memory is not allocated per row: a run over twice the rows allocates hardly more often. Counted by an allocator of this test's own, over whole jobs, so what starts and ends a job
//! is in both counts and falls out.

#![allow(unsafe_code, reason = "a counting allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use corelane::{cli, job};
use corelane_bench::case::{ALL, Case};
use corelane_bench::dataset::Dataset;
use corelane_io::fs::RealDisk;

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are the same.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises are the same.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Rows of the smaller run.
const ROWS: u64 = 200_000;
/// Allocations that as many rows again may bring. New windows make tables now and then; an allocation
/// for every row, or for every two hundred, would come to more.
const MORE: u64 = 1_000;

/// Allocations of a job of `case` over `rows` rows on `shards` shards.
fn allocations(root: &Path, case: &Case, rows: u64, shards: &str) -> u64 {
    let data = Dataset::prepare(root, case.generator, rows, 2).expect("data can be written");
    let inputs = data.inputs(case);
    let words = ["corelane", "--file", "-", "--shards", shards, "--executor", "threads", "--format", "csv"];
    let words = words.into_iter().chain(["-o", "/dev/null"]).chain(inputs.iter().flat_map(|input| ["--input", input]));
    let options = cli::parse_run(words.map(str::to_owned)).expect("the flags are right");
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    let program = job::compile(case.sql, &RealDisk::default(), &options).expect("the case compiles");
    let prepared = job::prepare(program, &RealDisk::default(), &options).expect("the files are there");
    let finished = prepared.run(|_, _| {}).expect("it runs");
    assert!(finished.error.is_none(), "{}", case.name);
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

#[test]
fn rows_and_batches_allocate_nothing() {
    let root = tempfile::tempdir().expect("a temporary folder");
    for name in ["S0n", "S0w", "S0a", "S1", "S2 seed", "S3a seed", "S3b", "1BRC", "q1"] {
        let case = ALL.iter().find(|case| case.name == name).expect("a case of the benchmark");
        for shards in ["1", "2"] {
            let once = allocations(root.path(), case, ROWS, shards);
            let twice = allocations(root.path(), case, 2 * ROWS, shards);
            let more = twice.saturating_sub(once);
            assert!(more < MORE, "{name} on {shards} shards: {once} allocations, {twice} for twice the rows");
        }
    }
}
