//! Access: the authorizer hook, and the gate through which a change of access reaches a subscription.
//! When the hook is called, and which subscriptions a change concerns, is decided in `core`.

mod authorizer;
mod gate;

pub(crate) use authorizer::Basis;
pub use authorizer::{AccessChange, AccessRequest, Authorizer, Grant};
pub(crate) use gate::{Ending, Gate, GateState};
