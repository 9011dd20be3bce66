//! The test kit: what a test of a state store, or of code that reads from a broker, needs beside the broker itself.
//! Nothing here is used by the broker, and nothing here belongs into a server.
//!
//! Feature `testing`, meant for `[dev-dependencies]`.
