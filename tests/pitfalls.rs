//! Defects of other event systems, in the order of the page of pitfalls: each test shows that this crate has none.
//!
//! A line that a test of another file covers is named in that test and not repeated here. Lines that do not apply to a
//! library like this one:
//!
//! | line | why |
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
