//! What can go wrong with a log.

use event::Instant;

use crate::Partition;

/// Why the log could not be written, read or understood.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The ledger's file did not do it.
    #[error("could not {attempt}")]
    Sqlite {
        /// What was attempted.
        attempt: &'static str,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The log was deleted up to beyond where it should be read from.
    #[error("{log} is needed from offset {from} and was pruned up to {pruned_to}")]
    Pruned {
        /// What people call the partition: `the log`, or topic and number.
        log: String,
        /// The partition.
        partition: Partition,
        /// Where reading should start.
        from: i64,
        /// The first offset that is left.
        pruned_to: i64,
    },
    /// The log ends before where it should be read from: it is not the log that was read.
    #[error("{log} is needed from offset {from} and ends at {end}")]
    Ahead {
        /// What people call the partition: `the log`, or topic and number.
        log: String,
        /// The partition.
        partition: Partition,
        /// Where reading should start.
        from: i64,
        /// The log's end.
        end: i64,
    },
    /// The log holds what no writer of ours writes.
    #[error("the log is damaged at offset {offset}: {what}")]
    Damaged {
        /// Offset of the segment.
        offset: i64,
        /// What is wrong.
        what: String,
    },
    /// A segment that the log does not take.
    #[error("a segment of {count} messages, recorded up to {recorded_at}, can't be appended: {what}")]
    Segment {
        /// Messages in it.
        count: u32,
        /// The log's last `recorded_at`.
        recorded_at: Instant,
        /// What is wrong.
        what: &'static str,
    },
    /// The brokers did not do it.
    #[error("could not {attempt}")]
    Kafka {
        /// What was attempted.
        attempt: String,
        /// What librdkafka says.
        source: rdkafka::error::KafkaError,
    },
    /// A topic is missing.
    #[error("there is no topic {topic}; create the topics first")]
    NoTopic {
        /// Its name.
        topic: String,
    },
    /// Brokers without topic ids can't be told that a topic was made anew.
    #[error("the brokers tell no id of the topic {topic}: Kafka 2.8 or newer is needed")]
    NoTopicId {
        /// Its name.
        topic: String,
    },
    /// A topic was deleted and created again since it was read.
    #[error("the topic {topic} was deleted and created again: {expected} was read, and now it is {found}")]
    OtherTopic {
        /// Its name.
        topic: String,
        /// The id that was read.
        expected: String,
        /// The id it has now.
        found: String,
    },
    /// Files of the lake could not be searched for known events.
    #[error("could not look for known events in {file}")]
    Lookup {
        /// The file.
        file: String,
        /// What the reader says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A worker of ours died.
    #[error("{0} stopped unexpectedly")]
    Stopped(&'static str),
}

/// What the log's functions return.
pub type Result<T> = std::result::Result<T, Error>;

/// Names the attempt when SQLite fails.
pub(crate) fn attempt(attempt: &'static str) -> impl FnOnce(rusqlite::Error) -> Error {
    move |source| Error::Sqlite { attempt, source }
}

/// An error and its sources, joined by `: `.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        // Some libraries repeat their source's text in their own.
        if !said.ends_with(&next) {
            said.push_str(": ");
            said.push_str(&next);
        }
        source = error.source();
    }
    said
}
