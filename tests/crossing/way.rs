//! The interface of a way of reading, as the scenarios use it: it waits, it is woken, it returns something.
//!
//! `threads`, `tasks` and `rings` implement it.

use std::collections::VecDeque;
use std::time::Duration;

use event_broker::{Delivery, Event, Lagged, RecvError, Subscription};
#[cfg(feature = "json")]
use event_broker::{Frame, FrameError};

/// How long a reader on its own thread is given. Only one that sleeps through its batch takes so long.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(10);

/// The result of one read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// One batch: its index, and the keys of the events that were asked for.
    Batch { index: u64, keys: Vec<String> },
    /// An end, or a loss.
    Error(RecvError),
    /// An iterator or stream is over.
    Over,
}

impl From<Result<Delivery<u64>, RecvError>> for Outcome {
    fn from(read: Result<Delivery<u64>, RecvError>) -> Self {
        match read {
            Ok(delivery) => Self::batch(delivery.index(), delivery.events()),
            Err(error) => Self::Error(error),
        }
    }
}

/// An item of an iterator or stream.
impl<T> From<Option<T>> for Outcome
where
    T: Into<Self>,
{
    fn from(item: Option<T>) -> Self {
        item.map_or(Self::Over, Into::into)
    }
}

#[cfg(feature = "json")]
impl From<Result<Frame, FrameError>> for Outcome {
    fn from(read: Result<Frame, FrameError>) -> Self {
        match read {
            Ok(frame) => Self::from_line(frame.as_bytes()),
            Err(FrameError::Recv(error)) => Self::Error(error),
            Err(error) => panic!("every payload can be encoded: {error}"),
        }
    }
}

impl Outcome {
    fn batch<'b>(index: u64, events: impl Iterator<Item = &'b Event<u64>>) -> Self {
        Self::Batch { index, keys: events.map(|event| event.key().to_string()).collect() }
    }

    /// The content of a frame. The scenarios cause no heartbeats.
    #[cfg(feature = "json")]
    pub(crate) fn from_line(line: &[u8]) -> Self {
        let frame: serde_json::Value = serde_json::from_slice(line).expect("a frame is a line of JSON");
        let events = frame.get("Events").and_then(|events| events.as_array()).expect("not a heartbeat");
        let key = |event: &serde_json::Value| event.get("Key").and_then(|key| key.as_str()).map(str::to_owned);
        Self::Batch {
            index: frame.get("Index").and_then(serde_json::Value::as_u64).expect("a batch has an index"),
            keys: events.iter().map(|event| key(event).expect("an event has a key")).collect(),
        }
    }

    /// Returns the loss. Panics if it is something else.
    #[track_caller]
    pub(crate) fn loss(&self) -> Lagged {
        match self {
            Self::Error(RecvError::Lagged(lagged)) => lagged.clone(),
            other => panic!("expected a loss, got {other:?}"),
        }
    }

    /// Whether every further read returns the same.
    pub(crate) fn is_last(&self) -> bool {
        match self {
            Self::Batch { .. } => false,
            Self::Error(error) => error.is_terminal(),
            Self::Over => true,
        }
    }
}

/// How a way reports that there is nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// Every further read returns the end.
    Repeat,
    /// The end is the last item, and for `Closed` there is none.
    OnceThenOver,
}

/// One way of reading: a row of the table.
pub(crate) trait Way: Sized + Send + 'static {
    const ENDS: Ends;
    /// Whether it blocks a thread, which then waits no longer than its grant is valid.
    const BLOCKS: bool;

    fn open(subscription: Subscription<u64>) -> Self;

    /// Reads, finds nothing, and waits.
    fn wait(&mut self);

    /// Asserts that it waits and was not woken.
    fn stays_asleep(&mut self);

    /// Asserts that it waits; it may have been woken for nothing meanwhile.
    fn settle(&mut self);

    /// Asserts that it was woken while it waited, and returns what it then reads.
    fn woken(&mut self) -> Outcome;

    /// Returns what can be read now.
    fn read(&mut self) -> Outcome;
}

/// Everything that one window returns.
pub(crate) fn window(subscription: &mut Subscription<u64>) -> VecDeque<Outcome> {
    match subscription.drain() {
        Ok(mut window) => window.iter().map(|read| Outcome::batch(read.index(), read.events())).collect(),
        Err(error) => VecDeque::from([Outcome::Error(error)]),
    }
}
