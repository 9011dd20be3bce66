//! What the table holds under one hash.
//! How a hash is made is not known here.

use std::hash::Hasher;
use std::sync::Arc;

use super::node::Node;

/// Passes a hash through.
#[derive(Debug, Default)]
pub(super) struct Prehashed(u64);

impl Hasher for Prehashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        debug_assert!(false, "only whole hashes are keys");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// The nodes of one hash: nearly always one.
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

    pub(super) fn add(&mut self, node: Arc<Node<L>>) {
        node.set_place(self.nodes().len());
        match self {
            Self::One(first) => {
                first.set_place(0);
                *self = Self::Many(Box::new(vec![Arc::clone(first), node]));
            }
            Self::Many(nodes) => nodes.push(node),
        }
    }

    /// Takes a node out, which is here. Whether it was the last.
    ///
    /// Where it stands is known: thousands of scopes of one term may lie here, and to search them for each that leaves
    /// would be quadratic.
    pub(super) fn remove(&mut self, node: &Node<L>) -> bool {
        let Self::Many(nodes) = self else { return true };
        let place = node.place();
        let here = nodes.get(place).is_some_and(|here| here.id == node.id);
        debug_assert!(here, "a node lies in one bucket, at its place");
        if here {
            nodes.swap_remove(place);
            if let Some(moved) = nodes.get(place) {
                moved.set_place(place);
            }
        }
        nodes.is_empty()
    }
}

#[cfg(all(test, not(broker_loom)))]
mod tests {
    use std::num::NonZeroU64;

    use super::*;
    use crate::interest::node::{NodeId, Side, Subject};
    use crate::position::Position;

    #[test]
    fn nodes_come_and_go_in_any_order() {
        const NODES: usize = 7;
        for step in 1..NODES {
            let mut nodes: Vec<_> = (1..=NODES as u64)
                .map(|id| {
                    let subject = Subject { topic: 2, side: Side::Any, key: None };
                    Arc::new(Node::<()>::new(NodeId(NonZeroU64::new(id).expect("above zero")), Position::ZERO, subject))
                })
                .collect();
            let mut rest = nodes.iter();
            let mut bucket = Bucket::One(Arc::clone(rest.next().expect("some")));
            rest.for_each(|node| bucket.add(Arc::clone(node)));
            let mut place = 0;
            while !nodes.is_empty() {
                place = (place + step) % nodes.len();
                let gone = nodes.remove(place);
                assert_eq!(bucket.remove(&gone), nodes.is_empty());
                let mut left: Vec<_> = bucket.nodes().iter().map(|node| node.id).collect();
                left.sort_unstable();
                assert!(left.into_iter().eq(nodes.iter().map(|node| node.id)), "{step}");
            }
        }
    }
}
