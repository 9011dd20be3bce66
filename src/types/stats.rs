//! Defines the statistics of a broker and of a subscription, as plain numbers.
//! They are counted in `core` under the broker's lock, and in each subscription for its own reads.
//!
//! Callers: `core`, `broker` and `subscription`.

use std::fmt;

/// The id of a subscription within its broker. An id is never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionId(pub(crate) u64);

impl SubscriptionId {
    /// Returns the id as a number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for SubscriptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The statistics of a broker, all taken at the same instant.
///
/// ```
/// use event_broker::{Broker, Event};
///
/// let broker = Broker::<()>::builder().max_batches(1).build()?;
/// for index in [10, 20] {
///     broker.publish(index, [Event::new("Job", "JobRegistered", "web", ())])?;
/// }
/// broker.publish(25, [])?;
/// let stats = broker.stats();
/// assert_eq!((stats.published_batches, stats.evicted_batches, stats.buffered_batches), (2, 1, 1));
/// assert_eq!((stats.oldest_index, stats.latest_index), (Some(20), 25));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BrokerStats {
    /// The number of batches published since the broker was built. Batches without events do not count.
    pub published_batches: u64,
    /// The number of events in the published batches.
    pub published_events: u64,
    /// The number of batches that have left the buffer.
    pub evicted_batches: u64,
    /// The number of batches in the buffer.
    pub buffered_batches: u64,
    /// The number of events in the buffered batches.
    pub buffered_events: u64,
    /// The bytes that count against the [bound in bytes](crate::Builder::max_bytes): the weigher's result for each
    /// event, the index data beside each batch, and the cached JSON.
    ///
    /// It exceeds the bound only if the newest batch alone does. It is 0 without a bound in bytes.
    pub buffered_bytes: u64,
    /// The index of the oldest buffered batch, if the buffer holds any.
    pub oldest_index: Option<u64>,
    /// The latest index, which a batch without events may have moved. It is 0 before the first publish.
    pub latest_index: u64,
    /// The number of open subscriptions.
    pub subscriptions: u64,
    /// The number of entries in the index of terms, which subscriptions with equal terms and namespaces share.
    ///
    /// A term that is requested in two namespaces counts twice. One that is requested in all namespaces, or in very
    /// many, counts once. A subscription that asks for all events has no entry.
    pub terms: u64,
    /// The number of waiters that publishing has collected to wake: readers registered for what was hit, readers whose
    /// access a batch changed, and readers whose start it reached. Some of them may not have waited any more.
    ///
    /// A reader that is registered for several terms that one batch hit counts once for each. Readers that other calls
    /// wake, such as [`access_changed`](crate::Broker::access_changed) and [`close`](crate::Broker::close), do not
    /// count.
    pub wakeups: u64,
}

/// The statistics of a subscription. Its own counts are those of its reader's last completed read or drain window.
///
/// ```
/// use event_broker::{Broker, Event, Request, Term};
///
/// let broker = Broker::<()>::new();
/// let mut web = broker.subscribe(Request::new().term(Term::key("web")?))?;
/// for key in ["web", "web", "db"] {
///     broker.publish(7, [Event::new("Job", "JobRegistered", key, ())])?;
/// }
/// web.recv()?;
/// assert_eq!((web.stats().batches, web.stats().lag), (1, 2));
/// web.recv()?;
/// assert_eq!(web.stats().lag, 0, "no unread batch matches");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubscriptionStats {
    /// The number of batches delivered.
    pub batches: u64,
    /// The number of events in the delivered batches.
    pub events: u64,
    /// The number of batches lost, as reported by [`Lagged::missed`](crate::Lagged::missed).
    pub missed: u64,
    /// The number of batches between the reader's cursor and the newest, evicted ones included. It is 0 if none of them
    /// matches the request.
    ///
    /// It takes the same time whatever the distance. At most some hundred events are examined of an unread backlog that
    /// is older than the subscription. If it is longer, `lag` assumes a match.
    pub lag: u64,
    /// How often the reader was woken or its doorbell rung.
    pub wakeups: u64,
}
