//! Members of a group on a real Kafka: shares change hands, members die, partitions can't be read.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use event::{Stream, SystemClock, Table};
use eventlog::Partition;
use eventlog::kafka::{GroupConfig, KafkaConfig, TopicSettings, create_topics};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};

use super::REDEMPTIONS;
use super::kafka::Broker;
use super::world::{World, config, redeemed};
use crate::{IngestConfig, Member, MemberConfig, MemberStatus};

struct Log {
    kafka: KafkaConfig,
    producer: FutureProducer,
}

impl Log {
    fn new(kafka: KafkaConfig) -> Self {
        let mut client = ClientConfig::new();
        let producer = client.set("bootstrap.servers", &kafka.brokers).set("acks", "all").create().unwrap();
        Log { kafka, producer }
    }

    async fn send(&self, partition: i32, messages: &[String]) {
        let topic = self.kafka.topic(Stream::Redemptions);
        let send = |message| {
            let record = FutureRecord::<(), String>::to(&topic).partition(partition).payload(message);
            self.producer.send_result(record).unwrap()
        };
        for sent in messages.iter().map(send).collect::<Vec<_>>() {
            sent.await.unwrap().unwrap();
        }
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        ClientConfig::new().set("bootstrap.servers", &self.kafka.brokers).create().unwrap()
    }

    fn join(&self, world: &World) -> Member {
        let group = GroupConfig { silent_for: Duration::from_secs(2), ..GroupConfig::default() };
        let ingest = IngestConfig { commit_every: Duration::from_millis(100), ..config() };
        let lake = world.dir.path().join("lake");
        Member::join(lake, Arc::new(SystemClock), MemberConfig { kafka: self.kafka.clone(), group, ingest }).unwrap()
    }
}

/// Waits until `done` is true of the members.
async fn until<const N: usize>(members: [&Member; N], done: impl Fn([MemberStatus; N]) -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(90), async {
        while !done(members.map(Member::status)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(waited.await.is_ok(), "{:#?}", members.map(Member::status));
}

async fn landed(world: &World, count: usize) -> Vec<(i32, i64)> {
    let waited = tokio::time::timeout(Duration::from_secs(90), async {
        while !Path::new(&world.dir.path().join("lake/redemptions")).exists() || world.places(REDEMPTIONS).await.len() < count {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(waited.await.is_ok(), "{} of {count} have landed", world.places(REDEMPTIONS).await.len());
    world.places(REDEMPTIONS).await
}

fn ids(range: std::ops::Range<i64>) -> Vec<String> {
    range.map(|id| redeemed(id, (id % 50) as u32)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn r20_shares_change_hands_and_every_event_lands_once() {
    let (world, log) = (World::new(), Log::new(Broker::shared().topics(4).await));
    let share_out = |members: &[MemberStatus]| {
        let all: BTreeSet<Partition> = members.iter().flat_map(|m| m.partitions.clone()).collect();
        let sum: usize = members.iter().map(|m| m.partitions.len()).sum();
        members.iter().all(|m| !m.partitions.is_empty()) && sum == all.len() && sum == 4 * Stream::ALL.len()
    };
    let a = log.join(&world);
    until([&a], |members| share_out(&members)).await;
    for partition in 0..4 {
        log.send(partition, &ids(i64::from(partition) * 100..i64::from(partition) * 100 + 100)).await;
    }
    landed(&world, 400).await;
    // A second and a third come, and what was sent is sent again under other keys.
    let (b, c) = (log.join(&world), log.join(&world));
    let sending = async {
        for partition in 0..4 {
            let first = 1_000 + i64::from(partition) * 100;
            log.send(partition, &ids(first..first + 100)).await;
            log.send((partition + 1) % 4, &ids(first..first + 100)).await;
            log.send((partition + 2) % 4, &ids(0..50)).await;
        }
    };
    tokio::join!(sending, until([&a, &b, &c], |members| share_out(&members)));
    landed(&world, 800).await;
    // One dies without a word, one leaves.
    drop(a);
    log.send(0, &ids(2_000..2_100)).await;
    b.stop().await;
    log.send(3, &ids(2_100..2_200)).await;
    until([&c], |members| share_out(&members)).await;
    assert_eq!(landed(&world, 1_000).await.len(), 1_000);
    let ends = |status: &MemberStatus| {
        status.ingest.tables.get(&REDEMPTIONS).is_some_and(|t| t.committed.0.values().sum::<i64>() == 1_600)
    };
    until([&c], |[c]| ends(&c)).await;
    c.stop().await;
    assert_eq!(world.places(REDEMPTIONS).await.len(), 1_000, "copies change nothing");
    assert_eq!(world.places(Table::DeadLetters).await.len(), 0);
    world.check_files().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_can_not_be_read_on_stops_and_no_other() {
    let (world, log) = (World::new(), Log::new(Broker::shared().topics(2).await));
    let member = log.join(&world);
    log.send(0, &ids(0..10)).await;
    log.send(1, &ids(10..20)).await;
    landed(&world, 20).await;
    member.stop().await;
    // Retention passes what nobody has read.
    log.send(0, &ids(20..30)).await;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&log.kafka.topic(Stream::Redemptions), 0, Offset::Offset(15)).unwrap();
    log.admin().delete_records(&list, &AdminOptions::new()).await.unwrap();
    let member = log.join(&world);
    log.send(1, &ids(30..40)).await;
    landed(&world, 30).await;
    let first = Partition::of(Stream::Redemptions, 0);
    let status = member.status();
    assert_eq!(status.stopped.keys().collect::<Vec<_>>(), [&first]);
    assert!(status.stopped[&first].contains("redemptions/0 from offset 10, which was pruned up to 15"), "{status:?}");
    assert!(status.partitions.contains(&Partition::of(Stream::Redemptions, 1)) && !status.partitions.contains(&first));
    // A topic is deleted and made anew: its partitions stop, the others go on.
    let refusals = log.kafka.topic(Stream::Refusals);
    log.admin().delete_topics(&[&refusals], &AdminOptions::new()).await.unwrap();
    let settings = TopicSettings { partitions: 2, replication: 1, ..TopicSettings::default() };
    tokio::time::timeout(Duration::from_secs(30), async {
        while !create_topics(&log.kafka, &settings).await.is_ok_and(|topics| topics.iter().any(|t| t.created)) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .expect("it is made anew");
    let anew = |status: &MemberStatus| status.stopped.keys().filter(|p| p.stream == Some(Stream::Refusals)).count() == 2;
    until([&member], |[member]| anew(&member)).await;
    log.send(1, &ids(40..50)).await;
    landed(&world, 40).await;
    let why = member.status().stopped[&Partition::of(Stream::Refusals, 1)].clone();
    assert!(why.contains("log and lake do not belong together"), "{why}");
    member.stop().await;
    assert_eq!(world.places(REDEMPTIONS).await.len(), 40);
    // Somebody decides.
    let lake = world.dir.path().join("lake");
    let accepted = async |stream| {
        let accepted = crate::accept_loss(&lake, log.kafka.clone(), stream).await.unwrap();
        accepted.iter().map(|a| format!("{} {} {:?}→{}", a.table, a.partition, a.from, a.to)).collect::<Vec<_>>()
    };
    let moved = ["dead_letters redemptions/0 Some(10)→15", "redemptions redemptions/0 Some(10)→15"];
    assert_eq!(accepted(Stream::Redemptions).await, moved);
    let anew = ["dead_letters refusals/0 None→0", "dead_letters refusals/1 None→0"];
    assert_eq!(accepted(Stream::Refusals).await[..2], anew);
    assert_eq!(accepted(Stream::Refusals).await.len(), 0);
    let member = log.join(&world);
    until([&member], |[member]| member.partitions.len() == 2 * Stream::ALL.len()).await;
    assert_eq!(landed(&world, 45).await.len(), 45, "all but the five that are gone");
    assert_eq!(member.status().stopped.len(), 0);
    member.stop().await;
    let done = crate::maintain(&lake, &SystemClock).await.unwrap();
    let redemptions = done.iter().find(|done| done.table == REDEMPTIONS).unwrap();
    assert!(redemptions.merged > redemptions.files, "{redemptions:?}");
    assert_eq!(world.places(REDEMPTIONS).await.len(), 45);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_waits_for_brokers_and_topics() {
    let (world, broker) = (World::new(), Broker::start());
    broker.kill();
    let log = Log::new(KafkaConfig::new(&broker.address));
    let member = log.join(&world);
    until([&member], |[member]| member.last_error.is_some()).await;
    broker.start_again();
    let settings = TopicSettings { partitions: 1, replication: 1, ..TopicSettings::default() };
    create_topics(&log.kafka, &settings).await.unwrap();
    log.send(0, &ids(0..10)).await;
    landed(&world, 10).await;
    until([&member], |[member]| member.last_error.is_none()).await;
    member.stop().await;
}
