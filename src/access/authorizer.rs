//! Who may read what: principals, the authorizer hook, grants, denials and access changes.
//! When the hook is asked and how a grant is taken back is the broker's business, not this file's.

use std::sync::Arc;
use std::time::Instant;

use crate::types::error::Denial;
use crate::types::event::Event;
use crate::types::name::Namespace;
use crate::types::principal::Principal;
use crate::types::term::{Scope, Term};

/// What an authorizer is asked about.
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
    /// A question to put to an authorizer, as the broker puts it to open a subscription; for tests of authorizers and
    /// policies.
    pub fn new(principal: &'a Principal, terms: &'a [Term], scope: &'a Scope) -> Self {
        Self { principal, terms, scope, recheck: false }
    }

    /// The same question about a subscription that is open already.
    #[must_use]
    pub fn of_recheck(self) -> Self {
        Self { recheck: true, ..self }
    }

    /// Whether the question is about a subscription that is open already, because access has changed: a limit on how many
    /// a principal may have, say, is for those that are being opened.
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

    /// Who is asking.
    pub fn principal(&self) -> &'a Principal {
        self.principal
    }

    /// The terms asked for, at least one: a request without terms asks for [`Term::ALL`].
    pub fn terms(&self) -> &'a [Term] {
        self.terms
    }

    /// The namespaces asked for.
    pub fn scope(&self) -> &'a Scope {
        self.scope
    }
}

/// What is allowed, until when, and what that rests on.
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
    /// All that was asked for, for good.
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

    /// What was asked for, within these namespaces. A request that names one outside is denied as a whole; a request
    /// for all of them is narrowed to these.
    pub fn namespaces<N: Into<Namespace>>(namespaces: impl IntoIterator<Item = N>) -> Self {
        let mut names: Vec<_> = namespaces.into_iter().map(Into::into).collect();
        names.sort_unstable();
        names.dedup();
        Self { scope: Some(names.into()), ..Self::all() }
    }

    /// Sets when the grant ends, on the broker's [`Clock`](crate::Clock).
    ///
    /// When it does, the authorizer is not asked: reads end with [`RecvError::Expired`](crate::RecvError::Expired). To renew
    /// it, announce a change of what it rests on in time, such as [`AccessChange::Token`] of the principal's id: the next
    /// read asks, and a reader that waits is woken to.
    #[must_use]
    pub fn expires_at(mut self, expiry: Instant) -> Self {
        self.expires_at = Some(expiry);
        self
    }

    /// Says that the grant rests on a token, beside the principal's own id.
    #[must_use]
    pub fn resting_on_token(mut self, id: impl Into<Arc<str>>) -> Self {
        self.tokens.push(id.into());
        self
    }

    /// Says that the grant rests on a policy: it is asked for again when that changes.
    #[must_use]
    pub fn resting_on_policy(mut self, name: impl Into<Arc<str>>) -> Self {
        self.policies.push(name.into());
        self
    }

    /// Says that the grant rests on a role: it is asked for again when that changes.
    #[must_use]
    pub fn resting_on_role(mut self, id: impl Into<Arc<str>>) -> Self {
        self.roles.push(id.into());
        self
    }

    /// Says that every event in the scope is allowed, so that [`Authorizer::permits`] need not be called.
    #[must_use]
    pub fn without_event_checks(mut self) -> Self {
        self.checks_events = false;
        self
    }

    /// Whether the grant's namespaces hold this one.
    pub fn admits(&self, namespace: &Namespace) -> bool {
        namespace.is_empty() || self.scope.as_ref().is_none_or(|names| names.binary_search(namespace).is_ok())
    }

    /// The namespaces allowed, or `None` for all.
    pub fn allowed_namespaces(&self) -> Option<&[Namespace]> {
        self.scope.as_deref()
    }

    /// When the grant ends, if it does.
    pub fn expiry(&self) -> Option<Instant> {
        self.expires_at
    }

    pub(crate) fn checks_events(&self) -> bool {
        self.checks_events
    }

    /// The changes that call this grant of `principal` into question.
    pub(crate) fn basis(&self, principal: &Principal) -> impl Iterator<Item = Basis> + '_ {
        let own = Basis::Token(Arc::from(principal.id()));
        std::iter::once(own)
            .chain(self.tokens.iter().cloned().map(Basis::Token))
            .chain(self.policies.iter().cloned().map(Basis::Policy))
            .chain(self.roles.iter().cloned().map(Basis::Role))
    }

    /// The first namespace that the request names and the grant does not cover.
    pub(crate) fn uncovered<'a>(&self, scope: &'a Scope) -> Option<&'a Namespace> {
        scope.named()?.iter().find(|name| !self.admits(name))
    }
}

/// One thing that a grant rests on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Basis {
    Token(Arc<str>),
    Policy(Arc<str>),
    Role(Arc<str>),
}

/// A change of the server's own access rules, and whom it concerns.
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
    /// A token is gone: what rests on it ends without the authorizer being asked.
    TokenDeleted(Arc<str>),
    /// A token changed: that of the principals of this [id](Principal::id), or one that a grant
    /// [rests on](Grant::resting_on_token).
    Token(Arc<str>),
    /// A policy changed or is gone.
    Policy(Arc<str>),
    /// A role changed or is gone.
    Role(Arc<str>),
    /// Everybody's access is to be asked for again.
    Everyone,
}

impl AccessChange {
    /// What the change is about, or `None` if it concerns everyone.
    pub(crate) fn basis(&self) -> Option<Basis> {
        match self {
            Self::TokenDeleted(id) | Self::Token(id) => Some(Basis::Token(Arc::clone(id))),
            Self::Policy(name) => Some(Basis::Policy(Arc::clone(name))),
            Self::Role(id) => Some(Basis::Role(Arc::clone(id))),
            Self::Everyone => None,
        }
    }
}

/// The server's own rules, as hooks. Every default allows everything and changes nothing.
///
/// All three run outside every lock of the broker, so they may call it. A change of the token that
/// [`authorize`] is asked about, announced while it is, is a fence like any other but wakes nobody: so two readers of one
/// token, for which it is noted each time that it was used, do not wake each other for ever. They may be slow: [`authorize`] and
/// [`permits`] hold up the reader they are asked for and nobody else, [`changes`] the publisher.
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
    /// Decides a request, when it is made and again whenever what the grant rests on changes.
    ///
    /// # Errors
    ///
    /// The denial refuses the whole request: at subscribing as an error, later as the end of the stream.
    ///
    /// # Panics
    ///
    /// At subscribing a panic reaches the caller; in a later check it counts as a denial.
    fn authorize(&self, request: &AccessRequest<'_>) -> Result<Grant, Denial> {
        let _ = request;
        Ok(Grant::all())
    }

    /// Decides one event, for rules finer than namespaces. Called once for each event and subscription, unless the
    /// grant says that it [need not be](Grant::without_event_checks).
    fn permits(&self, principal: &Principal, event: &Event<P>) -> bool {
        let _ = (principal, event);
        true
    }

    /// Says which changes of access an event stands for. They take effect before the event becomes visible.
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
