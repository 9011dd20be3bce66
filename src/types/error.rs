//! One error type for each operation of a broker or a subscription.
//! What can be wrong with a request, a query, a token or a frame lives beside its parser.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::types::event::Event;
use crate::types::request::LagPolicy;
use crate::types::term::InvalidRequest;
use crate::types::token::{Epoch, Token};

/// A batch that was not published. Nothing of it became visible, and the events come back.
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
    /// Why it was refused.
    pub kind: PublishErrorKind,
    /// The events, as they were given; each is stamped with the refused index.
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
        /// The last index published: the next must not be lower.
        latest: u64,
    },
    /// The index belongs to what is past by the broker's initial index or by a reset.
    Past {
        /// The refused index.
        index: u64,
        /// Everything up to and including this index is past: the next must be above.
        initial: u64,
    },
    /// The index is that of the last batch, in a history of [rising indexes](crate::Builder::rising_indexes): the
    /// commit was published already.
    Repeated {
        /// The refused index, which is the latest.
        index: u64,
    },
    /// The batch was meant for another history: the broker was reset, or belongs to another one.
    OtherEpoch {
        /// The history that the batch was meant for.
        epoch: Epoch,
        /// The history that the broker is in.
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
    /// Which setting.
    pub setting: &'static str,
    /// What it held.
    pub value: u64,
    /// The least it may hold.
    pub minimum: u64,
}

/// What is wrong with a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildErrorKind {
    /// It is a bound that holds nothing.
    BelowMinimum,
    /// It is a bound in bytes, payloads may own memory that the broker cannot see, and nothing says how much: set a
    /// [`weigher`](crate::Builder::weigher), or weigh by the encoded length.
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

/// A place that a broker cannot skip to; see [`Broker::skip_to`](crate::Broker::skip_to). Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SkipError {
    /// The token belongs to another history: [`Broker::reset`](crate::Broker::reset) begins one.
    OtherEpoch {
        /// The history of the token.
        epoch: Epoch,
        /// The history that the broker is in.
        current: Epoch,
    },
    /// The place lies before the one that the broker has reached.
    Behind {
        /// The token that was refused.
        token: Token,
        /// Where the broker stands.
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

/// A refusal, with its reason. The reason is shown to whoever asked: it must not hold a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    reason: Arc<str>,
}

impl Denial {
    /// A refusal for this reason.
    pub fn new(reason: impl Into<Arc<str>>) -> Self {
        Self { reason: reason.into() }
    }

    /// The reason.
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
    /// The request cannot mean anything.
    Invalid(InvalidRequest),
    /// The authorizer, or the extent of its grant, refused the request.
    Denied(Denial),
    /// [`Start::Exactly`](crate::Start::Exactly): batches of this index have been evicted.
    Lost {
        /// The index asked for.
        index: u64,
        /// The oldest index still buffered, if anything is.
        oldest: Option<u64>,
    },
    /// [`Start::Exactly`](crate::Start::Exactly): no batch has this index, though later ones were published.
    Absent {
        /// The index asked for.
        index: u64,
        /// The lowest buffered index above it, if there is one.
        next: Option<u64>,
    },
    /// [`Start::Exactly`](crate::Start::Exactly): the index has not been published yet.
    Future {
        /// The index asked for.
        index: u64,
        /// The latest index.
        latest: u64,
    },
    /// Each time that the authorizer had allowed the request, something that its answer rests on had changed meanwhile.
    /// Subscribing again may succeed.
    AccessUnsettled {
        /// How often it was asked.
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

/// What a reader lost by being overtaken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lagged {
    /// How many batches this broker evicted between the reader and the oldest one, matching or not: exact, and all there
    /// is to count unless [`skipped`](Self::skipped) is set.
    pub missed: u64,
    /// Whether a part of the history was skipped that was never published here, so that nobody knows how many batches
    /// were lost in all; see [`Broker::skip_to`](crate::Broker::skip_to).
    pub skipped: bool,
    /// Every lost batch has an index of at least this: the reader had passed all that is lower.
    pub from: u64,
    /// The index of the last lost batch; after a skip, no lost batch has a higher one.
    pub through: u64,
    /// The index of the oldest batch still buffered, where a reader that continues goes on; after a skip that nothing
    /// was published since, the index that it led to.
    pub resumes_at: u64,
    /// Whether all batches of that index are still buffered, or the first of them are among what was lost.
    pub resumes_whole: bool,
    /// What becomes of the reader.
    pub policy: LagPolicy,
}

impl Lagged {
    /// How many batches were lost, matching or not, if that is known.
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

/// Why a read gave no delivery, and will give none again unless [`is_terminal`](Self::is_terminal) says otherwise.
///
/// Where several reasons hold at once, the first of this list is given.
///
/// ```
/// use event_broker::{Broker, RecvError, Request};
///
/// let broker = Broker::<()>::new();
/// let mut reader = broker.subscribe(Request::new())?;
/// broker.close();
/// reader.handle().cancel();
/// assert_eq!(reader.recv().unwrap_err(), RecvError::Cancelled, "it comes before the end of the broker");
/// assert!(reader.recv().unwrap_err().is_terminal(), "and is said again");
/// # Ok::<(), event_broker::SubscribeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecvError {
    /// The state was restored: indexes mean something else now. Subscribe again, from the oldest.
    Reset,
    /// Access was taken back.
    Revoked(Denial),
    /// The grant has run out.
    Expired,
    /// The subscription was cancelled through its handle.
    Cancelled,
    /// The reader was overtaken and lost batches that it had asked for. By its policy it ends there, or goes on at the
    /// oldest batch: the one error that may not be an end.
    Lagged(Lagged),
    /// The broker is closed, and all that it held has been read.
    Closed,
}

impl RecvError {
    /// Whether every further read will say the same.
    pub fn is_terminal(&self) -> bool {
        !matches!(self, Self::Lagged(lagged) if lagged.policy == LagPolicy::Continue)
    }

    /// A short name of the reason that stays the same, for labels and logs: `reset`, `revoked`, `expired`, `cancelled`,
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

    /// What was lost, if this is about a loss.
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
            /// As [`recv`](crate::Subscription::recv) would have failed.
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
    /// Why [`try_recv`](crate::Subscription::try_recv) gave no delivery.
    TryRecvError,
    /// Nothing to read now; all that was published before the call has been passed.
    Empty, "nothing to read"
}

recv_error! {
    /// Why a timed read gave no delivery.
    RecvTimeoutError,
    /// Nothing came in time.
    Timeout, "nothing to read in time"
}
