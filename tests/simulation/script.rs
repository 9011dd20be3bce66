//! A run as plain data: the configuration, and the steps that the scheduler takes one after another.
//!
//! Steps do not depend on each other: indexes are relative to the latest, and a step whose reader is gone does nothing.
//! So any part of a script is a script, and shrinking only removes steps.

use crate::support::op::{Change, Config, EventSpec, RequestSpec, Rule};

/// How many readers there are at most at a time.
pub const SLOTS: usize = 10;
/// How many batches are collected at a time.
pub const PENS: usize = 3;

#[derive(Clone, Debug)]
pub struct Script {
    pub config: Config,
    pub steps: Vec<Step>,
}

/// How a reader reads, and what it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `try_recv`, without ever waiting.
    Try,
    /// `recv_deadline` with a deadline that has passed.
    Deadline,
    /// `poll_recv`.
    Poll,
    /// `poll_recv` within the waker, on the thread that wakes it.
    Inline,
    /// A future of `recv_async` that is kept while it is pending.
    Async,
    /// `Stream`.
    Stream,
    /// `poll_readable`, then this many deliveries of a window; all of them if zero.
    Window(usize),
    /// A doorbell, then `try_recv` until nothing is left.
    Bell,
    /// A doorbell, then this many deliveries of one window; all of them if zero.
    BellWindow(usize),
    /// Frames as a stream, with a timer by the simulated clock.
    FrameStream,
    /// Frames as an iterator where something can be read, and as `try_frame` where nothing can.
    Frames,
}

/// Code of the host that panics the next few times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Predicate { slot: usize },
    Waker { slot: usize },
    Authorize,
    Permits,
    Changes,
    Weigher,
    Observer,
}

/// What is done with the dispatcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dispatch {
    Start,
    /// It wakes what is queued.
    Step,
    /// It ends, without another step.
    End,
}

#[derive(Clone, Debug)]
pub enum Step {
    /// The index is relative to the latest, the epoch is that of this many resets ago.
    Publish {
        step: i64,
        back: u64,
        events: Vec<EventSpec>,
        change: Option<Change>,
        /// Whether the first payload that is dropped panics.
        bomb: bool,
    },
    /// This many batches of this one event.
    Burst {
        batches: usize,
        event: EventSpec,
    },
    /// One batch with this many of this event.
    Large {
        events: usize,
        event: EventSpec,
    },
    Collect {
        pen: usize,
        events: Vec<EventSpec>,
    },
    Commit {
        pen: usize,
        step: i64,
    },
    Abandon {
        pen: usize,
    },
    Subscribe {
        slot: usize,
        way: Way,
        request: RequestSpec,
    },
    /// Drops the reader, and opens another after its token.
    Resume {
        slot: usize,
        way: Way,
    },
    /// Gives a reader this many turns. One that waits has none unless it was woken.
    Run {
        slot: usize,
        turns: usize,
    },
    /// Polls a reader that was not woken.
    Poke {
        slot: usize,
    },
    /// Drops the future of a reader that waits.
    Forget {
        slot: usize,
    },
    Drop {
        slot: usize,
    },
    Cancel {
        slot: usize,
    },
    /// Publishes this many batches of this event while a window is open of which some deliveries were taken.
    Across {
        slot: usize,
        take: usize,
        batches: usize,
        event: EventSpec,
    },
    Rule {
        principal: &'static str,
        rule: Rule,
        announced: Option<Change>,
    },
    Change {
        change: Change,
    },
    Advance {
        millis: u64,
    },
    Tick,
    Reset {
        step: i64,
        bomb: bool,
    },
    Skip {
        step: i64,
        count: u32,
        bomb: bool,
    },
    Dispatch {
        what: Dispatch,
        bomb: bool,
    },
    Arm {
        fault: Fault,
        times: u32,
    },
    /// Removes all faults, and demands progress of every reader.
    Heal,
    Close,
}
