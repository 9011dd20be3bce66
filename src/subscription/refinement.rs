//! How far the events of one large batch have been judged, from one turn to the next.
//! Who judges them is decided in `selector`.

use super::delivery::Selection;
use crate::types::position::Position;

/// The events of a batch that are delivered, held by the delivery.
pub(super) type Chosen = Selection<Box<[u32]>>;

/// How far the events of one batch have been judged.
#[derive(Debug, Default)]
pub(super) struct Refinement {
    pub(super) position: Position,
    /// The changes of access that the grant is newer than.
    pub(super) changes: u64,
    /// How often it was begun, because access changed.
    pub(super) begins: u32,
    /// What of it matches terms and scope, between two turns.
    pub(super) selection: Option<Chosen>,
    /// How many of those.
    pub(super) examined: usize,
    pub(super) kept: Vec<u32>,
    /// What the predicate said of each of those, also before access changed: it is asked once, and the others anew.
    pub(super) said: Vec<Option<bool>>,
}
