//! Access that changes while a stream is open: fences, grants, expiry and the precedence of ends (semantics 15 to 18
//! and 23, G8).
//!
//! The table of rights of the HTTP API is tested in `api_page`.

mod common;

#[path = "access/basis.rs"]
mod basis;
#[path = "access/ends.rs"]
mod ends;
#[path = "access/expiry.rs"]
mod expiry;
#[path = "access/fence.rs"]
mod fence;
#[path = "access/meanwhile.rs"]
mod meanwhile;
