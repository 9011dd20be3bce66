//! The rig of one thread: it publishes a window, then lets the readers read it, and checks the count of each reader.
//!
//! The caller decides which part it times.

use super::event::Plan;
use super::{Churning, Seen, Structure, Want};

pub(crate) struct Inline<S: Structure> {
    pub(crate) structure: S,
    pub(crate) readers: Vec<S::Reader>,
    plan: Plan,
    window: u64,
    /// Whether readers of a structure with an index also read where there is nothing for them.
    pub(crate) polls_all: bool,
    /// What the readers of the last window have read.
    seen: Vec<(usize, Seen)>,
}

impl<S: Structure> Inline<S> {
    /// Opens this many readers.
    pub(crate) fn new(readers: usize, plan: Plan) -> Self {
        let wants: Vec<_> = (0..readers).map(|reader| plan.want(reader)).collect();
        let (structure, readers) = S::open(&wants, plan.capacity());
        let seen = Vec::with_capacity(readers.len());
        Self { structure, readers, plan, window: 0, polls_all: false, seen }
    }

    /// The batches of the next window.
    pub(crate) fn prepare(&self) -> Vec<S::Prepared> {
        let window = self.plan.window as u64;
        let numbers = self.window * window..(self.window + 1) * window;
        numbers.map(|number| S::prepare(number + 1, self.plan.events(number))).collect()
    }

    pub(crate) fn publish(&mut self, window: Vec<S::Prepared>) {
        for batch in window {
            self.structure.publish(batch);
        }
    }

    /// Reads the published window: all readers, or with an index only those that it concerns. Returns the number of
    /// deliveries.
    pub(crate) fn drain(&mut self) -> u64 {
        self.read();
        self.check()
    }

    /// Reads the published window, and only notes what was read. [`check`](Self::check) must follow: checking each reader
    /// takes as long as a reader of a bare ring does, so it is not for the measured time.
    pub(crate) fn read(&mut self) {
        self.read_by(S::drain);
    }

    /// The same by another way of reading.
    #[inline]
    pub(crate) fn read_by(&mut self, mut read: impl FnMut(&S, &mut S::Reader) -> Seen) {
        let Self { structure, readers, plan, window, polls_all, seen } = self;
        seen.clear();
        if S::SEES_ALL || plan.groups == 1 || *polls_all {
            seen.extend(readers.iter_mut().enumerate().map(|(number, reader)| (number, read(structure, reader))));
        } else {
            for number in plan.concerned(readers.len(), *window) {
                seen.push((number, read(structure, readers.get_mut(number).expect("concerned"))));
            }
        }
    }

    /// Checks what each reader has read of the window. Returns the number of deliveries.
    pub(crate) fn check(&mut self) -> u64 {
        let Self { plan, window, seen, .. } = self;
        let mut deliveries = 0;
        for (number, Seen { batches, events }) in seen {
            assert_eq!(*events, plan.expected(*number, *window), "{}: reader {number} lost deliveries", S::name());
            assert!(!S::SEES_ALL || *batches == plan.window as u64, "{}: reader {number} missed batches", S::name());
            deliveries += *events;
        }
        *window += 1;
        deliveries
    }

    /// The plan, and the number of the next window.
    pub(crate) fn next(&self) -> (&Plan, u64) {
        (&self.plan, self.window)
    }

    /// The number of deliveries of the next window.
    pub(crate) fn expected(&self) -> u64 {
        self.plan.deliveries(self.readers.len(), self.window)
    }
}

impl<S: Churning> Inline<S> {
    /// Closes the last readers, and then opens as many that ask for the same.
    pub(crate) fn replace_last(&mut self, readers: usize, wants: &[Want]) {
        let all = self.readers.len();
        for _ in 0..readers {
            if let Some(reader) = self.readers.pop() {
                self.structure.leave(reader);
            }
        }
        for want in wants.get(all - readers..).unwrap_or_default() {
            self.readers.push(self.structure.join(want));
        }
    }
}
