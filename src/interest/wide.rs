//! Stores the nodes of wide scopes, which are scopes of so many namespaces that a node for each would be too much.
//! Scopes of few namespaces, and events without a namespace, have nodes of their own in `table`.
//!
//! A scope is *entered* once, however many terms and subscriptions use it: its number is added to the set of scopes of
//! each of its namespaces. A term has one node for each scope in which it was requested. An event intersects the scopes
//! of its namespace with those of its term, 64 at a time, and hits the nodes of the scopes that are in both.
//!
//! So a subscription costs its terms plus its namespaces, and not their product. An event costs what it hits, and the
//! words of the smaller of the two sets of scopes: a sixty-fourth of that set, or more if scopes between its members
//! are no longer in use.
//!
//! Invariants:
//! - nodes of a scope are joined only when all namespaces of the scope have been entered, so their chains hold every
//!   match;
//! - a scope that is no longer in use cannot be found. It keeps its number until all its namespaces have been taken
//!   out, which is done step by step.
//!
//! Callers: `table` under the broker's lock.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use smallvec::SmallVec;

use super::bits::BitSet;
use super::names::Names;
use super::node::Node;
use super::subject::{NamespaceScope, Subject};
use crate::steps::{Step, count};
use crate::types::term::Scope;

/// All wide scopes, and the nodes of their terms.
#[derive(Debug)]
pub(super) struct WideScopes<L> {
    scopes: BTreeMap<u32, UsedScope>,
    /// The numbers of the scopes in use, by a hash of their names.
    by_hash: BTreeMap<u64, SmallVec<[u32; 1]>>,
    /// The numbers in use.
    numbers: BitSet,
    /// The scopes that contain a namespace, by its number.
    of_namespace: BTreeMap<u32, BitSet>,
    /// The terms, by the hash of topic and key.
    terms: BTreeMap<u64, SmallVec<[WideTerm<L>; 1]>>,
}

/// A wide scope that has a number.
#[derive(Debug)]
struct UsedScope {
    scope: Arc<Scope>,
    hash: u64,
    /// How many nodes use it, and how many subscriptions that are being opened.
    uses: u32,
    /// How many of its namespaces have been entered.
    namespaces: usize,
}

/// The nodes of one term, by the number of the scope.
#[derive(Debug)]
struct WideTerm<L> {
    scopes: BitSet,
    nodes: BTreeMap<u32, Arc<Node<L>>>,
}

impl<L> WideTerm<L> {
    /// Returns whether these are the nodes of the subject's term.
    fn is_of(&self, subject: &Subject) -> bool {
        let any = self.nodes.values().next();
        any.is_some_and(|node| node.subject.topic == subject.topic && node.subject.key == subject.key)
    }
}

impl<L> WideScopes<L> {
    pub(super) fn new() -> Self {
        Self {
            scopes: BTreeMap::new(),
            by_hash: BTreeMap::new(),
            numbers: BitSet::default(),
            of_namespace: BTreeMap::new(),
            terms: BTreeMap::new(),
        }
    }

    #[cfg(all(test, not(broker_loom)))]
    pub(super) fn is_empty(&self) -> bool {
        self.scopes.is_empty()
    }

    /// Returns the scopes in use whose names have this hash.
    pub(super) fn candidates(&self, hash: u64) -> impl Iterator<Item = (u32, &Arc<Scope>)> {
        let numbers = self.by_hash.get(&hash).into_iter().flatten();
        numbers.filter_map(|number| Some((*number, &self.scopes.get(number)?.scope)))
    }

    /// Adds a use of a scope, if `number` is still its number and it is in use. Returns whether it did.
    pub(super) fn share(&mut self, number: u32, scope: &Arc<Scope>) -> bool {
        let scope =
            self.scopes.get_mut(&number).filter(|entered| entered.uses > 0 && Arc::ptr_eq(&entered.scope, scope));
        scope.is_some_and(|scope| {
            scope.uses += 1;
            true
        })
    }

    /// Adds another use of a scope that is in use.
    pub(super) fn retain(&mut self, number: u32) {
        if let Some(scope) = self.scopes.get_mut(&number) {
            scope.uses += 1;
        }
    }

    /// Adds a scope, with one use and no namespaces entered.
    pub(super) fn add(&mut self, scope: &Arc<Scope>, hash: u64) -> u32 {
        let number = self.numbers.first_absent();
        self.numbers.insert(number);
        self.scopes.insert(number, UsedScope { scope: Arc::clone(scope), hash, uses: 1, namespaces: 0 });
        self.by_hash.entry(hash).or_default().push(number);
        number
    }

    /// Enters up to `most` more namespaces of a scope. Returns whether all are entered.
    pub(super) fn enter(&mut self, number: u32, most: usize, names: &mut Names) -> bool {
        let Some(scope) = self.scopes.get_mut(&number) else { return true };
        let all = scope.scope.named().unwrap_or_default();
        let left = all.get(scope.namespaces..).unwrap_or_default();
        for namespace in left.iter().take(most) {
            count(Step::Join, 1);
            self.of_namespace.entry(names.intern(namespace.text())).or_default().insert(number);
            scope.namespaces += 1;
        }
        left.len() <= most
    }

    /// Removes one use. Returns whether it was the last. The scope must then be taken [out](Self::exit).
    pub(super) fn release(&mut self, number: u32) -> bool {
        let Some(scope) = self.scopes.get_mut(&number) else { return false };
        scope.uses -= 1;
        if scope.uses > 0 {
            return false;
        }
        let hash = scope.hash;
        if let Some(numbers) = self.by_hash.get_mut(&hash) {
            numbers.retain(|other| *other != number);
            if numbers.is_empty() {
                self.by_hash.remove(&hash);
            }
        }
        true
    }

    /// Takes out up to `most` namespaces of a scope that is no longer in use. When the last is out, returns the scope,
    /// which the caller drops after the lock.
    pub(super) fn exit(&mut self, number: u32, most: usize, names: &mut Names) -> ControlFlow<Option<Arc<Scope>>> {
        let Some(scope) = self.scopes.get_mut(&number) else { return ControlFlow::Break(None) };
        let all = scope.scope.named().unwrap_or_default();
        let entered = all.get(..scope.namespaces).unwrap_or_default();
        let left = entered.len().saturating_sub(most);
        for namespace in entered.get(left..).unwrap_or_default() {
            count(Step::Join, 1);
            let Some(name) = names.find_uncached(namespace.text()) else { continue };
            if let Some(scopes) = self.of_namespace.get_mut(&name) {
                scopes.remove(number);
                if scopes.is_empty() {
                    self.of_namespace.remove(&name);
                }
            }
            names.release(name);
        }
        scope.namespaces = left;
        if left > 0 {
            return ControlFlow::Continue(());
        }
        self.numbers.remove(number);
        ControlFlow::Break(self.scopes.remove(&number).map(|entered| entered.scope))
    }

    /// Returns the node of exactly this subject, whose term has this hash.
    pub(super) fn find(&self, hash: u64, subject: &Subject) -> Option<&Arc<Node<L>>> {
        let NamespaceScope::Scope(scope) = subject.namespaces else { return None };
        self.terms.get(&hash)?.iter().find(|term| term.is_of(subject))?.nodes.get(&scope)
    }

    pub(super) fn insert(&mut self, hash: u64, node: Arc<Node<L>>) {
        let NamespaceScope::Scope(scope) = node.subject.namespaces else { return };
        let terms = self.terms.entry(hash).or_default();
        let at = terms.iter().position(|term| term.is_of(&node.subject)).unwrap_or_else(|| {
            terms.push(WideTerm { scopes: BitSet::default(), nodes: BTreeMap::new() });
            terms.len() - 1
        });
        if let Some(term) = terms.get_mut(at) {
            term.scopes.insert(scope);
            term.nodes.insert(scope, node);
        }
    }

    pub(super) fn remove(&mut self, hash: u64, subject: &Subject) {
        let NamespaceScope::Scope(scope) = subject.namespaces else { return };
        let Some(terms) = self.terms.get_mut(&hash) else { return };
        if let Some(at) = terms.iter().position(|term| term.is_of(subject))
            && let Some(term) = terms.get_mut(at)
        {
            term.scopes.remove(scope);
            term.nodes.remove(&scope);
            if term.nodes.is_empty() {
                terms.swap_remove(at);
            }
        }
        if terms.is_empty() {
            self.terms.remove(&hash);
        }
    }

    /// Returns the scopes that contain a namespace.
    #[inline]
    pub(super) fn scopes_of(&self, namespace: u32) -> Option<&BitSet> {
        self.of_namespace.get(&namespace)
    }

    /// Calls `hit` for each node that an event hits by one term in one of `scopes`. `hash` is that of the term, and
    /// `accepts` compares the subject, because hashes may collide.
    pub(super) fn hit<'i>(
        &'i self,
        hash: u64,
        scopes: &BitSet,
        accepts: impl Fn(&Subject) -> bool,
        hit: &mut impl FnMut(&'i Node<L>),
    ) {
        count(Step::Find, 1);
        for term in self.terms.get(&hash).into_iter().flatten() {
            term.scopes.for_each_common(scopes, |scope| {
                if let Some(node) = term.nodes.get(&scope).filter(|node| accepts(&node.subject)) {
                    hit(node);
                }
            });
        }
    }
}
