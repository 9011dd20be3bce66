//! The nodes that a filter's subscription asks for.
//! Whether they are there is the table's business.

use std::sync::Arc;

use smallvec::SmallVec;

use super::filter::Filter;
use super::keys::KeyHasher;
use super::node::Node;
use crate::types::name::Namespace;
use crate::types::term::{Scope, Term};

/// A request that would be more nodes than this joins one node a term instead, of a [scope](super::wide) that is entered
/// once. That costs an event a node for each distinct scope of this kind, where nodes of namespaces are shared.
const MAX_PRODUCT: usize = 1024;

/// The namespaces that a node is to take events of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Namespaces {
    /// All, and none.
    Any,
    /// Events without a namespace alone.
    None,
    /// The named one at this place of the filter's scope.
    One(usize),
    /// The only one named, and events without a namespace: one node, or two.
    OneOrNone,
    /// All that the filter's scope names.
    Scope,
}

/// One node that a subscription asks for, with what can be made of it before the table is looked at.
#[derive(Debug)]
pub(crate) struct NodeTerm<L> {
    term: usize,
    pub(super) namespaces: Namespaces,
    pub(super) key_hash: u64,
    /// The node, should nobody have subscribed to it. It has a key, and nothing else yet.
    pub(super) prepared: Option<Arc<Node<L>>>,
}

impl<L> NodeTerm<L> {
    /// The term, of the filter that this was made of.
    pub(super) fn term<'f>(&self, filter: &'f Filter) -> &'f Term {
        filter.terms().get(self.term).unwrap_or(&Term::ALL)
    }

    pub(super) fn namespace<'f>(&self, filter: &'f Filter) -> Option<&'f Namespace> {
        let place = match self.namespaces {
            Namespaces::One(place) => place,
            Namespaces::OneOrNone => 0,
            Namespaces::Any | Namespaces::None | Namespaces::Scope => return None,
        };
        filter.scope().named()?.get(place)
    }
}

/// Whether the nodes of a filter are those of a wide scope.
pub(crate) fn is_wide(filter: &Filter) -> bool {
    let terms = if filter.is_everything() { 0 } else { filter.terms().len() };
    let names = filter.scope().named().map_or(0, <[_]>::len);
    names > 1 && terms.saturating_mul(names) > MAX_PRODUCT
}

/// The nodes that a filter's subscription joins. None if it asks for everything: that is read from the log itself.
///
/// An event without a namespace passes every scope, and must not look up every namespace there is. So a scoped term also
/// joins the node of that term for events without a namespace, which all scopes share. Under an exact key there is seldom
/// more than one scope, and then one node takes both kinds: half the memory of a narrow reader.
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
