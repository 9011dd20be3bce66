//! What a recorder records: everything, once, in order, whatever bounds, rights and namespaces there are.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use crate::failing::fails;
use event_broker::testing::{Recorder, TIME_LIMIT};
use event_broker::{
    AccessRequest, Authorizer, Broker, Denial, Epoch, Event, Grant, Principal, RecvError, Request, Token, assert_ended,
    assert_nothing_published, assert_published,
};

fn event<P>(payload: P) -> Event<P> {
    Event::new("Job", "Changed", "web", payload)
}

fn indexes<P>(recorder: &Recorder<P>) -> Vec<u64> {
    recorder.recorded().iter().map(event_broker::Delivery::index).collect()
}

fn publish(broker: &Broker<u32>, indexes: impl IntoIterator<Item = u64>) {
    indexes.into_iter().for_each(|index| broker.publish(index, [event(0)]).unwrap());
}

#[test]
fn one_that_is_attached_before_has_all_and_one_after_has_what_is_buffered() {
    let before = Recorder::new();
    assert!(before.is_empty());
    let broker = Broker::<u32>::builder().max_batches(3).record(&before).build().unwrap();
    publish(&broker, 1..=5);
    let after = Recorder::of(&broker);
    publish(&broker, 6..=9);
    assert_eq!(indexes(&before), (1..=9).collect::<Vec<_>>());
    assert_eq!(indexes(&after), (3..=9).collect::<Vec<_>>());
    assert_eq!((before.len(), after.len()), (9, 7));
}

#[test]
fn take_takes_and_recorded_does_not() {
    let broker = Broker::<u32>::new();
    let recorder = Recorder::of(&broker);
    publish(&broker, [1, 2]);
    let outline = recorder.outline();
    assert_eq!((recorder.recorded().len(), recorder.recorded().len()), (2, 2));
    let taken = recorder.take();
    assert_eq!(taken.iter().map(event_broker::Delivery::index).collect::<Vec<_>>(), [1, 2]);
    assert_eq!((recorder.take().len(), recorder.len()), (0, 0));
    publish(&broker, [3]);
    assert_eq!((indexes(&recorder), outline.lines().len()), (vec![3], 2));
}

/// A delivery of a recorder is that of a reader of everything: it has the token to resume after it.
#[test]
fn what_is_recorded_is_a_whole_delivery() {
    let broker = Broker::<u32>::new();
    let recorder = Recorder::of(&broker);
    let mut reader = broker.subscribe(Request::new()).unwrap();
    broker.publish(4, [event(1), event(2)]).unwrap();
    let (taken, received) = (recorder.take().remove(0), reader.try_recv().unwrap());
    assert_eq!((taken.index(), taken.token()), (received.index(), received.token()));
    assert_eq!(taken.events().collect::<Vec<_>>(), received.events().collect::<Vec<_>>());
}

#[test]
fn two_brokers_come_in_the_order_of_publishing() {
    let (one, two, recorder) = (Broker::<u32>::new(), Broker::<u32>::new(), Recorder::new());
    publish(&two, [10]);
    recorder.attach(&one);
    recorder.attach(&two);
    publish(&one, [1]);
    publish(&two, [11]);
    publish(&one, [2]);
    assert_eq!(indexes(&recorder), [10, 1, 11, 2]);
    drop(one);
    publish(&two, [12]);
    assert_eq!(indexes(&recorder), [10, 1, 11, 2, 12], "the end of one broker is none of the recording's");
}

#[test]
fn one_that_is_dropped_is_no_longer_fed() {
    let (before, after) = (Arc::new(()), Arc::new(()));
    let broker = Broker::<Arc<()>>::builder().max_batches(1).build().unwrap();
    let recorder = Recorder::of(&broker);
    let clone = recorder.clone();
    // What is evicted may stay for a few batches more.
    let publish = |payload: &Arc<()>, index| {
        broker.publish(index, [event(Arc::clone(payload))]).unwrap();
        (1..=20).for_each(|more| broker.publish(index + more, [event(Arc::default())]).unwrap());
    };
    publish(&before, 100);
    assert_eq!(Arc::strong_count(&before), 2, "a recorder keeps what it has recorded");
    drop(recorder);
    assert_eq!((Arc::strong_count(&before), clone.len()), (2, 21), "clones share it");
    drop(clone);
    assert_eq!(Arc::strong_count(&before), 1);
    publish(&after, 200);
    assert_eq!(Arc::strong_count(&after), 1, "nothing is recorded for one who has gone");
}

#[test]
fn a_builder_feeds_no_recorder_that_has_gone() {
    let payload = Arc::new(());
    let recorder = Recorder::new();
    let broker = Broker::builder().max_batches(1).record(&recorder).build().unwrap();
    broker.publish(1, [event(Arc::clone(&payload))]).unwrap();
    assert_eq!(recorder.len(), 1);
    drop(recorder);
    let later = Arc::new(());
    broker.publish(2, [event(Arc::clone(&later))]).unwrap();
    (3..=30).for_each(|index| broker.publish(index, [event(Arc::default())]).unwrap());
    assert_eq!((Arc::strong_count(&payload), Arc::strong_count(&later)), (1, 1));
}

#[test]
fn a_buffer_of_one_loses_nothing_for_a_recorder() {
    let broker = Broker::<u32>::builder().max_batches(1).build().unwrap();
    let recorder = Recorder::of(&broker);
    publish(&broker, 1..=1000);
    assert_eq!(indexes(&recorder), (1..=1000).collect::<Vec<_>>());
}

struct Nobody;

impl Authorizer<u32> for Nobody {
    fn authorize(&self, _: &AccessRequest<'_>) -> Result<Grant, Denial> {
        Err(Denial::new("nobody may read"))
    }

    fn permits(&self, _: &Principal, _: &Event<u32>) -> bool {
        false
    }
}

#[test]
fn namespaces_and_rights_are_none_of_its_business() {
    let broker = Broker::<u32>::builder().authorizer(Nobody).build().unwrap();
    let recorder = Recorder::of(&broker);
    assert!(broker.subscribe(Request::new()).is_err());
    let events = ["", "default", "secret"].map(|namespace| event(0).with_namespace(namespace));
    broker.publish(1, events).unwrap();
    assert_published!(recorder, "1 Job/Changed web", "1 Job/Changed default:web", "1 Job/Changed secret:web");
    assert_eq!(broker.stats().subscriptions, 0);
}

#[test]
fn it_goes_on_over_a_reset_and_a_skip_and_stops_with_the_end() {
    let epoch = Epoch::from(7);
    let broker = Broker::<u32>::builder().epoch(epoch).build().unwrap();
    let recorder = Recorder::of(&broker);
    publish(&broker, [50]);
    broker.reset(3, Epoch::from(8));
    publish(&broker, [4]);
    let token: Token = "0000000000000008-90-1".parse().unwrap();
    broker.skip_to(token).unwrap();
    publish(&broker, [91]);
    assert_eq!(indexes(&recorder), [50, 4, 91]);
    broker.close();
    assert!(broker.publish(92, [event(0)]).is_err());
    assert_eq!(indexes(&recorder), [50, 4, 91], "what was refused is not recorded");
    assert_eq!(recorder.wait_for(3).len(), 3);
    assert_nothing_published!(recorder);
}

#[test]
fn what_is_refused_or_has_no_events_is_not_recorded() {
    let broker = Broker::<u32>::new();
    let recorder = Recorder::of(&broker);
    publish(&broker, [5]);
    assert!(broker.publish(4, [event(0)]).is_err());
    broker.publish(6, []).unwrap();
    assert_eq!((indexes(&recorder), broker.latest_index()), (vec![5], 6));
}

#[test]
fn it_keeps_no_broker_open() {
    let broker = Broker::<u32>::new();
    let (recorder, mut reader) = (Recorder::of(&broker), broker.subscribe(Request::new()).unwrap());
    drop(broker);
    assert_ended!(reader, RecvError::Closed);
    assert!(recorder.is_empty());
}

/// The publish wakes it: the limit of the wait is longer than that of the test. In most rounds it waits before that.
#[test]
fn a_wait_ends_with_the_batch_that_completes_the_number() {
    let broker = Broker::<u32>::new();
    let recorder = Recorder::of(&broker);
    for round in 0..20 {
        let (done, result) = mpsc::channel();
        let (begun, beginning) = mpsc::channel();
        let waiting = recorder.clone();
        thread::spawn(move || {
            begun.send(()).unwrap();
            done.send(waiting.wait_at_most(Duration::from_secs(3_600), 3).len()).unwrap();
        });
        beginning.recv().unwrap();
        (0..200).for_each(|_| thread::yield_now());
        publish(&broker, 3 * round + 1..=3 * round + 3);
        assert_eq!(result.recv_timeout(TIME_LIMIT), Ok(3));
        assert!(recorder.is_empty(), "a wait takes");
    }
}

/// Publishers of several threads: what is recorded is in the order in which readers see it.
#[test]
fn it_records_in_the_order_of_readers() {
    let broker = Broker::<u32>::builder().max_batches(1000).build().unwrap();
    let recorder = Recorder::of(&broker);
    let mut reader = broker.subscribe(Request::new()).unwrap();
    thread::scope(|scope| {
        for thread in 0..4 {
            let broker = &broker;
            scope.spawn(move || (0..100).for_each(|n| broker.publish(1, [event(thread * 100 + n)]).unwrap()));
        }
    });
    let payloads = |deliveries: &[event_broker::Delivery<u32>]| {
        deliveries.iter().flat_map(|delivery| delivery.events()).map(|event| *event.payload()).collect::<Vec<_>>()
    };
    let received: Vec<_> = std::iter::from_fn(|| reader.try_recv().ok()).collect();
    assert_eq!(payloads(&recorder.take()), payloads(&received));
    assert_eq!(received.len(), 400);
}

/// In the builder and again afterwards, or twice afterwards.
#[test]
fn one_that_is_attached_twice_records_once() {
    let recorder = Recorder::new();
    let broker = Broker::<u32>::builder().record(&recorder).build().unwrap();
    recorder.attach(&broker);
    recorder.attach(&broker);
    publish(&broker, [1]);
    assert_published!(recorder, "1 Job/Changed web");
}

#[test]
fn one_that_is_attached_to_nothing_is_no_witness() {
    let recorder = Recorder::<u32>::new();
    assert!(recorder.is_empty());
    for failed in [
        fails!(assert_nothing_published!(recorder)),
        fails!(assert_published!(recorder.by_debug(), "1 Job/Changed web = 0")),
    ] {
        assert!(failed.starts_with("this recorder is attached to no broker, expected Recorder::of"), "{failed}");
    }
    let _builder = Broker::<u32>::builder().record(&recorder);
    assert_nothing_published!(recorder);
}

/// What a wait counts, it takes, whoever else takes meanwhile.
#[test]
fn a_wait_takes_what_it_has_waited_for() {
    let broker = Broker::<u32>::builder().max_batches(4).build().unwrap();
    let recorder = Recorder::of(&broker);
    thread::scope(|scope| {
        for _ in 0..4 {
            let recorder = recorder.clone();
            scope.spawn(move || {
                for _ in 0..500 {
                    assert!(!recorder.wait_for(1).is_empty(), "fewer than it has waited for");
                }
            });
        }
        // More than all of them wait for, even if each takes what was there for another.
        let publishing = broker.clone();
        scope.spawn(move || publish(&publishing, 1..=200_000));
    });
    assert!(Recorder::of(&broker).wait_at_most(Duration::MAX, 1).len() > 1);
}
