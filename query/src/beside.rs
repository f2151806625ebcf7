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

/// Lays `that` beside `this`, by the columns that name a row: for each figure x of this one `{prefix}_x` and `change_x`, this
/// one's rows first. A row that one of them lacks counts as 0 in the columns that add up. `moved` says where a day among the
/// names lies in this answer.
pub(crate) fn lay(
    source: &Source,
    this: &RecordBatch,
    that: &RecordBatch,
    prefix: &str,
    moved: impl Fn(Day) -> Day,
) -> Result<RecordBatch> {
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
        let a = of_side(a, &matched.this).map_err(failed)?;
        let b = of_side(b, &matched.that).map_err(failed)?;
        let adds_up = source.additive.contains(field.name());
        let change = change(&a, &b, &matched, adds_up).map_err(failed)?;
        for (name, column) in
            [(field.name().clone(), a), (format!("{prefix}_{}", field.name()), b), (format!("change_{}", field.name()), change)]
        {
            fields.push(Field::new(name, column.data_type().clone(), true));
            columns.push(column);
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(failed)
}

/// Of rows that [`lay`] has laid beside each other, those with a figure that differs; `status` says how: new, gone, changed.
pub(crate) fn restated(laid: &RecordBatch, prefix: &str, key: &[String]) -> Result<RecordBatch, ArrowError> {
    let schema = laid.schema();
    let figures: Vec<(usize, usize)> = (0..schema.fields().len())
        .filter_map(|at| {
            let then = schema.index_of(&format!("{prefix}_{}", schema.field(at).name())).ok()?;
            (!key.contains(schema.field(at).name())).then_some((at, then))
        })
        .collect();
    let mut differs = vec![false; laid.num_rows()];
    for (now, then) in &figures {
        let apart = cmp::distinct(laid.column(*now), laid.column(*then))?;
        differs.iter_mut().zip(apart.iter()).for_each(|(d, apart)| *d |= apart.unwrap_or(false));
    }
    let none = |row: usize, of: &dyn Fn(&(usize, usize)) -> usize| figures.iter().all(|f| laid.column(of(f)).is_null(row));
    let status = (0..laid.num_rows()).map(|row| match (none(row, &|f| f.0), none(row, &|f| f.1)) {
        (_, true) => "new",
        (true, _) => "gone",
        _ => "changed",
    });
    let status: ArrayRef = Arc::new(StringViewArray::from_iter_values(status));
    let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("status", DataType::Utf8View, false)));
    let columns = laid.columns().iter().cloned().chain([status]).collect();
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

/// A column of one side in the rows of the result; whole numbers and fractions in their widest type.
fn of_side(column: &ArrayRef, rows: &UInt32Array) -> Result<ArrayRef, ArrowError> {
    let column = match column.data_type() {
        t if t.is_integer() => cast(column, &DataType::Int64)?,
        t if t.is_floating() => cast(column, &DataType::Float64)?,
        _ => column.clone(),
    };
    if column.is_empty() {
        return Ok(new_null_array(column.data_type(), rows.len()));
    }
    take(&column, rows, None)
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

fn change(a: &ArrayRef, b: &ArrayRef, rows: &Matched, adds_up: bool) -> Result<ArrayRef, ArrowError> {
    if !adds_up {
        return numeric::sub(a, b);
    }
    numeric::sub(&or_zero(a, &rows.this)?, &or_zero(b, &rows.that)?)
}

/// A row that is not there added nothing.
fn or_zero(column: &ArrayRef, rows: &UInt32Array) -> Result<ArrayRef, ArrowError> {
    let absent = is_null(rows)?;
    match column.data_type() {
        DataType::Int64 => zip(&absent, &Int64Array::new_scalar(0), column),
        DataType::Float64 => zip(&absent, &Float64Array::new_scalar(0.0), column),
        _ => Ok(column.clone()),
    }
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
