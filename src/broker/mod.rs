//! The broker as its host holds it: the handle, its builder, and its dispatcher.
//! What they do is done in `core`.

mod builder;
mod dispatcher;
mod handle;

pub use builder::Builder;
pub use dispatcher::{DispatchGuard, Dispatcher};
pub use handle::{Broker, WeakBroker};
