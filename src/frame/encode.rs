//! Events to bytes: the JSON of one event, and the line of several.
//! What has been encoded before is not kept here, but in `cache`.

use std::io::{self, Write};

use serde::Serialize;

use super::bytes::Frame;
use super::error::EncodeError;
use crate::types::event::{Batch, Event};
use crate::types::token::Token;

impl Frame {
    /// The frame of a batch that no broker carries, such as one to record. The events keep the index they unvisited; a batch
    /// without events is [progress](Self::progress).
    ///
    /// Numbers in payloads that JSON does not have, NaN and the infinities, become `null`.
    ///
    /// # Errors
    ///
    /// If the payload of an event refuses to be JSON; the error names the event.
    ///
    /// # Panics
    ///
    /// If the payload's `Serialize` does.
    pub fn encode<P: Serialize>(batch: &Batch<P>) -> Result<Self, EncodeError> {
        if batch.events().is_empty() {
            return Ok(Self::progress(batch.index()));
        }
        let pieces = batch.events().iter().map(encode_event).collect::<Result<Vec<_>, _>>()?;
        Ok(Self::batch(assemble(batch.index(), &pieces, None)))
    }
}

/// The JSON of one event, without a line break.
pub(super) fn encode_event<P: Serialize>(event: &Event<P>) -> Result<String, EncodeError> {
    let text = serde_json::to_string(event).map_err(|error| EncodeError {
        topic: event.topic().clone(),
        key: event.key().clone(),
        index: event.index(),
        message: error.to_string(),
    })?;
    // Within strings line breaks are escaped, so these are white space between the tokens of a raw payload.
    Ok(if text.contains(['\n', '\r']) { text.replace(['\n', '\r'], " ") } else { text })
}

/// Returns how long the JSON of one event is, if its payload is JSON. Nothing is allocated for it.
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

/// The line of these events, in memory of exactly its size.
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
