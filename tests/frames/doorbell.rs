//! Frames behind a doorbell: the host reads until a call returns no frame, then waits for the bell.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::common::TIME_LIMIT;

/// How the first encoding of a payload ends; later ones succeed.
#[derive(Clone, Copy, PartialEq)]
enum First {
    Well,
    Error,
    Panic,
}

struct Payload(std::sync::Mutex<First>);

impl Payload {
    fn new(first: First) -> Self {
        Self(std::sync::Mutex::new(first))
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let first = std::mem::replace(&mut *self.0.lock().unwrap(), First::Well);
        match first {
            First::Well => serializer.serialize_unit(),
            First::Error => Err(serde::ser::Error::custom("not now")),
            First::Panic => panic!("not now"),
        }
    }
}

/// The frames of a host that reads after each ring until a call returns none, until nothing rings any more.
fn read_by_rings(fails: First) -> Vec<String> {
    let broker = Broker::new();
    let mut subscription = broker.subscribe(Request::new()).unwrap();
    let bell = subscription.doorbell();
    let mut frames = subscription.into_frames(options(NEVER));
    broker.publish(1, [job("a", Payload::new(First::Well))]).unwrap();
    broker.publish(2, [job("b", Payload::new(fails))]).unwrap();
    broker.publish(3, [job("c", Payload::new(First::Well))]).unwrap();
    let (mut read, mut rings) = (Vec::new(), 0);
    while bell.recv_timeout(if rings == 0 { TIME_LIMIT } else { Duration::from_millis(50) }).is_ok() {
        rings += 1;
        assert!(rings < 10, "it rings on although there is nothing to read");
        // The panic is the payload's; a host may continue after it.
        while let Ok(Ok(Some(frame))) = catch_unwind(AssertUnwindSafe(|| frames.try_frame())) {
            read.push(frame.to_string());
        }
    }
    read
}

#[test]
fn a_payload_that_refuses_leaves_the_bell_rung_for_what_is_behind_it() {
    let whole = ["{}\n".to_owned(), line(1, "a", "null"), line(2, "b", "null"), line(3, "c", "null")];
    assert_eq!(read_by_rings(First::Well), whole);
    let [opening, a, _, c] = whole;
    let without_the_second = [opening, a, c];
    assert_eq!(read_by_rings(First::Error), without_the_second);
    assert_eq!(read_by_rings(First::Panic), without_the_second);
}
