#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| corelane_io_fuzz::ckpt_read(bytes));
