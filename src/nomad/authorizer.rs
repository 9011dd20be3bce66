//! Implements an authorizer of the API's rights over the server's own tokens, and finds the access changes in events.
//! How a token is looked up is decided by the server, and what a right allows in `rights`.
//!
//! Callers: `core` through [`Authorizer`], without a lock; hosts.

use std::sync::Arc;
use std::time::Instant;

use crate::access::{AccessChange, AccessRequest, Authorizer, Grant};
use crate::nomad::rights::{self, Capabilities};
use crate::nomad::{event_type, topic};
use crate::types::error::Denial;
use crate::types::event::Event;
use crate::types::name::Key;
use crate::types::principal::Principal;

/// Looks up what a principal may do. The server's token store can implement it, and so does a closure.
///
/// It is called on a reader's thread, outside every lock of the broker: when a subscription is opened, and again
/// whenever something that the grant rests on has changed. It must therefore answer by the current state, not from a
/// cache.
///
/// It should check the principal's [secret](Principal::secret). The id is not a secret.
///
/// ```
/// use event_broker::nomad::{AclAuthorizer, Resolved, rights::Rights};
/// use event_broker::{Denial, Principal};
///
/// let authorizer = AclAuthorizer::new(|principal: &Principal| match principal.secret() {
///     // The rights of the anonymous principal rest on a policy as well, so that they can change.
///     None => Ok(Resolved::new(Rights::anonymous()).resting_on_policy("anonymous")),
///     Some("hunter2") => Ok(Resolved::new(Rights::management())),
///     Some(_) => Err(Denial::new("token not found")),
/// });
/// # let _ = authorizer;
/// ```
pub trait Resolver: Send + Sync {
    /// The type that holds what a principal may do.
    type Capabilities: Capabilities;

    /// Returns what the principal may do now, and what that rests on.
    ///
    /// # Errors
    ///
    /// Returns a denial if the principal is unknown. The reason is shown to the client, and must not hold the secret.
    fn resolve(&self, principal: &Principal) -> Result<Resolved<Self::Capabilities>, Denial>;
}

impl<C, F> Resolver for F
where
    C: Capabilities,
    F: Fn(&Principal) -> Result<Resolved<C>, Denial> + Send + Sync,
{
    type Capabilities = C;

    fn resolve(&self, principal: &Principal) -> Result<Resolved<C>, Denial> {
        self(principal)
    }
}

/// What a principal may do, until when, and what that rests on.
///
/// A change of something that is not listed here revokes nothing: a change of a policy re-checks only the grants that
/// rest on it.
///
/// ```
/// use std::time::{Duration, Instant};
/// use event_broker::nomad::{Resolved, rights::Rights};
///
/// let rights: Rights = "namespace:prod:read-job".parse()?;
/// let resolved = Resolved::new(rights)
///     .expires_at(Instant::now() + Duration::from_secs(3600))
///     .resting_on_policy("readers")
///     .resting_on_role("ops");
/// assert_eq!(resolved.capabilities().to_string(), "namespace:prod:read-job");
/// # Ok::<(), event_broker::nomad::rights::ParseRightsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Resolved<C> {
    capabilities: C,
    expires_at: Option<Instant>,
    tokens: Vec<Arc<str>>,
    policies: Vec<Arc<str>>,
    roles: Vec<Arc<str>>,
}

impl<C> Resolved<C> {
    /// Creates an answer without expiry that rests on nothing but the principal's own id.
    pub const fn new(capabilities: C) -> Self {
        Self { capabilities, expires_at: None, tokens: Vec::new(), policies: Vec::new(), roles: Vec::new() }
    }

    /// Sets when the answer expires, by the broker's [`Clock`](crate::Clock).
    #[must_use]
    pub fn expires_at(mut self, expiry: Instant) -> Self {
        self.expires_at = Some(expiry);
        self
    }

    /// Adds a token that the answer rests on, by its public id. The principal's own id need not be added.
    #[must_use]
    pub fn resting_on_token(mut self, id: impl Into<Arc<str>>) -> Self {
        self.tokens.push(id.into());
        self
    }

    /// Adds a policy that the answer rests on, by the key that the policy's events carry.
    #[must_use]
    pub fn resting_on_policy(mut self, name: impl Into<Arc<str>>) -> Self {
        self.policies.push(name.into());
        self
    }

    /// Adds a role that the answer rests on, by the key or a filter key that the role's events carry.
    #[must_use]
    pub fn resting_on_role(mut self, id: impl Into<Arc<str>>) -> Self {
        self.roles.push(id.into());
        self
    }

    /// Returns what the principal may do.
    pub fn capabilities(&self) -> &C {
        &self.capabilities
    }

    /// Adds the expiry and the basis of this answer to a grant.
    fn apply_to(self, grant: Grant) -> Grant {
        let grant = match self.expires_at {
            Some(expiry) => grant.expires_at(expiry),
            None => grant,
        };
        let grant = self.tokens.into_iter().fold(grant, Grant::resting_on_token);
        let grant = self.policies.into_iter().fold(grant, Grant::resting_on_policy);
        self.roles.into_iter().fold(grant, Grant::resting_on_role)
    }
}

/// The authorizer of the HTTP API whose event stream [`nomad`](super) describes. A [`Resolver`] returns what a
/// principal may do, [`rights::decide`] checks whether that is enough, and [`access_changes`] reports when to ask
/// again.
///
/// ```
/// use event_broker::nomad::{AclAuthorizer, Resolved, rights::Rights};
/// use event_broker::{AccessRequest, Authorizer, Principal, Scope, Term};
///
/// let authorizer = AclAuthorizer::new(|_: &Principal| Ok(Resolved::new(Rights::anonymous().with_node_read())));
/// let (anonymous, scope) = (Principal::anonymous(), Scope::default());
///
/// let nodes = [Term::topic("Node")?];
/// assert!(Authorizer::<()>::authorize(&authorizer, &AccessRequest::new(&anonymous, &nodes, &scope)).is_ok());
///
/// let everything = [Term::ALL];
/// let denied = Authorizer::<()>::authorize(&authorizer, &AccessRequest::new(&anonymous, &everything, &scope));
/// assert_eq!(denied.unwrap_err().reason(), "topic * needs management");
/// # Ok::<(), event_broker::InvalidRequest>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct AclAuthorizer<R> {
    resolver: R,
}

impl<R: Resolver> AclAuthorizer<R> {
    /// Creates an authorizer around this resolver.
    pub const fn new(resolver: R) -> Self {
        Self { resolver }
    }

    /// Returns the resolver.
    pub const fn resolver(&self) -> &R {
        &self.resolver
    }
}

impl<P, R: Resolver> Authorizer<P> for AclAuthorizer<R> {
    fn authorize(&self, request: &AccessRequest<'_>) -> Result<Grant, Denial> {
        let resolved = self.resolver.resolve(request.principal())?;
        let grant = rights::decide(request, resolved.capabilities())?;
        // The table covers only topics and namespaces, which the broker checks itself.
        Ok(resolved.apply_to(grant).without_event_checks())
    }

    fn changes(&self, event: &Event<P>, changes: &mut Vec<AccessChange>) {
        access_changes(event, changes);
    }
}

/// Adds the access changes that an event represents in the HTTP API whose event stream [`nomad`](super) describes. It
/// serves [`Authorizer::changes`] of authorizers with rules of their own.
///
/// The event's key names a token or a policy. A role is named by its key and its filter keys. A deleted token ends what
/// rests on it. Every other change requires a re-check. An event of another topic changes nothing.
///
/// ```
/// use event_broker::nomad::{access_changes, event_type, topic};
/// use event_broker::{AccessChange, Event};
///
/// let mut changes = Vec::new();
/// access_changes(&Event::new(topic::ACL_TOKEN, event_type::ACL_TOKEN_DELETED, "6f1c", ()), &mut changes);
/// access_changes(&Event::new(topic::JOB, event_type::JOB_REGISTERED, "web", ()), &mut changes);
/// assert_eq!(changes, [AccessChange::TokenDeleted("6f1c".into())]);
/// ```
pub fn access_changes<P>(event: &Event<P>, changes: &mut Vec<AccessChange>) {
    fn id(key: &Key) -> Arc<str> {
        Arc::from(key.as_str())
    }

    let topic = event.topic();
    if *topic == topic::ACL_TOKEN {
        let is_deleted = *event.event_type() == event_type::ACL_TOKEN_DELETED;
        let change = if is_deleted { AccessChange::TokenDeleted } else { AccessChange::Token };
        changes.push(change(id(event.key())));
    } else if *topic == topic::ACL_POLICY {
        changes.push(AccessChange::Policy(id(event.key())));
    } else if *topic == topic::ACL_ROLE || *topic == topic::ACL_ROLES {
        let names = std::iter::once(event.key()).chain(event.filter_keys());
        changes.extend(names.map(|name| AccessChange::Role(id(name))));
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test whose own request cannot be read has failed")]

    use super::*;
    use crate::nomad::rights::Rights;
    use crate::types::term::{Scope, Term};

    fn changes_of(topic: &str, event_type: &str) -> Vec<AccessChange> {
        let event = Event::new(topic, event_type, "key", ()).with_filter_keys(["f1", "f2"]);
        let mut changes = vec![AccessChange::Everyone];
        let authorizer = AclAuthorizer::new(|_: &Principal| Ok(Resolved::new(Rights::anonymous())));
        authorizer.changes(&event, &mut changes);
        assert_eq!(changes.remove(0), AccessChange::Everyone, "what was there stays");
        changes
    }

    #[test]
    fn acl_events_stand_for_changes_of_access() {
        let role = || ["key", "f1", "f2"].map(|name| AccessChange::Role(name.into())).to_vec();
        for (topic, event_type, changes) in [
            ("ACLToken", "ACLTokenDeleted", vec![AccessChange::TokenDeleted("key".into())]),
            ("ACLToken", "ACLTokenUpserted", vec![AccessChange::Token("key".into())]),
            ("ACLToken", "", vec![AccessChange::Token("key".into())]),
            ("ACLPolicy", "ACLPolicyUpserted", vec![AccessChange::Policy("key".into())]),
            ("ACLPolicy", "ACLPolicyDeleted", vec![AccessChange::Policy("key".into())]),
            ("ACLRole", "ACLRoleUpserted", role()),
            ("ACLRoles", "ACLRoleDeleted", role()),
            ("Job", "ACLTokenDeleted", vec![]),
            ("acltoken", "ACLTokenDeleted", vec![]),
        ] {
            assert_eq!(changes_of(topic, event_type), changes, "{topic} {event_type}");
        }
    }

    fn ask(resolver: impl Resolver, principal: &Principal, topic: &str) -> Result<Grant, Denial> {
        let terms = [Term::topic(topic).unwrap()];
        let scope = Scope::default();
        Authorizer::<()>::authorize(&AclAuthorizer::new(resolver), &AccessRequest::new(principal, &terms, &scope))
    }

    #[test]
    fn a_grant_rests_on_what_the_resolver_lists() {
        let expiry = Instant::now();
        let resolver = |principal: &Principal| {
            assert_eq!(principal.secret(), Some("hunter2"));
            Ok(Resolved::new(Rights::anonymous().with_node_read())
                .expires_at(expiry)
                .resting_on_token("accessor")
                .resting_on_policy("readers")
                .resting_on_role("ops"))
        };
        let principal = Principal::new("6f1c").with_secret("hunter2");
        let expected = Grant::all()
            .expires_at(expiry)
            .resting_on_token("accessor")
            .resting_on_policy("readers")
            .resting_on_role("ops")
            .without_event_checks();
        assert_eq!(ask(resolver, &principal, "Node"), Ok(expected));
        assert_eq!(ask(resolver, &principal, "NodePool").unwrap_err().reason(), r#"topic "NodePool" needs management"#);
    }

    #[test]
    fn a_resolver_denies_on_its_own() {
        let unknown = |_: &Principal| -> Result<Resolved<Rights>, Denial> { Err(Denial::new("token not found")) };
        let denied = ask(unknown, &Principal::new("gone"), "Node");
        assert_eq!(denied, Err(Denial::new("token not found")));
    }

    #[test]
    fn a_resolver_may_be_a_type_of_the_server_and_its_capabilities_a_trait_object() {
        struct Store;
        impl Resolver for Store {
            type Capabilities = Arc<dyn Capabilities>;
            fn resolve(&self, _: &Principal) -> Result<Resolved<Arc<dyn Capabilities>>, Denial> {
                Ok(Resolved::new(Arc::new(Rights::management())))
            }
        }
        assert_eq!(ask(Store, &Principal::anonymous(), "*"), Ok(Grant::all().without_event_checks()));
    }
}
