//! A broker, the request of its reader, and the events that are published: first others, then matching ones.

use std::sync::Arc;

use event_broker::{Broker, Builder, Epoch, Event, Grant, LagPolicy, Request, Start, Token, Verdict};

use crate::common::{ManualClock, Rules, job, term, who};
use crate::way::{Outcome, Way};

/// The history that all replicas share.
pub(crate) const EPOCH: u64 = 1;

/// The public id of every reader.
pub(crate) const READER: &str = "6f1c";

const KEYS: u64 = 10;

/// The request of a reader. Each kind waits at another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Terms {
    OneKey,
    /// More than eight, so that the reader is notified of the nodes that were hit.
    TenKeys,
    /// Every topic, key and namespace: then every event matches.
    Everything,
}

impl Terms {
    /// Runs the scenario for each kind. The printed kind is shown on failure.
    pub(crate) fn each(mut scenario: impl FnMut(Self)) {
        for terms in [Self::OneKey, Self::TenKeys, Self::Everything] {
            println!("for {terms:?}");
            scenario(terms);
        }
    }

    /// Whether an event can miss the request.
    pub(crate) fn are_narrow(self) -> bool {
        self != Self::Everything
    }

    /// A requested key: of ten, another at every index.
    fn key(self, index: u64) -> String {
        match self {
            Self::OneKey | Self::Everything => "web".to_owned(),
            Self::TenKeys => format!("web{}", index % KEYS),
        }
    }

    fn request(self) -> Request<u64> {
        match self {
            Self::OneKey => Request::new().term(term("Job", "web")),
            Self::TenKeys => Request::new().terms((0..KEYS).map(|key| term("Job", &format!("web{key}")))),
            Self::Everything => Request::new().namespace("*"),
        }
    }
}

/// A broker, and what its readers ask for.
pub(crate) struct World {
    pub(crate) broker: Broker<u64>,
    pub(crate) terms: Terms,
    pub(crate) policy: LagPolicy,
    /// The rules and the clock, if the broker uses them.
    pub(crate) rules: Arc<Rules>,
    pub(crate) clock: ManualClock,
}

impl World {
    /// With room for everything that is published, and without an authorizer.
    pub(crate) fn new(terms: Terms) -> Self {
        Self::with(terms, |builder, _, _| builder)
    }

    /// With a buffer of so many batches.
    pub(crate) fn of(terms: Terms, batches: u64) -> Self {
        Self::with(terms, |builder, _, _| builder.max_batches(batches))
    }

    /// With an authorizer that allows everything, and a clock, both moved by the test.
    pub(crate) fn ruled(terms: Terms, batches: u64) -> Self {
        Self::with(terms, |builder, rules, clock| {
            builder.max_batches(batches).authorizer(Arc::clone(rules)).clock(clock.clone())
        })
    }

    pub(crate) fn with(
        terms: Terms,
        configure: impl FnOnce(Builder<u64>, &Arc<Rules>, &ManualClock) -> Builder<u64>,
    ) -> Self {
        let rules = Rules::new(|_| Ok(Grant::all().without_event_checks()));
        let clock = ManualClock::new();
        let builder = configure(Broker::builder().epoch(Epoch::from(EPOCH)), &rules, &clock);
        let broker = builder.build().expect("bounds above zero");
        Self { broker, terms, policy: LagPolicy::Close, rules, clock }
    }

    pub(crate) fn policy(self, policy: LagPolicy) -> Self {
        Self { policy, ..self }
    }

    pub(crate) fn request(&self, start: Start) -> Request<u64> {
        self.terms.request().start(start).principal(who(READER)).lag_policy(self.policy)
    }

    /// Opens a reader whose start has this verdict.
    pub(crate) fn open<W: Way>(&self, start: Start, verdict: Verdict) -> W {
        let subscription = self.broker.subscribe(self.request(start)).expect("a start that is not refused");
        assert_eq!(subscription.verdict(), verdict);
        W::open(subscription)
    }

    /// Publishes a batch with a match, beside events that do not match. Returns what a reader receives of it.
    pub(crate) fn asked(&self, index: u64) -> Outcome {
        let key = self.terms.key(index);
        self.publish(index, vec![job("other"), job(&key)]);
        let keys = if self.terms.are_narrow() { vec![key] } else { vec!["other".to_owned(), key] };
        Outcome::Batch { index, keys }
    }

    /// Publishes a batch that does not match, if there can be one.
    pub(crate) fn other(&self, index: u64) {
        if self.terms.are_narrow() {
            self.publish(index, vec![job("other")]);
        }
    }

    /// Publishes a batch without events.
    pub(crate) fn empty(&self, index: u64) {
        self.publish(index, Vec::new());
    }

    fn publish(&self, index: u64, events: Vec<Event<u64>>) {
        self.broker.publish(index, events).expect("indexes that do not fall");
    }

    fn next_index(&self) -> u64 {
        self.broker.latest_index() + 1
    }

    /// The reader waits, is not woken by a batch that does not match, and is woken by one that does; and again, from
    /// its new position.
    pub(crate) fn continues<W: Way>(&self, reader: &mut W) {
        for _ in 0..2 {
            reader.wait();
            self.other(self.next_index());
            reader.stays_asleep();
            let asked = self.asked(self.next_index());
            assert_eq!(reader.woken(), asked);
        }
    }

    /// The same for a reader that waits for a place. A batch that does not match reaches it at this index and may wake
    /// the reader.
    pub(crate) fn comes_to_its_place<W: Way>(&self, reader: &mut W, place: u64) {
        self.other(place);
        reader.settle();
        let asked = self.asked(place + 1);
        assert_eq!(reader.woken(), asked);
        self.continues(reader);
    }
}

/// The position of another replica of the same history that is at this index, with this many batches of it.
pub(crate) fn ahead(index: u64, batches: u64) -> Token {
    let leader = World::new(Terms::Everything);
    (1..index).for_each(|before| drop(leader.asked(before)));
    (0..batches).for_each(|_| drop(leader.asked(index)));
    leader.broker.token()
}
