//! `nomad/stream/subscription_test.go`: which events of a batch a subscription receives.
//!
//! The server also tests the capacity of a copied result. Nothing is copied here, so only the count is tested.

use event_broker::{Broker, Event, Request};

use crate::common::{event, keys, read_now, term};

/// The keys that the request is delivered out of one batch, as `topic/key`, or nothing if there is no delivery.
fn delivered(request: Request<u64>, events: Vec<Event<u64>>) -> Option<Vec<String>> {
    let broker = Broker::new();
    let whole = events.len();
    // Matched by the index of terms, and again by scanning what is older than the subscription.
    let mut live = broker.subscribe(Request::new().terms(request.requested_terms().to_vec())).expect("open");
    broker.publish(1, events).expect("the first");
    drop(live.try_recv());
    let mut reader = broker.subscribe(request).expect("open");
    let mut deliveries = read_now(&mut reader);
    assert!(deliveries.len() <= 1, "one batch");
    let delivery = deliveries.pop()?;
    assert_eq!(delivery.batch_len(), whole, "the batch is shared, not copied");
    assert_eq!(delivery.len(), keys(&delivery).len());
    Some(delivery.events().map(|event| format!("{}/{}", event.topic(), event.key())).collect())
}

fn one_and_two() -> Vec<Event<u64>> {
    vec![event("Test", "One"), event("Test", "Two")]
}

fn of(terms: &[(&str, &str)]) -> Request<u64> {
    Request::new().terms(terms.iter().map(|(topic, key)| term(topic, key)))
}

/// `TestFilter_AllTopics`: `*:*` gets both events.
#[test]
fn filter_all_topics() {
    assert_eq!(delivered(of(&[("*", "*")]), one_and_two()).expect("both"), ["Test/One", "Test/Two"]);
}

/// `TestFilter_AllKeys`: `Test:*` gets both events.
#[test]
fn filter_all_keys() {
    assert_eq!(delivered(of(&[("Test", "*")]), one_and_two()).expect("both"), ["Test/One", "Test/Two"]);
}

/// `TestFilter_PartialMatch_Topic`: another topic is dropped, two are left.
#[test]
fn filter_partial_match_topic() {
    let mut events = one_and_two();
    events.push(event("Exclude", "Three"));
    assert_eq!(delivered(of(&[("Test", "*")]), events).expect("two"), ["Test/One", "Test/Two"]);
}

/// `TestFilter_Match_TopicAll_SpecificKey`: `*:Two` matches across topics.
#[test]
fn filter_match_topic_all_specific_key() {
    let events = vec![event("Match", "Two"), event("NoMatch", "One"), event("OtherMatch", "Two")];
    assert_eq!(delivered(of(&[("*", "Two")]), events).expect("two"), ["Match/Two", "OtherMatch/Two"]);
}

/// `TestFilter_Match_TopicAll_SpecificKey_Plus`: `*:Two` and `Test:One` together get all three.
#[test]
fn filter_match_topic_all_specific_key_plus() {
    let events = vec![event("Test", "One"), event("FirstTwo", "Two"), event("SecondTwo", "Two")];
    let all = delivered(of(&[("*", "Two"), ("Test", "One")]), events).expect("all");
    assert_eq!(all, ["Test/One", "FirstTwo/Two", "SecondTwo/Two"]);
}

/// `TestFilter_PartialMatch_Key`: `Test:One` gets one.
#[test]
fn filter_partial_match_key() {
    assert_eq!(delivered(of(&[("Test", "One")]), one_and_two()).expect("one"), ["Test/One"]);
}

/// `TestFilter_NoMatch`: another topic, and another key of the topic, get nothing at all.
#[test]
fn filter_no_match() {
    assert_eq!(delivered(of(&[("NodeEvents", "*"), ("Test", "Highly-Specific-Key")]), one_and_two()), None);
}

/// `TestFilter_Namespace`: the namespace `foo` drops `bar`.
#[test]
fn filter_namespace() {
    let events = vec![
        event("Test", "One").with_namespace("foo"),
        event("Test", "Two").with_namespace("foo"),
        event("Test", "Three").with_namespace("bar"),
    ];
    let request = of(&[("*", "*")]).namespace("foo");
    assert_eq!(delivered(request, events).expect("two"), ["Test/One", "Test/Two"]);
}

/// `TestFilter_FilterKeys`: `Test:extra-key` matches by a filter key alone.
#[test]
fn filter_filter_keys() {
    let events = vec![event("Test", "One").with_filter_key("extra-key"), event("Test", "Two")];
    assert_eq!(delivered(of(&[("Test", "extra-key")]), events).expect("one"), ["Test/One"]);
}

/// `TestFilter_CustomFilter`: a predicate takes `foo/Two` out, and keeps `foo/One` and `bar/Two`.
#[test]
fn filter_custom_filter() {
    let events = vec![
        event("Test", "One").with_namespace("foo"),
        event("Test", "Two").with_namespace("foo"),
        event("Test", "Two").with_namespace("bar"),
    ];
    let request =
        of(&[("*", "*")]).namespace("*").filter(|event| !(event.namespace() == "foo" && event.key() == "Two"));
    assert_eq!(delivered(request, events).expect("two"), ["Test/One", "Test/Two"]);
}
