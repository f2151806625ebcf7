//! Tables of the lake, made the way ingest makes them: rows and offsets in one commit.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use deltalake_core::checkpoints::create_checkpoint;
use deltalake_core::datafile::writer::{DeltaWriter, WriterConfig};
use deltalake_core::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties};
use deltalake_core::kernel::{Action, Add, StructType, Transaction};
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::{DeltaTable, ensure_table_uri};
use event::Table;
use eventlog::{LogIds, Position};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// Creates the table of `table` in `lake`, filled from the log `log_id`.
pub async fn create(lake: &Path, table: Table, log_id: &str) -> DeltaTable {
    create_from(lake, table, &LogIds::single(log_id), &Position::single(0)).await
}

/// Commits `rows` with the offset they reach; returns the new version.
pub async fn commit(delta: &mut DeltaTable, table: Table, rows: &[RecordBatch], log_id: &str, next: i64) -> u64 {
    commit_upto(delta, table, rows, &LogIds::single(log_id), &Position::single(next)).await
}

/// Creates the table of `table` in `lake`, filled from the logs `ids` up to `start`.
pub async fn create_from(lake: &Path, table: Table, ids: &LogIds, start: &Position) -> DeltaTable {
    let folder = lake.join(table.name());
    std::fs::create_dir_all(&folder).unwrap();
    let schema: StructType = table.schema().as_ref().try_into_kernel().unwrap();
    let properties = ids.feeding(table);
    CreateBuilder::new()
        .with_location(ensure_table_uri(folder.to_string_lossy()).unwrap().to_string())
        .with_columns(schema.fields().cloned())
        .with_partition_columns(partition_by(table))
        .with_save_mode(SaveMode::ErrorIfExists)
        .with_raise_if_key_not_exists(false)
        .with_configuration(properties.properties().map(|(name, value)| (name, Some(value))))
        .with_actions(offsets(ids, start).into_iter().map(Action::Txn))
        .await
        .unwrap()
}

/// Commits `rows` with the offsets they reach; returns the new version.
pub async fn commit_upto(delta: &mut DeltaTable, table: Table, rows: &[RecordBatch], ids: &LogIds, upto: &Position) -> u64 {
    let adds = store(delta, table, rows).await.into_iter().map(Action::Add).collect();
    let operation = DeltaOperation::Write { mode: SaveMode::Append, partition_by: Some(partition_by(table)), predicate: None };
    land(delta, adds, offsets(ids, upto), operation).await
}

/// Merges the files of each month into one.
pub async fn merge(delta: &mut DeltaTable, table: Table, folder: &Path) -> u64 {
    let (mut rows, mut actions) = (Vec::new(), Vec::new());
    for file in delta.snapshot().unwrap().log_data() {
        let month = file.partition_values_map().remove("month").flatten();
        let open = File::open(folder.join(file.path().as_ref())).unwrap();
        for batch in ParquetRecordBatchReaderBuilder::try_new(open).unwrap().build().unwrap() {
            let batch = batch.unwrap();
            let months = month.iter().map(|m| Arc::new(StringArray::from(vec![m.as_str(); batch.num_rows()])) as ArrayRef);
            let columns = batch.columns().iter().cloned().chain(months).collect();
            rows.push(RecordBatch::try_new(table.schema(), columns).unwrap());
        }
        actions.push(Action::Remove(file.remove_action(false)));
    }
    let adds = store(delta, table, &rows).await;
    actions.extend(adds.into_iter().map(|add| Action::Add(Add { data_change: false, ..add })));
    land(delta, actions, Vec::new(), DeltaOperation::Optimize { predicate: None, target_size: 0 }).await
}

/// Leaves of the table's log only a checkpoint of what it stands at, and what comes after.
pub async fn clean_up(delta: &DeltaTable, folder: &Path) {
    create_checkpoint(delta, None).await.unwrap();
    for version in 0..delta.version().unwrap() {
        std::fs::remove_file(folder.join(format!("_delta_log/{version:020}.json"))).unwrap();
    }
}

fn partition_by(table: Table) -> Vec<String> {
    if table.partitioned() { vec!["month".to_owned()] } else { vec![] }
}

fn offsets(ids: &LogIds, upto: &Position) -> Vec<Transaction> {
    upto.0.iter().map(|(partition, next)| Transaction::new(ids.app_id(*partition).unwrap(), *next)).collect()
}

async fn store(delta: &DeltaTable, table: Table, rows: &[RecordBatch]) -> Vec<Add> {
    let (indexed, columns) = deltalake_core::operations::get_num_idx_cols_and_stats_columns(
        Some(delta.snapshot().unwrap().table_config()),
        HashMap::new(),
    );
    let config = WriterConfig::new(table.schema(), partition_by(table), None, None, None, indexed, columns);
    let mut writer = DeltaWriter::new(delta.object_store(), config);
    for batch in rows {
        writer.write(batch).await.unwrap();
    }
    writer.close().await.unwrap()
}

async fn land(delta: &mut DeltaTable, actions: Vec<Action>, offsets: Vec<Transaction>, operation: DeltaOperation) -> u64 {
    let state = delta.snapshot().unwrap().clone();
    let properties = CommitProperties::default()
        .with_application_transactions(offsets)
        .with_create_checkpoint(false)
        .with_cleanup_expired_logs(Some(false));
    let commit =
        CommitBuilder::from(properties).with_actions(actions).build(Some(&state), delta.log_store(), operation).await.unwrap();
    delta.update_incremental(None).await.unwrap();
    commit.version()
}
