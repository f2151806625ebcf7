//! The relay against a real broker.

mod mock;

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use event::{Event, Id, Instant, Redemption, Stream, SystemClock};
use rusqlite::Connection;

use super::{Relay, RelayConfig};
use crate::kafka::broker::Broker;
use crate::kafka::{KafkaConfig, KafkaSource};
use crate::{Error, OutboxSource, Position, Source, outbox};

/// The `n`-th use of an entitlement.
fn redeemed(entitlement: i64, n: i64) -> Vec<u8> {
    let event = Event::Redemption(Redemption {
        redeemed_store_id: Some("S1".into()),
        product_id: Some("P1".into()),
        entitlement_id: Some(Id(entitlement)),
        value_fen: Some(n),
        ..Redemption::new("till", entitlement * 1_000_000 + n, "redeemed", Instant::Y2000.with_offset(480))
    });
    let mut json = Vec::new();
    event.encode(&mut json);
    json
}

struct Ledger {
    conn: Connection,
    path: PathBuf,
    _dir: tempfile::TempDir,
    /// What was appended, in order.
    appended: Vec<(Stream, Vec<u8>)>,
    uses: BTreeMap<i64, i64>,
}

impl Ledger {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.sqlite");
        let conn = Connection::open(&path).unwrap();
        conn.pragma_update(None, "auto_vacuum", "INCREMENTAL").unwrap();
        conn.pragma_update(None, "journal_mode", "wal").unwrap();
        conn.busy_timeout(Duration::from_secs(10)).unwrap();
        outbox::create(&conn, &SystemClock).unwrap();
        Ledger { conn, path, _dir: dir, appended: Vec::new(), uses: BTreeMap::new() }
    }

    fn append(&mut self, stream: Stream, messages: Vec<Vec<u8>>) {
        outbox::append(&self.conn, &SystemClock, stream, &messages).unwrap();
        self.appended.extend(messages.into_iter().map(|message| (stream, message)));
    }

    /// Uses of ten entitlements, turn by turn.
    fn redeem(&mut self, count: i64) {
        let uses = (0..count).map(|i| {
            let n = self.uses.entry(i % 10).or_default();
            *n += 1;
            redeemed(i % 10, *n)
        });
        let uses = uses.collect();
        self.append(Stream::Redemptions, uses);
    }

    fn source(&self) -> Arc<OutboxSource> {
        Arc::new(OutboxSource::open(&self.path, None).unwrap())
    }

    async fn relay(&self, kafka: &KafkaConfig) -> Relay {
        let config = RelayConfig { remember_every: Duration::from_millis(50), ..RelayConfig::default() };
        Relay::start(&self.path, self.source(), kafka.clone(), config).await.unwrap()
    }

    fn end(&self) -> i64 {
        outbox::end(&self.conn).unwrap()
    }

    fn remembered(&self) -> i64 {
        outbox::relayed_to(&self.conn, super::TARGET).unwrap().unwrap_or(0)
    }

    /// Kafka holds what was appended; copies apart, each key's messages in order. Returns the number of copies.
    async fn check(&self, kafka: &KafkaConfig) -> usize {
        let source = KafkaSource::open(kafka.clone(), None).await.unwrap();
        let (mut from, mut read) = (Position::default(), Vec::new());
        while !from.covers(&source.end().await.unwrap()) {
            for segment in source.read(&from, 1 << 20).await.unwrap() {
                let messages = segment.messages().unwrap();
                read.extend(messages.iter().map(|(_, _, message)| (segment.stream, message.to_vec())));
                from.advance(segment.partition, segment.next_offset);
            }
        }
        self.check_read(read)
    }

    /// The same of messages that were read, those of one partition in their order.
    fn check_read(&self, read: Vec<(Stream, Vec<u8>)>) -> usize {
        let (mut seen, mut copies) = (HashSet::new(), 0);
        let mut keyed: BTreeMap<(Stream, String), Vec<Vec<u8>>> = BTreeMap::new();
        for (stream, message) in read {
            if seen.insert((stream, message.clone())) {
                keyed.entry((stream, key(stream, &message))).or_default().push(message);
            } else {
                copies += 1;
            }
        }
        let mut expected: BTreeMap<(Stream, String), Vec<Vec<u8>>> = BTreeMap::new();
        for (stream, message) in &self.appended {
            expected.entry((*stream, key(*stream, message))).or_default().push(message.clone());
        }
        let counts = |keyed: &BTreeMap<(Stream, String), Vec<Vec<u8>>>| keyed.values().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(counts(&keyed), counts(&expected));
        // What has no key has no order.
        let unordered = keyed.iter_mut().chain(&mut expected).filter(|((_, key), _)| key.is_empty());
        unordered.for_each(|(_, messages)| messages.sort());
        assert!(keyed == expected, "each key's messages are in order");
        copies
    }
}

fn key(stream: Stream, message: &[u8]) -> String {
    Event::decode(stream, message, Instant(i64::MAX / 2)).map(|event| event.key()).unwrap_or_default()
}

async fn relayed(relay: &Relay, upto: i64) {
    let mut relayed = relay.relayed();
    let waited = tokio::time::timeout(Duration::from_secs(120), relayed.wait_for(|at| *at >= upto)).await;
    if waited.is_err() {
        panic!("it is at {} of {upto}: {:?}", *relay.relayed().borrow(), relay.status());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_ledger_recorded_stands_in_the_topics_once() {
    let broker = Broker::shared();
    let kafka = broker.topics(3).await;
    let mut ledger = Ledger::new();
    ledger.redeem(50);
    let relay = ledger.relay(&kafka).await;
    ledger.append(Stream::Orders, vec![b"no event".to_vec()]);
    ledger.append(Stream::Refusals, vec![b"{}".to_vec()]);
    ledger.redeem(5_000);
    ledger.redeem(1);
    relayed(&relay, ledger.end()).await;
    relay.stop().await;
    assert_eq!(ledger.remembered(), ledger.end(), "the last word is written down");
    assert_eq!(ledger.check(&kafka).await, 0);
    // Another run goes on where this one ended, and the log forgets what was relayed.
    let relay = ledger.relay(&kafka).await;
    ledger.redeem(20);
    relayed(&relay, ledger.end()).await;
    while ledger.source().start().await.unwrap() != Position::single(ledger.end()) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    relay.stop().await;
    assert_eq!(ledger.check(&kafka).await, 0);
    // A ledger restored from before what Kafka has got.
    let mut restored = Ledger::new();
    restored.redeem(1);
    outbox::note_relayed(&restored.conn, super::TARGET, 7).unwrap();
    let refused = Relay::start(&restored.path, restored.source(), kafka, RelayConfig::default()).await;
    assert!(matches!(refused, Err(Error::Ahead { from: 7, end: 1, .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_dies_and_a_relay_that_dies_lose_nothing_and_keep_the_order() {
    let broker = Broker::start();
    let kafka = broker.topics(3).await;
    let mut ledger = Ledger::new();
    let relay = ledger.relay(&kafka).await;
    for round in 0..3 {
        ledger.redeem(3_000);
        relayed(&relay, 1 + round * 6_010).await;
        // It dies with messages on their way.
        ledger.redeem(3_000);
        broker.kill();
        for _ in 0..10 {
            ledger.redeem(1);
        }
        broker.start_again();
    }
    relayed(&relay, ledger.end()).await;
    // The relay dies with messages on their way, several times.
    let mut relay = relay;
    for _ in 0..5 {
        ledger.redeem(2_000);
        tokio::time::sleep(Duration::from_millis(20)).await;
        drop(relay);
        relay = ledger.relay(&kafka).await;
    }
    relayed(&relay, ledger.end()).await;
    relay.stop().await;
    let copies = ledger.check(&kafka).await;
    println!("{} messages, {copies} copies", ledger.appended.len());
}
