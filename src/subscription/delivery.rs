//! What a read returns: the matching events of one batch, owned or borrowed.
//! Which events match is decided by `selector`; nothing here filters.
//!
//! Invariant: a selection holds at least one event, and its ordinals rise.
//!
//! Callers: the files beside this one make deliveries, and `frames` reads their selections.

use std::borrow::Cow;
use std::fmt;
use std::iter::FusedIterator;
use std::sync::Arc;

use crate::core::Published;
use crate::types::event::Event;
use crate::types::token::Token;

/// The events of a batch that were selected. `O` holds ordinals in rising order.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Selection<O> {
    /// Every event of the batch.
    All,
    /// One bit for each event, in a batch of up to 64 events.
    Bits(u64),
    /// The ordinals of the events, in a larger batch.
    Ordinals(O),
}

/// A selection from a batch that is borrowed. Its ordinals are stored in the batch, or were made for this reader.
pub(crate) type BorrowedSelection<'r> = Selection<Cow<'r, [u32]>>;

impl BorrowedSelection<'_> {
    /// Returns the selection of these ordinals out of `len` events, or `None` if there are none.
    pub(crate) fn of(len: usize, ordinals: impl Iterator<Item = u32>) -> Option<BorrowedSelection<'static>> {
        if len <= u64::BITS as usize {
            return Selection::of_bits(len, ordinals.fold(0, |bits, ordinal| bits | 1 << ordinal));
        }
        let ordinals: Vec<u32> = ordinals.collect();
        match ordinals.len() {
            0 => None,
            n if n == len => Some(Selection::All),
            _ => Some(Selection::Ordinals(Cow::Owned(ordinals))),
        }
    }

    /// Returns the same selection, owning its ordinals.
    #[inline]
    pub(crate) fn into_owned(self) -> Selection<Box<[u32]>> {
        self.map(|ordinals| ordinals.into_owned().into_boxed_slice())
    }
}

impl<O> Selection<O> {
    /// Returns the selection of these bits out of `len` events, at most 64, or `None` if no bit is set.
    #[inline]
    pub(crate) fn of_bits(len: usize, bits: u64) -> Option<Self> {
        match bits {
            0 => None,
            bits if bits.count_ones() as usize == len => Some(Self::All),
            bits => Some(Self::Bits(bits)),
        }
    }

    /// Returns the same selection with its ordinals held in another way.
    #[inline]
    pub(crate) fn map<Q>(self, hold: impl FnOnce(O) -> Q) -> Selection<Q> {
        match self {
            Self::All => Selection::All,
            Self::Bits(bits) => Selection::Bits(bits),
            Self::Ordinals(ordinals) => Selection::Ordinals(hold(ordinals)),
        }
    }
}

impl<O: AsRef<[u32]>> Selection<O> {
    #[inline]
    pub(crate) fn len(&self, all: usize) -> usize {
        match self {
            Self::All => all,
            Self::Bits(bits) => bits.count_ones() as usize,
            Self::Ordinals(ordinals) => ordinals.as_ref().len(),
        }
    }

    #[inline]
    pub(crate) fn events<'e, P>(&'e self, events: &'e [Event<P>]) -> Events<'e, P> {
        let which = match self {
            Self::All => Which::All(0..events.len()),
            Self::Bits(bits) => Which::Bits(*bits),
            Self::Ordinals(ordinals) => Which::Ordinals(ordinals.as_ref().iter()),
        };
        Events { events, which }
    }
}

/// The matching events of a delivery, in the order of the commit.
#[derive(Debug)]
pub struct Events<'a, P> {
    events: &'a [Event<P>],
    which: Which<'a>,
}

#[derive(Clone, Debug)]
enum Which<'a> {
    All(std::ops::Range<usize>),
    Bits(u64),
    Ordinals(std::slice::Iter<'a, u32>),
}

impl<P> Events<'_, P> {
    /// Returns the ordinal of the next event among all events of the batch.
    #[inline]
    fn next_ordinal(&mut self) -> Option<usize> {
        match &mut self.which {
            Which::All(range) => range.next(),
            Which::Bits(0) => None,
            Which::Bits(bits) => {
                let ordinal = bits.trailing_zeros();
                *bits &= *bits - 1;
                usize::try_from(ordinal).ok()
            }
            Which::Ordinals(ordinals) => usize::try_from(*ordinals.next()?).ok(),
        }
    }

    /// Returns the ordinals of these events among all events of the batch, in rising order.
    #[cfg(feature = "json")]
    pub(crate) fn ordinals(mut self) -> impl Iterator<Item = usize> {
        std::iter::from_fn(move || self.next_ordinal())
    }

    /// Skips the first `count` events at once.
    pub(crate) fn skip_first(&mut self, count: usize) {
        let Some(last) = count.checked_sub(1) else { return };
        match &mut self.which {
            Which::All(range) => _ = range.nth(last),
            Which::Bits(_) => (0..count).for_each(|_| _ = self.next_ordinal()),
            Which::Ordinals(ordinals) => _ = ordinals.nth(last),
        }
    }

    /// Returns the next event's ordinal, as it is stored and as an index.
    pub(crate) fn next_with_ordinal(&mut self) -> Option<(u32, usize)> {
        let ordinal = self.next_ordinal()?;
        Some((u32::try_from(ordinal).ok()?, ordinal))
    }
}

impl<'a, P> Iterator for Events<'a, P> {
    type Item = &'a Event<P>;

    #[inline]
    fn next(&mut self) -> Option<&'a Event<P>> {
        let ordinal = self.next_ordinal()?;
        self.events.get(ordinal)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = match &self.which {
            Which::All(range) => range.len(),
            Which::Bits(bits) => bits.count_ones() as usize,
            Which::Ordinals(ordinals) => ordinals.len(),
        };
        (len, Some(len))
    }
}

impl<P> ExactSizeIterator for Events<'_, P> {}
impl<P> FusedIterator for Events<'_, P> {}

impl<P> Clone for Events<'_, P> {
    fn clone(&self) -> Self {
        Self { events: self.events, which: self.which.clone() }
    }
}

/// The events of one batch that a subscription asked for. It shares the batch, so no event is copied.
///
/// A delivery keeps its own batch in memory, and nothing else.
///
/// ```
/// use event_broker::{Broker, Event, Request, Term};
///
/// let broker = Broker::<u8>::new();
/// let mut reader = broker.subscribe(Request::new().term(Term::new("Job", "web")?))?;
/// broker.publish(7, [
///     Event::new("Job", "JobRegistered", "web", 1),
///     Event::new("Job", "JobRegistered", "db", 2),
/// ])?;
/// let delivery = reader.recv()?;
/// assert_eq!(delivery.index(), 7);
/// assert_eq!(delivery.events().map(|event| *event.payload()).collect::<Vec<_>>(), [1]);
/// assert_eq!(delivery.batch_len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Delivery<P> {
    pub(crate) batch: Arc<Published<P>>,
    pub(crate) selection: Selection<Box<[u32]>>,
}

/// A delivery that borrows from the [drain window](crate::Drain) that yielded it.
///
/// ```
/// use event_broker::{Broker, Delivery, Event, Request};
///
/// let broker = Broker::<u8>::new();
/// let mut reader = broker.subscribe(Request::new())?;
/// broker.publish(7, [Event::new("Job", "JobRegistered", "web", 1)])?;
/// let kept: Vec<Delivery<u8>> = reader.drain()?.iter().map(|delivery| delivery.to_delivery()).collect();
/// assert_eq!(kept[0].index(), 7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct DeliveryRef<'w, P> {
    pub(crate) batch: &'w Arc<Published<P>>,
    pub(crate) selection: Selection<&'w [u32]>,
    /// Stored, so that a loop that counts events need not match on the selection for each item.
    len: usize,
}

macro_rules! delivery {
    ($name:ident $(<$life:lifetime>)?) => {
        impl<P> $name<$($life,)? P> {
            /// Returns the index of the commit.
            pub fn index(&self) -> u64 {
                self.batch.place.index
            }

            /// Returns the matching events, at least one, in the order of the commit.
            #[inline]
            pub fn events(&self) -> Events<'_, P> {
                self.selection.events(&self.batch.events)
            }

            /// Returns `false`: a batch without a matching event is not delivered.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// Returns the number of events in the whole batch, matching or not.
            pub fn batch_len(&self) -> usize {
                self.batch.events.len()
            }

            /// Returns the token after this delivery. A subscription that starts
            /// [`Start::After`](crate::Start::After) it continues with the next batch.
            pub fn token(&self) -> Token {
                Token::new(self.batch.epoch, self.batch.place.next())
            }
        }

        impl<P> fmt::Debug for $name<$($life,)? P> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))
                    .field("index", &self.index())
                    .field("events", &self.len())
                    .finish_non_exhaustive()
            }
        }
    };
}

delivery!(Delivery);
delivery!(DeliveryRef<'_>);

impl<P> Delivery<P> {
    #[inline]
    pub(crate) fn whole(batch: Arc<Published<P>>) -> Self {
        Self { batch, selection: Selection::All }
    }

    /// Returns the number of events that match.
    #[inline]
    pub fn len(&self) -> usize {
        self.selection.len(self.batch.events.len())
    }
}

impl<'w, P> DeliveryRef<'w, P> {
    #[inline]
    pub(crate) fn whole(batch: &'w Arc<Published<P>>) -> Self {
        Self { batch, selection: Selection::All, len: batch.events.len() }
    }

    #[inline]
    pub(crate) fn part(batch: &'w Arc<Published<P>>, selection: Selection<&'w [u32]>) -> Self {
        let len = selection.len(batch.events.len());
        Self { batch, selection, len }
    }

    /// Returns the delivery of these events, which are `len`.
    #[inline]
    pub(crate) fn of_bits(batch: &'w Arc<Published<P>>, bits: u64, len: usize) -> Self {
        let selection = if len == batch.events.len() { Selection::All } else { Selection::Bits(bits) };
        Self { batch, selection, len }
    }

    /// Returns the number of events that match.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns the same delivery, owned: it shares the batch.
    pub fn to_delivery(&self) -> Delivery<P> {
        Delivery { batch: Arc::clone(self.batch), selection: self.selection.map(Box::from) }
    }
}

impl<P> Clone for Delivery<P> {
    fn clone(&self) -> Self {
        Self { batch: Arc::clone(&self.batch), selection: self.selection.clone() }
    }
}

#[cfg(all(test, not(broker_loom)))]
mod tests {
    use super::*;

    fn selected(len: usize, ordinals: &[u32]) -> Vec<usize> {
        let events: Vec<_> = (0..len).map(|n| Event::new("t", "e", "k", n)).collect();
        let selection = BorrowedSelection::of(len, ordinals.iter().copied());
        selection.map_or_else(Vec::new, |selection| {
            assert_eq!(selection.len(len), selection.events(&events).len());
            selection.events(&events).map(|event| *event.payload()).collect()
        })
    }

    #[test]
    fn small_and_large_batches_select_alike() {
        for len in [3, 64, 65, 200] {
            assert_eq!(selected(len, &[]), Vec::<usize>::new());
            assert_eq!(selected(len, &[0, 2]), [0, 2]);
            let all: Vec<u32> = (0..u32::try_from(len).expect("small")).collect();
            assert_eq!(selected(len, &all), (0..len).collect::<Vec<_>>());
            assert!(matches!(BorrowedSelection::of(len, all.into_iter()), Some(Selection::All)));
        }
        assert_eq!(selected(64, &[63]), [63]);
        assert_eq!(selected(200, &[64, 199]), [64, 199]);
    }
}
