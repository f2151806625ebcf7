//! Where segments come from, whatever the log is.

use async_trait::async_trait;

use crate::error::Result;
use crate::{LogIds, Position, Segment};

/// A log to read. Its promise is one conformance suite (`source_conformance.rs`), which every implementation passes:
/// offsets of a partition only grow, what was read once reads the same again until it is pruned, and reading from what is
/// no longer there is an error, never a silent gap.
#[async_trait]
pub trait Source: Send + Sync {
    /// The log's ids: one, or one per topic.
    fn log_ids(&self) -> &LogIds;

    /// The first offsets that are left, of every partition.
    async fn start(&self) -> Result<Position>;

    /// The offsets the next messages will get, of every partition.
    async fn end(&self) -> Result<Position>;

    /// Segments that hold the messages from `from` on, in order per partition: about `max_bytes` as stored, at least one
    /// if there is one, none at the log's end. The first of a partition may start below `from`. A partition that `from`
    /// does not name is read from offset 0.
    ///
    /// # Errors
    /// [`crate::Error::Pruned`] if they are no longer there, [`crate::Error::Ahead`] if `from` lies beyond the end.
    async fn read(&self, from: &Position, max_bytes: usize) -> Result<Vec<Segment>>;

    /// Returns once the log holds something at or after `from`; may return early. Dropping it loses nothing.
    async fn wait(&self, from: &Position) -> Result<()>;

    /// The log may forget what lies below `below`. Does a bounded chunk of the work; returns whether more is left.
    async fn prune(&self, below: &Position) -> Result<bool>;
}
