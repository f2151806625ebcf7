//! A View for one look at a lake that other processes fill: as committed, and the log's rows since, read beside a running
//! process or without one. It takes no lock and writes nothing.

use std::path::Path;
use std::sync::Arc;

use event::Instant;
use eventlog::{Intake, IntakeConfig, Partition, Position, Segment, Source, outbox};
use rusqlite::{Connection, OpenFlags};

use crate::files::LiveFiles;
use crate::log_tail::LogTail;
use crate::view::View;
use crate::{Error, Result, lake, views};

/// Each try loads the lake anew. The log keeps an hour behind the slowest table, so one is nearly always enough.
const TRIES: usize = 5;

/// Bytes of segments copied at a time; the read transaction stays open until all are, so that the cut is one.
const CHUNK_BYTES: usize = 16 << 20;

/// The View of the data folder `data` at this moment: up to the end of `log`, or of the folder's own log without one.
///
/// First the tables' versions are loaded, then a read transaction on the folder's log, whose end is the cut: everything below
/// it is in a version or in the log. If the log was pruned beyond a version in between, it starts again. Of `log`, partitions
/// that don't go on from the lake are left out.
pub async fn load(data: &Path, log: Option<&dyn Source>) -> Result<Arc<View>> {
    let folder = data.join("lake");
    if !folder.is_dir() {
        let missing = std::io::Error::new(std::io::ErrorKind::NotFound, "it has no lake; is it a data folder?");
        return Err(Error::folder(data.display().to_string(), missing));
    }
    if let Some(log) = log {
        return follow(&folder, log).await;
    }
    let ledger = data.join("ledger.sqlite");
    for _ in 0..TRIES {
        let (mut view, deltas) = views::load(&folder).await?;
        if !ledger.exists() {
            return Ok(Arc::new(view));
        }
        let log_ids = deltas.values().flatten().map(lake::log_ids).find(|ids| !ids.0.is_empty()).unwrap_or_default();
        let log_id = log_ids.of(Partition::WHOLE).map(str::to_owned);
        if log_id.is_none() && !log_ids.0.is_empty() {
            // Filled from topics: the ledger's own log is on its way there.
            return Ok(Arc::new(view));
        }
        let (file, from) = (ledger.clone(), view.position().next(Partition::WHOLE));
        let copied = blocking(move || copy(&file, log_id.as_deref(), from)).await?;
        let Some(log) = copied else { continue };
        return blocking(move || {
            decode(&mut view, &log)?;
            Ok(Arc::new(view))
        })
        .await;
    }
    let pruned = std::io::Error::other("the log is pruned faster than the lake can be loaded");
    Err(Error::folder(ledger.display().to_string(), pruned))
}

/// The lake and what `log` holds after it.
async fn follow(folder: &Path, log: &dyn Source) -> Result<Arc<View>> {
    let (mut view, _) = views::load(folder).await?;
    let failed = |e: eventlog::Error| Error::folder("the log", e);
    let end = log.end().await.map_err(failed)?;
    let mut tail = LogTail::begin(&view, log, IntakeConfig::default()).await.map_err(failed)?;
    for why in tail.left_out().values() {
        tracing::warn!("Answers lack what is not committed: {why}");
    }
    tail.read_to(log, &end, &mut view, CHUNK_BYTES).await?;
    Ok(Arc::new(view))
}

/// What the log held, copied out of it.
struct Log {
    segments: Vec<Segment>,
    end: i64,
    recorded_at: Instant,
}

/// Copies the log from `from` to its end; `None` if it no longer begins there.
fn copy(file: &Path, log_id: Option<&str>, from: i64) -> Result<Option<Log>> {
    let failed = |e: eventlog::Error| Error::folder(file.display().to_string(), e);
    let sqlite = |e: rusqlite::Error| Error::folder(file.display().to_string(), e);
    let conn =
        Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(sqlite)?;
    conn.busy_timeout(std::time::Duration::from_secs(5)).map_err(sqlite)?;
    let transaction = conn.unchecked_transaction().map_err(sqlite)?;
    let found = outbox::log_id(&transaction).map_err(failed)?;
    if log_id.is_some_and(|expected| expected != found) {
        let other = format!("its log is {found}, the lake was filled from {}", log_id.unwrap_or_default());
        return Err(Error::folder(file.display().to_string(), other));
    }
    let end = outbox::end(&transaction).map_err(failed)?;
    if from > end {
        let behind = format!("the log ends at {end} and the lake was filled up to {from}: was the file restored from a backup?");
        return Err(Error::folder(file.display().to_string(), behind));
    }
    if outbox::pruned_to(&transaction).map_err(failed)? > from {
        return Ok(None);
    }
    let mut segments = Vec::new();
    let mut next = from;
    while next < end {
        let chunk = outbox::read(&transaction, next, CHUNK_BYTES).map_err(failed)?;
        let Some(last) = chunk.last() else { break };
        next = last.next_offset;
        segments.extend(chunk);
    }
    let recorded_at = outbox::last_recorded_at(&transaction).map_err(failed)?;
    Ok(Some(Log { segments, end, recorded_at }))
}

/// Adds to `view` the rows that the log comes to, by the same rules as ingest.
fn decode(view: &mut View, log: &Log) -> Result<()> {
    let failed = |e: eventlog::Error| Error::folder("the log's tail", e);
    let mut intake = Intake::new(Arc::new(LiveFiles::of(view)), view.committed(), IntakeConfig::default());
    let taken = intake.take(&log.segments).map_err(failed)?;
    view.append(&taken.batches).map_err(|e| Error::folder("the log's tail", e))?;
    view.position = Position::single(log.end);
    if log.end > 0 {
        view.as_of = view.as_of.max(Some(log.recorded_at));
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|e| Error::folder("the data folder", e))?
}
