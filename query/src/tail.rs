//! The tail of one table: rows that were read from the log and are in no commit yet.
//!
//! Batches arrive small, often of one row. They are merged in a geometric series, so that a tail of n rows has about log n
//! batches, each row is copied about log n times, and a query over it costs what its rows cost.

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, RecordBatch};
use arrow::compute::{cast, concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, Int32Type, Int64Type, SchemaRef};
use arrow::error::ArrowError;
use eventlog::Position;

/// Merged batches stop growing here: copying 64k rows of about 300 bytes takes some 10 ms, and a batch of this size costs a
/// query nothing extra.
const MERGED_ROWS: usize = 65_536;

/// The uncommitted rows of one table, in the types queries see.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tail {
    runs: Vec<RecordBatch>,
    rows: usize,
}

impl Tail {
    /// Adds rows of the lake's schema; `schema` is that of queries.
    pub fn push(&mut self, batch: &RecordBatch, schema: &SchemaRef) -> Result<(), ArrowError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.rows += batch.num_rows();
        self.runs.push(as_queried(batch, schema)?);
        while let [.., before, last] = self.runs.as_slice() {
            let together = before.num_rows() + last.num_rows();
            if before.num_rows() > 2 * last.num_rows() || together > MERGED_ROWS {
                break;
            }
            let merged = compact(concat_batches(schema, [before, last])?)?;
            self.runs.truncate(self.runs.len() - 2);
            self.runs.push(merged);
        }
        Ok(())
    }

    /// Forgets the rows below `position`: a commit holds them.
    pub fn drop_below(&mut self, position: &Position) -> Result<(), ArrowError> {
        let mut kept = Vec::with_capacity(self.runs.len());
        for run in &self.runs {
            let above = above(run, position);
            match above.true_count() {
                0 => {}
                n if n == run.num_rows() => kept.push(run.clone()),
                _ => kept.push(compact(filter_record_batch(run, &above)?)?),
            }
        }
        self.rows = kept.iter().map(RecordBatch::num_rows).sum();
        self.runs = kept;
        Ok(())
    }

    /// The rows, as few batches.
    pub fn batches(&self) -> &[RecordBatch] {
        &self.runs
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.rows
    }
}

/// Which rows of `batch` a commit up to `position` does not hold.
pub(crate) fn above(batch: &RecordBatch, position: &Position) -> BooleanArray {
    let column = |name| batch.column_by_name(name).expect("every table has its place in the log");
    let partitions: &Int32Array = column("log_partition").as_primitive::<Int32Type>();
    let offsets: &Int64Array = column("log_offset").as_primitive::<Int64Type>();
    partitions.values().iter().zip(offsets.values()).map(|(p, o)| Some(*o >= position.next(*p))).collect()
}

/// The batch in the types queries see: text as views.
fn as_queried(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(
            |(column, field)| {
                if column.data_type() == field.data_type() { Ok(column.clone()) } else { cast(column, field.data_type()) }
            },
        )
        .collect::<Result<Vec<_>, _>>()?;
    compact(RecordBatch::try_new(schema.clone(), columns)?)
}

/// Views keep the whole buffers they point into; this copies what is still pointed at.
pub(crate) fn compact(batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns: Vec<ArrayRef> = batch
        .columns()
        .iter()
        .map(|column| match column.data_type() {
            DataType::Utf8View => std::sync::Arc::new(column.as_string_view().gc()) as ArrayRef,
            DataType::BinaryView => std::sync::Arc::new(column.as_binary_view().gc()) as ArrayRef,
            _ => column.clone(),
        })
        .collect();
    RecordBatch::try_new(batch.schema(), columns)
}
