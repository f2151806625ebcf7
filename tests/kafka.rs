//! The binary on a real Kafka: topics, till, ingest, answers, and what is said when something is missing.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use eventlog::kafka::{KafkaConfig, TopicSettings, create_topics};
use expect_test::expect;
use serde_json::{Value, json};

use crate::chain::{sell, two_stores_and_cards};
use crate::support::{self, Answer, Client, Server};

#[allow(dead_code, reason = "it is whole, for the tests of `eventlog`")]
#[path = "../ingest/eventlog/src/kafka/broker.rs"]
pub mod broker;

use broker::Broker;

/// A folder whose config names topics of its own.
struct Place {
    data: PathBuf,
    _folder: tempfile::TempDir,
}

impl Place {
    fn new(broker: &Broker, prefix: &str) -> Place {
        Place::with(&format!("brokers = \"{}\"\nprefix = \"{prefix}\"\n[log.topics]\npartitions = 3", broker.address))
    }

    fn with(keys: &str) -> Place {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        std::fs::write(data.join("hexiao.toml"), format!("[log]\nkind = \"kafka\"\n{keys}\n")).unwrap();
        Place { data, _folder: folder }
    }

    fn run(&self, args: &[&str]) -> support::Said {
        support::hexiao(&self.data, args, b"")
    }

    fn fails(&self, args: &[&str]) -> String {
        let said = self.run(args);
        assert!(said.stdout.is_empty(), "{}", said.stdout);
        said.stderr.replace(&self.data.display().to_string(), "DATA")
    }

    fn topics(&self) -> String {
        self.run(&["topics", "create"]).expect_success().stdout
    }

    /// Sums of a column of `lag`.
    fn lag(&self, column: &str) -> i64 {
        let said = self.run(&["lag", "--format", "json"]).expect_success();
        let answer: Value = serde_json::from_str(&said.stdout).unwrap();
        answer["rows"].as_array().unwrap().iter().map(|row| row[column].as_i64().unwrap_or(0)).sum()
    }

    /// One number by `hexiao sql`, and how many rows it took from the tail.
    fn count(&self, table: &str) -> (i64, i64) {
        let said = self.run(&["sql", &format!("SELECT count(*) AS n FROM {table}"), "--format", "json"]).expect_success();
        let answer: Value = serde_json::from_str(&said.stdout).unwrap();
        (answer["rows"][0]["n"].as_i64().unwrap(), answer["tail_rows"].as_i64().unwrap())
    }
}

/// A process of `hexiao ingest` with a door.
struct Ingest {
    child: Child,
    address: String,
}

impl Ingest {
    fn start(data: &Path) -> Ingest {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hexiao"))
            .args(["ingest", "--watch", "127.0.0.1:0", "--commit-every", "0.2", "--data"])
            .arg(data)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let line = BufReader::new(child.stdout.take().unwrap()).lines().next();
        let line = line.expect("it says where it is watched").unwrap();
        let address = line.strip_prefix("watching on ").unwrap_or_else(|| panic!("{line}")).to_owned();
        Ingest { child, address }
    }

    fn get(&self, path: &str) -> (u16, String) {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(60)))
            .build()
            .new_agent();
        let mut answer = agent.get(format!("{}{path}", self.address)).call().unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    }

    fn stop(mut self) {
        assert!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for a state.
fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let began = Instant::now();
    while !reached() {
        assert!(began.elapsed() < Duration::from_secs(120), "not within two minutes: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The value of a figure of `/metrics`.
fn figure(metrics: &str, name: &str) -> Option<i64> {
    metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[test]
fn a_sale_goes_over_the_topics_into_the_lake_and_every_answer_has_it() {
    let place = Place::new(Broker::shared(), "whole.");
    expect![[r#"
        created whole.orders with 3 partitions
        created whole.redemptions with 3 partitions
        created whole.refusals with 3 partitions
        created whole.bookings with 3 partitions
        created whole.members with 3 partitions
        created whole.catalog with 3 partitions
        created whole.decisions with 3 partitions
    "#]]
    .assert_eq(&place.topics());
    assert!(place.topics().starts_with("whole.orders is there\n"));
    let server = Server::start_with(&place.data, "", &[]);
    let head = server.head_office();
    two_stores_and_cards(&head);
    let sold = |n: i64| (json!(n), json!(n));
    for n in 1..=5 {
        let (code, _) = sell(&head, &format!("sell-{n}"), "S1", "THREE");
        let body = json!({ "store_id": "S2", "takes": [{ "code": code }] });
        let written = head.post_once("/v1/redemptions", &format!("redeem-{n}"), body).expect(201);
        let count = "SELECT (SELECT count(*) FROM log.orders) AS o, (SELECT count(*) FROM redemptions) AS r";
        // Asked for by its position, and as what is recorded by now.
        let body = json!({ "sql": count }).to_string();
        let answer = waiting(&head, &body, written.header("hexiao-position"));
        let row = &answer.json()["rows"][0];
        assert_eq!((row["o"].clone(), row["r"].clone()), sold(n));
        // An answer's own position too.
        waiting(&head, &body, answer.header("hexiao-log-position"));
        let row = &head.sql(count)[0];
        assert_eq!((row["o"].clone(), row["r"].clone()), sold(n));
    }
    for unknown in ["0:1000000", "orders/0:1000000"] {
        let said = head.send("POST", "/v1/sql", &[("hexiao-wait-for", unknown)], Some(br#"{"sql": "SELECT 1"}"#)).expect(400);
        assert!(said.text().contains("has no position"), "{}", said.text());
    }
    // Nothing ingests: it is all in the topics.
    assert_eq!(place.count("redemptions").0, 5);
    assert!(place.count("redemptions").1 > 10, "the tail has it all");
    let all = place.lag("tail");
    assert_eq!((place.lag("end"), place.lag("committed")), (all, 0));

    let ingest = Ingest::start(&place.data);
    until("the lake has everything", || place.lag("tail") == 0);
    assert_eq!(place.lag("committed"), all);
    assert_eq!(place.count("redemptions"), (5, 0));
    until("the server sees it there", || head.sql("SELECT 1").len() == 1 && metrics(&server, "hexiao_tail_rows") == Some(0));
    assert_eq!(head.sql("SELECT count(*) AS n FROM redemptions")[0]["n"], 5);
    until("the server's figures say so", || {
        metrics(&server, "hexiao_relay_waiting") == Some(0)
            && metrics(&server, "hexiao_partition_uncommitted_seconds{partition=\"orders/0\"}") == Some(0)
    });
    assert_eq!(head.get("/readyz").expect(200).json()["unrelayed"], 0);
    until("it is ready", || ingest.get("/readyz") == (200, "ingests 21 partitions\n".to_owned()));
    assert_eq!(ingest.get("/healthz"), (200, "ok\n".to_owned()));
    until("its figures say how far it is", || {
        let (_, figures) = ingest.get("/metrics");
        let ends: i64 =
            (0..3).filter_map(|p| figure(&figures, &format!("hexiao_partition_end{{partition=\"orders/{p}\"}}"))).sum();
        let held: i64 =
            (0..3).filter_map(|p| figure(&figures, &format!("hexiao_partition_committed_to{{partition=\"orders/{p}\"}}"))).sum();
        ends == 5 && held == 5 && figure(&figures, "hexiao_ingest_partitions") == Some(21)
    });
    let maintained = place.run(&["maintain"]).expect_success().stdout;
    assert!(maintained.lines().any(|line| line.starts_with("redemptions: version ")), "{maintained}");
    assert_eq!(head.sql("SELECT count(*) AS n FROM redemptions")[0]["n"], 5);
    ingest.stop();
    server.stop();
}

/// The answer that includes a position. A busy machine may take longer than a request waits; it says so.
fn waiting(head: &Client, body: &str, position: &str) -> Answer {
    let ask = || head.send("POST", "/v1/sql", &[("hexiao-wait-for", position)], Some(body.as_bytes()));
    let mut answer = ask();
    until("the position is read", || {
        let late = answer.status == 503;
        if late {
            answer = ask();
        }
        !late
    });
    answer.expect(200)
}

fn metrics(server: &Server, name: &str) -> Option<i64> {
    figure(&server.with_key("").get("/metrics").expect(200).text(), name)
}

#[test]
fn a_dead_letter_is_mended_over_the_topics() {
    let place = Place::new(Broker::shared(), "letters.");
    place.topics();
    let server = Server::start_with(&place.data, "", &[]);
    let head = server.head_office();
    let message = |id: u32| {
        json!({ "source": "old till", "event_id": id.to_string(), "type": "redeemed",
        "occurred_at": "2026-03-04T10:00:00+08:00", "redeemed_store_id": "S1", "value_fen": 5_000 })
    };
    let lines = format!("{}\n{}", message(1), message(2));
    let headers = [("content-type", "application/x-ndjson")];
    head.send("POST", "/v1/log/redemptions", &headers, Some(lines.as_bytes())).expect(201);
    assert_eq!(head.sql("SELECT count(*) AS n FROM dead_letters")[0]["n"], 2);
    let places = || -> Vec<String> {
        let said = place.run(&["dead-letters", "list", "--format", "json"]).expect_success();
        let answer: Value = serde_json::from_str(&said.stdout).unwrap();
        answer["rows"].as_array().unwrap().iter().map(|row| row["place"].as_str().unwrap().to_owned()).collect()
    };
    // They stand in some partition, without a key.
    assert_eq!(places().len(), 2);
    let replay = |at: &str| {
        let raw = place.run(&["dead-letters", "show", "--raw", at]).expect_success().stdout;
        let mended = raw.replace("\"value_fen\"", "\"product_id\":\"P1\",\"value_fen\"");
        let args = ["dead-letters", "replay", "-", "--topic", "redemptions"];
        support::hexiao(&place.data, &args, mended.as_bytes()).expect_success().stdout
    };
    // Through the running server, then without it.
    let sent = "Sent 1 of 1 messages; what the lake knows already changes nothing.\n";
    assert_eq!(replay(&places()[0]), sent);
    assert_eq!(head.sql("SELECT count(*) AS n FROM redemptions")[0]["n"], 1);
    assert_eq!(places().len(), 1);
    server.stop();
    let last = places()[0].clone();
    assert_eq!(replay(&last), sent);
    assert_eq!((place.count("redemptions").0, places().len()), (2, 0));
    // Again, and over the lake: nothing changes.
    assert_eq!(replay(&last), sent);
    let until_end = place.run(&["ingest", "--until-end"]).expect_success().stdout;
    assert!(until_end.starts_with("The lake holds the topics up to 5 messages; "), "{until_end}");
    assert_eq!((place.count("redemptions"), place.count("dead_letters"), places().len()), ((2, 0), (2, 0), 0));
}

#[test]
fn a_topic_made_anew_stops_until_somebody_decides() {
    let broker = Broker::start();
    let place = Place::new(&broker, "anew.");
    place.topics();
    place.run(&["generate", "--events", "1000", "--days", "10"]).expect_success();
    place.run(&["ingest", "--until-end"]).expect_success();
    let (orders, refusals) = (place.count("log.orders").0, place.count("log.refusals").0);
    broker.tool(&["org.apache.kafka.tools.TopicCommand", "--delete", "--topic", "anew.refusals"]);
    until("the topic is made anew", || place.topics().contains("created anew.refusals"));
    let refused =
        r#"{"source":"x","event_id":"1","type":"refused","occurred_at":"2026-05-01T01:00:00Z","store_id":"S","reason":"r"}"#;
    let sent = support::hexiao(&place.data, &["dead-letters", "replay", "-", "--topic", "refusals"], refused.as_bytes());
    sent.expect_success();
    assert_eq!(place.lag("tail"), 1, "the old topic's offsets say nothing about the new one");
    let stopped = place.fails(&["ingest", "--until-end"]);
    assert!(stopped.contains("is not ingested") && stopped.contains("docs/kafka.md"), "{stopped}");
    // The others go on, and what the lake has stays.
    assert_eq!((place.count("log.orders").0, place.count("log.refusals").0), (orders, refusals));
    let accepted = place.run(&["topics", "accept-loss", "refusals"]).expect_success().stdout;
    assert!(accepted.contains("of the table refusals goes on at 0 instead of another topic"), "{accepted}");
    let again = place.run(&["topics", "accept-loss", "refusals"]).expect_success().stdout;
    assert_eq!(again, "nothing is lost: every partition can be read on\n");
    place.run(&["ingest", "--until-end"]).expect_success();
    assert_eq!((place.count("log.refusals"), place.lag("tail")), ((refusals + 1, 0), 0));
}

/// How many orders there are, in lake and topics.
const ORDERS: &str = "SELECT count(*) AS n FROM log.orders";

/// A till over topics of its own that has sold one card.
fn till_with_one_sold(place: &Place) -> Server {
    place.topics();
    let server = Server::start_with(&place.data, "", &[]);
    let head = server.head_office();
    two_stores_and_cards(&head);
    sell(&head, "before", "S1", "ONE");
    assert_eq!(head.sql(ORDERS)[0]["n"], 1);
    server
}

#[test]
fn who_answers_goes_on_with_the_other_topics_when_one_is_made_anew() {
    let broker = Broker::start();
    let place = Place::new(&broker, "other.");
    let server = till_with_one_sold(&place);
    let head = server.head_office();
    broker.tool(&["org.apache.kafka.tools.TopicCommand", "--delete", "--topic", "other.refusals"]);
    until("the topic is made anew", || place.topics().contains("created other.refusals"));
    sell(&head, "after", "S1", "ONE");
    until("the tail goes on", || head.sql(ORDERS)[0]["n"] == 2);
    until("nothing fails any more", || head.get("/readyz").json()["troubles"].as_array().is_none_or(Vec::is_empty));
    server.stop();
}

#[test]
fn the_ledger_agrees_with_what_stands_in_the_topics_and_what_is_on_its_way() {
    let broker = Broker::start();
    let place = Place::new(&broker, "check.");
    let server = till_with_one_sold(&place);
    let head = server.head_office();
    let done = std::sync::atomic::AtomicBool::new(false);
    let check = || {
        let said = place.run(&["check", "--format", "csv"]);
        assert_eq!((said.stdout.lines().count(), said.code), (1, Some(0)), "{}{}", said.stdout, said.stderr);
        assert_eq!(head.get("/v1/check").expect(200).json()["rows"], json!([]));
        said.stderr
    };
    std::thread::scope(|scope| {
        let (head, done) = (server.head_office(), &done);
        scope.spawn(move || {
            for i in 0.. {
                if done.load(std::sync::atomic::Ordering::Relaxed) {
                    return;
                }
                let (code, _) = sell(&head, &format!("sell-{i}"), "S1", "ONE");
                let body = json!({ "store_id": "S2", "takes": [{ "code": code }] });
                head.post_once("/v1/redemptions", &format!("redeem-{i}"), body).expect(201);
            }
        });
        // Ended also when a check fails, else the scope would wait for the till for good.
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (0..6).for_each(|_| drop(check()))));
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        checked.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    // What Kafka has not got is missing on neither side; what can't be read is no agreement.
    broker.kill();
    sell(&head, "meanwhile", "S1", "ONE");
    assert_eq!(head.get("/v1/check").status, 503);
    assert_eq!(place.run(&["check"]).code, Some(2));
    server.stop();
    broker.start_again();
    let said = check_alone(&place);
    assert!(said.contains("1 events are on their way to Kafka"), "{said}");
}

fn check_alone(place: &Place) -> String {
    let said = place.run(&["check"]).expect_success();
    said.stderr
}

#[test]
fn the_till_works_on_while_the_brokers_are_gone() {
    let broker = Broker::start();
    let place = Place::new(&broker, "gone.");
    let server = till_with_one_sold(&place);
    let head = server.head_office();
    broker.kill();
    let body = json!({ "store_id": "S1", "lines": [{ "product_id": "ONE" }] });
    let sold = head.post_once("/v1/orders", "meanwhile", body).expect(201);
    let position = sold.header("hexiao-position").to_owned();
    // Who asks for it is told to wait; who asks for what there is gets it.
    let wait = [("hexiao-wait-for", position.as_str())];
    let asked = json!({ "sql": ORDERS }).to_string();
    let late = head.send("POST", "/v1/sql", &wait, Some(asked.as_bytes())).expect(503);
    assert!(late.text().contains("not yet up to"), "{}", late.text());
    assert_eq!(head.sql(ORDERS)[0]["n"], 1);
    assert_eq!(head.get("/readyz").expect(200).json()["unrelayed"], 1);
    // A process that starts now sells too.
    let key = server.key.clone();
    server.stop();
    let server = Server::start_with(&place.data, &key, &[]);
    let head = server.head_office();
    sell(&head, "without", "S1", "ONE");
    assert_eq!(metrics(&server, "hexiao_relay_waiting"), Some(2));
    assert_eq!(metrics(&server, "hexiao_topics_failing"), Some(1));
    broker.start_again();
    until("all is relayed and read", || head.sql(ORDERS)[0]["n"] == 3);
    assert_eq!(metrics(&server, "hexiao_relay_waiting"), Some(0));
    server.stop();
}

#[test]
fn a_login_with_a_password_is_enough() {
    let [address, user, password] = Broker::shared().sasl();
    let place = Place::with(&format!(
        "brokers = \"{address}\"\nprefix = \"sasl.\"\n[log.topics]\npartitions = 2\n[log.security.sasl]\nmechanism = \
         \"SCRAM-SHA-256\"\nuser = \"{user}\"\npassword = \"{password}\""
    ));
    place.topics();
    place.run(&["generate", "--events", "2000", "--days", "20"]).expect_success();
    let tail = place.count("log.orders");
    assert!(tail.0 > 100 && tail.1 > 1_000, "{tail:?}");
    place.run(&["ingest", "--until-end"]).expect_success();
    assert_eq!(place.count("log.orders"), (tail.0, 0));
    assert_eq!(place.lag("tail"), 0);
}

#[test]
fn the_demo_runs_over_the_topics() {
    let place = Place::new(Broker::shared(), "demo.");
    place.topics();
    let once = || {
        let args = ["demo", "--once", "--events", "20000", "--commit-every", "0.2"];
        place.run(&args).expect_success().stdout
    };
    let first = once();
    for said in ["through the log in", "Per store:", "Per weekday:", "Coverage gap:"] {
        assert!(first.contains(said), "{said} is missing in\n{first}");
    }
    // What has expired since is recorded by the way, and may be in the topics only.
    place.run(&["ingest", "--until-end"]).expect_success();
    assert_eq!(place.lag("tail"), 0);
    let (redemptions, tail) = place.count("redemptions");
    assert!(redemptions > 5_000 && tail == 0, "{redemptions} and {tail}");
    assert!(once().contains("nothing was loaded twice"));
    assert_eq!(place.count("redemptions").0, redemptions);
    let fresh = place.fails(&["demo", "--once", "--fresh"]);
    expect![[r#"
        error: --fresh forgets the folder, and the topics would bring its events back: name another `log.prefix` than demo. and another folder
    "#]]
    .assert_eq(&fresh);
}

#[test]
fn what_is_missing_or_wrong_is_said_with_the_way_out() {
    let broker = Broker::shared();
    let place = Place::new(broker, "missing.");
    let address = |said: String| said.replace(&broker.address, "BROKER");
    let missing = "error: there is no topic missing.orders at BROKER: run `hexiao topics create`\n";
    for args in [["serve", "--port=0"], ["ingest", "--until-end"], ["ingest", "--commit-every=1"], ["lag", "--format=csv"]] {
        assert_eq!(address(place.fails(&args)), missing, "{args:?}");
    }
    let sql = ["sql", "SELECT 1"];
    assert_eq!(address(place.fails(&sql)), missing);
    // Another file than the folder's own.
    let other = place.data.join("other.toml");
    let with = |text: &str, args: &[&str]| {
        std::fs::write(&other, text).unwrap();
        let said = support::run(
            Command::new(env!("CARGO_BIN_EXE_hexiao")).args(args).arg("--data").arg(&place.data).env("HEXIAO_CONFIG", &other),
            b"",
        );
        said.stderr.replace(&place.data.display().to_string(), "DATA")
    };
    expect![[r#"
        error: `DATA/other.toml`, log.broker (line 3): unknown field `broker`, expected one of `kind`, `brokers`, `prefix`, `group`, `security`, `topics`
    "#]]
    .assert_eq(&with("[log]\nkind = \"kafka\"\nbroker = \"a:1\"", &sql));
    expect![[r#"
        error: topics is for a log on Kafka, and this one is embedded: name a file that says `kind = "kafka"` with --config
    "#]]
    .assert_eq(&with("", &["topics", "create"]));
    expect![[r#"
        error: the embedded log is ingested by `hexiao serve`, whose door has /metrics; --watch is for logs on Kafka
    "#]]
    .assert_eq(&with("", &["ingest", "--watch", "127.0.0.1:0"]));
    expect![[r#"
        error: could not read the config `DATA/none.toml`
          because: No such file or directory (os error 2)
    "#]]
    .assert_eq(&place.fails(&["sql", "SELECT 1", "--config", place.data.join("none.toml").to_str().unwrap()]));
    // A folder whose lake the embedded log has filled.
    with("", &["generate", "--events", "500", "--days", "5"]);
    place.topics();
    let said = place.fails(&["serve", "--port=0"]);
    expect![[r#"
        error: the lake of `DATA` was filled from the embedded log, and its config says Kafka: name another folder with --data
    "#]]
    .assert_eq(&said);
}
