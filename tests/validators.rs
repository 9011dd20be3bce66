//! The validators of the test kit, `event_broker::testing::history`, against good and bad histories: each bad one is
//! refused by the right validators and by no other. No broker runs here.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use event_broker::testing::history::{CHECKS, EventId, Guarantee, History, PastEvent, Step, Trace, check_all};
use event_broker::{Broker, Event, LagPolicy, Request, Start, TryRecvError, Verdict};

fn batches() -> Vec<(u64, Vec<u64>)> {
    vec![(1, vec![10]), (2, vec![11, 12]), (3, vec![13]), (3, vec![14, 15]), (5, vec![16]), (8, vec![17, 18, 19])]
}

/// Six batches; index 3 has two. Event 10 is of batch 0, 11 and 12 of batch 1, and so on.
fn published() -> History {
    let mut history = History::new();
    for (index, ids) in batches() {
        let event = |id: &u64| Event::new("Job", "t", format!("j{id}"), *id).with_namespace("prod");
        history.record_by(index, &ids.iter().map(event).collect::<Vec<_>>(), |event| *event.payload());
    }
    history
}

/// A reader that asked for everything from the first batch on.
fn of_all(steps: Vec<Step>) -> Trace {
    let mut trace = Trace::new("reader");
    for step in steps {
        trace.push(step);
    }
    trace
}

/// A reader that asked for what is in batches 1 and 4, and for the last event of batch 5.
fn of_some(steps: Vec<Step>) -> Trace {
    let few = |event: &PastEvent| [11, 12, 16, 19].map(Into::into).contains(event.id());
    of_all(steps).asks_for(few)
}

/// A reader of everything whose access was taken back at batch 3.
fn fenced(steps: Vec<Step>) -> Trace {
    of_all(steps).may_see(|event| event.position() < 3)
}

/// The delivery of a whole batch.
fn batch(at: usize) -> Step {
    let (index, events) = batches()[at].clone();
    part(index, &events)
}

fn part(index: u64, events: &[u64]) -> Step {
    Step::Delivery { index, events: events.iter().copied().map(Into::into).collect() }
}

const fn lost(missed: u64, from: u64, through: u64, resumes_at: u64) -> Step {
    Step::Lost { missed, from, through, resumes_at }
}

const RESUMED: Step = Step::Resumed { verdict: Verdict::Whole, published: 6 };
const REVOKED: Step = Step::Ended { why: "revoked" };
const STOPPED: Step = Step::Ended { why: "stopped" };

/// Resumed with a verdict of loss, when so many batches had been published.
const fn resumed_lost(oldest: u64, published: usize) -> Step {
    Step::Resumed { verdict: Verdict::Lost { oldest: Some(oldest) }, published }
}

/// Which validators refuse a trace.
fn refusals(trace: &Trace) -> Vec<&'static str> {
    let refused = CHECKS.iter().filter_map(|(guarantee, check)| {
        let violation = check(&published(), trace).err()?;
        assert_eq!((violation.guarantee(), violation.reader()), (*guarantee, trace.reader()));
        assert!(violation.to_string().lines().count() <= 4, "{violation}");
        Some(guarantee.name())
    });
    refused.collect()
}

#[test]
fn good_histories_pass_every_validator() {
    let all = || (0..6).map(batch);
    let good = [
        ("nothing was read", of_all(vec![])),
        ("everything", of_all(all().chain([Step::Closed]).collect())),
        ("stopped half-way", of_all(all().take(3).chain([STOPPED]).collect())),
        ("empty in between", of_all(vec![batch(0), Step::Empty { published: 1 }, batch(1)])),
        ("few", of_some(vec![batch(1), Step::Empty { published: 4 }, batch(4), part(8, &[19]), Step::Closed])),
        ("began late", of_all(vec![batch(3), batch(4), batch(5), Step::Closed]).begins(2..=4)),
        ("began latest", of_all(vec![batch(4), batch(5), Step::Closed]).begins(2..=4)),
        ("began latest and resumed", of_all(vec![RESUMED, batch(3), batch(4), batch(5), Step::Closed]).begins(2..=4)),
        ("lost and reported", of_all(vec![batch(0), lost(3, 1, 3, 5), batch(4), batch(5), Step::Closed])),
        ("lost one of two of one index", of_all(vec![batch(0), batch(1), lost(1, 2, 3, 3), batch(3)])),
        // The reader had passed batch 0, which it did not ask for, with a read that found nothing.
        ("lost after an empty read", of_some(vec![lost(3, 1, 3, 5), batch(4), part(8, &[19])])),
        ("overtaken and closed", of_all(vec![batch(0), lost(3, 1, 3, 5)])),
        ("resumed", of_all(vec![batch(0), RESUMED, batch(1), RESUMED, batch(2), RESUMED, batch(3)])),
        ("resumed and lost", of_all(vec![batch(0), resumed_lost(5, 5), batch(4)])),
        ("resumed and lost, and more went before the first read", of_all(vec![batch(0), resumed_lost(2, 4), batch(4)])),
        ("resumed and lost, and all went", of_all(vec![batch(0), resumed_lost(2, 4), lost(1, 5, 5, 8), batch(5)])),
        // It did not ask for the first batch of index 3, and its token does not show that an empty read passed it.
        ("resumed within an index, and lost", {
            let steps = vec![batch(0), batch(1), Step::Empty { published: 3 }, RESUMED, lost(2, 3, 3, 5), batch(4)];
            of_all(steps).asks_for(|event| event.position() != 2)
        }),
        ("revoked", fenced(vec![batch(0), batch(1), batch(2), REVOKED])),
        ("lost beyond the fence, where it was asked for", fenced(vec![batch(0), lost(3, 1, 3, 5)])),
        ("revoked early, by a later recheck", fenced(vec![batch(0), REVOKED])),
    ];
    for (name, trace) in good {
        assert_eq!(refusals(&trace), [""; 0], "{name}");
        assert_eq!(check_all(&published(), [&trace]), Ok(()), "{name}");
    }
}

#[test]
fn each_bad_history_is_refused_by_the_right_validators() {
    let [order, unique, loss, atomic, resumable, fence] = CHECKS.map(|(guarantee, _)| guarantee.name());
    let bad: [(&str, &[&str], Trace); 27] = [
        ("two swapped", &[order, loss], of_all(vec![batch(1), batch(0)])),
        (
            "two of one index swapped",
            &[order],
            of_all(vec![batch(0), batch(1), batch(3), batch(2)]).must_see(|event| event.position() != 2),
        ),
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
        (
            "two batches at once",
            &[atomic],
            of_all(vec![batch(0), batch(1), part(3, &[13, 14, 15])]).must_see(|event| event.position() != 3),
        ),
        ("skipped by resuming", &[loss, resumable], of_all(vec![batch(0), RESUMED, batch(2)])),
        ("skipped after resuming and losing", &[loss], of_all(vec![batch(0), resumed_lost(2, 3), batch(4)])),
        ("skipped after the first read", &[loss], of_all(vec![batch(0), resumed_lost(2, 4), batch(1), batch(3)])),
        ("skipped by resuming twice", &[loss], of_all(vec![batch(0), resumed_lost(2, 4), RESUMED, batch(2)])),
        ("past the fence", &[fence], fenced(vec![batch(0), batch(1), batch(2), batch(3), REVOKED])),
        ("after the end", &[fence], fenced(vec![batch(0), batch(1), REVOKED, batch(2)])),
        ("what was not asked for", &[fence], of_some(vec![batch(0), batch(1)])),
    ];
    for (name, refusing, trace) in &bad {
        assert_eq!(refusals(trace), *refusing, "{name}");
    }
    for (guarantee, _) in CHECKS {
        assert!(
            bad.iter().any(|(_, refusing, _)| refusing.contains(&guarantee.name())),
            "{guarantee} refuses something"
        );
    }
}

/// With many batches of one index a lost range may fit in several places. What is certain is still checked.
#[test]
fn a_lost_range_among_many_batches_of_one_index_is_not_refused() {
    let mut history = History::new();
    for number in 0..5_u64 {
        history.record_by(7, &[Event::new("Job", "t", "web", number)], |event| *event.payload());
    }
    let one = |number| part(7, &[number]);
    let judged = |steps| check_all(&history, [&of_all(steps)]).map_err(|violation| violation.position());
    assert_eq!(judged(vec![one(0), lost(1, 7, 7, 7), one(2), one(3), one(4), Step::Closed]), Ok(()));
    assert_eq!(judged(vec![one(0), lost(2, 7, 7, 7), RESUMED, one(3)]), Ok(()));
    assert_eq!(judged(vec![one(0), lost(1, 7, 7, 7), one(3)]), Err(Some(2)), "2 is not lost");
    assert_eq!(judged(vec![one(0), one(1), one(2), one(3), lost(1, 7, 7, 7)]), Err(Some(0)), "all but 4 were read");
}

/// A further subscription may follow an end, and nothing else.
#[test]
fn a_reader_may_come_back_after_an_end() {
    let lagged = Step::Ended { why: "lagged" };
    assert_eq!(refusals(&of_all(vec![batch(0), REVOKED, RESUMED, batch(1)])), [""; 0]);
    assert_eq!(refusals(&of_all(vec![batch(0), lost(3, 1, 3, 5), lagged.clone(), RESUMED, batch(4)])), [""; 0]);
    assert_eq!(refusals(&of_all(vec![batch(0), lost(3, 1, 3, 5), lagged, batch(4)])), ["fence"]);
    assert_eq!(refusals(&of_all(vec![batch(0), REVOKED, RESUMED, REVOKED, batch(1)])), ["fence"]);
}

/// The first event or batch that is wrong, in words.
#[test]
fn a_report_names_what_is_wrong_first() {
    let report = |trace: &Trace, position: usize| {
        let violation = check_all(&published(), [trace]).unwrap_err();
        assert_eq!(violation.position(), Some(position), "{violation}");
        violation.to_string()
    };
    let swapped = of_all(vec![batch(0), part(2, &[12, 11])]);
    assert_eq!(
        report(&swapped, 1),
        "order is broken for \"reader\"\n  first wrong: batch 1 of index 2, Job/t prod:j11 (11)\n  \
         expected: events come in the order of the batch\n  \
         found: event 0 of the batch came after event 1"
    );
    assert_eq!(
        report(&of_all(vec![batch(0), batch(2), batch(4)]), 1),
        "no silent loss is broken for \"reader\"\n  \
         first wrong: batch 1 of index 2, Job/t prod:j11 (11), Job/t prod:j12 (12)\n  \
         expected: it is delivered, or reported as lost\n  \
         found: batch 2 of index 3 is delivered, and it was not"
    );
    for (trace, position, found) in [
        (of_all(vec![batch(0), batch(0)]), 0, "it came twice"),
        (of_all(vec![batch(0), part(2, &[11])]), 1, "the batch came without it"),
        (of_all(vec![batch(0), lost(2, 1, 3, 5), batch(4)]), 1, "a lost range begins after it, at batch 2 of index 3"),
        (of_all(vec![batch(0), lost(4, 1, 3, 5)]), 0, "the 4 before batch 4 of index 5 are reported as lost"),
        (fenced((0..4).map(batch).collect()), 3, "it was delivered"),
        (fenced(vec![batch(0), REVOKED, batch(1)]), 1, "Delivery { index: 2, events: [Number(11), Number(12)] }"),
        (of_some(vec![Step::Empty { published: 2 }]), 1, "a read found nothing, when it had been published"),
    ] {
        let report = report(&trace, position);
        assert!(report.ends_with(&format!("\n  found: {found}")), "{report}");
    }
    let unknown = check_all(&published(), [&of_all(vec![part(1, &[99])])]).unwrap_err();
    assert_eq!((unknown.guarantee(), unknown.index()), (Guarantee::Order, None));
    assert_eq!(unknown.found(), "event 99, which was not");
}

/// What real reads return, recorded by place and by id: a loss, an empty read, a resumption, and each end.
#[test]
fn what_a_broker_returns_is_recorded_as_it_was() {
    let broker = Broker::<u64>::builder().max_batches(2).build().unwrap();
    let request = |policy| Request::new().lag_policy(policy);
    let (mut goes_on, mut closes) =
        (broker.subscribe(request(LagPolicy::Continue)).unwrap(), broker.subscribe(request(LagPolicy::Close)).unwrap());
    let (mut history, mut by_id) = (History::new(), History::new());
    let mut publish = |index: u64, keys: &[&str]| {
        let event = |key: &&str| Event::new("Job", "t", *key, index);
        let events: Vec<_> = keys.iter().map(event).collect();
        history.record(index, &events);
        by_id.record_by(index, &events, |event| format!("{}.{}", event.payload(), event.key()));
        broker.publish(index, events).unwrap();
    };
    let mut traces = [Trace::new("goes on"), Trace::new("closes"), Trace::new("by id")];
    publish(1, &["a"]);
    for (reader, trace) in [(&mut goes_on, 0), (&mut closes, 1)] {
        traces[trace].tried(1, &reader.try_recv());
        traces[trace].tried(1, &reader.try_recv());
    }
    let mut resumed = broker.subscribe(request(LagPolicy::Continue).start(Start::After(goes_on.token()))).unwrap();
    traces[2] = Trace::new("by id").begins(1..=1);
    traces[2].resumed(resumed.verdict(), 1);
    publish(1, &["b"]);
    publish(2, &["c", "d"]);
    publish(2, &["e"]);
    broker.close();
    for (reader, trace) in [(&mut goes_on, 0), (&mut closes, 1)] {
        (0..5).for_each(|_| traces[trace].tried(4, &reader.try_recv()));
    }
    loop {
        match resumed.try_recv() {
            Ok(delivery) => {
                traces[2].delivered_by(&delivery, |event| format!("{}.{}", event.payload(), event.key()));
            }
            Err(TryRecvError::Recv(error)) => {
                traces[2].failed(&error);
                if error.is_terminal() {
                    break;
                }
            }
            Err(TryRecvError::Empty) => panic!("it is closed"),
        }
    }
    let first = Step::Delivery { index: 1, events: vec![EventId::Place { index: 1, batch: 0, ordinal: 0 }] };
    let (empty, missed) = (Step::Empty { published: 1 }, lost(1, 1, 1, 2));
    assert_eq!(traces[1].steps(), [first, empty, missed.clone(), Step::Ended { why: "lagged" }]);
    assert_eq!((traces[0].steps().len(), traces[0].steps().last()), (6, Some(&Step::Closed)));
    assert_eq!(traces[2].steps()[1], missed);
    for history in [&history, &by_id] {
        assert_eq!(check_all(history, &traces[..2]), Ok(()), "by place");
    }
    assert_eq!(check_all(&by_id, &traces), Ok(()));
    // The same readers in a history in which another batch came before.
    let mut other = History::starting_after(goes_on.token());
    other.record(2, &[Event::new("Job", "t", "f", 0)]);
    assert!(check_all(&other, &traces[..1]).is_err());
}
