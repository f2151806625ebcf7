//! From ingest to whoever answers queries: what was read, and what was committed.

use arrow::array::RecordBatch;
use async_trait::async_trait;
use event::{Instant, Table};

use crate::Position;

/// What a stretch of the log came to: decoded, without duplicates, bad messages as dead letters.
#[derive(Clone, Debug)]
pub struct Taken {
    /// New rows per table, each of the table's schema; rows of one table in log order.
    pub batches: Vec<(Table, RecordBatch)>,
    /// Everything below it has been taken.
    pub upto: Position,
    /// `recorded_at` of the last entry taken; `None` if the stretch was empty.
    pub recorded_at: Option<Instant>,
}

/// Is told what ingest reads and commits, in order, so that queries see rows before they are committed and see none twice
/// once they are.
#[async_trait]
pub trait Publisher: Send + Sync {
    /// `taken` was read and stands in no commit yet. Queries may see it from now on, all tables at once.
    fn taken(&self, taken: Taken);

    /// `version` of `table` holds all its rows below `upto`. Returns once queries take those from the commit; the rows may
    /// be freed then.
    async fn committed(&self, table: Table, version: u64, upto: Position);
}
