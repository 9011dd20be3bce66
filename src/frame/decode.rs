//! Decodes frames: splits bytes that come in pieces into lines, and locates the errors of a line.
//! What a line means is decided in `line`. Bytes are read from a source in `read` or by the host.
//!
//! Invariants:
//! - `partial` holds no newline and never more than `limit` bytes.
//! - A line is consumed before its payload is deserialized, so that a panic of the payload leaves nothing of it behind.
//!
//! Callers: `read`, and hosts that read by themselves.

use std::fmt;
use std::io::BufRead;
use std::marker::PhantomData;
use std::mem;

use serde::de::DeserializeOwned;

use super::error::{DecodeError, DecodeErrorKind, Fault};
use super::line::{self, Incoming, WhichLine};

/// Decodes frames from bytes that come in pieces of any size.
///
/// A line that is not a frame is an error, and decoding continues with the next line. Blank lines are skipped, and so
/// are a carriage return before the newline and a byte order mark at the very start of the stream. No input makes the
/// decoder panic.
///
/// [`Incoming`] documents what a line means. An event on a line of its own is not a frame, and is refused as
/// [`DecodeErrorKind::BareEvent`]. As progress it would be lost silently.
///
/// The decoder buffers the part of a line whose newline has not arrived, which never exceeds the
/// [limit](Self::with_limit). A decoded frame takes a small multiple of the length of its line.
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
    /// The line so far, if its newline has not arrived. It holds no newline, so no byte is searched twice.
    partial: Vec<u8>,
    state: State,
    /// The number of the line that is incomplete, or of the next one.
    line: u64,
    limit: usize,
    payload: PhantomData<fn() -> P>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Reading,
    /// The line was too long and has been refused. The rest of it is skipped.
    Skipping,
}

impl<P: DeserializeOwned> Decoder<P> {
    /// The default limit of a line, 64 MiB. That is 16,000 events of 4 KiB: more than a commit should hold, and small
    /// compared with a server's memory.
    pub const DEFAULT_LIMIT: usize = 64 << 20;

    /// Creates a decoder at the first line, with the [default limit](Self::DEFAULT_LIMIT).
    pub const fn new() -> Self {
        Self { partial: Vec::new(), state: State::Reading, line: 1, limit: Self::DEFAULT_LIMIT, payload: PhantomData }
    }

    /// Sets the maximum length of a line, in bytes, without its newline, but with a byte order mark before it. A longer
    /// line is refused once, and skipped.
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

    /// Decodes the next frame of the input and moves the input past it. Returns `None` if the input is used up. Then
    /// call again with the bytes that follow this input.
    ///
    /// # Errors
    ///
    /// Returns an error if a line is not a frame. The line has then been consumed, and decoding continues after it.
    ///
    /// # Panics
    ///
    /// Panics only if the payload's `Deserialize` panics. The line has then been consumed as well.
    pub fn decode(&mut self, input: &mut &[u8]) -> Option<Result<Incoming<P>, DecodeError>> {
        while let Some((line, rest)) = split_line(input) {
            *input = rest;
            if let Some(frame) = self.end_line(line) {
                return Some(frame);
            }
        }
        self.extend_partial(mem::take(input)).err().map(Err)
    }

    /// Decodes the last line if it has no newline. Returns `None` if there is no such line, or only a blank line or the
    /// rest of a refused one.
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
    /// Returns an error if it is not a frame, for example because the stream broke off within one.
    pub fn finish(&mut self) -> Option<Result<Incoming<P>, DecodeError>> {
        match self.state {
            State::Reading if self.partial.is_empty() => None,
            _ => self.end_line(&[]),
        }
    }

    #[cfg(all(test, not(broker_loom)))]
    pub(super) fn capacity(&self) -> usize {
        self.partial.capacity()
    }

    /// Decodes the incomplete line, of which `rest` is the last part. Returns `None` if the line is blank or was
    /// refused before.
    fn end_line(&mut self, rest: &[u8]) -> Option<Result<Incoming<P>, DecodeError>> {
        let in_place = self.partial.is_empty() && rest.len() <= self.limit;
        let extended = if in_place { Ok(()) } else { self.extend_partial(rest) };
        let number = self.line;
        self.line += 1;
        match (extended, mem::replace(&mut self.state, State::Reading)) {
            (Err(error), _) => Some(Err(error)),
            (Ok(()), State::Skipping) => None,
            (Ok(()), State::Reading) => {
                // Taken out, so that a payload that panics leaves nothing of its line behind.
                let mut partial = mem::take(&mut self.partial);
                let which = if number == 1 { WhichLine::First } else { WhichLine::Later };
                let frame = line::read(if in_place { rest } else { &partial }, which);
                partial.clear();
                partial.shrink_to(RETAINED_CAPACITY);
                self.partial = partial;
                let error = |Fault { column, kind }| DecodeError { line: number, column, kind };
                frame.map(|frame| frame.map_err(error))
            }
        }
    }

    /// Appends to the incomplete line, or refuses the line if it becomes too long.
    fn extend_partial(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
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
            // The capacity doubles, so that a line that comes in single bytes takes linear time. It does not exceed the
            // limit.
            let space = needed.max(self.partial.capacity().saturating_mul(2)).min(self.limit);
            self.partial.reserve_exact(space - self.partial.len());
        }
        self.partial.extend_from_slice(bytes);
        Ok(())
    }
}

/// The capacity for split lines that is kept from one line to the next, 64 KiB. Without it one huge line would stay in
/// memory as long as its stream.
const RETAINED_CAPACITY: usize = 64 << 10;

/// Returns the bytes before the first newline and those after it.
fn split_line<'a>(bytes: &&'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let mut rest = *bytes;
    // The standard library offers its fast search for a byte only by this function. Reading a slice does not fail.
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
