//! Shared by the benchmarks and the study: the events, the structures under test, and the rigs that drive them.
//!
//! It holds no benchmark.
//!
//! | file | holds |
//! |---|---|
//! | `event` | the event that everything is measured with, and the plan of who receives which |
//! | `plain` | an event as a plain struct, for comparison |
//! | `measure` | criterion's settings, options of the command line, quartiles, and distributions of latencies |
//! | `rows` | figures as CSV, in the form of the dated records |
//! | `turns` | comparisons whose sides take turns, their command line and their tables |
//! | `ours`, `dispatched` | the crate as a structure under test, also with a dispatcher; publishing and subscribing in one call |
//! | `rivals`, `indexed` | broadcast channels, and a channel for each reader behind an index |
//! | `carried` | what these carry: a shared batch, or one that was encoded when it was published |
//! | `lines`, `framed` | the frames of rivals, and reading frames instead of events |
//! | `floor`, `wakers` | what a shared buffer and waking tasks cost at least: a bare ring, and a bare list of wakers |
//! | `inline`, `parallel` | rigs without waiting: all readers on one thread, or on several that read at once |
//! | `commits` | the former with several threads that publish |
//! | `crew` | the threads of the latter |
//! | `link` | one publisher and one reader on two threads, and when what was published arrived |
//! | `mix` | readers of parts of batches: their plan, structures and rigs |
//! | `tasks` | the rig of readers that wait, as tasks or threads |

#![allow(dead_code, reason = "each benchmark uses a part")]

pub(crate) mod carried;
pub(crate) mod commits;
pub(crate) mod crew;
pub(crate) mod dispatched;
pub(crate) mod event;
pub(crate) mod floor;
#[cfg(feature = "json")]
pub(crate) mod framed;
pub(crate) mod indexed;
pub(crate) mod inline;
#[cfg(feature = "json")]
pub(crate) mod lines;
pub(crate) mod link;
pub(crate) mod measure;
pub(crate) mod mix;
pub(crate) mod ours;
pub(crate) mod parallel;
pub(crate) mod plain;
pub(crate) mod rivals;
pub(crate) mod rows;
pub(crate) mod tasks;
pub(crate) mod turns;
pub(crate) mod wakers;

use std::future::Future;
use std::ops::AddAssign;

use event_broker::Key;

use event::Event;

/// What a reader asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// Everything.
    Everything,
    /// Everything in the one namespace that is used: a term for the crate, everything for its rivals.
    DefaultNamespace,
    /// Events with this key or filter key.
    Key(Key),
}

impl Want {
    /// How many of these events a receiver that filters for itself would keep.
    pub(crate) fn count(&self, events: &[Event]) -> u64 {
        match self {
            Self::Everything | Self::DefaultNamespace => events.len() as u64,
            Self::Key(key) => {
                events.iter().filter(|event| event.key() == key || event.filter_keys().contains(key)).count() as u64
            }
        }
    }
}

/// The result of one read: the batches that the reader examined, and the events in them that it asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) batches: u64,
    pub(crate) events: u64,
}

impl AddAssign for Seen {
    fn add_assign(&mut self, other: Self) {
        self.batches += other.batches;
        self.events += other.events;
    }
}

/// One publisher and many readers. A lost delivery panics.
pub(crate) trait Structure: Sized + Send + 'static {
    type Reader: Send + 'static;
    /// A batch as `publish` takes it, built outside the measured time.
    type Prepared: Send + 'static;
    /// Whether every reader examines every batch, whatever it asked for.
    const SEES_ALL: bool;

    /// The name in reports.
    fn name() -> &'static str;
    /// The structure with one reader for each want, holding `capacity` batches.
    fn open(wants: &[Want], capacity: usize) -> (Self, Vec<Self::Reader>);
    fn prepare(index: u64, events: Vec<Event>) -> Self::Prepared;
    fn publish(&mut self, batch: Self::Prepared);
    /// Reads everything that is available, without waiting.
    fn drain(&self, reader: &mut Self::Reader) -> Seen;
}

/// A structure whose readers come and go.
pub(crate) trait Churning: Structure {
    /// Opens another reader, of what is published from now on.
    fn join(&mut self, want: &Want) -> Self::Reader;
    /// Closes a reader.
    fn leave(&mut self, reader: Self::Reader);
}

/// A structure whose readers can take one batch at a time.
pub(crate) trait Stepwise: Structure {
    /// Reads one batch, without waiting. `None` if there is none.
    fn step(&self, reader: &mut Self::Reader) -> Option<Seen>;
}

/// A structure whose readers can be tasks.
pub(crate) trait Awaited: Structure {
    /// Waits for at least one batch and reads. No batch means that the structure is gone.
    fn wait(reader: &mut Self::Reader) -> impl Future<Output = Seen> + Send;
}

/// A structure whose readers can be threads.
pub(crate) trait Blocking: Structure {
    /// As [`Awaited::wait`].
    fn block(reader: &mut Self::Reader) -> Seen;
}
