//! Reads CSV, NDJSON and Parquet row by row. A row that cannot be read is the row's fault, not the file's.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Float64Array, Int64Array, ListArray, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, TimeUnit};
use arrow::error::ArrowError;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;

use super::cell::Cell;
use super::map::{Format, InputSpec};

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file system said no.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The CSV reader said no.
    #[error(transparent)]
    Csv(#[from] csv::Error),
    /// The Parquet reader said no.
    #[error(transparent)]
    Parquet(#[from] ParquetError),
    /// A column could not be converted.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
    /// The map names a column that is not there.
    #[error("there is no column `{column}`; there are {found}")]
    NoColumn {
        /// The column.
        column: String,
        /// Those that are there.
        found: String,
    },
}

/// Rows decoded at once from Parquet: their columns fit the processor's cache.
const BATCH_ROWS: usize = 8192;

/// A raw row is kept up to this length, half of what a message may have.
const RAW_BYTES: usize = 512 << 10;

/// An open file, at one of its rows.
pub(crate) struct Reader {
    /// Names of the columns that are used, in their order.
    names: Vec<String>,
    rows: Rows,
    /// Why the present row is none.
    fault: Option<String>,
}

enum Rows {
    Csv {
        reader: Box<csv::Reader<File>>,
        record: csv::ByteRecord,
        at: Vec<usize>,
        width: usize,
        null: Vec<String>,
        delimiter: u8,
    },
    Ndjson {
        lines: BufReader<File>,
        line: Vec<u8>,
        object: serde_json::Map<String, serde_json::Value>,
    },
    Parquet {
        batches: Box<ParquetRecordBatchReader>,
        at: Vec<usize>,
        batch: Option<(RecordBatch, Vec<Column>)>,
        row: usize,
    },
}

/// A column in one of the few types that cells have.
enum Column {
    Int(Int64Array),
    Float(Float64Array),
    Text(StringArray),
    Flag(BooleanArray),
    Time(TimestampMicrosecondArray, bool),
    Day(Date32Array),
    Texts(ListArray),
}

fn position(names: &[String], column: &str) -> Result<usize, ReadError> {
    names
        .iter()
        .position(|n| n == column)
        .ok_or_else(|| ReadError::NoColumn { column: column.to_owned(), found: names.join(", ") })
}

impl Reader {
    /// Opens a file before its first row; every column of `used` must be there, in CSV and Parquet.
    pub(crate) fn open(path: &Path, format: Format, spec: &InputSpec, used: &[String]) -> Result<Self, ReadError> {
        let file = File::open(path)?;
        let rows = match format {
            Format::Csv => {
                let delimiter = u8::try_from(spec.delimiter).unwrap_or(b',');
                let mut reader =
                    csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).buffer_capacity(1 << 20).from_reader(file);
                let header: Vec<String> = reader
                    .byte_headers()?
                    .iter()
                    .map(|name| String::from_utf8_lossy(name).trim_start_matches('\u{feff}').trim().to_owned())
                    .collect();
                let at = used.iter().map(|c| position(&header, c)).collect::<Result<_, _>>()?;
                let (record, width) = (csv::ByteRecord::new(), header.len());
                Rows::Csv { reader: Box::new(reader), record, at, width, null: spec.null.clone(), delimiter }
            }
            Format::Ndjson => {
                let lines = BufReader::with_capacity(1 << 20, file);
                Rows::Ndjson { lines, line: Vec::new(), object: serde_json::Map::new() }
            }
            Format::Parquet => {
                let builder = ParquetRecordBatchReaderBuilder::try_new(file)?.with_batch_size(BATCH_ROWS);
                let names: Vec<String> = builder.schema().fields().iter().map(|f| f.name().clone()).collect();
                let at = used.iter().map(|c| position(&names, c)).collect::<Result<_, _>>()?;
                Rows::Parquet { batches: Box::new(builder.build()?), at, batch: None, row: 0 }
            }
        };
        Ok(Reader { names: used.to_vec(), rows, fault: None })
    }

    pub(crate) fn column_name(&self, n: usize) -> &str {
        &self.names[n]
    }

    /// Why the present row cannot be read, if it cannot.
    pub(crate) fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// Goes to the next row; false at the end.
    pub(crate) fn advance(&mut self) -> Result<bool, ReadError> {
        self.fault = None;
        match &mut self.rows {
            Rows::Csv { reader, record, width, .. } => {
                if !reader.read_byte_record(record)? {
                    return Ok(false);
                }
                if record.len() != *width {
                    self.fault = Some(format!("{} fields where the header has {width}", record.len()));
                }
                Ok(true)
            }
            Rows::Ndjson { lines, line, object } => loop {
                line.clear();
                object.clear();
                if lines.read_until(b'\n', line)? == 0 {
                    return Ok(false);
                }
                if line.trim_ascii().is_empty() {
                    continue;
                }
                match serde_json::from_slice(line.trim_ascii()) {
                    Ok(read) => *object = read,
                    Err(e) => self.fault = Some(format!("no JSON object: {e}")),
                }
                return Ok(true);
            },
            Rows::Parquet { batches, at, batch, row } => {
                *row += 1;
                while batch.as_ref().is_none_or(|(batch, _)| *row >= batch.num_rows()) {
                    let Some(next) = batches.next().transpose()? else { return Ok(false) };
                    let columns = at.iter().map(|n| canonical(next.column(*n))).collect::<Result<_, _>>()?;
                    *batch = Some((next, columns));
                    *row = 0;
                }
                Ok(true)
            }
        }
    }

    /// The value of the `n`th used column.
    pub(crate) fn cell(&self, n: usize) -> Result<Cell<'_>, String> {
        match &self.rows {
            Rows::Csv { record, at, null, .. } => {
                let bytes = record.get(at[n]).unwrap_or_default();
                let text = std::str::from_utf8(bytes).map_err(|_| format!("{}: not UTF-8", self.names[n]))?;
                Ok(if null.iter().any(|null| null == text) { Cell::Null } else { Cell::Text(text.into()) })
            }
            Rows::Ndjson { object, .. } => {
                let name = &self.names[n];
                let found = object.get(name).or_else(|| {
                    // `a.b` is the field `b` of the object `a`.
                    let mut parts = name.split('.');
                    let first = object.get(parts.next()?)?;
                    parts.try_fold(first, |value, part| value.get(part))
                });
                Ok(found.map_or(Cell::Null, json_cell))
            }
            Rows::Parquet { batch, row, .. } => Ok(batch.as_ref().map_or(Cell::Null, |(_, columns)| columns[n].cell(*row))),
        }
    }

    /// The whole row as text, for a dead letter.
    pub(crate) fn raw(&self) -> String {
        let mut raw = match &self.rows {
            Rows::Csv { record, delimiter, .. } => {
                let mut writer = csv::WriterBuilder::new().delimiter(*delimiter).flexible(true).from_writer(Vec::new());
                let written = writer.write_byte_record(record).is_ok().then(|| writer.into_inner().ok()).flatten();
                String::from_utf8_lossy(&written.unwrap_or_default()).trim_end().to_owned()
            }
            Rows::Ndjson { line, .. } => String::from_utf8_lossy(line.trim_ascii()).into_owned(),
            Rows::Parquet { batch, row, .. } => {
                let mut out = Vec::new();
                if let Some((batch, _)) = batch {
                    let mut writer = arrow::json::LineDelimitedWriter::new(&mut out);
                    // What cannot be shown as JSON is left out: the reason and the row number remain.
                    let _ = writer.write(&batch.slice(*row, 1)).and_then(|()| writer.finish());
                }
                String::from_utf8_lossy(&out).trim_end().to_owned()
            }
        };
        raw.truncate(raw.floor_char_boundary(RAW_BYTES));
        raw
    }
}

fn json_cell(value: &serde_json::Value) -> Cell<'_> {
    match value {
        serde_json::Value::Null => Cell::Null,
        serde_json::Value::Bool(flag) => Cell::Flag(*flag),
        serde_json::Value::Number(n) => n.as_i64().map_or_else(|| Cell::Float(n.as_f64().unwrap_or(f64::NAN)), Cell::Int),
        serde_json::Value::String(text) => Cell::Text(text.as_str().into()),
        serde_json::Value::Array(items) => Cell::List(items.iter().map(json_cell).collect()),
        object @ serde_json::Value::Object(_) => Cell::Text(object.to_string().into()),
    }
}

/// A column in one of the types that cells have; anything unusual as text.
fn canonical(array: &ArrayRef) -> Result<Column, ArrowError> {
    // A value that does not fit is an error: a null in its place would be a lie.
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let cast = |to: &DataType| cast_with_options(array, to, &strict);
    Ok(match array.data_type() {
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32 => Column::Int(cast(&DataType::Int64)?.as_primitive::<arrow::datatypes::Int64Type>().clone()),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            Column::Float(cast(&DataType::Float64)?.as_primitive::<arrow::datatypes::Float64Type>().clone())
        }
        DataType::Boolean => Column::Flag(array.as_boolean().clone()),
        DataType::Date32 => Column::Day(array.as_primitive::<arrow::datatypes::Date32Type>().clone()),
        DataType::Timestamp(_, zone) => {
            let utc = zone.is_some();
            let micros = cast(&DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))?;
            Column::Time(micros.as_primitive::<arrow::datatypes::TimestampMicrosecondType>().clone(), utc)
        }
        DataType::List(_) | DataType::LargeList(_) => {
            let texts = DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)));
            Column::Texts(cast(&texts)?.as_list::<i32>().clone())
        }
        DataType::Dictionary(_, value) => canonical(&cast(value)?)?,
        _ => Column::Text(cast(&DataType::Utf8)?.as_string::<i32>().clone()),
    })
}

impl Column {
    fn cell(&self, row: usize) -> Cell<'_> {
        let array: &dyn Array = match self {
            Column::Int(a) => a,
            Column::Float(a) => a,
            Column::Text(a) => a,
            Column::Flag(a) => a,
            Column::Time(a, _) => a,
            Column::Day(a) => a,
            Column::Texts(a) => a,
        };
        if array.is_null(row) {
            return Cell::Null;
        }
        match self {
            Column::Int(a) => Cell::Int(a.value(row)),
            Column::Float(a) => Cell::Float(a.value(row)),
            Column::Text(a) => Cell::Text(a.value(row).into()),
            Column::Flag(a) => Cell::Flag(a.value(row)),
            Column::Time(a, utc) => Cell::Time { micros: a.value(row), utc: *utc },
            Column::Day(a) => Cell::Day(event::Day(a.value(row))),
            Column::Texts(a) => {
                let items = a.value(row);
                let items = items.as_string::<i32>();
                Cell::List(items.iter().flatten().map(|s| Cell::Text(s.to_owned().into())).collect())
            }
        }
    }
}
