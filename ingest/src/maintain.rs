//! What keeps a table quick to open and its folder small: checkpoints, and forgetting what nobody reads any more. Off the
//! commit path, and without commits of its own, which would come between those of the rows.

use deltalake_core::operations::vacuum::VacuumMode;
use deltalake_core::{DeltaResult, DeltaTable, DeltaTableError, checkpoints};
use event::Table;
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStore;
use object_store::path::Path;
use tracing::{debug, warn};

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
        match sweep_unused(&delta).await {
            Ok(swept) => debug!(table = %table, files = swept, "Swept {table}"),
            Err(failure) => warn!(table = %table, error = %failure, "Unused files of {table} could not be removed"),
        }
    }
}

/// Deletes the files that no version within the table's own retention names, a crash's orphans too; returns how many. The
/// library says which those are; left to itself it would also write two commits about it.
async fn sweep_unused(delta: &DeltaTable) -> DeltaResult<usize> {
    let (_, unused) = delta.clone().vacuum().with_mode(VacuumMode::Full).with_dry_run(true).await?;
    let paths: Vec<Path> = unused.files_deleted.iter().map(Path::parse).collect::<Result<_, _>>().map_err(wrong)?;
    let locations = futures::stream::iter(paths.into_iter().map(Ok)).boxed();
    Ok(delta.object_store().delete_stream(locations).try_fold(0, |swept, _| async move { Ok(swept + 1) }).await?)
}

fn wrong(path: object_store::path::Error) -> DeltaTableError {
    DeltaTableError::generic(path.to_string())
}
