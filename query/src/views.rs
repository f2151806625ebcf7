//! The View of the running process: told what ingest reads and commits, it always has one consistent cut to hand out.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use deltalake_core::DeltaTable;
use event::Table;
use eventlog::{Position, Publisher, Taken};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::lake::{self, Committed};
use crate::view::View;
use crate::{Error, Result};

/// Holds the current [`View`] and replaces it, whole, whenever something was read or committed.
pub struct Views {
    current: ArcSwap<View>,
    /// Held while a new View is derived from the current one; readers never wait for it.
    replacing: Mutex<()>,
    lake: std::path::PathBuf,
    tables: BTreeMap<Table, tokio::sync::Mutex<Option<DeltaTable>>>,
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
            tables: deltas.into_iter().map(|(table, delta)| (table, tokio::sync::Mutex::new(delta))).collect(),
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

    async fn load(&self, table: Table, version: u64, upto: Position) -> Result<Option<Arc<Committed>>> {
        let failed = |source| Error::Lake { table: table.name().to_owned(), source };
        let mut delta = self.tables[&table].lock().await;
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
        let upto = taken.upto;
        let replaced = self.replace(|view| {
            view.append(&taken.batches)?;
            for (partition, next) in &upto.0 {
                view.position.advance(*partition, *next);
            }
            view.as_of = view.as_of.max(taken.recorded_at);
            Ok(())
        });
        if let Err(error) = replaced {
            tracing::error!(%error, "Rows up to {upto:?} are not visible until they are committed");
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
pub(crate) async fn load(lake: &Path) -> Result<(View, BTreeMap<Table, Option<DeltaTable>>)> {
    let mut view = View::empty();
    let mut deltas = BTreeMap::new();
    for table in Table::all() {
        let delta = lake::open(lake, table).await?;
        if let Some(delta) = &delta {
            let upto = lake::committed_position(table, delta).await?;
            let committed = Committed::read(table, delta, upto, None)
                .map_err(|source| Error::Lake { table: table.name().to_owned(), source })?;
            view.as_of = view.as_of.max(committed.recorded_at());
            view.tables.get_mut(&table).expect("a View has every table").lake = Arc::new(committed);
        }
        deltas.insert(table, delta);
    }
    view.position = view.committed_everywhere();
    Ok((view, deltas))
}
