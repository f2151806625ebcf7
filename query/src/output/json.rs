//! JSON: one object with the answer's freshness, its columns and its rows; or the rows alone, one object a line.

use std::fmt::Write;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use bytes::Bytes;

use super::{Encoder, Fault, cells};
use crate::About;
use crate::view::Freshness;

/// Each column's name as a JSON key with its colon, and whether it holds 64-bit ids.
struct Keys(Vec<(String, bool)>);

pub(super) struct Json {
    keys: Keys,
    /// What goes before the first row.
    head: String,
    first: bool,
}

impl Json {
    pub fn new(schema: &SchemaRef, freshness: &Freshness, about: Option<&About>) -> Self {
        let columns: Vec<serde_json::Value> = schema
            .fields()
            .iter()
            .map(|f| serde_json::json!({ "name": f.name(), "type": type_name(f.name(), f.data_type()) }))
            .collect();
        let about = about.map_or_else(String::new, |a| {
            format!(
                r#""report":{},"definition":{},"parameters":{},"dead_letters":{},"#,
                json(&a.report),
                json(&a.definition),
                json(&a.parameters),
                a.dead_letters,
            )
        });
        let head = format!(
            r#"{{{about}"as_of":{},"lake_versions":{},"log_position":{},"tail_rows":{},"columns":{},"rows":["#,
            json(&freshness.as_of),
            json(&freshness.lake_versions),
            json(&freshness.log_position),
            freshness.tail_rows,
            json(&columns),
        );
        Json { keys: Keys::of(schema), head, first: true }
    }
}

/// Rows alone, for programs that read line by line; how fresh they are is said elsewhere.
pub(super) struct Ndjson(Keys);

impl Ndjson {
    pub fn new(schema: &SchemaRef) -> Self {
        Ndjson(Keys::of(schema))
    }
}

impl Encoder for Ndjson {
    fn batch(&mut self, batch: &RecordBatch) -> Result<Bytes, Fault> {
        let mut out = String::new();
        for row in 0..batch.num_rows() {
            self.0.object(batch, row, &mut out);
            out.push('\n');
        }
        Ok(out.into())
    }

    fn end(&mut self) -> Result<Bytes, Fault> {
        Ok(Bytes::new())
    }
}

impl Keys {
    fn of(schema: &SchemaRef) -> Self {
        let key = |name: &str| format!("{}:", json(&name));
        Keys(schema.fields().iter().map(|f| (key(f.name()), cells::id(f.name(), f.data_type()))).collect())
    }

    fn object(&self, batch: &RecordBatch, row: usize, out: &mut String) {
        out.push('{');
        for (i, (column, (key, id))) in batch.columns().iter().zip(&self.0).enumerate() {
            out.push_str(if i == 0 { "" } else { "," });
            out.push_str(key);
            value(column, row, *id, out);
        }
        out.push('}');
    }
}

impl Encoder for Json {
    fn batch(&mut self, batch: &RecordBatch) -> Result<Bytes, Fault> {
        let mut out = std::mem::take(&mut self.head);
        for row in 0..batch.num_rows() {
            out.push_str(if std::mem::take(&mut self.first) { "\n" } else { ",\n" });
            self.keys.object(batch, row, &mut out);
        }
        Ok(out.into())
    }

    fn end(&mut self) -> Result<Bytes, Fault> {
        let mut out = std::mem::take(&mut self.head);
        out.push_str("\n]}\n");
        Ok(out.into())
    }
}

fn value(column: &ArrayRef, row: usize, id: bool, out: &mut String) {
    if column.is_null(row) {
        out.push_str("null");
        return;
    }
    if let DataType::List(field) = column.data_type() {
        let items = column.as_list::<i32>().value(row);
        let ids = id || (field.data_type() == &DataType::UInt64);
        out.push('[');
        for i in 0..items.len() {
            out.push_str(if i == 0 { "" } else { "," });
            value(&items, i, ids, out);
        }
        out.push(']');
        return;
    }
    if let Some(n) = cells::whole(column, row) {
        let _ = if id { write!(out, "\"{n}\"") } else { write!(out, "{n}") };
    } else if let Some(n) = cells::fraction(column, row) {
        out.push_str(&if n.is_finite() { json(&n) } else { "null".to_owned() });
    } else if column.data_type() == &DataType::Boolean {
        out.push_str(if column.as_boolean().value(row) { "true" } else { "false" });
    } else {
        let mut text = String::new();
        cells::write(column, row, &mut text);
        out.push_str(&json(&text));
    }
}

/// A type's name as its readers need it: what the JSON value is.
fn type_name(name: &str, data_type: &DataType) -> &'static str {
    match data_type {
        _ if cells::id(name, data_type) => "id",
        DataType::Date32 | DataType::Date64 => "day",
        DataType::Timestamp(..) => "instant",
        DataType::List(_) => "list",
        _ => match cells::sort(data_type) {
            cells::Sort::Whole if name.ends_with("_fen") => "fen",
            cells::Sort::Whole => "int",
            cells::Sort::Fraction => "number",
            cells::Sort::Flag => "flag",
            _ => "text",
        },
    }
}

fn json<T: serde::Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("plain data")
}
