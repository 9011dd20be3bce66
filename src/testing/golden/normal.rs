//! Normalising: what differs in every run is replaced, and every other byte of a line stays as it is.
//! Which frames are compared is decided in `file`.

use std::collections::BTreeMap;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// What is put in the place of a text that differs in every run.
pub(super) const VOLATILE: &str = "<volatile>";

/// One thing that is replaced.
pub(super) enum Step {
    /// Whatever the caller replaces.
    By(Box<dyn Fn(&mut Value)>),
    /// What a JSON pointer leads to, or what every member of this name holds.
    Volatile(String),
    /// The indexes of frames and their events become 1, 2, 3.
    Indexes,
    /// Each different UUID becomes a numbered one.
    Uuids,
}

/// The numbers that were given to what a stream held so far.
#[derive(Default)]
pub(super) struct Numbers {
    indexes: BTreeMap<u64, u64>,
    uuids: BTreeMap<String, u64>,
}

impl Step {
    /// Returns whether the step gives numbers, which depend on all that came before in the stream.
    fn numbers(&self) -> bool {
        matches!(self, Self::Indexes | Self::Uuids)
    }
}

/// Returns the line with these steps applied, in this order, but those that give numbers last.
///
/// Only so does normalising twice give the same: a value that had a number and was replaced by a later step is not in
/// the golden file, and the numbers after it would be others there.
pub(super) fn normalise(line: &str, steps: &[Step], numbers: &mut Numbers) -> String {
    let Ok(before) = serde_json::from_str::<Value>(line) else { return line.to_owned() };
    let mut after = before.clone();
    let (first, last) = (steps.iter().filter(|step| !step.numbers()), steps.iter().filter(|step| step.numbers()));
    for step in first.chain(last) {
        match step {
            Step::By(replace) => replace(&mut after),
            Step::Volatile(pointer) if pointer.starts_with('/') => {
                after.pointer_mut(pointer).into_iter().for_each(blank);
            }
            Step::Volatile(name) => each_member(&mut after, name, &mut blank),
            Step::Indexes => number_indexes(&mut after, &mut numbers.indexes),
            Step::Uuids => each_text(&mut after, &mut |text| number_uuid(text, &mut numbers.uuids)),
        }
    }
    patch(line, &before, &after)
}

/// Replaces a value by one of its kind, so that a reader whose payload has types still accepts the line.
fn blank(value: &mut Value) {
    *value = match value {
        Value::Null => Value::Null,
        Value::Bool(_) => false.into(),
        Value::Number(_) => 0.into(),
        Value::String(_) => VOLATILE.into(),
        Value::Array(_) => Value::Array(Vec::new()),
        Value::Object(_) => Value::Object(serde_json::Map::new()),
    };
}

/// Calls `replace` with what the members of this name hold.
fn each_member(value: &mut Value, name: &str, replace: &mut dyn FnMut(&mut Value)) {
    match value {
        Value::Array(elements) => elements.iter_mut().for_each(|element| each_member(element, name, replace)),
        Value::Object(members) => {
            for (member, value) in members {
                if member == name { replace(value) } else { each_member(value, name, replace) }
            }
        }
        _ => {}
    }
}

/// Calls `replace` with every text that a member or an element is.
fn each_text(value: &mut Value, replace: &mut dyn FnMut(&mut String)) {
    match value {
        Value::String(text) => replace(text),
        Value::Array(elements) => elements.iter_mut().for_each(|element| each_text(element, replace)),
        Value::Object(members) => members.values_mut().for_each(|value| each_text(value, replace)),
        _ => {}
    }
}

fn number_indexes(frame: &mut Value, given: &mut BTreeMap<u64, u64>) {
    let mut number = |index: &mut Value| {
        if let Some(known) = index.as_u64() {
            let next = given.len() as u64 + 1;
            *index = (*given.entry(known).or_insert(next)).into();
        }
    };
    frame.get_mut("Index").into_iter().for_each(&mut number);
    let events = frame.get_mut("Events").and_then(Value::as_array_mut);
    events.into_iter().flatten().filter_map(|event| event.get_mut("Index")).for_each(number);
}

fn number_uuid(text: &mut String, given: &mut BTreeMap<String, u64>) {
    let lengths = text.split('-').map(str::len);
    let is_uuid = lengths.eq([8, 4, 4, 4, 12]) && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    if is_uuid {
        let next = given.len() as u64 + 1;
        let number = given.entry(text.to_ascii_lowercase()).or_insert(next);
        *text = format!("00000000-0000-0000-0000-{number:012x}");
    }
}

/// Returns `text`, whose value is `before`, with what makes it `after`. Members keep their order, new ones come last,
/// and what is equal keeps its bytes.
fn patch(text: &str, before: &Value, after: &Value) -> String {
    if before == after {
        return text.to_owned();
    }
    let patched = match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            serde_json::from_str::<Members<'_>>(text).ok().map(|members| {
                let kept = members.0.iter().filter_map(|(name, raw)| {
                    let (before, after) = (before.get(name)?, after.get(name)?);
                    // Of members of one name a value has the last.
                    if serde_json::from_str::<Value>(raw.get()).is_ok_and(|own| own != *before) {
                        return Some(member(name, raw.get()));
                    }
                    Some(member(name, &patch(raw.get(), before, after)))
                });
                let added = after.iter().filter(|(name, _)| !before.contains_key(*name));
                let all: Vec<_> = kept.chain(added.map(|(name, value)| member(name, &value.to_string()))).collect();
                format!("{{{}}}", all.join(","))
            })
        }
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
            serde_json::from_str::<Vec<&RawValue>>(text).ok().map(|elements| {
                let pairs = before.iter().zip(after).zip(elements);
                let all: Vec<_> = pairs.map(|((before, after), raw)| patch(raw.get(), before, after)).collect();
                format!("[{}]", all.join(","))
            })
        }
        _ => None,
    };
    patched.unwrap_or_else(|| after.to_string())
}

fn member(name: &str, value: &str) -> String {
    format!("{}:{value}", Value::from(name))
}

/// The members of an object in their order, each as its own bytes.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(all(test, not(broker_loom)))]
mod tests {
    use super::*;

    fn normal(steps: &[Step], lines: &[&str]) -> Vec<String> {
        let mut numbers = Numbers::default();
        lines.iter().map(|line| normalise(line, steps, &mut numbers)).collect()
    }

    #[test]
    fn what_is_not_replaced_keeps_its_bytes() {
        let line = r#"{"z":1.50,"a":{ "y":"\u00e9","At":17,"b":[1e2,{"At":"now"}]},"c":null}"#;
        assert_eq!(normal(&[Step::Volatile("none".into())], &[line]), [line]);
        assert_eq!(
            normal(&[Step::Volatile("At".into())], &[line]),
            [r#"{"z":1.50,"a":{"y":"\u00e9","At":0,"b":[1e2,{"At":"<volatile>"}]},"c":null}"#]
        );
        assert_eq!(
            normal(&[Step::Volatile("/a/b/1/At".into()), Step::Volatile("/a/none".into())], &[line]),
            [r#"{"z":1.50,"a":{"y":"\u00e9","At":17,"b":[1e2,{"At":"<volatile>"}]},"c":null}"#]
        );
    }

    #[test]
    fn a_value_is_replaced_by_one_of_its_kind() {
        let line = r#"{"x":{"a":1},"y":{"x":[1]},"z":[{"x":true},{"x":null}]}"#;
        assert_eq!(
            normal(&[Step::Volatile("x".into())], &[line]),
            [r#"{"x":{},"y":{"x":[]},"z":[{"x":false},{"x":null}]}"#]
        );
    }

    #[test]
    fn a_closure_may_add_and_remove() {
        let step = Step::By(Box::new(|value| {
            value["new"] = true.into();
            value.as_object_mut().expect("an object").remove("b");
            value["list"] = vec![1, 2].into();
        }));
        assert_eq!(
            normal(&[step], &[r#"{"c":1,"b":2,"list":[1],"a":{"b":2}}"#]),
            [r#"{"c":1,"list":[1,2],"a":{"b":2},"new":true}"#]
        );
    }

    #[test]
    fn what_another_step_replaces_gets_no_number() {
        let (a, b) = ("ccc4ce56-7f0a-4124-b8b1-a4015aa82c40", "8c88f29b-ff08-4972-8e33-b0cc73af8749");
        assert_eq!(
            normal(&[Step::Uuids, Step::Volatile("At".into())], &[&format!(r#"{{"At":"{a}","ID":"{b}"}}"#)]),
            [r#"{"At":"<volatile>","ID":"00000000-0000-0000-0000-000000000001"}"#]
        );
    }

    #[test]
    fn numbers_are_given_in_the_order_of_the_stream() {
        let lines = [
            r#"{"Index":70,"Events":[{"Index":70,"Payload":{"Index":9}}]}"#,
            r#"{"Index":70,"Events":[{"Index":71}]}"#,
            r#"{"Index":18446744073709551615,"Events":null}"#,
        ];
        assert_eq!(
            normal(&[Step::Indexes], &lines),
            [
                r#"{"Index":1,"Events":[{"Index":1,"Payload":{"Index":9}}]}"#,
                r#"{"Index":1,"Events":[{"Index":2}]}"#,
                r#"{"Index":3,"Events":null}"#,
            ]
        );
        let (a, b) = ("ccc4ce56-7f0a-4124-b8b1-a4015aa82c40", "CCC4CE56-7F0A-4124-B8B1-A4015AA82C40");
        let other = "8c88f29b-ff08-4972-8e33-b0cc73af8749";
        assert_eq!(
            normal(&[Step::Uuids], &[&format!(r#"["{a}",{{"k":["{other}","{b}"]}},"web-1-2-3-4"]"#)]),
            [concat!(
                r#"["00000000-0000-0000-0000-000000000001",{"k":["00000000-0000-0000-0000-000000000002","#,
                r#""00000000-0000-0000-0000-000000000001"]},"web-1-2-3-4"]"#
            )]
        );
    }
}
