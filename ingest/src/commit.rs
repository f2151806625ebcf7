//! The commit actor: brings the tail into the tables, dead letters first, and does what follows from commits.
//!
//! Owns the open tables; nobody else commits to them in this process, so nothing here races with anything but other
//! processes. These fence each other off by the offsets of the partitions each has, and each tells its intake what the others
//! have committed before it commits itself, so that no event lands by two of them.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use deltalake_core::kernel::Add;
use event::{Clock, Instant, Stream, Table};
use eventlog::{Position, Publisher, Source};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tracing::{debug, warn};

use crate::compact::Merge;
use crate::files::LiveFiles;
use crate::lake::{LakeTable, Prepared, Step};
use crate::reader::Others;
use crate::run::{Shared, retry_after};
use crate::{Error, IngestConfig, Lake, Result, TableStatus, compact, lake, maintain, write};

/// A flush tries a commit that fails this often before it says so.
const FLUSH_TRIES: u32 = 3;

pub(crate) struct Committer {
    tables: BTreeMap<Table, Kept>,
    files: Arc<LiveFiles>,
    shared: Arc<Shared>,
    source: Arc<dyn Source>,
    publisher: Arc<dyn Publisher>,
    clock: Arc<dyn Clock>,
    config: IngestConfig,
    /// Tells the intake what other processes have committed.
    heard: mpsc::Sender<Others>,
    listened_at: Instant,
    failures: u32,
    retry_at: Option<tokio::time::Instant>,
    /// When everything below a position had been committed, oldest first: what is to be pruned, and from when on.
    floors: VecDeque<(Instant, Position)>,
    pruning: Option<JoinHandle<()>>,
    maintenance: Option<JoinHandle<()>>,
    merging: Option<JoinHandle<Option<Merged>>>,
}

/// A merge whose file is stored.
struct Merged {
    table: Table,
    merge: Merge,
    file: Add,
}

/// A table and what is remembered about it between commits.
struct Kept {
    open: LakeTable,
    /// A commit that was tried and may have landed: it is settled before anything else.
    unsettled: Option<Prepared>,
    committed_at: Instant,
    /// The version of the last checkpoint, or where this process began.
    checkpointed: u64,
    /// The version in which small files were looked for.
    looked_at: Option<u64>,
    swept_at: Instant,
}

impl Committer {
    pub(crate) fn new(
        lake: Lake,
        shared: Arc<Shared>,
        source: Arc<dyn Source>,
        publisher: Arc<dyn Publisher>,
        clock: Arc<dyn Clock>,
        config: IngestConfig,
        heard: mpsc::Sender<Others>,
    ) -> Self {
        let now = clock.now();
        let tables: BTreeMap<Table, Kept> = lake
            .tables
            .into_iter()
            .map(|(table, open)| {
                let checkpointed = open.version();
                // The first look at what earlier runs left comes soon.
                let kept = Kept { open, unsettled: None, committed_at: now, checkpointed, looked_at: None, swept_at: now };
                (table, kept)
            })
            .collect();
        let mut committer = Committer {
            tables,
            files: lake.files,
            shared,
            source,
            publisher,
            clock,
            config,
            heard,
            listened_at: now,
            failures: 0,
            retry_at: None,
            floors: VecDeque::new(),
            pruning: None,
            maintenance: None,
            merging: None,
        };
        committer.floors.push_back((now, committer.floor()));
        committer.tables.keys().copied().collect::<Vec<_>>().into_iter().for_each(|table| committer.tell(table, 0));
        committer
    }

    /// Commits if it is time or `asked` to, and does what is due besides.
    pub(crate) async fn when_due(&mut self, asked: bool) {
        if self.shared.ended().is_some() || self.retry_at.is_some_and(|at| at > tokio::time::Instant::now()) {
            return;
        }
        let now = self.clock.now();
        let waited = self.shared.tail.lock().since.is_some_and(|since| age(now, since) >= self.config.commit_every);
        if asked || waited || self.tables.keys().any(|table| self.idle(*table, now)) {
            let _ = self.round(false).await;
        }
        if age(now, self.listened_at) >= self.config.commit_every {
            self.listened_at = now;
            self.listen().await;
        }
        self.prune(now);
        self.merge(now).await;
        self.maintain(now);
    }

    /// Returns once everything that is in the log by now is committed.
    pub(crate) async fn flush(&mut self) -> Result<()> {
        let target = self.source.end().await?;
        let mut taken = self.shared.taken.subscribe();
        while !taken.borrow_and_update().covers(&target) {
            if let Some(ended) = self.shared.ended() {
                return Err(ended);
            }
            let shared = self.shared.clone();
            tokio::select! {
                _ = taken.changed() => {}
                // The reader waits for room that only a commit makes, or has given up.
                _ = shared.due.notified() => drop(self.round(false).await),
            }
        }
        for tries in 1.. {
            match self.round(true).await {
                Ok(()) => break,
                Err(failure) if failure.fatal() || tries >= FLUSH_TRIES => return Err(Error::Ended(Some(failure))),
                Err(_) => tokio::time::sleep(retry_after(&self.config, tries)).await,
            }
        }
        Ok(())
    }

    /// Commits what was read by now.
    pub(crate) async fn commit_taken(&mut self) -> Result<()> {
        self.round(true).await.map_err(|failure| Error::Ended(Some(failure)))
    }

    /// Lets running maintenance end.
    pub(crate) async fn finish(&mut self) {
        for task in [self.maintenance.take(), self.pruning.take()].into_iter().flatten() {
            let _ = task.await;
        }
        // A merge that is not done yet is not waited for: nothing names its file.
        if let Some(task) = self.merging.take() {
            task.abort();
        }
    }

    /// Commits everything in the tail: dead letters first, so that a table's offset says that those below it are kept.
    /// With `all`, tables without rows commit their offsets too: a reader of a log at rest then has nothing to follow.
    async fn round(&mut self, all: bool) -> std::result::Result<(), Arc<Error>> {
        if let Some(ended) = self.shared.ended() {
            return Err(Arc::new(ended));
        }
        let now = self.clock.now();
        let upto = self.shared.tail.lock().upto.clone();
        let open = |table: &Table| self.tables.contains_key(table);
        let tables: Vec<Table> = [Table::DeadLetters].into_iter().chain(Stream::ALL.map(Table::Events)).filter(open).collect();
        for table in tables {
            if let Err(failure) = self.commit(table, &upto, now, all).await {
                self.failures += 1;
                self.retry_at = Some(tokio::time::Instant::now() + retry_after(&self.config, self.failures));
                return Err(self.shared.note(failure));
            }
        }
        self.failures = 0;
        self.retry_at = None;
        *self.shared.last_error.lock() = None;
        self.shared.tail.lock().restart_clock(self.clock.now());
        Ok(())
    }

    async fn commit(&mut self, table: Table, upto: &Position, now: Instant, all: bool) -> Result<()> {
        self.settle(table).await?;
        // One `upto` for all tables of a round, and only rows below it: a later one would pass dead letters that the first
        // table of the round has not committed.
        let batches = self.shared.tail.lock().rows(table, upto);
        let upto = self.tables[&table].open.moved(upto);
        let lags = !upto.0.is_empty();
        if batches.is_empty() && !(all && lags) && !self.idle(table, now) {
            return Ok(());
        }
        let rows = batches.iter().map(|batch| batch.num_rows()).sum();
        let failed = |source| Error::Write { table, rows, source };
        let files = match batches.is_empty() {
            true => Vec::new(),
            false => tokio::task::spawn_blocking(move || write::encode(table, &batches, now))
                .await
                .map_err(|e| failed(e.into()))?
                .map_err(failed)?,
        };
        let kept = self.tables.get_mut(&table).expect("every table is open");
        kept.open.store(&files, rows).await?;
        let files = files.into_iter().map(|file| file.add).collect();
        kept.unsettled = Some(Prepared { files, rows, upto, attempted: false, landed: false });
        self.settle(table).await
    }

    /// Commits what is prepared for a table, if anything is.
    async fn settle(&mut self, table: Table) -> Result<()> {
        let Some(mut prepared) = self.kept(table).unsettled.take() else { return Ok(()) };
        let version = loop {
            let failure = match self.kept(table).open.commit(&mut prepared).await {
                Ok(Step::Landed(version)) => break version,
                Ok(Step::Others(files)) => match self.tell_intake(table, files).await {
                    Ok(()) => continue,
                    Err(failure) => failure,
                },
                Err(failure) => failure,
            };
            self.kept(table).unsettled = Some(prepared);
            return Err(failure);
        };
        let kept = self.tables.get_mut(&table).expect("every table is open");
        kept.committed_at = self.clock.now();
        for add in &prepared.files {
            let month = add.partition_values.get("month").cloned().flatten();
            self.files.add(table, &kept.open.folder, &add.path, month);
        }
        debug!(table = %table, rows = prepared.rows, version, "Committed {} rows to {table}", prepared.rows);
        let committed = kept.open.committed.clone();
        self.shared.landed.lock().push((table, committed.clone()));
        self.publisher.committed(table, version, committed.clone()).await;
        self.shared.tail.lock().committed(table, &committed);
        self.shared.room.notify_one();
        self.tell(table, prepared.rows);
        Ok(())
    }

    fn kept(&mut self, table: Table) -> &mut Kept {
        self.tables.get_mut(&table).expect("it is open")
    }

    /// Tells the intake what other processes have committed. If rows that were read here are among it, or if it can't be told,
    /// this ingest has to end.
    async fn tell_intake(&mut self, table: Table, files: Vec<(PathBuf, Option<String>)>) -> Result<()> {
        let overtaken = Error::Overtaken { table };
        self.tables[&table].open.list_into(&self.files);
        let (reply, answer) = oneshot::channel();
        if self.heard.send(Others { table, files, reply }).await.is_err() {
            return Err(overtaken);
        }
        match answer.await {
            Ok(Ok(false)) => Ok(()),
            Ok(Ok(true)) => Err(overtaken),
            Ok(Err(failure)) => {
                warn!(table = %table, error = %failure, "What others committed to {table} could not be read");
                Err(overtaken)
            }
            Err(_) => Err(overtaken),
        }
    }

    /// Hears what other processes have committed, so that little is left to hear when a commit is due.
    async fn listen(&mut self) {
        for table in self.tables.keys().copied().collect::<Vec<_>>() {
            let kept = self.kept(table);
            if kept.unsettled.is_some() {
                continue;
            }
            let before = kept.open.version();
            let heard = match kept.open.listen().await {
                Ok(files) if files.is_empty() => {
                    if kept.open.version() > before {
                        self.tables[&table].open.list_into(&self.files);
                    }
                    continue;
                }
                Ok(files) => self.tell_intake(table, files).await,
                Err(failure) => Err(failure),
            };
            if let Err(failure) = heard {
                self.shared.note(failure);
                return;
            }
        }
    }

    /// Offsets that a table lags behind what was taken.
    fn lag(&self, table: Table) -> i64 {
        self.tables[&table].open.committed.lag(&self.shared.tail.lock().upto.feeding(table))
    }

    /// Whether a table has no rows, lags behind the log, and was not committed for long or lags far.
    fn idle(&self, table: Table, now: Instant) -> bool {
        let lag = self.lag(table);
        let long = age(now, self.tables[&table].committed_at) >= self.config.idle_commit_every;
        lag > 0 && (long || lag >= self.config.idle_commit_offsets) && self.shared.tail.lock().count(table) == 0
    }

    fn tell(&self, table: Table, rows: usize) {
        let kept = &self.tables[&table];
        let mut tables = self.shared.tables.lock();
        let status: &mut TableStatus = tables.entry(table).or_default();
        status.committed = kept.open.committed.clone();
        status.version = kept.open.version();
        status.files = self.files.count(table);
        status.commits += u64::from(rows > 0);
        status.committed_rows += rows as u64;
    }

    /// Every table holds everything of its own below it.
    fn floor(&self) -> Position {
        let mut floor = Position::default();
        for (partition, next) in self.tables.values().flat_map(|kept| &kept.open.committed.0) {
            let lowest = floor.0.entry(*partition).or_insert(*next);
            *lowest = (*lowest).min(*next);
        }
        floor
    }

    /// Lets the log forget what every table has held for long enough.
    fn prune(&mut self, now: Instant) {
        let floor = self.floor();
        // Sixty steps of the time kept are fine enough, and few.
        let fine = self.floors.back().is_none_or(|(at, last)| *last != floor && age(now, *at) >= self.config.prune_behind / 60);
        if fine {
            self.floors.push_back((now, floor));
        }
        if self.pruning.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let mut below = None;
        while self.floors.front().is_some_and(|(at, _)| age(now, *at) >= self.config.prune_behind) {
            below = self.floors.pop_front().map(|(_, floor)| floor);
        }
        let Some(below) = below else { return };
        let source = self.source.clone();
        self.pruning = Some(tokio::spawn(async move {
            loop {
                match source.prune(&below).await {
                    // Between chunks the ledger's writer gets its turn.
                    Ok(true) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
                    Ok(false) => break,
                    Err(failure) => {
                        warn!(error = %failure, "The log could not be pruned; it is tried again later");
                        break;
                    }
                }
            }
        }));
    }

    /// Commits a merge that is ready, and starts the next one that is needed.
    async fn merge(&mut self, now: Instant) {
        match self.merging.take() {
            Some(task) if !task.is_finished() => {
                self.merging = Some(task);
                return;
            }
            Some(task) => {
                if let Ok(Some(merged)) = task.await {
                    self.land(merged).await;
                }
            }
            None => {}
        }
        let limit = self.config.compact_files;
        for (table, kept) in &mut self.tables {
            let version = kept.open.version();
            if !kept.open.keeps() || kept.looked_at.is_some_and(|at| version <= at + limit as u64) {
                continue;
            }
            kept.looked_at = Some(version);
            let Some(merge) = compact::plan(*table, &kept.open.folder, &kept.open.delta, limit) else { continue };
            let (table, store) = (*table, kept.open.delta.object_store());
            self.merging = Some(tokio::spawn(async move {
                let encoded = tokio::task::spawn_blocking(move || merge.encode(now).map(|file| (merge, file)));
                match encoded.await.map_err(Into::into).flatten() {
                    Ok((merge, file)) => {
                        let stored = lake::put_new(store, file.add.path.clone(), file.bytes).await;
                        stored
                            .inspect_err(|e| warn!(table = %table, error = %e, "A merge in {table} could not be stored"))
                            .ok()?;
                        Some(Merged { table, merge, file: file.add })
                    }
                    Err(failure) => {
                        warn!(table = %table, error = %failure, "Files of {table} could not be merged");
                        None
                    }
                }
            }));
            return;
        }
    }

    async fn land(&mut self, merged: Merged) {
        let Merged { table, merge, file } = merged;
        let kept = self.tables.get_mut(&table).expect("every table is open");
        // A commit that may have landed is settled first: it may not be on a snapshot it did not see.
        if kept.unsettled.is_some() {
            return;
        }
        match kept.open.replace(&merge.removes, &file).await {
            Ok(Some(version)) => {
                debug!(table = %table, files = merge.removes.len(), version, "Merged {} files of {table}", merge.removes.len());
                // The month may have more small files than one merge takes.
                kept.looked_at = None;
                kept.open.list_into(&self.files);
                let committed = kept.open.committed.clone();
                self.publisher.committed(table, version, committed).await;
                self.tell(table, 0);
            }
            Ok(None) => {}
            Err(failure) => warn!(table = %table, error = %failure, "A merge in {table} could not be committed"),
        }
    }

    /// Starts a checkpoint where one is due, one table at a time and beside the commits.
    fn maintain(&mut self, now: Instant) {
        if self.maintenance.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let every = self.config.checkpoint_every;
        let due = |kept: &&mut Kept| kept.open.keeps() && kept.open.version() >= kept.checkpointed + every;
        let Some(kept) = self.tables.values_mut().find(due) else { return };
        kept.checkpointed = kept.open.version();
        let sweep = age(now, kept.swept_at) >= self.config.sweep_every;
        if sweep {
            kept.swept_at = now;
        }
        self.maintenance = Some(tokio::spawn(maintain::keep(kept.open.table, kept.open.delta.clone(), sweep)));
    }
}

/// How long ago `then` was.
fn age(now: Instant, then: Instant) -> std::time::Duration {
    std::time::Duration::from_micros(now.0.saturating_sub(then.0).max(0) as u64)
}
