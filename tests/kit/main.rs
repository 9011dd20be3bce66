//! The test kit (feature `testing`): what a failing assertion says and where, what a recorder records, golden files,
//! sample events against the tables of the HTTP API's page, and strategies that draw what can be published and read.
//!
//! What the kit is used for elsewhere in these tests is tested there.
#![cfg(not(broker_loom))]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails may panic")]

mod assertions;
mod drawn;
mod failing;
mod golden;
mod recorder;
mod samples;
mod stepping;
