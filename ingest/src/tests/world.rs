//! A ledger's file with a log, a lake beside it, and what the tests ask of them.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type};
use async_trait::async_trait;
use bytes::Bytes;
use deltalake_core::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake_core::kernel::{Action, StructType, Transaction};
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::{DeltaTableBuilder, DeltaTableError, ensure_table_uri};
use event::{Event, Instant, ManualClock, Place, Redemption, Rows, Stream, Table};
use eventlog::{OutboxSource, Partition, Position, Publisher, Source, Taken, outbox};
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, RenameOptions,
};
use parking_lot::Mutex;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rusqlite::Connection;

use crate::durable::DurableFiles;
use crate::write::{self, EncodedFile};
use crate::{Error, Ingest, IngestConfig, Lake};

pub(crate) const NOW: i64 = 1_780_000_000_000_000;

/// Nothing is committed unless a test asks or moves the clock.
pub(crate) fn config() -> IngestConfig {
    IngestConfig { commit_every: Duration::from_secs(30), retry_after: Duration::from_millis(5), ..IngestConfig::default() }
}

pub(crate) fn redeemed(id: i64, day: u32) -> String {
    let at = Instant::parse(&format!("2026-0{}-{:02}T12:00:00+08:00", 1 + day / 28, 1 + day % 28)).unwrap().with_offset(480);
    let event = Event::Redemption(Redemption {
        redeemed_store_id: Some(format!("S{}", id % 3).into()),
        product_id: Some("P1".into()),
        member_id: Some(event::Id(id % 7)),
        value_fen: Some(100 + id),
        ..Redemption::new("till", id, "redeemed", at)
    });
    let mut json = Vec::new();
    event.encode(&mut json);
    String::from_utf8(json).unwrap()
}

pub(crate) fn refused(id: i64) -> String {
    format!(
        r#"{{"source":"till","event_id":"{id}","type":"refused","occurred_at":"2026-02-02T00:00:00Z","store_id":"S","reason":"r"}}"#
    )
}

pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) clock: Arc<ManualClock>,
    /// One for every start: an ingest that was dropped may still have a word to say to its own.
    recorders: Mutex<Vec<Arc<Recorder>>>,
    ledger: Mutex<Connection>,
}

impl World {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(Instant(NOW)));
        let ledger = Connection::open(dir.path().join("ledger.sqlite")).unwrap();
        ledger.pragma_update(None, "auto_vacuum", "INCREMENTAL").unwrap();
        ledger.pragma_update(None, "journal_mode", "wal").unwrap();
        ledger.busy_timeout(Duration::from_secs(10)).unwrap();
        outbox::create(&ledger, clock.as_ref()).unwrap();
        World { dir, clock, recorders: Mutex::default(), ledger: Mutex::new(ledger) }
    }

    pub(crate) fn append(&self, stream: Stream, messages: &[String]) {
        let messages: Vec<Vec<u8>> = messages.iter().map(|m| m.clone().into_bytes()).collect();
        outbox::append(&self.ledger.lock(), self.clock.as_ref(), stream, &messages).unwrap();
    }

    pub(crate) fn source(&self) -> OutboxSource {
        OutboxSource::open(&self.dir.path().join("ledger.sqlite"), None).unwrap()
    }

    pub(crate) async fn open(&self) -> Result<Lake, Error> {
        self.open_on(Arc::new(DurableFiles::default())).await
    }

    async fn open_on(&self, store: Arc<dyn ObjectStore>) -> Result<Lake, Error> {
        let source = self.source();
        let end = source.end().await.unwrap();
        Lake::open_on(store, &self.dir.path().join("lake"), source.log_ids(), &end).await
    }

    pub(crate) async fn start(&self, config: IngestConfig) -> Result<Ingest, Error> {
        self.start_on(Arc::new(DurableFiles::default()), config).await
    }

    pub(crate) async fn start_on(&self, store: Arc<dyn ObjectStore>, config: IngestConfig) -> Result<Ingest, Error> {
        let lake = self.open_on(store).await?;
        crate::start(lake, Arc::new(self.source()), self.recorder(), self.clock.clone(), config).await
    }

    /// Ingests another log than the ledger's into the same lake.
    pub(crate) async fn start_from(&self, source: Arc<dyn Source>, config: IngestConfig) -> Result<Ingest, Error> {
        let lake = Lake::open_or_create(&self.dir.path().join("lake"), source.log_ids(), &source.end().await.unwrap()).await?;
        crate::start(lake, source, self.recorder(), self.clock.clone(), config).await
    }

    pub(crate) async fn until(&self, done: impl Fn() -> bool) {
        let waited = async {
            while !done() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), waited).await.expect("it comes");
    }

    /// Offsets of a table's rows, as a stranger to this process finds them.
    pub(crate) async fn offsets(&self, table: Table) -> Vec<i64> {
        let mut offsets = Vec::new();
        for (batch, _) in self.files(table).await {
            offsets.extend_from_slice(batch.column_by_name("log_offset").unwrap().as_primitive::<Int64Type>().values());
        }
        offsets.sort();
        offsets
    }

    /// Partition and offset of a table's rows, the same way.
    pub(crate) async fn places(&self, table: Table) -> Vec<(i32, i64)> {
        let mut places = Vec::new();
        for (batch, _) in self.files(table).await {
            let numbers = batch.column_by_name("log_partition").unwrap().as_primitive::<Int32Type>().values();
            let offsets = batch.column_by_name("log_offset").unwrap().as_primitive::<Int64Type>().values();
            places.extend(numbers.iter().copied().zip(offsets.iter().copied()));
        }
        places.sort();
        places
    }

    /// Makes a table as a build would have that did not know `column` yet.
    pub(crate) async fn table_of_an_older_contract(&self, table: Table, column: &str) {
        let folder = self.dir.path().join("lake").join(table.name());
        std::fs::create_dir_all(&folder).unwrap();
        let schema: StructType = table.schema().as_ref().try_into_kernel().unwrap();
        let log = self.source().log_ids().clone();
        CreateBuilder::new()
            .with_location(folder.to_str().unwrap())
            .with_columns(schema.fields().filter(|field| field.name() != column).cloned())
            .with_partition_columns(["month"])
            .with_raise_if_key_not_exists(false)
            .with_configuration(log.properties().map(|(name, value)| (name, Some(value))))
            .with_actions([Action::Txn(Transaction::new(log.app_id(Partition::WHOLE).unwrap(), 0))])
            .await
            .unwrap();
    }

    /// The columns a stranger to this process finds.
    pub(crate) async fn columns(&self, table: Table) -> Vec<String> {
        let folder = self.dir.path().join("lake").join(table.name());
        let uri = ensure_table_uri(folder.to_str().unwrap()).unwrap();
        let delta = DeltaTableBuilder::from_url(uri).unwrap().load().await.unwrap();
        delta.snapshot().unwrap().schema().fields().map(|field| field.name().to_owned()).collect()
    }

    /// Each live file of a table, as one batch, with its month; none while the table is being made.
    pub(crate) async fn files(&self, table: Table) -> Vec<(RecordBatch, Option<String>)> {
        let folder = self.dir.path().join("lake").join(table.name());
        let uri = ensure_table_uri(folder.to_str().unwrap()).unwrap();
        let delta = match DeltaTableBuilder::from_url(uri).unwrap().load().await {
            Err(DeltaTableError::NotATable(_)) => return Vec::new(),
            loaded => loaded.unwrap(),
        };
        let mut files = Vec::new();
        for file in delta.snapshot().unwrap().log_data() {
            let reader =
                ParquetRecordBatchReaderBuilder::try_new(File::open(folder.join(file.path().as_ref())).unwrap()).unwrap();
            assert!(reader.metadata().row_group(0).sorting_columns().is_some());
            let schema = reader.schema().clone();
            let batches: Vec<RecordBatch> = reader.build().unwrap().map(|b| b.unwrap()).collect();
            let batch = arrow::compute::concat_batches(&schema, &batches).unwrap();
            assert_eq!(file.num_records(), Some(batch.num_rows()));
            files.push((batch, file.partition_values_map().remove("month").flatten()));
        }
        files
    }

    pub(crate) fn recorder(&self) -> Arc<Recorder> {
        let recorder = Arc::<Recorder>::default();
        self.recorders.lock().push(recorder.clone());
        recorder
    }

    /// Every ingest kept what a publisher is promised.
    pub(crate) fn check_publishers(&self) {
        for recorder in self.recorders.lock().iter() {
            assert!(recorder.0.lock().faults.is_empty(), "{:?}", recorder.0.lock().faults);
        }
    }

    /// As if this build were the first to know `table`.
    pub(crate) fn forget_table(&self, table: Table) {
        let lake = self.dir.path().join("lake");
        std::fs::remove_dir_all(lake.join(table.name())).unwrap();
        let list = std::fs::read_to_string(lake.join("TABLES")).unwrap();
        std::fs::write(lake.join("TABLES"), list.replace(&format!("{table}\n"), "")).unwrap();
    }

    /// Every file is of one month, sorted as it says, with the table's own schema.
    pub(crate) async fn check_files(&self) {
        for table in Table::all() {
            for (batch, month) in self.files(table).await {
                assert_eq!(batch.schema().fields(), crate::layout::file_schema(table).fields());
                assert_eq!(month.is_some(), table.partitioned());
                let keys: Vec<String> = (0..batch.num_rows())
                    .map(|row| {
                        let key = |name: &&str| {
                            let column = batch.column_by_name(name).unwrap();
                            let text = arrow::util::display::array_value_to_string(column, row).unwrap();
                            if column.is_null(row) { "\u{10ffff}".to_owned() } else { format!("{text:0>24}") }
                        };
                        table.sort_columns().iter().map(key).collect()
                    })
                    .collect();
                assert!(keys.is_sorted(), "{table}: {keys:?}");
            }
        }
    }

    /// The files that these messages would come to.
    pub(crate) fn encoded(&self, messages: &[String]) -> Vec<EncodedFile> {
        let mut rows = Rows::new(Stream::Redemptions);
        for (offset, message) in messages.iter().enumerate() {
            let event = Event::decode(Stream::Redemptions, message.as_bytes(), Instant(NOW)).unwrap();
            rows.push(&event, Place { partition: 0, offset: offset as i64, recorded_at: Instant(NOW) });
        }
        write::encode(Table::Events(Stream::Redemptions), &[rows.finish()], Instant(NOW)).unwrap()
    }
}

/// Checks what a publisher is promised.
#[derive(Debug, Default)]
pub(crate) struct Recorder(Mutex<Recorded>);

#[derive(Debug, Default)]
struct Recorded {
    taken: Position,
    committed: BTreeMap<Table, (u64, Position)>,
    faults: Vec<String>,
}

#[async_trait]
impl Publisher for Recorder {
    fn taken(&self, taken: Taken) {
        let mut recorded = self.0.lock();
        if !taken.upto.covers(&recorded.taken) {
            recorded.faults.push(format!("taken moved back to {:?}", taken.upto));
        }
        recorded.taken = taken.upto;
    }

    async fn committed(&self, table: Table, version: u64, upto: Position) {
        let mut recorded = self.0.lock();
        if !recorded.taken.covers(&upto) {
            recorded.faults.push(format!("{table} committed {upto:?} before it was taken"));
        }
        if recorded.committed.get(&table).is_some_and(|(v, p)| *v >= version || !upto.covers(p)) {
            recorded.faults.push(format!("{table} went back to {version}"));
        }
        recorded.committed.insert(table, (version, upto));
    }
}

/// When a store fails: before it has done what it should, or after.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    Before,
    After,
}

/// Durable files that fail to write log entries when told to.
#[derive(Debug, Default)]
pub(crate) struct Flaky {
    inner: DurableFiles,
    left: AtomicU32,
    after: AtomicU32,
    /// The table whose log entries fail; any if there is none.
    of: Mutex<Option<Table>>,
    cuts: AtomicBool,
    blind: AtomicBool,
}

impl Flaky {
    /// Fails to write log entries of one table, for good.
    pub(crate) fn fail_log_entries_of(&self, table: Table, fault: Fault) {
        *self.of.lock() = Some(table);
        self.fail_next_log_entries(u32::MAX, fault);
    }

    /// From the next failure on nothing can be read either.
    pub(crate) fn cut_reads_with_the_next_fault(&self) {
        self.cuts.store(true, Ordering::SeqCst);
    }

    pub(crate) fn restore_reads(&self) {
        self.cuts.store(false, Ordering::SeqCst);
        self.blind.store(false, Ordering::SeqCst);
    }

    pub(crate) fn fail_next_log_entries(&self, times: u32, fault: Fault) {
        self.after.store(u32::from(fault == Fault::After), Ordering::SeqCst);
        self.left.store(times, Ordering::SeqCst);
    }
}

impl fmt::Display for Flaky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("flaky files")
    }
}

#[async_trait]
impl ObjectStore for Flaky {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> object_store::Result<PutResult> {
        let log_entry = location.as_ref().contains("_delta_log/") && location.as_ref().ends_with(".json");
        let log_entry = log_entry && self.of.lock().is_none_or(|table| location.as_ref().contains(&format!("/{table}/")));
        let fails = log_entry && self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
        let failure = || object_store::Error::Generic { store: "flaky", source: "the line is cut".into() };
        if fails && self.after.load(Ordering::SeqCst) == 0 {
            return Err(failure());
        }
        let done = self.inner.put_opts(location, payload, opts).await;
        if fails && self.cuts.load(Ordering::SeqCst) {
            self.blind.store(true, Ordering::SeqCst);
        }
        if fails { Err(failure()) } else { done }
    }

    async fn put_multipart_opts(&self, at: &Path, opts: PutMultipartOptions) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        if self.blind.load(Ordering::SeqCst) {
            return Err(object_store::Error::Generic { store: "flaky", source: "the line is cut".into() });
        }
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> object_store::Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        all: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(all)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        if self.blind.load(Ordering::SeqCst) {
            let cut = object_store::Error::Generic { store: "flaky", source: "the line is cut".into() };
            return futures::stream::once(async { Err(cut) }).boxed();
        }
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> object_store::Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}
