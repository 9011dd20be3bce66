//! What went wrong in other event systems, line by line and in the order of the page of pitfalls: each must not here.
//! What only one test of another file can show is named there, not repeated.
//!
//! Lines that a library of this shape cannot violate:
//!
//! | line | why |
//! |---|---|
//! | a sender hangs when only inactive receivers exist | there are no inactive receivers, and `publish` waits for none |
//! | busy-waiting helper threads | the crate starts no thread; `tests/layers.rs` looks for that |
//! | the listing of namespaces that could not be read | `*` is live and never expanded, so nothing is listed |
//! | a global `cfg(loom)` that breaks dependants | no code of a test's: `tests/layers.rs` looks for the private cfg |

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
