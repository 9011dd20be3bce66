//! A reader as the scheduler holds it: its subscription in the form that its way of reading needs, and how it is
//! polled.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use crossbeam_channel::Receiver;
use event_broker::{
    Delivery, DeliveryRef, RecvError, RecvTimeoutError, Subscription, SubscriptionHandle, Token, TryRecvError, Verdict,
};

use crate::host::{Flag, Payload, Timers, planned};
use crate::script::Way;
use crate::support::op::RequestSpec;
use crate::trail::Trail;

pub type Reads = Subscription<Payload>;

/// The result of one read.
#[derive(Debug)]
pub enum Got {
    /// Frames do not contain the number of events of the batch.
    Delivery {
        index: u64,
        ids: Vec<u64>,
        batch_len: Option<usize>,
        token: Option<Token>,
    },
    /// A heartbeat, the opening one included.
    Beat {
        token: Option<Token>,
    },
    /// Nothing to read; a task waits from now on.
    Nothing,
    /// There may be more: a task has woken itself, or a deadline was reached first.
    Pause,
    End(RecvError),
    /// A stream or an iterator is over.
    Over,
    /// A hook panicked as planned.
    Panicked,
}

impl Got {
    pub fn of(delivery: &Delivery<Payload>) -> Self {
        Self::Delivery {
            index: delivery.index(),
            ids: delivery.events().map(|event| event.payload().id).collect(),
            batch_len: Some(delivery.batch_len()),
            token: Some(delivery.token()),
        }
    }

    pub fn of_ref(delivery: &DeliveryRef<'_, Payload>) -> Self {
        Self::Delivery {
            index: delivery.index(),
            ids: delivery.events().map(|event| event.payload().id).collect(),
            batch_len: Some(delivery.batch_len()),
            token: Some(delivery.token()),
        }
    }

    fn of_result(read: Result<Delivery<Payload>, RecvError>) -> Self {
        match read {
            Ok(delivery) => Self::of(&delivery),
            Err(error) => Self::End(error),
        }
    }
}

/// A future of one read, which owns its reader and returns it.
type Reading = Pin<Box<dyn Future<Output = (Reads, Got)>>>;

/// The subscription, in the form that its way of reading needs.
pub enum Hold {
    Idle(Reads),
    Reading(Reading, Arc<AtomicBool>),
    Inline(Arc<Inline>),
    Stream(Box<event_broker::FrameStream<Payload, Beats>>),
    Frames(Box<event_broker::Frames<Payload>>),
    /// While it is moved.
    Moved,
}

/// A reader that reads within its waker. It is its own waker, so dropping it takes it apart.
#[derive(Default)]
pub struct Inline {
    /// None while it reads.
    reads: Mutex<Option<Reads>>,
    /// Whether it was woken while it was reading.
    again: AtomicBool,
    got: Mutex<Vec<Got>>,
}

impl Inline {
    fn read_all(self: &Arc<Self>) {
        let Some(mut reads) = self.reads.lock().unwrap().take() else {
            return self.again.store(true, Ordering::Relaxed);
        };
        let waker = Waker::from(Arc::clone(self));
        let mut context = Context::from_waker(&waker);
        loop {
            let got = match reads.poll_recv(&mut context) {
                Poll::Ready(read) => Got::of_result(read),
                Poll::Pending if self.again.swap(false, Ordering::Relaxed) => continue,
                Poll::Pending => Got::Nothing,
            };
            let over = match &got {
                Got::Nothing => true,
                Got::End(error) => error.is_terminal(),
                _ => false,
            };
            self.got.lock().unwrap().push(got);
            if over {
                break;
            }
        }
        *self.reads.lock().unwrap() = Some(reads);
    }
}

impl Wake for Inline {
    fn wake(self: Arc<Self>) {
        self.read_all();
    }
}

/// The timer of a stream of frames.
pub struct Beats(Timers);

impl event_broker::Timer for Beats {
    type Sleep = crate::host::Sleep;

    fn sleep(&mut self, duration: std::time::Duration) -> Self::Sleep {
        self.0.sleep(duration)
    }
}

/// How long a stream of frames is silent, in milliseconds of the simulated clock.
pub const INTERVAL: u64 = 40;

#[expect(clippy::struct_excessive_bools, reason = "each is one thing that the scheduler knows of it")]
pub struct Actor {
    pub way: Way,
    pub request: RequestSpec,
    pub verdict: Verdict,
    hold: Hold,
    pub handle: SubscriptionHandle<Payload>,
    /// Its number in the naive broker.
    pub naive: usize,
    /// Whether the naive broker knows its position exactly.
    pub exact: bool,
    pub flag: Arc<Flag>,
    /// Whether it waits, unless its flag is set.
    pub parked: bool,
    /// Whether its waker may still be registered.
    pub leaves_waker: bool,
    /// Whether its last poll found something and left no waker registered: until it waits again, nothing wakes it.
    pub busy: bool,
    pub bell: Option<Receiver<()>>,
    /// How often its predicate panics.
    pub fuse: Arc<AtomicU32>,
    pub ended: bool,
    /// For frames: when the next heartbeat is due; none before the opening one.
    pub due: Option<u64>,
    pub trail: Trail,
}

impl Actor {
    pub fn new(
        way: Way,
        request: RequestSpec,
        mut reads: Reads,
        naive: usize,
        fuse: Arc<AtomicU32>,
        trail: Trail,
    ) -> Self {
        let (handle, verdict) = (reads.handle(), reads.verdict());
        let bell = matches!(way, Way::Bell | Way::BellWindow(_)).then(|| reads.doorbell());
        let (exact, parked, ended) = (true, false, false);
        let (flag, hold) = (Arc::default(), Hold::Idle(reads));
        Self {
            way,
            request,
            verdict,
            hold,
            handle,
            naive,
            exact,
            flag,
            parked,
            leaves_waker: false,
            busy: false,
            bell,
            fuse,
            ended,
            due: None,
            trail,
        }
    }

    /// Takes the form that its way of reading needs.
    pub fn settle_in(&mut self, timers: &Timers) {
        let Hold::Idle(reads) = std::mem::replace(&mut self.hold, Hold::Moved) else { unreachable!("it is new") };
        self.hold = match self.way {
            Way::FrameStream => Hold::Stream(Box::new(reads.into_frame_stream(options(), Beats(timers.clone())))),
            Way::Frames => Hold::Frames(Box::new(reads.into_frames(options()))),
            Way::Inline => {
                let inline = Inline { reads: Mutex::new(Some(reads)), ..Inline::default() };
                Hold::Inline(Arc::new(inline))
            }
            _ => Hold::Idle(reads),
        };
    }

    /// Whether it reads as frames.
    pub fn reads_frames(&self) -> bool {
        matches!(self.way, Way::FrameStream | Way::Frames)
    }

    /// Whether it yields its end once, as an item.
    pub fn gives_items(&self) -> bool {
        matches!(self.way, Way::FrameStream | Way::Stream)
    }

    /// Whether it reads only after a wake-up.
    pub fn is_asleep(&self) -> bool {
        match &self.bell {
            Some(bell) => bell.is_empty() && !self.ended,
            None => self.parked && !self.flag.is_set(),
        }
    }

    /// Takes a ring of its bell, if there is one.
    pub fn take_ring(&self) {
        if let Some(bell) = &self.bell {
            let _ = bell.try_recv();
        }
    }

    /// Whether a read may pass matching batches without returning them.
    pub fn refuses(&self, guarded: bool) -> bool {
        guarded || self.request.refuses.is_some() || !self.request.types.is_empty()
    }

    /// What it has read within its waker, after a first read if it does not wait yet.
    pub fn read_inline(&mut self, now: bool) -> Vec<Got> {
        let Hold::Inline(inline) = &self.hold else { return Vec::new() };
        if now {
            inline.read_all();
        }
        std::mem::take(&mut *inline.got.lock().unwrap())
    }

    /// Its subscription, unless a future owns it.
    pub fn reads(&mut self) -> Option<&mut Reads> {
        match &mut self.hold {
            Hold::Idle(reads) => Some(reads),
            _ => None,
        }
    }

    /// The token of its position, or of its handle if a future owns the subscription.
    pub fn token(&self) -> Result<Token, Token> {
        match &self.hold {
            Hold::Idle(reads) => Ok(reads.token()),
            Hold::Stream(frames) => Ok(frames.subscription().token()),
            Hold::Frames(frames) => Ok(frames.subscription().token()),
            Hold::Inline(inline) => Ok(inline.reads.lock().unwrap().as_ref().expect("it does not read").token()),
            Hold::Reading(..) | Hold::Moved => Err(self.handle.token()),
        }
    }

    /// Drops its pending future, if there is one. Then nothing wakes it, and it must read again by itself.
    pub fn forget(&mut self) {
        let Hold::Reading(reading, cancelled) = &mut self.hold else { return };
        cancelled.store(true, Ordering::Relaxed);
        let Poll::Ready((reads, _)) = reading.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
            unreachable!("a future that is cancelled is ready")
        };
        self.hold = Hold::Idle(reads);
        // It takes its waker with it.
        (self.parked, self.leaves_waker) = (false, false);
        self.busy = !self.flag.is_set();
    }

    pub fn into_reads(mut self) -> Reads {
        self.forget();
        match self.hold {
            Hold::Idle(reads) => reads,
            Hold::Stream(frames) => frames.into_subscription(),
            Hold::Frames(frames) => frames.into_subscription(),
            Hold::Inline(inline) => inline.reads.lock().unwrap().take().expect("it does not read"),
            Hold::Reading(..) | Hold::Moved => unreachable!("its future was dropped"),
        }
    }

    /// One read by its own way, if that is a read of one delivery. `there` is set if a waiting read is certain to
    /// return.
    pub fn read(&mut self, there: bool) -> Got {
        let waker = Waker::from(Arc::clone(&self.flag));
        let mut context = Context::from_waker(&waker);
        let pending = |flag: &Flag| if flag.is_set() { Got::Pause } else { Got::Nothing };
        match (&mut self.hold, self.way) {
            (Hold::Idle(reads), Way::Deadline) => planned(|| reads.recv_deadline(past())).map_or(Got::Panicked, timed),
            (Hold::Idle(reads), Way::Stream) => {
                let poll = || futures_core::Stream::poll_next(Pin::new(reads), &mut context);
                match planned(poll) {
                    Some(Poll::Ready(Some(read))) => Got::of_result(read),
                    Some(Poll::Ready(None)) => Got::Over,
                    Some(Poll::Pending) => pending(&self.flag),
                    None => Got::Panicked,
                }
            }
            (Hold::Idle(reads), Way::Poll) => poll_recv(reads, &mut context, &self.flag),
            (Hold::Idle(_) | Hold::Reading(..), Way::Async) => self.read_async(),
            (Hold::Idle(reads), _) => try_recv(reads),
            (Hold::Stream(frames), _) => {
                let poll = || futures_core::Stream::poll_next(Pin::new(&mut **frames), &mut context);
                match planned(poll) {
                    Some(Poll::Ready(item)) => framed(item),
                    Some(Poll::Pending) => pending(&self.flag),
                    None => Got::Panicked,
                }
            }
            (Hold::Frames(frames), _) => {
                let read =
                    planned(|| if there { Some(frames.next()) } else { frames.try_frame().transpose().map(Some) });
                match read {
                    Some(Some(item)) => framed(item),
                    Some(None) => Got::Nothing,
                    None => Got::Panicked,
                }
            }
            (Hold::Reading(..) | Hold::Inline(_) | Hold::Moved, _) => unreachable!("it reads as {}", self.way),
        }
    }

    /// Begins a future, or polls the one that is under way.
    fn read_async(&mut self) -> Got {
        let (mut reading, cancelled) = match std::mem::replace(&mut self.hold, Hold::Moved) {
            Hold::Idle(reads) => {
                let cancelled = Arc::new(AtomicBool::new(false));
                (read_once(reads, Arc::clone(&cancelled)), cancelled)
            }
            Hold::Reading(reading, cancelled) => (reading, cancelled),
            _ => unreachable!("it reads as a future"),
        };
        let waker = Waker::from(Arc::clone(&self.flag));
        match reading.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready((reads, got)) => {
                self.hold = Hold::Idle(reads);
                got
            }
            Poll::Pending => {
                self.hold = Hold::Reading(reading, cancelled);
                if self.flag.is_set() { Got::Pause } else { Got::Nothing }
            }
        }
    }
}

fn past() -> Instant {
    Instant::now()
}

fn timed(read: Result<Delivery<Payload>, RecvTimeoutError>) -> Got {
    match read {
        Ok(delivery) => Got::of(&delivery),
        Err(RecvTimeoutError::Timeout) => Got::Nothing,
        Err(RecvTimeoutError::Recv(error)) => Got::End(error),
    }
}

pub fn try_recv(reads: &mut Reads) -> Got {
    match planned(|| reads.try_recv()) {
        Some(Ok(delivery)) => Got::of(&delivery),
        Some(Err(TryRecvError::Empty)) => Got::Nothing,
        Some(Err(TryRecvError::Recv(error))) => Got::End(error),
        None => Got::Panicked,
    }
}

fn poll_recv(reads: &mut Reads, context: &mut Context<'_>, flag: &Flag) -> Got {
    match planned(|| reads.poll_recv(context)) {
        Some(Poll::Ready(read)) => Got::of_result(read),
        Some(Poll::Pending) if flag.is_set() => Got::Pause,
        Some(Poll::Pending) => Got::Nothing,
        None => Got::Panicked,
    }
}

/// One read as a future. It catches its own panic, so that the reader is kept.
fn read_once(mut reads: Reads, cancelled: Arc<AtomicBool>) -> Reading {
    Box::pin(async move {
        let got = {
            let mut receive = pin!(reads.recv_async());
            poll_fn(|context| {
                if cancelled.load(Ordering::Relaxed) {
                    return Poll::Ready(Got::Nothing);
                }
                match planned(|| receive.as_mut().poll(context)) {
                    Some(polled) => polled.map(Got::of_result),
                    None => Poll::Ready(Got::Panicked),
                }
            })
            .await
        };
        (reads, got)
    })
}

fn options() -> event_broker::FrameOptions {
    event_broker::FrameOptions::new().heartbeat(std::time::Duration::from_millis(INTERVAL)).unwrap().tokens(true)
}

/// The content of an item of a stream of frames.
fn framed(item: Option<Result<event_broker::Frame, event_broker::FrameError>>) -> Got {
    use event_broker::{Decoder, FrameError, Incoming};

    let frame = match item {
        None => return Got::Over,
        Some(Err(FrameError::Recv(error))) => return Got::End(error),
        Some(frame) => frame.unwrap(),
    };
    match Decoder::<u64>::new().decode(&mut &*frame) {
        Some(Ok(Incoming::Batch { batch, token })) => {
            let ids = batch.events().iter().map(|event| *event.payload()).collect();
            Got::Delivery { index: batch.index(), ids, batch_len: None, token }
        }
        Some(Ok(other)) => Got::Beat { token: other.token() },
        other => panic!("frame: {} reads as {other:?}", frame.as_str()),
    }
}
