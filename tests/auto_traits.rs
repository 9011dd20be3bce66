//! Which public types are `Send`, `Sync` and `Unpin`. Losing one breaks users without any change of a signature.

use std::panic::{RefUnwindSafe, UnwindSafe};

use event_broker::nomad::rights::{ParseRightsError, Rights};
use event_broker::nomad::{AclAuthorizer, Limits, Query, QueryError, Resolved};
use event_broker::{
    AccessChange, AccessRequest, Authorizer, Batch, BatchBuilder, Broker, BrokerStats, BuildError, BuildErrorKind,
    Builder, Clock, Delivery, DeliveryRef, Denial, DispatchGuard, Dispatcher, Drain, DrainIter, Epoch, Event,
    EventType, Events, Explanation, Grant, InvalidRequest, Iter, Key, LagPolicy, Lagged, Namespace, Observer,
    ParseTokenError, Principal, PublishError, PublishErrorKind, Recv, RecvError, RecvTimeoutError, Request, Scope,
    Start, SubscribeError, Subscription, SubscriptionHandle, SubscriptionId, SubscriptionStats, SystemClock, Term,
    Token, Topic, TryRecvError, Verdict, WeakBroker,
};

fn all<T: Send + Sync + Unpin>() {}
fn send<T: Send + Unpin>() {}
fn plain<T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe + 'static>() {}
fn error<T: std::error::Error + Send + Sync + Unpin + UnwindSafe + 'static>() {}

/// A payload that may be sent and shared, and is neither `Unpin` nor safe to unwind through.
type Payload = std::sync::Arc<(std::marker::PhantomPinned, std::sync::Mutex<u8>)>;

/// What hosts share between threads.
#[test]
fn shared_handles_are_send_and_sync() {
    all::<Broker<Payload>>();
    all::<WeakBroker<Payload>>();
    all::<SubscriptionHandle<Payload>>();
    all::<Dispatcher<Payload>>();
    all::<DispatchGuard<'_, Payload>>();
    all::<Delivery<Payload>>();
    all::<DeliveryRef<'_, Payload>>();
    all::<Events<'_, Payload>>();
    all::<Event<Payload>>();
    all::<Batch<Payload>>();
    all::<BatchBuilder<Payload>>();
    all::<PublishError<Payload>>();
    all::<AclAuthorizer<Rights>>();
    all::<Resolved<Rights>>();
}

/// What one reader owns may move to another thread. A predicate may be anything that may be sent.
#[test]
fn a_readers_own_types_are_send() {
    send::<Subscription<Payload>>();
    send::<Request<Payload>>();
    send::<Builder<Payload>>();
    send::<Drain<'_, Payload>>();
    send::<DrainIter<'_, Payload>>();
    send::<Iter<'_, Payload>>();
    send::<Recv<'_, Payload>>();
}

/// Words are plain values.
#[test]
fn words_are_plain_values() {
    plain::<Topic>();
    plain::<Key>();
    plain::<Namespace>();
    plain::<EventType>();
    plain::<Epoch>();
    plain::<Token>();
    plain::<Term>();
    plain::<Scope>();
    plain::<Start>();
    plain::<LagPolicy>();
    plain::<Verdict>();
    plain::<Explanation>();
    plain::<Principal>();
    plain::<Grant>();
    plain::<AccessChange>();
    plain::<Lagged>();
    plain::<PublishErrorKind>();
    plain::<BuildErrorKind>();
    plain::<BrokerStats>();
    plain::<SubscriptionStats>();
    plain::<SubscriptionId>();
    plain::<SystemClock>();
    plain::<Query>();
    plain::<Limits>();
    plain::<Rights>();
    all::<AccessRequest<'_>>();
}

/// Errors can be boxed, sent, and caught around.
#[test]
fn errors_are_errors() {
    error::<PublishError<u8>>();
    error::<BuildError>();
    error::<SubscribeError>();
    error::<RecvError>();
    error::<TryRecvError>();
    error::<RecvTimeoutError>();
    error::<InvalidRequest>();
    error::<ParseTokenError>();
    error::<Denial>();
    error::<QueryError>();
    error::<ParseRightsError>();
}

/// Hooks are objects.
#[test]
fn hooks_are_objects() {
    fn object<T: ?Sized>() {}
    object::<dyn Authorizer<Payload>>();
    object::<dyn Observer>();
    object::<dyn Clock>();
}

/// Frames and what reads them back.
#[cfg(feature = "json")]
#[test]
fn frames_are_send() {
    use event_broker::{
        DecodeError, Decoder, EncodeError, Frame, FrameError, FrameOptions, FrameReader, Frames, HeartbeatError,
        Incoming, ReadError, WriteError,
    };

    fn boxed<T: std::error::Error + Send + Sync + 'static>() {}
    plain::<Frame>();
    plain::<FrameOptions>();
    all::<Decoder<Payload>>();
    all::<Incoming<Payload>>();
    all::<FrameReader<&[u8], Payload>>();
    send::<Frames<Payload>>();
    error::<EncodeError>();
    error::<DecodeError>();
    error::<FrameError>();
    error::<HeartbeatError>();
    boxed::<ReadError>();
    boxed::<WriteError>();
}

/// Streams may be polled without being pinned.
#[cfg(feature = "stream")]
#[test]
fn streams_are_send_and_unpin() {
    fn stream<T: futures_core::Stream + Send + Unpin>() {}
    stream::<Subscription<Payload>>();
}

/// Streams of frames may be polled without being pinned, whatever the timer is, and sent if the timer and its sleeps may.
#[cfg(all(feature = "json", feature = "stream"))]
#[test]
fn streams_of_frames_are_unpin() {
    use event_broker::{FrameStream, Timer};

    struct Pinned(std::marker::PhantomPinned);
    impl Timer for Pinned {
        type Sleep = std::future::Pending<std::marker::PhantomPinned>;

        fn sleep(&mut self, _: std::time::Duration) -> Self::Sleep {
            std::future::pending()
        }
    }
    send::<FrameStream<Payload, Pinned>>();
    send::<FrameStream<Payload, fn(std::time::Duration) -> tokio::time::Sleep>>();
}

/// The futures of reads may be spawned.
#[test]
fn futures_are_send() {
    fn future<T: Future + Send>(_: T) {}
    let broker = Broker::<Payload>::new();
    let mut reader = broker.subscribe(Request::new()).expect("open");
    future(reader.recv_async());
    future(reader.readable());
}

/// What readers on threads record, and what a naive broker returns.
#[cfg(feature = "testing")]
#[test]
fn the_test_kits_oracle_and_histories_can_be_shared() {
    use event_broker::testing::history::{EventId, Guarantee, History, PastEvent, Step, Trace, Violation};
    use event_broker::testing::oracle::{NaiveBroker, NaiveDelivery, NaiveReader};

    send::<NaiveBroker<Payload>>();
    all::<NaiveDelivery<Payload>>();
    plain::<NaiveReader>();
    all::<Trace>();
    plain::<History>();
    plain::<PastEvent>();
    plain::<EventId>();
    plain::<Step>();
    plain::<Guarantee>();
    error::<Violation>();
}

/// What a test shares with the hooks of a broker and with threads, and what it polls.
#[cfg(feature = "testing")]
#[test]
fn the_test_kit_is_send() {
    use event_broker::testing::{
        Asked, AskedCounts, Gate, ManualClock, Observed, ObservedCounts, Probe, Random, RecordingObserver, Rule, Rules,
        RunError, RunErrorKind, Sleep, YieldNow,
    };

    all::<ManualClock>();
    all::<Sleep>();
    all::<Gate>();
    all::<Rule>();
    all::<Rules<Payload>>();
    all::<RecordingObserver>();
    send::<Probe<Subscription<Payload>, ()>>();
    plain::<Asked>();
    plain::<AskedCounts>();
    plain::<Observed>();
    plain::<ObservedCounts>();
    plain::<Random>();
    plain::<RunErrorKind>();
    plain::<YieldNow>();
    error::<RunError>();
}

/// A stream of frames that a test times can be sent as any other.
#[cfg(all(feature = "testing", feature = "json", feature = "stream"))]
#[test]
fn frames_that_a_test_times_are_send() {
    use event_broker::FrameStream;
    use event_broker::testing::ManualTicks;

    all::<ManualTicks>();
    send::<FrameStream<Payload, ManualTicks>>();
}
