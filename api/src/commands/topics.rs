//! `hexiao topics`: the log's topics on Kafka.

use eventlog::kafka::{Topic, create_topics};

use super::Done;
use crate::config::Setup;
use crate::kafka;

/// What to do with them.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Create those that are missing, and say where the others are set otherwise than the config wants. Nothing that exists
    /// is changed.
    Create,
}

/// Does it.
pub async fn run(setup: &Setup, command: Command) -> Done {
    let log = setup.kafka("topics")?;
    match command {
        Command::Create => {
            let topics = create_topics(&log.kafka, &log.topics).await.map_err(|e| kafka::unopened(&log.kafka, e))?;
            topics.iter().for_each(|topic| print!("{}", told(topic, log.topics.partitions)));
            Ok(())
        }
    }
}

fn told(topic: &Topic, partitions: i32) -> String {
    let name = &topic.name;
    match topic.created {
        true => format!("created {name} with {partitions} partitions\n"),
        false if topic.differences.is_empty() => format!("{name} is there\n"),
        false => {
            let differ = |d: &eventlog::kafka::Difference| {
                format!("{name} is there; its {} is {}, not {}\n", d.setting, d.found, d.wanted)
            };
            topic.differences.iter().map(differ).collect()
        }
    }
}
