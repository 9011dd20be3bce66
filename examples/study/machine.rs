//! The machine that the study ran on, as text. It names neither the host nor its user, and omits what the system does
//! not report.

use std::fmt::Write;
use std::fs;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// A line each.
pub(crate) fn description() -> String {
    let facts = [
        ("date", date()),
        ("event-broker", Some(env!("CARGO_PKG_VERSION").to_owned())),
        ("build", Some(if cfg!(debug_assertions) { "debug: do not use these figures" } else { "release" }.to_owned())),
        ("compiler", compiler()),
        ("processor", value_of("/proc/cpuinfo", "model name")),
        ("cores", std::thread::available_parallelism().ok().map(|cores| cores.to_string())),
        ("cache", value_of("/proc/cpuinfo", "cache size")),
        ("memory", value_of("/proc/meminfo", "MemTotal")),
        ("system", Some(system())),
        ("architecture", Some(std::env::consts::ARCH.to_owned())),
    ];
    let mut text = String::new();
    for (name, fact) in facts {
        if let Some(fact) = fact {
            writeln!(text, "{name}: {fact}").expect("a string takes everything");
        }
    }
    text
}

/// The first value of `name: value` in a file.
fn value_of(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}

/// The compiler in reach, which `cargo run` has just used.
fn compiler() -> Option<String> {
    let output = Command::new("rustc").arg("--version").output().ok()?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
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

/// The day, in UTC.
fn date() -> Option<String> {
    let days = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs() / 86_400;
    let (year, month, day) = civil(days);
    Some(format!("{year}-{month:02}-{day:02}"))
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
