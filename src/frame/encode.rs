//! Encodes one event as JSON, and assembles the line of several.
//! What was encoded before is stored in `cache`.
//!
//! Invariants: the JSON of an event has no line break, so a line has only the newline at its end.
//!
//! Callers: `cache`; hosts through [`Frame::encode`]; `broker` for the encoded length of events.

use std::io::{self, Write};

use serde::Serialize;

use super::bytes::Frame;
use super::error::EncodeError;
use crate::types::event::{Batch, Event};
use crate::types::token::Token;

impl Frame {
    /// Encodes a batch without a broker, for example to record it. The events keep the index that they carry. A batch
    /// without events becomes [progress](Self::progress).
    ///
    /// Numbers in payloads that JSON lacks, NaN and the infinities, become `null`.
    ///
    /// # Errors
    ///
    /// Returns an error that names the event if its payload cannot be encoded as JSON.
    ///
    /// # Panics
    ///
    /// Panics if the payload's `Serialize` does.
    pub fn encode<P: Serialize>(batch: &Batch<P>) -> Result<Self, EncodeError> {
        if batch.events().is_empty() {
            return Ok(Self::progress(batch.index()));
        }
        let pieces = batch.events().iter().map(encode_event).collect::<Result<Vec<_>, _>>()?;
        Ok(Self::batch(assemble(batch.index(), &pieces, None)))
    }
}

/// Returns the JSON of one event, without a line break.
pub(super) fn encode_event<P: Serialize>(event: &Event<P>) -> Result<String, EncodeError> {
    let text = serde_json::to_string(event).map_err(|error| EncodeError {
        topic: event.topic().clone(),
        key: event.key().clone(),
        index: event.index(),
        message: error.to_string(),
    })?;
    // Strings escape their line breaks, so these are white space between the tokens of a raw payload.
    Ok(if has_line_break(&text) { text.replace(['\n', '\r'], " ") } else { text })
}

/// Whether a text has a line break. Compilers turn the fold into vector instructions, which `str::contains` has none of:
/// of a payload of 2 KiB, a string, this was 40 % of the instructions of its first frame.
pub(super) fn has_line_break(text: &str) -> bool {
    let found = |bytes: &[u8]| {
        bytes.iter().fold(0, |found, byte| found | u8::from(*byte == b'\n') | u8::from(*byte == b'\r')) > 0
    };
    let (chunks, rest) = text.as_bytes().as_chunks::<64>();
    chunks.iter().any(|chunk| found(chunk)) || found(rest)
}

/// Returns the length of the JSON of one event, or `None` if its payload cannot be encoded. Does not allocate.
pub(crate) fn encoded_len<P: Serialize>(event: &Event<P>) -> Option<u64> {
    struct Count(u64);

    impl Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len() as u64;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let mut count = Count(0);
    serde_json::to_writer(&mut count, event).ok().map(|()| count.0)
}

pub(super) fn head(index: u64) -> String {
    format!("{{\"Index\":{index},\"Events\":[")
}

/// Returns the line of these events, in an allocation of exactly its size.
pub(super) fn assemble(index: u64, pieces: &[impl AsRef<str>], token: Option<Token>) -> String {
    let head = head(index);
    let tail = token.map_or_else(|| String::from("]}\n"), |token| format!("],\"Token\":\"{token}\"}}\n"));
    let body: usize = pieces.iter().map(|piece| piece.as_ref().len() + 1).sum();
    let mut line = String::with_capacity(head.len() + body.saturating_sub(1) + tail.len());
    line.push_str(&head);
    for (ordinal, piece) in pieces.iter().enumerate() {
        if ordinal > 0 {
            line.push(',');
        }
        line.push_str(piece.as_ref());
    }
    line.push_str(&tail);
    line
}
