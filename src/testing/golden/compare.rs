//! The difference of a golden file and what was found, in few short lines.
//! How lists of lines are compared is decided in `testing::diff`, and how an event is shown in `testing::outline`.

use std::fmt::Write as _;

use serde_json::Value;

use super::lines::Line;
use crate::frame::Incoming;
use crate::testing::diff::diff;
use crate::testing::outline::{EventPlace, Outline, Outlined};
use crate::types::event::{Batch, Event};

/// The number of differences within events that are shown.
const SHOWN: usize = 5;

/// The number of bytes that are shown of a long text, before and after the first byte that differs.
const BEFORE: usize = 30;
const AFTER: usize = 80;

/// Returns the difference, or nothing if the lines are equal, byte by byte.
///
/// If events are missing, unexpected or in another order, that is the difference of the outlines. Otherwise each value
/// that differs is shown, with its line, its event, and the JSON pointer that leads to it.
pub(super) fn difference(expected: &[Line], found: &[Line]) -> Option<String> {
    if expected.iter().map(|line| &line.text).eq(found.iter().map(|line| &line.text)) {
        return None;
    }
    let (wanted, seen) = (outlines(expected), outlines(found));
    let flat = |outlines: &[Vec<String>]| outlines.concat();
    if let Some(diff) = diff(&flat(&wanted), &flat(&seen)) {
        let equal = wanted.iter().zip(&seen).take_while(|(wanted, seen)| wanted == seen).count();
        let place = expected.get(equal).map_or_else(
            || "after the last line of the file".to_owned(),
            |line| format!("from line {} of the file on", line.number),
        );
        return Some(format!("{place} (- expected, + found):{diff}"));
    }
    // The outlines say where frames begin, so there are as many lines on both sides.
    let pairs = expected.iter().zip(found).zip(&wanted).filter(|((expected, found), _)| expected.text != found.text);
    let all: Vec<_> = pairs.flat_map(|((expected, found), outline)| within(expected, found, outline)).collect();
    let mut text = all.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join("\n");
    match all.len().saturating_sub(SHOWN) {
        0 => {}
        1 => text.push_str("\n… 1 more difference"),
        more => _ = write!(text, "\n… {more} more differences"),
    }
    Some(text)
}

/// Returns the outline of each line.
pub(super) fn outlines(lines: &[Line]) -> Vec<Vec<String>> {
    let mut last = (None, 0);
    let mut each = |line: &Line| match &line.frame {
        Incoming::Heartbeat => vec!["{}".to_owned()],
        Incoming::Bookmark { index: None, .. } => vec!["{} with a token".to_owned()],
        Incoming::Progress(index) => vec![format!("{index} without events")],
        Incoming::Bookmark { index: Some(index), .. } => vec![format!("{index} without events, with a token")],
        Incoming::Batch { batch, .. } => {
            let index = Some(batch.index());
            last = (index, if last.0 == index { last.1 + 1 } else { 1 });
            Outline::of(&Numbered { batch, number: last.1 }).lines().to_vec()
        }
    };
    lines.iter().map(&mut each).collect()
}

/// A batch, and its number among those of its index.
struct Numbered<'b> {
    batch: &'b Batch<Value>,
    number: u32,
}

impl Outlined<Value> for Numbered<'_> {
    fn each(&self, event: &mut dyn FnMut(EventPlace, &Event<Value>)) {
        let place = EventPlace::nth(self.batch.index(), self.number);
        self.batch.events().iter().for_each(|each| event(place, each));
    }
}

/// Returns the differences of two lines with equal outlines.
fn within(expected: &Line, found: &Line, outline: &[String]) -> Vec<String> {
    let (wanted, seen) = (expected.value(), found.value());
    let mut places = Vec::new();
    differing(Some(&wanted), Some(&seen), &mut String::new(), &mut places);
    let number = expected.number;
    if places.is_empty() {
        let (wanted, seen) = excerpts(&expected.text, &found.text);
        return vec![format!(
            "line {number} has equal JSON in other bytes (- expected, + found):\n- {wanted}\n+ {seen}"
        )];
    }
    let event = |pointer: &str| {
        let ordinal = pointer.strip_prefix("/Events/")?.split('/').next()?.parse().ok()?;
        outline.get::<usize>(ordinal).map(|line| format!(", `{line}`"))
    };
    let show = |place: &Place<'_>| {
        let text = |value: Option<&Value>| value.map_or_else(|| "(absent)".to_owned(), Value::to_string);
        let (wanted, seen) = excerpts(&text(place.expected), &text(place.found));
        let (pointer, event) = (&place.pointer, event(&place.pointer).unwrap_or_default());
        format!("line {number}{event} differs at {pointer} (- expected, + found):\n- {wanted}\n+ {seen}")
    };
    places.iter().map(show).collect()
}

/// Where two values differ.
struct Place<'v> {
    pointer: String,
    expected: Option<&'v Value>,
    found: Option<&'v Value>,
}

/// Collects the smallest values that differ. An array of another length differs as a whole where its rest begins.
fn differing<'v>(
    expected: Option<&'v Value>,
    found: Option<&'v Value>,
    pointer: &mut String,
    places: &mut Vec<Place<'v>>,
) {
    if expected == found {
        return;
    }
    let mut below = |name: &str, expected, found| {
        let parent = pointer.len();
        pointer.push('/');
        pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
        differing(expected, found, pointer, places);
        pointer.truncate(parent);
    };
    match (expected, found) {
        (Some(Value::Object(expected)), Some(Value::Object(found))) => {
            let added = found.keys().filter(|name| !expected.contains_key(*name));
            expected.keys().chain(added).for_each(|name| below(name, expected.get(name), found.get(name)));
        }
        (Some(Value::Array(expected)), Some(Value::Array(found))) => {
            let all = 0..expected.len().max(found.len());
            all.for_each(|place| below(&place.to_string(), expected.get(place), found.get(place)));
        }
        _ => places.push(Place { pointer: pointer.clone(), expected, found }),
    }
}

/// Returns the parts of two long texts around the first character that differs.
fn excerpts(expected: &str, found: &str) -> (String, String) {
    let equal = expected.chars().zip(found.chars()).take_while(|(expected, found)| expected == found).count();
    (excerpt(expected, equal), excerpt(found, equal))
}

fn excerpt(text: &str, at: usize) -> String {
    let length = text.chars().count();
    if length <= BEFORE + AFTER {
        return text.to_owned();
    }
    let from = at.saturating_sub(BEFORE);
    let to = length.min(from + BEFORE + AFTER);
    let part: String = text.chars().skip(from).take(to - from).collect();
    let (before, after) = (if from > 0 { "…" } else { "" }, if to < length { "…" } else { "" });
    format!("{before}{part}{after}")
}
