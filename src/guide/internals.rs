//! How the broker works inside: the log, the chain, the fence, and waiting.
//! For those who change the crate, or study it. None of it is a promise: those are on the [front
//! page](crate#guarantees).
//!
//! Each section has one picture, the invariants that the code keeps, the file where they are written down, and the
//! models that explore them. A *model* is a small program that `loom` runs under every interleaving of its threads that
//! has at most two preemptions. A *planted bug* is a change of the source; its first line names the test, the file of
//! tests or the group of models that must catch it. `tests/planted/prove` plants them all.
//!
//! # Where things are
//!
//! | to find | look in `src/` |
//! |---|---|
//! | the order of one publish | `core/mod.rs`, which lists its steps |
//! | the order of the locks | `core/state.rs` |
//! | opening a subscription | `core/open.rs` |
//! | the one writer of the log, and eviction | `log/`, whose `mod.rs` has the map; the arithmetic of the bounds is `log/retention.rs` |
//! | the place of a reader, and its next batch | the cursor, in `subscription/` |
//! | the loss account | the cursor, in `subscription/`, decides whether something was lost, and `Subscription::report_loss` counts and reports it; the nodes, in `interest/`, note what was evicted |
//! | the fence of access | `access/gate.rs` is the word; `State::fence` and `Registry::fence` in `core/` set it; `begin_read` and `is_gate_unchanged` in `subscription/` check it before each read; `gate_check` in `subscription/` acts on a change |
//! | the wake-up | `wait/list.rs`, `wait/wake.rs`, `wait/dispatch.rs` |
//! | every atomic and every lock | `sync.rs`, the only module that names them |
//!
//! # The log
//!
//! ```text
//!  directory ──► copies, one for each stripe of threads: readers read these
//!     │
//!     ▼
//!  ┌─ segment ──────────┐ ┌─ segment ──────────┐ ┌─ segment ──────────┐
//!  │ 16 17 18 19 … 31   │ │ 32 33 34 … 47      │ │ 48 49 50 ·  ·  ·   │   slots, each written once
//!  └────────────────────┘ └────────────────────┘ └────────────────────┘
//!             ▲                                            ▲
//!          oldest = 19                                  end = 51         two atomics that readers load
//!
//!  16 … 18 are evicted: no reader reaches them, and they are freed with their segment.
//! ```
//!
//! A batch has a *position*: a dense count, which readers never see. A cursor is a position, never a pointer, so a reader
//! that stalls keeps nothing. A segment is shared by `Arc` and holds at most an eighth of each bound; what is evicted and
//! not freed is therefore at most an eighth as well.
//!
//! Invariants (`log/mod.rs`):
//! 1. Positions in `oldest..end` are written and are found through the directory.
//! 2. The writer writes the slot, moves `oldest`, and then moves `end`. A reader never reaches more than the bounds allow,
//!    and always finds the oldest.
//! 3. A reader that loads `end`, then takes the directory, then loads `oldest`, finds every position in `oldest..end`
//!    there. What is evicted meanwhile stays readable in the directory that it holds.
//!
//! Readers would otherwise write to one directory, its lock and its count, from every core. So each thread has a copy by
//! its *stripe*, which a reader finds again by a weak reference, without a lock. A copy that lacks new segments is
//! replaced by the first reader that misses them. When a segment leaves, the writer first removes the copies from all
//! stripes, so that none keeps what is evicted (`log/directories.rs`, which has the argument).
//!
//! Models: `models::fanout`, `models::evicting`, `models::stripes`. Model-based tests of the writer against a plain list: `log/tests.rs`.
//!
//! ```
//! use event_broker::{Broker, Event, Request, RecvError, TryRecvError};
//!
//! let broker = Broker::<()>::builder().max_batches(2).build()?;
//! let mut reader = broker.subscribe(Request::new())?;
//! let publish = |index| broker.publish(index, [Event::new("Job", "JobRegistered", "web", ())]);
//! publish(1)?;
//! assert_eq!(reader.try_recv()?.index(), 1); // its cursor is the position after the batch
//! for index in 2..=5 {
//!     publish(index)?; // moves `oldest` to the batch of index 4, and asks no reader
//! }
//! let Err(TryRecvError::Recv(RecvError::Lagged(lagged))) = reader.try_recv() else { panic!("2 and 3 are gone") };
//! assert_eq!(lagged.missed, 2, "positions are dense, so their difference is the loss");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The chain
//!
//! ```text
//!  position      40    41    42    43    44    45    46    end = 47
//!  batch          a     b     a     a     c     b     a
//!                 ▲           ▲     ▲                 │
//!  node "a"       └───────────┴──┬──┘◄────────────────┘◄── last match = 46
//!                 run [40]    run [42, 43]        run [46]
//! ```
//!
//! Every distinct term of the open subscriptions (a namespace, none or any; a topic or any; a key or any) is a *node*.
//! A publish looks up the nodes that each of its events hits, and stores in the slot, for each of them, a *link* to the
//! match before: the chain is a hash index that is stored in the log and evicted with it. A reader of `"a"` loads the
//! node's last match and walks back to its cursor. It never looks at `b` or `c`, and a publish costs the terms that it
//! hits, however many there are.
//!
//! Matches that follow each other are one *run*. Every 16th run is a *checkpoint* with a jump further back, so a walk of
//! n runs finds any of them in a logarithm of steps (`interest/jumps.rs`).
//!
//! Invariants (`interest/mod.rs`):
//! 1. A node's chain holds every match since the node was created, and nothing else. Older backlog is scanned, and the
//!    filter decides each event of it.
//! 2. A publish stores the slot, then the nodes' last matches, and then `end`. A reader loads `end` first and the nodes
//!    after it, and skips what is at or beyond that `end`. Otherwise a merge of several chains could miss a batch or
//!    reorder it.
//! 3. Node ids are never reused. A link of a node that is gone is never taken for a link of another node.
//! 4. Hashes may collide. So an event hits a node only after the node's subject (its topic, key and namespaces) was
//!    compared with the event. Live reads rely on the links alone, and do not run the filter again.
//!
//! Models: `models::fanout` (one chain, two chains merged, a chain that continues beyond the loaded end, hits that are
//! queued for readers of many nodes), `models::evicting` (a chain whose end is evicted while it is walked). Planted
//! bugs: `node-positions-after-the-end`, `chain-skips-a-match`, `hits-registered-after-looking` and others.
//!
//! ```
//! use event_broker::{Broker, Event, Request, Term};
//!
//! let broker = Broker::<()>::new();
//! let web = Request::new().term(Term::new("Job", "web")?);
//! let (mut first, second) = (broker.subscribe(web)?, broker.subscribe(Request::new().term(Term::key("web")?))?);
//! assert_eq!(broker.stats().terms, 2, "each distinct term is a node");
//! for index in 1..=50 {
//!     let key = if index == 7 { "web" } else { "other" };
//!     broker.publish(index, [Event::new("Job", "JobRegistered", key, ()).with_namespace("default")])?;
//! }
//! assert_eq!(first.try_recv()?.index(), 7); // one step back along a chain of one match, not fifty batches
//! drop((first, second));
//! assert_eq!(broker.stats().terms, 0, "nodes go with the last subscription of their term");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The fence
//!
//! ```text
//!  publisher, under the lock                      reader
//!  ─────────────────────────                      ──────
//!  gate of every reader concerned: changes += 1
//!  slot, nodes                                    end  = load (Acquire)
//!  end = store (Release)  ───────────────────►    gate = load (Acquire)
//!                                                 gate unchanged?  deliver positions below `end`
//!                                                 gate changed?    ask the authorizer, then begin again
//! ```
//!
//! A *gate* is one word for each subscription: a count of access changes, flags for the ends that come from outside
//! (reset, deleted token, expiry, cancel), a flag for a skipped part of the history, and one for a subscription that
//! was dropped. A publish that changes access sets the change on the gates that it concerns before its position becomes
//! visible. A reader loads `end` first and its gate second. So a reader that can see a position sees every change that
//! came with it or before it, and no position has to be stored for the fence.
//!
//! Invariants (`access/gate.rs`, `core/mod.rs`):
//! 1. Gates are changed before the position that changed them is visible, under the same lock.
//! 2. A reader delivers nothing below an `end` that it loaded after the gate.
//! 3. An answer of the authorizer counts only if nothing that it rests on changed since it was asked
//!    (`core/decisions.rs`). The publisher never calls the authorizer.
//!
//! Models: `models::access`. Planted bugs: `fence-after-the-end`, `gate-before-the-end`.
//!
//! ```
//! use event_broker::{AccessChange, Broker, Event, Principal, RecvError, Request};
//!
//! let broker = Broker::<()>::new();
//! let mut reader = broker.subscribe(Request::new().principal(Principal::new("6f1c")))?;
//! broker.publish(1, [Event::new("Job", "JobRegistered", "web", ())])?;
//! broker.access_changed(AccessChange::TokenDeleted("6f1c".into())); // sets the gate, then wakes waiting readers
//! assert!(matches!(reader.recv(), Err(RecvError::Revoked(_))), "what it had not read stays unread");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Waiting
//!
//! ```text
//!  reader                                         publisher
//!  ──────                                         ─────────
//!  set a signal in the waiter
//!  register the waiter in the wait list           end = exchange (SeqCst)     makes the batch visible
//!  fence (SeqCst)                                 list occupied? (SeqCst)
//!  retry: a batch below `end`?                       no: no reader waits
//!     yes: take the signal back, deliver             yes: take the whole list, in O(1)
//!     no:  sleep                                  unlock, then wake every waiter that was taken
//! ```
//!
//! Threads, tasks and doorbells are one kind of *waiter*. A reader of up to eight nodes registers in the wait list of
//! each. A reader of more stays registered, and a hit puts the node's number into the reader's *hit queue*, so that its
//! next read visits only the nodes that were hit. A reader of everything registers in one list of the broker. A list
//! that 64 waiters have found too long is *striped* from then on: a waiter registers in the part of its thread's stripe,
//! under a lock of that part, and a hit takes all parts.
//!
//! Invariants (`wait/mod.rs`):
//! 1. If a reader registers while a publisher makes a batch visible, at least one of them sees the other: all of these
//!    steps are sequentially consistent. `tests/orderings.rs` checks that in the source, since the model's fences are
//!    stronger than the real exchange.
//! 2. A registration outlives the wait that it was made for, until a hit takes it. A reader that registers while its
//!    registration is in a list that was taken and not yet woken is woken by that list.
//! 3. No reader is woken under a lock: wakers are foreign code.
//!
//! With a dispatcher, the publisher queues what it took instead of waking it. If the dispatcher is stuck, the publisher
//! itself wakes what is queued beyond a bound, so that the queue is bounded as well (`wait/dispatch.rs`).
//!
//! Models: `models::waiting`, `models::tasks`, `models::dispatching`. Planted bugs: `reveal-without-fence`,
//! `no-fence-between-registering-and-looking`, `registration-cleared-after-the-wake` and others.
//!
//! ```
//! use std::thread;
//! use event_broker::{Broker, Event, Request, Term};
//!
//! let broker = Broker::<u32>::new();
//! let mut reader = broker.subscribe(Request::new().term(Term::new("Job", "web")?))?;
//! let handle = reader.handle();
//! let waits = thread::spawn(move || *reader.recv().unwrap().events().next().unwrap().payload());
//! while !handle.is_waiting() {
//!     thread::yield_now();
//! }
//! broker.publish(1, [Event::new("Job", "JobRegistered", "db", 1)])?; // another node: no reader is woken
//! assert_eq!((handle.stats().wakeups, broker.stats().wakeups), (0, 0));
//! broker.publish(2, [Event::new("Job", "JobRegistered", "web", 2)])?;
//! assert_eq!((waits.join().unwrap(), broker.stats().wakeups), (2, 1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
