//! Rows that were taken from the log and stand in no commit yet.

use std::collections::{BTreeMap, VecDeque};

use arrow::array::RecordBatch;
use event::{Instant, Table};
use eventlog::{Position, Taken};

/// The tail, per table in the order of the log.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    tables: BTreeMap<Table, VecDeque<Held>>,
    /// Bytes of all rows in memory.
    pub(crate) bytes: usize,
    /// Everything below it was taken.
    pub(crate) upto: Position,
    /// When the oldest row came.
    pub(crate) since: Option<Instant>,
}

#[derive(Debug)]
struct Held {
    /// What feeds the table was read up to here when it came.
    reach: Position,
    batch: RecordBatch,
    bytes: usize,
}

impl Tail {
    /// An empty tail, read up to `position`.
    pub(crate) fn at(position: Position) -> Self {
        Tail { upto: position, ..Tail::default() }
    }

    pub(crate) fn push(&mut self, taken: Taken, now: Instant) {
        for (table, batch) in taken.batches {
            let bytes = batch.get_array_memory_size();
            self.bytes += bytes;
            self.since.get_or_insert(now);
            self.tables.entry(table).or_default().push_back(Held { reach: taken.upto.feeding(table), batch, bytes });
        }
        self.upto = taken.upto;
    }

    /// The rows of a table below `upto`.
    pub(crate) fn rows(&self, table: Table, upto: &Position) -> Vec<RecordBatch> {
        let held = self.tables.get(&table).into_iter().flatten();
        held.filter(|held| upto.covers(&held.reach)).map(|held| held.batch.clone()).collect()
    }

    /// Number of rows of a table.
    pub(crate) fn count(&self, table: Table) -> usize {
        self.tables.get(&table).into_iter().flatten().map(|held| held.batch.num_rows()).sum()
    }

    /// Drops the rows of a table that a commit up to `upto` holds.
    pub(crate) fn committed(&mut self, table: Table, upto: &Position) {
        let Some(held) = self.tables.get_mut(&table) else { return };
        while held.front().is_some_and(|first| upto.covers(&first.reach)) {
            self.bytes -= held.pop_front().map_or(0, |first| first.bytes);
        }
    }

    /// After a commit of everything up to a point: what is left came at `now` at the earliest.
    pub(crate) fn restart_clock(&mut self, now: Instant) {
        self.since = self.tables.values().any(|held| !held.is_empty()).then_some(now);
    }
}
