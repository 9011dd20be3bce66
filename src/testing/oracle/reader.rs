//! What a naive reader is and returns: its place, what happened to it, and its deliveries.
//! What a read returns is computed in `read`.

use std::fmt;
use std::sync::Arc;

use super::place::Place;
use super::wish::Wish;
use crate::access::Grant;
use crate::types::error::{Denial, RecvError};
use crate::types::event::{Batch, Event};
use crate::types::start::Verdict;
use crate::types::token::{Epoch, Token};

/// Where a reader stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cursor {
    /// At the oldest of its first read, but not after this position.
    Elastic(usize),
    /// Before a batch of this place or a later one, which is not published yet.
    Waiting(Place),
    /// At a position: everything before it has been passed.
    At(usize),
}

/// One subscription of the naive broker.
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that happened")]
pub(super) struct Reader<P> {
    pub(super) wish: Wish<P>,
    pub(super) cursor: Cursor,
    pub(super) epoch: Epoch,
    /// Everything before it has been passed.
    pub(super) passed: Place,
    /// No batch that was published after the opening has a lower index.
    pub(super) bound: u64,
    /// The oldest position at the opening.
    pub(super) from: usize,
    /// The last batch that was delivered.
    pub(super) delivered: Option<Place>,
    /// What the authorizer answers when the next read asks it.
    pub(super) answer: Option<Result<Grant, Denial>>,
    /// Whether the state was restored since the opening.
    pub(super) reset: bool,
    /// Whether a part of the history was skipped, and that is not reported yet.
    pub(super) skipped: bool,
    pub(super) expired: bool,
    pub(super) cancelled: bool,
    /// The end, which every further read returns.
    pub(super) ended: Option<RecvError>,
}

/// A subscription of a [`NaiveBroker`](super::NaiveBroker), by which its methods find it.
///
/// It is a number and a verdict, so it can be copied, and dropping it ends nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NaiveReader {
    pub(super) number: usize,
    pub(super) verdict: Verdict,
    pub(super) oldest_is_whole: bool,
}

impl NaiveReader {
    /// Returns what the start found, as [`Subscription::verdict`](crate::Subscription::verdict) does.
    pub fn verdict(self) -> Verdict {
        self.verdict
    }

    /// Returns whether the oldest batch was the first of its index when the subscription opened, as
    /// [`Subscription::oldest_is_whole`](crate::Subscription::oldest_is_whole) does.
    pub fn oldest_is_whole(self) -> bool {
        self.oldest_is_whole
    }
}

/// What a read of a [`NaiveBroker`](super::NaiveBroker) returns: the matching events of one batch. It shares the batch.
///
/// ```
/// use event_broker::testing::oracle::NaiveBroker;
/// use event_broker::{Event, Request, Term};
///
/// let mut naive = NaiveBroker::new();
/// naive.publish(7, [
///     Event::new("Job", "JobRegistered", "web", 1),
///     Event::new("Job", "JobRegistered", "db", 2),
/// ])?;
/// let reader = naive.subscribe(Request::new().term(Term::key("db")?))?;
/// let delivery = naive.try_recv(reader)?;
/// let payloads: Vec<_> = delivery.events().map(|event| *event.payload()).collect();
/// assert_eq!((delivery.index(), payloads, delivery.batch_len()), (7, vec![2], 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct NaiveDelivery<P> {
    pub(super) batch: Arc<Batch<P>>,
    pub(super) ordinals: Vec<usize>,
    pub(super) token: Token,
}

impl<P> NaiveDelivery<P> {
    /// Returns the index of the commit.
    pub fn index(&self) -> u64 {
        self.batch.index()
    }

    /// Returns the matching events, at least one, in the order of the commit.
    #[expect(clippy::missing_panics_doc, reason = "each ordinal is of the batch")]
    pub fn events(&self) -> impl ExactSizeIterator<Item = &Event<P>> {
        let all = self.batch.events();
        self.ordinals.iter().map(|ordinal| all.get(*ordinal).expect("an ordinal of the batch"))
    }

    /// Returns the places of the matching events within the batch, from 0 on.
    pub fn ordinals(&self) -> &[usize] {
        &self.ordinals
    }

    /// Returns the number of events in the whole batch, matching or not.
    pub fn batch_len(&self) -> usize {
        self.batch.events().len()
    }

    /// Returns the token after this delivery, which is that of the broker's own delivery.
    pub fn token(&self) -> Token {
        self.token
    }
}

impl<P> fmt::Debug for NaiveDelivery<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outline = |event: &Event<P>| {
            format!("{}/{} {}:{}", event.topic(), event.event_type(), event.namespace(), event.key())
        };
        f.debug_struct("NaiveDelivery")
            .field("index", &self.index())
            .field("events", &self.events().map(outline).collect::<Vec<_>>())
            .field("batch_len", &self.batch_len())
            .finish_non_exhaustive()
    }
}
