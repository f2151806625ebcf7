//! Where segments come from, whatever the log is.

use async_trait::async_trait;

use crate::error::Result;
use crate::{Position, Segment};

/// A log to read. Its promise is one conformance suite (`source/conformance.rs`), which every implementation passes:
/// offsets of a partition only grow, what was read once reads the same again until it is pruned, and reading from what is
/// no longer there is an error, never a silent gap.
#[async_trait]
pub trait Source: Send + Sync {
    /// The log's id. A log that is made anew has another one.
    fn log_id(&self) -> &str;

    /// The first offsets that are left.
    async fn start(&self) -> Result<Position>;

    /// The offsets the next messages will get.
    async fn end(&self) -> Result<Position>;

    /// Segments that hold the messages from `from` on, in order per partition: about `max_bytes` as stored, at least one
    /// if there is one, none at the log's end. The first of a partition may start below `from`.
    ///
    /// # Errors
    /// [`crate::Error::Pruned`] if they are no longer there, [`crate::Error::Ahead`] if `from` lies beyond the end.
    async fn read(&self, from: &Position, max_bytes: usize) -> Result<Vec<Segment>>;

    /// Returns once the log holds something at or after `from`; may return early. Dropping it loses nothing.
    async fn wait(&self, from: &Position) -> Result<()>;

    /// The log may forget what lies below `below`. Does a bounded chunk of the work; returns whether more is left.
    async fn prune(&self, below: &Position) -> Result<bool>;
}

/// The name under which a commit of the lake records how far a partition of a log was read.
pub fn app_id(log_id: &str, partition: i32) -> String {
    format!("{log_id}/{partition}")
}
