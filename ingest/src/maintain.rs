//! What keeps a table quick to open and its folder small: checkpoints, merges, and forgetting what nobody reads any more.
//!
//! A running ingest does it by the way, off the commit path; [`maintain`] does all of it at once, beside running processes.

use std::sync::Arc;

use deltalake_core::operations::vacuum::VacuumMode;
use deltalake_core::{DeltaResult, DeltaTable, DeltaTableError, checkpoints};
use event::{Clock, Table};
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStore;
use object_store::path::Path;
use tracing::{debug, warn};

use crate::durable::DurableFiles;
use crate::lake::{LakeTable, put_new};
use crate::{Error, Result, compact};

/// A merge whose commit others keep coming before is left for another time after this many tries in a row.
const MERGE_TRIES: u32 = 5;

/// What maintenance came to for a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maintained {
    /// The table.
    pub table: Table,
    /// Its version afterwards.
    pub version: u64,
    /// Small files that became fewer large ones.
    pub merged: usize,
    /// Live files afterwards.
    pub files: usize,
    /// Files deleted that no version within the retention names.
    pub swept: usize,
}

/// Merges the small files of every month of every table of the lake in the folder `lake`, writes checkpoints, and removes
/// what the tables' retention (6 h) no longer needs. It takes no lock: whatever runs beside it goes on, and so do queries.
///
/// # Errors
/// [`Error::Open`], [`Error::Write`] or [`Error::Commit`]; what was done up to there is done.
pub async fn maintain(lake: &std::path::Path, clock: &dyn Clock) -> Result<Vec<Maintained>> {
    let dir = lake.canonicalize().map_err(|source| Error::Folder { path: lake.to_owned(), source })?;
    let store: Arc<dyn ObjectStore> = Arc::new(DurableFiles::default());
    let mut done = Vec::new();
    for table in Table::all() {
        let Some(mut open) = LakeTable::open_for_maintenance(&store, table, &dir).await? else { continue };
        let merged = merge_all(&mut open, clock).await?;
        let failed = |source| Error::Open { table, source };
        checkpoints::create_checkpoint(&open.delta, None).await.map_err(failed)?;
        checkpoints::cleanup_metadata(&open.delta, None).await.map_err(failed)?;
        let swept = sweep_unused(&open.delta).await.map_err(failed)?;
        let files = open.delta.snapshot().map_err(failed)?.log_data().num_files();
        done.push(Maintained { table, version: open.version(), merged, files, swept });
    }
    Ok(done)
}

/// Merges until no month has two small files that fit into one; returns how many files were merged.
async fn merge_all(open: &mut LakeTable, clock: &dyn Clock) -> Result<usize> {
    let (table, mut merged, mut tries) = (open.table, 0, 0);
    while let Some(merge) = compact::plan(table, &open.folder, &open.delta, 1) {
        let (now, count) = (clock.now(), merge.removes.len());
        let failed = |source| Error::Write { table, rows: 0, source };
        let encoded = tokio::task::spawn_blocking(move || merge.encode(now).map(|file| (merge, file)));
        let (merge, file) = encoded.await.map_err(|e| failed(e.into()))?.map_err(failed)?;
        put_new(open.delta.object_store(), file.add.path.clone(), file.bytes).await.map_err(|e| failed(e.into()))?;
        match open.replace(&merge.removes, &file.add).await.map_err(|source| Error::Commit { table, rows: 0, source })? {
            Some(_) => (merged, tries) = (merged + count, 0),
            None if tries < MERGE_TRIES => tries += 1,
            None => break,
        }
    }
    Ok(merged)
}

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
    let paths: Vec<Path> = unused.files_deleted.iter().map(Path::parse).collect::<std::result::Result<_, _>>().map_err(wrong)?;
    let locations = futures::stream::iter(paths.into_iter().map(Ok)).boxed();
    Ok(delta.object_store().delete_stream(locations).try_fold(0, |swept, _| async move { Ok(swept + 1) }).await?)
}

fn wrong(path: object_store::path::Error) -> DeltaTableError {
    DeltaTableError::generic(path.to_string())
}
