//! Access: the authorizer hook, and the gate through which a change of access reaches a subscription.
//! When the hook is called, and which subscriptions a change concerns, is decided in `core`.
//!
//! The fence, in the order of one change: `State::fence` and `Registry::fence` in `core` set the change on the gates,
//! `begin_read` and `is_gate_unchanged` in `subscription` check the gate at each read, and `recheck_access` there acts
//! on it.
//!
//! Callers: `core` and `subscription`; hosts implement [`Authorizer`].

mod authorizer;
mod gate;

pub(crate) use authorizer::Basis;
pub use authorizer::{AccessChange, AccessRequest, Authorizer, Grant};
pub(crate) use gate::{Ending, Gate, GateState};
