//! One rule of an authorizer in tests: what it answers, until when, and how slowly.
//! Who is subject to which rule is decided in `rules`.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::clock::ManualClock;
use super::gate::{Gate, Shared as GateShared};
use crate::access::{AccessRequest, Grant};
use crate::types::error::Denial;
use crate::types::name::Namespace;

type Decide = dyn Fn(&AccessRequest<'_>) -> Result<Grant, Denial> + Send + Sync;

/// What [`Rules`](super::Rules) answer to a request.
///
/// A [`Grant`] and a [`Denial`] can be used as rules as they are.
///
/// ```
/// use event_broker::testing::{Rule, Rules};
/// use event_broker::{AccessChange, Broker, Denial, Grant, Request, TryRecvError};
///
/// let rules = Rules::new();
/// let broker = Broker::<u32>::builder().authorizer(rules.clone()).build()?;
/// rules.set(Grant::namespaces(["prod"]).resting_on_policy("readers"));
/// let mut reader = broker.subscribe(Request::new().namespace("*"))?;
///
/// rules.set(Rule::decide(|request| {
///     if request.is_recheck() { Ok(Grant::all()) } else { Err(Denial::new("the server is full")) }
/// }));
/// broker.access_changed(AccessChange::Policy("readers".into()));
/// assert_eq!(reader.try_recv().unwrap_err(), TryRecvError::Empty, "it may read on");
/// assert!(broker.subscribe(Request::new()).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Rule {
    decide: Arc<Decide>,
    expiry: Option<Expiry>,
    gate: Option<Arc<GateShared>>,
}

#[derive(Clone)]
enum Expiry {
    At(Instant),
    After(ManualClock, Duration),
}

impl Rule {
    /// Allows everything that is requested.
    pub fn allow() -> Self {
        Self::from(Grant::all())
    }

    /// Denies every request, for this reason.
    pub fn deny(reason: impl Into<Arc<str>>) -> Self {
        Self::from(Denial::new(reason))
    }

    /// Allows what is requested within these namespaces, as [`Grant::namespaces`] does.
    pub fn namespaces<N: Into<Namespace>>(namespaces: impl IntoIterator<Item = N>) -> Self {
        Self::from(Grant::namespaces(namespaces))
    }

    /// Creates a rule that panics with this message whenever it is asked. At subscribing the panic reaches the caller.
    /// In a re-check it counts as a denial.
    ///
    /// # Panics
    ///
    /// The rule does when it is asked, and this function does not.
    ///
    /// ```
    /// use event_broker::testing::{Rule, Rules};
    /// use event_broker::{AccessChange, Broker, RecvError, Request};
    ///
    /// let rules = Rules::new();
    /// let broker = Broker::<u32>::builder().authorizer(rules.clone()).build()?;
    /// let mut reader = broker.subscribe(Request::new())?;
    /// rules.set(Rule::panic("the rights cannot be read"));
    /// broker.access_changed(AccessChange::Everyone);
    /// assert!(matches!(reader.recv(), Err(RecvError::Revoked(_))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn panic(message: impl Into<String>) -> Self {
        let message = message.into();
        Self::decide(move |_| panic!("{message}"))
    }

    /// Decides each request by a closure.
    pub fn decide(decide: impl Fn(&AccessRequest<'_>) -> Result<Grant, Denial> + Send + Sync + 'static) -> Self {
        Self { decide: Arc::new(decide), expiry: None, gate: None }
    }

    /// Lets all grants of this rule expire at this instant, by the broker's clock.
    #[must_use]
    pub fn expires_at(mut self, expiry: Instant) -> Self {
        self.expiry = Some(Expiry::At(expiry));
        self
    }

    /// Lets each grant of this rule expire this long after it was given, by a clock that the broker should have as well.
    /// If that time cannot be represented, it does not expire.
    #[must_use]
    pub fn expires_after(mut self, clock: &ManualClock, duration: Duration) -> Self {
        self.expiry = Some(Expiry::After(clock.clone(), duration));
        self
    }

    /// Answers only when the gate is open, and waits until then: the rule is as slow as the test wants.
    #[must_use]
    pub fn held_by(mut self, gate: &Gate) -> Self {
        self.gate = Some(gate.shared());
        self
    }

    /// Decides a request, and waits at the gate before.
    pub(super) fn answer(&self, request: &AccessRequest<'_>) -> Result<Grant, Denial> {
        if let Some(gate) = &self.gate {
            gate.pass();
        }
        let grant = (self.decide)(request)?;
        Ok(match &self.expiry {
            None => grant,
            Some(Expiry::At(expiry)) => grant.expires_at(*expiry),
            Some(Expiry::After(clock, duration)) => match clock.checked_after(*duration) {
                Some(expiry) => grant.expires_at(expiry),
                None => grant,
            },
        })
    }
}

impl From<Grant> for Rule {
    fn from(grant: Grant) -> Self {
        Self::decide(move |_| Ok(grant.clone()))
    }
}

impl From<Denial> for Rule {
    fn from(denial: Denial) -> Self {
        Self::decide(move |_| Err(denial.clone()))
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule")
            .field("expires", &self.expiry.is_some())
            .field("is_held_by_a_gate", &self.gate.is_some())
            .finish_non_exhaustive()
    }
}
