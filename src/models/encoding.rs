//! What readers cache beside batches against evicting them: no byte is counted twice or forgotten: G6.
//! Frames are not built here: the models charge bytes as frames would.
//!
//! Broken by a charge that is not taken back once its batch is evicted, a refund that is subtracted twice, a charge
//! above the bound that evicts nothing, and room that is made before the batch is added to the total.

use std::sync::Arc;

use loom::sync::atomic::{AtomicU64, Ordering};

use super::{Payload, check, event, everything, read_or_lose, spawn};
use crate::{Broker, Delivery, LagPolicy, Observer, Subscription};

/// Counts the batches that are reported as evicted.
#[derive(Default)]
struct Evicted(AtomicU64);

impl Observer for Evicted {
    fn on_evict(&self, batches: u64, _: u64) {
        self.0.fetch_add(batches, Ordering::Relaxed);
    }
}

/// Returns a broker whose batches weigh what their payloads are.
fn weighed(bytes: u64) -> (Broker<Payload>, Arc<Evicted>) {
    let observed = Arc::new(Evicted::default());
    let builder = Broker::builder().max_bytes(bytes).weigher(|event| *event.payload()).observer(Arc::clone(&observed));
    (builder.build().expect("not zero"), observed)
}

/// Publishes the batches 1 to `count`, each of this weight. Returns a reader and their deliveries.
fn published(broker: &Broker<Payload>, count: u64, weight: u64) -> (Subscription<Payload>, Vec<Delivery<Payload>>) {
    let mut reader = broker.subscribe(everything().lag_policy(LagPolicy::Continue)).unwrap();
    let deliveries = (1..=count).map(|index| {
        broker.publish(index, [event("a", weight)]).unwrap();
        reader.try_recv().unwrap()
    });
    let deliveries = deliveries.collect();
    (reader, deliveries)
}

/// Caches so many bytes beside a batch. Returns whether they are kept.
fn cache(delivery: &Delivery<Payload>, bytes: u64) -> bool {
    delivery.batch.account().charge(bytes)
}

/// Asserts that the bytes counted are those of what is buffered, that they are within the bound, and that every
/// eviction was reported.
fn is_exact(broker: &Broker<Payload>, observed: &Evicted, bound: u64, all: &[(Delivery<Payload>, u64)]) {
    let stats = broker.stats();
    let oldest = stats.oldest_index.expect("the newest stays");
    let held: u64 = all
        .iter()
        .filter(|(delivery, _)| delivery.index() >= oldest)
        .map(|(delivery, cached)| *delivery.events().next().expect("one").payload() + cached)
        .sum();
    assert_eq!(stats.buffered_bytes, held, "{stats:?}");
    assert!(held <= bound || stats.buffered_batches == 1, "{stats:?}");
    assert_eq!(observed.0.load(Ordering::Relaxed), stats.evicted_batches);
    assert_eq!(stats.buffered_batches + stats.evicted_batches, stats.published_batches);
    broker.reset(100, crate::Epoch::from(9));
    assert_eq!(broker.stats().buffered_bytes, 0);
}

/// A reader caches something beside the batch that a publish evicts.
#[test]
fn a_charge_against_the_publish_that_evicts() {
    check(|| {
        let (broker, observed) = weighed(10);
        let (mut reader, mut deliveries) = published(&broker, 1, 6);
        let publisher = spawn({
            let broker = broker.clone();
            move || broker.publish(2, [event("a", 6)]).unwrap()
        });
        let first = deliveries.remove(0);
        let kept = if cache(&first, 3) { 3 } else { 0 };
        publisher.join().unwrap();
        let second = reader.try_recv().unwrap();
        is_exact(&broker, &observed, 10, &[(first, kept), (second, 0)]);
    });
}

/// A publish and a charge each fit, but not together: one of them makes room.
#[test]
fn a_charge_against_a_publish_that_fits() {
    check(|| {
        let (broker, observed) = weighed(10);
        let (mut reader, deliveries) = published(&broker, 2, 3);
        let publisher = spawn({
            let broker = broker.clone();
            move || broker.publish(3, [event("a", 3)]).unwrap()
        });
        let kept = if cache(&deliveries[1], 3) { 3 } else { 0 };
        assert_eq!(kept, 3, "it is in reach for as long as this");
        publisher.join().unwrap();
        let mut all: Vec<_> = deliveries.into_iter().zip([0, kept]).collect();
        all.push((reader.try_recv().unwrap(), 0));
        is_exact(&broker, &observed, 10, &all);
    });
}

/// Two readers charge their own batches, together more than the bound.
#[test]
fn two_charges_against_each_other() {
    check(|| {
        let (broker, observed) = weighed(10);
        let (_reader, mut deliveries) = published(&broker, 3, 2);
        let second = deliveries.remove(1);
        let other = spawn(move || {
            let kept = cache(&second, 4);
            (second, if kept { 4 } else { 0 })
        });
        let newest = deliveries.pop().expect("the third");
        assert!(cache(&newest, 3));
        let second = other.join().unwrap();
        is_exact(&broker, &observed, 10, &[(deliveries.remove(0), 0), second, (newest, 3)]);
    });
}

/// A reader was not the first to encode, and takes its charge back while the batch is evicted.
#[test]
fn a_refund_against_the_publish_that_evicts() {
    check(|| {
        let (broker, observed) = weighed(10);
        let (mut reader, mut deliveries) = published(&broker, 1, 4);
        let publisher = spawn({
            let broker = broker.clone();
            move || broker.publish(2, [event("a", 7)]).unwrap()
        });
        let first = deliveries.remove(0);
        let account = first.batch.account();
        if account.charge(3) {
            account.refund(3);
        }
        drop(account);
        publisher.join().unwrap();
        let second = reader.try_recv().unwrap();
        is_exact(&broker, &observed, 10, &[(first, 0), (second, 0)]);
    });
}

/// A charge evicts what another reader is about to read: it is read, or reported as lost.
#[test]
fn a_charge_that_evicts_against_a_read() {
    check(|| {
        let (broker, observed) = weighed(10);
        let mut other = broker.subscribe(everything().lag_policy(LagPolicy::Continue)).unwrap();
        let (_reader, deliveries) = published(&broker, 3, 3);
        let (mut read, mut lost) = (Vec::new(), 0);
        let encoding = spawn(move || {
            assert!(cache(&deliveries[2], 4));
            deliveries
        });
        read_or_lose(&mut other, &mut read, &mut lost);
        let deliveries = encoding.join().unwrap();
        read_or_lose(&mut other, &mut read, &mut lost);
        assert_eq!(read.len() as u64 + lost, 3, "{read:?}");
        is_exact(&broker, &observed, 10, &deliveries.into_iter().zip([0, 0, 4]).collect::<Vec<_>>());
    });
}
