//! What each reader did and saw, in the form of the validators, and what it must and may have received.
//!
//! That is derived from what was published, the rules and the changes of access, and not from the naive readers.

use std::sync::Arc;

use event_broker::testing::history::{CHECKS, History, PastEvent, Step, Trace};

use crate::support::matching::Grant;
use crate::support::naive::{Batch, Fact, Place};
use crate::support::op::{Change, RequestSpec, Rule};

/// One reader in one epoch, as long as nothing was skipped.
#[derive(Clone, Debug)]
pub struct Trail {
    pub name: String,
    pub epoch: usize,
    request: RequestSpec,
    /// When it was opened, in steps of the run.
    opened: usize,
    /// When its last step was.
    closed: usize,
    /// The range of the first position that it could see; positions are those of its epoch.
    begin: (usize, usize),
    /// It asked for no batch before this place.
    from: Place,
    steps: Vec<Step>,
}

impl Trail {
    pub fn new(name: String, epoch: usize, request: RequestSpec, opened: usize) -> Self {
        let (begin, from, steps) = ((0, 0), Place::before(0), Vec::new());
        Self { name, epoch, request, opened, closed: opened, begin, from, steps }
    }

    pub fn begin(&mut self, begin: (usize, usize), from: Place) {
        (self.begin, self.from) = (begin, from);
    }

    pub fn push(&mut self, now: usize, step: Step) {
        self.closed = now;
        self.steps.push(step);
    }

    /// The rest of the trail, after a skipped part of the history.
    pub fn split(&mut self, now: usize, begin: usize) -> Self {
        let mut rest = Self::new(self.name.clone(), self.epoch, self.request.clone(), self.opened);
        rest.begin = (begin, begin);
        self.push(now, Step::Ended { why: "skipped" });
        std::mem::replace(self, rest)
    }

    /// Whether nothing was read yet. Then the validators do not know its position.
    pub fn is_fresh(&self) -> bool {
        self.steps.is_empty()
    }

    pub fn deliveries(&self) -> usize {
        self.steps.iter().filter(|step| matches!(step, Step::Delivery { .. })).count()
    }

    /// Forgets one delivery in the middle, for the test of the validators.
    pub fn lose_a_delivery(&mut self) {
        let deliveries: Vec<_> =
            self.steps.iter().enumerate().filter(|(_, step)| matches!(step, Step::Delivery { .. })).collect();
        if let Some((at, _)) = deliveries.get(deliveries.len() / 2).copied() {
            self.steps.remove(at);
        }
    }

    /// Panics with the first validator that refuses it.
    pub fn check(&self, past: &Past, epochs: &[History], batches: &[&[Batch]]) {
        let facts = batches[self.epoch];
        let chosen = |which: &dyn Fn(usize, &Fact) -> bool| {
            let of = |(at, batch): (usize, &Batch)| -> Vec<bool> {
                batch.facts.iter().map(|fact| batch.place >= self.from && which(at, fact)).collect()
            };
            let chosen: Arc<[Vec<bool>]> = facts.iter().enumerate().map(of).collect();
            move |event: &PastEvent| chosen[event.position()][event.ordinal()]
        };
        let published = &past.published[self.epoch];
        let mut trace = Trace::new(&*self.name)
            .begins(self.begin.0..=self.begin.1)
            .asks_for(chosen(&|_, fact| self.request.matches(&fact.spec)))
            .may_see(chosen(&|at, fact| self.wants(fact) && past.may(&self.request, fact, self.opened, published[at])))
            .must_see(chosen(&|_, fact| past.must(&self.request, fact, self.opened, self.closed)));
        for step in &self.steps {
            trace.push(step.clone());
        }
        for (guarantee, check) in CHECKS {
            if let Err(violation) = check(&epochs[self.epoch], &trace) {
                panic!("{guarantee}: {violation}\nof {:?}: {:?}", self.request, self.steps);
            }
        }
    }

    fn wants(&self, fact: &Fact) -> bool {
        self.request.matches(&fact.spec)
            && self.request.matches_type(&fact.spec)
            && self.request.refuses.is_none_or(|rest| fact.id % 3 != rest)
    }
}

/// What happened to access and when, in steps of the run.
#[derive(Debug, Default)]
pub struct Past {
    guarded: bool,
    /// When each batch of each epoch was published.
    pub published: Vec<Vec<usize>>,
    rules: Vec<(usize, &'static str, Rule)>,
    changes: Vec<(usize, Change)>,
}

impl Past {
    pub fn new(guarded: bool) -> Self {
        Self { guarded, published: vec![Vec::new()], ..Self::default() }
    }

    pub fn note_rule(&mut self, now: usize, principal: &'static str, rule: Rule) {
        self.rules.push((now, principal, rule));
    }

    pub fn note_change(&mut self, now: usize, change: Change) {
        self.changes.push((now, change));
    }

    /// Whether some rule of this principal that was in force between these steps has this property.
    fn some_rule(&self, principal: &str, from: usize, to: usize, has: impl Fn(&Rule) -> bool) -> bool {
        let of_principal = || self.rules.iter().filter(|(_, whose, _)| *whose == principal);
        let before = of_principal().rev().find(|(set, ..)| *set <= from).map(|(_, _, rule)| rule.clone());
        let meanwhile = of_principal().filter(|(set, ..)| *set > from && *set <= to);
        has(&before.unwrap_or_default()) || meanwhile.into_iter().any(|(_, _, rule)| has(rule))
    }

    /// Whether every rule in force between these steps permits this.
    fn must(&self, request: &RequestSpec, fact: &Fact, from: usize, to: usize) -> bool {
        let some = |has: &dyn Fn(&Rule) -> bool| self.some_rule(request.principal, from, to, has);
        let refused = || some(&|rule| !rule.allowed || !admits(rule, fact));
        // Whether events are checked is in the grant; what is checked is in the current rule.
        let forbidden = || some(&|rule| rule.checks_events) && some(&|rule| forbids(rule, fact));
        !self.guarded || !refused() && !forbidden()
    }

    /// Whether the grant that is in force at the position of an event may let it pass: it is no older than the last
    /// change before the event that certainly concerns the reader.
    fn may(&self, request: &RequestSpec, fact: &Fact, opened: usize, published: usize) -> bool {
        let own = Change::Token(request.principal);
        let fences = self.changes.iter().filter(|(at, change)| {
            *at >= opened && *at <= published && (*change == Change::Everyone || *change == own)
        });
        let asked = fences.map(|(at, _)| *at).max().unwrap_or(opened);
        let some = |from, has: &dyn Fn(&Rule) -> bool| self.some_rule(request.principal, from, usize::MAX, has);
        let granted = || some(asked, &|rule| rule.allowed && admits(rule, fact));
        let unchecked = || some(asked, &|rule| !rule.checks_events);
        let permitted = || some(published.max(opened), &|rule| !forbids(rule, fact));
        !self.guarded || granted() && (unchecked() || permitted())
    }
}

fn admits(rule: &Rule, fact: &Fact) -> bool {
    Grant { rule: rule.clone(), expires_at: None }.admits(&fact.spec)
}

fn forbids(rule: &Rule, fact: &Fact) -> bool {
    rule.forbidden_key == Some(fact.spec.key)
}
