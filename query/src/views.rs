//! The View of the running process: told what ingest reads and commits, it always has one consistent cut to hand out.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use event::Table;
use eventlog::{Position, Publisher, Taken};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::lake::{self, Committed, Tables};
use crate::view::View;
use crate::{Error, Result};

/// Holds the current [`View`] and replaces it, whole, whenever something was read or committed.
pub struct Views {
    current: ArcSwap<View>,
    /// Held while a new View is derived from the current one; readers never wait for it.
    replacing: Mutex<()>,
    lake: std::path::PathBuf,
    tables: tokio::sync::Mutex<Tables>,
    replaced: watch::Sender<()>,
}

impl Views {
    /// The View of the lake in `lake` as it is now, with an empty tail. Tables that do not exist
    /// yet have no rows until they are committed to.
    pub async fn open(lake: &Path) -> Result<Arc<Views>> {
        let (view, deltas) = load(lake).await?;
        Ok(Arc::new(Views {
            current: ArcSwap::from_pointee(view),
            replacing: Mutex::new(()),
            lake: lake.to_owned(),
            tables: tokio::sync::Mutex::new(deltas),
            replaced: watch::Sender::new(()),
        }))
    }

    /// The View of this moment.
    pub fn current(&self) -> Arc<View> {
        self.current.load_full()
    }

    /// A View that includes everything below `position`, as soon as there is one: read-your-writes.
    pub async fn wait_for(&self, position: &Position, timeout: Duration) -> Result<Arc<View>> {
        let mut replaced = self.replaced.subscribe();
        let wait = async {
            loop {
                let view = self.current();
                if view.position().covers(position) {
                    return view;
                }
                // The sender lives in `self`, so this cannot fail.
                let _ = replaced.changed().await;
            }
        };
        tokio::time::timeout(timeout, wait).await.map_err(|_| Error::NotYetVisible { waited: timeout })
    }

    fn replace(
        &self,
        change: impl FnOnce(&mut View) -> Result<(), arrow::error::ArrowError>,
    ) -> Result<(), arrow::error::ArrowError> {
        let _only = self.replacing.lock();
        let mut view = View::clone(&self.current.load());
        change(&mut view)?;
        self.current.store(Arc::new(view));
        self.replaced.send_replace(());
        Ok(())
    }

    /// What others have committed since the current View, all of one moment. Only versions that are looked for `thorough`ly
    /// are found beyond what was cleaned up.
    pub(crate) async fn newer(&self, thorough: bool) -> Result<Vec<Arc<Committed>>> {
        let mut tables = self.tables.lock().await;
        lake::refresh_all(&self.lake, &mut tables, thorough).await?;
        read_all(&tables, &self.current()).await
    }

    /// Shows `view` from now on. Nobody else may be telling this of the log.
    pub(crate) fn put(&self, view: View) {
        let _only = self.replacing.lock();
        self.current.store(Arc::new(view));
        self.replaced.send_replace(());
    }

    async fn load(&self, table: Table, version: u64, upto: Position) -> Result<Option<Arc<Committed>>> {
        let failed = |source| Error::Lake { table: table.name().to_owned(), source: Box::new(source) };
        let mut tables = self.tables.lock().await;
        let delta = tables.entry(table).or_default();
        if delta.is_none() {
            *delta = lake::open(&self.lake, table).await?;
        }
        let Some(delta) = delta.as_mut() else { return Ok(None) };
        let known = self.current().table(table).lake.clone();
        if delta.version().is_some_and(|at| at > version) && known.version.is_some_and(|at| at >= version) {
            return Ok(None);
        }
        delta.load_version(version).await.map_err(failed)?;
        Committed::read(table, delta, upto, Some(&known)).map(|c| Some(Arc::new(c))).map_err(failed)
    }
}

#[async_trait]
impl Publisher for Views {
    fn taken(&self, taken: Taken) {
        if let Err(error) = self.replace(|view| view.take(&taken)) {
            tracing::error!(%error, "Rows up to {} are not visible until they are committed", taken.upto);
        }
    }

    async fn committed(&self, table: Table, version: u64, upto: Position) {
        // If this fails the rows stay in the tail: no answer is wrong, and the next commit brings both up to date.
        match self.load(table, version, upto).await {
            Ok(Some(lake)) => {
                if let Err(error) = self.replace(|view| view.advance(table, lake)) {
                    tracing::error!(%error, table.name = %table, "Version {version} of `{table}` is not visible yet");
                }
            }
            Ok(None) => {}
            Err(error) => tracing::error!(%error, table.name = %table, "Version {version} of `{table}` is not visible yet"),
        }
    }
}

impl std::fmt::Debug for Views {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Views").field("lake", &self.lake).field("freshness", &self.current().freshness()).finish_non_exhaustive()
    }
}

/// The newest version of every table, without a tail. Its position is the lowest of the tables': up to there nothing is
/// missing in any of them.
pub(crate) async fn load(lake: &Path) -> Result<(View, Tables)> {
    let mut deltas: Tables = Table::all().map(|table| (table, None)).collect();
    lake::refresh_all(lake, &mut deltas, false).await?;
    let mut view = View::empty();
    let newest = read_all(&deltas, &view).await?;
    view.advance_to(&newest).map_err(|e| Error::folder(lake.display().to_string(), e))?;
    Ok((view, deltas))
}

/// The tables that stand at another version than in `view`.
async fn read_all(deltas: &Tables, view: &View) -> Result<Vec<Arc<Committed>>> {
    let mut read = Vec::new();
    for (table, delta) in deltas {
        let (Some(delta), known) = (delta, &view.table(*table).lake) else { continue };
        if delta.version() != known.version {
            let upto = lake::committed_position(*table, delta).await?;
            let committed = Committed::read(*table, delta, upto, Some(known));
            let failed = |source| Error::Lake { table: table.name().to_owned(), source: Box::new(source) };
            read.push(Arc::new(committed.map_err(failed)?));
        }
    }
    Ok(read)
}
