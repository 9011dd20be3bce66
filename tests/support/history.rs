//! Validators of histories: what was published, and what each reader saw of it, in a run that no oracle can predict.
//!
//! A history is plain data without a broker, and each validator checks one guarantee.

use std::collections::{BTreeSet, HashMap};

/// All batches in publish order, by index and events. Every event has a unique number, and no index has more than two
/// batches, so a lost range determines its place.
#[derive(Clone, Debug, Default)]
pub struct Published {
    batches: Vec<(u64, Vec<u64>)>,
    /// The position of each event's batch, and its place there.
    places: HashMap<u64, (usize, usize)>,
}

/// What one reader did and saw.
#[derive(Clone, Debug)]
pub struct Trace {
    /// The range of the first position that it could see, both ends included.
    pub begin: (usize, usize),
    /// For each position, whether a batch there matches: only such a batch can be lost.
    pub asked: Vec<bool>,
    /// For each position, the events that must be delivered and those that may be: they differ after a fence, and where
    /// a grant may already have been narrowed.
    pub must: Vec<Vec<u64>>,
    pub may: Vec<Vec<u64>>,
    pub steps: Vec<Step>,
}

/// One read, and its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Delivery {
        index: u64,
        events: Vec<u64>,
    },
    /// Nothing to read, when this many batches had certainly been published before.
    Empty {
        published: usize,
    },
    /// Overtaken. The reader continues, unless this is its last step.
    Lost {
        missed: u64,
        from: u64,
        through: u64,
        resumes_at: u64,
    },
    /// A new subscription after the last token, when at most this many batches had been published. If its verdict was a
    /// loss, with the oldest index of that moment.
    Resumed {
        lost: Option<u64>,
        published: usize,
    },
    /// The broker is closed, and all has been read.
    Closed,
    /// Access was taken back.
    Revoked,
    /// The reader was stopped by the test.
    Stopped,
}

pub type Check = fn(&Published, &Trace) -> Result<(), String>;

/// Every validator by its name.
pub const VALIDATORS: [(&str, Check); 6] = [
    ("order", order),
    ("unique", unique),
    ("no silent loss", no_silent_loss),
    ("atomic", atomic),
    ("resumable", resumable),
    ("fence", fence),
];

/// Panics with all violations of a trace.
pub fn validate(published: &Published, trace: &Trace, reader: &str) {
    let wrong: Vec<String> = VALIDATORS
        .iter()
        .filter_map(|(name, check)| check(published, trace).err().map(|reason| format!("{name}: {reason}")))
        .collect();
    assert!(wrong.is_empty(), "{reader}: {wrong:#?}");
}

impl Published {
    pub fn new(batches: Vec<(u64, Vec<u64>)>) -> Self {
        let numbered = batches.iter().enumerate();
        let places = numbered
            .flat_map(|(at, (_, events))| events.iter().enumerate().map(move |(n, id)| (*id, (at, n))))
            .collect();
        Self { batches, places }
    }

    /// The position of the first batch of an index or a later one.
    fn first_of(&self, index: u64) -> usize {
        self.batches.partition_point(|batch| batch.0 < index)
    }

    /// The position that a lost range ends before.
    fn resumption(&self, through: u64, resumes_at: u64) -> Option<usize> {
        let pair = [through, resumes_at];
        self.batches.windows(2).position(|two| [two[0].0, two[1].0] == pair).map(|place| place + 1)
    }
}

/// The batch that a delivery is of, by its first event.
fn position(published: &Published, events: &[u64]) -> Result<usize, String> {
    let first = events.first().ok_or("a delivery without events")?;
    published.places.get(first).map(|(at, _)| *at).ok_or_else(|| format!("event {first} was never published"))
}

/// G1: batches in the order of their publishing and under its index, events in the order of the batch.
pub fn order(published: &Published, trace: &Trace) -> Result<(), String> {
    let mut last = None;
    for step in &trace.steps {
        let Step::Delivery { index, events } = step else { continue };
        let at = position(published, events)?;
        if published.batches[at].0 != *index {
            return Err(format!("batch {at} came under index {index}"));
        }
        if last > Some(at) {
            return Err(format!("batch {at} came after {last:?}"));
        }
        last = Some(at);
        let within: Vec<_> = events.iter().filter_map(|id| published.places.get(id)).map(|(_, place)| *place).collect();
        if !within.is_sorted() {
            return Err(format!("events of batch {at} came as {within:?}"));
        }
    }
    Ok(())
}

/// G2: no batch twice, no event twice.
pub fn unique(published: &Published, trace: &Trace) -> Result<(), String> {
    let (mut batches, mut seen) = (BTreeSet::new(), BTreeSet::new());
    for step in &trace.steps {
        let Step::Delivery { events, .. } = step else { continue };
        let at = position(published, events)?;
        if !batches.insert(at) {
            return Err(format!("batch {at} came twice"));
        }
        if let Some(twice) = events.iter().find(|id| !seen.insert(**id)) {
            return Err(format!("event {twice} came twice"));
        }
    }
    Ok(())
}

/// G3: every required batch was delivered, is in a reported range, or comes after the position of the reader at its
/// end; and what is reported as lost was lost.
pub fn no_silent_loss(published: &Published, trace: &Trace) -> Result<(), String> {
    let wanted = |at: usize| trace.must.get(at).is_some_and(|events| !events.is_empty());
    let wanted_in = |from: usize, to: usize| (from..to).find(|at| wanted(*at));
    // Everything below was accounted for.
    let mut cursor = trace.begin.1;
    // The lower bound of the cursor that the reads so far show.
    let mut passed = trace.begin.0;
    // After a verdict of loss, batches of that moment may be evicted before the first read without a report.
    let mut elastic = 0;
    for step in &trace.steps {
        let goes_by_itself = std::mem::take(&mut elastic);
        match step {
            Step::Delivery { events, .. } => {
                let at = position(published, events)?;
                cursor = cursor.max(at.min(goes_by_itself));
                if let Some(lost) = wanted_in(cursor, at) {
                    return Err(format!("batch {lost} never came, {at} did"));
                }
                cursor = cursor.max(at + 1);
                passed = passed.max(at + 1);
            }
            Step::Empty { published } => {
                cursor = cursor.max(goes_by_itself);
                if let Some(lost) = wanted_in(cursor, *published) {
                    return Err(format!("batch {lost} was there when nothing was found"));
                }
                cursor = cursor.max(*published);
                passed = passed.max(*published);
            }
            Step::Lost { missed, from, through, resumes_at } => {
                let oldest = published
                    .resumption(*through, *resumes_at)
                    .ok_or_else(|| format!("no batch of {resumes_at} follows one of {through}"))?;
                let first = usize::try_from(*missed).ok().and_then(|missed| oldest.checked_sub(missed));
                let first = first.filter(|first| *first >= passed).ok_or_else(|| {
                    format!("{missed} batches before {oldest} are reported as lost, the reader was at {passed}")
                })?;
                if *missed == 0 || published.batches[first].0 < *from {
                    return Err(format!(
                        "{missed} batches from index {from} are said to be lost, the first is {first}"
                    ));
                }
                cursor = cursor.max(first.min(goes_by_itself));
                if let Some(lost) = wanted_in(cursor, first) {
                    return Err(format!("batch {lost} is missing from a lost range that begins at {first}"));
                }
                if !(first..oldest).any(|at| trace.asked.get(at) == Some(&true)) {
                    return Err(format!("nothing in {first}..{oldest} was asked for, and it was reported as lost"));
                }
                cursor = cursor.max(oldest);
                passed = passed.max(oldest);
            }
            Step::Resumed { lost: Some(oldest), published: there } => {
                elastic = *there;
                let last = published.batches.iter().rposition(|(index, _)| index == oldest);
                cursor = cursor.max(last.ok_or_else(|| format!("nothing has index {oldest}"))?);
            }
            Step::Closed => {
                cursor = cursor.max(goes_by_itself);
                if let Some(lost) = wanted_in(cursor, published.batches.len()) {
                    return Err(format!("batch {lost} never came, and the end did"));
                }
            }
            // For an index that may still grow, a token does not show what was passed without being delivered.
            Step::Resumed { lost: None, .. } => {
                passed = passed.checked_sub(1).map_or(0, |last| published.first_of(published.batches[last].0));
            }
            Step::Revoked | Step::Stopped => {}
        }
    }
    Ok(())
}

/// G4: the events of a batch are delivered at once, and of one batch.
pub fn atomic(published: &Published, trace: &Trace) -> Result<(), String> {
    for step in &trace.steps {
        let Step::Delivery { events, .. } = step else { continue };
        let at = position(published, events)?;
        if let Some(other) = events.iter().find(|id| !published.batches[at].1.contains(id)) {
            return Err(format!("event {other} came with batch {at}, which it is not of"));
        }
        let missing = trace.must.get(at).into_iter().flatten().find(|id| !events.contains(id));
        if let Some(missing) = missing {
            return Err(format!("event {missing} did not come with its batch {at}"));
        }
    }
    Ok(())
}

/// G5: a resumed reader continues with the very next required batch, unless a loss was reported.
pub fn resumable(published: &Published, trace: &Trace) -> Result<(), String> {
    let wanted = |at: usize| trace.must.get(at).is_some_and(|events| !events.is_empty());
    for (place, step) in trace.steps.iter().enumerate() {
        if !matches!(step, Step::Resumed { lost: None, .. }) {
            continue;
        }
        // After a verdict of loss its position is unknown. An empty read has passed at least what was certainly
        // published before it; a delivery may be of a batch that was not certain yet.
        let mut before = Some(trace.begin.1);
        for step in &trace.steps[..place] {
            before = match step {
                Step::Delivery { events, .. } => Some(position(published, events)? + 1),
                Step::Empty { published } => before.map(|before| before.max(*published)),
                Step::Lost { through, resumes_at, .. } => published.resumption(*through, *resumes_at).or(before),
                Step::Resumed { lost: Some(_), .. } => None,
                _ => before,
            };
        }
        let Some(before) = before else { continue };
        if let Some(Step::Delivery { events, .. }) = trace.steps.get(place + 1) {
            let at = position(published, events)?;
            if at < before {
                return Err(format!("batch {at} was repeated after resuming at {before}"));
            }
            if let Some(skipped) = (before..at).find(|at| wanted(*at)) {
                return Err(format!("batch {skipped} was skipped after resuming at {before}"));
            }
        }
    }
    Ok(())
}

/// G8: nothing is delivered that the grant in force at its position does not allow, and nothing after the end.
pub fn fence(published: &Published, trace: &Trace) -> Result<(), String> {
    for step in &trace.steps {
        let Step::Delivery { events, .. } = step else { continue };
        let allowed = |id: &&u64| {
            published.places.get(*id).and_then(|(at, _)| trace.may.get(*at)).is_some_and(|may| may.contains(*id))
        };
        if let Some(leaked) = events.iter().find(|id| !allowed(id)) {
            return Err(format!("event {leaked} came, which is not allowed at its position"));
        }
    }
    let end = trace.steps.iter().position(|step| matches!(step, Step::Revoked | Step::Closed | Step::Stopped));
    match end.and_then(|end| trace.steps.get(end + 1)) {
        Some(after) => Err(format!("{after:?} came after the end")),
        None => Ok(()),
    }
}
