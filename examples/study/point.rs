//! A setting of the study: a mode, and what varies. With a contender it is a point.
//!
//! How a point is measured is in `rigs`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::contenders::{Contender, UnknownName};
use crate::support::Want;
use crate::support::event::{Payload, Plan, Zipf};

/// Where the readers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mode {
    /// On the publisher's thread: publish a window, and let every reader read that the structure would wake.
    Drain,
    /// The same, but readers read whether there is something for them or not.
    Poll,
    /// As [`Drain`](Self::Drain), and what readers read are frames.
    Frames,
    /// Tasks of a runtime, the publisher among them.
    Tasks,
    /// A thread for each reader, which blocks until there is something.
    Threads,
}

impl Mode {
    pub(crate) const ALL: [Self; 5] = [Self::Drain, Self::Poll, Self::Frames, Self::Tasks, Self::Threads];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Poll => "poll",
            Self::Frames => "frames",
            Self::Tasks => "tasks",
            Self::Threads => "threads",
        }
    }

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Drain => "publish, then read on one thread",
            Self::Poll => "publish, then poll on one thread",
            Self::Frames => "publish, then read frames on one thread",
            Self::Tasks => "readers as tasks, publisher among them",
            Self::Threads => "readers as threads",
        }
    }

    /// The title where there is little room.
    pub(crate) const fn short_title(self) -> &'static str {
        match self {
            Self::Drain => "one thread",
            Self::Poll => "polled",
            Self::Frames => "frames",
            Self::Tasks => "tasks",
            Self::Threads => "threads",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Mode {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|mode| mode.name() == name).ok_or(UnknownName)
    }
}

/// The most readers that are threads.
pub(crate) const MOST_THREADS: usize = 200;

/// Which keys the events have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    /// One after the other.
    Uniform,
    /// Drawn: the key of rank `k` in proportion to `1 / k`.
    Zipf,
}

impl Keys {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Zipf => "zipf",
        }
    }
}

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Keys {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        [Self::Uniform, Self::Zipf].into_iter().find(|keys| keys.name() == name).ok_or(UnknownName)
    }
}

/// What is the same for all contenders that take turns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Setting {
    pub(crate) mode: Mode,
    pub(crate) subscribers: usize,
    /// The part of the events that a reader asks for.
    pub(crate) fraction: f64,
    /// Events a batch.
    pub(crate) batch: usize,
    /// Bytes.
    pub(crate) payload: usize,
    /// Batches that are published before all readers must have read them.
    pub(crate) window: usize,
    /// Batches that the structure holds; 0 for two windows.
    pub(crate) buffer: usize,
    /// Threads of the runtime; 0 where there is none.
    pub(crate) workers: usize,
    pub(crate) keys: Keys,
    /// Threads that publish at once, where readers do not wait.
    pub(crate) publishers: usize,
    /// Readers that leave before each window, and as many that join.
    pub(crate) churn: usize,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mode, subscribers, fraction, batch, payload, window, .. } = self;
        write!(
            f,
            "{mode}, subscribers {subscribers}, match {fraction}, batch {batch}, payload {payload}, window {window}"
        )?;
        // Of what rarely varies only what is not as usual.
        let Self { buffer, workers, keys, publishers, churn, .. } = self;
        let rest = [("buffer", buffer), ("workers", workers), ("churn", churn)].into_iter();
        for (name, value) in rest.filter(|(_, value)| **value > 0) {
            write!(f, ", {name} {value}")?;
        }
        if *publishers > 1 {
            write!(f, ", publishers {publishers}")?;
        }
        if *keys == Keys::Zipf { write!(f, ", {keys} keys") } else { Ok(()) }
    }
}

/// Draws events, once for all contenders of a setting: a million keys take a while, and much memory.
fn drawn(groups: u64, window: usize) -> Arc<Zipf> {
    type Last = Option<((u64, usize), Arc<Zipf>)>;
    static LAST: Mutex<Last> = Mutex::new(None);
    let mut last = LAST.lock();
    if let Some((of, drawn)) = &*last
        && *of == (groups, window)
    {
        return Arc::clone(drawn);
    }
    *last = None;
    let drawn = Zipf::new(groups, window);
    *last = Some(((groups, window), Arc::clone(&drawn)));
    drawn
}

/// A setting and a contender.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    pub(crate) setting: Setting,
    pub(crate) contender: Contender,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.contender, self.setting)
    }
}

impl Setting {
    /// Readers ask for one of `groups` keys, or for everything if it is 1.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the fraction is at least a millionth")]
    pub(crate) fn groups(&self) -> u64 {
        (1.0 / self.fraction).round() as u64
    }

    /// Whether it can be measured, and differs from others.
    pub(crate) fn is_possible(&self) -> bool {
        let fits = self.mode != Mode::Threads || self.subscribers <= MOST_THREADS;
        // Where all ask for everything, keys make no difference.
        let differs = self.keys == Keys::Uniform || self.groups() > 1;
        let shares = self.publishers <= self.window && (self.publishers == 1 || self.churn == 0);
        let holds = self.buffer == 0 || self.buffer >= self.window;
        fits && differs && shares && holds && self.churn <= self.subscribers
    }

    pub(crate) fn plan(&self) -> Plan {
        Plan {
            groups: self.groups(),
            drawn: (self.keys == Keys::Zipf).then(|| drawn(self.groups(), self.window * self.batch)),
            batch: self.batch,
            window: self.window,
            payload: Payload::of(self.payload),
            capacity: (self.buffer > 0).then_some(self.buffer),
            copied: true,
            all: Want::Everything,
        }
    }

    /// Windows until every group has had an event.
    pub(crate) fn round(&self) -> u64 {
        self.groups().div_ceil(self.window as u64 * self.batch as u64)
    }
}
