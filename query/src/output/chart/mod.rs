//! A report's chart as SVG: readable in print, without colour, and aloud.
//!
//! The header of a report says what to draw: `-- Chart: heat weekday hour average by store_name`. Where several rows meet in
//! one mark, columns that add up are added, others averaged, and the chart says so. Colours are ColorBrewer's YlGnBu and PuOr
//! and Okabe and Ito's, which people with any colour vision tell apart; beside every colour stands its number, a legend or a
//! dash.

mod bars;
mod data;
mod heat;
mod hexagons;
mod lines;
mod scale;

use std::fmt;
use std::str::FromStr;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use maud::{Markup, PreEscaped, html};
use serde::{Serialize, Serializer};

use super::columns::columns;
use super::words;
use crate::answer::Presentation;
use crate::view::Freshness;
use data::Data;
pub(super) use heat::Axis;

/// What a report's `Chart` line asks for; the texts are names of its columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chart {
    /// `heat ROW COLUMN VALUE [by PANEL]`: one coloured cell for each pair, such as weekday and hour.
    Heat {
        /// Down.
        row: String,
        /// Across.
        column: String,
        /// What the colour and the number in the cell say.
        value: String,
        /// One heat map for each value of this.
        by: Option<String>,
    },
    /// `bars LABEL VALUE`: a horizontal bar for each label.
    Bars {
        /// Whose bar it is.
        label: String,
        /// How long it is.
        value: String,
    },
    /// `line ALONG VALUE [by LINE]`: a line over time, or over what is in order otherwise.
    Line {
        /// Across: days, months, numbers, or the rows' own order.
        along: String,
        /// Up.
        value: String,
        /// One line for each value of this.
        by: Option<String>,
    },
    /// `hexagons CELL VALUE [by MAP]`: H3 cells where they lie.
    Hexagons {
        /// The cell: its number, or its number in hexadecimal.
        cell: String,
        /// What the colour says.
        value: String,
        /// One map for each value of this; without it, one for each cluster of cells.
        by: Option<String>,
    },
}

impl Chart {
    /// The columns it needs.
    pub fn columns(&self) -> Vec<&str> {
        let (names, by) = match self {
            Chart::Heat { row, column, value, by } => (vec![row, column, value], by.as_ref()),
            Chart::Bars { label, value } => (vec![label, value], None),
            Chart::Line { along, value, by } => (vec![along, value], by.as_ref()),
            Chart::Hexagons { cell, value, by } => (vec![cell, value], by.as_ref()),
        };
        names.into_iter().chain(by).map(String::as_str).collect()
    }
}

impl FromStr for Chart {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (words, by) = match words.split_last_chunk() {
            Some((words, ["by", by])) => (words, Some((*by).to_owned())),
            _ => (words.as_slice(), None),
        };
        let own = |text: &str| text.to_owned();
        match (words, by) {
            (["heat", row, column, value], by) => Ok(Chart::Heat { row: own(row), column: own(column), value: own(value), by }),
            (["bars", label, value], None) => Ok(Chart::Bars { label: own(label), value: own(value) }),
            (["line", along, value], by) => Ok(Chart::Line { along: own(along), value: own(value), by }),
            (["hexagons", cell, value], by) => Ok(Chart::Hexagons { cell: own(cell), value: own(value), by }),
            _ => Err(format!(
                "`Chart: {text}` is none of `heat ROW COLUMN VALUE [by PANEL]`, `bars LABEL VALUE`, `line ALONG VALUE [by LINE]`, \
                 `hexagons CELL VALUE [by MAP]`"
            )),
        }
    }
}

impl fmt::Display for Chart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shape, by) = match self {
            Chart::Heat { by, .. } => ("heat", by),
            Chart::Bars { .. } => ("bars", &None),
            Chart::Line { by, .. } => ("line", by),
            Chart::Hexagons { by, .. } => ("hexagons", by),
        };
        let columns = self.columns();
        let (by, columns) = if by.is_some() { columns.split_last().unwrap_or((&"", &[])) } else { (&"", columns.as_slice()) };
        write!(f, "{shape} {}{}{by}", columns.join(" "), if by.is_empty() { "" } else { " by " })
    }
}

impl Serialize for Chart {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What was drawn, before it is framed.
struct Drawing {
    width: f64,
    height: f64,
    marks: Markup,
    /// The chart in words, for who cannot see it.
    spoken: String,
    /// What the reader must know of what was left out or put together.
    notes: Vec<String>,
}

/// Text height of labels, in px.
const SIZE: f64 = 12.0;
const FONT: &str = "system-ui, 'Noto Sans SC', 'Noto Sans CJK SC', 'Microsoft YaHei', 'WenQuanYi Zen Hei', sans-serif";
const INK: &str = "#1a1a1a";
const FAINT: &str = "#c8c8c8";

/// Draws the chart of these rows; it fails if the rows have not the columns it needs. `alone` is a file of its own, which
/// needs its title and how fresh it is.
pub(super) fn draw(
    chart: &Chart,
    schema: &SchemaRef,
    batches: &[RecordBatch],
    shown: &Presentation,
    freshness: &Freshness,
    alone: bool,
) -> Result<Markup, String> {
    let columns = columns(schema, shown);
    let data = Data { columns: &columns, batches, language: shown.language };
    let mut drawing = match chart {
        Chart::Heat { row, column, value, by } => heat::draw(&data, row, column, value, by.as_deref())?,
        Chart::Bars { label, value } => bars::draw(&data, label, value)?,
        Chart::Line { along, value, by } => lines::draw(&data, along, value, by.as_deref())?,
        Chart::Hexagons { cell, value, by } => hexagons::draw(&data, cell, value, by.as_deref())?,
    };
    if data.rows().next().is_none() {
        drawing.notes.push(shown.language.pick("No rows.", "没有数据。").to_owned());
    }
    Ok(frame(drawing, shown, freshness, alone))
}

fn frame(drawing: Drawing, shown: &Presentation, freshness: &Freshness, alone: bool) -> Markup {
    let Drawing { width, height, marks, spoken, notes } = drawing;
    let title = data::clean(&words::title(shown));
    let head = if alone { vec![words::parameters(shown)].into_iter().filter(|p| !p.is_empty()).collect() } else { Vec::new() };
    let mut foot = notes;
    if alone {
        foot.push(words::as_of(freshness, shown));
    }
    let (margin, line) = (16.0, SIZE * 1.5);
    // A long line of the frame must not be cut off.
    let wide = head.iter().chain(&foot).map(|t: &String| scale::width(t, SIZE)).fold(0.0, f64::max);
    let width = width.max(wide).max(if alone { scale::width(&title, 18.0) } else { 0.0 }) + 2.0 * margin;
    let top = margin + if alone { 28.0 + line * head.len() as f64 } else { 0.0 };
    let total = top + height + line * foot.len() as f64 + margin;
    html! {
        svg xmlns="http://www.w3.org/2000/svg" width=(px(width)) height=(px(total)) viewBox={ "0 0 " (px(width)) " " (px(total)) }
            role="img" aria-labelledby="chart-title chart-text" font-family=(FONT) font-size=(SIZE) fill=(INK) {
            title id="chart-title" { (title) }
            desc id="chart-text" { (data::clean(&spoken)) }
            rect width="100%" height="100%" fill="#ffffff" {}
            @if alone {
                text x=(px(margin)) y=(px(margin + 14.0)) font-size="18" font-weight="600" { (title) }
                @for (i, text) in head.iter().enumerate() {
                    text x=(px(margin)) y=(px(margin + 34.0 + line * i as f64)) fill="#555555" { (data::clean(text)) }
                }
            }
            g transform={ "translate(" (px(margin)) " " (px(top)) ")" } { (marks) }
            @for (i, text) in foot.iter().enumerate() {
                text x=(px(margin)) y=(px(top + height + line * (i as f64 + 0.9))) fill="#555555" { (data::clean(text)) }
            }
        }
    }
}

/// A length or position; a tenth of a pixel is as fine as is seen.
fn px(x: f64) -> String {
    let text = format!("{x:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

/// What a mark says when it is pointed at.
fn tip(text: &str) -> Markup {
    html! { title { (data::clean(text)) } }
}

fn nothing() -> Markup {
    PreEscaped(String::new())
}

#[cfg(test)]
mod tests;
