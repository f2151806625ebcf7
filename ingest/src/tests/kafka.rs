//! The whole way over a real Kafka: ledger, relay, topics, lake.

use std::sync::Arc;
use std::time::Duration;

use event::{Stream, Table};
use eventlog::kafka::{KafkaConfig, KafkaSource, TopicSettings, create_topics};
use eventlog::{Relay, RelayConfig};

use super::world::{World, config, redeemed, refused};
use super::{REDEMPTIONS, REFUSALS};

#[allow(dead_code, reason = "it is whole, for the tests of `eventlog`")]
#[path = "../../eventlog/src/kafka/broker.rs"]
mod broker;

pub(super) use broker::Broker;

async fn relayed(relay: &Relay, upto: i64) {
    let mut relayed = relay.relayed();
    let waited = tokio::time::timeout(Duration::from_secs(120), relayed.wait_for(|at| *at >= upto)).await;
    assert!(waited.is_ok(), "{:?}", relay.status());
}

#[tokio::test(flavor = "multi_thread")]
async fn r20_what_the_ledger_recorded_comes_over_kafka_into_the_lake_once() {
    let (world, kafka) = (World::new(), Broker::shared().topics(3).await);
    let relay = async || {
        let config = RelayConfig { prune: false, ..RelayConfig::default() };
        Relay::start(&world.dir.path().join("ledger.sqlite"), Arc::new(world.source()), kafka.clone(), config).await.unwrap()
    };
    let source = async || Arc::new(KafkaSource::open(kafka.clone(), None).await.unwrap());
    let (running, ingest) = (relay().await, world.start_from(source().await, config()).await.unwrap());
    let redemptions: Vec<String> = (0..500).map(|id| redeemed(id, (id % 50) as u32)).collect();
    world.append(Stream::Redemptions, &redemptions);
    world.append(Stream::Redemptions, &["bad".to_owned(), redeemed(7, 7)]);
    world.append(Stream::Refusals, &[refused(1), refused(2)]);
    relayed(&running, 504).await;
    ingest.flush().await.unwrap();
    let counts = async || (world.places(REDEMPTIONS).await.len(), world.places(REFUSALS).await.len());
    assert_eq!(counts().await, (500, 2));
    assert_eq!(world.places(Table::DeadLetters).await.len(), 1);
    let status = ingest.status();
    assert_eq!((status.counts.accepted, status.counts.copies, status.tables[&REDEMPTIONS].tail_rows), (502, 1, 0));
    // Ingest ends without a word, and another goes on.
    running.stop().await;
    drop(ingest);
    let (running, ingest) = (relay().await, world.start_from(source().await, config()).await.unwrap());
    world.append(Stream::Redemptions, &[redeemed(499, 49), redeemed(500, 3)]);
    world.append(Stream::Refusals, &[refused(2), refused(3)]);
    relayed(&running, 508).await;
    ingest.stop().await.unwrap();
    running.stop().await;
    assert_eq!(counts().await, (501, 3));
    assert_eq!(world.places(Table::DeadLetters).await.len(), 1);
    world.check_files().await;
    world.check_publishers();
}
