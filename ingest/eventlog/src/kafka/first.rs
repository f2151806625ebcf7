//! When the first message at or after an offset was recorded: how old what waits is.

use std::collections::BTreeMap;
use std::time::Instant as Moment;

use event::{Instant, Stream};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use super::config::{Context, KafkaConfig, REQUEST};
use super::source::{blocking, failed};
use crate::error::Result;
use crate::{Partition, Position};

/// When the first message that is left at or after each offset of `from` was recorded. Name only partitions that have one:
/// it waits ten seconds for what does not come, and leaves that out.
///
/// # Errors
/// [`crate::Error::Kafka`] if the settings can't be used.
pub async fn first_recorded(config: &KafkaConfig, from: &Position) -> Result<BTreeMap<Partition, Instant>> {
    let mut client = config.client();
    client.set("group.id", "hexiao-reader").set("enable.auto.commit", "false");
    // What retention has passed is not there to be asked about.
    client.set("auto.offset.reset", "earliest").set("isolation.level", "read_committed");
    // A message each is wanted, not all that follows.
    client.set("fetch.message.max.bytes", "1").set("queued.min.messages", "1");
    let consumer: BaseConsumer<Context> =
        client.create_with_context(Context::new()).map_err(failed("set up a Kafka consumer"))?;
    let mut list = TopicPartitionList::new();
    let mut asked: BTreeMap<(String, i32), Partition> = BTreeMap::new();
    for (partition, next) in &from.0 {
        let Some(topic) = partition.stream.map(|stream: Stream| config.topic(stream)) else { continue };
        list.add_partition_offset(&topic, partition.number, Offset::Offset(*next)).map_err(failed("name an offset"))?;
        asked.insert((topic, partition.number), *partition);
    }
    consumer.assign(&list).map_err(failed("go to an offset"))?;
    blocking(move || {
        let (began, mut found) = (Moment::now(), BTreeMap::new());
        while found.len() < asked.len() && began.elapsed() < REQUEST {
            let Some(Ok(message)) = consumer.poll(REQUEST.saturating_sub(began.elapsed())) else { continue };
            let partition = asked.get(&(message.topic().to_owned(), message.partition()));
            let (Some(partition), Some(ms)) = (partition, message.timestamp().to_millis()) else { continue };
            found.entry(*partition).or_insert(Instant(ms * 1_000));
            let mut done = TopicPartitionList::new();
            done.add_partition(message.topic(), message.partition());
            // It would only bring more of the same.
            let _ = consumer.pause(&done);
        }
        found
    })
    .await
}
