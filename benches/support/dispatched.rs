//! The crate with a dispatcher on a thread of its own, which wakes readers instead of the publisher.
//!
//! Readers are those of `ours`.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use event_broker::{Broker, Dispatcher, Subscription};

use super::event::{Event, Payload};
use super::ours::Ours;
use super::{Awaited, Seen, Structure, Want};

/// A dispatcher on its own thread.
pub(crate) struct Waking {
    dispatcher: Arc<Dispatcher<Payload>>,
    thread: Option<JoinHandle<()>>,
}

impl Waking {
    pub(crate) fn start(broker: &Broker<Payload>) -> Self {
        let dispatcher = Arc::new(broker.dispatcher());
        let running = Arc::clone(&dispatcher);
        let thread = std::thread::spawn(move || running.run());
        // Until it runs, the publisher wakes the readers.
        std::thread::sleep(Duration::from_millis(50));
        Self { dispatcher, thread: Some(thread) }
    }
}

impl Drop for Waking {
    fn drop(&mut self) {
        self.dispatcher.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("a dispatcher that was stopped");
        }
    }
}

/// A broker and its dispatcher.
pub(crate) struct Dispatched<const OWNED: bool> {
    ours: Ours<OWNED>,
    _waking: Waking,
}

impl<const OWNED: bool> Structure for Dispatched<OWNED> {
    type Reader = Subscription<Payload>;
    type Prepared = (u64, Vec<Event>);
    const SEES_ALL: bool = Ours::<OWNED>::SEES_ALL;

    fn name() -> &'static str {
        if OWNED { "event-broker, owned, dispatcher" } else { "event-broker, drain, dispatcher" }
    }

    fn open(wants: &[Want], capacity: usize) -> (Self, Vec<Self::Reader>) {
        let (ours, readers) = Ours::open(wants, capacity);
        let waking = Waking::start(&ours.broker);
        (Self { ours, _waking: waking }, readers)
    }

    fn prepare(index: u64, events: Vec<Event>) -> Self::Prepared {
        (index, events)
    }

    fn publish(&mut self, batch: Self::Prepared) {
        self.ours.publish(batch);
    }

    #[inline]
    fn drain(&self, reader: &mut Self::Reader) -> Seen {
        self.ours.drain(reader)
    }
}

impl<const OWNED: bool> Awaited for Dispatched<OWNED> {
    async fn wait(reader: &mut Self::Reader) -> Seen {
        Ours::<OWNED>::wait(reader).await
    }
}
