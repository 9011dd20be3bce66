//! Watching or ending a subscription from elsewhere.
//! A handle reads nothing of the stream.

use std::fmt;
use std::sync::Arc;

use crate::access::Ending;
use crate::core::Core;
use crate::core::Waiter;
use crate::steps::{Step, count};
use crate::types::position::Position;
use crate::types::principal::Principal;
use crate::types::stats::{SubscriptionId, SubscriptionStats};
use crate::types::term::{Scope, Term};
use crate::types::token::Token;

/// A handle of a subscription, for whoever does not read from it.
///
/// It outlives the subscription, and the broker: then it does nothing, and says what was last known. As long as it is
/// held it keeps what is buffered in memory.
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

    /// The subscription's name within its broker.
    pub fn id(&self) -> SubscriptionId {
        SubscriptionId(self.waiter.owner.id)
    }

    /// The public id of whoever subscribed, [`Principal::ANONYMOUS`](crate::Principal::ANONYMOUS) for nobody in
    /// particular: which client is it that lags?
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
        self.waiter.owner.principal.as_deref().map_or(Principal::ANONYMOUS, |id| id)
    }

    /// The terms asked for, each once.
    pub fn terms(&self) -> &[Term] {
        self.waiter.owner.filter.terms()
    }

    /// The namespaces asked for.
    pub fn scope(&self) -> &Scope {
        self.waiter.owner.filter.scope()
    }

    /// Ends the subscription: its reader gets [`RecvError::Cancelled`](crate::RecvError::Cancelled) from now on, also
    /// from a read that waits.
    pub fn cancel(&self) {
        self.waiter.owner.gate.end(Ending::Cancelled);
        self.waiter.wake();
    }

    /// The subscription in numbers.
    pub fn stats(&self) -> SubscriptionStats {
        let counters = &self.waiter.owner.counters;
        let counts = counters.counts();
        SubscriptionStats {
            batches: counts.batches,
            events: counts.events,
            missed: counters.missed(),
            lag: self.lag(),
            wakeups: self.waiter.wakeups(),
        }
    }

    /// Whether the reader waits: its thread for a delivery, or its task, which was pending when it was last polled and has
    /// not been woken since. One that waits at its doorbell is not known to.
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

    /// Where the reader stands, as of its last completed read or window, to be resumed from; see
    /// [`Subscription::token`](crate::Subscription::token). Of a reader that has been overtaken it is one that says so: a
    /// subscription after it is told a loss.
    ///
    /// ```
    /// use event_broker::{Broker, Event, Request, Start};
    ///
    /// let broker = Broker::<()>::new();
    /// let reader = broker.subscribe(Request::new())?;
    /// broker.publish(7, [Event::new("Job", "JobRegistered", "web", ())])?;
    /// let token = reader.handle().token(); // it was cut off before its first event
    /// drop(reader);
    /// let mut resumed = broker.subscribe(Request::new().start(Start::After(token)))?;
    /// assert_eq!(resumed.try_recv()?.index(), 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn token(&self) -> Token {
        self.core.token_of(&self.waiter)
    }

    fn lag(&self) -> u64 {
        let log = &self.core.log;
        let end = log.end().position;
        let cursor = self.waiter.owner.cursor(log.oldest(), end);
        let nodes = &self.waiter.owner.nodes;
        count(Step::Poll, nodes.len());
        let asked = nodes.is_empty()
            || self.waiter.owner.gate.state().is_skipped()
            || nodes.iter().any(|node| node.chain.last() > cursor || node.evicted() > cursor)
            || self.scans_to(cursor, end);
        if asked { end.since(cursor) } else { 0 }
    }

    /// Whether something in the part of the log that is older than the nodes was asked for, or may have been: that part
    /// is looked at only if it is short.
    fn scans_to(&self, cursor: Position, end: Position) -> bool {
        let nodes = &self.waiter.owner.nodes;
        let live_from = nodes.iter().map(|node| node.since()).max().unwrap_or_default().min(end);
        if cursor >= live_from {
            return false;
        }
        let directory = self.core.log.directory();
        let mut events_left = SCANNED;
        let mut position = cursor.max(self.core.log.oldest());
        while position < live_from {
            let events = directory.get(position).map_or(&[][..], |record| &record.events);
            count(Step::Scan, events.len().max(1));
            let Some(left) = events_left.checked_sub(events.len().max(1)) else { return true };
            events_left = left;
            if events.iter().any(|event| self.waiter.owner.filter.matches(event)) {
                return true;
            }
            position = position.next();
        }
        false
    }
}

/// So many events of a backlog older than the subscription are looked at for its lag, which takes some microseconds.
const SCANNED: usize = 256;

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
