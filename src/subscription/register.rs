//! Registering: how every reader registers its waiter before it waits, and the doorbell.
//! How a thread waits is in `recv`, how a task does in `poll`, and how a window arms the doorbell in `drain`.
//!
//! Every reader waits in the same order: it stores its signal, registers its waiter, reads once more, and sleeps.
//!
//! Invariants:
//! - A reader reads after it has registered, and before it sleeps. So either it sees a batch, or the publisher of the
//!   batch sees its registration; `wait` gives the argument.
//! - What a waiter is registered for follows from the state of its start. A read may place a cursor whose start was
//!   pending. The waiter is not registered in its nodes' lists then, so
//!   [`register_and_retry`](Subscription::register_and_retry) registers and reads again.
//! - Unless a read returns a delivery or an end, it leaves the doorbell armed or ringing.
//!
//! Callers: `recv` and `poll` call `register_and_retry`. Windows and [`doorbell`](Subscription::doorbell) call
//! `register`: they ring the bell for what came before, instead of reading again.

use std::sync::Arc;
use std::thread::panicking;

use crossbeam_channel::Receiver;

use super::state::{StartState, Subscription};
use crate::core::Waiter;
use crate::wait::seq_cst_fence;

impl<P> Subscription<P> {
    /// Returns a channel that receives one `()` when there is anything to read and at every end, for
    /// `crossbeam_channel::select!`.
    ///
    /// After each ring, open a window, or call [`try_recv`](Self::try_recv) until it finds nothing more. Either arms
    /// the bell again. A window that leaves anything unread makes the bell ring at once. So one window for each ring is
    /// enough, and the other channels are served however fast batches come. A loop that reads until nothing is left may
    /// not return to them.
    ///
    /// A ring may find nothing to read, but a ring is never missed. After an error that is not terminal, such as a loss
    /// after which the reader continues, and after a panic the bell rings again. The first ring comes at once.
    ///
    /// One [`try_recv`](Self::try_recv) for each ring is not enough: the bell stays silent until it finds nothing. The
    /// passing of time does not ring the bell, see [`Broker::tick`](crate::Broker::tick). A subscription has one bell,
    /// and each call returns a receiver of it. The bell is disconnected once the subscription and all its
    /// [handles](Self::handle) are dropped.
    ///
    /// ```
    /// use crossbeam_channel::{bounded, select};
    /// use event_broker::{Broker, Event, Request};
    ///
    /// let broker = Broker::<u64>::new();
    /// let mut reader = broker.subscribe(Request::new())?;
    /// let bell = reader.doorbell();
    /// let (stop, stopped) = bounded::<()>(0);
    /// let publisher = std::thread::spawn(move || {
    ///     broker.publish(1, [Event::new("Job", "JobRegistered", "web", 7)]).unwrap();
    ///     drop(broker); // closes it
    ///     # std::thread::park();
    ///     drop(stop);
    /// });
    /// let mut sum = 0;
    /// loop {
    ///     select! {
    ///         recv(bell) -> _ => match reader.drain() {
    ///             Ok(mut window) => {
    ///                 for delivery in &mut window {
    ///                     sum += delivery.events().map(|event| event.payload()).sum::<u64>();
    ///                 }
    ///             }
    ///             Err(end) if end.is_terminal() => break,
    ///             Err(loss) => eprintln!("{loss}"), // the reader continues, and the bell rings again
    ///         },
    ///         recv(stopped) -> _ => break,
    ///     }
    /// }
    /// # publisher.thread().unpark();
    /// # publisher.join().unwrap();
    /// assert_eq!(sum, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn doorbell(&mut self) -> Receiver<()> {
        let bell = self.waiter.doorbell();
        self.register();
        // The first ring covers everything that came before the bell could ring.
        self.waiter.wake();
        bell
    }

    /// Registers the waiter for what the reader waits for, and reads once more.
    ///
    /// The read may place a pending start and find nothing to read there. The waiter is not registered for its terms
    /// then, so it is registered and the read repeated.
    pub(super) fn register_and_retry<T>(&mut self, mut read: impl FnMut(&mut Self) -> Option<T>) -> Option<T> {
        loop {
            let was_pending = self.start_state == StartState::Pending;
            self.register();
            let found = read(self);
            if found.is_some() || was_pending == (self.start_state == StartState::Pending) {
                return found;
            }
        }
    }

    /// Registers the waiter so that the next match wakes the reader. The caller must read once more afterwards, and
    /// check that the reader still waits for what it was registered for.
    ///
    /// The fence at the end orders the registration before that read. Its partner is `sync::store_and_fence` in the
    /// publisher.
    pub(super) fn register(&mut self) {
        let nodes = &self.waiter.shared.nodes;
        if self.start_state == StartState::Pending {
            // Its pending start wakes it when the place comes.
        } else if self.waiter.has_hit_queue() {
            self.cursor.register_unvisited(&self.waiter);
        } else if nodes.is_empty() {
            self.core.unfiltered.register(&self.waiter, 0);
        } else {
            for (list, node) in nodes.iter().enumerate() {
                node.lists.waiting.register(&self.waiter, list);
            }
        }
        seq_cst_fence();
    }

    /// Returns a guard that leaves the doorbell ringing if a panic drops it.
    pub(super) fn rings_on_panic(&self) -> Option<RingsOnPanic> {
        self.waiter.has_doorbell().then(|| RingsOnPanic(Arc::clone(&self.waiter)))
    }
}

/// Removes the signal of a waiting thread when it is dropped, also if a read panics.
pub(super) struct ClearSignalOnDrop(pub(super) Waiter);

impl Drop for ClearSignalOnDrop {
    fn drop(&mut self) {
        self.0.clear_signal();
    }
}

/// Leaves the doorbell ringing if a read panics, because there may be more to read.
pub(super) struct RingsOnPanic(Waiter);

impl Drop for RingsOnPanic {
    fn drop(&mut self) {
        if panicking() {
            self.0.wake();
        }
    }
}
