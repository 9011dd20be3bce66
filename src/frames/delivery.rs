//! The frame of one delivery, out of what has been encoded of its batch.
//! The cache and the bytes are the codec's.

use serde::Serialize;

use crate::frame::{EncodeError, Frame};
use crate::subscription::{Delivery, DeliveryRef, Selection};
use crate::types::token::Token;

macro_rules! frame {
    ($name:ident $(<$life:lifetime>)?) => {
        impl<P: Serialize> $name<$($life,)? P> {
            /// The matching events as one line of JSON.
            ///
            /// Each event is encoded once, by the first reader that needs it, outside every lock: however many
            /// subscriptions read it, and however they filter. If the whole batch matches, the bytes are shared with
            /// everybody who asks for them.
            ///
            /// JSON has no NaN and no infinities: such numbers in payloads become `null`, as `serde_json` writes them. A
            /// payload that must keep them has to say them otherwise, as text for example.
            ///
            /// What is kept of it counts in a buffer that is bounded in bytes ([`Builder::max_bytes`](crate::Builder::max_bytes)),
            /// and may evict the oldest batches, as publishing does. Of a batch that has been evicted nothing is kept.
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
            /// If the payload of a matching event refuses to be JSON; the error names the event.
            ///
            /// # Panics
            ///
            /// If the payload's `Serialize` does. Nothing is kept of it: whoever needs the event next tries again.
            #[inline]
            pub fn frame(&self) -> Result<Frame, EncodeError> {
                self.framed(None)
            }

            /// The same line with the [resume token](Self::token) as its last field, `Token`.
            ///
            /// # Errors
            ///
            /// As [`frame`](Self::frame).
            ///
            /// # Panics
            ///
            /// As [`frame`](Self::frame).
            #[inline]
            pub fn frame_with_token(&self) -> Result<Frame, EncodeError> {
                self.framed(Some(self.token()))
            }

            #[inline]
            fn framed(&self, token: Option<Token>) -> Result<Frame, EncodeError> {
                // Readers who ask alike nearly always find it built.
                match &self.selection {
                    Selection::All => self.batch.frames.ready(token).map_or_else(|| self.framed_slowly(token), Ok),
                    _ => self.framed_slowly(token),
                }
            }

            #[inline(never)]
            fn framed_slowly(&self, token: Option<Token>) -> Result<Frame, EncodeError> {
                let (cache, events, account) = (&self.batch.frames, &self.batch.events, &self.batch.account());
                match &self.selection {
                    Selection::All => cache.whole(self.index(), events, token, account),
                    _ => cache.part(self.index(), events, self.events().ordinals(), token, account),
                }
            }
        }
    };
}

frame!(Delivery);
frame!(DeliveryRef<'_>);
