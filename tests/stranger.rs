//! A producer that knows nothing of us but the brokers, the topics' names and the schemas.

use std::path::Path;
use std::process::Command;

use expect_test::expect;
use serde_json::Value;

use crate::kafka::broker::Broker;
use crate::support;

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
    let publish = || {
        let mut example = Command::new(support::python());
        example.arg(support::workspace().join("datasets/samples/producer.py"));
        let told = support::run(example.args(["--bootstrap", &broker.address, "--prefix", "shop."]), b"").expect_success().stdout;
        assert_eq!(told.lines().count(), 3, "{told}");
    };
    publish();
    hexiao(&["ingest", "--until-end"]);
    publish();
    let mut bad = Command::new(support::python());
    let messages = "[\"shop.redemptions\", \"not JSON\"]\n[\"shop.redemptions\", \"\\u00ff\\u00fe{}\"]\n";
    let places = support::run(bad.args(["-c", PUBLISH, &broker.address]), messages.as_bytes()).expect_success().stdout;
    let letters: Vec<String> =
        places.lines().zip(["6e6f74204a534f4e", "fffe7b7d"]).map(|(place, bytes)| format!("{place}: {bytes}")).collect();
    let check = || {
        let facts =
            "SELECT (SELECT sum(paid_fen) FROM log.orders) AS paid_fen, (SELECT count(*) FROM log.redemptions) AS redemptions,
            (SELECT max(reason) FROM log.refusals) AS refused";
        expect![[r#"
            {"paid_fen":196000,"redemptions":2,"refused":"unknown_code"}
        "#]]
        .assert_eq(&rows(&data, &config, facts));
        let said = "SELECT concat('shop.', topic, ' ', log_partition, ' ', log_offset) AS place, payload FROM log.dead_letters ORDER BY 1";
        let expected = letters.iter().map(|letter| letter.split_once(": ").unwrap());
        let expected = expected.map(|(place, bytes)| format!("{{\"payload\":\"{bytes}\",\"place\":\"{place}\"}}\n"));
        assert_eq!(rows(&data, &config, said), expected.collect::<String>());
    };
    // From the topics' tail, then from the lake.
    check();
    hexiao(&["ingest", "--until-end"]);
    check();
}
