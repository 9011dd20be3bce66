//! What was reported of servers that link the crate, and of other systems, each by the smallest input that showed it.
//! In brackets: the semantics that say what is right.
//!
//! | file | about |
//! |---|---|
//! | `loss` | loss that was not told, loss that was told although there was none, tokens [3, 8 to 10, 22] |
//! | `turns` | reads that did not come back, deadlines, other tasks' turns, doorbells [20, 27] |
//! | `access` | questions to the authorizer that never settle, grants that expire [15, 17, 18] |
//! | `bounded` | wide scopes, keys in many namespaces, long chains: what grew with others' doing [7, 11, 12, 22] |
//! | `isolation` | panics on their way out, wakers and windows left behind, epochs after a fork [10, 19, 20] |
//!
//! What waits for what, from which start and to which end, is crossed in `crossing`; the wire is in `frames`, `formats`
//! and `replay`.

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
