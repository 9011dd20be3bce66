//! Strategies of requests, and of what they are made of.
//! Which events there are is decided in `events`.

use std::fmt;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::names::{PLAUSIBLE, name};
use crate::nomad::topic;
use crate::types::event::Event;
use crate::types::name::{EventType, Namespace};
use crate::types::request::Request;
use crate::types::start::Start;
use crate::types::term::Term;

/// What a [`Request`] asks for, as a value that can be copied and compared, and that is a request of any payload.
///
/// ```
/// use event_broker::testing::strategies::Ask;
/// use event_broker::{Request, Start};
///
/// let ask = Ask { namespaces: vec!["prod".into()], ..Ask::default() };
/// let request: Request<u32> = ask.request();
/// assert_eq!((request.requested_start(), request.requested_namespaces()), (Start::Oldest, &["prod".into()][..]));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// Where the subscription begins.
    pub start: Start,
    /// Its terms. None ask for everything.
    pub terms: Vec<Term>,
    /// Its namespaces. None ask for `default`.
    pub namespaces: Vec<Namespace>,
    /// Its event types. None ask for all.
    pub types: Vec<EventType>,
}

impl Ask {
    /// Returns the request.
    pub fn request<P>(&self) -> Request<P> {
        let request = Request::new()
            .start(self.start)
            .terms(self.terms.iter().cloned())
            .namespaces(self.namespaces.iter().cloned());
        self.types.iter().fold(request, Request::event_type)
    }

    /// Returns whether the request asks for this event, by its definition. The start is not considered.
    ///
    /// ```
    /// use event_broker::testing::{sample, strategies::Ask};
    ///
    /// let job = sample::job("web").namespace("prod").with_payload(());
    /// assert!(!Ask::default().matches(&job), "no namespaces ask for `default`");
    /// assert!(Ask { namespaces: vec!["*".into()], ..Ask::default() }.matches(&job));
    /// ```
    pub fn matches<P>(&self, event: &Event<P>) -> bool {
        let named = |name: &Namespace| name == "*" || name == event.namespace();
        let scoped = match &*self.namespaces {
            [] => *event.namespace() == Namespace::DEFAULT,
            namespaces => namespaces.iter().any(named),
        };
        (scoped || event.namespace().is_empty())
            && (self.terms.is_empty() || self.terms.iter().any(|term| term.matches(event)))
            && (self.types.is_empty() || self.types.contains(event.event_type()))
    }
}

/// Draws starts that are never refused: the oldest batch, an index, and the latest. They shrink to the oldest.
///
/// ```
/// use event_broker::testing::strategies;
/// use event_broker::{Broker, Request};
/// use proptest::prelude::*;
///
/// proptest!(|(start in strategies::start())| {
///     prop_assert!(Broker::<()>::new().subscribe(Request::new().start(start)).is_ok());
/// });
/// ```
pub fn start() -> impl Strategy<Value = Start> {
    prop_oneof![3 => Just(Start::Oldest), 2 => (0_u64..12).prop_map(Start::Index), 1 => Just(Start::Latest)]
}

/// Draws terms: wildcards, topics and keys that plausible events have, and any other names that are not empty.
///
/// ```
/// use event_broker::testing::strategies;
/// use proptest::prelude::*;
///
/// proptest!(|(term in strategies::term())| {
///     prop_assert!(term.key_name().is_none_or(|key| !key.is_empty()));
/// });
/// ```
pub fn term() -> impl Strategy<Value = Term> {
    let topics = select(topic::ALL).prop_map(|topic| topic.to_string());
    let keys = select(&PLAUSIBLE[..]).prop_map(str::to_owned);
    let any = || Just("*".to_owned());
    let odd = || name().prop_filter("an empty name", |name| !name.is_empty());
    let drawn = (prop_oneof![3 => any(), 3 => topics, 1 => odd()], prop_oneof![3 => any(), 3 => keys, 1 => odd()]);
    drawn.prop_filter_map("no term", |(topic, key)| Term::new(topic, key).ok())
}

/// Draws what requests ask for: up to three terms, namespaces and types. They shrink to everything in `default`.
///
/// ```
/// use event_broker::testing::strategies;
/// use event_broker::{Broker, Event};
/// use proptest::prelude::*;
///
/// proptest!(|(ask in strategies::ask())| {
///     let broker = Broker::new();
///     let mut reader = broker.subscribe(ask.request()).unwrap();
///     let event = Event::new("Job", "JobRegistered", "web", ()).with_namespace("default");
///     let matches = ask.matches(&event);
///     broker.publish(20, [event]).unwrap();
///     prop_assert_eq!(reader.try_recv().is_ok(), matches);
/// });
/// ```
pub fn ask() -> impl Strategy<Value = Ask> {
    let namespace = prop_oneof![
        Just("default".to_owned()),
        Just("*".to_owned()),
        Just("prod".to_owned()),
        name().prop_filter("an empty name", |name| !name.is_empty())
    ];
    let event_type = select(&["JobRegistered", "EvaluationUpdated", "AllocationCreated", "NodeRegistration"][..]);
    let types = prop_oneof![4 => Just(Vec::new()), 1 => vec(event_type, 1..3)];
    (start(), vec(term(), 0..3), vec(namespace, 0..3), types).prop_map(|(start, terms, namespaces, types)| Ask {
        start,
        terms,
        namespaces: namespaces.into_iter().map(Namespace::from).collect(),
        types: types.into_iter().map(EventType::from).collect(),
    })
}

/// Draws requests, as [`ask`] does.
///
/// ```
/// use event_broker::testing::strategies;
/// use event_broker::Broker;
/// use proptest::prelude::*;
///
/// proptest!(|(request in strategies::request::<u32>())| {
///     prop_assert!(Broker::new().subscribe(request).is_ok());
/// });
/// ```
pub fn request<P: fmt::Debug>() -> impl Strategy<Value = Request<P>> {
    ask().prop_map(|ask| ask.request())
}
