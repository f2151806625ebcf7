//! Rows into Parquet files: split by month, sorted, encoded, described.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, UInt32Array};
use arrow::compute::kernels::aggregate;
use arrow::compute::{SortOptions, concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Date32Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use bytes::Bytes;
use deltalake_core::kernel::Add;
use event::{Day, Instant, Table};
use parquet::arrow::ArrowWriter;
use serde_json::{Map, Value, json};

use crate::layout;

/// A file that is encoded and not yet stored.
#[derive(Debug)]
pub(crate) struct EncodedFile {
    pub(crate) add: Add,
    pub(crate) bytes: Bytes,
}

/// Why rows could not be encoded.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The rows of `batches` as files: one per month, each sorted by the table's columns.
pub(crate) fn encode(table: Table, batches: &[RecordBatch], now: Instant) -> Result<Vec<EncodedFile>, Failure> {
    let rows = concat_batches(&table.schema(), batches)?;
    let month = if table.partitioned() { &["month"][..] } else { &[] };
    let sorted = sort(&rows, &[month, table.sort_columns()].concat())?;
    drop(rows);
    months(table, &sorted)
        .into_iter()
        .map(|(month, start, len)| {
            let mut part = sorted.slice(start, len);
            if table.partitioned() {
                part.remove_column(part.num_columns() - 1);
            }
            encode_sorted(table, month, &[part], now)
        })
        .collect()
}

/// One file of rows that are sorted and of one month, without the month's column.
pub(crate) fn encode_sorted(
    table: Table,
    month: Option<String>,
    parts: &[RecordBatch],
    now: Instant,
) -> Result<EncodedFile, Failure> {
    let rows = parts.iter().map(RecordBatch::num_rows).sum();
    let properties = layout::writer_properties(table, rows);
    let mut writer = ArrowWriter::try_new(Vec::new(), layout::file_schema(table), Some(properties))?;
    for part in parts {
        writer.write(part)?;
    }
    let bytes = writer.into_inner()?;
    let mut name = [0u8; 16];
    getrandom::fill(&mut name)?;
    let name: String = name.iter().map(|b| format!("{b:02x}")).collect();
    let folder = month.as_ref().map(|m| format!("month={m}/")).unwrap_or_default();
    let add = Add {
        path: format!("{folder}part-{name}.zstd.parquet"),
        partition_values: month.into_iter().map(|m| ("month".to_owned(), Some(m))).collect::<HashMap<_, _>>(),
        size: bytes.len() as i64,
        modification_time: now.0 / 1_000,
        data_change: true,
        stats: Some(statistics(table, parts, rows).to_string()),
        ..Add::default()
    };
    Ok(EncodedFile { add, bytes: bytes.into() })
}

/// All rows, sorted by the named columns, nulls last, then as they come.
pub(crate) fn sort(rows: &RecordBatch, names: &[&str]) -> Result<RecordBatch, ArrowError> {
    let columns: Vec<&ArrayRef> = names.iter().map(|name| &rows[*name]).collect();
    take_record_batch(rows, &UInt32Array::from(order(&columns)?))
}

/// The numbers of the rows in the order of `columns`. Whole numbers sort several times as fast as texts or encoded rows: each
/// row becomes one, of its columns' ranks and its own number.
fn order(columns: &[&ArrayRef]) -> Result<Vec<u32>, ArrowError> {
    let rows = columns.first().map_or(0, |column| column.len());
    let mut keys = vec![0u128; rows];
    let mut bits = u32::BITS;
    for ranks in columns.iter().map(|column| Ranks::of(column)) {
        let Some(ranks) = ranks.filter(|ranks| bits + ranks.bits <= u128::BITS) else { return order_encoded(columns) };
        bits += ranks.bits;
        keys.iter_mut().zip(ranks.of_rows).for_each(|(key, rank)| *key = *key << ranks.bits | u128::from(rank));
    }
    keys.iter_mut().enumerate().for_each(|(row, key)| *key = *key << u32::BITS | row as u128);
    keys.sort_unstable();
    Ok(keys.into_iter().map(|key| key as u32).collect())
}

/// The same for columns whose ranks do not fit.
fn order_encoded(columns: &[&ArrayRef]) -> Result<Vec<u32>, ArrowError> {
    let nulls_last = SortOptions { descending: false, nulls_first: false };
    let fields = columns.iter().map(|c| SortField::new_with_options(c.data_type().clone(), nulls_last)).collect();
    let columns: Vec<ArrayRef> = columns.iter().map(|column| ArrayRef::clone(column)).collect();
    let keys = RowConverter::new(fields)?.convert_columns(&columns)?;
    let mut order: Vec<u32> = (0..columns[0].len() as u32).collect();
    order.sort_by(|a, b| keys.row(*a as usize).cmp(&keys.row(*b as usize)));
    Ok(order)
}

/// Numbers that are in the order of a column's values; nulls have the largest.
struct Ranks {
    of_rows: Vec<u64>,
    bits: u32,
}

impl Ranks {
    fn of(column: &ArrayRef) -> Option<Ranks> {
        match column.data_type() {
            DataType::Utf8 => Some(Self::of_texts(column.as_string())),
            DataType::Int64 => Self::of_numbers(column.as_primitive::<Int64Type>().iter()),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                Self::of_numbers(column.as_primitive::<TimestampMicrosecondType>().iter())
            }
            _ => None,
        }
    }

    /// `None` if they are spread over more than 2^63.
    fn of_numbers(values: impl Iterator<Item = Option<i64>> + Clone) -> Option<Ranks> {
        let (least, greatest) =
            values.clone().flatten().fold((i64::MAX, i64::MIN), |(least, greatest), v| (least.min(v), greatest.max(v)));
        let null = if least > greatest { 0 } else { u64::try_from(greatest.checked_sub(least)?).ok()? + 1 };
        let of_rows = values.map(|value| value.map_or(null, |v| (v - least) as u64)).collect();
        Some(Ranks { of_rows, bits: u64::BITS - null.leading_zeros() })
    }

    fn of_texts(values: &StringArray) -> Ranks {
        let mut seen: hashbrown::HashMap<&str, u64> = hashbrown::HashMap::new();
        let mut texts: Vec<&str> = Vec::new();
        // First in the order in which they come …
        let mut number = |text| {
            *seen.entry(text).or_insert_with(|| {
                texts.push(text);
                texts.len() as u64 - 1
            })
        };
        let mut of_rows: Vec<u64> = values.iter().map(|value| value.map_or(u64::MAX, &mut number)).collect();
        // … then in their own.
        let mut sorted: Vec<usize> = (0..texts.len()).collect();
        sorted.sort_unstable_by_key(|at| texts[*at]);
        let mut ranks = vec![0; texts.len()];
        sorted.into_iter().enumerate().for_each(|(rank, at)| ranks[at] = rank as u64);
        let null = texts.len() as u64;
        of_rows.iter_mut().for_each(|at| *at = ranks.get(*at as usize).copied().unwrap_or(null));
        Ranks { of_rows, bits: u64::BITS - null.leading_zeros() }
    }
}

/// The runs of one month: month, first row, number of rows.
fn months(table: Table, sorted: &RecordBatch) -> Vec<(Option<String>, usize, usize)> {
    if !table.partitioned() {
        return vec![(None, 0, sorted.num_rows())];
    }
    let months = sorted.column(sorted.num_columns() - 1).as_string::<i32>();
    let mut runs: Vec<(Option<String>, usize, usize)> = Vec::new();
    for row in 0..sorted.num_rows() {
        match runs.last_mut() {
            Some((Some(month), _, len)) if month == months.value(row) => *len += 1,
            _ => runs.push((Some(months.value(row).to_owned()), row, 1)),
        }
    }
    runs
}

/// Delta's statistics of a file. Times stand with all their microseconds: cut to milliseconds they would lie below the
/// largest.
fn statistics(table: Table, parts: &[RecordBatch], rows: usize) -> Value {
    let (mut least, mut greatest, mut nulls) = (Map::new(), Map::new(), Map::new());
    for name in layout::statistics_columns(table) {
        let columns = || parts.iter().filter_map(|part| part.column_by_name(name));
        nulls.insert(name.to_owned(), json!(columns().map(|c| c.null_count()).sum::<usize>()));
        for (values, bound) in [(&mut least, Bound::Least), (&mut greatest, Bound::Greatest)] {
            if let Some(value) = columns().filter_map(|c| bound.of(c)).reduce(|a, b| bound.choose(a, b)) {
                values.insert(name.to_owned(), value.told());
            }
        }
    }
    json!({ "numRecords": rows, "minValues": least, "maxValues": greatest, "nullCount": nulls })
}

#[derive(Clone, Copy)]
enum Bound {
    Least,
    Greatest,
}

/// A value of a column that has statistics.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Extreme {
    Int(i64),
    Time(i64),
    Day(i32),
    Text(String),
}

impl Bound {
    fn of(self, column: &ArrayRef) -> Option<Extreme> {
        macro_rules! number {
            ($type:ty) => {
                match self {
                    Bound::Least => aggregate::min(column.as_primitive::<$type>()),
                    Bound::Greatest => aggregate::max(column.as_primitive::<$type>()),
                }
            };
        }
        match column.data_type() {
            DataType::Int64 => number!(Int64Type).map(Extreme::Int),
            DataType::Int32 => number!(Int32Type).map(|v| Extreme::Int(v.into())),
            DataType::Timestamp(..) => number!(TimestampMicrosecondType).map(Extreme::Time),
            DataType::Date32 => number!(Date32Type).map(Extreme::Day),
            DataType::Utf8 => match self {
                Bound::Least => aggregate::min_string(column.as_string::<i32>()),
                Bound::Greatest => aggregate::max_string(column.as_string::<i32>()),
            }
            .map(|text| Extreme::Text(text.to_owned())),
            _ => None,
        }
    }

    fn choose(self, a: Extreme, b: Extreme) -> Extreme {
        match self {
            Bound::Least => a.min(b),
            Bound::Greatest => a.max(b),
        }
    }
}

impl Extreme {
    fn told(self) -> Value {
        match self {
            Extreme::Int(value) => json!(value),
            Extreme::Time(micros) => json!(Instant(micros).to_string()),
            Extreme::Day(day) => json!(Day(day).to_string()),
            Extreme::Text(text) => json!(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray, TimestampMicrosecondArray};

    use super::*;

    #[test]
    fn rows_sort_by_their_ranks_as_by_their_values() {
        let mut random = fastrand::Rng::with_seed(7);
        for round in 0..200 {
            let rows = random.usize(0..60);
            let spread = [3, 1_000, i64::MAX][round % 3];
            let mut number = || random.bool().then(|| random.i64(-spread..spread) / 2);
            let numbers: Vec<Option<i64>> = (0..2 * rows).map(|_| number()).collect();
            let texts = numbers[..rows].iter().map(|n| n.map(|n| format!("S{}", n % 7)));
            let columns: [ArrayRef; 3] = [
                Arc::new(StringArray::from_iter(texts)),
                Arc::new(TimestampMicrosecondArray::from(numbers[..rows].to_vec()).with_timezone("UTC")),
                Arc::new(Int64Array::from(numbers[rows..].to_vec())),
            ];
            let columns: Vec<&ArrayRef> = columns.iter().collect();
            assert_eq!(order(&columns).unwrap(), order_encoded(&columns).unwrap(), "{columns:?}");
            assert_eq!(order(&columns[..1]).unwrap(), order_encoded(&columns[..1]).unwrap(), "{columns:?}");
        }
    }
}
