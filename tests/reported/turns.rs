//! Reads that do not return, missed deadlines, tasks that do not yield, and doorbells that stay silent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use event_broker::{
    Authorizer, Broker, Event, LagPolicy, Principal, RecvError, RecvTimeoutError, Request, Start, Subscription,
    TryRecvError,
};

use crate::common::{WakeCount, asks, broker_of, in_time, job, panics, publish_all};

/// A predicate that publishes another batch for each event that it is called for, and refuses it.
fn publishes_and_refuses(broker: &Broker<u64>, asked: &Arc<AtomicU64>) -> Request<u64> {
    let (broker, asked) = (broker.downgrade(), Arc::clone(asked));
    Request::new().filter(move |_| {
        let number = asked.fetch_add(1, Ordering::SeqCst);
        assert!(number < 10_000, "a read does not return");
        let broker = broker.upgrade().expect("it is open");
        broker.publish(broker.latest_index() + 1, [job("web")]).expect("rising");
        false
    })
}

/// A read examines what was published before it began, however much is published meanwhile. [20]
#[test]
fn a_read_looks_at_what_was_there_when_it_began() {
    type Read = fn(&mut Subscription<u64>) -> bool;
    let reads: [(&str, Read); 4] = [
        ("try_recv", |reader| matches!(reader.try_recv(), Err(TryRecvError::Empty))),
        ("recv_timeout", |reader| matches!(reader.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Timeout))),
        ("recv_deadline", |reader| matches!(reader.recv_deadline(Instant::now()), Err(RecvTimeoutError::Timeout))),
        ("drain", |reader| reader.drain().is_ok_and(|mut window| window.iter().next().is_none())),
    ];
    for (name, read) in reads {
        let (broker, asked) = (broker_of(100_000), Arc::default());
        let mut reader = broker.subscribe(publishes_and_refuses(&broker, &asked)).expect("open");
        publish_all(&broker, [1]);
        for _ in 0..3 {
            assert!(read(&mut reader), "{name}");
        }
        let asked = asked.load(Ordering::SeqCst);
        assert!((1..=12).contains(&asked), "{name} asked {asked} times about what came meanwhile");
    }
}

/// A poll examines what is there now and then yields; so do streams and frames, which consist of polls. [20]
#[test]
fn a_poll_ends_although_batches_come_meanwhile() {
    let (broker, asked) = (broker_of(100_000), Arc::default());
    let mut reader = broker.subscribe(publishes_and_refuses(&broker, &asked)).expect("open");
    publish_all(&broker, [1]);
    let (woken, waker) = WakeCount::new();
    for _ in 0..3 {
        assert!(reader.poll_recv(&mut Context::from_waker(&waker)).is_pending());
    }
    assert!(asked.load(Ordering::SeqCst) <= 12);
    assert!(woken.get() > 0, "there is more to look at");
}

/// A publisher at full rate.
struct Flood {
    stop: Arc<AtomicBool>,
    publishing: Option<thread::JoinHandle<()>>,
}

impl Flood {
    fn of(broker: &Broker<u64>) -> Self {
        let (broker, stop) = (broker.clone(), Arc::new(AtomicBool::new(false)));
        let publishing = thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                while !stop.load(Ordering::Relaxed) {
                    broker.publish(broker.latest_index() + 1, [job("web")]).expect("rising");
                }
            }
        });
        Self { stop, publishing: Some(publishing) }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(publishing) = self.publishing.take() {
            let _ = publishing.join();
        }
    }
}

/// Permits nothing.
struct Forbids;

impl Authorizer<u64> for Forbids {
    fn permits(&self, _: &Principal, _: &Event<u64>) -> bool {
        false
    }
}

/// A deadline is kept however much is refused, by predicate or authorizer. It may be late by what other threads take,
/// but not by as long as batches come. [20]
#[test]
fn a_deadline_is_kept_while_everything_is_refused() {
    let requests: [fn() -> Request<u64>; 3] =
        [|| Request::new().filter(|_| false), || Request::new().event_type("never"), Request::new];
    for (which, request) in requests.into_iter().enumerate() {
        in_time(move || {
            let builder = Broker::builder().max_batches(100_000);
            let broker = if which == 2 { builder.authorizer(Forbids).build() } else { builder.build() };
            let broker = broker.expect("a broker");
            publish_all(&broker, 1..=50_000);
            let mut reader = broker.subscribe(request()).expect("open");
            let flood = Flood::of(&broker);
            for _ in 0..3 {
                let timed_out = reader.recv_timeout(Duration::from_millis(2)).expect_err("it is refused");
                assert!(matches!(timed_out, RecvTimeoutError::Timeout | RecvTimeoutError::Recv(RecvError::Lagged(_))));
            }
            drop(flood);
        });
    }
}

/// Refused batches are passed: the next read continues after them, and a match is found in the end. [20]
#[test]
fn a_timeout_passes_what_it_has_refused() {
    let broker = broker_of(10_000);
    publish_all(&broker, 1..=5_000);
    broker.publish(5_001, [Event::new("Job", "Changed", "web", 1).with_namespace("default")]).expect("rising");
    let mut reader = broker.subscribe(Request::new().filter(|event| *event.payload() == 1)).expect("open");
    let mut timeouts = 0;
    let index = loop {
        match reader.recv_timeout(Duration::ZERO) {
            Ok(delivery) => break delivery.index(),
            Err(RecvTimeoutError::Timeout) => timeouts += 1,
            Err(RecvTimeoutError::Recv(error)) => panic!("{error}"),
        }
        assert!(timeouts <= 5_000, "it makes no way");
    };
    assert_eq!(index, 5_001);
    assert!(timeouts > 0, "the deadline was not kept");
}

/// One batch that takes longer to check than a turn is checked in several turns, each event once. [13, 20]
#[test]
fn a_turn_ends_within_a_large_batch() {
    const EVENTS: usize = 20_000;
    let many =
        || (0..EVENTS as u64).map(|number| Event::new("Job", "Changed", "web", number).with_namespace("default"));
    for accepts in [u64::MAX, 0, 19_999] {
        let (broker, asked) = (broker_of(10), Arc::new(AtomicU64::new(0)));
        let counts = Arc::clone(&asked);
        let request = || {
            let counts = Arc::clone(&counts);
            Request::new().filter(move |event| {
                counts.fetch_add(1, Ordering::SeqCst);
                *event.payload() == accepts
            })
        };
        let mut timed = broker.subscribe(request()).expect("open");
        let mut task = broker.subscribe(request()).expect("open");
        let mut window = broker.subscribe(request()).expect("open");
        broker.publish(1, many().collect::<Vec<_>>()).expect("rising");
        let mut timeouts = 0;
        let found = loop {
            let before = asked.load(Ordering::SeqCst);
            match timed.recv_timeout(Duration::ZERO) {
                Ok(delivery) => break delivery.len(),
                Err(RecvTimeoutError::Timeout) if asked.load(Ordering::SeqCst) == EVENTS as u64 => break 0,
                Err(RecvTimeoutError::Timeout) => timeouts += 1,
                Err(error) => panic!("{error}"),
            }
            assert!(asked.load(Ordering::SeqCst) - before <= 1_024, "the deadline was not kept");
        };
        let expected = usize::from(accepts < u64::MAX);
        assert_eq!((found, asked.swap(0, Ordering::SeqCst)), (expected, EVENTS as u64));
        assert!(timeouts >= 10, "{timeouts} turns");

        let (woken, waker) = WakeCount::new();
        let mut polls = 0;
        let found = loop {
            let before = asked.load(Ordering::SeqCst);
            polls += 1;
            match task.poll_recv(&mut Context::from_waker(&waker)) {
                Poll::Ready(delivery) => break delivery.expect("open").len(),
                Poll::Pending if asked.load(Ordering::SeqCst) == EVENTS as u64 => break 0,
                Poll::Pending => assert_eq!(woken.get(), polls, "it wakes itself"),
            }
            assert!(asked.load(Ordering::SeqCst) - before <= 2_048, "it did not yield");
        };
        assert_eq!((found, asked.swap(0, Ordering::SeqCst)), (expected, EVENTS as u64));
        assert!(polls >= 10, "{polls} polls");

        // One way of reading continues what another has begun.
        assert!(window.poll_recv(&mut Context::from_waker(&waker)).is_pending());
        assert_eq!(window.drain().expect("open").iter().count(), expected);
        assert_eq!(asked.load(Ordering::SeqCst), EVENTS as u64);
    }
}

/// A deadline that is reached before everything was examined leaves the bell ringing: nothing else would ring it. [20]
#[test]
fn a_timeout_with_more_to_look_at_leaves_the_bell_ringing() {
    let broker = broker_of(10_000);
    let mut reader = broker.subscribe(Request::new().filter(|event| *event.payload() == 1)).expect("open");
    let bell = reader.doorbell();
    publish_all(&broker, 1..=5_000);
    broker.publish(5_001, [Event::new("Job", "Changed", "web", 1).with_namespace("default")]).expect("rising");
    let mut rings = 0;
    let index = loop {
        bell.try_recv().expect("it rings as long as there is something to look at");
        rings += 1;
        if let Ok(delivery) = reader.recv_timeout(Duration::ZERO) {
            break delivery.index();
        }
    };
    assert_eq!(index, 5_001);
    assert!(rings > 1, "the deadline was not kept");
}

/// A task that always finds something is pending from time to time, and wakes itself. [20]
#[test]
fn a_task_gives_way_after_so_many_deliveries() {
    type Step = fn(&mut Subscription<u64>, &mut Context<'_>) -> Poll<usize>;
    let one: Step = |reader, context| reader.poll_recv(context).map(|delivery| delivery.map_or(0, |_| 1));
    let readable: Step =
        |reader, context| reader.poll_readable(context).map(|()| reader.drain().expect("open").iter().take(1).count());
    // Backlog from before the subscription is searched; later batches are known.
    for (step, backlog) in [(one, true), (one, false), (readable, true), (readable, false)] {
        let broker = broker_of(10_000);
        if backlog {
            publish_all(&broker, 1..=10_000);
        }
        let mut reader = broker.subscribe(Request::new()).expect("open");
        if !backlog {
            publish_all(&broker, 1..=10_000);
        }
        let (woken, waker) = WakeCount::new();
        let context = &mut Context::from_waker(&waker);
        let (mut read, mut gave_way, mut longest, mut in_a_row) = (0, 0, 0, 0);
        while read < 10_000 {
            match step(&mut reader, context) {
                Poll::Ready(count) => {
                    read += count;
                    in_a_row += 1;
                }
                Poll::Pending => {
                    gave_way += 1;
                    in_a_row = 0;
                    assert_eq!(woken.get(), gave_way, "it wakes itself");
                }
            }
            longest = longest.max(in_a_row);
        }
        assert!(longest <= 128 && gave_way >= 10_000 / 128, "{longest} in a row, gave way {gave_way} times");
    }
}

/// The same after many events that were refused in one poll. [20]
#[test]
fn a_task_gives_way_after_so_many_refusals() {
    let broker = broker_of(10_000);
    publish_all(&broker, 1..=10_000);
    let asked = Arc::new(AtomicU64::new(0));
    let counts = Arc::clone(&asked);
    let request = Request::new().filter(move |_| counts.fetch_add(1, Ordering::SeqCst) > 1_000_000);
    let mut reader = broker.subscribe(request).expect("open");
    let (woken, waker) = WakeCount::new();
    let mut polls = 0;
    while asked.load(Ordering::SeqCst) < 10_000 {
        let before = asked.load(Ordering::SeqCst);
        assert!(reader.poll_recv(&mut Context::from_waker(&waker)).is_pending());
        polls += 1;
        assert!(asked.load(Ordering::SeqCst) - before <= 2_048, "one poll asked too often");
    }
    assert!(polls >= 5 && woken.get() >= polls - 1, "{polls} polls, woken {} times", woken.get());
}

/// A terminal end is returned as often as it is asked for, without yielding. [23]
#[test]
fn an_end_does_not_give_way() {
    let broker = broker_of(10);
    let mut reader = broker.subscribe(Request::new()).expect("open");
    broker.close();
    let (_, waker) = WakeCount::new();
    for _ in 0..1_000 {
        let polled = reader.poll_recv(&mut Context::from_waker(&waker));
        assert!(matches!(polled, Poll::Ready(Err(RecvError::Closed))));
        assert!(reader.poll_readable(&mut Context::from_waker(&waker)).is_ready());
    }
}

/// A non-terminal loss leaves the bell ringing, so that a loop that stops at any error is called again. [20, 22]
#[test]
fn a_loss_that_is_no_end_leaves_the_bell_ringing() {
    let broker = broker_of(2);
    let mut reader = broker.subscribe(asks("Job", "web").lag_policy(LagPolicy::Continue)).expect("open");
    let bell = reader.doorbell();
    bell.try_recv().expect("the first ring");
    while reader.try_recv().is_ok() {}
    publish_all(&broker, 1..=5);
    let mut read = Vec::new();
    while bell.try_recv().is_ok() {
        while let Ok(delivery) = reader.try_recv() {
            read.push(delivery.index());
        }
    }
    assert_eq!(read, [4, 5]);
    // By windows, too.
    publish_all(&broker, 6..=9);
    while bell.try_recv().is_ok() {
        if let Ok(mut window) = reader.drain() {
            read.extend(window.iter().map(|delivery| delivery.index()));
        }
    }
    assert_eq!(read, [4, 5, 8, 9]);
}

/// A read that panics is neither a delivery, nor empty, nor an end. [19, 20]
#[test]
fn a_panic_leaves_the_bell_ringing() {
    let broker = broker_of(10);
    let mut asked = 0;
    let request = Request::new().filter(move |_| {
        asked += 1;
        assert!(asked != 1, "the first time");
        true
    });
    let mut reader = broker.subscribe(request).expect("open");
    let bell = reader.doorbell();
    bell.try_recv().expect("the first ring");
    while reader.try_recv().is_ok() {}
    publish_all(&broker, [1]);
    bell.try_recv().expect("it rings for the batch");
    assert!(panics(|| drop(reader.try_recv())));
    bell.try_recv().expect("it rings again");
    assert_eq!(reader.try_recv().expect("the batch").index(), 1);
}

/// The same for waiting reads, which leave no registration behind either. [19, 20]
#[test]
fn a_panic_of_a_read_that_waits_leaves_no_word_and_a_ring() {
    type Read = fn(&mut Subscription<u64>);
    let reads: [Read; 3] = [
        |reader| drop(reader.recv()),
        |reader| drop(std::pin::pin!(reader.recv_async()).poll(&mut Context::from_waker(std::task::Waker::noop()))),
        |reader| drop(reader.poll_recv(&mut Context::from_waker(std::task::Waker::noop()))),
    ];
    for read in reads {
        let broker = broker_of(10);
        let mut reader = broker.subscribe(Request::new().filter(|_| panic!("always"))).expect("open");
        let bell = reader.doorbell();
        publish_all(&broker, [1]);
        while bell.try_recv().is_ok() {}
        assert!(panics(|| read(&mut reader)));
        bell.try_recv().expect("it rings");
        assert!(!reader.handle().is_waiting());
    }
}

/// A writer that accepts this many bytes and then fails.
#[cfg(feature = "json")]
struct Breaks {
    written: Vec<u8>,
    takes: usize,
}

#[cfg(feature = "json")]
impl std::io::Write for Breaks {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let taken = bytes.split_at(bytes.len().min(self.takes - self.written.len())).0;
        if taken.is_empty() {
            return Err(std::io::ErrorKind::ConnectionReset.into());
        }
        self.written.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// After a failed write nothing more is written: no frame follows a torn one. [24]
#[cfg(feature = "json")]
#[test]
fn nothing_is_written_after_a_failed_write() {
    use event_broker::{FrameOptions, WriteError};

    let broker = broker_of(10);
    let mut frames = broker.subscribe(Request::new()).expect("open").into_frames(FrameOptions::new());
    publish_all(&broker, 1..=3);
    let mut writer = Breaks { written: Vec::new(), takes: 40 };
    for _ in 0..3 {
        assert!(matches!(frames.write_to(&mut writer), Err(WriteError::Io(_))));
        assert_eq!(writer.written.len(), 40);
        writer.takes = 4_000;
        writer.written.truncate(40);
    }
    assert_eq!(frames.into_subscription().token().index(), 1, "the torn frame counts as read");
}

/// One window per ring leaves time for the other channels, however fast batches come. [20]
#[test]
fn a_window_for_each_ring_hears_a_stop() {
    in_time(|| {
        let broker = broker_of(1_000);
        let mut reader = broker.subscribe(Request::new().lag_policy(LagPolicy::Continue)).expect("open");
        let bell = reader.doorbell();
        let (stop, stopped) = crossbeam_channel::bounded::<()>(0);
        let flood = Flood::of(&broker);
        let mut stop = Some(stop);
        loop {
            crossbeam_channel::select! {
                recv(bell) -> _ => if let Ok(mut window) = reader.drain() {
                    window.iter().for_each(drop);
                },
                recv(stopped) -> _ => break,
            }
            stop = None;
        }
        drop((flood, stop));
    });
}

/// The lag of a reader that has not read yet takes no longer the more is buffered: a long backlog is not searched and
/// counts as a match. A short one is searched. [27]
#[test]
fn the_lag_of_a_reader_that_has_not_read_is_not_searched_for() {
    for (batches, lag) in [(100, 0), (10_000, 10_000)] {
        let broker = broker_of(20_000);
        publish_all(&broker, 1..=batches);
        let mut reader = broker.subscribe(asks("Node", "*").start(Start::Oldest)).expect("open");
        assert_eq!(reader.handle().stats().lag, lag);
        assert!(matches!(reader.try_recv(), Err(TryRecvError::Empty)));
        assert_eq!(reader.handle().stats().lag, 0, "it has looked");
    }
}
