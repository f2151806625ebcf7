//! The lake: one Delta table per table of the contract, and the one way to commit to it.
//!
//! Owns opening, creating and committing. A commit holds rows and the log's offsets they reach, as Delta app transactions;
//! the offsets stand nowhere else, and exactly once follows from that.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use deltalake_core::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties};
use deltalake_core::kernel::{Action, Add, Remove, StructType, Transaction};
use deltalake_core::logstore::{StorageConfig, get_actions, logstore_with};
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::{DeltaResult, DeltaTable, DeltaTableError};
use event::{Stream, Table};
use eventlog::{LogIds, Partition, Position, app_id};
use futures::StreamExt;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};
use tracing::{debug, info};
use url::Url;

use crate::durable::DurableFiles;
use crate::files::LiveFiles;
use crate::write::EncodedFile;
use crate::{Error, Result};

/// Tries of one commit against errors that pass. Another process's commit that came between is none.
const COMMIT_TRIES: u32 = 5;

/// Tries to open the tables while other processes create or change them: each try finds what they have done.
const OPEN_TRIES: u32 = 5;

/// Files stored at a time: each is a few megabytes and one sync; more in parallel gain nothing on one disk.
const STORE_AT_ONCE: usize = 4;

/// Names the tables that were created, one a line, beside their folders: one that is missing then was lost, and is not new.
const TABLES_FILE: &str = "TABLES";

/// Replaced files and superseded log entries stay this long for readers of older versions.
const RETENTION: &str = "interval 6 hours";

/// The tables, open, and how far each was committed.
pub struct Lake {
    pub(crate) tables: BTreeMap<Table, LakeTable>,
    pub(crate) files: Arc<LiveFiles>,
}

/// A commit whose files are stored: it lands whole or not at all.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) files: Vec<Add>,
    pub(crate) rows: usize,
    /// The partitions that move on with it, and where to.
    pub(crate) upto: Position,
    /// Whether it was tried: then it may have landed.
    pub(crate) attempted: bool,
    /// Whether it was found in the table.
    pub(crate) landed: bool,
}

/// One open table.
pub(crate) struct LakeTable {
    pub(crate) table: Table,
    pub(crate) folder: PathBuf,
    pub(crate) delta: DeltaTable,
    /// How far everything that feeds it was committed.
    pub(crate) committed: Position,
    /// What feeds it.
    pub(crate) log_ids: LogIds,
    /// The partitions for which an offset stands in it for sure.
    begun: BTreeSet<Partition>,
    /// What other processes committed up to this version is known.
    heard: u64,
}

/// Where a commit stands.
pub(crate) enum Step {
    /// It is in this version.
    Landed(u64),
    /// Not yet: other processes have committed these files, each with its month, and whether their events stand among ours
    /// is to be found out first.
    Others(Vec<(PathBuf, Option<String>)>),
}

impl Lake {
    /// Opens the lake in the folder `dir`, where each table has its own folder, for the log `log_ids` whose partitions end at
    /// `end`: the tables that are fed by them. Those that are missing are created: from the log's beginning, but at the end of
    /// a partition that other tables have read.
    ///
    /// # Errors
    /// [`Error::OtherLog`] and [`Error::AheadOfLog`] if lake and log don't belong together, [`Error::Lost`] if a table was
    /// created once and is gone.
    pub async fn open_or_create(dir: &Path, log_ids: &LogIds, end: &Position) -> Result<Lake> {
        Self::open_on(Arc::new(DurableFiles::default()), dir, log_ids, end).await
    }

    /// The same on a given store, whose root is the file system's.
    pub(crate) async fn open_on(store: Arc<dyn ObjectStore>, dir: &Path, log_ids: &LogIds, end: &Position) -> Result<Lake> {
        let in_folder = |source| Error::Folder { path: dir.to_owned(), source };
        std::fs::create_dir_all(dir).map_err(in_folder)?;
        let dir = dir.canonicalize().map_err(in_folder)?;
        let created = created_tables(&dir).map_err(in_folder)?;
        let mut tables = BTreeMap::new();
        let mut missing = Vec::new();
        for table in Table::all().filter(|table| !log_ids.feeding(*table).0.is_empty()) {
            match LakeTable::open_beside_others(&store, table, &dir, log_ids, end).await? {
                Some(open) => drop(tables.insert(table, open)),
                None if created.contains(table.name()) => return Err(Error::Lost { table, list: dir.join(TABLES_FILE) }),
                None => missing.push(table),
            }
        }
        // A process that dies while it creates the first tables leaves some at the beginning and some missing.
        let begun = |partition| tables.values().any(|table| table.committed.next(partition) > 0);
        let start = end.0.iter().map(|(partition, end)| (*partition, if begun(*partition) { *end } else { 0 }));
        let start = Position(start.collect());
        for table in missing {
            let open = match LakeTable::create(&store, table, &dir, log_ids, &start).await {
                Ok(open) => open,
                // Another process was quicker.
                Err(failure) => LakeTable::open_beside_others(&store, table, &dir, log_ids, end).await?.ok_or(failure)?,
            };
            tables.insert(table, open);
        }
        if tables.keys().any(|table| !created.contains(table.name())) {
            // Another process may have created more of them meanwhile.
            let before = created_tables(&dir).map_err(in_folder)?;
            let names: BTreeSet<&str> = before.iter().map(String::as_str).chain(tables.keys().map(|t| t.name())).collect();
            let list: String = names.into_iter().map(|name| format!("{name}\n")).collect();
            let path = object_store::path::Path::from_absolute_path(dir.join(TABLES_FILE));
            let stored = async { store.put(&path?, list.into()).await }.await;
            stored.map_err(|e| in_folder(std::io::Error::other(e)))?;
        }
        let files = Arc::new(LiveFiles::default());
        tables.values().for_each(|table| table.list_into(&files));
        Ok(Lake { tables, files })
    }

    /// How far each table was committed.
    pub fn committed(&self) -> BTreeMap<Table, Position> {
        self.tables.iter().map(|(table, open)| (*table, open.committed.clone())).collect()
    }

    /// The version each table is at.
    pub fn versions(&self) -> BTreeMap<Table, u64> {
        self.tables.iter().map(|(table, open)| (*table, open.version())).collect()
    }
}

/// The tables that were created in the lake `dir`; none in a new one.
fn created_tables(dir: &Path) -> std::io::Result<HashSet<String>> {
    match std::fs::read_to_string(dir.join(TABLES_FILE)) {
        Ok(list) => Ok(list.lines().map(str::to_owned).collect()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(HashSet::new()),
        Err(e) => Err(e),
    }
}

/// The table in `folder`, not loaded.
fn delta_at(store: &Arc<dyn ObjectStore>, folder: &Path) -> DeltaResult<DeltaTable> {
    let url =
        Url::from_directory_path(folder).map_err(|()| DeltaTableError::InvalidTableLocation(folder.display().to_string()))?;
    Ok(DeltaTable::new(logstore_with(store.clone(), &url, StorageConfig::default())?))
}

/// The table and its folder in `dir`, loaded; `None` if it does not exist.
async fn load(store: &Arc<dyn ObjectStore>, table: Table, dir: &Path) -> Result<Option<(PathBuf, DeltaTable)>> {
    let failed = |source| Error::Open { table, source };
    let folder = dir.join(table.name());
    if !folder.join("_delta_log").is_dir() {
        return Ok(None);
    }
    let mut delta = delta_at(store, &folder).map_err(failed)?;
    if !delta.verify_deltatable_existence().await.map_err(failed)? {
        return Ok(None);
    }
    delta.load().await.map_err(failed)?;
    Ok(Some((folder, delta)))
}

/// How far `position` is, as a commit records it.
fn transactions(log_ids: &LogIds, position: &Position) -> Vec<Transaction> {
    position.0.iter().filter_map(|(p, next)| Some(Transaction::new(log_ids.app_id(*p)?, *next))).collect()
}

/// Refuses a table that another log has filled. The topic of a stream that is new to the contract is noted; one that is not
/// read here is left alone.
async fn filled_from(table: Table, delta: DeltaTable, expected: LogIds) -> Result<DeltaTable> {
    let failed = |source| Error::Open { table, source };
    let properties = &delta.snapshot().map_err(failed)?.table_config().unknown_properties;
    let found = LogIds::from_properties(|name| properties.get(name).cloned());
    let topics = |ids: &LogIds| ids.0.keys().all(Option::is_some);
    let known = found.0.iter().all(|(stream, id)| expected.0.get(stream).is_none_or(|expected| expected == id));
    if found.0.is_empty() || !known || topics(&found) != topics(&expected) {
        return Err(Error::OtherLog { table, found, expected });
    }
    if expected.0.keys().all(|stream| found.0.contains_key(stream)) {
        return Ok(delta);
    }
    let properties: HashMap<String, String> = expected.properties().collect();
    delta.set_tbl_properties().with_properties(properties).with_raise_if_not_exists(false).await.map_err(failed)
}

/// Adds the columns that the contract has gained since the table was written; in older files they are null.
async fn widen(table: Table, delta: DeltaTable) -> DeltaResult<DeltaTable> {
    let there = delta.snapshot()?.schema();
    let schema: StructType = table.schema().as_ref().try_into_kernel()?;
    let gained: Vec<_> = schema.fields().filter(|field| there.field(field.name()).is_none()).cloned().collect();
    if gained.is_empty() {
        return Ok(delta);
    }
    let names: Vec<_> = gained.iter().map(|field| field.name().as_str()).collect();
    info!(table = %table, columns = names.join(", "), "The table {table} gains columns");
    delta.add_columns().with_fields(gained).await
}

/// Stores a file under its random name.
pub(crate) async fn put_new(store: Arc<dyn ObjectStore>, path: String, bytes: Bytes) -> object_store::Result<()> {
    let path = object_store::path::Path::parse(path)?;
    match store.put_opts(&path, bytes.into(), PutMode::Create.into()).await {
        // The name is random: it is this very file, stored by an earlier try.
        Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
        Err(e) => Err(e),
    }
}

impl LakeTable {
    /// Opens it, also while other processes change it.
    async fn open_beside_others(
        store: &Arc<dyn ObjectStore>,
        table: Table,
        dir: &Path,
        log_ids: &LogIds,
        end: &Position,
    ) -> Result<Option<Self>> {
        for tries in 1.. {
            match Self::open(store, table, dir, log_ids, end).await {
                Err(Error::Open { source, .. }) if tries < OPEN_TRIES => {
                    debug!(table = %table, error = %source, tries, "{table} could not be opened; it is tried again");
                    tokio::time::sleep(pause(tries)).await;
                }
                outcome => return outcome,
            }
        }
        unreachable!("the last try returns")
    }

    /// Opens it to merge and tidy, without a log; `None` if it does not exist. It commits no rows.
    pub(crate) async fn open_for_maintenance(store: &Arc<dyn ObjectStore>, table: Table, dir: &Path) -> Result<Option<Self>> {
        let Some((folder, delta)) = load(store, table, dir).await? else { return Ok(None) };
        let (committed, log_ids) = (Position::default(), LogIds::default());
        let heard = delta.version().unwrap_or_default();
        Ok(Some(LakeTable { table, folder, delta, committed, log_ids, begun: BTreeSet::new(), heard }))
    }

    async fn open(
        store: &Arc<dyn ObjectStore>,
        table: Table,
        dir: &Path,
        log_ids: &LogIds,
        end: &Position,
    ) -> Result<Option<Self>> {
        let failed = |source| Error::Open { table, source };
        let Some((folder, delta)) = load(store, table, dir).await? else { return Ok(None) };
        let delta = filled_from(table, delta, log_ids.feeding(table)).await?;
        let delta = widen(table, delta).await.map_err(failed)?;
        let log_ids = log_ids.feeding(table);
        let (committed, begun) = (Position::default(), BTreeSet::new());
        let mut open = LakeTable { table, folder, delta, committed, log_ids, begun, heard: 0 };
        let end = end.feeding(table);
        for (partition, end) in &end.0 {
            let (partition, end) = (*partition, *end);
            let Some(committed) = open.offset(partition).await.map_err(failed)? else { continue };
            if committed > end {
                return Err(Error::AheadOfLog { table, partition, committed, end });
            }
            open.committed.advance(partition, committed);
        }
        open.begin(end.0.keys().copied()).await.map_err(failed)?;
        open.heard = open.version();
        Ok(Some(open))
    }

    async fn create(store: &Arc<dyn ObjectStore>, table: Table, dir: &Path, log_ids: &LogIds, start: &Position) -> Result<Self> {
        let failed = |source| Error::Open { table, source };
        let folder = dir.join(table.name());
        std::fs::create_dir_all(&folder).map_err(|source| Error::Folder { path: folder.clone(), source })?;
        let schema: StructType = table.schema().as_ref().try_into_kernel().map_err(|e| failed(e.into()))?;
        let (log_ids, committed) = (log_ids.feeding(table), start.feeding(table));
        let offsets = transactions(&log_ids, &committed).into_iter().map(Action::Txn);
        let retentions = ["delta.logRetentionDuration", "delta.deletedFileRetentionDuration"];
        let retentions = retentions.map(|name| (name.to_owned(), RETENTION.to_owned()));
        let properties = log_ids.properties().chain(retentions).map(|(name, value)| (name, Some(value)));
        let delta = CreateBuilder::new()
            .with_log_store(delta_at(store, &folder).map_err(failed)?.log_store())
            .with_table_name(table.name())
            .with_columns(schema.fields().cloned())
            .with_partition_columns(if table.partitioned() { vec!["month"] } else { vec![] })
            .with_save_mode(SaveMode::ErrorIfExists)
            .with_raise_if_key_not_exists(false)
            .with_configuration(properties)
            .with_actions(offsets)
            .await
            .map_err(failed)?;
        info!(table = %table, "Created the table {table}");
        let mut created = LakeTable { table, folder, delta, committed, log_ids, begun: BTreeSet::new(), heard: 0 };
        created.begin(start.feeding(table).0.keys().copied()).await.map_err(failed)?;
        created.heard = created.version();
        Ok(created)
    }

    pub(crate) fn version(&self) -> u64 {
        self.delta.version().unwrap_or_default()
    }

    /// The offset that stands in the table as it is loaded.
    async fn offset(&self, partition: Partition) -> DeltaResult<Option<i64>> {
        let Some(app_id) = self.log_ids.app_id(partition) else { return Ok(None) };
        self.delta.snapshot()?.transaction_version(self.delta.log_store().as_ref(), app_id).await
    }

    /// The offset that stands in the table for a partition of the topic with the id `log_id`.
    pub(crate) async fn offset_of(&self, log_id: &str, partition: Partition) -> Result<Option<i64>> {
        let (table, log_store) = (self.table, self.delta.log_store());
        let failed = |source| Error::Open { table, source };
        let app_id = app_id(log_id, partition.number);
        self.delta.snapshot().map_err(failed)?.transaction_version(log_store.as_ref(), app_id).await.map_err(failed)
    }

    /// From now on the stream's topic is the one with this id.
    pub(crate) async fn rename_log(&mut self, stream: Stream, id: String) -> Result<()> {
        let table = self.table;
        let failed = |source| Error::Open { table, source };
        let properties = &self.delta.snapshot().map_err(failed)?.table_config().unknown_properties;
        let mut ids = LogIds::from_properties(|name| properties.get(name).cloned());
        if ids.0.insert(Some(stream), id.clone()).as_ref() != Some(&id) {
            let properties: HashMap<String, String> = ids.properties().collect();
            let renamed = self.delta.clone().set_tbl_properties().with_properties(properties);
            self.delta = renamed.with_raise_if_not_exists(false).await.map_err(failed)?;
        }
        Ok(())
    }

    /// Commits offsets alone, wherever the table stood.
    pub(crate) async fn move_offsets(&mut self, offsets: Vec<Transaction>) -> Result<()> {
        let table = self.table;
        let operation = DeltaOperation::Write { mode: SaveMode::Append, partition_by: None, predicate: None };
        let landed = self.land(Vec::new(), offsets, operation).await;
        landed.map_err(|source| Error::Commit { table, rows: 0, source })
    }

    /// The partitions of `upto` that are further than this table, and how far they are.
    pub(crate) fn moved(&self, upto: &Position) -> Position {
        let moved = |(partition, next): &(Partition, i64)| *next > self.committed.next(*partition);
        Position(upto.feeding(self.table).0.into_iter().filter(moved).collect())
    }

    /// Whether this process is the one that keeps the table small: it has the first of the partitions that feed it.
    pub(crate) fn keeps(&self) -> bool {
        let first = self.log_ids.0.keys().next().map(|stream| Partition { stream: *stream, number: 0 });
        first.is_some_and(|first| self.committed.0.contains_key(&first))
    }

    /// Commits offset 0 of those of `partitions` that the table does not know, and of the ones numbered below them: whoever
    /// reads the table counts a log's partitions from 0 until there is none.
    async fn begin(&mut self, partitions: impl Iterator<Item = Partition> + Clone) -> DeltaResult<()> {
        let numbered = partitions.clone().flat_map(|p| (0..=p.number).map(move |number| Partition { number, ..p }));
        let wanted: BTreeSet<Partition> = numbered.filter(|p| !self.begun.contains(p)).collect();
        for tries in 1.. {
            let mut new = Position::default();
            for partition in &wanted {
                if self.offset(*partition).await?.is_none() {
                    new.advance(*partition, 0);
                }
            }
            if new.0.is_empty() {
                break;
            }
            let operation = DeltaOperation::Write { mode: SaveMode::Append, partition_by: None, predicate: None };
            match self.land(Vec::new(), transactions(&self.log_ids, &new), operation).await {
                Ok(()) => {}
                Err(source) if tries >= COMMIT_TRIES => return Err(source),
                // Another process may have done it.
                Err(_) => {
                    tokio::time::sleep(pause(tries)).await;
                    self.delta.update_incremental(None).await?;
                }
            }
        }
        self.begun.extend(wanted);
        // Not what stands there: if another process has gone on since, this one is fenced off by it.
        partitions.for_each(|partition| self.committed.advance(partition, 0));
        Ok(())
    }

    /// One try to commit `actions` on the snapshot that is loaded.
    async fn land(&mut self, actions: Vec<Action>, offsets: Vec<Transaction>, operation: DeltaOperation) -> DeltaResult<()> {
        let properties = CommitProperties::default()
            .with_application_transactions(offsets)
            .with_max_retries(0)
            .with_create_checkpoint(false)
            .with_cleanup_expired_logs(Some(false));
        let state = self.delta.snapshot()?.clone();
        let commit = CommitBuilder::from(properties).with_actions(actions);
        let done = commit.build(Some(&state), self.delta.log_store(), operation).await?;
        self.delta.state = Some(done.snapshot());
        Ok(())
    }

    /// Commits a merge: `removes` go and `file`, which is stored, takes their place. Returns the new version, or `None` if
    /// it did not land; then nothing has changed, and the stored file is swept up later.
    pub(crate) async fn replace(&mut self, removes: &[Remove], file: &Add) -> DeltaResult<Option<u64>> {
        let live = |delta: &DeltaTable| -> DeltaResult<HashSet<String>> {
            Ok(delta.snapshot()?.log_data().into_iter().map(|file| file.path().into_owned()).collect())
        };
        for tries in 1.. {
            let there = live(&self.delta)?;
            if there.contains(&file.path) {
                return Ok(Some(self.version()));
            }
            if tries > COMMIT_TRIES || !removes.iter().all(|remove| there.contains(&remove.path)) {
                break;
            }
            let actions = removes.iter().cloned().map(Action::Remove).chain([Action::Add(file.clone())]);
            let compactor = Transaction::new("compactor", self.version() as i64);
            let operation = DeltaOperation::Optimize { predicate: None, target_size: 0 };
            let before = self.version();
            match self.land(actions.collect(), vec![compactor], operation).await {
                Ok(()) => {
                    // What came before it was heard of or will be.
                    if self.heard == before {
                        self.heard = self.version();
                    }
                    return Ok(Some(self.version()));
                }
                Err(failure) => {
                    debug!(table = %self.table, error = %failure, "A merge in {} failed; looking whether it landed", self.table);
                    self.delta.update_incremental(None).await?;
                }
            }
        }
        Ok(None)
    }

    pub(crate) fn list_into(&self, files: &LiveFiles) {
        let Ok(state) = self.delta.snapshot() else { return };
        let live = state.log_data().into_iter().map(|file| {
            let month = file.partition_values_map().remove("month").flatten();
            (file.path().into_owned(), month)
        });
        files.set(self.table, &self.folder, live);
    }

    /// Stores files, of `rows` rows together, durably; nothing names them until a commit does.
    pub(crate) async fn store(&self, files: &[EncodedFile], rows: usize) -> Result<()> {
        let store = self.delta.object_store();
        let puts: Vec<_> = files.iter().map(|file| put_new(store.clone(), file.add.path.clone(), file.bytes.clone())).collect();
        let stored: Vec<_> = futures::stream::iter(puts).buffer_unordered(STORE_AT_ONCE).collect().await;
        stored.into_iter().collect::<object_store::Result<()>>().map_err(|source| Error::Write {
            table: self.table,
            rows,
            source: source.into(),
        })
    }

    /// Commits `prepared`, if and only if the offsets this process committed last still stand in the table. Says first what
    /// other processes have committed, if that was not said yet: it is called again then.
    ///
    /// An error may hide a commit that landed: after any error the table is read again before anything is decided, and a
    /// prepared commit that failed must be tried again before another one.
    pub(crate) async fn commit(&mut self, prepared: &mut Prepared) -> Result<Step> {
        let (table, rows) = (self.table, prepared.rows);
        let failed = |source| Error::Commit { table, rows, source };
        self.begin(prepared.upto.0.keys().copied()).await.map_err(failed)?;
        for tries in 1.. {
            // The snapshot whose offsets are compared is the one the commit is built on: the library refuses it if the
            // table has moved since, as its own retries are off.
            if prepared.attempted {
                self.delta.update_incremental(None).await.map_err(failed)?;
            }
            let others = self.hear(Some(prepared)).await?;
            if !others.is_empty() {
                return Ok(Step::Others(others));
            }
            // Without files there is nothing to know it by, and nothing to lose.
            let offsets_alone = prepared.attempted && prepared.files.is_empty();
            let mut landed = prepared.landed || offsets_alone;
            for (partition, next) in &prepared.upto.0 {
                let found = self.offset(*partition).await.map_err(failed)?;
                let expected = self.committed.next(*partition);
                let moved = found == Some(*next);
                landed &= moved;
                if found != Some(expected) && !(moved && (prepared.landed || offsets_alone)) {
                    return Err(Error::Fenced { table, partition: *partition, expected, found });
                }
            }
            if landed {
                break;
            }
            let partition_by = table.partitioned().then(|| vec!["month".to_owned()]);
            let operation = DeltaOperation::Write { mode: SaveMode::Append, partition_by, predicate: None };
            let adds = prepared.files.iter().cloned().map(Action::Add).collect();
            prepared.attempted = true;
            match self.land(adds, transactions(&self.log_ids, &prepared.upto), operation).await {
                Ok(()) => {
                    self.heard = self.version();
                    break;
                }
                Err(source) if tries >= COMMIT_TRIES => return Err(failed(source)),
                Err(source) => {
                    debug!(table = %table, error = %source, tries, "A commit to {table} failed; looking whether it landed");
                    tokio::time::sleep(pause(tries)).await;
                }
            }
        }
        prepared.upto.0.iter().for_each(|(partition, next)| self.committed.advance(*partition, *next));
        Ok(Step::Landed(self.version()))
    }

    /// Loads what other processes have done since, and says which files they have added: once.
    pub(crate) async fn listen(&mut self) -> Result<Vec<(PathBuf, Option<String>)>> {
        let failed = |source| Error::Open { table: self.table, source };
        self.delta.update_incremental(None).await.map_err(failed)?;
        self.hear(None).await
    }

    /// The files with new rows in the versions that were loaded since the last time, each with its month. Those of `ours` are
    /// left out: finding one says that it landed.
    async fn hear(&mut self, ours: Option<&mut Prepared>) -> Result<Vec<(PathBuf, Option<String>)>> {
        let failed = |source| Error::Open { table: self.table, source };
        let (mut others, mut landed) = (Vec::new(), false);
        let log_store = self.delta.log_store();
        for version in self.heard + 1..=self.version() {
            // Entries stay for hours: a process that slept for longer begins anew.
            let entry = log_store.read_commit_entry(version).await.map_err(failed)?;
            let entry = entry.ok_or(Error::Overtaken { table: self.table })?;
            for action in get_actions(version, &entry).map_err(failed)? {
                let Action::Add(add) = action else { continue };
                if ours.as_ref().is_some_and(|ours| ours.files.iter().any(|file| file.path == add.path)) {
                    landed = true;
                } else if add.data_change {
                    let month = add.partition_values.get("month").cloned().flatten();
                    others.push((self.folder.join(&add.path), month));
                }
            }
        }
        self.heard = self.version();
        if let Some(ours) = ours {
            ours.landed |= landed;
        }
        Ok(others)
    }
}

/// How long to wait after so many tries. No two processes wait alike, so that they don't meet again.
fn pause(tries: u32) -> Duration {
    let mut random = [0; 1];
    let _ = getrandom::fill(&mut random);
    Duration::from_millis(20 + u64::from(random[0]) / 4) * tries
}
