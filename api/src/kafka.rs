//! Kafka as commands use it: opened with errors that say what to do.

use std::collections::BTreeMap;

use event::Instant;
use eventlog::kafka::{KafkaConfig, KafkaSource};
use eventlog::{Partition, Position};

use crate::config::KafkaLog;

/// Why the topics can't be read.
#[derive(Debug, thiserror::Error)]
pub enum Unopened {
    /// A topic is missing.
    #[error("there is no topic {topic} at {brokers}: run `hexiao topics create`")]
    NoTopic {
        /// Its name.
        topic: String,
        /// Where.
        brokers: String,
    },
    /// The brokers are too old.
    #[error("the topics at {brokers} can't be told from new ones of the same names")]
    TooOld {
        /// Where.
        brokers: String,
        /// What is missing.
        source: eventlog::Error,
    },
    /// The brokers don't answer, or not to us.
    #[error(
        "Kafka at {brokers} does not answer; is it running, and are `log.brokers` and `log.security` right? HEXIAO_LOG=librdkafka=debug tells more"
    )]
    Silent {
        /// Where.
        brokers: String,
        /// What was attempted.
        source: eventlog::Error,
    },
    /// Lake and topics were reached, and can't be put together.
    #[error("the topics can't be followed")]
    Unfollowed {
        /// Why.
        source: query::Error,
    },
}

impl Unopened {
    /// Whether it stays so until somebody does something.
    pub fn stays(&self) -> bool {
        matches!(self, Unopened::NoTopic { .. } | Unopened::TooOld { .. })
    }
}

/// Opens the topics of every stream.
pub async fn open(config: &KafkaConfig) -> Result<KafkaSource, Unopened> {
    KafkaSource::open(config.clone(), None).await.map_err(|error| unopened(config, error))
}

/// What an error of the topics asks for.
pub fn unopened(config: &KafkaConfig, error: eventlog::Error) -> Unopened {
    let brokers = config.brokers.clone();
    match error {
        eventlog::Error::NoTopic { topic } => Unopened::NoTopic { topic, brokers },
        source @ eventlog::Error::NoTopicId { .. } => Unopened::TooOld { brokers, source },
        source => Unopened::Silent { brokers, source },
    }
}

/// When the first message that is not committed was recorded, of partitions with one.
pub async fn uncommitted_since(
    config: &KafkaConfig,
    committed: &Position,
    start: &Position,
    end: &Position,
) -> eventlog::Result<BTreeMap<Partition, Instant>> {
    let from = |partition: Partition| committed.next(partition).max(start.next(partition));
    let behind = end.0.iter().filter(|(partition, end)| from(**partition) < **end);
    let behind = Position(behind.map(|(partition, _)| (*partition, from(*partition))).collect());
    if behind.0.is_empty() {
        return Ok(BTreeMap::new());
    }
    eventlog::kafka::first_recorded(config, &behind).await
}

impl KafkaLog {
    /// How a process takes part in ingest.
    pub fn member(&self, ingest: ingest::IngestConfig) -> ingest::MemberConfig {
        ingest::MemberConfig { kafka: self.kafka.clone(), group: self.group.clone(), ingest }
    }
}
