//! What one reader asked for, did and saw, step by step.
//! What was published is in `past`, and whether both fit together is checked in `checks`.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::past::{EventId, PastEvent};
use crate::subscription::Delivery;
use crate::types::error::{RecvError, TryRecvError};
use crate::types::event::Event;
use crate::types::request::Request;
use crate::types::start::Verdict;

/// One read, and its result.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// A delivery of these events, of a commit of this index.
    Delivery {
        /// The index of the delivery.
        index: u64,
        /// Its events, in the order of the delivery.
        events: Vec<EventId>,
    },
    /// There was nothing to read.
    Empty {
        /// How many batches had certainly been published before the read began.
        published: usize,
    },
    /// The reader was overtaken, and goes on unless this is its last step.
    Lost {
        /// [`Lagged::missed`](crate::Lagged::missed).
        missed: u64,
        /// [`Lagged::from`](crate::Lagged::from).
        from: u64,
        /// [`Lagged::through`](crate::Lagged::through).
        through: u64,
        /// [`Lagged::resumes_at`](crate::Lagged::resumes_at).
        resumes_at: u64,
    },
    /// A further subscription of the reader, after its last token.
    Resumed {
        /// What the start found.
        verdict: Verdict,
        /// How many batches at most had been published when it was opened.
        published: usize,
    },
    /// The broker is closed, and all that it held has been read.
    Closed,
    /// The reader has ended: by access, by a cancellation, or because the test stopped it.
    Ended {
        /// Why, such as [`RecvError::name`].
        why: &'static str,
    },
}

type Filter = Arc<dyn Fn(&PastEvent) -> bool + Send + Sync>;

/// What one reader asked for, did and saw.
///
/// A trace begins with what the reader asked for, and where it began. Then each read is recorded:
/// [`delivered`](Self::delivered), [`found_nothing`](Self::found_nothing), [`failed`](Self::failed), or
/// [`tried`](Self::tried) for whatever [`try_recv`](crate::Subscription::try_recv) returned.
///
/// A reset, and a loss that a [skip](crate::Broker::skip_to) caused, end a trace: what the reader reads after it is
/// another trace.
///
/// ```
/// use event_broker::testing::history::{History, Trace, check_all};
/// use event_broker::{Broker, Event, Request};
///
/// let broker = Broker::<u8>::new();
/// let mut history = History::new();
/// let request = || Request::new().namespace("prod");
/// let mut reader = broker.subscribe(request())?;
/// let mut trace = Trace::of("prod", &request());
/// for (index, namespace) in [(1, "prod"), (2, "test"), (3, "prod")] {
///     let events = [Event::new("Job", "JobRegistered", "web", 1).with_namespace(namespace)];
///     history.record(index, &events);
///     broker.publish(index, events)?;
/// }
/// for _ in 0..3 {
///     trace.tried(history.len(), &reader.try_recv());
/// }
/// check_all(&history, [&trace])?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Trace {
    reader: String,
    begins: RangeInclusive<usize>,
    asks: Vec<Filter>,
    may: Vec<Filter>,
    must: Vec<Filter>,
    steps: Vec<Step>,
}

impl Trace {
    /// Begins the trace of a reader that asked for everything, from the first batch on. The name is for reports.
    pub fn new(reader: impl Into<String>) -> Self {
        Self {
            reader: reader.into(),
            begins: 0..=0,
            asks: Vec::new(),
            may: Vec::new(),
            must: Vec::new(),
            steps: Vec::new(),
        }
    }

    /// Begins the trace of a reader that asked for the terms, namespaces and types of a request. The request's start and
    /// predicate are not looked at: they are for [`begins`](Self::begins) and [`may_see`](Self::may_see).
    ///
    /// # Panics
    ///
    /// Panics if a namespace of the request is empty: no subscription opens with it.
    pub fn of<P>(reader: impl Into<String>, request: &Request<P>) -> Self {
        let scope = request.scope().expect("a valid request");
        let (terms, types) = (request.terms.clone(), request.types.clone());
        let in_terms =
            move |event: &PastEvent| terms.is_empty() || terms.iter().any(|term| term.matches(event.event()));
        Self::new(reader)
            .asks_for(move |event| in_terms(event) && scope.admits(event.namespace()))
            .may_see(move |event| types.is_empty() || types.contains(event.event_type()))
    }

    /// Sets where the reader began: at which of the batches, counted from 0. If publishing went on meanwhile, it is
    /// between the number of batches that were certainly published before, and the number at most.
    #[must_use]
    pub fn begins(mut self, between: RangeInclusive<usize>) -> Self {
        self.begins = between;
        self
    }

    /// Narrows what the reader asked for by its terms and namespaces: what can be reported as lost. What it did not ask
    /// for it may not see, either.
    #[must_use]
    pub fn asks_for(mut self, filter: impl Fn(&PastEvent) -> bool + Send + Sync + 'static) -> Self {
        self.asks.push(Arc::new(filter));
        self
    }

    /// Narrows what may be delivered of what the reader asked for, by types, a predicate, or the grant that was in force
    /// at the event's [position](PastEvent::position).
    #[must_use]
    pub fn may_see(mut self, filter: impl Fn(&PastEvent) -> bool + Send + Sync + 'static) -> Self {
        self.may.push(Arc::new(filter));
        self
    }

    /// Narrows what must be delivered of what may be. They differ where it is not known when a reader learned of a
    /// change of access, or what it read.
    #[must_use]
    pub fn must_see(mut self, filter: impl Fn(&PastEvent) -> bool + Send + Sync + 'static) -> Self {
        self.must.push(Arc::new(filter));
        self
    }

    /// Records a delivery, whose events are known by their places.
    pub fn delivered<P>(&mut self, delivery: &Delivery<P>) {
        let place = delivery.token().place();
        let (index, batch) = (delivery.index(), place.count.saturating_sub(1));
        let mut events = delivery.events();
        let ordinals = std::iter::from_fn(|| events.next_with_ordinal());
        let events = ordinals.map(|(ordinal, _)| EventId::Place { index, batch, ordinal }).collect();
        self.push(Step::Delivery { index, events });
    }

    /// Records a delivery, whose events are known by the ids with which they were [recorded](super::History::record_by).
    pub fn delivered_by<P, I: Into<EventId>>(&mut self, delivery: &Delivery<P>, id: impl Fn(&Event<P>) -> I) {
        let events = delivery.events().map(|event| id(event).into()).collect();
        self.push(Step::Delivery { index: delivery.index(), events });
    }

    /// Records that a read found nothing, when at least so many batches had been published before it began.
    pub fn found_nothing(&mut self, published: usize) {
        self.push(Step::Empty { published });
    }

    /// Records the error of a read. An end that repeats is recorded once.
    pub fn failed(&mut self, error: &RecvError) {
        let end = match error {
            RecvError::Lagged(lagged) if lagged.skipped => Step::Ended { why: "skipped" },
            RecvError::Lagged(lagged) if error.is_terminal() => {
                let end = Step::Ended { why: "lagged" };
                if self.steps.last() != Some(&end) {
                    self.push(lost(lagged));
                }
                end
            }
            RecvError::Lagged(lagged) => return self.push(lost(lagged)),
            RecvError::Closed => Step::Closed,
            error => Step::Ended { why: error.name() },
        };
        if self.steps.last() != Some(&end) {
            self.push(end);
        }
    }

    /// Records whatever a read returned that does not wait, when at least so many batches had been published before it
    /// began. The events are known by their places.
    pub fn tried<P>(&mut self, published: usize, result: &Result<Delivery<P>, TryRecvError>) {
        match result {
            Ok(delivery) => self.delivered(delivery),
            Err(TryRecvError::Empty) => self.found_nothing(published),
            Err(TryRecvError::Recv(error)) => self.failed(error),
        }
    }

    /// Records that the reader subscribed again after its last token, with this verdict, when at most so many batches
    /// had been published. In another epoch the trace ends.
    pub fn resumed(&mut self, verdict: Verdict, published: usize) {
        self.push(match verdict {
            Verdict::OtherEpoch { .. } => Step::Ended { why: "other epoch" },
            verdict => Step::Resumed { verdict, published },
        });
    }

    /// Records that the test stopped the reader: what it has not read yet is no loss.
    pub fn stopped(&mut self) {
        self.push(Step::Ended { why: "stopped" });
    }

    /// Adds a step, such as one that a client saw at the other end of a connection.
    pub fn push(&mut self, step: Step) {
        self.steps.push(step);
    }

    /// Returns the name of the reader.
    pub fn reader(&self) -> &str {
        &self.reader
    }

    /// Returns what was recorded.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    pub(super) fn range(&self) -> (usize, usize) {
        (*self.begins.start(), *self.begins.end())
    }

    pub(super) fn asked(&self, event: &PastEvent) -> bool {
        self.asks.iter().all(|filter| filter(event))
    }

    pub(super) fn may(&self, event: &PastEvent) -> bool {
        self.asked(event) && self.may.iter().all(|filter| filter(event))
    }

    pub(super) fn must(&self, event: &PastEvent) -> bool {
        self.may(event) && self.must.iter().all(|filter| filter(event))
    }
}

fn lost(lagged: &crate::types::error::Lagged) -> Step {
    Step::Lost { missed: lagged.missed, from: lagged.from, through: lagged.through, resumes_at: lagged.resumes_at }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace")
            .field("reader", &self.reader)
            .field("begins", &self.begins)
            .field("steps", &self.steps)
            .finish_non_exhaustive()
    }
}
