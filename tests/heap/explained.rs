//! The formula: the heap that a broker may need for what its `stats()` and its users' requests say that it holds.
//!
//! ```text
//! explained = FIXED
//!           + BATCH × buffered batches + EVENT × buffered events + texts and payloads of those events
//!           + LINK × terms hit by buffered batches + ORDINAL × matches in batches of more than 64 events
//!           + ENCODED × bytes of one encoded form of each encoded batch
//!           + SUBSCRIPTION × subscriptions + BASIS × things that grants rest on + NAME × namespaces in grants
//!           + BELL × doorbells
//!           + TERM × distinct terms + JOIN × terms joined by each subscription + NAME × names in requests
//!           + ENTERED × namespaces of wide scopes
//! ```
//!
//! with batches, events, subscriptions and terms from [`BrokerStats`]. Live heap is at most 1.25 times that. Vectors and
//! hash tables double as they grow, so the constants assume that they are half empty. Retention adds an eighth to what is
//! buffered (semantics 7).
//!
//! An event without a namespace is one hit of each pair of topic and key that it matches, in however many namespaces
//! that pair was asked for: the links of a batch must not grow with namespaces.

use event_broker::BrokerStats;

/// An idle broker: its state, empty tables and lists, two segments of the log.
pub(crate) const FIXED: usize = 8 * 1024;
/// A batch: its record, its share of a segment, its caches, and what the log notes of it.
pub(crate) const BATCH: usize = 256;
/// An event without its payload and its long names (semantics: names of up to 23 bytes are in place).
pub(crate) const EVENT: usize = 144;
/// A text or list on the heap, beside its bytes.
pub(crate) const TEXT: usize = 16;
/// One node that a batch hit.
pub(crate) const LINK: usize = 40;
/// One event of a batch of more than 64 that matched one node.
pub(crate) const ORDINAL: usize = 4;
/// Forms of a batch that may be cached at once: the events, the whole frame, the frame with its token.
pub(crate) const ENCODED: usize = 3;
/// A subscription, without the value that its user holds. The budget of an idle one.
pub(crate) const SUBSCRIPTION: usize = 512;
/// One thing that a grant rests on: text, table entry, and the subscription in it.
pub(crate) const BASIS: usize = 320;
/// A doorbell: a channel of capacity one.
pub(crate) const BELL: usize = 768;
/// A distinct term: its node, its names, and what finds it.
pub(crate) const TERM: usize = 448;
/// One term that one subscription joined: the term, and the node's handle, position, registration and walk.
pub(crate) const JOIN: usize = 128;
/// A namespace of a wide scope: its number, what finds it by name and by number, and the scopes that contain it.
pub(crate) const ENTERED: usize = 288;
/// A name in a request or a grant.
pub(crate) const NAME: usize = 24;

/// The allowed ratio of live to explained heap, in quarters: 1.25.
const FACTOR_IN_QUARTERS: usize = 5;

/// What `stats()` do not report, counted by the script.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Bytes of payloads and long names of buffered events.
    pub(crate) texts: usize,
    pub(crate) links: usize,
    pub(crate) ordinals: usize,
    /// Bytes of one encoded form of each batch that was encoded.
    pub(crate) encoded: usize,
    pub(crate) bases: usize,
    pub(crate) bells: usize,
    pub(crate) joins: usize,
    /// Names in requests and grants.
    pub(crate) names: usize,
    /// Namespaces of wide scopes.
    pub(crate) entered: usize,
}

/// The formula.
pub(crate) fn explained(stats: &BrokerStats, counts: &Counts) -> usize {
    let number = |count: u64| usize::try_from(count).expect("few");
    let buffer = BATCH * number(stats.buffered_batches)
        + EVENT * number(stats.buffered_events)
        + counts.texts
        + LINK * counts.links
        + ORDINAL * counts.ordinals
        + ENCODED * counts.encoded;
    let readers = SUBSCRIPTION * number(stats.subscriptions)
        + BASIS * counts.bases
        + BELL * counts.bells
        + TERM * number(stats.terms)
        + JOIN * counts.joins
        + NAME * counts.names
        + ENTERED * counts.entered;
    FIXED + buffer + buffer / 8 + readers
}

/// The most that may be live.
pub(crate) fn bound(stats: &BrokerStats, counts: &Counts) -> usize {
    explained(stats, counts) * FACTOR_IN_QUARTERS / 4
}
