//! What the charges depend on: the nodes that events hit, the readers registered at them, and what each reader has
//! still to pass.
//!
//! It looks everything up by name, has no index and no chain, and does not call the broker.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use super::script::{Config, EventSpec, RequestSpec, TermSpec};

/// A request of more terms times namespaces than this has a scope of its own, which is entered once.
const MAX_PRODUCT: usize = 1_024;

/// A reader of more nodes than this is notified of the nodes that were hit.
const POLLED: usize = 8;

/// The namespaces that a node takes events of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    Any,
    None,
    One(usize),
    /// All of a scope, by its number.
    Wide(usize),
}

pub type Node = (TermSpec, Side);

/// The readers that asked for a node, and those registered at it.
#[derive(Debug, Default)]
struct At {
    readers: usize,
    registered: BTreeSet<usize>,
}

/// One batch in the buffer.
#[derive(Debug)]
struct Batch {
    hits: HashSet<Node>,
    /// What looking at its events costs: each, and its keys.
    keys: u64,
    events: u64,
    /// Hits, event by event.
    all_hits: u64,
}

/// What a reader asked for, and what it has passed, or been charged for.
#[derive(Debug)]
pub struct Reader {
    pub nodes: HashSet<Node>,
    scope: Option<usize>,
    /// Whether each event that matches is filtered by type or predicate.
    filters: bool,
    /// What was published before is not in the chains of its nodes.
    opened: u64,
    pub cursor: u64,
}

impl Reader {
    /// The nodes that it polls at each read. None if it is notified of hits.
    pub fn polled(&self) -> u64 {
        if self.is_named() { 0 } else { self.nodes.len() as u64 }
    }

    pub fn is_named(&self) -> bool {
        self.nodes.len() > POLLED
    }
}

#[derive(Debug, Default)]
pub struct Model {
    terms: HashMap<TermSpec, BTreeMap<Side, At>>,
    /// Wide scopes that were ever asked for, and how many nodes use each.
    scopes: Vec<(BTreeSet<usize>, usize)>,
    /// Readers of everything that are registered.
    everyone: BTreeSet<usize>,
    batches: VecDeque<Batch>,
    pub end: u64,
    events: u64,
    /// When the latest node was made: evictions of older batches are recorded.
    youngest: u64,
}

/// What a publish may cost, apart from access.
#[derive(Clone, Copy, Debug, Default)]
pub struct Published {
    pub lookups: u64,
    pub hits: u64,
    pub woken: u64,
    pub evicted: u64,
    /// A sixty-fourth of the smaller of two sets of wide scopes, for each term that was looked up.
    pub wide: u64,
}

impl Published {
    pub fn charge(&self) -> u64 {
        1 + self.lookups + self.hits + self.woken + self.evicted + self.wide
    }
}

impl Model {
    pub fn oldest(&self) -> u64 {
        self.end - self.batches.len() as u64
    }

    pub fn held(&self) -> u64 {
        self.batches.len() as u64
    }

    /// The logarithm of how far back a chain can reach, plus one.
    pub fn depth(&self) -> u64 {
        1 + u64::from((self.held() / 16 + 1).ilog2())
    }

    /// The reader of a request that begins at `cursor`. It has joined nothing yet.
    pub fn reader(&mut self, request: &RequestSpec, cursor: u64) -> Reader {
        let terms: BTreeSet<TermSpec> = request.terms.iter().copied().collect();
        let everything = BTreeSet::from([(None, None)]);
        let names: BTreeSet<usize> = request.namespaces.iter().copied().collect();
        let asked = if terms.is_empty() && !names.is_empty() { &everything } else { &terms };
        let wide = names.len() > 1 && asked.len() * names.len() > MAX_PRODUCT;
        let scope = wide.then(|| {
            self.scopes.iter().position(|(scope, _)| *scope == names).unwrap_or_else(|| {
                self.scopes.push((names.clone(), 0));
                self.scopes.len() - 1
            })
        });
        let sides: Vec<Side> = match (scope, names.is_empty()) {
            (_, true) => vec![Side::Any],
            (Some(scope), _) => vec![Side::Wide(scope), Side::None],
            (None, _) => names.iter().map(|name| Side::One(*name)).chain([Side::None]).collect(),
        };
        let nodes = asked.iter().flat_map(|term| sides.iter().map(|side| (*term, *side))).collect();
        Reader { nodes, scope, filters: request.typed || request.refuses.is_some(), opened: self.end, cursor }
    }

    /// The nodes of a reader, and the namespaces of its scope if that is wide.
    pub fn asked_for(&self, reader: &Reader) -> u64 {
        let namespaces = reader.scope.map_or(0, |scope| self.scopes[scope].0.len());
        (reader.nodes.len() + namespaces) as u64
    }

    /// Records that nodes were made, also for a request that was refused in the end.
    pub fn make_nodes(&mut self, reader: &Reader) {
        let is_new = |(term, side): &Node| {
            // Of one namespace, there may be one node for it and for events without, or one for each.
            matches!(side, Side::One(_)) || self.terms.get(term).is_none_or(|sides| !sides.contains_key(side))
        };
        if reader.nodes.iter().any(is_new) {
            self.youngest = self.end;
        }
    }

    pub fn join(&mut self, reader: &Reader) {
        for (term, side) in &reader.nodes {
            self.terms.entry(*term).or_default().entry(*side).or_default().readers += 1;
        }
        if let Some(scope) = reader.scope {
            self.scopes[scope].1 += 1;
        }
    }

    pub fn leave(&mut self, id: usize, reader: &Reader) {
        for (term, side) in &reader.nodes {
            let sides = self.terms.get_mut(term).unwrap();
            let at = sides.get_mut(side).unwrap();
            at.readers -= 1;
            at.registered.remove(&id);
            if at.readers == 0 {
                sides.remove(side);
            }
            if sides.is_empty() {
                self.terms.remove(term);
            }
        }
        if let Some(scope) = reader.scope {
            self.scopes[scope].1 -= 1;
        }
        self.everyone.remove(&id);
    }

    /// A waiting reader is registered at all of its nodes; one that is notified of hits has been since its last read.
    pub fn register(&mut self, id: usize, reader: &Reader) {
        if reader.nodes.is_empty() {
            self.everyone.insert(id);
        }
        for (term, side) in &reader.nodes {
            self.terms.get_mut(term).unwrap().get_mut(side).unwrap().registered.insert(id);
        }
    }

    fn keys(event: &EventSpec) -> impl Iterator<Item = usize> {
        std::iter::once(event.key).chain(event.filter_keys.iter().copied())
    }

    /// The terms that an event matches.
    fn terms_of(event: &EventSpec) -> BTreeSet<TermSpec> {
        let keys = || std::iter::once(None).chain(Self::keys(event).map(Some));
        [None, Some(event.topic)].into_iter().flat_map(|topic| keys().map(move |key| (topic, key))).collect()
    }

    pub fn publish(&mut self, config: &Config, events: &[EventSpec]) -> Published {
        let mut published = Published::default();
        let count = events.len() as u64;
        let fits = |model: &Self| {
            model.batches.len() < config.max_batches
                && config.max_events.is_none_or(|most| model.events + count <= most as u64)
        };
        while !self.batches.is_empty() && !fits(self) {
            let noted = self.oldest() < self.youngest;
            let batch = self.batches.pop_front().unwrap();
            self.events -= batch.events;
            published.evicted += 1 + if noted { batch.keys + batch.all_hits } else { 0 };
        }
        let mut batch = Batch { hits: HashSet::new(), keys: 0, events: count, all_hits: 0 };
        for event in events {
            batch.keys += 1 + Self::keys(event).count() as u64;
            let in_scope = |scope: usize| {
                let (names, readers) = &self.scopes[scope];
                *readers > 0 && event.namespace.is_some_and(|name| names.contains(&name))
            };
            let scopes_of_namespace = (0..self.scopes.len()).filter(|scope| in_scope(*scope)).count();
            for term in Self::terms_of(event) {
                let Some(sides) = self.terms.get(&term) else { continue };
                let own = event.namespace.map_or(Side::None, Side::One);
                let named = [Side::Any, own].into_iter().filter(|side| sides.contains_key(side));
                let wide: Vec<Side> = sides.range(Side::Wide(0)..).map(|(side, _)| *side).collect();
                let hit_wide =
                    wide.iter().copied().filter(|side| matches!(side, Side::Wide(scope) if in_scope(*scope)));
                published.wide += (wide.len().min(scopes_of_namespace) as u64).div_ceil(64);
                for side in named.chain(hit_wide) {
                    batch.all_hits += 1;
                    batch.hits.insert((term, side));
                }
            }
        }
        (published.lookups, published.hits) = (batch.keys, batch.all_hits);
        for (term, side) in &batch.hits {
            let at = self.terms.get_mut(term).unwrap().get_mut(side).unwrap();
            published.woken += std::mem::take(&mut at.registered).len() as u64;
        }
        published.woken += std::mem::take(&mut self.everyone).len() as u64;
        self.events += count;
        self.end += 1;
        self.batches.push_back(batch);
        published
    }

    pub fn clear(&mut self) {
        self.batches.clear();
        self.events = 0;
    }

    /// The cost for a reader of passing everything up to `to`: batches that it reads, events that it filters, and its
    /// own terms that were hit, each times a logarithm. Evicted batches and those that it did not ask for cost nothing.
    pub fn pass(&self, reader: &mut Reader, to: u64) -> u64 {
        let mut charge = 0;
        for position in reader.cursor.max(self.oldest())..to {
            let batch = &self.batches[usize::try_from(position - self.oldest()).unwrap()];
            if reader.nodes.is_empty() {
                charge += 1 + if reader.filters { batch.events } else { 0 };
            } else if position < reader.opened {
                charge += 1 + batch.keys + if reader.filters { batch.events } else { 0 };
            } else {
                let hits = batch.hits.intersection(&reader.nodes).count() as u64;
                if hits > 0 {
                    let filtered = if reader.filters || reader.nodes.len() > 1 { batch.keys } else { 0 };
                    charge += 1 + hits * self.depth() + filtered;
                }
            }
        }
        reader.cursor = reader.cursor.max(to);
        charge
    }
}
