//! `hexiao topics`: the log's topics on Kafka.

use event::Stream;
use eventlog::kafka::{Difference, Topic, create_topics};

use super::Done;
use crate::config::Setup;
use crate::folder::check_readable;
use crate::kafka;

/// What to do with them.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Create those that are missing, and say where the others are set otherwise than the config wants. Nothing that exists
    /// is changed.
    Create,
    /// Go on without what is lost: a stream's partitions whose messages were deleted before they were in the lake, and a topic
    /// that was made anew. `docs/kafka.md` says what to try first.
    AcceptLoss {
        /// The stream.
        stream: Stream,
    },
}

/// Does it.
pub async fn run(setup: &Setup, command: Command) -> Done {
    let log = setup.kafka("topics")?;
    match command {
        Command::Create => {
            let topics = create_topics(&log.kafka, &log.topics).await.map_err(|e| kafka::unopened(&log.kafka, e))?;
            let lines: String = topics.iter().map(|topic| told(topic, log.topics.partitions)).collect();
            super::write(lines.as_bytes())
        }
        Command::AcceptLoss { stream } => {
            check_readable(&setup.data)?;
            // The same words for topics that can't be reached.
            drop(kafka::open(&log.kafka).await?);
            let accepted = ingest::accept_loss(&setup.data.join("lake"), log.kafka.clone(), stream).await?;
            let moved = |a: &ingest::Accepted| {
                let from = a.from.map_or_else(|| "another topic".to_owned(), |from| from.to_string());
                format!("{} of the table {} goes on at {} instead of {from}\n", a.partition.log(), a.table, a.to)
            };
            let lines: String = accepted.iter().map(moved).collect();
            let nothing = "nothing is lost: every partition can be read on\n";
            super::write(if lines.is_empty() { nothing } else { &lines }.as_bytes())
        }
    }
}

fn told(topic: &Topic, partitions: i32) -> String {
    let name = &topic.name;
    match topic.created {
        true => format!("created {name} with {partitions} partitions\n"),
        false if topic.differences.is_empty() => format!("{name} is there\n"),
        false => {
            let differ = |d: &Difference| format!("{name} is there, with {} = {} instead of {}\n", d.setting, d.found, d.wanted);
            topic.differences.iter().map(differ).collect()
        }
    }
}
