//! How figures came about: a row per figure with its formula, the formula with the numbers in it, and where its pieces are.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringViewArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;

use crate::output::cells;
use crate::params::Params;
use crate::source::{Drill, Given, Source};
use crate::{Error, Result};

/// Explains each row of a report's answer. Money is written in yuan.
pub(crate) fn explain(source: &Source, params: &Params, rows: &RecordBatch) -> Result<RecordBatch> {
    let failed = |e: ArrowError| Error::BadSource { file: format!("{}.sql", source.name), problem: e.to_string() };
    let schema = rows.schema();
    let figures: Vec<&str> = schema
        .fields()
        .iter()
        .map(|f| f.name().as_str())
        .filter(|name| source.formulas.contains_key(*name) || source.drills.contains_key(*name))
        .collect();
    let mut of_row = Vec::new();
    let mut texts: [Vec<Option<String>>; 5] = Default::default();
    for row in 0..rows.num_rows() {
        for figure in &figures {
            of_row.push(row as u32);
            let formula = source.formulas.get(*figure);
            let cells = [
                Some((*figure).to_owned()),
                Some(value(rows, figure, row).unwrap_or_default()),
                formula.cloned(),
                formula.map(|formula| filled(formula, rows, row)),
                source.drills.get(*figure).map(|drill| pieces(drill, params, rows, row)),
            ];
            texts.iter_mut().zip(cells).for_each(|(column, cell)| column.push(cell));
        }
    }
    let of_row = UInt32Array::from(of_row);
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for name in &source.key {
        let at = schema.index_of(name).map_err(failed)?;
        fields.push(schema.field(at).clone());
        columns.push(take(rows.column(at), &of_row, None).map_err(failed)?);
    }
    for (name, texts) in ["figure", "value", "formula", "numbers", "pieces"].into_iter().zip(texts) {
        fields.push(Field::new(name, DataType::Utf8View, true));
        columns.push(Arc::new(StringViewArray::from(texts)));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(failed)
}

/// The formula with the row's values in the place of its columns.
fn filled(formula: &str, rows: &RecordBatch, row: usize) -> String {
    let mut out = String::new();
    let mut rest = formula;
    while let Some(first) = rest.chars().next() {
        let word = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
        let len = match first {
            '\'' => rest[1..].find('\'').map_or(rest.len(), |end| end + 2),
            c if word(c) => rest.find(|c| !word(c)).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        let (piece, after) = rest.split_at(len);
        out.push_str(&value(rows, piece, row).unwrap_or_else(|| piece.to_owned()));
        rest = after;
    }
    out
}

/// A column's value as text; `None` if there is no such column.
fn value(rows: &RecordBatch, name: &str, row: usize) -> Option<String> {
    let column = rows.column_by_name(name)?;
    let mut text = String::new();
    match cells::money(name, column.data_type()) {
        true => cells::write_yuan(column, row, &mut text),
        false => cells::write(column, row, &mut text),
    }
    Some(if text.is_empty() { "NULL".to_owned() } else { text })
}

/// The report that lists the pieces, with its parameters, as in a URL.
fn pieces(drill: &Drill, params: &Params, rows: &RecordBatch, row: usize) -> String {
    let mut out = drill.report.clone();
    let mut given = url::form_urlencoded::Serializer::new(String::new());
    let mut any = false;
    for (name, from) in &drill.parameters {
        let value = match from {
            Given::Text(text) => Some(text.clone()),
            Given::Parameter(name) => params.get(name).and_then(|v| v.text()),
            Given::Column(column) => rows.column_by_name(column).filter(|c| !c.is_null(row)).map(|column| {
                let mut text = String::new();
                cells::write(column, row, &mut text);
                text
            }),
        };
        if let Some(value) = value {
            given.append_pair(name, &value);
            any = true;
        }
    }
    if any {
        let _ = write!(out, "?{}", given.finish());
    }
    out
}
