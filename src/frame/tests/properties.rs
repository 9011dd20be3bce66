//! Properties that hold for every batch, every split and every input.
//! What single lines mean is tested in `decoding`.

use std::io::BufReader;

use proptest::prelude::*;
use serde_json::value::RawValue;

use super::Free;
use super::{decode_with, token};
use crate::frame::{DecodeError, Decoder, Frame, FrameCache, FrameReader, Incoming, ReadError};
use crate::types::event::{Batch, Event};
use crate::types::token::Token;

#[derive(Clone, Debug)]
enum Sent {
    Heartbeat,
    Progress(u64),
    Bookmark(Option<u64>, Token),
    Batch(Batch<String>, Vec<bool>, Option<Token>),
}

fn sent() -> impl Strategy<Value = Sent> {
    let text = || prop_oneof!["[a-c]?", any::<String>()];
    let event = (text(), text(), text(), text(), prop::collection::vec(text(), 0..3), text()).prop_map(
        |(topic, event_type, key, namespace, filter_keys, payload)| {
            Event::new(topic, event_type, key, payload).with_namespace(namespace).with_filter_keys(filter_keys)
        },
    );
    prop_oneof![
        Just(Sent::Heartbeat),
        any::<u64>().prop_map(Sent::Progress),
        (any::<Option<u64>>(), any::<u64>()).prop_map(|(index, place)| Sent::Bookmark(index, token(place))),
        (any::<u64>(), prop::collection::vec((event, any::<bool>()), 1..5), any::<bool>()).prop_map(
            |(index, events, with_token)| {
                let (events, chosen): (Vec<_>, Vec<_>) = events.into_iter().unzip();
                Sent::Batch(Batch::new(index, events), chosen, with_token.then(|| token(index)))
            }
        ),
    ]
}

impl Sent {
    fn encode(&self) -> Frame {
        match self {
            Self::Heartbeat => Frame::heartbeat(),
            Self::Progress(index) => Frame::progress(*index),
            Self::Bookmark(index, token) => Frame::bookmark(*index, *token),
            Self::Batch(batch, chosen, token) => {
                let ordinals = chosen.iter().enumerate().filter(|(_, chosen)| **chosen).map(|(ordinal, _)| ordinal);
                FrameCache::new().part(batch.index(), batch.events(), ordinals, *token, &Free).unwrap()
            }
        }
    }

    fn expected(self) -> Incoming<String> {
        match self {
            Self::Heartbeat => Incoming::Heartbeat,
            Self::Progress(index) => Incoming::Progress(index),
            Self::Bookmark(index, token) => Incoming::Bookmark { index, token },
            Self::Batch(batch, chosen, token) => {
                let index = batch.index();
                let events = batch.into_events().into_iter().zip(chosen);
                let events: Vec<_> = events.filter(|(_, chosen)| *chosen).map(|(event, _)| event).collect();
                match token {
                    Some(token) if events.is_empty() => Incoming::Bookmark { index: Some(index), token },
                    None if events.is_empty() => Incoming::Progress(index),
                    token => Incoming::Batch { batch: Batch::new(index, events), token },
                }
            }
        }
    }
}

/// Cuts a text at these offsets, which may repeat or be beyond the end.
fn cut<'a>(bytes: &'a [u8], places: &[usize]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = places.iter().map(|place| place % (bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

/// Generates input that resembles frames: pieces of them, and arbitrary bytes.
fn nearly_frames() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        "{}",
        "\n",
        "\r\n",
        "{\"Index\":",
        "7",
        "}",
        ",\"Events\":[",
        "]",
        "null",
        ",",
        "{",
        "\"Topic\":",
        "\"Job\"",
        "\"",
        "[",
        ",\"Type\":\"x\"",
        ",\"Key\":\"web\"",
        ",\"Payload\":",
        ",\"Token\":\"",
        "{\"Token\":",
        "\u{feff}",
        "00000000000000ab-7-1",
        "\\u00",
        "1e999",
        "{\"Index\":7,\"Events\":[{\"Topic\":\"Job\",\"Type\":\"x\",\"Key\":\"\",\"Payload\":",
    ]);
    let piece = prop_oneof![
        9 => pieces.prop_map(|piece| piece.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

/// Returns the frames in a form that can be compared. A raw payload has no equality, but its text does.
fn comparable(frames: Vec<Result<Incoming<Box<RawValue>>, DecodeError>>) -> Vec<String> {
    frames.into_iter().map(|frame| format!("{frame:?}")).collect()
}

proptest! {
    #[test]
    fn sent_frames_are_decoded_however_they_are_split(
        sent in prop::collection::vec(sent(), 0..8),
        places in prop::collection::vec(any::<usize>(), 0..20),
        last_newline in any::<bool>(),
        byte_order_mark in any::<bool>(),
    ) {
        let frames: Vec<Frame> = sent.iter().map(Sent::encode).collect();
        for frame in &frames {
            prop_assert_eq!(frame.iter().position(|byte| *byte == b'\n'), Some(frame.len() - 1));
        }
        let mut bytes: Vec<u8> = frames.iter().flat_map(|frame| frame.iter().copied()).collect();
        if !last_newline {
            bytes.pop();
        }
        if byte_order_mark {
            bytes.splice(0..0, "\u{feff}".bytes());
        }
        let expected: Vec<_> = sent.into_iter().map(|sent| Ok(sent.expected())).collect();
        prop_assert_eq!(&decode_with(Decoder::new(), &cut(&bytes, &places)), &expected);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(&decode_with(Decoder::new(), &single), &expected);
        let read = FrameReader::<_, String>::new(BufReader::with_capacity(3, &*bytes));
        prop_assert_eq!(&read.map(|frame| Ok(frame.unwrap())).collect::<Vec<_>>(), &expected);
    }

    #[test]
    fn any_bytes_are_frames_and_errors_and_the_same_however_they_are_split(
        bytes in nearly_frames(),
        places in prop::collection::vec(any::<usize>(), 0..20),
        limit in prop_oneof![Just(usize::MAX), 0..60_usize],
    ) {
        let whole = comparable(decode_with(Decoder::new().with_limit(limit), &[&bytes]));
        let pieces = comparable(decode_with(Decoder::new().with_limit(limit), &cut(&bytes, &places)));
        prop_assert_eq!(&whole, &pieces);
        let decoder = Decoder::new().with_limit(limit);
        let read = FrameReader::with_decoder(BufReader::with_capacity(2, &*bytes), decoder).map(|frame| {
            frame.map_err(|error| match error {
                ReadError::Decode(error) => error,
                error @ ReadError::Io(_) => unreachable!("{error}"),
            })
        });
        prop_assert_eq!(&whole, &comparable(read.collect()));
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
        prop_assert!(whole.len() <= lines);
        decode_with::<serde_json::Value>(Decoder::new(), &[&bytes]);
    }
}
