//! The rows of an answer as a chart needs them: categories and figures.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, RecordBatch};

use crate::output::Language;
use crate::output::cells;
use crate::output::columns::{Column, DECIMALS, Kind};

pub(super) struct Data<'a> {
    pub columns: &'a [Column],
    pub batches: &'a [RecordBatch],
    pub language: Language,
}

/// A column by its place.
#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    pub at: usize,
    pub column: &'a Column,
}

impl<'a> Data<'a> {
    pub fn field(&self, name: &str) -> Result<Field<'a>, String> {
        let found = self.columns.iter().enumerate().find(|(_, c)| c.name == name);
        found
            .map(|(at, column)| Field { at, column })
            .ok_or_else(|| format!("the chart needs a column `{name}`, which the rows have not"))
    }

    /// A column of figures.
    pub fn figure(&self, name: &str) -> Result<Field<'a>, String> {
        let field = self.field(name)?;
        if field.column.kind.figure() { Ok(field) } else { Err(format!("the chart draws `{name}`, which is no figure")) }
    }

    /// Every row, as the batch and the place in it.
    pub fn rows(&self) -> impl Iterator<Item = (&'a RecordBatch, usize)> + use<'a> {
        let batches = self.batches;
        batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |row| (batch, row)))
    }
}

impl Field<'_> {
    pub fn values<'b>(&self, batch: &'b RecordBatch) -> &'b ArrayRef {
        batch.column(self.at)
    }

    /// A category's text; `None` for null.
    pub fn label(&self, batch: &RecordBatch, row: usize) -> Option<String> {
        let values = self.values(batch);
        let mut text = String::new();
        cells::write(values, row, &mut text);
        values.is_valid(row).then(|| clean(&text))
    }

    /// A figure as it is drawn: yuan for fen.
    pub fn value(&self, batch: &RecordBatch, row: usize) -> Option<f64> {
        let values = self.values(batch);
        match self.column.kind {
            Kind::Money => cells::fen(values, row).map(|fen| fen as f64 / 100.0),
            _ => cells::whole(values, row).map(|n| n as f64).or_else(|| cells::fraction(values, row)),
        }
        .filter(|n| n.is_finite())
    }

    /// A figure of this column in full.
    pub fn text(&self, value: f64) -> String {
        match self.column.kind {
            Kind::Money => format!("{value:.2}"),
            _ if value == value.round() && value.abs() < 1e15 => format!("{value:.0}"),
            _ => format!("{value:.DECIMALS$}"),
        }
    }
}

/// What several rows come to in one mark.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Met {
    sum: f64,
    rows: u32,
}

impl Met {
    pub fn add(&mut self, value: f64) {
        self.sum += value;
        self.rows += 1;
    }

    pub fn value(&self, column: &Column) -> Option<f64> {
        match self.rows {
            0 => None,
            _ if column.adds_up => Some(self.sum),
            rows => Some(self.sum / f64::from(rows)),
        }
    }
}

/// What is said of marks in which several rows met.
pub(super) fn note_of_met<'a>(met: impl IntoIterator<Item = &'a Met>, column: &Column, language: Language) -> Option<String> {
    let most = met.into_iter().map(|m| m.rows).max().unwrap_or(0);
    let (added, averaged) = (("added up", "相加"), ("averaged", "取平均"));
    let how = if column.adds_up { added } else { averaged };
    (most > 1).then(|| {
        language.pick(
            format!("Up to {most} rows meet in one mark; they are {}.", how.0),
            format!("同一处最多有 {most} 行，已{}。", how.1),
        )
    })
}

/// Categories in the order of their first row.
#[derive(Default)]
pub(super) struct Categories {
    pub labels: Vec<String>,
    places: HashMap<String, usize>,
}

impl Categories {
    pub fn place(&mut self, label: &str) -> usize {
        if let Some(place) = self.places.get(label) {
            return *place;
        }
        self.labels.push(label.to_owned());
        self.places.insert(label.to_owned(), self.labels.len() - 1);
        self.labels.len() - 1
    }
}

/// Text without what XML 1.0 does not allow (section 2.2), on one line.
pub(super) fn clean(text: &str) -> String {
    let keep = |c: char| if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') { ' ' } else { c };
    text.chars().map(keep).collect()
}

/// Shortens a label to about so many columns of a terminal.
pub(super) fn short(label: &str, limit: usize) -> String {
    use crate::output::table::width;
    if width(label) <= limit {
        return label.to_owned();
    }
    let mut out = String::new();
    for c in label.chars() {
        if width(&out) + 2 > limit {
            break;
        }
        out.push(c);
    }
    out + "…"
}
