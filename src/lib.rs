//! The in-process event broker for servers with a replicated or versioned state.

mod access;
mod clock;
mod error;
mod event;
#[cfg(feature = "json")]
mod frame;
mod name;
pub mod nomad;
mod request;
mod token;

pub use access::{AccessChange, AccessRequest, Authorizer, Denial, Grant, Principal};
pub use clock::{Clock, SystemClock};
pub use error::{
    BuildError, Lagged, PublishError, PublishErrorKind, RecvError, RecvTimeoutError, SubscribeError, TryRecvError,
};
pub use event::{Batch, BatchBuilder, Event};
#[cfg(feature = "json")]
pub use frame::{DecodeError, DecodeErrorKind, Decoder, EncodeError, Frame, FrameReader, Incoming, ReadError};
pub use name::{EventType, Key, Namespace, Topic};
pub use request::{InvalidRequest, LagPolicy, Named, Request, Scope, Start, Term};
pub use token::{Epoch, ParseTokenError, Token};
