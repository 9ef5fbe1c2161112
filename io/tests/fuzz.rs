//! The fuzz targets of `io/fuzz`, without a fuzzer.

#[path = "../../engine/fuzz/src/replay.rs"]
mod replay;
#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::path::Path;

fn replay(name: &str, changes: u64, target: fn(&[u8])) {
    replay::replay(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name), changes, target);
}

#[test]
fn any_bytes_are_the_same_csv_to_every_kernel() {
    replay("csv_scan", 3000, targets::csv_scan);
}

#[test]
fn checkpoints_give_back_what_they_were_given() {
    replay("ckpt_roundtrip", 500, targets::ckpt_roundtrip);
}

#[test]
fn changed_checkpoints_are_refused() {
    replay("ckpt_read", 1500, targets::ckpt_read);
}
