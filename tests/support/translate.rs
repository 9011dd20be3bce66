//! The types of the real broker as those of the naive one, for the runs that compare them.

use event_broker::{
    BrokerStats, LagPolicy, Lagged, Principal, PublishErrorKind, RecvError, Request, SkipError, Start, SubscribeError,
    Term, Token, Verdict,
};

use super::naive::{self, NaiveBroker, Place, Refusal, Totals, Unpublished, Unskipped};
use super::op::{RequestSpec, StartSpec};
use super::reader::End;

/// A token of these numbers, by its text.
pub fn token(epoch: u64, index: u64, count: u32) -> Token {
    format!("{epoch:016x}-{index}-{count}").parse().unwrap()
}

/// The place of a token within its epoch.
pub fn place(token: Token) -> Place {
    let text = token.to_string();
    let mut parts = text.split('-').skip(1).map(|part| part.parse().unwrap());
    Place { index: parts.next().unwrap(), count: parts.next().unwrap() }
}

/// A request for the real broker, still without its predicate.
pub fn request<P>(spec: &RequestSpec, start: Start) -> Result<Request<P>, SubscribeError> {
    let mut request = Request::new()
        .start(start)
        .namespaces(spec.namespaces.iter().copied())
        .principal(Principal::new(spec.principal))
        .lag_policy(if spec.continues { LagPolicy::Continue } else { LagPolicy::Close });
    for (topic, key) in &spec.terms {
        request = request.term(Term::new(*topic, *key)?);
    }
    for number in 0..spec.filler {
        request = request.term(Term::new("A", format!("nobody's {number}"))?);
    }
    for kind in &spec.types {
        request = request.event_type(*kind);
    }
    Ok(request)
}

/// A start for each of the brokers. Steps count from the latest or oldest index, and tokens from the last one seen.
pub fn start(spec: StartSpec, naive: &NaiveBroker, tokens: &[(Token, naive::Token)]) -> (Start, naive::Start) {
    let from_latest = |step| naive.latest.saturating_add_signed(step);
    match spec {
        StartSpec::Oldest => (Start::Oldest, naive::Start::Oldest),
        StartSpec::Latest => (Start::Latest, naive::Start::Latest),
        StartSpec::Index(step) => (Start::Index(from_latest(step)), naive::Start::Index(from_latest(step))),
        StartSpec::NearOldest(step) => {
            let index = naive.oldest_index().unwrap_or(0).saturating_add_signed(step);
            (Start::Index(index), naive::Start::Index(index))
        }
        StartSpec::Exactly(step) => (Start::Exactly(from_latest(step)), naive::Start::Exactly(from_latest(step))),
        StartSpec::After(back) => {
            let place = tokens.len().saturating_sub(1 + usize::from(back));
            match tokens.get(place) {
                Some((real, naive)) => (Start::After(*real), naive::Start::After(*naive)),
                None => (Start::Oldest, naive::Start::Oldest),
            }
        }
    }
}

/// What became of a start.
pub fn verdict(verdict: Verdict) -> naive::Verdict {
    match verdict {
        Verdict::Whole => naive::Verdict::Whole,
        Verdict::Lost { oldest } => naive::Verdict::Lost { oldest },
        Verdict::Future { latest } => naive::Verdict::Future { latest },
        Verdict::OtherEpoch { oldest } => naive::Verdict::OtherEpoch { oldest },
        other => panic!("unknown verdict {other:?}"),
    }
}

/// Why a subscription was not opened.
pub fn refusal(error: &SubscribeError) -> Refusal {
    match error {
        SubscribeError::Invalid(_) => Refusal::Invalid,
        SubscribeError::Denied(_) => Refusal::Denied,
        SubscribeError::Closed => Refusal::Closed,
        SubscribeError::Lost { index, oldest } => Refusal::Lost { index: *index, oldest: *oldest },
        SubscribeError::Absent { index, next } => Refusal::Absent { index: *index, next: *next },
        SubscribeError::Future { index, latest } => Refusal::Future { index: *index, latest: *latest },
        other => panic!("unknown refusal {other:?}"),
    }
}

/// Why a batch was not published.
pub fn unpublished(kind: &PublishErrorKind) -> Unpublished {
    match *kind {
        PublishErrorKind::Falling { index, latest } => Unpublished::Falling { index, latest },
        PublishErrorKind::Past { index, initial } => Unpublished::Past { index, initial },
        PublishErrorKind::Repeated { index } => Unpublished::Repeated { index },
        PublishErrorKind::OtherEpoch { epoch, current } => {
            Unpublished::OtherEpoch { epoch: epoch.get(), current: current.get() }
        }
        PublishErrorKind::Closed => Unpublished::Closed,
        ref other => panic!("unknown refusal {other:?}"),
    }
}

/// Why a place was not skipped to.
pub fn unskipped(error: &SkipError) -> Unskipped {
    match error {
        SkipError::OtherEpoch { .. } => Unskipped::OtherEpoch,
        SkipError::Behind { .. } => Unskipped::Behind,
        SkipError::Closed => Unskipped::Closed,
        other => panic!("unknown refusal {other:?}"),
    }
}

/// The error that a read returned.
pub fn end(error: &RecvError) -> End {
    match error {
        RecvError::Reset => End::Reset,
        RecvError::Revoked(_) => End::Revoked,
        RecvError::Expired => End::Expired,
        RecvError::Cancelled => End::Cancelled,
        RecvError::Closed => End::Closed,
        RecvError::Lagged(lagged) => {
            let Lagged { missed, skipped, from: first, through, resumes_at, resumes_whole: whole, policy, .. } =
                *lagged;
            let continues = policy == LagPolicy::Continue;
            End::Lagged { missed, skipped, first, through, resumes_at, whole, continues }
        }
        other => panic!("unknown end {other:?}"),
    }
}

/// What the broker counts, with `unit` bytes of its buffer as one of the naive broker's.
pub fn totals(stats: &BrokerStats, unit: u64) -> Totals {
    Totals {
        published_batches: stats.published_batches,
        published_events: stats.published_events,
        evicted_batches: stats.evicted_batches,
        buffered_batches: stats.buffered_batches,
        buffered_events: stats.buffered_events,
        buffered_bytes: stats.buffered_bytes / unit,
        oldest_index: stats.oldest_index,
        latest_index: stats.latest_index,
        subscriptions: stats.subscriptions,
    }
}
