//! Batches of a real broker: framed as they were delivered, split anywhere, and decoded.
//!
//! Which events are delivered is not checked here.

use event_broker::{Batch, Broker, Event, Frame, Incoming, Request, Subscription, Term};
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::choices::Choices;
use super::{cut, decode};

/// What a decoder must return for what was sent.
type Expected = Incoming<Value>;

const TEXTS: [&str; 12] =
    ["", "a", "A", "*", "\n", "\r\n", "\"", "\\", "\u{2028}\u{0}\u{1f}", "é", "😀", "],\"Token\":\"x\"}"];
const NUMBERS: [u64; 6] = [0, 1, 255, u32::MAX as u64, i64::MAX as u64 + 1, u64::MAX];

pub(super) fn run(choices: &mut Choices<'_>) {
    let mut sender = Sender::new();
    for _ in 0..=choices.below(6) {
        match choices.below(6) {
            0 => sender.send(&Frame::heartbeat(), Incoming::Heartbeat),
            1 => {
                let index = choices.pick(&NUMBERS);
                sender.send(&Frame::progress(index), Incoming::Progress(index));
                let token = sender.readers[0].token();
                sender.send(&Frame::bookmark(None, token), Incoming::Bookmark { index: None, token });
                sender.send(&Frame::bookmark(Some(index), token), Incoming::Bookmark { index: Some(index), token });
            }
            2 => sender.whole(choices),
            _ => sender.delivered(choices),
        }
    }
    let Sender { mut bytes, expected, .. } = sender;
    if choices.flag() {
        // The last line counts without its newline too.
        bytes.pop();
    }
    if choices.flag() {
        bytes = String::from_utf8(bytes).expect("frames are text").replace('\n', "\r\n").into_bytes();
    }
    let expected: Vec<_> = expected.into_iter().map(Ok).collect();
    assert_eq!(decode::<Value>(&cut(&bytes, choices), usize::MAX), expected);
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(decode::<Value>(&single, bytes.len()), expected);
}

struct Sender {
    broker: Broker<Box<RawValue>>,
    /// One reader of everything, one of a part of most batches.
    readers: [Subscription<Box<RawValue>>; 2],
    index: u64,
    bytes: Vec<u8>,
    expected: Vec<Expected>,
}

impl Sender {
    fn new() -> Self {
        let broker = Broker::new();
        let all = Request::new().namespaces(["*"]);
        let part = Request::new().namespaces(["*"]).term(Term::topic("A").expect("a term"));
        let readers = [all, part].map(|request| broker.subscribe(request).expect("open"));
        Self { broker, readers, index: 0, bytes: Vec::new(), expected: Vec::new() }
    }

    fn send(&mut self, frame: &Frame, expected: Expected) {
        assert_eq!(frame.as_str().find('\n'), Some(frame.len() - 1), "one newline, at the end");
        assert!(!frame.as_str().contains('\r'));
        assert_eq!(frame.line().len() + 1, frame.len());
        assert_eq!(frame.is_heartbeat(), !matches!(expected, Incoming::Batch { .. }));
        self.bytes.extend_from_slice(frame);
        self.expected.push(expected);
    }

    /// A batch that no broker has seen.
    fn whole(&mut self, choices: &mut Choices<'_>) {
        let index = choices.pick(&NUMBERS);
        let batch = Batch::new(index, choices.several(3, event));
        let frame = Frame::encode(&batch).expect("raw JSON is JSON");
        if batch.events().is_empty() {
            // Nothing in it but how far things are.
            assert_eq!(decode::<Value>(&[&frame], usize::MAX), [Ok(Incoming::Progress(index))]);
        } else {
            let batch = Batch::new(index, batch.into_events().into_iter().map(value).collect::<Vec<_>>());
            self.send(&frame, Incoming::Batch { batch, token: None });
        }
    }

    /// A batch as two readers receive it, with and without token, in a chosen order: the encoding for one is reused for
    /// the others.
    fn delivered(&mut self, choices: &mut Choices<'_>) {
        self.index += 1;
        let events: Vec<_> = (0..=choices.below(4)).map(|_| event(choices)).collect();
        self.broker.publish(self.index, events).expect("rising");
        let deliveries = self.readers.each_mut().map(|reader| reader.try_recv().ok());
        for _ in 0..=choices.below(6) {
            let (reader, with_token) = (choices.below(2), choices.flag());
            let Some(delivery) = &deliveries[reader] else { continue };
            let frame = if with_token { delivery.frame_with_token() } else { delivery.frame() };
            let events: Vec<_> = delivery.events().cloned().map(value).collect();
            let batch = Batch::new(delivery.index(), events);
            let token = with_token.then(|| delivery.token());
            self.send(&frame.expect("raw JSON is JSON"), Incoming::Batch { batch, token });
        }
    }
}

fn event(choices: &mut Choices<'_>) -> Event<Box<RawValue>> {
    let payload = payload(choices, 3);
    let text = if choices.flag() { serde_json::to_string_pretty(&payload) } else { serde_json::to_string(&payload) };
    let text = text.expect("a value is JSON");
    let text = if choices.flag() { text.replace('\n', "\r\n") } else { text };
    Event::new(
        choices.pick(&["A", "B", "", "A"]),
        choices.pick(&TEXTS),
        choices.pick(&TEXTS),
        RawValue::from_string(text).expect("it is JSON"),
    )
    .with_namespace(choices.pick(&TEXTS))
    .with_filter_keys(choices.several(3, |choices| choices.pick(&TEXTS)))
}

/// Without fractions: only their nearest neighbours come back.
fn payload(choices: &mut Choices<'_>, depth: usize) -> Value {
    match choices.below(if depth == 0 { 5 } else { 7 }) {
        0 => Value::Null,
        1 => Value::from(choices.flag()),
        2 => Value::from(choices.pick(&NUMBERS)),
        3 => Value::from(choices.pick(&[-1, i64::from(i32::MIN), i64::MIN])),
        4 => Value::from(choices.pick(&TEXTS)),
        5 => Value::from(choices.several(3, |choices| payload(choices, depth - 1))),
        _ => {
            let members = choices.several(3, |choices| (choices.pick(&TEXTS), payload(choices, depth - 1)));
            members.into_iter().map(|(name, value)| (String::from(name), value)).collect()
        }
    }
}

/// The same event with its payload parsed.
fn value(event: Event<Box<RawValue>>) -> Event<Value> {
    event.map(|raw| serde_json::from_str(raw.get()).expect("it is JSON"))
}
