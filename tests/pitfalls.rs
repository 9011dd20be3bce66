//! Defects that other event systems have or had: each test shows one that this crate does not have.
//!
//! One file for each subject. A comment names the defect, or the behaviour that excludes it, and the number of the
//! semantics in `tests/README.md`. A defect that a test of another group covers is not repeated here. These do not
//! apply to a library, or need no test here:
//!
//! | defect | why |
//! |---|---|
//! | a sender hangs when only inactive receivers exist | there are no inactive receivers, and `publish` waits for none |
//! | busy-waiting helper threads | the crate starts no thread; `tests/layers.rs` looks for that |
//! | the listing of namespaces that could not be read | `*` is live and never expanded, so nothing is listed |
//! | a global `cfg(loom)` that breaks dependants | not covered by a test of its own: `tests/layers.rs` looks for the private cfg |

mod common;

#[path = "pitfalls/access.rs"]
mod access;
#[path = "pitfalls/buffer.rs"]
mod buffer;
#[cfg(feature = "json")]
#[path = "pitfalls/frames.rs"]
mod frames;
#[path = "pitfalls/index.rs"]
mod index;
#[path = "pitfalls/lifecycle.rs"]
mod lifecycle;
#[path = "pitfalls/matching.rs"]
mod matching;
