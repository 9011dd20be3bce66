//! A session: one subscription from opening to its end, with its audit.
//!
//! `readers` decides how it waits.

use std::time::{Duration, Instant};

use event_broker::{
    Delivery, DeliveryRef, LagPolicy, RecvError, Start, SubscribeError, Subscription, Token, TryRecvError, Verdict,
};

use crate::audit::{Audit, Beginning};
use crate::host::{PRINCIPALS, Soak, add, principal};
use crate::plan::{Draw, Load, Stream};

/// The position at which a reader's last session ended, to be resumed.
#[derive(Clone, Debug)]
pub(crate) struct Resume {
    stream: Stream,
    principal: u64,
    token: Token,
}

/// A session without its subscription.
pub(crate) struct Account {
    audit: Audit,
    stream: Stream,
    principal: u64,
    until: Instant,
    is_ended: bool,
}

pub(crate) struct Session {
    pub(crate) reader: Subscription<Load>,
    pub(crate) account: Account,
}

/// Whether a session continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    GoesOn,
    Over,
}

/// How a session ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// The backlog is read first.
    ReadsAll,
    /// The backlog is left unread.
    AtOnce,
}

/// The longest duration of a session, in milliseconds.
const LONGEST: u64 = 40_000;

fn numbers(delivery: &Delivery<Load>) -> impl Iterator<Item = u64> {
    delivery.events().map(|event| event.payload().number)
}

/// The last index whose batch is before the token; each index has one batch.
fn read_through(token: Token) -> u64 {
    let is_before_the_first = token.to_string().ends_with("-0");
    token.index().saturating_sub(u64::from(is_before_the_first))
}

impl Account {
    /// Records how the session is read, and whether its reader always waits.
    pub(crate) fn read_by(&mut self, way: &'static str, is_prompt: bool) {
        self.audit.read_by = way;
        self.audit.is_prompt = is_prompt;
    }

    pub(crate) fn delivered(&mut self, soak: &Soak, delivery: &Delivery<Load>) {
        self.audit.delivered(soak, delivery.index(), numbers(delivery));
    }

    pub(crate) fn yielded(&mut self, soak: &Soak, delivery: &DeliveryRef<'_, Load>) {
        self.audit.delivered(soak, delivery.index(), delivery.events().map(|event| event.payload().number));
    }

    /// A delivery as a frame, now and then with its token.
    pub(crate) fn encoded(&mut self, soak: &Soak, delivery: &Delivery<Load>, with_token: bool) {
        let frame = if with_token { delivery.frame_with_token() } else { delivery.frame() };
        match frame {
            Ok(frame) => self.framed(soak, frame.as_str()),
            Err(error) => soak.fail(format!("frame of {}: {error}", delivery.index())),
        }
    }

    /// A frame of a delivery, or a heartbeat.
    pub(crate) fn framed(&mut self, soak: &Soak, frame: &str) {
        add(&soak.counts.frames, 1);
        add(&soak.counts.frame_bytes, frame.len() as u64);
        if !frame.starts_with('{') || !frame.ends_with("}\n") {
            soak.fail(format!("no frame: {frame}"));
        }
        let Some((index, events)) = frame.strip_prefix("{\"Index\":").and_then(|rest| rest.split_once(',')) else {
            return;
        };
        let digits = |text: &str| {
            let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
            text.get(..end).and_then(|digits| digits.parse().ok()).unwrap_or(u64::MAX)
        };
        let numbers = events.split("\"number\":").skip(1).map(digits);
        // A heartbeat with progress has no events.
        if numbers.clone().next().is_some() {
            self.audit.delivered(soak, digits(index), numbers);
        }
    }

    /// The planned duration of the session.
    pub(crate) fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_ended || self.left() == Duration::ZERO
    }

    /// Records that the subscription has ended and was counted.
    pub(crate) fn end(&mut self) {
        self.is_ended = true;
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.is_ended
    }
}

impl Session {
    /// Opens a session as drawn, or resumes the last one. `None` if it was refused.
    pub(crate) fn open(
        soak: &Soak,
        draw: &mut Draw,
        resume: Option<Resume>,
        pick: impl Fn(&Stream) -> bool,
    ) -> Option<Self> {
        let resume = resume.filter(|resume| draw.one_in(2) && pick(&resume.stream));
        let (stream, number, token) = match resume {
            Some(Resume { stream, principal, token }) => (stream, principal, Some(token)),
            None => loop {
                let stream = Stream::draw(draw);
                if pick(&stream) {
                    break (stream, draw.below(PRINCIPALS), None);
                }
            },
        };
        let before = soak.published();
        let from = |index: u64| (Start::Index(index), index.saturating_sub(1), Some(index.saturating_sub(1)));
        let (start, floor, exact) = match (token, draw.below(10)) {
            (Some(token), _) => {
                let read = read_through(token);
                (Start::After(token), read, Some(read))
            }
            (None, 0) => (Start::Oldest, 0, None),
            (None, 1) => from(before.saturating_sub(draw.below(400))),
            (None, 2) => from(before + 1 + draw.below(300)),
            (None, 3) => {
                let (_, floor, exact) = from(before);
                (Start::Exactly(before), floor, exact)
            }
            _ => (Start::Latest, before, None),
        };
        let policy = if draw.one_in(3) { LagPolicy::Close } else { LagPolicy::Continue };
        let request = stream.request().start(start).principal(principal(number)).lag_policy(policy);
        let reader = match soak.broker.subscribe(request) {
            Ok(reader) => reader,
            Err(error) => {
                let refusals = match &error {
                    SubscribeError::Denied(_) => &soak.counts.denied_at_opening,
                    _ => &soak.counts.refused_at_opening,
                };
                add(refusals, 1);
                if let SubscribeError::Invalid(_) = error {
                    soak.fail(format!("{stream:?}: {error}"));
                }
                return None;
            }
        };
        add(&soak.counts.sessions, 1);
        let verdict = reader.verdict();
        // A token is a position in its own history only.
        let floor = if matches!(verdict, Verdict::OtherEpoch { .. }) { 0 } else { floor };
        let beginning = Beginning { start, after: soak.broker.latest_index(), floor, exact, verdict };
        let audit = Audit::new(stream.clone(), number, beginning);
        let until = Instant::now() + Duration::from_millis(200 + draw.below(LONGEST));
        Some(Self { reader, account: Account { audit, stream, principal: number, until, is_ended: false } })
    }

    pub(crate) fn resume(&self) -> Resume {
        let Account { stream, principal, .. } = &self.account;
        Resume { stream: stream.clone(), principal: *principal, token: self.reader.token() }
    }

    /// An error of a read.
    pub(crate) fn failed(&mut self, soak: &Soak, error: &RecvError) -> Next {
        if let Some(lagged) = error.lagged() {
            self.account.audit.lost(soak, lagged);
        }
        if !error.is_terminal() {
            return Next::GoesOn;
        }
        let counts = &soak.counts;
        let ends = match error {
            RecvError::Closed => {
                self.account.audit.empty(soak, soak.published());
                &counts.ends_closed
            }
            RecvError::Revoked(_) => &counts.ends_revoked,
            RecvError::Expired => &counts.ends_expired,
            RecvError::Reset => &counts.ends_reset,
            RecvError::Lagged(_) => &counts.ends_lagged,
            _ => &counts.ends_cancelled,
        };
        add(ends, 1);
        // The end is returned again, and nothing follows it.
        match self.reader.try_recv() {
            Err(TryRecvError::Recv(again)) if again.name() == error.name() => {}
            other => soak.fail(format!("after {error:?} came {:?}", other.map(|delivery| delivery.index()))),
        }
        Next::Over
    }

    /// Reads a window, at most this many deliveries of it.
    pub(crate) fn drain(&mut self, soak: &Soak, most: usize) -> Next {
        let published = soak.published();
        let Self { reader, account } = self;
        let error = match reader.drain() {
            Ok(mut window) => {
                let mut is_empty = true;
                for delivery in window.iter().take(most) {
                    is_empty = false;
                    account.yielded(soak, &delivery);
                }
                if is_empty {
                    account.audit.empty(soak, published);
                }
                return Next::GoesOn;
            }
            Err(error) => error,
        };
        self.failed(soak, &error)
    }

    /// Reads one by one until nothing is left.
    pub(crate) fn read_all(&mut self, soak: &Soak) -> Next {
        loop {
            let published = soak.published();
            match self.reader.try_recv() {
                Ok(delivery) => self.account.delivered(soak, &delivery),
                Err(TryRecvError::Empty) => {
                    self.account.audit.empty(soak, published);
                    return Next::GoesOn;
                }
                Err(TryRecvError::Recv(error)) => {
                    if self.failed(soak, &error) == Next::Over {
                        return Next::Over;
                    }
                }
            }
        }
    }

    /// Ends the session.
    pub(crate) fn leave(mut self, soak: &Soak, leaving: Leaving) -> Resume {
        self.account.audit.waited(soak);
        if leaving == Leaving::AtOnce || self.read_all(soak) == Next::GoesOn {
            add(&soak.counts.ends_left, 1);
        }
        self.resume()
    }
}
