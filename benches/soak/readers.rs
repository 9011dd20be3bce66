//! The ways of waiting: tasks, threads, doorbells and polling. Each opens one session after another until the time is
//! over.
//!
//! `audit` checks what a session receives.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Select};
use event_broker::{FrameError, FrameOptions, RecvError, RecvTimeoutError};
use futures_core::Stream as _;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::host::{Soak, add};
use crate::plan::{Draw, Stream};
use crate::session::{Leaving, Next, Resume, Session};

/// How a session is read by a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Async,
    Encoding,
    Windows,
    /// Windows that are read in part.
    Parts,
    FrameStream,
}

impl Way {
    const fn name(self) -> &'static str {
        match self {
            Self::Async => "task, recv_async",
            Self::Encoding => "task, recv_async and frame",
            Self::Windows => "task, windows",
            Self::Parts => "task, parts of windows",
            Self::FrameStream => "task, frame stream",
        }
    }

    fn draw(draw: &mut Draw) -> Self {
        match draw.below(10) {
            0..4 => Self::Async,
            4 => Self::Encoding,
            5..8 => Self::Windows,
            8 => Self::Parts,
            _ => Self::FrameStream,
        }
    }
}

/// One in this many sessions stalls between its reads.
const STALLERS: u64 = 10;

fn stall(draw: &mut Draw) -> Duration {
    Duration::from_millis(300 + draw.below(4_000))
}

/// How long a refused reader stays away.
fn away(draw: &mut Draw) -> Duration {
    Duration::from_millis(20 + draw.below(200))
}

fn any(_: &Stream) -> bool {
    true
}

/// A reader that is a task. It begins when the gate has a permit for it.
pub(crate) async fn task(soak: Arc<Soak>, number: u64, gate: Arc<Semaphore>) {
    let Ok(permit) = gate.acquire().await else { return };
    permit.forget();
    let mut draw = Draw::new(soak.options.seed, number);
    // Spread out, so that they do not all begin at once.
    sleep(Duration::from_millis(draw.below(1_000))).await;
    let mut resume = None;
    while !soak.is_over() {
        match Session::open(&soak, &mut draw, resume.take(), any) {
            Some(session) => resume = Some(read_as_task(&soak, session, &mut draw).await),
            None => sleep(away(&mut draw)).await,
        }
    }
}

fn frame_options(draw: &mut Draw) -> FrameOptions {
    let options = FrameOptions::new().heartbeat(Duration::from_secs(1 + draw.below(5))).expect("long enough");
    options.progress(draw.one_in(2)).tokens(draw.one_in(2))
}

async fn read_as_task(soak: &Soak, mut session: Session, draw: &mut Draw) -> Resume {
    let way = Way::draw(draw);
    let stalls = draw.one_in(STALLERS);
    session.account.read_by(way.name(), !stalls && way != Way::Parts);
    loop {
        let left = session.account.left();
        if session.account.is_over() {
            let leaving = if draw.one_in(4) { Leaving::AtOnce } else { Leaving::ReadsAll };
            return session.leave(soak, leaving);
        }
        let next = match way {
            Way::Async | Way::Encoding => match timeout(left, session.reader.recv_async()).await {
                Err(_) => Next::GoesOn,
                Ok(Ok(delivery)) => {
                    if way == Way::Encoding {
                        session.account.encoded(soak, &delivery, draw.one_in(4));
                    } else {
                        session.account.delivered(soak, &delivery);
                    }
                    Next::GoesOn
                }
                Ok(Err(error)) => session.failed(soak, &error),
            },
            Way::Windows | Way::Parts => {
                let most = if way == Way::Parts { 1 + draw.small(3) as usize } else { usize::MAX };
                match timeout(left, session.reader.readable()).await {
                    Err(_) => Next::GoesOn,
                    Ok(()) => session.drain(soak, most),
                }
            }
            Way::FrameStream => {
                let options = frame_options(draw);
                let (back, next) = read_frames(soak, session, options).await;
                session = back;
                next
            }
        };
        if next == Next::Over {
            return session.resume();
        }
        if stalls {
            add(&soak.counts.stalls, 1);
            sleep(stall(draw).min(session.account.left())).await;
        }
    }
}

/// Reads frames for a while, or until the stream returns something else.
async fn read_frames(soak: &Soak, session: Session, options: FrameOptions) -> (Session, Next) {
    let Session { reader, mut account } = session;
    let mut frames = reader.into_frame_stream(options, sleep);
    let mut said = None;
    for _ in 0..64 {
        let next = poll_fn(|context| Pin::new(&mut frames).poll_next(context));
        match timeout(account.left(), next).await {
            Err(_) => break,
            Ok(Some(Ok(frame))) => account.framed(soak, frame.as_str()),
            Ok(Some(Err(error))) => {
                said = Some(error);
                break;
            }
            Ok(None) => {
                said = Some(FrameError::Recv(RecvError::Closed));
                break;
            }
        }
    }
    let mut session = Session { reader: frames.into_subscription(), account };
    let next = said.map_or(Next::GoesOn, |error| after_frames(soak, &mut session, error));
    (session, next)
}

fn after_frames(soak: &Soak, session: &mut Session, error: FrameError) -> Next {
    match error {
        FrameError::Recv(error) => session.failed(soak, &error),
        error => {
            soak.fail(format!("frames: {error}"));
            Next::GoesOn
        }
    }
}

/// A reader that is a thread.
pub(crate) fn thread(soak: &Soak, number: u64) {
    let mut draw = Draw::new(soak.options.seed, number);
    let mut resume = None;
    while !soak.is_over() {
        match Session::open(soak, &mut draw, resume.take(), Stream::is_busy) {
            Some(session) => resume = Some(read_as_thread(soak, session, &mut draw)),
            None => thread::sleep(away(&mut draw)),
        }
    }
}

fn read_as_thread(soak: &Soak, mut session: Session, draw: &mut Draw) -> Resume {
    let (way, name) = match draw.below(4) {
        0 => (0, "thread, recv"),
        1 => (1, "thread, recv_timeout and frame"),
        2 => (2, "thread, iterator"),
        _ => (3, "thread, frames"),
    };
    let stalls = draw.one_in(STALLERS);
    session.account.read_by(name, !stalls);
    loop {
        if session.account.is_over() {
            return session.leave(soak, Leaving::ReadsAll);
        }
        let next = match way {
            0 => match session.reader.recv() {
                Ok(delivery) => {
                    session.account.delivered(soak, &delivery);
                    Next::GoesOn
                }
                Err(error) => session.failed(soak, &error),
            },
            1 => match session.reader.recv_timeout(Duration::from_millis(draw.below(20))) {
                Ok(delivery) => {
                    session.account.encoded(soak, &delivery, draw.one_in(4));
                    Next::GoesOn
                }
                Err(RecvTimeoutError::Timeout) => Next::GoesOn,
                Err(RecvTimeoutError::Recv(error)) => session.failed(soak, &error),
            },
            2 => {
                let Session { reader, account } = &mut session;
                let mut said = None;
                for item in reader.iter().take(100) {
                    match item {
                        Ok(delivery) => account.delivered(soak, &delivery),
                        Err(error) => {
                            said = Some(error);
                            break;
                        }
                    }
                }
                said.map_or(Next::GoesOn, |error| session.failed(soak, &error))
            }
            _ => {
                let Session { reader, mut account } = session;
                let mut frames = reader.into_frames(frame_options(draw));
                let mut said = None;
                for item in frames.by_ref().take(100) {
                    match item {
                        Ok(frame) => account.framed(soak, frame.as_str()),
                        Err(error) => {
                            said = Some(error);
                            break;
                        }
                    }
                }
                session = Session { reader: frames.into_subscription(), account };
                said.map_or(Next::GoesOn, |error| after_frames(soak, &mut session, error))
            }
        };
        if next == Next::Over {
            return session.resume();
        }
        if soak.broker.is_closed() {
            // An iterator yields no item for this end.
            return session.leave(soak, Leaving::ReadsAll);
        }
        if stalls {
            add(&soak.counts.stalls, 1);
            thread::sleep(stall(draw).min(session.account.left()));
        }
    }
}

/// Readers that one thread polls in turn.
pub(crate) fn polled(soak: &Soak, number: u64, count: usize) {
    let mut draw = Draw::new(soak.options.seed, number);
    let mut places: Vec<Option<Session>> = (0..count).map(|_| None).collect();
    while !soak.is_over() {
        for place in &mut places {
            let Some(mut session) = place.take() else {
                *place = Session::open(soak, &mut draw, None, any);
                if let Some(session) = place {
                    session.account.read_by("polled", true);
                }
                continue;
            };
            let next = if draw.one_in(2) { session.read_all(soak) } else { session.drain(soak, usize::MAX) };
            if session.account.is_over() && next == Next::GoesOn {
                session.leave(soak, Leaving::ReadsAll);
            } else if next == Next::GoesOn {
                *place = Some(session);
            }
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Readers whose doorbells one thread waits for.
pub(crate) fn belled(soak: &Soak, number: u64, count: usize) {
    let mut draw = Draw::new(soak.options.seed, number);
    let open = |draw: &mut Draw| loop {
        if let Some(mut session) = Session::open(soak, draw, None, any) {
            session.account.read_by("doorbell", true);
            let bell = session.reader.doorbell();
            return Some((session, bell));
        }
        // Tries another session at once, so that the open ones do not wait.
        if soak.is_over() {
            return None;
        }
    };
    let mut rung: Vec<(Session, Receiver<()>)> = (0..count).map_while(|_| open(&mut draw)).collect();
    while !soak.is_over() && !rung.is_empty() {
        let mut ready: Vec<usize> = Vec::new();
        {
            let mut select = Select::new();
            for (_, bell) in &rung {
                select.recv(bell);
            }
            if let Ok(first) = select.ready_timeout(Duration::from_millis(50)) {
                ready.push(first);
            }
        }
        ready.extend(rung.iter().enumerate().filter(|(_, (_, bell))| !bell.is_empty()).map(|(place, _)| place));
        ready.sort_unstable();
        ready.dedup();
        for place in ready {
            let Some((session, bell)) = rung.get_mut(place) else { continue };
            if bell.try_recv().is_ok() && session.read_all(soak) == Next::Over {
                session.account.end();
            }
        }
        for place in &mut rung {
            if !place.0.account.is_over() {
                continue;
            }
            let Some(new) = open(&mut draw) else { return };
            let (old, _) = std::mem::replace(place, new);
            if !old.account.is_ended() {
                old.leave(soak, Leaving::ReadsAll);
            }
        }
    }
}
