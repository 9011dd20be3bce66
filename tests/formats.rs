//! What the types serialize they deserialize, in formats that write no names of fields, too.
//! The lines of frames, and what the decoder says of wrong ones, are tested with the codec.
#![cfg(not(broker_loom))]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails may panic")]

use std::fmt::Debug;

use event_broker::{Batch, Broker, Event, EventType, Key, Namespace, Request, Token, Topic};
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Goes through every format and back.
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

/// What breaks off is an error and no default: without names, nothing says what is missing.
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
