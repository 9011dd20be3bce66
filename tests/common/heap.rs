//! A runner for tests that measure the heap with a profiling allocator, and what it measures.
//!
//! The allocator counts the whole process. So each test binary calls [`run`] in `main` instead of using the usual
//! harness, whose threads would be counted.

#![allow(dead_code, reason = "every test crate uses its own part of this")]

/// Runs the tests one after the other, each under a profiler of its own. A test that fails panics.
pub(crate) fn run(tests: &[(&str, fn())]) {
    println!("running {} tests", tests.len());
    for (name, test) in tests {
        profiled(test);
        println!("test {name} ... ok");
    }
    println!("\ntest result: ok. {} passed; 0 failed", tests.len());
}

/// Runs the work under a profiler, without which nothing is counted.
pub(crate) fn profiled<T>(work: impl FnOnce() -> T) -> T {
    let _profiler = dhat::Profiler::builder().testing().trim_backtraces(Some(1)).build();
    work()
}

/// The live heap of the process, in bytes.
pub(crate) fn live() -> usize {
    dhat::HeapStats::get().curr_bytes
}

/// The highest live heap since the profiler began.
pub(crate) fn peak() -> usize {
    dhat::HeapStats::get().max_bytes
}

/// How many allocations the work makes.
pub(crate) fn allocations(work: impl FnOnce()) -> u64 {
    let before = dhat::HeapStats::get().total_blocks;
    work();
    dhat::HeapStats::get().total_blocks - before
}
