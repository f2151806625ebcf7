//! The tail of one table: rows that were read from the log and are in no commit yet.
//!
//! Batches arrive small, often of one row. They are merged in a geometric series, so that a tail of n rows has about log n
//! batches, each row is copied about log n times, and a query over it costs what its rows cost.

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, RecordBatch};
use arrow::compute::{cast, concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, Int32Type, Int64Type, SchemaRef};
use arrow::error::ArrowError;
use event::{Stream, Table};
use eventlog::{Partition, Position};

/// Merged batches stop growing here: copying 64k rows of about 300 bytes takes some 10 ms, and a batch of this size costs a
/// query nothing extra.
const MERGED_ROWS: usize = 65_536;

/// Texts of merged rows are copied together up to here. Beyond, the views go on pointing into the few buffers of what was
/// merged: copying the texts at every doubling would be most of the work.
const COMPACTED_ROWS: usize = 8_192;

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
            let merged = concat_batches(schema, [before, last])?;
            let merged = if together > COMPACTED_ROWS { merged } else { compact(merged)? };
            self.runs.truncate(self.runs.len() - 2);
            self.runs.push(merged);
        }
        Ok(())
    }

    /// Forgets the rows of `table` below `position`: a commit holds them.
    pub fn drop_below(&mut self, table: Table, position: &Position) -> Result<(), ArrowError> {
        let mut kept = Vec::with_capacity(self.runs.len());
        for run in &self.runs {
            let above = above(table, run, position);
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

    /// Their bytes in memory.
    pub fn bytes(&self) -> usize {
        self.runs.iter().map(RecordBatch::get_array_memory_size).sum()
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.rows
    }
}

/// Which rows of `table` in `batch` a commit up to `position` does not hold.
pub(crate) fn above(table: Table, batch: &RecordBatch, position: &Position) -> BooleanArray {
    let column = |name| batch.column_by_name(name).expect("every table has its place in the log");
    let partitions: &Int32Array = column("log_partition").as_primitive::<Int32Type>();
    let offsets: &Int64Array = column("log_offset").as_primitive::<Int64Type>();
    let stream: Box<dyn Fn(usize) -> Option<Stream>> = match table {
        Table::Events(stream) => Box::new(move |_| Some(stream)),
        Table::DeadLetters => match column("topic").as_string_opt::<i32>() {
            Some(topics) => Box::new(|row| topics.value(row).parse().ok()),
            None => Box::new(|row| column("topic").as_string_view().value(row).parse().ok()),
        },
    };
    // Neighbours mostly come from one partition.
    let mut last: Option<((Option<Stream>, i32), i64)> = None;
    let mut committed = |from: (Option<Stream>, i32)| match last {
        Some((of, next)) if of == from => next,
        _ => {
            let (stream, number) = from;
            let partition = stream.map_or(Partition { stream, number }, |stream| position.of_row(stream, number));
            last.insert((from, position.next(partition))).1
        }
    };
    let above = |(row, (number, offset)): (usize, (&i32, &i64))| Some(*offset >= committed((stream(row), *number)));
    partitions.values().iter().zip(offsets.values()).enumerate().map(above).collect()
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use arrow::array::{Int32Array, Int64Array, StringArray, StringViewArray};

    use super::*;

    fn told(table: Table, topics: ArrayRef, position: &Position) -> Vec<bool> {
        let numbers: ArrayRef = Arc::new(Int32Array::from(vec![0, 0, 1, 1]));
        let offsets: ArrayRef = Arc::new(Int64Array::from(vec![4, 5, 4, 5]));
        let batch = RecordBatch::try_from_iter([("topic", topics), ("log_partition", numbers), ("log_offset", offsets)]);
        above(table, &batch.unwrap(), position).iter().map(|above| above.unwrap()).collect()
    }

    #[test]
    fn a_row_is_compared_with_its_own_partition() {
        let rows = ["orders", "members", "orders", "members"];
        let (text, view): (ArrayRef, ArrayRef) =
            (Arc::new(StringArray::from_iter_values(rows)), Arc::new(StringViewArray::from_iter_values(rows)));
        let position = Position(BTreeMap::from([(Partition::of(Stream::Orders, 0), 5), (Partition::of(Stream::Members, 1), 5)]));
        for topics in [text, view] {
            let orders = told(Table::Events(Stream::Orders), topics.clone(), &position);
            assert_eq!(orders, [false, true, true, true], "the table's stream, whatever a column says");
            let letters = told(Table::DeadLetters, topics.clone(), &position);
            assert_eq!(letters, [false, true, true, true]);
            let whole = told(Table::DeadLetters, topics, &Position::single(5));
            assert_eq!(whole, [false, true, true, true], "one log for all streams");
        }
    }
}
