//! Code of the host's that panics, calls back, or takes its time: the broker stays usable, and no other subscription
//! notices (semantics 19, G7, G9).
//! What the hooks decide is tested elsewhere.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

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
