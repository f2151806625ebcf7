//! How files of the lake are laid out, by what was measured: see the engine's notes on "what the layout is worth".

use arrow::datatypes::{DataType, SchemaRef};
use event::{Stream, Table};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

/// Row groups of 128k rows: 16k make scans a quarter slower, 1M make look-ups 1.7 times slower.
const ROW_GROUP_ROWS: usize = 128 << 10;

/// One look-up in a hundred opens a row group in vain; the filters cost 2 bytes a row.
const BLOOM_FPP: f64 = 0.01;

/// The schema of a table's files: its own without the partition column, which stands in their path.
pub(crate) fn file_schema(table: Table) -> SchemaRef {
    let schema = table.schema();
    if !table.partitioned() {
        return schema;
    }
    let columns: Vec<usize> = (0..schema.fields().len() - 1).collect();
    schema.project(&columns).expect("all but the last column").into()
}

/// Writer properties for a file of `rows` rows: sorted by (store, time), zstd 1 (as small as 3), ids and times as packed
/// differences (27.8 → 23.1 B a row and less work), dictionaries for the rest, a page index, Bloom filters where point
/// look-ups go.
pub(crate) fn writer_properties(table: Table, rows: usize) -> WriterProperties {
    let schema = file_schema(table);
    // Every field has one leaf, lists too, so a field's index is its leaf's.
    let sorting = table.sort_columns().iter().map(|name| SortingColumn {
        column_idx: schema.index_of(name).expect("sort columns are in the schema") as i32,
        descending: false,
        nulls_first: false,
    });
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).expect("1 is a level")))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_sorting_columns(Some(sorting.collect()));
    for field in schema.fields() {
        let packed = matches!(field.data_type(), DataType::Int64 | DataType::Timestamp(..)) && !field.name().ends_with("_fen");
        if packed {
            let path = ColumnPath::from(field.name().as_str());
            properties = properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
        }
    }
    for name in lookup_columns(table) {
        let path = ColumnPath::from(*name);
        properties = properties
            .set_column_bloom_filter_enabled(path.clone(), true)
            .set_column_bloom_filter_fpp(path.clone(), BLOOM_FPP)
            .set_column_bloom_filter_max_ndv(path, rows.clamp(1, ROW_GROUP_ROWS) as u64);
    }
    properties.build()
}

/// The columns whose smallest and largest value stand in the log beside each file, so that readers leave files out: all of
/// them would make every commit and every opening of the table slower.
pub(crate) fn statistics_columns(table: Table) -> Vec<&'static str> {
    let mut columns = match table {
        Table::Events(_) => vec!["event_id", "occurred_at", "business_day", "recorded_at", "log_offset"],
        Table::DeadLetters => vec!["recorded_at", "log_offset"],
    };
    columns.extend(table.sort_columns().iter().filter(|name| !columns.contains(name)).collect::<Vec<_>>());
    columns
}

fn lookup_columns(table: Table) -> &'static [&'static str] {
    match table {
        Table::Events(stream) => Stream::lookup_columns(stream),
        Table::DeadLetters => &[],
    }
}
