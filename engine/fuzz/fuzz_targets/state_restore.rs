#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| corelane_engine_fuzz::state_restore(bytes));
