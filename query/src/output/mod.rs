//! Answers as bytes: a table for people, CSV for spreadsheets, JSON, Arrow and Parquet for programs (R23).
//!
//! Money is yuan with two decimals in the table and CSV, fen elsewhere. Freshness is in the JSON envelope and nowhere else:
//! the other formats leave it to headers and stderr.

mod arrow_stream;
pub(crate) mod cells;
mod csv;
mod json;
mod parquet_file;
mod table;

use std::io::Write;
use std::pin::Pin;
use std::str::FromStr;

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};

use crate::answer::Answer;
use crate::{Error, Result};

/// A format of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Aligned columns and totals, for a terminal.
    Table,
    /// RFC 4180, money in yuan, safe to open in a spreadsheet.
    Csv,
    /// CSV that starts with a byte order mark, which Excel needs to read UTF-8.
    CsvWithBom,
    /// An envelope `{as_of, lake_versions, log_position, columns, rows}`; 64-bit ids are strings, money is fen.
    Json,
    /// Arrow IPC stream.
    Arrow,
    /// A Parquet file.
    Parquet,
}

/// Pieces of an encoded answer.
pub type Encoded = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

impl Format {
    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Format::Table => "text/plain; charset=utf-8",
            Format::Csv | Format::CsvWithBom => "text/csv; charset=utf-8; header=present",
            Format::Json => "application/json",
            Format::Arrow => "application/vnd.apache.arrow.stream",
            Format::Parquet => "application/vnd.apache.parquet",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Format::Table => "table",
            Format::Csv | Format::CsvWithBom => "csv",
            Format::Json => "json",
            Format::Arrow => "arrow",
            Format::Parquet => "parquet",
        }
    }
}

impl FromStr for Format {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "table" => Ok(Format::Table),
            "csv" => Ok(Format::Csv),
            "csv-bom" => Ok(Format::CsvWithBom),
            "json" => Ok(Format::Json),
            "arrow" => Ok(Format::Arrow),
            "parquet" => Ok(Format::Parquet),
            _ => Err(format!("there is no format `{s}`; there are table, csv, csv-bom, json, arrow, parquet")),
        }
    }
}

/// Encodes an answer piece by piece. The table needs all rows first, to align them; the others stream.
pub fn encode(answer: Answer, format: Format) -> Encoded {
    let Answer { schema, freshness, about, presentation, rows } = answer;
    let encoder: Box<dyn Encoder> = match format {
        Format::Table => {
            let whole = async move {
                let batches: Vec<_> = rows.try_collect().await?;
                Ok(Bytes::from(table::render(&schema, &batches, &presentation)))
            };
            return Box::pin(futures::stream::once(whole));
        }
        Format::Csv | Format::CsvWithBom => Box::new(csv::Csv::new(&schema, format == Format::CsvWithBom)),
        Format::Json => Box::new(json::Json::new(&schema, &freshness, about.as_ref())),
        Format::Arrow => match arrow_stream::ArrowStream::new(&schema) {
            Ok(encoder) => Box::new(encoder),
            Err(error) => return Box::pin(futures::stream::once(async move { Err(failed(format, error)) })),
        },
        Format::Parquet => match parquet_file::ParquetFile::new(&schema) {
            Ok(encoder) => Box::new(encoder),
            Err(error) => return Box::pin(futures::stream::once(async move { Err(failed(format, error)) })),
        },
    };
    Box::pin(
        futures::stream::unfold(Some((rows, encoder)), move |state| async move {
            let (mut rows, mut encoder) = state?;
            match rows.next().await {
                Some(Ok(batch)) => {
                    let bytes = encoder.batch(&batch).map_err(|e| failed(format, e));
                    Some(if bytes.is_err() { (bytes, None) } else { (bytes, Some((rows, encoder))) })
                }
                Some(Err(error)) => Some((Err(error), None)),
                None => Some((encoder.end().map_err(|e| failed(format, e)), None)),
            }
        })
        .try_filter(|bytes| futures::future::ready(!bytes.is_empty())),
    )
}

/// Writes an answer to `out`.
pub async fn write(answer: Answer, format: Format, out: &mut (dyn Write + Send)) -> Result<()> {
    let mut pieces = encode(answer, format);
    while let Some(piece) = pieces.try_next().await? {
        out.write_all(&piece).map_err(|e| failed(format, e.into()))?;
    }
    out.flush().map_err(|e| failed(format, e.into()))
}

type Fault = Box<dyn std::error::Error + Send + Sync>;

fn failed(format: Format, source: Fault) -> Error {
    Error::Output { format: format.name(), source }
}

/// Turns batches into bytes as they come.
trait Encoder: Send {
    /// The bytes that are ready after this batch, what goes before the first one included.
    fn batch(&mut self, batch: &arrow::array::RecordBatch) -> Result<Bytes, Fault>;
    /// What is left.
    fn end(&mut self) -> Result<Bytes, Fault>;
}

#[cfg(test)]
mod tests;
