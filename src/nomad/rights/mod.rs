//! The table of rights of the HTTP API whose event stream [`nomad`](super) describes, as a ready policy.
//! Which rights a principal has is decided by the host: its type implements [`Capabilities`].
//!
//! The policy defines which topic needs which right, and decides requests by it.

mod set;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use crate::access::{AccessRequest, Grant};
use crate::nomad::excerpt::Excerpt;
use crate::nomad::topic;
use crate::types::error::Denial;
use crate::types::name::{Namespace, Topic};
use crate::types::term::Scope;

pub use set::{ParseRightsError, Rights};

const EVERY_NAMESPACE: Namespace = Namespace::from_static("*");

/// The rights of a principal, as far as the policy needs them. [`Rights`] is a ready implementation.
///
/// ```
/// use event_broker::Namespace;
/// use event_broker::nomad::rights::{Capabilities, NamespaceRight};
///
/// /// Reads the namespaces whose names begin with the team's, and nothing else.
/// struct Team(&'static str);
///
/// impl Capabilities for Team {
///     fn is_management(&self) -> bool {
///         false
///     }
///     fn allows_namespace(&self, namespace: &Namespace, right: NamespaceRight) -> bool {
///         right == NamespaceRight::ReadJob && namespace.as_str().starts_with(self.0)
///     }
///     fn allows_node_read(&self) -> bool {
///         false
///     }
/// }
///
/// assert!(Team("web-").allows_namespace(&"web-prod".into(), NamespaceRight::ReadJob));
/// assert!(!Team("web-").allows_namespace(&"*".into(), NamespaceRight::ReadJob));
/// ```
pub trait Capabilities {
    /// Returns whether everything is allowed.
    fn is_management(&self) -> bool;

    /// Returns whether a right is held in a namespace. For the namespace `*` the right must cover every namespace,
    /// including those that are created later. A list of all namespaces that exist today does not suffice.
    fn allows_namespace(&self, namespace: &Namespace, right: NamespaceRight) -> bool;

    /// Returns whether nodes may be read.
    fn allows_node_read(&self) -> bool;
}

macro_rules! capabilities_behind {
    ($($pointer:ident),*) => {$(
        impl<C: Capabilities + ?Sized> Capabilities for $pointer<C> {
            fn is_management(&self) -> bool {
                (**self).is_management()
            }

            fn allows_namespace(&self, namespace: &Namespace, right: NamespaceRight) -> bool {
                (**self).allows_namespace(namespace, right)
            }

            fn allows_node_read(&self) -> bool {
                (**self).allows_node_read()
            }
        }
    )*};
}

capabilities_behind!(Arc, Box);

/// A right that is granted for single namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum NamespaceRight {
    /// The right to read jobs and what results from them: allocations, deployments, evaluations, services.
    ReadJob,
}

impl NamespaceRight {
    /// Returns the name of the right: `read-job`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadJob => "read-job",
        }
    }
}

impl fmt::Display for NamespaceRight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The right that a topic needs. Its text is that of the table of the HTTP API whose event stream [`nomad`](super)
/// describes: `management`, `namespace:read-job`, `node:read`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Required {
    /// A management token.
    Management,
    /// A right in every requested namespace.
    Namespace(NamespaceRight),
    /// The right to read nodes, which have no namespace.
    NodeRead,
}

impl fmt::Display for Required {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Management => f.write_str("management"),
            Self::Namespace(right) => write!(f, "namespace:{right}"),
            Self::NodeRead => f.write_str("node:read"),
        }
    }
}

/// The API's table, row by row, without the row of `*`.
static TABLE: [(Topic, Required); 10] = [
    (topic::ACL_TOKEN, Required::Management),
    (topic::ACL_POLICY, Required::Management),
    (topic::ACL_ROLE, Required::Management),
    (topic::JOB, Required::Namespace(NamespaceRight::ReadJob)),
    (topic::ALLOCATION, Required::Namespace(NamespaceRight::ReadJob)),
    (topic::DEPLOYMENT, Required::Namespace(NamespaceRight::ReadJob)),
    (topic::EVALUATION, Required::Namespace(NamespaceRight::ReadJob)),
    (topic::NODE, Required::NodeRead),
    (topic::NODE_POOL, Required::Management),
    (topic::SERVICE, Required::Namespace(NamespaceRight::ReadJob)),
];

/// Returns the right that a topic needs, where `None` is the wildcard. A topic that is not in the table needs
/// management, as the wildcard does.
///
/// ```
/// use event_broker::nomad::rights::{Required, required};
/// use event_broker::nomad::topic;
///
/// assert_eq!(required(Some(&topic::NODE)), Required::NodeRead);
/// assert_eq!(required(Some(&topic::NODE_DRAIN)), Required::Management, "the page names no right for it");
/// assert_eq!(required(None), Required::Management);
/// ```
pub fn required(topic: Option<&Topic>) -> Required {
    topic
        .and_then(|topic| TABLE.iter().find(|(name, _)| name == topic))
        .map_or(Required::Management, |(_, required)| *required)
}

/// Decides a request by the table of rights of the HTTP API whose event stream [`nomad`](super) describes.
///
/// Every named topic and namespace must be covered. Otherwise the whole request is denied. `namespace=*` needs
/// management or a read-job right that covers `*`, whatever the topics are. A request without terms counts as one for
/// `*`.
///
/// The grant covers what was requested, and rests on nothing but the principal. Add expiry, policies and roles, and
/// [`without_event_checks`](Grant::without_event_checks) if there is no finer rule.
///
/// # Errors
///
/// Returns a denial that names the first topic or namespace that is not covered, and the right that it needs.
///
/// ```
/// use event_broker::nomad::rights::{Rights, decide};
/// use event_broker::{AccessRequest, Principal, Request, Term};
///
/// let request = Request::<()>::new().term(Term::new("Job", "web")?).namespace("prod").namespace("staging");
/// let (reader, scope) = (Principal::new("6f1c"), request.scope()?);
/// let asked = AccessRequest::new(&reader, request.requested_terms(), &scope);
///
/// let held: Rights = "namespace:prod:read-job".parse()?;
/// let denial = decide(&asked, &held).unwrap_err();
/// assert_eq!(denial.reason(), r#"topic "Job" in the namespace "staging" needs namespace:read-job"#);
/// assert!(decide(&asked, &"namespace:*:read-job".parse::<Rights>()?).is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn decide(request: &AccessRequest<'_>, capabilities: &(impl Capabilities + ?Sized)) -> Result<Grant, Denial> {
    if capabilities.is_management() {
        return Ok(Grant::all());
    }
    let read_job = NamespaceRight::ReadJob;
    if *request.scope() == Scope::All && !capabilities.allows_namespace(&EVERY_NAMESPACE, read_job) {
        let needed = Required::Namespace(read_job);
        return Err(Denial::new(format!("namespace * needs management, or {needed} that covers *")));
    }
    if request.terms().is_empty() {
        return Err(missing(None, Required::Management));
    }
    // A client may name thousands of topics and of namespaces. Each right is checked once, for the first topic that
    // needs it, so that the work is their sum and not their product.
    let mut covered = Vec::new();
    for term in request.terms() {
        let needed = required(term.topic_name());
        if !covered.contains(&needed) {
            covers(needed, term.topic_name(), request.scope(), capabilities)?;
            covered.push(needed);
        }
    }
    Ok(Grant::all())
}

/// Checks that a principal without management has a right everywhere the request needs it.
fn covers(
    needed: Required,
    topic: Option<&Topic>,
    scope: &Scope,
    capabilities: &(impl Capabilities + ?Sized),
) -> Result<(), Denial> {
    let is_held = match needed {
        Required::Management => false,
        Required::NodeRead => capabilities.allows_node_read(),
        Required::Namespace(right) => {
            let every = [EVERY_NAMESPACE];
            let mut names = scope.named().unwrap_or(&every).iter();
            match names.find(|name| !capabilities.allows_namespace(name, right)) {
                None => true,
                Some(name) => {
                    let (topic, name) = (quoted(topic), Excerpt::of(name.as_str()));
                    return Err(Denial::new(format!("topic {topic} in the namespace {name} needs {needed}")));
                }
            }
        }
    };
    if is_held { Ok(()) } else { Err(missing(topic, needed)) }
}

fn missing(topic: Option<&Topic>, needed: Required) -> Denial {
    Denial::new(format!("topic {} needs {needed}", quoted(topic)))
}

/// Returns a client's topic as a denial may show it: quoted and cut, the wildcard bare.
fn quoted(topic: Option<&Topic>) -> String {
    topic.map_or_else(|| "*".to_owned(), |topic| Excerpt::of(topic.as_str()).to_string())
}
