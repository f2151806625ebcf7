//! Going on after a loss: somebody decides that what the lake still needed of a partition is gone.
//!
//! A partition stops when retention has passed what was not read, or when its topic was made anew. Nothing skips that by
//! itself. This does, when asked: it moves the tables' offsets to what the log holds, in commits that say so.

use std::path::Path;
use std::sync::Arc;

use deltalake_core::kernel::Transaction;
use event::{Stream, Table};
use eventlog::kafka::{KafkaConfig, KafkaSource};
use eventlog::{Partition, Source};
use object_store::ObjectStore;
use tracing::warn;

use crate::durable::DurableFiles;
use crate::lake::LakeTable;
use crate::{Error, Result};

/// What was accepted as lost for a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The table.
    pub table: Table,
    /// The partition of the log.
    pub partition: Partition,
    /// The table held it up to here; `None` of a topic that was made anew.
    pub from: Option<i64>,
    /// It goes on from here.
    pub to: i64,
}

/// Lets the lake in the folder `lake` go on with the stream's topic as it is now: partitions that the lake is behind or ahead
/// of go on at the log's first or last offset, and a topic that was made anew from its beginning. Partitions that can be read
/// on are left alone. Running ingest processes go on by themselves within a minute.
///
/// # Errors
/// [`Error::Log`] if the topic can't be asked, [`Error::Open`] or [`Error::Commit`] for the lake.
pub async fn accept_loss(lake: &Path, kafka: KafkaConfig, stream: Stream) -> Result<Vec<Accepted>> {
    let dir = lake.canonicalize().map_err(|source| Error::Folder { path: lake.to_owned(), source })?;
    let store: Arc<dyn ObjectStore> = Arc::new(DurableFiles::default());
    let source = KafkaSource::open(kafka, None).await?;
    let (ids, start, end) = (source.log_ids().clone(), source.start().await?, source.end().await?);
    let mut accepted = Vec::new();
    // Letters first, as everywhere: a row's offset says that the letters below it are kept.
    for table in [Table::DeadLetters, Table::Events(stream)] {
        let Some(mut open) = LakeTable::open_for_maintenance(&store, table, &dir).await? else { continue };
        let id = ids.0[&Some(stream)].clone();
        open.rename_log(stream, id.clone()).await?;
        let (mut moves, mut told) = (Vec::new(), Vec::new());
        for (partition, end) in end.0.iter().filter(|(partition, _)| partition.stream == Some(stream)) {
            let (partition, start, end) = (*partition, start.next(*partition), *end);
            let from = open.offset_of(&id, partition).await?;
            let to = from.unwrap_or(0).clamp(start, end);
            if from != Some(to) {
                moves.push(Transaction::new(eventlog::app_id(&id, partition.number), to));
                told.push(Accepted { table, partition, from, to });
            }
        }
        if !moves.is_empty() {
            open.move_offsets(moves).await?;
            warn!(table = %table, moves = ?told, "Offsets of {table} were moved on request");
            accepted.extend(told);
        }
    }
    Ok(accepted)
}
