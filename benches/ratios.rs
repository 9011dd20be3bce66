//! Benchmark: the budgets that are ratios. The crate and its rivals take turns of one window each, so a change of the
//! machine's speed affects all of them alike.
//!
//! The only statistic is the lower quartile of many turns. Only the ratios are meaningful. Names of groups as arguments,
//! such as `-- publish batch`, measure only these.

#![expect(clippy::cast_precision_loss, reason = "small numbers, for show")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use event_broker::{Broker, Namespace, Subscription};
use smol_str::SmolStr;
use tokio::sync::broadcast;

use support::crew::Crew;
use support::event::{Event, NOBODYS, Payload, Plan, TOPIC, TYPE, event, key};
use support::floor::Ring;
use support::indexed::{Crossbeam, Indexed};
use support::inline::Inline;
use support::ours::{self, Ours};
use support::parallel::{Course, Parallel, Publisher, Rig};
use support::plain::Plain;
use support::rivals::Tokio;
use support::tasks::{Placement, Run, Waiting};
use support::{Awaited, Structure, Want, measure};

mod support;

/// One side of a comparison. A turn returns the nanoseconds of one operation.
struct Side {
    name: String,
    turn: Box<dyn FnMut() -> f64>,
}

impl Side {
    fn new(name: impl Into<String>, turn: impl FnMut() -> f64 + 'static) -> Self {
        Self { name: name.into(), turn: Box::new(turn) }
    }
}

/// Runs `turns` turns of all sides, and prints the lower quartile of each and the ratio to the first.
fn compare(title: &str, turns: usize, mut sides: Vec<Side>) {
    let mut taken: Vec<Vec<f64>> = vec![Vec::with_capacity(turns); sides.len()];
    for _ in 0..turns {
        for (side, taken) in sides.iter_mut().zip(&mut taken) {
            taken.push((side.turn)());
        }
    }
    println!("\n{title}");
    let mut first = None;
    for (side, taken) in sides.iter().zip(&mut taken) {
        let [quartile, ..] = measure::quartiles(taken).unwrap_or_default();
        let ours = *first.get_or_insert(quartile);
        println!("  {:<62} {quartile:>12.2} ns {:>9.4}", side.name, ours / quartile);
    }
}

fn each(elapsed: Duration, operations: u64) -> f64 {
    elapsed.as_nanos() as f64 / operations as f64
}

/// Publishing windows of 64 batches; `publish` takes what `prepare` made.
fn publishing<T>(
    name: &str,
    events: u64,
    prepare: impl Fn(u64, Vec<Event>) -> T + 'static,
    mut publish: impl FnMut(T) + 'static,
) -> Side {
    let payload = Payload::of(256);
    let mut number = 0;
    Side::new(name, move || {
        let window: Vec<T> = (0..64)
            .map(|_| {
                number += 1;
                prepare(number, (0..events).map(|object| event(number * events + object, &payload)).collect())
            })
            .collect();
        let start = Instant::now();
        window.into_iter().for_each(&mut publish);
        each(start.elapsed(), 64)
    })
}

/// Into the broker, with one reader that never reads.
fn publishing_ours(name: &str, events: u64, want: &Want) -> Side {
    let (mut ours, stalled) = Ours::<false>::open(std::slice::from_ref(want), 128);
    publishing(
        name,
        events,
        |index, events| (index, events),
        move |batch| {
            let _ = &stalled;
            ours.publish(batch);
        },
    )
}

fn publish(turns: usize) {
    for events in [1, 16] {
        let (mut inside, stalled_inside) = Tokio::open(&[Want::Everything], 128);
        let (mut before, stalled_before) = Tokio::open(&[Want::Everything], 128);
        compare(
            &format!("publish, one reader that never reads, {events} events a batch"),
            turns,
            vec![
                publishing_ours("event-broker, reader of everything", events, &Want::Everything),
                publishing(
                    "tokio broadcast, Arc made inside",
                    events,
                    |index, events| (index, events),
                    move |(index, events)| {
                        let _ = &stalled_inside;
                        inside.publish(Tokio::prepare(index, events));
                    },
                ),
                publishing("tokio broadcast, Arc made before", events, Tokio::prepare, move |batch| {
                    let _ = &stalled_before;
                    before.publish(batch);
                }),
                publishing_ours("event-broker, reader of the default namespace", events, &Want::DefaultNamespace),
                publishing_ours("event-broker, reader of another key", events, &Want::Key(key(NOBODYS))),
            ],
        );
    }
}

/// Building, publishing and freeing batches of this many events, in windows of 64. Keys are copied from text.
fn building<T>(
    name: &str,
    events: usize,
    build: impl Fn(&str, Payload) -> T + 'static,
    mut publish: impl FnMut(u64, Vec<T>) + 'static,
) -> Side {
    let payload = Payload::of(256);
    let keys: Vec<_> = (0..64 * events as u64).map(key).collect();
    let mut index = 0;
    Side::new(name, move || {
        let start = Instant::now();
        for keys in keys.chunks_exact(events) {
            index += 1;
            publish(index, keys.iter().map(|key| build(key.as_str(), payload.clone())).collect());
        }
        each(start.elapsed(), 64)
    })
}

/// The crate's events, into the broker and into a broadcast of batches, each with one reader that never reads.
fn building_events(events: usize, build: impl Fn(&str, Payload) -> Event + Copy + 'static) -> Vec<Side> {
    let (mut ours, stalled) = Ours::<false>::open(&[Want::Everything], 128);
    let (mut tokio, stalled_tokio) = Tokio::open(&[Want::Everything], 128);
    vec![
        building("event-broker", events, build, move |index, events| {
            let _ = &stalled;
            ours.publish((index, events));
        }),
        building("tokio broadcast of the crate's events", events, build, move |index, events| {
            let _ = &stalled_tokio;
            tokio.publish(Tokio::prepare(index, events));
        }),
    ]
}

/// Into a broadcast of batches of plain structs.
fn building_plain<S: 'static, K: 'static>(
    name: &str,
    events: usize,
    build: impl Fn(&str, Payload) -> Plain<S, K> + 'static,
) -> Side {
    let (sender, stalled) = broadcast::channel(128);
    building(name, events, build, move |index, mut events| {
        let _ = &stalled;
        Plain::stamp(&mut events, index);
        assert_eq!(sender.send(Arc::new((index, events))).map_err(|_| "closed"), Ok(1));
    })
}

fn batch(turns: usize) {
    for events in [1, 16] {
        let title = |names| format!("a batch of {events} built, published and freed, {names}");
        let mut sides = building_events(events, |key, payload| {
            Event::new(TOPIC, TYPE, key, payload).with_namespace(Namespace::DEFAULT).with_filter_key("web")
        });
        sides.push(building_plain("tokio broadcast of plain structs, &str and String", events, |key, payload| {
            let names = ["Allocation", "AllocationUpdated", "default"];
            Plain::new(names, String::from(key), vec![String::from("web")], payload)
        }));
        compare(&title("names are literals, keys are text"), turns, sides);

        let mut sides = building_events(events, |key, payload| {
            Event::new("Allocation", "AllocationUpdated", key, payload).with_namespace("default").with_filter_key("web")
        });
        sides.push(building_plain("tokio broadcast of plain structs, SmolStr", events, |key, payload| {
            let names = ["Allocation", "AllocationUpdated", "default"].map(SmolStr::from);
            Plain::new(names, SmolStr::from(key), vec![SmolStr::from("web")], payload)
        }));
        sides.push(building_plain("tokio broadcast of plain structs, String", events, |key, payload| {
            let names = ["Allocation", "AllocationUpdated", "default"].map(String::from);
            Plain::new(names, String::from(key), vec![String::from("web")], payload)
        }));
        compare(&title("names and keys are text"), turns, sides);
    }
}

/// Draining a window of 64, with several rigs so that the clock is read rarely.
fn draining<S: Structure>(name: &str, readers: usize, want: &Want) -> Side {
    let plan = Plan { all: want.clone(), ..Plan::everything() };
    let mut rigs: Vec<_> = (0..8_usize.div_ceil(readers)).map(|_| Inline::<S>::new(readers, plan.clone())).collect();
    Side::new(name, move || {
        for rig in &mut rigs {
            let window = rig.prepare();
            rig.publish(window);
        }
        let start = Instant::now();
        let deliveries = rigs.iter_mut().map(Inline::drain).sum();
        each(start.elapsed(), deliveries)
    })
}

fn drain(turns: usize) {
    for readers in [1, 100, 1_000, 10_000] {
        compare(
            &format!("everything to {readers} readers, drained on one thread: a delivery"),
            (20 * turns / readers).clamp(turns.min(8), turns),
            vec![
                draining::<Ours<false>>("event-broker, drain", readers, &Want::Everything),
                draining::<Ring<false>>(Ring::<false>::name(), readers, &Want::Everything),
                draining::<Tokio>(Tokio::name(), readers, &Want::Everything),
                draining::<Ours<false>>("event-broker, drain, namespace default", readers, &Want::DefaultNamespace),
            ],
        );
        compare(
            &format!("everything to {readers} readers, taken one by one: a delivery"),
            (20 * turns / readers).clamp(turns.min(8), turns),
            vec![
                draining::<Ours<true>>("event-broker, try_recv", readers, &Want::Everything),
                draining::<Tokio>(Tokio::name(), readers, &Want::Everything),
                draining::<Ring<true>>(Ring::<true>::name(), readers, &Want::Everything),
            ],
        );
    }
}

/// Publishing and reading a window of 64, each reader its own key.
fn selecting<S: Structure>(name: &str, readers: usize) -> Side {
    let mut rig = Inline::<S>::new(readers, Plan::selective(readers as u64));
    Side::new(name, move || {
        let window = rig.prepare();
        let start = Instant::now();
        rig.publish(window);
        let delivered = rig.drain();
        each(start.elapsed(), delivered)
    })
}

fn selective(turns: usize) {
    for readers in [100, 10_000] {
        let channels = Indexed::<Crossbeam, true>::name();
        compare(
            &format!("{readers} readers, each its own key: publish and drain an event"),
            turns,
            vec![
                selecting::<Ours<false>>("event-broker, drain", readers),
                selecting::<Indexed<Crossbeam, true>>(channels, readers),
            ],
        );
        compare(
            &format!("{readers} readers, each its own key, against a filtered broadcast"),
            (10 * turns / readers).clamp(turns.min(4), turns),
            vec![
                selecting::<Ours<false>>("event-broker, drain", readers),
                selecting::<Tokio>("tokio broadcast, filter at the receiver", readers),
            ],
        );
    }
}

/// Publishing to one reader beside idle ones. It reads outside the measured time.
fn beside_idle(idle: u64) -> Side {
    let broker: Broker<Payload> = ours::broker(128);
    let subscribe = |number| ours::subscribe(&broker, &Want::Key(key(number)));
    let mut hot = subscribe(0);
    let readers: Vec<Subscription<Payload>> = (1..=idle).map(subscribe).collect();
    let mut index = 0;
    let mut publish = publishing(
        "",
        1,
        |_, _| vec![event(0, &Payload::of(256))],
        move |events| {
            index += 1;
            ours::publish(&broker, index, events);
        },
    );
    Side::new(format!("event-broker, {idle} idle readers of other keys"), move || {
        let _ = &readers;
        let taken = (publish.turn)();
        assert_eq!(ours::drain(&mut hot).expect("not overtaken").events, 64);
        taken
    })
}

fn bystanders(turns: usize) {
    compare("publish to one hot reader among idle ones", turns, vec![beside_idle(100_000), beside_idle(0)]);
}

/// A window of 64 for 1,000 tasks; returns the time of a delivery.
fn waiting<S: Awaited>(name: &str, placement: Placement) -> Side {
    let mut rig = Waiting::<S>::tasks(1_000, Plan::everything(), placement);
    Side::new(name, move || {
        let run = rig.run(1, Run::timed());
        each(run.elapsed, run.deliveries)
    })
}

fn tasks(turns: usize) {
    for (place, placement) in [
        ("publisher among them, 2 workers", Placement::AmongTasks),
        ("publisher on another thread", Placement::OwnThread),
    ] {
        let title = |how| format!("everything to 1,000 readers as tasks, {place}, {how}: a delivery");
        compare(
            &title("readable and drain"),
            turns.div_ceil(4),
            vec![
                waiting::<Ours<false>>("event-broker, readable and drain", placement),
                waiting::<Tokio>(Tokio::name(), placement),
            ],
        );
        compare(
            &title("recv_async"),
            turns.div_ceil(4),
            vec![
                waiting::<Ours<true>>("event-broker, recv_async", placement),
                waiting::<Tokio>(Tokio::name(), placement),
            ],
        );
    }
}

/// Reading one new batch on so many threads, each with 4,000 readers of its own; returns the time of a delivery to one
/// thread. Turns whose threads did not overlap have no figure, and are sorted behind all others.
fn beside_threads<S: Structure + Sync>(crew: &Arc<Crew>, name: &str, threads: usize) -> Side {
    let (window, publisher) = (1, Publisher::Reader);
    let mut rig = Parallel::<S>::new(crew, threads, 4_000, &Want::Everything);
    let passes = rig.calibrate(window, publisher, Duration::from_millis(4));
    let name = format!("{name}, {threads} {}", if threads == 1 { "thread" } else { "threads" });
    Side::new(name, move || {
        let (round, _) = rig.overlapping_round(Course { window, passes, publisher }, 8);
        round.map_or(f64::NAN, |round| round.each)
    })
}

fn cores(turns: usize) {
    fn both<S: Structure + Sync>(turns: usize, crew: &Arc<Crew>, name: &str) {
        compare(
            &format!("one new batch at a time to 4,000 readers on each thread, {name}: a delivery and thread"),
            turns.div_ceil(8),
            [2, 1].map(|threads| beside_threads::<S>(crew, name, threads)).into(),
        );
    }
    let crew = Crew::new(2);
    both::<Ours<false>>(turns, &crew, "event-broker, drain");
    both::<Ours<true>>(turns, &crew, "event-broker, try_recv");
    both::<Tokio>(turns, &crew, Tokio::name());
}

/// Prints the comparisons of one group.
type Group = fn(turns: usize);

fn main() {
    let quick = measure::is_quick();
    let turns = if quick { 4 } else { 400 };
    println!("lower quartile of {turns} turns or fewer; the last column is the first line's time over this line's");
    let groups: [(&str, Group); 7] = [
        ("publish", publish),
        ("batch", batch),
        ("drain", drain),
        ("selective", selective),
        ("bystanders", bystanders),
        ("tasks", tasks),
        ("cores", cores),
    ];
    let named: Vec<_> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    for (name, group) in groups {
        if named.is_empty() || named.iter().any(|named| named == name) {
            group(turns);
        }
    }
    println!();
}
