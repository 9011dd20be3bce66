//! What a reader records of its stream, for the checks and the table.

use std::sync::Arc;

use crossbeam_channel::Sender;
use event_broker::{Delivery, Lagged, RecvError, SubscriptionStats, Verdict};

use crate::model::Object;
use crate::store::Store;

/// One item that a reader received, in order.
#[derive(Debug)]
pub(crate) enum Item {
    /// Kept whole: it shares the batch and holds nothing else.
    Delivery(Delivery<Object>),
    Lagged(Lagged),
}

/// The record of a reader.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) items: Vec<Item>,
    pub(crate) verdict: Verdict,
    pub(crate) end: Option<RecvError>,
    pub(crate) stats: SubscriptionStats,
    /// Deliveries whose commit was not visible in the state when they were read: there must be none.
    pub(crate) ahead_of_state: u64,
    store: Arc<Store>,
    ready: Option<Sender<()>>,
}

impl Record {
    pub(crate) fn new(verdict: Verdict, store: Arc<Store>, ready: Sender<()>) -> Self {
        let (stats, ready) = (SubscriptionStats::default(), Some(ready));
        Self { items: Vec::new(), verdict, end: None, stats, ahead_of_state: 0, store, ready }
    }

    /// Notifies the server, once, that this reader has got so far that it may be overtaken or changed.
    pub(crate) fn is_ready(&mut self) {
        if let Some(ready) = self.ready.take() {
            // The receiver may have given up.
            let _ = ready.send(());
        }
    }

    pub(crate) fn delivery(&mut self, delivery: Delivery<Object>) {
        if self.store.read().index < delivery.index() {
            self.ahead_of_state += 1;
        }
        self.items.push(Item::Delivery(delivery));
    }

    /// Records an error, and returns whether there is more to read.
    pub(crate) fn error(&mut self, error: RecvError) -> bool {
        match error {
            RecvError::Lagged(lagged) if self.end.is_none() && !is_end(&lagged) => {
                self.items.push(Item::Lagged(lagged));
                true
            }
            end => {
                self.end = Some(end);
                false
            }
        }
    }

    /// Adds the counters of a subscription of this reader.
    pub(crate) fn count(&mut self, stats: SubscriptionStats) {
        self.stats.batches += stats.batches;
        self.stats.events += stats.events;
        self.stats.missed += stats.missed;
        self.stats.wakeups += stats.wakeups;
    }

    pub(crate) fn batches(&self) -> usize {
        self.deliveries().count()
    }

    pub(crate) fn events(&self) -> usize {
        self.deliveries().map(Delivery::len).sum()
    }

    pub(crate) fn lost(&self) -> u64 {
        self.items
            .iter()
            .map(|item| match item {
                Item::Lagged(lagged) => lagged.missed,
                Item::Delivery(_) => 0,
            })
            .sum()
    }

    pub(crate) fn deliveries(&self) -> impl Iterator<Item = &Delivery<Object>> {
        self.items.iter().filter_map(|item| match item {
            Item::Delivery(delivery) => Some(delivery),
            Item::Lagged(_) => None,
        })
    }
}

fn is_end(lagged: &Lagged) -> bool {
    RecvError::Lagged(lagged.clone()).is_terminal()
}
