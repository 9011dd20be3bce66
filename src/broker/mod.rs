//! The broker as its host holds it: the handle, its builder, and its dispatcher.
//! Nothing is published, locked or woken here: `core` and `wait` do that.
//!
//! Read `handle` first: every operation of a broker, and who closes it. `builder` checks the configuration and makes
//! the broker. `dispatcher` wakes readers on a thread of the host's own.
//!
//! The host calls it, and the authorizer and the observer may, by a `WeakBroker`.

mod builder;
mod dispatcher;
mod handle;

pub use builder::Builder;
pub use dispatcher::{DispatchGuard, Dispatcher};
pub use handle::{Broker, WeakBroker};
