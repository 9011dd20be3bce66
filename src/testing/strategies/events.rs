//! Strategies of events, and of batches under rising indexes.
//! Which names there are is decided in `names`, and what a plausible event has in `testing::sample`.

use std::fmt;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::names::{name, plausible_name};
use crate::nomad::event_type;
use crate::testing::sample::{self, Sample};
use crate::types::event::{Batch, Event};

/// Draws plausible events in the making, of every [kind](crate::testing::sample). They shrink to the registration of
/// the job `web`.
///
/// ```
/// use event_broker::nomad::topic;
/// use event_broker::testing::strategies;
/// use proptest::prelude::*;
///
/// proptest!(|(sample in strategies::plausible())| {
///     prop_assert!(topic::ALL.contains(sample.with_payload(()).topic()));
/// });
/// ```
pub fn plausible() -> impl Strategy<Value = Sample> {
    let ids = || (1_u32..5).prop_map(|id| format!("{id:08x}-7f0a-4124-b8b1-a4015aa82c40"));
    let jobs = select(&["web", "db", "cache"][..]);
    let namespaces = select(&["default", "prod", "dev"][..]);
    let drawn = (0..11, ids(), jobs, namespaces, ids(), option::of(ids()));
    drawn.prop_map(|(kind, id, job, namespace, node, deployment)| {
        let deployed = |sample: Sample| match &deployment {
            Some(deployment) => sample.deployment(deployment.as_str()),
            None => sample,
        };
        match kind {
            0 => sample::job(job).namespace(namespace),
            1 => deployed(sample::evaluation(id).namespace(namespace).of_job(job)),
            2 => deployed(sample::allocation(id).namespace(namespace).of_job(job).on_node(node)),
            3 => sample::deployment(id).namespace(namespace).of_job(job),
            4 => sample::service(id, format!("{job}-http")).namespace(namespace).of_job(job).on_node(node),
            5 => sample::node(node),
            6 => sample::node(node).event_type(event_type::NODE_DRAIN),
            7 => sample::acl_token(id),
            8 => sample::acl_policy(namespace),
            9 => sample::node_pool(job),
            _ => sample::acl_role(id, namespace),
        }
    })
}

/// Draws plausible events with these payloads.
///
/// ```
/// use event_broker::testing::strategies;
/// use proptest::prelude::*;
///
/// proptest!(|(event in strategies::plausible_event(0..3))| {
///     prop_assert!((0..3).contains(event.payload()) && !event.key().is_empty());
/// });
/// ```
pub fn plausible_event<P: fmt::Debug>(payload: impl Strategy<Value = P>) -> impl Strategy<Value = Event<P>> {
    (plausible(), payload).prop_map(|(sample, payload)| sample.with_payload(payload))
}

/// Draws events with these payloads: plausible ones, and ones whose topic, type, key, namespace and filter keys are any
/// [names](name).
///
/// ```
/// use event_broker::testing::strategies;
/// use event_broker::Batch;
/// use proptest::prelude::*;
///
/// proptest!(|(event in strategies::event(any::<bool>()))| {
///     let batch = Batch::new(7, vec![event]);
///     let json = serde_json::to_string(&batch).unwrap();
///     prop_assert_eq!(serde_json::from_str::<Batch<bool>>(&json).unwrap(), batch);
/// });
/// ```
pub fn event<P: fmt::Debug>(payload: impl Strategy<Value = P>) -> impl Strategy<Value = Event<P>> {
    let namespace = prop_oneof![Just(String::new()), plausible_name(), name()];
    let odd = (name(), name(), name(), namespace, vec(name(), 0..4));
    let odd = odd.prop_map(|(topic, event_type, key, namespace, filter_keys)| {
        Event::new(topic, event_type, key, ()).with_namespace(namespace).with_filter_keys(filter_keys)
    });
    let drawn = prop_oneof![plausible().prop_map(|sample| sample.with_payload(())), odd];
    (drawn, payload).prop_map(|(event, payload)| event.map(|()| payload))
}

/// Draws the events of one commit: one to four, and now and then none. They shrink to one.
///
/// ```
/// use event_broker::Batch;
/// use event_broker::testing::strategies;
/// use proptest::prelude::*;
///
/// proptest!(|(events in strategies::events(any::<u8>()))| {
///     prop_assert!(Batch::new(7, events).events().len() <= 4);
/// });
/// ```
pub fn events<P: fmt::Debug>(payload: impl Strategy<Value = P>) -> impl Strategy<Value = Vec<Event<P>>> {
    (vec(event(payload), 1..=4), prop::bool::weighted(0.1)).prop_map(|(mut events, none)| {
        if none {
            events.clear();
        }
        events
    })
}

/// Draws up to eight batches in the order in which they can be published. Indexes rise, with gaps, and some repeat. They
/// shrink to 1, 2, 3.
///
/// ```
/// use event_broker::testing::strategies;
/// use event_broker::Broker;
/// use proptest::prelude::*;
///
/// proptest!(|(batches in strategies::batches(any::<u8>()))| {
///     let broker = Broker::new();
///     for batch in batches {
///         prop_assert!(broker.publish(batch.index(), batch).is_ok());
///     }
/// });
/// ```
pub fn batches<P: fmt::Debug>(payload: impl Strategy<Value = P>) -> impl Strategy<Value = Vec<Batch<P>>> {
    vec((step(), events(payload)), 0..=8).prop_map(|commits| {
        let mut index = 0;
        let batch = |(step, events)| {
            index = next_index(index, step);
            Batch::new(index, events)
        };
        commits.into_iter().map(batch).collect()
    })
}

/// How much higher the index of a commit is than that of the one before.
pub(super) fn step() -> impl Strategy<Value = u64> {
    prop_oneof![6 => Just(1), 2 => Just(0), 2 => 2_u64..10, 1 => 10_u64..1_000_000]
}

/// The first index is at least 1.
pub(super) fn next_index(index: u64, step: u64) -> u64 {
    index.saturating_add(step).max(1)
}
