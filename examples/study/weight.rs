//! The memory of a subscription: a copy of this program opens many and reads its resident memory.
//!
//! The column is empty where the system does not report it.

use std::collections::HashMap;
use std::process::Command;

use crate::contenders::{Contender, Visit};
use crate::point::Point;
use crate::support::event::{Plan, key};
use crate::support::{Structure, Want};

/// Enough that pages and the program's own memory do not matter.
const READERS: usize = 10_000;

/// What to open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) contender: Contender,
    pub(crate) groups: u64,
    pub(crate) readers: usize,
}

/// Results so far.
#[derive(Debug, Default)]
pub(crate) struct Weights(HashMap<(&'static str, bool), Option<u64>>);

impl Weights {
    /// Bytes of one subscription as the point has them, with room for two windows.
    pub(crate) fn of(&mut self, point: &Point) -> Option<u64> {
        let narrow = point.setting.groups() > 1;
        *self.0.entry((point.contender.name(), narrow)).or_insert_with(|| {
            // Narrow readers have a key each, which is the largest case.
            let groups = if narrow { READERS } else { 1 };
            let program = std::env::current_exe().ok()?;
            let load = format!("{}:{groups}:{READERS}", point.contender);
            let output = Command::new(program).args(["--weigh", &load]).output().ok()?;
            String::from_utf8(output.stdout).ok()?.trim().parse().ok()
        })
    }
}

struct Open(Load);

impl Visit for Open {
    type Output = Option<u64>;

    fn inline<S: Structure>(self) -> Option<u64> {
        let Self(Load { groups, readers, .. }) = self;
        let plan = Plan::selective(groups);
        let wants: Vec<Want> = (0..readers).map(|reader| plan.want(reader)).collect();
        // Made before the first measurement, because it is allocated once.
        drop(S::open(&[Want::Key(key(0))], 2 * plan.window));
        let before = resident()?;
        let opened = S::open(&wants, 2 * plan.window);
        let after = resident()?;
        assert_eq!(opened.1.len(), readers);
        Some(after.saturating_sub(before) / readers as u64)
    }
}

/// Prints the bytes of one subscription in this process.
pub(crate) fn print_own(load: &Load) {
    if let Some(bytes) = load.contender.visit(Open(*load)) {
        println!("{bytes}");
    }
}

/// The resident memory of this process, in bytes.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1_024)
}
