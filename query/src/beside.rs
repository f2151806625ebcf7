//! Two answers of one report side by side, row by row: another period, or what was known before.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Float64Array, Int64Array, RecordBatch, StringViewArray, UInt32Array,
    new_null_array,
};
use arrow::compute::kernels::zip::zip;
use arrow::compute::kernels::{cmp, numeric};
use arrow::compute::{cast, concat, filter_record_batch, interleave, is_null, take};
use arrow::datatypes::{DataType, Date32Type, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use event::Day;

use crate::source::Source;
use crate::{Error, Result};

/// Two answers beside each other.
pub(crate) struct Laid {
    /// For each figure x of this answer x, `{prefix}_x` and `change_x`; this answer's rows first.
    pub rows: RecordBatch,
    /// Which of them stand in both.
    matched: Matched,
}

/// Lays `that` beside `this`, by the columns that name a row. A row that one of them lacks is 0 there in the columns that add
/// up, and nothing in the others. `moved` says where a day among the names lies in this answer.
pub(crate) fn lay(
    source: &Source,
    this: &RecordBatch,
    that: &RecordBatch,
    prefix: &str,
    moved: impl Fn(Day) -> Day,
) -> Result<Laid> {
    let bad = |problem: String| Error::BadSource { file: format!("{}.sql", source.name), problem };
    let failed = |e: ArrowError| bad(e.to_string());
    let key: Vec<usize> = source
        .key
        .iter()
        .map(|name| this.schema().index_of(name).map_err(|_| bad(format!("its Key names `{name}`, which no column has"))))
        .collect::<Result<_>>()?;
    let that = shifted(that, &key, &moved).map_err(failed)?;
    let matched = matched(this, &that, &key).map_err(failed)?.map_err(|row| {
        let named: Vec<&str> = source.key.iter().map(String::as_str).collect();
        bad(format!("its Key ({}) does not name one row: row {row} has the name of another", named.join(", ")))
    })?;

    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for (at, field) in this.schema().fields().iter().enumerate() {
        let figure = !key.contains(&at) && field.data_type().is_numeric() && !field.name().ends_with("_id");
        let (a, b) = (this.column(at), that.column(at));
        if !figure {
            fields.push(Field::new(field.name(), field.data_type().clone(), true));
            columns.push(either(a, b, &matched).map_err(failed)?);
            continue;
        }
        let adds_up = source.additive.contains(field.name());
        let a = of_side(a, &matched.this, adds_up).map_err(failed)?;
        let b = of_side(b, &matched.that, adds_up).map_err(failed)?;
        let change = numeric::sub(&a, &b).map_err(failed)?;
        for (name, column) in
            [(field.name().clone(), a), (format!("{prefix}_{}", field.name()), b), (format!("change_{}", field.name()), change)]
        {
            fields.push(Field::new(name, column.data_type().clone(), true));
            columns.push(column);
        }
    }
    let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(failed)?;
    Ok(Laid { rows, matched })
}

/// The rows that only one answer has, or in which a figure differs; `status` says which: new, gone or changed.
pub(crate) fn restated(laid: &Laid, prefix: &str) -> Result<RecordBatch, ArrowError> {
    let Laid { rows, matched } = laid;
    let schema = rows.schema();
    let mut differs: Vec<bool> = (0..rows.num_rows()).map(|i| matched.this.is_null(i) || matched.that.is_null(i)).collect();
    for (now, field) in schema.fields().iter().enumerate() {
        let Ok(then) = schema.index_of(&format!("{prefix}_{}", field.name())) else { continue };
        let apart = cmp::distinct(rows.column(now), rows.column(then))?;
        differs.iter_mut().zip(apart.iter()).for_each(|(d, apart)| *d |= apart.unwrap_or(false));
    }
    let status = (0..rows.num_rows()).map(|i| match (matched.this.is_null(i), matched.that.is_null(i)) {
        (_, true) => "new",
        (true, _) => "gone",
        _ => "changed",
    });
    let status: ArrayRef = Arc::new(StringViewArray::from_iter_values(status));
    let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("status", DataType::Utf8View, false)));
    let columns = rows.columns().iter().cloned().chain([status]).collect();
    filter_record_batch(&RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?, &BooleanArray::from(differs))
}

/// The rows of the result: where each comes from on either side.
struct Matched {
    this: UInt32Array,
    that: UInt32Array,
}

/// Matches rows by name; `Err` with the row of a side whose name is not its own.
fn matched(this: &RecordBatch, that: &RecordBatch, key: &[usize]) -> Result<std::result::Result<Matched, usize>, ArrowError> {
    let sorts = key.iter().map(|at| SortField::new(this.column(*at).data_type().clone())).collect();
    let rows = RowConverter::new(sorts)?;
    let of = |batch: &RecordBatch| rows.convert_columns(&key.iter().map(|at| batch.column(*at).clone()).collect::<Vec<_>>());
    let (this_names, that_names) = (of(this)?, of(that)?);
    let mut by_name = HashMap::with_capacity(that.num_rows());
    for row in 0..that.num_rows() {
        if by_name.insert(that_names.row(row), row as u32).is_some() {
            return Ok(Err(row));
        }
    }
    let mut seen = std::collections::HashSet::with_capacity(this.num_rows());
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for row in 0..this.num_rows() {
        if !seen.insert(this_names.row(row)) {
            return Ok(Err(row));
        }
        left.push(Some(row as u32));
        right.push(by_name.get(&this_names.row(row)).copied());
    }
    for row in (0..that.num_rows()).filter(|row| !seen.contains(&that_names.row(*row))) {
        left.push(None);
        right.push(Some(row as u32));
    }
    Ok(Ok(Matched { this: left.into(), that: right.into() }))
}

fn shifted(batch: &RecordBatch, key: &[usize], moved: &impl Fn(Day) -> Day) -> Result<RecordBatch, ArrowError> {
    let mut columns = batch.columns().to_vec();
    for at in key.iter().filter(|at| batch.column(**at).data_type() == &DataType::Date32) {
        let days: Date32Array = batch.column(*at).as_primitive::<Date32Type>().unary(|day| moved(Day(day)).0);
        columns[*at] = Arc::new(days);
    }
    RecordBatch::try_new(batch.schema(), columns)
}

/// A column of one side in the rows of the result; whole numbers and fractions in their widest type. What adds up is 0 in a
/// row that is not there.
fn of_side(column: &ArrayRef, rows: &UInt32Array, adds_up: bool) -> Result<ArrayRef, ArrowError> {
    let column = match column.data_type() {
        t if t.is_integer() => cast(column, &DataType::Int64)?,
        t if t.is_floating() => cast(column, &DataType::Float64)?,
        _ => column.clone(),
    };
    let placed = match column.is_empty() {
        true => new_null_array(column.data_type(), rows.len()),
        false => take(&column, rows, None)?,
    };
    match placed.data_type() {
        DataType::Int64 if adds_up => zip(&is_null(rows)?, &Int64Array::new_scalar(0), &placed),
        DataType::Float64 if adds_up => zip(&is_null(rows)?, &Float64Array::new_scalar(0.0), &placed),
        _ => Ok(placed),
    }
}

/// This side's value where it has the row, else the other's.
fn either(this: &ArrayRef, that: &ArrayRef, rows: &Matched) -> Result<ArrayRef, ArrowError> {
    if rows.this.is_empty() {
        return Ok(new_null_array(this.data_type(), 0));
    }
    let from: Vec<(usize, usize)> = (0..rows.this.len())
        .map(|i| if rows.this.is_valid(i) { (0, rows.this.value(i) as usize) } else { (1, rows.that.value(i) as usize) })
        .collect();
    interleave(&[this, that], &from)
}

/// All rows as one batch.
pub(crate) fn whole(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<RecordBatch, ArrowError> {
    let columns = (0..schema.fields().len())
        .map(|at| {
            let parts: Vec<&dyn Array> = batches.iter().map(|b| b.column(at).as_ref()).collect();
            if parts.is_empty() { Ok(new_null_array(schema.field(at).data_type(), 0)) } else { concat(&parts) }
        })
        .collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(schema.clone(), columns)
}
