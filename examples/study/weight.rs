//! The memory of a subscription and of a batch: a copy of this program makes many and reads its resident memory.
//!
//! The column is empty where the system does not report it.

use std::collections::HashMap;
use std::process::Command;
use std::str::FromStr;

use crate::contenders::{Contender, UnknownName, Visit, VisitFramed};
use crate::point::{Mode, Point};
use crate::support::event::{Payload, Plan};
use crate::support::framed::{Framed, Out};
use crate::support::{Churning, Structure, Want};

/// Enough that pages and the program's own memory do not matter.
const READERS: usize = 10_000;

/// Batches that are weighed.
const BATCHES: usize = 4_096;

/// What to weigh, as text: `readers:CONTENDER:GROUPS`, or `batches:CONTENDER:EVENTS:BYTES` with `frames` instead where a
/// reader has had their frames.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Load {
    Readers { contender: Contender, groups: u64 },
    Batches { contender: Contender, batch: usize, payload: usize, framed: bool },
}

impl FromStr for Load {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let parts: Vec<&str> = text.split(':').collect();
        let number = |text: &str| text.parse().map_err(|_| UnknownName);
        match parts.as_slice() {
            ["readers", contender, groups] => {
                Ok(Self::Readers { contender: contender.parse()?, groups: number(groups)? as u64 })
            }
            [what @ ("batches" | "frames"), contender, batch, payload] => Ok(Self::Batches {
                contender: contender.parse()?,
                batch: number(batch)?,
                payload: number(payload)?,
                framed: *what == "frames",
            }),
            _ => Err(UnknownName),
        }
    }
}

/// Results so far, by what was weighed.
#[derive(Debug, Default)]
pub(crate) struct Weights(HashMap<String, Option<u64>>);

impl Weights {
    /// Bytes of one subscription as the point has them, with room for two windows.
    pub(crate) fn of_subscription(&mut self, point: &Point) -> Option<u64> {
        // Narrow readers have a key each, which is the largest case.
        let groups = if point.setting.groups() > 1 { READERS } else { 1 };
        self.of(&format!("readers:{}:{groups}", point.contender))
    }

    /// Bytes of one batch as the point has them, its events included.
    pub(crate) fn of_batch(&mut self, point: &Point) -> Option<u64> {
        let Point { contender, setting } = point;
        let what = if setting.mode == Mode::Frames { "frames" } else { "batches" };
        self.of(&format!("{what}:{contender}:{}:{}", setting.batch, setting.payload))
    }

    fn of(&mut self, load: &str) -> Option<u64> {
        if let Some(known) = self.0.get(load) {
            return *known;
        }
        let weigh = || {
            let program = std::env::current_exe().ok()?;
            let output = Command::new(program).args(["--weigh", load]).output().ok()?;
            String::from_utf8(output.stdout).ok()?.trim().parse().ok()
        };
        *self.0.entry(load.to_owned()).or_insert(weigh())
    }
}

struct Weigh(Load);

impl Visit for Weigh {
    type Output = Option<u64>;

    fn inline<S: Churning>(self) -> Option<u64> {
        self.weigh::<S>(|_, _| {})
    }
}

impl VisitFramed for Weigh {
    type Output = Option<u64>;

    fn framed<S: Framed>(self) -> Option<u64> {
        self.weigh::<S>(|structure, reader| {
            structure.frames(reader, &mut Out::default());
        })
    }
}

impl Weigh {
    /// `read` reads what was published, or does not.
    fn weigh<S: Structure>(self, read: impl Fn(&S, &mut S::Reader)) -> Option<u64> {
        // Made before the first measurement, because it is allocated once.
        drop(S::open(&[Want::Everything], 128));
        let before;
        let (after, units) = match self.0 {
            Load::Readers { groups, .. } => {
                let plan = Plan::selective(groups);
                let wants: Vec<Want> = (0..READERS).map(|reader| plan.want(reader)).collect();
                before = resident()?;
                let opened = S::open(&wants, 2 * plan.window);
                let after = resident()?;
                assert_eq!(opened.1.len(), READERS);
                (after, READERS)
            }
            Load::Batches { batch, payload, .. } => {
                let plan = Plan { batch, payload: Payload::of(payload), copied: true, ..Plan::everything() };
                let (mut structure, mut readers) = S::open(&[Want::Everything], BATCHES);
                before = resident()?;
                for number in 0..BATCHES as u64 {
                    structure.publish(S::prepare(number + 1, plan.events(number)));
                }
                for reader in &mut readers {
                    read(&structure, reader);
                }
                let after = resident()?;
                drop(readers);
                (after, BATCHES)
            }
        };
        Some(after.saturating_sub(before) / units as u64)
    }
}

/// Prints the bytes of one subscription or batch in this process.
pub(crate) fn print_own(load: &Load) {
    let (Load::Readers { contender, .. } | Load::Batches { contender, .. }) = load;
    let framed = matches!(load, Load::Batches { framed: true, .. });
    if let Some(bytes) = if framed { contender.visit_framed(Weigh(*load)) } else { contender.visit(Weigh(*load)) } {
        println!("{bytes}");
    }
}

/// The resident memory of this process, in bytes.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1_024)
}
