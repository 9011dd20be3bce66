//! What else the machine did while a turn was measured: time stolen by other guests, switches that the thread did not
//! ask for, and other processes' work. Where the system does not report it, it counts as undisturbed.

use std::fs;
use std::time::Instant;

/// What the system had counted at a moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moment {
    /// Ticks that other guests had, of all processors.
    steal: u64,
    /// Involuntary switches of all threads of this process.
    switches: u64,
}

/// What disturbed a turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Disturbance {
    pub(crate) steal: u64,
    pub(crate) switches: u64,
}

impl Disturbance {
    /// Whether the turn is to be repeated. Threads of a runtime take turns on the processors by themselves, and some
    /// switches are theirs.
    pub(crate) fn spoils(self, own_switches: u64) -> bool {
        self.steal > 0 || self.switches > own_switches
    }
}

impl Moment {
    /// Whether the system reports both. Otherwise no turn counts as disturbed.
    pub(crate) fn is_known() -> bool {
        steal().is_some() && switches().is_some()
    }

    pub(crate) fn now() -> Self {
        Self { steal: steal().unwrap_or_default(), switches: switches().unwrap_or_default() }
    }

    pub(crate) fn until_now(self) -> Disturbance {
        let now = Self::now();
        Disturbance {
            steal: now.steal.saturating_sub(self.steal),
            switches: now.switches.saturating_sub(self.switches),
        }
    }
}

/// The numbers of the first line of `/proc/stat`, in ticks: user, nice, system, idle, iowait, irq, softirq, steal, …
fn ticks() -> Option<Vec<u64>> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    text.lines().next()?.split_whitespace().skip(1).map(|number| number.parse().ok()).collect()
}

fn steal() -> Option<u64> {
    ticks()?.get(7).copied()
}

fn switches() -> Option<u64> {
    let of = |thread: std::io::Result<fs::DirEntry>| -> Option<u64> {
        let text = fs::read_to_string(thread.ok()?.path().join("status")).ok()?;
        text.lines().find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"))?.trim().parse().ok()
    };
    Some(fs::read_dir("/proc/self/task").ok()?.filter_map(of).sum())
}

/// The load of the machine over the last minute.
pub(crate) fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

/// Watches how much of the processors other processes use.
#[derive(Debug)]
pub(crate) struct Others {
    start: Instant,
    busy: Option<u64>,
    own: Option<u64>,
}

/// Busy ticks of all processors.
fn busy() -> Option<u64> {
    let ticks = ticks()?;
    let all: u64 = ticks.iter().take(8).sum();
    Some(all - ticks.get(3)? - ticks.get(4)?)
}

/// Ticks of this process.
fn own() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = text.rsplit(')').next()?.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(ticks(11)? + ticks(12)?)
}

impl Others {
    pub(crate) fn begin() -> Self {
        Self { start: Instant::now(), busy: busy(), own: own() }
    }

    /// How many processors the others kept busy since the beginning, on average. A tick is a hundredth of a second.
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    pub(crate) fn processors(&self) -> Option<f64> {
        let all = busy()?.saturating_sub(self.busy?);
        let own = own()?.saturating_sub(self.own?);
        Some(all.saturating_sub(own) as f64 / 100.0 / self.start.elapsed().as_secs_f64().max(0.01))
    }
}
