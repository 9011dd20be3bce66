//! Histories: what was published, what each reader saw of it, and validators of whether the two fit together.
//! No broker runs here; what a reader must see in a run that can be predicted is for `oracle`.
//!
//! A run of threads cannot be predicted, but it can be judged. The publishers record what they publish in a [`History`],
//! each reader what it sees in a [`Trace`], and afterwards each validator checks one guarantee.
//!
//! ```
//! use std::sync::Mutex;
//! use std::thread;
//!
//! use event_broker::testing::history::{History, Trace, check_all};
//! use event_broker::{Broker, Event, LagPolicy, Request, Start};
//!
//! let broker = Broker::<u64>::builder().max_batches(4).build()?;
//! let history = Mutex::new(History::new());
//! let request = || Request::new().start(Start::Index(1)).lag_policy(LagPolicy::Continue);
//! let traces: Vec<Trace> = thread::scope(|scope| {
//!     let readers = ["one", "two"].map(|name| {
//!         let mut reader = broker.subscribe(request()).unwrap();
//!         scope.spawn(move || {
//!             let mut trace = Trace::of(name, &request());
//!             loop {
//!                 match reader.recv() {
//!                     Ok(delivery) => trace.delivered_by(&delivery, |event| *event.payload()),
//!                     Err(error) => {
//!                         trace.failed(&error); // a loss, or the end
//!                         if error.is_terminal() {
//!                             return trace;
//!                         }
//!                     }
//!                 }
//!             }
//!         })
//!     });
//!     for number in 1..=100 {
//!         let mut history = history.lock().unwrap(); // as a store commits and publishes under its lock
//!         let events = [Event::new("Job", "JobRegistered", "web", number)];
//!         history.record_by(number, &events, |event| *event.payload());
//!         broker.publish(number, events).unwrap();
//!     }
//!     broker.close();
//!     readers.into_iter().map(|reader| reader.join().unwrap()).collect()
//! });
//! check_all(&history.into_inner()?, &traces)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is recorded
//!
//! A history is of one epoch, and of one stretch of it in which nothing was [skipped](crate::Broker::skip_to). Where a
//! reader began, what had been published before a read that found nothing, and what at most when it resumed, are bounds:
//! the tighter they are, the more is found. A reader whose access changed has filters that look at an event's
//! [position](PastEvent::position): [`Trace::may_see`] and [`Trace::must_see`].
//!
//! A lost range is found by the indexes of its ends. Where more than two batches have one index, it may fit in several
//! places, and none of them is refused.

mod checks;
mod past;
mod trace;
mod violation;

pub use checks::{
    CHECKS, Check, check_all, check_atomic, check_fence, check_no_silent_loss, check_order, check_resumable,
    check_unique,
};
pub use past::{EventId, History, PastEvent};
pub use trace::{Step, Trace};
pub use violation::{Guarantee, Violation};
