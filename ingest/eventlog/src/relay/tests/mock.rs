//! The relay against brokers that fail when they are told to.

use fastrand::Rng;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr as Code};
use rdkafka::{Offset, TopicPartitionList};

use super::*;

const BROKERS: i32 = 3;
const PARTITIONS: i32 = 3;

/// What brokers answer to a message they don't take. The first ones pass; the last ones end a producer, and the relay goes
/// on with another.
const ANSWERS: [Code; 13] = [
    Code::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
    Code::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
    Code::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
    Code::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
    Code::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    Code::RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION,
    Code::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
    Code::RD_KAFKA_RESP_ERR__TRANSPORT,
    Code::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
    Code::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER,
    Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
    Code::RD_KAFKA_RESP_ERR_INVALID_MSG,
    Code::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
];

/// Something goes wrong with the brokers, or is put right.
fn disturb(cluster: &MockCluster<'static, rdkafka::producer::DefaultProducerContext>, random: &mut Rng) {
    let broker = random.i32(1..=BROKERS);
    match random.u8(..8) {
        0..4 => {
            let answers: Vec<Code> = (0..random.usize(1..4)).map(|_| ANSWERS[random.usize(..ANSWERS.len())]).collect();
            cluster.request_errors(RDKafkaApiKey::Produce, &answers);
        }
        4 => cluster.broker_down(broker).unwrap(),
        5 => cluster.broker_up(broker).unwrap(),
        _ => cluster.broker_round_trip_time(broker, Duration::from_millis(random.u64(..60))).unwrap(),
    }
}

/// Everything that stands in the topics. Read by a consumer of its own: these brokers don't know ids of topics.
fn read(kafka: &KafkaConfig) -> Vec<(Stream, Vec<u8>)> {
    let mut client = kafka.client();
    let consumer: BaseConsumer = client.set("group.id", "test").set("enable.auto.commit", "false").create().unwrap();
    let mut messages = Vec::new();
    for stream in [Stream::Redemptions, Stream::Refusals] {
        for partition in 0..PARTITIONS {
            let (topic, patience) = (kafka.topic(stream), Duration::from_secs(10));
            let (start, end) = consumer.fetch_watermarks(&topic, partition, patience).unwrap();
            assert_eq!(start, 0, "the brokers have kept all of it");
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(&topic, partition, Offset::Beginning).unwrap();
            consumer.assign(&list).unwrap();
            let mut next = start;
            while next < end {
                let message = consumer.poll(patience).expect("it comes").unwrap();
                next = message.offset() + 1;
                messages.push((stream, message.payload().unwrap_or_default().to_vec()));
            }
        }
    }
    messages
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_that_fail_lose_nothing_and_keep_the_order() {
    for seed in 0..3 {
        let mut random = Rng::with_seed(seed);
        let cluster = MockCluster::new(BROKERS).unwrap();
        let kafka = KafkaConfig::new(cluster.bootstrap_servers());
        Stream::ALL.iter().for_each(|stream| cluster.create_topic(&kafka.topic(*stream), PARTITIONS, BROKERS).unwrap());
        let mut ledger = Ledger::new();
        let remember_every = Duration::from_millis(20);
        let quick = RelayConfig { remember_every, retry_after: Duration::from_millis(5), ..RelayConfig::default() };
        let relay = Relay::start(&ledger.path, ledger.source(), kafka.clone(), quick).await.unwrap();
        let all_up = || (1..=BROKERS).for_each(|broker| cluster.broker_up(broker).unwrap());
        for round in 0..25 {
            disturb(&cluster, &mut random);
            ledger.redeem(random.i64(1..300));
            ledger.append(Stream::Refusals, vec![format!("no event {round}").into_bytes()]);
            if random.u8(..4) == 0 {
                // Whatever else is to fail does so first.
                all_up();
                relayed(&relay, ledger.end() - random.i64(1..100)).await;
            }
        }
        all_up();
        cluster.clear_request_errors(RDKafkaApiKey::Produce);
        relayed(&relay, ledger.end()).await;
        relay.stop().await;
        assert_eq!(ledger.remembered(), ledger.end());
        let copies = ledger.check_read(read(&kafka));
        println!("seed {seed}: {} messages, {copies} copies", ledger.appended.len());
    }
}
