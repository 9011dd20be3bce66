//! The builder: what a broker can be configured with, and the defaults.
//! Nothing is checked before `build`, and no foreign code runs until then.

use std::fmt;
use std::mem::needs_drop;
use std::sync::{Arc, Weak};

use ahash::RandomState;
#[cfg(feature = "json")]
use serde::Serialize;

use super::handle::{Broker, Owner};
use crate::access::Authorizer;
use crate::core::{
    BrokerCounters, Core, HistoryStart, Hooks, PacedMutex, PendingDecisions, PendingStarts, Registry, State, Weigher,
};
#[cfg(feature = "json")]
use crate::frame::encoded_len;
use crate::interest::Interest;
use crate::log::{Appender, Log, MAX_BYTES, Retention};
use crate::sync::Mutex;
use crate::types::clock::{Clock, SystemClock};
use crate::types::error::{BuildError, BuildErrorKind};
use crate::types::event::Event;
use crate::types::name::Key;
use crate::types::observer::Observer;
use crate::types::token::{Epoch, Token};
use crate::wait::{Dispatch, WaitList};

/// Number of batches that a broker keeps by default, as many as servers of the HTTP API do.
const DEFAULT_BATCHES: u64 = 100;

/// Configures a [`Broker`].
///
/// ```
/// use event_broker::{Broker, Epoch};
///
/// let broker = Broker::<String>::builder()
///     .max_batches(1_000)
///     .max_bytes(64 << 20)
///     .weigher(|event| (size_of_val(event) + event.payload().capacity()) as u64)
///     .initial_index(41) // the state was read at index 41: the history before it is not here
///     .epoch(Epoch::from(7)) // shared by the replicas of one history
///     .build()?;
/// assert_eq!(broker.latest_index(), 41);
///
/// let refused = Broker::<String>::builder().max_batches(0).build().unwrap_err();
/// assert_eq!(refused.to_string(), "max_batches is 0, expected at least 1");
/// # Ok::<(), event_broker::BuildError>(())
/// ```
pub struct Builder<P> {
    max_batches: u64,
    max_events: Option<u64>,
    max_bytes: Option<u64>,
    origin: HistoryStart,
    rising: bool,
    epoch: Option<Epoch>,
    authorizer: Option<Box<dyn Authorizer<P>>>,
    observer: Option<Box<dyn Observer>>,
    weigher: Option<Weigher<P>>,
    clock: Box<dyn Clock>,
    #[cfg(feature = "testing")]
    taps: Vec<Arc<crate::core::Tap<crate::core::Record<P>>>>,
}

impl<P> Builder<P> {
    pub(super) fn new() -> Self {
        Self {
            max_batches: DEFAULT_BATCHES,
            max_events: None,
            max_bytes: None,
            origin: HistoryStart::Complete,
            rising: false,
            epoch: None,
            authorizer: None,
            observer: None,
            weigher: None,
            clock: Box::new(SystemClock),
            #[cfg(feature = "testing")]
            taps: Vec::new(),
        }
    }

    /// Gives this tap all that will be published.
    #[cfg(feature = "testing")]
    pub(crate) fn tap(mut self, tap: Arc<crate::core::Tap<crate::core::Record<P>>>) -> Self {
        self.taps.push(tap);
        self
    }

    /// Bounds the buffer to exactly this many batches; the default is 100. The newest batch always stays.
    #[must_use]
    pub fn max_batches(mut self, batches: u64) -> Self {
        self.max_batches = batches;
        self
    }

    /// Bounds the buffer to this many events as well. The newest batch always stays, however many events it has.
    #[must_use]
    pub fn max_events(mut self, events: u64) -> Self {
        self.max_events = Some(events);
        self
    }

    /// Bounds the buffer to this many bytes as well. The newest batch always stays, however heavy it is.
    ///
    /// The bytes of a batch are what the [weigher](Self::weigher) returns for its events, what finding them by topic
    /// and key takes beside them, and all JSON that is cached beside them (feature `json`). The buffer's own tables
    /// take some 200 bytes for each batch, which are not counted.
    ///
    /// The bound holds after every publish and after every frame that is made. A reader that encodes a batch may evict
    /// the oldest batches, as publishing does, and the observer is called for that in the same way. What is evicted and
    /// not freed yet takes at most an eighth of the bound beside it. So a buffer whose batches are all read as frames
    /// holds about half as many batches as a buffer whose batches are not encoded.
    ///
    /// A weigher must be set if payloads may own memory. Otherwise that memory would not be bounded:
    ///
    /// ```
    /// use event_broker::{Broker, BuildErrorKind};
    ///
    /// let builder = || Broker::<Vec<u8>>::builder().max_bytes(64 << 20);
    /// assert_eq!(builder().build().unwrap_err().kind, BuildErrorKind::NoWeigher);
    /// assert!(builder().weigher(|event| event.payload().capacity() as u64).build().is_ok());
    /// assert!(Broker::<u64>::builder().max_bytes(64 << 20).build().is_ok(), "the broker sees all of such payloads");
    /// ```
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// Sets the last index of the history before this broker: everything up to and including it is past. A start at or
    /// below it is a loss, and a start at the next index is not. What is published must be above it. By default no
    /// history is missing.
    ///
    /// An index alone does not say how many of its batches a reader has seen. So readers from before a restart are
    /// reported a loss even if they had read all of it, unless indexes [rise](Self::rising_indexes). A host that can
    /// keep a token beside its snapshot uses [`starts_after`](Self::starts_after). If both are called, the last call
    /// counts.
    #[must_use]
    pub fn initial_index(mut self, index: u64) -> Self {
        self.origin = HistoryStart::Above(index);
        self
    }

    /// Sets the epoch, and the place at which the history before this broker ends, to those of the token. The broker
    /// continues at the [position](crate::Broker::token) of another broker, before a restart or on another replica.
    ///
    /// A reader at exactly this place has lost nothing, also if a batch without events moved it there. A reader before
    /// it has lost batches. What is published must not be below the place; an equal index is a further batch of it. A
    /// host that may apply its last commit again also calls [`rising_indexes`](Self::rising_indexes).
    ///
    /// ```
    /// use event_broker::{Broker, Epoch, Event, Request, Start, Token, Verdict};
    ///
    /// let broker = Broker::<()>::builder().epoch(Epoch::from(7)).build()?;
    /// let mut reader = broker.subscribe(Request::new())?;
    /// broker.publish(9, [Event::new("Job", "JobRegistered", "web", ())])?;
    /// let early = reader.token();
    /// let token = reader.recv()?.token();
    /// let kept = broker.token().to_string(); // beside the snapshot of the state
    /// drop(broker);
    ///
    /// let restarted = Broker::<()>::builder().starts_after(kept.parse()?).build()?;
    /// let resume = |token: Token| restarted.subscribe(Request::new().start(Start::After(token)));
    /// assert_eq!(resume(token)?.verdict(), Verdict::Whole);
    /// assert_eq!(resume(early)?.verdict(), Verdict::Lost { oldest: None });
    /// restarted.publish(10, [Event::new("Job", "JobRegistered", "db", ())])?;
    /// assert_eq!(resume(token)?.recv()?.index(), 10);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn starts_after(mut self, token: Token) -> Self {
        self.origin = HistoryStart::After(token.place());
        self.epoch = Some(token.epoch());
        self
    }

    /// Sets whether every index must be higher than the one before it, for hosts that publish one batch for each
    /// commit.
    ///
    /// An equal index is then refused as [repeated](crate::PublishErrorKind::Repeated), so that a commit that is
    /// applied again after a restart is not published twice. A batch without events counts as one.
    ///
    /// An index then identifies one batch, as a token does: a reader that has read index 9 has lost nothing at a broker
    /// whose [initial index](Self::initial_index) is 9 and that is in the same [epoch](Self::epoch).
    ///
    /// ```
    /// use event_broker::{Broker, Event, PublishErrorKind};
    ///
    /// let broker = Broker::<()>::builder().rising_indexes(true).initial_index(9).build()?;
    /// let commit = |index| broker.publish(index, [Event::new("Job", "JobRegistered", "web", ())]);
    /// assert_eq!(commit(9).unwrap_err().kind, PublishErrorKind::Repeated { index: 9 });
    /// commit(10)?;
    /// assert_eq!(commit(10).unwrap_err().kind, PublishErrorKind::Repeated { index: 10 });
    /// assert_eq!(commit(8).unwrap_err().kind, PublishErrorKind::Falling { index: 8, latest: 10 });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn rising_indexes(mut self, rising: bool) -> Self {
        self.rising = rising;
        self
    }

    /// Sets the name of the history, which all replicas of it share. By default it is random.
    #[must_use]
    pub fn epoch(mut self, epoch: Epoch) -> Self {
        self.epoch = Some(epoch);
        self
    }

    /// Sets the authorizer, which holds the server's own rules of access. By default everything is allowed.
    #[must_use]
    pub fn authorizer(mut self, authorizer: impl Authorizer<P> + 'static) -> Self {
        self.authorizer = Some(Box::new(authorizer));
        self
    }

    /// Sets the observer, whose methods are called for publishes, evictions, losses, new subscriptions and ends.
    #[must_use]
    pub fn observer(mut self, observer: impl Observer + 'static) -> Self {
        self.observer = Some(Box::new(observer));
        self
    }

    /// Sets how the bytes of an event are counted. It is used only with [`max_bytes`](Self::max_bytes).
    ///
    /// The weigher should return what the event takes in memory, on the heap and in itself. By default that is the size
    /// of the event and of its names. The default exists only for payloads that own nothing, because the broker does
    /// not know what other payloads keep on the heap.
    ///
    /// It runs in `publish`, once for each event and outside every lock. If it panics, the panic reaches the publisher,
    /// and nothing is published. With the feature `json`, `weigh_encoded` needs no code.
    ///
    /// ```
    /// use event_broker::{Broker, Event};
    ///
    /// let weigh = |event: &Event<String>| (size_of_val(event) + event.payload().capacity()) as u64;
    /// let broker = Broker::builder().max_bytes(10_000).weigher(weigh).build()?;
    /// for index in 1..=100 {
    ///     broker.publish(index, [Event::new("Job", "JobRegistered", "web", "x".repeat(1_000))])?;
    /// }
    /// let stats = broker.stats();
    /// assert!(stats.buffered_batches < 10 && stats.buffered_bytes <= 10_000);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn weigher(mut self, weigher: impl Fn(&Event<P>) -> u64 + Send + Sync + 'static) -> Self {
        self.weigher = Some(Box::new(weigher));
        self
    }

    /// Counts an event as the length of its JSON, instead of by a [weigher](Self::weigher) of the host's own. If both
    /// are called, the last call counts.
    ///
    /// It suits payloads that hold mostly text. Payloads of numbers, maps and lists of small things can take a multiple
    /// of it in memory. The text is counted and not kept, so nothing is allocated. The publisher serializes each event
    /// once more than frames need, which costs about as much as encoding it.
    ///
    /// An event whose payload cannot be serialized counts as its own size and its names. If a payload's `Serialize`
    /// panics, the panic reaches the publisher, and nothing is published.
    ///
    /// ```
    /// use event_broker::{Broker, Event};
    ///
    /// let broker = Broker::<String>::builder().max_bytes(10_000).weigh_encoded().build()?;
    /// broker.publish(7, [Event::new("Job", "JobRegistered", "web", "x".repeat(1_000))])?;
    /// // Without the payload, the event has 106 characters.
    /// assert_eq!(broker.stats().buffered_bytes, 1_106);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "json")]
    #[must_use]
    pub fn weigh_encoded(self) -> Self
    where
        P: Serialize,
    {
        self.weigher(|event| encoded_len(event).unwrap_or_else(|| default_weight(event)))
    }

    /// Sets the clock, used for grant expiry and heartbeats.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// Builds the broker.
    ///
    /// # Errors
    ///
    /// Returns an error if a bound is zero, or if bytes are bounded, payloads may own memory, and no weigher is set.
    pub fn build(self) -> Result<Broker<P>, BuildError>
    where
        P: 'static,
    {
        let bounds =
            [("max_batches", Some(self.max_batches)), ("max_events", self.max_events), ("max_bytes", self.max_bytes)];
        for (setting, value) in bounds {
            if value == Some(0) {
                return Err(BuildError { kind: BuildErrorKind::BelowMinimum, setting, value: 0, minimum: 1 });
            }
        }
        let max_bytes = self.max_bytes.map(|bytes| bytes.min(MAX_BYTES));
        let weigher = match (max_bytes, self.weigher) {
            (None, _) => None,
            (Some(value), None) if needs_drop::<P>() => {
                return Err(BuildError { kind: BuildErrorKind::NoWeigher, setting: "max_bytes", value, minimum: 1 });
            }
            (Some(_), weigher) => Some(weigher.unwrap_or_else(|| Box::new(default_weight))),
        };
        let interest = Interest::new();
        let keys = interest.key_hasher().clone();
        let (index_bound, place) = self.origin.begin();
        let (latest, finished) = (index_bound.latest_index(), index_bound.finished_below(self.rising));
        // Batches refer to the buffer that they are charged to only if what is cached beside them is charged.
        #[cfg_attr(
            not(any(feature = "json", all(broker_loom, test))),
            expect(unused_variables, reason = "nothing is cached")
        )]
        let core = |itself: &Weak<Core<P>>| Core {
            log: Log::new(latest, finished, self.rising, max_bytes),
            unfiltered: WaitList::default(),
            dispatch: Dispatch::new(),
            state: PacedMutex::new(State {
                appender: Appender::new(Retention::new(self.max_batches, self.max_events, max_bytes)),
                interest,
                registry: Registry::default(),
                pending_starts: PendingStarts::default(),
                index_bound,
                epoch: self.epoch.unwrap_or_else(Epoch::random),
                rising: self.rising,
                restored_place: place,
                skipped_at: None,
                next_place: place,
                unfiltered_readers: 0,
                hit_queue_readers: 0,
                decisions: PendingDecisions::default(),
                next_id: 0,
                counters: BrokerCounters::default(),
                #[cfg(feature = "testing")]
                taps: self.taps,
            }),
            last_filter: Mutex::new(Weak::new()),
            hasher: RandomState::new(),
            keys,
            hooks: Hooks { authorizer: self.authorizer, observer: self.observer, weigher, clock: self.clock },
            #[cfg(any(feature = "json", all(broker_loom, test)))]
            weak_self: if max_bytes.is_some() { Weak::clone(itself) } else { Weak::new() },
        };
        Ok(Broker { owner: Arc::new(Owner { core: Arc::new_cyclic(core) }) })
    }
}

impl<P> fmt::Debug for Builder<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Builder");
        #[cfg(feature = "testing")]
        debug.field("recorders", &self.taps.len());
        debug
            .field("max_batches", &self.max_batches)
            .field("max_events", &self.max_events)
            .field("max_bytes", &self.max_bytes)
            .field("origin", &self.origin)
            .field("rising", &self.rising)
            .field("epoch", &self.epoch)
            .field("authorizer", &self.authorizer.is_some())
            .field("observer", &self.observer.is_some())
            .field("weigher", &self.weigher.is_some())
            .field("clock", &self.clock)
            .finish()
    }
}

/// Returns the default weight of an event: all that it takes if its payload owns nothing.
fn default_weight<P>(event: &Event<P>) -> u64 {
    let keys: usize = event.filter_keys().iter().map(|key| size_of::<Key>() + key.as_str().len()).sum();
    let names = event.topic().as_str().len()
        + event.event_type().as_str().len()
        + event.key().as_str().len()
        + event.namespace().as_str().len();
    (size_of::<Event<P>>() + names + keys) as u64
}
impl<P> Broker<P> {
    /// Returns a builder, which configures a broker.
    pub fn builder() -> Builder<P> {
        Builder::new()
    }

    /// Returns a broker with every default: 100 batches, everything allowed, no history missing.
    #[expect(clippy::missing_panics_doc, reason = "the defaults are valid")]
    pub fn new() -> Self
    where
        P: 'static,
    {
        Self::builder().build().expect("the defaults are valid")
    }
}

impl<P: 'static> Default for Broker<P> {
    fn default() -> Self {
        Self::new()
    }
}
