//! Finds the subscriptions whose requests a batch matches, and lets each of them read its matches without scanning the
//! log. Events are stored in `log`, and readers are woken in `core`, which also defines the wait lists of a node.
//!
//! Every distinct term and namespace that open subscriptions request has a *node*. What the node accepts is its
//! *subject*: a topic or any, a key or any, and a *namespace scope*. A publish looks up the nodes that its events
//! *hit*. A *shape* of subject, such as "any topic, exact key", is looked up only if some node has it. So a publish
//! costs what it hits, and not what others have subscribed to.
//!
//! A batch that hit a node is a *match* of that node. The matches of a node are chained through the log. Each slot
//! stores a *link* for each node that its batch hit. Consecutive matches of one node form a *run*. An *end* is one past
//! a match, or zero. A link holds the length of the run that ends with it, and the end of the run before. A reader
//! starts at the end of a node's chain, and goes back from run to run until it reaches its cursor:
//!
//! ```text
//!   position   40   41   42   43   44   45   46   47   48
//!   node A      .    A    A    A    .    .    A    A    .     end = 48, one past the match at 47
//!   node B      .    .    .    B    .    .    .    .    B     end = 49, one past the match at 48
//!
//!   A.end -> link of A in slot 47: run of 2, which is 46..48, previous end = 44
//!                                                                       |
//!                 +-----------------------------------------------------+
//!                 v
//!            link of A in slot 43: run of 3, which is 41..44, previous end = 0: there is no earlier match
//! ```
//!
//! Every sixteenth run of a chain is a *checkpoint*. Its first slot stores a *jump* to two earlier checkpoints, so that
//! a reader far behind finds the beginning of its part of the chain in logarithmically many steps.
//!
//! A term that was requested in very many namespaces has one node for its *wide scope*, instead of a node for each
//! namespace.
//!
//! Invariants:
//! 1. A node's chain holds every match from a position on ([`Node::chained_from`]), and nothing else.
//! 2. The links of a batch are stored in its slot, and then the ends of the chains move past it, before the batch
//!    becomes visible. So a reader that loads the end of the log first, and then the ends of the chains, finds every
//!    match below the end of the log. It ignores matches beyond it.
//! 3. Node ids are never reused, so a link of a node that is gone is never taken for one of another node.
//! 4. Hashes may collide. So an event hits a node only after topic, key and namespace were compared with the node's
//!    subject. This is the only check of them: what a link says is not matched with the filter again. For delivery, the
//!    filter is matched only with batches that are older than a reader's nodes.
//!
//! Files, in the order in which to read them:
//! - `filter`: what a subscription requested, matched against an event;
//! - `terms`: the nodes that a filter needs;
//! - `subject`: what a node accepts;
//! - `node`: a node;
//! - `chain`, `links`: the end of a node's chain, and the links of a slot;
//! - `hits`: links a batch, and records its eviction;
//! - `walk`: follows chains back from their ends to a cursor;
//! - `jumps`: the checkpoints of long chains;
//! - `table`: [`Interest`], which holds all nodes and looks up those that an event hits;
//! - `names`, `keys`, `shapes`: numbers for names, the hash of keys, and which lookups can be left out;
//! - `hash_table`, `bucket`, `keyed`: a hash table that grows and shrinks in small steps, and what it holds under one
//!   hash;
//! - `wide`, `bits`: wide scopes, and the sparse sets that they intersect.
//!
//! The end of the log is kept in `log::frontier`. The links of an evicted batch are freed with its slot, so a chain is
//! cut at `oldest`. [`collect`] reports that a match was lost there. Batches that are older than a node are in no
//! chain: `hits` records in the node that they are evicted, and [`Node::has_evicted`] returns it.
//! `subscription::cursor` decides whether a reader has lost something.
//!
//! Callers: `core` changes and searches [`Interest`] under the broker's lock; `core` and `subscription` read nodes and
//! links, and walk, without it.

mod bits;
mod bucket;
mod chain;
mod filter;
mod hash_table;
mod hits;
mod jumps;
mod keyed;
mod keys;
mod links;
mod names;
mod node;
mod shapes;
mod subject;
mod table;
mod terms;
mod walk;
mod wide;

pub(crate) use filter::Filter;
pub(crate) use hits::HitNodes;
pub(crate) use keys::KeyHasher;
pub(crate) use links::{Links, MatchedEvents};
pub(crate) use node::{Node, by_id};
pub(crate) use table::Interest;
pub(crate) use terms::{NodeTerm, is_wide, node_terms};
pub(crate) use walk::{Collected, LastRun, Linked, MatchedRun, Matching, collect, last_run};
