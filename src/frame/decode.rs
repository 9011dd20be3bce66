//! Bytes to lines, however they were split, and the error of a line that is no frame.
//! What a line means is decided elsewhere, and nothing here reads from anywhere.

use std::fmt;
use std::io::BufRead;
use std::marker::PhantomData;
use std::mem;

use serde::de::DeserializeOwned;

use super::error::{DecodeError, DecodeErrorKind, Fault};
use super::line::{self, At, Incoming};

/// Reads frames out of bytes that come in any split.
///
/// A line that is no frame is an error, and the next line is decoded as if it had not been there. Blank lines are
/// passed over, and so are a carriage return before the newline and a byte order mark at the very start of the stream.
/// No input makes it panic.
///
/// What a line means is said at [`Incoming`]. An event on a line of its own is no frame, and is refused as
/// [`DecodeErrorKind::BareEvent`]: passed for progress, it would be lost without a word.
///
/// Beside the input it holds the part of a line whose newline has not come, and that never grows beyond the
/// [limit](Self::with_limit). What is decoded takes a small multiple of its line.
///
/// ```
/// use event_broker::{Decoder, Incoming};
///
/// let mut decoder = Decoder::<u32>::new();
/// let mut frames = Vec::new();
/// for mut piece in [&b"{\"Ind"[..], b"ex\":7}\r\n\n{}\nwh", b"at?\n{}\n"] {
///     while let Some(frame) = decoder.decode(&mut piece) {
///         frames.push(frame.map_err(|error| error.to_string()));
///     }
/// }
/// assert_eq!(frames, [
///     Ok(Incoming::Progress(7)),
///     Ok(Incoming::Heartbeat),
///     Err("line 4, column 1: malformed JSON: expected value".into()),
///     Ok(Incoming::Heartbeat),
/// ]);
/// ```
pub struct Decoder<P> {
    /// The line so far, if its newline has not come. It holds no newline, so no byte is searched twice.
    partial: Vec<u8>,
    state: State,
    /// The number of the line that comes next or is under way.
    line: u64,
    limit: usize,
    payload: PhantomData<fn() -> P>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Reading,
    /// The line was too long and has been refused; its rest is passed over.
    Skipping,
}

impl<P: DeserializeOwned> Decoder<P> {
    /// The longest line if nothing else is set, 64 MiB: 16,000 events of 4 KiB, more than a commit should hold, and
    /// still little beside the memory of a server.
    pub const DEFAULT_LIMIT: usize = 64 << 20;

    /// A decoder at the first line, with the [default limit](Self::DEFAULT_LIMIT).
    pub const fn new() -> Self {
        Self { partial: Vec::new(), state: State::Reading, line: 1, limit: Self::DEFAULT_LIMIT, payload: PhantomData }
    }

    /// Sets how many bytes a line may have, without its newline, but with a byte order mark before it. A longer one is
    /// refused, once, and passed over.
    ///
    /// ```
    /// use event_broker::{DecodeErrorKind, Decoder, Incoming};
    ///
    /// let mut decoder = Decoder::<u32>::new().with_limit(11);
    /// let mut input = &b"{\"Index\":10}\n{\"Index\":9}\n"[..];
    /// let error = decoder.decode(&mut input).unwrap().unwrap_err();
    /// assert_eq!(error.kind, DecodeErrorKind::TooLong { limit: 11 });
    /// assert_eq!(decoder.decode(&mut input), Some(Ok(Incoming::Progress(9))));
    /// ```
    #[must_use]
    pub const fn with_limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// Takes the next frame out of the input and moves the input past it. `None` says that the input is used up: call
    /// again with what comes next, starting where this input ended.
    ///
    /// # Errors
    ///
    /// If a line is not a frame. It has been passed then, and decoding goes on behind it.
    ///
    /// # Panics
    ///
    /// Only if the payload's `Deserialize` does; the line has been passed then too.
    pub fn decode(&mut self, input: &mut &[u8]) -> Option<Result<Incoming<P>, DecodeError>> {
        while let Some((line, rest)) = split_line(input) {
            *input = rest;
            if let Some(frame) = self.end_line(line) {
                return Some(frame);
            }
        }
        self.keep(mem::take(input)).err().map(Err)
    }

    /// Takes what has come of a line without newline for the last line. `None` if nothing has, or nothing that counts.
    ///
    /// ```
    /// use event_broker::{Decoder, Incoming};
    ///
    /// let mut decoder = Decoder::<u32>::new();
    /// assert_eq!(decoder.decode(&mut &b"{\"Index\":7}"[..]), None);
    /// assert_eq!(decoder.finish(), Some(Ok(Incoming::Progress(7))));
    /// assert_eq!(decoder.finish(), None);
    /// ```
    ///
    /// # Errors
    ///
    /// If it is not a frame, for example because the stream broke off within one.
    pub fn finish(&mut self) -> Option<Result<Incoming<P>, DecodeError>> {
        match self.state {
            State::Reading if self.partial.is_empty() => None,
            _ => self.end_line(&[]),
        }
    }

    #[cfg(all(test, not(broker_loom)))]
    pub(super) fn space(&self) -> usize {
        self.partial.capacity()
    }

    /// Reads the line under way, of which this is the rest. `None` if it is blank or was refused before.
    fn end_line(&mut self, rest: &[u8]) -> Option<Result<Incoming<P>, DecodeError>> {
        let in_place = self.partial.is_empty() && rest.len() <= self.limit;
        let kept = if in_place { Ok(()) } else { self.keep(rest) };
        let number = self.line;
        self.line += 1;
        match (kept, mem::replace(&mut self.state, State::Reading)) {
            (Err(error), _) => Some(Err(error)),
            (Ok(()), State::Skipping) => None,
            (Ok(()), State::Reading) => {
                // Taken out, so that a payload that panics leaves nothing of its line behind.
                let mut partial = mem::take(&mut self.partial);
                let at = if number == 1 { At::Start } else { At::Behind };
                let frame = line::read(if in_place { rest } else { &partial }, at);
                partial.clear();
                partial.shrink_to(KEPT_SPACE);
                self.partial = partial;
                let error = |Fault { column, kind }| DecodeError { line: number, column, kind };
                frame.map(|frame| frame.map_err(error))
            }
        }
    }

    /// Adds to the line under way, or refuses it if that is too much.
    fn keep(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        if matches!(self.state, State::Skipping) {
            return Ok(());
        }
        let needed = self.partial.len() + bytes.len();
        if needed > self.limit {
            self.partial = Vec::new();
            self.state = State::Skipping;
            let kind = DecodeErrorKind::TooLong { limit: self.limit };
            return Err(DecodeError { line: self.line, column: None, kind });
        }
        if needed > self.partial.capacity() {
            // Twice the space, so that a line in single bytes costs no more than linear time, but not beyond the limit.
            let space = needed.max(self.partial.capacity().saturating_mul(2)).min(self.limit);
            self.partial.reserve_exact(space - self.partial.len());
        }
        self.partial.extend_from_slice(bytes);
        Ok(())
    }
}

/// Space for split lines that is kept from one line to the next, 64 KiB: one huge line must not stay in memory for as
/// long as its stream.
const KEPT_SPACE: usize = 64 << 10;

/// The bytes before the first newline and those after it.
fn split_line<'a>(bytes: &&'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let mut rest = *bytes;
    // The standard library's fast search for a byte has no other door; reading a slice does not fail.
    let passed = rest.skip_until(b'\n').ok()?;
    let line = bytes.get(..passed)?.strip_suffix(b"\n")?;
    Some((line, rest))
}

impl<P: DeserializeOwned> Default for Decoder<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P> fmt::Debug for Decoder<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("state", &self.state)
            .field("line", &self.line)
            .field("partial_bytes", &self.partial.len())
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}
