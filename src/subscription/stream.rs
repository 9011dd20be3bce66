//! The adapter to `futures_core::Stream`, by feature.
//! It adds no waiting of its own.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::delivery::Delivery;
use super::state::Subscription;
use crate::types::error::RecvError;

/// Yields deliveries; a loss that is no end as an error among them; the end as its last error, and then `None`. For
/// [`RecvError::Closed`] there is just `None`.
impl<P> Stream for Subscription<P> {
    type Item = Result<Delivery<P>, RecvError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        this.poll_recv(context).map(|result| match result {
            Ok(delivery) => Some(Ok(delivery)),
            Err(error) => this.last_error(error).map(Err),
        })
    }
}
