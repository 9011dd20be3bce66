//! Computes the nodes that a subscription to a filter needs.
//! Whether such a node exists already is decided in `table`.
//!
//! Invariants: for every event that matches the filter, at least one of the nodes accepts it, and no node accepts
//! another event.
//!
//! Callers: `core` without the broker's lock.

use std::sync::Arc;

use smallvec::SmallVec;

use super::filter::Filter;
use super::keys::KeyHasher;
use super::node::Node;
use crate::types::name::Namespace;
use crate::types::term::{Scope, Term};

/// A request of more nodes than this joins one node for each term instead, of a [wide scope](super::wide) that is
/// entered once. Such nodes cost an event one node for each distinct scope, where nodes of single namespaces are
/// shared.
const MAX_PRODUCT: usize = 1024;

/// The namespaces from which a node is to accept events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Namespaces {
    /// All namespaces, and events without a namespace.
    Any,
    /// Events without a namespace only.
    None,
    /// The namespace at this index of the filter's scope.
    One(usize),
    /// The only namespace of the scope, and events without a namespace. This takes one node or two.
    OneOrNone,
    /// All namespaces of the filter's scope.
    Scope,
}

/// One node that a subscription needs, with what is prepared before the broker's lock is taken.
#[derive(Debug)]
pub(crate) struct NodeTerm<L> {
    term: usize,
    pub(super) namespaces: Namespaces,
    pub(super) key_hash: u64,
    /// The node to be stored if none exists. Its topic, namespaces and id are set then.
    pub(super) prepared: Option<Arc<Node<L>>>,
}

impl<L> NodeTerm<L> {
    /// Returns the term. `filter` is the one that this was made of.
    pub(super) fn term<'f>(&self, filter: &'f Filter) -> &'f Term {
        filter.terms().get(self.term).unwrap_or(&Term::ALL)
    }

    pub(super) fn namespace<'f>(&self, filter: &'f Filter) -> Option<&'f Namespace> {
        let index = match self.namespaces {
            Namespaces::One(index) => index,
            Namespaces::OneOrNone => 0,
            Namespaces::Any | Namespaces::None | Namespaces::Scope => return None,
        };
        filter.scope().named()?.get(index)
    }
}

/// Returns whether a filter needs nodes of a wide scope.
pub(crate) fn is_wide(filter: &Filter) -> bool {
    let terms = if filter.is_everything() { 0 } else { filter.terms().len() };
    let names = filter.scope().named().map_or(0, <[_]>::len);
    names > 1 && terms.saturating_mul(names) > MAX_PRODUCT
}

/// Returns the nodes that a subscription to this filter joins. There are none if it requests everything: such a
/// subscription reads the log itself.
///
/// An event without a namespace passes every scope, and must not look up every namespace there is. So a scoped term
/// also joins a node for events without a namespace, which all scopes share. Under an exact key there is seldom more
/// than one scope. Then one node accepts both kinds of event, which halves the memory that a narrow reader takes.
pub(crate) fn node_terms<'f, L: Default>(
    filter: &'f Filter,
    keys: &'f KeyHasher,
) -> impl Iterator<Item = NodeTerm<L>> + 'f {
    let terms = if filter.is_everything() { &[][..] } else { filter.terms() };
    let names = filter.scope().named().map_or(0, <[_]>::len);
    let wide = is_wide(filter);
    terms.iter().enumerate().flat_map(move |(term, asked)| {
        let key = asked.key_name();
        let mut sides = SmallVec::<[Namespaces; 2]>::new();
        match filter.scope() {
            Scope::All => sides.push(Namespaces::Any),
            Scope::Named(_) if names == 1 && key.is_some() => sides.push(Namespaces::OneOrNone),
            Scope::Named(_) => {
                if wide {
                    sides.push(Namespaces::Scope);
                } else {
                    sides.extend((0..names).map(Namespaces::One));
                }
                sides.push(Namespaces::None);
            }
        }
        let key_hash = key.map_or(0, |key| keys.hash(key));
        sides.into_iter().map(move |namespaces| {
            let prepared = Some(Arc::new(Node::prepared(key.cloned())));
            NodeTerm { term, namespaces, key_hash, prepared }
        })
    })
}
