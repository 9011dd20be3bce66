//! Checks that every reader received what it asked for: its record is compared with a plain list of all that was
//! published.
//!
//! The requests are plain functions here, so that an error in the crate's filter is detected.

use event_broker::nomad::{event_type, topic};
use event_broker::{Batch, Event};

use crate::model::Object;
use crate::record::{Item, Record};

/// The request of a reader as a plain function.
pub(crate) type Wants = fn(&Event<Object>) -> bool;

/// Checks, counted.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    pub(crate) passed: u64,
    pub(crate) failed: Vec<String>,
}

impl Checks {
    pub(crate) fn that(&mut self, what: &str, holds: bool) {
        self.result(what, if holds { Ok(()) } else { Err("it does not hold".to_owned()) });
    }

    pub(crate) fn result(&mut self, what: &str, result: Result<(), String>) {
        match result {
            Ok(()) => self.passed += 1,
            Err(why) => self.failed.push(format!("{what}: {why}")),
        }
    }
}

/// All published batches, without those that have no events. A place in this list is the broker's own position.
#[derive(Debug)]
pub(crate) struct Published<'a> {
    batches: Vec<&'a Batch<Object>>,
}

impl<'a> Published<'a> {
    pub(crate) fn new(log: &'a [Batch<Object>]) -> Self {
        Self { batches: log.iter().filter(|batch| !batch.events().is_empty()).collect() }
    }

    pub(crate) fn batches(&self) -> &[&'a Batch<Object>] {
        &self.batches
    }

    pub(crate) fn events(&self) -> impl Iterator<Item = &'a Event<Object>> {
        self.batches.iter().flat_map(|batch| batch.events())
    }

    /// The place of the first batch with at least this index.
    fn place(&self, index: u64) -> usize {
        self.batches.partition_point(|batch| batch.index() < index)
    }

    /// Whether no wanted event is between two places.
    fn nothing_wanted(&self, from: usize, to: usize, wants: Wants) -> Result<(), String> {
        let skipped = self.batches.get(from..to).ok_or_else(|| format!("it went back from {from} to {to}"))?;
        match skipped.iter().find(|batch| batch.events().iter().any(wants)) {
            None => Ok(()),
            Some(batch) => Err(format!("the batch of index {} was not delivered", batch.index())),
        }
    }

    /// Follows a reader through the list: no duplicates, no reordering, nothing unwanted, and nothing missing that was
    /// not reported as lost, with the exact count. Returns the place after the last thing it received.
    fn follow(&self, from: u64, wants: Wants, record: &Record) -> Result<usize, String> {
        let mut place = self.place(from);
        for item in &record.items {
            match item {
                Item::Delivery(delivery) => {
                    let at = self.place(delivery.index());
                    self.nothing_wanted(place, at, wants)?;
                    let batch = self.batches.get(at).filter(|batch| batch.index() == delivery.index());
                    let wanted = batch.into_iter().flat_map(|batch| batch.events()).filter(|event| wants(event));
                    if !wanted.eq(delivery.events()) {
                        return Err(format!("the delivery of index {} is not what was published", delivery.index()));
                    }
                    place = at + 1;
                }
                Item::Lagged(lagged) => {
                    let oldest = self.place(lagged.resumes_at);
                    let before = usize::try_from(lagged.missed).ok().and_then(|missed| oldest.checked_sub(missed));
                    let before = before.ok_or_else(|| format!("{lagged}, which is more than there were"))?;
                    self.nothing_wanted(place, before, wants)?;
                    let last = oldest.checked_sub(1).and_then(|last| self.batches.get(last));
                    if last.is_none_or(|batch| batch.index() != lagged.through) {
                        return Err(format!("{lagged}, but the batch before the oldest is another"));
                    }
                    if self.nothing_wanted(before, oldest, wants).is_ok() {
                        return Err(format!("{lagged}, but nothing was lost that was asked for"));
                    }
                    place = oldest;
                }
            }
        }
        Ok(place)
    }

    /// Checks the record of a reader up to the last published batch.
    pub(crate) fn read_to_the_end(&self, from: u64, wants: Wants, record: &Record) -> Result<(), String> {
        let place = self.follow(from, wants, record)?;
        self.nothing_wanted(place, self.batches.len(), wants)
    }

    /// Checks the record of a reader up to a fence: it receives nothing of what it had not read by then, and nothing
    /// after it.
    pub(crate) fn read_up_to(&self, fence: u64, wants: Wants, record: &Record) -> Result<(), String> {
        let fence_at = self.place(fence);
        if self.nothing_wanted(fence_at, self.batches.len(), wants).is_ok() {
            return Err("nothing was published behind the fence that it could have been given".to_owned());
        }
        match self.follow(0, wants, record)? {
            place if place <= fence_at => Ok(()),
            _ => Err(format!("something was delivered at or after the fence {fence}")),
        }
    }

    /// Every topic and type of the API page occurs, every payload is named as on the page, and none holds a secret.
    pub(crate) fn check_events(&self, secrets: &[String], checks: &mut Checks) {
        for what in event_type::ALL {
            checks.that(&format!("{what} was published"), self.events().any(|event| event.event_type() == what));
        }
        // The page spells the topic of roles in two ways; its server uses `ACLRole`.
        for subject in topic::ALL.iter().filter(|topic| **topic != topic::ACL_ROLES) {
            checks.that(&format!("{subject} was published"), self.events().any(|event| event.topic() == subject));
        }
        let named = self.events().all(|event| {
            let member = topic::payload_member(event.topic());
            let payload = serde_json::to_value(event.payload()).ok();
            let object = payload.as_ref().and_then(serde_json::Value::as_object);
            object.is_some_and(|object| object.len() == 1 && object.keys().next().map(String::as_str) == member)
        });
        checks.that("payloads are objects with the member of the page", named);
        let shows_none = self.events().all(|event| {
            let text = serde_json::to_string(event).unwrap_or_default();
            !text.is_empty() && !secrets.iter().any(|secret| text.contains(secret))
        });
        checks.that("no secret was published", shows_none);
    }
}
