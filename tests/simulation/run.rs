//! The result of a script, as a log or a failure, and the shortest script that still fails in the same way.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{Write as _, stderr};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::{Mutex, Once};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use crate::draw;
use crate::host::{Faults, Planned};
use crate::open::Host;
use crate::script::Script;
use crate::world::World;

/// An error that a run makes on purpose, to test that it is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sabotage {
    #[default]
    None,
    /// Wake-ups of tasks are lost.
    LostWakes,
    /// A delivery of each reader is hidden from the validators.
    LostDeliveries,
}

/// How a run failed.
#[derive(Clone, Debug)]
pub struct Failure {
    message: String,
}

impl Failure {
    /// What shrinking preserves: the check that failed, without details of this run.
    pub fn kind(&self) -> &str {
        self.message.split([':', '\n']).next().unwrap_or_default()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
    static NAME: RefCell<String> = RefCell::new("a script that was kept".to_owned());
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a message")
}

/// Keeps panics of runs out of the output, and their messages.
fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = take_hook();
        set_hook(Box::new(move |info| {
            if info.payload().is::<Planned>() {
                return;
            }
            if !QUIET.get() {
                return others(info);
            }
            let message = said(info.payload());
            let place =
                info.location().map_or_else(String::new, |place| format!(" ({}:{})", place.file(), place.line()));
            LAST.with(|last| *last.borrow_mut() = format!("{message}{place}"));
        }));
    });
}

/// The longest run on a slow machine; a longer one hangs.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// When the run of each thread began, and its name.
static RUNNING: Mutex<Vec<(ThreadId, Instant, String)>> = Mutex::new(Vec::new());

/// Ends the process if a run hangs, which no panic can.
struct Watched;

impl Watched {
    fn new() -> Self {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            thread::spawn(|| {
                loop {
                    thread::sleep(Duration::from_secs(1));
                    let running = RUNNING.lock().unwrap();
                    if let Some((.., name)) = running.iter().find(|(_, begun, _)| begun.elapsed() > TIME_LIMIT) {
                        // Not by a macro, whose output the harness captures.
                        let _ = writeln!(stderr(), "{name} hangs");
                        std::process::abort();
                    }
                }
            });
        });
        RUNNING.lock().unwrap().push((thread::current().id(), Instant::now(), NAME.with_borrow(Clone::clone)));
        Self
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let this = thread::current().id();
        RUNNING.lock().unwrap().retain(|(thread, ..)| *thread != this);
    }
}

/// Runs a script and returns its log, or how it failed.
pub fn run(script: &Script, sabotage: Sabotage) -> Result<String, Failure> {
    listen();
    let _watched = Watched::new();
    QUIET.set(true);
    let ran = catch_unwind(AssertUnwindSafe(|| {
        Faults::heal();
        let host = Host::new(&script.config);
        let mut world = World::new(&host, &script.config, sabotage);
        for step in &script.steps {
            world.take(step);
        }
        world.finish();
        std::mem::take(&mut world.log)
    }));
    QUIET.set(false);
    Faults::heal();
    ran.map_err(|_| Failure { message: LAST.take() })
}

/// Removes as many steps as it can while the script fails in the same way, within a time.
pub fn shrink(script: &Script, failure: Failure, sabotage: Sabotage, limit: Duration) -> (Script, Failure) {
    let begun = Instant::now();
    let (mut best, mut failure) = (script.clone(), failure);
    let mut chunk = best.steps.len().div_ceil(2).max(1);
    loop {
        let mut from = 0;
        let before = best.steps.len();
        while from < best.steps.len() && begun.elapsed() < limit {
            let mut shorter = best.clone();
            shorter.steps.drain(from..(from + chunk).min(best.steps.len()));
            match run(&shorter, sabotage) {
                Err(other) if other.kind() == failure.kind() => (best, failure) = (shorter, other),
                _ => from += chunk,
            }
        }
        if begun.elapsed() >= limit || chunk == 1 && best.steps.len() == before {
            return (best, failure);
        }
        chunk = chunk.div_ceil(2);
    }
}

/// Runs the script of a seed, and panics with a short script if it fails.
pub fn run_seed(seed: u64) {
    NAME.set(format!("seed {seed}, or a shorter script of its,"));
    let script = draw::script(seed);
    let Err(failure) = run(&script, Sabotage::None) else { return };
    let (short, failure) = shrink(&script, failure, Sabotage::None, Duration::from_secs(60));
    panic!("seed {seed} fails, by {failure}\nas a file of tests/simulation/scripts:\n{short}");
}
