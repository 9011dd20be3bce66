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

    /// Takes a node out. Whether it was the last.
    ///
    /// One key in many namespaces is many nodes of one hash, so they are not searched: dropping 40,000 subscriptions
    /// took seven times as long.
    pub(super) fn remove(&mut self, node: &Node<L>) -> bool {
        let Self::Many(nodes) = self else { return true };
        let is = |here: &Arc<Node<L>>| here.id == node.id;
        let hint = Some(node.place()).filter(|place| nodes.get(*place).is_some_and(is));
        if let Some(place) = hint.or_else(|| nodes.iter().position(is)) {
            nodes.swap_remove(place);
            if let Some(moved) = nodes.get(place) {
                moved.set_place(place);
            }
        }
        nodes.is_empty()
    }
}
