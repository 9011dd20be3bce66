//! Defines the errors of a broker and a subscription: one type for each operation.
//! The errors of a query, a token or a frame are defined beside their parsers.
//!
//! Callers: `access`, `core`, `subscription`, `frames`, `broker` and `nomad`.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::types::event::Event;
use crate::types::request::LagPolicy;
use crate::types::term::InvalidRequest;
use crate::types::token::{Epoch, Token};

/// A batch that was not published. None of it became visible, and the error returns the events.
///
/// ```
/// use event_broker::{Broker, Event, PublishErrorKind};
///
/// let broker = Broker::<&str>::new();
/// broker.publish(7, [])?;
/// let refused = broker.publish(6, [Event::new("Job", "JobRegistered", "web", "spec")]).unwrap_err();
/// assert_eq!(refused.kind, PublishErrorKind::Falling { index: 6, latest: 7 });
/// broker.publish(8, refused.events)?; // they are stamped anew
/// # Ok::<(), event_broker::PublishError<&str>>(())
/// ```
#[non_exhaustive]
pub struct PublishError<P> {
    /// Why the batch was refused.
    pub kind: PublishErrorKind,
    /// The events as they were passed in, each stamped with the refused index.
    pub events: Vec<Event<P>>,
}

/// Why a batch was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublishErrorKind {
    /// The index is lower than the last one published.
    Falling {
        /// The refused index.
        index: u64,
        /// The last index published. The next must not be lower.
        latest: u64,
    },
    /// The index is past, because of the broker's initial index or of a reset.
    Past {
        /// The refused index.
        index: u64,
        /// Everything up to and including this index is past. The next must be above it.
        initial: u64,
    },
    /// The index is that of the last batch, in a history of [rising indexes](crate::Builder::rising_indexes). The
    /// commit was published already.
    Repeated {
        /// The refused index, which is the latest.
        index: u64,
    },
    /// The batch names another epoch: the broker was reset in the meantime, or belongs to another history.
    OtherEpoch {
        /// The epoch that the batch names.
        epoch: Epoch,
        /// The epoch of the broker.
        current: Epoch,
    },
    /// The index has as many batches as it can have, 2³² - 1. Batches of a higher index are accepted.
    Full {
        /// The refused index.
        index: u64,
    },
    /// The broker is closed.
    Closed,
}

impl<P> fmt::Debug for PublishError<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublishError").field("kind", &self.kind).field("events", &self.events.len()).finish()
    }
}

impl<P> fmt::Display for PublishError<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.kind, f)
    }
}

impl fmt::Display for PublishErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Falling { index, latest } => {
                write!(f, "index {index} is lower than the last published, expected {latest} or more")
            }
            Self::Past { index, initial } => {
                write!(f, "index {index} is in the past of this broker, expected more than {initial}")
            }
            Self::Repeated { index } => write!(f, "index {index} was published already, expected a higher one"),
            Self::OtherEpoch { epoch, current } => {
                write!(f, "the batch is of epoch {epoch}, but the broker is in epoch {current}")
            }
            Self::Full { index } => write!(f, "index {index} can have no further batch, expected a higher one"),
            Self::Closed => f.write_str("the broker is closed"),
        }
    }
}

impl<P> Error for PublishError<P> {}

/// A broker that cannot be built.
///
/// ```
/// use event_broker::{Broker, BuildErrorKind};
///
/// let refused = Broker::<String>::builder().max_bytes(64 << 20).build().unwrap_err();
/// assert_eq!((refused.kind, refused.setting), (BuildErrorKind::NoWeigher, "max_bytes"));
/// let broker = Broker::<String>::builder().max_bytes(64 << 20).weigher(|event| event.payload().len() as u64).build();
/// assert!(broker.is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BuildError {
    /// What is wrong with the setting.
    pub kind: BuildErrorKind,
    /// The name of the setting.
    pub setting: &'static str,
    /// The refused value.
    pub value: u64,
    /// The minimum value.
    pub minimum: u64,
}

/// What is wrong with a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildErrorKind {
    /// A bound is below its minimum and would hold nothing.
    BelowMinimum,
    /// The setting is a bound in bytes, payloads may own memory that the broker cannot see, and there is no weigher.
    /// Set a [`weigher`](crate::Builder::weigher), or weigh by the encoded length.
    NoWeigher,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, setting, value, minimum } = self;
        match kind {
            BuildErrorKind::BelowMinimum => write!(f, "{setting} is {value}, expected at least {minimum}"),
            BuildErrorKind::NoWeigher => write!(
                f,
                "{setting} is {value}, but nothing says what a payload takes, expected a weigher (Builder::weigher, or \
                 with the feature json Builder::weigh_encoded)"
            ),
        }
    }
}

impl Error for BuildError {}

/// A place that a broker cannot skip to. See [`Broker::skip_to`](crate::Broker::skip_to). Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SkipError {
    /// The token belongs to another epoch. [`Broker::reset`](crate::Broker::reset) begins one.
    OtherEpoch {
        /// The epoch of the token.
        epoch: Epoch,
        /// The epoch of the broker.
        current: Epoch,
    },
    /// The token's place is before the one that the broker has reached.
    Behind {
        /// The refused token.
        token: Token,
        /// The place that the broker has reached.
        current: Token,
    },
    /// The broker is closed.
    Closed,
}

impl fmt::Display for SkipError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherEpoch { epoch, current } => {
                write!(f, "the token is of epoch {epoch}, but the broker is in epoch {current}")
            }
            Self::Behind { token, current } => write!(f, "cannot skip back to {token}, the broker stands at {current}"),
            Self::Closed => f.write_str("the broker is closed"),
        }
    }
}

impl Error for SkipError {}

/// A refusal with its reason. The reason is shown to the client, so it must not hold a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    reason: Arc<str>,
}

impl Denial {
    /// Creates a refusal with this reason.
    pub fn new(reason: impl Into<Arc<str>>) -> Self {
        Self { reason: reason.into() }
    }

    /// Returns the reason.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl Error for Denial {}

/// A subscription that was not opened.
///
/// ```
/// use event_broker::{Broker, Event, Request, Start, SubscribeError};
///
/// let broker = Broker::<()>::builder().max_batches(1).build()?;
/// broker.publish(5, [Event::new("Job", "JobRegistered", "web", ())])?;
/// broker.publish(7, [Event::new("Job", "JobRegistered", "web", ())])?;
/// let exactly = |index| broker.subscribe(Request::new().start(Start::Exactly(index))).map(drop);
/// assert_eq!(exactly(7), Ok(()));
/// assert_eq!(exactly(5), Err(SubscribeError::Lost { index: 5, oldest: Some(7) }));
/// assert_eq!(exactly(8), Err(SubscribeError::Future { index: 8, latest: 7 }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The request is invalid. For example, a name in it is empty.
    Invalid(InvalidRequest),
    /// The authorizer refused the request, or its grant does not cover it.
    Denied(Denial),
    /// [`Start::Exactly`](crate::Start::Exactly): batches of this index have been evicted, or are past by what the
    /// host declared when it built, reset or moved the broker.
    Lost {
        /// The requested index.
        index: u64,
        /// The oldest index still buffered, if any.
        oldest: Option<u64>,
    },
    /// [`Start::Exactly`](crate::Start::Exactly): no batch has this index, though later ones were published.
    Absent {
        /// The requested index.
        index: u64,
        /// The lowest buffered index above it, if there is one.
        next: Option<u64>,
    },
    /// [`Start::Exactly`](crate::Start::Exactly): the index has not been published yet.
    Future {
        /// The requested index.
        index: u64,
        /// The latest index.
        latest: u64,
    },
    /// The authorizer allowed the request, but each time something that its answer rests on had changed in the
    /// meantime. Subscribing again may succeed.
    AccessUnsettled {
        /// How often the authorizer was called.
        asked: u32,
    },
    /// The broker is closed.
    Closed,
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(error) => write!(f, "invalid request: {error}"),
            Self::Denied(denial) => write!(f, "access denied: {denial}"),
            Self::Lost { index, oldest: Some(oldest) } if index == oldest => {
                write!(f, "the first batches of index {index} are no longer buffered")
            }
            Self::Lost { index, oldest: Some(oldest) } => {
                write!(f, "index {index} is no longer buffered, the oldest is {oldest}")
            }
            Self::Lost { index, oldest: None } => write!(f, "index {index} is no longer buffered, and nothing else is"),
            Self::Absent { index, next: Some(next) } => write!(f, "no batch has index {index}, the next has {next}"),
            Self::Absent { index, next: None } => write!(f, "no batch has index {index}"),
            Self::Future { index, latest } => write!(f, "index {index} is in the future, the latest is {latest}"),
            Self::AccessUnsettled { asked } => {
                write!(f, "access changed each of the {asked} times that it was asked for, try again")
            }
            Self::Closed => f.write_str("the broker is closed"),
        }
    }
}

impl Error for SubscribeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Invalid(error) => Some(error),
            Self::Denied(denial) => Some(denial),
            _ => None,
        }
    }
}

impl From<InvalidRequest> for SubscribeError {
    fn from(error: InvalidRequest) -> Self {
        Self::Invalid(error)
    }
}

/// The loss of a reader that was overtaken: batches were evicted before it had read them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lagged {
    /// The number of batches that this broker evicted between the reader and the oldest batch, matching or not. It is
    /// exact. It is the whole loss unless [`skipped`](Self::skipped) is set.
    pub missed: u64,
    /// Whether a part of the history was skipped that was never published here. The total number of lost batches is
    /// then unknown. See [`Broker::skip_to`](crate::Broker::skip_to).
    pub skipped: bool,
    /// The lowest index that a lost batch can have: the reader had consumed everything below it.
    pub from: u64,
    /// The index of the last lost batch. After a skip, the highest index that a lost batch can have.
    pub through: u64,
    /// The index of the oldest batch still buffered, where a reader that continues reads next. If nothing was published
    /// since a skip, the index that the skip led to.
    pub resumes_at: u64,
    /// Whether all batches of that index are still buffered. If not, the first of them are lost.
    pub resumes_whole: bool,
    /// The policy of the reader, which decides whether it ends or continues.
    pub policy: LagPolicy,
}

impl Lagged {
    /// Returns the number of batches lost, matching or not, or `None` if it is unknown.
    ///
    /// ```
    /// use event_broker::{Broker, Event, Request, TryRecvError};
    ///
    /// let leader = Broker::<()>::builder().build()?;
    /// let follower = Broker::<()>::builder().epoch(leader.epoch()).build()?;
    /// let mut reader = follower.subscribe(Request::new())?;
    /// for index in 1..=9 {
    ///     leader.publish(index, [Event::new("Job", "JobRegistered", "web", ())])?;
    /// }
    /// // The follower installs a snapshot of the leader's instead of what it missed.
    /// follower.skip_to(leader.token())?;
    /// let Err(TryRecvError::Recv(error)) = reader.try_recv() else { panic!("it lost something") };
    /// let lagged = error.lagged().unwrap();
    /// assert_eq!((lagged.count(), lagged.through), (None, 9));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn count(&self) -> Option<u64> {
        (!self.skipped).then_some(self.missed)
    }
}

impl fmt::Display for Lagged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, through, resumes_at, .. } = self;
        if self.skipped {
            write!(f, "skipped: an unknown number of batches with indexes {from} to {through} is lost, ")?;
            return write!(f, "the broker went on at {resumes_at}");
        }
        let missed = self.missed;
        write!(f, "overtaken: {missed} batches with indexes {from} to {through} are lost, the oldest is {resumes_at}")
    }
}

/// Why a read returned no delivery. If [`is_terminal`](Self::is_terminal), every further read returns the same.
///
/// If several reasons hold at once, the read returns the one that comes first in this list.
///
/// ```
/// use event_broker::{Broker, RecvError, Request};
///
/// let broker = Broker::<()>::new();
/// let mut reader = broker.subscribe(Request::new())?;
/// broker.close();
/// reader.handle().cancel();
/// assert_eq!(reader.recv().unwrap_err(), RecvError::Cancelled, "it comes before the end of the broker");
/// assert!(reader.recv().unwrap_err().is_terminal(), "and is returned again");
/// # Ok::<(), event_broker::SubscribeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecvError {
    /// The broker was reset: the state was restored, and indexes have a new meaning. Subscribe again, from the oldest.
    Reset,
    /// Access was revoked.
    Revoked(Denial),
    /// The grant has expired.
    Expired,
    /// The subscription was cancelled through its handle.
    Cancelled,
    /// The reader was overtaken and lost batches that match its request. By its policy the subscription ends, or
    /// continues at the oldest batch. This is the only error that may not be terminal.
    Lagged(Lagged),
    /// The broker is closed, and everything that it held has been read.
    Closed,
}

impl RecvError {
    /// Returns whether every further read returns this error again.
    pub fn is_terminal(&self) -> bool {
        !matches!(self, Self::Lagged(lagged) if lagged.policy == LagPolicy::Continue)
    }

    /// Returns a short, stable name of the reason, for labels and logs: `reset`, `revoked`, `expired`, `cancelled`,
    /// `lagged` or `closed`.
    ///
    /// ```
    /// assert_eq!(event_broker::RecvError::Expired.name(), "expired");
    /// ```
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Revoked(_) => "revoked",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Lagged(_) => "lagged",
            Self::Closed => "closed",
        }
    }

    /// Returns the loss, if this error reports one.
    pub fn lagged(&self) -> Option<&Lagged> {
        match self {
            Self::Lagged(lagged) => Some(lagged),
            _ => None,
        }
    }
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reset => f.write_str("the broker was reset, subscribe again"),
            Self::Revoked(denial) => write!(f, "access revoked: {denial}"),
            Self::Expired => f.write_str("access expired"),
            Self::Cancelled => f.write_str("the subscription was cancelled"),
            Self::Lagged(lagged) => fmt::Display::fmt(lagged, f),
            Self::Closed => f.write_str("the broker is closed"),
        }
    }
}

impl Error for RecvError {}

macro_rules! recv_error {
    ($(#[$doc:meta])* $name:ident, $(#[$nothing_doc:meta])* $nothing:ident, $text:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum $name {
            $(#[$nothing_doc])*
            $nothing,
            /// The error that [`recv`](crate::Subscription::recv) would have returned.
            Recv(RecvError),
        }

        impl From<RecvError> for $name {
            fn from(error: RecvError) -> Self {
                Self::Recv(error)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    Self::$nothing => f.write_str($text),
                    Self::Recv(error) => fmt::Display::fmt(error, f),
                }
            }
        }

        impl Error for $name {}
    };
}

recv_error! {
    /// Why [`try_recv`](crate::Subscription::try_recv) returned no delivery.
    TryRecvError,
    /// There is nothing to read now. The reader has consumed everything published before the call.
    Empty, "nothing to read"
}

recv_error! {
    /// Why a timed read returned no delivery.
    RecvTimeoutError,
    /// No delivery was published before the deadline.
    Timeout, "nothing to read in time"
}
