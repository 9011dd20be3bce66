//! Any bytes into `matcher`.
//! What is done with them stands in the library, where an ordinary test finds it too.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::matcher::run(data));
