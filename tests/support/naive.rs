//! The broker as one `Vec` of all batches there ever were, and an index of the oldest in reach.
//! No sharing, no chains, no threads: every rule is written as the design says it, and nothing is fast.

use std::collections::BTreeSet;

use super::hooks::{Hands, Rules, Told};
use super::matching::Grant;
use super::op::{Change, Config, EventSpec, RequestSpec};
use super::reader::{Reader, Stand};

/// A batch's place in a history: its index, and how many batches of that index came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub index: u64,
    pub count: u64,
}

impl Place {
    pub fn before(index: u64) -> Self {
        Self { index, count: 0 }
    }

    pub fn past(index: u64) -> Self {
        Self { index, count: u64::MAX }
    }

    pub fn next(self) -> Self {
        Self { index: self.index, count: self.count.saturating_add(1) }
    }
}

/// Where a reader stands, as it can be resumed from. [10]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    pub epoch: u64,
    pub place: Place,
}

/// A start whose relative parts have been resolved. [8]
#[derive(Clone, Copy, Debug)]
pub enum Start {
    Oldest,
    Latest,
    Index(u64),
    Exactly(u64),
    After(Token),
}

/// One event, with its number in the run.
#[derive(Clone, Debug)]
pub struct Fact {
    pub id: u64,
    pub spec: EventSpec,
}

#[derive(Clone, Debug)]
pub struct Batch {
    pub place: Place,
    pub facts: Vec<Fact>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Whole,
    Lost { oldest: Option<u64> },
    Future { latest: u64 },
    OtherEpoch { oldest: Option<u64> },
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Invalid,
    Denied,
    Closed,
    Lost { index: u64, oldest: Option<u64> },
    Absent { index: u64, next: Option<u64> },
    Future { index: u64, latest: u64 },
}

/// Why a batch was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unpublished {
    Falling { index: u64, latest: u64 },
    Past { index: u64, initial: u64 },
    Closed,
}

/// Counts of the whole broker. [27]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub published_batches: u64,
    pub published_events: u64,
    pub evicted_batches: u64,
    pub buffered_batches: u64,
    pub buffered_events: u64,
    pub buffered_bytes: u64,
    pub oldest_index: Option<u64>,
    pub latest_index: u64,
    pub subscriptions: u64,
}

pub struct NaiveBroker {
    pub config: Config,
    pub rules: Rules,
    pub clock: Hands,
    /// Every batch there ever was. A position is an index into it.
    pub log: Vec<Batch>,
    /// The position of the oldest batch in reach.
    pub oldest: usize,
    pub epoch: u64,
    pub closed: bool,
    pub latest: u64,
    /// Everything up to and including this index is past. [9]
    past: Option<u64>,
    /// Whether anything was published since.
    published_since: bool,
    /// Everything below has been evicted or is past.
    gone: Place,
    pub readers: Vec<Reader>,
    /// Readers that must be woken by the operation under way, and nobody else may be.
    pub woken: BTreeSet<usize>,
    pub told: Told,
    evicted: u64,
    /// The position of the first batch since the last reset.
    epoch_began: usize,
    next_id: u64,
}

impl NaiveBroker {
    pub fn new(config: Config, rules: Rules, clock: Hands, epoch: u64) -> Self {
        Self {
            past: config.initial_index,
            latest: config.initial_index.unwrap_or(0),
            gone: config.initial_index.map_or(Place::before(0), Place::past),
            config,
            rules,
            clock,
            log: Vec::new(),
            oldest: 0,
            epoch,
            closed: false,
            published_since: false,
            readers: Vec::new(),
            woken: BTreeSet::new(),
            told: Told::default(),
            evicted: 0,
            epoch_began: 0,
            next_id: 0,
        }
    }

    /// Numbers the events of a batch, whether it will be published or not.
    pub fn number(&mut self, events: &[EventSpec]) -> Vec<Fact> {
        let number = |spec: &EventSpec| {
            self.next_id += 1;
            Fact { id: self.next_id, spec: spec.clone() }
        };
        events.iter().map(number).collect()
    }

    /// [3], [5], and the first half of [17].
    pub fn publish(&mut self, index: u64, facts: Vec<Fact>, change: Option<Change>) -> Result<(), Unpublished> {
        if self.closed {
            return Err(Unpublished::Closed);
        }
        match self.past {
            Some(initial) if !self.published_since && index <= initial => {
                return Err(Unpublished::Past { index, initial });
            }
            _ if self.published_since && index < self.latest => {
                return Err(Unpublished::Falling { index, latest: self.latest });
            }
            _ => {}
        }
        self.published_since = true;
        self.told.published += 1;
        self.latest = index;
        if facts.is_empty() {
            return Ok(());
        }
        self.told.events += facts.len() as u64;
        if let Some(change) = change.filter(|_| self.config.guarded) {
            self.change(change);
        }
        while self.oldest < self.log.len() && !self.fits(&facts) {
            let evicted = self.log[self.oldest].place;
            self.told.evicted += 1;
            self.told.evicted_through = evicted.index;
            self.gone = evicted.next();
            self.evicted += 1;
            self.oldest += 1;
        }
        let last = self.log[self.epoch_began..].last().map(|last| last.place);
        let place = last.filter(|last| last.index == index).map_or(Place::before(index), Place::next);
        let batch = Batch { place, facts };
        for (number, reader) in self.readers.iter_mut().enumerate().filter(|(_, reader)| reader.open) {
            match reader.stand {
                Stand::Waiting(from) if from > place => {}
                Stand::Waiting(_) => {
                    reader.stand = Stand::At(self.log.len());
                    self.woken.insert(number);
                }
                _ if reader.request.asks_for(&batch) => {
                    self.woken.insert(number);
                }
                _ => {}
            }
        }
        self.log.push(batch);
        Ok(())
    }

    /// Whether what is in reach and one more batch are within every bound. [5]
    fn fits(&self, more: &[Fact]) -> bool {
        let events: Vec<&Fact> = self.reach().iter().flat_map(|batch| &batch.facts).chain(more).collect();
        (self.reach().len() as u64) < self.config.max_batches
            && self.config.max_events.is_none_or(|most| events.len() as u64 <= most)
            && self.config.max_bytes.is_none_or(|most| bytes(events.iter().copied()) <= most)
    }

    /// The batches in reach, oldest first.
    pub fn reach(&self) -> &[Batch] {
        &self.log[self.oldest..]
    }

    pub fn oldest_index(&self) -> Option<u64> {
        self.reach().first().map(|batch| batch.place.index)
    }

    /// [8], [9], [15]. The number of the reader, and its verdict.
    pub fn subscribe(&mut self, request: RequestSpec, start: Start) -> Result<(usize, Verdict), Refusal> {
        if request.is_invalid() {
            return Err(Refusal::Invalid);
        }
        let grant = if self.config.guarded { Some(self.ask(&request).ok_or(Refusal::Denied)?) } else { None };
        if self.closed {
            return Err(Refusal::Closed);
        }
        let (stand, verdict, passed) = match start {
            Start::Oldest => (Stand::Oldest, Verdict::Whole, Place::before(0)),
            Start::Latest => (Stand::At(self.log.len()), Verdict::Whole, self.next_place()),
            Start::Index(index) => self.begin(Place::before(index)),
            Start::After(token) if token.epoch == self.epoch => self.begin(token.place),
            Start::After(_) => (Stand::Oldest, Verdict::OtherEpoch { oldest: self.oldest_index() }, Place::before(0)),
            Start::Exactly(index) => self.begin_exactly(index)?,
        };
        let token = Token { epoch: self.epoch, place: passed };
        self.readers.push(Reader::new(request, stand, token, self.log.len(), grant));
        self.told.subscribed += 1;
        Ok((self.readers.len() - 1, verdict))
    }

    /// The first batch in reach at this place or a later one, or a wait for it.
    fn begin(&self, from: Place) -> (Stand, Verdict, Place) {
        let found = self.reach().iter().position(|batch| batch.place >= from);
        let stand = match found {
            Some(found) => Stand::At(self.oldest + found),
            // Whatever comes next is not before it: this is no wait.
            None if from <= self.next_place() => Stand::At(self.log.len()),
            None => Stand::Waiting(from),
        };
        let verdict = if from < self.gone {
            Verdict::Lost { oldest: self.oldest_index() }
        } else if from.index > self.latest.saturating_add(1) {
            Verdict::Future { latest: self.latest }
        } else {
            Verdict::Whole
        };
        (stand, verdict, from)
    }

    fn begin_exactly(&self, index: u64) -> Result<(Stand, Verdict, Place), Refusal> {
        let from = Place::before(index);
        if from < self.gone {
            return Err(Refusal::Lost { index, oldest: self.oldest_index() });
        }
        match self.reach().iter().position(|batch| batch.place >= from) {
            Some(found) if self.reach()[found].place.index == index => {
                Ok((Stand::At(self.oldest + found), Verdict::Whole, from))
            }
            None if index > self.latest => Err(Refusal::Future { index, latest: self.latest }),
            next => Err(Refusal::Absent { index, next: next.map(|next| self.reach()[next].place.index) }),
        }
    }

    /// The place that no batch to come can be before.
    fn next_place(&self) -> Place {
        let after_last = self.log[self.epoch_began..].last().map(|last| last.place.next());
        let restored = self.past.map_or(Place::before(0), Place::past);
        after_last.unwrap_or(restored).max(Place::before(self.latest))
    }

    /// What the table grants, and nothing if it denies. Every named namespace must be covered. [15]
    pub fn ask(&self, request: &RequestSpec) -> Option<Grant> {
        let rule = self.rules.of(request.principal);
        let covers = |name: &&str| rule.namespaces.as_ref().is_none_or(|names| names.contains(name));
        if !rule.allowed || !request.named_namespaces().is_none_or(|names| names.iter().all(covers)) {
            return None;
        }
        Some(Grant { expires_at: rule.ttl.map(|ttl| self.clock.millis() + ttl), rule })
    }

    /// Whom a change concerns is fenced, and woken. [17]
    pub fn change(&mut self, change: Change) {
        let guarded = self.config.guarded;
        for (number, reader) in self.readers.iter_mut().enumerate().filter(|(_, reader)| reader.open) {
            let rests = |part: fn(&Grant) -> Option<&'static str>, name| {
                reader.grant.as_ref().and_then(part).is_some_and(|basis| basis == name)
            };
            let concerned = match change {
                Change::TokenDeleted(id) | Change::Token(id) => {
                    // Without an authorizer there is nothing to ask, but a named token can still be deleted.
                    let own = reader.request.principal == id && (guarded || id != "anonymous");
                    own || rests(|grant| grant.rule.token, id)
                }
                Change::Policy(name) => rests(|grant| grant.rule.policy, name),
                Change::Role(name) => rests(|grant| grant.rule.role, name),
                Change::Everyone => true,
            };
            if concerned {
                match change {
                    Change::TokenDeleted(_) => reader.token_deleted = true,
                    _ => reader.must_ask = true,
                }
                self.woken.insert(number);
            }
        }
    }

    /// [18]
    pub fn tick(&mut self) {
        for (number, reader) in self.readers.iter_mut().enumerate().filter(|(_, reader)| reader.open) {
            if !reader.ticked && reader.has_expired(&self.clock) {
                reader.ticked = true;
                self.woken.insert(number);
            }
        }
    }

    pub fn cancel(&mut self, reader: usize) {
        self.readers[reader].cancelled = true;
        self.woken.insert(reader);
    }

    pub fn unsubscribe(&mut self, reader: usize) {
        let reader = &mut self.readers[reader];
        reader.open = false;
        if reader.ended.is_none() {
            self.told.ended += 1;
        }
    }

    /// [23]
    pub fn reset(&mut self, index: u64, epoch: u64) {
        self.evicted += self.reach().len() as u64;
        self.oldest = self.log.len();
        self.epoch_began = self.log.len();
        self.epoch = epoch;
        self.latest = index;
        self.past = Some(index);
        self.published_since = false;
        self.gone = Place::past(index);
        self.end_all(|reader| reader.reset = true);
    }

    pub fn close(&mut self) {
        self.closed = true;
        self.end_all(|_| ());
    }

    fn end_all(&mut self, end: impl Fn(&mut Reader)) {
        for (number, reader) in self.readers.iter_mut().enumerate().filter(|(_, reader)| reader.open) {
            end(reader);
            self.woken.insert(number);
        }
    }

    pub fn has_interest(&self, event: &EventSpec) -> bool {
        self.readers.iter().any(|reader| reader.open && reader.request.matches(event))
    }

    pub fn totals(&self) -> Totals {
        let facts = || self.reach().iter().flat_map(|batch| &batch.facts);
        Totals {
            published_batches: self.log.len() as u64,
            published_events: self.log.iter().map(|batch| batch.facts.len() as u64).sum(),
            evicted_batches: self.evicted,
            buffered_batches: self.reach().len() as u64,
            buffered_events: facts().count() as u64,
            buffered_bytes: if self.config.max_bytes.is_some() { bytes(facts()) } else { 0 },
            oldest_index: self.oldest_index(),
            latest_index: self.latest,
            subscriptions: self.readers.iter().filter(|reader| reader.open).count() as u64,
        }
    }
}

fn bytes<'a>(facts: impl Iterator<Item = &'a Fact>) -> u64 {
    facts.map(|fact| fact.spec.weight).sum()
}
