//! The fuzz target `ops`. Its body is in the library, where `tests/fuzz_corpus.rs` uses it too.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::ops::run(data));
