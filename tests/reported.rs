//! Defects that were reported by servers that use the crate, or of other systems, each with the smallest input that
//! shows it. In brackets: the semantics that decide, by their numbers in `tests/README.md`.
//!
//! | file | about |
//! |---|---|
//! | `loss` | losses that were not reported, reports without a loss, tokens [3, 8 to 10, 22] |
//! | `turns` | reads that did not return, deadlines, tasks that did not yield, doorbells [20, 27] |
//! | `access` | calls of the authorizer that never settle, grants that expire [15, 17, 18] |
//! | `bounded` | costs that grew with what others do: wide scopes, many namespaces, long chains [7, 11, 12, 22] |
//! | `isolation` | panics during unwinding, wakers and windows left behind, epochs after a fork [10, 19, 20] |
//!
//! Every way of reading with every start and end is in `crossing`; the wire format is in `frames`, `formats` and
//! `replay`.

mod common;

#[path = "reported/access.rs"]
mod access;
#[path = "reported/bounded.rs"]
mod bounded;
#[path = "reported/isolation.rs"]
mod isolation;
#[path = "reported/loss.rs"]
mod loss;
#[path = "reported/turns.rs"]
mod turns;
