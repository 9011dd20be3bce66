//! The index of terms: which nodes an event hits, and the chains that lead from a node back through the log.
//! It stores no events and wakes nobody; a node only carries the lists of whoever waits for it.
//!
//! Every distinct term that somebody subscribed to (a namespace, none, several or any; a topic or any; a key or any)
//! is a [`Node`]. A node knows the position of its last match. Each slot of the log holds, for the nodes it matched,
//! a link to the match before ([`Links`]): a chain that a reader walks back to where it stands.
//!
//! Files: `terms` says which nodes a filter asks for, `node` is one of them and what links it to the log, `table` finds
//! the nodes that an event hits, with `names`, `shapes`, `hashed`, `bucket`, `keyed`, `wide` and `bits`, `hits` stores the links, and `walk` goes
//! back along the links, by `jumps` where there are many.
//!
//! Invariants:
//! - a node's chain holds every match since the position it came to be at ([`Node::since`]), and nothing else;
//! - links and node positions of a batch are set before the batch becomes visible, so a reader that loads the end
//!   first, then node positions, misses nothing below that end, and skips what lies beyond it;
//! - node ids are never reused, so a link of a node that is gone leads nobody astray.

mod bits;
mod bucket;
mod filter;
mod hashed;
mod hits;
mod jumps;
mod keyed;
mod keys;
mod names;
mod node;
mod shapes;
mod table;
mod terms;
mod walk;
mod wide;

pub(crate) use filter::Filter;
pub(crate) use hits::Hit;
pub(crate) use keys::KeyHasher;
pub(crate) use node::{Hits, Links, Node, by_id};
pub(crate) use table::Interest;
pub(crate) use terms::{NodeTerm, is_wide, node_terms};
pub(crate) use walk::{Collected, LastRun, Linked, MatchedRun, Matching, collect, last_run};
