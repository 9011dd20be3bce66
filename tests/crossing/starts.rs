//! Every start: the reader waits, an event that it did not ask for is published, then one that it did, which it must
//! receive.

use event_broker::{Epoch, LagPolicy, Start, SubscribeError, Verdict};

use crate::way::{Outcome, Way};
use crate::world::{Terms, World, ahead};

/// Reads the backlog at opening, and continues.
fn reads_on<W: Way>(world: &World, start: Start, verdict: Verdict, backlog: impl IntoIterator<Item = Outcome>) {
    let mut reader: W = world.open(start, verdict);
    for outcome in backlog {
        assert_eq!(reader.read(), outcome);
    }
    world.continues(&mut reader);
}

/// Batches that were buffered at opening and evicted before the first read are not reported as lost; batches published
/// since are.
fn is_elastic<W: Way>(terms: Terms, start: Start, verdict: Verdict) {
    let open = || {
        let world = World::of(terms, 2).policy(LagPolicy::Continue);
        (1..=3).for_each(|index| drop(world.asked(index)));
        let reader: W = world.open(start, verdict);
        (world, reader)
    };
    if terms.are_narrow() {
        let (world, mut reader) = open();
        (4..=5).for_each(|index| world.other(index));
        world.continues(&mut reader);
    }
    let (world, mut reader) = open();
    world.asked(4);
    let left = [world.asked(5), world.asked(6)];
    let lagged = reader.read().loss();
    assert_eq!((lagged.count(), lagged.through, lagged.resumes_at), (Some(1), 4, 5));
    for outcome in left {
        assert_eq!(reader.read(), outcome);
    }
    world.continues(&mut reader);
}

pub(crate) fn oldest<W: Way>() {
    Terms::each(|terms| {
        let world = World::new(terms);
        let backlog = [world.asked(1), world.asked(3)];
        reads_on::<W>(&world, Start::Oldest, Verdict::Whole, backlog);
        // A backlog without a match.
        let world = World::new(terms);
        (1..=3).for_each(|index| world.other(index));
        reads_on::<W>(&world, Start::Oldest, Verdict::Whole, []);
        is_elastic::<W>(terms, Start::Oldest, Verdict::Whole);
    });
}

pub(crate) fn oldest_empty<W: Way>() {
    Terms::each(|terms| {
        reads_on::<W>(&World::new(terms), Start::Oldest, Verdict::Whole, []);
        let world = World::with(terms, |builder, _, _| builder.initial_index(7));
        reads_on::<W>(&world, Start::Oldest, Verdict::Whole, []);
    });
}

pub(crate) fn index_backlog<W: Way>() {
    Terms::each(|terms| {
        let world = World::new(terms);
        world.asked(3);
        let backlog = [world.asked(5), world.asked(5), world.asked(8)];
        reads_on::<W>(&world, Start::Index(4), Verdict::Whole, backlog);
        let world = World::new(terms);
        world.asked(3);
        world.other(5);
        if terms.are_narrow() {
            reads_on::<W>(&world, Start::Index(5), Verdict::Whole, []);
        }
    });
}

/// Another batch of the latest index may come, and does not match.
pub(crate) fn index_next<W: Way>() {
    Terms::each(|terms| {
        let world = World::new(terms);
        world.asked(7);
        let mut reader: W = world.open(Start::Index(8), Verdict::Whole);
        reader.wait();
        world.asked(7);
        reader.stays_asleep();
        world.comes_to_its_place(&mut reader, 8);
    });
}

/// The place is reached by a batch that does not match, by one that does, or by no event at all.
pub(crate) fn index_ahead<W: Way>() {
    Terms::each(|terms| {
        let waiting = || {
            let world = World::new(terms);
            world.asked(7);
            let mut reader: W = world.open(Start::Index(20), Verdict::Future { latest: 7 });
            reader.wait();
            world.asked(8);
            world.asked(19);
            reader.stays_asleep();
            (world, reader)
        };
        for place in [20, 22] {
            let (world, mut reader) = waiting();
            world.comes_to_its_place(&mut reader, place);

            let (world, mut reader) = waiting();
            let asked = world.asked(place);
            assert_eq!(reader.woken(), asked);
            world.continues(&mut reader);

            let (world, mut reader) = waiting();
            world.empty(place);
            reader.settle();
            world.comes_to_its_place(&mut reader, place + 1);
        }
    });
}

/// The verdict has reported the loss, and it is not reported again.
pub(crate) fn index_lost<W: Way>() {
    Terms::each(|terms| {
        let lost = Verdict::Lost { oldest: Some(2) };
        let world = World::of(terms, 2);
        world.asked(1);
        let backlog = [world.asked(2), world.asked(4)];
        reads_on::<W>(&world, Start::Index(1), lost, backlog);
        // A backlog in which nothing was asked for: the reader waits at once.
        let world = World::of(terms, 2);
        (1..=3).for_each(|index| world.other(index));
        if terms.are_narrow() {
            reads_on::<W>(&world, Start::Index(1), lost, []);
        }
        is_elastic::<W>(terms, Start::Index(1), lost);
        // Nothing is buffered.
        let world = World::with(terms, |builder, _, _| builder.initial_index(7));
        reads_on::<W>(&world, Start::Index(3), Verdict::Lost { oldest: None }, []);
    });
}

/// The only start that may be refused: it is, instead of waiting for its place.
pub(crate) fn exactly<W: Way>() {
    Terms::each(|terms| {
        let world = World::new(terms);
        world.asked(3);
        let backlog = [world.asked(5), world.asked(5), world.asked(8)];
        reads_on::<W>(&world, Start::Exactly(5), Verdict::Whole, backlog);
        let world = World::of(terms, 2);
        world.asked(3);
        world.asked(5);
        if terms.are_narrow() {
            world.other(8);
            reads_on::<W>(&world, Start::Exactly(8), Verdict::Whole, []);
        }
        let world = World::of(terms, 2);
        (1..=4).for_each(|half| drop(world.asked(half * 2)));
        let refusal = |index| world.broker.subscribe(world.request(Start::Exactly(index))).map(drop);
        assert_eq!(refusal(4), Err(SubscribeError::Lost { index: 4, oldest: Some(6) }));
        assert_eq!(refusal(7), Err(SubscribeError::Absent { index: 7, next: Some(8) }));
        assert_eq!(refusal(9), Err(SubscribeError::Future { index: 9, latest: 8 }));
    });
}

pub(crate) fn after<W: Way>() {
    Terms::each(|terms| {
        let world = World::new(terms);
        world.asked(3);
        world.asked(5);
        let between = world.broker.token();
        let backlog = [world.asked(5), world.asked(6)];
        reads_on::<W>(&world, Start::After(between), Verdict::Whole, backlog);
        let last = world.broker.token();
        reads_on::<W>(&world, Start::After(last), Verdict::Whole, []);
    });
}

/// At a replica that is behind and has not yet published what the reader has read elsewhere.
pub(crate) fn after_ahead<W: Way>() {
    Terms::each(|terms| {
        for (index, verdict) in [(3, Verdict::Whole), (4, Verdict::Whole), (9, Verdict::Future { latest: 3 })] {
            for place in [index, index + 1] {
                let world = World::new(terms);
                world.asked(3);
                let mut reader: W = world.open(Start::After(ahead(index, 3)), verdict);
                reader.wait();
                // The leader's three batches of the index, of which this replica may have one.
                (u64::from(index == 3)..3).for_each(|_| drop(world.asked(index)));
                reader.stays_asleep();
                world.comes_to_its_place(&mut reader, place);
            }
        }
    });
}

pub(crate) fn after_epoch<W: Way>() {
    Terms::each(|terms| {
        let other = World::with(Terms::Everything, |builder, _, _| builder.epoch(Epoch::from(7)));
        (1..=9).for_each(|index| drop(other.asked(index)));
        let start = Start::After(other.broker.token());
        let world = World::new(terms);
        let backlog = [world.asked(2), world.asked(3)];
        reads_on::<W>(&world, start, Verdict::OtherEpoch { oldest: Some(2) }, backlog);
        reads_on::<W>(&World::new(terms), start, Verdict::OtherEpoch { oldest: None }, []);
        is_elastic::<W>(terms, start, Verdict::OtherEpoch { oldest: Some(2) });
    });
}

pub(crate) fn latest<W: Way>() {
    Terms::each(|terms| {
        let world = World::new(terms);
        world.asked(3);
        reads_on::<W>(&world, Start::Latest, Verdict::Whole, []);
        reads_on::<W>(&World::new(terms), Start::Latest, Verdict::Whole, []);
    });
}
