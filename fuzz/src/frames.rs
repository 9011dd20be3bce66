//! Frames (semantics 2, 24 to 26, G11): frames that were sent are decoded to the same batches however they are split,
//! and arbitrary bytes decode to the same frames and errors however they are split, within the limit.
//!
//! The first byte chooses between the two.

mod foreign;
mod sent;

use event_broker::{DecodeError, Decoder, Incoming};

use super::choices::Choices;

/// Sends or receives these bytes.
pub fn run(data: &[u8]) {
    let mut choices = Choices::new(data);
    if choices.flag() { sent::run(&mut choices) } else { foreign::run(&mut choices) }
}

/// Everything that these pieces decode to, the last line included.
fn decode<P: serde::de::DeserializeOwned>(pieces: &[&[u8]], limit: usize) -> Vec<Result<Incoming<P>, DecodeError>> {
    let mut decoder = Decoder::<P>::new().with_limit(limit);
    let mut frames = Vec::new();
    for mut piece in pieces.iter().copied() {
        // Reporting an error is slow, and single bytes are many.
        let is_looked_at = piece.len() > 1;
        while let Some(frame) = decoder.decode(&mut piece) {
            frames.push(frame);
        }
        assert!(piece.is_empty(), "what is not decoded is kept");
        assert!(!is_looked_at || held(&decoder) <= limit, "{decoder:?}");
    }
    frames.extend(decoder.finish());
    assert!(decoder.finish().is_none(), "the last line is taken once");
    frames
}

/// How much of a line is buffered, which only the debug output shows.
fn held<P>(decoder: &Decoder<P>) -> usize {
    let text = format!("{decoder:?}");
    let (_, number) = text.split_once("partial_bytes: ").expect("it is shown");
    number.split(',').next().and_then(|number| number.parse().ok()).expect("a number")
}

/// Cuts bytes into pieces of chosen lengths; empty ones too.
fn cut<'a>(mut bytes: &'a [u8], choices: &mut Choices<'_>) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    while !choices.is_empty() && !bytes.is_empty() {
        let (piece, rest) = bytes.split_at(choices.below(24).min(bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces.push(bytes);
    pieces
}
