//! Hooks that call the broker that calls them, by every operation.
//!
//! Each runs with a time limit: a hook that is called under a lock would deadlock.

use std::sync::{Arc, Mutex, PoisonError};

use event_broker::{AccessChange, Broker, Request};

use super::host::{Bystander, Hook, Host, Payload, exercise, hooked, publish_next, request};
use crate::common::in_time;

/// What a hook does to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Subscribe,
    Unsubscribe,
    Publish,
    PublishNothing,
    Close,
    Reset,
    AccessChanged,
    TokenDeleted,
    Tick,
    Stats,
    Subscriptions,
    Read,
    HasInterest,
}

impl Call {
    const ALL: [Self; 13] = [
        Self::Subscribe,
        Self::Unsubscribe,
        Self::Publish,
        Self::PublishNothing,
        Self::Close,
        Self::Reset,
        Self::AccessChanged,
        Self::TokenDeleted,
        Self::Tick,
        Self::Stats,
        Self::Subscriptions,
        Self::Read,
        Self::HasInterest,
    ];

    /// Whether it ends the open subscriptions.
    fn ends_all(self) -> bool {
        matches!(self, Self::Close | Self::Reset)
    }

    fn make(
        self,
        host: &Arc<Host>,
        broker: &Broker<Payload>,
        spare: &Mutex<Option<event_broker::Subscription<Payload>>>,
    ) {
        let spare = || spare.lock().unwrap_or_else(PoisonError::into_inner);
        match self {
            Self::Subscribe => drop(broker.subscribe(request(host))),
            Self::Unsubscribe => {
                let reader = spare().take();
                drop(reader);
            }
            Self::Publish => publish_next(host, broker),
            Self::PublishNothing => drop(broker.publish(broker.latest_index() + 1, [])),
            Self::Close => broker.close(),
            Self::Reset => broker.reset(broker.latest_index(), broker.epoch()),
            Self::AccessChanged => broker.access_changed(AccessChange::Everyone),
            Self::TokenDeleted => broker.access_changed(AccessChange::TokenDeleted("nobody".into())),
            Self::Tick => broker.tick(),
            Self::Stats => assert!(broker.stats().published_batches < 100),
            Self::Subscriptions => {
                let lags: u64 = broker.subscriptions().iter().map(|handle| handle.stats().lag).sum();
                assert!(lags < 100, "{broker:?}");
            }
            Self::Read => {
                let reader = spare().take();
                if let Some(mut reader) = reader {
                    drop(reader.try_recv());
                    drop(reader.drain());
                    *spare() = Some(reader);
                }
            }
            Self::HasInterest => {
                broker.has_interest("Job", "default", "web");
            }
        }
    }
}

/// Every call from within every hook returns, and changes for the others only what it is for.
fn every_call_from(hook: Hook) {
    for call in Call::ALL {
        in_time(move || {
            let (host, broker) = hooked();
            let mut bystander = Bystander::new(&broker);
            let spare = Arc::new(Mutex::new(broker.subscribe(Request::new()).ok()));
            let code = {
                let (host, weak, spare) = (Arc::downgrade(&host), broker.downgrade(), Arc::clone(&spare));
                move || {
                    if let (Some(host), Some(broker)) = (host.upgrade(), weak.upgrade()) {
                        call.make(&host, &broker, &spare);
                    }
                }
            };
            host.set(hook, code);
            exercise(&host, &broker, &mut |name, step| {
                step();
                if call.ends_all() && host.has_run(hook) {
                    // An end is permanent; a broker that is open continues.
                    assert_eq!(broker.is_closed(), call == Call::Close);
                } else {
                    bystander.check_after(name, &host, &broker);
                }
            });
            assert!(host.has_run(hook), "{hook:?} was not reached");
            if !broker.is_closed() {
                Bystander::new(&broker).noticed_nothing(&host, &broker);
            }
        });
    }
}

macro_rules! every_call_from {
    ($($name:ident: $hook:ident;)*) => {$(
        #[test]
        fn $name() {
            every_call_from(Hook::$hook);
        }
    )*};
}

every_call_from! {
    from_the_authorizers_answer: Authorize;
    from_the_authorizers_check_of_an_event: Permits;
    from_what_says_which_events_change_access: Changes;
    from_a_predicate: Predicate;
    from_a_weigher: Weigher;
    from_an_observer_of_publishing: OnPublish;
    from_an_observer_of_evictions: OnEvict;
    from_an_observer_of_subscribing: OnSubscribe;
    from_an_observer_of_losses: OnLag;
    from_an_observer_of_ends: OnEnd;
    from_a_waker: Wake;
    from_the_drop_of_a_waker: WakerDrop;
    from_the_drop_of_a_payload: PayloadDrop;
}
