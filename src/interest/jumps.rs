//! Computes shortcuts through long chains: any earlier position is found in logarithmically many steps.
//! What a chain consists of is decided in `chain`. The jumps are followed in `walk`.
//!
//! A chain leads back run by run. Every [`SPACING`]th run is a *checkpoint*. Its first slot stores a [`Jump`] to the
//! checkpoint before it, and to one further back. How far back follows the skew-binary numbers (Myers, *An applicative
//! random-access stack*, 1983). From any checkpoint, any earlier one is at most about `3 log2 n` jumps away, and
//! storing a jump takes constant time.
//!
//! Jumps are stored with the batches and are evicted with them. The writer keeps one path for each node: the
//! checkpoints that the newest far jumps lead to. Its length is logarithmic in the number of checkpoints that the node
//! ever had.
//!
//! Invariants:
//! - the numbers of a path rise, and the newest is the number of checkpoints that the chain has had;
//! - a path ends with its node ([`Jumps::forget`]).
//!
//! Callers: `hits` and `table` under the broker's lock; `walk` reads jumps without it.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use crate::steps::{Step, count};
use crate::types::position::Position;

/// The number of runs for each checkpoint. A smaller number would cost a publish more. A larger one would cost a reader
/// more, because it walks up to this many runs beside its jumps.
pub(super) const SPACING: u32 = 16;

/// The id of a node, and so of its chain. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NodeId(pub(super) NonZeroU64);

/// What a checkpoint stores: where earlier checkpoints are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Jump {
    /// The number of checkpoints of the chain up to this one.
    pub(super) number: u64,
    /// Where the previous checkpoint begins, if there is one. It may have been evicted.
    pub(super) previous: Option<Position>,
    /// Where a checkpoint further back begins, if there is one.
    pub(super) far: Option<Position>,
}

/// The paths of all nodes that have checkpoints.
#[derive(Debug, Default)]
pub(super) struct Jumps(BTreeMap<NodeId, Path>);

/// The newest checkpoint and those that its far jumps lead to, oldest first: the number of each, and where it begins.
#[derive(Debug, Default)]
struct Path(Vec<(u64, Position)>);

impl Jumps {
    /// Adds a checkpoint that begins at `position`, and returns its jump.
    #[cold]
    pub(super) fn add(&mut self, node: NodeId, position: Position) -> Jump {
        count(Step::Find, 1);
        self.0.entry(node).or_default().push(position)
    }

    pub(super) fn forget(&mut self, node: NodeId) {
        if !self.0.is_empty() {
            self.0.remove(&node);
        }
    }
}

impl Path {
    fn push(&mut self, position: Position) -> Jump {
        let newest = self.0.last().copied();
        // The position before the first checkpoint has the number zero, and jumps to itself.
        let number_at = |back: usize| {
            self.0.len().checked_sub(back).and_then(|index| self.0.get(index)).map_or(0, |(number, _)| *number)
        };
        let (newest_number, second, third) = (number_at(1), number_at(2), number_at(3));
        if newest.is_some() && second > 0 && newest_number - second == second - third {
            self.0.truncate(self.0.len() - 2);
        }
        let far = self.0.last().map(|(_, position)| *position);
        let number = newest_number + 1;
        self.0.push((number, position));
        Jump { number, previous: newest.map(|(_, position)| position), far }
    }
}

#[cfg(all(test, not(broker_loom)))]
mod tests {
    use super::*;

    /// From the newest of many checkpoints, each one is reached in logarithmically many jumps.
    #[test]
    fn every_checkpoint_is_a_few_jumps_away() {
        for count in [1, 2, 3, 10, 1_000_u64] {
            let mut path = Path::default();
            let jumps: Vec<Jump> = (0..count).map(|n| path.push(Position(n * 100))).collect();
            assert!(path.0.len() <= 2 * count.ilog2() as usize + 2, "{:?}", path.0);
            let jump = |position: Position| jumps.get(usize::try_from(position.0 / 100).expect("few")).expect("one");
            for target in 0..count {
                let mut here = Position((count - 1) * 100);
                let mut steps = 0;
                while here.0 > target * 100 {
                    let Jump { previous, far, number } = jump(here);
                    assert_eq!(*number, here.0 / 100 + 1);
                    let reaches = |position: &&Option<Position>| position.is_some_and(|to| to.0 >= target * 100);
                    here = [far, previous].into_iter().find(reaches).copied().flatten().expect("one of them is it");
                    steps += 1;
                }
                assert!(steps <= 3 * (count.ilog2() + 1), "{target} of {count}: {steps}");
            }
        }
    }
}
