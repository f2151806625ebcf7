//! A table for people: aligned columns, yuan with two decimals, a totals row where columns add up.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::cells::{self, Sort};
use crate::answer::Presentation;

/// Fractions show this many decimals: rates and averages differ in the first two or three.
const DECIMALS: usize = 3;

struct Column {
    heading: String,
    right: bool,
    money: bool,
    sum: Option<Sum>,
    cells: Vec<String>,
}

enum Sum {
    Whole(i128),
    Fraction(f64),
}

pub(super) fn render(schema: &SchemaRef, batches: &[RecordBatch], presentation: &Presentation) -> String {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let mut columns: Vec<Column> = schema
        .fields()
        .iter()
        .map(|f| {
            let (sort, money) = (cells::sort(f.data_type()), cells::money(f.name(), f.data_type()));
            let name = if money { cells::in_yuan(f.name()) } else { f.name().clone() };
            let adds_up = presentation.additive.contains(f.name()) && rows > 1;
            Column {
                heading: presentation.headings.get(f.name()).map_or(name.clone(), |h| format!("{name} ({h})")),
                right: matches!(sort, Sort::Whole | Sort::Fraction),
                money,
                sum: match sort {
                    Sort::Whole if adds_up => Some(Sum::Whole(0)),
                    Sort::Fraction if adds_up => Some(Sum::Fraction(0.0)),
                    _ => None,
                },
                cells: Vec::with_capacity(rows + 1),
            }
        })
        .collect();
    for batch in batches {
        for row in 0..batch.num_rows() {
            for (column, values) in columns.iter_mut().zip(batch.columns()) {
                let mut cell = String::new();
                if column.money {
                    cells::write_yuan(values, row, &mut cell);
                } else if let Some(n) = cells::fraction(values, row) {
                    cell = format!("{n:.DECIMALS$}");
                } else {
                    cells::write(values, row, &mut cell);
                }
                match &mut column.sum {
                    Some(Sum::Whole(sum)) => *sum += cells::whole(values, row).unwrap_or(0),
                    Some(Sum::Fraction(sum)) => *sum += cells::fraction(values, row).unwrap_or(0.0),
                    None => {}
                }
                column.cells.push(cell.replace(['\n', '\r', '\t'], " "));
            }
        }
    }
    let totals = columns.iter().any(|c| c.sum.is_some());
    if totals {
        for (i, column) in columns.iter_mut().enumerate() {
            column.cells.push(match &column.sum {
                Some(Sum::Whole(sum)) if column.money => cells::yuan(*sum),
                Some(Sum::Whole(sum)) => sum.to_string(),
                Some(Sum::Fraction(sum)) => format!("{sum:.DECIMALS$}"),
                None if i == 0 => "total".to_owned(),
                None => String::new(),
            });
        }
    }
    lay_out(&columns, rows, totals)
}

fn lay_out(columns: &[Column], rows: usize, totals: bool) -> String {
    let widths: Vec<usize> =
        columns.iter().map(|c| c.cells.iter().map(|s| width(s)).max().unwrap_or(0).max(width(&c.heading))).collect();
    let rule = || widths.iter().map(|w| "─".repeat(*w)).collect::<Vec<_>>().join("  ");
    let line = |cell: &dyn Fn(&Column) -> String| {
        let padded = columns.iter().zip(&widths).map(|(column, width_)| {
            let text = cell(column);
            let pad = " ".repeat(width_ - width(&text));
            if column.right { pad + &text } else { text + &pad }
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(&|c| c.heading.clone()), rule()];
    lines.extend((0..rows).map(|row| line(&|c| c.cells[row].clone())));
    if totals {
        lines.push(rule());
        lines.push(line(&|c| c.cells[rows].clone()));
    }
    let count = if rows == 1 { "1 row".to_owned() } else { format!("{rows} rows") };
    lines.push(count);
    lines.join("\n") + "\n"
}

/// Columns a terminal gives to `text`: Chinese, Japanese, Korean and full-width characters take two.
fn width(text: &str) -> usize {
    let wide = |c: char| {
        matches!(c, '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{303e}' | '\u{3041}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}'
            | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}' | '\u{20000}'..='\u{3fffd}')
    };
    text.chars().map(|c| if wide(c) { 2 } else { 1 }).sum()
}
