//! The structures that are compared, by name.

use std::fmt;
use std::str::FromStr;

use crate::point::{Mode, Setting};
use crate::support::carried::Encoded;
use crate::support::floor::{Empty, Ring, RingOf};
use crate::support::framed::Framed;
use crate::support::indexed::{Crossbeam, Flume, Indexed, IndexedOf, Rtrb};
use crate::support::ours::Ours;
use crate::support::rivals::{AsyncBroadcast, Tokio, TokioByValue, TokioOf};
use crate::support::{Awaited, Blocking, Churning};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Contender {
    /// The crate, by drain windows.
    Drain,
    /// The crate, by owned deliveries.
    Owned,
    /// `tokio::sync::broadcast` of shared batches.
    Tokio,
    /// The same of batches that each receiver clones.
    TokioByValue,
    /// The same of shared batches that are encoded when they are published.
    TokioEncoded,
    AsyncBroadcast,
    Crossbeam,
    /// The same of batches that are encoded when they are published.
    CrossbeamEncoded,
    Flume,
    Rtrb,
    /// A ring that cannot wait and detects no loss: a floor.
    Ring,
    /// No structure: what the rig costs.
    Empty,
}

/// What to run with the structure of a contender.
pub(crate) trait Visit {
    type Output;
    fn inline<S: Churning>(self) -> Self::Output;
}

/// The same for structures that readers can have frames of.
pub(crate) trait VisitFramed {
    type Output;
    fn framed<S: Framed>(self) -> Self::Output;
}

/// The same for structures that readers can wait for.
pub(crate) trait VisitAwaited {
    type Output;
    fn awaited<S: Awaited>(self) -> Self::Output;
}

/// The same for structures that readers can block on.
pub(crate) trait VisitBlocking {
    type Output;
    fn blocking<S: Blocking>(self) -> Self::Output;
}

impl Contender {
    pub(crate) const OURS: [Self; 2] = [Self::Drain, Self::Owned];
    pub(crate) const RIVALS: [Self; 10] = [
        Self::Tokio,
        Self::TokioByValue,
        Self::TokioEncoded,
        Self::AsyncBroadcast,
        Self::Crossbeam,
        Self::CrossbeamEncoded,
        Self::Flume,
        Self::Rtrb,
        Self::Ring,
        Self::Empty,
    ];

    pub(crate) fn is_ours(self) -> bool {
        Self::OURS.contains(&self)
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Drain => "event-broker",
            Self::Owned => "event-broker-owned",
            Self::Tokio => "tokio",
            Self::TokioByValue => "tokio-by-value",
            Self::TokioEncoded => "tokio-encoded",
            Self::AsyncBroadcast => "async-broadcast",
            Self::Crossbeam => "crossbeam",
            Self::CrossbeamEncoded => "crossbeam-encoded",
            Self::Flume => "flume",
            Self::Rtrb => "rtrb",
            Self::Ring => "ring",
            Self::Empty => "empty",
        }
    }

    /// The name in plots, with the filter or index that the structure needs beside it.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Drain => "event-broker, drain",
            Self::Owned => "event-broker, owned",
            Self::Tokio => "tokio broadcast, filtered",
            Self::TokioByValue => "tokio broadcast, by value",
            Self::TokioEncoded => "tokio broadcast, encoded",
            Self::AsyncBroadcast => "async-broadcast, filtered",
            Self::Crossbeam => "crossbeam each, hash index",
            Self::CrossbeamEncoded => "crossbeam each, encoded",
            Self::Flume => "flume each, hash index",
            Self::Rtrb => "rtrb each, hash index",
            Self::Ring => "bare ring, filtered",
            Self::Empty => "empty loop",
        }
    }

    /// What the structure does not do that the crate does, for the page and the tables.
    pub(crate) const fn lacks(self) -> &'static str {
        match self {
            Self::Drain | Self::Owned => "nothing",
            Self::Tokio | Self::TokioByValue | Self::TokioEncoded => "index, starts, access; each receiver filters",
            Self::AsyncBroadcast => "index, starts, access, loss; each receiver filters; the publisher waits when full",
            Self::Crossbeam | Self::CrossbeamEncoded | Self::Flume => {
                "backlog, starts, access, loss; the publisher drops or waits when full"
            }
            Self::Rtrb => "waiting, backlog, starts, access, loss",
            Self::Ring => "waiting, threads, starts, access, loss; each reader filters",
            Self::Empty => "everything",
        }
    }

    /// Whether it says how fast the machine was. Floors are so short that they move with where code is placed, and who
    /// clones events runs code of the crate.
    pub(crate) const fn is_control(self) -> bool {
        match self {
            Self::Tokio
            | Self::TokioEncoded
            | Self::AsyncBroadcast
            | Self::Crossbeam
            | Self::CrossbeamEncoded
            | Self::Flume
            | Self::Rtrb => true,
            Self::Drain | Self::Owned | Self::TokioByValue | Self::Ring | Self::Empty => false,
        }
    }

    /// Whether it carries what was encoded when it was published.
    const fn is_encoded(self) -> bool {
        matches!(self, Self::TokioEncoded | Self::CrossbeamEncoded)
    }

    /// Whether the structure can be measured in this setting.
    pub(crate) fn can(self, setting: &Setting) -> bool {
        let filters = !matches!(self, Self::Empty) || setting.groups() == 1;
        let reads = match setting.mode {
            Mode::Drain | Mode::Poll => !self.is_encoded(),
            Mode::Frames => {
                self.is_encoded()
                    || matches!(self, Self::Drain | Self::Owned | Self::Tokio | Self::Crossbeam | Self::Ring)
            }
            Mode::Tasks => {
                matches!(self, Self::Drain | Self::Owned | Self::Tokio | Self::AsyncBroadcast | Self::Flume)
            }
            Mode::Threads => {
                matches!(self, Self::Drain | Self::Owned | Self::Tokio | Self::Crossbeam | Self::Flume)
            }
        };
        filters && reads
    }

    pub(crate) fn visit<V: Visit>(self, visit: V) -> V::Output {
        match self {
            Self::Drain => visit.inline::<Ours<false>>(),
            Self::Owned => visit.inline::<Ours<true>>(),
            Self::Tokio => visit.inline::<Tokio>(),
            Self::TokioByValue => visit.inline::<TokioByValue>(),
            Self::TokioEncoded => visit.inline::<TokioOf<Encoded>>(),
            Self::AsyncBroadcast => visit.inline::<AsyncBroadcast>(),
            Self::Crossbeam => visit.inline::<Indexed<Crossbeam>>(),
            Self::CrossbeamEncoded => visit.inline::<IndexedOf<Crossbeam, Encoded, false>>(),
            Self::Flume => visit.inline::<Indexed<Flume>>(),
            Self::Rtrb => visit.inline::<Indexed<Rtrb>>(),
            Self::Ring => visit.inline::<Ring<false>>(),
            Self::Empty => visit.inline::<Empty>(),
        }
    }

    /// As [`visit`](Self::visit), for those that [can](Self::can).
    pub(crate) fn visit_framed<V: VisitFramed>(self, visit: V) -> V::Output {
        match self {
            Self::Drain => visit.framed::<Ours<false>>(),
            Self::Owned => visit.framed::<Ours<true>>(),
            Self::Tokio => visit.framed::<Tokio>(),
            Self::TokioEncoded => visit.framed::<TokioOf<Encoded>>(),
            Self::Crossbeam => visit.framed::<Indexed<Crossbeam>>(),
            Self::CrossbeamEncoded => visit.framed::<IndexedOf<Crossbeam, Encoded, false>>(),
            Self::Ring => visit.framed::<RingOf<Encoded, false>>(),
            Self::TokioByValue | Self::AsyncBroadcast | Self::Flume | Self::Rtrb | Self::Empty => {
                unreachable!("{self} has no readers of frames")
            }
        }
    }

    /// As [`visit`](Self::visit), for those that [can](Self::can).
    pub(crate) fn visit_awaited<V: VisitAwaited>(self, visit: V) -> V::Output {
        match self {
            Self::Drain => visit.awaited::<Ours<false>>(),
            Self::Owned => visit.awaited::<Ours<true>>(),
            Self::Tokio => visit.awaited::<Tokio>(),
            Self::AsyncBroadcast => visit.awaited::<AsyncBroadcast>(),
            Self::Flume => visit.awaited::<Indexed<Flume>>(),
            Self::TokioByValue
            | Self::TokioEncoded
            | Self::Crossbeam
            | Self::CrossbeamEncoded
            | Self::Rtrb
            | Self::Ring
            | Self::Empty => unreachable!("{self} has no readers that are tasks"),
        }
    }

    /// As [`visit`](Self::visit), for those that [can](Self::can).
    pub(crate) fn visit_blocking<V: VisitBlocking>(self, visit: V) -> V::Output {
        match self {
            Self::Drain => visit.blocking::<Ours<false>>(),
            Self::Owned => visit.blocking::<Ours<true>>(),
            Self::Tokio => visit.blocking::<Tokio>(),
            Self::Crossbeam => visit.blocking::<Indexed<Crossbeam>>(),
            Self::Flume => visit.blocking::<Indexed<Flume>>(),
            Self::TokioByValue
            | Self::TokioEncoded
            | Self::AsyncBroadcast
            | Self::CrossbeamEncoded
            | Self::Rtrb
            | Self::Ring
            | Self::Empty => unreachable!("{self} has no readers that are threads"),
        }
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no contender has.
#[derive(Debug)]
pub(crate) struct UnknownName;

impl FromStr for Contender {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        let all = Self::OURS.into_iter().chain(Self::RIVALS);
        all.into_iter().find(|contender| contender.name() == name).ok_or(UnknownName)
    }
}
