//! Guides: longer explanations, each with an example that is a test.
//! Each guide is a module without code. What a single item does is documented at the item.
//!
//! | guide | is about |
//! |---|---|
//! | [`http_server`] | serving the event stream of an HTTP API: status codes, ends, slow clients, heartbeats, shutdown |
//! | [`restart_and_replicas`] | tokens, epochs, and what a broker must know that begins in the middle of a history |
//! | [`access`] | authorizers, grants, access changes, the fence, expiry, and common mistakes |
//! | [`bounds_and_lag`] | choosing the bounds of the buffer, lag, what memory is used, and how to read `stats()` |
//! | [`internals`] | the log, the chain, the fence and waiting: pictures, invariants, and the models that explore them |
//! | [`ways_of_reading`] | threads, tasks, windows, doorbells and frames: when to use each, and what each costs |

pub mod access;
pub mod bounds_and_lag;
pub mod http_server;
pub mod internals;
pub mod restart_and_replicas;
pub mod ways_of_reading;
