//! How criterion runs the benchmarks, and tables of distributions beside its output.

use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode};
use hdrhistogram::Histogram;

/// Short runs: the whole of `cargo bench` must end within a quarter of an hour.
pub(crate) fn config() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20)
        .nresamples(20_000)
}

/// Whether `--test` was given: benchmarks that criterion does not run are then brief.
pub(crate) fn is_quick() -> bool {
    std::env::args().any(|argument| argument == "--test")
}

/// Sorts figures, and returns their lower quartile, their median and their upper quartile, or `None` without figures.
pub(crate) fn quartiles(figures: &mut [f64]) -> Option<[f64; 3]> {
    figures.sort_by(f64::total_cmp);
    let [low, median, high] = [1, 2, 3].map(|quarter| figures.get(figures.len() * quarter / 4).copied());
    Some([low?, median?, high?])
}

/// Sorts figures, and returns their median, which is not a number without figures.
pub(crate) fn median(figures: &mut [f64]) -> f64 {
    quartiles(figures).map_or(f64::NAN, |[_, median, _]| median)
}

/// For iterations that take milliseconds.
pub(crate) fn slow(group: &mut BenchmarkGroup<'_, WallTime>) {
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
}

/// For operations whose preparation takes many times as long as they do. Criterion does not see the preparation.
pub(crate) fn brief(group: &mut BenchmarkGroup<'_, WallTime>) {
    group.warm_up_time(Duration::from_millis(20)).measurement_time(Duration::from_millis(100)).sample_size(10);
}

/// Restores the settings of [`config`].
pub(crate) fn normal(group: &mut BenchmarkGroup<'_, WallTime>) {
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2)).sample_size(20);
    group.sampling_mode(SamplingMode::Auto);
}

/// Distributions of latencies, printed as a table on drop.
pub(crate) struct Latencies {
    title: &'static str,
    rows: Vec<(String, Histogram<u64>)>,
}

impl Latencies {
    pub(crate) fn titled(title: &'static str) -> Self {
        Self { title, rows: Vec::new() }
    }

    /// The distribution of one row.
    pub(crate) fn row(&mut self, name: String) -> &mut Histogram<u64> {
        self.rows.push((name, Histogram::new(3).expect("three digits")));
        &mut self.rows.last_mut().expect("pushed").1
    }
}

/// The name of the processor, where the system says it.
pub(crate) fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{}, {cores} cores", name.map_or("unknown processor", |(_, name)| name.trim()))
}

/// The processor time of all threads of this process, where the system says it. It is some milliseconds behind for a
/// thread that is running.
pub(crate) fn processor_time() -> Option<Duration> {
    let nanos_of = |thread: std::io::Result<std::fs::DirEntry>| -> Option<u64> {
        let text = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse().ok()
    };
    let threads = std::fs::read_dir("/proc/self/task").ok()?;
    threads.map(nanos_of).sum::<Option<u64>>().map(Duration::from_nanos)
}

/// A duration in whole nanoseconds.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Drop for Latencies {
    fn drop(&mut self) {
        self.rows.retain(|(_, latencies)| !latencies.is_empty());
        if self.rows.is_empty() || std::thread::panicking() {
            return;
        }
        println!("\n{}, ns", self.title);
        println!("{:<52} {:>8} {:>10} {:>10} {:>10} {:>10}", "", "n", "p50", "p99", "p99.9", "max");
        for (name, latencies) in &self.rows {
            let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|quantile| latencies.value_at_quantile(quantile));
            println!("{name:<52} {:>8} {p50:>10} {p99:>10} {p999:>10} {:>10}", latencies.len(), latencies.max());
        }
        println!();
    }
}
