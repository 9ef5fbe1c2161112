//! The fuzz target of `runtime/fuzz`, without a fuzzer.

#[path = "../../engine/fuzz/src/replay.rs"]
mod replay;
#[path = "../fuzz/src/lib.rs"]
mod targets;

#[test]
fn any_text_is_a_configuration_or_an_error() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/config");
    replay::replay(&corpus, 1500, targets::config);
}
