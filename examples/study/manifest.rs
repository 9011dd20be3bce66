//! The manifest of a run: what was measured, built how, on which machine, and beside what. It names neither the host nor
//! its user, and omits what the system does not report.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use crate::options::Options;
use crate::stats::median;
use crate::support::measure::nanos;
use crate::watch::load;

/// The versions that this program was built with.
const LOCK: &str = include_str!("../../Cargo.lock");

/// The packages that are compared.
const RIVALS: [&str; 5] = ["tokio", "async-broadcast", "crossbeam-channel", "flume", "rtrb"];

fn version(package: &str) -> Option<&'static str> {
    let (_, found) = LOCK.split_once(&format!("name = \"{package}\"\nversion = \""))?;
    found.split('"').next()
}

/// The first value of `name: value` in a file.
fn value_of(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}

/// What a program prints, without the line's end.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

fn git(arguments: &[&str]) -> Option<String> {
    let root = env!("CARGO_MANIFEST_DIR");
    output("git", &[&["-C", root][..], arguments].concat())
}

/// Whether tracked files differ from the commit.
fn dirty() -> Option<bool> {
    git(&["status", "--porcelain", "--untracked-files=no"]).map(|changes| !changes.is_empty())
}

/// Whether a source has changed since the program was built, so that it is not of the tree as it is.
fn older_than_sources() -> Option<bool> {
    let built = fs::metadata(std::env::current_exe().ok()?).ok()?.modified().ok()?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = ["src", "benches/support", "examples/study", "Cargo.toml", "Cargo.lock"];
    let newest = sources.iter().filter_map(|source| newest(&root.join(source))).max()?;
    Some(built < newest)
}

/// The time at which a file, or the last of a folder, was changed.
fn newest(path: &Path) -> Option<SystemTime> {
    let facts = fs::metadata(path).ok()?;
    if facts.is_file() {
        return facts.modified().ok();
    }
    fs::read_dir(path).ok()?.filter_map(|entry| newest(&entry.ok()?.path())).max()
}

fn system() -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").ok();
    let release = fs::read_to_string("/etc/os-release").ok().and_then(|text| {
        text.lines().find_map(|line| Some(line.strip_prefix("PRETTY_NAME=")?.trim_matches('"').to_owned()))
    });
    match (release, kernel) {
        (Some(release), Some(kernel)) => format!("{release}, kernel {}", kernel.trim()),
        _ => std::env::consts::OS.to_owned(),
    }
}

/// The time in UTC, as `2026-11-26T20:41:07Z`.
fn now() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (year, month, day) = civil(seconds / 86_400);
    let [hour, minute, second] = [seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60];
    format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The Gregorian day that is so many days after the first of 1970.
fn civil(mut days: u64) -> (u64, usize, u64) {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let months = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for length in months {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

/// What it costs to read the clock twice, in nanoseconds: the median of many.
#[expect(clippy::cast_precision_loss, reason = "some nanoseconds")]
fn clock_cost() -> f64 {
    const READS: u32 = 100;
    let once = || {
        let start = Instant::now();
        for _ in 0..READS {
            std::hint::black_box(Instant::now());
        }
        nanos(start.elapsed()) as f64 / f64::from(READS)
    };
    median(&(0..50).map(|_| once()).collect::<Vec<_>>())
}

/// A manifest that is written when the run begins, and again at its end.
#[derive(Debug)]
pub(crate) struct Manifest {
    pub(crate) run: String,
    facts: Map<String, Value>,
}

impl Manifest {
    pub(crate) fn begin(options: &Options) -> Self {
        let started = now();
        let commit = git(&["rev-parse", "HEAD"]);
        let short = commit.as_deref().and_then(|commit| commit.get(..8)).unwrap_or("unknown");
        let digits: String = started.chars().filter(char::is_ascii_alphanumeric).collect();
        let run = format!("{digits}-{short}-{:x}", std::process::id());
        let rivals: Map<String, Value> =
            RIVALS.iter().map(|rival| ((*rival).to_owned(), json!(version(rival)))).collect();
        let features: Vec<&str> = [
            ("json", cfg!(feature = "json")),
            ("stream", cfg!(feature = "stream")),
            ("bytes", cfg!(feature = "bytes")),
            ("testing", cfg!(feature = "testing")),
        ]
        .into_iter()
        .filter_map(|(name, on)| on.then_some(name))
        .collect();
        let facts = json!({
            "run": run,
            "started": started,
            "command": std::env::args().skip(1).collect::<Vec<_>>(),
            "seed": options.seed,
            "method": options.method.json(),
            "event-broker": env!("CARGO_PKG_VERSION"),
            "commit": commit,
            "dirty": dirty(),
            "older_than_sources": older_than_sources(),
            "build": if cfg!(debug_assertions) { "debug: do not use these figures" } else { "release" },
            "flags": option_env!("RUSTFLAGS").unwrap_or_default(),
            "features": features,
            "compiler": output("rustc", &["--version"]),
            "rivals": rivals,
            "processor": value_of("/proc/cpuinfo", "model name"),
            "cores": std::thread::available_parallelism().ok().map(usize::from),
            "pinned": options.pin,
            "governor": fs::read_to_string("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
                .ok()
                .map(|governor| governor.trim().to_owned()),
            "cache": value_of("/proc/cpuinfo", "cache size"),
            "memory": value_of("/proc/meminfo", "MemTotal"),
            "system": system(),
            "architecture": std::env::consts::ARCH,
            "clock_ns": clock_cost(),
            "load_at_start": load(),
        });
        let Value::Object(facts) = facts else { unreachable!("it is an object") };
        Self { run, facts }
    }

    /// Adds a fact.
    pub(crate) fn set(&mut self, name: &str, fact: Value) {
        self.facts.insert(name.to_owned(), fact);
    }

    pub(crate) fn end(&mut self) {
        self.set("ended", json!(now()));
        self.set("load_at_end", json!(load()));
    }

    pub(crate) fn write(&self, directory: &Path) -> std::io::Result<()> {
        let text = serde_json::to_string_pretty(&self.facts).map_err(std::io::Error::other)?;
        super::sheet::replace(&directory.join("manifest.json"), &(text + "\n"))
    }
}

/// The manifest in a directory, or nothing if it has none that can be read.
pub(crate) fn read(directory: &Path) -> Option<Map<String, Value>> {
    let text = fs::read_to_string(directory.join("manifest.json")).ok()?;
    serde_json::from_str(&text).ok()
}
