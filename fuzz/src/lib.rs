//! The bodies of the fuzz targets, one module for each. `tests/fuzz_corpus.rs` includes this file and replays the
//! corpora, so nothing here may depend on a fuzzer.
//!
//! | target | the bytes are | compared with |
//! |---|---|---|
//! | `query` | a query string | a parser that goes byte by byte |
//! | `frames` | lines, or batches to be framed and split anywhere | each line decoded alone, or the batches |
//! | `ops` | a script of operations | the naive broker of the oracle |
//! | `matcher` | subscriptions, batches and reads | a filter that looks at every event |
//!
//! Run one with `cargo fuzz run -s none TARGET`.

mod choices;
pub mod frames;
pub mod matcher;
pub mod ops;
pub mod query;
#[path = "../../tests/support/mod.rs"]
mod support;
