//! The adapter to `futures_core::Stream`, by the feature `stream`.
//! Waiting and yielding are in `poll`, and which errors are items in `iter`.
//!
//! Invariant: the end is yielded once, and `None` after it.
//!
//! Callers: users, through the trait.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::delivery::Delivery;
use super::state::Subscription;
use crate::types::error::RecvError;

/// Yields deliveries, and a loss after which the reader continues as an error among them. The end is the last item, as
/// an error, and `None` follows. [`RecvError::Closed`] is not yielded: the stream ends with `None`.
impl<P> Stream for Subscription<P> {
    type Item = Result<Delivery<P>, RecvError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        this.poll_recv(context).map(|result| match result {
            Ok(delivery) => Some(Ok(delivery)),
            Err(error) => this.yield_error(error).map(Err),
        })
    }
}
