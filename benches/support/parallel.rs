//! The rig of several threads: each reads all readers of its own, at the same time as the others.
//!
//! A round is a number of passes. In a pass, one thread publishes a window; then all threads meet at a starting line,
//! and each lets its readers read the window. Only reading is timed, by each thread for itself, and every reader's
//! count is checked. Threads spin at the starting line, so all of them run when a pass begins. Whether they went on
//! running is computed from their times, and a pass in which they did not is left out.

#![expect(clippy::cast_precision_loss, reason = "small numbers, for show")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};

use super::crew::{Crew, Seat};
use super::event::Plan;
use super::measure::quartiles;
use super::{Seen, Structure, Want};

/// Batches that a structure holds, whatever the window. It holds two of the largest.
pub(crate) const CAPACITY: usize = 128;

/// The share of a pass in which all threads must have been reading, or it is left out.
///
/// Of threads that run undisturbed it is 0.9 and more. It is near 0 if one was preempted meanwhile, or if two share a
/// core.
const ENOUGH_OVERLAP: f64 = 0.75;

/// Who publishes between two passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Publisher {
    /// One of the threads that read.
    Reader,
    /// A thread of its own, which sleeps while the others read.
    Apart,
}

/// What a round does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Course {
    /// Batches that are published between two reads of a reader, at most [`CAPACITY`].
    pub(crate) window: usize,
    pub(crate) passes: usize,
    pub(crate) publisher: Publisher,
}

/// When a thread was reading: its start and end in each pass.
type Spans = Vec<(Instant, Instant)>;

/// The times of a pass.
struct Pass {
    /// From the first start to the last end.
    whole: Duration,
    /// From the last start to the first end.
    together: Duration,
    /// How long a thread was reading: the mean of the threads.
    reading: Duration,
}

impl Pass {
    /// `None` if no thread was reading.
    fn new(spans: impl Iterator<Item = (Instant, Instant)>) -> Option<Self> {
        let (starts, ends): (Vec<_>, Vec<_>) = spans.unzip();
        let (first_start, last_start) = (starts.iter().min()?, starts.iter().max()?);
        let (first_end, last_end) = (ends.iter().min()?, ends.iter().max()?);
        let reading: Duration = starts.iter().zip(&ends).map(|(start, end)| *end - *start).sum();
        Some(Self {
            whole: *last_end - *first_start,
            together: first_end.saturating_duration_since(*last_start),
            reading: reading / u32::try_from(starts.len()).ok()?,
        })
    }

    fn overlaps(&self) -> bool {
        self.together.as_secs_f64() >= self.whole.as_secs_f64() * ENOUGH_OVERLAP
    }
}

/// The result of a round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Round {
    /// Nanoseconds of a delivery to a thread: the median of the passes whose threads overlapped.
    pub(crate) each: f64,
    /// The share of the round's time in which all threads were reading, of all passes.
    pub(crate) overlap: f64,
    /// Whether the threads overlapped in at least half of the passes.
    counts: bool,
    /// The shortest pass.
    shortest: Duration,
}

impl Round {
    /// The result from the times of each thread, and from the number of deliveries to a thread in a pass.
    fn new(threads: &[Spans], deliveries: usize) -> Self {
        let count = threads.first().map_or(0, Vec::len);
        let spans = |pass: usize| threads.iter().filter_map(move |spans| spans.get(pass).copied());
        let passes: Vec<_> = (0..count).filter_map(|pass| Pass::new(spans(pass))).collect();
        let overlapping = passes.iter().filter(|pass| pass.overlaps());
        let mut each: Vec<_> = overlapping.map(|pass| pass.reading.as_nanos() as f64 / deliveries as f64).collect();
        let counts = !each.is_empty() && each.len() * 2 >= count;
        let sum = |of: fn(&Pass) -> Duration| passes.iter().map(of).sum::<Duration>().as_secs_f64();
        Self {
            each: quartiles(&mut each).map_or(f64::NAN, |[_, median, _]| median),
            overlap: sum(|pass| pass.together) / sum(|pass| pass.whole),
            counts,
            shortest: passes.iter().map(|pass| pass.whole).min().unwrap_or_default(),
        }
    }
}

/// A [`Parallel`] of any structure.
pub(crate) trait Rig {
    /// Runs a round. Panics if a reader does not receive what it must.
    fn round(&mut self, course: Course) -> Round;

    /// Returns how many passes take at least this long, from a few passes that also warm the caches. Returns 1 if no
    /// time is asked for.
    fn calibrate(&mut self, window: usize, publisher: Publisher, at_least: Duration) -> usize {
        if at_least.is_zero() {
            return 1;
        }
        let shortest = self.round(Course { window, passes: 3, publisher }).shortest;
        let passes = at_least.as_nanos().div_ceil(shortest.as_nanos().max(1));
        usize::try_from(passes).unwrap_or(usize::MAX).clamp(1, 1_000)
    }

    /// Runs rounds until the threads of one overlap in half of its passes, or there were this many. Returns that round,
    /// and how many were discarded.
    fn overlapping_round(&mut self, course: Course, attempts: usize) -> (Option<Round>, usize) {
        for discarded in 0..attempts {
            let round = self.round(course);
            if round.counts {
                return (Some(round), discarded);
            }
        }
        (None, attempts)
    }
}

/// A structure whose readers are dealt to threads.
pub(crate) struct Parallel<S: Structure> {
    crew: Arc<Crew>,
    threads: usize,
    readers: usize,
    shared: Arc<Shared<S>>,
}

struct Shared<S: Structure> {
    /// Written between passes. A thread locks it once a pass, outside the measured time.
    feed: RwLock<Feed<S>>,
    /// The readers of each thread. A thread locks its own once a round.
    readers: Vec<Mutex<Vec<S::Reader>>>,
}

struct Feed<S> {
    structure: S,
    plan: Plan,
    published: u64,
}

impl<S: Structure> Feed<S> {
    fn publish(&mut self, window: usize) {
        let numbers = self.published..self.published + window as u64;
        self.published = numbers.end;
        let batches: Vec<_> = numbers.map(|number| S::prepare(number + 1, self.plan.events(number))).collect();
        for batch in batches {
            self.structure.publish(batch);
        }
    }
}

impl<S: Structure + Sync> Parallel<S> {
    /// Opens this many readers for each of so many threads. All of them want the same, and every batch has it.
    pub(crate) fn new(crew: &Arc<Crew>, threads: usize, readers: usize, want: &Want) -> Self {
        assert!(threads <= crew.readers(), "a crew for {} threads has no {threads}", crew.readers());
        let wants = vec![want.clone(); threads * readers];
        let (structure, opened) = S::open(&wants, CAPACITY);
        let mut opened = opened.into_iter();
        let readers_of = (0..threads).map(|_| Mutex::new(opened.by_ref().take(readers).collect())).collect();
        let feed = RwLock::new(Feed { structure, plan: Plan::everything(), published: 0 });
        Self { crew: Arc::clone(crew), threads, readers, shared: Arc::new(Shared { feed, readers: readers_of }) }
    }
}

impl<S: Structure + Sync> Rig for Parallel<S> {
    fn round(&mut self, course: Course) -> Round {
        assert!((1..=CAPACITY).contains(&course.window), "a window of {} does not fit", course.window);
        let (threads, apart) = (self.threads, course.publisher == Publisher::Apart);
        let pacer = Pacer { threads, apart: apart.then(|| self.crew.publisher()), ..Pacer::default() };
        let shared = Arc::clone(&self.shared);
        let mut spans = self.crew.run(threads, apart, move |seat| match seat {
            Seat::Reader(number) => read(&shared, &pacer, course, number),
            Seat::Publisher => {
                for pass in 0..course.passes {
                    pacer.sleep_until_read(pass);
                    publish(&shared, &pacer, course.window);
                }
                Spans::new()
            }
        });
        spans.truncate(threads);
        Round::new(&spans, self.readers * course.window)
    }
}

fn publish<S: Structure>(shared: &Shared<S>, pacer: &Pacer, window: usize) {
    shared.feed.write().publish(window);
    pacer.published.add();
}

/// Reads all passes of a round with the readers of one thread.
fn read<S: Structure>(shared: &Shared<S>, pacer: &Pacer, course: Course, thread: usize) -> Spans {
    let mut readers = shared.readers.get(thread).expect("opened for each thread").lock();
    let mut spans = Spans::with_capacity(course.passes);
    let publishes = course.publisher == Publisher::Reader && thread == 0;
    let window = course.window as u64;
    for pass in 0..course.passes {
        if publishes {
            pacer.spin_until_read(pass);
            publish(shared, pacer, course.window);
        }
        pacer.spin_until_published(pass);
        let feed = shared.feed.read();
        pacer.spin_until_all_arrived(pass);
        let start = Instant::now();
        for reader in &mut *readers {
            let Seen { batches, events } = feed.structure.drain(reader);
            assert!(batches == window && events == window, "{}: {batches} of {window} batches", S::name());
        }
        spans.push((start, Instant::now()));
        drop(feed);
        pacer.finish();
    }
    drop(readers);
    spans
}

/// A count that only rises.
#[derive(Default)]
struct Count(AtomicUsize);

impl Count {
    /// Adds one, and returns the new count.
    fn add(&self) -> usize {
        // Releases what this thread did to the threads that see the count in `get`.
        self.0.fetch_add(1, Ordering::AcqRel) + 1
    }

    fn get(&self) -> usize {
        // Pairs with `add`.
        self.0.load(Ordering::Acquire)
    }

    /// Waits on the core, and leaves it to another thread once in `spins`.
    fn spin_until(&self, target: usize, spins: u32) {
        let mut spun = 0_u32;
        while self.get() < target {
            spun = spun.wrapping_add(1);
            if spun.is_multiple_of(spins) { std::thread::yield_now() } else { std::hint::spin_loop() }
        }
    }
}

/// How the threads of a round wait for each other. Passes are counted from 0.
#[derive(Default)]
struct Pacer {
    threads: usize,
    /// The thread that publishes, if it does not read.
    apart: Option<Thread>,
    /// Windows published.
    published: Count,
    /// Arrivals at the starting line, of all passes.
    arrived: Count,
    /// Threads that have read a window, of all passes.
    finished: Count,
}

impl Pacer {
    /// Spins that are short enough for the publisher to get a core at once, if there are no more cores than readers.
    const SHORT: u32 = 64;
    /// Spins that are longer than another thread takes to arrive, unless it has no core.
    const LONG: u32 = 1 << 16;

    fn spin_until_published(&self, pass: usize) {
        self.published.spin_until(pass + 1, Self::SHORT);
    }

    fn spin_until_all_arrived(&self, pass: usize) {
        self.arrived.add();
        self.arrived.spin_until(self.threads * (pass + 1), Self::LONG);
    }

    /// Waits until all passes before this one are read.
    fn spin_until_read(&self, pass: usize) {
        self.finished.spin_until(self.threads * pass, Self::SHORT);
    }

    /// As [`spin_until_read`](Self::spin_until_read), and leaves the core to the readers.
    fn sleep_until_read(&self, pass: usize) {
        while self.finished.get() < self.threads * pass {
            std::thread::park();
        }
    }

    /// Notes that this thread has read a window. The last one wakes a publisher that sleeps.
    fn finish(&self) {
        if self.finished.add().is_multiple_of(self.threads)
            && let Some(publisher) = &self.apart
        {
            publisher.unpark();
        }
    }
}
