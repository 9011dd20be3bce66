//! Scripts of operations, as plain data.

/// What the broker under test is built with.
#[derive(Clone, Debug)]
pub struct Config {
    pub max_batches: u64,
    pub max_events: Option<u64>,
    pub max_bytes: Option<u64>,
    pub origin: Origin,
    /// Whether an index carries one batch at most.
    pub rising: bool,
    /// Whether it has an authorizer.
    pub guarded: bool,
    /// Whether it has an observer. With one, publishing visits every batch that it evicts.
    pub observed: bool,
}

/// Where the history of the broker under test begins.
#[derive(Clone, Copy, Debug)]
pub enum Origin {
    Whole,
    /// Everything up to and including this index is past.
    Above(u64),
    /// Everything up to this place is past: its index, and how many batches of it.
    After(u64, u32),
}

/// An event as it is written in a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventSpec {
    pub topic: &'static str,
    pub kind: &'static str,
    pub key: &'static str,
    pub namespace: &'static str,
    pub filter_keys: Vec<&'static str>,
    pub weight: u64,
}

/// Where a subscription of a script begins; indexes are relative to the latest.
#[derive(Clone, Copy, Debug)]
pub enum StartSpec {
    Oldest,
    Latest,
    Index(i64),
    /// An index relative to the oldest buffered.
    NearOldest(i64),
    Exactly(i64),
    /// After one of the tokens seen so far, counted from the newest.
    After(u8),
}

/// A request as it is written in a script.
#[derive(Clone, Debug)]
pub struct RequestSpec {
    pub start: StartSpec,
    pub terms: Vec<(&'static str, &'static str)>,
    /// The number of further terms that match nothing.
    pub filler: u16,
    pub namespaces: Vec<&'static str>,
    pub types: Vec<&'static str>,
    /// Refuses every event whose number gives this remainder by three.
    pub refuses: Option<u64>,
    pub principal: &'static str,
    pub continues: bool,
    /// Whether it is given a doorbell at once.
    pub bell: bool,
}

/// The rule of one principal. The default allows everything, and rests on a token, a policy and a role.
#[derive(Clone, Debug)]
pub struct Rule {
    pub allowed: bool,
    pub namespaces: Option<Vec<&'static str>>,
    /// In milliseconds of the test's clock, from the moment of the answer.
    pub ttl: Option<u64>,
    /// Events of this key are not permitted.
    pub forbidden_key: Option<&'static str>,
    pub checks_events: bool,
    pub token: Option<&'static str>,
    pub policy: Option<&'static str>,
    pub role: Option<&'static str>,
}

/// A change of access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    TokenDeleted(&'static str),
    Token(&'static str),
    Policy(&'static str),
    Role(&'static str),
    Everyone,
}

/// A way of reading.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Try,
    TryAll,
    Timeout,
    Deadline,
    /// `recv`, where something can be read.
    Block,
    Poll,
    Readable,
    Async,
    /// On its own thread, which waits if nothing can be read, until a later step gives it something.
    Thread(Way),
    /// As frames that do not wait, and as frames for a task.
    Frames,
    FrameStream,
    /// The iterator, where something can be read.
    Iter,
    /// The stream, or the iterator where the feature is off.
    Stream,
    DrainAll,
    DrainTake(usize),
    /// Takes a ring, if there is one, and then reads.
    Ring(Rung),
}

/// How a thread waits.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    Recv,
    Timeout,
    Iter,
    Frames,
}

/// What a reader does when its bell has rung: each leaves the bell armed.
#[derive(Clone, Copy, Debug)]
pub enum Rung {
    /// It reads one by one until nothing is left.
    One,
    /// It opens windows until nothing is left.
    Windows,
    /// It takes this many from a window; the rest rings again.
    Part(usize),
}

/// One step of a script.
#[derive(Clone, Debug)]
pub enum Op {
    /// The index is relative to the latest.
    Publish {
        step: i64,
        events: Vec<EventSpec>,
        change: Option<Change>,
    },
    /// Publishes in the epoch of this many epochs ago, with an index relative to the latest.
    PublishIn {
        back: u64,
        step: i64,
        events: Vec<EventSpec>,
    },
    /// This many batches of one event each, these in turn.
    Burst {
        batches: usize,
        events: Vec<EventSpec>,
    },
    Subscribe {
        slot: usize,
        request: RequestSpec,
    },
    Read {
        slot: usize,
        kind: Kind,
    },
    Doorbell {
        slot: usize,
    },
    Unsubscribe {
        slot: usize,
    },
    Cancel {
        slot: usize,
    },
    /// Publishes batches of one event each, these in turn, while a window is open that so many were taken from.
    DrainAcross {
        slot: usize,
        take: usize,
        batches: usize,
        events: Vec<EventSpec>,
    },
    /// The table is changed, and that may be announced.
    SetRule {
        principal: &'static str,
        rule: Rule,
        announced: Option<Change>,
    },
    AccessChanged {
        change: Change,
    },
    Advance {
        millis: u64,
        tick: bool,
    },
    Explain {
        slot: usize,
        event: EventSpec,
    },
    HasInterest {
        topic: &'static str,
        namespace: &'static str,
        key: &'static str,
    },
    Reset {
        step: i64,
        same_epoch: bool,
    },
    /// To this many batches of an index relative to the latest, in the epoch of this many epochs ago.
    SkipTo {
        step: i64,
        count: u32,
        back: u64,
    },
    Close,
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            allowed: true,
            namespaces: None,
            ttl: None,
            forbidden_key: None,
            checks_events: true,
            token: Some("t0"),
            policy: Some("p0"),
            role: Some("r0"),
        }
    }
}
