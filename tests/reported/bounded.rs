//! Costs and memory that grew with what others do: each test shows the behaviour that must remain now that they do not.
//!
//! `cost` counts how they grow, and `heap` what stays in memory.

use std::collections::BTreeMap;

use event_broker::{Event, LagPolicy, Request, Start, Subscription, Term, TryRecvError};

use crate::common::{assert_empty, broker_of, error_now, indexes_now};

/// A request of 60 terms in at least 20 namespaces: a wide scope. `number` chooses which.
fn wide(number: usize) -> Request<u64> {
    let names = (0..20 + number % 5).map(|n| format!("n{}", (n * (1 + number % 3) + number) % 40));
    let topics = (0..3).map(|n| Term::topic(format!("T{}", (n + number) % 5)).expect("a topic"));
    let keys = (0..60).map(|n| Term::key(format!("k{}", n * 2 + number % 2)).expect("a key"));
    Request::new().terms(topics.chain(keys)).namespaces(names).start(Start::Latest)
}

/// Whether a subscription's request matches an event.
fn asks(reader: &Subscription<u64>, event: &Event<u64>) -> bool {
    reader.scope().admits(event.namespace()) && reader.terms().iter().any(|term| term.matches(event))
}

fn payloads_now(reader: &mut Subscription<u64>) -> Vec<u64> {
    let mut payloads = Vec::new();
    loop {
        match reader.try_recv() {
            Ok(delivery) => payloads.extend(delivery.events().map(|event| *event.payload())),
            Err(TryRecvError::Empty) => return payloads,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Readers of many terms in many namespaces receive what they asked for, once, while others with the same scope,
/// another one and part of it come and go. [11, 12]
#[test]
fn wide_scopes_are_given_what_they_asked_for() {
    let broker = broker_of(1_000);
    let mut readers: BTreeMap<usize, (usize, Subscription<u64>, Vec<u64>)> = BTreeMap::new();
    let mut opened = 0;
    for step in 0..300_u64 {
        let number = usize::try_from(step).expect("small");
        if step % 3 == 0 {
            // Some have the same request as others.
            readers.insert(opened, (opened % 7, broker.subscribe(wide(opened % 7)).expect("open"), Vec::new()));
            opened += 1;
        }
        if step % 5 == 4 && readers.len() > 3 {
            let gone = *readers.keys().nth(number % readers.len()).expect("one of them");
            let (kind, mut reader, expected) = readers.remove(&gone).expect("it is there");
            assert_eq!(payloads_now(&mut reader), expected, "{kind}");
        }
        let namespace = match step % 11 {
            0 => String::new(),
            10 => "elsewhere".into(),
            n => format!("n{}", (n * 7 + step) % 40),
        };
        let event = Event::new(format!("T{}", step % 7), "t", format!("k{}", step % 130), step)
            .with_namespace(namespace)
            .with_filter_keys([format!("k{}", step % 50)]);
        for (_, reader, expected) in readers.values_mut() {
            if asks(reader, &event) {
                expected.push(step);
            }
        }
        broker.publish(step + 1, [event]).expect("it rises");
    }
    assert!(readers.values().any(|(.., expected)| expected.len() > 10), "something matched");
    for (kind, mut reader, expected) in readers.into_values() {
        assert_eq!(payloads_now(&mut reader), expected, "{kind}");
    }
    assert_eq!(broker.stats().terms, 0);
}

/// A reader of a wide scope that is overtaken receives a loss if a match was lost, and only then. [22]
#[test]
fn a_wide_scope_loses_only_what_lies_in_it() {
    let broker = broker_of(2);
    let mut reader = broker.subscribe(wide(0).lag_policy(LagPolicy::Continue)).expect("open");
    let publish = |index, namespace: &str| {
        let event = Event::new("T0", "t", "x", index).with_namespace(namespace);
        broker.publish(index, [event]).expect("it rises");
    };
    (1..=5).for_each(|index| publish(index, "elsewhere"));
    assert_empty(&mut reader);
    publish(6, "n3");
    (7..=9).for_each(|index| publish(index, "elsewhere"));
    assert_eq!(error_now(&mut reader).lagged().expect("a loss").missed, 2, "6 and 7 are gone");
    publish(10, "");
    assert_eq!(indexes_now(&mut reader), [10], "what has no namespace passes");
}

/// One key in many namespaces: an event without a namespace is delivered to each reader once, whichever reader came
/// first or has left, and whatever else they ask for. [11, 12]
#[test]
fn an_event_without_a_namespace_reaches_each_namespace_of_its_key_once() {
    let term = || Term::new("Job", "web").expect("a term");
    let narrow = |name: &str| Request::<u64>::new().term(term()).namespace(name).start(Start::Latest);
    for order in 0..24 {
        let broker = broker_of(100);
        let mut requests = vec![
            narrow("a"),
            narrow("b"),
            narrow("a"),
            narrow("b").namespace("c"),
            narrow("*"),
            narrow("d").term(Term::key("web").expect("a key")),
        ];
        requests.rotate_left(order % 6);
        let mut readers: Vec<_> =
            requests.into_iter().map(|request| broker.subscribe(request).expect("open")).collect();
        drop(readers.remove(order / 6));
        for (index, namespace) in (1..).zip(["", "a", "b", "c", "d", "e", ""]) {
            broker.publish(index, [Event::new("Job", "t", "web", index).with_namespace(namespace)]).expect("it rises");
        }
        for reader in &mut readers {
            let names = reader.scope().named().map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>());
            let in_scope =
                |name: &str| name.is_empty() || names.as_ref().is_none_or(|names| names.iter().any(|n| n == name));
            let expected: Vec<u64> = (1..)
                .zip(["", "a", "b", "c", "d", "e", ""])
                .filter_map(|(index, name)| in_scope(name).then_some(index))
                .collect();
            assert_eq!(indexes_now(reader), expected, "{names:?} in order {order}");
        }
    }
}

/// A reader far behind along one chain, several, or many receives all of it in order, and the exact count of what was
/// evicted while it read. [G1, G3, 22]
#[test]
fn a_reader_far_behind_is_given_all_that_is_left() {
    const BATCHES: u64 = 3_000;
    for terms in [1, 3, 8, 40, 200_u64] {
        let broker = broker_of(BATCHES);
        let keys = (0..terms).map(|n| Term::key(format!("k{n}")).expect("a key"));
        let request = Request::<u64>::new().terms(keys).start(Start::Latest).lag_policy(LagPolicy::Continue);
        let mut reader = broker.subscribe(request).expect("open");
        // Every second batch matches.
        let mut index = 0;
        let mut publish = || {
            index += 1;
            let key = if index % 2 == 0 { format!("k{}", index / 2 % terms) } else { "other".into() };
            broker.publish(index, [Event::new("Job", "t", key, index).with_namespace("default")]).expect("it rises");
            index
        };
        (0..BATCHES).for_each(|_| _ = publish());
        let first: Vec<u64> = (0..500).map(|_| reader.try_recv().expect("there is more").index()).collect();
        assert!(first.iter().copied().eq((2..=1_000).step_by(2)), "{terms} terms");
        // It is after 1,000; 500 of the following batches are evicted.
        (0..1_500).for_each(|_| _ = publish());
        let error = error_now(&mut reader);
        let lagged = error.lagged().expect("a loss");
        assert_eq!((lagged.missed, lagged.resumes_at), (500, 1_501), "{terms} terms");
        let rest = indexes_now(&mut reader);
        assert!(rest.iter().copied().eq((1_502..=4_500).step_by(2)), "{terms} terms");
    }
}
