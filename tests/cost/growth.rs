//! Each operation at three sizes, n, 4n and 16n, and how its steps may grow from one to the next.
//!
//! Absolute numbers appear only as bounds that hold at any size.

mod access;
mod chains;
mod limits;
pub mod opening;
mod publishing;

use event_broker::steps::{Step, Steps, take};
use event_broker::{Broker, Event, Request, Subscription, Term, TryRecvError};

/// How the steps of an operation grow with a size.
#[derive(Clone, Copy, Debug)]
enum Growth {
    /// Constant.
    Flat,
    /// Logarithmic.
    Log,
    Linear,
    NLogN,
}

/// How much more than its growth an operation may take at a larger size: tables move entries in bursts.
const SLACK: f64 = 1.3;

impl Growth {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    fn at(self, size: usize) -> f64 {
        let size = size as f64;
        match self {
            Self::Flat => 1.0,
            Self::Log => size.log2(),
            Self::Linear => size,
            Self::NLogN => size * size.log2(),
        }
    }
}

/// Measures at `size`, four times that, and sixteen times that.
#[track_caller]
fn assert_growth(what: &str, growth: Growth, size: usize, measure: impl FnMut(usize) -> u64) {
    assert_growth_with(what, growth, SLACK, size, measure);
}

#[track_caller]
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn assert_growth_with(what: &str, growth: Growth, slack: f64, size: usize, mut measure: impl FnMut(usize) -> u64) {
    let sizes = [size, 4 * size, 16 * size];
    let steps = sizes.map(&mut measure);
    if std::env::var_os("COST_VERBOSE").is_some() {
        println!("{what}: {growth:?}, {steps:?} steps at {sizes:?}");
    }
    for (larger, steps_then) in sizes.iter().zip(&steps).skip(1) {
        let allowed = steps[0].max(1) as f64 * growth.at(*larger) / growth.at(size) * slack;
        assert!((*steps_then as f64) <= allowed, "{what}: {steps:?} steps at {sizes:?} is more than {growth:?}");
    }
}

/// The steps of an operation.
fn steps_of<T>(operation: impl FnOnce() -> T) -> (T, Steps) {
    take();
    let done = operation();
    (done, take())
}

/// All steps but the moves of tables, which whichever operation comes at the wrong time pays for.
fn without_moves(steps: Steps) -> u64 {
    steps.all() - steps.of(Step::Move)
}

fn broker(batches: usize) -> Broker<()> {
    Broker::builder().max_batches(batches as u64).build().unwrap()
}

fn event(topic: &str, key: &str) -> Event<()> {
    Event::new(topic, "t", key, ())
}

fn key(number: usize) -> Term {
    Term::new("A", format!("k{number}")).unwrap()
}

fn keys(keys: std::ops::Range<usize>) -> Request<()> {
    Request::new().terms(keys.map(key))
}

/// Publishes one batch of these events, at the next index.
fn publish(broker: &Broker<()>, events: impl Into<Vec<Event<()>>>) {
    broker.publish(broker.latest_index() + 1, events).unwrap();
}

/// Reads until nothing is left, and returns the number of batches.
fn read_all(reader: &mut Subscription<()>) -> usize {
    let mut read = 0;
    loop {
        match reader.try_recv() {
            Ok(_) => read += 1,
            Err(TryRecvError::Empty) => return read,
            Err(error) => panic!("{error}"),
        }
    }
}
