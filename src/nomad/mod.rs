//! The event stream of a scheduler's HTTP API: its topics and event types, its rights, its query string.
//! The broker does not depend on this module. A server with other topics and rights does not need it.
//!
//! | what | where |
//! |---|---|
//! | the topics, and what their payloads hold | [`topic`] |
//! | the event types | [`event_type`] |
//! | which topic needs which right, and who has it | [`rights`] |
//! | an [`Authorizer`](crate::Authorizer) around the server's own tokens | [`AclAuthorizer`] |
//! | `?index=7&topic=Job:web` to a [`Request`](crate::Request) | [`Query`] |
//!
//! From a query to an access decision:
//!
//! ```
//! use event_broker::nomad::{Query, rights::{self, Rights}};
//! use event_broker::{AccessRequest, Principal, Request};
//!
//! let query = Query::parse("topic=Job:web&topic=Node&namespace=prod")?;
//! let request: Request<()> = query.into_request();
//!
//! let (reader, scope) = (Principal::new("6f1c"), request.scope()?);
//! let asked = AccessRequest::new(&reader, request.requested_terms(), &scope);
//! let held: Rights = "namespace:prod:read-job".parse()?;
//! let denial = rights::decide(&asked, &held).unwrap_err();
//! assert_eq!(denial.reason(), r#"topic "Node" needs node:read"#);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod authorizer;
pub mod event_type;
mod excerpt;
mod query;
pub mod rights;
pub mod topic;

pub use authorizer::{AclAuthorizer, Resolved, Resolver, access_changes};
pub use query::{Limits, Parameter, Query, QueryError, QueryErrorKind};
