//! The lines of a stream that a reader accepts, each as it stands there and as what it means.
//! What a line means is decided in `frame::line`, and what is replaced in it in `normal`.

use serde_json::Value;

use crate::frame::{DecodeError, Decoder, Incoming};

/// One frame of a stream.
pub(super) struct Line {
    /// The number of its line, counted from 1. Blank lines count.
    pub(super) number: u64,
    /// Its text, without the line end.
    pub(super) text: String,
    /// What a reader makes of it.
    pub(super) frame: Incoming<Value>,
}

impl Line {
    /// Returns whether it has events.
    pub(super) fn has_events(&self) -> bool {
        matches!(self.frame, Incoming::Batch { .. })
    }

    /// Returns the text as JSON.
    pub(super) fn value(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }
}

/// Reads the lines of a stream as a reader of frames does, which also skips blank ones.
pub(super) fn read(stream: &[u8]) -> Result<Vec<Line>, DecodeError> {
    let mut decoder = Decoder::<Value>::new();
    let mut lines = Vec::new();
    for (number, piece) in (1..).zip(stream.split_inclusive(|byte| *byte == b'\n')) {
        let mut input = piece;
        // Only the last piece may lack its newline.
        let frame = decoder.decode(&mut input).or_else(|| if piece.ends_with(b"\n") { None } else { decoder.finish() });
        if let Some(frame) = frame.transpose()? {
            let text = String::from_utf8_lossy(piece);
            let text = if number == 1 { text.trim_start_matches('\u{feff}') } else { &text };
            lines.push(Line { number, text: text.trim_end_matches(['\r', '\n']).to_owned(), frame });
        }
    }
    Ok(lines)
}
