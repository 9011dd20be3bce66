//! Short constructors of events, terms, requests, principals and brokers.

use std::sync::Arc;

use event_broker::{Broker, Event, Principal, Request, Term};

use super::clock::ManualClock;
use super::rules::Rules;

/// An event of topic `Job` in the namespace `default`.
pub(crate) fn job(key: &str) -> Event<u64> {
    event("Job", key)
}

/// An event of this topic in the namespace `default`.
pub(crate) fn event(topic: &str, key: &str) -> Event<u64> {
    Event::new(topic, "Changed", key, 0).with_namespace("default")
}

/// A term of a topic and a key, either of which may be `*`.
pub(crate) fn term(topic: &str, key: &str) -> Term {
    Term::new(topic, key).expect("neither side is empty")
}

/// A request for one term.
pub(crate) fn asks<P>(topic: &str, key: &str) -> Request<P> {
    Request::new().term(term(topic, key))
}

/// A broker that buffers so many batches.
pub(crate) fn broker_of(batches: u64) -> Broker<u64> {
    Broker::builder().max_batches(batches).build().expect("a bound above zero")
}

/// Publishes one job under each index.
pub(crate) fn publish_all(broker: &Broker<u64>, indexes: impl IntoIterator<Item = u64>) {
    for index in indexes {
        broker.publish(index, [job("web")]).expect("rising indexes");
    }
}

/// A broker whose authorizer these rules are.
pub(crate) fn ruled_by(rules: &Arc<Rules>) -> Broker<u64> {
    Broker::builder().authorizer(Arc::clone(rules)).build().expect("the defaults are valid")
}

/// A broker whose authorizer these rules are, and which goes by this clock.
pub(crate) fn ruled_and_timed_by(rules: &Arc<Rules>, clock: &ManualClock) -> Broker<u64> {
    Broker::builder().authorizer(Arc::clone(rules)).clock(clock.clone()).build().expect("the defaults are valid")
}

/// A principal with this public id.
pub(crate) fn who(id: &str) -> Principal {
    Principal::new(id)
}
