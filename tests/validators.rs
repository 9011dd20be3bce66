//! The validators of histories against good and bad histories: each bad one is refused by the right validators and by
//! no other. No broker runs here.
#![expect(clippy::indexing_slicing, unreachable_pub, reason = "tests")]

#[path = "support/history.rs"]
mod history;

use history::{Published, Step, Trace, VALIDATORS, validate};

fn batches() -> Vec<(u64, Vec<u64>)> {
    vec![(1, vec![10]), (2, vec![11, 12]), (3, vec![13]), (3, vec![14, 15]), (5, vec![16]), (8, vec![17, 18, 19])]
}

/// Six batches; index 3 has two. Event 10 is of batch 0, 11 and 12 of batch 1, and so on.
fn published() -> Published {
    Published::new(batches())
}

/// A reader that asked for everything from the first batch on.
fn of_all(steps: Vec<Step>) -> Trace {
    let all: Vec<_> = batches().into_iter().map(|(_, events)| events).collect();
    Trace { begin: (0, 0), asked: vec![true; 6], must: all.clone(), may: all, steps }
}

/// A reader that asked for what is in batches 1 and 4, and for the last event of batch 5.
fn of_some(steps: Vec<Step>) -> Trace {
    let few = vec![vec![], vec![11, 12], vec![], vec![], vec![16], vec![19]];
    let asked = few.iter().map(|events| !events.is_empty()).collect();
    Trace { begin: (0, 0), asked, must: few.clone(), may: few, steps }
}

/// A reader of everything whose access was taken back at batch 3.
fn fenced(steps: Vec<Step>) -> Trace {
    let mut trace = of_all(steps);
    for at in 3..6 {
        trace.must[at].clear();
        trace.may[at].clear();
    }
    trace
}

/// The delivery of a whole batch.
fn batch(at: usize) -> Step {
    let (index, events) = batches()[at].clone();
    Step::Delivery { index, events }
}

fn part(index: u64, events: &[u64]) -> Step {
    Step::Delivery { index, events: events.to_vec() }
}

const fn lost(missed: u64, from: u64, through: u64, resumes_at: u64) -> Step {
    Step::Lost { missed, from, through, resumes_at }
}

const RESUMED: Step = Step::Resumed { lost: None, published: 6 };

/// Resumed with a verdict of loss, when so many batches had been published.
const fn resumed_lost(oldest: u64, published: usize) -> Step {
    Step::Resumed { lost: Some(oldest), published }
}

/// Which validators refuse a trace.
fn refusals(trace: &Trace) -> Vec<&'static str> {
    let refused = VALIDATORS.iter().filter(|(_, check)| check(&published(), trace).is_err());
    refused.map(|(name, _)| *name).collect()
}

#[test]
fn good_histories_pass_every_validator() {
    let all = || (0..6).map(batch);
    let good = [
        ("nothing was read", of_all(vec![])),
        ("everything", of_all(all().chain([Step::Closed]).collect())),
        ("stopped half-way", of_all(all().take(3).chain([Step::Stopped]).collect())),
        ("empty in between", of_all(vec![batch(0), Step::Empty { published: 1 }, batch(1)])),
        ("few", of_some(vec![batch(1), Step::Empty { published: 4 }, batch(4), part(8, &[19]), Step::Closed])),
        ("began late", Trace { begin: (2, 4), ..of_all(vec![batch(3), batch(4), batch(5), Step::Closed]) }),
        ("began latest", Trace { begin: (2, 4), ..of_all(vec![batch(4), batch(5), Step::Closed]) }),
        ("lost and reported", of_all(vec![batch(0), lost(3, 1, 3, 5), batch(4), batch(5), Step::Closed])),
        ("lost one of two of one index", of_all(vec![batch(0), batch(1), lost(1, 2, 3, 3), batch(3)])),
        // The reader had passed batch 0, which it did not ask for, with a read that found nothing.
        ("lost after an empty read", of_some(vec![lost(3, 1, 3, 5), batch(4), part(8, &[19])])),
        ("overtaken and closed", of_all(vec![batch(0), lost(3, 1, 3, 5)])),
        ("resumed", of_all(vec![batch(0), RESUMED, batch(1), RESUMED, batch(2), RESUMED, batch(3)])),
        ("resumed and lost", of_all(vec![batch(0), resumed_lost(5, 5), batch(4)])),
        ("resumed and lost, and more went before the first read", of_all(vec![batch(0), resumed_lost(2, 4), batch(4)])),
        ("resumed and lost, and all went", of_all(vec![batch(0), resumed_lost(2, 4), lost(1, 5, 5, 8), batch(5)])),
        ("revoked", fenced(vec![batch(0), batch(1), batch(2), Step::Revoked])),
        ("lost beyond the fence, where it was asked for", fenced(vec![batch(0), lost(3, 1, 3, 5)])),
        ("revoked early, by a later recheck", fenced(vec![batch(0), Step::Revoked])),
    ];
    for (name, trace) in good {
        assert_eq!(refusals(&trace), [""; 0], "{name}");
        validate(&published(), &trace, name);
    }
}

#[test]
fn each_bad_history_is_refused_by_the_right_validators() {
    let order = "order";
    let unique = "unique";
    let loss = "no silent loss";
    let atomic = "atomic";
    let resumable = "resumable";
    let fence = "fence";
    let bad: [(&str, &[&str], Trace); 27] = [
        ("two swapped", &[order, loss], of_all(vec![batch(1), batch(0)])),
        ("two of one index swapped", &[order], of_all(vec![batch(0), batch(1), batch(3), batch(2)]).stopped_at(2, 3)),
        ("events swapped", &[order], of_all(vec![batch(0), part(2, &[12, 11])])),
        ("another index", &[order], of_all(vec![batch(0), part(3, &[11, 12])])),
        ("a batch twice", &[unique], of_all(vec![batch(0), batch(0)])),
        ("an event twice", &[unique], of_all(vec![batch(0), part(2, &[11, 11, 12])])),
        ("a batch twice after a resumption", &[unique, resumable], of_all(vec![batch(0), RESUMED, batch(0)])),
        ("a hole", &[loss], of_all(vec![batch(0), batch(2)])),
        ("a hole at the beginning", &[loss], of_all(vec![batch(1)])),
        ("a hole before the end", &[loss], of_some(vec![batch(1), batch(4), Step::Closed])),
        ("empty, with a batch there", &[loss], of_some(vec![Step::Empty { published: 2 }])),
        ("too few reported", &[loss], of_all(vec![batch(0), lost(2, 1, 3, 5), batch(4)])),
        ("too many reported", &[loss], of_all(vec![batch(0), lost(4, 1, 3, 5), batch(4)])),
        ("a range that is none", &[loss], of_all(vec![batch(0), lost(2, 1, 2, 5), batch(4)])),
        ("a range that begins too late", &[loss], of_all(vec![batch(0), lost(3, 3, 3, 5), batch(4)])),
        ("a loss of what was not asked for", &[loss], of_some(vec![batch(1), lost(2, 2, 3, 5), batch(4)])),
        ("reported as lost, and delivered", &[order, unique], {
            of_all(vec![batch(0), batch(1), batch(2), lost(1, 3, 3, 5), batch(4), batch(2)])
        }),
        ("half a batch", &[atomic], of_all(vec![batch(0), part(2, &[11])])),
        ("half a batch, twice", &[unique, atomic], of_all(vec![batch(0), part(2, &[11]), part(2, &[12])])),
        ("two batches at once", &[atomic], of_all(vec![batch(0), batch(1), part(3, &[13, 14, 15])]).stopped_at(3, 4)),
        ("skipped by resuming", &[loss, resumable], of_all(vec![batch(0), RESUMED, batch(2)])),
        ("skipped after resuming and losing", &[loss], of_all(vec![batch(0), resumed_lost(2, 3), batch(4)])),
        ("skipped after the first read", &[loss], of_all(vec![batch(0), resumed_lost(2, 4), batch(1), batch(3)])),
        ("skipped by resuming twice", &[loss], of_all(vec![batch(0), resumed_lost(2, 4), RESUMED, batch(2)])),
        ("past the fence", &[fence], fenced(vec![batch(0), batch(1), batch(2), batch(3), Step::Revoked])),
        ("after the end", &[fence], fenced(vec![batch(0), batch(1), Step::Revoked, batch(2)])),
        ("what was not asked for", &[fence], of_some(vec![batch(0), batch(1)])),
    ];
    for (name, refusing, trace) in &bad {
        assert_eq!(refusals(trace), *refusing, "{name}");
    }
    for (name, _) in VALIDATORS {
        assert!(bad.iter().any(|(_, refusing, _)| refusing.contains(&name)), "{name} refuses something");
    }
}

impl Trace {
    /// Requires nothing in `from..to`, so that only deliveries are checked.
    fn stopped_at(mut self, from: usize, to: usize) -> Self {
        self.must[from..to].iter_mut().for_each(Vec::clear);
        self
    }
}
