//! What comparisons find in turns that are made up, and what they do not.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails may panic")]

use super::*;
use crate::point::{Keys, Setting};
use crate::stats::Random;
use crate::watch::Disturbance;

fn settings(count: usize) -> Vec<Setting> {
    let setting = |place: usize| Setting {
        mode: Mode::Drain,
        subscribers: 10 * (place + 1),
        fraction: 1.0,
        batch: 1,
        payload: 64,
        window: 64,
        buffer: 0,
        workers: 0,
        keys: Keys::Uniform,
        publishers: 1,
        churn: 0,
    };
    (0..count).map(setting).collect()
}

/// A run whose turns vary by some percent, and whose settings met a machine of varying speed. `factor` is by how much a
/// contender is slower than it should be.
fn run(seed: u64, count: usize, pace: f64, factor: impl Fn(Contender) -> f64) -> Turns {
    let mut random = Random::new(seed);
    let mut turns = Turns::default();
    for setting in settings(count) {
        let machine = pace * (0.95 + 0.1 * random.fraction());
        for contender in Contender::OURS.into_iter().chain(Contender::RIVALS).filter(|each| each.can(&setting)) {
            for pass in 0..5 {
                let luck = 0.97 + 0.06 * random.fraction();
                for round in 0..4 {
                    let nanos = 1_000.0 * machine * luck * factor(contender) * (0.97 + 0.06 * random.fraction());
                    turns.add(Taken {
                        point: Point { setting, contender },
                        pass,
                        round,
                        seconds: 0.01,
                        events: 10_000,
                        deliveries: 100_000,
                        nanos_per_event: nanos,
                        publishes: 0,
                        publish: [None; 4],
                        disturbance: Disturbance::default(),
                        spoiled: false,
                        counts: true,
                    });
                }
            }
        }
    }
    turns
}

fn compare(before: &Turns, after: &Turns) -> Compared {
    Compared::of_mode(Mode::Drain, before, after, 1)
}

/// What the comparison says of the crate by windows, and by owned deliveries.
fn verdicts(compared: &Compared) -> [&'static str; 2] {
    Contender::OURS.map(|contender| compared.verdict(contender, &compared.mean(contender, 1).unwrap()))
}

fn crate_by(factor: f64) -> impl Fn(Contender) -> f64 {
    move |contender| if contender.is_ours() { factor } else { 1.0 }
}

#[test]
fn nothing_is_found_between_equal_programs() {
    for seed in 0..3 {
        let (before, after) = (run(seed, 6, 1.0, crate_by(1.0)), run(seed + 100, 6, 1.08, crate_by(1.0)));
        let compared = compare(&before, &after);
        assert_eq!(verdicts(&compared), ["no change beyond noise"; 2], "seed {seed}");
        assert!(compared.changed().is_empty(), "seed {seed}");
    }
}

#[test]
fn a_change_of_a_tenth_is_found_whatever_the_machine_did() {
    for seed in 0..3 {
        let before = run(seed, 6, 1.0, crate_by(1.0));
        let slower = run(seed + 100, 6, 0.95, crate_by(1.1));
        assert_eq!(verdicts(&compare(&before, &slower)), ["slower"; 2], "seed {seed}");
        assert_eq!(verdicts(&compare(&slower, &before)), ["faster"; 2], "seed {seed}");
    }
}

#[test]
fn floors_and_those_that_run_code_of_the_crate_are_no_controls() {
    let before = run(1, 6, 1.0, crate_by(1.0));
    let others = |contender| match contender {
        Contender::Drain | Contender::Owned => 1.1,
        Contender::TokioByValue | Contender::Ring | Contender::Empty => 1.5,
        _ => 1.0,
    };
    assert_eq!(verdicts(&compare(&before, &run(2, 6, 1.0, others))), ["slower"; 2]);
}

#[test]
fn a_machine_that_became_another_one_compares_with_nothing() {
    let (before, after) = (run(1, 6, 1.0, crate_by(1.0)), run(2, 6, 1.3, crate_by(1.4)));
    let compared = compare(&before, &after);
    assert_eq!(verdicts(&compared), ["measure again"; 2]);
    assert!(compared.changed().is_empty());
}

#[test]
fn one_point_says_nothing() {
    let (before, after) = (run(1, 1, 1.0, crate_by(1.0)), run(2, 1, 1.0, crate_by(1.4)));
    let compared = compare(&before, &after);
    assert_eq!(verdicts(&compared), ["too few points"; 2]);
    assert!(compared.changed().is_empty());
}

#[test]
fn a_point_that_changed_alone_is_listed() {
    let before = run(1, 6, 1.0, crate_by(1.0));
    let after = run(2, 6, 1.0, crate_by(1.0));
    let slow = settings(6).remove(4);
    let turns = after.points().flat_map(|point| after.of_point(point)).cloned().map(|mut taken| {
        if taken.point == (Point { setting: slow, contender: Contender::Drain }) {
            taken.nanos_per_event *= 1.6;
        }
        taken
    });
    let compared = compare(&before, &Turns::of(turns.collect()));
    let changed = compared.changed();
    assert_eq!(changed.len(), 1);
    assert_eq!((changed[0].contender, &changed[0].setting), (Contender::Drain, &slow.to_string()));
}

#[test]
fn latencies_are_compared_by_what_their_rounds_span() {
    let curve = |contender, rate: u32, p50: f64| Curve {
        contender,
        arrivals: open_loop::Arrivals::Poisson,
        subscribers: 10.0,
        rate: f64::from(rate),
        p50: [p50, p50 * 0.95, p50 * 1.05],
        p99: [2.0 * p50, p50, 3.0 * p50],
        noisy: [false; 2],
    };
    let curves = |ours: f64| {
        let of = |rate: u32| {
            let theirs = [Contender::Tokio, Contender::Flume].map(|each| curve(each, rate, 1_000.0));
            theirs.into_iter().chain([curve(Contender::Drain, rate, ours)])
        };
        (1..=8).flat_map(of).collect::<Vec<_>>()
    };
    let compared = Compared::of_latency("latency p50", &curves(1_000.0), &curves(1_300.0), |curve| curve.p50);
    let mean = compared.mean(Contender::Drain, 1).unwrap();
    assert_eq!(compared.verdict(Contender::Drain, &mean), "slower");
    let compared = Compared::of_latency("latency p50", &curves(1_000.0), &curves(1_050.0), |curve| curve.p50);
    let mean = compared.mean(Contender::Drain, 1).unwrap();
    assert_eq!(compared.verdict(Contender::Drain, &mean), "no change beyond noise", "two controls say little");
}
