//! All contenders of a setting take turns: each measures a small window of time, then the next. A pass opens all
//! readers anew. The method is described in `METHOD.md`.

use std::time::Instant;

use crate::contenders::Contender;
use crate::options::{Method, Order};
use crate::point::{Mode, Point, Setting};
use crate::rigs::{Length, Turn, open};
use crate::stats::Random;
use crate::watch::{Disturbance, Moment};

/// One turn of one contender.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) point: Point,
    pub(crate) pass: usize,
    pub(crate) round: usize,
    pub(crate) seconds: f64,
    pub(crate) events: u64,
    pub(crate) deliveries: u64,
    /// The time to publish an event and for all readers to read it.
    pub(crate) nanos_per_event: f64,
    /// Of how many publishes the time was taken.
    pub(crate) publishes: u64,
    /// Quantiles of it in nanoseconds: 0.5, 0.99, 0.999, and the longest. Nothing where [`BEYOND`] would not lie beyond.
    pub(crate) publish: [Option<u64>; 4],
    pub(crate) disturbance: Disturbance,
    /// Whether something disturbed it.
    pub(crate) spoiled: bool,
    /// Whether it counts. One that was repeated does not.
    pub(crate) counts: bool,
}

/// How many publishes of a turn must be longer than a quantile, or it is not given.
const BEYOND: f64 = 2.0;

/// A pass ends when it has taken this many times as long as planned, after this many rounds at least: a single window of
/// many readers can be longer than a turn.
const OVERTIME: u32 = 3;
const FEWEST_ROUNDS: usize = 3;

/// The most times that one turn is repeated. A contender repeats as many turns of a pass as the pass has.
const MOST_REPEATS: usize = 2;

/// Involuntary switches that a turn may have. Where several threads share the processors, switches are a part of how a
/// structure wakes its readers, and to leave out the turns that have many would favour those that wake slowly.
const fn own_switches(setting: &Setting) -> u64 {
    match setting.mode {
        Mode::Drain | Mode::Poll | Mode::Frames if setting.publishers == 1 => 0,
        _ => u64::MAX,
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a turn are far below 2^52")]
fn taken(point: Point, pass: usize, round: usize, turn: &Turn, disturbance: Disturbance) -> Taken {
    let seconds = turn.elapsed.as_secs_f64();
    let publishes = turn.publish.len();
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|quantile| {
        let supported = quantile <= 0.5 || publishes as f64 * (1.0 - quantile) >= BEYOND;
        supported.then(|| turn.publish.value_at_quantile(quantile))
    });
    Taken {
        point,
        pass,
        round,
        seconds,
        events: turn.events,
        deliveries: turn.deliveries,
        nanos_per_event: seconds * 1e9 / turn.events as f64,
        publishes,
        publish: [p50, p99, p999, Some(turn.publish.max())],
        disturbance,
        spoiled: disturbance.spoils(own_switches(&point.setting)),
        counts: true,
    }
}

/// Measures one pass of a setting, and calls `note` with each turn.
pub(crate) fn pass(
    setting: Setting,
    contenders: &[Contender],
    method: &Method,
    pass: usize,
    random: &mut Random,
    mut note: impl FnMut(Taken) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut rigs: Vec<_> = contenders
        .iter()
        .map(|&contender| {
            let point = Point { setting, contender };
            (point, open(&point))
        })
        .collect();
    if rigs.is_empty() {
        return Ok(());
    }
    let length = Length {
        warm_up: method.warm_up,
        time: method.turn(),
        windows: setting.round().div_ceil((method.turns * method.passes) as u64),
    };
    let planned = length.time * u32::try_from(method.turns * rigs.len()).unwrap_or(u32::MAX);
    // For each contender, so that one does not have all of them.
    let mut repeated: Vec<(Contender, usize)> = contenders.iter().map(|contender| (*contender, 0)).collect();
    let start = Instant::now();
    for round in 0..method.turns {
        if round >= FEWEST_ROUNDS && start.elapsed() > OVERTIME * planned {
            break;
        }
        match method.order {
            Order::Rotate if round > 0 => rigs.rotate_left(1),
            Order::Random => random.shuffle(&mut rigs),
            Order::Rotate | Order::Fixed => {}
        }
        for (point, rig) in &mut rigs {
            for tries in 0.. {
                let before = Moment::now();
                let turn = rig.turn(length);
                let mut taken = taken(*point, pass, round, &turn, before.until_now());
                let left = repeated.iter_mut().find(|(contender, _)| *contender == point.contender);
                let repeat = taken.spoiled
                    && tries < MOST_REPEATS
                    && left.is_some_and(|(_, repeats)| {
                        *repeats += 1;
                        *repeats <= method.turns
                    });
                taken.counts = !repeat;
                note(taken)?;
                if !repeat {
                    break;
                }
            }
        }
    }
    Ok(())
}
