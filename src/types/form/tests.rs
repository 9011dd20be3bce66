//! Tests how members of events and batches are recognized: by name, as text or as bytes, or by number.
//! Complete events and batches, and the errors of malformed ones, are tested in `tests/formats.rs`.
#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::fmt::Debug;

use serde::de::value::{BorrowedBytesDeserializer, BorrowedStrDeserializer, BytesDeserializer, Error, SeqDeserializer};
use serde::de::{Error as _, IntoDeserializer, Visitor};
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};

use super::{BatchField, Field};

/// Reads a member in each way in which a format may hand out its name.
#[track_caller]
fn assert_named<F: for<'de> Deserialize<'de> + Debug + PartialEq>(name: &str, expected: &F) {
    let bytes = name.as_bytes();
    let read = [
        ("a string", F::deserialize(IntoDeserializer::<Error>::into_deserializer(name))),
        ("a string of the input", F::deserialize(BorrowedStrDeserializer::new(name))),
        ("an owned string", F::deserialize(IntoDeserializer::<Error>::into_deserializer(name.to_owned()))),
        ("bytes", F::deserialize(BytesDeserializer::new(bytes))),
        ("bytes of the input", F::deserialize(BorrowedBytesDeserializer::new(bytes))),
    ];
    for (form, read) in read {
        assert_eq!(read.as_ref(), Ok(expected), "{name:?} as {form}");
    }
}

/// Reads a member by its number, in each width.
#[track_caller]
fn assert_numbered<F: for<'de> Deserialize<'de> + Debug + PartialEq>(number: u8, expected: &F) {
    let read = [
        F::deserialize(IntoDeserializer::<Error>::into_deserializer(number)),
        F::deserialize(IntoDeserializer::<Error>::into_deserializer(u16::from(number))),
        F::deserialize(IntoDeserializer::<Error>::into_deserializer(u32::from(number))),
        F::deserialize(IntoDeserializer::<Error>::into_deserializer(u64::from(number))),
    ];
    for read in read {
        assert_eq!(read.as_ref(), Ok(expected), "{number}");
    }
}

/// An unknown member is recognized as such, and is skipped with its value.
#[track_caller]
fn assert_unknown<F: for<'de> Deserialize<'de> + Debug + PartialEq>(unknown: &F) {
    for name in ["", "topic", "TOPIC", "Topic ", " Topic", "Topics", "Topi", "index", "Event", "events", "é", "7"] {
        assert_named(name, unknown);
    }
    for bytes in [&b"\xff"[..], b"Topic\xff", b"Index\0"] {
        assert_eq!(F::deserialize(BytesDeserializer::<Error>::new(bytes)).as_ref(), Ok(unknown), "{bytes:?}");
    }
    assert_eq!(F::deserialize(IntoDeserializer::<Error>::into_deserializer('T')).as_ref(), Ok(unknown));
    assert_eq!(F::deserialize(IntoDeserializer::<Error>::into_deserializer(u64::MAX)).as_ref(), Ok(unknown));
}

/// What is neither a name nor a number is refused, and the error says so in serde's words.
#[track_caller]
fn assert_refused<F: for<'de> Deserialize<'de> + Debug>() {
    fn refusal<'de, F: Deserialize<'de> + Debug>(value: impl IntoDeserializer<'de, Error>) -> String {
        F::deserialize(value.into_deserializer()).unwrap_err().to_string()
    }
    assert_eq!(refusal::<F>(true), "invalid type: boolean `true`, expected field identifier");
    assert_eq!(refusal::<F>(-1_i8), "invalid type: integer `-1`, expected field identifier");
    assert_eq!(refusal::<F>(0_i64), "invalid type: integer `0`, expected field identifier");
    assert_eq!(refusal::<F>(0.5), "invalid type: floating point `0.5`, expected field identifier");
    assert_eq!(refusal::<F>(()), "invalid type: unit value, expected field identifier");
    let list = SeqDeserializer::<_, Error>::new(["Topic"].into_iter());
    assert_eq!(F::deserialize(list).unwrap_err().to_string(), "invalid type: sequence, expected field identifier");
}

/// A format that yields one name as an identifier, and supports nothing else.
struct IdentifierAlone;

impl<'de> Deserializer<'de> for IdentifierAlone {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("only an identifier can be read"))
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_borrowed_str("Index")
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum ignored_any
    }
}

#[test]
fn formats_are_asked_for_an_identifier() {
    assert_eq!(Field::deserialize(IdentifierAlone), Ok(Field::Index));
    assert_eq!(BatchField::deserialize(IdentifierAlone), Ok(BatchField::Index));
}

#[test]
fn members_of_an_event_are_recognized() {
    let members = [
        ("Topic", Field::Topic),
        ("Type", Field::Type),
        ("Key", Field::Key),
        ("Namespace", Field::Namespace),
        ("FilterKeys", Field::FilterKeys),
        ("Index", Field::Index),
        ("Payload", Field::Payload),
        ("Events", Field::Unknown),
        ("Token", Field::Unknown),
    ];
    for ((name, member), number) in members.iter().zip(0..) {
        assert_named(name, member);
        assert_numbered(number, member);
    }
    assert_unknown(&Field::Unknown);
    assert_refused::<Field>();
}

#[test]
fn members_of_a_batch_are_recognized() {
    let members = [("Index", BatchField::Index), ("Events", BatchField::Events), ("Token", BatchField::Token)];
    for ((name, member), number) in members.iter().zip(0..) {
        assert_named(name, member);
        assert_numbered(number, member);
    }
    for name in ["Topic", "Type", "Key", "Namespace", "FilterKeys", "Payload"] {
        assert_named(name, &BatchField::OfEvent);
    }
    // Whichever member of an event it is, there is one number for it.
    assert_numbered(3, &BatchField::OfEvent);
    assert_numbered(4, &BatchField::Unknown);
    assert_unknown(&BatchField::Unknown);
    assert_refused::<BatchField>();
}
