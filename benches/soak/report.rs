//! Samples of the process, the verdict over them, and the report that is kept.
//!
//! The only check here is that of live heap.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use event_broker::BrokerStats;

use crate::host::{BUFFER, Soak};

/// The process at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) at: Duration,
    /// Live heap above that before the first subscription.
    pub(crate) heap: u64,
    pub(crate) rss: u64,
    pub(crate) stats: BrokerStats,
    pub(crate) delivered: u64,
    pub(crate) lost: u64,
    pub(crate) sessions: u64,
    pub(crate) frames: u64,
}

/// Rows of the table.
const ROWS: usize = 24;

/// How much the median of live heap may change.
const FLAT: f64 = 0.05;

/// The growth of live heap is not checked in shorter runs: sessions last up to 40 s.
const SHORTEST: Duration = Duration::from_secs(100);

/// Resident memory in bytes, or 0 where the system does not report it.
pub(crate) fn rss() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).map_or(0, |kib| kib * 1024)
}

impl Sample {
    pub(crate) fn take(soak: &Soak, at: Duration, heap: u64) -> Self {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = &soak.counts;
        Self {
            at,
            heap,
            rss: rss(),
            stats: soak.broker.stats(),
            delivered: count(&counts.delivered_events),
            lost: count(&counts.told_lost_batches),
            sessions: count(&counts.sessions),
            frames: count(&counts.frames),
        }
    }
}

/// Live heap after the warm-up, at the same number of readers and with a full buffer: the medians of the first and the
/// last tenth.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flatness {
    first: u64,
    last: u64,
    is_long_enough: bool,
}

impl Flatness {
    fn new(samples: &[Sample], duration: Duration, readers: usize) -> Self {
        // As long as the first sessions last, and at least a tenth of a long run.
        let warm = (duration / 10).max(Duration::from_secs(45)).min(duration / 2);
        // After a reset all readers subscribe again and the buffer is empty.
        let is_like_the_others = |sample: &&Sample| {
            sample.at >= warm
                && sample.stats.subscriptions * 100 >= readers as u64 * 98
                && sample.stats.buffered_batches == BUFFER
        };
        let heaps: Vec<u64> = samples.iter().filter(is_like_the_others).map(|sample| sample.heap).collect();
        let tenth = heaps.len().div_ceil(10);
        let median = |part: &[u64]| {
            let mut sorted = part.to_vec();
            sorted.sort_unstable();
            sorted.get(sorted.len() / 2).copied().unwrap_or_default()
        };
        let first = median(heaps.get(..tenth).unwrap_or_default());
        let last = median(heaps.get(heaps.len() - tenth..).unwrap_or_default());
        Self { first, last, is_long_enough: duration >= SHORTEST }
    }

    #[expect(clippy::cast_precision_loss, reason = "for show")]
    fn growth(self) -> f64 {
        self.last as f64 / self.first.max(1) as f64 - 1.0
    }

    fn is_flat(self) -> bool {
        !self.is_long_enough || self.growth().abs() <= FLAT
    }
}

/// The report, and whether all checks passed.
pub(crate) fn report(soak: &Soak, samples: &[Sample]) -> (String, bool) {
    let flatness = Flatness::new(samples, soak.options.duration, soak.options.readers);
    let (failed, failures) = soak.failures();
    let passed = failed == 0 && flatness.is_flat();
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut text, soak, samples, flatness, (failed, &failures));
    let _ = writeln!(text, "\nverdict: {}", if passed { "passed" } else { "FAILED" });
    (text, passed)
}

fn write(
    text: &mut String,
    soak: &Soak,
    samples: &[Sample],
    flatness: Flatness,
    (failed, failures): (u64, &[String]),
) -> std::fmt::Result {
    writeln!(text, "# Soak\n")?;
    writeln!(text, "- command: `{}`", soak.options.command())?;
    writeln!(text, "- commit: {}", commit())?;
    writeln!(
        text,
        "- processor: {}, {} cores",
        processor(),
        std::thread::available_parallelism().map_or(0, usize::from)
    )?;
    writeln!(
        text,
        "- heap is live heap above that before the first subscription; RSS is of the whole process, with the"
    )?;
    writeln!(text, "  journal of what was published and the tasks\n")?;
    writeln!(
        text,
        "| time | heap, KiB | RSS, MiB | subscriptions | terms | batches | events delivered | batches reported lost | sessions | frames | wake-ups |"
    )?;
    writeln!(text, "|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")?;
    for sample in shown(samples) {
        let Sample { at, heap, rss, stats, delivered, lost, sessions, frames } = sample;
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {delivered} | {lost} | {sessions} | {frames} | {} |",
            clock(*at),
            heap / 1024,
            rss / 1024 / 1024,
            stats.subscriptions,
            stats.terms,
            stats.published_batches,
            stats.wakeups
        )?;
    }
    writeln!(text, "\n| total | |\n|---|--:|")?;
    let stats = soak.broker.stats();
    writeln!(text, "| published batches | {} |", stats.published_batches)?;
    writeln!(text, "| published events | {} |", stats.published_events)?;
    for (name, count) in soak.counts.all() {
        writeln!(text, "| {} | {count} |", name.replace('_', " "))?;
    }
    writeln!(text, "| wake-ups | {} |", stats.wakeups)?;
    let Flatness { first, last, is_long_enough } = flatness;
    let note = if is_long_enough { "" } else { " (not checked: the run is too short)" };
    writeln!(
        text,
        "\nheap, median of the first tenth after the warm-up {} KiB, of the last {} KiB: {:+.1} %, at most 5 %{note}",
        first / 1024,
        last / 1024,
        flatness.growth() * 100.0
    )?;
    writeln!(text, "\nchecks that failed: {failed}")?;
    for failure in failures {
        writeln!(text, "- {failure}")?;
    }
    Ok(())
}

/// The last sample of each of at most [`ROWS`] equal parts of the run.
fn shown(samples: &[Sample]) -> impl Iterator<Item = &Sample> {
    let rows = ROWS.min(samples.len());
    (1..=rows).filter_map(move |row| samples.get(row * samples.len() / rows - 1))
}

fn clock(at: Duration) -> String {
    let seconds = at.as_secs();
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn commit() -> String {
    let Some(commit) = output("git", &["rev-parse", "--short", "HEAD"]) else { return "unknown".to_owned() };
    let changes = if output("git", &["diff", "--quiet", "HEAD"]).is_some() { "" } else { ", with changes" };
    commit + changes
}

fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(|| "unknown".to_owned(), |(_, name)| name.trim().to_owned())
}
