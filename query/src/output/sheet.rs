//! Sheets to hang on a wall: a page for each store (or whatever names one), Monday to Sunday across, hours down.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use maud::{Markup, html};
use serde::{Serialize, Serializer};

use super::cells;
use super::chart::Axis;
use super::columns::{Column, columns};
use super::words;
use crate::answer::Presentation;
use crate::view::Freshness;

/// What a report's `Sheet` line asks for: `PAGE ACROSS DOWN VALUE [by PART]`, all names of its columns. The rows that meet in
/// one cell are added up; with `by`, the cell says what each part adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sheet {
    /// One page for each value of this.
    pub page: String,
    /// Across, such as weekdays.
    pub across: String,
    /// Down, such as hours.
    pub down: String,
    /// What the cells say.
    pub value: String,
    /// What the cells' figures are made of.
    pub by: Option<String>,
}

impl Sheet {
    /// The columns it needs.
    pub fn columns(&self) -> Vec<&str> {
        [&self.page, &self.across, &self.down, &self.value].into_iter().map(String::as_str).chain(self.by.as_deref()).collect()
    }
}

impl FromStr for Sheet {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        let (words, by) = match words.split_last_chunk() {
            Some((words, [keyword, by])) if keyword == "by" => (words, Some(by.clone())),
            _ => (words.as_slice(), None),
        };
        let [page, across, down, value] = words else {
            return Err(format!("`Sheet: {text}` is not `PAGE ACROSS DOWN VALUE [by PART]`"));
        };
        Ok(Sheet { page: page.clone(), across: across.clone(), down: down.clone(), value: value.clone(), by })
    }
}

impl fmt::Display for Sheet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.page, self.across, self.down, self.value)?;
        self.by.as_ref().map_or(Ok(()), |by| write!(f, " by {by}"))
    }
}

impl Serialize for Sheet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A cell: the figures of its parts. A part without a figure is known to have none, which is not zero.
#[derive(Default)]
struct Cell(BTreeMap<String, Option<i128>>);

impl Cell {
    fn sum(&self) -> Option<i128> {
        self.0.values().flatten().copied().reduce(|a, b| a + b)
    }
}

fn said(figure: Option<i128>) -> String {
    figure.map_or_else(|| "–".to_owned(), |n| n.to_string())
}

/// The pages, in the order of the rows.
pub(super) fn pages(
    sheet: &Sheet,
    schema: &SchemaRef,
    batches: &[RecordBatch],
    shown: &Presentation,
    freshness: &Freshness,
) -> Result<Markup, String> {
    let columns = columns(schema, shown);
    let place = |name: &str| {
        let found = columns.iter().position(|c| c.name == name);
        found.ok_or_else(|| format!("the sheet needs a column `{name}`, which the rows have not"))
    };
    let (page, across, down) = (place(&sheet.page)?, place(&sheet.across)?, place(&sheet.down)?);
    let (value, by) = (place(&sheet.value)?, sheet.by.as_deref().map(place).transpose()?);
    let text = |batch: &RecordBatch, column: usize, row: usize| {
        let mut text = String::new();
        cells::write(batch.column(column), row, &mut text);
        text
    };
    let rows = || batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |row| (batch, row)));
    let labels = |column: usize| {
        rows().filter(|(b, r)| b.column(column).is_valid(*r)).map(|(b, r)| text(b, column, r)).collect::<Vec<_>>()
    };
    let mut order: Vec<String> = Vec::new();
    let mut pages: BTreeMap<String, BTreeMap<(usize, usize), Cell>> = BTreeMap::new();
    let (mut left, mut top) =
        (Axis::of(&sheet.down, &labels(down), shown.language), Axis::of(&sheet.across, &labels(across), shown.language));
    for (batch, row) in rows() {
        let (Some(hour), Some(day)) = (left.place(&text(batch, down, row)), top.place(&text(batch, across, row))) else {
            continue;
        };
        let name = text(batch, page, row);
        if !pages.contains_key(&name) {
            order.push(name.clone());
        }
        let part = by.map(|by| text(batch, by, row)).unwrap_or_default();
        let figure = cells::whole(batch.column(value), row);
        let cell = pages.entry(name).or_default().entry((hour, day)).or_default().0.entry(part).or_insert(None);
        *cell = figure.map(|figure| cell.unwrap_or(0) + figure).or(*cell);
    }
    let language = shown.language;
    Ok(html! {
        @if order.is_empty() { p { (language.pick("No rows.", "没有数据。")) } }
        @for name in &order {
            section class="sheet" {
                header {
                    h1 { (name) }
                    p { (words::title(shown)) " · " (columns[value].heading) @if let Some(by) = by { " (" (columns[by].heading) ")" } }
                    @let parameters = words::parameters(shown);
                    @if !parameters.is_empty() { p class="fine" { (parameters) } }
                }
                (grid(&pages[name], &left, &top, &columns[down], shown))
                footer class="fine" {
                    (language.pick("– : not enough days to say", "– ：样本不足")) " · " (words::as_of(freshness, shown))
                }
            }
        }
    })
}

fn grid(cells: &BTreeMap<(usize, usize), Cell>, left: &Axis, top: &Axis, down: &Column, shown: &Presentation) -> Markup {
    let language = shown.language;
    // Hours at which this page has nothing on any day are left out.
    let used = |hour: usize| (0..top.labels.len()).any(|day| cells.contains_key(&(hour, day)));
    let hours: Vec<usize> = (0..left.labels.len()).filter(|hour| used(*hour)).collect();
    let hour = |label: &str| if down.name.ends_with("hour") { format!("{label}:00") } else { label.to_owned() };
    let of_day = |day: usize| hours.iter().filter_map(move |hour| cells.get(&(*hour, day))?.sum());
    html! {
        table {
            thead {
                tr { th { (down.heading) } @for day in &top.labels { th { (day) } } }
            }
            tbody {
                @for at in &hours {
                    tr {
                        th { (hour(&left.labels[*at])) }
                        @for day in 0..top.labels.len() {
                            td {
                                @if let Some(cell) = cells.get(&(*at, day)) {
                                    b { (said(cell.sum())) }
                                    @if cell.0.len() > 1 {
                                        @for (part, figure) in &cell.0 {
                                            small { (part) " " (said(*figure)) }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
            tfoot {
                tr {
                    th { (language.pick("Most", "最多")) }
                    @for day in 0..top.labels.len() { td { (of_day(day).max().map(|n| n.to_string()).unwrap_or_default()) } }
                }
                tr {
                    th { (language.pick("Sum", "合计")) }
                    @for day in 0..top.labels.len() { td { (of_day(day).reduce(|a, b| a + b).map(|n| n.to_string()).unwrap_or_default()) } }
                }
            }
        }
    }
}
