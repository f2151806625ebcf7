//! Creating the log's topics, and saying where existing ones are set otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use event::Stream;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::config::{Context, KafkaConfig, REQUEST};
use super::describe::{Described, describe};
use super::source::{blocking, failed};
use crate::Error;
use crate::error::Result;

/// What a topic takes: 12 MiB, a message of 10 MB with room for its batch.
const MESSAGE_BYTES: usize = 12 << 20;

/// How the topics are to be.
#[derive(Clone, Copy, Debug)]
pub struct TopicSettings {
    /// Partitions of a stream's topic: the most processes that can share the reading of it. More than are needed today:
    /// adding some later moves keys, which needs a log that was read to its end.
    pub partitions: i32,
    /// Brokers that hold each partition; -1 for the brokers' default.
    pub replication: i32,
    /// How long messages stay. The catalog's stay for ever: its versions are history.
    pub retention: Retention,
}

/// How long messages stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// So long.
    For(Duration),
    /// They are never deleted.
    Ever,
}

impl Default for TopicSettings {
    /// 12 partitions divide evenly among 1, 2, 3, 4 or 6 processes. 7 days outlast a long weekend without ingest.
    fn default() -> Self {
        TopicSettings { partitions: 12, replication: -1, retention: Retention::For(Duration::from_secs(7 * 86_400)) }
    }
}

/// A topic as it stands after creating.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Whether it was made now.
    pub created: bool,
    /// Where it is set otherwise than asked for. Nothing was changed.
    pub differences: Vec<Difference>,
}

/// A setting of a topic that is not as asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its name; `partitions`, or as Kafka names it.
    pub setting: String,
    /// How it is.
    pub found: String,
    /// How it should be.
    pub wanted: String,
}

impl TopicSettings {
    /// Kafka's settings of a stream's topic.
    fn of(&self, stream: Stream) -> BTreeMap<&'static str, String> {
        let retention_ms = match self.retention {
            Retention::For(time) if stream != Stream::Catalog => time.as_millis().to_string(),
            _ => "-1".to_owned(),
        };
        BTreeMap::from([
            // Never compacted: every version counts.
            ("cleanup.policy", "delete".to_owned()),
            // As the producer sends them: ours compress with zstd, and the brokers need not do it again.
            ("compression.type", "producer".to_owned()),
            // An event has 1 MiB at most, and with its batch around it that is more than the brokers' default. What is far too
            // large is kept as a dead letter: refused, it would hold up a producer that has nobody to tell.
            ("max.message.bytes", MESSAGE_BYTES.to_string()),
            // By the time the producer says, imported history would be deleted as old at once.
            ("message.timestamp.type", "LogAppendTime".to_owned()),
            ("retention.bytes", "-1".to_owned()),
            ("retention.ms", retention_ms),
        ])
    }
}

/// Creates the topics of all streams that are missing, and compares those that exist. Returns once the brokers know them.
///
/// # Errors
/// [`Error::Kafka`] if the brokers can't be reached or refuse.
pub async fn create_topics(config: &KafkaConfig, settings: &TopicSettings) -> Result<Vec<Topic>> {
    let admin = AdminClient::from_config_and_context(&config.client(), Context::new());
    let admin = Arc::new(admin.map_err(failed("set up a Kafka client"))?);
    let options = AdminOptions::new().request_timeout(Some(REQUEST)).operation_timeout(Some(REQUEST));
    let wanted = Stream::ALL.map(|stream| (config.topic(stream), settings.of(stream)));
    let new = wanted.iter().map(|(name, wanted)| {
        let new = NewTopic::new(name, settings.partitions, TopicReplication::Fixed(settings.replication));
        wanted.iter().fold(new, |new, (key, value)| new.set(key, value))
    });
    let new: Vec<NewTopic<'_>> = new.collect();
    let mut created = BTreeSet::new();
    for answer in admin.create_topics(&new, &options).await.map_err(failed("create the topics"))? {
        match answer {
            Ok(name) => drop(created.insert(name)),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => return Err(failed(&format!("create the topic {name}"))(KafkaError::AdminOp(code))),
        }
    }
    let described = known(&admin, wanted.each_ref().map(|(name, _)| name.clone())).await?;
    let resources: Vec<_> = wanted.iter().map(|(name, _)| ResourceSpecifier::Topic(name)).collect();
    let found = admin.describe_configs(&resources, &options).await.map_err(failed("look at the topics' settings"))?;
    let mut topics = Vec::new();
    for ((name, wanted), found) in wanted.into_iter().zip(found) {
        let attempt = format!("look at the settings of {name}");
        let found = found.map_err(|code| failed(&attempt)(KafkaError::AdminOp(code)))?;
        let mut differences = Vec::new();
        let mut compare = |setting: &str, found: String, wanted: String| {
            if found != wanted {
                differences.push(Difference { setting: setting.to_owned(), found, wanted });
            }
        };
        compare("partitions", described[&name].partitions.to_string(), settings.partitions.to_string());
        for (setting, wanted) in wanted {
            let found = found.get(setting).and_then(|entry| entry.value.clone());
            compare(setting, found.unwrap_or_default(), wanted);
        }
        topics.push(Topic { created: created.contains(&name), name, differences });
    }
    Ok(topics)
}

/// The topics of these names, once the brokers know all of them: a topic is created by the controller, and the others hear
/// of it a little later.
async fn known<const N: usize>(admin: &Arc<AdminClient<Context>>, names: [String; N]) -> Result<BTreeMap<String, Described>> {
    let began = Instant::now();
    loop {
        let (client, asked) = (admin.clone(), names.clone());
        let described = blocking(move || describe(client.inner(), &asked, REQUEST)).await?;
        let described = described.map_err(failed("ask for the topics"))?;
        let described: BTreeMap<String, Described> = described.into_iter().map(|topic| (topic.name.clone(), topic)).collect();
        match names.iter().find(|name| !described.contains_key(*name)) {
            None => return Ok(described),
            Some(topic) if began.elapsed() > REQUEST => return Err(Error::NoTopic { topic: topic.clone() }),
            Some(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
