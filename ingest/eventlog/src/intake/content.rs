//! Whether two rows say the same: a fingerprint of a row's fields, apart from its place in the log.

use std::hash::BuildHasher;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, SchemaRef, TimestampMicrosecondType,
};
use hashbrown::DefaultHashBuilder;

/// Fields that belong to the copy, not to the event; `month` follows from the event and is in no file.
const PLACE: [&str; 4] = ["recorded_at", "log_partition", "log_offset", "month"];

/// Makes fingerprints that compare within this process: the hash is seeded at random, so that nobody can prepare two
/// contents that agree. They are compared only between rows of one identity, where 64 bits leave a chance of 2^-64.
#[derive(Debug, Default)]
pub(super) struct Prints(DefaultHashBuilder);

impl Prints {
    /// One fingerprint per row of `batch`, whose columns are found by their name in `schema`. A column that an older file
    /// lacks counts as null.
    pub(super) fn of(&self, schema: &SchemaRef, batch: &RecordBatch) -> Result<Vec<u64>, arrow::error::ArrowError> {
        let mut prints = vec![0u64; batch.num_rows()];
        for (index, field) in schema.fields().iter().enumerate() {
            if PLACE.contains(&field.name().as_str()) {
                continue;
            }
            let Some(column) = batch.column_by_name(field.name()) else { continue };
            let cast;
            let column = if column.data_type().equals_datatype(field.data_type()) {
                column
            } else {
                cast = arrow::compute::cast(column, field.data_type())?;
                &cast
            };
            self.mix(index, column.as_ref(), &mut prints);
        }
        Ok(prints)
    }

    fn mix(&self, index: usize, column: &dyn Array, prints: &mut [u64]) {
        macro_rules! numbers {
            ($type:ty, $value:ident => $bits:expr) => {{
                let column = column.as_primitive::<$type>();
                self.each(index, column.iter().map(|v| v.map(|$value| $bits)), prints)
            }};
        }
        match column.data_type() {
            DataType::Int8 => numbers!(Int8Type, v => v as i64),
            DataType::Int16 => numbers!(Int16Type, v => v as i64),
            DataType::Int32 => numbers!(Int32Type, v => v as i64),
            DataType::Int64 => numbers!(Int64Type, v => v),
            DataType::Date32 => numbers!(Date32Type, v => v as i64),
            DataType::Timestamp(..) => numbers!(TimestampMicrosecondType, v => v),
            DataType::Float64 => numbers!(Float64Type, v => v.to_bits()),
            DataType::Boolean => self.each(index, column.as_boolean().iter(), prints),
            DataType::Utf8 => self.each(index, column.as_string::<i32>().iter(), prints),
            DataType::List(item) if *item.data_type() == DataType::Int32 => {
                let list = column.as_list::<i32>();
                let values = |v: arrow::array::ArrayRef| v.as_primitive::<Int32Type>().iter().collect::<Vec<_>>();
                self.each(index, list.iter().map(|v| v.map(values)), prints)
            }
            DataType::List(_) => {
                let list = column.as_list::<i32>();
                let values =
                    |v: arrow::array::ArrayRef| v.as_string::<i32>().iter().map(|s| s.map(str::to_owned)).collect::<Vec<_>>();
                self.each(index, list.iter().map(|v| v.map(values)), prints)
            }
            other => unreachable!("the contract has no fields of type {other}"),
        }
    }

    fn each<T: std::hash::Hash>(&self, index: usize, values: impl Iterator<Item = Option<T>>, prints: &mut [u64]) {
        for (print, value) in prints.iter_mut().zip(values) {
            if let Some(value) = value {
                *print = self.0.hash_one((*print, index as u32, value));
            }
        }
    }
}
