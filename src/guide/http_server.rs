//! Serving the event stream of an HTTP API, with whatever HTTP library the server has.
//! From the query string to the end of the body. The crate opens no socket, so the examples write to memory and to a
//! channel.
//!
//! A request for the stream goes through these steps:
//!
//! 1. Parse the query string. An error is a response with a status.
//! 2. Subscribe. An error is a response with a status.
//! 3. Send the head of the response, with what the [`Verdict`] says of the start.
//! 4. Send frames until the subscription ends or the client leaves.
//! 5. End the body in a way that fits the reason.
//!
//! ```
//! # #[cfg(feature = "json")] {
//! use std::io::{self, Write};
//! use event_broker::nomad::{Query, QueryError};
//! use event_broker::{
//!     Broker, Decoder, Event, FrameOptions, ParseTokenError, Principal, RecvError, Request, Start, SubscribeError,
//!     Subscription, Verdict, WriteError,
//! };
//!
//! /// Why the server answers with a status instead of a stream.
//! #[derive(Debug)]
//! enum Refusal {
//!     Query(QueryError),
//!     Token(ParseTokenError),
//!     Subscribe(SubscribeError),
//! }
//!
//! impl Refusal {
//!     fn status(&self) -> u16 {
//!         match self {
//!             Self::Query(_) | Self::Token(_) => 400,
//!             Self::Subscribe(SubscribeError::Invalid(_)) => 400,
//!             Self::Subscribe(SubscribeError::Denied(_)) => 403,
//!             Self::Subscribe(SubscribeError::Absent { .. } | SubscribeError::Future { .. }) => 404,
//!             Self::Subscribe(SubscribeError::Lost { .. }) => 410,
//!             Self::Subscribe(SubscribeError::AccessUnsettled { .. } | SubscribeError::Closed) => 503,
//!             Self::Subscribe(_) => 500, // a variant of a later version
//!         }
//!     }
//! }
//!
//! fn open(broker: &Broker<u32>, query: &str, who: Principal) -> Result<Subscription<u32>, Refusal> {
//!     let mut request: Request<u32> = Query::parse(query).map_err(Refusal::Query)?.into_request();
//!     // A parameter of this server's own, which `Query` ignores. The text of a token needs no escapes.
//!     let mut parameters = query.strip_prefix('?').unwrap_or(query).split('&');
//!     if let Some(token) = parameters.find_map(|parameter| parameter.strip_prefix("token=")) {
//!         request = request.start(Start::After(token.parse().map_err(Refusal::Token)?));
//!     }
//!     broker.subscribe(request.principal(who)).map_err(Refusal::Subscribe)
//! }
//!
//! /// A body in chunks: one for each write, and so one for each frame.
//! struct Chunked<W>(W);
//!
//! impl<W: Write> Write for Chunked<W> {
//!     fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
//!         write!(self.0, "{:x}\r\n", bytes.len())?;
//!         self.0.write_all(bytes)?;
//!         self.0.write_all(b"\r\n")?;
//!         Ok(bytes.len())
//!     }
//!     fn flush(&mut self) -> io::Result<()> {
//!         self.0.flush()
//!     }
//! }
//!
//! /// Serves one stream. An error means: close the connection without ending the body.
//! fn stream(reader: Subscription<u32>, mut connection: impl Write) -> io::Result<()> {
//!     let start = match reader.verdict() {
//!         Verdict::Whole => "whole",
//!         Verdict::Future { .. } => "future",
//!         Verdict::OtherEpoch { .. } => "other-epoch",
//!         _ => "lost",
//!     };
//!     write!(connection, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n")?;
//!     write!(connection, "stream-start: {start}\r\n\r\n")?;
//!     connection.flush()?;
//!
//!     let mut frames = reader.into_frames(FrameOptions::new().tokens(true));
//!     let mut body = Chunked(connection);
//!     match frames.write_to(&mut body) {
//!         Ok(RecvError::Closed | RecvError::Cancelled) => {}
//!         // The subscription ended, and the client must do something about it.
//!         Ok(end) => body.write_all(format!("{{\"Error\":\"{}\"}}\n", end.name()).as_bytes())?,
//!         Err(WriteError::Io(error)) => return Err(error),
//!         // An event has no JSON form. To continue would leave a hole that the client cannot see.
//!         Err(error) => return Err(io::Error::other(error)),
//!     }
//!     body.0.write_all(b"0\r\n\r\n")?; // the last chunk
//!     body.flush()
//! }
//!
//! let broker = Broker::<u32>::new();
//! let status = |query| open(&broker, query, Principal::anonymous()).map(drop).unwrap_err().status();
//! assert_eq!([status("index=-1"), status("topic=Job:web-*"), status("token=7")], [400; 3]);
//!
//! let reader = open(&broker, "?topic=Job:web", Principal::anonymous()).unwrap();
//! broker.publish(7, [Event::new("Job", "JobRegistered", "web", 1)])?;
//! broker.close();
//! assert_eq!(status("index=7"), 503);
//!
//! let mut sent = Vec::new(); // a connection
//! stream(reader, &mut sent)?;
//! let sent = String::from_utf8(sent)?;
//! let (head, body) = sent.split_once("\r\n\r\n").unwrap();
//! assert!(head.ends_with("stream-start: whole"));
//! assert!(body.contains("{\"Index\":7,\"Events\":[{\"Topic\":\"Job\""));
//! assert!(body.ends_with("0\r\n\r\n"), "the broker closed, so the body ends cleanly");
//!
//! // A client reads frames, and not the line at the end.
//! let line = &mut &b"{\"Error\":\"revoked\"}\n"[..];
//! assert!(Decoder::<u32>::new().decode(line).unwrap().is_err());
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Status codes
//!
//! [`Query::parse`] and [`Broker::subscribe`] fail before the head is sent, so each failure has a status.
//!
//! | error | status | why |
//! |---|---|---|
//! | [`QueryError`], every [`QueryErrorKind`] | 400 | the text of the query is wrong; the message names the parameter, an excerpt of what it held, and what was expected. For `QueryTooLong` 414 fits as well |
//! | [`ParseTokenError`] | 400 | the text is no token |
//! | [`SubscribeError::Invalid`] | 400 | an empty topic, key, namespace or event type; a parsed [`Query`] has none |
//! | [`SubscribeError::Denied`] | 403 | the authorizer refuses the request, its grant does not cover a named namespace, the grant has expired already, or the token was deleted meanwhile |
//! | [`SubscribeError::Absent`] | 404 | later batches exist, but none with exactly this index |
//! | [`SubscribeError::Future`] | 404 | no batch has this index yet |
//! | [`SubscribeError::Lost`] | 410 | the index is no longer buffered, or is lower than the history that this broker knows |
//! | [`SubscribeError::AccessUnsettled`] | 503 | access changed each time that the authorizer was asked; the same request may succeed later |
//! | [`SubscribeError::Closed`] | 503 | the server shuts down; another replica may answer |
//! | a variant of a later version | 500 | the enums are `#[non_exhaustive]` |
//! | a panic of the authorizer | 500 | it reaches the caller of [`Broker::subscribe`], and the broker stays usable |
//!
//! Three rows, `Absent`, `Future` and `Lost`, belong to [`Start::Exactly`]. No query asks for that start: `index`
//! becomes [`Start::Oldest`] or [`Start::Index`]. For every other start a loss is reported by the verdict, not by an
//! error.
//!
//! A server that distinguishes missing credentials (401) from missing rights (403) checks the credentials before it
//! subscribes. The reason of a [`Denial`] is written for the client, so it may be sent in the body.
//!
//! [`Limits`] bounds the query: its length, the number of terms and namespaces, and the length of a name. A server with
//! other limits calls [`Query::parse_with`].
//!
//! # The head
//!
//! The head is sent before the first frame, and flushed, so that a client of an idle stream sees that it was accepted.
//! Frames carry no verdict. The head is the one place where a client can learn that its start lost something
//! ([`Verdict::Lost`]) or that its token is of another history ([`Verdict::OtherEpoch`]); the example uses a header of
//! its own, `stream-start`. After the head the status cannot change. A server that wants no stream with a gap checks
//! the verdict before the head, and answers 410.
//!
//! # Resuming by token
//!
//! An `index` resumes between commits. A [`Token`] resumes between batches, also where one index carries several. With
//! [tokens] in the frames every line, also a heartbeat, has the token of a reader that has read that line. The client
//! sends the last one back in a parameter of the server's choice. [`Query`] ignores every parameter but `index`,
//! `namespace` and `topic`, so the server reads its own parameter from the same string, as `open` does above. A token
//! consists of digits, lower-case letters from `a` to `f`, and `-`, so it needs no percent-encoding. In the example the
//! token overrides `index`.
//!
//! # Ends
//!
//! No error is written into the stream by [`Frames`]. [`Frames::write_to`] returns why it stopped, and the server
//! decides what the transport does. There are three ways:
//!
//! - *finish*: end the chunked body with its last chunk. The client sees a complete response.
//! - *error line*: write one line that is no frame, and then finish. [`Decoder`] reports such a line as an error.
//! - *abort*: close the connection without the last chunk. The client's HTTP library reports a truncated body.
//!
//! | [`RecvError`], [`FrameError`] or [`WriteError`] | the server | the client |
//! |---|---|---|
//! | [`Closed`](crate::RecvError::Closed) | finishes; everything that the client asked for has been sent | resumes by token, here later or at another replica |
//! | [`Cancelled`](crate::RecvError::Cancelled) | finishes; the server itself called [`SubscriptionHandle::cancel`] | resumes by token |
//! | [`Reset`](crate::RecvError::Reset) | writes an error line | lists the state again; indexes have another meaning now |
//! | [`Revoked`](crate::RecvError::Revoked) | writes an error line; the denial's reason may be in it | authenticates again, and does not retry with the same rights |
//! | [`Expired`](crate::RecvError::Expired) | writes an error line | authenticates again, and resumes by token |
//! | [`Lagged`](crate::RecvError::Lagged), [`LagPolicy::Close`] | writes an error line | lists the state again; with its old token, a new stream starts with [`Verdict::Lost`] |
//! | [`Lagged`](crate::RecvError::Lagged), [`LagPolicy::Continue`] | may call `write_to` again; without a line of the server's own the client does not learn of the loss | lists again, or continues without the lost events |
//! | [`FrameError::Encode`], [`WriteError::Encode`] | aborts; the delivery has been passed, and calling `write_to` again would leave a hole | lists the state again; the same event fails again if it resumes before it |
//! | [`WriteError::Io`] | aborts; the last frame may have been written in part, and a further `write_to` fails | resumes by the last token that it read whole |
//!
//! The default policy is `Close`. It suits a stream that leaves the process: the client learns of the loss because the
//! stream ends.
//!
//! If several ends hold at once, the subscription reports the one that comes first in [`RecvError`]'s list. Terminal
//! ends repeat.
//!
//! # Slow clients
//!
//! A client that reads slowly blocks the `write` of its own connection, and nothing else. [`Broker::publish`] does not
//! wait for it, and other readers do not notice. The subscription holds a number, so nothing accumulates for the slow
//! client. When the buffer evicts batches that the client asked for and has not read, the next read ends in
//! [`RecvError::Lagged`].
//!
//! A client that does not read at all blocks its `write` for good. The server needs a write timeout on its socket. When
//! the timeout expires, `write` fails, `write_to` returns [`WriteError::Io`], and the thread is free.
//!
//! What the server has written is outside the fence: a revocation cannot recall it. So a writer should not collect
//! frames beyond the flush, and a channel between the reader and the connection should be short.
//!
//! # Heartbeats
//!
//! The first frame is a heartbeat, `{}`. A further one follows whenever the [interval] passes without a frame: 30 s
//! unless it is set. Heartbeats do not accumulate for a stalled client. Choose an interval below the idle timeout of
//! every proxy on the way. With [progress] a heartbeat carries the highest index that is certainly finished, so that a
//! client that matches little can resume near the present.
//!
//! # Clients that leave
//!
//! A reader that waits for the next batch waits in the broker and not in the socket. It notices that its client has
//! left when a write fails, and an idle stream writes nothing but heartbeats. With TCP the first write after the client
//! has left can still succeed. So an idle stream of a client that is gone lives for one or two heartbeat intervals.
//!
//! A server whose HTTP library reports the departure ends the stream at once: it takes a
//! [handle](crate::Subscription::handle) before it starts, and calls [`SubscriptionHandle::cancel`]. A read that waits
//! returns [`RecvError::Cancelled`] then. A task drops its [`FrameStream`], which loses nothing.
//!
//! # Tasks
//!
//! [`Subscription::into_frame_stream`] gives the same frames as a `Stream`. It sleeps by the timer of the runtime, for
//! heartbeats and for the expiry of the grant. The body of an asynchronous HTTP library is mostly a channel or a stream
//! of bytes; a [`Frame`] is `AsRef<[u8]>`, and with the feature `bytes` it becomes a `bytes::Bytes` without a copy.
//!
//! ```
//! # #[cfg(not(all(feature = "json", feature = "stream")))]
//! # fn main() {}
//! # #[cfg(all(feature = "json", feature = "stream"))]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::future::poll_fn;
//! use std::pin::pin;
//! use event_broker::{Broker, Event, Frame, FrameError, FrameOptions, RecvError, Request};
//! use futures_core::Stream;
//! use tokio::sync::mpsc;
//!
//! /// Sends frames until the stream ends or the client leaves. Returns the end, unless the broker has closed.
//! async fn pump(
//!     frames: impl Stream<Item = Result<Frame, FrameError>>,
//!     body: mpsc::Sender<Frame>,
//! ) -> Option<FrameError> {
//!     let mut frames = pin!(frames);
//!     loop {
//!         let next = tokio::select! {
//!             next = poll_fn(|context| frames.as_mut().poll_next(context)) => next,
//!             () = body.closed() => return None, // the client has left
//!         };
//!         match next {
//!             Some(Ok(frame)) => body.send(frame).await.ok()?,
//!             Some(Err(error)) => return Some(error),
//!             None => return None,
//!         }
//!     }
//! }
//!
//! let broker = Broker::<u32>::new();
//! let reader = broker.subscribe(Request::new())?;
//! let handle = reader.handle();
//! let frames = reader.into_frame_stream(FrameOptions::new(), tokio::time::sleep);
//! let (body, mut connection) = mpsc::channel(1); // short: what is in it is outside the fence
//! let serving = tokio::spawn(pump(frames, body));
//!
//! broker.publish(7, [Event::new("Job", "JobRegistered", "web", 1)])?;
//! assert_eq!(connection.recv().await.unwrap().line(), "{}");
//! assert!(connection.recv().await.unwrap().line().starts_with("{\"Index\":7,"));
//! handle.cancel();
//! assert_eq!(connection.recv().await, None);
//! assert_eq!(serving.await?, Some(FrameError::Recv(RecvError::Cancelled)));
//! # Ok(())
//! # }
//! ```
//!
//! # Dispatcher and tick threads
//!
//! The crate starts no thread. A server may run two of its own for the broker:
//!
//! - A *dispatcher* thread calls [`Dispatcher::run`]. It wakes the waiting readers. Without it, the publishing thread
//!   wakes them. Use it where a commit must not take longer because thousands of readers wait for it.
//! - A *tick* thread calls [`Broker::tick`] now and then. It ends and wakes readers whose grants have expired and who
//!   wait as plain tasks or at doorbells. Blocking reads, [`Frames`] that wait, and [`FrameStream`] end in time without
//!   it.
//!
//! Neither keeps the broker open: a [`Dispatcher`] does not count as a handle of the broker, and a tick thread holds a
//! [`WeakBroker`].
//!
//! # Shutting down
//!
//! 1. Stop accepting connections.
//! 2. [Close](crate::Broker::close) the broker. Publishing and subscribing fail from now on. Readers get what is
//!    buffered, and then [`RecvError::Closed`]; those that wait are woken.
//! 3. Wait for the readers: join their threads or tasks. A thread that is blocked in a `write` ends by the write
//!    timeout, not by the broker. [`BrokerStats::subscriptions`] counts the subscriptions that have not been dropped.
//! 4. Join the dispatcher thread, which the close has ended, and stop and join the tick thread.
//!
//! ```
//! # #[cfg(feature = "json")] {
//! use std::sync::mpsc::{RecvTimeoutError, channel};
//! use std::thread;
//! use std::time::Duration;
//! use event_broker::{Broker, Event, FrameOptions, RecvError, Request};
//!
//! let broker = Broker::<u32>::new();
//! let dispatcher = broker.dispatcher();
//! let dispatching = thread::spawn(move || dispatcher.run());
//! let (stop, stopped) = channel::<()>();
//! let weak = broker.downgrade();
//! let ticking = thread::spawn(move || {
//!     while stopped.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
//!         if let Some(broker) = weak.upgrade() {
//!             broker.tick();
//!         }
//!     }
//! });
//! let mut frames = broker.subscribe(Request::new())?.into_frames(FrameOptions::new());
//! let connection = thread::spawn(move || {
//!     let mut body = Vec::new();
//!     let end = frames.write_to(&mut body).unwrap();
//!     (body, end)
//! });
//! broker.publish(7, [Event::new("Job", "JobRegistered", "web", 1)])?;
//!
//! broker.close();
//! let (body, end) = connection.join().unwrap();
//! assert_eq!(end, RecvError::Closed);
//! assert_eq!(body.iter().filter(|byte| **byte == b'\n').count(), 2, "the heartbeat, and what was published");
//! assert_eq!(broker.stats().subscriptions, 0);
//! dispatching.join().unwrap();
//! drop(stop);
//! ticking.join().unwrap();
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Broker::publish`]: crate::Broker::publish
//! [`Broker::subscribe`]: crate::Broker::subscribe
//! [`Broker::tick`]: crate::Broker::tick
//! [`BrokerStats::subscriptions`]: crate::BrokerStats::subscriptions
//! [`Denial`]: crate::Denial
//! [`Dispatcher`]: crate::Dispatcher
//! [`Dispatcher::run`]: crate::Dispatcher::run
//! [`LagPolicy::Close`]: crate::LagPolicy::Close
//! [`LagPolicy::Continue`]: crate::LagPolicy::Continue
//! [`Limits`]: crate::nomad::Limits
//! [`ParseTokenError`]: crate::ParseTokenError
//! [`Query`]: crate::nomad::Query
//! [`Query::parse`]: crate::nomad::Query::parse
//! [`Query::parse_with`]: crate::nomad::Query::parse_with
//! [`QueryError`]: crate::nomad::QueryError
//! [`QueryErrorKind`]: crate::nomad::QueryErrorKind
//! [`RecvError`]: crate::RecvError
//! [`RecvError::Cancelled`]: crate::RecvError::Cancelled
//! [`RecvError::Closed`]: crate::RecvError::Closed
//! [`RecvError::Lagged`]: crate::RecvError::Lagged
//! [`Start::Exactly`]: crate::Start::Exactly
//! [`Start::Index`]: crate::Start::Index
//! [`Start::Oldest`]: crate::Start::Oldest
//! [`SubscribeError::Absent`]: crate::SubscribeError::Absent
//! [`SubscribeError::AccessUnsettled`]: crate::SubscribeError::AccessUnsettled
//! [`SubscribeError::Closed`]: crate::SubscribeError::Closed
//! [`SubscribeError::Denied`]: crate::SubscribeError::Denied
//! [`SubscribeError::Future`]: crate::SubscribeError::Future
//! [`SubscribeError::Invalid`]: crate::SubscribeError::Invalid
//! [`SubscribeError::Lost`]: crate::SubscribeError::Lost
//! [`SubscriptionHandle::cancel`]: crate::SubscriptionHandle::cancel
//! [`Token`]: crate::Token
//! [`Verdict`]: crate::Verdict
//! [`Verdict::Lost`]: crate::Verdict::Lost
//! [`Verdict::OtherEpoch`]: crate::Verdict::OtherEpoch
//! [`WeakBroker`]: crate::WeakBroker
//!
#![cfg_attr(
    feature = "json",
    doc = "
[`Decoder`]: crate::Decoder
[`Frame`]: crate::Frame
[`FrameError`]: crate::FrameError
[`FrameError::Encode`]: crate::FrameError::Encode
[`Frames`]: crate::Frames
[`Frames::write_to`]: crate::Frames::write_to
[`WriteError`]: crate::WriteError
[`WriteError::Encode`]: crate::WriteError::Encode
[`WriteError::Io`]: crate::WriteError::Io
[interval]: crate::FrameOptions::heartbeat
[progress]: crate::FrameOptions::progress
[tokens]: crate::FrameOptions::tokens"
)]
#![cfg_attr(
    all(feature = "json", feature = "stream"),
    doc = "
[`FrameStream`]: crate::FrameStream
[`Subscription::into_frame_stream`]: crate::Subscription::into_frame_stream"
)]
// Without a feature, the links to what it adds lead to the features.
#![cfg_attr(
    not(feature = "json"),
    doc = "
[`Decoder`]: crate#features
[`Frame`]: crate#features
[`FrameError`]: crate#features
[`FrameError::Encode`]: crate#features
[`Frames`]: crate#features
[`Frames::write_to`]: crate#features
[`WriteError`]: crate#features
[`WriteError::Encode`]: crate#features
[`WriteError::Io`]: crate#features
[interval]: crate#features
[progress]: crate#features
[tokens]: crate#features"
)]
#![cfg_attr(
    not(all(feature = "json", feature = "stream")),
    doc = "
[`FrameStream`]: crate#features
[`Subscription::into_frame_stream`]: crate#features"
)]
