//! The broker as one `Vec` of all batches ever published, and the position of the oldest that is buffered.
//!
//! No sharing, no chains, no threads: every rule is written as the semantics state it. Nothing is fast.

use std::collections::BTreeSet;

use super::hooks::{ManualClock, Observed, Rules};
use super::matching::Grant;
use super::op::{Change, Config, EventSpec, Origin, RequestSpec};
use super::reader::{Cursor, End, Reader};

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

    /// After everything that the index can have.
    pub fn after_all_of(index: u64) -> Self {
        index.checked_add(1).map_or(Self { index, count: u64::MAX }, Self::before)
    }

    pub fn next(self) -> Self {
        Self { index: self.index, count: self.count.saturating_add(1) }
    }

    /// The highest index that a batch before this place can have.
    pub fn last_index(self) -> u64 {
        if self.count == 0 { self.index.saturating_sub(1) } else { self.index }
    }
}

/// The position of a reader, from which it can resume. [10]
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
    Repeated { index: u64 },
    OtherEpoch { epoch: u64, current: u64 },
    Closed,
}

/// Why a place was not skipped to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unskipped {
    OtherEpoch,
    Behind,
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
    pub clock: ManualClock,
    /// Every batch ever published. A position is an index into it.
    pub log: Vec<Batch>,
    /// The position of the oldest buffered batch.
    pub oldest: usize,
    pub epoch: u64,
    pub closed: bool,
    pub latest: u64,
    /// Everything up to and including this index is past, and nothing was published since. [9]
    past: Option<u64>,
    /// The index that no later batch is below, if that is known; `config` decides whether it may be equal.
    floor: Option<u64>,
    /// Whether `latest` itself was published, by a batch of whatever kind.
    published: bool,
    /// The place after the last batch, or what is past. [10]
    pub next_place: Place,
    /// Everything below has been evicted or is past.
    pub gone: Place,
    pub readers: Vec<Reader>,
    /// The readers that the current operation must wake; it may wake no others.
    pub woken: BTreeSet<usize>,
    pub observed: Observed,
    evicted: u64,
    /// The position of the first batch of this epoch.
    epoch_began: usize,
    next_id: u64,
}

impl NaiveBroker {
    pub fn new(config: Config, rules: Rules, clock: ManualClock, epoch: u64) -> Self {
        let mut naive = Self {
            past: None,
            floor: None,
            published: false,
            latest: 0,
            next_place: Place::before(0),
            gone: Place::before(0),
            config,
            rules,
            clock,
            log: Vec::new(),
            oldest: 0,
            epoch,
            closed: false,
            readers: Vec::new(),
            woken: BTreeSet::new(),
            observed: Observed::default(),
            evicted: 0,
            epoch_began: 0,
            next_id: 0,
        };
        match naive.config.origin {
            Origin::Whole => {}
            Origin::Above(index) => naive.begin_above(index),
            Origin::After(index, count) => naive.begin_after(Place { index, count: u64::from(count) }),
        }
        naive
    }

    /// Everything up to and including this index is past. [9]
    fn begin_above(&mut self, index: u64) {
        (self.past, self.floor, self.published, self.latest) = (Some(index), None, false, index);
        self.next_place = Place::after_all_of(index);
        self.gone = self.next_place;
    }

    /// Everything up to this place is past. [9]
    fn begin_after(&mut self, place: Place) {
        (self.past, self.floor) = (None, Some(place.index));
        self.published = place.count > 0;
        self.latest = place.index.saturating_sub(u64::from(!self.published));
        (self.next_place, self.gone) = (place, self.rises_to(place));
    }

    /// The same place where an index has one batch at most. [9]
    fn rises_to(&self, place: Place) -> Place {
        if self.config.rising && place.count > 0 { Place::after_all_of(place.index) } else { place }
    }

    /// The place that no later batch can be before: the one after the last batch, or where a batch without events has
    /// moved it.
    pub fn earliest_next_place(&self) -> Place {
        let finished = match (self.past, self.floor) {
            (Some(past), _) => past.saturating_add(1),
            (None, Some(floor)) => floor.saturating_add(u64::from(self.config.rising && self.published)),
            (None, None) => 0,
        };
        self.next_place.max(Place::before(finished))
    }

    /// Whether a batch of this index may be published. [3]
    fn admits(&self, index: u64, epoch: u64) -> Result<(), Unpublished> {
        let repeated = self.config.rising && (self.published || self.past.is_some()) && index == self.latest;
        if self.closed {
            Err(Unpublished::Closed)
        } else if epoch != self.epoch {
            Err(Unpublished::OtherEpoch { epoch, current: self.epoch })
        } else if repeated {
            Err(Unpublished::Repeated { index })
        } else {
            match (self.past, self.floor) {
                (Some(initial), _) if index <= initial => Err(Unpublished::Past { index, initial }),
                (None, Some(latest)) if index < latest => Err(Unpublished::Falling { index, latest }),
                _ => Ok(()),
            }
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
    pub fn publish(
        &mut self,
        index: u64,
        epoch: u64,
        facts: Vec<Fact>,
        change: Option<Change>,
    ) -> Result<(), Unpublished> {
        self.admits(index, epoch)?;
        (self.past, self.floor, self.published) = (None, Some(index), true);
        self.observed.published += 1;
        self.latest = index;
        if facts.is_empty() {
            return Ok(());
        }
        self.observed.events += facts.len() as u64;
        if let Some(change) = change.filter(|_| self.config.guarded) {
            self.change(change);
        }
        while self.oldest < self.log.len() && !self.fits(&facts) {
            let evicted = self.log[self.oldest].place;
            self.observed.evicted += 1;
            self.observed.evicted_through = evicted.index;
            self.gone = evicted.next();
            self.evicted += 1;
            self.oldest += 1;
        }
        let place = if self.next_place.index == index { self.next_place } else { Place::before(index) };
        self.next_place = place.next();
        let batch = Batch { place, facts };
        for (number, reader) in self.readers.iter_mut().enumerate().filter(|(_, reader)| reader.open) {
            match reader.cursor {
                Cursor::Waiting(from) if from > place => {}
                Cursor::Waiting(_) => {
                    reader.cursor = Cursor::At(self.log.len());
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

    /// Whether the buffer and one more batch are within every bound. [5]
    fn fits(&self, more: &[Fact]) -> bool {
        let events: Vec<&Fact> = self.reach().iter().flat_map(|batch| &batch.facts).chain(more).collect();
        (self.reach().len() as u64) < self.config.max_batches
            && self.config.max_events.is_none_or(|most| events.len() as u64 <= most)
            && self.config.max_bytes.is_none_or(|most| bytes(events.iter().copied()) <= most)
    }

    /// The buffered batches, oldest first.
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
        // A grant that has expired already is a denial. [15]
        let asked = || self.ask(&request).filter(|grant| grant.rule.ttl != Some(0)).ok_or(Refusal::Denied);
        let grant = if self.config.guarded { Some(asked()?) } else { None };
        if self.closed {
            return Err(Refusal::Closed);
        }
        let beginning = match start {
            Start::Oldest => self.begin_at_oldest(Verdict::Whole),
            Start::Latest => (Cursor::At(self.log.len()), Verdict::Whole, self.earliest_next_place()),
            Start::Index(index) => self.begin(Place::before(index)),
            Start::After(token) if token.epoch == self.epoch => self.begin(token.place),
            Start::After(_) => self.begin_at_oldest(Verdict::OtherEpoch { oldest: self.oldest_index() }),
            Start::Exactly(index) => self.begin_exactly(index)?,
        };
        let (cursor, verdict, passed) = beginning;
        let token = Token { epoch: self.epoch, place: passed };
        let mut reader = Reader::new(request, cursor, token, self.log.len(), grant);
        reader.bound = self.earliest_next_place().index;
        reader.from = self.oldest.min(self.log.len());
        self.readers.push(reader);
        self.observed.subscribed += 1;
        Ok((self.readers.len() - 1, verdict))
    }

    /// At the oldest of now or of the first read, but not after the current end. [8]
    fn begin_at_oldest(&self, verdict: Verdict) -> (Cursor, Verdict, Place) {
        let place = self.reach().first().map_or(self.earliest_next_place(), |batch| batch.place);
        (Cursor::Elastic(self.log.len()), verdict, place)
    }

    /// The first buffered batch at this place or a later one, or a wait for it.
    fn begin(&self, from: Place) -> (Cursor, Verdict, Place) {
        let from = self.rises_to(from);
        if from < self.gone {
            return self.begin_at_oldest(Verdict::Lost { oldest: self.oldest_index() });
        }
        let future = from.index > self.latest.saturating_add(1);
        let verdict = if future { Verdict::Future { latest: self.latest } } else { Verdict::Whole };
        match self.reach().iter().position(|batch| batch.place >= from) {
            Some(found) => (Cursor::At(self.oldest + found), verdict, self.reach()[found].place),
            // The next batch is not before it, so this is no wait.
            None if from <= self.earliest_next_place() => {
                (Cursor::At(self.log.len()), verdict, self.earliest_next_place())
            }
            None => (Cursor::Waiting(from), verdict, from),
        }
    }

    fn begin_exactly(&self, index: u64) -> Result<(Cursor, Verdict, Place), Refusal> {
        let from = Place::before(index);
        if from < self.gone {
            return Err(Refusal::Lost { index, oldest: self.oldest_index() });
        }
        match self.reach().iter().position(|batch| batch.place >= from) {
            Some(found) if self.reach()[found].place.index == index => {
                Ok((Cursor::At(self.oldest + found), Verdict::Whole, from))
            }
            None if index > self.latest => Err(Refusal::Future { index, latest: self.latest }),
            next => Err(Refusal::Absent { index, next: next.map(|next| self.reach()[next].place.index) }),
        }
    }

    /// Whether the oldest buffered batch is the first of its index. [9]
    pub fn oldest_is_whole(&self) -> bool {
        self.reach().first().is_none_or(|batch| batch.place.count == 0)
    }

    /// Whether a reader that resumes at this place neither repeats nor misses anything. [10]
    pub fn check_token(&self, number: usize, place: Place) {
        let reader = &self.readers[number];
        if reader.reset {
            return;
        }
        if let Some(delivered) = reader.delivered {
            assert!(place >= delivered.next(), "{place:?} repeats {delivered:?}");
        }
        self.check_handles_token(number, place);
    }

    /// Whether a reader that resumes at this place misses nothing without a report. [10]
    pub fn check_handles_token(&self, number: usize, place: Place) {
        let reader = &self.readers[number];
        if reader.reset {
            return;
        }
        let cursor = match reader.cursor {
            Cursor::At(cursor) => cursor,
            // At its opening: batches evicted before its first read are no loss to it, but one to a reader that resumes
            // there.
            Cursor::Elastic(_) => reader.from,
            Cursor::Waiting(from) => {
                return assert!(place <= from.max(self.earliest_next_place()), "{place:?} of {from:?}");
            }
        };
        let untold = reader.skipped || matches!(reader.ended, Some(End::Lagged { skipped: true, .. }));
        assert!(!untold || place < self.gone, "{place:?} hides a skip");
        let ahead = &self.log[cursor.max(self.epoch_began)..];
        let passed = ahead.iter().find(|batch| batch.place < place && reader.request.asks_for(batch));
        // Evicted batches are reported as lost if the place is before their end.
        let hidden = passed.filter(|batch| self.gone <= place || batch.place >= self.gone);
        assert!(hidden.is_none(), "{place:?} misses {hidden:?} of {:?}", reader.request);
    }

    /// What the table grants, or `None` if it denies. Every named namespace must be covered. [15]
    pub fn ask(&self, request: &RequestSpec) -> Option<Grant> {
        let rule = self.rules.of(request.principal);
        let covers = |name: &&str| rule.namespaces.as_ref().is_none_or(|names| names.contains(name));
        if !rule.allowed || !request.named_namespaces().is_none_or(|names| names.iter().all(covers)) {
            return None;
        }
        Some(Grant { expires_at: rule.ttl.map(|ttl| self.clock.millis() + ttl), rule })
    }

    /// Fences and wakes the readers that a change concerns. [17]
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

    /// Ends and wakes the readers whose grants have expired, once for each grant, unless access has changed and the
    /// grant may have been renewed: then the reader asks, and reads the clock itself. [18]
    pub fn tick(&mut self) {
        for (number, reader) in self.readers.iter_mut().enumerate().filter(|(_, reader)| reader.open) {
            if !reader.ticked && reader.has_expired(&self.clock) {
                reader.ticked = true;
                reader.expired |= !reader.must_ask;
                self.woken.insert(number);
            }
        }
    }

    /// Continues the history after a part that was never published here. [9]
    pub fn skip_to(&mut self, token: Token) -> Result<(), Unskipped> {
        let (place, here) = (self.rises_to(token.place), self.earliest_next_place());
        if self.closed {
            return Err(Unskipped::Closed);
        } else if token.epoch != self.epoch {
            return Err(Unskipped::OtherEpoch);
        } else if place <= here {
            let whole = token.place.count == 0 && place >= self.next_place;
            let stands_there = token.place == self.next_place || place == here || whole;
            return if stands_there { Ok(()) } else { Err(Unskipped::Behind) };
        } else if token.place == self.next_place {
            return Ok(());
        }
        self.evicted += self.reach().len() as u64;
        self.oldest = self.log.len();
        self.begin_after(token.place);
        for (number, reader) in self.readers.iter_mut().enumerate().filter(|(_, reader)| reader.open) {
            if matches!(reader.cursor, Cursor::Waiting(from) if from >= place) {
                continue;
            }
            if let Cursor::Waiting(_) = reader.cursor {
                reader.cursor = Cursor::At(self.oldest);
            }
            reader.skipped = true;
            self.woken.insert(number);
        }
        Ok(())
    }

    pub fn cancel(&mut self, reader: usize) {
        self.readers[reader].cancelled = true;
        self.woken.insert(reader);
    }

    pub fn unsubscribe(&mut self, reader: usize) {
        let reader = &mut self.readers[reader];
        reader.open = false;
        if reader.ended.is_none() {
            self.observed.ended += 1;
        }
    }

    /// [23]
    pub fn reset(&mut self, index: u64, epoch: u64) {
        self.evicted += self.reach().len() as u64;
        self.oldest = self.log.len();
        self.epoch_began = self.log.len();
        self.epoch = epoch;
        self.begin_above(index);
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
