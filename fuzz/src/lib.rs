//! What the fuzz targets do with their bytes, a module a target.
//! `tests/fuzz_corpus.rs` includes this file as well, so nothing here may need a fuzzer.
//!
//! | target | any bytes are | compared with |
//! |---|---|---|
//! | `query` | a query string | a parser that goes byte by byte |
//! | `frames` | lines, or batches to be framed and cut anywhere | each line decoded alone, or the batches |
//! | `ops` | a script of operations | the naive broker of the oracle |
//! | `matcher` | subscriptions, batches and reads | a filter that looks at every event |

mod choices;
pub mod frames;
pub mod matcher;
pub mod ops;
pub mod query;
#[path = "../../tests/support/mod.rs"]
mod support;
