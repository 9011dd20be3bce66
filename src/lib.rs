//! The in-process event broker for servers with a replicated or versioned state.
//! It opens no socket and starts no thread: transports and threads are the host's.

mod access;
mod broker;
mod clock;
mod delivery;
mod dispatch;
mod error;
mod event;
mod filter;
#[cfg(feature = "json")]
mod frame;
#[cfg(feature = "json")]
mod frames;
mod gate;
mod interest;
mod log;
#[cfg(all(test, broker_loom))]
mod models;
mod name;
pub mod nomad;
mod observer;
mod position;
mod record;
mod registry;
mod request;
mod shared;
mod stats;
#[cfg(feature = "stream")]
mod stream;
mod subscription;
mod sync;
mod token;
mod wait;

pub use access::{AccessChange, AccessRequest, Authorizer, Denial, Grant, Principal};
pub use broker::{Broker, Builder, Dispatcher, WeakBroker};
pub use clock::{Clock, SystemClock};
pub use delivery::{Delivery, DeliveryRef, Events};
pub use error::{
    BuildError, Lagged, PublishError, PublishErrorKind, RecvError, RecvTimeoutError, SubscribeError, TryRecvError,
};
pub use event::{Batch, BatchBuilder, Event};
#[cfg(feature = "json")]
pub use frame::{DecodeError, DecodeErrorKind, Decoder, EncodeError, Frame, FrameReader, Incoming, ReadError};
#[cfg(all(feature = "json", feature = "stream"))]
pub use frames::FrameStream;
#[cfg(feature = "json")]
pub use frames::{FrameError, FrameOptions, Frames, HeartbeatError, WriteError};
pub use name::{EventType, Key, Namespace, Topic};
pub use observer::Observer;
pub use request::{InvalidRequest, LagPolicy, Named, Request, Scope, Start, Term};
pub use stats::{BrokerStats, SubscriptionId, SubscriptionStats};
pub use subscription::{Drain, DrainIter, Explanation, Iter, Recv, Subscription, SubscriptionHandle, Verdict};
pub use token::{Epoch, ParseTokenError, Token};
