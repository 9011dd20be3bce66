//! What the integration tests share. No expectation of any test lives here.
//!
//! | file | for |
//! |---|---|
//! | `build` | events, terms, requests, principals and brokers in one short call |
//! | `read` | reading what is there now, and asserting that nothing is or that a subscription has ended |
//! | `clock` | a clock that the test advances |
//! | `rules` | an authorizer whose answer the test changes |
//! | `wakes` | a waker that counts |
//! | `patience` | work with a limit of time, so that a deadlock fails instead of hanging |
//! | `random` | numbers from a seed |
//! | `heap` | a profiled run of tests, the live heap, and allocations |
//! | `program` | running an example as a program |
//!
//! `random`, `heap` and `program` are included by path by those that need them; all else comes with this module.

#![allow(dead_code, reason = "every test crate uses its own part of this")]
#![allow(unused_imports, reason = "every test crate uses its own part of this")]

mod build;
mod clock;
mod patience;
mod read;
mod rules;
mod wakes;

pub(crate) use build::{asks, broker_of, event, job, publish_all, ruled_and_timed_by, ruled_by, term, who};
pub(crate) use clock::ManualClock;
pub(crate) use patience::{PATIENCE, in_time, panics, panics_in_time};
pub(crate) use read::{assert_empty, assert_end, assert_revoked, error_now, indexes_now, keys, keys_now, read_now};
pub(crate) use rules::Rules;
pub(crate) use wakes::WakeCount;
