//! One value as text.

use std::fmt::Write;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit,
    TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use event::{Day, Instant};

/// What a cell is, beyond its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Text,
    Whole,
    Fraction,
    Flag,
    Other,
}

pub(super) fn sort(data_type: &DataType) -> Sort {
    match data_type {
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => Sort::Text,
        DataType::Boolean => Sort::Flag,
        t if t.is_integer() || matches!(t, DataType::Decimal128(_, 0)) => Sort::Whole,
        t if t.is_floating() || matches!(t, DataType::Decimal128(..)) => Sort::Fraction,
        _ => Sort::Other,
    }
}

/// Whether the column is money in fen.
pub(crate) fn money(name: &str, data_type: &DataType) -> bool {
    name.ends_with("_fen") && data_type.is_numeric()
}

/// Whether the column holds 64-bit ids, which JavaScript and spreadsheets would round (R23).
pub(super) fn id(name: &str, data_type: &DataType) -> bool {
    (name == "id" || name.ends_with("_id")) && matches!(data_type, DataType::Int64 | DataType::UInt64)
}

/// A whole number, if the column is one.
pub(super) fn whole(column: &ArrayRef, row: usize) -> Option<i128> {
    if column.is_null(row) {
        return None;
    }
    Some(match column.data_type() {
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).into(),
        DataType::Int32 => column.as_primitive::<Int32Type>().value(row).into(),
        DataType::Int16 => column.as_primitive::<Int16Type>().value(row).into(),
        DataType::Int8 => column.as_primitive::<Int8Type>().value(row).into(),
        DataType::UInt64 => column.as_primitive::<UInt64Type>().value(row).into(),
        DataType::UInt32 => column.as_primitive::<UInt32Type>().value(row).into(),
        DataType::UInt16 => column.as_primitive::<UInt16Type>().value(row).into(),
        DataType::UInt8 => column.as_primitive::<UInt8Type>().value(row).into(),
        DataType::Decimal128(_, 0) => column.as_primitive::<Decimal128Type>().value(row),
        _ => return None,
    })
}

/// A fraction, if the column is one.
pub(super) fn fraction(column: &ArrayRef, row: usize) -> Option<f64> {
    if column.is_null(row) {
        return None;
    }
    match column.data_type() {
        DataType::Float64 => Some(column.as_primitive::<Float64Type>().value(row)),
        DataType::Float32 => Some(column.as_primitive::<Float32Type>().value(row).into()),
        DataType::Decimal128(_, scale) if *scale != 0 => {
            Some(column.as_primitive::<Decimal128Type>().value(row) as f64 / 10f64.powi((*scale).into()))
        }
        _ => None,
    }
}

/// Money in whole fen; fractions of a fen are rounded half away from zero, so that a reversal mirrors its original.
pub(super) fn fen(column: &ArrayRef, row: usize) -> Option<i128> {
    match column.data_type() {
        DataType::Decimal128(_, scale @ 1..) if column.is_valid(row) => {
            let (value, unit) = (column.as_primitive::<Decimal128Type>().value(row), 10i128.pow((*scale).unsigned_abs().into()));
            Some(value.signum() * ((value.abs() + unit / 2) / unit))
        }
        _ => whole(column, row).or_else(|| fraction(column, row).filter(|n| n.is_finite()).map(|n| n.round() as i128)),
    }
}

/// Text, if the column is text.
pub(super) fn text(column: &ArrayRef, row: usize) -> Option<&str> {
    if column.is_null(row) {
        return None;
    }
    match column.data_type() {
        DataType::Utf8View => Some(column.as_string_view().value(row)),
        DataType::Utf8 => Some(column.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => Some(column.as_string::<i64>().value(row)),
        _ => None,
    }
}

/// Any value as text; null is empty. Instants are RFC 3339, days ISO 8601, lists are joined by `; `.
pub(crate) fn write(column: &ArrayRef, row: usize, out: &mut String) {
    if column.is_null(row) {
        return;
    }
    match column.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let at = Instant(column.as_primitive::<TimestampMicrosecondType>().value(row));
            let _ = write!(out, "{at}");
        }
        DataType::Date32 => {
            let _ = write!(out, "{}", Day(column.as_primitive::<Date32Type>().value(row)));
        }
        DataType::List(_) => {
            let items = column.as_list::<i32>().value(row);
            for i in 0..items.len() {
                out.push_str(if i == 0 { "" } else { "; " });
                write(&items, i, out);
            }
        }
        _ => {
            if let Some(text) = text(column, row) {
                out.push_str(text);
            } else if let Some(n) = whole(column, row) {
                let _ = write!(out, "{n}");
            } else if let Some(n) = fraction(column, row).filter(|_| column.data_type().is_floating()) {
                let _ = write!(out, "{n}");
            } else if let Ok(formatter) = ArrayFormatter::try_new(column.as_ref(), &FormatOptions::default()) {
                let _ = write!(out, "{}", formatter.value(row));
            }
        }
    }
}

/// Fen as yuan with two decimals, exact.
pub(super) fn yuan(fen: i128) -> String {
    let sign = if fen < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", fen.unsigned_abs() / 100, fen.unsigned_abs() % 100)
}

/// A money cell in yuan.
pub(crate) fn write_yuan(column: &ArrayRef, row: usize, out: &mut String) {
    match fen(column, row) {
        Some(fen) => out.push_str(&yuan(fen)),
        None => write(column, row, out),
    }
}

/// The heading of a money column in yuan.
pub(super) fn in_yuan(name: &str) -> String {
    format!("{}_yuan", name.strip_suffix("_fen").unwrap_or(name))
}
