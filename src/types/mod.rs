//! The value types that every layer above uses: names, events, requests, tokens, errors and statistics.
//! What is done with the values is decided in the layers above. Nothing here takes a lock or waits.
//!
//! Callers: every layer, and users of the crate.

pub(crate) mod clock;
pub(crate) mod error;
pub(crate) mod event;
mod filter_keys;
pub(crate) mod form;
pub(crate) mod name;
pub(crate) mod observer;
pub(crate) mod position;
pub(crate) mod principal;
pub(crate) mod request;
pub(crate) mod small_list;
pub(crate) mod start;
pub(crate) mod stats;
pub(crate) mod term;
pub(crate) mod token;
