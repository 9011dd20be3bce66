//! What a validator reports: the guarantee that is broken, for whom, and the first event or batch that is wrong.
//! What is wrong is decided in `checks`.

use std::error::Error;
use std::fmt;

use super::past::{History, PastEvent};

/// A guarantee that a validator checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Guarantee {
    /// Batches come in the order of publishing and under their index, events in the order of the batch.
    Order,
    /// No batch comes twice, and no event.
    Unique,
    /// What must be delivered was delivered, or is in a range that was reported as lost, or comes after where the reader
    /// ended; and what is reported as lost was lost.
    NoSilentLoss,
    /// The matching events of a batch come together, and with no event of another.
    Atomic,
    /// A reader that resumes goes on with the next batch that it asked for, unless a loss was reported.
    Resumable,
    /// Nothing comes that the reader may not see where it was published, and nothing after the end.
    Fence,
}

impl Guarantee {
    /// Returns its name, such as `no silent loss`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Unique => "unique",
            Self::NoSilentLoss => "no silent loss",
            Self::Atomic => "atomic",
            Self::Resumable => "resumable",
            Self::Fence => "fence",
        }
    }
}

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The first thing in a trace that breaks a guarantee.
///
/// ```
/// use event_broker::testing::history::{Guarantee, History, Step, Trace, check_no_silent_loss};
/// use event_broker::Event;
///
/// let mut history = History::new();
/// for (index, key) in [(3, "web"), (5, "db")] {
///     history.record(index, &[Event::new("Job", "JobRegistered", key, ()).with_namespace("prod")]);
/// }
/// let mut trace = Trace::new("mirror");
/// trace.push(Step::Delivery { index: 5, events: history.events().skip(1).map(|event| event.id().clone()).collect() });
///
/// let violation = check_no_silent_loss(&history, &trace).unwrap_err();
/// assert_eq!((violation.guarantee(), violation.index()), (Guarantee::NoSilentLoss, Some(3)));
/// assert_eq!(
///     violation.to_string(),
///     "no silent loss is broken for \"mirror\"\n  \
///        first wrong: batch 0 of index 3, Job/JobRegistered prod:web\n  \
///        expected: it is delivered, or reported as lost\n  \
///        found: batch 1 of index 5 is delivered, and it was not"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    guarantee: Guarantee,
    reader: String,
    /// The position and index of the batch, and an outline of what is wrong in it.
    wrong: Option<(usize, u64, String)>,
    expected: String,
    found: String,
}

impl Violation {
    pub(super) fn new(
        guarantee: Guarantee,
        reader: &str,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        let (expected, found) = (expected.into(), found.into());
        Self { guarantee, reader: reader.to_owned(), wrong: None, expected, found }
    }

    /// Names the batch that is wrong.
    pub(super) fn at_batch(mut self, history: &History, position: usize) -> Self {
        self.wrong = history.batch(position).map(|batch| (position, batch.index, outline(&batch.events)));
        self
    }

    /// Names the event that is wrong.
    pub(super) fn at_event(mut self, event: &PastEvent) -> Self {
        self.wrong = Some((event.position(), event.index(), outline(std::slice::from_ref(event))));
        self
    }

    /// Returns the guarantee that is broken.
    pub fn guarantee(&self) -> Guarantee {
        self.guarantee
    }

    /// Returns the name of the reader.
    pub fn reader(&self) -> &str {
        &self.reader
    }

    /// Returns the position of the first batch that is wrong: how many batches of the history came before. `None` if
    /// it is a step without one, such as an event that was never published.
    pub fn position(&self) -> Option<usize> {
        self.wrong.as_ref().map(|(position, ..)| *position)
    }

    /// Returns the index of the first batch that is wrong.
    pub fn index(&self) -> Option<u64> {
        self.wrong.as_ref().map(|(_, index, _)| *index)
    }

    /// Returns what was expected.
    pub fn expected(&self) -> &str {
        &self.expected
    }

    /// Returns what was found instead.
    pub fn found(&self) -> &str {
        &self.found
    }
}

/// The events of a batch on one line, at most three of them.
fn outline(events: &[PastEvent]) -> String {
    let some: Vec<_> = events.iter().take(3).map(PastEvent::to_string).collect();
    let rest = events.len() - some.len();
    let more = if rest > 0 { format!(", and {rest} more") } else { String::new() };
    some.join(", ") + &more
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is broken for \"{}\"", self.guarantee, self.reader)?;
        if let Some((position, index, outline)) = &self.wrong {
            write!(f, "\n  first wrong: batch {position} of index {index}, {outline}")?;
        }
        write!(f, "\n  expected: {}\n  found: {}", self.expected, self.found)
    }
}

impl Error for Violation {}
