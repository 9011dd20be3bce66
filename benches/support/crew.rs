//! Threads that sleep between rounds, so that the sides of a comparison can use the same ones.
//!
//! What they do in a round, and how they wait for each other, is decided in `parallel`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::Thread;

/// The part of a thread in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seat {
    Reader(usize),
    Publisher,
}

type Job = Box<dyn FnOnce() + Send>;

/// Some threads that read, and one that can publish.
pub(crate) struct Crew {
    readers: Vec<Sender<Job>>,
    publisher: (Sender<Job>, Thread),
    pinned: bool,
}

impl Crew {
    /// A crew for rounds of at most this many threads that read.
    pub(crate) fn new(readers: usize) -> Arc<Self> {
        let cores = cores();
        let workers: Vec<_> = (0..readers).map(|_| worker()).collect();
        // On a busy machine the system leaves threads that wait for each other on one core, where they never overlap.
        let pinned = readers <= cores.len() && workers.iter().zip(cores).all(|((worker, _), core)| pin(worker, core));
        let readers = workers.into_iter().map(|(worker, _)| worker).collect();
        Arc::new(Self { readers, publisher: worker(), pinned })
    }

    /// Whether each thread that reads runs on a core of its own, and on no other.
    pub(crate) fn is_pinned(&self) -> bool {
        self.pinned
    }

    /// How many threads can read.
    pub(crate) fn readers(&self) -> usize {
        self.readers.len()
    }

    /// The thread that can publish.
    pub(crate) fn publisher(&self) -> Thread {
        self.publisher.1.clone()
    }

    /// Runs `part` on so many threads that read, and on the publisher's if that is asked for. Returns the results in this
    /// order.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        readers: usize,
        publisher: bool,
        part: impl Fn(Seat) -> T + Send + Sync + 'static,
    ) -> Vec<T> {
        let part = Arc::new(part);
        let (sender, results) = channel();
        let reading = self.readers.iter().take(readers).enumerate().map(|(n, worker)| (Seat::Reader(n), worker));
        let apart = publisher.then_some((Seat::Publisher, &self.publisher.0));
        let mut ran = Vec::new();
        for (place, (seat, worker)) in reading.chain(apart).enumerate() {
            let (part, sender) = (Arc::clone(&part), sender.clone());
            let job = move || {
                let result = catch_unwind(AssertUnwindSafe(|| part(seat)));
                // Not received if another thread has panicked.
                let _ = sender.send((place, result));
            };
            worker.send(Box::new(job)).expect("workers run as long as the crew");
            ran.push(None);
        }
        for _ in 0..ran.len() {
            let (place, result) = results.recv().expect("each job sends");
            // The other threads may wait for that one forever; the end of `main` ends them.
            let result = result.unwrap_or_else(|_| panic!("a thread of the round has panicked"));
            *ran.get_mut(place).expect("counted") = Some(result);
        }
        ran.into_iter().flatten().collect()
    }
}

type Worker = (Sender<Job>, Thread);

fn worker() -> Worker {
    let (sender, jobs) = channel::<Job>();
    let handle = std::thread::spawn(move || jobs.into_iter().for_each(|job| job()));
    (sender, handle.thread().clone())
}

/// The cores that this thread may use. Empty where the system does not say.
fn cores() -> Vec<usize> {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or_default();
    let range = |text: &str| {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Some(first.parse().ok()?..=last.parse().ok()?)
    };
    allowed.trim().split(',').filter_map(range).flatten().collect()
}

/// Has a worker run on this core only, by the program `taskset`: the standard library has no call for it. Returns
/// whether that worked.
fn pin(worker: &Sender<Job>, core: usize) -> bool {
    let (sender, result) = channel();
    let job = move || {
        let thread = std::fs::read_link("/proc/thread-self").unwrap_or_default();
        let taskset = Command::new("taskset")
            .args(["--cpu-list", "--pid", &core.to_string()])
            .arg(thread.file_name().unwrap_or_default())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        let _ = sender.send(taskset.is_ok_and(|status| status.success()));
    };
    worker.send(Box::new(job)).is_ok() && result.recv().unwrap_or(false)
}
