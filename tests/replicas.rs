//! Replicas of one history: a reader that moves from one to another loses nothing and receives nothing twice (G5).

mod common;

use event_broker::{Broker, Epoch, Event, RecvError, Request, Start, Subscription, Token, Verdict};

use common::{asks, assert_end, event, indexes_now, job, keys, publish_all, read_now};

/// A replica that buffers this many batches of the history.
fn replica(batches: u64, epoch: u64) -> Broker<u64> {
    Broker::builder().max_batches(batches).epoch(Epoch::from(epoch)).build().expect("a bound above zero")
}

/// A history with gaps, with indexes that carry several batches, and with batches of several events.
fn history() -> Vec<(u64, Vec<Event<u64>>)> {
    let mut key = 0;
    let mut commit = |index: u64, topics: &[&str]| {
        let events = topics.iter().map(|topic| {
            key += 1;
            event(topic, &key.to_string())
        });
        (index, events.collect())
    };
    vec![
        commit(3, &["Job"]),
        commit(7, &["Job", "Node"]),
        commit(7, &["Node"]),
        commit(7, &["Job"]),
        commit(8, &["Node"]),
        commit(20, &["Job", "Job"]),
        commit(20, &["Job"]),
        commit(21, &["Node"]),
        commit(22, &["Job"]),
    ]
}

fn commit(broker: &Broker<u64>, history: impl IntoIterator<Item = (u64, Vec<Event<u64>>)>) {
    for (index, events) in history {
        broker.publish(index, events).expect("rising");
    }
}

fn all_keys(reader: &mut Subscription<u64>) -> Vec<String> {
    read_now(reader).iter().flat_map(keys).collect()
}

/// After any number of batches a reader moves to the other replica by its token, as text, and continues exactly there,
/// while both replicas receive more.
#[test]
fn a_reader_moves_by_token_without_loss_or_repetition() {
    for request in [Request::new as fn() -> Request<u64>, || asks("Job", "*"), || asks("Node", "*")] {
        let (first, second) = (replica(100, 1), replica(16, 1));
        commit(&first, history());
        commit(&second, history());
        let whole = all_keys(&mut first.subscribe(request()).expect("open"));
        for read in 0..=history().len() {
            let mut reader = first.subscribe(request()).expect("open");
            let mut got: Vec<_> = (0..read).map_while(|_| reader.try_recv().ok()).flat_map(|d| keys(&d)).collect();
            let token: Token = reader.token().to_string().parse().expect("a token");
            drop(reader);
            let mut moved = second.subscribe(request().start(Start::After(token))).expect("open");
            assert_eq!(moved.verdict(), Verdict::Whole);
            got.extend(all_keys(&mut moved));
            assert_eq!(got, whole, "after {read} batches");
        }
    }
}

/// It moves back and forth while commits reach one replica before the other.
#[test]
fn a_reader_moves_back_and_forth_while_replicas_lag() {
    let replicas = [replica(100, 1), replica(9, 1)];
    let mut got = Vec::new();
    let mut token: Option<Token> = None;
    for (round, (index, events)) in history().into_iter().enumerate() {
        for broker in &replicas {
            // The reader is on the other replica before this one has the commit.
            let start = token.map_or(Start::Oldest, Start::After);
            let mut reader = broker.subscribe(Request::new().start(start)).expect("open");
            got.extend(all_keys(&mut reader));
            // This replica may not have reached the place, but nothing before it is lost.
            assert!(matches!(reader.verdict(), Verdict::Whole | Verdict::Future { .. }), "round {round}");
            broker.publish(index, events.clone()).expect("rising");
            got.extend(all_keys(&mut reader));
            token = Some(reader.token());
        }
    }
    assert_eq!(got, (1..=got.len()).map(|key| key.to_string()).collect::<Vec<_>>());
    assert_eq!(got.len(), history().iter().map(|(_, events)| events.len()).sum::<usize>());
}

/// By index it moves at the next whole index: nothing is lost or repeated if it has read all of its last index.
#[test]
fn a_reader_moves_by_index() {
    let (first, second) = (replica(100, 1), replica(100, 1));
    commit(&first, history());
    commit(&second, history());
    let mut reader = first.subscribe(Request::new()).expect("open");
    let mut got = Vec::new();
    while let Ok(delivery) = reader.try_recv() {
        got.extend(keys(&delivery));
        if delivery.index() == 8 {
            break;
        }
    }
    let mut moved = second.subscribe(Request::new().start(Start::Index(9))).expect("open");
    assert_eq!(moved.verdict(), Verdict::Whole);
    got.extend(all_keys(&mut moved));
    assert_eq!(got, all_keys(&mut first.subscribe(Request::new()).expect("open")));
}

/// A replica with a smaller buffer reports what is lost there, and one that lags reports that the place is in the
/// future.
#[test]
fn a_smaller_or_later_replica_says_so() {
    let (first, small, late) = (replica(100, 1), replica(2, 1), replica(100, 1));
    commit(&first, history());
    commit(&small, history());
    commit(&late, history().into_iter().take(2));
    let mut reader = first.subscribe(Request::new()).expect("open");
    for _ in 0..3 {
        reader.recv().expect("one");
    }
    let token = reader.token();
    let mut moved = small.subscribe(Request::new().start(Start::After(token))).expect("open");
    assert_eq!((moved.verdict(), indexes_now(&mut moved)), (Verdict::Lost { oldest: Some(21) }, vec![21, 22]));
    // The reader has two of the batches of 7, and the late replica has one yet.
    let mut waiting = late.subscribe(Request::new().start(Start::After(token))).expect("open");
    assert_eq!(indexes_now(&mut waiting), [0; 0]);
    commit(&late, history().into_iter().skip(2));
    let mut rest = first.subscribe(Request::new().start(Start::After(token))).expect("open");
    assert_eq!(all_keys(&mut waiting), all_keys(&mut rest));
}

/// Across epochs a token means nothing, and a reader moves by index.
#[test]
fn across_epochs_a_reader_moves_by_index() {
    let (old, new) = (replica(100, 1), replica(100, 2));
    commit(&old, history());
    commit(&new, history());
    let mut reader = old.subscribe(Request::new()).expect("open");
    let last = read_now(&mut reader).pop().expect("some");
    let mut by_token = new.subscribe(Request::new().start(Start::After(last.token()))).expect("open");
    assert_eq!(by_token.verdict(), Verdict::OtherEpoch { oldest: Some(3) });
    assert_eq!(all_keys(&mut by_token).len(), 11, "from the oldest on");
    let mut by_index = new.subscribe(Request::new().start(Start::Index(last.index() + 1))).expect("open");
    publish_all(&new, [22, 23]);
    assert_eq!((by_index.verdict(), indexes_now(&mut by_index)), (Verdict::Whole, vec![23]));
}

/// A replica restored at an index has the history from the next one on: that is whole, and anything before is lost.
#[test]
fn a_restored_replica_begins_after_its_initial_index() {
    let first = replica(100, 1);
    let restored = Broker::<u64>::builder().epoch(Epoch::from(1)).initial_index(8).build().expect("defaults");
    let mut reader = first.subscribe(Request::new()).expect("open");
    commit(&first, history().into_iter().take(5));
    let mut tokens = Vec::new();
    while let Ok(delivery) = reader.try_recv() {
        tokens.push((delivery.index(), delivery.token()));
    }
    let &[.., (7, at_7), (8, at_8)] = &tokens[..] else { panic!("up to 8, got {tokens:?}") };
    let open = |start| restored.subscribe(Request::new().start(start)).expect("open");
    // Empty, and nothing is unread: a reader of everything up to 8 has lost nothing.
    assert_eq!(open(Start::Index(9)).verdict(), Verdict::Whole);
    assert_eq!(open(Start::Index(8)).verdict(), Verdict::Lost { oldest: None });
    assert_eq!(open(Start::After(at_7)).verdict(), Verdict::Lost { oldest: None });
    let caught_up = reader.token();
    let mut moved = open(Start::After(caught_up));
    let rest: Vec<_> = history().into_iter().skip(5).collect();
    commit(&first, rest.clone());
    commit(&restored, rest);
    assert_eq!(all_keys(&mut moved), all_keys(&mut reader));
    assert!(restored.publish(8, [job("web")]).is_err());
    // How many batches a restored index had is unknown: it may be reported as lost.
    let verdict = open(Start::After(at_8)).verdict();
    assert!(matches!(verdict, Verdict::Whole | Verdict::Lost { oldest: Some(20) }), "{verdict:?}");
}

/// A broker that is restored in place ends its readers, and they resume by index on the new history.
#[test]
fn a_broker_restored_in_place_ends_its_readers() {
    let broker = replica(100, 1);
    commit(&broker, history());
    let mut reader = broker.subscribe(Request::new()).expect("open");
    assert_eq!(reader.recv().expect("the first").index(), 3);
    broker.reset(30, Epoch::from(2));
    assert_end(&mut reader, &RecvError::Reset);
    assert_eq!(broker.epoch(), Epoch::from(2));
    let mut resumed = broker.subscribe(Request::new().start(Start::Index(31))).expect("open");
    let mut late = broker.subscribe(Request::new().start(Start::Index(4))).expect("open");
    publish_all(&broker, [31]);
    assert_eq!((resumed.verdict(), indexes_now(&mut resumed)), (Verdict::Whole, vec![31]));
    assert_eq!((late.verdict(), indexes_now(&mut late)), (Verdict::Lost { oldest: None }, vec![31]));
}
