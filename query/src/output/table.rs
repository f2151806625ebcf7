//! A table for people: aligned columns, yuan with two decimals, a totals row where columns add up.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::columns::{Column, Sum, columns};
use crate::answer::Presentation;

/// A heading breaks into lines rather than make its column wider than this, or than the cells below it.
const HEADING_WIDTH: usize = 16;

pub(super) fn render(schema: &SchemaRef, batches: &[RecordBatch], shown: &Presentation) -> String {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let columns = columns(schema, shown);
    let mut sums: Vec<Option<Sum>> = columns.iter().map(|c| Sum::of(c).filter(|_| rows > 1)).collect();
    let mut cells: Vec<Vec<String>> = vec![Vec::with_capacity(rows + 1); columns.len()];
    for batch in batches {
        for row in 0..batch.num_rows() {
            for (i, (column, values)) in columns.iter().zip(batch.columns()).enumerate() {
                let mut cell = String::new();
                column.write(values, row, &mut cell);
                if let Some(sum) = &mut sums[i] {
                    sum.add(column, values, row);
                }
                cells[i].push(cell.replace(['\n', '\r', '\t'], " "));
            }
        }
    }
    let totals = sums.iter().any(Option::is_some);
    if totals {
        for (i, (column, sum)) in columns.iter().zip(&sums).enumerate() {
            cells[i].push(match sum {
                Some(sum) => sum.text(column),
                None if i == 0 => shown.language.pick("total", "合计").to_owned(),
                None => String::new(),
            });
        }
    }
    let mut text = lay_out(&columns, &cells, rows, totals);
    let count = if rows == 1 { "row" } else { "rows" };
    text.push_str(&shown.language.pick(format!("{rows} {count}\n"), format!("{rows} 行\n")));
    text
}

fn lay_out(columns: &[Column], cells: &[Vec<String>], rows: usize, totals: bool) -> String {
    let below: Vec<usize> = cells.iter().map(|c| c.iter().map(|s| width(s)).max().unwrap_or(0)).collect();
    let headings: Vec<Vec<String>> =
        columns.iter().zip(&below).map(|(c, below)| broken(&c.heading, (*below).max(HEADING_WIDTH))).collect();
    let widths: Vec<usize> =
        headings.iter().zip(&below).map(|(h, below)| h.iter().map(|s| width(s)).max().unwrap_or(0).max(*below)).collect();
    let height = headings.iter().map(Vec::len).max().unwrap_or(0);
    let rule = || widths.iter().map(|w| "─".repeat(*w)).collect::<Vec<_>>().join("  ");
    let line = |cell: &dyn Fn(usize) -> String| {
        let padded = columns.iter().zip(&widths).enumerate().map(|(i, (column, width_))| {
            let text = cell(i);
            let pad = " ".repeat(width_ - width(&text));
            if column.kind.figure() { pad + &text } else { text + &pad }
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    // The last line of a heading stands on the rule.
    let heading = |i: usize, at: usize| (at + headings[i].len()).checked_sub(height).map(|k| headings[i][k].clone());
    let mut lines: Vec<String> = (0..height).map(|at| line(&|i| heading(i, at).unwrap_or_default())).collect();
    lines.push(rule());
    lines.extend((0..rows).map(|row| line(&|i| cells[i][row].clone())));
    if totals {
        lines.push(rule());
        lines.push(line(&|i| cells[i][rows].clone()));
    }
    lines.join("\n") + "\n"
}

/// The words of `text` in lines of at most `limit` columns; a longer word has a line of its own.
fn broken(text: &str, limit: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is one from the start");
        if line.is_empty() {
            line.push_str(word);
        } else if width(line) + 1 + width(word) <= limit {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// Columns a terminal gives to `text`: Chinese, Japanese, Korean and full-width characters take two.
pub(super) fn width(text: &str) -> usize {
    let wide = |c: char| {
        matches!(c, '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{303e}' | '\u{3041}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}'
            | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}' | '\u{20000}'..='\u{3fffd}')
    };
    text.chars().map(|c| if wide(c) { 2 } else { 1 }).sum()
}
