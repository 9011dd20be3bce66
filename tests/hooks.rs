//! Code of the host that panics, calls back or is slow: the broker stays usable and no other subscription is affected
//! (semantics 19, G7, G9).

#![expect(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

mod common;

#[path = "hooks/dispatcher.rs"]
mod dispatcher;
#[path = "hooks/host.rs"]
mod host;
#[path = "hooks/panics.rs"]
mod panics;
#[path = "hooks/reenter.rs"]
mod reenter;
#[path = "hooks/slow.rs"]
mod slow;
