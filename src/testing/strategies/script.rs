//! Strategies of scripts: commits, and readers that come, read and leave.
//! What a script must lead to is up to the test that runs it.

use std::fmt;

use proptest::collection::vec;
use proptest::prelude::*;

use super::events::{events, next_index, step};
use super::requests::{Ask, ask};
use crate::types::event::{Batch, Event};

/// One step of a [`script`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScriptStep<P> {
    /// Publishes this batch under its index. Later ones of the script have no lower index.
    Publish(Batch<P>),
    /// Opens a subscription, which is a further reader.
    Subscribe(Ask),
    /// Reads once. The reader is this number, modulo the number of readers.
    Read(usize),
    /// Drops a reader, chosen in the same way.
    Leave(usize),
}

/// Draws scripts of up to 24 steps.
///
/// ```
/// use event_broker::testing::strategies::{self, ScriptStep};
/// use event_broker::{Broker, Subscription};
/// use proptest::prelude::*;
///
/// proptest!(|(script in strategies::script(any::<u8>()))| {
///     let (broker, mut readers) = (Broker::new(), Vec::<Subscription<u8>>::new());
///     for step in script {
///         match step {
///             ScriptStep::Publish(batch) => broker.publish(batch.index(), batch).unwrap(),
///             ScriptStep::Subscribe(ask) => readers.push(broker.subscribe(ask.request()).unwrap()),
///             ScriptStep::Read(_) | ScriptStep::Leave(_) if readers.is_empty() => {}
///             ScriptStep::Read(reader) => {
///                 let place = reader % readers.len();
///                 _ = readers[place].try_recv();
///             }
///             ScriptStep::Leave(reader) => drop(readers.swap_remove(reader % readers.len())),
///         }
///     }
///     prop_assert_eq!(broker.subscriptions().len(), readers.len());
/// });
/// ```
pub fn script<P: fmt::Debug>(payload: impl Strategy<Value = P>) -> impl Strategy<Value = Vec<ScriptStep<P>>> {
    let drawn = prop_oneof![
        4 => (step(), events(payload)).prop_map(|(step, events)| Drawn::Publish(step, events)),
        2 => ask().prop_map(Drawn::Subscribe),
        4 => (0_usize..8).prop_map(Drawn::Read),
        1 => (0_usize..8).prop_map(Drawn::Leave),
    ];
    vec(drawn, 0..=24).prop_map(|steps| {
        let mut index = 0;
        let placed = |drawn| match drawn {
            Drawn::Publish(step, events) => {
                index = next_index(index, step);
                ScriptStep::Publish(Batch::new(index, events))
            }
            Drawn::Subscribe(ask) => ScriptStep::Subscribe(ask),
            Drawn::Read(reader) => ScriptStep::Read(reader),
            Drawn::Leave(reader) => ScriptStep::Leave(reader),
        };
        steps.into_iter().map(placed).collect()
    })
}

/// A step whose index is not known yet.
#[derive(Clone, Debug)]
enum Drawn<P> {
    Publish(u64, Vec<Event<P>>),
    Subscribe(Ask),
    Read(usize),
    Leave(usize),
}
