//! CSV (RFC 4180): a header, money in yuan, nothing a spreadsheet would run.

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use bytes::Bytes;

use super::{Encoder, Fault, cells};

pub(super) struct Csv {
    money: Vec<bool>,
    quoted: Vec<bool>,
    /// What goes before the first row.
    head: String,
}

impl Csv {
    pub fn new(schema: &SchemaRef, bom: bool) -> Self {
        let money: Vec<bool> = schema.fields().iter().map(|f| cells::money(f.name(), f.data_type())).collect();
        // Quoted ids are text to whoever honours quotes.
        let quoted = schema.fields().iter().map(|f| cells::id(f.name(), f.data_type())).collect();
        let mut head = String::from(if bom { "\u{feff}" } else { "" });
        for (i, field) in schema.fields().iter().enumerate() {
            head.push_str(if i == 0 { "" } else { "," });
            let name = if money[i] { cells::in_yuan(field.name()) } else { field.name().clone() };
            push(&mut head, &name, true, false);
        }
        head.push_str("\r\n");
        Csv { money, quoted, head }
    }
}

impl Encoder for Csv {
    fn batch(&mut self, batch: &RecordBatch) -> Result<Bytes, Fault> {
        let mut out = std::mem::take(&mut self.head);
        let mut cell = String::new();
        for row in 0..batch.num_rows() {
            for (i, column) in batch.columns().iter().enumerate() {
                out.push_str(if i == 0 { "" } else { "," });
                cell.clear();
                if self.money[i] {
                    cells::write_yuan(column, row, &mut cell);
                } else {
                    cells::write(column, row, &mut cell);
                }
                let text = !matches!(cells::sort(column.data_type()), cells::Sort::Whole | cells::Sort::Fraction);
                push(&mut out, &cell, text, self.quoted[i] && column.is_valid(row));
            }
            out.push_str("\r\n");
        }
        Ok(out.into())
    }

    fn end(&mut self) -> Result<Bytes, Fault> {
        Ok(std::mem::take(&mut self.head).into())
    }
}

/// Appends a field. Text that a spreadsheet would take for a formula starts with an apostrophe.
fn push(out: &mut String, field: &str, text: bool, quoted: bool) {
    let formula = text && field.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if !quoted && !formula && !field.contains([',', '"', '\n', '\r']) {
        out.push_str(field);
        return;
    }
    out.push('"');
    if formula {
        out.push('\'');
    }
    out.push_str(&field.replace('"', "\"\""));
    out.push('"');
}
