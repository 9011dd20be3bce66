//! The main job: it commits at a steady rate while readers on their own threads are overtaken, denied and resumed,
//! prints the table, and checks its own totals.

use std::error::Error;
use std::sync::Arc;
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use event_broker::nomad::Query;
use event_broker::{LagPolicy, RecvError, Request, SubscribeError, Subscription, Verdict};

use crate::cast::{self, Ending, ReaderPlan, Way};
use crate::checks::{Checks, Published};
use crate::model::Object;
use crate::readers::{self, Return};
use crate::record::Record;
use crate::server::{Log, Server};
use crate::table::Table;
use crate::workload::Scheduler;

/// Small, so that a stalled reader is overtaken soon.
const BUFFER: u64 = 256;
const PACE: Duration = Duration::from_millis(1);
const TIME_LIMIT: Duration = Duration::from_secs(3);
const GUEST_STAYS: Duration = Duration::from_millis(400);

// The script, in commits.
const OPEN: u32 = 60;
const RETURN: u32 = 200;
/// Until here nothing may be evicted, so that every reader has reached its position first.
const MEET: u32 = 240;
const WIDEN: u32 = 400;
const STRIP: u32 = 500;
const LET_GO: u32 = 800;
const END: u32 = 1200;

/// The deliveries that a reader reads before it stalls or leaves.
const BEFORE: usize = 5;

/// The result of the run, for printing.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) table: String,
    pub(crate) totals: String,
    pub(crate) checks: Checks,
}

/// The channels by which the server controls its readers.
struct Strings {
    ready: Receiver<()>,
    over: Receiver<&'static str>,
    return_now: Sender<()>,
    go_on: Sender<()>,
}

/// What the server recorded during the run.
#[derive(Debug, Default)]
struct Notes {
    /// The index under which a token lost its policy.
    fence: u64,
    /// The readers that ended before the broker was closed.
    early: Vec<&'static str>,
}

/// The record of a reader, and its plan.
type Finished = (ReaderPlan, Record);

pub(crate) fn run() -> Result<Report, Box<dyn Error>> {
    let mut server = Server::new(BUFFER, Log::Kept)?;
    let mut scheduler = Scheduler::new();
    server.commit(cast::admit)?;
    for _ in 0..OPEN {
        scheduler.step(&mut server)?;
    }
    server.commit(|commit| cast::admit_guest(commit, Instant::now() + GUEST_STAYS))?;

    let mut checks = Checks::default();
    let stranger = server.broker.subscribe(Request::from(Query::default()));
    checks.that("who shows no token is denied", matches!(stranger, Err(SubscribeError::Denied(_))));

    let mut opened = Vec::new();
    for plan in cast::reader_plans() {
        opened.push((open(&server, &plan)?, plan));
    }
    let (ready, is_ready) = unbounded();
    let (over, is_over) = unbounded();
    let (return_now, comes_back) = bounded(1);
    let (go_on, goes_on) = bounded(1);
    let (finished, driven) = thread::scope(|scope| {
        let mut handles: Vec<ScopedJoinHandle<'_, Finished>> = Vec::new();
        for (subscription, plan) in opened {
            let back = Return {
                broker: server.broker.downgrade(),
                query: Query::parse(&plan.query).unwrap_or_default(),
                principal: cast::principal(plan.token),
                go_on: comes_back.clone(),
            };
            let mut record = Record::new(subscription.verdict(), Arc::clone(&server.store), ready.clone());
            let (over, goes_on) = (over.clone(), goes_on.clone());
            handles.push(scope.spawn(move || {
                let record_ref = &mut record;
                match plan.way {
                    Way::Blocking => readers::blocking(subscription, record_ref),
                    Way::Streaming => readers::streaming(subscription, record_ref),
                    Way::Idling => readers::idling(subscription, record_ref),
                    Way::Ringing => readers::ringing(subscription, record_ref),
                    Way::Stalling => readers::stalling(subscription, record_ref, BEFORE, &goes_on),
                    Way::Resuming => readers::resuming(subscription, record_ref, BEFORE, back),
                }
                let _ = over.send(plan.name);
                (plan, record)
            }));
        }
        let strings = Strings { ready: is_ready, over: is_over, return_now, go_on };
        let driven = drive(&mut server, &mut scheduler, &strings, handles.len());
        // Also after an error: no reader may wait for ever.
        server.broker.close();
        drop(strings);
        let finished: Vec<_> = handles.into_iter().map(ScopedJoinHandle::join).collect();
        (finished, driven.map_err(|error| error.to_string()))
    });
    let notes = driven?;
    let finished: Vec<Finished> = finished.into_iter().collect::<Result<_, _>>().map_err(|_| "a reader panicked")?;

    check(&server, &finished, &notes, &mut checks);
    let stats = server.broker.stats();
    let totals = format!(
        "published: {} commits, {} of them with {} events; indexes up to {}; {} batches evicted",
        server.log().len(),
        stats.published_batches,
        stats.published_events,
        stats.latest_index,
        stats.evicted_batches,
    );
    Ok(Report { table: tabulate(&finished), totals, checks })
}

/// Opens a stream as a server would: from the query, for the principal of the token.
fn open(server: &Server, plan: &ReaderPlan) -> Result<Subscription<Object>, Box<dyn Error>> {
    let query = Query::parse(&plan.query)?;
    let request = Request::from(query).principal(cast::principal(plan.token)).lag_policy(LagPolicy::Continue);
    Ok(server.broker.subscribe(request)?)
}

/// The host's loop: it commits, drives its timer, and follows the script.
fn drive(
    server: &mut Server,
    scheduler: &mut Scheduler,
    strings: &Strings,
    readers: usize,
) -> Result<Notes, Box<dyn Error>> {
    let mut notes = Notes::default();
    for number in OPEN..END {
        match number {
            RETURN => strings.return_now.send(())?,
            MEET => {
                for _ in 0..readers {
                    strings.ready.recv_timeout(TIME_LIMIT).map_err(|_| "a reader did not get going in time")?;
                }
            }
            WIDEN => {
                server.commit(cast::widen)?;
            }
            STRIP => {
                let (token, _) = cast::member(cast::TEMPORARY).ok_or("there is no such token")?;
                notes.fence = server.commit(|commit| cast::strip(commit, token))?;
            }
            LET_GO => strings.go_on.send(())?,
            _ => {}
        }
        scheduler.step(server)?;
        if number % 10 == 0 {
            server.broker.tick();
        }
        thread::sleep(PACE);
    }
    // Two readers must have ended by themselves by now.
    for _ in 0..2 {
        let early = strings.over.recv_timeout(TIME_LIMIT);
        notes.early.push(early.map_err(|_| "a reader that should have ended did not")?);
    }
    notes.early.sort_unstable();
    Ok(notes)
}

fn check(server: &Server, finished: &[Finished], notes: &Notes, checks: &mut Checks) {
    let published = Published::new(server.log());
    for (plan, record) in finished {
        let of = |what: &str| format!("{} {what}", plan.name);
        let story = match plan.ending {
            Ending::Revoked => published.read_up_to(notes.fence, plan.wants, record),
            Ending::Closed | Ending::Expired => published.read_to_the_end(plan.from, plan.wants, record),
        };
        checks.result(&of("received what it asked for, and a report of every loss"), story);
        let ended = match (plan.ending, &record.end) {
            (Ending::Closed, Some(RecvError::Closed))
            | (Ending::Revoked, Some(RecvError::Revoked(_)))
            | (Ending::Expired, Some(RecvError::Expired)) => Ok(()),
            (expected, end) => Err(format!("it ended by {end:?}, expected {expected:?}")),
        };
        checks.result(&of("ended as it should"), ended);
        checks.that(&of("lost nothing before its start"), record.verdict == Verdict::Whole);
        checks.that(
            &of("read something, unless it was idle"),
            (record.batches() > 0) == !matches!(plan.way, Way::Idling),
        );
        checks.that(&of("never saw an event before the state showed it"), record.ahead_of_state == 0);
        let stats = (record.stats.batches, record.stats.events, record.stats.missed);
        let counted = (record.batches() as u64, record.events() as u64, record.lost());
        checks.that(&of("has the same counts as the broker"), stats == counted);
        match plan.way {
            Way::Stalling => checks.that(&of("and was overtaken"), record.lost() > 0),
            Way::Resuming => checks.that(&of("and read on"), record.batches() > BEFORE),
            _ => {}
        }
    }
    checks.that("two ended while the broker was open", notes.early == ["idle guest (task)", "loses its policy"]);

    let stats = server.broker.stats();
    let batches = published.batches().len() as u64;
    let last = server.log().last().map_or(0, event_broker::Batch::index);
    checks.that("the broker counts the batches published", stats.published_batches == batches);
    checks.that("the broker counts the events published", stats.published_events == published.events().count() as u64);
    checks.that("the buffer holds as many batches as it should", stats.buffered_batches == BUFFER.min(batches));
    checks.that("the rest was evicted", stats.evicted_batches == batches.saturating_sub(BUFFER));
    checks.that("the latest index is that of the last commit", stats.latest_index == last);
    checks.that("no subscription is left", stats.subscriptions == 0);
    checks.that("a closed broker refuses to publish", server.broker.publish(last + 1, []).is_err());
    checks.that("some commits have no events", server.log().len() > published.batches().len());
    checks.that("some commits have several", published.batches().iter().any(|batch| batch.events().len() > 3));
    let indexes = || server.log().iter().map(event_broker::Batch::index);
    let rises = || indexes().zip(indexes().skip(1));
    checks.that("indexes rise", rises().all(|(before, after)| before < after));
    checks.that("indexes have gaps", rises().any(|(before, after)| before + 1 < after));
    published.check_events(&cast::secrets(), checks);
}

fn tabulate(finished: &[Finished]) -> String {
    let columns = [
        ("reader", false),
        ("asked for", false),
        ("start", false),
        ("batches", true),
        ("events", true),
        ("lost", true),
        ("ended because", false),
    ];
    let mut table = Table::new(columns);
    for (plan, record) in finished {
        let asked = if plan.query.is_empty() { "(nothing named)".to_owned() } else { shorten(&plan.query) };
        let start = match plan.way {
            Way::Resuming => "oldest, then its token".to_owned(),
            _ if plan.from > 0 => format!("index {}", plan.from),
            _ => "oldest".to_owned(),
        };
        let end = record.end.as_ref().map_or_else(|| "no end received".to_owned(), RecvError::to_string);
        table.row([
            plan.name.to_owned(),
            asked,
            start,
            record.batches().to_string(),
            record.events().to_string(),
            record.lost().to_string(),
            end,
        ]);
    }
    table.to_string()
}

/// Shortens the sample node's id, so that the table fits a screen.
fn shorten(query: &str) -> String {
    let head: String = crate::cluster::SAMPLE_NODE.chars().take(8).collect();
    query.replace(crate::cluster::SAMPLE_NODE, &format!("{head}…"))
}
