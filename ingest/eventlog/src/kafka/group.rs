//! Which partitions are this process's: a consumer group shares them out.
//!
//! The group decides who reads what and nothing else. Its member fetches nothing and commits nothing to Kafka: where to begin
//! stands in the lake, whose commits also fence off a process that has not heard yet that its share is another's.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use event::Stream;
use parking_lot::{Condvar, Mutex};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientConfig, TopicPartitionList};
use tokio::sync::watch;

use super::config::KafkaConfig;
use super::source::failed;
use crate::Partition;
use crate::error::Result;

/// A share is given up within this time, else it is taken away: the last commit takes a second or two.
const LET_GO: Duration = Duration::from_secs(20);

/// The group waits this long for a member to come back when shares change: longer than `LET_GO`.
const REJOIN_MS: &str = "60000";

/// New partitions are shared out within this time.
const METADATA_MS: &str = "10000";

/// How often the member looks whether it should leave.
const POLL: Duration = Duration::from_millis(100);

/// How a process takes part in a group.
#[derive(Clone, Debug)]
pub struct GroupConfig {
    /// Processes of one group share the partitions. The group's name on the brokers is the topics' prefix and this.
    pub name: String,
    /// A process that is silent for so long is taken for dead and its share goes to the others. Shorter moves on sooner,
    /// longer forgives pauses; brokers allow 6 s to 30 min.
    pub silent_for: Duration,
}

impl Default for GroupConfig {
    fn default() -> Self {
        GroupConfig { name: "ingest".to_owned(), silent_for: Duration::from_secs(10) }
    }
}

/// What of the log is this process's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Grows with each change.
    pub turn: u64,
    /// Its partitions; `None` while they are shared out anew: then nothing is this process's, and the others wait for it to
    /// let go ([`Membership::let_go`]).
    pub partitions: Option<BTreeSet<Partition>>,
}

/// A place in the group. Dropping it leaves the group.
#[derive(Debug)]
pub struct Membership {
    context: Arc<Context>,
}

#[derive(Debug)]
struct Context {
    prefix: String,
    share: watch::Sender<Share>,
    /// The turn up to which this process has let go.
    let_go: Mutex<u64>,
    lets_go: Condvar,
    leaving: AtomicBool,
    last_error: Mutex<Option<String>>,
}

impl Membership {
    /// Joins the group. Returns at once; shares come when the brokers can be reached.
    ///
    /// # Errors
    /// [`crate::Error::Kafka`] if the settings can't be used.
    pub fn join(config: &KafkaConfig, group: &GroupConfig) -> Result<Membership> {
        let context = Arc::new(Context {
            prefix: config.prefix.clone(),
            share: watch::Sender::default(),
            let_go: Mutex::default(),
            lets_go: Condvar::new(),
            leaving: AtomicBool::new(false),
            last_error: Mutex::default(),
        });
        let mut client: ClientConfig = config.client();
        client.set("group.id", format!("{}{}", config.prefix, group.name));
        client.set("enable.auto.commit", "false").set("enable.auto.offset.store", "false");
        // Neighbours stay together: who has a topic's partition 0 has that of every topic.
        client.set("partition.assignment.strategy", "range");
        client.set("session.timeout.ms", group.silent_for.as_millis().to_string());
        client.set("heartbeat.interval.ms", (group.silent_for.as_millis() / 4).max(1).to_string());
        client.set("max.poll.interval.ms", REJOIN_MS);
        client.set("topic.metadata.refresh.interval.ms", METADATA_MS);
        let made = client.create_with_context(Told(context.clone()));
        let consumer: BaseConsumer<Told> = made.map_err(failed("set up a Kafka consumer"))?;
        let topics = Stream::ALL.map(|stream| config.topic(stream));
        consumer.subscribe(&topics.each_ref().map(String::as_str)).map_err(failed("join the group"))?;
        let told = context.clone();
        std::thread::Builder::new()
            .name("kafka-group".to_owned())
            .spawn(move || attend(&consumer, &told))
            .map_err(|_| crate::Error::Stopped("joining the group"))?;
        Ok(Membership { context })
    }

    /// Shows this process's share.
    pub fn share(&self) -> watch::Receiver<Share> {
        self.context.share.subscribe()
    }

    /// Everything of turn `turn` and before is in nobody's hands here any more: others may begin with it.
    pub fn let_go(&self, turn: u64) {
        let mut let_go = self.context.let_go.lock();
        *let_go = (*let_go).max(turn);
        self.context.lets_go.notify_all();
    }

    /// While there is no share: what the brokers said last instead.
    pub fn last_error(&self) -> Option<String> {
        let waits = self.context.share.borrow().partitions.is_none();
        waits.then(|| self.context.last_error.lock().clone()).flatten()
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.context.leaving.store(true, Ordering::Relaxed);
        self.context.lets_go.notify_all();
    }
}

/// Polls until told to leave: that is when librdkafka tells of shares.
fn attend(consumer: &BaseConsumer<Told>, context: &Context) {
    while !context.leaving.load(Ordering::Relaxed) {
        if let Some(Err(error)) = consumer.poll(POLL) {
            tracing::debug!(%error, "The group said");
            *context.last_error.lock() = Some(error.to_string());
        }
    }
}

impl Context {
    fn share_out(&self, partitions: Option<BTreeSet<Partition>>) -> u64 {
        let mut turn = 0;
        self.share.send_modify(|share| {
            share.turn += 1;
            share.partitions = partitions;
            turn = share.turn;
        });
        turn
    }

    /// Blocks until everything before `turn` is let go.
    fn wait_for_release(&self, turn: u64) {
        let until = std::time::Instant::now() + LET_GO;
        let mut let_go = self.let_go.lock();
        while *let_go < turn && !self.leaving.load(Ordering::Relaxed) {
            // In steps: `leaving` is set without the lock.
            self.lets_go.wait_for(&mut let_go, POLL);
            if std::time::Instant::now() >= until {
                tracing::warn!("A share of the log was not let go in {} s; its commits are fenced off", LET_GO.as_secs());
                return;
            }
        }
    }
}

/// What librdkafka tells.
struct Told(Arc<Context>);

impl ClientContext for Told {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, "{reason}");
        *self.0.last_error.lock() = Some(format!("{error}: {reason}"));
    }
}

impl ConsumerContext for Told {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, what: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let answered = if what == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            let ours = list.elements().into_iter().filter_map(|element| {
                let stream = element.topic().strip_prefix(&self.0.prefix)?.parse().ok()?;
                Some(Partition::of(stream, element.partition()))
            });
            *self.0.last_error.lock() = None;
            self.0.share_out(Some(ours.collect()));
            // Nothing is fetched: an empty list takes the place of the share.
            consumer.assign(&TopicPartitionList::new())
        } else {
            let turn = self.0.share_out(None);
            self.0.wait_for_release(turn);
            consumer.unassign()
        };
        if let Err(error) = answered {
            tracing::warn!(%error, "The group could not be answered");
            *self.0.last_error.lock() = Some(error.to_string());
        }
    }
}
