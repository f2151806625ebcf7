//! What keeps a table quick to open: checkpoints, and forgetting log entries nobody reads any more. Off the commit path.

use deltalake_core::{DeltaTable, checkpoints};
use event::Table;
use tracing::{debug, warn};

/// Writes a checkpoint of the table as it is loaded and removes log entries older than the table's retention. A failure
/// costs nothing but time at the next opening.
pub(crate) async fn checkpoint(table: Table, delta: DeltaTable) {
    if let Err(failure) = checkpoints::create_checkpoint(&delta, None).await {
        warn!(table = %table, error = %failure, "No checkpoint of {table} was written");
        return;
    }
    match checkpoints::cleanup_metadata(&delta, None).await {
        Ok(removed) => debug!(table = %table, version = delta.version(), removed, "Wrote a checkpoint of {table}"),
        Err(failure) => warn!(table = %table, error = %failure, "Old log entries of {table} could not be removed"),
    }
}
