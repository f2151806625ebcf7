//! One page that needs nothing else: the chart, the rows with their totals, and what is known about the answer. It runs no
//! script and fetches nothing, and every text of the data is escaped.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, SchemaRef, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use event::Instant;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::columns::{Column, Kind, Sum, columns};
use super::{Fault, chart, sheet, words};
use crate::answer::{About, Presentation};
use crate::view::Freshness;

const STYLE: &str = include_str!("page.css");

pub(super) fn render(
    schema: &SchemaRef,
    batches: &[RecordBatch],
    shown: &Presentation,
    freshness: &Freshness,
    about: Option<&About>,
) -> Result<String, Fault> {
    let body = match &shown.sheet {
        Some(asked) => sheet::pages(asked, schema, batches, shown, freshness)?,
        None => page(schema, batches, shown, freshness, about)?,
    };
    let whole = html! {
        (DOCTYPE)
        html lang=(shown.language.tag()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (words::title(shown)) }
                style { (PreEscaped(STYLE)) }
            }
            body { (body) }
        }
    };
    Ok(whole.into_string())
}

fn page(
    schema: &SchemaRef,
    batches: &[RecordBatch],
    shown: &Presentation,
    freshness: &Freshness,
    about: Option<&About>,
) -> Result<Markup, Fault> {
    let columns = columns(schema, shown);
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let chart = match &shown.chart {
        Some(asked) => Some(chart::draw(asked, schema, batches, shown, freshness, false)?),
        None => None,
    };
    let parameters = words::parameters(shown);
    Ok(html! {
        header {
            h1 { (words::title(shown)) }
            @if !parameters.is_empty() { p class="fine" { (parameters) } }
            p class="fine" { (words::as_of(freshness, shown)) }
        }
        main {
            @if let Some(chart) = chart { div class="chart" { (chart) } }
            div class="rows" tabindex="0" { (table(&columns, batches, rows, shown)) }
        }
        footer {
            dl {
                @for (label, value) in words::facts(freshness, about, shown, rows) { dt { (label) } dd { (value) } }
            }
            @if !shown.doc.is_empty() { p class="doc" { (shown.doc) } }
        }
    })
}

fn table(columns: &[Column], batches: &[RecordBatch], rows: usize, shown: &Presentation) -> Markup {
    let mut sums: Vec<Option<Sum>> = columns.iter().map(|c| Sum::of(c).filter(|_| rows > 1)).collect();
    let class = |column: &Column| match column.kind {
        Kind::Text => Some("t"),
        kind => kind.figure().then_some("n"),
    };
    let body = html! {
        @for batch in batches {
            @for row in 0..batch.num_rows() {
                tr {
                    @for (column, values) in columns.iter().zip(batch.columns()) {
                        td class=[class(column)] { (cell(column, values, row, shown)) }
                    }
                }
            }
        }
    };
    for batch in batches {
        for ((column, values), sum) in columns.iter().zip(batch.columns()).zip(&mut sums) {
            if let Some(sum) = sum {
                (0..batch.num_rows()).for_each(|row| sum.add(column, values, row));
            }
        }
    }
    let heading = |column: &Column| match column.kind {
        Kind::Instant => shown.language.with_unit(&column.heading, shown.zone.name()),
        _ => column.heading.clone(),
    };
    html! {
        table {
            thead { tr { @for column in columns { th scope="col" class=[class(column)] title=(column.name) { (heading(column)) } } } }
            tbody { (body) }
            @if sums.iter().any(Option::is_some) {
                tfoot {
                    tr {
                        @for (i, (column, sum)) in columns.iter().zip(&sums).enumerate() {
                            @match sum {
                                Some(sum) => { td class="n" { (sum.text(column)) } }
                                None if i == 0 => { th scope="row" { (shown.language.pick("total", "合计")) } }
                                None => { td {} }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn cell(column: &Column, values: &ArrayRef, row: usize, shown: &Presentation) -> String {
    let mut text = String::new();
    match instant(values, row) {
        Some(at) => text = words::local(at, shown),
        None => column.write(values, row, &mut text),
    }
    text
}

/// An instant, if the column is one; without a zone it is UTC, as everywhere in the engine.
pub(super) fn instant(values: &ArrayRef, row: usize) -> Option<Instant> {
    let DataType::Timestamp(unit, _) = values.data_type() else { return None };
    if values.is_null(row) {
        return None;
    }
    Some(Instant(match unit {
        TimeUnit::Second => values.as_primitive::<TimestampSecondType>().value(row) * 1_000_000,
        TimeUnit::Millisecond => values.as_primitive::<TimestampMillisecondType>().value(row) * 1_000,
        TimeUnit::Microsecond => values.as_primitive::<TimestampMicrosecondType>().value(row),
        TimeUnit::Nanosecond => values.as_primitive::<TimestampNanosecondType>().value(row).div_euclid(1_000),
    }))
}
