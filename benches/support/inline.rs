//! The rig of one thread: it publishes a window, then lets the readers read it, and checks the count of each reader.
//!
//! The caller decides which part it times.

use super::event::Plan;
use super::{Seen, Structure};

pub(crate) struct Inline<S: Structure> {
    pub(crate) structure: S,
    pub(crate) readers: Vec<S::Reader>,
    plan: Plan,
    window: u64,
}

impl<S: Structure> Inline<S> {
    /// Opens this many readers.
    pub(crate) fn new(readers: usize, plan: Plan) -> Self {
        let wants: Vec<_> = (0..readers).map(|reader| plan.want(reader)).collect();
        let (structure, readers) = S::open(&wants, plan.capacity());
        Self { structure, readers, plan, window: 0 }
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
        let Self { structure, readers, plan, window, .. } = self;
        let mut deliveries = 0;
        let mut read = |number: usize, reader: &mut S::Reader| {
            let Seen { batches, events } = structure.drain(reader);
            assert_eq!(events, plan.expected(number, *window), "{}: reader {number} lost deliveries", S::name());
            assert!(!S::SEES_ALL || batches == plan.window as u64, "{}: reader {number} missed batches", S::name());
            deliveries += events;
        };
        if S::SEES_ALL || plan.groups == 1 {
            for (number, reader) in readers.iter_mut().enumerate() {
                read(number, reader);
            }
        } else {
            for number in plan.concerned(readers.len(), *window) {
                read(number, readers.get_mut(number).expect("concerned"));
            }
        }
        *window += 1;
        deliveries
    }

    /// The number of deliveries of the next window.
    pub(crate) fn expected(&self) -> u64 {
        self.plan.deliveries(self.readers.len(), self.window)
    }
}
