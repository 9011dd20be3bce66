//! The reference server's own test cases, row by row, as far as they apply to a library.
//!
//! The tests keep the facts and the names by which a row can be traced, and no text or code of the server. Indexes may
//! repeat here but never fall, so rows that lower an index are renumbered, with a note.
//!
//! Rows that are not here:
//!
//! | row | why |
//! |---|---|
//! | `TestEventStream_RegionForward` | no regions, and no calls between servers |
//! | `ProtoVersion` | no protocol version but the form of a frame |
//! | `PayloadValueHelpers` (8 rows) | the payload is the host's own type: the crate has no types of jobs and nodes |
//! | `TopicsFromString`: all, none, capitalised | words of a command line, not of a query |
//! | `TestDebug_EventStream`, `TestBlockedEvalEvents` | a command, and a scheduler's decision |
//! | `state/events_test.go`: promotion, health, node, pool, drain, service, role, method, rule, volume, plugin rows | deriving events from tables is the host's |

mod common;

#[path = "conformance/agent.rs"]
mod agent;
#[path = "conformance/api.rs"]
mod api;
#[path = "conformance/broker.rs"]
mod broker;
#[path = "conformance/buffer.rs"]
mod buffer;
#[path = "conformance/endpoint.rs"]
mod endpoint;
#[path = "conformance/extra.rs"]
mod extra;
#[cfg(feature = "json")]
#[path = "conformance/frames.rs"]
mod frames;
#[path = "conformance/state.rs"]
mod state;
#[path = "conformance/subscription.rs"]
mod subscription;
