//! What the simulation uses of `tests/support/`: the naive broker.

#[path = "../support/hooks.rs"]
pub mod hooks;
#[path = "../support/matching.rs"]
pub mod matching;
#[path = "../support/naive.rs"]
pub mod naive;
#[path = "../support/op.rs"]
pub mod op;
#[path = "../support/reader.rs"]
pub mod reader;
#[path = "../support/translate.rs"]
pub mod translate;
