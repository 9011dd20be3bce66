//! Strategies for [proptest](https://docs.rs/proptest): names, events, batches, requests, and scripts of them.
//! What must hold of what they draw is up to the property test.
//!
//! Feature `testing-proptest`. A test that uses them has `proptest` among its own dev-dependencies, of a version that
//! is compatible with this crate's.
//!
//! What they draw shrinks to what is easily read: plausible names before hostile ones, few events, indexes from 1
//! without gaps, requests for everything. Names are taken from few, so requests and events meet.
//!
//! Files: `names`, `events` and `requests` have the strategies of what they are called after, and `script` joins them.

mod events;
mod names;
mod requests;
mod script;

pub use events::{batches, event, events, plausible, plausible_event};
pub use names::{hostile_name, name, plausible_name};
pub use requests::{Ask, ask, request, start, term};
pub use script::{ScriptStep, script};
