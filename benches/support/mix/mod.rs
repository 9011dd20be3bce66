//! The mix: readers of everything, of a topic and of some keys, and batches whose events each of them wants in part.
//!
//! It holds no benchmark. What all readers want alike, or each by one key, is in `event`.
//!
//! | file | holds |
//! |---|---|
//! | `plan` | the events, the readers, and what each reader must receive |
//! | `sides` | the crate and a broadcast whose readers filter |
//! | `routed` | a channel for each reader behind an index, as a server would build by hand |
//! | `rigs` | all readers on one thread, or as tasks |

pub(crate) mod plan;
pub(crate) mod rigs;
pub(crate) mod routed;
pub(crate) mod sides;

use std::future::Future;
use std::hint::black_box;
use std::ops::AddAssign;

use super::event::Event;
use plan::Wanted;

/// What a reader received: batches, events, and the sum of the events' indexes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) batches: u64,
    pub(crate) events: u64,
    pub(crate) sum: u64,
}

impl Tally {
    /// A batch of which nothing was read yet.
    pub(crate) const BATCH: Self = Self { batches: 1, events: 0, sum: 0 };

    /// Reads an event: looks at it.
    #[inline]
    pub(crate) fn read(&mut self, event: &Event) {
        self.events += 1;
        self.sum += black_box(event).index();
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.batches += other.batches;
        self.events += other.events;
        self.sum += other.sum;
    }
}

/// One publisher and the readers of a mix. A lost delivery panics.
pub(crate) trait Mixed: Sized + Send + 'static {
    type Reader: Send + 'static;
    /// A batch as `publish` takes it, built outside the measured time.
    type Prepared: Send;
    /// Whether every reader examines every batch, whatever it asked for.
    const SEES_ALL: bool;

    /// The name in reports.
    fn name() -> &'static str;
    /// The structure with its readers, holding `capacity` batches.
    fn open(readers: &[Wanted], capacity: usize) -> (Self, Vec<Self::Reader>);
    fn prepare(index: u64, events: Vec<Event>) -> Self::Prepared;
    fn publish(&mut self, batch: Self::Prepared);
    /// Reads everything that is available, without waiting.
    fn drain(reader: &mut Self::Reader) -> Tally;
}

/// A structure whose readers can be tasks.
pub(crate) trait MixedTasks: Mixed {
    /// Waits for at least one batch and reads. No batch means that the structure is gone.
    fn wait(reader: &mut Self::Reader) -> impl Future<Output = Tally> + Send;
}
