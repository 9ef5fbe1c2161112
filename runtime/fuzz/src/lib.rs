//! What the fuzzer feeds: the function takes any bytes and panics only on a bug.
//!
//! Run it with `cargo +nightly fuzz run config` in this folder. The same function runs over the kept
//! corpus and seeded changes of it in `runtime/tests/fuzz.rs`, with any compiler.

use std::path::Path;

use corelane::cli::{config, parse_run};

/// Any text as the configuration file: flags of their names, or an error that names the file.
pub fn config(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let words = vec!["corelane".to_owned(), "SELECT 1".to_owned()];
    match config::extend(words, Path::new("config.toml"), &text, |_| None) {
        Err(error) => assert!(error.starts_with("config.toml"), "{error}"),
        Ok(words) => {
            let flags = |words: &[String]| words.iter().skip(2).all(|word| word.starts_with("--"));
            assert!(flags(&words), "{words:?}");
            // What a flag makes of its value is a value or one line, never a panic.
            if let Err(error) = parse_run(words) {
                assert!(!error.to_string().is_empty());
            }
        }
    }
}
