//! Index and resume: where a stream starts, and what it reports of evicted batches.

use event_broker::nomad::{Query, QueryErrorKind};
use event_broker::{Broker, Epoch, PublishErrorKind, RecvError, Request, Start, SubscribeError, Token, Verdict};

use crate::common::{
    asks, assert_empty, assert_end, broker_of, error_now, event, indexes_now, job, keys_now, publish_all,
};

fn from(broker: &Broker<u64>, start: Start) -> event_broker::Subscription<u64> {
    broker.subscribe(Request::new().start(start)).expect("this start cannot be refused")
}

/// A future index delivers nothing until it is reached, and not the newest batch at once (semantics 8).
#[test]
fn a_future_index_is_silent() {
    let broker = broker_of(10);
    publish_all(&broker, 1..=3);
    let mut reader = from(&broker, Start::Index(7));
    assert_eq!(reader.verdict(), Verdict::Future { latest: 3 });
    assert_empty(&mut reader);
    publish_all(&broker, [4, 6]);
    assert_empty(&mut reader);
    publish_all(&broker, [9]);
    assert_eq!(indexes_now(&mut reader), [9]);
}

/// Resuming at the last index plus one does not repeat the last event, and everything later is held to the bound
/// (semantics 8).
#[test]
fn resuming_one_above_the_last_repeats_nothing() {
    let broker = broker_of(10);
    publish_all(&broker, 1..=3);
    let mut reader = from(&broker, Start::Index(4));
    assert_eq!(reader.verdict(), Verdict::Whole);
    publish_all(&broker, [3, 3, 4]);
    assert_eq!(indexes_now(&mut reader), [4], "further batches of 3 are below the bound");
}

/// An evicted index starts at the oldest, and the verdict says so (semantics 9).
#[test]
fn an_index_that_is_too_old_reports_what_is_lost() {
    let broker = broker_of(2);
    publish_all(&broker, 1..=5);
    let mut reader = from(&broker, Start::Index(2));
    assert_eq!(reader.verdict(), Verdict::Lost { oldest: Some(4) });
    assert_eq!(indexes_now(&mut reader), [4, 5], "and it is not reported again as lag");
}

/// A gap between indexes is no loss (semantics 9).
#[test]
fn a_gap_between_indexes_is_no_loss() {
    let broker = broker_of(2);
    publish_all(&broker, [10, 20, 30]);
    for index in 11..=20 {
        let mut reader = from(&broker, Start::Index(index));
        assert_eq!((index, reader.verdict()), (index, Verdict::Whole));
        assert_eq!(indexes_now(&mut reader), [20, 30]);
    }
    assert_eq!(from(&broker, Start::Index(10)).verdict(), Verdict::Lost { oldest: Some(20) });
}

/// A resume that loses nothing is not refused because its exact index is missing: only `Exactly` refuses (semantics 8,
/// 9).
#[test]
fn lossless_resumes_are_not_refused() {
    let broker = broker_of(2);
    publish_all(&broker, [10, 20, 30]);
    assert_eq!(from(&broker, Start::Index(15)).verdict(), Verdict::Whole);
    let refused = broker.subscribe(Request::new().start(Start::Exactly(15))).expect_err("not there");
    assert_eq!(refused, SubscribeError::Absent { index: 15, next: Some(20) });
}

/// `index=-1` is an error, and no very large number (semantics 14).
#[test]
fn a_negative_index_is_an_error() {
    assert_eq!(Query::parse("index=-1").expect_err("digits only").kind(), QueryErrorKind::NotDigits);
    assert_eq!(Query::parse("index=18446744073709551616").expect_err("64 bits").kind(), QueryErrorKind::TooLarge);
}

/// Two commits under one index: a resume after the first repeats nothing and loses nothing (semantics 3, 10).
#[test]
fn equal_indexes_resume_between_them() {
    let broker = broker_of(10);
    for key in ["first", "second", "third"] {
        broker.publish(7, [job(key)]).expect("an equal index is a further batch");
    }
    let mut reader = from(&broker, Start::Oldest);
    for rest in [vec!["second", "third"], vec!["third"], vec![]] {
        let token = reader.recv().expect("one more").token();
        let rest: Vec<_> = rest.into_iter().map(|key| vec![key.to_owned()]).collect();
        assert_eq!(keys_now(&mut from(&broker, Start::After(token))), rest);
    }
}

/// There is a start at "now", and one past the last; neither repeats anything (semantics 8).
#[test]
fn starts_at_now_and_past_the_last() {
    let broker = broker_of(10);
    publish_all(&broker, 1..=3);
    let (mut now, mut past) = (from(&broker, Start::Latest), from(&broker, Start::Index(4)));
    assert_eq!((now.verdict(), past.verdict()), (Verdict::Whole, Verdict::Whole));
    publish_all(&broker, [3, 4]);
    assert_eq!(indexes_now(&mut now), [3, 4], "a further batch of 3 is new");
    assert_eq!(indexes_now(&mut past), [4]);
}

/// What a start found is evicted before the first read: one exact loss, and no stale batch before it; and none at all
/// for a start at the oldest, which is resolved by the first read (semantics 8).
#[test]
fn a_start_that_is_evicted_before_the_first_read() {
    let broker = broker_of(2);
    publish_all(&broker, 1..=2);
    let (mut first, mut oldest) = (from(&broker, Start::Index(1)), from(&broker, Start::Oldest));
    assert_eq!(first.verdict(), Verdict::Whole);
    publish_all(&broker, 3..=5);
    let end = error_now(&mut first);
    let lagged = end.lagged().expect("it was overtaken");
    assert_eq!((lagged.missed, lagged.from, lagged.through, lagged.resumes_at), (3, 1, 3, 4));
    assert_end(&mut first, &end);
    // The start moves with the backlog of the opening and no further: 3 was published later.
    let lagged = error_now(&mut oldest).lagged().cloned().expect("it was overtaken");
    assert_eq!((lagged.missed, lagged.from, lagged.through, lagged.resumes_at), (1, 2, 3, 4));
}

/// Order is checked when a batch is published, since finding an index relies on it (semantics 3).
#[test]
fn a_falling_index_is_refused() {
    let broker = broker_of(10);
    publish_all(&broker, [5, 5]);
    broker.publish(9, []).expect("progress");
    let refused = broker.publish(8, [job("web")]).expect_err("lower than 9");
    assert_eq!(refused.kind, PublishErrorKind::Falling { index: 8, latest: 9 });
    assert_eq!(refused.events.len(), 1, "the events come back");
    assert_eq!(broker.publish(8, []).expect_err("progress falls no more").kind, refused.kind);
    assert_eq!(indexes_now(&mut from(&broker, Start::Oldest)), [5, 5]);
}

/// A narrow reader without matches for long is near the present, as its token shows (semantics 22, 24).
#[test]
fn a_narrow_reader_resumes_near_the_present() {
    let broker = broker_of(2);
    let mut narrow = broker.subscribe(asks("Node", "*")).expect("open");
    assert_empty(&mut narrow);
    publish_all(&broker, 1..=1_000);
    assert_empty(&mut narrow);
    let token: Token = narrow.token().to_string().parse().expect("a token");
    assert_eq!(token.index(), 1_000);
    drop(narrow);
    broker.publish(1_000, [event("Node", "n")]).expect("a further batch");
    let mut resumed = broker.subscribe(asks("Node", "*").start(Start::After(token))).expect("open");
    assert_eq!(keys_now(&mut resumed), [["n"]]);
}

/// After a restore, reads of the old history are distinguished from the new buffer (semantics 9, 10, 23).
#[test]
fn a_restore_is_distinguished() {
    let broker = Broker::<u64>::builder().epoch(Epoch::from(1)).build().expect("defaults");
    let mut reader = from(&broker, Start::Oldest);
    publish_all(&broker, 1..=5);
    let token = reader.recv().expect("the first").token();
    broker.reset(2, Epoch::from(2));
    assert_end(&mut reader, &RecvError::Reset);
    publish_all(&broker, 3..=4);
    let mut resumed = from(&broker, Start::After(token));
    assert_eq!(resumed.verdict(), Verdict::OtherEpoch { oldest: Some(3) });
    assert_eq!(indexes_now(&mut resumed), [3, 4]);
    assert_eq!(from(&broker, Start::Index(2)).verdict(), Verdict::Lost { oldest: Some(3) });
    assert_eq!(from(&broker, Start::Index(3)).verdict(), Verdict::Whole);
    assert_eq!(
        broker.publish(2, [job("web")]).expect_err("falls").kind,
        PublishErrorKind::Falling { index: 2, latest: 4 }
    );
}
