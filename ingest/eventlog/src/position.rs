//! How far a log was read.

use std::collections::BTreeMap;

/// The next offset per partition: everything below it is included, nothing at or above it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position(pub BTreeMap<i32, i64>);

impl Position {
    /// The next offset of one partition; 0 for one that was never read.
    pub fn next(&self, partition: i32) -> i64 {
        self.0.get(&partition).copied().unwrap_or(0)
    }

    /// A position in a log of one partition, the embedded one.
    pub fn single(next_offset: i64) -> Self {
        Position(BTreeMap::from([(0, next_offset)]))
    }

    /// Whether everything below `other` is included here too.
    pub fn covers(&self, other: &Position) -> bool {
        other.0.iter().all(|(partition, next)| self.next(*partition) >= *next)
    }

    /// Moves one partition on; never back.
    pub fn advance(&mut self, partition: i32, next_offset: i64) {
        let at = self.0.entry(partition).or_insert(0);
        *at = (*at).max(next_offset);
    }
}
