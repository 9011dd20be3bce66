//! Tests of the codec as a whole: events to frames, frames in any split, and back.
//! Frames of a subscription are tested in `tests/frames`.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails may panic")]

mod decoding;
mod encoding;
mod properties;

use crate::frame::{Account, DecodeError, Decoder, Incoming};
use crate::types::event::Event;
use crate::types::token::{Epoch, Place, Token};
use serde::de::DeserializeOwned;

/// An account that refuses nothing.
#[derive(Debug)]
struct Free;

impl Account for Free {
    fn charge(&self, _: u64) -> bool {
        true
    }

    fn refund(&self, _: u64) {}
}

fn event<P>(key: &str, payload: P) -> Event<P> {
    let mut event = Event::new("Job", "JobRegistered", key, payload);
    event.stamp(7);
    event
}

fn token(index: u64) -> Token {
    Token::new(Epoch::from(0xab), Place { index, count: 1 })
}

/// Decodes these pieces, the last line included.
fn decode_with<P: DeserializeOwned>(
    mut decoder: Decoder<P>,
    pieces: &[&[u8]],
) -> Vec<Result<Incoming<P>, DecodeError>> {
    let mut frames = Vec::new();
    for mut piece in pieces.iter().copied() {
        while let Some(frame) = decoder.decode(&mut piece) {
            frames.push(frame);
        }
        assert!(piece.is_empty(), "what is not decoded is kept");
    }
    frames.extend(decoder.finish());
    frames
}

fn decode<P: DeserializeOwned>(input: &str) -> Vec<Result<Incoming<P>, DecodeError>> {
    decode_with(Decoder::new(), &[input.as_bytes()])
}
