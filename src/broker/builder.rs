//! What a broker can be configured with, and its defaults.
//! Nothing is checked before `build`, and nothing runs until then.

use std::fmt;
use std::sync::{Arc, Weak};

use super::core::{Core, Counters, Floor, Hooks, State, Weigher};
use super::{Broker, Owner};
use crate::access::Authorizer;
use crate::clock::{Clock, SystemClock};
use crate::dispatch::Dispatch;
use crate::error::BuildError;
use crate::event::Event;
use crate::interest::Interest;
use crate::log::{Appender, Log, Retention};
use crate::name::Key;
use crate::observer::Observer;
use crate::registry::{Pending, Registry};
use crate::sync::Mutex;
use crate::token::{Epoch, Place};
use crate::wait::WaitList;

/// How many batches a broker keeps if nothing is said: as many as servers of the HTTP API do.
const DEFAULT_BATCHES: u64 = 100;

/// Configures a [`Broker`].
///
/// ```
/// use event_broker::{Broker, Epoch};
///
/// let broker = Broker::<String>::builder()
///     .max_batches(1_000)
///     .max_bytes(64 << 20)
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
    initial_index: Option<u64>,
    epoch: Option<Epoch>,
    authorizer: Option<Box<dyn Authorizer<P>>>,
    observer: Option<Box<dyn Observer>>,
    weigher: Option<Weigher<P>>,
    clock: Box<dyn Clock>,
}

impl<P> Builder<P> {
    pub(super) fn new() -> Self {
        Self {
            max_batches: DEFAULT_BATCHES,
            max_events: None,
            max_bytes: None,
            initial_index: None,
            epoch: None,
            authorizer: None,
            observer: None,
            weigher: None,
            clock: Box::new(SystemClock),
        }
    }

    /// Bounds the buffer to so many batches, exactly: 100 if nothing is said. The newest always stays.
    #[must_use]
    pub fn max_batches(mut self, batches: u64) -> Self {
        self.max_batches = batches;
        self
    }

    /// Also bounds the buffer to so many events. The newest batch stays, however many it has.
    #[must_use]
    pub fn max_events(mut self, events: u64) -> Self {
        self.max_events = Some(events);
        self
    }

    /// Also bounds the buffer to so many bytes, as the [weigher](Self::weigher) counts them. The newest batch stays,
    /// however heavy it is.
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// Says that everything up to and including this index is past: a start at or below it is a loss, the next index
    /// is not, and what is published must be above. Left alone, no history is missing.
    #[must_use]
    pub fn initial_index(mut self, index: u64) -> Self {
        self.initial_index = Some(index);
        self
    }

    /// Sets the name of the history, which replicas of it share. Left alone it is random.
    #[must_use]
    pub fn epoch(mut self, epoch: Epoch) -> Self {
        self.epoch = Some(epoch);
        self
    }

    /// Sets the server's own rules. Left alone, everything is allowed.
    #[must_use]
    pub fn authorizer(mut self, authorizer: impl Authorizer<P> + 'static) -> Self {
        self.authorizer = Some(Box::new(authorizer));
        self
    }

    /// Sets who is told what happens.
    #[must_use]
    pub fn observer(mut self, observer: impl Observer + 'static) -> Self {
        self.observer = Some(Box::new(observer));
        self
    }

    /// Sets how the bytes of an event are counted; used only with [`max_bytes`](Self::max_bytes).
    ///
    /// Left alone it is the size of the event itself and of its names: what a payload keeps elsewhere is not known to
    /// the broker. It runs in `publish`, outside every lock; if it panics, the panic reaches the publisher, and
    /// nothing is published.
    #[must_use]
    pub fn weigher(mut self, weigher: impl Fn(&Event<P>) -> u64 + Send + Sync + 'static) -> Self {
        self.weigher = Some(Box::new(weigher));
        self
    }

    /// Sets the clock that grants expire by.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// Builds the broker.
    ///
    /// # Errors
    ///
    /// If a bound is zero.
    pub fn build(self) -> Result<Broker<P>, BuildError>
    where
        P: 'static,
    {
        let bounds =
            [("max_batches", Some(self.max_batches)), ("max_events", self.max_events), ("max_bytes", self.max_bytes)];
        for (setting, value) in bounds {
            if value == Some(0) {
                return Err(BuildError { setting, value: 0, minimum: 1 });
            }
        }
        let weigher = self.max_bytes.map(|_| self.weigher.unwrap_or_else(|| Box::new(weigh)));
        Ok(Broker::from_core(Core {
            log: Log::new(self.initial_index.unwrap_or(0)),
            everyone: WaitList::default(),
            dispatch: Dispatch::new(),
            state: Mutex::new(State {
                appender: Appender::new(Retention::new(self.max_batches, self.max_events, self.max_bytes)),
                interest: Interest::new(),
                registry: Registry::default(),
                pending: Pending::default(),
                floor: self.initial_index.map_or(Floor::Free, Floor::Above),
                epoch: self.epoch.unwrap_or_else(Epoch::random),
                restored: self.initial_index.map_or(Place::before(0), Place::past),
                next_place: self.initial_index.map_or(Place::before(0), Place::past),
                readers_of_all: 0,
                named_readers: 0,
                access_changes: 0,
                questions: 0,
                deletions: Vec::new(),
                next_id: 0,
                last_filter: Weak::new(),
                counters: Counters::default(),
            }),
            hooks: Hooks { authorizer: self.authorizer, observer: self.observer, weigher, clock: self.clock },
        }))
    }
}

impl<P> Broker<P> {
    pub(super) fn from_core(core: Core<P>) -> Self {
        Self { owner: Arc::new(Owner { core: Arc::new(core) }) }
    }
}

impl<P> fmt::Debug for Builder<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("max_batches", &self.max_batches)
            .field("max_events", &self.max_events)
            .field("max_bytes", &self.max_bytes)
            .field("initial_index", &self.initial_index)
            .field("epoch", &self.epoch)
            .field("authorizer", &self.authorizer.is_some())
            .field("observer", &self.observer.is_some())
            .field("weigher", &self.weigher.is_some())
            .field("clock", &self.clock)
            .finish()
    }
}

/// The default weigher.
fn weigh<P>(event: &Event<P>) -> u64 {
    let keys: usize = event.filter_keys().iter().map(|key| size_of::<Key>() + key.as_str().len()).sum();
    let names = event.topic().as_str().len()
        + event.event_type().as_str().len()
        + event.key().as_str().len()
        + event.namespace().as_str().len();
    (size_of::<Event<P>>() + names + keys) as u64
}
