//! Every way of reading, crossed with every start, end and policy (G10): a reader that waits is woken by what it waits
//! for, and receives exactly that.
//!
//! - The reader waits first, and the test checks it: the handle shows a waiting thread, a task is pending, a bell is
//!   silent.
//! - Then an event that it did not ask for is published, which must not wake it; then one that it did, or an end.
//! - Every test does so for one key, for ten, and for everything: the three wait at different nodes.
//! - The ends come to readers that wait behind a backlog, at an empty broker, and for a place ahead.
//!
//! A test is named by its row, which is its module, and its column:
//!
//! | cell | test            | start |
//! |------|-----------------|---|
//! | o    | `oldest`        | `Oldest`, on a backlog with something that was asked for, and on one without |
//! | oe   | `oldest_empty`  | `Oldest`, on an empty broker |
//! | ib   | `index_backlog` | `Index`, in the backlog |
//! | in   | `index_next`    | `Index`, one above the latest: a further batch of the latest does not match |
//! | ia   | `index_ahead`   | `Index`, far ahead: the place is reached by what was not asked for, was, or by no event |
//! | il   | `index_lost`    | `Index`, lost: elastic, and reported by the verdict alone |
//! | ex   | `exactly`       | `Exactly`, and that it is refused where it would have to wait for its place |
//! | a    | `after`         | `After`, at the same broker, in the backlog and at its end |
//! | aa   | `after_ahead`   | `After`, at a replica that is behind: the place is yet to come |
//! | ae   | `after_epoch`   | `After`, of another epoch |
//! | l    | `latest`        | `Latest` |
//!
//! | cell | test              | end or loss of a reader that waits |
//! |------|-------------------|---|
//! | cl   | `closed`          | by call and by the last drop: the backlog first |
//! | ca   | `cancelled`       | by a handle |
//! | re   | `reset`           | to another epoch |
//! | de   | `deleted`         | revoked, since the token is gone: by call and by an event |
//! | dn   | `denied`          | revoked, since the authorizer says so when it is asked again: by call and by an event |
//! | al   | `allowed`         | no end: the authorizer allows it again, and the reader waits on |
//! | xp   | `expired`         | by the clock: a thread by its own wait, others by a tick |
//! | lc   | `lagged_close`    | overtaken, under the policy that closes |
//! | ln   | `lagged_continue` | overtaken, under the policy that continues: what follows is read, and rings |
//! | sb   | `skipped_before`  | the broker skips to a place ahead of the reader: a loss, under either policy |
//! | sa   | `skipped_at`      | the broker skips to the position of the reader or before it: nothing is reported |
//!
//! The tests of frames and streams exist with their features; the table names them in any case. `try_recv` and `drain`
//! do not wait: whenever they are called, they must find what was published before.
//!
//! | row                  | reads by                      | o  | oe | ib | in | ia | il | ex | a  | aa | ae | l  |
//! |----------------------|-------------------------------|----|----|----|----|----|----|----|----|----|----|----|
//! | `recv`               | `recv`                        | o  | oe | ib | in | ia | il | ex | a  | aa | ae | l  |
//! | `recv_timeout`       | `recv_timeout`                | o  | oe | ib | in | ia | il | ex | a  | aa | ae | l  |
//! | `recv_deadline`      | `recv_deadline`               | o  | oe | ib | in | ia | il | ex | a  | aa | ae | l  |
//! | `iter`               | a `for` loop                  | o  | oe | ib | in | ia | il | ex | a  | aa | ae | l  |
//! | `try_recv`           | `try_recv`, again and again   | o  | oe | ib | in | ia | il | ex | a  | aa | ae | l  |
//! | `drain`              | windows, again and again      | o  | oe | ib | in | ia | il | ex | a  | aa | ae | l  |
//! | `recv_async`         | `recv_async`                  | o  | oe | ib | in | ia | il | ex | a  | aa | ae | l  |
//! | `poll_recv`          | `poll_recv`                   | o  | oe | ib | in | ia | il | ex | a  | aa | ae | l  |
//! | `stream`             | `Stream`                      | o  | oe | ib | in | ia | il | ex | a  | aa | ae | l  |
//! | `readable_drain`     | `readable`, then a window     | o  | oe | ib | in | ia | il | ex | a  | aa | ae | l  |
//! | `doorbell_try_recv`  | `doorbell`, then `try_recv`   | o  | oe | ib | in | ia | il | ex | a  | aa | ae | l  |
//! | `doorbell_drain`     | `doorbell`, then a window     | o  | oe | ib | in | ia | il | ex | a  | aa | ae | l  |
//! | `frames`             | `into_frames`, as an iterator | o  | oe | ib | in | ia | il | ex | a  | aa | ae | l  |
//! | `doorbell_try_frame` | `doorbell`, then `try_frame`  | o  | oe | ib | in | ia | il | ex | a  | aa | ae | l  |
//! | `write_to`           | `into_frames`, by `write_to`  | o  | oe | ib | in | ia | il | ex | a  | aa | ae | l  |
//! | `frame_stream`       | `into_frame_stream`           | o  | oe | ib | in | ia | il | ex | a  | aa | ae | l  |
//!
//! | row                  | reads by                      | cl | ca | re | de | dn | al | xp | lc | ln | sb | sa |
//! |----------------------|-------------------------------|----|----|----|----|----|----|----|----|----|----|----|
//! | `recv`               | `recv`                        | cl | ca | re | de | dn | al | xp | lc | ln | sb | sa |
//! | `recv_timeout`       | `recv_timeout`                | cl | ca | re | de | dn | al | xp | lc | ln | sb | sa |
//! | `recv_deadline`      | `recv_deadline`               | cl | ca | re | de | dn | al | xp | lc | ln | sb | sa |
//! | `iter`               | a `for` loop                  | cl | ca | re | de | dn | al | xp | lc | ln | sb | sa |
//! | `try_recv`           | `try_recv`, again and again   | cl | ca | re | de | dn | al | xp | lc | ln | sb | sa |
//! | `drain`              | windows, again and again      | cl | ca | re | de | dn | al | xp | lc | ln | sb | sa |
//! | `recv_async`         | `recv_async`                  | cl | ca | re | de | dn | al | xp | lc | ln | sb | sa |
//! | `poll_recv`          | `poll_recv`                   | cl | ca | re | de | dn | al | xp | lc | ln | sb | sa |
//! | `stream`             | `Stream`                      | cl | ca | re | de | dn | al | xp | lc | ln | sb | sa |
//! | `readable_drain`     | `readable`, then a window     | cl | ca | re | de | dn | al | xp | lc | ln | sb | sa |
//! | `doorbell_try_recv`  | `doorbell`, then `try_recv`   | cl | ca | re | de | dn | al | xp | lc | ln | sb | sa |
//! | `doorbell_drain`     | `doorbell`, then a window     | cl | ca | re | de | dn | al | xp | lc | ln | sb | sa |
//! | `frames`             | `into_frames`, as an iterator | cl | ca | re | de | dn | al | xp | lc | ln | sb | sa |
//! | `doorbell_try_frame` | `doorbell`, then `try_frame`  | cl | ca | re | de | dn | al | xp | lc | ln | sb | sa |
//! | `write_to`           | `into_frames`, by `write_to`  | cl | ca | re | de | dn | al | xp | lc | ln | sb | sa |
//! | `frame_stream`       | `into_frame_stream`           | cl | ca | re | de | dn | al | xp | lc | ln | sb | sa |
//!
//! [A test](the_table_is_what_is_tested) reads these tables: no cell is empty, and each names an existing test.

mod common;

#[path = "crossing/ends.rs"]
mod ends;
#[path = "crossing/rings.rs"]
mod rings;
#[path = "crossing/starts.rs"]
mod starts;
#[path = "crossing/tasks.rs"]
mod tasks;
#[path = "crossing/threads.rs"]
mod threads;
#[path = "crossing/way.rs"]
mod way;
#[path = "crossing/world.rs"]
mod world;

use std::collections::{BTreeMap, BTreeSet};

use rings::*;
use tasks::*;
use threads::*;

/// Passes the columns to another macro, after its own arguments: the scenarios, by their file.
macro_rules! with_columns {
    ($then:ident! { $($before:tt)* }) => {
        $then! {
            $($before)*
            starts {
                oldest oldest_empty index_backlog index_next index_ahead index_lost
                exactly after after_ahead after_epoch latest
            }
            ends {
                closed cancelled reset deleted denied allowed expired
                lagged_close lagged_continue skipped_before skipped_at
            }
        }
    };
}

/// One row: a module with a test for every column.
macro_rules! row {
    ($way:ty; $($file:ident { $($column:ident)* })*) => {
        $($(
            #[test]
            fn $column() {
                crate::common::in_time(crate::$file::$column::<$way>);
            }
        )*)*
    };
}

macro_rules! names {
    ($($file:ident { $($column:ident)* })*) => { &[$($(stringify!($column)),*),*] };
}

macro_rules! rows {
    ($($(#[cfg($feature:meta)])? $row:ident: $way:ty,)*) => {
        $(
            $(#[cfg($feature)])?
            mod $row {
                use super::*;

                with_columns!(row! { $way; });
            }
        )*

        /// All rows, also those whose features are off.
        const ROWS: &[&str] = &[$(stringify!($row)),*];
    };
}

const COLUMNS: &[&str] = with_columns!(names! {});

rows! {
    recv: Thread<Recv>,
    recv_timeout: Thread<RecvTimeout>,
    recv_deadline: Thread<RecvDeadline>,
    iter: Thread<Iter>,
    try_recv: AtOnce<TryRecv>,
    drain: AtOnce<Drain>,
    recv_async: Task<RecvAsync>,
    poll_recv: Task<PollRecv>,
    #[cfg(feature = "stream")]
    stream: Task<Stream>,
    readable_drain: Task<ReadableThenDrain>,
    doorbell_try_recv: Doorbell<TryRecv>,
    doorbell_drain: Doorbell<Drain>,
    #[cfg(feature = "json")]
    frames: Thread<Frames>,
    #[cfg(feature = "json")]
    doorbell_try_frame: Doorbell<TryFrame>,
    #[cfg(feature = "json")]
    write_to: Thread<WriteTo>,
    #[cfg(all(feature = "json", feature = "stream"))]
    frame_stream: Task<FrameStream>,
}

/// The cells of each line of the tables above, without code marks.
fn lines_of_tables() -> Vec<Vec<&'static str>> {
    let lines = include_str!("crossing.rs").lines().map_while(|line| line.strip_prefix("//!"));
    let cells = lines.filter_map(|line| line.trim().strip_prefix('|')?.strip_suffix('|'));
    cells.map(|cells| cells.split('|').map(|cell| cell.trim().trim_matches('`')).collect()).collect()
}

/// The table names each test once, in its column, and nothing else.
#[test]
fn the_table_is_what_is_tested() {
    let (mut tests, mut named) = (BTreeMap::new(), Vec::new());
    let mut header = None;
    for line in lines_of_tables() {
        match (&line[..], &header) {
            (["cell", ..], _) => header = None,
            (["row", _, columns @ ..], _) => header = Some(columns.to_vec()),
            ([rule, ..], _) if rule.starts_with('-') => {}
            ([row, _, cells @ ..], Some(columns)) => {
                assert_eq!(cells, columns, "{row} has every cell in its column");
                named.extend(cells.iter().map(|cell| (*row, *cell)));
            }
            ([cell, test, _], None) => assert_eq!(tests.insert(*cell, *test), None, "{cell} is the name of one test"),
            _ => panic!("not a line of either kind of table: {line:?}"),
        }
    }
    let name = |(row, cell)| match tests.get(cell) {
        Some(test) => format!("{row}::{test}"),
        None => panic!("{row} has a cell that names no test: {cell:?}"),
    };
    let mut unnamed: BTreeSet<_> =
        ROWS.iter().flat_map(|row| COLUMNS.iter().map(move |column| format!("{row}::{column}"))).collect();
    for test in named.into_iter().map(name) {
        assert!(unnamed.remove(&test), "{test} is not there, or named twice");
    }
    assert_eq!(unnamed, BTreeSet::new(), "these are not in the table");
}
