//! The encode-once cells beside a batch, and the frames put together from them.
//! How an event becomes text is decided in `encode`, and what the memory is charged to by the owner of the batch.

use std::borrow::Cow;
use std::fmt;
use std::sync::OnceLock;

use serde::Serialize;
use smallvec::SmallVec;

use super::bytes::Frame;
use super::encode::{assemble, encode_event, head};
use super::error::EncodeError;
use crate::types::event::Event;
use crate::types::token::Token;

/// What has been encoded of one batch. It stands beside the batch, takes two words until it is used, and must always
/// be given the events of the same batch.
///
/// An event is encoded by the first reader that needs it. Readers that meet there may each do it, and one result is
/// kept: encoding is foreign code, so nobody waits for another's. That holds because every cell is given a finished
/// value. If an encoding fails or panics, what was encoded before it is kept and the next reader tries again.
///
/// Memory: once a whole frame exists, events are cut out of it. Events that were needed alone before that, and a whole
/// frame with and one without the token if both are asked for, are kept beside it. All that is kept is charged to an
/// [`Account`], to the byte that is asked of the allocator; what that refuses is not kept.
#[derive(Default)]
pub(crate) struct FrameCache(OnceLock<Box<Cells>>);

/// What the memory of a cache is charged to.
pub(crate) trait Account {
    /// Charges bytes that are about to be kept. Returns whether they may be.
    fn charge(&self, bytes: u64) -> bool;
    /// Takes back what was charged and has not been kept after all: another reader was faster.
    fn refund(&self, bytes: u64);
}

/// Keeps a finished value in a cell, unless there is one, if the account lets it. Returns what is kept, or the value.
fn keep<'c, T>(cell: &'c OnceLock<T>, value: T, bytes: usize, account: &impl Account) -> Result<&'c T, T> {
    let bytes = bytes as u64;
    let unkept = if cell.get().is_none() && account.charge(bytes) {
        let unkept = cell.set(value).err();
        if unkept.is_some() {
            account.refund(bytes);
        }
        unkept
    } else {
        Some(value)
    };
    match (cell.get(), unkept) {
        (None, Some(value)) => Err(value),
        (kept, _) => Ok(kept.expect("it was set")),
    }
}

#[derive(Default)]
struct Cells {
    /// The first whole frame that was built.
    whole: OnceLock<Whole>,
    /// The same batch, the other way: without the token if the first has it, and the reverse.
    other: OnceLock<(Option<Token>, Frame)>,
    /// Events that were needed before there was a whole frame.
    events: OnceLock<Box<[OnceLock<Box<str>>]>>,
}

impl FrameCache {
    pub(crate) const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// The frame of all events, if it has been built with this token or without one, as asked.
    #[inline]
    pub(crate) fn ready(&self, token: Option<Token>) -> Option<Frame> {
        let whole = self.0.get()?.whole.get()?;
        if whole.token == token { Some(whole.frame.clone()) } else { None }
    }

    /// The frame of all events, shared by everybody who asks with the same token.
    pub(crate) fn whole<P: Serialize>(
        &self,
        index: u64,
        events: &[Event<P>],
        token: Option<Token>,
        account: &impl Account,
    ) -> Result<Frame, EncodeError> {
        let mut unkept = None;
        let cells = self.cells(&mut unkept, account);
        if let Some(whole) = cells.whole.get() {
            return Ok(cells.variant(whole, index, token, account));
        }
        let built = Whole::build(index, &cells.encode_all(events, account)?, token);
        let (frame, bytes) = (built.frame.clone(), built.heap_bytes());
        match keep(&cells.whole, built, bytes, account) {
            Ok(kept) if kept.token == token => Ok(kept.frame.clone()),
            // Another reader was faster, the other way: this frame is the variant then.
            Ok(_) => Ok(cells.keep_variant(token, frame, account)),
            Err(_) => Ok(frame),
        }
    }

    /// The frame of the events at these ordinals, which rise and lie within the batch.
    pub(crate) fn part<P: Serialize>(
        &self,
        index: u64,
        events: &[Event<P>],
        ordinals: impl IntoIterator<Item = usize>,
        token: Option<Token>,
        account: &impl Account,
    ) -> Result<Frame, EncodeError> {
        let ordinals: SmallVec<[usize; 16]> = ordinals.into_iter().collect();
        debug_assert!(ordinals.is_sorted_by(|a, b| a < b), "ordinals rise");
        debug_assert!(ordinals.last().is_none_or(|last| *last < events.len()), "ordinals are of this batch");
        if ordinals.len() == events.len() {
            return self.whole(index, events, token, account);
        }
        let mut unkept = None;
        let cells = self.cells(&mut unkept, account);
        let pieces = match cells.whole.get() {
            Some(whole) => ordinals.iter().filter_map(|ordinal| whole.event(*ordinal).map(Cow::Borrowed)).collect(),
            None => cells.encode_some(events, &ordinals, account)?,
        };
        Ok(Frame::batch(assemble(index, &pieces, token)))
    }

    /// The cells of the batch, or if they may not be kept some for this call alone.
    fn cells<'c>(&'c self, unkept: &'c mut Option<Box<Cells>>, account: &impl Account) -> &'c Cells {
        match self.0.get() {
            Some(cells) => cells,
            None => {
                keep(&self.0, Box::default(), size_of::<Cells>(), account).unwrap_or_else(|cells| unkept.insert(cells))
            }
        }
    }
}

impl fmt::Debug for FrameCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.0.get().and_then(|cells| cells.whole.get()).map(|whole| whole.frame.len());
        f.debug_struct("FrameCache").field("whole_bytes", &whole).finish_non_exhaustive()
    }
}

impl Cells {
    /// The whole frame with this token or without one, however the first was built.
    fn variant(&self, whole: &Whole, index: u64, token: Option<Token>, account: &impl Account) -> Frame {
        if whole.token == token {
            return whole.frame.clone();
        }
        if let Some((_, frame)) = self.other.get().filter(|(other, _)| *other == token) {
            return frame.clone();
        }
        let pieces: Vec<&str> = (0..whole.len()).filter_map(|ordinal| whole.event(ordinal)).collect();
        self.keep_variant(token, Frame::batch(assemble(index, &pieces, token)), account)
    }

    fn keep_variant(&self, token: Option<Token>, frame: Frame, account: &impl Account) -> Frame {
        match keep(&self.other, (token, frame.clone()), frame.heap_bytes(), account) {
            Ok((kept_token, kept)) if *kept_token == token => kept.clone(),
            _ => frame,
        }
    }

    /// Each of these events, encoded now if it has not been.
    fn encode_some<'a, P: Serialize>(
        &'a self,
        events: &[Event<P>],
        ordinals: &[usize],
        account: &impl Account,
    ) -> Result<Pieces<'a>, EncodeError> {
        let kept = self.event_cells(events.len(), account);
        let wanted = ordinals.iter().filter_map(|ordinal| Some((*ordinal, events.get(*ordinal)?)));
        wanted
            .map(|(ordinal, event)| {
                let cell = kept.get(ordinal);
                if let Some(text) = cell.and_then(OnceLock::get) {
                    return Ok(Cow::Borrowed(&**text));
                }
                let text = encode_event(event)?.into_boxed_str();
                Ok(match cell {
                    Some(cell) => keep_event(cell, text, account)
                        .map_or_else(|text| Cow::Owned(text.into_string()), Cow::Borrowed),
                    None => Cow::Owned(text.into_string()),
                })
            })
            .collect()
    }

    /// All events, encoded now if they have not been, and not kept one by one unless one of them fails.
    fn encode_all<'a, P: Serialize>(
        &'a self,
        events: &[Event<P>],
        account: &impl Account,
    ) -> Result<Vec<Cow<'a, str>>, EncodeError> {
        let kept = self.events.get();
        let pieces = Vec::with_capacity(events.len());
        let mut draft = Draft { cells: self, account, events: events.len(), pieces };
        for (ordinal, event) in events.iter().enumerate() {
            let piece = match kept.and_then(|kept| kept.get(ordinal)?.get()) {
                Some(text) => Cow::Borrowed(&**text),
                None => Cow::Owned(encode_event(event)?),
            };
            draft.pieces.push(piece);
        }
        Ok(std::mem::take(&mut draft.pieces))
    }

    /// A cell for each event, or none if they may not be kept.
    fn event_cells(&self, events: usize, account: &impl Account) -> &[EventCell] {
        if let Some(kept) = self.events.get() {
            return kept;
        }
        let cells: Box<[EventCell]> = std::iter::repeat_with(OnceLock::new).take(events).collect();
        let bytes = size_of_val(&*cells);
        keep(&self.events, cells, bytes, account).map_or(&[], |cells| cells)
    }
}

type EventCell = OnceLock<Box<str>>;

type Pieces<'a> = SmallVec<[Cow<'a, str>; 16]>;

fn keep_event<'c>(cell: &'c EventCell, text: Box<str>, account: &impl Account) -> Result<&'c str, Box<str>> {
    let bytes = text.len();
    keep(cell, text, bytes, account).map(|text| &**text)
}

/// Events on their way into a whole frame. If one of them fails or panics, those before it are kept one by one, so
/// that neither the next attempt nor a reader of those alone encodes them again.
struct Draft<'a, 'c, A: Account> {
    cells: &'a Cells,
    account: &'c A,
    events: usize,
    pieces: Vec<Cow<'a, str>>,
}

impl<A: Account> Drop for Draft<'_, '_, A> {
    fn drop(&mut self) {
        if self.pieces.is_empty() {
            return;
        }
        let cells = self.cells.event_cells(self.events, self.account);
        for (cell, piece) in cells.iter().zip(self.pieces.drain(..)) {
            if let Cow::Owned(text) = piece {
                let _ = keep_event(cell, text.into_boxed_str(), self.account);
            }
        }
    }
}

/// A frame of a whole batch, and where its events lie in it.
struct Whole {
    token: Option<Token>,
    frame: Frame,
    /// Where each event begins, and where one more would after a comma. Most batches have one event.
    starts: SmallVec<[usize; 2]>,
}

impl Whole {
    fn build(index: u64, pieces: &[Cow<'_, str>], token: Option<Token>) -> Self {
        let mut start = head(index).len();
        let mut starts = SmallVec::with_capacity(pieces.len() + 1);
        starts.push(start);
        starts.extend(pieces.iter().map(|piece| {
            start += piece.len() + 1;
            start
        }));
        Self { token, frame: Frame::batch(assemble(index, pieces, token)), starts }
    }

    fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// What it takes beside its own size.
    fn heap_bytes(&self) -> usize {
        let starts = if self.starts.spilled() { self.starts.capacity() * size_of::<usize>() } else { 0 };
        self.frame.heap_bytes() + starts
    }

    /// The JSON of the event at this ordinal.
    fn event(&self, ordinal: usize) -> Option<&str> {
        let (start, next) = (*self.starts.get(ordinal)?, *self.starts.get(ordinal + 1)?);
        self.frame.as_str().get(start..next - 1)
    }
}
