//! Tests which nodes the table finds while nodes come and go.
//! What the chains of the nodes hold is tested in `walk::tests`.

use super::*;
use crate::interest::{Filter, node_terms};
use crate::types::request::Request;
use crate::types::term::{Scope, Term};

/// The nodes of one key in many namespaces share a hash. Each is found until it is left, in whatever order.
#[test]
fn nodes_of_one_hash_come_and_go_in_any_order() {
    const NODES: usize = 7;
    let names: Vec<String> = (0..NODES).map(|number| format!("n{number}")).collect();
    for step in 1..NODES {
        let mut interest = Interest::<()>::new();
        let mut readers = Vec::new();
        for name in &names {
            let term = Term::new("Job", "web").expect("a term");
            let mut request = Request::<()>::new().term(term).namespace(name.as_str());
            let filter = Arc::new(Filter::new(&mut request).expect("a request"));
            let mut nodes = Vec::new();
            let mut terms: Vec<_> = node_terms(&filter, interest.key_hasher()).collect();
            interest.join(&filter, &mut terms, None, Position::ZERO, &mut nodes);
            readers.push((name, nodes));
        }
        let mut place = 0;
        while !readers.is_empty() {
            place = (place + step) % readers.len();
            let (_, nodes) = readers.remove(place);
            leave(&mut interest, &nodes);
            for name in names.iter().map(String::as_str).chain([""]) {
                let event = Event::new("Job", "JobRegistered", "web", ()).with_namespace(name);
                let mut hit = Vec::new();
                interest.look_up(&event, |node| hit.push(node.id));
                assert!(hit.len() <= if name.is_empty() { 2 } else { 1 }, "{name}: {hit:?}");
                for (asked, nodes) in &readers {
                    let is_hit = nodes.iter().any(|node| hit.contains(&node.id));
                    assert_eq!(is_hit, name.is_empty() || name == asked.as_str(), "{name} to {asked}");
                }
            }
        }
        assert_eq!((interest.len(), interest.topics.len(), interest.namespaces.len()), (0, 0, 0));
    }
}

/// Nodes of wide scopes, beside nodes of one namespace and of all, are hit by what their filters match. Scopes come and
/// go in any order, some of them half entered, and leave nothing behind.
#[test]
fn wide_scopes_hit_what_they_match() {
    const NAMESPACES: usize = 40;
    let name = |number: usize| format!("n{}", number % NAMESPACES);
    let request = |number: usize| {
        let names = (0..30).map(move |n| name(n * (number % 2 * 2 + 1) + number / 2));
        let topics = (0..2).map(|n| Term::topic(format!("T{}", (number + n) % 3)).expect("a topic"));
        let keys = (0..40).map(|n| Term::key(format!("k{}", n * 3 + number % 3)).expect("a key"));
        Request::<()>::new().terms(topics.chain(keys)).namespaces(names)
    };
    let mut interest = Interest::<()>::new();
    let mut readers = std::collections::VecDeque::new();
    for step in 0..60 {
        let mut request =
            if step % 7 == 6 { Request::new().term(Term::topic("T1").expect("a topic")) } else { request(step % 9) };
        let filter = Arc::new(Filter::new(&mut request).expect("a request"));
        let hash = (step % 2) as u64;
        let mut nodes = Vec::new();
        let wide = crate::interest::is_wide(&filter);
        assert_eq!(wide, step % 7 != 6);
        let scope = wide.then(|| {
            let alike = interest.scopes_like(hash);
            let known = alike.into_iter().find(|(_, other)| **other == *filter.scope());
            let scope = known.as_ref().map_or_else(|| scope_of(&filter), |(_, scope)| Arc::clone(scope));
            let scope = interest.use_scope(known.map(|(number, _)| number), &scope, hash);
            while !interest.enter_scope(scope, 7) {}
            scope
        });
        let mut terms: Vec<_> = node_terms(&filter, interest.key_hasher()).collect();
        interest.join(&filter, &mut terms, scope, Position::ZERO, &mut nodes);
        assert_eq!(scope.and_then(|scope| interest.release_scope(scope)), None, "its nodes use it");
        readers.push_back((filter, nodes));
        if step % 5 > 1 {
            let (_, nodes) = readers.remove(step % readers.len()).expect("one of them");
            leave(&mut interest, &nodes);
        }
        // A scope that is released before all its namespaces are entered.
        let filter = Arc::new(Filter::new(&mut tests_request(step)).expect("a request"));
        let scope = interest.use_scope(None, &scope_of(&filter), 9);
        interest.enter_scope(scope, 5);
        let unused = interest.release_scope(scope).expect("no other node uses it");
        while interest.exit_scope(unused, 2).is_continue() {}
        for (topic, namespace, key) in
            [("T0", "n0", "k0"), ("T1", "n7", "k5"), ("T2", "", "k1"), ("T9", "n3", "k8"), ("T0", "other", "k3")]
        {
            let event = Event::new(topic, "t", key, ()).with_namespace(namespace).with_filter_keys(["k100", "k2"]);
            let mut hit = Vec::new();
            interest.look_up(&event, |node| hit.push(node.id));
            for (filter, nodes) in &readers {
                let is_hit = nodes.iter().any(|node| hit.contains(&node.id));
                assert_eq!(is_hit, filter.matches(&event), "{event:?} to {filter:?}");
            }
        }
    }
    for (_, nodes) in readers {
        leave(&mut interest, &nodes);
    }
    assert!(interest.wide.is_empty() && interest.shapes.is_empty());
    assert_eq!((interest.len(), interest.topics.len(), interest.namespaces.len()), (0, 0, 0));
}

/// A scope that is being taken out keeps its number until the last of its namespaces is out. A scope that is added
/// meanwhile does not receive events of those namespaces.
#[test]
fn a_scope_on_its_way_out_keeps_its_number() {
    let mut interest = Interest::<()>::new();
    let filter = |from: usize| {
        let terms = (0..60).map(|n| Term::key(format!("k{n}")).expect("a key"));
        let mut request = Request::<()>::new().terms(terms).namespaces((from..from + 20).map(|n| format!("n{n}")));
        Arc::new(Filter::new(&mut request).expect("a request"))
    };
    let (gone, comes) = (filter(0), filter(100));
    let interest_scope = scope_of(&gone);
    let scope = interest.use_scope(None, &interest_scope, 1);
    assert!(interest.enter_scope(scope, 100));
    assert_eq!(interest.release_scope(scope), Some(scope));
    assert!(interest.exit_scope(scope, 5).is_continue());
    assert!(!interest.wide.share(scope, &interest_scope), "it is no longer in use");
    let other = interest.use_scope(None, &scope_of(&comes), 2);
    assert!(interest.enter_scope(other, 100));
    let (mut terms, mut nodes) = (node_terms(&comes, interest.key_hasher()).collect::<Vec<_>>(), Vec::new());
    interest.join(&comes, &mut terms, Some(other), Position::ZERO, &mut nodes);
    for (namespace, expected) in [("n3", 0), ("n103", 1)] {
        let event = Event::new("T", "t", "k1", ()).with_namespace(namespace);
        let mut hits = 0;
        interest.look_up(&event, |_| hits += 1);
        assert_eq!(hits, expected, "{namespace}");
    }
    assert!(interest.exit_scope(scope, 100).is_break());
}

fn scope_of(filter: &Filter) -> Arc<Scope> {
    Arc::new(filter.scope().clone())
}

fn leave(interest: &mut Interest<()>, nodes: &[Arc<Node<()>>]) {
    for node in nodes {
        let key_hash = node.key_hash(interest.key_hasher());
        if let Some(scope) = interest.leave(node, key_hash) {
            while interest.exit_scope(scope, 7).is_continue() {}
        }
    }
}

fn tests_request(number: usize) -> Request<()> {
    Request::new().namespaces((0..9).map(|n| format!("half-{number}-{n}")))
}
