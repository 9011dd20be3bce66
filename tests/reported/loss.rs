//! Losses that were not reported, and reports of losses that had not happened.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

use event_broker::{
    Broker, Epoch, LagPolicy, Lagged, PublishErrorKind, Request, SkipError, Start, SubscribeError, Subscription, Token,
    Verdict,
};

use crate::common::{asks, assert_empty, broker_of, error_now, indexes_now, job, publish_all};

/// A reader that continues after a loss.
fn goes_on(broker: &Broker<u64>, start: Start) -> Subscription<u64> {
    broker.subscribe(Request::new().start(start).lag_policy(LagPolicy::Continue)).expect("open")
}

fn resume(broker: &Broker<u64>, token: Token) -> Subscription<u64> {
    goes_on(broker, Start::After(token))
}

fn loss(reader: &mut Subscription<u64>) -> Lagged {
    error_now(reader).lagged().cloned().expect("a loss")
}

fn token(text: &str) -> Token {
    text.parse().expect("a token")
}

fn epoch_7() -> event_broker::Builder<u64> {
    Broker::builder().epoch(Epoch::from(7))
}

/// The first read is long after subscribing: what was published in between is delivered, or reported as lost. [8]
#[test]
fn what_is_published_after_subscribing_is_reported_to_a_late_first_read() {
    let broker = broker_of(100);
    let mut late = goes_on(&broker, Start::Oldest);
    publish_all(&broker, 1..=150);
    assert_eq!(late.verdict(), Verdict::Whole);
    let lagged = loss(&mut late);
    assert_eq!((lagged.missed, lagged.from, lagged.through, lagged.resumes_at), (50, 0, 50, 51));
    assert_eq!(indexes_now(&mut late), (51..=150).collect::<Vec<_>>());
}

/// A wait finds a loss and does not report it. The next read does, whatever was published meanwhile. [20, 22]
#[test]
fn a_loss_that_a_wait_has_found_is_reported_before_what_comes_after_it() {
    let broker = broker_of(10);
    let mut reader = goes_on(&broker, Start::Latest);
    publish_all(&broker, 1..=1);
    assert_eq!(indexes_now(&mut reader), [1]);
    publish_all(&broker, 2..=15);
    assert!(pin!(reader.readable()).poll(&mut Context::from_waker(Waker::noop())).is_ready());
    publish_all(&broker, 16..=17);
    let lagged = loss(&mut reader);
    assert_eq!((lagged.missed, lagged.through, lagged.resumes_at), (6, 7, 8));
    assert_eq!(indexes_now(&mut reader), (8..=17).collect::<Vec<_>>());
}

/// The same after the opening frame, which is no read. [8, 24]
#[cfg(feature = "json")]
#[test]
fn the_opening_frame_is_no_first_read() {
    use event_broker::{FrameError, FrameOptions};

    let broker = broker_of(100);
    let mut frames = goes_on(&broker, Start::Oldest).into_frames(FrameOptions::new());
    assert_eq!(frames.try_frame().expect("open").map(|frame| frame.to_vec()), Some(b"{}\n".to_vec()));
    publish_all(&broker, 1..=150);
    let Err(FrameError::Recv(error)) = frames.try_frame() else { panic!("it lost something") };
    assert_eq!(error.lagged().map(|lagged| lagged.missed), Some(50));
}

/// Backlog of the opening that is evicted before the first read is no loss to an elastic start: `Oldest`, and one whose
/// verdict reported a loss. [8, 22]
#[test]
fn what_goes_before_the_first_read_of_an_elastic_start_is_no_lag() {
    for start in [Start::Oldest, Start::Index(5), Start::After(token("0000000000000008-9-1"))] {
        for published in 0..=2_u64 {
            let broker = epoch_7().max_batches(2).build().expect("a broker");
            publish_all(&broker, [10, 20, 30]);
            let mut reader = broker.subscribe(Request::new().start(start)).expect("open");
            let expected = match start {
                Start::Index(_) => Verdict::Lost { oldest: Some(20) },
                Start::After(_) => Verdict::OtherEpoch { oldest: Some(20) },
                _ => Verdict::Whole,
            };
            assert_eq!(reader.verdict(), expected);
            publish_all(&broker, (40..).step_by(10).take(usize::try_from(published).expect("few")));
            let oldest = 20 + 10 * published;
            assert_eq!(indexes_now(&mut reader), [oldest, oldest + 10], "{start:?}");
        }
        // One more than the backlog is a later batch.
        let broker = epoch_7().max_batches(2).build().expect("a broker");
        publish_all(&broker, [10, 20, 30]);
        let mut reader = goes_on(&broker, start);
        publish_all(&broker, [40, 50, 60]);
        let lagged = loss(&mut reader);
        // Tight: nothing below the newest index of the opening is lost to it.
        assert_eq!((lagged.missed, lagged.from, lagged.through, lagged.resumes_at), (1, 30, 40, 50), "{start:?}");
        assert_eq!(indexes_now(&mut reader), [50, 60]);
    }
}

/// Checking for something to read, and a window of which nothing is taken, pass nothing. [8, 20]
#[test]
fn an_elastic_start_stays_so_until_something_is_passed() {
    type Look = fn(&mut Subscription<u64>);
    let looks: [Look; 2] = [
        |reader| {
            let context = &mut Context::from_waker(Waker::noop());
            assert!(reader.poll_readable(context).is_ready());
        },
        |reader| drop(reader.drain().expect("open")),
    ];
    for (look, start) in looks.into_iter().flat_map(|look| [(look, Start::Index(5)), (look, Start::Oldest)]) {
        let broker = broker_of(2);
        publish_all(&broker, [10, 20, 30]);
        let mut reader = broker.subscribe(Request::new().start(start)).expect("open");
        look(&mut reader);
        publish_all(&broker, [40]);
        look(&mut reader);
        assert_eq!(indexes_now(&mut reader), [30, 40]);
        publish_all(&broker, [50, 60, 70]);
        assert_eq!(error_now(&mut reader).lagged().map(|lagged| lagged.missed), Some(1));
    }
}

/// A start that lost nothing is not elastic: what is evicted before its first read was asked for. [8]
#[test]
fn what_goes_before_the_first_read_of_any_other_start_is_lag() {
    let broker = broker_of(2);
    publish_all(&broker, [10, 20]);
    for start in [Start::Index(5), Start::Index(10), Start::Exactly(10)] {
        let mut reader = goes_on(&broker, start);
        assert_eq!(reader.verdict(), Verdict::Whole);
        let broker = broker.clone();
        publish_all(&broker, [broker.latest_index() + 10]);
        let lagged = loss(&mut reader);
        assert_eq!(lagged.missed, 1);
        broker.reset(0, broker.epoch());
        publish_all(&broker, [10, 20]);
    }
}

/// A reader that had read everything is whole at a broker that starts after the other one's position, by the token of
/// its own delivery as well as by the one that a batch without events moved it to. [9, 10]
#[test]
fn a_restart_reports_no_loss_to_readers_that_had_read_everything() {
    for moved in [false, true] {
        let before = epoch_7().build().expect("a broker");
        let mut reader = goes_on(&before, Start::Oldest);
        publish_all(&before, 1..=9);
        assert_eq!(indexes_now(&mut reader).len(), 9);
        let delivered = reader.token();
        assert_eq!(delivered.to_string(), "0000000000000007-9-1");
        if moved {
            before.publish(10, []).expect("a commit that changed nothing");
            assert_empty(&mut reader);
            assert_eq!(reader.token().to_string(), "0000000000000007-10-0");
        }
        let kept = before.token().to_string();
        let after = Broker::<u64>::builder().starts_after(token(&kept)).build().expect("a broker");
        assert_eq!(after.epoch(), Epoch::from(7));
        for token in [delivered, reader.token(), reader.handle().token(), before.token()] {
            let mut resumed = resume(&after, token);
            assert_eq!(resumed.verdict(), Verdict::Whole, "{token} at a broker after {kept}");
            assert_empty(&mut resumed);
        }
        assert_eq!(resume(&after, token("0000000000000007-9-0")).verdict(), Verdict::Lost { oldest: None });
        let mut resumed = resume(&after, reader.token());
        publish_all(&after, [11]);
        assert_eq!(indexes_now(&mut resumed), [11]);
    }
}

/// Where indexes rise, the index alone is as exact as a token, also after a batch without events. [9]
#[test]
fn where_indexes_rise_an_index_says_as_much_as_a_token() {
    for moved in [false, true] {
        let before = epoch_7().rising_indexes(true).build().expect("a broker");
        let mut reader = goes_on(&before, Start::Oldest);
        publish_all(&before, 1..=9);
        let early = reader.try_recv().expect("the first").token();
        assert_eq!(indexes_now(&mut reader).len(), 8);
        if moved {
            before.publish(10, []).expect("a commit that changed nothing");
            assert_empty(&mut reader);
        }
        let last = before.latest_index();
        let after = epoch_7().rising_indexes(true).initial_index(last).build().expect("a broker");
        assert_eq!(resume(&after, reader.token()).verdict(), Verdict::Whole, "{}", reader.token());
        assert_eq!(resume(&after, early).verdict(), Verdict::Lost { oldest: None });
        // The token of the last delivery, which an empty read has moved since.
        let delivered = token("0000000000000007-9-1");
        let expected = if moved { Verdict::Lost { oldest: None } } else { Verdict::Whole };
        assert_eq!(resume(&after, delivered).verdict(), expected);
        let at = |index| goes_on(&after, Start::Index(index)).verdict();
        assert_eq!((at(last), at(last + 1)), (Verdict::Lost { oldest: None }, Verdict::Whole));
        // The repeated commit is refused, with another error than one that falls.
        let refused = after.publish(last, [job("web")]).expect_err("it was published already");
        assert_eq!((refused.kind, refused.events.len()), (PublishErrorKind::Repeated { index: last }, 1));
        let refused = after.publish(last - 1, [job("web")]).expect_err("it is past");
        assert_eq!(refused.kind, PublishErrorKind::Past { index: last - 1, initial: last });
        publish_all(&after, [last + 1]);
        let refused = after.publish(last + 1, []).expect_err("it was published already");
        assert_eq!(refused.kind, PublishErrorKind::Repeated { index: last + 1 });
        let refused = after.publish(last, [job("web")]).expect_err("it falls");
        assert_eq!(refused.kind, PublishErrorKind::Falling { index: last, latest: last + 1 });
    }
}

/// A commit that is repeated at one replica alone: by token a reader then misses nothing at the other. [3, 10]
#[test]
fn a_commit_that_is_applied_again_changes_no_token() {
    let replica = || epoch_7().rising_indexes(true).build().expect("a broker");
    let (ours, theirs) = (replica(), replica());
    let mut reader = goes_on(&ours, Start::Oldest);
    for broker in [&ours, &theirs] {
        publish_all(broker, [9]);
    }
    ours.publish(9, [job("web")]).expect_err("applied again");
    assert_eq!(indexes_now(&mut reader), [9]);
    let mut moved = resume(&theirs, reader.token());
    publish_all(&theirs, [10]);
    assert_eq!(indexes_now(&mut moved), [10]);
}

/// A follower installs a snapshot: a reader at its position continues without a report, and a reader before it receives
/// a loss without a count. [9, 22]
#[test]
fn a_skip_is_reported_to_readers_before_it_only() {
    let (leader, follower) = (epoch_7().build().expect("a broker"), epoch_7().build().expect("a broker"));
    publish_all(&leader, 1..=50);
    publish_all(&follower, 1..=3);
    let mut there = resume(&follower, leader.token());
    let mut ahead = goes_on(&follower, Start::Index(51));
    let mut further = goes_on(&follower, Start::Index(53));
    let mut within = goes_on(&follower, Start::Index(40));
    let mut behind = goes_on(&follower, Start::Oldest);
    let mut caught_up = goes_on(&follower, Start::Latest);
    let mut closes = follower.subscribe(asks("Job", "web")).expect("open");
    assert_eq!(indexes_now(&mut closes), [1, 2, 3]);
    assert_eq!(behind.try_recv().expect("the first").index(), 1);

    follower.skip_to(leader.token()).expect("ahead");
    assert_eq!((follower.latest_index(), follower.token()), (50, leader.token()));
    for reader in [&mut there, &mut ahead, &mut further] {
        assert_empty(reader);
    }
    let expected = [(&mut behind, 2, 1), (&mut caught_up, 0, 3), (&mut within, 0, 40)];
    for (reader, missed, from) in expected {
        let before = reader.token();
        assert!(matches!(resume(&follower, before).verdict(), Verdict::Lost { .. }), "{before}");
        let lagged = loss(reader);
        assert_eq!((lagged.missed, lagged.count(), lagged.skipped), (missed, None, true));
        assert_eq!((lagged.from, lagged.through, lagged.resumes_at, lagged.resumes_whole), (from, 50, 50, false));
        assert!(lagged.to_string().contains("an unknown number"), "{lagged}");
        assert_empty(reader);
        assert_eq!(reader.token(), leader.token());
    }
    let end = error_now(&mut closes);
    assert!(end.is_terminal() && end.lagged().is_some_and(|lagged| lagged.count().is_none()));

    for broker in [&leader, &follower] {
        publish_all(broker, 51..=53);
    }
    for reader in [&mut there, &mut ahead, &mut behind, &mut caught_up, &mut within] {
        assert_eq!(indexes_now(reader), [51, 52, 53]);
    }
    assert_eq!(indexes_now(&mut further), [53]);
    // And a reader of the leader continues at the follower.
    let mut moved = resume(&follower, token("0000000000000007-51-1"));
    assert_eq!((moved.verdict(), indexes_now(&mut moved)), (Verdict::Whole, vec![52, 53]));
    assert_eq!(resume(&follower, token("0000000000000007-50-0")).verdict(), Verdict::Lost { oldest: Some(51) });
}

/// A reader has also read what it did not ask for, once a read has found nothing more: its token is that of the broker,
/// not that of its last delivery. [9, 10, 22]
#[test]
fn a_selective_reader_that_has_read_everything_has_lost_nothing() {
    let requests: [fn() -> Request<u64>; 4] = [
        || asks("Job", "web"),
        || Request::new().event_type("Deregistered"),
        || Request::new().filter(|event| event.key() == "web"),
        || Request::new().namespace("prod"),
    ];
    for (request, equal) in requests.into_iter().flat_map(|request| [(request, false), (request, true)]) {
        let before = epoch_7().build().expect("a broker");
        let mut reader = before.subscribe(request()).expect("open");
        before.publish(1, [job("web")]).expect("rising");
        // With its own index, or as a further batch of the delivered one.
        before.publish(if equal { 1 } else { 2 }, [job("db")]).expect("rising");
        while reader.try_recv().is_ok() {}
        let after = Broker::<u64>::builder().starts_after(before.token()).build().expect("a broker");
        let follower = epoch_7().build().expect("a broker");
        let mut waits = follower.subscribe(request().start(Start::After(reader.token()))).expect("open");
        follower.skip_to(before.token()).expect("ahead");
        for token in [reader.token(), reader.handle().token()] {
            assert_eq!(resume(&after, token).verdict(), Verdict::Whole, "{token} of {}", before.token());
        }
        assert_empty(&mut waits);
    }
}

/// A reader that waits while other batches come and go has lost nothing, as its handle shows. [10]
#[test]
fn a_handle_of_a_reader_that_lost_nothing_says_so() {
    let broker = broker_of(3);
    let mut reader = broker.subscribe(asks("Job", "rare")).expect("open");
    assert_empty(&mut reader);
    publish_all(&broker, 1..=10);
    for token in [reader.token(), reader.handle().token()] {
        assert_eq!(resume(&broker, token).verdict(), Verdict::Whole, "{token}");
    }
}

/// A reader that was closed by a loss keeps its position, and its handle shows it, whatever follows. [10, 22]
#[test]
fn a_reader_that_a_loss_has_closed_stays_before_it() {
    for skips in [false, true] {
        let broker = epoch_7().max_batches(2).build().expect("a broker");
        let mut reader = broker.subscribe(Request::new()).expect("open");
        publish_all(&broker, [1]);
        assert_eq!(indexes_now(&mut reader), [1]);
        if skips {
            broker.skip_to(token("0000000000000007-9-1")).expect("ahead");
        } else {
            publish_all(&broker, 2..=9);
        }
        for published in 0..2 {
            error_now(&mut reader);
            publish_all(&broker, (10..).take(published));
            for token in [reader.token(), reader.handle().token()] {
                assert!(matches!(resume(&broker, token).verdict(), Verdict::Lost { .. }), "{token}");
            }
        }
    }
}

/// A handle outlives its subscription, and the position that it shows skips nothing. [10]
#[test]
fn a_handle_of_a_reader_that_left_while_it_waited_skips_nothing() {
    let broker = broker_of(100);
    publish_all(&broker, [5]);
    let reader = goes_on(&broker, Start::Index(10));
    let handle = reader.handle();
    drop(reader);
    publish_all(&broker, 6..=15);
    assert_eq!(indexes_now(&mut resume(&broker, handle.token())), [10, 11, 12, 13, 14, 15]);
}

/// The losses of a reader that has left are not recorded: its handle reports a loss once anything was evicted. [10]
#[test]
fn a_handle_of_a_reader_that_has_left_hides_no_loss() {
    for skips in [false, true] {
        for request in [|| asks("Job", "web"), Request::<u64>::new, || Request::new().namespace("*")] {
            let broker = epoch_7().max_batches(2).build().expect("a broker");
            let mut reader = broker.subscribe(request()).expect("open");
            publish_all(&broker, [1]);
            assert_eq!(indexes_now(&mut reader), [1]);
            let handle = reader.handle();
            drop(reader);
            assert_eq!(resume(&broker, handle.token()).verdict(), Verdict::Whole);
            if skips {
                broker.skip_to(token("0000000000000007-9-1")).expect("ahead");
            } else {
                publish_all(&broker, 2..=9);
            }
            let resumed = broker.subscribe(request().start(Start::After(handle.token()))).expect("open");
            assert!(matches!(resumed.verdict(), Verdict::Lost { .. }), "{}", handle.token());
        }
    }
}

/// A window that was opened before anything was passed, and what it yielded: no token skips the rest, whether it is
/// open or leaked. [10, 20]
#[test]
fn a_window_of_an_elastic_start_hides_no_loss() {
    for forgotten in [false, true] {
        let broker = broker_of(4);
        publish_all(&broker, 1..=4);
        let mut reader = broker.subscribe(Request::new().namespace("*")).expect("open");
        let handle = reader.handle();
        let mut window = reader.drain().expect("open");
        assert_eq!(window.iter().take(1).count(), 1);
        publish_all(&broker, [5, 6]);
        let is_lost = |token| matches!(resume(&broker, token).verdict(), Verdict::Lost { .. });
        assert!(is_lost(handle.token()), "{}", handle.token());
        assert!(handle.stats().lag >= 5, "2 is gone, and was not passed");
        if forgotten {
            std::mem::forget(window);
            assert!(is_lost(reader.token()), "{}", reader.token());
            let lagged = error_now(&mut reader).lagged().cloned().expect("2 is gone");
            assert_eq!((lagged.missed, lagged.through), (1, 2));
            assert!(lagged.from <= 2, "{lagged:?}");
            assert!(is_lost(reader.token()), "{}", reader.token());
        } else {
            let rest: Vec<u64> = window.iter().map(|delivery| delivery.index()).collect();
            assert_eq!(rest, [2, 3, 4], "a window holds what it shows");
            drop(window);
            assert!(!is_lost(reader.token()) && !is_lost(handle.token()), "all was read");
        }
    }
}

/// What is evicted before the first read of an elastic start is no loss to it, but it is one to a reader that resumes
/// by its token and would not be notified. A start whose own verdict reported a loss is no different. [8, 10]
#[test]
fn the_token_of_an_elastic_start_is_where_it_was_opened() {
    for start in [Start::Oldest, Start::Index(1)] {
        for looks in [false, true] {
            let broker = broker_of(2);
            publish_all(&broker, 1..=3);
            let mut reader = goes_on(&broker, start);
            let handle = reader.handle();
            let before = [reader.token(), handle.token()];
            assert_eq!(indexes_now(&mut resume(&broker, before[0])), [2, 3], "{start:?}");
            publish_all(&broker, [4]);
            if looks {
                let context = &mut Context::from_waker(Waker::noop());
                assert!(pin!(reader.readable()).poll(context).is_ready());
            }
            for token in [reader.token(), handle.token()] {
                let verdict = resume(&broker, token).verdict();
                assert_eq!(verdict, Verdict::Lost { oldest: Some(3) }, "{start:?}, {looks}");
            }
            assert_eq!(before[0], before[1], "{start:?}");
            assert_eq!(indexes_now(&mut reader), [3, 4], "{start:?}, {looks}: no lag");
            for token in [reader.token(), handle.token()] {
                assert_eq!(resume(&broker, token).verdict(), Verdict::Whole, "{start:?}, {looks}");
            }
        }
    }
}

/// Skipping to the broker's own position does nothing, however it got there. [9]
#[test]
fn a_skip_to_the_current_position_does_nothing() {
    for rising in [false, true] {
        for indexes in [&[9][..], &[9, 12], &[u64::MAX]] {
            let broker = epoch_7().rising_indexes(rising).build().expect("a broker");
            let mut reader = goes_on(&broker, Start::Oldest);
            for index in indexes {
                let events = if *index == 12 { Vec::new() } else { vec![job("web")] };
                broker.publish(*index, events).expect("rising");
            }
            broker.skip_to(broker.token()).expect("it is the broker's own place");
            assert_eq!(indexes_now(&mut reader).len(), 1);
            broker.skip_to(reader.token()).expect("it is the broker's own place");
            assert_eq!(broker.stats().buffered_batches, 1);
        }
    }
}

/// A broker that starts after another one's token has the same position. [9]
#[test]
fn a_token_of_a_broker_that_has_published_nothing_moves_no_index() {
    let first = epoch_7().initial_index(9).build().expect("a broker");
    let token = first.token();
    let second = Broker::<u64>::builder().starts_after(token).build().expect("a broker");
    for broker in [&first, &second] {
        assert_eq!((broker.latest_index(), broker.token()), (9, token));
        let exactly = broker.subscribe(Request::new().start(Start::Exactly(10))).map(drop);
        assert_eq!(exactly, Err(SubscribeError::Future { index: 10, latest: 9 }));
        assert_eq!(goes_on(broker, Start::Index(11)).verdict(), Verdict::Future { latest: 9 });
        broker.publish(9, [job("web")]).expect_err("it is past");
        publish_all(broker, [10]);
    }
}

/// A place that cannot be skipped to is refused, and nothing changes. [9]
#[test]
fn a_skip_goes_forward_within_its_epoch() {
    let broker = epoch_7().build().expect("a broker");
    let mut reader = goes_on(&broker, Start::Oldest);
    publish_all(&broker, [5, 5]);
    broker.publish(6, []).expect("a commit that changed nothing");
    let behind = token("0000000000000007-5-1");
    let current = token("0000000000000007-6-0");
    assert_eq!(broker.skip_to(behind), Err(SkipError::Behind { token: behind, current }));
    let other = token("0000000000000008-9-1");
    assert_eq!(broker.skip_to(other), Err(SkipError::OtherEpoch { epoch: Epoch::from(8), current: Epoch::from(7) }));
    broker.skip_to(current).expect("it is the broker's own place");
    assert_eq!(indexes_now(&mut reader), [5, 5]);
    broker.close();
    assert_eq!(broker.skip_to(token("0000000000000007-9-1")), Err(SkipError::Closed));

    // A batch of an index that was finished without one here.
    let broker = epoch_7().rising_indexes(true).build().expect("a broker");
    publish_all(&broker, [5]);
    broker.publish(10, []).expect("a commit that changed nothing");
    assert!(matches!(broker.skip_to(token("0000000000000007-9-1")), Err(SkipError::Behind { .. })));
}

/// Work of the history before a restore is refused after it, if it names its epoch. [3]
#[test]
fn work_of_another_epoch_is_refused() {
    let broker = epoch_7().build().expect("a broker");
    let late = broker.epoch();
    broker.reset(50, Epoch::from(8));
    for events in [vec![job("web")], Vec::new()] {
        let count = events.len();
        let refused = broker.publish_in(late, 91, events).expect_err("another history");
        let kind = PublishErrorKind::OtherEpoch { epoch: Epoch::from(7), current: Epoch::from(8) };
        assert_eq!((refused.kind, refused.events.len()), (kind, count));
    }
    broker.publish_in(broker.epoch(), 51, [job("web")]).expect("the same history");
    assert_eq!(broker.latest_index(), 51);
}

/// The verdict reports whether the oldest index has all its batches, and so does a loss. [9, 22]
#[test]
fn an_index_whose_first_batches_are_gone_is_not_whole() {
    for (published, whole) in [([10, 20, 20, 20], false), ([10, 20, 30, 30], true), ([10, 20, 30, 40], true)] {
        let broker = broker_of(2);
        let mut reader = goes_on(&broker, Start::Latest);
        publish_all(&broker, published);
        let [.., oldest, _] = published;
        let late = goes_on(&broker, Start::Index(5));
        assert_eq!((late.verdict(), late.oldest_is_whole()), (Verdict::Lost { oldest: Some(oldest) }, whole));
        let lagged = loss(&mut reader);
        assert_eq!((lagged.resumes_at, lagged.resumes_whole), (oldest, whole));
    }
    let broker = broker_of(1);
    publish_all(&broker, [20, 20]);
    let refused = broker.subscribe(Request::new().start(Start::Exactly(20))).map(drop).expect_err("torn");
    assert_eq!(refused, SubscribeError::Lost { index: 20, oldest: Some(20) });
    assert_eq!(refused.to_string(), "the first batches of index 20 are no longer buffered");
}

/// The place within an index never overflows. [3]
#[test]
fn an_index_that_is_full_is_a_typed_error() {
    let broker =
        Broker::<u64>::builder().starts_after(token("0000000000000007-9-4294967294")).build().expect("a broker");
    let mut reader = goes_on(&broker, Start::Latest);
    publish_all(&broker, [9]);
    assert_eq!(broker.token().to_string(), "0000000000000007-9-4294967295");
    let full = broker.publish(9, [job("web")]).expect_err("no place is left");
    assert_eq!((full.kind, full.events.len()), (PublishErrorKind::Full { index: 9 }, 1));
    broker.publish(9, []).expect("a batch without events takes no place");
    publish_all(&broker, [10]);
    assert_eq!(indexes_now(&mut reader), [9, 10]);
    assert_eq!(broker.token().to_string(), "0000000000000007-10-1");
}

/// The ends of the range of indexes. [3, 9]
#[test]
fn the_last_index_can_be_past() {
    for rising in [false, true] {
        let broker = epoch_7().rising_indexes(rising).initial_index(u64::MAX).build().expect("a broker");
        let mut reader = goes_on(&broker, Start::Latest);
        broker.publish(u64::MAX, [job("web")]).expect_err("it is past");
        assert_empty(&mut reader);
        assert_eq!(resume(&broker, broker.token()).verdict(), Verdict::Whole);
        let broker = epoch_7().rising_indexes(rising).build().expect("a broker");
        let mut reader = goes_on(&broker, Start::Oldest);
        publish_all(&broker, [u64::MAX]);
        assert_eq!(indexes_now(&mut reader), [u64::MAX]);
        assert_eq!(resume(&broker, reader.token()).verdict(), Verdict::Whole);
        broker.reset(u64::MAX, Epoch::from(8));
        assert_eq!(goes_on(&broker, Start::Index(u64::MAX)).verdict(), Verdict::Lost { oldest: None });
    }
}

/// A reader that was disconnected before its first event, or whose key is rare, resumes at its position by the token
/// that it has from the beginning. [10, 24]
#[test]
fn a_reader_has_a_token_before_its_first_event() {
    let broker = broker_of(10);
    publish_all(&broker, [1, 2]);
    for start in [Start::Latest, Start::Oldest, Start::Index(2), Start::Index(3), Start::Index(4)] {
        let reader = goes_on(&broker, start);
        let tokens = [reader.token(), reader.handle().token()];
        drop(reader);
        let latest = broker.latest_index();
        publish_all(&broker, [latest + 1, latest + 2]);
        let first = match start {
            Start::Oldest => 1,
            Start::Index(index) => index.max(1),
            _ => latest + 1,
        };
        for token in tokens {
            let mut resumed = resume(&broker, token);
            assert_eq!(resumed.verdict(), Verdict::Whole, "{start:?}: {token}");
            assert_eq!(indexes_now(&mut resumed), (first..=latest + 2).collect::<Vec<_>>(), "{start:?}: {token}");
        }
        broker.reset(0, broker.epoch());
        publish_all(&broker, [1, 2]);
    }
}

/// The same on the wire: heartbeats carry the token, the opening one included. [24, 26]
#[cfg(feature = "json")]
#[test]
fn a_rare_reader_resumes_by_the_token_of_a_heartbeat() {
    use event_broker::{Decoder, FrameOptions, Incoming};

    let broker = broker_of(10);
    publish_all(&broker, [1, 2]);
    let request = || asks::<u64>("Node", "*").start(Start::Latest);
    let mut frames = broker.subscribe(request()).expect("open").into_frames(FrameOptions::new().tokens(true));
    let opening = frames.try_frame().expect("open").expect("a heartbeat");
    drop(frames);
    let Some(Ok(Incoming::Bookmark { index: None, token })) = Decoder::<u64>::new().decode(&mut &*opening) else {
        panic!("{} has no token", opening.as_str())
    };
    publish_all(&broker, [3]);
    broker.publish(3, [crate::common::event("Node", "n1")]).expect("equal");
    let mut resumed = broker.subscribe(request().start(Start::After(token))).expect("open");
    assert_eq!((resumed.verdict(), indexes_now(&mut resumed)), (Verdict::Whole, vec![3]));
}

/// The token of a handle is that of the reader's last read; for an overtaken reader it reports the loss. [10]
#[test]
fn a_handle_knows_the_position_of_its_reader() {
    let broker = broker_of(3);
    let mut reader = goes_on(&broker, Start::Oldest);
    let handle = reader.handle();
    publish_all(&broker, [10, 10, 20]);
    reader.try_recv().expect("the first");
    let mut resumed = resume(&broker, handle.token());
    assert_eq!((resumed.verdict(), indexes_now(&mut resumed)), (Verdict::Whole, vec![10, 20]));
    publish_all(&broker, 30..=33);
    assert!(matches!(resume(&broker, handle.token()).verdict(), Verdict::Lost { .. }), "it was overtaken");
    loss(&mut reader);
    let mut resumed = resume(&broker, handle.token());
    assert_eq!((resumed.verdict(), indexes_now(&mut resumed)), (Verdict::Whole, vec![31, 32, 33]));
    broker.reset(50, Epoch::random());
    assert_ne!(handle.token().epoch(), broker.epoch());
}

/// A reader that begins with the next batch is after a batch without events, too: its token shows it before the first
/// read. [3, 8, 10]
#[test]
fn the_latest_start_is_after_a_batch_without_events() {
    let broker = epoch_7().build().expect("defaults");
    publish_all(&broker, [5]);
    broker.publish(9, []).expect("rising");
    let reader = broker.subscribe(Request::new().start(Start::Latest)).expect("open");
    assert_eq!(reader.token(), token("0000000000000007-9-0"));
    assert_eq!(reader.handle().token(), reader.token());
    drop(reader);
}

/// A window that more was evicted under than its reader had discovered is exhausted for good: what follows the gap is not
/// read from it, and the next read reports the loss. [20, 22]
#[test]
fn a_window_that_is_exhausted_stays_so() {
    let broker = broker_of(6);
    publish_all(&broker, [1, 2]);
    let mut reader =
        broker.subscribe(asks("Job", "web").start(Start::Oldest).lag_policy(LagPolicy::Continue)).expect("open");
    publish_all(&broker, 3..=6);
    let mut window = reader.drain().expect("open");
    let mut items = window.iter();
    // The backlog that is older than the subscription is discovered first, and the chain behind it later.
    let first: Vec<_> = items.by_ref().take(2).map(|delivery| delivery.index()).collect();
    assert_eq!(first, [1, 2]);
    publish_all(&broker, 7..=9);
    assert_eq!(items.by_ref().map(|delivery| delivery.index()).collect::<Vec<u64>>(), [0_u64; 0]);
    assert_eq!(items.by_ref().map(|delivery| delivery.index()).collect::<Vec<u64>>(), [0_u64; 0]);
    assert_eq!(window.iter().map(|delivery| delivery.index()).collect::<Vec<u64>>(), [0_u64; 0]);
    drop(window);
    assert_eq!(loss(&mut reader).missed, 1);
    assert_eq!(indexes_now(&mut reader), [4, 5, 6, 7, 8, 9]);
}
