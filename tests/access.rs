//! Access that changes while a stream is open: fences, grants, expiry and the order of ends (semantics 15-18, 23, G8).
//! How the API's table of rights is read is tested beside it.

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
