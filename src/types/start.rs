//! Defines where a subscription begins, and the verdict on what that start found.
//! How a start is resolved is decided in `core::start`.
//!
//! Callers: `core`, `subscription` and `nomad`, and users of the crate.

use crate::types::token::Token;

/// Where a subscription begins.
///
/// Only [`Exactly`](Start::Exactly) can be refused. Every other start succeeds, and the
/// [verdict](crate::Subscription::verdict) reports what it found.
///
/// ```
/// use event_broker::{Broker, Event, Request, Start, Verdict};
///
/// let broker = Broker::<()>::builder().max_batches(2).build()?;
/// for index in [10, 20, 30] {
///     broker.publish(index, [Event::new("Job", "JobRegistered", "web", ())])?;
/// }
/// let open = |start| broker.subscribe(Request::new().start(start));
/// assert_eq!(open(Start::Oldest)?.recv()?.index(), 20);
/// assert_eq!(open(Start::Index(21))?.recv()?.index(), 30);
/// assert_eq!(open(Start::Index(5))?.verdict(), Verdict::Lost { oldest: Some(20) });
/// assert!(open(Start::Latest)?.try_recv().is_err(), "nothing new yet");
/// assert!(open(Start::Exactly(21)).is_err(), "no such index");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Start {
    /// Begins with the oldest batch that is buffered when the subscription opens. This is index 0 in the HTTP API whose
    /// event stream [`nomad`](crate::nomad) describes.
    ///
    /// If that batch is evicted before the first read, the subscription begins with the oldest batch at the time of
    /// that read. What was buffered at opening and evicted before the first read does not count as lost. What was
    /// published after opening does, and is reported as lag. The same holds for every start whose verdict reported a
    /// loss.
    #[default]
    Oldest,
    /// Begins with the first batch whose index is at least this one. No lower index is ever delivered: if the index is
    /// in the future, the stream is silent until it is published.
    Index(u64),
    /// Begins with the first batch of exactly this index. Refused if that batch is lost, absent or in the future.
    Exactly(u64),
    /// Begins after everything before the token's place. If the broker has not reached that place yet, as on a replica
    /// that is behind, the stream is silent until it does. A token of another epoch starts at the oldest batch.
    After(Token),
    /// Begins with the next batch that is published.
    Latest,
}

/// What a start found, known before the first event.
///
/// Loss is decided by what was evicted, matching or not. Gaps between indexes are not losses. A loss that the verdict
/// reports is not reported again as lag.
///
/// ```
/// use event_broker::{Broker, Event, Request, Start, Verdict};
///
/// let broker = Broker::<()>::builder().max_batches(1).build()?;
/// for index in [10, 20] {
///     broker.publish(index, [Event::new("Job", "JobRegistered", "web", ())])?;
/// }
/// let found = |index| broker.subscribe(Request::new().start(Start::Index(index))).map(|reader| reader.verdict());
/// assert_eq!(found(10)?, Verdict::Lost { oldest: Some(20) });
/// assert_eq!(found(11)?, Verdict::Whole); // nothing was published in between
/// assert_eq!(found(21)?, Verdict::Whole);
/// assert_eq!(found(22)?, Verdict::Future { latest: 20 });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// No batch from the start on is lost.
    Whole,
    /// Batches from the start on are evicted. List the state, or accept the gap.
    Lost {
        /// The oldest index still buffered, if any.
        oldest: Option<u64>,
    },
    /// The start is beyond the next index. The stream is silent until it is published.
    Future {
        /// The latest index.
        latest: u64,
    },
    /// The token belongs to another epoch. The stream starts at the oldest batch.
    OtherEpoch {
        /// The oldest index buffered, if any.
        oldest: Option<u64>,
    },
}
