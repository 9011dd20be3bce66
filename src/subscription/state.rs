//! What a subscription holds, how it opens, and how it ends.
//! The ways of reading are in the files beside this one.

use std::fmt;
use std::sync::{Arc, Weak};
#[cfg(feature = "json")]
use std::time::Instant;

use super::budget::{Budget, DELIVERIES};
use super::cursor::Cursor;
use super::handle::SubscriptionHandle;
use super::refinement::Refinement;
use super::selector::{Explanation, Selector};
use super::window_run::WindowRun;
use crate::access::GateState;
use crate::access::Grant;
use crate::core::Record;
use crate::core::Waiter;
use crate::core::{Core, Found, Opened, StartPosition};
use crate::log::{End, Segment};
use crate::types::error::{Lagged, RecvError};
use crate::types::event::Event;
use crate::types::request::{LagPolicy, Request};
use crate::types::start::Verdict;
use crate::types::stats::{SubscriptionId, SubscriptionStats};
use crate::types::term::{Scope, Term};
use crate::types::token::{Place, Token};

/// A subscription, and its reader.
///
/// Every way of reading is a method of this one type, and all share one place in the stream:
///
/// | the reader is | it reads with |
/// |---|---|
/// | a thread of its own | [`recv`](Self::recv), [`recv_timeout`](Self::recv_timeout), [`iter`](Self::iter) |
/// | a task | [`recv_async`](Self::recv_async), `Stream` (feature `stream`) |
/// | a hot loop | [`drain`](Self::drain), after [`readable`](Self::readable) if it is a task |
/// | a `select!` over channels | [`doorbell`](Self::doorbell), then a [`drain`](Self::drain) for each ring |
///
/// It holds numbers, not batches: a reader that stalls keeps nothing in memory, and is told exactly what it lost.
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
    /// Where the next owned delivery is probably found. It keeps no batch in memory, and saves looking in the directory.
    pub(super) segment: Weak<Segment<Record<P>>>,
    /// What the gate said when it was last checked.
    pub(super) last_gate: GateState,
    /// Up to here everything has been passed.
    pub(super) passed: Place,
    /// As long as an elastic start has not passed anything: no batch that it may lose has a lower index.
    pub(super) bound: u64,
    /// What an open window has handed to its iterator, or a forgotten one had.
    pub(super) window_run: WindowRun,
    /// None if everything was whole. Boxed, as is what follows, because hardly any reader has it.
    pub(super) found: Option<Box<Found>>,
    pub(super) policy: LagPolicy,
    /// How many more deliveries a task is given before it gives way.
    pub(super) deliveries_left: u8,
    pub(super) ended: Option<Box<Ended>>,
    /// How far a large batch has been judged that a turn did not suffice for.
    pub(super) refinement: Option<Box<Refinement>>,
}

/// Whether the cursor has been placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StartState {
    /// It has, at what was the oldest batch, and nothing has been passed: what was buffered when the subscription opened
    /// may still go without being lost.
    Elastic,
    /// It will be, once the place it waits for has come.
    Pending,
    /// It has, and a window has handed out what is still to be passed: it is open, or was forgotten.
    Window,
    /// It has.
    Reading,
}

/// An end that the reader has been told.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) error: RecvError,
    /// Whether a stream or iterator has yielded it, too.
    pub(super) over: bool,
}

impl<P> Subscription<P> {
    pub(crate) fn open(core: Arc<Core<P>>, request: Request<P>, opened: Opened) -> Self {
        let Opened { waiter, grant, start_position, found, passed, live_from } = opened;
        let filter = Arc::clone(&waiter.owner.filter);
        let mut cursor = Cursor::new(&waiter, live_from);
        let mut bound = 0;
        let start_state = match start_position {
            StartPosition::Elastic { from, end, bound: index } => {
                bound = index;
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
            segment: Weak::new(),
            last_gate: GateState::OPEN,
            passed,
            bound,
            window_run: WindowRun::default(),
            found: (found.verdict != Verdict::Whole).then(|| Box::new(found)),
            policy: request.lag_policy,
            deliveries_left: DELIVERIES,
            ended: None,
            refinement: None,
        }
    }

    /// The subscription's name within its broker.
    pub fn id(&self) -> SubscriptionId {
        SubscriptionId(self.waiter.owner.id)
    }

    /// What the start found.
    pub fn verdict(&self) -> Verdict {
        self.found.as_ref().map_or(Verdict::Whole, |found| found.verdict)
    }

    /// Whether the oldest index that the [verdict](Self::verdict) names had all its batches when the subscription was
    /// opened. An index may unvisited several batches, and the first of them may be among what is lost: then a mirror that
    /// applies the rest of that index alone has only a part of its commit.
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
        self.found.as_ref().is_none_or(|found| found.oldest_is_whole)
    }

    /// The terms asked for, each once.
    pub fn terms(&self) -> &[Term] {
        self.selector.filter.terms()
    }

    /// The namespaces asked for.
    pub fn scope(&self) -> &Scope {
        self.selector.filter.scope()
    }

    /// What is allowed now, if the broker has an authorizer.
    pub fn grant(&self) -> Option<&Grant> {
        self.selector.grant()
    }

    /// Where the reader stands: it goes on [`Start::After`](crate::Start::After) this without a batch repeated or
    /// missed. Ahead of the last delivery's own token once a read has found nothing more.
    ///
    /// A subscription has one before anything was read, so that a client that was cut off early can come back as well.
    pub fn token(&self) -> Token {
        let place = match self.start_state {
            // A window was forgotten that had yielded something.
            StartState::Window => self.place_in_window(),
            StartState::Pending => None,
            // A skip is still to be told.
            _ if self.cursor.has_skipped() => None,
            start_state @ (StartState::Reading | StartState::Elastic) => {
                // Of an elastic start where it was opened: what goes before the first read is no loss to it, but it would be
                // one to whoever resumes behind it without a word.
                let elastic = start_state == StartState::Elastic;
                let cursor = if elastic { self.waiter.owner.opened } else { self.cursor.position() };
                let here = self.core.place_at(&self.waiter, cursor);
                // The same place, as the last delivery had it.
                here.filter(|here| here.after != self.passed).map(|here| here.place)
            }
        };
        Token::new(self.waiter.owner.epoch, place.unwrap_or(self.passed))
    }

    /// The highest index that is certainly finished for this reader: all of it and below was delivered, told as lost,
    /// or not asked for. One below the place where the reader stands, since a further batch of that index may come;
    /// none while the reader waits for an index that the broker has not reached.
    #[cfg(feature = "json")]
    pub(crate) fn finished(&self) -> Option<u64> {
        let Place { index, .. } = self.passed;
        if index > self.core.log.finished_below() { None } else { index.checked_sub(1) }
    }

    /// The end that a read would give before it looks for a batch, if there is one.
    #[cfg(feature = "json")]
    pub(crate) fn check_gate(&mut self) -> Result<(), RecvError> {
        self.look(&mut Budget::unlimited()).map(drop)
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

    /// Rings the doorbell, if there is one: for a reader that has to be called again although nothing more is published.
    pub(crate) fn ring(&self) {
        if self.waiter.has_doorbell() {
            self.waiter.wake();
        }
    }

    /// A handle to watch or end this subscription from elsewhere.
    pub fn handle(&self) -> SubscriptionHandle<P> {
        SubscriptionHandle::new(Arc::clone(&self.core), Arc::clone(&self.waiter))
    }

    /// The subscription in numbers.
    pub fn stats(&self) -> SubscriptionStats {
        self.handle().stats()
    }

    /// Why an event is delivered, or is not: what the first judge says that refuses it. It need not be published.
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
    /// If the authorizer or the predicate panics.
    pub fn explain(&mut self, event: &Event<P>) -> Explanation {
        self.selector.explain(self.core.hooks.authorizer.as_deref(), event)
    }

    /// Checks the gate, and returns the end of the log as it was before: what every read begins with. `None` if access
    /// could not be settled in this turn.
    ///
    /// The finished index is loaded first and the end second, so that a reader that passes the end has passed every
    /// batch below that index; the gate comes last, so that a reader that sees a position sees its fence.
    #[inline]
    pub(super) fn look(&mut self, budget: &mut Budget) -> Result<Option<(u64, End)>, RecvError> {
        if let Some(ended) = &self.ended {
            return Err(ended.error.clone());
        }
        if self.start_state == StartState::Window {
            self.pass_window_run();
        }
        loop {
            let finished = self.core.log.finished_below();
            let end = self.core.log.end();
            if self.waiter.owner.gate.state() != self.last_gate {
                if !self.recheck_access(budget)? {
                    return Ok(None);
                }
                continue;
            }
            if self.has_expired() {
                return Err(self.end(RecvError::Expired));
            }
            return Ok(Some((finished, end)));
        }
    }

    /// Whether the grant has run out. Without an expiry the clock is not read.
    #[inline]
    pub(super) fn has_expired(&self) -> bool {
        self.selector.expiry().is_some_and(|expiry| self.core.hooks.clock.now() >= expiry)
    }

    /// Whether the cursor is placed, after placing it if that can be done now.
    #[inline]
    pub(super) fn has_begun(&mut self, finished: u64) -> bool {
        self.start_state == StartState::Reading || self.begin(finished)
    }

    #[cold]
    fn begin(&mut self, finished: u64) -> bool {
        match self.start_state {
            StartState::Reading | StartState::Elastic | StartState::Window => return true,
            StartState::Pending => {
                let Some(position) = self.waiter.owner.pending_start.as_ref().and_then(|start| start.get()) else {
                    // Batches without events may have moved past the place; `finished` was loaded before this.
                    self.passed = self.passed.max(Place::before(finished));
                    return false;
                };
                self.cursor.move_to(position);
            }
        }
        self.start_state = StartState::Reading;
        true
    }

    /// Notes that a batch is passed, or that there is none to pass: what goes from now on is a loss.
    #[inline]
    pub(super) fn has_passed(&mut self) {
        if self.start_state == StartState::Elastic {
            self.start_state = StartState::Reading;
            self.cursor.end_elastic();
        }
    }

    /// Lets others see the cursor, unless it may still be moved by eviction alone.
    pub(super) fn note_cursor(&mut self) {
        if self.cursor.is_past_elastic() {
            self.has_passed();
        }
        let counters = &self.waiter.owner.counters;
        match self.start_state {
            StartState::Reading => counters.set_cursor(self.cursor.position()),
            _ => counters.set_elastic(self.cursor.elastic_until()),
        }
    }

    /// Notes that a read found nothing more: all below `finished` has been passed.
    pub(super) fn pass_all(&mut self, finished: u64) {
        self.has_passed();
        self.passed = self.passed.max(Place::before(finished));
        self.waiter.owner.counters.set_cursor(self.cursor.position());
    }

    /// Tells of a loss. None if the reader has to look again, because the gate says something new.
    pub(super) fn lag(&mut self) -> Option<RecvError> {
        let skipped = self.cursor.has_skipped();
        let (oldest, place, before) = if skipped {
            if self.policy == LagPolicy::Continue {
                // Cleared first: what is looked at then is behind this skip at least, and a later one sets it again.
                self.waiter.owner.gate.clear_skipped();
                self.last_gate = self.last_gate.without_skipped();
            }
            self.core.after_skip()
        } else {
            self.core.log.read_oldest(|position, record| (position, record.place, record.after))?
        };
        if self.waiter.owner.gate.state() != self.last_gate {
            // Meanwhile it was ended, which outranks a loss: after a reset what was read there is another history.
            if skipped {
                // Not told after all.
                self.waiter.owner.gate.skip();
            }
            return None;
        }
        let lagged = Lagged {
            missed: oldest.since(self.cursor.position_at(oldest)),
            skipped,
            from: self.passed.index.max(if self.start_state == StartState::Elastic { self.bound } else { 0 }),
            through: before.last_index(),
            resumes_at: place.index,
            resumes_whole: place.count == 0,
            policy: self.policy,
        };
        self.has_passed();
        self.waiter.owner.counters.add_missed(lagged.missed);
        self.core.hooks.observe(|observer| observer.on_lag(self.id(), &lagged));
        match self.policy {
            LagPolicy::Close => Some(self.end(RecvError::Lagged(lagged))),
            LagPolicy::Continue => {
                self.cursor.resume(&self.waiter, oldest);
                self.passed = place;
                self.waiter.owner.counters.set_cursor(oldest);
                // There may be more to read, which nothing else would ring for.
                self.ring();
                Some(RecvError::Lagged(lagged))
            }
        }
    }

    /// Makes an end the subscription's last word.
    pub(super) fn end(&mut self, end: RecvError) -> RecvError {
        self.ended = Some(Box::new(Ended { error: end.clone(), over: false }));
        self.core.hooks.observe(|observer| observer.on_end(self.id(), Some(&end)));
        end
    }
}

impl<P> Drop for Subscription<P> {
    fn drop(&mut self) {
        self.core.leave(&self.waiter, self.selector.principal(), self.selector.grant());
        self.waiter.stop_waiting();
        if self.ended.is_none() {
            self.core.hooks.observe(|observer| observer.on_end(self.id(), None));
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
