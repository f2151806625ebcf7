//! What keeps a table quick to open and its folder small: checkpoints, and forgetting what nobody reads any more. Off the
//! commit path.

use deltalake_core::{DeltaTable, checkpoints};
use event::Table;
use tracing::{debug, warn};

/// Files stay at least this long after they were replaced, for readers of older versions. The tables' own retention.
const KEEP_FILES_HOURS: i64 = 6;

/// Writes a checkpoint of the table as it is loaded and removes log entries older than the table's retention; with `sweep`
/// also the files that no version of that time names. A failure costs nothing but time or space.
pub(crate) async fn keep(table: Table, delta: DeltaTable, sweep: bool) {
    if let Err(failure) = checkpoints::create_checkpoint(&delta, None).await {
        warn!(table = %table, error = %failure, "No checkpoint of {table} was written");
        return;
    }
    match checkpoints::cleanup_metadata(&delta, None).await {
        Ok(removed) => debug!(table = %table, version = delta.version(), removed, "Wrote a checkpoint of {table}"),
        Err(failure) => warn!(table = %table, error = %failure, "Old log entries of {table} could not be removed"),
    }
    if sweep {
        let retention = chrono::Duration::hours(KEEP_FILES_HOURS);
        match delta.vacuum().with_retention_period(retention).with_enforce_retention_duration(false).await {
            Ok((_, swept)) => debug!(table = %table, files = swept.files_deleted.len(), "Swept {table}"),
            Err(failure) => warn!(table = %table, error = %failure, "Unused files of {table} could not be removed"),
        }
    }
}
