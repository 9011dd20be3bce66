//! Fixed workloads on one thread, for counting instructions with `benches/guard`: `instructions BODY ROUNDS`.
//!
//! The program counts and times nothing itself. The set-up of a body is the same for any number of rounds.

use std::hint::black_box;
use std::process::ExitCode;
use std::task::{Context, Waker};

use event_broker::{Broker, Event, EventType, Key, Namespace, Request, Start, Subscription, Term, Topic};

use support::event::{Payload, Plan, event, key};
use support::inline::Inline;
use support::ours::{self, Ours};
use support::{Structure, Want};

mod support;

/// A body performs its operation for a number of rounds.
type Body = fn(rounds: u64);

/// Name, body, and the operations in a round.
const BODIES: [(&str, Body, u64); 26] = [
    ("build_and_drop_events", build_and_drop_events, 1),
    ("publish_no_reader", publish_no_reader, 1),
    ("publish_everything_hit", |rounds| publish_to(rounds, &Want::Everything), 1),
    ("build_publish_free_16", build_publish_free_16, 1),
    ("publish_narrow_hit", |rounds| publish_to(rounds, &Want::Key(key(1))), 1),
    ("publish_narrow_miss", |rounds| publish_to(rounds, &Want::Key(key(2))), 1),
    ("drain_everything", |rounds| read_windows::<Ours<false>>(rounds, &everything()), READERS * 64),
    ("drain_default_namespace", |rounds| read_windows::<Ours<false>>(rounds, &scoped()), READERS * 64),
    ("try_recv_everything", |rounds| read_windows::<Ours<true>>(rounds, &everything()), READERS * 64),
    ("drain_live", |rounds| read_live(rounds, |reader| drained(reader) == 1), READERS),
    ("try_recv_live", |rounds| read_live(rounds, |reader| reader.try_recv().is_ok()), READERS),
    ("try_recv_live_until_empty", |rounds| read_live(rounds, received_all), READERS),
    ("poll_recv_live_until_pending", |rounds| read_live(rounds, polled_all), READERS),
    ("publish_and_drain_narrow", |rounds| read_windows::<Ours<false>>(rounds, &Plan::selective(READERS)), 64),
    ("drain_partial_topic", |rounds| read_partial(rounds, 64, topic), READERS * 64),
    ("drain_partial_namespace", |rounds| read_partial(rounds, 64, topic_in_namespace), READERS * 64),
    ("drain_partial_keys", |rounds| read_partial(rounds, 64, three_keys), READERS * 64),
    ("drain_partial_topic_live", |rounds| read_partial(rounds, 1, topic), READERS),
    ("drain_partial_namespace_live", |rounds| read_partial(rounds, 1, topic_in_namespace), READERS),
    ("drain_partial_keys_live", |rounds| read_partial(rounds, 1, three_keys), READERS),
    ("subscribe_drop", subscribe_drop, 1),
    ("frame_whole", frame_whole, READERS),
    ("frame_first", |rounds| frame_first(rounds, &[Want::Everything], 1), 1),
    ("frame_first_of_16", |rounds| frame_first(rounds, &[Want::Everything], 16), 1),
    ("frame_parts_of_16", |rounds| frame_first(rounds, &each_of_16(), 16), 16),
    ("scan_backlog_for_many_terms", |rounds| scan_backlog_for_many_terms(10 * rounds), 10),
];

const READERS: u64 = 100;

fn everything() -> Plan {
    Plan::everything()
}

fn scoped() -> Plan {
    Plan { all: Want::DefaultNamespace, ..Plan::everything() }
}

/// The first read of a reader of 4,096 terms, by the batches of the backlog that it looks through. They are many, because
/// joining so many nodes takes some hundred thousand instructions more or less, as the hashes fall.
fn scan_backlog_for_many_terms(batches: u64) {
    let broker = Broker::<u64>::builder().max_batches(10_000).build().expect("a broker");
    for index in 1..=batches {
        broker.publish(index, [Event::new("Job", "Changed", "web", index)]).expect("rising");
    }
    let terms = (0..4_096).map(|number| Term::new("Job", format!("key {number}")).expect("a key"));
    let mut reader = broker.subscribe(Request::new().terms(terms)).expect("open");
    assert!(black_box(reader.try_recv()).is_err());
}

/// The part of the bodies below that is not publishing.
fn build_and_drop_events(rounds: u64) {
    let payload = Payload::of(64);
    for _ in 0..rounds {
        drop(black_box(vec![event(1, &payload)]));
    }
}

fn publish_no_reader(rounds: u64) {
    publish(rounds, &[]);
}

/// Publishes to a reader that never reads.
fn publish_to(rounds: u64, want: &Want) {
    publish(rounds, std::slice::from_ref(want));
}

fn publish(rounds: u64, wants: &[Want]) {
    let (mut ours, _readers) = Ours::<false>::open(wants, 64);
    let payload = Payload::of(64);
    for index in 1..=rounds {
        ours.publish((index, vec![event(1, &payload)]));
    }
    assert_eq!(ours.broker.stats().published_batches, rounds);
}

/// Builds and publishes batches of 16 events, to a reader that never reads, and frees what they evict.
fn build_publish_free_16(rounds: u64) {
    let (mut ours, _readers) = Ours::<false>::open(&[Want::Everything], 64);
    let payload = Payload::of(64);
    let keys: Vec<_> = (0..16).map(key).collect();
    for index in 1..=rounds {
        let build = |key: &Key| {
            Event::new("Allocation", "AllocationUpdated", key.as_str(), payload.clone())
                .with_namespace("default")
                .with_filter_key("web")
        };
        ours.publish((index, keys.iter().map(build).collect()));
    }
}

/// Publishes windows of 64, which every reader concerned reads.
fn read_windows<S: Structure>(rounds: u64, plan: &Plan) {
    let readers = usize::try_from(READERS).expect("few");
    let mut rig = Inline::<S>::new(readers, plan.clone());
    for _ in 0..rounds {
        let window = rig.prepare();
        rig.publish(window);
        let expected = rig.expected();
        assert_eq!(rig.drain(), expected);
    }
}

/// Publishes one batch at a time, which every reader reads before the next.
fn read_live(rounds: u64, read: fn(&mut Subscription<Payload>) -> bool) {
    let broker = ours::broker(64);
    let mut readers: Vec<_> = (0..READERS).map(|_| ours::subscribe(&broker, &Want::Everything)).collect();
    let payload = Payload::of(64);
    for index in 1..=rounds {
        ours::publish(&broker, index, [event(1, &payload)]);
        assert!(readers.iter_mut().all(read));
    }
}

fn drained(reader: &mut Subscription<Payload>) -> usize {
    reader.drain().expect("not overtaken").iter().map(black_box).count()
}

fn topic() -> Request<u64> {
    Request::new().namespace("*").term(Term::topic("topic 1").expect("a topic"))
}

fn topic_in_namespace() -> Request<u64> {
    Request::new().namespace("namespace 1").term(Term::topic("topic 1").expect("a topic"))
}

fn three_keys() -> Request<u64> {
    let keys = ["key 1", "key 2", "key 3"].map(|key| Term::new("topic 1", key).expect("a topic and a key"));
    Request::new().namespace("*").terms(keys)
}

/// Publishes windows of batches of ten events, each of one of five topics, three namespaces and twenty keys. Every
/// reader reads those that it requested. A topic is hit by most batches, a topic in one namespace by half of them, and
/// three keys of a topic by a quarter. A batch has some twenty links, of readers that never read.
fn read_partial(rounds: u64, window: u64, request: fn() -> Request<u64>) {
    let broker = Broker::<u64>::builder().max_batches(1_024).build().expect("a broker");
    let topics: Vec<Topic> = (0..5).map(|number| Topic::from(format!("topic {number}").as_str())).collect();
    let keys: Vec<Key> = (0..20).map(|number| Key::from(format!("key {number}").as_str())).collect();
    let namespaces = ["namespace 0", "namespace 1", "namespace 2"].map(Namespace::from_static);
    let terms = topics.iter().flat_map(|topic| {
        let keys = keys.iter().map(move |key| Term::new(topic, key).expect("a topic and a key"));
        keys.chain([Term::topic(topic).expect("a topic")])
    });
    let _others: Vec<_> =
        terms.map(|term| broker.subscribe(Request::new().namespace("*").term(term)).expect("allowed")).collect();
    let mut readers: Vec<_> = (0..READERS).map(|_| broker.subscribe(request()).expect("allowed")).collect();
    let mut state = 1_u64;
    let mut below = |bound: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((state >> 33) % bound).expect("small")
    };
    let event_type = EventType::from_static("Changed");
    for round in 0..rounds {
        for index in round * window + 1..=(round + 1) * window {
            let mut event = || {
                let (topic, key) = (topics.get(below(5)).cloned(), keys.get(below(20)).cloned());
                let namespace = namespaces.get(below(3)).cloned().unwrap_or_default();
                let (topic, key) = (topic.expect("one of five"), key.expect("one of twenty"));
                Event::new(topic, event_type.clone(), key, index).with_namespace(namespace)
            };
            ours::publish(&broker, index, (0..10).map(|_| event()).collect::<Vec<_>>());
        }
        for reader in &mut readers {
            for delivery in &mut reader.drain().expect("not overtaken") {
                black_box(delivery.len());
            }
        }
    }
}

fn received_all(reader: &mut Subscription<Payload>) -> bool {
    reader.try_recv().is_ok() && reader.try_recv().is_err()
}

/// As a task that takes what there is, and waits for more.
fn polled_all(reader: &mut Subscription<Payload>) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    reader.poll_recv(&mut context).is_ready() && reader.poll_recv(&mut context).is_pending()
}

fn subscribe_drop(rounds: u64) {
    let broker = ours::broker(64);
    let _neighbour = ours::subscribe(&broker, &Want::Key(key(2)));
    for _ in 0..rounds {
        drop(black_box(ours::subscribe(&broker, &Want::Key(key(1)))));
    }
}

/// Publishes, and every reader takes the frame of it.
fn frame_whole(rounds: u64) {
    let broker = ours::broker(64);
    let request = || Request::new().namespace("*").start(Start::Latest);
    let mut readers: Vec<_> = (0..READERS).map(|_| broker.subscribe(request()).expect("allowed")).collect();
    let payload = Payload::of(2_048);
    for index in 1..=rounds {
        ours::publish(&broker, index, [event(1, &payload)]);
        for reader in &mut readers {
            for delivery in &mut reader.drain().expect("not overtaken") {
                black_box(delivery.frame().expect("plain data").as_bytes());
            }
        }
    }
}

fn each_of_16() -> Vec<Want> {
    (0..16).map(|number| Want::Key(key(number))).collect()
}

/// Publishes batches of so many events, whose frames one reader of everything or a reader of each event encodes.
fn frame_first(rounds: u64, wants: &[Want], events: u64) {
    let broker = ours::broker(64);
    let mut readers: Vec<_> = wants.iter().map(|want| ours::subscribe(&broker, want)).collect();
    let payload = Payload::of(2_048);
    for index in 1..=rounds {
        ours::publish(&broker, index, (0..events).map(|number| event(number, &payload)).collect::<Vec<_>>());
        for reader in &mut readers {
            for delivery in &mut reader.drain().expect("not overtaken") {
                black_box(delivery.frame().expect("plain data").as_bytes());
            }
        }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--list"] => {
            for (name, _, operations) in BODIES {
                println!("{name} {operations}");
            }
            ExitCode::SUCCESS
        }
        [name, rounds] => {
            let body = BODIES.into_iter().find(|(known, ..)| known == name);
            let (Some((_, body, _)), Ok(rounds)) = (body, rounds.parse()) else {
                eprintln!("expected a body of --list and a number of rounds, got {name} {rounds}");
                return ExitCode::from(2);
            };
            body(rounds);
            ExitCode::SUCCESS
        }
        // As `cargo bench` calls it among the others.
        _ => {
            println!("instructions are counted by benches/guard");
            ExitCode::SUCCESS
        }
    }
}
