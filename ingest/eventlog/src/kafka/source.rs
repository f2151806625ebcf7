//! Topics as a source.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use event::Stream;
use parking_lot::RwLock;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::config::{Context, KafkaConfig, REQUEST};
use super::describe::{Described, describe};
use super::reading::{Polled, Reading, STATISTICS_MS};
use crate::error::Result;
use crate::{Error, LogIds, Partition, Position, Segment, Source};

/// Ids and partitions are looked at this often: a topic made anew is noticed and a new partition read within this time, for
/// one small request a second.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A read of what the brokers say is there gives up after this. A broker that restarts is back sooner.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request that a broker could not answer yet is tried again after this.
const RETRY: Duration = Duration::from_millis(50);

/// While nothing comes, ends are looked at this often.
const IDLE: Duration = Duration::from_millis(100);

/// Bytes fetched ahead of reading. A fetch brings 50 MB at most, so that memory stays below 128 MB.
const FETCHED_AHEAD_KB: usize = 64 << 10;

/// The group's name in the consumer's settings. It is never joined and nothing is committed to it.
const GROUP: &str = "hexiao-reader";

/// Reads the topics of all streams, or some of their partitions, from where it is told.
///
/// A topic that is deleted and created again is an error, but not at once: messages of the new one may be handed out for up
/// to a second (`LOOK_EVERY`) if it is already longer than what was read of the old one.
pub struct KafkaSource {
    config: KafkaConfig,
    consumer: Parting,
    ids: LogIds,
    only: Option<BTreeSet<Partition>>,
    partitions: RwLock<BTreeSet<Partition>>,
    reading: Mutex<(Reading, Instant)>,
}

type Inner = StreamConsumer<Context>;

/// A consumer whose end, which blocks, holds nobody up.
struct Parting(Option<Arc<Inner>>);

impl Deref for Parting {
    type Target = Arc<Inner>;
    fn deref(&self) -> &Arc<Inner> {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl Drop for Parting {
    fn drop(&mut self) {
        let consumer = self.0.take();
        std::thread::spawn(move || drop(consumer));
    }
}

impl std::fmt::Debug for KafkaSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaSource").field("brokers", &self.config.brokers).field("ids", &self.ids).finish_non_exhaustive()
    }
}

impl KafkaSource {
    /// Connects to the topics of every stream and reads all their partitions and those that come; or to the topics of the
    /// partitions `only`, and reads these.
    ///
    /// # Errors
    /// [`Error::NoTopic`] if one is missing, [`Error::Kafka`] if the brokers can't be reached.
    pub async fn open(config: KafkaConfig, only: Option<BTreeSet<Partition>>) -> Result<Self> {
        let mut client = config.client();
        client.set("group.id", GROUP);
        client.set("enable.auto.commit", "false").set("enable.auto.offset.store", "false");
        // The default goes on at the log's end when retention has passed an offset, and says nothing.
        client.set("auto.offset.reset", "error");
        client.set("isolation.level", "read_committed");
        // How long fetching pauses once enough is fetched ahead: the default of 1,000 ms starves a reader that is quick.
        client.set("fetch.queue.backoff.ms", "20").set("fetch.error.backoff.ms", "100");
        client.set("queued.max.messages.kbytes", FETCHED_AHEAD_KB.to_string());
        client.set("statistics.interval.ms", STATISTICS_MS.to_string());
        let made = client.create_with_context(Context::new()).map_err(failed("set up a Kafka consumer"))?;
        let consumer = Parting(Some(Arc::new(made)));
        let topics = topics(&config, &consumer, only.as_ref()).await?;
        let ids = LogIds(topics.iter().map(|(stream, topic)| (Some(*stream), topic.id.clone())).collect());
        let partitions = RwLock::new(partitions(&topics, only.as_ref()));
        let reading = Mutex::new((Reading::default(), Instant::now()));
        Ok(KafkaSource { config, consumer, ids, only, partitions, reading })
    }

    /// A partition by its topic's name and its number, if it is one of ours.
    fn partition(&self, topic: &str, number: i32) -> Option<Partition> {
        let stream = topic.strip_prefix(&self.config.prefix)?.parse().ok()?;
        Some(Partition::of(stream, number)).filter(|partition| self.partitions.read().contains(partition))
    }

    /// `position` of our partitions, each of them.
    fn ours(&self, position: &Position) -> Position {
        Position(self.partitions.read().iter().map(|partition| (*partition, position.next(*partition))).collect())
    }

    fn list(&self, offset: impl Fn(Partition) -> Offset) -> Result<TopicPartitionList> {
        let partitions = self.partitions.read();
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in &*partitions {
            let Some(stream) = partition.stream else { continue };
            let topic = self.config.topic(stream);
            list.add_partition_offset(&topic, partition.number, offset(*partition)).map_err(failed("name an offset"))?;
        }
        Ok(list)
    }

    /// Each partition's beginning or end.
    async fn offsets(&self, which: Offset) -> Result<Position> {
        let began = Instant::now();
        loop {
            match self.try_offsets(which).await {
                Err(Error::Kafka { source, .. }) if passes(&source) && began.elapsed() < REQUEST => {
                    tokio::time::sleep(RETRY).await;
                }
                outcome => return outcome,
            }
        }
    }

    /// The same, in one request per broker.
    async fn try_offsets(&self, which: Offset) -> Result<Position> {
        let list = self.list(|_| which)?;
        if list.count() == 0 {
            return Ok(Position::default());
        }
        let consumer = self.consumer.clone();
        // Beginning and end are special times to the request for offsets.
        let found = blocking(move || consumer.offsets_for_times(list, REQUEST)).await?.map_err(failed("ask for offsets"))?;
        let mut position = Position::default();
        for element in found.elements() {
            let (topic, number) = (element.topic().to_owned(), element.partition());
            element.error().map_err(failed(&format!("ask for offsets of {topic}/{number}")))?;
            if let (Some(partition), Offset::Offset(offset)) = (self.partition(&topic, number), element.offset()) {
                position.advance(partition, offset);
            }
        }
        Ok(position)
    }

    /// Looks whether the topics are still those that were opened, and for new partitions.
    async fn look(&self, reading: &mut Reading) -> Result<()> {
        let topics = topics(&self.config, &self.consumer, self.only.as_ref()).await?;
        for (stream, topic) in &topics {
            let expected = &self.ids.0[&Some(*stream)];
            if topic.id != *expected {
                reading.positioned = false;
                let (topic, found, expected) = (topic.name.clone(), topic.id.clone(), expected.clone());
                return Err(Error::OtherTopic { topic, expected, found });
            }
        }
        let partitions = partitions(&topics, self.only.as_ref());
        if *self.partitions.read() != partitions {
            tracing::info!(partitions = partitions.len(), "The topics have other partitions than before");
            *self.partitions.write() = partitions;
            reading.positioned = false;
        }
        Ok(())
    }

    /// Stands at `from`, with messages of what follows to come.
    async fn stand_at(&self, reading: &mut Reading, looked: &mut Instant, from: &Position) -> Result<()> {
        if looked.elapsed() >= LOOK_EVERY {
            self.look(reading).await?;
            *looked = Instant::now();
        }
        let from = self.ours(from);
        if reading.positioned && self.ours(&reading.at) == from {
            return Ok(());
        }
        // If this is not finished it begins again.
        reading.positioned = false;
        self.within(&from).await?;
        let list = self.list(|partition| Offset::Offset(from.next(partition)))?;
        // A word to librdkafka's own thread and back, microseconds: on another thread it could outlive this future and land
        // after a later one.
        self.consumer.assign(&list).map_err(failed("go to an offset"))?;
        reading.begin(from, self.consumer.client().context().created.elapsed());
        Ok(())
    }

    /// Refuses a position that lies before or behind what the topics hold.
    async fn within(&self, from: &Position) -> Result<()> {
        let (start, end) = (self.offsets(Offset::Beginning).await?, self.offsets(Offset::End).await?);
        for (partition, from) in &from.0 {
            let (partition, from) = (*partition, *from);
            let (pruned_to, end) = (start.next(partition), end.next(partition));
            let log = partition.stream.map(|s| format!("partition {} of {}", partition.number, self.config.topic(s)));
            let log = log.unwrap_or_else(|| partition.log());
            if from < pruned_to {
                return Err(Error::Pruned { log, partition, from, pruned_to });
            }
            if from > end {
                return Err(Error::Ahead { log, partition, from, end });
            }
        }
        Ok(())
    }

    /// Takes in hand what the consumer gave. What went wrong for good is an error; what passes by itself is returned.
    async fn note(&self, reading: &mut Reading, polled: Polled<'_>) -> Result<Option<KafkaError>> {
        use RDKafkaErrorCode as Code;
        let error = match polled {
            Ok(message) => {
                if let Some(partition) = self.partition(message.topic(), message.partition()) {
                    reading.note(partition, &message);
                }
                return Ok(None);
            }
            Err(error) => error,
        };
        match error.rdkafka_error_code() {
            // Which partition it is the error doesn't tell; the offsets do.
            Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => {
                reading.positioned = false;
                let at = self.ours(&reading.at);
                self.within(&at).await?;
                Err(failed("read the log")(error))
            }
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition) => {
                self.look(reading).await?;
                Ok(Some(error))
            }
            _ if matches!(error, KafkaError::MessageConsumptionFatal(_)) => Err(failed("read the log")(error)),
            Some(Code::TopicAuthorizationFailed | Code::GroupAuthorizationFailed | Code::Authentication) => {
                Err(failed("read the log")(error))
            }
            // Brokers go and come back; librdkafka reconnects.
            _ => {
                tracing::debug!(%error, "Reading the log goes on after an error");
                Ok(Some(error))
            }
        }
    }

    /// What has come, without waiting.
    async fn collect(&self, reading: &mut Reading, max_bytes: usize) -> Result<()> {
        let mut messages = self.consumer.stream();
        while reading.bytes < max_bytes {
            match next_now(&mut messages) {
                Some(polled) => drop(self.note(reading, polled).await?),
                None => break,
            }
        }
        Ok(())
    }

    /// Waits for a message, or for the word that none is to come below an end. Returns what went wrong meanwhile.
    async fn come(&self, reading: &mut Reading, patience: Duration) -> Result<Option<KafkaError>> {
        use futures::StreamExt;
        let (mut messages, began, mut error) = (self.consumer.stream(), Instant::now(), None);
        while reading.is_empty() && began.elapsed() < patience {
            let ends = self.consumer.client().context().ends.lock().clone();
            match timeout(IDLE, messages.next()).await {
                Ok(Some(polled)) => error = self.note(reading, polled).await?.or(error),
                Ok(None) => break,
                // Everything that had come when the ends were taken has been noted.
                Err(_) => {
                    let beyond = reading.beyond(&ends, |topic, number| self.partition(topic, number));
                    beyond.into_iter().for_each(|(partition, end)| reading.note_end(partition, end));
                }
            }
        }
        Ok(error)
    }
}

#[async_trait]
impl Source for KafkaSource {
    fn log_ids(&self) -> &LogIds {
        &self.ids
    }

    async fn start(&self) -> Result<Position> {
        self.offsets(Offset::Beginning).await
    }

    async fn end(&self) -> Result<Position> {
        self.offsets(Offset::End).await
    }

    async fn read(&self, from: &Position, max_bytes: usize) -> Result<Vec<Segment>> {
        let (reading, looked) = &mut *self.reading.lock().await;
        self.stand_at(reading, looked, from).await?;
        self.collect(reading, max_bytes.max(1)).await?;
        if reading.is_empty() && !self.ours(&reading.at).covers(&self.end().await?) {
            let error = self.come(reading, PATIENCE).await?;
            if reading.is_empty() {
                let error = error.unwrap_or(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut));
                return Err(failed("read the log")(error));
            }
            self.collect(reading, max_bytes).await?;
        }
        Ok(reading.hand_out())
    }

    async fn wait(&self, from: &Position) -> Result<()> {
        loop {
            let (reading, looked) = &mut *self.reading.lock().await;
            self.stand_at(reading, looked, from).await?;
            self.come(reading, LOOK_EVERY).await?;
            if !reading.is_empty() {
                return Ok(());
            }
        }
    }

    /// Does nothing: how long messages stay is the topics' retention.
    async fn prune(&self, _: &Position) -> Result<bool> {
        Ok(false)
    }
}

/// Whether a request for offsets may find its broker a moment later: partitions change hands when brokers come and go, and
/// a new one has no leader at first.
fn passes(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{
        BrokerTransportFailure, FencedLeaderEpoch, LeaderNotAvailable, NotLeaderForPartition, OffsetNotAvailable,
        ReplicaNotAvailable, UnknownLeaderEpoch,
    };
    matches!(
        error.rdkafka_error_code(),
        Some(
            BrokerTransportFailure
                | FencedLeaderEpoch
                | LeaderNotAvailable
                | NotLeaderForPartition
                | OffsetNotAvailable
                | ReplicaNotAvailable
                | UnknownLeaderEpoch
        )
    )
}

/// The next message if it is there already.
fn next_now<'a>(messages: &mut (impl futures::Stream<Item = Polled<'a>> + Unpin)) -> Option<Polled<'a>> {
    let mut task = std::task::Context::from_waker(std::task::Waker::noop());
    match Pin::new(messages).poll_next(&mut task) {
        std::task::Poll::Ready(polled) => polled,
        std::task::Poll::Pending => None,
    }
}

/// The topics as the brokers know them: of every stream, or of those that have partitions in `only`.
async fn topics(
    config: &KafkaConfig,
    consumer: &Arc<Inner>,
    only: Option<&BTreeSet<Partition>>,
) -> Result<BTreeMap<Stream, Described>> {
    let read = |stream: &Stream| only.is_none_or(|only| only.iter().any(|partition| partition.stream == Some(*stream)));
    let streams: Vec<Stream> = Stream::ALL.into_iter().filter(read).collect();
    if streams.is_empty() {
        return Ok(BTreeMap::new());
    }
    let names: Vec<String> = streams.iter().map(|stream| config.topic(*stream)).collect();
    let consumer = consumer.clone();
    let described = {
        let names = names.clone();
        blocking(move || describe(consumer.client(), &names, REQUEST)).await?.map_err(failed("ask for the topics"))?
    };
    let mut topics: BTreeMap<String, Described> = described.into_iter().map(|topic| (topic.name.clone(), topic)).collect();
    let found = |(stream, name): (Stream, String)| match topics.remove(&name) {
        Some(topic) if topic.id.trim_matches('A').is_empty() => Err(Error::NoTopicId { topic: name }),
        Some(topic) => Ok((stream, topic)),
        None => Err(Error::NoTopic { topic: name }),
    };
    streams.into_iter().zip(names).map(found).collect()
}

fn partitions(topics: &BTreeMap<Stream, Described>, only: Option<&BTreeSet<Partition>>) -> BTreeSet<Partition> {
    let all = topics.iter().flat_map(|(stream, topic)| (0..topic.partitions).map(|number| Partition::of(*stream, number)));
    all.filter(|partition| only.is_none_or(|only| only.contains(partition))).collect()
}

/// Runs blocking work off the async threads.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Stopped("reading the log"))
}

/// Names the attempt when Kafka fails.
pub(crate) fn failed(attempt: &str) -> impl Fn(KafkaError) -> Error + '_ {
    move |source| Error::Kafka { attempt: attempt.to_owned(), source }
}
