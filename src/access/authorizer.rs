//! The authorizer hook: requests, grants and access changes.
//! When the hook is called, and how a grant is revoked, is decided in `core`.
//!
//! Invariant: a basis has the public id or name of what a grant rests on, never a secret.
//!
//! Callers: `core` and `subscription` call the hook without the broker's lock.

use std::sync::Arc;
use std::time::Instant;

use crate::types::error::Denial;
use crate::types::event::Event;
use crate::types::name::Namespace;
use crate::types::principal::Principal;
use crate::types::term::{Scope, Term};

/// The request that an authorizer decides.
///
/// ```
/// use event_broker::{AccessRequest, Principal, Request, Term};
///
/// let request = Request::<()>::new().term(Term::topic("Job")?).namespace("prod");
/// let (principal, scope) = (Principal::anonymous(), request.scope()?);
/// let asked = AccessRequest::new(&principal, request.requested_terms(), &scope);
/// assert_eq!(asked.terms(), [Term::topic("Job")?]);
/// assert_eq!(asked.scope().named(), Some(&["prod".into()][..]));
/// # Ok::<(), event_broker::InvalidRequest>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct AccessRequest<'a> {
    pub(crate) principal: &'a Principal,
    pub(crate) terms: &'a [Term],
    pub(crate) scope: &'a Scope,
    pub(crate) recheck: bool,
}

impl<'a> AccessRequest<'a> {
    /// Creates the request that the broker makes to open a subscription. It serves tests of authorizers and policies.
    pub fn new(principal: &'a Principal, terms: &'a [Term], scope: &'a Scope) -> Self {
        Self { principal, terms, scope, recheck: false }
    }

    /// Marks the request as a re-check of an open subscription.
    #[must_use]
    pub fn of_recheck(self) -> Self {
        Self { recheck: true, ..self }
    }

    /// Returns whether this is a re-check: the subscription is open already, and access has changed. A limit on how
    /// many subscriptions a principal may have, for example, applies only to those that are being opened.
    ///
    /// ```
    /// use event_broker::{AccessRequest, Authorizer, Broker, Denial, Grant, Request};
    ///
    /// struct NoMore;
    ///
    /// impl<P> Authorizer<P> for NoMore {
    ///     fn authorize(&self, request: &AccessRequest<'_>) -> Result<Grant, Denial> {
    ///         if request.is_recheck() { Ok(Grant::all()) } else { Err(Denial::new("the server is full")) }
    ///     }
    /// }
    ///
    /// let broker = Broker::<()>::builder().authorizer(NoMore).build()?;
    /// assert!(broker.subscribe(Request::new()).is_err());
    /// # Ok::<(), event_broker::BuildError>(())
    /// ```
    pub fn is_recheck(&self) -> bool {
        self.recheck
    }

    /// Returns the principal that sends the request.
    pub fn principal(&self) -> &'a Principal {
        self.principal
    }

    /// Returns the requested terms, at least one. A request without terms asks for [`Term::ALL`].
    pub fn terms(&self) -> &'a [Term] {
        self.terms
    }

    /// Returns the requested namespaces.
    pub fn scope(&self) -> &'a Scope {
        self.scope
    }
}

/// What an authorizer allows, until when, and what its decision rests on.
///
/// ```
/// use event_broker::Grant;
///
/// let grant = Grant::namespaces(["prod"]).resting_on_policy("readers").resting_on_role("ops");
/// assert!(grant.admits(&"prod".into()));
/// assert!(!grant.admits(&"staging".into()));
/// assert!(grant.admits(&"".into()), "an event without a namespace passes");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    scope: Option<Box<[Namespace]>>,
    expires_at: Option<Instant>,
    tokens: Vec<Arc<str>>,
    policies: Vec<Arc<str>>,
    roles: Vec<Arc<str>>,
    checks_events: bool,
}

impl Grant {
    /// Allows everything that was requested, without expiry.
    pub const fn all() -> Self {
        Self {
            scope: None,
            expires_at: None,
            tokens: Vec::new(),
            policies: Vec::new(),
            roles: Vec::new(),
            checks_events: true,
        }
    }

    /// Allows what was requested within these namespaces. A request that names another namespace is denied as a whole.
    /// A request for all namespaces is narrowed to these.
    pub fn namespaces<N: Into<Namespace>>(namespaces: impl IntoIterator<Item = N>) -> Self {
        let mut names: Vec<_> = namespaces.into_iter().map(Into::into).collect();
        names.sort_unstable();
        names.dedup();
        Self { scope: Some(names.into()), ..Self::all() }
    }

    /// Sets when the grant expires, by the broker's [`Clock`](crate::Clock).
    ///
    /// At that time the authorizer is not asked: reads end with [`RecvError::Expired`](crate::RecvError::Expired). To
    /// renew the grant, announce a change of something that it rests on in time, such as [`AccessChange::Token`] of the
    /// principal's id. The next read then asks the authorizer, and a waiting reader is woken to do so.
    #[must_use]
    pub fn expires_at(mut self, expiry: Instant) -> Self {
        self.expires_at = Some(expiry);
        self
    }

    /// Adds a token that the grant rests on, beside the principal's own id.
    #[must_use]
    pub fn resting_on_token(mut self, id: impl Into<Arc<str>>) -> Self {
        self.tokens.push(id.into());
        self
    }

    /// Adds a policy that the grant rests on. When the policy changes, the authorizer is asked again.
    #[must_use]
    pub fn resting_on_policy(mut self, name: impl Into<Arc<str>>) -> Self {
        self.policies.push(name.into());
        self
    }

    /// Adds a role that the grant rests on. When the role changes, the authorizer is asked again.
    #[must_use]
    pub fn resting_on_role(mut self, id: impl Into<Arc<str>>) -> Self {
        self.roles.push(id.into());
        self
    }

    /// States that every event in the scope is allowed, so that [`Authorizer::permits`] is not called.
    #[must_use]
    pub fn without_event_checks(mut self) -> Self {
        self.checks_events = false;
        self
    }

    /// Returns whether the grant covers this namespace.
    pub fn admits(&self, namespace: &Namespace) -> bool {
        namespace.is_empty() || self.scope.as_ref().is_none_or(|names| names.binary_search(namespace).is_ok())
    }

    /// Returns the allowed namespaces, or `None` for all.
    pub fn allowed_namespaces(&self) -> Option<&[Namespace]> {
        self.scope.as_deref()
    }

    /// Returns when the grant expires, or `None` if it does not.
    pub fn expiry(&self) -> Option<Instant> {
        self.expires_at
    }

    pub(crate) fn checks_events(&self) -> bool {
        self.checks_events
    }

    /// Returns what this grant of `principal` rests on: the principal's own id first, then tokens, policies and roles.
    /// A change of any of them requires a re-check.
    pub(crate) fn basis(&self, principal: &Principal) -> impl Iterator<Item = Basis> + '_ {
        let own = Basis::Token(Arc::from(principal.id()));
        std::iter::once(own)
            .chain(self.tokens.iter().cloned().map(Basis::Token))
            .chain(self.policies.iter().cloned().map(Basis::Policy))
            .chain(self.roles.iter().cloned().map(Basis::Role))
    }

    /// Returns the first namespace that the request names and the grant does not cover.
    pub(crate) fn uncovered<'a>(&self, scope: &'a Scope) -> Option<&'a Namespace> {
        scope.named()?.iter().find(|name| !self.admits(name))
    }
}

/// Something that a grant rests on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Basis {
    Token(Arc<str>),
    Policy(Arc<str>),
    Role(Arc<str>),
}

/// A change of the server's access rules, and whom it concerns.
///
/// Names are public ids, never secrets.
///
/// ```
/// use event_broker::{AccessChange, Broker, Event, Principal, RecvError, Request};
///
/// let broker = Broker::<()>::new();
/// let mut reader = broker.subscribe(Request::new().principal(Principal::new("6f1c")))?;
/// broker.publish(1, [Event::new("Job", "JobRegistered", "web", ())])?;
///
/// broker.access_changed(AccessChange::TokenDeleted("6f1c".into()));
/// let RecvError::Revoked(denial) = reader.recv().unwrap_err() else { panic!("its token is gone") };
/// assert_eq!(denial.reason(), "the token was deleted");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AccessChange {
    /// A token was deleted. What rests on it ends, and the authorizer is not asked.
    TokenDeleted(Arc<str>),
    /// A token changed: that of the principals with this [id](Principal::id), or one that a grant [rests
    /// on](Grant::resting_on_token).
    Token(Arc<str>),
    /// A policy changed or was deleted.
    Policy(Arc<str>),
    /// A role changed or was deleted.
    Role(Arc<str>),
    /// The access of everyone must be re-checked.
    Everyone,
}

impl AccessChange {
    /// Returns what changed, or `None` if the change concerns everyone.
    pub(crate) fn basis(&self) -> Option<Basis> {
        match self {
            Self::TokenDeleted(id) | Self::Token(id) => Some(Basis::Token(Arc::clone(id))),
            Self::Policy(name) => Some(Basis::Policy(Arc::clone(name))),
            Self::Role(id) => Some(Basis::Role(Arc::clone(id))),
            Self::Everyone => None,
        }
    }
}

/// The server's access rules, as hooks. The default implementations allow everything and report no changes.
///
/// All three hooks run outside every lock of the broker, so they may call it. They may be slow: [`authorize`] and
/// [`permits`] delay only the reader they are called for, and [`changes`] only the publisher.
///
/// While [`authorize`] runs, it may announce a change of the token that it decides about, as an authorizer does that
/// records each use of a token. Such a change is a fence like any other but wakes no reader. Otherwise two readers of
/// one token would wake each other forever.
///
/// [`authorize`]: Authorizer::authorize
/// [`permits`]: Authorizer::permits
/// [`changes`]: Authorizer::changes
///
/// ```
/// use event_broker::{AccessRequest, Authorizer, Broker, Denial, Grant, Request, Term};
///
/// struct JobsOnly;
///
/// impl<P> Authorizer<P> for JobsOnly {
///     fn authorize(&self, request: &AccessRequest<'_>) -> Result<Grant, Denial> {
///         match request.terms().iter().find(|term| term.topic_name().is_none_or(|topic| topic != "Job")) {
///             None => Ok(Grant::all()),
///             Some(term) => Err(Denial::new(format!("no right to read {term}"))),
///         }
///     }
/// }
///
/// let broker = Broker::<()>::builder().authorizer(JobsOnly).build().unwrap();
/// assert!(broker.subscribe(Request::new().term(Term::topic("Job").unwrap())).is_ok());
/// let denied = broker.subscribe(Request::new()).unwrap_err();
/// assert_eq!(denied.to_string(), "access denied: no right to read *:*");
/// ```
pub trait Authorizer<P>: Send + Sync {
    /// Decides a request when a subscription is opened, and again whenever something that the grant rests on changes.
    ///
    /// # Errors
    ///
    /// Returns a denial to refuse the whole request. At subscribing it is returned as an error. In a re-check it ends
    /// the stream.
    ///
    /// # Panics
    ///
    /// At subscribing a panic reaches the caller. In a re-check it counts as a denial.
    fn authorize(&self, request: &AccessRequest<'_>) -> Result<Grant, Denial> {
        let _ = request;
        Ok(Grant::all())
    }

    /// Decides a single event, for rules finer than namespaces. Called once for each event and subscription, unless the
    /// grant [rules it out](Grant::without_event_checks). If access changes while a batch of more than 256 events is
    /// filtered, it is called for that batch again, under the new grant.
    fn permits(&self, principal: &Principal, event: &Event<P>) -> bool {
        let _ = (principal, event);
        true
    }

    /// Adds the access changes that a published event represents. They take effect before the event becomes visible.
    fn changes(&self, event: &Event<P>, changes: &mut Vec<AccessChange>) {
        let _ = (event, changes);
    }
}

impl<P, T: Authorizer<P> + ?Sized> Authorizer<P> for Arc<T> {
    fn authorize(&self, request: &AccessRequest<'_>) -> Result<Grant, Denial> {
        (**self).authorize(request)
    }

    fn permits(&self, principal: &Principal, event: &Event<P>) -> bool {
        (**self).permits(principal, event)
    }

    fn changes(&self, event: &Event<P>, changes: &mut Vec<AccessChange>) {
        (**self).changes(event, changes);
    }
}
