//! A recorder: every batch that a broker publishes, in order, whatever the bounds of its buffer are.
//! How a broker hands them over is decided in `core::tap`, and how they are shown in `outline`.
//!
//! Callers: tests of hosts, and the assertions of this module.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::outline::{Outline, Show};
use super::step::TIME_LIMIT;
use crate::broker::{Broker, Builder};
use crate::core::{Core, Record, Tap};
use crate::subscription::Delivery;
use crate::sync::{AtomicBool, Mutex, Ordering};

/// Receives everything that a broker publishes, in order.
///
/// A recorder is no subscription: it needs no rights, sees all namespaces, loses nothing, and is not counted by
/// [`BrokerStats`](crate::BrokerStats). What it has recorded stays in memory until it is taken. It sees the batches
/// that a reader would see. A batch without events is stored by no broker, and is not recorded; see
/// [`Broker::latest_index`] and [`Observer`](crate::Observer).
///
/// Clones share the recording. When the last is dropped, what was recorded is dropped as well, and nothing more is
/// recorded. The recorder does not keep the broker open.
///
/// ```
/// use event_broker::testing::Recorder;
/// use event_broker::{Broker, Event, assert_nothing_published, assert_published};
///
/// let broker = Broker::<u32>::builder().max_batches(1).build()?;
/// let recorder = Recorder::of(&broker);
/// // … the store under test commits, and publishes:
/// broker.publish(1, [Event::new("Job", "JobRegistered", "web", 3).with_namespace("prod")])?;
/// broker.publish(2, [Event::new("Job", "JobDeregistered", "web", 3).with_namespace("prod")])?;
/// assert_published!(recorder, "1 Job/JobRegistered prod:web", "2 Job/JobDeregistered prod:web");
/// assert_nothing_published!(recorder);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Recorder<P> {
    inner: Arc<Inner<P>>,
}

struct Inner<P> {
    tap: Arc<Tap<Record<P>>>,
    /// The brokers that it was attached to after they were made.
    attached: Mutex<Vec<Weak<Core<P>>>>,
    /// Whether it was given to any broker or builder.
    is_attached: AtomicBool,
}

impl<P> Recorder<P> {
    /// Creates a recorder that is attached to no broker yet. A store that makes its own broker passes the builder to
    /// [`record`](Builder::record).
    pub fn new() -> Self {
        Self {
            inner: Arc::new(Inner {
                tap: Arc::new(Tap::new()),
                attached: Mutex::new(Vec::new()),
                is_attached: AtomicBool::new(false),
            }),
        }
    }

    /// Creates a recorder of this broker. It begins with what is buffered.
    pub fn of(broker: &Broker<P>) -> Self {
        let recorder = Self::new();
        recorder.attach(broker);
        recorder
    }

    /// Records this broker as well. The recording continues with what the broker has buffered, and then has all that it
    /// publishes. Batches of several brokers come in the order in which they were published. Does nothing if it records
    /// this broker already.
    pub fn attach(&self, broker: &Broker<P>) {
        self.set_attached();
        broker.core().attach(&self.inner.tap);
        self.inner.attached.lock().push(Arc::downgrade(broker.core()));
    }

    fn set_attached(&self) {
        self.inner.is_attached.store(true, Ordering::Relaxed);
    }

    /// Returns the number of batches recorded since the last [`take`](Self::take).
    pub fn len(&self) -> usize {
        self.inner.tap.len()
    }

    /// Returns whether nothing was recorded since the last [`take`](Self::take).
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the batches recorded since the last call, and begins again with none. Each is the delivery that a reader
    /// of everything would receive, and keeps its batch in memory.
    ///
    /// ```
    /// use event_broker::testing::Recorder;
    /// use event_broker::{Broker, Event};
    ///
    /// let broker = Broker::<u32>::new();
    /// let recorder = Recorder::of(&broker);
    /// broker.publish(7, [Event::new("Job", "JobRegistered", "web", 3)])?;
    /// let batches = recorder.take();
    /// assert_eq!((batches.len(), batches[0].index(), recorder.len()), (1, 7, 0));
    /// assert_eq!(batches[0].events().next().map(|event| *event.payload()), Some(3));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn take(&self) -> Vec<Delivery<P>> {
        self.inner.tap.take().into_iter().map(Delivery::whole).collect()
    }

    /// Returns the batches recorded since the last [`take`](Self::take), and leaves them there.
    pub fn recorded(&self) -> Vec<Delivery<P>> {
        self.inner.tap.copied().into_iter().map(Delivery::whole).collect()
    }

    /// Waits until at least this many batches are recorded, and takes all of them. It does not poll: the publish that
    /// completes the number wakes it.
    ///
    /// # Panics
    ///
    /// Panics with an outline of what was recorded if that takes longer than [`TIME_LIMIT`].
    ///
    /// ```
    /// use event_broker::testing::Recorder;
    /// use event_broker::{Broker, Event};
    ///
    /// let broker = Broker::<()>::new();
    /// let recorder = Recorder::of(&broker);
    /// let store = std::thread::spawn(move || {
    ///     (1..=3).for_each(|index| broker.publish(index, [Event::new("Job", "Changed", "web", ())]).unwrap());
    /// });
    /// assert_eq!(recorder.wait_for(3).len(), 3);
    /// # store.join().unwrap();
    /// ```
    #[track_caller]
    pub fn wait_for(&self, batches: usize) -> Vec<Delivery<P>> {
        self.wait_at_most(TIME_LIMIT, batches)
    }

    /// Does the same with another limit.
    ///
    /// # Panics
    ///
    /// Panics with an outline of what was recorded if it takes longer than `limit`.
    #[track_caller]
    pub fn wait_at_most(&self, limit: Duration, batches: usize) -> Vec<Delivery<P>> {
        let Some(taken) = self.inner.tap.wait_for(batches, limit) else {
            let found = self.recorded();
            let outline = match Outline::of(&found).indented() {
                outline if outline.is_empty() => outline,
                outline => format!(":\n{}", outline.trim_end()),
            };
            let plural = if batches == 1 { "batch" } else { "batches" };
            panic!("expected {batches} {plural} within {limit:?}, found {}{outline}", found.len());
        };
        taken.into_iter().map(Delivery::whole).collect()
    }

    /// Returns the outline of what was recorded since the last [`take`](Self::take), without payloads, and leaves it
    /// there.
    pub fn outline(&self) -> Outline {
        Outline::of(&self.recorded())
    }

    /// Returns the recorder with the payloads shown by their `Debug` form, for assertions.
    ///
    /// ```
    /// use event_broker::testing::Recorder;
    /// use event_broker::{Broker, Event, assert_published};
    ///
    /// let broker = Broker::<(u32, bool)>::new();
    /// let recorder = Recorder::of(&broker);
    /// broker.publish(1, [Event::new("Job", "JobRegistered", "web", (3, true))])?;
    /// assert_published!(recorder.by_debug(), "1 Job/JobRegistered web = (3, true)");
    /// broker.publish(2, [Event::new("Job", "JobRegistered", "web", (4, true))])?;
    /// assert_published!(recorder.by(|(version, _)| format!("v{version}")), "2 Job/JobRegistered web = v4");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn by_debug(&self) -> RecorderBy<'_, P>
    where
        P: fmt::Debug,
    {
        RecorderBy { recorder: self, show: Show::debug() }
    }

    /// Returns the recorder with the payloads shown as JSON, for assertions.
    #[cfg(feature = "json")]
    pub fn by_json(&self) -> RecorderBy<'_, P>
    where
        P: serde::Serialize,
    {
        RecorderBy { recorder: self, show: Show::json() }
    }

    /// Returns the recorder with the payloads shown as this text, for assertions.
    pub fn by(&self, show: impl Fn(&P) -> String + 'static) -> RecorderBy<'_, P> {
        RecorderBy { recorder: self, show: Show::by(show) }
    }
}

impl<P> Default for Recorder<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P> Clone for Recorder<P> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<P> fmt::Debug for Recorder<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("batches", &self.len()).finish_non_exhaustive()
    }
}

// No foreign code runs while its lists are changed, so a panic leaves them whole: a test may catch one around an
// assertion.
impl<P> UnwindSafe for Recorder<P> {}
impl<P> RefUnwindSafe for Recorder<P> {}

impl<P> Drop for Inner<P> {
    fn drop(&mut self) {
        for core in self.attached.lock().drain(..).filter_map(|core| core.upgrade()) {
            core.detach(&self.tap);
        }
        // A broker that was built with it still has the tap.
        self.tap.close();
    }
}

/// A recorder, and how the payloads of its events are shown.
pub struct RecorderBy<'r, P> {
    recorder: &'r Recorder<P>,
    show: Show<P>,
}

impl<P> fmt::Debug for RecorderBy<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.recorder.fmt(f)
    }
}

/// What [`assert_published!`](crate::assert_published) takes its batches from.
pub trait Recording {
    /// Takes what was recorded, as an outline.
    fn take_outline(&self) -> Outline;

    /// Returns whether it records any broker. If it does not, the assertions fail.
    fn is_attached(&self) -> bool;
}

impl<P> Recording for Recorder<P> {
    fn take_outline(&self) -> Outline {
        Outline::of(&self.take())
    }

    fn is_attached(&self) -> bool {
        self.inner.is_attached.load(Ordering::Relaxed)
    }
}

impl<P> Recording for RecorderBy<'_, P> {
    fn take_outline(&self) -> Outline {
        Outline::showing(&self.recorder.take(), &self.show)
    }

    fn is_attached(&self) -> bool {
        self.recorder.is_attached()
    }
}

impl<R: Recording + ?Sized> Recording for &R {
    fn take_outline(&self) -> Outline {
        (**self).take_outline()
    }

    fn is_attached(&self) -> bool {
        (**self).is_attached()
    }
}

impl<P> Builder<P> {
    /// Records everything that the broker will publish, from its first batch on (feature `testing`).
    ///
    /// ```
    /// use event_broker::testing::Recorder;
    /// use event_broker::{Broker, Builder, Event, assert_published};
    ///
    /// struct Store {
    ///     broker: Broker<()>,
    /// }
    ///
    /// impl Store {
    ///     /// A store publishes from the beginning.
    ///     fn new(broker: Builder<()>) -> Self {
    ///         let broker = broker.build().unwrap();
    ///         broker.publish(1, [Event::new("Node", "NodeRegistration", "ccc4", ())]).unwrap();
    ///         Self { broker }
    ///     }
    /// }
    ///
    /// let recorder = Recorder::new();
    /// let store = Store::new(Broker::builder().max_batches(10).record(&recorder));
    /// assert_published!(recorder, "1 Node/NodeRegistration ccc4");
    /// # drop(store.broker);
    /// ```
    #[must_use]
    pub fn record(self, recorder: &Recorder<P>) -> Self {
        recorder.set_attached();
        self.tap(Arc::clone(&recorder.inner.tap))
    }
}
