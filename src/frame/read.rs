//! Reads frames from a buffered reader.
//! The host opens the reader, and decides whether to reopen one that failed.
//!
//! Invariants: after an error of the reader, other than that no data has arrived, or after a panic of a payload, the
//! iterator yields nothing more.
//!
//! Callers: hosts.

use std::error::Error;
use std::fmt;
use std::io::{self, BufRead, ErrorKind};
use std::iter::FusedIterator;

use serde::de::DeserializeOwned;

use super::decode::Decoder;
use super::error::DecodeError;
use super::line::Incoming;

/// An iterator over the frames of a reader, until the reader ends.
///
/// A line that is not a frame is an error between two frames. An error of the reader is the last item, unless it only
/// reports that no data has arrived yet (`WouldBlock`, `TimedOut`). Then the next call continues where this one
/// stopped. A panic in the payload's `Deserialize` reaches the caller and ends the iterator.
///
/// ```
/// use event_broker::{Batch, Event, Frame, FrameReader};
///
/// let batch = Batch::new(7, vec![Event::new("Job", "JobRegistered", "web", 1_u32)]);
/// let frames = [Frame::heartbeat(), Frame::encode(&batch)?, Frame::progress(9)];
/// let recorded: String = frames.iter().map(Frame::as_str).collect();
///
/// let mut replayed = Vec::new();
/// for frame in FrameReader::<_, u32>::new(recorded.as_bytes()) {
///     replayed.extend(frame?.into_batch()); // … to be published, under the same indexes
/// }
/// assert_eq!(replayed, [batch, Batch::new(9, [])]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct FrameReader<R, P> {
    reader: R,
    decoder: Decoder<P>,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Reading,
    Ended,
}

impl<R: BufRead, P: DeserializeOwned> FrameReader<R, P> {
    /// Creates a frame reader with a [`Decoder::new`].
    pub const fn new(reader: R) -> Self {
        Self::with_decoder(reader, Decoder::new())
    }

    /// Creates a frame reader with the caller's decoder, such as one with another limit.
    pub const fn with_decoder(reader: R, decoder: Decoder<P>) -> Self {
        Self { reader, decoder, state: State::Reading }
    }

    /// Returns the reader. The bytes of an incomplete line are lost.
    pub fn into_inner(self) -> R {
        self.reader
    }

    fn read(&mut self) -> Result<Option<Incoming<P>>, ReadError> {
        loop {
            let buffer = match self.reader.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => {
                    if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) {
                        self.state = State::Ended;
                    }
                    return Err(ReadError::Io(error));
                }
            };
            if buffer.is_empty() {
                self.state = State::Ended;
                return Ok(self.decoder.finish().transpose()?);
            }
            // If a payload panics, its line stays in the reader, and every further read would panic again.
            self.state = State::Ended;
            let mut input = buffer;
            let frame = self.decoder.decode(&mut input);
            self.state = State::Reading;
            let used = buffer.len() - input.len();
            self.reader.consume(used);
            if let Some(frame) = frame {
                return Ok(Some(frame?));
            }
        }
    }
}

impl<R: BufRead, P: DeserializeOwned> Iterator for FrameReader<R, P> {
    type Item = Result<Incoming<P>, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.state {
            State::Reading => self.read().transpose(),
            State::Ended => None,
        }
    }
}

impl<R: BufRead, P: DeserializeOwned> FusedIterator for FrameReader<R, P> {}

impl<R, P> fmt::Debug for FrameReader<R, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameReader")
            .field("decoder", &self.decoder)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// Why a read returned no frame.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadError {
    /// The reader failed. This is the last item, unless the reader was only not ready.
    Io(io::Error),
    /// A line is not a frame. Reading continues after it.
    Decode(DecodeError),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "cannot read frames: {error}"),
            Self::Decode(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl Error for ReadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            // The message of this error is that of the decode error, so the decode error is not a source.
            Self::Decode(_) => None,
        }
    }
}

impl From<DecodeError> for ReadError {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}
