//! A producer that knows nothing of us but the brokers, the topics' names and the schemas.

use std::path::Path;
use std::process::Command;

use eventlog::kafka::{KafkaConfig, TopicSettings, create_topics};
use expect_test::expect;
use serde_json::Value;

use crate::support;

#[allow(dead_code, reason = "it is whole, for the tests of `eventlog`")]
#[path = "../ingest/eventlog/src/kafka/broker.rs"]
mod broker;

use broker::Broker;

/// Publishes what stdin says, a JSON array of topic and text a line, and prints where each stands.
const PUBLISH: &str = r#"
import json, sys
from confluent_kafka import Producer
def delivered(error, message):
    assert not error, error
    print(message.topic(), message.partition(), message.offset())
producer = Producer({"bootstrap.servers": sys.argv[1]})
for topic, text in map(json.loads, sys.stdin):
    producer.produce(topic, value=text.encode("latin-1"), partition=0, on_delivery=delivered)
producer.flush()
"#;

/// The rows of an answer, as text.
fn rows(data: &Path, config: &Path, sql: &str) -> String {
    let config = config.to_str().unwrap();
    let said = support::hexiao(data, &["sql", sql, "--format", "json", "--config", config], b"").expect_success();
    let answer: Value = serde_json::from_str(&said.stdout).unwrap();
    answer["rows"].as_array().unwrap().iter().map(|row| format!("{row}\n")).collect()
}

#[test]
fn what_a_stranger_publishes_is_answered_by_sql() {
    let (broker, folder) = (Broker::shared(), tempfile::tempdir().unwrap());
    let (data, config) = (folder.path().join("data"), folder.path().join("hexiao.toml"));
    let log = format!(
        "[log]\nkind = \"kafka\"\nbrokers = \"{}\"\nprefix = \"shop.\"\n[log.topics]\npartitions = 3\nreplication = 1\n",
        broker.address
    );
    std::fs::write(&config, log).unwrap();
    let hexiao = |args: &[&str]| {
        let args = [args, &["--config", config.to_str().unwrap()]].concat();
        support::hexiao(&data, &args, b"").expect_success()
    };
    hexiao(&["topics", "create"]);
    hexiao(&["ingest", "--until-end"]);
    let producer = support::workspace().join("datasets/samples/producer.py");
    let mut example = Command::new(support::python());
    example.arg(producer).args(["--bootstrap", &broker.address, "--prefix", "shop."]);
    let told = support::run(&mut example, b"").expect_success().stdout;
    assert_eq!(told.lines().count(), 3, "{told}");
    let mut publish = Command::new(support::python());
    let bad = "[\"shop.redemptions\", \"not JSON\"]\n[\"shop.redemptions\", \"\\u00ff\\u00fe{}\"]\n";
    let places = support::run(publish.args(["-c", PUBLISH, &broker.address]), bad.as_bytes()).expect_success().stdout;
    let places: Vec<&str> = places.lines().collect();
    let check = || {
        expect![[r#"
            {"cards":1,"paid_fen":98000,"redeemed_at":"S002","refused":"unknown_code"}
        "#]]
        .assert_eq(&rows(
            &data,
            &config,
            "SELECT count(*) AS cards, sum(o.paid_fen) AS paid_fen, max(r.redeemed_store_id) AS redeemed_at, max(f.reason) AS refused
             FROM log.orders AS o JOIN log.redemptions AS r USING (source, entitlement_id) JOIN log.refusals AS f USING (source)",
        ));
        let letters = rows(
            &data,
            &config,
            "SELECT concat('shop.', topic, ' ', log_partition, ' ', log_offset) AS place, octet_length(payload) AS bytes
             FROM log.dead_letters ORDER BY log_offset",
        );
        let expected = [8, 4].iter().zip(&places).map(|(bytes, place)| format!("{{\"bytes\":{bytes},\"place\":\"{place}\"}}\n"));
        assert_eq!(letters, expected.collect::<String>());
    };
    // From the topics' tail, then from the lake.
    check();
    hexiao(&["ingest", "--until-end"]);
    check();
}
