//! Few files instead of many: the small files of a month, merged into one that keeps the order.
//!
//! The library's own compaction concatenates and claims an order that is not there; two of them at once leave rows twice.
//! Here one process merges, commits through the actor that also appends, and says so with the app transaction `compactor`,
//! so that a second one fails instead of doubling rows. No row changes: the commit is `data_change = false`.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::compute::concat_batches;
use deltalake_core::DeltaTable;
use deltalake_core::kernel::Remove;
use event::{Instant, Table};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::layout;
use crate::write::{self, EncodedFile};

/// A merged file has at most this many rows: 400,000 of 400 B are 160 MB in memory, thrice that while they are sorted.
const MERGED_ROWS: usize = 400_000;

/// A file with half of that is large enough to be left alone.
const SMALL_ROWS: usize = MERGED_ROWS / 2;

/// Small files of one month that are to become one.
#[derive(Debug)]
pub(crate) struct Merge {
    table: Table,
    folder: PathBuf,
    month: Option<String>,
    pub(crate) removes: Vec<Remove>,
}

/// The month that most needs it, if any has more than `limit` small files.
pub(crate) fn plan(table: Table, folder: &Path, delta: &DeltaTable, limit: usize) -> Option<Merge> {
    struct Small {
        rows: usize,
        remove: Remove,
    }
    // In order, so that processes that see the same files plan the same.
    let mut months: std::collections::BTreeMap<Option<String>, Vec<Small>> = std::collections::BTreeMap::new();
    for file in delta.snapshot().ok()?.log_data() {
        let rows = file.num_records().unwrap_or(usize::MAX);
        if rows < SMALL_ROWS {
            let month = file.partition_values_map().remove("month").flatten();
            months.entry(month).or_default().push(Small { rows, remove: file.remove_action(false) });
        }
    }
    let (month, mut small) = months.into_iter().max_by_key(|(_, small)| small.len())?;
    if small.len() <= limit {
        return None;
    }
    small.sort_by_key(|file| file.rows);
    let mut rows = 0;
    let fitting = small.into_iter().take_while(|file| {
        rows += file.rows;
        rows <= MERGED_ROWS
    });
    let removes: Vec<Remove> = fitting.map(|file| file.remove).collect();
    (removes.len() > 1).then(|| Merge { table, folder: folder.to_owned(), month, removes })
}

impl Merge {
    /// Reads, sorts and encodes. Blocking work.
    pub(crate) fn encode(&self, now: Instant) -> Result<EncodedFile, Box<dyn std::error::Error + Send + Sync>> {
        let schema = layout::file_schema(self.table);
        let mut batches = Vec::new();
        for remove in &self.removes {
            let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(self.folder.join(&remove.path))?)?.build()?;
            for batch in reader {
                let batch = batch?;
                let rows = batch.num_rows();
                // A column that came later is null in older files.
                let column = |field: &arrow::datatypes::FieldRef| -> ArrayRef {
                    batch.column_by_name(field.name()).cloned().unwrap_or_else(|| new_null_array(field.data_type(), rows))
                };
                batches.push(RecordBatch::try_new(schema.clone(), schema.fields().iter().map(column).collect())?);
            }
        }
        let sorted = write::sort(&concat_batches(&schema, &batches)?, self.table.sort_columns())?;
        let mut file = write::encode_sorted(self.table, self.month.clone(), &[sorted], now)?;
        file.add.data_change = false;
        Ok(file)
    }
}
