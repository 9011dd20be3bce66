//! What a broker and a subscription tell of themselves, as plain numbers.
//! Counting happens where things happen, not here.

use std::fmt;

/// The name of a subscription within its broker. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionId(pub(crate) u64);

impl SubscriptionId {
    /// The number behind the id.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for SubscriptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A broker in numbers, all of one instant.
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
    /// Batches published since the broker was built, those without events not counted.
    pub published_batches: u64,
    /// Events in them.
    pub published_events: u64,
    /// Batches that went out of reach.
    pub evicted_batches: u64,
    /// Batches in reach.
    pub buffered_batches: u64,
    /// Events in them.
    pub buffered_events: u64,
    /// What they take of the [bound in bytes](crate::Builder::max_bytes): what the weigher said of them, and what is kept
    /// beside them for finding them and of their JSON. At most the bound, unless the newest batch alone is heavier; 0
    /// without a bound in bytes.
    pub buffered_bytes: u64,
    /// The index of the oldest batch in reach, if there is one.
    pub oldest_index: Option<u64>,
    /// The latest index, which an empty batch may have moved; 0 before the first.
    pub latest_index: u64,
    /// Open subscriptions.
    pub subscriptions: u64,
    /// Distinct terms that they joined.
    pub terms: u64,
    /// Waiting readers that publishing took from their lists to wake.
    pub wakeups: u64,
}

/// A subscription in numbers. Its own counts are those of its reader's last completed read or drain window.
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
/// assert_eq!(web.stats().lag, 0, "nothing that it asked for lies ahead");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubscriptionStats {
    /// Batches delivered.
    pub batches: u64,
    /// Events in those deliveries.
    pub events: u64,
    /// Batches lost, as told by [`Lagged::missed`](crate::Lagged::missed).
    pub missed: u64,
    /// Batches between the reader and the newest, those included that were evicted; 0 when nothing that it asked for lies
    /// ahead. Counting takes the same
    /// time however much that is: of a longer backlog than some hundred events that was there before the subscription,
    /// and that its reader has not read yet, it is taken that something was asked for.
    pub lag: u64,
    /// How often it was woken, or its doorbell rung.
    pub wakeups: u64,
}
