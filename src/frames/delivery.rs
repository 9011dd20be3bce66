//! Returns the frame of one delivery, assembled from the encoded forms of its batch.
//! How events are encoded and cached is decided in `frame`.
//!
//! Callers: `blocking` and `stream`; hosts through [`Delivery::frame`](crate::Delivery::frame). No lock is held.

use serde::Serialize;

use crate::frame::{EncodeError, Frame};
use crate::subscription::{Delivery, DeliveryRef, Selection};
use crate::types::token::Token;

macro_rules! frame {
    ($name:ident $(<$life:lifetime>)?) => {
        impl<P: Serialize> $name<$($life,)? P> {
            /// Returns the matching events as one line of JSON.
            ///
            /// Each event is encoded once, by the first reader that needs it, outside every lock, however many
            /// subscriptions read it and however they filter. If the whole batch matches, all readers share the bytes
            /// of the frame.
            ///
            /// JSON has no NaN and no infinities. Such numbers in payloads become `null`, as `serde_json` writes them.
            /// A payload that must keep them has to encode them in another way, for example as text.
            ///
            /// In a buffer that is bounded in bytes ([`Builder::max_bytes`](crate::Builder::max_bytes)) the cached
            /// bytes count, and may evict the oldest batches, as publishing does. Nothing is cached for a batch that
            /// has been evicted.
            ///
            /// ```
            /// use event_broker::{Broker, Event, Request, Term};
            ///
            /// let broker = Broker::<u32>::new();
            /// let mut all = broker.subscribe(Request::new())?;
            /// let mut web = broker.subscribe(Request::new().term(Term::new("Job", "web")?))?;
            /// broker.publish(7, [Event::new("Job", "JobRegistered", "web", 1), Event::new("Job", "JobRegistered", "db", 2)])?;
            ///
            /// let whole = all.try_recv()?;
            /// assert_eq!(whole.frame()?.as_ptr(), whole.frame()?.as_ptr(), "the bytes are shared");
            /// assert_eq!(
            ///     web.try_recv()?.frame()?.as_str(),
            ///     concat!(
            ///         r#"{"Index":7,"Events":[{"Topic":"Job","Type":"JobRegistered","Key":"web","Namespace":"","#,
            ///         r#""FilterKeys":null,"Index":7,"Payload":1}]}"#,
            ///         "\n",
            ///     ),
            /// );
            /// # Ok::<(), Box<dyn std::error::Error>>(())
            /// ```
            ///
            /// # Errors
            ///
            /// Returns an error that names the event if the payload of a matching event cannot be encoded as JSON.
            ///
            /// # Panics
            ///
            /// Panics if the payload's `Serialize` does. Nothing of that event is cached, and the next reader that
            /// needs it tries again.
            #[inline]
            pub fn frame(&self) -> Result<Frame, EncodeError> {
                self.frame_with(None)
            }

            /// Returns the same line with the [resume token](Self::token) as its last field, `Token`.
            ///
            /// # Errors
            ///
            /// Returns the errors of [`frame`](Self::frame).
            ///
            /// # Panics
            ///
            /// Panics where [`frame`](Self::frame) does.
            #[inline]
            pub fn frame_with_token(&self) -> Result<Frame, EncodeError> {
                self.frame_with(Some(self.token()))
            }

            #[inline]
            fn frame_with(&self, token: Option<Token>) -> Result<Frame, EncodeError> {
                // Readers with the same options nearly always find the frame built.
                match &self.selection {
                    Selection::All => self.batch.frames.ready(token).map_or_else(|| self.build_frame(token), Ok),
                    _ => self.build_frame(token),
                }
            }

            #[inline(never)]
            fn build_frame(&self, token: Option<Token>) -> Result<Frame, EncodeError> {
                let (cache, events, account) = (&self.batch.frames, &self.batch.events, &self.batch.account());
                match &self.selection {
                    Selection::All => cache.full_frame(self.index(), events, token, account),
                    _ => cache.part(self.index(), events, self.events().ordinals(), token, account),
                }
            }
        }
    };
}

frame!(Delivery);
frame!(DeliveryRef<'_>);
