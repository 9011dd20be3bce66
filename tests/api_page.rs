//! The API page, clause by clause: what it says of requests, rights and responses, this crate does.
//! Where the page is silent, the server's own tests are the source, in `tests/conformance.rs`.

mod common;

#[path = "api_page/parameters.rs"]
mod parameters;
#[cfg(feature = "json")]
#[path = "api_page/response.rs"]
mod response;
#[path = "api_page/rights.rs"]
mod rights;
#[path = "api_page/tables.rs"]
mod tables;
