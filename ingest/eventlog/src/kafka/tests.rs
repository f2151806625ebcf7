//! The source against a real broker.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use event::Stream;
use expect_test::expect;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::FromClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::util::Timeout;
use rdkafka::{Offset, TopicPartitionList};

use super::broker::Broker;
use super::{KafkaConfig, KafkaSource, Retention, Sasl, SaslMechanism, Secret, Tls, TopicSettings, create_topics};
use crate::source_conformance::{self as conformance, Log};
use crate::{Error, Partition, Position, Source};

const ORDERS: Partition = Partition::of(Stream::Orders, 1);

/// Topics of two partitions; what is appended goes to the second.
struct Topics {
    config: KafkaConfig,
    source: KafkaSource,
    producer: FutureProducer,
}

async fn new() -> Topics {
    open(Broker::shared().topics(2).await).await
}

async fn open(config: KafkaConfig) -> Topics {
    let source = KafkaSource::open(config.clone(), None).await.unwrap();
    let producer = config.client().set("linger.ms", "0").set("message.max.bytes", "12000000").create().unwrap();
    Topics { config, source, producer }
}

async fn produce(producer: &FutureProducer, topic: &str, number: i32, message: Option<&[u8]>) -> i64 {
    let mut record = FutureRecord::<[u8], [u8]>::to(topic).partition(number);
    record.payload = message;
    producer.send(record, Timeout::Never).await.map_err(|(error, _)| error).unwrap().offset
}

impl Log for Topics {
    fn source(&self) -> &dyn Source {
        &self.source
    }

    async fn append(&mut self, stream: Stream, messages: &[&str]) -> Vec<(Partition, i64)> {
        let topic = self.config.topic(stream);
        let sent = messages.iter().map(|message| produce(&self.producer, &topic, 1, Some(message.as_bytes())));
        let offsets = futures::future::join_all(sent).await;
        offsets.into_iter().map(|offset| (Partition::of(stream, 1), offset)).collect()
    }

    async fn forget(&mut self, below: &Position) {
        let (admin, options) = admin(&self.config);
        let mut list = TopicPartitionList::new();
        for (partition, next) in &below.0 {
            let topic = self.config.topic(partition.stream.unwrap());
            list.add_partition_offset(&topic, partition.number, Offset::Offset(*next)).unwrap();
        }
        admin.delete_records(&list, &options).await.unwrap();
    }
}

fn admin(config: &KafkaConfig) -> (AdminClient<DefaultClientContext>, AdminOptions) {
    (AdminClient::from_config(&config.client()).unwrap(), AdminOptions::new())
}

/// Reads on to the end, as an ingest does; `offset=message` of everything that came.
async fn read_to_end(source: &KafkaSource, from: &mut Position) -> Vec<String> {
    let mut told = Vec::new();
    while !from.covers(&source.end().await.unwrap()) {
        for segment in source.read(from, 1 << 20).await.unwrap() {
            for (offset, _, message) in segment.messages().unwrap().iter() {
                told.push(format!("{offset}={}", String::from_utf8_lossy(message)));
            }
            from.advance(segment.partition, segment.next_offset);
        }
    }
    told
}

#[tokio::test]
async fn topics_are_a_source() {
    conformance::reads_what_was_appended(new().await).await;
    conformance::what_comes_while_it_is_read_comes_once_and_in_order(new().await).await;
    conformance::reading_beyond_the_end_is_an_error(new().await).await;
    conformance::what_is_pruned_is_an_error_and_not_a_gap(new().await).await;
    conformance::waiting_ends_when_something_comes(new().await).await;
    conformance::a_new_log_has_another_id(new().await, new().await).await;
}

#[tokio::test]
async fn errors_name_topic_and_partition() {
    let mut log = new().await;
    for _ in 0..3 {
        log.append(Stream::Orders, &["a"]).await;
    }
    let at = |next: i64| Position([(ORDERS, next)].into());
    let said = log.source.read(&at(4), 1).await.unwrap_err().to_string();
    let prefix = log.config.prefix.clone();
    expect!["partition 1 of orders is needed from offset 4 and ends at 3"].assert_eq(&said.replace(&prefix, ""));
    // Retention passes a reader that is on its way.
    let first = log.source.read(&at(0), 1).await.unwrap();
    assert_eq!(first[0].offsets(), 0..1);
    log.forget(&at(2)).await;
    let said = log.source.read(&at(0), 1).await.unwrap_err().to_string();
    expect!["partition 1 of orders is needed from offset 0 and was pruned up to 2"].assert_eq(&said.replace(&prefix, ""));
}

#[tokio::test]
async fn offsets_without_a_message_are_passed() {
    let mut log = new().await;
    let topic = log.config.topic(Stream::Orders);
    let mut from = Position::default();
    log.append(Stream::Orders, &["a"]).await;
    produce(&log.producer, &topic, 1, None).await;
    assert_eq!(read_to_end(&log.source, &mut from).await, ["0=a"]);
    assert_eq!(from.next(ORDERS), 2, "a tombstone is passed");
    let mut client = log.config.client();
    let transactional: FutureProducer = client.set("transactional.id", &topic).create().unwrap();
    let transactional = Arc::new(transactional);
    let blocking = |work: fn(&FutureProducer)| {
        let transactional = transactional.clone();
        async move { tokio::task::spawn_blocking(move || work(&transactional)).await.unwrap() }
    };
    blocking(|p| p.init_transactions(Timeout::Never).unwrap()).await;
    for (message, commits) in [("kept", true), ("rolled back", false)] {
        transactional.begin_transaction().unwrap();
        produce(&transactional, &topic, 1, Some(message.as_bytes())).await;
        match commits {
            true => blocking(|p| p.commit_transaction(Timeout::Never).unwrap()).await,
            false => blocking(|p| p.abort_transaction(Timeout::Never).unwrap()).await,
        }
    }
    // 2 is kept, 3 its marker; 4 was rolled back, 5 says so, and nothing follows.
    assert_eq!(read_to_end(&log.source, &mut from).await, ["2=kept"]);
    assert_eq!(from.next(ORDERS), 6);
    log.append(Stream::Orders, &["b"]).await;
    assert_eq!(read_to_end(&log.source, &mut from).await, ["6=b"]);
}

#[tokio::test]
async fn a_topic_made_anew_is_noticed() {
    let mut log = new().await;
    let offset = log.append(Stream::Orders, &["a"]).await[0].1;
    let mut from = Position::default();
    read_to_end(&log.source, &mut from).await;
    let (admin, options) = admin(&log.config);
    let topic = log.config.topic(Stream::Orders);
    admin.delete_topics(&[&topic], &options).await.unwrap().remove(0).unwrap();
    let settings = TopicSettings { partitions: 2, replication: 1, ..TopicSettings::default() };
    // A topic that is being deleted can't be created yet.
    while create_topics(&log.config, &settings).await.is_err() {}
    for _ in 0..=offset {
        log.append(Stream::Orders, &["other"]).await;
    }
    let noticed = async {
        loop {
            if let Err(error) = log.source.wait(&from).await {
                return error;
            }
        }
    };
    let error = tokio::time::timeout(Duration::from_secs(60), noticed).await.unwrap();
    assert!(matches!(error, Error::OtherTopic { .. }), "{error:?}");
    // It stays one.
    assert!(matches!(log.source.read(&from, 1).await, Err(Error::OtherTopic { .. })));
    let reopened = open(log.config.clone()).await;
    conformance::a_new_log_has_another_id(log, reopened).await;
}

#[tokio::test]
async fn new_partitions_are_read() {
    let log = new().await;
    let (admin, options) = admin(&log.config);
    let topic = log.config.topic(Stream::Members);
    let mut from = Position::default();
    assert!(read_to_end(&log.source, &mut from).await.is_empty());
    let added = admin.create_partitions([&NewPartitions::new(&topic, 4)], &options).await.unwrap();
    assert!(added[0].is_ok());
    // A producer hears of a partition when it asks for the topic: a new one does.
    let produced = async {
        let record = || FutureRecord::<[u8], [u8]>::to(&topic).partition(3).payload(b"a");
        while let Err((error, _)) = log.config.client().create::<FutureProducer>().unwrap().send(record(), Timeout::Never).await {
            assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::UnknownPartition));
        }
    };
    let read = async {
        log.source.wait(&from).await.unwrap();
        log.source.read(&from, 1 << 20).await.unwrap()
    };
    let both = tokio::time::timeout(Duration::from_secs(120), async { tokio::join!(read, produced) });
    let (segments, ()) = both.await.unwrap();
    assert_eq!((segments[0].partition, segments[0].offsets()), (Partition::of(Stream::Members, 3), 0..1));
    assert!(log.source.end().await.unwrap().0.contains_key(&Partition::of(Stream::Members, 2)));
}

#[tokio::test]
async fn some_partitions_are_read_alone() {
    let log = new().await;
    let topic = log.config.topic(Stream::Orders);
    let only = BTreeSet::from([ORDERS]);
    let source = KafkaSource::open(log.config.clone(), Some(only)).await.unwrap();
    for number in [0, 1] {
        produce(&log.producer, &topic, number, Some(format!("in {number}").as_bytes())).await;
    }
    let mut from = Position::default();
    assert_eq!(read_to_end(&source, &mut from).await, ["0=in 1"]);
    assert_eq!(source.end().await.unwrap(), Position([(ORDERS, 1)].into()));
}

#[tokio::test]
async fn a_message_of_ten_megabytes_arrives_whole() {
    let log = new().await;
    let mut from = Position::default();
    let topic = log.config.topic(Stream::Orders);
    produce(&log.producer, &topic, 1, Some(&vec![b'x'; 10_000_000])).await;
    produce(&log.producer, &topic, 1, Some(b"small")).await;
    let told = read_to_end(&log.source, &mut from).await;
    assert_eq!(told.iter().map(String::len).collect::<Vec<_>>(), [10_000_002, 7]);
}

#[tokio::test]
async fn how_old_what_waits_is() {
    let log = new().await;
    let (topic, partition) = (log.config.topic(Stream::Orders), Partition::of(Stream::Orders, 1));
    for message in [b"a", b"b", b"c"] {
        produce(&log.producer, &topic, 1, Some(message)).await;
    }
    let mut recorded = Vec::new();
    let all = log.source.read(&Position::default(), 1 << 20).await.unwrap();
    all[0].messages().unwrap().iter().for_each(|(_, at, _)| recorded.push(at));
    for (offset, recorded_at) in recorded.into_iter().enumerate() {
        let from = Position([(partition, offset as i64)].into());
        let first = super::first_recorded(&log.config, &from).await.unwrap();
        assert_eq!(first, [(partition, recorded_at)].into());
    }
}

#[tokio::test]
async fn topics_that_exist_are_left_and_compared() {
    let log = new().await;
    let same = TopicSettings { partitions: 2, replication: 1, ..TopicSettings::default() };
    let told = create_topics(&log.config, &same).await.unwrap();
    assert!(told.iter().all(|topic| !topic.created && topic.differences.is_empty()), "{told:?}");
    let other = TopicSettings { partitions: 3, retention: Retention::For(Duration::from_secs(3600)), ..same };
    let mut told: Vec<String> = Vec::new();
    for topic in create_topics(&log.config, &other).await.unwrap() {
        let name = topic.name.strip_prefix(&log.config.prefix).unwrap().to_owned();
        told.extend(topic.differences.iter().map(|d| format!("{name} {}: {} for {}", d.setting, d.found, d.wanted)));
    }
    let told: Vec<String> = told.into_iter().filter(|line| line.starts_with("orders") || line.starts_with("catalog")).collect();
    expect![[r#"
        orders partitions: 2 for 3
        orders retention.ms: 604800000 for 3600000
        catalog partitions: 2 for 3"#]]
    .assert_eq(&told.join("\n"));
    let missing = KafkaConfig { prefix: "missing.".to_owned(), ..log.config.clone() };
    let error = KafkaSource::open(missing, None).await.unwrap_err();
    expect!["there is no topic missing.orders; create the topics first"].assert_eq(&error.to_string());
}

#[tokio::test]
async fn who_logs_in_is_let_in() {
    let log = new().await;
    let [brokers, user, password] = Broker::shared().sasl();
    for mechanism in [SaslMechanism::Plain, SaslMechanism::ScramSha256] {
        let mut config = KafkaConfig { brokers: brokers.clone(), ..log.config.clone() };
        config.security.sasl = Some(Sasl { mechanism, user: user.clone(), password: Secret(password.clone()) });
        let source = KafkaSource::open(config.clone(), None).await.unwrap();
        assert!(read_to_end(&source, &mut Position::default()).await.is_empty());
    }
}

#[tokio::test]
async fn a_certificate_is_a_login() {
    let log = new().await;
    let [brokers, ca, certificate, key] = Broker::shared().tls();
    let mut config = KafkaConfig { brokers, ..log.config.clone() };
    let tls = Tls { ca_file: Some(ca.into()), ..Tls::default() };
    let with = Tls { certificate_file: Some(certificate.into()), key_file: Some(key.into()), ..tls.clone() };
    config.security.tls = Some(with.clone());
    let source = KafkaSource::open(config.clone(), None).await.unwrap();
    assert!(read_to_end(&source, &mut Position::default()).await.is_empty());
    // Neither a client that nobody vouches for nor a broker that our authority does not know.
    for tls in [tls, Tls { ca_file: None, ..with }] {
        config.security.tls = Some(tls);
        let refused = KafkaSource::open(config.clone(), None).await;
        assert!(matches!(refused, Err(Error::Kafka { .. })), "{refused:?}");
    }
}
