//! The codec of frames: encodes events as newline-delimited JSON, and decodes it.
//! Which frames a subscription yields, and when, is decided in `frames`.
//!
//! Files, in the order in which to read them:
//! - `bytes`: [`Frame`], one line as shared text;
//! - `encode`: the JSON of an event, and the line of several;
//! - `cache`: the encoded forms that are stored beside a batch;
//! - `line`: the meaning of one line;
//! - `decode`: splits bytes into lines;
//! - `read`: frames of a buffered reader;
//! - `error`: the errors.
//!
//! Callers: `core` holds a `FrameCache` beside each batch. `frames` encodes deliveries through it, on the reader's
//! thread, without a lock. `broker` weighs events by their encoded length. The host decodes.

mod bytes;
mod cache;
mod decode;
mod encode;
mod error;
mod line;
mod read;
#[cfg(all(test, not(broker_loom)))]
mod tests;

pub use bytes::Frame;
pub(crate) use cache::{Account, FrameCache};
pub use decode::Decoder;
pub(crate) use encode::encoded_len;
pub use error::{DecodeError, DecodeErrorKind, EncodeError};
pub use line::Incoming;
pub use read::{FrameReader, ReadError};
