//! The validators: whether what a reader saw keeps a guarantee, given what was published.
//! Each looks at a history and one trace, and at no broker.

use std::collections::{BTreeSet, HashSet};

use super::past::{EventId, History, PastEvent};
use super::trace::{Step, Trace};
use super::violation::{Guarantee, Violation};
use crate::types::start::Verdict;

/// A validator.
pub type Check = fn(&History, &Trace) -> Result<(), Violation>;

/// Every validator, and the guarantee that it checks.
pub const CHECKS: [(Guarantee, Check); 6] = [
    (Guarantee::Order, check_order),
    (Guarantee::Unique, check_unique),
    (Guarantee::NoSilentLoss, check_no_silent_loss),
    (Guarantee::Atomic, check_atomic),
    (Guarantee::Resumable, check_resumable),
    (Guarantee::Fence, check_fence),
];

/// Runs every validator over every trace.
///
/// # Errors
///
/// Returns the first violation of the first trace that has one.
pub fn check_all<'t>(history: &History, traces: impl IntoIterator<Item = &'t Trace>) -> Result<(), Violation> {
    traces.into_iter().try_for_each(|trace| CHECKS.iter().try_for_each(|(_, check)| check(history, trace)))
}

/// One validator at work.
struct Case<'a> {
    guarantee: Guarantee,
    history: &'a History,
    trace: &'a Trace,
}

impl<'a> Case<'a> {
    fn violation(&self, expected: impl Into<String>, found: impl Into<String>) -> Violation {
        Violation::new(self.guarantee, self.trace.reader(), expected, found)
    }

    fn at_batch(&self, at: usize, expected: impl Into<String>, found: impl Into<String>) -> Violation {
        self.violation(expected, found).at_batch(self.history, at)
    }

    fn at_event(&self, event: &PastEvent, expected: impl Into<String>, found: impl Into<String>) -> Violation {
        self.violation(expected, found).at_event(event)
    }

    /// The event of an id, which must have been published.
    fn event(&self, id: &EventId) -> Result<&'a PastEvent, Violation> {
        self.history
            .find(id)
            .ok_or_else(|| self.violation("events that were published", format!("event {id}, which was not")))
    }

    /// The batch that a delivery is of, by its first event.
    fn position(&self, events: &[EventId]) -> Result<usize, Violation> {
        let first = events.first().ok_or_else(|| self.violation("a delivery has events", "one that has none"))?;
        self.event(first).map(PastEvent::position)
    }

    /// The batches that were delivered, in the order of their deliveries: index, events and position of each.
    fn deliveries(&self) -> impl Iterator<Item = Result<(u64, &'a [EventId], usize), Violation>> {
        self.trace.steps().iter().filter_map(|step| match step {
            Step::Delivery { index, events } => Some(self.position(events).map(|at| (*index, events.as_slice(), at))),
            _ => None,
        })
    }

    fn wanted(&self, at: usize) -> bool {
        self.history.events_of(at).iter().any(|event| self.trace.must(event))
    }

    /// The first batch of a range that must be delivered.
    fn wanted_in(&self, from: usize, to: usize) -> Option<usize> {
        (from..to.min(self.history.len())).find(|at| self.wanted(*at))
    }

    /// A batch as a report names it.
    fn name(&self, at: usize) -> String {
        match self.history.batch(at) {
            Some(batch) => format!("batch {at} of index {}", batch.index),
            None => format!("batch {at}"),
        }
    }
}

/// Checks that batches came in the order of publishing and under their index, and events in the order of the batch.
///
/// # Errors
///
/// Returns the first violation.
pub fn check_order(history: &History, trace: &Trace) -> Result<(), Violation> {
    let case = Case { guarantee: Guarantee::Order, history, trace };
    let mut last = None;
    for delivery in case.deliveries() {
        let (index, events, at) = delivery?;
        if history.batch(at).is_some_and(|batch| batch.index != index) {
            return Err(case.at_batch(at, "it comes under its index", format!("it came under index {index}")));
        }
        if let Some(before) = last.filter(|last| *last > at) {
            let found = format!("it came after {}", case.name(before));
            return Err(case.at_batch(at, "batches come in the order of publishing", found));
        }
        last = Some(at);
        let within: Vec<_> = events.iter().filter_map(|id| history.find(id)).collect();
        let swapped = within.windows(2).find_map(|two| match two {
            [one, next] if next.ordinal() < one.ordinal() => Some((one, next)),
            _ => None,
        });
        if let Some((one, next)) = swapped {
            let found = format!("event {} of the batch came after event {}", next.ordinal(), one.ordinal());
            return Err(case.at_event(next, "events come in the order of the batch", found));
        }
    }
    Ok(())
}

/// Checks that no batch came twice, and no event.
///
/// # Errors
///
/// Returns the first violation.
pub fn check_unique(history: &History, trace: &Trace) -> Result<(), Violation> {
    let case = Case { guarantee: Guarantee::Unique, history, trace };
    let (mut batches, mut seen) = (BTreeSet::new(), HashSet::new());
    for delivery in case.deliveries() {
        let (_, events, at) = delivery?;
        if !batches.insert(at) {
            return Err(case.at_batch(at, "it comes once", "it came twice"));
        }
        // By place, because an event may be named by an id once and by its place once.
        let places = events.iter().filter_map(|id| history.find(id));
        if let Some(twice) = places.into_iter().find(|event| !seen.insert((event.position(), event.ordinal()))) {
            return Err(case.at_event(twice, "it comes once", "it came twice"));
        }
    }
    Ok(())
}

/// Checks that every batch that must be delivered was delivered, is in a range that was reported as lost, or comes after
/// where the reader ended; and that what is reported as lost was lost.
///
/// # Errors
///
/// Returns the first violation.
pub fn check_no_silent_loss(history: &History, trace: &Trace) -> Result<(), Violation> {
    const EXPECTED: &str = "it is delivered, or reported as lost";
    let case = Case { guarantee: Guarantee::NoSilentLoss, history, trace };
    // The lower bound of the cursor that the reads so far show, and below `cursor` everything was accounted for.
    let (mut passed, mut cursor) = trace.range();
    // After a verdict of loss, batches of that moment may be evicted before the first read without a report.
    let mut elastic = 0;
    for step in trace.steps() {
        let goes_by_itself = std::mem::take(&mut elastic);
        match step {
            Step::Delivery { events, .. } => {
                let at = case.position(events)?;
                cursor = cursor.max(at.min(goes_by_itself));
                if let Some(lost) = case.wanted_in(cursor, at) {
                    let found = format!("{} is delivered, and it was not", case.name(at));
                    return Err(case.at_batch(lost, EXPECTED, found));
                }
                cursor = cursor.max(at + 1);
                passed = passed.max(at + 1);
            }
            Step::Empty { published } => {
                cursor = cursor.max(goes_by_itself);
                if let Some(lost) = case.wanted_in(cursor, *published) {
                    return Err(case.at_batch(lost, EXPECTED, "a read found nothing, when it had been published"));
                }
                cursor = cursor.max(*published);
                passed = passed.max(*published);
            }
            Step::Lost { missed, from, through, resumes_at } => {
                let ranges = history.resumptions(*through, *resumes_at);
                let ranges = ranges
                    .into_iter()
                    .map(|oldest| lost_range(&case, (*missed, *from, oldest), passed, cursor, goes_by_itself));
                // More than two batches of one index may allow several ranges. None that is possible is refused.
                let (fits, refused): (Vec<_>, Vec<_>) = ranges.partition(Result::is_ok);
                let fits: Vec<usize> = fits.into_iter().flatten().collect();
                let (Some(lowest), Some(highest)) = (fits.iter().min(), fits.iter().max()) else {
                    let no_place = || {
                        let found = format!("a lost range ends between indexes {through} and {resumes_at}");
                        case.violation("a lost range ends between two batches that follow each other", found)
                    };
                    return Err(refused.into_iter().find_map(Result::err).unwrap_or_else(no_place));
                };
                cursor = cursor.max(*highest);
                passed = passed.max(*lowest);
            }
            Step::Resumed { verdict: Verdict::Lost { oldest }, published } => {
                elastic = *published;
                if let Some(oldest) = oldest {
                    let last = history.batches().iter().rposition(|batch| batch.index == *oldest);
                    cursor = cursor.max(last.ok_or_else(|| {
                        case.violation("a verdict names a published index", format!("index {oldest} as the oldest"))
                    })?);
                }
            }
            Step::Closed => {
                cursor = cursor.max(goes_by_itself);
                if let Some(lost) = case.wanted_in(cursor, history.len()) {
                    return Err(case.at_batch(lost, EXPECTED, "the end of a closed broker came instead"));
                }
            }
            // For an index that may still grow, a token does not show what was passed without being delivered.
            Step::Resumed { .. } => {
                let last = passed.checked_sub(1).and_then(|last| history.batch(last));
                passed = last.map_or(0, |batch| history.first_of(batch.index));
            }
            Step::Ended { .. } => {}
        }
    }
    Ok(())
}

/// Checks a lost range that ends before the position `oldest`, and returns that position.
fn lost_range(
    case: &Case<'_>,
    (missed, from, oldest): (u64, u64, usize),
    passed: usize,
    cursor: usize,
    goes_by_itself: usize,
) -> Result<usize, Violation> {
    let first = usize::try_from(missed).ok().and_then(|missed| oldest.checked_sub(missed));
    let Some(first) = first.filter(|first| *first >= passed) else {
        let found = format!("the {missed} before {} are reported as lost", case.name(oldest));
        return Err(case.at_batch(first.unwrap_or(0), "what the reader had read is not reported as lost", found));
    };
    if missed == 0 || case.history.batch(first).is_some_and(|batch| batch.index < from) {
        let found = format!("the {missed} before {} begin at index {from}", case.name(oldest));
        return Err(case.at_batch(first, "a lost range begins at its first batch or before it", found));
    }
    let cursor = cursor.max(first.min(goes_by_itself));
    if let Some(lost) = case.wanted_in(cursor, first) {
        let found = format!("a lost range begins after it, at {}", case.name(first));
        return Err(case.at_batch(lost, "it is delivered, or in the lost range", found));
    }
    let asked = |at: usize| case.history.events_of(at).iter().any(|event| case.trace.asked(event));
    if !(first..oldest).any(asked) {
        let found = format!("nothing of the {missed} before {} was asked for", case.name(oldest));
        return Err(case.at_batch(first, "a loss is reported if something was asked for", found));
    }
    Ok(oldest)
}

/// Checks that the events of a batch came at once, and with no event of another.
///
/// # Errors
///
/// Returns the first violation.
pub fn check_atomic(history: &History, trace: &Trace) -> Result<(), Violation> {
    let case = Case { guarantee: Guarantee::Atomic, history, trace };
    for delivery in case.deliveries() {
        let (_, events, at) = delivery?;
        let mut ordinals = BTreeSet::new();
        for id in events {
            let event = case.event(id)?;
            if event.position() != at {
                let found = format!("it came with {}", case.name(at));
                return Err(case.at_event(event, "it comes with its own batch", found));
            }
            ordinals.insert(event.ordinal());
        }
        let mut required = history.events_of(at).iter().filter(|event| trace.must(event));
        if let Some(missing) = required.find(|event| !ordinals.contains(&event.ordinal())) {
            return Err(case.at_event(missing, "it comes with its batch", "the batch came without it"));
        }
    }
    Ok(())
}

/// Checks that a resumed reader went on with the very next batch that must be delivered, unless a loss was reported.
///
/// # Errors
///
/// Returns the first violation.
pub fn check_resumable(history: &History, trace: &Trace) -> Result<(), Violation> {
    let case = Case { guarantee: Guarantee::Resumable, history, trace };
    // Where the reader certainly stands. After a verdict of loss that is unknown. An empty read has passed at least what
    // was certainly published before it; a delivery may be of a batch that was not certain yet.
    let (lowest, highest) = trace.range();
    let mut place = (lowest == highest).then_some(lowest);
    let mut resumed_at = None;
    for step in trace.steps() {
        let resumed = resumed_at.take();
        match step {
            Step::Delivery { events, .. } => {
                let at = case.position(events)?;
                if let Some(before) = resumed.filter(|before| at < *before) {
                    let found = format!("it came again after resuming at batch {before}");
                    return Err(case.at_batch(at, "nothing is repeated", found));
                }
                if let Some((before, skipped)) = resumed.and_then(|before| Some((before, case.wanted_in(before, at)?)))
                {
                    let found = format!("{} came first after resuming at batch {before}", case.name(at));
                    return Err(case.at_batch(skipped, "nothing is skipped", found));
                }
                place = Some(at + 1);
            }
            Step::Empty { published } => place = Some(place.map_or(*published, |place| place.max(*published))),
            Step::Lost { through, resumes_at, .. } => {
                place = match history.resumptions(*through, *resumes_at).as_slice() {
                    [] => place,
                    [one] => Some(*one),
                    _ => None,
                };
            }
            Step::Resumed { verdict: Verdict::Lost { .. }, .. } => place = None,
            Step::Resumed { .. } => resumed_at = place,
            Step::Closed | Step::Ended { .. } => {}
        }
    }
    Ok(())
}

/// Checks that nothing came that the reader may not see where it was published, and nothing after the end but a further
/// subscription.
///
/// # Errors
///
/// Returns the first violation.
pub fn check_fence(history: &History, trace: &Trace) -> Result<(), Violation> {
    let case = Case { guarantee: Guarantee::Fence, history, trace };
    for delivery in case.deliveries() {
        for id in delivery?.1 {
            let event = case.event(id)?;
            if !trace.may(event) {
                return Err(case.at_event(event, "only what the reader may see is delivered", "it was delivered"));
            }
        }
    }
    for two in trace.steps().windows(2) {
        if let [end @ (Step::Closed | Step::Ended { .. }), after] = two
            && !matches!(after, Step::Resumed { .. })
        {
            let violation = case.violation(format!("nothing comes after {end:?}"), format!("{after:?}"));
            let Step::Delivery { events, .. } = after else { return Err(violation) };
            return Err(violation.at_batch(history, case.position(events)?));
        }
    }
    Ok(())
}
