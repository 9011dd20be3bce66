//! The frames of rivals, encoded without code of the crate.
//!
//! Who encodes, and when, is in `carried` and `framed`.

use event_broker::Key;
use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::event::Event;

/// A frame before its first event.
pub(crate) fn head(index: u64) -> Vec<u8> {
    format!("{{\"Index\":{index},\"Events\":[").into_bytes()
}

/// A frame after its last event.
pub(crate) const TAIL: &[u8] = b"]}\n";

/// An event as a rival's author would serialize it, without code of the crate: comparisons of runs take the rivals for
/// code that has not changed.
struct Wire<'e>(&'e Event);

impl Serialize for Wire<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Keys<'e>(&'e [Key]);
        impl Serialize for Keys<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_seq(self.0.iter().map(Key::as_str))
            }
        }
        let Self(event) = self;
        let mut fields = serializer.serialize_struct("Event", 7)?;
        fields.serialize_field("Topic", event.topic().as_str())?;
        fields.serialize_field("Type", event.event_type().as_str())?;
        fields.serialize_field("Key", event.key().as_str())?;
        fields.serialize_field("Namespace", event.namespace().as_str())?;
        fields.serialize_field("FilterKeys", &Keys(event.filter_keys()))?;
        fields.serialize_field("Index", &event.index())?;
        fields.serialize_field("Payload", event.payload())?;
        fields.end()
    }
}

/// Writes the JSON of an event.
pub(crate) fn encode(event: &Event, out: &mut Vec<u8>) {
    serde_json::to_writer(out, &Wire(event)).expect("plain data");
}
