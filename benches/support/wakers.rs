//! A version number and a bare list of wakers: the least that waking tasks costs.
//!
//! It carries no data, detects no loss, and readers cannot leave.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use super::event::Event;
use super::{Awaited, Seen, Structure, Want};

/// The version after which none comes.
const CLOSED: u64 = u64::MAX;

#[derive(Default)]
struct Shared {
    version: AtomicU64,
    wakers: Mutex<Vec<Waker>>,
}

impl Shared {
    fn version(&self) -> u64 {
        // Pairs with `Wakers::set`. A reader that has registered sees the version, or the publisher sees the reader: both lock
        // the list in between.
        self.version.load(Ordering::Acquire)
    }
}

/// The publisher's side. A version is a batch of one event for every reader.
pub(crate) struct Wakers {
    shared: Arc<Shared>,
    /// An empty list, which replaces the one that is taken.
    spare: Vec<Waker>,
}

impl Wakers {
    fn set(&mut self, version: u64) {
        self.shared.version.store(version, Ordering::Release);
        std::mem::swap(&mut *self.shared.wakers.lock(), &mut self.spare);
        self.spare.drain(..).for_each(Waker::wake);
    }
}

/// A reader, and the last version that it has seen.
pub(crate) struct Version {
    shared: Arc<Shared>,
    seen: u64,
}

impl Version {
    /// What is new since the last version that was seen. `None` if nothing is.
    fn advance(&mut self) -> Option<Seen> {
        let version = self.shared.version();
        match version {
            CLOSED => Some(Seen::default()),
            version if version == self.seen => None,
            _ => {
                let new = version - self.seen;
                self.seen = version;
                Some(Seen { batches: new, events: new })
            }
        }
    }

    fn poll(&mut self, context: &Context<'_>) -> Poll<Seen> {
        if let Some(seen) = self.advance() {
            return Poll::Ready(seen);
        }
        self.shared.wakers.lock().push(context.waker().clone());
        self.advance().map_or(Poll::Pending, Poll::Ready)
    }

    /// The last version that was seen.
    pub(crate) fn seen(&self) -> u64 {
        self.seen
    }
}

impl Structure for Wakers {
    type Reader = Version;
    type Prepared = u64;
    const SEES_ALL: bool = true;

    fn name() -> &'static str {
        "floor: a version and a list of wakers"
    }

    fn open(wants: &[Want], _capacity: usize) -> (Self, Vec<Version>) {
        let shared = Arc::<Shared>::default();
        let readers = wants.iter().map(|_| Version { shared: Arc::clone(&shared), seen: 0 }).collect();
        (Self { shared, spare: Vec::new() }, readers)
    }

    fn prepare(index: u64, _events: Vec<Event>) -> u64 {
        index
    }

    fn publish(&mut self, version: u64) {
        self.set(version);
    }

    fn drain(&self, reader: &mut Version) -> Seen {
        reader.advance().unwrap_or_default()
    }
}

impl Awaited for Wakers {
    async fn wait(reader: &mut Version) -> Seen {
        poll_fn(|context| reader.poll(context)).await
    }
}

impl Drop for Wakers {
    fn drop(&mut self) {
        self.set(CLOSED);
    }
}
