//! The whole broker in one thread (G1 to G5, G8 to G10): publishers, readers of every kind and way of waiting, access,
//! resets, clocks, a dispatcher and panicking hooks, in an order that a seed decides.
//!
//! - [`draw`] makes a [`script`](script::Script) from a seed; [`world`] executes its steps without a clock, a thread or
//!   a random number of its own, so a run is reproducible.
//! - A task is polled only after its waker was woken, so a lost wake-up shows as a reader that sleeps.
//! - Faults are followed by steps that remove them and demand progress.
//! - The naive broker checks each read, and the validators of histories check the whole run.
//!
//! A failing run prints its seed and the shortest script that fails in the same way. Scripts worth keeping are in
//! `scripts/`. `SIMULATION_SECONDS` and `SIMULATION_SEED` make the test `long` run seeds for that time.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, unreachable_pub, reason = "tests")]

mod actor;
mod draw;
mod host;
mod open;
mod parse;
mod progress;
#[path = "../common/random.rs"]
mod random;
mod run;
mod script;
#[expect(dead_code, reason = "the oracle uses the rest")]
mod support;
mod text;
mod trail;
mod turns;
mod windows;
mod world;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use run::{Sabotage, run, run_seed, shrink};
use script::Script;

/// The number of seeds of each of two tests, which share the work of two cores.
const SEEDS: u64 = 1_000;

#[test]
fn g1_to_g5_g8_to_g10_even_seeds() {
    (0..SEEDS).for_each(|seed| run_seed(2 * seed));
}

#[test]
fn g1_to_g5_g8_to_g10_odd_seeds() {
    (0..SEEDS).for_each(|seed| run_seed(2 * seed + 1));
}

/// Runs seeds for a time: `SIMULATION_SECONDS=3600 SIMULATION_SEED=7 cargo test --release --features testing --test
/// simulation -- --nocapture long`. Without a seed it begins with one derived from the time.
#[test]
fn long() {
    let setting = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let Some(seconds) = setting("SIMULATION_SECONDS") else { return };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let first = setting("SIMULATION_SEED").unwrap_or(now << 20);
    println!("seeds from {first} on, for {seconds} s");
    let (begun, mut told) = (Instant::now(), 0);
    let mut seed = first;
    while begun.elapsed() < Duration::from_secs(seconds) {
        run_seed(seed);
        seed = seed.wrapping_add(1);
        let minutes = begun.elapsed().as_secs() / 60;
        if minutes > told {
            told = minutes;
            println!("{minutes} min, {} runs", seed.wrapping_sub(first));
        }
    }
    let runs = seed.wrapping_sub(first);
    println!("{runs} runs, {} a second", runs / begun.elapsed().as_secs().max(1));
}

#[test]
fn the_same_seed_twice_gives_the_same_log() {
    for seed in 0..60 {
        let logs =
            [(); 2].map(|()| run(&draw::script(seed), Sabotage::None).unwrap_or_else(|failure| panic!("{failure}")));
        let differs = logs[0].lines().zip(logs[1].lines()).find(|(one, other)| one != other);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(logs[0], logs[1], "seed {seed}");
        assert!(logs[0].lines().count() > 20);
    }
}

#[test]
fn a_script_is_the_same_as_text() {
    for seed in 0..300 {
        let text = draw::script(seed).to_string();
        let again: Script = text.parse().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(again.to_string(), text);
    }
}

/// Scripts that once failed, or that show something rare.
#[test]
fn kept_scripts_are_replayed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/simulation/scripts");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    for path in paths {
        let script: Script =
            fs::read_to_string(&path).unwrap().parse().unwrap_or_else(|error| panic!("{path:?}: {error}"));
        if let Err(failure) = run(&script, Sabotage::None) {
            panic!("{path:?}: {failure}");
        }
    }
}

/// The simulation can fail: deliberate errors are found and shrunk.
#[test]
fn what_goes_wrong_is_found_and_shrunk() {
    for (sabotage, kinds, most) in [
        (Sabotage::LostWakes, ["lost wake-up", "no end"].as_slice(), 3),
        (Sabotage::LostDeliveries, ["no silent loss"].as_slice(), 6),
    ] {
        let failing = (0..50).find_map(|seed| {
            let script = draw::script(seed);
            run(&script, sabotage).err().map(|failure| (script, failure))
        });
        let (script, failure) = failing.expect("it is found");
        assert!(kinds.contains(&failure.kind()), "{failure}");
        let kind = failure.kind().to_owned();
        let (short, failure) = shrink(&script, failure, sabotage, Duration::from_secs(30));
        assert_eq!(failure.kind(), kind);
        assert!(short.steps.len() <= most, "{short}");
        let again: Script = short.to_string().parse().unwrap();
        assert_eq!(run(&again, sabotage).unwrap_err().kind(), kind, "{short}");
    }
}
