//! Assertions about what was published and what a reader receives. A failure is reported at the caller's line.
//! What is compared is decided in `outline`, and how a difference is shown in `diff`.
//!
//! Callers: tests of hosts, by the macros.

use super::diff::diff;
use super::outline::{Outline, Outlined};
use super::recorder::Recording;
use crate::subscription::{Delivery, Subscription};
use crate::types::error::{Lagged, RecvError, TryRecvError};
use crate::types::term::Scope;

/// Asserts that a [`Recorder`](crate::testing::Recorder) has recorded exactly these events since it was last taken from,
/// and takes them.
///
/// What is expected follows as lines, one for each event, or as one text of several lines; see
/// [`Outline`](crate::testing::Outline) for their form.
///
/// # Panics
///
/// Panics with the difference: missing lines with `-`, unexpected ones with `+`.
///
/// ```
/// use event_broker::testing::Recorder;
/// use event_broker::{Broker, Event, assert_published};
///
/// let broker = Broker::<()>::new();
/// let recorder = Recorder::of(&broker);
/// broker.publish(1, [
///     Event::new("Job", "JobRegistered", "web", ()).with_namespace("prod"),
///     Event::new("Evaluation", "EvaluationUpdated", "e1", ()).with_namespace("prod").with_filter_key("web"),
/// ])?;
/// assert_published!(recorder, "1 Job/JobRegistered prod:web", "1 Evaluation/EvaluationUpdated prod:e1 [web]");
///
/// broker.publish(2, [Event::new("Job", "JobRegistered", "db", ()).with_namespace("default")])?;
/// let failed = std::panic::catch_unwind(|| assert_published!(recorder, "2 Job/JobRegistered prod:db"));
/// assert_eq!(
///     failed.unwrap_err().downcast_ref::<String>().unwrap(),
///     "what was published differs (- expected, + found):\n\
///      - 2 Job/JobRegistered prod:db\n\
///      + 2 Job/JobRegistered default:db",
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[macro_export]
macro_rules! assert_published {
    ($recorder:expr, $($expected:expr),+ $(,)?) => {
        $crate::testing::published(&$recorder, $crate::testing::lines([$($crate::testing::line($expected)),+]))
    };
}

/// Asserts that a [`Recorder`](crate::testing::Recorder) has recorded nothing since it was last taken from.
///
/// # Panics
///
/// Panics with what was recorded. See [`assert_published!`](crate::assert_published) for an example.
#[macro_export]
macro_rules! assert_nothing_published {
    ($recorder:expr $(,)?) => {
        $crate::testing::published(&$recorder, $crate::testing::lines([]))
    };
}

/// Asserts that deliveries or batches are exactly these events.
///
/// # Panics
///
/// Panics with the difference, as [`assert_published!`](crate::assert_published) does.
///
/// ```
/// use event_broker::{Broker, Delivery, Event, Request, assert_events};
///
/// let broker = Broker::<()>::new();
/// let mut reader = broker.subscribe(Request::new())?;
/// broker.publish(7, [Event::new("Job", "JobRegistered", "web", ())])?;
/// broker.publish(7, [Event::new("Job", "JobRegistered", "db", ())])?;
/// let received: Vec<Delivery<()>> = reader.drain()?.iter().map(|delivery| delivery.to_delivery()).collect();
/// assert_events!(received, "7 Job/JobRegistered web", "7#2 Job/JobRegistered db");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[macro_export]
macro_rules! assert_events {
    ($events:expr, $($expected:expr),+ $(,)?) => {
        $crate::testing::events(&$events, $crate::testing::lines([$($crate::testing::line($expected)),+]))
    };
}

/// Asserts that an [`Outline`](crate::testing::Outline) has exactly these lines, for example one that shows payloads.
///
/// # Panics
///
/// Panics with the difference, as [`assert_published!`](crate::assert_published) does.
///
/// ```
/// use event_broker::testing::Outline;
/// use event_broker::{Broker, Event, Request, assert_outline, assert_recv};
///
/// let broker = Broker::<u32>::new();
/// let mut reader = broker.subscribe(Request::new())?;
/// broker.publish(7, [Event::new("Job", "JobRegistered", "web", 3)])?;
/// assert_outline!(Outline::by_debug(&assert_recv!(reader)), "7 Job/JobRegistered web = 3");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[macro_export]
macro_rules! assert_outline {
    ($outline:expr, $($expected:expr),+ $(,)?) => {
        $crate::testing::outline(&$outline, $crate::testing::lines([$($crate::testing::line($expected)),+]))
    };
}

/// Asserts that the next read of a [`Subscription`](crate::Subscription) returns a delivery of exactly these events, and
/// returns the delivery. Without lines, any delivery will do. It does not wait.
///
/// # Panics
///
/// Panics with the difference, or with what was found instead of a delivery.
///
/// ```
/// use event_broker::{Broker, Event, Request, Term, assert_empty, assert_recv};
///
/// let broker = Broker::<u32>::new();
/// let mut web = broker.subscribe(Request::new().term(Term::key("web")?))?;
/// broker.publish(7, [Event::new("Job", "JobRegistered", "db", 1), Event::new("Job", "JobRegistered", "web", 2)])?;
/// let delivery = assert_recv!(web, "7 Job/JobRegistered web");
/// assert_eq!(delivery.events().map(|event| *event.payload()).collect::<Vec<_>>(), [2]);
/// assert_empty!(web);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[macro_export]
macro_rules! assert_recv {
    ($reader:expr $(,)?) => {
        {
            use $crate::testing::AssertedReader as _;
            $reader.assert_received(::core::option::Option::None)
        }
    };
    ($reader:expr, $($expected:expr),+ $(,)?) => {
        {
            use $crate::testing::AssertedReader as _;
            $reader.assert_received(::core::option::Option::Some($crate::testing::lines([$($crate::testing::line($expected)),+])))
        }
    };
}

/// Asserts that a [`Subscription`](crate::Subscription) has nothing to read and is open. It does not wait.
///
/// # Panics
///
/// Panics with what was found. See [`assert_recv!`](crate::assert_recv) for an example.
#[macro_export]
macro_rules! assert_empty {
    ($reader:expr $(,)?) => {{
        use $crate::testing::AssertedReader as _;
        $reader.assert_empty()
    }};
}

/// Asserts that the next read of a [`Subscription`](crate::Subscription) reports a loss, and returns it. With a number,
/// exactly so many batches must be [missed](crate::Lagged::missed). It does not wait.
///
/// # Panics
///
/// Panics with what was found.
///
/// ```
/// use event_broker::{Broker, Event, LagPolicy, Request, assert_lagged, assert_recv};
///
/// let broker = Broker::<()>::builder().max_batches(1).build()?;
/// let mut reader = broker.subscribe(Request::new().lag_policy(LagPolicy::Continue))?;
/// (1..=3).for_each(|index| broker.publish(index, [Event::new("Job", "Changed", "web", ())]).unwrap());
/// let lagged = assert_lagged!(reader, 2);
/// assert_eq!((lagged.through, lagged.resumes_at), (2, 3));
/// assert_recv!(reader, "3 Job/Changed web");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[macro_export]
macro_rules! assert_lagged {
    ($reader:expr $(,)?) => {{
        use $crate::testing::AssertedReader as _;
        $reader.assert_lagged(::core::option::Option::None)
    }};
    ($reader:expr, $missed:expr $(,)?) => {{
        use $crate::testing::AssertedReader as _;
        $reader.assert_lagged(::core::option::Option::Some($missed))
    }};
}

/// Asserts that a [`Subscription`](crate::Subscription) has ended, and that every further read returns the same end.
/// With a pattern of [`RecvError`](crate::RecvError), the end must match it. Returns the end. It does not wait.
///
/// # Panics
///
/// Panics with what was found.
///
/// ```
/// use event_broker::{Broker, RecvError, Request, assert_ended};
///
/// let broker = Broker::<()>::new();
/// let (mut one, mut other) = (broker.subscribe(Request::new())?, broker.subscribe(Request::new())?);
/// one.handle().cancel();
/// assert_ended!(one, RecvError::Cancelled);
/// broker.close();
/// assert_ended!(other, RecvError::Closed | RecvError::Reset);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[macro_export]
macro_rules! assert_ended {
    ($reader:expr $(,)?) => {
        {
            use $crate::testing::AssertedReader as _;
            $reader.assert_ended(|_| true, "an end")
        }
    };
    ($reader:expr, $pattern:pat $(if $guard:expr)? $(,)?) => {
        {
            use $crate::testing::AssertedReader as _;
            $reader.assert_ended(
                |end| ::core::matches!(end, $pattern $(if $guard)?),
                ::core::stringify!($pattern $(if $guard)?),
            )
        }
    };
}

/// Compares two outlines.
#[track_caller]
fn compare(what: &str, expected: &Outline, found: &Outline) {
    if let Some(diff) = diff(expected.lines(), found.lines()) {
        panic!("{what} differs (- expected, + found):{diff}");
    }
}

/// The lines of one expected text.
#[doc(hidden)]
pub fn line(expected: impl Into<Outline>) -> Outline {
    expected.into()
}

/// The lines of all expected texts.
#[doc(hidden)]
pub fn lines<const N: usize>(expected: [Outline; N]) -> Outline {
    Outline::from(expected)
}

#[doc(hidden)]
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "called by a macro")]
pub fn published(recorder: &impl Recording, expected: Outline) {
    assert!(
        recorder.is_attached(),
        "this recorder is attached to no broker, expected Recorder::of, Recorder::attach or Builder::record before"
    );
    compare("what was published", &expected, &recorder.take_outline());
}

#[doc(hidden)]
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "called by a macro")]
pub fn events<P>(events: &(impl Outlined<P> + ?Sized), expected: Outline) {
    compare("the list of events", &expected, &Outline::of(events));
}

#[doc(hidden)]
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "called by a macro")]
pub fn outline(found: &Outline, expected: Outline) {
    compare("the outline", &expected, found);
}

/// The assertions about a reader, as methods, so that the macros take a subscription as well as a reference to one.
#[doc(hidden)]
pub trait AssertedReader<P> {
    fn assert_received(&mut self, expected: Option<Outline>) -> Delivery<P>;
    fn assert_empty(&mut self);
    fn assert_lagged(&mut self, missed: Option<u64>) -> Lagged;
    fn assert_ended(&mut self, matches: impl Fn(&RecvError) -> bool, pattern: &str) -> RecvError;
}

impl<P> AssertedReader<P> for Subscription<P> {
    #[track_caller]
    fn assert_received(&mut self, expected: Option<Outline>) -> Delivery<P> {
        match self.try_recv() {
            Ok(delivery) => {
                if let Some(expected) = expected {
                    compare("what was received", &expected, &Outline::of(&delivery));
                }
                delivery
            }
            found => panic!("expected {}, found {}", delivery_of(expected.as_ref()), describe(self, &found)),
        }
    }

    #[track_caller]
    fn assert_empty(&mut self) {
        match self.try_recv() {
            Err(TryRecvError::Empty) => {}
            found => panic!("expected nothing to read, found {}", describe(self, &found)),
        }
    }

    #[track_caller]
    fn assert_lagged(&mut self, missed: Option<u64>) -> Lagged {
        let expected = missed.map_or_else(|| "a loss".to_owned(), |missed| format!("a loss of {missed} batches"));
        match self.try_recv() {
            Err(TryRecvError::Recv(RecvError::Lagged(lagged)))
                if missed.is_none_or(|missed| missed == lagged.missed) =>
            {
                lagged
            }
            found => panic!("expected {expected}, found {}", describe(self, &found)),
        }
    }

    #[track_caller]
    fn assert_ended(&mut self, matches: impl Fn(&RecvError) -> bool, pattern: &str) -> RecvError {
        let end = match self.try_recv() {
            Err(TryRecvError::Recv(end)) if end.is_terminal() && matches(&end) => end,
            found => panic!("expected {pattern}, found {}", describe(self, &found)),
        };
        match self.try_recv() {
            Err(TryRecvError::Recv(again)) if again == end => end,
            found => panic!("expected {end:?} again, found {}", describe(self, &found)),
        }
    }
}

fn delivery_of(expected: Option<&Outline>) -> String {
    match expected.map(Outline::lines) {
        None | Some([]) => "a delivery".to_owned(),
        Some([line]) => format!("`{line}`"),
        Some([first, more @ ..]) => format!("`{first}` and {} more", more.len()),
    }
}

/// Describes the result of a read. A reader that finds nothing may not have asked for it, so what it asks for is said.
fn describe<P>(reader: &Subscription<P>, read: &Result<Delivery<P>, TryRecvError>) -> String {
    match read {
        Ok(delivery) => format!("a delivery:\n{}", Outline::of(delivery).indented().trim_end()),
        Err(TryRecvError::Empty) => {
            let terms: Vec<_> = reader.terms().iter().take(MAX_TERMS).map(|term| format!("`{term}`")).collect();
            let more = reader.terms().len().saturating_sub(MAX_TERMS);
            let everything = reader.terms().iter().any(|term| term.topic_name().is_none() && term.key_name().is_none());
            let terms = match (everything || terms.is_empty(), more) {
                (true, _) => "everything".to_owned(),
                (false, 0) => terms.join(", "),
                (false, more) => format!("{} and {more} more", terms.join(", ")),
            };
            let namespaces = match reader.scope() {
                Scope::All => "all namespaces".to_owned(),
                Scope::Named(names) => {
                    let names: Vec<_> = names.as_slice().iter().map(|name| format!("`{name}`")).collect();
                    format!("{} {}", if names.len() == 1 { "namespace" } else { "namespaces" }, names.join(", "))
                }
            };
            format!("nothing to read: the reader asks for {terms} in {namespaces}")
        }
        Err(TryRecvError::Recv(error)) => format!("{}: {error}", error.name()),
    }
}

/// The most terms that a message lists.
const MAX_TERMS: usize = 4;
