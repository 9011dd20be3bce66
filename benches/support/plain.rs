//! An event as a server would write it by hand: a plain struct with the fields of the crate's own.

use super::event::Payload;

/// `S` is the type of names that are often literals, and `K` that of keys.
#[expect(dead_code, reason = "nobody reads, but all of it is built and freed")]
pub(crate) struct Plain<S, K> {
    topic: S,
    event_type: S,
    key: K,
    namespace: S,
    filter_keys: Vec<K>,
    index: u64,
    payload: Payload,
}

impl<S, K> Plain<S, K> {
    /// `names` are topic, type and namespace.
    #[inline]
    pub(crate) fn new(names: [S; 3], key: K, filter_keys: Vec<K>, payload: Payload) -> Self {
        let [topic, event_type, namespace] = names;
        Self { topic, event_type, key, namespace, filter_keys, index: 0, payload }
    }

    /// Sets the index of each event, as publishing does.
    pub(crate) fn stamp(events: &mut [Self], index: u64) {
        for event in events {
            event.index = index;
        }
    }
}
