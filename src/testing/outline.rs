//! Outlines: what was published or received, as one short line an event.
//! How two outlines are compared is decided in `diff`.
//!
//! Invariant: equal lines mean equal index, batch, topic, type, namespace, key and filter keys. A name that could be
//! mistaken for another part of the line is quoted.
//!
//! Callers: tests of hosts, and the other files of this module.

use std::fmt::{self, Write as _};

use crate::subscription::{Delivery, DeliveryRef};
use crate::types::event::{Batch, Event};

/// How a payload is shown in an outline.
pub(super) struct Show<P>(Box<dyn Fn(&P) -> String>);

impl<P> Show<P> {
    pub(super) fn by(show: impl Fn(&P) -> String + 'static) -> Self {
        Self(Box::new(show))
    }

    pub(super) fn debug() -> Self
    where
        P: fmt::Debug,
    {
        Self::by(|payload| format!("{payload:?}"))
    }

    #[cfg(feature = "json")]
    pub(super) fn json() -> Self
    where
        P: serde::Serialize,
    {
        Self::by(|payload| serde_json::to_string(payload).unwrap_or_else(|error| format!("<no JSON: {error}>")))
    }
}

/// What was published or received, as one line an event: `1 Job/JobRegistered prod:web [8f2c, e1]`.
///
/// A line has the index of the commit, the topic and the type, the namespace (if there is one) and the key, and the
/// filter keys in brackets (if there are any). A payload follows behind `=`, if the outline shows payloads. The second
/// batch of an index has `7#2` instead of `7`. A name with a space, one of `:/[],=#"`, or nothing in it is quoted.
///
/// ```
/// use event_broker::testing::Outline;
/// use event_broker::{Batch, Event};
///
/// let batch = Batch::new(7, vec![
///     Event::new("Job", "JobRegistered", "web", 3).with_namespace("prod").with_filter_keys(["8f2c", "e1"]),
///     Event::new("Node", "NodeRegistration", "a b", 4),
/// ]);
/// let outline = Outline::of(&batch);
/// assert_eq!(outline.lines(), ["7 Job/JobRegistered prod:web [8f2c, e1]", r#"7 Node/NodeRegistration "a b""#]);
/// assert_eq!(outline, Outline::from("
///     7 Job/JobRegistered prod:web [8f2c, e1]
///     7 Node/NodeRegistration \"a b\"
/// "));
/// assert_eq!(Outline::by_debug(&batch).lines()[1], r#"7 Node/NodeRegistration "a b" = 4"#);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    lines: Vec<String>,
}

impl Outline {
    /// Returns the outline of deliveries or batches, without payloads.
    pub fn of<P>(events: &(impl Outlined<P> + ?Sized)) -> Self {
        Self::collect(events, None)
    }

    /// Returns the outline with the payloads in their `Debug` form.
    pub fn by_debug<P: fmt::Debug>(events: &(impl Outlined<P> + ?Sized)) -> Self {
        Self::collect(events, Some(&Show::debug()))
    }

    /// Returns the outline with the payloads as JSON.
    #[cfg(feature = "json")]
    pub fn by_json<P: serde::Serialize>(events: &(impl Outlined<P> + ?Sized)) -> Self {
        Self::collect(events, Some(&Show::json()))
    }

    /// Returns the outline with the payloads as this text.
    pub fn by<P>(events: &(impl Outlined<P> + ?Sized), show: impl Fn(&P) -> String + 'static) -> Self {
        Self::collect(events, Some(&Show::by(show)))
    }

    pub(super) fn showing<P>(events: &(impl Outlined<P> + ?Sized), show: &Show<P>) -> Self {
        Self::collect(events, Some(show))
    }

    fn collect<P>(events: &(impl Outlined<P> + ?Sized), show: Option<&Show<P>>) -> Self {
        let mut outline = Self::default();
        let mut last = None;
        events.each(&mut |EventPlace { index, number, first }, event| {
            let number = number.unwrap_or(match last {
                Some((before, number)) if before == index => number + u32::from(first),
                _ => 1,
            });
            last = Some((index, number));
            outline.lines.push(line(index, number, event, show));
        });
        outline
    }

    /// Returns the lines, one for each event.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// Returns whether there is no event.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Returns the lines as one text, each indented.
    pub(super) fn indented(&self) -> String {
        self.lines.iter().fold(String::new(), |text, line| text + "  " + line + "\n")
    }
}

/// Where an event was published: the index of its batch, and the number of batches of that index up to it.
#[derive(Clone, Copy, Debug)]
pub struct EventPlace {
    index: u64,
    /// Of a batch by itself it is not known. Then it follows from the batch before, if that has the same index.
    number: Option<u32>,
    /// Whether the event is the first of its batch.
    first: bool,
}

impl EventPlace {
    /// The first batch of this index.
    pub const fn of(index: u64) -> Self {
        Self { index, number: Some(1), first: true }
    }

    /// An event of a batch whose number is not known.
    const fn unnumbered(index: u64, first: bool) -> Self {
        Self { index, number: None, first }
    }

    /// The batch of this number among those of the index, counted from 1.
    #[cfg(feature = "json")]
    pub(super) const fn nth(index: u64, number: u32) -> Self {
        Self { index, number: Some(number), first: true }
    }
}

/// What an outline can be made of: deliveries and batches, one or several.
pub trait Outlined<P> {
    /// Calls `event` with each event, in order.
    fn each(&self, event: &mut dyn FnMut(EventPlace, &Event<P>));
}

impl<P> Outlined<P> for Delivery<P> {
    fn each(&self, event: &mut dyn FnMut(EventPlace, &Event<P>)) {
        let place = self.batch.place;
        self.events()
            .for_each(|each| event(EventPlace { number: Some(place.count + 1), ..EventPlace::of(place.index) }, each));
    }
}

impl<P> Outlined<P> for DeliveryRef<'_, P> {
    fn each(&self, event: &mut dyn FnMut(EventPlace, &Event<P>)) {
        let place = self.batch.place;
        self.events()
            .for_each(|each| event(EventPlace { number: Some(place.count + 1), ..EventPlace::of(place.index) }, each));
    }
}

impl<P> Outlined<P> for Batch<P> {
    fn each(&self, event: &mut dyn FnMut(EventPlace, &Event<P>)) {
        for (ordinal, each) in self.events().iter().enumerate() {
            event(EventPlace::unnumbered(self.index(), ordinal == 0), each);
        }
    }
}

impl<P, O: Outlined<P>> Outlined<P> for [O] {
    fn each(&self, event: &mut dyn FnMut(EventPlace, &Event<P>)) {
        for outlined in self {
            outlined.each(event);
        }
    }
}

impl<P, O: Outlined<P>> Outlined<P> for Vec<O> {
    fn each(&self, event: &mut dyn FnMut(EventPlace, &Event<P>)) {
        self.as_slice().each(event);
    }
}

impl<P, O: Outlined<P>, const N: usize> Outlined<P> for [O; N] {
    fn each(&self, event: &mut dyn FnMut(EventPlace, &Event<P>)) {
        self.as_slice().each(event);
    }
}

fn line<P>(index: u64, number: u32, event: &Event<P>, show: Option<&Show<P>>) -> String {
    let mut line = index.to_string();
    let mut write = |text: &dyn fmt::Display| _ = write!(line, "{text}");
    if number > 1 {
        write(&format_args!("#{number}"));
    }
    write(&format_args!(" {}/{} ", Name(event.topic().as_str()), Name(event.event_type().as_str())));
    if !event.namespace().is_empty() {
        write(&format_args!("{}:", Name(event.namespace().as_str())));
    }
    write(&Name(event.key().as_str()));
    for (number, key) in event.filter_keys().iter().enumerate() {
        write(&format_args!("{}{}", if number == 0 { " [" } else { ", " }, Name(key.as_str())));
    }
    if !event.filter_keys().is_empty() {
        write(&"]");
    }
    if let Some(show) = show {
        // A line is a line: what breaks it is escaped.
        let payload = show.0(event.payload());
        let payload = payload.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r");
        // And so is the space at its end, which the lines of a text lack.
        let shown = payload.trim_end();
        let space = payload.get(shown.len()..).unwrap_or_default().escape_unicode();
        write(&format_args!(" ={}{shown}{space}", if payload.is_empty() { "" } else { " " }));
    }
    line
}

/// A name, quoted where it could be mistaken.
pub(super) struct Name<'n>(pub(super) &'n str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let odd = |c: char| c.is_whitespace() || c.is_control() || ":/[],=#\"".contains(c);
        if self.0.is_empty() || self.0.contains(odd) { write!(f, "{:?}", self.0) } else { f.write_str(self.0) }
    }
}

impl fmt::Display for Outline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join("\n"))
    }
}

/// The lines of a text, without the space around them. Empty lines are left out.
impl From<&str> for Outline {
    fn from(text: &str) -> Self {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        Self { lines: lines.map(str::to_owned).collect() }
    }
}

impl From<String> for Outline {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<&String> for Outline {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<&Outline> for Outline {
    fn from(outline: &Outline) -> Self {
        outline.clone()
    }
}

impl<T: Into<Outline>, const N: usize> From<[T; N]> for Outline {
    fn from(parts: [T; N]) -> Self {
        parts.into_iter().collect()
    }
}

impl<T: Into<Outline>> From<Vec<T>> for Outline {
    fn from(parts: Vec<T>) -> Self {
        parts.into_iter().collect()
    }
}

impl<T: Into<Outline>> FromIterator<T> for Outline {
    fn from_iter<I: IntoIterator<Item = T>>(parts: I) -> Self {
        Self { lines: parts.into_iter().flat_map(|part| part.into().lines).collect() }
    }
}
