//! The event stream of the HTTP API, clause by clause of its page: requests, rights and responses.
//!
//! Where the page says nothing, the reference server's tests are the source: see `conformance`.

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
