//! Defines the resume token, which is a reader's place in a history as text, and the epoch that it belongs to.
//! How a broker finds that place is decided in `core::start`.
//!
//! Invariants:
//! - places are ordered as their batches are;
//! - no batch is published at the last count of an index, so that there is a place after all batches of any index;
//! - a token's text parses to the same token.
//!
//! Callers: `log`, `frame`, `core`, `subscription`, `broker` and `frames`, and users of the crate.

use std::error::Error;
use std::fmt;
use std::str::FromStr;
use std::time::{Instant, SystemTime};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Reads random bytes from the system, where it offers them as a file.
#[cfg(unix)]
fn system_random() -> Option<[u8; 16]> {
    use std::io::Read as _;

    let mut bytes = [0; 16];
    let mut source = std::fs::File::open("/dev/urandom").ok()?;
    source.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

/// Returns nothing: systems other than Unix do not fork processes.
#[cfg(not(unix))]
fn system_random() -> Option<[u8; 16]> {
    None
}

/// The name of one history of indexes.
///
/// Replicas of one history share an epoch, which the host sets. An index of another epoch has another meaning, so a
/// token of another epoch starts at the oldest batch.
///
/// ```
/// use event_broker::Epoch;
///
/// let epoch = Epoch::from(7);
/// assert_eq!(epoch.to_string(), "0000000000000007");
/// assert_eq!("0000000000000007".parse(), Ok(epoch));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(u64);

impl Epoch {
    /// Draws an epoch that no other broker has, with the certainty of 64 random bits. This includes brokers that are
    /// made after a fork of the same process.
    ///
    /// The epoch is a hash of the process's id, the time and a random key. Where the standard library reaches the
    /// system's random source by a file (`/dev/urandom`), bytes drawn from it are hashed as well.
    pub fn random() -> Self {
        // A fork copies the process's random key, so that it is the same on both sides. The rest is not.
        let drawn = (system_random(), std::process::id(), SystemTime::now(), Instant::now());
        Self(ahash::RandomState::new().hash_one(drawn))
    }

    /// Returns the epoch as a number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl From<u64> for Epoch {
    fn from(epoch: u64) -> Self {
        Self(epoch)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Epoch {
    type Err = ParseTokenError;

    fn from_str(text: &str) -> Result<Self, ParseTokenError> {
        let hex = text.len() == 16 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        match u64::from_str_radix(text, 16) {
            Ok(epoch) if hex => Ok(Self(epoch)),
            _ => Err(ParseTokenError { part: "epoch", expected: "16 lower-case hexadecimal digits" }),
        }
    }
}

/// A place in a history: `count` batches of the commit `index`, and all batches of lower indexes, are before it.
///
/// Several batches may have the same index, so an index alone does not determine which of them a reader has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub(crate) index: u64,
    pub(crate) count: u32,
}

impl Place {
    /// Returns the place before the first batch of `index`.
    pub(crate) const fn before(index: u64) -> Self {
        Self { index, count: 0 }
    }

    /// Returns the place after the batch at this place. No batch is published at the last place of an index: see
    /// [`is_last`](Self::is_last).
    pub(crate) const fn next(self) -> Self {
        debug_assert!(!self.is_last(), "no batch has the last place of an index");
        Self { index: self.index, count: self.count.saturating_add(1) }
    }

    /// Returns the highest index that a batch before this place can have.
    pub(crate) const fn last_index(self) -> u64 {
        if self.count == 0 { self.index.saturating_sub(1) } else { self.index }
    }

    /// Returns whether the count is used up, so that the index can have no further batch.
    pub(crate) const fn is_last(self) -> bool {
        self.count == u32::MAX
    }

    /// Returns the place after all batches of `index`, however many there are.
    pub(crate) const fn after_all_of(index: u64) -> Self {
        match index.checked_add(1) {
            Some(next) => Self::before(next),
            None => Self { index, count: u32::MAX },
        }
    }

    /// Returns this place in a history where an index has at most one batch: a reader of one batch of an index has read
    /// all of it.
    pub(crate) const fn in_rising_history(self) -> Self {
        if self.count == 0 { self } else { Self::after_all_of(self.index) }
    }
}

/// The place of a reader: everything before it has been read.
///
/// A reader that subscribes [`Start::After`](crate::Start::After) its last token neither repeats nor misses a batch, in
/// this process or on another replica of the same history. Treat the text as opaque. It holds an epoch, an index, and a
/// place within the index.
///
/// ```
/// use event_broker::{Broker, Event, Request, Start, Token};
///
/// let broker = Broker::<()>::new();
/// let mut reader = broker.subscribe(Request::new().start(Start::Oldest))?;
/// broker.publish(7, [Event::new("Job", "JobRegistered", "web", ())])?;
/// broker.publish(7, [Event::new("Job", "JobRegistered", "db", ())])?;
/// let text = reader.recv()?.token().to_string();
///
/// let token: Token = text.parse()?;
/// let mut resumed = broker.subscribe(Request::new().start(Start::After(token)))?;
/// assert_eq!(resumed.recv()?.events().next().unwrap().key(), "db");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    epoch: Epoch,
    place: Place,
}

impl Token {
    pub(crate) const fn new(epoch: Epoch, place: Place) -> Self {
        Self { epoch, place }
    }

    pub(crate) const fn place(self) -> Place {
        self.place
    }

    /// Returns the epoch that the token belongs to.
    pub const fn epoch(self) -> Epoch {
        self.epoch
    }

    /// Returns the index of the reader's place. Everything below it has been read.
    pub const fn index(self) -> u64 {
        self.place.index
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.epoch, self.place.index, self.place.count)
    }
}

impl FromStr for Token {
    type Err = ParseTokenError;

    fn from_str(text: &str) -> Result<Self, ParseTokenError> {
        fn number<T: FromStr>(text: Option<&str>) -> Option<T> {
            // `parse` accepts a leading plus sign, which a token never has.
            text.filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()
        }
        let mut parts = text.splitn(3, '-');
        let epoch = parts.next().unwrap_or_default().parse()?;
        let index = number(parts.next()).ok_or(ParseTokenError { part: "index", expected: "a 64-bit number" })?;
        let count = number(parts.next()).ok_or(ParseTokenError { part: "place", expected: "a 32-bit number" })?;
        Ok(Self { epoch, place: Place { index, count } })
    }
}

impl Serialize for Token {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Text that is not a token: which part is malformed, and what was expected there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseTokenError {
    part: &'static str,
    expected: &'static str,
}

impl ParseTokenError {
    /// Returns the malformed part: `epoch`, `index` or `place`.
    pub fn part(&self) -> &str {
        self.part
    }
}

impl fmt::Display for ParseTokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed {} of a resume token, expected {}", self.part, self.expected)
    }
}

impl Error for ParseTokenError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_as_it_was_written() {
        for place in [Place::before(0), Place { index: u64::MAX, count: u32::MAX }, Place { index: 7, count: 2 }] {
            let token = Token::new(Epoch(0xfe), place);
            assert_eq!(token.to_string().parse(), Ok(token));
        }
    }

    #[test]
    #[expect(clippy::unwrap_used, reason = "what is no token must be refused")]
    fn malformed_tokens_name_the_malformed_part() {
        for (text, part) in [
            ("", "epoch"),
            ("7-7-7", "epoch"),
            ("00000000000000FE-7-7", "epoch"),
            ("+000000000000007-7-7", "epoch"),
            ("0000000000000007", "index"),
            ("0000000000000007--1", "index"),
            ("0000000000000007-+1-1", "index"),
            ("0000000000000007-18446744073709551616-1", "index"),
            ("0000000000000007-1-", "place"),
            ("0000000000000007-1-4294967296", "place"),
            ("0000000000000007-1-1-1", "place"),
        ] {
            assert_eq!(text.parse::<Token>().unwrap_err().part(), part, "{text}");
        }
    }

    #[test]
    fn places_follow_each_other_within_an_index_and_behind_it() {
        let third = Place { index: 7, count: 2 };
        assert_eq!(third.next(), Place { index: 7, count: 3 });
        assert_eq!([Place::before(0), Place::before(7), third].map(Place::last_index), [0, 6, 7]);
        assert_eq!([Place::before(7), third].map(Place::in_rising_history), [Place::before(7), Place::before(8)]);
        // The last index, too, has a place after all of its batches.
        let end = Place { index: u64::MAX, count: u32::MAX };
        assert_eq!([7, u64::MAX].map(Place::after_all_of), [Place::before(8), end]);
        assert_eq!([end, Place { count: u32::MAX - 1, ..end }].map(Place::is_last), [true, false]);
    }

    #[test]
    fn an_epoch_is_its_number() {
        assert_eq!(Epoch::from(0xfe).get(), 0xfe);
        let refused = "7".parse::<Epoch>().expect_err("too short");
        assert_eq!(refused.to_string(), "malformed epoch of a resume token, expected 16 lower-case hexadecimal digits");
    }

    /// These bytes make the epochs of two processes differ when one is a copy of the other.
    #[cfg(unix)]
    #[test]
    fn the_system_gives_other_bytes_each_time() {
        assert_ne!(system_random(), system_random());
    }
}
