//! What the suite asks of a store: the trait that its author implements, and the words of that trait.
//! What the suite does with a store is decided in the files of the clauses.
//!
//! Callers: tests of hosts, and the other files of this module.

use std::fmt;

use crate::broker::{Broker, Builder};
use crate::testing::outline::Name;
use crate::testing::random::Random;
use crate::types::event::Event;
use crate::types::name::{Key, Namespace, Topic};
use crate::types::principal::Principal;

/// A store that publishes what it commits, as the suite sees it.
///
/// The suite makes stores, draws commands, and commits them one after another. After each it reads the state, and
/// compares it with what the events make of an earlier one. Seven methods are required. The others have defaults, and
/// each lets the suite check more.
///
/// The store is used by several threads at a time, so a store whose commit needs `&mut self` is put into a
/// [`Mutex`](std::sync::Mutex). A test target of its own implements the trait for a struct around the store.
///
/// ```
/// use std::collections::BTreeMap;
/// use std::sync::Mutex;
/// use event_broker::testing::Random;
/// use event_broker::testing::suite::{self, Outcome, TestedStore};
/// use event_broker::{Broker, Builder, Event};
///
/// // The store: versions of jobs. A payload is the version, or nothing if the job was removed.
/// type Jobs = BTreeMap<String, u32>;
/// struct Store {
///     state: Mutex<(u64, Jobs)>,
///     broker: Broker<Option<u32>>,
/// }
///
/// impl Store {
///     fn set(&self, job: &str, version: Option<u32>) -> Option<u64> {
///         let mut state = self.state.lock().unwrap(); // held until it is published
///         let (index, jobs) = &mut *state;
///         match version {
///             Some(version) => _ = jobs.insert(job.to_owned(), version),
///             None => _ = jobs.remove(job)?, // there is no such job: refused
///         }
///         *index += 1;
///         self.broker.publish(*index, [Event::new("Job", "JobChanged", job, version)]).unwrap();
///         Some(*index)
///     }
/// }
///
/// impl TestedStore for Store {
///     type Payload = Option<u32>;
///     type State = Jobs;
///     type Command = (&'static str, Option<u32>);
///
///     fn make(broker: Builder<Option<u32>>) -> Self {
///         Self { state: Mutex::default(), broker: broker.build().unwrap() }
///     }
///     fn broker(&self) -> Broker<Option<u32>> {
///         self.broker.clone()
///     }
///     fn draw(&self, random: &mut Random) -> Self::Command {
///         (random.pick(&["web", "db"]), random.pick(&[None, Some(1), Some(2)]))
///     }
///     fn commit(&self, (job, version): &Self::Command) -> Outcome {
///         self.set(job, *version).into()
///     }
///     fn state(&self) -> (u64, Jobs) {
///         self.state.lock().unwrap().clone()
///     }
///     fn apply(jobs: &mut Jobs, event: &Event<Option<u32>>) {
///         match event.payload() {
///             Some(version) => _ = jobs.insert(event.key().to_string(), *version),
///             None => _ = jobs.remove(event.key().as_str()),
///         }
///     }
/// }
///
/// suite::assert_store::<Store>();
/// ```
pub trait TestedStore: Sized + Sync {
    /// The payload of the store's events.
    type Payload: fmt::Debug + Send + Sync + 'static;

    /// A snapshot of the state: what events can rebuild, without the index of the last commit. A failure shows the lines
    /// of its `{:#?}` form that differ.
    type State: Clone + PartialEq + fmt::Debug + Send;

    /// What is drawn and committed. It is committed to several stores, and again with fewer commands before it.
    type Command: Clone + fmt::Debug + Send + Sync;

    /// Makes a new store, whose broker is built by this builder. The store may set what it needs, but should leave the
    /// bounds as they are: some clauses need a small buffer. A store that makes its own broker ignores the builder. It is
    /// then checked with the losses that its own buffer has, and races of its commits are found by luck alone.
    fn make(broker: Builder<Self::Payload>) -> Self;

    /// Returns the broker that the store publishes to.
    fn broker(&self) -> Broker<Self::Payload>;

    /// Draws a command. It takes chance from `random` alone, and may look at the state. Let it draw from few names, so
    /// that objects are changed and removed, and also commands that the store refuses. A panic is a failure of the clause
    /// that the command was drawn for.
    fn draw(&self, random: &mut Random) -> Self::Command;

    /// Commits a command, and returns when its events are published.
    ///
    /// The suite waits for it without a bound, as it does for [`roll_back`](Self::roll_back) and [`state`](Self::state): a
    /// thread that hangs cannot be ended. A store that deadlocks makes the test hang without a message. If a test of the
    /// suite does not return, look for a lock that one of these methods takes twice. Run the tests under a bound of time,
    /// such as `slow-timeout` of `cargo nextest`, or `timeout 60 cargo test`.
    fn commit(&self, command: &Self::Command) -> Outcome;

    /// Returns the index of the last commit, and the state as of that commit, read together.
    fn state(&self) -> (u64, Self::State);

    /// Applies an event to a copy of the state, as a reader does that mirrors the store.
    fn apply(state: &mut Self::State, event: &Event<Self::Payload>);

    /// Begins to commit a command, and lets the commit fail or rolls it back. By default nothing is done: the store has
    /// no such commits, or [`draw`](Self::draw) draws them.
    fn roll_back(&self, command: &Self::Command) -> Outcome {
        let _ = command;
        Outcome::Refused
    }

    /// Returns whether what a command does depends on the commits before it alone, in the order of their indexes. By
    /// default it does, and the suite makes the same commits on another store, where the state must become the same:
    /// those of several threads in the order of their indexes ([`Clause::Concurrent`](super::Clause::Concurrent)), and those
    /// of a script without the commands that were refused or rolled back ([`Clause::RollBack`](super::Clause::RollBack)).
    ///
    /// Return `false` for a store that may plan a commit by an older snapshot, that takes ids or numbers outside of its
    /// lock, or that counts what it refuses. A store that looks at the time, or draws numbers of its own, need not: what differs does not count if one
    /// thread does not do the same twice.
    fn is_serial() -> bool {
        true
    }

    /// Returns whether a batch may have an event twice, with the same names and payload, although once would do. By default
    /// it may not ([`Clause::Once`](super::Clause::Once)). Events that add up, and events that no state shows, may be
    /// repeated anyway.
    fn repeats_events() -> bool {
        false
    }

    /// Returns the objects of a state, each with the names that readers must find it by. By default there are none, and
    /// namespaces and keys are not checked.
    fn objects(state: &Self::State) -> Vec<Object> {
        let _ = state;
        Vec::new()
    }

    /// Returns commands that are simpler than this one, the simplest first. A failure is shown with the simplest that
    /// still fail. By default there are none. A command must not be among what becomes of it, over any number of calls.
    fn smaller(command: &Self::Command) -> Vec<Self::Command> {
        let _ = command;
        Vec::new()
    }

    /// Returns what two replicas must publish alike of a payload: by default its `Debug` form.
    fn show(payload: &Self::Payload) -> String {
        format!("{payload:?}")
    }

    /// Returns a principal that may read everything: by default the anonymous one. A store whose broker has an
    /// authorizer returns another.
    fn principal(&self) -> Principal {
        Principal::anonymous()
    }
}

/// What became of a command.
///
/// A result of the store's own can be turned into it: an index is [`Committed`](Self::Committed), and an error or `None`
/// is [`Refused`](Self::Refused).
///
/// ```
/// use event_broker::testing::suite::Outcome;
///
/// assert_eq!(Outcome::from(Some(7)), Outcome::Committed(7));
/// assert_eq!(Outcome::from(Err::<u64, _>("no such job")), Outcome::Refused);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was committed under this index. If it changed the state, one batch was published under the index.
    Committed(u64),
    /// It was committed under this index, and nothing was published on purpose, even if the state has changed. Mirrors
    /// list the state again.
    Silent(u64),
    /// It was refused or rolled back: the state is as before, and nothing was published. The index may have moved.
    Refused,
}

impl Outcome {
    /// The index of the commit.
    pub(super) const fn index(self) -> Option<u64> {
        match self {
            Self::Committed(index) | Self::Silent(index) => Some(index),
            Self::Refused => None,
        }
    }
}

impl From<Option<u64>> for Outcome {
    fn from(index: Option<u64>) -> Self {
        index.map_or(Self::Refused, Self::Committed)
    }
}

impl<E> From<Result<u64, E>> for Outcome {
    fn from(result: Result<u64, E>) -> Self {
        Self::from(result.ok())
    }
}

/// An object of a state, and the names that readers must find it by.
///
/// ```
/// use event_broker::testing::suite::Object;
///
/// let object = Object::new("Allocation", "8f2c", &"running").with_namespace("prod").with_filter_key("web");
/// assert_eq!(object.to_string(), "Allocation prod:8f2c");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    pub(super) topic: Topic,
    pub(super) key: Key,
    pub(super) namespace: Namespace,
    pub(super) filter_keys: Vec<Key>,
    /// Whether an event of the object may have other filter keys.
    pub(super) has_more_keys: bool,
    value: String,
}

impl Object {
    /// Creates an object without namespace and filter keys. The `Debug` form of the value tells whether it has changed.
    pub fn new(topic: impl Into<Topic>, key: impl Into<Key>, value: &impl fmt::Debug) -> Self {
        Self {
            topic: topic.into(),
            key: key.into(),
            namespace: Namespace::NONE,
            filter_keys: Vec::new(),
            has_more_keys: true,
            value: format!("{value:?}"),
        }
    }

    /// Sets the namespace. An empty one means that the object has none.
    #[must_use]
    pub fn with_namespace(mut self, namespace: impl Into<Namespace>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Adds a filter key: a further id by which the object must be found.
    #[must_use]
    pub fn with_filter_key(mut self, key: impl Into<Key>) -> Self {
        self.filter_keys.push(key.into());
        self
    }

    /// Adds filter keys.
    #[must_use]
    pub fn with_filter_keys<K: Into<Key>>(mut self, keys: impl IntoIterator<Item = K>) -> Self {
        self.filter_keys.extend(keys.into_iter().map(Into::into));
        self
    }

    /// Demands that events of the object have no filter keys but those that were added, now or in the state before the
    /// commit; its own key may be among them. By default an event may have more, and those are not checked.
    #[must_use]
    pub const fn with_no_more_filter_keys(mut self) -> Self {
        self.has_more_keys = false;
        self
    }

    /// Whether both are the same object, in two states.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.topic == other.topic && self.namespace == other.namespace && self.key == other.key
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.topic)?;
        if !self.namespace.is_empty() {
            write!(f, "{}:", self.namespace)?;
        }
        write!(f, "{}", Name(self.key.as_str()))
    }
}
