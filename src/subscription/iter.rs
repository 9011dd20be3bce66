//! The blocking iterator over deliveries, and which errors an iterator or stream yields.
//! How each item is read is decided in `recv`.
//!
//! Invariant: a terminal error is yielded once, and [`RecvError::Closed`] never.
//!
//! Callers: users; `stream` and `frames` for `yield_error`.

use std::fmt;

use super::delivery::Delivery;
use super::state::{Ended, Subscription};
use crate::types::error::RecvError;

impl<P> Subscription<P> {
    /// Iterates over deliveries and waits for each.
    ///
    /// The end is the last item, as an error; [`RecvError::Closed`] is not yielded. A loss after which the reader
    /// continues is an item like any other.
    ///
    /// ```
    /// use event_broker::{Broker, Event, Request};
    ///
    /// let broker = Broker::<()>::new();
    /// let mut reader = broker.subscribe(Request::new())?;
    /// for index in [10, 20] {
    ///     broker.publish(index, [Event::new("Job", "JobRegistered", "web", ())])?;
    /// }
    /// broker.close();
    /// let indexes: Vec<_> = reader.iter().map(|item| item.map(|delivery| delivery.index())).collect::<Result<_, _>>()?;
    /// assert_eq!(indexes, [10, 20]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn iter(&mut self) -> Iter<'_, P> {
        Iter { subscription: self }
    }

    /// Returns what an iterator or stream yields for `error`: an end once, and then `None`.
    pub(crate) fn yield_error(&mut self, error: RecvError) -> Option<RecvError> {
        if !error.is_terminal() {
            return Some(error);
        }
        let before = self.ended.replace(Box::new(Ended { error: error.clone(), yielded: true }));
        let yielded = before.is_some_and(|ended| ended.yielded);
        (!yielded && error != RecvError::Closed).then_some(error)
    }
}

/// The iterator of [`Subscription::iter`].
pub struct Iter<'s, P> {
    subscription: &'s mut Subscription<P>,
}

impl<P> Iterator for Iter<'_, P> {
    type Item = Result<Delivery<P>, RecvError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.subscription.recv() {
            Ok(delivery) => Some(Ok(delivery)),
            Err(error) => self.subscription.yield_error(error).map(Err),
        }
    }
}

impl<P> fmt::Debug for Iter<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").field("subscription", &self.subscription).finish()
    }
}

#[expect(clippy::into_iter_without_iter, reason = "`iter` is what callers look for; items are not mutable")]
impl<'s, P> IntoIterator for &'s mut Subscription<P> {
    type Item = Result<Delivery<P>, RecvError>;
    type IntoIter = Iter<'s, P>;

    fn into_iter(self) -> Iter<'s, P> {
        self.iter()
    }
}
