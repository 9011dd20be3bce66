//! `nomad/stream/event_buffer_test.go`: what is buffered, and where a start begins in it.

use std::thread;
use std::time::Duration;

use event_broker::{LagPolicy, RecvError, Request, Start, Verdict};

use crate::common::{assert_empty, broker_of, error_now, in_time, indexes_now, job, publish_all};

/// `TestEventBufferFuzz`: 1,000 readers from one head, 1,000 appends at uneven intervals; each sees every index, in
/// order.
#[test]
fn event_buffer_fuzz() {
    const BATCHES: u64 = 1_000;
    let orders = in_time(|| {
        let broker = broker_of(BATCHES);
        let readers: Vec<_> = (0..1_000).map(|_| broker.subscribe(Request::new()).expect("open")).collect();
        let publisher = thread::spawn({
            let broker = broker.clone();
            move || {
                for index in 0..BATCHES {
                    broker.publish(index, [job("web")]).expect("rising");
                    // Mostly at once, now and then after a pause: one in n of length n.
                    for n in [8, 32, 128] {
                        if index.wrapping_mul(2_654_435_761) % n == 0 {
                            thread::sleep(Duration::from_micros(n));
                        }
                    }
                }
            }
        });
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
        let orders = runtime.block_on(async {
            let tasks: Vec<_> = readers
                .into_iter()
                .map(|mut reader| {
                    tokio::spawn(async move {
                        for expected in 0..BATCHES {
                            assert_eq!(reader.recv_async().await.expect("open").index(), expected);
                        }
                        BATCHES
                    })
                })
                .collect();
            let mut orders = Vec::new();
            for task in tasks {
                orders.push(task.await.expect("every index in order"));
            }
            orders
        });
        publisher.join().expect("it published all");
        orders
    });
    assert_eq!(orders, vec![BATCHES; 1_000]);
}

/// `TestEventBuffer_Slow_Reader`: size 10, indexes 1..10 and then 10..14, so that 10 is there twice; a reader that
/// holds the first batch finds the next one gone.
///
/// The server keeps one batch more than it says and its new head is 5; a buffer of 10 holds 10 here (semantics 5), so
/// it is 6.
#[test]
fn event_buffer_slow_reader() {
    let broker = broker_of(10);
    let mut slow = broker.subscribe(Request::new().lag_policy(LagPolicy::Continue)).expect("open");
    publish_all(&broker, 1..=10);
    assert_eq!(slow.recv().expect("the head").index(), 1);
    publish_all(&broker, 10..=14);
    let RecvError::Lagged(lagged) = error_now(&mut slow) else { panic!("it was overtaken") };
    assert_eq!((lagged.missed, lagged.through, lagged.resumes_at), (4, 5, 6));
    assert_eq!(indexes_now(&mut slow), [6, 7, 8, 9, 10, 10, 11, 12, 13, 14]);
}

/// `TestEventBuffer_Size`: 10 appends into 100.
#[test]
fn event_buffer_size() {
    let broker = broker_of(100);
    publish_all(&broker, 1..=10);
    assert_eq!(broker.stats().buffered_batches, 10);
}

/// `TestEventBuffer_MaxSize`: one batch of 100 events in a buffer of 10; the bound counts batches.
#[test]
fn event_buffer_max_size() {
    let broker = broker_of(10);
    let events: Vec<_> = (0..100).map(|n| job(&n.to_string())).collect();
    broker.publish(1, events).expect("the first");
    let stats = broker.stats();
    assert_eq!((stats.buffered_batches, stats.buffered_events, stats.evicted_batches), (1, 100, 0));
}

/// `TestEventBuffer_Emptying_Buffer`: the head is advanced past all there is, and a later append is reached from it.
///
/// A buffer is never emptied from its head here: it is read past its end, and restored empty.
#[test]
fn event_buffer_emptying_buffer() {
    let broker = broker_of(100);
    let mut reader = broker.subscribe(Request::new()).expect("open");
    publish_all(&broker, 1..=10);
    assert_eq!(indexes_now(&mut reader), (1..=10).collect::<Vec<_>>());
    for _ in 0..6 {
        assert_empty(&mut reader);
    }
    publish_all(&broker, [100]);
    assert_eq!(indexes_now(&mut reader), [100]);

    broker.reset(0, broker.epoch());
    let stats = broker.stats();
    assert_eq!((stats.buffered_batches, stats.oldest_index, stats.latest_index), (0, None, 0));
    let mut reader = broker.subscribe(Request::new()).expect("open");
    assert_empty(&mut reader);
    publish_all(&broker, [100]);
    assert_eq!(indexes_now(&mut reader), [100]);
}

/// Indexes 1 to 100 in a buffer of 90, and the first that a start delivers.
fn started_at(index: u64) -> (Verdict, Option<u64>) {
    let broker = broker_of(90);
    publish_all(&broker, 1..=100);
    let mut reader = broker.subscribe(Request::new().start(Start::Index(index))).expect("open");
    (reader.verdict(), reader.try_recv().ok().map(|delivery| delivery.index()))
}

/// `TestEventBuffer_StartAt`, requested index less than the head: the next there is, and the verdict says so.
#[test]
fn event_buffer_start_at_less_than_head() {
    assert_eq!(started_at(10), (Verdict::Lost { oldest: Some(11) }, Some(11)));
}

/// `TestEventBuffer_StartAt`, exact match of the head.
#[test]
fn event_buffer_start_at_exact_match_head() {
    assert_eq!(started_at(11), (Verdict::Whole, Some(11)));
}

/// `TestEventBuffer_StartAt`, exact match.
#[test]
fn event_buffer_start_at_exact_match() {
    assert_eq!(started_at(42), (Verdict::Whole, Some(42)));
}

/// `TestEventBuffer_StartAt`, greater than the tail.
///
/// The server delivers its newest batch at once. Nothing lower than what was asked for is delivered here
/// (semantics 8).
#[test]
fn event_buffer_start_at_greater_than_tail() {
    assert_eq!(started_at(500), (Verdict::Future { latest: 100 }, None));
    let broker = broker_of(90);
    publish_all(&broker, 1..=100);
    let mut reader = broker.subscribe(Request::new().start(Start::Index(500))).expect("open");
    publish_all(&broker, [101, 499, 500, 501]);
    assert_eq!(indexes_now(&mut reader), [500, 501]);
}
