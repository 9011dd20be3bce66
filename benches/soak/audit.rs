//! Checks each read of a session against the journal: no silent loss, no duplicates, order, whole batches, no delivery
//! behind a fence.
//!
//! Indexes are dense here and each has one batch, so a range of positions is a range of indexes. Every batch that
//! matches the session and is between two deliveries must be in a range that was reported as lost.

use event_broker::{Lagged, Start, Verdict};

use crate::host::{Rights, Soak, add};
use crate::plan::{Journal, Stream};

/// The account of a session.
#[derive(Debug)]
pub(crate) struct Audit {
    stream: Stream,
    principal: u64,
    /// Everything up to and including this index was delivered, was reported as lost, or is not required.
    accounted: u64,
    /// Nothing up to and including this index may be delivered.
    passed: u64,
    /// The latest index when it had been opened.
    opened_at: u64,
    /// How it began and how it is read, for failure messages.
    #[expect(dead_code, reason = "shown with a failure")]
    beginning: Beginning,
    pub(crate) read_by: &'static str,
    /// Whether its reader always waits, so that nothing may be late.
    pub(crate) is_prompt: bool,
}

/// What is known of the start of a session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beginning {
    #[expect(dead_code, reason = "shown with a failure")]
    pub(crate) start: Start,
    /// The latest index when opening had ended. Later batches were published after it.
    pub(crate) after: u64,
    /// Nothing up to this index may be delivered.
    pub(crate) floor: u64,
    /// Everything above this index must be delivered, if the start found nothing lost. Without an index, batches
    /// published before the session had opened may be missing.
    pub(crate) exact: Option<u64>,
    pub(crate) verdict: Verdict,
}

impl Audit {
    pub(crate) fn new(stream: Stream, principal: u64, beginning: Beginning) -> Self {
        let Beginning { start: _, after, floor, exact, verdict } = beginning;
        let elastic = after.max(floor);
        let accounted = match (exact, verdict) {
            (Some(exact), Verdict::Whole | Verdict::Future { .. }) => exact,
            _ => elastic,
        };
        Self { stream, principal, accounted, passed: floor, opened_at: after, beginning, read_by: "", is_prompt: false }
    }

    fn rights(&self) -> Rights {
        Rights::of(self.principal)
    }

    /// How many events of a batch the session must receive.
    fn due(&self, journal: &Journal, index: u64) -> usize {
        journal
            .batch(index)
            .filter(|(_, subject)| self.stream.matches(*subject) && self.rights().permit(*subject))
            .count()
    }

    /// Checks that no required batch up to and including `index` is unaccounted for.
    fn account(&mut self, soak: &Soak, index: u64, found: std::fmt::Arguments<'_>) {
        for between in self.accounted + 1..=index {
            if self.due(&soak.journal, between) > 0 {
                soak.fail(format!("batch {between} was lost without a word, then came {found}: {self:?}"));
                break;
            }
        }
        self.accounted = self.accounted.max(index);
    }

    /// A delivery.
    pub(crate) fn delivered(&mut self, soak: &Soak, index: u64, numbers: impl Iterator<Item = u64>) {
        if index <= self.passed {
            soak.fail(format!("batch {index} came again, or too early: {self:?}"));
            return;
        }
        self.account(soak, index - 1, format_args!("{index}"));
        let settled = soak.settled();
        if self.is_prompt && index > self.opened_at && index <= settled {
            soak.fail(format!("batch {index} came late, {settled} was published long ago: {self:?}"));
        }
        if soak.table.leaks(self.principal, index) {
            soak.fail(format!("batch {index} passed a fence: {self:?}"));
        }
        let rights = self.rights();
        let due =
            soak.journal.batch(index).filter(|(_, subject)| self.stream.matches(*subject) && rights.permit(*subject));
        let due = due.map(|(place, _)| Journal::number(index, place));
        let mut count = 0;
        if !due.eq(numbers.inspect(|_| count += 1)) {
            soak.fail(format!("batch {index} came with other events than it must: {self:?}"));
        }
        add(&soak.counts.delivered_batches, 1);
        add(&soak.counts.delivered_events, count);
        (self.accounted, self.passed) = (self.accounted.max(index), index);
    }

    /// A reported loss.
    pub(crate) fn lost(&mut self, soak: &Soak, lagged: &Lagged) {
        add(&soak.counts.losses_told, 1);
        let Some(missed) = lagged.count() else {
            soak.fail(format!("{lagged:?} does not say how much, and nothing was skipped: {self:?}"));
            return;
        };
        let before = lagged.through.saturating_sub(missed);
        if missed == 0 || before < self.passed || lagged.resumes_at != lagged.through + 1 {
            soak.fail(format!("{lagged:?} is of what had been passed, or of nothing: {self:?}"));
            return;
        }
        self.account(soak, before, format_args!("{lagged:?}"));
        // It slept although it had to be woken for its loss.
        let settled = soak.settled().min(lagged.through);
        if self.is_prompt && (before.max(self.opened_at) + 1..=settled).any(|index| self.due(&soak.journal, index) > 0)
        {
            soak.fail(format!("{lagged:?}, of what a reader that waits was not woken for: {self:?}"));
        }
        let asked = (before + 1..=lagged.through)
            .filter(|index| soak.journal.batch(*index).any(|(_, subject)| self.stream.matches(subject)))
            .count();
        if asked == 0 {
            soak.fail(format!("{lagged:?}, and nothing in it was asked for: {self:?}"));
        }
        add(&soak.counts.told_lost_batches, missed);
        add(&soak.counts.told_lost_matching, asked as u64);
        (self.accounted, self.passed) = (self.accounted.max(lagged.through), lagged.through);
    }

    /// If the session's reader always waits, batches published long ago must have been delivered.
    pub(crate) fn waited(&mut self, soak: &Soak) {
        let settled = soak.settled();
        if self.is_prompt && (self.accounted + 1..=settled).any(|index| self.due(&soak.journal, index) > 0) {
            soak.fail(format!("a waiting reader has not received everything up to {settled}: {self:?}"));
        }
    }

    /// A read that began when everything up to `published` was visible found nothing.
    pub(crate) fn empty(&mut self, soak: &Soak, published: u64) {
        self.account(soak, published, format_args!("nothing to read"));
    }
}
