//! Holds what an operation evicted or freed, until the broker's lock is released.
//! What is evicted is decided in `evict`, and what is freed in `free`.
//!
//! Invariants: payloads are dropped outside every lock, and all of them, even if some drops panic.
//!
//! Callers: `core` creates it and fills it under the broker's lock, through the appender, and drops it after the lock.

use super::segment::Segment;
use crate::panics::Panics;

/// Batches and segments that left the log. They hold payloads, so the caller drops them after it has released the lock.
#[derive(Debug)]
pub(crate) struct Evicted<T> {
    /// Usually the only batch. A second one is freed when a segment is replaced, and where batches are weighed.
    first: Option<T>,
    second: Option<T>,
    rest: Option<Box<Rest<T>>>,
}

#[derive(Debug)]
struct Rest<T> {
    values: Vec<T>,
    segments: Vec<Segment<T>>,
}

impl<T> Evicted<T> {
    /// Takes one of the batches, so that the dispatcher can drop it.
    pub(crate) fn take_one(&mut self) -> Option<T> {
        self.first.take()
    }

    #[inline]
    pub(crate) fn add(&mut self, value: T) {
        if self.first.is_none() {
            self.first = Some(value);
        } else if self.second.is_none() {
            self.second = Some(value);
        } else {
            self.rest().values.push(value);
        }
    }

    pub(super) fn add_segments(&mut self, segments: impl IntoIterator<Item = Segment<T>>) {
        let mut segments = segments.into_iter().peekable();
        if segments.peek().is_some() {
            self.rest().segments.extend(segments);
        }
    }

    #[cold]
    fn rest(&mut self) -> &mut Rest<T> {
        self.rest.get_or_insert_default()
    }

    /// Drops everything. Payloads are foreign code: a panic in one drop does not keep the others from being dropped,
    /// and the first panic resumes when all are dropped. Must not be called under a lock.
    #[inline]
    pub(crate) fn discard(self) {
        if self.second.is_some() || self.rest.is_some() {
            self.discard_many();
        }
    }

    #[cold]
    fn discard_many(self) {
        let rest = self.rest.map_or_else(Rest::default, |rest| *rest);
        let mut panics = Panics::default();
        self.first.into_iter().chain(self.second).chain(rest.values).for_each(|value| panics.catch(|| drop(value)));
        rest.segments.into_iter().for_each(|segment| panics.catch(|| drop(segment)));
        panics.resume();
    }
}

impl<T> Default for Evicted<T> {
    fn default() -> Self {
        Self { first: None, second: None, rest: None }
    }
}

impl<T> Default for Rest<T> {
    fn default() -> Self {
        Self { values: Vec::new(), segments: Vec::new() }
    }
}
