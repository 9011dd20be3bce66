//! The handle of a subscription: observing it and ending it from elsewhere.
//! It reads no deliveries, and reports the reader's cursor as of the last completed read or window.
//!
//! Invariant: a handle sets the gate of its reader and wakes it, and changes nothing else of it.
//!
//! Callers: `Subscription::handle` and `Broker::subscriptions` make handles. Any thread may call them.

use std::fmt;
use std::sync::Arc;

use crate::access::Ending;
use crate::core::{Core, Waiter};
use crate::steps::{Step, count};
use crate::types::position::Position;
use crate::types::principal::Principal;
use crate::types::stats::{SubscriptionId, SubscriptionStats};
use crate::types::term::{Scope, Term};
use crate::types::token::Token;

/// A handle of a subscription, for code that does not read from it.
///
/// A handle outlives the subscription and the broker. It then has no effect, and returns what was last known. As long
/// as it is held, it keeps the broker's buffer in memory.
///
/// ```
/// use event_broker::{Broker, RecvError, Request};
///
/// let broker = Broker::<()>::new();
/// let mut reader = broker.subscribe(Request::new())?;
/// let handle = reader.handle();
/// let blocked = std::thread::spawn(move || reader.recv().unwrap_err());
/// handle.cancel();
/// assert_eq!(blocked.join().unwrap(), RecvError::Cancelled);
/// # Ok::<(), event_broker::SubscribeError>(())
/// ```
pub struct SubscriptionHandle<P> {
    core: Arc<Core<P>>,
    waiter: Waiter,
}

impl<P> SubscriptionHandle<P> {
    pub(crate) fn new(core: Arc<Core<P>>, waiter: Waiter) -> Self {
        Self { core, waiter }
    }

    /// Returns the id of the subscription, unique within its broker.
    pub fn id(&self) -> SubscriptionId {
        SubscriptionId(self.waiter.shared.id)
    }

    /// Returns the public id of the principal that subscribed, or [`Principal::ANONYMOUS`](crate::Principal::ANONYMOUS)
    /// for the anonymous one. It identifies the client of a reader that lags.
    ///
    /// ```
    /// use event_broker::{Broker, Principal, Request, Term};
    ///
    /// let broker = Broker::<()>::new();
    /// let request = Request::new().principal(Principal::new("6f1c")).term(Term::topic("Job")?).namespace("prod");
    /// let reader = broker.subscribe(request)?;
    /// let [handle] = &broker.subscriptions()[..] else { panic!("there is one") };
    /// assert_eq!((handle.id(), handle.principal_id()), (reader.id(), "6f1c"));
    /// assert_eq!((handle.terms(), handle.scope()), (reader.terms(), reader.scope()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn principal_id(&self) -> &str {
        self.waiter.shared.principal.as_deref().map_or(Principal::ANONYMOUS, |id| id)
    }

    /// Returns the requested terms, each once.
    pub fn terms(&self) -> &[Term] {
        self.waiter.shared.filter.terms()
    }

    /// Returns the requested namespaces.
    pub fn scope(&self) -> &Scope {
        self.waiter.shared.filter.scope()
    }

    /// Ends the subscription: every read returns [`RecvError::Cancelled`](crate::RecvError::Cancelled) from now on. A
    /// read that waits is woken.
    pub fn cancel(&self) {
        self.waiter.shared.gate.end(Ending::Cancelled);
        self.waiter.wake();
    }

    /// Returns the counters of the subscription.
    pub fn stats(&self) -> SubscriptionStats {
        let counters = &self.waiter.shared.counters;
        let counts = counters.counts();
        SubscriptionStats {
            batches: counts.batches,
            events: counts.events,
            missed: counters.missed(),
            lag: self.lag(),
            wakeups: self.waiter.wakeups(),
        }
    }

    /// Returns whether the reader waits. A thread waits while it is inside a blocking read. A task waits if it was
    /// pending when it was last polled and has not been woken since. A reader that waits at its doorbell is not
    /// reported.
    ///
    /// ```
    /// use event_broker::{Broker, Event, Request};
    ///
    /// let broker = Broker::<()>::new();
    /// let mut reader = broker.subscribe(Request::new())?;
    /// let handle = reader.handle();
    /// let reading = std::thread::spawn(move || reader.recv().map(|delivery| delivery.index()));
    /// while !handle.is_waiting() {
    ///     std::thread::yield_now();
    /// }
    /// broker.publish(7, [Event::new("Job", "JobRegistered", "web", ())])?;
    /// assert_eq!(reading.join().unwrap()?, 7);
    /// assert!(!handle.is_waiting());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_waiting(&self) -> bool {
        self.waiter.is_waiting()
    }

    /// Returns the resume token of the reader, as of its last completed read or window; see
    /// [`Subscription::token`](crate::Subscription::token).
    ///
    /// If the reader was overtaken, a subscription that starts after this token reports a loss.
    ///
    /// ```
    /// use event_broker::{Broker, Event, Request, Start};
    ///
    /// let broker = Broker::<()>::new();
    /// let reader = broker.subscribe(Request::new())?;
    /// broker.publish(7, [Event::new("Job", "JobRegistered", "web", ())])?;
    /// let token = reader.handle().token(); // it disconnects before its first event
    /// drop(reader);
    /// let mut resumed = broker.subscribe(Request::new().start(Start::After(token)))?;
    /// assert_eq!(resumed.try_recv()?.index(), 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn token(&self) -> Token {
        self.core.token_of(&self.waiter)
    }

    /// Returns the distance from the cursor to the end of the log, or zero if nothing in between matches.
    fn lag(&self) -> u64 {
        let log = &self.core.log;
        let end = log.end().position;
        let cursor = self.waiter.shared.cursor(log.oldest(), end);
        let nodes = &self.waiter.shared.nodes;
        count(Step::Poll, nodes.len());
        let any_match = nodes.is_empty()
            || self.waiter.shared.gate.state().is_skipped()
            || nodes.iter().any(|node| node.chain.end() > cursor || node.evicted_end() > cursor)
            || self.may_match_backlog(cursor, end);
        if any_match { end.since(cursor) } else { 0 }
    }

    /// Returns whether anything between the cursor and the nodes' first position matches, or may match: that part of
    /// the log is examined only if it is short.
    fn may_match_backlog(&self, cursor: Position, end: Position) -> bool {
        let nodes = &self.waiter.shared.nodes;
        let live_from = nodes.iter().map(|node| node.chained_from()).max().unwrap_or_default().min(end);
        if cursor >= live_from {
            return false;
        }
        let directory = self.core.log.directory();
        let mut events_left = MAX_LAG_SCAN;
        let mut position = cursor.max(self.core.log.oldest());
        while position < live_from {
            let events = directory.get(position).map_or(&[][..], |record| &record.events);
            count(Step::Scan, events.len().max(1));
            let Some(left) = events_left.checked_sub(events.len().max(1)) else { return true };
            events_left = left;
            if events.iter().any(|event| self.waiter.shared.filter.matches(event)) {
                return true;
            }
            position = position.next();
        }
        false
    }
}

/// Number of events older than the nodes that [`lag`](SubscriptionHandle::lag) examines at most, which takes some
/// microseconds.
const MAX_LAG_SCAN: usize = 256;

impl<P> Clone for SubscriptionHandle<P> {
    fn clone(&self) -> Self {
        Self { core: Arc::clone(&self.core), waiter: Arc::clone(&self.waiter) }
    }
}

impl<P> fmt::Debug for SubscriptionHandle<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscriptionHandle").field("id", &self.id()).field("stats", &self.stats()).finish()
    }
}
