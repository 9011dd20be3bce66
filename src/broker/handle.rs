//! The broker as its host holds it: every operation of it, and the handle that closes it.
//! The operations are implemented in `core`, which also has the lock order; `builder` makes the broker.
//!
//! Invariant: the broker is closed when the last clone of its handle is dropped. Subscriptions, their handles,
//! dispatchers and [`WeakBroker`] do not keep it open.

use std::fmt;
use std::sync::{Arc, Weak};

use super::dispatcher::Dispatcher;
use crate::core::Core;

use crate::access::AccessChange;
use crate::subscription::{Subscription, SubscriptionHandle};
use crate::types::error::{PublishError, SkipError, SubscribeError};
use crate::types::event::Event;
use crate::types::name::{Key, Namespace, Topic};
use crate::types::request::Request;
use crate::types::stats::BrokerStats;
use crate::types::token::{Epoch, Token};

/// Closes the broker when the last handle of it is dropped.
pub(super) struct Owner<P> {
    pub(super) core: Arc<Core<P>>,
}

impl<P> Drop for Owner<P> {
    fn drop(&mut self) {
        self.core.close();
    }
}

/// An in-process event broker: one bounded, indexed buffer of batches, and any number of readers.
///
/// It is cheap to clone, and every clone is the same broker. When the last clone is dropped, the broker closes: readers
/// receive what is buffered, and then the end. Hooks that need the broker hold a [`WeakBroker`]; otherwise it would
/// never close.
///
/// ```
/// use event_broker::{Broker, Event, Request, Start, Term};
///
/// let broker = Broker::<&str>::new();
/// let mut jobs = broker.subscribe(Request::new().term(Term::topic("Job")?))?;
///
/// // One batch a commit, under the commit's index.
/// broker.publish(7, [
///     Event::new("Job", "JobRegistered", "web", "spec").with_namespace("default"),
///     Event::new("Evaluation", "EvaluationUpdated", "e1", "pending").with_namespace("default"),
/// ])?;
/// let delivery = jobs.recv()?;
/// assert_eq!(delivery.index(), 7);
/// assert_eq!(delivery.events().len(), 1, "the evaluation was not asked for");
///
/// // Indexes never fall, and a refused batch comes back.
/// let refused = broker.publish(6, [Event::new("Job", "JobRegistered", "db", "spec")]).unwrap_err();
/// assert_eq!(refused.to_string(), "index 6 is lower than the last published, expected 7 or more");
/// assert_eq!(refused.events.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Broker<P> {
    pub(super) owner: Arc<Owner<P>>,
}

impl<P> Broker<P> {
    pub(crate) fn core(&self) -> &Arc<Core<P>> {
        &self.owner.core
    }

    /// Publishes the events of one commit under its index, whole or not at all.
    ///
    /// Commit first, then publish. A reader that receives an event must find its change in the state, and an authorizer
    /// that is asked because of it must find the new rules.
    ///
    /// Indexes may have gaps and may repeat. An equal index is a further batch of the same commit, unless the broker
    /// was built with [rising indexes](crate::Builder::rising_indexes).
    ///
    /// A batch without events is not stored, but moves the latest index forward. It says that the commit produced no
    /// events. Do not use it to skip a part of the history that was published elsewhere: readers before that part would
    /// not learn that they lost something. A replica that installs a snapshot instead of what it missed calls
    /// [`skip_to`](Self::skip_to), and one that begins another history calls [`reset`](Self::reset).
    ///
    /// Readers that wait for something in the batch are woken before this returns, on this thread and outside every
    /// lock, unless a [dispatcher](Self::dispatcher) runs. No reader makes it wait, and the authorizer is not asked to
    /// decide anything.
    ///
    /// # Errors
    ///
    /// Returns an error, whose [kind](crate::PublishErrorKind) is `Falling` if the index is lower than the last,
    /// `Repeated` if it is equal to it and indexes must rise, `Past` if it is not above the initial index or that of a
    /// reset, `Full` if the index has as many batches as it can have, and `Closed` if the broker is closed. Nothing is
    /// published then, and the error holds the events.
    ///
    /// # Panics
    ///
    /// Panics if the weigher or [`Authorizer::changes`](crate::Authorizer::changes) panics; nothing is published then.
    /// Panics if the drop of an evicted payload panics; everything is published then.
    pub fn publish(&self, index: u64, events: impl Into<Vec<Event<P>>>) -> Result<(), PublishError<P>> {
        self.core().publish(index, None, events.into())
    }

    /// Publishes as [`publish`](Self::publish) does, if the broker is still in this epoch. It is for work that was
    /// begun in one history and may be finished in another, because the broker was [reset](Self::reset) meanwhile.
    ///
    /// ```
    /// use event_broker::{Broker, Epoch, Event, PublishErrorKind};
    ///
    /// let broker = Broker::<()>::builder().epoch(Epoch::from(1)).build()?;
    /// let epoch = broker.epoch(); // with the work
    /// broker.reset(50, Epoch::from(2)); // a snapshot was restored
    /// let late = broker.publish_in(epoch, 91, [Event::new("Job", "JobRegistered", "web", ())]).unwrap_err();
    /// assert_eq!(late.kind, PublishErrorKind::OtherEpoch { epoch, current: Epoch::from(2) });
    /// broker.publish(51, [Event::new("Job", "JobRegistered", "db", ())])?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish), and if the broker is in another epoch.
    ///
    /// # Panics
    ///
    /// As [`publish`](Self::publish).
    pub fn publish_in(
        &self,
        epoch: Epoch,
        index: u64,
        events: impl Into<Vec<Event<P>>>,
    ) -> Result<(), PublishError<P>> {
        self.core().publish(index, Some(epoch), events.into())
    }

    /// Opens a subscription.
    ///
    /// The authorizer is called on this thread, outside every lock. If something that its answer rests on changes
    /// meanwhile, it is called again, at most 16 times. Changes that it announces itself while it is called count for
    /// the first three attempts.
    ///
    /// # Errors
    ///
    /// Returns an error if the request is malformed, if it is denied, if [`Start::Exactly`](crate::Start::Exactly)
    /// names an index that is lost, absent or in the future, if access changes faster than the authorizer can be asked,
    /// or if the broker is closed. A grant that has expired already is a denial.
    ///
    /// # Panics
    ///
    /// Panics if the authorizer panics.
    pub fn subscribe(&self, mut request: Request<P>) -> Result<Subscription<P>, SubscribeError> {
        let core = self.core();
        let opened = core.open(&mut request)?;
        let subscription = Subscription::open(Arc::clone(core), request, opened);
        core.hooks.observe(|observer| observer.on_subscribe(subscription.id()));
        Ok(subscription)
    }

    /// Announces a change of access that no published event represents.
    ///
    /// After this returns, no read returns a batch published from now on under a grant that the change concerns. The
    /// next read, poll or frame of each such subscription asks the authorizer first.
    pub fn access_changed(&self, change: AccessChange) {
        self.core().access_changed(change);
    }

    /// Ends and wakes every subscription whose grant has expired. If its access has changed since the grant was given,
    /// it is woken but not ended, and its next read asks for a newer grant.
    ///
    /// Reads check the expiry themselves, but the passing of time does not wake readers that wait as tasks or at a
    /// doorbell. A host that wants them to end in time calls this from a timer of its own.
    pub fn tick(&self) {
        self.core().tick();
    }

    /// Starts a new history: the state was restored at `index`, and everything up to and including it is past.
    ///
    /// The buffer is emptied, and every open subscription ends with [`RecvError::Reset`](crate::RecvError::Reset). No
    /// read that begins after this returns delivers anything of the old epoch. Replicas that restore the same state
    /// share the new epoch.
    ///
    /// The epoch must be one that no history has had. With an old one, tokens and work of the old history could not be
    /// distinguished from those of the new. Work of the old history that may still be published names its epoch: see
    /// [`publish_in`](Self::publish_in).
    ///
    /// A replica that continues the same history after a snapshot calls [`skip_to`](Self::skip_to) instead, because a
    /// reset also ends readers that have lost nothing.
    ///
    /// ```
    /// use event_broker::{Broker, Epoch, Event, RecvError, Request, Start, Verdict};
    ///
    /// let broker = Broker::<()>::new();
    /// let mut reader = broker.subscribe(Request::new())?;
    /// broker.publish(90, [Event::new("Job", "JobRegistered", "web", ())])?;
    /// broker.reset(50, Epoch::random()); // the state is now that of a snapshot taken at index 50
    /// assert_eq!(reader.recv().unwrap_err(), RecvError::Reset);
    ///
    /// broker.publish(51, [Event::new("Job", "JobRegistered", "db", ())])?;
    /// let mut again = broker.subscribe(Request::new().start(Start::After(reader.token())))?;
    /// assert_eq!(again.verdict(), Verdict::OtherEpoch { oldest: Some(51) });
    /// assert_eq!(again.recv()?.index(), 51);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn reset(&self, index: u64, epoch: Epoch) {
        self.core().reset(index, epoch);
    }

    /// Continues the same history after a part that was never published here, because the replica has installed a
    /// snapshot of this place. The token is the [`token`](Self::token) of the broker beside which the snapshot was
    /// made.
    ///
    /// Readers at this place continue without an error. Readers before it receive [`Lagged`](crate::Lagged) with
    /// [`skipped`](crate::Lagged::skipped) set, because the number of batches is unknown, and continue or end by their
    /// policy.
    ///
    /// The buffer is emptied, because what it held is older than the gap. What is published next must not be below the
    /// place. Skipping to the broker's own place does nothing.
    ///
    /// ```
    /// use event_broker::{Broker, Epoch, Event, Request, Start};
    ///
    /// let replica = || Broker::<()>::builder().epoch(Epoch::from(7)).build();
    /// let (leader, follower) = (replica()?, replica()?);
    /// let publish = |broker: &Broker<()>, index| broker.publish(index, [Event::new("Job", "JobRegistered", "web", ())]);
    /// for index in 1..=9 {
    ///     publish(&leader, index)?;
    /// }
    /// // A client that has read everything moves to the follower, which has not seen any of it.
    /// let mut reader = follower.subscribe(Request::new().start(Start::After(leader.token())))?;
    /// follower.skip_to(leader.token())?;
    /// publish(&follower, 10)?;
    /// assert_eq!(reader.recv()?.index(), 10, "it has lost nothing");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the token belongs to another epoch, if its place is before that of the broker, or if the
    /// broker is closed. Nothing is changed then.
    ///
    /// # Panics
    ///
    /// Panics if the drop of a buffered payload panics. The skip is complete then.
    pub fn skip_to(&self, token: Token) -> Result<(), SkipError> {
        self.core().skip_to(token)
    }

    /// Closes the broker. Publishing and subscribing fail from now on. Readers receive what is buffered and then
    /// [`RecvError::Closed`](crate::RecvError::Closed). Closing again does nothing.
    pub fn close(&self) {
        self.core().close();
    }

    /// Returns whether the broker is closed.
    pub fn is_closed(&self) -> bool {
        self.core().log.end().closed
    }

    /// Returns a dispatcher, which does nothing until it is [run](Dispatcher::run) or [started](Dispatcher::start).
    pub fn dispatcher(&self) -> Dispatcher<P> {
        Dispatcher::new(Arc::clone(self.core()))
    }

    /// Returns a handle that does not keep the broker open.
    pub fn downgrade(&self) -> WeakBroker<P> {
        WeakBroker { owner: Arc::downgrade(&self.owner) }
    }

    /// Returns handles of all subscriptions that have not been dropped, in the order in which they were opened.
    pub fn subscriptions(&self) -> Vec<SubscriptionHandle<P>> {
        let waiters = self.core().subscriptions();
        waiters.into_iter().map(|waiter| SubscriptionHandle::new(Arc::clone(self.core()), waiter)).collect()
    }

    /// Returns the latest index that was published, also by a batch without events; 0 before the first.
    pub fn latest_index(&self) -> u64 {
        self.core().log.latest_index()
    }

    /// Returns the epoch, which names the history that the broker is in.
    pub fn epoch(&self) -> Epoch {
        self.core().epoch()
    }

    /// Returns the token after the last batch, for the host to keep beside its snapshot. A broker that [starts
    /// after](crate::Builder::starts_after) the token or [skips to](Self::skip_to) it continues there, and so does a
    /// reader that subscribes [`Start::After`](crate::Start::After) it.
    ///
    /// A batch without events does not move the token, so that readers whose last token is older than that batch have
    /// lost nothing either. The host's store keeps the index that such a batch reached.
    pub fn token(&self) -> Token {
        self.core().token()
    }

    /// Returns the counters of the broker.
    pub fn stats(&self) -> BrokerStats {
        self.core().stats()
    }

    /// Returns whether some subscription asked for such an event. An empty namespace means an event without a
    /// namespace.
    ///
    /// It is a hint for how much to put into a payload, and never for whether to publish: what is not published cannot
    /// be resumed, and a reader may subscribe before the caller acts on the result.
    ///
    /// ```
    /// use event_broker::{Broker, Request, Term};
    ///
    /// let broker = Broker::<()>::new();
    /// let reader = broker.subscribe(Request::new().term(Term::topic("Job")?).namespace("prod"))?;
    /// assert!(broker.has_interest("Job", "prod", "web"));
    /// assert!(broker.has_interest("Job", "", "web"), "events without a namespace pass every scope");
    /// assert!(!broker.has_interest("Job", "staging", "web"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn has_interest(&self, topic: impl Into<Topic>, namespace: impl Into<Namespace>, key: impl Into<Key>) -> bool {
        self.core().has_interest(&Event::new(topic, "", key, ()).with_namespace(namespace))
    }
}

impl<P> Clone for Broker<P> {
    fn clone(&self) -> Self {
        Self { owner: Arc::clone(&self.owner) }
    }
}

impl<P> fmt::Debug for Broker<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("core", self.core()).finish()
    }
}

/// A handle of a broker that does not keep it open, for hooks and for threads of readers.
///
/// ```
/// use event_broker::{Broker, Request, RecvError};
///
/// let broker = Broker::<()>::new();
/// let mut reader = broker.subscribe(Request::new())?;
/// let weak = broker.downgrade();
/// assert_eq!(weak.upgrade().map(|broker| broker.latest_index()), Some(0));
/// drop(broker);
/// assert!(weak.upgrade().is_none());
/// assert_eq!(reader.recv().unwrap_err(), RecvError::Closed);
/// # Ok::<(), event_broker::SubscribeError>(())
/// ```
pub struct WeakBroker<P> {
    owner: Weak<Owner<P>>,
}

impl<P> WeakBroker<P> {
    /// Returns the broker, if it has not been dropped.
    pub fn upgrade(&self) -> Option<Broker<P>> {
        self.owner.upgrade().map(|owner| Broker { owner })
    }
}

impl<P> Clone for WeakBroker<P> {
    fn clone(&self) -> Self {
        Self { owner: Weak::clone(&self.owner) }
    }
}

impl<P> fmt::Debug for WeakBroker<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakBroker").finish_non_exhaustive()
    }
}
