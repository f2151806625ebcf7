//! A log of a few partitions, processes that bring it into a lake, and what must be seen of both.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use async_trait::async_trait;
use deltalake_core::DeltaTable;
use event::{Event, Instant, Stream, Table};
use eventlog::{Body, Error, Intake, IntakeConfig, LogIds, MessagePlace, Partition, Position, Segment, Source};
use parking_lot::Mutex;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tokio::sync::watch;

use crate::files::LiveFiles;
use crate::tests::lake;
use crate::{FollowConfig, FollowStatus, Follower, View, Views, views};

pub const NOW: Instant = Instant(1_780_000_000_000_000);
pub const TABLE: Table = Table::Events(Stream::Refusals);

/// A partition of the one topic.
pub fn part(number: i32) -> Partition {
    Partition::of(Stream::Refusals, number)
}

/// A message: an event of one of two contents, or none at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Message {
    Event { id: i64, content: u8 },
    Bad,
}

impl Message {
    fn bytes(self) -> Vec<u8> {
        let Message::Event { id, content } = self else { return b"{".to_vec() };
        let at = Instant(1_770_000_000_000_000 + id % 3 * 30 * 86_400_000_000).with_offset(480);
        let mut refusal = event::Refusal::new("t", id, "refused", at);
        refusal.store_id = Some("S1".into());
        refusal.reason = Some(format!("reason {content}").into());
        let mut out = Vec::new();
        Event::Refusal(refusal).encode(&mut out);
        out
    }
}

/// A log in memory. A follower sees of each partition what is shown.
pub struct Log {
    ids: LogIds,
    held: Mutex<Held>,
    shown: watch::Sender<()>,
}

#[derive(Default)]
struct Held {
    messages: BTreeMap<Partition, Vec<Message>>,
    start: Position,
    shown: Position,
}

impl Log {
    fn segment(&self, partition: Partition, from: i64, to: i64) -> Segment {
        let held = self.held.lock();
        let (mut bytes, mut places) = (Vec::new(), Vec::new());
        for offset in from..to {
            bytes.extend(held.messages[&partition][offset as usize].bytes());
            places.push(MessagePlace { offset, recorded_at: Instant(NOW.0 + offset * 1000), end: bytes.len() });
        }
        let recorded_at = Instant(NOW.0 + (to - 1) * 1000);
        let body = Body::Placed { bytes, places };
        Segment { partition, first_offset: from, next_offset: to, stream: Stream::Refusals, recorded_at, body }
    }

    fn ends(&self) -> Position {
        Position(self.held.lock().messages.iter().map(|(partition, messages)| (*partition, messages.len() as i64)).collect())
    }
}

#[async_trait]
impl Source for Log {
    fn log_ids(&self) -> &LogIds {
        &self.ids
    }

    async fn start(&self) -> eventlog::Result<Position> {
        Ok(self.held.lock().start.clone())
    }

    async fn end(&self) -> eventlog::Result<Position> {
        Ok(self.ends())
    }

    async fn read(&self, from: &Position, _: usize) -> eventlog::Result<Vec<Segment>> {
        let (start, shown) = {
            let held = self.held.lock();
            (held.start.clone(), held.shown.clone())
        };
        let mut segments = Vec::new();
        for (partition, end) in self.ends().0 {
            let (from, pruned_to) = (from.next(partition), start.next(partition));
            let log = partition.log();
            if from < pruned_to {
                return Err(Error::Pruned { log, partition, from, pruned_to });
            }
            if from > end {
                return Err(Error::Ahead { log, partition, from, end });
            }
            // A few at a time, so that there is something between two reads.
            let to = shown.next(partition).min(from + 3);
            if from < to {
                segments.push(self.segment(partition, from, to));
            }
        }
        Ok(segments)
    }

    async fn wait(&self, from: &Position) -> eventlog::Result<()> {
        let mut shown = self.shown.subscribe();
        while from.covers(&self.held.lock().shown.clone()) {
            let _ = shown.changed().await;
        }
        Ok(())
    }

    async fn prune(&self, _: &Position) -> eventlog::Result<bool> {
        Ok(false)
    }
}

pub struct World {
    pub dir: tempfile::TempDir,
    pub log: Arc<Log>,
    tables: tokio::sync::Mutex<BTreeMap<Table, DeltaTable>>,
}

impl World {
    /// A log of so many partitions and no lake yet.
    pub fn new(partitions: i32) -> Self {
        let ids = LogIds(BTreeMap::from([(Some(Stream::Refusals), "topic".to_owned())]));
        let messages = (0..partitions).map(|number| (part(number), Vec::new())).collect();
        let held = Mutex::new(Held { messages, ..Held::default() });
        let log = Arc::new(Log { ids, held, shown: watch::Sender::new(()) });
        World { dir: tempfile::tempdir().unwrap(), log, tables: tokio::sync::Mutex::default() }
    }

    pub async fn create_tables(&self) {
        let start = Position(self.log.held.lock().messages.keys().map(|partition| (*partition, 0)).collect());
        let mut tables = self.tables.lock().await;
        for table in [Table::DeadLetters, TABLE] {
            tables.insert(table, lake::create_from(self.dir.path(), table, &self.log.ids, &start).await);
        }
    }

    pub fn append(&self, number: i32, messages: &[Message]) {
        self.log.held.lock().messages.get_mut(&part(number)).unwrap().extend_from_slice(messages);
    }

    /// Lets a follower see `more` messages more of a partition.
    pub fn show(&self, number: i32, more: i64) {
        {
            let mut held = self.log.held.lock();
            let end = held.messages[&part(number)].len() as i64;
            let next = (held.shown.next(part(number)) + more).min(end);
            held.shown.advance(part(number), next);
        }
        self.log.shown.send_replace(());
    }

    pub fn show_all(&self) {
        let partitions: Vec<i32> = self.log.held.lock().messages.keys().map(|p| p.number).collect();
        partitions.into_iter().for_each(|number| self.show(number, i64::MAX / 2));
    }

    pub fn forget(&self, number: i32, below: i64) {
        self.log.held.lock().start.advance(part(number), below);
    }

    /// A process brings `share` of the partitions into the lake, `more` messages of each: dead letters first, then the rows.
    pub async fn ingest(&self, share: &[i32], more: i64) {
        let (view, _) = views::load(self.dir.path()).await.unwrap();
        let (from, end) = (view.committed_everywhere(), self.log.ends());
        let upto = |partition| (from.next(partition) + more).min(end.next(partition));
        let upto = Position(share.iter().map(|number| (part(*number), upto(part(*number)))).collect());
        let moved = upto.0.iter().filter(|(partition, to)| **to > from.next(**partition));
        let segments: Vec<Segment> = moved.map(|(p, to)| self.log.segment(*p, from.next(*p), *to)).collect();
        let mut intake = Intake::new(Arc::new(LiveFiles::of(&view)), view.committed(), IntakeConfig::default());
        let taken = intake.take(&segments).unwrap();
        let rows = |table| taken.batches.iter().filter(move |(t, _)| *t == table).map(|(_, batch)| batch.clone());
        let mut tables = self.tables.lock().await;
        for table in [Table::DeadLetters, TABLE] {
            let rows: Vec<RecordBatch> = rows(table).collect();
            if table == TABLE || !rows.is_empty() {
                lake::commit_upto(tables.get_mut(&table).unwrap(), table, &rows, &self.log.ids, &upto).await;
            }
        }
    }

    pub async fn merge(&self) {
        let mut tables = self.tables.lock().await;
        lake::merge(tables.get_mut(&TABLE).unwrap(), TABLE, &self.dir.path().join(TABLE.name())).await;
    }

    pub async fn clean_up(&self) {
        lake::clean_up(&self.tables.lock().await[&TABLE], &self.dir.path().join(TABLE.name())).await;
    }

    pub async fn version(&self) -> u64 {
        self.tables.lock().await[&TABLE].version().unwrap()
    }

    pub async fn follow(&self) -> (Arc<Views>, Follower) {
        self.follow_with(config()).await
    }

    pub async fn follow_with(&self, config: FollowConfig) -> (Arc<Views>, Follower) {
        let views = Views::open(self.dir.path()).await.unwrap();
        let follower = Follower::start(views.clone(), self.log.clone(), config).await.unwrap();
        (views, follower)
    }

    /// The events that must stand in a View up to `position`, each once.
    pub fn events_below(&self, position: &Position) -> Vec<i64> {
        let contents = self.contents_below(position);
        let ids: BTreeSet<i64> =
            contents.iter().filter_map(|m| if let Message::Event { id, .. } = m { Some(*id) } else { None }).collect();
        ids.into_iter().collect()
    }

    /// How many rows and letters there must be up to `position`: each content of an event once, and each bad message.
    pub fn entries_below(&self, position: &Position) -> usize {
        let contents = self.contents_below(position);
        let events: BTreeSet<&Message> = contents.iter().filter(|m| **m != Message::Bad).collect();
        events.len() + contents.iter().filter(|m| **m == Message::Bad).count()
    }

    fn contents_below(&self, position: &Position) -> Vec<Message> {
        let held = self.log.held.lock();
        let below = |(p, messages): (&Partition, &Vec<Message>)| messages[..position.next(*p) as usize].to_vec();
        held.messages.iter().flat_map(below).collect()
    }

    /// The log's end.
    pub fn end(&self) -> Position {
        self.log.ends()
    }
}

/// Quick, so that tests are.
pub fn config() -> FollowConfig {
    FollowConfig {
        look_every: Duration::from_millis(1),
        patience: Duration::from_millis(5),
        look_thoroughly_every: Duration::from_millis(20),
        retry_after: Duration::from_millis(1),
        ..FollowConfig::default()
    }
}

/// Waits until `done`.
pub async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let waited = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waited).await.unwrap_or_else(|_| panic!("it never comes: {what}"));
}

/// What a follower says is wrong.
pub fn said(status: &FollowStatus) -> &str {
    status.last_error.as_deref().unwrap_or("all is well")
}

/// Reads whole Views. Files never change, so each is read once.
#[derive(Default)]
pub struct Eyes(HashMap<PathBuf, Vec<Option<i64>>>);

impl Eyes {
    /// The ids of the events in a View, sorted.
    pub fn events(&mut self, view: &View) -> Vec<i64> {
        self.ids(view, TABLE).into_iter().map(|id| id.expect("an event has an id")).collect()
    }

    /// How many rows and letters a View has.
    pub fn entries(&mut self, view: &View) -> usize {
        self.ids(view, TABLE).len() + self.ids(view, Table::DeadLetters).len()
    }

    fn ids(&mut self, view: &View, table: Table) -> Vec<Option<i64>> {
        let t = view.table(table);
        let mut ids: Vec<Option<i64>> = t.tail.batches().iter().flat_map(of_batch).collect();
        for file in &t.lake.files {
            let read = || {
                let open = File::open(file.local()).unwrap();
                let batches = ParquetRecordBatchReaderBuilder::try_new(open).unwrap().build().unwrap();
                batches.flat_map(|batch| of_batch(&batch.unwrap())).collect()
            };
            ids.extend_from_slice(self.0.entry(file.local()).or_insert_with(read));
        }
        ids.sort();
        ids
    }
}

fn of_batch(batch: &RecordBatch) -> Vec<Option<i64>> {
    let ids = cast(batch.column_by_name("event_id").unwrap(), &DataType::Int64).unwrap();
    ids.as_primitive::<Int64Type>().iter().collect()
}
