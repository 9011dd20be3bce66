//! The structures that are compared, by name.

use std::fmt;
use std::str::FromStr;

use crate::point::Mode;
use crate::support::floor::Ring;
use crate::support::indexed::{Crossbeam, Flume, Indexed, Rtrb};
use crate::support::ours::Ours;
use crate::support::rivals::{AsyncBroadcast, Tokio};
use crate::support::{Awaited, Structure};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Contender {
    /// The crate, by drain windows.
    Drain,
    /// The crate, by owned deliveries.
    Owned,
    Tokio,
    AsyncBroadcast,
    Crossbeam,
    Flume,
    Rtrb,
    Ring,
}

/// What to run with the structure of a contender.
pub(crate) trait Visit {
    type Output;
    fn inline<S: Structure>(self) -> Self::Output;
}

/// The same for structures that readers can wait for.
pub(crate) trait VisitAwaited {
    type Output;
    fn awaited<S: Awaited>(self) -> Self::Output;
}

impl Contender {
    pub(crate) const OURS: [Self; 2] = [Self::Drain, Self::Owned];
    pub(crate) const RIVALS: [Self; 6] =
        [Self::Tokio, Self::AsyncBroadcast, Self::Crossbeam, Self::Flume, Self::Rtrb, Self::Ring];

    pub(crate) fn is_ours(self) -> bool {
        Self::OURS.contains(&self)
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Drain => "event-broker",
            Self::Owned => "event-broker-owned",
            Self::Tokio => "tokio",
            Self::AsyncBroadcast => "async-broadcast",
            Self::Crossbeam => "crossbeam",
            Self::Flume => "flume",
            Self::Rtrb => "rtrb",
            Self::Ring => "ring",
        }
    }

    /// The name in plots, with the filter or index that the structure needs beside it.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Drain => "event-broker, drain",
            Self::Owned => "event-broker, owned",
            Self::Tokio => "tokio broadcast, filtered",
            Self::AsyncBroadcast => "async-broadcast, filtered",
            Self::Crossbeam => "crossbeam each, hash index",
            Self::Flume => "flume each, hash index",
            Self::Rtrb => "rtrb each, hash index",
            Self::Ring => "bare ring, filtered",
        }
    }

    /// Whether readers can wait as the mode has it.
    pub(crate) fn can(self, mode: Mode) -> bool {
        match mode {
            Mode::Drain => true,
            Mode::Tasks => !matches!(self, Self::Crossbeam | Self::Rtrb | Self::Ring),
        }
    }

    pub(crate) fn visit<V: Visit>(self, visit: V) -> V::Output {
        match self {
            Self::Drain => visit.inline::<Ours<false>>(),
            Self::Owned => visit.inline::<Ours<true>>(),
            Self::Tokio => visit.inline::<Tokio>(),
            Self::AsyncBroadcast => visit.inline::<AsyncBroadcast>(),
            Self::Crossbeam => visit.inline::<Indexed<Crossbeam>>(),
            Self::Flume => visit.inline::<Indexed<Flume>>(),
            Self::Rtrb => visit.inline::<Indexed<Rtrb>>(),
            Self::Ring => visit.inline::<Ring<false>>(),
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
            Self::Crossbeam | Self::Rtrb | Self::Ring => unreachable!("{self} has no readers that are tasks"),
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
