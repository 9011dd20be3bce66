//! The broker against the naive one over scripts of operations: semantics 1 to 23 and 27, guarantees G1 to G5, G8 and,
//! as far as one thread can show it, G10.
//!
//! Scripts are drawn by proptest; those that once failed are written out as tests. `PROPTEST_CASES` sets how many are
//! drawn.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, unreachable_pub, reason = "tests")]

mod support;

use event_broker::{Broker, Epoch, Event, Request, Start, Term, TryRecvError, Verdict};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use support::bytes::{CONFIG_BYTES, OP_BYTES, from_bytes};
use support::driver::run_script;
use support::op::{Change, Config, EventSpec, Kind, Op, Origin, RequestSpec, Rung, StartSpec, Way};

/// Scripts made of bytes, a fixed number per step: removing a step removes its bytes.
fn scripts(longest: usize) -> impl Strategy<Value = (Config, Vec<Op>)> {
    use proptest::collection::vec;

    let bytes = (vec(any::<u8>(), CONFIG_BYTES), vec(vec(any::<u8>(), OP_BYTES), 1..longest));
    bytes.prop_map(|(config, ops)| {
        let config = Config::from_bytes(&config);
        let ops = ops.iter().map(|bytes| Op::from_bytes(bytes, config.guarded)).collect();
        (config, ops)
    })
}

fn config(cases: u32) -> ProptestConfig {
    let persistence = FileFailurePersistence::Direct("proptest-regressions/oracle.txt");
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(cases);
    ProptestConfig {
        cases,
        failure_persistence: Some(Box::new(persistence)),
        max_shrink_time: 30_000,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(2048))]

    /// G1 order, G2 no duplicates, G3 no silent loss, G4 atomic, G5 resumable, G8 fence, G10 liveness.
    #[test]
    fn g1_to_g5_g8_g10_the_broker_does_what_the_naive_one_does((config, script) in scripts(120)) {
        run_script(&config, &script);
    }

    /// The same from bytes alone, as in the fuzz targets.
    #[test]
    fn any_bytes_are_a_script(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let (config, script) = from_bytes(&bytes);
        run_script(&config, &script);
    }

    /// G5: after any token of a reader, another replica of the history continues exactly, even if it buffers more or
    /// less; what it no longer has, it reports as lost. [10]
    #[test]
    fn g5_a_token_goes_on_at_another_replica(
        commits in proptest::collection::vec((0_u64..3, 0_u8..3), 1..30),
        capacity in 1_u64..12,
        reads in proptest::collection::vec(any::<bool>(), 30),
    ) {
        let replica = |batches| Broker::<usize>::builder().max_batches(batches).epoch(Epoch::from(7)).build().unwrap();
        let (ours, theirs, short) = (replica(64), replica(64), replica(capacity));
        let request = || Request::new().term(Term::new("A", "k1").unwrap()).term(Term::new("A", "k2").unwrap());
        let mut reader = ours.subscribe(request()).unwrap();
        let mut tokens = Vec::new();
        let mut index = 1;
        for (number, (step, key)) in commits.iter().enumerate() {
            index += step;
            for broker in [&ours, &theirs, &short] {
                broker.publish(index, [Event::new("A", "t", format!("k{key}"), number)]).unwrap();
            }
            // Reads lag behind: each token is of a batch, of an empty read, or of a read that was not made.
            while reads[number] && reader.try_recv().is_ok() {
                tokens.push((reader.token(), reader.stats().batches));
            }
            tokens.push((reader.token(), reader.stats().batches));
        }
        let wanted: Vec<usize> = (0..commits.len()).filter(|number| commits[*number].1 > 0).collect();
        for (token, read) in tokens {
            let rest = &wanted[usize::try_from(read).unwrap()..];
            let read_on = |broker: &Broker<usize>| {
                let mut reader = broker.subscribe(request().start(Start::After(token))).unwrap();
                let mut seen = Vec::new();
                while let Ok(delivery) = reader.try_recv() {
                    seen.extend(delivery.events().map(|event| *event.payload()));
                }
                assert_eq!(reader.try_recv().unwrap_err(), TryRecvError::Empty);
                (seen, reader.verdict())
            };
            let (seen, verdict) = read_on(&theirs);
            assert_eq!(seen, rest);
            assert_eq!(verdict, Verdict::Whole);
            let (seen, verdict) = read_on(&short);
            assert!(rest.ends_with(&seen));
            assert!(seen == rest || matches!(verdict, Verdict::Lost { .. }), "{verdict:?}: {seen:?} of {rest:?}");
        }
    }
}

const PLAIN: Config = Config {
    max_batches: 2,
    max_events: None,
    max_bytes: None,
    origin: Origin::Whole,
    rising: false,
    guarded: false,
    observed: true,
};

fn event(key: &'static str) -> EventSpec {
    EventSpec { topic: "A", kind: "x", key, namespace: "n1", filter_keys: Vec::new(), weight: 1 }
}

fn publish(key: &'static str) -> Op {
    Op::Publish { step: 1, events: vec![event(key)], change: None }
}

fn subscribe(start: StartSpec, terms: &[(&'static str, &'static str)]) -> Op {
    let request = RequestSpec {
        start,
        terms: terms.to_vec(),
        filler: 0,
        namespaces: vec!["n1", "default"],
        types: Vec::new(),
        refuses: None,
        principal: "ann",
        continues: true,
        bell: false,
    };
    Op::Subscribe { slot: 0, request }
}

const fn read(kind: Kind) -> Op {
    Op::Read { slot: 0, kind }
}

/// A call of the authorizer used to swallow a cancellation that came before it.
#[test]
fn a_cancellation_outlives_a_call_of_the_authorizer() {
    let change = Op::AccessChanged { change: Change::Token("ann") };
    let all = subscribe(StartSpec::Oldest, &[]);
    run_script(&PLAIN, &[all.clone(), change.clone(), Op::Cancel { slot: 0 }, read(Kind::Try)]);
    run_script(&PLAIN, &[all, Op::Cancel { slot: 0 }, change, read(Kind::Try)]);
}

/// The oracle used to count a batch as read that its window did not return, because it was evicted in between.
#[test]
fn a_window_that_ends_early_leaves_the_token_where_it_was() {
    let across = Op::DrainAcross { slot: 0, take: 0, batches: 2, events: vec![event("k0")] };
    let Op::Subscribe { slot, request } = subscribe(StartSpec::Oldest, &[("A", "k0")]) else { unreachable!() };
    let closing = Op::Subscribe { slot, request: RequestSpec { continues: false, ..request } };
    let resume = subscribe(StartSpec::After(0), &[]);
    run_script(&PLAIN, &[publish("k0"), closing, publish("k0"), across, resume]);
}

/// The oracle used to expect that a dropped future removes the waker of an earlier poll, also if the future never
/// waited.
#[test]
fn a_future_that_is_ready_at_once_leaves_the_word_of_a_poll() {
    let config = Config { guarded: true, ..PLAIN };
    let Op::Subscribe { slot, request } = subscribe(StartSpec::Oldest, &[("A", "k0")]) else { unreachable!() };
    // Its grant expires by then.
    let bob = Op::Subscribe { slot, request: RequestSpec { principal: "bob", namespaces: vec!["*"], ..request } };
    let expire = Op::Advance { millis: 20, tick: false };
    run_script(&config, &[bob, read(Kind::Poll), expire, read(Kind::Async), publish("k0")]);
}

/// A window of a reader that waits for a place used to set its cursor, for statistics, to the beginning.
#[test]
fn a_reader_that_waits_for_its_place_does_not_lag() {
    let future = subscribe(StartSpec::Index(3), &[("A", "k0")]);
    run_script(&PLAIN, &[future, read(Kind::DrainAll), publish("k0"), publish("k0"), publish("k0")]);
}

/// A reader that had not read yet used to lag by what was evicted since it was opened.
#[test]
fn a_reader_that_has_not_begun_lags_by_what_is_buffered() {
    let oldest = subscribe(StartSpec::Oldest, &[("A", "k0")]);
    run_script(&PLAIN, &[oldest, publish("k0"), publish("k1"), publish("k1"), read(Kind::Try)]);
}

/// A reader of many terms that waited before its first read was not registered anywhere.
#[test]
fn a_reader_of_many_terms_is_woken_by_the_very_first_batch() {
    let terms: Vec<_> = ["k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8", "k9"].map(|key| ("A", key)).to_vec();
    for start in [StartSpec::Latest, StartSpec::Oldest, StartSpec::Index(3)] {
        for kind in [Kind::Poll, Kind::Readable, Kind::Stream] {
            let many = subscribe(start, &terms);
            run_script(&PLAIN, &[many, read(kind), publish("k3"), read(kind), publish("k4"), publish("k4")]);
        }
    }
}

/// A reader that waits for a place sleeps until it is reached, and then until a batch matches: on a thread, as a task,
/// by its bell. The batch that reaches the place does not match.
#[test]
fn a_reader_that_waits_for_its_place_is_woken_by_what_it_asked_for() {
    let ways = [Way::Recv, Way::Timeout, Way::Iter, Way::Frames].map(Kind::Thread);
    let tasks = [Kind::Poll, Kind::Readable, Kind::Stream, Kind::FrameStream, Kind::Ring(Rung::One)];
    let many: Vec<_> = ["k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8"].map(|key| ("A", key)).to_vec();
    for terms in [vec![("A", "k0")], vec![("A", "k0"), ("B", "k0")], many] {
        for (start, kind) in [StartSpec::Index(2), StartSpec::Index(3), StartSpec::Latest, StartSpec::Oldest]
            .into_iter()
            .flat_map(|start| ways.into_iter().chain(tasks).map(move |kind| (start, kind)))
        {
            let Op::Subscribe { slot, request } = subscribe(start, &terms) else { unreachable!() };
            let request = RequestSpec { bell: matches!(kind, Kind::Ring(_)), ..request };
            let waits = [Op::Subscribe { slot, request }, read(kind)];
            let others = [publish("k12"), publish("k12"), read(kind), publish("k12"), read(kind)];
            let script = [&waits[..], &others, &[publish("k0"), read(Kind::TryAll)]].concat();
            run_script(&Config { max_batches: 8, ..PLAIN }, &script);
        }
    }
}

/// A reader of many terms is woken after a skip, although the hits that it was notified of were evicted.
#[test]
fn a_reader_of_many_terms_is_woken_after_a_skip() {
    let many: Vec<_> = ["k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8"].map(|key| ("A", key)).to_vec();
    let skip = Op::SkipTo { step: 3, count: 1, back: 0 };
    for kind in [Kind::Poll, Kind::Readable, Kind::Ring(Rung::Windows), Kind::Ring(Rung::One), Kind::Thread(Way::Recv)]
    {
        let Op::Subscribe { slot, request } = subscribe(StartSpec::Oldest, &many) else { unreachable!() };
        let request = RequestSpec { bell: matches!(kind, Kind::Ring(_)), ..request };
        let begun = [Op::Subscribe { slot, request }, publish("k12"), read(kind), publish("k0"), skip.clone()];
        let rest = [read(Kind::Try), read(kind), read(kind), publish("k0"), read(Kind::TryAll)];
        run_script(&Config { max_batches: 8, ..PLAIN }, &[&begun[..], &rest].concat());
    }
}

/// Enough terms and namespaces that a node covers a term in all of them, joined in several holds of the lock.
#[test]
fn a_request_of_thousands_of_terms_is_matched_like_any_other() {
    let Op::Subscribe { slot, mut request } = subscribe(StartSpec::Oldest, &[("A", "k0"), ("*", "k2")]) else {
        unreachable!()
    };
    request.filler = 2100;
    let bell = RequestSpec { bell: true, ..request.clone() };
    let script = [
        publish("k0"),
        publish("k1"),
        Op::Subscribe { slot, request },
        Op::Subscribe { slot: 1, request: bell },
        read(Kind::Try),
        read(Kind::Poll),
        publish("k1"),
        publish("k2"),
        read(Kind::Poll),
        Op::Read { slot: 1, kind: Kind::Ring(Rung::Windows) },
        publish("k0"),
        publish("k1"),
        publish("k1"),
        Op::Read { slot: 1, kind: Kind::Ring(Rung::One) },
        read(Kind::DrainAll),
    ];
    run_script(&PLAIN, &script);
}

/// A window that continues from a backlog older than its reader into newer batches, when all of it is evicted: it must
/// report the loss.
#[test]
fn a_window_ends_where_its_reader_has_not_looked_at_what_is_evicted() {
    let later = [vec!["k0"], vec!["k1"], vec!["k0", "k1"], vec!["k1", "k0"]];
    for (take, keys) in (0..6).flat_map(|take| later.iter().map(move |keys| (take, keys))) {
        let config = Config { max_batches: 8, ..PLAIN };
        let across = Op::DrainAcross { slot: 0, take, batches: 10, events: keys.iter().copied().map(event).collect() };
        let script = [
            publish("k0"),
            publish("k1"),
            subscribe(StartSpec::Oldest, &[("A", "k0")]),
            publish("k0"),
            publish("k1"),
            publish("k0"),
            publish("k0"),
            across,
            read(Kind::TryAll),
        ];
        run_script(&config, &script);
    }
}

/// In a buffer whose segments hold several batches, the oldest of which is half evicted.
#[test]
fn every_index_is_found_in_a_buffer_that_begins_within_a_segment() {
    let config = Config { max_batches: 40, ..PLAIN };
    for batches in 38..52 {
        let starts = (-55..3).flat_map(|step| [StartSpec::Index(step), StartSpec::Exactly(step)]);
        let reads = starts.flat_map(|start| [subscribe(start, &[("A", "k0")]), read(Kind::TryAll)]);
        let script: Vec<_> = [Op::Burst { batches, events: vec![event("k0")] }].into_iter().chain(reads).collect();
        run_script(&config, &script);
    }
}

/// Segments of five batches, of which a reader has begun a run. What it has found is not searched again; meanwhile it
/// may be evicted, overwritten, or no longer match.
#[test]
fn a_run_that_is_half_read_is_overtaken_or_ended() {
    let config = Config { max_batches: 40, ..PLAIN };
    let terms = [vec![], vec![("A", "k0")], vec![("A", "k0"), ("A", "k1")]];
    let batches = [vec!["k0"], vec!["k2", "k0"], vec!["k1", "k0"]];
    for (terms, keys) in terms.iter().flat_map(|terms| batches.iter().map(move |keys| (terms, keys))) {
        let burst = |batches| Op::Burst { batches, events: keys.iter().copied().map(event).collect() };
        let begun = [subscribe(StartSpec::Oldest, terms), burst(40), read(Kind::Try), read(Kind::Poll)];
        for (evicted, kind) in (1..15).flat_map(|evicted| [(evicted, Kind::Try), (evicted, Kind::Poll)]) {
            let rest = [burst(evicted), read(kind), burst(2), read(kind), read(Kind::TryAll)];
            run_script(&config, &[begun.as_slice(), &rest].concat());
        }
        for kind in [Kind::Try, Kind::Poll, Kind::Block, Kind::DrainTake(1)] {
            let ends = [
                Op::Cancel { slot: 0 },
                Op::AccessChanged { change: Change::Token("ann") },
                Op::Reset { step: 3, same_epoch: false },
                Op::Close,
            ];
            for end in ends {
                run_script(&config, &[begun.as_slice(), &[end, read(kind), read(kind)]].concat());
            }
        }
    }
}

/// Indexes at the end of their range.
#[test]
fn the_last_index_is_an_index() {
    let far = Op::Publish { step: i64::MAX, events: vec![event("k0")], change: None };
    let ends = [StartSpec::Index(0), StartSpec::Exactly(0), StartSpec::Index(i64::MAX), StartSpec::Latest];
    for start in ends {
        let script = [subscribe(StartSpec::Index(i64::MAX), &[]), read(Kind::Poll)]
            .into_iter()
            .chain([far.clone(), far.clone(), far.clone(), publish("k0"), read(Kind::TryAll)])
            .chain([subscribe(start, &[]), read(Kind::TryAll), publish("k0"), read(Kind::TryAll)])
            .collect::<Vec<_>>();
        run_script(&PLAIN, &script);
    }
}

/// An event whose key is also one of its filter keys hits its node once. If it hit twice, the run of matches after it
/// would begin one batch too early, at one that does not match.
#[test]
fn an_event_hits_a_node_once_whatever_keys_lead_there() {
    let twice = EventSpec { filter_keys: vec!["k1", "k1"], ..event("k1") };
    let twice = Op::Publish { step: 1, events: vec![twice], change: None };
    for kind in [Kind::DrainAll, Kind::TryAll] {
        let begun = [subscribe(StartSpec::Oldest, &[("A", "k1")]), publish("k0"), publish("k1"), twice.clone()];
        let script = [begun.as_slice(), &[publish("k1"), read(kind)]].concat();
        run_script(&Config { max_batches: 8, ..PLAIN }, &script);
    }
}
