//! Each assertion: what its failure says, at the caller's line, and what it accepts.

use std::time::Duration;

use event_broker::testing::{Outline, Recorder};
use event_broker::{
    Batch, Broker, Event, LagPolicy, RecvError, Request, Start, Subscription, Term, assert_empty, assert_ended,
    assert_events, assert_lagged, assert_nothing_published, assert_outline, assert_published, assert_recv,
};

use crate::failing::{alone, fails, is_alone};

fn event(key: &str) -> Event<u32> {
    Event::new("Job", "Changed", key, 5).with_namespace("default")
}

/// A broker of two batches, a recorder and a reader of it.
fn broker() -> (Broker<u32>, Recorder<u32>, Subscription<u32>) {
    let broker = Broker::builder().max_batches(2).build().unwrap();
    let (recorder, reader) = (Recorder::of(&broker), broker.subscribe(Request::new()).unwrap());
    (broker, recorder, reader)
}

#[test]
fn published() {
    let (broker, recorder, _) = broker();
    broker.publish(1, [event("a"), event("b")]).unwrap();
    broker.publish(1, [event("c")]).unwrap();
    let text = "
        1 Job/Changed default:a
        1 Job/Changed default:b
    ";
    assert_published!(recorder, text, String::from("1#2 Job/Changed default:c"));
    assert_nothing_published!(recorder);

    broker.publish(2, [event("a"), event("b")]).unwrap();
    let message = fails!(assert_published!(recorder, "2 Job/Changed default:b", "2 Job/Changed default:a"));
    assert_eq!(
        message,
        "what was published differs (- expected, + found):\n\
         + 2 Job/Changed default:a\n  2 Job/Changed default:b\n- 2 Job/Changed default:a"
    );
    assert_nothing_published!(recorder);

    broker.publish(3, [event("a")]).unwrap();
    let message = fails!(assert_nothing_published!(recorder));
    assert_eq!(message, "what was published differs (- expected, + found):\n+ 3 Job/Changed default:a");
    let message = fails!(assert_published!(recorder, "3 Job/Changed default:a"));
    assert_eq!(message, "what was published differs (- expected, + found):\n- 3 Job/Changed default:a");
}

#[test]
fn payloads_are_shown_if_asked_for() {
    let (broker, recorder, _) = broker();
    broker.publish(1, [event("a")]).unwrap();
    let message = fails!(assert_published!(recorder.by_debug(), "1 Job/Changed default:a = 6"));
    assert!(message.ends_with("\n- 1 Job/Changed default:a = 6\n+ 1 Job/Changed default:a = 5"), "{message}");
    broker.publish(2, [event("a")]).unwrap();
    assert_published!(recorder.by_json(), "2 Job/Changed default:a = 5");
    broker.publish(3, [event("a")]).unwrap();
    let message = fails!(assert_published!(recorder.by(|n| format!("{n}\nlines")), ["3 Job/Changed default:a = 5"]));
    assert!(message.ends_with("\n+ 3 Job/Changed default:a = 5\\nlines"), "a line is a line: {message}");
}

#[test]
fn events() {
    let batches = [Batch::new(1, vec![event("a")]), Batch::new(2, vec![event("b")])];
    assert_events!(batches, "1 Job/Changed default:a", "2 Job/Changed default:b");
    let message = fails!(assert_events!(batches, "1 Job/Changed default:a"));
    assert_eq!(
        message,
        "the list of events differs (- expected, + found):\n  1 Job/Changed default:a\n+ 2 Job/Changed default:b"
    );
}

#[test]
fn recv() {
    let (broker, _, mut reader) = broker();
    assert_eq!(
        fails!(assert_recv!(reader)),
        "expected a delivery, found nothing to read: the reader asks for everything in namespace `default`"
    );
    let message = fails!(assert_recv!(reader, "1 Job/Changed default:a"));
    assert_eq!(
        message,
        "expected `1 Job/Changed default:a`, found nothing to read: the reader asks for everything in namespace `default`"
    );
    let message = fails!(assert_recv!(reader, "1 Job/Changed default:a", "1 Job/Changed default:b\n2 x"));
    assert_eq!(
        message,
        "expected `1 Job/Changed default:a` and 2 more, found nothing to read: the reader asks for everything in namespace `default`"
    );

    broker.publish(1, [event("a")]).unwrap();
    assert_eq!(assert_recv!(reader).index(), 1);
    broker.publish(2, [event("a")]).unwrap();
    let message = fails!(assert_recv!(reader, "2 Job/Changed prod:a"));
    assert_eq!(
        message,
        "what was received differs (- expected, + found):\n- 2 Job/Changed prod:a\n+ 2 Job/Changed default:a"
    );
    broker.close();
    let message = fails!(assert_recv!(reader));
    assert!(message.starts_with("expected a delivery, found closed: "), "{message}");
}

#[test]
fn empty() {
    let (broker, _, mut reader) = broker();
    assert_empty!(reader);
    broker.publish(1, [event("a"), event("b")]).unwrap();
    let message = fails!(assert_empty!(reader));
    assert_eq!(
        message,
        "expected nothing to read, found a delivery:\n  1 Job/Changed default:a\n  1 Job/Changed default:b"
    );
    reader.handle().cancel();
    let message = fails!(assert_empty!(reader));
    assert!(message.starts_with("expected nothing to read, found cancelled: "), "{message}");
}

#[test]
fn lagged() {
    let broker = Broker::builder().max_batches(1).build().unwrap();
    let request = Request::new().start(Start::Latest).lag_policy(LagPolicy::Continue);
    let mut reader = broker.subscribe(request).unwrap();
    assert_eq!(
        fails!(assert_lagged!(reader)),
        "expected a loss, found nothing to read: the reader asks for everything in namespace `default`"
    );
    for index in 1..=4 {
        broker.publish(index, [event("a")]).unwrap();
    }
    let message = fails!(assert_lagged!(reader, 2));
    assert!(message.starts_with("expected a loss of 2 batches, found lagged: overtaken: 3 "), "{message}");
    let message = fails!(assert_lagged!(reader));
    assert_eq!(message, "expected a loss, found a delivery:\n  4 Job/Changed default:a");
    for index in 5..=7 {
        broker.publish(index, [event("a")]).unwrap();
    }
    assert_eq!(assert_lagged!(reader, 2).resumes_at, 7);
}

#[test]
fn ended() {
    let (broker, _, mut reader) = broker();
    assert_eq!(
        fails!(assert_ended!(reader)),
        "expected an end, found nothing to read: the reader asks for everything in namespace `default`"
    );
    let message = fails!(assert_ended!(reader, RecvError::Closed));
    assert_eq!(
        message,
        "expected RecvError::Closed, found nothing to read: the reader asks for everything in namespace `default`"
    );
    broker.publish(1, [event("a")]).unwrap();
    let message = fails!(assert_ended!(reader, RecvError::Closed));
    assert_eq!(message, "expected RecvError::Closed, found a delivery:\n  1 Job/Changed default:a");
    broker.close();
    let message = fails!(assert_ended!(reader, RecvError::Reset | RecvError::Cancelled));
    assert!(message.starts_with("expected RecvError::Reset | RecvError::Cancelled, found closed: "), "{message}");
    assert_eq!(assert_ended!(reader), RecvError::Closed);
    assert_eq!(assert_ended!(reader, end if end.is_terminal()), RecvError::Closed);
}

/// A loss after which the reader continues is no end, and one that closes it is.
#[test]
fn a_loss_ends_by_policy() {
    for (policy, is_end) in [(LagPolicy::Continue, false), (LagPolicy::Close, true)] {
        let broker = Broker::builder().max_batches(1).build().unwrap();
        let mut reader = broker.subscribe(Request::new().start(Start::Latest).lag_policy(policy)).unwrap();
        broker.publish(1, [event("a")]).unwrap();
        broker.publish(2, [event("a")]).unwrap();
        if is_end {
            assert_ended!(reader, RecvError::Lagged(_));
        } else {
            let message = fails!(assert_ended!(reader));
            assert!(message.starts_with("expected an end, found lagged: "), "{message}");
        }
    }
}

#[test]
fn waiting_too_long() {
    let (broker, recorder, _) = broker();
    broker.publish(1, [event("a")]).unwrap();
    let message = fails!(recorder.wait_at_most(Duration::from_millis(1), 2));
    assert_eq!(message, "expected 2 batches within 1ms, found 1:\n  1 Job/Changed default:a");
    assert_eq!(recorder.wait_for(1).len(), 1, "a failed wait has taken nothing");
    assert_eq!(recorder.wait_for(0).len(), 0);
}

/// The claim of the kit: a wrong namespace in a batch of three is told in at most six lines, with the line that the
/// panic handler prints. The hint at backtraces is not counted, which it prints once in a process.
#[test]
fn a_wrong_namespace_takes_six_lines() {
    let broker = Broker::new();
    let recorder = Recorder::of(&broker);
    let batch = ["prod", "default", "prod"].map(|namespace| event("web").with_namespace(namespace));
    broker.publish(7, batch).unwrap();
    if is_alone() {
        assert_published!(recorder, "7 Job/Changed prod:web", "7 Job/Changed prod:web", "7 Job/Changed prod:web");
    }
    let output = alone("assertions::a_wrong_namespace_takes_six_lines", &[]);
    assert!(!output.status.success());
    let printed = String::from_utf8(output.stderr).unwrap();
    let told: Vec<_> = printed.lines().filter(|line| !line.is_empty() && !line.starts_with("note: ")).collect();
    let [place, message @ ..] = &told[..] else { panic!("nothing is told") };
    assert!(place.contains("panicked at ") && place.contains("assertions.rs:"), "{place}");
    assert_eq!(
        message,
        [
            "what was published differs (- expected, + found):",
            "  7 Job/Changed prod:web",
            "- 7 Job/Changed prod:web",
            "+ 7 Job/Changed default:web",
            "  7 Job/Changed prod:web",
        ]
    );
    assert!(told.len() <= 6, "{printed}");
}

/// A text of several lines, lists, and outlines are the same expectation.
#[test]
fn outlines_are_made_of_many_things() {
    let lines = Outline::from("1 A/B c\n  2 A/B d  \n\n");
    assert_eq!(lines.to_string(), "1 A/B c\n2 A/B d");
    assert_eq!(lines, Outline::from(["1 A/B c", "2 A/B d"]));
    assert_eq!(lines, Outline::from(vec![String::from("1 A/B c"), String::from("2 A/B d")]));
    assert_eq!(lines, ["1 A/B c", "2 A/B d"].into_iter().collect());
    assert_eq!(lines, Outline::from(&lines));
    assert!(Outline::from(" \n").is_empty());
}

/// In a helper, a reader is a reference that is not `mut` itself.
#[test]
fn readers_may_be_references() {
    fn all_of(broker: &Broker<u32>, reader: &mut Subscription<u32>) {
        broker.publish(1, [event("a")]).unwrap();
        assert_recv!(reader, "1 Job/Changed default:a");
        assert_empty!(reader);
        (2..=3).for_each(|index| broker.publish(index, [event("a")]).unwrap());
        assert_eq!(assert_lagged!(reader, 1).policy, LagPolicy::Close);
        assert_ended!(reader, RecvError::Lagged(_));
    }
    let broker = Broker::builder().max_batches(1).build().unwrap();
    let mut reader = broker.subscribe(Request::new()).unwrap();
    all_of(&broker, &mut reader);
    assert_ended!(&mut reader, RecvError::Lagged(_));
    assert_ended!(reader, RecvError::Lagged(_));
}

/// The most likely mistake of a first test: the default request is for one namespace.
#[test]
fn a_reader_that_finds_nothing_says_what_it_asks_for() {
    let broker = Broker::<u32>::new();
    broker.publish(1, [event("a").with_namespace("prod")]).unwrap();
    let terms = ["a", "b", "c", "d", "e", "f"].map(|key| Term::new("Job", key).unwrap());
    let mut some = broker.subscribe(Request::new().terms(terms).namespace("dev").namespace("test")).unwrap();
    assert_eq!(
        fails!(assert_recv!(some, "1 Job/Changed prod:a")),
        "expected `1 Job/Changed prod:a`, found nothing to read: the reader asks for `Job:a`, `Job:b`, `Job:c`, `Job:d` \
         and 2 more in namespaces `dev`, `test`"
    );
    let mut all = broker.subscribe(Request::new().term(Term::topic("Node").unwrap()).namespace("*")).unwrap();
    assert_eq!(
        fails!(assert_recv!(all)),
        "expected a delivery, found nothing to read: the reader asks for `Node:*` in all namespaces"
    );
}

#[test]
fn outlines_with_payloads_are_compared() {
    let (broker, _, mut reader) = broker();
    broker.publish(1, [event("a")]).unwrap();
    let delivery = assert_recv!(reader);
    assert_outline!(Outline::by_debug(&delivery), "1 Job/Changed default:a = 5");
    assert_eq!(
        fails!(assert_outline!(Outline::by_debug(&delivery), "1 Job/Changed default:a = 6")),
        "the outline differs (- expected, + found):\n- 1 Job/Changed default:a = 6\n+ 1 Job/Changed default:a = 5"
    );
}

/// Two batches of one index are not one batch.
#[test]
fn batches_of_one_index_are_numbered_in_a_list() {
    let two = [Batch::new(7, vec![event("a"), event("b")]), Batch::new(7, vec![event("c")])];
    assert_events!(two, "7 Job/Changed default:a", "7 Job/Changed default:b", "7#2 Job/Changed default:c");
    let one = Batch::new(7, two.into_iter().flat_map(Batch::into_events).collect::<Vec<_>>());
    assert_events!(one, "7 Job/Changed default:a", "7 Job/Changed default:b", "7 Job/Changed default:c");
}

#[test]
fn payloads_that_are_empty_or_end_with_space_can_be_expected() {
    let batch = |payload: &str| Batch::new(1, vec![Event::new("Note", "Set", "a", payload.to_owned())]);
    for payload in ["", " ", "x ", " x", "x\n"] {
        let outline = Outline::by(&batch(payload), |payload: &String| payload.clone());
        assert_eq!(Outline::from(outline.to_string()), outline, "{payload:?}");
    }
}
