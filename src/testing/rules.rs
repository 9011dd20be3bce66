//! An authorizer that a test switches, and that records what it is asked.
//! What a switch means for open subscriptions is decided by the broker, once the change is announced.
//!
//! Invariant: rules and closures of the test run, wait and panic without a lock.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::rule::Rule;
use crate::access::{AccessChange, AccessRequest, Authorizer, Grant};
use crate::nomad::access_changes;
use crate::sync::Mutex;
use crate::types::error::Denial;
use crate::types::event::Event;
use crate::types::name::Namespace;
use crate::types::principal::Principal;
use crate::types::term::Term;

type Permit<P> = dyn Fn(&Principal, &Event<P>) -> bool + Send + Sync;
type Changes<P> = dyn Fn(&Event<P>, &mut Vec<AccessChange>) + Send + Sync;

/// A request that [`Rules`] were asked to decide.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Asked {
    /// The public id of the principal.
    pub principal: String,
    /// The requested terms.
    pub terms: Vec<Term>,
    /// The requested namespaces, or `None` for all.
    pub namespaces: Option<Vec<Namespace>>,
    /// Whether it was a re-check of an open subscription.
    pub is_recheck: bool,
}

impl From<&AccessRequest<'_>> for Asked {
    fn from(request: &AccessRequest<'_>) -> Self {
        Self {
            principal: request.principal().id().to_owned(),
            terms: request.terms().to_vec(),
            namespaces: request.scope().named().map(<[_]>::to_vec),
            is_recheck: request.is_recheck(),
        }
    }
}

/// In one line, such as `6f1c: Job:web, Node:* in prod, staging (re-check)`.
impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn list<T: ToString>(items: &[T]) -> String {
            items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        }
        let namespaces = self.namespaces.as_ref().map_or_else(|| "*".to_owned(), |names| list(names));
        write!(f, "{}: {} in {namespaces}", self.principal, list(&self.terms))?;
        if self.is_recheck { f.write_str(" (re-check)") } else { Ok(()) }
    }
}

/// How often [`Rules`] were called since they were created, by hook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AskedCounts {
    /// The requests of subscriptions that were being opened.
    pub opened: u64,
    /// The re-checks of open subscriptions.
    pub rechecked: u64,
    /// The events that were decided singly, by [`Authorizer::permits`].
    pub events: u64,
    /// The published events that were examined for access changes, by [`Authorizer::changes`].
    pub published: u64,
}

/// An [`Authorizer`] that a test switches. It records the requests that it is asked to decide. Clones share everything.
///
/// At first it allows everything to everybody, permits every event, and derives access changes from events as
/// [`access_changes`] does.
///
/// A switch alone is no access change: nobody is asked again because of it. A test announces it as the server would, by
/// [`Broker::access_changed`](crate::Broker::access_changed) or by an event.
///
/// ```
/// use event_broker::testing::{Rule, Rules};
/// use event_broker::{AccessChange, Broker, Principal, RecvError, Request, Term};
///
/// let rules = Rules::new();
/// rules.set(Rule::deny("unknown token"));
/// rules.set_for("6f1c", Rule::namespaces(["prod"]));
/// let broker = Broker::<u32>::builder().authorizer(rules.clone()).build()?;
/// let jobs = Request::new().term(Term::topic("Job")?).namespace("prod");
///
/// let mut reader = broker.subscribe(jobs.principal(Principal::new("6f1c")))?;
/// assert!(broker.subscribe(Request::new()).is_err(), "the anonymous principal has no rule of its own");
///
/// rules.set_for("6f1c", Rule::deny("no longer allowed"));
/// broker.access_changed(AccessChange::Token("6f1c".into()));
/// let Err(RecvError::Revoked(denial)) = reader.recv() else { panic!("it was taken back") };
/// assert_eq!(denial.reason(), "no longer allowed");
///
/// let asked: Vec<_> = rules.take_asked().iter().map(ToString::to_string).collect();
/// assert_eq!(asked, ["6f1c: Job:* in prod", "anonymous: *:* in default", "6f1c: Job:* in prod (re-check)"]);
/// assert_eq!((rules.counts().opened, rules.counts().rechecked), (2, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Rules<P>(Arc<Mutex<State<P>>>);

struct State<P> {
    default: Rule,
    by_principal: BTreeMap<String, Rule>,
    permit: Option<Arc<Permit<P>>>,
    changes: Option<Arc<Changes<P>>>,
    asked: Vec<Asked>,
    counts: AskedCounts,
}

impl<P> Rules<P> {
    /// Creates rules that allow everything.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            default: Rule::allow(),
            by_principal: BTreeMap::new(),
            permit: None,
            changes: None,
            asked: Vec::new(),
            counts: AskedCounts::default(),
        })))
    }

    /// Sets the rule of all principals that have none of their own.
    pub fn set(&self, rule: impl Into<Rule>) {
        let rule = rule.into();
        self.replace(|state| std::mem::replace(&mut state.default, rule));
    }

    /// Sets the rule of the principal with this [id](Principal::id).
    pub fn set_for(&self, principal_id: impl Into<String>, rule: impl Into<Rule>) {
        let (id, rule) = (principal_id.into(), rule.into());
        self.replace(|state| state.by_principal.insert(id, rule));
    }

    /// Removes the rule of this principal, to which the rule of all others applies again.
    pub fn unset_for(&self, principal_id: &str) {
        self.replace(|state| state.by_principal.remove(principal_id));
    }

    /// Decides single events by this closure, which gets the principal and the event.
    ///
    /// ```
    /// use event_broker::testing::Rules;
    /// use event_broker::{Broker, Event, Request};
    ///
    /// let rules = Rules::new();
    /// rules.permit_if(|_, event: &Event<u32>| event.key() != "secret");
    /// let broker = Broker::builder().authorizer(rules.clone()).build()?;
    /// let mut reader = broker.subscribe(Request::new())?;
    /// broker.publish(1, ["web", "secret"].map(|job| Event::new("Job", "JobRegistered", job, 1)))?;
    /// assert_eq!(reader.recv()?.len(), 1);
    /// assert_eq!(rules.counts().events, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn permit_if(&self, permit: impl Fn(&Principal, &Event<P>) -> bool + Send + Sync + 'static) {
        self.replace(|state| state.permit.replace(Arc::new(permit)));
    }

    /// Derives access changes from published events by this closure, instead of [`access_changes`].
    ///
    /// ```
    /// use event_broker::testing::{Rule, Rules};
    /// use event_broker::{AccessChange, Broker, Event, Request};
    ///
    /// let rules = Rules::new();
    /// rules.derive_changes(|event: &Event<u32>, changes| {
    ///     if event.topic() == "Lockdown" {
    ///         changes.push(AccessChange::Everyone);
    ///     }
    /// });
    /// let broker = Broker::builder().authorizer(rules.clone()).build()?;
    /// let mut reader = broker.subscribe(Request::new())?;
    /// rules.set(Rule::deny("locked"));
    /// broker.publish(1, [Event::new("Lockdown", "Begun", "all", 1)])?;
    /// assert_eq!(reader.recv().unwrap_err().to_string(), "access revoked: locked");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn derive_changes(&self, derive: impl Fn(&Event<P>, &mut Vec<AccessChange>) + Send + Sync + 'static) {
        self.replace(|state| state.changes.replace(Arc::new(derive)));
    }

    /// Returns the requests that it was asked to decide since the last call of this method, and forgets them. A request
    /// is recorded before it is decided, so one that is [held](Rule::held_by) or panics is among them.
    pub fn take_asked(&self) -> Vec<Asked> {
        self.replace(|state| std::mem::take(&mut state.asked))
    }

    /// Returns how often each hook was called since the rules were created, whatever was taken.
    pub fn counts(&self) -> AskedCounts {
        self.0.lock().counts
    }

    /// Changes the state, and returns what was replaced, which is dropped without the lock.
    fn replace<T>(&self, change: impl FnOnce(&mut State<P>) -> T) -> T {
        change(&mut self.0.lock())
    }
}

impl<P> Authorizer<P> for Rules<P> {
    fn authorize(&self, request: &AccessRequest<'_>) -> Result<Grant, Denial> {
        let asked = Asked::from(request);
        let rule = {
            let mut state = self.0.lock();
            let counts = &mut state.counts;
            *if asked.is_recheck { &mut counts.rechecked } else { &mut counts.opened } += 1;
            let rule = state.by_principal.get(&asked.principal).unwrap_or(&state.default).clone();
            state.asked.push(asked);
            rule
        };
        rule.answer(request)
    }

    fn permits(&self, principal: &Principal, event: &Event<P>) -> bool {
        let permit = {
            let mut state = self.0.lock();
            state.counts.events += 1;
            state.permit.clone()
        };
        permit.is_none_or(|permit| permit(principal, event))
    }

    fn changes(&self, event: &Event<P>, changes: &mut Vec<AccessChange>) {
        let derive = {
            let mut state = self.0.lock();
            state.counts.published += 1;
            state.changes.clone()
        };
        match derive {
            Some(derive) => derive(event, changes),
            None => access_changes(event, changes),
        }
    }
}

impl<P> Clone for Rules<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<P> Default for Rules<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P> fmt::Debug for Rules<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(broker_loom)))]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use std::time::Duration;

    use super::super::clock::ManualClock;
    use super::*;
    use crate::broker::Broker;
    use crate::types::error::RecvError;
    use crate::types::request::Request;

    fn request(id: &str) -> Request<()> {
        Request::new().namespace("prod").principal(Principal::new(id))
    }

    #[test]
    fn a_principal_has_its_own_rule_until_it_is_unset() {
        let rules = Rules::new();
        let broker = Broker::builder().authorizer(rules.clone()).build().expect("the defaults are valid");
        let may = |id| broker.subscribe(request(id)).is_ok();
        rules.set_for("ann", Denial::new("not ann"));
        assert_eq!((may("ann"), may("bob")), (false, true));
        rules.set(Grant::namespaces(["staging"]));
        rules.set_for("bob", Rule::namespaces(["prod"]));
        rules.unset_for("ann");
        assert_eq!((may("ann"), may("bob")), (false, true));
        rules.set(Rule::panic("no rights"));
        let panic = catch_unwind(AssertUnwindSafe(|| may("ann"))).expect_err("it reaches the caller");
        assert_eq!(panic.downcast_ref::<String>().map(String::as_str), Some("no rights"));
        rules.set(Rule::allow());
        assert!(may("ann"), "a panic harms no later request");
        let asked: Vec<_> = rules.take_asked().into_iter().map(|asked| asked.principal).collect();
        assert_eq!(asked, ["ann", "bob", "ann", "bob", "ann", "ann"]);
        assert_eq!((rules.take_asked(), rules.counts()), (vec![], AskedCounts { opened: 6, ..AskedCounts::default() }));
    }

    #[test]
    fn a_grant_expires_at_an_instant_or_after_a_time() {
        let (clock, rules) = (ManualClock::new(), Rules::new());
        let second = Duration::from_secs(1);
        rules.set_for("at", Rule::allow().expires_at(clock.at(second * 5)));
        rules.set_for("after", Rule::allow().expires_after(&clock, second * 5));
        let broker = Broker::builder().authorizer(rules).clock(clock.clone()).build().expect("the defaults are valid");
        clock.advance(second);
        let mut readers = ["at", "after"].map(|id| broker.subscribe(request(id)).expect("it is allowed"));
        let mut expired = |by| {
            clock.advance(by);
            readers.each_mut().map(|reader| reader.try_recv().is_err_and(|error| error == RecvError::Expired.into()))
        };
        assert_eq!(expired(second * 3), [false, false]);
        assert_eq!(expired(second), [true, false]);
        assert_eq!(expired(second), [true, true]);
    }

    /// Events change access as in the reference's world, and every published event is examined once.
    #[test]
    fn changes_are_derived_from_events() {
        let rules = Rules::new();
        let broker = Broker::builder().authorizer(rules.clone()).build().expect("the defaults are valid");
        let mut reader = broker.subscribe(request("6f1c")).expect("it is allowed");
        let token = |kind| Event::new("ACLToken", kind, "6f1c", ()).with_namespace("prod");
        broker.publish(1, [token("ACLTokenUpserted"), Event::new("Job", "JobRegistered", "web", ())]).expect("rising");
        assert_eq!(reader.try_recv().map(|delivery| delivery.len()), Ok(2));
        broker.publish(2, [token("ACLTokenDeleted")]).expect("rising");
        assert!(reader.try_recv().is_err());
        let counts = AskedCounts { opened: 1, rechecked: 1, events: 2, published: 3 };
        assert_eq!(rules.counts(), counts);
        let asked: Vec<_> = rules.take_asked().iter().map(ToString::to_string).collect();
        assert_eq!(asked, ["6f1c: *:* in prod", "6f1c: *:* in prod (re-check)"]);
    }
}
