//! A lake of one stream, written as ingest writes it: rows and the log's offset in one commit.

use std::collections::HashMap;
use std::path::Path;

use arrow::array::RecordBatch;
use deltalake_core::datafile::writer::{DeltaWriter, WriterConfig};
use deltalake_core::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties};
use deltalake_core::kernel::{Action, StructType, Transaction};
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::{DeltaTable, ensure_table_uri};
use event::Table;

/// Creates the table of `table` in `lake`, filled from the log `log_id`.
pub async fn create(lake: &Path, table: Table, log_id: &str) -> DeltaTable {
    let folder = lake.join(table.name());
    std::fs::create_dir_all(&folder).unwrap();
    let schema: StructType = table.schema().as_ref().try_into_kernel().unwrap();
    CreateBuilder::new()
        .with_location(ensure_table_uri(folder.to_string_lossy()).unwrap().to_string())
        .with_columns(schema.fields().cloned())
        .with_partition_columns(if table.partitioned() { vec!["month"] } else { vec![] })
        .with_save_mode(SaveMode::ErrorIfExists)
        .with_raise_if_key_not_exists(false)
        .with_configuration([("hexiao.log".to_owned(), Some(log_id.to_owned()))])
        .with_actions([Action::Txn(Transaction::new(eventlog::app_id(log_id, 0), 0))])
        .await
        .unwrap()
}

/// Commits `rows` with the offset they reach; returns the new version.
pub async fn commit(delta: &mut DeltaTable, table: Table, rows: &[RecordBatch], log_id: &str, next: i64) -> u64 {
    let partitions: Vec<String> = if table.partitioned() { vec!["month".to_owned()] } else { vec![] };
    let (indexed, columns) = deltalake_core::operations::get_num_idx_cols_and_stats_columns(
        Some(delta.snapshot().unwrap().table_config()),
        HashMap::new(),
    );
    let config = WriterConfig::new(table.schema(), partitions.clone(), None, None, None, indexed, columns);
    let mut writer = DeltaWriter::new(delta.object_store(), config);
    for batch in rows {
        writer.write(batch).await.unwrap();
    }
    let adds = writer.close().await.unwrap();
    let state = delta.snapshot().unwrap().clone();
    let properties = CommitProperties::default()
        .with_application_transactions(vec![Transaction::new(eventlog::app_id(log_id, 0), next)])
        .with_create_checkpoint(false)
        .with_cleanup_expired_logs(Some(false));
    let operation = DeltaOperation::Write { mode: SaveMode::Append, partition_by: Some(partitions), predicate: None };
    let commit = CommitBuilder::from(properties)
        .with_actions(adds.into_iter().map(Action::Add).collect())
        .build(Some(&state), delta.log_store(), operation)
        .await
        .unwrap();
    delta.update_incremental(None).await.unwrap();
    commit.version()
}
