//! Shared by the integration tests. It holds no expectation of any test.
//!
//! | file | holds |
//! |---|---|
//! | `build` | short constructors of events, terms, requests, principals and brokers |
//! | `read` | reads of all that is available now, and assertions on an empty or ended subscription |
//! | `clock` | a clock that the test advances |
//! | `rules` | an authorizer whose answer the test changes |
//! | `wakes` | a waker that counts |
//! | `time_limit` | work with a time limit, and work that panics |
//! | `random` | pseudo-random numbers from a seed |
//! | `heap` | a runner with a profiling allocator |
//! | `program` | runs an example as a program |
//!
//! Test binaries that need `random`, `heap` or `program` include that file by its path; the others come with this
//! module.

#![allow(dead_code, reason = "every test crate uses its own part of this")]
#![allow(unused_imports, reason = "every test crate uses its own part of this")]

mod build;
mod clock;
mod read;
mod rules;
mod time_limit;
mod wakes;

pub(crate) use build::{asks, broker_of, event, job, publish_all, ruled_and_timed_by, ruled_by, term, who};
pub(crate) use clock::ManualClock;
pub(crate) use read::{assert_empty, assert_end, assert_revoked, error_now, indexes_now, keys, keys_now, read_now};
pub(crate) use rules::Rules;
pub(crate) use time_limit::{TIME_LIMIT, in_time, panics, panics_in_time};
pub(crate) use wakes::WakeCount;
