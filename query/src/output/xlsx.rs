//! A workbook: the rows on one sheet, typed, and what is known about the answer on a second one.
//!
//! Rows go to a temporary file as they come, so a million of them take no memory. Text stays text whatever it begins with,
//! and so do whole numbers that a spreadsheet would round. Spreadsheets know no time zones: instants are on the chain's wall
//! clock and their heading names it.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Date32Type, SchemaRef};
use bytes::Bytes;
use chrono::Offset;
use chrono::TimeZone;
use rust_xlsxwriter::{DocProperties, ExcelDateTime, Format, FormatAlign, FormatBorder, Formula, Workbook, Worksheet, XlsxError};

use super::columns::{Column, Kind, Sum, columns};
use super::{Fault, cells, html, table, words};
use crate::answer::{About, Presentation};
use crate::view::Freshness;

/// What a sheet takes, less the heading and the totals.
pub(super) const ROWS_LIMIT: u64 = (1 << 20) - 2;
/// What a cell takes, in UTF-16 units; longer text is cut and ends in `…`.
const TEXT_LIMIT: usize = 32_767;
/// Whole numbers beyond it lose digits in a spreadsheet, which keeps 15.
const WHOLE_LIMIT: u128 = 999_999_999_999_999;
/// Rows from which the widths of the columns are taken: widths must be known before the rows are written.
const WIDTH_ROWS: usize = 200;
const WIDTHS: std::ops::RangeInclusive<usize> = 6..=48;
/// Days from 1899-12-30, where spreadsheets start counting, to 1970-01-01.
const EPOCH: f64 = 25_569.0;
/// 1900-03-01: before it spreadsheets count a day that never was.
const FIRST_DAY: f64 = 61.0;

pub(super) struct Xlsx {
    columns: Vec<Column>,
    sums: Vec<Option<Sum>>,
    shown: Presentation,
    freshness: Freshness,
    about: Option<About>,
    book: Workbook,
    formats: Formats,
    rows: u32,
}

struct Formats {
    heading: Format,
    figures: [Format; 2],
    by_kind: Vec<Format>,
    totals: Vec<Format>,
}

impl Xlsx {
    pub fn new(schema: &SchemaRef, shown: &Presentation, freshness: &Freshness, asked: Option<About>) -> Result<Self, Fault> {
        let columns = columns(schema, shown);
        let mut book = Workbook::new();
        let mut about = DocProperties::new().set_title(words::title(shown)).set_author("Hexiao");
        if let Some(at) = freshness.as_of {
            // The same answer is the same file.
            about = about.set_creation_datetime(&ExcelDateTime::from_timestamp(at.to_utc().timestamp())?);
        }
        book.set_properties(&about);
        let wrapped = Format::new().set_text_wrap().set_align(FormatAlign::Top);
        let formats = Formats {
            heading: wrapped.clone().set_bold().set_border_bottom(FormatBorder::Medium),
            figures: [Format::new().set_bold(), wrapped],
            by_kind: columns.iter().map(|c| number_format(c.kind)).collect(),
            totals: columns.iter().map(|c| number_format(c.kind).set_bold().set_border_top(FormatBorder::Medium)).collect(),
        };
        let sums = columns.iter().map(Sum::of).collect();
        let mut xlsx =
            Xlsx { columns, sums, shown: shown.clone(), freshness: freshness.clone(), about: asked, book, formats, rows: 0 };
        xlsx.head()?;
        Ok(xlsx)
    }

    fn head(&mut self) -> Result<(), XlsxError> {
        let sheet = self.book.add_worksheet_with_constant_memory()?;
        sheet
            .set_name(self.shown.language.pick("Rows", "数据"))?
            .set_freeze_panes(1, 0)?
            .set_landscape()
            .set_repeat_rows(0, 0)?;
        sheet.set_print_fit_to_pages(1, 0).set_paper_size(A4);
        for (i, column) in self.columns.iter().enumerate() {
            let heading = match column.kind {
                Kind::Instant => self.shown.language.with_unit(&column.heading, self.shown.zone.name()),
                _ => column.heading.clone(),
            };
            sheet.write_string_with_format(0, i as u16, heading, &self.formats.heading)?;
        }
        Ok(())
    }

    pub fn batch(&mut self, batch: &RecordBatch) -> Result<(), Fault> {
        if self.rows == 0 {
            self.widths(batch)?;
        }
        let sheet = self.book.worksheet_from_index(0)?;
        for row in 0..batch.num_rows() {
            self.rows += 1;
            for (i, values) in batch.columns().iter().enumerate() {
                let column = &self.columns[i];
                if let Some(sum) = &mut self.sums[i] {
                    sum.add(column, values, row);
                }
                write(sheet, (self.rows, i as u16), column, values, row, &self.formats.by_kind[i], &self.shown)?;
            }
        }
        Ok(())
    }

    /// As wide as the first rows and the longest word of the heading need.
    fn widths(&mut self, batch: &RecordBatch) -> Result<(), XlsxError> {
        let sheet = self.book.worksheet_from_index(0)?;
        for (i, (column, values)) in self.columns.iter().zip(batch.columns()).enumerate() {
            let cell = |row: usize| {
                let mut text = String::new();
                column.write(values, row, &mut text);
                table::width(&text)
            };
            let widest = (0..batch.num_rows().min(WIDTH_ROWS)).map(cell).max().unwrap_or(0);
            let heading =
                column.heading.split_whitespace().map(table::width).max().unwrap_or(0).max(table::width(&column.heading) / 3);
            // A sum is longer than what it adds up by a few digits.
            let widest = if column.kind == Kind::Instant { 19 } else { widest + if column.adds_up { 3 } else { 0 } };
            sheet.set_column_width(i as u16, (widest.max(heading) + 2).clamp(*WIDTHS.start(), *WIDTHS.end()) as f64)?;
        }
        Ok(())
    }

    pub fn end(mut self) -> Result<Bytes, Fault> {
        let (rows, last) = (self.rows, self.columns.len().saturating_sub(1) as u16);
        let sheet = self.book.worksheet_from_index(0)?;
        if rows > 0 {
            sheet.autofilter(0, 0, rows, last)?;
        }
        if rows > 1 && self.sums.iter().any(Option::is_some) {
            for (i, (column, sum)) in self.columns.iter().zip(&self.sums).enumerate() {
                let (at, format) = ((rows + 1, i as u16), &self.formats.totals[i]);
                match sum {
                    Some(Sum::Whole(n)) if n.unsigned_abs() > WHOLE_LIMIT => {
                        sheet.write_string_with_format(at.0, at.1, result(&Sum::Whole(*n), column), format)?
                    }
                    // 109 leaves out rows that a filter hides: the total is of what is seen.
                    Some(sum) => {
                        let name = rust_xlsxwriter::utility::column_number_to_name(i as u16);
                        let formula =
                            Formula::new(format!("=SUBTOTAL(109,{name}2:{name}{})", rows + 1)).set_result(result(sum, column));
                        sheet.write_formula_with_format(at.0, at.1, formula, format)?
                    }
                    None if i == 0 => {
                        sheet.write_string_with_format(at.0, at.1, self.shown.language.pick("total", "合计"), format)?
                    }
                    None => sheet.write_blank(at.0, at.1, format)?,
                };
            }
        }
        self.about()?;
        Ok(self.book.save_to_buffer()?.into())
    }

    /// The second sheet: facts, definitions, and each column's name in CSV and SQL.
    fn about(&mut self) -> Result<(), XlsxError> {
        let language = self.shown.language;
        let mut lines = words::facts(&self.freshness, self.about.as_ref(), &self.shown, self.rows as usize);
        lines.insert(0, (language.pick("Title", "标题").to_owned(), words::title(&self.shown)));
        lines.extend(self.shown.doc.lines().map(|line| (language.pick("Definition", "定义").to_owned(), line.to_owned())));
        lines.extend(self.columns.iter().map(|c| (format!("{} {}", language.pick("Column", "列"), c.name), c.heading.clone())));
        let [label, value] = &self.formats.figures;
        let sheet = self.book.add_worksheet();
        sheet.set_name(language.pick("About", "说明"))?.set_column_width(0, 32)?.set_column_width(1, 100)?;
        sheet.set_paper_size(A4).set_print_fit_to_pages(1, 0);
        for (i, (name, text)) in lines.iter().enumerate() {
            sheet.write_string_with_format(i as u32, 0, name, label)?.write_string_with_format(i as u32, 1, cut(text), value)?;
        }
        Ok(())
    }
}

/// The paper's number in the format.
const A4: u8 = 9;

fn number_format(kind: Kind) -> Format {
    let format = Format::new();
    match kind {
        Kind::Money => format.set_num_format("#,##0.00"),
        Kind::Whole => format.set_num_format("0"),
        Kind::Fraction => format.set_num_format("0.000"),
        Kind::Day => format.set_num_format("yyyy-mm-dd"),
        Kind::Instant => format.set_num_format("yyyy-mm-dd hh:mm:ss"),
        // Text, so that nothing is guessed when somebody edits the cell.
        Kind::Id | Kind::Text => format.set_num_format("@"),
        Kind::Flag => format,
    }
}

fn write(
    sheet: &mut Worksheet,
    (at, i): (u32, u16),
    column: &Column,
    values: &ArrayRef,
    row: usize,
    format: &Format,
    shown: &Presentation,
) -> Result<(), XlsxError> {
    if values.is_null(row) {
        return Ok(());
    }
    let number = match column.kind {
        Kind::Money => cells::fen(values, row).filter(|fen| fen.unsigned_abs() <= WHOLE_LIMIT).map(|fen| fen as f64 / 100.0),
        Kind::Whole => cells::whole(values, row).filter(|n| n.unsigned_abs() <= WHOLE_LIMIT).map(|n| n as f64),
        Kind::Fraction => match cells::fraction(values, row) {
            Some(n) if n.is_finite() => Some(n),
            _ => return Ok(()),
        },
        Kind::Day => Some(f64::from(values.as_primitive::<Date32Type>().value(row)) + EPOCH).filter(|day| *day >= FIRST_DAY),
        Kind::Instant => html::instant(values, row).map(|at| {
            let offset = shown.zone.offset_from_utc_datetime(&at.to_utc().naive_utc()).fix().local_minus_utc();
            (at.0 as f64 / 1e6 + f64::from(offset)) / 86_400.0 + EPOCH
        }),
        Kind::Flag if values.data_type() == &DataType::Boolean => {
            sheet.write_boolean(at, i, values.as_boolean().value(row))?;
            return Ok(());
        }
        _ => None,
    };
    match number {
        Some(number) => sheet.write_number_with_format(at, i, number, format)?,
        None => {
            let mut text = String::new();
            column.write(values, row, &mut text);
            sheet.write_string_with_format(at, i, cut(&text), format)?
        }
    };
    Ok(())
}

/// A total as the file keeps it for who does not compute formulas.
fn result(sum: &Sum, column: &Column) -> String {
    match sum {
        Sum::Whole(fen) if column.kind == Kind::Money => cells::yuan(*fen),
        Sum::Whole(n) => n.to_string(),
        Sum::Fraction(n) => n.to_string(),
    }
}

fn cut(text: &str) -> String {
    if text.encode_utf16().count() <= TEXT_LIMIT {
        return text.to_owned();
    }
    let mut left = TEXT_LIMIT - 1;
    let fits = |c: &char| {
        left = left.saturating_sub(c.len_utf16());
        left > 0
    };
    text.chars().take_while(fits).collect::<String>() + "…"
}
