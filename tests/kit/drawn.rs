//! Whatever the strategies draw can be published, recorded, outlined, encoded and decoded again.

use std::fs;
use std::path::PathBuf;

use event_broker::testing::strategies::{self, Ask, ScriptStep};
use event_broker::testing::{Golden, Outline, Recorder};
use event_broker::{
    Batch, Broker, Delivery, Event, Frame, FrameOptions, FrameReader, Key, Request, Start, Subscription, TryRecvError,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

fn publish_all<P: Clone>(broker: &Broker<P>, batches: &[Batch<P>]) {
    for batch in batches {
        assert!(broker.publish(batch.index(), batch.clone()).is_ok());
    }
}

fn with_events(batches: &[Batch<u16>]) -> Vec<Batch<u16>> {
    batches.iter().filter(|batch| !batch.events().is_empty()).cloned().collect()
}

fn events(delivery: &Delivery<u16>) -> Vec<Event<u16>> {
    delivery.events().cloned().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn batches_are_recorded_and_decoded_again(batches in strategies::batches(any::<u16>())) {
        let broker = Broker::builder().max_batches(100).build().unwrap();
        let recorder = Recorder::of(&broker);
        let reader = broker.subscribe(Request::new().namespace("*")).unwrap();
        publish_all(&broker, &batches);
        drop(broker);

        let batches = with_events(&batches);
        let recorded: Vec<_> =
            recorder.recorded().iter().map(|delivery| Batch::new(delivery.index(), events(delivery))).collect();
        prop_assert_eq!(&recorded, &batches);

        let mut sent = Vec::new();
        reader.into_frames(FrameOptions::new()).write_to(&mut sent).unwrap();
        let decoded: Vec<_> = FrameReader::<_, u16>::new(&sent[..])
            .filter_map(|frame| frame.unwrap().into_batch())
            .collect();
        prop_assert_eq!(decoded, batches);
    }

    /// One line an event, and each line is a line.
    #[test]
    fn every_event_has_one_line(batches in strategies::batches(any::<u16>())) {
        let expected: usize = batches.iter().map(|batch| batch.events().len()).sum();
        for outline in [Outline::of(&batches), Outline::by_debug(&batches), Outline::by_json(&batches)] {
            prop_assert_eq!(outline.lines().len(), expected);
            prop_assert_eq!(Outline::from(outline.to_string()), outline);
        }
    }

    /// Equal lines mean equal topic, type, namespace, key and filter keys.
    #[test]
    fn outlines_of_different_events_differ(one in strategies::event(Just(())), other in strategies::event(Just(()))) {
        let line = |event: &Event<()>| Outline::of(&Batch::new(1, vec![event.clone()])).to_string();
        prop_assert_eq!(line(&one) == line(&other), one == other);
        // Parts that are joined or moved make another event.
        let joined = one.filter_keys().iter().map(Key::as_str).collect::<Vec<_>>().join(", ");
        let scoped = format!("{}:{}", one.namespace(), one.key());
        let (topic, event_type) = (one.topic(), one.event_type());
        for similar in [
            Event::new(topic, event_type, one.key(), ()).with_namespace(one.namespace()).with_filter_key(joined),
            Event::new(topic, event_type, scoped, ()).with_filter_keys(one.filter_keys()),
            Event::new(format!("{topic}/{event_type}"), "", one.key(), ()),
            Event::new(topic, event_type, one.key().as_str().trim(), ()),
        ] {
            prop_assert_eq!(line(&one) == line(&similar), one == similar);
        }
    }

    /// What is normalised is a stream of frames still, and normalising it again changes nothing.
    #[test]
    fn golden_files_take_whatever_is_published(batches in strategies::batches(any::<u16>())) {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("kit/drawn.ndjson");
        let plain = || Golden::file(&path).heartbeats(true);
        prop_assume!(!batches.is_empty()); // no file is written of nothing
        plain().rewrite(true).assert(&batches);
        plain().assert(&batches);
        let sent: String = batches.iter().map(|batch| Frame::encode(batch).unwrap().as_str().to_owned()).collect();
        prop_assert_eq!(fs::read_to_string(&path).unwrap(), sent);

        let names = ["Topic", "Key", "Namespace", "FilterKeys", "Payload", "/Events/1/Type"];
        let normal = || names.into_iter().fold(plain().indexes_from_one().number_uuids(), Golden::volatile);
        normal().assert(&batches); // the file is normalised when it is read
        normal().rewrite(true).assert(&batches);
        normal().assert(&batches);
        let written = fs::read(&path).unwrap();
        let decoded: Vec<_> = FrameReader::<_, u16>::new(&written[..]).map(|frame| frame.unwrap()).collect();
        prop_assert_eq!(decoded.len(), batches.len());
        plain().assert(&written);
    }

    /// Readers of a script receive what their requests ask for, by the definition, and nothing is lost.
    #[test]
    fn scripts_run(script in strategies::script(any::<u16>())) {
        struct Reader {
            open: Subscription<u16>,
            ask: Ask,
            /// The batches before it, if it is to have none of them.
            from: usize,
            received: Vec<(u64, Vec<Event<u16>>)>,
        }

        let (broker, mut published, mut readers) = (Broker::new(), Vec::new(), Vec::<Reader>::new());
        for step in script {
            let count = readers.len();
            match step {
                ScriptStep::Publish(batch) => {
                    publish_all(&broker, std::slice::from_ref(&batch));
                    published.extend(with_events(&[batch]));
                }
                ScriptStep::Subscribe(ask) => {
                    let from = if ask.start == Start::Latest { published.len() } else { 0 };
                    let open = broker.subscribe(ask.request()).unwrap();
                    readers.push(Reader { open, ask, from, received: Vec::new() });
                }
                ScriptStep::Read(_) | ScriptStep::Leave(_) if count == 0 => {}
                ScriptStep::Read(reader) => {
                    let reader = &mut readers[reader % count];
                    reader.received.extend(reader.open.try_recv().map(|read| (read.index(), events(&read))));
                }
                ScriptStep::Leave(reader) => drop(readers.swap_remove(reader % count)),
            }
        }
        for mut reader in readers {
            while let Ok(read) = reader.open.try_recv() {
                reader.received.push((read.index(), events(&read)));
            }
            prop_assert_eq!(reader.open.try_recv().unwrap_err(), TryRecvError::Empty);
            let least = if let Start::Index(index) = reader.ask.start { index } else { 0 };
            let expected: Vec<_> = published
                .iter()
                .skip(reader.from)
                .filter(|batch| batch.index() >= least)
                .map(|batch| {
                    let events = batch.events().iter().filter(|event| reader.ask.matches(event));
                    (batch.index(), events.cloned().collect::<Vec<_>>())
                })
                .filter(|(_, events)| !events.is_empty())
                .collect();
            prop_assert_eq!(reader.received, expected);
        }
    }
}

/// The smallest value that a strategy shrinks to, if every value fails.
fn smallest<S: Strategy>(strategy: &S, is_kept: impl Fn(&S::Value) -> bool) -> S::Value {
    let mut runner = TestRunner::deterministic();
    loop {
        let mut tree = strategy.new_tree(&mut runner).unwrap();
        if !is_kept(&tree.current()) {
            continue;
        }
        // As the runner of proptest does: a step that no longer fails is taken back.
        let mut goes_on = tree.simplify();
        while goes_on {
            goes_on = if is_kept(&tree.current()) { tree.simplify() } else { tree.complicate() };
        }
        return tree.current();
    }
}

/// A failure is told by few events of plausible names, under small indexes.
#[test]
fn what_is_drawn_shrinks_well() {
    let batches = smallest(&strategies::batches(0_u16..9), |batches| batches.len() >= 2);
    let outline = Outline::by_debug(&batches);
    assert_eq!(outline.lines(), ["1 Job/JobRegistered default:web = 0", "2 Job/JobRegistered default:web = 0"]);

    let ask = smallest(&strategies::ask(), |_| true);
    assert_eq!(ask, Ask::default());
    assert_eq!(smallest(&strategies::name(), |_| true), "web");
    assert_eq!(smallest(&strategies::hostile_name(), |_| true), "");
    assert!(smallest(&strategies::script(0_u16..9), |_| true).is_empty());

    let repeats = |batches: &Vec<Batch<u16>>| batches.windows(2).any(|pair| pair[0].index() == pair[1].index());
    let batches = smallest(&strategies::batches(0_u16..9), repeats);
    assert_eq!(batches.iter().map(Batch::index).collect::<Vec<_>>(), [1, 1]);
}

/// Among what is drawn is all that the documentation promises.
#[test]
fn what_is_drawn_is_various() {
    let mut runner = TestRunner::deterministic();
    let strategy = strategies::batches(any::<u16>());
    let drawn: Vec<_> = (0..300).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect();
    let steps: Vec<_> = drawn
        .iter()
        .flat_map(|batches| batches.windows(2).map(|pair| pair[1].index().checked_sub(pair[0].index()).unwrap()))
        .collect();
    for (what, is_it) in [("repeat", 0..1), ("follow", 1..2), ("gap", 2..10), ("far gap", 10..u64::MAX)] {
        assert!(steps.iter().any(|step| is_it.contains(step)), "no {what}");
    }
    let batches: Vec<_> = drawn.iter().flatten().collect();
    assert!(batches.iter().any(|batch| batch.events().is_empty()) && batches.iter().any(|b| b.events().len() > 2));
    let keys: Vec<_> = batches.iter().flat_map(|batch| batch.events()).map(|event| event.key().as_str()).collect();
    for (what, is_it) in [
        ("empty", (|key| key.is_empty()) as fn(&str) -> bool),
        ("quoted", |key| key.contains('"')),
        ("long", |key| key.len() > 100),
        ("of other scripts", |key| key.chars().any(|c| c > '\u{3000}')),
        ("plausible", |key| key == "web"),
    ] {
        assert!(keys.iter().any(|key| is_it(key)), "no key is {what}");
    }
    assert!(batches.iter().all(|batch| Frame::encode(batch).is_ok()));
}
