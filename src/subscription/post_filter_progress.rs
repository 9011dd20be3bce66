//! How far the post-filters have examined the events of one large batch, from one read to the next.
//! `selector` decides about each event, and `owned` when a read stops.
//!
//! Invariant: `predicate_results` covers at least the first `examined` events of the selection.
//!
//! Callers: `owned`, and `state` which keeps it between reads.

use super::delivery::Selection;
use crate::types::position::Position;

/// The events of a batch that are delivered, owned by the delivery.
pub(super) type OwnedSelection = Selection<Box<[u32]>>;

/// How far the post-filters have examined the events of one batch.
#[derive(Debug, Default)]
pub(super) struct PostFilterProgress {
    /// The position of the batch.
    pub(super) position: Position,
    /// The gate's count of access changes that the grant is newer than.
    pub(super) changes: u64,
    /// How often the batch was started, because access changed in between.
    pub(super) attempts: u32,
    /// The events that match terms and namespaces, while no read examines them.
    pub(super) selection: Option<OwnedSelection>,
    /// How many of them have been examined.
    pub(super) examined: usize,
    /// The ordinals of those that are delivered.
    pub(super) accepted: Vec<u32>,
    /// What the predicate returned for each of them, also before access changed. It is called once for each event; the
    /// other post-filters are applied again.
    pub(super) predicate_results: Vec<Option<bool>>,
}
