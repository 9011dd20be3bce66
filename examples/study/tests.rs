//! What follows from turns and from the command line. Comparisons have tests of their own.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails may panic")]

use std::fs;

use crate::contenders::Contender;
use crate::dimension::{Dimension, Sweep, base_of};
use crate::options::{Command, Options, parse};
use crate::point::{Keys, Mode, Point, Setting};
use crate::result::{Row, Turns};
use crate::sheet::{self, Sheet};
use crate::stats::{Estimate, estimate, quantile};
use crate::support::event::{Payload, Plan, Zipf};
use crate::turns::Taken;
use crate::watch::Disturbance;

fn options(arguments: &str) -> Options {
    let words = ["study"].into_iter().chain(arguments.split_whitespace());
    match parse(lexopt::Parser::from_iter(words)).unwrap() {
        Command::Run(options) => *options,
        other => panic!("{other:?}"),
    }
}

fn error(arguments: &str) -> String {
    let words = ["study"].into_iter().chain(arguments.split_whitespace());
    parse(lexopt::Parser::from_iter(words)).unwrap_err().to_string()
}

fn settings(arguments: &str) -> Vec<Setting> {
    options(arguments).settings().into_iter().map(|(setting, _)| setting).collect()
}

fn taken(point: Point, pass: usize, round: usize, nanos: f64) -> Taken {
    Taken {
        point,
        pass,
        round,
        seconds: 0.01,
        events: 100,
        deliveries: 1_000,
        nanos_per_event: nanos,
        publishes: 500,
        publish: [Some(100), Some(200), None, Some(300)],
        disturbance: Disturbance::default(),
        spoiled: false,
        counts: true,
    }
}

/// Rows of the settings, one turn each.
fn rows(settings: &[Setting]) -> Vec<Row> {
    let point = |setting: &Setting| Point { setting: *setting, contender: Contender::Drain };
    Turns::of(settings.iter().map(|setting| taken(point(setting), 0, 0, 100.0)).collect()).rows(Contender::Tokio, 1)
}

#[test]
fn what_was_given_twice_is_measured_once() {
    let all = settings("--subscribers 10,010 --match 1,1.0 --window 64 --buffer 0,128 --modes drain --quick");
    assert_eq!(all.len(), 1);
}

#[test]
fn a_sweep_varies_one_at_a_time() {
    let all = settings(
        "--sweep --subscribers 10 --match 0.1 --window 4 --batch 1,2,3 --payload 8,9 --churn 0,5 --modes drain",
    );
    let base = Setting { batch: 1, payload: 8, churn: 0, ..all[0] };
    assert_eq!(all.len(), 1 + 2 + 1 + 1);
    let far = |setting: &Setting| {
        usize::from(setting.batch != base.batch)
            + usize::from(setting.payload != base.payload)
            + usize::from(setting.churn != base.churn)
    };
    assert!(all.iter().all(|setting| far(setting) <= 1));
    assert_eq!(
        settings("--subscribers 10 --match 0.1 --window 4 --batch 1,2,3 --payload 8,9 --churn 0,5 --modes drain").len(),
        12
    );
}

#[test]
fn what_cannot_be_measured_is_left_out_and_said() {
    let options =
        options("--subscribers 10 --match 1 --window 1,64 --buffer 8 --modes drain --churn 0,20 --publishers 1,2");
    assert!(options.settings().iter().all(|(setting, _)| setting.window == 1 && setting.churn == 0));
    let said = options.without_effect();
    assert!(said.contains(&"--window 64".to_owned()) && said.contains(&"--churn 20".to_owned()), "{said:?}");
    assert!(said.contains(&"--publishers 2".to_owned()), "{said:?}");
    assert!(error("--modes threads --subscribers 1000").starts_with("no point is left"));
    assert_eq!(
        error("compare a b --window 1"),
        "--window has no effect here, expected no more than compare, --out, --seed"
    );
    assert_eq!(error("--pin a"), "--pin is \"a\", expected numbers of processors, such as 0,2-3");
    assert_eq!(error("--out ."), "--out is \".\", expected a folder with a name");
}

#[test]
fn tables_find_the_base_of_a_sweep_whatever_the_order() {
    let all = settings("--sweep --churn 10,0 --subscribers 1,100 --batch 1,16 --match 1 --window 64 --modes drain");
    let rows = rows(&all);
    let base = base_of(&rows, Mode::Drain, 64).unwrap();
    assert_eq!((base.churn, base.batch), (10, 1));
    let sweeps = Sweep::all(&rows);
    let batches = sweeps.iter().find(|sweep| sweep.dimension == Dimension::Batch).unwrap();
    assert_eq!((batches.subscribers, batches.values()), (100, vec![(1, "1".to_owned()), (16, "16".to_owned())]));
    assert!(batches.rows.iter().all(|row| row.point.setting.churn == 10));
}

#[test]
fn ratios_pair_turns_and_few_passes_are_noisy() {
    let setting = settings("--subscribers 10 --match 1 --window 64 --batch 1 --payload 64 --modes drain")[0];
    let turns = (0..5).flat_map(|pass| (0..4).map(move |round| (pass, round)));
    // The machine becomes slower by and by; the ratio is the same all the time.
    let of = |contender, times: f64| {
        let point = Point { setting, contender };
        let nanos = move |pass: usize, round: usize| {
            times * f64::from(u32::try_from(1_000 + 100 * (4 * pass + round)).unwrap())
        };
        turns.clone().map(move |(pass, round)| taken(point, pass, round, nanos(pass, round)))
    };
    let all: Vec<Taken> = of(Contender::Tokio, 1.0).chain(of(Contender::Drain, 0.5)).collect();
    let rows = Turns::of(all.clone()).rows(Contender::Tokio, 1);
    let (base, ratio) = rows[1].ratio.unwrap();
    assert_eq!((base, ratio), (Contender::Tokio, Estimate { low: 0.5, value: 0.5, high: 0.5 }));
    assert!(rows[1].noisy, "times drifted");
    assert_eq!(rows[1].publish_high, [Some(200.0), None, Some(300.0)]);
    let steady = |passes: usize| {
        let kept = all.iter().filter(|taken| taken.pass < passes).cloned();
        let steady = kept.map(|taken| Taken { nanos_per_event: 100.0, ..taken });
        Turns::of(steady.collect()).rows(Contender::Tokio, 1)[0].noisy
    };
    assert!(steady(4) && !steady(5));
}

#[test]
fn turns_are_read_as_they_were_written_and_older_sheets_too() {
    let folder = std::env::temp_dir().join(format!("event-broker-study-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let setting =
        Setting { publishers: 2, churn: 3, keys: Keys::Zipf, ..settings("--quick --match 0.1 --modes drain")[0] };
    let turn = taken(Point { setting, contender: Contender::Rtrb }, 1, 2, 34.5);
    let mut sheet = Sheet::create(&folder, "a-run").unwrap();
    sheet.append(&turn).unwrap();
    let (run, read) = sheet::read(&folder).unwrap();
    assert_eq!((run.as_str(), read.len()), ("a-run", 1));
    assert_eq!(format!("{:?}", read[0]), format!("{turn:?}"));

    let header = "run,mode,contender,subscribers,match,batch,payload,window,buffer,workers,keys,pass,round,seconds,events,\
                  deliveries,ns_per_event,publish_p50_ns,publish_p99_ns,publish_p999_ns,publish_max_ns,steal_ticks,\
                  switches,disturbed,counts";
    let row = "old,drain,tokio,10,1,1,64,64,0,0,uniform,0,1,0.010000,640,6400,12.500,10,20,30,40,0,0,false,true";
    fs::write(folder.join("turns.csv"), format!("{header}\n{row}\n{row}").as_str()).unwrap();
    let (run, read) = sheet::read(&folder).unwrap();
    assert_eq!((run.as_str(), read.len()), ("old", 1), "the last line was interrupted");
    let Taken { point, publishes, publish, .. } = &read[0];
    assert_eq!((point.setting.publishers, point.setting.churn, *publishes), (1, 0, 0));
    assert_eq!(*publish, [Some(10), Some(20), Some(30), Some(40)]);
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn intervals_hold_what_passes_differ_by() {
    assert!((quantile(&[4.0, 1.0, 3.0, 2.0], 0.5) - 2.5).abs() < 1e-9);
    let same: Vec<Vec<f64>> = vec![vec![100.0; 10]; 5];
    assert_eq!(estimate(&same, 0.5, 1), Estimate { low: 100.0, value: 100.0, high: 100.0 });
    let apart: Vec<Vec<f64>> = [90.0, 95.0, 100.0, 105.0, 110.0].map(|level| vec![level; 10]).into();
    let Estimate { low, value, high } = estimate(&apart, 0.5, 1);
    assert!((value - 100.0).abs() < 1e-9 && low <= 95.0 && high >= 105.0, "{low} to {high}");
}

/// A reader that waits skips windows that do not concern it, which it must not search for one by one.
#[test]
fn the_next_window_of_a_reader_is_the_first_with_an_event_for_it() {
    for (groups, window, batch) in [(1, 1, 1), (3, 2, 1), (7, 4, 3), (100, 1, 1), (100, 64, 2)] {
        for zipf in [false, true] {
            let plan = Plan {
                window,
                batch,
                drawn: zipf.then(|| Zipf::new(groups, window * batch)),
                payload: Payload::of(8),
                ..Plan::selective(groups)
            };
            for reader in 0..usize::try_from(groups).unwrap() {
                for from in [0, 1, 5, 1_000, 70_001] {
                    let next = plan.next(reader, from);
                    let searched = (from..from + 200_000).find(|window| plan.expected(reader, *window) > 0).unwrap();
                    assert_eq!(next, searched, "{groups} groups, {window} x {batch}, reader {reader} from {from}");
                }
            }
        }
    }
}
