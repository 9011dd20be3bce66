//! The oracle: the broker once more, as obvious code, to compare with or to predict by.
//! Its log is in `broker`, its readers in `start` and `read`; what readers saw in a run of threads is for `history`.
//!
//! A [`NaiveBroker`] is given the same calls as what is tested, and returns what that must return. What is tested may be
//! a store that publishes, a reader that mirrors a state, a client of a stream, or a broker.
//!
//! ```
//! use event_broker::testing::oracle::{NaiveBroker, agree};
//! use event_broker::{Broker, Event, Request, Start, Term};
//!
//! let broker = Broker::builder().max_batches(3).build()?;
//! let mut naive = NaiveBroker::new().max_batches(3).epoch(broker.epoch());
//! for index in 1..=9 {
//!     let events = || [Event::new("Job", "JobRegistered", if index % 2 == 0 { "web" } else { "db" }, index)];
//!     broker.publish(index, events())?;
//!     naive.publish(index, events())?;
//! }
//! let request = || Ok::<_, event_broker::InvalidRequest>(Request::new().start(Start::Index(4)).term(Term::key("web")?));
//! let mut real = broker.subscribe(request()?)?;
//! let reader = naive.subscribe(request()?)?;
//! assert_eq!(real.verdict(), reader.verdict());
//! for _ in 0..3 {
//!     let (expected, actual) = (naive.try_recv(reader), real.try_recv());
//!     assert!(agree(&expected, &actual), "expected {expected:?}, found {actual:?}");
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it covers
//!
//! Publishing with every refusal, bounds in batches and events, every start with its refusals and verdict, reads that do
//! not wait, losses under both lag policies, every end in its precedence, resets, skips, tokens, terms, namespaces, event
//! types, predicates, grants of namespaces, and access that changes.
//!
//! # What it does not cover
//!
//! - **Waiting.** A read returns at once. Whether the broker wakes a reader is another question.
//! - **The authorizer.** The host's rules stay with the host, who passes their answer:
//!   [`subscribe_with`](NaiveBroker::subscribe_with), [`access_changed`](NaiveBroker::access_changed) and
//!   [`expire`](NaiveBroker::expire). [`Authorizer::permits`](crate::Authorizer::permits) can be passed as a
//!   [predicate](crate::Request::filter). Whom a published event concerns is not derived from it.
//! - **Bounds in bytes**, which depend on what a payload takes.
//! - **Windows that stay open** while batches are published and evicted. Item by item they return what reads return.
//! - **Counters**, `explain`, observers, frames.
//!
//! Two results are not determined by the semantics: how low [`Lagged::from`](crate::Lagged::from) is, and which of the
//! exact tokens a reader has. [`agree`] and [`NaiveBroker::resumes_exactly`] allow what may differ.

mod broker;
mod compare;
mod place;
mod read;
mod reader;
mod start;
mod wish;

pub use broker::NaiveBroker;
pub use compare::agree;
pub use reader::{NaiveDelivery, NaiveReader};
