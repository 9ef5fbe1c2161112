//! The fuzz targets of `engine/fuzz`, without a fuzzer.

#[path = "../fuzz/src/replay.rs"]
mod replay;
#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::path::Path;

fn replay(name: &str, changes: u64, target: fn(&[u8])) {
    replay::replay(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name), changes, target);
}

#[test]
fn any_text_is_a_script_or_an_error_in_it() {
    replay("sql_parse", 3000, targets::sql_parse);
}

#[test]
fn queries_that_are_nearly_right_are_planned_or_refused() {
    replay("sql_plan", 6000, targets::sql_plan);
}

#[test]
fn state_that_is_damaged_is_refused_or_can_be_saved_again() {
    replay("state_restore", 3000, targets::state_restore);
}
