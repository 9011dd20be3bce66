//! Who may read: authorizers, grants, access changes, the fence, expiry, and common mistakes.
//! For a server that limits what its readers may see, and takes access back while a stream is open.
//!
//! A broker without an [`Authorizer`] allows everything. With one, [`Broker::subscribe`] asks it, and every reader asks
//! it again when something that its grant rests on has changed.
//!
//! # The authorizer
//!
//! The trait has three methods. Each has a default: allow everything, change nothing.
//!
//! | method | decides | runs |
//! |---|---|---|
//! | [`authorize`](crate::Authorizer::authorize) | a request: a [`Grant`] or a [`Denial`] | on the thread that subscribes, and later on the thread that reads |
//! | [`permits`](crate::Authorizer::permits) | one event, for rules finer than namespaces | on the thread that reads |
//! | [`changes`](crate::Authorizer::changes) | which changes of access an event represents | on the thread that publishes |
//!
//! All three run outside every lock of the broker, so they may call it. A slow `authorize` or `permits` delays the
//! reader that it is asked for, a slow `changes` the publisher. A panic of `authorize` reaches the caller of
//! [`Broker::subscribe`]; in a later check it counts as a denial. A panic of `permits` reaches the caller of the read,
//! and the batch has not been passed. A panic of `changes` reaches the publisher, and nothing is published.
//!
//! [`AccessRequest::is_recheck`] separates the opening of a subscription from a later check. A limit on the number of
//! subscriptions belongs to the opening alone.
//!
//! ```
//! use std::collections::BTreeMap;
//! use std::sync::{Arc, Mutex};
//! use event_broker::{
//!     AccessChange, AccessRequest, Authorizer, Broker, Denial, Event, Grant, Principal, RecvError, Request,
//!     TryRecvError,
//! };
//!
//! /// The server's own rules: the namespaces that each policy allows, and one policy for each principal.
//! #[derive(Default)]
//! struct Acl {
//!     policies: Mutex<BTreeMap<String, Vec<String>>>,
//! }
//!
//! impl Acl {
//!     fn set(&self, policy: &str, namespaces: &[&str]) {
//!         let namespaces = namespaces.iter().map(|name| name.to_string()).collect();
//!         self.policies.lock().unwrap().insert(policy.to_owned(), namespaces);
//!     }
//! }
//!
//! impl<P> Authorizer<P> for Acl {
//!     fn authorize(&self, request: &AccessRequest<'_>) -> Result<Grant, Denial> {
//!         // By the state as it is now. Here a principal's id is the name of its policy.
//!         let policy = request.principal().id();
//!         match self.policies.lock().unwrap().get(policy) {
//!             Some(namespaces) => Ok(Grant::namespaces(namespaces.iter().map(String::as_str))
//!                 .resting_on_policy(policy)
//!                 .without_event_checks()), // `permits` has nothing to add
//!             None => Err(Denial::new("no policy")),
//!         }
//!     }
//!
//!     fn changes(&self, event: &Event<P>, changes: &mut Vec<AccessChange>) {
//!         if event.topic() == "Policy" {
//!             changes.push(AccessChange::Policy(event.key().as_str().into()));
//!         }
//!     }
//! }
//!
//! let acl = Arc::new(Acl::default());
//! acl.set("readers", &["prod", "staging"]);
//! let broker = Broker::<u32>::builder().authorizer(Arc::clone(&acl)).build()?;
//! let principal = || Principal::new("readers");
//! let mut reader = broker.subscribe(Request::new().namespace("*").principal(principal()))?;
//! let job = |namespace: &str| Event::new("Job", "JobRegistered", "web", 1).with_namespace(namespace);
//!
//! // A request for all namespaces is narrowed to those of the grant.
//! broker.publish(1, [job("prod"), job("staging"), job("dev")])?;
//! assert_eq!(reader.recv()?.len(), 2);
//! // One that names a namespace outside of it is denied as a whole.
//! let denied = broker.subscribe(Request::new().namespaces(["prod", "dev"]).principal(principal())).unwrap_err();
//! assert_eq!(denied.to_string(), "access denied: no access to the namespace dev");
//!
//! // The server commits a change of the policy, and then publishes it. A narrower grant governs what was not read.
//! broker.publish(2, [job("staging")])?;
//! acl.set("readers", &["prod"]);
//! broker.publish(3, [Event::new("Policy", "PolicyUpserted", "readers", 0), job("staging"), job("prod")])?;
//! let delivery = reader.recv()?;
//! assert_eq!(delivery.index(), 3, "of the batch 2 nothing is allowed any more");
//! assert_eq!(delivery.events().map(|event| event.key().as_str()).collect::<Vec<_>>(), ["readers", "web"]);
//!
//! // The policy is gone: what was not read stays unread.
//! broker.publish(4, [job("prod")])?;
//! acl.policies.lock().unwrap().clear();
//! broker.publish(5, [Event::new("Policy", "PolicyDeleted", "readers", 0)])?;
//! let end = RecvError::Revoked(Denial::new("no policy"));
//! assert_eq!(reader.try_recv().unwrap_err(), TryRecvError::Recv(end));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Grants, and what they rest on
//!
//! A [`Grant`] says which namespaces are allowed, until when, and what that rests on: tokens, policies, roles. Every
//! grant also rests on the principal's own [id](crate::Principal::id) as a token. A grant with
//! [namespaces](crate::Grant::namespaces) must cover every namespace that the request names. Events without a namespace
//! pass every grant. Topics are the authorizer's own check: it sees the [terms](crate::AccessRequest::terms) and denies
//! those that it does not allow.
//!
//! The names of what a grant rests on are the link to changes. A change of a policy concerns the subscriptions whose
//! grants rest on that policy, and no other. After a check the new grant replaces the old one, together with what it
//! rests on.
//!
//! # Changes
//!
//! | [`AccessChange`] | concerns | the reader |
//! |---|---|---|
//! | `TokenDeleted` | principals of this id, and grants that rest on this token | ends with [`RecvError::Revoked`], and the authorizer is not asked |
//! | `Token` | the same | asks again |
//! | `Policy`, `Role` | grants that rest on it | asks again |
//! | `Everyone` | every subscription | asks again |
//!
//! There are two ways to announce a change. [`Authorizer::changes`] derives it from a published event.
//! [`Broker::access_changed`] announces a change that no published event represents. Readers that wait, and that a
//! change concerns, are woken in either case.
//!
//! # The fence
//!
//! A change is a fence in the sequence of batches. It is set on every subscription that it concerns before the batch
//! that it came with becomes visible. Every read first loads the end of the buffer, and then checks for a fence. So
//! nothing published at or after the change is delivered under the old grant, also not by a read that was running when
//! the change came.
//!
//! [`Broker::publish`] does not ask the authorizer to decide. The next read, poll, frame or window of the subscription
//! asks, on its own thread. Until there is an answer nothing more is delivered. If the answer is a denial, the
//! subscription ends. What it had not read stays unread, including what was published before the change. If it is a
//! grant, that grant governs all that is delivered from then on.
//!
//! If something that the answer rests on changes while the authorizer is being asked, the answer is not used, and the
//! authorizer is asked once more. Opening a subscription fails after 16 calls of the authorizer, with
//! [`SubscribeError::AccessUnsettled`]. A read that does not wait returns as if there were nothing to read. A read that
//! waits continues to call the authorizer, with pauses.
//!
//! A fence does not reach what has left the broker: a delivery that is kept, the rest of a window that was opened
//! before, bytes in a socket. So windows and output buffers should be short.
//!
//! # Expiry
//!
//! [`Grant::expires_at`] sets an end on the broker's [`Clock`]. When it has come, a read returns
//! [`RecvError::Expired`], before any data. The authorizer is not asked. When each reader ends:
//!
//! | the reader | ends |
//! |---|---|
//! | blocks in a read | at the expiry, without help |
//! | is a stream of frames, for a thread or for a task | at the expiry, without help |
//! | waits as a task, or at a doorbell | at its next poll or read, or when the host calls [`Broker::tick`] |
//!
//! A subscription whose grant does not expire never reads the clock. Frames do, for their heartbeats.
//!
//! To renew a grant, the server announces a change of what the grant rests on before it expires, such as
//! [`AccessChange::Token`] with the principal's id. The next read asks, and gets a grant with a later expiry. A grant
//! that a tick has ended is not renewed by a later change. A grant that has expired already is a denial when a
//! subscription is opened.
//!
//! ```
//! use std::sync::{Arc, Mutex};
//! use std::task::{Context, Poll, Waker};
//! use std::time::{Duration, Instant};
//! use event_broker::{
//!     AccessChange, AccessRequest, Authorizer, Broker, Clock, Denial, Grant, Principal, RecvError, Request,
//! };
//!
//! /// A clock that the test advances. A server leaves the clock alone.
//! #[derive(Clone, Debug)]
//! struct ManualClock(Arc<Mutex<Instant>>);
//!
//! impl Clock for ManualClock {
//!     fn now(&self) -> Instant {
//!         *self.0.lock().unwrap()
//!     }
//! }
//!
//! /// Each grant holds for a minute.
//! struct OneMinute(ManualClock);
//!
//! impl<P> Authorizer<P> for OneMinute {
//!     fn authorize(&self, _: &AccessRequest<'_>) -> Result<Grant, Denial> {
//!         Ok(Grant::all().expires_at(self.0.now() + Duration::from_secs(60)))
//!     }
//! }
//!
//! let clock = ManualClock(Arc::new(Mutex::new(Instant::now())));
//! let advance = |seconds| *clock.0.lock().unwrap() += Duration::from_secs(seconds);
//! let broker = Broker::<u32>::builder().authorizer(OneMinute(clock.clone())).clock(clock.clone()).build()?;
//! let mut reader = broker.subscribe(Request::new().principal(Principal::new("6f1c")))?;
//! let mut poll = || reader.poll_recv(&mut Context::from_waker(Waker::noop()));
//!
//! advance(50);
//! broker.access_changed(AccessChange::Token("6f1c".into())); // in time
//! assert!(poll().is_pending());
//! advance(50);
//! broker.tick();
//! assert!(poll().is_pending(), "renewed");
//! advance(10);
//! broker.tick(); // ends the subscription, and wakes its task
//! let Poll::Ready(Err(end)) = poll() else { panic!("the grant has expired") };
//! assert_eq!(end, RecvError::Expired);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Rules for single events
//!
//! [`Authorizer::permits`] decides one event after terms, namespaces, types and the grant's namespaces have let it
//! pass. It costs a call for each such event and reader, and what it refuses has already woken the reader. A grant that
//! says [`without_event_checks`](crate::Grant::without_event_checks) spares the call. If that grant allows all
//! namespaces and does not expire, its reader takes the same path as a reader of a broker without an authorizer.
//! `permits` is called once for each event and subscription, with one exception: if access changes while a batch of
//! more than 256 events is being filtered, it may be filtered again under the new grant.
//!
//! ```
//! use event_broker::{Authorizer, Broker, Event, Explanation, Principal, Request};
//!
//! /// A principal reads the paths below its own id.
//! struct Paths;
//!
//! impl<P> Authorizer<P> for Paths {
//!     fn permits(&self, principal: &Principal, event: &Event<P>) -> bool {
//!         event.key().as_str().split('/').next() == Some(principal.id())
//!     }
//! }
//!
//! let broker = Broker::<u32>::builder().authorizer(Paths).build()?;
//! let mut reader = broker.subscribe(Request::new().principal(Principal::new("6f1c")))?;
//! let variable = |path: &str| Event::new("Variable", "VariableUpserted", path, 1);
//! broker.publish(1, [variable("other/a"), variable("6f1c/b")])?;
//! let delivery = reader.recv()?;
//! assert_eq!((delivery.len(), delivery.batch_len()), (1, 2));
//! assert_eq!(reader.explain(&variable("other/a")), Explanation::NotPermitted);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The ready policy
//!
//! [`nomad`](crate::nomad) has the table of topics and rights of a scheduler's HTTP API as a policy. The server
//! supplies a [`Resolver`], which looks a principal up and returns what it may do and what that rests on.
//! [`AclAuthorizer`] decides by the table, and derives changes from the published events of tokens, policies and roles:
//!
//! ```
//! use std::sync::{Arc, Mutex};
//! use event_broker::nomad::rights::Rights;
//! use event_broker::nomad::{AclAuthorizer, Resolved, event_type, topic};
//! use event_broker::{Broker, Denial, Event, Principal, RecvError, Request, Term};
//!
//! let readers = Arc::new(Mutex::new("namespace:prod:read-job".parse::<Rights>()?));
//! let held = Arc::clone(&readers);
//! let authorizer = AclAuthorizer::new(move |principal: &Principal| match principal.secret() {
//!     Some("hunter2") => Ok(Resolved::new(held.lock().unwrap().clone()).resting_on_policy("readers")),
//!     Some(_) => Err(Denial::new("token not found")),
//!     // The anonymous principal's rights depend on a policy as well.
//!     None => Ok(Resolved::new(Rights::anonymous()).resting_on_policy("anonymous")),
//! });
//! let broker = Broker::<u32>::builder().authorizer(authorizer).build()?;
//!
//! // A public id, and the secret that proves it.
//! let principal = Principal::new("6f1c").with_secret("hunter2");
//! let request = Request::new().term(Term::topic("Job")?).namespace("prod").principal(principal);
//! let mut reader = broker.subscribe(request)?;
//! let denied = broker.subscribe(Request::new()).unwrap_err(); // everything, as the anonymous principal
//! assert_eq!(denied.to_string(), "access denied: topic * needs management");
//!
//! *readers.lock().unwrap() = Rights::anonymous(); // committed, and then published
//! broker.publish(2, [Event::new(topic::ACL_POLICY, event_type::ACL_POLICY_UPSERTED, "readers", 0)])?;
//! let RecvError::Revoked(denial) = reader.recv().unwrap_err() else { panic!("no right is left") };
//! assert_eq!(denial.reason(), r#"topic "Job" in the namespace "prod" needs namespace:read-job"#);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Topics that the table does not list, and the wildcard, need management. All namespaces need management, or a right
//! that covers `*`. [`rights::decide`](crate::nomad::rights::decide) and
//! [`access_changes`](crate::nomad::access_changes) are the two parts, for authorizers with rules of their own.
//!
//! # Common mistakes
//!
//! - **A secret as an id.** The id of a [`Principal`] appears in logs, in [`SubscriptionHandle::principal_id`] and in
//!   access changes. The secret belongs in [`Principal::with_secret`], and appears in no `Debug` and in no error. The
//!   reason of a [`Denial`] is shown to the client, so it must hold no secret either.
//! - **Trusting the id.** An id is public. The authorizer checks the secret.
//! - **A grant that rests on nothing.** If a policy decides a grant and the grant does not name the policy, a change of
//!   the policy does not take the grant back. This also applies to the anonymous principal.
//! - **Granting namespaces and forgetting topics.** Events without a namespace pass every grant, and a request without
//!   terms asks for every topic. An authorizer that checks namespaces alone lets such a reader see the events of nodes,
//!   policies and tokens; so does the first example above, where the reader receives the event of its own policy.
//! - **Publishing before the commit.** A reader asks as soon as the change is visible. If the authorizer still sees the
//!   old rules, it allows, and is not asked again. Commit first, and answer from the state and not from a cache.
//! - **An authorizer that holds the broker.** The broker owns its hooks, so a hook that contains a [`Broker`] keeps the
//!   broker open for ever. A hook that calls the broker holds a [`WeakBroker`].
//! - **An authorizer that changes what it decides about.** If it records when a token was last used, and announces that
//!   as a change of the token, it makes its own answer stale. The broker counts such a change for the first three calls
//!   only, and wakes no reader for it. A change of a policy or a role that is announced from within `authorize` wakes
//!   its readers like any other.
//! - **Renewing too late.** A change that is announced after a tick has ended the subscription renews nothing.
//! - **Reconnecting at once.** A client whose grant has expired is denied until it has a new one. It should wait before
//!   it tries again.
//!
//! [`AccessChange`]: crate::AccessChange
//! [`AccessChange::Token`]: crate::AccessChange::Token
//! [`AccessRequest::is_recheck`]: crate::AccessRequest::is_recheck
//! [`AclAuthorizer`]: crate::nomad::AclAuthorizer
//! [`Authorizer`]: crate::Authorizer
//! [`Authorizer::changes`]: crate::Authorizer::changes
//! [`Authorizer::permits`]: crate::Authorizer::permits
//! [`Broker`]: crate::Broker
//! [`Broker::access_changed`]: crate::Broker::access_changed
//! [`Broker::publish`]: crate::Broker::publish
//! [`Broker::subscribe`]: crate::Broker::subscribe
//! [`Broker::tick`]: crate::Broker::tick
//! [`Clock`]: crate::Clock
//! [`Denial`]: crate::Denial
//! [`Grant`]: crate::Grant
//! [`Grant::expires_at`]: crate::Grant::expires_at
//! [`Principal`]: crate::Principal
//! [`Principal::with_secret`]: crate::Principal::with_secret
//! [`RecvError::Expired`]: crate::RecvError::Expired
//! [`RecvError::Revoked`]: crate::RecvError::Revoked
//! [`Resolver`]: crate::nomad::Resolver
//! [`SubscribeError::AccessUnsettled`]: crate::SubscribeError::AccessUnsettled
//! [`SubscriptionHandle::principal_id`]: crate::SubscriptionHandle::principal_id
//! [`WeakBroker`]: crate::WeakBroker
