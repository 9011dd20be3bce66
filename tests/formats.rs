//! Serialized types deserialize to the same value, also in formats that write no field names.
//!
//! The lines of frames are tested with the codec, in the crate.
#![cfg(not(broker_loom))]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails may panic")]

use std::fmt::Debug;

use event_broker::{Batch, Broker, Event, EventType, Key, Namespace, Request, Token, Topic};
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

/// Serializes and deserializes in every format.
#[track_caller]
fn round<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    assert_eq!(&bincode::deserialize::<T>(&bincode::serialize(value).unwrap()).unwrap(), value, "bincode");
    assert_eq!(&rmp_serde::from_slice::<T>(&rmp_serde::to_vec(value).unwrap()).unwrap(), value, "arrays");
    assert_eq!(&rmp_serde::from_slice::<T>(&rmp_serde::to_vec_named(value).unwrap()).unwrap(), value, "maps");
    assert_eq!(&serde_json::from_str::<T>(&serde_json::to_string(value).unwrap()).unwrap(), value, "JSON");
}

fn bare<P>(payload: P) -> Event<P> {
    Event::new("Job", "JobRegistered", "web", payload)
}

#[test]
fn events_and_batches_read_back_as_they_were_written() {
    let events = [
        bare(1_u32),
        bare(2).with_filter_key("only"),
        bare(3).with_filter_keys(["a", "", "a name that is too long to be held in place"]),
        bare(4).with_namespace("prod").with_filter_keys(["a", "b"]),
        Event::new("", "", "", 5),
        Event::new("", "", "", 6).with_filter_key(""),
    ];
    for event in &events {
        round(event);
        round(&Some(event.clone()));
        round(&Batch::new(7, vec![event.clone()]));
    }
    round(&Batch::new(u64::MAX, events));
    round(&Batch::<u32>::new(7, []));
    round(&vec![Batch::new(7, []), Batch::new(8, vec![bare(1_u32)])]);
}

#[test]
fn payloads_of_any_shape_read_back() {
    round(&bare(()));
    round(&bare(None::<String>));
    round(&bare(Some(String::from("x"))));
    round(&bare((1_u8, String::from("x"), vec![Some(2_u64)])));
}

#[test]
fn names_and_tokens_read_back() {
    for text in ["", "web", "a name that is too long to be held in place"] {
        round(&Topic::from(text));
        round(&EventType::from(text));
        round(&Key::from(text));
        round(&Namespace::from(text));
    }
    let broker = Broker::<u32>::new();
    let mut reader = broker.subscribe(Request::new()).unwrap();
    broker.publish(7, [bare(1)]).unwrap();
    let token: Token = reader.try_recv().unwrap().token();
    round(&token);
    round(&Some(token));
}

/// Truncated input is an error and no default: without names, nothing shows what is missing.
#[test]
fn a_part_of_an_event_is_an_error() {
    let bytes = bincode::serialize(&Batch::new(7, vec![bare(1_u32).with_filter_key("a")])).unwrap();
    for end in 0..bytes.len() {
        assert!(bincode::deserialize::<Batch<u32>>(&bytes[..end]).is_err(), "{end}");
    }
    let array = rmp_serde::to_vec(&("Job", "JobRegistered", "web", "", None::<Vec<String>>, 7)).unwrap();
    assert!(rmp_serde::from_slice::<Event<()>>(&array).unwrap_err().to_string().contains("Payload"));
    let array = rmp_serde::to_vec(&(7,)).unwrap();
    assert!(rmp_serde::from_slice::<Batch<()>>(&array).unwrap_err().to_string().contains("Events"));
}

/// The form in JSON is that of the wire: an event has names there, and is lenient with them.
#[test]
fn an_event_in_json_is_an_object() {
    let read = |text: &str| serde_json::from_str::<Event<Option<u32>>>(text);
    for text in [
        r#"{"Topic":"Job","Type":"JobRegistered","Key":"web"}"#,
        r#"{"Topic":"Job","Type":"JobRegistered","Key":"web","Namespace":null,"FilterKeys":null,"Index":null,"Payload":null}"#,
        r#"{"Extra":[{}],"Key":"web","FilterKeys":[],"Namespace":"","Type":"JobRegistered","Topic":"Job"}"#,
    ] {
        assert_eq!(read(text).unwrap(), bare(None), "{text}");
    }
    let refused = read(r#"["Job","JobRegistered","web","",null,7,null]"#).unwrap_err().to_string();
    assert!(refused.contains("expected an event object with Topic, Type and Key"), "{refused}");
    let refused = read(r#"{"Topic":"Job","Topic":"Job","Type":"JobRegistered","Key":"web"}"#).unwrap_err();
    assert!(refused.to_string().contains("duplicate field `Topic`"), "{refused}");
}

/// A value with these members, in this order, perhaps twice: as a format with names writes it.
struct Members<'a, K>(&'a [(K, &'a Value)]);

impl<K: Serialize> Serialize for Members<'_, K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// The error that JSON reports for an object with these members, without the place that JSON adds.
#[track_caller]
fn json_refusal<T: DeserializeOwned + Debug>(members: &[(&str, &Value)]) -> String {
    let text = serde_json::to_string(&Members(members)).unwrap();
    let refused = serde_json::from_str::<T>(&text).unwrap_err().to_string();
    refused.rsplit_once(" at line 1 column ").unwrap().0.to_owned()
}

/// The error that each format with names reports for an object with these members.
#[track_caller]
fn refusal<T: DeserializeOwned + Debug>(members: &[(&str, &Value)]) -> String {
    let refused = rmp_serde::from_slice::<T>(&rmp_serde::to_vec(&Members(members)).unwrap()).unwrap_err().to_string();
    assert_eq!(refused, json_refusal::<T>(members));
    refused
}

#[test]
fn members_that_are_missing_or_given_twice_are_errors() {
    let (name, number, list) = (&json!("x"), &json!(7), &json!([]));
    let whole = [
        ("Topic", name),
        ("Type", name),
        ("Key", name),
        ("Namespace", name),
        ("FilterKeys", list),
        ("Index", number),
        ("Payload", number),
    ];
    let required = ["Topic", "Type", "Key", "Payload"];
    for (place, &(member, value)) in whole.iter().enumerate() {
        let mut twice = whole.to_vec();
        twice.push((member, value));
        assert_eq!(refusal::<Event<u32>>(&twice), format!("duplicate field `{member}`"));
        if required.contains(&member) {
            let mut without = whole.to_vec();
            without.remove(place);
            assert_eq!(refusal::<Event<u32>>(&without), format!("missing field `{member}`"));
        }
    }
    assert_eq!(refusal::<Event<u32>>(&[]), "missing field `Topic`", "the first of them in the order of the form");
    assert_eq!(refusal::<Event<u32>>(&[("Extra", name), ("Extra", name)]), "missing field `Topic`");

    assert_eq!(refusal::<Batch<u32>>(&[("Index", number), ("Index", number)]), "duplicate field `Index`");
    let twice = [("Index", number), ("Events", list), ("Events", list)];
    assert_eq!(refusal::<Batch<u32>>(&twice), "duplicate field `Events`");
    assert_eq!(refusal::<Batch<u32>>(&[]), "missing field `Index`");
    assert_eq!(refusal::<Batch<u32>>(&[("Events", list), ("Token", name)]), "missing field `Index`");
    let bare = "an event by itself, expected a batch with Events, the event among them";
    for (member, value) in whole.into_iter().filter(|(member, _)| *member != "Index") {
        assert_eq!(refusal::<Batch<u32>>(&[("Index", number), (member, value)]), bare, "{member}");
    }
}

#[test]
fn members_of_another_type_are_errors() {
    let (text, number, list) = (&json!("x"), &json!(7), &json!([]));
    for member in ["Topic", "Type", "Key", "Namespace"] {
        assert_eq!(
            json_refusal::<Event<u32>>(&[(member, number)]),
            "invalid type: integer `7`, expected a string",
            "{member}"
        );
        assert_eq!(
            json_refusal::<Event<u32>>(&[(member, list)]),
            "invalid type: sequence, expected a string",
            "{member}"
        );
    }
    for (member, value, expected) in [
        ("FilterKeys", text, "invalid type: string \"x\", expected a sequence"),
        ("Index", text, "invalid type: string \"x\", expected u64"),
        ("Payload", text, "invalid type: string \"x\", expected u32"),
    ] {
        assert_eq!(json_refusal::<Event<u32>>(&[(member, value)]), expected);
    }
    assert_eq!(json_refusal::<Batch<u32>>(&[("Index", text)]), "invalid type: string \"x\", expected u64");
    assert_eq!(json_refusal::<Batch<u32>>(&[("Events", text)]), "invalid type: string \"x\", expected a sequence");

    let whole = |text: &str| {
        let event = serde_json::from_str::<Event<u32>>(text).unwrap_err().to_string();
        (event, serde_json::from_str::<Batch<u32>>(text).unwrap_err().to_string())
    };
    for (text, what) in [("7", "integer `7`"), ("null", "null"), ("\"x\"", "string \"x\"")] {
        let (event, batch) = whole(text);
        assert!(event.starts_with(&format!("invalid type: {what}, expected an event object with Topic, Type and Key")));
        assert!(batch.starts_with(&format!("invalid type: {what}, expected struct Batch")));
    }
}

/// Unknown members are passed over with whatever they hold, also if they come twice.
#[test]
fn unknown_members_are_passed_over() {
    let (name, deep, number) = (&json!("x"), &json!({"Topic": [{"Key": null}]}), &json!(7));
    let event =
        [("topic", deep), ("Topic", name), ("Events", deep), ("", deep), ("Type", name), ("", deep), ("Key", name)];
    let batch = [("index", deep), ("Index", number), ("Token", deep), ("Token", deep), ("", deep), ("Topics", name)];
    let bytes = rmp_serde::to_vec(&Members(&event)).unwrap();
    assert_eq!(rmp_serde::from_slice::<Event<()>>(&bytes).unwrap(), Event::new("x", "x", "x", ()));
    let text = serde_json::to_string(&Members(&event)).unwrap();
    assert_eq!(serde_json::from_str::<Event<()>>(&text).unwrap(), Event::new("x", "x", "x", ()));
    let bytes = rmp_serde::to_vec(&Members(&batch)).unwrap();
    assert_eq!(rmp_serde::from_slice::<Batch<()>>(&bytes).unwrap(), Batch::new(7, []));
    let text = serde_json::to_string(&Members(&batch)).unwrap();
    assert_eq!(serde_json::from_str::<Batch<()>>(&text).unwrap(), Batch::new(7, []));
}

/// Some writers give numbers in place of names, or names as bytes.
#[test]
fn members_are_known_by_number_and_by_bytes() {
    let (name, number) = (&json!("x"), &json!(7));
    let read = |bytes: Vec<u8>| rmp_serde::from_slice::<Event<u32>>(&bytes);
    let expected = Event::new("x", "x", "x", 7).with_namespace("x");
    let numbered = [(0, name), (1, name), (2, name), (3, name), (6, number), (9, name)];
    assert_eq!(read(rmp_serde::to_vec(&Members(&numbered)).unwrap()).unwrap(), expected);
    // A map of one member, whose name is the five bytes of `Topic`.
    let bytes = [&[0x81, 0xc4, 5][..], b"Topic", &[0xa1, b'x']].concat();
    assert_eq!(read(bytes).unwrap_err().to_string(), "missing field `Type`");
    let bytes = [&[0x81, 0xc4, 5][..], b"Topi\xff", &[0xa1, b'x']].concat();
    assert_eq!(read(bytes).unwrap_err().to_string(), "missing field `Topic`");

    let batch = rmp_serde::to_vec(&Members(&[(0, number), (1, &json!([])), (2, name), (3, name), (4, name)])).unwrap();
    assert_eq!(rmp_serde::from_slice::<Batch<u32>>(&batch).unwrap(), Batch::new(7, []));
    let nameless = rmp_serde::to_vec(&Members(&[((), name)])).unwrap();
    let refused = "invalid type: unit value, expected field identifier";
    assert_eq!(read(nameless.clone()).unwrap_err().to_string(), refused);
    assert_eq!(rmp_serde::from_slice::<Batch<u32>>(&nameless).unwrap_err().to_string(), refused);
}

/// A list that is too short for its event or batch says which member is missing.
#[test]
fn short_lists_are_errors() {
    let names = ["Topic", "Type", "Key", "Namespace", "FilterKeys", "Index", "Payload"];
    let whole = json!(["x", "x", "x", "x", [], 7, 7]);
    let members = whole.as_array().unwrap();
    for (count, missing) in names.iter().enumerate() {
        let bytes = rmp_serde::to_vec(&members[..count]).unwrap();
        let refused = rmp_serde::from_slice::<Event<u32>>(&bytes).unwrap_err().to_string();
        assert_eq!(refused, format!("missing field `{missing}`"));
    }
    for (list, missing) in [(&json!([]), "Index"), (&json!([7]), "Events")] {
        let refused = rmp_serde::from_slice::<Batch<u32>>(&rmp_serde::to_vec(list).unwrap()).unwrap_err().to_string();
        assert_eq!(refused, format!("missing field `{missing}`"));
    }
    let batch = |text: &str| serde_json::from_str::<Batch<u32>>(text);
    assert_eq!(batch("[7]").unwrap(), Batch::new(7, []), "in JSON the list of events may be left out");
    assert!(batch("[]").unwrap_err().to_string().starts_with("missing field `Index`"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_batch_reads_back(
        index in any::<u64>(),
        events in prop::collection::vec(
            (any::<[String; 4]>(), prop::collection::vec(any::<String>(), 0..4), any::<Option<(bool, String)>>()),
            0..4,
        ),
    ) {
        let events = events.into_iter().map(|([topic, event_type, key, namespace], filter_keys, payload)| {
            Event::new(topic, event_type, key, payload).with_namespace(namespace).with_filter_keys(filter_keys)
        });
        round(&Batch::new(index, events.collect::<Vec<_>>()));
    }
}
