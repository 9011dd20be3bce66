//! Caches the encoded forms of a batch, so that each event is encoded once, and assembles frames from them.
//! How an event becomes text is decided in `encode`. The memory is charged by the owner of the batch, in `core`.
//!
//! Invariants:
//! - A cell receives only a finished value. No reader waits for another reader's encoding, which is foreign code.
//! - Everything stored is charged to an [`Account`] before it is stored. What the account refuses is not stored.
//! - Every call on one cache passes the events of the same batch.
//!
//! Callers: `frames::delivery`, on the reader's thread, without a lock.

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
use crate::writes;

/// The encoded forms of one batch. It lives beside the batch, and takes two words until it is used.
///
/// An event is encoded by the first reader that needs it. Readers that need it at the same time may each encode it, and
/// one result is stored. If an encoding fails or panics, what was encoded before it is stored, and the next reader
/// tries again.
///
/// Once a full frame exists, which holds all events, parts are cut out of it. Stored beside it are the events that were
/// needed alone before that, and a second full frame if frames with and without the token are both requested. Memory is
/// charged to an [`Account`] exactly as it is requested from the allocator.
#[derive(Default)]
pub(crate) struct FrameCache(OnceLock<Box<Cells>>);

/// The account to which the memory of a cache is charged.
pub(crate) trait Account {
    /// Charges bytes that are about to be stored. Returns whether they may be stored.
    fn charge(&self, bytes: u64) -> bool;
    /// Removes a charge for bytes that were not stored, because another reader was faster.
    fn refund(&self, bytes: u64);
}

/// Stores a finished value in a cell, unless the cell is filled or the account refuses. Returns the stored value, or
/// `value` if there is none.
fn store<'c, T>(cell: &'c OnceLock<T>, value: T, bytes: usize, account: &impl Account) -> Result<&'c T, T> {
    let bytes = bytes as u64;
    let unstored = if cell.get().is_none() && account.charge(bytes) {
        let unstored = cell.set(value).err();
        if unstored.is_some() {
            account.refund(bytes);
        }
        unstored
    } else {
        Some(value)
    };
    match (cell.get(), unstored) {
        (None, Some(value)) => Err(value),
        (stored, _) => Ok(stored.expect("it was set")),
    }
}

#[derive(Default)]
struct Cells {
    /// The first full frame that was built.
    full: OnceLock<FullFrame>,
    /// The second full frame: without the token if the first has it, and with it otherwise.
    other: OnceLock<(Option<Token>, Frame)>,
    /// Events that were needed before there was a full frame.
    events: OnceLock<Box<[OnceLock<Box<str>>]>>,
}

/// Returns a cached frame, whose bytes are shared by a reference count.
fn share(frame: &Frame) -> Frame {
    writes::reference(frame);
    frame.clone()
}

impl FrameCache {
    pub(crate) const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// Returns the frame of all events, if the first one was built with this token, or without one if `token` is
    /// `None`.
    #[inline]
    pub(crate) fn ready(&self, token: Option<Token>) -> Option<Frame> {
        let full = self.0.get()?.full.get()?;
        if full.token == token { Some(share(&full.frame)) } else { None }
    }

    /// Returns the frame of all events. All callers that pass the same token share its bytes.
    pub(crate) fn full_frame<P: Serialize>(
        &self,
        index: u64,
        events: &[Event<P>],
        token: Option<Token>,
        account: &impl Account,
    ) -> Result<Frame, EncodeError> {
        let mut unstored = None;
        let cells = self.cells(&mut unstored, account);
        if let Some(full) = cells.full.get() {
            return Ok(cells.variant(full, index, token, account));
        }
        let built = FullFrame::build(index, &cells.encode_all(events, account)?, token);
        let (frame, bytes) = (built.frame.clone(), built.heap_bytes());
        match store(&cells.full, built, bytes, account) {
            Ok(stored) if stored.token == token => Ok(share(&stored.frame)),
            // Another reader stored the first full frame, with another token. This frame is stored as the second.
            Ok(_) => Ok(cells.store_variant(token, frame, account)),
            Err(_) => Ok(frame),
        }
    }

    /// Returns the frame of the events at these ordinals. The ordinals rise and lie within the batch.
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
            return self.full_frame(index, events, token, account);
        }
        let mut unstored = None;
        let cells = self.cells(&mut unstored, account);
        let pieces = match cells.full.get() {
            Some(full) => ordinals.iter().filter_map(|ordinal| full.event(*ordinal).map(Cow::Borrowed)).collect(),
            None => cells.encode_some(events, &ordinals, account)?,
        };
        Ok(Frame::batch(assemble(index, &pieces, token)))
    }

    /// Returns the cells of the batch. If the account refuses them, returns cells for this call alone.
    fn cells<'c>(&'c self, unstored: &'c mut Option<Box<Cells>>, account: &impl Account) -> &'c Cells {
        match self.0.get() {
            Some(cells) => cells,
            None => store(&self.0, Box::default(), size_of::<Cells>(), account)
                .unwrap_or_else(|cells| unstored.insert(cells)),
        }
    }
}

impl fmt::Debug for FrameCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let full = self.0.get().and_then(|cells| cells.full.get()).map(|full| full.frame.len());
        f.debug_struct("FrameCache").field("full_bytes", &full).finish_non_exhaustive()
    }
}

impl Cells {
    /// Returns the full frame with this token or without one: the first one built, the second, or one assembled now
    /// from the first.
    fn variant(&self, full: &FullFrame, index: u64, token: Option<Token>, account: &impl Account) -> Frame {
        if full.token == token {
            return share(&full.frame);
        }
        if let Some((_, frame)) = self.other.get().filter(|(other, _)| *other == token) {
            return share(frame);
        }
        let pieces: Vec<&str> = (0..full.len()).filter_map(|ordinal| full.event(ordinal)).collect();
        self.store_variant(token, Frame::batch(assemble(index, &pieces, token)), account)
    }

    fn store_variant(&self, token: Option<Token>, frame: Frame, account: &impl Account) -> Frame {
        match store(&self.other, (token, frame.clone()), frame.heap_bytes(), account) {
            Ok((stored_token, stored)) if *stored_token == token => share(stored),
            _ => frame,
        }
    }

    /// Returns the text of each of these events, and encodes those that are not stored.
    fn encode_some<'a, P: Serialize>(
        &'a self,
        events: &[Event<P>],
        ordinals: &[usize],
        account: &impl Account,
    ) -> Result<Pieces<'a>, EncodeError> {
        let stored = self.event_cells(events.len(), account);
        let wanted = ordinals.iter().filter_map(|ordinal| Some((*ordinal, events.get(*ordinal)?)));
        wanted
            .map(|(ordinal, event)| {
                let cell = stored.get(ordinal);
                if let Some(text) = cell.and_then(OnceLock::get) {
                    return Ok(Cow::Borrowed(&**text));
                }
                let text = encode_event(event)?.into_boxed_str();
                Ok(match cell {
                    Some(cell) => store_event(cell, text, account)
                        .map_or_else(|text| Cow::Owned(text.into_string()), Cow::Borrowed),
                    None => Cow::Owned(text.into_string()),
                })
            })
            .collect()
    }

    /// Returns the text of all events, and encodes those that are not stored. The texts are stored one by one only if
    /// an encoding fails or panics.
    fn encode_all<'a, P: Serialize>(
        &'a self,
        events: &[Event<P>],
        account: &impl Account,
    ) -> Result<Vec<Cow<'a, str>>, EncodeError> {
        let stored = self.events.get();
        let pieces = Vec::with_capacity(events.len());
        let mut draft = Draft { cells: self, account, events: events.len(), pieces };
        for (ordinal, event) in events.iter().enumerate() {
            let piece = match stored.and_then(|stored| stored.get(ordinal)?.get()) {
                Some(text) => Cow::Borrowed(&**text),
                None => Cow::Owned(encode_event(event)?),
            };
            draft.pieces.push(piece);
        }
        Ok(std::mem::take(&mut draft.pieces))
    }

    /// Returns a cell for each event, or none if the account refuses them.
    fn event_cells(&self, events: usize, account: &impl Account) -> &[EventCell] {
        if let Some(stored) = self.events.get() {
            return stored;
        }
        let cells: Box<[EventCell]> = std::iter::repeat_with(OnceLock::new).take(events).collect();
        let bytes = size_of_val(&*cells);
        store(&self.events, cells, bytes, account).map_or(&[], |cells| cells)
    }
}

type EventCell = OnceLock<Box<str>>;

type Pieces<'a> = SmallVec<[Cow<'a, str>; 16]>;

fn store_event<'c>(cell: &'c EventCell, text: Box<str>, account: &impl Account) -> Result<&'c str, Box<str>> {
    let bytes = text.len();
    store(cell, text, bytes, account).map(|text| &**text)
}

/// The events encoded so far for a full frame. If one of them fails or panics, the drop stores those before it one by
/// one, so that neither the next attempt nor a reader of those alone encodes them again.
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
                let _ = store_event(cell, text.into_boxed_str(), self.account);
            }
        }
    }
}

/// The frame of all events of a batch, and where each event begins in it.
struct FullFrame {
    token: Option<Token>,
    frame: Frame,
    /// The offset of each event, and the offset at which one more would begin after a comma. Two fit in place, because
    /// most batches have one event.
    starts: SmallVec<[usize; 2]>,
}

impl FullFrame {
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

    /// Returns the heap memory that it takes.
    fn heap_bytes(&self) -> usize {
        let starts = if self.starts.spilled() { self.starts.capacity() * size_of::<usize>() } else { 0 };
        self.frame.heap_bytes() + starts
    }

    /// Returns the JSON of the event at this ordinal.
    fn event(&self, ordinal: usize) -> Option<&str> {
        let (start, next) = (*self.starts.get(ordinal)?, *self.starts.get(ordinal + 1)?);
        self.frame.as_str().get(start..next - 1)
    }
}
