//! The state of a subscription: what it holds, how it opens, what it reports about itself, how it ends.
//! The ways of reading are in the files beside this one, and what other threads see of a subscription is in `core`.
//!
//! An *elastic* start is one at the oldest batch that has passed nothing yet. What was buffered when the subscription
//! opened may be evicted before the first read without a loss: the start moves on to the batch that is the oldest then.
//!
//! Invariants:
//! - Every read begins with [`Subscription::begin_read`], or compares the gate itself as the fast path in `owned` does.
//! - Once `ended` is set, every read returns its error, and no event is delivered.
//! - Everything below `resume_place` is passed.
//! - A loss is reported once: by the verdict of the start, or by [`Subscription::report_loss`].
//!
//! Callers: `broker` opens subscriptions, the files beside this one read, and `frames` calls what is `pub(crate)`.

use std::fmt;
use std::sync::Arc;
#[cfg(feature = "json")]
use std::time::Instant;

use super::budget::DELIVERY_BUDGET;
use super::cursor::Cursor;
use super::handle::SubscriptionHandle;
use super::post_filter_progress::PostFilterProgress;
use super::selector::{Explanation, Selector};
use super::window_run::WindowRun;
use crate::access::{GateState, Grant};
use crate::core::{Core, Opened, Record, StartPosition, StartVerdict, Waiter};
use crate::log::DirectoryHandle;
use crate::types::error::RecvError;
use crate::types::event::Event;
use crate::types::request::{LagPolicy, Request};
use crate::types::start::Verdict;
use crate::types::stats::{SubscriptionId, SubscriptionStats};
use crate::types::term::{Scope, Term};
use crate::types::token::{Place, Token};

/// A subscription and its reader.
///
/// Every way of reading is a method of this type. All of them share one cursor:
///
/// | the reader is | it reads with |
/// |---|---|
/// | a thread of its own | [`recv`](Self::recv), [`recv_timeout`](Self::recv_timeout), [`iter`](Self::iter) |
/// | a task | [`recv_async`](Self::recv_async), `Stream` (feature `stream`) |
/// | a hot loop | [`drain`](Self::drain), after [`readable`](Self::readable) if it is a task |
/// | a `select!` over channels | [`doorbell`](Self::doorbell), then a [`drain`](Self::drain) for each ring |
///
/// A subscription holds numbers and no batches. A reader that stalls keeps nothing in memory, and receives an exact
/// account of what it lost.
///
/// ```
/// use event_broker::{Broker, Event, LagPolicy, RecvError, Request, TryRecvError};
///
/// let broker = Broker::<()>::builder().max_batches(2).build()?;
/// let mut reader = broker.subscribe(Request::new().lag_policy(LagPolicy::Continue))?;
/// assert_eq!(reader.try_recv().unwrap_err(), TryRecvError::Empty);
/// for index in 1..=5 {
///     broker.publish(index, [Event::new("Job", "JobRegistered", "web", ())])?;
/// }
/// let Err(TryRecvError::Recv(RecvError::Lagged(lagged))) = reader.try_recv() else { panic!("it was overtaken") };
/// assert_eq!((lagged.missed, lagged.through, lagged.resumes_at), (3, 3, 4));
/// assert_eq!(reader.try_recv()?.index(), 4);
/// drop(broker);
/// assert_eq!(reader.recv()?.index(), 5, "what is buffered comes first");
/// assert_eq!(reader.recv().unwrap_err(), RecvError::Closed);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Subscription<P> {
    pub(super) core: Arc<Core<P>>,
    pub(super) waiter: Waiter,
    pub(super) cursor: Cursor,
    pub(super) start_state: StartState,
    pub(super) selector: Selector<P>,
    /// Finds the directory of the last read again. It keeps no batch in memory.
    pub(super) directory: DirectoryHandle<Record<P>>,
    /// The state of the gate when it was last checked.
    pub(super) last_gate: GateState,
    /// The place that a resume token names: everything below it is passed.
    pub(super) resume_place: Place,
    /// The lowest index that a lost batch can have, for an elastic start that has passed nothing.
    pub(super) elastic_lower_index: u64,
    /// What an open window iterates, or a window that was forgotten.
    pub(super) window_run: WindowRun,
    /// What the start found; `None` for [`Verdict::Whole`]. This field and the boxes below are boxed because hardly any
    /// reader has them.
    pub(super) start_verdict: Option<Box<StartVerdict>>,
    pub(super) policy: LagPolicy,
    /// Number of deliveries that a task may still receive before it yields.
    pub(super) deliveries_left: u8,
    pub(super) ended: Option<Box<Ended>>,
    /// How far the post-filters have examined a large batch that one budget did not suffice for.
    pub(super) post_filter_progress: Option<Box<PostFilterProgress>>,
}

/// Whether the cursor is placed, and what may still move it. The top of this module defines *elastic*.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StartState {
    /// The cursor is placed at what was the oldest batch, and nothing is passed. What was buffered when the
    /// subscription opened may still be evicted without a loss.
    Elastic,
    /// The cursor is not placed: the place that the reader waits for has not come.
    Pending,
    /// The cursor is placed, and a window holds a run of which what it yielded is not passed yet. The window is open or
    /// was forgotten.
    Window,
    /// The cursor is placed.
    Reading,
}

/// An end that the reader has received.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) error: RecvError,
    /// Whether a stream or iterator has yielded it as well.
    pub(super) yielded: bool,
}

impl<P> Subscription<P> {
    #[inline]
    pub(crate) fn open(core: Arc<Core<P>>, request: Request<P>, opened: Opened) -> Self {
        let Opened { waiter, grant, start_position, start_verdict, passed, live_from } = opened;
        let filter = Arc::clone(&waiter.shared.filter);
        let mut cursor = Cursor::new(&waiter, live_from);
        let mut elastic_lower_index = 0;
        let start_state = match start_position {
            StartPosition::Elastic { from, end, bound: index } => {
                elastic_lower_index = index;
                cursor.move_to(from);
                cursor.set_elastic_until(end);
                StartState::Elastic
            }
            StartPosition::Pending => StartState::Pending,
            StartPosition::At(position) => {
                cursor.move_to(position);
                StartState::Reading
            }
        };
        Self {
            core,
            waiter,
            cursor,
            start_state,
            selector: Selector::new(filter, request.principal, grant, request.predicate),
            directory: DirectoryHandle::default(),
            last_gate: GateState::OPEN,
            resume_place: passed,
            elastic_lower_index,
            window_run: WindowRun::default(),
            start_verdict: (start_verdict.verdict != Verdict::Whole).then(|| Box::new(start_verdict)),
            policy: request.lag_policy,
            deliveries_left: DELIVERY_BUDGET,
            ended: None,
            post_filter_progress: None,
        }
    }

    /// Returns the id of the subscription, unique within its broker.
    pub fn id(&self) -> SubscriptionId {
        SubscriptionId(self.waiter.shared.id)
    }

    /// Returns what the start found.
    pub fn verdict(&self) -> Verdict {
        self.start_verdict.as_ref().map_or(Verdict::Whole, |start| start.verdict)
    }

    /// Returns whether the oldest index that the [verdict](Self::verdict) names had all its batches when the
    /// subscription opened.
    ///
    /// An index may carry several batches, and the first of them may be lost. A mirror that applies only the rest of
    /// that index then has a part of its commit.
    ///
    /// ```
    /// use event_broker::{Broker, Event, Request, Start, Verdict};
    ///
    /// let broker = Broker::<()>::builder().max_batches(2).build()?;
    /// for index in [10, 20, 20, 20] {
    ///     broker.publish(index, [Event::new("Job", "JobRegistered", "web", ())])?;
    /// }
    /// let reader = broker.subscribe(Request::new().start(Start::Index(5)))?;
    /// assert_eq!(reader.verdict(), Verdict::Lost { oldest: Some(20) });
    /// assert!(!reader.oldest_is_whole(), "the first batch of 20 is gone as well");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn oldest_is_whole(&self) -> bool {
        self.start_verdict.as_ref().is_none_or(|start| start.oldest_is_whole)
    }

    /// Returns the requested terms, each once.
    pub fn terms(&self) -> &[Term] {
        self.selector.filter.terms()
    }

    /// Returns the requested namespaces.
    pub fn scope(&self) -> &Scope {
        self.selector.filter.scope()
    }

    /// Returns what is allowed now, or `None` if the broker has no authorizer.
    pub fn grant(&self) -> Option<&Grant> {
        self.selector.grant()
    }

    /// Returns the resume token: a subscription that starts [`Start::After`](crate::Start::After) it neither repeats
    /// nor misses a batch.
    ///
    /// Once a read has found nothing more, the token is ahead of that of the last delivery. A subscription has a token
    /// before anything was read, so a client that disconnects early can resume as well.
    pub fn token(&self) -> Token {
        let place = match self.start_state {
            // A window was forgotten after it had yielded something.
            StartState::Window => self.place_in_window(),
            StartState::Pending => None,
            // A skip has not been reported yet.
            _ if self.cursor.has_skipped() => None,
            start_state @ (StartState::Reading | StartState::Elastic) => {
                // An elastic start stays where it opened. What is evicted before its first read is no loss to it, but a
                // reader that resumes at a later place would lose it without a report.
                let elastic = start_state == StartState::Elastic;
                let cursor = if elastic { self.waiter.shared.opened } else { self.cursor.position() };
                let here = self.core.place_at(&self.waiter, cursor);
                // If nothing was passed since the last delivery, `resume_place` is the place after that one already.
                here.filter(|here| here.previous_end != self.resume_place).map(|here| here.place)
            }
        };
        Token::new(self.waiter.shared.epoch, place.unwrap_or(self.resume_place))
    }

    /// Returns the highest index that is certainly finished for this reader: every batch of it and of lower indexes was
    /// delivered, was reported lost, or does not match.
    ///
    /// It is one below the index of the reader's place, because a further batch of that index may come. Returns `None`
    /// while the reader waits for an index that the broker has not reached.
    #[cfg(any(feature = "json", all(broker_loom, test)))]
    pub(crate) fn finished(&self) -> Option<u64> {
        let Place { index, .. } = self.resume_place;
        if index > self.core.log.finished_below() { None } else { index.checked_sub(1) }
    }

    /// Returns the time by the broker's clock.
    #[cfg(feature = "json")]
    pub(crate) fn now(&self) -> Instant {
        self.core.hooks.clock.now()
    }

    /// Returns when the grant expires, by the broker's clock.
    #[cfg(all(feature = "json", feature = "stream"))]
    pub(crate) fn expiry(&self) -> Option<Instant> {
        self.selector.expiry()
    }

    /// Rings the doorbell, if there is one, for a reader that must read again although nothing more is published.
    pub(crate) fn ring(&self) {
        if self.waiter.has_doorbell() {
            self.waiter.wake();
        }
    }

    /// Returns a handle that observes or ends this subscription from elsewhere.
    pub fn handle(&self) -> SubscriptionHandle<P> {
        SubscriptionHandle::new(Arc::clone(&self.core), Arc::clone(&self.waiter))
    }

    /// Returns the counters of the subscription.
    pub fn stats(&self) -> SubscriptionStats {
        self.handle().stats()
    }

    /// Returns whether an event would be delivered, or else the first filter that refuses it. The event need not be
    /// published.
    ///
    /// ```
    /// use event_broker::{Broker, Event, Explanation, Request, Term};
    ///
    /// let broker = Broker::<()>::new();
    /// let mut reader = broker.subscribe(Request::new().term(Term::topic("Job")?))?;
    /// let job = Event::new("Job", "JobRegistered", "web", ());
    /// assert_eq!(reader.explain(&job), Explanation::Delivered);
    /// assert_eq!(reader.explain(&job.with_namespace("prod")), Explanation::OutOfScope);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if the authorizer or the predicate panics.
    pub fn explain(&mut self, event: &Event<P>) -> Explanation {
        self.selector.explain(self.core.hooks.authorizer.as_deref(), event)
    }

    /// Ends the subscription with this error, which every further read returns.
    pub(super) fn end(&mut self, end: RecvError) -> RecvError {
        self.ended = Some(Box::new(Ended { error: end.clone(), yielded: false }));
        self.core.hooks.observe(|observer| observer.on_end(self.id(), Some(&end)));
        end
    }
}

impl<P> Drop for Subscription<P> {
    fn drop(&mut self) {
        let was_last = self.core.leave(&self.waiter, self.selector.principal(), self.selector.grant());
        self.waiter.clear_signal();
        if self.ended.is_none() {
            self.core.hooks.observe(|observer| observer.on_end(self.id(), None));
        }
        if was_last {
            // At the end: what this drops may be the last to hold what was evicted, and a payload's drop may panic.
            self.core.log.forget_readers();
        }
    }
}

impl<P> fmt::Debug for Subscription<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("id", &self.id())
            .field("terms", &self.terms())
            .field("scope", self.scope())
            .field("verdict", &self.verdict())
            .field("token", &self.token())
            .field("ended", &self.ended.as_ref().map(|ended| &ended.error))
            .finish_non_exhaustive()
    }
}
