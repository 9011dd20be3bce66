//! The cost of a publish beside subscriptions that do not match it.

use event_broker::steps::Step;
use event_broker::{Broker, Request, Subscription, Term};

use super::{Growth, assert_growth, broker, event, publish, steps_of, without_moves};

/// A request with this many namespaces in five topics has a wide scope.
const WIDE: usize = 1_000;

#[derive(Clone, Copy, Debug)]
enum Namespaces {
    /// All scopes share them, but one in each.
    Same,
    /// Each scope has its own.
    Disjoint,
}

impl Namespaces {
    /// The namespace at this place of a reader's scope. The last one is that reader's alone.
    fn name(self, reader: usize, place: usize) -> String {
        match self {
            Self::Same if place + 1 < WIDE => format!("n{place}"),
            _ => format!("n{reader}-{place}"),
        }
    }
}

pub(super) fn wide(topics: &[&str], names: impl Iterator<Item = String>) -> Request<()> {
    Request::new().terms(topics.iter().map(|topic| Term::topic(*topic).unwrap())).namespaces(names)
}

const TOPICS: [&str; 5] = ["A", "B", "C", "D", "E"];

fn open_wide(broker: &Broker<()>, namespaces: Namespaces, readers: usize) -> Vec<Subscription<()>> {
    let open = |reader| wide(&TOPICS, (0..WIDE).map(|place| namespaces.name(reader, place)));
    (0..readers).map(|reader| broker.subscribe(open(reader)).unwrap()).collect()
}

#[test]
fn what_readers_of_wide_scopes_did_not_ask_for_costs_nothing() {
    for namespaces in [Namespaces::Same, Namespaces::Disjoint] {
        let beside = |readers| {
            let broker = broker(100);
            let open = open_wide(&broker, namespaces, readers);
            publish(&broker, [event("A", "k")]);
            (broker, open)
        };
        let brokers = [12, 48, 192].map(|readers| (readers, beside(readers)));
        let (asked, last) = (namespaces.name(0, 0), namespaces.name(0, WIDE - 1));
        for (what, topic, namespace, hits) in [
            ("of another topic", "Z", asked.as_str(), 0),
            ("of another namespace", "A", "other", 0),
            ("of another topic, and of no namespace", "Z", "", 0),
            ("of no namespace, which all asked for", "A", "", 1),
            ("of one reader's own namespace", "A", last.as_str(), 1),
        ] {
            assert_growth(&format!("{what}, {namespaces:?}"), Growth::Flat, 12, |readers| {
                let (_, (broker, _)) = brokers.iter().find(|(size, _)| *size == readers).unwrap();
                let event = event(topic, "k").with_namespace(namespace).with_filter_keys(["k1"]);
                let ((), steps) = steps_of(|| publish(broker, [event]));
                assert_eq!(steps.of(Step::Hit), hits, "{what}");
                steps.all()
            });
        }
    }
}

/// Many scopes contain its namespace, and many ask for its topic, but none does both.
#[test]
fn an_event_between_many_wide_scopes_costs_a_sixty_fourth_of_them() {
    for readers in [16, 64, 256] {
        let broker = broker(100);
        let names = |side: &'static str, reader| {
            (0..300).map(move |place| if place == 0 { format!("{side}{reader}") } else { format!("{side}-{place}") })
        };
        let open: Vec<_> = (0..readers)
            .flat_map(|reader| {
                [(["A", "B", "C", "D"], "one"), (["E", "F", "G", "H"], "two")].map(|side| (side, reader))
            })
            .map(|((topics, side), reader)| broker.subscribe(wide(&topics, names(side, reader))).unwrap())
            .collect();
        let event = event("A", "k").with_namespace("two-7");
        let ((), steps) = steps_of(|| publish(&broker, [event]));
        assert_eq!(steps.of(Step::Hit), 0);
        let most = 12 + readers / 32 * 2;
        assert!(steps.all() <= most, "{} steps beside {readers} and as many", steps.all());
        drop(open);
    }
}

/// A match of many readers costs each of them once.
#[test]
fn an_event_that_all_wide_scopes_have_costs_a_hit_each() {
    assert_growth("a hit", Growth::Linear, 12, |readers| {
        let broker = broker(100);
        let open = open_wide(&broker, Namespaces::Same, readers);
        let event = event("A", "k").with_namespace(Namespaces::Same.name(0, 0));
        let ((), steps) = steps_of(|| publish(&broker, [event]));
        assert_eq!(steps.of(Step::Hit), readers as u64);
        drop(open);
        steps.all()
    });
}

#[test]
fn opening_wide_scopes_costs_what_they_are() {
    for namespaces in [Namespaces::Same, Namespaces::Disjoint] {
        assert_growth(&format!("open and leave, {namespaces:?}"), Growth::Linear, 12, |readers| {
            let broker = broker(100);
            let ((), steps) = steps_of(|| drop(open_wide(&broker, namespaces, readers)));
            steps.all()
        });
    }
    // The same scope is entered once.
    assert_growth("open the same", Growth::Linear, 64, |readers| {
        let broker = broker(100);
        let open = || broker.subscribe(wide(&TOPICS, (0..WIDE).map(|place| format!("n{place}")))).unwrap();
        let first = open();
        let (_, steps) = steps_of(|| (0..readers).map(|_| open()).collect::<Vec<_>>());
        drop(first);
        steps.all()
    });
}

/// An event without a namespace does not look up the namespaces that its key was asked for in.
#[test]
fn an_event_without_a_namespace_hits_a_node_or_two() {
    for several in [false, true] {
        assert_growth("an event of no namespace", Growth::Flat, 500, |readers| {
            let broker = broker(100);
            let request = |reader: usize| {
                let request = Request::new().term(Term::new("A", "web").unwrap()).namespace(format!("n{reader}"));
                if several { request.namespace(format!("m{reader}")) } else { request }
            };
            let open: Vec<_> = (0..readers).map(|reader| broker.subscribe(request(reader)).unwrap()).collect();
            publish(&broker, [event("A", "web")]);
            let ((), steps) = steps_of(|| publish(&broker, [event("A", "web")]));
            assert!(steps.of(Step::Hit) <= 2, "{} hits", steps.of(Step::Hit));
            let named = event("A", "web").with_namespace("n7");
            let ((), one) = steps_of(|| publish(&broker, [named]));
            assert_eq!(one.of(Step::Hit), 1);
            drop(open);
            steps.all()
        });
    }
}

/// Idle readers, whatever they ask for, cost a publish nothing.
#[test]
fn what_nobody_asked_for_costs_nothing_beside_narrow_readers() {
    assert_growth("an event that no reader asked for", Growth::Flat, 250, |readers| {
        let broker = broker(100);
        let open: Vec<_> = (0..readers)
            .map(|reader| {
                let request = Request::new().term(Term::new("A", format!("k{reader}")).unwrap());
                let term = |n: usize| Term::new("A", format!("m{reader}-{n}")).unwrap();
                let request = if reader % 16 == 0 { request.terms((0..20).map(term)) } else { request };
                broker.subscribe(request.namespace(format!("n{}", reader % 50))).unwrap()
            })
            .collect();
        publish(&broker, [event("A", "other")]);
        let ((), steps) = steps_of(|| publish(&broker, [event("A", "other").with_namespace("n7")]));
        assert_eq!(steps.of(Step::Hit), 0);
        drop(open);
        without_moves(steps)
    });
}
