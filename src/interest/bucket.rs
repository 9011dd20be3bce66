//! Stores the nodes that the table finds under one hash.
//! How a hash is made is decided in `table`.
//!
//! Invariants: a bucket holds at least one node, and each node once.
//!
//! Callers: `table` and `keyed` under the broker's lock.

use std::sync::Arc;

use super::node::Node;
use super::subject::Subject;

/// The nodes of one hash. There is nearly always one node. There are more if hashes collide, and in
/// [`keyed`](super::keyed), which keeps a few kinds of node in one bucket.
#[derive(Debug)]
pub(super) enum Bucket<L> {
    One(Arc<Node<L>>),
    #[expect(clippy::box_collection, reason = "every entry of the table would be wider")]
    Many(Box<Vec<Arc<Node<L>>>>),
}

impl<L> Bucket<L> {
    #[inline]
    pub(super) fn nodes(&self) -> &[Arc<Node<L>>] {
        match self {
            Self::One(node) => std::slice::from_ref(node),
            Self::Many(nodes) => nodes,
        }
    }

    /// Returns the node of exactly this subject.
    pub(super) fn find(&self, subject: &Subject) -> Option<&Arc<Node<L>>> {
        self.nodes().iter().find(|node| node.subject == *subject)
    }

    pub(super) fn add(&mut self, node: Arc<Node<L>>) {
        match self {
            Self::One(first) => *self = Self::Many(Box::new(vec![Arc::clone(first), node])),
            Self::Many(nodes) => nodes.push(node),
        }
    }

    /// Removes a node, which must be in the bucket. Returns whether it was the last one. The bucket must then be
    /// dropped.
    pub(super) fn remove(&mut self, node: &Node<L>) -> bool {
        let Self::Many(nodes) = self else { return true };
        nodes.retain(|here| here.id != node.id);
        nodes.is_empty()
    }
}

#[cfg(all(test, not(broker_loom)))]
mod tests {
    use std::num::NonZeroU64;

    use super::*;
    use crate::interest::jumps::NodeId;
    use crate::interest::subject::NamespaceScope;
    use crate::types::position::Position;

    #[test]
    fn nodes_come_and_go_in_any_order() {
        const NODES: usize = 7;
        for step in 1..NODES {
            let mut nodes: Vec<_> = (1..=NODES as u64)
                .map(|id| {
                    let subject = Subject { topic: 2, namespaces: NamespaceScope::Any, key: None };
                    Arc::new(Node::<()>::new(NodeId(NonZeroU64::new(id).expect("above zero")), Position::ZERO, subject))
                })
                .collect();
            let mut rest = nodes.iter();
            let mut bucket = Bucket::One(Arc::clone(rest.next().expect("some")));
            rest.for_each(|node| bucket.add(Arc::clone(node)));
            let mut index = 0;
            while !nodes.is_empty() {
                index = (index + step) % nodes.len();
                let gone = nodes.remove(index);
                assert_eq!(bucket.remove(&gone), nodes.is_empty());
                let mut left: Vec<_> = bucket.nodes().iter().map(|node| node.id).collect();
                left.sort_unstable();
                assert!(left.into_iter().eq(nodes.iter().map(|node| node.id)), "{step}");
            }
        }
    }
}
