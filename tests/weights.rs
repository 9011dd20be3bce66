//! Bounds in bytes: what counts, who weighs, and what encoding does to a full buffer (semantics 5, 19 and 25).

use event_broker::{Broker, BuildErrorKind, Event};

fn event<P>(payload: P) -> Event<P> {
    Event::new("Job", "JobRegistered", "web", payload)
}

/// Without a weigher a bound is possible only for payloads whose size the broker knows.
#[test]
fn a_bound_in_bytes_needs_a_weigher_for_what_owns_memory() {
    let refused = Broker::<Vec<u8>>::builder().max_bytes(1).build().expect_err("a payload owns memory");
    assert_eq!((refused.kind, refused.setting, refused.value), (BuildErrorKind::NoWeigher, "max_bytes", 1));
    let says = refused.to_string();
    assert!(says.contains("Builder::weigher") && says.contains("weigh_encoded"), "{says}");
    assert!(Broker::<Vec<u8>>::builder().max_bytes(1).weigher(|_| 1).build().is_ok());
    assert!(Broker::<Vec<u8>>::builder().weigher(|_| 1).build().is_ok(), "nothing is bounded");
    assert!(Broker::<&'static str>::builder().max_bytes(1).build().is_ok());
}

/// The default weigher counts the event and its names: a buffer of plain payloads holds as many as fit.
#[test]
fn plain_payloads_weigh_their_size_and_their_names() {
    let weight = size_of::<Event<[u64; 100]>>() as u64;
    let broker = Broker::<[u64; 100]>::builder().max_bytes(10 * weight).build().expect("nothing on the heap");
    broker.publish(1, [Event::new("", "", "", [0; 100])]).expect("rising");
    assert_eq!(broker.stats().buffered_bytes, weight);
    broker.publish(2, [Event::new("topic", "type", "key", [0; 100]).with_namespace("name")]).expect("rising");
    assert_eq!(broker.stats().buffered_bytes, 2 * weight + 16);
    for index in 3..100 {
        broker.publish(index, [event([0; 100])]).expect("rising");
    }
    assert_eq!(broker.stats().buffered_batches, 9);
}

#[cfg(feature = "json")]
mod encoded {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Mutex};

    use event_broker::{Batch, Frame, LagPolicy, Observer, Request, Start, Term};
    use serde::{Serialize, Serializer};

    use super::*;

    /// What an event weighs beside its frame: the head of the frame, what ends it, and no more.
    fn json_len<P: Serialize>(event: Event<P>, index: u64) -> u64 {
        let frame = Frame::encode(&Batch::new(index, vec![event])).expect("plain data");
        (frame.as_str().len() - format!("{{\"Index\":{index},\"Events\":[]}}\n").len()) as u64
    }

    #[test]
    fn an_event_weighs_as_much_as_its_json() {
        let broker = Broker::<String>::builder().max_bytes(1 << 20).weigh_encoded().build().expect("a bound");
        let payloads = ["", "plain", "\"quoted\"\n", "ünïcödé", "\u{1}"];
        let mut expected = 0;
        for (index, payload) in (1..).zip(payloads) {
            let event = || event(String::from(payload)).with_namespace("default").with_filter_keys(["a", "b"]);
            broker.publish(index, [event(), event()]).expect("rising");
            expected += 2 * json_len(event(), index);
            assert_eq!(broker.stats().buffered_bytes, expected);
        }
    }

    /// Counts its serializations, each of which ends in one of several ways.
    struct Probe(Ending, Arc<AtomicU64>);

    #[derive(Clone, Copy)]
    enum Ending {
        Well,
        Refuses,
        Panics,
    }

    impl Serialize for Probe {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            self.1.fetch_add(1, Ordering::Relaxed);
            match self.0 {
                Ending::Well => serializer.serialize_str(&"x".repeat(1_000)),
                Ending::Refuses => Err(serde::ser::Error::custom("no")),
                Ending::Panics => panic!("no"),
            }
        }
    }

    #[test]
    fn what_refuses_to_be_json_weighs_its_size_and_what_panics_is_not_published() {
        let broker = Broker::<Probe>::builder().max_bytes(1 << 20).weigh_encoded().build().expect("a bound");
        let probe = |ending| [Event::new("topic", "type", "key", Probe(ending, Arc::default()))];
        broker.publish(1, probe(Ending::Refuses)).expect("rising");
        let refused = broker.stats();
        assert_eq!(refused.buffered_bytes, size_of::<Event<Probe>>() as u64 + 12);
        let panicked = std::panic::AssertUnwindSafe(|| broker.publish(2, probe(Ending::Panics)).is_ok());
        assert!(std::panic::catch_unwind(panicked).is_err());
        assert_eq!(broker.stats(), refused);
        broker.publish(2, probe(Ending::Well)).expect("rising");
        assert!(broker.stats().buffered_bytes > refused.buffered_bytes + 1_000);
    }

    /// The reported evictions: how many batches, and through which index.
    #[derive(Default)]
    struct Evictions(Mutex<Vec<(u64, u64)>>);

    impl Observer for Evictions {
        fn on_evict(&self, batches: u64, through: u64) {
            self.0.lock().expect("sound").push((batches, through));
        }
    }

    /// Encoding evicts as publishing does: the oldest first, reported to the observer, counted, and reported as lost to
    /// readers that have not read it.
    #[test]
    fn encoding_evicts_the_oldest_and_notifies() {
        let observed = Arc::new(Evictions::default());
        let encoded = Arc::new(AtomicU64::new(0));
        let builder = Broker::<Probe>::builder().max_bytes(3_500).weigher(|_| 500).observer(Arc::clone(&observed));
        let broker = builder.build().expect("a bound");
        let mut reader = broker.subscribe(Request::new()).expect("open");
        let narrow = Request::new().term(Term::key("web").expect("a key")).lag_policy(LagPolicy::Continue);
        let mut slow = broker.subscribe(narrow).expect("open");
        for index in 1..=6 {
            broker.publish(index, [event(Probe(Ending::Well, Arc::clone(&encoded)))]).expect("rising");
        }
        // Older than this reader's nodes: losses are recorded, not linked.
        let late = Request::new().term(Term::key("web").expect("a key")).namespace("late");
        let mut late = broker.subscribe(late.start(Start::Index(1)).lag_policy(LagPolicy::Continue)).expect("open");
        // Each has links for two nodes: of the key in the namespace, and without one.
        assert_eq!(broker.stats().buffered_batches, 6);
        assert!((3_001..=3_500).contains(&broker.stats().buffered_bytes), "{:?}", broker.stats());
        assert!(observed.0.lock().expect("sound").is_empty());

        let deliveries: Vec<_> = (0..6).map(|_| reader.try_recv().expect("buffered")).collect();
        let newest = deliveries.last().expect("six");
        let frame = newest.frame().expect("JSON");
        let stats = broker.stats();
        // The frame takes more than 1,000 bytes, and less than 1,500.
        assert_eq!((stats.evicted_batches, stats.buffered_batches, stats.oldest_index), (3, 3, Some(4)));
        assert!(stats.buffered_bytes > 2_500 && stats.buffered_bytes <= 3_500, "{stats:?}");
        assert_eq!(*observed.0.lock().expect("sound"), [(3, 3)]);
        for reader in [&mut slow, &mut late] {
            let lagged = reader.try_recv().expect_err("it lost three");
            assert!(lagged.to_string().contains('3'), "{lagged}");
            assert_eq!(reader.try_recv().expect("the oldest").index(), 4);
        }

        // Buffered batches are encoded once each; evicted ones leave nothing behind.
        assert_eq!(newest.frame().expect("JSON").as_ptr(), frame.as_ptr());
        assert_eq!(encoded.load(Ordering::Relaxed), 1);
        let first = deliveries.first().expect("six");
        let again = first.frame().expect("JSON");
        assert_ne!(first.frame().expect("JSON").as_ptr(), again.as_ptr(), "nothing is kept beside what was evicted");
        assert_eq!(broker.stats(), stats);

        broker.skip_to(skipped(&broker)).expect("ahead");
        assert_eq!(broker.stats().buffered_bytes, 0);
    }

    /// A place ahead of the broker.
    fn skipped<P>(broker: &Broker<P>) -> event_broker::Token {
        let text = broker.token().to_string();
        let (epoch, _) = text.split_once('-').expect("a token");
        format!("{epoch}-100-1").parse().expect("a token")
    }

    /// Payloads that a reader's frame evicts are dropped outside every lock, and their panics do not reach that reader.
    #[test]
    fn what_a_frame_evicts_is_dropped_outside_locks_and_may_panic() {
        struct Sour(Option<event_broker::WeakBroker<Sour>>);
        impl Serialize for Sour {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&"x".repeat(900))
            }
        }
        impl Drop for Sour {
            fn drop(&mut self) {
                if let Some(broker) = self.0.take().and_then(|weak| weak.upgrade()) {
                    assert!(broker.stats().buffered_batches > 0);
                    panic!("sour");
                }
            }
        }
        let broker = Broker::<Sour>::builder().max_bytes(2_000).weigher(|_| 100).build().expect("a bound");
        let mut reader = broker.subscribe(Request::new()).expect("open");
        for index in 1..=10 {
            let weak = (index < 10).then(|| broker.downgrade());
            broker.publish(index, [event(Sour(weak))]).expect("rising");
        }
        let newest = loop {
            let delivery = reader.try_recv().expect("buffered");
            if delivery.index() == 10 {
                break delivery;
            }
        };
        let frame = newest.frame().expect("a panic of another payload is caught");
        assert!(frame.len() > 900);
        let stats = broker.stats();
        assert!(stats.buffered_batches < 10 && stats.buffered_bytes <= 2_000, "{stats:?}");
        // The rest is dropped after the broker.
        drop((newest, reader, broker));
    }

    /// Threads that encode, publish and restore at once: afterwards nothing is counted that is not there.
    #[test]
    fn bytes_are_exact_after_races() {
        let broker = Broker::<String>::builder().max_bytes(20_000).weigher(|e| e.payload().len() as u64).build();
        let broker = broker.expect("a bound");
        std::thread::scope(|scope| {
            for number in 0..3 {
                let request = Request::new().lag_policy(LagPolicy::Continue);
                let request = if number == 0 { request } else { request.term(Term::key("web").expect("a key")) };
                let mut reader = broker.subscribe(request).expect("open");
                scope.spawn(move || {
                    while let Ok(delivery) = reader.recv().or_else(|error| match error.lagged() {
                        Some(_) => reader.recv(),
                        None => Err(error),
                    }) {
                        let frame = if number == 1 { delivery.frame_with_token() } else { delivery.frame() };
                        assert!(frame.expect("text").len() > 300);
                        if delivery.index() >= 3_000 {
                            return;
                        }
                    }
                });
            }
            for index in 1..=3_000 {
                let events = [event("x".repeat(300)), Event::new("Job", "JobRegistered", "db", "y".repeat(20))];
                broker.publish(index, events).expect("rising");
                if index % 64 == 0 {
                    std::thread::yield_now();
                }
            }
        });
        let stats = broker.stats();
        assert!(stats.buffered_bytes <= 20_000, "{stats:?}");
        assert_eq!(stats.published_batches, stats.evicted_batches + stats.buffered_batches);
        broker.reset(5_000, event_broker::Epoch::from(7));
        assert_eq!(broker.stats().buffered_bytes, 0);
    }
}
