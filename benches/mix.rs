//! Benchmark: a mix of readers, each of which wants a part of the batches.
//!
//! Readers that all want the same, or one key each, are in `fanout` and `selective`.
//!
//! - Batches of 1 to 20 events, of five topics and three namespaces. Each event is of one of 10,000 keys, all alike or by
//!   a Zipf distribution with exponent 1. Of 1,000 readers, 5 % want everything, 25 % a topic, and 70 % one to three keys
//!   of a topic, which are drawn like those of the events. A third of the latter two kinds name one namespace. All of it
//!   is drawn before, and always the same.
//! - The rivals: a channel for each reader behind a hash index, with a backlog, as in `support/mix/routed.rs`; and tokio's
//!   broadcast, whose readers filter. A reader looks at each of its events.
//! - Windows of 64: after 64 batches every reader reads. Live: after each batch those read that it concerns, or all where
//!   each filters for itself. A read is that of one reader, of all there is; after a window most readers of keys find
//!   nothing if the keys are uniform.
//! - On one thread, publishing and reading are timed. As tasks on two workers, with the publisher among them, the time is
//!   that from the first publish of a window until all have read it. Processor time is that of all threads, as the system
//!   counts it: with what tasks and waking cost, and what idle workers spend on looking for work. Building batches is in
//!   neither.
//! - Ratios are to that one of the channels which has the lowest median. After each window every reader must have received
//!   exactly its events.

#![expect(clippy::cast_precision_loss, reason = "small numbers, for show")]

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use support::mix::plan::{Distribution, Plan};
use support::mix::rigs::{OneThread, Tasks};
use support::mix::routed::{Crossbeam, Flume, Routed, Rtrb};
use support::mix::sides::{Filtered, Ours};
use support::mix::{Mixed, MixedTasks};
use support::turns::{self, Options, Report, Side, Size, Table};

mod support;

const READERS: usize = 1_000;

fn each(taken: Duration, count: u64) -> f64 {
    taken.as_nanos() as f64 / count as f64
}

fn one_thread<S: Mixed>(name: &str, plan: &Arc<Plan>, windows: u64) -> Side<9> {
    let mut rig = OneThread::<S>::new(plan);
    Side::new(name, move || {
        let taken = rig.run(windows);
        let [everything, topic, scoped_topic, keys, scoped_keys] = taken.by_kind.map(|(time, reads)| each(time, reads));
        [
            each(taken.publishing, taken.batches),
            each(taken.reading, taken.deliveries),
            each(taken.elapsed, taken.batches),
            each(taken.elapsed, taken.deliveries),
            everything,
            topic,
            scoped_topic,
            keys,
            scoped_keys,
        ]
    })
}

fn tasks<S: MixedTasks>(name: &str, plan: &Arc<Plan>, windows: u64) -> Side<3> {
    let mut rig = Tasks::<S>::new(plan);
    Side::new(name, move || {
        let taken = rig.run(windows);
        [
            each(taken.publishing, taken.batches),
            each(taken.elapsed, taken.deliveries),
            taken.processor.map_or(f64::NAN, |processor| each(processor, taken.batches)),
        ]
    })
}

/// What is measured of one distribution of keys and one length of windows.
struct Case<'a> {
    options: &'a Options,
    distribution: Distribution,
    plan: Arc<Plan>,
}

impl Case<'_> {
    fn table(&self, title: &str, group: &'static str, rounds: usize, base: std::ops::Range<usize>) -> Table<'static> {
        let keys = match self.distribution {
            Distribution::Uniform => "uniform",
            Distribution::Zipf => "Zipf",
        };
        let when = if self.plan.window == 1 { "live".to_owned() } else { format!("windows of {}", self.plan.window) };
        Table {
            title: format!("{keys} keys, {when}, {title}, {}", self.plan.summary()),
            group,
            parameter: format!("{keys}/{}", self.plan.window),
            rounds: self.options.rounds(rounds),
            base,
        }
    }

    /// So many windows that a round has this many batches.
    fn windows(&self, batches: usize) -> u64 {
        if self.options.size == Size::Test { 1 } else { (batches / self.plan.window) as u64 }
    }

    fn one_thread(&self, report: &mut Report) -> std::io::Result<()> {
        let (plan, windows) = (&self.plan, self.windows(64));
        let table = self.table("on one thread", "mix_inline", 50, 2..5);
        let measures = [
            ("publishing, a batch", "_publish"),
            ("reading, an event delivered", "_read"),
            ("both, a batch", "_batch"),
            ("both, an event delivered", "_event"),
            ("a read of everything", "_read_everything"),
            ("a read of a topic", "_read_topic"),
            ("a read of a topic in one namespace", "_read_scoped_topic"),
            ("a read of keys", "_read_keys"),
            ("a read of keys in one namespace", "_read_scoped_keys"),
        ];
        let sides = vec![
            one_thread::<Ours<false>>("event-broker, drain", plan, windows),
            one_thread::<Ours<true>>("event-broker, try_recv", plan, windows),
            one_thread::<Routed<Crossbeam>>(Routed::<Crossbeam>::name(), plan, windows),
            one_thread::<Routed<Flume>>(Routed::<Flume>::name(), plan, windows),
            one_thread::<Routed<Rtrb>>(Routed::<Rtrb>::name(), plan, windows),
            one_thread::<Filtered>(Filtered::name(), plan, windows),
        ];
        report.compare(&table, measures, sides)
    }

    fn tasks(&self, report: &mut Report) -> std::io::Result<()> {
        let (plan, windows) = (&self.plan, self.windows(512));
        let table = self.table("as tasks on 2 workers", "mix_tasks", 15, 2..3);
        let measures = [
            ("publishing, a batch", "_publish"),
            ("until all have read, an event delivered", "_event"),
            ("processor time, a batch", "_processor"),
        ];
        let sides = vec![
            tasks::<Ours<false>>("event-broker, readable and drain", plan, windows),
            tasks::<Ours<true>>("event-broker, recv_async", plan, windows),
            tasks::<Routed<Flume>>(Routed::<Flume>::name(), plan, windows),
            tasks::<Filtered>(Filtered::name(), plan, windows),
        ];
        report.compare(&table, measures, sides)
    }
}

fn main() -> ExitCode {
    turns::main("mix", |options, report| {
        for distribution in [Distribution::Uniform, Distribution::Zipf] {
            for window in [64, 1] {
                let plan = Arc::new(Plan::new(distribution, READERS, window));
                let case = Case { options, distribution, plan };
                case.one_thread(report)?;
                case.tasks(report)?;
            }
        }
        Ok(())
    })
}
