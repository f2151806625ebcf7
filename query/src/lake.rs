//! The committed part of a table: the files of one Delta version, read from the log once per version.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{Column, ColumnStatistics, ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::execution::object_store::ObjectStoreUrl;
use deltalake_core::{DeltaTable, DeltaTableBuilder, DeltaTableError, ensure_table_uri};
use event::{Instant, Table};
use eventlog::{LogIds, Partition, Position};

use crate::view::queried_schema;
use crate::{Error, Result};

/// The log's statistics cut timestamps to milliseconds, so that a maximum may be this much too small.
const CUT_OFF_MICROS: i64 = 999;

/// One version of a table.
#[derive(Clone, Debug)]
pub(crate) struct Committed {
    pub table: Table,
    /// `None` if the table does not exist yet.
    pub version: Option<u64>,
    /// The log is in this version up to here.
    pub upto: Position,
    /// The log, or the topics, that it is filled from.
    pub log_ids: LogIds,
    pub store: ObjectStoreUrl,
    pub files: Vec<LakeFile>,
}

/// A data file with what the log says about it.
#[derive(Clone, Debug)]
pub(crate) struct LakeFile {
    /// Path relative to the table.
    pub path: String,
    pub month: Option<String>,
    pub rows: u64,
    pub bytes: u64,
    /// With statistics of every column of the queried schema. Bounds may be wider than the data, never narrower.
    pub file: PartitionedFile,
}

impl Committed {
    /// A table without files.
    pub fn none(table: Table) -> Self {
        Committed {
            table,
            version: None,
            upto: Position::default(),
            log_ids: LogIds::default(),
            store: ObjectStoreUrl::local_filesystem(),
            files: Vec::new(),
        }
    }

    /// The files of the version `delta` stands at. What `before` knows of them already is not parsed again: files never
    /// change.
    pub fn read(table: Table, delta: &DeltaTable, upto: Position, before: Option<&Committed>) -> Result<Self, DeltaTableError> {
        let snapshot = delta.snapshot()?;
        let root = delta.table_url();
        let store =
            ObjectStoreUrl::parse(&root[..url::Position::BeforePath]).map_err(|e| DeltaTableError::Generic(e.to_string()))?;
        let base = object_store::path::Path::from_url_path(root.path())?;
        let known: HashMap<&str, &LakeFile> = before.into_iter().flat_map(|b| &b.files).map(|f| (f.path.as_str(), f)).collect();
        let adds = Adds::new(table, snapshot.add_actions_table(true)?)?;
        let files = (0..adds.len())
            .map(|row| match known.get(adds.path(row)) {
                Some(file) => Ok((*file).clone()),
                None => adds.file(row, &base),
            })
            .collect::<Result<Vec<_>, DeltaTableError>>()?;
        Ok(Committed { table, version: Some(snapshot.version()), upto, log_ids: log_ids(delta), store, files })
    }

    /// The latest `recorded_at` of any row, to the millisecond below.
    pub fn recorded_at(&self) -> Option<Instant> {
        let index = queried_schema(self.table).index_of("recorded_at").ok()?;
        let of_file =
            |file: &LakeFile| match file.file.statistics.as_ref()?.column_statistics.get(index)?.max_value.get_value()? {
                ScalarValue::TimestampMicrosecond(at, _) => at.map(|at| Instant(at - CUT_OFF_MICROS)),
                _ => None,
            };
        self.files.iter().filter_map(of_file).max()
    }
}

/// The bounds of each file, for pruning.
impl PruningStatistics for Committed {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |s| &s.min_value)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |s| &s.max_value)
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let index = queried_schema(self.table).index_of(&column.name).ok()?;
        let counts: UInt64Array = self
            .files
            .iter()
            .map(|f| f.file.statistics.as_ref()?.column_statistics.get(index)?.null_count.get_value().map(|n| *n as u64))
            .collect();
        Some(Arc::new(counts))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(UInt64Array::from_iter_values(self.files.iter().map(|f| f.rows))))
    }

    fn contained(&self, _: &Column, _: &std::collections::HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

impl LakeFile {
    /// Where it lies in the file system.
    pub fn local(&self) -> PathBuf {
        PathBuf::from(format!("/{}", self.file.object_meta.location))
    }
}

impl Committed {
    fn bounds(&self, column: &Column, of: impl Fn(&ColumnStatistics) -> &Precision<ScalarValue>) -> Option<ArrayRef> {
        let schema = queried_schema(self.table);
        let index = schema.index_of(&column.name).ok()?;
        let unknown = ScalarValue::try_new_null(schema.field(index).data_type()).ok()?;
        let values = self.files.iter().map(|f| {
            let statistics = f.file.statistics.as_ref().and_then(|s| s.column_statistics.get(index));
            statistics.and_then(|s| of(s).get_value().cloned()).unwrap_or_else(|| unknown.clone())
        });
        ScalarValue::iter_to_array(values).ok()
    }
}

/// The add actions of a version, one row per file.
struct Adds {
    table: Table,
    actions: RecordBatch,
    paths: ArrayRef,
    months: Option<ArrayRef>,
}

impl Adds {
    fn new(table: Table, actions: RecordBatch) -> Result<Self, DeltaTableError> {
        let text = |name: &str| actions.column_by_name(name).map(|c| cast(c, &DataType::Utf8)).transpose();
        let paths = text("path")?.ok_or_else(|| DeltaTableError::Generic("add actions without path".into()))?;
        let months = text("partition.month")?;
        Ok(Adds { table, paths, months, actions })
    }

    fn len(&self) -> usize {
        self.actions.num_rows()
    }

    fn path(&self, row: usize) -> &str {
        self.paths.as_string::<i32>().value(row)
    }

    fn number(&self, column: &str, row: usize) -> Option<i64> {
        let column = cast(self.actions.column_by_name(column)?, &DataType::Int64).ok()?;
        column.is_valid(row).then(|| column.as_primitive::<Int64Type>().value(row))
    }

    fn file(&self, row: usize, base: &object_store::path::Path) -> Result<LakeFile, DeltaTableError> {
        let location =
            object_store::path::Path::from_url_path(self.path(row))?.parts().fold(base.clone(), |at, part| at.join(part));
        let bytes = self.number("size_bytes", row).unwrap_or(0) as u64;
        let rows = self.number("num_records", row);
        let month = self.months.as_ref().map(|m| m.as_string::<i32>().value(row).to_owned());
        let meta = object_store::ObjectMeta {
            location,
            last_modified: chrono::DateTime::UNIX_EPOCH,
            size: bytes,
            e_tag: None,
            version: None,
        };
        let schema = queried_schema(self.table);
        let of_file = schema.fields().len() - usize::from(self.table.partitioned());
        let statistics = Statistics {
            num_rows: rows.map_or(Precision::Absent, |n| Precision::Exact(n as usize)),
            total_byte_size: Precision::Absent,
            column_statistics: schema.fields()[..of_file].iter().map(|f| self.column(row, f.name(), f.data_type())).collect(),
        };
        let mut file: PartitionedFile = meta.into();
        if let Some(month) = &month {
            file.partition_values = vec![ScalarValue::Utf8View(Some(month.clone()))];
        }
        let file = file.with_statistics(Arc::new(statistics));
        Ok(LakeFile { path: self.path(row).to_owned(), month, rows: rows.unwrap_or(0) as u64, bytes, file })
    }

    fn column(&self, row: usize, name: &str, data_type: &DataType) -> ColumnStatistics {
        let bound = |which: &str| -> Precision<ScalarValue> {
            let value = self
                .actions
                .column_by_name(&format!("{which}.{name}"))
                .filter(|c| c.is_valid(row))
                .and_then(|c| ScalarValue::try_from_array(c, row).ok()?.cast_to(data_type).ok());
            match (value, data_type) {
                (None, _) => Precision::Absent,
                (Some(ScalarValue::TimestampMicrosecond(Some(at), zone)), DataType::Timestamp(TimeUnit::Microsecond, _)) => {
                    let wider = if which == "max" { at + CUT_OFF_MICROS } else { at };
                    Precision::Inexact(ScalarValue::TimestampMicrosecond(Some(wider), zone))
                }
                // Texts may be cut as well; floats have signed zeros and NaN.
                (Some(value), DataType::Utf8View | DataType::BinaryView | DataType::Float64) => Precision::Inexact(value),
                (Some(value), _) => Precision::Exact(value),
            }
        };
        ColumnStatistics {
            null_count: self
                .number(&format!("null_count.{name}"), row)
                .map_or(Precision::Absent, |n| Precision::Exact(n as usize)),
            min_value: bound("min"),
            max_value: bound("max"),
            ..ColumnStatistics::new_unknown()
        }
    }
}

/// Opens a table of the lake at its newest version; `None` if it does not exist.
pub(crate) async fn open(lake: &Path, table: Table) -> Result<Option<DeltaTable>> {
    let folder = lake.join(table.name());
    if !folder.join("_delta_log").is_dir() {
        return Ok(None);
    }
    let opened = async {
        let url = ensure_table_uri(folder.to_string_lossy())?;
        let mut delta = DeltaTableBuilder::from_url(url)?.build()?;
        // Its folder is made a moment before its first version.
        if !delta.verify_deltatable_existence().await? {
            return Ok(None);
        }
        delta.load().await?;
        Ok(Some(delta))
    };
    opened.await.map_err(|source| Error::Lake { table: table.name().to_owned(), source: Box::new(source) })
}

/// Brings `delta` to the table's newest version. The next version's file is looked for, which is one stat; `thorough`ly, the
/// log is listed: what was cleaned up has no next version.
pub(crate) async fn refresh(lake: &Path, table: Table, delta: &mut Option<DeltaTable>, thorough: bool) -> Result<bool> {
    let before = delta.as_ref().and_then(DeltaTable::version);
    match (delta.as_mut(), before) {
        (Some(open), Some(version)) => {
            let next = lake.join(table.name()).join("_delta_log").join(format!("{:020}.json", version + 1));
            if !thorough && !next.exists() {
                return Ok(false);
            }
            if let Err(error) = open.update_incremental(None).await {
                tracing::debug!(%error, table.name = %table, "Reading {table} anew: its log does not go on from version {version}");
                *delta = self::open(lake, table).await?;
            }
        }
        _ => *delta = self::open(lake, table).await?,
    }
    Ok(delta.as_ref().and_then(DeltaTable::version) != before)
}

/// More passes than this are no longer waited for; each takes milliseconds, and a process commits every few seconds.
const PASSES: usize = 8;

/// Brings all tables to their newest versions, until none has a newer one: so they stood in the lake at one moment. Dead
/// letters are committed before the rows of their stream and are read after them.
pub(crate) async fn refresh_all(lake: &Path, deltas: &mut Tables, thorough: bool) -> Result<()> {
    for pass in 0..PASSES {
        let mut moved = false;
        for (table, delta) in &mut *deltas {
            moved |= refresh(lake, *table, delta, thorough && pass == 0).await?;
        }
        if !moved {
            break;
        }
    }
    Ok(())
}

/// The open tables; `None` for one that does not exist yet.
pub(crate) type Tables = BTreeMap<Table, Option<DeltaTable>>;

/// The ids of the log that `delta` is filled from.
pub(crate) fn log_ids(delta: &DeltaTable) -> LogIds {
    let Ok(snapshot) = delta.snapshot() else { return LogIds::default() };
    LogIds::from_properties(|name| snapshot.table_config().unknown_properties.get(name).cloned())
}

/// How far the log is in the version `delta` stands at: the app transactions of its partitions, which count from 0.
pub(crate) async fn committed_position(table: Table, delta: &DeltaTable) -> Result<Position> {
    let failed = |source| Error::Lake { table: table.name().to_owned(), source: Box::new(source) };
    let mut position = Position::default();
    let log_store = delta.log_store();
    for (stream, log_id) in log_ids(delta).0 {
        for number in 0.. {
            let app_id = eventlog::app_id(&log_id, number);
            match delta.snapshot().map_err(failed)?.transaction_version(log_store.as_ref(), app_id).await.map_err(failed)? {
                Some(next) => position.advance(Partition { stream, number }, next),
                None => break,
            }
        }
    }
    Ok(position)
}
