//! Searching the lake's files: ids of a month, and whole rows for the few that are asked for.

use std::fs::File;
use std::path::Path;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection};

use crate::Error;
use crate::error::Result;

/// Rows per batch while searching: 8k rows of two columns fit the second-level cache.
const BATCH_ROWS: usize = 8_192;

/// Beyond one wanted row in eight most pages are read anyway, and selecting costs more than it saves.
const SELECT_BELOW: usize = 8;

/// Calls `each` with the source and id of every row of a file.
pub(super) fn ids(file: &Path, mut each: impl FnMut(&str, i64)) -> Result<()> {
    for batch in reader(file, Some(&["source", "event_id"]), None)? {
        let batch = batch.map_err(|e| failed(file, e))?;
        let (sources, ids) = identities(file, &batch)?;
        for (source, id) in sources.iter().zip(ids.values()) {
            each(source.unwrap_or_default(), *id);
        }
    }
    Ok(())
}

/// Calls `each` with batches of whole rows: those of which `wanted` says yes.
pub(super) fn rows(
    file: &Path,
    wanted: impl Fn(&str, i64) -> bool,
    mut each: impl FnMut(&RecordBatch) -> Result<()>,
) -> Result<()> {
    let mut hits = Vec::new();
    ids(file, |source, id| hits.push(wanted(source, id)))?;
    let found = hits.iter().filter(|hit| **hit).count();
    if found == 0 {
        return Ok(());
    }
    let select = found * SELECT_BELOW < hits.len();
    let selection = select.then(|| RowSelection::from_filters(&[hits.clone().into()]));
    let mut at = 0;
    for batch in reader(file, None, selection)? {
        let mut batch = batch.map_err(|e| failed(file, e))?;
        if !select {
            let mask = hits[at..at + batch.num_rows()].to_vec();
            at += batch.num_rows();
            batch = filter_record_batch(&batch, &mask.into()).map_err(|e| failed(file, e))?;
        }
        each(&batch)?;
    }
    Ok(())
}

/// The named columns of a file, all its rows.
pub(super) fn columns(file: &Path, names: &[&str], mut each: impl FnMut(&RecordBatch) -> Result<()>) -> Result<()> {
    for batch in reader(file, Some(names), None)? {
        each(&batch.map_err(|e| failed(file, e))?)?;
    }
    Ok(())
}

fn reader(file: &Path, columns: Option<&[&str]>, rows: Option<RowSelection>) -> Result<ParquetRecordBatchReader> {
    let open = || -> parquet::errors::Result<ParquetRecordBatchReader> {
        let mut builder = ParquetRecordBatchReaderBuilder::try_new(File::open(file)?)?.with_batch_size(BATCH_ROWS);
        if let Some(columns) = columns {
            let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
            builder = builder.with_projection(mask);
        }
        if let Some(rows) = rows {
            builder = builder.with_row_selection(rows);
        }
        builder.build()
    };
    open().map_err(|e| failed(file, e))
}

/// The columns that make an event's identity.
pub(super) fn identities<'a>(
    file: &Path,
    batch: &'a RecordBatch,
) -> Result<(&'a arrow::array::StringArray, &'a arrow::array::Int64Array)> {
    let columns = || {
        Some((
            batch.column_by_name("source")?.as_string_opt()?,
            batch.column_by_name("event_id")?.as_primitive_opt::<Int64Type>()?,
        ))
    };
    columns().ok_or_else(|| failed(file, parquet::errors::ParquetError::General("it has no `source` and `event_id`".to_owned())))
}

pub(super) fn failed(file: &Path, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Lookup { file: file.display().to_string(), source: source.into() }
}
