//! Answers as bytes: tables, pages, charts and workbooks for people, CSV for spreadsheets, JSON, Arrow and Parquet for
//! programs (R23).
//!
//! Money is yuan with two decimals where people or spreadsheets read, fen elsewhere. Freshness is in the JSON envelope, on the
//! workbook's second sheet, below pages and charts; the other formats leave it to headers and stderr.

mod arrow_stream;
pub(crate) mod cells;
mod chart;
mod columns;
mod csv;
pub(crate) mod glossary;
mod html;
mod json;
mod language;
mod parquet_file;
mod sheet;
mod table;
mod words;
mod xlsx;

use std::io::Write;
use std::pin::Pin;
use std::str::FromStr;

use arrow::array::RecordBatch;
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};

pub use chart::Chart;
pub use language::Language;
pub use sheet::Sheet;

use crate::answer::{Answer, Rows};
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
    /// The rows of that, one object a line.
    Ndjson,
    /// Arrow IPC stream.
    Arrow,
    /// A Parquet file.
    Parquet,
    /// An Excel workbook: typed cells, money in yuan, a second sheet about the answer.
    Xlsx,
    /// One self-contained page: chart, table with totals, what is known about the answer.
    Html,
    /// The report's chart alone.
    Svg,
}

/// A page of more rows stops a browser; 50,000 rows of 15 columns are about 40 MB.
const PAGE_ROWS_LIMIT: u64 = 50_000;
/// The most rows a chart is drawn from: a year of 1,000 stores by day.
const CHART_ROWS_LIMIT: u64 = 400_000;

/// Pieces of an encoded answer.
pub type Encoded = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

impl Format {
    /// All of them, by the names they have on the command line.
    pub const ALL: [(&'static str, Format); 10] = [
        ("table", Format::Table),
        ("csv", Format::Csv),
        ("csv-bom", Format::CsvWithBom),
        ("json", Format::Json),
        ("ndjson", Format::Ndjson),
        ("arrow", Format::Arrow),
        ("parquet", Format::Parquet),
        ("xlsx", Format::Xlsx),
        ("html", Format::Html),
        ("svg", Format::Svg),
    ];

    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Format::Table => "text/plain; charset=utf-8",
            Format::Csv | Format::CsvWithBom => "text/csv; charset=utf-8; header=present",
            Format::Json => "application/json",
            Format::Ndjson => "application/x-ndjson",
            Format::Arrow => "application/vnd.apache.arrow.stream",
            Format::Parquet => "application/vnd.apache.parquet",
            Format::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            Format::Html => "text/html; charset=utf-8",
            Format::Svg => "image/svg+xml",
        }
    }

    /// Whether a terminal cannot show it.
    pub fn binary(self) -> bool {
        matches!(self, Format::Arrow | Format::Parquet | Format::Xlsx)
    }

    fn name(self) -> &'static str {
        Format::ALL.iter().find(|(_, format)| *format == self).map_or("", |(name, _)| name)
    }
}

impl FromStr for Format {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let known = || Format::ALL.map(|(name, _)| name).join(", ");
        let found = Format::ALL.iter().find(|(name, _)| *name == s);
        found.map(|(_, format)| *format).ok_or_else(|| format!("there is no format `{s}`; there are {}", known()))
    }
}

/// Encodes an answer piece by piece. Table, page, chart and workbook need all rows first; the others stream.
pub fn encode(answer: Answer, format: Format) -> Encoded {
    let encoder: Result<Box<dyn Encoder>, Fault> = match format {
        Format::Table | Format::Xlsx | Format::Html | Format::Svg => {
            return Box::pin(futures::stream::once(whole(answer, format)));
        }
        Format::Csv | Format::CsvWithBom => Ok(Box::new(csv::Csv::new(&answer.schema, format == Format::CsvWithBom))),
        Format::Json => Ok(Box::new(json::Json::new(&answer.schema, &answer.freshness, answer.about.as_ref()))),
        Format::Ndjson => Ok(Box::new(json::Ndjson::new(&answer.schema))),
        Format::Arrow => arrow_stream::ArrowStream::new(&answer.schema).map(|e| Box::new(e) as _),
        Format::Parquet => parquet_file::ParquetFile::new(&answer.schema).map(|e| Box::new(e) as _),
    };
    match encoder {
        Ok(encoder) => stream(answer.rows, encoder, format),
        Err(error) => Box::pin(futures::stream::once(async move { Err(failed(format, error)) })),
    }
}

fn stream(rows: Rows, encoder: Box<dyn Encoder>, format: Format) -> Encoded {
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

/// A format that is one piece. Laying it out takes the processor for a while, so it happens where that holds up nobody.
async fn whole(answer: Answer, format: Format) -> Result<Bytes> {
    let Answer { schema, freshness, about, presentation: mut shown, mut rows } = answer;
    // An explained report has other columns.
    let there = |names: Vec<&str>| names.into_iter().all(|name| schema.index_of(name).is_ok());
    shown.chart = shown.chart.filter(|chart| there(chart.columns()));
    shown.sheet = shown.sheet.filter(|sheet| there(sheet.columns()));
    let limit = match format {
        Format::Xlsx => xlsx::ROWS_LIMIT,
        Format::Html => PAGE_ROWS_LIMIT,
        Format::Svg => CHART_ROWS_LIMIT,
        _ => u64::MAX,
    };
    if format == Format::Svg && shown.chart.is_none() {
        return Err(Error::NoChart {
            what: if shown.name.is_empty() { "a statement".to_owned() } else { format!("`{}`", shown.name) },
        });
    }
    let mut seen = 0;
    let mut within = |batch: &RecordBatch| {
        seen += batch.num_rows() as u64;
        if seen > limit { Err(Error::TooManyRowsFor { format: format.name(), limit }) } else { Ok(()) }
    };
    if format == Format::Xlsx {
        let mut book = xlsx::Xlsx::new(&schema, &shown, &freshness, about).map_err(|e| failed(format, e))?;
        while let Some(batch) = rows.try_next().await? {
            within(&batch)?;
            let write = move || {
                book.batch(&batch)?;
                Ok(book)
            };
            book = laid_out(format, write).await?;
        }
        return laid_out(format, move || book.end()).await;
    }
    let mut batches = Vec::new();
    while let Some(batch) = rows.try_next().await? {
        within(&batch)?;
        batches.push(batch);
    }
    let text = move || match (format, &shown.chart) {
        (Format::Html, _) => html::render(&schema, &batches, &shown, &freshness, about.as_ref()),
        (Format::Svg, Some(asked)) => {
            let svg = chart::draw(asked, &schema, &batches, &shown, &freshness, true)?;
            Ok(format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}\n", svg.into_string()))
        }
        _ => Ok(table::render(&schema, &batches, &shown)),
    };
    laid_out(format, text).await.map(Bytes::from)
}

async fn laid_out<T: Send + 'static>(format: Format, work: impl FnOnce() -> Result<T, Fault> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| failed(format, e.into()))?.map_err(|e| failed(format, e))
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
    fn batch(&mut self, batch: &RecordBatch) -> Result<Bytes, Fault>;
    /// What is left.
    fn end(&mut self) -> Result<Bytes, Fault>;
}

#[cfg(test)]
mod tests;
