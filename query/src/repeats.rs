//! Whether a commit holds what the tail holds too, from another place.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::Path;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use event::{Stream, Table};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::view::View;
use crate::{Error, Result};

/// Identities per stream and source.
#[derive(Default)]
struct Identities(HashMap<Stream, HashMap<String, HashSet<i64>>>);

impl Identities {
    fn note(&mut self, stream: Stream, source: &str, id: i64) {
        let sources = self.0.entry(stream).or_default();
        match sources.get_mut(source) {
            Some(ids) => drop(ids.insert(id)),
            None => drop(sources.insert(source.to_owned(), HashSet::from([id]))),
        }
    }

    fn has(&self, stream: Stream, source: &str, id: i64) -> bool {
        self.0.get(&stream).and_then(|sources| sources.get(source)).is_some_and(|ids| ids.contains(&id))
    }
}

/// Whether a file of `view` that `before` does not have holds an event whose row or letter is in the tail of `view`, or the
/// letter of one whose letter is.
///
/// Months and contents are not compared: what only looks the same makes the tail anew for nothing, and is rare. Neither are
/// merged files told from new ones: their events stood in the lake before, so none is in the tail.
pub(crate) fn stands_in_tail(view: &View, before: &View) -> Result<bool> {
    let (mut rows, mut letters) = (Identities::default(), Identities::default());
    for (table, t) in &view.tables {
        let noted = if *table == Table::DeadLetters { &mut letters } else { &mut rows };
        for batch in t.tail.batches() {
            each(*table, batch, |stream, source, id| {
                noted.note(stream, source, id);
                false
            })
            .map_err(|e| Error::folder("the tail", e))?;
        }
    }
    if rows.0.is_empty() && letters.0.is_empty() {
        return Ok(false);
    }
    for (table, t) in &view.tables {
        let known: HashSet<&str> = before.table(*table).lake.files.iter().map(|file| file.path.as_str()).collect();
        for file in t.lake.files.iter().filter(|file| !known.contains(file.path.as_str())) {
            let stands = |stream, source: &str, id| {
                letters.has(stream, source, id) || (*table != Table::DeadLetters && rows.has(stream, source, id))
            };
            if in_file(*table, &file.local(), stands).map_err(|e| Error::folder(file.path.clone(), e))? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Whether `holds` says yes to the identity of a row of the file.
fn in_file(
    table: Table,
    file: &Path,
    mut holds: impl FnMut(Stream, &str, i64) -> bool,
) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(file)?)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), ["source", "event_id", "topic"]);
    for batch in builder.with_projection(mask).build()? {
        if each(table, &batch?, &mut holds)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Calls `visit` with each row's identity, if it has one, until it says yes.
fn each(
    table: Table,
    batch: &RecordBatch,
    mut visit: impl FnMut(Stream, &str, i64) -> bool,
) -> Result<bool, arrow::error::ArrowError> {
    let text = |name: &str| -> Result<StringArray, arrow::error::ArrowError> {
        let column = batch.column_by_name(name).ok_or_else(|| arrow::error::ArrowError::SchemaError(format!("no `{name}`")))?;
        Ok(cast(column, &DataType::Utf8)?.as_string::<i32>().clone())
    };
    let sources = text("source")?;
    let ids = batch.column_by_name("event_id").and_then(|ids| ids.as_primitive_opt::<Int64Type>());
    let ids: &Int64Array = ids.ok_or_else(|| arrow::error::ArrowError::SchemaError("no `event_id`".to_owned()))?;
    let topics = if table == Table::DeadLetters { Some(text("topic")?) } else { None };
    for row in (0..batch.num_rows()).filter(|row| sources.is_valid(*row) && ids.is_valid(*row)) {
        let stream = match (table, &topics) {
            (Table::Events(stream), _) => Some(stream),
            (_, Some(topics)) => topics.value(row).parse().ok(),
            _ => None,
        };
        if stream.is_some_and(|stream| visit(stream, sources.value(row), ids.value(row))) {
            return Ok(true);
        }
    }
    Ok(false)
}
