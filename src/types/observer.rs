//! Defines the observer hook, for hosts that count or log what a broker does.
//! When it is called is decided in `core`, `broker` and `subscription`. It influences nothing, and no lock is held.
//!
//! Callers: `core`, `broker` and `subscription`, without the broker's lock.

use crate::types::error::{Lagged, RecvError};
use crate::types::stats::SubscriptionId;

/// A hook that receives what happens in a broker. Every default implementation does nothing.
///
/// The broker calls it on the thread that caused the event, outside every lock, so it may call the broker. A panic in
/// it is caught.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use event_broker::{Broker, Event, Observer};
///
/// #[derive(Default)]
/// struct Evictions(AtomicU64);
///
/// impl Observer for Evictions {
///     fn on_evict(&self, batches: u64, _through: u64) {
///         self.0.fetch_add(batches, Ordering::Relaxed);
///     }
/// }
///
/// let evictions = Arc::new(Evictions::default());
/// let broker = Broker::builder().max_batches(1).observer(Arc::clone(&evictions)).build().unwrap();
/// broker.publish(1, [Event::new("Job", "JobRegistered", "web", ())]).unwrap();
/// broker.publish(2, [Event::new("Job", "JobRegistered", "web", ())]).unwrap();
/// assert_eq!(evictions.0.load(Ordering::Relaxed), 1);
/// ```
pub trait Observer: Send + Sync {
    /// A batch of `events` events was published under `index`. `events` is 0 if the publish only moved the index.
    fn on_publish(&self, index: u64, events: usize) {
        let _ = (index, events);
    }

    /// `batches` batches were evicted, and the last of them has the index `through`. The cause is a publish, or in a
    /// buffer that is bounded in bytes a reader that encoded a batch.
    fn on_evict(&self, batches: u64, through: u64) {
        let _ = (batches, through);
    }

    /// A subscription was opened.
    fn on_subscribe(&self, id: SubscriptionId) {
        let _ = id;
    }

    /// A reader received a report of a loss.
    fn on_lag(&self, id: SubscriptionId, lagged: &Lagged) {
        let _ = (id, lagged);
    }

    /// A subscription ended. Called once for each: with the end that its reader received, or with `None` if it was
    /// dropped before one.
    fn on_end(&self, id: SubscriptionId, end: Option<&RecvError>) {
        let _ = (id, end);
    }
}

impl<O: Observer + ?Sized> Observer for std::sync::Arc<O> {
    fn on_publish(&self, index: u64, events: usize) {
        (**self).on_publish(index, events);
    }

    fn on_evict(&self, batches: u64, through: u64) {
        (**self).on_evict(batches, through);
    }

    fn on_subscribe(&self, id: SubscriptionId) {
        (**self).on_subscribe(id);
    }

    fn on_lag(&self, id: SubscriptionId, lagged: &Lagged) {
        (**self).on_lag(id, lagged);
    }

    fn on_end(&self, id: SubscriptionId, end: Option<&RecvError>) {
        (**self).on_end(id, end);
    }
}
