//! A soak test: thousands of readers subscribe, leave, stall, lag and are denied while one publisher keeps its rate.
//!
//! Each read is checked for order, duplicates, whole batches, deliveries behind a fence, and batches that were neither
//! delivered nor reported as lost (G1 to G4, G8, G10). Over time, live heap must stay within 5 % (G6). The exit code is
//! 1 if a check failed.
//!
//! Run it by hand, for an hour; `--out` writes the report, which is kept in `benches/record/`.
//!
//! | file | holds |
//! |---|---|
//! | `plan` | what is published and what readers ask for |
//! | `host` | the publisher, and changes of access |
//! | `session`, `audit` | one subscription, and the check of what it received |
//! | `readers` | the ways of waiting |
//! | `report` | samples, the verdict and the written report |

mod audit;
mod host;
mod options;
mod plan;
mod readers;
mod report;
mod session;

use std::io::{IsTerminal, stderr};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use peak_alloc::PeakAlloc;
use tokio::runtime;
use tokio::sync::Semaphore;

use host::Soak;
use options::{Options, USAGE};
use plan::Draw;
use report::Sample;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Readers on their own threads.
const THREADS: usize = 4;
/// Readers at doorbells, and readers that one thread polls in turn.
const BELLS: usize = 50;
const POLLED: usize = 100;
/// How often some subscriptions are cancelled through their handles.
const CANCEL: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let options = match Options::parse() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("soak: {error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let (soak, samples) = run(options);
    let (report, passed) = report::report(&soak, &samples);
    let written = if let Some(file) = &soak.options.out {
        std::fs::write(file, &report)
    } else {
        println!("{report}");
        Ok(())
    };
    if let Err(error) = written {
        eprintln!("soak: the report was not written: {error}\n{report}");
        return ExitCode::FAILURE;
    }
    eprintln!("soak: {}", if passed { "passed" } else { "FAILED" });
    ExitCode::from(u8::from(!passed))
}

fn run(options: Options) -> (Arc<Soak>, Vec<Sample>) {
    let Options { duration, readers, threads, .. } = options;
    let every = (duration / 400).clamp(Duration::from_millis(100), Duration::from_secs(10));
    let mut samples = Vec::with_capacity(500);
    let progress = Progress::new(duration);
    let runtime = runtime::Builder::new_multi_thread().worker_threads(threads).enable_time().build().expect("threads");
    let (bells, polled) = (BELLS.min(readers / 20), POLLED.min(readers / 10));
    let tasks = readers.saturating_sub(THREADS + bells + polled);
    let soak = Arc::new(Soak::new(options));
    let gate = Arc::new(Semaphore::new(0));
    let handles: Vec<_> = (0..tasks as u64)
        .map(|number| runtime.spawn(readers::task(Arc::clone(&soak), number, Arc::clone(&gate))))
        .collect();
    // Memory from before the first subscription is not the broker's; tasks are allocated by now.
    let base = ALLOCATOR.current_usage();
    let started = Instant::now();
    gate.add_permits(tasks);
    thread::scope(|scope| {
        let soak = &*soak;
        let number = |thread: usize| (tasks + thread) as u64;
        scope.spawn(|| soak.publish_all());
        scope.spawn(|| soak.dispatch_at_times());
        for thread in 0..THREADS {
            scope.spawn(move || readers::thread(soak, number(thread)));
        }
        scope.spawn(move || readers::belled(soak, number(THREADS), bells));
        scope.spawn(move || readers::polled(soak, number(THREADS + 1), polled));
        observe(soak, started, every, base, &mut samples, &progress);
    });
    let ended = Instant::now();
    for handle in handles {
        if let Err(error) = runtime.block_on(handle) {
            soak.fail(format!("a reader panicked: {error}"));
        }
    }
    progress.end();
    if ended.elapsed() > Duration::from_secs(60) {
        soak.fail("readers took more than a minute to end".to_owned());
    }
    let stats = soak.broker.stats();
    if stats.subscriptions != 0 || stats.terms != 0 {
        soak.fail(format!("everybody has left, and still: {stats:?}"));
    }
    (soak, samples)
}

/// Takes samples until the time is over, and performs the host's periodic work.
fn observe(
    soak: &Soak,
    started: Instant,
    every: Duration,
    base: usize,
    samples: &mut Vec<Sample>,
    progress: &Progress,
) {
    let mut draw = Draw::new(soak.options.seed, u64::MAX - 1);
    let mut next_cancel = started + CANCEL;
    while !soak.is_over() {
        thread::sleep(every);
        let heap = ALLOCATOR.current_usage().saturating_sub(base) as u64;
        let sample = Sample::take(soak, started.elapsed(), heap);
        if samples.len() < samples.capacity() {
            samples.push(sample);
        }
        progress.show(&sample, soak.failures().0);
        if Instant::now() >= next_cancel {
            next_cancel += CANCEL;
            let handles = soak.broker.subscriptions();
            for _ in 0..3 {
                let place = usize::try_from(draw.below(handles.len().max(1) as u64)).unwrap_or_default();
                if let Some(handle) = handles.get(place) {
                    handle.cancel();
                }
            }
        }
    }
}

/// Shows progress, on a terminal only.
struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    fn new(duration: Duration) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(duration.as_secs());
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} s, {eta} left, {wide_msg}");
            bar.set_style(style.expect("a template that is fixed"));
            bar
        });
        Self { bar }
    }

    fn show(&self, sample: &Sample, failed: u64) {
        let Some(bar) = &self.bar else { return };
        bar.set_position(sample.at.as_secs());
        let (readers, heap) = (sample.stats.subscriptions, sample.heap / 1024);
        bar.set_message(format!("{readers} readers, heap {heap} KiB, {failed} checks failed"));
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
